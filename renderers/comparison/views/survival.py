"""Kaplan-Meier: how long runs wait for an event, by any parameter, those that never get there censored."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.survival import Curve, kaplan_meier, log_rank
from data.errors import BadParameter
from renderers.catalog import Figure
from renderers.comparison import sample
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.marks import group_colours, in_order, interval, number, p_value, run_points
from renderers.figure import Label, Trace, above, axis, end_labels, font_size, layout, log_axis, note
from renderers.theme import translucent

_MOST = 24  # groups
_BANDS = 4  # groups up to which each has its band
_FEW = 3  # runs below which a curve is drawn thin
_ROWS = 6  # groups whose numbers at risk stand below the axis
_TICKS = (1, 2, 2.5, 5)


def _data(cohort: Cohort) -> xr.Dataset:
    names, left = sample.runs(cohort, cohort.params["runs"])
    times = sample.event_times(cohort, cohort.params["event"], names)
    left += times.left
    if not times.names:
        why = f" ({left[0][1]})" if left else ""
        raise BadParameter(
            f"No selected run says when {cohort.params['event']!r} happened{why}. Select others, or"
            " analyse them."
        )
    labels = sample.labels(cohort, cohort.params["by"], times.names)
    groups = in_order(labels)
    if len(groups) > _MOST:
        raise BadParameter(
            f"{cohort.params['by']} has {len(groups)} values among these runs; up to {_MOST} curves can be"
            " told apart. Choose another parameter."
        )
    happened = np.isfinite(times.upper)
    at = np.where(happened, times.upper, times.last)
    early = np.where(happened, np.nan_to_num(times.lower), times.last)
    group = np.array(labels)
    curves = [kaplan_meier(at[group == one], happened[group == one]) for one in groups]
    grid = np.unique(np.concatenate([[0.0], at]))
    by_group = {
        "waiting": [curve.at(grid) for curve in curves],
        "band_lower": [_stepped(curve, curve.lower, grid) for curve in curves],
        "band_upper": [_stepped(curve, curve.upper, grid) for curve in curves],
        "at_risk": [(at[group == one][None] >= grid[:, None]).sum(axis=1) for one in groups],
    }
    dataset = xr.Dataset(
        {
            **{name: (("group", "time"), np.array(values)) for name, values in by_group.items()},
            "runs": ("group", [int((group == one).sum()) for one in groups]),
            "events": ("group", [int(happened[group == one].sum()) for one in groups]),
            "until": ("group", [float(at[group == one].max()) for one in groups]),
            "median": ("group", [curve.median for curve in curves]),
            "median_lower": ("group", [curve.median_interval[0] for curve in curves]),
            "median_upper": ("group", [curve.median_interval[1] for curve in curves]),
            "median_early": (
                "group",
                [kaplan_meier(early[group == one], happened[group == one]).median for one in groups],
            ),
            "lower": ("variant", times.lower),
            "upper": ("variant", times.upper),
            "last": ("variant", times.last),
            "label": ("variant", labels),
        },
        coords={"group": groups, "time": grid, "variant": times.names},
        attrs={"definition": sample.metric_of(cohort, cohort.params["event"]).definition},
    )
    if len(groups) > 1:
        test = log_rank(at, happened, group)
        dataset.attrs |= {
            "chi2": test.chi2,
            "df": test.df,
            "p": test.p,
            "p_permutation": test.permuted.p,
            "exact": int(test.permuted.exact),
            "ways": test.permuted.ways,
        }
    return leave_out(dataset, left)


def _stepped(curve: Curve, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.concatenate([[1.0], values])[np.searchsorted(curve.time, grid, side="right")]


def _draw(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    labels = dict(zip(data["variant"].values.tolist(), data["label"].values.tolist(), strict=True))
    ordered = [name for name in scene.groups if name in labels]
    colours = group_colours(ordered, labels, scene.theme)
    logarithmic = scene.params["time"] == "log"
    traces: list[Trace] = []
    ends: list[Label] = []
    for place, group in enumerate(data["group"].values.tolist()):
        own = data.isel(group=place)
        colour = colours[group]
        kept = own["time"].values <= float(own["until"])
        if logarithmic:
            kept &= own["time"].values > 0
        traces += _curve(own.isel(time=kept), group, colour, scene, banded=data.sizes["group"] <= _BANDS)
        traces.append(_runs(data, group, colour, scene))
        if data.sizes["group"] > 1:
            ends.append(
                Label(100 * float(own["waiting"].values[kept][-1]), _named(own, group, scene), colour)
            )
    x = _time_axis(data, scene, logarithmic)
    y = axis(plain, "runs not there yet (%)", range=[-3, 103])
    widest = max((len(end.text) for end in ends), default=0)
    right = int(0.58 * font_size(plain) * widest) + 4
    built = layout(plain, x, y, right=right, top=14 if scene.compact else 16, hovermode="closest")
    lower = _at_risk(data, scene, built, colours)
    width, height = scene.size or (0, 0)
    room = replace(plain, size=(width, height - lower)) if height else plain
    built["annotations"] += end_labels(room, ends, y)
    built["annotations"].append(above(plain, _said(data, scene), x=0.0, xanchor="left"))
    return {"data": traces, "layout": built}


def _named(own: xr.Dataset, group: str, scene: CohortScene) -> str:
    if scene.compact:
        return group
    median = float(own["median"])
    return (
        f"{group} · half by {number(median, 'epoch')}" if math.isfinite(median) else f"{group} · under half"
    )


def _curve(own: xr.Dataset, group: str, colour: str, scene: CohortScene, banded: bool) -> list[Trace]:
    time = own["time"].values
    base: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": time, "hoverinfo": "skip"}
    traces: list[Trace] = []
    if banded:
        for side in ("band_lower", "band_upper"):
            fill = {"fill": "tonexty", "fillcolor": translucent(colour, 0.10)} if side == "band_upper" else {}
            edge = {"color": translucent(colour, 0.0), "width": 0, "shape": "hv"}
            traces.append(
                {**base, "name": f"{group} band", "y": 100 * own[side].values, "line": edge, **fill}
            )
    interval_text = interval(float(own["median_lower"]), float(own["median_upper"]), "epoch")
    hover = (
        f"{scene.params['by']} {group}: %{{y:.0f}} % not yet at epoch %{{x:,.0f}}"
        f"<br>{int(own['events'])} of {int(own['runs'])} runs by epoch {number(float(own['until']), 'epoch')}"
        f"<br>median {number(float(own['median']), 'epoch')} {interval_text}<extra></extra>"
    )
    width = 2 if int(own["runs"]) >= _FEW else 1
    line = {"color": colour, "width": width, "shape": "hv"}
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": time,
            "y": 100 * own["waiting"].values,
            "name": group,
            "line": line,
            "hovertemplate": hover,
        }
    )
    return traces


def _runs(data: xr.Dataset, group: str, colour: str, scene: CohortScene) -> Trace:
    """Every run on its group's curve: a dot where it happened, a stroke where it was last seen waiting."""
    own = data.isel(variant=np.flatnonzero(data["label"].values == group)).sel(group=group)
    happened = np.isfinite(own["upper"].values)
    at = np.where(happened, own["upper"].values, own["last"].values)
    height = own["waiting"].sel(time=at).values
    texts = []
    for low, high, last in zip(own["lower"].values, own["upper"].values, own["last"].values, strict=True):
        if math.isfinite(high):
            first = "the start" if math.isnan(low) else f"{low:,.0f}"
            texts.append(f"after {first}, by {high:,.0f}")
        else:
            texts.append(f"had not happened by {last:,.0f}, the last epoch")
    return run_points(
        scene,
        own["variant"].values.tolist(),
        at,
        100 * height,
        [colour] * len(at),
        texts,
        symbol=["circle" if one else "line-ns-open" for one in happened],
        size=[(5 if scene.compact else 7) if one else (8 if scene.compact else 11) for one in happened],
    )


