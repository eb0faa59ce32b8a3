"""Orders, what they would make, and doing them as jobs: in this process, and in one of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.work import attempt as attempts
from dashboard.work.attempt import Stopped, attempting
from dashboard.work.estimate import describe, gaps
from dashboard.work.launch import enlist, requeue, start
from dashboard.work.orders import parse
from dashboard.work.perform import perform
from dashboard.work.prepared import prepare
from dashboard.work.run import run_job
from dashboard.work.service import WorkService
from data import Workspace
from data.database.jobs import Job, JobStore
from data.errors import BadParameter, UnknownVariant
from data.job_files import JobFiles

SIZES = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
KEEP = {"epochs": 30, "checkpoints": "0:30:10", "state_every": 10, "device": "cpu"}
NAME = "p7-s1-d598-dm8-h2-dh4-mlp16"


def training(seed: int = 1, **other: Any) -> dict[str, Any]:
    return {"kind": "train", "params": {"p": 7, "seed": seed}, "config": SIZES, **KEEP, **other}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one trained variant, to be copied."""
    workspace = Workspace(tmp_path_factory.mktemp("work") / "trained", create=True)
    assert done(workspace, training()).state == "done"
    workspace.database.close()
    return workspace.path


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(trained, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def done(workspace: Workspace, plain: dict[str, Any]) -> Job:
    """The job of an order, done in this process."""
    job, new = enlist(workspace, parse(plain))
    assert new
    ended = run_job(workspace.path, job.id)
    assert ended is not None
    return ended


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("not within the time")


# --- orders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({}, "The kind of job None is not known; choose one of: train, replicates, sweep, fork"),
        ({"kind": "bake"}, "The kind of job 'bake' is not known"),
        ({"kind": "resume"}, "^variant: is missing.$"),
        (
            {"kind": "train", "params": {}, "epochs": "x"},
            "^epochs='x': Input should be a valid integer",
        ),
        ({"kind": "train", "params": {}, "prime": 5}, "^prime=5: is not a setting of train"),
        ({"kind": "analyze", "variants": []}, "variants=.*at least 1 item"),
        ({"kind": "fork", "variant": "x", "at": 1.5}, "at=1.5: Input should be a valid integer"),
    ],
)
def test_a_wrong_order_says_what_is_wrong(plain: dict[str, Any], says: str) -> None:
    with pytest.raises(BadParameter, match=says):
        parse(plain)


@pytest.mark.parametrize(
    ("plain", "error", "says"),
    [
        ({"kind": "train", "params": {"p": 9, "seed": 1}}, BadParameter, "p=9"),
        ({"kind": "train", "family": "x", "params": {}}, BadParameter, "unknown family 'x'"),
        (training(epochs=0), BadParameter, "epochs=0 is too few"),
        ({"kind": "sweep"}, BadParameter, "the sweep has no variants"),
        ({"kind": "analyze", "variants": ["x"]}, UnknownVariant, "There is no variant 'x'"),
        ({"kind": "fork", "variant": NAME, "at": 10, "change": {"x": 1}}, BadParameter, "cannot change 'x'"),
        (
            {"kind": "fork", "variant": NAME, "at": 10, "change": {"lr_schedule": "x"}},
            BadParameter,
            "schedule",
        ),
    ],
)
def test_values_that_cannot_be_used_make_no_job(
    workspace: Workspace, plain: dict[str, Any], error: type[Exception], says: str
) -> None:
    before = len(JobStore(workspace.database).history())
    with pytest.raises(error, match=says):
        start(workspace, plain)
    assert len(JobStore(workspace.database).history()) == before


def test_orders_survive_json_and_equal_ones_are_equal_work(workspace: Workspace) -> None:
    order = parse(training())
    assert parse(json.loads(json.dumps(order.to_json()))) == order
    first = prepare(order, workspace)
    assert (first.variants, first.title) == ((NAME,), f"Train {NAME}")
    assert prepare(parse(training(go_on=True)), workspace).work == first.work
    assert prepare(parse(training(epochs=40)), workspace).work != first.work
    one, other = (
        {"kind": "analyze", "variants": [NAME], "analyzers": names}
        for names in (["gini", "logit_fit"], ["logit_fit", "gini"])
    )
    assert prepare(parse(one), workspace).work == prepare(parse(other), workspace).work


