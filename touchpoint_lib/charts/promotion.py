"""Figures of promotion dependence (促销依赖): who buys on discount, and what coupons did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import FloatArray, check_columns, check_values, fail
from touchpoint_lib.charts._forest import (
    Lines,
    Panels,
    Span,
    add_forest,
    amounts,
    bounded,
    finish_high,
    joined,
    p_text,
    significant,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import legend_on_top
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.metrics.calibration import expected_rates
from touchpoint_lib.touchpoints._promotion_contacts import DRIVEN, OTHERS
from touchpoint_lib.touchpoints.promotion import NO_LOTS, PromotionEffect
from touchpoint_lib.touchpoints.stages import STAGES

#: From which probability `promotion_dependence` flags.
_LIKELY = 0.5
#: Classes of the share of orders on discount.
_CLASSES = 20
#: Digits behind which shares on the edge of a class are equal everywhere.
_SAME = 9
_SHARES = {
    "customers": "customers",
    "orders": "orders",
    "discounted": "orders on discount",
    "money": "money",
}
#: In the normal cycle of purchases.
_NORMAL = STAGES[1]
_ENDS = ("", "_low", "_high")
_DIFFERENCE = [f"difference{end}" for end in _ENDS]
_VERDICTS = {
    "confirmed": "Confirmed: promotion-driven customers order more for coupons than others",
    "refuted": "Refuted: promotion-driven customers order less for coupons than others",
    "not known": "Not known whether promotion-driven customers order more for coupons than others",
}
_QUANTITIES = {
    "orders": "Added orders",
    "margin": "Added margin before discounts",
    "discount": "Discount given",
    "profit": "Profit",
}


def promotion_shares_data(table: pd.DataFrame, money: pd.Series | None = None) -> pd.DataFrame:
    """Return customers by their share of orders on discount, those promotion-driven apart.

    Parameters
    ----------
    table : DataFrame
        From `promotion_dependence`.
    money : Series of float, optional
        What each customer of the table spent, by customer_id, >= 0, such as the sum of their orders
        up to the same moment. Customers that the table does not have play no part.

    Returns
    -------
    DataFrame
        A row a class of the shrunken share, 20 of equal width: low, high, customers, driven (of
        them, those flagged as promotion-driven). ``attrs`` holds n, promotion (the share from which
        a customer counts), level, until; shares (of the driven: customers, orders, discounted
        orders and, where ``money`` is given, money; NaN where there is none of it), expected
        (customers whose true share is at or above the line, by the probabilities), and what the
        flag promises: error_rate and omission_rate, each with _low and _high.

    Raises
    ------
    InputError
        If ``table`` is something else, or ``money`` lacks a customer or has a bad value.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> spent = paid.groupby("customer_id")["amount"].sum()
    >>> data = charts.promotion_shares_data(tp.promotion_dependence(paid), spent)
    >>> {name: round(share, 3) for name, share in data.attrs["shares"].items()}
    {'customers': 0.085, 'orders': 0.077, 'discounted': 0.418, 'money': 0.039}
    """
    if not isinstance(table, pd.DataFrame) or "promotion" not in table.attrs:
        raise fail(
            f"table is no result of promotion_dependence (a {type(table).__name__})",
            "pass what promotion_dependence returned, with its attrs",
        )
    columns = ["orders", "discounted", "share_shrunk", "probability", "promotion_driven"]
    check_columns(table, columns, "table", "pass what promotion_dependence returned")
    driven = table["promotion_driven"].to_numpy(dtype=np.bool_)
    if not np.array_equal(driven, table["probability"] >= _LIKELY):
        raise fail(
            f"promotion_driven of table is not where probability is at least {_LIKELY:g}",
            "pass what promotion_dependence returned, unchanged",
        )
    place = np.floor(np.round(table["share_shrunk"].to_numpy() * _CLASSES, _SAME)).astype(np.int64)
    place = np.minimum(place, _CLASSES - 1)
    edges = np.arange(_CLASSES + 1) / _CLASSES
    data = pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "customers": np.bincount(place, minlength=_CLASSES),
            "driven": np.bincount(place[driven], minlength=_CLASSES),
        }
    )
    parts = {"customers": np.ones(len(table))}
    parts |= {name: table[name].to_numpy(dtype=np.float64) for name in ("orders", "discounted")}
    if money is not None:
        parts["money"] = _money(money, table.index)
    rates = expected_rates(table["probability"], _LIKELY, table.attrs["level"])
    bounds = [f"{name}{end}" for name in ("error_rate", "omission_rate") for end in _ENDS]
    promised = significant(pd.Series({name: getattr(rates, name) for name in bounds}))
    shares = {
        name: float(values[driven].sum() / values.sum()) if values.sum() > 0 else np.nan
        for name, values in parts.items()
    }
    data.attrs = {
        "n": len(table),
        "promotion": table.attrs["promotion"],
        "level": table.attrs["level"],
        "until": table.attrs["until"],
        "shares": significant(pd.Series(shares)).to_dict(),
        "expected": float(f"{rates.expected_actual:.6g}"),
        **promised.to_dict(),
    }
    return data


def promotion_shares_verdict(data: pd.DataFrame) -> str:
    """Return how many customers are promotion-driven, what they buy, and how sure the flag is.

    Parameters
    ----------
    data : DataFrame
        From `promotion_shares_data`.
    """
    about = data.attrs
    flagged = int(data["driven"].sum())
    who = f"{flagged:,} of {counted(about['n'], 'customer', 'customers')}"
    line = f"{100 * about['promotion']:g}%"
    if not flagged:
        return (
            f"None of {counted(about['n'], 'customer', 'customers')} is flagged; "
            f"{about['expected']:,.0f} customers are expected to buy {line} or more on discount."
        )
    shares = about["shares"]
    makes = [
        f"{share:.1%} of the {_SHARES[name]}"
        for name, share in shares.items()
        if name != "customers" and np.isfinite(share)
    ]
    error, omission = (_rate(about, name) for name in ("error_rate", "omission_rate"))
    return (
        f"{who} ({shares['customers']:.1%}) are flagged as promotion-driven by their orders up to "
        f"{about['until'][:10]} (more likely than not {line} or more of them are on discount), and "
        f"make {joined(makes)}. By the probabilities {error} of the flagged are not, and "
        f"{omission} of the {about['expected']:,.0f} expected go unflagged. Who was offered "
        "nothing else looks the same: only a holdout tells what coupons do to them."
    )


def promotion_shares(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw customers by their share of orders on discount, and what the driven ones make up.

    Parameters
    ----------
    data : DataFrame
        From `promotion_shares_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    figure = make_subplots(
        rows=1,
        cols=2,
        column_widths=[0.66, 0.34],
        horizontal_spacing=0.2,
        subplot_titles=["<b>Customers by share of orders on discount</b>", "<b>Their share</b>"],
    )
    figure.update_annotations(font={"size": 13})
    middle = ((data["low"] + data["high"]) / 2).round(6).tolist()
    for name, counts, colour in (
        ("promotion-driven", data["driven"], ACCENT),
        ("others", data["customers"] - data["driven"], GREYS[3]),
    ):
        figure.add_bar(
            name=name,
            x=middle,
            y=counts.tolist(),
            marker={"color": colour, "line": {"width": 1, "color": "white"}},
            width=1 / _CLASSES,
            customdata=data[["low", "high"]].to_numpy().tolist(),
            hovertemplate="%{customdata[0]:.0%} to %{customdata[1]:.0%}: %{y:,} "
            f"{name}<extra></extra>",
            row=1,
            col=1,
        )
    figure.add_vline(
        x=about["promotion"], line={"color": BASELINE, "dash": "dash", "width": 1.5}, row=1, col=1
    )
    shares = {name: share for name, share in about["shares"].items() if np.isfinite(share)}
    figure.add_bar(
        name="share",
        x=[*shares.values()],
        y=[_SHARES[name] for name in shares],
        orientation="h",
        marker={"color": ACCENT},
        text=[f"{share:.1%}" for share in shares.values()],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:.2%} of the %{y}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(
        title="Share of orders on discount (shrunken)", range=[0, 1], tickformat=".0%", row=1, col=1
    )
    figure.update_yaxes(title="Customers", tickformat=",", row=1, col=1)
    most = max([*shares.values(), 0.0]) or 1.0
    figure.update_xaxes(
        title="Share of the driven",
        range=[0, float(f"{min(1.25 * most, 1.25):.6g}")],
        tickformat=".0%",
        nticks=4,
        row=1,
        col=2,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, row=1, col=2)
    flagged = int(data["driven"].sum())
    title = (
        f"{flagged:,} of {counted(about['n'], 'customer', 'customers')} are flagged as "
        f"promotion-driven ({100 * about['promotion']:g}% or more on discount)"
    )
    return legend_on_top(
        finish_high(figure, title, source, about["n"], 300, right=50, head=64)
    ).update_layout(legend={"y": 1.1})


def promotion_effects_data(found: PromotionEffect) -> pd.DataFrame:
    """Return what coupons did to promotion-driven customers, to others and by stage.

    Parameters
    ----------
    found : PromotionEffect
        From `promotion_effect`.

    Returns
    -------
    DataFrame
        A row a group and quantity, all customers first: segment_by ("", "group", "stage"), segment,
        quantity ("orders", "margin" before discounts, "discount" given, "profit": margin less
        discount and contacts), effect with ci_low and ci_high (of 1,000 contacts, six significant
        digits, NaN where it is not known), n_contacted and n_held_out. ``attrs`` holds verdict,
        difference with difference_low and difference_high (orders of 1,000 contacts, driven less
        others), before_p, window, level, left_out (campaigns that were not judged, with
        the reason) and n (contacts, those held out included).

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
    >>> driven = tp.promotion_dependence(paid, until="2025-05-31")["promotion_driven"]
    >>> won = shop.contacts[shop.contacts["campaign"] == "win back"]
    >>> data = charts.promotion_effects_data(tp.promotion_effect(won, paid, driven, window=21))
    >>> profit = data[data["quantity"] == "profit"]
    >>> profit[["segment", "effect", "ci_low", "ci_high"]].round(-2).to_dict("split")["data"][1]
    ['promotion-driven', 7100.0, 1400.0, 12800.0]
    """
    if not isinstance(found, PromotionEffect):
        raise fail(f"found is a {type(found).__name__}", "pass the result of promotion_effect")
    rows = found.effects.rename(columns={"by": "segment_by"})
    keys = ["segment_by", "segment"]
    counts = ["n_contacted", "n_held_out"]
    groups = rows[[*keys, *counts]].drop_duplicates(keys)
    groups = groups.sort_values(keys, key=_order, kind="stable").reset_index(drop=True)
    bounds = ["effect", "ci_low", "ci_high"]
    parts = []
    for quantity, outcome in (
        ("orders", "orders"),
        ("margin", "margin_before_discount"),
        ("discount", "discount_given"),
    ):
        part = groups.merge(rows.loc[rows["outcome"] == outcome, [*keys, *bounds]], on=keys)
        part[bounds] = 1000 * part[bounds]
        parts.append(part.assign(quantity=quantity))
    money = found.money.rename(
        columns=dict(zip(["net_profit", "net_profit_low", "net_profit_high"], bounds, strict=True))
        | {"by": "segment_by"}
    )
    parts.append(groups.merge(money[[*keys, *bounds]], on=keys).assign(quantity="profit"))
    data = pd.concat(parts, ignore_index=True)
    data[bounds] = data[bounds].apply(significant)
    data[keys] = data[keys].astype(str)
    data = data[[*keys, "quantity", *bounds, *counts]]
    orders = found.differences.loc[["orders"], ["difference", "ci_low", "ci_high"]]
    apart = significant(pd.Series(1000 * orders.to_numpy(dtype=np.float64)[0]))
    unjudged = found.strata.loc[found.strata["left_out"] != "", "left_out"].to_dict()
    data.attrs = {
        "verdict": found.verdict,
        **dict(zip(_DIFFERENCE, apart, strict=True)),
        "before_p": float(f"{found.before_p:.6g}"),
        "window": found.window,
        "level": found.level,
        "left_out": {str(name): str(why) for name, why in unjudged.items()},
        "n": int(groups.loc[groups["segment_by"] == "", counts].to_numpy().sum()),
    }
    return data


def promotion_effects_verdict(data: pd.DataFrame) -> str:
    """Return whether coupons move the promotion-driven more, and what they earn with whom.

    Parameters
    ----------
    data : DataFrame
        From `promotion_effects_data`.
    """
    about = data.attrs
    added = _added(data)
    if about["before_p"] < NO_LOTS:
        says = f"{_no_lots(about)}. {added[0].upper()}{added[1:]}. {_profits(data)}"
    else:
        says = f"{_VERDICTS[about['verdict']]}; {added}. {_profits(data)}"
    if about["left_out"]:
        reasons: dict[str, list[str]] = {}
        for name, reason in about["left_out"].items():
            reasons.setdefault(reason, []).append(name)
        why = joined([f"{joined(names)} ({reason})" for reason, names in reasons.items()])
        says += f"; left out: {why}"
    return f"{says}."


def promotion_effects(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw orders, margin, discount and profit of 1,000 contacts with intervals, by group.

    Parameters
    ----------
    data : DataFrame
        From `promotion_effects_data`.
    source : str
        For the footer.
    """
    about, lines = data.attrs, Lines.of(data)
    panels = Panels.of([*_QUANTITIES.values()], [lines.pixels], 70, most=2)
    for quantity, (row, col), last in zip(_QUANTITIES, panels.places, panels.last, strict=True):
        rows = data[data["quantity"] == quantity]
        span = Span.of(rows)
        listed = rows.to_dict("records")
        add_forest(
            panels.figure,
            rows,
            lines,
            span,
            unit="",
            labels=[
                "unknown" if np.isnan(one) else told
                for one, told in zip(
                    rows["effect"], amounts(rows["effect"], signed=True), strict=True
                )
            ],
            hovers=[_hover(one, about["level"]) for one in listed],
            place=(row, col),
        )
        note = "<br>Bars that end at the edge go on" if span.cut else ""
        if last or note:
            panels.figure.update_xaxes(title=f"Per 1,000 contacts{note}", row=row, col=col)
    title = _VERDICTS[about["verdict"]]
    if about["before_p"] < NO_LOTS:
        title = _no_lots(about)
    elif np.isfinite(about["difference"]):
        apart = bounded(about, "difference", about["level"], signed=True)
        title += f": {apart} orders of 1,000 contacts"
    title += f". Bars are {100 * about['level']:g}% intervals"
    return panels.finish(title, source, about["n"], right=80)


