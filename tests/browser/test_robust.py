"""Kernels that are busy, interrupted, restarted or dead; panels that nobody sees: nothing freezes, nothing lies."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from browser.lab import Lab, eventually, same
from browser.panel import Panel
from playwright.sync_api import expect

#: Steps enough for a picture to be under way for as long as a test looks.
LONG = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=16, steps=4000)
explorer
"""


@pytest.fixture(scope="module")
def shared(new_lab: Callable[[str], Lab]) -> Iterator[Lab]:
    """A notebook for the tests of this file: an Explorer that renders for long, and cells for other work."""
    lab = new_lab("robust")
    lab.open(lab.write("robust.ipynb", [LONG, "# the tests' own", *["# far below"] * 60]))
    lab.run_all()
    yield lab
    lab.close()


@pytest.fixture
def panel(shared: Lab) -> Iterator[Panel]:
    """The Explorer, on screen, at a picture that has just begun."""
    panel = Panel(shared, shared.output(0))
    panel.await_shown()
    panel.root.scroll_into_view_if_needed()
    at = shared.value("sum(map(ord, explorer.neuron))")
    shared.run(f"explorer.neuron = 'layer3.0.conv1:{at % 61}'; explorer.resume()")
    await_rendering(panel)
    yield panel
    assert shared.complaints() == []


def await_rendering(panel: Panel) -> None:
    """Waits until both pictures are being rendered."""
    state = "[explorer.dense['state'], explorer.sparse['state']]"
    eventually(
        lambda: panel.lab.value(state) == ["rendering"] * 2, panel.lab.page, seconds=120, what="both pictures under way"
    )


def await_frames(panel: Panel, count: int, seconds: float = 60) -> None:
    """Waits until the dense canvas has shown this many pictures one after the other."""
    shown: int = panel.canvas("dense").evaluate(
        """async (canvas, [count, time]) => {
          const seen = new Set(), end = performance.now() + time;
          while (seen.size < count && performance.now() < end) {
            seen.add(canvas.toDataURL());
            await new Promise(resolve => setTimeout(resolve, 50));
          }
          return seen.size;
        }""",
        [count, seconds * 1000],
    )
    assert shown >= count, f"{shown} of {count} frames in {seconds:g} s"


def steps(panel: Panel) -> int:
    """Steps that both pictures have taken, whatever the page was told of them."""
    count: int = panel.lab.value(
        "sum(p.steps_done for p in begun(explorer.session, explorer._selection()).values() if p)"
    )
    return count


