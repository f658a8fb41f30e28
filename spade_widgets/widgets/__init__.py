"""The panels: thin Python classes on anywidget."""
