"""What a family says of the values that its variants are made with: enough to make a form of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["whole", "number", "choice", "pair", "schedule"]
GROUPS = {"task": "Task and data", "optimizer": "Optimizer", "model": "Model"}


@dataclass(frozen=True)
class Setting:
    """One value. The family's own checks decide; the limits here say beforehand what they accept.

    name      in ``params`` (``place`` "params") or in ``config``
    kind      whole, number, choice (of ``choices``), pair (of numbers), schedule (as text)
    group     one of GROUPS; rare: seldom changed
    default   what it is when it is not given; of one that is `required`, a common value
    least, most   both included; None: no limit, or one that depends on other values (``help`` says so)
    """

    name: str
    place: Literal["params", "config"]
    kind: Kind
    group: str
    label: str
    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    rare: bool = False
    required: bool = False
    default: Any = None

    def with_default(self, default: Any) -> Setting:
        return replace(self, default=default)
