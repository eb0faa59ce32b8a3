"""What analysis has to know of a task: the modulus, the right answers and the split that was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BadParameter

CAPABILITIES: Mapping[str, frozenset[str]] = {"modular_addition": frozenset({"modular_arithmetic"})}


def capabilities(family: str) -> frozenset[str]:
    """What instruments may require of that family."""
    return CAPABILITIES.get(family, frozenset())


@dataclass(frozen=True)
class ModularTask:
    """[a, b, =] -> class, over all p * p inputs in the order n = a * p + b.

    labels [p * p] the right class; train [p * p] bool, True where the input was trained on
    """

    p: int
    labels: NDArray[np.int64]
    train: NDArray[np.bool_]


def modular_task(family: str, params: Mapping[str, Any]) -> ModularTask:
    """The task of a variant, from its recorded parameters. Raises `BadParameter` for a family without one."""
    if "modular_arithmetic" not in capabilities(family):
        raise BadParameter(
            f"The family {family!r} is no modular arithmetic: it has no p, no grid and no Fourier basis."
        )
    from training.families import modular_addition

    made = modular_addition.make_params(params)
    train = np.zeros(made.p**2, dtype=bool)
    train[modular_addition.split(made)[0]] = True
    return ModularTask(made.p, modular_addition.labels(made), train)
