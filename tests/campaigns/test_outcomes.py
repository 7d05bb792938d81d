"""Outcomes of contacts: against plain loops over small logs, and the truth of the bundled shop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.campaigns.outcomes import contact_outcomes

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2025-01-01")


def in_hours(hours: Any) -> Any:
    return START + pd.to_timedelta(np.asarray(hours, dtype=np.int64), unit="h")


def small() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return three contacts of two customers, and their orders."""
    contacts = pd.DataFrame(
        {
            "customer_id": [7, 5, 7],
            "time": in_hours([24, 48, 96]),
            "held_out": [False, True, False],
            "campaign": ["a", "b", "a"],
        },
        index=["x", "y", "z"],
    )
    orders = pd.DataFrame(
        {
            "customer_id": [7, 5, 7, 7, 5, 7],
            "time": in_hours([120, 0, 24, 0, 96, 240]),
            "amount": [5.0, 7.0, 1.0, 2.0, 8.0, 100.0],
        }
    )
    return contacts, orders


def plain(
    contacts: pd.DataFrame, orders: pd.DataFrame, window: float, before: float
) -> pd.DataFrame:
    """Return the outcomes by a loop over the contacts."""
    rows = []
    for contact in contacts.itertuples():
        own = orders[orders["customer_id"] == contact.customer_id]
        after = own[(own["time"] > contact.time) & (own["time"] <= contact.time + window * DAY)]
        past = own[own["time"] <= contact.time]
        recent = past if before == 0 else past[past["time"] > contact.time - before * DAY]
        rows.append(
            {
                "orders": len(after),
                "amount": after["amount"].sum(),
                "silence": (contact.time - past["time"].max()) / DAY,
                "age": (contact.time - past["time"].min()) / DAY,
                "orders_before": len(recent),
                "amount_before": recent["amount"].sum(),
            }
        )
    return pd.DataFrame(rows, index=contacts.index)


# --- what is counted ----------------------------------------------------------------------------


def test_a_row_a_contact_with_the_bounds_of_the_window() -> None:
    contacts, orders = small()
    data = contact_outcomes(
        contacts, orders, window=4, amounts=["amount"], keep=["campaign"], until="2025-01-12"
    )
    expected = pd.DataFrame(
        {
            "customer_id": [7, 5, 7],
            "time": contacts["time"],
            "campaign": ["a", "b", "a"],
            "arm": ["contacted", "held out", "contacted"],
            # The order at the very moment of the contact was before it, the one after exactly 4
            # days within the window.
            "orders": [1, 1, 1],
            "amount": [5.0, 8.0, 5.0],
            "silence": [0.0, 2.0, 3.0],
            "age": [1.0, 2.0, 4.0],
            "orders_before": [2, 1, 2],
            "amount_before": [3.0, 7.0, 3.0],
        },
        index=["x", "y", "z"],
    )
    pd.testing.assert_frame_equal(data, expected)
    assert data.attrs == {"window": 4.0, "before": 0.0, "until": "2025-01-12 23:59:59.999999"}


def test_the_days_before_end_at_the_contact() -> None:
    contacts, orders = small()
    data = contact_outcomes(contacts, orders, window=4, before=1, amounts=["amount"])
    # An order exactly a day before is outside.
    assert data["orders_before"].tolist() == [1, 0, 0]
    assert data["amount_before"].tolist() == [1.0, 0.0, 0.0]
    assert data["silence"].tolist() == [0.0, 2.0, 3.0]
    assert data.attrs["until"] == str(orders["time"].max())


