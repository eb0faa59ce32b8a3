"""What the page asks by plain HTTP, outside of Dash's callbacks.

A callback costs the browser 50 to 150 ms of bookkeeping per answer on a page of this size, several times what
the answer itself costs; and these questions can be asked before Dash has started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask, Response, request

from dashboard.bookmarks import Bookmarks
from dashboard.figures import FigureService
from dashboard.files import file_of
from data.errors import WorkbenchError

NOTHING = "no-store"


@dataclass(frozen=True)
class Services:
    """What the routes answer with. `describe`, `about`, `pulse`: dashboard/info.py; `detail`: detail.py."""

    figures: FigureService
    bookmarks: Bookmarks
    describe: Callable[[str | None], Mapping[str, Any]]
    about: Callable[[str], Mapping[str, Any]]
    pulse: Callable[[str], str]
    detail: Callable[[str], str]


def register(server: Flask, services: Services) -> None:
    """Add the routes: figures, information about a variant, its pulse, exports, bookmarks."""

    @server.post("/_figure")
    def figure() -> Response:
        asked = request.get_json(silent=True)
        return as_json(services.figures.answer(asked if isinstance(asked, dict) else {}))

    @server.get("/_info")
    def info() -> Response:
        return as_json(services.describe(request.args.get("variant") or None))

    @server.get("/_about")
    def about() -> Response:
        return as_json(services.about(request.args.get("variant", "")))

    @server.get("/_pulse")
    def pulse() -> Response:
        """Cheap texts that change when the variant, its results or the bookmarks do."""
        variant = request.args.get("variant", "")
        return as_json({"variant": services.pulse(variant), "bookmarks": services.bookmarks.token()})

    @server.get("/_detail/<view>")
    def detail(view: str) -> Response:
        return Response(services.detail(view), mimetype="text/html", headers={"Cache-Control": NOTHING})

    @server.get("/_export/<view>.<ending>")
    def export(view: str, ending: str) -> Response:
        try:
            made = file_of(services.figures, view, ending, request.args)
        except WorkbenchError as error:
            return Response(str(error), 400, mimetype="text/plain")
        headers = {
            "Content-Disposition": f'attachment; filename="{made.name}"',
            "Cache-Control": NOTHING,
        }
        return Response(made.content, mimetype=made.mimetype, headers=headers)

    @server.get("/_bookmarks")
    def bookmarks() -> Response:
        return as_json(services.bookmarks.all())

    @server.post("/_bookmarks")
    def bookmark() -> Response:
        asked = request.get_json(silent=True)
        try:
            return as_json(services.bookmarks.add(asked if isinstance(asked, dict) else {}))
        except WorkbenchError as error:
            return as_json({"error": str(error)}, 400)

    @server.delete("/_bookmarks/<ident>")
    def forget(ident: str) -> Response:
        services.bookmarks.remove(ident)
        return as_json(services.bookmarks.all())


def as_json(answer: Any, status: int = 200) -> Response:
    """An answer that no cache keeps."""
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, mimetype="application/json", headers={"Cache-Control": NOTHING})
