"""The loss without each of many functions of one residue, without computing as many softmaxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import cross_entropy

_SMALLEST = 1e-280  # sums below it may have lost terms to underflow

Array = NDArray[Any]


def losses_without(logits: Array, labels: Array, residues: Array, tables: Array) -> Array:
    """Cross-entropy of `logits` less each table, [n, m].

    logits [n, p] (finite), labels [n]; residues [n] of the inputs; tables [m, p (residue), p (class)]:
    what is taken from the logits of an input with that residue.

    exp(l_j - t_j) = exp(l_j) exp(-t_j) turns the sums over the wrong classes into products of matrices,
    one for each residue, with two exponentials per number instead of m. Every factor is positive, so that
    no digit is lost; sums that are close to underflow are done directly.
    """
    rows = np.arange(len(labels))
    lead = logits - logits[rows, labels][:, None]
    lead[rows, labels] = -np.inf
    height = lead.max(axis=1)
    behind = np.exp(lead - height[:, None])
    taken = tables.min(axis=2)  # [m, residue]
    factor = np.exp(taken[..., None] - tables)
    wrong = np.empty((len(labels), len(tables)))
    for residue in np.unique(residues).tolist():
        own = residues == residue
        wrong[own] = behind[own] @ factor[:, residue].T
    own_part = tables[:, residues, labels].T - taken[:, residues].T
    with np.errstate(divide="ignore"):
        losses = np.logaddexp(0.0, np.log(wrong) + height[:, None] + own_part)
    for row, table in np.argwhere(wrong < _SMALLEST).tolist():
        left = logits[row] - tables[table, residues[row]]
        losses[row, table] = cross_entropy(left[None], labels[row : row + 1])[0]
    return np.asarray(losses)