logs = st.lists(st.tuples(st.integers(0, 3), st.integers(-60, 60)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    contacts=st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 40)), min_size=1, max_size=12),
    orders=logs,
    window=st.sampled_from([0.25, 1, 2]),
    before=st.sampled_from([0, 0.5, 1, 1e9, 1e300]),
    text=st.booleans(),
    zone=st.sampled_from([None, "Asia/Shanghai"]),
    unit=st.sampled_from(["s", "us", "ns"]),
)
def test_it_is_what_a_loop_over_the_contacts_gives(
    contacts: list[tuple[int, int]],
    orders: list[tuple[int, int]],
    window: float,
    before: float,
    text: bool,
    zone: str | None,
    unit: Any,
) -> None:
    # Everybody has a first order; ids, zones and units of time differ, the result does not.
    log = pd.DataFrame(
        [*orders, *((who, -60) for who in range(4))], columns=["customer_id", "time"]
    )
    log["time"] = in_hours(log["time"])
    log["amount"] = np.random.default_rng(len(log)).normal(10, 20, len(log))
    made = pd.DataFrame(contacts, columns=["customer_id", "time"])
    made["time"] = in_hours(made["time"])
    made["held_out"] = made["time"].dt.hour % 2 == 0
    expected = plain(made, log, window, min(before, 1000))
    if text:
        log["customer_id"] = pd.Categorical("c" + log["customer_id"].astype(str))
        made["customer_id"] = "c" + made["customer_id"].astype(str)
    for frame in (log, made):
        frame["time"] = frame["time"].dt.tz_localize(zone)
    made["time"] = made["time"].dt.as_unit(unit)
    until = START.tz_localize(zone) + 100 * DAY
    found = contact_outcomes(
        made, log, window=window, before=before, amounts=["amount"], until=until
    )
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-9, atol=1e-9)
    assert (found["arm"] == "held out").equals(made["held_out"])


@settings(max_examples=30, deadline=None)
@given(later=logs)
def test_covariates_know_nothing_of_later_orders(later: list[tuple[int, int]]) -> None:
    contacts, orders = small()
    known = contact_outcomes(contacts.iloc[:2], orders, window=1, amounts=["amount"])
    more = pd.DataFrame({"customer_id": [5 + 2 * (who % 2) for who, _ in later]})
    more["time"] = in_hours([109 + hour for _, hour in later])
    more["amount"] = 1e6
    found = contact_outcomes(
        contacts.iloc[:2], pd.concat([orders, more]), window=1, amounts=["amount"]
    )
    before = ["silence", "age", "orders_before", "amount_before"]
    pd.testing.assert_frame_equal(found[before], known[before])


