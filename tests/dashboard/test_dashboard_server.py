"""The server: what it tells about a variant, its headers, its password, and the page's parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from dashboard.detail import detail
from dashboard.info import variant_info
from dashboard.layout import page
from dashboard.paths import ASSETS
from dashboard.security import require_permission
from dashboard.server import create_app
from data import Workspace
from data.errors import WorkbenchError
from renderers.catalog import catalog

NAMES = [analyzer.name for analyzer in default_registry()]


def test_information_about_a_variant(samples_workspace: Path) -> None:
    workspace = Workspace(samples_workspace)
    first = workspace.variants()[0]
    info = variant_info(workspace, AnalyzerService(), NAMES, None)
    assert info["variant"] == first.name
    assert info["error"] is None
    assert info["epochs"] == first.epochs
    assert info["limits"] == {"neuron": [0, 23], "head": [0, 3], "frequency": [1, 11]}
    assert info["missing"] == []
    assert [event["name"] for event in info["events"]] == ["memorised", "onset", "steepest", "completion"]
    assert info["verdict"] == "turned"


def test_information_about_an_unknown_variant_lists_what_there_is(samples_workspace: Path) -> None:
    info = variant_info(Workspace(samples_workspace), AnalyzerService(), NAMES, "p13-s1")
    assert info["variant"] is None
    assert "p13-s1" in info["error"]
    assert len(info["variants"]) == 3


def test_information_about_an_empty_workspace_says_how_to_fill_it(tmp_path: Path) -> None:
    info = variant_info(Workspace(tmp_path / "empty", create=True), AnalyzerService(), NAMES, None)
    assert "tdw train" in info["error"]
    assert info["variants"] == []


def test_headers_and_content(samples_workspace: Path) -> None:
    response = create_app(samples_workspace).server.test_client().get("/view/loss_curves?epoch=5")
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "'unsafe-eval'" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    text = response.get_data(as_text=True)
    assert '<html lang="en">' in text
    assert re.findall(r'(?:src|href)="(https?:)?//', text) == []


def test_a_password_guards_every_path(samples_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDW_PASSWORD", "tulip")
    client = create_app(samples_workspace).server.test_client()
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/assets/workbench.css"):
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("tdw", "rose")).status_code == 401
        assert client.get(path, auth=("tdw", "tulip")).status_code == 200
    forged = {
        "output": "info.data",
        "inputs": [{"id": "wanted", "property": "data", "value": {}}],
        "changedPropIds": [],
    }
    assert client.post("/_dash-update-component", json=forged).status_code == 401
    assert client.post("/_figure", json={}).status_code == 401


def test_the_figure_route_answers_a_question_and_survives_nonsense(samples_workspace: Path) -> None:
    client = create_app(samples_workspace).server.test_client()
    name = Workspace(samples_workspace).variants()[0].name
    asked = {
        "view": "loss_curves",
        "variant": name,
        "selection": {},
        "params": {},
        "theme": "light",
        "density": "full",
    }
    answer = client.post("/_figure", json=asked).get_json()
    assert answer["state"] == "figure"
    assert answer["figure"]["data"]
    for nonsense in (b"", b"[1, 2", b"[1, 2]", b'{"view": 3}'):
        refused = client.post("/_figure", data=nonsense, content_type="application/json")
        assert (refused.status_code, refused.get_json()["state"]) == (200, "error")
    assert client.post("/_figure", data=b"x" * (3 * 2**20)).status_code in (200, 413)


def test_another_host_needs_a_password_or_an_explicit_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TDW_PASSWORD", raising=False)
    with pytest.raises(WorkbenchError, match="TDW_PASSWORD"):
        require_permission("0.0.0.0", insecure=False)
    require_permission("127.0.0.1", insecure=False)
    require_permission("0.0.0.0", insecure=True)
    monkeypatch.setenv("TDW_PASSWORD", "tulip")
    require_permission("0.0.0.0", insecure=False)


def test_every_view_has_its_panel_and_its_detail() -> None:
    shown = str(page(catalog()))
    for view in catalog():
        assert f"'data-view': '{view.name}'" in shown or f"data-view='{view.name}'" in shown
        parts = str(detail(catalog(), view.name))
        assert view.title in parts


def test_assets_ask_nobody_else() -> None:
    for path in [*ASSETS.glob("*.js"), ASSETS / "workbench.css", ASSETS / "bootstrap.min.css"]:
        loaded = re.findall(
            r"(?:url\(|fetch\(|import\s*\(|src\s*=)\s*[\"']?(?:https?:)?//[^\s\"')]+", path.read_text()
        )
        assert loaded == [], path.name


def test_the_shared_script_loads_before_the_others() -> None:
    assert sorted(path.name for path in ASSETS.glob("*.js") if path.name != "theme-boot.js")[0] == "core.js"
