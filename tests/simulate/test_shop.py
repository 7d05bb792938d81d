"""The whole shop: switches, luck, bad arguments, strange shops, and the library's use of it."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.simulate import shop as shop_module
from touchpoint_lib.simulate.bundled import tables_of

START = pd.Timestamp("2024-01-01")
DAY = pd.Timedelta(days=1)
OFF = ["seasons", "discounts", "visits", "contacts", "payments", "parcels", "reviews"]
_CHANNELS = tp.ShopContacts().channels


def contacts_with(**changes: Any) -> tp.ShopContacts:
    """Return the default contacts with every channel changed."""
    return tp.ShopContacts(channels=tuple(replace(one, **changes) for one in _CHANNELS))


#: Contacts that do nothing.
IDLE = contacts_with(effect=0.0, coupon=0.0)
TIMED = tp.ShopContacts(
    channels=tuple(one for one in _CHANNELS if one.audience in ("all", "silent"))
)
#: Nothing that happens to a customer changes the next purchase, but for contacts.
HARMLESS: dict[str, Any] = {
    "parcels": tp.ShopParcels(late_loss=0),
    "reviews": tp.ShopReviews(loss=0),
}
SMALL: dict[str, Any] = {"seed": 4, "n_customers": 300, "days": 150}


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return tp.simulate_shop(**SMALL)


@pytest.fixture(scope="module")
def calm(shop: tp.Shop) -> tp.Shop:
    """Return a shop where nothing that follows an order changes the next purchase."""
    return shop.twin(**HARMLESS, contacts=TIMED)


def assert_same(
    one: tp.Shop,
    other: tp.Shop,
    but: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    rtol: float = 0.0,
) -> None:
    """Compare all tables ``but`` some, all columns ``without`` some."""
    for (name, got), (_, expected) in zip(tables_of(one), tables_of(other), strict=True):
        if name in but:
            continue
        got, expected = (
            frame.drop(columns=[column for column in without if column in frame])
            for frame in (got, expected)
        )
        kinds = {"check_exact": True} if rtol == 0 else {"rtol": rtol}
        pd.testing.assert_frame_equal(got, expected, obj=name, **kinds)


def digest(shop: tp.Shop) -> str:
    """Return a hash of the bytes of all frames."""
    sha = hashlib.sha256()
    for name, frame in tables_of(shop):
        for column, values in frame.items():
            sha.update(f"{name}.{column}: {values.dtype}".encode())
            if isinstance(values.dtype, pd.CategoricalDtype):
                sha.update("\n".join(values.cat.categories).encode())
                values = values.cat.codes
            if values.dtype in ("Int64", "str", "object"):
                sha.update(repr(values.tolist()).encode())
            else:
                sha.update(values.to_numpy().tobytes())
    return sha.hexdigest()


# --- switches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OFF)
def test_each_process_can_be_switched_off(shop: tp.Shop, name: str) -> None:
    without = shop.twin(**{name: None})
    emptied = {
        "visits": {"visits"},
        "contacts": {"contacts", "truth_contacts", "truth_channels"},
        "payments": {"payments", "truth_payments"},
        "parcels": {"parcels", "scans", "truth_parcels"},
        "reviews": {"reviews", "truth_reviews"},
    }.get(name, set())
    never = {"truth_other_orders", "truth_snapshots", "truth_dirt", "truth_leaks"}
    assert {table for table, frame in tables_of(without) if frame.empty} == emptied | never
    assert without.call[name] is None
    # Who comes does not depend on it, where and when neither but for the calendar.
    when = ["registered_at"] if name in ("seasons", "discounts") else []
    common = ["customer_id", "channel", "province", "city"]
    if not when:
        pd.testing.assert_frame_equal(
            without.customers[[*common, "registered_at"]],
            shop.customers[[*common, "registered_at"]],
        )
    segments = [frame.truth.customers["segment"].value_counts() for frame in (shop, without)]
    pd.testing.assert_series_equal(*segments)


def test_everything_can_be_switched_off() -> None:
    bare = tp.simulate_shop(**SMALL, **dict.fromkeys(OFF))
    orders = bare.orders
    assert (orders["status"] == "paid").all()
    assert (orders["discount"] == 0).all()
    assert (orders["amount"] == orders["list_amount"]).all()
    assert not orders["flash_sale"].any()
    assert set(orders["source"]) == {"shop"}
    assert list(bare.customers) == ["customer_id", "registered_at", "channel", "province", "city"]
    assert orders["returned_at"].notna().sum() > 5
    picky = bare.truth.customers.query("segment == 'promotion-driven'")["customer_id"]
    again = orders[orders["customer_id"].isin(picky)]["customer_id"].value_counts()
    # They wait for a discount that never comes; nothing is bought again with it either.
    assert again.eq(1).all()
    assert len(again) == len(picky) > 10
    assert len(orders) > len(bare.customers)


def test_without_harm_and_seasons_hours_are_uniform() -> None:
    bare = tp.simulate_shop(seed=1, n_customers=4000, days=20, **dict.fromkeys(OFF))
    hours = np.bincount(bare.orders["time"].dt.hour, minlength=24)
    expected = hours.sum() / 24
    # Chi-square of 23 degrees of freedom: 0.9999 quantile.
    assert ((hours - expected) ** 2 / expected).sum() < 58.6


def test_reviews_without_loss_change_nothing_else(calm: tp.Shop) -> None:
    silent = calm.twin(reviews=None)
    assert_same(calm, silent, but=("reviews", "truth_reviews"))
    assert not calm.reviews.empty


def test_contacts_without_effect_change_no_purchase(shop: tp.Shop) -> None:
    idle, none = shop.twin(contacts=IDLE), shop.twin(contacts=None)
    # A click is the source of an order, and of a visit.
    only = tuple(name for name in shop.customers if name.startswith(("consent", "control")))
    assert_same(
        idle,
        none,
        but=("contacts", "truth_contacts", "truth_channels", "visits"),
        without=("source", "coupon_contact_id", *only),
    )
    assert not idle.contacts.empty
    clicked = idle.visits["source"].astype("str").isin([one.name for one in _CHANNELS])
    assert len(idle.visits) - clicked.sum() <= len(none.visits)


def test_payments_move_parcels_but_no_purchase(calm: tp.Shop) -> None:
    at_once = calm.twin(payments=None)
    moved = ("payments", "truth_payments", "parcels", "truth_parcels", "scans", "reviews")
    assert_same(
        calm,
        at_once,
        but=(*moved, "truth_reviews"),
        without=("status", "margin", "returned_at"),
    )
    assert (at_once.orders["status"] == "paid").all()
    assert set(calm.orders["status"]) >= {"paid", "cancelled"}
    # What is paid by itself is shipped no earlier than what is paid at once.
    both = calm.parcels.merge(at_once.parcels, on="order_id", suffixes=("", "_at_once"))
    assert (both["shipped_at"] >= both["shipped_at_at_once"]).all()
    assert len(both) == len(calm.parcels) > 100


def test_parcels_delay_the_receipt_but_no_purchase(calm: tp.Shop) -> None:
    moved = ("parcels", "truth_parcels", "scans", "reviews", "truth_reviews")
    assert_same(calm, calm.twin(parcels=None), but=moved, without=("returned_at", "margin"))


def test_visits_change_no_purchase_without_contacts_on_visits(calm: tp.Shop) -> None:
    unseen = calm.twin(visits=None)
    told = ("source", "opened", "clicked")
    assert_same(calm, unseen, but=("visits",), without=told)
    assert (
        unseen.orders["source"].astype("str").isin(["shop", "chat", "sms", "email", "social"]).all()
    )


def test_dirt_is_only_in_the_export(shop: tp.Shop) -> None:
    dirt = tp.ShopDirt(duplicates=0.05)
    dirty = shop.twin(dirt=dirt)
    assert_same(dirty, shop, but=("customers", "orders", "truth_dirt", "truth_leaks"))
    pd.testing.assert_frame_equal(dirty.customers[shop.customers.columns], shop.customers)
    leaks = dirty.truth.leaks["column"].tolist()
    assert list(dirty.customers) == [*shop.customers, *leaks]
    assert len(dirty.orders) == len(shop.orders) + (dirty.truth.dirt["kind"] == "duplicates").sum()
    assert len(dirty.orders) > len(shop.orders)
    assert_same(dirty.twin(dirt=None), shop)


def test_more_truth_changes_nothing_else(shop: tp.Shop) -> None:
    more = shop.twin(outcome_days=20, snapshots=["2024-02-01", "2024-05-30"], horizon=200)
    added = ("truth_other_orders", "truth_snapshots")
    told = [name for name in more.truth.contacts if name not in shop.truth.contacts]
    told += [name for name in more.truth.channels if name not in shop.truth.channels]
    assert len(told) == 8
    assert_same(more, shop, but=added, without=tuple(told))
    assert not more.truth.snapshots.empty
    assert not more.truth.other_orders.empty


# --- luck ----------------------------------------------------------------------------------------

_SCRIPT = """
import touchpoint_lib as tp
from tests.simulate.test_shop import OTHER_PROCESS, digest
print(digest(tp.simulate_shop(**OTHER_PROCESS)))
"""
OTHER_PROCESS: dict[str, Any] = {
    **SMALL,
    "outcome_days": 20,
    "snapshots": ("2024-04-01",),
    "dirt": tp.ShopDirt(),
}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    expected = digest(tp.simulate_shop(**OTHER_PROCESS))
    root = Path(__file__).parents[2]
    for hash_seed, threads in (("0", "1"), ("12345", "2")):
        variables = {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, **variables},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stdout.strip() == expected


def test_another_seed_gives_another_shop(shop: tp.Shop) -> None:
    other = shop.twin(seed=5)
    assert digest(other) != digest(shop)
    assert (other.orders["amount"].iloc[:50] != shop.orders["amount"].iloc[:50]).all()


@pytest.mark.parametrize("seed", [2**53, 2**64, 2**100])
def test_neighbouring_large_seeds_differ(seed: int) -> None:
    one, two = (tp.simulate_shop(seed=each, n_customers=5, days=5) for each in (seed, seed + 1))
    assert not one.orders["amount"].equals(two.orders["amount"])


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    call: dict[str, Any] = {**SMALL, "outcome_days": 20, "snapshots": ("2024-04-01",)}
    whole = tp.simulate_shop(**call)
    monkeypatch.setattr(shop_module, "_BLOCK", 37)
    parts = tp.simulate_shop(**call)
    # No two rows of one second, or the ids might be exchanged.
    for table in ("orders", "contacts", "reviews", "visits"):
        assert getattr(whole, table)["time"].is_unique, table
    assert_same(whole, parts)


def test_blocks_without_opportunities_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # So few contacts that most blocks have no second world, in turns the first and later ones.
    call: dict[str, Any] = {
        "n_customers": 120,
        "days": 60,
        "contacts": tp.ShopContacts(channels=(tp.ShopChannel(name="sms", rate=0.1),)),
        "outcome_days": 20,
    }
    for seed in range(5):
        whole = tp.simulate_shop(seed=seed, **call)
        with monkeypatch.context() as patch:
            patch.setattr(shop_module, "_BLOCK", 30)
            parts = tp.simulate_shop(seed=seed, **call)
        assert whole.contacts["time"].is_unique
        pd.testing.assert_frame_equal(parts.truth.contacts, whole.truth.contacts)
        assert whole.truth.contacts["orders_contacted"].notna().any()


def test_a_twin_without_changes_is_the_shop(shop: tp.Shop) -> None:
    assert digest(shop.twin()) == digest(shop)
    assert shop.twin().call == shop.call


def test_a_shop_has_settings_of_its_own() -> None:
    sources = {"app": 0.5, "search": 0.5}
    shop = tp.simulate_shop(seed=1, n_customers=30, days=30, visits=tp.ShopVisits(sources=sources))
    sources["app"] = 0.9
    assert shop.call["visits"].sources == {"app": 0.5, "search": 0.5}
    usual = tp.simulate_shop(seed=1, n_customers=30, days=30)
    usual.call["visits"].sources["app"] = 5.0
    assert tp.ShopVisits().sources["app"] == 0.5
    assert tp.simulate_shop(seed=1, n_customers=30, days=30).call["visits"].sources["app"] == 0.5


def test_persons_keep_their_luck_where_ids_change(shop: tp.Shop) -> None:
    larger = shop.twin(n_customers=shop.call["n_customers"] + 50)
    columns = ["segment", "rate", "dropout", "mean_value"]
    one, other = (each.truth.customers.set_index("person")[columns] for each in (shop, larger))
    pd.testing.assert_frame_equal(one.sort_index(), other.loc[sorted(one.index)])


def test_a_shop_shows_its_sizes(shop: tp.Shop) -> None:
    assert f"{len(shop.orders):,} orders" in repr(shop)
    assert f"<td>{len(shop.orders):,}</td>" in shop._repr_html_()
    assert f"{len(shop.truth.contacts):,} contacts" in repr(shop.truth)


def test_customers_keep_their_luck_in_a_twin(shop: tp.Shop) -> None:
    quiet = shop.twin(contacts=None)
    one, other = (
        each.truth.customers.drop(columns=["left_at", "last_purchase_at"]) for each in (shop, quiet)
    )
    pd.testing.assert_frame_equal(one, other)
    # Who had no contact, and no visit through one, lives the same life.
    touched = shop.contacts.loc[~shop.contacts["held_out"], "customer_id"]
    calm = shop.customers.loc[~shop.customers["customer_id"].isin(touched), "customer_id"]
    assert len(calm) > 30
    columns = ["customer_id", "time", "product", "list_amount", "amount", "gift", "status"]
    mine, same = (
        each.orders.loc[each.orders["customer_id"].isin(calm), columns].reset_index(drop=True)
        for each in (shop, quiet)
    )
    pd.testing.assert_frame_equal(mine, same)
    assert len(shop.orders) > len(quiet.orders)


def test_whoever_is_contacted_lives_the_same_life_until_then(shop: tp.Shop) -> None:
    quiet = shop.twin(contacts=None)
    sent = shop.contacts[~shop.contacts["held_out"]]
    first = sent.groupby("customer_id")["time"].min().dt.normalize() + DAY
    columns = ["customer_id", "time", "product", "list_amount"]
    far = pd.Timestamp("2100-01-01").as_unit("us")
    mine, same = (
        each.orders.loc[
            each.orders["time"] < each.orders["customer_id"].map(first).fillna(far),
            columns,
        ].reset_index(drop=True)
        for each in (shop, quiet)
    )
    pd.testing.assert_frame_equal(mine, same)


def test_a_larger_shop_has_the_same_customers(shop: tp.Shop) -> None:
    large = shop.twin(n_customers=450)
    own = ["registered_at", "channel", "province", "city", "segment", "rate", "dropout"]
    own += ["mean_value", "left_at", "control_group", "consent_sms"]
    small, more = (
        each.customers.merge(each.truth.customers, on="customer_id")[own].astype("str")
        for each in (shop, large)
    )
    # One customer's life depends on nobody else's.
    assert len(small.merge(more, on=own)) == len(small) == 300
    orders = ["time", "source", "product", "list_amount", "amount", "margin", "status"]
    few, many = (each.orders[orders].astype("str") for each in (shop, large))
    assert len(few.merge(many, on=orders)) == len(few)


# --- arguments -----------------------------------------------------------------------------------

_TWO = {"seed": 1, "n_customers": 2, "days": 10}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed is -1; it must be >= 0"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"seed": "1"}, "seed is '1'; it must be a number"),
        ({"seed": True}, "seed is True"),
        ({"seed": None}, "seed is None"),
        ({"n_customers": 0}, "n_customers is 0; it must be >= 1"),
        ({"n_customers": 2**31}, "n_customers is 2147483648; it must be <="),
        ({"n_customers": float("nan")}, "n_customers is nan; it must be finite"),
        ({"n_customers": [10]}, r"n_customers is \[10\]"),
        ({"days": 0}, "days is 0; it must be >= 1"),
        ({"days": 36_526}, "days is 36526; it must be <= 36525"),
        ({"days": "30"}, "days is '30'"),
        ({"start": "yesteryear"}, "start is 'yesteryear'.*pass a date such as"),
        ({"start": None}, "start is None; pass a date"),
        ({"start": 20240101}, "start is 20240101"),
        ({"start": 0, "contacts": None}, "start is 0"),
        ({"start": "2024-01-01 12:00"}, "start is '2024-01-01 12:00'; pass a date without"),
        ({"start": "2024-01-01T00:00+08:00"}, "without a time zone"),
        ({"start": pd.Timestamp("2024-01-01", tz="Asia/Shanghai")}, "without a time zone"),
        ({"start": "1899-12-31"}, "pass a date from 1900 to 2200"),
        ({"start": "2201-01-01"}, "pass a date from 1900 to 2200"),
        ({"horizon": 0}, "horizon is 0; it must be >= 1"),
        ({"horizon": 2.5}, "horizon is 2.5; it must be a whole number"),
        ({"outcome_days": 0}, "outcome_days is 0; it must be >= 1"),
        ({"outcome_days": True}, "outcome_days is True"),
        ({"outcome_days": 5, "contacts": None}, "outcome_days is given without contacts"),
        (
            {"snapshots": ["2023-12-31"]},
            "is '2023-12-31'; pass dates from 2024-01-01 to 2024-01-11",
        ),
        (
            {"snapshots": ["2024-01-12"]},
            "is '2024-01-12'; pass dates from 2024-01-01 to 2024-01-11",
        ),
        ({"snapshots": ["soon"]}, "a date of snapshots is 'soon'"),
        ({"snapshots": ["2024-01-02 06:00"]}, "a date of snapshots is '2024-01-02 06:00'"),
        ({"snapshots": ["2024-01-02T00:00Z"]}, "without a time zone"),
        ({"snapshots": "2024-01-05"}, "snapshots"),
        ({"snapshots": None}, "snapshots is None"),
        ({"snapshots": pd.Timestamp("2024-01-05")}, "snapshots is"),
        ({"arrivals": None}, r"arrivals is None; pass ShopArrivals\(...\)$"),
        ({"goods": None}, r"goods is None; pass ShopGoods\(...\)$"),
        ({"seasons": "off"}, r"seasons is 'off'; pass ShopSeasons\(...\), or None for none"),
        ({"contacts": tp.ShopContacts}, "contacts is <class"),
        ({"payments": False}, "payments is False"),
        ({"parcels": tp.ShopReviews()}, r"parcels is ShopReviews\("),
        ({"dirt": True}, r"dirt is True; pass ShopDirt\(...\), or None for none"),
        (
            {"contacts": tp.ShopContacts(channels=(tp.ShopChannel(name="app"),))},
            r"a channel of contacts has the name of a source of visits \(app, .*name the channel",
        ),
        (
            {
                "visits": None,
                "contacts": tp.ShopContacts(channels=(tp.ShopChannel(name="shop"),)),
            },
            r"has the name of a source of visits \(shop, shop\)",
        ),
        (
            {"payments": tp.ShopPayments(by_source={"radio": 2.0})},
            "a source named in by_source of payments is 'radio'; it must be one of 'app'",
        ),
        (
            {"arrivals": tp.ShopArrivals(months=(0, *(1,) * 11))},
            "months has no arrivals from 2024-01-01 to 2024-01-10",
        ),
        (
            {
                "arrivals": tp.ShopArrivals(
                    provinces=(tp.ShopProvince(name="Hubei", share=1, cities={"Wuhan": 1}),)
                )
            },
            "'winter storm' names province 'Heilongjiang'.*the shop has only Hubei",
        ),
        (
            {"start": "1980-01-01", "contacts": None, "dirt": tp.ShopDirt()},
            "before 1992-01-01; begin later",
        ),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tp.simulate_shop(**{**_TWO, **changes})


def test_arguments_of_a_twin_are_checked(shop: tp.Shop) -> None:
    with pytest.raises(InputError, match="an argument of twin is 'size'; it must be one of 'seed'"):
        shop.twin(size=10)
    with pytest.raises(InputError, match="days is 0"):
        shop.twin(days=0)
    with pytest.raises(InputError, match=r"goods is None; pass ShopGoods\(...\)"):
        shop.twin(goods=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": "radio"}, "channel is 'radio'; it must be one of 'page', 'chat', 'sms'"),
        ({"channel": None}, "channel is None"),
        ({"channel": "sms", "coupon": 1.0}, "coupon is 1.0; it must be < 1"),
        ({"channel": "sms", "coupon": -0.1}, "coupon is -0.1; it must be >= 0"),
        ({"channel": "sms", "coupon": "deep"}, "coupon is 'deep'"),
        ({"channel": "sms", "horizon": 0}, "horizon is 0"),
        ({"channel": "sms", "horizon": 1.5}, "horizon is 1.5"),
        ({"channel": "sms", "latest": -1}, "latest is -1"),
    ],
)
def test_arguments_of_best_contact_days_are_checked(
    shop: tp.Shop, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shop.best_contact_days(**arguments)


def test_a_shop_without_contacts_has_no_best_days(shop: tp.Shop) -> None:
    with pytest.raises(InputError, match=r"no contacts; simulate it with contacts=ShopContacts"):
        shop.twin(contacts=None).best_contact_days("sms")


def test_numbers_and_dates_of_other_types_are_taken(shop: tp.Shop) -> None:
    same = tp.simulate_shop(
        np.int64(4),  # type: ignore[arg-type]
        n_customers=np.float64(300),  # type: ignore[arg-type]
        days=np.int16(150),  # type: ignore[arg-type]
        start=dt.date(2024, 1, 1),  # type: ignore[arg-type]
        horizon=np.uint8(90),  # type: ignore[arg-type]
    )
    assert_same(same, shop)
    assert same.call == shop.call
    dates = pd.date_range("2024-02-01", periods=2)
    looks = shop.twin(snapshots=dates).truth.snapshots
    assert set(looks["date"]) == set(dates)
    assert len(shop.best_contact_days("sms", horizon=np.int32(20), latest=np.int64(9))) == 300  # type: ignore[arg-type]


def test_the_shop_says_what_it_holds(shop: tp.Shop) -> None:
    said = repr(shop)
    assert said.startswith(f"Shop(300 customers, {len(shop.orders):,} orders, ")
    assert said.endswith(f"{len(shop.visits):,} visits, {len(shop.reviews):,} reviews)")


# --- best days -----------------------------------------------------------------------------------


def test_best_days_have_dates_and_values(shop: tp.Shop) -> None:
    days = shop.best_contact_days("chat", horizon=30, latest=60)
    assert list(days) == ["day", "date", "value"]
    np.testing.assert_array_equal(days.index, shop.customers["customer_id"])
    none = days["day"].isna()
    assert none.any()
    assert not none.all()
    np.testing.assert_array_equal(none, days["date"].isna())
    assert (days["value"][none] == 0).all()
    assert (days["value"][~none] > 0).all()
    assert days["day"].dropna().between(0, 60).all()
    last = shop.orders.groupby("customer_id")["time"].max().dt.normalize()
    expected = last + pd.to_timedelta(days["day"], unit="D")
    pd.testing.assert_series_equal(
        days["date"], expected, check_names=False, check_index_type=False
    )


def test_best_days_do_not_see_the_dirt(shop: tp.Shop) -> None:
    dirty = shop.twin(dirt=tp.ShopDirt(null_times=0.3, future_rows=0.3))
    expected = shop.best_contact_days("email")
    pd.testing.assert_frame_equal(dirty.best_contact_days("email"), expected)


def test_a_channel_without_effect_is_worth_nothing(shop: tp.Shop) -> None:
    assert shop.best_contact_days("social")["day"].isna().all()
    cheap, dear = (shop.best_contact_days("sms", coupon=depth)["value"] for depth in (0.0, 0.3))
    assert (dear <= cheap + 1e-9).all()
    assert dear.sum() < cheap.sum()


# --- strange shops -------------------------------------------------------------------------------

# Warnings are errors here, numpy's of a division by zero, an overflow and an invalid value too.
_ONE_SEGMENT = tp.ShopSegment(name="one", share=1.0)
_BUSY = replace(_ONE_SEGMENT, r=50.0, alpha=1.0, a=1.0, b=1000.0)
_HUBEI = tp.ShopProvince(name="Hubei", share=1.0, cities={"Wuhan": 1.0})
_EFFECTS = [
    tp.ShopChannel(name=f"{'up' if effect > 0 else 'down'}{number}", rate=15, effect=effect)
    for number in range(3)
    for effect in (5.0, -5.0)
]
STRANGE: dict[str, dict[str, Any]] = {
    "one customer": {"n_customers": 1},
    "one day": {"days": 1},
    "one customer on one day": {"n_customers": 1, "days": 1},
    "a window shorter than the outcomes": {"days": 10, "outcome_days": 50},
    "a window as long as the outcomes": {"days": 10, "outcome_days": 10},
    "outcomes of the first day alone": {"days": 10, "outcome_days": 9},
    "outcomes of one customer": {"seed": 5, "n_customers": 1, "days": 40, "outcome_days": 20},
    "looks at both ends": {"days": 10, "snapshots": ("2024-01-01", "2024-01-11")},
    "one month": {"arrivals": tp.ShopArrivals(months=(0, 1, *(0,) * 10))},
    "an empty segment": {
        "arrivals": tp.ShopArrivals(
            segments=(_ONE_SEGMENT, replace(_ONE_SEGMENT, name="none", share=0.0))
        )
    },
    "one of each": {
        "arrivals": tp.ShopArrivals(
            segments=(_ONE_SEGMENT,), provinces=(_HUBEI,), channels={"search": 1.0}
        ),
        "goods": tp.ShopGoods(products=(tp.ShopProduct(name="tea", share=1.0),)),
        "contacts": tp.ShopContacts(channels=(tp.ShopChannel(name="sms"),)),
        "visits": tp.ShopVisits(sources={"app": 1.0}),
        "parcels": tp.ShopParcels(
            carriers=(tp.ShopCarrier(name="only", share=1.0, lead_days=2.0, sigma=0.3),), delays=()
        ),
    },
    "50 orders a day": {"arrivals": tp.ShopArrivals(segments=(_BUSY,)), "n_customers": 10},
    "50 orders a day and outcomes": {
        "arrivals": tp.ShopArrivals(segments=(_BUSY,)),
        "n_customers": 5,
        "days": 20,
        "outcome_days": 5,
    },
    "deep discounts": {
        "discounts": tp.ShopDiscounts(
            promotions=(tp.ShopPromotion(name="all", month=0, day=5, days=9, depth=0.99),),
            moved=1.0,
        ),
        "arrivals": tp.ShopArrivals(segments=(replace(_ONE_SEGMENT, discount_response=6.0),)),
    },
    "strong effects": {
        "contacts": tp.ShopContacts(channels=tuple(_EFFECTS), fatigue=0, control=0),
        "outcome_days": 10,
    },
    "deep coupons": {
        "contacts": contacts_with(coupon=0.99, coupon_share=1.0),
        "arrivals": tp.ShopArrivals(segments=(replace(_ONE_SEGMENT, discount_response=6.0),)),
        "outcome_days": 10,
    },
    "no opportunity": {
        "contacts": tp.ShopContacts(channels=(tp.ShopChannel(name="sms", rate=1e-9),)),
        "outcome_days": 10,
    },
    "a channel on visits without visits": {
        "contacts": tp.ShopContacts(
            channels=(tp.ShopChannel(name="page", audience="visit", rate=1),)
        ),
        "visits": None,
    },
    "a channel in parcels without parcels": {
        "contacts": tp.ShopContacts(
            channels=(tp.ShopChannel(name="leaflet", audience="parcel", rate=1),)
        ),
        "parcels": None,
    },
    "nothing is paid": {"payments": tp.ShopPayments(at_once=0, never=1), "days": 60},
    "everything is late, loud and sent back": {
        "parcels": tp.ShopParcels(promise=0.01, late_loss=50, care=0),
        "reviews": tp.ShopReviews(share=1, share_late=1, late_penalty=5, loss=50, reply_negative=0),
        "goods": tp.ShopGoods(products=(tp.ShopProduct(name="tea", share=1.0, returned=1.0),)),
    },
    "always again": {"goods": tp.ShopGoods(again=1.0)},
    "16 stages": {
        "arrivals": tp.ShopArrivals(segments=(replace(_ONE_SEGMENT, regularity=16, r=40),))
    },
    "everybody leaves": {
        "arrivals": tp.ShopArrivals(segments=(replace(_ONE_SEGMENT, a=1000, b=1e-3),))
    },
    "nobody leaves": {
        "arrivals": tp.ShopArrivals(segments=(replace(_ONE_SEGMENT, a=1e-3, b=1000),))
    },
    "far away": {"start": "2200-12-31", "days": 30},
    "a leap day": {"start": "2024-02-29", "days": 1, "n_customers": 3},
    "all dirt": {
        "dirt": tp.ShopDirt(
            duplicates=0.5, null_ids=0.5, null_times=0, null_amounts=0, future_rows=0
        )
    },
}


@pytest.mark.parametrize("changes", STRANGE.values(), ids=STRANGE)
def test_strange_shops_stand(changes: dict[str, Any]) -> None:
    call = {"seed": 2, "n_customers": 60, "days": 100, "snapshots": (START,), **changes}
    if call.get("start", START) != START:
        call["snapshots"] = (call["start"],)
    shop = tp.simulate_shop(**call)
    assert len(shop.customers) == call["n_customers"]
    clean = shop if shop.call["dirt"] is None else shop.twin(dirt=None)
    counts = clean.orders["customer_id"].value_counts()
    assert len(counts) == call["n_customers"]
    truth = shop.truth.customers
    assert np.isfinite(truth[["rate", "dropout", "mean_value"]]).all(axis=None)
    assert np.isfinite(clean.orders[["list_amount", "amount", "margin"]]).all(axis=None)
    assert (clean.orders["amount"] >= 0).all()
    end = clean.call["start"] + call["days"] * DAY
    assert clean.orders["time"].between(clean.call["start"], end, inclusive="left").all()
    if call.get("outcome_days", call["days"]) >= call["days"]:
        assert shop.truth.other_orders.empty


def test_many_orders_a_day_are_as_many_as_the_rate_says() -> None:
    arrivals = tp.ShopArrivals(segments=(replace(_BUSY, a=1e-3, b=1e6),))
    shop = tp.simulate_shop(
        seed=1,
        n_customers=40,
        days=30,
        arrivals=arrivals,
        goods=tp.ShopGoods(again=0),
        **dict.fromkeys(OFF),
    )
    end = START + 30 * DAY
    exposure = (end - shop.customers["registered_at"]) / DAY
    expected = (exposure * shop.truth.customers["rate"]).sum()
    # The first orders come besides; a Poisson count, four standard errors.
    assert abs(len(shop.orders) - 40 - expected) < 4 * np.sqrt(expected)
    by_day = shop.orders.groupby(["customer_id", shop.orders["time"].dt.normalize()]).size()
    assert by_day.max() > 40


def test_nobody_arrives_outside_of_the_only_month() -> None:
    shop = tp.simulate_shop(
        seed=1, n_customers=50, days=366, arrivals=tp.ShopArrivals(months=(0, 1, *(0,) * 10))
    )
    assert set(shop.customers["registered_at"].dt.month) == {2}


def test_an_outcome_of_the_first_day_alone_is_known() -> None:
    campaign = tp.ShopCampaign(name="opening", channel="sms", day=0)
    shop = tp.simulate_shop(
        seed=2,
        n_customers=300,
        days=10,
        contacts=replace(contacts_with(rate=1.0), campaigns=(campaign,)),
        outcome_days=9,
    )
    known = shop.truth.contacts["orders_contacted"].notna()
    np.testing.assert_array_equal(known, shop.contacts["time"] < START + DAY)
    assert known.any()
    assert not known.all()


def test_coupons_beyond_any_calendar_are_refused_or_kept() -> None:
    # 10**9 days are some 2.7 million years: the end must not wrap around.
    for days in (10**9, 10**10):
        try:
            contacts = contacts_with(coupon=0.2, coupon_share=1.0, coupon_days=days)
            shop = tp.simulate_shop(seed=1, n_customers=60, days=30, contacts=contacts)
        except InputError:
            continue
        known = shop.contacts[shop.contacts["coupon_until"].notna()]
        assert (known["coupon_until"] > known["time"]).all()


def test_limits_beyond_any_calendar_are_refused_or_kept() -> None:
    for days in (1e8, 1e300):
        try:
            shop = tp.simulate_shop(
                **_TWO, contacts=None, payments=tp.ShopPayments(limit_days=days)
            )
        except InputError:
            continue
        due = shop.payments["due_at"]
        assert (due.isna() | (due.to_numpy() > shop.orders["time"].to_numpy())).all()


# --- any settings --------------------------------------------------------------------------------

_ON = {
    "seasons": tp.ShopSeasons(),
    "discounts": tp.ShopDiscounts(),
    "visits": tp.ShopVisits(),
    "contacts": contacts_with(rate=1.0),
    "payments": tp.ShopPayments(),
    "parcels": tp.ShopParcels(),
    "reviews": tp.ShopReviews(),
}


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of small shops, with some processes off."""
    segment = tp.ShopSegment(
        name="any",
        share=1.0,
        regularity=draw(st.integers(1, 16)),
        r=draw(st.floats(0.1, 50)),
        alpha=draw(st.floats(1, 1000)),
        a=draw(st.floats(0.01, 100)),
        b=draw(st.floats(0.01, 100)),
        discount_response=draw(st.floats(0, 8)),
        discount_only=draw(st.booleans()),
    )
    processes = {name: value if draw(st.booleans()) else None for name, value in _ON.items()}
    return {
        "seed": draw(st.integers(0, 2**40)),
        "n_customers": 30,
        "days": 60,
        "start": draw(st.dates(dt.date(2020, 1, 1), dt.date(2030, 12, 31))),
        "arrivals": tp.ShopArrivals(segments=(segment,)),
        **processes,
    }


