"""What the logits and the map that writes them are made of: waves, blocks, ranks, sparsity."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import Curve, curves, value_axis
from renderers.figure import above, frequency_axis, history_heatmap, layout, message, swatch
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_CLEAN = 0.05  # sum directions within that of their blocks


def _fit(source: Source) -> xr.Dataset:
    return source.artifact("logit_fit")[["fve"]]


def _draw_fit(data: xr.Dataset, scene: Scene) -> Figure:
    names = {"double_centred": "centred", "raw": "raw"}
    drawn = [
        Curve(label, data["fve"].sel(centring=name).values, colour, dash=dash)
        for (name, label), colour, dash in zip(
            names.items(), scene.theme.series, ("solid", "dash"), strict=False
        )
    ]
    text = "Σ α cos w(a + b − c) over all k; centred: mean of every input and class removed"
    return curves(
        scene,
        data["epoch"].values,
        drawn,
        title="share of the logits' variance",
        limits=(0.0, 1.0),
        text=text,
        digits=".3f",
    )


def _waves(source: Source) -> xr.Dataset:
    return source.artifact("logit_fit")[["alpha"]]


def _draw_waves(data: xr.Dataset, scene: Scene) -> Figure:
    alpha = data["alpha"].transpose("epoch", "freq").values
    if not np.isfinite(alpha).any():
        return message(scene, "No coefficient is defined at any checkpoint.")
    largest = float(np.nanmax(np.abs(alpha)))
    limits = (-largest, largest)
    return history_heatmap(
        scene, data["epoch"].values, alpha, unit="α (logit)", limits=limits, kind="diverging"
    )


_SHARES = {"2 × 2 blocks": "block_share", "a + b": "sum_share", "a − b": "difference_share"}


def _blocks(source: Source) -> xr.Dataset:
    return source.artifact("logit_fit")[list(_SHARES.values())]


def _draw_blocks(data: xr.Dataset, scene: Scene) -> Figure:
    colours = (scene.theme.muted, scene.theme.series[0], scene.theme.series[1])
    drawn = [
        Curve(name, data[variable].values, colour, dash="dot" if variable == "block_share" else "solid")
        for (name, variable), colour in zip(_SHARES.items(), colours, strict=True)
    ]
    return curves(
        scene,
        data["epoch"].values,
        drawn,
        title="share of the centred logits",
        limits=(0.0, 1.0),
        text=_verdict(data),
        digits=".3f",
    )


def _verdict(data: xr.Dataset) -> str:
    """What the blocks of the key frequencies hold at the last checkpoint, in one sentence."""
    last = data.isel(epoch=-1)
    block, along, across = (float(last[name]) for name in _SHARES.values())
    if not np.isfinite(block):
        return ""
    found = f"at the end: 2 × 2 blocks {block:.0%}, waves of a + b {along:.0%}"
    if across > _CLEAN * block:
        return f"{found}: not clean, {across:.0%} are waves of a − b"
    return f"{found}: little else in the blocks"


def _contents(source: Source) -> xr.Dataset:
    return source.at_epoch("logit_fit")[["sum_content", "difference_content"]]


def _draw_contents(data: xr.Dataset, scene: Scene) -> Figure:
    freqs = data["freq"].values
    parts = {"a + b": data["sum_content"].values, "a − b": data["difference_content"].values}
    whole = np.sum(list(parts.values()), axis=0)
    if not np.isfinite(whole).any():
        return message(scene, "The logits do not vary at this epoch.")
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": freqs,
            "y": values,
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": f"k = %{{x}}, waves of {name}<br>share %{{y:.3f}}<extra></extra>",
            "meta": {"payload": {"frequency": "x"}},
        }
        for (name, values), colour in zip(parts.items(), scene.theme.series, strict=False)
    ]
    y = value_axis(scene, "share of the centred logits", whole, limits=(0.0, float(np.nanmax(whole))))
    y["range"][0] = 0.0
    built = layout(scene, frequency_axis(scene, len(freqs)), y, top=14, bargap=0.25, barmode="stack")
    keys = " ".join(
        f"{swatch(colour)} {name}" for name, colour in zip(parts, scene.theme.series, strict=False)
    )
    built["annotations"].append(above(scene, f"{keys}   together {float(np.nansum(whole)):.1%}"))
    return {"data": traces, "layout": built}


_SPLIT = Parameter("all", ("all", "train", "test"), "Inputs")


def _ablation(source: Source) -> xr.Dataset:
    return source.at_epoch("frequency_ablation").sel(split=source.params["split"])


def _draw_ablation(data: xr.Dataset, scene: Scene) -> Figure:
    data = data.isel(freq=np.flatnonzero(np.isfinite(data["loss"].values)))
    ks, values, model = data["freq"].values, data["loss"].values, float(data["model_loss"])
    if not len(ks):
        return message(scene, "No frequency was ablated at this epoch.")
    places = np.arange(len(ks))
    low, mean, high = (data[f"null_{part}"].values for part in ("low", "mean", "high"))
    bars = {
        "type": "bar",
        "name": "without k",
        "x": places,
        "y": values,
        "customdata": ks,
        "marker": {"color": [frequency_colour(int(k)) for k in ks], "line": {"width": 0}},
        "hovertemplate": "without k = %{customdata}<br>loss %{y:.3g}<extra></extra>",
        "meta": {"payload": {"frequency": "customdata"}},
    }
    null = {
        "type": "scatter",
        "mode": "markers",
        "name": "as much at random",
        "x": places,
        "y": mean,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": high - mean,
            "arrayminus": mean - low,
            "color": scene.theme.text,
            "thickness": 1.4,
            "width": 5,
        },
        "marker": {"size": 7, "symbol": "line-ew", "line": {"width": 1.6, "color": scene.theme.text}},
        "hovertemplate": "as much removed at random<br>loss %{y:.3g}<extra></extra>",
    }
    ends = np.array([-0.5, len(ks) - 0.5])
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "model",
        "x": ends,
        "y": np.array([model, model]),
        "line": {"color": scene.theme.muted, "width": 1.2, "dash": "dot"},
        "hoverinfo": "skip",
    }
    seen = np.concatenate([values, low, high, [model]])
    y = value_axis(scene, "cross-entropy (nats)", seen, log=True)
    x = frequency_axis(scene, len(ks), range=ends.tolist(), tickvals=places, ticktext=[str(k) for k in ks])
    x["title"]["text"] = "frequency k that is removed"
    built = layout(scene, x, y, top=14, bargap=0.45)
    built["annotations"].append(
        above(scene, f"⊢⊣ as much at random (all inputs) · dotted: model {model:.3g}")
    )
    return {"data": [bars, null, line], "layout": built}


def _substitution(source: Source) -> xr.Dataset:
    return source.artifact("polynomial_substitution").sel(split=source.params["split"])


def _draw_substitution(data: xr.Dataset, scene: Scene) -> Figure:
    drawn = [
        Curve("specialised", data["ratio"].values, scene.theme.series[0]),
        Curve("random", data["null_ratio"].values, scene.theme.muted, dash="dot"),
    ]
    count = int(data["substituted"].values[-1])
    return curves(
        scene,
        data["epoch"].values,
        drawn,
        title=f"loss after / before, {scene.params['split']}",
        log=True,
        text=f"{count} neurons replaced at the last checkpoint; random: as many live ones",
        nothing="No neuron is specialised at any checkpoint, so none was replaced.",
    )


VIEWS = (
    View(
        name="logit_fit",
        title="Logit variance explained",
        group="progress",
        order=40,
        blurb="Share of the variance of all logits that waves of a + b − c explain. A constant per input"
        " changes no answer but can be a third of the raw variance, so read the centred curve.",
        data=_fit,
        draw=_draw_fit,
        needs=("logit_fit",),
        optional=("turn",),
        marks=("epoch",),
    ),
    View(
        name="logit_waves",
        title="Trigonometric coefficients",
        group="progress",
        order=42,
        blurb="The coefficient α of cos 2πk(a + b − c)/p in the logits, for every frequency and checkpoint."
        " Positive favours the right class.",
        data=_waves,
        draw=_draw_waves,
        needs=("logit_fit",),
        optional=("turn",),
        marks=("epoch", "frequency"),
    ),
    View(
        name="logit_blocks",
        title="Sum and difference waves over time",
        group="progress",
        order=44,
        blurb="What the 2 × 2 blocks of the key frequencies hold of the centred logits, and how it divides"
        " into waves of a + b, which answer the question, and waves of a − b, which do not. Accuracy is not"
        " cleanness: a model can be right while a third of its blocks is waves of a − b.",
        data=_blocks,
        draw=_draw_blocks,
        needs=("logit_fit",),
        optional=("turn",),
        marks=("epoch",),
    ),
    View(
        name="logit_contents",
        title="Sum and difference waves by frequency",
        group="progress",
        order=46,
        blurb="Share of the centred logits at this epoch in the waves of a + b and of a − b, frequency by"
        " frequency. Products of two different frequencies are in no bar.",
        data=_contents,
        draw=_draw_contents,
        needs=("logit_fit",),
        depends=("variant", "epoch"),
        marks=("frequency",),
    ),
    View(
        name="frequency_ablation",
        title="Frequency ablation",
        group="progress",
        order=50,
        blurb="Loss at this epoch when one frequency is taken out of all neurons, for the key frequencies"
        " and those with the most neurons. The whiskers show the loss when as much is removed from every"
        " neuron at the wrong inputs: only a bar apart from them speaks of the frequency itself.",
        data=_ablation,
        draw=_draw_ablation,
        needs=("frequency_ablation",),
        depends=("variant", "epoch"),
        marks=("frequency",),
        parameters={"split": _SPLIT},
    ),
    View(
        name="polynomial_substitution",
        title="Polynomial substitution",
        group="progress",
        order=52,
        blurb="Loss when every specialised neuron is replaced by its mean and the block of its frequency,"
        " over the model's loss. Near 1: what is left out does not matter. The dotted line replaces as many"
        " live neurons at random.",
        data=_substitution,
        draw=_draw_substitution,
        needs=("polynomial_substitution",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"split": _SPLIT},
    ),
)
