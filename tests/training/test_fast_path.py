"""The fast path is the three-token transformer: activations, logits, losses and every gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from training import fast_path
from training.engine import Intervention, Interventions
from training.families import modular_addition as family
from training.fast_step import FastStep
from training.transformer import Transformer, init_weights

CONFIG = family.TrainingConfig(dtype="float64")
CASES = [(11, 0, "add", 0.3), (11, 7, "multiply", 0.6), (13, 1, "subtract", 0.5), (13, 2, "x2+xy+y2", 0.3)]


def trained_like(params: family.Params, config: family.TrainingConfig = CONFIG) -> dict[str, torch.Tensor]:
    """Weights larger than at initialisation, so that attention is far from uniform."""
    return {name: 2.5 * weight for name, weight in family.init_weights(params, config).items()}


def reference(params, config, weights):
    """Losses and gradients by autograd through all three tokens."""
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    model = Transformer(family.transformer_config(params, config), leaves)
    logits = model(torch.from_numpy(family.tokens(params)))[:, -1].double()
    labels = torch.from_numpy(family.labels(params))
    train, test = (torch.from_numpy(rows) for rows in family.split(params))
    train_loss = cross_entropy(logits[train], labels[train])
    train_loss.backward()
    test_loss = cross_entropy(logits[test], labels[test])
    return train_loss.item(), test_loss.item(), {name: leaf.grad for name, leaf in leaves.items()}


def stack(many):
    return {name: torch.stack([one[name] for one in many]) for name in many[0]}


def run_step(params_list, weights_list, **options):
    weights = stack(weights_list)
    grads = {name: torch.full_like(weight, torch.nan) for name, weight in weights.items()}
    rows = torch.stack([torch.from_numpy(family.split(params)[0]) for params in params_list])
    step = FastStep(weights, grads, torch.from_numpy(family.labels(params_list[0])), rows, **options)
    step()
    return step(), grads  # twice: nothing may be left over from the call before


@pytest.mark.parametrize(("p", "seed", "operation", "frac"), CASES)
def test_activations_are_those_of_the_transformer(p, seed, operation, frac):
    params = family.Params(p=p, seed=seed, operation=operation, frac_train=frac)
    weights = trained_like(params)
    model = Transformer(family.transformer_config(params, CONFIG), weights)
    logits, cache = model.run_with_cache(torch.from_numpy(family.tokens(params)))
    grid = fast_path.forward_grid(weights, p)
    pairs = {
        "logits": (grid.logits, logits[:, -1]),
        "neurons": (grid.neurons, cache["blocks.0.mlp.hook_post"][:, -1]),
        "resid_mid": (grid.resid_mid, cache["blocks.0.hook_resid_mid"][:, -1]),
        "resid_post": (grid.resid_post, cache["blocks.0.hook_resid_post"][:, -1]),
        "pattern": (
            grid.pattern.permute(2, 3, 0, 1),
            cache["blocks.0.attn.hook_pattern"][:, :, -1],
        ),
    }
    for name, (ours, theirs) in pairs.items():
        scale = theirs.abs().max()
        assert (ours.reshape(theirs.shape) - theirs).abs().max() < 1e-12 * scale, name
    for neuron in (0, 37, 511):
        assert torch.allclose(
            fast_path.neuron_map(weights, p, neuron), grid.neurons[..., neuron], rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(("p", "seed", "operation", "frac"), CASES)
@pytest.mark.parametrize("block_rows", [None, 40])
def test_losses_and_every_gradient_are_those_of_autograd(p, seed, operation, frac, block_rows):
    params = family.Params(p=p, seed=seed, operation=operation, frac_train=frac)
    weights = trained_like(params)
    train_loss, test_loss, expected = reference(params, CONFIG, weights)
    losses, grads = run_step([params], [weights], block_rows=block_rows)
    assert losses[0].item() == pytest.approx(train_loss, rel=1e-12)
    assert losses[1].item() == pytest.approx(test_loss, rel=1e-12)
    for name, gradient in expected.items():
        error = (grads[name][0] - gradient).abs().max() / gradient.abs().max()
        assert error < 1e-12, (name, error)


def test_other_model_sizes():
    params = family.Params(p=7, seed=1)
    config = family.TrainingConfig(dtype="float64", d_model=24, n_heads=3, d_head=5, d_mlp=20)
    weights = trained_like(params, config)
    train_loss, _, expected = reference(params, config, weights)
    losses, grads = run_step([params], [weights])
    assert losses[0].item() == pytest.approx(train_loss, rel=1e-12)
    assert all(torch.allclose(grads[name][0], expected[name], rtol=1e-11, atol=1e-15) for name in expected)


def test_variants_in_a_batch_do_not_see_each_other():
    many = [family.Params(p=11, seed=seed, data_seed=seed + 5) for seed in range(4)]
    weights = [trained_like(params) for params in many]
    losses, grads = run_step(many, weights, block_rows=50)
    for i, params in enumerate(many):
        alone, own = run_step([params], [weights[i]])
        assert torch.allclose(losses[:, i : i + 1], alone, rtol=1e-14, atol=0)
        assert all(torch.allclose(grads[name][i], own[name][0], rtol=1e-12, atol=1e-16) for name in own)


def test_a_memorised_training_set_has_a_tiny_but_exact_loss():
    """The cross-entropy is in float64: no loss is lost below the precision of float32."""
    params = family.Params(p=11, seed=0)
    weights = {name: weight.float() for name, weight in trained_like(params).items()}
    weights["unembed.W_U"] *= 40
    losses, _ = run_step([params], [weights])
    logits = fast_path.forward_grid(weights, 11).logits.reshape(121, 11).double()
    labels = torch.from_numpy(family.labels(params))
    rows = torch.from_numpy(family.split(params)[1])
    assert losses.dtype == torch.float64
    assert losses[1].item() == pytest.approx(cross_entropy(logits[rows], labels[rows]).item(), rel=1e-4)


def test_reference_losses_at_initialisation():
    """Golden values of the public reference run (float32 weights): train loss of epoch 0, p = 113."""
    params = family.Params(p=113, seed=999, data_seed=598)
    losses, _ = run_step([params], [family.init_weights(params)])
    assert losses[0].item() == pytest.approx(4.73588576, abs=2e-7)


def test_gauge_of_a_head_changes_nothing():
    """W_V -> W_V A, W_O -> A^-1 W_O and W_Q -> W_Q B, W_K -> W_K B^-T are the same model."""
    params = family.Params(p=11, seed=5)
    weights = trained_like(params)
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.eye(32, dtype=torch.float64) + 0.1 * torch.randn(32, 32, generator=generator).double()
        for _ in "ab"
    )
    attn = "blocks.0.attn."
    turned = dict(weights)
    turned[attn + "W_V"], turned[attn + "W_O"] = (
        weights[attn + "W_V"] @ a,
        a.inverse() @ weights[attn + "W_O"],
    )
    turned[attn + "W_Q"], turned[attn + "W_K"] = (
        weights[attn + "W_Q"] @ b,
        weights[attn + "W_K"] @ b.inverse().T,
    )
    one, other = fast_path.forward_grid(weights, 11), fast_path.forward_grid(turned, 11)
    assert torch.allclose(one.logits, other.logits, rtol=0, atol=1e-10 * one.logits.abs().max().item())
    assert torch.allclose(one.pattern, other.pattern, atol=1e-11)


def test_order_of_neurons_does_not_matter():
    params = family.Params(p=11, seed=5)
    weights = trained_like(params)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(1))
    shuffled = dict(weights)
    shuffled["blocks.0.mlp.W_in"] = weights["blocks.0.mlp.W_in"][:, order]
    shuffled["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    one, other = fast_path.forward_grid(weights, 11), fast_path.forward_grid(shuffled, 11)
    assert torch.allclose(one.logits, other.logits, rtol=0, atol=1e-11)
    assert torch.allclose(one.neurons[..., order], other.neurons, rtol=0, atol=1e-12)


@pytest.mark.parametrize("only", [None, *fast_path.BIASES])
def test_biases_of_models_made_elsewhere(only):
    """All biases at once, and each one alone: the others then have no part in the function."""
    params = family.Params(p=7, seed=4)
    shape = replace(family.transformer_config(params, CONFIG), biases=True, d_model=12, d_mlp=10)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.5 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        for name, weight in init_weights(shape).items()
    }
    named = set(fast_path.BIASES)
    assert named < set(weights)
    kept = {name: weight for name, weight in weights.items() if name not in named or only in (None, name)}
    full = {name: kept.get(name, torch.zeros_like(weight)) for name, weight in weights.items()}
    logits, cache = Transformer(shape, full).run_with_cache(torch.from_numpy(family.tokens(params)))
    grid = fast_path.forward_grid(kept, 7)
    torch.testing.assert_close(grid.logits.flatten(0, 1), logits[:, -1], rtol=0, atol=1e-12)
    neurons = cache["blocks.0.mlp.hook_post"][:, -1].reshape(7, 7, -1)
    torch.testing.assert_close(grid.neurons, neurons, rtol=0, atol=1e-12)
    torch.testing.assert_close(fast_path.neuron_map(kept, 7, 3), neurons[..., 3], rtol=0, atol=1e-12)
    heads = [fast_path.head_output(kept, 7, grid.pattern, head) for head in range(shape.n_heads)]
    written = cache["blocks.0.attn.hook_result"][:, -1].sum(1).reshape(7, 7, -1)
    torch.testing.assert_close(sum(heads), written, rtol=0, atol=1e-12)


def test_a_neuron_that_is_not_there():
    weights = family.init_weights(family.Params(p=11, seed=0))
    with pytest.raises(IndexError, match="neuron 512 does not exist; this model has neurons 0 to 511"):
        fast_path.neuron_map(weights, 11, 512)


def test_interventions_are_hooks_in_the_full_transformer():
    """attn_out: v -> v + r v A; embed: W -> (I + r B) W; several at a site add up; one variant has none."""
    params, other = family.Params(p=11, seed=3), family.Params(p=11, seed=4)
    weights = [trained_like(params), trained_like(other)]
    generator = torch.Generator().manual_seed(0)
    a1, a2 = (0.1 * torch.randn(128, 128, generator=generator, dtype=torch.float64) for _ in "ab")
    b = 0.3 * torch.randn(11, 11, generator=generator, dtype=torch.float64)
    of_first = (
        Intervention("attn_out", a1, lambda epoch: 0.25 * epoch),
        Intervention("embed", b, lambda epoch: 0.5),
        Intervention("attn_out", a2, lambda epoch: 1.0),
    )
    many = Interventions([of_first, ()], b)
    many.ramps.copy_(torch.from_numpy(many.ramps_at([3, 3])))
    losses, grads = run_step([params, other], weights, interventions=many)

    leaves = {name: weight.clone().requires_grad_() for name, weight in weights[0].items()}
    w_e = leaves["embed.W_E"]
    changed = {**leaves, "embed.W_E": torch.cat([w_e[:11] + 0.5 * b @ w_e[:11], w_e[11:]])}
    model = Transformer(family.transformer_config(params, CONFIG), changed)
    hooks = {"blocks.0.hook_attn_out": lambda v: v + v @ (0.75 * a1 + a2)}
    logits = model(torch.from_numpy(family.tokens(params)), hooks=hooks)[:, -1]
    labels = torch.from_numpy(family.labels(params))
    train, test = (torch.from_numpy(rows) for rows in family.split(params))
    train_loss = cross_entropy(logits[train], labels[train])
    train_loss.backward()
    assert losses[0, 0].item() == pytest.approx(train_loss.item(), rel=1e-12)
    assert losses[1, 0].item() == pytest.approx(cross_entropy(logits[test], labels[test]).item(), rel=1e-12)
    for name, leaf in leaves.items():
        assert (grads[name][0] - leaf.grad).abs().max() < 1e-12 * leaf.grad.abs().max(), name
    alone, own = run_step([other], [weights[1]])
    assert torch.allclose(losses[:, 1:], alone, rtol=1e-13, atol=0)
    assert all(torch.allclose(grads[name][1], own[name][0], rtol=1e-11, atol=1e-15) for name in own)


def test_no_interventions_are_no_matrices():
    none = Interventions([(), ()], torch.zeros(1))
    assert none.matrix("embed") is None
    assert none.matrix("attn_out") is None
    with pytest.raises(ValueError, match="unknown site 'mlp'"):
        Intervention("mlp", torch.eye(3), lambda epoch: 1.0)
