"""How fast the page answers, in headless Chromium: `python -m benchmarks.interaction --workspace DIR`.

An action starts when the selection changes in the page (what a click or a key does first) and ends when the
frame that shows the change has been painted: a message posted in its animation callback has arrived.
The first paint ends when every panel on the screen is drawn and the controls work. Prints a table; --json
writes the figures to a file. The server is started by this program, so the first paint is cold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from selenium import webdriver
from selenium.webdriver.chrome.options import Options

ACTIONS = 30
PATIENCE = 60.0

# Runs the change, waits for the condition, then for the frame. -> [milliseconds, requests, kilobytes]
ACT = """
const [change, condition, done] = [arguments[0], arguments[1], arguments[arguments.length - 1]];
const holds = new Function('return (' + condition + ')');
performance.clearResourceTimings();
const start = performance.now();
new Function(change)();
const look = () => {
  if (!holds()) return setTimeout(look, 1);
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const end = performance.now();
      setTimeout(() => {
        const asked = performance.getEntriesByType('resource');
        done([end - start, asked.length, asked.reduce((sum, one) => sum + one.transferSize, 0) / 1000]);
      }, 30);
    };
    channel.port2.postMessage(null);
  });
};
look();
"""

# Plays all epochs at the greatest speed. -> [milliseconds, requests, kilobytes] of every frame of the mosaic
PLAY = """
const done = arguments[arguments.length - 1];
const home = document.querySelector('.panel[data-view=neuron_mosaic]');
const epochs = tdw.selection.info().epochs;
const speed = document.getElementById('play-speed');
speed.value = speed.options[speed.options.length - 1].value;
performance.clearResourceTimings();
const frames = [];
let [last, shown] = [null, home.dataset.frames];
const look = () => {
  const now = performance.now();
  if (home.dataset.frames !== shown) {
    const asked = performance.getEntriesByType('resource');
    const bytes = asked.reduce((sum, one) => sum + one.transferSize, 0);
    if (last !== null) frames.push([now - last, asked.length, bytes / 1000]);
    performance.clearResourceTimings();
    [last, shown] = [now, home.dataset.frames];
  }
  if (frames.length && tdw.selection.get().epoch === epochs[epochs.length - 1]) return done(frames);
  requestAnimationFrame(look);
};
tdw.scrubber.toggle();
look();
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="an analysed workspace")
    parser.add_argument("--variant", help="variant to use (default: the first one)")
    parser.add_argument("--actions", type=int, default=ACTIONS)
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    port = _free_port()
    query = f"?variant={given.variant}" if given.variant else ""
    rows: list[dict[str, Any]] = []
    with _browser() as driver, _server(given.workspace, port) as address:
        rows.append(_row("first paint, cold server and browser", [_load(driver, address + query)]))
        rows.append(_row("first paint, warm", [_load(driver, address + query) for _ in range(5)]))
        rows += _epoch_steps(driver, address + query, given.actions)
        rows += _neurons(driver, address + query, given.actions)
        rows += _mosaic(driver, address + query)
        rows.append(_reference(driver, address + query, given.actions))
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "variant": given.variant or "first",
        "rows": rows,
    }
    _show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def _epoch_steps(driver: webdriver.Chrome, url: str, actions: int) -> Iterator[dict[str, Any]]:
    """One checkpoint at a time: the cursors of the time plots, then the figures that depend on the epoch.

    "First visit" goes over every checkpoint once, so that no figure is remembered.
    """
    _load(driver, url)
    _js(driver, "window.scrollTo(0, 0)")
    _settle(driver)
    epochs = _js(driver, "return tdw.selection.info().epochs")
    steps = [epochs[-1 - i % len(epochs)] for i in range(1, actions + 1)]
    cursors = "document.querySelectorAll('.panel[data-view=loss_curves] .cursor.of-epoch')"
    moved = f"[...{cursors}].some(one => one.dataset.value === '{{0}}')"
    yield _row(
        "epoch step, cursors of the time plots", [_act(driver, _epoch(e), moved.format(e)) for e in steps]
    )
    _load(driver, url)
    for view, neurons in (("neuron_clusters", (0,)), ("neuron_map", (101, 202))):
        _reveal(driver, view)
        shown = f"document.querySelector('.panel[data-view={view}]').dataset.drawn"
        for label in ("first visit", "cached"):
            times = []
            for neuron in neurons:
                _js(driver, f"tdw.selection.set({{neuron: {neuron}, epoch: {epochs[-1]}}}, 'replace')")
                _settle(driver)
                visits = epochs[:-1] if label == "first visit" else steps
                times += [
                    _act(driver, _epoch(e), f"JSON.parse({shown}).selection.epoch === {e}") for e in visits
                ]
            yield _row(f"epoch step, {view} painted, {label}", times)


