"""Everything that a page asks about work, as plain JSON: what could be done, what runs, start and stop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.work import launch
from dashboard.work.command import commands
from dashboard.work.estimate import describe, gaps
from dashboard.work.matrix import Cell, Matrix
from dashboard.work.orders import parse
from dashboard.work.words import in_words
from data import Variant, Workspace
from data.database.jobs import Job, JobStore
from data.errors import WorkbenchError
from data.files import digest, stat_token
from data.job_files import JobFiles

SHOWN = 200  # jobs of the history
LONG = ("failed_results", "seconds_each")
POINTS = 1500  # of a loss curve
LOOK = 1.0  # seconds that one question may spend on looking up results


class WorkService:
    """The jobs of one workspace. Every method raises WorkbenchError with a sentence for a person."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._matrix = Matrix(workspace)

    def jobs(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """The newest jobs, the newest first, without what is long of each."""
        told = [_told(job) for job in self._store().history(limit)]
        for one in told:
            one["result"] = {name: value for name, value in one["result"].items() if name not in LONG}
        return told

    def active(self) -> list[dict[str, Any]]:
        """What waits or runs, the oldest first."""
        return [_told(job) for job in self._store().active()]

    def job(self, ident: str, seen: str = "") -> dict[str, Any]:
        """One job with its order in words, the commands that do the same, its log and its loss curve.

        token tells whether log and losses have grown: who has `seen` this state is not given them again
        """
        job = self._store().get(ident)
        files = JobFiles(self._workspace.path, ident)
        token = digest([stat_token(files.log), stat_token(files.losses)])[:16]
        told = {**_told(job), "order": dict(job.order), **self._order_of(job), "token": token}
        told["there"] = [name for name in job.variants if name in self._workspace]
        if seen != token:
            told |= {"log": files.read_log(), "losses": _thinned(files.read_losses())}
        return told

    def describe(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What an order would make, how long it should take, how much disk, and what is in its way."""
        return describe(parse(order), self._workspace, self._matrix).to_json()

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

    def matrix(self) -> dict[str, Any]:
        """Every variant beside every analyzer: {"columns", "rows"}; nothing is opened for it.

        A row that was not looked up since something changed is not `checked`: its cells say only whether a
        file is there.
        """
        rows = []
        for variant in self._workspace.variants():
            known = self._matrix.known(variant)
            cells = self._matrix.at_a_glance(variant) if known is None else known
            rows.append(_row(variant, cells, known is not None))
        return {"columns": self._matrix.columns(), "rows": rows}

    def check(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of these variants, looked up; as many of them, from the first, as a second allows."""
        rows, end = [], time.monotonic() + LOOK
        for name in names:
            variant = self._workspace[name]
            rows.append(_row(variant, self._matrix.cells(variant), True))
            if time.monotonic() > end:
                break
        return rows

    # --- private -----------------------------------------------------------------------------------------

    def _store(self) -> JobStore:
        return JobStore(self._workspace.database)

    def _order_of(self, job: Job) -> dict[str, Any]:
        """The order in words and as commands; empty where a newer or older version made it."""
        try:
            order = parse(job.order)
            return {"words": in_words(order), "commands": commands(order, self._workspace)}
        except WorkbenchError:
            return {"words": [], "commands": []}


def _row(variant: Variant, cells: Sequence[Cell], checked: bool) -> dict[str, Any]:
    return {
        "name": variant.name,
        "family": variant.family,
        "epochs": len(variant.epochs),
        "checked": checked,
        "search": " ".join([variant.name, *(f"{name}={value}" for name, value in variant.params.items())]),
        "cells": [[cell.state, cell.done, cell.total, cell.reason] for cell in cells],
    }


def _thinned(losses: dict[str, list[float]]) -> dict[str, list[float]]:
    """About POINTS of the points, the first and the last among them."""
    count = len(losses["epoch"])
    if count <= POINTS:
        return losses
    kept = sorted({round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)})
    return {name: [values[i] for i in kept] for name, values in losses.items()}


def _told(job: Job) -> dict[str, Any]:
    """The row, with how long it has run (seconds), may take (None if that cannot be told), and was silent."""
    now = time.time()
    ran = None if job.started is None else (job.finished or now) - job.started
    left = job.result.get("seconds_left") if job.active else None
    silent = None if job.heartbeat is None or not job.active else max(0.0, now - job.heartbeat)
    plain = {name: value for name, value in job.to_json().items() if name not in ("order", "work")}
    return {**plain, "seconds": ran, "seconds_left": left, "silent": silent}
