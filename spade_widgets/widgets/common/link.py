"""Two panels that select the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from weakref import ref

import traitlets as t

from spade_widgets.widgets.common.follow import following


class Link:
    """From now on the traits of these names are alike in both, whichever is set.

    traitlets' own `link` loses what one thread sets while another's is being copied, and the two then differ for good.
    Here whoever copies takes the value that holds by then, one at a time, so that both end at the same.

    Neither holds the other: one that nobody else holds may go, and the other goes on by itself.

    Args:
        one, other: what is linked; `other` follows at first.
        names: of the traits, in the order in which they are copied then.
    """

    def __init__(self, one: t.HasTraits, other: t.HasTraits, names: Sequence[str]) -> None:
        self._sources = (ref(one), ref(other))
        self._names = list(names)
        self._copying = threading.RLock()
        self._linked = True
        self._handlers = [self._follow(one, other), self._follow(other, one)]
        for source, handler in zip((one, other), self._handlers, strict=True):
            source.observe(handler, self._names)
        for name in self._names:  # what was set before it was observed
            self._handlers[0]({"name": name})

    def end(self) -> None:
        """Let each go its own way; a second time does nothing."""
        with self._copying:
            if not self._linked:
                return
            self._linked = False
        for source, handler in zip(self._sources, self._handlers, strict=True):
            if (still := source()) is not None:
                still.unobserve(handler, self._names)

    def _follow(self, one: t.HasTraits, other: t.HasTraits) -> Any:
        ends = ref(one), ref(other)

        def copy(change: Any) -> None:
            source, target = (end() for end in ends)
            if source is None or target is None:
                return
            with self._copying:
                value = getattr(source, change["name"])
                if self._linked and getattr(target, change["name"]) != value:
                    with following():
                        setattr(target, change["name"], value)

        return copy
