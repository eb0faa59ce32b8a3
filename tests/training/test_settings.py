"""What a family declares of its settings for forms is what its own checks accept."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from data.errors import BadParameter
from training.families import modular_addition
from training.families.modular_addition import OPERATIONS, Params, TrainingConfig
from training.families.setting import Setting
from training.schedules import POLICIES, Schedule, example_of, settings_of

EVERY = modular_addition.FAMILY.settings
NOT_IN_FORMS = {"split", "intervention", "imported"}  # of imported variants and of forks


def made(name: str, value: Any) -> None:
    """Use one value, the others at their defaults."""
    place = next(one.place for one in EVERY if one.name == name)
    given: dict[str, dict[str, Any]] = {"params": {"p": 113, "seed": 0}, "config": {"weight_decay": 0.5}}
    given[place][name] = value
    modular_addition.record(Params(**given["params"]), modular_addition.make_config(given["config"]))


def test_every_setting_is_declared_with_its_default() -> None:
    known = {field.name: field for kind in (Params, TrainingConfig) for field in fields(kind)}
    assert {one.name for one in EVERY} == set(known) - NOT_IN_FORMS
    for one in EVERY:
        if one.required:
            assert one.name in ("p", "seed")
        else:
            assert one.default == known[one.name].default
        assert one.label
        assert one.help.endswith(".")


@pytest.mark.parametrize("one", [one for one in EVERY if one.least is not None], ids=lambda one: one.name)
def test_limits_are_where_the_checks_have_them(one: Setting) -> None:
    assert one.least is not None
    below = one.least - 1
    with pytest.raises(BadParameter) as refused:
        made(one.name, below)
    assert refused.value.field == one.name
    if one.kind == "whole":
        made(one.name, one.least)
    if one.most is not None:
        made(one.name, one.most)
        with pytest.raises(BadParameter) as refused:
            made(one.name, one.most + 1)
        assert refused.value.field == one.name


def test_choices_are_those_that_there_are() -> None:
    choices = {one.name: one.choices for one in EVERY if one.kind == "choice"}
    assert choices["operation"] == tuple(OPERATIONS)
    for name, values in choices.items():
        for value in values:
            made(name, value)
        with pytest.raises(BadParameter) as refused:
            made(name, "astrology")
        assert refused.value.field == name


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"lr_schedule": "cosine"}, "lr_schedule"),
        ({"wd_schedule": "step:every=0,factor=0.5"}, "wd_schedule"),
        ({"lr_schedule": "piecewise:5=3"}, "lr_schedule"),
        ({"wd_schedule": "piecewise:5=3000"}, "wd_schedule"),
        ({"weight_decay": 2000}, "weight_decay"),
    ],
)
def test_a_refused_schedule_names_its_field(config: dict[str, Any], field: str) -> None:
    with pytest.raises(BadParameter) as refused:
        modular_addition.make_config(config)
    assert refused.value.field == field


def test_every_policy_is_described() -> None:
    for policy in POLICIES:
        schedule = Schedule.parse(example_of(policy))
        assert schedule.policy == policy
        assert set(schedule.to_json()) - {"policy"} <= set(settings_of(policy))
