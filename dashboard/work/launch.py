"""Starting jobs: a row that says what, and a process that outlives whoever asked for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboard.work.orders import WRITERS, Order, parse
from dashboard.work.prepared import prepare
from data import Workspace
from data.database.jobs import Job, JobStore
from data.job_files import JobFiles
from data.processes import owner

REDIS = "REDIS_URL"


def enlist(workspace: Workspace, order: Order) -> tuple[Job, bool]:
    """The row of an order, and whether it is new; an active job that does the same is joined.

    Raises BadParameter for values that cannot be used, or when another job writes one of the variants.
    """
    prepared = prepare(order, workspace)
    return JobStore(workspace.database).create_or_join(
        order.kind,
        prepared.work,
        order.to_json(),
        prepared.title,
        prepared.variants,
        _alone_with(order.kind),
    )


def start(workspace: Workspace, order: Order | Mapping[str, Any]) -> tuple[Job, bool]:
    """Begin an order (or the JSON of one) in the background, or join the job that does the same."""
    job, new = enlist(workspace, parse(order) if isinstance(order, Mapping) else order)
    if new:
        launch(workspace, job)
    return job, new


def resume(workspace: Workspace, ident: str) -> tuple[Job, bool]:
    """Begin a job again in the background that did not end well."""
    job, new = requeue(workspace, ident)
    if new:
        launch(workspace, job)
    return job, new


def requeue(workspace: Workspace, ident: str) -> tuple[Job, bool]:
    """Let a job wait again that did not end well, for this process to claim or hand over."""
    store = JobStore(workspace.database)
    return store.resume(ident, _alone_with(store.get(ident).kind))


def launch(workspace: Workspace, job: Job) -> None:
    """Have a queued job done: by a Celery worker where `REDIS_URL` is set, else by a process of its own.

    That process is the head of a session of its own: stopping the web server or closing a terminal does not
    reach it. What it prints (a crash of the interpreter, say) goes into the job's log.
    """
    store = JobStore(workspace.database)
    try:
        if os.environ.get(REDIS):
            from dashboard.work.queue import enqueue

            store.hand_over(job.id, None)
            enqueue(workspace.path, job.id)
        else:
            store.hand_over(job.id, owner(_spawned(workspace.path.resolve(), job.id)))
    except OSError as error:
        store.fail_to_start(job.id, f"It could not be started: {error.strerror or error}.")


def _spawned(workspace: Path, ident: str) -> int:
    """The number of a new process that does the job."""
    with JobFiles(workspace, ident).output() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard.work.run", str(workspace), ident],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
    return process.pid


def _alone_with(kind: str) -> tuple[str, ...]:
    return WRITERS if kind in WRITERS else ()
