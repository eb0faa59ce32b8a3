"""How few directions and frequencies the weights use, and how large they are."""

from __future__ import annotations

import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import Band, Curve, curves
from renderers.matrices import matrix_colour
from renderers.source import Scene, Source


def _gini(source: Source) -> xr.Dataset:
    return source.artifact("gini").sel(per=source.params["per"])


def _draw_gini(data: xr.Dataset, scene: Scene) -> Figure:
    drawn, bands = [], []
    for matrix in ("W_E", "W_L"):
        own, colour = data.sel(matrix=matrix), matrix_colour(scene, matrix)
        drawn.append(Curve(matrix, own["gini"].values, colour))
        bands.append(Band(own["null_low"].values, own["null_high"].values, colour))
    title = f"Gini coefficient per {scene.params['per']}"
    text = "bands: Gaussian weights of the same shapes, 5 % to 95 %"
    return curves(
        scene,
        data["epoch"].values,
        drawn,
        title=title,
        limits=(0.0, 1.0),
        bands=bands,
        text=text,
        digits=".3f",
    )


def _rank(source: Source) -> xr.Dataset:
    return source.artifact("neuron_logit_map")[["rank", "key_directions", "residual", "residual_null"]]


def _draw_rank(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    if scene.params["quantity"] == "residual":
        own = data.sel(centring="centred")
        drawn = [
            Curve("residual", own["residual"].values, scene.theme.series[0]),
            Curve("random W_L", own["residual_null"].values, scene.theme.muted, dash="dot"),
        ]
        title = "share of the norm of W_L"
        text = "outside the cosines and sines of the key frequencies, class mean removed"
        return curves(scene, epochs, drawn, title=title, limits=(0.0, 1.0), text=text, digits=".3f")
    ranks = data["rank"].where(data["rank"] > 0)
    drawn = [
        Curve(f"{share:.1%}".replace(".0%", "%"), ranks.sel(share=share).values.astype(float), colour)
        for share, colour in zip(data["share"].values.tolist(), scene.theme.series, strict=False)
    ]
    needed = data["key_directions"].values.astype(float)
    drawn.append(Curve("2 |K*|", needed, scene.theme.muted, dash="dot"))
    text = "singular directions that hold so much of the energy of W_L"
    return curves(scene, epochs, drawn, title="directions", log=False, text=text, digits="d")


_NORMS = {"norm": "norm of the tensor", "rms": "root mean square per entry", "total": "sum of squares"}


def _norms(source: Source) -> xr.Dataset:
    return source.artifact("weight_norms")


def _draw_norms(data: xr.Dataset, scene: Scene) -> Figure:
    quantity, theme = scene.params["quantity"], scene.theme
    if quantity == "total":
        drawn = [Curve("Σ w²", data["total"].values ** 2, theme.series[0])]
    else:
        values = data[quantity].transpose("epoch", "tensor").values
        drawn = [
            Curve(name, values[:, index], matrix_colour(scene, name))
            for index, name in enumerate(data["tensor"].values.tolist())
        ]
    return curves(scene, data["epoch"].values, drawn, title=f"{_NORMS[quantity]} (weights)", digits=".4g")


VIEWS = (
    View(
        name="gini",
        title="Gini coefficients",
        group="progress",
        order=30,
        blurb="How unequally the embedding (W_E) and the neuron-logit map (W_L) are spread over the Fourier"
        " components: 0 is even, 1 is one component. It rises as few frequencies take over; the bands show"
        " what random weights have.",
        data=_gini,
        draw=_draw_gini,
        needs=("gini",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"per": Parameter("frequency", ("frequency", "component"), "Norms per")},
    ),
    View(
        name="neuron_logit_rank",
        title="Rank of the neuron-logit map",
        group="progress",
        order=60,
        blurb="How many directions hold 90, 99 and 99.9 % of the energy of W_out W_U, against the 2 |K*|"
        " that a clean solution needs; or how much of it lies outside the key frequencies, beside what a"
        " random map has.",
        data=_rank,
        draw=_draw_rank,
        needs=("neuron_logit_map",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"quantity": Parameter("rank", ("rank", "residual"), "Quantity")},
    ),
    View(
        name="weight_norms",
        title="Weight norms",
        group="run",
        order=6,
        blurb="Size of every weight tensor at each checkpoint, or of all together: the sum of squares is"
        " what weight decay shrinks, and it falls when the memorised part is cleaned up.",
        data=_norms,
        draw=_draw_norms,
        needs=("weight_norms",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"quantity": Parameter("norm", tuple(_NORMS), "Quantity")},
    ),
)
