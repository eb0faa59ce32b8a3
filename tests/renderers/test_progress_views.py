"""Views of the progress measures show the numbers of their instruments, under the right names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from synthetic import EPOCHS, SyntheticReader
from test_views import cells, marks_of, open_view

from renderers.catalog import catalog
from renderers.curves import Curve, curves, frequency_curves
from renderers.theme import LIGHT, frequency_colour

SPLIT_OF = {"train": "train", "test": "test", "restricted": "test", "excluded": "train"}


def texts(figure: dict[str, Any]) -> str:
    return " · ".join(note["text"] for note in figure["layout"]["annotations"])


@pytest.mark.parametrize(
    ("protocol", "name"),
    [("sum directions", "sum_directions"), ("2 × 2 blocks", "block_2x2"), ("3 × 3 blocks", "block_3x3")],
)
@pytest.mark.parametrize(("key", "ending"), [("last checkpoint", ""), ("each epoch", "_live")])
def test_progress_losses_are_those_of_the_protocol_that_is_named(
    protocol: str, name: str, key: str, ending: str
) -> None:
    bound, _ = cells("progress_losses", protocol=protocol, key=key)
    progress, losses = (bound.source.artifact(analyzer) for analyzer in ("progress_losses", "logits_summary"))
    figure, seen = bound.raw(), set()
    for trace, point, mark in marks_of(figure):
        curve = trace["name"]
        seen.add(curve)
        if curve in ("train", "test"):
            truth = losses["loss"].sel(split=curve)
        else:
            truth = progress[f"{curve}_loss{ending}"].sel(protocol=name, split=SPLIT_OF[curve])
        assert point["y"] == float(truth.sel(epoch=mark["epoch"]))
    assert seen == set(SPLIT_OF)
    assert protocol in figure["layout"]["yaxis"]["title"]["text"]
    assert key.split()[-1] in texts(figure)
    if not ending:
        last = progress["key_used"].isel(epoch=-1)
        assert ", ".join(str(k) for k in last["freq"].values[last.values > 0]) in texts(figure)


def test_excluded_bars_and_curves_belong_to_their_frequency() -> None:
    bound, found = cells("excluded_by_frequency")
    truth = bound.source.at_epoch("progress_losses")
    assert {mark["frequency"] for _, mark in found} == set(range(1, 7))
    for point, mark in found:
        assert point["y"] == float(truth["excluded_by_frequency"].sel(freq=mark["frequency"]))
    colours = bound.raw()["data"][0]["marker"]["color"]
    for k, key in zip(range(1, 7), truth["key_used"].values, strict=True):
        assert colours[k - 1] == (frequency_colour(k) if key else LIGHT.faint)

    bound, found = cells("excluded_history")
    truth = bound.source.artifact("progress_losses")["excluded_by_frequency"]
    train = bound.source.artifact("logits_summary")["loss"].sel(split="train")
    for point, mark in found:
        own = truth.sel(freq=mark["frequency"]) if "frequency" in mark else train
        assert point["y"] == float(own.sel(epoch=mark["epoch"]))
    assert {mark.get("frequency") for _, mark in found} == {None, *range(1, 7)}


BOUNDS = {
    "memorised": (20, 50),
    "circuit_formation": (100, 150),
    "cleanup": (800, 900),
    "cleaned": (1000, 1500),
}


def phases_with(bounds: dict[str, tuple[float, float]]) -> dict[str, Any]:
    def known(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "phases":
            return dataset
        order = np.array([bounds.get(name, (np.nan, np.nan)) for name in dataset["boundary"].values], float)
        return dataset.assign(lower=("boundary", order[:, 0]), upper=("boundary", order[:, 1]))

    return open_view(catalog().get("phases"), SyntheticReader(change=known)).raw()


def test_phases_are_bars_between_their_boundaries_pale_where_not_known_more_exactly() -> None:
    layout = phases_with(BOUNDS)["layout"]
    bars = [(shape["x0"], shape["x1"], shape["opacity"] > 0.5) for shape in layout["shapes"]]
    memorisation = [(0, 50, False), (0, 20, True)]
    formation = [(100, 900, False), (150, 800, True)]
    assert bars == [*memorisation, *formation, (800, 1500, False), (900, 1000, True)]
    assert all(shape["y0"] >= 1 for shape in layout["shapes"])
    names = [note["text"] for note in layout["annotations"][-3:]]
    assert names == ["memorisation", "circuit formation", "cleanup"]


def test_a_phase_that_did_not_end_or_begin_says_so() -> None:
    figure = phases_with({name: BOUNDS[name] for name in ("memorised", "circuit_formation")})
    assert "cleanup: not reached" in texts(figure)
    assert "circuit formation, not finished" in texts(figure)
    assert (figure["layout"]["shapes"][-1]["x0"], figure["layout"]["shapes"][-1]["x1"]) == (150, EPOCHS[-1])


def test_cells_of_the_rules_show_strengths_and_dots_stand_on_key_ones() -> None:
    dots = 0
    for label, rule in (
        ("neuron blocks", "neuron_blocks"),
        ("embedding norm", "embedding_norm"),
        ("neuron-logit map", "neuron_logit_map"),
    ):
        bound, _ = cells("key_frequencies", rule=label)
        truth = bound.source.artifact("key_frequencies").sel(rule=rule)
        drawn = 0
        for trace, point, mark in marks_of(bound.raw()):
            own = truth.sel(epoch=mark["epoch"], freq=mark["frequency"])
            if trace["type"] == "heatmap":
                assert point["z"] == np.float32(own["strength"])
            else:
                drawn += 1
                assert int(own["is_key"]) == 1
        assert drawn == int(truth["is_key"].sum())
        dots += drawn
    assert dots > 0


CENTRED = {"centring": "double_centred"}
CURVES: dict[tuple[str, str], dict[str, tuple[str, dict[str, Any]]]] = {
    ("gini", "gini"): {matrix: ("gini", {"matrix": matrix, "per": "frequency"}) for matrix in ("W_E", "W_L")},
    ("logit_fit", "logit_fit"): {"raw": ("fve", {"centring": "raw"}), "centred": ("fve", CENTRED)},
    ("logit_blocks", "logit_fit"): {
        "2 × 2 blocks": ("block_share", {}),
        "a + b": ("sum_share", {}),
        "a − b": ("difference_share", {}),
    },
    ("polynomial_substitution", "polynomial_substitution"): {
        "specialised": ("ratio", {"split": "all"}),
        "random": ("null_ratio", {"split": "all"}),
    },
    ("neuron_logit_rank", "neuron_logit_map"): {
        "90%": ("rank", {"share": 0.9}),
        "99.9%": ("rank", {"share": 0.999}),
        "2 |K*|": ("key_directions", {}),
    },
    ("weight_norms", "weight_norms"): {
        tensor: ("norm", {"tensor": tensor}) for tensor in ("W_E", "W_pos", "W_U")
    },
    ("clock_pizza_history", "clock_pizza"): {
        "symmetricity": ("symmetricity", {}),
        "irrelevance": ("irrelevance", {"logit": "right"}),
        "fit as clock": ("fve_clock", CENTRED),
        "fit as pizza": ("fve_pizza", CENTRED),
    },
}


@pytest.mark.parametrize(("view", "analyzer"), CURVES)
def test_curves_are_the_outputs_that_their_names_say(view: str, analyzer: str) -> None:
    curve_of = CURVES[view, analyzer]
    bound, _ = cells(view)
    truth, seen = bound.source.artifact(analyzer), set()
    for trace, point, mark in marks_of(bound.raw()):
        if trace["name"] in curve_of:
            seen.add(trace["name"])
            output, where = curve_of[trace["name"]]
            assert point["y"] == float(truth[output].sel(where).sel(epoch=mark["epoch"]))
    assert seen == set(curve_of)


def test_the_residual_stands_beside_that_of_a_random_map() -> None:
    bound, _ = cells("neuron_logit_rank", quantity="residual")
    truth = bound.source.artifact("neuron_logit_map").sel(centring="centred")
    outputs = {"residual": "residual", "random W_L": "residual_null"}
    for trace, point, mark in marks_of(bound.raw()):
        assert point["y"] == np.float32(truth[outputs[trace["name"]]].sel(epoch=mark["epoch"]))


def test_gini_has_the_band_of_its_null() -> None:
    bound, _ = cells("gini", per="component")
    truth = bound.source.artifact("gini").sel(per="component")
    bands = [trace for trace in bound.raw()["data"] if trace["name"] == "null"]
    for trace, matrix in zip(bands, ("W_E", "W_L"), strict=True):
        own = truth.sel(matrix=matrix)
        expected = np.concatenate([own["null_high"].values, own["null_low"].values[::-1]])
        np.testing.assert_array_equal(trace["y"], expected)
        assert "meta" not in trace


def test_wave_cells_and_content_bars_are_those_of_their_frequency() -> None:
    bound, found = cells("logit_waves")
    truth = bound.source.artifact("logit_fit")["alpha"]
    for point, mark in found:
        assert point["z"] == np.float32(truth.sel(epoch=mark["epoch"], freq=mark["frequency"]))
    heatmap = bound.raw()["data"][0]
    assert heatmap["zmin"] == -heatmap["zmax"]

    bound, _ = cells("logit_contents")
    truth = bound.source.at_epoch("logit_fit")
    outputs = {"a + b": "sum_content", "a − b": "difference_content"}
    for trace, point, mark in marks_of(bound.raw()):
        assert point["y"] == np.float32(truth[outputs[trace["name"]]].sel(freq=mark["frequency"]))


@pytest.mark.parametrize(
    ("sums", "differences", "said"),
    [(0.62, 0.29, "not clean, 29% are waves of a − b"), (0.9, 0.01, "little else")],
)
def test_blocks_that_hold_more_than_sums_are_named(sums: float, differences: float, said: str) -> None:
    def shares(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "logit_fit":
            return dataset
        values = {"block_share": sums + differences, "sum_share": sums, "difference_share": differences}
        return dataset.assign({key: xr.full_like(dataset[key], value) for key, value in values.items()})

    written = texts(open_view(catalog().get("logit_blocks"), SyntheticReader(change=shares)).raw())
    assert f"2 × 2 blocks {sums + differences:.0%}, waves of a + b {sums:.0%}" in written
    assert said in written


@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_ablation_bars_carry_their_frequency_and_stand_beside_their_null(split: str) -> None:
    bound, found = cells("frequency_ablation", split=split)
    truth = bound.source.at_epoch("frequency_ablation")
    done = truth["freq"].values[np.isfinite(truth["loss"].sel(split="all"))]
    assert [mark["frequency"] for _, mark in found] == done.tolist()
    for point, mark in found:
        assert point["y"] == float(truth["loss"].sel(freq=mark["frequency"], split=split))
    figure = bound.raw()
    assert figure["layout"]["xaxis"]["ticktext"] == [str(k) for k in done]
    null = next(trace for trace in figure["data"] if trace["name"] == "as much at random")
    own = truth.sel(freq=done)
    np.testing.assert_array_equal(null["y"], own["null_mean"])
    np.testing.assert_allclose(null["y"] + null["error_y"]["array"], own["null_high"])
    np.testing.assert_allclose(null["y"] - null["error_y"]["arrayminus"], own["null_low"])


@pytest.mark.parametrize(("logit", "name"), [("right class", "right"), ("best wrong class", "best_wrong")])
def test_points_of_the_plane_are_checkpoints_and_published_ones_are_not_clickable(
    logit: str, name: str
) -> None:
    bound, found = cells("clock_pizza", logit=logit)
    truth = bound.source.artifact("clock_pizza").sel(logit=name)
    assert [mark["epoch"] for _, mark in found] == EPOCHS.tolist()
    for point, mark in found:
        own = truth.sel(epoch=mark["epoch"])
        assert (point["x"], point["y"]) == (float(own["symmetricity"]), float(own["irrelevance"]))
    published = [trace for trace in bound.raw()["data"] if trace["name"] == "published"]
    assert len(published) == (name == "right")
    assert all("meta" not in trace for trace in published)


def test_squares_of_the_total_norm() -> None:
    bound, found = cells("weight_norms", quantity="total")
    truth = bound.source.artifact("weight_norms")["total"]
    for point, mark in found:
        assert point["y"] == pytest.approx(float(truth.sel(epoch=mark["epoch"])) ** 2)


def test_curves_without_a_value_say_so_and_labels_have_room() -> None:
    scene, epochs = open_view(catalog().get("gini")).scene(), np.arange(4)
    nothing = curves(
        scene, epochs, [Curve("x", np.full(4, np.nan), "#000000")], title="t", nothing="None here."
    )
    assert "None here." in texts(nothing)
    assert "No value" in texts(
        frequency_curves(scene, epochs, np.full((4, 6), np.nan), [], title="t", unit="u")
    )
    short, long = (
        curves(scene, epochs, [Curve(name, np.arange(4.0), "#000000")], title="t")["layout"]["margin"]["r"]
        for name in ("x", "a rather long name")
    )
    assert long > short + 80
