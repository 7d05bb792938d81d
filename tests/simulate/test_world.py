"""The world against closed forms, with all other processes switched off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import touchpoint_lib as tp
from touchpoint_lib.simulate.contacts import ShopChannel, ShopContacts, ShopVisits
from touchpoint_lib.simulate.parcels import ShopParcels
from touchpoint_lib.simulate.reviews import ShopReviews
from touchpoint_lib.simulate.settings import (
    ShopArrivals,
    ShopDiscounts,
    ShopGoods,
    ShopPromotion,
    ShopProvince,
    ShopSeasons,
    ShopSegment,
)
from touchpoint_lib.simulate.shop import Shop, simulate_shop

#: Tail of four standard errors, both sides.
ALPHA = 6.3e-5
#: Nearly all customers come in the first weeks: half of them in 18 days.
EARLY = 1e-6
QUIET: dict[str, Any] = {
    "start": "2023-01-01",
    "goods": ShopGoods(again=0.0),
    **dict.fromkeys(
        ["seasons", "discounts", "visits", "contacts", "payments", "parcels", "reviews"]
    ),
}
#: Buys at random all its life: leaves with a probability of some 1e-5 an order.
LOYAL = ShopSegment(name="loyal", share=1.0, r=4, alpha=40, a=1, b=1e5)


def _quiet(segments: tuple[ShopSegment, ...] = (LOYAL,), **given: Any) -> Shop:
    arrivals = ShopArrivals(segments=segments, months=(1.0,) * 12, growth=EARLY)
    return simulate_shop(**{"seed": 3, **QUIET, "arrivals": arrivals, **given})


def _days(shop: Shop, times: Any) -> Any:
    """Return times as days since the start."""
    return ((times - shop.call["start"]) / pd.Timedelta(days=1)).to_numpy()


def _by_customer(shop: Shop) -> pd.DataFrame:
    """Return the orders in days with the truth about their customers, by customer and time."""
    orders = shop.orders[["customer_id", "discount"]].assign(day=_days(shop, shop.orders["time"]))
    truth = shop.truth.customers[["customer_id", "segment", "regularity", "rate", "dropout"]]
    return orders.merge(truth, on="customer_id").sort_values(
        ["customer_id", "day"], ignore_index=True
    )


def _near(count: Any, expected: Any) -> bool:
    """Return whether Poisson counts are within four standard errors, all of them together."""
    count, expected = np.atleast_1d(count), np.atleast_1d(expected)
    assert expected.min() > 50
    chance = stats.chi2.sf(((count - expected) ** 2 / expected).sum(), len(count))
    return bool(chance > ALPHA)


# Gaps, leaving, number of orders.


@pytest.fixture(scope="module")
def regular() -> Shop:
    """Customers with 1, 2, 3 and 16 stages a gap, of 10 days on average."""
    segments = tuple(
        ShopSegment(name=str(k), share=0.25, regularity=k, r=20, alpha=200 / k, a=1, b=1e6)
        for k in (1, 2, 3, 16)
    )
    return _quiet(segments, n_customers=2000, days=300)


@pytest.mark.parametrize("k", [1, 2, 3, 16])
def test_gaps_are_erlang_with_the_customers_own_rate(regular: Shop, k: int) -> None:
    """The first five gaps of those who come early: nobody's fifth gap is cut off by the end."""
    orders = _by_customer(regular)
    orders = orders[orders["regularity"] == k]
    first = orders.groupby("customer_id")["day"].transform("min")
    orders = orders[first < 60]
    gap = orders.groupby("customer_id")["day"].diff()
    number = orders.groupby("customer_id").cumcount()
    rows = number.between(1, 5)
    assert (number[rows].value_counts() == orders["customer_id"].nunique()).all()
    stages = (gap * orders["rate"])[rows]
    assert len(stages) > 2000
    assert stats.kstest(stages, stats.gamma(k).cdf).pvalue > ALPHA
    # One gap says nothing of the next.
    one, two = stages[number[rows] == 1].to_numpy(), stages[number[rows] == 2].to_numpy()
    assert abs(stats.spearmanr(one, two).statistic) < 4 / math.sqrt(len(one))


