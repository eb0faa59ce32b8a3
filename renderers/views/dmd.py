"""Linear dynamics fitted to the parameters' path, beside those of random walks."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, View
from renderers.figure import (
    Label,
    above,
    axis,
    font_size,
    layout,
    line,
    log_axis,
    message,
    note,
    swatch,
    time_figure,
)
from renderers.path_bands import GROUP
from renderers.source import Scene, Source

NOTHING = "Dynamic modes need at least four checkpoints between which the parameters moved."


def _modes(source: Source) -> xr.Dataset:
    data = source.artifact("dmd")
    kept = ["growth", "frequency", "energy", "null_growth", "null_frequency"]
    return source.select(data[kept].assign_coords(epoch=data["epoch"]), "group", source.params["group"])


def _draw_modes(data: xr.Dataset, scene: Scene) -> Figure:
    growth, frequency = data["growth"].values, data["frequency"].values
    if not np.isfinite(growth).all():
        return message(scene, NOTHING)
    epochs, theme = data["epoch"].values, scene.theme
    step = float(epochs[-1] - epochs[0]) / (len(epochs) - 1)
    value = _factor(growth, frequency, step)
    null = _factor(data["null_growth"].values, data["null_frequency"].values, step).ravel()
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = {
        "type": "scatter",
        "mode": "lines",
        "name": "|λ| = 1",
        "x": np.cos(angle),
        "y": np.sin(angle),
        "line": {"color": theme.line, "width": 1.2},
        "hoverinfo": "skip",
    }
    walks = {
        "type": "scatter",
        "mode": "markers",
        "name": "random walks",
        "x": null.real,
        "y": null.imag,
        "marker": {"size": 4, "color": theme.faint, "opacity": 0.6},
        "hovertemplate": "a random walk's mode<extra></extra>",
    }
    texts = [_described(g, f) for g, f in zip(growth.tolist(), frequency.tolist(), strict=True)]
    own = {
        "type": "scatter",
        "mode": "markers",
        "name": "run",
        "x": value.real,
        "y": value.imag,
        "customdata": np.column_stack([np.exp(growth), frequency, data["energy"].values]),
        "text": texts,
        "marker": {
            "size": 9 if scene.compact else 12,
            "color": theme.series[0],
            "line": {"width": 1, "color": theme.background},
        },
        "hovertemplate": "%{text}<br>|λ| per epoch %{customdata[0]:.6f}"
        "<br>%{customdata[1]:.3g} cycles per epoch<br>share %{customdata[2]:.0%}<extra></extra>",
    }
    reach = 1.08 * max(1.0, float(np.abs(np.concatenate([value, null[np.isfinite(null)]])).max()))
    reach = min(reach, 2.5)
    span = f"{step:,.0f} epochs"
    square = {"constrain": "domain", "range": [-reach, reach]}
    x = axis(scene, f"Re λ per {span}", constraintoward="left", **square)
    y = axis(scene, f"Im λ per {span}", scaleanchor="x", scaleratio=1, **square)
    key = f"{swatch(theme.series[0])} run  {swatch(theme.faint)} random walks, treated alike"
    lines = [text.replace(" in ", " in<br>") for text in texts] if scene.compact else texts
    described = [
        f"{lines[index].replace(', ', '<br>')}<br>{float(data['energy'].values[index]):.0%} of the energy"
        for index in range(len(value))
        if value[index].imag >= -1e-12
    ]
    longest = max((len(line) for text in described for line in text.split("<br>")), default=0)
    right = round(0.6 * font_size(scene) * longest)
    built = layout(scene, x, y, top=font_size(scene) + 6, right=right)
    beside = {"xref": "x domain", "x": 1.05, "y": 0.97, "xanchor": "left", "yanchor": "top", "align": "left"}
    font = {"size": font_size(scene), "color": theme.series[0]}
    built["annotations"] += [
        above(scene, key, x=0, xanchor="left"),
        note(scene, "<br><br>".join(described), **beside, font=font),
    ]
    return {"data": [circle, walks, own], "layout": built}


def _factor(growth: np.ndarray, frequency: np.ndarray, epochs: float) -> np.ndarray:
    """Complex factor of modes over that many epochs."""
    value: np.ndarray = np.exp((growth.astype(float) + 2j * np.pi * frequency.astype(float)) * epochs)
    return value


def _described(growth: float, frequency: float) -> str:
    """What a mode does, in epochs."""
    size = np.log(2) / abs(growth) if growth else np.inf
    text = f"{'halves' if growth < 0 else 'doubles'} in {size:,.0f} epochs" if size < 1e6 else "lasts"
    return text + (f", turns once in {1 / abs(frequency):,.0f} epochs" if abs(frequency) > 1e-9 else "")


def _errors(source: Source) -> xr.Dataset:
    data = source.artifact("dmd")
    kept = ["error", "skill", "null_skill", "p_value"]
    return source.select(data[kept], "group", source.params["group"])


def _draw_errors(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, errors = data["epoch"].values, data["error"].transpose("predictor", "epoch").values.astype(float)
    if not (errors > 0).any():
        return message(scene, NOTHING)
    before = np.concatenate([[np.nan], epochs[:-1]])
    colours = (*(scene.theme.series[index] for index in (0, 6, 2)), scene.theme.muted)
    traces, labels = [], []
    names = data["predictor"].values.tolist()
    for name, values, colour in zip(names, errors, colours, strict=True):
        known = np.isfinite(values)
        if not known.any():
            continue
        traces.append(
            line(
                epochs[known],
                values[known],
                name=name,
                colour=colour,
                hover=f"{name}<br>error %{{y:.3g}}<br>predicted from epoch %{{customdata:,d}} for %{{x:,d}}",
                payload={"epoch": "x"},
                customdata=before[known],
                dash="dash" if name == "persistence" else "solid",
            )
        )
        labels.append(Label(float(values[known][-1]), name, colour))
    y = log_axis(scene, "prediction error (parameter units)", errors)
    figure = time_figure(
        scene, epochs, traces, y, labels, right=88 if scene.compact else 112, top=font_size(scene) + 6
    )
    figure["layout"]["annotations"].append(_skills(scene, data, figure["layout"]["margin"]["t"]))
    return figure


def _skills(scene: Scene, data: xr.Dataset, room: int) -> dict[str, object]:
    """The skill of the fit and of the held-out predictions, beside random walks."""
    parts = []
    for name in ("fit", "held out"):
        own = float(data["skill"].sel(predictor=name))
        walks = float(data["null_skill"].sel(predictor=name, level=0.5))
        parts.append(f"{name} {own:.2f} (walks {walks:.2f})")
    raised = room - font_size(scene) - 8
    return above(scene, "skill: " + " · ".join(parts), 0.0, "left", yshift=raised)


VIEWS = (
    View(
        name="dmd_eigenvalues",
        title="Dynamic mode eigenvalues",
        group="trajectory",
        order=50,
        blurb="Eigenvalues of the linear dynamics that fit the path's first three components best, at the"
        " true spacing of the checkpoints, as factors per mean step. On the circle a mode lasts, inside it"
        " decays; off the real axis it turns. Random walks, treated alike, have slow and turning modes too"
        " (grey).",
        data=_modes,
        draw=_draw_modes,
        needs=("dmd",),
        shape="square",
        parameters={"group": GROUP},
    ),
    View(
        name="dmd_error",
        title="Dynamic mode prediction error",
        group="trajectory",
        order=55,
        blurb="Error of predicting each checkpoint from the one before: by linear dynamics fitted to all"
        " steps, by dynamics fitted without that step (held out), by going on at the last velocity, and by"
        " no motion (persistence). Skill is 1 for perfect, 0 for no better than persistence; random walks"
        " reach high skill too.",
        data=_errors,
        draw=_draw_errors,
        needs=("dmd",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"group": GROUP},
    ),
)
