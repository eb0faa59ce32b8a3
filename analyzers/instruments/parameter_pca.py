"""The path of the parameters through training, in its principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.registry import Output, analyzer
from analyzers.run import Run
from data.errors import WorkbenchError

N_COMPONENTS = 10
GROUPS = {  # of tensors, by the beginnings of their names: sets of several matrices, then single matrices
    "all": ("",),
    "embedding": ("embed.", "pos_embed."),
    "attention": ("blocks.0.attn.",),
    "mlp": ("blocks.0.mlp.",),
    "W_U": ("unembed.W_U",),
    "W_E": ("embed.W_E",),
    "W_pos": ("pos_embed.W_pos",),
    "W_Q": ("blocks.0.attn.W_Q",),
    "W_K": ("blocks.0.attn.W_K",),
    "W_V": ("blocks.0.attn.W_V",),
    "W_O": ("blocks.0.attn.W_O",),
    "W_in": ("blocks.0.mlp.W_in",),
    "W_out": ("blocks.0.mlp.W_out",),
}
_COLUMNS = 16384

Array = NDArray[np.float64]


@analyzer(
    name="parameter_pca",
    version=2,
    scope="trajectory",
    kind="weights",
    title="Parameter trajectory",
    outputs={
        "projection": Output(
            ("group", "epoch", "component"), "float32", "Position along the component", "weight"
        ),
        "explained_variance_ratio": Output(
            ("group", "component"), "float32", "Share of the total variance of the path", "1"
        ),
        "velocity": Output(
            ("group", "epoch"),
            "float32",
            "Displacement per epoch since the previous checkpoint",
            "weight / epoch",
        ),
        "distance": Output(
            ("group", "epoch", "other_epoch"), "float64", "Distance of two checkpoints", "weight"
        ),
        "parameters": Output(("group",), "int64", "Number of parameters", "1"),
    },
    formula="eigenvectors u_i, eigenvalues l_i of G = C C^T, C [epoch, parameter] centred over the"
    " checkpoints; projection_i = sqrt(l_i) u_i; ratio_i = l_i / trace G; velocity_t = ||theta_t -"
    " theta_{t-1}|| / (e_t - e_{t-1}); distance_st = ||theta_s - theta_t||",
    source="Principal component analysis by the method of snapshots (Sirovich 1987, Quart. Appl. Math. 45,"
    " 561)",
    protocol="all saved checkpoints; groups all, embedding (W_E, W_pos), attention and mlp (with their"
    " biases if there are any), and every matrix by itself, all heads together; float64; ratios of the total"
    " variance, not of the kept components",
    caveats="Every checkpoint has the same weight, however many epochs it stands for: a stretch with dense"
    " checkpoints pulls the mean and the axes towards itself, and more checkpoints there change the picture."
    " Random walks give smooth, curved paths with large first ratios too (0.61, 0.15, 0.07 for a plain"
    " walk): a shape is no evidence by itself. Axes of two runs are not comparable.",
    requires=(),
)
def parameter_pca(run: Run) -> dict[str, Any]:
    """Principal components of the checkpoints of one run, per group of parameters, and the speed of travel.

    Formula: C [E, n] holds the parameters of the E checkpoints less their mean over checkpoints; G = C C^T;
    G u_i = l_i u_i; projection [:, i] = sqrt(l_i) u_i; explained_variance_ratio_i = l_i / trace(G). The sign
    of a component makes its largest entry (the earliest of equals) positive. velocity_t = ||theta_t -
    theta_{t-1}||_2 / (epoch_t - epoch_{t-1}), with NaN for the first checkpoint.

    Shapes: projection [group, epoch, 10], explained_variance_ratio [group, 10], velocity [group, epoch],
    distance [group, epoch, other_epoch], parameters [group]. Groups without tensors in the checkpoints are
    left out. Units: weights; share of the total variance in [0, 1]; weights per epoch. Components that E
    checkpoints cannot have (10 > E - 1) are NaN.

    Source: PCA by snapshots, Sirovich 1987.

    Limits: each checkpoint weighs 1 / E, whatever its spacing, so the mean and the axes are those of the
    checkpoints and not of the time between them; only velocity is per epoch. Velocity is that of the chord, a
    lower bound of the path's. Smooth paths are not evidence of structure: a random walk shows them too. A
    checkpoint with values that are not finite is left out of its group's components and has NaN there, and
    in its distances. Memory: all checkpoints in float32.
    """
    epochs, stacks = _stack(run)
    statistics = {name: _statistics(values) for name, values in stacks.items()}
    groups = {group: [name for name in stacks if name.startswith(GROUPS[group])] for group in GROUPS}
    groups = {group: names for group, names in groups.items() if names}
    projections, ratios, velocities, distances = [], [], [], []
    for names in groups.values():
        members = [statistics[name] for name in names]
        finite: NDArray[np.bool_] = np.asarray(np.array([found.finite for found in members]).all(axis=0))
        gram = np.sum([found.gram for found in members], axis=0)
        projection, ratio = principal_components(gram[np.ix_(finite, finite)])
        placed = np.full((len(epochs), N_COMPONENTS), np.nan)
        placed[finite] = projection
        step = np.sqrt(sum(found.squared_step for found in members)) / np.diff(epochs)
        projections.append(placed)
        ratios.append(ratio)
        velocities.append(np.concatenate([[np.nan], step]))
        distances.append(_distances(gram, finite))
    return {
        "epoch": epochs,
        "other_epoch": epochs,
        "group": list(groups),
        "projection": projections,
        "explained_variance_ratio": ratios,
        "velocity": velocities,
        "distance": distances,
        "parameters": [sum(stacks[name].shape[1] for name in names) for names in groups.values()],
    }


def _distances(gram: Array, finite: NDArray[np.bool_]) -> Array:
    """Distances [E, E] of points with that Gram matrix; NaN for those that are not finite."""
    square = np.diagonal(gram)
    distance = np.sqrt((square[:, None] + square - 2 * gram).clip(min=0))
    np.fill_diagonal(distance, 0)
    distance[~finite] = distance[:, ~finite] = np.nan
    return distance


def principal_components(gram: Array, n_components: int = N_COMPONENTS) -> tuple[Array, Array]:
    """(projection [E, n_components], ratio [n_components]) from the Gram matrix [E, E] of E points.

    The Gram matrix is centred here. Components from the E-th on do not exist and are NaN; without any
    variance the ratios are NaN and the projections 0.
    """
    count = len(gram)
    projection, ratio = np.full((count, n_components), np.nan), np.full(n_components, np.nan)
    exist = min(count - 1, n_components)
    if exist < 1:
        return projection, ratio
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    values, vectors = np.linalg.eigh(centred)
    values, vectors = values[::-1][:exist].clip(min=0), vectors[:, ::-1][:, :exist]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(exist)]
    projection[:, :exist] = vectors * np.sign(largest) * np.sqrt(values)
    total = np.trace(centred)
    if total > 0:
        ratio[:exist] = values / total
    return projection, ratio


@dataclass(frozen=True)
class _Statistics:
    """Of one tensor: gram [E, E] of its values less their mean, squared_step [E - 1], finite [E]."""

    gram: Array
    squared_step: Array
    finite: NDArray[np.bool_]


def _stack(run: Run) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    found = list(run.checkpoints())
    if not found:
        raise WorkbenchError("No checkpoint can be read, so that there is no path to analyse.")
    names = found[0][1]
    epochs = np.array([epoch for epoch, _ in found], dtype=np.int64)
    return epochs, {name: np.stack([weights[name].ravel() for _, weights in found]) for name in names}


def _statistics(values: NDArray[np.float32]) -> _Statistics:
    count = len(values)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    gram, squared_step = np.zeros((count, count)), np.zeros(count - 1)
    for start in range(0, values.shape[1], _COLUMNS):
        columns = values[:, start : start + _COLUMNS].astype(np.float64)
        with np.errstate(invalid="ignore"):
            squared_step += (np.diff(columns, axis=0) ** 2).sum(axis=1)
        if finite.any():
            columns -= columns[finite].mean(axis=0)
        columns[~finite] = 0
        gram += columns @ columns.T
    return _Statistics(gram, squared_step, finite)
