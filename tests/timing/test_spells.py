from __future__ import annotations

from datetime import timedelta

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.strategies import START as FIRST
from tests.strategies import logs
from tests.timing.timing_oracle import (
    START,
    new_spells,
    quantile,
    random_log,
    spells_from_gaps,
    spells_of,
)
from touchpoint_lib.timing.spells import check_spells, open_spells, starts_of

NUMBERS = ["frequency", "recency", "gap", "observed", "log_gaps", "monetary_value"]


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return tp.load_cdnow(sample=True)


def rows_of(log):
    return [(row.customer_id, row.date.date(), row.amount) for row in log.itertuples()]


def assert_is(got, expected):
    wanted = pd.DataFrame(expected)
    assert got.index.tolist() == wanted["customer"].tolist()
    assert got["start"].tolist() == wanted["start"].tolist()
    for name in NUMBERS[:4]:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)
    for name in NUMBERS[4:]:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-12, atol=1e-12, err_msg=name)


@settings(max_examples=50, deadline=None)
@given(logs(), st.integers(0, 45))
def test_spells_equal_the_rules(log, day):
    until = (FIRST + pd.Timedelta(days=day)).date()
    assert_is(tp.purchase_spells(log, until=until), spells_of(rows_of(log), until))


@settings(max_examples=50, deadline=None)
@given(logs(returns=True), st.sampled_from(["drop", "net"]), st.integers(0, 45))
def test_returns_follow_the_rules(log, returns, day):
    until = (FIRST + pd.Timedelta(days=day)).date()
    got = tp.purchase_spells(log, until=until, returns=returns)
    assert_is(got, spells_of(rows_of(log), until, returns))


@settings(max_examples=30, deadline=None)
@given(logs(returns=True), st.integers(0, 45))
def test_the_last_spells_are_the_summary(log, day):
    until = (FIRST + pd.Timedelta(days=day)).date()
    keep = {"until": until, "returns": "net"}
    assert_last_spells(tp.purchase_spells(log, **keep), tp.rfm_summary(log, unit="D", **keep))


def assert_last_spells(spells, summary):
    last = open_spells(spells)
    assert last.index.equals(summary.index)
    for name in ("frequency", "recency", "T"):
        np.testing.assert_array_equal(last[name], summary[name], err_msg=name)
    # Sums of logarithms are added up in another order.
    for name in ("log_gaps", "monetary_value"):
        np.testing.assert_allclose(last[name], summary[name], rtol=1e-13, err_msg=name)
    shared = ("unit", "until", "report")
    assert {key: last.attrs[key] for key in shared} == {key: summary.attrs[key] for key in shared}


def test_the_last_spells_of_cdnow_are_its_summary(sample):
    assert_last_spells(tp.purchase_spells(sample), tp.rfm_summary(sample, unit="D"))


def test_a_model_fits_open_spells_as_it_fits_the_summary(sample):
    ours = tp.ModifiedBetaGeoModel().fit(open_spells(tp.purchase_spells(sample)))
    theirs = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(sample, unit="D"))
    assert ours.unit_ == "D"
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(ours.params_, theirs.params_, rtol=1e-6)


def test_columns_types_and_attributes(sample):
    spells = tp.purchase_spells(sample, until="1998-03-31")
    assert spells.columns.tolist() == ["start", *NUMBERS]
    assert spells.index.name == "customer_id"
    assert spells.index.dtype == tp.rfm_summary(sample).index.dtype
    assert str(spells["start"].dtype) == "datetime64[s]"
    assert {str(spells[name].dtype) for name in NUMBERS} == {"float64"}
    assert spells.attrs["unit"] == "D"
    assert spells.attrs["until"] == "1998-03-31"
    assert spells.attrs["report"]["rows"] == len(sample)
    # One row a purchase day in the window, none in a customer's last row has a gap.
    within = sample[sample["date"] <= "1998-03-31"]
    assert len(spells) == len(within.drop_duplicates(["customer_id", "date"]))
    assert np.isinf(spells["gap"]).sum() == spells.index.nunique()


