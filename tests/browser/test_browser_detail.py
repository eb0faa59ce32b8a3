"""The detail route, wrong addresses, missing artifacts and Analyze, in a real browser."""

from __future__ import annotations

import json

import pytest
from workbench_page import Page

from data import Workspace
from renderers.payload import payload


def test_open_large_keeps_the_selection_and_back_returns(page: Page) -> None:
    page.open("/?epoch=8000&neuron=3")
    page.click("a[data-open=loss_curves]")
    page.until("document.querySelector('.in-detail[data-view=loss_curves]') && tdw.panels.settled()")
    assert page.url.startswith("/view/loss_curves?")
    assert (page.state["epoch"], page.state["neuron"]) == (8000, 3)
    page.driver.back()
    page.until("tdw.selection.get().page === 'explore' && tdw.panels.settled()")
    assert page.js("return document.getElementById('detail').hidden")


def test_the_detail_names_formula_source_and_protocol(page: Page) -> None:
    page.open("/view/neuron_clusters?epoch=22000&neuron_clusters.order=index")
    shown = page.text(".measure")
    for heading in ("Formula", "Protocol", "Source", "Quantities and units"):
        assert heading in shown
    assert page.js("return document.querySelector('.in-detail select.parameter').value") == "index"
    drawn = page.js("return document.querySelector('.in-detail').dataset.drawn")
    assert '"order":"index"' in drawn
    page.click(".detail-steps a:last-child")
    page.until("tdw.selection.get().view === 'neuron_map' && tdw.panels.settled()")


def test_unknown_view_lists_the_views(page: Page) -> None:
    page.open("/view/astrology", settle=False)
    page.until("document.querySelector('#detail-content h1')")
    assert "astrology" in page.text("#detail-content")
    page.click("#detail-content a[data-open=loss_curves]")
    page.settle()


@pytest.mark.parametrize(
    ("query", "said", "field", "value"),
    [
        ("epoch=9401", "9,401", "epoch", 10000),
        ("epoch=soon", "soon", "epoch", 22000),
        ("neuron=5000", "5,000", "neuron", 23),
        ("frequency=0", "0", "frequency", 1),
        ("head=-1", "-1", "head", 0),
    ],
)
def test_a_wrong_value_in_the_address_is_named_and_replaced(
    page: Page, query: str, said: str, field: str, value: int
) -> None:
    page.open(f"/?{query}")
    assert page.state[field] == value
    assert said in page.text("#notices")


def test_unknown_variant_says_what_there_is(page: Page, samples_workspace) -> None:
    page.open("/?variant=p999-s1&epoch=5", settle=False)
    page.until("document.querySelector('#notices .notice')")
    names = [variant.name for variant in Workspace(samples_workspace).variants()]
    assert "p999-s1" in page.text("#notices")
    assert all(name in page.text("#notices") for name in names)
    page.click("#notices .notice-actions button")
    page.settle()
    assert page.state["variant"] == names[0]
    assert page.text("#notices").count("p999") == 0


def test_a_wrong_parameter_shows_its_error_in_place(page: Page) -> None:
    page.open("/?loss_curves.scale=musical")
    shown = page.text(".panel[data-view=loss_curves]")
    assert "musical" in shown
    assert "log, linear" in shown
    assert page.js("return document.querySelector('.panel[data-view=accuracy]').dataset.state") == "figure"


def test_missing_artifacts_then_analyze_with_progress_cancel_and_result(
    page: Page, samples_workspace
) -> None:
    name = Workspace(samples_workspace).variants()[2].name
    page.open(f"/?variant={name}")
    panel = ".panel[data-view=accuracy]"
    assert "logits_summary" in page.text(panel)
    assert f"tdw analyze {name}" in page.text(panel)
    assert page.js("return document.querySelector('.panel[data-view=loss_curves]').dataset.state") == "figure"

    page.click(f"{panel} [data-action=analyze]")
    page.until("document.getElementById('job').classList.contains('is-running')")
    page.until("Number(document.getElementById('job-bar').value) > 1", timeout=40)
    assert " of " in page.text("#job-text")
    page.click("#cancel")
    page.until("!document.getElementById('job').classList.contains('is-running')")
    page.until("document.getElementById('notices').innerText.includes('Cancelled on request')")

    variant = Workspace(samples_workspace)[name]  # on a slow machine it may have been done before the click
    for key in variant.artifacts.keys("grid", "logits_summary"):
        variant.artifacts.drop("grid", "logits_summary", key)
    page.js("return tdw.pulse.beat()")
    idle = "tdw.about.of() && !tdw.jobs.progress()"
    page.until(f"document.querySelector('{panel} [data-action=analyze]') && {idle}")
    page.js(f"document.querySelector('{panel} [data-action=analyze]').dataset.analyzers = 'logits_summary'")
    page.click(f"{panel} [data-action=analyze]")
    page.until(
        f"document.querySelector('{panel}').dataset.state === 'figure' && tdw.panels.settled()", timeout=60
    )
    page.until("document.getElementById('notices').innerText.includes('results computed')")
    assert "logits summary" not in page.text("#artifact-status")


def test_the_browser_reads_payloads_as_python_does(page: Page) -> None:
    point = {"x": 0, "y": 7.0, "customdata": [12, 0, 5]}
    single = {"x": 1.0, "y": None, "customdata": 0}
    cases = [
        ({"epoch": "x", "frequency": "y"}, point),
        ({"neuron": "customdata[1]", "head": {"value": 0}, "epoch": "customdata[2]"}, point),
        ({"neuron": "customdata", "frequency": "y", "epoch": "x"}, single),
        ({"neuron": "customdata"}, {"x": 1, "y": 2}),
        ({}, point),
    ]
    page.open("/?epoch=2000")
    for declared, at in cases:
        trace = {"meta": {"payload": declared}}
        expected = [[field, value] for field, value in payload(trace, at).items()]
        script = "return tdw.payload.read(JSON.parse(arguments[0]), JSON.parse(arguments[1]))"
        assert page.js(script, json.dumps(trace), json.dumps(at)) == expected
