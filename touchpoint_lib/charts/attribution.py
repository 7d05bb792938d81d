"""Figure of attribution (归因): what rules credit to channels beside what contacts added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_values, fail
from touchpoint_lib.charts._forest import amounts, finish_high, joined, shortened, significant
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints._paths import NO_CONTACT
from touchpoint_lib.touchpoints._rules import RULES
from touchpoint_lib.touchpoints.matrix import TouchpointMatrix

#: What `attribution_credit` says of itself, and what is read of it.
_ABOUT = ("window", "value", "conversions", "touched", "contacts")
#: Height of a line, of which a channel has one a rule, and the lines for the effect and the gap.
_LINE = 11
#: Height of a channel at least.
_LEAST = 60
_MORE = 3.5
_GREEN = "#009E73"
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star")
_HOLDOUT = "random holdout"


def credit_chart_data(
    credit: pd.DataFrame, matrix: TouchpointMatrix, truth: pd.Series | None = None
) -> pd.DataFrame:
    """Return the orders that rules credit to each channel, and those that its contacts added.

    What contacts added is the effect of one, as the matrix has it over all stages, times its
    contacts. The matrix judges only contacts whose window is over, of customers with an order
    before: give the same ones to `attribution_credit` to have both of the same contacts.

    Parameters
    ----------
    credit : DataFrame
        From `attribution_credit`, of orders (without ``value``).
    matrix : TouchpointMatrix
        From `touchpoint_matrix`, of the same log.
    truth : Series of float, optional
        Of a simulated shop: by channel (the index), the orders that its contacts added in total.

    Returns
    -------
    DataFrame
        A row a channel, the one with the most credit by any rule first: channel, contacts (that
        the matrix judges), added (orders) with low and high, method, state ("gains" or "loses"
        where the interval is above or below 0, "not known" where it holds 0, "not identified"),
        reason (of the last), truth (NaN where it is not known), and a column of credit for each
        rule; six significant digits. ``attrs`` holds rules, window and credit_window (days), level,
        conversions, touched (orders with a contact before) and n (contacts with credit).

    Raises
    ------
    InputError
        If ``credit`` or ``matrix`` is something else or of another log, the credit is not of
        orders, or ``truth`` lacks a channel.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    >>> matrix = tp.touchpoint_matrix(
    ...     shop.contacts, paid, tp.stage_history(paid, model), window=90
    ... )
    >>> over = shop.contacts["time"] + pd.Timedelta(days=90) <= paid["time"].max()
    >>> credit = tp.attribution_credit(shop.contacts[over], paid, rules=["first", "last"])
    >>> true = shop.truth.channels.set_index("channel")["incremental_orders"]
    >>> data = charts.credit_chart_data(credit, matrix, true)
    >>> social = data[data["channel"] == "social"]
    >>> social[["last", "added", "state", "truth"]].round().to_dict("records")
    [{'last': 1050.0, 'added': 229.0, 'state': 'not known', 'truth': 0.0}]
    """
    about = _check_credit(credit)
    if not isinstance(matrix, TouchpointMatrix):
        raise fail(f"matrix is a {type(matrix).__name__}", "pass the result of touchpoint_matrix")
    table = matrix.table[matrix.table["by"] == ""]
    effects = table.assign(channel=table["channel"].astype(str)).set_index("channel")
    shares = credit.drop(index=NO_CONTACT)
    other = [name for name in effects.index if name not in shares.index]
    if other:
        raise fail(
            f"matrix has the channel {other[0]!r}, credit does not", "make both from one log"
        )
    rules = [name for name in RULES if name in credit.columns]
    effects = effects.reindex(shares.index)
    scale = effects["contacts"] / 1000
    data = pd.DataFrame(
        {
            "channel": shares.index.astype(str),
            "contacts": effects["contacts"].fillna(0).astype(np.int64).to_numpy(),
            **{
                name: significant(effects[column] * scale).to_numpy()
                for name, column in (
                    ("added", "orders_per_1000"),
                    ("low", "orders_low"),
                    ("high", "orders_high"),
                )
            },
            "method": effects["method"].fillna("").astype(str).to_numpy(),
        }
    )
    data["state"] = np.select(
        [data["low"].isna(), data["low"] > 0, data["high"] < 0],
        ["not identified", "gains", "loses"],
        "not known",
    )
    lacking = effects["reason"].fillna("not in the matrix").astype(str)
    data["reason"] = np.where(data["low"].isna(), lacking, "")
    data["truth"] = _true(truth, data["channel"])
    data[rules] = shares[rules].apply(significant).to_numpy()
    order = np.argsort(-data[rules].max(axis=1).to_numpy(), kind="stable")
    data = data.iloc[order].reset_index(drop=True)
    data.attrs = {
        "rules": rules,
        "window": matrix.window,
        "credit_window": about["window"],
        "level": matrix.level,
        "conversions": about["conversions"],
        "touched": about["touched"],
        "n": about["contacts"],
    }
    return data


def credit_chart_verdict(data: pd.DataFrame) -> str:
    """Return how many orders are credited and how many were added, and where that is furthest off.

    Parameters
    ----------
    data : DataFrame
        From `credit_chart_data`.
    """
    about = data.attrs
    judged = data[data["low"].notna()]
    many = len(about["rules"])
    who = f"{many} rules credit" if many > 1 else f"The rule {about['rules'][0]!r} credits"
    first = (
        f"{who} {about['touched']:,} of {about['conversions']:,} orders to contacts of the "
        f"{about['credit_window']:g} days before ({about['n']:,} in all); {_added(data)}."
    )
    says = [first]
    unclear = judged[judged["state"] == "not known"].to_dict("records")
    told = [
        f"{row['channel']} gets {_credited(row, about)} and added "
        f"{_interval(row, about).removesuffix(')')}; not clear of 0)"
        for row in unclear[:1]
    ]
    told += [
        f"{row['channel']} gets {_credited(row, about)} and is not identified ({row['reason']})"
        for row in data[data["low"].isna()].to_dict("records")
    ]
    if len(judged):
        inside = sum(
            int(((judged["low"] <= judged[rule]) & (judged[rule] <= judged["high"])).sum())
            for rule in about["rules"]
        )
        start = (
            f"Of {counted(len(judged) * many, 'credit', 'credits')} to channels that can be judged "
            f"{inside} {'lies' if inside == 1 else 'lie'} within the interval"
        )
        says.append(f"{start}: {'; '.join(told)}." if told else f"{start}.")
    elif told:
        says.append(f"No credit can be judged: {'; '.join(told)}.")
    return " ".join([*says, *_truth_told(data, judged)])


def credit_chart(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw each channel's credit by rule, the orders added with interval, and the truth.

    Parameters
    ----------
    data : DataFrame
        From `credit_chart_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    rules = about["rules"]
    step = len(rules) + _MORE
    top = step * data.index.to_numpy(dtype=np.float64)
    beside = top + len(rules) + 0.25
    figure = go.Figure()
    for number, rule in enumerate(rules):
        figure.add_scatter(
            name=rule,
            x=data[rule].tolist(),
            y=(top + number).tolist(),
            mode="markers",
            marker={
                "symbol": _SYMBOLS[number % len(_SYMBOLS)] + "-open" * (number >= len(_SYMBOLS)),
                "size": 8,
                "color": GREYS[0] if number % 2 else GREYS[1],
            },
            customdata=[text(name) for name in data["channel"]],
            hovertemplate=f"%{{customdata}}, {rule}: %{{x:,.5g}} credited<extra></extra>",
        )
    known = data["low"].notna().to_numpy()
    judged = data[known]
    figure.add_scatter(
        name=f"added ({100 * about['level']:g}%)",
        x=judged["added"].tolist(),
        y=beside[known].tolist(),
        error_x=error_bars(judged["added"], judged["low"], judged["high"], 8)
        | {"thickness": 2, "color": ACCENT},
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": ACCENT},
        customdata=[
            text(
                f"{row['channel']}: {_interval(row, about)} added by {row['contacts']:,} contacts, "
                f"{row['method']}"
            )
            for row in judged.to_dict("records")
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    true = data["truth"].notna().to_numpy()
    if true.any():
        figure.add_scatter(
            name="truth",
            x=data.loc[true, "truth"].tolist(),
            y=beside[true].tolist(),
            mode="markers",
            marker={"symbol": "x", "size": 10, "color": _GREEN},
            customdata=[text(name) for name in data.loc[true, "channel"]],
            hovertemplate="%{customdata}: %{x:,.5g} added in truth<extra></extra>",
        )
    for row, height in zip(data.to_dict("records"), beside, strict=True):
        if np.isnan(row["low"]):
            figure.add_annotation(
                x=1,
                xref="paper",
                y=height,
                text=f"added: not identified ({shortened(row['reason'], 60)})",
                showarrow=False,
                xanchor="right",
                font={"size": 11, "color": GREYS[0]},
            )
    for height in top[1:]:
        figure.add_hline(y=height - 1.5, line={"color": GREYS[3], "width": 1}, layer="below")
    figure.add_vline(x=0, line={"color": BASELINE, "width": 1.5, "dash": "dash"}, layer="below")
    figure.update_xaxes(title="Orders", tickformat=",")
    figure.update_yaxes(
        range=[step * len(data) - 1.5, -1.5],
        tickvals=(top + (len(rules) - 1) / 2).tolist(),
        ticktext=[shortened(name) for name in data["channel"]],
        showgrid=False,
    )
    title = f"{about['touched']:,} orders are credited to contacts; {_added(data)}"
    pixels = round(max(_LINE * step, _LEAST) * len(data)) + 12
    # Beside the longest labels the legend has three names a line.
    head = 20 * -(-len(figure.data) // 3) + 14
    figure = finish_high(figure, title, source, about["n"], pixels, right=30, head=head)
    place = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}
    return figure.update_layout(showlegend=True, legend=place)


def _check_credit(credit: Any) -> Mapping[Any, Any]:
    """Return what the credit says of itself; raise if it is something else."""
    if not isinstance(credit, pd.DataFrame) or not {*_ABOUT} <= {*credit.attrs}:
        raise fail(
            f"credit is no result of attribution_credit (a {type(credit).__name__})",
            "pass what attribution_credit returned, with its attrs",
        )
    if NO_CONTACT not in credit.index or not {*RULES} & {*credit.columns}:
        raise fail(
            f"credit lacks the row {NO_CONTACT!r} or the column of a rule",
            "pass what attribution_credit returned, whole",
        )
    if credit.attrs["value"] is not None:
        raise fail(
            f"credit is of {credit.attrs['value']}, not of orders",
            "leave value= out of attribution_credit",
        )
    return credit.attrs


def _true(truth: Any, channels: pd.Series) -> Any:
    """Return the truth of the channels, NaN where nothing is known."""
    if truth is None:
        return np.nan
    if not isinstance(truth, pd.Series) or not truth.index.is_unique:
        raise fail("truth is no Series with one number a channel", "pass one by channel")
    known = truth.set_axis(truth.index.astype(str))
    missing = [name for name in channels if name not in known.index]
    if missing:
        raise fail(f"truth has no channel {missing[0]!r}", "give the truth of each channel")
    return significant(pd.Series(check_values("truth", known.loc[channels.tolist()]))).to_numpy()


def _credited(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return the least and the most credit of a channel."""
    shares = [row[rule] for rule in about["rules"]]
    least, most = amounts([min(shares), max(shares)])
    return f"{most} orders" if least == most else f"{least} to {most} orders by rule"


