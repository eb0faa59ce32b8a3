"""Structural measures that the summary states at the turn and at the end."""

from __future__ import annotations

import xarray as xr

from analyzers.summary.signals import SPECIALISED, Measure, at, specialised

STRONG = 0.05  # share of an embedding's energy from which a frequency's ellipse counts


def _of_strong(found: xr.Dataset) -> xr.DataArray:
    """The least ellipticity of W_E over the frequencies that carry 5 % of its energy or more."""
    one = found.sel(matrix="W_E")
    return one["ellipticity"].where(one["share"] >= STRONG).min("freq")


_LOSS = "mean cross-entropy"
STRUCTURE = (
    Measure(
        "test accuracy",
        "logits_summary",
        at("accuracy", split="test"),
        "1",
        "share of the test inputs answered rightly",
    ),
    Measure(
        "test loss", "logits_summary", at("loss", split="test"), "nat", f"{_LOSS} on the test inputs", True
    ),
    *(
        Measure(
            f"restricted loss ({protocol})",
            "progress_losses",
            at("restricted_loss", protocol=protocol, split="all"),
            "nat",
            f"loss over all inputs with nothing but the key frequencies, protocol {protocol}",
            logarithmic=True,
        )
        for protocol in ("sum_directions", "block_2x2", "block_3x3")
    ),
    *(
        Measure(
            f"excluded loss ({protocol})",
            "progress_losses",
            at("excluded_loss", protocol=protocol, split="train"),
            "nat",
            f"training loss without the key frequencies, protocol {protocol}",
            logarithmic=True,
        )
        for protocol in ("sum_directions", "block_2x2", "block_3x3")
    ),
    *(
        Measure(
            f"Gini of {matrix}",
            "gini",
            at("gini", matrix=matrix, per="frequency"),
            "1",
            f"Gini coefficient of the norms of {matrix} per frequency",
        )
        for matrix in ("W_E", "W_L")
    ),
    *(
        Measure(
            f"logits as waves ({centring})",
            "logit_fit",
            at("fve", centring=centring),
            "1",
            f"variance of the logits explained by cos w_k (a + b - c), {centring.replace('_', ' ')}",
        )
        for centring in ("raw", "double_centred")
    ),
    Measure(
        "waves of a + b in the key blocks",
        "logit_fit",
        lambda found: found["sum_share"],
        "1",
        "share of the centred logits' variance in the key waves of a + b",
    ),
    Measure(
        "waves of a - b in the key blocks",
        "logit_fit",
        lambda found: found["difference_share"],
        "1",
        "share of the centred logits' variance in the key waves of a - b",
    ),
    Measure(
        "specialised neurons",
        "neuron_frequencies",
        specialised,
        "1",
        f"share of the live neurons with {SPECIALISED:g} or more of their variance at one frequency",
    ),
    *(
        Measure(
            f"participation ratio of {matrix} ({form})",
            "singular_values",
            at(f"participation_ratio_{short}", matrix=matrix),
            "dimensions",
            f"{formula} of {matrix}",
        )
        for matrix in ("W_E", "W_in", "W_out", "W_U")
        for form, short, formula in (
            ("singular values", "sv", "(sum s)^2 / sum s^2"),
            ("eigenvalues", "ev", "(sum s^2)^2 / sum s^4"),
        )
    ),
    *(
        Measure(
            f"{label} rank of W_E",
            "spectral_summary",
            at(f"{label}_rank", matrix="W_E"),
            "dimensions",
            definition,
        )
        for label, definition in (
            ("effective", "exp of the entropy of s / sum s of W_E"),
            ("stable", "sum s^2 / s_1^2 of W_E"),
        )
    ),
    Measure(
        "spectral gap of W_E at 2 |K*|",
        "spectral_summary",
        at("gap_at_keys", matrix="W_E"),
        "1",
        "s_i / s_(i+1) of W_E at i = twice the number of key frequencies",
    ),
    Measure(
        "weight norm",
        "weight_norms",
        lambda found: found["total"],
        "weight",
        "Euclidean norm of all parameters",
    ),
    Measure(
        "gradient symmetricity",
        "clock_pizza",
        lambda found: found["symmetricity"],
        "1",
        "mean cosine of the gradients of a logit by both tokens (1: pizza side)",
    ),
    *(
        Measure(
            f"variance as a {name}",
            "clock_pizza",
            at(f"fve_{name}", centring="double_centred"),
            "1",
            f"variance of the double-centred logits explained as a {name}",
        )
        for name in ("clock", "pizza")
    ),
    Measure(
        "worst ellipticity of W_E",
        "ellipticity",
        _of_strong,
        "1",
        f"least ratio of the axes of W_E's ellipses, frequencies with {STRONG:.0%} of its energy or more",
    ),
    Measure(
        "neuron concentration",
        "neuron_structure",
        lambda found: found["ipr"].mean("neuron").mean("part"),
        "1",
        "mean inverse participation ratio of the neurons over frequencies",
    ),
    Measure(
        "commutativity of neurons",
        "neuron_structure",
        lambda found: found["commutativity"].mean("neuron"),
        "1",
        "mean share of the neurons' variance with N(a, b) = N(b, a)",
    ),
    Measure(
        "loss with polynomial neurons",
        "polynomial_substitution",
        at("ratio", split="all"),
        "1",
        "loss with the specialised neurons replaced by polynomials of degree 2, over the model's",
    ),
    Measure(
        "collapsed softmax (float32)",
        "softmax_collapse",
        at("collapsed", precision="float32", split="train"),
        "1",
        "share of the training inputs whose loss is exactly 0 in float32",
    ),
)
