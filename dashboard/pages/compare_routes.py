"""What the Compare page asks by plain HTTP."""

from __future__ import annotations

from flask import Flask, Response, request

from dashboard.comparisons import ComparisonFigures
from dashboard.routes import as_json
from data import Workspace


def register(server: Flask, workspace: Workspace, figures: ComparisonFigures) -> None:
    """Add the route of the comparisons' figures."""

    @server.post("/_comparison")
    def comparison() -> Response:
        asked = request.get_json(silent=True)
        return as_json(figures.answer(asked if isinstance(asked, dict) else {}))
