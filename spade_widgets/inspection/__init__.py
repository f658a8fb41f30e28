"""What excites a neuron: activation maps and the channels in order of excitement.

May import: `attribution`, `disk`, `pruning`, and what lies below it.
"""

from spade_widgets.inspection.activations import activation_maps, excitement, strongest

__all__ = ["activation_maps", "excitement", "strongest"]