def test_customers_leave_after_each_order_the_first_included() -> None:
    """The number of orders is geometric: P(n) = (1 - p)^(n - 1) p."""
    leaver = ShopSegment(name="one", share=1.0, r=20, alpha=40, a=2, b=2)
    shop = _quiet((leaver,), n_customers=4000, days=400)
    truth = shop.truth.customers
    came = _days(shop, shop.customers["registered_at"])
    # Of those who come late or hardly leave, some are still there at the end.
    early = (came < 100) & (truth["dropout"] > 0.1).to_numpy()
    orders = shop.orders.groupby("customer_id")["time"]
    n, p = orders.size().to_numpy()[early], truth["dropout"].to_numpy()[early]
    assert early.sum() > 3000
    for number in range(1, 7):
        chance = (1 - p) ** (number - 1) * p
        spread = math.sqrt((chance * (1 - chance)).sum())
        assert (n == number).sum() == pytest.approx(chance.sum(), abs=4 * spread)
    # All of them have left, each with the last order.
    assert truth["left_at"][early].notna().all()
    pd.testing.assert_series_equal(
        truth["left_at"][early], orders.max().reset_index(drop=True)[early], check_names=False
    )


def test_nobody_orders_after_leaving_and_who_has_not_left_may() -> None:
    shop = _quiet((ShopSegment(name="one", share=1.0),), n_customers=1000, days=200)
    last = shop.orders.groupby("customer_id")["time"].max().reset_index(drop=True)
    left = shop.truth.customers["left_at"]
    assert left.notna().any()
    assert left.isna().any()
    assert (left.isna() | (left == last)).all()


@pytest.mark.parametrize("k", [1, 3])
def test_repeat_orders_are_as_many_as_the_mbg_cnbd_model_expects(k: int) -> None:
    r, alpha, a, b = 1.5, 30.0, 1.0, 2.5
    segment = ShopSegment(name="one", share=1.0, regularity=k, r=r, alpha=alpha, a=a, b=b)
    shop = _quiet((segment,), n_customers=6000, days=360)
    orders = _by_customer(shop)
    age = orders["day"] - orders.groupby("customer_id")["day"].transform("min")
    born = orders.groupby("customer_id")["day"].min()
    model = tp.ModifiedBetaGeoModel.from_params([r, alpha, a, b], "D", regularity=k)
    for horizon in (10.0, 50.0, 200.0):
        watched = born.index[born < 360 - horizon]
        repeats = (
            orders[(age > 0) & (age <= horizon)].groupby("customer_id").size().reindex(watched)
        ).fillna(0)
        expected = float(np.asarray(model.expected_purchases_new_customer(horizon)))
        assert len(repeats) > 4000
        assert repeats.mean() == pytest.approx(
            expected, abs=4 * float(repeats.std()) / math.sqrt(len(repeats))
        )


# Seasons.


@pytest.fixture(scope="module")
def seasonal() -> Shop:
    """Two provinces of other seasons, two years."""
    arrivals = ShopArrivals(
        segments=(LOYAL,),
        provinces=(
            ShopProvince(name="mild", share=0.5, cities={"m": 1.0}, season=0.1),
            ShopProvince(name="harsh", share=0.5, cities={"h": 1.0}, season=0.8),
        ),
        months=(1.0,) * 12,
        growth=EARLY,
    )
    seasons = ShopSeasons(peak=40, weekdays=(0.5, 0.8, 1.0, 1.0, 1.2, 1.5, 1.0))
    return _quiet(n_customers=1000, days=730, arrivals=arrivals, seasons=seasons)


@pytest.mark.parametrize("province", ["mild", "harsh"])
def test_orders_follow_year_and_week(seasonal: Shop, province: str) -> None:
    """Poisson counts by month and by weekday, behind the days in which customers come."""
    customers = seasonal.customers
    here = (customers["province"] == province).to_numpy()
    begin = math.ceil(_days(seasonal, customers["registered_at"]).max())
    assert begin < 365
    orders = seasonal.orders["time"][seasonal.orders["customer_id"].isin(customers.index[here] + 1)]
    orders = orders[orders >= seasonal.call["start"] + pd.Timedelta(days=begin)]
    dates = pd.date_range(seasonal.call["start"], periods=730)[begin:]
    amplitude = {"mild": 0.1, "harsh": 0.8}[province]
    seasons = seasonal.call["seasons"]
    # Day of the year, of a year of 365.25 days: within a day of the calendar's own clock.
    years = np.cos(2 * np.pi * (dates.day_of_year.to_numpy() - seasons.peak) / 365.25)
    week = np.array(seasons.weekdays)[dates.day_of_week.to_numpy()] / np.mean(seasons.weekdays)
    rate = seasonal.truth.customers["rate"][here].sum()
    expected = pd.Series(rate * (1 + amplitude * years) * week, index=dates)
    for of_orders, of_dates in (
        (orders.dt.month + 100 * orders.dt.year, dates.month + 100 * dates.year),
        (orders.dt.day_of_week, dates.day_of_week),
    ):
        count = of_orders.value_counts().sort_index()
        awaited = expected.groupby(of_dates).sum()
        assert count.index.tolist() == awaited.index.tolist()
        assert _near(count, awaited)
        # The same without the seasons would be far off.
        flat = len(orders) * pd.Series(1.0, dates).groupby(of_dates).sum() / len(dates)
        assert not _near(count, flat)


