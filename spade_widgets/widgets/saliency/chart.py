"""Insertion and deletion curves of all maps on screen, as a Plotly chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spade_widgets.attribution.methods import METHODS
from spade_widgets.evidence.curves import Curve, Mode
from spade_widgets.runtime.attribute import MODES, Cell
from spade_widgets.widgets.common.once import figure_widget

#: A colour a method, always the same; each reads on white and on black.
COLOURS = (
    "#4c8bf5", "#d97228", "#2fa36b", "#c2549d", "#a98a1f", "#8b6fe0", "#d0504c",
    "#2b9eb3", "#8a8f45", "#b0713f", "#6f7fa8", "#5f9e3a", "#b3699b",
)  # fmt: skip
GREY = "#808691"
#: Pixels above the panes: for Plotly's toolbar, and under it the titles.
TOP = 56
DASHES = {"dense": "solid", "sparse": "dash"}
TITLES = {"dense": "dense", "sparse": "trace"}


def chart() -> Any:
    """An empty Plotly `FigureWidget` with two panes, insertion and deletion."""
    axis = {"title": {"text": "share of pixels changed"}, "range": [0, 1], "gridcolor": "rgba(128,134,145,0.25)"}
    height = {"range": [0, 1], "rangemode": "tozero", "gridcolor": "rgba(128,134,145,0.25)"}
    panes = {"xaxis": {"domain": [0, 0.48], **axis}, "xaxis2": {"domain": [0.52, 1], "anchor": "y2", **axis}}
    figure = figure_widget()(
        layout={
            **panes,
            "yaxis": height,
            "yaxis2": {**height, "anchor": "x2", "matches": "y", "showticklabels": False},
            "margin": {"l": 8, "r": 12, "t": TOP, "b": 40},
            "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
            "annotations": [
                {
                    "text": title,
                    "x": x,
                    "y": 1,
                    "xref": "paper",
                    "yref": "paper",
                    "yanchor": "bottom",
                    "showarrow": False,
                }
                for title, x in (("insertion: higher is better", 0.24), ("deletion: lower is better", 0.76))
            ],
            # Theme-neutral: the page's own background shows through, and this grey reads on white and on black.
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": GREY, "size": 12},
        }
    )
    figure._config = {**figure._config, "responsive": True}  # fits itself to the panel when the window changes
    return figure


def fill(figure: Any, walked: Mapping[Cell, Mapping[Mode, Curve]], class_names: Sequence[str]) -> None:
    """Show the curves of these maps, and no others: dense solid, trace dashed, a colour a method, areas in the legend.

    Args:
        figure: made by `chart`.
        walked: the curves of each map, both of them.
        class_names: the classifier's.
    """
    lines = [_line(cell, mode, curves) for cell, curves in walked.items() for mode in MODES]
    with figure.batch_update():
        figure.data = ()
        figure.add_traces(lines)
        figure.layout.height = 292 + TOP + 20 * ((len(walked) + 2) // 3)
        for curves in walked.values():
            # Class names are a user's text: Plotly reads < and & as markup.
            name = class_names[curves["insertion"].target].replace("&", "&amp;").replace("<", "&lt;")
            figure.layout.yaxis.title.text = f"probability of {name}"


def _line(cell: Cell, mode: Mode, curves: Mapping[Mode, Curve]) -> Any:
    import plotly.graph_objects as go

    network, method = cell
    first = mode == MODES[0]
    areas = ", ".join(f"{m} {curves[m].auc:.3f}" for m in MODES)
    return go.Scatter(
        x=curves[mode].changed,
        y=curves[mode].probability,
        xaxis="x" if first else "x2",
        yaxis="y" if first else "y2",
        mode="lines",
        line={"color": COLOURS[list(METHODS).index(method) % len(COLOURS)], "dash": DASHES[network], "width": 2},
        name=f"{METHODS[method].title}, {TITLES[network]}: {areas}",
        legendgroup=f"{network}/{method}",
        showlegend=first,
        hovertemplate="%{y:.3f} at %{x:.0%}<extra>" + f"{METHODS[method].title}, {TITLES[network]}</extra>",
    )
