"""Orders with dates only: refused where they cannot be ordered, right by way of order_log."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError

START = pd.Timestamp("2025-01-01")
MODEL = tp.ModifiedBetaGeoModel.from_params([0.5, 6.2, 0.9, 1.6], unit="W")
REMEDY = r"which came first is not known; make orders with order_log\(\.\.\.\), which takes a date"


@pytest.fixture(scope="module")
def logs():
    """Return contacts at 10:00 of which 15 in 100 bring an order the same day, and the orders."""
    rng = np.random.default_rng(0)
    n = 3000
    customer = np.repeat(np.arange(n), 3)
    day = np.tile([60, 100, 140], n) + rng.integers(0, 20, 3 * n)
    held = rng.random(3 * n) < 0.4
    contacts = pd.DataFrame(
        {
            "customer_id": customer,
            "time": START + pd.to_timedelta(day * 24 + 10, "h"),
            "channel": "sms",
            "held_out": held,
            "cost": np.where(held, 0.0, 0.1),
        }
    )
    brought = ~held & (rng.random(3 * n) < 0.15)
    owner = np.repeat(np.arange(n), rng.poisson(rng.gamma(1.0, 2.0, n)))
    own = rng.integers(0, 200 * 24, len(owner))
    orders = pd.DataFrame(
        {
            "customer_id": np.concatenate([np.arange(n), owner, customer[brought]]),
            "time": START
            + pd.to_timedelta(
                np.concatenate([rng.integers(0, 24, n), own, day[brought] * 24 + 15]), "h"
            ),
            "amount": 30.0,
        }
    )
    return contacts, orders


def test_order_log_puts_the_orders_of_the_day_behind_the_contact(logs):
    contacts, orders = logs
    # As a file of dates has them.
    dates = tp.order_log(orders.assign(time=orders["time"].dt.normalize()))
    found = {}
    for name, log in (("times", orders), ("dates", dates)):
        history = tp.stage_history(log, MODEL)
        table = tp.touchpoint_matrix(contacts, log, history, window=30, margin=1.0).table
        found[name] = table[table["by"] == ""].iloc[0]
        pressure = tp.contact_pressure(contacts, log, window=10, margin="amount")
        assert pressure.caps["verdict"].iloc[-1] == "no limit seen"
    for row in found.values():
        assert row["orders_low"] < 150 < row["orders_high"]
    assert found["dates"]["orders_per_1000"] == pytest.approx(
        found["times"]["orders_per_1000"], abs=5
    )


def test_dates_alone_are_refused_where_the_order_is_not_known(logs):
    contacts, orders = logs
    dates = orders.assign(time=orders["time"].dt.normalize(), margin=1.0)
    history = tp.stage_history(orders, MODEL)
    for sent in (contacts, contacts.assign(time=contacts["time"].dt.normalize())):
        for call in (
            lambda sent=sent: tp.touchpoint_matrix(sent, dates, history, window=30),
            lambda sent=sent: tp.contact_pressure(sent, dates, window=30),
            lambda sent=sent: tp.attribution_credit(sent, dates),
            lambda sent=sent: tp.contact_paths(sent, dates),
        ):
            with pytest.raises(InputError, match=REMEDY):
                call()
    with pytest.raises(InputError, match=r"the day of the contact at index \d+ with its customer"):
        tp.contact_outcomes(contacts[contacts["time"] < "2025-05-01"], dates, window=30)


def test_dates_are_taken_where_no_contact_is_on_the_day_of_an_order(logs):
    contacts, orders = logs
    dates = orders.assign(time=orders["time"].dt.normalize())
    days = dates.assign(day=dates["time"])[["customer_id", "day"]].drop_duplicates()
    clash = contacts.assign(day=contacts["time"].dt.normalize()).merge(days)
    apart = contacts[~contacts["customer_id"].isin(clash["customer_id"])]
    assert 0 < len(apart) < len(contacts)
    assert tp.attribution_credit(apart, dates).attrs["conversions"] == len(dates)
    # At the last moment of its day a contact is known to come behind the order.
    late = contacts.assign(time=contacts["time"].dt.normalize() + pd.Timedelta("23:59:59.999999"))
    assert tp.attribution_credit(late, dates).attrs["conversions"] == len(dates)
