"""Analysis in the background: one process per job, started from a clean process, with progress and cancel."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diskcache
import multiprocess
import psutil
from dash import DiskcacheManager
from multiprocess import forkserver

PRELOADED = ["torch", "dashboard.jobs", "analyzers.pipeline"]
WORKSPACE_VARIABLE = "TDW_WORKSPACE"
JOBS = "running jobs"
REMEMBERED = 24 * 3600
log = logging.getLogger(__name__)


class JobManager(DiskcacheManager):
    """A DiskcacheManager whose jobs do not fork the web server, and which does no work twice.

    The stock manager forks a process with many threads; torch or SQLite in one of them can then hang the
    child for ever. Here each job starts from a fork server that has imported what jobs need and nothing else.
    A page that asks for what another page's job is doing (one variant, one set of analyzers) joins that job:
    same process, same progress, same result.
    """

    def __init__(self, folder: Path, workspace: Path) -> None:
        super().__init__(diskcache.Cache(str(folder)))
        self._workspace = workspace
        self._context = multiprocess.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def warm_up(self) -> None:
        """Start the fork server now, so that the first job does not wait for its imports."""
        forkserver.ensure_running()

    def running(self, variant: str) -> list[list[str]]:
        """The sets of analyzers that jobs are computing for `variant` now ([] is the standard set)."""
        works = [json.loads(work) for work in self._jobs()]
        return [analyzers for name, analyzers in works if name == variant]

    def call_job_fn(self, key: str, job_fn: Callable[..., Any], args: Any, context: Any) -> int:
        """Start the job, or join the one that does the same; returns its process id, which cancels it."""
        work = json.dumps(_work(args))
        with self.handle.transact():
            jobs = self._jobs()
            if work in jobs:
                pid, leader, _ = jobs[work]
                self.handle.set(_leader(key), leader, expire=REMEMBERED)
                return int(pid)
            arguments = (self._workspace, job_fn, key, self._make_progress_key(key), args, context)
            process = self._context.Process(target=_run, args=arguments, daemon=True)
            process.start()
            self.handle.set(JOBS, {**jobs, work: (process.pid, key, _started(process.pid))})
        return int(process.pid)

    def get_progress(self, key: str) -> Any:
        """The last progress of the job that this page started or joined; it stays for the other pages."""
        return self.handle.get(self._make_progress_key(self._leads(key)))

    def get_result(self, key: str, job: Any) -> Any:
        """The result of the job that this page started or joined, for every page that asks."""
        return self.handle.get(self._leads(key), self.UNDEFINED)

    def _jobs(self) -> dict[str, tuple[int, str, float]]:
        """What is being computed -> (process id, key of the page that began it, when the process started)."""
        known: dict[str, tuple[int, str, float]] = self.handle.get(JOBS, {})
        return {
            work: job
            for work, job in known.items()
            if self.job_running(job[0]) and _started(job[0]) == job[2]
        }

    def _leads(self, key: str) -> str:
        return str(self.handle.get(_leader(key), key))


def _started(pid: int | None) -> float:
    """When a process started: with its number, this names it even after the number is used again."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def _leader(key: str) -> str:
    return f"leader of {key}"


def _work(args: Any) -> tuple[str, list[str]]:
    """(variant, analyzers) of the arguments of `analyze_job`."""
    current = next(
        one for one in (args.values() if isinstance(args, dict) else args) if isinstance(one, dict)
    )
    return str(current["variant"]), sorted(map(str, current.get("analyzers") or []))


def _run(workspace: Path, job_fn: Callable[..., Any], *arguments: Any) -> None:
    os.environ[WORKSPACE_VARIABLE] = str(workspace)
    job_fn(*arguments)


def analyze_job(set_progress: Callable[[Sequence[str]], None], current: dict[str, Any]) -> dict[str, str]:
    """Compute whatever the current variant lacks, or what of `current["analyzers"]` it lacks.

    Returns {"kind", "text"} for the page to show.

    Runs in a process of its own, whose environment names the workspace. `current` also carries a text that
    is unique to the page, which keeps the jobs of two tabs apart.
    """
    from analyzers.pipeline import analyze
    from data import Workspace
    from data.errors import WorkbenchError

    name, analyzers = _work([current])
    try:
        variant = Workspace(os.environ[WORKSPACE_VARIABLE])[name]
        report = analyze(
            variant, analyzers or None, on_progress=lambda progress: set_progress(_progress(progress))
        )
    except WorkbenchError as error:
        return {"kind": "error", "text": str(error)}
    except Exception as error:
        log.exception("The analysis of %s failed", name)
        cause = f"{type(error).__name__}: {error}"
        return {
            "kind": "error",
            "text": f"The analysis of {name} failed: {cause}. What was finished is kept.",
        }
    return _outcome(name, report)


def _progress(progress: Any) -> tuple[str, str, str]:
    """(value, maximum, text) of the progress bar."""
    at = "" if progress.epoch is None else f", epoch {progress.epoch:,}"
    text = f"{progress.done} of {progress.total}: {progress.analyzer.replace('_', ' ')}{at}"
    return str(progress.done), str(max(1, progress.total)), text


def _outcome(name: str, report: Any) -> dict[str, str]:
    if not report.failures:
        return {"kind": "info", "text": f"{name}: {report}."}
    shown = "; ".join(str(failure) for failure in report.failures[:3])
    more = f"; and {len(report.failures) - 3} more" if len(report.failures) > 3 else ""
    return {"kind": "warning", "text": f"{name}: {report}. {shown}{more}"}
