"""What a task family has to provide so that training, analysis and the command line can use it by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from data import VariantRecord
from training.engine import Step


@dataclass(frozen=True)
class Family:
    """A task and an architecture. Owns data, labels, defaults and names; no analyzers and no views.

    ``make_params`` and ``make_config`` build validated value objects from plain (JSON) mappings and raise
    ``BadParameter`` for a value that cannot be used. ``make_step(params of each variant, weights, grads)``
    gives the function that one training epoch calls (see ``training.engine``); ``kernel_path`` names how it
    computes.
    """

    name: str
    title: str
    make_params: Callable[[Mapping[str, Any]], Any]
    make_config: Callable[[Mapping[str, Any]], Any]
    record: Callable[[Any, Any], VariantRecord]
    init_weights: Callable[[Any, Any], dict[str, Tensor]]
    make_step: Callable[[Sequence[Any], Mapping[str, Tensor], Mapping[str, Tensor]], Step]
    kernel_path: str
    default_epochs: int
