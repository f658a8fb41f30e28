"""Examples: the user's own images that excite a neuron, and the crops of them that do.

May import: `attribution`, `disk`, `pruning`, and what lies below it.
"""

from spade_widgets.inspection.examples.crop import Crop, crop
from spade_widgets.inspection.examples.example import By, Example, Examples
from spade_widgets.inspection.examples.examples import examples, peak, peaks
from spade_widgets.inspection.examples.index import Index, IndexProgress
from spade_widgets.inspection.examples.kept import kept

__all__ = [
    "By",
    "Crop",
    "Example",
    "Examples",
    "Index",
    "IndexProgress",
    "crop",
    "examples",
    "kept",
    "peak",
    "peaks",
]
