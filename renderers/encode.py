"""Figures with numpy arrays -> figures of JSON types, arrays as plotly's typed-array specs."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

_INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4")


def encode(figure: Any) -> Any:
    """Copy `figure` (nested dicts, lists, numpy arrays) with every array as a JSON-ready value.

    One- and two-dimensional numeric arrays become `{"dtype", "bdata", "shape"}`: integers in the narrowest
    type that holds them, floats as float32 (float64 where float32 would overflow, underflow or drop a whole
    number).
    Other arrays become lists. NaN and infinities outside typed arrays become None: the result is valid JSON.
    """
    if isinstance(figure, dict):
        return {key: encode(value) for key, value in figure.items()}
    if isinstance(figure, (list, tuple)):
        return [encode(value) for value in figure]
    if isinstance(figure, np.ndarray):
        return _array(figure)
    if isinstance(figure, np.generic):
        figure = figure.item()
    if isinstance(figure, float) and not math.isfinite(figure):
        return None
    return figure


def _array(array: np.ndarray) -> Any:
    if array.dtype.kind not in "iuf" or array.size == 0:
        return encode(array.tolist())
    if array.ndim not in (1, 2):
        values = array.astype(object)
        values[~np.isfinite(array)] = None
        return values.tolist()
    packed = _narrow(array)
    spec: dict[str, Any] = {
        "dtype": packed.dtype.str[1:],
        "bdata": base64.b64encode(np.ascontiguousarray(packed).data).decode(),
    }
    if packed.ndim > 1:
        spec["shape"] = ", ".join(str(length) for length in packed.shape)
    return spec


def _narrow(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        whole = finite.size > 0 and bool(np.all(finite == np.rint(finite)))
        sizes = np.abs(finite[finite != 0])
        narrow = not sizes.size or (sizes.min() > 1e-37 and sizes.max() < (2**24 if whole else 3e38))
        return array.astype("<f4" if narrow else "<f8")
    low, high = int(array.min()), int(array.max())
    for name in _INTEGERS:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return array.astype(f"<{name}")
    return array.astype("<f8")
