"""Stepping and playing: what is drawn step by step is what a new page draws, and playing asks for nothing."""

from __future__ import annotations

import pytest
from workbench_page import Page

from data import Workspace

PICTURE = """
const gd = tdw.drawing.plot(tdw.panels.all().find((panel) => panel.view === arguments[0]));
const unseen = '.annotation[style*="opacity: 0"]';
const hidden = (one) => getComputedStyle(one).opacity === '0' || one.closest(unseen);
const all = (selector, take) => [...gd.querySelectorAll(selector)].filter((one) => !hidden(one)).map(take);
const numbers = (rows) => Array.from(rows || [], (row) => row.length ? Array.from(row) : row);
return {
  cells: all('.hm image', (one) => one.href.baseVal),
  texts: all('.infolayer text, .cartesianlayer text', (one) => one.textContent).sort(),
  shapes: all('.shapelayer path', (one) => one.getAttribute('d') + one.style.fill).sort(),
  z: gd._fullData.map((trace) => numbers(trace.z)),
  customdata: gd._fullData.map((trace) => numbers(trace.customdata)),
  hovered: gd.calcdata.map((one) => numbers(one[0].z)),
};
"""


@pytest.mark.parametrize("view", ["neuron_clusters", "neuron_map", "attention_maps"])
def test_a_heatmap_stepped_to_is_the_one_that_a_new_page_draws(page: Page, view: str) -> None:
    page.open("/?epoch=12000&neuron=3")
    page.show(view)
    gd = f"tdw.drawing.plot(tdw.panels.all().find((panel) => panel.view === '{view}'))"
    page.js(f"window.kept = {gd}.calcdata")
    for epoch in (18000, 6000, 12000, 6000):  # forward, to a smaller scale, from what is remembered
        page.js("tdw.selection.set({epoch: arguments[0]}, 'replace')", epoch)
        page.settle()
    assert page.js(f"return {gd}.calcdata === window.kept")  # cells were written, no plot was made anew
    stepped = page.js(PICTURE, view)
    page.open("/?epoch=6000&neuron=3")
    page.show(view)
    assert page.js(PICTURE, view) == stepped


def test_playing_asks_for_nothing_once_the_mosaic_is_loaded(page: Page, samples_workspace) -> None:
    epochs = Workspace(samples_workspace).variants()[0].epochs
    page.open(f"/?epoch={epochs[-1]}")
    page.show("neuron_mosaic")
    page.until("document.querySelector('[data-view=neuron_mosaic] .tiles-note').textContent === ''")
    page.settle()
    page.js("""
        document.getElementById('play-speed').value = '8×';
        performance.clearResourceTimings();
        window.steps = [];
        const asked = () => performance.getEntriesByType('resource').length;
        tdw.on('selection', (state) => steps.push([state.epoch, asked()]));
        tdw.scrubber.toggle();
    """)
    page.until("steps.length && steps[steps.length - 1][0] === arguments[0]", epochs[-1])
    assert page.js("return steps") == [[epoch, 0] for epoch in epochs]
    page.until("document.querySelector('.is-play').innerText === 'Play'")
    page.settle()
    shown = "return document.querySelector('.panel[data-view=neuron_clusters]').dataset.drawn"
    assert f'"epoch":{epochs[-1]}' in page.js(shown)
