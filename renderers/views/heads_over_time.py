"""Heads through the run: when they specialise, agree and part, and what is lost without each."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import titled
from renderers.figure import (
    Label,
    Trace,
    axis,
    framed,
    layout,
    line,
    log_axis,
    mark_events,
    message,
    note,
    swatch,
    time_axis,
)
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_EVENTS = {"agreement": "▼", "diversification": "▲"}


def _lanes(source: Source) -> xr.Dataset:
    return source.artifact("head_specialisation")


def _draw_lanes(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, heads = data["epoch"].values, data["head"].values
    frequency = data["frequency"].transpose("epoch", "head").values.astype(int)
    share = data["share"].transpose("epoch", "head").values.astype(float)
    if not np.isfinite(share).any():
        return message(scene, "No head's attention varies at any checkpoint.")
    lane = len(heads)
    traces = [
        _lane(scene, epochs, head, frequency[:, row], share[:, row])
        for row, head in enumerate(heads.tolist())
    ]
    traces.append(_together(scene, data, lane))
    y = axis(
        scene,
        "head",
        range=[lane + 0.6, -0.6],
        tickvals=[*heads.tolist(), lane],
        ticktext=[*map(str, heads.tolist()), "same k"],
        showgrid=False,
    )
    built = layout(scene, time_axis(scene, epochs), framed(y, scene), right=72 if scene.compact else 84)
    if scene.compact:
        built["margin"]["l"] += 14
    for row, head in enumerate(heads.tolist()):
        k = int(frequency[-1, row])
        text = f"{swatch(frequency_colour(k))} k {k} · {share[-1, row]:.2f}" if k else f"{share[-1, row]:.2f}"
        built["annotations"].append(note(scene, text, **_beside(head)))
    for name, sign in _EVENTS.items():
        low, high = (float(data[bound].sel(event=name)) for bound in ("lower", "upper"))
        if np.isfinite(high):
            middle = (low + high) / 2 if np.isfinite(low) else high
            early = name == "agreement" and middle > epochs[0] + 0.2 * np.ptp(epochs)
            word = "" if scene.compact else f"{name} {sign}" if early else f"{sign} {name}"
            place = {"xref": "x", "yref": "y", "x": middle, "y": lane + 0.2, "yanchor": "top"}
            side = {"xanchor": "center" if scene.compact else "right" if early else "left"}
            built["annotations"].append(note(scene, word or sign, **place, **side))
    mark_events(scene, built, rail=True)
    return {"data": traces, "layout": built}


def _beside(lane: int) -> dict[str, Any]:
    return {"yref": "y", "x": 1.0, "y": lane, "xanchor": "left", "yanchor": "middle", "xshift": 5}


def _lane(scene: Scene, epochs: np.ndarray, head: int, frequency: np.ndarray, share: np.ndarray) -> Trace:
    """One head: a mark per checkpoint, as large as the share, in the colour of its frequency."""
    k = np.where(frequency > 0, frequency, np.nan)
    largest = 11 if scene.compact else 17
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"head {head}",
        "x": epochs,
        "y": np.full(len(epochs), head),
        "customdata": np.stack([k, share], axis=1),
        "marker": {
            "symbol": "square",
            "size": 2 + largest * np.nan_to_num(share),
            "color": [frequency_colour(int(each)) for each in frequency],
            "opacity": np.where(frequency > 0, 0.95, 0.55),
            "line": {"width": 0.5, "color": scene.theme.background},
        },
        "hovertemplate": f"head {head}<br>k = %{{customdata[0]}}<br>share %{{customdata[1]:.3f}}"
        "<br>epoch %{x:,d}<extra></extra>",
        "meta": {"payload": {"epoch": "x", "head": {"value": head}, "frequency": "customdata[0]"}},
    }


def _together(scene: Scene, data: xr.Dataset, lane: int) -> Trace:
    """How many heads share the commonest frequency, as a number in its colour (from two on)."""
    count, k = data["agreement"].values.astype(int), data["agreed_frequency"].values.astype(int)
    several = count >= 2
    custom = np.stack([np.where(several, k, np.nan), data["chance"].values.astype(float), count], axis=1)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "heads with the same frequency",
        "x": data["epoch"].values,
        "y": np.full(len(count), lane),
        "customdata": custom,
        "marker": {
            "symbol": "square",
            "size": np.where(several, (3 if scene.compact else 5) * np.minimum(count, 4), 2),
            "color": [
                frequency_colour(int(each) if two else 0) for each, two in zip(k, several, strict=True)
            ],
            "line": {"width": 0},
        },
        "hovertemplate": "%{customdata[2]} heads at k = %{customdata[0]}<br>by chance with probability"
        " %{customdata[1]:.2f}<br>epoch %{x:,d}<extra></extra>",
        "meta": {"payload": {"epoch": "x", "frequency": "customdata[0]"}},
    }


def _ablation(source: Source) -> xr.Dataset:
    split = source.params["split"]
    found = source.artifact("head_ablation").sel(ablation=source.params["ablation"], split=split)
    whole = source.artifact("logits_summary")["loss"].sel(split=split)
    return found.assign(whole=whole.reindex(epoch=found["epoch"]))


def _draw_ablation(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, loss = data["epoch"].values, data["loss"].transpose("epoch", "head").values
    if not np.isfinite(loss).any():
        return message(scene, f"No loss is defined on the {scene.params['split']} inputs.")
    traces, labels = [], []
    for row, head in enumerate(data["head"].values.tolist()):
        colour = scene.theme.series[row % len(scene.theme.series)]
        traces.append(
            line(
                epochs,
                loss[:, row],
                name=f"head {head}",
                colour=colour,
                hover=f"without head {head}<br>loss %{{y:.3g}} nats<br>epoch %{{x:,d}}",
                payload={"epoch": "x", "head": {"value": head}},
                markers=True,
            )
        )
        labels.append(Label(float(loss[-1, row]), f"head {head}", colour))
    for name, word, dash in (("loss_all_heads", "no heads", "dash"), ("whole", "whole", "solid")):
        values = data[name].values
        traces.append(
            line(
                epochs,
                values,
                name=word,
                colour=scene.theme.muted,
                hover=f"{word}<br>loss %{{y:.3g}} nats<br>epoch %{{x:,d}}",
                payload={"epoch": "x"},
                dash=dash,
            )
        )
        labels.append(Label(float(values[-1]), word, scene.theme.muted))
    seen = np.concatenate([loss.ravel(), data["whole"].values, data["loss_all_heads"].values])
    y = log_axis(scene, f"{scene.params['split']} loss without the head (nats)", seen)
    return titled(scene, epochs, traces, y, labels, "")


VIEWS = (
    View(
        name="head_specialisation",
        title="Head specialisation over time",
        group="attention",
        order=40,
        blurb="One lane per head, one mark per checkpoint: its colour is the head's frequency (grey: no"
        " frequency has half of the variance yet), its size the share. The last lane shows two or more heads"
        " on one frequency; hover tells how likely that is by chance. ▼ the most heads agree for the first"
        " time, ▲ for the last.",
        data=_lanes,
        draw=_draw_lanes,
        needs=("head_specialisation",),
        optional=("turn",),
        marks=("epoch", "head", "frequency"),
    ),
    View(
        name="head_ablation",
        title="Head ablation over time",
        group="attention",
        order=50,
        blurb="Loss of the model with one head's output set to zero, or to its mean over all inputs. Heads"
        " whose curve lies on that of the whole model are not needed; those that do the same as another look"
        " so too.",
        data=_ablation,
        draw=_draw_ablation,
        needs=("head_ablation", "logits_summary"),
        optional=("turn",),
        marks=("epoch", "head"),
        parameters={
            "ablation": Parameter("mean", ("mean", "zero"), "Replaced by"),
            "split": Parameter("test", ("train", "test", "all"), "Inputs"),
        },
    ),
)
