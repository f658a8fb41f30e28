"""The built-in classifiers and their samples, a room each: data, and what made them.

May import: `evidence`, and what lies below it; nothing of `runtime` and `widgets`.
"""