def _time_axis(data: xr.Dataset, scene: CohortScene, logarithmic: bool) -> dict[str, Any]:
    plain = as_scene(scene)
    last = float(data["time"].values[-1])
    if logarithmic:
        return log_axis(plain, "epoch", data["time"].values)
    ticks = _ticks(last, 4 if scene.compact else 8)
    form = "~s" if scene.compact else ",d"
    return axis(plain, "epoch", range=[-0.01 * last, 1.01 * last], tickvals=ticks, tickformat=form)


def _ticks(last: float, most: int) -> list[float]:
    power = 10.0 ** math.floor(math.log10(max(last, 1.0) / most))
    steps = [factor * power * ten for ten in (1, 10) for factor in _TICKS]
    step = next(step for step in steps if last / step <= most)
    return [step * count for count in range(int(last / step) + 1)]


def _at_risk(data: xr.Dataset, scene: CohortScene, built: dict[str, Any], colours: dict[str, str]) -> int:
    """How many runs of each group still wait, below the ticks. Returns the height that it takes."""
    groups = data["group"].values.tolist()
    ticks = built["xaxis"].get("tickvals")
    if ticks is None or len(groups) > (3 if scene.compact else _ROWS):
        return 0
    plain = as_scene(scene)
    size = font_size(plain) - 1
    at = data["label"].values, np.where(np.isfinite(data["upper"]), data["upper"], data["last"])
    top = built["margin"]["b"]
    room = (size + 3) * len(groups) + 2
    built["margin"]["b"] += room
    for row, group in enumerate(groups):
        shift = -top - row * (size + 3) + 4
        style = {"yref": "paper", "y": 0.0, "yanchor": "top", "yshift": shift}
        font = {"size": size, "color": colours[group]}
        name = "waiting" if group == sample.ALL else group
        built["annotations"].append(note(plain, name, x=0.0, xanchor="right", xshift=-14, **style, font=font))
        for tick in ticks:
            waiting = int((at[1][at[0] == group] >= tick).sum())
            built["annotations"].append(
                note(plain, str(waiting), xref="x", x=tick, xanchor="center", **style, font=font)
            )
    return room


