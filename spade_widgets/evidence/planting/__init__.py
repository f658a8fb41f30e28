"""Trojans planted in a copy of any classifier: what decides its class is then known, for the user's own network too.

May import: `glyphs`, and what `evidence` may.
"""

from spade_widgets.evidence.planting.patches import Patch
from spade_widgets.evidence.planting.planted import Planted
from spade_widgets.evidence.planting.procedure import plant, plant_steps
from spade_widgets.evidence.planting.recipe import Recipe
from spade_widgets.evidence.planting.report import PlantReport

__all__ = ["Patch", "PlantReport", "Planted", "Recipe", "plant", "plant_steps"]
