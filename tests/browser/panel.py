"""The Explorer on a page, found by roles and names as someone finds it who does not see it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from browser.lab import Lab, eventually, same
from playwright.sync_api import Locator, expect
from playwright.sync_api import TimeoutError as BrowserTimeout

Which = Literal["dense", "sparse"]
TITLES: dict[Which, str] = {"dense": "Dense", "sparse": "Trace of this sample"}
STATE = re.compile(
    r"(?:No picture .* yet|.*: (?P<state>waiting|rendering|stopped|done)(?: at)?(?:,? step (?P<step>\d+))?)"
)


@dataclass(frozen=True)
class Shown:
    """The numbers on screen: class → (dense, trace) percents, the channels listed, and what is said of the trace."""

    predictions: dict[str, tuple[str, str]]
    channels: tuple[str, ...]
    facts: str

    @property
    def dense(self) -> dict[str, str]:
        """The dense model's percents alone."""
        return {name: dense for name, (dense, _) in self.predictions.items()}


class Panel:
    """One view of the Explorer."""

    def __init__(self, lab: Lab, root: Locator) -> None:
        self.lab = lab
        self.root = root
        self.samples = root.get_by_role("radiogroup", name="Sample")
        self.channels = root.get_by_role("radiogroup", name="Channel")
        self.slider = root.get_by_role("slider", name="Sparsity", exact=True)
        self.sparsity = root.get_by_role("textbox", name="Sparsity")
        self.stop = root.get_by_role("button", name="Stop", exact=True)
        self.resume = root.get_by_role("button", name="Resume", exact=True)
        self.layer = root.get_by_role("combobox", name="Layer", exact=True)
        self.channel = root.get_by_role("textbox", name="channel")
        self.classes = root.get_by_role("combobox", name="or a class")

    # ---- pictures

    def canvas(self, which: Which) -> Locator:
        """The canvas of one of the two pictures."""
        group = self.root.get_by_role("group", name=re.compile(f"^{TITLES[which]}:"))
        found: Locator = group.get_by_role("img")
        return found

    def picture(self, which: Which) -> bytes:
        """What is drawn on a canvas now, as the bytes of a PNG."""
        url: str = self.canvas(which).evaluate("canvas => canvas.toDataURL('image/png')")
        return base64.b64decode(url.split(",")[1])

    def png(self, which: Which) -> bytes:
        """Python's last picture, as the bytes of a PNG."""
        return bytes.fromhex(self.lab.run(f"print(bytes(explorer.{which}_file).hex())"))

    def state(self, which: Which) -> tuple[str, int]:
        """What the picture's text alternative says: its state, and the step where that is said (else 0)."""
        label = self.canvas(which).get_attribute("aria-label") or ""
        match = STATE.fullmatch(label) or STATE.match(label)
        assert match, label
        return match["state"] or "empty", int(match["step"] or 0)

    def await_shown(self, seconds: float = 30) -> None:
        """Waits until the panel is on screen; fails with what the page says where it does not come."""
        heading = self.root.get_by_role("heading", name="SPADE Explorer")
        try:
            heading.wait_for(timeout=seconds * 1000)
        except BrowserTimeout as error:
            self.lab.screenshot("no-panel")
            said = [self.root.inner_text(), *self.lab.complaints()]
            raise AssertionError("the panel did not appear:\n" + "\n".join(said)) from error

    def await_pictures(self, seconds: float = 180) -> None:
        """Waits until all that is selected is computed, and until the page shows it."""
        self.await_rest(seconds)
        for which in TITLES:
            expect(self.canvas(which)).to_have_attribute("aria-label", re.compile(": done$"))
            eventually(lambda which=which: same(self.picture(which), self.png(which)), self.lab.page, what=which)

    def await_rest(self, seconds: float = 180) -> None:
        """Waits until Python says that all that is selected is computed."""
        rest = "explorer.wait(1) and explorer.status['state'] == 'idle'"
        eventually(lambda: self.lab.value(rest), self.lab.page, seconds, "rest")

    # ---- what is chosen

    def choose_sample(self, place: int) -> None:
        """Clicks the sample at this place."""
        tile = self.samples.get_by_role("radio").nth(place)
        tile.click()
        expect(tile).to_have_attribute("aria-checked", "true")
        self.await_value("explorer.sample_id", self.lab.value(f"explorer.samples[{place}]['id']"))

    def type_sparsity(self, percent: str) -> None:
        """Types a sparsity in percent into its field."""
        self.sparsity.fill(percent)
        self.sparsity.press("Enter")
        self.await_value("explorer.sparsity", pytest.approx(float(percent) / 100))

    def choose_channel(self, place: int) -> str:
        """Clicks the channel listed at this place, and returns the neuron that Python then has."""
        tile = self.channels.get_by_role("radio").nth(place)
        named = re.match(r"Channel (\d+)", tile.get_attribute("aria-label") or "")
        assert named
        neuron = f"{self.layer.input_value()}:{named[1]}"
        tile.click()
        expect(tile).to_have_attribute("aria-checked", "true")
        self.await_value("explorer.neuron", neuron)
        return neuron

    def type_channel(self, text: str) -> None:
        """Types a channel's number into its field."""
        self.channel.fill(text)
        self.channel.press("Enter")

    def choose_class(self, name: str) -> None:
        """Searches a class by name and takes the first that is found."""
        self.classes.click()
        self.classes.fill(name)
        self.root.get_by_role("listbox", name="Classes").get_by_role("option").first.click()
        self.await_value("explorer.neuron", f"logit:{name}")

    def await_value(self, expression: str, value: Any) -> None:
        """Waits until an expression has this value in Python."""
        eventually(lambda: self.lab.value(expression) == value, self.lab.page, 30, f"{expression} == {value}")

    def open_chart(self) -> Locator:
        """Unfolds what is left as a chart, as the page may remember it otherwise, and returns it when it is drawn."""
        what = self.root.get_by_text("What is left")
        if not what.evaluate("inside => inside.closest('details').open"):
            what.click()
        self.root.get_by_role("button", name="Chart", exact=True).click()
        chart = self.root.locator(".js-plotly-plot")  # Plotly's own mark
        expect(chart).to_be_visible(timeout=60_000)
        return chart

    def bars(self) -> dict[str, tuple[int, int]]:
        """The chart as a person reads it: layer → how long its two bars are, kept weights and error, in pixels."""
        read: list[list[Any]] = self.root.locator(".js-plotly-plot").evaluate(
            """chart => {
                const names = [...chart.querySelectorAll(".ytick text")].map((text) => text.textContent);
                const panes = [...chart.querySelectorAll(".barlayer .trace")].map((trace) =>
                    [...trace.querySelectorAll(".point path")].map((bar) => Math.round(bar.getBBox().width)));
                return [names, ...panes];
            }"""
        )
        names, *panes = read
        return dict(zip(names, zip(*panes, strict=True), strict=True)) if len(panes) == 2 else {}

    # ---- what is said

    def numbers(self) -> Shown:
        """The numbers on screen now."""
        table = self.table("dense")
        predictions = {}
        for row in table.get_by_role("row").filter(has=self.lab.page.get_by_role("rowheader")).all():
            dense, sparse = (cell.inner_text().strip() for cell in row.get_by_role("cell").all())
            predictions[row.get_by_role("rowheader").inner_text().strip()] = (dense, sparse)
        channels = tuple(tile.get_attribute("aria-label") or "" for tile in self.channels.get_by_role("radio").all())
        facts = self.root.get_by_role("region", name="Trace").inner_text()
        facts = re.sub(r"\s+", " ", facts[facts.index("kept") :])
        return Shown(predictions, channels, re.sub(r"· [\d.]+ (m?s|min)\b", "", facts))  # how long it took may differ

    def table(self, column: str) -> Locator:
        """The table that has a column of this name."""
        header = self.lab.page.get_by_role("columnheader", name=column, exact=True)
        found: Locator = self.root.get_by_role("table").filter(has=header)
        return found

    def alert(self) -> str:
        """The sentence that the panel complains with, or ""."""
        return "".join(self.root.get_by_role("alert").first.all_inner_texts()).strip()
