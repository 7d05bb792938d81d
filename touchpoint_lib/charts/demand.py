"""The figure of demand by region and month (区域与季节): where and when more is bought."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import check_columns, fail
from touchpoint_lib.charts._forest import (
    amounts,
    finish_high,
    joined,
    shortened,
    significant,
    whiskers,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.timing import counted

_FIGURES = [
    *("demand", "expected", "ratio", "index", "index_low", "index_high"),
    *("period_index", "period_index_low", "period_index_high"),
    *("region_index", "region_index_low", "region_index_high"),
]
_PERIODS = {"M": ("month", "%Y-%m"), "Q": ("quarter", ""), "W": ("week", "%Y-%m-%d")}
#: Cells that a sentence names at most.
_FEW = 3
#: Periods up to which a cell has room for its figure, and ticks on an axis at most.
_WIDE, _TICKS = 26, 5
#: Heights of the curve on top, and of a region.
_TOP, _ROW = 110, 30
#: Logarithm of the index that the darkest colour stands for at least: a tenth.
_PALE = 0.1
#: Between curve and map.
_GAP = 24


def check_made(
    what: str, frame: Any, columns: Sequence[str], about: Sequence[str], maker: str
) -> dict[Hashable, Any]:
    """Return the attrs of a frame that ``maker`` made; raise if it is another one."""
    remedy = f"make it with {maker}(...)"
    check_columns(frame, columns, what, remedy)
    missing = [name for name in about if name not in frame.attrs]
    if missing:
        raise fail(f"attrs of {what} lack {missing[0]!r}", f"{remedy} and keep its attrs")
    if len(frame) == 0:
        raise fail(f"{what} has no rows", remedy)
    return {name: frame.attrs[name] for name in about}


def share_told(row: Mapping[Any, Any], name: str, level: float) -> str:
    """Return a share with its interval in percent, the share alone where there is none."""
    told = f"{row[name]:.1%}"
    if np.isnan(row[f"{name}_low"]):
        return told
    return f"{told} ({100 * level:g}%: {row[f'{name}_low']:.1%} to {row[f'{name}_high']:.1%})"


def demand_map_data(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shrunken index of each region and period, ready to be drawn.

    Parameters
    ----------
    table : DataFrame
        From `demand_index`.

    Returns
    -------
    DataFrame
        A row a region and period, the region of most demand first: region, period (text: 2025-01,
        2025-Q1, or the Monday of a week), days, exceptional, and demand, expected, ratio (NaN
        where nothing is expected), index, period_index and region_index, the last three with _low
        and _high (six significant digits). ``attrs`` holds level, freq, orders (that count), value
        (the column of money, None for orders), unshrunk (cells whose plain ratio would leave an
        interval of this level by chance: 1 - level of all) and wrong (exceptional cells expected on
        the wrong side of 1, at most: half of 1 - level of them).

    Raises
    ------
    InputError
        If ``table`` is something else, or lost its columns, rows or attrs.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> data = charts.demand_map_data(tp.demand_index(paid, region="product", freq="Q"))
    >>> data.loc[data["period"] == "2025-Q4", ["region", "demand", "index", "exceptional"]].round(2)
         region  demand  index  exceptional
    7    snacks  1890.0    1.0        False
    15      tea  1931.0    1.0        False
    23  clothes  1693.0    1.0        False
    31  kitchen   999.0    1.0        False
    """
    names = ["region", "period", "days", "exceptional", *_FIGURES]
    about = check_made("table", table, names, ("level", "freq", "orders", "value"), "demand_index")
    data = table[names].copy()
    data["region"] = data["region"].astype(str)
    when = pd.DatetimeIndex(data["period"])
    data["period"] = (
        [f"{day.year}-Q{day.quarter}" for day in when]
        if about["freq"] == "Q"
        else when.strftime(_PERIODS[about["freq"]][1])
    )
    data[_FIGURES] = data[_FIGURES].apply(significant)
    total = data.groupby("region")["demand"].transform("sum")
    order = np.lexsort((data["period"], data["region"], -total))
    data = data.iloc[order].reset_index(drop=True)
    miss = 1 - about["level"]
    data.attrs = about | {
        "unshrunk": float(f"{miss * len(data):.6g}"),
        "wrong": float(f"{miss / 2 * data['exceptional'].sum():.6g}"),
    }
    return data


