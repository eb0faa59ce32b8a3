"""When neurons settled on their frequencies, and which frequencies were lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analyzers.commitment import Commitment, order_of_groups
from renderers.catalog import Figure, Parameter, View
from renderers.distributions import neuron_points, spaced
from renderers.figure import above, axis, cell_range, framed, heatmap, layout, mark_events, message, time_axis
from renderers.source import Scene
from renderers.views.neuron_history import THRESHOLD, found_at, measured


def _draw_commitment(data: xr.Dataset, scene: Scene) -> Figure:
    found, epochs = found_at(data, scene), data["epoch"].values
    settled = np.flatnonzero(found.final > 0)
    if not len(settled):
        return message(scene, "No neuron holds a frequency at the last checkpoint.")
    neurons, final, by_k = data["neuron"].values, found.final[settled], scene.params["against"] == "frequency"
    keys = np.unique(final)
    values = np.searchsorted(keys, final) if by_k else found.switch_count[settled]
    traces = [
        neuron_points(
            scene,
            found.epoch[settled],
            values + spaced(settled, 0.35),
            neurons[settled],
            final,
            "k = %{customdata[1]}<br>settled by epoch %{x:,d}, after %{customdata[2]:,d}",
            {"neuron": "customdata[0]", "epoch": "x", "frequency": "customdata[1]"},
            extra=np.nan_to_num(found.lower[settled]),
        )
    ]
    if by_k:
        y = _key_axis(scene, keys)
        traces.append(_medians(scene, found, keys))
    else:
        y = axis(scene, "switches of frequency", range=[-0.6, max(values.max(), 1) + 0.6], dtick=1)
    built = layout(scene, time_axis(scene, epochs), y, top=14 if scene.compact else 16)
    text = _order_text(found, scene) if by_k else _left_text(found, scene)
    free = built["margin"]["t"]
    mark_events(scene, built)
    raised = built["margin"]["t"] - free + 6 if scene.events else 2  # above the names of the events
    built["annotations"].append(above(scene, text, x=0.0, xanchor="left", yshift=raised))
    return {"data": traces, "layout": built}


def _key_axis(scene: Scene, keys: np.ndarray) -> dict[str, Any]:
    """One row per frequency, in the order of k."""
    shown = np.arange(0, len(keys), -(-len(keys) // (12 if scene.compact else 26)))
    return axis(
        scene,
        "final frequency k",
        range=[-0.6, len(keys) - 0.4],
        tickmode="array",
        tickvals=shown,
        ticktext=[str(k) for k in keys[shown].tolist()],
    )


def _medians(scene: Scene, found: Commitment, keys: np.ndarray) -> dict[str, Any]:
    """A bar at the median commitment of each frequency's neurons, which the correlation is made from."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "median",
        "x": np.array([np.median(found.epoch[found.final == k]) for k in keys]),
        "y": np.arange(len(keys), dtype=float),
        "marker": {
            "symbol": "line-ns",
            "size": 16 if scene.compact else 26,
            "line": {"width": 2, "color": scene.theme.text},
        },
        "customdata": keys,
        "hovertemplate": "k = %{customdata}<br>median %{x:,.0f}<extra></extra>",
    }


def _order_text(found: Commitment, scene: Scene) -> str:
    order = order_of_groups(found)
    if not np.isfinite(order.rho):
        few = order.groups < 3
        return f"{'too few frequencies' if few else 'all settled at once'}: no rank correlation"
    if scene.compact:
        return f"low first? ρ = {order.rho:+.2f}, p = {order.p_value:.2f} ({order.groups} groups)"
    return (
        f"low before high? ρ = {order.rho:+.2f} over {order.groups} frequencies, p = {order.p_value:.2f}"
        f" (labels permuted; least possible {order.least:.2g})"
    )


def _left_text(found: Commitment, scene: Scene) -> str:
    homeless, none = int(found.homeless.sum()), int((found.final == 0).sum())
    if scene.compact:
        return f"{none} without a frequency, {homeless} homeless"
    return f"{none} neurons hold none at the end; {homeless} of them lost one that died out (homeless)"


def _draw_lives(data: xr.Dataset, scene: Scene) -> Figure:
    found, epochs = found_at(data, scene), data["epoch"].values
    columns = np.flatnonzero(found.peak >= found.least)
    if not len(columns):
        return message(scene, f"No frequency is ever held by {found.least} neurons or more.")
    names = [f"{k} †" if found.transient[k - 1] else f"{k}" for k in (columns + 1).tolist()]
    counts = found.count[:, columns].T.astype(float)
    trace = heatmap(
        scene,
        epochs,
        np.arange(len(columns)),
        np.where(counts > 0, counts, np.nan),
        unit="neurons",
        hover="k = %{customdata}<br>%{z} neurons<br>epoch %{x:,d}",
        payload={"epoch": "x", "frequency": "customdata"},
        limits=(0.0, float(counts.max())),
        customdata=np.broadcast_to((columns + 1)[:, None], counts.shape),
    )
    step = -(-len(columns) // (12 if scene.compact else 26))
    ticks = np.arange(0, len(columns), step)
    y = axis(
        scene,
        "frequency k († lost)",
        range=[-0.5, len(columns) - 0.5],
        tickmode="array",
        tickvals=ticks,
        ticktext=[names[tick] for tick in ticks],
    )
    x = framed({**time_axis(scene, epochs), "range": cell_range(epochs)}, scene)
    built = layout(scene, x, framed(y, scene), right=48 if scene.compact else 62)
    mark_events(scene, built, rail=True)
    return {"data": [trace], "layout": built}


VIEWS = (
    View(
        name="neuron_commitment",
        title="Commitment epochs",
        group="neurons",
        order=24,
        blurb="The first checkpoint from which each neuron keeps its final frequency, against that"
        " frequency or against how often it switched before. Do low frequencies come first? The rank"
        " correlation answers with a permutation p-value; low and high are labels of the tokens.",
        data=measured,
        draw=_draw_commitment,
        needs=("neuron_frequencies",),
        optional=("turn",),
        formula="commitment = the first checkpoint from which the dominant frequency, with at least the"
        " threshold's share, never changes; rho = Spearman's correlation of k with the median commitment of"
        " its neurons, labels of frequencies permuted",
        source="Definition of this workbench (analyzer neuron_commitment)",
        marks=("neuron", "epoch", "frequency"),
        parameters={
            "threshold": THRESHOLD,
            "against": Parameter("frequency", ("frequency", "switches"), "Against"),
        },
    ),
    View(
        name="frequency_lives",
        title="Frequencies gained and lost",
        group="neurons",
        order=26,
        blurb="Every frequency that enough neurons ever held, with their number at each checkpoint; a"
        " dagger marks those that were lost again (transient).",
        data=measured,
        draw=_draw_lives,
        needs=("neuron_frequencies",),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"threshold": THRESHOLD},
    ),
)
