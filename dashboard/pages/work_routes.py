"""What the pages ask about jobs by plain HTTP: what runs, what an order would make, cancel, resume, forget.

Jobs are started through Dash (dashboard/callbacks.py), everything else about them goes this way. Answers are
JSON; a refusal is {"error": sentence} with the status 400.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, request

from dashboard.routes import as_json
from dashboard.work.service import SHOWN, WorkService
from data.errors import WorkbenchError


def register(server: Flask, work: WorkService) -> None:
    """Add the routes under /_jobs, and /_gaps."""
    pages = Blueprint("work", __name__)

    @pages.get("/_jobs")
    def jobs() -> Response:
        """The newest jobs, the newest first."""
        limit = request.args.get("limit", SHOWN, type=int)
        return _told(lambda: work.jobs(max(1, min(limit, 1000))))

    @pages.get("/_jobs/active")
    def active() -> Response:
        """What waits or runs, the oldest first."""
        return _told(work.active)

    @pages.get("/_jobs/<ident>")
    def job(ident: str) -> Response:
        """One job with its log and losses."""
        return _told(lambda: work.job(ident))

    @pages.post("/_jobs/describe")
    def describe() -> Response:
        """What an order would make, before it is started."""
        order = request.get_json(silent=True)
        return _told(lambda: work.describe(order if isinstance(order, dict) else {}))

    @pages.post("/_jobs/<ident>/cancel")
    def cancel(ident: str) -> Response:
        return _told(lambda: work.cancel(ident))

    @pages.post("/_jobs/<ident>/resume")
    def resume(ident: str) -> Response:
        return _told(lambda: work.resume(ident))

    @pages.delete("/_jobs/<ident>")
    def forget(ident: str) -> Response:
        return _told(lambda: work.forget(ident))

    @pages.get("/_gaps")
    def gaps() -> Response:
        """Per analyzer of a variant, which epochs lack it and why."""
        return _told(lambda: work.gaps(request.args.get("variant", "")))

    server.register_blueprint(pages)


def _told(answer: Callable[[], Any]) -> Response:
    try:
        return as_json(answer())
    except WorkbenchError as error:
        return as_json({"error": str(error)}, 400)
