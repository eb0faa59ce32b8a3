"""Replicates: copies that differ by a minute change of the initial weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analyzers.replicates import first_difference, jaccard, spread, summary
from analyzers.service import AnalyzerService
from data import Workspace
from data.errors import BadParameter
from training.families import modular_addition as family
from training.replicates import replicate_records, replicates_of, train_replicates
from training.run import resume_variant, train_variant

SMALL = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}
ROOT = family.record(family.Params(p=11, seed=1), family.TrainingConfig(**SMALL))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


def test_copies_are_variants_of_their_own_with_histories_only(workspace):
    root = train_variant(workspace, family.NAME, dict(ROOT.params), dict(ROOT.config), 20, device="cpu")
    outcomes = train_replicates(workspace, root.record, 4, 1e-4, epochs=20, device="cpu")
    assert [outcome.error for outcome in outcomes] == [None] * 4
    copies = replicates_of(root)
    assert [copy.name for copy in copies] == [f"{root.name}-r{i:02d}-0.0001" for i in (1, 2, 3, 4)]
    assert len({copy.identity for copy in [root, *copies]}) == 5
    start = root.at(0).weights
    for number, copy in enumerate(copies, 1):
        assert copy.epochs == [0, 20]
        assert copy.history.sizes["epoch"] == 21
        assert copy.parent["epoch"] == 0
        assert copy.parent["change"] == {"perturb": 1e-4, "perturb_seed": number}
        assert copy.provenance["batch"]["variants"] == 4
        for name, weight in copy.at(0).weights.items():
            moved = (weight - start[name]).norm() / start[name].norm()
            assert moved.item() == pytest.approx(1e-4, rel=0.05), name
    assert not torch.equal(*(copy.at(0).weights["embed.W_E"] for copy in copies[:2]))
    found = summary(copies, AnalyzerService())
    assert found["variants"] == [copy.name for copy in copies]
    assert found["key_frequency_jaccard"] is None
    assert found["turn"]["completion"]["runs"] == 0


def test_the_same_copies_come_again_and_go_on(workspace, tmp_path):
    whole = train_replicates(workspace, ROOT, 2, 1e-3, epochs=30, device="cpu")
    other = Workspace(tmp_path / "other", create=True)
    train_replicates(other, ROOT, 2, 1e-3, epochs=10, device="cpu")
    for outcome in whole:
        longer = resume_variant(other[outcome.name], epochs=30, device="cpu")
        assert np.array_equal(longer.history["train_loss"], outcome.history["train_loss"])
    again = train_replicates(workspace, ROOT, 2, 1e-3, epochs=30, device="cpu", resume=True)
    assert [outcome.name for outcome in again] == [outcome.name for outcome in whole]


@pytest.mark.parametrize(
    ("copies", "relative", "message"),
    [
        (3, 0.0, "perturb=0.0 is out of range: 0 would train the same run again"),
        (3, -1e-6, "perturb=-1e-06"),
        (3, 0.5, "perturb=0.5"),
        (3, float("nan"), "perturb=nan"),
        (0, 1e-6, "replicates=0"),
        (1000, 1e-6, "replicates=1000"),
    ],
)
def test_copies_that_make_no_sense(copies, relative, message):
    with pytest.raises(BadParameter, match=message):
        replicate_records(ROOT, copies, relative)


def test_replicates_of_a_replicate_are_refused():
    with pytest.raises(BadParameter, match="is not a root variant"):
        replicate_records(replicate_records(ROOT, 1, 1e-6)[0], 1, 1e-6)


def test_where_losses_part():
    base = np.array([4.0, 3.0, 2.0, 1.0])
    assert first_difference([base, base]) is None
    assert first_difference([base, base * [1, 1, 1.009, 1.02]]) == 3
    assert first_difference([base, base, base * [1, 1.02, 1, 1]]) == 1
    assert first_difference([base, base[:2]]) is None
    assert first_difference([base]) is None


def test_thinned_histories_are_compared_where_both_have_epochs(workspace):
    epochs = np.arange(100)
    for name, slope, kept in (("one", 0.0, epochs % 2 == 0), ("other", 1e-3, epochs % 3 == 0)):
        variant = workspace.create_variant(replace(ROOT, name=name))
        loss = 4.0 * (1 + slope * np.maximum(epochs - 20, 0))
        variant.save_history({"epoch": epochs[kept], "train_loss": loss[kept], "test_loss": loss[kept]})
    found = summary(workspace.variants(), AnalyzerService())
    assert found["test_loss_parts"] == 30  # 1 % at 30, which is in both


def test_overlap_of_sets():
    assert jaccard([[1, 2], [2, 1]]) == 1
    assert jaccard([[1, 2], [3]]) == 0
    assert jaccard([[1, 2], [2, 3], [1, 2]]) == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert jaccard([[], []]) == 1
    assert jaccard([[1]]) is None


def test_spread():
    assert spread([]) is None
    assert spread([3.0]) == {"smallest": 3, "median": 3, "largest": 3, "deviation": 0}
    assert spread([1.0, 2.0, 6.0])["deviation"] == pytest.approx(np.std([1, 2, 6], ddof=1))
