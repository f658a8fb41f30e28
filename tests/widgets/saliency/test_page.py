"""The Saliency panel from the page: what it sets, says and gets; errors are said, never raised."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from widgets.page import Gate, Page, flush, opened, png, settle
from widgets.saliency.test_panel import BAD

from spade_widgets.widgets.common.images import picture as shown
from spade_widgets.widgets.saliency.panel import SaliencyPanel
from spade_widgets.widgets.saliency.wire import SELECTION, VIEW

Make = Callable[..., SaliencyPanel]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sparsity", 0.4), ("preset", "all"), ("target", 3), ("methods", ["input_x_gradient"]), ("opacity", 0.2),
        ("colormap", "magma"), ("signed", False), ("clip", 98.0), ("scale", "own"), ("outline", False),
    ],
)  # fmt: skip
def test_what_the_page_sets_holds(saliency_page: Page, name: str, value: Any) -> None:
    saliency_page.set(**{name: value})
    settle(saliency_page.panel)
    kept = getattr(saliency_page.panel, name)
    assert (list(kept) if name == "methods" else kept) == value
    assert saliency_page.panel.error == ""
    assert saliency_page.panel.status["state"] == "idle"
    assert {cell["state"] for cell in saliency_page.panel.cells.values()} == {"done"}
    # It has the value already: sent back, it would make a slider jump that has moved on since.
    assert saliency_page.told(name) == []


@pytest.mark.parametrize(("name", "value", "said"), [case for case in BAD if case[1] == case[1]])
def test_bad_values_from_the_page_are_said_and_sent_back(saliency_page: Page, name: str, value: Any, said: str) -> None:
    panel = saliency_page.panel
    before = {key: getattr(panel, key) for key in (*SELECTION, *VIEW)}
    saliency_page.set(**{name: value})
    if name == "target" and value is None:
        return
    assert said in panel.error
    assert "\n" not in panel.error
    assert len(saliency_page.told(name)) == 1
    assert {key: getattr(panel, key) for key in (*SELECTION, *VIEW)} == before
    saliency_page.set(sparsity=0.55)
    assert panel.error == ""
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.55


def test_a_map_comes_before_its_cell_says_so_and_goes_over_once(saliency_page: Page) -> None:
    panel = saliency_page.panel
    saliency_page.set(sparsity=0.3)
    settle(panel)
    order = [(name, state[name]) for state in saliency_page.updates for name in state]
    for method in panel.methods:
        assert saliency_page.told(f"map_dense_{method}") == []  # that one did not change
        (data,) = saliency_page.told(f"map_sparse_{method}")
        done = [i for i, (n, v) in enumerate(order) if n == "cells" and v[f"sparse/{method}"]["state"] == "done"]
        assert order.index((f"map_sparse_{method}", data)) < done[0]
        keys = [cells[f"sparse/{method}"]["key"] for cells in saliency_page.told("cells")]
        assert len(set(keys)) == 2


def test_what_is_of_the_selection_before_is_stale_until_the_new_one_comes(saliency_page: Page) -> None:
    panel = saliency_page.panel
    saliency_page.set(sparsity=0.3)
    settle(panel)
    states = [{name: cell["state"] for name, cell in cells.items()} for cells in saliency_page.told("cells")]
    assert all(state["dense/saliency"] == "done" for state in states)  # it does not depend on the sparsity
    sparse = [state["sparse/saliency"] for state in states]
    assert sparse[0] == "stale"
    assert sparse[-1] == "done"
    assert set(sparse) == {"stale", "done"}
    saliency_page.updates.clear()
    saliency_page.set(target=0)
    settle(panel)
    assert {cell["state"] for cell in saliency_page.told("cells")[0].values()} == {"stale"}


def test_another_sample_s_maps_go_at_once(saliency_page: Page) -> None:
    panel = saliency_page.panel
    saliency_page.set(sample_id=panel.session.samples[1].id)
    settle(panel)
    assert all(list(cells) == list(panel.cells) for cells in saliency_page.told("cells"))  # no place comes or goes
    assert {cell["state"] for cell in saliency_page.told("cells")[0].values()} == {"waiting"}
    for name in ("map_dense_saliency", "map_sparse_gradcam"):
        first, *_, last = saliency_page.told(name)
        assert first == b""
        assert last != b""
    assert panel.image["sample_id"] == panel.predictions["sample_id"] == panel.sample_id
    assert opened(panel.image["file"]).tobytes() == shown(panel.session.classifier.view(panel.sample)).tobytes()


def test_a_method_that_is_left_out_takes_its_map_along(saliency_page: Page) -> None:
    panel = saliency_page.panel
    saliency_page.set(methods=["gradcam"])
    settle(panel)
    assert list(panel.cells) == ["dense/gradcam", "sparse/gradcam"]
    assert panel.map_dense_saliency == panel.map_sparse_saliency == b""
    saliency_page.set(methods=["gradcam", "saliency"])
    settle(panel)
    assert panel.cells["sparse/saliency"]["state"] == "done"
    assert len(panel.map_sparse_saliency) == 4 * 32 * 32


def test_going_back_is_at_once(saliency_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = saliency_page.panel
    before = {name: cell["key"] for name, cell in panel.cells.items()}
    saliency_page.set(sparsity=0.2)
    settle(panel)
    monkeypatch.setattr(panel.session.classifier, "prepare", lambda _sample: pytest.fail("the network was run again"))
    saliency_page.set(sparsity=0.8)
    settle(panel)
    assert panel.error == ""
    assert {name: cell["key"] for name, cell in panel.cells.items()} == before


def test_files_become_samples(saliency_page: Page) -> None:
    saliency_page.add(("one.png", png(5)), ("no image", b"none"))
    for _ in range(4):
        flush()
    settle(saliency_page.panel)
    assert saliency_page.panel.sample.title == "one"
    assert "'no image'" in saliency_page.panel.error
    assert {cell["state"] for cell in saliency_page.panel.cells.values()} == {"done"}
    saliency_page.say("dismiss")
    assert saliency_page.panel.error == ""


def test_all_maps_as_one_file(saliency_page: Page) -> None:
    panel = saliency_page.panel
    saliency_page.set(sample_id=panel.session.samples[1].id)
    settle(panel)
    saliency_page.say("export")
    flush()
    ((content, (data,)),) = saliency_page.messages
    assert content == {"type": "file", "name": "saliency-second.npz"}
    arrays = np.load(io.BytesIO(data))
    maps = {f"{network}_{method}": values for (network, method), values in panel.maps().items()}
    assert set(arrays) == {*maps, "image", "mask"}
    for name, values in maps.items():
        assert np.array_equal(arrays[name], values)
    assert arrays["image"].shape == (32, 32, 3)
    assert arrays["mask"].sum() == 48


def test_the_file_is_named_by_letters_alone(make_saliency: Make) -> None:
    from widgets.page import picture

    panel = make_saliency(samples=[picture(0, "../<b>a b</b>\n" + "x" * 100)])
    settle(panel)
    page = Page(panel)
    page.say("export")
    flush()
    ((content, _),) = page.messages
    assert content["name"].startswith("saliency-b-a-b-b-x")
    assert not set(content["name"]) & set("/<>\n ")
    assert len(content["name"]) < 80


def test_stopped_and_resumed(saliency_page: Page) -> None:
    panel = saliency_page.panel
    with Gate():
        saliency_page.set(target=2)
        saliency_page.say("stop")
    settle(panel)
    assert panel.status["state"] == "stopped"
    assert {cell["state"] for cell in panel.cells.values()} == {"stopped"}
    # What was there is of another class: it must not pass for this one's.
    assert panel.map_dense_saliency == panel.map_sparse_gradcam == b""
    saliency_page.say("resume")
    settle(panel)
    assert panel.status["state"] == "idle"
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}
    saliency_page.say("stop")  # there is nothing to stop
    settle(panel)
    assert panel.status["state"] == "idle"


def test_odd_messages_do_nothing(saliency_page: Page) -> None:
    before = saliency_page.panel.state()
    saliency_page.say("nonsense")
    saliency_page.say("visible", view="a", visible=True)
    saliency_page.add()
    saliency_page.panel._handle_custom_msg({}, [])
    flush()
    settle(saliency_page.panel)
    assert saliency_page.panel.state() == before