def _interval(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    one, low, high = amounts([row["added"], row["low"], row["high"]])
    return f"{one} ({100 * about['level']:g}%: {low} to {high})"


def _added(data: pd.DataFrame) -> str:
    """Return what all contacts that can be judged added, between the sums of their bounds.

    Estimates of channels share customers: the sums of the bounds hold however they depend.
    """
    judged = data[data["low"].notna()]
    if judged.empty:
        return "what contacts added is not identified"
    one, low, high = amounts(judged[["added", "low", "high"]].sum())
    by = "by the random holdout" if (judged["method"] == _HOLDOUT).all() else "by the matrix"
    return (
        f"{by} the {judged['contacts'].sum():,} that can be judged added {one} within "
        f"{data.attrs['window']:g} days (between {low} and {high}, the sums of the bounds)"
    )


def _truth_told(data: pd.DataFrame, judged: pd.DataFrame) -> list[str]:
    """Return what is told of the truth, nothing where it is not known."""
    true = data[data["truth"].notna()]
    if true.empty:
        return []
    nothing = [
        f"{row['channel']} nothing, for a credit of {_credited(row, data.attrs)}"
        for row in true[true["truth"] == 0].to_dict("records")
    ]
    held = int(((judged["low"] <= judged["truth"]) & (judged["truth"] <= judged["high"])).sum())
    end = f"; the truth lies in {held} of {len(judged)} intervals" if len(judged) else ""
    total = amounts([true["truth"].sum()])[0]
    return [
        f"In truth all contacts added {total}"
        + (f", {joined(nothing)}" if nothing else "")
        + f"{end}."
    ]
