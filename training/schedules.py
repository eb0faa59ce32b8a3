"""Named policies by which a learning rate or a weight decay changes over a run.

A schedule says how to get the value at an epoch from the base value (``lr`` or ``weight_decay`` of the
configuration). Epochs are those of the run, also in a fork. With b the base value, s = ``start`` (0 unless
given) and e' = e - s; before ``start`` the value is b::

    constant       b
    linear_warmup  b min(1, (e' + 1) / warmup)
    step           max(floor, b factor^floor(e' / every))
    cosine         floor + (b - floor) (1 + cos(pi min(1, e' / (until - s)))) / 2
    warmup_cosine  linear_warmup for ``warmup`` epochs, then cosine from there to ``until``
    warmup_linear  linear_warmup for ``warmup`` epochs, then a straight line down to ``floor`` at ``until``
    piecewise      b before the first point, then the value of the last point that was reached

As text: ``cosine:until=25000,floor=1e-5``, ``step:every=5000,factor=0.5``, ``piecewise:200=3e-4,1500=1e-3``.
As JSON: ``{"policy": "cosine", "until": 25000, "floor": 1e-05}``; piecewise has ``points``, a list of
[epoch, value].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from data.errors import BadParameter
from data.files import digest

MAX_NAME = 48
"""A longer name is replaced by a digest, since names of variants become names of folders."""

_REQUIRED: dict[str, tuple[str, ...]] = {
    "constant": (),
    "linear_warmup": ("warmup",),
    "step": ("every", "factor"),
    "cosine": ("until",),
    "warmup_cosine": ("warmup", "until"),
    "warmup_linear": ("warmup", "until"),
    "piecewise": ("points",),
}
_OPTIONAL: dict[str, tuple[str, ...]] = {
    "linear_warmup": ("start",),
    "step": ("start", "floor"),
    "cosine": ("start", "floor"),
    "warmup_cosine": ("start", "floor"),
    "warmup_linear": ("start", "floor"),
}
_EXAMPLES = {
    "constant": "constant",
    "linear_warmup": "linear_warmup:warmup=100",
    "step": "step:every=5000,factor=0.5",
    "cosine": "cosine:until=25000,floor=1e-5",
    "warmup_cosine": "warmup_cosine:warmup=100,until=25000",
    "warmup_linear": "warmup_linear:warmup=100,until=25000",
    "piecewise": "piecewise:200=3e-4,1500=1e-3",
}
_WHOLE = ("warmup", "every", "until", "start")
_DEFAULTS: dict[str, float] = {"start": 0, "floor": 0.0}
POLICIES = tuple(_REQUIRED)


@dataclass(frozen=True)
class Schedule:
    """One policy with its settings; fields that the policy does not use stay at their defaults.

    warmup: epochs until the base value is reached. every, factor: multiply by ``factor`` every ``every``
    epochs. until: the epoch at which a decay ends. floor: the value at its end. start: the epoch at which
    the policy begins. points: (epoch, value) in ascending order. Raises ``BadParameter`` for values that make
    no sense.
    """

    policy: str
    warmup: int = 0
    every: int = 0
    factor: float = 1.0
    until: int = 0
    floor: float = 0.0
    start: int = 0
    points: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if self.policy not in _REQUIRED:
            raise BadParameter(f"schedule {self.policy!r} is not known; choose one of: {', '.join(POLICIES)}")
        for name in self._settings():
            # 0 and 0.0 are equal but are not the same JSON, and equal schedules must have equal identities.
            if name in ("factor", "floor") and isinstance(getattr(self, name), int):
                object.__setattr__(self, name, float(getattr(self, name)))
            if name in _WHOLE:
                self._check_whole(name, least=0 if name == "start" else 1)
            elif name == "points":
                self._check_points()
            else:
                _check_value(f"{self.policy}: {name}", getattr(self, name))
        if self.policy == "step" and not 0 < self.factor <= 1:
            raise self._wrong(f"factor={self.factor!r} must be above 0 and at most 1, such as 0.5")
        if "until" in self._settings() and self.until <= self.start + self.warmup:
            raise self._wrong(
                f"until={self.until} is not after the {'warm-up' if self.warmup else 'start'}, which ends at"
                f" epoch {self.start + self.warmup}"
            )

    def value(self, epoch: int, base: float) -> float:
        """The value that the update after ``epoch`` uses."""
        if self.policy == "piecewise":
            return next((value for at, value in reversed(self.points) if at <= epoch), base)
        since = epoch - self.start
        if since < 0 or self.policy == "constant":
            return base
        if since < self.warmup:
            return base * (since + 1) / self.warmup
        if self.policy == "step":
            return max(min(self.floor, base), base * self.factor ** (since // self.every))
        if self.policy == "linear_warmup":
            return base
        done = min(1.0, (since - self.warmup) / (self.until - self.start - self.warmup))
        left = 1 - done if self.policy == "warmup_linear" else (1 + math.cos(math.pi * done)) / 2
        return self.floor + (base - self.floor) * left

    def largest(self, base: float) -> float:
        """An upper bound of the value at any epoch."""
        return max([base, self.floor, *(value for _, value in self.points)])

    @property
    def last_epoch(self) -> int:
        """The last epoch that the schedule speaks of: a run has to be at least as long."""
        return max(
            [self.start + self.warmup, self.start + self.every, self.until, *(at for at, _ in self.points)]
        )

    def check(self, epochs: int, what: str = "schedule", field: str = "") -> None:
        """``BadParameter`` (of that field) if it goes on after the end of a run of that many epochs."""
        if self.last_epoch > epochs:
            raise BadParameter(
                f"the {what} {str(self)!r} goes on until epoch {self.last_epoch}, but the run ends at epoch"
                f" {epochs}; shorten the schedule, or train for at least {self.last_epoch} epochs",
                field,
            )

    def to_json(self) -> dict[str, Any]:
        """The policy and the settings that it uses, as plain JSON (what is stored in ``variant.config``)."""
        plain: dict[str, Any] = {"policy": self.policy}
        for name in self._settings():
            value = getattr(self, name)
            if name == "points":
                plain[name] = [list(point) for point in value]
            elif value != _DEFAULTS.get(name):
                plain[name] = value
        return plain

    @classmethod
    def of_json(cls, plain: Mapping[str, Any]) -> Schedule:
        """The schedule that ``to_json`` described; ``BadParameter`` names an unknown or a missing setting."""
        settings = dict(plain)
        policy = settings.pop("policy", None)
        if policy not in _REQUIRED:
            raise BadParameter(f"schedule {policy!r} is not known; choose one of: {', '.join(POLICIES)}")
        known = (*_REQUIRED[policy], *_OPTIONAL.get(policy, ()))
        wrong = [f"has no setting {name!r}" for name in settings if name not in known]
        wrong += [f"needs {name}" for name in _REQUIRED[policy] if name not in settings]
        if wrong:
            raise BadParameter(f"schedule {policy!r} {wrong[0]}; write it like {_EXAMPLES[policy]}")
        if "points" in settings:
            try:
                settings["points"] = tuple((at, value) for at, value in settings["points"])
            except (TypeError, ValueError):
                raise BadParameter(f"schedule {policy!r}: points must be a list of [epoch, value]") from None
        return cls(policy, **settings)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """The schedule of a text such as ``cosine:until=25000,floor=1e-5``; ``str`` is the inverse."""
        policy, _, rest = text.strip().partition(":")
        settings: dict[str, Any] = {}
        points: list[list[Any]] = []
        for part in filter(None, (part.strip() for part in rest.split(","))):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise BadParameter(
                    f"{part!r} of the schedule {text!r} is not name=value; write it like"
                    f" {_EXAMPLES.get(policy, _EXAMPLES['cosine'])}"
                )
            if policy == "piecewise":
                points.append([_number(name, text), _number(value, text)])
            elif name in settings:
                raise BadParameter(f"the schedule {text!r} gives {name} twice; give it once")
            else:
                settings[name] = _number(value, text)
        if policy == "piecewise" and points:
            settings["points"] = points
        return cls.of_json({"policy": policy, **settings})

    def __str__(self) -> str:
        plain = self.to_json()
        parts = [f"{at}={value!r}" for at, value in self.points] if self.points else []
        parts += [f"{name}={value!r}" for name, value in plain.items() if name not in ("policy", "points")]
        return self.policy + (":" + ",".join(parts) if parts else "")

    @property
    def name(self) -> str:
        """A readable part of a variant's name, e.g. ``cosine_until=25000_floor=1e-05``."""
        text = str(self).replace(":", "_").replace(",", "_")
        return text if len(text) <= MAX_NAME else f"{self.policy}_{digest(self.to_json())[:8]}"

    def _settings(self) -> tuple[str, ...]:
        return settings_of(self.policy)

    def _check_whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._wrong(f"{name}={value!r} is not a whole number of epochs from {least} up")

    def _check_points(self) -> None:
        if not self.points:
            raise self._wrong("there are no points")
        epochs = [at for at, _ in self.points]
        for at, value in self.points:
            if isinstance(at, bool) or not isinstance(at, int) or at < 0:
                raise self._wrong(f"{at!r} is not an epoch (a whole number from 0 up)")
            _check_value(f"piecewise: the value at epoch {at}", value)
        object.__setattr__(self, "points", tuple((at, float(value)) for at, value in self.points))
        for before, after in pairwise(epochs):
            if after <= before:
                raise self._wrong(f"its points are not in order: epoch {after} comes after epoch {before}")

    def _wrong(self, reason: str) -> BadParameter:
        return BadParameter(f"schedule {self.policy!r}: {reason}; write it like {_EXAMPLES[self.policy]}")


