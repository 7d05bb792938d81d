"""What the timing report says besides its charts: the choice, the truth of the shop, the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray, check_columns, fail
from touchpoint_lib.charts.calendar import contact_load_data, next_days
from touchpoint_lib.charts.timing import (
    best_row,
    counted,
    timing_frontier_data,
    timing_frontier_verdict,
)
from touchpoint_lib.report._provenance import provenance
from touchpoint_lib.report.headline import Headline, Tile
from touchpoint_lib.simulate.shop import Shop
from touchpoint_lib.timing.backtest import TimingBacktest
from touchpoint_lib.timing.parcels import LateParcels
from touchpoint_lib.timing.payments import PaymentReminder

_EARLIER = "Days earlier, on average, at equal error rate"
_NOT_EARLIER = Tile(_EARLIER, "none", "no policy clearly beats fixed days")


def best_policy(result: TimingBacktest, fixed: str, omission: float = 0.05) -> str:
    """Return the policy that contacts the lapsed earliest beside fixed days of its error rate.

    Parameters
    ----------
    result : TimingBacktest
        From `backtest_timing`.
    fixed : str
        Name of the policy to take where none is earlier for certain, such as that of `FixedDays`.
    omission : float
        The best policy must not miss more of the lapsed than this share.

    Raises
    ------
    InputError
        If ``fixed`` is not among the policies.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> policies = [tp.FixedDays(60), tp.OwnGapQuantile(0.9)]
    >>> result = tp.backtest_timing(tp.load_cdnow(sample=True), policies)
    >>> report.best_policy(result, "60 days")
    '60 days'
    """
    if fixed not in set(result.table["policy"]):
        raise fail(
            f"fixed is {fixed!r}, the policies are {', '.join(map(repr, result.table['policy']))}",
            "name one of them, and back-test a fixed number of days as well",
        )
    return best_row(result.table, omission) or fixed


def timing_headline(
    result: TimingBacktest,
    fixed: str,
    calendar: pd.DataFrame,
    customers: pd.DataFrame,
    source: str,
    omission: float = 0.05,
) -> Headline:
    """Return question, verdict, tiles and provenance of the timing notebook.

    Parameters
    ----------
    result : TimingBacktest
        From `backtest_timing`.
    fixed : str
        Name of the policy to compare with, and to take where none beats fixed days.
    calendar : DataFrame
        From `contact_calendar`.
    customers : DataFrame
        From `rfm_summary` of the same log.
    source : str
        Name of the log.
    omission : float
        As for `best_policy`.
    """
    best = best_policy(result, fixed, omission)
    load = contact_load_data(calendar).attrs
    frontier = timing_frontier_data(result, omission)
    rows = frontier[frontier["number"] > 0].set_index("policy").to_dict("index")
    row, level = rows[best], f"{100 * result.level:g}%"
    totals, days = load["totals"], calendar.attrs["days"]
    wasted = (
        f", {totals['expected_wasted']:,.0f} of them expected to be wasted"
        if totals["contacts"]
        else ""
    )
    left = sum(load["left"].values())
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in load["left"].items())
    why = f" ({reasons})" if left else ""
    plan = (
        f"The calendar of the next {next_days(days)} has "
        f"{counted(totals['contacts'], 'contact', 'contacts')}{wasted}"
        + (
            f", and leaves {counted(left, 'customer', 'customers')} alone who would be due{why}."
            if left
            else "."
        )
    )
    beaten = frontier.attrs["best"] is not None
    keep = "" if beaten else f" So it stays at {fixed}."
    tiles = [_earlier_tile(row, level) if beaten else _NOT_EARLIER]
    for name, what in (
        ("error_rate", "Error rate (wasted / contacts)"),
        ("omission_rate", "Omission rate (missed / lapsed)"),
    ):
        other = rows[fixed][name]
        beside = "" if best == fixed or np.isnan(other) else f"{fixed}: {other:.1%}"
        label = f"{what}: {best}"
        tiles.append(_rate_tile(label, name, row, level, result.n_lapsed, beside))
    tiles += [
        Tile(
            f"Contacts in the next {next_days(days)}",
            f"{totals['contacts']:,}",
            "",
            f"expected to be made: {totals['expected_contacts']:,.0f}",
        ),
        Tile(
            "Contacts expected to be wasted",
            f"{totals['expected_wasted']:,.0f}",
            "",
            f"buyers within {calendar.attrs['horizon']} days anyway",
        ),
    ]
    return Headline(
        "Whom should we contact, on which day, and whom leave alone?",
        f"{timing_frontier_verdict(frontier)}{keep} {plan}",
        tiles,
        {
            **provenance(customers, source),
            "Back-test": (
                f"{result.n_spells:,} spells of {result.n_customers:,} customers, "
                f"{result.n_lapsed:,} lapsed; {result.n_undecided:,} began too late to be decided"
            ),
            "Policies": (
                f"learned from {result.n_fitted:,} other customers"
                if result.n_fitted
                else "taken as they were given"
            ),
        },
    )


def _earlier_tile(row: Mapping[Any, Any], level: str) -> Tile:
    if np.isinf(row["days_earlier"]):
        wasted = f"no number of days wastes only {row['error_rate']:.1%}"
        return Tile(_EARLIER, "any", wasted, f"day {row['mean_silence']:,.1f}")
    low, high = row["days_earlier_low"], row["days_earlier_high"]
    bounds = f"{low:,.1f} or more" if np.isinf(high) else f"{low:,.1f} to {high:,.1f}"
    return Tile(
        _EARLIER,
        f"{row['days_earlier']:,.1f}",
        f"{level}: {bounds}",
        f"day {row['mean_silence']:,.1f} instead of {row['fixed_days']:,.1f}",
    )


def _rate_tile(
    label: str, name: str, row: Mapping[Any, Any], level: str, n_lapsed: int, beside: str
) -> Tile:
    """Return the tile of a rate; ``beside`` is the same of fixed days."""
    omission = name == "omission_rate"
    if np.isnan(row[name]):
        return Tile(label, "none", "nobody lapsed" if omission else "nobody is contacted")
    bounds = f"{level}: {row[f'{name}_low']:.1%} to {row[f'{name}_high']:.1%}"
    # Resampling knows no bounds where nobody was missed.
    if omission and row[name] == 0:
        bounds = f"none of {n_lapsed:,} lapsed"
    return Tile(label, f"{row[name]:.1%}", bounds, beside)


def payment_chance(shop: Shop, curve: pd.DataFrame) -> FloatArray:
    """Return the true share of unpaid orders of a simulated shop that still pay in time.

    Parameters
    ----------
    shop : Shop
        From `simulate_shop` or `load_shop`.
    curve : DataFrame
        With kind, source, limit and minute (waited so far; less than the limit, or equal).

    Returns
    -------
    array of float, shape (n,)
        (F(limit) - F(minute)) / (1 - F(minute)), with F of `ShopPayments.own_share`.

    Raises
    ------
    InputError
        If a column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> curve = pd.DataFrame({"kind": "new", "source": "app", "limit": 4320, "minute": [2, 190]})
    >>> report.payment_chance(tp.load_shop(), curve).round(3)
    array([0.806, 0.499])
    """
    check_columns(curve, ("kind", "source", "limit", "minute"), "curve", "pass such a frame")
    settings = shop.call["payments"]
    chance = np.empty(len(curve))
    for (kind, source), rows in _rows_by(curve.astype({"kind": "str"}), ["kind", "source"]):
        end, now = (
            settings.own_share(curve[name].to_numpy()[rows], source=source, customer=kind)
            for name in ("limit", "minute")
        )
        chance[rows] = (end - now) / (1 - now)
    return chance


def _rows_by(frame: pd.DataFrame, names: list[str]) -> Iterator[tuple[tuple[Any, ...], IntArray]]:
    """Yield the labels of each class of rows, and where its rows are."""
    code = frame.groupby(names, sort=False).ngroup().to_numpy()
    for number in range(code.max(initial=-1) + 1):
        rows = np.flatnonzero(code == number)
        yield tuple(frame[names].iloc[rows[0]]), rows


def payment_truth_data(found: PaymentReminder, shop: Shop) -> pd.DataFrame:
    """Return the rules of reminders beside the truth of a simulated shop.

    Parameters
    ----------
    found : PaymentReminder
        From `payment_reminder` of the orders of ``shop``.
    shop : Shop
        From `simulate_shop` or `load_shop`.

    Returns
    -------
    DataFrame
        A row a class: kind, source, limit, n_orders, remind_after, true_after (the minute that
        the same rule names if the truth is known), own_share with _low and _high, true_share (at
        remind_after) and within (whether the interval holds it).
    """
    rules = found.to_frame()
    table = rules[["kind", "source", "limit", "n_orders", "remind_after"]].copy()
    true_after = np.empty(len(rules), dtype=np.int64)
    for place, row in enumerate(rules.to_dict("records")):
        last = int(np.floor(found.latest * row["limit"]))
        every = pd.DataFrame({"minute": np.arange(1.0, last + 1), "limit": row["limit"]})
        chance = payment_chance(shop, every.assign(kind=row["kind"], source=row["source"]))
        over = np.flatnonzero(chance > found.line)
        # The first minute from which on the share stays at or under the line.
        true_after[place] = min(over[-1] + 2 if over.size else 1, last)
    table["true_after"] = true_after
    bounds = ["own_share", "own_share_low", "own_share_high"]
    table[bounds] = rules[bounds]
    table["true_share"] = payment_chance(shop, rules.rename(columns={"remind_after": "minute"}))
    table["within"] = table["true_share"].between(table["own_share_low"], table["own_share_high"])
    return table


def payment_truth_verdict(table: pd.DataFrame) -> str:
    """Return how near the rules of reminders come to the truth.

    Parameters
    ----------
    table : DataFrame
        From `payment_truth_data`.
    """
    off = (table["remind_after"] - table["true_after"]).abs()
    worst = table.iloc[int(np.argmax(off))]
    return (
        f"The true share that still pays lies in the interval of {int(table['within'].sum()):,} "
        f"of {counted(len(table), 'class', 'classes')}. The minute to remind is off by "
        f"{off.median():,.0f} in the median class, at most by {off.max():,.0f} (of "
        f"{worst['kind']}, {worst['source']}, with a limit of {worst['limit']:,} minutes, of "
        f"which {counted(int(worst['n_orders']), 'order was', 'orders were')} learned from)."
    )


def parcel_chance(shop: Shop, curve: pd.DataFrame) -> FloatArray:
    """Return the true probability of parcels of a simulated shop on the way to come late.

    Of all parcels of a carrier and province, those shipped in a jam included.

    Parameters
    ----------
    shop : Shop
        From `simulate_shop` or `load_shop`.
    curve : DataFrame
        With carrier, province and age_hours (since shipping).

    Returns
    -------
    array of float, shape (n,)
        The sum over the delay factors f of w_f S_f(max(promise, age)), divided by that of
        w_f S_f(age): S_f is the survival function of the time on the way, w_f the share of the
        parcels of the class that were shipped under f.

    Raises
    ------
    InputError
        If a column is missing, or a class is not one of the shop.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> ages = {"carrier": "standard", "province": "Guangdong", "age_hours": [0, 72]}
    >>> report.parcel_chance(tp.load_shop(), pd.DataFrame(ages)).round(3)
    array([0.155, 0.381])
    """
    check_columns(curve, ("carrier", "province", "age_hours"), "curve", "pass such a frame")
    settings = shop.call["parcels"]
    leads = {one.name: one.lead for one in shop.call["arrivals"].provinces}
    shipped = shop.parcels[["parcel_id", "carrier", "province"]].merge(
        shop.truth.parcels[["parcel_id", "delay_factor"]], on="parcel_id"
    )
    chance = np.empty(len(curve))
    for (carrier, province), rows in _rows_by(curve, ["carrier", "province"]):
        mine = (shipped["carrier"] == carrier) & (shipped["province"] == province)
        if not mine.any():
            raise fail(f"no parcel of {carrier!r} went to {province!r}", "pass classes of shop")
        lead = leads[province]
        age = curve["age_hours"].to_numpy()[rows] / 24
        late, under_way = np.zeros((2, len(age)))
        factors, counts = np.unique(shipped["delay_factor"][mine], return_counts=True)
        for factor, share in zip(factors, counts / counts.sum(), strict=True):
            at_promise = settings.probability_late(carrier, lead, factor)
            given = settings.probability_late_in_transit(carrier, lead, age, factor)
            # Before the promise S(age) = S(promise) / P(late | age); behind it all are late.
            late += share * at_promise
            under_way += share * at_promise / given
        chance[rows] = np.minimum(late / under_way, 1.0)
    return chance


def parcel_truth_data(found: LateParcels, shop: Shop) -> pd.DataFrame:
    """Return what was found of each carrier and province beside the truth of a simulated shop.

    Parameters
    ----------
    found : LateParcels
        From `late_parcels` of the parcels of ``shop``, by carrier and province.
    shop : Shop
        From `simulate_shop` or `load_shop`.

    Returns
    -------
    DataFrame
        A row a class: carrier, province, n, late_share with _low and _high, true_share, within
        (whether the interval holds it), flag_after (hours; inf for never), probability (when
        flagged, or at the last moment of use) and true_probability (of the same moment).
    """
    classes = found.to_frame()
    check_columns(classes, ("carrier", "province"), "found", 'pass by=("carrier", "province")')
    bounds = ["late_share", "late_share_low", "late_share_high"]
    table = classes[["carrier", "province", "n", *bounds]].copy()
    table["true_share"] = parcel_chance(shop, classes.assign(age_hours=0.0))
    table["within"] = table["true_share"].between(table["late_share_low"], table["late_share_high"])
    last = (classes["promised_days"] * 24 - found.notice).clip(lower=0)
    age = classes["flag_after"].where(np.isfinite(classes["flag_after"]), last)
    table[["flag_after", "probability"]] = classes[["flag_after", "probability"]]
    table["true_probability"] = parcel_chance(shop, classes.assign(age_hours=age))
    return table


def parcel_truth_verdict(table: pd.DataFrame) -> str:
    """Return how near the chances to be late come to the truth.

    Parameters
    ----------
    table : DataFrame
        From `parcel_truth_data`.
    """
    off = 100 * (table["probability"] - table["true_probability"]).abs()
    worst = table.iloc[int(np.argmax(off))]
    return (
        f"The true share of late parcels lies in the interval of {int(table['within'].sum()):,} "
        f"of {counted(len(table), 'class', 'classes')}. When it counts, at the flag or the last "
        f"moment of use, the chance to be late is off by {off.median():.1f} points in the median "
        f"class, at most by {off.max():.1f} ({worst['carrier']}, {worst['province']})."
    )
