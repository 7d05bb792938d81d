from __future__ import annotations

import importlib.util
import itertools
import json
import math
import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.data.bad_logs import BAD_LOGS, GOOD, bad_logs
from tests.data.samples import frame
from tests.strategies import START, logs
from touchpoint_lib import InputError

LIFETIMES = Path(importlib.util.find_spec("lifetimes").origin).parent


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return tp.load_cdnow(sample=True)


# --- an independent reading of the rules, in plain Python ---------------------------------------


def purchase_days(rows, returns):
    """{customer: [(day, amount, discounted), ...]} of (customer, day, amount, discount) rows."""
    bought, returned = {}, {}
    for customer, day, amount, discount in rows:
        if amount >= 0:
            entry = bought.setdefault(customer, {}).setdefault(day, [0.0, False])
            entry[0] += amount
            entry[1] |= discount > 0
    for customer, day, amount, _ in rows:
        earlier = [other for other in bought.get(customer, {}) if other <= day]
        if amount < 0 and returns == "net" and earlier:
            key = customer, max(earlier)
            returned[key] = returned.get(key, 0.0) - amount
    result = {}
    for customer, days in bought.items():
        for day, (amount, discounted) in sorted(days.items()):
            back = returned.get((customer, day), 0.0)
            if back == 0 or amount > back:
                result.setdefault(customer, []).append((day, amount - back, discounted))
    return result


def reference(log, until, days_a_unit, returns="raise", split=None):
    """What rfm_summary (or, with a split day, rfm_split) must return, as {customer: {...}}."""
    rows = [
        (row.customer_id, row.date.date(), row.amount, row.discount)
        for row in log.itertuples()
        if row.date.date() <= until
    ]
    end = until if split is None else split
    later = purchase_days([row for row in rows if row[1] > end], returns)
    result = {}
    for customer, days in purchase_days([row for row in rows if row[1] <= end], returns).items():
        dates = [day for day, _, _ in days]
        repeats = [amount for _, amount, _ in days[1:]]
        gaps = [(b - a).days / days_a_unit for a, b in itertools.pairwise(dates)]
        result[customer] = {
            "frequency": len(repeats),
            "recency": (dates[-1] - dates[0]).days / days_a_unit,
            "T": (end - dates[0]).days / days_a_unit,
            "monetary_value": sum(repeats) / len(repeats) if repeats else 0.0,
            "log_gaps": sum((math.log(gap) for gap in gaps), 0.0),
            "discount_share": sum(discounted for _, _, discounted in days) / len(days),
        }
        if split is not None:
            result[customer] |= {
                "holdout_frequency": len(later.get(customer, [])),
                "holdout_amount": sum((a for _, a, _ in later.get(customer, [])), 0.0),
                "holdout_duration": (until - split).days / days_a_unit,
            }
    return result


def assert_equals_reference(got, expected):
    wanted = pd.DataFrame.from_dict(expected, orient="index").sort_index()
    pd.testing.assert_frame_equal(
        got, wanted, check_names=False, check_index_type=False, rtol=1e-12, atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(logs(), st.sampled_from(["D", "W"]), st.integers(0, 45))
def test_summary_equals_the_rules(log, unit, day):
    until = (START + pd.Timedelta(days=day)).date()
    got = tp.rfm_summary(log, unit=unit, until=until, discount="discount")
    assert_equals_reference(got, reference(log, until, 7 if unit == "W" else 1))


@settings(max_examples=40, deadline=None)
@given(logs(returns=True), st.sampled_from(["drop", "net"]), st.integers(0, 45))
def test_returns_follow_the_rules(log, returns, day):
    until = (START + pd.Timedelta(days=day)).date()
    got = tp.rfm_summary(log, unit="D", until=until, returns=returns, discount="discount")
    assert_equals_reference(got, reference(log, until, 1, returns))


@settings(max_examples=40, deadline=None)
@given(logs(returns=True), st.sampled_from(["drop", "net"]), st.integers(0, 20), st.integers(1, 25))
def test_split_follows_the_rules(log, returns, day, more):
    split = (START + pd.Timedelta(days=day)).date()
    until = split + timedelta(days=more)
    got = tp.rfm_split(log, split, unit="W", until=until, returns=returns, discount="discount")
    assert_equals_reference(got, reference(log, until, 7, returns, split))


@settings(max_examples=15, deadline=None)
@given(logs(returns=True), st.randoms())
def test_the_order_of_rows_does_not_matter(log, random):
    shuffled = log.sample(frac=1, random_state=random.randrange(2**31))
    one, other = (
        tp.rfm_split(rows, until="2024-02-15", split="2024-01-20", returns="net")
        for rows in (log, shuffled)
    )
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)
    assert one.attrs == other.attrs


