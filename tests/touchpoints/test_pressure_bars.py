"""The recommended cap against the optimum that the truth gives, over 50 simulated shops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib.touchpoints.pressure import contact_pressure

#: Days that count: the effects fade with a decay of 5 days, and 14 hold 94 % of them.
WINDOW = 14
LOSS = 50.0
SEEDS = 50


def busy_shop(seed, n_customers, **more):
    """Return a shop whose two channels tire, each with half of its opportunities held out.

    About 80,000 opportunities for 4,000 customers with an order in three weeks or so. A contact
    costs about as much as the third of a month earns: the optimum is 3, and neither the third nor
    the fourth is worth nearly 0, so that the truth itself is clear.
    """
    settings = {"rate": 2.0, "decay": 5.0, "held_out": 0.5}
    contacts = tp.ShopContacts(
        channels=(
            tp.ShopChannel(name="chat", effect=0.9, cost=5.8, unsubscribe=0.004, **settings),
            tp.ShopChannel(name="email", effect=0.7, cost=3.9, unsubscribe=0.003, **settings),
        ),
        fatigue=0.35,
    )
    core = tp.ShopSegment(name="core", share=1.0, r=3, alpha=60, a=0.3, b=9.7, p=10, q=8, gamma=126)
    return tp.simulate_shop(
        seed=seed,
        n_customers=n_customers,
        days=240,
        contacts=contacts,
        arrivals=tp.ShopArrivals(segments=(core,), growth=0.02),
        visits=None,
        parcels=None,
        payments=None,
        reviews=None,
        discounts=None,
        seasons=None,
        **more,
    )


def true_values():
    """Return the value of a contact by channel and number of recent ones, from both worlds."""
    shop = busy_shop(999, 40_000, outcome_days=WINDOW)
    data = shop.contacts.merge(shop.truth.contacts, on="contact_id")
    data = data.dropna(subset=["margin_contacted", "margin_held_out"])
    data = data[data["recent_contacts"] <= 6]
    data["effect"] = data["margin_contacted"] - data["margin_held_out"]
    made = data[~data["held_out"]]
    cells = {"index": "channel", "columns": "recent_contacts", "observed": True}
    effect = data.pivot_table(values="effect", **cells)
    left = made.assign(left=made["unsubscribed"].astype(float)).pivot_table(values="left", **cells)
    cost = made.groupby("channel", observed=True)["cost"].mean()
    value = (effect - LOSS * left).sub(cost, axis=0)
    value.index = value.index.astype(str)
    share = made["channel"].astype(str).value_counts(normalize=True)
    value.loc["(all)"] = value.mul(share.reindex(value.index), axis=0).sum()
    return value


@pytest.mark.slow
def test_the_cap_is_within_one_contact_of_the_true_optimum_in_all_of_50_shops():
    value = true_values()
    optimum = {
        name: int(np.concatenate([[0.0], row.cumsum()]).argmax())
        for name, row in zip(value.index, value.to_numpy(), strict=True)
    }
    assert optimum == {"chat": 3, "email": 3, "(all)": 3}
    # The question is fair: the third contact gains and the fourth loses.
    assert (value[2] > 1.0).all()
    assert (value[3] < -0.3).all()

    found = []
    for seed in range(SEEDS):
        shop = busy_shop(seed, 4_000)
        pressure = contact_pressure(
            shop.contacts, shop.orders, window=WINDOW, unsubscribe_cost=LOSS
        )
        rows = pressure.caps.set_index("channel")
        curve = pressure.curve.set_index(["channel", "n"])
        for name, best in optimum.items():
            row, cap = rows.loc[name], int(rows.loc[name, "cap"])
            held = [
                curve.loc[(name, n), "low"] <= value.loc[name, n] <= curve.loc[(name, n), "high"]
                for n in range(4)
            ]
            found.append(
                {
                    "channel": name,
                    "off": abs(cap - best),
                    "held": row["cap_low"] <= best <= row["cap_high"],
                    "values_held": np.mean(held),
                    "verdict": row["verdict"],
                }
            )
    table = pd.DataFrame(found).groupby("channel")
    # The bar is 1. Measured: exact in 40 of 50 for all channels together, 39 and 34 for one.
    assert (table["off"].max() <= 1).all()
    assert (table["off"].agg(lambda off: (off == 0).sum()) >= 30).all()
    # 95 % intervals: 44 of 50 leaves room for chance, at three standard errors.
    assert (table["held"].sum() >= 44).all()
    assert (table["values_held"].mean() >= 0.88).all()
    assert set(pd.DataFrame(found)["verdict"]) == {"limit"}
