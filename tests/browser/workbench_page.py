"""The workbench in a browser, as a person sees it: open, look, click, press keys, wait."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from data import Workspace
from data.database.jobs import JobStore


@dataclass(frozen=True)
class Own:
    """A page on a workspace that the test may change: the first run has lost its checkpoints."""

    page: Page
    workspace: Workspace
    jobs: JobStore


POINT = """
const [view, place] = [arguments[0], arguments[3]];
const gd = document.querySelector(`.panel[data-view="${view}"][data-place="${place}"] .js-plotly-plot`);
gd.scrollIntoView({block: 'center'});
const box = gd.getBoundingClientRect(), xa = gd._fullLayout.xaxis, ya = gd._fullLayout.yaxis;
return [box.left + xa._offset + xa.d2p(arguments[1]), box.top + ya._offset + ya.d2p(arguments[2])];
"""
CURSORS = """
return tdw.panels.all().filter(one => one.visible).map(one => one.el).flatMap(panel =>
  [...panel.querySelectorAll(`.cursor[data-field="${arguments[0]}"]`)].map(one => {
    const gd = panel.querySelector('.js-plotly-plot'), xa = gd._fullLayout.xaxis;
    const at = one.getBoundingClientRect().left - gd.getBoundingClientRect().left - (xa ? xa._offset : 0);
    const x = xa && xa.p2d ? xa.p2d(at) : null;
    return {view: panel.dataset.view, kind: one.className, value: Number(one.dataset.value), x};
  }));
"""


class Page:
    """One browser on one server. Every wait names what it waited for when it fails."""

    def __init__(self, driver: WebDriver, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, path: str = "/", settle: bool = True) -> Page:
        self.driver.get(self.address + path)
        if settle:
            self.settle()
        return self

    def resize(self, width: int, height: int) -> None:
        """Give the page exactly this room."""
        room = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", room)

    def later(self, script: str, *arguments: Any) -> Any:
        """Run an asynchronous function body and return what it resolves to."""
        wrapped = (
            "const [given, done] = [[...arguments].slice(0, -1), arguments[arguments.length - 1]];"
            f"(async () => {{ {script} }})().then(done, (error) => done({{error: String(error)}}))"
        )
        return self.driver.execute_async_script(wrapped, *arguments)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str, *arguments: Any, timeout: float = 30) -> Any:
        """Wait until the JavaScript expression is true, and return it."""
        script = f"return window.tdw && tdw.panels ? ({condition}) : null"
        wait = WebDriverWait(self.driver, timeout, poll_frequency=0.05)
        return wait.until(
            lambda driver: driver.execute_script(script, *arguments), f"not within {timeout} s: {condition}"
        )

    def settle(self) -> None:
        """Wait until every panel on screen shows the current selection."""
        self.until("tdw.panels.settled()")

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.js("return tdw.selection.get()"))

    @property
    def info(self) -> dict[str, Any]:
        return dict(self.js("return tdw.selection.info()"))

    @property
    def url(self) -> str:
        return self.driver.current_url.removeprefix(self.address)

    def text(self, selector: str) -> str:
        return str(
            self.js("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", selector)
        )

    def click(self, selector: str) -> None:
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        for left in reversed(range(5)):
            try:
                self.driver.find_element("css selector", selector).click()
                return
            except StaleElementReferenceException:  # drawn anew between the two
                if not left:
                    raise

    def keys(self, *keys: str) -> None:
        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def shift(self, key: str) -> None:
        ActionChains(self.driver).key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT).perform()

    def show(self, view: str) -> None:
        """Scroll a panel of Explore into view and wait for its figure."""
        self.js(
            "document.querySelector('[data-view=' + arguments[0] + ']').scrollIntoView({block: 'center'})",
            view,
        )
        self.until(
            "(tdw.panels.all().find(p => p.view === arguments[0]) || {visible: true}).visible"
            f" && tdw.panels.settled() && document.querySelector('.panel[data-view={view}]').dataset.drawn",
            view,
        )

    def click_point(self, view: str, x: float, y: float, shift: bool = False, place: str = "explore") -> None:
        """A real click at data coordinates. The pointer rests first: plotly hovers at most once in 50 ms."""
        left, top = self.js(POINT, view, x, y, place)
        chain = ActionChains(self.driver)
        pointer = chain.w3c_actions.pointer_action
        pointer._duration = 0
        if shift:
            chain.w3c_actions.key_action.key_down(Keys.SHIFT)
        pointer.move_to_location(round(left) - 2, round(top) - 2)
        pointer.move_to_location(round(left), round(top))
        pointer.pause(0.12)
        pointer.click()
        chain.perform()
        if shift:
            ActionChains(self.driver).key_up(Keys.SHIFT).perform()

    def cursors(self, field: str) -> list[dict[str, Any]]:
        """The cursors of a selection field in the panels on screen: view, class, value, data x."""
        return list(self.js(CURSORS, field))

    def figure(self, view: str) -> dict[str, Any]:
        """What the drawn figure of a view holds: z of its first trace, rounded, and its title texts."""
        script = """
        const gd = document.querySelector(`.panel[data-view="${arguments[0]}"] .js-plotly-plot`);
        const trace = gd._fullData[0];
        const plain = rows => rows && Array.from(rows, row => row.length ? Array.from(row) : row);
        return JSON.stringify({z: plain(trace.z), x: plain(trace.x), customdata: plain(trace.customdata)});
        """
        return dict(json.loads(self.js(script, view)))

    def console_errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