@settings(max_examples=15, deadline=None)
@given(logs(), st.data())
def test_a_purchase_in_two_rows_is_the_same_purchase(log, data):
    row = data.draw(st.integers(0, len(log) - 1))
    half = log.iloc[[row]].assign(amount=log["amount"].iloc[row] / 2)
    halved = pd.concat([log.drop(index=row), half, half])
    one, other = (tp.rfm_summary(rows, until="2024-02-15") for rows in (log, halved))
    pd.testing.assert_frame_equal(one, other)
    assert other.attrs["report"]["duplicate_rows"] >= 1
    assert other.attrs["report"]["rows"] == len(log) + 1


@settings(max_examples=15, deadline=None)
@given(logs(), st.sampled_from(["D", "W"]))
def test_customer_base_is_the_summary(log, unit):
    base = tp.customer_base(log, unit=unit)
    summary = tp.rfm_summary(log, unit=unit)
    pd.testing.assert_frame_equal(base.to_frame(), summary)
    assert base.to_frame().attrs == summary.attrs
    counted = summary.groupby(["frequency", "recency", "T"]).size().rename("count").reset_index()
    pd.testing.assert_frame_equal(base.unique, counted)
    assert base.unique.attrs == {"unit": unit}
    assert base.unit == unit
    assert base.until == log["date"].max().date()
    assert base.rows.columns == ["customer_id", *summary.columns]


# --- CDNOW against published figures ------------------------------------------------------------


def test_cdnow_sample_totals(sample):
    # Fader, Hardie & Lee (2005): 2,357 customers; repeat purchases in both halves as published.
    split = tp.rfm_split(sample)
    assert len(split) == 2357
    assert split["frequency"].sum() == 2457
    assert split["holdout_frequency"].sum() == 1882
    assert split.attrs["split"] == "1997-09-30"
    assert split.attrs["until"] == "1998-06-30"
    assert split["holdout_duration"].unique().tolist() == [39.0]


def test_cdnow_sample_equals_the_published_summary(sample):
    folder = LIFETIMES / "datasets"
    published = pd.read_csv(folder / "cdnow_customers_summary_with_transactions.csv")
    # It goes by the second id of the sample's lines.
    lines = (folder / "CDNOW_sample.txt").read_text().splitlines()
    ids = {line[:6].strip(): int(line[7:11]) for line in lines}
    ours = tp.rfm_summary(sample, until="1997-09-30").rename(index=ids)
    published = published.set_index("ID").loc[ours.index]
    columns = {"frequency": "x", "recency": "t_x", "T": "T", "monetary_value": "zbar"}
    for name, theirs in columns.items():
        np.testing.assert_allclose(ours[name], published[theirs], rtol=0, atol=0.005 + 1e-9)


def test_cdnow_equals_lifetimes():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The 'mode.chained_assignment' option")
        from lifetimes.utils import summary_data_from_transaction_data
    log = tp.load_cdnow()
    theirs = summary_data_from_transaction_data(
        log,
        "customer_id",
        "date",
        monetary_value_col="amount",
        observation_period_end="1997-09-30",
        freq="D",
    )
    ours = tp.rfm_summary(log, unit="D", until="1997-09-30")
    pd.testing.assert_frame_equal(
        ours[theirs.columns.tolist()], theirs, check_dtype=False, rtol=1e-12
    )


def test_the_split_knows_nothing_later(sample):
    split = tp.rfm_split(sample, "1997-06-30")
    cut = tp.rfm_summary(sample[sample["date"] <= "1997-06-30"], until="1997-06-30")
    pd.testing.assert_frame_equal(split[cut.columns], cut)


# --- single rules, on logs small enough to see through ------------------------------------------


def test_weeks_are_sevenths_of_days():
    log = frame(("a", "2024-01-01", 10), ("a", "2024-01-04", 30), ("a", "2024-01-18", 50))
    got = tp.rfm_summary(log, until="2024-01-31").loc["a"]
    assert got["frequency"] == 2
    assert got["recency"] == 17 / 7
    assert got["T"] == 30 / 7
    assert got["monetary_value"] == 40
    assert got["log_gaps"] == pytest.approx(math.log(3 / 7) + math.log(2))


