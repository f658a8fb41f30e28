"""What the Explorer and its front end agree on, beyond what every panel has."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets as t

from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.visualization.accentuation import NEAR
from spade_widgets.widgets.common.once import bundle, once
from spade_widgets.widgets.common.wire import SHARED, STATIC, PanelWire

#: What a user selects in the Explorer.
SELECTION = (*SHARED, "neuron", "layer", "image", "count", "near")
#: What may be in the Explorer's middle.
CENTRES = ("visualization", "saliency", "both")
#: What the strip's examples and the listed channels may be in order by.
STRIP_ORDERS = ("activation", "kept")
CHANNEL_ORDERS = ("activation", "percentile")
#: How examples and channels are looked at: what is computed for them needs no other trace or picture.
LOOKS = ("strip", "strip_count", "strip_order", "channel_order")

FRONT_END = (STATIC / "explorer.js").read_text(encoding="utf-8")


class ExplorerWire(PanelWire):
    """The Explorer's traits. Those in `SELECTION`, `LOOKS` and `centre` both sides set; the others Python alone.

    Attributes:
        gallery: the photographs that examples are looked for in.
    """

    gallery: Gallery

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

    strip: t.TraitType[Any, Any] = t.TraitType(False).tag(sync=True)
    strip_count: t.TraitType[Any, Any] = t.TraitType(9).tag(sync=True)
    strip_order: t.TraitType[Any, Any] = t.TraitType("activation").tag(sync=True)
    channel_order: t.TraitType[Any, Any] = t.TraitType("activation").tag(sync=True)

    layers: t.List[Any] = t.List().tag(sync=True)
    channels: t.Dict[str, Any] = t.Dict({"sample_id": "", "layer": "", "total": 0, "rows": []}).tag(sync=True)
    #: Per cent of the photographs that excite each of them less: pairs; in a trait of its own, which weighs little.
    channel_shares: t.Dict[str, Any] = t.Dict({"sample_id": "", "layer": "", "rows": []}).tag(sync=True)
    dense: t.Dict[str, Any] = t.Dict().tag(sync=True)
    sparse: t.Dict[str, Any] = t.Dict().tag(sync=True)
    # Files, WebP where Pillow has it: what was rendered is kept by the session to the last bit, this is what is shown.
    dense_file = t.Bytes(b"").tag(sync=True)
    sparse_file = t.Bytes(b"").tag(sync=True)
    chart = anywidget.WidgetTrait().tag(sync=True)
    saliency_panel = anywidget.WidgetTrait().tag(sync=True)
    maps_state = t.Unicode("idle").tag(sync=True)
    #: How far the photographs are looked through.
    photo_index: t.Dict[str, Any] = t.Dict(
        {"state": "idle", "own": True, "total": 0, "done": 0, "left": None, "left_out": []}
    ).tag(sync=True)
    #: The neuron's examples; and, in a trait of its own, for it changes with each trace, what the trace keeps of them.
    strip_examples: t.Dict[str, Any] = t.Dict({"neuron": "", "rows": []}).tag(sync=True)
    strip_kept: t.Dict[str, Any] = t.Dict({"neuron": "", "sample_id": "", "rows": []}).tag(sync=True)
    exceptional: t.Dict[str, Any] = t.Dict(
        {"neuron": "", "sample_id": "", "seen": 0, "examples": 0, "percentile": None}
    ).tag(sync=True)
