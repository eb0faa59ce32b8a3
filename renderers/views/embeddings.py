"""Embedding and unembedding in the Fourier basis over tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from renderers.catalog import Figure, View
from renderers.figure import above, axis, frequency_axis, history_heatmap, layout, message, note, swatch
from renderers.source import Scene, Source

_NAMED = 6


def _spectrum(matrix: str) -> Callable[[Source], xr.Dataset]:
    def data(source: Source) -> xr.Dataset:
        parts = [f"{matrix}_{part}" for part in ("const", "cos", "sin", "norm")]
        return source.at_epoch("embedding_fourier")[parts]

    return data


def _draw_spectrum(matrix: str) -> Callable[[xr.Dataset, Scene], Figure]:
    def draw(data: xr.Dataset, scene: Scene) -> Figure:
        freqs = data["freq"].values
        parts = {part: data[f"{matrix}_{part}"].values for part in ("cos", "sin")}
        highest = max(float(np.nanmax(values, initial=0.0)) for values in parts.values())
        if highest <= 0:
            return message(scene, f"{matrix} has no component on any frequency at this epoch.")
        traces = [
            {
                "type": "bar",
                "name": part,
                "x": freqs,
                "y": values,
                "marker": {"color": colour, "line": {"width": 0}},
                "hovertemplate": f"{part} row, k = %{{x}}<br>norm %{{y:.3f}}<extra></extra>",
                "meta": {"payload": {"frequency": "x"}},
            }
            for (part, values), colour in zip(parts.items(), scene.theme.series[:2], strict=True)
        ]
        y = axis(scene, f"norm of {matrix} on the row", range=[0.0, 1.1 * highest])
        built = layout(
            scene,
            frequency_axis(scene, len(freqs)),
            y,
            top=12 if scene.compact else 14,
            bargap=0.25,
            bargroupgap=0.0,
        )
        keys = " ".join(
            f"{swatch(colour)} {part}" for part, colour in zip(parts, scene.theme.series[:2], strict=True)
        )
        constant = float(data[f"{matrix}_const"])
        built["annotations"].append(above(scene, f"{keys}   constant row {constant:.2f}"))
        both = np.fmax(parts["cos"], parts["sin"])
        for index in np.argsort(-np.nan_to_num(both))[:_NAMED].tolist():
            if both[index] > 2.5 * np.nanmedian(both):
                k = int(freqs[index])
                place = {"xref": "x", "yref": "y", "x": k, "y": float(both[index]), "yanchor": "bottom"}
                font = {"size": built["font"]["size"], "color": scene.theme.text}
                built["annotations"].append(note(scene, str(k), **place, font=font))
        return {"data": traces, "layout": built}

    return draw


def _over_time(matrix: str) -> Callable[[Source], xr.Dataset]:
    def data(source: Source) -> xr.Dataset:
        return source.artifact("embedding_fourier")[[f"{matrix}_norm"]]

    return data


def _draw_over_time(matrix: str) -> Callable[[xr.Dataset, Scene], Figure]:
    def draw(data: xr.Dataset, scene: Scene) -> Figure:
        values = data[f"{matrix}_norm"].transpose("epoch", "freq").values
        if not np.isfinite(values).any():
            return message(scene, "No checkpoint has been analysed yet.")
        limits = (0.0, float(np.nanmax(values)))
        return history_heatmap(scene, data["epoch"].values, values, unit=f"norm of {matrix}", limits=limits)

    return draw


def _views(matrix: str, name: str, title: str, what: str, *orders: int) -> tuple[View, View]:
    spectrum = View(
        name=f"{name}_fourier",
        title=f"{title} by frequency",
        group="embeddings",
        order=orders[0],
        blurb=f"Size of {matrix}, {what}, along the cosine and the sine of each frequency at this epoch."
        " Equal bars mean a circle, unequal ones an ellipse.",
        data=_spectrum(matrix),
        draw=_draw_spectrum(matrix),
        needs=("embedding_fourier",),
        depends=("variant", "epoch"),
        marks=("frequency",),
    )
    history = View(
        name=f"{name}_history",
        title=f"{title} over time",
        group="embeddings",
        order=orders[1],
        blurb=f"Size of {matrix}, {what}, on each frequency (cosine and sine together) at each checkpoint.",
        data=_over_time(matrix),
        draw=_draw_over_time(matrix),
        needs=("embedding_fourier",),
        optional=("turn",),
        marks=("epoch", "frequency"),
    )
    return spectrum, history


VIEWS = (
    *_views("W_E", "embedding", "Embedding", "the embedding of the number tokens", 2, 10),
    *_views("W_U", "unembedding", "Unembedding", "the map from the residual stream to the logits", 3, 11),
)
