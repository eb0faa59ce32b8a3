"""Graduation: when each input was learned for good."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyzers.instruments.graduation import NEVER
from renderers.catalog import Figure, Parameter, View
from renderers.curves import epoch_curves
from renderers.figure import (
    above,
    axis,
    colorbar,
    message,
    time_figure,
)
from renderers.pairs import SPLIT_CODES, SPLIT_NAMES, pair_map, square
from renderers.source import Scene, Source

_ROOM = {True: 34, False: 48}


def _graduation_map(source: Source) -> xr.Dataset:
    return source.artifact("graduation")[["graduated", "before", "in_train", "relapses"]]


def _draw_graduation_map(data: xr.Dataset, scene: Scene) -> Figure:
    names = ("graduated", "before", "in_train", "relapses")
    graduated, before, split, relapses = (data[name].transpose("a", "b").values for name in names)
    shown = SPLIT_CODES[scene.params["inputs"]]
    kept = (graduated != NEVER) & np.isin(split, shown)
    if not kept.any():
        return message(scene, "None of these inputs is right for good by the last checkpoint.")
    values = np.where(kept, graduated, np.nan)
    texts = np.array(
        [
            f"{SPLIT_NAMES[s]} · "
            + ("never right for good" if g == NEVER else f"in ({f:,}, {g:,}]")
            + f" · {r} relapses"
            for g, f, s, r in zip(
                graduated.ravel().tolist(),
                before.ravel().tolist(),
                split.ravel().tolist(),
                relapses.ravel().tolist(),
                strict=True,
            )
        ],
        dtype=object,
    ).reshape(values.shape)
    limits = (float(values[kept].min()), float(values[kept].max()))
    look = {"limits": limits, "unit": "epoch of graduation", "format": "", "kind": "time"}
    trace = pair_map(scene, values, look, texts)
    trace["colorbar"] = {**colorbar(scene, "epoch of graduation"), "tickformat": "~s"}
    built = square(scene, 48 if scene.compact else 62)
    never = int(((graduated == NEVER) & np.isin(split, shown)).sum())
    text = f"{scene.params['inputs']} inputs · {never:,} never (blank)"
    built["annotations"].append(above(scene, text))
    return {"data": [trace], "layout": built}


def _graduation_curves(source: Source) -> xr.Dataset:
    return source.artifact("graduation")[["share"]]


def _draw_graduation_curves(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    curves = {split: data["share"].sel(split=split).values for split in ("train", "test")}
    if not any(np.isfinite(values).any() for values in curves.values()):
        return message(scene, "The split of this run is not known, so there is nothing to count.")
    traces, labels = epoch_curves(scene, epochs, curves, "graduated %{y:.1%}")
    for trace in traces:
        trace["line"]["shape"] = "hv"
    y = axis(scene, "share right for good", range=[-0.03, 1.03], tickformat=".1f")
    return time_figure(scene, epochs, traces, y, labels, right=_ROOM[scene.compact])


VIEWS = (
    View(
        name="graduation_map",
        title="Graduation map",
        group="inputs",
        order=30,
        blurb="The checkpoint from which each input stays right until the end; blank inputs are wrong at"
        " the last one. Hover gives the interval and how often it relapsed.",
        data=_graduation_map,
        draw=_draw_graduation_map,
        needs=("graduation",),
        marks=("pair",),
        shape="square",
        parameters={"inputs": Parameter("test", ("all", "train", "test"), "Inputs")},
    ),
    View(
        name="graduation_curves",
        title="Graduation curves",
        group="inputs",
        order=40,
        blurb="Share of the training and of the test inputs that are right from each checkpoint on until the"
        " end. Rising with hindsight: a relapse later takes an input out of the curve before it.",
        data=_graduation_curves,
        draw=_draw_graduation_curves,
        needs=("graduation",),
        optional=("turn",),
        marks=("epoch",),
    ),
)
