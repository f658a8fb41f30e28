"""A lesson opened from disk, in a browser without network or kernel: all that was recorded is there, and works."""

from __future__ import annotations

import base64
import io
import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.lab import eventually, pixels, same
from browser.server import CHECKOUT
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.pruning.progress import finish
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning

pytestmark = pytest.mark.slow

NASTY = "</script><img src=x onerror=alert(1)>"
NEURONS = ["logit:pet", "layer4:5", "layer4:9"]
SPARSITIES = [0.5, 0.9, 0.95]


@pytest.fixture(scope="module")
def author() -> Iterator[sw.Explorer]:
    samples = [emoji.samples()[0], sw.Sample(emoji.samples()[3].image, NASTY)]
    panel = sw.Explorer("emoji", samples=samples, solver="fast", augmentations=8, steps=6, neuron="layer4:5")
    yield panel
    panel.close()


@pytest.fixture(scope="module")
def lesson(author: sw.Explorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lesson") / "lesson.html"
    return author.export_html(path, neurons=NEURONS, sparsities=SPARSITIES, title=f"Pets {NASTY}")


class Opened:
    """A lesson on a page that reaches nothing but the file, and keeps what it complains of."""

    def __init__(self, browser: Browser, lesson: Path, name: str, width: int = 1400, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
        self.context.set_offline(True)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self._lesson, self._name = lesson.as_uri(), name
        self.page.goto(self._lesson)
        expect(self.page.get_by_role("heading", name="Pets")).to_be_visible()

    def _requested(self, url: str) -> None:
        if url != self._lesson and not url.startswith("blob:"):
            self.complaints.append(f"request to {url}")

    def screenshot(self, name: str = "") -> Image.Image:
        folder = CHECKOUT / "test-results" / "lesson"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name or self._name}.png"
        self.page.screenshot(path=path, full_page=True)
        with Image.open(path) as shot:
            return shot.convert("RGB")

    @property
    def slider(self) -> Locator:
        return self.page.get_by_role("slider", name="Sparsity", exact=True)

    def sample(self, number: int) -> Locator:
        return self.page.get_by_role("radiogroup", name="Sample").get_by_role("radio").nth(number)

    def neuron(self, name: str) -> Locator:
        return self.page.get_by_role("radio", name=re.compile(f"^{re.escape(name)}"))

    def drawn(self, which: str) -> Image.Image:
        """What is on a canvas now."""
        canvas = self.page.locator(f".sw-{which} canvas")
        url: str = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
        return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))

    def await_picture(self, which: str, expected: Image.Image, what: str) -> None:
        eventually(lambda: same(self.drawn(which), expected), self.page, 10, f"the {which} picture of {what}")


