"""How fast the Compare page is with many variants, in headless Chromium: `python -m benchmarks.compare`.

    python -m benchmarks.compare [--variants 1000] [--workspace DIR] [--overlay 100] [--json FILE]

The workspace is generated unless DIR has one. Every variant has a record of its own and a made-up history
with its turn at another time, which is found as usual. The summary of the first is computed as usual; the
others store one with the same metrics and other numbers. Everything is read back in the ordinary ways.

"Table painted" ends when its rows have been painted; cold means that the server has answered nothing but its
start and the browser has stored nothing. An action ends as in benchmarks/interaction.py, whose reference (one
text changed) is measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from selenium import webdriver

from analyzers.pipeline import analyze
from analyzers.planning import PROBE
from analyzers.registry import default_registry
from benchmarks.interaction import _act, _browser, _free_port, _js, _row, _server, _settle, _show, _wait
from data import Variant, Workspace
from training.families import modular_addition

SUMMARY = "run_summary"
EPOCHS = 5_000
ROUNDS = 5
PRIMES = (97, 101, 103, 107, 109, 113, 127)
PAINTED = "document.querySelectorAll('#compare-grid .ag-center-cols-container .ag-row').length > 8"
OVERLAY = "document.querySelector('.panel[data-view=overlay]')"


def fill(path: Path, count: int) -> Workspace:
    """A workspace with `count` variants; see the head of this file."""
    workspace = Workspace(path, create=True)
    random = np.random.default_rng(0)
    template: xr.Dataset | None = None
    for index in range(count):
        params = modular_addition.Params(p=PRIMES[index % len(PRIMES)], seed=index // len(PRIMES))
        record = modular_addition.record(params, modular_addition.TrainingConfig())
        with workspace.whole_variant(record) as variant:
            variant.save_history(_history(random.uniform(0.2, 0.8)))
        variant = workspace[record.name]
        analyze(variant, ("turn",) if template is not None else ("turn", SUMMARY))
        if template is None:
            template = variant.artifact(SUMMARY).load()
        _store(variant, template, random)
    workspace.catalog.refresh()
    return workspace


def _history(turn: float) -> dict[str, np.ndarray]:
    epoch = np.arange(EPOCHS + 1)
    turned = 1 / (1 + np.exp(-(epoch - turn * EPOCHS) / (0.02 * EPOCHS)))
    return {
        "epoch": epoch,
        "train_loss": 4.6 * np.exp(-epoch / 60) + 1e-7,
        "test_loss": np.exp(np.log(4.6 + 12 * (1 - np.exp(-epoch / 40))) - 17 * turned),
        "lr": np.full(len(epoch), 1e-3),
        "weight_norm": 50 * np.exp(-epoch / 4_000),
    }


def _store(variant: Variant, template: xr.Dataset, random: np.random.Generator) -> None:
    """The template's metrics with other numbers, events with an interval of 50 epochs."""
    made = template.copy(deep=True)
    size = made.sizes["metric"]
    old = made["value"].values
    new = np.where(np.isfinite(old), np.abs(old) + 0.01, random.uniform(0, 1, size)) * random.uniform(
        0.5, 2, size
    )
    unit = [one["unit"] for one in json.loads(made.attrs["metrics"])]
    events = np.array([one == "epoch" for one in unit])
    new[events] = np.round(random.uniform(100, EPOCHS, events.sum()))
    new[made["metric"].values == "classification"] = random.integers(1, 7)
    made["value"].values[:] = new
    made["upper"].values[:] = np.where(events, new, np.nan)
    made["lower"].values[:] = np.where(events, new - 50, np.nan)
    made.attrs.update(variant=variant.identity)
    key = default_registry().key(SUMMARY, PROBE, {})
    variant.artifacts.replace(PROBE, SUMMARY, key, made)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=1_000)
    parser.add_argument("--workspace", type=Path, help="where to generate it, or where it is")
    parser.add_argument("--overlay", type=int, default=100, help="variants that are laid over each other")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    with _workspace(given.workspace, given.variants) as path:
        rows = _measure(path, given.overlay)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "variant": f"{given.variants} variants",
        "rows": rows,
    }
    _show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


