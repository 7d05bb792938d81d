"""Figures of reviews as touchpoints: complaints foreseen (将投诉预警), replies (回复)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._forest import SHARE, amounts, finish_high, joined, significant
from touchpoint_lib.charts.demand import share_told
from touchpoint_lib.charts.experience import (
    BOUNDS,
    GAP,
    GAP_2,
    PERCENT,
    add_points,
    clear_told,
    name_rows,
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
    whom = (
        f"{counted(about['n'], 'delivery', 'deliveries')}, {about['n_actual']:,} with a negative "
        f"review within {about['review_days']:g} days"
    )
    told: list[str] = []
    for row in data[data["rule"] != "difference"].to_dict("records"):
        name = f"the rule {row['rule']!r}" if told else "the flag"
        if row["n_flagged"] == 0:
            told.append(f"{name} takes none")
            continue
        says = f"{name} takes {row['n_flagged']:,.0f}, {share_told(row, 'error_rate', level)} of "
        says += "them wrongly"
        if about["n_actual"]:
            says += f", and misses {share_told(row, 'omission_rate', level)} of the reviews"
        told.append(says)
    apart = [
        f"its {word} by {clear_told(difference, level, f'{name}_rate', SHARE)}"
        for difference in data[data["rule"] == "difference"].to_dict("records")
        for word, name in (("error rate", "error"), ("omission rate", "omission"))
        if np.isfinite(difference[f"{name}_rate"])
    ]
    says = f"Of {whom}: {'; '.join(told)}."
    now = f"{counted(about['n_now'], 'delivery is', 'deliveries are')} to be followed up now"
    if apart:
        now = f"The flag differs from the rule in {joined(apart)}: below 0 it is the better; {now}"
    return f"{says} {now}. Many of the unhappy write nothing: a wrong flag may be one of them."


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
            name_rows(figure, names if col == 1 else ("",) * len(names), (row, col))
        figure.update_xaxes(
            title=f"{rate.capitalize()} rate<br>({words})", row=1, col=col, **PERCENT
        )
        figure.update_xaxes(title="Percentage points", row=2, col=col)
    return finish_high(figure, _complaint_title(data), source, about["n"], inner, right=60)


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
        f"{data.attrs['level']:.0%} intervals"
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
    replied = data[(data["part"] == "replied") & (data["n"] > 0)]
    for kind, part in replied.groupby("reviews", sort=False):
        within, none = part.to_dict("records")
        had.append(
            f"of {counted(within['n'], f'{kind} review', f'{kind} reviews')}, "
            f"{share_told(within, 'value', level)} had a reply within {about['limit_hours']:g} "
            f"hours and {share_told(none, 'value', level)} none within "
            f"{about['landmark_days']:g} days"
        )
    if about["n_waiting"]:
        had.append(
            f"{counted(about['n_waiting'], 'negative review waits', 'negative reviews wait')} for "
            f"a reply, {about['n_overdue']:,} beyond the limit"
        )
    apart = []
    for kind, part in data[data["part"] == "difference"].groupby("reviews", sort=False):
        told = [
            f"{clear_told(row, level, 'value', SHARE)} in the share that buys"
            if row["name"] == "bought"
            else f"{clear_told(row, level)} orders a review"
            for row in part.to_dict("records")
        ]
        apart.append(f"{joined(told)} after {kind} ones")
    says = "; ".join(had)
    says = f"{says[0].upper()}{says[1:]}."
    if apart:
        says += (
            f" In the {about['window']:g} days behind that, reviews replied to in time differ from "
            f"others of the same stars and earlier orders by {', and by '.join(apart)}. This "
            "describes who bought: nobody drew lots for replies, so it is no effect of them."
        )
    return says


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
            name_rows(figure, names if col == 1 else ("",) * len(names), (row, col))
    within = data[(data["part"] == "replied") & (data["name"] == "within limit")].iloc[0]
    title = (
        f"{within['value']:.0%} of the negative reviews had a reply within "
        f"{about['limit_hours']:g} hours"
        if within["n"]
        else "There is no negative review"
    )
    title += f"; who bought afterwards is a description. Bars are {about['level']:.0%} intervals"
    return finish_high(figure, title, source, about["n"], inner, right=80, head=20)
