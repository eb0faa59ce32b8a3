"""Models in the layouts of other programs, and their logits computed in that layout, sharing no code."""

from __future__ import annotations

import torch
from torch import Tensor

D_MODEL, HEADS, D_HEAD, D_MLP = 16, 2, 6, 20


def transformerlens(p: int, seed: int = 0, equals: bool = False, biases: bool = False) -> dict[str, Tensor]:
    """A random model in the layout and with the names of TransformerLens, mask buffers included."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return 0.4 * torch.randn(*shape, generator=g)

    classes = p + 1 if equals else p
    attn, mlp = "blocks.0.attn.", "blocks.0.mlp."
    state = {
        "embed.W_E": draw(p + 1, D_MODEL),
        "pos_embed.W_pos": draw(3, D_MODEL),
        **{f"{attn}W_{name}": draw(HEADS, D_MODEL, D_HEAD) for name in "QKV"},
        f"{attn}W_O": draw(HEADS, D_HEAD, D_MODEL),
        f"{mlp}W_in": draw(D_MODEL, D_MLP),
        f"{mlp}W_out": draw(D_MLP, D_MODEL),
        "unembed.W_U": draw(D_MODEL, classes),
        f"{attn}mask": torch.tril(torch.ones(3, 3)).bool(),
        f"{attn}IGNORE": torch.tensor(-1e5),
    }
    for name, shape in {
        **{f"{attn}b_{name}": (HEADS, D_HEAD) for name in "QKV"},
        f"{attn}b_O": (D_MODEL,),
        f"{mlp}b_in": (D_MLP,),
        f"{mlp}b_out": (D_MODEL,),
        "unembed.b_U": (classes,),
    }.items():
        state[name] = draw(*shape) if biases else torch.zeros(shape)
    return state


def logits(state: dict[str, Tensor], p: int) -> Tensor:
    """[p * p, classes] at the last position, in float64."""
    w = {name: tensor.double() for name, tensor in state.items()}
    rows = torch.arange(p * p)
    tokens = torch.stack([rows // p, rows % p, torch.full_like(rows, p)], 1)
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][:3]
    attn, mlp = "blocks.0.attn.", "blocks.0.mlp."
    q, k, v = (
        torch.einsum("bpd,hde->bhpe", x, w[f"{attn}W_{name}"]) + w[f"{attn}b_{name}"][None, :, None]
        for name in "QKV"
    )
    scores = q @ k.mT / q.shape[-1] ** 0.5
    scores = scores.masked_fill(~w[f"{attn}mask"].bool(), -torch.inf)
    z = scores.softmax(-1) @ v
    x = x + torch.einsum("bhpe,hed->bpd", z, w[f"{attn}W_O"]) + w[f"{attn}b_O"]
    neurons = torch.relu(x @ w[f"{mlp}W_in"] + w[f"{mlp}b_in"])
    x = x + neurons @ w[f"{mlp}W_out"] + w[f"{mlp}b_out"]
    return (x @ w["unembed.W_U"] + w["unembed.b_U"])[:, -1]


def older(state: dict[str, Tensor], flat: bool = True) -> dict[str, Tensor]:
    """The same model as the oldest code stored it: transposed, the heads of W_O side by side, MLP biases."""
    attn, mlp = "blocks.0.attn.", "blocks.0.mlp."
    found = {
        "embed.W_E": state["embed.W_E"].T,
        "pos_embed.W_pos": state["pos_embed.W_pos"],
        **{f"{attn}W_{name}": state[f"{attn}W_{name}"].transpose(1, 2) for name in "QKV"},
        f"{mlp}W_in": state[f"{mlp}W_in"].T,
        f"{mlp}W_out": state[f"{mlp}W_out"].T,
        f"{mlp}b_in": state[f"{mlp}b_in"],
        f"{mlp}b_out": state[f"{mlp}b_out"],
        "unembed.W_U": state["unembed.W_U"],
        f"{attn}mask": state[f"{attn}mask"],
    }
    w_o = state[f"{attn}W_O"]
    found[f"{attn}W_O"] = torch.cat(list(w_o), 0).T if flat else w_o.transpose(1, 2)
    return {name: tensor.contiguous() for name, tensor in found.items()}


def older_logits(state: dict[str, Tensor], p: int) -> Tensor:
    """[p * p, classes] of the oldest layout, by its own einsums."""
    w = {name: tensor.double() for name, tensor in state.items()}
    rows = torch.arange(p * p)
    tokens = torch.stack([rows // p, rows % p, torch.full_like(rows, p)], 1)
    x = torch.einsum("dbp->bpd", w["embed.W_E"][:, tokens]) + w["pos_embed.W_pos"][:3]
    attn, mlp = "blocks.0.attn.", "blocks.0.mlp."
    k, q, v = (torch.einsum("ihd,bpd->biph", w[f"{attn}W_{name}"], x) for name in "KQV")
    scores = torch.einsum("biph,biqh->biqp", k, q)
    masked = torch.tril(scores) - 1e10 * (1 - w[f"{attn}mask"][: x.shape[1], : x.shape[1]])
    pattern = torch.softmax(masked / k.shape[-1] ** 0.5, dim=-1)
    z = torch.einsum("biph,biqp->biqh", v, pattern)
    flat = torch.cat(list(z.unbind(1)), -1)
    x = x + torch.einsum("df,bqf->bqd", w[f"{attn}W_O"], flat)
    neurons = torch.relu(torch.einsum("md,bpd->bpm", w[f"{mlp}W_in"], x) + w[f"{mlp}b_in"])
    x = x + torch.einsum("dm,bpm->bpd", w[f"{mlp}W_out"], neurons) + w[f"{mlp}b_out"]
    return (x @ w["unembed.W_U"])[:, -1]
