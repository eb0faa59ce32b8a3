"""From what an instrument returns to a labelled dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyzers.registry import Analyzer
from data.errors import WorkbenchError

HASH = "checkpoint_hash"
_ONE_BASED = frozenset({"freq", "component"})
_NAMED = {"source": ("a", "b", "=")}
_UNITS = {"freq": "k", "epoch": "epoch", "neuron": "index", "head": "index", "component": "index"}


def dataset_of(
    analyzer: Analyzer, returned: Mapping[str, Any], attrs: Mapping[str, str], epoch: int | None = None
) -> xr.Dataset:
    """The dataset of one call of `analyzer.compute`: its outputs in the declared types, with coordinates.

    `returned` holds every output, and may hold coordinates under the name of their dimension; a dimension
    without one counts from 0 (from 1: freq, component), or has its fixed names (source). `epoch` becomes a
    scalar coordinate. Raises `WorkbenchError` when an output is missing or has not the declared dimensions.
    """
    variables: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    for name, output in analyzer.outputs.items():
        if name not in returned:
            raise WorkbenchError(f"{analyzer.name} did not return {name!r}, which it declares.")
        values = np.asarray(returned[name]).astype(output.dtype)
        if values.ndim != len(output.dims):
            raise WorkbenchError(
                f"{analyzer.name} returned {name} of shape {values.shape}; it declares {output.dims}."
            )
        variables[name] = (output.dims, values, {"long_name": output.long_name, "units": output.units})
        sizes.update(zip(output.dims, values.shape, strict=True))
    coordinates = {dim: (dim, *_coordinate(dim, size, returned.get(dim))) for dim, size in sizes.items()}
    dataset = xr.Dataset(variables, coords=coordinates, attrs={**attrs, **returned.get("attrs", {})})
    return dataset if epoch is None else dataset.assign_coords(epoch=np.int64(epoch))


def joined(datasets: Iterable[tuple[xr.Dataset, str]]) -> xr.Dataset:
    """Datasets of single epochs as one over `epoch` (its first dimension), each with its checkpoint hash."""
    rows = [
        dataset.expand_dims("epoch").assign_coords({HASH: ("epoch", np.array([checkpoint]))})
        for dataset, checkpoint in datasets
    ]
    return xr.concat(rows, dim="epoch", data_vars="all", coords="minimal", compat="override", join="exact")


def attributes(
    analyzer: Analyzer, key: str, probe: str, parameters: Mapping[str, Any], variant: str
) -> dict[str, Any]:
    """What a stored dataset says of itself. `variant` is the identity of the variant it belongs to."""
    return {
        "analyzer": analyzer.name,
        "title": analyzer.title,
        "version": analyzer.version,
        "key": key,
        "probe": probe,
        "parameters": encoded_parameters(parameters),
        "variant": variant,
        "formula": analyzer.formula,
        "source": analyzer.source,
        "protocol": analyzer.protocol,
        "caveats": analyzer.caveats,
    }


def encoded_parameters(parameters: Mapping[str, Any]) -> str:
    """Parameters as the text that is stored with a dataset."""
    return json.dumps(dict(parameters), sort_keys=True)


def _coordinate(dim: str, size: int, given: Any) -> tuple[NDArray[Any], dict[str, str]]:
    attrs = {"units": _UNITS[dim]} if dim in _UNITS else {}
    if given is not None:
        return np.asarray(given), attrs
    if dim in _NAMED:
        return np.array(_NAMED[dim]), attrs
    first = 1 if dim in _ONE_BASED else 0
    return np.arange(first, first + size, dtype=np.int64), attrs
