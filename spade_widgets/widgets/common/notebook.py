"""The notebook that panels are shown in, as its kernel knows it: which cell runs, what it shows, when it has ended.

Where there is no IPython kernel, panels are shown without a saved picture and held until they are closed.
"""

from __future__ import annotations

import gc
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from IPython.core.getipython import get_ipython
from ipywidgets.widgets import Output
from ipywidgets.widgets import widget as ipywidgets_widget

from spade_widgets.runtime.jobs import WORKER, Steps
from spade_widgets.widgets.common.display import Displayed, Slot, publish
from spade_widgets.widgets.common.places import SOMEWHERE, Placed, Places, let_go

log = logging.getLogger(__name__)

VIEW = "application/vnd.jupyter.widget-view+json"
#: Where IPython keeps what cells gave, besides `Out`.
_LAST = ("_", "__", "___")
_NUMBERED = re.compile(r"_\d+")


class Notebook:
    """What is shown where: panels in cells' outputs, and the saved picture that follows each."""

    def __init__(self) -> None:
        self.places = Places()
        # Model id → a panel's outputs that were asked for and are not published yet.
        self._asked: dict[str, Displayed] = {}
        # What the running cell has published: its pictures follow when it ends.
        self._following: list[Slot] = []
        # By the display id that a user gave a panel's output: where its picture is. The panel holds it.
        self._named: WeakValueDictionary[str, Slot] = WeakValueDictionary()
        self._shell: Any = None
        self._heard = threading.local()

    def made(self, panel: Any) -> None:
        """A panel was made: where it is to be displayed through a kernel's cells, it is left to whoever holds it."""
        if _request(get_ipython()):
            let_go(panel)

    def showing(self, panel: Placed, displayed: Displayed, model_id: str) -> None:
        """A panel's own output was asked for: it is about to be published."""
        shell = get_ipython()
        request = _request(shell)
        header = request.get("header", {})
        # An `Output` widget takes what is published, wherever it is and however long it stays there. It takes no
        # replacement of it: a picture in it would grow old.
        if header.get("msg_type") != "execute_request" or _captured(header["msg_id"]):
            self.places.shown(panel, SOMEWHERE)
            return
        self.places.shown(panel, request.get("metadata", {}).get("cellId") or SOMEWHERE)
        self._listen(shell)
        self._asked[model_id] = displayed

    def collect(self, ending: Sequence[threading.Event]) -> None:
        """Free what nobody holds any more, once this work has ended: it is full of circles."""
        WORKER.submit(self, self._collecting(ending), lambda error: log.error("Not collected", exc_info=error))

    # What the kernel tells

    def _listen(self, shell: Any) -> None:
        if self._shell is not shell:
            shell.events.register("post_run_cell", self._ran)
            self._shell = shell
        for publisher in (shell.display_pub, shell.displayhook):
            # Each thread has hooks of its own. Of what a cell gives, as against displays, older kernels tell nothing.
            if publisher not in self._heard.__dict__.setdefault("publishers", []) and hasattr(
                publisher, "register_hook"
            ):
                publisher.register_hook(self._published)
                self._heard.publishers.append(publisher)

    def _published(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message on its way to the page, which goes on as it is."""
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "clear_output":
            self._following.clear()
            return message
        name = content.get("transient", {}).get("display_id")
        displayed = self._asked.pop(content.get("data", {}).get(VIEW, {}).get("model_id"), None)
        if kind == "update_display_data":
            if (replaced := self._named.get(name)) is not None:
                replaced.give(displayed)
        elif displayed is not None:
            slot = Slot(displayed)
            self._following.append(slot)
            if name is not None:
                self._named[name] = slot
        return message

    def _ran(self, result: Any) -> None:
        """A cell has ended: the pictures of what it has shown follow, and what it does not show any more goes."""
        # Given by the cell, to a kernel that does not tell.
        self._following += [Slot(displayed) for displayed in self._asked.values()]
        self._asked.clear()
        following, self._following = self._following, []
        cell = getattr(getattr(result, "info", None), "cell_id", None) or SOMEWHERE
        publish(following, cell)
        if ending := self._let_go(cell):
            self.collect(ending)

    def _let_go(self, cell: str) -> list[threading.Event]:
        """What leaves the page ends its work. A call, so that nothing here holds it when that has ended."""
        left = self.places.ran(cell)
        _forget(self._shell, left)
        return [ended for panel in left for ended in panel.leave_page()]

    def _collecting(self, ending: Sequence[threading.Event]) -> Steps:
        while not all(ended.is_set() for ended in ending):
            yield
        yield  # the worker itself holds the last job until its turn is over
        gc.collect()


def _request(shell: Any) -> dict[str, Any]:
    """The message that the kernel works at; empty where there is no kernel."""
    found: dict[str, Any] | None = shell.get_parent() if hasattr(shell, "get_parent") else None
    return found or {}


def _captured(request: str) -> bool:
    """Whether an `Output` widget takes what is published for this message."""
    widgets = list(ipywidgets_widget._instances.values())
    return any(widget.msg_id == request for widget in widgets if issubclass(type(widget), Output))


def _forget(shell: Any, gone: Iterable[object]) -> None:
    """Take what was shown in an output that is no more out of `Out`, `_`, `_1` and their like."""
    those = {id(one) for one in gone}
    if not those:
        return
    results = shell.user_ns.get("_oh", {})
    for number in [n for n, value in list(results.items()) if id(value) in those]:
        del results[number]
    for space in (shell.user_ns, shell.user_ns_hidden):
        for name in [n for n, value in list(space.items()) if id(value) in those and _NUMBERED.fullmatch(n)]:
            del space[name]
        for name in _LAST:
            if id(space.get(name)) in those:
                space[name] = ""
    for name in _LAST:
        if id(getattr(shell.displayhook, name, None)) in those:
            setattr(shell.displayhook, name, "")


#: The one that this process is the kernel of.
NOTEBOOK = Notebook()
