"""How much of a coupon campaign's effect was only pulled forward (提前消费)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import check_columns, check_integer, check_number, fail
from touchpoint_lib.campaigns._events import flags
from touchpoint_lib.campaigns.cumulative import cumulative_effect
from touchpoint_lib.touchpoints._promotion_contacts import (
    CONTACTS_REMEDY,
    DRIVEN,
    OTHERS,
    coupon_strata,
    coupons,
    customer_groups,
)
from touchpoint_lib.touchpoints._promotion_orders import ORDERS_REMEDY

__all__ = ["pull_forward"]

#: What is found of each campaign and group, besides counts.
_FOUND = [
    *("effect_window", "effect_window_low", "effect_window_high"),
    *("effect_end", "effect_end_low", "effect_end_high"),
    *("change", "change_low", "change_high"),
    *("pulled_forward", "pulled_low", "pulled_high"),
]


def pull_forward(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    *,
    window: int,
    cycle: float,
    driven: pd.Series | None = None,
    until: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return how much of a coupon campaign's effect was only pulled forward (提前消费).

    The effect on orders, cumulated from the contact, is highest when the coupon ends; what was
    merely bought earlier is gone one repurchase cycle later. This is `cumulative_effect` at both
    days, for each campaign.

    Parameters
    ----------
    contacts : DataFrame
        As for `promotion_effect`, without cost, with campaign; of each campaign a row a customer.
        Contacts outside of campaigns, and campaigns without coupons, are left out, and counted.
    orders : DataFrame
        A row an order that counts: customer_id and time.
    window : int
        Days for which the coupon holds, where the effect is at its height. It is said in advance:
        the highest day found in the data would be high by luck as well.
    cycle : float
        Days of one repurchase cycle (复购周期) behind it; the end is the first whole day after it.
    driven : Series of bool, optional
        As for `promotion_effect`: adds a row for promotion-driven customers and for others.
    until : date or time, optional
        The moment up to which ``orders`` is complete; by default that of the last order.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a campaign and group: stratum (channel and campaign), group ("all",
        "promotion-driven", "others"), n_contacted, n_held_out, effect_window and effect_end (orders
        a customer) with _low and _high, change (effect_end - effect_window) with change_low and
        change_high, pulled_forward (- change / effect_window: 0.6 is three fifths gone, below 0 it
        grew on) and pulled_low and pulled_high (Fieller: without end where the effect at
        ``window`` may be 0). pulled_forward is NaN where that effect is not above 0, its interval
        where it is clearly below 0, intervals where nobody's orders differ, and all but the counts
        where less than two were contacted or held out: the effect is not identified. ``attrs``:
        window, end (days), level, outside (contacts of no campaign), without_coupons (campaigns)
        and unclassed (contacts of customers not in ``driven``, which the groups leave out).

    Raises
    ------
    InputError
        If a column is missing or cannot be used, no campaign has coupons, a customer stands twice
        in one, or its last day is not over by ``until``.

    References
    ----------
    Fieller (1954), "Some problems in interval estimation", JRSS B 16.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> table = tp.pull_forward(shop.contacts, paid, window=21, cycle=60)
    >>> names = ["effect_window", "effect_end", "pulled_forward", "pulled_low", "pulled_high"]
    >>> table[names].round(2)
       effect_window  effect_end  pulled_forward  pulled_low  pulled_high
    0            0.1        0.11           -0.02        -0.4         0.41
    """
    check_columns(
        contacts,
        ["customer_id", "time", "channel", "campaign", "held_out", "coupon"],
        "contacts",
        CONTACTS_REMEDY,
    )
    check_columns(orders, ["customer_id", "time"], "orders", ORDERS_REMEDY)
    hold = check_integer("window", window, ge=1)
    end = hold + math.ceil(check_number("cycle", cycle, gt=0))
    withheld, offered = flags("contacts", contacts, "held_out"), coupons(contacts)
    named = contacts["campaign"].notna().to_numpy()
    stratum = coupon_strata(contacts)
    listed = sorted(set(stratum[named]))
    chosen = sorted(set(stratum[named & offered & ~withheld]))
    if not chosen:
        raise fail(
            "no campaign of contacts has coupons",
            "pass whole campaigns with coupons, their held-out opportunities included",
        )
    judged = named & stratum.isin(chosen).to_numpy()
    people = contacts.loc[judged, ["customer_id", "time"]].assign(
        arm=np.where(withheld[judged], "held out", "sent"), stratum=stratum[judged]
    )
    masks = {"all": np.ones(len(people), dtype=np.bool_)}
    unclassed = 0
    if driven is not None:
        group = customer_groups(people, driven)
        masks |= {name: (group == name).to_numpy() for name in (DRIVEN, OTHERS)}
        unclassed = int(group.isna().sum())
    rows = []
    for name in chosen:
        mine = (people["stratum"] == name).to_numpy()
        for label, mask in masks.items():
            chosen_rows = people[mine & mask]
            held_out = int((chosen_rows["arm"] == "held out").sum())
            row = {
                "stratum": name,
                "group": label,
                "n_contacted": len(chosen_rows) - held_out,
                "n_held_out": held_out,
            }
            if min(row["n_contacted"], held_out) < 2:
                rows.append(row | dict.fromkeys(_FOUND, np.nan))
                continue
            course = cumulative_effect(
                chosen_rows,
                orders,
                arm="arm",
                control="held out",
                start="time",
                days=end,
                window=hold,
                cycle=cycle,
                until=until,
                level=level,
            )
            rows.append(row | _pulled(course, level))
    table = pd.DataFrame(rows)
    table.attrs = {
        "window": hold,
        "end": end,
        "level": float(level),
        "outside": int((~named).sum()),
        "without_coupons": [name for name in listed if name not in chosen],
        "unclassed": unclassed,
    }
    return table


def _pulled(course: pd.DataFrame, level: float) -> dict[str, float]:
    """Return the effects at the window and at the end, and the share that is gone."""
    found = course.attrs["comparison"]
    last = course.iloc[-1]
    row = {}
    for name, source in (("effect_window", "effect_window"), ("effect_end", "effect_days")):
        for end in ("", "_low", "_high"):
            row[name + end] = found[source + end]
    row |= {name: found[name] for name in ("change", "change_low", "change_high")}
    reach = float(ndtri((1 + level) / 2))
    early = float(course.loc[course["day"] == found["window"], "standard_error"].iloc[0])
    change = (found["change_high"] - found["change"]) / reach
    late = float(last["standard_error"])
    covariance = (early**2 + late**2 - change**2) / 2
    height, left = found["effect_window"], found["effect_days"]
    low, high = _fieller(left, height, late**2, early**2, covariance, reach)
    if height <= 0 and np.isfinite(low):
        # A share of what was not gained says nothing.
        low = high = np.nan
    return row | {
        "pulled_forward": 1 - left / height if height > 0 else np.nan,
        "pulled_low": 1 - high,
        "pulled_high": 1 - low,
    }


def _fieller(
    above: float, below: float, v_above: float, v_below: float, cov: float, reach: float
) -> tuple[float, float]:
    """Return the bounds of above / below; without end where ``below`` may be 0."""
    a = below**2 - reach**2 * v_below
    if np.isnan(a + v_above + cov):
        return np.nan, np.nan
    if a <= 0:
        return -np.inf, np.inf
    b = above * below - reach**2 * cov
    c = above**2 - reach**2 * v_above
    root = max(b**2 - a * c, 0.0) ** 0.5
    return (b - root) / a, (b + root) / a
