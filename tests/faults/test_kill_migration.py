"""SIGKILL at random moments of a migration from the first release: the database is as before, or complete.

On SQLite and on a real PostgreSQL. One process imports everything and forks those that it kills.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from postgres import binaries, running

CODE = """
import os, random, shutil, signal, sys, time, traceback
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import alembic.command
from sqlalchemy import create_engine, inspect, text
from data.database import Database
from data.database.models import HEAD
from earlier_database import make_first_schema, own_rows
from postgres import empty

root, url, kills = Path(sys.argv[1]), sys.argv[2] or None, int(sys.argv[3])
random.seed(0)
folder = root / "workspace"

def fresh():
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if url:
        empty(url)
    engine = create_engine(url or f"sqlite:///{folder / 'catalog.sqlite'}")
    make_first_schema(engine, str(folder.resolve()))
    engine.dispose()

def state():
    # (version, what must stay), read without the program
    engine = create_engine(url or f"sqlite:///{folder / 'catalog.sqlite'}")
    with engine.connect() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        tables = {*inspect(connection).get_table_names()}
        assert ("column_sets" in tables) == ("metric_vectors" in tables) == (version == HEAD), tables
        rows = own_rows(connection)
    engine.dispose()
    return version, rows

def forked():
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        Database(folder, url).setting("x")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)

fresh()
before, rows = state()
assert before == "0001"
started = time.perf_counter()
pid = forked()
assert os.waitpid(pid, 0)[1] == 0
duration = time.perf_counter() - started
assert state() == (HEAD, rows)
done, versions = 0, []
fresh()
while done < kills:
    pid = forked()
    time.sleep(random.uniform(0, duration))
    if os.waitpid(pid, os.WNOHANG)[0]:
        assert state() == (HEAD, rows)
        fresh()
        continue
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    done += 1
    version, now = state()
    assert now == rows
    versions.append(version)
    if version == HEAD:
        fresh()
pid = forked()
assert os.waitpid(pid, 0)[1] == 0
assert state() == (HEAD, rows)
assert "0001" in versions
print("killed", done, "before the end:", versions.count("0001"), "a whole one takes", duration)
"""


@contextmanager
def no_server() -> Iterator[str]:
    yield ""


@contextmanager
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "postgres") as url:
        yield url


POSTGRES = pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")


@pytest.mark.parametrize(
    ("database", "kills"),
    [pytest.param(no_server, 12, id="sqlite"), pytest.param(server, 8, id="postgres", marks=POSTGRES)],
)
def test_killed_at_random_moments(
    tmp_path: Path, database: Callable[[], AbstractContextManager[str]], kills: int
) -> None:
    tests = Path(__file__).parents[1]
    with database() as url:
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(tmp_path), url, str(kills), str(tests)],
            capture_output=True,
            text=True,
            cwd=Path.cwd(),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith(f"killed {kills}")
