"""From the hand to the screen: how long the Explorer takes after a move of its user's, measured in the page.

    python benchmarks/latency.py [--classifier emoji photos] [--moves 20] [--others 6]

A real JupyterLab in Chromium, a classifier that comes with the package, a sample whose calibration is there. The clock
is the page's own: it starts with the key event on the sparsity slider and ends when a canvas's pixels have changed,
looked at in every animation frame. "new": at sparsities that were never asked for; "found": back at those, whose
pictures are finished; "settled": until the trace's own picture is done and on screen.

Then another sample is clicked on, one that was never chosen. This clock is the kernel's: it starts when the kernel
hears of the click, and says when each trait was set.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import playwright.sync_api

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.conftest import ARGUMENTS
from browser.lab import Lab, eventually
from browser.panel import Panel
from browser.server import running

#: Sets the slider by its text field, as a hand that types does, and waits for changed pixels of the trace's canvas.
MOVE = """
async ([canvas, field, percent, settle]) => {
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const look = () => context.getImageData(0, 0, canvas.width, canvas.height).data.join();
  const before = look();
  field.focus();
  const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  setter.call(field, percent);
  field.dispatchEvent(new Event('input', {bubbles: true}));
  await new Promise(requestAnimationFrame);
  const began = performance.now();
  field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
  let first = null;
  while (performance.now() - began < 60000) {
    await new Promise(requestAnimationFrame);
    if (first === null && look() !== before) first = performance.now() - began;
    const done = canvas.getAttribute('aria-label').endsWith(': done');
    if (first !== null && (!settle || done)) return [first, performance.now() - began];
  }
  return [first, null];
}
"""


def move(panel: Panel, percent: str, *, settle: bool = False) -> tuple[float, float]:
    """Milliseconds until the first changed frame, and until the picture is done (or the same, without `settle`)."""
    canvas, field = panel.canvas("sparse").element_handle(), panel.sparsity.element_handle()
    first, done = panel.lab.page.evaluate(MOVE, [canvas, field, percent, settle])
    assert first is not None
    assert done is not None
    return first, done


#: Notes when what belongs to a newly chosen sample is there, in seconds.
FOLLOW = """
import time
when = {}
def follow(change):
    name, now = change["name"], time.perf_counter()
    if name == "sample_id":
        when.clear()
        when["began"] = now
        return
    made = change["new"]
    if made.get("sample_id") != explorer.sample_id:
        return
    if name == "predictions":
        when.setdefault("predictions", now - when["began"])
    elif made["draft"]:
        when.setdefault("a first trace", now - when["began"])
    else:
        when.setdefault("the trace", now - when["began"])
explorer.observe(follow, ["sample_id", "predictions", "trace_summary"])
"""


def another(panel: Panel, number: int) -> dict[str, float]:
    """Milliseconds until what belongs to another sample is there."""
    panel.samples.get_by_role("radio").nth(number).click()
    there = "'the trace' in when"
    eventually(lambda: panel.lab.value(there), panel.lab.page, 120, "the trace")
    found = panel.lab.value("when")
    return {name: 1000 * seconds for name, seconds in found.items() if name != "began"}


def said(name: str, values: list[float]) -> str:
    """Median, 95th percentile and extremes."""
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return (
        f"{name:32} n={len(values):3}  median {statistics.median(values):6.0f} ms  95 % {high:6.0f} ms  "
        f"least {ordered[0]:6.0f}  most {ordered[-1]:6.0f}"
    )


def measure(panel: Panel, moves: int) -> None:
    """Print all measurements. Between moves the panel is left alone for a second: the hand looks."""
    page = panel.lab.page
    percents = [f"{50 + (17 * i) % 37 + 0.3:.1f}" for i in range(moves)]
    fresh = []
    for percent in percents:
        fresh.append(move(panel, percent)[0])
        page.wait_for_timeout(1000)
    print(said("new: first changed frame", fresh))
    settled = [move(panel, percent[:-1] + "7", settle=True)[1] for percent in percents[:5]]
    print(said("new: settled", settled))
    panel.await_rest()
    neighbours = []
    for _ in range(min(moves, 10)):
        panel.lab.page.wait_for_timeout(4000)
        value = float(panel.sparsity.input_value())
        neighbours.append(move(panel, f"{value + 1:.1f}")[0])
    print(said("neighbour: first changed frame", neighbours))
    found = [move(panel, percent[:-1] + "7")[0] for percent in percents[:5]]
    print(said("found: first changed frame", found))


def measure_others(panel: Panel, others: int) -> None:
    """Choose other samples: the first at rest, the others while the last one's pictures are at work."""
    panel.await_rest()
    panel.lab.run(FOLLOW)
    taken: dict[str, list[float]] = {}
    for number in range(1, others + 1):
        for name, value in another(panel, number).items():
            taken.setdefault(name, []).append(value)
    for name, values in taken.items():
        print(said(f"another sample: {name}", values))


def main() -> None:
    """Measure and print, with the machine's load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", nargs="+", choices=("emoji", "photos"), default=["emoji", "photos"])
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--others", type=int, default=6)
    options = parser.parse_args()
    for classifier in options.classifier:
        print(f"\n{classifier}")
        run(classifier, options.moves, options.others)


def run(classifier: str, moves: int, others: int) -> None:
    """One classifier, in a kernel of its own."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        tempfile.TemporaryDirectory() as folder,
        playwright.sync_api.sync_playwright() as started,
        running(Path(folder)) as server,
    ):
        browser = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1500, "height": 1000})
        results = Path(folder) / "results"
        results.mkdir()
        lab = Lab(context.new_page(), server, results)
        lab.open(
            lab.write(
                "latency.ipynb", [f"import spade_widgets as sw\nexplorer = sw.Explorer({classifier!r})\nexplorer"]
            )
        )
        lab.run_all()
        panel = Panel(lab, lab.output(0))
        panel.await_shown()
        panel.await_pictures()
        print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
        measure(panel, moves)
        measure_others(panel, others)
        print(f"load {os.getloadavg()[0]:.2f}")
        browser.close()


if __name__ == "__main__":
    main()
