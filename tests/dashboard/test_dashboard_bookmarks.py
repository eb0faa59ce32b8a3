"""Bookmarks: what may be kept, that all see the same, and that nothing is lost."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres import binaries, running

from dashboard.bookmarks import FILE, MOST, TAKEN_OVER, UNREADABLE, Bookmarks
from dashboard.server import create_app
from data import Workspace
from data.database import Database
from data.errors import BadParameter
from data.files import read_json, write_json

PLACE = "/view/neuron_map?variant=p113-s999-d598&epoch=9400&neuron=37&pair=481&neuron_clusters.order=index"


def marks(folder: Path) -> Bookmarks:
    """As another process has them: nothing is shared but the folder."""
    return Bookmarks(Database(folder))


def older(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """What an earlier version left in the folder: a file."""
    kept = [
        {"id": f"{number:012x}", "name": name, "address": f"/?variant=a&epoch={number}", "variant": "a"}
        | {"epoch": number}
        for number, name in enumerate(names)
    ]
    write_json(folder / FILE, kept)
    return kept


def test_a_bookmark_is_seen_by_whoever_opens_the_workspace(tmp_path: Path) -> None:
    made = marks(tmp_path).add({"name": "  the   turn ", "address": PLACE})
    assert marks(tmp_path).all() == [made]
    assert {key: made[key] for key in ("name", "address", "variant", "epoch")} == {
        "name": "the turn",
        "address": PLACE,
        "variant": "p113-s999-d598",
        "epoch": 9400,
    }


def test_the_same_name_means_the_new_place_and_removing_is_final(tmp_path: Path) -> None:
    bookmarks = marks(tmp_path)
    bookmarks.add({"name": "here", "address": PLACE})
    other = bookmarks.add({"name": "here", "address": "/?variant=p113-s485-d598&epoch=0"})
    assert bookmarks.all() == [other]
    assert other["epoch"] == 0
    before = bookmarks.token()
    bookmarks.remove("unknown")
    assert bookmarks.token() == before
    bookmarks.remove(other["id"])
    assert bookmarks.all() == []
    assert bookmarks.token() != before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "", "address": PLACE}, "name"),
        ({"name": "x" * 121, "address": PLACE}, "name"),
        ({"name": "x"}, "address"),
        ({"name": "x", "address": "https://elsewhere.example/?variant=a"}, "address"),
        ({"name": "x", "address": "javascript:alert(1)"}, "address"),
        ({"name": "x", "address": "/elsewhere?variant=a"}, "address"),
        ({"name": "x", "address": "//elsewhere.example/?variant=a"}, "address"),
        ({"name": "x", "address": "/?variant=" + "a" * 8000}, "address"),
        ({"name": "x", "address": "/?epoch=5"}, "variant"),
        ({"name": "x", "address": "/?variant=%2e%2e%2fetc"}, "variant"),
    ],
)
def test_what_is_no_place_of_this_page_is_refused(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        marks(tmp_path).add(asked)
    assert marks(tmp_path).all() == []


def at_once(number: int, action: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=action, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_many_at_once(folder: Path) -> None:
    """Two bookmarks of every name are made at the same time, and the file is taken over meanwhile."""
    kept = older(folder, ["z"])

    def add(number: int) -> None:
        marks(folder).add({"name": f"place {number % 6}", "address": f"/?variant=a&epoch={number}"})

    at_once(12, add)
    found = marks(folder).all()
    assert sorted(one["name"] for one in found) == sorted([f"place {number}" for number in range(6)] + ["z"])
    assert {one["epoch"] % 6 for one in found if one["name"] != "z"} == set(range(6))
    assert found[0] == kept[0]
    at_once(2, lambda _: marks(folder).remove(kept[0]["id"]))
    assert len(marks(folder).all()) == 6


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    check_many_at_once(tmp_path)


@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")
def test_the_same_on_a_database_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "postgres") as url:
        monkeypatch.setenv("TDW_DATABASE_URL", url)
        check_many_at_once(Path(name))


@pytest.mark.parametrize("address", ["/", "/compare", "/train", "/analyze", "/jobs", "/view/neuron_map"])
def test_every_page_can_be_kept(tmp_path: Path, address: str) -> None:
    made = marks(tmp_path).add({"name": "here", "address": f"{address}?variant=a&variants=a,b"})
    assert marks(tmp_path).all() == [made]


def test_there_is_room_for_many_but_not_for_all(tmp_path: Path) -> None:
    older(tmp_path, [f"place {number}" for number in range(MOST)])
    bookmarks = marks(tmp_path)
    with pytest.raises(BadParameter, match=f"There are {MOST} bookmarks"):
        bookmarks.add({"name": "one more", "address": PLACE})
    bookmarks.add({"name": "place 3", "address": PLACE})
    assert len(bookmarks.all()) == MOST


def test_the_file_of_an_earlier_version_is_taken_over_once(tmp_path: Path) -> None:
    kept = older(tmp_path, ["z", "a", "m"])
    assert marks(tmp_path).all() == kept
    assert not (tmp_path / FILE).exists()
    assert read_json(tmp_path / TAKEN_OVER) == kept
    marks(tmp_path).remove(kept[1]["id"])
    made = marks(tmp_path).add({"name": "new", "address": PLACE})
    assert marks(tmp_path).all() == [kept[0], kept[2], made]


def test_killed_while_taking_over_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Between the database's commit and the new name of the file; before that nothing has happened."""
    kept = older(tmp_path, ["z", "a", "m"])

    def die(self: Path, target: Path) -> None:
        os._exit(9)

    child = os.fork()
    if child == 0:
        Path.replace = die  # type: ignore[assignment]
        marks(tmp_path).all()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / FILE).exists()
    marks(tmp_path).remove(kept[2]["id"])
    assert marks(tmp_path).all() == kept[:2]
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("content", ["{", "[3]", '[{"id": "x"}]', "3"])
def test_a_file_that_cannot_be_read_is_kept_aside(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    made = marks(tmp_path).add({"name": "here", "address": PLACE})
    assert marks(tmp_path).all() == [made]
    assert (tmp_path / UNREADABLE).read_text() == content


def test_the_routes(tmp_path: Path) -> None:
    client = create_app(Workspace(tmp_path / "workspace", create=True)).server.test_client()
    before = client.get("/_bookmarks").get_json()
    made = client.post("/_bookmarks", json={"name": "by route", "address": PLACE}).get_json()
    assert client.get("/_bookmarks").get_json() == [*before, made]
    refused = client.post("/_bookmarks", json={"name": "by route", "address": "elsewhere"})
    assert refused.status_code == 400
    assert "address" in refused.get_json()["error"]
    assert client.post("/_bookmarks", data="name=x").status_code == 400
    assert client.delete(f"/_bookmarks/{made['id']}").get_json() == before
