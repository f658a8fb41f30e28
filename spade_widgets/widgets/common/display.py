"""How a panel is put on a page: the panel itself, and after it a picture of it that is seen where no front end runs.

A notebook keeps what was displayed, not what became of it: without a kernel, and where the state of widgets is not
saved, the panel's own output is empty. So a second output follows the first at the end of the cell, with a display id;
each time the panel comes to rest, its content is replaced by a picture of the panel with its settings. Where the panel
is on screen, its style sheet hides that output.

Where a picture could not be kept up to date there is none: within an `Output` widget, which takes no replacements, and
for a panel within another widget, whose display tells nothing of it. A page that was reloaded since the cell ran is not
told by the Lab of what replaces an output: until the cell is run again, the picture and its text stay those of before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from spade_widgets.runtime.jobs import Steps
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.common.still import Still
from spade_widgets.widgets.common.wire import PanelWire

log = logging.getLogger(__name__)


class Displayed:
    """The saved pictures of one panel.

    Args:
        panel: whose status says when it is at rest.
        session: whose idle time the picture takes.
        take: the panel as it is.
        names: of traits that change the picture without any work.
    """

    def __init__(
        self, panel: PanelWire, session: Session, take: Callable[[], Still], names: Sequence[str] = ()
    ) -> None:
        self._panel, self._session, self._take = panel, session, take
        self._slots: list[Slot] = []
        self._shown: dict[str, str] = {}
        self._stale = False
        self._lock = threading.RLock()
        self.follow(panel, names)

    def follow(self, panel: PanelWire, names: Sequence[str] = ()) -> None:
        """Also when this panel comes to rest, or one of these traits changes, there is another picture."""
        panel.observe(self._changed, ["status", *names])

    def put(self, slot: Slot, *, update: bool) -> None:
        """Show the picture in an output, from now on; `update`: one that is there already."""
        with self._lock:
            self._slots.append(slot)
            self._stale = False  # what changes while it is taken makes it stale again
            self._shown = self._take().bundle()
            for one in self._slots:
                _display(self._shown, display_id=one.id, update=update or one is not slot)

    def leave(self, slot: Slot) -> None:
        """The output is another's now."""
        with self._lock:
            if slot in self._slots:
                self._slots.remove(slot)

    def left(self, cell: str) -> None:
        """The cell has other outputs now."""
        with self._lock:
            self._slots = [slot for slot in self._slots if not cell or slot.cell != cell]

    def clear(self) -> None:
        """The panel is on no page any more."""
        with self._lock:
            self._slots.clear()

    def refresh(self) -> None:
        """Replace the picture, if the panel is on a page and shows something else by now."""
        with self._lock:
            if not self._stale or not InteractiveShell.initialized():
                return
            self._stale = False
            bundle = self._take().bundle()
            if bundle != self._shown:
                self._shown = bundle
                for slot in self._slots:
                    _display(bundle, display_id=slot.id, update=True)

    def _changed(self, change: Any) -> None:
        if self._slots and change["owner"].status["state"] != "working":
            self._stale = True
            self._session.submit((self._panel, "still"), self._refreshing(), self._failed, idle=True)

    def _refreshing(self) -> Steps:
        self.refresh()
        yield

    def _failed(self, error: Exception) -> None:
        log.error("The saved picture of a panel could not be made", exc_info=error)


class Slot:
    """The output that follows a panel's own, for its picture.

    Attributes:
        id: its display id.
        cell: whose output it is in; "" where that has no id.
        owner: whose picture is in it.
    """

    def __init__(self, owner: Displayed) -> None:
        self.id = f"spade-widgets-{uuid4().hex}"
        self.cell = ""
        self.owner: Displayed | None = owner
        self._published = False

    def publish(self) -> None:
        """Put it on the page."""
        if self.owner is not None:
            self.owner.put(self, update=False)
            self._published = True

    def give(self, owner: Displayed | None) -> None:
        """Another panel is shown before it, or something that is no panel: then it is empty."""
        if self.owner is not None:
            self.owner.leave(self)
        self.owner = owner
        if self._published:
            if owner is not None:
                owner.put(self, update=True)
            else:
                _display({"text/html": ""}, display_id=self.id, update=True)


def publish(slots: Sequence[Slot], cell: str) -> None:
    """Put these on the page, in the output of a cell that has just run and has no others."""
    for owner in {slot.owner for slot in slots}:
        if owner is not None:
            owner.left(cell)
    for slot in slots:
        slot.cell = cell
        slot.publish()


def _display(data: dict[str, str], **options: Any) -> None:
    display(data, raw=True, **options)  # type: ignore[no-untyped-call]
