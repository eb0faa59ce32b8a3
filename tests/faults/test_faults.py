"""What goes wrong outside the program: kills at random moments, full disks, two writers, damaged files.

After each: no completed epoch is lost, nothing blocks a rerun, and `tdw doctor` finds what was hurt and
mends it. One process imports everything and forks the workers that are killed: a kill costs milliseconds.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.work.launch import enlist
from dashboard.work.orders import parse
from dashboard.work.run import run_job
from data import Workspace, doctor
from data.database.jobs import JobStore
from data.errors import BadParameter
from training.run import recorded_epochs

SIZES = {"d_model": 8, "n_heads": 1, "d_head": 4, "d_mlp": 8}
NAME = "p5-s1-d598-dm8-h1-dh4-mlp8"
ORDER = {
    "kind": "train",
    "params": {"p": 5, "seed": 1},
    "config": SIZES,
    "epochs": 32,
    "checkpoints": "0:32:4",
    "state_every": 4,
    "device": "cpu",
}
ANALYZERS = ["weight_norms", "key_frequencies", "gini", "neuron_frequencies"]
ANALYSIS = {"kind": "analyze", "variants": [NAME], "analyzers": ANALYZERS}

KILLS = """
import os, random, signal, sys, time, traceback, warnings
from pathlib import Path
import torch
torch.set_num_threads(1)
warnings.simplefilter("ignore")
import safetensors.torch, sqlalchemy, alembic.command, xarray, zarr, scipy.optimize
import analyzers.pipeline, training.run
from analyzers.registry import default_registry
from dashboard.work.launch import enlist
from dashboard.work.orders import parse
from dashboard.work.run import run_job
from data import Workspace, doctor
from data.database.jobs import JobStore

sys.path.insert(0, sys.argv[4])
from test_faults import ANALYSIS, ANALYZERS, NAME, ORDER
default_registry()
root, what, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
random.seed(0)

def forked(action, *arguments):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)

def prepare(where):
    workspace = Workspace(where, create=True)
    if what == "analyze":
        training.run.train_variant(workspace, "modular_addition", ORDER["params"], ORDER["config"],
            32, ORDER["checkpoints"], "cpu", state_every=16)
    workspace.database.close()

def work(where):
    # what a person would do: start it, or go on with what was interrupted
    workspace = Workspace(where)
    if what == "catalog":
        for number in range(6):
            workspace.catalog.rebuild()
        return
    store = JobStore(workspace.database)
    if what == "train" and any(job.state == "done" for job in store.history()):
        return  # killed between the end of the work and that of its process
    ended = [job for job in store.history() if job.state == "interrupted"]
    plain = ANALYSIS if what == "analyze" else ORDER
    job, new = store.resume(ended[0].id) if ended else enlist(workspace, parse(plain))
    assert new, "a dead job stands in the way"
    done = run_job(where, job.id)
    assert done.state == "done", done.message

def reached(where):
    # what must never be lost: epochs with a checkpoint, epochs of results
    if what == "catalog" or NAME not in Workspace(where):
        return set()
    variant = Workspace(where)[NAME]
    found = {("checkpoint", epoch) for epoch in variant.epochs}
    for probe, analyzer, key, _ in variant.artifacts.listing():
        stored = variant.artifacts.read(probe, analyzer, key)
        found |= {(analyzer, int(epoch)) for epoch in stored["epoch"].values}
    return found

def fresh(number):
    where = root / f"run{number}"
    if what == "catalog":
        prepare(where)
        workspace = Workspace(where)
        for seed in range(3):
            training.run.train_variant(workspace, "modular_addition", {"p": 5, "seed": seed}, ORDER["config"],
                4, "0,4", "cpu")
        workspace.database.close()
    else:
        prepare(where)
    return where

def ended(pid, wait=False):
    got, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    assert not got or status in (0, signal.SIGKILL), status
    return bool(got)

