"""The path of the parameters through training, in its principal components."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyzers.random_paths import random_walk_shares
from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    Trace,
    axis,
    colorbar,
    end_labels,
    font_size,
    layout,
    line,
    log_axis,
    message,
    time_figure,
)
from renderers.matrices import set_colour
from renderers.path_bands import SETS
from renderers.plane import checkpoint_after, plane_figure, points
from renderers.source import Scene, Source

_MATRICES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out")
_GROUP = Parameter("all", (*SETS, *_MATRICES), "Parameters")


def _path(source: Source) -> xr.Dataset:
    data = source.artifact("parameter_pca")[["projection", "explained_variance_ratio"]]
    return source.select(data, "group", source.params["group"])


def _draw_path(data: xr.Dataset, scene: Scene) -> Figure:
    return plane_figure(data, scene, scene.params["axes"])


def _draw_space(data: xr.Dataset, scene: Scene) -> Figure:
    placed = points(data, (1, 2, 3))
    if len(placed.epochs) < 2:
        return message(scene, placed.problem)
    epochs, theme, size = placed.epochs, scene.theme, font_size(scene)
    x, y, z = placed.coordinates
    path: Trace = {
        "type": "scatter3d",
        "mode": "lines+markers",
        "name": "trajectory",
        "x": x,
        "y": y,
        "z": z,
        "customdata": epochs,
        "line": {"color": theme.line, "width": 3},
        "marker": {
            "size": 3.5 if scene.compact else 5,
            "color": epochs,
            "colorscale": theme.scale("time"),
            "colorbar": {**colorbar(scene, "epoch"), "tickformat": "~s", "len": 0.8},
        },
        "hovertemplate": "epoch %{customdata:,d}"
        "<br>PC1 %{x:.3f}<br>PC2 %{y:.3f}<br>PC3 %{z:.3f}<extra></extra>",
        "meta": {"payload": {"epoch": "customdata"}},
    }
    shares = data["explained_variance_ratio"].sel(component=[1, 2, 3]).values.astype(float).tolist()
    style = {
        "showbackground": False,
        "gridcolor": theme.grid,
        "linecolor": theme.line,
        "zerolinecolor": theme.grid,
        "showspikes": False,
        "nticks": 4 if scene.compact else 6,
        "tickfont": {"size": size - 1},
    }
    space = {
        f"{letter}axis": {
            **style,
            "title": {"text": f"PC{number} · {share:.0%}", "font": {"size": size}},
        }
        for number, (letter, share) in enumerate(zip("xyz", shares, strict=True), start=1)
    }
    named = {0: [f"epoch {int(epochs[0]):,}"]}
    named.setdefault(len(epochs) - 1, []).append(f"epoch {int(epochs[-1]):,}")
    for event in scene.events:
        named.setdefault(checkpoint_after(event, epochs), []).append(event.label)
    notes = [
        {
            "x": float(x[index]),
            "y": float(y[index]),
            "z": float(z[index]),
            "text": "<br>".join(texts),
            "font": {"size": size, "color": theme.text if index in (0, len(epochs) - 1) else theme.event},
            "arrowcolor": theme.muted,
            "arrowwidth": 0.8,
            "arrowhead": 0,
            "ax": 0,
            "ay": (-26, 26, -46, 46)[number % 4],
        }
        for number, (index, texts) in enumerate(sorted(named.items()))
    ]
    hidden = {"visible": False, "title": {"text": ""}}
    built = layout(scene, hidden, hidden)
    del built["xaxis"], built["yaxis"]
    built["scene"] = {
        **space,
        "aspectmode": "data",
        "annotations": notes,
        "camera": {
            "eye": {"x": 1.5, "y": 1.5, "z": 1.0},
            "center": {"x": 0.0, "y": 0.0, "z": -0.15},
        },
    }
    built["margin"] = {"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0}
    built["dragmode"] = "turntable"
    return {"data": [path], "layout": built}


def _variance(source: Source) -> xr.Dataset:
    data = source.artifact("parameter_pca")[["explained_variance_ratio"]]
    return data.sel(group=[group for group in SETS if group in data["group"].values]).assign_coords(
        epoch=source.artifact("parameter_pca")["epoch"]
    )


def _draw_variance(data: xr.Dataset, scene: Scene) -> Figure:
    components = data["component"].values
    ratios = data["explained_variance_ratio"]
    if not np.isfinite(ratios.values).any():
        return message(scene, "A principal-component analysis needs at least two checkpoints.")
    traces, labels = [], []
    for group in data["group"].values.tolist():
        values = np.nancumsum(ratios.sel(group=group).values)
        colour = set_colour(scene, group)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": group,
                "x": components,
                "y": values,
                "customdata": ratios.sel(group=group).values,
                "line": {"color": colour, "width": 1.6},
                "marker": {"size": 5, "color": colour},
                "hovertemplate": f"{group}<br>PC%{{x}} alone %{{customdata:.1%}}"
                "<br>up to PC%{x} %{y:.1%}<extra></extra>",
            }
        )
        labels.append(Label(float(values[-1]), group, colour))
    walk = np.nancumsum(random_walk_shares(data["epoch"].values, len(components)))
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "random walk",
            "x": components,
            "y": walk,
            "line": {"color": scene.theme.muted, "width": 1.6, "dash": "dash"},
            "hovertemplate": "random walk at the same checkpoints<br>up to PC%{x} %{y:.1%}<extra></extra>",
        }
    )
    labels.append(Label(float(walk[-1]), "walk" if scene.compact else "random walk", scene.theme.muted))
    finite = np.nancumsum(ratios.transpose("group", "component").values, axis=1)
    y = axis(
        scene,
        "share of total variance, cumulated",
        range=[max(0.0, min(float(finite.min()), float(walk[0])) - 0.05), 1.02],
        tickformat=".0%",
    )
    x = axis(scene, "principal components", dtick=1, range=[components[0] - 0.3, components[-1] + 0.3])
    built = layout(scene, x, y, right=58 if scene.compact else 78)
    built["annotations"] += end_labels(scene, labels, y)
    return {"data": traces, "layout": built}


def _velocity(source: Source) -> xr.Dataset:
    data = source.artifact("parameter_pca")[["velocity"]]
    return data.sel(group=[group for group in SETS if group in data["group"].values])


def _draw_velocity(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, velocity = data["epoch"].values, data["velocity"].transpose("group", "epoch").values
    if not (velocity > 0).any():
        return message(scene, "Velocity needs at least two checkpoints between which the parameters moved.")
    before = np.concatenate([[np.nan], epochs[:-1]])
    traces, labels = [], []
    for index, group in enumerate(data["group"].values.tolist()):
        colour = set_colour(scene, group)
        traces.append(
            line(
                epochs,
                velocity[index],
                name=group,
                colour=colour,
                hover=f"{group}<br>%{{y:.3g}} per epoch<br>mean over epochs %{{customdata:,d}} to %{{x:,d}}",
                payload={"epoch": "x"},
                customdata=before,
            )
        )
        traces[-1]["line"]["shape"] = "vh"
        labels.append(Label(float(velocity[index, -1]), group, colour))
    y = log_axis(scene, "‖Δ parameters‖ per epoch", velocity)
    return time_figure(scene, epochs, traces, y, labels, right=58 if scene.compact else 72)


VIEWS = (
    View(
        name="parameter_pca",
        title="Parameter trajectory",
        group="trajectory",
        order=1,
        blurb="The checkpoints of one group of parameters on their principal components, joined in time"
        " order, on equal scales. Smooth paths look curved in such projections even for random walks, whose"
        " shares of variance stand beside the run's: read shape with care. Every checkpoint weighs the same.",
        data=_path,
        draw=_draw_path,
        needs=("parameter_pca",),
        optional=("turn",),
        marks=("epoch",),
        shape="square",
        parameters={"group": _GROUP, "axes": Parameter("1-2", ("1-2", "1-3", "2-3"), "Components")},
    ),
    View(
        name="parameter_pca_3d",
        title="Parameter trajectory in 3-D",
        group="trajectory",
        order=2,
        blurb="The checkpoints of one group of parameters on their first three principal components; drag"
        " to turn, scroll to come nearer. Random walks are smooth curves here too.",
        data=_path,
        draw=_draw_space,
        needs=("parameter_pca",),
        optional=("turn",),
        marks=("epoch",),
        shape="square",
        parameters={"group": Parameter("all", SETS, "Parameters")},
    ),
    View(
        name="parameter_pca_variance",
        title="Variance explained",
        group="trajectory",
        order=3,
        blurb="How much of the total variance over checkpoints the first principal components hold, per"
        " parameter group, beside a random walk in many dimensions seen at the same checkpoints (for many"
        " equal steps: 61 %, 15 %, 7 %).",
        data=_variance,
        draw=_draw_variance,
        needs=("parameter_pca",),
    ),
    View(
        name="parameter_velocity",
        title="Parameter velocity",
        group="trajectory",
        order=4,
        blurb="Distance between neighbouring checkpoints divided by the epochs between them, so each step"
        " is a mean over its interval. Unequal intervals are not comparable in detail: a long one"
        " averages wiggles away.",
        data=_velocity,
        draw=_draw_velocity,
        needs=("parameter_pca",),
        optional=("turn",),
        marks=("epoch",),
    ),
)
