"""The one look of every figure: template, colours, title, footer, escaping."""

from __future__ import annotations

import html
import textwrap
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

# Figures travel as plain JSON: light in a notebook, exact to compare, drawn by the exporter.
pio.renderers.default = "plotly_mimetype"

#: Okabe & Ito (2008), safe for colour-blind readers.
ACCENT = "#0072B2"
BASELINE = "#D55E00"
GREYS = ("#4d4d4d", "#7f7f7f", "#a6a6a6", "#d0d0d0")

_FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans CJK SC', 'PingFang SC', sans-serif"
_TITLE_COLUMNS = 78

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": _FONT, "size": 13, "color": "#222222"},
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 17}},
        "colorway": [ACCENT, BASELINE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9"],
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 70, "r": 30, "t": 80, "b": 90},
        "height": 440,
        "xaxis": {
            "showgrid": False,
            "zeroline": False,
            "linecolor": "#888888",
            "ticks": "outside",
        },
        "yaxis": {"gridcolor": "#e6e6e6", "zeroline": False, "automargin": True},
        "hoverlabel": {"font": {"family": _FONT}},
        "showlegend": False,
    }
)


def text(value: Any) -> str:
    """Return ``value`` as text that plotly shows to the letter.

    Plotly reads a small HTML in its texts; what comes from data must not be read as such.
    """
    return html.escape(str(value), quote=False)


def finish(
    figure: go.Figure, title: str, source: str, n: int, *, footer_at: float = -0.22
) -> go.Figure:
    """Give ``figure`` its template, the title that states the finding, and the footer.

    ``footer_at`` is the height of the footer below the plot, in plot heights.
    """
    figure.update_layout(
        template=TEMPLATE,
        title_text=wrap(title),
        annotations=[
            *figure.layout.annotations,
            {
                "text": text(f"Source: {source}; n = {n:,}"),
                "xref": "paper",
                "yref": "paper",
                "x": 0,
                "y": footer_at,
                "xanchor": "left",
                "yanchor": "top",
                "showarrow": False,
                "font": {"size": 11, "color": "#666666"},
            },
        ],
    )
    return figure


def wrap(title: str) -> str:
    """Return an escaped title, broken where it would run out of the figure."""
    return "<br>".join(text(line) for line in textwrap.wrap(title, _TITLE_COLUMNS))
