"""The server: what it tells about a variant, its headers, its password, and the page's parts."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from dash import dcc, html
from planted import plant

from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from dashboard.bundle import FOR_EVER
from dashboard.detail import detail_html
from dashboard.info import about, options, pulse, variant_info
from dashboard.layout import document
from dashboard.markup import html_of
from dashboard.panels import needs_checkpoints
from dashboard.paths import ASSETS
from dashboard.security import require_permission
from dashboard.serve import analyse_first
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
    assert info["limits"] == {
        "neuron": [0, 23],
        "head": [0, 3],
        "frequency": [1, 11],
        "pair": [0, 23 * 23 - 1],
    }
    assert [event["name"] for event in info["events"]] == ["memorised", "onset", "steepest", "completion"]
    assert info["verdict"] == "turned"


def test_what_is_known_beside_the_figures(samples_workspace: Path) -> None:
    workspace = Workspace(samples_workspace)
    first = workspace.variants()[0]
    found = about(workspace, AnalyzerService(), first.name)
    assert (found["missing"], found["stale"]) == ([], [])
    assert found["classification"] == found["kinds"][first.name] == first.summary["classification"]
    decided = [one["name"] for one in found["rules"] if one["decided"]]
    assert decided == [name.removeprefix("not ") for name in first.summary["classification_rules"]]
    labels = [card["label"] for card in found["cards"]]
    assert {"Turn begins", "Key frequencies", "Excluded loss", "Weight norm"} <= set(labels)
    assert about(workspace, AnalyzerService(), "p13-s1") == {}


def test_forks_and_replicates_stand_after_their_parent(tmp_path: Path) -> None:
    workspace = plant(tmp_path / "kin")
    root, other = workspace.variants()[:2]
    for change, suffix in (({"perturb": 1e-6, "perturb_seed": 1}, "r1"), ({"lr": 0.1}, "at20-lr=0.1")):
        parent = {"name": root.name, "epoch": 0, "identity": root.identity, "change": change}
        record = replace(root.record, name=f"{root.name}-{suffix}", parent=parent)
        workspace.create_variant(record)
    listed = options(workspace.variants())
    assert [one["depth"] for one in listed] == [0, 1, 1, 0, 0]
    assert [one["short"] for one in listed[:4]] == [root.name, "at20-lr=0.1", "r1", other.name]
    assert [one["copy"] for one in listed[:3]] == [False, False, True]
    assert [one["parent"] for one in listed[:3]] == [None, root.name, root.name]


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
    for path in (
        "/",
        "/_dash-layout",
        "/_dash-dependencies",
        "/assets/workbench.css",
        "/_info",
        "/_bookmarks",
    ):
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


def test_a_first_start_analyses_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("dashboard.serve.start", lambda workspace, order: asked.append(order.variants))
    workspace = plant(tmp_path / "first")
    names = [variant.name for variant in workspace.variants()]
    assert analyse_first(workspace) == names[0]
    analyze(workspace[names[2]], ["turn"])  # of the history alone, as the samples ship it
    assert analyse_first(workspace) == names[0]
    assert asked == [[names[0]], [names[0]]]
    analyze(workspace[names[2]], ["weight_norms"])
    assert analyse_first(workspace) is None
    assert analyse_first(Workspace(tmp_path / "empty", create=True)) is None
    assert len(asked) == 2


def test_another_host_needs_a_password_or_an_explicit_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TDW_PASSWORD", raising=False)
    with pytest.raises(WorkbenchError, match="TDW_PASSWORD"):
        require_permission("0.0.0.0", insecure=False)
    require_permission("127.0.0.1", insecure=False)
    require_permission("0.0.0.0", insecure=True)
    monkeypatch.setenv("TDW_PASSWORD", "tulip")
    require_permission("0.0.0.0", insecure=False)


def test_every_view_has_its_panel_and_its_detail() -> None:
    shown = document(catalog(), ("/own.js", "/plotly.js"))
    for view in catalog():
        assert f'data-view="{view.name}"' in shown
        assert escape(view.title, quote=False) in detail_html(catalog(), view.name)
    assert [shown.index(f'<script src="{path}"') for path in ("/own.js", "/plotly.js")] == sorted(
        shown.index(f'<script src="{path}"') for path in ("/own.js", "/plotly.js")
    )
    assert shown.index('id="explore"') < shown.index("/own.js", shown.index("<body>"))


def test_a_panel_says_whether_it_needs_checkpoints() -> None:
    needed = {view.name: needs_checkpoints(view) for view in catalog()}
    assert needed["loss_curves"] is False
    assert needed["neuron_map"] is True
    assert needed["accuracy"] is True


def test_html_is_escaped_and_attributes_named_as_the_browser_names_them() -> None:
    part = html.Div(
        ["a < b", html.Label("x", htmlFor="y"), None, 3],
        className="c",
        hidden=True,
        **{"data-t": 'say "hi"', "aria-label": None},
    )
    assert html_of(part) == (
        '<div class="c" hidden data-t="say &quot;hi&quot;">a &lt; b<label for="y">x</label>3</div>'
    )
    with pytest.raises(TypeError, match="Store"):
        html_of(dcc.Store(id="x"))


def test_scripts_are_one_file_that_browsers_keep(samples_workspace: Path) -> None:
    client = create_app(samples_workspace).server.test_client()
    shown = client.get("/").get_data(as_text=True)
    own = re.findall(r'<script src="(/_scripts/[^"]+)"', shown)
    assert len(own) == 2
    for path in own:
        response = client.get(path)
        assert (response.status_code, response.headers["Cache-Control"]) == (200, FOR_EVER)
        assert response.mimetype == "text/javascript"
    text = client.get(own[0]).get_data(as_text=True)
    names = [path.name for path in sorted(ASSETS.glob("*.js")) if path.name != "first.js"]
    assert all((ASSETS / name).read_text() in text for name in names)
    assert text.startswith((ASSETS / "core.js").read_text())
    assert client.get("/assets/workbench.css?m=1").headers["Cache-Control"] == FOR_EVER
    assert client.get("/assets/workbench.css").headers["Cache-Control"] != FOR_EVER


def test_information_and_pulse_by_route(samples_workspace: Path) -> None:
    workspace = Workspace(samples_workspace)
    client, name = create_app(samples_workspace).server.test_client(), workspace.variants()[0].name
    info = client.get(f"/_info?variant={name}").get_json()
    assert info["variant"] == name
    said = client.get(f"/_about?variant={name}").get_json()
    assert (said["variant"], said["missing"]) == (name, [])
    assert {card["label"] for card in said["cards"]} >= {"Final test loss", "Key frequencies"}
    pulse = client.get(f"/_pulse?variant={name}").get_json()
    assert pulse["variant"] == info["pulse"]
    assert client.get("/_pulse?variant=../etc").get_json()["variant"] == ""


def test_the_pulse_changes_with_checkpoints_and_results(tmp_path: Path) -> None:
    workspace = plant(tmp_path / "planted")
    variant = workspace.variants()[2]
    seen = [pulse(workspace, AnalyzerService(), NAMES, variant.name)]
    variant.save_checkpoint(variant.epochs[-1] + 7, variant.at(variant.epochs[-1]).weights)
    seen.append(pulse(workspace, AnalyzerService(), NAMES, variant.name))
    analyze(variant, ["turn"])
    seen.append(pulse(workspace, AnalyzerService(), NAMES, variant.name))
    assert len(set(seen)) == 3
    assert pulse(workspace, AnalyzerService(), NAMES, variant.name) == seen[-1]


def test_a_variant_without_checkpoints_is_described_by_its_history(tmp_path: Path) -> None:
    workspace = plant(tmp_path / "planted")
    variant = workspace.variants()[0]
    for path in (variant.path / "checkpoints").iterdir():
        path.unlink()
    info = variant_info(workspace, AnalyzerService(), NAMES, variant.name)
    assert (info["error"], info["epochs"], info["limits"]) == (None, [], {})
    said = about(workspace, AnalyzerService(), variant.name)
    assert (said["missing"], said["analyzers"]) == ([], 0)
    assert info["verdict"] == "turned"
    assert variant_info(workspace, AnalyzerService(), NAMES, None)["variant"] == workspace.variants()[1].name
    client = create_app(workspace.path).server.test_client()
    asked = {"view": "loss_curves", "variant": variant.name, "selection": {"epoch": None}, "params": {}}
    answer = client.post("/_figure", json={**asked, "theme": "light", "density": "compact"}).get_json()
    assert answer["state"] == "figure"


def test_exports_by_route(samples_workspace: Path) -> None:
    workspace = Workspace(samples_workspace)
    variant = workspace.variants()[0]
    client = create_app(samples_workspace).server.test_client()
    query = f"variant={variant.name}&epoch={variant.epochs[-2]}&neuron=3&pair=5&neuron_map.unused=1"
    table = client.get(f"/_export/neuron_map.csv?{query.rpartition('&')[0]}")
    name = f"{variant.name}_neuron_map_epoch{variant.epochs[-2]}_neuron3.csv"
    assert table.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    lines = table.get_data(as_text=True).splitlines()
    assert len(lines) == 23 * 23 + 1
    expected = variant.at(variant.epochs[-2]).view("neuron_map", neuron=3).data()["activation"].values
    column = lines[0].split(",").index("activation")
    assert float(lines[-1].split(",")[column]) == pytest.approx(float(expected[-1, -1]), rel=1e-5)
    assert "data" in client.get(f"/_export/loss_curves.json?variant={variant.name}").get_json()
    page = client.get(f"/_export/loss_curves.html?variant={variant.name}&loss_curves.scale=linear")
    assert page.mimetype == "text/html"
    assert b"plotly" in page.data
    for wrong in (f"neuron_map.csv?{query}", "loss_curves.exe?variant=x", "nothing.csv?variant=x"):
        refused = client.get(f"/_export/{wrong}")
        assert refused.status_code == 400
        assert refused.data


def test_the_detail_of_a_view_as_text(samples_workspace: Path) -> None:
    client = create_app(samples_workspace).server.test_client()
    assert "Formula" in client.get("/_detail/neuron_map").get_data(as_text=True)
    unknown = client.get("/_detail/<script>alert(1)<%2Fscript>").get_data(as_text=True)
    assert "<script>" not in unknown


def test_assets_ask_nobody_else() -> None:
    for path in [*ASSETS.glob("*.js"), ASSETS / "workbench.css", ASSETS / "bootstrap.min.css"]:
        loaded = re.findall(
            r"(?:url\(|fetch\(|import\s*\(|src\s*=)\s*[\"']?(?:https?:)?//[^\s\"')]+", path.read_text()
        )
        assert loaded == [], path.name
