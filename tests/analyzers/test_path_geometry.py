"""Geometry of paths and its nulls: known curves, slow oracles, invariances, random paths, shipped runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analyzers import paths, planar, random_paths
from analyzers.arrays import dataset_of
from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from data import Variant, Workspace

Points = np.ndarray


def squared_of(points: Points) -> np.ndarray:
    return ((points[:, None] - points[None]) ** 2).sum(axis=-1)


def pca_dataset(points: Points, epochs: np.ndarray, parameters: int = 1000) -> xr.Dataset:
    """What path_geometry and path_nulls read of parameter_pca, for one group."""
    distance = np.sqrt(squared_of(points))
    return xr.Dataset(
        {
            "distance": (("group", "epoch", "other_epoch"), distance[None]),
            "parameters": ("group", [parameters]),
        },
        coords={"group": ["all"], "epoch": epochs, "other_epoch": epochs},
    )


class OnePath:
    """A run of which only its path is known."""

    def __init__(self, points: Points, epochs: np.ndarray) -> None:
        self.data = pca_dataset(points, epochs)

    def artifact(self, name: str) -> xr.Dataset:
        return self.data


def compute(name: str, points: Points, epochs: np.ndarray, **parameters: Any) -> xr.Dataset:
    found = default_registry().get(name)
    returned = found.compute(OnePath(points, epochs), **found.with_defaults(parameters))
    return dataset_of(found, returned, {}).isel(group=0)


def rotated(points: Points, dimension: int, seed: int = 0) -> Points:
    """The points in a random orientation of a larger space, moved away from its origin."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    return points @ turn[: points.shape[1]] + rng.standard_normal(dimension)


def spiral(count: int = 30, seed: int = 3) -> tuple[Points, np.ndarray]:
    """A smooth path in three dimensions at unequal epochs."""
    rng = np.random.default_rng(seed)
    epochs = np.sort(rng.choice(5000, count, replace=False))
    t = epochs / 5000
    return np.stack([9 * t, 3 * np.cos(9 * t), 2 * np.sin(7 * t)], axis=1), epochs


# --- known curves ----------------------------------------------------------------------------------------


def test_a_circle_has_the_curvature_area_and_winding_of_its_radius() -> None:
    radius, count = 2.5, 400
    angle = np.linspace(0, 2 * np.pi, count)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    curvature = paths.curvature(squared_of(rotated(circle, 40)))
    np.testing.assert_allclose(curvature[1:-1], 1 / radius, rtol=1e-6)
    assert np.isnan(curvature[[0, -1]]).all()
    assert planar.area(circle) == pytest.approx(np.pi * radius**2, rel=1e-4)
    assert planar.normalised_area(circle) == pytest.approx(1, rel=1e-4)
    assert planar.winding(circle) == pytest.approx(1, rel=1e-6)
    assert planar.winding(circle[::-1]) == pytest.approx(-1, rel=1e-6)
    assert planar.closure(circle) == pytest.approx(0, abs=1e-12)
    assert planar.count_crossings(circle) == 0
    turn = paths.turning_rate(squared_of(circle), 7.0 * np.arange(count))
    np.testing.assert_allclose(turn[1:-1], 2 * np.pi / (count - 1) / 7, rtol=1e-5)


def test_half_a_circle_is_closed_by_its_chord() -> None:
    angle = np.linspace(0, np.pi, 500)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert planar.area(arc) == pytest.approx(np.pi / 2, rel=1e-4)
    assert planar.normalised_area(arc) == pytest.approx(4 * np.pi * (np.pi / 2) / (np.pi + 2) ** 2, rel=1e-4)
    assert planar.closure(arc) == pytest.approx(2 * np.sin(np.pi / 6) / np.pi, rel=1e-4)  # chord of a third


