"""What each head adds to what the neurons and the unembedding read, in float32.

Everything that reads the residual stream is linear, so the reading is done once per token: with W_read =
[W_in | W_U] a head adds sum_s alpha_s T_s, T_s = (x_s W_V + b_V) W_O W_read, to [inputs of the neurons |
direct logits]. The model without a head is then one difference and one product with W_L per input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from training.fast_path import Weights


class HeadReadings:
    """The model without heads, from its weights (float64) and the attention pattern [n_heads, 3, p, p]."""

    def __init__(self, weights: Weights, pattern: Tensor, p: int) -> None:
        w_in, w_out, w_u = (
            weights[name] for name in ("blocks.0.mlp.W_in", "blocks.0.mlp.W_out", "unembed.W_U")
        )
        w_e, w_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
        equals = w_e[p] + w_pos[2]
        sources = torch.stack([w_e[:p] + w_pos[0], w_e[:p] + w_pos[1], equals.expand(p, -1)])
        read = torch.cat([w_in, w_u], dim=1)
        values = sources[:, None] @ weights["blocks.0.attn.W_V"]  # [3, n_heads, p, d_head]
        if "blocks.0.attn.b_V" in weights:
            values = values + weights["blocks.0.attn.b_V"][:, None]
        added = values @ (weights["blocks.0.attn.W_O"] @ read)  # [3, n_heads, p, d_read]
        without = equals @ read
        for name, into in (("attn.b_O", read), ("mlp.b_out", _padded(w_u, w_in.shape[1]))):
            if f"blocks.0.{name}" in weights:
                without = without + weights[f"blocks.0.{name}"] @ into
        offset = [weights.get(name, w_in.new_zeros(())) for name in ("blocks.0.mlp.b_in", "unembed.b_U")]
        without = without + torch.cat([offset[0].expand(w_in.shape[1]), offset[1].expand(w_u.shape[1])])
        share = [pattern[:, 0].sum(2), pattern[:, 1].sum(1), pattern[:, 2].sum(2)]  # of every token, [h, p]
        mean = torch.stack([of[:, None] @ part for of, part in zip(share, added, strict=True)]).sum(0) / p**2
        self.n_heads, self._d_mlp, self._p = len(pattern), w_in.shape[1], p
        self._pattern, self._read_out = pattern.float(), (w_out @ w_u).float()
        self._of_a, self._of_b, self._of_equals = added.float()
        self._without, self._mean = without.float(), mean.float()[:, 0]  # [d_read], [n_heads, d_read]

    def logits_without_each(self, a: slice) -> Tensor:
        """[n_heads, 2 (zero, mean), inputs, p] for the inputs of some values of a, rows a * p + b."""
        from_each = self._added(a)
        whole = from_each.sum(0) + self._without
        found = whole.new_empty(self.n_heads, 2, len(whole), self._read_out.shape[1])
        for head, added in enumerate(from_each):
            torch.sub(whole, added, out=added)
            self._logits(added, found[head, 0])
            self._logits(added.add_(self._mean[head]), found[head, 1])
        return found

    def logits_without_all(self) -> Tensor:
        """[2 (zero, mean), p]: the logits of every input when no head is left."""
        read = torch.stack([self._without, self._without + self._mean.sum(0)])
        found = read.new_empty(2, self._read_out.shape[1])
        self._logits(read, found)
        return found

    def _added(self, a: slice) -> Tensor:
        """What each head adds, [n_heads, inputs, d_read]."""
        to_a, to_b, to_equals = self._pattern[:, :, a].unbind(1)  # [n_heads, some a, p]
        of_a = self._of_a[:, a, None]
        ends = torch.cat([of_a, self._of_equals[:, :1, None].expand_as(of_a)], dim=2)
        found = torch.stack([to_a, to_equals], dim=-1) @ ends  # [n_heads, some a, p, d_read]
        found += to_b[..., None] * self._of_b[:, None]
        return found.flatten(1, 2)

    def _logits(self, read: Tensor, out: Tensor) -> None:
        neurons, direct = read[:, : self._d_mlp], read[:, self._d_mlp :]
        torch.addmm(direct, neurons.relu(), self._read_out, out=out)


def _padded(w_u: Tensor, d_mlp: int) -> Tensor:
    """W_U with a column of zeros for each neuron before it: b_out reaches the logits only."""
    return torch.cat([w_u.new_zeros(len(w_u), d_mlp), w_u], dim=1)
