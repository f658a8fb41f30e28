"""A page without a browser: it records what a panel sends, and sets and says what a page would."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spade_widgets.runtime.jobs import WORKER
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.common.panel import Panel

PATIENCE = 60.0


def picture(seed: int, title: str = "sample", side: int = 32) -> Sample:
    return Sample(Image.fromarray(pixels(seed, side)), title)


def masked(seed: int, title: str = "masked", side: int = 32) -> Sample:
    """A sample with a patch that is known."""
    mask = np.zeros((side, side), dtype=bool)
    mask[3:9, 4:12] = True
    return Sample(Image.fromarray(pixels(seed, side)), title, mask=mask)


def pixels(seed: int, side: int = 32) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def png(seed: int, side: int = 32) -> bytes:
    with io.BytesIO() as out:
        Image.fromarray(pixels(seed, side)).save(out, "PNG")
        return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def settle(panel: Panel) -> None:
    """Until the panel has nothing left to do."""
    assert panel.wait(PATIENCE)


@dataclass
class Page:
    """The other end of a panel's wire."""

    panel: Any
    messages: list[tuple[dict[str, Any], list[bytes]]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.panel._send = self._received

    def _received(self, message: dict[str, Any], buffers: list[Any] | None = None) -> None:
        json.dumps(message, allow_nan=False)  # what cannot be sent as JSON fails here, as it would in a kernel
        raw = [bytes(buffer) for buffer in buffers or []]
        if message["method"] == "custom":
            self.messages.append((message["content"], raw))
        elif message["method"] == "update":
            state = dict(message["state"])
            for path, data in zip(message["buffer_paths"], raw, strict=True):
                if len(path) == 1:  # a trait of bytes; pictures within lists are not looked at
                    state[path[0]] = data
            self.updates.append(state)

    def set(self, **state: Any) -> None:
        self.panel.set_state(state)

    def say(self, kind: str, buffers: list[bytes] | None = None, **content: Any) -> None:
        self.panel._handle_custom_msg({"type": kind, **content}, [memoryview(b) for b in buffers or []])

    def add(self, *files: tuple[str, bytes]) -> None:
        self.say("add", [data for _, data in files], files=[{"name": name} for name, _ in files])

    def told(self, name: str) -> list[Any]:
        """All values of a trait that the page was told, in order."""
        return [state[name] for state in list(self.updates) if name in state]


class Gate:
    """Holds the worker between two of its steps until it is opened."""

    def __init__(self) -> None:
        self._entered, self._opened = threading.Event(), threading.Event()
        WORKER.submit(self, self._steps(), lambda _error: None)
        assert self._entered.wait(PATIENCE)

    def _steps(self) -> Iterator[None]:
        self._entered.set()
        assert self._opened.wait(PATIENCE)
        yield

    def open(self) -> None:
        self._opened.set()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()


class Slow:
    """Steps of pictures that wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
        self.reached = threading.Event()
        self.taken = 0
        self.allowed = allowed
        step = Renderer.step

        def slow(renderer: Renderer) -> float:
            if self.taken >= self.allowed:
                self.reached.set()
                time.sleep(0.02)
            self.taken += 1
            return step(renderer)

        monkeypatch.setattr(Renderer, "step", slow)


def flush() -> None:
    """Until the worker has done at least one step of everything that was submitted before."""
    done = threading.Event()

    def steps() -> Iterator[None]:
        yield from [None] * 40  # every second turn is its own
        done.set()

    WORKER.submit(done, steps(), lambda _error: None)
    assert done.wait(PATIENCE)
