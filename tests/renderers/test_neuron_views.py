"""Views of neurons and scales: what is drawn is what was measured, at the neuron and epoch of the mark."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from synthetic import EPOCHS, SyntheticReader, SyntheticVariant
from test_views import cells, marks_of, open_view

from analyzers.commitment import commitment, order_of_groups
from analyzers.waves import resultant_null, wrapped
from renderers.catalog import catalog
from renderers.distributions import quantiles, spaced
from renderers.payload import payload


def held(threshold: float) -> xr.DataArray:
    measured = SyntheticReader().read(SyntheticVariant(), "neuron_frequencies")
    return measured["dominant_frequency"].where(measured["dominant_fraction"] >= threshold, 0)


# --- histories -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["frequency", "switches", "index"])
@pytest.mark.parametrize("threshold", ["0.5", "0.85"])
def test_a_history_cell_is_what_its_neuron_holds(order: str, threshold: str) -> None:
    bound, found = cells("neuron_frequency_history", order=order, threshold=threshold)
    truth = held(float(threshold))
    for point, mark in found:
        assert point["z"] == float(truth.sel(neuron=mark["neuron"], epoch=mark["epoch"]))
    trace = bound.raw()["data"][0]
    neurons = trace["customdata"][:, 0].tolist()
    assert sorted(neurons) == list(range(40))
    final = truth.isel(epoch=-1).sel(neuron=neurons).values
    if order == "frequency":
        blocks = [k for place, k in enumerate(final) if place == 0 or k != final[place - 1]]
        assert len(blocks) == len(set(blocks))
        assert blocks[-1] == 0
    if order == "index":
        assert neurons == list(range(40))


def test_every_frequency_of_the_history_has_its_own_colour() -> None:
    from renderers.theme import frequency_colour

    bound, _ = cells("neuron_frequency_history")
    trace = bound.raw()["data"][0]
    for k in range(1, 7):
        place = (k - trace["zmin"]) / (trace["zmax"] - trace["zmin"])
        colour = [shade for stop, shade in trace["colorscale"] if stop <= place][-1]
        assert colour == frequency_colour(k)


@pytest.mark.parametrize("threshold", ["0.3", "0.5", "0.85"])
def test_specialised_neurons_are_counted_at_the_threshold(threshold: str) -> None:
    truth = held(float(threshold))
    bound, _ = cells("neuron_specialisation", threshold=threshold)
    figure = bound.raw()
    for trace, point, mark in marks_of(figure):
        own = truth.sel(epoch=mark["epoch"])
        expected = (own == mark["frequency"]) if "frequency" in mark else (own > 0)
        assert point["y"] == float(expected.sum()), trace["name"]
    by_band = open_view(catalog().get("neuron_specialisation"), threshold=threshold, by="band").raw()["data"]
    curves = {trace["name"]: trace["y"] for trace in by_band}
    np.testing.assert_array_equal(curves["low"] + curves["mid"] + curves["high"], curves["all"])
    np.testing.assert_array_equal(curves["low"], ((truth == 1) | (truth == 2)).sum("neuron"))


@pytest.mark.parametrize("against", ["frequency", "switches"])
def test_a_commitment_point_is_the_first_checkpoint_of_the_final_stretch(against: str) -> None:
    bound, found = cells("neuron_commitment", against=against, threshold="0.85")
    truth = held(0.85)
    seen = set()
    for point, mark in found:
        own = truth.sel(neuron=mark["neuron"])
        assert mark["frequency"] == int(own[-1]) > 0
        assert (own.sel(epoch=slice(mark["epoch"], None)) == mark["frequency"]).all()
        before = own.where(own["epoch"] < mark["epoch"], drop=True)
        if len(before):
            assert int(before[-1]) != mark["frequency"]
            assert point["customdata"][2] == EPOCHS[mark["epoch"] > EPOCHS].max()
        seen.add(mark["neuron"])
    assert seen == set(np.flatnonzero(truth.isel(epoch=-1) > 0))
    texts = " ".join(note["text"] for note in bound.raw()["layout"]["annotations"])
    measured = bound.data().transpose("epoch", "neuron", ...)
    history = commitment(
        measured["dominant_frequency"].values, measured["dominant_fraction"].values, EPOCHS, 6, 0.85
    )
    if against == "switches":
        assert f"{int(history.homeless.sum())} of them" in texts
    elif np.isfinite(rho := order_of_groups(history).rho):
        assert f"ρ = {rho:+.2f}" in texts
    else:
        assert "no rank correlation" in texts


def test_frequency_lives_count_the_holders_and_mark_the_lost() -> None:
    def lost(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "neuron_frequencies":
            return dataset
        k, share = dataset["dominant_frequency"].copy(), dataset["dominant_fraction"].copy()
        k[3:8, 10:20], share[3:8, 10:20] = 6, 0.95
        return dataset.assign(dominant_frequency=k, dominant_fraction=share)

    bound = open_view(catalog().get("frequency_lives"), SyntheticReader(change=lost))
    figure = bound.raw()
    labels = figure["layout"]["yaxis"]["ticktext"]
    data = bound.data().transpose("epoch", "neuron", ...)
    measured = [data[name].values for name in ("dominant_frequency", "dominant_fraction")]
    history = commitment(*measured, EPOCHS, 6, 0.5)
    assert {int(label[0]) for label in labels if "†" in label} == set(np.flatnonzero(history.transient) + 1)
    assert "6 †" in labels
    assert any("†" not in label for label in labels)
    for _, point, mark in marks_of(figure):
        own = data.sel(epoch=mark["epoch"])
        count = ((own["dominant_frequency"] == mark["frequency"]) & (own["dominant_fraction"] >= 0.5)).sum()
        assert np.nan_to_num(point["z"]) == float(count)


# --- the selected neuron ---------------------------------------------------------------------------------


def test_purity_points_show_the_share_and_the_frequency_of_the_epoch() -> None:
    bound, _ = cells("neuron_purity", neuron=17)
    figure = bound.raw()
    truth = bound.source.artifact("neuron_frequencies").sel(neuron=17)
    points = next(trace for trace in figure["data"] if trace["name"] == "dominant frequency")
    for x, y, k in zip(points["x"], points["y"], points["customdata"], strict=True):
        assert y == float(truth["dominant_fraction"].sel(epoch=x))
        assert k == int(truth["dominant_frequency"].sel(epoch=x))


def test_the_block_and_the_spectrum_are_those_of_the_neuron() -> None:
    bound, found = cells("neuron_block", neuron=17)
    data = bound.data()
    blocks = [float(data["spectrum"].sel(freq_a=[0, k], freq_b=[0, k]).sum()) for k in range(1, 7)]
    assert int(data["frequency"]) == np.argmax(blocks) + 1
    assert float(data["block"].sum()) == pytest.approx(max(blocks), abs=1e-5)
    assert {mark["frequency"] for _, mark in found} == {int(data["frequency"])}
    figure = open_view(catalog().get("neuron_spectrum"), neuron=17).raw()
    cell = figure["data"][0]["z"][int(data["frequency"]), 0]
    assert 10**cell == pytest.approx(
        float(data["spectrum"].sel(freq_a=data["frequency"], freq_b=0)), rel=1e-4
    )


def test_phase_lines_break_where_the_circle_is_cut() -> None:
    def jump(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "neuron_phases":
            return dataset
        values = xr.full_like(dataset["phase_a"], 3.0)
        values[7:] = -3.0
        return dataset.assign(phase_a=values)

    bound = open_view(catalog().get("neuron_phase_history"), SyntheticReader(change=jump), neuron=17)
    trace = bound.raw()["data"][0]
    assert len(trace["y"]) == len(EPOCHS) + 1
    assert np.isnan(trace["y"][7])
    assert trace["x"][8] == EPOCHS[7]


@pytest.mark.parametrize(("resolution", "method"), [("28", "bilinear"), ("28", "area"), ("56", "area")])
def test_a_reduced_map_keeps_the_true_frequency_beside_it(resolution: str, method: str) -> None:
    variant = SyntheticVariant(p=113)
    bound = open_view(
        catalog().get("neuron_map"),
        variant=variant,
        neuron=17,
        epoch=2000,
        resolution=resolution,
        method=method,
    )
    figure = bound.raw()
    trace = figure["data"][0]
    assert trace["z"].shape == (int(resolution), int(resolution))
    cell = 113 / int(resolution)
    np.testing.assert_allclose(np.diff(trace["x"]), cell)
    assert trace["x"][0] - cell / 2 == pytest.approx(-0.5)
    row, column = int(trace["y"][3] + 0.5), trace["x"][5]
    clicked = payload(trace, {"x": column, "y": trace["y"][3]})["pair"]
    assert abs(clicked // 113 - row) <= 1
    k = int(bound.data()["dominant_frequency"])
    text = figure["layout"]["annotations"][0]["text"]
    assert f"k = {k}" in text
    assert ("aliased" in text) == (method == "bilinear" and k > int(resolution) / 2)


def test_an_aliased_map_says_what_it_looks_like() -> None:
    def high(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "neuron_frequencies":
            return dataset
        return dataset.assign(dominant_frequency=xr.full_like(dataset["dominant_frequency"], 33))

    variant = SyntheticVariant(p=113)
    for density in ("compact", "full"):
        figure = open_view(
            catalog().get("neuron_map"),
            SyntheticReader(change=high),
            variant=variant,
            neuron=17,
            density=density,
            resolution="28",
        ).raw()
        text = figure["layout"]["annotations"][0]["text"]
        assert "k = 33" in text
        assert "looks like" in text
        assert text.endswith("5")


# --- phases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["live", "final"])
def test_alignment_points_are_the_phases_of_their_neuron(reference: str) -> None:
    bound, found = cells("phase_alignment", reference=reference)
    truth = bound.source.artifact("neuron_phases").sel(epoch=2000, reference=reference)
    assert len(found) > 20
    for point, mark in found:
        own = truth.sel(neuron=mark["neuron"])
        assert mark["frequency"] == int(own["frequency"])
        assert point["x"] == pytest.approx(float(wrapped(own["phase_a"] + own["phase_b"])), abs=1e-6)
        assert point["y"] == pytest.approx(float(own["phase_out"]))
        off = wrapped(np.array(point["x"] - point["y"] - float(own["misalignment"])))
        assert float(off) == pytest.approx(0, abs=1e-5)


def test_bands_are_quantiles_of_the_neurons_and_nan_is_left_out() -> None:
    values = np.random.default_rng(0).normal(size=(3, 50))
    values[1, :49] = np.nan
    values[2] = np.nan
    found = quantiles(values)
    np.testing.assert_allclose(found[:, 0], np.quantile(values[0], [0.05, 0.25, 0.5, 0.75, 0.95]))
    np.testing.assert_allclose(found[:, 1], values[1, 49])
    assert np.isnan(found[:, 2]).all()
    bound, _ = cells("phase_misalignment")
    truth = np.abs(bound.data()["misalignment"].transpose("epoch", "neuron"))
    drawn = next(trace for trace in bound.raw()["data"] if trace["name"].startswith("median"))
    np.testing.assert_allclose(drawn["y"], truth.median("neuron"), rtol=1e-6)
    chance = [shape for shape in bound.raw()["layout"]["shapes"] if shape["yref"] == "y"]
    assert [(shape["y0"], shape["y1"]) for shape in chance] == [(np.pi / 4, 3 * np.pi / 4)]


def test_uniformity_shows_groups_of_five_with_their_null() -> None:
    bound, found = cells("phase_uniformity", moment="2")
    truth = bound.source.artifact("neuron_phases").sel(moment=2)
    assert found
    for point, mark in found:
        own = truth.sel(epoch=mark["epoch"], freq=mark["frequency"])
        assert int(own["members"]) == point["customdata"][0] >= 5
        assert point["y"] == pytest.approx(float(own["resultant"]))
        assert point["customdata"][1] == pytest.approx(float(resultant_null(own["members"].values)))


@pytest.mark.parametrize("rule", ["alignment", "misalignment", "amplitude"])
def test_lottery_points_and_its_verdict(rule: str) -> None:
    bound, found = cells("neuron_lottery", rule=rule)
    truth = bound.source.artifact("neuron_lottery").sel(rule=rule)
    for point, mark in found:
        own = truth.sel(neuron=mark["neuron"])
        assert mark["frequency"] == int(own["final_frequency"])
        assert point["x"] == abs(float(own["initial_misalignment"]))
        assert point["customdata"][2] == int(own["predicted"].sel(candidates="all"))
    texts = " ".join(note["text"] for note in bound.raw()["layout"]["annotations"])
    assert f"{float(truth['accuracy'].sel(candidates='all')):.1%} right" in texts
    assert f"chance {float(truth['chance'].sel(candidates='learned')):.1%}" in texts


# --- measures and scales ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["odd", "all"])
def test_a_harmonic_point_is_its_neuron(kind: str) -> None:
    bound, found = cells("neuron_harmonics", harmonics=kind)
    first = bound.source.artifact("neuron_frequencies").sel(epoch=2000)
    second = bound.source.artifact("neuron_harmonics").sel(epoch=2000, harmonics=kind)
    assert found
    for point, mark in found:
        assert point["x"] == float(first["dominant_fraction"].sel(neuron=mark["neuron"]))
        assert point["y"] == float(second["share"].sel(neuron=mark["neuron"]))
        assert mark["frequency"] == int(second["frequency"].sel(neuron=mark["neuron"]))


@pytest.mark.parametrize(
    ("view", "params", "output", "where"),
    [
        ("neuron_content", {"measure": "sum"}, "content", {"component": "sum"}),
        ("neuron_content", {"measure": "difference"}, "content", {"component": "difference"}),
        ("neuron_content", {"measure": "commutative"}, "commutativity", {}),
        ("neuron_ipr", {"part": "output"}, "ipr", {"part": "output"}),
    ],
)
def test_medians_are_those_of_the_chosen_measure(
    view: str, params: dict[str, str], output: str, where: dict[str, str]
) -> None:
    bound, _ = cells(view, **params)
    truth = bound.source.artifact("neuron_structure")[output].sel(where).transpose("epoch", "neuron").values
    drawn = next(trace for trace in bound.raw()["data"] if trace["name"].startswith("median"))
    np.testing.assert_allclose(drawn["y"], quantiles(truth)[2], rtol=1e-6)


@pytest.mark.parametrize("gradient", ["relative", "raw"])
def test_a_point_of_the_scales_is_its_neuron(gradient: str) -> None:
    bound, found = cells("multi_scale", gradient=gradient)
    truth = bound.source.artifact("multi_scale").sel(epoch=2000)
    measured = bound.source.artifact("neuron_frequencies").sel(epoch=2000)
    assert found
    for point, mark in found:
        own = truth.sel(neuron=mark["neuron"])
        assert point["x"] == float(own["low_frequency_ratio"])
        size = float(np.sqrt(measured["variance"].sel(neuron=mark["neuron"])))
        expected = float(own["gradient"]) / (size if gradient == "relative" else 1)
        assert point["y"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("measure", ["low_frequency_ratio", "variance_preserved_area"])
def test_the_scales_stand_before_random_weights(measure: str) -> None:
    for view, owner in (("multi_scale_history", "neurons"), ("multi_scale_heads", "heads")):
        bound, _ = cells(view, measure=measure)
        null = bound.source.artifact("multi_scale_null")["quantiles"].sel(owner=owner, metric=measure)
        (band,) = [shape for shape in bound.raw()["layout"]["shapes"] if shape["yref"] == "y"]
        assert (band["y0"], band["y1"]) == (float(null.sel(level=0.05)), float(null.sel(level=0.95)))
    bound, found = cells("multi_scale_heads", measure=measure, source="b")
    truth = bound.source.artifact("multi_scale")[f"head_{measure}"].sel(source="b")
    for point, mark in found:
        assert point["y"] == pytest.approx(float(truth.sel(epoch=mark["epoch"], head=mark["head"])))


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_scale_and_role_shows_the_rise_of_the_loss(ablation: str) -> None:
    def intact(name: str, dataset: xr.Dataset) -> xr.Dataset:
        return dataset * 0 + 1.25 if name == "logits_summary" else dataset

    bound = open_view(catalog().get("scale_and_role"), SyntheticReader(change=intact), ablation=ablation)
    ablated = bound.source.artifact("head_ablation")["loss"].sel(ablation=ablation, split="all")
    scales = bound.source.artifact("multi_scale")["head_low_frequency_ratio"].sel(source="a")
    marks = marks_of(bound.raw())
    assert len(marks) > 40
    for _, point, mark in marks:
        own = {"epoch": mark["epoch"], "head": mark["head"]}
        assert point["x"] == pytest.approx(float(scales.sel(own)))
        assert point["y"] == pytest.approx(float(ablated.sel(own)) - 1.25)


def test_offsets_spread_evenly_and_stay_within_bounds() -> None:
    offsets = spaced(np.arange(200), 0.35)
    assert np.abs(offsets).max() <= 0.35
    assert len(np.unique(np.round(offsets, 9))) == 200
    assert np.histogram(offsets, bins=10)[0].min() >= 15


def test_compact_figures_of_one_checkpoint_still_draw() -> None:
    def one(name: str, dataset: xr.Dataset) -> xr.Dataset:
        return dataset.isel(epoch=[-1]) if "epoch" in dataset.dims else dataset

    names: list[Any] = [
        view
        for view in catalog()
        if view.group == "neurons" and view.order >= 20 and "epoch" not in view.depends
    ]
    for view in names:
        figure = open_view(view, SyntheticReader(change=one), density="compact", neuron=17).raw()
        go.Figure(figure)
