"""Between the page and the kernel: kernels that go, links that are slow or break, what is sent, users' observers."""

from __future__ import annotations

import json
import re
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser.lab import Lab, eventually
from browser.panel import Panel
from browser.server import Server
from browser.slow import Link, linked
from browser.test_robust import await_frames, await_rendering, begin_cell, out_of_reach, prompt
from playwright.sync_api import expect

#: Steps enough for a picture to be under way for as long as a test looks.
LONG = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=16, steps=8000)
explorer
"""
#: Bytes a second of a link of 1 Mbit/s.
MEGABIT = 1e6 / 8


def open_long(lab: Lab, name: str, *cells: str) -> Panel:
    """A notebook with an Explorer that renders, and its panel."""
    lab.open(lab.write(name, [LONG, *cells]))
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    await_rendering(panel)
    return panel


def own_complaints(lab: Lab) -> None:
    """Leaves out what the Lab says by itself of a kernel or a connection that is gone."""
    lab.console[:] = [text for text in lab.console if "spade" in text.lower() or "uncaught" in text]


# ---- kernels that go


def shut_down(lab: Lab) -> None:
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def change(lab: Lab) -> None:
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.changeKernel({name: 'python3'})")


def delete_kernel(lab: Lab) -> None:
    delete(lab, "kernels", session(lab)["kernel"]["id"])


def delete_session(lab: Lab) -> None:
    delete(lab, "sessions", session(lab)["id"])


def session(lab: Lab) -> Any:
    """What the server says of the notebook's session."""
    with urllib.request.urlopen(lab.server.link("api/sessions")) as answer:
        return next(one for one in json.load(answer) if one["path"] == lab.path)


def delete(lab: Lab, kind: str, name: str) -> None:
    """Deletes something over the server's API, as a culler does."""
    request = urllib.request.Request(lab.server.link(f"api/{kind}/{name}"), method="DELETE")
    urllib.request.urlopen(request).close()


@pytest.mark.parametrize(
    "end",
    [
        shut_down,
        pytest.param(change, marks=pytest.mark.rare),
        pytest.param(delete_kernel, marks=pytest.mark.rare),
        delete_session,
    ],
)
def test_a_kernel_that_goes_is_said_within_ten_seconds(lab: Lab, end: Callable[[Lab], None]) -> None:
    panel = open_long(lab, f"{end.__name__}.ipynb")
    end(lab)
    alert = panel.root.get_by_role("alert").first
    expect(alert).to_have_text(re.compile("The kernel is gone: run the cell again"), timeout=10_000)
    assert "kernel is gone" in panel.root.locator(".sw-chip").inner_text()
    lab.theme("JupyterLab Dark")
    lab.screenshot("gone")
    out_of_reach(panel)
    own_complaints(lab)


@pytest.mark.rare
def test_a_kernel_that_is_busy_for_long_is_not_called_gone(lab: Lab) -> None:
    panel = open_long(lab, "busy.ipynb", "# a cell")
    begin_cell(lab, "import time\ntime.sleep(30)")
    said = panel.root.evaluate(
        """async (root) => {
          const said = new Set();
          for (const end = Date.now() + 20000; Date.now() < end;) {
            said.add(root.querySelector('.sw-errors').textContent);
            await new Promise((resolve) => setTimeout(resolve, 200));
          }
          return [...said];
        }"""
    )
    assert said == [""]
    assert prompt(lab) == "[*]:"
    await_frames(panel, 3)
    lab.command("notebook:interrupt-kernel")


# ---- links


@pytest.fixture
def through(
    new_lab: Callable[[str], Lab], server: Server, request: pytest.FixtureRequest
) -> Iterator[tuple[Lab, Link]]:
    """A page that sees the server through a link, and the link."""
    with linked(server) as (seen, link):
        lab = new_lab(f"link-{request.node.name}".replace("test_", ""))
        lab.server = seen
        yield lab, link
        link.mend()
        link.rate = None
        lab.screenshot("end")
        lab.close()


def test_a_connection_that_breaks_for_a_while_is_said_and_comes_back(through: tuple[Lab, Link]) -> None:
    lab, link = through
    panel = open_long(lab, "broken.ipynb")
    link.cut()
    alert = panel.root.get_by_role("alert").first
    expect(alert).to_have_text(re.compile("lost its connection to the kernel"), timeout=20_000)
    assert "no connection" in panel.root.locator(".sw-chip").inner_text()
    lab.screenshot("lost")
    out_of_reach(panel)
    link.mend()
    expect(alert).to_have_text("", timeout=60_000)
    await_frames(panel, 4)
    expect(panel.stop).to_be_enabled()


