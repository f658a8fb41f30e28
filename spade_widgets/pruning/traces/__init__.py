"""Traces: a sample's sparse subnetwork, its file, its statistics, and what two have in common.

May import: `pruning.calibration`, `pruning.plans.plan`, and what lies below `pruning`.
"""
