"""How a panel is put on a page: the panel itself, and after it a picture of it that is seen where no front end runs.

A notebook keeps what was displayed, not what became of it: without a kernel, and where the state of widgets is not
saved, the panel's own output is empty. So a second output follows the first, with a display id; each time the panel
comes to rest, its content is replaced by a picture of the panel with its settings. Where the panel is on screen, its
style sheet hides that output. A page that was reloaded since the cell ran is not told by the Lab of what replaces it:
until the cell is run again, the picture and its text stay those of before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from spade_widgets.runtime.jobs import Steps, Worker
from spade_widgets.widgets.common.still import Still
from spade_widgets.widgets.common.wire import PanelWire

log = logging.getLogger(__name__)


class Displayed:
    """The outputs of one panel.

    Args:
        panel: whose status says when it is at rest.
        worker: whose idle time the picture takes.
        take: the panel as it is.
        names: of traits that change the picture without any work.
    """

    def __init__(self, panel: PanelWire, worker: Worker, take: Callable[[], Still], names: Sequence[str] = ()) -> None:
        self._panel, self._worker, self._take = panel, worker, take
        self._id = f"spade-widgets-{panel.model_id}"
        self._shown: dict[str, str] = {}
        self._on_page = False
        self._stale = False
        self._lock = threading.Lock()
        self.follow(panel, names)

    def follow(self, panel: PanelWire, names: Sequence[str] = ()) -> None:
        """Also when this panel comes to rest, or one of these traits changes, there is another picture."""
        panel.observe(self._changed, ["status", *names])

    def show(self, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Put the panel on the page: its own output, of these data and metadata, and the picture's."""
        self._on_page = True
        _display(dict(data), metadata=dict(metadata))
        with self._lock:
            self._stale = False  # what changes while it is taken makes it stale again
            self._shown = self._take().bundle()
            _display(self._shown, display_id=self._id)

    def refresh(self) -> None:
        """Replace the picture, if the panel is on a page and shows something else by now."""
        with self._lock:
            if not self._stale or not InteractiveShell.initialized():
                return
            self._stale = False
            bundle = self._take().bundle()
            if bundle != self._shown:
                self._shown = bundle
                _display(bundle, display_id=self._id, update=True)

    def _changed(self, change: Any) -> None:
        if self._on_page and change["owner"].status["state"] != "working":
            self._stale = True
            self._worker.submit((self._panel, "still"), self._refreshing(), self._failed, idle=True)

    def _refreshing(self) -> Steps:
        self.refresh()
        yield

    def _failed(self, error: Exception) -> None:
        log.error("The saved picture of a panel could not be made", exc_info=error)


def _display(data: dict[str, Any], **options: Any) -> None:
    display(data, raw=True, **options)  # type: ignore[no-untyped-call]
