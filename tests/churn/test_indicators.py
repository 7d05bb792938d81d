from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.churn import behaviour_oracle
from tests.churn.behaviour_logs import PHASES, ROLES, START, one_row, rich_logs
from touchpoint_lib import InputError
from touchpoint_lib.churn._levels import TIMES, slugs
from touchpoint_lib.churn.indicators import behaviour_indicators, indicator_dictionary


def check_against_oracle(frame, expected):
    assert sorted(frame.index) == sorted(expected)
    for who, row in frame.iterrows():
        assert set(expected[who]) == set(frame.columns)
        for name, value in row.items():
            want = float(expected[who][name])
            assert value == pytest.approx(want, rel=1e-9, abs=1e-9, nan_ok=True), (who, name)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, phases=PHASES)
@given(drawn=rich_logs(returns=True), returns=st.sampled_from(["drop", "net"]))
def test_every_column_agrees_with_plain_python(drawn, returns):
    log, at = drawn
    frame = behaviour_indicators(log, at, returns=returns, **ROLES)
    levels = frame.attrs["levels"]
    expected = behaviour_oracle.indicators(
        log, at, levels, returns=returns, discounts=True, purchase="buy"
    )
    check_against_oracle(frame, expected)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, phases=PHASES)
@given(drawn=rich_logs(returns=True), returns=st.sampled_from(["drop", "net"]))
def test_nothing_later_than_the_cutoff_touches_a_column(drawn, returns):
    log, at = drawn
    cut = log[log["date"] < pd.Timestamp(at) + pd.Timedelta(days=1)]
    whole = behaviour_indicators(log, at, returns=returns, **ROLES)
    known = behaviour_indicators(cut, at, returns=returns, **ROLES)
    pd.testing.assert_frame_equal(whole, known, rtol=1e-12, atol=1e-12)
    assert whole.attrs == known.attrs
    check_dictionary(whole)


def check_dictionary(frame):
    """Every column is described, by an own name, and never NaN where the dictionary says so."""
    dictionary = indicator_dictionary(frame)
    assert list(dictionary.index) == list(frame.columns)
    assert dictionary.index.is_unique
    assert all(re.fullmatch("[a-z0-9_]+|T", name) for name in frame.columns)
    assert list(dictionary.columns) == ["group", "window", "unit", "formula", "known_at", "missing"]
    assert (dictionary[["group", "unit", "formula"]] != "").all(axis=None)
    assert (dictionary["known_at"] == "cutoff").all()
    assert (frame.dtypes == np.float64).all()
    for name, missing in dictionary["missing"].items():
        if (when := said_to_be_nan(frame, name, missing)) is not None:
            assert (frame[name].isna() == when).all(), (name, missing)
    never = frame.columns[dictionary["missing"] == ""]
    assert np.isfinite(frame[never]).all(axis=None)
    assert not np.isinf(frame).any(axis=None)


def said_to_be_nan(frame, name, missing):
    """Customers whose value the dictionary calls NaN; None where it names several reasons."""
    if found := re.fullmatch(r"fewer than (\d+) purchase days", missing):
        return frame["frequency"] + 1 < int(found[1])
    if found := re.fullmatch(r"fewer than 2 purchase days in the (\d+) days up .*", missing):
        return frame[f"purchases_{found[1]}d"] < 2
    if found := re.fullmatch(r"no purchase in the (\d+) days up to the cutoff", missing):
        return frame[f"purchases_{found[1]}d"] == 0
    if found := re.fullmatch(r"no purchase in the (\d+) days before the .*", missing):
        w = int(found[1])
        return frame[f"purchases_{w}d"] - frame[f"purchases_change_{w}d"] == 0
    if found := re.fullmatch(r"amount 0 in the (\d+) days before the .*", missing):
        w = int(found[1])
        return frame[f"amount_{w}d"] - frame[f"amount_change_{w}d"] == 0
    if re.fullmatch("no purchase with c.*", missing):
        return frame[name.replace("_days_since", "_purchases")] == 0
    if re.fullmatch("no (other )?events .*", missing):
        return frame[name.replace("_days_since", "_count")] == 0
    simple = {
        "": pd.Series(data=False, index=frame.index),
        "T is 0": frame["T"] == 0,
        "the customer's amount is 0": frame.get("amount_total", np.nan) == 0,
        "no purchase day with a discounted row": frame.get("discount_purchases", np.nan) == 0,
        "no purchase day without a discounted row": frame.get("discount_share", np.nan) == 1,
        "no purchase in the later half of T": frame["purchases_late_half_share"] == 0,
    }
    if missing in simple:
        return simple[missing]
    assert ", or" in missing or "none of the customers" in missing, (name, missing)
    return None


