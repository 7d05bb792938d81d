"""Columns, types, ids and keys of all frames, and how blocks' parts become one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.simulate.test_tables import CONTACTS, TABLES, full_shop
from touchpoint_lib.simulate._assembly import Parts, order_sources
from touchpoint_lib.simulate.bundled import tables_of

IDS, TIMES, MONEY, WORDS = "int32", "datetime64[us]", "float64", "category"
#: Columns and types of each table; of a truth with all its options on.
SCHEMA: dict[str, dict[str, str]] = {
    "customers": {
        "customer_id": IDS,
        "registered_at": TIMES,
        "channel": WORDS,
        "province": WORDS,
        "city": WORDS,
        "control_group": "bool",
        "consent_chat": "bool",
        "consent_sms": "bool",
        "consent_email": "bool",
        "consent_social": "bool",
    },
    "orders": {
        "order_id": IDS,
        "customer_id": IDS,
        "time": TIMES,
        "source": WORDS,
        "product": WORDS,
        "list_amount": MONEY,
        "discount": "float64",
        "amount": MONEY,
        "margin": MONEY,
        "flash_sale": "bool",
        "gift": "bool",
        "status": WORDS,
        "returned_at": TIMES,
        "coupon_contact_id": "Int64",
    },
    "payments": {
        "order_id": IDS,
        "customer_id": IDS,
        "due_at": TIMES,
        "reminded_at": TIMES,
        "held_out": "bool",
        "paid_at": TIMES,
        "cancelled_at": TIMES,
    },
    "parcels": {
        "parcel_id": IDS,
        "order_id": IDS,
        "customer_id": IDS,
        "carrier": WORDS,
        "province": WORDS,
        "shipped_at": TIMES,
        "promised_at": TIMES,
        "delivered_at": TIMES,
        "cared_at": TIMES,
        "held_out": "bool",
    },
    "scans": {"parcel_id": IDS, "time": TIMES, "event": WORDS},
    "contacts": {
        "contact_id": IDS,
        "customer_id": IDS,
        "time": TIMES,
        "channel": WORDS,
        "campaign": WORDS,
        "held_out": "bool",
        "cost": MONEY,
        "coupon": "float64",
        "coupon_until": TIMES,
        "opened": "bool",
        "clicked": "bool",
        "unsubscribed": "bool",
    },
    "visits": {"customer_id": IDS, "time": TIMES, "source": WORDS},
    "reviews": {
        "review_id": IDS,
        "order_id": IDS,
        "customer_id": IDS,
        "time": TIMES,
        "rating": "int8",
        "text": WORDS,
        "replied_at": TIMES,
        "reply": WORDS,
    },
    "truth_customers": {
        "customer_id": IDS,
        "person": IDS,
        "segment": WORDS,
        "regularity": "int16",
        "rate": "float64",
        "dropout": "float64",
        "mean_value": MONEY,
        "last_purchase_at": TIMES,
        "left_at": TIMES,
    },
    "truth_payments": {"order_id": IDS, "own_paid_at": TIMES},
    "truth_parcels": {
        "parcel_id": IDS,
        "delivered_at": TIMES,
        "late": "bool",
        "delay_factor": "float64",
        "loss": "float64",
    },
    "truth_reviews": {"review_id": IDS, "late": "bool", "loss": "float64"},
    "truth_contacts": {
        "contact_id": IDS,
        "alive": "bool",
        "recent_contacts": "int16",
        "log_hazard": "float64",
        "orders_contacted": "float64",
        "orders_held_out": "float64",
        "margin_contacted": MONEY,
        "margin_held_out": MONEY,
    },
    "truth_other_orders": {"contact_id": IDS, "time": TIMES, "margin": MONEY},
    "truth_channels": {
        "channel": "str",
        "effect": "float64",
        "decay": "float64",
        "opportunities": "int64",
        "contacts": "int64",
        "followed": "int64",
        "incremental_orders": "float64",
        "incremental_margin": MONEY,
        "incremental_share": "float64",
    },
    "truth_snapshots": {
        "date": TIMES,
        "customer_id": IDS,
        "alive": "bool",
        "silence": "float64",
        "purchases": "int64",
        "recent_contacts": "int64",
        "probability_alive": "float64",
        "own_return": "float64",
    },
    "truth_dirt": dict.fromkeys(["table", "row", "column", "kind", "original"], "object"),
    "truth_leaks": dict.fromkeys(["table", "column", "why"], "object"),
}
#: Columns that are there with contacts, or with ``outcome_days``, only.
WITH_CONTACTS = {
    "customers": {"control_group", *(name for name in SCHEMA["customers"] if "consent" in name)},
    "orders": {"coupon_contact_id"},
}
WITH_OUTCOMES = {
    "truth_contacts": {
        "orders_contacted",
        "orders_held_out",
        "margin_contacted",
        "margin_held_out",
    },
    "truth_channels": {"followed", "incremental_orders", "incremental_margin", "incremental_share"},
}


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return dict(tables_of(full_shop()))


# --- columns -------------------------------------------------------------------------------------


def test_there_are_no_other_tables(frames: dict[str, pd.DataFrame]) -> None:
    assert list(frames) == list(SCHEMA)


@pytest.mark.parametrize("table", SCHEMA)
def test_columns_and_types(frames: dict[str, pd.DataFrame], table: str) -> None:
    frame = frames[table]
    assert sorted(frame.columns) == sorted(SCHEMA[table])
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == SCHEMA[table]
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame.index.equals(pd.RangeIndex(len(frame)))


def _said_of(record: type, table: str) -> str:
    """Return what the parameters of a docstring say of one table."""
    parameters = (record.__doc__ or "").split("Parameters\n")[1]
    return re.split(r"\n    (?=\w)", parameters.split(f"\n    {table}\n")[1])[0]


@pytest.mark.parametrize("table", SCHEMA)
def test_every_column_is_documented(table: str) -> None:
    record = tp.ShopTruth if table.startswith("truth_") else tp.Shop
    said = _said_of(record, table.removeprefix("truth_"))
    for name in SCHEMA[table]:
        word = "consent_*" if name.startswith("consent_") else name
        assert re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", said), name


@pytest.mark.parametrize("table", SCHEMA)
def test_a_shop_without_processes_has_empty_tables_with_the_columns(table: str) -> None:
    bare = tp.simulate_shop(
        seed=1,
        n_customers=40,
        days=30,
        **dict.fromkeys(
            ["seasons", "discounts", "visits", "contacts", "payments", "parcels", "reviews"]
        ),
    )
    frame = dict(tables_of(bare))[table]
    columns = set(SCHEMA[table]) - WITH_CONTACTS.get(table, set())
    assert set(frame.columns) == columns - WITH_OUTCOMES.get(table, set())
    assert (len(frame) > 0) == (table in ("customers", "orders", "truth_customers"))
    # A table without rows has the types of a full one.
    if table not in ("truth_dirt", "truth_leaks"):
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
            name: kind for name, kind in SCHEMA[table].items() if name in frame
        }


@pytest.mark.parametrize("days", [20, 60])
@pytest.mark.parametrize("table", ["truth_contacts", "truth_channels", "truth_other_orders"])
def test_outcome_columns_do_not_depend_on_luck(table: str, days: int) -> None:
    # In 20 days no window of 30 days ends: all outcomes are missing.
    shop = tp.simulate_shop(seed=1, n_customers=100, days=days, outcome_days=30)
    assert set(dict(tables_of(shop))[table]) == set(SCHEMA[table])
    assert len(shop.contacts) > 20
    assert shop.truth.contacts["orders_contacted"].notna().any() == (days > 30)


# --- ids and keys --------------------------------------------------------------------------------

#: The time by which each table's ids count.
CLOCKS = {
    "customers": ("customer_id", "registered_at"),
    "orders": ("order_id", "time"),
    "contacts": ("contact_id", "time"),
    "reviews": ("review_id", "time"),
}


@pytest.mark.parametrize("table", CLOCKS)
def test_ids_count_in_the_order_of_time(frames: dict[str, pd.DataFrame], table: str) -> None:
    key, clock = CLOCKS[table]
    frame = frames[table]
    np.testing.assert_array_equal(frame[key], np.arange(1, len(frame) + 1))
    assert frame[clock].is_monotonic_increasing


def test_payments_parcels_and_visits_have_an_order(frames: dict[str, pd.DataFrame]) -> None:
    np.testing.assert_array_equal(frames["payments"]["order_id"], frames["orders"]["order_id"])
    parcels = frames["parcels"]
    np.testing.assert_array_equal(parcels["parcel_id"], np.arange(1, len(parcels) + 1))
    assert parcels["order_id"].is_monotonic_increasing
    assert frames["visits"]["time"].is_monotonic_increasing
    other = frames["truth_other_orders"]
    assert other["contact_id"].is_monotonic_increasing
    later = other.groupby("contact_id")["time"].diff().dropna()
    assert (later >= pd.Timedelta(0)).all()
    for name, key in (
        ("customers", "customer_id"),
        ("payments", "order_id"),
        ("parcels", "parcel_id"),
        ("reviews", "review_id"),
        ("contacts", "contact_id"),
    ):
        np.testing.assert_array_equal(frames[f"truth_{name}"][key], frames[name][key])


def test_parcel_ids_count_in_the_order_of_time(frames: dict[str, pd.DataFrame]) -> None:
    # "ids count from 1 in the order of time": of the orders that the parcels belong to.
    times = frames["orders"].set_index("order_id")["time"].loc[frames["parcels"]["order_id"]]
    assert times.is_monotonic_increasing


@pytest.mark.parametrize(
    ("table", "key", "home"),
    [
        (table, key, home)
        for table, columns in SCHEMA.items()
        for key, home in (
            ("customer_id", "customers"),
            ("order_id", "orders"),
            ("parcel_id", "parcels"),
            ("contact_id", "contacts"),
        )
        if key in columns and table != home
    ],
)
def test_keys_point_to_rows(
    frames: dict[str, pd.DataFrame], table: str, key: str, home: str
) -> None:
    assert len(frames[table])
    assert frames[table][key].isin(frames[home][key]).all()


@pytest.mark.parametrize("table", ["payments", "parcels", "reviews"])
def test_the_customer_is_that_of_the_order(frames: dict[str, pd.DataFrame], table: str) -> None:
    owners = frames["orders"].set_index("order_id")["customer_id"]
    np.testing.assert_array_equal(
        frames[table]["customer_id"], owners.loc[frames[table]["order_id"]]
    )


def test_categories_are_those_of_the_settings(frames: dict[str, pd.DataFrame]) -> None:
    arrivals, goods, parcels = tp.ShopArrivals(), tp.ShopGoods(), tp.ShopParcels()
    sources = order_sources(tp.ShopVisits(), CONTACTS)
    expected: dict[tuple[str, str], list[str]] = {
        ("customers", "channel"): list(arrivals.channels),
        ("customers", "province"): [one.name for one in arrivals.provinces],
        ("truth_customers", "segment"): [one.name for one in arrivals.segments],
        ("orders", "product"): [one.name for one in goods.products],
        ("orders", "source"): sources,
        ("visits", "source"): sources,
        ("parcels", "carrier"): [one.name for one in parcels.carriers],
        ("contacts", "channel"): [one.name for one in CONTACTS.channels],
        ("contacts", "campaign"): [one.name for one in CONTACTS.campaigns],
    }
    for (table, column), names in expected.items():
        assert list(frames[table][column].cat.categories) == names
        assert frames[table][column].cat.categories.dtype == "str"


def test_only_what_may_be_unknown_is_missing(frames: dict[str, pd.DataFrame]) -> None:
    may_be = {
        ("orders", "returned_at"),
        ("orders", "coupon_contact_id"),
        ("payments", "reminded_at"),
        ("payments", "paid_at"),
        ("payments", "cancelled_at"),
        ("parcels", "delivered_at"),
        ("parcels", "cared_at"),
        ("contacts", "campaign"),
        ("contacts", "coupon_until"),
        ("reviews", "replied_at"),
        ("reviews", "reply"),
        ("truth_customers", "left_at"),
        ("truth_payments", "own_paid_at"),
        *(("truth_contacts", name) for name in WITH_OUTCOMES["truth_contacts"]),
    }
    missing = {
        (table, name)
        for table, frame in frames.items()
        for name in frame
        if frame[name].isna().any()
    }
    assert missing == may_be


# --- parts ---------------------------------------------------------------------------------------


def _tables(times: list[int], rows: list[int]) -> dict[str, dict[str, Any]]:
    return {
        "orders": {"time": np.array(times), "coupon_row": np.array(rows, dtype=np.int32)},
        "contacts": {"place": np.arange(3)},
        "parcels": {"order_row": np.array([0, len(times) - 1], dtype=np.int32)},
    }


def test_rows_of_blocks_become_rows_of_the_whole() -> None:
    parts = Parts()
    parts.add(_tables([5, 7], [-1, 2]), [])
    parts.add(_tables([1, 9, 3], [0, -1, 1]), [])
    assert "orders" in parts
    assert "reviews" not in parts
    assert parts.columns("orders") == ["time", "coupon_row"]
    assert parts.take("orders", "time").tolist() == [5, 7, 1, 9, 3]
    assert parts.columns("orders") == ["coupon_row"]
    # Three contacts and two orders came before; -1 stays "none".
    assert parts.take("orders", "coupon_row").tolist() == [-1, 2, 3, -1, 4]
    assert parts.take("parcels", "order_row").tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_parts_grow_with_blocks_of_any_size(blocks: int) -> None:
    parts, sizes = Parts(blocks), [2, 1, 40, 0, 300]
    for number, size in enumerate(sizes):
        parts.add({"orders": {"time": np.full(size, number)}}, [])
    expected = np.repeat(np.arange(len(sizes)), sizes)
    np.testing.assert_array_equal(parts.take("orders", "time"), expected)


def test_sources_are_visits_then_channels() -> None:
    channels = [channel.name for channel in CONTACTS.channels]
    own = list(tp.ShopVisits().sources)
    assert order_sources(tp.ShopVisits(), CONTACTS) == own + channels
    assert order_sources(tp.ShopVisits(), None) == own
    assert order_sources(None, CONTACTS) == ["shop", *channels]
    assert order_sources(None, None) == ["shop"]


def test_every_table_is_in_the_schema() -> None:
    assert [name for name in SCHEMA if not name.startswith("truth_")] == TABLES
