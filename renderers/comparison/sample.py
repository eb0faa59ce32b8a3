"""What statistics take from a cohort: metrics, parameters that vary, events, and who is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzers.summary.steps import passed
from data.errors import BadParameter, MissingArtifact, WorkbenchError
from renderers.comparison.cohort import Cohort
from renderers.comparison.colours import label

ROOTS, EVERY = "roots", "all"
RUNS = (ROOTS, EVERY)
ALL = "all runs"
_FIRST_PARAMETERS = ("p", "seed", "data_seed")
_BOOKKEEPING = frozenset(
    {
        "family",
        "parent",
        "forked_at",
        "change",
        "checkpoints",
        "epochs",
        "trained_epochs",
        "final_train_loss",
        "final_test_loss",
    }
)
_FIRST_METRICS = (
    "turn, completion",
    "turn, onset",
    "turn, delay",
    "turn, size",
    "memorised",
    "last test loss",
    "learned frequencies",
    "test accuracy",
    "weight norm, final",
)
_ACCURACY = {f"test accuracy of {share:.0%} or more": share for share in (0.5, 0.9, 0.99)}
_LOSS = {f"test loss of {loss:g} nats or less": loss for loss in (1.0, 0.1, 0.01)}
_UNKNOWN = ("not been computed", "not recorded", "no losses were recorded", "are needed", "has no such value")
_SAMPLED_ROOTS = 4  # that a model needs
_SAMPLED = 5  # runs whose summaries are read for definitions


@dataclass(frozen=True)
class Metric:
    """What is said of a metric: its unit, definition and section, "" where that is not known."""

    name: str
    unit: str = ""
    definition: str = ""
    section: str = ""

    @property
    def title(self) -> str:
        """The name with the unit, for an axis."""
        unit = {"1": "", "code": "", "nat": "nats"}.get(self.unit, self.unit)
        return f"{self.name} ({unit})" if unit else self.name


def described(cohort: Cohort) -> dict[str, Metric]:
    """Metrics by name, from the summaries of the first runs that have one."""
    found: dict[str, Metric] = {}
    read = 0
    for variant in cohort.variants:
        try:
            summary = cohort.artifact(variant, "run_summary")
        except (MissingArtifact, WorkbenchError):
            continue
        for one in json.loads(summary.attrs["metrics"]):
            found.setdefault(one["name"], Metric(one["name"], one["unit"], one["definition"], one["section"]))
        read += 1
        if read == _SAMPLED:
            break
    return found


def metric_of(cohort: Cohort, name: str) -> Metric:
    """What is said of the metric of that name."""
    return described(cohort).get(name, Metric(name))


def metric_names(cohort: Cohort) -> tuple[str, ...]:
    """Metrics in which any two variants differ, the most asked-for first."""
    frame = cohort.metrics()
    if frame.empty:
        return ()
    values = frame.to_numpy(float)
    filled = np.where(np.isfinite(values), values, np.nan)
    some = np.isfinite(filled).sum(axis=0) > 1
    differ = np.zeros(filled.shape[1], dtype=bool)
    differ[some] = np.nanmax(filled[:, some], axis=0) > np.nanmin(filled[:, some], axis=0)
    known = [str(name) for name, use in zip(frame.columns, differ, strict=True) if use]
    first = [name for name in _FIRST_METRICS if name in known]
    return tuple(dict.fromkeys([*first, *known]))


def chosen(cohort: Cohort, parameter: str = "metric") -> str:
    """The metric that was chosen; BadParameter if there is none to choose."""
    name = cohort.params[parameter]
    if not name:
        raise BadParameter(
            f"No metric differs between the {len(cohort.names)} selected runs. Analyse them, or select more."
        )
    return name


def second_metric(cohort: Cohort) -> tuple[str, ...]:
    """The same, the second one first: for the other axis."""
    names = metric_names(cohort)
    return (*names[1:], *names[:1])


def parameter_names(cohort: Cohort) -> tuple[str, ...]:
    """Parameters in which the variants differ, p, seed and data seed first; p if they differ in none."""
    frame = cohort.parameters()
    vary = [
        str(name)
        for name in frame.columns
        if name not in _BOOKKEEPING and len({label(value) for value in frame[name]}) > 1
    ]
    first = [name for name in _FIRST_PARAMETERS if name in vary]
    return tuple(dict.fromkeys([*first, *vary])) or ("p",)


def grouping_names(cohort: Cohort) -> tuple[str, ...]:
    """The same, and all runs as one group."""
    return (*parameter_names(cohort), ALL)


def factor_names(cohort: Cohort) -> tuple[str, ...]:
    """Parameters that vary over the roots, the seed first."""
    names = [name for name in parameter_names(cohort) if name not in ("kind", "lr_schedule")]
    return tuple(sorted(names, key=lambda name: name != "seed"))


def labels(cohort: Cohort, by: str, names: Iterable[str]) -> list[str]:
    """The parameter's value of each of the named variants, as text."""
    frame = cohort.parameters()
    if by == ALL:
        return [ALL for _ in names]
    if by not in frame:
        raise BadParameter(f"No variant has a parameter {by!r}; there are: {', '.join(frame.columns)}.")
    return [label(frame.at[name, by]) for name in names]


