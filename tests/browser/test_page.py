"""Pages that are not as most: written from right to left, or strict about where images come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.lab import Lab
from browser.panel import Panel
from playwright.sync_api import Browser, Locator, expect

pytestmark = pytest.mark.slow

STRICT = "img-src 'self' data:"
SMALL = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=8, steps=6)
explorer
"""
_PLACES = """
(element, words) => {
  const text = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) text.push(walker.currentNode);
  return words.map(word => {
    const node = text.find(one => one.data.includes(word));
    const range = document.createRange();
    range.setStart(node, node.data.indexOf(word));
    range.setEnd(node, node.data.indexOf(word) + word.length);
    return range.getBoundingClientRect().left;
  });
}
"""
_BE_STRICT = """
policy => {
  const meta = document.createElement('meta');
  meta.httpEquiv = 'Content-Security-Policy';
  meta.content = policy;
  document.head.append(meta);
}
"""
_BLOB = """
async () => {
  const canvas = new OffscreenCanvas(1, 1);
  canvas.getContext('2d');
  const image = new Image();
  image.src = URL.createObjectURL(await canvas.convertToBlob());
  return image.decode().then(() => 'shown', () => 'refused');
}
"""
_LOADED = "image => image.decode().then(() => image.naturalWidth > 0, () => false)"


def order(line: Locator, *words: str) -> list[str]:
    """Words of a line as they stand on screen, from left to right."""
    places: list[float] = line.evaluate(_PLACES, list(words))
    return [word for _, word in sorted(zip(places, words, strict=True))]


def thumbnails_show(images: Locator) -> None:
    """Each image has been loaded, and there are some."""
    expect(images.first).to_be_attached()
    assert all(image.evaluate(_LOADED) for image in images.all())


def test_lines_keep_their_order_on_a_page_from_right_to_left(panel: Panel) -> None:
    page, root = panel.lab.page, panel.root
    page.evaluate("() => { document.documentElement.dir = 'rtl'; }")
    try:
        listed, total = panel.lab.value("[len(explorer.channels['rows']), explorer.channels['total']]")
        line = root.get_by_text(f"{listed} of {total},")
        assert order(line, f"{listed} ", f"of {total}") == [f"{listed} ", f"of {total}"]
        first, then = (of.bounding_box() for of in (line, root.get_by_role("combobox", name="Order of the channels")))
        assert first
        assert then
        assert first["x"] < then["x"]
        facts = root.locator(".sw-facts")
        assert order(facts, "kept", " weights") == ["kept", " weights"]
        low, high = (root.locator(".sw-mark", has_text=text).first.bounding_box() for text in ("0", "99"))
        knob, track = root.locator(".sw-knob").bounding_box(), root.locator(".sw-track").bounding_box()
        assert low
        assert high
        assert knob
        assert track
        assert low["x"] < high["x"]
        place = (knob["x"] + knob["width"] / 2 - track["x"]) / track["width"]
        shown = float(root.locator(".sw-fill").evaluate("fill => fill.offsetWidth / fill.parentElement.offsetWidth"))
        assert place == pytest.approx(shown, abs=0.01)
        panel.lab.screenshot("right-to-left", root)
    finally:
        page.evaluate("() => { document.documentElement.dir = ''; }")


def test_thumbnails_show_where_images_may_be_data_only(lab: Lab) -> None:
    lab.open(lab.write("strict.ipynb", [SMALL]))
    lab.page.evaluate(_BE_STRICT, STRICT)
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.await_rest()
    thumbnails_show(panel.samples.locator("img"))
    thumbnails_show(panel.channels.locator("img"))
    assert lab.complaints() == []
    assert lab.page.evaluate(_BLOB) == "refused"  # the page is as strict as it is meant to be
    lab.console.clear()


def test_a_lesson_shows_its_thumbnails_there_too(browser: Browser, small_lesson: Path) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    try:
        headers = {"content-type": "text/html", "content-security-policy": STRICT}
        page.route("**/*", lambda route: route.fulfill(body=small_lesson.read_text(), headers=headers))
        page.goto("http://lesson.example/")
        thumbnails_show(page.get_by_role("radiogroup", name="Sample").locator("img"))
        thumbnails_show(page.get_by_role("radiogroup", name="Channels of layer4").locator("img"))
        assert [text for text in complaints if "Content Security Policy" in text] == []
    finally:
        page.close()
