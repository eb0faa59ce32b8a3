"""The grid that a list of settings is, if it is one: the command line writes its grids out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any


def factored(variants: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]] | None:
    """name -> its values, where the settings are all combinations of them, each once; else None."""
    names = list(variants[0]) if variants else []
    if any(list(one) != names for one in variants):
        return None
    values: dict[str, list[Any]] = {name: [] for name in names}
    for one in variants:
        for name in names:
            if one[name] not in values[name]:
                values[name].append(one[name])
    every = {_text(dict(zip(names, chosen, strict=True))) for chosen in itertools.product(*values.values())}
    there = [_text(one) for one in variants]
    return values if len(there) == len(every) and {*there} == every else None


def _text(one: Mapping[str, Any]) -> str:
    return json.dumps(one, sort_keys=True)
