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
from browser.maps import Maps
from browser.panel import Panel
from browser.server import CHECKOUT, Server, running
from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

import spade_widgets as sw

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

VIEWPORT: ViewportSize = {"width": 1500, "height": 1000}
EXPLORER = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=32, steps=48)  # less than a user's, for the tests' time
explorer
"""
REMEMBER = """
names = ("preset", "plan", "solver", "sequential", "fidelity", "layer", "sample_id", "sparsity", "neuron")
start = {name: getattr(explorer, name) for name in names}
steps = explorer.session.steps
"""
RETURN = """
explorer.session.steps = steps
for name, value in start.items():
    setattr(explorer, name, value)
explorer.error = ""
"""
SALIENCY = """
import spade_widgets as sw
panel = sw.SaliencyPanel("emoji", solver="fast", augmentations=32)  # less than a user's, for the tests' time
panel.sample = next(sample for sample in panel.session.samples if sample.mask is not None)  # a Trojan
panel
"""
SALIENCY_NAMES = (
    *("sample_id", "sparsity", "preset", "solver", "methods", "target"),
    *("opacity", "colormap", "signed", "clip", "scale", "outline"),
)
SALIENCY_RETURN = """
for name, value in start.items():
    setattr(panel, name, value)
panel.error = ""
"""
#: Every panel is closed, every name gone.
FORGET = """
import ipywidgets
ipywidgets.Widget.close_all()
get_ipython().reset()
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
            context = browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")
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
def shared_kernel(new_lab: Callable[[str], Lab]) -> Lab:
    """A page whose kernel many tests use, one after the other: pages and kernels take seconds to start."""
    lab = new_lab("shared-kernel")
    lab.open(lab.write("shared-kernel.ipynb", ["import spade_widgets"]))
    lab.run_all()
    return lab


@pytest.fixture
def desk(shared_kernel: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[[list[str]], Lab]]:
    """Opens a notebook of these cells, which this test has to itself, with a kernel that has nothing but what was
    imported before; it must not have complained when the test ends.
    """
    lab, name = shared_kernel, re.sub(r"[^\w-]+", "-", request.node.name.removeprefix("test_"))

    def opened(cells: list[str]) -> Lab:
        lab.open_beside(lab.write(f"{request.path.stem}-{name}.ipynb", cells))
        lab.console.clear()  # what the Lab said as the former notebook went is none of this test's
        lab.outside.clear()
        return lab

    yield opened
    lab.screenshot(name)
    complaints = lab.complaints()
    lab.run(FORGET)
    lab.theme("JupyterLab Light")
    lab.page.set_viewport_size(VIEWPORT)
    assert not complaints


@pytest.fixture(scope="session")
def small_lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lesson of all built-in samples and two neurons, for the tests that look at its page."""
    author = sw.Explorer("emoji", solver="fast", augmentations=8, steps=4)
    try:
        path = tmp_path_factory.mktemp("lesson") / "lesson.html"
        return author.export_html(path, neurons=["layer4:5", "logit:pet"], sparsities=[0.9, 0.95])
    finally:
        author.close()


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


@pytest.fixture(scope="session")
def first_maps(new_lab: Callable[[str], Lab]) -> Maps:
    """One Saliency panel that several tests share, with its first maps on screen."""
    lab = new_lab("saliency")
    maps = Maps(lab, lab.output(0))
    maps.listen()
    lab.open(lab.write("saliency.ipynb", [SALIENCY]))
    lab.run_all()
    expect(maps.root.get_by_role("heading", name="SPADE Saliency")).to_be_visible(timeout=30_000)
    maps.await_maps()
    lab.run(f"start = {{name: getattr(panel, name) for name in {SALIENCY_NAMES}}}")
    return maps


@pytest.fixture
def maps(first_maps: Maps, request: pytest.FixtureRequest) -> Iterator[Maps]:
    """The shared Saliency panel, back at its first selection; it has not complained when the test ends."""
    first_maps.lab.run(SALIENCY_RETURN)
    first_maps.await_maps()
    yield first_maps
    first_maps.lab.screenshot(re.sub(r"[^\w-]+", "-", request.node.name.removeprefix("test_")))
    assert first_maps.lab.complaints() == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser. It comes last: pages that stay open tell Playwright of all they do,
    and while other tests run nobody listens; what has piled up then takes minutes.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")
    items.sort(key=lambda item: here in item.path.parents)
