"""Figures by plain HTTP: one POST per panel, outside of Dash's callbacks.

A callback costs the browser 50 to 150 ms of bookkeeping per answer on a page of this size, several times what
the figure itself costs. This route costs none, and the browser can draw an answer again without a request.
"""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

from dashboard.figures import FigureService

PATH = "/_figure"


def register(server: Flask, figures: FigureService) -> None:
    """POST `PATH` with the fields of `figures.Question` answers with `FigureService.answer` as JSON."""

    @server.post(PATH)
    def figure() -> Response:
        asked = request.get_json(silent=True)
        answer = figures.answer(asked if isinstance(asked, dict) else {})
        return Response(
            orjson.dumps(answer), mimetype="application/json", headers={"Cache-Control": "no-store"}
        )