def test_every_column_that_may_be_nan_is_nan_in_some_log():
    on_the_day = behaviour_indicators(one_row(), "2023-11-20", **ROLES)
    later = behaviour_indicators(
        pd.concat([one_row(), one_row(customer_id="b", category="y", discount=1.0)]),
        "2026-11-20",
        **ROLES,
    )
    rows = [
        one_row(customer_id="b"),
        one_row(customer_id="b", event="mail"),
        one_row(channel="shop"),
    ]
    mailed = behaviour_indicators(pd.concat(rows), "2026-11-20", **ROLES)
    nan = set()
    for frame in (on_the_day, later, mailed):
        nan |= set(frame.columns[frame.isna().any()])
    missing = indicator_dictionary(mailed)["missing"]
    assert set(missing.index[missing != ""]) <= nan
    assert nan & set(missing.index[missing == ""]) == set()


@pytest.mark.parametrize("sample", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_cdnow_has_more_than_300_columns_and_those_of_the_summary(sample):
    log = tp.load_cdnow(sample=sample)
    frame = behaviour_indicators(log, "1997-09-30")
    assert frame.shape == (2357 if sample else 23570, 326)
    assert frame.attrs == {"unit": "D", "at": "1997-09-30", "roles": [], "levels": {}}
    summary = tp.rfm_summary(log, unit="D", until="1997-09-30")
    columns = ["frequency", "recency", "T", "monetary_value", "log_gaps"]
    pd.testing.assert_frame_equal(
        frame[columns], summary[columns].astype(float), check_flags=False, rtol=1e-12
    )
    assert (frame["silence"] == summary["T"] - summary["recency"]).all()
    month = frame.groupby("acquired_month")["T"].transform("size")
    assert (frame["cohort_size"] == month).all()
    check_dictionary(frame)


def test_orders_discounts_and_returns_count_as_in_the_summary():
    rng = np.random.default_rng(5)
    size = 3000
    log = pd.DataFrame(
        {
            "customer_id": rng.integers(0, 200, size),
            "date": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 500, size), "D"),
            "amount": rng.integers(-20, 60, size) / 4,
            "discount": rng.integers(0, 2, size) / 2,
            "order": np.arange(size),
        }
    )
    log = pd.concat([log, log.sample(300, random_state=1)])
    options = {"order": "order", "discount": "discount", "returns": "net"}
    frame = behaviour_indicators(log, "2024-03-01", **options)
    summary = tp.rfm_summary(log, unit="D", until="2024-03-01", **options)
    pd.testing.assert_frame_equal(
        frame[list(summary)], summary.astype(float), check_flags=False, rtol=1e-9
    )
    sold = log.drop_duplicates().query("amount >= 0 and date <= '2024-03-01'")
    assert 0 < frame["lines_total"].sum() <= len(sold)
    assert (frame["lines_total"] <= sold.groupby("customer_id").size().reindex(frame.index)).all()


def test_without_amounts_only_their_columns_are_left_out():
    log = tp.load_cdnow(sample=True)
    money = behaviour_indicators(log, "1997-09-30")
    frame = behaviour_indicators(log, "1997-09-30", amount=None)
    units = indicator_dictionary(money)["unit"]
    left_out = [name for name in money.columns if name not in frame.columns]
    assert (
        units[[name for name in units.index if "money" in units[name]]].index.isin(left_out).all()
    )
    assert all(
        "amount" in name for name in left_out if name not in ("monetary_value", "free_share")
    )
    pd.testing.assert_frame_equal(frame, money[list(frame)])
    assert list(indicator_dictionary(frame).index) == list(frame)


