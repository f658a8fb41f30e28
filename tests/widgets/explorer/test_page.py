"""The Explorer from the page: what it sets, says and gets; errors are said, never raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from widgets.page import PATIENCE, Gate, Page, flush, opened, picture, pixels, png, settle

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.widgets.common import frames as frames_module
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.explorer.wire import SELECTION

Make = Callable[..., Explorer]


@pytest.mark.parametrize(
    ("name", "value"),
    [("sparsity", 0.4), ("neuron", "3:5@1,2"), ("layer", "0"), ("preset", "all"), ("solver", "fast")],
)
def test_what_the_page_sets_is_computed(page: Page, name: str, value: Any) -> None:
    page.set(**{name: value})
    settle(page.panel)
    assert getattr(page.panel, name) == value
    assert page.panel.error == ""
    assert page.panel.status["state"] == "idle"
    shown = {
        "sparsity": page.panel.trace_summary["sparsity"],
        "neuron": page.panel.sparse["neuron"],
        "layer": page.panel.channels["layer"],
    }
    if name in shown:
        assert shown[name] == value
    # It has the value already: sent back, it would make a slider jump that has moved on since.
    assert page.told(name) == []


def test_the_page_chooses_a_sample(page: Page) -> None:
    second = page.panel.session.samples[1]
    page.set(sample_id=second.id)
    settle(page.panel)
    assert page.panel.sample is second
    for shown in (page.panel.predictions, page.panel.channels, page.panel.trace_summary):
        assert shown["sample_id"] == second.id


def test_preset_and_pattern_come_together_in_either_order(page: Page) -> None:
    for state in ({"preset": "pattern", "pattern": "3, 7"}, {"pattern": "7", "preset": "pattern"}):
        page.set(preset="late")
        page.set(**state)
        settle(page.panel)
        assert page.panel.error == ""
        assert page.panel.trace is not None
        assert ", ".join(page.panel.trace.plan.layers) == state["pattern"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sample_id", "nonsense", "nonsense"),
        ("sample_id", None, "no text"),
        ("sample_id", [1], "no text"),
        ("sparsity", 1, "0 ≤ sparsity < 1"),
        ("sparsity", None, "not a number"),
        ("sparsity", "", "not a number"),
        ("sparsity", [0.5], "not a number"),
        ("neuron", "", "not a neuron"),
        ("neuron", "3:99", "no channel 99"),
        ("neuron", {"layer": 3}, "not a neuron"),
        ("layer", "conv9", "conv9"),
        ("layer", None, "no text"),
        ("preset", "pattern", "matches ''"),
        ("preset", 7, "no text"),
        ("pattern", 7, "no text"),
        ("solver", "slow", "slow"),
        ("solver", [], "no text"),
    ],
)
def test_bad_values_from_the_page_are_said_and_sent_back(page: Page, name: str, value: Any, said: str) -> None:
    before = {key: getattr(page.panel, key) for key in SELECTION}
    page.set(**{name: value})
    assert said in page.panel.error
    assert "\n" not in page.panel.error
    assert page.told("error") == [page.panel.error]
    assert page.told(name) == [before[name]]
    assert {key: getattr(page.panel, key) for key in SELECTION} == before
    page.set(sparsity=0.55)
    assert page.panel.error == ""
    settle(page.panel)
    assert page.panel.trace_summary["sparsity"] == 0.55


def test_an_error_goes_with_a_good_choice_also_when_it_changes_nothing(page: Page) -> None:
    page.set(neuron="nonsense")
    assert page.panel.error != ""
    page.set(neuron=page.panel.neuron)
    assert page.panel.error == ""
    page.set(neuron="nonsense")
    page.say("dismiss")
    assert page.panel.error == ""


@pytest.mark.parametrize("state", [{"neuron": "bad", "sparsity": 0.3}, {"sparsity": 0.3, "neuron": "bad"}])
def test_one_of_two_values_is_bad(page: Page, state: dict[str, Any]) -> None:
    page.set(**state)
    assert page.panel.sparsity == 0.3
    assert "'bad' is not a neuron" in page.panel.error
    settle(page.panel)
    assert "'bad' is not a neuron" in page.panel.error


def test_files_become_samples_and_the_last_is_chosen(page: Page) -> None:
    page.add(("one.png", png(5)), ("two.b.png", png(6)))
    flush_all(page)
    assert [row["title"] for row in page.panel.samples] == ["first", "second", "one", "two.b"]
    assert page.panel.sample.title == "two.b"
    assert page.panel.sample.image.tobytes() == pixels(6).tobytes()
    assert page.panel.predictions["sample_id"] == page.panel.sample_id
    assert page.told("sample_id")[-1] == page.panel.sample_id


def flush_all(page: Page) -> None:
    flush()
    for _ in range(4):  # files are read one a step, and taking turns with the rest
        flush()
    settle(page.panel)


def test_a_file_that_is_there_already_is_chosen_again(page: Page) -> None:
    page.add(("one.png", png(5)), ("two.png", png(6)))
    flush_all(page)
    page.add(("one.png", png(5)))
    flush_all(page)
    assert page.panel.sample.title == "one"
    assert len(page.panel.samples) == 4


def test_damaged_files_are_said_and_the_good_ones_come(page: Page) -> None:
    page.add(("cut.png", png(5, 64)[:400]), ("good.png", png(6)), ("<b>notes.txt", b"no image at all"))
    flush_all(page)
    assert "'cut.png'" in page.panel.error
    assert "'<b>notes.txt'" in page.panel.error
    assert "\n" not in page.panel.error
    assert [row["title"] for row in page.panel.samples] == ["first", "second", "good"]
    assert page.panel.sample.title == "good"
    assert page.panel.status["state"] == "idle"
    page.set(sparsity=0.2)
    settle(page.panel)
    assert page.panel.error == ""
    assert page.panel.trace_summary["sparsity"] == 0.2


def test_files_that_come_at_once_are_all_read(page: Page) -> None:
    with Gate():
        for i in range(5):
            page.add((f"{i}.png", png(10 + i)))
    flush_all(page)
    assert sorted(row["title"] for row in page.panel.samples) == ["0", "1", "2", "3", "4", "first", "second"]


def test_odd_messages_do_nothing(page: Page) -> None:
    def state() -> dict[str, Any]:
        return page.panel.state() | {"solved": None}  # neighbouring sparsities are solved meanwhile

    before = state()
    page.add()
    page.say("add", [png(3)])
    page.say("nonsense")
    page.panel._handle_custom_msg({}, [])
    flush_all(page)
    assert state() == before


def test_frames_reach_a_page_that_is_seen_and_acknowledges(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "LOST", PATIENCE)  # else those that nobody acknowledged are given up
    panel = make(steps=12)
    settle(panel)
    page = Page(panel)
    page.set(neuron="3:1")
    settle(panel)
    assert page.messages == []  # no view has said that it is on screen
    page.say("visible", view="a", visible=True)
    page.set(neuron="3:2")
    settle(panel)
    frames = [(content["which"], content["seq"]) for content, _ in page.messages]
    # Never acknowledged, so two each at most.
    assert set(frames) <= {("dense", 1), ("dense", 2), ("sparse", 1), ("sparse", 2)}
    assert {"dense", "sparse"} == {which for which, _ in frames}
    for content, (data,) in page.messages:
        assert content.keys() == {"type", "which", "seq", "step", "steps", "seconds"}
        assert opened(data).size == (32, 32)
    page.say("visible", view="a", visible=False)
    count = len(page.messages)
    page.set(neuron="3:3")
    settle(panel)
    assert len(page.messages) == count


def test_the_chart_is_made_when_it_is_asked_for(page: Page) -> None:
    assert page.panel.chart is None
    page.say("chart")
    page.say("chart")
    flush()
    chart = page.panel.chart
    assert chart is not None
    assert page.told("chart") == [f"anywidget:{chart.model_id}"]
    assert list(chart.data[0].y) == ["0", "3", "7"]
    before = list(chart.data[0].x)
    page.set(sparsity=0.2)
    settle(page.panel)
    assert page.panel.chart is chart
    assert [a < b for a, b in zip(before, chart.data[0].x, strict=True)] == [True] * 3
    page.say("chart")
    flush()
    assert page.panel.chart is chart


def test_statuses_do_not_flicker(make: Make) -> None:
    """While it calibrates, it says so, although the dense picture goes on meanwhile."""
    panel = make(augmentations=320, steps=6)
    page = Page(panel)
    settle(panel)
    page.updates.clear()
    page.set(sample_id=panel.session.samples[1].id)
    settle(panel)
    texts = [status["text"] for status in page.told("status")]
    changes = [text for i, text in enumerate(texts) if i == 0 or texts[i - 1] != text]
    assert changes == ["predicting", "calibrating", "solving", "rendering", "done"]


def test_markup_in_names_stays_text(make: Make, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    names = ["<b>ant</b>", "bee & co", "cat", "dog", "eel"]
    panel = make(tiny_model, class_names=names, preprocess=tiny._preprocess, samples=[picture(0, "<img src=x>")])
    settle(panel)
    state = json.loads(json.dumps(panel.state()))
    assert state["sample"] == "<img src=x>"
    assert {row["name"] for row in panel.predictions["rows"]} == set(names)
    panel.neuron = "logit:<b>ant</b>"
    settle(panel)
    assert panel.dense["neuron"] == "logit:<b>ant</b>"


class Fragile(nn.Module):
    """Works on what is dark; NaN as soon as anything is very bright."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + torch.where(x > 1.99, torch.nan, 0.0))


def test_a_sample_on_which_the_network_gives_nan(make: Make, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    dark, bright = torch.rand(3, 32, 32) / 8, torch.ones(3, 32, 32)
    panel = make(Fragile(tiny_model), preprocess=tiny._preprocess, samples=[dark, bright], neuron="inner.3:2")
    settle(panel)
    page = Page(panel)
    page.set(sample_id=panel.session.samples[1].id)
    settle(panel)
    assert "NaN or infinite" in panel.error
    assert panel.status["state"] == "error"
    assert panel.sparse["state"] == "empty"
    assert panel.sparse_file == b""  # what was there was another sample's
    page.set(sample_id=panel.session.samples[0].id)
    settle(panel)
    assert panel.error == ""
    assert panel.status["state"] == "idle"
    assert panel.sparse["state"] == "done"
    assert opened(panel.sparse_file).tobytes() == sw.visualize(panel.trace, "inner.3:2", steps=4).tobytes()  # type: ignore[arg-type]
