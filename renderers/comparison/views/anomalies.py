"""Which runs stand out from the rest and why: a table, and a map of robust z."""

from __future__ import annotations

import json
import math

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.marks import number, shortened, wrapped
from renderers.comparison.oddities import oddities
from renderers.comparison.sample import EVERY, ROOTS
from renderers.figure import above, axis, colorbar, font_size, layout, note, plot_size

_LISTED = 40  # runs with reasons
_REASONS = 4
_ROWS = ("as many as fit", "10", "20", "40")
_LIMIT = 6.0  # |z| at the ends of the colours
_SHARE = 0.16  # of the width, for the scores
_FORMULA = (
    "z = (y - expected) / s, y the metric or its log10; expected: median, of the same p (or a line in p)"
    " where the"
    " metric depends on p; s = 1.4826 median |y - expected|, at least what one run in ten or twenty does;"
    " score ="
    " -log10 of the chance of as odd a normal run, by max |z| and by sum w log(1 + z^2) / sum w, w = 1 /"
    " sum r^2"
)
_CAVEATS = (
    "Roots make up what is usual; replicates and forks are judged by them. A run stands out if in 5 % of"
    " cohorts of"
    " normal runs any would be as odd, the law being fitted to the bulk of these runs: with few runs, or"
    " metrics of"
    " very uneven tails, it is up to twice as often. An event that did not happen counts as later than the"
    " last epoch."
)


def _data(cohort: Cohort) -> xr.Dataset:
    found = oddities(cohort)
    order = found.order()
    if cohort.params["which"] == ROOTS:
        order = order[found.reference[order]]
    listed = {found.names[run]: found.reasons(int(run), _REASONS) for run in order[:_LISTED]}
    dataset = xr.Dataset(
        {
            "z": (("variant", "metric"), found.z[order]),
            "value": (("variant", "metric"), found.values[order]),
            "score": ("variant", found.scores.score[order]),
            "p": ("variant", found.scores.p[order]),
            "largest": ("variant", found.scores.largest[order]),
            "breadth": ("variant", found.scores.breadth[order]),
            "flagged": ("variant", found.scores.flagged[order]),
            "reference": ("variant", found.reference[order]),
        },
        coords={
            "variant": [found.names[run] for run in order],
            "metric": [metric.name for metric in found.metrics],
        },
        attrs={
            "typical": found.scores.typical[0],
            "passed_by_one_in_20": found.scores.typical[1],
            "short": json.dumps({name: [one.short() for one in why] for name, why in listed.items()}),
            "long": json.dumps({name: [one.long() for one in why] for name, why in listed.items()}),
            "where": json.dumps({name: [one.metric.name for one in why] for name, why in listed.items()}),
            "titles": json.dumps({metric.name: metric.title for metric in found.metrics}),
            "definitions": json.dumps({metric.name: metric.definition for metric in found.metrics}),
        },
    )
    return leave_out(dataset, found.left)


