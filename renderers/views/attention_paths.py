"""What each head looks for and what it carries, in the Fourier basis."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    Trace,
    above,
    axis,
    end_labels,
    layout,
    line,
    message,
    note,
    swatch,
)
from renderers.heads import by_head
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_LONG_WAVES = 8  # k <= p / 8 counts as smooth


def _badges(source: Source) -> xr.Dataset:
    names = ["dominant_frequency", "dominant_fraction", "mean_attention"]
    return source.at_epoch("attention_frequencies")[names].sel(source="a")


def _draw_badges(data: xr.Dataset, scene: Scene) -> Figure:
    heads = data["head"].values
    frequency = data["dominant_frequency"].values.astype(int)
    share = data["dominant_fraction"].values.astype(float)
    traces: list[Trace] = []
    built = layout(
        scene,
        axis(scene, "share of the variance of the attention to a", range=[0.0, 1.0]),
        axis(scene, "head", range=[len(heads) - 0.5, -0.5], tickvals=heads, showgrid=False),
    )
    for head, k, height in zip(heads.tolist(), frequency.tolist(), share.tolist(), strict=True):
        payload: dict[str, Any] = {"head": {"value": head}, **({"frequency": {"value": k}} if k else {})}
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": f"head {head}",
                "x": np.array([height]),
                "y": np.array([head]),
                "width": 0.5,
                "marker": {"color": frequency_colour(k), "line": {"width": 0}},
                "hovertemplate": f"head {head}<br>k = {k}<br>share %{{x:.3f}}<extra></extra>",
                "meta": {"payload": payload},
            }
        )
        if k and np.isfinite(height):
            grain = "smooth" if _LONG_WAVES * k <= scene.p else "fine"
            text = f"{swatch(frequency_colour(k))} k = {k} · {height:.2f} · {grain}"
        else:
            text = "no frequency: the attention does not vary"
        place = {"xref": "x", "yref": "y", "x": 0.0, "y": head - 0.27, "xanchor": "left", "yanchor": "bottom"}
        font = {"size": built["font"]["size"] + 1, "color": scene.theme.text}
        built["annotations"].append(note(scene, text, **place, font=font))
    return {"data": traces, "layout": built}


def _scores(source: Source) -> xr.Dataset:
    data = source.at_epoch("query_scores")[["score", "dominant_frequency", "dominant_share", "cos", "sin"]]
    return source.select(data, "head", source.selection.head)


def _draw_scores(data: xr.Dataset, scene: Scene) -> Figure:
    score = data["score"].transpose("position", "token").values.astype(float)
    if not np.isfinite(score).all():
        return message(scene, "The scores of this head are not finite at this epoch.")
    k = int(data["dominant_frequency"])
    unwound = bool(k) and scene.params["tokens"] == "unwound"
    place = k * data["token"].values % scene.p if unwound else data["token"].values
    order = np.argsort(place)  # so that the strongest frequency makes one wave
    token, place, score = data["token"].values[order], place[order], score[:, order]
    payload: dict[str, Any] = {"frequency": {"value": k}} if k else {}
    pad = 0.06 * float(np.ptp(score)) or 1.0
    y = axis(scene, "score before the softmax", range=[float(score.min()) - pad, float(score.max()) + pad])
    x = axis(scene, f"{k} x mod {scene.p}" if unwound else "token x", range=[-0.5, scene.p - 0.5])
    traces, labels = [], []
    if k:
        wave = sum(
            float(data[name].sel(freq=k)) * turn(2 * np.pi * k * token / scene.p)
            for name, turn in (("cos", np.cos), ("sin", np.sin))
        )
        traces.append(
            line(
                place,
                score[0].mean() + wave,
                name=f"wave of k {k}",
                colour=frequency_colour(k),
                hover=f"cos and sin of k = {k} alone<br>x = %{{customdata}}<br>%{{y:.2f}}",
                payload=payload,
                customdata=token,
                width=5,
                opacity=0.35,
            )
        )
    for row, name, colour in zip(score, data["position"].values.tolist(), scene.theme.series, strict=False):
        traces.append(
            line(
                place,
                row,
                name=f"at {name}",
                colour=colour,
                hover=f"x at the place of {name}<br>x = %{{customdata}}<br>score %{{y:.3f}}",
                payload=payload,
                customdata=token,
                markers=True,
                width=0.8,
            )
        )
        labels.append(Label(float(row[-1]), f"at {name}", colour))
    built = layout(scene, x, y, right=28 if scene.compact else 36, top=13 if scene.compact else 16)
    built["annotations"] += end_labels(scene, labels, y)
    share = f"{swatch(frequency_colour(k))} k {k} · {float(data['dominant_share']):.0%} of the variance"
    text = f"head {int(data['head'])} · {share if k else 'no variation'}"
    built["annotations"].append(above(scene, text))
    return {"data": traces, "layout": built}


def _by_head(
    scene: Scene, data: xr.Dataset, values: np.ndarray, limit: float, *, unit: str, hover: str, **more: Any
) -> Figure:
    """Head (rows) by frequency, `values` [head, freq], each head's strongest frequency named beside it."""
    freqs, energy = data["freq"].values, np.nan_to_num(values)
    strongest = [(int(freqs[row.argmax()]) if row.max() > 0 else 0, float(row.max())) for row in energy]
    return by_head(
        scene, data["head"].values, freqs, values, strongest, limit=limit, unit=unit, hover=hover, **more
    )


