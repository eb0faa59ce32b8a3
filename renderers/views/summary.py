"""The run in numbers: every metric of the summary, and which signal moved before which."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import axis, font_size, layout, mark_events, message, note, time_axis
from renderers.source import Scene, Source

_PARTS = {
    "run": "run",
    "turn": "turn",
    "signals": "signals",
    "frequencies": "frequencies",
    "geometry": "geometry",
    "at the turn and at the end": "structure",
}
_SHORT = {
    "participation ratio of W_E": "PR of W_E",
    "specialised neurons": "neurons at one k",
    "logits as waves": "logits as waves",
}
_WORDS = ("metric", "in words", "definition", "unit")
_WHOLE = {"epoch", "epochs", "checkpoints", "neurons", "frequencies", "descents", "code", "crossings"}


def _summary(source: Source) -> xr.Dataset:
    return source.artifact("run_summary")


# --- the table -------------------------------------------------------------------------------------------


def _draw_table(data: xr.Dataset, scene: Scene) -> Figure:
    described = json.loads(data.attrs["metrics"])
    values = (data[name].values for name in ("value", "lower", "upper"))
    rows = [
        (one, *map(float, numbers))
        for one, *numbers in zip(described, *values, strict=True)
        if one["section"] == _PARTS[scene.params["part"]]
    ]
    if not rows:
        return message(scene, "This run has nothing to say here.")
    columns = (
        _merged(rows) if scene.params["part"] == "at the turn and at the end" else _plain(rows, scene.compact)
    )
    wide = ("bounds", "in words", "definition", *(("unit", "converged") if "final" in columns else ()))
    columns = {
        name: cells for name, cells in columns.items() if any(cells) and not (scene.compact and name in wide)
    }
    theme, size = scene.theme, font_size(scene)
    widths = {"metric": 3.0, "in words": 3.4, "definition": 4.4, "bounds": 2.2, "converged": 2.2}
    table = {
        "type": "table",
        "columnwidth": [widths.get(name, 1.3) for name in columns],
        "header": {
            "values": list(columns),
            "align": "left",
            "fill": {"color": theme.background},
            "line": {"color": theme.line, "width": 1},
            "font": {"color": theme.muted, "size": size},
            "height": 2 * size + 2,
        },
        "cells": {
            "values": list(columns.values()),
            "align": ["left" if name in _WORDS else "right" for name in columns],
            "fill": {"color": theme.background},
            "line": {"color": theme.grid, "width": 1},
            "font": {
                "color": [theme.muted if name in ("definition", "unit") else theme.text for name in columns],
                "size": size,
            },
            "height": 2 * size,
        },
    }
    built = layout(scene, {}, {})
    built["margin"] = {"l": 8, "r": 8, "t": 8, "b": 8}
    del built["xaxis"], built["yaxis"]
    return {"data": [table], "layout": built}


def _plain(rows: list[tuple[dict[str, Any], float, float, float]], compact: bool) -> dict[str, list[str]]:
    """One row per metric."""
    return {
        "metric": [one["name"] for one, *_ in rows],
        "value": [_said(one, value, compact) for one, value, *_ in rows],
        "bounds": [_bounds(one["unit"], lower, upper) for one, _, lower, upper in rows],
        "unit": [_unit(one["unit"]) for one, *_ in rows],
        "in words": [one["text"] or one["reason"] for one, *_ in rows],
        "definition": [one["definition"] for one, *_ in rows],
    }


def _merged(rows: list[tuple[dict[str, Any], float, float, float]]) -> dict[str, list[str]]:
    """One row per measure: at the turn, at the end, and from when it stays near its end."""
    found: dict[str, dict[str, tuple[dict[str, Any], float, float, float]]] = {}
    for row in rows:
        measure, _, when = row[0]["name"].rpartition(", ")
        found.setdefault(measure, {})[when] = row
    return {
        "metric": list(found),
        "at the turn": [
            _number(one["at the turn"][1], one["at the turn"][0]["unit"]) for one in found.values()
        ],
        "final": [_number(one["final"][1], one["final"][0]["unit"]) for one in found.values()],
        "unit": [_unit(one["final"][0]["unit"]) for one in found.values()],
        "converged": [_bounds("epoch", *one["converged"][2:]) for one in found.values()],
        "definition": [
            one["final"][0]["reason"] or one["final"][0]["definition"].partition(": ")[2]
            for one in found.values()
        ],
    }


def _said(one: dict[str, Any], value: float, compact: bool) -> str:
    """The value; a code is said by the words beside it, before their colon, and so is a rule where the
    column of words is left out."""
    in_words = one["unit"] == "code" or (compact and one["name"].startswith("rule: "))
    return one["text"].partition(":")[0] if in_words else _number(value, one["unit"])


def _unit(unit: str) -> str:
    return {"1": "", "code": "", "nat": "nats"}.get(unit, unit)


def _bounds(unit: str, lower: float, upper: float) -> str:
    if not math.isfinite(upper):
        return ""
    first = "start" if math.isnan(lower) else _number(lower, unit)
    return f"{first} to {_number(upper, unit)}"


def _number(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "–"
    if unit in _WHOLE:
        return f"{value:,.0f}".replace("-", "\u2212")
    return f"{value:.4g}".replace("-", "\u2212")


# --- lead and lag ----------------------------------------------------------------------------------------


def _draw_leads(data: xr.Dataset, scene: Scene) -> Figure:
    lower, upper = (data[f"stage_{side}"].transpose("signal", "stage").values for side in ("lower", "upper"))
    lower = np.where(np.isnan(lower) & np.isfinite(upper), 0.0, lower)
    timed = np.isfinite(upper).all(axis=1)
    if not timed.any():
        return message(scene, "No signal makes a step in this run.")
    middle = data["stage"].values.tolist().index("middle")
    order = np.argsort(np.where(timed, upper[:, middle], np.inf), kind="stable")
    names, reasons = data["signal"].values[order].tolist(), json.loads(data.attrs["reasons"])
    lower, upper, timed = lower[order], upper[order], timed[order]
    places = np.arange(len(names), dtype=float)
    trained = float(data["value"].sel(metric="trained epochs"))
    last = max(float(np.nanmax(upper)), trained if math.isfinite(trained) else 0.0)
    theme = scene.theme
    colours = [theme.series[1] if name == "test loss" else theme.series[0] for name in names]
    traces: list[dict[str, Any]] = []
    for colour in dict.fromkeys(colours):
        own = np.array([one == colour for one in colours]) & timed
        for first, end, width, opacity in (
            (0, -1, 3 if scene.compact else 4, 0.35),
            (middle, middle, 9, 0.9),
        ):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": _bars(lower[own, first], upper[own, end]),
                    "y": _bars(places[own], places[own]),
                    "line": {"color": colour, "width": width if not scene.compact or width < 9 else 6},
                    "opacity": opacity,
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
    for index in np.flatnonzero(timed):
        lead = (float(data[f"lead_{side}"].values[order[index]]) for side in ("lower", "upper"))
        marks = {"meta": {"payload": {"epoch": "x"}}} if names[index] != "test loss" else {}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": upper[index : index + 1, middle],
                "y": places[index : index + 1],
                "marker": {
                    "color": colours[index],
                    "size": 6 if scene.compact else 8,
                    "line": {"width": 1.5, "color": theme.background},
                },
                "name": names[index],
                "hovertemplate": f"{names[index]}: half-way by epoch %{{x:,d}}{_led(*lead)}<extra></extra>",
                "showlegend": False,
                **marks,
            }
        )
    x = time_axis(scene, np.array([0.0, last]))
    labels = [_SHORT.get(name, name) for name in names]
    y = axis(
        scene,
        "signal, by time",
        range=[len(names) - 0.4, -0.6],
        tickmode="array",
        tickvals=places.tolist(),
        ticktext=labels,
        showgrid=False,
    )
    built = layout(scene, x, y)
    built["margin"]["l"] = int(24 + 0.56 * font_size(scene) * max(map(len, labels)))
    y["title"]["standoff"] = 2
    for index in np.flatnonzero(~timed):
        text = "no step" if scene.compact else f"no step: {reasons.get(names[index]) or 'it did not happen'}"
        placed = {
            "x": 0.01,
            "xref": "paper",
            "y": float(places[index]),
            "yref": "y",
            "xanchor": "left",
            "yanchor": "middle",
        }
        built["annotations"].append(
            note(scene, text, **placed, font={"size": font_size(scene) - 1, "color": theme.muted})
        )
    mark_events(scene, built)
    return {"data": traces, "layout": built}


def _led(low: float, high: float) -> str:
    """How that lies to the turn, for the hover."""
    if not math.isfinite(low):
        return ""
    if low > 0:
        return f"<br>{low:,.0f} to {high:,.0f} epochs before the turn"
    if high < 0:
        return f"<br>{-high:,.0f} to {-low:,.0f} epochs after the turn"
    return "<br>not told apart from the turn"


def _bars(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """start, end, gap, start, end, gap, ..."""
    return np.stack([start, end, np.full(len(start), np.nan)], axis=1).ravel()


VIEWS = (
    View(
        name="run_summary",
        title="Run summary",
        group="run",
        order=3,
        blurb="The run in one table: what kind it is and by which rules, when it turned, what it learned, and"
        " every structural measure both at the turn and at the end, since at the turn it is not yet what it"
        " becomes. Epochs are intervals between checkpoints; a missing value says why.",
        data=_summary,
        draw=_draw_table,
        needs=("run_summary",),
        parameters={"part": Parameter("run", tuple(_PARTS), "Part")},
    ),
    View(
        name="lead_and_lag",
        title="Lead and lag of signals",
        group="run",
        order=4,
        blurb="When each signal makes its step: the thin bar from 10 to 90 % of it, the thick one the"
        " interval in which half is done. Signals above the test loss moved before it. Bars are as wide as"
        " checkpoints are apart; overlapping ones cannot be told apart.",
        data=_summary,
        draw=_draw_leads,
        needs=("run_summary",),
        optional=("turn",),
        marks=("epoch",),
    ),
)
