"""One database per workspace: SQLite (WAL) in its folder, or PostgreSQL by `TDW_DATABASE_URL`."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from data.database.models import HEAD, OWN, Base, SettingRow
from data.errors import WorkspaceError
from data.files import locked

URL = "TDW_DATABASE_URL"
FILE = "catalog.sqlite"
MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_236_741  # an advisory lock of PostgreSQL: any number that everybody agrees on


class DamagedDatabase(WorkspaceError):
    """The SQLite file cannot be read; `Database.salvage` makes a new one of what can."""


class Database:
    """The tables of `data.database.models`, opened and brought to the newest schema when first used.

    path   folder of the workspace
    url    of an SQLAlchemy engine; None: `TDW_DATABASE_URL`, or SQLite in the folder
    A damaged SQLite file is put aside, its own tables are copied as far as they can be read, and the setting
    "salvaged" says what happened; the index is made again from the disk by whoever refreshes it.
    """

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.folder = path
        self.url = url or os.environ.get(URL) or f"sqlite:///{path / FILE}"
        self._engine: Engine | None = None
        self._inode = 0

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def file(self) -> Path | None:
        """The SQLite file, None for a server."""
        return Path(self.url.removeprefix("sqlite:///")) if self.is_sqlite else None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with self._translated(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that is committed as a whole at the end, or not at all after an exception."""
        engine = self.engine.execution_options(writes=True)
        with self._translated(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @property
    def engine(self) -> Engine:
        """The engine, its schema up to date. Raises `WorkspaceError` when the database cannot be used."""
        if self._engine is not None and self._inode != self._inode_now():
            self.close()  # the file was deleted or replaced
        if self._engine is None:
            try:
                self._engine = self._opened()
                self._inode = self._inode_now()
            except DatabaseError as error:
                if self.file is None or not _damaged(error):
                    raise self._unusable(error) from error
                self.salvage()
            except (SQLAlchemyError, ImportError) as error:
                raise self._unusable(error) from error
        assert self._engine is not None
        return self._engine

    def close(self) -> None:
        """Give back all connections; the next use opens new ones."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def setting(self, name: str) -> Any:
        """A fact about the database, None if it has none of that name."""
        with self.reading() as session:
            row = session.get(SettingRow, name)
            return None if row is None else row.value

    def set_setting(self, name: str, value: Any) -> None:
        """Store a fact about the database."""
        with self.writing() as session:
            session.merge(SettingRow(name=name, value=value))

    def integrity(self) -> list[str]:
        """What the database itself finds wrong with its files; nothing for a server, which checks its own."""
        if self.file is None or not self.file.exists():
            return []
        try:
            with closing(sqlite3.connect(self.file)) as connection:
                found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def salvage(self) -> dict[str, Any]:
        """Put a damaged SQLite file aside and start a new one with every own row that can still be read.

        Returns (and stores as the setting "salvaged") the name of the file put aside and rows kept per table.
        """
        file = self.file
        if file is None:
            raise WorkspaceError("A database server keeps its own files; mend it with its own tools.")
        self.close()
        aside = file.with_name(f"catalog.damaged-{int(time.time())}.sqlite")
        with locked(self.folder / ".catalog.lock"):
            for suffix in ("-wal", "-shm"):
                side = file.with_name(file.name + suffix)
                if side.exists():
                    side.replace(aside.with_name(aside.name + suffix))
            file.replace(aside)
        rows = {table.__tablename__: _readable(aside, table.__tablename__) for table in OWN}
        engine = self._opened()
        kept = {}
        for table in OWN:
            kept[table.__tablename__] = 0
            for row in rows[table.__tablename__]:
                try:
                    with engine.begin() as connection:
                        connection.exec_driver_sql(*_insert(table.__tablename__, row))
                    kept[table.__tablename__] += 1
                except (IntegrityError, OperationalError):
                    continue
        self._engine, self._inode = engine, self._inode_now()
        told = {"file": aside.name, "rows": kept, "at": time.time()}
        self.set_setting("salvaged", told)
        return told

    def alone(self, session: Session, table: type[Base]) -> None:
        """Nobody else writes the table until this transaction ends (SQLite has one writer anyway)."""
        if not self.is_sqlite:
            session.execute(text(f'LOCK TABLE "{table.__tablename__}" IN SHARE ROW EXCLUSIVE MODE'))

    # --- private -----------------------------------------------------------------------------------------

    def _inode_now(self) -> int:
        try:
            return self.file.stat().st_ino if self.file else 0
        except OSError:
            return 0

    def _opened(self) -> Engine:
        options: dict[str, Any] = {} if self.is_sqlite else {"pool_pre_ping": True}
        engine = create_engine(self.url, **options)
        if self.is_sqlite:
            event.listen(engine, "connect", _configure)
            event.listen(engine, "begin", _begin)
        try:
            self._migrate(engine)
            self._claim(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _migrate(self, engine: Engine) -> None:
        """Run what is missing of the migrations, each in one transaction, one process at a time."""
        with engine.connect() as connection:
            version = _version(connection)
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise WorkspaceError(
                f"The database {self.file or _without_password(self.url)} was written by a newer version of"
                f" the program (its schema is {version}, this one knows {HEAD}). Update the program."
            )
        if self.is_sqlite:  # others may be writing: the lock for writing comes before the first look
            writing = engine.execution_options(writes=True)
            with locked(self.folder / ".catalog.lock"), writing.begin() as connection:
                _upgrade(connection)
        else:
            with engine.begin() as connection:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                _upgrade(connection)

    def _claim(self, engine: Engine) -> None:
        """One database serves one workspace: the first folder that uses it has it."""
        if self.is_sqlite:
            return
        here = str(self.folder.resolve())
        with Session(engine) as session, session.begin():
            claim = insert(SettingRow).values(name="workspace", value=here)
            session.execute(claim.on_conflict_do_nothing())  # several processes may come first
            holder = session.get_one(SettingRow, "workspace").value
            if holder != here:
                raise WorkspaceError(
                    f"The database of {URL} belongs to the workspace {holder}, not to {here}. Give each"
                    " workspace a database of its own."
                )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> WorkspaceError:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        where = self.file or _without_password(self.url)
        remedy = _remedy(cause) if self.is_sqlite else f"check {URL} and the server"
        kind = DamagedDatabase if isinstance(error, DatabaseError) and _damaged(error) else WorkspaceError
        return kind(f"The database {where} cannot be used: {cause}. Remedy: {remedy}.")


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`, so that DDL is in them too
    connection.execute("PRAGMA busy_timeout = 20000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _remedy(cause: str) -> str:
    if "locked" in cause:
        return "another process has been writing for long; try again in a moment"
    if "full" in cause:
        return "free some space, then try again"
    return "`tdw doctor --repair` makes it usable again"


def _damaged(error: DatabaseError) -> bool:
    return any(sign in str(error.orig) for sign in ("malformed", "not a database", "corrupt", "disk image"))


def _readable(file: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a damaged file that can still be read, up to the first that cannot."""
    rows: list[dict[str, Any]] = []
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                rows.append(dict(row))
    except sqlite3.DatabaseError:
        pass
    return rows


def _insert(table: str, row: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    names = ", ".join(f'"{name}"' for name in row)
    return f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', tuple(row.values())


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)
