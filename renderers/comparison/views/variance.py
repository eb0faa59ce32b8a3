"""How much of a metric's variance over runs comes with each parameter that varies."""

from __future__ import annotations

import math

import xarray as xr

from analyzers.comparison.scale import scaled, spans_decades
from analyzers.comparison.variance import variance_components
from renderers.catalog import Figure
from renderers.comparison import sample
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.comparison.marks import explain, with_unit
from renderers.figure import Trace, above, axis, layout, note


def _shares(cohort: Cohort) -> xr.Dataset:
    names, values, factors, left = sample.roots_with(cohort, sample.chosen(cohort))
    logarithmic = spans_decades(values)
    found = variance_components(scaled(values, logarithmic), factors)
    info = sample.metric_of(cohort, cohort.params["metric"])
    columns = {"variance": found.variance, "share": found.share, "lower": found.lower, "upper": found.upper}
    levels = [len(set(factors[name].tolist())) for name in factors]
    dataset = xr.Dataset(
        {**{name: ("source", column) for name, column in columns.items()}, "df": ("source", found.df)},
        coords={"source": found.sources},
        attrs={
            "runs": len(names),
            "logarithmic": int(logarithmic),
            "levels": dict(zip(factors, levels, strict=True)),
            "unit": info.unit,
            "definition": info.definition,
        },
    )
    return leave_out(dataset, left)


def _draw_shares(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain, theme = as_scene(scene), scene.theme
    sources = data["source"].values.tolist()
    traces: list[Trace] = []
    for place, source in enumerate(sources):
        own = data.isel(source=place)
        low, share, high = (100 * float(own[name]) for name in ("lower", "share", "upper"))
        if not math.isfinite(share):
            continue
        colour = theme.muted if place == len(sources) - 1 else theme.series[0]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{source} interval",
                "x": [low, high],
                "y": [place] * 2,
            }
            | {"line": {"color": colour, "width": 4}, "opacity": 0.45, "hoverinfo": "skip"}
        )
        spread = with_unit(math.sqrt(max(float(own["variance"]), 0.0)), _spread_unit(data))
        text = f"{source}: {share:.0f} % [{low:.0f}, {high:.0f}]<br>standard deviation {spread}"
        text += f", df {int(own['df'])}"
        traces.append(
            {"type": "scatter", "mode": "markers", "name": source, "x": [share], "y": [place]}
            | {"marker": {"size": 12, "color": colour}, "hovertemplate": f"{text}<extra></extra>"}
        )
    named = [
        f"{source}<br>{data.attrs['levels'][source]} values" if source in data.attrs["levels"] else source
        for source in sources
    ]
    y = axis(plain, "", range=[len(sources) - 0.4, -0.6], tickvals=list(range(len(sources))), ticktext=named)
    x = axis(
        plain,
        f"share of the variance of {_scaled_name(data, scene)} (%)"
        if not scene.compact
        else "share of the variance (%)",
        range=[-2, 102],
    )
    built = layout(plain, x, y | {"showgrid": False}, top=14, right=130 if not scene.compact else 84)
    built["margin"]["l"] += 24
    explain(scene, built, "x", data.attrs["definition"])
    for place, _ in enumerate(sources):
        own = data.isel(source=place)
        low, share, high = (100 * float(own[name]) for name in ("lower", "share", "upper"))
        text = f"{share:.0f} % [{low:.0f}, {high:.0f}]" if math.isfinite(share) else "cannot be told"
        built["annotations"].append(
            note(plain, text, x=1.0, xanchor="left", xshift=8, yref="y", y=place, yanchor="middle")
        )
    text = f"{data.attrs['runs']} roots{left_out_text(left_out(data))}"
    built["annotations"].append(above(plain, text, x=0.0, xanchor="left"))
    return {"data": traces, "layout": built}


def _spread_unit(data: xr.Dataset) -> str:
    if data.attrs["logarithmic"]:
        return "decades"
    return "epochs" if data.attrs["unit"] == "epoch" else str(data.attrs["unit"])


def _scaled_name(data: xr.Dataset, scene: CohortScene) -> str:
    metric = scene.params["metric"]
    return f"log10 of {metric}" if data.attrs["logarithmic"] else metric


COMPARISONS = (
    Comparison(
        name="variance_shares",
        title="Where the variance comes from",
        section="statistics",
        order=50,
        blurb="How much of a metric's variance over runs comes with each parameter that varies, and how much"
        " with none of them (rest: interactions and chance), with 95 % intervals.",
        data=_shares,
        draw=_draw_shares,
        parameters={"metric": Choice("Metric", sample.metric_names)},
        marks=(),
        least=4,
        formula="E SS_f / df_f = s_0^2 + c_f s_f^2 (fitting constants); share = s_f^2 / sum; intervals from"
        " generalised pivots SS_f / chi^2",
        source="Henderson 1953, method 3; Weerahandi 1993",
        caveats="Levels are taken as a sample: with four primes, the share of the prime is known badly. Roots"
        " only.",
    ),
)
