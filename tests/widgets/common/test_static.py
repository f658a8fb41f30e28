"""The saved picture of a panel: what a notebook keeps for where no front end runs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from ipywidgets import Output
from PIL import Image
from widgets.kernel import Kernel, Outputs
from widgets.page import Gate, flush, masked, picture, settle

from spade_widgets.sample import Sample
from spade_widgets.widgets.common import notebook
from spade_widgets.widgets.common.still import SIDE, Still, Tile, draw
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel

VIEW = notebook.VIEW


class Seen(HTMLParser):
    """What a browser would make of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.text += data + " "
        self._style = False


def image(bundle: dict[str, Any]) -> Image.Image:
    assert sorted(bundle) == ["text/html", "text/plain"]  # the picture is there once
    [source] = [attributes["src"] for tag, attributes in Seen(bundle["text/html"]).tags if tag == "img"]
    kind, _, data = (source or "").removeprefix("data:").partition(";base64,")
    read = Image.open(io.BytesIO(base64.b64decode(data)))
    read.load()
    assert f"image/{(read.format or '').lower()}" == kind
    return read


def tile(bundle: dict[str, Any], place: int) -> np.ndarray[Any, Any]:
    """The pixels of a picture in the first row, without its border."""
    x = 12 + place * (SIDE + 12)
    return np.asarray(image(bundle).convert("RGB"))[40 : 40 + SIDE - 20, x + 4 : x + SIDE - 4]


def test_a_panel_is_followed_by_its_picture_with_its_settings_in_text(
    panel: Explorer, outputs: Outputs, kernel: Kernel
) -> None:
    with kernel.running("a"):
        kernel.display(panel)
    (own, first), (_, still) = outputs.all
    assert own is None
    assert first[VIEW]["model_id"] == panel.model_id
    assert VIEW not in still
    seen = Seen(still["text/html"])
    for text in (seen.text, still["text/plain"]):
        for said in ("SPADE Explorer", "first", str(panel.neuron), "90 %" if panel.sparsity == 0.9 else "80 %"):
            assert said in text
        assert f"{panel.trace_summary['kept']:,} of {panel.trace_summary['total']:,} weights kept" in text
        for row in panel.predictions["rows"]:
            assert f"{100 * row['sparse']:.1f} %" in text
    sources = [attributes["src"] for tag, attributes in seen.tags if tag == "img"]
    assert len(sources) == 1
    assert (sources[0] or "").startswith("data:image/")
    assert ("div", {"class": "spade-widgets-static"}) in seen.tags