def test_a_straight_line_is_straight_at_any_spacing() -> None:
    rng = np.random.default_rng(1)
    epochs = np.sort(rng.choice(1000, 12, replace=False))
    line = np.outer(epochs, rng.standard_normal(50))
    found = compute("path_geometry", line, epochs)
    assert float(found["tortuosity"]) == pytest.approx(1)
    np.testing.assert_allclose(found["acceleration_cosine"][1:-1], 1, atol=1e-6)
    np.testing.assert_allclose(found["direction_to_final"][:-2], 1, atol=1e-6)
    assert np.isnan(found["direction_to_final"][-2:]).all()
    np.testing.assert_allclose(found["curvature"][1:-1], 0, atol=1e-5)
    assert float(found["diffusion_exponent"]) == pytest.approx(2, abs=0.05)
    assert float(found["effective_dimension"]) == pytest.approx(1)
    assert float(found["closure"].sel(plane="1-2")) == pytest.approx(1 / 3, abs=1e-6)
    assert float(found["crossings"].sum()) == 0


def test_a_right_angle_and_a_return_have_the_cosines_of_a_right_angle_and_a_return() -> None:
    path = np.array([[0.0, 0], [1, 0], [1, 2], [1, 1]])
    np.testing.assert_allclose(paths.acceleration_cosine(squared_of(path))[1:-1], [0, -1], atol=1e-12)
    cosines = paths.direction_to_final(squared_of(path))
    np.testing.assert_allclose(cosines[:2], [1 / np.sqrt(2), 1], atol=1e-12)
    triangle = np.array([[0.0, 0], [3, 0], [3, 4]])
    assert paths.curvature(squared_of(triangle))[1] == pytest.approx(4 * 6 / (3 * 4 * 5))


def figure_eight() -> tuple[Points, np.ndarray]:
    """Two loops that meet at one point, open at both ends, at unequal epochs: segments 1 and 4 cross at (0,
    0).
    """
    points = np.array([[-3.0, -2], [-1, -1], [2, 2], [3, 0.5], [2, -2], [-1, 1], [-3, 1.5]])
    return points, np.array([0, 100, 400, 1000, 1100, 3100, 4000])


def test_a_figure_eight_crosses_itself_once_at_the_known_place_and_epochs() -> None:
    points, epochs = figure_eight()
    (found,) = planar.crossings(points)
    assert (found.first, found.second) == (1, 4)
    np.testing.assert_allclose(found.at, [0, 0], atol=1e-12)
    np.testing.assert_allclose(found.along, [1 / 3, 2 / 3])
    listed = compute("path_geometry", rotated(points, 9), epochs)
    own = listed.isel(crossing=np.flatnonzero(listed["crossing_plane"] == 0))
    assert own["crossing_lower"].values.tolist() == [[100, 1100]]
    assert own["crossing_upper"].values.tolist() == [[400, 3100]]
    np.testing.assert_allclose(own["crossing_epoch"].values, [[200, 1100 + 2 / 3 * 2000]], rtol=1e-6)
    assert float(listed["crossings"].sel(plane="1-2")) == 1
    assert float(listed["closure"].sel(plane="1-2")) == pytest.approx(planar.closure(points), abs=1e-9)


def test_a_path_through_its_own_corner_crosses_once_and_ends_that_touch_do_not() -> None:
    through_corner = np.array([[0.0, 0], [1, 1], [3, 0], [1.2, 3], [1, 1], [0.8, -2]])
    assert len(planar.crossings(through_corner)) == 1
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    assert planar.crossings(square) == []
    still = np.array([[0.0, 0], [1, 0], [1, 0], [2, 0]])
    assert planar.crossings(still) == []


# --- against slow oracles --------------------------------------------------------------------------------


