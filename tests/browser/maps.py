"""The Saliency panel on a page, found by roles and names; alone or inside the Explorer."""

from __future__ import annotations

import base64
import io
import re
from typing import Any, Literal

import numpy as np
from browser.lab import Lab, eventually, pixels
from PIL import Image
from playwright.sync_api import Locator, expect

Row = Literal["dense", "sparse"]
ROWS: dict[Row, str] = {"dense": "dense model", "sparse": "trace"}


class Maps:
    """One view of the Saliency panel, of which the kernel knows by the expression `name`."""

    def __init__(self, lab: Lab, root: Locator, name: str = "panel") -> None:
        self.lab = lab
        self.root = root
        self.name = name
        self.said: list[str] = []
        self.samples = root.get_by_role("radiogroup", name="Sample")
        self.slider = root.get_by_role("slider", name="Sparsity", exact=True)
        self.opacity = root.get_by_role("slider", name="opacity")
        self.target = root.get_by_label("What speaks for")
        self.stop = root.get_by_role("button", name="Stop", exact=True)
        self.resume = root.get_by_role("button", name="Resume", exact=True)

    def listen(self) -> None:
        """Keeps what the page says to the server from now on in `said`; call it before the notebook is opened."""

        def heard(data: str | bytes) -> None:
            self.said.append(data if isinstance(data, str) else data.decode("latin1"))

        self.lab.page.on("websocket", lambda socket: socket.on("framesent", heard))

    def value(self, attribute: str) -> Any:
        """An expression of the panel's in the kernel: `value("target")`."""
        return self.lab.value(f"{self.name}.{attribute}")

    def await_maps(self, seconds: float = 90) -> None:
        """Waits until all maps are computed, and until the page shows them."""
        rest = f"{self.name}.wait(0) and {self.name}.status['state'] == 'idle'"
        eventually(lambda: self.lab.value(rest), self.lab.page, seconds, "rest")
        for title in self.titles():
            for row in ROWS:
                expect(self.canvas(title, row)).to_have_attribute("aria-label", re.compile(": done, values from"))

    def titles(self) -> list[str]:
        """The columns on screen, the sample's aside."""
        return [head.inner_text() for head in self.root.get_by_role("heading", level=3).all() if self._is_column(head)]

    def _is_column(self, head: Locator) -> bool:
        return bool(head.evaluate("head => head.closest('.sw-method') && !head.closest('.sw-original')"))

    def frame(self, title: str, row: Row) -> Locator:
        """The frame of a map, on which the crosshair moves."""
        found: Locator = self.root.get_by_role("group", name=f"{title}, {ROWS[row]}: arrows")
        return found

    def canvas(self, title: str, row: Row) -> Locator:
        """A map's canvas."""
        found: Locator = self.frame(title, row).get_by_role("img")
        return found

    def picture(self, title: str, row: Row) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What is drawn on a map's canvas now: (h, w, 3) in 0…1."""
        url: str = self.canvas(title, row).evaluate("canvas => canvas.toDataURL('image/png')")
        return pixels(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))

    def pictures(self, row: Row) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """All maps of a row as they are drawn."""
        return {title: self.picture(title, row) for title in self.titles()}

    def readouts(self) -> list[str]:
        """The line under each map: the value at the crosshair, or the range of all."""
        return [line.replace("\n", " ") for line in self.root.locator(".sw-readout").all_inner_texts()]

    def map(self, row: Row, method: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A map as the kernel has it."""
        data = self.lab.run(f"print({self.name}.maps()['{row}', '{method}'].tobytes().hex())")
        height, width = self.value("app['input']")
        return np.frombuffer(bytes.fromhex(data), "<f4").reshape(height, width)

    def point(self, title: str, row: Row, x: float, y: float) -> tuple[int, int]:
        """Moves the pointer to a place on a map, in shares; returns the pixel (row, column) there."""
        frame = self.frame(title, row)
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        assert box
        self.lab.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        height, width = self.value("app['input']")
        return int(y * height), int(x * width)

    def choose(self, button: str, item: str) -> None:
        """Opens what a button opens, and chooses one thing in it."""
        self.root.get_by_role("button", name=re.compile(f"^{button}")).click()
        self.root.get_by_role("dialog").get_by_text(item, exact=True).click()

    def tick(self, method: str) -> None:
        """Adds a method to the columns, or takes it away."""
        self.root.get_by_role("button", name=re.compile("^Methods")).click()
        self.root.get_by_role("checkbox", name=re.compile(f"^{method}")).click()
        self.close_popover()

    def close_popover(self) -> None:
        """Closes what a button has opened."""
        self.lab.page.keyboard.press("Escape")
        expect(self.root.get_by_role("dialog")).to_have_count(0)


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether the same maps show the same pixels."""
    return left.keys() == right.keys() and all(np.array_equal(left[title], right[title]) for title in left)
