"""The SPADE engine: torch only; knows no widget."""
