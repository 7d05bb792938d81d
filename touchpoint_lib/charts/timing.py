"""Figures of contact timing: policies against fixed days, own return by silence, the calendar."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_number, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.timing.backtest import TimingBacktest

#: Numbers of days that are marked on the line of fixed days.
_MARKED = (30, 45, 60, 90, 120, 180, 270, 365)
#: Characters in a line of small print.
_SMALL_PRINT = 125


def timing_frontier_data(result: TimingBacktest, omission: float = 0.05) -> pd.DataFrame:
    """Return each policy's silence at contact and error rate, and those of fixed days.

    Parameters
    ----------
    result : TimingBacktest
        From `backtest_timing`.
    omission : float
        The best policy must not miss more of the lapsed than this share, in [0, 1].

    Returns
    -------
    DataFrame
        The policies in their order, then a row a fixed number of days: number (1, 2, ... of the
        policies, 0 of fixed days), policy, baseline (contacts everybody on the same day), within
        (misses no more than ``omission``), first_per_1000 and contacts_per_1000 (contacts in
        1,000 spells, the first of each and all), error_rate, omission_rate, mean_silence (the
        days, for fixed ones), fixed_days and days_earlier, with _low and _high where
        `TimingBacktest.to_frame` has them; rates to 4 decimals, days to 2. ``attrs`` holds best
        (the policy with the most days_earlier of those that are earlier for certain and miss no
        more than ``omission``; None without one), omission, n_spells, n_lapsed, deadline and level.

    Raises
    ------
    InputError
        If ``result`` is no `TimingBacktest`, or ``omission`` is out of bounds.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> policies = [tp.FixedDays(60), tp.OwnGapQuantile(0.9)]
    >>> result = tp.backtest_timing(tp.load_cdnow(sample=True), policies)
    >>> data = charts.timing_frontier_data(result)
    >>> data.loc[data["number"] > 0, ["policy", "baseline", "error_rate", "mean_silence"]].round(2)
            policy  baseline  error_rate  mean_silence
    0      60 days      True        0.21         60.00
    1  own 90% gap     False        0.44         61.76
    """
    if not isinstance(result, TimingBacktest):
        raise fail(f"result is a {type(result).__name__}", "pass the result of backtest_timing")
    most = check_number("omission", omission, ge=0, le=1)
    table, fixed = result.to_frame(), result.fixed
    days = [*_with_bounds("mean_silence"), "fixed_days", *_with_bounds("days_earlier")]
    rates = [*_with_bounds("error_rate"), *_with_bounds("omission_rate")]
    # What contacts everybody on one day has the contacts of the fixed rule of that day.
    per_day = pd.Series(fixed["contacts_per_1000"].to_numpy(), fixed["days"].astype(float))
    everybody = np.isclose(table["contacts_per_1000"], table["mean_silence"].map(per_day))
    first = 1000 * table["n_contacted"] / table["n_spells"]
    policies = table[["policy", "contacts_per_1000", *rates, *days]].assign(
        first_per_1000=first,
        number=np.arange(1, len(table) + 1),
        baseline=everybody,
        within=table["omission_rate"] <= most,
    )
    line = fixed[["contacts_per_1000", "error_rate", "omission_rate"]].assign(
        policy=[f"{day} days" for day in fixed["days"]],
        mean_silence=fixed["days"].astype(float),
        first_per_1000=fixed["contacts_per_1000"],
    )
    data = pd.concat([policies, line.assign(number=0, baseline=True, within=True)])
    counts = ["first_per_1000", "contacts_per_1000"]
    data = data[["number", "policy", "baseline", "within", *counts, *rates, *days]]
    data = data.reset_index(drop=True).round(
        dict.fromkeys(counts, 1) | dict.fromkeys(rates, 4) | dict.fromkeys(days, 2)
    )
    data.attrs = {
        "best": best_row(table, most),
        "omission": most,
        "n_spells": result.n_spells,
        "n_lapsed": result.n_lapsed,
        "deadline": result.deadline,
        "level": result.level,
    }
    return data


def best_row(table: pd.DataFrame, omission: float) -> str | None:
    """Return the policy of a back-test that beats fixed days by most, None where none does.

    It misses at most the share ``omission`` of the lapsed, and its bounds of days_earlier are
    above 0. A fixed number of days is never earlier than itself.
    """
    clear = table[(table["days_earlier_low"] > 0) & (table["omission_rate"] <= omission)]
    if clear.empty:
        return None
    # Of several that no number of days comes up to, the one that contacts first.
    order = clear.sort_values(
        ["days_earlier", "days_earlier_low", "mean_silence"], ascending=[False, False, True]
    )
    return str(order["policy"].iloc[0])


def timing_frontier_verdict(data: pd.DataFrame, popular: str | None = None) -> str:
    """Return how much earlier the best policy contacts than fixed days with the same error rate.

    Parameters
    ----------
    data : DataFrame
        From `timing_frontier_data`.
    popular : str, optional
        Name of the policy that most shops use, to be told as well.

    Raises
    ------
    InputError
        If ``popular`` is not among the policies.
    """
    rows = data[data["number"] > 0].set_index("policy").to_dict("index")
    best = data.attrs["best"]
    told = _compared(data, rows)
    if popular is None or popular == best:
        return told
    if popular not in rows:
        raise fail(
            f"popular is {popular!r}, the policies are {', '.join(map(repr, rows))}",
            "name one of them, or none",
        )
    row = rows[popular]
    if np.isnan(row["error_rate"]):
        return f"{told} The popular rule, {popular}, contacts nobody."
    missed = (
        ""
        if np.isnan(row["omission_rate"])
        else f"misses {row['omission_rate']:.0%} of the lapsed and "
    )
    return (
        f"{told} The popular rule, {popular}, {missed}wastes {row['error_rate']:.0%} of its "
        "contacts."
    )


def _compared(data: pd.DataFrame, rows: dict[Any, dict[Any, Any]]) -> str:
    """Return the comparison of the best policy with fixed days."""
    about = data.attrs
    level, many = f"{100 * about['level']:g}%", counted(len(rows), "policy", "policies")
    if about["n_lapsed"] == 0:
        return (
            f"None of the {about['n_spells']:,} spells lapsed: there is nobody to be found, and "
            f"the {many} cannot be told from fixed days."
        )
    if about["best"] is not None:
        row = rows[about["best"]]
        of = "the policy" if len(rows) == 1 else f"the best of {many}"
        # Resampling knows no bounds where nobody was missed.
        misses = (
            f"misses {_share(row, 'omission_rate', level, 1)} of them"
            if row["omission_rate"] > 0
            else f"misses none of the {about['n_lapsed']:,}"
        )
        contacts = (
            f"{of}, {about['best']}, contacts the lapsed after {_days(row['mean_silence'])} of "
            "silence on average"
        )
        if np.isinf(row["fixed_days"]):
            return (
                f"No fixed number of days up to {about['deadline']} wastes so few contacts: "
                f"{contacts}, wastes {_share(row, 'error_rate', level, 0)} of its contacts, and "
                f"{misses}.{_further(row)}"
            )
        low, high = row["error_rate_low"], row["error_rate_high"]
        return (
            f"At the error rate of contacting everybody after {_days(row['fixed_days'])} "
            f"({row['error_rate']:.0%} of the contacts wasted; {level}: {low:.0%} to {high:.0%}) "
            f"{contacts}: {_earlier(row, level)}, and {misses}.{_further(row)}"
        )
    others = sum(not row["baseline"] for row in rows.values())
    if not others:
        return "No policy but fixed numbers of days was tried."
    most = f"{about['omission']:.0%} of the lapsed"
    clever = {name: row for name, row in rows.items() if row["within"] and not row["baseline"]}
    if not clever:
        it = "the policy" if others == 1 else f"each of the {others:,} policies"
        return (
            f"No policy beats a fixed number of days: {it} misses more than {most}, or contacts "
            "nobody."
        )
    near = max(clever, key=lambda name: clever[name]["days_earlier"])
    row = clever[near]
    return (
        f"No policy that misses at most {most} contacts them clearly earlier than a fixed number "
        f"of days with the same error rate. The nearest, {near}, contacts them after "
        f"{_days(row['mean_silence'])} of silence on average and wastes "
        f"{_share(row, 'error_rate', level, 0)} of its contacts: {_earlier(row, level)}."
    )


def timing_frontier(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw error rate against silence at contact, a point a policy, fixed days as the line.

    Parameters
    ----------
    data : DataFrame
        From `timing_frontier_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    level, line = f"{100 * about['level']:g}%", data[data["number"] == 0]
    figure = go.Figure()
    shown = line[line["error_rate"].notna()]
    # A label at the end would not fit in.
    marked = shown["mean_silence"].isin(_MARKED) & (shown["mean_silence"] < 0.9 * about["deadline"])
    policies = data[data["number"] > 0]
    # A policy on the line covers the start of its label.
    covered = shown["mean_silence"].isin(policies.loc[policies["baseline"], "mean_silence"])
    labels = np.where(covered, "\u2002", "") + shown["policy"].to_numpy(dtype=str)
    figure.add_scatter(
        name="fixed days",
        x=shown["mean_silence"].tolist(),
        y=shown["error_rate"].tolist(),
        mode="lines+text",
        line={"color": BASELINE, "width": 2},
        text=np.where(marked, labels, "").tolist(),
        textposition="top right",
        textfont={"color": BASELINE},
        customdata=shown["contacts_per_1000"].tolist(),
        hovertemplate="everybody after %{x:.0f} days: %{y:.1%} wasted, %{customdata:,.0f} contacts "
        "in 1,000 spells<extra></extra>",
    )
    figure.add_scatter(
        name="fixed days",
        x=shown["mean_silence"][marked].tolist(),
        y=shown["error_rate"][marked].tolist(),
        mode="markers",
        marker={"color": BASELINE, "size": 7, "symbol": "diamond"},
        hoverinfo="skip",
    )
    drawn = policies[policies[["mean_silence", "error_rate"]].notna().all(axis=1)]
    best = about["best"]
    # The best one last, above the others.
    drawn = drawn.assign(best=drawn["policy"] == best).sort_values("best", kind="stable")
    few, fill = drawn["within"], np.where(drawn["within"], ACCENT, "white")
    figure.add_scatter(
        name="policies",
        x=drawn["mean_silence"].tolist(),
        y=drawn["error_rate"].tolist(),
        mode="markers+text",
        marker={
            "size": [24 if one else 18 for one in drawn["best"]],
            "opacity": 1,
            "color": np.where(drawn["baseline"], BASELINE, fill).tolist(),
            "line": {
                "color": [GREYS[0] if one else ACCENT for one in drawn["best"]],
                "width": [3 if one else 1.5 for one in drawn["best"]],
            },
            "symbol": ["diamond" if one else "circle" for one in drawn["baseline"]],
        },
        text=[str(number) for number in drawn["number"]],
        textfont={"size": 10, "color": ["white" if one else ACCENT for one in few]},
        textposition="middle center",
        error_x=_thin(drawn, "mean_silence"),
        error_y=_thin(drawn, "error_rate"),
        customdata=[_hover(row, level) for row in drawn.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
    )
    if best is not None:
        _add_arrow(figure, drawn[drawn["best"]].iloc[0], about["deadline"])
    figure.update_xaxes(
        title="Mean silence of the lapsed when they are contacted, days (further left is better)",
        range=[0, round(about["deadline"] * 1.04, 1)],
    )
    top = max(float(shown["error_rate"].max()), float(drawn["error_rate"].max()), 0.01)
    figure.update_yaxes(
        title="Error rate: wasted / contacts<br>(lower is better)",
        tickformat=".0%" if top > 0.05 else ".1%",
        range=[0, round(top * 1.1, 4)],
        rangemode="tozero",
    )
    key = _key(policies, drawn, about["omission"])
    height = 470 + 15 * len(key)
    inner = 300
    figure.add_annotation(
        text="<br>".join(key),
        xref="paper",
        yref="paper",
        x=0,
        y=round(-62 / inner, 3),
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
        font={"size": 11, "color": GREYS[0]},
    )
    footer_at = round(-(72 + 15 * len(key)) / inner, 3)
    finish(figure, _frontier_title(data), source, about["n_spells"], footer_at=footer_at)
    return figure.update_layout(
        height=height, margin={"t": 80, "b": height - inner - 80}, hovermode="closest"
    )


def _frontier_title(data: pd.DataFrame) -> str:
    best = data.attrs["best"]
    if best is None:
        return (
            "No policy contacts the lapsed clearly earlier than a fixed number of days (line) at "
            "the same error rate"
        )
    row = data[data["policy"] == best].iloc[0]
    if np.isinf(row["fixed_days"]):
        return f"No fixed number of days (line) wastes as few contacts as {best}"
    return (
        f"{best} contacts the lapsed {_days(row['days_earlier'])} earlier than a fixed number of "
        "days (line) at the same error rate"
    )


def _add_arrow(figure: go.Figure, row: pd.Series, deadline: int) -> None:
    """Point from the line of fixed days to the best policy, at equal error rate."""
    # Where no day has so low an error rate, from the last one.
    start = min(row["fixed_days"], deadline)
    figure.add_annotation(
        x=row["mean_silence"],
        y=row["error_rate"],
        ax=float(start),
        ay=row["error_rate"],
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        text="",
        showarrow=True,
        arrowhead=2,
        arrowwidth=2,
        arrowcolor=GREYS[0],
        standoff=13,
    )


def _thin(drawn: pd.DataFrame, name: str) -> dict[str, object]:
    bars = error_bars(drawn[name], drawn[f"{name}_low"], drawn[f"{name}_high"])
    return bars | {"width": 0, "color": GREYS[2]}


def _hover(row: dict[Any, Any], level: str) -> str:
    """Return all figures of a policy."""
    lines = [
        f"<b>{row['number']} {text(row['policy'])}</b>",
        f"wasted: {_share(row, 'error_rate', level, 1)} of the contacts",
        f"missed: {_share(row, 'omission_rate', level, 1)} of the lapsed",
        f"contacts the lapsed after {_days(row['mean_silence'])}",
        f"fixed days of that error rate: {row['fixed_days']:.1f}"
        if np.isfinite(row["fixed_days"])
        else "no number of days has so low an error rate",
        f"contacts in 1,000 spells: {row['contacts_per_1000']:,.0f}",
        f"first ones: {row['first_per_1000']:,.0f}",
    ]
    if np.isfinite(row["days_earlier"]):
        lines.insert(5, _earlier(row, level))
    return "<br>".join(lines)


def _key(policies: pd.DataFrame, drawn: pd.DataFrame, omission: float) -> list[str]:
    """Return the escaped lines that say which number is which policy."""
    there = set(drawn["number"])
    names = [
        f"{number}\u00a0{name.replace(' ', chr(160))}"
        + ("" if number in there else "\u00a0(finds\u00a0none\u00a0of\u00a0the\u00a0lapsed)")
        for number, name in zip(policies["number"], policies["policy"], strict=True)
    ]
    says = f"Filled: misses at most {omission:.0%} of the lapsed; open: more. "
    lines = textwrap.wrap(says + "; ".join(names), _SMALL_PRINT, break_on_hyphens=False)
    return [text(line) for line in lines]


def _with_bounds(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def _share(row: Mapping[Any, Any], name: str, level: str, digits: int) -> str:
    """Return a rate with its interval."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.{digits}%} ({level}: {low:.{digits}%} to {high:.{digits}%})"


def _days(days: float) -> str:
    return f"{days:,.1f} days"


def _further(row: Mapping[Any, Any]) -> str:
    """Return how many contacts a programme of several makes, which the rates do not count."""
    first, every = row["first_per_1000"], row["contacts_per_1000"]
    if every <= first:
        return ""
    return (
        f" That is for its first contacts, {first:,.0f} in 1,000 spells; with the further ones it "
        f"makes {every:,.0f}."
    )


def _earlier(row: Mapping[Any, Any], level: str) -> str:
    """Return days earlier or later than fixed ones, with the interval."""
    days, low, high = (row[f"days_earlier{end}"] for end in ("", "_low", "_high"))
    if np.isinf(days):
        return f"earlier than any such number ({level}: by {low:,.1f} days or more)"
    sign = -1 if days < 0 else 1
    low, high = sorted((sign * low, sign * high))
    if np.isinf(low):
        bounds = f"{high:,.1f} or less"
    else:
        bounds = f"{low:,.1f} or more" if np.isinf(high) else f"{low:,.1f} to {high:,.1f}"
    return f"{_days(sign * days)} {'later' if sign < 0 else 'earlier'} ({level}: {bounds})"


def counted(number: int, one: str, many: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {one if number == 1 else many}"
