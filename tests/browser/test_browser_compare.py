"""The Compare page: what is ticked, sorted and chosen is in the address and in every panel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import add_odd_runs
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from test_browser_workbench import violations
from workbench_page import Own, Page

from analyzers.pipeline import analyze
from data import Workspace

FIRST, SECOND, THIRD = (f"p23-s{seed}-d598-dm32-dh8-mlp24" for seed in (1, 2, 3))
FLAT, BEGUN, OTHER = "p23-s8-d598-dm32-dh8-mlp24", "p23-s9-d598-dm32-dh8-mlp24", "p29-s1-d598-dm32-dh8-mlp24"
TABLE = "window.tdw && tdw.compareGrid && tdw.compareGrid.settled()"
CELL = """
const node = tdw.compareGrid.api().getRowNode(arguments[0]);
return tdw.compareGrid.api().getCellValue({rowNode: node, colKey: arguments[1], useFormatter: true});
"""
ROWS = """
const names = [];
const told = node => node.data.name || '= ' + node.data.label;
tdw.compareGrid.api().forEachNodeAfterFilterAndSort(node => names.push(told(node)));
return names;
"""
ASKED = """
const asked = performance.getEntriesByType('resource').map(one => new URL(one.name).pathname);
performance.clearResourceTimings();
return asked.filter(path => path.startsWith(arguments[0]));
"""


FILTER_P = "#compare-grid input[aria-label='p Filter Input']"
SHOW = """
document.querySelector(`#page-compare .panel[data-view='${arguments[0]}']`).scrollIntoView({block: 'center'})
"""
PANEL = """
const el = document.querySelector(`#page-compare .panel[data-view='${arguments[0]}']`);
const left = (el.querySelector('.compare-left') || {textContent: ''}).textContent;
return {state: el.dataset.state, text: el.innerText, asked: el.dataset.drawn, left};
"""
OVERLAID = "tdw.drawing.plot(tdw.panels.all().find(one => one.view === 'overlay'))"
BESIDE = "document.querySelectorAll('#compare-side-panels .panel')"


def opened(page: Page, query: str = "") -> Page:
    page.open("/compare" + query, settle=False)
    page.until(f"{TABLE} && tdw.panels.settled()")
    return page


def scrolled(page: Page, view: str) -> None:
    page.js(SHOW, view)
    page.until(
        "tdw.panels.all().some(one => one.view === arguments[0] && one.place === 'compare' && one.visible)",
        view,
    )
    page.settle()


def tick(page: Page, name: str) -> None:
    page.click(f"#compare-grid .ag-row[row-id='{name}'] .ag-selection-checkbox input")
    page.until("tdw.compare.selected().includes(arguments[0])", name)


def ticked(page: Page) -> list[str]:
    return sorted(page.js("return tdw.compareGrid.api().getSelectedNodes().map(node => node.data.name)"))


def panel(page: Page, view: str) -> dict[str, Any]:
    return dict(page.js(PANEL, view))


def chosen(page: Page, select: str, value: str) -> None:
    script = "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
    page.js(script + "s.dispatchEvent(new Event('change'))", select, value)


def line_of(page: Page) -> dict[str, Any]:
    """The epoch as a line over the overlay."""
    found = [one for one in page.cursors("epoch") if one["view"] == "overlay"]
    (line,) = [one for one in found if "vertical" in one["kind"]]
    return line


def click_middle(page: Page, selector: str) -> None:
    script = """
    document.querySelector(arguments[0]).scrollIntoView({block: 'center'});
    const box = document.querySelector(arguments[0]).getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
    """
    left, top = page.js(script, selector)
    chain = ActionChains(page.driver)
    pointer = chain.w3c_actions.pointer_action
    pointer.move_to_location(round(left) - 2, round(top) - 2)
    pointer.move_to_location(round(left), round(top))
    pointer.pause(0.12)
    pointer.click()
    chain.perform()


def test_the_table_tells_every_run_and_its_numbers(compare_page: Page, mixed_workspace: Path) -> None:
    page, workspace = compare_page, Workspace(mixed_workspace)
    page.open("/")
    assert page.js(ASKED, "/_dash-component-suites/dash_ag_grid") == []
    page.click("[data-page-link=compare]")
    page.until(f"{TABLE} && tdw.panels.settled()")
    assert page.js(ROWS) == [FIRST, SECOND, THIRD, FLAT, BEGUN, OTHER]
    assert page.text("#compare-count") == "6 variants"

    metrics = workspace.catalog.frame()
    assert metrics.shape[1] > 150
    names = page.js("return tdw.compare.table().names")
    for name, values in page.js("return tdw.compare.table().metrics.map(one => [one.name, one.values])"):
        stored = metrics.loc[names, name].to_numpy(float)
        np.testing.assert_allclose(np.array(values, float), stored, rtol=2e-7, equal_nan=True, err_msg=name)
    onset = int(metrics.loc[FIRST, "turn, onset"])
    assert page.js(CELL, FIRST, "m:turn, onset") == f"{onset:,}"
    assert page.js(CELL, THIRD, "m:turn, onset") == ""
    loss = float(workspace[FIRST].history["test_loss"][-1])
    assert float(page.js(CELL, FIRST, "c:final_test_loss").replace("−", "-")) == pytest.approx(loss, rel=6e-3)
    assert "not analysed" in page.text(f".ag-center-cols-container .ag-row[row-id='{THIRD}']")
    page.until("document.querySelectorAll('.compare-loss svg').length === 6")
    curve = page.js("return tdw.compareGrid.loss(arguments[0])", FIRST)
    assert (curve[0], curve[-1]) == (22_000, round(float(np.log10(loss)), 2))
    described = page.js("return tdw.compareGrid.api().getColumnDef('m:turn, onset').headerTooltip")
    assert "[epoch]" in described
    assert "begins to fall" in described
    lower = page.js("return tdw.compareGrid.lower(arguments[0], 'turn, onset')", FIRST)
    assert lower == workspace.catalog.metrics(["turn, onset"], [FIRST])[0].lower


def test_what_is_ticked_sorted_and_filtered_is_the_address(compare_page: Page) -> None:
    page = opened(compare_page)
    page.click("#compare-search")
    page.keys("p29")
    page.until("tdw.compare.shown().length === 1 && location.search.includes('q=p29')")
    page.click("#compare-tools .is-quiet")
    page.until("tdw.compare.shown().length === 6")
    page.click("#compare-tools [aria-pressed]")
    page.until("document.querySelector(arguments[0])", FILTER_P)
    page.click(FILTER_P)
    page.keys("23", Keys.ENTER)
    page.until("tdw.compare.shown().length === 5 && location.search.includes('filter=')")
    for _ in range(2):
        page.click("#compare-grid .ag-header-cell[col-id='p:seed'] .ag-header-cell-label")
    page.until("new URLSearchParams(location.search).get('sort') === 'p:seed:desc'")
    assert page.js(ROWS) == [BEGUN, FLAT, THIRD, SECOND, FIRST]
    tick(page, SECOND)
    tick(page, FIRST)
    assert f"variants={SECOND},{FIRST}" in page.url
    assert page.text(".compare-chips").split("×")[0].strip() == SECOND
    for go in ("refresh", "back", "forward"):
        getattr(page.driver, go)()
        page.until(f"{TABLE} && tdw.panels.settled()")
        expected = [SECOND] if go == "back" else [SECOND, FIRST]
        page.until("tdw.compare.selected().join() === arguments[0]", ",".join(expected))
        page.until("tdw.compareGrid.api().getSelectedNodes().length === arguments[0]", len(expected))
        assert ticked(page) == sorted(expected)
    assert page.js(ROWS) == [BEGUN, FLAT, THIRD, SECOND, FIRST]
    page.click(f"#compare-grid .ag-row[row-id='{THIRD}'] [col-id='p:seed']")
    page.until("tdw.selection.get().variant === arguments[0] && tdw.selection.known()", THIRD)
    assert page.state["page"] == "compare"
    page.click(f"#compare-grid .ag-row[row-id='{SECOND}'] a.compare-open")
    page.until(
        "tdw.selection.get().page === 'explore' && tdw.selection.get().variant === arguments[0]", SECOND
    )
    page.settle()
    assert page.url.startswith(f"/?variant={SECOND}")


def test_curves_are_laid_over_each_other_and_moved_together(compare_page: Page) -> None:
    page = opened(compare_page, f"?variant={FIRST}&epoch=10000&variants={FIRST},{SECOND},{FLAT},{BEGUN}")
    scrolled(page, "overlay")
    assert panel(page, "overlay")["state"] == "figure"
    page.js(ASKED, "/")
    for epoch in (12_000, 14_000):
        page.js("tdw.selection.set({epoch: arguments[0]}, 'replace')", epoch)
    assert (line_of(page)["value"], line_of(page)["x"]) == (14_000, pytest.approx(14_000, abs=60))
    page.settle()
    assert page.js(ASKED, "/_comparison") == []

    chosen(page, "compare-align", "turn_scaled")
    page.until("new URLSearchParams(location.search).get('align') === 'turn_scaled'")
    page.settle()
    shown = panel(page, "overlay")
    assert json.loads(shown["asked"])["align"] == "turn_scaled"
    assert shown["left"].startswith("2 left out")
    assert f"{FLAT}: it has not turned" in shown["left"]
    assert BEGUN in shown["left"]
    visible = page.js("return tdw.panels.all().filter(one => one.visible || one.near).length")
    assert 1 <= len(page.js(ASKED, "/_comparison")) <= visible
    table = page.js(f"return {OVERLAID}.layout.meta.times[arguments[0]]", FIRST)
    onset = table["epoch"][-1] / table["x"][-1]
    assert line_of(page)["x"] == pytest.approx(14_000 / onset, abs=0.02)

    x, y, epoch = page.js(
        "const its = one => JSON.stringify(one.meta || {}).includes(arguments[0]) && one.x.length > 9;"
        f"const one = {OVERLAID}._fullData.find(its), i = Math.floor(one.x.length / 3);"
        "return [one.x[i], one.y[i], one.customdata[i]]",
        SECOND,
    )
    page.click_point("overlay", x, y, place="compare")
    page.until("tdw.selection.get().variant === arguments[0] && tdw.selection.known()", SECOND)
    assert page.state["epoch"] == min(page.info["epochs"], key=lambda saved: abs(saved - epoch))
    assert page.state["page"] == "compare"


def test_views_stand_side_by_side(compare_page: Page) -> None:
    page = opened(
        compare_page, f"?variant={FIRST}&epoch=8000&neuron=3&variants={FIRST},{SECOND}&side=neuron_map"
    )
    scrolled(page, "neuron_map")

    def asked() -> list[tuple[str, int, int]]:
        page.settle()
        drawn = page.js(f"return [...{BESIDE}].map(one => JSON.parse(one.dataset.drawn))")
        return [(one["variant"], one["selection"]["epoch"], one["selection"]["neuron"]) for one in drawn]

    assert asked() == [(FIRST, 8000, 3), (SECOND, 8000, 3)]
    page.js("tdw.selection.set({epoch: 12000, neuron: 5}, 'replace')")
    assert asked() == [(FIRST, 12000, 5), (SECOND, 12000, 5)]
    page.js("tdw.compare.setOptions({link: 'aligned', align: 'turn_relative'})")
    page.until("tdw.panels.settled()")
    aligned = asked()
    assert aligned[0] == (FIRST, 12000, 5)
    assert aligned[1][0] == SECOND
    page.js("tdw.compare.setOptions({link: 'own', align: null})")
    page.settle()
    page.click("#compare-side-panels .panel:nth-child(2) [aria-label^='Next epoch']")
    page.until("(new URLSearchParams(location.search).get('own') || '').includes(arguments[0])", SECOND)
    assert asked() == [(FIRST, 12000, 5), (SECOND, 14000, 5)]
    click_middle(page, "#compare-side-panels .panel:nth-child(2) .nsewdrag")
    page.until("tdw.selection.get().variant === arguments[0] && tdw.selection.known()", SECOND)
    assert (page.state["pair"] // 23, page.state["epoch"]) == (pytest.approx(11, abs=1), 14_000)


def test_what_does_not_go_together_says_so(compare_page: Page) -> None:
    page = opened(compare_page, f"?variants={FIRST},{OTHER}")
    scrolled(page, "map_difference")
    shown = panel(page, "map_difference")
    assert shown["state"] == "unfit"
    assert "one p" in shown["text"]
    assert OTHER in shown["text"]
    page.js("tdw.compare.select([arguments[0]])", FIRST)
    page.until(
        "document.querySelector(`#page-compare .panel[data-view='map_difference']`).dataset.state === 'hint'"
    )
    assert re.search(r"Takes 2 variants.*one is selected", panel(page, "map_difference")["text"])
    page.open("/compare?variants=p7-s7&open=nothing", settle=False)
    page.until(f"{TABLE} && document.querySelectorAll('#notices .notice').length === 2")
    assert "p7-s7" in page.text("#notices")
    assert "no comparison “nothing”" in page.text("#notices")


def test_columns_are_chosen_kept_and_rows_grouped(compare_page: Page) -> None:
    page = opened(compare_page)
    page.click(".compare-columns > summary")
    page.until("document.querySelector('.compare-column-list input')")
    metric = "m:weight norm, final"
    page.js(
        "const box = [...document.querySelectorAll('.compare-column-list input')]"
        ".find(one => one.value === arguments[0]); box.click()",
        metric,
    )
    page.until("tdw.compareGrid.api().getColumn(arguments[0]).isVisible()", metric)
    page.click(".compare-save .number-box")
    page.keys("my norms", Keys.ENTER)
    page.until("new URLSearchParams(location.search).get('set') === 'own:my norms'")
    page.js("tdw.compare.setOptions({group: 'p'})")
    page.until("document.querySelectorAll('.compare-group').length === 2")
    page.driver.refresh()
    page.until(f"{TABLE} && tdw.compareGrid.api().getColumn(arguments[0]).isVisible()", metric)
    assert page.js("return document.getElementById('compare-set').selectedOptions[0].text") == "my norms"
    rows = ["= 23", FIRST, SECOND, THIRD, FLAT, BEGUN, "= 29", OTHER]
    assert page.js(ROWS) == rows
    page.until("document.querySelector('.compare-fold')")
    page.click(".compare-fold")
    page.until("tdw.compareGrid.api().getDisplayedRowCount() === 3")
    assert page.js("return tdw.compare.shown().length") == 6
    page.click(".compare-columns > summary")
    page.until("document.querySelector('.compare-save .button:not(.is-primary)')")
    page.click(".compare-save .button:not(.is-primary)")
    page.until("!new URLSearchParams(location.search).has('set')")


def test_new_runs_and_their_numbers_appear(own: Own) -> None:
    page, workspace = own.page, own.workspace
    opened(page, f"?variants={SECOND}")
    assert page.js(ROWS) == [FIRST, SECOND, THIRD]
    add_odd_runs(workspace)
    analyze(workspace[THIRD], ("turn", "run_summary"))
    page.js("tdw.compare.beat()")
    page.until("tdw.compare.table().names.length === 6")
    assert page.js(ROWS) == [FIRST, SECOND, THIRD, FLAT, BEGUN, OTHER]
    assert ticked(page) == [SECOND]
    assert page.js(CELL, THIRD, "m:turn, onset") != ""
    page.js("tdw.compare.setOptions({of: 'shown'})")
    assert page.js("return tdw.compare.cohort('statistics').length") == 6
    assert page.js("return tdw.compare.cohort('overlay')") == [SECOND]
    workspace.delete_variant(SECOND)
    page.js("tdw.compare.beat()")
    page.until("tdw.compare.selected().length === 0 && tdw.compareGrid.api().getDisplayedRowCount() === 5")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_barrier_on_compare(compare_page: Page, theme: str) -> None:
    page = opened(compare_page, f"?variants={FIRST},{SECOND}&side=loss_curves")
    page.click(f"#sidebar [data-set-theme={theme}]")
    page.settle()
    assert violations(page) == []
