"""How long it takes until something happens, when for some runs it had not happened by their last epoch.

Kaplan-Meier (E. Kaplan, P. Meier, "Nonparametric estimation from incomplete observations", JASA 1958) for the
share of runs that are still waiting; the log-rank test (N. Mantel, 1966; R. and J. Peto, 1972) for whether
groups differ. Runs that never got there are censored at their last epoch: it may still happen later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.permutation import Permuted, coded, permuted
from data.errors import BadParameter

LEVEL = 0.95

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """Share of runs still waiting after each time of an event.

    time, at_risk, events      distinct times at which it happened, runs still waiting just before, how many
                               it happened to [m]
    waiting, lower, upper      Kaplan-Meier estimate after that time with its pointwise band [m]
    median, median_interval    time by which half are done (inf: never in these data) and its interval
    """

    time: Array
    at_risk: Array
    events: Array
    waiting: Array
    lower: Array
    upper: Array
    median: float
    median_interval: tuple[float, float]

    def at(self, times: Array) -> Array:
        """The share still waiting after each of `times`."""
        return np.concatenate([[1.0], self.waiting])[np.searchsorted(self.time, times, side="right")]


@dataclass(frozen=True)
class LogRank:
    """groups [k] in order; chi2 on k - 1 degrees of freedom with its p-value; permuted: see `permutation`."""

    groups: list[Any]
    observed: Array
    expected: Array
    chi2: float
    df: int
    p: float
    permuted: Permuted


def kaplan_meier(time: Array, happened: Flags, level: float = LEVEL) -> Curve:
    """Kaplan-Meier over n runs: time [n] of the event, or of the last look where it has not happened.

    S(t) = prod over event times t_j <= t of (1 - d_j / n_j). Band: S^exp(+-z sqrt(V) / log S) with
    Greenwood's V = sum d_j / (n_j (n_j - d_j)); it stays within [0, 1]. Where S = 0 the band has no upper end
    of its own and keeps the last one. A run censored at the time of an event counts as at risk then. The
    median is the first t with S(t) <= 1/2, its interval those t at which the band holds 1/2 (Brookmeyer and
    Crowley, 1982).

    Raises BadParameter for no runs or times that are not finite.
    """
    from scipy.special import ndtri

    _check(time, happened)
    at, events = np.unique(time[happened], return_counts=True)
    at_risk = (time[None, :] >= at[:, None]).sum(axis=1).astype(float)
    waiting = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(events / (at_risk * (at_risk - events)))
        wide = ndtri((1 + level) / 2) * np.sqrt(variance) / np.log(waiting)
        lower, upper = waiting ** np.exp(-wide), waiting ** np.exp(wide)
    over = waiting == 0
    lower[over] = 0.0
    upper[over] = upper[~over][-1] if (~over).any() else 1.0
    return Curve(
        at,
        at_risk,
        events.astype(float),
        waiting,
        lower,
        upper,
        _reached(at, waiting),
        (_reached(at, lower), _reached(at, upper)),
    )


def log_rank(time: Array, happened: Flags, group: NDArray[Any]) -> LogRank:
    """Do the groups [n] wait equally long? For time and happened [n] as in `kaplan_meier`.

    At every event time t_j the d_j events are expected to fall on the groups as the runs at risk do; U_g =
    sum (d_gj - n_gj d_j / n_j) with the hypergeometric covariance V gives chi2 = U' V^- U on k - 1 degrees of
    freedom. The permutation test gives every run its score d_i - sum_{t_j <= t_i} d_j / n_j, whose sum over a
    group is U_g; it needs no large groups, but takes it that censoring has nothing to do with the group.

    Raises BadParameter for fewer than two groups.
    """
    from scipy.stats import chi2

    _check(time, happened)
    groups, codes = coded(group)
    if len(groups) < 2:
        raise BadParameter(f"The log-rank test compares two groups or more; there is one: {groups[0]!r}.")
    at, counts = np.unique(time[happened], return_counts=True)
    member = (codes[None, :] == np.arange(len(groups))[:, None]).astype(float)  # [k, n]
    waiting = (time[None, :] >= at[:, None]).astype(float)  # [m, n]
    of_group = waiting @ member.T  # n_gj: [m, k]
    total = of_group.sum(axis=1)
    observed = member @ happened
    share = of_group / total[:, None]
    expected = counts @ share
    weight = counts * (total - counts) / np.maximum(total - 1, 1)
    covariance = np.diag(weight @ share) - (share * weight[:, None]).T @ share
    excess = (observed - expected)[:-1]
    statistic = float(excess @ np.linalg.pinv(covariance[:-1, :-1]) @ excess)
    hazard = np.concatenate([[0.0], np.cumsum(counts / total)])
    scores = happened - hazard[np.searchsorted(at, time, side="right")]
    return LogRank(
        groups,
        observed,
        expected,
        statistic,
        len(groups) - 1,
        float(chi2.sf(statistic, len(groups) - 1)),
        permuted(scores, codes),
    )


def _reached(at: Array, level: Array) -> float:
    below = level <= 0.5 + 1e-12
    return float(at[below.argmax()]) if below.any() else float("inf")


def _check(time: Array, happened: Flags) -> None:
    if not len(time) or len(time) != len(happened):
        raise BadParameter(f"{len(time)} times and {len(happened)} outcomes; give one of each per run.")
    if not np.isfinite(time).all():
        raise BadParameter("A time is not finite; a run without an event has the time of its last epoch.")
