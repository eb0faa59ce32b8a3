"""Schedules: values against the formulas, text and JSON, bad input, identity, training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data import Workspace
from data.errors import BadParameter
from data.workspace import SAMPLES
from training.families import modular_addition as family
from training.run import resume_variant, train_variant
from training.schedules import POLICIES, Schedule, schedule_of

SMALL = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
BASE = 1e-3


def values(text: str, epochs: range, base: float = BASE) -> list[float]:
    schedule = Schedule.parse(text)
    return [schedule.value(epoch, base) for epoch in epochs]


def test_constant_and_before_the_start_is_the_base():
    assert values("constant", range(3)) == [BASE] * 3
    for text in (
        "cosine:until=9,start=3",
        "linear_warmup:warmup=5,start=3",
        "step:every=1,factor=0.1,start=3",
    ):
        assert values(text, range(3)) == [BASE] * 3


def test_warm_up_rises_evenly_from_the_first_update_to_the_base():
    assert values("linear_warmup:warmup=4", range(6), 1.0) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_steps():
    assert values("step:every=2,factor=0.5,floor=0.2", range(8), 1.0) == [
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.25,
        0.2,
        0.2,
    ]


def test_cosine_is_half_a_period_and_then_the_floor():
    found = values("cosine:until=10,floor=0.2", range(14), 1.0)
    assert found[:11] == pytest.approx([0.2 + 0.8 * (1 + math.cos(math.pi * e / 10)) / 2 for e in range(11)])
    assert found[10:] == pytest.approx([0.2] * 4)
    assert found[5] == pytest.approx(0.6)


def test_cosine_is_that_of_torch():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=BASE)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-5)
    for value in values("cosine:until=50,floor=1e-5", range(51)):
        assert value == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_warm_up_and_decay_meet_at_the_base_and_end_at_the_floor(decay):
    found = values(f"warmup_{decay}:warmup=5,until=25,floor=0.1", range(31), 1.0)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5] == 1.0
    assert found[15] == pytest.approx(0.55)
    assert found[25:] == pytest.approx([0.1] * 6)
    assert np.all(np.diff(found[5:26]) < 0)


def test_piecewise_holds_each_value_until_the_next():
    assert values("piecewise:2=0.5,4=3", range(6), 1.0) == [1, 1, 0.5, 0.5, 3, 3]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    policy = draw(st.sampled_from(POLICIES))
    number, epoch = st.floats(0, 1, allow_nan=False), st.integers(1, 10**6)
    settings = {"warmup": draw(epoch), "every": draw(epoch), "factor": draw(st.floats(0.01, 1))}
    settings |= {"start": draw(st.integers(0, 10**5)), "floor": draw(number)}
    settings["until"] = settings["start"] + settings["warmup"] + draw(epoch)
    settings["points"] = sorted(draw(st.dictionaries(epoch, number, min_size=1, max_size=4)).items())
    known = Schedule.__dataclass_fields__
    used = {
        "constant": (),
        "linear_warmup": ("warmup", "start"),
        "step": ("every", "factor", "start", "floor"),
        "cosine": ("until", "start", "floor"),
        "warmup_cosine": ("warmup", "until", "start", "floor"),
        "warmup_linear": ("warmup", "until", "start", "floor"),
        "piecewise": ("points",),
    }[policy]
    return Schedule(policy, **{name: settings[name] for name in used if name in known})


@given(schedules(), st.integers(0, 2 * 10**6), st.floats(0, 1))
def test_text_and_json_lose_nothing_and_values_stay_in_bounds(schedule, epoch, base):
    assert Schedule.parse(str(schedule)) == schedule
    assert Schedule.of_json(schedule.to_json()) == schedule
    assert schedule_of(schedule.to_json()) == (None if schedule.policy == "constant" else schedule)
    value = schedule.value(epoch, base)
    assert 0 <= value <= schedule.largest(base) * (1 + 1e-12)


def test_the_same_schedule_written_differently_is_the_same():
    assert Schedule.parse("cosine: until=100 , floor=0") == Schedule.parse("cosine:until=100")
    assert (
        Schedule.parse("step:every=5,factor=1").to_json() == Schedule("step", every=5, factor=1.0).to_json()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosinus:until=5", "'cosinus' is not known; choose one of: constant, linear_warmup, step"),
        ("cosine", "'cosine' needs until; write it like cosine:until=25000"),
        ("cosine:until=100,flor=1", "has no setting 'flor'"),
        ("cosine:until", "is not name=value"),
        ("cosine:until=ten", "'ten' in the schedule 'cosine:until=ten' is not a number"),
        ("cosine:until=-5", "until=-5 is not a whole number of epochs"),
        ("cosine:until=10.5", r"until=10\.5 is not a whole number"),
        ("cosine:until=10,floor=-1e-4", r"floor=-0\.0001 is not a finite number from 0 up"),
        ("cosine:until=10,floor=inf", "floor=inf is not a finite"),
        ("cosine:until=10,until=20", "gives until twice"),
        ("cosine:until=10,start=10", "until=10 is not after the start"),
        ("linear_warmup:warmup=0", "warmup=0 is not a whole number of epochs from 1 up"),
        ("warmup_cosine:warmup=10,until=10", "until=10 is not after the warm-up, which ends at epoch 10"),
        ("step:every=5,factor=0", "factor=0.0 must be above 0"),
        ("step:every=5,factor=2", "factor=2.0 must be above 0 and at most 1"),
        ("piecewise", "'piecewise' needs points"),
        ("piecewise:100=1e-3,50=1e-4", "not in order: epoch 50 comes after epoch 100"),
        ("piecewise:100=1e-3,100=1e-4", "not in order"),
        ("piecewise:-1=1e-3", "-1 is not an epoch"),
        ("piecewise:10=-1e-3", "the value at epoch 10=-0.001"),
        ("constant:value=3", "has no setting 'value'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_value_and_a_remedy(text, message):
    with pytest.raises(BadParameter, match=message):
        Schedule.parse(text)


def test_other_forms_that_are_refused():
    with pytest.raises(BadParameter, match="points must be a list"):
        Schedule.of_json({"policy": "piecewise", "points": [1, 2]})
    with pytest.raises(BadParameter, match="None is not known"):
        Schedule.of_json({"until": 5})
    with pytest.raises(BadParameter, match="5 is not a schedule"):
        schedule_of(5)  # type: ignore[arg-type]
    with pytest.raises(BadParameter, match="reaches 3"):
        family.make_config({"lr_schedule": "piecewise:5=3"})
    with pytest.raises(BadParameter, match="learning rate times weight decay"):
        family.make_config({"lr_schedule": "piecewise:5=0.5", "wd_schedule": "piecewise:5=2"})


# --- identity ----------------------------------------------------------------------------------------------


def test_only_what_is_not_constant_takes_part_in_the_identity():
    params = family.Params(p=113, seed=999)
    plain = family.record(params)
    assert set(plain.config) & {"lr_schedule", "wd_schedule", "intervention"} == set()
    constant = family.record(params, family.make_config({"lr_schedule": "constant", "wd_schedule": None}))
    assert (constant.identity, constant.name) == (plain.identity, plain.name)
    changed = family.record(params, family.make_config({"lr_schedule": "cosine:until=25000,floor=1e-5"}))
    assert changed.identity != plain.identity
    assert changed.name == "p113-s999-d598-lr_cosine_until=25000_floor=1e-05"
    assert changed.config["lr_schedule"] == {"policy": "cosine", "until": 25000, "floor": 1e-5}
    assert family.record(params, family.make_config(changed.config)) == changed


def test_a_long_schedule_has_a_short_name_that_tells_it_from_others():
    points = ",".join(f"{epoch}=1e-{epoch}" for epoch in range(1, 30))
    one, other = Schedule.parse(f"piecewise:{points}"), Schedule.parse(f"piecewise:{points},40=0")
    assert one.name != other.name
    assert len(one.name) < 20


def test_shipped_samples_keep_their_identity():
    workspace = Workspace(SAMPLES)
    assert len(workspace.variants()) >= 3
    assert workspace.problems() == []
    roots = [variant for variant in workspace.variants() if variant.parent is None]
    for variant in roots:
        record = family.record(family.params_of(variant), family.config_of(variant))
        assert (record.identity, record.name) == (variant.identity, variant.name)


# --- training ----------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


def run(workspace, epochs=20, **config):
    return train_variant(
        workspace, family.NAME, {"p": 7, "seed": 1}, {**SMALL, **config}, epochs, device="cpu", state_every=5
    )


def test_a_run_follows_its_schedules_and_records_them(workspace):
    variant = run(
        workspace, lr_schedule="warmup_cosine:warmup=5,until=20", wd_schedule="step:every=10,factor=0.5"
    )
    assert variant.config["lr_schedule"]["policy"] == "warmup_cosine"
    lr = Schedule.of_json(variant.config["lr_schedule"])
    assert variant.history["lr"].values.tolist() == [lr.value(epoch, BASE) for epoch in range(21)]
    assert variant.history["weight_decay"].values.tolist() == [1.0] * 10 + [0.5] * 10 + [0.25]
    (entry,) = workspace.catalog.refresh()
    assert entry.config["lr_schedule"] == {"policy": "warmup_cosine", "warmup": 5, "until": 20}
    assert variant.view("learning_rate").data()["lr"].values.tolist() == variant.history["lr"].values.tolist()


def test_a_scheduled_run_is_that_of_torch_adamw(workspace):
    """float64: losses of autograd with torch's AdamW whose rates are set by hand before every step."""
    from training.transformer import Transformer

    text = {"lr_schedule": "warmup_linear:warmup=5,until=25,floor=1e-4", "wd_schedule": "piecewise:10=0.1"}
    config = family.make_config({**SMALL, **text, "dtype": "float64", "lr": 1e-2})
    params = family.Params(p=7, seed=1)
    weights = {name: weight.requires_grad_() for name, weight in family.init_weights(params, config).items()}
    model = Transformer(family.transformer_config(params, config), weights)
    optimizer = torch.optim.AdamW(weights.values(), betas=config.betas, eps=config.eps)
    rows, labels = torch.from_numpy(family.split(params)[0]), torch.from_numpy(family.labels(params))
    expected = []
    for epoch in range(31):
        optimizer.param_groups[0]["lr"] = config.lr_schedule.value(epoch, 1e-2)
        optimizer.param_groups[0]["weight_decay"] = 1.0 if epoch < 10 else 0.1
        optimizer.zero_grad()
        logits = model(torch.from_numpy(family.tokens(params))[rows])[:, -1]
        loss = torch.nn.functional.cross_entropy(logits, labels[rows])
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    variant = run(workspace, epochs=30, **text, dtype="float64", lr=1e-2)
    assert np.allclose(variant.history["train_loss"].values, expected, rtol=1e-9, atol=0)


def test_a_schedule_past_the_end_of_the_run_is_refused_and_leaves_nothing(workspace):
    for name, words in (("lr_schedule", "learning-rate schedule"), ("wd_schedule", "weight-decay schedule")):
        with pytest.raises(
            BadParameter, match=f"{words} 'cosine:until=100' goes on until epoch 100.*ends at epoch 20"
        ):
            run(workspace, **{name: "cosine:until=100"})
    assert workspace.variants() == []


def test_a_scheduled_run_resumes_bit_for_bit(workspace, tmp_path):
    text = "cosine:until=20"
    whole = run(workspace, lr_schedule=text)
    other = Workspace(tmp_path / "other", create=True)

    def stop(progress):
        if progress.epoch >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_variant(
            other,
            family.NAME,
            {"p": 7, "seed": 1},
            {**SMALL, "lr_schedule": text},
            20,
            device="cpu",
            state_every=5,
            on_progress=stop,
        )
    resumed = resume_variant(other[whole.name], device="cpu")
    assert np.array_equal(resumed.history["train_loss"], whole.history["train_loss"])
