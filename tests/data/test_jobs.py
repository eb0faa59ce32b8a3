"""Jobs as rows, on SQLite and PostgreSQL: joining, claiming, beating, ending, dying, being resumed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from data.database import Database
from data.database.jobs import DIED, SILENT_ELSEWHERE, SILENT_HERE, Job, JobStore
from data.errors import BadParameter
from data.job_files import JobFiles
from data.processes import Owner, owner

ELSEWHERE = Owner("another.host", 1, 5.0)


class Clock:
    """Time that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> JobStore:
    return JobStore(database, clock)


def start(store: JobStore, work: str = "train p5", variants: tuple[str, ...] = ("p5",)) -> Job:
    job, new = store.create_or_join("train", work, {"p": 5}, "Train p5", variants)
    assert new
    return job


def claimed(store: JobStore, work: str = "train p5", by: Owner | None = None) -> Job:
    job = store.claim(start(store, work).id, by)
    assert job is not None
    return job


def ended_process() -> Owner:
    """A process of this host that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    gone = owner(process.pid)
    process.kill()
    process.wait()
    return gone


def test_the_same_work_is_one_job_until_it_ends(store: JobStore) -> None:
    job = start(store)
    assert (job.state, job.order, job.variants, job.attempt) == ("queued", {"p": 5}, ("p5",), 0)
    joined, new = store.create_or_join("train", "train p5", {"p": 6}, "again")
    assert (joined.id, joined.order, new) == (job.id, {"p": 5}, False)
    running_job = store.claim(job.id)
    assert running_job is not None
    assert store.create_or_join("train", "train p5", {}, "again")[0].id == job.id
    store.finish(running_job, "done", "Trained.", {"epochs": 5})
    after = start(store)
    assert after.id != job.id
    found = store.get(job.id)
    assert (found.state, found.message, found.result) == ("done", "Trained.", {"epochs": 5})
    assert [one.id for one in store.active()] == [after.id]
    assert {one.id for one in store.history()} == {after.id, job.id}


def test_a_job_is_claimed_once(store: JobStore) -> None:
    job = start(store)
    first = store.claim(job.id)
    assert first is not None
    assert (first.state, first.attempt, first.owner) == ("running", 1, owner())
    assert store.claim(job.id) is None
    assert store.claim("000000000000") is None


def test_processes_that_start_the_same_work_at_once_make_one_job(database: Database) -> None:
    code = (
        "import sys; from pathlib import Path; from data.database import Database\n"
        "from data.database.jobs import JobStore\n"
        "store = JobStore(Database(Path(sys.argv[1]), sys.argv[2]))\n"
        "got = [store.create_or_join('train', f'work {i}', {}, 't')[0].id for i in range(5)]\n"
        "print(*(ident for ident in got if store.claim(ident)), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(database.folder), database.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path.cwd()}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    got = [process.stdout.readline().split() for process in processes if process.stdout]
    for process in processes:
        process.communicate("")
        assert process.returncode == 0
    everything = [ident for one in got for ident in one]
    assert len(everything) == len(set(everything)) == 5


def test_progress_and_cancelling(store: JobStore, clock: Clock) -> None:
    job = claimed(store)
    clock.now += 5
    assert store.beat(job, 3, 10, "epoch 3", {"train_loss": 1.5}) == "go on"
    seen = store.get(job.id)
    assert (seen.done, seen.total, seen.message, seen.result) == (3, 10, "epoch 3", {"train_loss": 1.5})
    assert seen.heartbeat == clock.now
    assert store.beat(job) == "go on"
    assert store.get(job.id).message == "epoch 3"
    assert store.cancel(job.id).cancelling
    assert store.beat(job) == "cancel"
    store.finish(job, "cancelled", "Stopped.")
    ended = store.get(job.id)
    assert (ended.state, ended.active, ended.done, ended.finished) == ("cancelled", False, 3, clock.now)
    assert store.cancel(job.id).state == "cancelled"


def test_a_job_that_waits_is_cancelled_at_once(store: JobStore) -> None:
    job = start(store)
    assert store.cancel(job.id).state == "cancelled"
    assert store.claim(job.id) is None
    assert store.active() == []


def test_a_process_that_is_gone_is_noticed(store: JobStore) -> None:
    job = claimed(store, by=ended_process())
    assert [dead.id for dead in store.dead()] == [job.id]
    seen = store.get(job.id)
    assert (seen.state, seen.message) == ("interrupted", DIED)
    assert store.interrupt_dead() == []
    assert start(store).id != job.id


def test_a_number_that_is_used_again_is_another_process(store: JobStore) -> None:
    me = owner()
    job = claimed(store, by=replace(me, started=me.started - 100))
    assert store.get(job.id).state == "interrupted"


def test_a_silent_process_of_another_host_is_dead(store: JobStore, clock: Clock) -> None:
    job = claimed(store, by=ELSEWHERE)
    clock.now += SILENT_ELSEWHERE - 1
    assert store.beat(job) == "go on"
    clock.now += SILENT_ELSEWHERE - 1
    assert store.get(job.id).state == "running"
    clock.now += 2
    assert store.get(job.id).state == "interrupted"


def test_a_process_that_lives_here_may_be_silent_for_longer(store: JobStore, clock: Clock) -> None:
    job = claimed(store)
    clock.now += SILENT_HERE - 1
    assert store.get(job.id).state == "running"
    clock.now += 2
    assert store.get(job.id).state == "interrupted"


def test_one_that_was_wrongly_taken_for_dead_lives_again(store: JobStore, clock: Clock) -> None:
    job = claimed(store, by=ELSEWHERE)
    clock.now += SILENT_ELSEWHERE + 1
    assert store.interrupt_dead()
    assert store.beat(job, 4, 10) == "go on"
    assert (store.get(job.id).state, store.get(job.id).done) == ("running", 4)
    clock.now += SILENT_ELSEWHERE + 1
    assert store.interrupt_dead()
    other = start(store)
    assert store.beat(job) == "lost"
    store.cancel(other.id)
    store.finish(job, "done", "Trained.")
    assert store.get(job.id).state == "done"


def test_a_job_is_resumed(store: JobStore) -> None:
    job = claimed(store, by=ended_process())
    store.interrupt_dead()
    again, new = store.resume(job.id)
    assert (again.id, again.state, new) == (job.id, "queued", True)
    assert store.resume(job.id) == (again, False)
    second = store.claim(job.id)
    assert second is not None
    assert second.attempt == 2
    assert store.beat(job) == "lost"
    store.finish(job, "failed", "the first attempt has nothing to say any more")
    assert store.get(job.id).state == "running"
    store.finish(second, "done", "Trained.")
    with pytest.raises(BadParameter, match="is done; there is nothing left"):
        store.resume(job.id)
    with pytest.raises(BadParameter, match="There is no job 'x'; `tdw jobs` lists them"):
        store.resume("x")


def test_two_jobs_do_not_write_one_variant(store: JobStore) -> None:
    job = claimed(store)
    with pytest.raises(BadParameter, match=f"p5 is being written by the job {job.id} .Train p5."):
        store.create_or_join("resume", "resume p5", {}, "t", ["p5"], ["train", "resume"])
    assert store.create_or_join("analyze", "analyze p5", {}, "t", ["p5"])[1]
    assert store.create_or_join("resume", "resume p7", {}, "t", ["p7"], ["train", "resume"])[1]
    store.finish(job, "failed", "It broke.")
    assert store.create_or_join("resume", "resume p5", {}, "t", ["p5"], ["train", "resume"])[1]
    with pytest.raises(BadParameter, match="p5 is being written"):
        store.resume(job.id, ["train", "resume"])


def test_what_is_being_cancelled_is_not_joined(store: JobStore) -> None:
    job = claimed(store)
    store.cancel(job.id)
    with pytest.raises(BadParameter, match=f"Train p5 is being cancelled .job {job.id}."):
        store.create_or_join("train", "train p5", {}, "t", ["p5"], ["train"])
    other, new = store.create_or_join("train", "train p5", {}, "t", ["p5"])
    assert new
    assert {one.id for one in store.active()} == {job.id, other.id}
    assert store.beat(job) == "cancel"
    store.finish(job, "cancelled", "Stopped.")
    assert store.create_or_join("train", "train p5", {}, "t")[0].id == other.id


def test_who_waits_for_a_queue_is_not_dead(store: JobStore, clock: Clock) -> None:
    job, dying = start(store), start(store, "other")
    store.hand_over(job.id, None)
    store.hand_over(dying.id, ended_process())
    clock.now += 10 * SILENT_HERE
    assert store.get(job.id).state == "queued"
    assert store.get(dying.id).state == "interrupted"
    store.fail_to_start(job.id, "No worker.")
    assert (store.get(job.id).state, store.get(job.id).message) == ("failed", "No worker.")


def test_what_has_ended_can_be_forgotten(store: JobStore) -> None:
    job = claimed(store)
    with pytest.raises(BadParameter, match="is running; cancel it first"):
        store.delete(job.id)
    store.finish(job, "done", "Trained.")
    store.delete(job.id)
    assert store.history() == []


def test_a_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    there = owner(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not there.lives
    os.waitpid(pid, 0)
    assert not there.lives
    assert owner().lives


# --- the files beside a row ------------------------------------------------------------------------------


def test_losses_and_log_are_found_from_the_id(tmp_path: Path) -> None:
    files = JobFiles(tmp_path, "0123456789ab")
    assert (files.read_log(), files.read_losses()) == ("", {"epoch": [], "train": [], "test": []})
    for epoch, loss in ((0, 4.0), (10, 2.0), (20, 1.0), (10, 2.5), (15, float("nan"))):
        files.add_losses(epoch, loss, 2 * loss)
    with files.losses.open("a") as stream:
        stream.write("20 0.")
    read = JobFiles(tmp_path, "0123456789ab").read_losses()
    assert read["epoch"] == [0, 10, 15]
    assert read["train"][:2] == [4.0, 2.5]
    files.note("Begins.")
    assert files.read_log().endswith(" Begins.\n")
    files.delete()
    assert files.read_log() == ""


@pytest.mark.parametrize("ident", ["", "../../etc/x", "0123456789aB", "0123456789abc"])
def test_only_an_id_becomes_a_file(tmp_path: Path, ident: str) -> None:
    with pytest.raises(BadParameter, match="is not the id of a job"):
        JobFiles(tmp_path, ident)


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / ".jobs").write_text("in the way")
    JobFiles(tmp_path, "0123456789ab").note("text")
