"""Is one seed odd? Every level of a parameter against its others, at equal other parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.effects import level_effects
from analyzers.comparison.scale import scaled, spans_decades
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
    with_unit,
)
from renderers.figure import Trace, above, axis, font_size, layout, note

_ODD = 0.05  # adjusted p-value up to which a level is named


def _levels(cohort: Cohort) -> xr.Dataset:
    names, values, factors, left = sample.roots_with(cohort, sample.chosen(cohort))
    of = cohort.params["factor"]
    if of not in factors:
        raise BadParameter(f"{of} has one value among the {len(names)} runs. Select runs that differ in it.")
    logarithmic = spans_decades(values)
    found = level_effects(scaled(values, logarithmic), factors, of)
    order = [found.levels.index(level) for level in in_order(found.levels)]
    columns = {
        "difference": found.difference,
        "lower": found.lower,
        "upper": found.upper,
        "p": found.p,
        "adjusted_p": found.adjusted,
        "runs_of_level": found.n,
    }
    info = sample.metric_of(cohort, cohort.params["metric"])
    dataset = xr.Dataset(
        {
            **{name: ("level", np.asarray(column)[order]) for name, column in columns.items()},
            "value": ("variant", values),
            "label": ("variant", factors[of]),
            "partial": ("variant", found.runs),
        },
        coords={"level": [found.levels[one] for one in order], "variant": names},
        attrs={
            "f": found.f,
            "p": found.f_p,
            "df": found.df,
            "logarithmic": int(logarithmic),
            "adjusted_for": ", ".join(name for name in factors if name != of),
            "unit": info.unit,
            "definition": info.definition,
        },
    )
    apart = set(map(str, found.apart))
    left += [
        (name, f"its {of} {one} was not run beside any other {of}")
        for name, one in zip(names, factors[of].tolist(), strict=True)
        if one in apart
    ]
    return leave_out(dataset.sel(level=[one for one in dataset["level"].values if one not in apart]), left)


def _draw_levels(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain, theme = as_scene(scene), scene.theme
    ratio = bool(data.attrs["logarithmic"])
    levels = data["level"].values.tolist()

    def shown(values: np.ndarray) -> np.ndarray:
        return np.asarray(10**values if ratio else values)

    traces: list[Trace] = []
    for place, level in enumerate(levels):
        own = np.flatnonzero((data["label"].values == level) & np.isfinite(data["partial"].values))
        names = data["variant"].values[own].tolist()
        x = place + 0.12 + 0.24 * (spaced(len(own), 0.5) + 0.5)
        y = shown(data["partial"].values[own])
        texts = [
            f"{scene.params['metric']} {with_unit(value, data.attrs['unit'])}<br>at equal"
            f" {data.attrs['adjusted_for'] or 'terms'}: {_said(one, ratio, data.attrs['unit'])} the others"
            for value, one in zip(data["value"].values[own], data["partial"].values[own], strict=True)
        ]
        colours = [scene.colours[name] for name in names]
        traces.append(
            run_points(scene, names, x, y, colours, texts, size=5 if scene.compact else 6, opacity=0.55)
        )
    centre, lower, upper = (data[name].values for name in ("difference", "lower", "upper"))
    odd = data["adjusted_p"].values <= _ODD
    colour = [theme.series[1] if one else theme.text for one in odd]
    hover = [
        f"{scene.params['factor']} {level}: {_said(one, ratio, data.attrs['unit'])} the others"
        f"<br>95 %: {_between(low, high, ratio, data.attrs['unit'])}, n {int(n)}"
        f"<br>{p_value(p)}; {p_value(adjusted)} among {len(levels)} levels"
        for level, one, low, high, n, p, adjusted in zip(
            levels,
            centre,
            lower,
            upper,
            data["runs_of_level"].values,
            data["p"].values,
            data["adjusted_p"].values,
            strict=True,
        )
    ]
    for place, level in enumerate(levels):
        if not np.isfinite(lower[place]):
            continue
        line = {"color": colour[place], "width": 3}
        ends = shown(np.array([lower[place], upper[place]]))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{level} interval",
                "x": [place - 0.1] * 2,
                "y": ends,
            }
            | {"line": line, "hoverinfo": "skip"}
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "levels",
            "x": np.arange(len(levels)) - 0.1,
            "y": shown(centre),
            "customdata": hover,
            "marker": {"size": 9, "color": colour, "symbol": "square"},
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    )
    reach = np.concatenate([shown(data["partial"].values), shown(lower), shown(upper)])
    built = layout(
        plain,
        axis(
            plain,
            scene.params["factor"],
            range=[-0.6, len(levels) - 0.3],
            tickvals=list(range(len(levels))),
            ticktext=[
                f"{level}<br>n {int(n)}"
                for level, n in zip(levels, data["runs_of_level"].values, strict=True)
            ],
            showgrid=False,
        ),
        _difference_axis(scene, data.attrs["unit"], reach[np.isfinite(reach)], ratio),
        top=14 if scene.compact else 32,
    )
    built["margin"]["b"] += 14
    even = 1.0 if ratio else 0.0
    built["shapes"].append(
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": even, "y1": even}
        | {"line": {"width": 1, "color": theme.muted}, "layer": "below"}
    )
    for place in np.flatnonzero(odd).tolist():
        height = shown(upper[place : place + 1])[0]
        built["annotations"].append(
            note(plain, p_value(float(data["adjusted_p"][place])), xref="x", x=place - 0.1, yref="y")
            | {"y": math.log10(height) if ratio else float(height), "yanchor": "bottom"}
            | {"font": {"size": font_size(plain), "color": theme.series[1]}}
        )
    explain(scene, built, "y", data.attrs["definition"])
    told = math.isfinite(data.attrs["p"])
    found = p_value(data.attrs["p"]) if told else "no run is left to judge by"
    text = f"{scene.params['metric']}: any {scene.params['factor']} effect? {found}"
    if not scene.compact:
        text += f" (F = {number(data.attrs['f'])}, permutations)" if told else ""
        text += f" · adjusted for {data.attrs['adjusted_for'] or 'nothing'}"
    built["annotations"].append(above(plain, text + left_out_text(left_out(data)), x=0.0, xanchor="left"))
    if not scene.compact and key(scene):
        built["annotations"].append(above(plain, key(scene), x=0.0, xanchor="left", yshift=18))
    return {"data": traces, "layout": built}


def _difference_axis(scene: CohortScene, unit: str, values: np.ndarray, ratio: bool) -> dict[str, Any]:
    plain = as_scene(scene)
    if ratio:
        low, high = np.log10(values.min()), np.log10(values.max())
        pad = 0.06 * (high - low)
        style: dict[str, Any] = {"type": "log", "range": [low - pad, high + pad]}
        style |= (
            {"tickformat": "~g", "nticks": 6} if high - low < 2 else {"exponentformat": "power", "dtick": 1}
        )
        return axis(plain, "times the others", **style)
    low, high = float(values.min()), float(values.max())
    pad = 0.06 * (high - low) or 1e-12
    form = {"tickformat": "~s"} if high - low >= 2000 else {}
    plural = {"epoch": "epochs", "1": "", "": "", "nat": "nats"}.get(unit, unit)
    title = "difference from the others" + (f" ({plural})" if plural else "")
    return axis(plain, title, range=[low - pad, high + pad], nticks=6, **form)


def _said(difference: float, ratio: bool, unit: str) -> str:
    if ratio:
        return f"{number(10**difference)} times"
    plural = "epochs" if unit == "epoch" else unit
    return f"{'+' if difference > 0 else ''}{with_unit(difference, plural)} from"


def _between(low: float, high: float, ratio: bool, unit: str) -> str:
    if not math.isfinite(low):
        return "not known, no run is left to judge by"
    return f"{number(10**low)} to {number(10**high)} times" if ratio else interval(low, high, unit)


COMPARISONS = (
    Comparison(
        name="level_effects",
        title="Level by level",
        section="statistics",
        order=40,
        blurb="Is one seed odd? Each level's difference from the mean of the others (square, 95 % interval)"
        " at"
        " equal other parameters; small marks are the runs. A level is named if it stands out after allowing"
        " for having looked at all of them.",
        data=_levels,
        draw=_draw_levels,
        parameters={
            "metric": Choice("Metric", sample.metric_names),
            "factor": Choice("Of", sample.factor_names),
        },
        least=4,
        formula="y = mu + sum of one level per parameter + rest, least squares; bootstrap-t intervals; p from"
        " shuffling what the model without the parameter leaves, adjusted by the largest |t| over the levels",
        source="Freedman and Lane 1983; Westfall and Young 1993",
        caveats="Roots only: replicates and forks are no new seeds. Effects add; a seed that is odd at one"
        " prime"
        " only widens the rest. Metrics that span decades are compared as ratios.",
    ),
)
