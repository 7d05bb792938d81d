"""Figures of behaviour indicators: the outcome by tenths, and who carries the influence."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import check_choice, check_columns, check_integer, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.churn._labelled import labels_of
from touchpoint_lib.churn.influence import MISSING, Influence, indicator_deciles

#: Height of a row of panels, and of a bar.
_PANEL = 270
_BAR = 30
#: Significant digits of the values of an indicator.
_DIGITS = 8


def decile_plot_data(
    frame: pd.DataFrame,
    outcome: Any,
    columns: Any,
    event: str,
    bins: int = 10,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the rate of an outcome by tenths of several indicators.

    Parameters
    ----------
    frame : DataFrame
        Indicators, a row a customer.
    outcome : array of 0/1 or bool, shape (n,)
        What happened.
    columns : label or sequence of labels
        The indicators to show, each once.
    event : str
        What an outcome of 1 means, to follow "customers who", such as "buy within 90 days".
    bins : int
        Classes an indicator.
    level : float
        Of Wilson's interval, in (0, 1).

    Returns
    -------
    DataFrame
        A row an indicator and class, as of `indicator_deciles`, with ``indicator`` in front;
        rates to 4 decimals, values to 8 significant digits.
        ``attrs`` holds n, rate (of all), event and level.

    Raises
    ------
    InputError
        If a column is missing, or a value or outcome is not usable.

    Examples
    --------
    >>> import pandas as pd
    >>> from touchpoint_lib import charts
    >>> frame = pd.DataFrame({"orders": [1, 1, 4, 7]})
    >>> data = charts.decile_plot_data(frame, [0, 0, 0, 1], ["orders"], "buy again", bins=2)
    >>> data[["indicator", "bin", "low", "high", "n", "rate"]]
      indicator bin  low  high  n  rate
    0    orders   1  1.0   1.0  2   0.0
    1    orders   2  4.0   7.0  2   0.5
    """
    names = labels_of(columns)
    check_columns(frame, names, "frame", "name columns of the indicators")
    parts = []
    for name in names:
        table = indicator_deciles(frame[name], outcome, bins, level)
        table.insert(0, "indicator", str(name))
        parts.append(table)
    data = pd.concat(parts, ignore_index=True)
    first = parts[0]
    n = int(first["n"].sum())
    rate = float((first["n"] * first["rate"]).sum()) / n
    data = data.round(dict.fromkeys(("rate", "rate_low", "rate_high"), 4))
    for value in ("low", "high", "median"):
        # Of any size: 4 decimals would leave nothing of purchases a day.
        data[value] = [float(f"{number:.{_DIGITS}g}") for number in data[value]]
    data.attrs = {"n": n, "rate": round(rate, 4), "event": event, "level": float(level)}
    return data


def decile_plot_verdict(data: pd.DataFrame) -> str:
    """Return the indicator whose classes lie furthest apart, and how far.

    Parameters
    ----------
    data : DataFrame
        From `decile_plot_data`.
    """
    event = data.attrs["event"]
    name, low, high = _widest(data)
    overall = f"Of all {data.attrs['n']:,} customers {data.attrs['rate']:.0%} {event}."
    if low["bin"] == high["bin"]:
        return f"{overall} No indicator has customers that differ."
    clear = low["rate_high"] < high["rate_low"]
    return (
        f"{overall} By {name} that is {_told(high, data)} where it is {_range(high)}, and "
        f"{_told(low, data)} where it is {_range(low)}: "
        f"{'clearly different' if clear else 'not clearly different'}."
    )


