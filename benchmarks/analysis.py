"""Seconds per checkpoint of every analyzer, and bytes per checkpoint of what is stored, at p = 113.

    python benchmarks/analysis.py [--checkpoints 10] [--p 113] [--also NAMES] [--workers 2] [--json FILE]

Makes a variant in a temporary workspace (weights of the reference model with drift between checkpoints, so
that the arrays are as hard to compress as they get) and analyses it with the pipeline that everything else
uses. Shared features (the forward pass over the grid, its Fourier transforms, ...) are computed once per
checkpoint and listed on their own; an analyzer's own time is what it adds. The first and the last checkpoint
warm up and are not counted. Analyzers that look at a whole run are given per run. What is not standard (the
landscape) is measured with --also. The budget is 5 s and 500 kB per checkpoint for all standard ones.
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
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from analyzers.pipeline import Report, analyze
from analyzers.registry import default_registry
from data import Variant, Workspace
from training.families import modular_addition

BUDGET_SECONDS, BUDGET_BYTES = 5.0, 500_000


def make_variant(folder: Path, p: int, checkpoints: int) -> Variant:
    """A variant of the default model with `checkpoints` + 2 checkpoints, and a history with a turn."""
    params = modular_addition.Params(p=p, seed=999)
    config = modular_addition.TrainingConfig()
    variant = Workspace(folder, create=True).create_variant(modular_addition.record(params, config))
    weights = modular_addition.init_weights(params, config)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(checkpoints + 2):
        variant.save_checkpoint(100 * epoch, weights)
        weights = {
            name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in weights.items()
        }
    epochs = np.arange(100 * (checkpoints + 1) + 1)
    share = epochs / epochs[-1]
    losses = {
        "train_loss": 10 ** (0.7 - 6 * share),
        "test_loss": 10 ** (1 - 6 / (1 + np.exp(-40 * (share - 0.6)))),
    }
    variant.save_history({"epoch": epochs, **losses})
    return variant


def measure(p: int, checkpoints: int, also: list[str], workers: int) -> dict[str, Any]:
    """All figures of one run."""
    registry = default_registry()
    standard = [found.name for found in registry if found.stored and found.standard]
    with tempfile.TemporaryDirectory() as folder:
        variant = make_variant(Path(folder) / "workspace", p, checkpoints)
        warm = iter([False, False])
        analyze(variant, [*standard, *also], should_stop=lambda: next(warm, True))
        started, at_work = time.perf_counter(), time.process_time()
        report: Report = analyze(variant, [*standard, *also])
        elapsed, at_work = time.perf_counter() - started, time.process_time() - at_work
        if report.failures:
            raise SystemExit(f"{report.failures[0]} (and {len(report.failures) - 1} more)")
        sizes = {}
        for name in [*standard, *also]:
            path = variant.artifacts.path("grid", name, registry.key(name))
            sizes[name] = path.stat().st_size
        shared = _shared(Path(folder) / "shared", p, checkpoints, workers) if workers > 1 else None
    scope = {found.name: found.scope for found in registry}
    each: dict[str, dict[str, Any]] = {
        name: {
            "scope": scope[name],
            "seconds": report.seconds[name] / report.computed[name],
            "bytes": sizes[name] / (checkpoints + 2),
        }
        for name in sizes
    }
    own = sum(each[name]["seconds"] for name in standard if scope[name] == "checkpoint")
    features = {name: spent / checkpoints for name, spent in report.features.items()}
    return {
        "p": p,
        "checkpoints": checkpoints,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "features_seconds_per_checkpoint": features,
        "analyzers": each,
        "standard_seconds_per_checkpoint": own + sum(features.values()),
        "standard_bytes_per_checkpoint": sum(sizes[name] for name in standard) / (checkpoints + 2),
        "all_seconds_with_files": elapsed,
        "all_processor_seconds_with_files": at_work,
        "with_workers": shared,
    }


def _shared(folder: Path, p: int, checkpoints: int, workers: int) -> dict[str, float]:
    """Seconds for the standard analyzers on a fresh variant: in this process, and shared by workers."""
    found = {}
    for count in (1, workers):
        variant = make_variant(folder / str(count), p, checkpoints)
        started = time.perf_counter()
        analyze(variant, workers=count)
        found[f"{count} process{'es' if count > 1 else ''}"] = time.perf_counter() - started
    return found


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables, the slowest first."""
    print(
        f"p = {figures['p']}, {figures['checkpoints']} checkpoints; {figures['machine']}; torch"
        f" {figures['torch']}, {figures['threads']} threads"
    )
    print("\nshared feature                ms per checkpoint")
    for name, spent in sorted(figures["features_seconds_per_checkpoint"].items(), key=lambda item: -item[1]):
        print(f"  {name:28}{1e3 * spent:10.1f}")
    for scope, unit in (("checkpoint", "checkpoint"), ("trajectory", "run")):
        print(f"\n{f'per {scope}':30}{f'ms per {unit}':>17}    bytes per checkpoint")
        rows = [(name, one) for name, one in figures["analyzers"].items() if one["scope"] == scope]
        for name, one in sorted(rows, key=lambda row: -row[1]["seconds"]):
            print(f"  {name:28}{1e3 * one['seconds']:17.1f}{one['bytes']:24,.0f}")
    print(
        f"\nstandard, per checkpoint: {figures['standard_seconds_per_checkpoint']:.2f} s of"
        f" {BUDGET_SECONDS:g}, {figures['standard_bytes_per_checkpoint'] / 1e3:,.0f} kB of"
        f" {BUDGET_BYTES / 1e3:,.0f};"
        f" everything with files: {figures['all_seconds_with_files']:.1f} s,"
        f" {figures['all_processor_seconds_with_files']:.1f} s of them at work (the rest: other programs)"
    )
    for name, spent in (figures["with_workers"] or {}).items():
        print(f"  {name}: {spent:.1f} s for {figures['checkpoints'] + 2} checkpoints")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--p", type=int, default=113)
    parser.add_argument("--checkpoints", type=int, default=10)
    parser.add_argument("--also", default="", help="analyzers that are not standard, separated by commas")
    parser.add_argument("--workers", type=int, default=1, help="compare with that many processes")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    also = [name for name in arguments.also.split(",") if name]
    figures = measure(arguments.p, arguments.checkpoints, also, arguments.workers)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