def runs(cohort: Cohort, which: str) -> tuple[list[str], list[tuple[str, str]]]:
    """(names of the runs that count, those left out with the reason): replicates and forks are no runs of
    their own where seeds are counted."""
    if which != ROOTS:
        return list(cohort.names), []
    kind = cohort.parameters()["kind"]
    kept = [name for name in cohort.names if kind[name] == "root"]
    left = [
        (name, f"a {kind[name]} of {cohort.parameters().at[name, 'parent']}, which counts once")
        for name in cohort.names
        if kind[name] != "root"
    ]
    return kept, left


def known_values(
    cohort: Cohort, metric: str, names: list[str]
) -> tuple[list[str], np.ndarray, list[tuple[str, str]]]:
    """(variants that have the metric, their values, those left out with the reason)."""
    values = cohort.metrics([metric])[metric].loc[names].to_numpy(float)
    has = np.isfinite(values)
    left = [(name, f"has no {metric}") for name, one in zip(names, has, strict=True) if not one]
    return [name for name, one in zip(names, has, strict=True) if one], values[has], left


def roots_with(
    cohort: Cohort, metric: str
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray], list[tuple[str, str]]]:
    """(roots with the metric, its values, factor -> labels, those left out)."""
    names, left = runs(cohort, ROOTS)
    known, values, without = known_values(cohort, metric, names)
    if len(known) < _SAMPLED_ROOTS:
        raise BadParameter(
            f"{len(known)} of the selected runs are roots that have {metric!r}; {_SAMPLED_ROOTS} are needed."
            " Select more variants or another metric."
        )
    factors = {name: np.array(labels(cohort, name, known)) for name in factor_names(cohort)}
    varying = {name: labels for name, labels in factors.items() if len(set(labels.tolist())) > 1}
    return known, values, varying, [*left, *without]


# --- events ----------------------------------------------------------------------------------------------


def event_names(cohort: Cohort) -> tuple[str, ...]:
    """Events whose time can be analysed: those of the summary, and levels of test loss and accuracy."""
    known = described(cohort)
    timed = [
        name
        for name in metric_names(cohort)
        if known.get(name, Metric(name)).unit == "epoch" and not name.startswith(("frequency ", "descent "))
    ]
    turn = [
        name for name in ("turn, completion", "turn, onset", "turn, steepest", "memorised") if name in timed
    ]
    accuracy = tuple(_ACCURACY) if "test accuracy" in cohort.metrics() else ()
    return tuple(dict.fromkeys([*turn, *_LOSS, *accuracy, *timed]))


@dataclass(frozen=True)
class Times:
    """Per run: the event lies in (lower, upper] of epochs; upper is NaN where it had not by `last`."""

    names: list[str]
    lower: np.ndarray
    upper: np.ndarray
    last: np.ndarray
    left: list[tuple[str, str]]


def event_times(cohort: Cohort, event: str, names: list[str]) -> Times:
    """When the event happened in each of the named runs; those of which that is not known are left out."""
    bounds = cohort.bounds(event) if event not in _ACCURACY and event not in _LOSS else None
    trained = pd.to_numeric(cohort.parameters()["trained_epochs"], errors="coerce")
    rows: list[tuple[str, float, float, float]] = []
    left = []
    for name in names:
        end = float(trained[name])
        if not end > 0:
            left.append((name, "has not been trained"))
            continue
        if bounds is None:
            low, high, reason = _of_level(cohort, name, event)
        else:
            low, high = float(bounds.at[name, "lower"]), float(bounds.at[name, "upper"])
            reason = "" if np.isfinite(high) else _why_not(cohort, name, event)
        if reason:
            left.append((name, reason))
        else:
            rows.append((name, low, high, end))
    lower, upper, last = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 3).T
    return Times([row[0] for row in rows], lower, upper, last, left)


def _of_level(cohort: Cohort, name: str, event: str) -> tuple[float, float, str]:
    """(lower, upper, why it is not known) of reaching a level for good."""
    variant = cohort.get(name)
    if event in _LOSS:
        history = variant.history
        if "test_loss" not in history or not history.sizes["epoch"]:
            return np.nan, np.nan, "no losses were recorded"
        values = history["test_loss"].values.astype(float)
        seen = np.isfinite(values)
        lower, upper = passed(history["epoch"].values[seen], values[seen] <= _LOSS[event])
        return lower, upper, ""
    try:
        accuracy = cohort.artifact(variant, "logits_summary")["accuracy"].sel(split="test")
    except MissingArtifact as error:
        return np.nan, np.nan, str(error).split(" Run `tdw")[0]
    lower, upper = passed(accuracy["epoch"].values, accuracy.values >= _ACCURACY[event])
    return lower, upper, ""


def _why_not(cohort: Cohort, name: str, event: str) -> str:
    """Why nothing is known of an event; "" if it simply did not happen."""
    try:
        summary = cohort.artifact(cohort.get(name), "run_summary")
    except MissingArtifact as error:
        return str(error).split(" Run `tdw")[0]
    reasons = {one["name"]: one["reason"] or one["text"] for one in json.loads(summary.attrs["metrics"])}
    reason = str(reasons.get(event, f"{event} has not been computed"))
    return reason if any(sign in reason for sign in _UNKNOWN) else ""