def slow_crossings(points: Points) -> list[tuple[int, int]]:
    """Pairs of segments whose ends lie on different sides of each other, by signs of areas."""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float(np.sign(np.linalg.det(np.array([b - a, c - a]))))

    found = []
    for i in range(len(points) - 1):
        for j in range(i + 2, len(points) - 1):
            a, b, c, d = points[i], points[i + 1], points[j], points[j + 1]
            if side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0:
                found.append((i, j))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_crossings_agree_with_a_test_of_sides(seed: int) -> None:
    walk = np.cumsum(np.random.default_rng(seed).standard_normal((40, 2)), axis=0)
    expected = slow_crossings(walk)
    assert len(expected) > 3
    assert [(found.first, found.second) for found in planar.crossings(walk)] == expected
    several = np.stack([walk, walk[::-1], 3 * walk])
    assert planar.count_crossings(several).tolist() == [len(expected)] * 3
    for found in planar.crossings(walk):
        for segment, share in zip((found.first, found.second), found.along, strict=True):
            at = walk[segment] + share * (walk[segment + 1] - walk[segment])
            np.testing.assert_allclose(at, found.at, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_closure_agrees_with_dense_sampling(seed: int) -> None:
    steps = np.random.default_rng(seed).standard_normal((12, 2)) + 0.8
    path = np.cumsum(steps, axis=0)
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    at = np.linspace(0, travelled[-1], 3001)
    dense = np.stack([np.interp(at, travelled, path[:, axis]) for axis in (0, 1)], axis=1)
    apart = np.linalg.norm(dense[:1001, None] - dense[None, 2000:], axis=2).min()
    assert planar.closure(path) == pytest.approx(apart / travelled[-1], abs=1e-3)


def test_scalars_agree_with_the_whole_vectors() -> None:
    rng = np.random.default_rng(5)
    points, epochs = np.cumsum(rng.standard_normal((15, 300)), axis=0), np.sort(rng.choice(900, 15, False))
    found = compute("path_geometry", points, epochs)
    step = np.diff(points, axis=0)
    size = np.linalg.norm(step, axis=1)
    assert float(found["length"]) == pytest.approx(size.sum())
    assert float(found["chord"]) == pytest.approx(np.linalg.norm(points[-1] - points[0]))
    cosine = (step[:-1] * step[1:]).sum(axis=1) / size[:-1] / size[1:]
    np.testing.assert_allclose(found["acceleration_cosine"][1:-1], cosine, atol=1e-6)
    assert float(found["mean_acceleration_cosine"]) == pytest.approx(cosine.mean())
    to_end = points[-1] - points[:-2]
    direction = (step[:-1] * to_end).sum(axis=1) / size[:-1] / np.linalg.norm(to_end, axis=1)
    np.testing.assert_allclose(found["direction_to_final"][:-2], direction, atol=1e-6)
    unit = step / size[:, None]
    aligned = (unit @ unit.T)[np.triu_indices(14, 1)] ** 2
    assert float(found["effective_dimension"]) == pytest.approx(1 / aligned.mean())
    edges = np.geomspace(np.diff(epochs).min(), epochs[-1] - epochs[0], paths.LAG_BINS + 1)
    pairs = [(i, j) for i in range(15) for j in range(i + 1, 15)]
    lags = np.array([epochs[j] - epochs[i] for i, j in pairs])
    squares = np.array([((points[i] - points[j]) ** 2).sum() for i, j in pairs])
    index = np.searchsorted(edges[1:-1], lags, side="right")
    expected = [squares[index == bin].mean() for bin in np.unique(index)]
    np.testing.assert_allclose(found["displacement"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["lag"], [lags[index == bin].mean() for bin in np.unique(index)])


# --- what must not matter --------------------------------------------------------------------------------

NUMBERS = ("tortuosity", "mean_acceleration_cosine", "mean_direction_to_final", "diffusion_exponent")


def test_nothing_depends_on_orientation_origin_or_scale() -> None:
    points, epochs = spiral()
    before, after = (
        compute("path_geometry", points, epochs),
        compute("path_geometry", 7 * rotated(points, 60), epochs),
    )
    for name in (
        *NUMBERS,
        "effective_dimension",
        "acceleration_cosine",
        "direction_to_final",
        "turning_rate",
    ):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-6)
    for name in ("crossings", "closure", "normalised_area", "winding"):
        np.testing.assert_allclose(np.abs(after[name]), np.abs(before[name]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(after["curvature"], before["curvature"] / 7, rtol=1e-4)
    assert float(after["length"]) == pytest.approx(7 * float(before["length"]))
    np.testing.assert_allclose(after["crossing_epoch"], before["crossing_epoch"])


def test_time_backwards_is_the_same_path_backwards() -> None:
    points, epochs = spiral()
    before, after = (
        compute("path_geometry", points, epochs),
        compute("path_geometry", points[::-1], 5000 - epochs[::-1]),
    )
    for name in ("length", "chord", "tortuosity", "diffusion_exponent", "crossings", "closure"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9)
    for name in ("acceleration_cosine", "curvature", "turning_rate"):
        np.testing.assert_allclose(after[name][::-1], before[name], rtol=1e-5)
    passages = 5000 - np.sort(after["crossing_epoch"].values[:, ::-1], axis=None)[::-1]
    np.testing.assert_allclose(passages, np.sort(before["crossing_epoch"].values, axis=None), atol=1e-6)


def test_only_rates_and_lags_know_the_epochs() -> None:
    points, epochs = spiral()
    before, after = compute("path_geometry", points, epochs), compute("path_geometry", points, 3 * epochs)
    for name in (
        "tortuosity",
        "curvature",
        "acceleration_cosine",
        "closure",
        "winding",
        "diffusion_exponent",
    ):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6)
    np.testing.assert_allclose(after["turning_rate"], before["turning_rate"] / 3, rtol=1e-6)
    np.testing.assert_allclose(after["lag"], 3 * before["lag"])


# --- bad input -------------------------------------------------------------------------------------------


def test_a_checkpoint_that_is_not_finite_is_passed_by() -> None:
    points, epochs = spiral(12)
    broken = points.copy()
    broken[4] = np.nan
    found, without = (
        compute("path_geometry", broken, epochs),
        compute("path_geometry", np.delete(points, 4, axis=0), np.delete(epochs, 4)),
    )
    for name in (*NUMBERS[:3], "length", "crossings", "closure"):
        np.testing.assert_allclose(found[name], without[name])
    np.testing.assert_allclose(np.delete(found["curvature"].values, 4), without["curvature"])
    assert np.isnan(found["curvature"][4])
    nulls = compute("path_nulls", broken, epochs, replicates=5)
    assert np.isfinite(nulls["p_value"].sel(measure="tortuosity")).all()
    assert np.isnan(nulls["curvature_band"][..., 4]).all()


@pytest.mark.parametrize(
    "points", [np.zeros((6, 4)), np.full((6, 4), np.nan), np.ones((2, 4)), np.ones((1, 4))]
)
def test_a_path_without_shape_is_nan_and_no_error(points: Points) -> None:
    epochs = np.arange(len(points)) * 10
    found = compute("path_geometry", points, epochs)
    assert np.isnan(found["tortuosity"])
    assert found.sizes["crossing"] == 0
    nulls = compute("path_nulls", points, epochs, replicates=3)
    assert np.isnan(nulls["observed"].sel(measure="tortuosity"))
    assert np.isnan(nulls["p_value"].sel(measure="tortuosity")).all()


# --- nulls -----------------------------------------------------------------------------------------------


def test_random_walks_have_their_known_shares_and_cross_themselves_in_the_second_and_third_component() -> (
    None
):
    epochs: np.ndarray = np.arange(150) * 10.0
    walks = random_paths.random_walk(np.random.default_rng(0), 12, epochs, 50_000)
    points, shares = paths.principal_coordinates(walks)
    np.testing.assert_allclose(shares.mean(axis=0), [0.61, 0.15, 0.07], atol=0.005)
    np.testing.assert_allclose(
        random_paths.random_walk_shares(epochs, 3), 6 / (np.pi * np.arange(1, 4)) ** 2, rtol=0.01
    )
    assert (planar.count_crossings(points[..., [1, 2]]) >= 1).all()
    process = random_paths.ou_process(
        np.random.default_rng(0), 8, np.arange(200.0), 50_000, -1 / np.log(0.97)
    )
    points, shares = paths.principal_coordinates(process)
    np.testing.assert_allclose(shares.mean(axis=0), [0.27, 0.19, 0.11], atol=0.01)
    assert (planar.count_crossings(points[..., [1, 2]]) >= 1).all()


@pytest.mark.parametrize("dimension", [6, 40])
def test_drawn_gram_matrices_are_those_of_gaussian_vectors(dimension: int) -> None:
    """Fewer and more dimensions than vectors: first and second moments of inner products."""
    rows = random_paths.gaussian_rows(np.random.default_rng(1), 20_000, 8, dimension)
    gram = rows @ rows.transpose(0, 2, 1)
    np.testing.assert_allclose(gram.mean(axis=0), np.eye(8), atol=0.02)
    off = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose((gram**2).mean(axis=0)[off], 1 / dimension, rtol=0.06)
    np.testing.assert_allclose(gram.var(axis=0)[~off], 2 / dimension, rtol=0.06)


def test_random_paths_follow_the_checkpoints() -> None:
    rng = np.random.default_rng(2)
    epochs = np.array([0.0, 1, 10, 100, 1000])
    walks = random_paths.random_walk(rng, 200, epochs, 2000)
    np.testing.assert_allclose(paths.steps(walks).mean(axis=0) ** 2, np.diff(epochs), rtol=0.01)
    process = random_paths.ou_process(rng, 200, epochs, 2000, 50.0)
    expected = 2 * (1 - np.exp(-np.diff(epochs) / 50))
    np.testing.assert_allclose((paths.steps(process) ** 2).mean(axis=0), expected, rtol=0.01)
    lengths = np.array([3.0, 1, 0.5, 7])
    matched = random_paths.matched_walk(rng, 50, lengths, 2000)
    np.testing.assert_allclose(paths.steps(matched), np.tile(lengths, (50, 1)))
    np.testing.assert_allclose(matched[:, 0, -1].mean(), (lengths**2).sum(), rtol=0.02)


def test_a_random_walk_has_ordinary_p_values_and_a_straight_path_has_not() -> None:
    """Under the null, p is uniform: its mean is a half and 5 % lie below 0.05, within sampling error."""
    rng, epochs = np.random.default_rng(4), np.arange(12.0)
    null = np.array(
        [float(value) for value in paths.tortuosity(random_paths.random_walk(rng, 199, epochs, 30))]
    )
    tried = paths.tortuosity(random_paths.random_walk(rng, 400, epochs, 30))
    p = np.array([random_paths.p_value(float(value), null) for value in tried])
    assert 0.42 < p.mean() < 0.58
    assert 0.015 < (p <= 0.05).mean() < 0.1
    assert random_paths.p_value(1.0, null) == 2 / 200
    assert random_paths.p_value(float(np.median(null)), null) == pytest.approx(1, abs=0.02)
    assert np.isnan(random_paths.p_value(float("nan"), null))
    assert random_paths.p_value(1.0, np.ones(99)) == 1


def test_nulls_compare_with_the_runs_own_checkpoints_and_are_reproducible() -> None:
    rng = np.random.default_rng(6)
    epochs = np.sort(rng.choice(2000, 15, replace=False))
    walk = np.sqrt(np.diff(epochs))[:, None] * rng.standard_normal((14, 1000))
    points = np.concatenate([np.zeros((1, 1000)), np.cumsum(walk, axis=0)])
    found = compute("path_nulls", points, epochs, replicates=99)
    assert found.equals(compute("path_nulls", points, epochs, replicates=99))
    p = found["p_value"].sel(null="random walk")
    assert float(p.min()) > 0.02
    straight = compute("path_nulls", np.outer(epochs, np.ones(5)), epochs, replicates=99)
    for measure in ("tortuosity", "acceleration", "diffusion exponent"):
        np.testing.assert_allclose(straight["p_value"].sel(measure=measure), 2 / 100)
    few = compute("path_nulls", points, epochs, replicates=99, dimension=4)
    assert few["dimension"].values.tolist() == [4, 4, 4]
    wide, narrow = (one["band"].sel(null="random walk", measure="tortuosity").values for one in (few, found))
    assert np.ptp(wide) > 5 * np.ptp(narrow)


def test_bands_have_the_units_of_the_run() -> None:
    points, epochs = spiral(20)
    found, larger = (compute("path_nulls", scale * points, epochs, replicates=20) for scale in (1, 10))
    np.testing.assert_allclose(larger["curvature_band"], found["curvature_band"] / 10, rtol=1e-4)
    np.testing.assert_allclose(larger["displacement_band"], 100 * found["displacement_band"], rtol=1e-4)
    np.testing.assert_allclose(larger["band"], found["band"], rtol=1e-3, atol=1e-5)
    geometry = compute("path_geometry", points, epochs)
    assert float(found["observed"].sel(measure="tortuosity")) == float(geometry["tortuosity"])
    for plane in paths.PLANES:
        assert found["observed"].sel(measure=f"closure {plane}") == geometry["closure"].sel(plane=plane)


# --- in the pipeline and on the shipped runs -------------------------------------------------------------


def test_every_group_of_a_real_run_agrees_with_its_own_weights(make_variant: Callable[..., Variant]) -> None:
    variant = make_variant(p=11, epochs=(0, 5, 10, 40, 100, 400))
    few: dict[str, Any] = {"replicates": 5}
    assert analyze(variant, ["path_geometry", "path_nulls"], parameters={"path_nulls": few}).failures == []
    service = AnalyzerService()
    found, pca = service.read(variant, "path_geometry"), service.read(variant, "parameter_pca")
    for group, names in {"W_V": ["blocks.0.attn.W_V"], "embedding": ["embed.W_E", "pos_embed.W_pos"]}.items():
        points = np.array(
            [
                np.concatenate([variant.at(epoch).weights[name].double().numpy().ravel() for name in names])
                for epoch in variant.epochs
            ]
        )
        np.testing.assert_allclose(pca["distance"].sel(group=group), np.sqrt(squared_of(points)), atol=1e-6)
        assert int(pca["parameters"].sel(group=group)) == points.shape[1]
        length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
        assert float(found["length"].sel(group=group)) == pytest.approx(length)
    assert service.read(variant, "path_nulls", **few)["p_value"].sizes == {
        "null": 3,
        "group": 13,
        "measure": 19,
    }


CROSSINGS = {  # of all parameters in the plane of PC2 and PC3, as the shipped checkpoints have them
    "p101-s999-d598": [],
    "p113-s485-d598": [((300, 1000), (9600, 14700))],
    "p113-s999-d598": [],
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("paths") / "workspace", create=True)
    workspace.add_samples()
    return workspace


@pytest.mark.parametrize("name", CROSSINGS)
def test_the_loops_of_the_shipped_runs(samples: Workspace, name: str) -> None:
    """One of the three closes its loop, and none does more than walks with the same steps."""
    variant = samples[name]
    assert analyze(variant, ["path_geometry"]).failures == []
    found = AnalyzerService().read(variant, "path_geometry")
    group, plane = found["group"].values.tolist().index("all"), list(paths.PLANES).index("2-3")
    own = (found["crossing_group"].values == group) & (found["crossing_plane"].values == plane)
    listed = [
        tuple(zip(low, high, strict=True))
        for low, high in zip(
            found["crossing_lower"].values[own].tolist(),
            found["crossing_upper"].values[own].tolist(),
            strict=True,
        )
    ]
    assert listed == CROSSINGS[name]
    closure = float(found["closure"].sel(group="all", plane="2-3"))
    assert closure < 0.05  # the open ones end near their beginning, too
    assert (closure > 0.015) == (name == "p101-s999-d598")  # and the odd one stays farthest away
    assert 4 < float(found["tortuosity"].sel(group="all")) < 5
    assert float(found["mean_acceleration_cosine"].sel(group="all")) > 0.5
    distance = AnalyzerService().read(variant, "parameter_pca")["distance"].sel(group="all").values
    lengths = np.diagonal(distance, 1)
    walks = random_paths.matched_walk(np.random.default_rng(0), 20, lengths, 226_000)
    crossed = planar.count_crossings(paths.principal_coordinates(walks)[0][..., [1, 2]])
    assert float(len(listed)) in crossed
