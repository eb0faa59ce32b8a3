"""When does the test loss turn? Events as intervals between evaluations, a confidence, and an honest "never".

The method, on y = log10 of the test loss over the epochs at which it was evaluated:

1. y is averaged over equal stretches of the run (`GRID` of them), short spikes are removed by a running
median, and
   the best decreasing fit (isotonic regression) is taken as the trend: what rises, at memorisation or in a
   spike, is levelled, so that only a decrease that lasts can be a turn. The spread of the evaluations about
   the trend (1.4826 times the median absolute deviation) is the noise.
2. At each of several scales (`SCALES`, shares of the run) the trend is smoothed with a Gaussian. A drop is a
   stretch around a fastest point in which the smoothed trend falls at `EDGE` of that rate or more; the drop
   of most decades is the turn. steepest is its fastest point, onset and completion are the ends of the
   stretch, less the width that the smoothing itself adds (taken off in quadrature).
3. Each event is reported as (lower, upper]: the evaluations around its estimates at all scales, with the
resolution
   of the finest scale added on both sides.
4. If the turn is over within a small part of the run, 2 and 3 are repeated on the run up to then (with some
room
   after it), so that the answer does not depend on how long the training went on afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.optimize import isotonic_regression

EVENTS = ("memorised", "onset", "steepest", "completion")

GRID = 2000
SCALES = (0.005, 0.01, 0.02)
EDGE = 0.1
MEDIAN = 0.01  # width of the running median, a share of the run
MEMORISED = 1e-2  # training loss
SUSTAINED = 0.01  # share of the run for which a level has to last
MIN_DECADES = 1.0
MIN_NOISES = 6.0  # the drop in units of the noise
MIN_SPEED = 4.0  # fastest rate in units of the mean rate over the whole run
MIN_EVALUATIONS = 8
ZOOM = 0.25  # a turn that is over within this share of the run is looked at more closely
ROOM = 3.0  # ... on the run up to this many times its completion
FLOOR = 1e-30  # losses below count as this

Array = NDArray[np.float64]
Interval = tuple[float, float]
UNKNOWN: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Turn:
    """What was found.

    verdict     "turned": plateau, then a drop that lasts; "unfinished": the run ends within the drop;
                "at once": the test loss fell with the training loss, without a plateau; "never"; "unknown":
                too few evaluations; "no history"
    reason      one sentence
    intervals   event -> (lower, upper], NaN where it did not happen; a NaN lower end with a finite upper one
                means "at or before the first evaluation"
    confidence  in [0, 1], 0 unless there is a drop: the product of
                size       1 - exp(-(decades / noise) / 10), the noise at least 0.05 decades
                lasting    share of the evaluations after the completion that stay below the middle of the
                           drop
                agreement  1 - (spread of the steepest point over the scales) / (duration of the drop), at
                           least 0
    decades     size of the drop; other_drops: further drops of at least `MIN_DECADES` decades
    """

    verdict: str
    reason: str
    intervals: dict[str, Interval] = field(default_factory=lambda: dict.fromkeys(EVENTS, UNKNOWN))
    confidence: float = 0.0
    decades: float = float("nan")
    other_drops: int = 0


@dataclass(frozen=True)
class _Drop:
    """A stretch of fast decrease at one scale, in epochs; speed: fastest rate over the mean rate."""

    onset: float
    steepest: float
    completion: float
    decades: float
    speed: float
    starts: bool  # it begins where the window begins
    ends: bool  # it ends where the window ends


@dataclass(frozen=True)
class _Finding:
    """The turn at every scale (finest first), in a window of `span` epochs; noise in decades."""

    drops: tuple[_Drop, ...]
    noise: float
    span: float
    middle: float  # log10 loss half-way through the drop
    speed: float  # fastest rate over the mean rate, on the whole run
    others: int  # further drops, on the whole run


def detect_turn(epoch: Array, test_loss: Array, train_loss: Array) -> Turn:
    """Find the turn of the test loss. Arrays [n] of any spacing, ascending in `epoch`; NaN where not
    evaluated.

    See the module's text for the method and `Turn` for the result. A run whose losses stop being finite is
    judged by what came before, and the reason says so.
    """
    epoch, test, train = (np.asarray(values, dtype=np.float64) for values in (epoch, test_loss, train_loss))
    if np.isnan(test).all() and np.isnan(train).all():
        return Turn("no history", "no losses were recorded")
    diverged = _divergence(epoch, test, train)
    if diverged is None:
        return _judge(epoch, test, train)
    before = epoch < diverged
    found = _judge(epoch[before], test[before], train[before])
    verdict = "never" if found.verdict == "unknown" else found.verdict
    return replace(
        found, verdict=verdict, reason=f"{found.reason}; the losses are not finite from epoch {diverged:g} on"
    )


@dataclass(frozen=True)
class Descent:
    """A stretch in which the trend of a loss falls, in epochs, by so many decades."""

    onset: float
    steepest: float
    completion: float
    decades: float


def descents(epoch: Array, loss: Array) -> list[Descent]:
    """Every stretch in which the trend of a loss falls by `MIN_DECADES` or more, in order of time.

    Steps 1 and 2 of the module's method at its middle scale, on the whole run. Arrays [n] as in
    `detect_turn`; empty for fewer than `MIN_EVALUATIONS` finite values.
    """
    epoch, loss = (np.asarray(values, dtype=np.float64) for values in (epoch, loss))
    seen = np.isfinite(loss)
    if seen.sum() < MIN_EVALUATIONS:
        return []
    found = _drops(*_trend(epoch[seen], np.log10(np.maximum(loss[seen], FLOOR))), SCALES[1])
    return sorted(
        (
            Descent(drop.onset, drop.steepest, drop.completion, drop.decades)
            for drop in found
            if drop.decades >= MIN_DECADES
        ),
        key=lambda descent: descent.steepest,
    )


def _divergence(epoch: Array, test: Array, train: Array) -> float | None:
    """The epoch of the first infinite loss, or from which on there is no finite loss."""
    infinite = np.isinf(test) | np.isinf(train)
    if infinite.any():
        return float(epoch[infinite.argmax()])
    missing = np.isnan(test) & np.isnan(train)
    if missing[-1]:
        return float(epoch[len(missing) - missing[::-1].argmin()])
    return None


def _judge(epoch: Array, test: Array, train: Array) -> Turn:
    memorised = _memorised(epoch, train)
    intervals = {**dict.fromkeys(EVENTS, UNKNOWN), "memorised": memorised}
    fits = bool(np.isfinite(memorised[1]))
    seen = np.isfinite(test)
    t, y = epoch[seen], np.log10(np.maximum(test[seen], FLOOR))
    if len(t) < MIN_EVALUATIONS:
        reason = f"the test loss was evaluated {len(t)} times; {MIN_EVALUATIONS} are needed"
        return Turn("unknown", reason, intervals)
    remark = "" if fits else f"; the training loss never stays below {MEMORISED:g}"
    finding = _search(t, y)
    if finding is None:
        above = "; it ends above its first value" if y[-1] > y[0] else ""
        reason = f"no lasting drop of the test loss by {MIN_DECADES:g} decade or more stands out from noise"
        return Turn("never", f"{reason}{above}{remark}", intervals)
    finest = finding.drops[0]
    decades = f"{finest.decades:.1f} decades"
    begins = finest.starts or finest.onset <= memorised[1]
    if finding.speed < MIN_SPEED or (finest.starts and y[-1] > np.log10(MEMORISED)):
        return Turn(
            "never", f"the test loss falls by {decades}, but gradually, without a turn{remark}", intervals
        )

    resolution = SCALES[0] * finding.span
    for event in ("onset", "steepest", "completion"):
        estimates = [float(getattr(drop, event)) for drop in finding.drops]
        intervals[event] = _around(t, min(estimates) - resolution, max(estimates) + resolution)
    if begins:
        verdict, reason = "at once", f"the test loss falls by {decades} without a plateau after memorisation"
    elif finest.ends:
        verdict, reason = "unfinished", f"the run ends while the test loss falls, by {decades} so far"
        intervals["completion"] = UNKNOWN
    else:
        verdict, reason = "turned", f"the test loss falls by {decades} after a plateau"
    if finding.others:
        remark = f"; the largest of {finding.others + 1} drops{remark}"
    confidence = _confidence(finding, t, y)
    return Turn(verdict, reason + remark, intervals, confidence, finest.decades, finding.others)


def _confidence(finding: _Finding, t: Array, y: Array) -> float:
    finest = finding.drops[0]
    size = 1 - np.exp(-finest.decades / max(finding.noise, 0.05) / 10)
    after = y[t > finest.completion]
    lasting = (after < finding.middle).mean() if len(after) else 1.0
    points = [drop.steepest for drop in finding.drops]
    duration = max(finest.completion - finest.onset, SCALES[0] * finding.span)
    agreement = max(0.0, 1 - (max(points) - min(points)) / duration)
    return float(size * lasting * agreement)


def _memorised(epoch: Array, train: Array) -> Interval:
    """(previous evaluation, first evaluation] from which the training loss stays below the threshold."""
    seen = np.isfinite(train)
    return first_lasting(epoch[seen], train[seen] < MEMORISED)


def first_lasting(t: Array, holds: NDArray[np.bool_]) -> Interval:
    """(previous evaluation, first evaluation] from which a condition holds for a while; t [n] ascending.

    A while: `SUSTAINED` of the run and at least three evaluations (fewer at its end), in nine of ten of
    which it holds.
    """
    if not holds.any():
        return UNKNOWN
    count = np.arange(len(t))
    last = np.searchsorted(t, t + SUSTAINED * (t[-1] - t[0]), side="right")
    last = np.minimum(np.maximum(last, count + 3), len(t))
    total = np.concatenate([[0], np.cumsum(holds)])
    lasts = holds & ((total[last] - total[:-1]) >= 0.9 * (last - count))
    if not lasts.any():
        return UNKNOWN
    first = int(lasts.argmax())
    return (float(t[first - 1]) if first else float("nan"), float(t[first]))


def _search(t: Array, y: Array) -> _Finding | None:
    """The turn on the whole run, then on shorter and shorter beginnings while it is over early in them."""
    finding = _find(t, y)
    closer = finding
    while closer is not None:
        finding = closer if finding is None else replace(closer, speed=finding.speed, others=finding.others)
        over = max(drop.completion for drop in closer.drops) - t[0]
        kept = t <= t[0] + ROOM * over
        if over > ZOOM * (t[-1] - t[0]) or kept.sum() < MIN_EVALUATIONS or kept.all():
            break
        t, y = t[kept], y[kept]
        closer = _find(t, y)
    return finding


def _find(t: Array, y: Array) -> _Finding | None:
    """The turn in this window, or None if at some scale no drop is large enough."""
    at, trend = _trend(t, y)
    residual = y - np.interp(t, at, trend)
    noise = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    enough = max(MIN_DECADES, MIN_NOISES * noise)
    chosen = []
    others = 0
    for scale in reversed(SCALES):
        large = [drop for drop in _drops(at, trend, scale) if drop.decades >= enough]
        if not large:
            return None
        chosen.append(max(large, key=lambda drop: drop.decades))
        others = len(large) - 1
    finest = chosen[-1]
    middle = float(np.interp([finest.onset, finest.completion], at, trend).mean())
    return _Finding(tuple(reversed(chosen)), noise, float(t[-1] - t[0]), middle, finest.speed, others)


def _trend(t: Array, y: Array) -> tuple[Array, Array]:
    """(epochs, decreasing trend of y) at the middles of `GRID` equal stretches of the window."""
    edges = np.linspace(t[0], t[-1], GRID + 1)
    knots = np.union1d(t, edges)
    values = np.interp(knots, t, y)
    area = np.concatenate([[0], np.cumsum(np.diff(knots) * (values[1:] + values[:-1]) / 2)])
    means = np.diff(area[np.searchsorted(knots, edges)]) / np.diff(edges)
    smooth = median_filter(means, size=int(MEDIAN * GRID) | 1, mode="nearest")
    return (edges[1:] + edges[:-1]) / 2, isotonic_regression(smooth, increasing=False).x


def _drops(at: Array, trend: Array, scale: float) -> list[_Drop]:
    """All drops at one scale, the fastest first: all around a peak that is at least EDGE as fast."""
    smooth = gaussian_filter1d(trend, scale * GRID, mode="nearest")
    rate = -np.gradient(smooth, at)
    span = at[-1] - at[0]
    mean_rate = (smooth[0] - smooth[-1]) / span
    widening = np.sqrt(-2 * np.log(EDGE)) * scale * span  # half-width of the kernel at EDGE of its height
    left = rate.copy()
    found = []
    while left.max() > EDGE * rate.max():
        peak = int(left.argmax())
        slow = np.flatnonzero(left < EDGE * rate[peak])
        place = np.searchsorted(slow, peak)
        first = int(slow[place - 1]) + 1 if place else 0
        last = int(slow[place]) - 1 if place < len(slow) else len(at) - 1
        left[first : last + 1] = 0
        found.append(
            _Drop(
                onset=float(at[peak] - _narrowed(at[peak] - at[first], widening)),
                steepest=float(at[peak]),
                completion=float(at[peak] + _narrowed(at[last] - at[peak], widening)),
                decades=float(smooth[first] - smooth[last]),
                speed=float(rate[peak] / mean_rate) if mean_rate else np.inf,
                starts=first == 0,
                ends=last == len(at) - 1,
            )
        )
    return found


def _narrowed(width: float, widening: float) -> float:
    return float(np.sqrt(max(width**2 - widening**2, 0.0)))


def _around(t: Array, low: float, high: float) -> Interval:
    """The narrowest (evaluation, evaluation] that holds the epochs from low to high."""
    before = np.searchsorted(t, low, side="left") - 1
    after = min(int(np.searchsorted(t, high, side="left")), len(t) - 1)
    return (float(t[before]) if before >= 0 else float("nan"), float(t[after]))
