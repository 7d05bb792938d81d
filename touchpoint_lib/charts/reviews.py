"""Figures of reviews as touchpoints: complaints foreseen (将投诉预警), replies (回复)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._forest import (
    SHARE,
    amounts,
    finish_high,
    joined,
    name_rows,
    significant,
)
from touchpoint_lib.charts.demand import share_told
from touchpoint_lib.charts.experience import (
    BOUNDS,
    GAP,
    GAP_2,
    PERCENT,
    add_points,
    capitals,
    clear_told,
    panel_height,
)
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints.complaints import ComplaintFlags
from touchpoint_lib.touchpoints.replies import ReplyTimes

#: Kinds of reviews, of replies, and what is compared.
_REVIEWS = ("negative", "other")
_REPLIES = {"within limit": "reply in time", "later": "reply later", "none": "no reply"}
_OUTCOMES = {
    "bought": "In time less others:<br>percentage points that buy",
    "orders": "In time less others:<br>orders a review",
}


def complaint_rates_data(found: ComplaintFlags) -> pd.DataFrame:
    """Return both rates of the flag for complaints and of the plain rule, and their difference.

    Parameters
    ----------
    found : ComplaintFlags
        From `complaint_flags`.

    Returns
    -------
    DataFrame
        A row the flag, the plain rule and "difference" (flag less rule): rule, n_flagged and
        true_positive (NaN of the difference), error_rate and omission_rate, each with _low and
        _high (six significant digits; NaN without a case). ``attrs`` holds level, n (judged),
        n_actual (with a negative review), review_days and n_now (to be flagged now).

    Raises
    ------
    InputError
        If ``found`` is something else.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> found = tp.complaint_flags(shop.parcels, shop.reviews, split="2025-01-01", hours=24)
    >>> data = charts.complaint_rates_data(found)
    >>> data[["rule", "n_flagged", "error_rate", "omission_rate"]].round(2)
                             rule  n_flagged  error_rate  omission_rate
    0                        flag      959.0        0.85           0.77
    1  late by more than 24 hours      861.0        0.85           0.79
    2                  difference        NaN       -0.00          -0.02
    """
    if not isinstance(found, ComplaintFlags):
        raise fail(f"found is a {type(found).__name__}", "pass the result of complaint_flags")
    rates = [f"{name}_rate{end}" for name in ("error", "omission") for end in ("", "_low", "_high")]
    table = found.rates.reset_index()[["rule", "n_flagged", "true_positive", *rates]]
    difference = found.difference[rates].to_frame().T.assign(rule="difference")
    data = pd.concat([table, difference], ignore_index=True)
    data[rates] = data[rates].astype(float).apply(significant)
    data.attrs = {
        "level": found.level,
        "n": found.n_judged,
        "n_actual": int(found.rates["n_actual"].iloc[0]),
        "review_days": found.review_days,
        "n_now": int(found.open["flag"].sum()),
    }
    return data


def complaint_rates_verdict(data: pd.DataFrame) -> str:
    """Return both rates of the flag and of the plain rule, and whether the flag is the better.

    Parameters
    ----------
    data : DataFrame
        From `complaint_rates_data`.
    """
    about = data.attrs
    level = about["level"]
    flag, rule, apart = data.to_dict("records")
    told = [_flagged(row, level, bool(about["n_actual"])) for row in (flag, rule)]
    says = (
        f"Of {counted(about['n'], 'delivery', 'deliveries')}, {about['n_actual']:,} with a "
        f"negative review within {about['review_days']:g} days, the flag {told[0]}; the rule "
        f"{rule['rule']!r} {told[1]}."
    )
    differs = [
        f"{word} rate {clear_told(apart, level, f'{word}_rate', SHARE)}"
        for word in ("error", "omission")
        if np.isfinite(apart[f"{word}_rate"])
    ]
    if differs:
        says += f" The flag less the rule, below 0 it is the better: {joined(differs)}."
    now = counted(about["n_now"], "delivery is", "deliveries are")
    return (
        f"{says} {now[:1].upper()}{now[1:]} to be followed up now; many of the unhappy write "
        "nothing, so a wrong flag may be one of them."
    )


def complaint_rates(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw both rates of the flag and of the plain rule, and below the differences.

    Parameters
    ----------
    data : DataFrame
        From `complaint_rates_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    rules = data.loc[data["rule"] != "difference", "rule"].tolist()
    heights = [panel_height(len(rules)), panel_height(1)]
    inner = sum(heights) + GAP_2
    figure = make_subplots(
        rows=2,
        cols=2,
        row_heights=heights,
        horizontal_spacing=0.18,
        vertical_spacing=GAP_2 / inner,
    )
    for col, (rate, words) in enumerate(
        (("error", "wrong / flagged"), ("omission", "missed / negative reviews")), start=1
    ):
        known = data[data[f"{rate}_rate"].notna()]
        rows = [
            {"name": row["rule"]}
            | {f"value{end}": row[f"{rate}_rate{end}"] for end in ("", "_low", "_high")}
            for row in known.to_dict("records")
        ]
        plain = [row for row in rows if row["name"] != "difference"]
        labels = [f"{row['value']:.1%}" for row in plain]
        add_points(figure, plain, tuple(rules), labels, (1, col), scale=100)
        apart = [row for row in rows if row["name"] == "difference"]
        labels = [f"{100 * row['value']:+.1f}" for row in apart]
        add_points(figure, apart, ("difference",), labels, (2, col), scale=100, zero=True)
        for row, names in ((1, tuple(rules)), (2, ("flag less rule",))):
            name_rows(figure, capitals(names) if col == 1 else [""] * len(names), (row, col))
        figure.update_xaxes(
            title=f"{rate.capitalize()} rate<br>({words})", row=1, col=col, **PERCENT
        )
        figure.update_xaxes(title="Percentage points", row=2, col=col)
    return finish_high(figure, _complaint_title(data), source, about["n"], inner, right=60)


def _flagged(row: Mapping[Any, Any], level: float, found: bool) -> str:
    """Return what a flag takes, wrongly, and misses of what was there to be ``found``."""
    if row["n_flagged"] == 0:
        return "takes none"
    says = f"takes {row['n_flagged']:,.0f}, {share_told(row, 'error_rate', level)} of them wrongly"
    return f"{says}, and misses {share_told(row, 'omission_rate', level)}" if found else says


def _complaint_title(data: pd.DataFrame) -> str:
    """Return what the flag does against the plain rule."""
    first, difference = data.iloc[0], data.iloc[-1]
    if not np.isfinite(first["error_rate"]):
        return "Nothing is flagged for a negative review"
    better = {
        name: "lower"
        if difference[f"{name}_rate_high"] < 0
        else "higher"
        if difference[f"{name}_rate_low"] > 0
        else ""
        for name in ("error", "omission")
    }
    told = [f"a {side} {name} rate" for name, side in better.items() if side]
    against = f"has {joined(told)} than" if told else "is not clearly apart from"
    return (
        f"The flag {against} the rule {data['rule'].iloc[1]!r}. Bars are "
        f"{100 * data.attrs['level']:g}% intervals"
    )


def reply_rates_data(found: ReplyTimes) -> pd.DataFrame:
    """Return how many reviews had a reply in time, and who bought again by the reply.

    Parameters
    ----------
    found : ReplyTimes
        From `reply_times`.

    Returns
    -------
    DataFrame
        part, reviews ("negative", "other"), name, n, value, value_low, value_high (six significant
        digits). Part "replied": the share of the n reviews with a reply "within limit", and with
        "none" at the landmark. Part "bought": the share of reviews that are followed by an order
        in the window, by reply: "within limit", "later", "none"; NaN without such reviews. Part
        "difference", without rows where it is not known: those replied to within the limit (n)
        less others alike, by outcome: "bought" (a share) and "orders" (a review). All of it is
        descriptive. ``attrs`` holds level, window, limit_hours, landmark_days, n (reviews in
        "bought"), n_waiting and n_overdue (negative ones without a reply).

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
    >>> data = charts.reply_rates_data(tp.reply_times(shop.reviews, paid, window=90))
    >>> data.loc[data["part"] == "bought", ["reviews", "name", "n", "value"]].round(2)
        reviews          name     n  value
    4  negative  within limit   429   0.60
    5  negative         later   202   0.59
    6  negative          none   117   0.57
    7     other  within limit   829   0.66
    8     other         later   427   0.63
    9     other          none  2948   0.66
    """
    if not isinstance(found, ReplyTimes):
        raise fail(f"found is a {type(found).__name__}", "pass the result of reply_times")
    ends, rows = ("", "_low", "_high"), []
    for kind in _REVIEWS:
        whole: Any = found.replies.loc[kind]
        for name, column in (("within limit", "within"), ("none", "none")):
            bounds = [whole[f"{column}{end}"] for end in ("_share", *ends[1:])]
            rows.append(("replied", kind, name, int(whole["n"]), *bounds))
    for key, row in zip(found.purchases.index, found.purchases.to_dict("records"), strict=True):
        bounds = [row[f"bought{end}"] for end in ("_share", *ends[1:])]
        rows.append(("bought", *key, row["n"], *bounds))
    for key, row in zip(found.adjusted.index, found.adjusted.to_dict("records"), strict=True):
        bounds = [row["difference"], row["low"], row["high"]]
        rows.append(("difference", *key, row["n_within"], *bounds))
    data = pd.DataFrame(rows, columns=["part", "reviews", "name", "n", *BOUNDS])
    data[BOUNDS] = data[BOUNDS].apply(significant)
    data.attrs = {
        "level": found.level,
        "window": found.window,
        "limit_hours": found.limit_hours,
        "landmark_days": found.landmark_days,
        "n": int(found.purchases["n"].sum()),
        "n_waiting": len(found.waiting),
        "n_overdue": int(found.waiting["overdue"].sum()),
    }
    return data


def reply_rates_verdict(data: pd.DataFrame) -> str:
    """Return who had a reply in time, and whether those who had one bought more.

    Parameters
    ----------
    data : DataFrame
        From `reply_rates_data`.
    """
    about = data.attrs
    level, had = about["level"], []
    within = data[(data["part"] == "replied") & (data["name"] == "within limit")]
    for row in within[within["n"] > 0].to_dict("records"):
        kind = f"{row['reviews']} review"
        of = counted(row["n"], kind, f"{kind}s")
        had.append(f"{share_told(row, 'value', level)} of {of}")
    says = f"Within {about['limit_hours']:g} hours {joined(had)} had a reply"
    if about["n_waiting"]:
        waits = counted(about["n_waiting"], "negative one waits", "negative ones wait")
        says += f"; {waits} for one, {about['n_overdue']:,} beyond that"
    apart = data[data["part"] == "difference"].to_dict("records")
    if not apart:
        return f"{says}."
    told = [
        (
            f"{clear_told(row, level, 'value', SHARE)} in the share that buys"
            if row["name"] == "bought"
            else f"{clear_told(row, level)} orders a review"
        )
        + f" after {row['reviews']} ones"
        for row in apart
        if row["value_low"] > 0 or row["value_high"] < 0
    ]
    unclear = len(apart) - len(told)
    rest = f" ({counted(unclear, 'interval holds', 'intervals hold')} 0)" if unclear else ""
    by = f"differ by {joined(told)}" if told else "do not differ clearly"
    return (
        f"{says}. Against others of the same stars and earlier orders, those replied to in time "
        f"{by} in the {about['window']:g} days behind that{rest}. This describes who bought: "
        "nobody drew lots for replies, so it is no effect of them."
    )


def reply_rates(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw who bought again by the reply, and below how those replied to in time differ.

    Parameters
    ----------
    data : DataFrame
        From `reply_rates_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    heights = [panel_height(len(_REPLIES)), panel_height(len(_REVIEWS))]
    inner = sum(heights) + GAP
    figure = make_subplots(
        rows=2,
        cols=2,
        row_heights=heights,
        horizontal_spacing=0.18,
        vertical_spacing=GAP / inner,
        subplot_titles=[f"<b>After {kind} reviews</b>" for kind in _REVIEWS],
    )
    figure.update_annotations(font={"size": 13})
    bought = data[(data["part"] == "bought") & data["value"].notna()]
    apart = data[data["part"] == "difference"]
    for col, (kind, outcome) in enumerate(zip(_REVIEWS, _OUTCOMES, strict=True), start=1):
        rows = bought[bought["reviews"] == kind].to_dict("records")
        labels = [f"{row['value']:.0%} of {row['n']:,}" for row in rows]
        add_points(figure, rows, tuple(_REPLIES), labels, (1, col), scale=100)
        figure.update_xaxes(
            title=f"Followed by an order in {about['window']:g} days", row=1, col=col, **PERCENT
        )
        rows = [
            row | {"name": row["reviews"]}
            for row in apart[apart["name"] == outcome].to_dict("records")
        ]
        unit = SHARE if outcome == "bought" else ""
        labels = amounts([row["value"] for row in rows], unit, signed=True)
        add_points(figure, rows, _REVIEWS, labels, (2, col), scale=100 if unit else 1, zero=True)
        figure.update_xaxes(title=_OUTCOMES[outcome], row=2, col=col)
        for row, names in ((1, tuple(_REPLIES.values())), (2, _REVIEWS)):
            name_rows(figure, capitals(names) if col == 1 else [""] * len(names), (row, col))
    within = data[(data["part"] == "replied") & (data["name"] == "within limit")].iloc[0]
    title = (
        f"{within['value']:.0%} of the negative reviews had a reply within "
        f"{about['limit_hours']:g} hours"
        if within["n"]
        else "There is no negative review"
    )
    title += (
        f"; who bought afterwards is a description. Bars are {100 * about['level']:g}% intervals"
    )
    return finish_high(figure, title, source, about["n"], inner, right=80, head=20)
