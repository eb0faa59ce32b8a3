"""Bookmarks: named places (variant, epoch and the rest of the selection), kept in the workspace.

A place is the page's own address, so that a bookmark opens what a shared link opens. They are one JSON file,
replaced atomically under a lock; every tab and every server of the workspace sees the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from data.errors import BadParameter
from data.files import locked, read_json, safe_name, stat_token, write_json

FILE = "bookmarks.json"
LONGEST_NAME = 120
LONGEST_ADDRESS = 2000
MOST = 500
_ADDRESS = re.compile(r"/(view/[A-Za-z0-9_-]+)?(\?[A-Za-z0-9_.,%=&+-]*)?")


class Bookmarks:
    """The bookmarks of one workspace, in the order in which they were made."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def all(self) -> list[dict[str, Any]]:
        """Every bookmark: id, name, address, variant, epoch (None where the address names none)."""
        return list(read_json(self._path)) if self._path.exists() else []

    def token(self) -> str:
        """A text that changes whenever the bookmarks do."""
        return stat_token(self._path)

    def add(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Keep `asked["address"]` under `asked["name"]`; a name that is taken now means the new place.

        Raises BadParameter for anything that is not a name and an address of this page.
        """
        name, address = " ".join(str(asked.get("name") or "").split()), str(asked.get("address") or "")
        if not name or len(name) > LONGEST_NAME:
            raise BadParameter(f"A bookmark needs a name of 1 to {LONGEST_NAME} characters.")
        if len(address) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
            raise BadParameter(f"{address[:80]!r} is not an address of this page; reload it and try again.")
        query = dict(parse_qsl(address.partition("?")[2]))
        variant, epoch = query.get("variant"), query.get("epoch", "")
        if variant is None:
            raise BadParameter("A bookmark needs a variant; choose one first.")
        made = {
            "id": secrets.token_hex(6),
            "name": name,
            "address": address,
            "variant": safe_name(variant, "variant"),
            "epoch": int(epoch) if epoch.isdecimal() else None,
        }
        with locked(self._path.with_suffix(".lock")):
            kept = [one for one in self.all() if one["name"] != name]
            if len(kept) >= MOST:
                raise BadParameter(f"There are {MOST} bookmarks, which is the most; delete one first.")
            write_json(self._path, [*kept, made])
        return made

    def remove(self, ident: str) -> None:
        """Forget one; nothing happens if it is already gone."""
        with locked(self._path.with_suffix(".lock")):
            before = self.all()
            kept = [one for one in before if one["id"] != ident]
            if len(kept) < len(before):
                write_json(self._path, kept)
