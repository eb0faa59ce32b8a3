"""Background callbacks as durable jobs: the page asks, a row says what is done and how it goes.

A page's request becomes a row of the workspace's database (`dashboard.work.launch`), or joins the row of the
same work; its progress and its end are read from that row. So nothing is lost when a page is closed or the
server stops, and every page tells the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import diskcache
from dash import CeleryManager, DiskcacheManager

from dashboard.work.launch import REDIS, start
from data import Workspace
from data.database.jobs import Job, JobStore
from data.errors import WorkbenchError

REMEMBERED = 24 * 3600  # seconds for which a page may ask about its request
REFUSED = "refused"  # stands for the id of a job that could not be started
Request = Callable[..., Mapping[str, Any]]


class Jobs(Protocol):
    """What the application asks of either manager."""

    def running(self, variant: str) -> list[list[str]]: ...


class _Durable:
    """The part of a manager that both have: what dash calls a job is a row here.

    A background callback of this application returns the order (see `dashboard.work.orders`) that its page
    asks for; it is called in the server, and what it orders is done elsewhere.
    """

    UNDEFINED: Any
    workspace: Workspace

    def running(self, variant: str) -> list[list[str]]:
        """The sets of analyzers that jobs are computing for `variant` now ([] is the standard set)."""
        return [
            list(job.order.get("analyzers") or [])
            for job in JobStore(self.workspace.database).active()
            if job.kind == "analyze" and variant in job.variants and not job.cancelling
        ]

    # --- what dash calls ---------------------------------------------------------------------------------

    def make_job_fn(self, fn: Request, progress: Any, key: str | None = None) -> Request:
        return fn

    def call_job_fn(self, key: str, job_fn: Request, args: Any, context: Any) -> str:
        """Start the job, or join the one that does the same; returns its id."""
        order = job_fn(**args) if isinstance(args, Mapping) else job_fn(*args)
        try:
            ident = start(self.workspace, order)[0].id
        except WorkbenchError as error:
            self._remember(key, f"{REFUSED} {error}")
            return REFUSED
        self._remember(key, ident)
        return ident

    def get_progress(self, key: str) -> Sequence[str] | None:
        """(value, maximum, text) of the progress bar."""
        job = self._job(self._recall(key))
        if job is None or not job.active:
            return None
        return f"{job.done:g}", f"{max(1.0, job.total):g}", job.message

    def get_result(self, key: str, ident: str | None) -> Any:
        """{"kind", "text"} for the page to show; UNDEFINED while it runs and after it was cancelled."""
        known = self._recall(key) or ""
        if known.startswith(REFUSED):
            return {"kind": "error", "text": known.removeprefix(REFUSED).strip()}
        job = self._job(known)
        if job is None or job.active or job.state == "cancelled":
            return self.UNDEFINED
        if job.state == "done":
            return {"kind": "warning" if job.result.get("failures") else "info", "text": job.message}
        return {"kind": "error", "text": f"{job.title}: {job.message}"}

    def job_running(self, ident: str | None) -> bool:
        """Whether a result may still come; not once cancelling was asked for."""
        job = self._job(ident)
        return job is not None and job.active and not job.cancelling

    def terminate_job(self, ident: str | None) -> None:
        """Ask the job to stop, for every page that follows it."""
        if self._job(ident) is not None:
            JobStore(self.workspace.database).cancel(str(ident))

    def terminate_unhealthy_job(self, ident: str | None) -> bool:
        """Nothing to do: a job whose process died is marked by whoever looks."""
        return False

    def get_updated_props(self, key: str) -> dict[str, Any]:
        """No job sets properties of the page."""
        return {}

    # --- private -----------------------------------------------------------------------------------------

    def _job(self, ident: str | None) -> Job | None:
        if not ident or ident.startswith(REFUSED):
            return None
        try:
            return JobStore(self.workspace.database).get(ident)
        except WorkbenchError:
            return None

    def _remember(self, key: str, value: str) -> None:
        raise NotImplementedError

    def _recall(self, key: str) -> str | None:
        raise NotImplementedError


class JobManager(_Durable, DiskcacheManager):
    """On one machine: which page asked for which job is in a cache on disk."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        super().__init__(diskcache.Cache(str(workspace.path / ".cache" / "jobs")))

    def _remember(self, key: str, value: str) -> None:
        self.handle.set(key, value, expire=REMEMBERED)

    def _recall(self, key: str) -> str | None:
        found = self.handle.get(key)
        return None if found is None else str(found)


class ClusterJobManager(_Durable, CeleryManager):
    """Where `REDIS_URL` is set: jobs go to Celery workers, and Redis knows which page asked for which."""

    def __init__(self, workspace: Workspace) -> None:
        from dashboard.work.queue import app

        self.workspace = workspace
        super().__init__(app)

    def _remember(self, key: str, value: str) -> None:
        self.handle.backend.client.set(f"tdw {key}", value, ex=REMEMBERED)

    def _recall(self, key: str) -> str | None:
        found = self.handle.backend.client.get(f"tdw {key}")
        return None if found is None else found.decode()


def job_manager(workspace: Workspace) -> JobManager | ClusterJobManager:
    """The manager that the environment asks for."""
    return ClusterJobManager(workspace) if os.environ.get(REDIS) else JobManager(workspace)


def analysis_order(current: Mapping[str, Any]) -> dict[str, Any]:
    """The order behind the Analyze button: whatever the variant lacks, or what of `analyzers` it lacks.

    `current` also carries a text that is unique to the page, which keeps the requests of two tabs apart.
    """
    return {
        "kind": "analyze",
        "variants": [str(current["variant"])],
        "analyzers": sorted(map(str, current.get("analyzers") or [])) or None,
    }
