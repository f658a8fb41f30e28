"""A notebook without a page or a kernel: it keeps what is displayed, and tells what a kernel tells of its cells."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


class Outputs:
    """Keeps what is displayed as a notebook would: outputs in order, those with a display id replaced."""

    def __init__(self) -> None:
        self.all: list[tuple[str | None, dict[str, Any]]] = []
        self.threads: list[str] = []
        self.updates = 0

    def display(
        self,
        data: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        display_id: str | None = None,
        update: bool = False,
    ) -> None:
        json.dumps([data, metadata])
        self.threads.append(threading.current_thread().name)
        name = display_id
        if update:
            self.updates += 1
            self.all = [(n, data if n == name else old) for n, old in self.all]
        else:
            self.all.append((name, data))


class Kernel:
    """What a kernel tells of the cells that it runs: the part of it that is asked and that tells hooks."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.user_ns: dict[str, Any] = {"_oh": {}}
        self.user_ns_hidden: dict[str, Any] = {}
        self.hooks: list[Callable[[dict[str, Any]], dict[str, Any]]] = []
        self.ended: list[Callable[[Any], None]] = []
        self.events = self.display_pub = self
        self.displayhook = SimpleNamespace()
        self._cell, self._runs, self.kind = "", 0, "execute_request"

    def register(self, _event: str, callback: Callable[[Any], None]) -> None:
        self.ended.append(callback)

    def register_hook(self, hook: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.hooks.append(hook)

    def get_parent(self) -> dict[str, Any]:
        header = {"msg_type": self.kind, "msg_id": f"run {self._runs}"}
        return {"header": header, "metadata": {"cellId": self._cell} if self._cell else {}}

    @contextmanager
    def running(self, cell: str) -> Iterator[None]:
        """Within, a cell runs; "": one without an id."""
        self._cell, self._runs = cell, self._runs + 1
        yield
        for callback in self.ended:
            callback(SimpleNamespace(info=SimpleNamespace(cell_id=cell or None)))
        self._cell = ""

    def display(self, shown: Any, display_id: str | None = None, *, update: bool = False) -> None:
        """As IPython's display does, of a panel or of a text."""
        data = {"text/plain": shown} if isinstance(shown, str) else shown._repr_mimebundle_()[0]
        content = {"data": data, "metadata": {}, "transient": {"display_id": display_id} if display_id else {}}
        message = {"header": {"msg_type": "update_display_data" if update else "display_data"}, "content": content}
        for hook in self.hooks:
            message = hook(message)
        self.outputs.display(data, display_id=display_id, update=update)

    def clear(self) -> None:
        """As IPython's clear_output."""
        self.outputs.all.clear()
        for hook in self.hooks:
            hook({"header": {"msg_type": "clear_output"}, "content": {"wait": False}})

    def give(self, shown: Any) -> None:
        """As the cell's last expression, in a kernel that tells no hooks of it."""
        number = len(self.user_ns["_oh"]) + 1
        self.user_ns["_oh"][number] = self.user_ns[f"_{number}"] = self.user_ns["_"] = shown
        self.outputs.display(shown._repr_mimebundle_()[0])
