"""Where in a sample a prediction comes from: saliency methods behind one call, and the rules that make them right.

May import: `pruning`, and what lies below it.
"""

from spade_widgets.attribution.methods import METHODS, Method
from spade_widgets.attribution.saliency import saliency, saliency_steps

__all__ = ["METHODS", "Method", "saliency", "saliency_steps"]
