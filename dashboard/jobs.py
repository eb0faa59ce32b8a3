"""Background callbacks as durable jobs: the page asks, a row says what is done and how it goes.

A page's request becomes a row of the workspace's database (`dashboard.work.launch`), or joins the row of the
same work; its progress and its end are read from that row by every page alike. So nothing is lost when a page
is closed or the server stops.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import diskcache
from dash import CeleryManager, DiskcacheManager

from dashboard.work.launch import REDIS, start
from data import Workspace
from data.database.jobs import JobStore
from data.errors import WorkbenchError

REMEMBERED = 24 * 3600  # seconds for which a page may ask about its request
STARTED, JOINED, REFUSED = "started", "joined", "refused"  # what became of a request
Request = Callable[..., Mapping[str, Any]]


class _Durable:
    """The part of a manager that both have: what dash calls a job is a row here.

    A background callback of this application returns the order (see `dashboard.work.orders`) that its page
    asks for; it is called in the server, and what it orders is done elsewhere. For dash the callback ends as
    soon as there is a row: a page may start several jobs, and none of them hangs on the page.
    """

    UNDEFINED: Any
    workspace: Workspace

    # --- what dash calls ---------------------------------------------------------------------------------

    def make_job_fn(self, fn: Request, progress: Any, key: str | None = None) -> Request:
        return fn

    def call_job_fn(self, key: str, job_fn: Request, args: Any, context: Any) -> str:
        """Start the job, or join the one that does the same; returns its id."""
        order = job_fn(**args) if isinstance(args, Mapping) else job_fn(*args)
        try:
            job, new = start(self.workspace, order)
        except WorkbenchError as error:
            self._remember(key, f"{REFUSED} {error}")
            return REFUSED
        self._remember(key, f"{STARTED if new else JOINED} {job.id}")
        return job.id

    def get_progress(self, key: str) -> None:
        """Nothing: progress stands in the job's row."""

    def get_result(self, key: str, ident: str | None) -> Any:
        """The ticket: {"job", "new", "title"}, or {"error"} with the reason why nothing was started."""
        kind, _, rest = (self._recall(key) or "").partition(" ")
        if kind == REFUSED:
            return {"error": rest}
        if kind not in (STARTED, JOINED):
            return self.UNDEFINED
        title = JobStore(self.workspace.database).get(rest).title
        return {"job": rest, "new": kind == STARTED, "title": title}

    def job_running(self, ident: str | None) -> bool:
        """Whether the ticket is still to come: it never is."""
        return False

    def terminate_job(self, ident: str | None) -> None:
        """Nothing: dash asks for this when a page starts another job or is closed, and the work goes on.
        People cancel through the job's row."""

    def terminate_unhealthy_job(self, ident: str | None) -> bool:
        """Nothing to do: a job whose process died is marked by whoever looks."""
        return False

    def get_updated_props(self, key: str) -> dict[str, Any]:
        """No job sets properties of the page."""
        return {}

    # --- private -----------------------------------------------------------------------------------------

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


def requested_order(request: Mapping[str, Any]) -> dict[str, Any]:
    """The order that a page asks for; what else `request` holds keeps the requests of two pages apart."""
    return dict(request["order"])