@contextmanager
def _workspace(path: Path | None, count: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        chosen = path or Path(folder) / "workspace"
        if not (chosen / "variants").is_dir():
            fill(chosen, count)
        yield chosen


def _measure(workspace: Path, overlay: int) -> list[dict[str, Any]]:
    rows = []
    with _browser() as driver, _server(workspace, _free_port()) as address:
        url = address + "compare"
        rows.append(_row("table painted, cold server and browser", [_load(driver, url)]))
        rows.append(_row("table painted, warm", [_load(driver, url) for _ in range(ROUNDS)]))
        rows.append(
            _row("from Explore to the painted table, warm", [_open(driver, address) for _ in range(ROUNDS)])
        )
        rows += _table(driver, url)
        rows += _overlay(driver, url, overlay)
        _load(driver, url)
        change = "document.getElementById('status').textContent = String(performance.now())"
        rows.append(_row("reference: one text changed", [_act(driver, change, "true") for _ in range(30)]))
    return rows


def _load(driver: webdriver.Chrome, url: str) -> list[float]:
    """Milliseconds from navigation until the rows are painted, requests, kilobytes."""
    driver.get("about:blank")
    start = time.perf_counter()
    driver.get(url)
    _wait(lambda: _js(driver, f"return {PAINTED}"))
    spent = (time.perf_counter() - start) * 1000
    _wait(lambda: _js(driver, "return tdw.compareGrid.settled()"))
    asked = _js(driver, "return performance.getEntriesByType('resource').map(one => one.transferSize)")
    return [spent, len(asked), sum(asked) / 1000]


def _open(driver: webdriver.Chrome, address: str) -> list[float]:
    driver.get("about:blank")
    driver.get(address)
    _wait(lambda: _js(driver, "return !!(window.tdw && tdw.panels && tdw.panels.settled())"))
    return _act(driver, "tdw.router.go('compare')", PAINTED)


def _table(driver: webdriver.Chrome, url: str) -> Iterator[dict[str, Any]]:
    """Sorting by a metric, a search, all columns at once, and one scroll to the end."""
    _load(driver, url)
    shown = "document.querySelector('#compare-grid .ag-row[row-index=\"0\"] .compare-open').dataset.name"
    times = []
    for way in ("asc", "desc") * ROUNDS:
        before = _js(driver, f"return {shown}")
        times.append(
            _act(
                driver, f"tdw.compare.setOptions({{sort: 'm:turn, onset:{way}'}})", f"{shown} !== '{before}'"
            )
        )
    yield _row("table sorted by another metric", times)
    search = "tdw.compare.setOptions({{q: {0}}}, 'replace')"
    count = "tdw.compare.shown().length"
    times = []
    for text in ("'p101'", "null") * ROUNDS:
        before = _js(driver, f"return {count}")
        times.append(_act(driver, search.format(text), f"{count} !== {before}"))
    yield _row("rows searched", times)


def _overlay(driver: webdriver.Chrome, url: str, count: int) -> Iterator[dict[str, Any]]:
    """A selection of many to their curves painted, then other alignments of the same curves."""
    times, switches = [], []
    for round_ in range(3):
        _load(driver, url)
        _js(driver, f"{OVERLAY}.scrollIntoView({{block: 'center'}})")
        _wait(lambda: _js(driver, f"return {OVERLAY}.dataset.state === 'hint'"))
        _settle(driver)
        names = f"tdw.compare.table().names.slice({round_ * count}, {(round_ + 1) * count})"
        drawn = f"{OVERLAY}.dataset.drawn && {OVERLAY}.dataset.state === 'figure' && tdw.panels.settled()"
        times.append(_act(driver, f"tdw.compare.select({names})", drawn))
        for align in ("turn_scaled", "log_epoch", "turn_relative", "epoch"):
            done = f"JSON.parse({OVERLAY}.dataset.drawn).align === '{align}'"
            switches.append(_act(driver, f"tdw.compare.setOptions({{align: '{align}'}})", done))
    yield _row(f"{count} curves laid over each other", times)
    yield _row(f"alignment of {count} curves switched", switches)


if __name__ == "__main__":
    main()
