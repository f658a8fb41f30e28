"""The listed channels: a layer's, those first that the sample excites most, or is most exceptional for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spade_widgets.runtime.explore import Excited, Selection
from spade_widgets.runtime.session import Session
from spade_widgets.widgets.common import images

Shares: TypeAlias = npt.NDArray[np.float64]

#: Channels listed.
CHANNELS = 24


def channel_list(session: Session, selection: Selection, excited: Excited, shares: Shares | None) -> dict[str, Any]:
    """What the page is told of a layer's channels.

    Args:
        session: what is known.
        selection: what is listed.
        excited: the sample's maps.
        shares: per cent of the photographs that excite each channel less, to be in order by; None: by excitement.
    """
    ranked = (-excited.strengths).argsort(kind="stable") if shares is None else _by_share(shares, excited.strengths)
    view = images.small_view(session.classifier.view(selection.sample))
    return {
        "sample_id": selection.sample.id,
        "layer": selection.layer,
        "total": len(excited.strengths),
        "order": "activation" if shares is None else "percentile",
        "rows": [
            {"channel": i, "activation": float(excited.strengths[i]), "map": images.heat(view, excited.maps[i])}
            for i in ranked[:CHANNELS].tolist()
        ],
    }


def channel_shares(channels: Mapping[str, Any], shares: Shares) -> dict[str, Any]:
    """What the page is told of how exceptional the sample is for the listed channels.

    Args:
        channels: what is listed.
        shares: of all of the layer's.
    """
    listed = [row["channel"] for row in channels["rows"]]
    return {
        "sample_id": channels["sample_id"],
        "layer": channels["layer"],
        "rows": [[channel, float(shares[channel])] for channel in listed],
    }


def _by_share(shares: Shares, strengths: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """The most exceptional first; of those that are alike, the most excited."""
    return np.lexsort((-strengths, -shares))
