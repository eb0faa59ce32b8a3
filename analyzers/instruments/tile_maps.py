"""Small pictures of every neuron's and every head's map, for looking at all of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer
from analyzers.tiles import TOKENS, tiles
from data.errors import BadParameter

SIZE = 28
_CAVEATS = (
    "Area averages: waves shorter than two cells mostly vanish (a fifth of their size is left and aliases);"
    " in the unwound order of tokens the dominant wave never does. Each tile has a scale of its own."
)


@analyzer(
    name="neuron_tiles",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="All neurons as small maps",
    outputs={
        "tile": Output(
            ("neuron", "row", "column"), "uint8", "Mean activation of the cell", "1/255 of the range"
        ),
        "low": Output(("neuron",), "float32", "Activation that 0 stands for", "activation"),
        "high": Output(("neuron",), "float32", "Activation that 255 stands for", "activation"),
    },
    needs=("neuron_frequencies",),
    parameters={"size": SIZE, "tokens": TOKENS[0]},
    formula="tile = A N A^T, A the mean over p / size tokens; unwound: tokens x in the order k x mod p, k the"
    " neuron's dominant frequency",
    source="Maps as in Nanda et al. 2023, arXiv:2301.05217; the unwound order uses that x -> k x is an"
    " automorphism of Z_p",
    protocol="activation at = after the ReLU over all p x p inputs, float32; computed when asked for",
    caveats=_CAVEATS,
    stored=False,
)
def neuron_tiles(features: Features, size: int = SIZE, tokens: str = TOKENS[0]) -> dict[str, Any]:
    """Every neuron's map of activation over (a, b), averaged down to size x size cells of one byte.

    Formula: see `analyzers.tiles.tiles`. Shapes: tile [d_mlp, size (a), size (b)], low and high [d_mlp]: a
    cell stands for low + tile / 255 (high - low). Units: activation.

    Source: this workbench. Limits: float32, one byte per cell; high frequencies vanish in the natural order
    when size < 2 k. `unwound` orders the tokens of each tile by k x mod p, so that tiles of different
    neurons have different axes.
    """
    from training.fast_path import neuron_grid

    weights = {name: tensor.float() for name, tensor in features.tensors.items()}
    maps = neuron_grid(weights, features.p).numpy()
    frequency = features.need("neuron_frequencies", "dominant_frequency") if _unwound(tokens) else None
    return _as_outputs(maps, size, frequency)


@analyzer(
    name="head_tiles",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="All heads as small maps",
    outputs={
        "tile": Output(
            ("head", "row", "column"), "uint8", "Mean attention of the cell", "1/255 of the range"
        ),
        "low": Output(("head",), "float32", "Attention that 0 stands for", "1"),
        "high": Output(("head",), "float32", "Attention that 255 stands for", "1"),
    },
    needs=("attention_frequencies",),
    parameters={"size": SIZE, "tokens": TOKENS[0], "source": "a"},
    formula="tile = A P_h A^T, A the mean over p / size tokens; unwound: tokens x in the order k x mod p, k"
    " the head's dominant frequency",
    source="Maps as in Nanda et al. 2023, arXiv:2301.05217; the unwound order uses that x -> k x is an"
    " automorphism of Z_p",
    protocol="attention of = to one source over all p x p inputs, float64; computed when asked for",
    caveats=_CAVEATS,
    stored=False,
)
def head_tiles(
    features: Features, size: int = SIZE, tokens: str = TOKENS[0], source: str = "a"
) -> dict[str, Any]:
    """Every head's attention of = to one source (a, b or =) over (a, b), averaged down to size x size bytes.

    Formula: see `analyzers.tiles.tiles`. Shapes: tile [n_heads, size (a), size (b)], low and high [n_heads].
    Units: attention. Source: this workbench. Limits: as of `neuron_tiles`.
    """
    sources = ("a", "b", "=")
    if source not in sources:
        raise BadParameter(f"source={source!r} is not attended to; choose one of: {', '.join(sources)}.")
    index = sources.index(source)
    maps = np.moveaxis(features.pattern[:, index], 0, -1)
    dominant = features.need("attention_frequencies", "dominant_frequency")[:, index]
    return _as_outputs(maps, size, dominant if _unwound(tokens) else None)


def _unwound(tokens: str) -> bool:
    if tokens not in TOKENS:
        raise BadParameter(f"tokens={tokens!r} is no order of tokens; choose one of: {', '.join(TOKENS)}.")
    return tokens == "unwound"


def _as_outputs(maps: Any, size: int, frequency: Any) -> dict[str, Any]:
    tile, low, high = tiles(maps, min(size, maps.shape[0]), frequency)
    return {"tile": tile, "low": low, "high": high}
