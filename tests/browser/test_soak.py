"""A soak: random use of the Explorer for a while. `make soak MINUTES=30` for longer, SEED=… for another hand."""

from __future__ import annotations

import os
import time

import pytest
from browser.lab import Lab, eventually, same
from browser.panel import Panel
from browser.soak import Hand, Meter, bring_to_rest
from playwright.sync_api import expect

MINUTES = float(os.environ.get("SOAK_MINUTES", "1"))
SEED = int(os.environ.get("SOAK_SEED", "0"))
OPTIONS = "'emoji', augmentations=32, steps=24, seed=3"
#: MiB that the kernel may grow by beyond what its store, which is bounded, accounts for: allocators keep what is freed.
KERNEL = 500
#: MiB that the page's heap may grow by: the chart's and the maps' code, once for each time that the page is loaded.
PAGE = 120

EXPLORER = f"""
import logging, spade_widgets as sw
from spade_widgets.runtime.store import Store
said = []
class Listening(logging.Handler):
    def emit(self, record):
        said.append(self.format(record))  # with the traceback
logging.getLogger().addHandler(Listening(logging.WARNING))
explorer = sw.Explorer({OPTIONS})
explorer.session.store = Store(256 * 2**20)  # so that it is full within a minute
explorer
"""

FRESH = f"""
same_as = sw.Explorer({OPTIONS}, centre="both")
for name in ("sample_id", "pattern", "preset", "solver", "sparsity", "layer", "neuron"):
    setattr(same_as, name, getattr(explorer, name))
same_as.saliency_panel or same_as.wait(60)
assert same_as.wait(300)
wrong = [name for name in ("dense_file", "sparse_file") if getattr(same_as, name) != getattr(explorer, name)]
here, there = explorer.state(), same_as.state()
wrong += [name for name in ("predictions", "channels") if here[name] != there[name]]
for facts in (here["trace"], there["trace"]):
    facts.pop("seconds")
wrong += ["trace"] * (here["trace"] != there["trace"])
a, b = explorer.saliency_panel.maps(), same_as.saliency_panel.maps()
wrong += ["maps"] * (a.keys() != b.keys() or any((a[cell] != b[cell]).any() for cell in a))
same_as.close()
"""


@pytest.mark.rare
def test_random_use_for_a_while(lab: Lab) -> None:
    lab.open(lab.write("soak.ipynb", [EXPLORER, *["# far below"] * 60]))
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    hand = Hand(panel, SEED)
    hand.scroll()  # the last cell is in sight
    panel.await_rest(180)
    # What is loaded once is no growth: the chart's library, the maps'.
    hand.chart()
    bring_to_rest(panel)
    meter = Meter(lab)
    before, end = meter.read(), time.monotonic() + MINUTES * 60
    told = time.monotonic()
    print(f"\n{before}")
    try:
        while time.monotonic() < end:
            hand.act()
            assert not lab.complaints(), hand.done[-20:]
            error = lab.value("explorer.error")
            assert error == "" or hand.bad, (error, hand.done[-20:])
            if error:
                lab.run("explorer.error = ''")
            hand.bad = hand.bad and error == ""
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(len(hand.done), meter.read(), flush=True)
        lab.theme("JupyterLab Light")
        bring_to_rest(panel)
    except BaseException:
        print("the last things done:", *hand.done[-20:])
        lab.screenshot("where-it-stopped")
        raise
    lab.screenshot("at-rest")
    after = meter.read()
    print(f"{len(hand.done)} acts, then {after}", lab.value("explorer.state()['status']"))

    # A page that is loaded anew closes a comm of the widget manager's own, which the kernel may have closed already.
    ours = lab.value("[widget.model_id for widget in (explorer, explorer.saliency_panel, explorer.chart) if widget]")
    said = [line for line in lab.value("said") if "No such comm" not in line or any(one in line for one in ours)]
    assert said == []
    assert after.kernel - before.kernel - (after.store - before.store) < KERNEL
    assert after.heap - before.heap < PAGE
    for which in ("dense", "sparse"):
        if which == "sparse" and lab.value("explorer.sparse['dead']"):  # of so sparse a trace there is none to draw
            expect(panel.root.get_by_text("pruned everything that reaches the neuron")).to_be_visible()
            continue
        eventually(lambda which=which: same(panel.picture(which), panel.png(which)), lab.page, what=which)
    lab.run(FRESH)
    assert lab.value("wrong") == []