@pytest.mark.parametrize("shape", [1, 2, 4])
def test_regularity_finds_the_shape_of_erlang_gaps(shape):
    """Wheat & Morrison's k / (1 + k), and Thom's 1 / k, from one long history."""
    rng = np.random.default_rng(shape)
    gaps = np.maximum(rng.gamma(shape, 60 / shape, 1500).round(), 1)
    days = pd.Timestamp("1700-01-01").as_unit("s") + pd.to_timedelta(gaps.cumsum(), "D").as_unit(
        "s"
    )
    log = pd.DataFrame({"customer_id": 1, "date": days})
    row = behaviour_indicators(log, days[-1].date(), amount=None).loc[1]
    assert row["gap_regularity"] == pytest.approx(shape / (1 + shape), abs=0.03)
    assert row["gap_inverse_shape"] == pytest.approx(1 / shape, abs=0.06)
    assert row["gap_cv"] == pytest.approx(shape**-0.5, abs=0.05)
    assert row["gap_burstiness"] == pytest.approx((1 - shape**0.5) / (1 + shape**0.5), abs=0.04)
    assert row["gap_memory"] == pytest.approx(0, abs=0.08)


def test_even_gaps_are_regular_and_clumps_are_clumpy():
    def of(days):
        log = pd.DataFrame(
            {"customer_id": 1, "date": pd.Timestamp(START) + pd.to_timedelta(days, "D")}
        )
        return behaviour_indicators(log, START + timedelta(100), amount=None).loc[1]

    # Gaps of 101/5 days would be perfectly even: the last stretch is the silence + 1.
    even, clumped = of([0, 20, 40, 60, 80]), of([0, 97, 98, 99, 100])
    assert even["gap_burstiness"] == -1
    assert even["gap_inverse_shape"] == pytest.approx(0, abs=1e-12)
    assert even["gap_regularity"] == 1
    assert even["clumpiness"] == pytest.approx(0, abs=1e-3)
    # By hand: gaps 97, 1, 1, 1 and the silence + 1 = 1, each of 101 days.
    by_hand = 1 + (97 / 101 * math.log(97 / 101) + 4 / 101 * math.log(1 / 101)) / math.log(5)
    assert clumped["clumpiness"] == pytest.approx(by_hand, rel=1e-12)
    assert clumped["clumpiness"] > 0.8


def test_levels_are_the_commonest_and_can_be_handed_on():
    rng = np.random.default_rng(3)
    size = 400
    log = pd.DataFrame(
        {
            "customer_id": rng.integers(0, 50, size),
            "date": pd.Timestamp(START) + pd.to_timedelta(rng.integers(0, 300, size), "D"),
            "category": [f"k{k}" for k in rng.integers(0, 14, size)],
        }
    )
    late = log["date"] > pd.Timestamp(START) + pd.Timedelta(days=200)
    log.loc[late & (log["category"] == "k3"), "category"] = "new"
    options = {"amount": None, "category": "category"}
    first = behaviour_indicators(log, START + timedelta(200), **options)
    levels = first.attrs["levels"]
    days = log[~late].drop_duplicates(["customer_id", "date", "category"])
    counts = Counter(days["category"])
    assert levels == {"category": sorted(sorted(counts, key=lambda k: (-counts[k], k))[:10])}
    assert len(counts) > 10
    second = behaviour_indicators(log, START + timedelta(300), levels=levels, **options)
    assert list(second) == list(first)
    assert second.attrs["levels"] == levels
    assert second["category_other_purchases"].sum() > first["category_other_purchases"].sum()
    own = behaviour_indicators(log, START + timedelta(300), **options)
    assert own.attrs["levels"] != levels


