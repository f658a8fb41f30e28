"""Look inside image classifiers with SPADE: prune a network for one sample, then see what its neurons answer to.

The public names; each is imported when it is first used, so that importing the package costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spade_widgets.attribution.saliency import saliency as saliency
    from spade_widgets.classifier import ImageClassifier as ImageClassifier
    from spade_widgets.errors import InputError as InputError
    from spade_widgets.errors import ModelError as ModelError
    from spade_widgets.errors import SpadeError as SpadeError
    from spade_widgets.evidence.planting import Planted as Planted
    from spade_widgets.evidence.planting import plant as plant
    from spade_widgets.inspection.examples import Examples as Examples
    from spade_widgets.inspection.examples.examples import examples as examples
    from spade_widgets.inspection.facets import Facets as Facets
    from spade_widgets.inspection.facets.facets import facets as facets
    from spade_widgets.neuron import Neuron as Neuron
    from spade_widgets.prediction import predict as predict
    from spade_widgets.pruning.plans.plan import SparsityPlan as SparsityPlan
    from spade_widgets.pruning.plans.sensitivity import sensitivity as sensitivity
    from spade_widgets.pruning.spade import sweep as sweep
    from spade_widgets.pruning.spade import trace as trace
    from spade_widgets.pruning.spade import trace_many as trace_many
    from spade_widgets.pruning.spade import trace_together as trace_together
    from spade_widgets.pruning.traces.trace import Trace as Trace
    from spade_widgets.sample import Sample as Sample
    from spade_widgets.visualization import visualize as visualize
    from spade_widgets.widgets.explorer.panel import Explorer as Explorer
    from spade_widgets.widgets.facets.panel import FacetPanel as FacetPanel
    from spade_widgets.widgets.saliency.panel import SaliencyPanel as SaliencyPanel

__version__ = "0.1.0"

_HOMES = {
    "Examples": "inspection.examples",
    "Explorer": "widgets.explorer.panel",
    "FacetPanel": "widgets.facets.panel",
    "Facets": "inspection.facets",
    "ImageClassifier": "classifier",
    "InputError": "errors",
    "ModelError": "errors",
    "Neuron": "neuron",
    "Planted": "evidence.planting",
    "SaliencyPanel": "widgets.saliency.panel",
    "Sample": "sample",
    "SpadeError": "errors",
    "SparsityPlan": "pruning.plans.plan",
    "Trace": "pruning.traces.trace",
    "examples": "inspection.examples",
    "facets": "inspection.facets",
    "plant": "evidence.planting",
    "predict": "prediction",
    "saliency": "attribution",
    "sensitivity": "pruning.plans.sensitivity",
    "sweep": "pruning.spade",
    "trace": "pruning.spade",
    "trace_many": "pruning.spade",
    "trace_together": "pruning.spade",
    "visualize": "visualization",
}
__all__ = [
    "Examples",
    "Explorer",
    "FacetPanel",
    "Facets",
    "ImageClassifier",
    "InputError",
    "ModelError",
    "Neuron",
    "Planted",
    "SaliencyPanel",
    "Sample",
    "SpadeError",
    "SparsityPlan",
    "Trace",
    "__version__",
    "examples",
    "facets",
    "plant",
    "predict",
    "saliency",
    "sensitivity",
    "sweep",
    "trace",
    "trace_many",
    "trace_together",
    "visualize",
]


def __getattr__(name: str) -> object:
    if name == "demo":  # `sw.demo.photos.planted()` after a mere `import spade_widgets as sw`
        return importlib.import_module(f"{__name__}.demo")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
