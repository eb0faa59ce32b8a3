"""The columns of a table under a name, so that a choice of metrics can be had again."""

from __future__ import annotations

from typing import Any

from data.database.engine import Database
from data.database.models import ColumnSetRow
from data.database.named import NamedStore
from data.errors import BadParameter

LONGEST = 400  # columns; a run has about 180 metrics and 30 parameters
LONGEST_NAME = 200  # characters of a column


class ColumnSets(NamedStore):
    """Name -> list of column names."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, ColumnSetRow, "column set", checked)


def checked(columns: Any) -> list[str]:
    """The columns, if they are 1 to `LONGEST` different names; else BadParameter."""
    if not isinstance(columns, (list, tuple)) or not 1 <= len(columns) <= LONGEST:
        raise BadParameter(f"A column set is a list of 1 to {LONGEST} names of columns, not {columns!r:.80}.")
    for column in columns:
        if not isinstance(column, str) or not 1 <= len(column) <= LONGEST_NAME:
            raise BadParameter(f"{column!r:.80} is not the name of a column.")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise BadParameter(f"The column {twice!r} is there twice; name it once.")
    return list(columns)
