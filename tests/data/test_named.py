"""What people keep under a name (schedules, column sets): checked, and never silently replaced."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from data import Workspace
from data.database import Database
from data.database.column_sets import LONGEST, ColumnSets
from data.database.named import MOST
from data.errors import BadParameter
from training.named_schedules import NamedSchedules
from training.schedules import Schedule

COSINE = "cosine:until=200,floor=1e-05"


def test_a_column_set_is_kept_replaced_and_deleted(database: Database) -> None:
    sets = ColumnSets(database)
    assert sets.list() == ()
    sets.save("  the   turn ", ["turn, onset", "p"])
    sets.save("all", ["p", "seed"])
    assert [(one.name, one.value) for one in sets.list()] == [
        ("all", ["p", "seed"]),
        ("the turn", ["turn, onset", "p"]),
    ]
    assert sets.save("all", ["p", "seed"]).value == ["p", "seed"], "the same again is no conflict"
    with pytest.raises(BadParameter, match="another column set 'all'"):
        sets.save("all", ["seed", "p"])
    assert sets.get("all") == ["p", "seed"]
    sets.save("all", ["seed", "p"], replace=True)
    assert ColumnSets(database).get("all") == ["seed", "p"]
    sets.delete("all")
    with pytest.raises(BadParameter, match="no column set 'all'; there are: the turn"):
        sets.get("all")
    with pytest.raises(BadParameter, match="no column set 'all'"):
        sets.delete("all")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("", ["p"], "name of 1 to"),
        ("x" * 121, ["p"], "name of 1 to"),
        ("a\x00b", ["p"], "name of 1 to"),
        (3, ["p"], "name of 1 to"),
        ("x", [], f"1 to {LONGEST} names"),
        ("x", "p", f"1 to {LONGEST} names"),
        ("x", ["p"] * (LONGEST + 1), f"1 to {LONGEST} names"),
        ("x", ["p", 3], "3 is not the name"),
        ("x", ["p", "seed", "p"], "'p' is there twice"),
    ],
)
def test_what_is_no_column_set_is_refused(tmp_path: Path, name: Any, value: Any, said: str) -> None:
    sets = ColumnSets(Database(tmp_path))
    with pytest.raises(BadParameter, match=said):
        sets.save(name, value)
    assert sets.list() == ()


def test_there_is_a_most(tmp_path: Path) -> None:
    sets = ColumnSets(Database(tmp_path))
    for number in range(MOST):
        sets.save(f"set {number}", ["p"])
    with pytest.raises(BadParameter, match=f"There are {MOST} column sets"):
        sets.save("one more", ["p"])
    assert sets.save("set 3", ["seed"], replace=True).value == ["seed"]


def test_one_name_saved_by_many_at_once_has_one_of_the_values(database: Database) -> None:
    refused = []

    def save(number: int) -> None:
        try:
            ColumnSets(Database(database.folder, database.url)).save("same", [str(number)])
        except BadParameter:
            refused.append(number)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (kept,) = ColumnSets(database).list()
    assert sorted([*refused, int(kept.value[0])]) == [0, 1, 2, 3]


# --- schedules -------------------------------------------------------------------------------------------


def test_a_schedule_is_checked_by_who_understands_it(workspace: Workspace) -> None:
    schedules = NamedSchedules(workspace)
    saved = schedules.save("slow", COSINE)
    assert saved.value == Schedule.parse(COSINE).to_json()
    assert schedules.save("slow", saved.value) == saved
    assert schedules.save("slow", Schedule.parse(COSINE)) == saved
    assert schedules.find("slow") == schedules.find(COSINE) == Schedule.parse(COSINE)
    with pytest.raises(BadParameter, match="cosine' needs until"):
        schedules.save("bad", "cosine:floor=3")
    with pytest.raises(BadParameter, match="3 is not a schedule; write it like"):
        schedules.save("bad", 3)
    with pytest.raises(BadParameter, match="'linear_warmup' is a policy of its own"):
        schedules.save("linear_warmup", COSINE)
    with pytest.raises(BadParameter, match="schedule 'a:b' is not allowed"):
        schedules.save("a:b", COSINE)
    assert [one.name for one in schedules.list()] == ["slow"]


def test_a_schedule_that_is_neither_saved_nor_a_policy_lists_both(tmp_path: Path) -> None:
    schedules = NamedSchedules(Workspace(tmp_path, create=True))
    with pytest.raises(BadParameter, match=r"schedule 'slow' is not known.*cosine.*there are none yet"):
        schedules.find("slow")
    schedules.save("fast", "constant")
    with pytest.raises(BadParameter, match=r"schedule 'slow' is not known.*a saved one \(fast\)"):
        schedules.find("slow")
    with pytest.raises(BadParameter, match="'step' needs every"):
        schedules.find("step")
