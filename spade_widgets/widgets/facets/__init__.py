"""The Facet panel: the unlike things that a neuron answers to in the user's photographs, and what it is in each.

May import: what `widgets` may; of its rooms, `common` alone.
"""
