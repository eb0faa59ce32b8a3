"""The whole catalog, walked: every view draws, says what its marks mean, and means it."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any, get_args

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from synthetic import EPOCHS, HEADS, SyntheticReader, SyntheticVariant

from analyzers.registry import default_registry
from data.errors import BadParameter, MissingArtifact, UnknownEpoch
from renderers.catalog import GROUPS, Shape, View, catalog
from renderers.encode import encode
from renderers.matrices import matrix_colour
from renderers.payload import payload
from renderers.selection import FIELDS
from renderers.service import BoundView, ViewService
from renderers.theme import frequency_colour

VIEWS = list(catalog())
SELECTIONS: dict[str, dict[str, int]] = {
    "zeros": {"epoch": 0, "neuron": 0, "head": 0, "frequency": 1, "pair": 0},
    "late": {"epoch": 2000, "neuron": 17, "head": 3, "frequency": 5, "pair": 4 * 13 + 2},
}
LOOKS = list(itertools.product(("light", "dark"), ("compact", "full")))


def open_view(view: View, reader: SyntheticReader | None = None, **given: Any) -> BoundView:
    variant = given.pop("variant", None) or SyntheticVariant()
    return ViewService(reader or SyntheticReader()).open(variant, view.name, **given)


def each_setting(view: View) -> list[dict[str, str]]:
    """All settings where they are few; otherwise every choice of each parameter beside defaults."""
    names = list(view.parameters)
    if math.prod(len(parameter.choices) for parameter in view.parameters.values()) <= 12:
        choices = itertools.product(*(view.parameters[name].choices for name in names))
        return [dict(zip(names, chosen, strict=True)) for chosen in choices]
    changed = [
        {name: choice}
        for name, parameter in view.parameters.items()
        for choice in parameter.choices
        if choice != parameter.default
    ]
    return [{}, *changed]


def each_drawing(view: View) -> list[dict[str, Any]]:
    """The defaults in every look and selection; every other setting in two opposite ones."""
    drawn = [
        {"theme": theme, "density": density, **selection}
        for (theme, density), selection in itertools.product(LOOKS, SELECTIONS.values())
    ]
    opposite = (
        {"theme": "light", "density": "full", **SELECTIONS["late"]},
        {"theme": "dark", "density": "compact", **SELECTIONS["zeros"]},
    )
    drawn += [{**look, **params} for params in each_setting(view) if params for look in opposite]
    return drawn


def same(first: Any, second: Any) -> bool:
    """Whether two figures are equal, NaN being equal to NaN."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, np.ndarray):
        floats = first.dtype.kind == "f" and second.dtype.kind == "f"
        return np.array_equal(first, second, equal_nan=floats)
    return bool(first == second) or (first != first and second != second)


