"""The listed channels: a layer's, those first that the sample excites most, or is most exceptional for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.runtime.explore import Excited, Selection
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.common import images

#: Channels listed.
CHANNELS = 24


def channel_list(
    session: Session, gallery: Gallery, selection: Selection, excited: Excited, wanted: str
) -> dict[str, Any]:
    """What the page is told of a layer's channels.

    Args:
        session, gallery: what is known.
        selection: what is listed.
        excited: the sample's maps.
        wanted: what they are to be in order by; by excitement, while nothing is known of the photographs.
    """
    shares = gallery.percentiles(selection.layer, excited.maps.max(axis=(1, 2))) if gallery.whole else None
    order = wanted if shares is not None else "activation"
    ranked = _by_share(shares, excited.strengths) if order == "percentile" and shares is not None else None
    listed = ((-excited.strengths).argsort(kind="stable") if ranked is None else ranked)[:CHANNELS].tolist()
    view = images.small_view(session.classifier.view(selection.sample))
    return {
        "sample_id": selection.sample.id,
        "layer": selection.layer,
        "total": len(excited.strengths),
        "order": order,
        "rows": [
            {
                "channel": i,
                "activation": float(excited.strengths[i]),
                "percentile": None if shares is None else float(shares[i]),
                "map": images.heat(view, excited.maps[i]),
            }
            for i in listed
        ],
    }


def _by_share(shares: npt.NDArray[np.float64], strengths: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """The most exceptional first; of those that are alike, the most excited."""
    return np.lexsort((-strengths, -shares))
