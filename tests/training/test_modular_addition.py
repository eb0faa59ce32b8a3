"""The modular-addition family: parameters, names, labels, split, initialisation."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadParameter
from training.families import families, get_family
from training.families.modular_addition import (
    Params,
    TrainingConfig,
    init_weights,
    labels,
    make_config,
    make_params,
    record,
    split,
    tokens,
    variant_name,
)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("multiply", lambda a, b: a * b),
        ("x2+xy+y2", lambda a, b: a**2 + a * b + b**2),
    ],
)
def test_labels_against_python_integers(operation, answer):
    params = Params(p=13, seed=0, operation=operation)
    expected = [answer(a, b) % 13 for a in range(13) for b in range(13)]
    assert labels(params).tolist() == expected
    assert tokens(params).tolist() == [[a, b, 13] for a in range(13) for b in range(13)]


def test_labels_do_not_overflow_at_the_largest_prime():
    params = Params(p=1009, seed=0, operation="x2+xy+y2")
    assert labels(params)[1009 * 1008 + 1008] == (3 * 1008**2) % 1009


def test_split_is_the_seeded_permutation_and_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    train, test = split(Params(p=113, seed=1, data_seed=598))
    assert torch.equal(before, torch.get_rng_state())
    with torch.random.fork_rng():
        torch.manual_seed(598)
        order = torch.randperm(113 * 113).numpy()
    assert len(train) == int(0.3 * 113 * 113)
    assert np.array_equal(np.concatenate([train, test]), order)


@given(p=st.sampled_from([3, 5, 11, 13]), data_seed=st.integers(0, 2**40), frac=st.floats(0.15, 0.85))
@settings(max_examples=30, deadline=None)
def test_split_is_a_partition(p, data_seed, frac):
    train, test = split(Params(p=p, seed=0, data_seed=data_seed, frac_train=frac))
    assert sorted([*train, *test]) == list(range(p * p))
    assert len(train) == int(frac * p * p)


@pytest.mark.parametrize(("p", "seed"), [(113, 999), (101, 5)])
def test_initialisation_is_bit_equal_to_the_reference_order(p, seed):
    before = torch.get_rng_state()
    weights = init_weights(Params(p=p, seed=seed))
    assert torch.equal(before, torch.get_rng_state())
    attn, mlp = "blocks.0.attn.", "blocks.0.mlp."
    shapes = {
        "embed.W_E": (p + 1, 128),
        "pos_embed.W_pos": (3, 128),
        attn + "W_Q": (4, 128, 32),
        attn + "W_O": (4, 32, 128),
        attn + "W_K": (4, 128, 32),
        attn + "W_V": (4, 128, 32),
        mlp + "W_in": (128, 512),
        mlp + "W_out": (512, 128),
        "unembed.W_U": (128, p),
    }
    assert weights.keys() == shapes.keys()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, shape in shapes.items():
            expected = torch.empty(shape).normal_(0.0, 0.8 / 128**0.5)
            assert torch.equal(weights[name], expected), name


def test_float64_starts_from_the_same_numbers():
    single = init_weights(Params(p=11, seed=3))
    double = init_weights(Params(p=11, seed=3), TrainingConfig(dtype="float64"))
    assert all(torch.equal(single[name].double(), double[name]) for name in single)


def test_names_are_readable_and_say_what_differs():
    assert variant_name(Params(p=113, seed=999)) == "p113-s999-d598"
    name = variant_name(
        Params(p=113, seed=999, frac_train=0.4, operation="x2+xy+y2"), TrainingConfig(lr=3e-4, d_mlp=256)
    )
    assert name == "p113-s999-d598-f0.4-x2xyy2-lr0.0003-mlp256"


def test_everything_that_can_differ_changes_name_and_identity():
    base_params, base_config = Params(p=11, seed=1), TrainingConfig()
    others = [
        record(Params(**{**asdict(base_params), field: value}), base_config)
        for field, value in {
            "p": 13,
            "seed": 2,
            "data_seed": 3,
            "frac_train": 0.5,
            "operation": "multiply",
        }.items()
    ]
    others += [
        record(base_params, TrainingConfig(**{**asdict(base_config), field: value}))
        for field, value in {
            "lr": 2e-3,
            "weight_decay": 0.5,
            "betas": (0.9, 0.99),
            "eps": 1e-7,
            "dtype": "float64",
            "d_model": 64,
            "n_heads": 2,
            "d_head": 16,
            "d_mlp": 128,
        }.items()
    ]
    records = [record(base_params, base_config), *others]
    assert len({one.name for one in records}) == len(records)
    assert len({one.identity for one in records}) == len(records)


def test_params_and_config_survive_json():
    stored = json.loads(json.dumps(record(Params(p=11, seed=1), TrainingConfig(betas=(0.8, 0.9))).to_json()))
    assert make_params(stored["params"]) == Params(p=11, seed=1)
    assert make_config(stored["config"]) == TrainingConfig(betas=(0.8, 0.9))


@pytest.mark.parametrize(
    ("values", "what", "remedy"),
    [
        ({"p": 12}, "p=12", "11 and 13"),
        ({"p": 1}, "p=1", "2 to 1009"),
        ({"p": 1013}, "p=1013", "2 to 1009"),
        ({"p": -7}, "p=-7", "2 to 1009"),
        ({"p": 11.0}, "p=11.0", "whole number"),
        ({"p": True}, "p=True", "whole number"),
        ({"seed": -1}, "seed=-1", "from 0"),
        ({"data_seed": 2**63}, f"data_seed={2**63}", "from 0"),
        ({"frac_train": 0.0}, "frac_train=0.0", "between 0 and 1"),
        ({"frac_train": 1.0}, "frac_train=1.0", "between 0 and 1"),
        ({"frac_train": float("nan")}, "frac_train=nan", "finite"),
        ({"frac_train": 0.001}, "leaves 0 of the 121 pairs", "at least one pair"),
        ({"operation": "divide"}, "'divide'", "add, subtract, multiply"),
        ({"prime": 5}, "'prime'", "data_seed"),
    ],
)
def test_bad_params_say_the_value_and_the_remedy(values, what, remedy):
    with pytest.raises(BadParameter) as error:
        make_params({"p": 11, "seed": 1, **values})
    assert what in str(error.value)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": float("inf")}, "lr=inf"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"betas": [0.9]}, "betas=(0.9,)"),
        ({"betas": [0.9, 1.0]}, "betas=(0.9, 1.0)"),
        ({"eps": 0.0}, "eps=0.0"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"d_mlp": 0}, "d_mlp=0"),
        ({"n_heads": 4.5}, "n_heads=4.5"),
        ({"warmup": 10}, "'warmup'"),
    ],
)
def test_bad_config_says_the_value(values, what):
    with pytest.raises(BadParameter, match=r"choose|must|give|there is") as error:
        make_config(values)
    assert what in str(error.value)


def test_missing_params_are_named():
    with pytest.raises(BadParameter, match="seed"):
        make_params({"p": 11})


def test_unknown_family_lists_what_there_is():
    assert [family.name for family in families()] == ["modular_addition"]
    with pytest.raises(BadParameter, match=r"'modular_subtraction'.*modular_addition"):
        get_family("modular_subtraction")


def test_the_kind_of_split_is_part_of_a_variant_only_where_it_differs():
    plain, shuffled = Params(p=11, seed=1), Params(p=11, seed=1, split="shuffle")
    unknown = Params(p=11, seed=1, split="unknown")
    assert "split" not in record(plain).params
    assert record(shuffled).params == {**record(plain).params, "split": "shuffle"}
    assert record(unknown).params == {"p": 11, "seed": 1, "operation": "add", "split": "unknown"}
    assert [record(one).name for one in (plain, shuffled, unknown)] == [
        "p11-s1-d598",
        "p11-s1-d598-shuffle",
        "p11-s1-unknown",
    ]
    for one in (plain, shuffled, unknown):
        assert make_params(record(one).params) == one
    train, test = split(shuffled)
    assert sorted([*train, *test]) == list(range(121))
    assert len(train) == len(split(plain)[0])
    assert set(train) != set(split(plain)[0])
    assert [len(rows) for rows in split(unknown)] == [0, 0]
    with pytest.raises(BadParameter, match="split='half' is not known; choose one of: randperm, shuffle"):
        Params(p=11, seed=1, split="half")


def test_an_imported_variant_is_another_one_than_that_trained_here():
    params = Params(p=11, seed=1)
    imported = record(params, TrainingConfig(imported="0123456789abcdef"))
    assert "imported" not in record(params).config
    assert imported.identity != record(params).identity
    assert imported.name == "p11-s1-d598-i01234567"
    assert make_config(imported.config).imported == "0123456789abcdef"
