"""Feature visualization: the picture that excites a neuron, under a dense classifier or under a sample's trace.

Objectives, the image parameterisation and the transforms are Lucent's; the loop is ours (`renderer`). Importing this
package does not import Lucent: that happens when the first `Renderer` is made.

May import: `pruning`, and what lies below it.
"""

from spade_widgets.visualization.once import render, visualize
from spade_widgets.visualization.overlay import overlay
from spade_widgets.visualization.renderer import Frame, Renderer

__all__ = ["Frame", "Renderer", "overlay", "render", "visualize"]
