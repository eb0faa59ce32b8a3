"""Other programs' names and shapes of a one-layer transformer's weights, and ours.

Two layouts are in use, and mixtures of them::

    TransformerLens                          older (2022)
    embed.W_E         [d_vocab, d_model]     [d_model, d_vocab]
    pos_embed.W_pos   [n_ctx, d_model]       [n_ctx, d_model] (or its transpose)
    attn.W_Q, K, V    [head, d_model, d_head]    [head, d_head, d_model]
    attn.W_O          [head, d_head, d_model]    [d_model, head * d_head]
    mlp.W_in          [d_model, d_mlp]       [d_mlp, d_model]
    mlp.W_out         [d_mlp, d_model]       [d_model, d_mlp]
    unembed.W_U       [d_model, d_vocab_out] [d_model, d_vocab_out]

Which one a tensor has is read off its shape. Only where a tensor is square does that leave it open; it is
then taken to be as the others are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data.errors import BadParameter
from data.importers.contents import State

if TYPE_CHECKING:
    from torch import Tensor

LAYOUTS = ("transformerlens", "older")

ATTENTION, MLP = "blocks.0.attn.", "blocks.0.mlp."
HEADS = tuple(f"{ATTENTION}W_{name}" for name in "QKV")
W_E, W_POS, W_O, W_U = "embed.W_E", "pos_embed.W_pos", f"{ATTENTION}W_O", "unembed.W_U"
W_IN, W_OUT = f"{MLP}W_in", f"{MLP}W_out"
REQUIRED = (W_E, W_POS, *HEADS, W_O, W_IN, W_OUT, W_U)
BIASES = (*(f"{ATTENTION}b_{name}" for name in "QKVO"), f"{MLP}b_in", f"{MLP}b_out", "unembed.b_U")
N_POSITIONS = 3  # a, b, =

_IGNORED = ("attn.mask", "attn.IGNORE")
_PREFIXES = ("module.", "_orig_mod.", "model.", "transformer.", "net.")


@dataclass(frozen=True)
class Sizes:
    """Of a model, as its shapes tell. d_vocab_out is p, or p + 1 with a class for `=`."""

    p: int
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    d_vocab_out: int


@dataclass(frozen=True)
class Converted:
    """Weights under the field's names and shapes, for `p` classes.

    equals   the column of W_U and entry of b_U of the class `=`, which was dropped; empty if there is none
    layout   of the square tensors, "" where the shapes leave nothing open
    """

    weights: dict[str, Tensor]
    sizes: Sizes
    equals: dict[str, Tensor] = field(default_factory=dict)
    layout: str = ""
    notes: tuple[str, ...] = ()


def convert(state: State, p: int | None = None, layout: str | None = None) -> list[Converted]:
    """The weights of a state dict as ours: one entry, or one per layout where the shapes leave it open.

    p, layout: where they are known. Raises `BadParameter` that says what does not fit.
    """
    if layout is not None and layout not in LAYOUTS:
        raise BadParameter(f"layout={layout!r} is not known; choose one of: {', '.join(LAYOUTS)}.")
    named, notes = _named(state)
    sizes = _sizes(named, p)
    older = _transposed(named, sizes)
    square = [name for name, flag in older.items() if flag is None]
    styles = {flag for name, flag in older.items() if flag is not None}
    if not square or layout is not None or len(styles) == 1:
        choice = next(iter(styles), False) if layout is None else layout == "older"
        if square:
            notes.append(f"{', '.join(square)}: square, so taken as in the layout of the others.")
        return [_converted(named, sizes, older, bool(choice), "", notes)]
    return [_converted(named, sizes, older, kind == "older", kind, notes) for kind in LAYOUTS]


def _named(state: State) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that make up the function, without a common prefix; refuses what it does not know."""
    notes: list[str] = []
    named = dict(state)
    while W_E not in named:
        prefix = next(
            (prefix for prefix in _PREFIXES if any(name.startswith(prefix) for name in named)), None
        )
        if prefix is None:
            break
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
        notes.append(f"Took the prefix {prefix!r} off the names.")
    missing = [name for name in REQUIRED if name not in named]
    if missing:
        there = ", ".join(sorted(named)[:12]) or "nothing"
        raise BadParameter(
            f"The state dict has no {missing[0]}; a one-layer transformer has {', '.join(REQUIRED)}."
            f" It has: {there}."
        )
    extra = [name for name in named if name not in (*REQUIRED, *BIASES)]
    known = [name for name in extra if name.endswith(_IGNORED)]
    if known:
        notes.append(f"Left out {', '.join(sorted(known))}: the causal mask, no weights.")
    unknown = sorted(set(extra) - set(known))
    if unknown:
        layers = any(name.startswith("blocks.") and not name.startswith("blocks.0.") for name in unknown)
        norms = any(part.startswith("ln") for name in unknown for part in name.split("."))
        why = (
            "it has more than one layer"
            if layers
            else "it has layer norms"
            if norms
            else "they are not known"
        )
        raise BadParameter(
            f"The model cannot be taken over exactly: {why} ({', '.join(unknown[:6])}). Only one layer"
            " without norms, with or without biases, can be imported."
        )
    return {name: named[name] for name in (*REQUIRED, *BIASES) if name in named}, notes