@settings(max_examples=10, deadline=None)
@given(calls())
def test_any_shop_agrees_with_itself(call: dict[str, Any]) -> None:
    shop = tp.simulate_shop(**call)
    orders = shop.orders
    start = pd.Timestamp(call["start"])
    assert orders["time"].between(start, start + 60 * DAY, inclusive="left").all()
    assert orders["time"].is_monotonic_increasing
    first = orders.groupby("customer_id")["time"].min()
    np.testing.assert_array_equal(first, shop.customers["registered_at"])
    known = shop.truth.customers.dropna(subset="left_at")
    left = orders.merge(known[["customer_id", "left_at"]], on="customer_id")
    assert (left["time"] <= left["left_at"] + DAY / 8).all()
    paid = set(orders["order_id"][orders["status"] == "paid"])
    assert set(shop.parcels["order_id"]) <= paid
    assert set(shop.reviews["order_id"]) <= paid
    assert (orders["margin"][orders["status"] != "paid"] == 0).all()
    assert (orders["discount"] < 1).all()
    for _, frame in tables_of(shop):
        times = frame.select_dtypes("datetime")
        assert (times.isna() | (times >= start)).all(axis=None)


@settings(max_examples=8, deadline=None)
@given(calls(), st.integers(1, 29))
def test_blocks_of_any_size_change_nothing(call: dict[str, Any], size: int) -> None:
    whole = tp.simulate_shop(**call)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop_module, "_BLOCK", size)
        parts = tp.simulate_shop(**call)
    # Rows of one second may change places, and with them their ids.
    for name, ids in (
        ("customers", []),
        ("orders", ["order_id", "coupon_contact_id"]),
        ("visits", []),
        ("contacts", ["contact_id"]),
        ("parcels", ["parcel_id", "order_id"]),
        ("reviews", ["review_id", "order_id"]),
    ):
        one, other = (
            frame.drop(columns=[column for column in ids if column in frame])
            .astype("str")
            .pipe(lambda rows: rows.sort_values(list(rows)).reset_index(drop=True))
            for frame in (getattr(whole, name), getattr(parts, name))
        )
        pd.testing.assert_frame_equal(one, other, obj=name)


