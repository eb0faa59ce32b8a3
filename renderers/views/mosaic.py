"""Everything at once: all neurons at one epoch, one neuron or all heads at every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from analyzers.tiles import TOKENS, tiles
from data.errors import MissingArtifact
from renderers.catalog import Parameter, View
from renderers.source import Source
from renderers.tiles import draw_tiles, items, ranks

SIZE = 28
SPECIALISED = 0.85
_TOKENS = Parameter(TOKENS[0], TOKENS, "Tokens")
_SCALE = Parameter("own", ("own", "common"), "Scale")


def _neurons(source: Source) -> xr.Dataset:
    made = source.on_demand("neuron_tiles", size=SIZE, tokens=source.params["tokens"])
    count = made.sizes["neuron"]
    neuron = np.arange(count)
    measured = source.if_stored("neuron_frequencies")
    frequency, share = np.zeros(count, int), np.full(count, np.nan)
    if measured is not None:
        frequency = measured["dominant_frequency"].values.astype(int)
        share = measured["dominant_fraction"].values
    known = np.nan_to_num(share, nan=-1.0)
    phase = _per_neuron(source, "neuron_phases", "phase_a", count, reference="live")
    orders = {
        "frequency": (np.where(frequency > 0, frequency, frequency.max() + 1), phase),
        "purity": (-known,),
        "coarseness": (-_per_neuron(source, "multi_scale", "low_frequency_ratio", count),),
        "switches": (-_per_neuron(source, "neuron_commitment", "switch_count", count),),
    }
    return xr.Dataset(
        {
            **items(made["tile"].values, made["low"].values, made["high"].values),
            "neuron": ("item", neuron),
            "frequency": ("item", frequency),
            "share": ("item", share.astype("float32")),
            "specialised": ("item", (known >= SPECIALISED).astype(int)),
            **ranks(**orders),
        },
        attrs={
            "marks": ["neuron", "frequency"],
            "unit": "activation",
            "across_title": "one tile a neuron: b runs to the right",
            "down_title": "a",
        },
    )


def _per_neuron(source: Source, analyzer: str, output: str, count: int, **where: str) -> np.ndarray:
    """A number per neuron from an artifact that may be missing (then zeros, which change no order)."""
    try:
        stored = source.artifact(analyzer)[output]
    except MissingArtifact:
        return np.zeros(count)
    if "epoch" in stored.dims:
        if source.selection.epoch not in stored["epoch"].values:
            return np.zeros(count)
        stored = stored.sel(epoch=source.selection.epoch)
    return np.nan_to_num(stored.sel(where).values.astype(float))


def _film(source: Source) -> xr.Dataset:
    neuron, epochs = source.selection.neuron, source.variant.epochs
    maps = [
        source.on_demand("neuron_map", epoch=epoch, neuron=neuron)["activation"].values for epoch in epochs
    ]
    frequency, share = _dominant_over_epochs(source, "neuron_frequencies", epochs, {"neuron": neuron})
    unwound = source.params["tokens"] == "unwound"
    tile, low, high = tiles(
        np.stack(maps, axis=2), min(2 * SIZE, len(maps[0])), frequency if unwound else None
    )
    return xr.Dataset(
        {
            **items(tile, low, high),
            "epoch": ("item", np.array(epochs)),
            "frequency": ("item", frequency),
            "share": ("item", share.astype("float32")),
        },
        attrs={
            "marks": ["epoch"],
            "unit": "activation",
            "across_title": f"neuron {neuron}, one tile a checkpoint: b runs to the right",
            "down_title": "a",
        },
    )


def _heads(source: Source) -> xr.Dataset:
    epochs, attended = source.variant.epochs, source.params["source"]
    made = [
        source.on_demand(
            "head_tiles", epoch=epoch, size=SIZE, tokens=source.params["tokens"], source=attended
        )
        for epoch in epochs
    ]
    heads = made[0].sizes["head"]
    columns = [
        _dominant_over_epochs(source, "attention_frequencies", epochs, {"head": head, "source": attended})
        for head in range(heads)
    ]
    stacked = {
        name: np.stack([one[name].values for one in made], axis=1).reshape(
            heads * len(epochs), *made[0][name].shape[1:]
        )
        for name in ("tile", "low", "high")
    }
    return xr.Dataset(
        {
            **items(stacked["tile"], stacked["low"], stacked["high"]),
            "epoch": ("item", np.tile(epochs, heads)),
            "head": ("item", np.repeat(np.arange(heads), len(epochs))),
            "frequency": ("item", np.concatenate([frequency for frequency, _ in columns])),
            "share": ("item", np.concatenate([share for _, share in columns]).astype("float32")),
        },
        attrs={
            "marks": ["epoch", "head"],
            "across": len(epochs),
            "unit": "attention",
            "across_title": "checkpoints, from the first to the last",
            "down_title": "heads, from 0 down",
        },
    )


def _dominant_over_epochs(
    source: Source, analyzer: str, epochs: list[int], where: Mapping[str, int | str]
) -> tuple[np.ndarray, np.ndarray]:
    """(dominant frequency, its share) at every epoch; (0, NaN) where that has not been analysed."""
    frequency, share = np.zeros(len(epochs), int), np.full(len(epochs), np.nan)
    try:
        stored = source.artifact(analyzer)
    except MissingArtifact:
        return frequency, share
    for dim, value in where.items():
        stored = source.select(stored, dim, value)
    own = stored.reindex(epoch=epochs, fill_value={"dominant_frequency": 0, "dominant_fraction": np.nan})
    return own["dominant_frequency"].values.astype(int), own["dominant_fraction"].values


VIEWS = (
    View(
        name="neuron_mosaic",
        title="All neurons",
        group="neurons",
        order=10,
        blurb="Every neuron's map of activation over a (down) and b (across) as one small tile, the line"
        " under it in the colour of its dominant frequency. In the natural order of tokens fast waves average"
        " away in a tile; “unwound” lays each tile's tokens out in the order k x mod p of its own frequency,"
        " where every clean wave becomes one slow wave and its phase shows.",
        data=_neurons,
        draw=draw_tiles,
        needs=("neuron_tiles",),
        optional=("neuron_frequencies", "neuron_phases", "neuron_commitment", "multi_scale"),
        depends=("variant", "epoch", "neuron", "frequency"),
        marks=("neuron", "frequency"),
        shape="banner",
        component="tiles",
        parameters={
            "order": Parameter(
                "frequency",
                ("index", "frequency", "purity", "coarseness", "switches", "similarity"),
                "Order",
            ),
            "show": Parameter("all", ("all", "selected frequency", "specialised", "unspecialised"), "Show"),
            "tokens": _TOKENS,
            "scale": _SCALE,
        },
    ),
    View(
        name="neuron_film",
        title="Neuron map at every checkpoint",
        group="neurons",
        order=11,
        blurb="The selected neuron's map at each saved checkpoint, in time order; the line under a tile has"
        " the colour of its dominant frequency there.",
        data=_film,
        draw=draw_tiles,
        needs=("neuron_map",),
        optional=("neuron_frequencies",),
        depends=("variant", "neuron"),
        marks=("epoch",),
        shape="strip",
        component="tiles",
        parameters={"tokens": _TOKENS, "scale": _SCALE},
    ),
    View(
        name="head_film",
        title="Attention maps at every checkpoint",
        group="attention",
        order=10,
        blurb="Attention of = to one source over a (down) and b (across): a row for each head, a column for"
        " each checkpoint; the line under a tile has the colour of its dominant frequency.",
        data=_heads,
        draw=draw_tiles,
        needs=("head_tiles",),
        optional=("attention_frequencies",),
        marks=("epoch", "head"),
        shape="strip",
        component="tiles",
        parameters={"source": Parameter("a", ("a", "b", "="), "To"), "tokens": _TOKENS, "scale": _SCALE},
    ),
)