def schedule_of(given: Schedule | Mapping[str, Any] | str | None, field: str = "") -> Schedule | None:
    """The schedule of a value object, its JSON or its text; None where the value never changes.

    ``BadParameter`` (of that field) for what is none."""
    if given is None:
        return None
    try:
        if isinstance(given, str):
            given = Schedule.parse(given)
        elif isinstance(given, Mapping):
            given = Schedule.of_json(given)
    except BadParameter as error:
        raise BadParameter(str(error), field) from None
    if not isinstance(given, Schedule):
        raise BadParameter(f"{given!r} is not a schedule; write it like {_EXAMPLES['cosine']}", field)
    return None if given.policy == "constant" else given


def settings_of(policy: str) -> tuple[str, ...]:
    """The names of a policy's settings, those first that it needs."""
    return (*_REQUIRED[policy], *_OPTIONAL.get(policy, ()))


def example_of(policy: str) -> str:
    """A policy with settings, as text."""
    return _EXAMPLES[policy]


def _check_value(what: str, value: object) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
    ):
        raise BadParameter(
            f"schedule {what}={value!r} is not a finite number from 0 up; give one such as 1e-4"
        )


def _number(text: str, whole: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise BadParameter(
            f"{text!r} in the schedule {whole!r} is not a number; write it like {_EXAMPLES['cosine']}"
        ) from None