def test_orders_follow_the_hours(seasonal: Shop) -> None:
    """First orders and later ones alike."""
    hours = np.array(seasonal.call["seasons"].hours)
    time = seasonal.orders["time"].dt.hour
    first = ~seasonal.orders["customer_id"].duplicated()
    for mine in (first, ~first):
        counts = time[mine].value_counts().reindex(range(24), fill_value=0)
        expected = mine.sum() * hours / hours.sum()
        assert stats.chisquare(counts, expected).pvalue > ALPHA


# Discounts.

PROMOTION_DAY, PROMOTION_DAYS, DEPTH, RESPONSE = 31 + 28 + 31 + 9, 2, 0.3, 2.5
MOVED, REPAY = 0.6, 15.0
#: Undiscounted days added by the promotion before anything is paid back.
EXTRA = PROMOTION_DAYS * math.expm1(RESPONSE * DEPTH)


@pytest.fixture(scope="module")
def promoted() -> Shop:
    """10 April and the day after it are on discount."""
    discounts = ShopDiscounts(
        promotions=(ShopPromotion(name="spring", month=4, day=10, days=2, depth=DEPTH),),
        moved=MOVED,
        repay_days=REPAY,
    )
    return _quiet(n_customers=20_000, days=240, discounts=discounts)


@pytest.fixture(scope="module")
def unpromoted(promoted: Shop) -> Shop:
    """The same customers with the same luck, without a discount."""
    return promoted.twin(discounts=None)


def _there(shop: Shop) -> tuple[Any, Any]:
    """Return the days of orders of those who came ten days before the promotion, and their rate."""
    there = _days(shop, shop.customers["registered_at"]) < PROMOTION_DAY - 10
    rows = there[shop.orders["customer_id"].to_numpy() - 1]
    return _days(shop, shop.orders["time"])[rows], shop.truth.customers["rate"][there].sum()


def _owed(day: int) -> float:
    """Return what is owed before a day, of a debt that shrinks by 1 / REPAY a day."""
    behind = day - PROMOTION_DAY - PROMOTION_DAYS
    return MOVED * EXTRA * (1 - 1 / REPAY) ** max(behind, 0)


def test_a_promotion_multiplies_the_hazard_of_its_days(promoted: Shop) -> None:
    days, rate = _there(promoted)
    count = np.bincount(days.astype(int))
    on = count[PROMOTION_DAY : PROMOTION_DAY + PROMOTION_DAYS]
    assert _near(on, np.full(PROMOTION_DAYS, rate * math.exp(RESPONSE * DEPTH)))
    assert _near(count[PROMOTION_DAY - 9 : PROMOTION_DAY], np.full(9, rate))
    since = _days(promoted, promoted.orders["time"]).astype(int) - PROMOTION_DAY
    np.testing.assert_array_equal(
        promoted.orders["discount"], np.where((since >= 0) & (since < PROMOTION_DAYS), DEPTH, 0.0)
    )


def test_the_dip_behind_a_promotion_is_paid_back_day_by_day(promoted: Shop) -> None:
    days, rate = _there(promoted)
    count = np.bincount(days.astype(int))
    dip = range(PROMOTION_DAY + PROMOTION_DAYS, PROMOTION_DAY + PROMOTION_DAYS + 40)
    expected = np.array([rate * (1 - _owed(day) / REPAY) for day in dip])
    assert _near(count[dip.start : dip.stop], expected)
    assert not _near(count[dip.start : dip.stop], np.full(40, rate))


