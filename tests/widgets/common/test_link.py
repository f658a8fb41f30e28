"""Panels that select the same."""

from __future__ import annotations

import threading
from typing import Any

import traitlets as t

from spade_widgets.widgets.common.link import Link


class Two(t.HasTraits):
    a = t.Any(0)
    b = t.Any(0)


def test_whichever_is_set_the_other_follows_until_the_end() -> None:
    one, other = Two(a=1, b=2), Two(a=3, b=4)
    link = Link(one, other, ["a"])
    assert (one.a, other.a, one.b, other.b) == (1, 1, 2, 4)
    other.a = 5
    assert one.a == 5
    one.a = 6
    assert other.a == 6
    link.end()
    link.end()
    one.a = 7
    assert other.a == 6


def test_set_at_once_both_end_at_the_same() -> None:
    """traitlets' own link drops one of two values that come at once, and the two differ from then on."""
    for _ in range(50):
        one, other = Two(), Two()
        link = Link(one, other, ["a"])
        go = threading.Barrier(2)

        def drag(panel: Any, values: range, go: threading.Barrier = go) -> None:
            go.wait()
            for value in values:
                panel.a = value

        threads = [
            threading.Thread(target=drag, args=(one, range(1, 200))),
            threading.Thread(target=drag, args=(other, range(1000, 1200))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert one.a == other.a
        link.end()