def _order(names: pd.Series) -> pd.Series:
    """Return where groups stand: all, driven, others; stages in their order, others behind."""
    known = ["", "group", "stage", "all", DRIVEN, OTHERS, *STAGES]
    return names.map(lambda name: known.index(name) if name in known else len(known))


def _no_lots(about: Mapping[Any, Any]) -> str:
    """Return that the arms were not alike, which leaves nothing to be trusted."""
    return (
        "Not to be trusted: contacted and held-out customers differed before the contacts "
        f"({p_text(about['before_p'])}), so no lots decided"
    )


def _added(data: pd.DataFrame) -> str:
    """Return the orders that contacts add to both groups, and the difference where it is known."""
    about = data.attrs
    orders = data[(data["quantity"] == "orders") & (data["segment_by"] == "group")]
    by_group = orders.set_index("segment")["effect"]
    both = [by_group[DRIVEN], by_group[OTHERS]]
    bounds = [about[name] for name in _DIFFERENCE]
    sizes = amounts([*both, *(bound for bound in bounds if np.isfinite(bound))])
    theirs, rest = (
        size if np.isfinite(effect) else "an unknown number of"
        for effect, size in zip(both, sizes, strict=False)
    )
    says = (
        f"in {about['window']:g} days 1,000 contacts of campaigns with coupons add {theirs} orders "
        f"of theirs and {rest} of others"
    )
    if np.isnan(about["difference"]):
        return says
    return f"{says}, a difference of {bounded(about, 'difference', about['level'], among=both)}"