def _said(data: xr.Dataset, scene: CohortScene) -> str:
    events, runs = int(data["events"].sum()), int(data["runs"].sum())
    text = f"{scene.params['event']}: {events} of {runs} runs"
    if "chi2" in data.attrs:
        how = "all" if data.attrs["exact"] else f"{data.attrs['ways']:,}"
        p = p_value(data.attrs["p_permutation"])
        chi2 = f"χ² = {data.attrs['chi2']:.1f} on {data.attrs['df']} df"
        text += f" · log-rank {p}" if scene.compact else f" · log-rank {chi2}, {p} ({how} permutations)"
    elif math.isfinite(float(data["median"][0])):
        bounds = interval(float(data["median_lower"][0]), float(data["median_upper"][0]), "epoch")
        text += f" · half by epoch {number(float(data['median'][0]), 'epoch')} {bounds}"
    return text + left_out_text(left_out(data))


COMPARISONS = (
    Comparison(
        name="survival",
        title="Time to grokking",
        section="statistics",
        order=10,
        blurb="The share of runs in which an event has not happened yet. Runs that never got there count"
        " until"
        " their last epoch (strokes). Shaded: 95 % at each epoch. Below the axis: how many runs still wait.",
        data=_data,
        draw=_draw,
        parameters={
            "event": Choice("Event", sample.event_names),
            "by": Choice("By", sample.grouping_names),
            "runs": Choice("Runs", sample.RUNS),
            "time": Choice("Axis", ("linear", "log")),
        },
        formula="S(t) = prod_(t_j <= t) (1 - d_j / n_j); band S^exp(+-1.96 sqrt(V) / log S), Greenwood's V;"
        " median:"
        " first t with S <= 1/2, its interval by Brookmeyer and Crowley; log-rank chi^2 = U' V^- U",
        source="Kaplan and Meier 1958; Mantel 1966; Peto and Peto 1972",
        caveats="An event lies in an interval between evaluations and counts at its end. The permutations"
        " take"
        " it that how long runs were trained has nothing to do with the group.",
    ),
)
