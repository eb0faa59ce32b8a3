"""SIGKILL at random moments of training loses nothing: what was killed goes on, bit for bit.

Of a single variant, of a group in one batch, and of a fork, whose start is stored before it exists."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# One process imports everything and forks children that train; it kills them and starts others.
CODE = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
import safetensors.torch, sqlalchemy, xarray, zarr
xarray.Dataset(coords={"epoch": np.zeros(0)})  # imports more, so that the children need not
from data import Workspace
from training.forks import Change, fork_variant
from training.run import make_job, resume_variant, train_group, train_variant

root, what, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
FAMILY, CONFIG, EPOCHS = "modular_addition", {"d_model": 8, "n_heads": 1, "d_head": 4, "d_mlp": 8}, 32
OPTIONS = {"epochs": EPOCHS, "checkpoints": "0:32:4", "state_every": 4}
PARENT = "p5-s1-d598-dm8-h1-dh4-mlp8"
CHANGE = Change(lr=3e-3)
NAMES = {
    "single": [PARENT],
    "group": [f"p5-s{seed}-d598-dm8-h1-dh4-mlp8" for seed in (1, 2, 3)],
    "fork": [f"{PARENT}-at6-lr0.003"],
}[what]

def train(where):
    workspace = Workspace(where, create=True)
    if what == "single":
        train_variant(workspace, FAMILY, {"p": 5, "seed": 1}, CONFIG, device="cpu", resume=True, **OPTIONS)
    elif what == "group":
        jobs = [make_job(FAMILY, {"p": 5, "seed": seed}, CONFIG, **OPTIONS) for seed in (1, 2, 3)]
        outcomes = train_group(workspace, jobs, "cpu", resume=True)
        assert not any(outcome.error for outcome in outcomes)
    elif NAMES[0] in workspace:
        resume_variant(workspace[NAMES[0]], device="cpu")
    else:
        fork_variant(workspace[PARENT], 6, CHANGE, device="cpu", **OPTIONS)

def prepare(where):
    if what == "fork":
        workspace = Workspace(where, create=True)
        train_variant(workspace, FAMILY, {"p": 5, "seed": 1}, CONFIG, device="cpu", **OPTIONS)
        for epoch in workspace[PARENT].optimizer_epochs:
            workspace[PARENT].drop_optimizer(epoch)  # the fork is replayed from the initialisation

def child(where):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        train(where)
        status = 0
    finally:
        os._exit(status)

def ended(pid):
    done, status = os.waitpid(pid, os.WNOHANG)
    assert not done or status in (0, signal.SIGKILL), status
    return bool(done)

def files(where):
    found = {}
    for name in NAMES:
        variant = Workspace(where)[name]
        assert not [path for path in variant.path.rglob(".*.tmp")]
        for path in (variant.path / "checkpoints").glob("epoch_*"):
            found[name, path.name] = path.read_bytes()
        last = variant.load_optimizer(EPOCHS)
        found |= {(name, key): tensor.numpy().tobytes() for key, tensor in last.items()}
        found |= {(name, key): values.values.tobytes() for key, values in variant.history.variables.items()}
    return found

whole = root / "whole"
prepare(whole)
start = time.perf_counter()
assert os.waitpid(child(whole), 0)[1] == 0
duration = time.perf_counter() - start
whole = files(whole)
assert sum(key.startswith("epoch_") for _, key in whole) == {"single": 9, "group": 27, "fork": 8}[what]

random.seed(0)
done = runs = deleted = 0
prepare(root / "run0")
while done < kills:
    where = root / f"run{runs}"
    pid = child(where)
    time.sleep(random.uniform(0, 0.8 * duration))
    if not ended(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        done += 1
        if done % 8 == 4 and NAMES[-1] in Workspace(where):  # what was killed can be deleted and made again
            Workspace(where).delete_variant(NAMES[-1])
            deleted += 1
        continue
    found = files(where)
    differ = sorted(key for key in whole if found.get(key) != whole[key])
    assert found == whole, f"run {runs} differs in {differ}"
    runs += 1
    prepare(root / f"run{runs}")
assert os.waitpid(child(root / f"run{runs}"), 0)[1] == 0
assert files(root / f"run{runs}") == whole
assert deleted
print("killed", done, "finished", runs + 1, "a whole run takes", duration)
"""


@pytest.mark.parametrize(("what", "kills"), [("single", 50), ("group", 12), ("fork", 12)])
def test_killed_at_random_moments(tmp_path, what, kills):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), what, str(kills)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"killed {kills} finished")
