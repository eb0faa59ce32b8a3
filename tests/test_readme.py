"""The notebook examples of README.md work as printed, on the shipped samples."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
import xarray as xr

README = Path(__file__).parent.parent / "README.md"


def test_the_notebook_example(shipped_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDW_WORKSPACE", str(shipped_workspace))
    code, several = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    bound = names["variant"].at(9400).view("neuron_map", neuron=37)
    assert isinstance(bound.figure(), go.Figure)
    assert bound.data()["activation"].dims == ("a", "b")
    assert bound.data()["activation"].shape == (113, 113)
    assert isinstance(names["variant"].artifact("neuron_frequencies"), xr.Dataset)
    assert names["variant"].summary["key_frequencies"] == [9, 33, 38, 55]
    names = {}
    exec(several, names)
    overlay = names["compare"].open("overlay", names["cohort"])
    assert isinstance(overlay.figure(), go.Figure)
    assert len(overlay.data()) > 0
