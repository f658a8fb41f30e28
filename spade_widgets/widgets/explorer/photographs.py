"""What an Explorer has of the user's photographs: which they are, and the neuron's examples among them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spade_widgets.checks import whole
from spade_widgets.errors import first_line
from spade_widgets.inspection.examples import Examples
from spade_widgets.runtime.exemplify import MOST, Gallery
from spade_widgets.runtime.explore import Selection
from spade_widgets.runtime.jobs import Steps
from spade_widgets.sample import Source
from spade_widgets.widgets.common.panel import Panel
from spade_widgets.widgets.common.wire import check_flag, one_of
from spade_widgets.widgets.explorer.screen import Screen
from spade_widgets.widgets.explorer.strip import Strip
from spade_widgets.widgets.explorer.wire import CHANNEL_ORDERS, STRIP_ORDERS, ExplorerWire


class Photographed(Panel, ExplorerWire):
    """A panel with a strip of examples; see the Explorer for what of it is public."""

    _screen: Screen
    _strip: Strip

    @property
    def photos(self) -> tuple[Source, ...]:
        """The photographs that examples are looked for in: paths, where they came from files; else the samples.

        Set them to a folder, a list of anything `Sample.read` takes, or None for the panel's own samples.
        """
        return self.gallery.photos

    @photos.setter
    def photos(self, value: Source | Iterable[Source] | None) -> None:
        gallery = Gallery(self.session, value)
        with self._starting:
            self.gallery = gallery
        self._strip.forget()
        self._strip.look()
        self.code = self._recipe(self._selection())

    @property
    def examples(self) -> Examples | None:
        """The neuron's examples, the strongest first, as many as the strip shows; None until all were looked at."""
        if not self.gallery.whole:
            return None
        return self.gallery.examples(self._selection().neuron, self.strip_count)

    def _selection(self) -> Selection:
        raise NotImplementedError

    def _rest(self) -> list[threading.Event]:
        ending = [*super()._rest(), *self._strip.ending()]
        self._strip.rest("waiting")
        return ending

    def _accepted(self, name: str, value: Any) -> Any:
        if name == "strip":
            return check_flag(name, value)
        if name == "strip_count":
            return min(whole("count of examples", value), MOST)
        if name == "strip_order":
            return one_of("order of the examples", value, STRIP_ORDERS)
        if name == "channel_order":
            return one_of("order of the channels", value, CHANNEL_ORDERS)
        return super()._accepted(name, value)

    def _looked(self, change: Any) -> None:
        """The strip is folded or unfolded, another part of it is asked for, or there is another sample."""
        if change["name"] == "samples" and not self.gallery.own:
            return
        self._strip.look()
        if change["name"] in ("strip", "strip_count"):
            self.code = self._recipe(self._selection())

    def _message(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        kind = content.get("type")
        if kind == "example":
            self._besides("example", self._choose_example(str(content.get("id"))))
        elif kind == "photos":
            names = [str(file.get("name", "")) for file in content.get("files", [])]
            self._besides(f"photos {next(self._numbers)}", self._take(list(zip(names, buffers, strict=False))))
        else:
            super()._message(widget, content, buffers)

    def _choose_example(self, identifier: str) -> Steps:
        """On the worker's thread: an example becomes the sample."""
        found = self.gallery.examples(self._selection().neuron, MOST)
        example = next((one for one in found or () if one.id == identifier), None)
        if example is not None:
            sample = self._add(example.sample)
            if isinstance(example.source, str | Path):
                self._opened.sample_code.setdefault(sample.id, repr(str(example.source)))
            self.sample_id = sample.id
        yield

    def _take(self, files: list[tuple[str, Any]]) -> Steps:
        """On the worker's thread: files that were dropped on the strip come to the photographs."""
        if self.gallery.own:
            self._strip.forget()
        try:
            for name, data in files:
                self.gallery.keep(name, bytes(data))
                yield
        except OSError as error:
            self.error = f"The photographs cannot be kept while the panel is there ({first_line(error)})."
        finally:
            self.send({"type": "photos taken", "files": len(files)})
        if not self.strip:
            self.strip = True
        self._strip.look()
        self.code = self._recipe(self._selection())
