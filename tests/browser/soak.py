"""Someone at random at the Explorer: every control, in any order, faster than it computes; the same for one seed."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from browser.lab import Lab, eventually
from browser.panel import TITLES, Panel
from playwright.sync_api import CDPSession, Locator

MEASURE = """
import gc, psutil, sys
def measured():
    gc.collect()
    store = explorer.session.store._items
    return {
        "kernel": round(psutil.Process().memory_info().rss / 2**20),
        "store": round(store.currsize / 2**20),
        "blocks": sys.getallocatedblocks(),  # no `gc.get_objects`: another thread's `tuple(…)` fails while it holds it
    }
"""


@dataclass(frozen=True)
class Memory:
    """MiB of the kernel's process, of it what the store accounts for, and of the page's heap; numbers of things."""

    kernel: int
    store: int
    blocks: int
    heap: float
    nodes: int
    listeners: int


class Meter:
    """Measures the memory of kernel and page, garbage collected first."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._page: CDPSession = lab.page.context.new_cdp_session(lab.page)
        self._page.send("Performance.enable")
        lab.run(MEASURE)

    def read(self) -> Memory:
        """The memory in use now."""
        for _ in range(3):
            self._page.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in self._page.send("Performance.getMetrics")["metrics"]}
        page = {
            "heap": round(found["JSHeapUsedSize"] / 2**20, 1),
            "nodes": int(found["Nodes"]),
            "listeners": int(found["JSEventListeners"]),
        }
        return Memory(**self._lab.value("measured()"), **page)


