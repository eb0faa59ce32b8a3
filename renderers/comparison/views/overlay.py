"""The curves of one view for any number of variants, on one axis of aligned time."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyzers.comparison.curves import bands, common_grid, relative_to_first, resample
from data.errors import BadParameter
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort, leave_out
from renderers.comparison.colours import BY_VARIANT
from renderers.comparison.overlays import draw_overlay
from renderers.comparison.timeviews import (
    Placed,
    curve_names,
    is_logarithmic,
    joined,
    placed_curves,
    repeated,
    settings_with,
    time_tables,
    view_of,
    views_of_kind,
)

GRID = 400
_LOG, _RAW, _RELATIVE = "log", "raw", "relative to first"
_NO_BANDS, _QUARTILES = "none", "median and quartiles"
EVERYONE = "all"


def _views(cohort: Cohort) -> tuple[str, ...]:
    return views_of_kind(cohort, "curves")


def _settings(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    return () if view is None else settings_with(cohort, view, "curves")


def _curves(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    return () if view is None else curve_names(cohort, view, cohort.params["setting"])


def _scales(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    if view is None:
        return ()
    log = is_logarithmic(cohort, view, cohort.params["setting"])
    return (_LOG, _RAW, _RELATIVE) if log else (_RAW, _RELATIVE)


def _data(cohort: Cohort) -> xr.Dataset:
    view = view_of(cohort)
    if view is None:
        raise BadParameter(
            "None of the selected variants has a curve over epochs. Train one, or select other rows of the"
            " table."
        )
    name = cohort.params["curve"]
    found, left = placed_curves(cohort, view, cohort.params["setting"], name)
    relative = cohort.params["normalise"] == _RELATIVE
    log = bool(found) and found[0].curve.log and cohort.params["normalise"] != _RAW
    values = [relative_to_first(one.curve.values) if relative else one.curve.values for one in found]
    dataset = _points(found, values)
    if cohort.params["bands"] == _QUARTILES and found:
        dataset = dataset.merge(_bands(cohort, found, values, log))
    title = found[0].curve.title if found else ""
    dataset.attrs = {
        "view": view.title,
        "curve": name,
        "title": f"{title}, over its first value" if relative else title,
        "log": int(log),
        "axis": json.dumps(
            {} if relative or not found else dict(found[0].curve.axis), default=np.ndarray.tolist
        ),
        "hold": found[0].curve.hold if found else "linear",
        "selected": len(cohort.variants),
    }
    return leave_out(dataset, left)


def _points(found: Sequence[Placed], values: Sequence[np.ndarray]) -> xr.Dataset:
    """All curves end to end (`points` of each variant), with the tables of `time_tables`."""
    columns = {
        "x": [one.x for one in found],
        "y": list(values),
        "epoch": [one.curve.epochs for one in found],
    }
    return xr.Dataset(
        {
            "of": ("point", repeated([one.variant.name for one in found], values)),
            **{name: ("point", joined(parts)) for name, parts in columns.items()},
            "points": ("variant", np.array([len(one.x) for one in found], dtype=np.int64)),
            "drawn": ("variant", np.array([one.curve.name for one in found], dtype=str)),
        },
    ).merge(time_tables(found))


def _bands(cohort: Cohort, found: Sequence[Placed], values: Sequence[np.ndarray], log: bool) -> xr.Dataset:
    """Median and quartiles per group of `colour_by`; of all variants where each is a group of its own."""
    grid = common_grid([one.x for one in found], GRID)
    rows = np.stack(
        [resample(one.x, y, grid, one.curve.hold, log) for one, y in zip(found, values, strict=True)]
    )
    alone = cohort.colour_by == BY_VARIANT
    labels = np.array([EVERYONE if alone else cohort.groups[one.variant.name] for one in found])
    groups = list(dict.fromkeys(labels.tolist()))
    summaries = [bands(rows[labels == group]) for group in groups]
    shown = {
        name: np.stack([getattr(one, name) for one in summaries]) for name in ("median", "lower", "upper")
    }
    return xr.Dataset(
        {
            **{name: (("group", "time"), 10.0**part if log else part) for name, part in shown.items()},
            "count": (("group", "time"), np.stack([one.count for one in summaries])),
            "runs": ("group", np.array([int((labels == group).sum()) for group in groups])),
        },
        coords={"group": groups, "time": grid},
    )


COMPARISONS = (
    Comparison(
        name="overlay",
        title="Overlay",
        section="overlay",
        order=1,
        blurb="One curve of any view over time, for every selected variant. Align by epoch, by the turn or by"
        " phases to see whether runs differ in when something happens or in how. Bands are quartiles over the"
        " runs of a group.",
        data=_data,
        draw=draw_overlay,
        parameters={
            "view": Choice("View", _views),
            "setting": Choice("Setting", _settings),
            "curve": Choice("Curve", _curves),
            "bands": Choice("Bands", (_NO_BANDS, _QUARTILES)),
            "normalise": Choice("Values", _scales),
        },
        depends=("neuron", "pair"),
        aligned=True,
        marks=("variant", "epoch"),
        formula="x = aligned time of the epoch; bands: quartiles over runs, interpolated in aligned time",
        source="the view that is chosen",
        caveats="Bands only where at least half of a group's runs, and no fewer than three, have a value.",
    ),
)