def points(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Points as plotly reports them on a click (a sample of a large trace), with z for a heatmap."""
    custom = trace.get("customdata")
    if trace["type"] == "heatmap":
        found = [
            {
                "x": x,
                "y": y,
                "z": trace["z"][row, column],
                "customdata": None if custom is None else custom[row][column],
            }
            for row, y in enumerate(trace["y"])
            for column, x in enumerate(trace["x"])
        ]
    else:
        found = [
            {"x": x, "y": y, "customdata": None if custom is None else custom[index]}
            for index, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True))
            if np.isfinite(y)
        ]
    return found[:: max(1, len(found) // 400)]


def marks_of(figure: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, int]]]:
    return [
        (trace, point, payload(trace, point))
        for trace in figure["data"]
        if (trace.get("meta") or {}).get("payload")
        for point in points(trace)
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
class TestEveryView:
    def test_draws_in_every_look_and_setting(self, view: View) -> None:
        for given in each_drawing(view):
            figure = open_view(view, **given).raw()
            assert set(figure) == {"data", "layout"}
            go.Figure(figure)  # raises for any attribute or value that plotly does not have
            text = json.dumps(encode(figure), allow_nan=False)
            assert len(text) < 2_000_000

    def test_axes_have_titles_and_figures_do_not(self, view: View) -> None:
        figure = open_view(view, **SELECTIONS["late"]).raw()
        layout = figure["layout"]
        assert "title" not in layout
        if figure["data"] and all(trace["type"] == "table" for trace in figure["data"]):
            return  # its columns have headers
        named = {**layout, **layout.get("scene", {})}
        titles = {
            name: axis["title"]["text"] for name, axis in named.items() if re.fullmatch(r"[xyz]axis\d*", name)
        }
        if view.name == "attention_maps":  # small multiples name the outer axes only
            titles = {name: title for name, title in titles.items() if name in ("yaxis", "xaxis3")}
        assert len(titles) == (3 if "scene" in layout else 2)
        assert all(titles.values())

    def test_splits_matrices_and_frequencies_have_their_colours(self, view: View) -> None:
        bound = open_view(view, **SELECTIONS["late"])
        scene = bound.scene()
        for trace in bound.raw()["data"]:
            colour = trace.get("line", {}).get("color") or trace.get("marker", {}).get("color")
            name = str(trace.get("name", ""))
            if not isinstance(colour, str):
                continue
            if name in ("train", "test"):
                assert colour == scene.theme.split(name)
            elif re.fullmatch(r"W_[A-Za-z]+(\.\d+)?", name):
                assert colour == matrix_colour(scene, name)
            elif found := re.fullmatch(r"k (\d+)", name):
                assert colour == frequency_colour(int(found[1]))

    def test_zoom_survives_updates_of_the_same_view_and_variant(self, view: View) -> None:
        first = open_view(view, **SELECTIONS["zeros"]).raw()["layout"]["uirevision"]
        second = open_view(view, **SELECTIONS["late"]).raw()["layout"]["uirevision"]
        other = open_view(view, variant=SyntheticVariant(name="p13-s1-d598")).raw()["layout"]["uirevision"]
        assert first == second != other

    def test_depends_on_nothing_but_what_it_declares(self, view: View) -> None:
        base = {**SELECTIONS["late"]}
        for params in each_setting(view):
            expected = open_view(view, **base, **params).raw()
            for field in set(FIELDS) - set(view.depends) - {"variant"}:
                other = {**base, field: SELECTIONS["zeros"][field]}
                assert same(open_view(view, **other, **params).raw(), expected), field

    def test_every_declared_dependency_changes_it(self, view: View) -> None:
        for field in set(view.depends) - {"variant"}:
            changed = False
            for params in each_setting(view):
                base = open_view(view, **SELECTIONS["late"], **params).raw()
                other = {**SELECTIONS["late"], field: 800 if field == "epoch" else 1}
                changed = not same(open_view(view, **other, **params).raw(), base)
                if changed:
                    break
            assert changed, field

    def test_payloads_are_its_marks_and_exist(self, view: View) -> None:
        variant = SyntheticVariant()
        exist = {
            "neuron": range(variant.d_mlp),
            "head": range(HEADS),
            "frequency": range(1, 7),
            "pair": range(13**2),
            "epoch": variant.history["epoch"].values
            if view.name in ("loss_curves", "learning_rate")
            else EPOCHS,
        }
        carried: set[str] = set()
        for params in each_setting(view):
            for trace, _, found in marks_of(
                open_view(view, variant=variant, **SELECTIONS["late"], **params).raw()
            ):
                declared = list(trace["meta"]["payload"])
                assert [field for field in view.marks if field in declared] == declared, (
                    "order: primary first"
                )
                carried |= set(found)
                for field, value in found.items():
                    assert value in exist[field], (field, value)
        assert carried == set(view.marks)

    def test_colours_and_cells_carry_no_selection(self, view: View) -> None:
        """Cursors belong to the browser: no shape or line of the figure stands at the selected epoch."""
        if "epoch" in view.depends:
            return
        shapes = open_view(view, **SELECTIONS["late"]).raw()["layout"]["shapes"]
        assert not any(shape["x0"] == shape["x1"] for shape in shapes)

    def test_missing_artifacts_propagate(self, view: View) -> None:
        stored = [name for name in view.needs if default_registry().get(name).stored]
        for name in stored:
            with pytest.raises(MissingArtifact, match="tdw analyze p13-s0-d598"):
                open_view(view, SyntheticReader(without=(name,))).raw()
        for name in view.optional:
            assert open_view(view, SyntheticReader(without=(name,)), neuron=17).raw()["data"]

    def test_nan_everywhere_explains_itself(self, view: View) -> None:
        def nan(name: str, dataset: xr.Dataset) -> xr.Dataset:
            return dataset.map(
                lambda values: xr.full_like(values, np.nan) if values.dtype.kind == "f" else values * 0
            )

        variant = SyntheticVariant(with_history=False)
        for theme, density in LOOKS:
            figure = open_view(
                view, SyntheticReader(change=nan), variant=variant, theme=theme, density=density
            ).raw()
            go.Figure(figure)
            json.dumps(encode(figure), allow_nan=False)

    def test_is_documented(self, view: View) -> None:
        assert view.group in GROUPS
        assert view.title
        assert view.shape in get_args(Shape)
        assert len(view.blurb) > 60
        assert view.blurb.endswith(".")
        assert set(view.depends) <= set(FIELDS)
        assert set(view.marks) <= set(FIELDS)
        assert not set(view.parameters) & set(FIELDS)
        assert all(parameter.default in parameter.choices for parameter in view.parameters.values())

    def test_needs_exist_and_bring_formula_and_source(self, view: View) -> None:
        for name in (*view.needs, *view.optional):
            analyzer = default_registry().get(name)
            assert analyzer.formula
            assert analyzer.source


def cells(view_name: str, **given: Any) -> tuple[BoundView, list[tuple[dict[str, Any], dict[str, int]]]]:
    bound = open_view(catalog().get(view_name), **{**SELECTIONS["late"], **given})
    return bound, [(point, found) for _, point, found in marks_of(bound.raw())]


@pytest.mark.parametrize("order", ["cluster", "index"])
def test_a_cluster_cell_shows_the_neuron_and_frequency_that_a_click_selects(order: str) -> None:
    bound, found = cells("neuron_clusters", order=order)
    fraction = bound.source.at_epoch("neuron_frequencies")["fraction"]
    for point, mark in found:
        expected = fraction.sel(neuron=mark["neuron"], freq=mark["frequency"])
        np.testing.assert_equal(point["z"], np.float32(expected))


def test_clusters_are_ordered_by_frequency_then_fraction_and_constant_neurons_come_last() -> None:
    bound, _ = cells("neuron_clusters")
    data = bound.data()
    ranks = list(
        zip(data["dominant_frequency"].values[:-1], -data["dominant_fraction"].values[:-1], strict=True)
    )
    assert ranks == sorted(ranks)
    assert data["neuron"].values[-1] == 0
    assert data["dominant_frequency"].values[-1] == 0
    by_index, _ = cells("neuron_clusters", order="index")
    assert by_index.data()["neuron"].values.tolist() == list(range(40))


def test_a_map_cell_shows_the_activation_at_its_a_and_b() -> None:
    bound, found = cells("neuron_map", neuron=17)
    truth = bound.source.on_demand("neuron_map", neuron=17)["activation"]
    assert not np.allclose(truth, truth.T)
    for point, mark in found:
        assert mark == {"pair": 13 * point["y"] + point["x"]}
        assert point["z"] == np.float32(truth.sel(a=point["y"], b=point["x"]))


@pytest.mark.parametrize("source", ["a", "b", "="])
def test_an_attention_cell_shows_its_head_and_source(source: str) -> None:
    bound, found = cells("attention_maps", source=source)
    truth = bound.source.on_demand("attention_maps")["pattern"].sel(source=source)
    assert {mark["head"] for _, mark in found} == set(range(HEADS))
    for point, mark in found:
        assert point["z"] == np.float32(truth.sel(head=mark["head"], a=point["y"], b=point["x"]))


@pytest.mark.parametrize("source", ["a", "="])
def test_an_attention_frequency_cell_and_point_are_those_of_the_label(source: str) -> None:
    bound, found = cells("attention_frequencies", source=source)
    truth = bound.source.at_epoch("attention_frequencies").sel(source=source)
    for point, mark in found:
        assert point["z"] == np.float32(truth["fraction"].sel(head=mark["head"], freq=mark["frequency"]))
    bound, found = cells("attention_history", source=source)
    truth = bound.source.artifact("attention_frequencies").sel(source=source)
    for point, mark in found:
        own = truth.sel(epoch=mark["epoch"], head=mark["head"])
        assert mark["frequency"] == int(own["dominant_frequency"])
        assert point["y"] == np.float32(own["dominant_fraction"])


@pytest.mark.parametrize(("view", "matrix"), [("embedding", "W_E"), ("unembedding", "W_U")])
def test_embedding_marks_show_the_named_row(view: str, matrix: str) -> None:
    bound, _ = cells(f"{view}_fourier")
    truth = bound.source.at_epoch("embedding_fourier")
    for trace, point, mark in marks_of(bound.raw()):
        assert point["y"] == np.float32(truth[f"{matrix}_{trace['name']}"].sel(freq=mark["frequency"]))
    assert {trace["name"] for trace in bound.raw()["data"]} == {"cos", "sin"}
    bound, found = cells(f"{view}_history")
    norms = bound.source.artifact("embedding_fourier")[f"{matrix}_norm"]
    for point, mark in found:
        assert point["z"] == np.float32(norms.sel(epoch=mark["epoch"], freq=mark["frequency"]))


def test_history_cells_stand_at_their_true_epochs() -> None:
    bound, found = cells("neuron_history", neuron=17)
    truth = bound.source.artifact("neuron_frequencies")["fraction"].sel(neuron=17)
    for point, mark in found:
        assert point["z"] == np.float32(truth.sel(epoch=mark["epoch"], freq=mark["frequency"]))
    assert bound.raw()["data"][0]["x"].tolist() == EPOCHS.tolist()


def test_trajectory_points_stand_where_their_epoch_is() -> None:
    for axes in ("1-2", "1-3", "2-3"):
        bound, found = cells("parameter_pca", axes=axes, group="mlp")
        truth = bound.source.artifact("parameter_pca")["projection"].sel(group="mlp")
        first, second = (int(number) for number in axes.split("-"))
        for point, mark in found:
            own = truth.sel(epoch=mark["epoch"])
            assert (point["x"], point["y"]) == (
                float(own.sel(component=first)),
                float(own.sel(component=second)),
            )
        layout = bound.raw()["layout"]
        assert layout["yaxis"]["scaleanchor"] == "x"
        ratio = float(bound.data()["explained_variance_ratio"].sel(component=first))
        assert f"PC{first}" in layout["xaxis"]["title"]["text"]
        assert f"{ratio:.1%}" in layout["xaxis"]["title"]["text"]


def test_velocity_steps_over_the_interval_before_each_checkpoint() -> None:
    bound, _found = cells("parameter_velocity")
    trace = bound.raw()["data"][0]
    assert trace["line"]["shape"] == "vh"  # the value of a checkpoint is drawn back to the one before
    assert bound.raw()["layout"]["yaxis"]["type"] == "log"
    truth = bound.source.artifact("parameter_pca")["velocity"]
    for trace, point, mark in marks_of(bound.raw()):
        assert point["y"] == np.float32(truth.sel(group=trace["name"], epoch=mark["epoch"]))
        assert point["customdata"] == EPOCHS[mark["epoch"] > EPOCHS].max()


def test_the_band_of_dimensions_belongs_to_singular_values_only() -> None:
    def bands(convention: str) -> list[dict[str, Any]]:
        bound, _ = cells("participation_ratio", convention=convention)
        return [shape for shape in bound.raw()["layout"]["shapes"] if shape["yref"] == "y"]

    assert [(shape["y0"], shape["y1"]) for shape in bands("singular values")] == [(25.0, 30.0)]
    assert bands("eigenvalues") == []


def test_participation_lines_show_the_chosen_convention() -> None:
    for convention, name in (
        ("singular values", "participation_ratio_sv"),
        ("eigenvalues", "participation_ratio_ev"),
    ):
        bound, _ = cells("participation_ratio", convention=convention)
        truth = bound.source.artifact("singular_values")[name]
        for trace, point, mark in marks_of(bound.raw()):
            assert point["y"] == np.float32(truth.sel(matrix=trace["name"], epoch=mark["epoch"]))
            assert mark.get("head", -1) == (int(trace["name"][-1]) if "." in trace["name"] else -1)


def test_spectra_are_those_of_the_chosen_matrix_head_and_epochs() -> None:
    bound, _ = cells("singular_values", epoch=800, head=3, matrix="W_Q")
    truth = bound.source.artifact("singular_values")["singular_value"].sel(matrix="W_Q.3")
    epochs = set()
    for _, point, mark in marks_of(bound.raw()):
        epochs.add(mark["epoch"])
        assert point["y"] == np.float32(truth.sel(epoch=mark["epoch"], component=point["x"]))
    assert epochs == {0, 800, 2000}


@pytest.mark.parametrize(("rate", "column"), [("learning rate", "lr"), ("weight decay", "weight_decay")])
def test_rates_are_those_of_the_history_and_hold_until_the_next_epoch(rate: str, column: str) -> None:
    bound, found = cells("learning_rate", rate=rate)
    truth = SyntheticVariant().history[column]
    assert {mark["epoch"] for _, mark in found} >= {0, 2000}
    for point, mark in found:
        assert point["y"] == float(truth.sel(epoch=mark["epoch"]))
    (trace,) = bound.raw()["data"]
    assert trace["line"]["shape"] == "hv"
    low, high = bound.raw()["layout"]["yaxis"]["range"]
    assert low == 0 < trace["y"].min() <= trace["y"].max() < high


def test_a_run_without_recorded_weight_decay_says_so() -> None:
    variant = SyntheticVariant(with_history=False)
    figure = open_view(catalog().get("learning_rate"), variant=variant, rate="weight decay").raw()
    assert "No weight decay was recorded" in figure["layout"]["annotations"][0]["text"]


def test_loss_curves_keep_their_ends_and_extremes() -> None:
    bound, _ = cells("loss_curves")
    history = bound.source.history
    for trace, name in zip(bound.raw()["data"], ("train_loss", "test_loss"), strict=True):
        whole = history[name].values
        assert len(trace["x"]) <= 2000
        assert (trace["x"][0], trace["x"][-1]) == (0, 2000)
        assert (trace["y"].min(), trace["y"].max()) == (whole.min(), whole.max())
        np.testing.assert_array_equal(trace["y"], whole[trace["x"]])


def test_a_loss_that_was_evaluated_now_and_then_is_drawn_as_a_whole_line() -> None:
    variant = SyntheticVariant()
    history = variant.history.copy()
    history["test_loss"] = history["test_loss"].where(history["epoch"] % 100 == 0)
    variant.__class__ = type("Sparse", (SyntheticVariant,), {"history": property(lambda self: history)})
    trace = open_view(catalog().get("loss_curves"), variant=variant).raw()["data"][1]
    assert trace["x"].tolist() == list(range(0, 2001, 100))
    assert np.isfinite(trace["y"]).all()


@pytest.mark.parametrize(
    "view", [view for view in VIEWS if "turn" in view.optional], ids=lambda view: view.name
)
def test_events_are_marked_and_named_once(view: View) -> None:
    with_events = open_view(view, neuron=17).raw()["layout"]
    notes = with_events["annotations"] + with_events.get("scene", {}).get("annotations", [])
    texts = " · ".join(note["text"] for note in notes)
    for name in ("memorised", "onset", "steepest", "completion"):
        assert texts.count(name) == 1
    if view.name not in (
        "parameter_pca",
        "parameter_pca_3d",
        "path_crossings",
    ):  # no time axis
        intervals = [(shape["x0"], shape["x1"]) for shape in with_events["shapes"] if shape["xref"] == "x"]
        assert intervals == [(20, 50), (800, 900), (900, 1000), (1000, 1500)]


def test_events_that_never_happened_are_not_marked() -> None:
    def never(name: str, dataset: xr.Dataset) -> xr.Dataset:
        return dataset.where(dataset["event"] == "memorised") if name == "turn" else dataset

    layout = open_view(catalog().get("loss_curves"), SyntheticReader(change=never)).raw()["layout"]
    assert [(shape["x0"], shape["x1"]) for shape in layout["shapes"]] == [(20, 50)]


def test_bad_requests_say_what_there_is() -> None:
    service, variant = ViewService(SyntheticReader()), SyntheticVariant()
    with pytest.raises(BadParameter, match="loss_curves"):
        service.open(variant, "nonsense")
    with pytest.raises(BadParameter, match=r"'colour'.*order"):
        service.open(variant, "neuron_clusters", colour="red")
    with pytest.raises(BadParameter, match="cluster, index"):
        service.open(variant, "neuron_clusters", order="random")
    with pytest.raises(UnknownEpoch, match="123"):
        service.open(variant, "neuron_map", epoch=123)
    with pytest.raises(BadParameter, match="neuron=-1"):
        service.open(variant, "neuron_map", neuron=-1)
    with pytest.raises(BadParameter, match="neuron='x'"):
        service.open(variant, "neuron_map", neuron="x")
    with pytest.raises(BadParameter, match=r"40.*0 to 39"):
        service.open(variant, "neuron_history", neuron=40).raw()
    with pytest.raises(BadParameter, match=r"W_Q\.7"):
        service.open(variant, "singular_values", head=7, matrix="W_Q").raw()


def test_a_token_changes_with_what_a_view_draws_and_only_then() -> None:
    variant = SyntheticVariant()
    before = ViewService(SyntheticReader())
    after = ViewService(SyntheticReader(without=("neuron_frequencies",)))
    assert before.token("neuron_history", variant) != after.token("neuron_history", variant)
    assert before.token("parameter_pca", variant) == after.token("parameter_pca", variant)


def test_the_list_names_every_view_with_formula_and_source() -> None:
    listed = ViewService(SyntheticReader()).list()
    assert [entry["name"] for entry in listed] == catalog().names
    assert all(entry["blurb"] and entry["group"] in GROUPS.values() for entry in listed)
    assert all(entry["formula"] and entry["source"] for entry in listed if entry["needs"])
