"""Figures of journeys (客户旅程): who moves between stages, as a Sankey diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_columns, check_integer, check_values, fail
from touchpoint_lib.charts._forest import finish_high, joined, shortened, significant
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.timing import counted

_NODES = {
    "start": "#009E73",
    "new": "#56B4E9",
    "awake": ACCENT,
    "drowsy": "#E69F00",
    "half asleep": BASELINE,
    "asleep": GREYS[1],
    "lost": GREYS[0],
}
_OTHER = "#CC79A7"
#: Height of the diagram, and what of it is between two nodes.
_HEIGHT, _SPACE = 440, 0.04


def stage_sankey_data(flows: pd.DataFrame, months: int = 3) -> pd.DataFrame:
    """Return the flows of the last months of a log.

    Parameters
    ----------
    flows : DataFrame
        From `stage_flows` without a group.
    months : int
        At most so many.

    Returns
    -------
    DataFrame
        A row a month and pair of stages: month (text, YYYY-MM), source, target (text), customers,
        share (4 decimals; NaN of start). ``attrs`` holds order, the nodes from start to lost.

    Raises
    ------
    InputError
        If a column is missing, there are several groups, or ``months`` is below 1.
    """
    names = ("group", "month", "source", "target", "customers", "share")
    check_columns(flows, names, "flows", "make it with stage_flows(...)")
    months = check_integer("months", months, ge=1)
    groups = flows["group"].unique()
    if len(groups) != 1:
        raise fail(
            f"flows have {len(groups)} groups",
            "pass those of one group, or look at flow_difference",
        )
    last = sorted(flows["month"].unique())[-months:]
    data = flows.loc[flows["month"].isin(last), list(names[1:])].reset_index(drop=True)
    order = _stages(data)
    data = data.assign(
        month=data["month"].dt.strftime("%Y-%m"),
        source=data["source"].astype(str),
        target=data["target"].astype(str),
        share=data["share"].round(4),
    )
    data.attrs = {"order": order}
    return data


def stage_sankey_verdict(data: pd.DataFrame) -> str:
    """Return who came in the last month, who moved towards the last stage, and who back.

    Parameters
    ----------
    data : DataFrame
        From `stage_sankey_data`.
    """
    came, *moves = _moves(data)
    told = [f"{came:,} came" if came else "nobody came"]
    for verb, rows in moves:
        if rows.empty:
            told.append(f"nobody moved {verb}")
            continue
        most = rows.nlargest(1, "customers").to_dict("records")[0]
        told.append(
            f"{int(rows['customers'].sum()):,} moved {verb} (above all from {most['source']} to "
            f"{most['target']}: {most['customers']:,}, {most['share']:.0%} of {most['source']})"
        )
    return f"In {data['month'].max()}, {joined(told)}."


def _moves(data: pd.DataFrame) -> tuple[int, tuple[str, pd.DataFrame], tuple[str, pd.DataFrame]]:
    """Return how many came in the last month, and the moves towards the last stage and back."""
    order = data.attrs["order"]
    depth = {name: number for number, name in enumerate(order)}
    # Who is new is awake: to buy again is no step towards sleep.
    if {"new", "awake"} <= set(order):
        depth["new"] = depth["awake"]
    rows = data[data["month"] == data["month"].max()]
    came = rows["source"] == order[0]
    step = rows["target"].map(depth) - rows["source"].map(depth)
    return (
        int(rows.loc[came, "customers"].sum()),
        (f"towards {order[-2]}", rows[(step > 0) & ~came]),
        ("back", rows[step < 0]),
    )


def _stages(table: pd.DataFrame) -> list[str]:
    """Return the nodes in their order."""
    if not isinstance(table["source"].dtype, pd.CategoricalDtype):
        raise fail(
            f"source holds {table['source'].dtype}, no categories",
            "pass the frame of touchpoint_lib as it is: the categories are the order of the stages",
        )
    return [str(one) for one in table["source"].cat.categories]


def stage_sankey(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the flows between stages from month to month, with who came and who was lost.

    Parameters
    ----------
    data : DataFrame
        From `stage_sankey_data`.
    source : str
        For the footer.
    """
    order, months = data.attrs["order"], sorted(set(data["month"]))
    moments = [*months, "end"]
    nodes: dict[tuple[int, str], int] = {}
    links: dict[str, list[Any]] = {"source": [], "target": [], "value": [], "color": [], "text": []}
    for row in data.to_dict("records"):
        at = months.index(row["month"])
        links["source"].append(nodes.setdefault((at, row["source"]), len(nodes)))
        links["target"].append(nodes.setdefault((at + 1, row["target"]), len(nodes)))
        links["value"].append(row["customers"])
        links["color"].append(_pale(row["source"]))
        share = "" if row["source"] == order[0] else f" ({row['share']:.0%})"
        links["text"].append(
            f"{row['month']}: {text(row['source'])} to {text(row['target'])}: "
            f"{row['customers']:,}{share}"
        )
    width = len(months)
    middle = _places(nodes, links, order)
    figure = go.Figure(
        go.Sankey(
            arrangement="fixed",
            node={
                "label": [shortened(name) for _, name in nodes],
                "color": [_NODES.get(name, _OTHER) for _, name in nodes],
                # Plotly takes no 0 and 1 for a place.
                "x": [round(0.001 + 0.998 * at / width, 4) for at, _ in nodes],
                "y": middle,
                "pad": round(_SPACE * _HEIGHT, 4),
                "thickness": 14,
                "hovertemplate": "%{label}: %{value:,}<extra></extra>",
            },
            link={
                "source": links["source"],
                "target": links["target"],
                "value": links["value"],
                "color": links["color"],
                "customdata": links["text"],
                "hovertemplate": "%{customdata}<extra></extra>",
            },
        )
    )
    for at, month in enumerate(moments):
        figure.add_annotation(
            x=round(at / width, 4),
            y=1.04,
            xref="paper",
            yref="paper",
            showarrow=False,
            xanchor="left" if at == 0 else "right" if at == width else "center",
            text=f"<b>{'end of ' + months[-1] if month == 'end' else 'start of ' + month}</b>",
            font={"size": 12},
        )
    n = int(data.loc[data["month"] == months[-1], "customers"].sum())
    came, *moves = _moves(data)
    told = [
        f"{counted(came, 'customer', 'customers')} came",
        *(f"{int(rows['customers'].sum()):,} moved {verb}" for verb, rows in moves),
    ]
    title = f"In {months[-1]}, {joined(told)}"
    return finish_high(figure, title, source, n, _HEIGHT, right=30, head=40)


