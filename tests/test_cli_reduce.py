"""`tdw reduce`: what it asks, what it says, what it refuses."""

from __future__ import annotations

import sys

import pytest

import cli
from analyzers import reduction
from analyzers.pipeline import analyze
from data import Workspace
from training.run import train_variant


@pytest.fixture
def tdw(tmp_path, monkeypatch, capsys):
    """Runs the command on a workspace with two finished runs; only their turns are measured."""
    workspace = Workspace(tmp_path / "workspace", create=True)
    for seed in (1, 2):
        train_variant(workspace, "modular_addition", {"p": 5, "seed": seed}, None, 30, [0, 10, 20], "cpu")
    monkeypatch.setenv("TDW_WORKSPACE", str(workspace.path))
    monkeypatch.setattr(reduction, "analyze", lambda variant: analyze(variant, ["turn"]))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tdw", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    run.workspace = workspace
    return run


def test_one_and_then_the_rest(tdw):
    code, said, _ = tdw("reduce", "p5-s1-d598", "--yes", "--checkpoints", "3", "--results", "turn")
    assert code == 0
    assert "p5-s1-d598: 3 checkpoints measured and removed, 5." in said
    assert "1 variants reduced, 0 left alone." in said
    assert tdw.workspace["p5-s1-d598"].epochs == []
    code, said, _ = tdw("reduce", "--all", "--yes")
    assert (code, "1 variants reduced, 1 left alone." in said) == (0, True)
    code, said, _ = tdw("reduce", "--all")  # nothing to ask for
    assert (code, said) == (0, "0 variants reduced, 2 left alone.\n")
    code, _, refused = tdw("reduce", "p5-s1-d598", "--yes")
    assert code == 1
    assert "p5-s1-d598 is reduced already: its 3 checkpoints were removed." in refused
    code, said, _ = tdw("analyze", "p5-s1-d598")
    assert code == 0
    assert "3 checkpoints were removed after they had been measured: 1 results are kept as they are" in said


def test_it_asks_first_and_wants_names(tdw, monkeypatch):
    monkeypatch.setattr("typer.confirm", lambda question: "Measure 2 variants in" not in question)
    code, _, refused = tdw("reduce", "--all")
    assert (code, refused) == (1, "tdw: Nothing was changed.\n")
    assert tdw.workspace["p5-s1-d598"].epochs == [0, 10, 20, 30]
    for wrong in (["reduce"], ["reduce", "p5-s1-d598", "--all"]):
        code, _, refused = tdw(*wrong)
        assert (code, refused) == (1, "tdw: Give the names of variants, or --all.\n")
    code, _, refused = tdw("reduce", "p5-s1-d598", "--yes", "--results", "ginni")
    assert code == 1
    assert "There is no analyzer 'ginni'" in refused
    assert "1 of 1 variants could not be reduced" in refused
