"""Over 50 simulated shops the matrix holds the true effects at the rate that it claims.

The truth of a cell is the mean, over its opportunities, of what the customer ordered if contacted
less what they ordered if held out: both worlds are simulated, with the same luck. Contacts act from
the next day on, so they are moved to the end of their day.

Cells of one shop share customers: standard errors of a coverage are by shop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib.simulate.contacts import ShopContacts
from touchpoint_lib.touchpoints.matrix import touchpoint_matrix
from touchpoint_lib.touchpoints.stages import stage_at, stage_history

SHOPS, WINDOW = 50, 30
DAY, TICK = pd.Timedelta(days=1), pd.Timedelta("1us")
#: About as the bundled shop's orders have it: one model for all shops.
MODEL = tp.ModifiedBetaGeoModel.from_params([1.05, 10.9, 0.5, 2.3], unit="W")


def cells_of(seed: int, days: int, **options: Any) -> pd.DataFrame:
    """The cells of a shop that have an effect, with the true one by 1,000 contacts."""
    shop = tp.simulate_shop(seed=seed, n_customers=3000, days=days, **options)
    paid = shop.orders[shop.orders["status"] == "paid"]
    end = shop.call["start"] + days * DAY - TICK
    contacts = shop.contacts.assign(time=shop.contacts["time"].dt.floor("D") + DAY - TICK)
    history = stage_history(paid, MODEL, until=end)
    found = touchpoint_matrix(contacts, paid, history, window=WINDOW, until=end).table
    found = found[found["method"] == "random holdout"].assign(seed=seed)
    truth = pd.DataFrame({"orders": 0.0, "margin": 0.0}, index=contacts.index)
    if "outcome_days" in options:
        both = shop.truth.contacts.set_index("contact_id").loc[contacts["contact_id"]]
        for name in truth.columns:
            more = both[f"{name}_contacted"] - both[f"{name}_held_out"]
            truth[name] = 1000 * more.to_numpy()
    rows = contacts.assign(
        stage=stage_at(history, contacts).astype(object),
        true_orders=truth["orders"],
        true_margin=truth["margin"],
    )
    rows = rows[rows["stage"].notna() & (rows["time"] + WINDOW * DAY <= end)]
    both = pd.concat([rows.assign(stage="all"), rows])
    keys = ["channel", "stage"]
    means = both.groupby(keys, observed=True)[["true_orders", "true_margin"]].mean().reset_index()
    cells = found.merge(means.astype({"channel": object}), on=keys, validate="one_to_one")
    assert len(cells) == len(found)
    assert cells[["true_orders", "true_margin"]].notna().all(axis=None)
    return cells


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """Of shops whose channels work, but for the social one."""
    made = [
        cells_of(seed, 240, contacts=ShopContacts(), outcome_days=WINDOW) for seed in range(SHOPS)
    ]
    return pd.concat(made, ignore_index=True)


@pytest.fixture(scope="module")
def idle() -> pd.DataFrame:
    """Of shops in which no contact has an effect, and each channel holds somebody out."""
    channels = tuple(
        replace(channel, effect=0.0, coupon=0.0, held_out=channel.held_out or 0.2)
        for channel in ShopContacts().channels
    )
    contacts = ShopContacts(channels=channels)
    return pd.concat(
        [cells_of(1000 + seed, 300, contacts=contacts) for seed in range(SHOPS)], ignore_index=True
    )


def coverage(cells: pd.DataFrame, outcome: str) -> tuple[float, float]:
    """The share of the cells that holds the truth, and its standard error by shop."""
    truth = cells[f"true_{outcome}"]
    held = (cells[f"{outcome}_low"] <= truth) & (truth <= cells[f"{outcome}_high"])
    share = held.mean()
    of_shop = (held - share).groupby(cells["seed"]).sum()
    return share, float(np.sqrt((of_shop**2).sum())) / len(cells)


def bias(cells: pd.DataFrame, outcome: str) -> pd.Series:
    """The mean error of each channel's figure over all stages, in standard errors."""
    whole = cells[cells["by"] == ""]
    error = whole[f"{outcome}_per_1000"] - whole[f"true_{outcome}"]
    by_channel = error.groupby(whole["channel"])
    return by_channel.mean() / by_channel.sem()


# DEFECT 2: cells with an arm in which hardly anybody orders hold the truth in 74 % only.
@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["orders", "margin"])
def test_intervals_hold_the_true_effects(cells, outcome):
    share, error = coverage(cells, outcome)
    assert len(cells) > 500
    assert error < 0.013
    assert abs(share - 0.95) < 2.5 * error
    parts = [*cells.groupby("channel"), *cells.groupby("stage")]
    for name, part in parts:
        if len(part) < 50:
            continue
        share, error = coverage(part, outcome)
        # Of about ten parts the worst is two standard errors off.
        assert abs(share - 0.95) < 3.5 * max(error, 0.01), f"{name}: {share:.3f}"
    assert bias(cells, outcome).abs().max() < 3.5


@pytest.mark.slow
def test_the_truth_is_worth_finding(cells):
    # Who says "nothing" of every cell would hold few of the truths of the channels that work.
    working = cells[(cells["channel"] == "parcel") & (cells["by"] == "")]
    found = (working["orders_low"] > 0).mean()
    assert found > 0.6
    assert (working["true_orders"] > 50).all()
    assert (cells.loc[cells["channel"] == "social", ["true_orders", "true_margin"]] == 0).all(
        axis=None
    )


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["orders", "margin"])
def test_the_channel_without_effect_is_found_to_have_none(cells, outcome):
    social = cells[cells["channel"] == "social"]
    share, error = coverage(social, outcome)
    assert len(social) > 80
    # 50 shops cannot tell 93 from 97 %: those in which nothing works can.
    assert 0.93 - 2 * error < share < 0.97 + 2 * error


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["orders", "margin"])
def test_where_nothing_works_the_intervals_hold_0_in_93_to_97_of_100(idle, outcome):
    share, error = coverage(idle, outcome)
    assert len(idle) > 800
    assert error < 0.012
    assert 0.93 <= share <= 0.97
    assert bias(idle, outcome).abs().max() < 3.5
    # Half of the misses should be on either side; few orders in the held out arm make more gains
    # than losses, as the spread of such an arm falls with its mean.
    assert (idle[f"{outcome}_low"] > 0).mean() < 0.06
