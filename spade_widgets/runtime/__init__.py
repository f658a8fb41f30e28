"""What panels share: the worker, the store in memory and on disk, the session; `tracing` makes its traces.

May import: `evidence`, `demo`, and what lies below them; nothing of `widgets`.
"""