def test_a_promotions_effect_falls_back_to_what_was_not_moved(
    promoted: Shop, unpromoted: Shop
) -> None:
    """With the same luck, the orders gained by a moment are Poisson in the time gained by then."""
    with_days, rate = _there(promoted)
    without_days, _ = _there(unpromoted)
    end = PROMOTION_DAY + PROMOTION_DAYS
    for day in (end, end + 5, end + 20, end + 60, 240):
        gained = (with_days < day).sum() - (without_days < day).sum()
        time = EXTRA - (MOVED * EXTRA - _owed(day))
        assert gained == pytest.approx(rate * time, abs=4 * math.sqrt(rate * time))
    assert _owed(240) < 0.001
    # Four standard errors of the height tell it from what is left of it.
    assert 4 * math.sqrt(rate * EXTRA) < 0.5 * rate * MOVED * EXTRA
    # Until the promotion begins the two shops are one.
    early = with_days[with_days < PROMOTION_DAY]
    np.testing.assert_array_equal(early, without_days[without_days < PROMOTION_DAY])


PICKY = ShopSegment(
    name="picky", share=0.5, r=4, alpha=20, a=1, b=1e5, discount_response=4.0, discount_only=True
)
PLAIN = ShopSegment(name="plain", share=0.5, r=4, alpha=40, a=1, b=1e5)


@pytest.fixture(scope="module")
def choosy() -> Shop:
    """Half of the customers wait for discounts; there is one a month, and there are coupons."""
    return _quiet(
        (PICKY, PLAIN),
        n_customers=1500,
        days=240,
        goods=ShopGoods(again=0.1),
        discounts=ShopDiscounts(
            promotions=(ShopPromotion(name="member", month=0, day=5, days=2, depth=0.1),)
        ),
        contacts=ShopContacts(
            channels=(ShopChannel(name="sms", rate=0.5, coupon=0.2, coupon_days=7),), control=0.3
        ),
    )


def test_the_promotion_driven_buy_on_discount_only(choosy: Shop) -> None:
    orders = choosy.orders.merge(choosy.truth.customers, on="customer_id")
    picky = orders[orders["segment"] == "picky"]
    public = picky["time"].dt.day.isin([5, 6])
    assert (picky["discount"] > 0).all()
    np.testing.assert_array_equal(picky["coupon_contact_id"].isna(), picky["discount"] == 0.1)
    assert (public | picky["coupon_contact_id"].notna()).all()
    assert (picky.loc[~public, "discount"] == 0.2).all()
    assert (~public).sum() > 200
    # Who gets no coupons waits for the day.
    controls = choosy.customers.loc[choosy.customers["control_group"], "customer_id"]
    quiet = picky[picky["customer_id"].isin(controls)]
    assert len(quiet) > 500
    assert quiet["time"].dt.day.isin([5, 6]).all()
    plain = orders[orders["segment"] == "plain"]
    assert (plain["discount"] == 0).mean() > 0.5


def test_coupons_are_used_once_by_their_owner_while_they_hold(choosy: Shop) -> None:
    orders, contacts = choosy.orders, choosy.contacts
    used = orders[orders["coupon_contact_id"].notna()].merge(
        contacts, left_on="coupon_contact_id", right_on="contact_id", suffixes=("", "_of")
    )
    assert len(used) > 500
    assert used["coupon_contact_id"].is_unique
    assert (used["customer_id"] == used["customer_id_of"]).all()
    assert (used["discount"] == used["coupon"]).all()
    assert (used["time"].dt.normalize() > used["time_of"].dt.normalize()).all()
    assert (used["time"] < used["coupon_until"]).all()
    assert not used["held_out"].any()
    # The last day counts: the contact's day and seven days more.
    length = used["coupon_until"] - used["time_of"].dt.normalize()
    assert (length == pd.Timedelta(days=8)).all()
    assert ((used["coupon_until"] - used["time"]) < pd.Timedelta(days=1)).any()


def test_without_discounts_and_coupons_the_promotion_driven_come_once(choosy: Shop) -> None:
    bare = choosy.twin(discounts=None, contacts=None, goods=ShopGoods(again=0.0))
    number = bare.orders.groupby("customer_id").size().to_numpy()
    picky = (bare.truth.customers["segment"] == "picky").to_numpy()
    assert (number[picky] == 1).all()
    assert (number[~picky] > 1).mean() > 0.9


