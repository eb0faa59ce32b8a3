"""What the query of = sees in each number token."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Array, Features
from analyzers.fourier import dominant, transform
from analyzers.registry import Output, analyzer

POSITIONS = ("a", "b")
_BY_FREQ = ("head", "freq")


@analyzer(
    name="query_scores",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="Scores of the = query",
    outputs={
        "score": Output(
            ("head", "position", "token"), "float32", "Score of the token before softmax", "logit"
        ),
        "self_score": Output(("head",), "float32", "Score of = itself before softmax", "logit"),
        "cos": Output(_BY_FREQ, "float32", "Amplitude of cos(2 pi k x / p) in the score", "logit"),
        "sin": Output(_BY_FREQ, "float32", "Amplitude of sin(2 pi k x / p) in the score", "logit"),
        "share": Output(_BY_FREQ, "float32", "Share of the score's variance at frequency k", "1"),
        "dominant_frequency": Output(("head",), "int16", "Frequency with the largest share (0: none)", "k"),
        "dominant_share": Output(("head",), "float32", "Largest share over the frequencies", "1"),
        "self_attention": Output(("head",), "float32", "Mean attention of = to itself", "1"),
        "linearity": Output(
            ("head",), "float32", "Share of the attention to a that is linear in score(a) - score(b)", "1"
        ),
    },
    formula="s_h(x, j) = (W_E[=] + W_pos[2]) W_Q^h . (W_E[x] + W_pos[j]) W_K^h / sqrt(d_head), x < p, j = 0"
    " (a), 1 (b)",
    source="The attention logits of Nanda et al. 2023, arXiv:2301.05217, as a function of one token",
    protocol="positions and 1 / sqrt(d_head) included; weights only, but for linearity and self_attention"
    " (all p^2 inputs)",
    caveats="The products of number tokens with number tokens (W_E W_Q W_K^T W_E^T) do not reach the output"
    " of a one-layer model and are not shown. cos against sin depends on which token is called 0.",
)
def query_scores(features: Features) -> dict[str, Any]:
    """Scores that the query of = gives to each number token at each position, and their Fourier amplitudes.

    Formula: score_h(x, j) as above; score = mean + sum_k cos_k cos(2 pi k x / p) + sin_k sin(2 pi k x / p);
    share_k = (cos_k^2 + sin_k^2) / sum_j (cos_j^2 + sin_j^2). The attention is the softmax of score(a, 0),
    score(b, 1) and self_score. A position only adds a constant to the scores, so that cos, sin and share are
    those of a and of b. linearity: R^2 of the least-squares line of the attention to a against
    score(a, 0) - score(b, 1) over the grid; near 1 the softmax acts as a straight line, and the head passes
    on its scores without harmonics.

    Shapes: score [n_heads, 2 (a, b), p]; cos, sin, share [n_heads, 2, K]; dominant_* [n_heads, 2];
    self_score, self_attention, linearity [n_heads]. Units: logits of the softmax; shares; probability. k is
    1-based, 0 if the score is the same for all tokens.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: only differences between the three scores matter, so a constant of a head means nothing by itself.
    A share says nothing of size: read it beside the amplitudes.
    """
    p = features.p
    tokens, positions = features.weight("embed.W_E"), features.weight("pos_embed.W_pos")
    w_q, w_k = features.weight("blocks.0.attn.W_Q"), features.weight("blocks.0.attn.W_K")
    query = (tokens[p] + positions[2]) @ w_q  # [n_heads, d_head]
    if "blocks.0.attn.b_Q" in features.weights:
        query = query + features.weight("blocks.0.attn.b_Q")
    key = np.einsum("hmd,hd->hm", w_k, query) / np.sqrt(w_q.shape[-1])  # what each head looks for
    score = np.stack([(tokens[:p] + positions[j]) @ key.T for j in range(2)]).transpose(2, 0, 1)
    spectrum = transform(score[:, 0], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(spectrum.energy / spectrum.energy.sum(axis=0), nan=0.0)
    share = np.where(np.isfinite(score).all(axis=(1, 2)), share, np.nan)
    frequency, largest = dominant(share)
    scale = np.sqrt(2 / p)  # from a coefficient on a unit vector to the amplitude of the wave
    return {
        "position": list(POSITIONS),
        "score": score,
        "self_score": key @ (tokens[p] + positions[2]),
        "cos": scale * spectrum.cos.T,
        "sin": scale * spectrum.sin.T,
        "share": share.T,
        "dominant_frequency": frequency,
        "dominant_share": largest,
        "self_attention": features.pattern[:, 2].mean(axis=(1, 2)),
        "linearity": [_linearity(to_a, own) for to_a, own in zip(features.pattern[:, 0], score, strict=True)],
    }


def _linearity(to_a: Array, score: Array) -> float:
    """R^2 of the attention to a [p, p] on score(a) - score(b), of score [2, p]; NaN if either is constant."""
    difference = score[0][:, None] - score[1][None]
    x, y = difference - difference.mean(), to_a - to_a.mean()
    total = (x**2).sum() * (y**2).sum()
    return float((x * y).sum() ** 2 / total) if total > 0 else float("nan")
