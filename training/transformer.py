"""One small decoder-only transformer for every family, with the field's weight and activation names.

Weights are a plain dict of tensors with TransformerLens names and shapes::

    embed.W_E [d_vocab, d_model]          pos_embed.W_pos [n_ctx, d_model]        (position = "learned")
    blocks.{i}.attn.W_Q [n_heads, d_model, d_head]    W_K, W_V [n_kv_heads, d_model, d_head]
    blocks.{i}.attn.W_O [n_heads, d_head, d_model]
    blocks.{i}.mlp.W_in [d_model, d_mlp]  W_gate (gated_mlp)  W_out [d_mlp, d_model]
    blocks.{i}.ln1.w, ln2.w, ln_final.w [d_model]      (norm; also .b for "layer")
    unembed.W_U [d_model, d_vocab_out]    biases: attn.b_Q, b_K, b_V, b_O, mlp.b_in, b_out, unembed.b_U

Activations carry TransformerLens hook names and shapes, with one addition: ``blocks.{i}.attn.hook_v_input``
[batch, pos, n_heads, d_model] is the value input of every head by itself. With n_kv_heads < n_heads, hook_k
and hook_v have one entry per query head, so that a hook can change one head alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Hook = Callable[[Tensor], Tensor | None]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}
POSITIONS = ("learned", "rope", "alibi", "none")
NORMS = ("none", "layer", "rms")


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the model. ``n_kv_heads=0`` means n_heads, ``init_std=0`` means 0.8 / sqrt(d_model)."""

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int  # 0: attention only
    d_vocab: int
    d_vocab_out: int
    n_ctx: int
    n_kv_heads: int = 0
    act: str = "relu"
    gated_mlp: bool = False
    norm: str = "none"
    norm_eps: float = 1e-5
    position: str = "learned"
    rope_theta: float = 10_000.0
    parallel_blocks: bool = False
    biases: bool = False
    init_std: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_heads", "d_model", "d_head", "d_vocab", "d_vocab_out", "n_ctx"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name, choices in (("act", tuple(ACTIVATIONS)), ("norm", NORMS), ("position", POSITIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(choices)}")
        if self.n_heads % self.kv_heads:
            raise ValueError(f"n_kv_heads={self.n_kv_heads} does not divide n_heads={self.n_heads}")
        if self.position == "rope" and self.d_head % 2:
            raise ValueError(f"d_head={self.d_head} must be even for rotary positions")

    @property
    def kv_heads(self) -> int:
        return self.n_kv_heads or self.n_heads


def weight_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every weight, in the order in which the reference initialisation draws them."""
    c = config
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (c.d_vocab, c.d_model)}
    if c.position == "learned":
        shapes["pos_embed.W_pos"] = (c.n_ctx, c.d_model)
    for i in range(c.n_layers):
        attn, mlp = f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        shapes[attn + "W_Q"] = (c.n_heads, c.d_model, c.d_head)
        shapes[attn + "W_O"] = (c.n_heads, c.d_head, c.d_model)
        shapes[attn + "W_K"] = shapes[attn + "W_V"] = (c.kv_heads, c.d_model, c.d_head)
        if c.biases:
            shapes[attn + "b_Q"] = (c.n_heads, c.d_head)
            shapes[attn + "b_K"] = shapes[attn + "b_V"] = (c.kv_heads, c.d_head)
            shapes[attn + "b_O"] = (c.d_model,)
        if c.d_mlp:
            shapes[mlp + "W_in"] = (c.d_model, c.d_mlp)
            if c.gated_mlp:
                shapes[mlp + "W_gate"] = (c.d_model, c.d_mlp)
            shapes[mlp + "W_out"] = (c.d_mlp, c.d_model)
            if c.biases:
                shapes[mlp + "b_in"], shapes[mlp + "b_out"] = (c.d_mlp,), (c.d_model,)
    norms = [f"blocks.{i}.ln{n}" for i in range(c.n_layers) for n in ((1, 2) if c.d_mlp else (1,))]
    for name in [*norms, "ln_final"] if c.norm != "none" else []:
        shapes[name + ".w"] = (c.d_model,)
        if c.norm == "layer":
            shapes[name + ".b"] = (c.d_model,)
    shapes["unembed.W_U"] = (c.d_model, c.d_vocab_out)
    if c.biases:
        shapes["unembed.b_U"] = (c.d_vocab_out,)
    return shapes


def init_weights(config: TransformerConfig, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Matrices ~ N(0, init_std^2) drawn in order in float32 from a CPU generator seeded with ``config.seed``.

    Norm weights start at 1, biases at 0. Bit-equal to ``torch.manual_seed(seed)`` and filling in the same
    order; the caller's random state is untouched.
    """
    generator = torch.Generator().manual_seed(config.seed)
    std = config.init_std or 0.8 / math.sqrt(config.d_model)
    weights = {}
    for name, shape in weight_shapes(config).items():
        kind = name.rsplit(".", 1)[-1]
        weight = torch.ones(shape) if kind == "w" else torch.zeros(shape)
        weights[name] = (weight.normal_(0.0, std, generator=generator) if kind[0] == "W" else weight).to(
            dtype
        )
    return weights


