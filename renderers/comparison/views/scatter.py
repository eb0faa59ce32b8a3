"""Any two metrics against each other, over all runs and within groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.correlation import LEAST, Correlation, spearman, spearman_within
from analyzers.comparison.scale import drawn_on_decades, scaled
from data.errors import BadParameter
from renderers.catalog import Figure
from renderers.comparison import sample
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.marks import (
    explain,
    group_colours,
    in_order,
    interval,
    key,
    number,
    p_value,
    run_points,
    value_axis,
    with_unit,
)
from renderers.figure import Trace, above, layout


def _data(cohort: Cohort) -> xr.Dataset:
    first, second = (sample.chosen(cohort, name) for name in ("x", "y"))
    by = cohort.params["within"]
    names, left = sample.runs(cohort, cohort.params["runs"])
    frame = cohort.metrics(list(dict.fromkeys([first, second]))).loc[names]
    x, y = frame[first].to_numpy(float), frame[second].to_numpy(float)
    both = np.isfinite(x) & np.isfinite(y)
    for name, one, other in zip(names, x, y, strict=True):
        lacking = [metric for metric, value in ((first, one), (second, other)) if not np.isfinite(value)]
        if lacking:
            left.append((name, f"has no {' and no '.join(dict.fromkeys(lacking))}"))
    kept = [name for name, one in zip(names, both, strict=True) if one]
    if not kept:
        raise BadParameter(f"No run has both {first!r} and {second!r}. Choose other metrics or other runs.")
    x, y = x[both], y[both]
    labels = np.array(sample.labels(cohort, by, kept))
    groups = in_order(labels.tolist())
    own = [spearman(x[labels == group], y[labels == group]) for group in groups]
    infos = [sample.metric_of(cohort, name) for name in (first, second)]
    dataset = xr.Dataset(
        {
            "x": ("variant", x),
            "y": ("variant", y),
            "label": ("variant", labels),
            "rho": ("group", [one.rho for one in own]),
            "lower": ("group", [one.lower for one in own]),
            "upper": ("group", [one.upper for one in own]),
            "runs": ("group", [one.n for one in own]),
        },
        coords={"variant": kept, "group": groups},
    )
    for axis_name, info in zip(("x", "y"), infos, strict=True):
        dataset.attrs |= {
            f"{axis_name}_title": info.title,
            f"{axis_name}_unit": info.unit,
            f"{axis_name}_definition": info.definition,
        }
    dataset.attrs |= _stated("pooled", spearman(x, y)) | _stated("within", spearman_within(x, y, labels))
    return leave_out(dataset, left)


def _stated(name: str, found: Correlation) -> dict[str, Any]:
    values = {"rho": found.rho, "lower": found.lower, "upper": found.upper, "p": found.p}
    counts = {"runs": found.n, "groups": found.groups}
    return {f"{name}_{what}": value for what, value in {**values, **counts}.items()}


def _draw(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    names = data["variant"].values.tolist()
    x, y = data["x"].values, data["y"].values
    attrs = data.attrs
    log_x, log_y = (drawn_on_decades(values) for values in (x, y))
    by = scene.params["within"]
    texts = [
        f"{scene.params['x']} {with_unit(one, attrs['x_unit'])}<br>"
        f"{scene.params['y']} {with_unit(other, attrs['y_unit'])}"
        + ("" if by == sample.ALL else f"<br>{by} {label}")
        for one, other, label in zip(x, y, data["label"].values.tolist(), strict=True)
    ]
    points = run_points(scene, names, x, y, [scene.colours[name] for name in names], texts)
    traces = [*_trends(data, scene, log_x, log_y), points]
    built = layout(
        plain,
        value_axis(scene, attrs["x_title"], x, log_x),
        value_axis(scene, attrs["y_title"], y, log_y),
        top=14 if scene.compact else 32,
    )
    explain(scene, built, "x", attrs["x_definition"])
    explain(scene, built, "y", attrs["y_definition"])
    said = [_correlation("ρ" if scene.compact else "Spearman ρ", data, "pooled", scene)]
    if attrs["within_groups"] > 1 and by != sample.ALL:
        said.append(
            _correlation(f"within {by}" if scene.compact else f"within {by}: ρ", data, "within", scene)
        )
    text = " · ".join(said) + left_out_text(left_out(data))
    built["annotations"].append(above(plain, text, x=0.0, xanchor="left"))
    if not scene.compact and key(scene):
        built["annotations"].append(above(plain, key(scene), x=0.0, xanchor="left", yshift=18))
    return {"data": traces, "layout": built}


def _trends(data: xr.Dataset, scene: CohortScene, log_x: bool, log_y: bool) -> list[Trace]:
    """A line through each group of five runs or more, by the median of pairwise slopes."""
    from scipy.stats import theilslopes

    if scene.params["within"] == sample.ALL:
        return []
    labels = dict(zip(data["variant"].values.tolist(), data["label"].values.tolist(), strict=True))
    colours = group_colours([name for name in scene.groups if name in labels], labels, scene.theme)
    same = scene.colour_by == scene.params["within"]
    traces: list[Trace] = []
    for place, group in enumerate(data["group"].values.tolist()):
        own = data["label"].values == group
        x, y = (scaled(data[name].values[own], log) for name, log in (("x", log_x), ("y", log_y)))
        if own.sum() < LEAST or np.ptp(x) == 0:
            continue
        slope, intercept, *_ = theilslopes(y, x)
        ends = np.array([x.min(), x.max()])
        height = intercept + slope * ends
        row = data.isel(group=place)
        text = (
            f"{scene.params['within']} {group}: ρ = {number(float(row['rho']))}"
            f" {interval(float(row['lower']), float(row['upper']))}, n {int(row['runs'])}<extra></extra>"
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": group,
                "x": 10**ends if log_x else ends,
                "y": 10**height if log_y else height,
                "line": {"width": 1.5, "color": colours[group] if same else scene.theme.faint},
                "hovertemplate": text,
            }
        )
    return traces


def _correlation(name: str, data: xr.Dataset, which: str, scene: CohortScene) -> str:
    rho, lower, upper, p = (data.attrs[f"{which}_{part}"] for part in ("rho", "lower", "upper", "p"))
    if not math.isfinite(rho):
        return f"{name} not defined"
    text = f"{name} = {rho:.2f}".replace("-", "\u2212")
    if math.isfinite(lower):
        text += f" [{lower:.2f}, {upper:.2f}]".replace("-", "\u2212")
    return text if scene.compact else f"{text}, {p_value(p)}, n {data.attrs[f'{which}_runs']}"


COMPARISONS = (
    Comparison(
        name="scatter",
        title="Two metrics",
        section="statistics",
        order=30,
        blurb="Every run is a mark. The correlation over all runs stands beside the one within groups,"
        " since a"
        " parameter that moves both metrics makes them go together without any link (Simpson's paradox);"
        " lines"
        " are the trends within groups of five or more.",
        data=_data,
        draw=_draw,
        parameters={
            "x": Choice("Across", sample.metric_names),
            "y": Choice("Up", sample.second_metric),
            "within": Choice("Within", sample.grouping_names),
            "runs": Choice("Runs", (sample.EVERY, sample.ROOTS)),
        },
        formula="Spearman's rho; within: ranks centred in each group, rho = sum r_x r_y / sqrt(sum r_x^2 sum"
        " r_y^2); 95 % bootstrap intervals, resampled within groups; p from permutations within groups",
        source="Spearman 1904; Simpson 1951",
        caveats="Runs that never turned have no time of the turn and are left out, which selects.",
    ),
)
