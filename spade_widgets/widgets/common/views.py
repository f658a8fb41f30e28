"""Who sees a panel: what nobody sees is not worth work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: Seconds in which a view that is on screen answers; one that does not is gone (its page was closed or reloaded).
ANSWER = 5.0


@dataclass
class Views:
    """The views of one panel that are on screen, as far as they say so.

    A view that goes away says so, but a page that crashes or is reloaded may not come to it. So whenever a view comes
    or goes, the others are asked whether they are still there. Who answers too late (a cell was running) is back then.

    Attributes:
        ask: asks every live view to say again whether it is on screen.
        clock: seconds, monotonic.
        shown: whether any view has ever been made. Used from Python alone, a panel has none.
        arrivals: how often a view came on screen.
    """

    ask: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    shown: bool = False
    arrivals: int = 0
    # By name, when it has to have answered; infinity where it was not asked. Replaced, never changed: read unlocked.
    _until: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seen(self) -> bool:
        """Whether any view is on screen."""
        now = self.clock()
        return any(now < until for until in self._until.values())

    def view(self, name: str, *, visible: bool) -> None:
        """A view came on screen, went off it, or says again that it is there."""
        with self._lock:
            self.shown = True
            now = self.clock()
            others = {n: until for n, until in self._until.items() if n != name and now < until}
            changed = visible != (now < self._until.get(name, now))
            if changed:
                others = {n: min(until, now + ANSWER) for n, until in others.items()}
            self.arrivals += changed and visible
            self._until = {**others, name: float("inf")} if visible else others
        if changed and others:
            self.ask()