def _neurons(driver: webdriver.Chrome, url: str, actions: int) -> Iterator[dict[str, Any]]:
    """Neuron click to its map painted."""
    _load(driver, url)
    _reveal(driver, "neuron_map")
    limit = _js(driver, "return tdw.selection.info().limits.neuron[1]")
    neurons = [(i * 37 + 101) % (limit + 1) for i in range(actions)]
    shown = "document.querySelector('.panel[data-view=neuron_map]').dataset.drawn"
    for label in ("first visit", "cached"):
        times = [
            _act(
                driver,
                f"tdw.selection.set({{neuron: {n}}}, 'push')",
                f"JSON.parse({shown}).selection.neuron === {n}",
            )
            for n in neurons
        ]
        yield _row(f"neuron click to its map painted, {label}", times)


def _mosaic(driver: webdriver.Chrome, url: str) -> Iterator[dict[str, Any]]:
    """All epochs played twice at the greatest speed, once all of them are loaded: time per frame."""
    _load(driver, url)
    if not _js(driver, "return !!document.querySelector('.panel[data-view=neuron_mosaic]')"):
        return
    _reveal(driver, "neuron_mosaic")
    note = "document.querySelector('[data-view=neuron_mosaic] .tiles-note')"
    _wait(lambda: _js(driver, f"return {note} && {note}.textContent === ''"))
    frames: list[list[float]] = []
    for _ in range(2):
        frames += driver.execute_async_script(PLAY)
        _settle(driver)
    yield _row("mosaic, one frame of playing", frames)


def _reference(driver: webdriver.Chrome, url: str, actions: int) -> dict[str, Any]:
    """A change of nothing but one text, timed the same way: what the machine and the method cost."""
    _load(driver, url)
    change = "document.getElementById('status').textContent = String(performance.now())"
    return _row("reference: one text changed", [_act(driver, change, "true") for _ in range(actions)])


def _epoch(epoch: int) -> str:
    return f"tdw.selection.set({{epoch: {epoch}}}, 'replace')"


def _act(driver: webdriver.Chrome, change: str, condition: str) -> list[float]:
    measured: list[float] = driver.execute_async_script(ACT, change, condition)
    _settle(driver)
    return measured


def _load(driver: webdriver.Chrome, url: str) -> list[float]:
    """Milliseconds from navigation until every panel on screen is drawn, requests, kilobytes."""
    driver.get("about:blank")
    start = time.perf_counter()
    driver.get(url)
    _wait(lambda: _js(driver, "return !!(window.tdw && tdw.panels && tdw.panels.drawn())"))
    spent = (time.perf_counter() - start) * 1000
    _settle(driver)
    asked = _js(driver, "return performance.getEntriesByType('resource').map(one => one.transferSize)")
    return [spent, len(asked), sum(asked) / 1000]


def _reveal(driver: webdriver.Chrome, view: str) -> None:
    _js(driver, f"document.querySelector('.panel[data-view={view}]').scrollIntoView({{block: 'center'}})")
    seen = f"(tdw.panels.all().find(p => p.view === '{view}') || {{visible: true}}).visible"
    drawn = f"'drawn' in document.querySelector('.panel[data-view={view}]').dataset"
    _wait(lambda: _js(driver, f"return {seen} && tdw.panels.settled() && {drawn}"))


def _settle(driver: webdriver.Chrome) -> None:
    _wait(lambda: _js(driver, "return !!(window.tdw && tdw.panels && tdw.panels.settled())"))


def _wait(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"The page did not settle within {PATIENCE:.0f} s.")
        time.sleep(0.01)


def _js(driver: webdriver.Chrome, script: str) -> Any:
    return driver.execute_script(script)


def _row(name: str, measured: list[list[float]]) -> dict[str, Any]:
    times = sorted(one[0] for one in measured)
    return {
        "action": name,
        "n": len(times),
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
        "requests": round(statistics.mean(one[1] for one in measured), 2),
        "kilobytes": round(statistics.mean(one[2] for one in measured), 1),
    }


def _show(result: dict[str, Any]) -> None:
    print(f"{result['date']}, {result['machine']}, variant {result['variant']}")
    print(f"{'action':52} {'n':>4} {'median ms':>10} {'p95 ms':>9} {'requests':>9} {'kB':>9}")
    for row in result["rows"]:
        figures = f"{row['median_ms']:>10} {row['p95_ms']:>9} {row['requests']:>9} {row['kilobytes']:>9}"
        print(f"{row['action']:52} {row['n']:>4} {figures}")


@contextmanager
def _browser() -> Iterator[webdriver.Chrome]:
    options = Options()
    if chromium := shutil.which("chromium"):
        options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--window-size=1440,900",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options)
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def _server(workspace: Path, port: int) -> Iterator[str]:
    app = Path(__file__).resolve().parent.parent / "app.py"
    command = [sys.executable, str(app), "--workspace", str(workspace), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait(lambda: process.poll() is not None or _answers(address + "assets/favicon.svg"))
        if process.poll() is not None:
            raise SystemExit("The server did not start; its message is above.")
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
