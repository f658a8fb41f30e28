"""The strip of examples on a page: the neuron in the user's own photographs, and what the trace keeps of it there."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from browser.lab import blank, eventually
from browser.panel import Panel
from PIL import Image
from playwright.sync_api import Locator, expect

SAID = re.compile(r"(?P<title>.+) · activation (?P<value>[−\d.]+)(?: · the trace keeps (?P<kept>[−\d]+) %)?")
THERE = "explorer.wait(1) and not explorer._strip.ending()"
#: Sixteen of the samples as files, and one that is torn.
PHOTOS = """
import pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp())
for i, sample in enumerate(explorer.session.samples[:16]):
    sample.image.rotate(180).save(folder / f"photo {i:02}.png")
(folder / "torn.png").write_bytes((folder / "photo 00.png").read_bytes()[:200])
"""


@dataclass(frozen=True)
class Tile:
    """One example as it is read."""

    title: str
    value: float
    kept: int | None


class Strip:
    """The strip of one panel."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.root = panel.root.get_by_role("region", name="In your photographs")
        self.row = self.root.get_by_role("group", name="Examples", exact=True)
        self.tiles = self.row.get_by_role("button", name=re.compile("activation"))
        self.fold = self.root.get_by_role("button", name="In your photographs")
        self.status = self.root.locator(".sw-strip-head > .sw-line")

    def await_there(self) -> None:
        """Waits until Python has nothing left to do for it, and until the page shows what it has."""
        eventually(lambda: self.panel.lab.value(THERE), self.panel.lab.page, 180, "the strip")
        eventually(lambda: [t.title for t in self.read()] == self.titles(), self.panel.lab.page, what="the same tiles")
        expect(self.row).to_have_attribute("data-stale", "false")
        expect(self.row).to_have_attribute("aria-busy", "false")

    def titles(self) -> list[str]:
        """Python's."""
        return list(self.panel.lab.value("[row['title'] for row in explorer.state()['examples']]"))

    def read(self) -> list[Tile]:
        """What the tiles say."""
        said = []
        for label in self.tiles.evaluate_all("tiles => tiles.map(tile => tile.getAttribute('aria-label'))"):
            match = SAID.fullmatch(label)
            assert match, label
            kept = match["kept"] and int(match["kept"].replace("−", "-"))
            said.append(Tile(match["title"], float(match["value"].replace("−", "-")), kept or None))
        return said

    def images(self) -> list[Image.Image]:
        """The crops, as the page decodes them."""
        urls = self.tiles.evaluate_all("tiles => tiles.map(tile => tile.querySelector('img')?.src ?? '')")
        return [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]

    def bars(self, which: str) -> list[int]:
        """How long the bars of a colour are, in pixels."""
        found: list[int] = self.tiles.evaluate_all(
            f"tiles => tiles.map(tile => Math.round(tile.querySelector('.sw-bar.sw-{which} > span')"
            "?.getBoundingClientRect().width ?? -1))"
        )
        return found

    def order(self, name: str) -> Locator:
        return self.root.get_by_role("group", name="Order of the examples").get_by_role("button", name=name)


@pytest.fixture
def strip(panel: Panel) -> Iterator[Strip]:
    """The shared Explorer's strip, of its own samples."""
    found = Strip(panel)
    found.await_there()
    yield found
    panel.lab.run(
        "explorer.photos = None; explorer.strip = True; explorer.strip_count = 9;"
        "explorer.strip_order = explorer.channel_order = 'activation'"
    )


def test_nine_examples_with_what_the_trace_keeps_sorted_by_either(strip: Strip) -> None:
    lab = strip.panel.lab
    expect(strip.tiles).to_have_count(9)
    images, shown = strip.images(), strip.read()
    assert not any(blank(image) for image in images)
    assert len({image.tobytes() for image in images}) == 9
    values = [tile.value for tile in shown]
    assert values == sorted(values, reverse=True)
    told = lab.value("[(e.title, e.value) for e in explorer.examples]")
    assert [(tile.title, tile.value) for tile in shown] == [(t, pytest.approx(v, abs=0.006)) for t, v in told]
    kept = lab.value("[round(100 * row['kept']) for row in explorer.state()['examples']]")
    assert [tile.kept or 0 for tile in shown] == kept
    assert kept[0] > 50  # the sample itself, or one that is taken for the same
    dense, sparse = strip.bars("dense"), strip.bars("sparse")
    full = max(dense)
    for tile, width, left in zip(shown, dense, sparse, strict=True):
        assert width == pytest.approx(full * max(0, tile.value) / shown[0].value, abs=2)
        assert left == pytest.approx(full * min(max(0, tile.value * (tile.kept or 0) / 100 / values[0]), 1), abs=2)
    expect(strip.status).to_have_text(re.compile("^the best of the panel's 2\\d samples$"))
    strip.order("kept").click()
    eventually(
        lambda: [tile.kept or 0 for tile in strip.read()] == sorted(kept, reverse=True), lab.page, what="the order"
    )
    assert strip.titles() == [tile.title for tile in strip.read()]
    strip.order("activation").click()
    strip.root.get_by_role("button", name="9 more").click()
    expect(strip.tiles).to_have_count(18)


