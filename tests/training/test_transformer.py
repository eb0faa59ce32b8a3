"""The transformer: every option runs and does what its definition says."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from training.transformer import (
    Transformer,
    TransformerConfig,
    alibi_slopes,
    init_weights,
    rotate,
    weight_shapes,
)


def config(**changes) -> TransformerConfig:
    sizes = {
        "n_layers": 2,
        "n_heads": 4,
        "d_model": 16,
        "d_head": 4,
        "d_mlp": 12,
        "d_vocab": 9,
        "d_vocab_out": 7,
        "n_ctx": 6,
    }
    return TransformerConfig(**{**sizes, **changes})


def model(dtype=torch.float64, **changes) -> Transformer:
    shape = config(**changes)
    generator = torch.Generator().manual_seed(3)
    weights = init_weights(shape, dtype)  # biases and norm weights away from 0 and 1, so that they matter
    noise = {
        name: torch.randn(weight.shape, generator=generator, dtype=dtype) for name, weight in weights.items()
    }
    return Transformer(shape, {name: weight + 0.3 * noise[name] for name, weight in weights.items()})


def batch(pos: int = 6) -> torch.Tensor:
    return torch.randint(0, 9, (5, pos), generator=torch.Generator().manual_seed(4))


VARIANTS = [
    {"position": position, "norm": norm, "gated_mlp": gated, "parallel_blocks": parallel, "biases": biases}
    for (position, norm), (gated, parallel, biases) in itertools.product(
        [("learned", "none"), ("rope", "rms"), ("alibi", "layer"), ("none", "layer")],
        [(False, False, False), (True, False, True), (False, True, True)],
    )
] + [
    {"d_mlp": 0},
    {"d_mlp": 0, "parallel_blocks": True, "norm": "rms"},
    {"n_kv_heads": 2, "biases": True},
    {"act": "silu"},
    {"act": "gelu"},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_variant_is_causal(changes):
    """Changing the last token changes only the last logits."""
    one, other = batch(), batch()
    other[:, -1] = (other[:, -1] + 1) % 9
    built = model(**changes)
    a, b = built(one), built(other)
    assert a.shape == (5, 6, 7)
    assert torch.allclose(a[:, :-1], b[:, :-1], atol=1e-12)
    assert not torch.allclose(a[:, -1], b[:, -1], atol=1e-3)


@pytest.mark.parametrize("changes", VARIANTS)
def test_caching_and_freezing_at_its_own_values_change_nothing(changes):
    built = model(**changes)
    plain = built(batch())
    logits, cache = built.run_with_cache(batch())
    assert torch.allclose(plain, logits, atol=1e-12)
    assert torch.allclose(built(batch(), frozen=cache), plain, atol=1e-12)


@pytest.mark.parametrize("changes", VARIANTS)
def test_gradients_reach_every_weight(changes):
    built = model(**changes)
    for weight in built.weights.values():
        weight.requires_grad_()
    built(batch()).square().sum().backward()
    for name, weight in built.weights.items():
        assert weight.grad is not None, name
        # adding the same vector to all keys of a head shifts its scores alike: no effect without rotation
        if name.endswith("b_K") and built.config.position != "rope":
            continue
        assert weight.grad.abs().sum() > 0, name


def brute_force(built: Transformer, tokens: list[int]) -> torch.Tensor:
    """One layer, no norm, learned positions: loops over heads and positions, as in a textbook."""
    w, c = built.weights, built.config
    resid = [w["embed.W_E"][t] + w["pos_embed.W_pos"][i] for i, t in enumerate(tokens)]
    for layer in range(c.n_layers):
        attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
        after = []
        for i in range(len(tokens)):
            out = resid[i].clone()
            for h in range(c.n_heads):
                kv = h * c.kv_heads // c.n_heads
                q = resid[i] @ w[attn + "W_Q"][h]
                weights = torch.stack(
                    [q @ (resid[j] @ w[attn + "W_K"][kv]) / math.sqrt(c.d_head) for j in range(i + 1)]
                )
                z = sum(a * (resid[j] @ w[attn + "W_V"][kv]) for j, a in enumerate(weights.softmax(0)))
                out = out + z @ w[attn + "W_O"][h]
            after.append(out + torch.relu(out @ w[mlp + "W_in"]) @ w[mlp + "W_out"])
        resid = after
    return torch.stack(resid) @ w["unembed.W_U"]


@pytest.mark.parametrize("kv_heads", [0, 2, 1])
def test_against_a_textbook_loop(kv_heads):
    built = model(n_kv_heads=kv_heads)
    tokens = [3, 1, 4, 1, 5]
    assert torch.allclose(built(torch.tensor([tokens]))[0], brute_force(built, tokens), atol=1e-12)


def test_rotary_scores_depend_on_the_distance_only():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(8, generator=generator, dtype=torch.float64) for _ in range(2))
    same = torch.stack([q] * 12).view(1, 12, 1, 8), torch.stack([k] * 12).view(1, 12, 1, 8)
    rq, rk = (rotate(x, 10_000.0)[0, :, 0] for x in same)
    scores = rq @ rk.T
    for lag in range(12):
        along = torch.stack([scores[i + lag, i] for i in range(12 - lag)])
        assert torch.allclose(along, along[0].expand_as(along), atol=1e-12)
    assert torch.allclose(rq.norm(dim=1), q.norm().expand(12), atol=1e-12)
    angle = 5 * 10_000.0 ** (-1 / 4)  # second pair of d_head = 8 at position 5
    assert rq[5, 1] == pytest.approx((q[1] * math.cos(angle) - q[5] * math.sin(angle)).item(), abs=1e-12)


def test_alibi_subtracts_its_slope_per_position():
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    built = model(position="alibi", n_layers=1)
    bare = Transformer(config(position="none", n_layers=1), built.weights)
    name = "blocks.0.attn.hook_attn_scores"
    with_penalty, without = (m.run_with_cache(batch())[1][name] for m in (built, bare))
    lag = torch.arange(6)[:, None] - torch.arange(6)
    seen = lag >= 0
    expected = -alibi_slopes(4)[:, None, None] * lag
    assert torch.allclose(
        (with_penalty - without)[..., seen], expected[..., seen].expand(5, -1, -1), atol=1e-12
    )


def test_without_positions_the_past_is_a_bag():
    built = model(position="none", n_layers=1)
    tokens = batch()
    swapped = tokens[:, [1, 0, 2, 3, 4, 5]]
    assert torch.allclose(built(tokens)[:, -1], built(swapped)[:, -1], atol=1e-12)


def test_layer_norm_ignores_shift_and_scale_of_the_stream():
    built = model(norm="layer", position="none", n_layers=1, norm_eps=0.0, d_mlp=0)
    _, cache = built.run_with_cache(batch())
    normalized = cache["blocks.0.ln1.hook_normalized"]
    assert torch.allclose(normalized.mean(-1), torch.zeros(5, 6, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(normalized.square().mean(-1), torch.ones(5, 6, dtype=torch.float64), atol=1e-12)


def test_a_hook_changes_one_head_alone():
    """Zeroing the value input of head 2 removes what head 2 writes, and nothing else."""
    built = model(n_layers=1, n_kv_heads=2, d_mlp=0)
    _, cache = built.run_with_cache(batch())

    def silence(values: torch.Tensor) -> torch.Tensor:
        changed = values.clone()
        changed[:, :, 2] = 0
        return changed

    logits, after = built.run_with_cache(batch(), hooks={"blocks.0.attn.hook_v_input": silence})
    result = cache["blocks.0.attn.hook_result"]
    assert torch.equal(after["blocks.0.attn.hook_pattern"], cache["blocks.0.attn.hook_pattern"])
    kept = result.clone()
    kept[:, :, 2] = 0
    assert torch.allclose(after["blocks.0.attn.hook_result"], kept, atol=1e-12)
    stream = cache["blocks.0.hook_resid_pre"] + kept.sum(2)
    assert torch.allclose(logits, stream @ built.weights["unembed.W_U"], atol=1e-12)


def test_a_hook_that_only_looks_changes_nothing():
    built, seen = model(), []
    logits = built(batch(), hooks={"blocks.1.mlp.hook_post": lambda value: seen.append(value.shape)})
    assert torch.equal(logits, built(batch()))
    assert seen == [(5, 6, 12)]


def test_a_frozen_pattern_cuts_the_path_through_queries_and_keys():
    built = model(n_layers=1)
    _, cache = built.run_with_cache(batch())
    name = "blocks.0.attn.hook_pattern"
    built.weights["blocks.0.attn.W_Q"] = torch.zeros_like(built.weights["blocks.0.attn.W_Q"]).requires_grad_()
    logits = built(batch(), frozen={name: cache[name]})
    assert not logits.requires_grad
    assert torch.allclose(logits, model(n_layers=1)(batch()), atol=1e-12)


def test_hook_names_that_do_not_exist_are_refused():
    with pytest.raises(KeyError, match=r"blocks.0.hook_resid_middle.*hook_resid_mid"):
        model()(batch(), hooks={"blocks.0.hook_resid_middle": lambda value: None})
    with pytest.raises(ValueError, match=r"frozen hook_embed has shape \(1,\) instead of \(5, 6, 16\)"):
        model()(batch(), frozen={"hook_embed": torch.zeros(1)})


@pytest.mark.parametrize(
    "changes",
    [
        {"act": "tanh"},
        {"norm": "batch"},
        {"position": "sine"},
        {"n_kv_heads": 3},
        {"n_layers": 0},
        {"d_head": 3, "position": "rope"},
    ],
)
def test_impossible_configs_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        config(**changes)


def test_weights_must_fit_the_config():
    weights = init_weights(config())
    with pytest.raises(ValueError, match=r"embed.W_E"):
        Transformer(config(), {name: weight for name, weight in weights.items() if name != "embed.W_E"})
    with pytest.raises(ValueError, match=r"unembed.W_U has shape \(16, 7\), the config needs \(16, 8\)"):
        Transformer(config(d_vocab_out=8), weights)
    with pytest.raises(ValueError, match="7 positions do not fit in n_ctx=6"):
        model()(batch(7))


def test_norm_weights_start_at_one_and_biases_at_zero():
    weights = init_weights(config(norm="layer", biases=True))
    assert weights.keys() == weight_shapes(config(norm="layer", biases=True)).keys()
    assert weights["blocks.1.ln2.w"].eq(1).all()
    assert all(weight.eq(0).all() for name, weight in weights.items() if name.split(".")[-1].startswith("b"))
    assert weights["embed.W_E"].std() == pytest.approx(0.8 / 4, rel=0.2)
