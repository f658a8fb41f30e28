"""Frames: as many as the page acknowledges, none to a page nobody sees."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from spade_widgets.widgets.common.frames import AHEAD, IN_FLIGHT, INTERVAL, LOST, RARELY, Frames
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
    assert [page.offer() for _ in range(3)] == [True, True, False]
    page.frames.acknowledge("dense", 1)
    assert [page.offer() for _ in range(2)] == [True, False]
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


def test_frames_whose_acknowledgement_is_lost_are_followed_by_one_at_a_time_ever_more_seldom(page: Page) -> None:
    while page.offer():
        pass
    times = []
    began = page.now
    while page.now < began + 20:
        if page.offer():
            times.append(page.now - began)
    pauses = [b - a for a, b in itertools.pairwise([0.0, *times])]
    assert pauses[:3] == [pytest.approx(LOST * 2**i, abs=2 * INTERVAL) for i in range(3)]
    assert all(pause == pytest.approx(RARELY, abs=2 * INTERVAL) for pause in pauses[2:])


def test_a_late_acknowledgement_makes_no_room_for_more_than_came(page: Page) -> None:
    while page.offer():
        pass
    page.now += LOST
    assert page.offer()  # the third: who answers may be gone
    page.frames.acknowledge("dense", 1)  # but was only slow: two are still under way
    assert not page.offer()
    for which, seq in (("dense", 1), ("dense", 99), ("dense", 0), ("dense", -1), ("nothing", 1)):
        page.frames.acknowledge(which, seq)
    assert not page.offer()
    page.frames.acknowledge("dense", 3)
    assert page.offer()


def test_a_view_that_comes_does_not_wait_for_what_another_was_sent(page: Page) -> None:
    while page.offer():
        pass
    page.views.view("reloaded", visible=True)
    assert page.offer()
    page.frames.acknowledge("dense", 2)  # of before
    assert page.offer()
    assert not page.offer()


@dataclass
class Link:
    """A link that carries so many frames a second each way; acknowledgements are small."""

    page: Page
    rate: float
    latency: float = 0.01
    free: float = 0.0
    most_behind: float = 0.0
    under_way: list[tuple[float, str, int]] = field(default_factory=list)

    def run(self, seconds: float, steps: int = 30) -> None:
        """Both pictures are offered in turn, so many steps a second."""
        page, end = self.page, self.page.now + seconds
        while page.now < end:
            for which in ("dense", "sparse"):
                page.now += 1 / steps
                for arrives, frame, seq in [one for one in self.under_way if one[0] <= page.now]:
                    page.frames.acknowledge(frame, seq)
                    self.under_way.remove((arrives, frame, seq))
                if page.frames.offer(which, {}, page.encode):
                    self.free = max(self.free, page.now) + 1 / self.rate
                    self.most_behind = max(self.most_behind, self.free - page.now)
                    self.under_way.append((self.free + self.latency, which, page.sent[-1]["seq"]))


@pytest.mark.parametrize("rate", [1.0, 2.5, 5.0])
def test_on_a_slow_link_the_page_is_behind_by_little_and_the_link_is_in_use(page: Page, rate: float) -> None:
    link = Link(page, rate)
    link.run(10)  # until it is known how slow it is
    link.most_behind, before = 0.0, len(page.sent)
    link.run(60)
    assert link.most_behind <= max(1 / rate, AHEAD) + 0.05  # no frame waits for another
    sent = page.sent[before:]
    assert len(sent) > 0.8 * 60 * rate * 0.9 - 2
    dense = sum(message["which"] == "dense" for message in sent)
    assert abs(2 * dense - len(sent)) <= 2  # neither picture is left behind


def test_a_link_of_many_frames_a_second_carries_what_an_eye_sees(page: Page) -> None:
    link = Link(page, 200.0)
    link.run(10, steps=100)
    assert len(page.sent) > 10 * 2 * 20


def test_a_stalled_link_gets_few_frames_and_recovers(page: Page) -> None:
    link = Link(page, 100.0)
    link.run(5)
    link.free = page.now + 15  # nothing comes through for so long
    before = len(page.sent)
    link.run(15)
    assert 0 < len(page.sent) - before < 40
    link.run(1)
    link.most_behind, before = 0.0, len(page.sent)
    link.run(5)
    assert link.most_behind < 0.1
    assert len(page.sent) - before > 5 * 20
    assert page.frames.delay < AHEAD


def test_one_picture_alone_is_not_kept_waiting_for_the_other(page: Page) -> None:
    link = Link(page, 2.0)
    link.run(10)
    before = len(page.sent)
    for _ in range(300):
        page.now += 1 / 30
        for arrives, frame, seq in [one for one in link.under_way if one[0] <= page.now]:
            page.frames.acknowledge(frame, seq)
            link.under_way.remove((arrives, frame, seq))
        if page.frames.offer("dense", {}, page.encode):
            link.free = max(link.free, page.now) + 0.5
            link.under_way.append((link.free + 0.01, "dense", page.sent[-1]["seq"]))
    assert len(page.sent) - before > 14


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
