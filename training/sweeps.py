"""Sweeps: many variants from a grid or a list, grouped by shape into batches, run by an executor."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from data import Workspace
from data.errors import BadParameter, WorkbenchError
from training.families import get_family
from training.run import Job, choose_device, is_complete, make_job, shape_of, train_group

MAX_BATCH = 64
MAX_VARIANTS = 10_000
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """What a sweep did, by variant name; ``failed`` has the cause of each failure."""

    trained: tuple[str, ...]
    complete: tuple[str, ...]
    failed: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Done:
    """What one batch did."""

    trained: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def expand_grid(grid: Mapping[str, Sequence[Any] | Any]) -> list[dict[str, Any]]:
    """All combinations of the values, ``{"p": [101, 113], "seed": [0, 1]}`` -> four settings; the last key
    varies fastest. A value that is not a list is the same everywhere."""
    lists = {
        key: list(value) if isinstance(value, (list, tuple, range)) else [value]
        for key, value in grid.items()
    }
    empty = next((key for key, values in lists.items() if not values), None)
    if empty is not None:
        raise BadParameter(f"the grid has no value for {empty}; give at least one, such as {empty}=[1]")
    count = 1
    for values in lists.values():
        count *= len(values)
    if count > MAX_VARIANTS:
        raise BadParameter(f"the grid has {count} variants; {MAX_VARIANTS} at most, so divide the sweep")
    return [dict(zip(lists, chosen, strict=True)) for chosen in itertools.product(*lists.values())]


def read_sweep(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The variants of a YAML file, and its other settings (``epochs``, ``checkpoints``, ``device``, ...).

    The file has ``grid`` (name -> value or list), or ``variants`` (a list of settings), or both; settings
    given beside them under ``common`` hold for all.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadParameter(f"the sweep {path} cannot be read as YAML ({error}); mend the file") from error
    if not isinstance(content, dict) or not {"grid", "variants"} & set(content):
        raise BadParameter(f"the sweep {path} has neither a grid nor a list of variants; give one of them")
    options = {key: value for key, value in content.items() if key not in ("grid", "variants", "common")}
    common, grid, listed = content.get("common") or {}, content.get("grid"), content.get("variants") or []
    if not isinstance(common, dict) or not isinstance(grid or {}, dict) or not isinstance(listed, list):
        raise BadParameter(f"the sweep {path}: grid and common must be mappings, and variants a list")
    if not all(isinstance(one, dict) for one in listed):
        raise BadParameter(f"the sweep {path}: every variant must be a mapping such as {{p: 113}}")
    every = [*(expand_grid(grid) if grid else []), *listed]
    return [{**common, **one} for one in every], options


def sweep_jobs(
    family: str,
    variants: Iterable[Settings],
    epochs: int | None = None,
    checkpoints: str | Sequence[int] | None = None,
    checkpoint_dtype: str = "float32",
    state_every: int = 1000,
) -> list[Job]:
    """One job per variant; each setting is a parameter or a configuration value of the family.

    Raises ``BadParameter`` for settings that cannot be used, and for two that are the same variant.
    """
    found = get_family(family)
    defaults = found.make_config({})
    configurable = {one.name for one in fields(defaults)}
    jobs: dict[str, Job] = {}
    for settings in variants:
        config = {name: value for name, value in settings.items() if name in configurable}
        params = {name: value for name, value in settings.items() if name not in configurable}
        job = make_job(family, params, config, epochs, checkpoints, checkpoint_dtype, state_every)
        found.make_config(job.record.config).check_epochs(job.keep.epochs)
        if job.record.name in jobs:
            raise BadParameter(
                f"the sweep names the variant {job.record.name} twice ({dict(settings)}); remove one of them"
            )
        jobs[job.record.name] = job
    if not jobs:
        raise BadParameter("the sweep has no variants; give a grid such as p=101,113 seed=0,1,2")
    return list(jobs.values())


def batches_of(jobs: Sequence[Job], max_batch: int = MAX_BATCH) -> list[list[Job]]:
    """The jobs grouped by shape, in groups of at most ``max_batch``."""
    if max_batch < 1:
        raise BadParameter(f"max_batch={max_batch} is too small; take 1 or more")
    shapes: dict[Any, list[Job]] = {}
    for job in jobs:
        shapes.setdefault(shape_of(job.record), []).append(job)
    return [
        group[first : first + max_batch]
        for group in shapes.values()
        for first in range(0, len(group), max_batch)
    ]


def run_sweep(
    workspace: Workspace,
    jobs: Sequence[Job],
    executor: Executor | None = None,
    device: str = "auto",
    tf32: bool = False,
    max_batch: int = MAX_BATCH,
    workers: int | None = None,
    on_batch: Callable[[int, int, Sequence[str]], None] | None = None,
) -> Report:
    """Train what is missing or partial of the jobs; complete variants are left alone.

    executor: None makes a pool of ``workers`` processes (as many as there are cores, one for CUDA). A batch
    that fails altogether is reported with its cause and does not stop the others. ``on_batch(done, all,
    names of the failed)`` is called after every batch. Raises ``BadParameter`` before anything starts when a
    stored variant of the same name is another one.
    """
    chosen = choose_device(device)
    complete: list[Job] = []
    missing: list[Job] = []
    for job in jobs:
        if job.record.name not in workspace:
            missing.append(job)
            continue
        variant = workspace[job.record.name]
        if variant.identity != job.record.identity:
            raise BadParameter(
                f"{variant.name} is in {workspace.path} with other settings; delete it, or sweep elsewhere"
            )
        (complete if is_complete(variant, job.keep) else missing).append(job)
    names = tuple(job.record.name for job in complete)
    if not missing:
        return Report((), names, {})
    processes = workers or (1 if chosen.type == "cuda" else os.cpu_count() or 1)
    if chosen.type == "cpu" and executor is None:
        # enough batches for all processes
        max_batch = min(max_batch, -(-len(missing) // processes))
    batches = batches_of(missing, max_batch)
    trained: list[str] = []
    failed: dict[str, str] = {}
    notes: list[str] = []
    with _pool(min(processes, len(batches))) if executor is None else _open(executor) as pool:
        futures: dict[Future[_Done], list[Job]] = {
            pool.submit(_train, str(workspace.path), batch, device, tf32): batch for batch in batches
        }
        for count, future in enumerate(as_completed(futures), 1):
            try:
                done = future.result()
            except Exception as error:  # a lost worker, say: the batch fails, the sweep goes on
                done = _Done(failed={job.record.name: _cause(error) for job in futures[future]})
            trained += done.trained
            failed |= done.failed
            notes += done.notes
            if on_batch:
                on_batch(count, len(batches), sorted(done.failed))
    return Report(tuple(sorted(trained)), names, dict(sorted(failed.items())), tuple(notes))


@contextmanager
def dask_executor(address: str, timeout: float = 10) -> Iterator[Executor]:
    """The executor of a Dask cluster, ``tcp://host:port``; the workers must see the same workspace folder.
    ``BadParameter`` if no scheduler answers within ``timeout`` seconds."""
    try:
        from distributed import Client
    except ImportError:
        raise BadParameter(
            "--dask needs the package distributed; install the extra: pip install"
            " 'training-dynamics-workbench[cluster]'"
        ) from None
    try:
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise BadParameter(f"no Dask scheduler answers at {address!r} ({error}); start one there") from error
    with client:
        yield client.get_executor(retries=0, pure=False)


def _train(workspace: str, batch: Sequence[Job], device: str, tf32: bool) -> _Done:
    """Runs in a worker."""
    done = _Done()
    try:
        outcomes = train_group(
            Workspace(workspace), batch, device, tf32, resume=True, on_note=done.notes.append
        )
    except WorkbenchError as error:
        done.failed.update({job.record.name: _cause(error) for job in batch})
        return done
    for outcome in outcomes:
        if outcome.error is None:
            done.trained.append(outcome.name)
        else:
            done.failed[outcome.name] = _cause(outcome.error)
    return done


def _cause(error: BaseException) -> str:
    return str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"


def _pool(processes: int) -> ProcessPoolExecutor:
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(threads,))


@contextmanager
def _open(executor: Executor) -> Iterator[Executor]:
    """An executor of the caller's, who closes it."""
    yield executor
