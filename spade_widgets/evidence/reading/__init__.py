"""Pictures, judged by a reader: a network that took no part says what a visualization is like, and what it shows.

May import: all of `evidence`, `inspection`, `attribution`, `visualization`, `pruning`, and what lies
below them.
"""
