"""The figure of the most frequent paths (路径) of contacts to an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib.charts._forest import (
    LINE,
    add_labels,
    amounts,
    finish_high,
    name_rows,
    shortened,
    significant,
)
from touchpoint_lib.charts._style import ACCENT, GREYS, text
from touchpoint_lib.charts.demand import check_made, share_told
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints._paths import NO_CONTACT, OTHER

_FIGURES = ["share", "share_low", "share_high", "median_days", "touches"]
_ABOUT = ("number", "window", "level", "customers", "fewer", "early", "paths")
_COLOURS = {"path": ACCENT, "no contact": GREYS[1], "other": GREYS[3]}
#: Characters of a path at the left.
_LABEL = 36


def path_bars_data(paths: pd.DataFrame) -> pd.DataFrame:
    """Return the most frequent paths to an order, ready to be drawn.

    Parameters
    ----------
    paths : DataFrame
        From `contact_paths`.

    Returns
    -------
    DataFrame
        A row a path, in the order given: path, kind ("path", "no contact", "other"), customers,
        share with share_low and share_high, median_days from the first touch to the order (NaN
        without a contact) and touches (six significant digits). ``attrs`` are those of ``paths``:
        number, window, level, customers, fewer, early and paths.

    Raises
    ------
    InputError
        If ``paths`` is something else, or lost its columns, rows or attrs.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> data = charts.path_bars_data(tp.contact_paths(shop.contacts, paid, number=2, top=2))
    >>> data[["path", "kind", "customers", "share", "median_days"]].round(2)
               path        kind  customers  share  median_days
    0  (no contact)  no contact       2060   0.41          NaN
    1          page        path        501   0.10         2.87
    2        parcel        path        420   0.08        11.52
    3       (other)       other       2014   0.40        15.50
    """
    names = ["path", "customers", *_FIGURES]
    about = check_made("paths", paths, names, _ABOUT, "contact_paths")
    data = paths[names].reset_index(drop=True)
    data[_FIGURES] = data[_FIGURES].apply(significant)
    kinds = [data["path"] == NO_CONTACT, data["path"] == OTHER]
    data.insert(1, "kind", np.select(kinds, ["no contact", "other"], "path"))
    data.attrs = about
    return data


def path_bars_verdict(data: pd.DataFrame) -> str:
    """Return who had no contact on the way, and whether one path is clearly ahead of the others.

    Parameters
    ----------
    data : DataFrame
        From `path_bars_data`.
    """
    about, level = data.attrs, data.attrs["level"]
    alone = data[data["kind"] == "no contact"].to_dict("records")
    named = data[data["kind"] == "path"].to_dict("records")
    whom = f"{counted(about['customers'], 'customer', 'customers')} with {_orders(about)}"
    had = f"{share_told(alone[0], 'share', level)} had no" if alone else "all had a"
    says = [f"Of {whom}, {had} contact in the {about['window']:g} days before {_which(about)}"]
    if named:
        first, *others = named
        told = (
            f"{first['path']} with {share_told(first, 'share', level)}, {_days(first)} from the "
            "first touch to the order"
        )
        # Where the intervals of two shares of the same customers are apart, so are the shares.
        if not others:
            says.append(f"the most frequent path is {told}")
        elif first["share_low"] > others[0]["share_high"]:
            says.append(f"clearly the most frequent path is {told}")
        else:
            says.append(
                f"the path that leads is {told}, not clearly ahead of {others[0]['path']} with "
                f"{share_told(others[0], 'share', level)}"
            )
    rest = data[data["kind"] == "other"].to_dict("records")
    if rest:
        hidden = about["paths"] - len(named) - len(alone)
        paths = counted(hidden, "other path", "other paths")
        says.append(f"{rest[0]['share']:.1%} came by one of {paths}")
    end = "This describes who ordered, not what made them order"
    if about["early"]:
        end += (
            f"; of {about['early']:,} not all days before are in the log, and their contacts may be"
            " missing"
        )
    return f"{'; '.join(says)}. {end}."


def path_bars(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the share of each path with its interval, and the median days from its first touch.

    Parameters
    ----------
    data : DataFrame
        From `path_bars_data`.
    source : str
        For the footer.
    """
    about, rows = data.attrs, data.to_dict("records")
    share = 100 * data["share"]
    figure = go.Figure()
    figure.add_bar(
        name="share",
        orientation="h",
        x=significant(share).tolist(),
        y=data.index.tolist(),
        width=0.62,
        marker={"color": [_COLOURS[kind] for kind in data["kind"]]},
        error_x=error_bars(share, 100 * data["share_low"], 100 * data["share_high"])
        | {"color": GREYS[0], "thickness": 1.5},
        customdata=[_hover(row, about["level"]) for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
    )
    most = float(100 * data["share_high"].max())
    labels = [
        f"{row['share']:.1%}" + ("" if np.isnan(row["median_days"]) else f", {_days(row)}")
        for row in rows
    ]
    ends = significant(100 * data["share_high"]).tolist()
    add_labels(figure, ends, data.index.tolist(), labels)
    figure.update_xaxes(
        range=[0, float(f"{1.02 * most:.6g}")],
        ticksuffix="%",
        title=f"Share of customers with {_orders(about)}<br>"
        f"(contacts in the {about['window']:g} days before {_which(about)})",
    )
    name_rows(figure, [shortened(path, _LABEL) for path in data["path"]])
    alone = data.loc[data["kind"] == "no contact", "share"]
    named = data[data["kind"] == "path"]
    told = f"{alone.iloc[0]:.0%}" if len(alone) else "None"
    title = f"{told} of the customers came to {_which(about)} order without a contact"
    if len(named):
        first = named.iloc[0]
        title += f"; the path that leads is {first['path']} with {first['share']:.1%}"
    title += f". Bars with {100 * about['level']:g}% intervals"
    return finish_high(figure, title, source, about["customers"], LINE * len(data) + 24, right=150)


def _orders(about: Mapping[Any, Any]) -> str:
    """Return how many orders all customers have."""
    return f"at least {counted(about['number'], 'order', 'orders')}"


def _which(about: Mapping[Any, Any]) -> str:
    """Return which order the paths lead to."""
    number = about["number"]
    end = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"the { ({1: 'first', 2: 'second', 3: 'third'}.get(number) or f'{number}{end}') }"


def _days(row: Mapping[Any, Any]) -> str:
    """Return the days of a path."""
    return f"median {amounts([row['median_days']])[0]} days"


def _hover(row: Mapping[Any, Any], level: float) -> str:
    """Return the figures of a path."""
    lines = [
        f"<b>{text(row['path'])}</b>",
        f"{counted(row['customers'], 'customer', 'customers')}: {share_told(row, 'share', level)}",
    ]
    if row["touches"] > 0:
        lines.append(
            f"{amounts([row['touches']])[0]} contacts on average; {_days(row)} from the first one "
            "to the order"
        )
    return "<br>".join(lines)
