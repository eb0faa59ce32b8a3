"""The database on SQLite and on a real PostgreSQL: schema, questions, writers, damage, killed migrations."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgres import binaries, empty
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import IntegrityError

from data import VariantRecord, Workspace
from data.catalog import SUMMARY, Metric
from data.database import Database
from data.database.models import HEAD, Base, BookmarkRow, JobRow, SettingRow
from data.errors import BadParameter, WorkspaceError


def add(workspace: Workspace, seed: int, p: int = 5, parent: str | None = None, **metrics: float) -> str:
    """A variant with a summary of these metrics; (lower, upper] of each is one below to the value."""
    name = f"p{p}-s{seed}-d2"
    forked = None if parent is None else {"name": parent, "epoch": 3, "change": {"lr": 1e-4}}
    record = VariantRecord("modular_addition", name, {"p": p, "seed": seed}, {"lr": 1e-3}, forked)
    variant = workspace.create_variant(record)
    values = np.array(list(metrics.values()), dtype=float)
    summary = xr.Dataset(
        {"value": ("metric", values), "lower": ("metric", values - 1), "upper": ("metric", values)},
        coords={"metric": list(metrics)},
        attrs={"variant": variant.identity},
    )
    if metrics:
        variant.artifacts.replace("grid", SUMMARY, "0123456789abcdef", summary)
    return name


def bookmark(name: str) -> BookmarkRow:
    return BookmarkRow(id=name, name=name, selection={"epoch": 0}, created=0.0)


def test_the_migrations_make_the_tables_of_the_models(workspace: Workspace) -> None:
    with workspace.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD


def test_questions_are_answered(workspace: Workspace) -> None:
    early = add(workspace, 1, turn_completion=8_000.0, margin=3.0)
    late = add(workspace, 2, turn_completion=20_000.0)
    never = add(workspace, 3, p=7, turn_completion=float("nan"))
    fork = add(workspace, 4, parent=early)
    deeper = add(workspace, 5, parent=fork)
    catalog = workspace.catalog
    catalog.refresh()
    assert catalog.where("turn_completion", at_most=10_000) == [
        Metric(early, "turn_completion", 8_000.0, 7_999.0, 8_000.0)
    ]
    assert [found.variant for found in catalog.where("turn_completion")] == [early, late]
    assert [entry.name for entry in catalog.forks_of(early)] == [fork]
    assert [entry.name for entry in catalog.forks_of(early, deep=True)] == [fork, deeper]
    groups = catalog.by_parameter("turn_completion", "p")
    assert {p: [found.value for found in group] for p, group in groups.items()} == {
        5: [8_000.0, 20_000.0, None, None],
        7: [None],
    }
    assert catalog.metrics(variants=[early]) == [
        Metric(early, "margin", 3.0, 2.0, 3.0),
        Metric(early, "turn_completion", 8_000.0, 7_999.0, 8_000.0),
    ]
    assert never in {found.variant for found in catalog.metrics(["turn_completion"])}
    assert catalog.metric_names() == ["margin", "turn_completion"]
    with pytest.raises(BadParameter, match="metric 'turn'; there are: margin, turn_completion"):
        catalog.where("turn")
    with pytest.raises(BadParameter, match="parameter 'prime'; there are: lr, p, seed"):
        catalog.by_parameter("margin", "prime")


def test_drift_is_explained_and_mended(workspace: Workspace) -> None:
    catalog = workspace.catalog
    kept, gone = add(workspace, 1, margin=1.0), add(workspace, 2)
    catalog.refresh()
    assert catalog.drift() == []
    workspace.delete_variant(gone)
    new = add(workspace, 3)
    workspace[kept].artifacts.drop("grid", SUMMARY, "0123456789abcdef")
    assert catalog.drift() == [
        f"{kept} has other results on disk than the catalog says.",
        f"{new} is on disk but not in the catalog.",
        f"{gone} is in the catalog but not on disk.",
    ]
    assert [entry.name for entry in catalog.refresh()] == [kept, new]
    assert catalog.drift() == []
    assert catalog.metrics() == []
    before = catalog.entries()
    assert catalog.rebuild() == before


def test_many_refresh_at_once(workspace: Workspace) -> None:
    """A job that ends and every page that looks do so at the same moment."""
    names = [add(workspace, seed, margin=float(seed)) for seed in range(8)]
    failures: list[BaseException] = []

    def refresh(whole: bool) -> None:
        own = Workspace(workspace.path)
        try:
            for _ in range(3):
                own.catalog.rebuild() if whole else own.catalog.refresh()
        except BaseException as error:
            failures.append(error)
        own.database.close()

    threads = [threading.Thread(target=refresh, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [entry.name for entry in workspace.catalog.entries()] == sorted(names)
    assert workspace.catalog.drift() == []


def test_the_index_is_rebuilt_without_touching_what_exists_nowhere_else(workspace: Workspace) -> None:
    add(workspace, 1)
    with workspace.database.writing() as session:
        session.add(bookmark("dip"))
    workspace.catalog.rebuild()
    with workspace.database.reading() as session:
        assert session.scalars(select(BookmarkRow.name)).all() == ["dip"]


def test_a_failed_write_leaves_nothing(workspace: Workspace) -> None:
    def write_half() -> None:
        with workspace.database.writing() as session:
            session.add(bookmark("half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    with workspace.database.reading() as session:
        assert session.scalars(select(BookmarkRow)).all() == []


def test_one_piece_of_work_has_one_active_job(workspace: Workspace) -> None:
    def job(ident: str) -> JobRow:
        texts = {"kind": "train", "work": "w", "title": "t", "state": "queued", "message": "", "active": "w"}
        numbers = {"done": 0, "total": 0, "cancelling": 0, "attempts": 0, "created": 0.0}
        return JobRow(id=ident, order={}, variants=[], **texts, **numbers)

    with workspace.database.writing() as session:
        session.add(job("1"))
    with pytest.raises(IntegrityError), workspace.database.writing() as session:
        session.add(job("2"))
    with workspace.database.writing() as session:
        session.get_one(JobRow, "1").active = None
        session.add(job("2"))


@pytest.mark.parametrize("writers", [3])
def test_many_processes_open_and_write_at_once(workspace: Workspace, writers: int) -> None:
    """Each process makes the schema if it is first, and adds its rows: none is lost."""
    code = (
        "import sys; from pathlib import Path; from data.database import Database;"
        "from data.database.models import BookmarkRow;"
        "db = Database(Path(sys.argv[1]))\n"
        "for i in range(10):\n"
        "    with db.writing() as s:\n"
        "        name = f'{sys.argv[2]}-{i}'\n"
        "        s.add(BookmarkRow(id=name, name=name, selection={}, created=0.0))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(workspace.path), str(number)], cwd=Path.cwd())
        for number in range(writers)
    ]
    assert [process.wait(60) for process in processes] == [0] * writers
    with workspace.database.reading() as session:
        assert len(session.scalars(select(BookmarkRow.id)).all()) == 10 * writers


@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")
def test_two_workspaces_do_not_share_a_server_database(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty(server)
    monkeypatch.setenv("TDW_DATABASE_URL", server)
    assert Database(tmp_path / "one").setting("workspace") == str((tmp_path / "one").resolve())
    with pytest.raises(WorkspaceError, match=r"belongs to the workspace .*one, not to .*two"):
        Database(tmp_path / "two").setting("workspace")


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    database = Database(tmp_path, "postgresql+psycopg://me:secret@127.0.0.1:1/nothing")
    with pytest.raises(WorkspaceError, match="check TDW_DATABASE_URL") as raised:
        database.setting("x")
    assert "secret" not in str(raised.value)


# --- damage (SQLite) -------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path)
    with made.writing() as session:
        session.add_all(bookmark(f"mark {number}") for number in range(200))
    yield made
    made.close()


def whole_file(database: Database) -> Path:
    """The database as one file, without a write-ahead log beside it."""
    assert database.file is not None
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return database.file


def names(database: Database) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(select(BookmarkRow.name)))


def overwrite(start: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[start : start + 4096] = b"\xff" * 4096
        path.write_bytes(bytes(content))

    return damage


@pytest.mark.parametrize("damage", [overwrite(0), lambda path: path.write_bytes(path.read_bytes()[:5000])])
def test_an_unreadable_file_is_put_aside_and_a_new_one_works(
    database: Database, damage: Callable[[Path], None]
) -> None:
    file = whole_file(database)
    damage(file)
    assert database.integrity()
    assert names(database) <= {f"mark {number}" for number in range(200)}
    told = database.setting("salvaged")
    assert (file.parent / told["file"]).exists()
    assert database.integrity() == []
    with database.writing() as session:
        session.add(bookmark("after"))
    assert "after" in names(database)


def test_one_bad_page_costs_only_its_own_rows(database: Database) -> None:
    file = whole_file(database)
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'variants'").fetchone()
    overwrite((page - 1) * 4096)(file)
    assert database.integrity()
    database.salvage()
    assert len(names(database)) == 200
    assert database.setting("salvaged")["rows"]["bookmarks"] == 200


def test_a_deleted_file_is_made_again_even_while_it_is_open(database: Database) -> None:
    assert len(names(database)) == 200
    whole_file(database)
    assert len(names(database)) == 200
    assert database.file is not None
    database.file.unlink()
    assert names(database) == set()


def test_a_catalog_of_the_first_release_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalog.sqlite") as connection:
        connection.executescript(
            "CREATE TABLE variants (name TEXT PRIMARY KEY); INSERT INTO variants VALUES ('old');"
            "CREATE TABLE checkpoints (variant TEXT, epoch INTEGER); PRAGMA user_version = 1;"
        )
    database = Database(tmp_path)
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM variants")).scalar() == 0
        assert session.scalars(select(SettingRow)).all() == []


def test_a_migration_that_is_killed_is_done_again(tmp_path: Path) -> None:
    """Killed at any moment of its first use, the database is either empty or complete the next time."""
    code = (
        "import sys; from pathlib import Path; from data.database import Database\n"
        "print('ready', flush=True); sys.stdin.readline(); Database(Path(sys.argv[1])).setting('x')"
    )
    complete = 0
    for attempt, delay in enumerate(np.linspace(0.0, 0.4, 7)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(float(delay))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        database = Database(folder)
        with database.writing() as session:
            session.execute(insert(SettingRow).values(name="works", value=1))
            session.execute(delete(SettingRow).where(SettingRow.name == "nothing"))
        assert database.setting("works") == 1
        assert database.integrity() == []
        complete += 1
        database.close()
    assert complete == 7
