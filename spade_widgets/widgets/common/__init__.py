"""What every panel shares: its traits, its jobs' way to the screen, what it opens on, and its saved picture.

May import: `runtime` and what lies below it; no panel.
"""
