"""Contact and order logs in Spark: the same counts, frames and errors as in DuckDB."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from tests.data.bad_logs import arrow
from tests.data.test_contacts import ALL, BAD, EXPECTED, NAMES, STRUCTURE, as_log, contacts
from tests.data.test_orders import ALL as ORDERS_ALL
from tests.data.test_orders import EXPECTED as ORDERS_EXPECTED
from tests.data.test_orders import orders
from tests.data.test_spark import cached, spark_frame, tables
from touchpoint_lib import InputError
from touchpoint_lib.data.contacts import check_contacts, contact_log
from touchpoint_lib.data.orders import order_log

pytestmark = pytest.mark.spark


@pytest.fixture(autouse=True)
def _nothing_is_left(spark):
    """Fail a test that leaves something cached, or a table in the catalog."""
    yield
    left = cached(spark), tables(spark)
    spark.catalog.clearCache()
    assert left == (0, [])


#: Every fault, two of them in one row; a repeated row; NaN, which Spark does not take for null.
DIRTY = arrow(
    as_log(
        [
            ("a", 0, "sms", "x", True, 0.0, 0.25, False),
            ("a", 0, "sms", "x", False, 0.5, 0.0, True),
            ("a", 0, "sms", "", False, 0.5, 0.0, True),
            ("0012", 1, "mail", None, False, -1.0, 0.0, False),
            ("b", 2, "sms", "2024", True, 0.5, 0.0, False),
            (None, 2, "sms", "x", False, 0.0, -0.5, False),
            ("", None, "sms", "x", False, 0.0, 0.0, False),
            ("b", 400_000, "", "x", False, 0.0, 0.0, False),
            ("b", 3, "sms", "x", None, 0.0, 0.0, None),
            ("b", 3, "sms", "x", False, float("inf"), 0.0, False),
            ("b", 3, None, "x", True, 0.0, 0.0, True),
        ]
    )
)


def test_the_report_equals_duckdb_s(spark):
    expected = check_contacts(DIRTY, **ALL)
    assert (expected.usable_rows, expected.held_out, expected.duplicate_rows) == (5, 2, 1)
    assert (expected.null_customer, expected.null_time, expected.null_channel) == (2, 1, 2)
    assert (expected.null_flag, expected.null_money, expected.future_rows) == (1, 1, 1)
    assert (expected.negative_money, expected.reached_though_held_out) == (2, 2)
    assert check_contacts(spark_frame(spark, DIRTY), **ALL) == expected


def test_nan_costs_count_alike(spark):
    # Not by way of pandas, which makes NaN null.
    costs = pa.array([0.5, 0.25, float("nan"), 0.5])
    table = arrow(contacts()).set_column(5, "cost", costs)
    expected = check_contacts(contacts(cost=[0.5, 0.25, None, 0.5]), **ALL)
    # DEFECT 12: NaN is above all numbers, so "reached_though_held_out" counts it.
    assert check_contacts(spark_frame(spark, table), **ALL) == expected


def test_the_logs_equal_duckdb_s(spark):
    found = contact_log(spark_frame(spark, arrow(contacts())), **ALL)
    pd.testing.assert_frame_equal(found, EXPECTED)
    assert found.attrs == contact_log(contacts(), **ALL).attrs
    got = order_log(spark_frame(spark, arrow(orders())), **ORDERS_ALL)
    pd.testing.assert_frame_equal(got, ORDERS_EXPECTED)


def test_flags_as_numbers_and_categories(spark):
    numbers = arrow(contacts(held_out=[0, 0, 1, 0], opened=[1, 0, 0, 0]))
    assert check_contacts(spark_frame(spark, numbers), **ALL) == check_contacts(contacts(), **ALL)


def test_hostile_column_names(spark):
    renamed = arrow(contacts().set_axis(list(NAMES.values()), axis=1))
    expected = check_contacts(contacts(), **ALL)
    assert check_contacts(spark_frame(spark, renamed), **NAMES) == expected
    pd.testing.assert_frame_equal(contact_log(spark_frame(spark, renamed), **NAMES), EXPECTED)


def test_the_clock_of_the_zone_counts(spark):
    log = contacts(time=contacts()["time"].dt.tz_localize("UTC"))
    frame = spark_frame(spark, arrow(log))
    for zone in ("Asia/Shanghai", "Pacific/Honolulu", "America/New_York"):
        assert check_contacts(frame, tz=zone, **ALL) == check_contacts(log, tz=zone, **ALL)
    expected = EXPECTED.assign(time=EXPECTED["time"] + pd.Timedelta(hours=8))
    pd.testing.assert_frame_equal(contact_log(frame, tz="Asia/Shanghai", **ALL), expected)


@pytest.mark.parametrize("name", [name for name in STRUCTURE if name != "ids in lists"])
def test_bad_arguments_and_types_are_refused_alike(name, spark):
    changes, arguments, message = BAD[name]
    with pytest.raises(InputError, match=message):
        check_contacts(spark_frame(spark, arrow(contacts(**changes))), **arguments)


@pytest.mark.parametrize("name", ["flag is 2", "negative cost", "held out and opened", "no time"])
def test_bad_rows_are_refused_alike(name, spark):
    changes, arguments, message = BAD[name]
    with pytest.raises(InputError, match=message):
        contact_log(spark_frame(spark, arrow(contacts(**changes))), **arguments)


def test_an_empty_log_is_refused(spark):
    empty = spark_frame(spark, arrow(contacts().head(0)))
    for call in (check_contacts, contact_log):
        with pytest.raises(InputError, match="the log has no rows; pass at least one"):
            call(empty)