# --- use by the library --------------------------------------------------------------------------


def test_summaries_of_orders(shop: tp.Shop) -> None:
    summary = tp.rfm_summary(shop.orders, time="time", until="2024-05-29", unit="D")
    orders = shop.orders.assign(day=shop.orders["time"].dt.normalize())
    days = orders.groupby("customer_id")["day"].agg(["nunique", "min", "max"])
    np.testing.assert_array_equal(summary.index, days.index)
    np.testing.assert_array_equal(summary["frequency"], days["nunique"] - 1)
    np.testing.assert_array_equal(summary["recency"], (days["max"] - days["min"]) / DAY)
    np.testing.assert_array_equal(summary["T"], (pd.Timestamp("2024-05-29") - days["min"]) / DAY)


def test_the_report_on_a_dirty_log_is_the_list_of_its_dirt(shop: tp.Shop) -> None:
    shares = {
        "duplicates": 0.06,
        "null_ids": 0.05,
        "null_times": 0.04,
        "null_amounts": 0.05,
        "future_rows": 0.04,
    }
    dirty = shop.twin(dirt=tp.ShopDirt(**shares))
    report = tp.check_transactions(dirty.orders, time="time", order="order_id")
    counts = dirty.truth.dirt["kind"].value_counts()
    assert set(counts.index) == set(shares)
    assert report.rows == len(dirty.orders) == len(shop.orders) + counts["duplicates"]
    assert report.duplicate_rows == counts["duplicates"]
    assert report.null_customer == counts["null_ids"]
    assert report.null_time == counts["null_times"]
    assert report.null_amount == counts["null_amounts"]
    assert report.future_rows == counts["future_rows"]
    clean = tp.check_transactions(shop.orders, time="time", order="order_id")
    assert clean.usable_rows == clean.rows == len(shop.orders)


