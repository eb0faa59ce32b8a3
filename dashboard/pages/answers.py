"""Answers of the pages' routes: JSON, and refusals that a form can show beside the field they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response

from dashboard.routes import as_json
from data.errors import UnknownVariant, WorkbenchError


def told(answer: Callable[[], Any], refused: int = 400) -> Response:
    """What `answer` returns; for a WorkbenchError {"error", "field": its field or ""}, status `refused`.

    refused: 200 for questions to which that is an answer (what is being typed, a job that was forgotten)
    """
    try:
        return as_json(answer())
    except WorkbenchError as error:
        named = "variant" if isinstance(error, UnknownVariant) else ""
        return as_json({"error": str(error), "field": getattr(error, "field", named)}, refused)
