"""The truth agrees with the tables, with closed forms, and with itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

import touchpoint_lib as tp
from tests.simulate.test_tables import (
    CONTACTS,
    DAY,
    DAYS,
    END,
    OUTCOME_DAYS,
    SECOND,
    SNAPSHOTS,
    START,
    full_shop,
)
from touchpoint_lib import InputError

HORIZON = 45
LOOKS = ("2024-02-01", "2024-05-06", "2024-06-29")


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return full_shop()


@pytest.fixture(scope="module")
def plain() -> tp.Shop:
    """Return a shop whose hazard never changes."""
    return tp.simulate_shop(
        seed=3,
        n_customers=2000,
        days=180,
        goods=tp.ShopGoods(again=0),
        snapshots=LOOKS,
        horizon=HORIZON,
        **dict.fromkeys(["seasons", "discounts", "contacts", "parcels", "reviews"]),
    )


# --- customers -----------------------------------------------------------------------------------


def test_customers_leave_with_their_last_order(shop: tp.Shop) -> None:
    truth = shop.truth.customers
    gone = truth[truth["left_at"].notna()]
    orders = shop.orders[["customer_id", "time"]].merge(gone, on="customer_id")
    left_with = orders[orders["time"] == orders["left_at"]]
    assert set(left_with["customer_id"]) == set(gone["customer_id"])
    # What follows is of the same occasion: the same day, within three hours.
    behind = orders[orders["time"] > orders["left_at"]]
    assert (behind["time"] - behind["left_at"] <= DAY / 8 + SECOND).all()
    assert (behind["time"].dt.normalize() == behind["left_at"].dt.normalize()).all()
    assert len(gone) > 500
    assert truth["left_at"].isna().sum() > 500


def test_constants_are_those_of_the_segment(shop: tp.Shop) -> None:
    truth = shop.truth.customers
    segments = {segment.name: segment for segment in tp.ShopArrivals().segments}
    names = truth["segment"].astype("str")
    np.testing.assert_array_equal(
        truth["regularity"], [segments[name].regularity for name in names]
    )
    assert truth["dropout"].between(0, 1, inclusive="neither").all()
    assert (truth[["rate", "mean_value"]] > 0).all(axis=None)
    for name, segment in segments.items():
        mine = truth[names == name]
        root = np.sqrt(len(mine))
        for column, mean, spread in (
            ("rate", segment.r / segment.alpha, np.sqrt(segment.r) / segment.alpha),
            (
                "dropout",
                segment.a / (segment.a + segment.b),
                np.sqrt(segment.a * segment.b / (segment.a + segment.b + 1))
                / (segment.a + segment.b),
            ),
            # The list value of an order has mean p / nu, of mean p gamma / (q - 1).
            (
                "mean_value",
                segment.p * segment.gamma / (segment.q - 1),
                segment.p * segment.gamma / (segment.q - 1) / np.sqrt(segment.q - 2),
            ),
        ):
            assert abs(mine[column].mean() - mean) < 4 * spread / root, (name, column)


def test_who_buys_on_discount_only_does(shop: tp.Shop) -> None:
    picky = shop.truth.customers.query("segment == 'promotion-driven'")["customer_id"]
    orders = shop.orders[shop.orders["customer_id"].isin(picky)]
    assert len(orders) > 100
    assert (orders["discount"] > 0).all()


# --- alive ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["2024-01-01", "2024-04-10", "2024-09-27", "2024-06-01 15:30"])
def test_alive_until_the_last_order(shop: tp.Shop, at: str) -> None:
    alive = shop.truth.alive(at)
    assert alive.name == "alive"
    assert alive.dtype == "bool"
    assert alive.index.name == "customer_id"
    np.testing.assert_array_equal(alive.index, shop.customers["customer_id"])
    # Whoever orders later is a customer now; whoever left is not, from the order on.
    later = shop.orders.loc[shop.orders["time"] > pd.Timestamp(at) + DAY / 8, "customer_id"]
    assert alive.loc[later].all()
    left = shop.truth.customers.set_index("customer_id")["left_at"]
    np.testing.assert_array_equal(~alive, left <= pd.Timestamp(at))
    assert alive.equals(shop.truth.alive(pd.Timestamp(at)))


def test_alive_takes_dates(shop: tp.Shop) -> None:
    expected = shop.truth.alive("2024-04-10")
    assert shop.truth.alive(dt.date(2024, 4, 10)).equals(expected)  # type: ignore[arg-type]
    assert shop.truth.alive(np.datetime64("2024-04-10")).equals(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "at", ["soon", [2024], True, None, "NaT", float("nan"), "2024-04-10T00:00+08:00"]
)
def test_alive_refuses_what_is_no_local_time(shop: tp.Shop, at: Any) -> None:
    with pytest.raises(InputError, match="at is"):
        shop.truth.alive(at)


# --- payments, parcels, reviews ------------------------------------------------------------------


def test_payments_would_come_later_by_themselves(shop: tp.Shop) -> None:
    both = shop.payments.merge(shop.truth.payments, on="order_id")
    paid, reminded = both["paid_at"].notna(), both["reminded_at"].notna()
    own = both["own_paid_at"]
    # Without a reminder what is paid is paid when it would be.
    assert (both["paid_at"] == own)[paid & ~reminded].all()
    assert (both["paid_at"] <= own)[paid & reminded].all()
    assert (both["paid_at"] < own)[paid & reminded].sum() > 50
    # What is unpaid would be paid behind the limit or the end, or never.
    unpaid = ~paid & ~reminded
    late = own.isna() | (own >= both["due_at"]) | (own >= END)
    assert unpaid.sum() > 50
    assert late[unpaid].all()
    assert own.isna()[unpaid].any()


def test_the_truth_about_parcels_goes_behind_the_end(shop: tp.Shop) -> None:
    both = shop.parcels.merge(shop.truth.parcels, on="parcel_id", suffixes=("", "_true"))
    known = both["delivered_at"].notna()
    assert (both["delivered_at"] == both["delivered_at_true"])[known].all()
    assert (both["delivered_at_true"] >= END - SECOND)[~known].all()
    assert (~known).sum() > 10
    late = both["delivered_at_true"] > both["promised_at"]
    at_the_second = (both["delivered_at_true"] - both["promised_at"]).abs() <= SECOND
    assert (late == both["late"])[~at_the_second].all()
    # The loss is smaller where the customer was cared for, and 0 where the parcel was in time.
    settings = tp.ShopParcels()
    assert (both["loss"][~both["late"]] == 0).all()
    done = known & both["late"]
    lost = np.where(both["cared_at"].notna(), 1 - settings.care_effect, 1.0) * settings.late_loss
    np.testing.assert_allclose(both["loss"][done], lost[done], rtol=1e-12)
    # Shocks: only where and when there are some; here the storm in January.
    storm = (both["province"] == "Heilongjiang") & (
        both["shipped_at"].between("2024-01-08", "2024-01-20", inclusive="left")
    )
    np.testing.assert_array_equal(both["delay_factor"], np.where(storm, 1.8, 1.0))
    assert storm.any()


def test_negative_reviews_without_reply_in_time_lose(shop: tp.Shop) -> None:
    both = shop.reviews.merge(shop.truth.reviews, on="review_id")
    settings = tp.ShopReviews()
    limit = pd.Timedelta(hours=settings.reply_limit_hours)
    settled = both["time"] + limit < END
    in_time = both["replied_at"] <= both["time"] + limit
    at_the_second = (both["replied_at"] - both["time"] - limit).abs() <= SECOND
    lost = np.where((both["rating"] <= 2) & ~in_time, settings.loss, 0.0)
    clear = settled & ~at_the_second
    np.testing.assert_array_equal(both["loss"][clear], lost[clear])
    assert 10 < (lost > 0).sum() < len(lost) / 2
    late = shop.parcels.merge(shop.truth.parcels[["parcel_id", "late"]]).set_index("order_id")
    np.testing.assert_array_equal(both["late"], late["late"].loc[both["order_id"]])


# --- contacts ------------------------------------------------------------------------------------


def _recent(shop: tp.Shop) -> pd.Series[Any]:
    """Return the tiring contacts in the 30 days before each opportunity, counted in the log."""
    tires = {channel.name: channel.tires for channel in CONTACTS.channels}
    contacts = shop.contacts.assign(day=(shop.contacts["time"] - START) // DAY)
    made = contacts[~contacts["held_out"] & contacts["channel"].astype("str").map(tires)]
    pairs = contacts.merge(made[["customer_id", "day"]], on="customer_id", suffixes=("", "_made"))
    # Those of the same day are left to the test.
    pairs = pairs[(pairs["day"] - pairs["day_made"]).between(1, 29)]
    counts = pairs["contact_id"].value_counts()
    return contacts["contact_id"].map(counts).fillna(0).astype(int)


def test_what_a_contact_adds_is_its_effect_and_fatigue(shop: tp.Shop) -> None:
    truth, contacts = shop.truth.contacts, shop.contacts
    effects = {channel.name: channel.effect for channel in CONTACTS.channels}
    effect = contacts["channel"].astype("str").map(effects)
    expected = effect * np.exp(-CONTACTS.fatigue * truth["recent_contacts"])
    np.testing.assert_allclose(truth["log_hazard"], expected, rtol=1e-12)
    # Earlier channels of the same day count too.
    today = contacts.groupby(["customer_id", contacts["time"].dt.normalize()])["contact_id"]
    alone = today.transform("size") == 1
    recent = _recent(shop)
    assert (truth["recent_contacts"] >= recent).all()
    assert (truth["recent_contacts"] == recent)[alone].all()
    assert recent.max() >= 3


def test_contacts_know_who_is_alive(shop: tp.Shop) -> None:
    left = shop.truth.customers.set_index("customer_id")["left_at"]
    gone = left.loc[shop.contacts["customer_id"]].to_numpy()
    midnight = shop.contacts["time"].dt.normalize() + DAY
    # A contact comes at the end of its day, behind the orders of that day.
    alive = np.isnat(gone) | (gone >= midnight)
    np.testing.assert_array_equal(shop.truth.contacts["alive"], alive)
    assert 0.1 < alive.mean() < 0.9


def test_the_outcome_that_happened_is_in_the_log(shop: tp.Shop) -> None:
    contacts = shop.contacts.merge(shop.truth.contacts, on="contact_id")
    contacts["day"] = (contacts["time"] - START) // DAY
    known = contacts["orders_contacted"].notna()
    # The window ends at the end at the latest.
    np.testing.assert_array_equal(known, contacts["day"] + OUTCOME_DAYS <= DAYS - 1)
    for name in ("orders_held_out", "margin_contacted", "margin_held_out"):
        np.testing.assert_array_equal(contacts[name].notna(), known)
    orders = shop.orders.assign(day=(shop.orders["time"] - START) // DAY)
    orders["may_pay"] = (orders["status"] != "cancelled").astype(float)
    orders["paid"] = (orders["status"] == "paid").astype(float)
    pairs = contacts[known].merge(orders, on="customer_id", suffixes=("", "_order"))
    pairs = pairs[(pairs["day_order"] - pairs["day"]).between(1, OUTCOME_DAYS)]
    sums = pairs.groupby("contact_id")[["paid", "may_pay", "margin"]].sum()
    sums = sums.reindex(contacts["contact_id"][known], fill_value=0.0)
    out = contacts["held_out"][known].to_numpy()
    happened, other = (
        np.where(
            out == first, contacts["orders_held_out"][known], contacts["orders_contacted"][known]
        )
        for first in (True, False)
    )
    # Orders that are still open at the end may be paid behind it.
    assert (happened >= sums["paid"]).all()
    assert (happened <= sums["may_pay"]).all()
    margins = np.where(out, contacts["margin_held_out"][known], contacts["margin_contacted"][known])
    # Returns come within 60 days.
    early = (contacts["day"][known] + OUTCOME_DAYS < DAYS - 60).to_numpy()
    assert early.sum() > 1000
    np.testing.assert_allclose(margins[early], sums["margin"][early], rtol=0, atol=0.011)
    # The other outcome is listed order by order.
    others = shop.truth.other_orders
    listed = others.groupby("contact_id")["margin"].agg(["size", "sum"])
    listed = listed.reindex(contacts["contact_id"][known], fill_value=0.0)
    np.testing.assert_array_equal(other, listed["size"])
    margins = np.where(out, contacts["margin_contacted"][known], contacts["margin_held_out"][known])
    np.testing.assert_allclose(margins, listed["sum"], rtol=0, atol=0.011)
    days = others.merge(contacts[["contact_id", "day"]])
    wait = (days["time"] - START) // DAY - days["day"]
    assert wait.between(1, OUTCOME_DAYS).all()
    assert (happened != other).sum() > 100


def test_a_channel_without_effect_changes_no_outcome(shop: tp.Shop) -> None:
    null = shop.truth.contacts[shop.contacts["channel"] == "social"].dropna()
    assert len(null) > 500
    np.testing.assert_array_equal(null["orders_contacted"], null["orders_held_out"])
    np.testing.assert_array_equal(null["margin_contacted"], null["margin_held_out"])


def test_channels_add_up(shop: tp.Shop) -> None:
    channels = shop.truth.channels.set_index("channel")
    assert list(channels.index) == [channel.name for channel in CONTACTS.channels]
    both = shop.contacts.merge(shop.truth.contacts, on="contact_id")
    for channel in CONTACTS.channels:
        mine, row = both[both["channel"] == channel.name], channels.loc[channel.name]
        assert row["effect"] == channel.effect
        assert row["decay"] == channel.decay
        assert row["opportunities"] == len(mine) > 0
        made = mine[~mine["held_out"]]
        assert row["contacts"] == len(made)
        gained = (made["orders_contacted"] - made["orders_held_out"]).sum()
        assert row["incremental_orders"] == gained
        margin = (made["margin_contacted"] - made["margin_held_out"]).sum()
        assert row["incremental_margin"] == pytest.approx(margin, abs=0.01)
        share = gained / made["orders_contacted"].sum()
        assert row["incremental_share"] == pytest.approx(share, rel=1e-12)
    assert (channels["incremental_orders"].drop("social") > 0).all()
    assert channels.loc["social", "incremental_orders"] == 0


# --- snapshots -----------------------------------------------------------------------------------


def _look(shop: tp.Shop, date: str) -> pd.DataFrame:
    """Return the snapshot of a date, by customer."""
    snapshots = shop.truth.snapshots
    return snapshots[snapshots["date"] == pd.Timestamp(date)].set_index("customer_id")


def _summed(orders: pd.DataFrame, date: str) -> pd.DataFrame:
    """Return number and time of the orders before a date, by customer."""
    before = orders[orders["time"] < pd.Timestamp(date)]
    return before.groupby("customer_id")["time"].agg(["size", "max"])


@pytest.mark.parametrize("date", LOOKS)
def test_snapshots_of_a_plain_shop_are_the_closed_form(plain: tp.Shop, date: str) -> None:
    look = _look(plain, date)
    known = _summed(plain.orders, date)
    np.testing.assert_array_equal(look.index, known.index)
    np.testing.assert_array_equal(look["purchases"], known["size"])
    silence = (pd.Timestamp(date) - known["max"]) / DAY
    # Orders are written down to the second.
    np.testing.assert_allclose(look["silence"], silence, rtol=0, atol=1.01 / 86_400)
    np.testing.assert_array_equal(look["alive"], plain.truth.alive(date).loc[look.index])
    assert (look["recent_contacts"] == 0).all()
    own = plain.truth.customers.set_index("customer_id").loc[look.index]
    p, k, rate = (own[name].to_numpy() for name in ("dropout", "regularity", "rate"))
    picky = (own["segment"] == "promotion-driven").to_numpy()
    # Without discounts the clock of those who wait for one stands still.
    silent = np.where(picky, 0.0, look["silence"])
    stays = (1 - p) * special.gammaincc(k, rate * silent)
    alive = stays / (stays + p)
    np.testing.assert_allclose(look["probability_alive"], alive, rtol=1e-7)
    returns = 1 - special.gammaincc(k, rate * (silent + HORIZON)) / special.gammaincc(
        k, rate * silent
    )
    expected = np.where(picky, 0.0, alive * returns)
    np.testing.assert_allclose(look["own_return"], expected, rtol=1e-6, atol=1e-12)


def test_a_plain_shop_keeps_the_probabilities(plain: tp.Shop) -> None:
    # One customer is in several snapshots: at worst their errors are the same.
    looks = plain.truth.snapshots
    chance = looks["probability_alive"]
    error = np.sqrt((chance * (1 - chance)).sum())
    assert abs(looks["alive"].sum() - chance.sum()) < 4 * np.sqrt(len(LOOKS)) * error
    # Who comes back within the horizon, where all of it is known.
    known = looks[looks["date"] <= START + (180 - HORIZON) * DAY]
    later = known.merge(plain.orders[["customer_id", "time"]], on="customer_id")
    wait = (later["time"] - later["date"]) / DAY
    came = later.loc[wait.between(0, HORIZON), ["date", "customer_id"]].drop_duplicates()
    chance = known["own_return"]
    error = np.sqrt((chance * (1 - chance)).sum())
    assert abs(len(came) - chance.sum()) < 4 * np.sqrt(2) * error
    assert chance.sum() > 200


def test_own_returns_come_as_often_as_they_say() -> None:
    # Without contacts, with seasons, discounts, debts and losses.
    days, horizon = 300, 60
    busy = tp.simulate_shop(
        seed=8,
        n_customers=4000,
        days=days,
        contacts=None,
        snapshots=["2024-04-01", "2024-07-01", "2024-08-28"],
        horizon=horizon,
    )
    for date, look in busy.truth.snapshots.groupby("date"):
        later = look.merge(busy.orders[["customer_id", "time"]], on="customer_id")
        wait = (later["time"] - date) / DAY
        came = later.loc[wait.between(0, horizon), "customer_id"].nunique()
        for happened, name in ((came, "own_return"), (look["alive"].sum(), "probability_alive")):
            chance = look[name]
            error = np.sqrt((chance * (1 - chance)).sum())
            assert abs(happened - chance.sum()) < 4 * error, (date, name)
        assert came > 200


@pytest.mark.parametrize("date", SNAPSHOTS)
def test_snapshots_of_a_full_shop(shop: tp.Shop, date: str) -> None:
    look = _look(shop, date)
    known = _summed(shop.orders, date)
    np.testing.assert_array_equal(look.index, known.index)
    # Orders of one occasion are one purchase; a second one follows within three hours.
    assert (look["purchases"] <= known["size"]).all()
    silence = (pd.Timestamp(date) - known["max"]) / DAY
    assert (look["silence"] - silence).between(-1.01 / 86_400, 0.125 + 1e-9).all()
    np.testing.assert_array_equal(look["alive"], shop.truth.alive(date).loc[look.index])
    for name in ("probability_alive", "own_return"):
        assert look[name].between(0, 1).all()
    assert (look["own_return"] <= look["probability_alive"]).all()


def test_snapshots_count_contacts_of_30_days(shop: tp.Shop) -> None:
    tires = {channel.name: channel.tires for channel in CONTACTS.channels}
    contacts = shop.contacts[~shop.contacts["held_out"]]
    contacts = contacts[contacts["channel"].astype("str").map(tires)]
    for date in SNAPSHOTS[1:]:
        look = _look(shop, date)
        ago = (pd.Timestamp(date) - contacts["time"].dt.normalize()) / DAY
        counts = contacts.loc[ago.between(1, 30), "customer_id"].value_counts()
        counts = counts.reindex(look.index, fill_value=0)
        np.testing.assert_array_equal(look["recent_contacts"], counts)
        assert counts.max() >= 3
    assert _look(shop, SNAPSHOTS[0]).empty


def test_snapshots_are_sorted(shop: tp.Shop) -> None:
    snapshots = shop.truth.snapshots
    keys = snapshots[["date", "customer_id"]]
    assert not keys.duplicated().any()
    pd.testing.assert_frame_equal(keys, keys.sort_values(["date", "customer_id"]))
    assert len(snapshots[snapshots["date"] == SNAPSHOTS[-1]]) == len(shop.customers)


def test_dates_given_twice_or_unsorted_count_once() -> None:
    given = {"seed": 5, "n_customers": 30, "days": 60}
    once = tp.simulate_shop(**given, snapshots=["2024-01-20", "2024-02-10"])
    twice = tp.simulate_shop(**given, snapshots=["2024-02-10", "2024-01-20", "2024-02-10"])
    pd.testing.assert_frame_equal(once.truth.snapshots, twice.truth.snapshots)
    assert once.truth.snapshots["date"].nunique() == 2
