"""Where the right answers lie inside the model: class centroids, their separation and their rings."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analyzers.fourier import transform
from renderers.catalog import Figure, Parameter, View
from renderers.curves import Curve, curves
from renderers.figure import above, axis, colorbar, layout, message, swatch
from renderers.rings import axes_over_time, with_keys
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

SITES = ("resid_mid", "neurons", "mlp_out", "resid_post", "logits")
_SITE = Parameter("mlp_out", SITES, "Site")
_MEASURES = {
    "signal to noise": ("snr", "variance between classes / within"),
    "worst pair": ("fisher_min", "Fisher ratio of the worst pair"),
    "median pair": ("fisher_median", "Fisher ratio of the median pair"),
}


def _centroids(source: Source) -> xr.Dataset:
    names = ["coordinate", "explained"]
    return source.at_epoch("representations")[names].sel(site=source.params["site"])


def _draw_centroids(data: xr.Dataset, scene: Scene) -> Figure:
    first, second = (int(number) for number in scene.params["components"].split("-"))
    points = data["coordinate"].sel(component=[first, second]).transpose("class", "component").values
    points = points.astype(float)
    if not np.isfinite(points).all() or not np.ptp(points) > 0:
        return message(scene, f"The classes have no finite, distinct centroids at {scene.params['site']}.")
    residue = data["class"].values
    energy = transform(points).energy.sum(axis=1)
    k = int(energy.argmax()) + 1
    order = residue * pow(k, -1, scene.p) % scene.p  # so that k times the residue rises by one
    ring = np.append(order, order[0])
    path: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": f"in the order of k {k}",
        "x": points[ring, 0],
        "y": points[ring, 1],
        "line": {"color": frequency_colour(k), "width": 1},
        "opacity": 0.5,
        "hoverinfo": "skip",
        "meta": {"payload": {"frequency": {"value": k}}},
    }
    dots: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": "centroids",
        "x": points[:, 0],
        "y": points[:, 1],
        "customdata": residue,
        "marker": {
            "size": 6 if scene.compact else 9,
            "color": residue,
            "cmin": 0,
            "cmax": scene.p,
            "colorscale": scene.theme.scale("cyclic"),
            "colorbar": colorbar(scene, "residue"),
            "line": {"width": 0.5, "color": scene.theme.background},
        },
        "hovertemplate": f"residue %{{customdata}}<br>PC{first} %{{x:.3f}}<br>PC{second}"
        " %{y:.3f}<extra></extra>",
        "meta": {"payload": {"frequency": {"value": k}}},
    }
    titles = [
        f"PC{number} · {float(data['explained'].sel(component=number)):.0%} of the centroids' variance"
        for number in (first, second)
    ]
    if scene.compact:
        titles = [title.replace(" of the centroids' variance", "") for title in titles]
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.08 * float((high - low).max())
    x = axis(scene, titles[0], range=[low[0] - pad, high[0] + pad])
    y = axis(scene, titles[1], range=[low[1] - pad, high[1] + pad], scaleanchor="x", scaleratio=1)
    built = layout(scene, x, y, right=44 if scene.compact else 58, top=13 if scene.compact else 16)
    share = float(energy.max() / energy.sum())
    text = f"{swatch(frequency_colour(k))} joined in the order of k = {k} · {share:.0%} of this plane"
    built["annotations"].append(above(scene, text))
    return {"data": [path, dots], "layout": built}


def _separation(source: Source) -> xr.Dataset:
    return source.artifact("representations")[[_MEASURES[source.params["measure"]][0]]]


def _draw_separation(data: xr.Dataset, scene: Scene) -> Figure:
    name, title = _MEASURES[scene.params["measure"]]
    values, epochs = data[name], data["epoch"].values
    drawn = [
        Curve(site, values.sel(site=site).values, colour)
        for site, colour in zip(SITES, scene.theme.series, strict=False)
    ]
    chance = np.full(len(epochs), 1 / scene.p)
    drawn.append(Curve("1 / p", chance, scene.theme.muted, dash="dot", label="dealt labels"))
    return curves(scene, epochs, drawn, title=title, log=True)


def _ring_quality(source: Source) -> xr.Dataset:
    found = source.artifact("representations")[["share", "ellipticity"]].sel(site=source.params["site"])
    return with_keys(source, found)


def _draw_ring_quality(data: xr.Dataset, scene: Scene) -> Figure:
    return axes_over_time(data, scene, f"centroids at {scene.params['site']}")


VIEWS = (
    View(
        name="class_centroids",
        title="Class centroids",
        group="trajectory",
        order=70,
        blurb="Mean activation of the inputs with the same right answer, on the principal components of"
        " these means at this epoch, coloured by residue. The line joins them in the order of the frequency"
        " that is strongest in this plane: a clean ring does not cross itself.",
        data=_centroids,
        draw=_draw_centroids,
        needs=("representations",),
        depends=("variant", "epoch"),
        marks=("frequency",),
        shape="square",
        parameters={"site": _SITE, "components": Parameter("1-2", ("1-2", "3-4"), "Components")},
    ),
    View(
        name="class_separation",
        title="Separation of the classes",
        group="trajectory",
        order=80,
        blurb="How far the classes lie apart against their own spread, at each site that depends on the"
        " input (the stream before attention does not). The worst pair decides whether every answer can be"
        " told. Dotted: labels dealt at random.",
        data=_separation,
        draw=_draw_separation,
        needs=("representations",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"measure": Parameter("signal to noise", tuple(_MEASURES), "Measure")},
    ),
    View(
        name="ring_quality",
        title="Centroid rings over time",
        group="trajectory",
        order=90,
        blurb="Ratio of the axes of the ellipse that each frequency draws with the class centroids, only"
        " where it stands out (twice an even share, or 1 % and ten times the median): 1 is a ring, 0 a line."
        " Coloured: the final model's frequencies; grey: others that stood out for a while.",
        data=_ring_quality,
        draw=_draw_ring_quality,
        needs=("representations", "key_frequencies"),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"site": _SITE},
    ),
)
