"""Bookmarks: what may be kept, that all see the same, and that nothing is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dashboard.bookmarks import Bookmarks
from dashboard.server import create_app
from data.errors import BadParameter

PLACE = "/view/neuron_map?variant=p113-s999-d598&epoch=9400&neuron=37&pair=481&neuron_clusters.order=index"


def test_a_bookmark_is_seen_by_whoever_opens_the_workspace(tmp_path: Path) -> None:
    made = Bookmarks(tmp_path).add({"name": "  the   turn ", "address": PLACE})
    assert Bookmarks(tmp_path).all() == [made]
    assert {key: made[key] for key in ("name", "address", "variant", "epoch")} == {
        "name": "the turn",
        "address": PLACE,
        "variant": "p113-s999-d598",
        "epoch": 9400,
    }


def test_the_same_name_means_the_new_place_and_removing_is_final(tmp_path: Path) -> None:
    bookmarks = Bookmarks(tmp_path)
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
        ({"name": "x", "address": "//elsewhere.example/?variant=a"}, "address"),
        ({"name": "x", "address": "/?variant=" + "a" * 2000}, "address"),
        ({"name": "x", "address": "/?epoch=5"}, "variant"),
        ({"name": "x", "address": "/?variant=%2e%2e%2fetc"}, "variant"),
    ],
)
def test_what_is_no_place_of_this_page_is_refused(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        Bookmarks(tmp_path).add(asked)
    assert Bookmarks(tmp_path).all() == []


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    def add(number: int) -> None:
        Bookmarks(tmp_path).add({"name": f"place {number}", "address": f"/?variant=a&epoch={number}"})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one["epoch"] for one in Bookmarks(tmp_path).all()} == set(range(12))


def test_the_routes(samples_workspace: Path) -> None:
    client = create_app(samples_workspace).server.test_client()
    before = client.get("/_bookmarks").get_json()
    made = client.post("/_bookmarks", json={"name": "by route", "address": PLACE}).get_json()
    assert client.get("/_bookmarks").get_json() == [*before, made]
    refused = client.post("/_bookmarks", json={"name": "by route", "address": "elsewhere"})
    assert refused.status_code == 400
    assert "address" in refused.get_json()["error"]
    assert client.post("/_bookmarks", data="name=x").status_code == 400
    assert client.delete(f"/_bookmarks/{made['id']}").get_json() == before
