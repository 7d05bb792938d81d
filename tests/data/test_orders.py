"""Order logs: the same from every source, amounts and labels as they are, faults refused."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.data.test_sources import SOURCES
from tests.strategies import logs
from touchpoint_lib import InputError
from touchpoint_lib.data.orders import order_log

ALL: dict[str, Any] = {"values": ["margin"], "labels": ["region"], "order": "no"}


def orders(**changes: Any) -> pd.DataFrame:
    """Four orders in no order: the second is free, one earned less than it cost."""
    good = {
        "customer_id": ["b", "0012", "a", "0012"],
        "time": pd.to_datetime(
            ["2024-01-02 10:00", "2024-01-03 00:00", "2024-01-01 09:30", "2024-01-02 10:00"]
        ),
        "amount": [10.5, 0.0, 7.25, 20.0],
        "margin": [2.5, -1.0, 3.25, 8.0],
        "region": ["007", None, "x", "y"],
        "no": ["0001", "2", "3", "4"],
    }
    return pd.DataFrame({**good, **changes})


EXPECTED = pd.DataFrame(
    {
        "customer_id": pd.Series(["a", "0012", "b", "0012"], dtype="str"),
        "time": pd.to_datetime(
            ["2024-01-01 09:30", "2024-01-02 10:00", "2024-01-02 10:00", "2024-01-03 00:00"]
        ).as_unit("us"),
        "order_id": pd.Series(["3", "4", "0001", "2"], dtype="str"),
        "amount": [7.25, 20.0, 10.5, 0.0],
        "margin": [3.25, 8.0, 2.5, -1.0],
        "region": pd.Categorical(["x", "y", "007", None]),
    }
)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same(kind, tmp_path):
    pd.testing.assert_frame_equal(order_log(SOURCES[kind](orders(), tmp_path), **ALL), EXPECTED)


def test_a_glob_of_files_gives_the_same(tmp_path):
    orders().iloc[:1].to_csv(tmp_path / "a.csv", index=False)
    orders().iloc[1:].to_csv(tmp_path / "b.csv", index=False)
    pd.testing.assert_frame_equal(order_log(tmp_path / "*.csv", **ALL), EXPECTED)


@pytest.mark.parametrize(
    "labels",
    [
        ["007", "010", "07", "7"],
        # DEFECT 7: read as numbers, times or truth values, and written as another text.
        ["1.50", "2.0", "3.10", "4.00"],
        ["10:00", "11:00", "12:30", "9:00"],
        ["TRUE", "False", "true", "FALSE"],
        ["1e3", "2", "3", "4"],
    ],
)
def test_labels_of_a_csv_stay_as_they_are_written(labels, tmp_path):
    path = tmp_path / "log.csv"
    orders(region=labels).to_csv(path, index=False)
    found = order_log(path, labels=["region"])
    assert sorted(found["region"].astype(object)) == sorted(labels)


NAMES = {"customer": "order", "time": "group", "amount": 'select "1"', "order": "Having; --"}


# DEFECT 6: the labels are called moment.
@pytest.mark.parametrize("kind", SOURCES)
def test_hostile_column_names(kind, tmp_path):
    renamed = orders().set_axis(
        [NAMES["customer"], NAMES["time"], NAMES["amount"], "from", "moment", NAMES["order"]],
        axis=1,
    )
    found = order_log(SOURCES[kind](renamed, tmp_path), **NAMES, values=["from"], labels=["moment"])
    expected = EXPECTED.rename(columns={"margin": "from", "region": "moment"})
    pd.testing.assert_frame_equal(found, expected)


# DEFECT 6: ORDER BY moment finds the column of that name in the result first.
def test_further_columns_called_as_what_the_engine_has():
    # Sorted by the customer and the time, not by what is called id and moment.
    further = {"id": [1.0, 4, 3, 2], "moment": [4.0, 3, 2, 1], "day": [9e9, 1, 2, 3]}
    log = orders(**further, Amount=[1.0, 2, 3, 4])
    found = order_log(log, values=["id", "moment", "day", "Amount"])
    assert found["customer_id"].tolist() == EXPECTED["customer_id"].tolist()
    assert found["id"].tolist() == [3, 2, 1, 4]
    assert found["moment"].tolist() == [2, 1, 4, 3]
    assert found["day"].tolist() == [2, 3, 9e9, 1]
    assert found["Amount"].tolist() == [3, 4, 1, 2]


def test_the_clock_of_the_zone_counts():
    log = orders(time=orders()["time"].dt.tz_localize("America/New_York"))
    found = order_log(log, tz="America/New_York", **ALL)
    pd.testing.assert_frame_equal(found, EXPECTED)
    moved = order_log(log, tz="Asia/Shanghai", **ALL)
    assert moved["time"].tolist() == (EXPECTED["time"] + pd.Timedelta(hours=13)).tolist()


def test_dates_alone_are_taken_to_the_end_of_their_day():
    days = pd.to_datetime(["2025-01-03", "2025-01-01"])
    log = pd.DataFrame({"customer_id": [1, 2], "date": days, "amount": 1.0})
    found = order_log(log, time="date")
    assert found["time"].tolist() == [
        pd.Timestamp("2025-01-01 23:59:59.999999"),
        pd.Timestamp("2025-01-03 23:59:59.999999"),
    ]
    # With a time of day in one row the others are at midnight.
    timed = order_log(log.assign(date=days + pd.to_timedelta([0, 1], "h")), time="date")
    assert timed["time"].tolist() == [pd.Timestamp("2025-01-01 01:00"), days[0]]


def test_without_an_amount():
    found = order_log(orders().drop(columns="amount"), amount=None)
    assert found.columns.to_list() == ["customer_id", "time"]


def test_integers_and_decimals_become_floats():
    found = order_log(orders(amount=[10, 0, 7, 20]), labels=[], values=())
    assert found["amount"].dtype == float
    assert found["amount"].tolist() == [7, 20, 10, 0]


@settings(max_examples=15, deadline=None)
@given(log=logs(), seed=st.integers(0, 9))
def test_every_order_is_there_once_in_the_order_of_time(log, seed):
    found = order_log(log, time="date", values=["discount"])
    rows = log.rename(columns={"date": "time"})[["customer_id", "time", "amount", "discount"]]
    if (rows["time"] == rows["time"].dt.normalize()).all():
        rows["time"] += pd.Timedelta("23:59:59.999999")
    expected = sorted(rows.itertuples(index=False, name=None), key=lambda row: (row[1], row[0]))
    got = list(found.itertuples(index=False, name=None))
    assert sorted(got) == sorted(expected)
    assert [row[:2] for row in got] == [row[:2] for row in expected]
    again = order_log(log.sample(frac=1, random_state=seed), time="date", values=["discount"])
    pd.testing.assert_frame_equal(again, found)


def test_what_is_dropped_is_what_cannot_be_used():
    log = orders(
        customer_id=["b", "", "a", "0012"],
        margin=[math.nan, 1, 3.25, math.inf],
        no=["0001", "2", "3", "4"],
    )
    with pytest.raises(InputError, match=r"3 of 4 rows .*: 1 without customer_id, 2 without marg"):
        order_log(log, **ALL)
    found = order_log(log, **ALL, on_bad="drop")
    pd.testing.assert_frame_equal(found, EXPECTED.iloc[:1].assign(region=pd.Categorical(["x"])))
    # An id of who cannot be used is no id that stands twice.
    twice = log.assign(no=["3", "3", "3", "4"])
    assert order_log(twice, **ALL, on_bad="drop")["order_id"].tolist() == ["3"]


def test_the_bundled_shop_passes_unchanged():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    found = order_log(paid, values=["margin", "discount"], order="order_id").set_index("order_id")
    expected = paid.set_index("order_id").loc[found.index]
    for name in ("customer_id", "time", "amount", "margin", "discount"):
        assert (found[name] == expected[name]).all(), name
    assert len(found) == len(paid)


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no amount column": ({}, {"amount": "sum"}, "no column 'sum'.*amount=None"),
    "no margin column": ({}, {"values": ["profit"]}, "no column 'profit'"),
    "time is None": ({}, {"time": None}, "time is None; it must be the name of a column"),
    "values is a text": ({}, {"values": "margin"}, "values is 'margin'; pass a list of columns"),
    "labels is a number": ({}, {"labels": 3}, "labels is 3; pass a list of columns"),
    # DEFECT 11: "number_0 is 3", a name that nobody has seen.
    "a value is a number": ({}, {"values": [3]}, "values .*3; it must be the name of a column"),
    # The message was of order_id, which is no argument.
    "order is a number": ({}, {"order": 3}, "^order is 3; it must be the name of a column"),
    "order is the customer": (
        {},
        {"order": "customer_id"},
        "^order is 'customer_id', which another argument names too",
    ),
    "a value twice": ({}, {"values": ["margin", "margin"]}, "'margin' is named twice"),
    "a value is the amount": ({}, {"values": ["amount"]}, "'amount' is named twice; name each"),
    "value and label": ({}, {"values": ["margin"], "labels": ["margin"]}, "'margin' is named tw"),
    "a result's name": (
        {"order_id": 1.0},
        {"values": ["order_id"]},
        "a column is named 'order_id'; rename it: the result has such a column",
    ),
    "on_bad": ({}, {"on_bad": "keep"}, "on_bad is 'keep'; it must be one of 'raise', 'drop'"),
    "zone for plain times": ({}, {"tz": "UTC"}, "tz is 'UTC' but column 'time' has no time zone"),
    "times as text": ({"time": ["2024"] * 4}, {}, "'time' is VARCHAR, the first value '2024'"),
    "margin as text": ({"margin": "x"}, {"values": ["margin"]}, "'margin' is VARCHAR.*not numeric"),
    "amount is a flag": (
        {"amount": True},
        {},
        "'amount' is BOOLEAN, the first value 'true', not n",
    ),
    "negative amount": (
        {"amount": [1.0, -2.5, -3, 0]},
        {},
        r"'amount' is negative in 2 rows \(such as -3\); leave returns out",
    ),
    "no amount": ({"amount": [1.0, math.nan, 3, 0]}, {}, "1 without amount; correct them or pass"),
    "order twice": (
        {"no": ["a", "b", "b", "b"]},
        {"order": "no"},
        r"'no' has ids that stand twice in 3 rows \(such as 'b'\); sum the lines of an order first",
    ),
    "no order id": ({"no": ["a", None, "", "b"]}, {"order": "no"}, "2 without no; correct them"),
    "later than today": (
        {"time": pd.Timestamp("2999-01-01")},
        {"on_bad": "drop"},
        r"4 of 4 rows .* 4 with a time later than today \(\d{4}-\d\d-\d\d\); correct the log",
    ),
}


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow reader", "parquet"])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_alike(kind, name, tmp_path):
    changes, arguments, message = BAD[name]
    log = orders(**changes)
    source = log if kind == "pandas" else SOURCES[kind](log, tmp_path)
    with pytest.raises(InputError, match=message):
        order_log(source, **arguments)


@pytest.mark.parametrize("kind", ["pandas", "polars", "parquet", "csv"])
def test_an_empty_log_is_refused(kind, tmp_path):
    log = orders().head(0)
    source = log if kind == "pandas" else SOURCES[kind](log, tmp_path)
    with pytest.raises(InputError, match="the log has no rows; pass at least one"):
        order_log(source)
