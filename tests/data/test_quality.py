from __future__ import annotations

import math
from datetime import date

import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.data.samples import frame
from touchpoint_lib import InputError


@pytest.fixture
def messy() -> pd.DataFrame:
    nan = math.nan
    return frame(
        ("a", "2024-01-01 09:00", 10.0, 0.0),
        ("a", "2024-01-01 09:00", 10.0, 0.0),
        ("a", "2024-01-01 10:00", 10.0, 0.0),
        ("b", "2024-01-05", 0.0, 0.1),
        ("b", "2024-01-09", -3.0, 0.0),
        (None, "2024-01-05", 5.0, 0.0),
        ("", "2024-01-05", nan, 0.0),
        ("c", None, 5.0, 0.0),
        ("c", "2024-01-07", math.inf, 0.0),
        ("c", "2999-01-01", 5.0, 0.0),
        ("d", "2024-01-08", 5.0, nan),
        ("d", "2024-01-30", 5.0, 0.0),
        columns=("customer_id", "date", "amount", "discount"),
    )


def test_report_counts(messy):
    report = tp.check_transactions(messy, discount="discount", until="2024-01-10")
    assert report == tp.DataReport(
        rows=12,
        usable_rows=6,
        null_customer=2,
        null_time=1,
        null_amount=2,
        zero_amount=1,
        negative_amount=1,
        future_rows=1,
        after_until=2,
        duplicate_rows=1,
        null_discount=1,
        duplicate_orders=0,
        first_day=date(2024, 1, 1),
        last_day=date(2024, 1, 30),
    )
    assert report.to_frame().iloc[0].to_dict() == report.__dict__


def test_report_for_people(messy):
    report = tp.check_transactions(pd.concat([messy] * 100), discount="discount")
    lines = str(report).splitlines()
    assert len(lines) == 14
    assert lines[0].split() == ["rows", "1,200"]
    assert lines[2].split() == ["without", "a", "customer", "200", "fault"]
    assert "fault" not in lines[5]
    assert len({line.index("1,200") + 5 for line in lines[:1]}) == 1
    assert "1,200" in report._repr_html_()
    assert report._repr_html_().count("<tr>") == 14


def test_base_for_people():
    sample = tp.load_cdnow(sample=True)
    shown = tp.customer_base(sample)._repr_html_()
    assert "2,357 customers, 1,218 distinct rows, in weeks, observed until 1998-06-30" in shown
    assert "<table>" in shown


def test_drop_leaves_faults_out_and_counts_them(messy):
    arguments = {"discount": "discount", "on_bad": "drop", "returns": "drop"}
    got = tp.rfm_summary(messy, **arguments)
    assert got.index.tolist() == ["a", "b", "d"]
    assert got["frequency"].tolist() == [0, 0, 0]
    assert got.attrs["until"] == "2024-01-30"
    assert got.attrs["report"]["rows"] == 12
    assert got.attrs["report"]["null_customer"] == 2
    assert got.attrs["report"]["first_day"] == "2024-01-01"


def test_faults_are_named_column_by_column(messy):
    with pytest.raises(InputError) as caught:
        tp.rfm_summary(messy, discount="discount")
    message = str(caught.value)
    assert message.startswith("6 of 12 rows cannot be used: 2 without customer_id, 1 without date")
    assert "2 without amount, 1 without discount, 1 with a date later than today (20" in message
    assert "fill discount with 0 if missing means no discount" in message
    assert message.endswith('or pass on_bad="drop"')


def test_cdnow_keeps_zero_amounts_and_duplicates():
    log = tp.load_cdnow()
    report = tp.check_transactions(log)
    assert (report.rows, report.usable_rows) == (69_659, 69_659)
    assert (report.zero_amount, report.duplicate_rows) == (80, 255)
    assert len(tp.rfm_summary(log)) == 23_570