@pytest.fixture
def opened(browser: Browser, lesson: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    one = Opened(browser, lesson, request.node.name.removeprefix("test_"))
    yield one
    one.screenshot()
    assert one.complaints == []
    one.context.close()


NAMES = {"logit:pet": "class pet", "layer4:5": "layer4, channel 5", "layer4:9": "layer4, channel 9"}


def test_every_sample_neuron_and_sparsity_shows_pythons_picture(author: sw.Explorer, opened: Opened) -> None:
    session: Session = author.session
    seen = set()
    for (number, sample), neuron in itertools.product(enumerate(session.samples), NEURONS):
        opened.sample(number).click()
        opened.neuron(NAMES[neuron]).click()
        expect(opened.neuron(NAMES[neuron])).to_be_checked()
        dense = sw.visualize(session.classifier, neuron, steps=6)
        opened.await_picture("dense", dense, neuron)
        opened.slider.press("Home")
        for place, sparsity in enumerate(SPARSITIES):
            if place:
                opened.slider.press("ArrowRight")
            expect(opened.slider).to_have_attribute("aria-valuenow", str(sparsity))
            trace = finish(session.trace(sample, Pruning(sparsity, author.preset, "", author.solver)))
            expected = sw.visualize(trace, neuron, steps=6)
            opened.await_picture("sparse", expected, f"{neuron}, {sample.title}, {sparsity}")
            seen.add(expected.tobytes())
            facts = opened.page.get_by_role("region", name="Trace")
            expect(facts).to_contain_text(f"{trace.kept:,}".replace(",", "\u202f"))
            for row in sw.predict(trace, sample, top=2):
                line = opened.page.get_by_role("row").filter(has=opened.page.get_by_text(row.name, exact=True))
                expect(line.get_by_role("cell").nth(1)).to_have_text(f"{100 * row.probability:.1f}")
    assert len(seen) == len(session.samples) * len(NEURONS) * len(SPARSITIES)  # a wrong one would be seen


def test_it_begins_as_the_panel_was(opened: Opened) -> None:
    expect(opened.sample(0)).to_be_checked()
    expect(opened.neuron("layer4, channel 5")).to_be_checked()
    expect(opened.slider).to_have_attribute("aria-valuenow", "0.9")
    expect(opened.page.get_by_role("heading", name=f"Pets {NASTY}", exact=True)).to_be_visible()
    assert opened.page.title() == f"Pets {NASTY}"


def test_nothing_is_offered_that_needs_a_kernel(opened: Opened) -> None:
    said = opened.page.locator("body").inner_text()
    assert "kernel" not in said
    names = [button.get_attribute("aria-label") or button.inner_text() for button in all_buttons(opened)]
    assert sorted(names) == sorted(
        [
            "Fill the screen",
            "pet",  # a class in the predictions, which is among the neurons
            "Zoom out",
            "Zoom 1.0 times; show the whole picture",
            "Zoom in",
            "Side by side",
            "Swipe",
            "Save the dense model's picture as PNG",
            "Save the trace's picture as PNG",
        ]
    )
    assert opened.page.get_by_role("combobox").count() == 0
    opened.page.get_by_role("button", name="pet", exact=True).click()
    expect(opened.neuron("class pet")).to_be_checked()


def all_buttons(opened: Opened) -> list[Locator]:
    found: list[Locator] = opened.page.get_by_role("button").all()
    return found


def test_the_slider_rests_on_what_was_computed(opened: Opened) -> None:
    box = opened.slider.bounding_box()
    assert box
    opened.page.mouse.move(box["x"] + 12, box["y"] + 16)
    opened.page.mouse.down()
    seen = set()
    for step in range(30):
        opened.page.mouse.move(box["x"] + 12 + (box["width"] - 24) * step / 29, box["y"] + 16)
        seen.add(opened.slider.get_attribute("aria-valuenow"))
    opened.page.mouse.up()
    assert seen == {"0.5", "0.9", "0.95"}
    field = opened.page.get_by_role("textbox", name="Sparsity")
    field.fill("60")
    field.press("Enter")
    expect(opened.slider).to_have_attribute("aria-valuenow", "0.5")
    expect(opened.page.get_by_text("60.0 % is not in this lesson: 50.0 % is the nearest.")).to_be_visible()
    field.fill("95")
    field.press("Enter")
    expect(opened.slider).to_have_attribute("aria-valuenow", "0.95")
    expect(opened.page.get_by_text("is not in this lesson")).to_be_hidden()


def test_keys_reach_everything(opened: Opened) -> None:
    opened.sample(0).focus()
    opened.page.keyboard.press("ArrowRight")
    expect(opened.sample(1)).to_be_checked()
    expect(opened.page.get_by_text(NASTY).first).to_be_visible()
    opened.neuron("layer4, channel 5").focus()
    opened.page.keyboard.press("ArrowRight")
    expect(opened.neuron("layer4, channel 9")).to_be_checked()
    opened.page.locator("summary").focus()
    opened.page.keyboard.press("Enter")
    expect(opened.page.get_by_role("rowheader", name="fc")).to_be_visible()


def test_a_picture_can_be_saved_zoomed_and_swiped(author: sw.Explorer, opened: Opened, tmp_path: Path) -> None:
    dense = sw.visualize(author.session.classifier, "layer4:5", steps=6)
    opened.await_picture("dense", dense, "layer4:5")
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save the dense").click()
    saved = shutil.copy(download.value.path(), tmp_path / download.value.suggested_filename)
    with Image.open(saved) as picture:
        assert picture.format == "PNG"
        assert same(picture, dense)
    frame = opened.page.locator(".sw-dense .sw-frame")
    before = frame.locator("canvas").bounding_box()
    frame.press("+")
    after = frame.locator("canvas").bounding_box()
    assert before
    assert after
    assert after["width"] > before["width"]
    frame.press("0")
    opened.page.get_by_role("button", name="Swipe").click()
    divider = opened.page.get_by_role("slider", name=re.compile("^Swipe"))
    divider.press("End")
    all_dense = pixels(frame.screenshot())
    divider.press("Home")
    assert abs(all_dense - pixels(frame.screenshot())).mean() > 0.01


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 700, 420])
def test_it_fits_and_follows_the_colour_scheme(browser: Browser, lesson: Path, width: int, scheme: str) -> None:
    opened = Opened(browser, lesson, f"{scheme}-{width}", width, scheme)
    opened.page.get_by_text("What is left").click()
    shot = pixels(opened.screenshot())
    corner = shot[-3, -3].mean()
    assert corner > 0.95 if scheme == "light" else corner < 0.1
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    other = pixels(opened.screenshot("changed"))[-3, -3].mean()
    assert (other > 0.5) != (corner > 0.5)
    assert opened.complaints == []
    opened.context.close()
