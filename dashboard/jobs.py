"""Analysis in the background: one process per job, started from a clean process, with progress and cancel."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diskcache
import multiprocess
from dash import DiskcacheManager
from multiprocess import forkserver

PRELOADED = ["torch", "dashboard.jobs", "analyzers.pipeline"]
WORKSPACE_VARIABLE = "TDW_WORKSPACE"
log = logging.getLogger(__name__)


class JobManager(DiskcacheManager):
    """A DiskcacheManager whose jobs do not fork the web server.

    The stock manager forks a process with many threads; torch or SQLite in one of them can then hang the
    child for ever. Here each job starts from a fork server that has imported what jobs need and nothing else.
    """

    def __init__(self, folder: Path, workspace: Path) -> None:
        super().__init__(diskcache.Cache(str(folder)))
        self._workspace = workspace
        self._context = multiprocess.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def warm_up(self) -> None:
        """Start the fork server now, so that the first job does not wait for its imports."""
        forkserver.ensure_running()

    def call_job_fn(self, key: str, job_fn: Callable[..., Any], args: Any, context: Any) -> int:
        """Start the job; returns its process id, by which it can be cancelled."""
        arguments = (self._workspace, job_fn, key, self._make_progress_key(key), args, context)
        process = self._context.Process(target=_run, args=arguments, daemon=True)
        process.start()
        return int(process.pid)


def _run(workspace: Path, job_fn: Callable[..., Any], *arguments: Any) -> None:
    os.environ[WORKSPACE_VARIABLE] = str(workspace)
    job_fn(*arguments)


def analyze_job(
    set_progress: Callable[[Sequence[str]], None], clicks: int | None, current: dict[str, Any]
) -> dict[str, str]:
    """Compute whatever the current variant lacks. Returns {"kind", "text"} for the page to show.

    Runs in a process of its own, whose environment names the workspace. `current` also carries a text that
    is unique to the page, which keeps the jobs of two tabs apart.
    """
    from analyzers.pipeline import analyze
    from data import Workspace
    from data.errors import WorkbenchError

    name = str(current["variant"])
    try:
        variant = Workspace(os.environ[WORKSPACE_VARIABLE])[name]
        report = analyze(variant, on_progress=lambda progress: set_progress(_progress(progress)))
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