def test_a_click_or_enter_makes_an_example_the_sample(strip: Strip) -> None:
    panel = strip.panel
    titles = strip.titles()
    strip.tiles.nth(1).click()
    panel.await_value("explorer.sample.title", titles[1])
    strip.await_there()
    pressed = strip.tiles.filter(has_text=re.compile("")).evaluate_all(
        "tiles => tiles.filter(tile => tile.ariaPressed === 'true').map(tile => tile.title.split(' · ')[0])"
    )
    assert pressed == [titles[1]]
    at = strip.titles().index(titles[1])
    strip.tiles.nth(at).focus()
    strip.panel.lab.page.keyboard.press("ArrowRight")
    following = strip.titles()[at + 1]
    expect(strip.tiles.nth(at + 1)).to_be_focused()
    assert panel.lab.value("explorer.sample.title") == titles[1]
    strip.panel.lab.page.keyboard.press("Enter")
    panel.await_value("explorer.sample.title", following)


def test_the_bars_of_what_is_kept_follow_the_trace(strip: Strip) -> None:
    before, dense = strip.bars("sparse"), strip.bars("dense")
    strip.panel.type_sparsity("99")
    strip.await_there()
    after = strip.bars("sparse")
    assert strip.bars("dense") == dense
    assert sum(after) < sum(before)
    strip.panel.type_sparsity("0")
    strip.await_there()
    assert strip.bars("sparse") == dense


def test_a_folder_is_looked_through_and_says_how_exceptional_the_sample_is(strip: Strip) -> None:
    panel, lab = strip.panel, strip.panel.lab
    lab.run(PHOTOS)
    lab.run("explorer.photos = folder")
    strip.await_there()
    expect(strip.status).to_have_text("the best of 16 photographs")
    strip.root.get_by_role("button", name="1 left out").click()
    expect(strip.root.get_by_role("listitem")).to_have_text(re.compile("^'torn.png' is"))
    lab.page.keyboard.press("Escape")
    share = lab.value("explorer.state()['percentile']")
    said = "more than all 16" if share >= 100 else f"more than {share:.0f} % of 16"
    expect(panel.root.get_by_text(re.compile("^This sample excites it"))).to_contain_text(f"{said} photographs")

    panel.root.get_by_role("combobox", name="Order of the channels").select_option("exceptional first")
    panel.await_value("explorer.channels['order']", "percentile")
    expect(panel.channels).to_have_attribute("aria-busy", "false")
    panel.await_value(
        "[c for c, _ in explorer.channel_shares['rows']] == [r['channel'] for r in explorer.channels['rows']]", True
    )
    rows = lab.value("[tuple(row) for row in explorer.channel_shares['rows']]")
    shares = [share for _, share in rows]
    assert shares == sorted(shares, reverse=True)
    expect(panel.channels.get_by_role("radio").last).to_have_attribute("aria-label", re.compile("photographs"))
    labels = panel.channels.get_by_role("radio").evaluate_all("tiles => tiles.map(tile => tile.ariaLabel)")
    assert [int(re.findall(r"\d+", label)[0]) for label in labels] == [channel for channel, _ in rows]
    assert all("of the photographs" in label or "all the photographs" in label for label in labels)

    title = strip.titles()[0]
    assert title.startswith("photo ")
    strip.tiles.first.click()
    panel.await_value("explorer.sample.title", title)
    assert f"photos = {lab.value('str(folder)')!r}" in lab.value("explorer.code")
    lab.save()  # else the output is not in the notebook that the page loads
    lab.reload()
    panel.await_shown()
    strip.await_there()
    assert len(strip.images()) == 9
    expect(strip.tiles.nth(strip.titles().index(title))).to_have_attribute("aria-pressed", "true")


def test_folded_it_computes_nothing_and_stays_folded(strip: Strip) -> None:
    panel, lab = strip.panel, strip.panel.lab
    strip.fold.click()
    expect(strip.row).to_be_hidden()
    panel.await_value("explorer.strip", value=False)
    before = lab.value("explorer.strip_examples['neuron']")
    panel.choose_channel(2)
    panel.await_rest()
    assert lab.value("explorer.strip_examples['neuron']") == before
    assert "examples" not in lab.value("explorer.code")
    lab.save()  # else the output is not in the notebook that the page loads
    lab.reload()
    panel.await_shown()
    expect(strip.row).to_be_hidden()
    expect(strip.fold).to_have_attribute("aria-expanded", "false")
    strip.fold.click()
    strip.await_there()
    assert lab.value("explorer.strip_examples['neuron'] == explorer.neuron")


def test_files_dropped_on_the_strip_come_to_the_photographs(strip: Strip) -> None:
    lab = strip.panel.lab
    samples = lab.value("len(explorer.samples)")
    for i in range(2):
        data = bytes.fromhex(
            lab.run(
                "import io; out = io.BytesIO();"
                f"explorer.session.samples[{i}].image.rotate(90).save(out, 'PNG'); print(out.getvalue().hex())"
            )
        )
        lab.drop(strip.row, f"dropped {i}.png", data, "image/png")
        strip.panel.await_value("len(explorer.photos) * (not explorer.gallery.own)", i + 1)
    eventually(lambda: strip.titles() and len(strip.read()) == 2, lab.page, what="two tiles")
    assert sorted(tile.title for tile in strip.read()) == ["dropped 0", "dropped 1"]
    assert lab.value("len(explorer.samples)") == samples
