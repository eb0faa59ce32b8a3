"""How fast the catalog answers what people ask, with 1,000 variants and 176,000 metric rows.

    python benchmarks/catalog.py [--variants 1000] [--metrics 176] [--rounds 20] [--json FILE]

The rows are made up and go straight into the database (SQLite in a new folder, or `TDW_DATABASE_URL`, whose
database is filled and must be empty). The reference in the same run is a scan in Python: reading all metric
rows once and filtering there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from data import Workspace
from data.catalog_rows import vector
from data.database.models import CheckpointRow, MetricRow, MetricVectorRow, VariantRow


def fill(workspace: Workspace, variants: int, metrics: int) -> None:
    """`variants` made-up variants with 25 checkpoints and `metrics` metrics each; a fifth never turned."""
    rng = np.random.default_rng(0)
    names = [f"p{97 + i % 16}-s{i}-d598" for i in range(variants)]
    with workspace.database.writing() as session:
        session.execute(
            insert(VariantRow),
            [
                {
                    "name": name,
                    "family": "modular_addition",
                    "identity": f"{i:064x}",
                    "params": {"p": 97 + i % 16, "seed": i, "data_seed": 598, "frac_train": 0.3},
                    "config": {"lr": 1e-3, "weight_decay": 1.0},
                    "parent": names[i // 10 * 10] if i % 10 > 6 else None,
                    "trained_epochs": 25_000,
                    "final_train_loss": 1e-7,
                    "final_test_loss": 2e-7,
                    "token": str(i),
                    "results": str(i),
                }
                for i, name in enumerate(names)
            ],
        )
        session.execute(
            insert(CheckpointRow),
            [{"variant": name, "epoch": 1_000 * epoch} for name in names for epoch in range(25)],
        )
        for i, name in enumerate(names):
            values: dict[str, float | None] = {
                f"metric_{metric:03d}": float(rng.uniform(3_000, 25_000)) for metric in range(1, metrics)
            }
            values["turn_completion"] = None if i % 5 == 0 else float(rng.uniform(3_000, 25_000))
            rows = [{"variant": name, "name": metric, "value": value} for metric, value in values.items()]
            session.execute(insert(MetricRow), rows)
            session.execute(insert(MetricVectorRow), [vector(name, values)])


def median_ms(ask: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """(median, 95th percentile, median of this process's processor time) in milliseconds."""
    ask()
    times, busy = [], []
    for _ in range(rounds):
        started, used = time.perf_counter(), time.process_time()
        ask()
        times.append(1_000 * (time.perf_counter() - started))
        busy.append(1_000 * (time.process_time() - used))
    return statistics.median(times), float(np.quantile(times, 0.95)), statistics.median(busy)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=1_000)
    parser.add_argument("--metrics", type=int, default=176)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace", create=True)
        fill(workspace, chosen.variants, chosen.metrics)
        catalog = workspace.catalog
        some = [entry.name for entry in catalog.entries()[:10]]
        questions: dict[str, Callable[[], object]] = {
            "grokked by epoch 10,000": lambda: catalog.where("turn_completion", at_most=10_000),
            "all forks of a variant": lambda: catalog.forks_of(some[0], deep=True),
            "metric by prime": lambda: catalog.by_parameter("turn_completion", "p"),
            "all metrics of ten variants": lambda: catalog.metrics(variants=some),
            "every variant with its checkpoints": catalog.entries,
            "table of all metrics": catalog.frame,
            "table of three metrics": lambda: catalog.frame([f"metric_{i:03d}" for i in (1, 2, 3)]),
            "table of all parameters": catalog.parameters,
            "reference: read all metrics and filter in Python": lambda: [
                found
                for found in catalog.metrics()
                if found.name == "turn_completion" and (found.value or np.inf) <= 10_000
            ],
        }
        results = {}
        for name, ask in questions.items():
            middle, late, busy = median_ms(ask, chosen.rounds if "reference" not in name else 3)
            results[name] = {"median_ms": middle, "p95_ms": late, "processor_ms": busy}
            print(f"{name:50s} {middle:8.1f} ms   95 % {late:8.1f} ms   processor {busy:8.1f} ms")
        if chosen.json:
            chosen.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
