"""Seconds per checkpoint of every analyzer, and bytes per checkpoint of what is stored, at p = 113.

    python benchmarks/analysis.py [--checkpoints 10] [--p 113] [--json FILE]

Makes a variant in a temporary workspace (weights of the reference model with drift between checkpoints, so
that the arrays are as hard to compress as they get) and analyses it with the pipeline that everything else
uses. Shared features (the forward pass over the grid, its Fourier transforms, ...) are computed once per
checkpoint and listed on their own; an analyzer's own time is what it adds. The first checkpoint warms up and
is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from analyzers.pipeline import Report, analyze
from analyzers.service import AnalyzerService
from data import Variant, Workspace
from training.families import modular_addition


def make_variant(folder: Path, p: int, checkpoints: int) -> Variant:
    """A variant of the default model with `checkpoints` + 1 checkpoints."""
    params = modular_addition.Params(p=p, seed=999)
    config = modular_addition.TrainingConfig()
    variant = Workspace(folder, create=True).create_variant(modular_addition.record(params, config))
    weights = modular_addition.init_weights(params, config)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(checkpoints + 1):
        variant.save_checkpoint(100 * epoch, weights)
        weights = {
            name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in weights.items()
        }
    return variant


def measure(p: int, checkpoints: int) -> dict[str, object]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory() as folder:
        variant = make_variant(Path(folder) / "workspace", p, checkpoints)
        first = iter([False])
        analyze(variant, should_stop=lambda: next(first, True))
        started = time.perf_counter()
        report: Report = analyze(variant)
        elapsed = time.perf_counter() - started
        sizes = {
            status.analyzer: variant.artifacts.path("grid", status.analyzer, status.key).stat().st_size
            for status in AnalyzerService().status(variant)
        }
    return {
        "p": p,
        "checkpoints": checkpoints,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seconds_per_checkpoint": {
            "features": {name: spent / checkpoints for name, spent in report.features.items()},
            "analyzers": {name: spent / checkpoints for name, spent in report.seconds.items()},
            "all, with reading and writing": elapsed / checkpoints,
        },
        "bytes_per_checkpoint": {name: size / (checkpoints + 1) for name, size in sizes.items()},
        "bytes_per_checkpoint_all": sum(sizes.values()) / (checkpoints + 1),
    }


def show(figures: dict[str, object]) -> None:
    """Print the figures as a table."""
    seconds, sizes = figures["seconds_per_checkpoint"], figures["bytes_per_checkpoint"]
    assert isinstance(seconds, dict)
    assert isinstance(sizes, dict)
    print(
        f"p = {figures['p']}, {figures['checkpoints']} checkpoints; {figures['machine']}; torch"
        f" {figures['torch']}"
    )
    print("\nshared feature            ms per checkpoint")
    for name, spent in seconds["features"].items():
        print(f"  {name:24}{1e3 * spent:10.1f}")
    print("\nanalyzer                  ms per checkpoint    bytes per checkpoint")
    for name, spent in seconds["analyzers"].items():
        print(f"  {name:24}{1e3 * spent:10.1f}{sizes.get(name, 0):24,.0f}")
    total = seconds["all, with reading and writing"]
    print(f"  {'all, with files':24}{1e3 * total:10.1f}{figures['bytes_per_checkpoint_all']:24,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--p", type=int, default=113)
    parser.add_argument("--checkpoints", type=int, default=10)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    figures = measure(arguments.p, arguments.checkpoints)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    else:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
