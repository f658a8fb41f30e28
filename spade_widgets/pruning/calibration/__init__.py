"""Calibration: a sample's augmentations, and each layer's Gram matrix over them.

May import: `pruning.progress`, and what lies below `pruning`.
"""

from spade_widgets.pruning.calibration.calibration import Calibration, batch_size, calibrate, gram, stages

__all__ = ["Calibration", "batch_size", "calibrate", "gram", "stages"]
