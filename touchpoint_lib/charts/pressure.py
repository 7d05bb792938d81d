"""Figure of contact pressure (触达压力): what one contact more is worth after n recent ones."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._forest import (
    Panels,
    amounts,
    joined,
    significant,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints.pressure import ContactPressure, number_range

_BAND = "rgba(0, 114, 178, 0.18)"
#: Height of a panel.
_HIGH = 170
_BOUNDED = ("value", "low", "high")
#: What stands at the cap of a panel.
_CAPS = {
    "limit": "cap",
    "no limit seen": "no limit up to",
    "stop": "stop: cap",
    "not proven": "not proven: best",
}


def pressure_curve_data(found: ContactPressure) -> pd.DataFrame:
    """Return what one contact more is worth after so many recent ones, by channel and overall.

    Parameters
    ----------
    found : ContactPressure
        From `contact_pressure`.

    Returns
    -------
    DataFrame
        A row a channel and number of recent contacts, "(all)" for those that count together first:
        channel, n, value (money that contact n + 1 is worth) with low and high, effect (margin that
        it adds), cost, unsubscribe (probability), verdict, cap, cap_low, cap_high, and reason. A
        channel that is not identified has one row, with the reason, NaN and no n. Six significant
        digits. ``attrs`` holds level, days, window, kappa with kappa_low and kappa_high (by which
        the log of the effect falls with each recent contact), over and recent (customers over the
        cap today, and with any contact) and n (opportunities with lots).

    Raises
    ------
    InputError
        If ``found`` is something else.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> data = charts.pressure_curve_data(tp.contact_pressure(shop.contacts, paid, window=30))
    >>> data.loc[data["n"].isna(), ["channel", "reason"]].to_dict("split")["data"]
    [['page', 'nobody was held out at random']]
    """
    if not isinstance(found, ContactPressure):
        raise fail(f"found is a {type(found).__name__}", "pass the result of contact_pressure")
    caps = found.caps[["channel", "verdict", "cap", "cap_low", "cap_high", "reason"]]
    caps = pd.concat([caps.iloc[-1:], caps.iloc[:-1]], ignore_index=True)
    figures = [*_BOUNDED, "effect", "cost", "unsubscribe"]
    data = caps.merge(found.curve[["channel", "n", *figures]], on="channel", how="left")
    data["channel"] = data["channel"].astype(str)
    data["n"] = data["n"].astype("Int64")
    data[figures] = data[figures].astype(float).apply(significant)
    data = data[["channel", "n", *figures, "verdict", "cap", "cap_low", "cap_high", "reason"]]
    [kappa, low, high] = significant(pd.Series([found.kappa, found.kappa_low, found.kappa_high]))
    lots = found.effects[["n_contacted", "n_held_out"]].to_numpy().sum()
    data.attrs = {
        "level": found.level,
        "days": found.days,
        "window": found.window,
        "kappa": kappa,
        "kappa_low": low,
        "kappa_high": high,
        "over": found.n_over,
        "recent": found.n_recent,
        "n": int(lots),
    }
    return data


def pressure_curve_verdict(data: pd.DataFrame) -> str:
    """Return what a first contact is worth, how many pay, and for which channels that is known.

    Parameters
    ----------
    data : DataFrame
        From `pressure_curve_data`.
    """
    about = data.attrs
    whole, *single = _channels(data)
    if whole["verdict"] == "not identified":
        says = [f"No cap of all channels is identified: {whole['reason']}."]
    else:
        worth = (
            "Of all channels that count, a contact with no recent one is worth "
            f"{_value(whole, about['level'])} within {about['window']:g} days; "
            f"{_cap(whole, about)}"
        )
        # Who is over a number that nothing proves is no news.
        if whole["verdict"] != "not proven":
            worth += (
                f", and {about['over']:,} of "
                f"{counted(about['recent'], 'customer', 'customers')} contacted in the last "
                f"{about['days']:g} days had more"
            )
        says = [f"{worth}."]
    told = []
    for verdict, words in (
        ("limit", "contacts pay up to the cap by"),
        ("no limit seen", "as many as were tried pay by"),
    ):
        names = [_named(row) for row in single if row["verdict"] == verdict]
        if names:
            told.append(f"{words} {joined(names)}")
    for verdict, words in (
        ("stop", "not even the first pays by"),
        ("not proven", "whether any pays is not proven for"),
    ):
        names = [row["channel"] for row in single if row["verdict"] == verdict]
        if names:
            told.append(f"{words} {joined(names)}")
    if told:
        says.append(f"Channel by channel, {'; '.join(told)}.")
    blind = [
        f"{row['channel']} ({row['reason']})"
        for row in single
        if row["verdict"] == "not identified"
    ]
    if blind:
        says.append(f"Not identified: {joined(blind)}.")
    return " ".join(says)


def pressure_curve(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the value of one contact more by recent contacts, a panel a channel, with the cap.

    Parameters
    ----------
    data : DataFrame
        From `pressure_curve_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    names = list(dict.fromkeys(data["channel"]))
    panels = Panels.of(["all that count", *names[1:]], [_HIGH], 30)
    figure = panels.figure
    known = data[data["n"].notna()]
    ends = [0.0, *known["low"], *known["high"]]
    pad = 0.08 * (max(ends) - min(ends)) or 1.0
    widest = int(known["n"].max()) if len(known) else 0
    for name, (row, col), last in zip(names, panels.places, panels.last, strict=True):
        part = data[data["channel"] == name]
        first = part.iloc[0]
        if pd.isna(first["n"]):
            _add_reason(figure, str(first["reason"]), row, col, panels.wide)
        else:
            _add_curve(figure, part, about, row, col)
        figure.add_hline(
            y=0, line={"color": BASELINE, "dash": "dash", "width": 1.5}, row=row, col=col
        )
        if last:
            figure.update_xaxes(title="Recent contacts", row=row, col=col)
        figure.update_xaxes(
            range=[-0.7, widest + 0.7],
            tickmode="linear",
            tick0=0,
            row=row,
            col=col,
            dtick=max(1, -(-widest // 8)),
        )
        # The label of the cap stands above the bands.
        [low, high] = significant(pd.Series([min(ends) - pad, max(ends) + 3 * pad]))
        figure.update_yaxes(range=[low, high], nticks=6, row=row, col=col)
        if col == 1:
            figure.update_yaxes(
                title={"text": "Value of one more", "font": {"size": 13}}, row=row, col=1
            )
    return panels.finish(_curve_title(data), source, about["n"], right=30)


def _add_curve(
    figure: go.Figure, part: pd.DataFrame, about: Mapping[Any, Any], row: int, col: int
) -> None:
    """Draw the values of a channel with their band, and its cap."""
    n, (value, low, high) = part["n"].astype(int).tolist(), (part[name] for name in _BOUNDED)
    figure.add_scatter(
        name="interval",
        x=[*n, *n[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor=_BAND,
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        row=row,
        col=col,
    )
    figure.add_scatter(
        name="value",
        x=n,
        y=value.tolist(),
        error_y=error_bars(value, low, high, 8) | {"color": ACCENT},
        mode="lines+markers",
        marker={"color": ACCENT, "size": 7},
        customdata=[_hover(one, about["level"]) for one in part.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
        row=row,
        col=col,
    )
    first = part.iloc[0]
    sure = first["verdict"] != "not proven"
    at = int(first["cap"]) - 0.5
    # To the left of the line contacts are made.
    figure.add_vline(
        x=at,
        line={"color": GREYS[0], "width": 2, "dash": "solid" if sure else "dot"},
        row=row,
        col=col,
    )
    figure.add_annotation(
        x=at,
        y=1,
        yref="y domain",
        yanchor="top",
        xanchor="right" if at > (len(part) - 1) / 2 else "left",
        text=f"{_CAPS[first['verdict']]} {first['cap']} ({_range(_channels(part)[0])})",
        showarrow=False,
        font={"size": 11, "color": GREYS[0]},
        row=row,
        col=col,
    )


def _add_reason(figure: go.Figure, reason: str, row: int, col: int, wide: int) -> None:
    """Say in an empty panel why nothing is known."""
    # Without a trace a panel takes no line.
    figure.add_scatter(
        x=[0],
        y=[0],
        mode="markers",
        marker={"opacity": 0},
        hoverinfo="skip",
        name="unknown",
        row=row,
        col=col,
    )
    lines = textwrap.wrap(reason, 84 // wide)
    figure.add_annotation(
        x=0.5,
        y=0.75,
        xref="x domain",
        yref="y domain",
        text="<br>".join(["<b>not identified</b>", *(text(line) for line in lines)]),
        showarrow=False,
        font={"size": 11, "color": GREYS[0]},
        row=row,
        col=col,
    )


def _curve_title(data: pd.DataFrame) -> str:
    about = data.attrs
    whole = _channels(data)[0]
    bars = f"Bands are {100 * about['level']:g}% intervals"
    if whole["verdict"] == "not identified":
        return f"No cap of all channels is identified: {whole['reason']}. {bars}"
    told = _cap(whole, about)
    return f"{told[0].upper()}{told[1:]}. {bars}"


def _channels(data: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Return what is told of each channel, with the largest number that was tried."""
    tried = data["channel"].map(data.groupby("channel")["n"].count())
    return data.assign(tried=tried).drop_duplicates("channel").to_dict("records")