def test_some_orders_are_followed_by_another_within_hours() -> None:
    """With probability ``again``, within three hours and before midnight."""
    shop = _quiet(n_customers=2000, days=200, goods=ShopGoods(again=0.2))
    alone = shop.twin(goods=ShopGoods(again=0.0))
    n = len(alone.orders)
    more = len(shop.orders) - n
    assert more == pytest.approx(0.2 * n, abs=4 * math.sqrt(0.2 * 0.8 * n))
    keys = ["customer_id", "time"]
    both = [
        one.orders[keys].assign(nth=one.orders.groupby(keys).cumcount()) for one in (shop, alone)
    ]
    merged = both[0].merge(both[1], how="left", indicator=True)
    again = merged[merged["_merge"] == "left_only"].sort_values("time")
    assert len(again) == more
    before = pd.merge_asof(
        again[["customer_id", "time"]],
        alone.orders[["customer_id", "time"]].assign(ordered_at=alone.orders["time"]),
        on="time",
        by="customer_id",
    )
    wait = before["time"] - before["ordered_at"]
    assert (wait <= pd.Timedelta(hours=3)).all()
    assert (before["time"].dt.date == before["ordered_at"].dt.date).all()
    room = wait[before["ordered_at"].dt.hour < 21] / pd.Timedelta(hours=3)
    assert stats.kstest(room, "uniform").pvalue > ALPHA


# Contacts and losses.

EFFECT, DECAY = 0.9, 6.0


def test_a_contact_multiplies_the_hazard_of_the_days_behind_it() -> None:
    """By exp(e exp(-j / decay)), j days behind the next: contacted against held out.

    Contacts are at random and without fatigue: other contacts raise both groups alike.
    """
    shop = _quiet(
        n_customers=6000,
        days=240,
        contacts=ShopContacts(
            channels=(ShopChannel(name="sms", rate=0.8, effect=EFFECT, decay=DECAY, held_out=0.5),),
            fatigue=0.0,
            control=0.0,
        ),
    )
    contacts = shop.contacts.assign(day=_days(shop, shop.contacts["time"]).astype(int))
    contacts = contacts[contacts["day"] < 240 - 13]
    days = np.zeros((len(shop.customers) + 1, 240))
    at = shop.orders["customer_id"].to_numpy(), _days(shop, shop.orders["time"]).astype(int)
    np.add.at(days, at, 1)
    for ahead in range(-1, 13):
        count = days[contacts["customer_id"], contacts["day"] + 1 + ahead]
        sent = ~contacts["held_out"].to_numpy()
        one, two = count[sent].sum() / sent.sum(), count[~sent].sum() / (~sent).sum()
        spread = math.sqrt(1 / count[sent].sum() + 1 / count[~sent].sum())
        # The day of the contact itself is not changed.
        effect = 0.0 if ahead < 0 else EFFECT * math.exp(-ahead / DECAY)
        assert math.log(one / two) == pytest.approx(effect, abs=4 * spread)
        assert spread < 0.06


def _hazards(shop: Shop, pushes: pd.DataFrame) -> Any:
    """Return each customer's expected orders a day, were the stated losses all there is.

    ``pushes`` has customer_id, day (first day that is changed), height and fade.
    """
    days = shop.call["days"]
    log_hazard = np.zeros((len(shop.customers), days))
    for fade, mine in pushes.groupby("fade"):
        fresh = np.zeros_like(log_hazard)
        mine = mine[mine["day"] < days]
        np.add.at(fresh, (mine["customer_id"] - 1, mine["day"]), mine["height"])
        now, keeps = np.zeros(len(fresh)), float(np.exp(-1 / np.asarray(fade)))
        for day in range(days):
            now = now * keeps + fresh[:, day]
            log_hazard[:, day] += now
    there = np.arange(days) > np.floor(_days(shop, shop.customers["registered_at"]))[:, None]
    return (
        np.where(there, np.exp(log_hazard), 0.0) * shop.truth.customers["rate"].to_numpy()[:, None]
    )


