"""Bookmarks: named places (variant, epoch and the rest of the selection), kept in the workspace's database.

A place is the page's own address, so that a bookmark opens what a shared link opens. Every tab and every
server of the workspace sees the same. A `bookmarks.json` of an earlier version is taken over once.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from dashboard.pages.navigation import PAGES
from data.database import Database
from data.database.models import BookmarkRow
from data.errors import BadParameter, CorruptFile
from data.files import digest, locked, read_json, safe_name

FILE = "bookmarks.json"  # where earlier versions kept them
TAKEN_OVER = "bookmarks.taken-over.json"
UNREADABLE = "bookmarks.damaged.json"
LONGEST_NAME = 120
LONGEST_ADDRESS = 8000  # a comparison of many variants names them all
MOST = 500
_PATHS = "|".join(["view/[A-Za-z0-9_-]+", *(page.name for page in PAGES)])
_ADDRESS = re.compile(rf"/({_PATHS})?(\?[A-Za-z0-9_.,%=&+-]*)?")
log = logging.getLogger(__name__)


class Bookmarks:
    """The bookmarks of one workspace, in the order in which they were made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[dict[str, Any]]:
        """Every bookmark: id, name, address, variant, epoch (None where the address names none)."""
        self._take_over()
        asked = select(BookmarkRow).order_by(BookmarkRow.created, BookmarkRow.id)
        with self._database.reading() as session:
            return [{"id": row.id, "name": row.name, **row.selection} for row in session.scalars(asked)]

    def token(self) -> str:
        """A text that changes whenever the bookmarks do."""
        self._take_over()
        asked = select(BookmarkRow.id).order_by(BookmarkRow.id)  # what is changed has a new id
        with self._database.reading() as session:
            return digest(list(session.scalars(asked)))[:16]

    def add(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Keep `asked["address"]` under `asked["name"]`; a name that is taken now means the new place.

        Raises BadParameter for anything that is not a name and an address of this page.
        """
        name, selection = _checked(asked)
        self._take_over()
        row = BookmarkRow(id=secrets.token_hex(6), name=name, selection=selection, created=time.time())
        with self._database.writing() as session:
            self._database.alone(session, BookmarkRow)
            session.execute(delete(BookmarkRow).where(BookmarkRow.name == name))
            if _count(session) >= MOST:
                raise BadParameter(f"There are {MOST} bookmarks, which is the most; delete one first.")
            session.add(row)
        return {"id": row.id, "name": name, **selection}

    def remove(self, ident: str) -> None:
        """Forget one; nothing happens if it is already gone."""
        self._take_over()
        with self._database.writing() as session:
            session.execute(delete(BookmarkRow).where(BookmarkRow.id == ident))

    # --- private -----------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        """Copy what an earlier version kept in a file, then rename the file.

        Whoever is killed in between leaves the file, and the next one finds by the ids what is there already.
        Every use comes here first, so that nothing can be deleted before the file has its new name.
        """
        older = self._database.folder / FILE
        if not older.exists():
            return
        with locked(older.with_suffix(".lock")):
            if not older.exists():
                return
            made = older.stat().st_mtime
            try:
                rows = [_row(one, made + 1e-3 * number) for number, one in enumerate(read_json(older))]
            except (CorruptFile, KeyError, TypeError) as error:
                log.warning("%s cannot be read and is kept as %s: %s", older, UNREADABLE, error)
                older.replace(older.with_name(UNREADABLE))
                return
            with self._database.writing() as session:
                known = set(session.scalars(select(BookmarkRow.id)))
                session.add_all(row for row in rows if row.id not in known)
            older.replace(older.with_name(TAKEN_OVER))


def _checked(asked: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and place; BadParameter says what is wrong with them."""
    name, address = " ".join(str(asked.get("name") or "").split()), str(asked.get("address") or "")
    if not name or len(name) > LONGEST_NAME:
        raise BadParameter(f"A bookmark needs a name of 1 to {LONGEST_NAME} characters.")
    if len(address) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
        raise BadParameter(f"{address[:80]!r} is not an address of this page; reload it and try again.")
    query = dict(parse_qsl(address.partition("?")[2]))
    variant, epoch = query.get("variant"), query.get("epoch", "")
    if variant is None:
        raise BadParameter("A bookmark needs a variant; choose one first.")
    return name, {
        "address": address,
        "variant": safe_name(variant, "variant"),
        "epoch": int(epoch) if epoch.isdecimal() else None,
    }


def _row(older: Mapping[str, Any], created: float) -> BookmarkRow:
    selection = {name: older[name] for name in ("address", "variant", "epoch")}
    return BookmarkRow(id=older["id"], name=older["name"], selection=selection, created=created)


def _count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(BookmarkRow)) or 0
