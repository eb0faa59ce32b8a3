"""What a mark carries: reading a selection field off a clicked point.

A clickable trace says in `meta["payload"]` where each selection field lies, the primary one first:

    {"epoch": "x", "frequency": "customdata", "head": {"value": 3}}

`"x"` and `"y"` are the point's coordinates, `"customdata"` its custom value (a scalar),
`"customdata[1]"` one entry of it (a list), `{"value": 3}` a constant of the whole trace, and
`{"a": "y", "b": "x", "p": 113}` the row n = a p + b of an input, from two such places.
A variant is a text, every other field a number; zero is a legal value. The browser has a twin of `payload`
with the same grammar.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

Where = str | Mapping[str, Any]
_ENTRY = re.compile(r"customdata\[(\d+)\]")


def payload(trace: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, int | str]:
    """Selection fields carried by `point` of `trace`, in the trace's own order (primary first).

    `point` is what plotly reports: `x`, `y` and, if the trace has any, the `customdata` of that point.
    A field whose value is missing there (None or NaN) is left out. A trace without payload gives {}.
    """
    declared: Mapping[str, Where] = (trace.get("meta") or {}).get("payload") or {}
    found = {field: _value(where, point) for field, where in declared.items()}
    return {field: value for field, value in found.items() if value is not None}


def _value(where: Where, point: Mapping[str, Any]) -> int | str | None:
    if isinstance(where, Mapping) and "p" in where:
        a, b = _value(where["a"], point), _value(where["b"], point)
        value = int(a) * where["p"] + int(b) if a is not None and b is not None else None
    elif isinstance(where, Mapping):
        value = where["value"]
    elif where in ("x", "y", "customdata"):
        value = point.get(where)
    elif entry := _ENTRY.fullmatch(where):
        values = point.get("customdata")
        value = None if values is None else values[int(entry[1])]
    else:
        raise ValueError(f"payload location {where!r}: use x, y, customdata, customdata[i] or a value.")
    if isinstance(value, str):
        return value or None
    if value is None or math.isnan(float(value)):
        return None
    return round(float(value))