def _counts(shop: Shop) -> Any:
    """Return each customer's orders a day behind the day of arrival."""
    counts = np.zeros((len(shop.customers), shop.call["days"]))
    who = shop.orders["customer_id"].to_numpy() - 1
    day = _days(shop, shop.orders["time"]).astype(int)
    np.add.at(counts, (who, day), 1)
    born = np.floor(_days(shop, shop.customers["registered_at"]))[:, None]
    return np.where(np.arange(shop.call["days"]) > born, counts, 0.0)


def _within(pushes: pd.DataFrame, shape: tuple[int, int], length: int) -> Any:
    """Return which days lie within ``length`` days behind some event."""
    inside = np.zeros(shape, dtype=bool)
    for ahead in range(length):
        mine = pushes[pushes["day"] + ahead < shape[1]]
        inside[mine["customer_id"] - 1, mine["day"] + ahead] = True
    return inside


def test_late_parcels_lower_the_hazard_unless_cared_for() -> None:
    """Orders behind late and cared-for and punctual parcels against the hazard of the truth."""
    settings = ShopParcels(promise=0.5, late_loss=0.8, late_days=20.0, care=0.4, care_effect=0.75)
    shop = _quiet(n_customers=5000, days=200, parcels=settings)
    truth = shop.parcels.merge(shop.truth.parcels, on="parcel_id")
    day = np.floor(_days(shop, truth["delivered_at_y"])).astype(int) + 1
    pushes = pd.DataFrame(
        {"customer_id": truth["customer_id"], "day": day, "height": -truth["loss"], "fade": 20.0}
    )
    kinds = {0.0: ~truth["late"], 0.8: truth["late"] & truth["held_out"]}
    np.testing.assert_allclose(pushes["height"][kinds[0.8]], -0.8)
    cared = truth["cared_at"].notna()
    np.testing.assert_allclose(pushes["height"][cared], -0.8 * 0.25)
    assert (pushes["height"][kinds[0.0]] == 0).all()
    counts, hazard = _counts(shop), _hazards(shop, pushes)
    flat = np.where(hazard > 0, shop.truth.customers["rate"].to_numpy()[:, None], 0.0)
    for mine, loses in ((kinds[0.8], True), (cared, True), (kinds[0.0], False)):
        inside = _within(pushes[mine], counts.shape, 8)
        # Orders less their expectation, given all before: a martingale of that variance.
        made, awaited = counts[inside].sum(), hazard[inside].sum()
        assert awaited > 1000
        assert made == pytest.approx(awaited, abs=4 * math.sqrt(awaited))
        if loses:
            assert abs(made - flat[inside].sum()) > 5 * math.sqrt(made)


def test_a_late_parcel_counts_more_than_one_that_was_cared_for() -> None:
    """The first parcels of customers, late or cared for by lot: the ratio of their orders."""
    settings = ShopParcels(promise=0.3, late_loss=0.9, late_days=1000.0, care=0.5, care_effect=1.0)
    rare = ShopSegment(name="rare", share=1.0, r=4, alpha=200, a=1, b=1e5)
    shop = _quiet((rare,), n_customers=8000, days=200, parcels=settings)
    first = shop.parcels.drop_duplicates("customer_id").dropna(subset=["delivered_at"])
    first = first.assign(day=np.floor(_days(shop, first["delivered_at"])).astype(int))
    late = first[(first["cared_at"].notna() | first["held_out"]) & (first["day"] < 190)]
    counts = _counts(shop)
    behind = sum(
        counts[late["customer_id"] - 1, late["day"] + ahead].astype(float) for ahead in range(1, 6)
    )
    held_out = late["held_out"].to_numpy()
    lost, kept = behind[held_out].sum(), behind[~held_out].sum()
    spread = math.sqrt(1 / lost + 1 / kept)
    ratio = (lost / held_out.sum()) / (kept / (~held_out).sum())
    assert math.log(ratio) == pytest.approx(-0.9, abs=4 * spread)
    assert spread < 0.2