class Transformer:
    """The model as a function of tokens; ``weights`` may require gradients."""

    def __init__(self, config: TransformerConfig, weights: Mapping[str, Tensor] | None = None) -> None:
        self.config = config
        self.weights = dict(init_weights(config) if weights is None else weights)
        shapes = weight_shapes(config)
        if self.weights.keys() != shapes.keys():
            raise ValueError(
                f"weights differ from the config in: {sorted(self.weights.keys() ^ shapes.keys())}"
            )
        for name, shape in shapes.items():
            if self.weights[name].shape != shape:
                raise ValueError(
                    f"{name} has shape {tuple(self.weights[name].shape)}, the config needs {shape}"
                )

    def __call__(
        self,
        tokens: Tensor,
        hooks: Mapping[str, Hook] | None = None,
        frozen: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Logits [batch, pos, d_vocab_out] of tokens [batch, pos].

        frozen: activation name -> tensor used instead of the computed one (patterns, norm scales, outputs).
        hooks: activation name -> function that sees the value and may return a replacement.
        Raises ``KeyError`` for a name that this model does not have.
        """
        return self._forward(tokens, _Taps(hooks or {}, frozen or {}))

    def run_with_cache(
        self,
        tokens: Tensor,
        hooks: Mapping[str, Hook] | None = None,
        frozen: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and every activation by name (after hooks)."""
        cache: dict[str, Tensor] = {}
        return self._forward(tokens, _Taps(hooks or {}, frozen or {}, cache)), cache

    def _forward(self, tokens: Tensor, taps: _Taps) -> Tensor:
        config, weights = self.config, self.weights
        n_pos = tokens.shape[-1]
        if n_pos > config.n_ctx:
            raise ValueError(f"{n_pos} positions do not fit in n_ctx={config.n_ctx}")
        x = taps("hook_embed", weights["embed.W_E"][tokens])
        if config.position == "learned":
            x = x + taps("hook_pos_embed", weights["pos_embed.W_pos"][:n_pos].expand_as(x))
        for i in range(config.n_layers):
            block = f"blocks.{i}."
            x = taps(block + "hook_resid_pre", x)
            attn_out = self._attention(block, self._norm(block + "ln1.", x, taps), taps)
            mid = x if config.parallel_blocks else taps(block + "hook_resid_mid", x + attn_out)
            if config.d_mlp:
                mlp_out = self._mlp(block, self._norm(block + "ln2.", mid, taps), taps)
                x = x + attn_out + mlp_out if config.parallel_blocks else mid + mlp_out
            else:
                x = x + attn_out if config.parallel_blocks else mid
            x = taps(block + "hook_resid_post", x)
        x = self._norm("ln_final.", x, taps)
        logits = x @ weights["unembed.W_U"] + weights.get("unembed.b_U", 0.0)
        taps.check_all_used()
        return logits

    def _norm(self, prefix: str, x: Tensor, taps: _Taps) -> Tensor:
        config = self.config
        if config.norm == "none":
            return x
        if config.norm == "layer":
            x = x - x.mean(-1, keepdim=True)
        scale = taps(prefix + "hook_scale", (x.square().mean(-1, keepdim=True) + config.norm_eps).sqrt())
        normalized = taps(prefix + "hook_normalized", x / scale)
        return normalized * self.weights[prefix + "w"] + self.weights.get(prefix + "b", 0.0)

    def _attention(self, block: str, x: Tensor, taps: _Taps) -> Tensor:
        config, prefix = self.config, block + "attn."
        group = config.n_heads // config.kv_heads

        def project(which: str, inputs: Tensor) -> Tensor:
            """[batch, pos, head, d_head] of inputs [batch, pos, d_model] or [batch, pos, head, d_model]."""
            weight, bias = self.weights[f"{prefix}W_{which}"], self.weights.get(f"{prefix}b_{which}")
            repeat = 1 if which == "Q" else group
            weight = weight.repeat_interleave(repeat, 0)
            per_head = "bphd" if inputs.ndim == 4 else "bpd"
            out = torch.einsum(f"{per_head},hde->bphe", inputs, weight)
            return out if bias is None else out + bias.repeat_interleave(repeat, 0)

        q = taps(prefix + "hook_q", project("Q", x))
        k = taps(prefix + "hook_k", project("K", x))
        v_input = x
        if taps.wants(prefix + "hook_v_input"):
            v_input = taps(prefix + "hook_v_input", x.unsqueeze(2).expand(-1, -1, config.n_heads, -1))
        v = taps(prefix + "hook_v", project("V", v_input))
        if config.position == "rope":
            q = taps(prefix + "hook_rot_q", rotate(q, config.rope_theta))
            k = taps(prefix + "hook_rot_k", rotate(k, config.rope_theta))
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(config.d_head)
        n_pos = x.shape[1]
        position = torch.arange(n_pos, device=x.device)
        lag = position[:, None] - position  # [query, key]
        if config.position == "alibi":
            scores = scores - alibi_slopes(config.n_heads).to(scores)[:, None, None] * lag
        scores = taps(prefix + "hook_attn_scores", scores.masked_fill(lag < 0, -torch.inf))
        pattern = taps(prefix + "hook_pattern", scores.softmax(-1))
        z = taps(prefix + "hook_z", torch.einsum("bhqk,bkhe->bqhe", pattern, v))
        w_o = self.weights[prefix + "W_O"]
        if taps.wants(prefix + "hook_result"):
            out = taps(prefix + "hook_result", torch.einsum("bphe,hed->bphd", z, w_o)).sum(2)
        else:
            out = z.flatten(2) @ w_o.flatten(0, 1)
        return taps(block + "hook_attn_out", out + self.weights.get(prefix + "b_O", 0.0))

    def _mlp(self, block: str, x: Tensor, taps: _Taps) -> Tensor:
        prefix, weights = block + "mlp.", self.weights
        act = ACTIVATIONS[self.config.act]
        if self.config.gated_mlp:
            gate = taps(prefix + "hook_pre", x @ weights[prefix + "W_gate"])
            linear = taps(prefix + "hook_pre_linear", x @ weights[prefix + "W_in"])
            post = act(gate) * linear + weights.get(prefix + "b_in", 0.0)
        else:
            pre = taps(prefix + "hook_pre", x @ weights[prefix + "W_in"] + weights.get(prefix + "b_in", 0.0))
            post = act(pre)
        post = taps(prefix + "hook_post", post)
        return taps(
            block + "hook_mlp_out", post @ weights[prefix + "W_out"] + weights.get(prefix + "b_out", 0.0)
        )


def rotate(x: Tensor, theta: float) -> Tensor:
    """Rotary positions: dimensions (i, i + d_head/2) turn by pos * theta^(-2i / d_head).

    x [batch, pos, head, d_head], positions counted from 0.
    """
    n_pos, half = x.shape[1], x.shape[-1] // 2
    rate = theta ** -(torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = torch.arange(n_pos, device=x.device, dtype=torch.float64)[:, None] * rate
    cos, sin = angle.cos().to(x.dtype)[:, None], angle.sin().to(x.dtype)[:, None]  # [pos, 1, half]
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def alibi_slopes(n_heads: int) -> Tensor:
    """Slope of each head's penalty per position of distance: 2^(-8 h / n_heads), h = 1 .. n_heads."""
    return 2.0 ** (-8.0 * torch.arange(1, n_heads + 1, dtype=torch.float64) / n_heads)


class _Taps:
    """Applies frozen values and hooks to each named activation, and notices names that never came by."""

    def __init__(
        self, hooks: Mapping[str, Hook], frozen: Mapping[str, Tensor], cache: dict[str, Tensor] | None = None
    ) -> None:
        self._hooks, self._frozen, self._cache = hooks, frozen, cache
        self._unused = {*hooks, *frozen}
        self._seen: list[str] = []

    def wants(self, name: str) -> bool:
        """Whether anybody reads or changes this activation (some are only built when asked for)."""
        return self._cache is not None or name in self._unused

    def __call__(self, name: str, value: Tensor) -> Tensor:
        self._seen.append(name)
        self._unused.discard(name)
        if name in self._frozen:
            if self._frozen[name].shape != value.shape:
                shapes = f"{tuple(self._frozen[name].shape)} instead of {tuple(value.shape)}"
                raise ValueError(f"frozen {name} has shape {shapes}")
            value = self._frozen[name]
        if name in self._hooks:
            changed = self._hooks[name](value)
            value = value if changed is None else changed
        if self._cache is not None:
            self._cache[name] = value
        return value

    def check_all_used(self) -> None:
        if self._unused:
            raise KeyError(
                f"no activation named {', '.join(sorted(self._unused))}; there is: {', '.join(self._seen)}"
            )
