"""Where in a sample a prediction comes from: saliency methods behind one call, and the metrics that judge them."""

from spade_widgets.attribution.methods import METHODS, Method
from spade_widgets.attribution.saliency import saliency, saliency_steps

__all__ = ["METHODS", "Method", "saliency", "saliency_steps"]