# --- before it starts ------------------------------------------------------------------------------------


def test_what_would_be_made(workspace: Workspace) -> None:
    again = describe(parse(training()), workspace)
    assert again.makes == [
        {"name": NAME, "epochs": 30, "checkpoints": 4, "there": "4 checkpoints, trained to epoch 30"}
    ]
    assert [NAME in conflict and "Go on with it" in conflict for conflict in again.conflicts] == [True]
    assert describe(parse(training(go_on=True)), workspace).conflicts == []
    other = describe(parse(training(seed=2)), workspace)
    assert other.conflicts == []
    assert other.seconds is not None
    assert other.seconds > 0
    longer = describe(parse(training(seed=2, epochs=60)), workspace)
    assert longer.seconds == pytest.approx(2 * other.seconds)
    grid = {"kind": "sweep", "grid": {"p": 7, "seed": [1, 2, 3], **SIZES}, **KEEP}
    sweep = describe(parse(grid), workspace)
    assert (len(sweep.makes), sweep.conflicts) == (3, [])
    assert sweep.seconds == pytest.approx(2 * other.seconds)
    fork = describe(parse({"kind": "fork", "variant": NAME, "at": 10, "change": {"lr": 1e-4}}), workspace)
    assert [made["name"] for made in fork.makes] == [f"{NAME}-at10-lr0.0001"]
    json.dumps(fork.to_json())


def test_the_disk_that_it_takes_is_about_right(workspace: Workspace) -> None:
    made = describe(parse(training(seed=2)), workspace)
    variant = workspace[NAME]
    folders = (variant.path / "checkpoints", variant.path / "optimizer")
    tensors = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    headers = sum(1 for folder in folders for _ in folder.iterdir()) * 3000
    assert tensors - headers < made.bytes < tensors + 10_000


def test_gaps_say_what_is_missing(workspace: Workspace) -> None:
    state = {gap["analyzer"]: gap for gap in gaps(workspace[NAME])}["weight_norms"]
    assert state == {
        "analyzer": "weight_norms",
        "complete": False,
        "missing": [0, 10, 20, 30],
        "reason": "not computed yet",
    }
    order = parse({"kind": "analyze", "variants": [NAME], "analyzers": ["weight_norms"]})
    (made,) = describe(order, workspace).makes
    assert made["missing"] == {"weight_norms": 4}


# --- doing it --------------------------------------------------------------------------------------------


def test_training_is_a_job_with_losses_and_a_log(workspace: Workspace) -> None:
    job = done(workspace, training(seed=2))
    name = NAME.replace("s1", "s2")
    assert (job.state, job.message) == ("done", f"{name} is trained to epoch 30.")
    assert job.done == job.total == 30
    assert job.result["epoch"] == 30
    assert job.result["train_loss"] == float(workspace[name].history["train_loss"][-1])
    files = JobFiles(workspace.path, job.id)
    losses = files.read_losses()
    assert losses["epoch"][-1] == 30
    assert losses["test"][-1] == pytest.approx(float(workspace[name].history["test_loss"][-1]), rel=1e-6)
    log = files.read_log()
    assert f"Begins: Train {name} (attempt 1)." in log
    assert "Ends: done." in log


def test_each_kind_is_done(workspace: Workspace) -> None:
    for plain, says in (
        ({"kind": "resume", "variant": NAME, "epochs": 40, "device": "cpu"}, "is trained to epoch 40."),
        (
            {"kind": "fork", "variant": NAME, "at": 20, "change": {"weight_decay": 0.5}, "device": "cpu"},
            f"{NAME}-at20-wd0.5 is trained to epoch 40.",
        ),
        ({"kind": "densify", "variant": NAME, "epochs": "12:18:2", "device": "cpu"}, "Added 4 checkpoints"),
        (
            {
                "kind": "replicates",
                "params": {"p": 7, "seed": 1},
                "config": SIZES,
                "epochs": 5,
                "copies": 2,
                "device": "cpu",
            },
            "2 of 2 variants trained.",
        ),
        (
            {"kind": "sweep", "grid": {"p": 7, "seed": [1, 5, 6], **SIZES}, **KEEP, "epochs": 40},
            "2 of 2 variants trained, 1 were complete before.",
        ),
        ({"kind": "analyze", "variants": [NAME], "analyzers": ["weight_norms"]}, "results computed"),
    ):
        job = done(workspace, plain)
        assert job.state == "done", job.message
        assert says in job.message
        assert not describe(parse(plain), workspace).active
    assert workspace[NAME].epochs == [0, 10, 12, 14, 16, 18, 20, 30, 32, 40]


