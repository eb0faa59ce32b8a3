"""A database of the first release is brought up to date: own rows stay, the index is made anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from earlier_database import BOOKMARKS, NAME, make_first_schema, own_rows
from sqlalchemy import create_engine, text
from test_database import add

from data import Workspace
from data.database import Database
from data.database.column_sets import ColumnSets
from data.database.jobs import JobStore
from data.database.models import HEAD, Base
from data.errors import WorkspaceError


def earlier(folder: Path, address: str | None) -> dict[str, list[tuple[object, ...]]]:
    """Fill the database of that folder as the first release would have; returns what must stay."""
    engine = create_engine(address or f"sqlite:///{folder / 'catalog.sqlite'}")
    make_first_schema(engine, str(folder.resolve()))
    with engine.connect() as connection:
        rows = own_rows(connection)
    engine.dispose()
    assert len(rows["bookmarks"]) == BOOKMARKS
    return rows


def test_what_exists_nowhere_else_stays_and_the_index_is_made_anew(workspace: Workspace) -> None:
    folder, address = workspace.path, None if workspace.database.is_sqlite else workspace.database.url
    before = earlier(folder, address)
    name = add(workspace, 1, margin=7.0)
    assert name == NAME
    database = workspace.database
    with database.engine.connect() as connection:
        assert own_rows(connection) == before
        assert connection.execute(text("SELECT count(*) FROM variants")).scalar() == 0
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert workspace.catalog.drift() == [f"{NAME} is on disk but not in the catalog."]
    workspace.catalog.refresh()
    assert workspace.catalog.frame().loc[NAME, "margin"] == 7.0
    assert [job.title for job in JobStore(database).history()] == ["Train p5"]
    assert ColumnSets(database).save("new", ["margin"]).value == ["margin"]


def test_others_may_write_while_it_is_brought_up_to_date(tmp_path: Path) -> None:
    """A writer that hardly rests makes the migration wait, not fail."""
    earlier(tmp_path, None)
    code = (
        "import sqlite3, sys, time\n"
        "with sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None) as connection:\n"
        "    connection.execute('PRAGMA journal_mode = WAL')\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        connection.execute('UPDATE bookmarks SET created = created + 1')\n"
        "        time.sleep(0.001)\n"  # SQLite's locks are not fair: without a gap nobody else may get one
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "catalog.sqlite")], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        database = Database(tmp_path)
        with database.engine.connect() as connection:
            assert len(own_rows(connection)["bookmarks"]) == BOOKMARKS
            assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(WorkspaceError, match=r"catalog.sqlite was written by a newer version .*9999.*Update"):
        Database(tmp_path).setting("x")
