"""Twenty people at once: each steps through the epochs of a run and sees its figures, for a minute.

    .venv/bin/python benchmarks/load.py [--users 20] [--seconds 60] [--address http://127.0.0.1:8050]

Without an address it serves the shipped samples on loopback, analysed before the clock starts, with gunicorn
as deploy/ says. A person looks at a step for `--pause` seconds, then takes the next one; a step asks for the
figures that depend on the epoch and stand on one screen, at once, as the page does. The reference of the same
run is one person alone.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import requests

from analyzers.pipeline import analyze
from data import Workspace
from data.workspace import SAMPLES

VIEWS = (
    "neuron_clusters",
    "neuron_map",
    "neuron_spectrum",
    "embedding_fourier",
    "attention_maps",
    "query_scores",
)
ROOT = Path(__file__).parents[1]
AT_ONCE = 6  # connections that a browser opens to one server


@contextmanager
def served(folder: Path, source: Path) -> Iterator[str]:
    """A copy of `source` with every standard result, behind gunicorn; yields the address."""
    shutil.copytree(source, folder / "workspace")
    workspace = Workspace(folder / "workspace")
    for variant in workspace.variants():
        if variant.epochs:
            analyze(variant)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = {
        **os.environ,
        "TDW_WORKSPACE": str(workspace.path),
        "TDW_BIND": f"127.0.0.1:{port}",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                requests.get(address, timeout=10).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


class Person:
    """Somebody who steps through a run; `steps`: seconds until all figures of each were there."""

    def __init__(self, address: str, variant: str, views: list[str], pause: float, seed: int) -> None:
        self.address, self.variant, self.views, self.pause = address, variant, views, pause
        self.steps: list[float] = []
        self.errors: list[str] = []
        self._random = random.Random(seed)
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=AT_ONCE))
        self._epochs = self._session.get(f"{address}/_info", params={"variant": variant}, timeout=60).json()[
            "epochs"
        ]

    def work(self, until: float) -> None:
        at = self._random.randrange(len(self._epochs))
        time.sleep(self._random.uniform(0, self.pause))
        with ThreadPoolExecutor(AT_ONCE) as browser:
            while time.monotonic() < until:
                begun = time.perf_counter()
                list(browser.map(lambda view, epoch=self._epochs[at]: self._ask(view, epoch), self.views))
                self.steps.append(time.perf_counter() - begun)
                at = (at + 1) % len(self._epochs)
                time.sleep(self.pause)

    def _ask(self, view: str, epoch: int) -> None:
        asked = {
            "view": view,
            "variant": self.variant,
            "selection": {"epoch": epoch, "neuron": 37, "head": 0, "frequency": 1, "pair": 0},
            "params": {},
            "theme": "light",
            "density": "compact",
            "size": [400, 240],
        }
        try:
            answer = self._session.post(f"{self.address}/_figure", json=asked, timeout=60)
            state = answer.json()["state"] if answer.ok else f"HTTP {answer.status_code}"
        except (requests.RequestException, ValueError) as error:
            state = repr(error)
        if state != "figure":
            self.errors.append(f"{view} at {epoch}: {state}")


def crowd(address: str, users: int, seconds: float, pause: float) -> list[Person]:
    """`users` people at once, spread over the runs that have checkpoints."""
    known = requests.get(f"{address}/_info", timeout=60).json()["variants"]
    variants = [one["value"] for one in known if one["checkpoints"]]
    people = [Person(address, variants[i % len(variants)], list(VIEWS), pause, i) for i in range(users)]
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=person.work, args=(until,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return people


def told(label: str, people: list[Person]) -> None:
    steps = np.array([step for person in people for step in person.steps]) * 1000
    errors = [error for person in people for error in person.errors]
    middle, high, most = np.percentile(steps, [50, 95, 100])
    print(
        f"{label}: {steps.size} steps of {len(VIEWS)} figures, {len(errors)} errors; a step takes"
        f" {middle:.0f} ms (median), {high:.0f} ms (95th percentile), {most:.0f} ms (longest)"
    )
    for error in errors[:5]:
        print("  ", error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=1.0)
    parser.add_argument("--address", help="of a server that runs already")
    parser.add_argument("--workspace", type=Path, default=SAMPLES, help="what is served, without an address")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, pause {given.pause} s")
    with tempfile.TemporaryDirectory() as folder:
        if given.address:
            measure(given.address, given)
        else:
            with served(Path(folder), given.workspace) as address:
                measure(address, given)


def measure(address: str, given: argparse.Namespace) -> None:
    told("cold, all users", crowd(address, given.users, given.seconds, given.pause))
    told("again, all users", crowd(address, given.users, given.seconds, given.pause))
    told("one user alone", crowd(address, 1, min(20, given.seconds), given.pause))


if __name__ == "__main__":
    main()
