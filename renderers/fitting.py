"""Texts of a finished figure that would run out of it.

Long titles of axes and notes take two lines, notes that would meet stand one over the other. Widths are
estimated from the number of letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from renderers.catalog import Figure
from renderers.figure import figure_size, font_size
from renderers.source import Scene

_LETTER = 0.56  # average width of a letter, in sizes of its font
_LINE = 1.3
_GAP = 10.0  # pixels between two notes in a line


def fit(scene: Scene, figure: Figure) -> Figure:
    """The figure, changed in place, with room for what takes another line."""
    layout = figure["layout"]
    if "margin" in layout:
        _fit_titles(scene, layout)
        _fit_notes(scene, layout)
    return figure


def _fit_titles(scene: Scene, layout: dict[str, Any]) -> None:
    """Axes that share the plot with others keep their titles: another line would move all of them."""
    margin = layout["margin"]
    for name, before, after, grows in (("xaxis", "l", "r", "b"), ("yaxis", "t", "b", "l")):
        title = layout.get(name, {}).get("title")
        if not isinstance(title, dict) or not title.get("text") or "domain" in layout[name]:
            continue
        size = title.get("font", {}).get("size", font_size(scene))
        length = figure_size(scene)[name == "yaxis"] - margin[before] - margin[after]
        if _width(title["text"], size) > length + 2 * min(margin[before], margin[after]):
            title["text"] = _halved(title["text"])
            margin[grows] += round(_LINE * size)


def _fit_notes(scene: Scene, layout: dict[str, Any]) -> None:
    margin = layout["margin"]
    plot = figure_size(scene)[0] - margin["l"] - margin["r"]
    line = round(_LINE * font_size(scene))
    grown, beside = 0, dict[tuple[float, int], float]()
    for note in layout.get("annotations", []):
        if not _is_above(note):
            continue
        size = note["font"]["size"]
        width = _width(note["text"], size)
        over = {"left": margin["r"], "right": margin["l"]}.get(note["xanchor"], 0)
        if width > plot + over:
            note["text"], width = _halved(note["text"]), width / 2
            grown = max(grown, line)
        place = (note.get("yshift", 0), int(note["xanchor"] == "center"))
        if place in beside and beside[place] + width + _GAP > plot:
            note["yshift"] = note.get("yshift", 0) + line
            grown = max(grown, line)
        else:
            beside[place] = beside.get(place, 0.0) + width
    margin["t"] += grown


def _is_above(note: Mapping[str, Any]) -> bool:
    """A text over the whole plot, as `renderers.figure.above` makes it."""
    wanted = {"showarrow": False, "xref": "paper", "yref": "paper", "y": 1.0, "yanchor": "bottom"}
    return all(note.get(key) == value for key, value in wanted.items()) and note.get("x") in (0, 1)


def _width(text: str, size: float) -> float:
    lines = re.split("<br>", text)
    return max(len(re.sub("<[^>]*>", "", line)) for line in lines) * _LETTER * size


def _halved(text: str) -> str:
    """Two lines, broken at the separator or space nearest to the middle of what is seen."""
    places = [match.start() for match in re.finditer(r" · | (?![^<]*>)", text)]
    if "<br>" in text or not places:
        return text
    seen = len(re.sub("<[^>]*>", "", text))
    strong = [place for place in places if text.startswith(" · ", place)]

    def off(place: int) -> float:
        return abs(len(re.sub("<[^>]*>", "", text[:place])) - seen / 2)

    best = min(strong or places, key=off)
    if off(best) > seen / 4:
        best = min(places, key=off)
    rest = text[best:].removeprefix(" · ").lstrip()
    return f"{text[:best]}<br>{rest}"