where = fresh("whole")
started = time.perf_counter()
assert ended(forked(work, where), wait=True)
duration = time.perf_counter() - started
whole = reached(where)
done = runs = 0
where, before = fresh(0), set()
while done < kills:
    pid = forked(work, where)
    time.sleep(random.uniform(0, 0.9 * duration))
    if not ended(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        done += 1
        now = reached(where)
        assert before <= now, before - now
        before = now
        continue
    assert whole <= reached(where), whole - reached(where)
    runs += 1
    where, before = fresh(runs), set()
for attempt in range(20):
    if ended(forked(work, where), wait=True):
        break
assert whole <= reached(where)
workspace = Workspace(where)
doctor.repair(workspace, doctor.examine(workspace))
assert doctor.examine(workspace) == []
assert JobStore(workspace.database).active() == []
print("killed", done, "finished", runs + 1, "a whole run takes", duration)
"""


@pytest.mark.parametrize(("what", "kills"), [("train", 10), ("analyze", 10), ("catalog", 20)])
def test_killed_at_random_moments(tmp_path: Path, what: str, kills: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path), what, str(kills), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path.cwd(),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith(f"killed {kills} finished")


# --- one thing at a time ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one trained and analysed variant, to be copied."""
    workspace = Workspace(tmp_path_factory.mktemp("faults") / "trained", create=True)
    for order in (ORDER, ANALYSIS):
        assert do(workspace, order).state == "done"
    workspace.catalog.refresh()
    workspace.database.close()
    return workspace.path


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(trained, tmp_path / "workspace")
    copied = Workspace(tmp_path / "workspace")
    copied.catalog.refresh()
    return copied


def do(workspace: Workspace, order: dict[str, Any]) -> Any:
    job, new = enlist(workspace, parse(order))
    assert new
    return run_job(workspace.path, job.id)


def problems(workspace: Workspace) -> list[str]:
    return [f"{finding.subject}: {finding.problem}" for finding in doctor.examine(workspace)]


def mended(workspace: Workspace) -> Workspace:
    doctor.repair(workspace, doctor.examine(workspace))
    after = Workspace(workspace.path)
    assert problems(after) == []
    return after


class FullDisk:
    """Lets so many bytes be written into files, then says that the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._replace = os.replace
        monkeypatch.setattr("data.files.os.replace", self.replace)

    def replace(self, source: Any, target: Any) -> None:
        self.room -= os.path.getsize(source)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._replace(source, target)


@pytest.mark.parametrize("room", [0, 3_000, 30_000, 60_000])
def test_a_disk_that_fills_while_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    longer = {"kind": "resume", "variant": NAME, "epochs": 64, "device": "cpu"}
    before, recorded = workspace[NAME].epochs, recorded_epochs(workspace[NAME])
    with monkeypatch.context() as patch:
        FullDisk(patch, room)
        job = do(workspace, longer)
    assert job.state == "failed"
    assert "No space left on device" in job.message
    assert set(before) <= {*workspace[NAME].epochs}
    assert recorded_epochs(workspace[NAME]) >= recorded
    assert problems(mended(workspace)) == []
    assert do(Workspace(workspace.path), longer).state == "done"
    assert recorded_epochs(Workspace(workspace.path)[NAME]) == 65


def test_a_disk_that_fills_while_analysing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    order = {**ANALYSIS, "analyzers": ["progress_losses", "ellipticity"]}
    with monkeypatch.context() as patch:
        FullDisk(patch, 4_000)
        job = do(workspace, order)
    assert (job.state, "No space left" in job.message) == ("failed", True)
    again = mended(workspace)
    assert do(again, order).state == "done"


def test_a_real_disk_that_is_full(workspace: Workspace, tmp_path: Path) -> None:
    """On a small file system of its own, where this may be mounted: the database is on it too."""
    mount = tmp_path / "small"
    mount.mkdir()
    size = sum(path.stat().st_size for path in workspace.path.rglob("*") if path.is_file()) + 600_000
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(workspace.path, mount / "workspace")
        small = Workspace(mount / "workspace")
        filler = mount / "filler"
        with pytest.raises(OSError, match="No space left"):
            fill(filler)
        longer = {"kind": "resume", "variant": NAME, "epochs": 64, "device": "cpu"}
        job, error = None, None
        try:
            job = do(small, longer)
        except Exception as raised:
            error = raised
        assert (job is None) != (error is None)
        assert job is None or job.state in ("failed", "running"), job
        assert error is None or "disk is full" in str(error)
        filler.unlink()
        small = Workspace(mount / "workspace")
        small.catalog.refresh()
        for stuck in JobStore(small.database).active():
            assert stuck.owner is not None
            assert stuck.owner.pid == os.getpid()
            JobStore(small.database).finish(stuck, "failed", "The disk was full.")
        mended(small)
        assert do(Workspace(small.path), longer).state == "done"
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_two_processes_train_one_variant(tmp_path: Path) -> None:
    """The same order twice is one job; another order that writes the variant is refused."""
    path = tmp_path / "workspace"
    workspace = Workspace(path, create=True)
    code = "import sys; sys.argv = ['tdw', *sys.argv[1:]]; import cli; cli.main()"
    sizes = [word for name, value in SIZES.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-c", code, "train", "modular_addition", "--p", "5", "--seed", "1", *sizes]
    command += ["--epochs", "3000", "--checkpoints", "0,3000", "--device", "cpu", "--workspace", str(path)]
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate()[1] for process in both]
    assert {process.returncode for process in both} <= {0, 1}
    assert 0 in {process.returncode for process in both}
    for process, text in zip(both, told, strict=True):
        assert process.returncode == 0 or "does this already" in text or "is already in" in text, text
    assert workspace[NAME].epochs == [0, 3000]
    assert problems(mended(workspace)) == []
    job, _ = enlist(workspace, parse({**ORDER, "go_on": True, "epochs": 4000}))
    with pytest.raises(BadParameter, match=f"{NAME} is being written by the job {job.id}"):
        enlist(workspace, parse({"kind": "resume", "variant": NAME}))


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"\0" * 4096)


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_checkpoint(workspace: Workspace, damage: Callable[[Path], None]) -> None:
    damage(workspace[NAME].at(8).path)
    (found,) = problems(workspace)
    assert "is damaged" in found
    after = mended(workspace)
    assert 8 not in after[NAME].epochs
    assert len(after[NAME].epochs) == 8
    order = {"kind": "densify", "variant": NAME, "epochs": "8", "device": "cpu"}
    assert do(after, order).state == "done", "made again by a replay from the start"
    assert len(after[NAME].epochs) == 9


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_result(workspace: Workspace, damage: Callable[[Path], None]) -> None:
    variant = workspace[NAME]
    ((probe, analyzer, key, _),) = [one for one in variant.artifacts.listing() if one[1] == "gini"]
    damage(variant.artifacts.path(probe, analyzer, key))
    assert any("cannot be read" in found for found in problems(workspace))
    after = mended(workspace)
    assert do(after, ANALYSIS).state == "done"
    assert after[NAME].artifacts.read(probe, analyzer, key)["epoch"].size == 9


def test_a_damaged_database(workspace: Workspace) -> None:
    file = workspace.database.file
    assert file is not None
    with workspace.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    workspace.database.close()
    content = bytearray(file.read_bytes())
    content[4096 : 3 * 4096] = b"\xff" * (2 * 4096)
    file.write_bytes(bytes(content))
    hurt = Workspace(workspace.path)
    assert any("catalog: The database" in found for found in problems(hurt))
    after = mended(hurt)
    assert [entry.name for entry in after.catalog.refresh()] == [NAME]
    assert do(after, {"kind": "resume", "variant": NAME, "epochs": 40, "device": "cpu"}).state == "done"


def test_a_job_whose_process_is_gone_is_found_and_released(workspace: Workspace) -> None:
    job, _ = enlist(workspace, parse({"kind": "resume", "variant": NAME, "epochs": 40, "device": "cpu"}))
    child = os.fork()
    if child == 0:
        JobStore(Workspace(workspace.path).database).claim(job.id)
        os._exit(0)
    os.waitpid(child, 0)
    assert problems(workspace) == [
        f"job {job.id}: Go on with {NAME} is running, but the process that does it is gone."
    ]
    mended(workspace)
    assert JobStore(workspace.database).get(job.id).state == "interrupted"
