"""What the claims rest on: metrics, tables with intervals, tuned plans, planted Trojans, readers.

May import: `inspection`, `attribution`, `visualization`, `pruning`, and what lies below them.
"""

from spade_widgets.evidence.curves import Curve, deletion, insertion
from spade_widgets.evidence.metrics import fidelity, pointing_game, trojan_auc

__all__ = ["Curve", "deletion", "fidelity", "insertion", "pointing_game", "trojan_auc"]