def test_negative_reviews_without_a_reply_in_time_lower_the_hazard() -> None:
    settings = ShopReviews(share=0.6, reply_negative=0.5, noise=2.0, loss=0.9, loss_days=25.0)
    shop = _quiet(n_customers=5000, days=200, reviews=settings)
    truth = shop.reviews.merge(shop.truth.reviews, on="review_id")
    limit = pd.Timedelta(hours=settings.reply_limit_hours)
    in_time = truth["replied_at"] <= truth["time"] + limit
    silent = truth[(truth["rating"] <= 2) & ~in_time]
    # Whether a reply comes in time is not known at the end.
    known = truth["time"] + limit < shop.call["start"] + pd.Timedelta(days=200)
    assert (silent["loss"][known] == 0.9).all()
    assert (truth.loc[in_time | (truth["rating"] > 2), "loss"] == 0).all()
    pushes = pd.DataFrame(
        {
            "customer_id": silent["customer_id"],
            "day": np.floor(_days(shop, silent["time"] + limit)).astype(int) + 1,
            "height": -0.9,
            "fade": 25.0,
        }
    )
    counts, hazard = _counts(shop), _hazards(shop, pushes)
    inside = _within(pushes, counts.shape, 10)
    made, awaited = counts[inside].sum(), hazard[inside].sum()
    assert awaited > 500
    assert made == pytest.approx(awaited, abs=4 * math.sqrt(awaited))
    rate = shop.truth.customers["rate"].to_numpy()[:, None]
    assert np.where(inside, rate, 0.0).sum() - made > 5 * math.sqrt(made)


# Visits.


def test_visits_by_habit_come_at_their_rate_and_fade_when_the_customer_has_left() -> None:
    """On each day with probability 1 - exp(-habit / 30), times ``gone`` behind leaving."""
    habit, gone = 3.0, 0.2
    leaver = ShopSegment(name="one", share=1.0, r=20, alpha=100, a=2, b=2)
    shop = _quiet(
        (leaver,),
        n_customers=2000,
        days=200,
        visits=ShopVisits(habit=habit, gone=gone, intent=0.0),
    )
    born = np.floor(_days(shop, shop.customers["registered_at"]))[:, None]
    left = np.floor(_days(shop, shop.truth.customers["left_at"]))[:, None]
    day = np.arange(200)
    away = day >= left  # never where it is missing
    counts = np.zeros((2000, 200))
    who, when = shop.visits["customer_id"] - 1, _days(shop, shop.visits["time"]).astype(int)
    np.add.at(counts, (who, when), 1)
    ordered = shop.orders["customer_id"] - 1, _days(shop, shop.orders["time"]).astype(int)
    # Each order ends a visit of its own.
    np.subtract.at(counts, ordered, 1)
    assert counts.min() == 0
    assert counts.max() == 1
    hit = 1 - math.exp(-habit / 30)
    for mine, chance in (((day > born) & ~away, hit), ((day > born) & away, gone * hit)):
        n = mine.sum()
        assert counts[mine].sum() == pytest.approx(
            n * chance, abs=4 * math.sqrt(n * chance * (1 - chance))
        )
    assert not counts[day <= born].any()


def test_customers_look_around_before_they_buy() -> None:
    """On each of the ``intent_days`` before a purchase with probability ``intent``."""
    visits = ShopVisits(habit=1e-6, intent=0.4, intent_days=5.0)
    slow = ShopSegment(name="slow", share=1.0, regularity=4, r=20, alpha=200, a=1, b=1e5)
    shop = _quiet((slow,), n_customers=1500, days=200, visits=visits)
    orders = _by_customer(shop)
    gap = orders.groupby("customer_id")["day"].diff()
    orders = orders[gap > 15]
    assert len(orders) > 3000
    seen = np.zeros((1501, 200), dtype=bool)
    when = _days(shop, shop.visits["time"]).astype(int)
    seen[shop.visits["customer_id"], when] = True
    for before in range(1, 9):
        mine = seen[orders["customer_id"], orders["day"].astype(int) - before]
        # A visit at the end of the day: whole days and the order's part of its own day are left.
        ahead = orders["day"] - np.floor(orders["day"]) + before - 1
        near = (ahead < 5).to_numpy()
        chance = 0.4 * near
        spread = math.sqrt((chance * (1 - chance)).sum())
        assert mine[near].sum() == pytest.approx(chance.sum(), abs=4 * spread + 1e-9)
        assert not mine[~near].any()


def test_sources_have_their_shares() -> None:
    shop = _quiet(n_customers=2000, days=120, visits=ShopVisits())
    for table in (shop.orders, shop.visits):
        counts = table["source"].value_counts()
        shares = pd.Series(shop.call["visits"].sources)
        assert stats.chisquare(counts[shares.index], len(table) * shares).pvalue > ALPHA
    bare = _quiet(n_customers=20, days=20)
    assert (bare.orders["source"] == "shop").all()
