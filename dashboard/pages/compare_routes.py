"""What the Compare page asks by plain HTTP: the table, colours, figures, aligned times, files.

Answers are JSON; a refusal is {"error": sentence} with the status 400.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, request

from dashboard.comparisons import ComparisonFigures, Question
from dashboard.pages.compare_detail import detail_html
from dashboard.pages.compare_table import VariantTable
from dashboard.pages.compare_times import AlignedTimes
from dashboard.routes import NOTHING, as_json
from data.database.column_sets import ColumnSets
from data.errors import WorkbenchError
from renderers.comparison.export import MIMETYPES, content


def register(
    server: Flask, figures: ComparisonFigures, table: VariantTable, times: AlignedTimes, sets: ColumnSets
) -> None:
    """Add the routes under /_compare, and /_comparison for figures."""
    pages = Blueprint("compare", __name__)

    @pages.post("/_comparison")
    def comparison() -> Response:
        return as_json(figures.answer(_asked()))

    @pages.post("/_comparison/file/<ending>")
    def file(ending: str) -> Response:
        """The comparison that the body asks for, as a file."""
        try:
            made = content(figures.bound(Question.parse(_asked())), ending)
        except WorkbenchError as error:
            return Response(str(error), 400, mimetype="text/plain")
        return Response(made, mimetype=MIMETYPES[ending], headers={"Cache-Control": NOTHING})

    @pages.get("/_comparison/about/<name>")
    def about(name: str) -> Response:
        """Formula, source and caveats, for the comparison that is open large."""
        return Response(detail_html(name), mimetype="text/html", headers={"Cache-Control": NOTHING})

    @pages.get("/_compare/table")
    def rows() -> Response:
        headers = {"Cache-Control": NOTHING, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(table.packed(), mimetype="application/json", headers=headers)

    @pages.get("/_compare/pulse")
    def pulse() -> Response:
        """A text that changes when the table does."""
        return as_json({"token": table.token()})

    @pages.post("/_compare/rows")
    def more() -> Response:
        return _told(lambda: table.rows(_names(_asked())))

    @pages.post("/_compare/colours")
    def colours() -> Response:
        return _told(lambda: figures.colours(_asked()))

    @pages.post("/_compare/times")
    def aligned() -> Response:
        asked = _asked()
        return _told(lambda: times.of(_names(asked), str(asked.get("align") or "epoch")))

    @pages.get("/_compare/columns")
    def column_sets() -> Response:
        """The saved sets of columns: name -> ids of columns."""
        return as_json(_sets(sets))

    @pages.post("/_compare/columns")
    def keep_columns() -> Response:
        asked = _asked()
        chosen = asked.get("columns")
        columns = [str(one) for one in chosen] if isinstance(chosen, list) else []

        def keep() -> dict[str, list[str]]:
            sets.save(str(asked.get("name", "")), columns, replace=True)
            return _sets(sets)

        return _told(keep)

    @pages.delete("/_compare/columns/<name>")
    def forget_columns(name: str) -> Response:
        def forget() -> dict[str, list[str]]:
            sets.delete(name)
            return _sets(sets)

        return _told(forget)

    server.register_blueprint(pages)


def _sets(sets: ColumnSets) -> dict[str, list[str]]:
    return {one.name: one.value for one in sets.list()}


def _asked() -> Mapping[str, Any]:
    asked = request.get_json(silent=True)
    return asked if isinstance(asked, dict) else {}


def _names(asked: Mapping[str, Any]) -> list[str]:
    given = asked.get("names")
    return [str(name) for name in given] if isinstance(given, list) else []


def _told(answer: Callable[[], Any]) -> Response:
    try:
        return as_json(answer())
    except WorkbenchError as error:
        return as_json({"error": str(error)}, 400)
