"""What the Facet panel and its front end agree on: the synchronised traits. `js/src/panels/facets/wire.ts` says so."""

from __future__ import annotations

from typing import Any

import traitlets as t

from spade_widgets.runtime.facets import PLACES
from spade_widgets.widgets.common.once import bundle, once
from spade_widgets.widgets.common.wire import SHARED, STATIC, PanelWire

#: What a user selects in the panel: what is computed depends on it. The sample is marked alone.
SELECTION = (*(name for name in SHARED if name != "sample_id"), "neuron", "count", "groups")
#: What is set besides: the sample, and the list of a layer's neurons.
BESIDES = ("sample_id", "layer", "listing")
#: `count` where as many facets are shown as there are.
AUTO = 0
#: The most that can be asked for.
MOST = PLACES - 1

FRONT_END = (STATIC / "facets.js").read_text(encoding="utf-8")


def file_trait(place: int) -> str:
    """The name of the trait that holds a picture: 0 is the dense one, 1 the first facet's, …"""
    return f"picture_{place}"


class FacetWire(PanelWire):
    """The Facet panel's traits. Those in `SELECTION` and `BESIDES` both sides set; the others Python alone."""

    _esm = once(FRONT_END)
    _bundle = bundle(FRONT_END)
    _css = (STATIC / "facets.css").read_text(encoding="utf-8")

    neuron: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    #: `AUTO`, or how many facets.
    count: t.TraitType[Any, Any] = t.TraitType(AUTO).tag(sync=True)
    #: Ids of examples, a list a facet of the user's own; none: the neuron's facets.
    groups: t.TraitType[Any, Any] = t.TraitType(()).tag(
        sync=True, to_json=lambda groups, _: [list(members) for members in groups]
    )
    layer: t.TraitType[Any, Any] = t.TraitType("").tag(sync=True)
    listing: t.TraitType[Any, Any] = t.TraitType(False).tag(sync=True)

    layers: t.List[Any] = t.List().tag(sync=True)
    #: What was found, in words and numbers; `neuron` is "" while nothing is.
    summary: t.Dict[str, Any] = t.Dict({"neuron": "", "sentence": "", "seen": 0, "own": True, "facets": []}).tag(
        sync=True
    )
    #: The grouped examples, the strongest first: as `example_row`, and where each lies: `x`, `y`, `facet`.
    examples: t.List[Any] = t.List().tag(sync=True)
    #: Progress of each picture, the dense one first.
    pictures: t.List[Any] = t.List().tag(sync=True)
    #: What each facet's trace is; None while there is none.
    trace_rows: t.List[Any] = t.List().tag(sync=True)
    #: Which of a layer's neurons have several facets.
    survey: t.Dict[str, Any] = t.Dict({"layer": "", "state": "idle", "done": 0, "of": 0, "left": None, "rows": []}).tag(
        sync=True
    )

    # A trait for each picture, so that one goes over the wire once: an image file, WebP where Pillow has it.
    for _place in range(1 + PLACES):
        vars()[file_trait(_place)] = t.Bytes(b"").tag(sync=True)
    del _place
