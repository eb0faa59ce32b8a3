"""Triton kernels of the memory-bound parts of a training step on CUDA. The formulas are those of
``training.fast_step`` and ``training.engine``; these versions read and write every large array once.

All take float32 or float64 tensors; sums are in the dtype of the inputs, the cross-entropy is in float64.
With ``TRITON_INTERPRET=1`` they run (slowly) on a CPU, which is how they are tested without a GPU.
"""

# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _mix_kernel(
    alpha, seen_a, seen_b, kept_at, grid, kept, p, d_mlp, d_read, n_train,
    H: tl.constexpr, BLOCK_A: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    v = tl.program_id(2).to(tl.int64)
    tiles_b = tl.cdiv(p, BLOCK_B)
    a = tl.program_id(1) // tiles_b * BLOCK_A + tl.arange(0, BLOCK_A)
    b = tl.program_id(1) % tiles_b * BLOCK_B + tl.arange(0, BLOCK_B)
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    in_ad = (a < p)[:, None] & (d < d_read)[None, :]
    in_bd = (b < p)[:, None] & (d < d_read)[None, :]
    in_ab = (a < p)[:, None] & (b < p)[None, :]
    ab = a[:, None] * p + b[None, :]
    row_a = seen_a + ((v * p + a) * (H + 1))[:, None] * d_read + d[None, :]
    row_b = seen_b + ((v * p + b) * H)[:, None] * d_read + d[None, :]
    constant = tl.load(row_a + H * d_read, mask=in_ad, other=0.0)
    value = tl.broadcast_to(constant[:, None, :], (BLOCK_A, BLOCK_B, BLOCK_D))
    for h in tl.static_range(H):
        alpha0 = tl.load(alpha + (v * H + h) * 3 * p * p + ab, mask=in_ab, other=0.0)
        alpha1 = tl.load(alpha + ((v * H + h) * 3 + 1) * p * p + ab, mask=in_ab, other=0.0)
        from_a = tl.load(row_a + h * d_read, mask=in_ad, other=0.0)
        from_b = tl.load(row_b + h * d_read, mask=in_bd, other=0.0)
        value += alpha0[:, :, None] * from_a[:, None, :] + alpha1[:, :, None] * from_b[None, :, :]
    neuron = (d < d_mlp)[None, None, :]
    value = tl.where(neuron & (value < 0), 0.0, value)
    inside = in_ab[:, :, None] & (d < d_read)[None, None, :]
    tl.store(grid + (v * p * p + ab)[:, :, None] * d_read + d[None, None, :], value, mask=inside)
    position = tl.load(kept_at + v * p * p + ab, mask=in_ab, other=-1)
    place = kept + (v * n_train + position)[:, :, None] * d_read + d[None, None, :]
    tl.store(place, value, mask=inside & neuron & (position >= 0)[:, :, None])


