"""Plans: which layers are pruned and how much, chosen by hand, by preset, or by what the trace should keep.

May import: `pruning.calibration`, `pruning.solvers`, `pruning.traces`, `pruning`'s own files, and what lies below.
"""