NOTING = """
import time
noted = []
def note(change):
    if change["new"]["text"] == "rendering":
        noted.append((time.time(), change["new"]["done"]))
explorer.observe(note, "status")
"""
#: Every half second for so many milliseconds: when, and which step the chip tells.
READING = """
async (chip, duration) => {
  const read = [];
  for (const end = Date.now() + duration; Date.now() < end;) {
    const step = /rendering\\D*(\\d+)\\D+\\d/.exec(chip.textContent);
    if (step) read.push([Date.now() / 1000, Number(step[1])]);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return read;
}
"""
#: Seconds from the click until the page says that it has stopped.
STOPPING = """
async (root) => {
  const began = performance.now();
  root.querySelector('.sw-stop').click();
  while (!root.querySelector('.sw-chip').textContent.includes('stopped')) {
    if (performance.now() - began > 60000) return 60;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return (performance.now() - began) / 1000;
}
"""


@pytest.mark.rare
def test_on_a_link_of_one_megabit_the_page_is_not_left_behind_and_stop_acts_at_once(through: tuple[Lab, Link]) -> None:
    lab, link = through
    panel = open_long(lab, "slow.ipynb")
    panel.await_value("explorer.status['text']", "rendering")  # for good: the trace is there
    lab.run(NOTING)
    link.rate = MEGABIT
    lab.page.wait_for_timeout(5000)  # it finds out
    read = panel.root.locator(".sw-chip").evaluate(READING, 20_000)
    stopping = panel.root.evaluate(STOPPING)
    link.rate = None
    noted = lab.value("noted")
    steps = [step for _, step in noted]
    behind = [at - noted[bisect_left(steps, step)][0] for at, step in read if step <= steps[-1]]
    print(f"behind by {max(behind):.2f} s at most, stopped after {stopping:.2f} s")
    assert len(behind) > 20
    assert max(behind) <= 2
    assert stopping <= 3
    assert steps[-1] > 20


# ---- what is sent


class Weighing:
    """The bytes that a page's WebSockets receive: pictures as they are rendered, stills of the panel, and the rest."""

    def __init__(self, lab: Lab) -> None:
        self.pictures = self.rest = 0
        lab.page.on("websocket", lambda socket: socket.on("framereceived", self._take))

    def _take(self, data: str | bytes) -> None:
        message = data.encode() if isinstance(data, str) else data
        if re.search(rb'"type": ?"frame"|"(dense|sparse)_file"|"(update_)?display_data"', message):
            self.pictures += len(message)
        else:
            self.rest += len(message)


MANY = """
import numpy as np
from PIL import Image
import spade_widgets as sw
from spade_widgets.demo import photos
rng = np.random.default_rng(0)
def colourful(i):
    coarse = Image.fromarray(rng.integers(0, 256, (56, 56, 3), dtype=np.uint8))
    return sw.Sample(coarse.resize((224, 224)), f"sample {i}")
explorer = sw.Explorer(photos.classifier(), samples=[colourful(i) for i in range(300)], sparsity=0.5, solver="fast",
                       augmentations=8, steps=8)
explorer
"""


def test_a_sample_more_and_a_click_send_little(lab: Lab) -> None:
    weighing = Weighing(lab)
    lab.open(lab.write("many.ipynb", [MANY]))
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    expect(panel.samples.get_by_role("radio")).to_have_count(300)
    expect(panel.samples.get_by_role("radio").nth(299).locator("img")).to_have_count(1)
    panel.await_rest()
    lab.page.wait_for_timeout(1000)  # what is still on its way
    assert weighing.rest > 300_000  # it weighs
    assert weighing.pictures > 10_000

    before = weighing.rest
    lab.run("added = explorer._add(colourful(1000))")
    expect(panel.samples.get_by_role("radio")).to_have_count(301)
    expect(panel.samples.get_by_role("radio").nth(300).locator("img")).to_have_count(1)
    added = weighing.rest - before

    before = weighing.rest
    panel.choose_sample(5)
    eventually(lambda: lab.value("explorer.channels['sample_id'] == explorer.sample_id"), lab.page, what="the channels")
    panel.await_rest()
    lab.page.wait_for_timeout(1000)
    clicked = weighing.rest - before
    print(f"one more: {added} bytes; a click: {clicked} bytes")
    assert 0 < added <= 100_000
    assert 0 < clicked <= 200_000  # its maps, and the crops of nine examples: another sample, another class


# ---- users' observers


def test_a_users_observer_that_raises_is_read_in_its_cell_and_the_panel_goes_on(
    desk: Callable[[list[str]], Lab],
) -> None:
    observing = """
def failing(change):
    raise ValueError("my own bug")
explorer.observe(failing, ["predictions", "sparse"])
"""
    lab = desk([LONG.replace("8000", "12"), observing, "# another"])
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.choose_sample(3)
    panel.await_pictures()
    assert panel.alert() == ""
    assert lab.value("explorer.status['state']") == "idle"
    shown = lab.output(1)
    expect(shown).to_contain_text("An observer of 'predictions' failed; the panel goes on.")
    expect(shown).to_contain_text("ValueError: my own bug")
    lab.screenshot("observer", shown)
