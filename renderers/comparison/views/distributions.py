"""Any metric by any parameter: every run a mark, quartiles where there are enough, a test between groups."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from analyzers.comparison.groups import described, kruskal_wallis
from analyzers.comparison.scale import drawn_on_decades, scaled
from data.errors import BadParameter
from renderers.catalog import Figure
from renderers.comparison import sample
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.marks import (
    explain,
    in_order,
    interval,
    key,
    number,
    p_value,
    run_points,
    spaced,
    value_axis,
    with_unit,
)
from renderers.figure import Trace, above, axis, layout
from renderers.theme import translucent

_MOST = 40  # groups
_ENOUGH = 5  # runs from which quartiles are drawn
_HALF = 0.32  # of the room of a group


def _data(cohort: Cohort) -> xr.Dataset:
    metric, by = sample.chosen(cohort), cohort.params["by"]
    names, left = sample.runs(cohort, cohort.params["runs"])
    known, values, without = sample.known_values(cohort, metric, names)
    if not known:
        raise BadParameter(
            f"None of the {len(names)} runs has {metric!r}. Choose another metric or other runs."
        )
    labels = np.array(sample.labels(cohort, by, known))
    groups = in_order(sample.labels(cohort, by, names))
    if len(groups) > _MOST:
        raise BadParameter(
            f"{by} has {len(groups)} values among these runs; {_MOST} is the most that fit side by side."
            " Choose another parameter."
        )
    found = [described(values[labels == group], group) for group in groups]
    lost = np.array(sample.labels(cohort, by, [name for name, _ in without]))
    info = sample.metric_of(cohort, metric)
    dataset = xr.Dataset(
        {
            "value": ("variant", values),
            "label": ("variant", labels),
            "runs": ("group", [one.n for one in found]),
            "without": ("group", [int((lost == group).sum()) if len(lost) else 0 for group in groups]),
            "low": ("group", [one.low for one in found]),
            "median": ("group", [one.median for one in found]),
            "high": ("group", [one.high for one in found]),
            "median_lower": ("group", [one.median_interval[0] for one in found]),
            "median_upper": ("group", [one.median_interval[1] for one in found]),
        },
        coords={"variant": known, "group": groups},
        attrs={"title": info.title, "unit": info.unit, "definition": info.definition},
    )
    if len(np.unique(labels)) > 1 and len(known) > 2:
        test = kruskal_wallis(values, labels)
        dataset.attrs |= {
            "h": test.h,
            "df": test.df,
            "p": test.permuted.p,
            "exact": int(test.permuted.exact),
            "ways": test.permuted.ways,
            "effect": test.effect,
        }
    return leave_out(dataset, [*left, *without])


def _draw(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    groups, values = data["group"].values.tolist(), data["value"].values
    logarithmic = drawn_on_decades(values)
    traces: list[Trace] = []
    for place, group in enumerate(groups):
        own = np.flatnonzero(data["label"].values == group)
        if len(own) >= _ENOUGH:
            traces += _quartiles(data.isel(group=place), place, data.attrs["unit"], scene)
        own = own[np.argsort(values[own], kind="stable")]
        names = data["variant"].values[own].tolist()
        x = place + _beside(scaled(values[own], logarithmic), scaled(values, logarithmic))
        points = run_points(
            scene,
            names,
            x,
            values[own],
            [scene.colours[name] for name in names],
            [f"{scene.params['metric']} {with_unit(values[one], data.attrs['unit'])}" for one in own],
        )
        traces.append(points)
    counts = [
        f"n {runs}" + (f", {lost} without" if lost and not scene.compact else f" +{lost}" if lost else "")
        for runs, lost in zip(data["runs"].values.tolist(), data["without"].values.tolist(), strict=True)
    ]
    every = max(1, math.ceil(len(groups) / (8 if scene.compact else 20)))
    shown = range(0, len(groups), every)
    x_axis = axis(
        plain,
        scene.params["by"] if scene.params["by"] != sample.ALL else "",
        range=[-0.6, len(groups) - 0.4],
        tickvals=list(shown),
        ticktext=[f"{groups[place]}<br>{counts[place]}" for place in shown],
        showgrid=False,
    )
    y_axis = value_axis(scene, data.attrs["title"], values, logarithmic)
    built = layout(plain, x_axis, y_axis, top=14 if scene.compact else 32)
    built["margin"]["b"] += 14
    explain(scene, built, "y", data.attrs["definition"])
    built["annotations"].append(above(plain, _said(data, scene), x=0.0, xanchor="left"))
    if not scene.compact and key(scene):
        built["annotations"].append(above(plain, key(scene), x=0.0, xanchor="left", yshift=18))
    return {"data": traces, "layout": built}


def _beside(values: np.ndarray, everything: np.ndarray) -> np.ndarray:
    """Offsets [n] that part ascending values lying close together; a lone value stays in the middle."""
    near = 0.03 * (float(np.ptp(everything)) or 1.0)
    crowd = np.array([(np.abs(values - value) < near).sum() for value in values])
    return spaced(len(values), 1.0) * _HALF * np.minimum(1.0, (crowd - 1) / 8)


def _quartiles(own: xr.Dataset, place: int, unit: str, scene: CohortScene) -> list[Trace]:
    """The middle half as a strip, the median as a line, its interval as a bracket."""
    low, median, high = (float(own[name]) for name in ("low", "median", "high"))
    text = (
        f"{scene.params['by']} {own['group'].item()}: median {with_unit(median, unit)}"
        f" {interval(float(own['median_lower']), float(own['median_upper']), unit)}"
        f"<br>middle half {number(low, unit)} to {number(high, unit)}, n {int(own['runs'])}<extra></extra>"
    )
    left, right = place - _HALF - 0.06, place + _HALF + 0.06
    strip: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "middle half",
        "x": [left, right, right, left, left],
        "y": [low, low, high, high, low],
        "fill": "toself",
        "fillcolor": translucent(scene.theme.muted, 0.13),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    middle: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "median",
        "x": [left, right],
        "y": [median, median],
        "line": {"width": 2, "color": scene.theme.text},
        "hovertemplate": text,
    }
    ends = [float(own["median_lower"]), float(own["median_upper"])]
    bracket: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "interval of the median",
        "x": [right, right],
        "y": ends,
        "line": {"width": 2, "color": scene.theme.muted},
        "hovertemplate": text,
    }
    return [strip, middle, *([bracket] if np.isfinite(ends).all() else [])]


def _said(data: xr.Dataset, scene: CohortScene) -> str:
    text = f"{data.sizes['variant']} runs"
    if "h" in data.attrs:
        h = "" if scene.compact else f"H = {data.attrs['h']:.1f}, "
        text += f" · Kruskal–Wallis {h}{p_value(data.attrs['p'])}"
        if not scene.compact:
            text += (
                " (all permutations)" if data.attrs["exact"] else f" ({data.attrs['ways']:,} permutations)"
            )
        if math.isfinite(data.attrs["effect"]):
            text += f" · η² = {number(data.attrs['effect'])}"
    return text + left_out_text(left_out(data))


COMPARISONS = (
    Comparison(
        name="distributions",
        title="A metric by a parameter",
        section="statistics",
        order=20,
        blurb="Every run is a mark. Where a group has five or more: the middle half (grey), the median (line)"
        " and its 95 % interval (stroke at the side). Runs without the metric are counted below their group.",
        data=_data,
        draw=_draw,
        parameters={
            "metric": Choice("Metric", sample.metric_names),
            "by": Choice("By", sample.grouping_names),
            "runs": Choice("Runs", sample.RUNS),
        },
        formula="H of Kruskal and Wallis on ranks, p from permutations; eta^2 = (H - k + 1) / (n - k);"
        " interval of"
        " the median from order statistics",
        source="Kruskal and Wallis 1952",
        caveats="The test says that levels differ somewhere, not where; other parameters may differ between"
        " the"
        " groups as well (see Level by level).",
    ),
)
