"""Labels and moments that users pass."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from touchpoint_lib import (
    ContactMoney,
    InputError,
    ModifiedBetaGeoModel,
    contact_calendar,
    late_parcels,
    load_shop,
    payment_reminder,
    rfm_summary,
)
from touchpoint_lib.timing._columns import as_moment, check_labels

NAIVE = pd.Series(pd.to_datetime(["2025-01-01 08:00"]), name="shipped_at")


@pytest.mark.parametrize(
    "labels", [["a", "b"], [1, 2], pd.Categorical(["a"]), [True, False], NAIVE.to_list()]
)
def test_labels_of_one_type_pass(labels):
    check_labels("carrier", pd.Series(labels))


@pytest.mark.parametrize("labels", [["a", 1], [[1], [2]], [{"a": 1}, {"b": 2}]])
def test_labels_of_several_types_are_refused(labels):
    with pytest.raises(InputError, match="carrier holds labels of different types"):
        check_labels("carrier", pd.Series(labels))


@pytest.mark.parametrize("name", ["order_id", "customer_id", "source"])
def test_lists_as_labels_of_orders_are_refused(name):
    shop = load_shop()
    orders = shop.orders.head(100).astype({name: object})
    orders[name] = [[1]] * len(orders)
    with pytest.raises(InputError, match=f"{name} of orders holds labels of different types"):
        payment_reminder(orders, shop.payments)


@pytest.mark.parametrize("name", ["parcel_id", "carrier"])
def test_lists_as_labels_of_parcels_are_refused(name):
    parcels = load_shop().parcels.head(100).astype({name: object})
    parcels[name] = [[1]] * len(parcels)
    with pytest.raises(InputError, match=f"{name} holds labels of different types"):
        late_parcels(parcels)


def test_lists_as_customers_of_contacts_are_refused():
    shop = load_shop()
    customers = rfm_summary(shop.orders, time="time", unit="D")
    model = ModifiedBetaGeoModel().fit(customers)
    contacts = shop.contacts.head(100).astype({"customer_id": object})
    contacts["customer_id"] = [[1]] * len(contacts)
    money = ContactMoney(margin=10, win_back=0.1)
    with pytest.raises(InputError, match="customer_id of contacts holds labels"):
        contact_calendar(model, customers, money, contacts=contacts)


@pytest.mark.parametrize(
    "value",
    ["2025-02-01 12:30", dt.datetime(2025, 2, 1, 12, 30), np.datetime64("2025-02-01T12:30")],
)
def test_a_moment_may_be_given_in_several_ways(value):
    assert as_moment("until", value, NAIVE) == pd.Timestamp("2025-02-01 12:30")


def test_a_moment_is_told_in_the_zone_of_the_column():
    times = NAIVE.dt.tz_localize("Asia/Shanghai")
    moment = as_moment("until", "2025-02-01T00:00+00:00", times)
    assert str(moment) == "2025-02-01 08:00:00+08:00"


@pytest.mark.parametrize("value", [20250201, 1.5, None, "soon", pd.NaT, [1]])
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(InputError, match="until is "):
        as_moment("until", value, NAIVE)


def test_zones_must_agree():
    with pytest.raises(InputError, match="has a time zone; shipped_at has none"):
        as_moment("until", "2025-02-01T00:00+00:00", NAIVE)
    with pytest.raises(InputError, match="has no time zone; shipped_at has one"):
        as_moment("until", "2025-02-01", NAIVE.dt.tz_localize("UTC"))
