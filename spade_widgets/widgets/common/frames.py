"""Frames of running pictures: sent as fast as the page acknowledges them, and not at all to a page nobody sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spade_widgets.widgets.common.views import Views

#: Frames of one picture that may be under way at once.
IN_FLIGHT = 2
#: Seconds between two frames of a picture: no eye sees more, and encoding them would slow the rendering down.
INTERVAL = 1 / 25
#: Seconds after which a frame that was not acknowledged is taken for lost: its view was closed, its page reloaded. Or
#: the kernel is too busy with a cell to hear of it (ipykernel 6), which must not freeze the picture.
LOST = 0.5


@dataclass
class _Stream:
    sent: int = 0
    acknowledged: int = 0
    last: float = float("-inf")


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
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, which: str, content: dict[str, Any], encode: Callable[[], bytes]) -> bool:
        """Send a frame if the page can take it now; only then is it encoded. Returns whether it was sent."""
        with self._lock:
            stream = self._streams.setdefault(which, _Stream())
            now = self.clock()
            waiting = stream.sent - stream.acknowledged
            if (
                not self.views.seen
                or now - stream.last < INTERVAL
                or (waiting >= IN_FLIGHT and now - stream.last < LOST)
            ):
                return False
            if waiting >= IN_FLIGHT:
                stream.acknowledged = stream.sent
            stream.sent += 1
            stream.last = now
            number = stream.sent
        self.send({"type": "frame", "which": which, "seq": number, **content}, [encode()])
        return True

    def acknowledge(self, which: str, seq: int) -> None:
        """The page has drawn frame `seq`."""
        with self._lock:
            stream = self._streams.get(which)
            if stream is not None and stream.acknowledged < seq <= stream.sent:
                stream.acknowledged = seq