@dataclass
class Hand:
    """A hand that does something at random. `done` says what, newest last.

    Attributes:
        bad: whether something was typed that the panel has to refuse.
    """

    panel: Panel
    seed: int
    done: list[str] = field(default_factory=list)
    bad: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._acts: list[tuple[Callable[[], object], int]] = [
            (self.sample, 8),
            (self.drag, 10),
            (self.key, 4),
            (self.type_sparsity, 3),
            (self.tile, 6),
            (self.type_channel, 3),
            (self.layer, 4),
            (self.preset, 3),
            (self.solver, 1),
            (self.class_, 2),
            (self.stop_or_resume, 6),
            (self.centre, 3),
            (self.compare, 2),
            (self.zoom, 3),
            (self.chart, 1),
            (self.scroll, 2),
            (self.theme, 1),
            (self.nonsense, 1),
            (self.interrupt, 1),
            (self.second_view, 1),
            (self.reload, 1),
        ]

    def act(self) -> None:
        """Does one thing, and says in `done` which."""
        (choice,) = self._random.choices([act for act, _ in self._acts], [weight for _, weight in self._acts])
        self.done.append(choice.__name__)
        choice()
        if self._random.random() < 0.3:  # else at once
            self._page.wait_for_timeout(self._random.choice([50, 200, 1000]))

    # ---- what it does

    def sample(self) -> None:
        self._one_of(self.panel.samples.get_by_role("radio")).click()

    def drag(self) -> None:
        self.panel.slider.scroll_into_view_if_needed()  # a mouse goes where it is told to, whatever lies there
        box = self.panel.slider.bounding_box()
        assert box
        mouse, middle = self._page.mouse, box["y"] + box["height"] / 3
        mouse.move(box["x"] + box["width"] * self._random.random(), middle)
        mouse.down()
        for _ in range(self._random.randint(1, 40)):
            mouse.move(box["x"] + box["width"] * self._random.random(), middle)
            self._page.wait_for_timeout(self._random.choice([0, 0, 16, 60]))
        mouse.up()

    def key(self) -> None:
        self.panel.slider.press(self._random.choice(["ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home"]))

    def type_sparsity(self) -> None:
        self.panel.sparsity.fill(str(self._random.randint(0, 990) / 10))
        self.panel.sparsity.press("Enter")

    def tile(self) -> None:
        # In one go: the list may be replaced by another layer's, which has fewer.
        self.panel.channels.evaluate(
            "(list, share) => { const tiles = list.querySelectorAll('[role=radio]');"
            " tiles[Math.floor(share * tiles.length)]?.click(); }",
            self._random.random(),
        )

    def type_channel(self) -> None:
        self.panel.channel.fill(str(self._random.randrange(16)))  # every layer has as many
        self.panel.channel.press("Enter")

    def layer(self) -> None:
        self._option(self.panel.layer)

    def preset(self) -> None:
        box = self.panel.root.get_by_role("combobox", name="layers", exact=True)
        names = [name for name in box.locator("option").all_inner_texts() if "pattern" not in name]
        box.select_option(self._random.choice(names))

    def solver(self) -> None:
        self.panel.root.get_by_role("combobox", name="solver").select_option(self._random.choice(["fast", "auto"]))

    def class_(self) -> None:
        self.panel.choose_class(self._random.choice(["ball", "food", "sea"]))

    def stop_or_resume(self) -> None:
        """What is on the button may change before it is pressed: then nothing is."""
        button = self.panel.root.locator(".sw-stop").first
        button.evaluate("button => button.click()")

    def centre(self) -> None:
        choices = self.panel.root.get_by_role("group", name="What the centre shows").get_by_role("button")
        self._one_of(choices).click()

    def compare(self) -> None:
        if not self._pictures():
            return
        self.panel.root.get_by_role("button", name=self._random.choice(["Side by side", "Swipe"])).click()
        divider = self.panel.root.get_by_role("slider", name=re.compile("^Swipe"))
        if divider.count():
            divider.press(self._random.choice(["ArrowLeft", "PageUp", "Home", "End"]))

    def zoom(self) -> None:
        if not self._pictures():
            return
        title = self._random.choice(list(TITLES.values()))
        frame = self.panel.root.get_by_role("group", name=re.compile(f"^{title}:"))  # also where nothing is drawn yet
        frame.press(self._random.choice(["+", "-", "0", "ArrowLeft", "ArrowUp"]))

    def chart(self) -> None:
        self.panel.root.get_by_text("What is left").first.click()

    def scroll(self) -> None:
        self._scroll(60)
        self._page.wait_for_timeout(self._random.choice([100, 1500]))
        self._scroll(0)
        self.panel.await_shown()

    def theme(self) -> None:
        self.panel.lab.theme(self._random.choice(["JupyterLab Dark", "JupyterLab Light"]))

    def nonsense(self) -> None:
        self.bad = True
        box, text = self._random.choice([(self.panel.sparsity, "much"), (self.panel.channel, "99999")])
        box.fill(text)
        box.press("Enter")
        box.press("Escape")

    def interrupt(self) -> None:
        self.panel.lab.command("notebook:interrupt-kernel")

    def second_view(self) -> None:
        second = Panel(self.panel.lab, self.panel.lab.second_view(0))
        second.await_shown()
        second.samples.get_by_role("radio").nth(self._random.randrange(8)).click()
        self.panel.lab.close_view()
        self.panel.await_shown()

    def reload(self) -> None:
        self.panel.lab.save()
        self.panel.lab.reload()
        self.panel.await_shown()

    # ---- how

    @property
    def _page(self) -> Any:
        return self.panel.lab.page

    def _one_of(self, found: Locator) -> Locator:
        return found.nth(self._random.randrange(found.count()))

    def _option(self, box: Locator) -> None:
        values = box.locator("option").evaluate_all("options => options.map(option => option.value)")
        box.select_option(self._random.choice(values))

    def _pictures(self) -> bool:
        return bool(self.panel.root.locator(".sw-pictures").is_visible())

    def _scroll(self, cell: int) -> None:
        self._page.evaluate(
            "cell => window.jupyterapp.shell.currentWidget.content.scrollToItem(cell, 'start')",
            cell,
        )


def bring_to_rest(panel: Panel) -> None:
    """Lets go of everything, goes on where it was stopped, and waits until all that is selected is there and shown."""
    panel.lab.page.mouse.up()
    panel.root.get_by_role("group", name="What the centre shows").get_by_role("button", name="Both").click()
    panel.await_value("explorer.centre", "both")
    settled = "explorer.wait(1) and explorer.saliency_panel is not None and explorer.status['state']"
    deadline = time.monotonic() + 300
    while (state := panel.lab.value(settled)) != "idle" and time.monotonic() < deadline:
        if state == "stopped":
            panel.lab.run("explorer.resume()")
        panel.lab.page.wait_for_timeout(300)
    assert state == "idle", panel.lab.value("explorer.state()")
    panel.lab.run("explorer.resume()")  # maps that were stopped alone
    eventually(lambda: panel.lab.value("explorer.wait(1)"), panel.lab.page, 120, "the maps")