def _money(money: Any, customers: pd.Index) -> FloatArray:
    """Return what the customers spent."""
    if not isinstance(money, pd.Series) or not money.index.is_unique:
        raise fail("money is no Series with one number a customer", "pass a sum by customer_id")
    missing = customers.difference(money.index)
    if len(missing):
        raise fail(
            f"money has no customer {missing.tolist()[0]!r} ({len(missing):,} such customers)",
            "pass the money of each customer of the table",
        )
    return check_values("money", money.loc[customers], ge=0, index=customers)


def _rate(about: Mapping[Any, Any], name: str) -> str:
    """Return a rate that the probabilities promise."""
    one, low, high = (about[f"{name}{end}"] for end in _ENDS)
    return f"{one:.0%} ({100 * about['level']:g}%: {low:.0%} to {high:.0%})"


def _profits(data: pd.DataFrame) -> str:
    """Return the profit from both groups, and from the stages where it is clear of 0."""
    level = data.attrs["level"]
    profit = data[data["quantity"] == "profit"]
    groups = profit[profit["segment_by"] == "group"].to_dict("records")
    told = [
        f"{_earned(row, level)} with {'the ' * (row['segment'] == DRIVEN)}{row['segment']}"
        for row in groups
    ]
    stages = profit[profit["segment_by"] == "stage"].to_dict("records")
    unclear = 0
    for row in sorted(stages, key=lambda row: row["segment"] != _NORMAL):
        if row["segment"] == _NORMAL:
            told.append(f"{_earned(row, level)} in the normal cycle ({_NORMAL})")
        elif row["ci_low"] > 0 or row["ci_high"] < 0:
            told.append(f"{_earned(row, level)} with {row['segment']} ones")
        else:
            unclear += 1
    if unclear:
        told.append(f"not clear of 0 at {counted(unclear, 'other stage', 'other stages')}")
    return f"Profit of 1,000 contacts is {joined(told)}"


def _earned(row: Mapping[Any, Any], level: float) -> str:
    """Return what a group earned, and whether that is clear of 0."""
    if np.isnan(row["effect"]):
        return "unknown"
    told = bounded(row, "effect", level)
    if np.isnan(row["ci_low"]):
        return f"{told} (no interval)"
    if row["ci_low"] > 0 or row["ci_high"] < 0:
        return told
    return f"{told.removesuffix(')')}; not clear of 0)"


def _hover(row: Mapping[Any, Any], level: float) -> str:
    """Return the figures of a row."""
    who = f"{row['segment_by']}: {row['segment']}" if row["segment_by"] else "All customers"
    told = "unknown" if np.isnan(row["effect"]) else bounded(row, "effect", level, signed=True)
    return "<br>".join(
        [
            f"<b>{text(who)}</b>",
            f"{_QUANTITIES[row['quantity']]}: {told}",
            f"{row['n_contacted']:,} contacted, {row['n_held_out']:,} held out",
        ]
    )
