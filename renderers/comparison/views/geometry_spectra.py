"""Frequencies under other names of the tokens, and singular values, of several runs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyzers.comparison import nulls
from analyzers.comparison.distances import ALL, distances, power_shares
from analyzers.comparison.gauge import SPECTRA, TOKEN_MATRICES
from analyzers.comparison.relabelling import renamed_power
from renderers.catalog import Figure
from renderers.comparison.catalog import Choice, Comparison
from renderers.comparison.checkpoints import Checkpoints, short_names
from renderers.comparison.cohort import Cohort, CohortScene, leave_out, left_out
from renderers.comparison.drawing import as_scene, left_out_text
from renderers.figure import (
    Label,
    above,
    axis,
    end_labels,
    font_size,
    framed,
    frequency_axis,
    heatmap,
    layout,
    line,
    log_axis,
    message,
    note,
    plot_size,
    swatch,
)
from renderers.theme import translucent

_LEAST_SHOWN = 1e-5  # of the largest singular value


# --- frequencies before and after renaming ---------------------------------------------------------------


def _relabelled(cohort: Cohort) -> xr.Dataset:
    matrix = cohort.params["matrix"]
    checkpoints = Checkpoints.of(cohort)
    checkpoints.of_one_p(modulo_relabelling=True)
    reference = checkpoints.reference
    rows = []
    for run in [reference, *(run for run in checkpoints.runs if run is not reference)]:
        read, found = checkpoints.describe(run, [checkpoints.selected_epoch(run)])
        rows += [(run.name, epoch, one) for epoch, one in zip(read, found, strict=True)]
    if not rows or rows[0][0] != reference.name:
        return leave_out(xr.Dataset(), checkpoints.left)
    described = [one for _, _, one in rows]
    pairs = np.stack([np.zeros(len(rows), dtype=int), np.arange(len(rows))], axis=1)
    plain = distances(described, pairs, "Fourier power", matrix, False)
    best = distances(described, pairs, "Fourier power", matrix, True)
    shares = np.stack([power_shares(one, matrix) for one in described])
    chance = []
    for own in shares:
        _, after = nulls.shuffled_powers(shares[0], own)
        chance.append(np.quantile(after, [0.025, 0.975]))
    data = xr.Dataset(
        {
            "share": (("variant", "freq"), shares),
            "renamed": (
                ("variant", "freq"),
                np.stack([renamed_power(own, int(u)) for own, u in zip(shares, best.unit, strict=True)]),
            ),
            "unit": ("variant", best.unit),
            "epoch": ("variant", [epoch for _, epoch, _ in rows]),
            "distance": ("variant", plain.value),
            "renamed_distance": ("variant", best.value),
            "chance": (("variant", "bound"), np.array(chance)),
        },
        coords={
            "variant": [name for name, _, _ in rows],
            "freq": np.arange(1, shares.shape[1] + 1),
            "bound": ["low", "high"],
        },
    )
    return leave_out(data, checkpoints.left)


def _draw_relabelled(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    if "share" not in data or data.sizes["variant"] < 2:
        return message(plain, "Fewer than two of these runs have a checkpoint that can be read.")
    names, freq = data["variant"].values.tolist(), data["freq"].values
    short, count = short_names(names, 14 if scene.compact else 22), data.sizes["variant"]
    unit = data["unit"].values
    p = 2 * len(freq) + 1
    where = np.arange(count)
    top = float(np.sqrt(max(data["share"].values.max(), data["renamed"].values.max())))
    traces = []
    for number, variable in enumerate(("share", "renamed")):
        shares = data[variable].values
        own = np.tile(freq, (count, 1))
        if number:
            own = unit[:, None] * freq % p
            own = np.minimum(own, p - own)
        custom = np.empty((*own.shape, 4), dtype=object)
        custom[..., 0] = np.array(names, dtype=object)[:, None]
        custom[..., 1], custom[..., 2] = own, shares
        custom[..., 3] = data["epoch"].values[:, None]
        cells = heatmap(
            plain,
            freq,
            where,
            np.sqrt(shares),
            unit="√ share",
            hover="%{customdata[0]}, epoch %{customdata[3]:,d}<br>at k = %{x}"
            + ("<br>its own k = %{customdata[1]}" if number else "")
            + "<br>share of power %{customdata[2]:.3f}",
            payload={"variant": "customdata[0]", **({} if number else {"frequency": "customdata[1]"})},
            limits=(0.0, top),
            customdata=custom,
            ygap=2,
            showscale=bool(number),
        )
        cells["meta"]["together"] = True
        traces.append(cells | ({"xaxis": "x2", "yaxis": "y2"} if number else {}))
    letters = max(map(len, short.values()))
    room = int(min(letters * 6.6 + 10, 150))
    split = 0.03 if scene.compact else 0.02
    rows = {"showgrid": False, "ticks": "", "range": [count - 0.5, -0.5], "tickvals": where}
    before, after = data["distance"].values, data["renamed_distance"].values
    x = framed(frequency_axis(plain, len(freq), domain=[0.0, 0.5 - split]), plain)
    built = layout(plain, x, framed(axis(plain, "", **rows, ticktext=[short[n] for n in names]), plain))
    second = frequency_axis(plain, len(freq), domain=[0.5 + split, 1.0], anchor="y2")
    built["xaxis2"] = framed(second, plain)
    built["yaxis2"] = framed(axis(plain, "", **rows, anchor="x2", showticklabels=False), plain)
    aside = 40 if scene.compact else 116
    built["margin"] |= {"l": room, "r": (44 if scene.compact else 66) + aside, "t": 40}
    beside = aside / (plot_size(plain, 0)[0] + 76 - room - built["margin"]["r"])
    traces[1]["colorbar"] |= {"x": 1 + beside}
    for row in where:
        low, high = data["chance"].values[row]
        text = ("ref." if scene.compact else "reference") if row == 0 else f"u = {unit[row]}"
        if row and not scene.compact:
            text += f": {before[row]:.2f} → {after[row]:.2f}<br>chance {low:.2f} – {high:.2f}"
        place = {"x": 1.0, "xanchor": "left", "xshift": 4, "yref": "y2", "y": row, "yanchor": "middle"}
        size = {"size": font_size(plain) - 2, "color": plain.theme.muted}
        built["annotations"].append(note(plain, text, font=size, align="left", **place))
    for x0, text in ((0.0, "as labelled"), (0.5 + split, f"after a → u a, to {short[names[0]]}")):
        built["annotations"].append(above(plain, text, x=x0, xanchor="left"))
    left = left_out_text(left_out(data)).removeprefix(" · ")
    if left:
        built["annotations"].append(above(plain, left, yshift=17))
    return {"data": traces, "layout": built}


# --- singular values -------------------------------------------------------------------------------------


def _spectra(cohort: Cohort) -> xr.Dataset:
    matrix = cohort.params["matrix"]
    checkpoints = Checkpoints.of(cohort)
    checkpoints.keep(lambda run: "", least=1)
    names, epochs, rows = [], [], []
    for run in checkpoints.runs:
        read, found = checkpoints.describe(run, [checkpoints.selected_epoch(run)])
        if read:
            names.append(run.name)
            epochs.append(read[0])
            rows.append(found[0].singular[matrix])
    reference = checkpoints.reference.variant
    initial = nulls.initial(reference.params["p"], reference.config)
    band = np.quantile([one.singular[matrix] for one in initial], [0.025, 0.975], axis=0)
    longest = max(map(len, [*rows, band[0]]))
    table = np.full((len(rows), longest), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    null = np.full((2, longest), np.nan)
    null[:, : band.shape[1]] = band
    data = xr.Dataset(
        {
            "singular_value": (("variant", "component"), table),
            "null": (("bound", "component"), null),
            "epoch": ("variant", epochs),
        },
        coords={"variant": names, "component": np.arange(1, longest + 1), "bound": ["low", "high"]},
    )
    return leave_out(data, checkpoints.left)


def _draw_spectra(data: xr.Dataset, scene: CohortScene) -> Figure:
    plain = as_scene(scene)
    names = data["variant"].values.tolist()
    if not names:
        return message(plain, "None of these runs has a checkpoint that can be read.")
    values, null = data["singular_value"].values, data["null"].values
    scaled = scene.params["scale"] != "as they are"
    if scaled:
        values = values / np.sqrt(np.nanmean(values**2, axis=1, keepdims=True))
        null = null / np.sqrt(np.nanmean(null**2))
    rank = data["component"].values
    shown = int(scene.params["ranks"]) if scene.params["ranks"] != "all" else len(rank)
    values, null, rank = values[:, :shown], null[:, :shown], rank[:shown]
    top = float(np.nanmax(values))
    values = np.where(values >= _LEAST_SHOWN * top, values, np.nan)
    title = f"singular value of {scene.params['matrix']}"
    y = log_axis(plain, f"{title} / rms" if scaled else title, np.append(values, null[0]))
    x = axis(plain, "rank", range=[0, rank[-1] + 1])
    known = np.isfinite(null[0]) & (null[0] > 0)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "initialisations",
            "x": np.concatenate([rank[known], rank[known][::-1]]),
            "y": np.concatenate([null[1][known], null[0][known][::-1]]),
            "fill": "toself",
            "fillcolor": translucent(plain.theme.muted, 0.25),
            "line": {"width": 1, "color": translucent(plain.theme.muted, 0.6)},
            "hoverinfo": "skip",
        }
    ]
    short = short_names(names)
    labels = []
    for name, row, epoch in zip(names, values, data["epoch"].values.tolist(), strict=True):
        curve = line(
            rank,
            row,
            name=name,
            colour=scene.colours[name],
            hover=f"{name}, epoch {epoch:,}<br>rank %{{x}}: %{{y:.4g}}",
            payload={"variant": {"value": name}},
            markers=True,
        )
        curve["meta"]["together"] = True
        traces.append(curve)
        last = row[np.isfinite(row)]
        if len(names) <= 8 and len(last):
            text = f"{swatch(scene.colours[name])} {short[name]}"
            labels.append(Label(float(last[-1]), text, plain.theme.text))
    if known.any():
        labels.append(Label(float(null[:, known][:, -1].mean()), "initialisations", plain.theme.muted))
    letters = max(
        (len(label.text.split("> ")[-1]) + 2 * ("<span" in label.text) for label in labels), default=0
    )
    built = layout(plain, x, y, right=int(letters * (5.6 if scene.compact else 6.6)) + 6, top=18)
    built["annotations"] += end_labels(plain, labels, y)
    first, latest = int(data["epoch"].min()), int(data["epoch"].max())
    when = f"epoch {first:,}" if first == latest else f"epochs {first:,} – {latest:,}"
    text = f"{when}{left_out_text(left_out(data))}"
    built["annotations"].append(above(plain, text, x=0.0, xanchor="left"))
    return {"data": traces, "layout": built}


FREQUENCY_RELABELLING = Comparison(
    name="frequency_relabelling",
    title="Frequencies under other names of the tokens",
    section="geometry",
    order=40,
    blurb="Where each run has its Fourier power, and after renaming its tokens a → u a so that it matches the"
    " current variant best: distance before → after, and what shuffled frequencies reach with their best u.",
    data=_relabelled,
    draw=_draw_relabelled,
    parameters={"matrix": Choice("Matrix", (ALL, *TOKEN_MATRICES))},
    depends=("variant", "epoch"),
    aligned=True,
    marks=("variant", "frequency"),
    least=2,
    formula="P′ₖ = P at ±u k, u = argmin over 1 … (p − 1)/2 of ½ Σₖ |Pₖ − P′ₖ|; shares of power without the"
    " constant",
    source="x → u x is an automorphism of (Z mod p, +); search: analyzers.comparison.relabelling",
    caveats="Some frequencies always coincide under the best of (p − 1)/2 renamings: compare with the range"
    " by chance (200 shuffles, middle 95 %). One u serves all matrices.",
)
SINGULAR_SPECTRA = Comparison(
    name="singular_spectra",
    title="Singular values of all runs",
    section="geometry",
    order=50,
    blurb="How many directions each matrix of each run uses, free of gauge, at the selected (aligned) epoch,"
    " beside those of random initialisations.",
    data=_spectra,
    draw=_draw_spectra,
    parameters={
        "matrix": Choice("Matrix", SPECTRA),
        "scale": Choice("Scale", ("as they are", "over their rms")),
        "ranks": Choice("Ranks", ("all", "32", "12")),
    },
    depends=("variant", "epoch"),
    aligned=True,
    marks=("variant",),
    formula="singular values of the centred W_E, W_U and W_L = W_out W_U (neurons weighed by ‖W_in[:, n]‖),"
    " of W_Q W_Kᵀ / √d_head and W_V W_O with all heads together, of W_in and W_out with balanced neurons",
    source="Invariances: analyzers.comparison.gauge",
    caveats="Values below 1e-5 of the largest are not shown; checkpoints in float16 have a floor of rounding"
    " near 1e-3.",
)

COMPARISONS = (FREQUENCY_RELABELLING, SINGULAR_SPECTRA)
