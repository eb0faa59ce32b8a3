"""Everything that a page asks about work, as plain JSON: what could be done, what runs, start and stop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dashboard.work import launch
from dashboard.work.estimate import describe, gaps
from dashboard.work.orders import parse
from data import Workspace
from data.database.jobs import Job, JobStore
from data.job_files import JobFiles

SHOWN = 200  # jobs of the history


class WorkService:
    """The jobs of one workspace. Every method raises WorkbenchError with a sentence for a person."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def jobs(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """The newest jobs, the newest first."""
        return [_told(job) for job in self._store().history(limit)]

    def active(self) -> list[dict[str, Any]]:
        """What waits or runs, the oldest first."""
        return [_told(job) for job in self._store().active()]

    def job(self, ident: str) -> dict[str, Any]:
        """One job with its log and its loss curve."""
        files = JobFiles(self._workspace.path, ident)
        return {**_told(self._store().get(ident)), "log": files.read_log(), "losses": files.read_losses()}

    def describe(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What an order would make, how long it should take, how much disk, and what is in its way."""
        return describe(parse(order), self._workspace).to_json()

    def start(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Begin an order in the background: {"job", "new"}; not new: it joined the job that does the same."""
        job, new = launch.start(self._workspace, order)
        return {"job": _told(job), "new": new}

    def resume(self, ident: str) -> dict[str, Any]:
        """Begin again a job that did not end well; answers as `start`."""
        job, new = launch.resume(self._workspace, ident)
        return {"job": _told(job), "new": new}

    def cancel(self, ident: str) -> dict[str, Any]:
        """Ask a job to stop."""
        return _told(self._store().cancel(ident))

    def forget(self, ident: str) -> None:
        """Delete a job that has ended, with its log."""
        self._store().delete(ident)
        JobFiles(self._workspace.path, ident).delete()

    def gaps(self, variant: str) -> list[dict[str, Any]]:
        """Per standard analyzer of a variant: which epochs lack it, and why."""
        return gaps(self._workspace[variant])

    def _store(self) -> JobStore:
        return JobStore(self._workspace.database)


def _told(job: Job) -> dict[str, Any]:
    """The row, with how long it has run (seconds) and may take (None if that cannot be told)."""
    ran = None if job.started is None else (job.finished or time.time()) - job.started
    left = job.result.get("seconds_left") if job.active else None
    return {**job.to_json(), "seconds": ran, "seconds_left": left}
