"""Signals of the turn: measures that are expected to make one step when a model comes to generalise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

SPECIALISED = 0.85  # share of a neuron's variance at one frequency, as in neuron_clusters

Extract = Callable[[xr.Dataset], xr.DataArray]


@dataclass(frozen=True)
class Measure:
    """A scalar over the epochs of one instrument's result. key: it, in a signal's or a metric's name.

    logarithmic: its changes are counted in decades
    """

    key: str
    analyzer: str
    extract: Extract
    unit: str
    definition: str
    logarithmic: bool = False


@dataclass(frozen=True)
class Signal(Measure):
    """rising: the direction of the step; least: the smallest change that is one (decades if logarithmic)."""

    rising: bool = True
    least: float = 0.1


def at(output: str, **labels: str) -> Extract:
    """That output at these coordinates."""
    return lambda dataset: dataset[output].sel(labels)


def specialised(dataset: xr.Dataset) -> xr.DataArray:
    """Share of the neurons that vary whose largest share is at least the threshold of the clusters."""
    live = dataset["dominant_frequency"] > 0
    found = (dataset["dominant_fraction"] >= SPECIALISED) & live
    return found.sum("neuron") / live.sum("neuron").where(live.any("neuron"))


SIGNALS = (
    Signal(
        "test accuracy",
        "logits_summary",
        at("accuracy", split="test"),
        "1",
        "accuracy on the test inputs",
        least=0.2,
    ),
    Signal(
        "excluded loss",
        "progress_losses",
        at("excluded_loss", protocol="sum_directions", split="train"),
        "nat",
        "training loss without the key frequencies' waves of a + b (sum_directions)",
        logarithmic=True,
        least=1.0,
    ),
    Signal(
        "restricted loss",
        "progress_losses",
        at("restricted_loss", protocol="sum_directions", split="test"),
        "nat",
        "test loss with nothing but the key frequencies' waves of a + b (sum_directions)",
        logarithmic=True,
        rising=False,
        least=1.0,
    ),
    Signal(
        "Gini of W_E",
        "gini",
        at("gini", matrix="W_E", per="frequency"),
        "1",
        "Gini coefficient of the norms of W_E per frequency",
        least=0.1,
    ),
    Signal(
        "Gini of W_L",
        "gini",
        at("gini", matrix="W_L", per="frequency"),
        "1",
        "Gini coefficient of the norms of W_out W_U per frequency",
        least=0.1,
    ),
    Signal(
        "participation ratio of W_E",
        "singular_values",
        at("participation_ratio_ev", matrix="W_E"),
        "dimensions",
        "(sum s^2)^2 / sum s^4 of W_E (eigenvalue form)",
        rising=False,
        least=2.0,
    ),
    Signal(
        "specialised neurons",
        "neuron_frequencies",
        specialised,
        "1",
        f"share of the live neurons with {SPECIALISED:g} or more of their variance at one frequency",
        least=0.1,
    ),
    Signal(
        "logits as waves",
        "logit_fit",
        at("fve", centring="double_centred"),
        "1",
        "variance of the double-centred logits explained by cos w_k (a + b - c)",
        least=0.1,
    ),
    Signal(
        "weight norm",
        "weight_norms",
        lambda dataset: dataset["total"],
        "weight",
        "Euclidean norm of all parameters",
        rising=False,
        least=2.0,
    ),
)
