"""Taking parts away: what a network says of a sample without some of its channels, connections or pixels.

May import: `pruning`, and what lies below it.
"""

from spade_widgets.inspection.ablation.ablate import Ablation, ablate
from spade_widgets.inspection.ablation.parts import Part

__all__ = ["Ablation", "Part", "ablate"]
