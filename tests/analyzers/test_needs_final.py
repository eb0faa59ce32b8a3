"""Results of the last checkpoint, applied to every epoch: when they come, and what they make stale."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from test_pipeline import instrument
from tiny_model import random_weights

from analyzers import pipeline
from analyzers.features import Features
from analyzers.planning import thinned
from analyzers.registry import Output, Registry
from analyzers.service import AnalyzerService
from data import Variant
from data.errors import MissingArtifact, WorkbenchError


def sign(features: Features) -> dict[str, Any]:
    """+1 or -1: many different weights have the same."""
    return {"value": np.sign(features.weight("unembed.W_U")[0, 0])}


def applied(features: Features) -> dict[str, Any]:
    return {"value": features.final("sign", "value") * features.W_E.std()}


REGISTRY = Registry(
    [
        instrument("plain", lambda features: {"value": features.W_E.std()}),
        instrument("applied", applied, needs_final=("sign",)),
        instrument(
            "after", lambda features: {"value": features.need("applied", "value")}, needs=("applied",)
        ),
        instrument("sign", sign),
        instrument(
            "path",
            lambda run: {"value": float(run.artifact("applied")["value"].sum())},
            scope="trajectory",
            needs=("applied",),
        ),
    ]
)
analyze = partial(pipeline.analyze, registry=REGISTRY)
plan = partial(pipeline.plan, registry=REGISTRY)


def weights_with(sign: float, seed: int = 5) -> dict[str, torch.Tensor]:
    weights = random_weights(11, seed=seed)
    weights["unembed.W_U"][0, 0] = sign
    return weights


def values(variant: Variant, name: str) -> dict[int, float]:
    found = AnalyzerService(REGISTRY).read(variant, name)["value"]
    return dict(zip(found["epoch"].values.tolist(), found.values.tolist(), strict=True))


@pytest.fixture
def run(variant: Variant) -> Variant:
    """Epochs 0, 10, 30, 100, the last of sign -1, the others of sign +1."""
    for epoch in variant.epochs:
        variant.save_checkpoint(epoch, weights_with(-1.0 if epoch == 100 else 1.0, seed=epoch))
    return variant


def test_the_last_checkpoint_decides_for_every_epoch(run: Variant) -> None:
    events: list[pipeline.Progress] = []
    report = analyze(run, on_progress=events.append)
    assert report.failures == []
    assert report.computed == {"plain": 4, "sign": 4, "applied": 4, "after": 4, "path": 1}
    plain = values(run, "plain")
    assert values(run, "applied") == {epoch: -value for epoch, value in plain.items()}
    assert values(run, "after") == values(run, "applied")
    assert [event.done for event in events] == list(range(1, 18))
    assert {event.total for event in events} == {17}
    assert (events[0].analyzer, events[0].epoch) == ("sign", 100)
    assert plan(run) == []
    again = analyze(run)
    assert again.computed == {}
    assert again.skipped == report.computed


def test_another_last_result_makes_all_epochs_stale_and_nothing_else(run: Variant) -> None:
    analyze(run)
    run.save_checkpoint(200, weights_with(1.0))
    service = AnalyzerService(REGISTRY)
    with pytest.raises(MissingArtifact):  # until it is known what the new last checkpoint says
        service.read(run, "applied")
    tasks = {task.analyzer: task for task in plan(run)}
    assert tasks["applied"].epochs == (0, 10, 30, 100, 200)
    assert "the result of sign at the last checkpoint" in tasks["applied"].reason
    assert tasks["plain"].epochs == (200,)
    report = analyze(run)
    assert report.computed == {"plain": 1, "sign": 1, "applied": 5, "after": 5, "path": 1}
    assert (
        report.skipped == {"plain": 4, "sign": 4, "applied": 4, "after": 4} or "applied" not in report.skipped
    )
    assert values(run, "applied") == values(run, "plain")


def test_a_longer_run_that_ends_the_same_computes_new_epochs_only(run: Variant) -> None:
    analyze(run)
    before = values(run, "applied")
    run.save_checkpoint(200, weights_with(-1.0))
    events: list[pipeline.Progress] = []
    report = analyze(run, on_progress=events.append)
    assert report.computed == {"plain": 1, "sign": 1, "applied": 1, "after": 1, "path": 1}
    assert report.skipped["applied"] == 4
    assert [event.done for event in events] == [1, 2, 3, 4, 5]
    assert events[0].total > events[-1].total == 5
    assert {**before, 200: values(run, "applied")[200]} == values(run, "applied")


def test_a_changed_last_checkpoint_counts_as_another_result(run: Variant) -> None:
    analyze(run)
    run.save_checkpoint(100, weights_with(1.0))
    report = analyze(run)
    assert report.computed == {"plain": 1, "sign": 1, "applied": 4, "after": 4, "path": 1}
    assert values(run, "applied") == values(run, "plain")


def test_a_lost_last_result_is_found_again_without_recomputing_what_follows_from_it(run: Variant) -> None:
    analyze(run)
    run.artifacts.drop("grid", "sign", REGISTRY.key("sign"))
    report = analyze(run)
    assert report.computed == {"sign": 4}
    assert plan(run) == []


def test_stopping_and_going_on_equals_one_go(run: Variant) -> None:
    analyze(run)
    whole = {name: values(run, name) for name in ("plain", "sign", "applied", "after")}
    for name in (*whole, "path"):
        run.artifacts.drop("grid", name, REGISTRY.key(name))
    assert analyze(run, should_stop=lambda: True).computed == {}
    answers = iter([False, True])  # the last checkpoint, then stop
    report = analyze(run, should_stop=lambda: next(answers))
    assert report.cancelled
    assert report.computed == {"sign": 1}
    answers = iter([False, False, True])
    report = analyze(run, should_stop=lambda: next(answers))
    assert report.cancelled
    assert report.computed == {"plain": 2, "sign": 1, "applied": 2, "after": 2}  # the last comes first
    assert analyze(run).failures == []
    assert {name: values(run, name) for name in whole} == whole


def test_a_damaged_last_checkpoint_is_said_once_per_instrument(run: Variant) -> None:
    path = run.at(100).path
    intact = path.read_bytes()
    path.write_bytes(intact[:100])
    events: list[pipeline.Progress] = []
    report = analyze(run, on_progress=events.append)
    found = {(failure.analyzer, failure.epoch): failure.cause for failure in report.failures}
    assert set(found) == {("checkpoint", 100), ("applied", 100), ("after", 100), ("path", None)}
    assert "applies sign of the last checkpoint" in found["after", 100]
    assert report.computed == {"plain": 3, "sign": 3}
    assert events[-1].done == events[-1].total
    path.write_bytes(intact)
    assert analyze(run).failures == []
    assert values(run, "applied")[0] == -values(run, "plain")[0]


def test_an_instrument_that_fails_at_the_last_checkpoint_is_run_there_once(run: Variant) -> None:
    calls: list[float] = []

    def fragile(features: Features) -> dict[str, Any]:
        calls.append(features.weight("unembed.W_U")[0, 0])
        if calls[-1] < 0:
            raise ZeroDivisionError("minus")
        return {"value": 1.0}

    registry = Registry(
        [instrument("fragile", fragile), instrument("user", lambda features: {}, needs_final=("fragile",))]
    )
    report = pipeline.analyze(run, registry=registry)
    assert [(failure.analyzer, failure.epoch) for failure in report.failures] == [
        ("fragile", 100),
        ("user", 100),
    ]
    assert report.computed == {"fragile": 3}
    assert sum(call < 0 for call in calls) == 1


def test_on_demand_uses_the_last_checkpoint_too(run: Variant) -> None:
    service = AnalyzerService(REGISTRY)
    now = service.on_demand(run, 10, "after")["value"].item()
    analyze(run)
    assert now == values(run, "after")[10]
    token = service.token(run, "after")
    run.save_checkpoint(100, weights_with(1.0))
    assert service.token(run, "after") != token
    assert service.on_demand(run, 10, "after")["value"].item() == -now


def test_a_run_without_checkpoints_has_nothing_to_do(run: Variant) -> None:
    for epoch in run.epochs:
        run.at(epoch).path.unlink()
    assert plan(run) == []
    assert analyze(run).computed == {}


# --- at_most and standard --------------------------------------------------------------------------------


def test_at_most_keeps_first_and_last_and_spreads_the_rest() -> None:
    assert thinned([0, 5, 9], 0) == [0, 5, 9]
    assert thinned([0, 5, 9], 3) == [0, 5, 9]
    assert thinned([0, 5, 9], 2) == [0, 9]
    epochs = [*range(0, 1000, 100), *range(1000, 25001, 1000)]
    kept = thinned(epochs, 12)
    assert len(kept) == 12
    assert (kept[0], kept[-1]) == (0, 25000)
    assert kept == sorted(set(kept) & set(epochs))
    gaps = np.diff(np.log1p(kept))[1:]  # nothing lies between 0 and 100
    assert gaps.max() < 1.5
    assert len(thinned(list(range(1000)), 999)) == 999


def test_an_instrument_with_at_most_runs_on_that_many_and_is_then_complete(
    make_variant: Callable[..., Variant],
) -> None:
    variant = make_variant(epochs=(0, 1, 10, 30, 100))
    registry = Registry(
        [
            instrument("some", lambda features: {"value": 1.0}, at_most=3),
            instrument("all", lambda features: {"value": 1.0}),
            instrument(
                "user", lambda features: {"value": features.need("some", "value")}, needs=("some",), at_most=3
            ),
        ]
    )
    report = pipeline.analyze(variant, registry=registry)
    assert report.failures == []
    assert report.computed == {"some": 3, "all": 5, "user": 3}
    assert pipeline.plan(variant, registry=registry) == []
    stored = AnalyzerService(registry).read(variant, "some")["epoch"].values.tolist()
    assert (stored[0], stored[-1], len(stored)) == (0, 100, 3)
    variant.save_checkpoint(1000, random_weights(11))
    assert 1000 in {epoch for task in pipeline.plan(variant, registry=registry) for epoch in task.epochs}


def test_what_is_not_standard_runs_by_name_only(variant: Variant) -> None:
    registry = Registry(
        [
            instrument("slow", lambda features: {"value": 1.0}, standard=False),
            instrument("base", lambda features: {"value": 1.0}),
            instrument("slower", lambda features: {"value": 1.0}, standard=False, needs=("slow", "base")),
        ]
    )
    assert pipeline.analyze(variant, registry=registry).computed == {"base": 4}
    assert [found.analyzer for found in pipeline.status(variant, registry=registry)] == ["base"]
    assert pipeline.analyze(variant, ["slower"], registry=registry).computed == {"slow": 4, "slower": 4}
    listed = {found["name"]: found["standard"] for found in AnalyzerService(registry).list()}
    assert listed == {"slow": False, "base": True, "slower": False}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"needs_final": ("path",)}, "cannot apply path"),
        ({"needs_final": ("fixed",)}, "cannot apply fixed"),
        ({"needs": ("path",)}, "needs path, which looks at all"),
        ({"needs": ("thin",)}, "more checkpoints than thin"),
        ({"needs": ("slow",)}, "needs slow, which is not"),
        ({"needs": ("fleeting",)}, "needs fleeting, which is not"),
        ({"at_most": 1}, "at_most=1"),
    ],
)
def test_needs_that_cannot_be_met_are_refused(declared: dict[str, Any], words: str) -> None:
    def nothing(features: Features) -> dict[str, Any]:
        return {"value": 0.0}

    base = [
        instrument("one", nothing),
        instrument("fixed", nothing, needs_final=("one",)),
        instrument("path", nothing, scope="trajectory"),
        instrument("thin", nothing, at_most=5),
        instrument("slow", nothing, standard=False),
        instrument("fleeting", nothing, stored=False),
    ]
    with pytest.raises(WorkbenchError, match=words):
        Registry([*base, instrument("new", nothing, **declared)])


def test_fixed_by_is_inherited_and_in_the_key() -> None:
    assert REGISTRY.fixed_by("after") == REGISTRY.fixed_by("path") == ("sign",)
    assert REGISTRY.fixed_by("plain") == ()
    assert [found.name for found in REGISTRY.ordered(["after"])] == ["sign", "applied", "after"]
    assert [found.name for found in REGISTRY.ordered(["after"], finals=False)] == ["applied", "after"]
    other = instrument("sign", sign, outputs={"value": Output((), "float64", "Value", "2")}, version=2)
    changed = Registry([*(found for found in REGISTRY if found.name != "sign"), other])
    assert changed.key("after") != REGISTRY.key("after")
    assert changed.key("plain") == REGISTRY.key("plain")
