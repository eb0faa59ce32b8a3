"""The page is told when the index differs from the files, and can have it made again."""

from __future__ import annotations

import shutil
from pathlib import Path

from flask import Flask

from dashboard.pages import drift_routes
from data import VariantRecord, Workspace


def test_drift_is_told_and_mended(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace", create=True)
    for seed in (1, 2):
        record = VariantRecord("modular_addition", f"p5-s{seed}-d2", {"p": 5, "seed": seed}, {"lr": 1e-3})
        workspace.create_variant(record)
    server = Flask(__name__)
    drift_routes.register(server, workspace)
    client = server.test_client()
    nothing = {"text": "", "remedy": "", "rebuild": False}
    assert client.get("/_drift").get_json() == nothing, "an index that was never made differs from nothing"
    workspace.catalog.refresh()
    assert client.get("/_drift").get_json() == nothing
    shutil.rmtree(workspace["p5-s2-d2"].path)
    told = client.get("/_drift").get_json()
    assert told["rebuild"]
    assert "p5-s2-d2 is in the catalog but not on disk." in told["text"]
    assert client.post("/_drift/rebuild").get_json() == {"variants": 1}
    assert client.get("/_drift").get_json() == nothing


def test_a_rebuild_that_fails_says_why(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace", create=True)
    server = Flask(__name__)
    drift_routes.register(server, workspace)
    with workspace.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE checkpoints")
    refused = server.test_client().post("/_drift/rebuild")
    assert refused.status_code == 400
    assert "no such table: checkpoints" in refused.get_json()["error"]
