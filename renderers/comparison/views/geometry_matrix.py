"""How far apart all runs of a cohort are at one aligned time, whatever gauge they are written in."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from analyzers.comparison.distances import MEASURES, all_pairs, distances
from renderers.catalog import Figure
from renderers.comparison.catalog import Comparison
from renderers.comparison.checkpoints import MODULO, short_names
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
from renderers.figure import above, axis, font_size, heatmap, layout, message, plot_size

_WRITTEN = 10  # variants up to which the numbers stand in the cells


def _matrix(cohort: Cohort) -> xr.Dataset:
    checkpoints = taking_part(cohort)
    names, epochs, found, steps = [], [], [], []
    for run in checkpoints.runs:
        at = checkpoints.selected_epoch(run)
        saved = run.variant.epochs
        near = saved[min(saved.index(at) + 1, len(saved) - 1)]
        near = near if near != at else saved[max(saved.index(at) - 1, 0)]
        read, described = checkpoints.describe(run, [at, near] if near != at else [at])
        if read and read[0] == at:
            names.append(run.name)
            epochs.append(at)
            steps.append(
                float(distances(described, np.array([[0, 1]]), *asked(cohort)).value[0])
                if len(read) > 1
                else np.nan
            )
            found.append(described[0])
    apart = distances(found, all_pairs(len(found)), *asked(cohort))
    order = np.arange(len(names))
    if len(names) > 2 and np.isfinite(apart.value).all():
        order = leaves_list(linkage(apart.value, "average", optimal_ordering=True))
    unit = np.ones((len(names), len(names)), dtype=np.int64)
    first, second = all_pairs(len(names)).T
    unit[first, second] = apart.unit
    p = found[0].p
    unit[second, first] = [pow(int(u), -1, p) for u in apart.unit]
    low, high = initial_band(checkpoints)
    data = xr.Dataset(
        {
            "distance": (("variant", "other"), squareform(apart.value)),
            "unit": (("variant", "other"), unit),
            "epoch": ("variant", epochs),
            "next_checkpoint": ("variant", steps),
            "null": ("bound", [low, high]),
        },
        coords={"variant": names, "other": names, "bound": ["low", "high"]},
    )
    ordered = data.isel(variant=order, other=order)
    return leave_out(ordered.assign_attrs(reference=checkpoints.reference.name), checkpoints.left)


def _draw_matrix(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    names = data["variant"].values.tolist()
    if len(names) < 2:
        return message(plain, "Fewer than two of these runs have a checkpoint that can be read.")
    measure = scene.params["measure"]
    short, count = short_names(names, 14 if scene.compact else 22), len(names)
    labels = [f"{short[name]}" for name in names]
    values, unit = data["distance"].values, data["unit"].values
    epochs = data["epoch"].values
    where = np.arange(count)
    shown = np.where(np.eye(count, dtype=bool), np.nan, values)
    top = float(np.nanmax(shown)) if np.isfinite(shown).any() else 1.0
    renamed = scene.params["relabel"] == MODULO
    custom = np.empty((count, count, 3), dtype=object)
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            text = f"epochs {epochs[i]:,} and {epochs[j]:,}"
            text += f"<br>best u = {unit[i, j]}" if renamed and i != j else ""
            custom[i, j] = [row, f"{row}<br>{column}<br>{text}", column]
    cells = heatmap(
        plain,
        where,
        where,
        shown,
        unit=MEASURES[measure].unit,
        hover="%{customdata[1]}<br>distance %{z:.4g}",
        payload={"variant": "customdata[0]"},
        limits=(0.0, top),
        customdata=custom,
        xgap=1,
        ygap=1,
    )
    cells["meta"]["together"] = True
    if count <= _WRITTEN and not (scene.compact and count > 6):
        cells |= {
            "text": [[f"{v:.2g}" if np.isfinite(v) else "" for v in row] for row in shown],
            "texttemplate": "%{text}",
            "textfont": {"size": font_size(plain)},
        }
    letters = max(map(len, labels))
    room = int(min(letters * 6.6 + 10, 150))
    style = {"showgrid": False, "ticks": "", "showline": False, "range": [-0.5, count - 0.5]}
    style |= {"tickvals": where, "ticktext": labels}
    tilt = 0 if letters * 6.6 < plot_size(plain, room + 60)[0] / count else 45
    x = axis(plain, "", **style, tickangle=tilt)
    y = axis(plain, "", **{**style, "range": [count - 0.5, -0.5]})
    built = layout(plain, x, y, right=48 if scene.compact else 70, top=34 if scene.compact else 36)
    built["margin"]["l"] = room
    built["margin"]["b"] = 26 if not tilt else int(room * 0.75) + 10
    low, high = data["null"].values.tolist()
    step = float(np.nanmedian(data["next_checkpoint"])) if count else np.nan
    built["annotations"] += [
        above(
            plain, f"independent initialisations: {low:.2g} – {high:.2g}", x=0.0, xanchor="left", yshift=17
        ),
        above(
            plain,
            f"from a checkpoint to the next: {step:.2g}{left_out_text(left_out(data))}",
            x=0.0,
            xanchor="left",
        ),
    ]
    return {"data": [cells], "layout": built}


DISTANCE_MATRIX = Comparison(
    name="distance_matrix",
    title="Distances between all runs",
    section="geometry",
    order=30,
    blurb="Every pair of runs at the selected (aligned) epoch, similar runs side by side; a click takes the"
    " variant of the row.",
    data=_matrix,
    draw=_draw_matrix,
    parameters=PARAMETERS,
    depends=("variant", "epoch"),
    aligned=True,
    marks=("variant",),
    shape="square",
    least=2,
    formula=FORMULA + ". Order: leaves of average-linkage clustering",
    source=SOURCE,
    caveats=CAVEATS,
)

COMPARISONS = (DISTANCE_MATRIX,)
