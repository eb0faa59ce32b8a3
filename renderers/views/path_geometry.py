"""How the parameters' path bends, closes and crosses itself, beside random paths."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Trace,
    above,
    axis,
    font_size,
    layout,
    message,
    note,
)
from renderers.path_bands import GROUP, SHORT, UNMOVED, null_colours, of_group
from renderers.plane import Place, plane_figure, points
from renderers.source import Scene, Source

_PLANE = Parameter("2-3", ("1-2", "1-3", "2-3"), "Components")


def _crossings(source: Source) -> xr.Dataset:
    group, plane = source.params["group"], source.params["plane"]
    pca = source.select(source.artifact("parameter_pca"), "group", group)
    geometry, nulls = source.artifact("path_geometry"), of_group(source, "path_nulls")
    groups, planes = geometry["group"].values.tolist(), geometry["plane"].values.tolist()
    own = (geometry["crossing_group"].values == groups.index(group)) & (
        geometry["crossing_plane"].values == planes.index(plane)
    )
    listed = geometry[["crossing_epoch", "crossing_lower", "crossing_upper"]]
    chosen = nulls.sel(measure=f"crossings {plane}")
    return xr.merge(
        [
            pca[["projection", "explained_variance_ratio"]],
            listed.isel(crossing=np.flatnonzero(own)),
            chosen[["band", "p_value"]].drop_vars("measure"),
        ],
        compat="override",
        join="exact",
    )


def _draw_crossings(data: xr.Dataset, scene: Scene) -> Figure:
    lower, upper = data["crossing_lower"].values, data["crossing_upper"].values
    epochs = data["crossing_epoch"].values
    at = _places(data, epochs[:, 0], scene.params["plane"])
    texts = [
        f"between {low[0]:,} and {high[0]:,}<br>and between {low[1]:,} and {high[1]:,}"
        f"<br>(interpolated: {when[0]:,.0f} and {when[1]:,.0f})"
        for low, high, when in zip(lower.tolist(), upper.tolist(), epochs.tolist(), strict=True)
    ]
    marks: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "self-intersections",
        "x": at[:, 0],
        "y": at[:, 1],
        "customdata": upper[:, 1],
        "hovertext": texts,
        "hovertemplate": "crosses itself at epochs<br>%{hovertext}<extra></extra>",
        "marker": {
            "symbol": "x-thin-open",
            "size": 11 if scene.compact else 14,
            "color": scene.theme.series[6],
            "line": {"width": 2.5},
        },
        "meta": {"payload": {"epoch": "customdata"}},
    }
    named = [
        Place(x, y, f"{first:,.0f} × {second:,.0f}", scene.theme.series[6])
        for (x, y), (first, second) in zip(at.tolist(), epochs.tolist(), strict=True)
    ]
    figure = plane_figure(data, scene, scene.params["plane"], (marks,), named[: 4 if scene.compact else 8])
    if not figure["data"]:
        return figure
    figure["layout"]["margin"]["t"] += font_size(scene) + 6
    figure["layout"]["annotations"].append(
        above(scene, _verdict(data, len(texts), scene), x=0, xanchor="left")
    )
    return figure


def _places(data: xr.Dataset, epochs: np.ndarray, plane: str) -> np.ndarray:
    """Where [n, 2] the drawn path is at `epochs` [n]."""
    placed = points(data, [int(number) for number in plane.split("-")])
    if not len(placed.epochs):
        return np.zeros((len(epochs), 2))
    return np.stack([np.interp(epochs, placed.epochs, values) for values in placed.coordinates], axis=1)


def _verdict(data: xr.Dataset, count: int, scene: Scene) -> str:
    """How often the run and the random paths cross themselves."""
    parts = []
    for null, short in SHORT.items():
        low, _, high = data["band"].sel(null=null).values.astype(float).tolist()
        if np.isfinite(low):
            span = f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
            parts.append(f"{short if scene.compact else null} {span}")
    return f"{'run crosses itself: ' if not scene.compact else 'crossings: run '}{count} · " + ", ".join(
        parts
    )


def _measures(source: Source) -> xr.Dataset:
    data = of_group(source, "path_nulls")[["observed", "band", "p_value"]]
    plane = source.params["plane"]
    names = data["measure"].values.tolist()
    kept = [
        name for name in names if not name[-1].isdigit() or name.startswith("share") or name.endswith(plane)
    ]
    return data.sel(measure=kept)


def _draw_measures(data: xr.Dataset, scene: Scene) -> Figure:
    names, observed = data["measure"].values.tolist(), data["observed"].values
    if not np.isfinite(observed).any():
        return message(scene, UNMOVED)
    band = data["band"].transpose("null", "measure", "level").values.astype(float)
    everything = np.concatenate([observed[None], *np.moveaxis(band, 2, 0)])
    low = np.nanmin(everything, axis=0)
    span = np.nanmax(everything, axis=0) - low
    span = np.where(span > 0, span, 1.0)
    rows = np.arange(len(names))[::-1]
    colours, traces = null_colours(scene), []
    for index, (null, colour) in enumerate(colours.items()):
        offset = 0.22 * (1 - index)
        places = (band[index] - low[:, None]) / span[:, None]
        p = data["p_value"].sel(null=null).values
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": null,
                "x": places[:, 1],
                "y": rows + offset,
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": places[:, 2] - places[:, 1],
                    "arrayminus": places[:, 1] - places[:, 0],
                    "thickness": 3,
                    "width": 0,
                    "color": colour,
                },
                "marker": {"size": 6 if scene.compact else 8, "color": colour, "symbol": "line-ns-open"},
                "customdata": np.column_stack([band[index], p]),
                "text": names,
                "hovertemplate": f"%{{text}}, {null}<br>median %{{customdata[1]:.3g}}, 95 % within"
                " %{customdata[0]:.3g} to %{customdata[2]:.3g}"
                "<br>p of the run %{customdata[3]:.2g}<extra></extra>",
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "run",
            "x": (observed - low) / span,
            "y": rows,
            "customdata": observed,
            "text": names,
            "marker": {
                "size": 8 if scene.compact else 11,
                "symbol": "diamond",
                "color": scene.theme.series[0],
                "line": {"width": 1, "color": scene.theme.background},
            },
            "hovertemplate": "%{text}, run<br>%{customdata:.4g}<extra></extra>",
        }
    )
    x = axis(
        scene,
        "each row from its smallest to its largest value",
        range=[-0.06, 1.06],
        showticklabels=False,
        showgrid=False,
    )
    y = axis(
        scene,
        "measure",
        range=[-0.6, len(names) - 0.4],
        tickvals=rows,
        ticktext=[_short(name) if scene.compact else name for name in names],
        showgrid=True,
    )
    built = layout(scene, x, y, right=118 if scene.compact else 210, top=font_size(scene) + 6)
    built["margin"]["l"] = 112 if scene.compact else 160
    built["annotations"] += _columns(scene, data, rows, colours)
    return {"data": traces, "layout": built}


def _short(name: str) -> str:
    return (
        name.replace("share of ", "")
        .replace("diffusion exponent", "diffusion")
        .replace("direction to final", "to final")
    )


def _columns(
    scene: Scene, data: xr.Dataset, rows: np.ndarray, colours: dict[str, str]
) -> list[dict[str, object]]:
    """The run's value and its three p-values at the right of every row, with a head."""
    heads = " · ".join(
        f"<span style='color:{colour}'>{SHORT[null]}</span>" for null, colour in colours.items()
    )
    place = {"x": 1.0, "xanchor": "left", "xshift": 6}
    found = [
        above(
            scene, f"run · p: {heads}" if not scene.compact else "run · p of each null", 1.0, "left", xshift=6
        )
    ]
    for row, name in zip(rows, data["measure"].values, strict=True):
        value = float(data["observed"].sel(measure=name))
        p = " ".join(
            f"<span style='color:{colour}'>{_p(float(data['p_value'].sel(measure=name, null=null)))}</span>"
            for null, colour in colours.items()
        )
        text = f"{value:.3g} · {p}" if np.isfinite(value) else "no value"
        found.append(note(scene, text, yref="y", y=float(row), yanchor="middle", **place))
    return found


