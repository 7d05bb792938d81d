from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.data.samples import frame
from touchpoint_lib import InputError


@pytest.mark.parametrize(
    "until",
    [
        "2024-01-31",
        "20240131",
        date(2024, 1, 31),
        datetime(2024, 1, 31),
        pd.Timestamp("2024-01-31"),
        np.datetime64("2024-01-31"),
        np.datetime64("2024-01-31T00:00:00", "ns"),
    ],
)
def test_until_is_any_whole_day(until):
    log = frame(("a", "2024-01-01", 1), ("a", "2024-01-31 23:00", 1), ("a", "2024-02-01", 1))
    got = tp.rfm_summary(log, unit="D", until=until)
    assert got.loc["a", ["frequency", "T"]].tolist() == [1, 30]
    assert got.attrs["report"]["after_until"] == 1


def test_today_is_the_latest_on_earth():
    latest = (datetime.now(UTC) + timedelta(hours=14)).date()
    log = frame(("a", "2024-01-01", 1), ("b", str(latest), 1))
    assert tp.rfm_summary(log).attrs["until"] == str(latest)
    late = frame(("a", "2024-01-01", 1), ("b", str(latest + timedelta(days=1)), 1))
    with pytest.raises(InputError, match=rf"1 with a date later than today \({latest}\)"):
        tp.rfm_summary(late)
    assert tp.rfm_summary(late, on_bad="drop").attrs["until"] == "2024-01-01"


def test_today_is_the_shop_s_own_with_a_time_zone():
    moments = pd.to_datetime(["2024-01-01", datetime.now(UTC) + timedelta(hours=25)], utc=True)
    log = pd.DataFrame({"customer_id": ["a", "b"], "date": moments, "amount": [1, 2]})
    assert tp.check_transactions(log, tz="Etc/GMT+12").future_rows == 1


@pytest.mark.parametrize("tz", ["posix/Europe/Berlin", "right/Europe/Berlin", "localtime"])
def test_a_system_s_own_copy_of_a_zone_is_refused(tz, monkeypatch):
    # Some systems have these, and no engine.
    monkeypatch.setattr("touchpoint_lib.data.days.ZoneInfo", lambda _: UTC)
    log = pd.DataFrame({"customer_id": ["a"], "date": pd.to_datetime(["2024-01-01"], utc=True)})
    with pytest.raises(InputError, match=rf"tz is '{tz}', which is no known time zone"):
        tp.rfm_summary(log, amount=None, tz=tz)
