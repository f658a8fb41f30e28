"""The map of a trace: channels, and how much of a neuron's value flows between them.

May import: `attribution`, `pruning`, and what lies below it.
"""

from spade_widgets.inspection.maps.trace_map import Edge, Node, TraceMap, trace_map

__all__ = ["Edge", "Node", "TraceMap", "trace_map"]
