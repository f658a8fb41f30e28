"""Facets: the unlike things that a neuron answers to, as groups of its examples.

May import: `inspection.examples`, `attribution`, `disk`, `pruning`, and what lies below it.
"""

from spade_widgets.inspection.facets.facets import Facet, Facets, facets
from spade_widgets.inspection.facets.several import ChannelFacets, several

__all__ = ["ChannelFacets", "Facet", "Facets", "facets", "several"]
