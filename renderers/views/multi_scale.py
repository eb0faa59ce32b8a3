"""Structure at several scales: maps of neurons and heads, coarse or fine."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.distributions import (
    frequency_key,
    neuron_points,
    null_band,
    null_label,
    quantile_band,
    quantiles,
)
from renderers.figure import Label, axis, layout, line, message, swatch, time_figure
from renderers.source import Scene, Source

_TITLES = {
    "low_frequency_ratio": "low-frequency share (no DC)",
    "variance_preserved": "variance kept at 14 × 14",
    "variance_preserved_area": "variance kept, area-averaged",
    "gradient": "gradient / standard deviation",
}
_METRIC = Parameter("low_frequency_ratio", tuple(_TITLES), "Measure")


def _relative(gradient: xr.DataArray, variance: xr.DataArray) -> xr.DataArray:
    """Gradient per standard deviation of the map: comparable between maps; NaN for a constant one."""
    return (gradient / np.sqrt(variance)).where(variance > 0)


def _neurons(source: Source) -> xr.Dataset:
    measured = source.at_epoch("neuron_frequencies")
    scales = source.at_epoch("multi_scale")
    gradient = scales["gradient"]
    if source.params["gradient"] == "relative":
        gradient = _relative(gradient, measured["variance"])
    return xr.Dataset(
        {
            "ratio": scales["low_frequency_ratio"],
            "gradient": gradient,
            "frequency": measured["dominant_frequency"],
        }
    )


def _draw_scatter(data: xr.Dataset, scene: Scene) -> Figure:
    x, y_values = (data[name].values.astype(float) for name in ("ratio", "gradient"))
    k = data["frequency"].values
    known = np.isfinite(x) & np.isfinite(y_values) & (k > 0)
    if not known.any():
        return message(scene, "No neuron varies over the inputs at this epoch.")
    relative = scene.params["gradient"] == "relative"
    trace = neuron_points(
        scene,
        x[known],
        y_values[known],
        data["neuron"].values[known],
        k[known],
        "k = %{customdata[1]}<br>low-frequency share %{x:.3f}<br>gradient %{y:.3f}",
    )
    axis_x = axis(scene, _TITLES["low_frequency_ratio"], range=[-0.03, 1.03])
    title = _TITLES["gradient"] if relative else "gradient (activation)"
    axis_y = axis(scene, title, rangemode="tozero")
    built = layout(scene, axis_x, axis_y, top=14 if scene.compact else 18)
    built["annotations"].append(frequency_key(scene, k[known]))
    return {"data": [trace], "layout": built}


def _over_time(source: Source) -> xr.Dataset:
    metric = source.params["measure"]
    values, variance = (
        source.artifact("multi_scale")[metric],
        source.artifact("neuron_frequencies")["variance"],
    )
    if metric == "gradient":
        values = _relative(values, variance)
    null = source.artifact("multi_scale_null")["quantiles"].sel(owner="neurons", metric=metric)
    return xr.Dataset({"value": values, "null": null.reset_coords(drop=True)})


def _draw_over_time(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    values = data["value"].transpose("epoch", "neuron").values.astype(float)
    if not np.isfinite(values).any():
        return message(scene, "No neuron varies over the inputs at any checkpoint.")
    title = _TITLES[scene.params["measure"]]
    traces = quantile_band(epochs, values, name=title, colour=scene.theme.series[0])
    low, high = (float(data["null"].sel(level=level)) for level in (0.05, 0.95))
    labels = [null_label(scene, low, high, "random")]
    last = float(quantiles(values[-1:], (0.5,))[0, 0])
    labels.append(Label(last, "median", scene.theme.text))
    figure = time_figure(
        scene, epochs, traces, _range(scene, title, values, high), labels, right=50 if scene.compact else 60
    )
    null_band(scene, figure, low, high)
    return figure


def _range(scene: Scene, title: str, values: np.ndarray, null: float) -> dict:
    """The axis of a measure that is a share, or of the gradient."""
    most = 1.0
    if scene.params["measure"] == "gradient":
        most = max(float(np.nanquantile(values, 0.97)), null if np.isfinite(null) else 0.0)
    return axis(scene, title, range=[-0.03 * most, 1.04 * most])


def _heads(source: Source) -> xr.Dataset:
    metric, of = source.params["measure"], source.params["source"]
    values = source.artifact("multi_scale")[f"head_{metric}"].sel(source=of)
    measured = source.artifact("attention_frequencies").sel(source=of)
    if metric == "gradient":
        values = _relative(values, measured["variance"])
    null = source.artifact("multi_scale_null")["quantiles"].sel(owner="heads", metric=metric)
    return xr.Dataset(
        {
            "value": values.reset_coords(drop=True),
            "frequency": measured["dominant_frequency"].reset_coords(drop=True),
            "null": null.reset_coords(drop=True),
        }
    )


def _draw_heads(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, heads = data["epoch"].values, data["head"].values
    values = data["value"].transpose("epoch", "head").values.astype(float)
    if not np.isfinite(values).any():
        return message(scene, "No head varies over the inputs at any checkpoint.")
    title, k = _TITLES[scene.params["measure"]], data["frequency"].transpose("epoch", "head").values
    traces, labels = [], []
    for column, head in enumerate(heads.tolist()):
        colour = scene.theme.series[column % len(scene.theme.series)]
        traces.append(
            line(
                epochs,
                values[:, column],
                name=f"head {head}",
                colour=colour,
                hover=f"head {head}, k = %{{customdata}}<br>{title} %{{y:.3f}}<br>epoch %{{x:,d}}",
                payload={"epoch": "x", "head": {"value": head}},
                customdata=k[:, column],
                markers=True,
            )
        )
        text = f"{swatch(colour)} head {head} · k {k[-1, column]}"
        labels.append(Label(float(values[-1, column]), text, scene.theme.text))
    low, high = (float(data["null"].sel(level=level)) for level in (0.05, 0.95))
    labels.append(null_label(scene, low, high, "random"))
    figure = time_figure(
        scene, epochs, traces, _range(scene, title, values, high), labels, right=88 if scene.compact else 106
    )
    null_band(scene, figure, low, high)
    return figure


def _ablation(source: Source) -> xr.Dataset:
    ablated = source.artifact("head_ablation")["loss"]
    chosen = {"ablation": source.params["ablation"], "split": "all"}
    intact = source.artifact("logits_summary")["loss"].sel(split="all")
    scales = source.artifact("multi_scale").sel(source="a")
    return xr.Dataset(
        {
            "ratio": scales["head_low_frequency_ratio"].reset_coords(drop=True),
            "gradient": scales["head_gradient"].reset_coords(drop=True),
            "rise": (ablated.sel(chosen) - intact).reset_coords(drop=True),
        }
    ).dropna("epoch", how="all")


def _draw_ablation(data: xr.Dataset, scene: Scene) -> Figure:
    x = data[scene.params["scale"]].transpose("epoch", "head").values.astype(float)
    rise = data["rise"].transpose("epoch", "head").values.astype(float)
    known = np.isfinite(x) & np.isfinite(rise)
    if not known.any():
        return message(scene, "No head varies over the inputs at any checkpoint.")
    epochs, heads = data["epoch"].values, data["head"].values
    traces = []
    high = max(float(rise[known].max()), 0.0) or 1.0
    low = min(float(rise[known].min()), 0.0)
    y = axis(scene, "rise of the loss without the head (nats)", range=[low - 0.05 * high, 1.1 * high])
    titles = {"ratio": _TITLES["low_frequency_ratio"], "gradient": "gradient (probability)"}
    built = layout(scene, axis(scene, titles[scene.params["scale"]]), y)
    for column, head in enumerate(heads.tolist()):
        colour = scene.theme.series[column % len(scene.theme.series)]
        sizes = np.linspace(3, 9, len(epochs)) if scene.compact else np.linspace(4, 12, len(epochs))
        trace = line(
            x[:, column],
            rise[:, column],
            name=f"head {head}",
            colour=colour,
            width=0.8,
            hover=f"head {head}, epoch %{{customdata:,d}}<br>scale %{{x:.3f}}<br>rise %{{y:.3g}} nats",
            payload={"head": {"value": head}, "epoch": "customdata"},
            customdata=epochs,
            markers=True,
        )
        traces.append({**trace, "marker": {"size": sizes, "color": colour}})
        built["annotations"].append(
            {
                "text": f"{swatch(colour)} head {head}",
                "showarrow": False,
                "xref": "x",
                "yref": "y",
                "x": float(np.nan_to_num(x[-1, column])),
                "y": float(np.nan_to_num(rise[-1, column])),
                "yshift": 12,
                "font": {"size": 10 if scene.compact else 12, "color": scene.theme.text},
            }
        )
    return {"data": traces, "layout": built}


_LABELS = " Which frequencies are coarse depends on the names of the tokens."

VIEWS = (
    View(
        name="multi_scale",
        title="Coarseness of neuron maps",
        group="neurons",
        order=60,
        blurb="Coarse or fine, smooth or jagged: each neuron's share of variance at low frequencies against"
        f" its mean step between neighbouring inputs. Neurons of one frequency form one cluster.{_LABELS}",
        data=_neurons,
        draw=_draw_scatter,
        needs=("multi_scale", "neuron_frequencies"),
        depends=("variant", "epoch"),
        marks=("neuron", "frequency"),
        parameters={"gradient": Parameter("relative", ("relative", "raw"), "Gradient")},
    ),
    View(
        name="multi_scale_history",
        title="Coarseness of neurons over time",
        group="neurons",
        order=62,
        blurb="Is there structure at several scales at initialisation? Median, middle half and middle 90 %"
        " of the neurons, with the middle 90 % of random weights in grey. A bilinear reduction keeps high"
        f" frequencies as aliases, averaging areas does not.{_LABELS}",
        data=_over_time,
        draw=_draw_over_time,
        needs=("multi_scale", "multi_scale_null", "neuron_frequencies"),
        optional=("turn",),
        marks=("epoch",),
        parameters={"measure": _METRIC},
    ),
    View(
        name="multi_scale_heads",
        title="Coarseness of heads over time",
        group="attention",
        order=42,
        blurb="How coarse the attention map of each head is, with its frequency at the end; in grey the"
        f" middle 90 % of random weights.{_LABELS}",
        data=_heads,
        draw=_draw_heads,
        needs=("multi_scale", "multi_scale_null", "attention_frequencies"),
        optional=("turn",),
        marks=("epoch", "head"),
        parameters={
            "measure": _METRIC,
            "source": Parameter("a", ("a", "b"), "Attention to"),
        },
    ),
    View(
        name="scale_and_role",
        title="Head coarseness and ablation",
        group="attention",
        order=55,
        blurb="The rise of the loss on all inputs when a head is replaced by its mean, or by zero, against"
        f" the scale of its attention to a; one line per head, dots grow with the epoch.{_LABELS}",
        data=_ablation,
        draw=_draw_ablation,
        needs=("multi_scale", "head_ablation", "logits_summary"),
        marks=("head", "epoch"),
        parameters={
            "ablation": Parameter("mean", ("mean", "zero"), "Replaced by"),
            "scale": Parameter("ratio", ("ratio", "gradient"), "Scale"),
        },
    ),
)