def test_index_and_types():
    log = frame((7, "2024-01-02", 10), (3, "2024-01-01", 10)).rename(columns={"customer_id": "c"})
    got = tp.rfm_summary(log, customer="c")
    assert got.index.name == "c"
    assert got.index.tolist() == [3, 7]
    assert got.index.dtype == np.int64
    assert got.dtypes.astype(str).to_dict() == {
        "frequency": "int64",
        "recency": "float64",
        "T": "float64",
        "monetary_value": "float64",
        "log_gaps": "float64",
    }
    assert got.attrs["unit"] == "W"
    assert got.attrs["until"] == "2024-01-02"


def test_attrs_are_json_and_survive_parquet(sample, tmp_path):
    got = tp.rfm_summary(sample)
    assert json.loads(json.dumps(got.attrs)) == got.attrs
    got.to_parquet(tmp_path / "customers.parquet")
    assert pd.read_parquet(tmp_path / "customers.parquet").attrs == got.attrs


def test_without_amounts():
    log = frame(("a", "2024-01-01", 0), ("a", "2024-01-08", -1)).drop(columns="amount")
    got = tp.rfm_split(log, "2024-01-02", amount=None)
    assert "monetary_value" not in got
    assert "holdout_amount" not in got
    assert got.loc["a", "holdout_frequency"] == 1
    report = tp.check_transactions(log, amount=None)
    assert (report.zero_amount, report.negative_amount, report.null_amount) == (0, 0, 0)


def test_a_day_whose_returns_reach_its_amount_is_no_purchase():
    log = frame(
        ("a", "2024-01-01", 10),
        # 0.1 + 0.2 - 0.3 is not 0 in floating point.
        ("a", "2024-01-05", 0.1),
        ("a", "2024-01-05", 0.2),
        ("a", "2024-01-09", -0.3),
        ("b", "2024-01-01", 5),
        ("b", "2024-01-02", -5),
        ("c", "2024-01-01", -4),
        ("c", "2024-01-03", 6),
    )
    got = tp.rfm_summary(log, unit="D", until="2024-01-31", returns="net")
    assert got.index.tolist() == ["a", "c"]
    assert got["frequency"].tolist() == [0, 0]
    assert got["T"].tolist() == [30, 28]


def test_a_return_after_the_split_is_not_known_at_the_split():
    log = frame(
        ("a", "2024-01-01", 10),
        ("a", "2024-01-05", 20),
        ("a", "2024-01-12", -20),
        ("a", "2024-01-15", 8),
        ("a", "2024-01-20", -3),
    )
    got = tp.rfm_split(log, "2024-01-10", unit="D", returns="net").loc["a"]
    assert got["frequency"] == 1
    assert got["monetary_value"] == 20
    assert got["holdout_frequency"] == 1
    assert got["holdout_amount"] == 5
    assert got["holdout_duration"] == 10


def test_netting_keeps_free_purchases_and_ignores_the_discount_of_a_return():
    columns = ("customer_id", "date", "amount", "off")
    log = frame(
        ("a", "2024-01-01", 10, 0),
        ("a", "2024-01-02", 0, 0),
        ("a", "2024-01-03", 8, 0),
        ("a", "2024-01-03", -1, 0.5),
        columns=columns,
    )
    got = tp.rfm_summary(log, returns="net", discount="off").loc["a"]
    assert got["frequency"] == 2
    assert got["monetary_value"] == 3.5
    assert got["discount_share"] == 0


def test_a_large_purchase_survives_a_return_that_leaves_little():
    log = frame(("a", "2024-01-01", 1), ("a", "2024-01-02", 1e9), ("a", "2024-01-02", -(1e9 - 0.5)))
    got = tp.rfm_summary(log, returns="net")
    assert got.loc["a", "monetary_value"] == 0.5


def test_repeated_orders_are_one():
    columns = ("customer_id", "date", "amount", "order_id")
    log = frame(
        ("a", "2024-01-01", 10.0, "o1"),
        ("a", "2024-01-03", 20.0, "o2"),
        ("a", "2024-01-03", 20.0, "o2"),
        ("a", "2024-01-03", 5.0, None),
        ("a", "2024-01-03", 5.0, None),
        ("a", "2024-01-05", -2.0, "o2"),
        columns=columns,
    )
    got = tp.rfm_summary(log, order="order_id", returns="net")
    assert got.loc["a", "monetary_value"] == 28
    assert got.attrs["report"]["duplicate_orders"] == 1
    assert got.attrs["report"]["duplicate_rows"] == 2
    # Without order= the same rows are all counted.
    assert tp.rfm_summary(log, returns="drop").loc["a", "monetary_value"] == 50


