"""How the right answers are laid out inside the model: class centroids per site."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Array, Features
from analyzers.registry import Output, analyzer
from analyzers.rings import rings

N_COMPONENTS = 4
_ROUNDING = 1e-14  # of a site's mean square: spread below this is rounding


@analyzer(
    name="representations",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Class centroids",
    outputs={
        "coordinate": Output(
            ("site", "class", "component"), "float32", "Centroid along a principal component", "activation"
        ),
        "explained": Output(("site", "component"), "float32", "Share of the centroids' variance", "1"),
        "radius": Output(
            ("site", "class"), "float32", "Distance of the centroid from the mean", "activation"
        ),
        "within": Output(("site",), "float32", "Mean squared distance to the own centroid", "activation^2"),
        "between": Output(
            ("site",), "float32", "Mean squared distance of centroids to the mean", "activation^2"
        ),
        "snr": Output(("site",), "float32", "Variance between classes over variance within", "1"),
        "fisher_median": Output(("site",), "float32", "Median Fisher ratio over pairs of classes", "1"),
        "fisher_min": Output(("site",), "float32", "Fisher ratio of the worst pair of classes", "1"),
        "fisher_worst": Output(
            ("site", "member"), "int16", "Classes of the worst pair (-1: none)", "residue"
        ),
        "share": Output(("site", "freq"), "float32", "Share of the centroids' energy at frequency k", "1"),
        "ellipticity": Output(
            ("site", "freq"), "float32", "Ratio of the axes of the centroids' ellipse at k", "1"
        ),
    },
    formula="mu_c = mean of x over the inputs whose right answer is c; snr = mean ||mu_c - mu||^2 / mean ||x"
    " - mu_c||^2; J_rs = ||mu_r - mu_s||^2 / (s_r^2 + s_s^2), s_c^2 = mean ||x - mu_c||^2 within c; share and"
    " ellipticity of the centroids as for W_E",
    source="Fisher 1936, Ann. Eugenics 7, 179; ellipticity: definition of this workbench",
    protocol="all p^2 inputs at =, sites that vary with the input: residual stream after attention"
    " (resid_mid), neurons, MLP output, residual stream after the MLP (resid_post), logits less their mean"
    " over the classes",
    caveats="Labels dealt at random give an snr and a mean Fisher ratio of 1 / p. The residual stream before"
    " attention is the same for every input at = and has no centroids. Ellipticity where k has little energy"
    " is that of noise.",
)
def representations(features: Features) -> dict[str, Any]:
    """Centroids of the classes (right answers) at every site that depends on the input, and their separation.

    Formula: as above, means over inputs. radius_c = ||mu_c - mean of centroids||; coordinates and explained:
    principal components of the centroids, the sign such that each one's largest coordinate is positive.

    Shapes: coordinate [5, p, 4], explained [5, 4], radius [5, p], within, between, snr, fisher_* [5],
    fisher_worst [5, 2], share, ellipticity [5, K]. site: resid_mid, neurons, mlp_out, resid_post, logits.
    Units: of the site's activations; ratios.

    Source: Fisher 1936. Limits: J compares whole squared distances with whole variances, so a wide spread
    along directions that do not separate r from s lowers it. Null: 1 / p for snr and mean J. A class without
    inputs (operations other than a + b) has NaN, and with it share and ellipticity; so has a site that is
    not finite.
    """
    labels = features.task.labels
    found = [_site(values, labels) for values in _sites(features).values()]
    return {"site": list(_sites(features)), **{name: [each[name] for each in found] for name in found[0]}}


def _sites(features: Features) -> dict[str, Array]:
    """Activations per site, [p * p, width]."""
    grid, n = features.grid, features.p**2
    return {
        "resid_mid": grid.resid_mid.numpy().reshape(n, -1),
        "neurons": grid.neurons.numpy().reshape(n, -1),
        "mlp_out": (grid.resid_post - grid.resid_mid).numpy().reshape(n, -1),
        "resid_post": grid.resid_post.numpy().reshape(n, -1),
        "logits": (grid.logits - grid.logits.mean(-1, keepdim=True)).numpy().reshape(n, -1),
    }


def _site(values: Array, labels: NDArray[np.int64]) -> dict[str, Any]:
    """All outputs for one site, from `values` [n, width] and the class of each row."""
    centroid, variance, count = centroids(values, labels)
    total = count.sum()
    there = count > 0
    weight = count[there] / total
    offset = centroid[there] - weight @ centroid[there]
    square = (offset**2).sum(axis=1)
    within, between = float(weight @ variance[there]), float(weight @ square)
    share, ratio, _ = rings(centroid)
    coordinate, explained = _components(centroid)
    radius = np.full(len(count), np.nan)
    radius[there] = np.linalg.norm(centroid[there] - centroid[there].mean(axis=0), axis=1)
    return {
        "coordinate": coordinate,
        "explained": explained,
        "radius": radius,
        "within": within,
        "between": between,
        "snr": between / within if within > 0 else np.nan,
        **_fisher(centroid, variance),
        "share": share,
        "ellipticity": ratio,
    }


def centroids(values: Array, labels: NDArray[np.int64]) -> tuple[Array, Array, NDArray[np.int64]]:
    """(centroid [p, width], variance [p] = mean squared distance to it, count [p]), p = sqrt(n) classes.

    A class without members has NaN.
    """
    import torch

    p = round(np.sqrt(len(labels)))
    count = np.bincount(labels, minlength=p)
    index, rows = torch.from_numpy(labels), torch.from_numpy(values)
    total = torch.zeros((p, values.shape[1]), dtype=rows.dtype).index_add_(0, index, rows).numpy()
    square = np.bincount(labels, np.einsum("nd,nd->n", values, values), minlength=p)
    with np.errstate(invalid="ignore", divide="ignore"):
        centroid, mean_square = total / count[:, None], square / count
    variance = mean_square - (centroid**2).sum(axis=1)
    return centroid, np.where(variance > _ROUNDING * mean_square, variance, 0 * variance), count


def _fisher(centroid: Array, variance: Array) -> dict[str, Any]:
    first, second = np.triu_indices(len(centroid), 1)
    there = np.isfinite(centroid).all(axis=1)
    centred = centroid - (centroid[there].mean(axis=0) if there.any() else 0.0)
    gram = centred @ centred.T
    square = np.diag(gram)
    apart = np.maximum(square[first] + square[second] - 2 * gram[first, second], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = apart / (variance[first] + variance[second])
    known = np.flatnonzero(~np.isnan(ratio))
    if not len(known):
        return {"fisher_median": np.nan, "fisher_min": np.nan, "fisher_worst": [-1, -1]}
    worst = known[ratio[known].argmin()]
    return {
        "fisher_median": np.median(ratio[known]),
        "fisher_min": ratio[worst],
        "fisher_worst": [first[worst], second[worst]],
    }


def _components(centroid: Array) -> tuple[Array, Array]:
    """(coordinate [p, 4], explained [4]) of the principal components; NaN where there are none."""
    coordinate = np.full((len(centroid), N_COMPONENTS), np.nan)
    explained = np.full(N_COMPONENTS, np.nan)
    there = np.isfinite(centroid).all(axis=1)
    if there.sum() < 2:
        return coordinate, explained
    centred = centroid[there] - centroid[there].mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    kept = min(N_COMPONENTS, len(values))
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1][:, :kept]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)]
    coordinate[there, :kept] = vectors * np.sign(largest) * np.sqrt(values[:kept])
    if values.sum() > 0:
        explained[:kept] = values[:kept] / values.sum()
    return coordinate, explained
