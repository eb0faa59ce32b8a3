"""Curves of several runs laid over each other: taken from views, aligned, summarised, drawn."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from comparison_runs import EVENTS, LAST, NAMES, STEP, make_runs
from synthetic import EPOCHS, SyntheticReader, SyntheticVariant

from analyzers.comparison.alignment import ALIGNMENTS, Alignment, align
from data import Workspace
from data.errors import BadParameter
from renderers.catalog import View, catalog
from renderers.comparison.cohort import CohortScene, left_out
from renderers.comparison.curves import Curve, curves_of, from_figure, main_curve
from renderers.comparison.reading import KEPT_POINTS, RunReader, may_have_curves
from renderers.comparison.service import BoundComparison, ComparisonService
from renderers.comparison.time_axes import shortened, told_apart
from renderers.decimate import decimate_along
from renderers.encode import encode
from renderers.payload import payload
from renderers.service import BoundView, ViewService

CANDIDATES = [view for view in catalog() if may_have_curves(view)]
# No heatmaps, yet nothing in them is a curve over epochs: single marks, intervals, paths in a plane.
NO_CURVES = {
    "lead_and_lag",
    "neuron_commitment",
    "head_specialisation",
    "scale_and_role",
    "clock_pizza",
    "parameter_pca",
    "parameter_pca_3d",
    "path_crossings",
    "dimensionality_crossing",
    "dimension_and_loss",
}


def bound(name: str, **given: Any) -> BoundView:
    selection = {"epoch": 2000, "neuron": 17, "head": 3, "frequency": 5, "pair": 54}
    return ViewService(SyntheticReader()).open(SyntheticVariant(), name, **selection, **given)


def named(curves: tuple[Curve, ...]) -> dict[str, Curve]:
    return {curve.name: curve for curve in curves}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_runs(tmp_path_factory.mktemp("compared") / "workspace")


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> ComparisonService:
    return ComparisonService(workspace)


def overlay(service: ComparisonService, names: tuple[str, ...] = NAMES, **given: Any) -> BoundComparison:
    asked = {key: given.pop(key) for key in ("selection", "align", "colour_by") if key in given}
    return service.open("overlay", service.cohort(names, **asked), **given)


def of(data: xr.Dataset, name: str) -> dict[str, np.ndarray]:
    """x, y and epoch of one variant."""
    place = data["variant"].values.tolist().index(name)
    end = int(data["points"].values[: place + 1].sum())
    own = slice(end - int(data["points"].values[place]), end)
    return {column: data[column].values[own] for column in ("x", "y", "epoch")}


# --- curves of views -------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", CANDIDATES, ids=lambda view: view.name)
def test_a_view_has_curves_over_epochs_or_is_known_to_have_none(view: View) -> None:
    reader, one = RunReader(), bound(view.name)
    curves = reader.curves(one)
    is_map = any(trace["type"] == "heatmap" for trace in one.raw()["data"])
    assert bool(curves) == (not is_map and view.name not in NO_CURVES)
    assert (reader.kind(one) == "curves") == bool(curves)
    for curve in curves:
        assert curve.name
        assert curve.title
        assert len(curve.epochs) == len(curve.values) >= 2
        assert np.all(np.diff(curve.epochs) > 0)
        if view.name not in ("loss_curves", "learning_rate"):
            assert set(curve.epochs) <= set(EPOCHS.tolist())
    if curves:
        assert main_curve(curves) in curves
        assert set(view.depends) <= {"variant", "neuron", "pair"}, "overlays must depend on it too"


def test_what_marks_no_epoch_or_reads_one_has_no_curves_over_epochs() -> None:
    for name in ("singular_values", "embedding_fourier", "attention_maps"):
        assert not may_have_curves(catalog().get(name))
        assert curves_of(bound(name)) == ()


def test_the_curves_of_the_losses_are_the_whole_history() -> None:
    curves, history = named(curves_of(bound("loss_curves"))), SyntheticVariant().history
    for split in ("train", "test"):
        np.testing.assert_array_equal(curves[split].epochs, history["epoch"].values)
        np.testing.assert_array_equal(curves[split].values, history[f"{split}_loss"].values)
    assert curves["test"].log
    assert main_curve(tuple(curves.values())).name == "test"
    assert curves_of(bound("learning_rate"))[0].hold == "hv"


def test_what_is_kept_of_a_long_curve_shows_everything_in_epochs_and_in_their_logarithm() -> None:
    epoch = np.arange(60_001)
    loss = np.exp(-epoch / 9_000)
    loss[[2, 31_234]] = 50.0, 40.0
    variant = SyntheticVariant()
    history = xr.Dataset({"test_loss": ("epoch", loss)}, coords={"epoch": epoch})
    variant.__class__ = type("Long", (SyntheticVariant,), {"history": property(lambda self: history)})
    view = ViewService(SyntheticReader()).open(variant, "loss_curves")
    (whole,), (kept,) = curves_of(view), RunReader().curves(view)
    assert len(whole.epochs) == len(epoch)
    assert len(kept.epochs) <= 2 * KEPT_POINTS + len(variant.epochs)
    assert set(range(20)) | {31_234, *variant.epochs} <= set(kept.epochs.tolist())
    np.testing.assert_array_equal(kept.values, loss[kept.epochs.astype(int)])


def test_curves_drawn_as_one_trace_are_told_apart_by_their_frequency() -> None:
    curves = named(curves_of(bound("excluded_history")))
    truth = bound("excluded_history").source.artifact("progress_losses")["excluded_by_frequency"]
    for k in range(1, 7):
        np.testing.assert_allclose(curves[f"k {k}"].values, truth.sel(freq=k).values, rtol=1e-6)
    assert "null" not in curves


@pytest.mark.parametrize(
    ("view", "artifact", "variable"), [("parameter_velocity", "parameter_pca", "velocity")]
)
def test_curves_are_the_numbers_of_the_artifact(view: str, artifact: str, variable: str) -> None:
    truth = bound(view).source.artifact(artifact)[variable]
    for name, curve in named(curves_of(bound(view))).items():
        np.testing.assert_array_equal(
            curve.values, truth.sel(group=name, epoch=curve.epochs.astype(int)).values.astype(float)
        )
        assert curve.hold == "vh"


def test_a_break_in_a_line_stays_between_its_points_and_intervals_are_no_curves() -> None:
    nan = np.nan
    base = {"type": "scatter", "mode": "lines+markers", "meta": {"payload": {"epoch": "x"}}}
    broken = {**base, "name": "phase", "x": [0, 10, 20, 20, 30], "y": [1.0, 3.0, nan, -3.0, -1.0]}
    bars = {**base, "name": "bars", "x": [5, 9, nan, 20, 22, nan], "y": [1, 1, nan, 2, 2, nan]}
    marks = {**base, "name": "marks", "mode": "markers", "x": [1, 2], "y": [1, 2]}
    axes = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": "phase (rad)"}}}
    (found,) = from_figure({"data": [broken, bars, marks], "layout": axes})
    assert found.name == "phase"
    np.testing.assert_array_equal(found.epochs, [0, 10, 15, 20, 30])
    np.testing.assert_array_equal(found.values, [1, 3, nan, -3, -1])
    other = {**axes, "xaxis": {"title": {"text": "frequency k"}}}
    assert from_figure({"data": [broken], "layout": other}) == ()


def test_a_setting_of_the_view_is_a_setting_of_its_curves() -> None:
    test, train = (named(curves_of(bound("margins", split=split)))["mean"] for split in ("test", "train"))
    assert not np.array_equal(test.values, train.values)


# --- the reader ------------------------------------------------------------------------------------------


def test_curves_are_read_once_until_the_run_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_runs(tmp_path / "workspace", names=NAMES[:1], analysed=())
    view, reader = workspace[NAMES[0]].view("loss_curves"), RunReader()
    first = reader.curves(view)
    assert reader.curves(workspace[NAMES[0]].view("loss_curves")) is first
    history = workspace[NAMES[0]].history
    columns = {str(name): history[name].values for name in history}
    workspace[NAMES[0]].save_history(
        {"epoch": history["epoch"].values, **columns, "test_loss": columns["train_loss"]}
    )
    again = named(reader.curves(workspace[NAMES[0]].view("loss_curves")))
    np.testing.assert_array_equal(again["test"].values, again["train"].values)


def test_what_is_remembered_has_a_limit() -> None:
    reader = RunReader(limit=1)
    views = [bound("accuracy"), bound("margins")]
    first = reader.curves(views[0])
    assert reader.curves(views[0]) is first
    reader.curves(views[1])
    assert reader.curves(views[0]) is not first


def test_thinning_along_uneven_places_keeps_the_extremes_of_every_stretch() -> None:
    x = np.concatenate([np.linspace(0, 1, 5_000), np.linspace(1.001, 10, 300)])
    y = np.random.default_rng(0).normal(size=len(x))
    y[[17, 5_100]] = np.nan
    kept = decimate_along(x, y, 202)
    assert len(kept) <= 202
    assert {0, len(x) - 1} <= set(kept.tolist())
    for low, high in itertools.pairwise(np.linspace(0, 10, 101)):
        own = np.flatnonzero((x >= low) & (x < high) & ~np.isnan(y))
        assert {own[y[own].argmin()], own[y[own].argmax()]} <= set(kept.tolist())
    np.testing.assert_array_equal(decimate_along(x[:4], y[:4], 4), np.arange(4))
    with pytest.raises(ValueError, match="limit=3"):
        decimate_along(x, y, 3)


# --- the overlay -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_every_point_stands_at_the_aligned_time_of_its_epoch(
    service: ComparisonService, workspace: Workspace, name: str
) -> None:
    data = overlay(service, align=name).data()
    out = dict(left_out(data))
    assert set(out) | set(data["variant"].values) == set(NAMES)
    assert set(out) == (set() if "epoch" in name else {"never", "young"})
    for variant in data["variant"].values.tolist():
        own, cohort = of(data, variant), service.cohort(NAMES, align=name)
        one = align(name, cohort.runs.landmarks(workspace[variant], cohort.views.reader))
        assert isinstance(one, Alignment)
        np.testing.assert_allclose(own["x"], one.place(own["epoch"]))
        np.testing.assert_array_equal(
            own["y"], workspace[variant].history["test_loss"].sel(epoch=own["epoch"].astype(int)).values
        )
    if name == "turn_scaled":
        at_onset = [
            np.interp(EVENTS[one][1], *(of(data, one)[key] for key in ("epoch", "x"))) for one in ("a", "b")
        ]
        np.testing.assert_allclose(at_onset, 1.0, atol=0.1)


def test_who_cannot_be_placed_is_named_with_the_reason(service: ComparisonService) -> None:
    reasons = dict(left_out(overlay(service, align="phases").data()))
    assert "has not turned" in reasons["never"] or "no memorised" in reasons["never"]
    assert "evaluated 6 times" in reasons["young"]
    assert "2 of" not in overlay(service).raw()["layout"]["annotations"][-1]["text"]
    says = overlay(service, align="phases").raw()["layout"]["annotations"][-1]["text"]
    assert f"{len(NAMES) - 2} of {len(NAMES)} variants" in says


def test_a_cohort_of_which_nobody_can_be_placed_says_so(service: ComparisonService) -> None:
    figure = overlay(service, ("never", "young"), align="turn_scaled").raw()
    assert figure["data"] == []
    assert "None of the 2 variants" in figure["layout"]["annotations"][0]["text"]


def test_a_curve_that_only_some_have_leaves_the_others_out(service: ComparisonService) -> None:
    one = overlay(service, view="accuracy")
    assert one.data()["variant"].values.tolist() == ["a", "b", "fork"]
    assert "tdw analyze" in dict(left_out(one.data()))["never"]
    assert one.offered["curve"] == ["test", "train"]
    assert one.offered["normalise"] == ["raw", "relative to first"]


def test_where_variants_differ_in_what_is_strongest_each_ones_own_comes_first(
    service: ComparisonService,
) -> None:
    one = overlay(service, ("a", "b"), view="excluded_history")
    assert one.offered["curve"][0] == "first of each variant"
    assert len(set(one.data()["drawn"].values)) == 2


def test_bands_are_quartiles_over_the_runs_that_are_there(
    service: ComparisonService, workspace: Workspace
) -> None:
    names = tuple(name for name in NAMES if name != "other")
    data = overlay(service, names, bands="median and quartiles").data()
    grid = data["time"].values
    assert data["group"].values.tolist() == ["all"]
    for place in range(0, len(grid), 7):
        there = []
        for name in names:
            history = workspace[name].history
            if history["epoch"].values[-1] >= grid[place]:
                low, high = int(grid[place] // STEP) * STEP, -int(-grid[place] // STEP) * STEP
                ends = np.log10(history["test_loss"].sel(epoch=[low, high]).values)
                there.append(ends[0] + (ends[1] - ends[0]) * (grid[place] - low) / STEP)
        assert data["count"].values[0, place] == len(there)
        enough = len(there) >= 3 and 2 * len(there) >= len(names)
        for share, key in ((25, "lower"), (50, "median"), (75, "upper")):
            expected = 10 ** np.percentile(there, share) if enough else np.nan
            np.testing.assert_allclose(data[key].values[0, place], expected, rtol=1e-9)


def test_groups_of_a_parameter_have_their_own_bands(service: ComparisonService) -> None:
    one = overlay(service, colour_by="p", bands="median and quartiles")
    data = one.data()
    runs = dict(zip(data["group"].values.tolist(), data["runs"].values.tolist(), strict=True))
    assert runs == {"23": len(NAMES) - 1, "19": 1}
    assert np.isnan(data["median"].sel(group="19").values).all()
    texts = [note["text"] for note in one.raw()["layout"]["annotations"]]
    assert any(f"p 23 · n {len(NAMES) - 1}" in text for text in texts)


def test_values_relative_to_the_first_start_at_one(service: ComparisonService) -> None:
    one = overlay(service, normalise="relative to first")
    for name in NAMES:
        assert of(one.data(), name)["y"][0] == 1.0
    assert "over its first value" in one.raw()["layout"]["yaxis"]["title"]["text"]
    assert overlay(service, normalise="raw").raw()["layout"]["yaxis"].get("type") != "log"


def test_marks_carry_the_variant_and_the_epoch_at_their_aligned_time(service: ComparisonService) -> None:
    figure = overlay(service, align="turn_relative").raw()
    times = figure["layout"]["meta"]["times"]
    for trace in figure["data"]:
        assert trace["meta"]["together"] is True
        for index in range(0, len(trace["x"]), 11):
            point = {"x": trace["x"][index], "y": trace["y"][index], "customdata": trace["customdata"][index]}
            found = payload(trace, point)
            table = times[str(found["variant"])]
            assert np.interp(found["epoch"], table["epoch"], table["x"]) == pytest.approx(point["x"])


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_the_table_of_times_is_exact_at_every_saved_epoch(service: ComparisonService, name: str) -> None:
    cohort = service.cohort(("a", "b"), align=name)
    times = service.open("overlay", cohort).raw()["layout"]["meta"]["times"]
    for variant in cohort.variants:
        one = align(name, cohort.runs.landmarks(variant, cohort.views.reader))
        assert isinstance(one, Alignment)
        table = times[variant.name]
        np.testing.assert_allclose(
            np.interp(variant.epochs, table["epoch"], table["x"]), one.place(variant.epochs), atol=1e-6
        )


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_draws_in_every_look(service: ComparisonService, name: str) -> None:
    for theme, density, shown in itertools.product(
        ("light", "dark"), ("compact", "full"), ("none", "median and quartiles")
    ):
        cohort = service.cohort(NAMES, align=name, colour_by="p")
        given = {"theme": theme, "density": density, "bands": shown, "size": (540, 360)}
        figure = service.open("overlay", cohort, **given).raw()
        go.Figure(figure)
        json.dumps(encode(figure), allow_nan=False)
        assert figure["layout"]["xaxis"]["title"]["text"] == ALIGNMENTS[name]
        assert figure["layout"]["yaxis"]["title"]["text"]


def test_many_variants_stay_light(service: ComparisonService) -> None:
    data = overlay(service, ("a", "b")).data()
    assert data.sizes["point"] == 2 * (LAST // STEP + 1)
    many = xr.concat([data.isel(variant=[0])] * 100, "variant", data_vars=["points", "entries", "drawn"])
    many = many.assign_coords(variant=[f"v{index}" for index in range(100)])
    long = np.linspace(0, LAST, 3_000)
    columns = {name: ("point", np.tile(long, 100)) for name in ("x", "epoch")}
    many = many.drop_vars(["of", "x", "y", "epoch"]).assign(
        columns
        | {"y": ("point", np.tile(np.exp(-long / 99), 100)), "points": ("variant", np.full(100, 3_000))}
    )
    scene = overlay(service, ("a", "b"))
    groups = {f"v{index}": "one" for index in range(100)}
    figure = scene.comparison.draw(many, CohortScene(groups=groups, selection=scene.cohort.selection))
    assert sum(len(trace["x"]) for trace in figure["data"]) <= 60_000


def test_names_that_begin_alike_are_told_apart_by_their_ends() -> None:
    names = ["p101-s999-d598-r01-1e-06", "p101-s999-d598-r02-1e-06"]
    assert list(told_apart(names).values()) == ["…r01-1e-06", "…r02-1e-06"]
    assert told_apart(["p113-s99-d598", "p113-s99-d598-r01"])["p113-s99-d598-r01"] == "…d598-r01"
    for distinct in (["p113-s1-d598", "p97-s1-d598"], ["p113-s1-d598"]):
        assert told_apart(distinct) == {name: name for name in distinct}
    long = "p101-s999-d598-at20-lr_piecewise_20=0.0001_1500=0.001"
    assert len(shortened(long)) == 22
    assert (shortened(long)[:10], shortened(long)[-5:]) == (long[:10], long[-5:])


def test_bad_requests_say_what_there_is(service: ComparisonService) -> None:
    with pytest.raises(BadParameter, match=r"align='moon'.*turn_scaled"):
        service.cohort(NAMES, align="moon")
    with pytest.raises(BadParameter, match="no parameter 'colour'"):
        overlay(service, colour="red")
