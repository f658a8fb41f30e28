"""What the Explorer and its front end agree on, beyond what every panel has."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets as t

from spade_widgets.visualization.accentuation import NEAR
from spade_widgets.widgets.common.once import bundle, once
from spade_widgets.widgets.common.wire import SHARED, STATIC, PanelWire

#: What a user selects in the Explorer.
SELECTION = (*SHARED, "neuron", "layer", "image", "count", "near")
#: What may be in the Explorer's middle.
CENTRES = ("visualization", "saliency", "both")


FRONT_END = (STATIC / "explorer.js").read_text(encoding="utf-8")


class ExplorerWire(PanelWire):
    """The Explorer's traits. Those in `SELECTION` and `centre` both sides set; the others Python alone."""

    # The text, not the path: for a path, anywidget keeps every panel ever made alive, so that it can be reloaded.
    _esm = once(FRONT_END)
    _bundle = bundle(FRONT_END)
    _css = (STATIC / "explorer.css").read_text(encoding="utf-8")

    neuron: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    layer: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    image: t.TraitType[Any, Any] = t.TraitType("fourier").tag(sync=True)
    count: t.TraitType[Any, Any] = t.TraitType(1).tag(sync=True)
    near: t.TraitType[Any, Any] = t.TraitType(NEAR).tag(sync=True)
    centre: t.TraitType[Any, Any] = t.TraitType("visualization").tag(sync=True)

    layers: t.List[Any] = t.List().tag(sync=True)
    channels: t.Dict[str, Any] = t.Dict({"sample_id": "", "layer": "", "total": 0, "rows": []}).tag(sync=True)
    dense: t.Dict[str, Any] = t.Dict().tag(sync=True)
    sparse: t.Dict[str, Any] = t.Dict().tag(sync=True)
    # Files, WebP where Pillow has it: what was rendered is kept by the session to the last bit, this is what is shown.
    dense_file = t.Bytes(b"").tag(sync=True)
    sparse_file = t.Bytes(b"").tag(sync=True)
    chart = anywidget.WidgetTrait().tag(sync=True)
    saliency_panel = anywidget.WidgetTrait().tag(sync=True)
    maps_state = t.Unicode("idle").tag(sync=True)