def _places(
    nodes: dict[tuple[int, str], int], links: dict[str, list[Any]], order: list[str]
) -> list[float]:
    """Return the middle of each node, none on another, from the top (0) to the bottom (1)."""
    flow = np.zeros((2, len(nodes)))
    for side, name in enumerate(("source", "target")):
        np.add.at(flow[side], links[name], links["value"])
    size = flow.max(axis=0)
    at = np.array([moment for moment, _ in nodes])
    # As Plotly does: what is left of the height between the nodes of the fullest column.
    room = 1 - _SPACE * (np.bincount(at) - 1)
    size *= (room / np.bincount(at, weights=size)).min()
    middle, top = np.empty(len(nodes)), np.zeros(at.max() + 1)
    for (moment, _), node in sorted(nodes.items(), key=lambda item: order.index(item[0][1])):
        middle[node] = top[moment] + size[node] / 2
        top[moment] += size[node] + _SPACE
    return [round(float(place), 4) for place in middle.clip(0.001, 0.999)]


def _pale(name: str) -> str:
    """Return the colour of a node as that of a link."""
    colour = _NODES.get(name, _OTHER)
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


def flow_shifts_data(difference: pd.DataFrame) -> pd.DataFrame:
    """Return by how many percentage points the monthly flows of two groups differ.

    Parameters
    ----------
    difference : DataFrame
        From `flow_difference`.

    Returns
    -------
    DataFrame
        A row a pair of stages that both groups have: source, target, difference, low, high
        (percentage points), months_1, months_2. ``attrs`` holds groups, level and order.

    Raises
    ------
    InputError
        If a column is missing or no pair is left.
    """
    names = ("source", "target", "difference", "low", "high", "months_1", "months_2")
    check_columns(difference, names, "difference", "make it with flow_difference(...)")
    for name in ("groups", "level"):
        if name not in difference.attrs:
            raise fail(f"attrs of difference lack {name!r}", "pass the frame of flow_difference")
    rows = difference[difference["difference"].notna()]
    if rows.empty:
        raise fail("no stage was held by both groups", "pass two groups of the same shop")
    check_values("difference", rows["difference"], ge=-1, le=1)
    data = rows[list(names)].reset_index(drop=True)
    order = _stages(data)
    figures = ["difference", "low", "high"]
    data[figures] = (100 * data[figures]).apply(significant)
    data = data.assign(source=data["source"].astype(str), target=data["target"].astype(str))
    data.attrs = {"order": order, **difference.attrs}
    return data


