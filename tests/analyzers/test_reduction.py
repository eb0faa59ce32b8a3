"""Runs of which only the history, the summary and small results were kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analyzers import reduction
from analyzers.pipeline import analyze
from analyzers.planning import plan, status
from analyzers.reduction import RESULTS, reduce_variant, reduce_variants, size_of, why_not
from analyzers.registry import Registry, default_registry
from analyzers.replicates import summary
from analyzers.service import AnalyzerService
from data import Variant, Workspace, doctor
from data.errors import BadParameter, MissingArtifact, UnknownEpoch, WorkbenchError
from data.workspace import SAMPLES
from training.densify import densify
from training.forks import fork_variant
from training.replicates import replicates_of, train_replicates
from training.run import make_job, resume_variant, train_variant
from training.thinning import Thinning

EPOCHS, SAVED = 90, range(0, 91, 10)
HISTORY = Thinning(whole=20, every=20, rounded=True)


def copied(variant: Variant, path: Path) -> Variant:
    """The same in a workspace of its own."""
    shutil.copytree(variant.path, path / "variants" / variant.family / variant.name)
    return Workspace(path)[variant.name]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """A run of p = 5 that memorises and nothing more, every tenth epoch saved. Do not change it."""
    workspace = Workspace(tmp_path_factory.mktemp("trained") / "workspace", create=True)
    return train_variant(workspace, "modular_addition", {"p": 5, "seed": 1}, None, EPOCHS, list(SAVED), "cpu")


@pytest.fixture(scope="module")
def reduced(trained: Variant, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """The same, reduced. Do not change it."""
    variant = copied(trained, tmp_path_factory.mktemp("reduced"))
    reduce_variant(variant, 6, history=HISTORY)
    return variant.workspace[variant.name]


@pytest.fixture
def fresh(trained: Variant, tmp_path: Path) -> Variant:
    """The trained run, to be changed."""
    return copied(trained, tmp_path)


@pytest.fixture
def copy(reduced: Variant, tmp_path: Path) -> Variant:
    """The reduced run, to be changed."""
    return copied(reduced, tmp_path)


def test_what_is_left_is_what_a_full_analysis_finds(reduced, fresh):
    """The same run, analysed at the same epochs with its checkpoints in place, says the same numbers."""
    whole = fresh
    for epoch in set(whole.epochs) - set(reduced.removed):
        whole.drop_checkpoint(epoch)
    whole.save_history(
        {"epoch": reduced.history["epoch"].values, **{k: v.values for k, v in reduced.history.items()}}
    )
    assert analyze(whole).failures == []
    assert {epoch: whole.at(epoch).hash for epoch in whole.epochs} == reduced.removed
    service = AnalyzerService()
    for name in RESULTS:
        kept, made = service.read(reduced, name), service.read(whole, name)
        assert kept.equals(made), name
        assert kept.attrs.get("stale", "") == ""
    found, expected = service.summary(reduced), service.summary(whole)
    assert found["metrics"] == expected["metrics"]
    assert len(found["metrics"]) > 150
    for same in ("classification", "turn", "train_accuracy", "test_accuracy", "trained_epochs", "test_loss"):
        assert found[same] == expected[same], same
    learned = found["metrics"]["learned frequencies"]["text"]
    assert found["key_frequencies"] == ([] if learned == "none" else [int(k) for k in learned.split(", ")])


def test_only_history_record_and_results_are_left(reduced):
    assert reduced.epochs == reduced.optimizer_epochs == []
    assert sorted(path.name for path in reduced.path.iterdir()) == [
        "artifacts",
        "history.zarr.zip",
        "variant.json",
    ]
    assert sorted(name for _, name, _, _ in reduced.artifacts.listing()) == sorted(RESULTS)
    assert reduced.history["epoch"].values.tolist() == sorted({*range(21), 40, 60, 80, 90, *reduced.removed})
    assert len(reduced.removed) == 6
    assert {0, EPOCHS} <= set(reduced.removed)
    assert reduced.provenance["kept"]["history"].startswith("every epoch to 20, then one in 20")
    assert reduced.provenance["plan"]["checkpoints"] == list(reduced.removed)
    assert size_of(reduced.path) < 120_000


def test_it_is_neither_stale_nor_damaged_and_is_left_alone(reduced):
    assert [state.analyzer for state in status(reduced)] == ["turn"]
    assert status(reduced)[0].complete
    assert plan(reduced) == []
    before = reduced.token(), reduced.artifacts.listing()
    report = analyze(reduced)
    assert report.computed == {}
    assert "6 checkpoints were removed after they had been measured: 8 results are kept" in str(report)
    assert (reduced.token(), reduced.artifacts.listing()) == before
    with pytest.raises(BadParameter, match="run_summary looks at the whole run, and 6 checkpoints"):
        analyze(reduced, ["run_summary"])
    reduced.workspace.catalog.refresh()
    assert doctor.examine(reduced.workspace) == []
    assert resume_variant(reduced).token() == before[0]  # complete


def test_its_metrics_are_in_the_catalog(reduced):
    reduced.workspace.catalog.refresh()
    found = reduced.workspace.catalog.metrics(variants=[reduced.name])
    listed = {metric.name: metric.value for metric in found}
    metrics = AnalyzerService().summary(reduced)["metrics"]
    assert listed.keys() == metrics.keys()
    assert all(listed[name] == metric["value"] for name, metric in metrics.items())


def test_what_was_not_kept_and_weights_are_named_as_missing(reduced):
    with pytest.raises(MissingArtifact, match="neuron_frequencies has not been computed"):
        AnalyzerService().read(reduced, "neuron_frequencies")
    with pytest.raises(UnknownEpoch, match="no checkpoints any more: its 6 were removed, their results kept"):
        reduced.at(10)


def test_a_view_of_time_is_drawn_and_one_of_an_epoch_is_not(reduced):
    drawn = reduced.view("gini").data()
    assert drawn["epoch"].values.tolist() == list(reduced.removed)
    with pytest.raises(UnknownEpoch):
        reduced.view("neuron_map", epoch=10, neuron=3)


def test_it_can_be_forked_and_replayed(copy):
    fork = fork_variant(copy, 85, epochs=88, device="cpu")
    assert fork.epochs[-1] == 88
    assert float(fork.history["test_loss"].sel(epoch=80)) == pytest.approx(
        float(copy.history["test_loss"].sel(epoch=80)), rel=1e-6
    )


def test_a_checkpoint_that_is_added_again_is_measured_and_the_summary_stands(copy):
    service = AnalyzerService()
    before = service.read(copy, "run_summary")
    densify(copy, [50, EPOCHS], "cpu", force=True)
    assert copy.at(EPOCHS).hash == copy.removed[EPOCHS]  # the replay is exact
    report = analyze(copy, ["gini", "weight_norms"])
    assert report.failures == []
    assert "5 checkpoints were removed" in report.note
    found = service.read(copy, "weight_norms")
    assert found["epoch"].values.tolist() == sorted({*copy.removed, 50})
    assert np.isfinite(found["total"]).all()
    assert service.read(copy, "run_summary").identical(before)
    assert not any(task.analyzer == "run_summary" for task in plan(copy))


def test_results_of_an_older_version_stand_where_they_cannot_be_made_again(reduced, fresh):
    newer = Registry(
        replace(one, version=2) if one.name in ("weight_norms", "run_summary") else one
        for one in default_registry()
    )
    service = AnalyzerService(newer)
    for name in ("weight_norms", "run_summary"):
        assert service.read(reduced, name).attrs["version"] == 1
        assert service.token(reduced, name)
    assert len(service.summary(reduced)["metrics"]) > 150
    analyze(fresh, ["weight_norms"])
    with pytest.raises(MissingArtifact, match="made by another version"):
        service.read(fresh, "weight_norms")  # it can be made again


def test_a_damaged_result_of_it_is_put_aside_and_not_promised_again(copy):
    (_, name, key, _) = copy.artifacts.listing()[0]
    copy.artifacts.path("grid", name, key).write_bytes(b"PK")
    (finding,) = [one for one in doctor.examine(copy.workspace) if one.subject == copy.name]
    assert finding.mend == "put aside"
    assert "restore it from a copy" in finding.remedy


def test_an_interrupted_reduction_can_be_repeated(fresh, monkeypatch, reduced):
    variant = fresh
    monkeypatch.setattr(reduction, "analyze", lambda variant: analyze(variant, ["gini"]))
    note = reduction._note_removal

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reduction, "_note_removal", stopped)
    with pytest.raises(KeyboardInterrupt):
        reduce_variant(variant, 6, history=HISTORY)
    again = variant.workspace[variant.name]
    assert len(again.epochs) == 6
    monkeypatch.setattr(reduction, "_note_removal", note)
    reduce_variant(again, 6, history=HISTORY)
    again = variant.workspace[variant.name]
    assert again.removed == reduced.removed
    assert again.epochs == again.optimizer_epochs == []
    ours, theirs = (AnalyzerService().read(one, "gini") for one in (again, reduced))
    assert ours.equals(theirs)


def test_what_cannot_be_reduced_says_why(reduced, fresh):
    assert "is reduced already" in why_not(reduced)
    with pytest.raises(BadParameter, match="is reduced already: its 6 checkpoints were removed"):
        reduce_variant(reduced)
    variant = fresh
    with pytest.raises(BadParameter, match="checkpoints=1 is too few"):
        reduce_variant(variant, 1)
    with pytest.raises(BadParameter, match="no analyzer 'ginni'"):
        reduce_variant(variant, results=["ginni"])
    variant.drop_optimizer(EPOCHS)
    assert "is not trained to its end; `tdw resume" in why_not(variant)
    variant.record = replace(variant.record, provenance={})
    assert "has no training plan" in why_not(variant)
    empty = variant.workspace.create_variant(make_job("modular_addition", {"p": 7, "seed": 1}).record)
    assert "has no checkpoints" in why_not(empty)
    assert variant.epochs == list(SAVED)


def test_several_at_once_in_processes_and_one_that_fails_is_named(fresh):
    fresh.drop_optimizer(EPOCHS)
    done = []
    failed = reduce_variants(fresh.workspace, [fresh.name, "gone"], workers=2, on_done=done.append)
    assert done == []
    assert "is not trained to its end" in failed[fresh.name]
    assert "no variant 'gone'" in failed["gone"]


def test_replicates_keep_their_perturbed_start_in_the_seed(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path / "workspace", create=True)
    root = make_job("modular_addition", {"p": 5, "seed": 1}).record
    train_replicates(workspace, root, 1, 1e-6, 60, device="cpu")
    (variant,) = workspace.variants()
    monkeypatch.setattr(reduction, "analyze", lambda variant: analyze(variant, ["turn"]))
    reduce_variant(variant, 2, ("turn",))
    assert not (variant.path / "start.safetensors").exists()
    fork = fork_variant(workspace[variant.name], 50, epochs=55, device="cpu")
    assert np.isfinite(fork.history["test_loss"]).all()


# --- the shipped ones ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("shipped") / "workspace", create=True)
    workspace.add_samples()
    workspace.catalog.refresh()
    return workspace


def test_the_shipped_sweep_is_a_whole_grid_with_metrics(shipped):
    roots = [variant for variant in shipped.variants() if variant.parent is None]
    grid = {tuple(variant.params[name] for name in ("p", "seed", "data_seed")) for variant in roots}
    assert grid == {
        *(
            (p, s, d)
            for p in (97, 101, 103, 107, 109, 113, 127)
            for s in (0, 1, 2, 999)
            for d in (598, 599, 600)
        ),
        (113, 485, 598),
    }
    turned = shipped.catalog.metrics(["turn, confidence", "test accuracy, final", "memorised"])
    assert (
        len({metric.variant for metric in turned if metric.value is not None}) == len(shipped.names()) == 102
    )
    never = {one.variant for one in shipped.catalog.where("last test loss", at_least=1)}
    assert never == {"p101-s0-d598", "p101-s0-d600", "p109-s999-d600", "p97-s0-d599", "p97-s1-d598"}


def test_a_shipped_run_without_checkpoints_can_be_read_by_the_instruments_of_today(shipped):
    service = AnalyzerService()
    for name in ("p97-s0-d598", "p127-s999-d600"):
        variant = shipped[name]
        assert len(variant.removed) == 25
        for result in RESULTS:
            found = service.read(variant, result)
            assert found.attrs["stale" if "stale" in found.attrs else "variant"] in ("", variant.identity)
            if "epoch" in found.dims:
                assert found["epoch"].values.tolist() == list(variant.removed)
        made = variant.provenance
        assert (made["device_name"], made["dtype"], made["tf32"]) == ("NVIDIA H200", "float32", False)
        assert made["batch"]["variants"] == 12
        assert made["torch"].startswith("2.11")


def test_shipped_losses_agree_with_what_was_measured_on_the_weights(shipped):
    """History and results come from different code: the training kernels, and the instruments in float64."""
    variant = shipped["p113-s999-d600"]
    measured = AnalyzerService().read(variant, "logits_summary")["loss"]
    for split in ("train", "test"):
        recorded = variant.history[f"{split}_loss"].sel(epoch=list(variant.removed))
        early = recorded["epoch"].values < 5000  # later losses are at the limit of float32
        np.testing.assert_allclose(measured.sel(split=split)[early], recorded[early], rtol=1e-4)


def test_the_shipped_replicates_share_what_the_seed_fixes(shipped):
    found = summary(replicates_of(shipped["p101-s999-d598"]), AnalyzerService())
    assert found["turn"]["memorised"]["epoch"]["deviation"] < 4
    assert 0.3 < found["key_frequency_jaccard"] < 1
    sizes = [size_of(path) for path in (SAMPLES / "variants" / "modular_addition").iterdir()]
    assert sorted(sizes)[:98][-1] < 150_000


def test_failures_of_an_instrument_keep_the_checkpoints(fresh, monkeypatch):
    variant = fresh

    class Failed:
        failures = ("gini: broken",)

    monkeypatch.setattr(reduction, "analyze", lambda _: Failed())
    with pytest.raises(WorkbenchError, match="1 results could not be computed: gini: broken"):
        reduce_variant(variant, 6, history=HISTORY)
    assert len(variant.epochs) == 6
    assert why_not(variant) == ""
