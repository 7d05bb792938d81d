"""The tables agree with each other and with the settings, row by row."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib.simulate.parcels import SCAN_EVENTS

START = pd.Timestamp("2024-01-01")
DAYS = 270
END = START + pd.Timedelta(days=DAYS)
DAY = pd.Timedelta(days=1)
#: Times are kept to the second.
SECOND = pd.Timedelta(seconds=1)
OUTCOME_DAYS = 40
SNAPSHOTS = ("2024-01-01", "2024-05-01", "2024-09-27")
_DEFAULT = {channel.name: channel for channel in tp.ShopContacts().channels}
#: Enough of every kind of contact, coupons above all.
CONTACTS = tp.ShopContacts(
    channels=(
        _DEFAULT["page"],
        replace(_DEFAULT["chat"], rate=0.5, unsubscribe=0.1),
        replace(_DEFAULT["sms"], rate=1.5, coupon=0.3, coupon_share=0.6, unsubscribe=0.05),
        _DEFAULT["email"],
        _DEFAULT["parcel"],
        _DEFAULT["social"],
    ),
    campaigns=(
        tp.ShopCampaign(
            name="spring", channel="sms", day=80, silence=(10, 60), coupon=0.4, coupon_days=5
        ),
        tp.ShopCampaign(name="summer", channel="email", day=200, held_out=0.3),
    ),
    control=0.1,
)


@functools.lru_cache(maxsize=1)
def full_shop() -> tp.Shop:
    """Return a shop with all processes on and with all truth; of several test modules."""
    return tp.simulate_shop(
        seed=11,
        n_customers=1500,
        days=DAYS,
        start=START,
        contacts=CONTACTS,
        outcome_days=OUTCOME_DAYS,
        snapshots=SNAPSHOTS,
        horizon=30,
    )


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return full_shop()


@pytest.fixture(scope="module")
def fulfilled(shop: tp.Shop) -> pd.DataFrame:
    """Orders with their payments and parcels."""
    payments = shop.payments.drop(columns="customer_id").rename(columns={"held_out": "unreminded"})
    parcels = shop.parcels.drop(columns=["customer_id", "province"])
    return shop.orders.merge(payments, on="order_id").merge(parcels, on="order_id", how="left")


@pytest.fixture(scope="module")
def sent(shop: tp.Shop) -> pd.DataFrame:
    """Opportunities with the columns of their customers, the settings of their channels."""
    settings = pd.DataFrame([vars(channel) for channel in CONTACTS.channels])
    settings = settings.rename(columns={"name": "channel"}).add_prefix("set_")
    made = shop.contacts.assign(channel=shop.contacts["channel"].astype("str"))
    frame = made.merge(settings, left_on="channel", right_on="set_channel", how="left")
    return frame.merge(shop.customers.drop(columns="channel"), on="customer_id")


# --- customers -----------------------------------------------------------------------------------


def test_customers_register_with_their_first_order(shop: tp.Shop) -> None:
    first = shop.orders.groupby("customer_id")["time"].min()
    registered = shop.customers.set_index("customer_id")["registered_at"]
    pd.testing.assert_series_equal(first, registered, check_names=False, check_index_type=False)
    assert registered.between(START, END, inclusive="left").all()


def test_cities_belong_to_provinces(shop: tp.Shop) -> None:
    cities = {
        (province.name, city)
        for province in tp.ShopArrivals().provinces
        for city, share in province.cities.items()
    }
    seen = shop.customers[["province", "city"]].astype("str").itertuples(index=False, name=None)
    assert set(seen) == cities


# --- orders --------------------------------------------------------------------------------------


def _calendar() -> pd.DataFrame:
    """Return depth and flash of each day, from the promotions one by one."""
    rows = {START + day * DAY: (0.0, False) for day in range(DAYS)}
    for promotion in tp.ShopDiscounts().promotions:
        for month in range(1, 13) if promotion.month == 0 else [promotion.month]:
            for day in range(promotion.days):
                date = pd.Timestamp(2024, month, promotion.day) + day * DAY
                if date in rows and rows[date][0] < promotion.depth:
                    rows[date] = (promotion.depth, promotion.flash)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["depth", "flash"])


def test_discounts_are_those_of_the_calendar_or_of_a_coupon(shop: tp.Shop) -> None:
    orders, calendar = shop.orders, _calendar()
    today = calendar.loc[orders["time"].dt.normalize()].reset_index(drop=True)
    used = orders["coupon_contact_id"].notna()
    assert used.sum() > 100
    np.testing.assert_array_equal(orders["discount"][~used], today["depth"][~used])
    # A coupon is used only where it is deeper.
    assert (orders["discount"][used] > today["depth"][used]).all()
    np.testing.assert_array_equal(orders["flash_sale"], today["flash"])
    assert (today["depth"] > 0).sum() > 100


def test_flash_sales_are_those_of_flash_promotions() -> None:
    eleven = tp.simulate_shop(seed=1, n_customers=300, days=3, start="2024-11-10").orders
    on_sale = eleven["time"].dt.day < 12
    np.testing.assert_array_equal(eleven["flash_sale"], on_sale)
    np.testing.assert_array_equal(eleven["discount"], np.where(on_sale, 0.3, 0.0))
    assert on_sale.sum() > 200
    assert (~on_sale).sum() > 10


def test_a_coupon_is_the_customers_own_and_in_time(shop: tp.Shop) -> None:
    used = shop.orders[shop.orders["coupon_contact_id"].notna()]
    coupons = shop.contacts.set_index("contact_id").loc[used["coupon_contact_id"]]
    np.testing.assert_array_equal(coupons["customer_id"], used["customer_id"])
    np.testing.assert_array_equal(coupons["coupon"], used["discount"])
    assert not coupons["held_out"].any()
    # A contact acts from the next day on.
    assert (coupons["time"].dt.normalize().to_numpy() < used["time"].dt.normalize()).all()
    assert (used["time"].to_numpy() < coupons["coupon_until"]).all()
    # Each is used once.
    assert used["coupon_contact_id"].is_unique
    assert "spring" in set(coupons["campaign"])


def test_money_adds_up_to_the_fen(shop: tp.Shop) -> None:
    orders = shop.orders
    off = orders["list_amount"] * (1 - orders["discount"])
    np.testing.assert_allclose(orders["amount"], off, rtol=0, atol=0.005 + 1e-9)
    for name in ("list_amount", "amount", "margin"):
        np.testing.assert_array_equal(orders[name], orders[name].round(2))
    goods = tp.ShopGoods()
    kept = orders["product"].astype("str").map({one.name: one.margin for one in goods.products})
    earned = orders["amount"] - orders["list_amount"] * (1 - kept) - goods.shipping
    earned = earned.where(orders["returned_at"].isna(), -goods.shipping)
    earned = earned.where(orders["status"] == "paid", 0.0)
    # The cost is rounded to the fen by itself.
    np.testing.assert_allclose(orders["margin"], earned, rtol=0, atol=0.01 + 1e-9)
    assert orders["returned_at"].notna().sum() > 50


def test_status_follows_from_the_payment(fulfilled: pd.DataFrame) -> None:
    paid, cancelled = fulfilled["paid_at"].notna(), fulfilled["cancelled_at"].notna()
    status = np.where(paid, "paid", np.where(cancelled, "cancelled", "open"))
    np.testing.assert_array_equal(fulfilled["status"].astype("str"), status)
    assert not (paid & cancelled).any()
    assert (fulfilled["due_at"][~paid & ~cancelled] >= END - SECOND).all()
    np.testing.assert_array_equal(
        fulfilled["cancelled_at"][cancelled], fulfilled["due_at"][cancelled]
    )
    assert set(status) == {"paid", "cancelled", "open"}


def test_an_order_comes_through_a_source_or_a_click_of_the_days_before(shop: tp.Shop) -> None:
    orders = shop.orders.assign(source=shop.orders["source"].astype("str"))
    through = orders[~orders["source"].isin(list(tp.ShopVisits().sources))]
    assert len(through) > 10
    clicks = shop.contacts[shop.contacts["clicked"]]
    pairs = through.merge(clicks, on="customer_id", suffixes=("", "_click"))
    wait = (pairs["time"].dt.normalize() - pairs["time_click"].dt.normalize()) / DAY
    fits = pairs[wait.between(1, 3) & (pairs["channel"].astype("str") == pairs["source"])]
    assert set(fits["order_id"]) == set(through["order_id"])


# --- payments ------------------------------------------------------------------------------------


def test_payments_keep_their_times(fulfilled: pd.DataFrame) -> None:
    settings, paid = tp.ShopPayments(), fulfilled["paid_at"].notna()
    assert (fulfilled["paid_at"] >= fulfilled["time"])[paid].all()
    assert (fulfilled["paid_at"] <= fulfilled["due_at"])[paid].all()
    limit = np.where(
        fulfilled["flash_sale"], settings.flash_limit_minutes / 1440, settings.limit_days
    )
    late = fulfilled["due_at"] - fulfilled["time"] - pd.to_timedelta(limit, unit="D")
    assert (late.abs() <= SECOND).all()


def test_reminders_go_to_first_unpaid_orders_of_a_day(fulfilled: pd.DataFrame) -> None:
    settings = tp.ShopPayments()
    wait = np.where(fulfilled["flash_sale"], settings.remind_flash_minutes, settings.remind_minutes)
    sent_at = fulfilled["time"] + pd.to_timedelta(wait, unit="min")
    reminded, unreminded = fulfilled["reminded_at"].notna(), fulfilled["unreminded"]
    assert not (reminded & unreminded).any()
    gap = (fulfilled["reminded_at"] - sent_at)[reminded].abs()
    assert (gap <= SECOND).all()
    unpaid = fulfilled["paid_at"].isna() | (fulfilled["paid_at"] >= sent_at - SECOND)
    earlier = fulfilled.groupby(["customer_id", fulfilled["time"].dt.normalize()]).cumcount() > 0
    eligible = reminded | unreminded
    assert unpaid[eligible].all()
    assert not earlier[eligible].any()
    assert reminded.sum() > 50
    assert unreminded.sum() > 50
    # And nobody else was eligible, but for what the end or a second leaves open.
    missed = unpaid & ~earlier & ~eligible & (sent_at < END)
    at_the_second = (fulfilled["paid_at"] - sent_at).abs() <= SECOND
    assert not (missed & ~at_the_second).any()


def test_who_is_held_out_from_a_reminder_is_not_known_before_it() -> None:
    # Orders of the last evening would be reminded behind the end.
    shop = tp.simulate_shop(
        seed=1, n_customers=200, days=1, payments=tp.ShopPayments(at_once=0, never=1)
    )
    payments = shop.payments.merge(shop.orders[["order_id", "time"]])
    late = payments["time"] + pd.Timedelta(minutes=240) > START + DAY
    assert late.sum() > 10
    assert payments["reminded_at"][late].isna().all()
    assert not payments["held_out"][late].any()


# --- parcels -------------------------------------------------------------------------------------


def test_parcels_belong_to_paid_orders(shop: tp.Shop, fulfilled: pd.DataFrame) -> None:
    shipped = fulfilled["shipped_at"].notna()
    assert fulfilled["paid_at"][shipped].notna().all()
    assert (fulfilled["shipped_at"] >= fulfilled["paid_at"])[shipped].all()
    # Whatever was paid 10 days before the end is on its way: 14 hours, sigma 0.5.
    assert shipped[fulfilled["paid_at"] < END - 10 * DAY].all()
    assert shop.parcels["order_id"].is_unique
    homes = shop.customers.set_index("customer_id")["province"].astype("str")
    np.testing.assert_array_equal(
        shop.parcels["province"].astype("str"), homes.loc[shop.parcels["customer_id"]]
    )


def test_parcels_keep_their_times(shop: tp.Shop) -> None:
    parcels, settings = shop.parcels, tp.ShopParcels()
    came = parcels["delivered_at"].notna()
    assert (parcels["delivered_at"] > parcels["shipped_at"])[came].all()
    leads = {province.name: province.lead for province in tp.ShopArrivals().provinces}
    promised = [
        float(settings.promised_days(carrier, leads[province]))
        for carrier, province in zip(parcels["carrier"], parcels["province"], strict=True)
    ]
    np.testing.assert_array_equal((parcels["promised_at"] - parcels["shipped_at"]) / DAY, promised)
    cared = parcels["cared_at"].notna()
    called_at = (parcels["promised_at"] - pd.Timedelta(hours=settings.care_hours))[cared]
    called_at = called_at.where(called_at > parcels["shipped_at"][cared], parcels["shipped_at"])
    assert ((parcels["cared_at"] - called_at)[cared].abs() <= SECOND).all()
    late = parcels["delivered_at"] > parcels["promised_at"]
    delivered = came & (cared | parcels["held_out"])
    assert late[delivered].all()
    assert not (cared & parcels["held_out"]).any()
    # Late parcels are called or held out, all of them.
    assert (cared | parcels["held_out"])[late].all()
    assert cared.sum() > 50
    assert parcels["held_out"].sum() > 50


def test_scans_follow_the_parcel(shop: tp.Shop) -> None:
    scans, parcels = shop.scans, shop.parcels.set_index("parcel_id")
    assert scans["parcel_id"].is_monotonic_increasing
    code = scans["event"].cat.codes
    assert list(scans["event"].cat.categories) == list(SCAN_EVENTS)
    number = scans.groupby("parcel_id").cumcount()
    np.testing.assert_array_equal(code, number)
    assert (scans.groupby("parcel_id")["time"].diff().dropna() >= pd.Timedelta(0)).all()
    first = scans[code == 0].set_index("parcel_id")["time"]
    loose = {"check_names": False, "check_index_type": False}
    pd.testing.assert_series_equal(first, parcels["shipped_at"], **loose)
    last = scans[code == len(SCAN_EVENTS) - 1].set_index("parcel_id")["time"]
    pd.testing.assert_series_equal(last, parcels["delivered_at"].dropna(), **loose)


def test_returns_follow_the_receipt(fulfilled: pd.DataFrame) -> None:
    back = fulfilled[fulfilled["returned_at"].notna()]
    assert (back["returned_at"] > back["delivered_at"]).all()


# --- reviews -------------------------------------------------------------------------------------


def test_reviews_follow_the_receipt(shop: tp.Shop, fulfilled: pd.DataFrame) -> None:
    reviews = shop.reviews
    received = fulfilled.set_index("order_id")["delivered_at"].loc[reviews["order_id"]]
    assert (reviews["time"].to_numpy() >= received).all()
    assert reviews["order_id"].is_unique
    assert set(reviews["rating"]) == {1, 2, 3, 4, 5}
    assert reviews["text"].notna().all()
    replied = reviews["replied_at"].notna()
    assert (reviews["replied_at"] >= reviews["time"])[replied].all()
    np.testing.assert_array_equal(replied, reviews["reply"].notna())
    assert replied.sum() > 100
    # Only of shops that sell such goods: the words fit the product.
    tea = reviews["text"].astype("str").str.contains("茶")
    product = fulfilled.set_index("order_id")["product"].loc[reviews["order_id"]].astype("str")
    assert tea.sum() > 10
    assert set(product[tea.to_numpy()]) == {"tea"}


# --- contacts ------------------------------------------------------------------------------------


def test_held_out_costs_nothing_and_is_not_opened(sent: pd.DataFrame) -> None:
    out = sent["held_out"]
    assert (sent["cost"] == np.where(out, 0.0, sent["set_cost"])).all()
    assert not sent.loc[out, ["opened", "clicked", "unsubscribed"]].any(axis=None)
    assert (sent.loc[out, "coupon"] == 0).all()
    assert sent["opened"][sent["clicked"]].all()
    for name in ("opened", "clicked", "unsubscribed"):
        assert sent[name].sum() > 20


def test_coupons_end_at_midnight_behind_their_days(sent: pd.DataFrame) -> None:
    offered = sent["coupon"] > 0
    np.testing.assert_array_equal(offered, sent["coupon_until"].notna())
    campaigns = {campaign.name: campaign for campaign in CONTACTS.campaigns}
    depth = sent["campaign"].astype("str").map({n: one.coupon for n, one in campaigns.items()})
    days = sent["campaign"].astype("str").map({n: one.coupon_days for n, one in campaigns.items()})
    depth, days = depth.fillna(sent["set_coupon"]), days.fillna(sent["set_coupon_days"])
    np.testing.assert_array_equal(sent["coupon"][offered], depth[offered])
    until = sent["time"].dt.normalize() + pd.to_timedelta(days + 1, unit="D")
    assert (sent["coupon_until"] == until)[offered].all()
    # A campaign gives its coupon to everybody it reaches.
    assert offered[(sent["campaign"] == "spring") & ~sent["held_out"]].all()


def test_nobody_is_contacted_without_consent_or_in_the_control_group(
    shop: tp.Shop, sent: pd.DataFrame
) -> None:
    assert shop.customers["control_group"].sum() > 100
    assert not sent["control_group"].any()
    agreed = [name for name, channel in _DEFAULT.items() if channel.consent < 1]
    assert [name for name in shop.customers if name.startswith("consent_")] == [
        f"consent_{name}" for name in agreed
    ]
    for name in agreed:
        refused = ~shop.customers[f"consent_{name}"]
        assert refused.sum() > 100
        through = sent[sent["channel"] == name]
        assert len(through) > 100
        assert through[f"consent_{name}"].all()


def test_nobody_is_contacted_after_unsubscribing(sent: pd.DataFrame) -> None:
    left = sent[sent["unsubscribed"]]
    by = ["customer_id", "channel"]
    left_on = left.groupby(by)["time"].min().dt.normalize().rename("left_on")
    # A campaign may write on the very day.
    later = sent.merge(left_on.reset_index(), on=by)
    assert (later["time"].dt.normalize() <= later["left_on"]).all()


def test_contacts_meet_their_audience(shop: tp.Shop, sent: pd.DataFrame) -> None:
    own = sent[sent["campaign"].isna()]
    # Leaflets lie in parcels, pages are seen on visits.
    leaflets = own[own["set_audience"] == "parcel"]
    opened = leaflets.merge(
        shop.parcels, left_on=["customer_id", "time"], right_on=["customer_id", "delivered_at"]
    )
    assert set(opened["contact_id"]) == set(leaflets["contact_id"])
    pages = own[own["set_audience"] == "visit"]
    seen = pages.merge(shop.visits, on=["customer_id", "time"])
    assert set(seen["contact_id"]) == set(pages["contact_id"])
    assert min(len(leaflets), len(pages)) > 100
    # All others go out from nine to nine.
    timed = sent[sent["set_audience"].isin(["all", "silent"]) | sent["campaign"].notna()]
    assert timed["time"].dt.hour.between(9, 20).all()


def test_silence_and_campaigns(shop: tp.Shop, sent: pd.DataFrame) -> None:
    # Counted to the end of the day, from the last order by then; one that follows within three
    # hours is of the same occasion.
    midnight = (sent["time"].dt.normalize() + DAY).rename("midnight")
    asked = pd.concat([sent, midnight], axis=1).sort_values("midnight")
    orders = shop.orders[["customer_id", "time"]].rename(columns={"time": "ordered_at"})
    known = pd.merge_asof(
        asked,
        orders.sort_values("ordered_at"),
        left_on="midnight",
        right_on="ordered_at",
        by="customer_id",
        allow_exact_matches=False,
    )
    silent = (known["midnight"] - known["ordered_at"]) / DAY
    assert silent.notna().all()
    own = known["campaign"].isna() & (known["set_audience"] == "silent")
    assert own.sum() > 100
    assert (silent[own] >= known["set_silence"][own] - 0.125).all()
    for campaign in CONTACTS.campaigns:
        mine = known["campaign"] == campaign.name
        assert mine.sum() > 50
        assert set(known["channel"][mine]) == {campaign.channel}
        assert (known["midnight"][mine] == START + (campaign.day + 1) * DAY).all()
        assert (silent[mine] >= campaign.silence[0] - 0.125).all()
        assert (silent[mine] <= campaign.silence[1]).all()
        share = known["held_out"][mine].mean()
        error = np.sqrt(campaign.held_out * (1 - campaign.held_out) / mine.sum())
        assert abs(share - campaign.held_out) < 4 * error


# --- visits --------------------------------------------------------------------------------------


def test_every_order_ends_a_visit_through_its_source(shop: tp.Shop) -> None:
    visits = shop.visits.assign(source=shop.visits["source"].astype("str"), visited=1)
    orders = shop.orders.assign(source=shop.orders["source"].astype("str"))
    visits = visits.rename(columns={"time": "visited_at"}).sort_values("visited_at")
    before = pd.merge_asof(
        orders,
        visits,
        left_on="time",
        right_on="visited_at",
        by=["customer_id", "source"],
    )
    assert before["visited_at"].notna().all()
    gap = before["time"] - before["visited_at"]
    assert gap.max() <= 0.02 * DAY + SECOND
    assert (before["time"].dt.normalize() == before["visited_at"].dt.normalize()).all()


def test_every_click_is_followed_by_a_visit(shop: tp.Shop) -> None:
    clicks = shop.contacts[shop.contacts["clicked"] & (shop.contacts["time"] < END - DAY)]
    clicks = clicks.assign(source=clicks["channel"].astype("str"), clicked_at=clicks["time"])
    visits = shop.visits.assign(source=shop.visits["source"].astype("str"), came=1)
    behind = pd.merge_asof(
        clicks,
        visits,
        on="time",
        by=["customer_id", "source"],
        direction="forward",
        tolerance=0.1 * DAY + SECOND,
    )
    assert len(behind) > 100
    assert behind["came"].notna().all()


# --- the end -------------------------------------------------------------------------------------

#: Dates that are set when the row begins.
PLANNED = {("payments", "due_at"), ("parcels", "promised_at"), ("contacts", "coupon_until")}
TABLES = ["customers", "orders", "payments", "parcels", "scans", "contacts", "visits", "reviews"]


@pytest.mark.parametrize("table", TABLES)
def test_nothing_lies_outside_of_the_days(shop: tp.Shop, table: str) -> None:
    frame = getattr(shop, table)
    times = frame.select_dtypes("datetime")
    assert times.shape[1]
    assert (times.isna() | (times >= START)).all(axis=None)
    known = [name for name in times if (table, name) not in PLANNED]
    assert (times[known].isna() | (times[known] <= END)).all(axis=None)
    # And the tables go on to the last days.
    assert times[known].max().max() > END - 2 * DAY
