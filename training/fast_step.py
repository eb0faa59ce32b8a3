"""Losses and gradients of the modular-arithmetic transformer for one or many variants at once, by hand.

The function is that of ``training.fast_path``; here it is arranged so that little is left to compute.
Attention of ``=`` mixes per-token vectors with three weights per head that sum to one, and everything that
reads the
residual stream is linear: the MLP through W_in and the unembedding through W_U. So the reading can be done
once per token, and the mixing of the results per input. With ``W_read = [W_in | W_U]`` (d_read columns) and
the rows ``x`` of the ``2 p + 1`` (position, token) pairs (p for a, p for b, one for ``=``)::

    T_h(x) = x W_V^h W_O^h W_read                         what head h writes, as seen by the readers
    D_h(x) = T_h(x) - T_h(x_=)        c = x_= W_read + sum_h T_h(x_=)
    G(a, b) = c + sum_h alpha0_h(a, b) D_h(x_a) + alpha1_h(a, b) D_h(x_b)  = [pre | direct logits]
    logits(a, b) = direct + relu(pre) W_out W_U

One pass over the whole grid gives the train and the test loss of the same weights; only training rows go
back. The gradients are written out below in the reverse order of the forward pass, with the same names.
``FastStep`` is the plain version, made for a CPU; ``training.fused_step`` computes the same on CUDA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.engine import Interventions

ALIGN = 8  # matrix products are faster when the number of logits is a multiple of this; the rest stays zero
CPU_BLOCK_ROWS = 1024  # few enough that a block stays in the cache between producing and using it


@dataclass
class Tables:
    """What the forward pass keeps of the part that depends on one token only (V variants, H heads)."""

    at_embed: Tensor | None  # sum of r B, [V, p, p]
    at_attn_out: Tensor | None  # sum of r A, [V, d_model, d_model]
    x: Tensor  # [V, 2p+1, d_model]
    query: Tensor  # [V, H, 1, d_head], scaled
    key_query: Tensor  # [V, H, d_model, 1]
    value: Tensor  # [V, H, 2p+1, d_head]
    w_o: Tensor  # [V, H, d_head, d_model], with the intervention
    w_read: Tensor  # [V, d_model, d_read]
    w_out_read: Tensor  # [V, H, d_head, d_read]: W_O W_read
    seen_a: Tensor  # [V, p, H+1, d_read]: D_h(x_a) for every head, then c
    seen_b: Tensor  # [V, p, H, d_read]: D_h(x_b)
    alpha: Tensor  # [V, H, 3, p (a), p (b)]


class MixGrads(NamedTuple):
    """From d G at the training rows."""

    d_alpha0: Tensor  # [V, H, p (a), p (b)]
    d_alpha1: Tensor
    d_seen_a: Tensor  # of D, [V, p, H, d_read]
    d_seen_b: Tensor
    d_sum: Tensor  # sum of d G over b, [V, p, d_read]


@dataclass(frozen=True)
class _Block:
    """The inputs of a few values of a."""

    a: slice
    rows: slice  # of the grid
    kept: slice  # of the kept training rows
    labels: Tensor  # [rows, 1]
    train: Tensor  # training rows, counted from the first row of the block
    train_labels: Tensor  # [train rows, 1]


class _Segments:
    """Training rows grouped by one operand, padded to the largest group, for all variants.

    rows [V, p, longest]: position among the kept rows of the variant (n_train where padded)
    kept [V, p * longest]: the same among those of all variants (a row of zeros where padded)
    other [V, 1, p, longest]: the other operand (0 where padded)
    """

    def __init__(self, group: Tensor, other: Tensor, p: int) -> None:
        variants, n_train = group.shape
        longest = int(max(torch.bincount(row, minlength=p).max() for row in group))
        self.rows = torch.full((variants, p, longest), n_train, dtype=torch.int64)
        self.other = torch.zeros(variants, 1, p, longest, dtype=torch.int64)
        for variant in range(variants):
            order = torch.argsort(group[variant], stable=True)
            owner = group[variant][order]
            start = torch.searchsorted(owner, torch.arange(p))
            place = torch.arange(n_train) - start[owner]
            self.rows[variant, owner, place] = order
            self.other[variant, 0, owner, place] = other[variant][order]
        self.kept = (self.rows + (n_train + 1) * torch.arange(variants)[:, None, None]).flatten(1)

    def to(self, device: torch.device) -> _Segments:
        self.rows, self.kept, self.other = (x.to(device) for x in (self.rows, self.kept, self.other))
        return self


class FastStep:
    """Evaluates losses and gradients of ``variants`` models that share p and sizes but nothing else.

    weights, grads: name -> [variants, ...] (see ``training.transformer``); both are kept, weights are read
    anew at every call and grads are overwritten.
    labels [p * p]: the right answer of every row. train_rows [variants, n_train]: rows a * p + b trained on.
    interventions: linear changes of the attention output or of the embedding (see ``training.engine``): the
    model is evaluated with W_O (I + r A) and (I + r B) W_E[:p] in place of W_O and W_E[:p].
    Everything lives on one device in one float dtype; losses are float64. Shapes are static and nothing is
    copied from the device to the host, so that a call can be captured in a CUDA graph.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        labels: Tensor,
        train_rows: Tensor,
        interventions: Interventions | None = None,
        block_rows: int | None = None,
    ) -> None:
        self.weights, self.grads = weights, grads
        self._interventions = interventions or Interventions([()] * len(train_rows), train_rows.double())
        w_in, w_u = weights["blocks.0.mlp.W_in"], weights["unembed.W_U"]
        self.p, self.d_mlp = w_u.shape[-1], w_in.shape[-1]
        p, variants, rows = self.p, len(w_u), self.p**2
        if labels.shape != (rows,) or train_rows.ndim != 2 or len(train_rows) != variants:
            raise ValueError(
                f"labels {tuple(labels.shape)} or train_rows {tuple(train_rows.shape)} do not fit"
            )
        self.n_train, self.n_test = train_rows.shape[1], rows - train_rows.shape[1]
        self._padding = -p % ALIGN
        device = w_u.device

        train_rows = train_rows.cpu().sort(1).values
        self._by_a = _Segments(train_rows // p, train_rows % p, p).to(device)
        self._by_b = _Segments(train_rows % p, train_rows // p, p).to(device)
        is_train = torch.zeros(variants, 1, rows, dtype=torch.float64).scatter_(2, train_rows[:, None], 1.0)
        shares = torch.cat([is_train / self.n_train, (1 - is_train) / self.n_test], 1)
        self._shares = shares.to(device)  # [V, 2, rows]: of a row in the train and in the test loss
        # Big arrays are made once: fresh ones cost more in page faults than the arithmetic on them.
        self._d_read = self.d_mlp + p + self._padding
        self._loss = w_u.new_zeros(variants, rows, dtype=torch.float64)
        self._kept = w_u.new_zeros(variants, self.n_train, self._d_read)  # training rows of the grid
        self._d_kept = w_u.new_zeros(variants, self.n_train + 1, self._d_read)  # last row stays 0: padding
        self._prepare(labels.cpu(), train_rows, block_rows)

    def _prepare(self, labels: Tensor, train_rows: Tensor, block_rows: int | None) -> None:
        """Cut the grid into blocks, and make the arrays that hold one of them."""
        w_u, p = self.weights["unembed.W_U"], self.p
        block_rows = block_rows or (CPU_BLOCK_ROWS if w_u.device.type == "cpu" else p * p)
        self._per_block = max(1, block_rows // p)  # values of a
        self._grid = w_u.new_zeros(self._per_block, p, self._d_read)  # G, then [relu(pre) | logits]
        self._grid_b = w_u.new_zeros(p, self._per_block, self._d_read)
        self._centred = w_u.new_zeros(self._per_block * p, p, dtype=torch.float64)
        padded = max(self._by_a.kept.shape[1], self._by_b.kept.shape[1])
        self._d_segments = w_u.new_zeros(len(w_u) * padded, self._d_read)
        self._blocks = [
            [self._block(a, rows, labels) for a in range(0, p, self._per_block)] for rows in train_rows
        ]

    def _block(self, first_a: int, train_rows: Tensor, labels: Tensor) -> _Block:
        last_a = min(first_a + self._per_block, self.p)
        rows = slice(first_a * self.p, last_a * self.p)
        start, stop = torch.searchsorted(train_rows, torch.tensor([rows.start, rows.stop])).tolist()
        device, train = self._grid.device, train_rows[start:stop] - rows.start
        return _Block(
            a=slice(first_a, last_a),
            rows=rows,
            kept=slice(start, stop),
            labels=labels[rows, None].to(device),
            train=train.to(device),
            train_labels=labels[rows][train, None].to(device),
        )

    def __call__(self) -> Tensor:
        """Train and test loss [2, variants] (float64) of the current weights; fills the gradients."""
        tables = self._tables()
        w_out, w_u = self.weights["blocks.0.mlp.W_out"], self.weights["unembed.W_U"]
        w_out_u = _pad(w_out @ w_u, self._padding)
        self._forward(tables, w_out_u)
        losses = (self._shares @ self._loss.unsqueeze(-1)).squeeze(-1).T
        d_w_out_u = self._backward_readout(w_out_u)
        torch.matmul(d_w_out_u, w_u.mT, out=self.grads["blocks.0.mlp.W_out"])
        self._backward_tables(tables, extra_d_w_u=w_out.mT @ d_w_out_u)
        return losses

    def _tables(self) -> Tables:
        weights, p = self.weights, self.p
        w_e, w_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
        w_q, w_k, w_v, w_o = (weights[f"blocks.0.attn.W_{name}"] for name in "QKVO")
        numbers = w_e[:, :p]
        at_embed, at_attn_out = (self._interventions.matrix(site) for site in ("embed", "attn_out"))
        if at_embed is not None:
            numbers = numbers + at_embed @ numbers
        if at_attn_out is not None:
            w_o = w_o + w_o @ at_attn_out.unsqueeze(1)
        x = torch.cat([numbers + w_pos[:, 0:1], numbers + w_pos[:, 1:2], w_e[:, p:] + w_pos[:, 2:3]], 1)
        x_eq, x_heads = x[:, -1:], x.unsqueeze(1)
        query = x_eq.unsqueeze(1) @ w_q / w_q.shape[-1] ** 0.5
        key_query = w_k @ query.mT
        score = (x_heads @ key_query).squeeze(-1)  # [V, H, 2p+1]
        grid = (*score.shape[:2], p, p)
        s0, s1, s2 = score[..., :p, None], score[..., None, p:-1], score[..., -1:, None]
        alpha = torch.stack([s0.expand(grid), s1.expand(grid), s2.expand(grid)], 2).softmax(2)

        w_read = torch.cat([weights["blocks.0.mlp.W_in"], _pad(weights["unembed.W_U"], self._padding)], -1)
        value = x_heads @ w_v
        w_out_read = w_o @ w_read.unsqueeze(1)
        seen = value @ w_out_read  # T, [V, H, 2p+1, d_read]
        seen_eq = seen[:, :, -1:]
        constant = x_eq @ w_read + seen_eq.sum(1)  # c, [V, 1, d_read]
        differ = (seen[:, :, :-1] - seen_eq).transpose(1, 2)  # D, [V, 2p, H, d_read]
        seen_a = torch.cat([differ[:, :p], constant.unsqueeze(1).expand(-1, p, -1, -1)], 2)
        seen_b = differ[:, p:].contiguous()
        return Tables(
            at_embed,
            at_attn_out,
            x,
            query,
            key_query,
            value,
            w_o,
            w_read,
            w_out_read,
            seen_a,
            seen_b,
            alpha,
        )

    def _forward(self, tables: Tables, w_out_u: Tensor) -> None:
        """Loss of all inputs; keeps activations and d loss / d logits of training rows."""
        for variant, blocks in enumerate(self._blocks):
            for block in blocks:
                self._forward_block(variant, block, tables, w_out_u[variant])

    def _forward_block(self, variant: int, block: _Block, tables: Tables, w_out_u: Tensor) -> None:
        d_mlp, size = self.d_mlp, block.a.stop - block.a.start
        alpha = tables.alpha[variant, :, :, block.a]  # [H, 3, size, p]
        mix_a = torch.cat([alpha[:, 0], torch.ones_like(alpha[:1, 0])])  # [H+1, size, p]
        mix_b = alpha[:, 1].permute(2, 1, 0).contiguous()  # [p (b), size, H]
        grid, grid_b = self._grid[:size], self._grid_b.flatten(0, 1)[: self.p * size].view(self.p, size, -1)
        torch.bmm(mix_a.permute(1, 2, 0), tables.seen_a[variant, block.a], out=grid)
        torch.bmm(mix_b, tables.seen_b[variant], out=grid_b)
        grid += grid_b.transpose(0, 1)
        rows = grid.flatten(0, 1)
        post, logits = rows[:, :d_mlp], rows[:, d_mlp:]
        post.clamp_(min=0)
        logits.addmm_(post, w_out_u)
        torch.index_select(rows, 0, block.train, out=self._kept[variant, block.kept])

        centred = self._centred[: len(rows)]
        centred.copy_(logits[:, : self.p])
        centred -= centred.amax(-1, keepdim=True)
        right = centred.gather(-1, block.labels).squeeze(-1)
        total = centred.exp_().sum(-1, keepdim=True)
        torch.sub(total.squeeze(-1).log(), right, out=self._loss[variant, block.rows])
        d_logits = centred[block.train] / total[block.train]  # softmax
        d_logits.scatter_add_(-1, block.train_labels, d_logits.new_full(block.train_labels.shape, -1.0))
        self._d_kept[variant, block.kept, d_mlp : d_mlp + self.p] = d_logits / self.n_train

    def _backward_readout(self, w_out_u: Tensor) -> Tensor:
        """From d logits to d G at the training rows (in _d_kept); returns d (W_out W_U) [V, d_mlp, p]."""
        post = self._kept[..., : self.d_mlp]
        d_post, d_logits = self._d_kept[:, :-1, : self.d_mlp], self._d_kept[:, :-1, self.d_mlp :]
        d_w_out_u = post.mT @ d_logits
        for variant in range(len(w_out_u)):
            torch.mm(d_logits[variant], w_out_u[variant].T, out=d_post[variant])
        # zero where the ReLU was not active
        torch.ops.aten.threshold_backward.grad_input(d_post, post, 0, grad_input=d_post)
        return d_w_out_u[..., : self.p]

    def _backward_mixes(self, tables: Tables) -> MixGrads:
        alpha0, alpha1 = tables.alpha[:, :, 0], tables.alpha[:, :, 1]
        d_alpha0, seen_a, d_sum = self._backward_mix(self._by_a, alpha0, tables.seen_a[:, :, :-1])
        d_alpha1, seen_b, _ = self._backward_mix(self._by_b, alpha1.mT, tables.seen_b)
        return MixGrads(d_alpha0, d_alpha1.mT, seen_a, seen_b, d_sum)

    def _d_score(self, tables: Tables, d_alpha0: Tensor, d_alpha1: Tensor) -> Tensor:
        """The backward of the softmax over (a, b, =), [V, H, 2p+1]; the three slopes of an input sum to 0."""
        alpha0, alpha1, _ = tables.alpha.unbind(2)  # alpha2 = 1 - alpha0 - alpha1 has no gradient of its own
        mean = alpha0 * d_alpha0 + alpha1 * d_alpha1
        d_ab = [(alpha0 * (d_alpha0 - mean)).sum(3), (alpha1 * (d_alpha1 - mean)).sum(2)]
        return torch.cat([*d_ab, -(d_ab[0] + d_ab[1]).sum(-1, keepdim=True)], -1)

    def _backward_mix(
        self, segments: _Segments, alpha: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From d G to d alpha [V, H, p, p], d D [V, p, H, d_read] and the sum of d G [V, p, d_read].

        alpha [V, H, p, p] and seen [V, p, H, d_read] have the operand of the segments first.
        """
        variants, n_heads = alpha.shape[:2]
        d_rows = self._d_segments[: segments.kept.numel()]
        torch.index_select(self._d_kept.flatten(0, 1), 0, segments.kept.flatten(), out=d_rows)
        d_rows = d_rows.view(variants, self.p, -1, d_rows.shape[-1])  # [V, p, longest, d_read]
        other = segments.other.expand(-1, n_heads, -1, -1)
        mix = alpha.gather(-1, other)  # [V, H, p, longest]
        mix = torch.cat([mix, torch.ones_like(mix[:, :1])], 1)
        d_seen = mix.transpose(1, 2) @ d_rows
        d_alpha = (d_rows @ seen.mT).permute(0, 3, 1, 2)
        return torch.zeros_like(alpha).scatter_add_(-1, other, d_alpha), d_seen[:, :, :-1], d_seen[:, :, -1]

    def _backward_tables(self, tables: Tables, extra_d_w_u: Tensor) -> None:
        """From d G at the training rows to the gradients of all weights but W_out."""
        weights, grads, p = self.weights, self.grads, self.p
        w_q, w_k, w_v = (weights[f"blocks.0.attn.W_{name}"] for name in "QKV")
        x, x_eq = tables.x, tables.x[:, -1:]

        # mixing
        d_alpha0, d_alpha1, d_seen_a, d_seen_b, d_sum = self._backward_mixes(tables)
        d_constant = d_sum.sum(1, keepdim=True)  # [V, 1, d_read]
        d_differ = torch.cat([d_seen_a, d_seen_b], 1).transpose(1, 2)  # [V, H, 2p, d_read]
        d_seen = torch.cat([d_differ, d_constant.unsqueeze(1) - d_differ.sum(2, keepdim=True)], 2)

        d_score = self._d_score(tables, d_alpha0, d_alpha1).unsqueeze(-1)  # [V, H, 2p+1, 1]

        # what heads write, as seen by the readers
        d_value = d_seen @ tables.w_out_read.mT  # [V, H, 2p+1, d_head]
        d_w_out_read = tables.value.mT @ d_seen  # [V, H, d_head, d_read]
        d_w_o = d_w_out_read @ tables.w_read.unsqueeze(1).mT
        if tables.at_attn_out is not None:
            d_w_o = d_w_o + d_w_o @ tables.at_attn_out.unsqueeze(1).mT
        grads["blocks.0.attn.W_O"].copy_(d_w_o)
        d_w_read = tables.w_o.flatten(1, 2).mT @ d_w_out_read.flatten(1, 2) + x_eq.mT @ d_constant
        grads["blocks.0.mlp.W_in"].copy_(d_w_read[..., : self.d_mlp])
        torch.add(d_w_read[..., self.d_mlp : self.d_mlp + p], extra_d_w_u, out=grads["unembed.W_U"])

        # values, keys, query
        x_heads = x.unsqueeze(1)
        grads["blocks.0.attn.W_V"].copy_(x_heads.mT @ d_value)
        d_key_query = x_heads.mT @ d_score  # [V, H, d_model, 1]
        grads["blocks.0.attn.W_K"].copy_(d_key_query @ tables.query)
        d_query = d_key_query.mT @ w_k / w_q.shape[-1] ** 0.5  # of the unscaled query, [V, H, 1, d_head]
        grads["blocks.0.attn.W_Q"].copy_(x_eq.unsqueeze(1).mT @ d_query)

        # tokens
        d_x = (d_value @ w_v.mT + d_score @ tables.key_query.mT).sum(1)  # [V, 2p+1, d_model]
        d_x_eq = d_x[:, -1:] + (d_query @ w_q.mT).sum(1) + d_constant @ tables.w_read.mT
        d_a, d_b = d_x[:, :p], d_x[:, p:-1]
        d_numbers = d_a + d_b
        if tables.at_embed is not None:
            d_numbers = d_numbers + tables.at_embed.mT @ d_numbers
        torch.cat([d_numbers, d_x_eq], 1, out=grads["embed.W_E"])
        torch.cat(
            [d_a.sum(1, keepdim=True), d_b.sum(1, keepdim=True), d_x_eq], 1, out=grads["pos_embed.W_pos"]
        )


def _pad(matrix: Tensor, columns: int) -> Tensor:
    """The matrix with columns of zeros appended."""
    return torch.nn.functional.pad(matrix, (0, columns))
