"""Anomalies of a cohort: the metrics looked at, how far each run is off, its score, why in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analyzers.comparison.anomalies import Scores, scores
from analyzers.comparison.deviations import LEAST, Deviation, deviation, peers
from data.errors import BadParameter
from renderers.comparison import sample
from renderers.comparison.cohort import Cohort
from renderers.comparison.marks import number, with_unit
from renderers.comparison.sample import Metric

_NOT_FINDINGS = ("checkpoints", "trained epochs", "classification")
_NOT_FINDINGS_EITHER = ("rule: ", "frequency ")
_EVENTS = ("memorised", "turn, onset", "turn, steepest", "turn, completion")
_TIMES = ("epoch", "epochs")
_STRETCHES = ("descent ", "commitment ")
_COVERED = 0.5  # share of the reference runs that must have a metric
_ALIKE = 0.8  # Spearman between metrics of which one is enough as a reason
_USUAL = (0.05, 0.95)


@dataclass(frozen=True)
class Reason:
    """Where a run stands out: z, its value, what 90 % of its peers have, its rank among all runs.

    later      the value is a bound: the event had not happened by then
    rank, of   how many of the runs lie as far out on that side; how many there are
    same_p     the peers are the runs of its p
    """

    metric: Metric
    z: float
    value: float
    later: bool
    low: float
    high: float
    rank: int
    of: int
    same_p: bool

    def short(self) -> str:
        """One line without the definition."""
        value = with_unit(self.value, self.metric.unit)
        usual = f"{number(self.low, self.metric.unit)} to {number(self.high, self.metric.unit)}"
        return f"{self.metric.name}: {'after ' if self.later else ''}{value} (others {usual})"

    def long(self) -> str:
        """The same with z, rank and definition."""
        side, beside = "top" if self.z > 0 else "bottom", ", beside runs of its p" if self.same_p else ""
        sign = "+" if self.z > 0 else ""
        place = f"number {self.rank} of {self.of} from the {side}{beside}"
        meaning = f"; {self.metric.definition}" if self.metric.definition else ""
        return f"{self.short()}: z = {sign}{number(self.z)}, {place}{meaning}"


@dataclass(frozen=True)
class Oddities:
    """Every run's deviations and score.

    values, z, later     [run, metric]: value, robust z, whether the value is a bound
    reference, p         [run]: whether it makes up what is usual; its prime
    adjusted             per metric, as in `Deviation`
    left                 runs that could not take part, with the reason
    """

    names: list[str]
    metrics: list[Metric]
    values: np.ndarray
    z: np.ndarray
    scores: Scores
    reference: np.ndarray
    p: np.ndarray
    later: np.ndarray
    adjusted: list[str]
    left: list[tuple[str, str]]

    def order(self) -> np.ndarray:
        """Positions of the runs, the oddest first."""
        return np.lexsort((-self.scores.breadth, -self.scores.score))

    def reasons(self, run: int, most: int) -> list[Reason]:
        """Where that run stands out most, metrics that go together being named once."""
        found: list[Reason] = []
        used: list[int] = []
        size = np.where(np.isfinite(self.z[run]), np.abs(self.z[run]), -1.0)
        for column in np.argsort(-size, kind="stable"):
            if len(found) == most or size[column] < 1:
                break
            if (self._together[column, used] > _ALIKE).any():
                continue
            used.append(int(column))
            found.append(self._reason(run, int(column)))
        return found

    @cached_property
    def _together(self) -> np.ndarray:
        """|Spearman| between metrics over the roots [metric, metric]."""
        ranks = pd.DataFrame(self.z[self.reference]).rank()
        return ranks.corr(min_periods=LEAST).abs().to_numpy()

    def _reason(self, run: int, column: int) -> Reason:
        values, z = self.values[:, column], float(self.z[run, column])
        others, same_p = peers(values, self.reference, self.p, run, self.adjusted[column])
        known = values[np.isfinite(values) & np.isfinite(self.z[:, column])]
        beyond = known >= values[run] if z > 0 else known <= values[run]
        low, high = np.nan, np.nan
        if len(others):
            low = np.quantile(others, _USUAL[0], method="higher")
            high = np.quantile(others, _USUAL[1], method="lower")
        return Reason(
            self.metrics[column],
            z,
            float(values[run]),
            bool(self.later[run, column]),
            float(low),
            float(high),
            int(beyond.sum()),
            len(known),
            same_p,
        )


def oddities(cohort: Cohort) -> Oddities:
    """The anomalies of a cohort. Roots are what is usual; replicates and forks are judged by them.

    BadParameter if fewer than eight roots have metrics, or no metric tells them apart.
    """
    frame, parameters = cohort.metrics(), cohort.parameters()
    left: list[tuple[str, str]] = []
    names = []
    analysed = dict(zip(cohort.names, np.isfinite(frame.to_numpy(float)).any(axis=1).tolist(), strict=True))
    for name in cohort.names:
        trained, planned = (pd.to_numeric(parameters.at[name, one]) for one in ("trained_epochs", "epochs"))
        if not analysed[name]:
            left.append((name, "has no metrics: analyse it first"))
        elif np.isfinite(planned) and trained < planned:
            left.append((name, f"has been trained for {trained:,.0f} of {planned:,.0f} epochs"))
        else:
            names.append(name)
    reference = np.array([parameters.at[name, "kind"] == "root" for name in names], dtype=bool)
    if int(reference.sum()) < LEAST:
        raise BadParameter(
            f"{int(reference.sum())} of the selected runs are fully trained roots with metrics; what is usual"
            f" shows from {LEAST} on. Select more variants."
        )
    known = sample.described(cohort)
    values, later = _values(cohort, frame, names, known)
    p = (
        pd.to_numeric(parameters.loc[names, "p"], errors="coerce").to_numpy(float)
        if "p" in parameters
        else None
    )
    p = np.full(len(names), np.nan) if p is None else p
    resolution = _resolution(cohort, [metric for metric in values if known[metric].unit in _TIMES], names)
    found: dict[str, Deviation] = {}
    for metric in values:
        covered = np.isfinite(values[metric][reference]).mean()
        if covered < _COVERED:
            continue
        one = deviation(values[metric], reference, p, resolution.get(metric, 0.0))
        if one is not None:
            found[metric] = one
    if not found:
        raise BadParameter("No metric tells these runs apart. Select others, or analyse them.")
    z = np.stack([one.z for one in found.values()], axis=1)
    bound = np.stack([later[metric] for metric in found], axis=1)
    z[bound & (z < 0)] = np.nan  # "not yet" says nothing where the run was not trained for long enough
    return Oddities(
        names,
        [known.get(metric, Metric(metric)) for metric in found],
        np.stack([values[metric] for metric in found], axis=1),
        z,
        scores(z, reference),
        reference,
        p,
        bound,
        [one.adjusted for one in found.values()],
        left,
    )


def _values(
    cohort: Cohort, frame: pd.DataFrame, names: list[str], known: dict[str, Metric]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """metric -> values of the named runs, and where they are bounds: an event that had not happened."""
    values, later = {}, {}
    trained = pd.to_numeric(cohort.parameters().loc[names, "trained_epochs"], errors="coerce").to_numpy(float)
    numbers = frame.loc[names].to_numpy(float)
    for column, metric in enumerate(map(str, frame.columns)):
        if metric in _NOT_FINDINGS or metric.startswith(_NOT_FINDINGS_EITHER):
            continue
        unit = known.setdefault(metric, Metric(metric)).unit
        if unit == "code":
            continue
        values[metric] = numbers[:, column]
        if unit == "epoch":  # "not before the end" says how long the training went on, not what it did
            values[metric] = np.where(values[metric] >= trained, np.nan, values[metric])
        later[metric] = np.zeros(len(names), dtype=bool)
        if metric in _EVENTS:
            times = sample.event_times(cohort, metric, names)
            last = dict(zip(times.names, times.last, strict=True))
            never = {name for name, upper in zip(times.names, times.upper, strict=True) if np.isnan(upper)}
            later[metric] = np.array([name in never for name in names])
            values[metric] = np.array(
                [
                    last[name] if name in never else one
                    for name, one in zip(names, values[metric], strict=True)
                ]
            )
    return values, later


def _resolution(cohort: Cohort, metrics: list[str], names: list[str]) -> dict[str, float]:
    """metric -> the usual width of the interval in which its time is known to lie; not of those whose bounds
    are the ends of a stretch."""
    timed = [metric for metric in metrics if not metric.startswith(_STRETCHES)]
    widths: dict[str, list[float]] = {}
    for one in cohort.catalog.metrics(timed, names):
        if one.lower is not None and one.upper is not None:
            widths.setdefault(one.name, []).append(one.upper - one.lower)
    return {metric: float(np.median(found)) for metric, found in widths.items()}
