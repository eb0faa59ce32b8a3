"""Trajectories of several runs in one basis: raw weights beside what no gauge changes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.distances import ALL
from analyzers.comparison.gauge import SPECTRA, TOKEN_MATRICES
from analyzers.instruments.parameter_pca import GROUPS
from renderers.catalog import Figure
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.checkpoints import LABELLED, MODULO, short_names
from renderers.comparison.cohort import Cohort, CohortScene, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.path_points import BOTH, FEATURES, FREE, RAW, paths
from renderers.figure import Trace, above, axis, layout, message, plot_size, swatch
from renderers.source import Scene

_NARROW = 700  # pixels: less room for words
PLANES = ("1-2", "1-3", "2-3")
_SYMBOLS = {"memorised": "triangle-up", "onset": "diamond", "completion": "star"}


def _matrices(cohort: Cohort) -> tuple[str, ...]:
    features = cohort.params.get("features", next(iter(FEATURES)))
    return (ALL, *SPECTRA) if features == "singular values" else (ALL, *TOKEN_MATRICES)


def _relabelling(cohort: Cohort) -> tuple[str, ...]:
    features = cohort.params.get("features", next(iter(FEATURES)))
    return (LABELLED, MODULO) if FEATURES[features] else (LABELLED,)


def _draw(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    kinds = list(dict.fromkeys(data["kind"].values.tolist()))
    first, second = (int(part) for part in scene.params["axes"].split("-"))
    built = layout(plain, {}, {}, top=34)
    del built["xaxis"], built["yaxis"]
    traces: list[Trace] = []
    narrow = plot_size(plain)[0] < _NARROW
    gap = 0.16 if narrow else 0.1
    parents = json.loads(data.attrs["parents"])
    for number, kind in enumerate(kinds):
        own = data.isel(point=np.flatnonzero(data["kind"].values == kind))
        x, y = (own["position"].sel(component=c).values for c in (first, second))
        if len(x) < 3 or not (np.isfinite(x).all() and np.isfinite(y).all()):
            return message(plain, f"Too few checkpoints, or they do not differ in these components ({kind}).")
        suffix = "" if number == 0 else str(number + 1)
        width = (1 - gap * (len(kinds) - 1)) / len(kinds)
        start = number * (width + gap)
        titles = [_title(data, kind, component, narrow and len(kinds) > 1) for component in (first, second)]
        built[f"xaxis{suffix}"] = axis(
            plain, titles[0], domain=[start, start + width], anchor=f"y{suffix}", nticks=5
        )
        built[f"yaxis{suffix}"] = axis(
            plain, titles[1], anchor=f"x{suffix}", scaleanchor=f"x{suffix}", scaleratio=1, nticks=5
        )
        place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        for trace in (*_branches(own, x, y, plain, parents), *_traces(own, x, y, scene)):
            traces.append({**trace, **place})
        between = float(data[f"{kind}: between"])
        text = _panel_title(kind, scene, between, narrow)
        built["annotations"].append(above(plain, text, x=start, xanchor="left"))
    names = list(dict.fromkeys(data["variant"].values.tolist()))
    built["annotations"].append(above(plain, _key(names, scene, narrow), x=0.0, xanchor="left", yshift=18))
    left = left_out_text(left_out(data)).removeprefix(" · ")
    if left:
        built["annotations"].append(above(plain, left, yshift=18))
    return {"data": traces, "layout": built}


def _panel_title(kind: str, scene: CohortScene, between: float, brief: bool) -> str:
    what = scene.params["weights"] if kind == RAW else scene.params["features"]
    if brief:
        return f"{kind}: {between:.0%} between runs"
    return f"<b>{kind}</b> ({what}): {between:.0%} of the variance is between runs"


def _title(data: xr.Dataset, kind: str, component: int, brief: bool) -> str:
    share, low, high = (
        float(data[f"{kind}: {name}"].sel(component=component)) for name in ("share", "low", "high")
    )
    walk = f"{low:.0%} – {high:.0%}" if round(low, 2) != round(high, 2) else f"{low:.0%}"
    if brief:
        return f"PC{component} · {share:.0%} (walk {walk})"
    return f"PC{component} · {share:.1%} (random walks {walk})"


def _traces(own: xr.Dataset, x: np.ndarray, y: np.ndarray, scene: CohortScene) -> list[Trace]:
    traces: list[Trace] = []
    names, epochs, events = (own[name].values for name in ("variant", "epoch", "event"))
    size = 5 if scene.compact else 6
    for name in dict.fromkeys(names.tolist()):
        at = np.flatnonzero(names == name)
        colour = scene.colours[name]
        meta = {"payload": {"variant": {"value": name}, "epoch": "customdata"}, "together": True}
        symbols, sizes = [], []
        for position, index in enumerate(at):
            happened = [event for event in events[index].split(", ") if event]
            symbol = _SYMBOLS[happened[-1]] if happened else "circle"
            symbol = "circle-open" if position == 0 else "square" if position == len(at) - 1 else symbol
            symbols.append(symbol)
            sizes.append(size + (5 if symbol != "circle" else 0))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": x[at],
                "y": y[at],
                "customdata": epochs[at],
                "text": [f"<br>{event}" if event else "" for event in events[at]],
                "line": {"color": colour, "width": 1.4},
                "marker": {
                    "size": sizes,
                    "symbol": symbols,
                    "color": colour,
                    "opacity": 1,
                    "line": {"width": [1.5 if s == "circle-open" else 0 for s in symbols]},
                },
                "hovertemplate": f"{name}<br>epoch %{{customdata:,d}}%{{text}}<extra></extra>",
                "meta": meta,
            }
        )
    return traces


def _branches(
    own: xr.Dataset, x: np.ndarray, y: np.ndarray, plain: Scene, parents: dict[str, list[Any]]
) -> list[Trace]:
    """A dotted line from where each fork left its parent to its first checkpoint."""
    names, epochs = own["variant"].values, own["epoch"].values
    found: list[Trace] = []
    for name, (parent, at) in parents.items():
        before = np.flatnonzero((names == parent) & (epochs <= at))
        first = np.flatnonzero(names == name)[:1]
        if len(before) and len(first):
            ends = [before[-1], first[0]]
            found.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{name} leaves {parent}",
                    "x": x[ends],
                    "y": y[ends],
                    "line": {"color": plain.theme.muted, "width": 1.2, "dash": "dot"},
                    "hoverinfo": "skip",
                }
            )
    return found


def _key(names: list[str], scene: CohortScene, brief: bool) -> str:
    """A line naming the runs' colours, as far as there is room, and the marks."""
    most = 3 if brief else 6
    short = short_names(names, 14)
    runs = [f"{swatch(scene.colours[name])} {short[name]}" for name in names[:most]]
    more = [f"… {len(names) - most} more"] if len(names) > most else []
    marks = "○ first  ▲ memorised  ◆ onset  ★ complete  ■ last"
    return "  ".join([*runs, *more, *([] if brief else [f"   {marks}"])])