def demand_map_verdict(data: pd.DataFrame) -> str:
    """Return the most exceptional cells, and how many chance brings with and without shrinkage.

    Parameters
    ----------
    data : DataFrame
        From `demand_map_data`.
    """
    about, found = data.attrs, _exceptional(data)
    word, level = _PERIODS[about["freq"]][0], about["level"]
    says = f"Of {len(data):,} cells of region and {word} ({_counted(about)}), "
    if found:
        told = joined([_cell(row, level) for row in found[:_FEW]])
        lead = "above all " if len(found) > _FEW else ""
        says += f"{counted(len(found), 'is', 'are')} exceptional: {lead}{told}"
    else:
        says += (
            f"none is exceptional: every interval of {100 * level:g}% holds what region and {word} "
            "alone explain"
        )
    top = max(data.to_dict("records"), key=lambda row: row["period_index"])
    says += (
        f". Over all regions a day brought most {_brought(about)} in {top['period']}: "
        f"{_index(top, 'period_index', level, ' times')} the average day. Unshrunk, some "
        f"{about['unshrunk']:.0f} would be exceptional by chance alone"
    )
    if found:
        says += (
            f"; of the shrunken ones found, {about['wrong']:.2g} at most are expected on the wrong "
            "side of 1"
        )
    return f"{says}."


