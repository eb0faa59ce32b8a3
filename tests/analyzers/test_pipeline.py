"""What is computed, when again, and what happens when something goes wrong half-way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from tiny_model import random_weights

from analyzers import pipeline
from analyzers.features import Features
from analyzers.registry import Analyzer, Output, Registry, analyzer, default_registry
from analyzers.service import AnalyzerService
from data import Variant
from data.errors import BadParameter, MissingArtifact, WorkbenchError

SHIPPED = (
    "embedding_fourier",
    "key_frequencies",
    "logits_summary",
    "neuron_clusters",
    "neuron_frequencies",
    "neuron_map",
    "parameter_pca",
    "turn",
)
SMALL = Registry(default_registry().get(name) for name in SHIPPED)
STORED = [found.name for found in SMALL if found.stored]
PER_EPOCH = [found.name for found in SMALL.ordered(STORED) if found.scope == "checkpoint"]

analyze = partial(pipeline.analyze, registry=SMALL)
plan = partial(pipeline.plan, registry=SMALL)
status = partial(pipeline.status, registry=SMALL)


def instrument(name: str, compute: Callable[..., Any], **declared: Any) -> Analyzer:
    return analyzer(
        **{
            "name": name,
            "version": 1,
            "scope": "checkpoint",
            "kind": "weights",
            "title": name,
            "outputs": {"value": Output((), "float64", "Value", "1")},
            "formula": "-",
            "source": "-",
            "protocol": "-",
            **declared,
        }
    )(compute)


def mean_embedding(features: Features) -> dict[str, Any]:
    return {"value": features.W_E.mean()}


def test_everything_is_planned_computed_once_and_then_left_alone(variant: Variant) -> None:
    tasks = plan(variant)
    assert [task.analyzer for task in tasks] == [found.name for found in SMALL.ordered(STORED)]
    assert all(task.reason == "not computed yet" for task in tasks)
    events: list[pipeline.Progress] = []
    report = analyze(variant, on_progress=events.append)
    assert report.failures == []
    assert report.computed == {name: 4 if name in PER_EPOCH else 1 for name in STORED}
    assert [event.done for event in events] == list(range(1, events[-1].total + 1))
    assert events[-1].total == 4 * len(PER_EPOCH) + 2
    assert plan(variant) == []
    assert all(found.complete and not found.stale_reason for found in status(variant))
    again = analyze(variant)
    assert again.computed == {}
    assert again.skipped == report.computed


def test_named_analyzers_bring_what_they_need(variant: Variant) -> None:
    report = analyze(variant, ["neuron_clusters"])
    assert set(report.computed) == {"neuron_frequencies", "neuron_clusters"}


def test_only_new_epochs_are_computed_and_trajectories_follow(variant: Variant) -> None:
    analyze(variant)
    variant.save_checkpoint(200, random_weights(11, seed=7))
    tasks = {task.analyzer: task for task in plan(variant)}
    assert {task.epochs for name, task in tasks.items() if name in PER_EPOCH} == {(200,)}
    assert tasks["parameter_pca"].reason == "the run has changed since"
    assert "turn" not in tasks
    service = AnalyzerService()
    assert service.read(variant, "parameter_pca").attrs["stale"]
    report = analyze(variant)
    assert report.computed == {**dict.fromkeys(PER_EPOCH, 1), "parameter_pca": 1}
    assert service.read(variant, "neuron_clusters")["epoch"].values.tolist() == [0, 10, 30, 100, 200]
    assert service.read(variant, "parameter_pca")["epoch"].values.tolist() == [0, 10, 30, 100, 200]
    assert service.read(variant, "parameter_pca").attrs["stale"] == ""


def test_a_changed_checkpoint_makes_its_epoch_stale_and_no_other(variant: Variant) -> None:
    analyze(variant)
    service = AnalyzerService()
    before = service.read(variant, "embedding_fourier")
    token = service.token(variant, "embedding_fourier")
    variant.save_checkpoint(30, random_weights(11, seed=8))
    assert service.token(variant, "embedding_fourier") != token
    assert service.read(variant, "embedding_fourier")["epoch"].values.tolist() == [0, 10, 100]
    tasks = {task.analyzer: task for task in plan(variant)}
    assert tasks["embedding_fourier"].epochs == (30,)
    assert tasks["embedding_fourier"].reason == "checkpoints have changed since"
    analyze(variant)
    after = service.read(variant, "embedding_fourier")
    assert after["epoch"].values.tolist() == [0, 10, 30, 100]
    assert not np.allclose(after["W_E_norm"].sel(epoch=30), before["W_E_norm"].sel(epoch=30))
    others = [0, 10, 100]
    np.testing.assert_array_equal(after["W_E_norm"].sel(epoch=others), before["W_E_norm"].sel(epoch=others))


def test_a_new_history_makes_the_turn_stale(variant: Variant) -> None:
    analyze(variant)
    t = np.arange(0, 500, 10)
    variant.save_history({"epoch": t, "test_loss": np.full(50, 5.0), "train_loss": np.full(50, 1e-4)})
    assert [task.analyzer for task in plan(variant)] == ["turn"]
    analyze(variant)
    assert AnalyzerService().read(variant, "turn").attrs["verdict"] == "never"


def test_a_new_version_replaces_the_old_result_when_it_is_complete(variant: Variant) -> None:
    old = Registry([instrument("mean", mean_embedding)])
    new = Registry([replace(old.get("mean"), version=2)])
    analyze(variant, registry=old)
    assert plan(variant, registry=new)[0].reason == "what is stored was made by another version"
    with pytest.raises(MissingArtifact, match="another version"):
        AnalyzerService(new).read(variant, "mean")
    analyze(variant, registry=new)
    assert variant.artifacts.keys("grid", "mean") == [new.key("mean")]


def test_parameters_have_artifacts_of_their_own(variant: Variant) -> None:
    analyze(variant)
    report = analyze(variant, ["neuron_clusters"], parameters={"neuron_clusters": {"threshold": 0.2}})
    assert report.computed == {"neuron_clusters": 4}
    service = AnalyzerService()
    loose = service.read(variant, "neuron_clusters", threshold=0.2)
    strict = service.read(variant, "neuron_clusters")
    assert int(loose["size"].sum()) > int(strict["size"].sum())
    with pytest.raises(MissingArtifact):
        service.read(variant, "neuron_clusters", threshold=0.3)


def test_stopping_keeps_what_is_finished_and_the_next_run_does_the_rest(variant: Variant) -> None:
    answers = iter([False, False, True])
    report = analyze(variant, should_stop=lambda: next(answers))
    assert report.cancelled
    assert "stopped" in str(report)
    assert report.computed == dict.fromkeys(PER_EPOCH, 2)
    assert AnalyzerService().read(variant, "neuron_clusters")["epoch"].values.tolist() == [0, 100]
    rest = analyze(variant)
    assert rest.computed == {name: 2 if name in PER_EPOCH else 1 for name in STORED}
    assert not rest.cancelled


@pytest.mark.parametrize(("first", "done"), [((), [100]), ((10,), [10]), ((7, 0), [0])])
def test_the_epoch_that_is_looked_at_is_done_first_else_the_last(
    variant: Variant, first: tuple[int, ...], done: list[int]
) -> None:
    answers = iter([False, True])
    analyze(variant, should_stop=lambda: next(answers), first=first)
    assert AnalyzerService().read(variant, "neuron_clusters")["epoch"].values.tolist() == done


def test_a_resumed_analysis_equals_one_in_one_go(make_variant: Callable[..., Variant]) -> None:
    variant = make_variant()
    service = AnalyzerService()
    analyze(variant)
    whole = {name: service.read(variant, name) for name in STORED}
    for name in STORED:
        for key in variant.artifacts.keys("grid", name):
            variant.artifacts.drop("grid", name, key)
    answers = iter([False, True])
    analyze(variant, should_stop=lambda: next(answers))
    analyze(variant)
    for name in STORED:
        assert service.read(variant, name).identical(whole[name]), name


def test_a_kill_between_commits_leaves_whole_epochs(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "BATCH_EPOCHS", 1)

    class Killed(BaseException):
        pass

    def kill(event: pipeline.Progress) -> None:
        if event.epoch == 30 and event.analyzer == PER_EPOCH[1]:
            raise Killed

    with pytest.raises(Killed):
        analyze(variant, on_progress=kill)
    for name in PER_EPOCH:
        epochs = AnalyzerService().read(variant, name)["epoch"].values.tolist()
        assert epochs[:2] == [0, 10]
    assert analyze(variant).failures == []
    assert plan(variant) == []


def test_one_failing_instrument_does_not_stop_the_others(variant: Variant) -> None:
    def fragile(features: Features) -> dict[str, Any]:
        if features.needs["mean"]["value"] == value_at_10:
            raise ZeroDivisionError("the middle is empty")
        return {"value": 1.0}

    value_at_10 = float(variant.at(10).weights["embed.W_E"][:11].double().mean())
    registry = Registry(
        [
            instrument("mean", mean_embedding),
            instrument("fragile", fragile, needs=("mean",)),
            instrument("after", lambda features: features.needs["fragile"], needs=("fragile",)),
            instrument("shapeless", lambda features: {"value": np.zeros(3)}),
            instrument("silent", lambda features: {}),
        ]
    )
    report = analyze(variant, registry=registry)
    failed = {(failure.analyzer, failure.epoch): failure.cause for failure in report.failures}
    assert failed["fragile", 10] == "ZeroDivisionError: the middle is empty"
    assert failed["after", 10] == "it needs fragile, which failed at this epoch."
    assert "declares ()" in failed["shapeless", 0]
    assert "did not return 'value'" in failed["silent", 100]
    assert report.failures[0].variant == variant.name
    assert report.computed == {"mean": 4, "fragile": 3, "after": 3}
    assert [task.epochs for task in plan(variant, registry=registry)][:2] == [(10,), (10,)]


def test_a_damaged_checkpoint_is_reported_once_and_the_others_are_analysed(variant: Variant) -> None:
    path = variant.at(30).path
    intact = path.read_bytes()
    path.write_bytes(intact[:200])
    report = analyze(variant)
    assert [(failure.analyzer, failure.epoch) for failure in report.failures] == [("checkpoint", 30)]
    assert "damaged" in report.failures[0].cause
    assert report.computed == {name: 3 if name in PER_EPOCH else 1 for name in STORED}
    assert AnalyzerService().read(variant, "parameter_pca")["epoch"].values.tolist() == [0, 10, 100]
    path.write_bytes(intact)
    report = analyze(variant)
    assert report.failures == []
    assert report.computed == {**dict.fromkeys(PER_EPOCH, 1), "parameter_pca": 1}


def test_nan_weights_give_nan_results_and_no_failure(variant: Variant) -> None:
    weights = random_weights(11)
    weights["unembed.W_U"][0, 0] = float("nan")
    variant.save_checkpoint(150, weights)
    assert analyze(variant).failures == []
    service = AnalyzerService()
    last = service.read(variant, "logits_summary").sel(epoch=150)
    assert np.isnan(last["loss"]).all()
    assert service.summary(variant)["test_accuracy"] is None
    assert np.isfinite(service.read(variant, "neuron_frequencies").sel(epoch=150)["fraction"]).all()


def test_a_damaged_artifact_is_computed_again(variant: Variant) -> None:
    analyze(variant, ["embedding_fourier"])
    path = variant.artifacts.path("grid", "embedding_fourier", SMALL.key("embedding_fourier"))
    path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in plan(variant, ["embedding_fourier"])[0].reason
    assert analyze(variant, ["embedding_fourier"]).computed == {"embedding_fourier": 4}
    assert plan(variant, ["embedding_fourier"]) == []


def test_an_artifact_of_another_variant_is_not_used(make_variant: Callable[..., Variant]) -> None:
    one, two = make_variant(seed=1), make_variant(seed=2)
    analyze(one, ["turn"])
    key = SMALL.key("turn")
    two.artifacts.replace("grid", "turn", key, one.artifacts.read("grid", "turn", key))
    assert "another variant" in plan(two, ["turn"])[0].reason
    with pytest.raises(MissingArtifact):
        AnalyzerService().read(two, "turn")


def test_impossible_requests_are_refused(variant: Variant) -> None:
    with pytest.raises(BadParameter, match="no analyzer 'nothing'"):
        analyze(variant, ["nothing"])
    with pytest.raises(BadParameter, match="neuron_map is computed whenever"):
        analyze(variant, ["neuron_map"])
    with pytest.raises(BadParameter, match="no probe 'half'"):
        analyze(variant, probe="half")


def test_each_checkpoint_is_read_once_for_all_instruments(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    kind = type(variant.at(0))
    weights = kind.weights

    def counted(checkpoint: Any) -> Any:
        reads.append(checkpoint.epoch)
        return weights.__get__(checkpoint)

    monkeypatch.setattr(kind, "weights", property(counted))
    analyze(variant, PER_EPOCH)
    assert reads == [100, 0, 10, 30]  # the last one is looked at most


# --- other processes -------------------------------------------------------------------------------------


def results(variant: Variant) -> dict[str, Any]:
    service = AnalyzerService()
    return {name: service.read(variant, name) for name in STORED}


def test_workers_give_the_same_results_and_only_this_process_writes(
    make_variant: Callable[..., Variant],
) -> None:
    variant = make_variant()
    analyze(variant, STORED)
    alone = results(variant)
    for name in STORED:
        for key in variant.artifacts.keys("grid", name):
            variant.artifacts.drop("grid", name, key)
    events: list[pipeline.Progress] = []
    with ThreadPoolExecutor(2) as executor:
        report = pipeline.analyze(variant, STORED, on_progress=events.append, executor=executor)
    assert report.failures == []
    assert report.computed == {name: 4 if name in PER_EPOCH else 1 for name in STORED}
    assert [event.done for event in events] == list(range(1, events[-1].total + 1))
    for name, dataset in results(variant).items():
        assert dataset.identical(alone[name]), name


def test_a_process_pool_of_ones_own(variant: Variant) -> None:
    report = pipeline.analyze(variant, ["key_frequencies"], workers=2)
    assert report.failures == []
    assert report.computed["key_frequencies"] == 4
    assert AnalyzerService().read(variant, "key_frequencies")["epoch"].values.tolist() == [0, 10, 30, 100]


def test_workers_report_damage_and_stop_on_request(variant: Variant) -> None:
    path = variant.at(30).path
    path.write_bytes(path.read_bytes()[:200])
    with ThreadPoolExecutor(2) as executor:
        report = pipeline.analyze(variant, ["embedding_fourier"], executor=executor)
        assert [(failure.analyzer, failure.epoch) for failure in report.failures] == [("checkpoint", 30)]
        assert report.computed == {"embedding_fourier": 3}
        stopped = pipeline.analyze(variant, ["logits_summary"], executor=executor, should_stop=lambda: True)
        assert stopped.cancelled
        assert stopped.computed == {}


def test_a_lost_worker_is_said_in_plain_words(variant: Variant) -> None:
    class Lost(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("gone"))
            return future

    with pytest.raises(WorkbenchError, match="fewer workers"):
        pipeline.analyze(variant, ["embedding_fourier"], executor=Lost())


def test_workers_know_the_shipped_instruments_only(variant: Variant) -> None:
    with pytest.raises(BadParameter, match="instruments that ship"):
        analyze(variant, workers=2)


def test_parameters_of_what_others_need_are_refused(variant: Variant) -> None:
    with pytest.raises(BadParameter, match="analyse neuron_clusters alone"):
        analyze(variant, ["key_frequencies"], parameters={"neuron_clusters": {"threshold": 0.2}})
