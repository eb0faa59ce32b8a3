"""The colour of a variant: one definition for the table, every comparison and the panels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from renderers.theme import Theme, evenly

BY_VARIANT = "variant"


def variant_colours(
    names: Sequence[str], labels: Mapping[str, str], theme: Theme, numeric: bool = False
) -> dict[str, str]:
    """Variant -> colour: variants of one label share it.

    Labels take the theme's series colours in their order, further ones evenly spread hues; numeric labels
    (many primes, learning rates) follow the scale of time from little to much.
    """
    distinct = list(dict.fromkeys(labels[name] for name in names))
    if numeric:
        distinct.sort(key=float)
        stops = _along(theme.time, len(distinct))
        chosen = dict(zip(distinct, stops, strict=True))
    else:
        colours = [*theme.series, *evenly(max(0, len(distinct) - len(theme.series)), theme)]
        chosen = {label: colours[index] for index, label in enumerate(distinct)}
    return {name: chosen[labels[name]] for name in names}


def labels_of(parameters: pd.DataFrame, colour_by: str) -> dict[str, str]:
    """Variant -> the label of its group: its own name, or the value of a parameter ("none" without one)."""
    if colour_by == BY_VARIANT or colour_by not in parameters:
        return {str(name): str(name) for name in parameters.index}
    return {str(name): label(value) for name, value in parameters[colour_by].items()}


def label(value: Any) -> str:
    """A parameter's value as people write it."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "none"
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return f"{value:g}" if number else str(value)


def is_scale(labels: Mapping[str, str], most_named: int = 8) -> bool:
    """True where labels are numbers and too many for colours that are told apart by name."""
    distinct = set(labels.values())
    try:
        return len({float(one) for one in distinct}) > most_named
    except ValueError:
        return False


def _along(stops: Sequence[str], count: int) -> list[str]:
    if count <= 1:
        return [stops[len(stops) // 2]][:count]
    channels = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], float)
    at = np.linspace(0, len(stops) - 1, count)
    mixed = [np.interp(at, np.arange(len(stops)), channels[:, i]) for i in range(3)]
    return ["#" + "".join(f"{round(float(value)):02x}" for value in row) for row in np.transpose(mixed)]
