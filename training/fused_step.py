"""``FastStep`` on CUDA: all variants at once, and every large array written once (``training.kernels``)."""

from __future__ import annotations

import torch
from torch import Tensor

from training import kernels
from training.fast_step import FastStep, MixGrads, Tables

GRID_BYTES = 2**30  # of the activations of all inputs that are held at once
FEW = 8  # variants; fewer leave multiprocessors idle unless more programs share a group of rows


class FusedStep(FastStep):
    """Losses and gradients as by ``FastStep``. ``block_rows`` limits the inputs (of all variants) held at
    once; a variant is never divided."""

    def _prepare(self, labels: Tensor, train_rows: Tensor, block_rows: int | None) -> None:
        w_u, p = self.weights["unembed.W_U"], self.p
        block_rows = block_rows or GRID_BYTES // (self._d_read * w_u.element_size())
        self._at_once = min(len(w_u), max(1, block_rows // (p * p)))  # variants
        self._grid = w_u.new_zeros(self._at_once, p, p, self._d_read)
        self._labels = labels.to(w_u.device)
        position = torch.arange(self.n_train, dtype=torch.int32).expand(train_rows.shape)
        kept_at = torch.full((len(w_u), p * p), -1, dtype=torch.int32)
        self._kept_at = kept_at.scatter_(1, train_rows, position).to(w_u.device)
        heads = self.weights["blocks.0.attn.W_O"].shape[1]
        parts = 5 if len(w_u) < FEW else 2
        self._d_alpha_parts = w_u.new_zeros(parts, len(w_u), heads, 2, p, p)  # stays 0 off the training rows
        self._d_alpha = w_u.new_zeros(len(w_u), heads, 2, p, p)

    def _forward(self, tables: Tables, w_out_u: Tensor) -> None:
        d_mlp = self.d_mlp
        for first in range(0, len(w_out_u), self._at_once):
            some = slice(first, min(first + self._at_once, len(w_out_u)))
            grid, kept_at = self._grid[: some.stop - first], self._kept_at[some]
            mixed = tables.alpha[some], tables.seen_a[some], tables.seen_b[some]
            kernels.mix(*mixed, kept_at, d_mlp, grid, self._kept[some])
            rows = grid.flatten(1, 2)
            rows[..., d_mlp:].baddbmm_(rows[..., :d_mlp], w_out_u[some])
            kernels.cross_entropy(grid, self._labels, kept_at, d_mlp, self._loss[some], self._d_kept[some])

    def _backward_readout(self, w_out_u: Tensor) -> Tensor:
        post = self._kept[..., : self.d_mlp]
        d_post, d_logits = self._d_kept[:, :-1, : self.d_mlp], self._d_kept[:, :-1, self.d_mlp :]
        d_w_out_u = torch.bmm(post.mT, d_logits)
        torch.bmm(d_logits, w_out_u.mT, out=d_post)
        torch.ops.aten.threshold_backward.grad_input(d_post, post, 0, grad_input=d_post)
        return d_w_out_u[..., : self.p]

    def _backward_mixes(self, tables: Tables) -> MixGrads:
        variants, heads, _, p, _ = tables.alpha.shape
        d_seen = self._d_kept.new_empty(2, variants, p, heads + 1, self._d_read)
        alpha0, alpha1 = tables.alpha[:, :, 0], tables.alpha[:, :, 1].mT
        parts0, parts1 = self._d_alpha_parts[..., 0, :, :], self._d_alpha_parts[..., 1, :, :]
        for by, alpha, seen, parts, out in (
            (self._by_a, alpha0, tables.seen_a, parts0, d_seen[0]),
            (self._by_b, alpha1, tables.seen_b, parts1.mT, d_seen[1]),
        ):
            kernels.unmix(self._d_kept, by.rows, by.other, alpha, seen, parts, out)
        torch.sum(self._d_alpha_parts, 0, out=self._d_alpha)
        d_alpha0, d_alpha1 = self._d_alpha[:, :, 0], self._d_alpha[:, :, 1]
        return MixGrads(
            d_alpha0, d_alpha1, d_seen[0, :, :, :heads], d_seen[1, :, :, :heads], d_seen[0, :, :, heads]
        )

    def _d_score(self, tables: Tables, d_alpha0: Tensor, d_alpha1: Tensor) -> Tensor:
        variants, heads, _, p, _ = tables.alpha.shape
        d_score = self._d_alpha.new_zeros(variants, heads, 2 * p + 1)
        kernels.d_score(tables.alpha, self._d_alpha, d_score)
        d_score[..., -1] -= d_score[..., :-1].sum(-1)
        return d_score
