"""What is left of each layer, as a Plotly chart: kept weights and reconstruction error."""

from __future__ import annotations

from typing import Any

from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.widgets.common.once import figure_widget

#: The colour of everything that is the trace's; the front end's `--sw-trace`.
TRACE = "#d97228"
ERROR = "#6b7280"
#: Pixels above the bars, for Plotly's toolbar.
TOP = 32


def chart() -> Any:
    """An empty Plotly `FigureWidget` with two panes: kept weights in %, relative error, a bar a layer."""
    import plotly.graph_objects as go

    figure = figure_widget()(
        data=[
            go.Bar(
                orientation="h",
                marker_color=TRACE,
                hovertemplate="<b>%{y}</b><br>kept %{customdata[0]:,} of %{customdata[1]:,} weights<extra></extra>",
            ),
            go.Bar(
                orientation="h",
                marker_color=ERROR,
                xaxis="x2",
                hovertemplate="<b>%{y}</b><br>relative error %{x:.4f}<extra></extra>",
            ),
        ],
        layout={
            "xaxis": {"domain": [0, 0.48], "title": {"text": "kept weights, %"}, "range": [0, 100]},
            "xaxis2": {"domain": [0.52, 1], "title": {"text": "relative reconstruction error"}, "rangemode": "tozero"},
            "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
            "margin": {"l": 8, "r": 12, "t": TOP, "b": 40},
            "showlegend": False,
            "bargap": 0.35,
            # Theme-neutral: the page's own background shows through, and this grey reads on white and on black.
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "#808691", "size": 12},
        },
    )
    figure._config = {**figure._config, "responsive": True}  # fits itself to the panel when the window changes
    for axis in (figure.layout.xaxis, figure.layout.xaxis2):
        axis.gridcolor = "rgba(128,134,145,0.25)"
    return figure


def fill(figure: Any, trace: Trace) -> None:
    """Show a trace in the chart."""
    rows = trace.stats()
    # Layer names are a user's text: Plotly reads < and & as markup.
    names = [row.name.replace("&", "&amp;").replace("<", "&lt;") for row in rows]
    with figure.batch_update():
        figure.data[0].y = figure.data[1].y = names
        figure.data[0].x = [100 * row.kept / row.total for row in rows]
        figure.data[0].customdata = [(row.kept, row.total) for row in rows]
        figure.data[1].x = [row.error for row in rows]
        figure.layout.height = 82 + TOP + 24 * max(3, len(rows))
