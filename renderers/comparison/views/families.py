"""A run beside its replicates and forks, and the spread of replicates beside the spread between seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.families import outside, spread_ratio
from analyzers.comparison.scale import drawn_on_decades, scaled, spans_decades
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
    number,
    p_value,
    run_points,
    spaced,
    value_axis,
    with_unit,
)
from renderers.figure import Trace, above, axis, layout
from renderers.theme import translucent

_MOST = 12  # families and groups of seeds that are drawn
_SYMBOLS = {"root": "diamond", "replicate": "circle", "fork": "triangle-up"}
_SEEDS = ("seed", "data_seed", "kind", "lr_schedule")


def _data(cohort: Cohort) -> xr.Dataset:
    metric = sample.chosen(cohort)
    frame = cohort.parameters()
    known, values, left = sample.known_values(cohort, metric, list(cohort.names))
    kind = {name: str(frame.at[name, "kind"]) for name in known}
    parent = {name: name if kind[name] == "root" else str(frame.at[name, "parent"]) for name in known}
    related = {parent[name] for name in known if kind[name] != "root"}
    same = [name for name in sample.parameter_names(cohort) if name not in _SEEDS]
    rows: list[tuple[str, str, str, float]] = []
    for name, value in zip(known, values, strict=True):
        if parent[name] in related:
            rows.append((name, f"of {parent[name]}", kind[name], value))
        if kind[name] == "root":
            labels = [f"{one} {sample.labels(cohort, one, [name])[0]}" for one in same]
            rows.append((name, f"seeds, {', '.join(labels) or 'all'}", "root", value))
    if not rows:
        raise BadParameter(f"No selected run has {metric!r}. Choose another metric or other runs.")
    names, groups, kinds, numbers = (list(column) for column in zip(*rows, strict=True))
    values = np.array(numbers)
    logarithmic = spans_decades(values)
    y = scaled(values, logarithmic)
    group, sort = np.array(groups), np.array(kinds)
    seeds = np.char.startswith(group, "seeds")
    alike = ~seeds & (sort != "fork")
    several = np.array([(group == one).sum() > 1 for one in groups])
    ratio = spread_ratio(y[seeds & several], group[seeds & several], y[alike], group[alike])
    forks = np.full((2, len(rows)), np.nan)
    for place in np.flatnonzero(~seeds & (sort == "fork")):
        found = outside(float(y[place]), y[alike & (group == group[place])])
        forks[:, place] = found.t, found.p
    info = sample.metric_of(cohort, metric)
    dataset = xr.Dataset(
        {
            "value": ("row", values),
            "group": ("row", groups),
            "kind": ("row", kinds),
            "variant": ("row", names),
            "t": ("row", forks[0]),
            "p": ("row", forks[1]),
            "change": ("row", [_change(frame.at[name, "change"]) for name in names]),
        },
        attrs={
            "title": info.title,
            "unit": info.unit,
            "definition": info.definition,
            "logarithmic": int(logarithmic),
            "sd_seeds": ratio.between.sd,
            "df_seeds": ratio.between.df,
            "sd_replicates": ratio.within.sd,
            "df_replicates": ratio.within.df,
            "ratio": ratio.ratio,
            "ratio_lower": ratio.lower,
            "ratio_upper": ratio.upper,
            "p": ratio.p,
        },
    )
    return leave_out(dataset, left)


def _change(text: Any) -> str:
    """What a fork does differently, without the quotation marks of JSON."""
    return "" if not isinstance(text, str) else text.strip("{}").replace('"', "").replace(",", ", ")


def _draw(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    group, values = data["group"].values, data["value"].values
    sizes = {one: int((group == one).sum()) for one in in_order(group.tolist())}
    families = [one for one in sizes if one.startswith("of ")]
    seeds = sorted(
        (one for one in sizes if one.startswith("seeds")), key=lambda one: (sizes[one] < 2, _place(one))
    )
    shown = [*families, *seeds][:_MOST]
    logarithmic = drawn_on_decades(values)
    traces: list[Trace] = []
    for place, one in enumerate(shown):
        own = np.flatnonzero(group == one)
        traces += _spread(data, own, place, scene)
        names = data["variant"].values[own].tolist()
        kinds = data["kind"].values[own].tolist()
        x = place + _offsets(kinds, one.startswith("of "))
        points = run_points(
            scene,
            names,
            x,
            values[own],
            [scene.colours[name] for name in names],
            [_text(data.isel(row=row), scene) for row in own],
            symbol=[_SYMBOLS[kind] if one.startswith("of ") else "circle" for kind in kinds],
            size=[(9 if kind != "replicate" else 7) - 2 * scene.compact for kind in kinds],
        )
        traces.append(points)
    built = layout(
        plain,
        axis(
            plain,
            "",
            range=[-0.6, len(shown) - 0.4],
            tickvals=list(range(len(shown))),
            ticktext=[_named(one, sizes[one], scene.compact) for one in shown],
            showgrid=False,
        ),
        value_axis(scene, data.attrs["title"], values, logarithmic),
        top=14 if scene.compact else 32,
    )
    explain(scene, built, "y", data.attrs["definition"])
    text = _said(data, scene, len(sizes) - len(shown))
    built["annotations"].append(above(plain, text, x=0.0, xanchor="left"))
    if not scene.compact:
        symbols = "◆ the run   ● its replicates   ▲ its forks   grey: mean and standard deviation"
        built["annotations"].append(above(plain, symbols, x=0.0, xanchor="left", yshift=18))
    if families and seeds:
        built["shapes"].append(
            {
                "type": "line",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "x0": len(families) - 0.5,
                "x1": len(families) - 0.5,
            }
            | {"line": {"width": 1, "color": scene.theme.line, "dash": "dot"}}
        )
    return {"data": traces, "layout": built}


def _place(label: str) -> tuple[float, str]:
    found = [float(word) for word in label.replace(",", "").split() if word.replace(".", "", 1).isdigit()]
    return (found[0] if found else math.inf, label)


def _offsets(kinds: list[str], family: bool) -> np.ndarray:
    if not family:
        return spaced(len(kinds), 0.22)
    beside = spaced(len(kinds), 0.16)
    return np.array([{"root": -0.26, "fork": 0.28}.get(kind, beside[i]) for i, kind in enumerate(kinds)])


def _spread(data: xr.Dataset, own: np.ndarray, place: int, scene: CohortScene) -> list[Trace]:
    """Mean and standard deviation of the runs that should be alike: forks do not count."""
    alike = own[data["kind"].values[own] != "fork"]
    y = scaled(data["value"].values[alike], bool(data.attrs["logarithmic"]))
    if len(alike) < 3:
        return []
    back = (lambda value: 10**value) if data.attrs["logarithmic"] else (lambda value: value)
    mean, sd = float(y.mean()), float(y.std(ddof=1))
    low, middle, high = (float(back(value)) for value in (mean - sd, mean, mean + sd))
    left, right = place - 0.36, place + 0.36
    unit = data.attrs["unit"]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "spread",
            "x": [left, right, right, left, left],
            "y": [low, low, high, high, low],
            "fill": "toself",
            "fillcolor": translucent(scene.theme.muted, 0.13),
            "line": {"width": 0},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "mean",
            "x": [left, right],
            "y": [middle, middle],
            "line": {"width": 2, "color": scene.theme.muted},
            "hovertemplate": f"mean {with_unit(middle, unit)}<br>one standard deviation:"
            f" {number(low, unit)} to {number(high, unit)}, n {len(alike)}<extra></extra>",
        },
    ]


def _text(row: xr.Dataset, scene: CohortScene) -> str:
    text = f"{scene.params['metric']} {with_unit(float(row['value']), row.attrs['unit'])}"
    if str(row["kind"].item()) == "fork" and str(row["group"].item()).startswith("of "):
        text += f"<br>fork: {row['change'].item()}"
        t = float(row["t"])
        if math.isfinite(t):
            where = "outside" if float(row["p"]) < 0.05 else "within"
            text += f"<br>{where} what replicates give: t = {number(t)}, {p_value(float(row['p']))}"
    return text


def _named(group: str, size: int, compact: bool) -> str:
    name = group.removeprefix("seeds, ") if group.startswith("seeds") else group.removeprefix("of ")
    if compact:
        return f"{name}<br>n {size}"
    return f"{'seeds' if group.startswith('seeds') else 'family'}, n {size}<br>{name}"


def _said(data: xr.Dataset, scene: CohortScene, hidden: int) -> str:
    attrs = data.attrs
    unit = "decades" if attrs["logarithmic"] else "epochs" if attrs["unit"] == "epoch" else attrs["unit"]
    parts = []
    if math.isfinite(attrs["sd_seeds"]) and math.isfinite(attrs["sd_replicates"]):
        first, second = with_unit(attrs["sd_seeds"], unit), with_unit(attrs["sd_replicates"], unit)
        between, within = f"sd between seeds {first} (df {attrs['df_seeds']})", f"within replicates {second}"
        ratio = f"ratio {number(attrs['ratio'])} {interval(attrs['ratio_lower'], attrs['ratio_upper'])}"
        if scene.compact:
            parts.append(f"sd seeds / replicates: {ratio}")
        else:
            parts += [between, f"{within} (df {attrs['df_replicates']})", f"{ratio}, {p_value(attrs['p'])}"]
    elif math.isfinite(attrs["sd_replicates"]):
        parts.append("only one seed of each kind: no spread between seeds")
    else:
        parts.append("no replicates among these runs: the spread of one experiment is not known")
    if hidden > 0:
        parts.append(f"{hidden} more groups not drawn")
    return " · ".join(parts) + left_out_text(left_out(data))


COMPARISONS = (
    Comparison(
        name="families",
        title="Replicates, forks and seeds",
        section="statistics",
        order=60,
        blurb="Replicates start from the same weights but for rounding, so their spread is what the same"
        " experiment gives twice; seeds that spread no further say nothing of their own. A fork counts if it"
        " lies outside what the replicates give.",
        data=_data,
        draw=_draw,
        parameters={"metric": Choice("Metric", sample.metric_names)},
        least=2,
        formula="ratio of pooled standard deviations about the groups' means; interval from F quantiles; p"
        " from"
        " exchanging deviations; fork: t = (x - mean) / (s sqrt(1 + 1 / n))",
        source="Fisher 1925",
        caveats="Seeds are compared among roots that agree in everything but seed and data seed. The interval"
        " takes values (or their logarithms, where they span decades) to be normal.",
    ),
)
