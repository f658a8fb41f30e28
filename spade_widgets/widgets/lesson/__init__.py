"""Lessons: a session recorded into one page that needs no kernel.

May import: `widgets.common`, and what that may.
"""
