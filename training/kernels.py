"""Triton kernels of the memory-bound parts of a training step on CUDA. The formulas are those of
``training.fast_step`` and ``training.engine``; these versions read and write every large array once.

All take float32 or float64 tensors; sums are in the dtype of the inputs, the cross-entropy is in float64.
With ``TRITON_INTERPRET=1`` they run (slowly) on a CPU, which is how they are tested without a GPU.
"""

# ruff: noqa: RUF005 (Triton cannot unpack a tuple into another)
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disable-error-code=assignment
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _attend_kernel(score, alpha, p, BLOCK: tl.constexpr):
    head = tl.program_id(1).to(tl.int64)  # of all variants
    ab = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = ab < p * p
    score0 = tl.load(score + head * 2 * p + ab // p, mask=inside, other=0.0)
    score1 = tl.load(score + head * 2 * p + p + ab % p, mask=inside, other=0.0)
    largest = tl.maximum(tl.maximum(score0, score1), 0.0)
    power0, power1 = tl.exp(score0 - largest), tl.exp(score1 - largest)
    total = power0 + power1 + tl.exp(-largest)
    place = alpha + head * 2 * p * p + ab
    tl.store(place, power0 / total, mask=inside)
    tl.store(place + p * p, power1 / total, mask=inside)


@triton.jit
def _mix_kernel(
    alpha, seen, constant, kept_at, grid, kept, p, d_mlp, d_read, n_train,
    H: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    # A program holds some columns of what one value of a contributes and goes through BLOCK_B values of b.
    v = tl.program_id(2).to(tl.int64)
    tiles_b = tl.cdiv(p, BLOCK_B)
    a = tl.program_id(1) // tiles_b
    first_b = tl.program_id(1) % tiles_b * BLOCK_B
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    is_d, is_neuron = d < d_read, d < d_mlp
    start = tl.load(constant + v * d_read + d, mask=is_d, other=0.0)
    from_a = ()
    for h in tl.static_range(H):
        row = ((v * H + h) * (2 * p + 1) + a) * d_read
        from_a = from_a + (tl.load(seen + row + d, mask=is_d, other=0.0),)
    for b in range(first_b, tl.minimum(first_b + BLOCK_B, p)):
        value = start
        for h in tl.static_range(H):
            row = ((v * H + h) * (2 * p + 1) + p + b) * d_read
            from_b = tl.load(seen + row + d, mask=is_d, other=0.0)
            weight = alpha + (v * H + h) * 2 * p * p + a * p + b
            value += tl.load(weight) * from_a[h] + tl.load(weight + p * p) * from_b
        value = tl.where(is_neuron & (value < 0), 0.0, value)
        at = v * p * p + a * p + b
        tl.store(grid + at * d_read + d, value, mask=is_d)
        position = tl.load(kept_at + at)
        if position >= 0:
            tl.store(kept + (v * n_train + position) * d_mlp + d, value, mask=is_neuron)


@triton.jit
def _cross_entropy_kernel(
    grid, labels, kept_at, loss, d_kept, rows, p, d_mlp, d_read, n_train,
    BLOCK_ROWS: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    v = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * BLOCK_ROWS
    column = tl.arange(0, BLOCK_P)
    is_class, is_column = column < p, d_mlp + column < d_read  # after the classes come columns of zeros
    for row in range(first, tl.minimum(first + BLOCK_ROWS, rows)):
        logits = grid + (v * rows + row) * d_read + d_mlp
        label = tl.load(labels + row)
        position = tl.load(kept_at + v * rows + row)
        value = tl.load(logits + column, mask=is_column, other=0.0)
        right = tl.load(logits + label).to(tl.float64)
        largest = tl.max(tl.where(is_class, value, float("-inf")), 0).to(tl.float64)
        power = tl.where(is_class, tl.exp(value.to(tl.float64) - largest), 0.0)
        total = tl.sum(power, 0)
        tl.store(loss + v * rows + row, tl.log(total) - (right - largest))
        if position >= 0:
            slope = (power * (1 / total) - tl.where(column == label, 1.0, 0.0)) / n_train
            place = d_kept + (v * n_train + position) * d_read + d_mlp
            tl.store(place + column, slope.to(grid.dtype.element_ty), mask=is_column)


@triton.jit
def _unmix_kernel(
    d_kept, kept, rows, others, counts, alpha, seen, slopes, d_seen, d_sum,
    p, longest, d_mlp, d_read, n_train, variants,
    H: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    # A program adds up some columns of d G over the training rows of one value of one operand.
    operand = tl.program_id(0)  # as a row of seen: 0..p-1 is a, p..2p-1 is b
    v, part = tl.program_id(1).to(tl.int64), tl.program_id(2)
    side, value = operand // p, operand % p
    step, other_step = tl.where(side == 0, p, 1), tl.where(side == 0, 1, p)
    d = part * BLOCK_D + tl.arange(0, BLOCK_D)
    is_d, is_neuron = d < d_read, d < d_mlp
    heads = ()
    sums = (tl.zeros((BLOCK_D,), dtype=d_kept.dtype.element_ty),)
    for h in tl.static_range(H):
        row = ((v * H + h) * (2 * p + 1) + operand) * d_read
        heads = heads + (tl.load(seen + row + d, mask=is_d, other=0.0),)
        sums = sums + (tl.zeros((BLOCK_D,), dtype=d_kept.dtype.element_ty),)
    group = (side * variants + v) * p + value
    count = tl.load(counts + group)
    for first in range(0, count, BLOCK_ROWS):
        r = first + tl.arange(0, BLOCK_ROWS)
        there = r < count
        at_row = tl.load(rows + group * longest + r, mask=there, other=0)
        other = tl.load(others + group * longest + r, mask=there, other=0)
        at = (v * n_train + at_row)[:, None]
        d_row = tl.load(d_kept + at * d_read + d[None, :], mask=there[:, None] & is_d[None, :], other=0.0)
        post = tl.load(kept + at * d_mlp + d[None, :], mask=there[:, None] & is_neuron[None, :], other=1.0)
        d_row = tl.where(post == 0, 0.0, d_row)  # the slope of the ReLU
        added = (sums[0] + tl.sum(d_row, 0),)
        entry = value * step + other * other_step
        for h in tl.static_range(H):
            place = alpha + ((v * H + h) * 2 + side) * p * p + entry
            mix = tl.load(place, mask=there, other=0.0)
            added = added + (sums[h + 1] + tl.sum(mix[:, None] * d_row, 0),)
            slope = tl.sum(d_row * heads[h][None, :], 1)
            place = slopes + (((side * tl.num_programs(2) + part) * variants + v) * H + h) * n_train
            tl.store(place + at_row, slope, mask=there)
        sums = added
    if side == 0:
        tl.store(d_sum + (v * p + value) * d_read + d, sums[0], mask=is_d)
    for h in tl.static_range(H):
        row = ((v * H + h) * (2 * p + 1) + operand) * d_read
        tl.store(d_seen + row + d, sums[h + 1], mask=is_d)


@triton.jit
def _d_score_kernel(
    alpha, slopes, rows, others, counts, d_score, p, longest, n_train, variants,
    H: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    operand, v, h = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    side, value = operand // p, operand % p
    step, other_step = tl.where(side == 0, p, 1), tl.where(side == 0, 1, p)
    group = (side * variants + v) * p + value
    r = tl.arange(0, BLOCK)
    there = r < tl.load(counts + group)
    row = tl.load(rows + group * longest + r, mask=there, other=0)
    other = tl.load(others + group * longest + r, mask=there, other=0)
    place = alpha + (v * H + h) * 2 * p * p + value * step + other * other_step
    alpha0 = tl.load(place, mask=there, other=0.0)
    alpha1 = tl.load(place + p * p, mask=there, other=0.0)
    slope0, slope1 = tl.zeros_like(alpha0), tl.zeros_like(alpha0)
    for part in tl.static_range(PARTS):
        place0 = slopes + ((part * variants + v) * H + h) * n_train
        place1 = slopes + (((PARTS + part) * variants + v) * H + h) * n_train
        slope0 += tl.load(place0 + row, mask=there, other=0.0)
        slope1 += tl.load(place1 + row, mask=there, other=0.0)
    mean = alpha0 * slope0 + alpha1 * slope1
    term = tl.where(side == 0, alpha0 * (slope0 - mean), alpha1 * (slope1 - mean))
    tl.store(d_score + (v * H + h) * 2 * p + operand, tl.sum(term, 0))


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


def attend(score: Tensor, alpha: Tensor) -> None:
    """Attention to a and to b into alpha [V, H, 2, p, p], from the scores [V, H, 2 p] of the values of a and
    of b beside those of ``=``."""
    variants, heads, _, p, _ = alpha.shape
    block = 256
    _attend_kernel[(triton.cdiv(p * p, block), variants * heads)](score, alpha, p, BLOCK=block, num_warps=1)


def mix(
    alpha: Tensor, seen: Tensor, constant: Tensor, kept_at: Tensor, grid: Tensor, kept: Tensor,
    block_b: int = 8, block_d: int = 128, warps: int = 1,
) -> None:  # fmt: skip
    """G of all inputs into grid [V, p, p, d_read], its first d_mlp columns after the ReLU, and these of the
    training rows into kept [V, n_train, d_mlp].

    alpha [V, H, 2, p, p], seen [V, H, 2 p + 1, d_read], constant [V, 1, d_read], all contiguous.
    kept_at [V, p * p] int32: position of an input among the training rows, or -1.
    """
    variants, heads, _, p, _ = alpha.shape
    d_read, (n_train, d_mlp) = grid.shape[-1], kept.shape[1:]
    _mix_kernel[(triton.cdiv(d_read, block_d), p * triton.cdiv(p, block_b), variants)](
        alpha, seen, constant, kept_at, grid, kept, p, d_mlp, d_read, n_train,
        H=heads, BLOCK_B=block_b, BLOCK_D=block_d, num_warps=warps,
    )  # fmt: skip


def cross_entropy(
    grid: Tensor, labels: Tensor, kept_at: Tensor, d_mlp: int, loss: Tensor, d_kept: Tensor,
    block_rows: int = 2, warps: int = 1,
) -> None:  # fmt: skip
    """Loss of all inputs into loss [V, p * p] (float64), and d (mean train loss) / d logits of the training
    rows into the logit columns of d_kept [V, n_train, d_read].

    grid [V, p, p, d_read] has the logits in the p columns after the first d_mlp; labels [p * p].
    """
    variants, p, _, d_read = grid.shape
    _cross_entropy_kernel[(triton.cdiv(p * p, block_rows), variants)](
        grid, labels, kept_at, loss, d_kept, p * p, p, d_mlp, d_read, d_kept.shape[1],
        BLOCK_ROWS=block_rows, BLOCK_P=triton.next_power_of_2(d_read - d_mlp), num_warps=warps,
    )  # fmt: skip


def unmix(
    d_kept: Tensor, kept: Tensor, rows: Tensor, others: Tensor, counts: Tensor, alpha: Tensor, seen: Tensor,
    slopes: Tensor, d_seen: Tensor, d_sum: Tensor, block_rows: int = 8, block_d: int = 128, warps: int = 1,
) -> None:  # fmt: skip
    """The backward of the ReLU and of the mixing, with the training rows grouped by a and by b.

    d_kept [V, n_train, d_read]: d G but for the slope of the ReLU, which is that of kept [V, n_train, d_mlp].
    rows, others [2 (by a, by b), V, p, longest] int32, of which counts [2, V, p] are used: training row and
    value of the other operand. alpha [V, H, 2, p, p]; seen [V, H, 2 p + 1, d_read]. Written are
    d_seen (as seen, without its last row), d_sum [V, p, d_read]: d G summed over b, and slopes
    [2, parts, V, H, n_train]: d alpha of a and of b at the training rows, in ``parts`` terms, each of block_d
    columns of G.
    """
    variants, heads, _, p, _ = alpha.shape
    n_train, d_mlp = kept.shape[1:]
    _unmix_kernel[(2 * p, variants, slopes.shape[1])](
        d_kept, kept, rows, others, counts, alpha, seen, slopes, d_seen, d_sum, p, rows.shape[-1], d_mlp,
        d_kept.shape[-1], n_train, variants,
        H=heads, BLOCK_ROWS=block_rows, BLOCK_D=block_d, num_warps=warps,
    )  # fmt: skip


def d_score(alpha: Tensor, slopes: Tensor, rows: Tensor, others: Tensor, counts: Tensor, out: Tensor) -> None:
    """The backward of ``attend`` into out [V, H, 2 p]; the other arguments as in ``unmix``."""
    variants, heads, _, p, _ = alpha.shape
    longest = rows.shape[-1]
    _d_score_kernel[(2 * p, variants, heads)](
        alpha, slopes, rows, others, counts, out, p, longest, slopes.shape[-1], variants,
        H=heads, PARTS=slopes.shape[1], BLOCK=triton.next_power_of_2(longest), num_warps=1,
    )  # fmt: skip


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
