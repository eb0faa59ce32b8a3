"""What pages ask for becomes durable jobs: a ticket at once, one job for all who ask for the same work."""

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

from dashboard.jobs import JobManager, requested_order
from dashboard.work import launch
from data import VariantRecord, Workspace
from data.database.jobs import Job, JobStore

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
    order = {"kind": "analyze", "variants": [name], "analyzers": sorted(analyzers) or None}
    request = {"order": order, "page": page, "at": 1}
    return manager.call_job_fn(key, manager.make_job_fn(requested_order, True), [request], {})


def jobs(manager: JobManager) -> list[Job]:
    return JobStore(manager.workspace.database).active()


def test_pages_that_ask_for_the_same_get_tickets_of_one_job(manager: JobManager) -> None:
    first = ask(manager, "key-1")
    assert ask(manager, "key-2", page="two") == first
    assert [job.id for job in jobs(manager)] == [first]
    ticket = {"job": first, "title": f"Analyse {NAME}"}
    for _ in range(2):
        assert manager.get_result("key-1", first) == {**ticket, "new": True}
        assert manager.get_result("key-2", first) == {**ticket, "new": False}
    assert manager.get_result("key-3", None) is manager.UNDEFINED


def test_for_dash_a_request_is_over_as_soon_as_there_is_a_row(manager: JobManager) -> None:
    first = ask(manager, "key-1")
    assert manager.job_running(first) is False
    assert manager.get_progress("key-1") is None
    assert manager.get_updated_props("key-1") == {}
    manager.terminate_job(first)
    assert manager.terminate_unhealthy_job(first) is False
    (job,) = jobs(manager)
    assert (job.id, job.state, job.cancelling) == (first, "queued", False)


def test_other_work_is_another_job(manager: JobManager) -> None:
    asked = {
        ask(manager, "key-1"),
        ask(manager, "key-2", OTHER),
        ask(manager, "key-3", analyzers=("llc",)),
        ask(manager, "key-4", analyzers=("llc",), page="two"),
    }
    assert {job.id for job in jobs(manager)} == asked
    assert len(asked) == 3


def test_work_that_is_being_cancelled_is_begun_anew(manager: JobManager) -> None:
    store = JobStore(manager.workspace.database)
    first = ask(manager, "key-1")
    assert store.claim(first) is not None
    store.cancel(first)
    again = ask(manager, "key-2")
    assert again != first
    assert manager.get_result("key-2", again)["new"] is True


def test_what_cannot_be_started_says_why(manager: JobManager) -> None:
    refused = ask(manager, "key-1", "p23-s9")
    answer = manager.get_result("key-1", refused)
    assert set(answer) == {"error"}
    assert "There is no variant 'p23-s9'" in answer["error"]
    assert jobs(manager) == []


def test_a_server_that_starts_again_knows_what_was_asked(manager: JobManager) -> None:
    first = ask(manager, "key-1")
    after = JobManager(Workspace(manager.workspace.path))
    assert after.get_result("key-1", first)["job"] == first
    assert ask(after, "key-2", page="two") == first


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
from data.database.jobs import JobStore
from dashboard.jobs import job_manager, requested_order
workspace = Workspace(sys.argv[1])
manager = job_manager(workspace)
order = {"kind": "analyze", "variants": [sys.argv[2]], "analyzers": ["weight_norms"]}
ask = manager.make_job_fn(requested_order, True)
ident = manager.call_job_fn("key", ask, [{"order": order, "page": "one"}], {})
assert manager.call_job_fn("other", ask, [{"order": order, "page": "two"}], {}) == ident
assert manager.get_result("key", ident)["new"]
assert manager.get_result("other", ident) == {"job": ident, "new": False, "title": "Analyse " + sys.argv[2]}
store = JobStore(workspace.database)
end = time.monotonic() + 60
while store.get(ident).active and time.monotonic() < end:
    time.sleep(0.1)
print(type(manager).__name__, store.get(ident).state, store.get(ident).message)
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
    assert asked.stdout.startswith("ClusterJobManager done")
    assert "results computed" in asked.stdout


def wait(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.02)
