"""What coupons only pull forward: the interval of the share, and the simulated shop's truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import touchpoint_lib as tp
from touchpoint_lib.touchpoints.promotion import promotion_dependence
from touchpoint_lib.touchpoints.pull_forward import pull_forward

START = pd.Timestamp("2025-03-01")


def _moved(
    seed: int, n: int = 600, gained: float = 0.6, lost: float = 0.3
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a campaign of 3 days that gains orders, of which some are missing on days 4 to 6."""
    rng = np.random.default_rng(seed)
    withheld = rng.random(n) < 0.5
    contacts = pd.DataFrame(
        {
            "customer_id": np.arange(n),
            "time": START,
            "channel": "sms",
            "campaign": "spring",
            "held_out": withheld,
            "coupon": np.where(withheld, 0.0, 0.1),
        }
    )
    counts = [
        rng.poisson(np.where(withheld, 0.5, 0.5 + gained)),
        rng.poisson(np.where(withheld, 0.5, 0.5 - lost)),
    ]
    owner = np.concatenate([np.repeat(np.arange(n), count) for count in counts])
    late = np.repeat([0, 3], [count.sum() for count in counts])
    day = late + rng.uniform(0.01, 2.99, len(owner))
    orders = pd.DataFrame({"customer_id": owner, "time": START + pd.to_timedelta(day, "D")})
    return contacts, orders


def test_the_share_is_that_of_cumulative_effect_and_its_interval_is_fiellers() -> None:
    contacts, orders = _moved(1)
    row = pull_forward(contacts, orders, window=3, cycle=3, until="2025-03-31").iloc[0]
    assert (row["stratum"], row["group"]) == ("sms: spring", "all")
    # The same from each customer's sums, by a search over all ratios that are not refuted.
    days = (orders["time"] - START) / pd.Timedelta(days=1)
    sums = np.array(
        [
            contacts["customer_id"].map(orders[days < end]["customer_id"].value_counts()).fillna(0)
            for end in (3, 6)
        ]
    )
    withheld = contacts["held_out"].to_numpy()
    means = sums[:, ~withheld].mean(axis=1) - sums[:, withheld].mean(axis=1)
    spread = sum(np.cov(sums[:, arm]) / arm.sum() for arm in (withheld, ~withheld))
    assert row["effect_window"] == pytest.approx(means[0])
    assert row["effect_end"] == pytest.approx(means[1])
    assert row["pulled_forward"] == pytest.approx(1 - means[1] / means[0])
    ratio = np.linspace(-2, 3, 500_001)
    error = np.sqrt(spread[1, 1] - 2 * ratio * spread[0, 1] + ratio**2 * spread[0, 0])
    kept = ratio[np.abs(means[1] - ratio * means[0]) <= stats.norm.ppf(0.975) * error]
    assert row["pulled_low"] == pytest.approx(1 - kept.max(), abs=2e-5)
    assert row["pulled_high"] == pytest.approx(1 - kept.min(), abs=2e-5)


def test_without_an_effect_the_share_has_no_end() -> None:
    contacts, orders = _moved(2, gained=0.0, lost=0.0)
    row = pull_forward(contacts, orders, window=3, cycle=3, until="2025-03-31").iloc[0]
    assert (row["pulled_low"], row["pulled_high"]) == (-np.inf, np.inf)
    assert np.isfinite(row["pulled_forward"]) == (row["effect_window"] > 0)


@pytest.mark.slow
def test_the_interval_covers_at_its_level() -> None:
    n, covered = 200, 0
    for seed in range(n):
        contacts, orders = _moved(100 + seed)
        row = pull_forward(contacts, orders, window=3, cycle=3, until="2025-03-31").iloc[0]
        covered += row["pulled_low"] < 0.3 / 0.6 < row["pulled_high"]
    assert stats.binom.ppf(0.0005, n, 0.95) <= covered <= stats.binom.ppf(0.9995, n, 0.95)


def _shop(seed: int) -> Any:
    """Return a shop in which a coupon alone acts, and six tenths of what it adds is borrowed."""
    steady = tp.ShopSegment(
        name="steady", share=1.0, r=8.0, alpha=320.0, a=1.0, b=60.0, discount_response=4.0
    )
    return tp.simulate_shop(
        seed,
        5000,
        280,
        start="2024-01-01",
        arrivals=tp.ShopArrivals(segments=(steady,), months=(1.0, *[0.0] * 11)),
        discounts=tp.ShopDiscounts(promotions=(), moved=0.6, repay_days=10.0),
        contacts=tp.ShopContacts(
            channels=(tp.ShopChannel(name="sms", rate=1e-6, effect=0.0),),
            campaigns=(
                tp.ShopCampaign(name="coupon", channel="sms", day=150, coupon=0.3, coupon_days=14),
            ),
        ),
        visits=None,
        payments=None,
        parcels=None,
        reviews=None,
        outcome_days=75,
    )


