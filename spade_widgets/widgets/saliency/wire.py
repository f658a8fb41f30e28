"""What the Saliency panel and its front end agree on: the synchronised traits."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets as t

from spade_widgets.attribution.methods import METHODS
from spade_widgets.runtime.attribute import NETWORKS
from spade_widgets.widgets.common.once import bundle, once
from spade_widgets.widgets.common.wire import SHARED, STATIC, PanelWire

#: What a user selects in the panel: what is computed depends on it.
SELECTION = (*SHARED, "methods", "target")
#: How maps are drawn: the page does that, nothing is computed.
VIEW = ("opacity", "colormap", "signed", "clip", "scale", "outline")
#: `js/src/lib/colormaps.ts` has them.
COLORMAPS = ("auto", "rdbu", "puor", "prgn", "inferno", "magma", "viridis", "blues", "greys")
#: Whether both maps of a method share one scale.
SCALES = ("same", "own")
#: `target` where it is the class that the dense network predicts.
PREDICTED = -1


FRONT_END = (STATIC / "saliency.js").read_text(encoding="utf-8")


def map_trait(network: str, method: str) -> str:
    """The name of the trait that holds a map."""
    return f"map_{network}_{method}"


class SaliencyWire(PanelWire):
    """The Saliency panel's traits. Those in `SELECTION` and `VIEW` both sides set; the others Python alone."""

    _esm = once(FRONT_END)
    _bundle = bundle(FRONT_END)
    _css = (STATIC / "saliency.css").read_text(encoding="utf-8")

    # A list on the wire: a tuple would not be taken for what the page has just sent, and be sent back.
    methods: t.TraitType[Any, Any] = t.TraitType(("saliency",)).tag(sync=True, to_json=lambda keys, _: list(keys))
    target: t.TraitType[Any, Any] = t.TraitType(PREDICTED).tag(sync=True)

    opacity: t.TraitType[Any, Any] = t.TraitType(0.75).tag(sync=True)
    colormap: t.TraitType[Any, Any] = t.TraitType("auto").tag(sync=True)
    signed: t.TraitType[Any, Any] = t.TraitType(True).tag(sync=True)
    clip: t.TraitType[Any, Any] = t.TraitType(99.5).tag(sync=True)
    scale: t.TraitType[Any, Any] = t.TraitType("same").tag(sync=True)
    outline: t.TraitType[Any, Any] = t.TraitType(True).tag(sync=True)

    embedded = t.Bool(False).tag(sync=True)
    all_methods: t.List[Any] = t.List().tag(sync=True)
    #: `file`: what the model sees of the sample: WebP where Pillow has it.
    image: t.Dict[str, Any] = t.Dict({"sample_id": "", "file": b"", "mask": b""}).tag(sync=True)
    cells: t.Dict[str, Any] = t.Dict().tag(sync=True)
    curves = anywidget.WidgetTrait().tag(sync=True)
    curves_stale = t.Bool(False).tag(sync=True)
    #: As `status`, of the curves.
    curves_status: t.Dict[str, Any] = t.Dict(
        {"state": "idle", "text": "", "done": None, "of": None, "seconds": 0.0}
    ).tag(sync=True)

    # A trait for each map, so that one map goes over the wire once: float32, little endian, h·w, row by row.
    for _network in NETWORKS:
        for _method in METHODS:
            vars()[map_trait(_network, _method)] = t.Bytes(b"").tag(sync=True)
    del _network, _method
