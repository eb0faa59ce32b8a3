"""Tables of many variants: the same numbers as asking one by one, whatever each variant has."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from test_database import add

from data import VariantRecord, Workspace

PERTURBED = {"perturb": 1e-6, "perturb_seed": 3}
SLOW = {"policy": "cosine", "until": 50}


def create(
    workspace: Workspace, name: str, config: dict[str, object], parent: dict[str, object] | None = None
) -> str:
    plan = {"plan": {"epochs": 500}} if parent is None else {}
    record = VariantRecord("modular_addition", name, {"p": 5, "seed": 1}, config, parent, plan)
    variant = workspace.create_variant(record)
    variant.save_history({"epoch": [0, 40], "train_loss": [3.0, 1.0], "test_loss": [3.0, np.nan]})
    return variant.name


def brute(workspace: Workspace) -> dict[tuple[str, str], float]:
    """What `frame` says, from the rows one by one."""
    return {
        (one.variant, one.name): np.nan if one.value is None else one.value
        for one in workspace.catalog.metrics()
    }


def cells(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    return {place: frame.loc[place] for place in itertools.product(frame.index, frame.columns)}


def test_the_table_has_what_the_rows_have(workspace: Workspace) -> None:
    rng = np.random.default_rng(0)
    every = ["turn, onset", "margin", "a", "z", "clock: share"]
    for seed in range(12):
        some = rng.permutation(every)[: rng.integers(0, len(every) + 1)]
        add(workspace, seed, **{name: float(rng.normal()) for name in some})
    add(workspace, 20, margin=float("nan"), only=float("inf"))
    catalog = workspace.catalog
    catalog.refresh()
    frame, expected = catalog.frame(), brute(workspace)
    assert frame.index.name == "variant"
    assert list(frame.index) == [entry.name for entry in catalog.entries()]
    assert list(frame.columns) == sorted({name for _, name in expected}) == catalog.metric_names()
    found = cells(frame)
    assert {place for place, value in found.items() if np.isfinite(value)} == {
        place for place, value in expected.items() if np.isfinite(value)
    }
    assert all(found[place] == value for place, value in expected.items() if np.isfinite(value))
    assert (frame.dtypes == np.float64).all()


def test_columns_and_rows_can_be_chosen(workspace: Workspace) -> None:
    one, two = add(workspace, 1, a=1.0, b=2.0, c=3.0), add(workspace, 2, c=4.0)
    none = add(workspace, 3)
    workspace.catalog.refresh()
    expected = pd.DataFrame(
        {"c": [3.0, 4.0, np.nan], "nobody has it": [np.nan] * 3, "a": [1.0, np.nan, np.nan]},
        index=pd.Index([one, two, none], name="variant"),
    )
    frame = workspace.catalog.frame(["c", "nobody has it", "a"])
    pd.testing.assert_frame_equal(frame, expected)
    chosen = workspace.catalog.frame(["a"], [two, one, "unknown"])
    assert (list(chosen.index), list(chosen["a"])[:1]) == ([one, two], [1.0])
    assert workspace.catalog.frame([], []).shape == (0, 0)


def test_an_empty_workspace_has_empty_tables(workspace: Workspace) -> None:
    assert workspace.catalog.frame().shape == (0, 0)
    parameters = workspace.catalog.parameters()
    assert len(parameters) == 0
    assert "kind" in parameters


def test_a_table_of_parameters_says_what_each_variant_is(workspace: Workspace) -> None:
    root = create(workspace, "root", {"lr": 1e-3, "betas": [0.9, 0.98]})
    fork = create(
        workspace,
        "fork",
        {"lr": 1e-3, "betas": [0.9, 0.98], "lr_schedule": SLOW},
        {"name": root, "epoch": 30, "change": {"lr_schedule": SLOW}},
    )
    copy = create(workspace, "copy", {"lr": 1e-3}, {"name": root, "epoch": 0, "change": PERTURBED})
    late = create(workspace, "late", {"lr": 1e-3}, {"name": root, "epoch": 7, "change": PERTURBED})
    same = create(workspace, "same", {"lr": 1e-3}, {"name": root, "epoch": 0, "change": {}})
    workspace.catalog.refresh()
    frame = workspace.catalog.parameters()
    assert list(frame.index) == sorted([root, fork, copy, late, same])
    assert frame["kind"].to_dict() == {
        root: "root",
        fork: "fork",
        copy: "replicate",
        late: "fork",
        same: "fork",
    }
    row = frame.loc[fork]
    assert (row["p"], row["seed"], row["lr"], row["family"]) == (5, 1, 1e-3, "modular_addition")
    assert row["lr_schedule"] == '{"policy":"cosine","until":50}'
    assert row["betas"] == "[0.9,0.98]"
    assert (row["parent"], row["forked_at"]) == (root, 30)
    assert row["change"] == '{"lr_schedule":{"policy":"cosine","until":50}}'
    assert (row["trained_epochs"], row["epochs"], row["checkpoints"]) == (40, 40, 0)
    assert frame.loc[root, "epochs"] == 500
    assert pd.isna(frame.loc[root, "parent"])
    assert (frame.loc[root, "final_train_loss"], frame.loc[root, "final_test_loss"]) == (1.0, 3.0)
    assert pd.isna(frame.loc[copy, "lr_schedule"])
    assert list(workspace.catalog.parameters([copy, "unknown"]).index) == [copy]


def test_checkpoints_are_counted(workspace: Workspace) -> None:
    torch = pytest.importorskip("torch")
    name = add(workspace, 1)
    for epoch in (0, 9, 100_000):
        workspace[name].save_checkpoint(epoch, {"w": torch.zeros(2)})
    workspace.catalog.refresh()
    assert workspace.catalog.parameters().loc[name, "checkpoints"] == 3
    assert workspace.catalog.entries()[0].epochs == (0, 9, 100_000)


def test_a_group_by_a_schedule_has_its_text_as_key(workspace: Workspace) -> None:
    name = create(workspace, "slow", {"lr": 1e-3, "lr_schedule": SLOW, "wd_schedule": None})
    measured = add(workspace, 2, margin=1.0)
    workspace.catalog.refresh()
    assert list(workspace.catalog.by_parameter("margin", "lr_schedule")) == ['{"policy":"cosine","until":50}']
    assert [one.variant for one in workspace.catalog.by_parameter("margin", "wd_schedule")[None]] == [name]
    assert {one.variant for one in workspace.catalog.by_parameter("margin", "lr")[1e-3]} == {name, measured}


def test_tables_forget_what_is_deleted(workspace: Workspace) -> None:
    kept, gone = add(workspace, 1, margin=1.0), add(workspace, 2, margin=2.0, other=3.0)
    workspace.catalog.refresh()
    workspace.delete_variant(gone)
    workspace.catalog.refresh()
    frame = workspace.catalog.frame()
    assert (list(frame.index), list(frame.columns)) == ([kept], ["margin"])
    workspace.catalog.rebuild()
    pd.testing.assert_frame_equal(workspace.catalog.frame(), frame)
