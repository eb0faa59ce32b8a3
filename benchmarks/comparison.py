"""How fast curves of many variants are laid over each other: `python -m benchmarks.comparison`.

    python -m benchmarks.comparison [--variants 100] [--rounds 5] [--json FILE]

The server's part only, on the shipped samples: runs that have no more than a history come first. An answer is
the encoded figure as the page gets it. Cold: nothing was read of any variant. Switch: everything was read
before, and the figure is made anew for another alignment. Reference, in the same run: drawing the losses of
every variant as Explore does, histories read before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from analyzers.comparison.alignment import ALIGNMENTS
from data import Workspace
from renderers.comparison.service import ComparisonService
from renderers.encode import encode

SIZE = (1100, 420)


def taken(ask: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median wall-clock and processor time in milliseconds."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        walls.append(1_000 * (time.perf_counter() - wall))
        cpus.append(1_000 * (time.process_time() - cpu))
    return {"median_ms": statistics.median(walls), "cpu_ms": statistics.median(cpus), "rounds": float(rounds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace", create=True)
        workspace.add_samples()
        workspace.catalog.refresh()
        names, rows = _measured(workspace.path, given.variants, given.rounds)
    for name, row in rows.items():
        print(f"{name:54s} {row['median_ms']:8.0f} ms   processor {row['cpu_ms']:8.0f} ms")
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "variants": len(names),
        "rows": rows,
    }
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def _measured(folder: Path, variants: int, rounds: int) -> tuple[list[str], dict[str, dict[str, float]]]:
    opened = Workspace(folder)
    ordered = sorted(opened.variants(), key=lambda variant: len(variant.epochs))
    names = [variant.name for variant in ordered][:variants]

    def answer(service: ComparisonService, **asked: Any) -> object:
        how = {key: asked.pop(key) for key in ("align", "colour_by") if key in asked}
        return encode(service.open("overlay", service.cohort(names, **how), size=SIZE, **asked).raw())

    def cold(**asked: Any) -> object:
        return answer(ComparisonService(Workspace(folder)), **asked)

    cold()  # imports
    warm = ComparisonService(Workspace(folder))
    for name in ALIGNMENTS:
        answer(warm, align=name)

    def apart() -> object:
        return [encode(opened[name].view("loss_curves").raw()) for name in names]

    apart()
    rows = {
        "reference: losses of every variant, each drawn alone": taken(apart, rounds),
        "cold": taken(cold, rounds),
        "cold, by the turn": taken(lambda: cold(align="turn_scaled"), rounds),
    }
    for name, title in ALIGNMENTS.items():
        rows[f"switch to {title}"] = taken(partial(answer, warm, align=name), rounds)
    bands = {"bands": "median and quartiles", "colour_by": "p", "align": "phases"}
    return names, rows | {"with bands by p": taken(lambda: answer(warm, **bands), rounds)}


if __name__ == "__main__":
    main()
