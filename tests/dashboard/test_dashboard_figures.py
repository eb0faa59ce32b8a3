"""The figure service: what it computes, what it remembers, and what a panel shows when there is no figure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from flask import Flask

from analyzers.registry import default_registry
from dashboard.figures import FigureService, Question, explained
from data import Workspace
from data.errors import BadParameter, MissingArtifact, UnknownVariant
from renderers.catalog import Catalog, Parameter, View
from renderers.service import ViewService


class Counting:
    """A catalog of three views that counts how often each is drawn."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, int, str]] = []

    def catalog(self) -> Catalog:
        def draw(data: xr.Dataset, scene: Any) -> dict[str, Any]:
            self.drawn.append(("map", scene.selection.neuron, scene.theme.name))
            trace = {"type": "scatter", "x": np.arange(3), "y": np.full(3, scene.selection.neuron, "f4")}
            return {"data": [trace], "layout": {}}

        def fail(data: xr.Dataset, scene: Any) -> dict[str, Any]:
            raise ZeroDivisionError("no such luck")

        common = {"group": "run", "blurb": "", "data": lambda source: xr.Dataset()}
        return Catalog(
            [
                View(name="map", title="Map", order=1, draw=draw, depends=("variant", "epoch", "neuron"),
                     parameters={"tone": Parameter("soft", ("soft", "loud"), "Tone")}, **common),
                View(name="broken", title="Broken", order=2, draw=fail, **common),
                View(name="needy", title="Needy", order=3, draw=draw, needs=("logits_summary",),
                     group="run", blurb="",
                     data=lambda source: source.artifact("logits_summary")),
            ]
        )  # fmt: skip


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def figures(samples_workspace, counting: Counting) -> Iterator[FigureService]:
    app = Flask("test")
    with app.app_context():
        yield FigureService(Workspace(samples_workspace), ViewService(views=counting.catalog()), app)


def _question(samples_workspace, **changes: Any) -> Question:
    name = Workspace(samples_workspace).variants()[0].name
    asked = Question("map", name, {"epoch": 2000, "neuron": 3}, {}, "light", "compact")
    return replace(asked, **changes)


def test_a_figure_is_drawn_once_and_then_remembered(figures, counting, samples_workspace) -> None:
    question = _question(samples_workspace)
    first = figures.figure(question)
    assert figures.figure(question) == first
    assert counting.drawn == [("map", 3, "light")]
    assert first["data"][0]["y"]["dtype"] == "f4"


def test_only_what_the_view_depends_on_is_part_of_the_memory(figures, counting, samples_workspace) -> None:
    figures.figure(_question(samples_workspace))
    figures.figure(_question(samples_workspace, selection={"epoch": 2000, "neuron": 3, "frequency": 9}))
    assert len(counting.drawn) == 1
    for changes in (
        {"selection": {"epoch": 4000, "neuron": 3}},
        {"theme": "dark"},
        {"density": "full"},
        {"params": {"tone": "loud"}},
    ):
        figures.figure(_question(samples_workspace, **changes))
    assert len(counting.drawn) == 5


def test_the_neuron_zero_is_a_neuron(figures, counting, samples_workspace) -> None:
    figures.figure(_question(samples_workspace, selection={"epoch": 2000, "neuron": 0}))
    assert counting.drawn == [("map", 0, "light")]


def test_a_failing_view_says_so_in_its_panel(figures, samples_workspace) -> None:
    asked = vars(_question(samples_workspace, view="broken", selection={}))
    answer = figures.answer(asked)
    assert answer["state"] == "error"
    assert "ZeroDivisionError: no such luck" in answer["text"]


def test_a_missing_artifact_names_the_analyzer_and_offers_to_run_it(
    counting, samples_workspace, tmp_path
) -> None:
    shutil.copytree(samples_workspace, tmp_path / "raw", ignore=shutil.ignore_patterns("artifacts"))
    workspace, app = Workspace(tmp_path / "raw"), Flask("raw")
    name = workspace.variants()[0].name
    with app.app_context():
        figures = FigureService(workspace, ViewService(views=counting.catalog()), app)
        asked = vars(_question(samples_workspace, view="needy", selection={}))
        answer = figures.answer(asked)
    assert answer["state"] == "missing"
    assert "logits_summary" in answer["text"]
    assert f"tdw analyze {name}" in answer["text"]


PLAIN = {"view": "map", "variant": "x", "selection": {}, "params": {}, "theme": "light", "density": "full"}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"view": "map"},
        PLAIN | {"selection": {"epoch": "late"}},
        PLAIN | {"theme": "sepia"},
        PLAIN | {"params": 5},
    ],
)
def test_a_forged_request_is_refused_in_words(figures, asked: dict[str, Any]) -> None:
    with pytest.raises(BadParameter, match="Reload"):
        Question.parse(asked)
    answer = figures.answer(asked)
    assert answer["state"] == "error"
    assert "Reload" in answer["text"]


def test_an_unknown_variant_is_named(figures, samples_workspace) -> None:
    with pytest.raises(UnknownVariant, match=r"\.\./etc"):
        figures.figure(_question(samples_workspace, variant="../etc"))


def test_what_is_too_slow_to_run_unasked_is_offered_by_name() -> None:
    slow = [analyzer.name for analyzer in default_registry() if not analyzer.standard]
    for name in slow:
        said = explained(MissingArtifact("p23-s1", name), "a view")
        assert (said["state"], said["action"], said["analyzers"]) == ("missing", "analyze", [name])
        assert f"tdw analyze p23-s1 --analyzer {name}" in said["text"]
    usual = explained(MissingArtifact("p23-s1", "turn", 200), "a view")
    assert usual["analyzers"] == []
    assert "epoch 200" in usual["text"]
    assert "--analyzer" not in usual["text"]


def test_an_unexpected_failure_is_told_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    said = explained(ZeroDivisionError("no such luck"), "broken")
    assert (said["state"], said["action"]) == ("error", "retry")
    assert "no such luck" in said["text"]
    assert "View broken failed" in capsys.readouterr().err
