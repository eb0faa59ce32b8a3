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

    labels [p * p] the right class; train, test [p * p] bool, True where the input was trained on, or held
    out. Both are False throughout where the split is not known (an imported variant).
    """

    p: int
    labels: NDArray[np.int64]
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]


def modular_task(family: str, params: Mapping[str, Any]) -> ModularTask:
    """The task of a variant, from its recorded parameters. Raises `BadParameter` for a family without one."""
    if "modular_arithmetic" not in capabilities(family):
        raise BadParameter(
            f"The family {family!r} is no modular arithmetic: it has no p, no grid and no Fourier basis."
        )
    from training.families import modular_addition

    given = dict(params)
    share = given.get("frac_train")
    if share in (0, 1):  # no split of ours, but a run of others can have been trained on every pair
        given |= {"frac_train": 0.5, "split": "unknown"}
    made = modular_addition.make_params(given)
    masks = np.zeros((2, made.p**2), dtype=bool)
    for mask, rows in zip(masks, modular_addition.split(made), strict=True):
        mask[rows] = True
    masks[int(share == 0)] |= share in (0, 1)
    return ModularTask(made.p, modular_addition.labels(made), *masks)
