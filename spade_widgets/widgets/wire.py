"""What panels and their front ends agree on: the synchronised traits. `js/src/wire.ts` says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from spade_widgets.errors import InputError
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.once import ONCE, bundle
from spade_widgets.widgets.views import Views

STATIC = Path(__file__).parent / "static"
#: What every panel selects, in the panel and from Python alike.
SHARED = ("sample_id", "sparsity", "preset", "pattern", "solver")
#: What a user selects in the Explorer.
SELECTION = ("sample_id", "sparsity", "neuron", "layer", "preset", "pattern", "solver", "image", "count")
#: What may be in the Explorer's middle.
CENTRES = ("visualization", "saliency", "both")


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


class ExplorerWire(PanelWire):
    """The Explorer's traits. Those in `SELECTION` and `centre` both sides set; the others Python alone."""

    # The text, not the path: for a path, anywidget keeps every panel ever made alive, so that it can be reloaded.
    _esm = ONCE
    _bundle = bundle((STATIC / "explorer.js").read_text(encoding="utf-8"))
    _css = (STATIC / "explorer.css").read_text(encoding="utf-8")

    neuron: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    layer: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    image: t.TraitType[Any, Any] = t.TraitType("fourier").tag(sync=True)
    count: t.TraitType[Any, Any] = t.TraitType(1).tag(sync=True)
    centre: t.TraitType[Any, Any] = t.TraitType("visualization").tag(sync=True)

    layers: t.List[Any] = t.List().tag(sync=True)
    channels: t.Dict[str, Any] = t.Dict({"sample_id": "", "layer": "", "total": 0, "rows": []}).tag(sync=True)
    dense: t.Dict[str, Any] = t.Dict().tag(sync=True)
    sparse: t.Dict[str, Any] = t.Dict().tag(sync=True)
    dense_png = t.Bytes(b"").tag(sync=True)
    sparse_png = t.Bytes(b"").tag(sync=True)
    chart = anywidget.WidgetTrait().tag(sync=True)
    saliency_panel = anywidget.WidgetTrait().tag(sync=True)
    maps_state = t.Unicode("idle").tag(sync=True)