def _p(value: float) -> str:
    return "–" if not np.isfinite(value) else "1" if value > 0.995 else f"{value:.2f}"[1:]


VIEWS = (
    View(
        name="path_crossings",
        title="Loops and self-intersections",
        group="trajectory",
        order=20,
        blurb="The path in one plane of components, with the places where it crosses itself and the epochs"
        " of both passages. Above: how often random paths at the same checkpoints do (95 % of them). A"
        " self-intersection is not evidence by itself: in the plane of PC2 and PC3 random walks nearly"
        " always have one.",
        data=_crossings,
        draw=_draw_crossings,
        needs=("parameter_pca", "path_geometry", "path_nulls"),
        optional=("turn",),
        marks=("epoch",),
        shape="square",
        parameters={"group": GROUP, "plane": _PLANE},
    ),
    View(
        name="path_measures",
        title="Path shape against random paths",
        group="trajectory",
        order=25,
        blurb="Every scalar of the path's shape (diamond) beside the median and the middle 95 % of three"
        " kinds of random path, and the p-values of the run under each. Shares, loop area, closure and"
        " winding are those of the chosen plane. In so many dimensions random paths hardly scatter, so a"
        " small p only says: not such a process.",
        data=_measures,
        draw=_draw_measures,
        needs=("path_nulls",),
        parameters={"group": GROUP, "plane": _PLANE},
    ),
)
