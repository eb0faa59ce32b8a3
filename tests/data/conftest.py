"""Both kinds of database, empty: tests that use `database` or `workspace` run on SQLite and on PostgreSQL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import binaries, empty, running

from data import Workspace
from data.database import Database

POSTGRES = pytest.param(
    "postgres", marks=pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")
)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL of this test run."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "postgres") as url:
        yield url


@pytest.fixture(params=["sqlite", POSTGRES])
def address(request: pytest.FixtureRequest) -> str | None:
    """What `Database` takes as its URL: None for SQLite in the folder, or an empty database of the server."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("server")
    empty(url)
    return url


@pytest.fixture
def database(address: str | None, tmp_path: Path) -> Iterator[Database]:
    """An empty database for the folder `workspace`."""
    (tmp_path / "workspace").mkdir()
    made = Database(tmp_path / "workspace", address)
    yield made
    made.close()


@pytest.fixture
def workspace(address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace on either database."""
    if address is not None:
        monkeypatch.setenv("TDW_DATABASE_URL", address)
    made = Workspace(tmp_path / "workspace", create=True)
    yield made
    made.database.close()