def test_a_log_without_amounts_has_no_money(sample):
    spells = tp.purchase_spells(sample.drop(columns="amount"), amount=None)
    pd.testing.assert_frame_equal(spells, tp.purchase_spells(sample).drop(columns="monetary_value"))


def test_order_ids_tz_and_column_names_are_those_of_the_summary():
    log = pd.DataFrame(
        {
            "who": [7, 7, 7, 3],
            "at": pd.to_datetime(
                ["2024-01-01 15:00", "2024-01-02 17:00", "2024-01-02 17:00", "2024-01-05 01:00"]
            ).tz_localize("UTC"),
            "paid": [4.0, 6.0, 6.0, 1.0],
            "no": ["a", "b", "b", "c"],
        }
    )
    keep = {"customer": "who", "time": "at", "amount": "paid", "order": "no", "tz": "Asia/Shanghai"}
    spells = tp.purchase_spells(log, **keep)
    assert spells.index.tolist() == [3, 7, 7]
    assert spells.index.name == "who"
    # 17:00 in Greenwich is the next day in Shanghai; order b is one.
    assert spells["start"].dt.day.tolist() == [5, 1, 3]
    assert spells["gap"].tolist() == [np.inf, 2.0, np.inf]
    assert spells["monetary_value"].tolist() == [0.0, 0.0, 6.0]
    assert_last_spells(spells, tp.rfm_summary(log, unit="D", **keep))


def test_sources_give_equal_frames(sample, tmp_path):
    expected = tp.purchase_spells(sample)
    path = tmp_path / "log.parquet"
    sample.to_parquet(path)
    relation = duckdb.connect().from_arrow(pl.from_pandas(sample).to_arrow())
    for source in (str(path), pl.from_pandas(sample), relation):
        got = tp.purchase_spells(source)
        # Sources differ in the type of strings only.
        assert got.index.tolist() == expected.index.tolist()
        pd.testing.assert_frame_equal(got, expected, check_index_type=False)


def test_the_order_of_rows_does_not_matter():
    log = random_log(1, 30)
    pd.testing.assert_frame_equal(
        tp.purchase_spells(log), tp.purchase_spells(log.sort_values("date", ascending=False))
    )


@pytest.mark.parametrize(
    ("change", "keep", "words"),
    [
        ({"amount": -1.0}, {}, ["negative", "returns"]),
        ({"customer_id": None}, {}, ["customer_id"]),
        ({}, {"until": "2020-01-01"}, ["until", "before the first purchase"]),
        ({}, {"returns": "keep"}, ["returns is 'keep'"]),
        ({}, {"time": "when"}, ["when"]),
    ],
)
def test_bad_logs_are_refused_as_by_the_summary(change, keep, words):
    log = random_log(1, 5)
    for name, value in change.items():
        log.loc[0, name] = value
    for call in (tp.purchase_spells, tp.rfm_summary):
        with pytest.raises(tp.InputError) as caught:
            call(log, **keep)
        assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_log_whose_purchases_were_all_returned():
    log = pd.DataFrame(
        {"customer_id": ["a", "a"], "date": pd.Timestamp("2024-01-01"), "amount": [5.0, -5.0]}
    )
    with pytest.raises(tp.InputError, match="every one in the window was returned"):
        tp.purchase_spells(log, returns="net")


@pytest.mark.parametrize("name", ["start", "gap", "observed"])
def test_a_customer_column_named_like_a_result_is_refused(name):
    log = random_log(1, 5).rename(columns={"customer_id": name})
    with pytest.raises(tp.InputError, match="rename it"):
        tp.purchase_spells(log, customer=name)


# --- check_spells ----------------------------------------------------------------------------


def frame():
    return spells_from_gaps([[3.0, 5.0], [], [2.0]], [4.0, 9.0, 1.0]).rename(index="c{}".format)


