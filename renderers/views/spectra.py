"""Ranks and spectral gaps of the weight matrices over time."""

from __future__ import annotations

import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.matrices import WHOLE, matrix_curves
from renderers.source import Scene, Source

_RANKS = {"effective": "effective_rank", "stable": "stable_rank"}
_GAPS = {"at 2 |K*|": "gap_at_keys", "largest": "largest_gap"}


def _ranks(source: Source) -> xr.Dataset:
    return source.artifact("spectral_summary")[[_RANKS[source.params["rank"]]]]


def _draw_ranks(data: xr.Dataset, scene: Scene) -> Figure:
    kind = scene.params["rank"]
    title = {"effective": "effective rank exp H(s / Σs)", "stable": "stable rank Σs² / s₁²"}[kind]
    return matrix_curves(scene, data[_RANKS[kind]], title=title, hover=f"{kind} rank %{{y:.1f}}")


def _gaps(source: Source) -> xr.Dataset:
    names = [_GAPS[source.params["gap"]], "largest_gap_index", "key_index"]
    return source.artifact("spectral_summary")[names].sel(matrix=list(WHOLE))


def _draw_gaps(data: xr.Dataset, scene: Scene) -> Figure:
    chosen = scene.params["gap"]
    values = data[_GAPS[chosen]]
    keys = int(data["key_index"].values.max(initial=0))
    if chosen == "largest":
        index, hover = data["largest_gap_index"], "ratio %{y:.2f} at i = %{customdata}"
        title, text = "largest gap s<sub>i</sub> / s<sub>i+1</sub>", f"2 |K*| = {keys}"
    else:
        index, hover = None, f"s<sub>{keys}</sub> / s<sub>{keys + 1}</sub> %{{y:.2f}}"
        title, text = f"gap s<sub>{keys}</sub> / s<sub>{keys + 1}</sub>", f"2 |K*| = {keys}"
    return matrix_curves(scene, values, title=title, hover=hover, extra=index, log=True, text=text)


VIEWS = (
    View(
        name="matrix_ranks",
        title="Effective and stable rank",
        group="dimensionality",
        order=20,
        blurb="Two more counts of the directions in use: the effective rank (entropy of the singular values)"
        " still counts a long tail of small ones, the stable rank only what compares with the largest.",
        data=_ranks,
        draw=_draw_ranks,
        needs=("spectral_summary",),
        optional=("turn",),
        marks=("epoch", "head"),
        parameters={"rank": Parameter("effective", tuple(_RANKS), "Rank")},
    ),
    View(
        name="spectral_gap",
        title="Spectral gap",
        group="dimensionality",
        order=30,
        blurb="Ratio of neighbouring singular values: behind the directions that the final model's key"
        " frequencies need (two each), or where it is largest in the upper half of the spectrum. A random"
        " matrix has about 1.02.",
        data=_gaps,
        draw=_draw_gaps,
        needs=("spectral_summary",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"gap": Parameter("at 2 |K*|", tuple(_GAPS), "Gap")},
    ),
)
