"""The SPADE engine: `spade` is the procedure, `pruner` and `sequential` walk it; each of its matters has a room.

May import: `classifier`, `sample`, `prediction`, `network`, `checks`, `errors`; torch, and nothing of Jupyter.
"""
