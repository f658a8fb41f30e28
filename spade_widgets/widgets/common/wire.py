"""What every panel and its front end agree on: the synchronised traits. `js/src/common/wire.ts` says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from spade_widgets.errors import InputError
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.common.views import Views

STATIC = Path(__file__).parents[1] / "static"
#: What every panel selects, in the panel and from Python alike.
SHARED = ("sample_id", "sparsity", "preset", "pattern", "solver")


def one_of(name: str, value: object, accepted: tuple[str, ...]) -> str:
    """The value, if it is accepted.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, str) or value not in accepted:
        raise InputError(f"The {name} cannot be {value!r}: {', '.join(map(repr, accepted))} can be chosen.")
    return value


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
    preset: t.TraitType[Any, Any] = t.TraitType("late").tag(sync=True)
    pattern: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    solver: t.TraitType[Any, Any] = t.TraitType("fast").tag(sync=True)

    app: t.Dict[str, Any] = t.Dict().tag(sync=True)
    samples: t.List[Any] = t.List().tag(sync=True)
    presets: t.List[Any] = t.List().tag(sync=True)
    solvers: t.List[Any] = t.List().tag(sync=True)
    predictions: t.Dict[str, Any] = t.Dict({"sample_id": "", "rows": []}).tag(sync=True)
    trace_summary: t.Dict[str, Any] = t.Dict().tag(sync=True)
    solved: t.List[Any] = t.List().tag(sync=True)
    status: t.Dict[str, Any] = t.Dict({"state": "idle", "text": "", "done": None, "of": None, "seconds": 0.0}).tag(
        sync=True
    )
    error = t.Unicode("").tag(sync=True)
    code = t.Unicode("").tag(sync=True)
