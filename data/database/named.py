"""Small things that people keep under a name in the workspace's database: list, get, save, delete."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select

from data.database.engine import Database
from data.database.models import NamedRow
from data.errors import BadParameter

MOST = 500
LONGEST_NAME = 120


@dataclass(frozen=True)
class Named:
    """One thing under its name; created: seconds since 1970."""

    name: str
    value: Any
    created: float


class NamedStore:
    """The things of one kind.

    table  where they are; word: what one of them is called
    check  turns a value into the JSON that is stored, or raises BadParameter
    """

    def __init__(
        self, database: Database, table: type[NamedRow], word: str, check: Callable[[Any], Any]
    ) -> None:
        self._database, self._table, self._word, self._check = database, table, word, check

    def list(self) -> tuple[Named, ...]:
        """Everything, sorted by name."""
        with self._database.reading() as session:
            found = [_named(row) for row in session.scalars(select(self._table))]
        return tuple(sorted(found, key=lambda one: one.name))

    def get(self, name: str) -> Any:
        """The value of that name; BadParameter lists what there is."""
        with self._database.reading() as session:
            row = session.get(self._table, name)
            if row is not None:
                return row.definition
        raise self._unknown(name)

    def save(self, name: str, value: Any, replace: bool = False) -> Named:
        """Keep a value; BadParameter for a name or value that cannot be, or a name that has another one.

        replace   give a name that is taken the new value
        """
        name, checked, table = self._checked_name(name), self._check(value), self._table
        with self._database.writing() as session:
            self._database.alone(session, table)
            there = session.get(table, name)
            if there is not None:
                if not replace and there.definition != checked:
                    raise BadParameter(
                        f"There is another {self._word} {name!r}. Delete it first, or choose another name."
                    )
                there.definition = checked
                return _named(there)
            if (session.scalar(select(func.count()).select_from(table)) or 0) >= MOST:
                raise BadParameter(f"There are {MOST} {self._word}s, which is the most; delete one first.")
            made = table(name=name, created=time.time(), definition=checked)
            session.add(made)
            return _named(made)

    def delete(self, name: str) -> None:
        """Forget one; BadParameter lists what there is if there is none of that name."""
        table = self._table
        with self._database.writing() as session:
            gone = session.execute(delete(table).where(table.name == name).returning(table.name)).all()
        if not gone:
            raise self._unknown(name)

    # --- private -----------------------------------------------------------------------------------------

    def _checked_name(self, name: str) -> str:
        """The name with single spaces; BadParameter for one that cannot be read."""
        plain = " ".join(name.split()) if isinstance(name, str) else ""
        if not 1 <= len(plain) <= LONGEST_NAME or not plain.isprintable():
            raise BadParameter(
                f"A {self._word} needs a name of 1 to {LONGEST_NAME} characters, not {name!r:.80}."
            )
        return plain

    def _unknown(self, name: str) -> BadParameter:
        names = ", ".join(one.name for one in self.list()) or "none yet"
        return BadParameter(f"There is no {self._word} {name!r}; there are: {names}.")


def _named(row: NamedRow) -> Named:
    return Named(row.name, row.definition, row.created)
