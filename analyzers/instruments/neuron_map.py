"""One neuron's activation at every input, straight from the weights."""

from __future__ import annotations

from typing import Any

from analyzers.features import Features
from analyzers.registry import Output, analyzer
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
    parameters={"neuron": 0},
    formula="N(a, b) = ReLU(resid_mid(a, b) . W_in[:, neuron]) at =",
    source="Nanda et al. 2023, arXiv:2301.05217, figures of neuron activations over (a, b)",
    protocol="all p x p inputs, float64, computed from the weights when asked for, never stored",
    stored=False,
)
def neuron_map(features: Features, neuron: int = 0) -> dict[str, Any]:
    """Activation of one MLP neuron at the = position for every input pair.

    Formula: N(a, b) = ReLU(resid_mid(a, b) . W_in[:, neuron]). resid_mid . w is a sum over heads of attention
    times a number per token, so that one map takes milliseconds and needs no other neuron.

    Shape: [p (a), p (b)]. Units: activation. Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: none beyond float64 rounding; the result is kept as float32. Raises BadParameter for a neuron that
    the model does not have.
    """
    from training.fast_path import neuron_map as activation_map

    try:
        return {"activation": activation_map(features.tensors, features.p, int(neuron)).numpy()}
    except IndexError as error:
        raise BadParameter(f"{error}.") from None
