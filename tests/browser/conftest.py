"""One Chromium and one server for the whole session; every test starts with an empty page and storage."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from dash import Dash
from dash.testing.application_runners import ThreadedRunner
from dash.testing.browser import Browser
from dash.testing.composite import DashComposite
from planted import add_odd_runs, plant
from selenium.webdriver.chrome.options import Options
from workbench_page import Own, Page

from dashboard.server import create_app
from data import Workspace
from data.database.jobs import JobStore

START_SECONDS = 30
os.environ.setdefault("DASH_TEST_CHROMEPATH", shutil.which("chromium") or "/usr/bin/chromium")


def _options() -> Options:
    options = Options()
    for argument in (
        "--headless=new",
        "--window-size=1440,900",
        "--force-device-scale-factor=1",
        "--hide-scrollbars",
    ):
        options.add_argument(argument)
    return options


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    downloads = str(tmp_path_factory.mktemp("downloads"))
    with DashComposite(
        server=None,
        browser="Chrome",
        headless=True,
        options=[_options()],
        percy_run=False,
        download_path=downloads,
    ) as browser:
        browser.driver.implicitly_wait(0)
        browser.driver.set_script_timeout(60)
        yield browser


@contextmanager
def _served(workspace: Path) -> Iterator[str]:
    with _running(create_app(Workspace(workspace))) as url:
        yield url


@contextmanager
def _running(app: Dash) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with ThreadedRunner() as server:
        server.start(app, start_timeout=START_SECONDS, port=port)
        yield server.url


@pytest.fixture(scope="session")
def address(samples_workspace: Path) -> Iterator[str]:
    with _served(samples_workspace) as url:
        yield url


@pytest.fixture(scope="session")
def shipped_address(shipped_workspace: Path) -> Iterator[str]:
    with _served(shipped_workspace) as url:
        yield url


@pytest.fixture(scope="session")
def mixed_workspace(samples_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted runs, one that never turns, one of another p, and one that has only begun."""
    folder = tmp_path_factory.mktemp("mixed") / "workspace"
    shutil.copytree(samples_workspace, folder, ignore=shutil.ignore_patterns("catalog.sqlite*"))
    add_odd_runs(Workspace(folder))
    return folder


@pytest.fixture(scope="session")
def mixed_address(mixed_workspace: Path) -> Iterator[str]:
    with _served(mixed_workspace) as url:
        yield url


@pytest.fixture
def compare_page(browser: Browser, mixed_address: str) -> Iterator[Page]:
    """The page on runs that do not all go together."""
    with _fresh(browser, mixed_address) as page:
        yield page


@pytest.fixture
def served_again() -> Callable[[Path], AbstractContextManager[str]]:
    """Another server on a workspace; its address."""
    return _served


@pytest.fixture
def own(browser: Browser, tmp_path: Path) -> Iterator[Own]:
    workspace = plant(tmp_path / "own")
    for path in (workspace.variants()[0].path / "checkpoints").iterdir():
        path.unlink()
    with _running(create_app(workspace)) as url, _fresh(browser, url) as page:
        yield Own(page, workspace, JobStore(workspace.database))


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page in a fresh state, which must end without errors in the console."""
    with _fresh(browser, address) as page:
        yield page


@pytest.fixture
def shipped_page(browser: Browser, shipped_address: str) -> Iterator[Page]:
    """The same on the shipped samples."""
    with _fresh(browser, shipped_address) as page:
        yield page


@contextmanager
def _fresh(browser: Browser, address: str) -> Iterator[Page]:
    browser.driver.get_log("browser")
    page = Page(browser.driver, address)
    page.resize(1440, 900)
    yield page
    errors = page.console_errors()
    while len(browser.driver.window_handles) > 1:
        browser.driver.close()
        browser.driver.switch_to.window(browser.driver.window_handles[0])
    browser.driver.execute_script("try { localStorage.clear(); sessionStorage.clear() } catch (error) {}")
    browser.driver.get("about:blank")
    assert errors == [], errors
