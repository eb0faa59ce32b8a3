"""What a newcomer does first, on the shipped samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import SHIPPED
from selenium.webdriver.common.keys import Keys
from workbench_page import Page

from data import Workspace
from training.fast_path import neuron_map


def test_from_the_loss_to_a_neuron_and_back_in_time(shipped_page: Page, shipped_workspace: Path) -> None:
    page, workspace = shipped_page, Workspace(shipped_workspace)
    page.open("/")
    assert page.state["variant"] == "p101-s999-d598"  # the first by name, which is not analysed
    page.show("accuracy")
    assert f"tdw analyze {page.state['variant']}" in page.text("[data-view=accuracy] .panel-message")
    assert page.js("return document.querySelector('[data-view=loss_curves]').dataset.state") == "figure"

    page.keys("/")
    page.until("document.activeElement.matches('.picker-search')")
    page.keys(SHIPPED)
    page.until("document.querySelectorAll('.picker-option').length === 1")
    page.click(".picker-option")
    page.until("tdw.selection.get().variant === arguments[0] && tdw.panels.settled()", SHIPPED)
    assert "grokked" in page.text("#masthead")
    page.until("tdw.about.of()")
    assert "9, 33, 38, 55" in page.text("#masthead")

    variant = workspace[SHIPPED]
    page.click_point("loss_curves", 10_580, float(variant.history["test_loss"].sel(epoch=10_580)))
    page.until("tdw.selection.get().epoch === 10600")
    page.settle()
    shown = page.cursors("epoch")
    assert {one["value"] for one in shown} == {10_600}
    assert next(one["x"] for one in shown if one["view"] == "loss_curves") == pytest.approx(10_600, abs=60)

    page.show("neuron_clusters")
    drawn = page.figure("neuron_clusters")
    ids = np.array(drawn["customdata"], dtype=int)[0].ravel()
    page.click_point("neuron_clusters", 200, 33)
    page.until("tdw.selection.get().neuron === arguments[0] && tdw.panels.settled()", int(ids[200]))
    page.show("neuron_map")
    for key, epoch in ((None, 10_600), (Keys.ARROW_RIGHT, 10_800)):
        if key:
            page.keys(key)
        page.until("tdw.selection.get().epoch === arguments[0] && tdw.panels.settled()", epoch)
        expected = neuron_map(variant.at(epoch).weights, 113, int(ids[200])).numpy()
        figure = np.array(page.figure("neuron_map")["z"], dtype=float)
        np.testing.assert_allclose(figure, expected, atol=2e-3 * expected.max())


def test_the_selected_epoch_is_marked_on_a_trajectory_in_space(shipped_page: Page) -> None:
    page = shipped_page
    page.open(f"/?variant={SHIPPED}&epoch=0")
    page.show("parameter_pca_3d")
    rings = []
    for epoch in (0, 10600):
        page.js("tdw.selection.set({epoch: arguments[0]}, 'push')", epoch)
        ring = ".panel[data-view=parameter_pca_3d] .cursor.is-ring"
        page.until(f"(document.querySelector('{ring}') || {{dataset: {{}}}}).dataset.value === '{epoch}'")
        rings += [one for one in page.cursors("epoch") if one["view"] == "parameter_pca_3d"]
    assert [one["kind"] for one in rings] == ["cursor is-ring of-epoch"] * 2
    assert [one["value"] for one in rings] == [0, 10600]
    places = page.js("""
        const gd = tdw.drawing.plot(tdw.panels.all().find(p => p.view === 'parameter_pca_3d'));
        const ring = gd.querySelector('.cursor.is-ring').getBoundingClientRect();
        const box = gd.getBoundingClientRect();
        return [ring.left - box.left, ring.top - box.top, box.width, box.height];
    """)
    assert 0 < places[0] < places[2]
    assert 0 < places[1] < places[3]


def test_kin_stand_under_their_run_and_copies_fold(shipped_page: Page) -> None:
    page = shipped_page
    page.open(f"/?variant={SHIPPED}")
    page.keys("/")
    page.until("document.activeElement.matches('.picker-search')")
    listed = "return [...document.querySelectorAll('.picker-tree li')].map(one => one.innerText.trim())"
    levels = "return [...document.querySelectorAll('.picker-tree li')].map(one => one.ariaLevel)"
    before = page.js(listed)
    assert before[0].startswith("p101-s999-d598")
    assert before[1].startswith("at20-lr")
    assert "16 replicates" in before[2]
    assert page.js(levels)[:4] == ["1", "2", "2", "1"]
    page.keys(Keys.PAGE_UP, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert len(page.js(listed)) == len(before) + 16
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    page.until("tdw.selection.get().variant.endsWith('r01-1e-06') && tdw.selection.known()")
    assert page.js("return document.activeElement.id") == "variant-picker"


def test_a_run_without_results_offers_to_make_them_in_one_place(shipped_page: Page) -> None:
    page = shipped_page
    page.open("/?variant=p101-s999-d598")
    page.until("document.querySelector('.offer')")
    assert "results are not computed yet" in page.text(".offer")
    assert page.js("return document.querySelector('.offer [data-action=analyze]').offsetParent !== null")