def test_a_failure_is_one_sentence_and_can_be_tried_again(workspace: Workspace) -> None:
    job = done(workspace, training())
    assert job.state == "failed"
    assert job.message.startswith(f"{NAME} is already in ")
    again, new = requeue(workspace, job.id)
    assert new
    ended = run_job(workspace.path, again.id)
    assert ended is not None
    assert (ended.state, ended.attempt) == ("done", 2)


def test_a_defect_fails_the_job_and_is_in_its_log(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **other: Any) -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("training.run.resume_variant", broken)
    job = done(workspace, {"kind": "resume", "variant": NAME})
    assert (job.state, job.message) == ("failed", "ZeroDivisionError: one")
    assert "Traceback" in JobFiles(workspace.path, job.id).read_log()


def test_cancelling_keeps_what_is_finished(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TICK", 0.05)
    store = JobStore(workspace.database)
    order = parse(training(seed=3, epochs=2_000_000, checkpoints="0,5", state_every=1000))
    job, _ = enlist(workspace, order)

    def cancel_when_it_runs() -> None:
        until(lambda: store.get(job.id).done > 1000)
        store.cancel(job.id)

    threading.Thread(target=cancel_when_it_runs).start()
    ended = run_job(workspace.path, job.id)
    assert ended is not None
    assert (ended.state, ended.message) == ("cancelled", "Cancelled on request; what was finished is kept.")
    assert 0 < ended.done < ended.total
    variant = workspace[NAME.replace("s1", "s3")]
    assert variant.epochs == [0, 5]
    assert len(variant.history["epoch"]) > 1


def test_the_row_is_kept_alive_while_nothing_is_reported(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "TICK", 0.02)
    monkeypatch.setattr(attempts, "HEARTBEAT", 0.1)
    store = JobStore(workspace.database)
    job, _ = enlist(workspace, parse({"kind": "resume", "variant": NAME}))
    claimed = store.claim(job.id)
    assert claimed is not None

    def waiting_for_cancel() -> None:
        with attempting(store, claimed, workspace.path) as attempt:
            assert until(lambda: (store.get(job.id).heartbeat or 0) > (claimed.heartbeat or 0))
            store.cancel(job.id)
            assert until(attempt.should_stop)
            attempt.check()

    with pytest.raises(Stopped):
        waiting_for_cancel()
    assert store.get(job.id).state == "cancelled"


def test_progress_does_not_flood_the_database(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JobStore(workspace.database)
    job, _ = enlist(workspace, parse({"kind": "resume", "variant": NAME}))
    claimed = store.claim(job.id)
    assert claimed is not None
    beats = []
    monkeypatch.setattr(store, "beat", lambda *given: beats.append(given) or "go on")
    with attempting(store, claimed, workspace.path) as attempt:
        for number in range(5000):
            attempt.progress(number, 5000, "working")
    assert beats[-1][1] == 4999
    assert len(beats) < 10


def test_what_cannot_be_told_in_json_is_left_out(workspace: Workspace) -> None:
    store = JobStore(workspace.database)
    job, _ = enlist(workspace, parse({"kind": "resume", "variant": NAME}))
    claimed = store.claim(job.id)
    assert claimed is not None
    with attempting(store, claimed, workspace.path) as attempt:
        attempt.progress(1, 2, "x", {"seconds_left": float("inf")})
        attempt.end("ended", test_loss=float("nan"))
    assert store.get(job.id).result == {"test_loss": None}


# --- in processes of their own ---------------------------------------------------------------------------


def test_a_started_job_runs_on_when_its_starter_is_killed(workspace: Workspace) -> None:
    order = training(seed=2, epochs=3000, checkpoints="0", state_every=1000)
    code = (
        "import os, sys, json; from data import Workspace; from dashboard.work.launch import start\n"
        "print(start(Workspace(sys.argv[1]), json.loads(sys.argv[2]))[0].id, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(workspace.path), json.dumps(order)]
    ident = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    store = JobStore(workspace.database)
    joined, new = start(workspace, order)
    assert (joined.id, new) == (ident, False)
    until(lambda: not store.get(ident).active)
    assert store.get(ident).state == "done", JobFiles(workspace.path, ident).read_log()
    assert workspace[NAME.replace("s1", "s2")].history["epoch"][-1] == 3000


def test_a_worker_that_is_killed_is_noticed_and_its_job_resumed(workspace: Workspace) -> None:
    import psutil

    store = JobStore(workspace.database)
    order = training(seed=4, epochs=4_000_000, checkpoints="0,10", state_every=500)
    job, _ = start(workspace, order)
    until(lambda: store.get(job.id).done > 1000)
    running = store.get(job.id)
    assert running.owner is not None
    assert (running.state, running.owner.lives) == ("running", True)
    assert running.result["seconds_left"] > 0
    psutil.Process(running.owner.pid).kill()
    until(lambda: store.get(job.id).state == "interrupted", 10)
    again, new = requeue(workspace, job.id)
    assert (again.id, new) == (job.id, True)
    resumed = store.claim(job.id)
    assert resumed is not None
    before = workspace[NAME.replace("s1", "s4")].optimizer_epochs[-1]
    assert before >= 1000
    with attempting(store, resumed, workspace.path) as attempt:
        variant = perform(parse({**order, "epochs": before + 1000}), workspace, attempt)
    assert variant.optimizer_epochs[-1] == before + 1000
    losses = JobFiles(workspace.path, job.id).read_losses()
    assert losses["epoch"] == sorted(losses["epoch"])


def test_a_sweep_in_worker_processes_is_cancelled(workspace: Workspace) -> None:
    store = JobStore(workspace.database)
    grid = {"p": 7, "seed": [11, 12], **SIZES}
    order = {"kind": "sweep", "grid": grid, **KEEP, "epochs": 3_000_000, "checkpoints": "0"}
    order |= {"state_every": 1000, "workers": 2}
    job, _ = start(workspace, order)
    names = [NAME.replace("s1", f"s{seed}") for seed in (11, 12)]
    until(lambda: all(name in workspace for name in names))
    store.cancel(job.id)
    until(lambda: not store.get(job.id).active)
    assert store.get(job.id).state == "cancelled"


def test_a_page_starts_follows_cancels_and_forgets(workspace: Workspace) -> None:
    service = WorkService(workspace)
    order = training(seed=7, epochs=4_000_000, checkpoints="0", state_every=1000)
    assert service.describe(order)["conflicts"] == []
    started = service.start(order)
    ident = started["job"]["id"]
    assert started["new"]
    assert service.start(order)["job"]["id"] == ident
    assert service.describe(order)["active"] == ident
    until(lambda: service.job(ident)["losses"]["epoch"])
    seen = until(lambda: (job := service.job(ident))["seconds_left"] and job)
    assert (seen["state"], seen["seconds"] > 0, seen["result"]["train_loss"] > 0) == ("running", True, True)
    assert "Begins: Train" in seen["log"]
    json.dumps(service.jobs())
    assert service.cancel(ident)["cancelling"]
    with pytest.raises(BadParameter, match=r"is being cancelled .* Start it again in a moment"):
        service.start(order)
    until(lambda: not service.job(ident)["active"])
    assert service.job(ident)["state"] == "cancelled"
    service.forget(ident)
    with pytest.raises(BadParameter, match="There is no job"):
        service.job(ident)
    assert not JobFiles(workspace.path, ident).log.exists()
    assert {gap["analyzer"] for gap in service.gaps(NAME)} > {"weight_norms"}


def test_a_process_that_cannot_be_started_fails_its_job(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(workspace.path / "nothing"))
    job, _ = start(workspace, training(seed=8))
    ended = JobStore(workspace.database).get(job.id)
    assert (ended.state, ended.message) == ("failed", "It could not be started: No such file or directory.")
    assert start(workspace, training(seed=8))[1]