def test_indicators_of_paid_orders(shop: tp.Shop) -> None:
    paid = shop.orders[shop.orders["status"] == "paid"]
    at = pd.Timestamp("2024-04-30")
    frame = tp.behaviour_indicators(
        paid, at=at, time="time", order="order_id", discount="discount", category="product"
    )
    seen = paid[paid["time"] < at + DAY]
    assert set(frame.index) == set(seen["customer_id"])
    assert frame.shape[1] > 300


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_frames_survive_parquet(shop: tp.Shop, tmp_path: Path, reader: str) -> None:
    # pyarrow forgets the type of a categorical without categories: give it a campaign.
    campaign = tp.ShopCampaign(name="May", channel="sms", day=125)
    more = shop.twin(
        contacts=tp.ShopContacts(campaigns=(campaign,)),
        outcome_days=20,
        snapshots=["2024-04-01"],
        dirt=tp.ShopDirt(),
    )
    for name, frame in tables_of(more):
        path = tmp_path / f"{name}.parquet"
        frame.to_parquet(path)
        if reader == "pandas":
            pd.testing.assert_frame_equal(pd.read_parquet(path), frame, obj=name)
            continue
        if reader == "polars":
            read: Any = pl.read_parquet(path)
            columns = {column: read[column].to_list() for column in read.columns}
        else:
            read = duckdb.sql(f"SELECT * FROM '{path}'")
            columns = dict(zip(read.columns, zip(*read.fetchall(), strict=True), strict=True))
        assert list(columns) == list(frame.columns), name
        for column, values in columns.items():
            expected = frame[column]
            assert len(values) == len(expected)
            missing = [value is None or value != value for value in values]
            np.testing.assert_array_equal(missing, expected.isna(), err_msg=f"{name}.{column}")
            known = [value for value, none in zip(values, missing, strict=True) if not none]
            assert known == expected.dropna().tolist(), f"{name}.{column}"
