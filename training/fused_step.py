"""``FastStep`` on CUDA: all variants at once, and every large array written once (``training.kernels``)."""

from __future__ import annotations

import torch
from torch import Tensor

from training import kernels
from training.fast_step import FastStep, Tables

GRID_BYTES = 2**30  # of the activations of all inputs that are held at once
COLUMNS = 128  # of d G that one program of the backward adds up


class FusedStep(FastStep):
    """Losses and gradients as by ``FastStep``. ``block_rows`` limits the inputs (of all variants) held at
    once; a variant is never divided."""

    def _prepare(self, labels: Tensor, train_rows: Tensor, block_rows: int | None) -> None:
        w_u, p = self.weights["unembed.W_U"], self.p
        block_rows = block_rows or GRID_BYTES // (self._d_read * w_u.element_size())
        self._at_once = min(len(w_u), max(1, block_rows // (p * p)))  # variants
        self._grid = w_u.new_zeros(self._at_once, p, p, self._d_read)
        self._post = w_u.new_zeros(len(w_u), self.n_train, self.d_mlp)  # of the training rows
        self._d_kept = w_u.new_zeros(len(w_u), self.n_train, self._d_read)
        self._labels = labels.to(w_u.device)
        position = torch.arange(self.n_train, dtype=torch.int32).expand(train_rows.shape)
        kept_at = torch.full((len(w_u), p * p), -1, dtype=torch.int32)
        self._kept_at = kept_at.scatter_(1, train_rows, position).to(w_u.device)
        self._groups = self._by_operand()
        heads, parts = self.weights["blocks.0.attn.W_O"].shape[1], -(-self._d_read // COLUMNS)
        self._slopes = w_u.new_empty(2, parts, len(w_u), heads, self.n_train)

    def _by_operand(self) -> tuple[Tensor, Tensor, Tensor]:
        """Training rows by a and by b as ``kernels.unmix`` takes them: rows, other operand, how many."""
        sides = self._by_a, self._by_b
        longest = max(side.rows.shape[-1] for side in sides)
        rows = torch.stack([_widened(side.rows, longest) for side in sides])
        others = torch.stack([_widened(side.other[:, 0], longest) for side in sides])
        counts = torch.stack([(side.rows < self.n_train).sum(-1) for side in sides])
        return rows.int(), others.int(), counts.int()

    def _attend(self, score: Tensor) -> Tensor:
        alpha = score.new_empty(*score.shape[:2], 2, self.p, self.p)
        kernels.attend(score, alpha)
        return alpha

    def _forward(self, tables: Tables, w_out_u: Tensor) -> None:
        d_mlp = self.d_mlp
        for first in range(0, len(w_out_u), self._at_once):
            some = slice(first, min(first + self._at_once, len(w_out_u)))
            grid, kept_at = self._grid[: some.stop - first], self._kept_at[some]
            mixed = tables.alpha[some], tables.seen[some], tables.constant[some]
            kernels.mix(*mixed, kept_at, grid, self._post[some])
            rows = grid.flatten(1, 2)
            rows[..., d_mlp:].baddbmm_(rows[..., :d_mlp], w_out_u[some])
            kernels.cross_entropy(grid, self._labels, kept_at, d_mlp, self._loss[some], self._d_kept[some])

    def _backward_readout(self, w_out_u: Tensor) -> Tensor:
        d_post, d_logits = self._d_kept[..., : self.d_mlp], self._d_kept[..., self.d_mlp :]
        torch.bmm(d_logits, w_out_u.mT, out=d_post)  # the slope of the ReLU is left to ``kernels.unmix``
        return torch.bmm(self._post.mT, d_logits)

    def _backward_mixes(self, tables: Tables) -> tuple[Tensor, Tensor]:
        variants, heads, _, p, _ = tables.alpha.shape
        d_seen, d_sum = torch.empty_like(tables.seen), self._d_kept.new_empty(variants, p, self._d_read)
        read = *self._groups, tables.alpha, tables.seen
        kernels.unmix(self._d_kept, self._post, *read, self._slopes, d_seen, d_sum)
        d_seen[:, :, -1] = d_sum.sum(1, keepdim=True)
        d_score = self._d_kept.new_empty(variants, heads, 2 * p)
        kernels.d_score(tables.alpha, self._slopes, *self._groups, d_score)
        return d_seen, d_score


def _widened(groups: Tensor, longest: int) -> Tensor:
    return torch.nn.functional.pad(groups, (0, longest - groups.shape[-1]))