def _sizes(named: Mapping[str, Tensor], p: int | None) -> Sizes:
    """The one reading of the shapes that fits together."""
    shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
    wrong = [name for name in (W_E, W_POS, W_IN, W_OUT, W_U) if len(shapes[name]) != 2]
    wrong += [name for name in HEADS if len(shapes[name]) != 3]
    wrong += [W_O] if len(shapes[W_O]) not in (2, 3) else []
    readings = (
        []
        if wrong
        else [
            reading
            for d_model in sorted(set(shapes[W_E]))
            if (reading := _reading(shapes, d_model)) is not None
        ]
    )
    if p is not None:
        readings = [reading for reading in readings if reading.p == p]
    if len(readings) == 1:
        return readings[0]
    listed = ", ".join(f"{name} {list(shapes[name])}" for name in REQUIRED)
    said = "" if p is None else f" with p={p}"
    if readings:
        raise BadParameter(
            f"The shapes can be read with p={' or '.join(str(one.p) for one in readings)}; give --p."
        )
    raise BadParameter(f"The shapes do not fit together as a model on [a, b, =]{said}: {listed}.")


def _reading(shapes: Mapping[str, tuple[int, ...]], d_model: int) -> Sizes | None:
    """The sizes if the model is that wide, None if the shapes contradict it."""
    other: dict[str, int] = {}
    for name in (W_E, W_POS, W_IN, W_U, HEADS[0]):
        one, two = shapes[name][-2:]
        if d_model not in (one, two):
            return None
        other[name] = two if one == d_model else one
    p, d_mlp, d_out = other[W_E] - 1, other[W_IN], other[W_U]
    n_heads, d_head = shapes[HEADS[0]][0], other[HEADS[0]]
    per_head = ((n_heads, d_model, d_head), (n_heads, d_head, d_model))
    flat = ((d_model, n_heads * d_head), (n_heads * d_head, d_model))
    allowed: dict[str, tuple[tuple[int, ...], ...]] = {
        **dict.fromkeys(HEADS, per_head),
        W_O: (*per_head, *flat),
        W_OUT: ((d_mlp, d_model), (d_model, d_mlp)),
        **{f"{ATTENTION}b_{name}": ((n_heads, d_head),) for name in "QKV"},
        f"{ATTENTION}b_O": ((d_model,),),
        f"{MLP}b_in": ((d_mlp,),),
        f"{MLP}b_out": ((d_model,),),
        "unembed.b_U": ((d_out,),),
    }
    fits = all(shapes[name] in choices for name, choices in allowed.items() if name in shapes)
    if not fits or other[W_POS] < N_POSITIONS or d_out not in (p, p + 1) or p < 2:
        return None
    return Sizes(p, d_model, n_heads, d_head, d_mlp, d_out)


def _transposed(named: Mapping[str, Tensor], sizes: Sizes) -> dict[str, bool | None]:
    """Tensor -> whether it lies as in the older layout; None where its shape does not tell."""
    c = sizes
    ours = {
        W_E: (c.p + 1, c.d_model),
        **dict.fromkeys(HEADS, (c.n_heads, c.d_model, c.d_head)),
        W_IN: (c.d_model, c.d_mlp),
        W_OUT: (c.d_mlp, c.d_model),
    }
    found: dict[str, bool | None] = {}
    for name, shape in ours.items():
        turned = (*shape[:-2], shape[-1], shape[-2])
        found[name] = None if shape == turned else tuple(named[name].shape) == turned
    flat = (c.d_model, c.n_heads * c.d_head)
    shape = tuple(named[W_O].shape)
    if len(shape) == 2:
        found[W_O] = None if flat[0] == flat[1] else shape == flat
    else:
        found[W_O] = None if c.d_head == c.d_model else shape[1] == c.d_model
    return found


def _converted(
    named: Mapping[str, Tensor],
    sizes: Sizes,
    transposed: Mapping[str, bool | None],
    choice: bool,
    layout: str,
    notes: list[str],
) -> Converted:
    c = sizes
    notes = list(notes)
    turned = {name: choice if flag is None else flag for name, flag in transposed.items()}
    weights = {name: named[name].detach().cpu() for name in named}
    for name in (W_E, *HEADS, W_IN, W_OUT):
        if turned[name]:
            before = list(weights[name].shape)
            weights[name] = weights[name].mT
            notes.append(f"{name}: {before} turned to {list(weights[name].shape)}.")
    if weights[W_O].ndim == 2:
        flat = weights[W_O].mT if turned[W_O] else weights[W_O]
        parts = f"[{c.n_heads}, {c.d_head}, {c.d_model}]"
        notes.append(f"{W_O}: {list(named[W_O].shape)} split into {c.n_heads} heads, {parts}.")
        weights[W_O] = flat.reshape(c.n_heads, c.d_head, c.d_model)
    elif turned[W_O]:
        notes.append(f"{W_O}: {list(named[W_O].shape)} turned to [{c.n_heads}, {c.d_head}, {c.d_model}].")
        weights[W_O] = weights[W_O].mT
    if weights[W_POS].shape[1] != c.d_model:
        notes.append(f"{W_POS}: {list(weights[W_POS].shape)} turned to [n_ctx, d_model].")
        weights[W_POS] = weights[W_POS].mT
    if len(weights[W_POS]) > N_POSITIONS:
        notes.append(f"{W_POS}: kept the first {N_POSITIONS} of {len(weights[W_POS])} positions.")
        weights[W_POS] = weights[W_POS][:N_POSITIONS]
    if weights[W_U].shape[0] != c.d_model:
        notes.append(f"{W_U}: {list(weights[W_U].shape)} turned to [{c.d_model}, {c.d_vocab_out}].")
        weights[W_U] = weights[W_U].mT
    equals: dict[str, Tensor] = {}
    if c.d_vocab_out == c.p + 1:
        for name in (W_U, "unembed.b_U"):
            if name in weights:
                equals[name] = weights[name][..., c.p].clone()
                weights[name] = weights[name][..., : c.p]
        notes.append(
            f"{W_U}: dropped the class of `=` ({c.p + 1} classes become {c.p}), which is no input's answer."
        )
    plain = {name: tensor.contiguous() for name, tensor in weights.items()}
    return Converted(plain, sizes, equals, layout, tuple(notes))
