"""Explore in a real browser: opening, choosing, clicking, keys, the address, two tabs."""

from __future__ import annotations

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys
from workbench_page import Page

from data import Workspace


def _names(samples_workspace) -> list[str]:
    return [variant.name for variant in Workspace(samples_workspace).variants()]


def test_opens_on_the_first_variant_at_its_last_checkpoint(page: Page, samples_workspace) -> None:
    page.open()
    first = Workspace(samples_workspace).variants()[0]
    assert page.state["variant"] == first.name
    assert page.state["epoch"] == first.epochs[-1]
    assert first.name in page.text("#masthead h1")
    assert page.js("return document.documentElement.lang") == "en"
    states = page.js("return tdw.panels.all().filter(p => p.visible).map(p => p.el.dataset.state)")
    assert set(states) == {"figure"}
    assert len(states) >= 3
    elsewhere = page.js("return tdw.panels.all().filter(p => !p.near).map(p => p.questions)")
    assert elsewhere
    assert set(elsewhere) == {0}


def test_nothing_is_loaded_from_elsewhere(page: Page, address: str) -> None:
    page.open()
    loaded = page.js("return performance.getEntriesByType('resource').map(one => one.name)")
    assert len(loaded) > 10
    assert [name for name in loaded if not name.startswith(address) and not name.startswith("data:")] == []


def test_another_variant_from_the_picker(page: Page, samples_workspace) -> None:
    page.open()
    second = _names(samples_workspace)[1]
    page.keys("/")
    page.until("document.activeElement.matches('.picker-search')")
    page.keys(second)
    page.until("document.querySelectorAll('.picker-option').length === 1")
    page.keys(Keys.ENTER)
    page.until("tdw.selection.get().variant === arguments[0] && tdw.panels.settled()", second)
    assert second in page.text("#masthead h1")
    assert f"variant={second}" in page.url


def test_a_click_on_the_loss_moves_everything_to_that_epoch(page: Page) -> None:
    page.open()
    page.show("neuron_map")
    before = page.figure("neuron_map")["z"]
    page.show("loss_curves")
    test_loss = 5.1 * np.exp(-7)
    page.click_point("loss_curves", 9000, test_loss)
    page.until("tdw.selection.get().epoch < 20000")
    epoch = page.state["epoch"]
    assert epoch in (8000, 10000)
    page.settle()
    assert page.js("return document.getElementById('epoch-box').value") == f"{epoch:,}"
    cursors = page.cursors("epoch")
    assert {"loss_curves", "accuracy", "margins"} <= {one["view"] for one in cursors}
    assert {one["value"] for one in cursors} == {epoch}
    lines = [one["x"] for one in cursors if one["view"] == "loss_curves"]
    assert lines == pytest.approx([epoch], abs=60)
    page.show("neuron_map")
    assert not np.allclose(page.figure("neuron_map")["z"], before)
    assert f"epoch={epoch}" in page.url


def test_a_click_on_the_clusters_shows_that_neuron(page: Page, samples_workspace) -> None:
    page.open()
    page.show("neuron_clusters")
    drawn = page.figure("neuron_clusters")
    ids = np.array(drawn["customdata"], dtype=int)
    column = 5
    neuron = int(ids[0].ravel()[column]) if ids.ndim > 1 else int(ids[column])
    page.click_point("neuron_clusters", drawn["x"][column] if drawn["x"] else column, 3)
    page.until("tdw.selection.get().neuron === arguments[0] && tdw.panels.settled()", neuron)
    page.show("neuron_map")
    shown = np.array(page.figure("neuron_map")["z"], dtype=float)
    variant = Workspace(samples_workspace).variants()[0]
    expected = variant.at(page.state["epoch"]).view("neuron_map", neuron=neuron).data()["activation"].values
    np.testing.assert_allclose(shown, expected, atol=2e-3 * max(1e-6, float(np.abs(expected).max())))
    chips = page.js(
        "return [...document.querySelectorAll('[data-view=neuron_clusters] .chip')].map(e => e.innerText)"
    )
    assert chips == [f"neuron {neuron}", "frequency 3", "open detail"]
    assert {one["value"] for one in page.cursors("neuron")} == {neuron}


def test_shift_click_takes_the_second_meaning(page: Page) -> None:
    page.open()
    page.show("neuron_clusters")
    drawn = page.figure("neuron_clusters")
    page.click_point("neuron_clusters", drawn["x"][2] if drawn["x"] else 2, 7, shift=True)
    page.until("tdw.selection.get().frequency === 7")
    assert page.state["neuron"] == 0
    page.click(".panel[data-view=neuron_clusters] .chip[data-field=neuron]")
    chosen = int(
        page.js("return document.querySelector('.is-navigator .chip[data-field=neuron]').dataset.value")
    )
    assert page.state["neuron"] == chosen


def test_keys_step_the_epoch_without_asking_the_server_for_time_plots(page: Page, samples_workspace) -> None:
    page.open()
    epochs = Workspace(samples_workspace).variants()[0].epochs
    asked = page.js(
        "return tdw.panels.all().filter(p => p.depends.join() === 'variant').map(p => p.questions)"
    )
    page.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    page.until("tdw.selection.get().epoch === arguments[0]", epochs[-3])
    page.settle()
    assert {one["value"] for one in page.cursors("epoch")} == {epochs[-3]}
    assert (
        page.js("return tdw.panels.all().filter(p => p.depends.join() === 'variant').map(p => p.questions)")
        == asked
    )
    page.shift(Keys.ARROW_LEFT)
    page.until("tdw.selection.get().epoch === arguments[0]", epochs[0])
    page.keys("]")
    page.until("tdw.selection.get().epoch > 0")
    first_event = page.info["events"][0]["epoch"]
    assert page.state["epoch"] == next(epoch for epoch in epochs if epoch >= first_event)
    page.keys("n", "n")
    page.shift("n")
    order = page.js("return tdw.order.of('neuron')") or list(range(24))
    page.until("tdw.selection.get().neuron === arguments[0]", order[order.index(0) + 1])


