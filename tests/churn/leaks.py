"""Leaks to plant beside honest columns: the ways in which the future gets into a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: The check that must find each planted column, and whether it comes from the log itself.
OUTSIDE = {
    "copy": "rank",
    "noisy_copy": "rank",
    "wrong_in_2_percent": "rank",
    "payer_number": "rank",
    "one_sided_flag": "pure values",
    "payer_number_of_a_third": "pure values",
    "tier": "pure values",
    "next_visit": "rank",
}
FROM_LOG = ("orders_by_today", "days_since_last_order", "orders_a_week_too_long")


def buyers(log, at, horizon, customers):
    """Who buys in (at, at + horizon]."""
    at = pd.Timestamp(at)
    after = log[(log["date"] > at) & (log["date"] <= at + pd.Timedelta(days=horizon))]
    return pd.Series(customers.isin(after["customer_id"].unique()), index=customers)


def outside_leaks(log, at, buys, seed=0):
    """Columns that somebody else's table delivers."""
    generator = np.random.default_rng(seed)
    n, paid = len(buys), buys.to_numpy()
    third = paid & (generator.random(n) < 1 / 3)
    number = generator.integers(0, 10**6, n).astype(float)
    later = log[log["date"] > pd.Timestamp(at)].groupby("customer_id")["date"].min()
    return pd.DataFrame(
        {
            "copy": paid,
            "noisy_copy": paid + generator.normal(0, 0.4, n),
            "wrong_in_2_percent": paid ^ (generator.random(n) < 0.02),
            "payer_number": np.where(paid, number, np.nan),
            "one_sided_flag": third.astype(int),
            "payer_number_of_a_third": np.where(third, number, np.nan),
            "tier": np.where(third, "gold", generator.choice(["silver", "bronze"], n)),
            # An observer of the log notes the next visit; beyond the horizon there may be some.
            "next_visit": later.reindex(buys.index),
        },
        index=buys.index,
    )


def careless_columns(log, at):
    """Columns whose code forgets the cutoff, for the customers known by then."""
    at = pd.Timestamp(at)
    everything = log.groupby("customer_id")["date"]
    week = log[
        (log["date"] > at - pd.Timedelta(days=28)) & (log["date"] <= at + pd.Timedelta("7D"))
    ]
    return pd.DataFrame(
        {
            "orders_by_today": everything.nunique(),
            "days_since_last_order": log["date"].max() - everything.max(),
            "orders_a_week_too_long": week.groupby("customer_id")["date"].nunique(),
        }
    ).reindex(log.loc[log["date"] <= at, "customer_id"].sort_values().unique())


def simulate_log(n, rate, dropout, days, seed, regularity=1):
    """A shop: customers buy at Gamma(rate) a day and leave by Beta(dropout) at each purchase."""
    generator = np.random.default_rng(seed)
    moment = generator.uniform(0, 90, n)
    own = generator.gamma(rate[0], 1 / rate[1], n)
    leaves = generator.beta(*dropout, n)
    who, when = [np.arange(n)], [moment.copy()]
    active = np.flatnonzero(generator.random(n) >= leaves)
    while active.size:
        moment[active] += generator.gamma(regularity, 1 / regularity, active.size) / own[active]
        active = active[moment[active] < days]
        who.append(active)
        when.append(moment[active])
        active = active[generator.random(active.size) >= leaves[active]]
    customer = np.concatenate(who)
    return pd.DataFrame(
        {
            "customer_id": customer,
            "date": pd.Timestamp("2023-01-01")
            + pd.to_timedelta(np.floor(np.concatenate(when)), unit="D"),
            "amount": np.round(generator.gamma(4, 10, customer.size) + 1, 2),
        }
    )
