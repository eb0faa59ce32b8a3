"""Texts that are longer than their place take another line, and the figure makes room for it."""

from __future__ import annotations

from typing import Any

import pytest

from renderers.figure import above, axis, layout
from renderers.fitting import fit
from renderers.selection import Selection
from renderers.source import Scene

SCENE = Scene(p=13, selection=Selection("v", 0), density="compact", size=(280, 230))
WORDS = "all that a rather long title says of its own axis"


def built(*notes: dict[str, Any], x: str = "epoch", y: str = "loss") -> dict[str, Any]:
    made = layout(SCENE, axis(SCENE, x), axis(SCENE, y), annotations=list(notes))
    return dict(fit(SCENE, {"data": [], "layout": made})["layout"])


def test_what_fits_is_left_alone() -> None:
    short = above(SCENE, "k: 3")
    assert built(dict(short)) == layout(SCENE, axis(SCENE, "epoch"), axis(SCENE, "loss"), annotations=[short])


@pytest.mark.parametrize(("name", "side"), [("x", "b"), ("y", "l")])
def test_a_long_title_takes_two_lines_of_equal_length(name: str, side: str) -> None:
    made = built(**{name: WORDS})
    lines = made[f"{name}axis"]["title"]["text"].split("<br>")
    assert len(lines) == 2
    assert " ".join(lines) == WORDS
    assert max(map(len, lines)) - min(map(len, lines)) <= 6
    assert made["margin"][side] > built()["margin"][side]
    other = {"x": "l", "y": "b"}[name]
    assert made["margin"][other] == built()["margin"][other]


def test_a_long_note_breaks_at_its_separator_and_never_within_a_tag() -> None:
    text = "<span style='color: red'>■</span> of all frequencies 1% · of those learned 23% (25%)"
    made = built(above(SCENE, text))
    assert made["annotations"][0]["text"] == text.replace(" · ", "<br>")
    assert made["margin"]["t"] > built()["margin"]["t"]


def test_notes_that_would_meet_stand_one_over_the_other() -> None:
    notes = [above(SCENE, "k: 9 33 38 45 55 61", 0.0, "left"), above(SCENE, "median 0.17 (chance 1.57)")]
    made = built(*notes)
    lower, upper = (note["yshift"] for note in made["annotations"])
    assert upper - lower >= 10
    assert made["margin"]["t"] - built()["margin"]["t"] == upper - lower
