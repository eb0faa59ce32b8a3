"""Choosing the checkpoints that tell the story of a run."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.replicates import summary
from analyzers.service import AnalyzerService
from data import Workspace
from data.errors import WorkbenchError
from data.workspace import SAMPLES
from training.forks import Change
from training.make_samples import FORK, candidates, main, make_fork, make_sample
from training.replicates import replicates_of
from training.run import resume_variant
from training.schedules import Schedule
from training.thinning import Thinning, choose_epochs, choose_few, thinned


def story(epochs: int, turn: float, width: float) -> np.ndarray:
    """A test loss that rises to 30, stays there, and falls to 1e-7 around the turn."""
    epoch = np.arange(epochs + 1)
    high, low = np.log(30.0), np.log(1e-7)
    level = np.log(4.7) + (high - np.log(4.7)) * (1 - np.exp(-epoch / 400))
    return np.exp(level + (low - high) / (1 + np.exp(np.clip((turn - epoch) / width, -50, 50))))


@pytest.mark.parametrize(("turn", "width"), [(8_000, 300), (10_200, 400), (11_200, 150)])
def test_the_choice_is_dense_where_the_loss_falls(turn, width):
    saved = candidates(25_000)
    loss = story(25_000, turn, width)
    chosen = choose_epochs(loss, saved, 25)
    assert len(chosen) == 25
    assert set(chosen) <= set(saved)
    assert chosen == sorted(chosen)
    assert {0, 100, 300, 1000, 25_000} <= set(chosen)
    falling = [epoch for epoch in chosen if 1e-6 < loss[epoch] < 25]
    assert len(falling) >= 10
    steps = -np.diff(np.log(loss[falling]))  # the whole way down is 19.5
    finest = np.max(-np.diff(np.log(loss[saved])))
    assert steps.max() < max(2.6, 1.01 * finest)
    assert sum(1000 < epoch < turn - 4 * width for epoch in chosen) >= 3  # the plateau
    assert sum(turn + 6 * width < epoch < 25_000 for epoch in chosen) >= 2  # and the time after


def test_a_second_peak_counts_only_if_it_is_the_highest():
    """A spike after the turn does not draw the choice away from the long fall."""
    loss = story(25_000, 9_000, 300)
    loss[20_000:20_050] = 0.5
    chosen = choose_epochs(loss, candidates(25_000), 25)
    assert sum(7_000 < epoch < 11_000 for epoch in chosen) >= 10


def test_fewer_epochs_are_spread_in_the_same_way():
    loss = story(25_000, 8_000, 300)
    chosen = choose_epochs(loss, candidates(25_000), 17)
    assert len(chosen) == 17
    assert {0, 100, 300, 1000, 25_000} <= set(chosen)
    assert sum(1e-6 < loss[epoch] < 25 for epoch in chosen) >= 6
    assert sum(1000 < epoch < 6_800 for epoch in chosen) >= 3
    assert sum(9_800 < epoch < 25_000 for epoch in chosen) >= 1


def test_a_run_that_never_turns_is_covered_evenly():
    saved = candidates(25_000)
    chosen = choose_epochs(story(25_000, 1e9, 300), saved, 25)
    assert len(chosen) == 25
    assert {0, 25_000} <= set(chosen)
    assert max(np.diff(chosen)) < 12_500


def test_fewer_candidates_than_wanted_are_all_kept():
    assert choose_epochs(np.full(9, 4.0), [0, 1, 2, 4, 8], 25) == [0, 1, 2, 4, 8]


def test_a_small_sample_is_complete(tmp_path):
    workspace = Workspace(tmp_path / "samples", create=True)
    name = make_sample(workspace, {"p": 5, "seed": 1}, epochs=300, device="cpu")
    variant = workspace[name]
    assert variant.epochs == candidates(300)
    assert variant.history["epoch"].values.tolist() == list(range(301))
    assert np.isfinite(variant.history.to_array()).all()
    assert variant.optimizer_epochs == []
    assert variant.provenance["plan"]["checkpoint_dtype"] == "float16"
    before = variant.token()
    assert resume_variant(variant).token() == before  # complete: nothing is done
    with pytest.raises(WorkbenchError, match="no training state"):
        resume_variant(variant, epochs=400)


def test_a_small_fork_keeps_its_start_its_schedule_and_its_end(tmp_path):
    workspace = Workspace(tmp_path / "samples", create=True)
    parent = workspace[make_sample(workspace, {"p": 5, "seed": 1}, epochs=120, device="cpu")]
    change = Change(lr_schedule=Schedule.parse("piecewise:20=3e-4,60=1e-3"))
    fork = workspace[make_fork(parent, 20, change, "cpu")]
    assert len(fork.epochs) == 6
    assert {20, 60, 120} <= set(fork.epochs)
    assert fork.at(20).path.stat().st_size == parent.at(16).path.stat().st_size  # float16
    assert fork.optimizer_epochs == []
    assert not (fork.path / "start.safetensors").exists()
    assert fork.provenance["start"]["compared"]["equal"] is True
    assert fork.provenance["kept"]["states"] == "removed"
    assert [other.name for other in parent.forks] == [fork.name]
    before = fork.token()
    assert resume_variant(fork).token() == before


def test_a_thinned_history_has_the_first_epochs_and_the_last():
    history = {"epoch": np.arange(1234), "lr": np.arange(1234) / 7}
    thin = thinned(history, Thinning(whole=500, every=100), also=[707])
    assert thin["epoch"].tolist() == [*range(501), 600, 700, 707, *range(800, 1234, 100), 1233]
    assert np.array_equal(thin["lr"], thin["epoch"] / 7)


def test_a_rounded_history_keeps_rates_and_seven_digits():
    history = {"epoch": np.arange(50), "lr": np.full(50, 1e-3), "test_loss": np.geomspace(1e-9, 30, 50)}
    thin = thinned(history, Thinning(whole=0, every=1, rounded=True))
    assert np.array_equal(thin["lr"], history["lr"])
    assert np.array_equal(thin["test_loss"], history["test_loss"].astype(np.float32))
    assert thin["test_loss"] == pytest.approx(history["test_loss"], rel=1e-7)
    assert not np.array_equal(thin["test_loss"], history["test_loss"])


def test_few_epochs_lie_on_the_way_down():
    loss = story(25_000, 9_000, 300)
    chosen = choose_few(loss, range(0, 25_001, 100), [100, 1500, 25_000], 6)
    assert len(chosen) == 6
    assert chosen[0] == 100
    falling = [epoch for epoch in chosen if 1e-6 < loss[epoch] < 25 and epoch > 1500]
    assert len(falling) == 3


def test_the_shipped_fork_and_replicates():
    workspace = Workspace(SAMPLES)
    root = workspace["p101-s999-d598"]
    copies = replicates_of(root)
    assert len(copies) == 16
    found = summary(copies, AnalyzerService())
    assert found["turn"]["memorised"]["epoch"] == pytest.approx(
        {"smallest": 263, "median": 267, "largest": 273, "deviation": 2.6}, abs=0.1
    )
    assert found["turn"]["completion"]["runs"] == 16
    assert (found["train_loss_parts"], found["test_loss_parts"]) == (104, 122)
    for copy in copies:
        late = copy.history["test_loss"].sel(epoch=slice(1000, None))
        assert 13_000 < int(late["epoch"][(late < 1).values.argmax()]) < 16_000
    fork = next(other for other in root.forks if other not in copies and other.epochs)
    assert fork.parent["change"] == FORK.to_json()
    assert fork.epochs[0] == fork.parent["epoch"] == 20
    assert len(fork.epochs) == 6
    lr = fork.history["lr"]
    assert [float(lr.sel(epoch=epoch)) for epoch in (19, 20, 1490, 1500)] == [1e-3, 1e-4, 1e-4, 1e-3]
    near = fork.history["test_loss"].sel(epoch=slice(0, 20)) / root.history["test_loss"].sel(
        epoch=slice(0, 20)
    )
    assert abs(near - 1).max() < 1e-3
    for variant in (*copies, fork):
        assert variant.provenance["device_name"] == "NVIDIA H200"
        assert variant.provenance["tf32"] is False
    size = sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file())
    assert size <= 40e6


def test_an_unknown_sample_is_named(tmp_path, capsys):
    assert main(["--workspace", str(tmp_path), "--only", "p7"]) == 1
    said = capsys.readouterr().err
    known = "fork, p101-s999-d598, p113-s485-d598, p113-s999-d598"
    assert f"no sample 'p7'; there is: {known}" in said
    assert main(["--workspace", str(tmp_path), "--only", "fork"]) == 1
    assert "the fork starts from p101-s999-d598, which is not there" in capsys.readouterr().err
