"""Payload grammar, encoding, decimation, colours, labels, export."""

from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from synthetic import SyntheticReader, SyntheticVariant

from data.errors import BadParameter, WorkbenchError
from renderers.catalog import Catalog, catalog
from renderers.decimate import decimate
from renderers.encode import encode
from renderers.figure import Label, end_labels, plot_size, spread
from renderers.payload import payload
from renderers.selection import Selection
from renderers.service import BoundView, ViewService
from renderers.source import Scene
from renderers.theme import DARK, LIGHT, contrast, frequency_colour, oklab, theme


def test_payload_reads_every_place_and_zero_is_a_value() -> None:
    trace = {
        "meta": {
            "payload": {
                "epoch": "x",
                "frequency": "y",
                "neuron": "customdata[1]",
                "head": {"value": 0},
            }
        }
    }
    point = {"x": 0, "y": 3.0, "customdata": [9, 0]}
    found = payload(trace, point)
    assert found == {"epoch": 0, "frequency": 3, "neuron": 0, "head": 0}
    assert list(found) == ["epoch", "frequency", "neuron", "head"]
    assert payload({"meta": {"payload": {"neuron": "customdata"}}}, {"customdata": np.int16(0)}) == {
        "neuron": 0
    }


def test_payload_leaves_out_what_a_point_lacks_and_rejects_nonsense() -> None:
    assert payload({}, {"x": 1}) == {}
    assert payload({"meta": {"payload": {"frequency": "customdata"}}}, {"customdata": float("nan")}) == {}
    assert payload({"meta": {"payload": {"neuron": "customdata[0]"}}}, {"x": 1}) == {}
    with pytest.raises(ValueError, match="'z'"):
        payload({"meta": {"payload": {"neuron": "z"}}}, {"z": 1})


def decoded(spec: Any) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(spec["bdata"]), dtype=f"<{spec['dtype']}")
    return flat.reshape([int(length) for length in spec["shape"].split(",")]) if "shape" in spec else flat


@given(
    arrays.arrays(
        st.sampled_from(["int64", "int16", "uint8", "float32", "float64"]),
        arrays.array_shapes(min_dims=1, max_dims=2, max_side=8),
        elements={"min_value": 0, "max_value": 100},
    )
)
def test_encoded_arrays_decode_to_the_same_numbers(array: np.ndarray) -> None:
    spec = json.loads(json.dumps(encode({"z": array}), allow_nan=False))["z"]
    assert decoded(spec).shape == array.shape
    np.testing.assert_allclose(decoded(spec), array, rtol=1e-7)


def test_encoding_is_narrow_but_never_loses_whole_numbers_or_range() -> None:
    assert encode(np.arange(200))["dtype"] == "u1"
    assert encode(np.array([-1, 30000]))["dtype"] == "i2"
    assert encode(np.array([0.1, np.nan]))["dtype"] == "f4"
    assert decoded(encode(np.array([2.0**30 + 1])))[0] == 2.0**30 + 1
    assert decoded(encode(np.array([1e300, 1.0])))[0] == 1e300
    assert decoded(encode(np.array([2**40])))[0] == 2**40


def test_encoding_makes_valid_json_of_everything_else() -> None:
    figure = {
        "a": [np.float32("nan"), np.int64(3), float("inf")],
        "s": np.array(["x", "y"]),
        "b": np.array([True]),
    }
    assert encode(figure) == {"a": [None, 3, None], "s": ["x", "y"], "b": [True]}
    assert encode(np.zeros((0,))) == []
    assert encode(np.full((1, 1, 2), np.nan)) == [[[None, None]]]


@given(
    arrays.arrays("float64", st.integers(1, 3000), elements=st.floats(-1e6, 1e6) | st.just(float("nan"))),
    st.integers(4, 500),
)
def test_decimation_keeps_ends_and_extremes_within_its_limit(y: np.ndarray, limit: int) -> None:
    kept = decimate(y, limit)
    assert len(kept) <= max(limit, 0)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == len(y) - 1
    if np.isfinite(y).any():
        assert np.nanmin(y[kept]) == np.nanmin(y)
        assert np.nanmax(y[kept]) == np.nanmax(y)
    if len(y) <= limit:
        assert len(kept) == len(y)


def test_decimation_keeps_a_single_spike_at_its_place() -> None:
    y = np.zeros(25_001)
    y[12_345] = 9.0
    assert 12_345 in decimate(y)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=lambda look: look.name)
def test_colours_stand_out_from_the_background(look: Any) -> None:
    assert min(contrast(frequency_colour(k), look.background) for k in range(200)) >= 3.0
    texts = (*look.series, look.event, look.text, look.muted)
    assert min(contrast(colour, look.background) for colour in texts) >= 4.5


def test_frequency_colours_are_fixed_and_neighbours_differ() -> None:
    frequency_colour.cache_clear()
    first = [frequency_colour(k) for k in range(1, 57)]
    frequency_colour.cache_clear()
    assert [frequency_colour(k) for k in range(56, 0, -1)] == first[::-1]
    places = np.array([oklab(colour) for colour in first])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert apart[np.triu_indices(56, 1)].min() > 0.015
    assert min(np.diagonal(apart, gap).min() for gap in (1, 2, 3, 4)) > 0.1


