"""The figure of buyer roles (送礼/自用): who buys for own use, and who buys as gifts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib.charts._forest import (
    LINE,
    add_labels,
    finish_high,
    joined,
    name_rows,
    significant,
)
from touchpoint_lib.charts._style import ACCENT, GREYS
from touchpoint_lib.charts.demand import check_made, share_told
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.metrics._shared import wilson_interval

_ROLES = {
    "own use": "for own use",
    "both": "for own use and as gifts",
    "gift buyer": "as gifts",
    "not known": "role not known",
}


def role_shares_data(roles: pd.DataFrame) -> pd.DataFrame:
    """Return how many customers have which role, and what they order.

    Parameters
    ----------
    roles : DataFrame
        From `buyer_roles`.

    Returns
    -------
    DataFrame
        A row a role, "not known" last, those without customers as well: role, customers, share
        with share_low and share_high (Wilson), orders, orders_share and gift_share (of the orders
        of the role; NaN without any), rounded to six significant digits. ``attrs`` holds level,
        sure and customers.

    Raises
    ------
    InputError
        If ``roles`` is something else, or lost its columns, rows or attrs.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> log = pd.DataFrame({
    ...     "customer_id": ["a"] * 8 + ["b"] * 8 + ["c"] * 8 + ["d"],
    ...     "gift": [True] * 8 + [False] * 8 + [True, False] * 4 + [True],
    ... })
    >>> data = charts.role_shares_data(tp.buyer_roles(log))
    >>> data[["role", "customers", "share", "orders", "gift_share"]]
             role  customers  share  orders  gift_share
    0     own use          1   0.25       8         0.0
    1        both          1   0.25       8         0.5
    2  gift buyer          1   0.25       8         1.0
    3   not known          1   0.25       1         1.0
    """
    columns = ["role", "orders", "gift_orders"]
    about = check_made("roles", roles, columns, ("level", "sure"), "buyer_roles")
    n = len(roles)
    sums = roles[columns].astype({"role": str}).groupby("role")[["orders", "gift_orders"]].sum()
    sums = sums.reindex(list(_ROLES), fill_value=0)
    customers = roles["role"].astype(str).value_counts().reindex(list(_ROLES), fill_value=0)
    low, high = wilson_interval(customers.to_numpy(), np.full(len(_ROLES), n), about["level"])
    data = pd.DataFrame(
        {
            "role": list(_ROLES),
            "customers": customers.to_numpy(),
            "share": customers.to_numpy() / n,
            "share_low": low,
            "share_high": high,
            "orders": sums["orders"].to_numpy(),
            "orders_share": (sums["orders"] / sums["orders"].sum()).to_numpy(),
            "gift_share": (sums["gift_orders"] / sums["orders"].replace(0, np.nan)).to_numpy(),
        }
    )
    shares = ["share", "share_low", "share_high", "orders_share", "gift_share"]
    data[shares] = data[shares].apply(significant)
    data.attrs = about | {"customers": n}
    return data


def role_shares_verdict(data: pd.DataFrame) -> str:
    """Return who buys as gifts, and of how many the role is not known.

    Parameters
    ----------
    data : DataFrame
        From `role_shares_data`.
    """
    about = data.attrs
    rows = {row["role"]: row for row in data.to_dict("records")}
    told = []
    for role, words in _ROLES.items():
        row = rows[role]
        if row["customers"] and role != "not known":
            told.append(
                f"{share_told(row, 'share', about['level'])} buy {words} and make "
                f"{row['orders_share']:.1%} of the orders"
            )
    whom = counted(about["customers"], "customer", "customers")
    sure = f"at a probability of {about['sure']:.0%} or more"
    unknown = rows["not known"]
    start = (
        f"Of {whom}, {joined(told)}, each {sure}"
        if told
        else (f"Of none of {whom} the role is known {sure}")
    )
    end = f"; of {unknown['share']:.1%} it is not known" if told and unknown["customers"] else ""
    return f"{start}{end}."


def role_shares(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the share of customers in each role, with its interval, beside that of their orders.

    Parameters
    ----------
    data : DataFrame
        From `role_shares_data`.
    source : str
        For the footer.
    """
    about, figure = data.attrs, go.Figure()
    for name, column, colour, off in (
        ("customers", "share", ACCENT, -0.2),
        ("orders", "orders_share", GREYS[2], 0.2),
    ):
        end = data["share_high"] if name == "customers" else data[column]
        place = (data.index + off).tolist()
        figure.add_bar(
            name=name,
            orientation="h",
            x=significant(100 * data[column]).tolist(),
            y=place,
            width=0.4,
            marker={"color": colour},
            hoverinfo="skip",
        )
        labels = [
            f"{share:.1%} of the {name}: {number:,}"
            for share, number in zip(data[column], data[name], strict=True)
        ]
        add_labels(figure, significant(100 * end).tolist(), place, labels)
    share, low, high = (100 * data[f"share{end}"] for end in ("", "_low", "_high"))
    figure.data[0].error_x = error_bars(share, low, high) | {"color": GREYS[0], "thickness": 1.5}
    figure.update_xaxes(title="Share of customers, and of orders", ticksuffix="%", range=[0, 101])
    name_rows(figure, [words.capitalize() for words in _ROLES.values()])
    first = data[data["role"] != "not known"].nlargest(1, "share").iloc[0]
    unknown = data["share"].iloc[-1]
    parts = [f"{first['share']:.0%} of the customers buy {_ROLES[first['role']]}"]
    if unknown > 0:
        parts.append(f"the role of {unknown:.0%} is not known")
    title = "; ".join(parts if first["customers"] else parts[1:])
    title = f"{title[0].upper()}{title[1:]}. Bars with {100 * about['level']:g}% intervals"
    return finish_high(figure, title, source, about["customers"], 2 * LINE * len(data), right=190)
