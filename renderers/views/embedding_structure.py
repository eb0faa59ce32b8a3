"""W_E, W_U and W_L side by side: energy per frequency, and rings or ellipses."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyzers.rings import stands_out
from renderers.catalog import Figure, Parameter, View
from renderers.curves import Curve, curves
from renderers.figure import (
    above,
    axis,
    frequency_axis,
    history_heatmap,
    layout,
    message,
    note,
    swatch,
)
from renderers.matrices import matrix_colour
from renderers.rings import axes_over_time, with_keys
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

MATRICES = ("W_E", "W_U", "W_L")
_MATRIX = Parameter("W_E", MATRICES, "Matrix")


def _side_by_side(source: Source) -> xr.Dataset:
    return source.at_epoch("ellipticity")[["share"]]


def _draw_side_by_side(data: xr.Dataset, scene: Scene) -> Figure:
    share = data["share"].transpose("matrix", "freq").values.astype(float)
    freqs, names = data["freq"].values, data["matrix"].values.tolist()
    if not np.isfinite(share).any():
        return message(scene, "None of the three matrices has a finite spectrum at this epoch.")
    colours = [matrix_colour(scene, name) for name in names]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": freqs,
            "y": row,
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": f"{name}, k = %{{x}}<br>share of the energy %{{y:.3f}}<extra></extra>",
            "meta": {"payload": {"frequency": "x"}},
        }
        for name, row, colour in zip(names, share, colours, strict=True)
    ]
    top = np.nanmax(share, axis=0, initial=0.0)
    y = axis(scene, "share of the energy", range=[0.0, 1.12 * float(top.max())])
    built = layout(
        scene,
        frequency_axis(scene, len(freqs)),
        y,
        top=12 if scene.compact else 14,
        bargap=0.2,
        bargroupgap=0.0,
    )
    keys = "  ".join(f"{swatch(colour)} {name}" for name, colour in zip(names, colours, strict=True))
    built["annotations"].append(above(scene, keys))
    named = np.any(stands_out(share), axis=0, keepdims=True)[0]
    for index in np.argsort(-top)[:8].tolist():
        if named[index]:
            place = {"xref": "x", "yref": "y", "x": int(freqs[index]), "y": float(top[index])}
            font = {"size": built["font"]["size"], "color": scene.theme.text}
            built["annotations"].append(
                note(scene, str(int(freqs[index])), **place, yanchor="bottom", font=font)
            )
    return {"data": traces, "layout": built}


def _over_time(source: Source) -> xr.Dataset:
    return source.artifact("ellipticity")[["share"]].sel(matrix=source.params["matrix"])


def _draw_over_time(data: xr.Dataset, scene: Scene) -> Figure:
    share = data["share"].transpose("epoch", "freq").values
    if not np.isfinite(share).any():
        return message(scene, f"{scene.params['matrix']} has no finite spectrum at any checkpoint.")
    limits = (0.0, float(np.nanmax(share)))
    return history_heatmap(scene, data["epoch"].values, share, unit="share of the energy", limits=limits)


def _ellipses(source: Source) -> xr.Dataset:
    return source.at_epoch("ellipticity").sel(matrix=source.params["matrix"])


def _draw_ellipses(data: xr.Dataset, scene: Scene) -> Figure:
    freqs = data["freq"].values
    share, ratio = (data[name].values.astype(float) for name in ("share", "ellipticity"))
    raw = data["cos_sin_ratio"].values.astype(float)
    if not np.isfinite(ratio).any():
        return message(scene, f"{scene.params['matrix']} has no finite spectrum at this epoch.")
    with np.errstate(invalid="ignore", divide="ignore"):
        balance = np.minimum(raw, 1 / raw)
    strong = stands_out(share)
    largest = 14 if scene.compact else 20
    colours = [
        frequency_colour(int(k)) if is_strong else scene.theme.faint
        for k, is_strong in zip(freqs, strong, strict=True)
    ]
    axes = {
        "type": "scatter",
        "mode": "markers",
        "name": "ratio of the axes",
        "x": freqs,
        "y": ratio,
        "customdata": np.stack([share, raw], axis=1),
        "marker": {
            "size": 4 + largest * np.sqrt(np.nan_to_num(share) / np.nanmax(share, initial=1e-12)),
            "color": colours,
            "line": {"width": 0.5, "color": scene.theme.background},
        },
        "hovertemplate": "k = %{x}<br>ratio of the axes %{y:.3f}<br>share of the energy %{customdata[0]:.3f}"
        "<br>cos : sin %{customdata[1]:.3f}<extra></extra>",
        "meta": {"payload": {"frequency": "x"}},
    }
    unsettled = {
        "type": "scatter",
        "mode": "markers",
        "name": "cos against sin",
        "x": freqs[strong],
        "y": balance[strong],
        "marker": {
            "symbol": "line-ew-open",
            "size": 8 if scene.compact else 11,
            "color": scene.theme.text,
            "line": {"width": 1.4},
        },
        "hovertemplate": "k = %{x}<br>smaller of cos : sin and sin : cos %{y:.3f}<extra></extra>",
        "meta": {"payload": {"frequency": "x"}},
    }
    y = axis(scene, "ratio of the axes (1: ring)", range=[-0.03, 1.12])
    built = layout(scene, frequency_axis(scene, len(freqs)), y, top=13 if scene.compact else 16)
    low = float(data["null_low"])
    built["shapes"].append(
        {
            "type": "rect",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": low,
            "y1": 1.0,
            "fillcolor": scene.theme.muted,
            "opacity": 0.10,
            "line": {"width": 0},
            "layer": "below",
        }
    )
    legend = "— cos : sin   band: 95 % of random matrices"
    built["annotations"].append(above(scene, legend))
    for index in np.flatnonzero(strong)[np.argsort(-share[strong])][:8].tolist():
        place = {"xref": "x", "yref": "y", "x": int(freqs[index]), "y": float(ratio[index])}
        font = {"size": built["font"]["size"], "color": scene.theme.text}
        text = f"{int(freqs[index])}"
        shift = -(6 + largest / 2)
        built["annotations"].append(note(scene, text, **place, yanchor="top", yshift=shift + 4, font=font))
    return {"data": [axes, unsettled], "layout": built}


def _ellipses_over_time(source: Source) -> xr.Dataset:
    return with_keys(source, source.artifact("ellipticity").sel(matrix=source.params["matrix"]))


def _draw_ellipses_over_time(data: xr.Dataset, scene: Scene) -> Figure:
    null = np.full(data.sizes["epoch"], float(np.asarray(data["null_low"]).min()))
    random = Curve("5 % of random", null, scene.theme.muted, dash="dot", label="null")
    return axes_over_time(data, scene, scene.params["matrix"], others=[random])


def _circularity(source: Source) -> xr.Dataset:
    return source.artifact("ellipticity")[["circularity"]]


def _draw_circularity(data: xr.Dataset, scene: Scene) -> Figure:
    drawn = [
        Curve(name, data["circularity"].sel(matrix=name).values, matrix_colour(scene, name))
        for name in MATRICES
    ]
    title = "circularity of the first four components"
    return curves(scene, data["epoch"].values, drawn, title=title, digits=".3f", limits=(0.0, 1.0))


VIEWS = (
    View(
        name="fourier_side_by_side",
        title="W_E, W_U and W_L by frequency",
        group="embeddings",
        order=1,
        blurb="Share of the energy of each matrix at each frequency (cosine and sine together): the"
        " embedding, the unembedding, and the map from neurons to logits W_L = W_out W_U. A random matrix"
        " has 1 / K everywhere.",
        data=_side_by_side,
        draw=_draw_side_by_side,
        needs=("ellipticity",),
        depends=("variant", "epoch"),
        marks=("frequency",),
    ),
    View(
        name="fourier_over_time",
        title="Energy by frequency over time",
        group="embeddings",
        order=12,
        blurb="Share of the energy of the chosen matrix at each frequency and checkpoint. Other than the"
        " norms, it does not fade when weight decay shrinks the whole matrix.",
        data=_over_time,
        draw=_draw_over_time,
        needs=("ellipticity",),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"matrix": Parameter("W_L", MATRICES, "Matrix")},
    ),
    View(
        name="ellipticity",
        title="Ellipticity by frequency",
        group="embeddings",
        order=4,
        blurb="Ratio of the axes of the ellipse on which each frequency puts the tokens or classes: 1 a"
        " ring, 0 a line; the larger the mark, the more energy. The dash is the balance of cosine and sine,"
        " which depends on the choice of token 0 and never lies below the mark. Grey marks are noise, which"
        " looks nearly round.",
        data=_ellipses,
        draw=_draw_ellipses,
        needs=("ellipticity",),
        depends=("variant", "epoch"),
        marks=("frequency",),
        parameters={"matrix": _MATRIX},
    ),
    View(
        name="ellipticity_history",
        title="Ellipticity over time",
        group="embeddings",
        order=13,
        blurb="The same ratio of axes through the run, drawn only where the frequency stands out: twice an"
        " even share, or 1 % and ten times the median. The final model's frequencies are coloured; grey:"
        " others that stood out for a while. Below the dotted line lie 5 % of random matrices.",
        data=_ellipses_over_time,
        draw=_draw_ellipses_over_time,
        needs=("ellipticity", "key_frequencies"),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"matrix": _MATRIX},
    ),
    View(
        name="circularity_history",
        title="Circularity over time",
        group="embeddings",
        order=14,
        blurb="Circularity of Zhong et al.: whether each of the first four principal components is a single"
        " frequency. A line at one frequency scores 1 and equally strong perfect rings score about 1 (one"
        " ring), 0.8, 0.6, 0.5 (four): it tells how unequal the frequencies are, not how round.",
        data=_circularity,
        draw=_draw_circularity,
        needs=("ellipticity",),
        optional=("turn",),
        marks=("epoch",),
    ),
)