def flow_shifts_verdict(data: pd.DataFrame) -> str:
    """Return which moves differ clearly between the groups.

    Parameters
    ----------
    data : DataFrame
        From `flow_shifts_data`.
    """
    first, second = data.attrs["groups"]
    sure = data[(data["low"] > 0) | (data["high"] < 0)].to_dict("records")
    if not sure:
        return (
            f"No monthly move of {second} differs clearly from {first}: every interval of "
            f"{100 * data.attrs['level']:g}% holds 0."
        )
    told = [
        f"from {row['source']} to {row['target']} by {_points(row['difference'], '+')} points "
        f"({_points(row['low'])} to {_points(row['high'])})"
        for row in sure
    ]
    return (
        f"Compared with {first}, customers of {second} move {joined(told)} a month; the other "
        f"{len(data) - len(sure)} intervals of {100 * data.attrs['level']:g}% hold 0. By chance "
        f"alone some {(1 - data.attrs['level']) * len(data):.1f} of {len(data)} would not."
    )


def flow_shifts(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the differences of monthly flows as a map of sources and targets.

    Parameters
    ----------
    data : DataFrame
        From `flow_shifts_data`.
    source : str
        For the footer.
    """
    order = [name for name in data.attrs["order"] if name in {*data["source"], *data["target"]}]
    rows = [name for name in order if name in set(data["source"])]
    size = max(abs(data["difference"]).max(), 0.1)
    z: list[list[Any]] = [[None] * len(order) for _ in rows]
    shown = [[""] * len(order) for _ in rows]
    for row in data.to_dict("records"):
        at, to = rows.index(row["source"]), order.index(row["target"])
        sure = row["low"] > 0 or row["high"] < 0
        # Grey where the interval holds 0.
        z[at][to] = row["difference"] if sure else 0.0
        shown[at][to] = (
            f"<b>{_points(row['difference'], '+')}</b><br>"
            f"{_points(row['low'])} to {_points(row['high'])}"
        )
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=[text(f"to {name}") for name in order],
            y=[text(f"from {name}") for name in rows],
            text=shown,
            texttemplate="%{text}",
            textfont={"size": 11},
            hovertemplate="%{y} %{x}: %{text}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, BASELINE], [0.5, "#e6e6e6"], [1, ACCENT]],
            zmin=-round(size, 4),
            zmax=round(size, 4),
            showscale=False,
            xgap=3,
            ygap=3,
        )
    )
    figure.update_xaxes(side="top", ticks="", showline=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    first, second = data.attrs["groups"]
    sure = int(((data["low"] > 0) | (data["high"] < 0)).sum())
    title = (
        f"Monthly moves of {second} less those of {first}, in percentage points: clear of 0 in "
        f"{sure} of {len(data)}"
    )
    n = int(data.groupby("source")[["months_1", "months_2"]].first().to_numpy().sum())
    return finish_high(figure, title, source, n, 46 * len(rows) + 12, right=30, head=30)


def _points(value: float, sign: str = "") -> str:
    """Return percentage points, never -0.0."""
    return f"{round(value, 1) + 0.0:{sign}.1f}"
