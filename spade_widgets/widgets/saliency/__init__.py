"""The Saliency panel: maps of several methods, under the dense network and the trace.

May import: `widgets.common`, and what that may.
"""
