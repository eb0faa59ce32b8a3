"""What pages are told of work: orders in words and as commands, obstacles, results, settings, schedules."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from planted import plant
from typer.testing import CliRunner

import cli
from analyzers.pipeline import Report, analyze
from dashboard.markup import html_of
from dashboard.pages import train
from dashboard.pages.train_routes import drawn, saved, settings_of
from dashboard.work.command import commands
from dashboard.work.estimate import describe
from dashboard.work.factors import factored
from dashboard.work.matrix import Matrix
from dashboard.work.orders import parse
from dashboard.work.pace import result_seconds, seconds_each
from dashboard.work.prepared import prepare
from dashboard.work.service import WorkService
from dashboard.work.words import in_words
from data import Workspace
from data.database.jobs import JobStore
from data.errors import BadParameter
from training.forks import fork_variant
from training.named_schedules import NamedSchedules
from training.run import train_variant

SIZES = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
NAME = "p7-s1-d598-dm8-h2-dh4-mlp16"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp("told") / "trained", create=True)
    variant = train_variant(
        workspace, "modular_addition", {"p": 7, "seed": 1}, SIZES, 30, "0:30:10", "cpu", state_every=10
    )
    fork_variant(variant, 10, epochs=20, device="cpu")
    workspace.database.close()
    return workspace.path


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(trained, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


# --- commands and words ----------------------------------------------------------------------------------

ORDERS: list[dict[str, Any]] = [
    {"kind": "train", "params": {"p": 11, "seed": 3}, "config": {**SIZES, "lr": 2e-3}, "epochs": 40},
    {
        "kind": "train",
        "params": {"p": 11, "seed": 3, "operation": "x2+xy+y2", "frac_train": 0.4},
        "config": {"betas": [0.8, 0.9], "lr_schedule": "cosine:until=30,floor=0.0001"},
        "epochs": 40,
        "checkpoints": "0:40:5",
        "checkpoint_dtype": "float16",
        "state_every": 7,
        "device": "cpu",
        "go_on": True,
    },
    {"kind": "replicates", "params": {"p": 7, "seed": 1}, "config": SIZES, "copies": 4, "perturb": 1e-5},
    {"kind": "sweep", "grid": {"p": [7, 11], "seed": [0, 1, 2], "lr": 0.002}, "epochs": 40, "workers": 2},
    {
        "kind": "sweep",
        "grid": {"p": 7, "seed": [0, 1], "lr_schedule": "step:every=10,factor=0.5", "betas": [[0.8, 0.9]]},
        "epochs": 40,
    },
    {"kind": "fork", "variant": NAME, "at": 10, "change": {"lr": 1e-4, "perturb": 1e-6, "perturb_seed": 2}},
    {
        "kind": "fork",
        "variant": NAME,
        "at": 10,
        "change": {
            "wd_schedule": "piecewise:15=0.1",
            "intervention": {
                "site": "embed",
                "frequencies": [1, 3],
                "gain": 0,
                "start": 12,
                "end": 30,
                "ramp": 2,
            },
        },
        "epochs": 35,
    },
    {"kind": "resume", "variant": NAME, "epochs": 60},
    {"kind": "densify", "variant": NAME, "epochs": "12:18:2", "force": True},
    {"kind": "analyze", "variants": [NAME], "analyzers": ["gini", "weight_norms"], "workers": 2},
    {"kind": "analyze", "variants": [NAME, f"{NAME}-at10"]},
]


@pytest.mark.parametrize("plain", ORDERS, ids=lambda plain: plain["kind"])
def test_the_command_orders_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, plain: dict[str, Any]
) -> None:
    """Run through the command line itself, the commands make the variants that the order makes."""
    given: list[Mapping[str, Any]] = []

    class Ordered(Exception):
        pass

    def take(opened: Workspace, order: Mapping[str, Any], quiet: bool = False) -> None:
        given.append(order)
        raise Ordered

    monkeypatch.setattr(cli, "_do", take)
    order = parse(plain)
    lines = commands(order, workspace)
    for line in lines:
        name, *words = shlex.split(line)
        assert name == "tdw"
        CliRunner().invoke(cli.app, words)
    assert len(given) == len(lines) == 1
    wanted, got = describe(order, workspace), describe(parse(given[0]), workspace)
    assert got.makes == wanted.makes
    same = (
        "epochs",
        "checkpoints",
        "checkpoint_dtype",
        "state_every",
        "device",
        "workers",
        "force",
        "perturb",
    )
    for field in same:
        if hasattr(order, field):
            assert getattr(parse(given[0]), field) == getattr(order, field), field


def test_commands_for_what_has_none(workspace: Workspace) -> None:
    listed = parse({"kind": "sweep", "variants": [{"p": 7, "seed": 0}, {"p": 11, "seed": 1}]})
    assert commands(listed, workspace) == []
    assert ("Variants", "p 7, seed 0, p 11, seed 1") in in_words(listed)
    one = parse({"kind": "analyze", "variants": [NAME]})
    assert commands(one, workspace) == [f"tdw analyze {NAME} --workspace {workspace.path.resolve()}"]


def test_a_list_that_is_a_grid_is_told_as_one() -> None:
    rows = [{"p": p, "seed": seed} for p in (7, 11) for seed in (0, 1, 2)]
    assert factored(rows) == {"p": [7, 11], "seed": [0, 1, 2]}
    assert factored(rows[:-1]) is None
    assert factored([{"p": 7}, {"p": 7, "seed": 1}]) is None
    assert factored([{"p": 7}, {"p": 7}]) is None


def test_orders_are_told_in_the_words_of_the_form(workspace: Workspace) -> None:
    words = dict(in_words(parse(ORDERS[3])))
    assert words == {
        "Family": "Modular arithmetic",
        "Prime p": "7, 11",
        "Seed": "0, 1, 2",
        "Learning rate": "0.002",
        "To epoch": "40",
        "Device": "the best there is",
    }
    fork = dict(in_words(parse(ORDERS[5])))
    assert (fork["Variant"], fork["Forked at epoch"], fork["Changed: Learning rate"]) == (
        NAME,
        "10",
        "0.0001",
    )
    assert dict(in_words(parse({"kind": "fork", "variant": NAME, "at": 1})))["Changed"] == "nothing"


# --- before it starts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({"kind": "resume", "variant": NAME}, "trained to epoch 30 already. Choose a later one"),
        ({"kind": "densify", "variant": NAME, "epochs": "0,10"}, "are stored for .* already"),
        ({"kind": "fork", "variant": NAME, "at": 10, "epochs": 20}, "at10 is there already .* Go on with it"),
    ],
)
def test_what_stands_in_the_way_is_said_before(
    workspace: Workspace, plain: dict[str, Any], says: str
) -> None:
    (conflict,) = describe(parse(plain), workspace).conflicts
    assert re.search(says, conflict), conflict


def test_two_jobs_never_write_one_variant(workspace: Workspace) -> None:
    order = {"kind": "resume", "variant": NAME, "epochs": 60}
    prepared = prepare(parse(order), workspace)
    store = JobStore(workspace.database)
    job, _ = store.create_or_join("resume", prepared.work, order, prepared.title, prepared.variants)
    assert describe(parse(order), workspace).active == job.id
    other = describe(parse({**order, "epochs": 90}), workspace)
    assert other.active is None
    assert other.conflicts == [
        f"{NAME} is being written by another job (Go on with {NAME}). Wait until it has ended, or cancel it."
    ]
    assert describe(parse({"kind": "analyze", "variants": [NAME]}), workspace).conflicts == []


def test_an_estimate_says_on_what_it_rests(workspace: Workspace) -> None:
    order = {"kind": "train", "params": {"p": 7, "seed": 2}, "config": SIZES, "epochs": 1000}
    guess = describe(parse(order), workspace)
    assert guess.based_on.startswith("a cautious guess")
    assert guess.device.startswith("CPU")
    assert 0 < guess.bytes < guess.free
    store = JobStore(workspace.database)
    job, _ = store.create_or_join("train", "one", {}, "Train something like it")
    claimed = store.claim(job.id)
    assert claimed is not None
    flops = 3 * 7 * 7 * (6 * 0.3 + 2 * 0.7) * 1000  # of about a thousand weights
    facts = {"flops_per_second": flops / 0.5, "flops_per_epoch": flops, "device": "cpu"}
    store.finish(claimed, "done", "", facts)
    known = describe(parse(order), workspace)
    assert known.based_on == "the pace of “Train something like it”"
    assert known.seconds is not None
    assert 100 < known.seconds < 2000  # half a second an epoch, as that training took
    large = describe(parse({"kind": "train", "params": {"p": 113, "seed": 2}}), workspace)
    assert large.based_on.startswith("a cautious guess")  # a tiny model says nothing about it


def test_the_pace_of_an_analysis_is_that_of_each_instrument() -> None:
    reports = [
        Report({"gini": 10, "llc": 2}, seconds={"gini": 1.0, "llc": 20.0}, features={"grid": 6.0}),
        Report({"gini": 10}, seconds={"gini": 2.0}, features={"grid": 5.0}),
    ]
    each = seconds_each(reports, [1.0, 0.5])
    assert each == {"gini": pytest.approx((1 + 5 + 2 + 5) / 15), "llc": pytest.approx((20 + 1) / 2)}
    found, based_on = result_seconds([], {"gini": True, "llc": False})
    assert found["llc"] > found["gini"] > 0
    assert "guess" in based_on


# --- results ---------------------------------------------------------------------------------------------


def test_the_matrix_says_of_every_result_how_it_stands(tmp_path: Path) -> None:
    workspace = plant(tmp_path / "planted")
    first, second, third = workspace.variants()
    analyze(first, ["weight_norms"])
    service = WorkService(workspace)

    def cells(name: str, told: dict[str, Any] | None = None) -> dict[str, list[Any]]:
        told = told or service.matrix()
        row = next(row for row in told["rows"] if row["name"] == name)
        return dict(zip([column["name"] for column in told["columns"]], row["cells"], strict=True))

    told = service.matrix()
    assert [row["checked"] for row in told["rows"]] == [False] * 3
    assert cells(first.name, told)["weight_norms"][0] == "unchecked"
    assert cells(first.name, told)["gini"] == ["missing", 0, 12, "not computed yet"]
    names = [variant.name for variant in (first, second, third)]
    checked: list[str] = []
    while len(checked) < 3:
        checked += [row["name"] for row in service.check(names[len(checked) :])]
    assert checked == names
    assert all(row["checked"] for row in service.matrix()["rows"])
    assert cells(first.name)["weight_norms"] == ["complete", 12, 12, ""]
    assert cells(second.name)["weight_norms"] == ["missing", 0, 12, "not computed yet"]

    fresh = Matrix(workspace)  # another process finds what was looked up
    known = fresh.known(first)
    assert known is not None
    assert {cell.analyzer: cell.state for cell in known}["weight_norms"] == "complete"

    first.save_checkpoint(30_000, first.at(first.epochs[-1]).weights)
    assert fresh.known(first) is None
    assert {cell.analyzer: cell for cell in fresh.cells(first)}["weight_norms"].state == "partial"
    first.save_checkpoint(0, first.at(2000).weights)
    stale = {cell.analyzer: cell for cell in fresh.cells(first)}["weight_norms"]
    assert (stale.state, stale.done, stale.total) == ("stale", 11, 13)
    assert stale.reason == "checkpoints have changed since"

    for path in (third.path / "checkpoints").iterdir():
        path.unlink()
    without = {cell.analyzer: cell for cell in fresh.cells(third)}
    assert (without["weight_norms"].state, without["llc"].state) == ("absent", "absent")
    assert without["turn"].state == "missing"
    assert [cell.analyzer for cell in fresh.lacking(third, None)] == ["turn"]
    with pytest.raises(BadParameter, match="weight_norms: it has no checkpoints"):
        fresh.lacking(third, ["weight_norms"])
    with pytest.raises(BadParameter, match="There is no analyzer 'astrology'"):
        fresh.lacking(first, ["astrology"])
    order = parse({"kind": "analyze", "variants": [first.name], "analyzers": ["weight_norms"]})
    assert describe(order, workspace).makes == [
        {
            "name": first.name,
            "missing": {"weight_norms": 2},
            "reasons": {"weight_norms": "checkpoints have changed since"},
        }
    ]


# --- the Train page --------------------------------------------------------------------------------------


def test_every_field_has_a_label_and_a_place_for_its_error() -> None:
    page = "".join(html_of(part) for part in train.content())
    inputs = re.findall(r'<(?:input|select)[^>]* id="([^"]+)"[^>]*>', page)
    assert len(inputs) > 50
    assert len(set(inputs)) == len(inputs)
    for ident in inputs:
        assert f'for="{ident}"' in page, ident
        assert f'id="{ident}-error"' in page, ident
    for described in re.findall(r'aria-describedby="([^"]+)"', page):
        for target in described.split():
            assert f'id="{target}"' in page, target
    (text,) = re.findall(r'id="train-facts">(.*?)</template>', page)
    facts = json.loads(text)
    assert {one["name"] for one in facts["settings"]} > {"p", "seed", "lr_schedule", "d_mlp"}


def test_the_settings_of_a_variant_make_it_again(workspace: Workspace) -> None:
    found = settings_of(workspace, NAME)
    assert found["params"] == {"p": 7, "seed": 1, "data_seed": 598, "frac_train": 0.3, "operation": "add"}
    assert found["config"] == SIZES
    assert (found["parent"], found["planned"], found["last"], found["first"]) == (None, 30, 30, 0)
    order = {"kind": "train", "params": found["params"], "config": found["config"]}
    assert prepare(parse(order), workspace).variants == (NAME,)
    fork = settings_of(workspace, f"{NAME}-at10")
    assert (fork["parent"], fork["first"]) == (NAME, 10)


def test_schedules_are_drawn_and_kept(workspace: Workspace) -> None:
    picture = drawn({"schedule": "piecewise:15000=0.1", "base": 1, "epochs": 25000})
    values = dict(zip(picture["epochs"], picture["values"], strict=True))
    assert (values[0], values[14_999], values[15_000], values[25_000]) == (1, 1, 0.1, 0.1)
    assert len(values) < 300
    for wrong in (
        {"schedule": "cosine", "base": 1, "epochs": 10},
        {"schedule": "cosine:until=20", "base": 1, "epochs": 10},
        {"schedule": "cosine:until=5", "base": None, "epochs": 10},
        {"schedule": "cosine:until=5", "base": 1, "epochs": 10**9},
    ):
        with pytest.raises(BadParameter):
            drawn(wrong)
    NamedSchedules(workspace).save("slow", "cosine:until=20000,floor=1e-5")
    assert saved(workspace) == [{"name": "slow", "text": "cosine:until=20000,floor=1e-05"}]
