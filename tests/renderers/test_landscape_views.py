"""What the landscape views show is what was computed, and what they say of it is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from synthetic import SyntheticReader, SyntheticVariant

from renderers.service import BoundView, ViewService


def opened(name: str, reader: SyntheticReader | None = None, **given: Any) -> BoundView:
    return ViewService(reader or SyntheticReader()).open(SyntheticVariant(), name, **given)


def notes(view: BoundView) -> str:
    return " ".join(found["text"] for found in view.raw()["layout"]["annotations"])


def changed(analyzer: str, **values: Any) -> SyntheticReader:
    """A reader whose result of that analyzer has these outputs replaced by constants."""

    def change(name: str, dataset: xr.Dataset) -> xr.Dataset:
        if name != analyzer:
            return dataset
        return dataset.assign({key: xr.full_like(dataset[key], value) for key, value in values.items()})

    return SyntheticReader(change=change)


def test_a_cell_of_the_gradient_is_its_share_at_that_frequency_and_epoch() -> None:
    view = opened("gradient_energy_history", site="W_U", loss="grid")
    trace = view.raw()["data"][0]
    truth = view.source.artifact("gradient_energy")["energy"].sel(site="W_U", gradient="grid")
    for column, epoch in enumerate(trace["x"]):
        np.testing.assert_array_equal(trace["z"][:, column], truth.sel(epoch=epoch))
    assert trace["y"].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_relative_increase_is_the_absolute_one_over_the_loss() -> None:
    absolute, relative = (
        opened("flatness", epoch=800, increase=kind).raw()["data"] for kind in ("absolute", "relative")
    )
    loss = opened("flatness", epoch=800).data()["loss"]
    for one, two in zip(absolute, relative, strict=True):
        if one["name"] in ("train", "test"):
            np.testing.assert_allclose(two["y"], one["y"] / float(loss.sel(split=one["name"])))


def test_directions_in_which_the_loss_falls_are_said() -> None:
    assert "falls in 70% of the directions" in notes(opened("flatness", changed("flatness", negative=0.7)))
    assert "falls" not in notes(opened("flatness", changed("flatness", negative=0.0)))


def test_an_unmet_need_of_the_optimizer_is_said_with_the_threshold() -> None:
    text = notes(opened("sharpness_history", curvature="as AdamW feels it"))
    assert "No optimizer state was kept" in text
    assert "38,000" in text
    known = opened(
        "sharpness_history", changed("sharpness", preconditioned=2e4), curvature="as AdamW feels it"
    ).raw()["data"]
    assert [trace["name"] for trace in known] == ["preconditioned", "threshold"]
    np.testing.assert_allclose(known[1]["y"], 38_000)


def test_the_learning_coefficient_is_drawn_with_its_spread_and_both_other_step_sizes() -> None:
    view = opened("llc_history")
    below, above, main = view.raw()["data"]
    data = view.source.artifact("llc")
    np.testing.assert_allclose(main["y"], data["llc"])
    np.testing.assert_allclose(main["error_y"]["array"], data["llc_std"])
    np.testing.assert_allclose(below["y"], data["llc_by_step"].isel(step_size=0))
    np.testing.assert_allclose(above["y"], data["llc_by_step"].isel(step_size=2))


def test_doubts_are_counted_and_a_sound_estimate_has_none() -> None:
    text = notes(opened("llc_history"))
    assert "chains lost at 3 of 14" in text
    assert "step sizes disagree" in text
    sound = changed("llc", llc=10.0, llc_std=0.5, llc_by_step=10.0, lost=0.0)
    assert "⚠" not in notes(opened("llc_history", sound))
    negative = changed("llc", llc=-10.0, llc_std=0.5, llc_by_step=-10.0, lost=0.0)
    assert "no minimum at 14 of 14" in notes(opened("llc_history", negative))
    assert "no minimum" in notes(opened("llc_diagnostics", negative))
    assert "acceptance" in notes(opened("llc_diagnostics", sound))