def test_keys_are_ignored_while_typing_and_a_typed_epoch_goes_to_the_nearest(page: Page) -> None:
    page.open()
    start = page.state["epoch"]
    page.click("#epoch-box")
    page.keys("99", Keys.ARROW_LEFT, "n")
    assert (page.state["epoch"], page.state["neuron"]) == (start, 0)
    page.keys(Keys.ESCAPE)
    page.click("#epoch-box")
    page.keys("4,900", Keys.ENTER)
    page.until("tdw.selection.get().epoch === 4000")


def test_play_runs_to_the_end(page: Page, samples_workspace) -> None:
    epochs = Workspace(samples_workspace).variants()[0].epochs
    page.open(f"/?epoch={epochs[-3]}")
    page.js("document.getElementById('play-speed').value = '2×'")
    page.keys(" ")
    page.until("tdw.selection.get().epoch === arguments[0]", epochs[-1])
    page.until("document.querySelector('.is-play').innerText === 'Play'")


def test_the_address_holds_the_state(page: Page, samples_workspace) -> None:
    name = _names(samples_workspace)[1]
    page.open(f"/?variant={name}&epoch=8000&neuron=7&head=2&frequency=5&loss_curves.scale=linear")
    wanted = {"variant": name, "epoch": 8000, "neuron": 7, "head": 2, "frequency": 5}
    assert {field: page.state[field] for field in wanted} == wanted
    page.driver.refresh()
    page.settle()
    assert {field: page.state[field] for field in wanted} == wanted
    assert page.js("return document.getElementById('parameter-explore-loss_curves-scale').value") == "linear"


def test_back_returns_to_the_choice_before(page: Page) -> None:
    page.open("/?epoch=8000&neuron=3")
    page.click("#neuron-box")
    page.keys("11", Keys.ENTER)
    page.until("tdw.selection.get().neuron === 11")
    page.driver.back()
    page.until("tdw.selection.get().neuron === 3 && tdw.panels.settled()")
    page.driver.forward()
    page.until("tdw.selection.get().neuron === 11 && tdw.panels.settled()")


def test_two_tabs_keep_their_own_state(page: Page) -> None:
    page.open("/?epoch=2000&neuron=1")
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.open("/?epoch=16000&neuron=9")
    page.keys(Keys.ARROW_RIGHT)
    page.until("tdw.selection.get().epoch === 18000")
    page.settle()
    page.driver.switch_to.window(first)
    assert (page.state["epoch"], page.state["neuron"]) == (2000, 1)
    assert {one["value"] for one in page.cursors("epoch")} == {2000}


def test_the_sidebar_collapses_and_remembers(page: Page) -> None:
    page.open()
    wide = page.js("return document.getElementById('main').clientWidth")
    page.click("#sidebar-toggle")
    page.until("document.getElementById('main').clientWidth > arguments[0] + 150", wide)
    page.until(
        "document.querySelector('.panel .js-plotly-plot')._fullLayout.width >= "
        "document.querySelector('.panel .panel-body').clientWidth - 16"
    )
    page.driver.refresh()
    page.settle()
    assert page.js("return document.getElementById('variant-picker').offsetParent") is None
    page.click("#sidebar-toggle")
    page.until("document.getElementById('main').clientWidth === arguments[0]", wide)
    assert page.js("return document.getElementById('variant-picker').offsetParent !== null")


def test_sixty_quick_clicks_end_in_the_last(page: Page) -> None:
    page.open()
    page.show("neuron_map")
    page.js(
        "for (let i = 0; i < 60; i++)"
        "  tdw.selection.set({neuron: (i * 7 + 5) % 24, epoch: (i % 12) * 2000}, 'push')"
    )
    page.until("tdw.selection.get().neuron === arguments[0]", (59 * 7 + 5) % 24)
    page.settle()
    assert page.state["epoch"] == 22000
    title = page.js("return document.querySelector('.panel[data-view=neuron_map]').dataset.drawn")
    assert f'"neuron":{(59 * 7 + 5) % 24}' in title
    questions = page.js("return tdw.panels.all().find(p => p.view === 'neuron_map').questions")
    assert questions < 30


def test_cursors_follow_a_zoom(page: Page) -> None:
    page.open("/?epoch=10000")
    page.js("""const gd = document.querySelector('.panel[data-view=loss_curves] .js-plotly-plot');
               gd.layout.xaxis.range = [8000, 14000]; gd.layout.xaxis.autorange = false;
               const r = gd._fullLayout.xaxis; r.range = [8000, 14000]; gd.emit('plotly_afterplot');""")
    at = [one["x"] for one in page.cursors("epoch") if one["view"] == "loss_curves"]
    assert at == pytest.approx([10000], abs=60)


def test_dark_theme_redraws_and_is_remembered(page: Page) -> None:
    page.open()
    light = page.js("return document.querySelector('.panel .js-plotly-plot')._fullLayout.paper_bgcolor")
    page.click("[data-set-theme=dark]")
    page.settle()
    dark = page.js("return document.querySelector('.panel .js-plotly-plot')._fullLayout.paper_bgcolor")
    assert dark != light
    page.driver.refresh()
    page.settle()
    assert page.js("return document.documentElement.getAttribute('data-bs-theme')") == "dark"
