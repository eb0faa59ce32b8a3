"""A minus B: the same curve of two variants, in aligned time."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyzers.comparison.alignment import ALIGNMENTS
from analyzers.comparison.curves import joint_grid, resample
from data.errors import BadParameter
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort
from renderers.comparison.differences import draw_difference
from renderers.comparison.pair import (
    common_views,
    first_names,
    nothing_common,
    of_both,
    second_names,
)
from renderers.comparison.timeviews import (
    Placed,
    curve_names,
    is_logarithmic,
    placed_curves,
    settings_with,
    time_tables,
    view_of,
)

_LOGARITHMS, _VALUES = "logarithms", "values"


def _views(cohort: Cohort) -> tuple[str, ...]:
    return common_views(cohort, "curves")


def _settings(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    return () if view is None else settings_with(of_both(cohort), view, "curves")


def _curves(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    if view is None:
        return ()
    return curve_names(of_both(cohort), view, cohort.params["setting"], common=True)


def _measures(cohort: Cohort) -> tuple[str, ...]:
    view = view_of(cohort)
    if view is None:
        return ()
    log = is_logarithmic(of_both(cohort), view, cohort.params["setting"])
    return (_LOGARITHMS, _VALUES) if log else (_VALUES,)


def _data(cohort: Cohort) -> xr.Dataset:
    view = view_of(cohort)
    if view is None:
        raise nothing_common(cohort, "curve over epochs")
    name = cohort.params["curve"]
    found, refused = placed_curves(of_both(cohort), view, cohort.params["setting"], name)
    if refused:
        why = "; ".join(f"{one}: {reason}" for one, reason in refused)
        raise BadParameter(
            f"No difference by {ALIGNMENTS[cohort.align]}: {why}. Align by epoch, or choose other variants."
        )
    log = cohort.params["measure"] == _LOGARITHMS
    dataset = _difference(found, log)
    title = found[0].curve.title
    dataset.attrs = {
        "view": view.title,
        "curve": name,
        "title": title,
        "log": int(found[0].curve.log),
        "axis": json.dumps(dict(found[0].curve.axis), default=np.ndarray.tolist),
        "measure": "log₁₀ A / B (decades)" if log else "A − B",
    }
    return dataset


def _difference(found: Sequence[Placed], log: bool) -> xr.Dataset:
    """Both curves and their difference at every point of either, where both are defined."""
    grid = joint_grid(*(one.x for one in found))
    if not len(grid):
        ends = " and ".join(f"{one.variant.name} {one.x[0]:g} to {one.x[-1]:g}" for one in found)
        raise BadParameter(
            f"The curves do not overlap in aligned time: {ends}. Choose another alignment, or other variants."
        )
    first, second = (resample(one.x, one.curve.values, grid, one.curve.hold, log) for one in found)
    values = (10.0**first, 10.0**second) if log else (first, second)
    tables = time_tables(found)
    return xr.Dataset(
        {
            "difference": ("time", first - second),
            "value": (("variant", "time"), np.stack(values)),
            "epoch": (("variant", "time"), np.stack([one.alignment.epoch(grid) for one in found])),
            "drawn": ("variant", np.array([one.curve.name for one in found], dtype=str)),
        },
        coords={"variant": tables["variant"], "time": grid},
    ).assign(tables.data_vars)


COMPARISONS = (
    Comparison(
        name="difference",
        title="Difference of curves",
        section="difference",
        order=1,
        blurb="One curve of A less that of B, over the aligned times that both runs have: where they part and"
        " by how much. Above: the two curves themselves.",
        data=_data,
        draw=draw_difference,
        parameters={
            "a": Choice("A", first_names),
            "b": Choice("B", second_names),
            "view": Choice("View", _views),
            "setting": Choice("Setting", _settings),
            "curve": Choice("Curve", _curves),
            "measure": Choice("Difference of", _measures),
        },
        depends=("variant", "neuron", "pair"),
        aligned=True,
        marks=("variant", "epoch"),
        least=2,
        formula="A(t) - B(t), or log10 A(t) - log10 B(t), at every aligned time t of a point of either",
        source="the view that is chosen",
        caveats="Between its points a curve is interpolated in aligned time. Nothing is said where only one"
        " of the runs is.",
    ),
)
