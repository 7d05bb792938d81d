from __future__ import annotations

import gc
import re
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib.data import engine


@pytest.mark.parametrize("text", [engine._SUMMARY, engine._DAYS, engine.NET_DAYS, engine._HOLDOUT])
def test_the_summary_calls_only_what_every_engine_has(text):
    called = set(re.findall(r"\b([A-Za-z_]+)\s*\(", text)) - {"AS", "OVER"}
    assert called <= {"SUM", "MIN", "MAX", "COUNT", "CAST", "COALESCE", "LAG", "LN"}
    # A literal with a decimal point is a DECIMAL to Spark.
    assert not re.search(r"\d\.\d", text)


def test_rows_stay_usable_on_their_own():
    rows = tp.customer_base(tp.load_cdnow(sample=True)).rows
    gc.collect()
    assert rows.aggregate("SUM(frequency)").fetchall() == [(4339,)]
    ids = [row[0] for row in rows.project("customer_id").fetchall()]
    assert ids == sorted(ids)


def test_bases_do_not_share_tables():
    log = tp.load_cdnow(sample=True)
    first = tp.customer_base(log, until="1997-09-30")
    second = tp.customer_base(log)
    assert first.rows.aggregate("SUM(frequency)").fetchall() == [(2457,)]
    assert second.rows.aggregate("SUM(frequency)").fetchall() == [(4339,)]


def test_python_variables_and_caller_tables_are_left_alone():
    log = pd.DataFrame({"customer_id": ["a"], "date": [pd.Timestamp("2024-01-01")], "amount": [1]})
    source = usable = purchases = "not a table"
    tp.rfm_split(pd.concat([log, log.assign(date=pd.Timestamp("2024-02-01"))]))
    assert (source, usable, purchases) == ("not a table",) * 3
    assert duckdb.execute("SHOW TABLES").fetchall() == []


def test_a_base_sees_neither_the_dropped_log_nor_a_python_variable_of_its_name():
    log = tp.load_cdnow(sample=True)
    base = tp.customer_base(log)
    with pytest.raises(duckdb.CatalogException, match="log"):
        base.rows.query("base", "SELECT * FROM log")


def test_nothing_is_written_beside_the_caller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tp.customer_base(tp.load_cdnow())
    assert list(tmp_path.iterdir()) == []


def test_sums_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(1)
    size = 20_000
    log = pd.DataFrame(
        {
            "customer_id": rng.integers(0, 20, size),
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, size), "D"),
            "amount": rng.lognormal(3, 3, size),
        }
    )
    one, other = tp.rfm_summary(log), tp.rfm_summary(log.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)


def test_daylight_saving_does_not_move_days():
    # 2024-03-31 has 23 hours in Berlin, 2024-10-27 has 25.
    moments = ["2024-03-30 23:30", "2024-03-31 21:30", "2024-10-26 22:30", "2024-10-27 22:30"]
    log = pd.DataFrame({"customer_id": 1, "date": pd.to_datetime(moments, utc=True), "amount": 1})
    got = tp.rfm_summary(log, tz="Europe/Berlin", unit="D")
    assert got.loc[1, "frequency"] == 1
    assert got.loc[1, "recency"] == (date(2024, 10, 27) - date(2024, 3, 31)).days
