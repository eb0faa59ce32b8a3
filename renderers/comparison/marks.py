"""Marks that stand for runs, and small texts, shared by the drawings of statistics over variants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from renderers.comparison.cohort import CohortScene
from renderers.comparison.colours import BY_VARIANT, is_scale, variant_colours
from renderers.comparison.drawing import as_scene
from renderers.figure import Trace, axis, font_size, log_axis, note, swatch
from renderers.theme import Theme

_WHOLE = frozenset({"epoch", "epochs", "checkpoints", "neurons", "frequencies", "descents", "crossings"})
_MINUS = "\u2212"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def run_points(
    scene: CohortScene,
    names: Sequence[str],
    x: Any,
    y: Any,
    colours: Sequence[str],
    hover: Sequence[str],
    **marker: Any,
) -> Trace:
    """One mark per run; a click selects the run."""
    style: dict[str, Any] = {
        "size": 6 if scene.compact else 8,
        "color": list(colours),
        "opacity": 0.85,
        "line": {"width": 0.5, "color": scene.theme.background},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "runs",
        "x": x,
        "y": y,
        "customdata": [[name, text] for name, text in zip(names, hover, strict=True)],
        "marker": {**style, **marker},
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "meta": {"payload": {"variant": "customdata[0]"}, "together": True},
    }


def group_colours(names: Sequence[str], labels: Mapping[str, str], theme: Theme) -> dict[str, str]:
    """Label -> colour: that of the page, where the page colours by the same parameter."""
    colours = variant_colours(names, labels, theme, is_scale(labels))
    return {labels[name]: colours[name] for name in names}


def key(scene: CohortScene, most: int = 10) -> str:
    """The colours of the groups as a text; "" where there are too many to be named."""
    named = {scene.groups[name]: colour for name, colour in scene.colours.items()}
    if scene.colour_by == BY_VARIANT or len(named) > most:
        return ""
    parts = [f"{swatch(named[label])} {label}" for label in in_order(named)]
    return f"{scene.colour_by}: " + "  ".join(parts)


def explain(scene: CohortScene, layout: dict[str, Any], axis: str, text: str) -> None:
    """A sign at the end of an axis ("x" or "y") whose hover text says what the metric is."""
    if not text:
        return
    size = font_size(as_scene(scene)) + 1
    margin = layout["margin"]
    place: dict[str, Any] = {
        "x": 1.0,
        "xanchor": "right",
        "y": 0.0,
        "yanchor": "bottom",
        "yshift": 3 - margin["b"],
    }
    if axis == "y":
        place = {
            "x": 0.0,
            "xanchor": "left",
            "xshift": 3 - margin["l"],
            "y": 1.0,
            "yanchor": "bottom",
            "yshift": 3,
        }
    sign = note(as_scene(scene), "?", **place)
    sign |= {
        "hovertext": wrapped(text),
        "captureevents": True,
        "font": {"size": size - 2, "color": scene.theme.muted},
        "bordercolor": scene.theme.line,
        "borderpad": 2,
    }
    layout["annotations"].append(sign)


def in_order(labels: Iterable[str]) -> list[str]:
    """Distinct labels, numbers by size before texts."""

    def place(text: str) -> tuple[int, float, str]:
        try:
            return (0, float(text), text)
        except ValueError:
            return (1, 0.0, text)

    return sorted(set(labels), key=place)


def value_axis(
    scene: CohortScene, title: str, values: np.ndarray, logarithmic: bool, **more: Any
) -> dict[str, Any]:
    """An axis of metric values, or of their decades."""
    plain = as_scene(scene)
    if logarithmic:
        return {**log_axis(plain, title, values), **more}
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-12)
    form = ({"tickformat": "~s"} if scene.compact else {"tickformat": ",d"}) if high - low >= 20 else {}
    return axis(plain, title, **{"range": [low - pad, high + pad], "nticks": 6, **form, **more})


def wrapped(text: str, width: int = 60) -> str:
    """The text in lines of about `width` characters."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)


def shortened(text: str, letters: int) -> str:
    """The text with its middle left out where it is longer."""
    if len(text) <= letters:
        return text
    tail = (letters - 1) // 3
    return f"{text[: letters - 1 - tail]}…{text[len(text) - tail :]}"


def number(value: float, unit: str = "") -> str:
    """A value as people write it."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    text = f"{value:,.0f}" if unit in _WHOLE and abs(value) >= 100 else f"{value:.3g}"
    if "e" in text:
        digits, power = text.split("e")
        return f"{digits}·10{str(int(power)).translate(_RAISED)}".replace("-", _MINUS)
    return text.replace("-", _MINUS)


def with_unit(value: float, unit: str) -> str:
    """A value with its unit."""
    if unit == "epoch":
        return f"epoch {number(value, unit)}"
    said = {"1": "", "code": "", "nat": " nats", "": ""}.get(unit, f" {unit}")
    return f"{number(value, unit)}{said}"


def p_value(p: float) -> str:
    """A p-value with as many digits as it has."""
    if not math.isfinite(p):
        return "p not defined"
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def interval(low: float, high: float, unit: str = "") -> str:
    """An interval in brackets, "" where there is none."""
    if math.isnan(low) and math.isnan(high):
        return ""
    return f"[{number(low, unit)}, {number(high, unit)}]"


def spaced(count: int, width: float) -> np.ndarray:
    """Fixed offsets within [-width, width], for marks that would lie on each other."""
    golden = (math.sqrt(5) - 1) / 2
    return (np.mod(np.arange(count) * golden, 1.0) - 0.5) * 2 * width
