"""What the Compare page is answered: the table, loss curves, aligned times, colours, figures and files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from flask import Flask
from planted import add_odd_runs

from analyzers.service import AnalyzerService
from dashboard.comparisons import ComparisonFigures, Question
from dashboard.pages.compare_loss import LEAST, POINTS, loss_curve
from dashboard.pages.compare_table import MOST_ROWS, VariantTable, differing
from dashboard.pages.compare_times import AlignedTimes
from dashboard.server import create_app
from data import Workspace
from data.errors import BadParameter, UnknownVariant
from renderers.comparison.catalog import Choice, Comparison, ComparisonCatalog
from renderers.comparison.cohort import leave_out
from renderers.comparison.colours import variant_colours
from renderers.comparison.export import content, tables
from renderers.comparison.service import ComparisonService
from renderers.service import ViewService
from renderers.theme import DARK, LIGHT

FIRST, SECOND, THIRD = (f"p23-s{seed}-d598-dm32-dh8-mlp24" for seed in (1, 2, 3))
FLAT, OTHER = "p23-s8-d598-dm32-dh8-mlp24", "p29-s1-d598-dm32-dh8-mlp24"


@pytest.fixture
def workspace(samples_workspace: Path, tmp_path: Path) -> Workspace:
    folder = tmp_path / "mixed"
    shutil.copytree(samples_workspace, folder, ignore=shutil.ignore_patterns("catalog.sqlite*"))
    made = Workspace(folder)
    add_odd_runs(made)
    return made


# --- the table -------------------------------------------------------------------------------------------


def test_loss_curve_takes_the_last_loss_at_or_before_each_place() -> None:
    epochs = np.array([0, 1, 5, 9, 100, 999])
    losses = np.array([10.0, 1.0, np.nan, 0.0, 0.1, 1e-3])
    curve = loss_curve(xr.Dataset({"test_loss": ("epoch", losses)}, {"epoch": epochs}))
    assert len(curve) == 1 + POINTS
    assert curve[0] == 999
    places = 10 ** (np.arange(POINTS) * 3 / (POINTS - 1)) - 1
    for place, height in zip(places, curve[1:], strict=True):
        loss = losses[max(i for i, epoch in enumerate(epochs) if epoch <= place + 1e-6)]
        expected = None if np.isnan(loss) else round(float(np.log10(max(loss, LEAST))), 2)
        assert height == expected, place
    nothing = xr.Dataset({"test_loss": ("epoch", losses[:1])}, {"epoch": epochs[:1]})
    assert loss_curve(nothing) == loss_curve(xr.Dataset(coords={"epoch": epochs})) == []


def test_the_table_has_every_number_of_the_catalog(workspace: Workspace) -> None:
    table = VariantTable(workspace, AnalyzerService())
    answer = table.answer()
    catalog = workspace.catalog
    metrics = catalog.frame(variants=answer["names"])
    assert answer["names"] == [variant.name for variant in workspace.variants()]
    assert {one["name"] for one in answer["metrics"]} == {*metrics.columns} - {"classification"}
    for one in answer["metrics"]:
        stored = metrics[one["name"]].to_numpy()
        np.testing.assert_allclose(np.array(one["values"], float), stored, rtol=2e-7, equal_nan=True)
        assert one["definition"]
        assert one["section"] in ("run", "turn", "signals", "frequencies", "geometry", "structure")
    summary = workspace[FIRST].summary
    assert answer["verdicts"][0] == summary["classification"]
    assert answer["verdicts"][answer["names"].index(THIRD)] == ""
    assert answer["parameters"]["p"] == [23, 23, 23, 23, 23, 29]
    assert answer["columns"]["checkpoints"][:4] == [12, 12, 12, 0]

    (events, rows) = (table.rows([FIRST, THIRD, "gone"])[key] for key in ("events", "rows"))
    assert sorted(rows) == [FIRST, THIRD]
    lower = dict(zip(events, rows[FIRST]["lower"], strict=True))
    assert lower["turn, onset"] == summary["metrics"]["turn, onset"]["lower"]
    assert rows[FIRST]["loss"] == loss_curve(workspace[FIRST].history)
    with pytest.raises(BadParameter, match=f"{MOST_ROWS} at most"):
        table.rows([FIRST] * (MOST_ROWS + 1))


def test_the_token_tells_changes_and_the_table_follows(workspace: Workspace) -> None:
    table = VariantTable(workspace, AnalyzerService())
    before = table.answer()
    assert table.token() == before["token"]
    history = workspace[THIRD].history
    cut = {"epoch": history["epoch"].values[:-1], "test_loss": history["test_loss"].values[:-1]}
    workspace[THIRD].save_history(cut)
    after = (table.token(), table.answer())
    assert before["token"] != after[0] == after[1]["token"]
    row = before["names"].index(THIRD)
    changed = [i for i, (a, b) in enumerate(zip(before["tokens"], after[1]["tokens"], strict=True)) if a != b]
    assert changed == [row]
    assert after[1]["columns"]["trained_epochs"][row] == before["columns"]["trained_epochs"][row] - 1
    workspace.delete_variant(OTHER)
    assert table.token() != after[0]
    assert OTHER not in table.answer()["names"]


def test_parameters_that_differ_come_with_p_and_seeds_first() -> None:
    frame = pd.DataFrame(
        {"lr": [1e-3, 1e-3], "width": [8, 16], "data_seed": [598, 598], "seed": [1, 2], "p": [97, 97],
         "kind": ["root", "fork"], "epochs": [10, 20], "final_test_loss": [0.1, 0.2]}
    )  # fmt: skip
    assert differing(frame) == ["p", "seed", "data_seed", "width"]


# --- time and colour -------------------------------------------------------------------------------------


def test_aligned_times_of_saved_epochs(workspace: Workspace) -> None:
    results = AnalyzerService()
    times = AlignedTimes(workspace, results)
    onset = results.turn(workspace[FIRST])["onset"][1]
    found = times.of([FIRST, FLAT], "turn_scaled")
    assert found[FIRST]["epochs"] == workspace[FIRST].epochs
    np.testing.assert_allclose(found[FIRST]["places"], np.array(workspace[FIRST].epochs) / onset)
    assert found[FLAT] == {"epochs": [], "places": [], "reason": "it has no checkpoints"}
    assert times.of([FIRST], "epoch")[FIRST]["places"] == workspace[FIRST].epochs
    saved = workspace[FIRST].epochs
    workspace[FIRST].drop_checkpoint(saved[3])
    assert times.of([FIRST], "epoch")[FIRST]["epochs"] == [*saved[:3], *saved[4:]]
    with pytest.raises(BadParameter, match="unknown"):
        times.of([FIRST], "by_heart")
    with pytest.raises(UnknownVariant):
        times.of(["p7-s7"], "epoch")


# --- figures ---------------------------------------------------------------------------------------------


class Drawn:
    """Two comparisons that count how often they are drawn: one over time, one that reads the neuron."""

    def __init__(self) -> None:
        self.count = {"timed": 0, "plain": 0}

    def catalog(self) -> ComparisonCatalog:
        def data(cohort: Any) -> xr.Dataset:
            if cohort.params and cohort.params["what"] == "no":
                raise BadParameter("They do not go together.")
            numbers = xr.Dataset(
                {"size": ("variant", np.arange(len(cohort.names)))}, {"variant": [*cohort.names]}
            )
            return leave_out(numbers, [(cohort.names[-1], "it is the last")])

        def draw(name: str) -> Any:
            def figure(dataset: xr.Dataset, scene: Any) -> dict[str, Any]:
                self.count[name] += 1
                lines = [
                    {"type": "scatter", "x": [0], "y": [1.0], "name": one, "line": {"color": colour}}
                    for one, colour in scene.colours.items()
                ]
                return {"data": lines, "layout": {"title": {"text": scene.align}}}

            return figure

        what = {"what": Choice("What", ("yes", "no"))}
        return ComparisonCatalog(
            [
                Comparison("timed", "Timed", "overlay", 1, "", data, draw("timed"), what, aligned=True),
                Comparison(
                    "plain", "Plain", "statistics", 1, "", data, draw("plain"), depends=("neuron",), least=2
                ),
            ]
        )


@pytest.fixture
def drawn() -> Drawn:
    return Drawn()


@pytest.fixture
def figures(workspace: Workspace, drawn: Drawn) -> Iterator[ComparisonFigures]:
    server = Flask("test")
    with server.app_context():
        yield ComparisonFigures(ComparisonService(workspace, ViewService(), drawn.catalog()), server)


def asked(name: str, **other: Any) -> dict[str, Any]:
    given = {
        "variants": [FIRST, OTHER],
        "selection": {"epoch": 10, "neuron": 3},
        "params": {},
        "align": "epoch",
    }
    return {"comparison": name, "theme": "light", "density": "full", **given, **other}


def test_a_figure_is_made_once_for_what_it_reads(figures: ComparisonFigures, drawn: Drawn) -> None:
    for align in ("epoch", "log_epoch", "epoch"):
        assert figures.answer(asked("timed", align=align))["figure"]["layout"]["title"]["text"] == align
        assert figures.answer(asked("plain", align=align))["figure"]["layout"]["title"]["text"] == "epoch"
    assert drawn.count == {"timed": 2, "plain": 1}
    for neuron, epoch in ((3, 11), (4, 12)):
        for name in ("timed", "plain"):
            figures.answer(asked(name, selection={"epoch": epoch, "neuron": neuron}))
    assert drawn.count == {"timed": 2, "plain": 2}
    figures.answer(asked("timed", variants=[OTHER, FIRST]))
    assert drawn.count["timed"] == 3


def test_answers_say_what_is_offered_left_out_and_wrong(figures: ComparisonFigures) -> None:
    good = figures.answer(asked("timed"))
    assert (good["offered"], good["values"]) == ({"what": ["yes", "no"]}, {"what": "yes"})
    assert good["left_out"] == [(OTHER, "it is the last")]
    unfit = figures.answer(asked("timed", params={"what": "no"}))
    assert (unfit["state"], unfit["text"]) == ("unfit", "They do not go together.")
    assert unfit["offered"] == good["offered"]
    few = figures.answer(asked("plain", variants=[FIRST]))
    assert few["state"] == "error"
    assert "needs 2 variants" in few["text"]
    for wrong in (
        {"variants": 7},
        {"theme": "blue"},
        {"align": "by_heart", "comparison": "timed"},
        {"color": "taste"},
    ):
        assert figures.answer({**asked("plain"), **wrong})["state"] == "error", wrong
    assert "no comparison 'other'" in figures.answer(asked("other"))["text"]


def test_colours_are_those_of_the_figures(figures: ComparisonFigures) -> None:
    for theme, palette in (("light", LIGHT), ("dark", DARK)):
        told = figures.colours({"variants": [SECOND, FIRST, OTHER], "theme": theme})
        lines = figures.answer(asked("timed", variants=[SECOND, FIRST, OTHER], theme=theme))["figure"]["data"]
        assert told["colours"] == {line["name"]: line["line"]["color"] for line in lines}
        assert list(told["colours"].values()) == list(palette.series[:3])
    by_p = figures.colours({"variants": [SECOND, OTHER, FIRST], "color": "p", "theme": "light"})
    assert by_p["groups"] == {SECOND: "23", OTHER: "29", FIRST: "23"}
    assert by_p["colours"][SECOND] == by_p["colours"][FIRST] != by_p["colours"][OTHER]
    assert by_p["colours"] == variant_colours([SECOND, OTHER, FIRST], by_p["groups"], LIGHT)


def test_files_hold_the_numbers(figures: ComparisonFigures) -> None:
    bound = figures.bound(Question.parse(asked("timed")))
    assert content(bound, "csv").decode().splitlines() == ["variant,size", f"{FIRST},0", f"{OTHER},1"]
    assert json.loads(content(bound, "json"))["data"][1]["name"] == OTHER
    page = content(bound, "html").decode()
    assert FIRST in page
    assert "cdn" not in page.split("<body>")[1][:400]
    with pytest.raises(BadParameter, match="html, csv, json"):
        content(bound, "xlsx")
    mixed = xr.Dataset(
        {"a": ("x", [1, 2]), "b": (("x", "y"), [[3, 4], [5, 6]]), "c": 7}, {"x": [0, 1], "y": ["l", "r"]}
    )
    first, second, third = tables(mixed).strip().split("\n\n")
    assert first.splitlines() == ["x,a", "0,1", "1,2"]
    assert second.splitlines() == ["x,y,b", "0,l,3", "0,r,4", "1,l,5", "1,r,6"]
    assert third.splitlines() == ["quantity,value", "c,7"]


def test_the_routes(workspace: Workspace) -> None:
    client = create_app(workspace).server.test_client()
    table = client.get("/_compare/table")
    assert table.headers["Content-Encoding"] == "gzip"
    assert client.get("/_compare/pulse").json == {"token": VariantTable(workspace, AnalyzerService()).token()}
    assert client.post("/_compare/rows", json={"names": [FIRST]}).json["rows"][FIRST]["loss"][0] == 22_000
    refused = client.post("/_compare/times", json={"names": [FIRST], "align": "by_heart"})
    assert (refused.status_code, "by_heart" in refused.json["error"]) == (400, True)
    kept = client.post(
        "/_compare/columns", json={"name": "mine", "columns": ["verdict", "m:weight norm, final"]}
    )
    assert kept.json == client.get("/_compare/columns").json == {"mine": ["verdict", "m:weight norm, final"]}
    assert client.post("/_compare/columns", json={"name": "", "columns": ["a"]}).status_code == 400
    assert client.delete("/_compare/columns/mine").json == {}
    assert client.delete("/_compare/columns/mine").status_code == 400
    made = client.post("/_comparison/file/csv", json=asked("overlay", variants=[FIRST, SECOND]))
    assert made.mimetype == "text/csv"
    assert client.post("/_comparison/file/csv", json=asked("overlay", variants=[])).status_code == 400
    assert b"There is no comparison" in client.get("/_comparison/about/nothing").data
    assert b"Formula" in client.get("/_comparison/about/overlay").data