def demand_map(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the index by region and period: exceptional cells in full colour with an outline.

    Above it stands what a day of the period brings in all regions, at its right what each region
    brings, both with their intervals, against the average.

    Parameters
    ----------
    data : DataFrame
        From `demand_map_data`.
    source : str
        For the footer.
    """
    about, found = data.attrs, _exceptional(data)
    regions, periods = list(dict.fromkeys(data["region"])), sorted(set(data["period"]))
    shape, high = (len(regions), len(periods)), _ROW * len(regions) + 12
    inner = _TOP + _GAP + high
    figure = make_subplots(
        rows=2,
        cols=2,
        row_heights=[_TOP, high],
        column_widths=[0.8, 0.2],
        horizontal_spacing=0.02,
        vertical_spacing=round(_GAP / inner, 4),
    )
    # In logarithms a half is as far from 1 as the double.
    off = significant(np.log(data["index"])).to_numpy().reshape(shape)
    sure = data["exceptional"].to_numpy().reshape(shape)
    hovers = [_hover(row, about) for row in data.to_dict("records")]
    for name, there, opacity in (("index", ~sure, 0.3), ("exceptional", sure, 1.0)):
        shown = np.where(there, off, np.nan)
        marked = np.where(there & sure, off, np.nan)
        figure.add_heatmap(
            name=name,
            x=list(range(shape[1])),
            y=list(range(shape[0])),
            z=[[None if np.isnan(one) else one for one in line] for line in shown.tolist()],
            text=[[_mark(one, shape[1]) for one in line] for line in marked.tolist()],
            texttemplate="%{text}",
            textfont={"size": 10},
            customdata=np.reshape(hovers, shape).tolist(),
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            coloraxis="coloraxis",
            opacity=opacity,
            xgap=1,
            ygap=1,
            row=2,
            col=1,
        )
    for at, to in np.argwhere(sure).tolist():
        figure.add_shape(
            type="rect",
            x0=to - 0.5,
            x1=to + 0.5,
            y0=at - 0.5,
            y1=at + 0.5,
            line={"color": "#222222", "width": 1.5},
            row=2,
            col=1,
        )
    _add_margins(figure, data)
    note = "<br>(in cells: percent off 1)" if found and shape[1] <= _WIDE else ""
    name = _PERIODS[about["freq"]][0].capitalize() + note
    brought = _brought(about)
    _add_axes(figure, regions, periods, name, brought[:1].upper() + brought[1:])
    # A map without differences is to look like one.
    largest = float(f"{max(np.abs(off).max(), _PALE):.6g}")
    figure.update_layout(
        coloraxis={
            "colorscale": [[0, BASELINE], [0.5, "#f2f2f2"], [1, ACCENT]],
            "cmin": -largest,
            "cmax": largest,
            # In the free corner above the regions.
            "colorbar": {
                "orientation": "h",
                "x": 0.9,
                "y": 1,
                "yanchor": "top",
                "len": 0.19,
                "thickness": 10,
                "tickvals": [-largest, 0, largest],
                "ticktext": [f"{np.exp(end):.2f}" for end in (-largest, 0, largest)],
                "title": {"text": "Index", "side": "top", "font": {"size": 12}},
            },
        }
    )
    word = _PERIODS[about["freq"]][0]
    named = [f"{row['region']} {row['period']} ({_percent(row)})" for row in found[:_FEW]]
    told = f": {joined(named)}" if 0 < len(found) <= _FEW else ""
    title = (
        f"{len(found) or 'None'} of {len(data):,} cells of region and {word} "
        f"{'are' if len(found) > 1 else 'is'} exceptional{told}; unshrunk, some "
        f"{about['unshrunk']:.0f} would be so by chance"
    )
    return finish_high(figure, title, source, about["orders"], inner, right=30)


def _add_margins(figure: go.Figure, data: pd.DataFrame) -> None:
    """Draw what periods and regions bring against the average, with their intervals."""
    months = data.drop_duplicates("period").sort_values("period")
    at = list(range(len(months)))
    figure.add_scatter(
        name="interval",
        x=[*at, *at[::-1]],
        y=[*months["period_index_high"], *months["period_index_low"][::-1]],
        fill="toself",
        fillcolor="rgba(0,114,178,0.2)",
        line={"width": 0},
        hoverinfo="skip",
        row=1,
        col=1,
    )
    figure.add_scatter(
        name="period",
        x=at,
        y=months["period_index"].tolist(),
        mode="lines+markers",
        line={"color": ACCENT, "width": 1.5},
        marker={"size": 4},
        customdata=[
            f"{row['period']}: {amounts([row['period_index']])[0]} times the average day"
            for row in months.to_dict("records")
        ],
        hovertemplate="%{customdata}<extra></extra>",
        row=1,
        col=1,
    )
    regions = data.drop_duplicates("region")
    middle, low, high = (regions[f"region_index{end}"] for end in ("", "_low", "_high"))
    figure.add_scatter(
        name="region",
        x=middle.tolist(),
        y=list(range(len(regions))),
        error_x=whiskers(middle, low, high, 6),
        mode="markers",
        marker={"color": ACCENT, "size": 8},
        customdata=[
            f"{text(row['region'])}: {amounts([row['region_index']])[0]} times the average region"
            for row in regions.to_dict("records")
        ],
        hovertemplate="%{customdata}<extra></extra>",
        row=2,
        col=2,
    )
    average = {"color": GREYS[1], "width": 1, "dash": "dash"}
    figure.add_hline(y=1, line=average, layer="below", row=1, col=1)
    figure.add_vline(x=1, line=average, layer="below", row=2, col=2)


def _add_axes(
    figure: go.Figure, regions: list[str], periods: list[str], title: str, brought: str
) -> None:
    """Name regions and periods, and give both margins the axes of the map."""
    step = -(-len(periods) // _TICKS)
    wide, down = [-0.5, len(periods) - 0.5], [len(regions) - 0.5, -0.5]
    figure.update_xaxes(range=wide, showticklabels=False, ticks="", row=1, col=1)
    figure.update_yaxes(
        title=f"{shortened(brought)} a day,<br>average = 1",
        rangemode="tozero",
        nticks=5,
        row=1,
        col=1,
    )
    figure.update_xaxes(
        range=wide,
        tickvals=list(range(0, len(periods), step)),
        ticktext=periods[::step],
        tickangle=0,
        title=title,
        row=2,
        col=1,
    )
    figure.update_yaxes(
        range=down,
        tickvals=list(range(len(regions))),
        ticktext=[shortened(region) for region in regions],
        showgrid=False,
        row=2,
        col=1,
    )
    figure.update_xaxes(title="Region,<br>average = 1", rangemode="tozero", nticks=4, row=2, col=2)
    figure.update_yaxes(range=down, showticklabels=False, showgrid=False, row=2, col=2)


def _brought(about: Mapping[Any, Any]) -> str:
    """Return what demand is: orders, or a column of money."""
    return "orders" if about["value"] is None else str(about["value"])


def _counted(about: Mapping[Any, Any]) -> str:
    """Return of what the index is."""
    orders = counted(about["orders"], "order", "orders")
    return orders if about["value"] is None else f"{about['value']} of {orders}"


def _exceptional(data: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the exceptional cells, first those whose interval is furthest from 1."""
    cells = data[data["exceptional"]]
    far: Any = np.maximum(np.log(cells["index_low"]), -np.log(cells["index_high"]))
    return cells.iloc[np.argsort(-far, kind="stable")].to_dict("records")


def _cell(row: Mapping[Any, Any], level: float) -> str:
    """Return a cell with its index and interval."""
    return f"{row['region']} in {row['period']} with an index of {_index(row, 'index', level)}"


def _index(row: Mapping[Any, Any], name: str, level: float, unit: str = "") -> str:
    """Return an index with its interval."""
    bounds = f"{row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f}"
    return f"{row[name]:.2f}{unit} ({100 * level:g}%: {bounds})"


def _percent(row: Mapping[Any, Any]) -> str:
    """Return by how much an index is off 1."""
    return f"{100 * (row['index'] - 1):+.0f}%"


def _mark(off: float, periods: int) -> str:
    """Return what an exceptional cell says: its figure where there is room."""
    if np.isnan(off):
        return ""
    if periods <= _WIDE:
        percent = round(100 * np.expm1(off))
        # From the double on there is no room for the sign.
        return f"{percent:+d}" if percent < 100 else f"{percent:d}"
    return "+" if off > 0 else "\u2212"


def _hover(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return the figures of a cell."""
    demand, expected = amounts([row["demand"], row["expected"]])
    return (
        f"<b>{text(row['region'])}, {row['period']}</b><br>"
        f"index {_index(row, 'index', about['level'])}<br>"
        f"{text(_brought(about))} {demand}, expected {expected} ({row['days']:g} days)"
    )
