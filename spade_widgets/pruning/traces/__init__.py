"""Traces: a sample's sparse subnetwork, its file, its statistics, and what two have in common.

May import: `pruning.calibration`, of `pruning.plans` the plan itself, and what lies below `pruning`.
"""
