"""What a task family has to provide so that training, analysis and the command line can use it by name."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from data import Variant, VariantRecord
from training.engine import Intervention, Interventions, Step
from training.families.setting import Setting


@dataclass(frozen=True)
class Family:
    """A task and an architecture. Owns data, labels, defaults and names; no analyzers and no views.

    ``make_params`` and ``make_config`` build validated value objects from plain (JSON) mappings and raise
    ``BadParameter`` for a value that cannot be used. ``shape(params, config)`` is equal for variants that can
    train in one batch. ``make_step(params of each variant, weights, grads, interventions)`` gives the
    function that one training epoch calls (see ``training.engine``); ``kernel_path`` names how it computes.
    ``interventions(variant)`` are those of a stored variant (a fork). ``settings``: what its variants can
    differ in, for forms.
    """

    name: str
    title: str
    make_params: Callable[[Mapping[str, Any]], Any]
    make_config: Callable[[Mapping[str, Any]], Any]
    record: Callable[[Any, Any], VariantRecord]
    init_weights: Callable[[Any, Any], dict[str, Tensor]]
    shape: Callable[[Any, Any], Hashable]
    make_step: Callable[[Sequence[Any], Mapping[str, Tensor], Mapping[str, Tensor], Interventions], Step]
    kernel_path: str
    default_epochs: int
    interventions: Callable[[Variant], tuple[Intervention, ...]] = lambda variant: ()
    settings: tuple[Setting, ...] = ()
