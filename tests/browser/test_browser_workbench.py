"""What a day at the workbench needs: bookmarks, live runs, shared jobs, exports, pairs, screen readers."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from workbench_page import Own, Page

AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']}"


def violations(page: Page) -> list[str]:
    page.js(AXE)
    found = page.later(f"return await axe.run(document, {RULES})")
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_barrier_on_any_page(page: Page, theme: str) -> None:
    page.open("/?epoch=10000&neuron=3")
    page.click(f"#sidebar [data-set-theme={theme}]")
    page.show("neuron_clusters")
    page.js("document.querySelector('[data-view=neuron_clusters] .menu').open = true")
    page.until("tdw.about.of()")
    page.js("document.querySelector('.why').open = true")
    assert violations(page) == []
    page.keys(Keys.ESCAPE, "/")
    page.until("document.activeElement.matches('.picker-search')")
    assert violations(page) == []
    page.keys(Keys.ESCAPE)
    page.keys("?")
    assert violations(page) == []
    page.open("/view/neuron_map?epoch=10000&neuron=3")
    assert violations(page) == []
    page.open("/?variant=p999-s1", settle=False)
    page.until("document.querySelector('#notices .notice')")
    assert violations(page) == []


def test_the_keyboard_reaches_everything_in_order(page: Page) -> None:
    page.open()
    order = []
    for _ in range(14):
        page.keys(Keys.TAB)
        order.append(
            page.js("return document.activeElement.id || document.activeElement.getAttribute('aria-label')")
        )
    assert page.js("return document.activeElement.matches(':focus-visible')")
    places = [order.index(name) for name in ("sidebar-toggle", "variant-picker", "epoch-box", "epoch-slider")]
    assert places == sorted(places)


def test_a_pair_is_typed_clicked_shown_and_shared(page: Page) -> None:
    page.open("/?epoch=10000&pair=2,5")
    assert page.state["pair"] == 2 * 23 + 5
    page.click("#pair-box")
    page.keys("4 + 19", Keys.ENTER)
    page.until("tdw.selection.get().pair === 4 * 23 + 19 && tdw.panels.settled()")
    assert page.js("return document.getElementById('pair-box').value") == "4 + 19"
    assert f"pair={4 * 23 + 19}" in page.url
    page.click("#pair-box")
    page.keys("4 + 29", Keys.ENTER)
    page.until("document.getElementById('notices').innerText.includes('4 + 29')")
    assert page.state["pair"] == 4 * 23 + 19
    page.show("neuron_map")
    page.click_point("neuron_map", 0, 0)
    page.until("tdw.selection.get().pair === 0")
    chips = page.js(
        "return [...document.querySelectorAll('[data-view=neuron_map] .chip')].map(e => e.innerText)"
    )
    assert chips == ["input pair 0 + 0", "open detail"]
    frames = [one["kind"] for one in page.cursors("pair") if one["view"] == "neuron_map"]
    assert frames == ["cursor is-frame of-pair"]


def test_the_scrubber_has_scales_and_snaps_to_events(page: Page) -> None:
    page.open("/?epoch=10000")
    event = page.info["events"][1]
    target = next(epoch for epoch in page.info["epochs"] if epoch >= event["epoch"])
    for scale in ("even", "linear", "log"):
        page.js(
            "const s = document.getElementById('epoch-scale'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            scale,
        )
        place = page.js(
            "const tick = document.querySelectorAll('.scrub-tick')[1];"
            "return Number(tick.style.getPropertyValue('--at')) * 10000"
        )
        page.js("tdw.selection.set({epoch: 0}, 'replace')")
        page.js(
            "const s = document.getElementById('epoch-slider'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('input'))",
            round(place) + 150,
        )
        assert page.state["epoch"] == target, scale
        assert abs(page.js("return Number(document.getElementById('epoch-slider').value)") - place) <= 1
    page.js("document.getElementById('epoch-slider').focus()")
    page.keys(Keys.HOME)
    page.until("tdw.selection.get().epoch === 0")
    page.keys(Keys.ARROW_RIGHT)
    page.until("tdw.selection.get().epoch === tdw.selection.info().epochs[1]")


def test_n_follows_the_order_of_the_clusters_and_visited_neurons_come_back(page: Page) -> None:
    page.open("/?epoch=22000")
    page.show("neuron_clusters")
    order = page.js(
        "return Array.from(tdw.drawing.plot(tdw.panels.all().find(p => p.view === 'neuron_clusters'))"
        "._fullData[0].customdata[0], one => Number(Array.isArray(one) ? one[0] : one))"
    )
    assert sorted(order) == list(range(24))
    page.js("tdw.selection.set({neuron: arguments[0]}, 'push')", order[4])
    page.until("tdw.panels.settled()")
    if not page.js("return document.querySelector('.panel[data-view=neuron_mosaic]') && true"):
        page.keys("n")
        page.until("tdw.selection.get().neuron === arguments[0]", order[5])
    page.js("tdw.selection.set({neuron: arguments[0]}, 'push')", order[9])
    page.until("document.querySelectorAll('.visited .chip').length >= 2")
    page.js(
        "[...document.querySelectorAll('.visited .chip')].find(c => c.innerText === arguments[0]).click()",
        str(order[4]),
    )
    page.until("tdw.selection.get().neuron === arguments[0]", order[4])


def test_bookmarks_are_kept_shown_in_two_tabs_and_deleted(page: Page) -> None:
    page.open("/view/neuron_map?epoch=8000&neuron=7&pair=30")
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.open("/?epoch=2000")
    page.js("return tdw.pulse.beat()")
    page.driver.switch_to.window(first)
    page.keys("b")
    page.until("document.activeElement.id === 'bookmark-name'")
    page.keys("odd stripes", Keys.ENTER)
    page.until("document.querySelector('.bookmark')")
    assert "odd stripes" in page.text(".bookmark-list")
    page.driver.switch_to.window(page.driver.window_handles[-1])
    page.until("tdw.pulse.beat() && document.querySelector('.bookmark') !== null")
    page.click(".bookmark")
    page.until("tdw.selection.get().view === 'neuron_map' && tdw.panels.settled()")
    state = page.state
    assert (state["epoch"], state["neuron"], state["pair"]) == (8000, 7, 30)
    page.click(".bookmark-list .icon-button")
    page.until("document.querySelector('.bookmark') === null")
    page.driver.refresh()
    page.settle()
    assert page.js("return document.querySelector('.bookmark')") is None


def test_a_run_without_checkpoints_opens_and_says_what_is_missing(own: Own) -> None:
    page, name = own.page, own.workspace.variants()[0].name
    page.open(f"/?variant={name}")
    assert page.info["epochs"] == []
    states = dict(
        page.js("return tdw.panels.all().filter(p => p.visible).map(p => [p.view, p.el.dataset.state])")
    )
    assert states["loss_curves"] == "figure"
    assert states["accuracy"] == "absent"
    assert "only the history was kept" in page.text("[data-view=accuracy]")
    assert page.text("#notices") == ""
    page.js("document.getElementById('group-neurons').scrollIntoView()")
    page.settle()
    questions = page.js("return tdw.panels.all().filter(p => p.checkpoints).map(p => p.questions)")
    assert set(questions) == {0}
    page.js("tdw.selection.set({variant: arguments[0]}, 'push')", own.workspace.variants()[1].name)
    page.until("tdw.panels.settled() && tdw.selection.info().epochs.length > 0")
    assert page.js("return document.querySelectorAll('.panel.is-absent').length") == 0


def test_new_checkpoints_of_a_run_in_training_appear(own: Own) -> None:
    page, variant = own.page, own.workspace.variants()[1]
    page.open(f"/?variant={variant.name}&epoch=8000&neuron=5")
    weights, last = variant.at(variant.epochs[-1]).weights, variant.epochs[-1]
    variant.save_checkpoint(last + 500, weights)
    page.js("return tdw.pulse.beat()")
    page.until("tdw.selection.info().epochs.includes(arguments[0])", last + 500)
    page.settle()
    assert (page.state["epoch"], page.state["neuron"]) == (8000, 5)
    page.js("tdw.selection.set({epoch: arguments[0]}, 'push')", last + 500)
    variant.save_checkpoint(last + 1000, weights)
    page.js("return tdw.pulse.beat()")
    page.until("tdw.selection.get().epoch === arguments[0]", last + 1000)
    page.js("document.getElementById('follow').click()")
    variant.save_checkpoint(last + 1500, weights)
    page.js("return tdw.pulse.beat()")
    page.until("tdw.selection.info().epochs.includes(arguments[0])", last + 1500)
    assert page.state["epoch"] == last + 1000


def test_two_tabs_share_one_analysis(own: Own) -> None:
    page, name = own.page, own.workspace.variants()[2].name
    page.open(f"/?variant={name}")
    first = page.driver.current_window_handle
    page.until("!document.getElementById('analyze').disabled")
    page.click("#analyze")
    page.until("document.getElementById('job').classList.contains('is-running')")
    page.until("Number(document.getElementById('job-bar').value) > 0", timeout=60)
    page.driver.switch_to.new_window("tab")
    page.open(f"/?variant={name}")
    page.until("document.getElementById('job').classList.contains('is-running')")
    page.until("Number(document.getElementById('job-bar').value) > 0")
    (job,) = own.jobs.active()
    assert job.variants == (name,)
    page.click("#cancel")
    page.until("!document.getElementById('job').classList.contains('is-running')")
    page.driver.switch_to.window(first)
    page.until("!document.getElementById('job').classList.contains('is-running')")
    page.until("document.getElementById('notices').innerText.includes('Cancelled on request')")
    assert own.jobs.get(job.id).state == "cancelled"
    assert own.jobs.active() == []


def downloaded(folder: Path, ending: str) -> bytes:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for path in folder.glob(f"*.{ending}"):
            content = path.read_bytes()
            if content:
                path.unlink()
                return content
        time.sleep(0.05)
    raise AssertionError(f"no .{ending} arrived")


def test_what_is_seen_is_exported(page: Page, browser: Any) -> None:
    page.open("/?epoch=10000&neuron=3")
    folder = Path(browser.download_path)
    for ending, begins in (
        ("png", b"\x89PNG"),
        ("svg", b"<svg"),
        ("csv", b"epoch"),
        ("json", b"{"),
        ("html", (b"<html", b"<!doctype", b"<!DOCTYPE")),
    ):
        page.js("document.querySelector('[data-view=loss_curves] .menu').open = true")
        page.click(f"[data-view=loss_curves] [data-export={ending}]")
        assert downloaded(folder, ending).lstrip().startswith(begins), ending
    assert page.text("#notices") == ""


def test_a_view_that_fails_shows_its_error_in_place(page: Page) -> None:
    page.open("/?epoch=10000")
    page.js(
        "const real = window.fetch;"
        "const isMap = (path, options) => path === '/_figure' && options.body.includes('neuron_map');"
        "window.fetch = (path, options) => isMap(path, options)"
        " ? Promise.reject(new Error('down')) : real(path, options)"
    )
    page.js("tdw.selection.set({epoch: 12000, neuron: 9}, 'push')")
    page.js("document.querySelector('[data-view=neuron_map]').scrollIntoView({block: 'center'})")
    page.until("document.querySelector('[data-view=neuron_map].is-unanswered') && tdw.panels.settled()")
    assert "cannot be reached" in page.text("[data-view=neuron_map] .panel-message")
    assert page.js("return document.querySelector('[data-view=neuron_clusters]').dataset.state") == "figure"
    page.js("location.reload()")
    page.settle()


def test_rows_of_a_table_are_marks(page: Page) -> None:
    page.open("/?epoch=10000&neuron=1")
    page.js("""
        const trace = {type: 'table', header: {values: ['<b>neuron</b>', 'share']}, customdata: [0, 7],
                       cells: {values: [[0, 7], [0.5, 0.2]]}, meta: {payload: {neuron: 'customdata'}}};
        const panel = tdw.panels.all().find(p => p.view === 'accuracy');
        panel.el.querySelector('.panel-slot').replaceChildren(tdw.table.build(panel, trace));
    """)
    assert page.text(".panel-table thead").split() == ["neuron", "share"]
    page.click(".panel-table tr[data-row='1'] button")
    assert page.state["neuron"] == 7
    page.click(".panel-table tr[data-row='0'] td")
    assert page.state["neuron"] == 0
    chosen = (
        "return [...document.querySelectorAll('.panel-table [aria-current]')].map(row => row.dataset.row)"
    )
    assert page.js(chosen) == ["0"]
