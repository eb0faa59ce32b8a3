"""The summary's table and the lead-and-lag chart show the numbers of the run's summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from synthetic import SyntheticReader
from test_views import open_view

from renderers.catalog import catalog

PARTS = catalog().get("run_summary").parameters["part"].choices


def table(part: str, **given: Any) -> dict[str, list[str]]:
    """The columns of the table by their headers."""
    (trace,) = open_view(catalog().get("run_summary"), part=part, **given).raw()["data"]
    return dict(zip(trace["header"]["values"], trace["cells"]["values"], strict=True))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_rows_of_equal_length(part: str) -> None:
    columns = table(part)
    assert "metric" in columns
    assert len({len(cells) for cells in columns.values()}) == 1
    assert len(columns["metric"]) == len(set(columns["metric"])) > 0


def test_the_run_is_named_with_the_rules_that_decided() -> None:
    rows = table("run")
    assert rows["metric"][0] == "classification"
    label = rows["value"][0]
    assert rows["in words"][0].startswith(f"{label}: ")
    assert "rule: memorised" in rows["metric"]


def test_structure_is_stated_twice_in_one_row() -> None:
    rows = table("at the turn and at the end")
    place = rows["metric"].index("weight norm")
    assert float(rows["final"][place].replace("\u2212", "-")) > 0
    assert set(rows) <= {"metric", "at the turn", "final", "unit", "converged", "definition"}


def test_a_small_panel_keeps_names_and_values_only() -> None:
    assert set(table("turn", density="compact")) == {"metric", "value", "unit"}
    assert set(table("at the turn and at the end", density="compact")) == {"metric", "at the turn", "final"}


def planted(change: dict[str, float]) -> SyntheticReader:
    """The summary with all stages of the named signals at these epochs, the others without a step."""

    def put(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != "run_summary":
            return dataset
        found = dataset.copy(deep=True)
        for bound, before in (("stage_lower", 400.0), ("stage_upper", 0.0)):
            found[bound][:] = np.nan
            for signal, epoch in change.items():
                found[bound].loc[{"signal": signal}] = epoch - before
        return found

    return SyntheticReader(change=put)


def test_signals_stand_in_the_order_of_their_steps_and_a_dot_is_its_checkpoint() -> None:
    reader = planted({"test loss": 2400, "excluded loss": 800, "weight norm": 3200})
    figure = open_view(catalog().get("lead_and_lag"), reader).raw()
    names = figure["layout"]["yaxis"]["ticktext"]
    assert names[:3] == ["excluded loss", "test loss", "weight norm"]
    dots = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert [(dot["name"], float(dot["x"][0])) for dot in dots] == [
        ("excluded loss", 800.0),
        ("test loss", 2400.0),
        ("weight norm", 3200.0),
    ]
    assert [bool(dot.get("meta")) for dot in dots] == [True, False, True]
    text = " ".join(note["text"] for note in figure["layout"]["annotations"])
    assert text.count("no step") == len(names) - 3


def test_without_any_step_it_says_so() -> None:
    figure = open_view(catalog().get("lead_and_lag"), planted({})).raw()
    assert "No signal makes a step" in figure["layout"]["annotations"][0]["text"]
