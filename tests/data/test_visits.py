"""Purchase days of one customer, and repeat purchases by week, as the summaries count them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.strategies import logs
from touchpoint_lib import InputError
from touchpoint_lib.data.days import EPOCH, to_day
from touchpoint_lib.data.visits import purchase_days, weekly_repeats

OPTIONS = {
    "customer": "customer_id",
    "time": "date",
    "amount": "amount",
    "unit": "D",
    "order": None,
    "tz": None,
    "on_bad": "raise",
    "returns": "raise",
    "discount": None,
}


@settings(max_examples=20, deadline=None)
@given(log=logs(returns=True), returns=st.sampled_from(["drop", "net"]))
def test_days_agree_with_the_summary(log, returns):
    summary = tp.rfm_summary(log, unit="D", until="2024-02-10", returns=returns)
    for who, row in summary.iterrows():
        days = pd.to_datetime(purchase_days(log, who, until="2024-02-10", returns=returns))
        assert len(days) == row["frequency"] + 1
        assert days.is_monotonic_increasing
        assert (days[-1] - days[0]).days == row["recency"]
        assert (pd.Timestamp("2024-02-10") - days[0]).days == row["T"]


def test_own_columns_files_and_numbers_as_ids(tmp_path):
    log = pd.DataFrame(
        {
            "who": [7, 7, 7, 8],
            "when": pd.to_datetime(["2024-01-05", "2024-01-01", "2024-01-05", "2024-01-02"]),
        }
    )
    path = tmp_path / "own.parquet"
    log.to_parquet(path)
    options = {"customer": "who", "time": "when", "amount": None}
    who = tp.rfm_summary(str(path), **options).index[0]
    assert purchase_days(str(path), who, **options) == ["2024-01-01", "2024-01-05"]
    assert purchase_days(log, who, until="2024-01-04", **options) == ["2024-01-01"]
    with pytest.raises(InputError, match="customer 9 has no purchase in the window"):
        purchase_days(log, 9, **options)
    with pytest.raises(InputError, match="no column 'customer_id'"):
        purchase_days(log, 7)


def test_weeks_hold_the_numbers_their_squares_and_the_growth_of_squared_totals():
    """Worked by hand: a buys twice in week 0 and once in week 1, b comes after the split."""
    start = to_day("start", "2024-01-01")
    rows = [("a", 0), ("a", 1), ("a", 2), ("a", 9), ("c", 0), ("c", 10), ("b", 8), ("b", 9)]
    log = pd.DataFrame(rows, columns=["customer_id", "day"])
    log["date"] = pd.Timestamp(EPOCH) + pd.to_timedelta(start + log["day"], unit="D")
    log["amount"] = 1.0
    weeks, until = weekly_repeats(log, start + 6, start, until=None, **OPTIONS)
    assert until == start + 10
    assert weeks["week"].tolist() == [0, 1]
    assert weeks["bought"].tolist() == [2, 2]
    assert weeks["squares"].tolist() == [4, 2]
    # Totals go from 0 and 0 to 2 and 0, then to 3 and 1.
    assert weeks["grown"].tolist() == [4, 6]