def test_sums_keep_their_digits_in_a_log_of_large_amounts() -> None:
    n = 200_000
    generator = np.random.default_rng(0)
    orders = pd.DataFrame(
        {
            "customer_id": np.repeat(np.arange(n // 4), 4),
            "time": in_hours(np.tile([0, 24, 48, 72], n // 4)),
            "amount": generator.choice([1e-6, 0.1, 1e8], n),
        }
    )
    contacts = pd.DataFrame({"customer_id": np.arange(n // 4), "time": in_hours([24] * (n // 4))})
    contacts["held_out"] = generator.random(n // 4) < 0.5
    data = contact_outcomes(contacts, orders, window=2, amounts=["amount"])
    by_day = orders["amount"].to_numpy().reshape(-1, 4)
    exact = {"rtol": 1e-15, "atol": 1e-12}
    np.testing.assert_allclose(data["amount"], by_day[:, 2:].sum(axis=1), **exact)
    np.testing.assert_allclose(data["amount_before"], by_day[:, :2].sum(axis=1), **exact)
    # Plain running totals are not good enough.
    total = orders["amount"].cumsum().to_numpy()
    assert np.abs(total[3::4] - total[1::4] - by_day[:, 2:].sum(axis=1)).max() > 1e-4


def test_amounts_of_nothing_are_nothing() -> None:
    contacts, orders = small()
    data = contact_outcomes(contacts, orders.assign(amount=0), window=4, amounts=["amount"])
    assert (data[["amount", "amount_before"]] == 0).all(axis=None)


# --- the truth ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return tp.load_shop()


def to_end_of_day(contacts: pd.DataFrame) -> pd.DataFrame:
    """Return contacts as the truth counts: in whole days behind their day."""
    end = contacts["time"].dt.floor("D") + DAY - pd.Timedelta("1us")
    return contacts.assign(time=end)


def with_history(shop: tp.Shop) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contacts of those who had bought, and the paid orders."""
    paid = shop.orders[shop.orders["status"] == "paid"]
    first = shop.contacts["customer_id"].map(paid.groupby("customer_id")["time"].min())
    return shop.contacts[shop.contacts["time"] >= first], paid


def test_every_contact_of_the_shop_has_its_true_outcome(shop: tp.Shop) -> None:
    contacts, paid = with_history(shop)
    truth = shop.truth.contacts.set_index("contact_id").loc[contacts["contact_id"]]
    followed = truth["orders_contacted"].notna().to_numpy()
    contacts, truth = contacts[followed], truth[followed]
    assert len(contacts) > 75_000
    data = contact_outcomes(
        to_end_of_day(contacts), paid, window=90, amounts=["margin"], until="2025-12-31"
    )
    held_out = contacts["held_out"].to_numpy()
    for name in ("orders", "margin"):
        actual = np.where(held_out, truth[f"{name}_held_out"], truth[f"{name}_contacted"])
        differs = np.abs(data[name].to_numpy() - actual) > 0.006
        if name == "orders":
            assert not differs.any()
            continue
        # The truth knows what comes back after the end of the log.
        assert 0 < differs.mean() < 0.001
        assert contacts["time"][differs].min() > pd.Timestamp("2025-09-01")
        assert (data[name].to_numpy() - actual)[differs].min() > 0


def test_the_campaign_of_the_shop_agrees_with_the_truth_to_the_cent(shop: tp.Shop) -> None:
    contacts, paid = with_history(shop)
    contacts = contacts[contacts["campaign"] == "win back"]
    truth = shop.truth.contacts.set_index("contact_id").loc[contacts["contact_id"]]
    held_out = contacts["held_out"].to_numpy()
    data = contact_outcomes(to_end_of_day(contacts), paid, window=90, amounts=["margin"])
    exact = contact_outcomes(contacts, paid, window=90, amounts=["margin"])
    assert len(data) == 2865
    for name in ("orders", "margin"):
        actual = np.where(held_out, truth[f"{name}_held_out"], truth[f"{name}_contacted"])
        np.testing.assert_allclose(data[name], actual, atol=0.006)
        # From the contact's own minute on only the first and the last day differ.
        assert (np.abs(exact[name] - actual) > 0.006).sum() == 4
    # The campaign went to customers who had bought nothing, paid or not, for 45 to 365 days.
    assert data["silence"].min() > 45
    assert ((data["orders_before"] == 1) == (data["silence"] == data["age"])).all()


# --- bad input ----------------------------------------------------------------------------------


def changed(frame: pd.DataFrame, column: str, row: int, value: Any) -> pd.DataFrame:
    frame = frame.copy()
    if value is None:
        frame[column] = frame[column].astype(object).where(np.arange(len(frame)) != row, None)
        if column == "time":
            frame[column] = pd.to_datetime(frame[column])
    else:
        frame.loc[frame.index[row], column] = value
    return frame


CONTACTS, ORDERS = small()


@pytest.mark.parametrize(
    ("contacts", "orders", "options", "message"),
    [
        (None, None, {"window": 0}, "window is 0; it must be > 0"),
        (None, None, {"before": -1}, "before is -1; it must be >= 0"),
        (None, None, {"amounts": "amount"}, r"pass a list: amounts=\['amount'\]"),
        (None, None, {"keep": ["arm"]}, "result would have two columns 'arm'.* rename those"),
        (None, None, {"amounts": ["amount", "amount"]}, "two columns 'amount'"),
        (None, None, {"keep": ["held"]}, "contacts has no column 'held'.*name the columns by"),
        (None, None, {"amounts": ["margin"]}, "orders has no column 'margin'"),
        (None, None, {"order_time": "date"}, "orders has no column 'date'"),
        ([1], None, {}, "contacts is a list; it must be a pandas DataFrame"),
        (CONTACTS.iloc[:0], None, {}, "contacts has no rows; pass a row an opportunity"),
        (
            CONTACTS.set_axis([1, 1, 2], axis=0),
            None,
            {},
            r"index of contacts has 1 several times \(1 rows too many\); make it unique",
        ),
        (changed(CONTACTS, "held_out", 1, None), None, {}, "held_out of contacts is missing at in"),
        (CONTACTS.assign(held_out=0), None, {}, r"holds int64, no truth values.*\['held_out'\] =="),
        (changed(CONTACTS, "time", 2, None), None, {}, "time of contacts is missing at index 'z'"),
        (CONTACTS.assign(time="2025"), None, {}, "time of contacts holds str, no times; convert"),
        (None, changed(ORDERS, "time", 3, None), {}, r"time of orders is missing at index 3 \(1 "),
        (None, ORDERS.assign(time=1), {}, "time of orders holds int64, no times; convert"),
        (changed(CONTACTS, "customer_id", 0, None), None, {}, "customer_id of contacts is missing"),
        (None, changed(ORDERS, "customer_id", 0, None), {}, "customer_id of orders is missing at"),
        (None, changed(ORDERS, "amount", 2, np.nan), {}, "amounts 'amount' is nan at index 2"),
        (None, ORDERS.assign(amount="five"), {}, "amounts 'amount' is not numeric"),
        (
            CONTACTS.assign(time=CONTACTS["time"].dt.tz_localize("UTC")),
            None,
            {},
            "time of contacts has the time zone UTC, time of orders None; bring all times to one",
        ),
        (None, None, {"until": 5}, "until is 5; pass a date or moment"),
        (None, None, {"until": "soon"}, "until is 'soon' "),
        (
            None,
            None,
            {"until": "2025-01-11 12:00+01:00"},
            "has a time zone; time has none: pass it al",
        ),
        (None, None, {"until": pd.NaT}, "until is NaT; pass a date"),
        (
            None,
            None,
            {"window": 7},
            r"the 7 days of the contact at index 'z' end after 2025-01-11 00:00:00, .* \(1 such ",
        ),
        (
            None,
            None,
            {"until": "2025-01-06"},
            r"index 'y' end after 2025-01-06.*\(2 such contacts\); leave the latest contacts out",
        ),
        (
            changed(CONTACTS, "time", 1, START - DAY),
            None,
            {},
            r"customer 5 has no order up to the contact at index 'y' \(1 such contacts\); pass",
        ),
        (changed(CONTACTS, "customer_id", 2, 8), None, {}, "customer 8 has no order up to the con"),
        (
            CONTACTS.assign(customer_id=["7", "5", "7"]),
            None,
            {},
            r"no customer of contacts \(str\) is in orders \(int64\); call customers alike",
        ),
        (None, ORDERS.iloc[:0], {"until": "2025-02-01"}, "orders has no rows; pass a row an order"),
        (None, None, {"amounts": None}, "amounts is None; pass a list of columns"),
        (None, None, {"keep": 5}, "keep is 5; pass a list of columns"),
    ],
)
def test_bad_input_is_refused(
    contacts: Any, orders: Any, options: dict[str, Any], message: str
) -> None:
    contacts = CONTACTS if contacts is None else contacts
    orders = ORDERS if orders is None else orders
    with pytest.raises(InputError, match=message):
        contact_outcomes(contacts, orders, **{"window": 4, "amounts": ["amount"], **options})


@pytest.mark.parametrize("late", ["23:59", "00:00"])
def test_a_date_is_complete_to_its_end(late):
    """A contact on the evening before the last day has one day behind it, that day."""
    contacts = pd.DataFrame(
        {
            "customer_id": [1],
            "time": pd.to_datetime([f"2025-01-09 {late}"]),
            "held_out": [False],
        }
    )
    orders = pd.DataFrame({"customer_id": [1, 1], "time": pd.to_datetime(["2025-01-01"] * 2)})
    data = contact_outcomes(contacts, orders, window=1, until="2025-01-10")
    assert data["orders"].tolist() == [0]
    with pytest.raises(InputError, match="the 2 days of the contact"):
        contact_outcomes(contacts, orders, window=2, until="2025-01-10")