def _range(row: Mapping[Any, Any]) -> str:
    """Return the interval of the best number, open where the numbers that were tried end."""
    return number_range(row["cap_low"], row["cap_high"], row["tried"])


def _cap(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return the best number of contacts of all channels, and how sure that is."""
    cap, days = row["cap"], f"{about['days']:g} days"
    contacts = counted(cap, "contact", "contacts")
    said = {
        "limit": f"up to {contacts} in {days} {'pays' if cap == 1 else 'pay'}",
        "no limit seen": f"{contacts} in {days} {'pays' if cap == 1 else 'pay'}, and more were "
        "hardly ever tried",
        "stop": "no contact pays",
        "not proven": f"whether contacts pay is not proven; the best guess is {cap} in {days}",
    }[row["verdict"]]
    return f"{said} (best number {_range(row)})"


def _named(row: Mapping[Any, Any]) -> str:
    sure = "" if row["cap_low"] == row["cap_high"] else f"{row['cap']}: "
    return f"{row['channel']} (cap {sure}{_range(row)})"


def _value(row: Mapping[Any, Any], level: float) -> str:
    one, low, high = amounts([row[name] for name in _BOUNDED])
    return f"{one} ({100 * level:g}%: {low} to {high})"


def _hover(row: Mapping[Any, Any], level: float) -> str:
    adds, cost = amounts([row["effect"], row["cost"]])
    told = f"after {row['n']}: {_value(row, level)}<br>adds {adds}, costs {cost}"
    if np.isnan(row["unsubscribe"]):
        return told
    return f"{told}, {row['unsubscribe']:.2%} unsubscribe"
