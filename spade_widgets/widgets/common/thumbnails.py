"""The samples' thumbnails on the wire: a trait for each few, so that one sample more does not send all of them again.

A trait is sent whole whenever it changes. Three hundred thumbnails in one are a megabyte for each sample that is added,
and messages alone would reach neither a view that comes late nor a notebook that is saved.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import traitlets as t

from spade_widgets.runtime.session import Session
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.images import thumbnail
from spade_widgets.widgets.common.wire import PanelWire

#: Thumbnails in one trait: at some 3 kB each, one more sample sends 25 kB at most.
CHUNK = 8

# By session and sample: panels that are linked show the same.
_made: WeakKeyDictionary[Session, dict[str, bytes]] = WeakKeyDictionary()


def place(number: int) -> list[int]:
    """Where the thumbnail of the sample with this number is: the trait's number, and its place in there."""
    return list(divmod(number, CHUNK))


class Thumbnails:
    """The traits `thumbs_0`, `thumbs_1`, … of one panel: lists of files' bytes, in the order of the session's samples.

    Args:
        panel: that gets them.
    """

    def __init__(self, panel: PanelWire) -> None:
        self._panel = panel
        self._showing = threading.Lock()

    def show(self) -> None:
        """Bring those to the wire that are not there yet."""
        with self._showing:
            samples = self._panel.session.samples
            new: dict[str, Any] = {}
            for first in range(0, len(samples), CHUNK):
                name, those = f"thumbs_{first // CHUNK}", samples[first : first + CHUNK]
                if not self._panel.has_trait(name):
                    new[name] = t.List(self._files(those)).tag(sync=True)
                elif len(getattr(self._panel, name)) < len(those):
                    setattr(self._panel, name, self._files(those))
            if new:
                self._panel.add_traits(**new)

    def _files(self, samples: Sequence[Sample]) -> list[bytes]:
        session = self._panel.session
        made = _made.setdefault(session, {})
        for sample in samples:
            if sample.id not in made:
                made[sample.id] = thumbnail(session.classifier.view(sample))
        return [made[sample.id] for sample in samples]
