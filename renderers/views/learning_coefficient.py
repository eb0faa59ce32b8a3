"""The local learning coefficient over time, and whether it can be trusted."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import last_label
from renderers.figure import (
    Trace,
    above,
    axis,
    layout,
    line,
    log_axis,
    message,
    time_figure,
)
from renderers.source import Scene, Source

_LLC = ["llc", "llc_std", "llc_by_step", "std_by_step", "drift", "lost", "acceptance", "distance"]


def _llc(source: Source) -> xr.Dataset:
    return source.artifact("llc")[_LLC]


def _draw_llc(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, values, spread = (data[name].values for name in ("epoch", "llc", "llc_std"))
    if not np.isfinite(values).any():
        return message(scene, "No chain stayed among the numbers at any checkpoint, or no split is known.")
    first, faint = scene.theme.series[0], scene.theme.muted
    steps = data["step_size"].values
    traces: list[Trace] = []
    for index, step in enumerate(steps):
        other = data["llc_by_step"].isel(step_size=index).values
        if index != len(steps) // 2:
            traces.append(
                line(
                    epochs,
                    other,
                    name=f"step size {step:.2g}",
                    colour=faint,
                    hover=f"step size {step:.2g}<br>λ %{{y:.1f}}<br>epoch %{{x:,d}}",
                    payload={"epoch": "x"},
                    dash="dot" if index else "dash",
                    width=1.0,
                )
            )
    main = line(
        epochs,
        values,
        name="λ",
        colour=first,
        hover="λ %{y:.1f} ± %{customdata:.1f} over the chains<br>epoch %{x:,d}",
        payload={"epoch": "x"},
        customdata=spread,
        markers=True,
    )
    traces.append(main | {"error_y": {"type": "data", "array": spread, "thickness": 1.2, "width": 3}})
    seen = np.concatenate([values + np.nan_to_num(spread), values - np.nan_to_num(spread), [0.0]])
    seen = np.concatenate([seen, data["llc_by_step"].values.ravel()])
    low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
    pad = 0.05 * (high - low) or 1.0
    y = axis(scene, "λ, local learning coefficient", range=[low - pad, high + pad], zeroline=low < 0)
    labels = [
        last_label(data["llc_by_step"].isel(step_size=index).values, text, colour)
        for index, text, colour in ((0, "ε/2", faint), (1, "ε", first), (2, "2ε", faint))
    ]
    figure = time_figure(scene, epochs, traces, y, labels, right=26 if scene.compact else 34, top=14)
    warning = _warning(data, scene.compact)
    if warning:
        raised = 16 if scene.events else 2
        figure["layout"]["annotations"].append(above(scene, warning, yshift=raised))
    return figure


def _warning(data: xr.Dataset, brief: bool) -> str:
    """What one has to know before believing the numbers, in a few words."""
    values, noise = (np.atleast_1d(data[name].values) for name in ("llc", "llc_std"))
    noise = 2 * np.nan_to_num(noise)
    by_step, lost = (
        np.atleast_2d(data[name].transpose(..., "step_size").values) for name in ("llc_by_step", "lost")
    )
    checks = {
        "λ < 0: no minimum": values < -noise,
        "step sizes disagree": np.abs(by_step[:, 0] - by_step[:, -1]) > 0.25 * np.abs(values) + noise + 1,
        "chains lost": (lost > 0).any(axis=1),
    }
    count = len(values)
    if brief and count > 1:
        doubtful = int(np.any(list(checks.values()), axis=0).sum())
        return f"⚠ doubtful at {doubtful} of {count}" if doubtful else ""
    found = [
        f"{text} at {int(where.sum())} of {count}" if count > 1 else text
        for text, where in checks.items()
        if where.any()
    ]
    return ("⚠ " + "; ".join(found)) if found else ""


def _diagnostics(source: Source) -> xr.Dataset:
    return source.at_epoch("llc")


def _draw_diagnostics(data: xr.Dataset, scene: Scene) -> Figure:
    if not np.isfinite(data["llc_by_step"].values).any():
        return message(scene, "No chain stayed among the numbers at this epoch, or no split is known.")
    return {"plateau": _draw_plateau, "loss along the chains": _draw_chains}[scene.params["show"]](
        data, scene
    )


def _draw_plateau(data: xr.Dataset, scene: Scene) -> Figure:
    steps, values, spread = (data[name].values for name in ("step_size", "llc_by_step", "std_by_step"))
    trace = line(
        steps,
        values,
        name="λ",
        colour=scene.theme.series[0],
        hover="step size %{x:.2g}<br>λ %{y:.1f}<br>acceptance %{customdata:.2f}",
        payload={},
        customdata=data["acceptance"].values,
        markers=True,
    )
    trace["error_y"] = {"type": "data", "array": spread, "thickness": 1.2, "width": 4}
    trace["marker"]["size"] = 7
    seen = np.concatenate([values - np.nan_to_num(spread), values + np.nan_to_num(spread), [0.0]])
    low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
    y = axis(scene, "λ", range=[low - 0.05 * (high - low), high + 0.12 * (high - low or 1.0)])
    x = log_axis(scene, "step size ε (10⁻⁵)", steps)
    x |= {"tickvals": steps, "ticktext": [f"{step * 1e5:.3g}" for step in steps]}
    x["range"] = [x["range"][0] - 0.1, x["range"][1] + 0.1]
    built = layout(scene, x, y, top=14)
    distance = float(data["distance"].isel(step_size=len(steps) // 2))
    acceptance = float(data["acceptance"].isel(step_size=len(steps) // 2))
    drift = float(data["drift"])
    text = f"acceptance {acceptance:.2f} · distance {distance:.1f} · drift {drift:+.1f}"
    built["annotations"].append(above(scene, _warning(data, scene.compact) or text))
    return {"data": [trace], "layout": built}


def _draw_chains(data: xr.Dataset, scene: Scene) -> Figure:
    traces = data["loss_trace"].transpose("chain", "draw").values
    positive = traces[np.isfinite(traces) & (traces > 0)]
    if not positive.size:
        return message(scene, "The loss along the chains is not a number at this epoch.")
    places = (np.arange(traces.shape[1]) + 0.5) / traces.shape[1]
    drawn = [
        line(
            places,
            np.where(values > 0, values, np.nan),
            name=f"chain {number}",
            colour=colour,
            hover=f"chain {number}<br>loss %{{y:.3g}}",
            payload={},
            width=1.2,
        )
        for number, (values, colour) in enumerate(zip(traces, cycle(scene.theme.series), strict=False))
    ]
    y = log_axis(scene, "loss on the batch (nats)", np.append(positive, float(data["loss"])))
    x = axis(scene, "share of the steps (first half: burn-in)", range=[0.0, 1.0])
    built = layout(scene, x, y, top=14)
    built["annotations"].append(above(scene, f"loss at the checkpoint {float(data['loss']):.2g}"))
    return {"data": drawn, "layout": built}


VIEWS = (
    View(
        name="llc_history",
        title="Local learning coefficient",
        group="landscape",
        order=50,
        blurb="How many directions of the weights the training loss holds fixed around each checkpoint, by"
        " Langevin sampling; bars are the spread over chains. Broken lines repeat it at half and twice the"
        " step size: believe it where they agree. Comparable only at equal localisation gamma.",
        data=_llc,
        draw=_draw_llc,
        needs=("llc",),
        optional=("turn",),
        marks=("epoch",),
    ),
    View(
        name="llc_diagnostics",
        title="Learning coefficient diagnostics",
        group="landscape",
        order=60,
        blurb="Whether the estimate at this epoch can be trusted: its plateau over step sizes with the spread"
        " over chains, or the loss along the chains, which should have settled after the burn-in.",
        data=_diagnostics,
        draw=_draw_diagnostics,
        needs=("llc",),
        depends=("variant", "epoch"),
        parameters={"show": Parameter("plateau", ("plateau", "loss along the chains"), "Show")},
    ),
)
