"""Frames: as many as the page acknowledges, none to a page nobody sees."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from spade_widgets.widgets.common.frames import IN_FLIGHT, INTERVAL, LOST, Frames
from spade_widgets.widgets.common.views import Views


@dataclass
class Page:
    """What was sent, at a time that the test sets."""

    now: float = 100.0
    sent: list[dict[str, Any]] = field(default_factory=list)
    encoded: int = 0

    def __post_init__(self) -> None:
        self.views = Views(lambda: None, lambda: self.now)
        self.frames = Frames(self.send, self.views, lambda: self.now)

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        assert buffers == [b"pixels"]
        self.sent.append(content)

    def encode(self) -> bytes:
        self.encoded += 1
        return b"pixels"

    def offer(self, which: str = "dense", **content: Any) -> bool:
        """A frame, long enough after the last one."""
        self.now += INTERVAL * 1.01
        return self.frames.offer(which, content, self.encode)


@pytest.fixture
def page() -> Page:
    page = Page()
    page.views.view("cell", visible=True)
    return page


def test_a_frame_is_a_message_with_one_buffer(page: Page) -> None:
    assert page.offer(step=3, steps=256)
    assert page.offer("sparse", step=1, steps=256)
    assert page.offer(step=4, steps=256)
    assert page.sent == [
        {"type": "frame", "which": "dense", "seq": 1, "step": 3, "steps": 256},
        {"type": "frame", "which": "sparse", "seq": 1, "step": 1, "steps": 256},
        {"type": "frame", "which": "dense", "seq": 2, "step": 4, "steps": 256},
    ]


def test_at_most_two_are_under_way(page: Page) -> None:
    assert IN_FLIGHT == 2
    assert [page.offer() for _ in range(10)] == [True, True] + [False] * 8
    page.frames.acknowledge("dense", 1)
    assert [page.offer() for _ in range(3)] == [True, False, False]
    page.frames.acknowledge("dense", 3)  # it passed over the second for the third
    assert [page.offer() for _ in range(3)] == [True, True, False]


def test_the_two_pictures_do_not_wait_for_each_other(page: Page) -> None:
    while page.offer("dense"):
        pass
    assert page.offer("sparse")
    page.frames.acknowledge("sparse", 1)
    assert not page.offer("dense")


def test_what_is_not_sent_is_not_encoded(page: Page) -> None:
    for _ in range(10):
        page.offer()
    assert page.encoded == len(page.sent) == 2


def test_not_faster_than_an_eye_sees(page: Page) -> None:
    for _ in range(1000):
        page.now += 0.001
        if page.frames.offer("dense", {}, page.encode):
            page.frames.acknowledge("dense", len(page.sent))
    assert len(page.sent) in (24, 25)


def test_frames_whose_acknowledgement_is_lost_time_out(page: Page) -> None:
    while page.offer():
        pass
    page.now += LOST * 0.9 - INTERVAL
    assert not page.offer()
    page.now += LOST
    assert page.offer()
    assert page.offer()
    assert not page.offer()  # and two at most again


def test_late_and_odd_acknowledgements_make_no_room(page: Page) -> None:
    while page.offer():
        pass
    page.now += 2 * LOST
    while page.offer():
        pass
    assert len(page.sent) == 4
    for which, seq in (("dense", 1), ("dense", 2), ("dense", 99), ("dense", 0), ("dense", -1), ("nothing", 1)):
        page.frames.acknowledge(which, seq)
    assert not page.offer()
    page.frames.acknowledge("dense", 4)
    assert page.offer()


def test_nothing_to_a_page_that_nobody_sees() -> None:
    page = Page()
    assert not page.views.seen
    assert not any(page.offer() for _ in range(5))
    page.views.view("a", visible=True)
    page.views.view("b", visible=True)
    page.views.view("a", visible=False)
    assert page.views.seen
    assert page.offer()
    page.views.view("b", visible=False)
    page.views.view("b", visible=False)
    page.views.view("never seen", visible=False)
    assert not page.views.seen
    page.frames.acknowledge("dense", 1)
    assert not page.offer()
    page.views.view("a", visible=True)
    assert page.offer()
    assert page.encoded == 2


def test_a_worker_offers_while_others_acknowledge() -> None:
    """The count of what is under way holds, whoever answers from wherever."""
    page = Page()
    page.views.view("cell", visible=True)
    over = threading.Event()
    wrong: list[Exception] = []

    def answer() -> None:
        try:
            while not over.is_set():
                page.frames.acknowledge("dense", len(page.sent))
                page.views.view("other", visible=True)
                page.views.view("other", visible=False)
        except Exception as error:  # noqa: BLE001 - whatever a race raises
            wrong.append(error)

    threads = [threading.Thread(target=answer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        page.offer()
    over.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert [message["seq"] for message in page.sent] == list(range(1, len(page.sent) + 1))
