"""Choosing the checkpoints that tell the story of a run."""

from __future__ import annotations

import numpy as np
import pytest

from data import Workspace
from data.errors import WorkbenchError
from training.make_samples import candidates, choose_epochs, main, make_sample
from training.run import resume_variant


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
    chosen = choose_epochs(loss, saved)
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
    chosen = choose_epochs(loss, candidates(25_000))
    assert sum(7_000 < epoch < 11_000 for epoch in chosen) >= 10


def test_a_run_that_never_turns_is_covered_evenly():
    saved = candidates(25_000)
    chosen = choose_epochs(story(25_000, 1e9, 300), saved)
    assert len(chosen) == 25
    assert {0, 25_000} <= set(chosen)
    assert max(np.diff(chosen)) < 12_500


def test_fewer_candidates_than_wanted_are_all_kept():
    assert choose_epochs(np.full(9, 4.0), [0, 1, 2, 4, 8]) == [0, 1, 2, 4, 8]


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


def test_an_unknown_sample_is_named(tmp_path, capsys):
    assert main(["--workspace", str(tmp_path), "--only", "p7"]) == 1
    assert (
        "no sample 'p7'; there is: p101-s999-d598, p113-s485-d598, p113-s999-d598" in capsys.readouterr().err
    )