def test_frames_of_spells_pass():
    check_spells(frame())
    check_spells(frame().loc[["c0", "c2"]])
    check_spells(tp.purchase_spells(random_log(2, 10)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, ["spells is a NoneType"]),
        (lambda f: f["gap"], ["spells is a Series"]),
        (lambda f: f.drop(columns="gap"), ["no column 'gap'", "purchase_spells"]),
        (lambda f: f.iloc[:0], ["no rows"]),
        (lambda f: f.assign(gap=np.nan), ["gap is nan"]),
        (lambda f: f.assign(gap=-1.0), ["gap is -1"]),
        (lambda f: f.assign(observed="x"), ["observed is not numeric"]),
        (lambda f: f.iloc[1:], ["incomplete or out of order", "customer 'c0'"]),
        (lambda f: f.iloc[[0, 2, 3, 4, 5]], ["incomplete or out of order", "customer 'c0'"]),
        (lambda f: f.iloc[::-1], ["incomplete or out of order"]),
        (lambda f: f.iloc[[0, 3, 1, 2, 4, 5]], ["incomplete or out of order"]),
        # The last spell of a customer is the open one: without it silence would be counted
        # through a purchase.
        (lambda f: f.iloc[[0, 1, 3, 4, 5]], ["incomplete or out of order", "customer 'c0'"]),
        (lambda f: f.iloc[:-1], ["incomplete or out of order", "customer 'c2'"]),
    ],
)
def test_other_frames_are_refused(make, words):
    with pytest.raises(tp.InputError) as caught:
        check_spells(make(frame()))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8))
def test_starts_are_where_customers_begin(lengths):
    ids = [number for number, length in enumerate(lengths) for _ in range(length)]
    expected = [ids.index(one) for one in ids]
    assert starts_of(pd.Index(ids)).tolist() == expected


def test_open_spells_of_newcomers():
    last = open_spells(new_spells(3))
    assert last["T"].tolist() == [100.0] * 3
    assert last.columns.tolist() == ["start", "frequency", "recency", "T", "log_gaps"]
    assert last.attrs["unit"] == "D"


def test_spells_before_a_day_are_those_of_the_log_cut_there():
    """A policy sees a spell as of its first day: what came later must not show."""
    log = random_log(3, 40)
    full = tp.purchase_spells(log)
    for days in (100, 250):
        cut = START + timedelta(days=days)
        early = tp.purchase_spells(log[log["date"] <= cut])
        same = full[full["start"] <= cut]
        known = ["start", "frequency", "recency", "log_gaps", "monetary_value"]
        pd.testing.assert_frame_equal(same[known], early[known], check_exact=False, rtol=1e-12)


# --- windows for the back-test -----------------------------------------------------------------

USUAL = (7, 14, 21, 30, 45, 60, 90, 120, 180)


@pytest.mark.parametrize("mean_gap", [4.0, 12.0, 40.0])
@pytest.mark.parametrize("days", [60, 200, 600])
def test_windows_fit_the_pace_of_the_log(mean_gap, days):
    spells = tp.purchase_spells(random_log(4, 150, days=days, mean_gap=mean_gap))
    ended = sorted(gap for gap in spells["gap"] if gap < np.inf)
    usual = min(USUAL, key=lambda one: abs(one - quantile(ended, 0.75)))
    old = [one for one in USUAL if (spells["observed"] >= 3 * one).mean() >= 0.2]
    horizon = min(usual, max(old))
    expected = {"horizon": horizon, "lapse": 3 * horizon, "deadline": 2 * horizon}
    assert tp.timing_windows(spells) == expected


def test_windows_need_gaps_and_days():
    with pytest.raises(tp.InputError, match="no customer bought on two different days"):
        tp.timing_windows(new_spells(30))
    with pytest.raises(tp.InputError, match="longer log"):
        tp.timing_windows(spells_from_gaps([[2.0, 3.0]] * 30, [4.0] * 30))
