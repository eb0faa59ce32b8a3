"""Comparisons of weights: who takes part, what is drawn, and that it says what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from planted import planted_weights

from analyzers.comparison.distances import MEASURES
from data import Variant, Workspace
from data.errors import BadParameter
from renderers.comparison.cohort import left_out
from renderers.comparison.service import BoundComparison, ComparisonService
from renderers.encode import encode
from renderers.payload import payload
from training.families import modular_addition

P = 23
EPOCHS = (0, 100, 400, 1000, 2000)
CONFIG = modular_addition.TrainingConfig(d_model=16, n_heads=2, d_head=8, d_mlp=24)
FORK = "p23-s1-d598-dm16-h2-dh8-mlp24-at"
NAMES = (
    "distance_matrix",
    "distance_over_time",
    "frequency_relabelling",
    "shared_trajectories",
    "singular_spectra",
)
Weights = dict[str, torch.Tensor]


def rotated(weights: Weights) -> Weights:
    """The same function in another basis of the residual stream."""
    size = len(weights["unembed.W_U"])
    turn, _ = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(9)))
    read = [f"blocks.0.attn.W_{name}" for name in "QKV"] + ["blocks.0.mlp.W_in", "unembed.W_U"]
    return {name: turn.T @ tensor if name in read else tensor @ turn for name, tensor in weights.items()}


def renamed(weights: Weights, unit: int) -> Weights:
    """Token and class a become unit * a."""
    image = torch.arange(P) * unit % P
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["embed.W_E"][image] = weights["embed.W_E"][:P]
    changed["unembed.W_U"][:, image] = weights["unembed.W_U"]
    return changed


def add(
    workspace: Workspace,
    seed: int,
    own_seed: int,
    change: Callable[[Weights], Weights] = dict,
    p: int = P,
    epochs: tuple[int, ...] = EPOCHS,
    parent: tuple[str, int] | None = None,
    frequencies: tuple[int, ...] = (2, 5),
    **params: Any,
) -> Variant:
    """A run named by `seed` whose weights grow from those of `own_seed` into waves, changed before saving."""
    record = modular_addition.record(modular_addition.Params(p=p, seed=seed, **params), CONFIG)
    if parent is not None:
        change_made = {"name": parent[0], "epoch": parent[1], "change": {"perturb": 1e-6}}
        record = replace(record, name=f"{parent[0]}-at{parent[1]}", parent=change_made)
    variant = workspace.create_variant(record)
    start = modular_addition.init_weights(modular_addition.Params(p=p, seed=own_seed), CONFIG)
    for epoch in epochs:
        weights = planted_weights(start, frequencies, epoch / 2000, own_seed)
        generator = torch.Generator().manual_seed(seed * 10_000 + epoch)
        noise = {n: torch.randn(t.shape, generator=generator) for n, t in weights.items()}
        size = 1e-3 if parent is not None and epoch > parent[1] else 0.0
        weights = {name: tensor + size * noise[name] for name, tensor in weights.items()}
        variant.save_checkpoint(epoch, change(weights))
    epoch = np.arange(0, 2001, 10)
    test = 3.1 * 10 ** (-6 / (1 + np.exp(-(epoch - 900) / 60)))
    variant.save_history({"epoch": epoch, "train_loss": 3.1 * np.exp(-epoch / 30) + 1e-8, "test_loss": test})
    return variant


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """s1; s2, the same function renamed and rotated; s3, another run; s4 without checkpoints; p = 13; a fork
    of s1; and another operation."""
    made = Workspace(tmp_path_factory.mktemp("geometry") / "workspace", create=True)
    first = add(made, 1, 1)
    add(made, 2, 1, lambda weights: rotated(renamed(weights, 4)))
    add(made, 3, 3, frequencies=(1, 7))
    add(made, 4, 4, epochs=())
    add(made, 5, 5, p=13)
    add(made, 1, 1, epochs=(400, 1000, 2000), parent=(first.name, 400))
    add(made, 6, 6, operation="multiply")
    return made


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> ComparisonService:
    return ComparisonService(workspace)


def name_of(workspace: Workspace, start: str) -> str:
    return min((one.name for one in workspace.variants() if one.name.startswith(start)), key=len)


def opened(service: ComparisonService, name: str, starts: list[str], **given: Any) -> BoundComparison:
    workspace = service._workspace
    names = [name_of(workspace, start) for start in starts]
    look = {key: given.pop(key) for key in ("theme", "density", "size") if key in given}
    align = given.pop("align", "epoch")
    selection = {"variant": names[0], "epoch": given.pop("epoch", 2000)}
    return service.open(name, service.cohort(names, selection, align), **look, **given)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_drawing_is_a_valid_figure_whose_marks_can_be_clicked(
    service: ComparisonService, name: str, theme: str
) -> None:
    for density, size in (("full", (1100, 420)), ("compact", (540, 360))):
        look = {"theme": theme, "density": density, "size": size}
        one = opened(service, name, ["p23-s1-", FORK, "p23-s2", "p23-s3"], **look)
        raw = one.raw()
        go.Figure(raw)
        encode(raw)
        names = {variant.name for variant in one.cohort.variants}
        found = set()
        for trace in raw["data"]:
            if "payload" not in (trace.get("meta") or {}):
                continue
            assert trace["meta"]["together"]
            assert set(trace["meta"]["payload"]) <= set(one.comparison.marks)
            custom = np.asarray(trace.get("customdata", [None]), dtype=object)
            point = {"customdata": custom.reshape(-1, custom.shape[-1])[0] if custom.ndim > 1 else custom[0]}
            carried = payload(trace, point)
            assert carried["variant"] in names
            found.add(carried["variant"])
            if "epoch" in carried:
                assert carried["epoch"] in EPOCHS
        assert found


def test_who_cannot_take_part_is_named_with_the_reason(service: ComparisonService) -> None:
    for name in NAMES:
        one = opened(service, name, ["p23-s1-", "p23-s3", "p23-s4", "p13-s5"])
        left = dict(one.left_out())
        assert left[name_of(service._workspace, "p23-s4")] == "it has no checkpoints, only a history"
        assert (name_of(service._workspace, "p13-s5") in left) == (name != "singular_spectra")
    assert left_out(one.data()) == one.left_out()
    with pytest.raises(BadParameter, match=r"Only 1 of the 2 selected .* p is 13, that of p23-s1.* 23"):
        opened(service, "distance_matrix", ["p23-s1-", "p13-s5"]).data()
    any_p = opened(service, "distance_matrix", ["p23-s1-", "p13-s5"], measure="singular values")
    assert any_p.left_out() == []
    assert any_p.data().sizes["variant"] == 2


def test_renaming_is_refused_where_it_is_no_symmetry_of_the_task(service: ComparisonService) -> None:
    starts = ["p23-s1-", "p23-s3", "p23-s6"]
    renaming = opened(service, "distance_matrix", starts)
    assert renaming.left_out() == [
        (name_of(service._workspace, "p23-s6"), "x -> u x is no symmetry of multiply")
    ]
    assert opened(service, "distance_matrix", starts, relabel="as labelled").left_out() == []


def test_a_renamed_and_rotated_copy_has_no_distance_until_labels_count(service: ComparisonService) -> None:
    starts = ["p23-s1-", "p23-s2", "p23-s3"]
    names = [name_of(service._workspace, start) for start in starts]
    for measure in ("CKA", "Frobenius", "Fourier power"):
        best = opened(service, "distance_matrix", starts, measure=measure).data()
        plain = opened(service, "distance_matrix", starts, measure=measure, relabel="as labelled").data()
        first, second, third = names
        assert float(best["distance"].sel(variant=first, other=second)) < 1e-4  # float32 checkpoints
        assert float(plain["distance"].sel(variant=first, other=second)) > 0.1
        assert float(best["distance"].sel(variant=first, other=third)) > 0.1
        np.testing.assert_allclose(best["distance"], best["distance"].values.T)
        there, back = (
            int(best["unit"].sel(variant=a, other=b)) for a, b in ((first, second), (second, first))
        )
        assert there * back % P in (1, P - 1)
    order = best["variant"].values.tolist()
    assert abs(order.index(names[0]) - order.index(names[1])) == 1  # similar runs side by side


def test_a_click_in_the_matrix_takes_the_variant_of_the_row(service: ComparisonService) -> None:
    one = opened(service, "distance_matrix", ["p23-s1-", "p23-s2", "p23-s3"])
    cells = one.raw()["data"][0]
    for row, name in enumerate(one.data()["variant"].values.tolist()):
        for column in range(3):
            assert payload(cells, {"customdata": cells["customdata"][row, column]}) == {"variant": name}


def test_frequencies_lie_over_each_other_after_renaming(service: ComparisonService) -> None:
    one = opened(service, "frequency_relabelling", ["p23-s1-", "p23-s2", "p23-s3"])
    data = one.data()
    first, second = (name_of(service._workspace, start) for start in ("p23-s1-", "p23-s2"))
    assert int(data["unit"].sel(variant=second)) * 4 % P in (1, P - 1)
    assert float(data["distance"].sel(variant=second)) > 0.5
    assert float(data["renamed_distance"].sel(variant=second)) < 1e-4
    np.testing.assert_allclose(
        data["renamed"].sel(variant=second), data["share"].sel(variant=first), atol=1e-4
    )
    assert (data["renamed_distance"] <= data["distance"] + 1e-12).all()
    before, after = one.raw()["data"]
    unit = int(data["unit"].sel(variant=second))
    row = data["variant"].values.tolist().index(second)
    for k in range(1, 12):  # at k after renaming lies what the run itself has at unit * k
        carried = payload(before, {"customdata": before["customdata"][row, k - 1]})
        assert carried == {"variant": second, "frequency": k}
        own = after["customdata"][row, k - 1][1]
        assert own in (unit * k % P, P - unit * k % P)
        assert after["z"][row, k - 1] == pytest.approx(before["z"][row, own - 1], abs=1e-6)


def test_distance_over_time_of_a_fork_begins_at_nothing(service: ComparisonService) -> None:
    starts = ["p23-s1-", FORK, "p23-s2", "p23-s3"]
    data = opened(service, "distance_over_time", starts, relabel="as labelled").data()
    reference, fork, copy, other = (name_of(service._workspace, start) for start in starts)
    curves = {
        name: data.isel(point=np.flatnonzero(data["variant"].values == name))
        for name in (reference, fork, copy, other)
    }
    assert curves[fork]["epoch"].values.tolist() == [400, 1000, 2000]
    assert float(curves[fork]["distance"][0]) < 1e-6
    assert float(curves[fork]["distance"][1:].min()) > 1e-6
    assert float(curves[fork]["distance"].max()) < 0.1 < float(curves[copy]["distance"][-1])
    np.testing.assert_array_equal(curves[other]["epoch"], curves[other]["reference_epoch"])
    assert curves[reference]["reference_epoch"].values.tolist() == list(EPOCHS[1:])  # to its own next one
    low, high = data["null"].values
    assert 0 < low < high


def test_aligned_runs_are_compared_where_they_are_equally_far(service: ComparisonService) -> None:
    one = opened(service, "distance_over_time", ["p23-s1-", "p23-s3"], align="turn_scaled")
    data = one.data()
    own = data["variant"].values == name_of(service._workspace, "p23-s3")
    onset = data["epoch"].values[own][-1] / data["time"].values[own][-1]
    assert 500 < onset < 1000
    assert not data["late"].values.any()
    assert one.raw()["layout"]["meta"]["times"][name_of(service._workspace, "p23-s3")]["epoch"] == list(
        EPOCHS
    )


def test_checkpoints_that_lie_far_apart_are_marked(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "sparse", create=True)
    add(made, 1, 1)
    add(made, 2, 2, epochs=(0, 700, 2000))
    names = [variant.name for variant in made.variants()]
    service = ComparisonService(made)
    data = service.open("distance_over_time", service.cohort(names, {"variant": names[0], "epoch": 0})).data()
    own = data["variant"].values == names[1]
    assert data["reference_epoch"].values[own].tolist() in ([0, 400, 2000], [0, 1000, 2000])
    assert data["late"].values[own].tolist() == [False, True, False]


def test_raw_weights_tell_gauges_apart_and_invariants_do_not(service: ComparisonService) -> None:
    data = opened(service, "shared_trajectories", ["p23-s1-", "p23-s2"], relabel="modulo relabelling").data()
    assert float(data["raw weights: between"]) > 0.5
    assert float(data["free of gauge: between"]) < 1e-6
    plain = opened(service, "shared_trajectories", ["p23-s1-", "p23-s2"], show="free of gauge").data()
    assert float(plain["free of gauge: between"]) > 0.1  # one name of the tokens is not the other
    assert set(plain["kind"].values) == {"free of gauge"}


def test_a_fork_starts_where_its_parent_is(service: ComparisonService) -> None:
    starts = ["p23-s1-", FORK, "p23-s3"]
    one = opened(service, "shared_trajectories", starts)
    data = one.data()
    parent, fork = (name_of(service._workspace, start) for start in starts[:2])
    for kind in ("raw weights", "free of gauge"):
        own = data.isel(point=np.flatnonzero(data["kind"].values == kind))
        at = {
            name: own["position"].values[(own["variant"].values == name) & (own["epoch"].values == 400)]
            for name in (parent, fork)
        }
        extent = float(np.ptp(own["position"].values[:, 0]))
        assert np.abs(at[parent] - at[fork]).max() < 1e-4 * extent
    branches = [trace for trace in one.raw()["data"] if "leaves" in trace["name"]]
    assert [trace["name"] for trace in branches] == [f"{fork} leaves {parent}"] * 2


@pytest.mark.parametrize("features", ["Gram matrices", "Fourier power", "singular values"])
def test_every_plane_and_feature_can_be_drawn(service: ComparisonService, features: str) -> None:
    for axes in ("1-2", "1-3", "2-3"):
        one = opened(service, "shared_trajectories", ["p23-s1-", "p23-s3"], features=features, axes=axes)
        titles = [one.raw()["layout"][name]["title"]["text"] for name in ("xaxis", "yaxis")]
        assert [title[:3] for title in titles] == [f"PC{axes[0]}", f"PC{axes[2]}"]
        assert all("random walks" in title for title in titles)


def test_matrices_and_renaming_follow_the_measure(service: ComparisonService) -> None:
    for measure, kind in MEASURES.items():
        one = opened(service, "distance_matrix", ["p23-s1-", "p23-s3"], measure=measure)
        assert one.offered["matrix"] == list(kind.matrices)
        assert ("modulo relabelling" in one.offered["relabel"]) == kind.renames
        assert np.isfinite(one.data()["distance"]).all()


def test_a_damaged_or_broken_checkpoint_is_left_out_alone(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "damaged", create=True)
    first, second = add(made, 1, 1), add(made, 2, 2)
    (second.path / "checkpoints" / "epoch_00000100.safetensors").write_bytes(b"torn")
    weights = second.at(400).weights
    weights["embed.W_E"][3, 0] = float("nan")
    second.save_checkpoint(400, weights)
    service = ComparisonService(made)
    cohort = service.cohort([first.name, second.name], {"variant": first.name, "epoch": 2000})
    one = service.open("distance_over_time", cohort)
    assert one.left_out() == [
        (second.name, "the checkpoint at epoch 100 is damaged"),
        (second.name, "the weights at epoch 400 are not finite"),
    ]
    own = one.data()["variant"].values == second.name
    assert one.data()["epoch"].values[own].tolist() == [0, 1000, 2000]
    service.open("shared_trajectories", cohort).raw()


def test_singular_values_stand_beside_those_of_initialisations(service: ComparisonService) -> None:
    starts = ["p23-s1-", "p13-s5"]
    start = opened(service, "singular_spectra", starts, epoch=0).data()
    low, high = start["null"].values
    initial = start["singular_value"].sel(variant=name_of(service._workspace, "p23-s1-")).values
    known = np.isfinite(low)
    assert ((initial[known] > 0.7 * low[known]) & (initial[known] < 1.3 * high[known])).all()
    assert start["epoch"].values.tolist() == [0, 0]
    figure = opened(service, "singular_spectra", starts, ranks="12", scale="over their rms").raw()
    assert max(len(trace["x"]) for trace in figure["data"][1:]) == 12
