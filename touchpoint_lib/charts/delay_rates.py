"""The two rates of the rules for delays: reminders (催付), care for late parcels (晚到关怀)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, finish, text
from touchpoint_lib.charts.comparison import side
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.timing.parcels import LateParcels
from touchpoint_lib.timing.payments import PaymentReminder


def delay_rates_data(found: LateParcels | PaymentReminder) -> pd.DataFrame:
    """Return both rates of the rules that were judged, with their intervals.

    Parameters
    ----------
    found : LateParcels or PaymentReminder
        From `late_parcels` or `payment_reminder`.

    Returns
    -------
    DataFrame
        A row a rule, the one by classes first: rule, n_flagged (or reminded; estimated for
        orders), error_rate and omission_rate with _low and _high (4 decimals; NaN without a
        case), time_left (median: hours to the promise, of the parcels rightly flagged, or minutes
        to the limit, of the orders reminded). ``attrs`` holds what ("parcels" or "orders"), n,
        n_actual (late, or lapsing) and level.

    Raises
    ------
    InputError
        If ``found`` is neither.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> data = charts.delay_rates_data(tp.payment_reminder(shop.orders, shop.payments))
    >>> data[["rule", "n_flagged", "error_rate", "omission_rate"]].round(2)
                    rule  n_flagged  error_rate  omission_rate
    0            classes     1773.2        0.49           0.01
    1  fixed, minute 240     1303.6        0.39           0.13
    """
    if isinstance(found, LateParcels):
        what, table, n = "parcels", found.rates.reset_index(), found.n_judged
        table = table.rename(columns={"lead_median": "time_left"})
        n_actual = table["n_actual"].iloc[0]
    elif isinstance(found, PaymentReminder):
        # Of all limits together.
        what, table = "orders", found.rates[found.rates["limit"].isna()]
        n, n_actual = table["n_orders"].iloc[0], table["n_lapsing"].iloc[0]
        names = [
            rule if np.isnan(minute) else f"{rule}, minute {minute:,.0f}"
            for rule, minute in zip(table["rule"], table["minute"], strict=True)
        ]
        table = table.assign(rule=names)
        table = table.rename(columns={"n_reminded": "n_flagged", "minutes_left": "time_left"})
    else:
        raise fail(
            f"found is a {type(found).__name__}",
            "pass the result of late_parcels or payment_reminder",
        )
    rates = [f"{name}_rate{end}" for name in ("error", "omission") for end in ("", "_low", "_high")]
    data = table[["rule", "n_flagged", *rates, "time_left"]].reset_index(drop=True)
    data = data.round(dict.fromkeys(rates, 4) | {"n_flagged": 1, "time_left": 1})
    data.attrs = {
        "what": what,
        "n": int(n),
        "n_actual": round(float(n_actual), 1),
        "level": found.level,
    }
    return data


def delay_rates_verdict(data: pd.DataFrame) -> str:
    """Return both rates of the rule by classes, and those of the other rules beside them.

    Parameters
    ----------
    data : DataFrame
        From `delay_rates_data`.
    """
    about, words = data.attrs, _WORDS[data.attrs["what"]]
    first, *others = data.to_dict("records")
    many = f"{about['n']:,} {about['what']}"
    if about["n_actual"] == 0:
        return f"None of the {many} judged {words.missed}: there is nothing to find."
    if first["n_flagged"] == 0:
        start = f"The rule by classes {words.flags} none of the {many}, so it"
    else:
        error = _bounded(first, "error_rate", about["level"])
        when = "" if np.isnan(first["time_left"]) else f" ({words.time(first['time_left'])})"
        start = (
            f"Of {many} the rule by classes {words.flags} {first['n_flagged']:,.0f}{when}: {error} "
            f"of these {words.vain}, and it"
        )
    misses = _bounded(first, "omission_rate", about["level"])
    beside = "; ".join(_beside(first, other, words) for other in others)
    return f"{start} misses {misses} of the {about['n_actual']:,.0f} that {words.missed}." + (
        f" Beside it: {beside}." if others else ""
    )


def delay_rates(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw both rates of each rule with their intervals, the rule by classes on top.

    Parameters
    ----------
    data : DataFrame
        From `delay_rates_data`.
    source : str
        For the footer.
    """
    about, words = data.attrs, _WORDS[data.attrs["what"]]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    names = [text(name) for name in data["rule"]]
    for col, rate in enumerate(("error", "omission"), start=1):
        known = data[data[f"{rate}_rate"].notna()]
        middle, low, high = (known[f"{rate}_rate{end}"] for end in ("", "_low", "_high"))
        figure.add_scatter(
            x=middle.tolist(),
            y=[text(name) for name in known["rule"]],
            error_x=error_bars(middle, low, high),
            mode="markers+text",
            text=[f"{share:.0%}" for share in middle],
            textposition="top center",
            cliponaxis=False,
            marker={
                "color": [ACCENT if place == 0 else BASELINE for place in known.index],
                "symbol": ["circle" if place == 0 else "diamond" for place in known.index],
                "size": 11,
            },
            customdata=known["n_flagged"].tolist(),
            hovertemplate="%{y}: %{customdata:,.0f} flagged, "
            + rate
            + " rate %{x:.1%}<extra></extra>",
            row=1,
            col=col,
        )
    figure.update_xaxes(title=f"Error rate<br>({words.error})", row=1, col=1)
    figure.update_xaxes(title=f"Omission rate<br>({words.omission})", row=1, col=2)
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    # From the top, as in the table.
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    first = data.iloc[0]
    told = [
        f"{share:.0%} {what}"
        for share, what in (
            (first["error_rate"], f"of those the rule by classes {words.flags} {words.vain}"),
            (first["omission_rate"], f"of those that {words.missed} are missed"),
        )
        if not np.isnan(share)
    ]
    title = (
        f"{'; '.join(told)}. Bars are {100 * about['level']:g}% intervals"
        if told
        else f"There is no case to judge the rules on among {about['n']:,} {about['what']}"
    )
    height = 205 + 60 * len(data)
    # Below the title of the axis, whatever the height.
    finish(figure, title, source, about["n"], footer_at=round(-90 / (height - 195), 3))
    return figure.update_layout(height=height, margin={"b": 115})


