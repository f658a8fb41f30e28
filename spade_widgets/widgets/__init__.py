"""The panels: thin Python classes on anywidget, a room each; `common/` is what they share.

May import: everything below, `runtime` first; no room but `common` and one that it embeds.
"""
