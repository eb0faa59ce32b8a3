"""Attention of the `=` query: maps over all inputs, and their frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    axis,
    colorbar,
    font_size,
    framed,
    heatmap,
    layout,
    line,
    message,
    note,
    plot_size,
    swatch,
    time_figure,
)
from renderers.heads import by_head
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_FRACTION = "share of variance"
_SOURCE = Parameter("a", ("a", "b", "="), "Attention to")


def _maps(source: Source) -> xr.Dataset:
    data = source.on_demand("attention_maps")[["pattern"]]
    measured = source.if_stored("attention_frequencies")
    if measured is not None:
        data = data.assign({name: measured[name] for name in ("dominant_frequency", "dominant_fraction")})
    return source.select(data, "source", source.params["source"])


def _draw_maps(data: xr.Dataset, scene: Scene) -> Figure:
    heads = data["head"].values.tolist()
    pattern = data["pattern"].transpose("head", "a", "b").values
    columns = int(np.ceil(np.sqrt(len(heads))))
    rows = int(np.ceil(len(heads) / columns))
    fixed = scene.params["scale"] == "0 to 1"
    limits = (0.0, 1.0) if fixed else (float(np.nanmin(pattern)), float(np.nanmax(pattern)))
    built = layout(scene, {}, {}, right=48 if scene.compact else 62)
    built["coloraxis"] = {
        "cmin": limits[0],
        "cmax": limits[1],
        "colorscale": scene.theme.scale(),
        "colorbar": colorbar(scene, f"attention to {scene.params['source']}"),
    }
    traces = []
    for index, head in enumerate(heads):
        row, column = divmod(index, columns)
        mark = "" if index == 0 else str(index + 1)
        trace = heatmap(
            scene,
            data["b"].values,
            data["a"].values,
            pattern[index],
            unit="attention",
            hover=f"head {head}<br>a = %{{y}}<br>b = %{{x}}<br>attention %{{z:.3f}}",
            payload={"head": {"value": head}},
            limits=limits,
            xaxis=f"x{mark}",
            yaxis=f"y{mark}",
            coloraxis="coloraxis",
            name=f"head {head}",
        )
        for own in ("zmin", "zmax", "colorscale", "colorbar"):
            del trace[own]
        traces.append(trace)
        bottom, left = row == rows - 1 or index + columns >= len(heads), column == 0
        across, up = _domain(column, columns, 0.06), _domain(rows - 1 - row, rows, 0.13)
        ends = [-0.5, scene.p - 0.5]
        x = axis(
            scene, "b" if bottom else "", range=ends, domain=across, anchor=f"y{mark}", constrain="domain"
        )
        y = axis(
            scene, "a" if left else "", range=ends[::-1], domain=up, anchor=f"x{mark}", constrain="domain"
        )
        y["scaleanchor"] = f"x{mark}"
        for side, shown in ((x, bottom), (y, left)):
            side.update(nticks=4, showticklabels=shown)
        built[f"xaxis{mark}"], built[f"yaxis{mark}"] = framed(x, scene), framed(y, scene)
        place = {"xref": f"x{mark} domain", "yref": f"y{mark} domain", "x": 0.0, "y": 1.0}
        width, height = plot_size(scene, right=48)
        side_length = min(width * (across[1] - across[0]), height * (up[1] - up[0]))
        text = _head_label(data, index, head, 1.06 * side_length / (0.58 * font_size(scene)))
        built["annotations"].append(note(scene, text, **place, xanchor="left", yanchor="bottom"))
    built["margin"]["t"] += 8
    return {"data": traces, "layout": built}


def _domain(index: int, count: int, gap: float) -> list[float]:
    width = (1 - gap * (count - 1)) / count
    return [index * (width + gap), index * (width + gap) + width]


def _head_label(data: xr.Dataset, index: int, head: int, letters: float) -> str:
    """The head with its dominant frequency and fraction, shorter where there is room for fewer `letters`."""
    if "dominant_frequency" not in data or int(data["dominant_frequency"][index]) == 0:
        return f"head {head}"
    k, fraction = int(data["dominant_frequency"][index]), float(data["dominant_fraction"][index])
    name = f"head {head}" if letters >= 20 else f"{head}"
    share = f" · {fraction:.0%}" if letters >= 14 else ""
    return f"{name} · {swatch(frequency_colour(k))} k {k}{share}"


def _frequencies(source: Source) -> xr.Dataset:
    data = source.at_epoch("attention_frequencies")
    names = ["fraction", "dominant_frequency", "dominant_fraction"]
    return source.select(data[names], "source", source.params["source"])


def _draw_frequencies(data: xr.Dataset, scene: Scene) -> Figure:
    fraction = data["fraction"].transpose("head", "freq").values
    if not np.isfinite(fraction).any():
        return message(scene, f"The attention to {scene.params['source']} does not vary over the inputs.")
    strongest = [
        (int(k), float(share))
        for k, share in zip(data["dominant_frequency"].values, data["dominant_fraction"].values, strict=True)
    ]
    return by_head(
        scene,
        data["head"].values,
        data["freq"].values,
        fraction,
        strongest,
        limit=1.0,
        unit=_FRACTION,
        hover=f"{_FRACTION} %{{z:.3f}}",
    )


def _history(source: Source) -> xr.Dataset:
    data = source.artifact("attention_frequencies")[["dominant_frequency", "dominant_fraction"]]
    return source.select(data, "source", source.params["source"])


def _draw_history(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    if not len(epochs):
        return message(scene, "No checkpoint has been analysed yet.")
    traces, labels = [], []
    for index, head in enumerate(data["head"].values.tolist()):
        own = data.sel(head=head)
        k = own["dominant_frequency"].values.astype(float)
        k[k == 0] = np.nan
        values, colour = own["dominant_fraction"].values, scene.theme.series[index % len(scene.theme.series)]
        colours: list[Any] = [
            frequency_colour(int(each)) if each == each else scene.theme.faint for each in k
        ]
        traces.append(
            line(
                epochs,
                values,
                name=f"head {head}",
                colour=colour,
                hover=f"head {head}<br>k = %{{customdata}}<br>{_FRACTION} %{{y:.3f}}<br>epoch %{{x:,d}}",
                payload={"epoch": "x", "head": {"value": head}, "frequency": "customdata"},
                customdata=k,
                markers=True,
                marker={
                    "size": 5 if scene.compact else 7,
                    "color": colours,
                    "line": {"width": 1, "color": colour},
                },
            )
        )
        name = (
            f"head {head}"
            if scene.compact or k[-1] != k[-1]
            else f"head {head} · {swatch(colours[-1])} k {int(k[-1])}"
        )
        labels.append(Label(float(values[-1]), name, colour))
    title = "largest share of variance"
    y = axis(scene, title, range=[0.0, 1.03], tickformat=".1f")
    return time_figure(scene, epochs, traces, y, labels, right=44 if scene.compact else 98)


VIEWS = (
    View(
        name="attention_maps",
        role="companion",
        title="Attention maps",
        group="attention",
        order=2,
        blurb="Attention of the = position to the chosen token on every input (a, b), one map per head, on"
        " one colour scale. The three sources of a head add up to 1.",
        data=_maps,
        draw=_draw_maps,
        needs=("attention_maps",),
        optional=("attention_frequencies",),
        depends=("variant", "epoch"),
        marks=("head",),
        shape="square",
        parameters={"source": _SOURCE, "scale": Parameter("0 to 1", ("0 to 1", "fitted"), "Colour scale")},
    ),
    View(
        name="attention_frequencies",
        role="navigator",
        title="Attention by frequency",
        group="attention",
        order=1,
        blurb="Each head's attention map split by frequency at this epoch; the largest one is named at the"
        " right.",
        data=_frequencies,
        draw=_draw_frequencies,
        needs=("attention_frequencies",),
        depends=("variant", "epoch"),
        marks=("head", "frequency"),
        parameters={"source": _SOURCE},
    ),
    View(
        name="attention_history",
        title="Attention frequencies over time",
        group="attention",
        order=3,
        blurb="The share of each head's attention variance on its largest frequency. The line's colour is"
        " the head, the point's colour is the frequency, so a change of frequency shows as a change of"
        " point colour.",
        data=_history,
        draw=_draw_history,
        needs=("attention_frequencies",),
        optional=("turn",),
        marks=("epoch", "head", "frequency"),
        parameters={"source": _SOURCE},
    ),
)
