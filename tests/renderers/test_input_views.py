"""Cells are the pairs that a click selects; marks of the split, of errors and of graduation are true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import EPOCHS, SyntheticReader, SyntheticVariant

from renderers.payload import payload
from renderers.service import BoundView, ViewService

P = 13


def opened(name: str, **given: Any) -> BoundView:
    return ViewService(SyntheticReader()).open(SyntheticVariant(), name, **given)


def notes(view: BoundView) -> str:
    return " ".join(found["text"] for found in view.raw()["layout"]["annotations"])


@pytest.mark.parametrize("quantity", ["answer", "confidence", "margin"])
@pytest.mark.parametrize("inputs", ["all", "train", "test"])
def test_a_cell_shows_the_pair_that_a_click_selects(quantity: str, inputs: str) -> None:
    view = opened("input_grid", epoch=800, quantity=quantity, inputs=inputs)
    trace = view.raw()["data"][0]
    outcome, split = view.source.at_epoch("input_outcomes"), view.source.artifact("graduation")["in_train"]
    error = outcome["error"].values
    assert not np.array_equal(error, error.T)
    for row in range(P):
        for column in range(P):
            point = {"x": trace["x"][column], "y": trace["y"][row]}
            a, b = divmod(payload(trace, point)["pair"], P)
            trained, wrong = int(split.sel(a=a, b=b)) == 1, int(outcome["error"].sel(a=a, b=b))
            shown = trace["z"][row, column]
            text = trace["customdata"][row][column]
            assert text == f"{'train' if trained else 'test'} · {f'off by {wrong}' if wrong else 'right'}"
            if inputs != "all" and trained != (inputs == "train"):
                assert np.isnan(shown)
            elif quantity == "answer":
                assert shown == 2 * trained + (wrong == 0)
            else:
                steps = {"confidence": 255, "margin": 10}[quantity]
                assert shown == pytest.approx(float(outcome[quantity].sel(a=a, b=b)) / steps, rel=1e-6)


def test_the_heading_counts_the_inputs_shown() -> None:
    view = opened("input_grid", epoch=800, inputs="test")
    test = view.source.artifact("graduation")["in_train"].values == 0
    right = (view.source.at_epoch("input_outcomes")["error"].values == 0)[test].mean()
    assert f"test inputs · {right:.1%} right" in notes(view)


def test_the_selected_pair_is_the_one_drawn() -> None:
    view = opened("pair_history", pair=4 * P + 2)
    trace = view.raw()["data"][0]
    truth = view.source.artifact("input_outcomes").sel(a=4, b=2)
    np.testing.assert_allclose(trace["y"], truth["margin"] / 10)
    assert [text == "right" for text in trace["customdata"]] == (truth["error"] == 0).values.tolist()
    filled = [colour != "#ffffff" for colour in trace["marker"]["color"]]
    assert filled == (truth["error"] == 0).values.tolist()
    split = {1: "train", 0: "test"}[int(view.source.artifact("graduation")["in_train"].sel(a=4, b=2))]
    assert f"(4, 2) · {split}" in notes(view)


def test_a_graduation_cell_is_the_epoch_from_which_its_pair_is_right() -> None:
    view = opened("graduation_map", inputs="all")
    trace = view.raw()["data"][0] if view.raw()["data"] else None
    error = view.source.artifact("input_outcomes")["error"].values
    never = (error[-1] != 0).sum()
    assert trace is not None
    assert f"{never:,} never" in notes(view)
    for row in range(P):
        for column in range(P):
            a, b = divmod(payload(trace, {"x": trace["x"][column], "y": trace["y"][row]})["pair"], P)
            right = error[:, a, b] == 0
            since = next((epoch for i, epoch in enumerate(EPOCHS) if right[i:].all()), np.nan)
            np.testing.assert_equal(float(trace["z"][row, column]), float(since))


def test_errors_are_drawn_around_zero_and_the_line_is_their_even_spread() -> None:
    view = opened("error_histogram", epoch=800, split="test")
    figure = view.raw()
    bars, data = figure["data"][0], view.data()
    assert bars["x"].tolist() == [*range(-6, 0), *range(1, 7)]
    for error, count in zip(bars["x"].tolist(), bars["y"].tolist(), strict=True):
        assert count == int(data["count"].sel(error=error % P))
    assert figure["layout"]["shapes"][0]["y0"] == pytest.approx(int(data["wrong"]) / 12)


def test_the_null_of_the_error_spectrum_is_drawn() -> None:
    view = opened("error_spectrum", epoch=800)
    line = view.raw()["layout"]["shapes"][0]
    assert line["y0"] == line["y1"] == pytest.approx(float(view.data()["spectrum_null"]))


def test_curves_of_the_splits_are_theirs() -> None:
    for name, output in (("graduation_curves", "share"), ("softmax_collapse", "collapsed")):
        view = opened(name)
        for trace in view.raw()["data"]:
            truth = view.data()[output].sel(split=trace["name"]).values
            np.testing.assert_array_equal(trace["y"], truth)
