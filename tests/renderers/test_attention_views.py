"""Marks of the attention, embedding, centroid and dimension views show the value that they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from synthetic import EPOCHS, HEADS, SyntheticReader
from test_views import cells, marks_of, open_view

from analyzers.rings import stands_out
from renderers.catalog import catalog
from renderers.theme import frequency_colour


def drawn(name: str, change: Any = None, **given: Any) -> tuple[Any, dict[str, Any]]:
    bound = open_view(catalog().get(name), SyntheticReader(change=change), **{"epoch": 2000, **given})
    return bound, bound.raw()


def texts(figure: dict[str, Any]) -> list[str]:
    return [note["text"] for note in figure["layout"]["annotations"]]


# --- attention ---------------------------------------------------------------------------------------------


def test_a_badge_names_the_head_its_frequency_and_its_share() -> None:
    bound, figure = drawn("head_badges")
    truth = bound.source.at_epoch("attention_frequencies").sel(source="a")
    for trace, point, mark in marks_of(figure):
        k = int(truth["dominant_frequency"].sel(head=mark["head"]))
        assert mark["frequency"] == k
        assert point["x"] == float(truth["dominant_fraction"].sel(head=mark["head"]))
        assert trace["marker"]["color"] == frequency_colour(k)
        word = "smooth" if k <= 13 / 8 else "fine"
        assert f"k = {k} · {point['x']:.2f} · {word}" in texts(figure)[mark["head"]]


def test_a_head_that_does_not_vary_has_no_badge_of_a_frequency() -> None:
    _, figure = drawn("head_badges", epoch=0)
    assert "no frequency" in texts(figure)[1]
    assert "frequency" not in figure["data"][1]["meta"]["payload"]


@pytest.mark.parametrize("tokens", ["unwound", "natural"])
def test_score_points_belong_to_their_token_in_either_order(tokens: str) -> None:
    bound, figure = drawn("query_scores", head=3, tokens=tokens)
    truth = bound.source.at_epoch("query_scores").sel(head=3)
    k = int(truth["dominant_frequency"])
    for trace in figure["data"][1:]:
        name = trace["name"].removeprefix("at ")
        expected = truth["score"].sel(position=name, token=trace["customdata"]).values
        np.testing.assert_array_equal(trace["y"], expected)
        place = k * trace["customdata"] % 13 if tokens == "unwound" else trace["customdata"]
        np.testing.assert_array_equal(trace["x"], place)
        assert (np.diff(trace["x"]) > 0).all()
    wave = figure["data"][0]
    angle = 2 * np.pi * k * wave["customdata"] / 13
    score = truth["score"].sel(position="a", token=wave["customdata"]).values.astype(float)
    expected = score.mean() + float(truth["cos"].sel(freq=k)) * np.cos(angle)
    expected = expected + float(truth["sin"].sel(freq=k)) * np.sin(angle)
    np.testing.assert_allclose(wave["y"], expected, rtol=1e-5)
    residual = ((score - wave["y"]) ** 2).sum() / ((score - score.mean()) ** 2).sum()
    assert 1 - residual == pytest.approx(float(truth["dominant_share"]), rel=1e-4)


def test_spectrum_and_path_cells_show_their_head_and_frequency_and_name_cos_and_sin() -> None:
    bound, figure = drawn("query_spectrum")
    truth = bound.source.at_epoch("query_scores")
    for _, point, mark in marks_of(figure):
        own = truth.sel(head=mark["head"], freq=mark["frequency"])
        cos, sin = (float(own[name]) for name in ("cos", "sin"))
        assert point["z"] == np.float32(np.hypot(cos, sin))
        assert point["customdata"].tolist() == [cos, sin]
    assert "cos %{customdata[0]:.3f}, sin %{customdata[1]:.3f}" in figure["data"][0]["hovertemplate"]
    for target in ("neurons", "logits"):
        bound, figure = drawn("value_paths", target=target)
        share = bound.source.at_epoch("value_paths")["share"].sel(target=target)
        for _, point, mark in marks_of(figure):
            assert point["z"] == np.float32(share.sel(head=mark["head"], freq=mark["frequency"]))


def story(name: str, dataset: xr.Dataset) -> xr.Dataset:
    """Heads 0, 1 and 2 agree on k 3 from epoch 200 to 900; head 3 has no frequency."""
    if name != "head_specialisation":
        return dataset
    frequency = np.zeros((len(EPOCHS), HEADS), dtype="int16")
    frequency[8:12, :3] = 3
    frequency[12:, 0] = 5
    dims = ("epoch", "head")
    return dataset.assign(
        frequency=(dims, frequency),
        agreement=("epoch", [0] * 8 + [3] * 4 + [1] * 2),
        agreed_frequency=("epoch", [0] * 8 + [3] * 4 + [5] * 2),
        chance=("epoch", [np.nan] * 8 + [0.3] * 4 + [1.0] * 2),
        lower=("event", [200.0, 1000.0]),
        upper=("event", [400.0, 1500.0]),
    )


def test_lanes_show_each_head_at_its_epochs_and_the_shared_frequency() -> None:
    bound, figure = drawn("head_specialisation", story)
    truth = bound.data()
    for trace in figure["data"][:HEADS]:
        assert trace["x"].tolist() == EPOCHS.tolist()
        head = trace["meta"]["payload"]["head"]["value"]
        assert set(trace["y"].tolist()) == {head}
        k = truth["frequency"].sel(head=head).values
        np.testing.assert_array_equal(np.nan_to_num(trace["customdata"][:, 0]), k)
        assert trace["marker"]["color"] == [frequency_colour(int(each)) for each in k]
    together = figure["data"][HEADS]
    shared = np.where(truth["agreement"].values >= 2, truth["agreed_frequency"].values, np.nan)
    np.testing.assert_array_equal(together["customdata"][:, 0], shared)
    marked = [mark for trace, _, mark in marks_of(figure) if trace is together]
    assert {mark.get("frequency") for mark in marked} == {3, None}
    named = {note["text"]: note["x"] for note in figure["layout"]["annotations"] if "x" in note}
    assert named["▼ agreement"] == 300
    assert named["▲ diversification"] == 1250


@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_ablation_lines_are_those_of_the_head_the_split_and_the_replacement(
    ablation: str, split: str
) -> None:
    bound, figure = drawn("head_ablation", ablation=ablation, split=split)
    truth = bound.source.artifact("head_ablation").sel(ablation=ablation, split=split)
    whole = bound.source.artifact("logits_summary")["loss"].sel(split=split)
    names = [trace["name"] for trace in figure["data"]]
    assert names == [*(f"head {head}" for head in range(HEADS)), "no heads", "whole"]
    for trace, point, mark in marks_of(figure):
        if "head" in mark:
            expected = truth["loss"].sel(head=mark["head"], epoch=mark["epoch"])
        else:
            expected = {"no heads": truth["loss_all_heads"], "whole": whole}[trace["name"]].sel(
                epoch=mark["epoch"]
            )
        assert point["y"] == float(expected)
    assert split in figure["layout"]["yaxis"]["title"]["text"]


# --- embeddings --------------------------------------------------------------------------------------------


def test_side_by_side_bars_are_those_of_the_named_matrix() -> None:
    bound, figure = drawn("fourier_side_by_side")
    share = bound.source.at_epoch("ellipticity")["share"]
    assert [trace["name"] for trace in figure["data"]] == ["W_E", "W_U", "W_L"]
    for trace, point, mark in marks_of(figure):
        expected = share.sel(matrix=trace["name"], freq=mark["frequency"])
        assert point["y"] == float(expected)


@pytest.mark.parametrize("matrix", ["W_E", "W_L"])
def test_ellipses_stand_at_their_frequency_and_history_only_where_they_stand_out(matrix: str) -> None:
    _, found = cells("fourier_over_time", matrix=matrix)
    bound, figure = drawn("ellipticity", matrix=matrix)
    whole = bound.source.artifact("ellipticity").sel(matrix=matrix)
    for point, mark in found:
        assert point["z"] == np.float32(whole["share"].sel(epoch=mark["epoch"], freq=mark["frequency"]))
    truth = whole.sel(epoch=2000)
    strong = truth["freq"].values[stands_out(truth["share"].values)].tolist()
    axes, balance = figure["data"]
    np.testing.assert_array_equal(axes["y"], truth["ellipticity"].values)
    assert balance["x"].tolist() == strong
    assert (balance["y"] >= truth["ellipticity"].sel(freq=strong).values - 1e-6).all()
    bound, figure = drawn("ellipticity_history", matrix=matrix)
    shown = 0
    for trace, point, mark in marks_of(figure):
        if "frequency" in mark:
            own = whole.sel(epoch=mark["epoch"])
            assert stands_out(own["share"].values)[mark["frequency"] - 1]
            assert point["y"] == float(own["ellipticity"].sel(freq=mark["frequency"]))
            shown += 1
        else:
            assert trace["name"] == "5 % of random"
    assert bool(shown) == (matrix == "W_E")  # the planted run leaves W_L as it was drawn


def test_a_spectrum_in_which_nothing_stands_out_says_so() -> None:
    _, figure = drawn("ellipticity_history", matrix="W_L")
    assert texts(figure) == ["No frequency stands out from an even spectrum at any checkpoint."]


def test_which_frequencies_stand_out() -> None:
    even = np.full(50, 0.02)
    assert not stands_out(even).any()
    few = np.array([0.5, 0.45, 0.03, *[0.02 / 47] * 47])
    assert np.flatnonzero(stands_out(few)).tolist() == [0, 1, 2]
    tiny = np.array([0.5, 0.494, 0.005, *[0.001 / 47] * 47])
    assert np.flatnonzero(stands_out(tiny)).tolist() == [0, 1]
    assert not stands_out(np.full(5, np.nan)).any()


# --- centroids ---------------------------------------------------------------------------------------------


def ring_of_classes(k: int) -> Any:
    def change(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "representations":
            return dataset
        angle = 2 * np.pi * k * np.arange(13) / 13
        points = np.stack([np.cos(angle), np.sin(angle), np.zeros(13), np.zeros(13)], axis=1)
        shape = dataset["coordinate"].transpose("epoch", "site", "class", "component").shape
        return dataset.assign(
            coordinate=(("epoch", "site", "class", "component"), np.broadcast_to(points, shape))
        )

    return change


@pytest.mark.parametrize("k", [1, 4, 6])
def test_a_ring_is_joined_in_the_order_of_its_frequency(k: int) -> None:
    _, figure = drawn("class_centroids", ring_of_classes(k))
    path, dots = figure["data"]
    assert f"k = {k} · 100%" in texts(figure)[0]
    steps = np.hypot(np.diff(path["x"]), np.diff(path["y"]))
    np.testing.assert_allclose(steps, 2 * np.sin(np.pi / 13))  # every neighbour is next on the circle
    assert (path["x"][0], path["y"][0]) == (path["x"][-1], path["y"][-1])
    for mark in marks_of(figure):
        assert mark[2] == {"frequency": k}
    np.testing.assert_allclose(dots["x"], np.cos(2 * np.pi * k * dots["customdata"] / 13), atol=1e-12)
    ends = [colour for place, colour in dots["marker"]["colorscale"] if place in (0, 1)]
    assert ends[0] == ends[1]  # cyclic


def test_separation_lines_are_those_of_their_site_beside_dealt_labels() -> None:
    for measure, name in (("signal to noise", "snr"), ("worst pair", "fisher_min")):
        bound, figure = drawn("class_separation", measure=measure)
        truth = bound.source.artifact("representations")[name]
        seen = set()
        for trace, point, mark in marks_of(figure):
            seen.add(trace["name"])
            if trace["name"] == "1 / p":
                assert point["y"] == 1 / 13
            else:
                assert point["y"] == float(truth.sel(site=trace["name"], epoch=mark["epoch"]))
        assert seen == {"resid_mid", "neurons", "mlp_out", "resid_post", "logits", "1 / p"}


# --- dimensions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "params", "name"),
    [
        ("matrix_ranks", {"rank": "effective"}, "effective_rank"),
        ("matrix_ranks", {"rank": "stable"}, "stable_rank"),
        ("spectral_gap", {"gap": "at 2 |K*|"}, "gap_at_keys"),
        ("spectral_gap", {"gap": "largest"}, "largest_gap"),
    ],
)
def test_rank_and_gap_lines_are_those_of_their_matrix(view: str, params: dict[str, str], name: str) -> None:
    bound, figure = drawn(view, **params)
    truth = bound.source.artifact("spectral_summary")
    for trace, point, mark in marks_of(figure):
        own = truth.sel(matrix=trace["name"], epoch=mark["epoch"])
        assert point["y"] == float(own[name])
        assert mark.get("head", -1) == (int(trace["name"][-1]) if "." in trace["name"] else -1)
        if name == "largest_gap":
            assert point["customdata"] == int(own["largest_gap_index"])
    assert {trace["name"] for trace in figure["data"]} >= {"W_E", "W_in", "W_out", "W_U"}


def crossed(name: str, dataset: xr.Dataset) -> xr.Dataset:
    if name != "dimensionality_crossing":
        return dataset
    lower, upper = (np.full(dataset["lower"].shape, np.nan) for _ in range(2))
    row = dataset["matrix"].values.tolist().index("W_U")
    lower[row, 0, 0], upper[row, 0, 0] = 400, 800
    upper[row, 0, 1] = 0  # below from the start
    dims = dataset["lower"].dims
    return dataset.assign(lower=(dims, lower), upper=(dims, upper))


def test_crossings_are_drawn_between_their_checkpoints_with_the_lead_over_the_onset() -> None:
    _, figure = drawn("dimensionality_crossing", crossed)
    upper, lower = figure["data"]
    assert (upper["name"], lower["name"]) == ("below 30", "below 25")
    np.testing.assert_array_equal(upper["x"], [400, 800, np.nan])
    np.testing.assert_array_equal(lower["x"], [0, 0, np.nan])
    lanes = figure["layout"]["yaxis"]
    assert lanes["ticktext"][round(float(upper["y"][0]))] == "W_U"
    assert "+0 to +500 epochs before the onset" in upper["customdata"][0]  # onset (800, 900]
    assert "between 400 and 800" in upper["customdata"][0]


def test_points_of_the_phase_plane_are_the_loss_and_the_dimension_of_their_epoch() -> None:
    for convention, name in (("singular values", "sv"), ("eigenvalues", "ev")):
        bound, figure = drawn("dimension_and_loss", convention=convention)
        ratio = bound.source.artifact("singular_values")[f"participation_ratio_{name}"]
        loss = bound.source.artifact("logits_summary")["loss"].sel(split="test")
        for trace, point, mark in marks_of(figure):
            assert point["x"] == float(loss.sel(epoch=mark["epoch"]))
            assert point["y"] == float(ratio.sel(matrix=trace["name"], epoch=mark["epoch"]))
        first, last = figure["layout"]["xaxis"]["range"]
        assert first > last  # the loss falls to the right
