"""How far each run is from the current variant over aligned time, whatever gauge they are written in."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from analyzers.comparison.distances import MEASURES, distances
from renderers.catalog import Figure
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.checkpoints import MODULO, short_names, time_tables
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.distance_choices import (
    CAVEATS,
    FORMULA,
    PARAMETERS,
    SOURCE,
    asked,
    initial_band,
    taking_part,
)
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.overlays import mark_landmarks, time_axis
from renderers.curves import value_axis
from renderers.figure import Label, Trace, above, end_labels, layout, line, message, swatch
from renderers.theme import translucent

_MISMATCH = 0.1  # share of the epoch by which the reference's checkpoint may be off without being marked


def _over_time(cohort: Cohort) -> xr.Dataset:
    checkpoints = taking_part(cohort)
    read = {run.name: checkpoints.describe(run, run.epochs) for run in checkpoints.runs}
    checkpoints.keep(lambda run: "" if read[run.name][0] else "no checkpoint of it can be read")
    reference = checkpoints.reference
    own_epochs, own = read[reference.name]
    own_places = reference.alignment.place(own_epochs)
    described, rows = list(own), []
    for run in checkpoints.runs:
        epochs, found = read[run.name]
        if run.name == reference.name:
            rows += [(run.name, own_epochs[i], own_epochs[i + 1], i, i + 1) for i in range(len(own) - 1)]
            continue
        first = len(described)
        described += found
        for index, (epoch, place) in enumerate(zip(epochs, run.alignment.place(epochs), strict=True)):
            nearest = np.abs(own_places - place)
            if own_places[0] <= place <= own_places[-1] and np.isfinite(nearest).any():
                to = int(np.nanargmin(nearest))
                rows.append((run.name, epoch, own_epochs[to], to, first + index))
    pairs = np.array([row[3:] for row in rows]).reshape(-1, 2)
    apart = distances(described, pairs, *asked(cohort))
    alignments = {run.name: run.alignment for run in checkpoints.runs}
    times = np.array([float(alignments[row[0]].place([row[1]])[0]) for row in rows])
    meant = reference.alignment.epoch(times)
    taken = np.array([row[2] for row in rows], dtype=np.float64)
    itself = np.array([row[0] == reference.name for row in rows], dtype=bool)
    data = xr.Dataset(
        {
            "distance": ("point", apart.value),
            "unit": ("point", apart.unit),
            "variant": ("point", np.array([row[0] for row in rows], dtype=object)),
            "epoch": ("point", np.array([row[1] for row in rows], dtype=np.int64)),
            "reference_epoch": ("point", taken.astype(np.int64)),
            "time": ("point", times),
            "late": ("point", ~itself & (np.abs(meant - taken) > _MISMATCH * np.maximum(meant, taken))),
            "null": ("bound", list(initial_band(checkpoints))),
        },
        coords={"bound": ["low", "high"], "run": [run.name for run in checkpoints.runs]},
        attrs={"reference": reference.name, "times": json.dumps(time_tables(checkpoints.runs))},
    )
    return leave_out(data, checkpoints.left)


def _draw_over_time(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    reference, names = data.attrs["reference"], data["run"].values.tolist()
    measure = scene.params["measure"]
    short = short_names(names)
    others = [name for name in names if name != reference]
    if not len(data["point"]) or not others:
        return message(plain, "No two checkpoints of these runs lie at the same aligned time.")
    low, high = data["null"].values.tolist()
    seen = np.append(data["distance"].values, [0.0, low, high])
    x = time_axis(plain, scene.align, data["time"].values)
    log = scene.params["scale"] == "logarithmic"
    y = value_axis(plain, MEASURES[measure].unit, seen, log=log)
    traces: list[Trace] = []
    labels = []
    for name in [*others, reference]:
        own = data.isel(point=np.flatnonzero(data["variant"].values == name))
        if not own.sizes["point"]:
            continue
        itself = name == reference
        colour = plain.theme.muted if itself else scene.colours[name]
        against = "itself, next checkpoint" if itself else reference
        custom = np.stack([own["epoch"], own["reference_epoch"], own["unit"]], axis=1)
        hover = (
            f"{name}<br>to {against}: %{{y:.4g}}<br>epochs %{{customdata[0]:,d}} and %{{customdata[1]:,d}}"
        )
        hover += "<br>best u = %{customdata[2]}" if scene.params["relabel"] == MODULO and not itself else ""
        curve = line(
            own["time"].values,
            own["distance"].values,
            name=name,
            colour=colour,
            hover=hover,
            payload={"variant": {"value": name}, "epoch": "customdata[0]"},
            customdata=custom,
            markers=True,
            dash="dot" if itself else "solid",
        )
        curve["meta"]["together"] = True
        curve["marker"] |= {
            "symbol": ["circle-open" if off else "circle" for off in own["late"].values.tolist()],
            "size": [7 if off else 4 for off in own["late"].values.tolist()],
            "opacity": 1,
        }
        traces.append(curve)
        if len(others) <= 8:
            text = "next checkpoint" if itself else f"{swatch(colour)} {short[name]}"
            named = colour if itself else plain.theme.text
            labels.append(Label(float(own["distance"].values[-1]), text, named))
    labels.append(Label((low + high) / 2, "two initialisations", plain.theme.muted))
    letters = max(len(label.text.split("> ")[-1]) + 2 * ("<span" in label.text) for label in labels)
    built = layout(
        plain, x, y, right=int(letters * (5.6 if scene.compact else 6.6)) + 6, top=18, hovermode="closest"
    )
    built["shapes"].append(
        {
            "type": "rect",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": low,
            "y1": high,
            "layer": "below",
            "fillcolor": translucent(plain.theme.muted, 0.16),
            "line": {"width": 1, "color": translucent(plain.theme.muted, 0.45), "dash": "dot"},
        }
    )
    built["annotations"] += end_labels(plain, labels, y)
    mark_landmarks(plain, built, scene.align)
    built["meta"] = {"times": json.loads(data.attrs["times"])}
    text = f"to {reference}, {scene.params['relabel']}{left_out_text(left_out(data))}"
    if data["late"].any() and not scene.compact:
        text += " · open: its nearest checkpoint is more than 10 % off in epochs"
    built["annotations"].append(above(plain, text, x=0.0, xanchor="left"))
    return {"data": traces, "layout": built}


DISTANCE_OVER_TIME = Comparison(
    name="distance_over_time",
    title="Distance to the current variant",
    section="geometry",
    order=20,
    blurb="How far each run is from the current variant at the same aligned time, free of gauge; the band is"
    " what two independent initialisations have, the dotted line what one checkpoint to the next changes.",
    data=_over_time,
    draw=_draw_over_time,
    parameters={**PARAMETERS, "scale": Choice("Scale", ("linear", "logarithmic"))},
    depends=("variant",),
    aligned=True,
    marks=("variant", "epoch"),
    least=2,
    formula=FORMULA,
    source=SOURCE,
    caveats=CAVEATS,
)

COMPARISONS = (DISTANCE_OVER_TIME,)
