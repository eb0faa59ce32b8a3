"""Where the = position looks, for every input and head."""

from __future__ import annotations

from typing import Any

from analyzers.features import Features
from analyzers.registry import Output, analyzer


@analyzer(
    name="attention_maps",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="Attention maps of =",
    outputs={
        "pattern": Output(
            ("head", "source", "a", "b"), "float32", "Attention of = to the source position", "1"
        )
    },
    formula="pattern_h(source | a, b) = softmax over (a, b, =) of q_h . k_h / sqrt(d_head), query at =",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.2",
    protocol="all p x p inputs; the query of = only, because no other position reaches the output",
    stored=False,
)
def attention_maps(features: Features) -> dict[str, Any]:
    """Attention of the = query to the positions of a, b and = itself.

    Formula: softmax over the three sources of s0_h(a), s1_h(b), s2_h, with s = q_h . k_h / sqrt(d_head) and
    q_h the query at =. The three maps of a head sum to 1 at every input.

    Shape: [n_heads, 3 (a, b, =), p (a), p (b)]. Units: probability. Source: Nanda et al. 2023,
    arXiv:2301.05217.

    Limits: attention between the number tokens is left out on purpose: in a one-layer model it does not reach
    the output. A weight is not a contribution: the value vectors decide what attending does.
    """
    return {"pattern": features.pattern}