@pytest.mark.parametrize(
    "learned",
    [
        (9, 33, 38, 55),  # p = 113, seed 999
        (27, 36, 53),  # p = 113, seed 485
        (5, 35, 39, 41, 43),  # p = 101, seed 999
        (14, 35, 41, 42, 52),  # the mainline run of arXiv:2301.05217
    ],
)
def test_the_frequencies_that_a_network_learned_have_colours_of_their_own(learned: tuple[int, ...]) -> None:
    places = [oklab(frequency_colour(k)) for k in learned]
    assert min(np.linalg.norm(one - two) for one, two in combinations(places, 2)) > 0.07


def test_colour_scales_run_evenly_from_background_to_contrast() -> None:
    for look in (LIGHT, DARK):
        lightness = np.array([oklab(colour)[0] for colour in look.sequential])
        steps = np.diff(lightness) * (-1 if look is LIGHT else 1)
        assert (steps > 0).all(), "a sequential scale has one direction"
        assert contrast(look.sequential[0], look.background) < 1.2
        assert contrast(look.sequential[-1], look.background) > 10


def test_an_unknown_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="'sepia'"):
        theme("sepia")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_end_labels_never_overlap_and_stay_in_order(values: list[float]) -> None:
    scene = Scene(p=13, selection=Selection("v", 0))
    axis = {"range": [0.0, 1.0]}
    height = plot_size(scene)[1]
    labels = end_labels(
        scene, [Label(value, str(index), "#000000") for index, value in enumerate(values)], axis
    )
    places = [label["y"] * height + label["yshift"] for label in labels]
    assert len(labels) == len(values)
    assert all(after - before >= 14 for before, after in pairwise(places))


@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(5, 40)), min_size=1, max_size=6).map(sorted),
    st.floats(0, 20),
)
def test_spread_labels_do_not_overlap_and_none_could_move_alone_towards_its_wish(
    items: list[tuple[float, float]], low: float
) -> None:
    wanted, sizes = (np.array(column) for column in zip(*items, strict=True))
    placed = spread(wanted, sizes, low, 300.0)
    room = np.diff(placed) - (sizes[1:] + sizes[:-1]) / 2
    assert (room >= -1e-9).all()
    assert placed[0] >= low - 1e-9
    free = np.concatenate([[placed[0] - low], room]), np.concatenate([room, [300.0 - placed[-1]]])
    for wish, place, below, above in zip(wanted, placed, *free, strict=True):
        assert below <= 1e-6 or wish >= place - 1e-6
        assert above <= 1e-6 or wish <= place + 1e-6


def test_two_views_of_one_name_are_refused() -> None:
    view = catalog().get("accuracy")
    with pytest.raises(ValueError, match="same name"):
        Catalog([view, view])


@pytest.fixture
def bound() -> BoundView:
    return ViewService(SyntheticReader()).open(SyntheticVariant(), "neuron_map", epoch=800, neuron=17)


def test_html_is_one_offline_file(bound: BoundView, tmp_path: Path) -> None:
    text = bound.export(tmp_path / "map.html").read_text()
    assert "Neuron map · p13-s0-d598 · epoch 800 · neuron 17" in text.replace("\\u00b7", "·")
    assert "<script src=" not in text
    assert len(text) > 4_000_000


def test_csv_holds_the_numbers(bound: BoundView, tmp_path: Path) -> None:
    table = pd.read_csv(bound.export(tmp_path / "map.csv")).set_index(["a", "b"])
    data = bound.data()
    assert len(table) == 169
    assert table.loc[(3, 5), "activation"] == pytest.approx(float(data["activation"].sel(a=3, b=5)), abs=1e-6)


def test_every_view_can_be_written_as_csv(tmp_path: Path) -> None:
    for view in catalog():
        opened = ViewService(SyntheticReader()).open(SyntheticVariant(), view.name)
        assert len(pd.read_csv(opened.export(tmp_path / f"{view.name}.csv"))) > 0


def test_json_is_the_figure(bound: BoundView, tmp_path: Path) -> None:
    assert json.loads(bound.export(tmp_path / "map.json").read_text()) == json.loads(
        json.dumps(encode(bound.raw()))
    )


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_an_image_is_written_or_says_what_is_missing(bound: BoundView, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"map.{kind}"
    if find_spec("kaleido") is None:
        with pytest.raises(WorkbenchError, match="kaleido"):
            bound.export(path)
        assert not path.exists()
    else:
        assert bound.export(path).read_bytes()[:5] in (b"<svg ", b"\x89PNG\r")


def test_an_unknown_ending_lists_the_known_ones(bound: BoundView, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"\.html.*\.csv"):
        bound.export(tmp_path / "map.gif")


def test_figure_and_data_are_what_a_notebook_expects(bound: BoundView) -> None:
    assert bound.figure().data[0].z.shape == (13, 13)
    assert bound.data()["activation"].dims == ("a", "b")