def test_names_of_levels_are_plain_and_different():
    words = ["Hats & Co", "hats_co", "other", "帽子", "level", "Café", "cafe", "x_1f2e3d"]
    names = slugs(words)
    hashed = [hashlib.sha1(word.encode()).hexdigest()[:6] for word in words]
    assert names == [
        f"hats_co_{hashed[0]}",
        "hats_co",
        f"other_{hashed[2]}",
        f"level_{hashed[3]}",
        "level",
        f"cafe_{hashed[5]}",
        "cafe",
        f"x_1f2e3d_{hashed[7]}",
        "other",
    ]
    # Found by search: the first 6 digits of their sha1 are the same.
    with pytest.raises(
        InputError, match="'周书' and '塻书' have the same short name 'level_ceb73b'"
    ):
        slugs(["周书", "塻书"])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["Книги", "Музыка"], ["level_acdfa1", "level_19ecb2"]),
        (["图书", "音乐"], ["level_8a8807", "level_afb3c4"]),
        (["Books", "books"], ["books_4a7fdd", "books"]),
    ],
)
def test_a_column_means_the_same_level_whatever_the_others_are(words, names):
    """The level that is commonest at one cutoff is not at another."""
    dates = ["2023-11-20", "2023-11-21", "2023-12-20", "2023-12-21", "2023-12-22"]
    kinds = [words[0], words[0], words[1], words[1], words[1]]
    log = pd.concat(
        [
            one_row(date=date, category=kind, customer_id=who)
            for who in "ab"
            for date, kind in zip(dates, kinds, strict=True)
        ]
    )
    option = {"category": "category"}
    both = behaviour_indicators(log, "2023-12-22", **option)
    assert both.attrs["levels"]["category"] == sorted(words)
    for number, word, name in zip((2, 3), words, names, strict=True):
        column = f"category_{name}_purchases"
        assert both[column].tolist() == [number, number]
        assert repr(word) in indicator_dictionary(both).loc[column, "formula"]
    alone = behaviour_indicators(log, "2023-11-30", **option)
    assert f"category_{names[0]}_purchases" in alone
    assert f"category_{names[1]}_purchases" not in alone
    for listed in (words, words[::-1]):
        handed = behaviour_indicators(log, "2023-12-22", levels={"category": listed}, **option)
        pd.testing.assert_frame_equal(handed, both, check_exact=True)
        assert handed.attrs == both.attrs


def test_the_customer_s_commonest_level_does_not_depend_on_the_order_of_levels():
    log = pd.concat([one_row(category="y"), one_row(date="2023-11-22", category="x")])
    for levels in (["x", "y"], ["y", "x"]):
        frame = behaviour_indicators(
            log, "2023-11-23", category="category", levels={"category": levels, "time": TIMES}
        )
        assert frame.loc["a", "category_last_is_commonest"] == 1


@pytest.mark.parametrize("scale", [1e-9, 1e9, 2.0**-30, 2.0**30])
def test_ranks_do_not_depend_on_the_unit_of_money(scale):
    log = tp.load_cdnow(sample=True)
    frame = behaviour_indicators(log, "1997-09-30")
    other = behaviour_indicators(log.assign(amount=log["amount"] * scale), "1997-09-30")
    ranks = ["amount_rank_in_cohort", "amount_rank_in_frequency"]
    pd.testing.assert_frame_equal(other[ranks], frame[ranks], check_exact=True)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_equal_sums_are_ties_in_any_unit_of_money(scale):
    # 0.1 + 0.2 is not 0.3 in floats.
    amounts = {"a": [0.1, 0.2], "b": [0.3, 0.0], "c": [0.3, 1e-9], "d": [0.0, 0.0]}
    rows = [
        one_row(customer_id=who, date=f"2023-11-2{day}", amount=amount * scale)
        for who, own in amounts.items()
        for day, amount in enumerate(own)
    ]
    frame = behaviour_indicators(pd.concat(rows), "2023-11-23")
    assert frame["amount_rank_in_cohort"].tolist() == [0.5, 0.5, 0.875, 0.125]


