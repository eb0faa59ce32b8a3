"""SIGKILL at random moments of training loses nothing: what was killed goes on, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys

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
from training.run import train_variant

root, kills = Path(sys.argv[1]), int(sys.argv[2])
CONFIG = {"d_model": 8, "n_heads": 1, "d_head": 4, "d_mlp": 8}
NAME = "p5-s1-d598-dm8-h1-dh4-mlp8"
EPOCHS = 32

def fork(where):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        train_variant(Workspace(where, create=True), "modular_addition", {"p": 5, "seed": 1}, CONFIG, EPOCHS,
                      "0:32:4", "cpu", resume=True, state_every=4)
        status = 0
    finally:
        os._exit(status)

def ended(child):
    pid, status = os.waitpid(child, os.WNOHANG)
    assert not pid or status in (0, signal.SIGKILL), status
    return bool(pid)

def files(where):
    variant = Workspace(where)[NAME]
    found = {path.name: path.read_bytes() for path in (variant.path / "checkpoints").glob("epoch_*")}
    last = variant.load_optimizer(EPOCHS)
    found |= {name: tensor.numpy().tobytes() for name, tensor in last.items()}
    return found | {name: values.values.tobytes() for name, values in variant.history.variables.items()}

start = time.perf_counter()
child = fork(root / "whole")
assert os.waitpid(child, 0)[1] == 0
duration = time.perf_counter() - start
whole = files(root / "whole")
assert len([name for name in whole if name.startswith("epoch_")]) == 9

random.seed(0)
done = runs = deleted = 0
while done < kills:
    where = root / f"run{runs}"
    child = fork(where)
    time.sleep(random.uniform(0, 0.8 * duration))
    if not ended(child):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done += 1
        if done in (20, 40) and NAME in Workspace(where):  # what was killed can be deleted and trained again
            Workspace(where).delete_variant(NAME)
            deleted += 1
        continue
    found = files(where)
    differ = sorted(name for name in whole if found.get(name) != whole[name])
    assert found == whole, f"run {runs} differs in {differ}"
    runs += 1
child = fork(root / f"run{runs}")
assert os.waitpid(child, 0)[1] == 0
assert files(root / f"run{runs}") == whole
assert deleted
print("killed", done, "finished", runs + 1, "a whole run takes", duration)
"""


def test_killed_at_fifty_random_moments(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), "50"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("killed 50 finished")
