"""Where in a sample a prediction comes from: saliency methods behind one call, and the metrics that judge them."""

from spade_widgets.attribution.curves import Curve, deletion, insertion
from spade_widgets.attribution.methods import METHODS, Method
from spade_widgets.attribution.metrics import fidelity, pointing_game, trojan_auc
from spade_widgets.attribution.saliency import saliency, saliency_steps

__all__ = [
    "METHODS",
    "Curve",
    "Method",
    "deletion",
    "fidelity",
    "insertion",
    "pointing_game",
    "saliency",
    "saliency_steps",
    "trojan_auc",
]
