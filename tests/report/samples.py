"""Notebooks that the tests of the report are made from."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from touchpoint_lib.report.headline import Headline, Tile, Verdict

PLOTLY = "application/vnd.plotly.v1+json"
HOSTILE = "<script>document.title = 'hacked'</script>"


def png(width: int = 40, height: int = 20) -> str:
    """Return a grey PNG, base64."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = (b"\x00" + b"\x99" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def shown(value: Any, source: str = "show()", **metadata: Any) -> NotebookNode:
    """Return a code cell that displays ``value``: a dict of types, or an object with displays."""
    if isinstance(value, go.Figure):
        data = {PLOTLY: value.to_plotly_json()}
    elif isinstance(value, dict):
        data = value
    else:
        data = value._repr_mimebundle_()
    return new_code_cell(source, outputs=[new_output("display_data", data)], metadata=metadata)


def line_chart() -> go.Figure:
    """Return a chart with a title longer than a phone is wide, and a footer."""
    weeks = list(range(1, 40))
    figure = go.Figure(
        layout={
            "title": {
                "text": "The model expects <b>4,120</b> purchases in the holdout; 4,002 came & the "
                "baseline promised 5,300",
                "x": 0,
                "xref": "paper",
            },
            "xaxis": {"title": {"text": "Weeks since the split"}},
            "yaxis": {"title": {"text": "Purchases"}},
            "template": "plotly_white",
            "width": 1400,
            "margin": {"t": 60, "b": 90},
        }
    )
    figure.add_scatter(x=weeks, y=[110 - week for week in weeks], name="actual", mode="lines")
    figure.add_scatter(x=weeks, y=[112 - 1.1 * week for week in weeks], name="model", mode="lines")
    figure.add_annotation(
        text="Source: CDNOW, customers who first bought in the first quarter of 1997; n = 2,357",
        xref="paper",
        yref="paper",
        x=0,
        y=-0.2,
        yanchor="top",
        xanchor="left",
        showarrow=False,
    )
    return figure


def slider_chart() -> go.Figure:
    """Return a chart whose slider switches between two series."""
    figure = go.Figure(layout={"title": {"text": "An earlier contact costs more errors"}})
    figure.add_bar(x=["30", "60", "90"], y=[0.5, 0.4, 0.3], name="error", visible=True)
    figure.add_bar(x=["30", "60", "90"], y=[0.1, 0.2, 0.3], name="omission", visible=False)
    steps = [
        {
            "method": "update",
            "label": name,
            "args": [{"visible": [name == "error", name != "error"]}],
        }
        for name in ("error", "omission")
    ]
    figure.update_layout(sliders=[{"steps": steps, "pad": {"t": 50}}])
    return figure


def wide_table() -> pd.DataFrame:
    """Return more columns than fit beside each other, and text from data that looks like markup."""
    columns = {f"column number {number}": [1234.5 * number, -0.25] for number in range(14)}
    return pd.DataFrame({"segment": ["loyal", HOSTILE], **columns})


def full_notebook() -> NotebookNode:
    """Return a notebook with one of everything that a report can hold."""
    headline = Headline(
        "Who is still a customer, and who only looks like one?",
        "1,023 of 2,357 customers are awake; contacting the other 1,334 pays only after 90 days of "
        "silence & not before.",
        [
            Tile("Awake customers", "1,023", "95%: 981 to 1,064", "recency rule: 1,310"),
            Tile("Error rate", "0.254", "95%: 0.231 to 0.278", "fixed 90 days: 0.464"),
            Tile("Omission rate", "0.118", "95%: 0.097 to 0.142", "fixed 90 days: 0.729"),
            Tile("Value at stake", "$48,200", "95%: $41,900 to $55,000", "last year: $39,000"),
        ],
        {
            "Source": "cdnow.csv",
            "Rows": "6,919 used, 0 refused",
            "Window": "1997-01-01 to 1998-06-30",
        },
    )
    text = (
        "The modified BG/NBD model gives each customer a probability of being *alive*; "
        "the shop decides what to do with it. "
        "客户仍然活跃的概率由模型给出，而不是由固定的天数决定。\n\n"
    )
    cells = [
        new_markdown_cell("# Segmentation\n\nA wrong contact costs $5 and a missed one $10."),
        shown(headline, "headline"),
        new_code_cell("path = None", metadata={"tags": ["parameters"]}),
        new_markdown_cell("## The holdout decides\n\n" + text * 2),
        shown(Verdict(f"The model is 3 % off; markup such as {HOSTILE} stays text."), "verdict"),
        shown(line_chart(), "figure = draw('" + "x" * 300 + "')"),
        new_markdown_cell(
            "## Formulas\n\n"
            "With $P(\\text{alive}) = \\frac{1}{1 + a/(b+x)}$ and `$not$` a formula:\n\n"
            "$$\\mathbb{E}[X(t)] = \\sum_{n \\ge 1} "
            "\\frac{B(a, b+x+n-1)}{B(a, b+x)} I_z(n, r+x)$$\n\n"
            "### 客户分层\n\n- care only inside the cycle\n- a stimulus at the warning line\n"
        ),
        shown(slider_chart(), "slider"),
        new_markdown_cell("## The table behind it\n\n" + text),
        shown({"text/html": wide_table().to_html(), "text/plain": "table"}, "table"),
        new_markdown_cell(
            "### 客户分层\n\n| segment | customers | share |\n|---|---|---|\n"
            "| awake | 1,023 | 43 % |\n"
            "| asleep | 834 | 35 % |\n"
        ),
        shown({"image/png": png(), "text/plain": "<Figure>"}, "picture"),
        new_code_cell(
            "print('done')",
            outputs=[
                new_output("stream", name="stdout", text="converged after 5 steps\n"),
                new_output("stream", name="stderr", text="secret warning on stderr\n"),
            ],
        ),
        new_markdown_cell(
            "## What to do on Monday\n\n" + text * 3 + "> Read on in the next report."
        ),
    ]
    return new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
