"""One neuron's activation at every input, straight from the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer
from analyzers.resampling import centres, resampler
from data.errors import BadParameter


@analyzer(
    name="neuron_map",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="Map of one neuron",
    outputs={
        "activation": Output(("a", "b"), "float32", "Activation of the neuron after the ReLU", "activation")
    },
    parameters={"neuron": 0, "resolution": 0, "method": "bilinear"},
    formula="N(a, b) = ReLU(resid_mid(a, b) . W_in[:, neuron]) at =; resampled: R N R^T",
    source="Nanda et al. 2023, arXiv:2301.05217, figures of neuron activations over (a, b); resampled maps:"
    " the project's research notes of 2026-02-02",
    protocol="all p x p inputs, float64, computed from the weights when asked for, never stored; resampled"
    " bilinearly (align_corners=False, no filter) or by averaging areas",
    caveats="A map bilinearly reduced to n cells aliases frequencies above n / 2 or so: at p = 113 and n ="
    " 28, k = 25, 28, 29, 33 look like 3, 0, 1, 5. The area-averaged map damps them instead.",
    stored=False,
)
def neuron_map(
    features: Features, neuron: int = 0, resolution: int = 0, method: str = "bilinear"
) -> dict[str, Any]:
    """Activation of one MLP neuron at the = position for every input pair, at full or reduced resolution.

    Formula: N(a, b) = ReLU(resid_mid(a, b) . W_in[:, neuron]). resid_mid . w is a sum over heads of attention
    times a number per token, so that one map takes milliseconds and needs no other neuron. With a resolution
    n in 1..p - 1 the map is R N R^T with R [n, p] from `analyzers.resampling` (bilinear or area); 0, or p and
    more, leaves it whole. a and b are then the centres of the cells, in units of tokens.

    Shape: [p (a), p (b)], or [n, n]. Units: activation. Source: Nanda et al. 2023, arXiv:2301.05217, and the
    project's notes for the reduced maps.

    Limits: none beyond float64 rounding at full resolution; the result is kept as float32. A reduced map can
    show waves that the neuron does not have (aliasing). Raises BadParameter for a neuron that the model does
    not have, a negative resolution or an unknown method.
    """
    from training.fast_path import neuron_map as activation_map

    if resolution < 0:
        raise BadParameter(f"resolution={resolution} is not possible; 0 is the whole map.")
    try:
        values = activation_map(features.tensors, features.p, int(neuron)).numpy()
    except IndexError as error:
        raise BadParameter(f"{error}.") from None
    p = features.p
    cells = min(resolution, p) or p
    matrix = resampler(p, cells, method)
    if cells == p:
        return {"activation": values, "a": np.arange(p), "b": np.arange(p)}
    return {"activation": matrix @ values @ matrix.T, "a": centres(p, cells), "b": centres(p, cells)}
