"""What pages ask for becomes durable jobs: pages that ask for the same share one, with its progress."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from planted import plant

from dashboard.jobs import JobManager, analysis_order
from dashboard.work import launch
from data import VariantRecord, Workspace
from data.database.jobs import DIED, Job, JobStore

NAME, OTHER = "p23-s1", "p23-s2"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace", create=True)
    for seed, name in ((1, NAME), (2, OTHER)):
        made.create_variant(VariantRecord("modular_addition", name, {"p": 23, "seed": seed}, {}))
    return made


@pytest.fixture
def manager(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> JobManager:
    """A manager whose jobs wait until the test claims them."""
    monkeypatch.setattr(launch, "launch", lambda workspace, job: None)
    return JobManager(workspace)


def ask(
    manager: JobManager, key: str, name: str = NAME, page: str = "one", analyzers: tuple[str, ...] = ()
) -> str:
    """A page asks for an analysis, as dash would."""
    current = {"variant": name, "analyzers": list(analyzers), "page": page, "at": 1}
    return manager.call_job_fn(key, manager.make_job_fn(analysis_order, True), [current], {})


def claimed(manager: JobManager, ident: str) -> tuple[JobStore, Job]:
    store = JobStore(manager.workspace.database)
    job = store.claim(ident)
    assert job is not None
    return store, job


def test_pages_that_ask_for_the_same_share_one_job(manager: JobManager) -> None:
    first = ask(manager, "key-1")
    assert ask(manager, "key-2", page="two") == first
    assert manager.running(NAME) == [[]]
    store, job = claimed(manager, first)
    store.beat(job, 1, 3, "a third")
    for key in ("key-1", "key-2", "key-2"):
        assert manager.get_progress(key) == ("1", "3", "a third")
        assert manager.get_result(key, first) is manager.UNDEFINED
    assert manager.job_running(first)
    store.finish(job, "done", "12 results computed.", {"failures": 0})
    for key in ("key-2", "key-1", "key-1"):
        assert manager.get_result(key, first) == {"kind": "info", "text": "12 results computed."}
    assert manager.running(NAME) == []
    assert not manager.job_running(first)
    assert ask(manager, "key-3") != first


def test_other_work_is_another_job(manager: JobManager) -> None:
    jobs = {
        ask(manager, "key-1"),
        ask(manager, "key-2", OTHER),
        ask(manager, "key-3", analyzers=("llc",)),
        ask(manager, "key-4", analyzers=("llc",), page="two"),
    }
    assert len(jobs) == 3
    assert sorted(manager.running(NAME)) == [[], ["llc"]]
    assert manager.running("p23-s3") == []


def test_a_job_that_one_page_cancels_has_ended_for_all(manager: JobManager) -> None:
    first = ask(manager, "key-1")
    store, job = claimed(manager, first)
    manager.terminate_job(first)
    assert store.beat(job) == "cancel"
    assert (manager.job_running(first), manager.running(NAME)) == (False, [])
    again = ask(manager, "key-2")
    assert again != first
    assert manager.running(NAME) == [[]]
    store.finish(job, "cancelled", "Cancelled on request.")
    assert manager.get_result("key-1", first) is manager.UNDEFINED
    manager.terminate_job(first)
    assert manager.job_running(again)


def test_what_goes_wrong_is_told(manager: JobManager) -> None:
    refused = ask(manager, "key-1", "p23-s9")
    answer = manager.get_result("key-1", refused)
    assert answer["kind"] == "error"
    assert "There is no variant 'p23-s9'" in answer["text"]
    assert manager.get_progress("key-1") is None
    assert not manager.job_running(refused)
    manager.terminate_job(refused)

    for key, state, kind in (("key-2", "failed", "error"), ("key-3", "done", "warning")):
        store, job = claimed(manager, ask(manager, key))
        store.finish(job, state, "2 could not be computed.", {"failures": 2})
        assert manager.get_result(key, job.id)["kind"] == kind
        assert "2 could not be computed." in manager.get_result(key, job.id)["text"]

    child = os.fork()
    if child == 0:
        time.sleep(60)
    ident = ask(manager, "key-4")
    JobStore(manager.workspace.database).hand_over(ident, launch.owner(child))
    assert manager.job_running(ident)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert manager.get_result("key-4", ident) == {"kind": "error", "text": f"Analyse {NAME}: {DIED}"}


def test_a_server_that_starts_again_knows_its_pages(manager: JobManager) -> None:
    first = ask(manager, "key-1")
    store, job = claimed(manager, first)
    store.beat(job, 1, 3, "a third")
    after = JobManager(Workspace(manager.workspace.path))
    assert after.get_progress("key-1") == ("1", "3", "a third")
    assert after.running(NAME) == [[]]


# --- a cluster -------------------------------------------------------------------------------------------


@pytest.fixture
def redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        server = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            wait(socket.exists)
            yield f"redis+socket://{socket}"
        finally:
            server.terminate()
            server.wait()


CLUSTER = """
import sys, time
from data import Workspace
from dashboard.jobs import analysis_order, job_manager
manager = job_manager(Workspace(sys.argv[1]))
current = {"variant": sys.argv[2], "analyzers": ["weight_norms"], "page": "one"}
ident = manager.call_job_fn("key", manager.make_job_fn(analysis_order, True), [current], {})
assert manager.call_job_fn("other", analysis_order, [current], {}) == ident
end = time.monotonic() + 60
while manager.get_result("key", ident) is manager.UNDEFINED and time.monotonic() < end:
    time.sleep(0.1)
print(type(manager).__name__, manager.get_result("other", ident))
"""


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="Redis is not installed")
def test_on_a_cluster_a_celery_worker_does_it(redis: str, tmp_path: Path) -> None:
    pytest.importorskip("celery")
    planted = plant(tmp_path / "planted")
    name = planted.variants()[0].name
    environment = {**os.environ, "REDIS_URL": redis}
    command = [sys.executable, "-m", "celery", "-A", "dashboard.work.queue", "worker", "--concurrency", "1"]
    worker = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path.cwd()
    )
    try:
        asked = subprocess.run(
            [sys.executable, "-c", CLUSTER, str(planted.path), name],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        worker.terminate()
        worker.wait()
    assert asked.stdout.startswith("ClusterJobManager {'kind': 'info'")
    assert "results computed" in asked.stdout


def wait(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.02)
