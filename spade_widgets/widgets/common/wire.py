"""What every panel and its front end agree on: the synchronised traits. `js/src/common/wire.ts` says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets as t

from spade_widgets.errors import InputError
from spade_widgets.pruning.plans.plan import DEFAULT
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample
from spade_widgets.widgets.common.observers import guard, notifying
from spade_widgets.widgets.common.views import Views

STATIC = Path(__file__).parents[1] / "static"
#: What every panel selects, in the panel and from Python alike.
SHARED = ("sample_id", "sparsity", "preset", "pattern", "plan", "solver", "sequential", "fidelity")


def one_of(name: str, value: object, accepted: tuple[str, ...]) -> str:
    """The value, if it is accepted.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, str) or value not in accepted:
        raise InputError(f"The {name} cannot be {value!r}: {', '.join(map(repr, accepted))} can be chosen.")
    return value


def check_flag(name: str, value: object) -> bool:
    """The value, if it is a truth value.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"'{name}' is {value!r}, which is neither True nor False.")
    return bool(value)


class PanelWire(anywidget.AnyWidget):
    """The traits that every panel has. Those in `SHARED` both sides set; the others Python alone.

    Attributes:
        session: what is shown.
        views: who sees it.
    """

    session: Session
    views: Views

    # Of no type, so that `_accepted` alone says what is wrong with a value: `t.Any` would let None through.
    sample_id: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    sparsity: t.TraitType[Any, Any] = t.TraitType(0.9).tag(sync=True)
    preset: t.TraitType[Any, Any] = t.TraitType(DEFAULT).tag(sync=True)
    pattern: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    #: (pattern, sparsity) pairs; lists on the wire.
    plan: t.TraitType[Any, Any] = t.TraitType(()).tag(sync=True, to_json=lambda plan, _: [list(pair) for pair in plan])
    solver: t.TraitType[Any, Any] = t.TraitType("refined").tag(sync=True)
    sequential: t.TraitType[Any, Any] = t.TraitType(False).tag(sync=True)
    #: None, or in (0, 1]: the sparsest trace that keeps the prediction is looked for; `sparsity` goes where it is.
    fidelity: t.TraitType[Any, Any] = t.TraitType(None).tag(sync=True)

    app: t.Dict[str, Any] = t.Dict().tag(sync=True)
    #: `thumb`: where its thumbnail is, in the traits that `Thumbnails` adds.
    samples: t.List[Any] = t.List().tag(sync=True)
    presets: t.List[Any] = t.List().tag(sync=True)
    solvers: t.List[Any] = t.List().tag(sync=True)
    #: Solver → seconds that a trace takes with it, about.
    estimates: t.Dict[str, Any] = t.Dict().tag(sync=True)
    predictions: t.Dict[str, Any] = t.Dict({"sample_id": "", "rows": []}).tag(sync=True)
    trace_summary: t.Dict[str, Any] = t.Dict().tag(sync=True)
    solved: t.List[Any] = t.List().tag(sync=True)
    #: `about`: how long the trace takes in all, in words; "" where that is not long.
    status: t.Dict[str, Any] = t.Dict(
        {"state": "idle", "text": "", "done": None, "of": None, "seconds": 0.0, "about": ""}
    ).tag(sync=True)
    error = t.Unicode("").tag(sync=True)
    code = t.Unicode("").tag(sync=True)

    def observe(self, handler: Any, names: Any = t.All, type: str = "change") -> None:  # noqa: A002 - its name
        """As any widget's. What a user's handler raises never ends the panel's work; see `observers`."""
        super().observe(guard(handler), names, type)

    def notify_change(self, change: Any) -> None:
        """As any widget's; what users' handlers raise comes out last."""
        with notifying():
            super().notify_change(change)

    def found(self, sample: Sample, pruning: Pruning, sparsity: float) -> None:
        """A trace that keeps the prediction was found: the slider goes there, if it is still asked for."""
        raise NotImplementedError
