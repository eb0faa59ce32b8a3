"""Views of the trajectory: marks stand where the geometry is, and nulls are always beside the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import EPOCHS, SyntheticReader, SyntheticVariant

from analyzers.random_paths import random_walk_shares
from renderers.service import BoundView, ViewService

NULLS = ("random walk", "OU process", "matched steps")


def opened(name: str, **given: Any) -> BoundView:
    return ViewService(SyntheticReader()).open(SyntheticVariant(), name, epoch=2000, **given)


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [trace for trace in figure["data"] if trace["name"] == name]
    return found


def texts(figure: dict[str, Any]) -> str:
    return " ".join(note["text"] for note in figure["layout"]["annotations"])


@pytest.mark.parametrize("plane", ["1-2", "1-3", "2-3"])
def test_a_crossing_lies_on_both_of_its_segments_of_the_drawn_path(plane: str) -> None:
    bound = opened("path_crossings", plane=plane)
    figure, data = bound.raw(), bound.data()
    path, marks = trace(figure, "trajectory"), trace(figure, "self-intersections")
    truth = bound.source.artifact("path_geometry")["crossings"].sel(group="all", plane=plane)
    assert len(marks["x"]) == int(truth)
    scale = max(np.ptp(path["x"]), np.ptp(path["y"]))
    for index, (x, y) in enumerate(zip(marks["x"], marks["y"], strict=True)):
        for passage in (0, 1):
            low, high = (
                path["customdata"].tolist().index(int(data[f"crossing_{bound}"][index, passage]))
                for bound in ("lower", "upper")
            )
            assert high == low + 1
            a, b = (np.array([path["x"][i], path["y"][i]]) for i in (low, high))
            share = (float(data["crossing_epoch"][index, passage]) - EPOCHS[low]) / (
                EPOCHS[high] - EPOCHS[low]
            )
            np.testing.assert_allclose(a + share * (b - a), [x, y], atol=2e-3 * scale)
    assert marks["customdata"].tolist() == data["crossing_upper"][:, 1].values.tolist()


def test_the_made_up_path_crosses_itself_somewhere() -> None:
    found = opened("path_crossings").source.artifact("path_geometry")["crossings"].sel(group="all")
    assert float(found.sum()) > 0


def test_crossings_are_counted_beside_those_of_random_paths_and_never_called_evidence() -> None:
    bound = opened("path_crossings")
    for null in NULLS:
        assert null in texts(bound.raw())
    assert "not evidence by itself" in bound.view.blurb


def test_every_row_of_the_table_shows_its_value_and_three_p_values() -> None:
    bound = opened("path_measures", plane="1-3")
    figure, data = bound.raw(), bound.data()
    names = data["measure"].values.tolist()
    assert "closure 1-3" in names
    assert "closure 2-3" not in names
    run = trace(figure, "run")
    np.testing.assert_array_equal(run["customdata"], data["observed"].values)
    for null in NULLS:
        drawn, own = trace(figure, null), data.sel(null=null)
        np.testing.assert_array_equal(
            drawn["customdata"][:, :3], own["band"].transpose("measure", "level").values
        )
        np.testing.assert_array_equal(drawn["customdata"][:, 3], own["p_value"].values)
    rows = [note for note in figure["layout"]["annotations"] if note["yref"] == "y"]
    assert len(rows) == len(names)
    inside = np.concatenate([trace["x"] for trace in figure["data"]])
    assert ((inside >= 0) & (inside <= 1)).all()


@pytest.mark.parametrize(
    ("view", "given", "name"),
    [
        ("path_turning", {"quantity": "acceleration"}, "acceleration_cosine"),
        ("path_turning", {"quantity": "curvature"}, "curvature"),
        ("direction_to_final", {}, "direction_to_final"),
    ],
)
def test_curves_show_the_run_and_the_bands_of_three_nulls(
    view: str, given: dict[str, str], name: str
) -> None:
    bound = opened(view, group="mlp", **given)
    figure = bound.raw()
    run = trace(figure, "run")
    truth = bound.source.artifact("path_geometry")[name].sel(group="mlp")
    np.testing.assert_array_equal(run["y"], truth.sel(epoch=run["x"]).values)
    band = bound.source.artifact("path_nulls")[f"{name}_band"].sel(group="mlp")
    for null in NULLS:
        median = trace(figure, null)
        np.testing.assert_array_equal(median["y"], band.sel(null=null, level=0.5, epoch=median["x"]).values)
        polygon = trace(figure, f"{null}, middle 95 %")
        assert len(polygon["x"]) == 2 * len(median["x"])
        assert null in texts(figure)


def test_lags_are_drawn_in_epochs_with_their_bands() -> None:
    bound = opened("path_lag")
    figure = bound.raw()
    assert {figure["layout"][axis]["type"] for axis in ("xaxis", "yaxis")} == {"log"}
    truth = bound.source.artifact("path_geometry")["displacement"].sel(group="all")
    np.testing.assert_array_equal(trace(figure, "run")["y"], truth.values[truth.values > 0])
    assert {trace["name"] for trace in figure["data"]} >= set(NULLS)


@pytest.mark.parametrize("axis", ["checkpoint", "epoch"])
def test_a_cell_of_the_recurrence_is_the_distance_of_its_two_epochs(axis: str) -> None:
    bound = opened("path_recurrence", axis=axis)
    (cells,) = bound.raw()["data"]
    truth = bound.source.artifact("parameter_pca")["distance"].sel(group="all")
    for row, column in ((0, 3), (5, 2), (13, 13)):
        assert cells["z"][row, column] == np.float32(truth.sel(epoch=EPOCHS[row], other_epoch=EPOCHS[column]))
        assert cells["customdata"][row][column] == EPOCHS[column]
        assert cells["text"][row][column] == f"{EPOCHS[row]:,}"


def test_the_space_holds_three_components_on_equal_scales() -> None:
    bound = opened("parameter_pca_3d", group="attention")
    figure = bound.raw()
    (path,) = figure["data"]
    truth = bound.source.artifact("parameter_pca")["projection"].sel(group="attention")
    for letter, component in zip("xyz", (1, 2, 3), strict=True):
        np.testing.assert_array_equal(path[letter], truth.sel(component=component).values)
    assert figure["layout"]["scene"]["aspectmode"] == "data"
    assert path["customdata"].tolist() == EPOCHS.tolist()


def test_explained_variance_stands_beside_a_random_walk() -> None:
    figure = opened("parameter_pca_variance").raw()
    walk = trace(figure, "random walk")
    np.testing.assert_allclose(walk["y"], np.cumsum(random_walk_shares(EPOCHS, 10)))
    title = opened("parameter_pca").raw()["layout"]["xaxis"]["title"]["text"]
    assert f"random walk {random_walk_shares(EPOCHS, 1)[0]:.1%}" in title


def test_modes_are_drawn_as_factors_of_the_mean_step_beside_random_walks() -> None:
    bound = opened("dmd_eigenvalues")
    figure, data = bound.raw(), bound.data()
    step = EPOCHS[-1] / (len(EPOCHS) - 1)
    run = trace(figure, "run")
    size = np.hypot(run["x"], run["y"])
    np.testing.assert_allclose(size, np.exp(data["growth"].values * step))
    np.testing.assert_allclose(run["customdata"][:, 0] ** step, size)
    assert len(trace(figure, "random walks")["x"]) == data["null_growth"].size
    circle = trace(figure, "|λ| = 1")
    np.testing.assert_allclose(np.hypot(circle["x"], circle["y"]), 1)
    assert figure["layout"]["yaxis"]["scaleanchor"] == "x"


def test_errors_stand_beside_persistence_and_skill_beside_random_walks() -> None:
    bound = opened("dmd_error")
    figure = bound.raw()
    truth = bound.source.artifact("dmd")["error"].sel(group="all")
    for name in ("fit", "held out", "constant velocity", "persistence"):
        drawn = trace(figure, name)
        np.testing.assert_array_equal(drawn["y"], truth.sel(predictor=name, epoch=drawn["x"]).values)
    assert "skill: fit" in texts(figure)
    assert "walks" in texts(figure)
