"""Figure of importance against priority (接触点象限矩阵): what to expand, keep, stop, find out."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._forest import amounts, finish_high, joined, shortened, significant
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS
from touchpoint_lib.charts.lifetime import error_bars, legend_on_top
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints.matrix import TouchpointMatrix

_QUADRANTS = {"expand": ACCENT, "keep": "#56B4E9", "stop": BASELINE, "find out": GREYS[2]}
#: Pixels of the plot in a report, of a letter of a label, and from a point to its label.
_WIDE, _HIGH = 640, 420
_LETTER, _TALL, _OFF = 6, 14, 4
#: Where a label may stand: pixels from the point to the middle of the label, in its size.
_PLACES = {
    "top center": (0.0, 1.0),
    "bottom center": (0.0, -1.0),
    "top right": (1.0, 1.0),
    "top left": (-1.0, 1.0),
    "bottom right": (1.0, -1.0),
    "bottom left": (-1.0, -1.0),
}


def touchpoint_quadrants_data(matrix: TouchpointMatrix) -> pd.DataFrame:
    """Return importance and priority of each cell (接触点象限): what a contact earns, what is left.

    Parameters
    ----------
    matrix : TouchpointMatrix
        From `touchpoint_matrix`.

    Returns
    -------
    DataFrame
        A row a channel and stage with an estimate: channel, stage, profit (per 1,000 contacts) with
        low and high, unreached (customers), value (of contacting them once), quadrant. ``attrs``
        holds level, n and missing (cells without an estimate).

    Raises
    ------
    InputError
        If ``matrix`` is something else.
    """
    if not isinstance(matrix, TouchpointMatrix):
        raise fail(f"matrix is a {type(matrix).__name__}", "pass the result of touchpoint_matrix")
    cells = matrix.table[matrix.table["by"] == "stage"]
    known = cells[cells["profit_low"].notna()]
    data = pd.DataFrame(
        {
            "channel": known["channel"].astype(str),
            "stage": known["stage"].astype(str),
            "profit": significant(known["profit_per_1000"]),
            "low": significant(known["profit_low"]),
            "high": significant(known["profit_high"]),
            "unreached": known["unreached"],
            "value": significant(known["not_reached_value"]),
            "quadrant": known["quadrant"],
        }
    ).reset_index(drop=True)
    data.attrs = {
        "level": matrix.level,
        "n": int(cells["opportunities"].sum()),
        "missing": len(cells) - len(known),
    }
    return data


def touchpoint_quadrants_verdict(data: pd.DataFrame) -> str:
    """Return what to expand, keep, stop and find out.

    Parameters
    ----------
    data : DataFrame
        From `touchpoint_quadrants_data`.
    """
    says = []
    for quadrant in ("expand", "keep", "stop"):
        rows = data[data["quadrant"] == quadrant].to_dict("records")
        if rows:
            named = [f"{row['channel']} to {row['stage']}" for row in rows]
            worth = ""
            if quadrant != "stop":
                total = amounts([sum(row["value"] for row in rows)])[0]
                worth = f", where customers not reached are worth {total}"
            says.append(f"{quadrant} {joined(named)}{worth}")
    unknown = int((data["quadrant"] == "find out").sum())
    if unknown:
        says.append(f"find out about {counted(unknown, 'cell', 'cells')} by holding out more")
    missing = data.attrs["missing"]
    end = f" {counted(missing, 'cell has', 'cells have')} no estimate." if missing else ""
    told = "; ".join(says)
    return f"{told[0].upper()}{told[1:]}.{end}" if told else end.strip()


def touchpoint_quadrants(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw what a contact earns (importance) against what is not reached yet (priority).

    Parameters
    ----------
    data : DataFrame
        From `touchpoint_quadrants_data`.
    source : str
        For the footer.
    """
    figure = go.Figure()
    across = _axis([0.0, *data["low"], *data["high"]])
    up = _axis([*data["unreached"].astype(float)])
    names = pd.Series(
        [
            f"{shortened(channel, 16)}, {shortened(stage, 16)}"
            for channel, stage in zip(data["channel"], data["stage"], strict=True)
        ],
        data.index,
        dtype=object,
    )
    # Labels of what is not known would lie on each other.
    sure = data[data["quadrant"] != "find out"]
    places = _label_places(sure, names, across, up)
    for quadrant, colour in reversed(_QUADRANTS.items()):
        part = data[data["quadrant"] == quadrant]
        if part.empty:
            continue
        labelled = quadrant != "find out"
        figure.add_scatter(
            name=quadrant,
            x=part["profit"].tolist(),
            y=part["unreached"].tolist(),
            mode="markers+text" if labelled else "markers",
            text=names[part.index].tolist(),
            textposition=[places[row] for row in part.index] if labelled else None,
            textfont={"size": 11, "color": GREYS[0]},
            marker={"size": 11, "color": colour},
            error_x=error_bars(part["profit"], part["low"], part["high"], 8)
            | {"thickness": 1, "color": colour if labelled else GREYS[3]},
            customdata=part["value"].tolist(),
            hovertemplate="%{text}: profit %{x:,.4g} per 1,000 contacts<br>%{y:,} customers not "
            "reached, worth %{customdata:,.4g}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": GREYS[1], "width": 1.5, "dash": "dash"}, layer="below")
    figure.update_xaxes(title="Importance: profit per 1,000 contacts", range=list(across))
    figure.update_yaxes(title="Priority: customers in the stage today, not reached", range=list(up))
    pays = int(data["quadrant"].isin(["expand", "keep"]).sum())
    title = f"A contact clearly pays in {pays} of {counted(len(data), 'cell', 'cells')}"
    if data.empty:
        title = "No cell of channel and stage has an estimate"
        figure.update_xaxes(showticklabels=False)
        figure.update_yaxes(showticklabels=False)
    return legend_on_top(
        finish_high(figure, title, source, data.attrs["n"], _HIGH, right=30, head=30)
    ).update_layout(legend={"traceorder": "reversed"})


def _axis(values: list[float]) -> tuple[float, float]:
    """Return the range of an axis, with room for labels at its ends."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = 0.08 * (high - low) or 1.0
    return float(f"{low - pad:.6g}"), float(f"{high + pad:.6g}")


def _label_places(
    data: pd.DataFrame,
    names: pd.Series,
    across: tuple[float, float],
    up: tuple[float, float],
) -> dict[object, str]:
    """Return by row where its label hides least of what is drawn already, from above downwards."""
    x = (data["profit"] - across[0]) / (across[1] - across[0]) * _WIDE
    y = (data["unreached"] - up[0]) / (up[1] - up[0]) * _HIGH
    taken = [(x[row] - 6, x[row] + 6, y[row] - 6, y[row] + 6) for row in data.index]
    places: dict[object, str] = {}
    for row in y.sort_values(ascending=False, kind="stable").index:
        half, best = _LETTER * len(names[row]) / 2, (len(taken) + 1, "", (0.0, 0.0, 0.0, 0.0))
        for place, (right, above) in _PLACES.items():
            middle = x[row] + right * (half + _OFF), y[row] + above * (_TALL / 2 + _OFF + 2)
            box = (
                middle[0] - half,
                middle[0] + half,
                middle[1] - _TALL / 2,
                middle[1] + _TALL / 2,
            )
            hides = sum(
                box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3]
                for other in taken
            )
            outside = box[0] < 0 or box[1] > _WIDE
            if hides + outside < best[0]:
                best = hides + outside, place, box
        places[row] = best[1]
        taken.append(best[2])
    return places