@pytest.mark.parametrize(
    "other",
    [
        ("b", "2024-01-03", 20.0, "o2"),
        ("a", "2024-01-04", 20.0, "o2"),
        ("a", "2024-01-03", 1, "o2"),
    ],
)
def test_one_order_id_for_different_purchases_is_an_error(other):
    columns = ("customer_id", "date", "amount", "order_id")
    log = frame(("a", "2024-01-03", 20.0, "o2"), other, columns=columns)
    with pytest.raises(InputError, match=r"'order_id' has 1 order ids .*'o2'; sum the lines"):
        tp.rfm_summary(log, order="order_id")
    assert tp.check_transactions(log, order="order_id").duplicate_orders == 0


def test_discount_share_counts_days():
    columns = ("customer_id", "date", "amount", "off")
    log = frame(
        ("a", "2024-01-01", 10.0, 0),
        ("a", "2024-01-03", 20.0, 0.2),
        ("a", "2024-01-03", 20.0, 0),
        ("a", "2024-01-04", 5.0, 0),
        ("b", "2024-01-04", 5.0, 1),
        columns=columns,
    )
    assert tp.rfm_summary(log, discount="off")["discount_share"].tolist() == [1 / 3, 1]


def test_local_calendar_day_decides():
    moment = pd.to_datetime(["2024-01-01 23:30", "2024-01-02 15:30"], utc=True)
    log = pd.DataFrame({"customer_id": ["a", "a"], "date": moment, "amount": [1, 2]})
    assert tp.rfm_summary(log, tz="Asia/Shanghai").loc["a", "frequency"] == 0
    assert tp.rfm_summary(log, tz="UTC").loc["a", "frequency"] == 1
    assert tp.check_transactions(log, tz="Asia/Shanghai").first_day == date(2024, 1, 2)
    assert tp.check_transactions(log, tz="America/New_York").first_day == date(2024, 1, 1)


@pytest.mark.parametrize("precision", ["s", "ms", "us", "ns"])
def test_days_before_1970_and_every_precision(precision):
    log = frame(("a", "1969-12-30 23:59:59", 1), ("a", "1970-01-02 00:00:00", 2))
    log["date"] = log["date"].astype(f"datetime64[{precision}]")
    assert tp.rfm_summary(log, unit="D").loc["a", "recency"] == 3
    aware = log.assign(date=log["date"].dt.tz_localize("UTC"))
    assert tp.rfm_summary(aware, unit="D", tz="UTC").loc["a", "recency"] == 3


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bad_logs("pandas"))
def test_bad_input_is_refused(name):
    log, arguments, message = BAD_LOGS[name]
    with pytest.raises(InputError, match=message):
        tp.rfm_summary(log, **arguments)


def test_what_is_no_log_is_refused():
    with pytest.raises(InputError, match="the log is a list; pass a pandas or polars frame"):
        tp.rfm_summary([1, 2])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("2024-01-03", "split is 2024-01-03, the window ends on 2024-01-03; split must be before"),
        ("2023-12-31", "split is 2023-12-31, before the first purchase on 2024-01-01"),
        ("soon", "split is 'soon'; pass a whole day"),
    ],
)
def test_bad_splits_are_refused(split, message):
    with pytest.raises(InputError, match=message):
        tp.rfm_split(GOOD, split)


def test_the_default_split_needs_two_days():
    with pytest.raises(InputError, match="split must be before the last day"):
        tp.rfm_split(GOOD.head(1))


def test_returns_outside_the_window_are_no_fault():
    log = frame(("a", "2024-01-01", 1.0), ("a", "2024-02-01", -1.0))
    assert tp.rfm_summary(log, until="2024-01-15").loc["a", "frequency"] == 0


@pytest.mark.parametrize(
    "call",
    [
        tp.rfm_summary,
        tp.customer_base,
        lambda log, **options: tp.rfm_split(log, "2024-01-10", **options),
    ],
)
def test_a_log_of_which_everything_was_returned_is_refused(call):
    days = pd.to_datetime(["2024-01-08", "2024-01-10", "2024-01-12"])
    log = pd.DataFrame({"customer_id": "b", "date": days, "amount": [20.0, -20.0, -1.0]})
    with pytest.raises(tp.InputError, match="no purchase is left"):
        call(log, returns="net")
