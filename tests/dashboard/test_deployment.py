"""The dashboard as it is deployed: several processes behind a password, PostgreSQL, Redis and a worker."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import postgres
import pytest
import requests
from planted import plant

from dashboard.server import create_app

ROOT = Path(__file__).parents[2]
USER = ("tdw", "a password")


def wait(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.1)


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
        try:
            yield started
        finally:
            started.terminate()
            started.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code == 401
    except requests.RequestException:
        return False


@pytest.mark.skipif(
    shutil.which("redis-server") is None or postgres.binaries() is None, reason="needs Redis and PostgreSQL"
)
def test_gunicorn_with_postgresql_redis_and_a_worker(tmp_path: Path) -> None:
    planted = plant(tmp_path / "workspace")
    name = planted.variants()[0].name
    redis = tmp_path / "redis.sock"
    server = [shutil.which("redis-server") or "", "--port", "0", "--unixsocket", str(redis), "--save", ""]
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        database = stack.enter_context(postgres.running(tmp_path / "postgres"))
        queue = subprocess.Popen([*server, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
        stack.callback(queue.wait)
        stack.callback(queue.terminate)
        wait(redis.exists)
        environment = {
            "TDW_WORKSPACE": str(planted.path),
            "TDW_DATABASE_URL": database,
            "REDIS_URL": f"redis+socket://{redis}",
            "TDW_PASSWORD": USER[1],
            "TDW_BIND": f"127.0.0.1:{port}",
            "OMP_NUM_THREADS": "1",
        }
        worker = ["celery", "-A", "dashboard.work.queue", "worker", "--concurrency", "1"]
        stack.enter_context(process(worker, environment, tmp_path / "worker.log"))
        web = ["gunicorn", "-c", "deploy/gunicorn.conf.py"]
        stack.enter_context(process(web, environment, tmp_path / "web.log"))
        wait(lambda: answers(address), 120)

        page = requests.get(address, auth=USER, timeout=20)
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        order = {"kind": "analyze", "variants": [name], "analyzers": ["weight_norms"]}
        made = requests.post(f"{address}/_jobs/describe", json=order, auth=USER, timeout=20)
        assert made.json()["conflicts"] == []
        ident = request_of_a_page(address, order)
        wait(lambda: job(address, ident)["state"] == "done")
        assert "results computed" in job(address, ident)["message"]
        for _ in range(6):  # whichever process answers
            assert requests.get(f"{address}/_jobs", auth=USER, timeout=20).json()[0]["id"] == ident
    assert not (planted.path / "catalog.sqlite").exists()


def request_of_a_page(address: str, order: dict[str, object]) -> str:
    """Start a job as the page does: dash's background callback, then its ticket."""
    listed = requests.get(f"{address}/_dash-dependencies", auth=USER, timeout=20).json()
    output = next(one["output"] for one in listed if "ticket" in one["output"])
    asked = {
        "output": output,
        "outputs": {"id": "ticket", "property": "data"},
        "inputs": [{"id": "work", "property": "data", "value": {"order": order, "page": "one", "at": 1}}],
        "changedPropIds": ["work.data"],
    }
    path = f"{address}/_dash-update-component"
    begun = requests.post(path, json=asked, auth=USER, timeout=20).json()
    query = {"cacheKey": begun["cacheKey"], "job": begun["job"]}
    ticket = requests.post(path, params=query, json=asked, auth=USER, timeout=20).json()
    found: str = ticket["response"]["ticket"]["data"]["job"]
    return found


def job(address: str, ident: str) -> dict[str, str]:
    found: dict[str, str] = requests.get(f"{address}/_jobs/{ident}", auth=USER, timeout=20).json()
    return found


def test_gunicorn_does_not_listen_to_others_without_a_password(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TDW_PASSWORD"}
    environment |= {"TDW_BIND": f"0.0.0.0:{free_port()}", "TDW_WORKSPACE": str(tmp_path)}
    refused = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "Set TDW_PASSWORD" in refused.stderr


def test_other_sites_and_other_names_are_refused(
    samples_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(samples_workspace).server.test_client()
    there = {"Host": "127.0.0.1:8050", "Content-Type": "application/json"}
    for origin, status in (("http://127.0.0.1:8050", 400), ("http://evil.example", 403), ("null", 403)):
        answer = client.post("/_jobs/none/cancel", headers={**there, "Origin": origin})
        assert answer.status_code == status, origin
    assert client.post("/_jobs/none/cancel", headers=there).status_code == 400
    assert client.get("/", headers={"Host": "localhost:8050"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:8050"}).status_code == 200
    assert client.get("/", headers={"Host": "evil.example:8050"}).status_code == 403
    assert (
        create_app(samples_workspace, any_host=True)
        .server.test_client()
        .get("/", headers={"Host": "lab.example"})
        .status_code
        == 200
    )
    monkeypatch.setenv("TDW_PASSWORD", USER[1])
    guarded = create_app(samples_workspace).server.test_client()
    assert guarded.get("/", headers={"Host": "lab.example"}, auth=USER).status_code == 200
