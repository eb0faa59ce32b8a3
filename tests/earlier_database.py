"""A database as the first release left it, with rows in every table: what a migration starts from."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from data.database.engine import MIGRATIONS

BOOKMARKS = 40
NAME = "p5-s1-d2"
OWN = {
    "settings": {"name": "workspace", "value": '"unused"'},
    "schedules": {"name": "slow", "definition": '{"policy": "cosine", "until": 30}', "created": 1.5},
    "boards": {"id": "b", "title": "One", "content": '["text"]', "created": 1.0, "updated": 2.0},
    "jobs": {
        "id": "0123456789ab",
        "kind": "train",
        "work": "train w",
        "title": "Train p5",
        "state": "done",
        "order": '{"kind": "train"}',
        "variants": '["p5"]',
        "done": 3.0,
        "total": 3.0,
        "message": "Trained.",
        "cancelling": 0,
        "attempts": 1,
        "created": 4.0,
    },
}
INDEX = {
    "variants": {
        "name": NAME,
        "family": "f",
        "identity": "i",
        "params": "{}",
        "config": "{}",
        "token": "t",
        "results": "r",
    },
    "checkpoints": {"variant": NAME, "epoch": 3},
    "metrics": {"variant": NAME, "name": "margin", "value": 2.0},
}


def make_first_schema(engine: Engine, workspace: str | None = None) -> None:
    """The tables of migration 0001 with rows; workspace: the folder that claims the database, if any."""
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table, row in {**OWN, **INDEX}.items():
            if table != "settings" or workspace is not None:
                _insert(
                    connection, table, {**row, **({"value": f'"{workspace}"'} if table == "settings" else {})}
                )
        for number in range(BOOKMARKS):
            row = {
                "id": f"{number:012x}",
                "name": f"mark {number}",
                "selection": "{}",
                "created": float(number),
            }
            _insert(connection, "bookmarks", row)


def own_rows(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Everything that exists nowhere else, by table, with the columns that it had then."""
    names = {**OWN, "bookmarks": {"id": "", "name": "", "selection": "", "created": 0.0}}
    return {
        table: sorted(
            tuple(str(cell) for cell in row)
            for row in connection.execute(text(f"SELECT {_columns(row)} FROM {table}"))
        )
        for table, row in names.items()
    }


def _columns(row: dict[str, object]) -> str:
    return ", ".join(f'"{name}"' for name in row)


def _insert(connection: Connection, table: str, row: dict[str, object]) -> None:
    values = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({_columns(row)}) VALUES ({values})"), row)
