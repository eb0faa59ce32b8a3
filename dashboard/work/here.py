"""Doing an order in this process, as the command line does: the same job, with this process as its owner."""

from __future__ import annotations

from typing import Any

from dashboard.work.attempt import attempting
from dashboard.work.launch import enlist
from dashboard.work.orders import Order, parse
from dashboard.work.perform import Screen, perform
from data import Workspace
from data.database.jobs import Job, JobStore
from data.errors import WorkbenchError


def do_here(workspace: Workspace, order: Order, screen: Screen) -> Any:
    """Do the order and return what it made. Raises WorkbenchError if another job does the same already."""
    job, new = enlist(workspace, order)
    if not new:
        raise WorkbenchError(
            f"The job {job.id} does this already ({job.title}, {job.state}). `tdw jobs` shows how it goes;"
            f" `tdw jobs cancel {job.id}` stops it."
        )
    return finish_here(workspace, job, screen)


def finish_here(workspace: Workspace, job: Job, screen: Screen) -> Any:
    """Do a job that waits."""
    store = JobStore(workspace.database)
    claimed = store.claim(job.id)
    if claimed is None:
        raise WorkbenchError(f"The job {job.id} does not wait any more; `tdw jobs` shows what became of it.")
    with attempting(store, claimed, workspace.path) as attempt:
        return perform(parse(claimed.order), workspace, attempt, screen)