@triton.jit
def _cross_entropy_kernel(
    grid, labels, kept_at, loss, d_kept, rows, p, d_mlp, d_read, n_train,
    BLOCK_ROWS: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    v = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.arange(0, BLOCK_P)
    is_row, is_class = row < rows, (column < p)[None, :]
    inside = is_row[:, None] & is_class
    logits = grid + (v * rows + row)[:, None] * d_read + d_mlp + column[None, :]
    value = tl.load(logits, mask=inside, other=0.0).to(tl.float64)
    largest = tl.max(tl.where(is_class, value, float("-inf")), 1)
    value = value - largest[:, None]
    label = tl.load(labels + row, mask=is_row, other=0)
    is_right = column[None, :] == label[:, None]
    right = tl.sum(tl.where(is_right, value, 0.0), 1)
    power = tl.where(is_class, tl.exp(value), 0.0)
    total = tl.sum(power, 1)
    tl.store(loss + v * rows + row, tl.log(total) - right, mask=is_row)
    position = tl.load(kept_at + v * rows + row, mask=is_row, other=-1)
    slope = (power / total[:, None] - tl.where(is_right, 1.0, 0.0)) / n_train
    place = d_kept + (v * (n_train + 1) + position)[:, None] * d_read + d_mlp + column[None, :]
    tl.store(place, slope.to(grid.dtype.element_ty), mask=inside & (position >= 0)[:, None])


@triton.jit
def _unmix_kernel(
    d_kept, kept_rows, other_operand, alpha, seen, d_alpha, d_seen, p, longest, d_read, n_kept,
    seen_heads, alpha_v, alpha_h, alpha_group, alpha_other, d_alpha_part, d_alpha_v, d_alpha_h, columns,
    H: tl.constexpr, HEADS: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    group, v, part = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    r, head = tl.arange(0, BLOCK_ROWS), tl.arange(0, HEADS)
    at = (v * p + group) * longest + r
    row = tl.load(kept_rows + at, mask=r < longest, other=n_kept)
    there = row < n_kept
    other = tl.load(other_operand + at, mask=r < longest, other=0)
    entry = head[:, None] * alpha_h + group * alpha_group + other[None, :] * alpha_other
    is_head = (head < H)[:, None] & there[None, :]
    mix = tl.load(alpha + v * alpha_v + entry, mask=is_head, other=0.0)
    mix = tl.where((head == H)[:, None] & there[None, :], 1.0, mix)  # [HEADS, rows]; the last one sums up
    slope = tl.zeros((HEADS, BLOCK_ROWS), dtype=d_kept.dtype.element_ty)
    for first in range(part * columns, tl.minimum((part + 1) * columns, d_read), BLOCK_D):
        d = first + tl.arange(0, BLOCK_D)
        is_d = (d < d_read)[None, :]
        place = d_kept + (v * (n_kept + 1) + row)[:, None] * d_read + d[None, :]
        d_row = tl.load(place, mask=there[:, None] & is_d, other=0.0)  # [rows, BLOCK_D]
        for h in tl.static_range(H + 1):
            chosen = (head == h)[:, None]
            weight = tl.sum(tl.where(chosen, mix, 0.0), 0)
            write = d_seen + ((v * p + group) * (H + 1) + h) * d_read + d
            tl.store(write, tl.sum(weight[:, None] * d_row, 0), mask=d < d_read)
            if h < H:
                read = seen + ((v * p + group) * seen_heads + h) * d_read + d
                seen_row = tl.load(read, mask=d < d_read, other=0.0)
                slope += tl.where(chosen, tl.sum(d_row * seen_row[None, :], 1)[None, :], 0.0)
    entry = head[:, None] * d_alpha_h + group * alpha_group + other[None, :] * alpha_other
    tl.store(d_alpha + part * d_alpha_part + v * d_alpha_v + entry, slope, mask=is_head)


@triton.jit
def _d_score_kernel(
    alpha, d_alpha, d_score, p, BLOCK: tl.constexpr
):  # fmt: skip
    one, side, vh = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    i = tl.arange(0, BLOCK)
    inside = i < p
    at = tl.where(side == 0, one * p + i, i * p + one)  # along b for a value of a, or the other way round
    alpha0 = tl.load(alpha + vh * 3 * p * p + at, mask=inside, other=0.0)
    alpha1 = tl.load(alpha + (vh * 3 + 1) * p * p + at, mask=inside, other=0.0)
    d_alpha0 = tl.load(d_alpha + vh * 2 * p * p + at, mask=inside, other=0.0)
    d_alpha1 = tl.load(d_alpha + (vh * 2 + 1) * p * p + at, mask=inside, other=0.0)
    mean = alpha0 * d_alpha0 + alpha1 * d_alpha1
    term = tl.where(side == 0, alpha0 * (d_alpha0 - mean), alpha1 * (d_alpha1 - mean))
    tl.store(d_score + vh * (2 * p + 1) + side * p + one, tl.sum(term, 0))


@triton.jit
def _adamw_kernel(
    weights, grads, means, squares, factors, n, variants,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    v = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside, at = i < n, v * n + i
    decay = tl.load(factors + v)
    step = tl.load(factors + variants + v)
    correction = tl.load(factors + 2 * variants + v)
    grad = tl.load(grads + at, mask=inside, other=0.0)
    mean = tl.load(means + at, mask=inside, other=0.0)
    square = tl.load(squares + at, mask=inside, other=0.0)
    weight = tl.load(weights + at, mask=inside, other=0.0)
    mean = mean + (1 - BETA1) * (grad - mean)
    square = BETA2 * square + (1 - BETA2) * grad * grad
    weight = decay * weight - step * (mean / (tl.sqrt(square) / correction + EPS))
    tl.store(means + at, mean, mask=inside)
    tl.store(squares + at, square, mask=inside)
    tl.store(weights + at, weight, mask=inside)


def mix(
    alpha: Tensor, seen_a: Tensor, seen_b: Tensor, kept_at: Tensor, d_mlp: int, grid: Tensor, kept: Tensor,
    blocks: tuple[int, int, int] = (4, 8, 64), warps: int = 1,
) -> None:  # fmt: skip
    """G of all inputs into grid [V, p, p, d_read], its first d_mlp columns after the ReLU, and those of the
    training rows into kept [V, n_train, d_read].

    alpha [V, H, 3, p, p], seen_a [V, p, H+1, d_read], seen_b [V, p, H, d_read], all contiguous.
    kept_at [V, p * p] int32: position of an input among the training rows, or -1.
    """
    variants, heads, _, p, _ = alpha.shape
    d_read = grid.shape[-1]
    block_a, block_b, block_d = blocks
    tiles = triton.cdiv(p, block_a) * triton.cdiv(p, block_b)
    _mix_kernel[(triton.cdiv(d_read, block_d), tiles, variants)](
        alpha, seen_a, seen_b, kept_at, grid, kept, p, d_mlp, d_read, kept.shape[1],
        H=heads, BLOCK_A=block_a, BLOCK_B=block_b, BLOCK_D=block_d, num_warps=warps,
    )  # fmt: skip


def cross_entropy(
    grid: Tensor, labels: Tensor, kept_at: Tensor, d_mlp: int, loss: Tensor, d_kept: Tensor,
    block: int = 128, warps: int = 1,
) -> None:  # fmt: skip
    """Loss of all inputs into loss [V, p * p] (float64), and d (mean train loss) / d logits of the training
    rows into the logit columns of d_kept [V, n_train + 1, d_read].

    grid [V, p, p, d_read] has the logits in the p columns after the first d_mlp; labels [p * p].
    """
    variants, p, _, d_read = grid.shape
    block_p = triton.next_power_of_2(p)
    block_rows = max(1, block // block_p)
    _cross_entropy_kernel[(triton.cdiv(p * p, block_rows), variants)](
        grid, labels, kept_at, loss, d_kept, p * p, p, d_mlp, d_read, d_kept.shape[1] - 1,
        BLOCK_ROWS=block_rows, BLOCK_P=block_p, num_warps=warps,
    )  # fmt: skip


def unmix(
    d_kept: Tensor, rows: Tensor, other: Tensor, alpha: Tensor, seen: Tensor, d_alpha: Tensor, d_seen: Tensor,
    block: int = 1024, warps: int = 4,
) -> None:  # fmt: skip
    """The backward of the mixing for one operand, with the training rows grouped by it.

    d_kept [V, n_train + 1, d_read]; rows, other [V, p, longest] int64: training row (n_train where padded)
    and the other operand. alpha [V, H, p (operand), p (other)]; d_alpha [parts, V, H, p, p] with equal
    strides in the last two: each part sums over its share of the columns of G, and only entries of training
    rows are written. seen [V, p, >= H, d_read]; d_seen [V, p, H + 1, d_read], the last of them the plain sum
    of d G.
    """
    variants, p, longest = rows.shape
    heads, d_read = alpha.shape[1], d_kept.shape[-1]
    parts = len(d_alpha)
    if alpha.stride()[2:] != d_alpha.stride()[3:]:
        raise ValueError("alpha and d_alpha must have equal strides over the two operands")
    block_rows = triton.next_power_of_2(longest)
    block_d = min(128, max(16, block // block_rows))
    columns = triton.cdiv(triton.cdiv(d_read, block_d), parts) * block_d
    _unmix_kernel[(p, variants, parts)](
        d_kept, rows, other, alpha, seen, d_alpha, d_seen, p, longest, d_read, d_kept.shape[1] - 1,
        seen.shape[2], *alpha.stride(), *d_alpha.stride()[:3], columns,
        H=heads, HEADS=triton.next_power_of_2(heads + 1), BLOCK_ROWS=block_rows, BLOCK_D=block_d,
        num_warps=warps,
    )  # fmt: skip


def d_score(alpha: Tensor, d_alpha: Tensor, out: Tensor) -> None:
    """The backward of the softmax of the scores of a and b, summed over the other operand, into the first 2 p
    columns of out [V, H, 2 p + 1]. alpha [V, H, 3, p, p], d_alpha [V, H, 2, p, p], all contiguous."""
    variants, heads, _, p, _ = alpha.shape
    block = triton.next_power_of_2(p)
    _d_score_kernel[(p, 2, variants * heads)](alpha, d_alpha, out, p, BLOCK=block, num_warps=2)


def adamw(
    weights: Tensor, grads: Tensor, mean: Tensor, square: Tensor, factors: Tensor,
    betas: tuple[float, float], eps: float,
) -> None:  # fmt: skip
    """One AdamW update in place; all [variants, n], factors [3, variants, 1] (see ``Engine._update``)."""
    variants, n = weights.shape
    block = 1024
    _adamw_kernel[(triton.cdiv(n, block), variants)](
        weights, grads, mean, square, factors, n, variants,
        BETA1=betas[0], BETA2=betas[1], EPS=eps, BLOCK=block,
    )  # fmt: skip