def begin_cell(lab: Lab, code: str) -> None:
    """Starts the second cell with this code and does not wait for it."""
    lab.page.evaluate(
        """code => {
          const notebook = window.jupyterapp.shell.currentWidget.content;
          notebook.activeCellIndex = 1;
          notebook.activeCell.model.sharedModel.setSource(code);
          window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        code,
    )
    eventually(lambda: prompt(lab) == "[*]:", lab.page, what="the cell running")


def prompt(lab: Lab) -> str:
    """What stands beside the second cell: `[*]:` while it runs."""
    cell = lab.page.get_by_role("main").locator(".jp-Cell").nth(1)
    return cell.locator(".jp-InputPrompt").first.inner_text().strip()


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import time\nfor _ in range(600): time.sleep(0.1)", id="sleeping", marks=pytest.mark.rare),
        pytest.param("import time\nend = time.time() + 60\nwhile time.time() < end: pass", id="busy"),
    ],
)
def test_a_running_cell_does_not_freeze_the_pictures(panel: Panel, code: str) -> None:
    begin_cell(panel.lab, code)
    panel.lab.page.wait_for_timeout(1000)
    await_frames(panel, 12, 50)  # more than were under way
    assert prompt(panel.lab) == "[*]:"
    assert panel.alert() == ""  # busy is not gone
    panel.lab.command("notebook:interrupt-kernel")
    eventually(lambda: prompt(panel.lab) != "[*]:", panel.lab.page, what="the cell's end")


def test_an_interrupt_leaves_the_panel_at_work(panel: Panel) -> None:
    panel.lab.command("notebook:interrupt-kernel")
    panel.lab.page.wait_for_timeout(500)
    await_frames(panel, 4)
    # A cell that waits for the panel is what one interrupts. It is starred before it begins, so it says when it has.
    begin_cell(panel.lab, "print('begun')\nexplorer.wait()")
    expect(panel.lab.output(1)).to_contain_text("begun")
    panel.lab.command("notebook:interrupt-kernel")
    eventually(lambda: prompt(panel.lab) != "[*]:", panel.lab.page, what="the cell interrupted")
    assert "KeyboardInterrupt" in panel.lab.output(1).inner_text()
    assert panel.lab.value("explorer.status['state']") == "working"
    await_frames(panel, 4)
    panel.stop.click()
    panel.await_value("explorer.status['state']", "stopped")
    assert panel.lab.value("explorer.error") == ""


def test_what_is_scrolled_away_does_no_work_and_goes_on_when_it_is_back(panel: Panel) -> None:
    lab = panel.lab
    lab.run("from spade_widgets.runtime.explore import begun")
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.scrollToItem(60, 'start')")
    eventually(lambda: not lab.value("explorer.views.seen"), lab.page, what="nobody seeing it")
    lab.page.wait_for_timeout(1000)
    before, picture = steps(panel), panel.picture("dense")
    lab.page.wait_for_timeout(1500)
    assert steps(panel) == before
    assert not lab.value("explorer.wait(0)")

    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.scrollToItem(0, 'start')")
    eventually(lambda: lab.value("explorer.views.seen"), lab.page, what="somebody seeing it")
    eventually(lambda: steps(panel) > before + 4, lab.page, what="steps")
    eventually(lambda: not same(panel.picture("dense"), picture), lab.page, what="another frame")

    lab.run("explorer.wait(0.5)")  # seen or not, who waits is served


def test_a_hidden_tab_does_no_work(panel: Panel) -> None:
    lab = panel.lab
    lab.run("from spade_widgets.runtime.explore import begun")
    lab.command("launcher:create")
    eventually(lambda: not lab.value("explorer.views.seen"), lab.page, what="nobody seeing it")
    lab.page.wait_for_timeout(1000)
    before = steps(panel)
    lab.page.wait_for_timeout(1500)
    assert steps(panel) == before
    lab.command("application:close")
    lab.await_notebook()
    eventually(lambda: steps(panel) > before + 4, lab.page, what="steps")


def test_a_view_is_neither_forgotten_nor_missed(panel: Panel) -> None:
    """Of two views one goes; the page is reloaded in the middle of a picture; the notebook is closed and opened."""
    lab = panel.lab
    second = lab.second_view(0)
    Panel(lab, second).await_shown()
    eventually(lambda: lab.value("len(explorer.views._until)") >= 1, lab.page, what="views")
    lab.close_view()
    eventually(lambda: lab.value("explorer.views.seen"), lab.page, what="the first one seen")
    await_frames(panel, 4)

    lab.save()
    lab.reload()
    panel.await_shown()
    # The old page's may not have come to say that it goes: it is none once it has not answered.
    there = "sum(explorer.views.clock() < until for until in explorer.views._until.values())"
    eventually(lambda: lab.value(there) == 1, lab.page, what="one view")
    panel.lab.page.wait_for_timeout(500)
    await_frames(panel, 4)

    lab.save()
    lab.command("application:close")
    discard = lab.page.get_by_role("dialog").get_by_role("button", name=re.compile("Discard"))

    def closed() -> bool:
        if discard.count():  # the panel, still at work, has changed its output since it was saved
            discard.click()
        return lab.page.get_by_role("main").locator(".jp-Cell").count() == 0

    eventually(closed, lab.page, what="it closed")
    lab.open(lab.path)
    panel.await_shown()
    panel.root.scroll_into_view_if_needed()
    eventually(lambda: lab.value("explorer.views.seen"), lab.page, what="the reopened notebook's view seen")
    await_frames(panel, 4)


@pytest.mark.parametrize("how", [pytest.param("restarted", marks=pytest.mark.rare), "killed"])
def test_a_panel_whose_kernel_is_gone_says_so_and_works_again_after_its_cell(lab: Lab, how: str) -> None:
    lab.open(lab.write(f"{how}.ipynb", [LONG]))
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    await_rendering(panel)
    if how == "killed":
        os.kill(lab.value("__import__('os').getpid()"), signal.SIGKILL)
    else:
        lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    eventually(lambda: "kernel is gone" in panel.alert().lower(), lab.page, what="a sentence")
    lab.await_notebook()
    if how == "killed":
        lab.page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        lab.theme(theme)
        lab.screenshot(f"gone-{theme}")
    assert panel.picture("dense")
    out_of_reach(panel)
    panel.root.get_by_role("button", name="Zoom in").click()  # looking goes on
    expect(panel.root.get_by_role("button", name="Zoom 1.5 times; show the whole picture")).to_be_visible()

    lab.run_all()
    panel.await_shown()
    await_rendering(panel)
    assert panel.alert() == ""
    await_frames(panel, 4)
    lab.run("explorer.close()")
    if how == "killed":  # the Lab's own messages about a connection that broke
        lab.console[:] = [text for text in lab.console if "spade" in text.lower() or "uncaught" in text]


def test_a_reopened_notebook_without_its_kernel_says_at_once_that_it_is_a_saved_picture(lab: Lab) -> None:
    lab.open(lab.write("widgets-saved.ipynb", [LONG.replace("4000", "12")]))
    lab.keep_widgets()
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.await_pictures()
    pictures = {which: panel.picture(which) for which in ("dense", "sparse")}
    lab.save()
    saved = json.loads((lab.server.root / "widgets-saved.ipynb").read_text())
    assert "widgets" in saved["metadata"]
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    lab.page.reload()
    panel.await_shown()
    expect(panel.root.get_by_title("saved picture")).to_be_visible()
    assert panel.alert() == ""  # it is no error
    for which, picture in pictures.items():
        eventually(lambda which=which, picture=picture: same(panel.picture(which), picture), lab.page, what=which)
    out_of_reach(panel)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        lab.theme(theme)
        lab.screenshot(f"saved-{theme}")


def out_of_reach(panel: Panel) -> None:
    """Nothing that asks Python for something can be used; what is said and drawn is there."""
    expect(panel.root.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    for control in (panel.slider, panel.samples, panel.layer):
        assert control.evaluate("element => element.closest('[inert]') !== null")
    expect(panel.table("dense").get_by_role("button")).to_have_count(0)
    expect(panel.table("dense").get_by_role("rowheader")).not_to_have_count(0)