def _spectrum(source: Source) -> xr.Dataset:
    return source.at_epoch("query_scores")[["cos", "sin"]]


def _draw_spectrum(data: xr.Dataset, scene: Scene) -> Figure:
    cos, sin = (data[name].transpose("head", "freq").values.astype(float) for name in ("cos", "sin"))
    amplitude = np.hypot(cos, sin)
    if not np.isfinite(amplitude).any():
        return message(scene, "No score is finite at this epoch.")
    return _by_head(
        scene,
        data,
        amplitude,
        float(np.nanmax(amplitude)),
        unit="amplitude of the score",
        hover="amplitude %{z:.3f}<br>cos %{customdata[0]:.3f}, sin %{customdata[1]:.3f}",
        customdata=np.stack([cos, sin], axis=2),
    )


def _paths(source: Source) -> xr.Dataset:
    return source.select(
        source.at_epoch("value_paths")[["share", "total"]], "target", source.params["target"]
    )


def _draw_paths(data: xr.Dataset, scene: Scene) -> Figure:
    share = data["share"].transpose("head", "freq").values.astype(float)
    if not np.isfinite(share).any():
        return message(scene, f"No head carries anything from the tokens to the {scene.params['target']}.")
    unit = f"share of the energy to the {scene.params['target']}"
    return _by_head(scene, data, share, 1.0, unit=unit, hover="share of the energy %{z:.3f}")


VIEWS = (
    View(
        name="head_badges",
        title="Dominant frequency per head",
        group="attention",
        order=4,
        blurb="The frequency with the largest share of each head's attention to a, at this epoch. Smooth: k"
        " is at most p / 8; that word depends on how the tokens are numbered, the share does not.",
        data=_badges,
        draw=_draw_badges,
        needs=("attention_frequencies",),
        depends=("variant", "epoch"),
        marks=("head", "frequency"),
    ),
    View(
        name="query_scores",
        title="Scores of the = query",
        group="attention",
        order=25,
        blurb="The score that the selected head's query at = gives to each token, at either place, before"
        " the softmax. The two thin curves differ by a constant only; the broad one is the strongest"
        " frequency k alone. Unwound: tokens in the order of k x mod p, where k makes one wave.",
        data=_scores,
        draw=_draw_scores,
        needs=("query_scores",),
        depends=("variant", "epoch", "head"),
        marks=("frequency",),
        parameters={"tokens": Parameter("unwound", ("unwound", "natural"), "Order of tokens")},
    ),
    View(
        name="query_spectrum",
        title="Scores of the = query by frequency",
        group="attention",
        order=30,
        blurb="Amplitude of each frequency in the score that = gives to a token, per head; hover for its"
        " cosine and sine. Scores between two number tokens never reach the output and are not shown.",
        data=_spectrum,
        draw=_draw_spectrum,
        needs=("query_scores",),
        depends=("variant", "epoch"),
        marks=("head", "frequency"),
    ),
    View(
        name="value_paths",
        title="Value paths by frequency",
        group="attention",
        order=35,
        blurb="Frequencies of the path from a number token through the head's value and output matrices to"
        " the neurons (W_E W_V W_O W_in), or straight to the logits. It is the only way from a number to the"
        " neurons at =, and is scaled by the attention.",
        data=_paths,
        draw=_draw_paths,
        needs=("value_paths",),
        depends=("variant", "epoch"),
        marks=("head", "frequency"),
        parameters={"target": Parameter("neurons", ("neurons", "logits"), "Path to")},
    ),
)
