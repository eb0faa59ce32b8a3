"""Train, Analyze and Jobs in a real browser: from a form to a run, and what becomes of jobs meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil
import pytest
from selenium.webdriver.common.keys import Keys
from workbench_page import Own, Page

from data.database.jobs import Job

AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']}"
TINY = {"d_model": "8", "n_heads": "2", "d_head": "4", "d_mlp": "16"}
SLOW = 60  # seconds for what waits for a process to start


def violations(page: Page) -> list[str]:
    page.js(AXE)
    found = page.later(f"return await axe.run(document, {RULES})")
    return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]]


def fill(page: Page, form: str, values: dict[str, str]) -> None:
    """As if typed, without waiting between the keys."""
    page.js(
        """for (const [name, text] of Object.entries(arguments[1])) {
             const input = document.getElementById(arguments[0] + '-' + name);
             input.value = text;
             input.dispatchEvent(new Event('input', {bubbles: true}));
           }""",
        form,
        values,
    )


def until(condition: Callable[[], Any], seconds: float = SLOW) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("not within the time")


def told(page: Page, job: Job, words: str, seconds: float = SLOW) -> None:
    """Wait until the list of the Jobs page says that of a job."""
    row = f"document.querySelector('.job-row[data-job=\"{job.id}\"]')"
    page.until(f"({row} || {{innerText: ''}}).innerText.includes(arguments[0])", words, timeout=seconds)


def test_from_the_form_to_the_picker(own: Own) -> None:
    page, name = own.page, "p11-s5-d598-dm8-h2-dh4-mlp16"
    page.open("/train", settle=False)
    page.until("!document.getElementById('train-start').disabled", timeout=SLOW)
    page.click("#new-p")
    page.keys(*[Keys.BACKSPACE] * 3, "9")
    page.until("document.getElementById('new-p-error').innerText.includes('p=9 is not prime')")
    assert page.js("return document.getElementById('new-p').getAttribute('aria-invalid')") == "true"
    assert page.js("return document.getElementById('train-start').disabled")
    fill(page, "new", {"p": "11", "seed": "5-7", "epochs": "40", **TINY})
    assert page.text(".plan-sum strong") in ("3 runs", "")  # counted at once, the rest a moment later
    page.until("document.querySelectorAll('.plan-names li').length === 3")
    assert page.text(".plan-sum strong") == "3 runs"
    fill(page, "new", {"seed": "5"})
    page.until("document.querySelectorAll('.plan-names li').length === 1")
    page.until("!document.getElementById('train-start').disabled")
    assert "seed=5" in page.url
    assert page.text(".plan-names").strip() == name
    page.js("const start = document.getElementById('train-start'); start.click(); start.click()")
    page.until("document.querySelector('#train-ticket a')", timeout=SLOW)
    (job,) = own.jobs.history()
    assert job.variants == (name,)

    page.driver.refresh()  # in the middle: the form is as it was, and says that it runs or is done
    page.until("document.querySelector('#train-plan .plan-note, #train-plan .plan-bad')", timeout=SLOW)
    assert page.js("return document.getElementById('new-seed').value") == "5"
    assert page.js("return document.getElementById('train-start').disabled")
    page.open(f"/jobs?job={job.id}", settle=False)
    told(page, job, "is trained to epoch 40")
    page.until("document.querySelectorAll('.job-plot .line').length === 2")
    assert "Ends: done." in page.text(".job-log")
    assert "tdw train modular_addition --p 11 --seed 5" in page.text(".job-command")
    assert violations(page) == []

    page.click("[data-page-link=train]")
    page.until("document.querySelector('#train-plan .plan-bad') !== null")
    assert f"{name} is there already (" in page.text("#train-plan .plan-bad")
    assert page.js("return document.getElementById('train-start').disabled")
    page.click("#train-plan .plan-bad button")
    page.until("document.getElementById('resume-of').value === arguments[0]", name)
    page.keys("/")
    page.until("document.activeElement.matches('.picker-search')")
    page.keys(name)
    page.until("document.querySelectorAll('.picker-option').length === 1")


def test_a_job_of_the_command_line_is_followed_cancelled_resumed_killed(
    own: Own, served_again: Callable[[Path], AbstractContextManager[str]]
) -> None:
    page = own.page
    page.open("/jobs", settle=False)
    page.until("!document.getElementById('jobs-empty').hidden")
    settings = [f"--set={name}={value}" for name, value in TINY.items()]
    command = [sys.executable, "-m", "cli", "train", "modular_addition", "--p", "7", "--seed", "1", *settings]
    command += ["--epochs", "3000000", "--checkpoints", "0,5", "--state-every", "500", "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--workspace", str(own.workspace.path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (job,) = until(own.jobs.active)
        told(page, job, "epochs/s")
        assert f"process {process.pid} on" in page.text(f".job-row[data-job='{job.id}']")
        page.click(f".job-row[data-job='{job.id}'] .job-title")
        page.until("document.querySelector('.job-plot .line')", timeout=SLOW)
        page.js("document.querySelector('.job-row [data-act=cancel]').focus()")
        page.until("Number(document.querySelector('#job-detail progress').value) > 600", timeout=SLOW)
        assert page.js("return document.activeElement.dataset.act") == "cancel"  # told anew, focus and all
        page.click("#job-detail [data-act=cancel]")
        told(page, job, "Cancelled on request")
        assert process.wait(SLOW) != 0
    finally:
        process.kill()
        process.wait()

    page.click("#job-detail [data-act=resume]")
    told(page, job, "running")
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.open(f"/jobs?job={job.id}", settle=False)
    told(page, job, "epochs/s")
    running = own.jobs.get(job.id)
    assert running.owner is not None
    psutil.Process(running.owner.pid).kill()
    told(page, job, "interrupted", seconds=30)
    page.driver.switch_to.window(first)
    told(page, job, "interrupted", seconds=30)
    page.until("document.querySelector('#job-detail .state').innerText === 'interrupted'")
    with served_again(own.workspace.path) as address:  # another server on the same workspace tells the same
        again = Page(page.driver, address)
        again.open("/jobs", settle=False)
        told(again, job, "interrupted")
        again.click(f".job-row[data-job='{job.id}'] [data-act=resume]")
        told(again, job, "epochs/s")
        assert violations(again) == []
        page.driver.get("about:blank")
    page.open("/jobs", settle=False)
    ended = own.jobs.cancel(job.id)
    until(lambda: not own.jobs.get(ended.id).active)
    assert own.jobs.get(job.id).attempt == 3
    told(page, job, "cancelled")
    page.click(f".job-row[data-job='{job.id}'] [data-act=forget]")
    page.until("!document.getElementById('jobs-empty').hidden")


def test_analyze_from_the_matrix(own: Own) -> None:
    page = own.page
    names = [variant.name for variant in own.workspace.variants()[1:]]
    page.open("/analyze?variants=none", settle=False)
    page.until("document.querySelectorAll('.result').length === 3", timeout=SLOW)
    page.until(
        "[...document.querySelectorAll('.result-says')].every(e => !e.innerText.includes('looked'))",
        timeout=SLOW,
    )
    assert page.js("return document.getElementById('analyze-start').disabled")
    fill(page, "results", {"filter": names[0]})
    page.until("document.querySelectorAll('.result').length === 1")
    fill(page, "results", {"filter": "p=23"})
    page.click("[data-choose=shown]")
    page.js("document.getElementById('choose-' + arguments[0]).click()", own.workspace.variants()[0].name)
    page.click("#instruments-chosen")
    page.click("#instruments [value=weight_norms]")
    page.until("!document.getElementById('analyze-start').disabled", timeout=SLOW)
    assert page.text(".plan-sum") == "24 results of 2 runs"
    assert page.js("return tdw.selection.get().options") == {
        "variants": ",".join(names),
        "analyzers": "weight_norms",
    }
    page.click("#analyze-start")
    page.until("document.querySelector('#analyze-ticket a')", timeout=SLOW)
    page.until("document.querySelectorAll('.strip .cell.is-complete').length === 2", timeout=SLOW)
    page.until("document.querySelector('#analyze-plan .plan-good')", timeout=SLOW)
    page.click(f".result[data-variant='{names[0]}'] .result-fold")
    assert "weight norms: complete, 12 epochs" in page.text(".result-list:not([hidden])")
    assert violations(page) == []
    (job,) = own.jobs.history()
    assert job.variants == tuple(names)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_of_work_fit_and_have_no_barrier(page: Page, theme: str) -> None:
    page.open("/train?form=fork&gain=2&lr_schedule=cosine:until=20000", settle=False)
    page.click(f"#sidebar [data-set-theme={theme}]")
    page.until("document.querySelector('.schedule-plot:not([hidden]) .line')", timeout=SLOW)
    page.until("document.getElementById('fork-frequencies-error').innerText !== ''", timeout=SLOW)
    assert violations(page) == []
    for path, ready in (
        ("/train?lr_schedule=step:every=100,factor=0.5", "document.querySelector('.plan-facts')"),
        ("/analyze", "document.querySelector('.result .cell')"),
        ("/jobs", "document.querySelector('.job-row') || !document.getElementById('jobs-empty').hidden"),
    ):
        page.resize(1440, 900)
        page.open(path, settle=False)
        page.until(ready, timeout=SLOW)
        assert violations(page) == []
        for width, height in ((1440, 900), (1024, 768)):
            page.resize(width, height)
            found = page.js("""
                const wide = document.documentElement.scrollWidth - innerWidth;
                const shown = document.querySelector('.page:not([hidden])');
                const boxes = [...shown.querySelectorAll('.card, .field:not([hidden])')];
                const rects = boxes.map((one) => one.getBoundingClientRect()).filter((box) => box.width);
                const cut = boxes.filter((one) => one.scrollWidth > one.clientWidth + 1);
                const out = rects.filter((box) => box.right > innerWidth || box.left < 0);
                return [wide, cut.map((one) => one.className), out.length];
            """)
            assert found == [0, [], 0], (path, width)