@pytest.mark.slow
def test_the_shops_truth_is_within_the_interval() -> None:
    covered = 0
    for seed in range(10):
        shop = _shop(seed)
        paid = shop.orders[shop.orders["status"] == "paid"]
        contacts = shop.contacts[shop.contacts["campaign"] == "coupon"]
        # A contact acts from the next day on, on which the truth begins to count.
        begin = contacts["time"].dt.floor("D") + pd.Timedelta(days=1)
        row = pull_forward(contacts.assign(time=begin), paid, window=14, cycle=60).iloc[0]
        truth = shop.truth.other_orders.merge(contacts, on="contact_id", suffixes=("", "_contact"))
        own = paid.merge(contacts[["customer_id", "held_out"]], on="customer_id")
        effects = []
        for end in (14, 74):
            last = begin.iloc[0] + pd.Timedelta(days=end)
            factual = own[(own["time"] >= begin.iloc[0]) & (own["time"] < last)]
            other = truth[truth["time"] < last]
            gain = (~factual["held_out"]).sum() - factual["held_out"].sum()
            effects.append(gain + other["held_out"].sum() - (~other["held_out"]).sum())
        gone = 1 - effects[1] / effects[0]
        # Orders of the campaign's last days and coupons that are used up leave it a bit short of
        # the share of the hazard, 0.6.
        assert 0.3 < gone < 0.7
        covered += row["pulled_low"] < gone < row["pulled_high"]
    assert covered >= stats.binom.ppf(0.001, 10, 0.95)


def test_groups_and_what_is_left_out_are_counted() -> None:
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    driven = promotion_dependence(paid, until="2025-05-31")["promotion_driven"]
    table = pull_forward(shop.contacts, paid, window=21, cycle=60.5, driven=driven)
    assert table["group"].to_list() == ["all", "promotion-driven", "others"]
    whole, *parts = (table["n_contacted"] + table["n_held_out"]).to_list()
    assert whole == (shop.contacts["campaign"] == "win back").sum()
    assert whole == sum(parts) + table.attrs["unclassed"]
    assert table.attrs["outside"] == len(shop.contacts) - whole
    assert table.attrs["without_coupons"] == []
    assert table.attrs["end"] == 82


def test_a_campaign_that_held_nobody_out_does_not_stop_the_others() -> None:
    contacts, orders = _moved(4, n=60)
    alone = contacts.assign(campaign="summer", held_out=False, coupon=0.1)
    both = pd.concat([contacts, alone], ignore_index=True)
    driven = pd.Series(True, index=pd.RangeIndex(60))
    table = pull_forward(
        both, orders, window=3, cycle=3, until="2025-03-31", driven=driven
    ).set_index(["stratum", "group"])
    known = table.loc[("sms: spring", "all")]
    assert known["effect_window"] > 0
    pd.testing.assert_series_equal(
        table.loc[("sms: spring", "promotion-driven")], known, check_names=False
    )
    assert table["n_held_out"].to_list() == [*[known["n_held_out"]] * 2, 0, 0, 0, 0]
    assert table["n_contacted"].to_list() == [*[known["n_contacted"]] * 2, 0, 60, 60, 0]
    rest = table.drop(columns=["n_contacted", "n_held_out"]).iloc[2:]
    assert rest.isna().all(axis=None)
    assert table["n_contacted"].dtype == np.int64


def test_of_a_loss_no_share_is_told() -> None:
    contacts, orders = _moved(5, gained=-0.4, lost=0.0)
    row = pull_forward(contacts, orders, window=3, cycle=3, until="2025-03-31").iloc[0]
    assert row["effect_window_high"] < 0
    assert row[["pulled_forward", "pulled_low", "pulled_high"]].isna().all()


_CONTACTS, _ORDERS = _moved(3, n=50)


@pytest.mark.parametrize(
    ("contacts", "arguments", "message"),
    [
        (_CONTACTS.drop(columns="campaign"), {}, "contacts has no column 'campaign'"),
        (_CONTACTS.assign(coupon=0.0), {}, "no campaign of contacts has coupons"),
        (_CONTACTS.assign(campaign=None), {}, "no campaign of contacts has coupons"),
        (_CONTACTS.assign(customer_id=1), {}, "several rows of customer 1"),
        (_CONTACTS, {"window": 0}, "window is 0; it must be >= 1"),
        (_CONTACTS, {"cycle": -1}, "cycle is -1; it must be > 0"),
        (_CONTACTS, {"until": "2025-03-04"}, "is after the end of observation"),
    ],
)
def test_bad_input_is_named(contacts: Any, arguments: dict[str, Any], message: str) -> None:
    settings = {"window": 3, "cycle": 3, "until": "2025-03-31"} | arguments
    with pytest.raises(tp.InputError, match=message):
        pull_forward(contacts, _ORDERS, **settings)