@dataclass(frozen=True)
class _Words:
    """How the rates of parcels, or of orders, are told."""

    flags: str
    vain: str
    missed: str
    left: str
    error: str
    omission: str

    def time(self, left: float) -> str:
        return f"median: {left:,.0f} {self.left}"


_WORDS = {
    "parcels": _Words(
        flags="flags",
        vain="come in time after all",
        missed="come late",
        left="hours before the promise where it is right",
        error="in time after all / flagged",
        omission="not flagged / late",
    ),
    "orders": _Words(
        flags="reminds",
        vain="would be paid in time without",
        missed="lapse unpaid",
        left="minutes before the limit",
        error="would be paid without / reminded",
        omission="not reminded / lapsing",
    ),
}


def _beside(first: Mapping[Any, Any], other: Mapping[Any, Any], words: _Words) -> str:
    """Return both rates of another rule, beside those of the first."""
    if other["n_flagged"] == 0:
        return f"{other['rule']} {words.flags} none"
    says = []
    for name in ("error", "omission"):
        rows = [
            {f"error_{end}": row[f"{name}_rate_{end}"] for end in ("low", "high")}
            for row in (first, other)
        ]
        known = not np.isnan(first[f"{name}_rate"])
        says.append(
            f"{name} rate {other[f'{name}_rate']:.0%}" + (f", {side(*rows)}" if known else "")
        )
    return f"{other['rule']} {words.flags} {other['n_flagged']:,.0f} ({'; '.join(says)})"


def _bounded(row: Mapping[Any, Any], name: str, level: float) -> str:
    return (
        f"{row[name]:.0%} ({100 * level:g}%: {row[f'{name}_low']:.0%} to {row[f'{name}_high']:.0%})"
    )