def many_rows(n_rows, n_customers):
    """A log with several rows a day, orders in pieces, returns, hours, and words."""
    rng = np.random.default_rng(8)
    seconds = rng.integers(0, 60 * 86400, n_rows)
    log = pd.DataFrame(
        {
            "customer_id": rng.integers(0, n_customers, n_rows),
            "date": pd.Timestamp("2023-01-01") + pd.to_timedelta(seconds, "s"),
            "amount": rng.normal(20, 15, n_rows).round(2),
            "order": [None if k % 3 else f"o{k}" for k in range(n_rows)],
            "category": rng.choice(["Книги", "books", "Books"], n_rows),
        }
    )
    return pd.concat([log, log.sample(n_rows // 20, random_state=1)])


@pytest.mark.parametrize("returns", ["drop", "net"])
def test_the_order_of_the_rows_changes_no_digit(returns):
    log = many_rows(20_000, 400)
    options = {"order": "order", "category": "category", "returns": returns}
    frame = behaviour_indicators(log, "2023-02-20", **options)
    for seed in range(3):
        shuffled = behaviour_indicators(
            log.sample(frac=1, random_state=seed), "2023-02-20", **options
        )
        pd.testing.assert_frame_equal(shuffled, frame, check_exact=True)
    summary = tp.rfm_summary(log, until="2023-02-20", unit="D", order="order", returns=returns)
    pd.testing.assert_frame_equal(
        frame[list(summary)], summary.astype(float), check_flags=False, rtol=1e-11
    )


@pytest.mark.parametrize("sample", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_order_of_the_rows_changes_no_digit_of_cdnow(sample):
    log = tp.load_cdnow(sample=sample)
    frame = behaviour_indicators(log, "1997-09-30")
    shuffled = behaviour_indicators(log.sample(frac=1, random_state=4), "1997-09-30")
    pd.testing.assert_frame_equal(shuffled, frame, check_exact=True)


def test_times_of_day_are_those_of_the_zone():
    moments = pd.to_datetime(["2024-03-30 23:30", "2024-03-31 21:30"], utc=True)
    log = pd.DataFrame({"customer_id": 1, "date": moments, "amount": 1.0})
    row = behaviour_indicators(log, "2024-04-01", tz="Europe/Berlin").loc[1]
    # 00:30 in winter and 23:30 in summer time, both on 31 March.
    assert (row["frequency"], row["time_hour_last"], row["time_night_share"]) == (0, 0.5, 1)
    row = behaviour_indicators(log, "2024-04-01", tz="UTC").loc[1]
    assert (row["frequency"], row["time_hour_last"], row["time_evening_share"]) == (1, 21.5, 1)


def test_times_of_day_are_left_out_where_there_are_none_by_the_cutoff():
    log = pd.concat([one_row(date="2024-01-01"), one_row(date="2024-01-05 10:00")])
    assert "time" not in behaviour_indicators(log, "2024-01-04").attrs["levels"]
    later = behaviour_indicators(log, "2024-01-05")
    assert later.loc["a", "time_morning_share"] == 0.5
    handed = behaviour_indicators(log, "2024-01-04", levels=later.attrs["levels"])
    assert list(handed) == list(later)


def test_files_keep_their_words(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("customer_id,date,amount,category\n1,2024-01-01,2,01\n1,2024-01-02,2,1\n")
    frame = behaviour_indicators(path, "2024-01-02", category="category")
    assert frame.attrs["levels"]["category"] == ["01", "1"]
    assert frame.loc[1, "category_01_days_since"] == 1


def test_a_cutoff_after_the_last_row_only_adds_silence():
    log = tp.load_cdnow(sample=True)
    frame = behaviour_indicators(log, "1999-06-30")
    summary = tp.rfm_summary(log, unit="D")
    pd.testing.assert_series_equal(
        frame["silence"], summary["T"] - summary["recency"] + 365, check_names=False
    )
    assert (frame["purchases_365d"] == 0).all()


def test_rows_without_a_word_are_refused_or_dropped():
    log = pd.concat([one_row(), one_row(date="2023-11-22", category=None)])
    with pytest.raises(InputError, match="1 of 2 rows cannot be used: 1 without category"):
        behaviour_indicators(log, "2023-11-23", category="category")
    kept = behaviour_indicators(log, "2023-11-23", category="category", on_bad="drop")
    assert kept.loc["a", "frequency"] == 0


def test_other_events_need_no_amount_but_a_customer_and_a_time():
    mail = one_row(event="mail", amount=None, date="2023-11-21")
    log = pd.concat([one_row(), mail, one_row(event="mail", customer_id="never", amount=None)])
    event = {"event": "event", "purchase_event": "buy"}
    frame = behaviour_indicators(log, "2023-11-23", **event)
    assert frame.index.tolist() == ["a"]
    assert frame.loc["a", "event_mail_since_purchase"] == 1
    with pytest.raises(InputError, match="1 of 2 rows cannot be used: 1 without amount"):
        behaviour_indicators(pd.concat([mail, log, one_row(amount=None)]), "2023-11-23", **event)
    lost = pd.concat([log, mail.assign(customer_id=None)])
    with pytest.raises(InputError, match=r"1 of 3 rows of other events .*1 without customer_id"):
        behaviour_indicators(lost, "2023-11-23", **event)
    kept = behaviour_indicators(lost, "2023-11-23", on_bad="drop", **event)
    pd.testing.assert_frame_equal(kept, frame)
    with pytest.raises(InputError, match="1 of 4 rows cannot be used: 1 without event"):
        behaviour_indicators(pd.concat([log, one_row(event=None)]), "2023-11-23", **event)


BAD = {
    "future": ({"at": "2999-01-01"}, "at is 2999-01-01, later than today"),
    "early": ({"at": "2023-11-19"}, "at is 2023-11-19, before the first purchase on 2023-11-20"),
    "no day": ({"at": "soon"}, "at is 'soon'"),
    "time": ({"at": "2023-11-20 10:00"}, "at is '2023-11-20 10:00', with a time of day"),
    "none": ({"at": None}, "at is None"),
    "event alone": ({"event": "event"}, "pass both"),
    "purchase alone": ({"purchase_event": "buy"}, "pass both"),
    "no purchase": (
        {"event": "event", "purchase_event": "sale"},
        r"no row of column 'event' is 'sale' \(it has 'buy'\)",
    ),
    "no column": ({"category": "kind"}, "the log has no column 'kind'"),
    "no name": ({"category": 3}, "category is 3; it must be the name of a column"),
    "twice": ({"category": "channel", "channel": "channel"}, "which another argument names too"),
    "list": ({"levels": ["x"]}, "levels is a list"),
    "lacking": ({"category": "category", "levels": {}}, r"levels has no 'category' \(it has none"),
    "foreign": ({"levels": {"category": ["x"]}}, "levels has 'category', which is no role"),
    "text": ({"category": "category", "levels": {"category": "x"}}, r"levels\['category'\] is 'x'"),
    "empty": ({"category": "category", "levels": {"category": [""]}}, "each level must be a text"),
    "double": ({"category": "category", "levels": {"category": ["x"] * 2}}, "a level twice"),
    "times": ({"levels": {"time": ["noon"]}}, r"levels\['time'\] is \['noon'\]; it must be"),
    "huge": ({"amount": "huge"}, "amount_mean_ratio_7d is infinite: amounts are too large or"),
    "on_bad": ({"on_bad": "keep"}, "on_bad is 'keep'"),
    "list column": ({"category": "many"}, "column 'many' is VARCHAR"),
    "own name": ({"customer": "silence"}, "the customer column is named 'silence'"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(options, message):
    log = pd.concat([one_row(huge=5e-324), one_row(date="2024-01-20", huge=1e10)])
    log["many"], log["silence"] = [["x"]] * 2, "a"
    with pytest.raises(InputError, match=message):
        behaviour_indicators(log, **({"at": "2024-01-20"} | options))


def test_the_dictionary_refuses_what_it_does_not_know():
    frame = behaviour_indicators(one_row(), "2024-01-20", category="category")
    assert indicator_dictionary(frame[["T", "category_x_share"]]).index.tolist() == [
        "T",
        "category_x_share",
    ]
    assert indicator_dictionary(frame.assign(buys=True)).shape == (frame.shape[1], 6)
    with pytest.raises(InputError, match="column 'x' is no indicator"):
        indicator_dictionary(frame.assign(x=1.0))
    for levels in (None, ["x"], {"category": "x"}, {"category": [1]}):
        frame.attrs["levels"] = levels
        with pytest.raises(InputError, match=r'attrs\["levels"\] is .*; pass the frame that behav'):
            indicator_dictionary(frame)
    frame.attrs = {}
    with pytest.raises(InputError, match="column 'category_x_purchases' is no indicator"):
        indicator_dictionary(frame)
    with pytest.raises(InputError, match="indicators is a list"):
        indicator_dictionary([1])


def test_the_dictionary_says_where_attrs_may_have_been_lost():
    frame = behaviour_indicators(one_row(), "2024-01-20", category="category")
    plan = pd.DataFrame({"plan": ["free"]}, index=["a"])
    lost = {
        "merge": frame.merge(plan, left_index=True, right_index=True),
        "join": frame.join(plan),
        "concat": pd.concat([frame, plan], axis=1),
    }
    for how, joined in lost.items():
        joined.attrs = {}
        with pytest.raises(
            InputError, match=r'has no attrs\["levels"\] .*where merge, join or con'
        ):
            indicator_dictionary(joined.drop(columns="plan"))
        joined.attrs["levels"] = frame.attrs["levels"]
        assert indicator_dictionary(joined.drop(columns="plan")).shape == (frame.shape[1], 6), how
