"""Whether the catalog's index and the files of the workspace agree, and making the index again."""

from __future__ import annotations

from dataclasses import asdict

from flask import Flask, Response

from dashboard.routes import as_json
from data import Workspace
from data.drift import drift
from data.errors import WorkbenchError


def register(server: Flask, workspace: Workspace) -> None:
    """Add GET /_drift (the fields of `data.drift.Drift`) and POST /_drift/rebuild."""

    @server.get("/_drift")
    def differs() -> Response:
        return as_json(asdict(drift(workspace)))

    @server.post("/_drift/rebuild")
    def rebuild() -> Response:
        try:
            return as_json({"variants": len(workspace.catalog.rebuild())})
        except WorkbenchError as error:
            return as_json({"error": str(error)}, 400)
