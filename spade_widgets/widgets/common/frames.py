"""Frames of running pictures: sent as fast as the page acknowledges them, and not at all to a page nobody sees.

What is on its way to the page lies before everything that is sent later, the answer to a click too. So the less the
link carries, the less is under way: what it carries in `AHEAD` seconds, and one frame at least. What was sent is under
way until the page says that it came, however late.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spade_widgets.widgets.common.views import Views

#: Frames of one picture that may be under way at once.
IN_FLIGHT = 2
#: Seconds between two frames of a picture: no eye sees more, and encoding them would slow the rendering down.
INTERVAL = 1 / 25
#: Seconds that what is under way may take to the page.
AHEAD = 0.25
#: Seconds of silence after which one more frame is tried at first. An acknowledgement may never come: the view was
#: closed, its page reloaded, or the kernel is too busy with a cell to hear of it (ipykernel 6), which must not freeze
#: the picture. Each further time takes twice as long, up to `RARELY`; on a link that is slower than that, up to
#: `PATIENCE` times as long as the last frame has taken.
LOST, RARELY, PATIENCE = 0.5, 2.0, 3.0
#: Seconds for which a picture that wants to be sent keeps the other from being sent twice in a row.
TURN = 1.0


@dataclass
class _Stream:
    sent: int = 0
    acknowledged: int = 0
    last: float = float("-inf")
    refused: float = float("-inf")
    patience: float = LOST
    #: When each that is under way was sent, and how many of all pictures were under way then.
    times: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        return self.sent - self.acknowledged


@dataclass
class Frames:
    """Decides which frames are sent. The worker offers them, other threads acknowledge.

    Attributes:
        send: sends a message and its buffers to every live view.
        views: who sees the page.
        clock: seconds, monotonic.
    """

    send: Callable[[dict[str, Any], list[bytes]], None]
    views: Views
    clock: Callable[[], float] = time.monotonic
    _streams: dict[str, _Stream] = field(default_factory=dict)
    # Seconds that the last acknowledged frame took there and back, and the share of that for each one under way.
    _trip: float = 0.0
    _cost: float = 0.0
    _heard: float = float("-inf")
    _arrivals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def delay(self) -> float:
        """Seconds that what is sent now takes to the page and back, about."""
        with self._lock:
            return max(self._trip, self._age(self.clock()))

    def offer(self, which: str, content: dict[str, Any], encode: Callable[[], bytes]) -> bool:
        """Send a frame if the page can take it now; only then is it encoded. Returns whether it was sent."""
        with self._lock:
            stream = self._streams.setdefault(which, _Stream())
            now = self.clock()
            if not self.views.seen or now - stream.last < INTERVAL:
                return False
            self._welcome()
            if not self._room(stream, now):
                if now - max(self._heard, stream.last) < stream.patience:
                    stream.refused = now
                    return False
                stream.patience = min(2 * stream.patience, max(RARELY, PATIENCE * self._trip))
            stream.sent += 1
            stream.last = now
            stream.times.append((now, self._under_way()))
            number = stream.sent
        self.send({"type": "frame", "which": which, "seq": number, **content}, [encode()])
        return True

    def acknowledge(self, which: str, seq: int) -> None:
        """The page has drawn frame `seq`."""
        with self._lock:
            stream = self._streams.get(which)
            if stream is None or not stream.acknowledged < seq <= stream.sent:
                return
            self._heard = self.clock()
            while stream.acknowledged < seq:
                stream.acknowledged += 1
                sent, together = stream.times.popleft()
            self._trip = self._heard - sent
            self._cost = self._trip / together
            for each in self._streams.values():
                each.patience = max(LOST, PATIENCE * self._trip)

    def _room(self, stream: _Stream, now: float) -> bool:
        if stream.waiting >= IN_FLIGHT:
            return False
        under_way = self._under_way()
        cost = max(self._cost, self._age(now) / max(under_way, 1))
        if under_way and (under_way + 1) * cost > AHEAD:
            return False
        others = (each for each in self._streams.values() if each is not stream)
        return not any(each.last < stream.last and now - each.refused < TURN for each in others)

    def _under_way(self) -> int:
        return sum(each.waiting for each in self._streams.values())

    def _age(self, now: float) -> float:
        """How long ago the first of those under way was sent."""
        return now - min((each.times[0][0] for each in self._streams.values() if each.times), default=now)

    def _welcome(self) -> None:
        """A view that has just come knows of no frame that was sent before, and the one in whose place it came may have
        gone without a word.
        """
        if self._arrivals != self.views.arrivals:
            self._arrivals = self.views.arrivals
            for each in self._streams.values():
                each.acknowledged, each.patience = each.sent, LOST
                each.times.clear()
