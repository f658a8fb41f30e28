"""Thumbnails: each is sent once, and all of them are there for who comes late."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _remove_buffers
from PIL import Image
from widgets.page import Page, flush, opened, picture, png, settle

from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import photos
from spade_widgets.runtime.session import Session
from spade_widgets.sample import Sample
from spade_widgets.widgets.common import images
from spade_widgets.widgets.common.thumbnails import CHUNK, place
from spade_widgets.widgets.explorer.panel import Explorer


def chunks(panel: Any) -> list[list[bytes]]:
    """The traits with thumbnails, in their order."""
    names = sorted((n for n in panel.keys if n.startswith("thumbs_")), key=lambda n: int(n[7:]))
    assert names == [f"thumbs_{i}" for i in range(len(names))]
    return [getattr(panel, name) for name in names]


class Weighing:
    """The bytes that a panel sends, as a page receives them: JSON and buffers."""

    def __init__(self, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[Any, int]] = []
        monkeypatch.setattr(panel.comm, "send", self._send)

    def _send(self, data: Any = None, _metadata: Any = None, buffers: Any = None) -> None:
        weight = len(json.dumps(data)) + sum(len(bytes(b)) for b in buffers or [])
        self.sent.append((data, weight))

    def of(self, *pictures: str) -> int:
        """All but these traits."""
        return sum(weight for data, weight in self.sent if not set(data.get("state", {})) & set(pictures))


def colourful(seed: int, side: int = 224) -> Sample:
    """A sample as hard to keep small as a photograph of grass."""
    coarse = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    return Sample(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), f"sample {seed}")


def test_every_sample_has_its_own_at_the_place_that_its_row_says(make: Callable[..., Explorer]) -> None:
    samples = [picture(i, f"s{i}") for i in range(2 * CHUNK + 3)]
    panel = make(samples=samples)
    assert [len(files) for files in chunks(panel)] == [CHUNK, CHUNK, 3]
    for sample, row in zip(samples, panel.samples, strict=True):
        chunk, at = row["thumb"]
        shown = opened(chunks(panel)[chunk][at]).convert("RGB")
        assert np.array_equal(np.asarray(shown), np.asarray(sample.image))  # so small that nothing is lost
    assert place(CHUNK) == [1, 0]


def test_one_more_sends_its_own_trait_alone_and_a_late_view_sees_all(make: Callable[..., Explorer]) -> None:
    panel = make(samples=[picture(i, f"s{i}") for i in range(CHUNK + 1)])
    settle(panel)
    page = Page(panel)
    page.add(("new.png", png(77)))
    flush()
    settle(panel)
    told = [name for state in page.updates for name in state if name.startswith("thumbs_")]
    assert told == ["thumbs_1"]
    for seed in range(CHUNK):  # into a trait that is new
        panel.sample = picture(100 + seed, f"more {seed}")
    state = panel.get_state()
    assert [len(state[f"thumbs_{i}"]) for i in range(3)] == [CHUNK, CHUNK, 2]
    assert len(panel.samples) == 2 * CHUNK + 2


def test_panels_that_are_linked_share_them_and_one_inside_has_none(
    make: Callable[..., Explorer], make_saliency: Callable[..., Any]
) -> None:
    explorer = make(samples=[picture(i, f"s{i}") for i in range(CHUNK)])
    linked, inside = make_saliency(explorer), make_saliency(explorer, embedded=True)
    linked.sample = picture(50, "new")
    for panel in (explorer, linked):
        assert [len(files) for files in chunks(panel)] == [CHUNK, 1]
    assert chunks(explorer)[0][0] is chunks(linked)[0][0]
    assert chunks(inside) == []
    assert len(inside.samples) == CHUNK + 1  # what it tells of the chosen one


def wide() -> ImageClassifier:
    """A classifier of 224 px images with a layer of many channels."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 7, stride=8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 4),
    )
    return ImageClassifier(net.eval(), class_names=list("abcd"))


def test_one_sample_more_than_three_hundred_is_light(
    make: Callable[..., Explorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = make(wide(), samples=[colourful(i) for i in range(300)])
    settle(panel)
    weighing = Weighing(panel, monkeypatch)
    panel._add(colourful(1000))
    assert len(panel.samples) == 301
    assert 0 < weighing.of() <= 100_000


def test_a_click_on_a_sample_is_light(make: Callable[..., Explorer], monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make(wide(), samples=[colourful(i) for i in range(12)])
    settle(panel)
    weighing = Weighing(panel, monkeypatch)
    panel.set_state({"sample_id": panel.samples[5]["id"]})
    settle(panel)
    assert panel.channels["sample_id"] == panel.sample_id
    assert len(panel.channels["rows"]) == 24
    assert 0 < weighing.of("dense_file", "sparse_file") <= 150_000


def test_the_photographs_thumbnails_and_maps_are_small_and_look_alike() -> None:
    classifier, samples = photos.classifier(), photos.samples()
    files = [images.thumbnail(classifier.view(sample)) for sample in samples]
    assert sum(map(len, files)) <= 60_000
    for sample, data in zip(samples, files, strict=True):
        whole = np.asarray(images.small_view(classifier.view(sample), images.THUMB), float)
        lost = np.asarray(opened(data).convert("RGB"), float) - whole
        assert 20 * np.log10(255 / np.sqrt((lost**2).mean())) > 26  # dB
    session = Session(classifier, samples)
    layer = [one.name for one in classifier.layers()][-3]
    maps = session.maps(samples[0], layer)
    view = images.small_view(classifier.view(samples[0]))
    weights = [len(images.heat(view, one)) for one in maps[:24]]
    assert sum(weights) <= 60_000  # 80 kB in base64, as a notebook keeps it


def test_the_saved_state_of_all_of_them_is_what_the_files_weigh(make: Callable[..., Explorer]) -> None:
    panel = make(samples=[picture(i, f"s{i}") for i in range(CHUNK + 1)])
    _, _, buffers = _remove_buffers(panel.get_state())
    kept = {bytes(b) for b in buffers}
    assert {data for files in chunks(panel) for data in files} <= kept