def _count(scene: CohortScene, height: int, data: xr.Dataset) -> int:
    asked = scene.params["rows"]
    most = min(_LISTED, data.sizes["variant"])
    room = max(3, int(height // (font_size(as_scene(scene)) + 7)))
    return min(most, room if asked == _ROWS[0] else int(asked))


def _draw_table(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain, theme = as_scene(scene), scene.theme
    count = _count(scene, plot_size(plain)[1] - 6, data)
    shown = data.isel(variant=slice(0, count))
    names, scores = shown["variant"].values.tolist(), shown["score"].values
    flagged = shown["flagged"].values
    short = json.loads(data.attrs["short"])
    why = short if scene.compact else json.loads(data.attrs["long"])
    size = font_size(plain)
    named = [shortened(name, 16 if scene.compact else 30) for name in names]
    left = int(0.58 * size * max(map(len, named))) + 14
    width = plot_size(plain)[0] - left + 46
    fits = int((1 - _SHARE - 0.01) * width / (0.53 * size))
    places = np.arange(count, dtype=float)
    hover = [
        f"<b>{name}</b>: chance {_chance(p)}<br>largest |z| {largest:.1f}<br>"
        + "<br>".join(wrapped(text, 56 if scene.compact else 100) for text in why[name])
        for name, p, largest in zip(names, shown["p"].values, shown["largest"].values, strict=True)
    ]
    highest = 1.05 * max(float(np.nanmax(scores)), 1.0)
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "score",
        "x": scores / highest * _SHARE,
        "y": places,
        "width": 0.62,
        "marker": {"color": [theme.series[1] if one else theme.faint for one in flagged]},
        "hoverinfo": "skip",
    }
    rows = {
        "type": "bar",
        "orientation": "h",
        "name": "rows",
        "x": np.ones(count),
        "y": places,
        "width": 1.0,
        "marker": {"color": "rgba(0,0,0,0)"},
        "customdata": [[name, text] for name, text in zip(names, hover, strict=True)],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
        "meta": {"payload": {"variant": "customdata[0]"}, "together": True},
    }
    words = {
        "type": "scatter",
        "mode": "text",
        "name": "words",
        "x": np.full(count, _SHARE + 0.01),
        "y": places,
        "text": [_fitted(short[name], fits) for name in names],
        "textposition": "middle right",
        "textfont": {"size": size, "color": [theme.text if one else theme.muted for one in flagged]},
        "hoverinfo": "skip",
    }
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if highest / step <= 4)
    ticks = np.arange(0, highest, step)
    x = axis(plain, "", range=[0, 1], tickvals=ticks / highest * _SHARE, ticktext=ticks, showgrid=False)
    y = axis(plain, "", range=[count - 0.4, -0.6], tickvals=places, ticktext=named, showgrid=False, ticklen=0)
    built = layout(plain, x, y, top=14 if scene.compact else 16, bargap=0, barmode="overlay")
    built["margin"]["l"] = left
    named_axis = {"x": _SHARE / 2, "xanchor": "center", "y": 0, "yanchor": "top", "yshift": -size - 10}
    built["annotations"].append(note(plain, "score", **named_axis, font={"size": size + 1}))
    built["annotations"].append(above(plain, _said(data, scene), x=0.0, xanchor="left", xshift=8 - left))
    return {"data": [bars, rows, words], "layout": built}


def _fitted(texts: list[str], letters: int) -> str:
    """As many of the texts as fit into a line."""
    line = texts[0] if texts else "nothing beyond |z| = 1"
    for text in texts[1:]:
        if len(line) + len(text) + 3 > letters:
            break
        line += f" · {text}"
    return line if len(line) <= letters else f"{line[: max(letters - 1, 1)]}…"


def _chance(p: float) -> str:
    if not math.isfinite(p):
        return "not known"
    return f"1 in {number(1 / max(p, 1e-12), 'epochs')}" if p < 0.5 else "ordinary"


def _said(data: xr.Dataset, scene: CohortScene) -> str:
    odd, runs = int(data["flagged"].sum()), data.sizes["variant"]
    text = f"{odd} of {runs} runs stand out over {data.sizes['metric']} metrics"
    if not scene.compact:
        typical, high = data.attrs["typical"], data.attrs["passed_by_one_in_20"]
        text += " (5 % of normal cohorts have one)"
        text += f" · a normal run's largest |z|: {typical:.1f}, above {high:.1f} in one of 20"
    return text + left_out_text(left_out(data))


def _draw_map(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    where = json.loads(data.attrs["where"])
    names = data["variant"].values.tolist()
    size = font_size(plain) - 1
    width, height = plot_size(plain)
    most = max(6, int((width - 130) // (size + 8)))
    room = max(3, int((height - 110) // (size + 5)))
    asked = scene.params["rows"]
    count = min(len(names), len(where), room if asked == _ROWS[0] else int(asked))
    names = names[:count]
    ranked = [metric for rank in range(_REASONS) for name in names for metric in where[name][rank : rank + 1]]
    metrics = list(dict.fromkeys(ranked))[:most]
    own = data.sel(variant=names, metric=metrics)
    titles, definitions = json.loads(data.attrs["titles"]), json.loads(data.attrs["definitions"])
    hover = [
        [
            f"{titles[metric]}: {number(float(own['value'].values[row, column]))}, z ="
            f" {number(float(own['z'].values[row, column]))}<br>{wrapped(definitions[metric])}"
            for column, metric in enumerate(metrics)
        ]
        for row in range(len(names))
    ]
    trace = {
        "type": "heatmap",
        "name": "robust z",
        "x": np.arange(len(metrics)),
        "y": np.arange(len(names)),
        "z": own["z"].values.astype("float32"),
        "customdata": [[[name, text] for text in texts] for name, texts in zip(names, hover, strict=True)],
        "zmin": -_LIMIT,
        "zmax": _LIMIT,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "colorscale": scene.theme.scale("diverging"),
        "colorbar": colorbar(plain, "robust z"),
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "meta": {"payload": {"variant": "customdata[0]"}, "together": True},
    }
    style = {"showgrid": False, "ticklen": 0, "tickfont": {"size": size}}
    columns = [shortened(metric, 34) for metric in metrics]
    x = axis(plain, "", tickvals=list(range(len(metrics))), ticktext=columns, tickangle=-40, **style)
    flagged = own["flagged"].values
    brief = [shortened(name, 16 if scene.compact else 30) for name in names]
    marked = [f"<b>{name}</b>" if one else name for name, one in zip(brief, flagged, strict=True)]
    y = axis(
        plain, "", range=[len(names) - 0.5, -0.5], tickvals=list(range(len(names))), ticktext=marked, **style
    )
    built = layout(
        plain, x | {"range": [-0.5, len(metrics) - 0.5]}, y, right=48 if scene.compact else 62, top=14
    )
    built["margin"]["l"] = int(0.62 * size * max(map(len, brief))) + 14
    built["margin"]["b"] = int(0.36 * size * max(map(len, columns))) + 22
    shift = 8 - built["margin"]["l"]
    built["annotations"].append(above(plain, _said(data, scene), x=0.0, xanchor="left", xshift=shift))
    return {"data": [trace], "layout": built}


COMPARISONS = (
    Comparison(
        name="anomalies",
        title="What stands out",
        section="anomalies",
        order=10,
        blurb="Runs by how odd they are over all metrics, and where. The bar is the score: 2 means that one"
        " normal"
        " run in 100 is as odd. Coloured: stands out after allowing for the number of runs and metrics.",
        data=_data,
        draw=_draw_table,
        parameters={"which": Choice("Runs", (ROOTS, EVERY)), "rows": Choice("Rows", _ROWS)},
        least=8,
        formula=_FORMULA,
        source="Definition of this workbench; robust z after Iglewicz and Hoaglin 1993",
        caveats=_CAVEATS,
    ),
    Comparison(
        name="anomaly_map",
        title="Where they stand out",
        section="anomalies",
        order=20,
        blurb="Robust z of the oddest runs (rows) in the metrics in which any of them stands out (columns);"
        " names"
        " in bold stand out as a whole. Colours end at 6.",
        data=_data,
        draw=_draw_map,
        parameters={"which": Choice("Runs", (ROOTS, EVERY)), "rows": Choice("Rows", _ROWS)},
        least=8,
        formula=_FORMULA,
        source="Definition of this workbench; robust z after Iglewicz and Hoaglin 1993",
        caveats=_CAVEATS,
    ),
)