def decile_plot(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the rate of the outcome by tenths, a panel an indicator, with the rate of all.

    Parameters
    ----------
    data : DataFrame
        From `decile_plot_data`.
    source : str
        For the footer.
    """
    names = list(dict.fromkeys(data["indicator"]))
    wide = min(len(names), 2)
    rows = -(-len(names) // wide)
    height = 200 + _PANEL * rows
    figure = make_subplots(
        rows=rows,
        cols=wide,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        vertical_spacing=0.28 / rows,
        subplot_titles=[text(name) for name in names],
    )
    every = [str(value) for value in dict.fromkeys(data["bin"]) if value != MISSING]
    classes = sorted(every, key=int) + [MISSING] * bool((data["bin"] == MISSING).any())
    for place, name in enumerate(names):
        part = data[data["indicator"] == name]
        row, col = place // wide + 1, place % wide + 1
        figure.add_scatter(
            name=text(name),
            x=part["bin"].tolist(),
            y=part["rate"].tolist(),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (part["rate_high"] - part["rate"]).round(4).tolist(),
                "arrayminus": (part["rate"] - part["rate_low"]).round(4).tolist(),
                "thickness": 1,
                "width": 4,
            },
            mode="markers",
            marker={
                "size": 8,
                "color": [GREYS[1] if value == MISSING else ACCENT for value in part["bin"]],
                "symbol": ["x" if value == MISSING else "circle" for value in part["bin"]],
            },
            customdata=[
                [_range(one), int(n)]
                for one, n in zip(part.to_dict("records"), part["n"], strict=True)
            ],
            hovertemplate="%{customdata[0]}: %{y:.1%} of %{customdata[1]:,}<extra></extra>",
            row=row,
            col=col,
        )
        figure.add_hline(
            y=data.attrs["rate"],
            line={"color": BASELINE, "dash": "dash", "width": 1.5},
            row=row,
            col=col,
        )
        figure.update_xaxes(
            type="category",
            categoryorder="array",
            categoryarray=classes,
            title="Class, rising" if row == rows or place + wide >= len(names) else None,
            row=row,
            col=col,
        )
        if col == 1:
            figure.update_yaxes(title=f"Share who {text(data.attrs['event'])}", row=row, col=col)
    top = round(min(float(data["rate_high"].max()) * 1.05, 1.0), 4)
    figure.update_yaxes(tickformat=".0%", range=[0, max(top, 0.01)])
    name, low, high = _widest(data)
    title = (
        f"From {low['rate']:.0%} to {high['rate']:.0%} {data.attrs['event']} by class of {name}; "
        f"the dashed line is all customers, bars are {100 * data.attrs['level']:g}% intervals"
    )
    # Below the title of the axis, whatever the height.
    finish(figure, title, source, data.attrs["n"], footer_at=round(-60 / (height - 190), 3))
    return figure.update_layout(height=height, margin={"t": 100, "b": 90})


def influence_chart_data(
    found: Influence, by: Literal["groups", "columns"] = "groups", top: int = 12
) -> pd.DataFrame:
    """Return the groups or columns with the largest shares of influence.

    Parameters
    ----------
    found : Influence
        From `influence`.
    by : {"groups", "columns"}
        What a row is.
    top : int
        Rows at most.

    Returns
    -------
    DataFrame
        The largest share first: name (of a group of several, with their number), share, share_low,
        share_high, signal. ``attrs`` holds by, n_all and n_signal (how many there are, and are
        above the noise), noise (the largest increase that a shadow group reached, as a share),
        explained, explained_low, explained_high, level, n and n_customers.

    Raises
    ------
    InputError
        If ``found`` is no `Influence`, or no group has any influence.
    """
    if not isinstance(found, Influence):
        raise fail(f"found is a {type(found).__name__}", "pass the result of influence")
    check_choice("by", by, ("groups", "columns"))
    rows = check_integer("top", top, ge=1)
    total = float(found.groups["loss_increase"].clip(lower=0).sum())
    if total == 0:
        raise fail("no group has any influence", "there is nothing to draw: use more customers")
    table = found.groups if by == "groups" else found.columns
    shown = table.head(rows)
    data = shown[["share", "share_low", "share_high"]].round(4)
    names = [str(name) for name in shown.index]
    if by == "groups":
        sizes = [f" ({n} columns)" if n > 1 else "" for n in shown["n_columns"]]
        names = [f"{name}{size}" for name, size in zip(names, sizes, strict=True)]
    data.insert(0, "name", names)
    data = data.assign(signal=shown["signal"]).reset_index(drop=True)
    data.attrs = {
        "by": by,
        "n_all": len(table),
        "n_signal": int(table["signal"].sum()),
        "noise": round(found.noise / total, 4),
        "explained": round(found.explained, 4),
        "explained_low": round(found.explained_low, 4),
        "explained_high": round(found.explained_high, 4),
        "level": found.level,
        "n": found.n,
        "n_customers": found.n_customers,
    }
    return data


def influence_chart_verdict(data: pd.DataFrame) -> str:
    """Return who carries the influence, how many are above the noise, and what is explained.

    Parameters
    ----------
    data : DataFrame
        From `influence_chart_data`.
    """
    known = data.attrs
    level = f"{100 * known['level']:g}%"
    explained = (
        f"All indicators together explain {known['explained']:.0%} of the deviance of customers "
        f"the trees have not seen ({level}: {known['explained_low']:.0%} to "
        f"{known['explained_high']:.0%})."
    )
    what = "groups of indicators" if known["by"] == "groups" else "indicators"
    signals = data[data["signal"]]
    # Whoever would read as 0% is not named.
    leaders = signals[(signals.index == signals.index.min()) | (signals["share"] >= 0.005)].head(3)
    if leaders.empty:
        return f"None of {known['n_all']:,} {what} is above the noise. {explained}"
    told = [
        f"{row['share']:.0%} ({level}: {row['share_low']:.0%} to {row['share_high']:.0%})"
        for row in leaders.to_dict("records")
    ]
    first, *rest = (
        f"{name} {verb}{share}"
        for name, verb, share in zip(leaders["name"], ("carries ", "", ""), told, strict=False)
    )
    behind = f", followed by {' and '.join(rest)}" if rest else ""
    return (
        f"{first} of the influence{behind}. {known['n_signal']:,} of {known['n_all']:,} {what} "
        f"{'is' if known['n_signal'] == 1 else 'are'} above the noise that shuffled copies reach. "
        f"{explained}"
    )


def influence_chart(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw shares of influence with their intervals, and the noise that shuffled copies reach.

    Parameters
    ----------
    data : DataFrame
        From `influence_chart_data`.
    source : str
        For the footer.
    """
    names = [text(name) for name in data["name"]]
    noise = data.attrs["noise"]
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        x=data["share"].tolist(),
        y=names,
        marker={"color": [ACCENT if signal else GREYS[2] for signal in data["signal"]]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (data["share_high"] - data["share"]).round(4).tolist(),
            "arrayminus": (data["share"] - data["share_low"]).round(4).tolist(),
            "thickness": 1,
            "width": 4,
            "color": GREYS[0],
        },
        customdata=["above the noise" if signal else "noise" for signal in data["signal"]],
        hovertemplate="%{x:.1%} of the influence, %{customdata}<extra>%{y}</extra>",
    )
    figure.add_vline(x=noise, line={"color": BASELINE, "dash": "dash", "width": 1.5})
    figure.add_annotation(
        x=noise,
        y=0,
        yref="paper",
        text=f" noise: {noise:.1%}",
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"color": BASELINE},
    )
    widest = max(float(data["share_high"].max()), noise)
    figure.update_xaxes(
        title="Share of the explained influence",
        tickformat=".0%",
        range=[0, round(widest * 1.05, 4)],
    )
    # From the top, as in the table.
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    known = data.attrs
    what = "groups" if known["by"] == "groups" else "indicators"
    leader = data[data["signal"]].head(1)
    many = f"{known['n_all']:,} {what}"
    title = (
        f"None of {many} is above the noise of shuffled copies"
        if leader.empty
        else f"{leader['name'].iloc[0]} carries {leader['share'].iloc[0]:.0%} of the influence; "
        f"{known['n_signal']:,} of {many} {'is' if known['n_signal'] == 1 else 'are'} above the "
        "noise of shuffled copies"
    )
    height = 240 + _BAR * len(data)
    finish(figure, title, source, known["n"], footer_at=round(-65 / (height - 180), 3))
    # Long labels move the plot to the right; the title needs the whole width.
    figure.update_layout(title={"xref": "container", "x": 0.01})
    return figure.update_layout(height=height, margin={"t": 80, "b": 100})


def _widest(data: pd.DataFrame) -> tuple[str, dict[Any, Any], dict[Any, Any]]:
    """Return the indicator with the widest span of rates, its lowest and its highest class."""
    spans = data.groupby("indicator", sort=False)["rate"].agg(lambda rate: rate.max() - rate.min())
    name = str(spans.index[int(np.argmax(spans.to_numpy()))])
    rows = data[data["indicator"] == name].to_dict("records")
    rates = [row["rate"] for row in rows]
    return name, rows[int(np.argmin(rates))], rows[int(np.argmax(rates))]


def _told(row: dict[Any, Any], data: pd.DataFrame) -> str:
    level = data.attrs["level"]
    return f"{row['rate']:.0%} ({100 * level:g}%: {row['rate_low']:.0%} to {row['rate_high']:.0%})"


def _range(row: dict[Any, Any]) -> str:
    if row["bin"] == MISSING:
        return MISSING
    if row["low"] == row["high"]:
        return f"{row['low']:,.4g}"
    return f"{row['low']:,.4g} to {row['high']:,.4g}"
