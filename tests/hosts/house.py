"""A house that is not JupyterLab: its server, and its page with a panel on it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from browser.panel import TITLES, Which
from browser.server import CHECKOUT, environment
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect


@contextlib.contextmanager
def serving(command: list[str], url: str, folder: Path, **more: str) -> Iterator[None]:
    """Runs a server until the block ends; the block begins when the server answers."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment(folder), **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(process, url, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")


@dataclass
class House:
    """A page of a house.

    Attributes:
        page: it.
        name: of the house, for screenshots.
        url: of its server.
        own: what the house itself complains of, or asks of the network, with any notebook.
    """

    page: Page
    name: str
    url: str
    own: tuple[str, ...] = ()
    heard: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, name: str, url: str, own: tuple[str, ...] = ()) -> House:
        """A page of its own for the house; where it goes is the test's to say."""
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        house = cls(context.new_page(), name, url, own)
        house.page.set_default_timeout(30_000)
        house.page.on("console", house._on_console)
        house.page.on("pageerror", lambda error: house.heard.append(f"uncaught: {error}"))
        house.page.on("request", house._on_request)
        return house

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.heard.append(f"{message.text} ({message.location.get('url', '')})")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https"} and address.netloc != urlsplit(self.url).netloc:
            self.heard.append(f"request to {request.url}")

    def complaints(self) -> list[str]:
        """What was complained of, but for the house's own."""
        return [text for text in self.heard if not any(re.search(known, text) for known in self.own)]

    def close(self) -> None:
        """Close the page and its profile."""
        self.page.context.close()

    def screenshot(self, name: str) -> Image.Image:
        """A picture of the page, kept in test-results/ and returned."""
        folder = CHECKOUT / "test-results" / "hosts"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}-{name}.png"
        self.page.screenshot(path=path)
        with Image.open(path) as picture:
            return picture.convert("RGB")

    # ---- the panel

    @property
    def slider(self) -> Locator:
        """The sparsity's slider."""
        return self.page.get_by_role("slider", name="Sparsity", exact=True)

    def sample(self, place: int) -> Locator:
        """The tile of a sample."""
        return self.page.get_by_role("radiogroup", name="Sample").get_by_role("radio").nth(place)

    def picture(self, which: Which) -> str:
        """What is on a canvas now, as an address of data."""
        found: str = self._canvas(which).evaluate("canvas => canvas.toDataURL()")
        return found

    def await_pictures(self, seconds: float = 180) -> None:
        """Waits until both pictures are done."""
        for which in TITLES:
            expect(self._canvas(which)).to_have_attribute("aria-label", re.compile(": done$"), timeout=seconds * 1000)

    def await_facts(self, text: str, seconds: float = 60) -> None:
        """Waits until this is said of the trace."""
        expect(self.page.get_by_role("region", name="Trace")).to_contain_text(text, timeout=seconds * 1000)

    def _canvas(self, which: Which) -> Locator:
        return self.page.get_by_role("group", name=re.compile(f"^{TITLES[which]}:")).get_by_role("img")


def works(house: House) -> None:
    """The panel is there, comes to its pictures, and a sample, the slider and its keys do what they should."""
    expect(house.page.get_by_role("heading", name="SPADE Explorer")).to_be_visible(timeout=90_000)
    house.await_pictures()
    house.screenshot("first")
    dense, sparse = house.picture("dense"), house.picture("sparse")
    house.sample(3).click()
    expect(house.sample(3)).to_be_checked()
    expect(house.page.get_by_role("row").filter(has_text="fruit")).to_be_visible()
    house.await_facts("both predict fruit")
    house.slider.press("ArrowLeft")
    house.slider.press("ArrowLeft")
    expect(house.slider).to_have_attribute("aria-valuenow", "0.88")
    house.await_facts("12.0 % in")
    house.await_pictures()
    house.screenshot("second")
    assert house.picture("dense") == dense  # it depends on the neuron alone
    assert house.picture("sparse") != sparse
    box = house.page.locator(".sw-root").bounding_box()
    assert box
    assert box["width"] > 600
    assert house.page.locator(".sw-root").evaluate("root => root.scrollWidth <= root.clientWidth")
