"""The whole catalog on one page: what each label promises, what is asked for, what is kept, what fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbench_page import Page

from analyzers.registry import default_registry
from renderers.catalog import catalog

FIGURES = [view.name for view in catalog() if not view.component]

WALK, WALK_TILES = (Path(__file__).with_name(name).read_text() for name in ("walk.js", "walk_tiles.js"))


def test_every_mark_of_every_view_does_what_its_label_says(page: Page) -> None:
    page.open("/?epoch=10000&neuron=3&frequency=4&head=1&pair=4,9")
    clicked: set[str] = set()
    for view in catalog():
        found = page.later(WALK_TILES if view.component else WALK, view.name)
        assert found.get("error") is None, (view.name, found)
        if not all(default_registry().get(name).standard for name in view.needs):
            assert found["state"] == "missing", (view.name, found)
            continue
        assert found["state"] == "figure", (view.name, found)
        for word in ("click", *(["shift"] if len(view.marks) > 1 and "shift" in found["hint"] else [])):
            assert not view.marks or f"{word}:" in found["hint"], (view.name, found["hint"])
        for click in found["clicks"]:
            assert click["field"] in click["announced"], (view.name, click)
            assert click["field"] in view.marks, (view.name, click)
            assert click["got"] == click["expected"], (view.name, click)
            assert click["chips"] == click["carried"], (view.name, click)
            clicked.add(click["field"])
        assert found["clicks"] or not view.marks, view.name
        assert not view.component or len(found["clicks"]) == min(2, len(view.marks)), (view.name, found)
        assert found["parameters"] == list(view.parameters), (view.name, found)
    assert {"epoch", "neuron", "head", "frequency"} <= clicked
    assert page.js("return tdw.drawing.countGl()") <= 4


def test_only_what_is_on_the_screen_costs_anything(page: Page) -> None:
    page.open("/?epoch=10000")
    asked = "return performance.getEntriesByType('resource').filter(e => e.name.includes('/_figure')).length"
    seen = page.js("return tdw.panels.all().filter(p => p.visible).length")
    page.until("performance.getEntriesByType('resource').length > 5")
    nearby = "tdw.panels.all().filter(p => p.near && p.questions).length"
    assert seen <= page.js(asked) <= seen + page.js(f"return {nearby}") < len(FIGURES) / 2
    page.js("performance.clearResourceTimings(); tdw.selection.set({epoch: 12000}, 'replace')")
    page.settle()
    depends = "p.visible && p.depends.includes('epoch')"
    assert page.js(asked) == page.js(f"return tdw.panels.all().filter(p => {depends}).length")


def test_figures_far_away_are_given_up_and_come_back_without_a_question(page: Page) -> None:
    page.open("/?epoch=10000")
    top = page.js("return tdw.panels.all().filter(p => p.visible && tdw.drawing.plot(p)).map(p => p.view)")
    held = []
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        page.js("window.scrollTo(0, document.documentElement.scrollHeight * arguments[0])", share)
        page.settle()
        held.append(page.js("return tdw.drawing.count()"))
    drawn = "tdw.panels.all().filter(p => arguments[0].includes(p.view) && tdw.drawing.plot(p)).length"
    page.until(f"{drawn} === 0", top)
    assert max(held) < len(FIGURES)
    page.js("performance.clearResourceTimings(); window.scrollTo(0, 0)")
    page.until(f"{drawn} === arguments[0].length && tdw.panels.settled()", top)
    again = "return performance.getEntriesByType('resource').filter(e => e.name.includes('/_figure')).length"
    assert page.js(again) == 0


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1920, 1080), (1024, 768)])
@pytest.mark.parametrize("density", ["compact", "full"])
def test_nothing_overlaps_or_runs_out_of_the_page(page: Page, width: int, height: int, density: str) -> None:
    page.resize(width, height)
    page.open()
    page.click(f"#sidebar [data-set-density={density}]")
    page.settle()
    found = page.js("""
        const boxes = [...document.querySelectorAll('#explore .panel')]
          .map(el => [el.dataset.view, el.getBoundingClientRect()]);
        const pairs = [];
        boxes.forEach(([a, one], i) => boxes.slice(i + 1).forEach(([b, two]) => {
          const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
          const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
          if (across > 1 && down > 1) pairs.push([a, b]);
        }));
        const narrow = boxes.filter(([, box]) => box.width < 240).map(([name, box]) => [name, box.width]);
        const controls = '.stepper-row, .scrub-buttons, .bookmark-form, .display-controls';
        const cut = [...document.querySelectorAll(controls)]
          .filter(el => el.scrollWidth > el.clientWidth + 1).map(el => el.className);
        const first = boxes.filter(([, box]) => Math.abs(box.top - boxes[0][1].top) < 2).length;
        return {pairs, narrow, cut, first, wide: document.documentElement.scrollWidth - innerWidth};
    """)
    assert found["pairs"] == []
    assert found["narrow"] == []
    assert found["cut"] == []
    assert found["wide"] <= 0


def test_groups_fold_have_their_own_density_and_remember_both(page: Page) -> None:
    page.open()
    page.js("document.querySelector('#group-run [data-set-density=full]').click()")
    page.settle()
    assert '"density":"full"' in page.js(
        "return document.querySelector('[data-view=loss_curves]').dataset.drawn"
    )
    page.show("neuron_clusters")
    drawn = page.js("return document.querySelector('[data-view=neuron_clusters]').dataset.drawn")
    assert '"density":"compact"' in drawn
    page.click("#group-neurons .group-fold")
    page.driver.refresh()
    page.settle()
    assert page.js("return document.getElementById('group-run').dataset.density") == "full"
    assert page.js("return document.getElementById('group-neurons').classList.contains('is-folded')")
    inside = "p.el.closest('#group-neurons') && p.questions"
    assert page.js(f"return tdw.panels.all().filter(p => {inside}).length") == 0
    page.click("#page-index a[href='#group-neurons']")
    page.until("!document.getElementById('group-neurons').classList.contains('is-folded')")
    page.until("document.querySelector('[data-view=neuron_clusters]').dataset.drawn && tdw.panels.settled()")