SHARED_TRAJECTORIES = Comparison(
    name="shared_trajectories",
    title="Trajectories in one basis",
    section="geometry",
    order=10,
    blurb="The checkpoints of all runs in the same principal components. Raw weights of two seeds are written"
    " in different gauges, so that their components mostly tell seeds apart; beside them what no gauge"
    " changes. Forks begin where their parent was.",
    data=paths,
    draw=_draw,
    parameters={
        "show": Choice("Show", (BOTH, FREE, RAW)),
        "axes": Choice("Components", PLANES),
        "features": Choice("Free of gauge", tuple(FEATURES)),
        "matrix": Choice("of", _matrices),
        "relabel": Choice("Tokens", _relabelling),
        "weights": Choice("Raw weights", tuple(GROUPS)),
    },
    depends=("variant",),
    marks=("variant", "epoch"),
    shape="banner",
    least=1,
    formula="eigenvectors u, eigenvalues l of the centred inner products of all checkpoints; position = √l u;"
    " between runs: the variance of the runs' means, each with the weight of its checkpoints, over all"
    " variance. Features: Gram matrices (or shares of Fourier power, or log singular values) of each matrix"
    " over their root mean square",
    source="Principal component analysis by the method of snapshots (Sirovich 1987); invariances:"
    " analyzers.comparison.gauge",
    caveats="Random walks show smooth curves and large first shares too: the range in brackets is that of"
    " walks from the same starts with steps of the same lengths. Every checkpoint weighs the same. Paths of"
    " different seeds can be compared where they are free of gauge; raw weights only between a run, its forks"
    " and replicates.",
)

COMPARISONS = (SHARED_TRAJECTORIES,)
