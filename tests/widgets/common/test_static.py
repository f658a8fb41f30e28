"""The saved picture of a panel: what a notebook keeps for where no front end runs."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image
from widgets.page import Gate, flush, masked, picture, settle

from spade_widgets.sample import Sample
from spade_widgets.widgets.common import display
from spade_widgets.widgets.common.still import SIDE, Still, Tile, draw
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel

VIEW = "application/vnd.jupyter.widget-view+json"


class Notebook:
    """Keeps what is displayed as a notebook would: outputs in order, those with a display id replaced."""

    def __init__(self) -> None:
        self.outputs: list[tuple[str | None, dict[str, Any]]] = []
        self.threads: list[str] = []
        self.updates = 0

    def display(
        self,
        data: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        display_id: str | None = None,
        update: bool = False,
    ) -> None:
        json.dumps([data, metadata])
        self.threads.append(threading.current_thread().name)
        name = display_id
        if update:
            self.updates += 1
            self.outputs = [(n, data if n == name else old) for n, old in self.outputs]
        else:
            self.outputs.append((name, data))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    kept = Notebook()
    monkeypatch.setattr(display, "_display", kept.display)
    monkeypatch.setattr(display.InteractiveShell, "initialized", lambda: True)
    return kept


def show(panel: Any) -> None:
    panel._ipython_display_()  # as IPython's display calls it


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
    [kind] = [key for key in bundle if key.startswith("image/")]
    read = Image.open(io.BytesIO(base64.b64decode(bundle[kind])))
    read.load()
    assert f"image/{(read.format or '').lower()}" == kind
    return read


def tile(bundle: dict[str, Any], place: int) -> np.ndarray[Any, Any]:
    """The pixels of a picture in the first row, without its border."""
    x = 12 + place * (SIDE + 12)
    return np.asarray(image(bundle).convert("RGB"))[40 : 40 + SIDE - 20, x + 4 : x + SIDE - 4]


def test_a_panel_is_followed_by_its_picture_with_its_settings_in_text(panel: Explorer, notebook: Notebook) -> None:
    show(panel)
    (own, first), (_, still) = notebook.outputs
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


def test_the_picture_shows_sample_dense_and_trace(panel: Explorer, notebook: Notebook) -> None:
    show(panel)
    still = notebook.outputs[1][1]
    for place, png in ((1, panel.dense_png), (2, panel.sparse_png)):
        source = Image.open(io.BytesIO(png)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        y, x = 12 + 15 + 6, 12 + place * (SIDE + 12)
        drawn = np.asarray(image(still).convert("RGB"))[y : y + SIDE, x : x + SIDE]
        assert np.array_equal(drawn, np.asarray(source))


def test_it_is_replaced_when_the_panel_comes_to_rest_on_the_workers_thread(
    make: Callable[..., Explorer], notebook: Notebook
) -> None:
    with Gate():
        panel = make()
        show(panel)
        before = notebook.outputs[1][1]
        assert "not computed" not in before["text/plain"]
        assert "dense none, trace none" in before["text/plain"]
        assert notebook.updates == 0
    assert panel._job is not None
    panel._job.finished.wait(60)
    flush()
    flush()
    assert notebook.updates == 1
    assert notebook.threads[-1] == "spade-widgets"
    assert "dense 4 steps, trace 4 steps" in notebook.outputs[1][1]["text/plain"]
    assert len(notebook.outputs) == 2


def test_waiting_brings_it_up_to_date_at_once(make: Callable[..., Explorer], notebook: Notebook) -> None:
    panel = make()
    show(panel)
    panel.sparsity = 0.35
    settle(panel)
    assert "35 %" in notebook.outputs[1][1]["text/plain"]
    updates = notebook.updates
    settle(panel)
    flush()
    assert notebook.updates == updates  # nothing else is on screen


def test_what_changes_while_it_is_taken_is_not_lost(
    panel: Explorer, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
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
    show(panel)
    assert "35 %" not in notebook.outputs[1][1]["text/plain"]
    flush()
    flush()
    assert "35 %" in notebook.outputs[1][1]["text/plain"]


def test_shown_twice_both_are_replaced(panel: Explorer, notebook: Notebook) -> None:
    show(panel)
    show(panel)
    panel.sample = 1
    settle(panel)
    stills = [data for name, data in notebook.outputs if name is not None]
    assert len(stills) == 2
    assert all("second" in still["text/plain"] for still in stills)


def test_a_panel_that_is_not_shown_publishes_nothing(panel: Explorer, notebook: Notebook) -> None:
    panel.sparsity = 0.35
    settle(panel)
    flush()
    assert notebook.outputs == []
    assert notebook.updates == 0


def test_titles_labels_and_classes_are_text(make: Callable[..., Explorer], notebook: Notebook) -> None:
    evil = "</div><script>alert(1)</script><img src=x onerror=alert(1)>"
    sample = Sample(picture(3).image, evil, label=evil)
    panel = make(samples=[sample])
    panel.session.classifier.class_names = tuple(f"{evil}{i}" for i in range(5))
    settle(panel)
    show(panel)
    html = notebook.outputs[1][1]["text/html"]
    seen = Seen(html)
    assert [tag for tag, _ in seen.tags if tag in ("script", "img")] == ["img"]
    assert not any("onerror" in attributes for _, attributes in seen.tags)
    assert evil in seen.text


def test_what_is_not_there_is_not_shown_for_something_else(panel: Explorer, notebook: Notebook) -> None:
    show(panel)
    with Gate():
        panel.neuron = "3:1"
        panel.sample = 1
        panel.stop()
    settle(panel)
    text = notebook.outputs[1][1]["text/plain"]
    assert "weights kept" not in text
    assert "Trace" not in text.split("Class")[0].replace("Traced", "")


def test_the_saliency_panel_shows_its_maps(saliency: SaliencyPanel, notebook: Notebook) -> None:
    show(saliency)
    still = notebook.outputs[1][1]
    text = still["text/plain"]
    assert "SPADE Saliency" in text
    assert "Saliency, GradCAM" in text
    assert image(still).width == 12 + 3 * (SIDE + 12)
    before = tile(still, 1)
    assert before.std() > 1
    saliency.opacity = 0.2
    settle(saliency)
    assert not np.array_equal(tile(notebook.outputs[1][1], 1), before)


def test_metrics_of_a_masked_sample_are_said(make_saliency: Callable[..., SaliencyPanel], notebook: Notebook) -> None:
    panel = make_saliency(samples=[masked(1)])
    settle(panel)
    show(panel)
    assert "trojan auc 0." in notebook.outputs[1][1]["text/plain"]


def test_the_explorer_shows_maps_where_they_are_in_the_middle(
    make: Callable[..., Explorer], notebook: Notebook
) -> None:
    panel = make(centre="saliency")
    settle(panel)
    show(panel)
    assert "LRP" in notebook.outputs[1][1]["text/plain"]
    assert "Pictures" not in notebook.outputs[1][1]["text/plain"]
    panel.centre = "visualization"
    settle(panel)
    assert "LRP" not in notebook.outputs[1][1]["text/plain"]
    assert "Pictures" in notebook.outputs[1][1]["text/plain"]


def test_a_picture_that_fails_keeps_nothing_else_from_working(
    panel: Explorer, notebook: Notebook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    show(panel)

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


def test_a_closed_panel_publishes_nothing_more(make: Callable[..., Explorer], notebook: Notebook) -> None:
    panel = make()
    settle(panel)
    show(panel)
    with Gate():
        panel.sparsity = 0.35
        panel.close()
    flush()
    assert notebook.updates == 0


def test_wide_and_tiny_pictures_fit_and_a_place_without_a_label_is_empty() -> None:
    wide, tiny = Image.new("RGB", (600, 30), "red"), Image.new("RGB", (1, 1), "blue")
    sheet = draw([[Tile("wide", wide), Tile("tiny", tiny)], [Tile("", None), Tile("none", None)]])
    pixels = np.asarray(sheet)
    reds = (pixels == (255, 0, 0)).all(2)
    assert reds.sum() == SIDE * round(30 * SIDE / 600)
    assert (pixels == (0, 0, 255)).all(2).sum() == SIDE * SIDE
    assert (pixels[sheet.height // 2 + 12 :, : SIDE + 12] == 255).all()
