"""Logs with words: other events set apart, categories and channels that are missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.data.samples import frame
from touchpoint_lib import InputError
from touchpoint_lib.data.log import open_log
from touchpoint_lib.data.words import word

COLUMNS = ("customer_id", "date", "amount", "event", "category", "channel")
NONE = {"category": None, "channel": None, "event": None}


def opened(log, purchase=None, on_bad="raise", **words):
    return open_log(
        log,
        "customer_id",
        "date",
        "amount",
        "D",
        None,
        None,
        None,
        on_bad,
        "raise",
        None,
        NONE | words,
        purchase,
    )


def rows(log, table):
    return sorted(log.con.execute(f"SELECT id, day FROM {table}").fetchall())


def test_other_events_leave_the_log_and_need_no_amount():
    log = frame(
        ("a", "1970-01-02", 5.0, "buy", "x", "web"),
        ("a", "1970-01-03", None, "mail", None, "web"),
        ("b", "1970-01-04", 2.0, "visit", "x", None),
        columns=COLUMNS,
    )
    got = opened(log, "buy", event="event", category="category", channel="channel")
    assert rows(got, "log") == [("a", 1)]
    assert rows(got, "events") == [("a", 2), ("b", 3)]
    assert (got.report.rows, got.until) == (1, 1)
    stored = got.con.execute("SELECT category, channel, event FROM log").fetchall()
    assert stored == [("x", "web", "buy")]


@pytest.mark.parametrize(("purchase", "values"), [(1, [1, 0]), (True, [True, False])])
def test_an_event_may_be_a_number_or_a_truth_value(purchase, values):
    log = frame(("a", "2024-01-01", 5.0), ("a", "2024-01-02", 5.0)).assign(event=values)
    got = opened(log, purchase, event="event")
    assert len(rows(got, "log")) == len(rows(got, "events")) == 1


@pytest.mark.parametrize(("value", "text"), [(np.bool_(True), "true"), (3, "3"), ("Buy", "Buy")])
def test_values_are_written_as_the_engine_writes_them(value, text):
    assert word(value) == text


BAD = {
    "no purchase": ("sale", {}, r"no row of column 'event' is 'sale' \(it has 'buy', 'mail'\)"),
    "no event": ("buy", {"event": ["buy", None]}, "1 of 2 rows cannot be used: 1 without event"),
    "nothing": ("buy", {"event": [None, None]}, r"\(it has no value at all\)"),
    "no customer": (
        "buy",
        {"customer_id": ["a", None]},
        "1 of 1 rows of other events than event cannot be used: 1 without customer_id",
    ),
    "no time": ("buy", {"date": [pd.Timestamp("2024-01-01"), pd.NaT]}, "1 without date"),
    "future": (
        "buy",
        {"date": pd.to_datetime(["2024-01-01", "2999-01-01"])},
        r"1 with a date later than today \(\d{4}-",
    ),
    "no channel": (
        "buy",
        {"event": ["buy", "buy"], "channel": ["web", ""]},
        "1 of 2 rows cannot be used: 1 without channel",
    ),
}


@pytest.mark.parametrize(("purchase", "columns", "message"), BAD.values(), ids=BAD.keys())
def test_rows_that_cannot_be_used_are_refused_or_dropped(purchase, columns, message):
    log = frame(
        ("a", "2024-01-01", 5.0, "buy", "x", "web"),
        ("a", "2024-01-02", None, "mail", "x", "web"),
        columns=COLUMNS,
    )
    log = log.assign(**columns)
    if "channel" in columns:
        log["amount"] = 5.0
    words = {"event": "event", "channel": "channel"}
    with pytest.raises(InputError, match=message):
        opened(log, purchase, **words)
    if "no row" not in message and "no value" not in message:
        got = opened(log, purchase, "drop", **words)
        assert len(rows(got, "log")) == 1
        assert rows(got, "events") == []
