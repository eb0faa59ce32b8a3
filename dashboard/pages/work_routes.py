"""What the pages ask about jobs by plain HTTP: what runs, what an order would make, cancel, resume, forget.

Jobs are started through Dash (dashboard/callbacks.py), everything else about them goes this way. Answers are
JSON; a refusal is {"error": sentence, "field": name of the value that is wrong or ""} with the status 400.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request

from dashboard.pages.answers import told
from dashboard.work.service import SHOWN, WorkService


def register(server: Flask, work: WorkService) -> None:
    """Add the routes under /_jobs, and /_gaps."""
    pages = Blueprint("work", __name__)

    @pages.get("/_jobs")
    def jobs() -> Response:
        """The newest jobs, the newest first."""
        limit = request.args.get("limit", SHOWN, type=int)
        return told(lambda: work.jobs(max(1, min(limit, 1000))))

    @pages.get("/_jobs/active")
    def active() -> Response:
        """What waits or runs, the oldest first."""
        return told(work.active)

    @pages.get("/_jobs/<ident>")
    def job(ident: str) -> Response:
        """One job with its log and losses, unless the page has `seen` them."""
        return told(lambda: work.job(ident, request.args.get("seen", "")), 200)

    @pages.post("/_jobs/describe")
    def describe() -> Response:
        """What an order would make, before it is started."""
        order = request.get_json(silent=True)
        return told(lambda: work.describe(order if isinstance(order, dict) else {}), 200)

    @pages.post("/_jobs/<ident>/cancel")
    def cancel(ident: str) -> Response:
        return told(lambda: work.cancel(ident))

    @pages.post("/_jobs/<ident>/resume")
    def resume(ident: str) -> Response:
        return told(lambda: work.resume(ident))

    @pages.delete("/_jobs/<ident>")
    def forget(ident: str) -> Response:
        return told(lambda: work.forget(ident))

    @pages.get("/_gaps")
    def gaps() -> Response:
        """Per analyzer of a variant, which epochs lack it and why."""
        return told(lambda: work.gaps(request.args.get("variant", "")))

    @pages.get("/_results")
    def results() -> Response:
        """Every variant beside every analyzer."""
        return told(work.matrix)

    @pages.post("/_results")
    def check() -> Response:
        """The rows of some variants, looked up."""
        asked = request.get_json(silent=True)
        names = asked.get("variants", []) if isinstance(asked, dict) else []
        return told(lambda: work.check([str(name) for name in names]))

    server.register_blueprint(pages)
