"""The harness itself, on the smallest widget there is: what the panel's tests rely on is seen to work, and to fail."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from browser.lab import Lab, blank, eventually, pixels
from PIL import Image
from playwright.sync_api import expect

COUNTER = '''
import anywidget, traitlets

class Counter(anywidget.AnyWidget):
    _esm = """
    export default {
      render({ model, el }) {
        const button = document.createElement("button");
        const zone = document.createElement("section");
        zone.setAttribute("aria-label", "drop here");
        zone.style.height = "40px";
        const show = () => { button.textContent = `count ${model.get("count")}`; };
        button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
        zone.ondragover = event => event.preventDefault();
        zone.ondrop = async event => {
          event.preventDefault();
          const file = event.dataTransfer.files[0];
          model.set("file", `${file.name} ${(await file.arrayBuffer()).byteLength}`);
          model.save_changes();
        };
        show();
        model.on("change:count", show);
        el.append(button, zone);
        return () => model.off("change:count", show);
      },
    };
    """
    count = traitlets.Int(0).tag(sync=True)
    file = traitlets.Unicode("").tag(sync=True)

counter = Counter()
counter
'''


def test_a_widget_is_drawn_clicked_and_asked(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([COUNTER, "print('second cell')"])
    lab.run_all()
    button = lab.output(0).get_by_role("button", name="count 0")
    button.click()
    expect(lab.output(0).get_by_role("button", name="count 1")).to_be_visible()
    assert lab.value("counter.count") == 1
    expect(lab.output(1)).to_contain_text("second cell")

    lab.run("counter.count = 5")
    expect(lab.output(0).get_by_role("button", name="count 5")).to_be_visible()

    lab.drop(lab.output(0).get_by_role("region", name="drop here"), "a.png", b"\x00\x01\xff", "image/png")
    assert eventually(lambda: lab.value("counter.file"), lab.page) == "a.png 3"

    second = lab.second_view(0)
    second.get_by_role("button", name="count 5").click()
    expect(lab.output(0).get_by_role("button", name="count 6")).to_be_visible()


def test_themes_and_reload(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([COUNTER])
    lab.run_all()
    light = pixels(lab.screenshot("light")).mean()
    lab.theme("JupyterLab Dark")
    dark = pixels(lab.screenshot("dark")).mean()
    assert dark < 0.5 < light

    lab.run("counter.count = 7")
    lab.save()
    lab.reload()
    expect(lab.output(0).get_by_role("button", name="count 7")).to_be_visible()
    lab.theme("JupyterLab Light")


def test_errors_and_outside_requests_are_seen(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk(["1"])
    assert lab.complaints() == []
    lab.page.evaluate("() => { setTimeout(() => { throw new Error('thrown on purpose'); }); }")
    lab.page.evaluate("() => console.error('logged on purpose')")
    lab.page.evaluate("() => fetch('http://127.0.0.1:9/elsewhere').catch(() => null)")
    complaints = eventually(lambda: len(lab.complaints()) >= 3 and lab.complaints(), lab.page, what="three complaints")
    for expected in ("thrown on purpose", "logged on purpose", "127.0.0.1:9/elsewhere"):
        assert any(expected in complaint for complaint in complaints)
    lab.console.clear()
    lab.outside.clear()


def test_a_failing_cell_fails_the_run(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk(["1/0"])
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run_all()


def test_blank_pictures_are_told_from_others() -> None:
    flat = Image.new("RGB", (8, 8), (90, 20, 200))
    file = io.BytesIO()
    flat.save(file, "PNG")
    assert blank(flat)
    assert blank(file.getvalue())
    assert not blank(Image.linear_gradient("L"))
