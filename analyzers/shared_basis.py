"""One set of principal components for the checkpoints of several variants of one task.

from analyzers import shared_basis workspace = Workspace("...") same_p = [variant for variant in
workspace.variants() if variant.params["p"] == 113] found = shared_basis.fit(same_p, features="gram")

Raw weights of two seeds live in different gauges: the residual stream can be rotated and neurons and heads
permuted without any change of the function. Components of stacked raw weights then mostly tell the variants
apart, and distances between variants mean nothing; only forks and replicates of one run share a gauge. For
different seeds use the features that such changes leave alone: "gram", "singular_values" or "fourier_power".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyzers.comparison.shared_paths import between_share, centred_gram
from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.instruments.parameter_pca import GROUPS, N_COMPONENTS, principal_components
from data.errors import BadParameter

if TYPE_CHECKING:
    from data import Variant

Array = NDArray[np.float64]

FEATURES = ("parameters", "gram", "singular_values", "fourier_power")
INVARIANT = FEATURES[1:]


def fit(
    variants: Iterable[Variant],
    group: str = "all",
    features: str = "parameters",
    relabel: Mapping[str, int] | None = None,
    epochs: Mapping[str, Sequence[int]] | None = None,
    n_components: int = N_COMPONENTS,
) -> xr.Dataset:
    """Principal components of the stacked checkpoints of several variants.

    Formula: rows x_i, one per checkpoint of every variant, less their common mean; G = X X^T, G u = l u,
    projection = sqrt(l) u, explained_variance_ratio = l / trace G. distance_ij = ||x_i - x_j||. between_share
    = variance of the variants' means (each with the weight of its checkpoints) over the total variance: near
    1, the components tell variants apart and say little about training.

    features "parameters": all weights of `group` (see `parameter_pca.GROUPS`) as they are; "gram": W_E W_E^T
    and W_U^T W_U over the number tokens, [p, p] each, which no rotation of the residual stream changes;
    "singular_values": those of every matrix, heads as a set; "fourier_power": squared Fourier norms of W_E
    and W_U per frequency, which no shift of the tokens changes either relabel variant name -> k: its tokens
    are renamed x -> x / k mod p, which maps frequency k to 1, so that runs with different key frequencies can
    be laid over each other (gram and fourier_power) epochs variant name -> epochs to take; all by default

    Shapes: projection [point, component], explained_variance_ratio [component], distance [point, point], with
    coordinates `variant` and `epoch` along `point`. Units: those of the features.

    Limits: every checkpoint weighs the same, so that a run with more of them counts for more. Features of
    different kinds are stacked without scaling. Raises `BadParameter` for fewer than one checkpoint, unknown
    names, or variants whose features have different shapes.
    """
    chosen = list(variants)
    if features not in FEATURES:
        raise BadParameter(f"There are no features {features!r}; choose one of: {', '.join(FEATURES)}.")
    if group not in GROUPS:
        raise BadParameter(f"There is no group {group!r}; choose one of: {', '.join(GROUPS)}.")
    rows: list[Array] = []
    names: list[str] = []
    times: list[int] = []
    for variant in chosen:
        for epoch in (epochs or {}).get(variant.name, variant.epochs):
            row = _features(variant, epoch, group, features, (relabel or {}).get(variant.name, 1))
            if rows and len(row) != len(rows[0]):
                raise BadParameter(
                    f"{variant.name} has {len(row):,} numbers as {features} of {group!r} and {names[0]} has"
                    f" {len(rows[0]):,}: a shared basis needs variants of one p and one model size."
                )
            rows.append(row)
            names.append(variant.name)
            times.append(epoch)
    if not rows:
        raise BadParameter("A shared basis needs at least one checkpoint; the variants given have none.")
    return _components(np.array(rows), names, times, n_components).assign_attrs(
        features=features, group=group, gauge="invariant" if features in INVARIANT else "of each variant"
    )


def _components(points: Array, names: Sequence[str], epochs: Sequence[int], n_components: int) -> xr.Dataset:
    gram = centred_gram(points)
    projection, ratio = principal_components(gram, n_components)
    square = np.diagonal(gram)
    distance = np.sqrt((square[:, None] + square - 2 * gram).clip(min=0))
    np.fill_diagonal(distance, 0)
    own = np.array(names)
    runs = [np.flatnonzero(own == name) for name in dict.fromkeys(names)]
    return xr.Dataset(
        {
            "projection": (("point", "component"), projection),
            "explained_variance_ratio": ("component", ratio),
            "distance": (("point", "other_point"), distance),
            "between_share": between_share(gram, runs),
        },
        coords={
            "component": np.arange(1, n_components + 1),
            "variant": ("point", own),
            "epoch": ("point", np.array(epochs)),
        },
    )


def _features(variant: Variant, epoch: int, group: str, features: str, frequency: int) -> Array:
    weights = variant.at(epoch).weights
    if features == "parameters":
        own = sorted(name for name in weights if name.startswith(GROUPS[group]))
        return np.concatenate([weights[name].double().numpy().ravel() for name in own])
    found = Features(weights, variant.family, variant.params)
    if frequency % found.p == 0:
        raise BadParameter(
            f"relabel={frequency} for {variant.name}: give a frequency from 1 to {found.p - 1}."
        )
    return _INVARIANTS[features](found, frequency)


def relabelled(found: Features, frequency: int) -> tuple[Array, Array]:
    """(W_E [p, d], W_U^T [p, d]) row x being that of token x / frequency mod p: it becomes 1."""
    image = np.arange(found.p) * pow(frequency, -1, found.p) % found.p
    return found.W_E[image], found.W_U.T[image]


def _gram(found: Features, frequency: int) -> Array:
    upper = np.triu_indices(found.p)
    double = np.where(
        upper[0] == upper[1], 1.0, np.sqrt(2.0)
    )  # so that distances are those of whole matrices
    return np.concatenate([(matrix @ matrix.T)[upper] * double for matrix in relabelled(found, frequency)])


def _singular_values(found: Features, frequency: int) -> Array:
    values = found.singular_values
    single = [values[name] for name in values if "." not in name]
    kinds = sorted({name.split(".")[0] for name in values if "." in name})
    heads = [
        np.sort(np.concatenate([values[n] for n in values if n.startswith(f"{kind}.")])) for kind in kinds
    ]
    return np.concatenate([*single, *heads])


def _fourier_power(found: Features, frequency: int) -> Array:
    return np.concatenate([transform(matrix).energy.sum(axis=-1) for matrix in relabelled(found, frequency)])


_INVARIANTS: dict[str, Callable[[Features, int], Array]] = {
    "gram": _gram,
    "singular_values": _singular_values,
    "fourier_power": _fourier_power,
}
