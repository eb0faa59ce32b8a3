"""Losses and gradients of the modular-arithmetic transformer for one or many variants at once, by hand.

The function is that of ``training.fast_path``; here it is arranged so that little is left to compute.
Attention of ``=`` mixes per-token vectors with three weights per head that sum to one, and everything that
reads the residual stream is linear: the MLP through W_in and the unembedding through W_U. So the reading can
be done once per token, and the mixing of the results per input. With ``W_read = [W_in | W_U]`` (d_read
columns) and the rows ``x`` of the ``2 p + 1`` (position, token) pairs (p for a, p for b, one for ``=``)::

    T_h(u) = u W_V^h W_O^h W_read                         what head h writes, as seen by the readers
    u_a = x_a - x_=    u_b = x_b - x_=    c = x_= W_read + sum_h T_h(x_=)
    alpha_h(a, b) = softmax(u_a . k_h, u_b . k_h, 0)      k_h = W_K^h q_h: a shift of all scores cancels
    G(a, b) = c + sum_h alpha0_h(a, b) T_h(u_a) + alpha1_h(a, b) T_h(u_b)  = [pre | direct logits]
    logits(a, b) = direct + relu(pre) W_out W_U

One pass over the whole grid gives the train and the test loss of the same weights; only training rows go
back. The gradients are written out below in the reverse order of the forward pass, with the same names.
``FastStep`` is the plain version, made for a CPU; ``training.fused_step`` computes the same on CUDA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from training.engine import Interventions

ALIGN = 16  # W_U gets columns of zeros until their number is a multiple: aligned rows are read faster
CPU_BLOCK_ROWS = 1024  # few enough that a block stays in the cache between producing and using it


@dataclass
class Tables:
    """What the forward pass keeps of the part that depends on one token only (V variants, H heads)."""

    at_embed: Tensor | None  # sum of r B, [V, p, p]
    at_attn_out: Tensor | None  # sum of r A, [V, d_model, d_model]
    rows: Tensor  # u_a, u_b and x_=, [V, 2p+1, d_model]
    query: Tensor  # q, scaled, [V, H, 1, d_head]
    key_query: Tensor  # k, [V, H, d_model]
    value: Tensor  # of the rows, [V, H, 2p+1, d_head]
    w_o: Tensor  # [V, H * d_head, d_model], with the intervention
    w_read: Tensor  # [V, d_model, d_read]
    w_out_read: Tensor  # [V, H, d_head, d_read]: W_O W_read
    seen: Tensor  # T of the rows, [V, H, 2p+1, d_read]
    constant: Tensor  # c, [V, 1, d_read]
    alpha: Tensor  # of a and of b, [V, H, 2, p (a), p (b)]


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
        device = w_u.device

        train_rows = train_rows.cpu().sort(1).values
        self._by_a = _Segments(train_rows // p, train_rows % p, p).to(device)
        self._by_b = _Segments(train_rows % p, train_rows // p, p).to(device)
        is_train = torch.zeros(variants, 1, rows, dtype=torch.float64).scatter_(2, train_rows[:, None], 1.0)
        shares = torch.cat([is_train / self.n_train, (1 - is_train) / self.n_test], 1)
        self._shares = shares.to(device)  # [V, 2, rows]: of a row in the train and in the test loss
        # Big arrays are made once: fresh ones cost more in page faults than the arithmetic on them.
        self._d_read = self.d_mlp + p + -(self.d_mlp + p) % ALIGN
        self._w_read = w_u.new_zeros(variants, w_u.shape[1], self._d_read)
        self._loss = w_u.new_zeros(variants, rows, dtype=torch.float64)
        self._prepare(labels.cpu(), train_rows, block_rows)

    def _prepare(self, labels: Tensor, train_rows: Tensor, block_rows: int | None) -> None:
        """Cut the grid into blocks, and make the arrays that hold one of them."""
        w_u, p = self.weights["unembed.W_U"], self.p
        block_rows = block_rows or (CPU_BLOCK_ROWS if w_u.device.type == "cpu" else p * p)
        self._per_block = max(1, block_rows // p)  # values of a
        self._kept = w_u.new_zeros(len(w_u), self.n_train, self._d_read)  # training rows of the grid
        self._d_kept = w_u.new_zeros(len(w_u), self.n_train + 1, self._d_read)  # last row stays 0: padding
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
        w_out, w_u = self.weights["blocks.0.mlp.W_out"], tables.w_read[..., self.d_mlp :]
        w_out_u = w_out @ w_u
        self._forward(tables, w_out_u)
        losses = (self._shares @ self._loss.unsqueeze(-1)).squeeze(-1).T
        d_w_out_u = self._backward_readout(w_out_u)
        torch.bmm(d_w_out_u, w_u.mT, out=self.grads["blocks.0.mlp.W_out"])
        self._backward_tables(tables, w_out.mT @ d_w_out_u)
        return losses

    def _tables(self) -> Tables:
        weights, p = self.weights, self.p
        w_e, w_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
        w_q, w_k, w_v, w_o = (weights[f"blocks.0.attn.W_{name}"] for name in "QKVO")
        numbers, w_o = w_e[:, :p], w_o.flatten(1, 2)
        at_embed, at_attn_out = (self._interventions.matrix(site) for site in ("embed", "attn_out"))
        if at_embed is not None:
            numbers = numbers + at_embed @ numbers
        if at_attn_out is not None:
            w_o = w_o + w_o @ at_attn_out
        rows = w_e.new_empty(len(w_e), 2 * p + 1, w_e.shape[-1])
        u, x_eq = rows[:, :-1], rows[:, -1:]
        torch.add(w_e[:, p:], w_pos[:, 2:], out=x_eq)
        torch.add(numbers.unsqueeze(1), (w_pos[:, :2] - x_eq).unsqueeze(2), out=u.unflatten(1, (2, p)))

        query = x_eq.unsqueeze(1) @ w_q / w_q.shape[-1] ** 0.5
        key_query = (w_k @ query.mT).squeeze(-1)
        alpha = self._attend(key_query @ u.mT)
        w_read = self._w_read
        w_read[..., : self.d_mlp] = weights["blocks.0.mlp.W_in"]
        w_read[..., self.d_mlp : self.d_mlp + p] = weights["unembed.W_U"]
        value = rows.unsqueeze(1) @ w_v
        w_out_read = (w_o @ w_read).unflatten(1, w_q.shape[1::2])
        seen = value @ w_out_read
        constant = x_eq @ w_read + seen[:, :, -1:].sum(1)
        return Tables(
            at_embed,
            at_attn_out,
            rows,
            query,
            key_query,
            value,
            w_o,
            w_read,
            w_out_read,
            seen,
            constant,
            alpha,
        )

    def _attend(self, score: Tensor) -> Tensor:
        """alpha [V, H, 2, p, p] from the scores [V, H, 2p] of a and b beside those of ``=``."""
        s0, s1 = score[..., : self.p, None], score[..., None, self.p :]
        largest = torch.maximum(s0, s1).clamp_(min=0)
        power0, power1 = (s0 - largest).exp_(), (s1 - largest).exp_()
        total = power0 + power1 + largest.neg_().exp_()
        return torch.stack([power0.div_(total), power1.div_(total)], 2)

    def _forward(self, tables: Tables, w_out_u: Tensor) -> None:
        """Loss of all inputs; keeps activations and d loss / d logits of training rows."""
        seen_a, seen_b = (self._operand(tables, which).transpose(1, 2) for which in (0, 1))
        constant = tables.constant.unsqueeze(1).expand(-1, self.p, -1, -1)
        seen_a, seen_b = torch.cat([seen_a, constant], 2), seen_b.contiguous()  # [V, p, H+1 or H, d_read]
        for variant, blocks in enumerate(self._blocks):
            for block in blocks:
                mixed = tables.alpha[variant], seen_a[variant], seen_b[variant]
                self._forward_block(variant, block, *mixed, w_out_u[variant])

    def _operand(self, tables: Tables, which: int) -> Tensor:
        """T of the rows of a (0) or of b (1), [V, H, p, d_read]."""
        return tables.seen[:, :, which * self.p : (which + 1) * self.p]

    def _forward_block(
        self, variant: int, block: _Block, alpha: Tensor, seen_a: Tensor, seen_b: Tensor, w_out_u: Tensor
    ) -> None:
        d_mlp, size = self.d_mlp, block.a.stop - block.a.start
        alpha = alpha[:, :, block.a]  # [H, 2, size, p]
        mix_a = torch.cat([alpha[:, 0], torch.ones_like(alpha[:1, 0])])  # [H+1, size, p]
        mix_b = alpha[:, 1].permute(2, 1, 0).contiguous()  # [p (b), size, H]
        grid, grid_b = self._grid[:size], self._grid_b.flatten(0, 1)[: self.p * size].view(self.p, size, -1)
        torch.bmm(mix_a.permute(1, 2, 0), seen_a[block.a], out=grid)
        torch.bmm(mix_b, seen_b, out=grid_b)
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
        """From d logits to d G at the training rows (in _d_kept); returns d (W_out W_U)."""
        post = self._kept[..., : self.d_mlp]
        d_post, d_logits = self._d_kept[:, :-1, : self.d_mlp], self._d_kept[:, :-1, self.d_mlp :]
        d_w_out_u = post.mT @ d_logits
        for variant in range(len(w_out_u)):
            torch.mm(d_logits[variant], w_out_u[variant].T, out=d_post[variant])
        # zero where the ReLU was not active
        torch.ops.aten.threshold_backward.grad_input(d_post, post, 0, grad_input=d_post)
        return d_w_out_u

    def _backward_mixes(self, tables: Tables) -> tuple[Tensor, Tensor]:
        """d T of the rows [V, H, 2p+1, d_read] and d score [V, H, 2p] from d G at the training rows."""
        alpha = tables.alpha
        seen_a, seen_b = (self._operand(tables, which).transpose(1, 2).contiguous() for which in (0, 1))
        d_alpha0, d_seen_a, d_sum = self._backward_mix(self._by_a, alpha[:, :, 0], seen_a)
        d_alpha1, d_seen_b, _ = self._backward_mix(self._by_b, alpha[:, :, 1].mT, seen_b)
        d_constant = d_sum.sum(1, keepdim=True).unsqueeze(1).expand(-1, alpha.shape[1], -1, -1)
        d_seen = torch.cat([d_seen_a.transpose(1, 2), d_seen_b.transpose(1, 2), d_constant], 2)
        d_alpha = torch.stack([d_alpha0, d_alpha1.mT], 2)
        mean = (alpha * d_alpha).sum(2, keepdim=True)  # over a, b and =, whose own slope is 0
        d_score = alpha * (d_alpha - mean)
        return d_seen, torch.cat([d_score[:, :, 0].sum(3), d_score[:, :, 1].sum(2)], -1)

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
        rows, u, x_eq = tables.rows, tables.rows[:, :-1], tables.rows[:, -1:]
        d_seen, d_score = self._backward_mixes(tables)
        d_constant = d_seen[:, 0, -1:]  # of every head, as c has T(x_=) of all of them

        # what heads write, as seen by the readers
        d_value = d_seen @ tables.w_out_read.mT  # [V, H, 2p+1, d_head]
        d_w_out_read = (tables.value.mT @ d_seen).flatten(1, 2)  # [V, H * d_head, d_read]
        d_w_o = d_w_out_read @ tables.w_read.mT
        if tables.at_attn_out is not None:
            d_w_o = d_w_o + d_w_o @ tables.at_attn_out.mT
        grads["blocks.0.attn.W_O"].flatten(1, 2).copy_(d_w_o)
        d_w_read = tables.w_o.mT @ d_w_out_read
        d_w_read.baddbmm_(x_eq.mT, d_constant)
        grads["blocks.0.mlp.W_in"].copy_(d_w_read[..., : self.d_mlp])
        d_w_u = slice(self.d_mlp, self.d_mlp + p)
        torch.add(d_w_read[..., d_w_u], extra_d_w_u[..., :p], out=grads["unembed.W_U"])

        # values, keys, query
        torch.matmul(rows.unsqueeze(1).mT, d_value, out=grads["blocks.0.attn.W_V"])
        d_key_query = d_score @ u  # [V, H, d_model]
        torch.mul(d_key_query.unsqueeze(-1), tables.query, out=grads["blocks.0.attn.W_K"])
        d_query = d_key_query.unsqueeze(2) @ w_k / w_q.shape[-1] ** 0.5  # unscaled, [V, H, 1, d_head]
        torch.mul(x_eq.mT.unsqueeze(1), d_query, out=grads["blocks.0.attn.W_Q"])

        # tokens
        d_rows = (d_value @ w_v.mT).sum(1)  # [V, 2p+1, d_model]
        d_u, d_x_eq = d_rows[:, :-1], d_rows[:, -1:]
        d_u.baddbmm_(d_score.mT, tables.key_query)
        d_a, d_b = d_u[:, :p], d_u[:, p:]
        d_pos = d_u.unflatten(1, (2, p)).sum(2)
        d_x_eq += (d_query @ w_q.mT).sum(1) + d_constant @ tables.w_read.mT - d_pos.sum(1, keepdim=True)
        d_numbers = d_a + d_b
        if tables.at_embed is not None:
            d_numbers = d_numbers + tables.at_embed.mT @ d_numbers
        torch.cat([d_numbers, d_x_eq], 1, out=grads["embed.W_E"])
        torch.cat([d_pos, d_x_eq], 1, out=grads["pos_embed.W_pos"])
