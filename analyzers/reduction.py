"""Reduce finished runs to what was found: a thinned history, the summary and small results, no checkpoints.

A sweep leaves a hundred megabytes a variant, and what is compared across variants takes a hundred kilobytes.
The checkpoints that tell the story of a run are measured with the standard instruments, then removed; the
record notes the hash of each, so that what was measured on them still counts (`analyzers.staleness`), and the
run can be trained again from its seed.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from data import Variant, Workspace
from data.errors import BadParameter, WorkbenchError
from training.replay import is_replicate
from training.run import Keep, is_complete, stored_history
from training.starts import START_FILE
from training.thinning import Thinning, choose_epochs, drop_all_but, thinned

CHECKPOINTS = 25
HISTORY = Thinning(whole=400, every=25, rounded=True)
RESULTS = (
    "clock_pizza",
    "gini",
    "logits_summary",
    "phases",
    "progress_losses",
    "run_summary",
    "turn",
    "weight_norms",
)


@dataclass(frozen=True)
class Reduced:
    """What became of one variant: the measured epochs, its size in bytes before and after."""

    variant: str
    measured: tuple[int, ...]
    before: int
    after: int


def why_not(variant: Variant) -> str:
    """Why a variant cannot be reduced, as a sentence; "" if it can."""
    if variant.removed and not variant.epochs:
        return f"{variant.name} is reduced already: its {len(variant.removed)} checkpoints were removed."
    if not variant.epochs:
        return f"{variant.name} has no checkpoints, so there is nothing to measure."
    plan = variant.provenance.get("plan")
    if not plan:
        return (
            f"{variant.name} has no training plan in its record (it was imported?): nothing could make its"
            " checkpoints again, so they are kept."
        )
    if not is_complete(variant, Keep.of_json(plan)):
        return f"{variant.name} is not trained to its end; `tdw resume {variant.name}` goes on with it."
    return ""


def reduce_variant(
    variant: Variant,
    checkpoints: int = CHECKPOINTS,
    results: Sequence[str] = RESULTS,
    history: Thinning = HISTORY,
) -> Reduced:
    """Measure `checkpoints` epochs of a finished variant with the standard instruments and keep only
    `results`, a thinned history and the record.

    A call that was interrupted can be repeated. Raises `BadParameter` for a variant that `why_not` names and
    for unknown results, `WorkbenchError` if something cannot be computed (the measured checkpoints stay).
    """
    for name in results:
        default_registry().get(name)
    if checkpoints < 2:
        raise BadParameter(f"checkpoints={checkpoints} is too few to measure a run; choose 2 or more.")
    reason = why_not(variant)
    if reason:
        raise BadParameter(reason)
    before = size_of(variant.path)
    if not variant.removed:
        _measure(variant, checkpoints, history)
        _note_removal(variant, history)
    for probe, analyzer, key, _ in variant.artifacts.listing():
        if analyzer not in results:
            variant.artifacts.drop(probe, analyzer, key)
    drop_all_but(variant, ())
    if is_replicate(variant):  # any other fork has nothing else to be replayed from
        (variant.path / START_FILE).unlink(missing_ok=True)
    return Reduced(variant.name, tuple(variant.removed), before, size_of(variant.path))


def reduce_variants(
    workspace: Workspace,
    names: Sequence[str],
    checkpoints: int = CHECKPOINTS,
    results: Sequence[str] = RESULTS,
    workers: int = 1,
    on_done: Callable[[Reduced], None] | None = None,
) -> dict[str, str]:
    """Reduce several variants, in so many processes of one thread each (1: in this one); returns the cause
    for those that failed."""
    failed: dict[str, str] = {}
    path, how = str(workspace.path), (checkpoints, tuple(results))
    for name, ask in _asked(path, names, how, min(workers, len(names))):
        try:
            done = ask()
        except Exception as error:  # a lost worker, say: the others go on
            known = isinstance(error, WorkbenchError)
            failed[name] = str(error) if known else f"{type(error).__name__}: {error}"
        else:
            if on_done is not None:
                on_done(done)
    return failed


def _asked(
    path: str, names: Sequence[str], how: tuple[int, tuple[str, ...]], workers: int
) -> Iterator[tuple[str, Callable[[], Reduced]]]:
    """Each variant with what gives its outcome, in the order in which they end."""
    if workers <= 1:
        yield from ((name, partial(_elsewhere, path, name, *how)) for name in names)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(_elsewhere, path, name, *how): name for name in names}
        yield from ((futures[future], future.result) for future in as_completed(futures))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _elsewhere(path: str, name: str, checkpoints: int, results: tuple[str, ...]) -> Reduced:
    return reduce_variant(Workspace(path)[name], checkpoints, results)


def _measure(variant: Variant, checkpoints: int, how: Thinning) -> None:
    """Thin first: results then belong to the history that is kept. The states stay until the record is
    written: they say that the run is complete."""
    recorded = stored_history(variant)
    every = np.arange(int(recorded["epoch"][-1]) + 1)
    level = np.interp(every, recorded["epoch"], np.log(np.maximum(recorded["test_loss"], 1e-300)))
    chosen = choose_epochs(np.exp(level), variant.epochs, checkpoints)
    variant.save_history(thinned(recorded, how, also=chosen))
    for epoch in set(variant.epochs) - set(chosen):
        variant.drop_checkpoint(epoch)
    report = analyze(variant)
    if report.failures:
        causes = "; ".join(map(str, report.failures[:3]))
        raise WorkbenchError(f"{len(report.failures)} results could not be computed: {causes}")


def _note_removal(variant: Variant, how: Thinning) -> None:
    hashes = {str(epoch): variant.at(epoch).hash for epoch in variant.epochs}
    kept = {"history": str(how), "states": "removed", "removed_checkpoints": hashes}
    # state_every 1: with all states gone the run still counts as complete, however short it was
    plan = {**variant.provenance["plan"], "checkpoints": variant.epochs, "state_every": 1}
    variant.record = replace(variant.record, provenance={**variant.provenance, "plan": plan, "kept": kept})
    variant.write_record()
