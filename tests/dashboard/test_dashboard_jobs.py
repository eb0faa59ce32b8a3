"""Two pages that want the same analysis share one process, its progress and its result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.jobs import JobManager

SECONDS = 60


def slow_job(key: str, progress_key: str, args: Any, context: Any) -> None:
    """Counts its processes in a file, reports progress, and ends when the file `go` appears."""
    import diskcache

    folder = Path(context["folder"])
    cache = diskcache.Cache(str(folder / "jobs"))
    with (folder / "started").open("a") as started:
        started.write("x")
    cache.set(progress_key, ["1", "3", "half"])
    while not (folder / "go").exists():
        time.sleep(0.01)
    cache.set(key, {"text": "done"})


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[JobManager]:
    manager = JobManager(tmp_path / "jobs", tmp_path)
    yield manager
    (tmp_path / "go").touch()


def wait(condition: Any) -> Any:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("not within the time")


def work(variant: str = "p23-s1", page: str = "one", analyzers: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [{"variant": variant, "analyzers": list(analyzers), "page": page, "at": 1}]


def test_the_same_work_is_one_process(manager: JobManager, tmp_path: Path) -> None:
    context = {"folder": str(tmp_path)}
    first = manager.call_job_fn("key-1", slow_job, work(page="one"), context)
    second = manager.call_job_fn("key-2", slow_job, work(page="two"), context)
    assert first == second
    assert manager.running("p23-s1") == [[]]
    for key in ("key-1", "key-2", "key-2"):
        assert wait(lambda key=key: manager.get_progress(key)) == ["1", "3", "half"]
    assert manager.get_result("key-2", second) is manager.UNDEFINED
    (tmp_path / "go").touch()
    for key in ("key-2", "key-1"):
        wait(lambda key=key: manager.get_result(key, first) is not manager.UNDEFINED)
        assert manager.get_result(key, first) == {"text": "done"}
    wait(lambda: manager.running("p23-s1") == [])
    assert (tmp_path / "started").read_text() == "x"


def test_other_work_is_another_process(manager: JobManager, tmp_path: Path) -> None:
    context = {"folder": str(tmp_path)}
    jobs = {
        manager.call_job_fn(f"key-{number}", slow_job, one, context)
        for number, one in enumerate(
            (work(), work(variant="p23-s2"), work(analyzers=("llc",)), work(analyzers=("llc",), page="two"))
        )
    }
    assert len(jobs) == 3
    assert sorted(manager.running("p23-s1")) == [[], ["llc"]]
    assert manager.running("p23-s3") == []


def test_work_that_ended_is_done_again(manager: JobManager, tmp_path: Path) -> None:
    context = {"folder": str(tmp_path)}
    (tmp_path / "go").touch()
    manager.call_job_fn("key-1", slow_job, work(), context)
    wait(lambda: manager.get_result("key-1", 0) is not manager.UNDEFINED)
    wait(lambda: not manager.running("p23-s1"))
    manager.call_job_fn("key-2", slow_job, work(page="two"), context)
    wait(lambda: manager.get_result("key-2", 0) is not manager.UNDEFINED)
    wait(lambda: (tmp_path / "started").read_text() == "xx")