def test_the_picture_shows_sample_dense_and_trace(panel: Explorer, outputs: Outputs, kernel: Kernel) -> None:
    panel.strip = False  # with a fourth picture it is a JPEG
    with kernel.running("a"):
        kernel.display(panel)
    still = outputs.all[1][1]
    for place, png in ((1, panel.dense_file), (2, panel.sparse_file)):
        source = Image.open(io.BytesIO(png)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        y, x = 12 + 15 + 6, 12 + place * (SIDE + 12)
        drawn = np.asarray(image(still).convert("RGB"))[y : y + SIDE, x : x + SIDE]
        assert np.array_equal(drawn, np.asarray(source))


def test_it_is_replaced_when_the_panel_comes_to_rest_on_the_workers_thread(
    make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel
) -> None:
    with Gate():
        panel = make(strip=False)
        with kernel.running("a"):
            kernel.display(panel)
        before = outputs.all[1][1]
        assert "not computed" not in before["text/plain"]
        assert "dense none, trace none" in before["text/plain"]
        assert outputs.updates == 0
    assert panel._job is not None
    panel._job.finished.wait(60)
    flush()
    flush()
    assert outputs.updates == 1
    assert outputs.threads[-1] == "spade-widgets"
    assert "dense 4 steps, trace 4 steps" in outputs.all[1][1]["text/plain"]
    assert len(outputs.all) == 2


def test_waiting_brings_it_up_to_date_at_once(make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel) -> None:
    panel = make()
    with kernel.running("a"):
        kernel.display(panel)
    panel.sparsity = 0.35
    settle(panel)
    assert "35 %" in outputs.all[1][1]["text/plain"]
    updates = outputs.updates
    settle(panel)
    flush()
    assert outputs.updates == updates  # nothing else is on screen


def test_what_changes_while_it_is_taken_is_not_lost(
    panel: Explorer, outputs: Outputs, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = panel._displayed._take

    def slow() -> Still:
        taken = take()
        monkeypatch.setattr(panel._displayed, "_take", take)
        panel.sparsity = 0.35
        assert panel._job is not None
        panel._job.finished.wait(60)
        return taken

    monkeypatch.setattr(panel._displayed, "_take", slow)
    with kernel.running("a"):
        kernel.display(panel)
    assert "35 %" not in outputs.all[1][1]["text/plain"]
    flush()
    flush()
    assert "35 %" in outputs.all[1][1]["text/plain"]


def test_shown_twice_both_are_replaced(panel: Explorer, outputs: Outputs, kernel: Kernel) -> None:
    with kernel.running("a"):
        kernel.display(panel)
        kernel.display(panel)
    panel.sample = 1
    settle(panel)
    stills = [data for name, data in outputs.all if name is not None]
    assert len(stills) == 2
    assert all("second" in still["text/plain"] for still in stills)


def test_a_panel_that_is_not_shown_publishes_nothing(panel: Explorer, outputs: Outputs) -> None:
    panel.sparsity = 0.35
    settle(panel)
    flush()
    assert outputs.all == []
    assert outputs.updates == 0


def test_titles_labels_and_classes_are_text(make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel) -> None:
    evil = "</div><script>alert(1)</script><img src=x onerror=alert(1)>"
    sample = Sample(picture(3).image, evil, label=evil)
    panel = make(samples=[sample])
    panel.session.classifier.class_names = tuple(f"{evil}{i}" for i in range(5))
    settle(panel)
    with kernel.running("a"):
        kernel.display(panel)
    html = outputs.all[1][1]["text/html"]
    seen = Seen(html)
    assert [tag for tag, _ in seen.tags if tag in ("script", "img")] == ["img"]
    assert not any("onerror" in attributes for _, attributes in seen.tags)
    assert evil in seen.text


def test_what_is_not_there_is_not_shown_for_something_else(panel: Explorer, outputs: Outputs, kernel: Kernel) -> None:
    with kernel.running("a"):
        kernel.display(panel)
    with Gate():
        panel.neuron = "3:1"
        panel.sample = 1
        panel.stop()
    settle(panel)
    text = outputs.all[1][1]["text/plain"]
    assert "weights kept" not in text
    assert "Trace" not in text.split("Class")[0].replace("Traced", "")


def test_the_saliency_panel_shows_its_maps(saliency: SaliencyPanel, outputs: Outputs, kernel: Kernel) -> None:
    with kernel.running("a"):
        kernel.display(saliency)
    still = outputs.all[1][1]
    text = still["text/plain"]
    assert "SPADE Saliency" in text
    assert "Saliency, GradCAM" in text
    assert image(still).width == 12 + 3 * (SIDE + 12)
    before = tile(still, 1)
    assert before.std() > 1
    saliency.opacity = 0.2
    settle(saliency)
    assert not np.array_equal(tile(outputs.all[1][1], 1), before)


def test_metrics_of_a_masked_sample_are_said(
    make_saliency: Callable[..., SaliencyPanel], outputs: Outputs, kernel: Kernel
) -> None:
    panel = make_saliency(samples=[masked(1)])
    settle(panel)
    with kernel.running("a"):
        kernel.display(panel)
    assert "trojan auc 0." in outputs.all[1][1]["text/plain"]


def test_the_explorer_shows_maps_where_they_are_in_the_middle(
    make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel
) -> None:
    panel = make(centre="saliency")
    settle(panel)
    with kernel.running("a"):
        kernel.display(panel)
    assert "LRP" in outputs.all[1][1]["text/plain"]
    assert "Pictures" not in outputs.all[1][1]["text/plain"]
    panel.centre = "visualization"
    settle(panel)
    assert "LRP" not in outputs.all[1][1]["text/plain"]
    assert "Pictures" in outputs.all[1][1]["text/plain"]


def test_a_picture_that_fails_keeps_nothing_else_from_working(
    panel: Explorer, outputs: Outputs, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kernel.running("a"):
        kernel.display(panel)

    def fail() -> Still:
        raise RuntimeError("no picture")

    monkeypatch.setattr(panel._displayed, "_take", fail)
    panel.sparsity = 0.35
    assert panel._job is not None
    panel._job.finished.wait(60)
    flush()
    flush()
    assert "no picture" in caplog.text
    assert panel.error == ""
    assert panel.status["state"] == "idle"


def test_a_closed_panel_publishes_nothing_more(make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel) -> None:
    panel = make()
    settle(panel)
    with kernel.running("a"):
        kernel.display(panel)
    with Gate():
        panel.sparsity = 0.35
        panel.close()
    flush()
    assert outputs.updates == 0


def test_wide_and_tiny_pictures_fit_and_a_place_without_a_label_is_empty() -> None:
    wide, tiny = Image.new("RGB", (600, 30), "red"), Image.new("RGB", (1, 1), "blue")
    sheet = draw([[Tile("wide", wide), Tile("tiny", tiny)], [Tile("", None), Tile("none", None)]])
    pixels = np.asarray(sheet)
    reds = (pixels == (255, 0, 0)).all(2)
    assert reds.sum() == SIDE * round(30 * SIDE / 600)
    assert (pixels == (0, 0, 255)).all(2).sum() == SIDE * SIDE
    assert (pixels[sheet.height // 2 + 12 :, : SIDE + 12] == 255).all()


def stills(outputs: Outputs) -> list[str]:
    """The saved pictures that are on the page, as text; one that was taken away is ""."""
    return [data.get("text/plain", "") for name, data in outputs.all if (name or "").startswith("spade-widgets")]


def test_an_output_that_is_updated_with_another_panel_has_its_picture_after_it(
    make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel
) -> None:
    one, other = make(), make(sparsity=0.35)
    settle(one)
    settle(other)
    with kernel.running("a"):
        kernel.display(one, "handle")
    assert "80 %" in stills(outputs)[0]
    with kernel.running("b"):
        kernel.display(other, "handle", update=True)
    assert [VIEW in data for _, data in outputs.all] == [True, False]  # none of it is in the second cell
    assert outputs.all[0][1][VIEW]["model_id"] == other.model_id
    assert "35 %" in stills(outputs)[0]
    one.sparsity = 0.5  # it is not there any more
    settle(one)
    assert "35 %" in stills(outputs)[0]
    other.sparsity = 0.6
    settle(other)
    assert "60 %" in stills(outputs)[0]


def test_an_output_that_is_updated_within_its_cell_has_the_last_ones_picture(
    make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel
) -> None:
    one, other = make(), make(sparsity=0.35)
    settle(one)
    settle(other)
    with kernel.running("a"):
        kernel.display(one, "handle")
        kernel.display(other, "handle", update=True)
    assert len(stills(outputs)) == 1
    assert "35 %" in stills(outputs)[0]


def test_an_output_that_is_updated_with_something_else_has_no_picture_after_it(
    panel: Explorer, outputs: Outputs, kernel: Kernel
) -> None:
    with kernel.running("a"):
        kernel.display(panel, "handle")
    kernel.display("a text", "handle", update=True)
    assert [data for _, data in outputs.all] == [{"text/plain": "a text"}, {"text/html": ""}]
    panel.sparsity = 0.35
    settle(panel)
    assert outputs.all[1][1] == {"text/html": ""}


def test_no_picture_is_left_of_a_panel_that_is_cleared_away_or_captured(
    panel: Explorer, outputs: Outputs, kernel: Kernel
) -> None:
    with kernel.running("a"):
        kernel.display(panel)
        kernel.clear()
    assert outputs.all == []
    taking = Output()
    with kernel.running("b"):
        taking.msg_id = kernel.get_parent()["header"]["msg_id"]  # as within `with taking:`
        kernel.display(panel)
        taking.msg_id = ""
    assert stills(outputs) == []
    taking.close()


def test_a_panel_that_no_cell_displays_has_no_picture(panel: Explorer, outputs: Outputs, kernel: Kernel) -> None:
    kernel.kind = "comm_msg"  # a button's callback
    kernel.display(panel)
    with kernel.running("a"):
        pass
    assert stills(outputs) == []


def test_a_cell_that_is_run_again_and_again_is_followed_by_one_picture_each_time(
    panel: Explorer, outputs: Outputs, kernel: Kernel
) -> None:
    for _ in range(3):
        outputs.all.clear()
        with kernel.running("a"):
            kernel.give(panel)
    panel.sparsity = 0.35
    settle(panel)
    assert outputs.updates == 1
    assert len(stills(outputs)) == 1


def test_a_closed_panel_says_so_where_it_is_displayed(
    make: Callable[..., Explorer], outputs: Outputs, kernel: Kernel
) -> None:
    panel = make()
    panel.close()
    with kernel.running("a"):
        kernel.display(panel)
    assert [data for _, data in outputs.all] == [{"text/plain": "This Explorer is closed: make another one to see it."}]
