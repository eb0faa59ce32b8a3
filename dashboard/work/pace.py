"""How long work should take, from what the last finished work in this workspace took. All of it is rough.

Training: an epoch takes ``FLOOR + operations / rate``. The rate is that of the last finished training on the
same kind of device whose epoch was comparable (within a factor of REACH): overheads rule tiny models, and say
nothing about large ones. Analysis: seconds per result of each analyzer, scaled by p^2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.database.jobs import Job

if TYPE_CHECKING:
    from analyzers.pipeline import Report

FLOPS_PER_SECOND = {"cpu": 2e11, "cuda": 1e13}  # where nothing comparable was trained yet
FLOOR = {"cpu": 1e-3, "cuda": 3e-4}  # seconds of an epoch of nothing
REACH = 30.0
SECONDS_PER_RESULT = 0.05  # at p = 113, where an analyzer has not run yet
SECONDS_PER_SLOW_RESULT = 5.0  # the same of one that is not standard


@dataclass(frozen=True)
class Pace:
    """seconds: of one epoch, or of all; based_on: a few words."""

    seconds: float
    based_on: str


def epoch_pace(history: Sequence[Job], device: str, flops: float) -> Pace:
    """Seconds of an epoch of that many operations on that kind of device."""
    for job in history:
        facts = job.result
        if job.state != "done" or not facts.get("flops_per_second") or not facts.get("flops_per_epoch"):
            continue
        ratio = flops / float(facts["flops_per_epoch"])
        if facts.get("device", device) == device and 1 / REACH <= ratio <= REACH:
            return Pace(
                max(flops / float(facts["flops_per_second"]), FLOOR[device] * min(1.0, ratio)),
                f"the pace of “{job.title}”",
            )
    return Pace(
        FLOOR[device] + flops / FLOPS_PER_SECOND[device], "a cautious guess: nothing like it was trained here"
    )


def result_seconds(history: Sequence[Job], standard: Mapping[str, bool]) -> tuple[dict[str, float], str]:
    """Seconds of one result at p = 113 per analyzer, and on what they rest.

    standard: name -> whether it is of the standard set
    """
    known: dict[str, float] = {}
    newest = ""
    for job in history:
        if job.kind != "analyze" or job.state != "done":
            continue
        each = job.result.get("seconds_each") or {}
        newest = newest or (job.title if each else "")
        for name, seconds in each.items():
            known.setdefault(name, float(seconds))
    guessed = [name for name in standard if name not in known]
    found = {
        name: known.get(name, SECONDS_PER_RESULT if is_standard else SECONDS_PER_SLOW_RESULT)
        for name, is_standard in standard.items()
    }
    if not newest:
        return found, "a cautious guess: nothing was analysed here yet"
    return found, f"the pace of “{newest}”" + (
        f", and guesses for {len(guessed)} that never ran here" if guessed else ""
    )


def seconds_each(reports: Sequence[Report], sizes: Sequence[float]) -> dict[str, float]:
    """Seconds of one result at p = 113 per analyzer, of one report per variant and the variants' sizes.

    All results of a report share the time of its features.
    """
    spent, work = defaultdict[str, float](float), defaultdict[str, float](float)
    for report, size in zip(reports, sizes, strict=True):
        shared = sum(report.features.values()) / max(1, sum(report.computed.values()))
        for analyzer, seconds in report.seconds.items():
            count = report.computed.get(analyzer, 0)
            spent[analyzer] += seconds + shared * count
            work[analyzer] += count * size
    return {analyzer: spent[analyzer] / work[analyzer] for analyzer in spent if work[analyzer]}
