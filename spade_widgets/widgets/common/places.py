"""What the page holds: a panel lives as long as it is on the page, or somebody holds it.

ipywidgets keeps every widget that was ever made until it is closed. A cell that makes a panel, run twelve times, would
leave twelve networks with all that was computed of them. So a panel is held by whoever made it, as any other object;
and, besides, by the cells whose output shows it. A cell that is run again shows what it shows then: what it alone had
shown before leaves the page. A panel that has left and that nobody holds is closed and its memory is free. One that
somebody still holds, under a name, in a list or in another widget, goes on: it can be read, set and shown again.

What shows a panel and is no cell with an id (plain IPython, some houses, a button's callback, an `Output` widget) holds
it until it is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakMethod, proxy

from ipywidgets.widgets import widget as ipywidgets_widget

#: In the place of a cell's id where there is none: it is not known either when that is run again.
SOMEWHERE = ""


class Placed(Protocol):
    """What can be on the page."""

    def leave_page(self) -> Sequence[threading.Event]:
        """No cell shows it any more. Returns what tells when its work, which holds it, has ended."""


class Places:
    """Which cells show which panels."""

    def __init__(self) -> None:
        self._cells: dict[Placed, set[str]] = {}
        # Shown in the run of the cell that has not ended yet.
        self._now: set[tuple[Placed, str]] = set()
        self._lock = threading.RLock()  # a panel that is collected meanwhile says so on the same thread

    def shown(self, panel: Placed, cell: str) -> None:
        """A cell that is running shows a panel."""
        with self._lock:
            self._cells.setdefault(panel, set()).add(cell)
            if cell != SOMEWHERE:
                self._now.add((panel, cell))

    def closed(self, panel: Placed) -> None:
        """It is on no page any more, wherever it was."""
        with self._lock:
            cells = self._cells.pop(panel, set())
            self._now -= {(panel, cell) for cell in cells}

    def ran(self, cell: str) -> list[Placed]:
        """A cell has run to its end: which panels have left the page by that."""
        left = []
        with self._lock:
            kept = {panel for panel, where in self._now if where == cell}
            self._now -= {(panel, cell) for panel in kept}
            for panel, cells in list(self._cells.items()):
                if cell != SOMEWHERE and cell in cells and panel not in kept:
                    cells.discard(cell)
                    if not cells:
                        del self._cells[panel]
                        left.append(panel)
        return left


def let_go(widget: Any) -> None:
    """Leave a widget to whoever holds it: ipywidgets knows it by its id, and it hears its page, as long as it is there.

    Once nobody holds it, it is closed (`Widget.__del__`).
    """
    handle = WeakMethod(widget._handle_msg)

    def hear(message: Any) -> None:
        handler: Callable[[Any], None] | None = handle()
        if handler is not None:
            handler(message)

    widget.comm.on_msg(hear)
    ipywidgets_widget._instances[widget.model_id] = proxy(widget)
