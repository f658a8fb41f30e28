"""Fixtures of the browser tests: one JupyterLab and one Chromium for all of them, a page for each that asks."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from browser.lab import Lab
from browser.panel import Panel
from browser.server import CHECKOUT, Server, running
from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = [
    "--no-sandbox",  # needed where the tests run as root, as in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]

EXPLORER = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", augmentations=64, steps=96)  # less than a user's, for the tests' time
explorer
"""
REMEMBER = """
names = ("preset", "plan", "solver", "sequential", "fidelity", "layer", "sample_id", "sparsity", "neuron")
start = {name: getattr(explorer, name) for name in names}
"""
RETURN = """
for name, value in start.items():
    setattr(explorer, name, value)
explorer.error = ""
"""


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; without one the test is skipped by name, or fails where CI=true."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") == "true":
        pytest.fail("Chromium is missing, and in CI the browser tests must run")
    pytest.skip("Chromium is missing (Debian's package is `chromium`)")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab that serves a copy of the notebooks."""
    with running(tmp_path_factory.mktemp("jupyter")) as server:
        for notebook in (CHECKOUT / "notebooks").glob("*.ipynb"):
            shutil.copy(notebook, server.root)
        yield server


@pytest.fixture(scope="session")
def new_lab(browser: Browser, server: Server) -> Iterator[Callable[[str], Lab]]:
    """Makes pages, each in a browser profile of its own; screenshots go to test-results/ under the name given."""
    with ExitStack() as closing:

        def make(name: str) -> Lab:
            context = browser.new_context(viewport={"width": 1500, "height": 1000}, reduced_motion="reduce")
            closing.callback(context.close)
            results = CHECKOUT / "test-results" / re.sub(r"[^\w-]+", "-", name)
            shutil.rmtree(results, ignore_errors=True)
            results.mkdir(parents=True)
            return Lab(context.new_page(), server, results)

        yield make


@pytest.fixture
def lab(new_lab: Callable[[str], Lab], request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A page for this test alone; it must not have complained when the test ends."""
    lab = new_lab(f"{request.path.stem}-{request.node.name}".replace("test_", ""))
    yield lab
    lab.screenshot("end")
    complaints = lab.complaints()
    lab.close()
    assert not complaints


@pytest.fixture(scope="session")
def opened(new_lab: Callable[[str], Lab]) -> Panel:
    """One Explorer that several tests share: its kernel has computed the first pictures."""
    lab = new_lab("explorer")
    lab.open(lab.write("explorer.ipynb", [EXPLORER]))
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.await_pictures()
    lab.run(REMEMBER)
    return panel


@pytest.fixture
def panel(opened: Panel, request: pytest.FixtureRequest) -> Iterator[Panel]:
    """The shared Explorer, back at its first selection; it has not complained when the test ends."""
    opened.lab.run(RETURN)
    opened.await_pictures()
    yield opened
    opened.lab.screenshot(re.sub(r"[^\w-]+", "-", request.node.name.removeprefix("test_")))
    assert opened.lab.complaints() == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser. It comes last: pages that stay open tell Playwright of all they do,
    and while other tests run nobody listens; what has piled up then takes minutes.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")
    items.sort(key=lambda item: here in item.path.parents)
