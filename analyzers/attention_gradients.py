"""Gradients by the number tokens, through the attention of `=`, written out.

With x_s = W_E + W_pos of the sources s = a, b, =, the head writes o = sum_s alpha_s w_s, w_s = x_s W_V W_O
(+ a constant) and alpha = softmax(x_s . k), k = W_K (x_= W_Q + b_Q) / sqrt(d_head). From g = d loss / d o:

    d loss / d x_s = alpha_s W_OV g + alpha_s (w_s . g - sum_t alpha_t w_t . g) k

summed over the heads. Constants of the values shift all w_s . g alike and drop out of the second term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from training.fast_path import Weights


@dataclass(frozen=True)
class Heads:
    """What the heads read of a token and write for it.

    value_output [n_heads, d_model, d_model]: W_V W_O; key_query [n_heads, d_model]: k
    writes [3 (a, b, =), n_heads, p, d_model]: w of every token as that source (= has the same in all rows)
    """

    value_output: Tensor
    key_query: Tensor
    writes: Tensor

    @classmethod
    def of(cls, weights: Weights, p: int) -> Heads:
        w_e, w_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
        w_q, w_k = weights["blocks.0.attn.W_Q"], weights["blocks.0.attn.W_K"]
        x_eq = w_e[p] + w_pos[2]
        query = x_eq @ w_q  # [n_heads, d_head]
        if "blocks.0.attn.b_Q" in weights:
            query = query + weights["blocks.0.attn.b_Q"]
        key_query = (w_k @ query[..., None])[..., 0] / w_q.shape[-1] ** 0.5
        value_output = weights["blocks.0.attn.W_V"] @ weights["blocks.0.attn.W_O"]
        sources = torch.stack([w_e[:p] + w_pos[0], w_e[:p] + w_pos[1], x_eq.expand(p, -1)])
        return cls(value_output, key_query, sources[:, None] @ value_output)

    def at_inputs(self, pattern: Tensor, a: Tensor, b: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """(by x_a, by x_b), [n, d_model] each, of the inputs (a, b) [n].

        pattern [n_heads, 3, p, p] of the grid; slopes [n, d_model]: g of each input.
        """
        alpha = pattern[:, :, a, b]  # [n_heads, 3, n]
        written = torch.stack([self.writes[0][:, a], self.writes[1][:, b], self.writes[2][:, a]], dim=1)
        d_score = _softmax_slopes(alpha, (written * slopes).sum(-1))
        through = slopes @ self.value_output.mT  # [n_heads, n, d_model]
        by_a, by_b = (
            (alpha[:, s, :, None] * through + d_score[:, s, :, None] * self.key_query[:, None]).sum(0)
            for s in (0, 1)
        )
        return by_a, by_b

    def over_grid(self, pattern: Tensor, slopes: Tensor) -> Tensor:
        """By W_E of the number tokens, summed over all inputs, [p, d_model]; slopes [p, p, d_model]: g."""
        by_a, by_b = slopes, slopes.transpose(0, 1).contiguous()
        of_a, of_b, _ = pattern.unbind(1)  # [n_heads, p, p]
        gains = torch.stack(
            [
                (by_a @ self.writes[0].permute(1, 2, 0)).permute(2, 0, 1),
                (by_b @ self.writes[1].permute(1, 2, 0)).permute(2, 1, 0),
                (by_a @ self.writes[2][:, 0].T).permute(2, 0, 1),
            ],
            dim=1,
        )
        d_score = _softmax_slopes(pattern, gains)
        at_writes = of_a.permute(1, 0, 2) @ by_a + of_b.permute(2, 0, 1) @ by_b  # [p, n_heads, d_model]
        by_token = (at_writes.transpose(0, 1) @ self.value_output.mT).sum(0)
        return by_token + (d_score[:, 0].sum(2) + d_score[:, 1].sum(1)).T @ self.key_query


def _softmax_slopes(alpha: Tensor, gains: Tensor) -> Tensor:
    """d loss / d scores from d loss / d alpha = `gains`; both have the three sources as their second axis."""
    return alpha * (gains - (alpha * gains).sum(1, keepdim=True))
