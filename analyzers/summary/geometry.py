"""The dimensionality's crossings and the loop of the path, beside their nulls."""

from __future__ import annotations

import math

import numpy as np

from analyzers.summary.rows import NAN, UNKNOWN, Reading, Row, interval_row
from analyzers.summary.timing import REFERENCE, Turn, difference, order_of

LOOP_GROUP, LOOP_PLANE = "all", "2-3"
SIGNIFICANT = 0.05


def geometry_rows(reading: Reading, turn: Turn) -> list[Row]:
    """The crossings of the dimensionality's band, and the verdict on the loop beside its nulls."""
    rows = []
    crossing = reading.artifact("dimensionality_crossing")
    for convention in ("singular values", "eigenvalues"):
        for edge in ("upper", "lower"):
            name = f"W_E below the {edge} edge of the band ({convention})"
            if crossing is None:
                rows.append(
                    interval_row(
                        name,
                        "geometry",
                        UNKNOWN,
                        "participation ratio",
                        reason=reading.why_not("dimensionality_crossing"),
                    )
                )
                continue
            one = crossing.sel(matrix="W_E", convention=convention, edge=edge)
            level = float(crossing["band"].sel(edge=edge))
            pair = (float(one["lower"]), float(one["upper"]))
            low, high = difference(turn.events[REFERENCE], pair)
            text = (
                f"{order_of(low, high)}: leads by {low:,.0f} to {high:,.0f} epochs"
                if math.isfinite(low)
                else ""
            )
            rows.append(
                interval_row(
                    name,
                    "geometry",
                    pair,
                    f"participation ratio of the {convention} of W_E below {level:g} for good",
                    text,
                )
            )
    return [*rows, *_loop_rows(reading)]


def _loop_rows(reading: Reading) -> list[Row]:
    nulls = reading.artifact("path_nulls")
    name, definition = (
        "loop in PC2 and PC3",
        f"|4 pi area| of the path in the plane {LOOP_PLANE} over its squared perimeter, beside random paths",
    )
    if nulls is None:
        return [Row(name, "geometry", NAN, "1", definition, reason=reading.why_not("path_nulls"))]
    one = nulls.sel(group=LOOP_GROUP, measure=f"area {LOOP_PLANE}")
    observed, p_values, bands = float(one["observed"]), one["p_value"].values, one["band"].values
    if not math.isfinite(observed) or not np.isfinite(p_values).all():
        return [Row(name, "geometry", NAN, "1", definition, reason="the path has too few checkpoints")]
    told = (p_values < SIGNIFICANT).all()
    if told and (observed > bands[:, -1]).all():
        verdict = "a loop: rounder than all random paths"
    elif told and (observed < bands[:, 0]).all():
        verdict = "no loop: encloses less than random paths do"
    else:
        verdict = "not told from random paths"
    listed = ", ".join(
        f"{null} p = {p_value:.2g}" for null, p_value in zip(nulls["null"].values, p_values, strict=True)
    )
    rows = [
        Row(
            name,
            "geometry",
            observed,
            "1",
            definition,
            float(bands[:, 0].min()),
            float(bands[:, -1].max()),
            f"{verdict} ({listed})",
        )
    ]
    crossings = nulls.sel(group=LOOP_GROUP, measure=f"crossings {LOOP_PLANE}")
    band = crossings["band"].values
    rows.append(
        Row(
            "self-intersections in PC2 and PC3",
            "geometry",
            float(crossings["observed"]),
            "crossings",
            "the bounds are the 95 % band of random paths",
            float(band[:, 0].min()),
            float(band[:, -1].max()),
        )
    )
    return rows
