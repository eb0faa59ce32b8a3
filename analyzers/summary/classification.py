"""What kind of run it was, by rules whose values are kept with the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

LABELS = (
    "unknown",
    "not trained",
    "memorised only",
    "grokking, unfinished",
    "at once",
    "grokked",
    "grokked late",
    "grokked, unclean solution",
    "learned, no turn seen",
    "anomalous",
)

LEARNED = 0.99  # test accuracy
MEMORISED = 0.99  # training accuracy
LATE = 0.5  # share of the trained epochs
UNCLEAN = 10.0  # restricted over full loss, both over all inputs
FEW = 2  # key frequencies
REBOUND = 100.0  # last test loss over the smallest one


@dataclass(frozen=True)
class Rule:
    """One question, its answer (None: cannot be told) and the value that decided."""

    name: str
    holds: bool | None
    value: float
    says: str

    def to_json(self) -> dict[str, Any]:
        """As it is stored: NaN becomes None."""
        value = self.value if math.isfinite(self.value) else None
        return {"rule": self.name, "holds": self.holds, "value": value, "says": self.says}


@dataclass(frozen=True)
class Facts:
    """What the rules look at; NaN where it is not known. keys: the key frequencies, -1 if not known."""

    verdict: str
    finite: bool
    train_accuracy: float
    test_accuracy: float
    best_test_accuracy: float
    onset: float
    trained: float
    final_test_loss: float
    least_test_loss: float
    restricted: float
    full: float
    keys: int


def rules(facts: Facts) -> list[Rule]:
    """Every rule with its value, in the order in which `classify` asks."""
    unclean = facts.restricted / facts.full if facts.full > 0 else float("nan")
    rebound = facts.final_test_loss / facts.least_test_loss if facts.least_test_loss > 0 else float("nan")
    return [
        Rule(
            "losses stay finite",
            facts.finite,
            float(facts.finite),
            "no recorded loss is infinite or missing for good",
        ),
        _above("memorised", facts.train_accuracy, MEMORISED, "accuracy on the training inputs at the end"),
        _above("generalises", facts.test_accuracy, LEARNED, "accuracy on the test inputs at the end"),
        _above(
            "generalised before",
            facts.best_test_accuracy,
            LEARNED,
            "best accuracy on the test inputs at any checkpoint",
        ),
        Rule(
            "turned",
            facts.verdict == "turned",
            float(facts.verdict == "turned"),
            f"the test loss: {facts.verdict}",
        ),
        _above("turned late", facts.onset / facts.trained, LATE, "onset of the turn over the trained epochs"),
        _above("rebounded", rebound, REBOUND, "last test loss over the smallest one"),
        _above(
            "unclean", unclean, UNCLEAN, "restricted loss (sum_directions) over the full loss, all inputs"
        ),
        Rule(
            "few frequencies",
            None if facts.keys < 0 else facts.keys < FEW,
            float(facts.keys) if facts.keys >= 0 else float("nan"),
            f"key frequencies, fewer than {FEW}",
        ),
    ]


def classify(facts: Facts) -> tuple[str, list[str], list[Rule]]:
    """(label, the rules that decided, "not ..." where one did not hold, all rules)."""
    found = rules(facts)
    holds = {rule.name: rule.holds for rule in found}
    label, decided = _decide(facts.verdict, holds)
    return label, [name if holds[name] else f"not {name}" for name in decided], found


def _decide(verdict: str, holds: dict[str, bool | None]) -> tuple[str, list[str]]:
    if not holds["losses stay finite"]:
        return "anomalous", ["losses stay finite"]
    if holds["generalises"] is None:
        return "unknown", []
    if not holds["generalises"]:
        if holds["generalised before"]:
            return "anomalous", ["generalises", "generalised before"]
        if verdict in ("turned", "unfinished") and holds["memorised"]:
            return "grokking, unfinished", ["generalises", "memorised"]
        return ("memorised only" if holds["memorised"] else "not trained"), ["memorised", "generalises"]
    if holds["rebounded"]:
        return "anomalous", ["generalises", "rebounded"]
    unclean = [name for name in ("unclean", "few frequencies") if holds[name]]
    if unclean:
        return "grokked, unclean solution", ["generalises", *unclean]
    if verdict == "at once":
        return "at once", ["generalises", "turned"]
    if not holds["turned"]:
        return "learned, no turn seen", ["generalises", "turned"]
    late = bool(holds["turned late"])
    return ("grokked late" if late else "grokked"), ["generalises", "turned", "turned late"]


def _above(name: str, value: float, threshold: float, says: str) -> Rule:
    holds = bool(value >= threshold) if math.isfinite(value) else None
    return Rule(name, holds, value, f"{says}, at least {threshold:g}")


def losses_stay_finite(history: xr.Dataset) -> bool:
    """No recorded loss is infinite, and the last of each is a number (True without a history)."""
    for name in ("train_loss", "test_loss"):
        if name in history and history.sizes["epoch"]:
            values = history[name].values
            seen = ~np.isnan(values)
            if np.isinf(values).any() or (seen.any() and not seen[-max(len(values) // 20, 1) :].any()):
                return False
    return True
