"""Leaks are found, each by the check that should; honest columns are left alone."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import touchpoint_lib as tp
from tests.churn.leaks import (
    FROM_LOG,
    OUTSIDE,
    buyers,
    careless_columns,
    outside_leaks,
    simulate_log,
)
from touchpoint_lib import InputError
from touchpoint_lib.churn._label_checks import reference_classes, tell_ordered
from touchpoint_lib.churn.indicators import behaviour_indicators
from touchpoint_lib.churn.leakage import screen_leakage

CUTOFF, HORIZON = "1997-09-30", 273


def honest_columns(log, at):
    """A few columns from the log cut at the cutoff, with ties, missing values and a bool."""
    log = log[log["date"] <= pd.Timestamp(at)]
    summary = tp.rfm_summary(log, unit="D", until=at)
    columns = summary.assign(silence=summary["T"] - summary["recency"])
    columns["mean_gap"] = (summary["recency"] / summary["frequency"]).where(
        summary["frequency"] > 0
    )
    columns["bought_once"] = summary["frequency"] == 0
    for days in (14, 28, 91, 182):
        recent = log[log["date"] > pd.Timestamp(at) - pd.Timedelta(days=days)]
        grouped = recent.groupby("customer_id")
        columns[f"orders_{days}"] = grouped.size().reindex(columns.index, fill_value=0)
        columns[f"largest_{days}"] = grouped["amount"].max().reindex(columns.index)
    columns["first_order"] = log.groupby("customer_id")["date"].min()
    return columns


@pytest.fixture(scope="module")
def sample():
    log = tp.load_cdnow(sample=True)
    honest = honest_columns(log, CUTOFF)
    return log, honest, buyers(log, CUTOFF, HORIZON, honest.index)


#: Shops of different kinds: gamma rates a day, beta of leaving, regularity, horizon, who buys.
SHOPS = {
    "rare": ((0.25, 60.0), (1.2, 2.0), 1, 540, 14, (0.005, 0.02)),
    "half": ((1.5, 45.0), (0.5, 3.0), 1, 272, 120, (0.4, 0.55)),
    "common": ((1.2, 60.0), (0.1, 9.0), 1, 272, 273, (0.8, 0.95)),
    # Regular weekly buyers over months: silence alone is nearly certain.
    "weekly": ((6.0, 42.0), (1.0, 12.0), 1, 365, 180, (0.15, 0.3)),
}


def shop(name, n=20_000):
    rate, dropout, regularity, days, horizon, (low, high) = SHOPS[name]
    log = simulate_log(n, rate, dropout, days + horizon + 1, seed=3, regularity=regularity)
    at = pd.Timestamp("2023-01-01") + pd.Timedelta(days=days)
    honest = honest_columns(log, at)
    buys = buyers(log, at, horizon, honest.index)
    assert low < buys.mean() < high
    return log, at, honest, buys


# --- the figures behind the checks ---------------------------------------------------------------

#: Values with many ties, both signs, infinities and gaps, at least twenty of each outcome.
VALUES = st.lists(
    st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(-1e6, 1e6).map(lambda value: round(value, 3)),
        st.sampled_from([np.nan, np.inf, -np.inf, -0.0]),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_auc_is_that_of_sklearn_among_present_values(yes, no):
    values = np.array(yes * 20 + no * 20)
    outcome = np.repeat([1, 0], [len(yes) * 20, len(no) * 20])
    told = tell_ordered(values, outcome)
    present = ~np.isnan(values)
    kinds = outcome[present]
    if kinds.size == 0 or kinds.min() == kinds.max():
        assert np.isnan(told.auc)
    else:
        # sklearn refuses infinities: ranks say the same.
        auc = roc_auc_score(kinds, pd.Series(values[present]).rank())
        assert told.auc == pytest.approx(max(auc, 1 - auc), abs=1e-9)
    if present.all() or not present.any():
        assert np.isnan(told.presence_auc)
    else:
        auc = roc_auc_score(outcome, present)
        assert told.presence_auc == pytest.approx(max(auc, 1 - auc), abs=1e-9)


def test_auc_within_classes_is_the_pooled_one_of_sklearn():
    generator = np.random.default_rng(5)
    known, outcome = generator.normal(size=3_000), np.zeros(3_000, dtype=np.int64)
    outcome[generator.random(3_000) < 1 / (1 + np.exp(-known))] = 1
    known[:300] = np.nan
    values = np.round(known * 2) + outcome
    values[::7] = np.nan
    reference = reference_classes("known", known, outcome)
    won, pairs = 0.0, 0
    for code in np.unique(reference.codes):
        rows = (reference.codes == code) & ~np.isnan(values)
        size = int(outcome[rows].sum() * (1 - outcome[rows]).sum())
        if size:
            won, pairs = won + size * roc_auc_score(outcome[rows], values[rows]), pairs + size
    assert pairs > 0
    assert reference.auc_within(values, outcome) == pytest.approx(won / pairs, abs=1e-9)
    # Nothing is left to tell within classes that hold one outcome each.
    certain = reference_classes("certain", outcome.astype(float), outcome)
    assert certain.auc_within(values, outcome) == 0.5


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 12))
def test_pure_rows_are_counted_by_value(sizes, n_pure):
    # Each value alternates outcomes unless it is among the first ``n_pure``: those never buy.
    values = np.repeat(np.arange(len(sizes), dtype=float), sizes)
    outcome = np.arange(len(values)) % 2
    outcome[values < n_pure] = 0
    told = tell_ordered(values, outcome)
    certain = sum(size for size in sizes[:n_pure] if size >= 200)
    assert told.pure_rows >= certain
    if n_pure == 0:
        assert told.pure_rows == 0
    assert told.pure_rows <= sum(sizes[:n_pure]) + sum(1 for size in sizes if size == 1)


@pytest.mark.parametrize(("n_pure", "pure_rows"), [(150, 0), (250, 200), (450, 400)])
def test_continuous_values_are_judged_in_classes_of_200(n_pure, pure_rows):
    outcome = np.arange(2_000) % 2
    outcome[:n_pure] = 0
    assert tell_ordered(np.sqrt(np.arange(2_000.0)), outcome).pure_rows == pure_rows


@pytest.mark.parametrize(
    ("n_pure", "share", "flagged"),
    # log(share / (1 - share)) - 2 standard errors - log(3 / n_pure): 3.2, 4.5; 4.6 of too few, 4.9.
    [(300, 0.25, False), (300, 0.5, True), (45, 0.8, False), (60, 0.9, True)],
)
def test_a_pure_value_must_be_a_cliff(n_pure, share, flagged):
    beside = np.zeros(600, dtype=bool)
    beside[: int(600 * share)] = True
    frame = pd.DataFrame({"a": np.repeat([1, 0], [600, n_pure])})
    outcome = np.concatenate([beside, np.zeros(n_pure, dtype=bool)])
    found = screen_leakage(frame, outcome).loc["a"]
    assert found["flagged"] == flagged
    assert found["pure_share"] == (n_pure / len(frame) if n_pure >= 50 else 0)


# --- leaks are found ---------------------------------------------------------------------------


def test_every_planted_leak_is_found_by_its_check(sample):
    log, honest, buys = sample
    frame = honest.join(outside_leaks(log, CUTOFF, buys)).join(careless_columns(log, CUTOFF))
    recomputed = honest.join(careless_columns(log[log["date"] <= CUTOFF], CUTOFF))
    known = dict.fromkeys(OUTSIDE, CUTOFF)
    found = screen_leakage(frame, buys, recomputed=recomputed.iloc[::-1], known_at=known, at=CUTOFF)
    assert list(found.index[found["flagged"]].sort_values()) == sorted([*OUTSIDE, *FROM_LOG])
    for column, check in OUTSIDE.items():
        assert check in found.loc[column, "reason"], column
        assert found.loc[column, "evidence"]
        assert np.isnan(found.loc[column, "changed_share"])
        assert found.loc[column, "known_at"] == pd.Timestamp(CUTOFF)
    for column in FROM_LOG:
        assert "recompute" in found.loc[column, "reason"]
        assert (
            found.loc[column, "changed_share"]
            == (
                frame[column].ne(recomputed[column])
                & ~(frame[column].isna() & recomputed[column].isna())
            ).mean()
        )
    # Flagged columns first, each group in the order of the frame.
    assert list(found.index) == [
        *[name for name in frame if found["flagged"][name]],
        *[name for name in frame if not found["flagged"][name]],
    ]
    rest = found[~found["flagged"]]
    assert (rest["reason"] == "").all()
    assert (rest["changed_share"] == 0).all()
    assert found.attrs["n"] == len(frame)
    assert found.attrs["outcomes"] == buys.sum()


@pytest.mark.parametrize("name", SHOPS)
def test_label_checks_in_shops_of_every_kind(name):
    log, at, honest, buys = shop(name)
    frame = honest.join(outside_leaks(log, at, buys))
    found = screen_leakage(frame, buys)
    assert set(found.index[found["flagged"]]) == set(OUTSIDE)
    assert found.attrs["reference"] == "silence"
    for column, check in OUTSIDE.items():
        assert check in found.loc[column, "reason"], column


def test_a_reference_explains_what_is_honestly_certain():
    log, at, honest, buys = shop("weekly", n=5_000)
    frame = honest.drop(columns="silence")
    alone = screen_leakage(frame, buys)
    assert alone.attrs["reference"] is None
    assert alone["flagged"].any()
    # Either the recomputed columns vouch for each other, or the user names one.
    again = honest_columns(log[log["date"] <= at], at).drop(columns="silence")
    proven = screen_leakage(frame, buys, recomputed=again)
    assert not proven["flagged"].any()
    assert proven.attrs["reference"] in frame.columns
    named = honest.rename(columns={"silence": "days_quiet"})
    assert not screen_leakage(named, buys, reference="days_quiet")["flagged"].any()
    explained = proven["evidence"][proven["evidence"] != ""]
    assert len(explained) > 0
    assert all("explains it" in text or "leads to expect" in text for text in explained)


def test_a_leak_called_silence_is_no_reference(sample):
    log, honest, buys = sample
    leak = careless_columns(log, CUTOFF)["days_since_last_order"]
    found = screen_leakage(honest.assign(silence=leak), buys)
    assert found.attrs["reference"] is None
    assert list(found.index[found["flagged"]]) == ["silence"]


def test_total_orders_are_found_by_the_label_too(sample):
    log, honest, buys = sample
    total = careless_columns(log, CUTOFF)["orders_by_today"]
    found = screen_leakage(honest.assign(total=total), buys).loc["total"]
    # One order in all: no repeat, so nobody came back; of those with two, most did.
    once = total == 1
    assert found["reason"] == "pure values"
    assert found["pure_share"] == once.mean()
    assert f"Of {once.sum():,} rows with value 1 {once.sum():,} have outcome 0" in found["evidence"]


def test_declared_dates(sample):
    _, honest, _ = sample
    when = pd.Series(pd.Timestamp("1997-09-30 23:00"), index=honest.index)
    late = when.copy()
    late.iloc[7] += pd.Timedelta(days=40)
    frame = honest.assign(survey=1.0, parcel=2.0, income=3.0)
    frame.loc[frame.index[3], "survey"] = np.nan
    when.iloc[3] = pd.NaT  # a missing value has no date
    known = {"survey": when, "parcel": late, "income": "1998-01-01"}
    found = screen_leakage(frame, known_at=known, at=CUTOFF)
    assert list(found.index[found["flagged"]]) == ["parcel", "income"]
    assert (found.loc[["parcel", "income"], "reason"] == "known_at").all()
    assert "40 days after the cutoff 1997-09-30" in found.loc["parcel", "evidence"]
    assert f"1 of {len(frame):,} values" in found.loc["parcel", "evidence"]
    assert found.loc["income", "known_at"] == pd.Timestamp("1998-01-01")
    assert found["known_at"].isna().sum() == honest.shape[1]
    assert found[["auc", "pure_share", "changed_share"]].isna().all(axis=None)
    # The cutoff may come with the frame, as an attribute or a level of the index.
    frame.attrs["at"] = "1998-01-01"
    assert not screen_leakage(frame, known_at=known)["flagged"].any()
    frame.attrs = {}
    cutoffs = pd.to_datetime(np.where(np.arange(len(frame)) < 5, "1997-09-30", "1998-01-01"))
    panel = frame.set_axis(
        pd.MultiIndex.from_arrays([frame.index, cutoffs], names=["customer", "cutoff"])
    )
    found = screen_leakage(panel, known_at={"income": "1998-01-01"})
    assert "too late for 5 of" in found.loc["income", "evidence"]


def test_recomputing_forgives_float_noise_alone():
    frame = pd.DataFrame(
        {
            "noise": [1.0, 1e9, np.nan, np.inf],
            "change": [1.0, 2.0, np.nan, 4.0],
            "gone": [1.0, 2.0, 3.0, 4.0],
            "sign": [1.0, 2.0, 3.0, np.inf],
            "whole": [1, 2, 3, 4],
            "number": [10**12, 2, 3, 4],
            "text": ["a", "b", None, "d"],
            "date": np.array(["9999-12-31", "2024-01-02", "NaT", "2024-01-04"], dtype="M8[s]"),
            "kind": pd.Categorical(["a", "b", "a", "b"]),
        },
        index=list("wxyz"),
    )
    again = frame.copy()
    again["noise"] *= 1 + 1e-12
    again.loc["x", "change"] *= 1 + 1e-6
    again.loc["x", "gone"] = np.nan
    again.loc["z", "sign"] = -np.inf
    again["whole"] = again["whole"].astype(float)
    again.loc["w", "number"] += 1
    again.loc["y", "text"] = "c"
    again.loc["w", "date"] += pd.Timedelta(seconds=1)
    again["kind"] = again["kind"].astype(str)
    again.loc["new"] = again.loc["w"]
    found = screen_leakage(frame, recomputed=again.iloc[::-1])
    assert set(found.index[found["flagged"]]) == {
        "change",
        "gone",
        "sign",
        "number",
        "text",
        "date",
    }
    assert (found.loc[found["flagged"], "changed_share"] == 0.25).all()
    assert "'x': nan instead of 2" in found.loc["gone", "evidence"]
    assert "'z': -inf instead of inf" in found.loc["sign", "evidence"]


def test_every_kind_of_column_is_read(sample):
    _, honest, buys = sample
    paid = buys.to_numpy()
    days = pd.Timestamp(CUTOFF, tz="Asia/Shanghai") + pd.to_timedelta(paid * 30, unit="D")
    frame = honest.assign(
        boolean=pd.array(paid, dtype="boolean"),
        arrow=pd.array(paid, dtype="bool[pyarrow]"),
        whole=pd.array(np.where(paid, 3, 1), dtype="Int64"),
        small=paid.astype("float32"),
        zoned=days,
        span=pd.to_timedelta(paid * 30, unit="D"),
        words=np.where(paid, "yes", "no"),
        kinds=pd.Categorical(np.where(paid, "yes", None)),
        objects=pd.Series(np.where(paid, True, None), index=honest.index, dtype=object),
        nothing=np.nan,
        constant=1,
        names=[f"customer {i}" for i in range(len(honest))],
    )
    found = screen_leakage(frame, buys)
    numbers = ["boolean", "arrow", "whole", "small", "zoned", "span"]
    leaks = [*numbers, "words", "kinds", "objects"]
    assert list(found.index[found["flagged"]]) == leaks
    assert (found.loc[numbers, "auc"] == 1).all()
    assert found.loc[["kinds", "objects"], "auc"].tolist() == [1, 1]  # of their presence
    assert np.isnan(found.loc["words", "auc"])
    assert "value 'yes'" in found.loc["words", "evidence"]
    assert found.loc[leaks, "pure_share"].tolist() == [1] * len(leaks)
    assert np.isnan(found.loc["nothing", "auc"])
    assert found.loc["constant", "auc"] == 0.5
    assert found.loc["names", "pure_share"] == 0


def test_numbers_are_numbers_however_they_are_stored(sample):
    _, honest, buys = sample
    generator = np.random.default_rng(8)
    # Distinct, so that nothing but the order of the numbers tells who buys.
    leak = np.where(buys, 1.5, 0) + generator.random(len(buys))
    texts = [repr(value) for value in leak.tolist()]
    frame = honest.assign(
        floats=leak.astype(object),
        decimals=[Decimal(text) for text in texts],
        texts=texts,
        arrow=pd.array(texts, dtype="string[pyarrow]"),
        gaps=[None if row % 5 == 0 else text for row, text in enumerate(texts)],
        mixed=[text if row % 2 else leak[row] for row, text in enumerate(texts)],
        honest=[str(value) for value in generator.random(len(buys))],
    )
    leaks = ["floats", "decimals", "texts", "arrow", "gaps", "mixed"]
    found = screen_leakage(frame, buys)
    assert list(found.index[found["flagged"]]) == leaks
    assert (found.loc[leaks, "auc"] == 1).all()
    assert found.loc["honest", "auc"] < 0.55
    named = screen_leakage(frame, buys, reference="decimals")
    assert named.attrs["reference"] == "decimals"


def test_what_the_label_checks_could_not_read_is_said(sample):
    _, honest, buys = sample
    n = len(honest)
    codes = [f"{'b' if paid else 'a'}{row}" for row, paid in enumerate(buys)]
    frame = honest.assign(
        codes=codes,
        half=[code if row % 2 else None for row, code in enumerate(codes)],
        # 60 % in small categories, and 40 %.
        mostly=[code if row % 5 < 3 else "known" for row, code in enumerate(codes)],
        partly=[code if row % 5 < 2 else "known" for row, code in enumerate(codes)],
        tuples=[(code,) for code in codes],
        huge=[10**400 + row for row in range(n)],
    )
    found = screen_leakage(frame, buys)
    said = found["evidence"].str.extract(
        r"not checked: ([\d,]+ distinct \w+), each in fewer than 50"
    )
    expected = {
        "codes": f"{n:,} distinct texts",
        "half": f"{n // 2:,} distinct texts",
        "mostly": f"{sum(row % 5 < 3 for row in range(n)):,} distinct texts",
        "tuples": f"{n:,} distinct values",
        "huge": f"{n:,} distinct values",
    }
    assert said[0].dropna().to_dict() == expected
    # The log itself has proven them.
    proven = screen_leakage(frame, buys, recomputed=frame.copy())
    assert not proven["evidence"].str.contains("not checked").any()


def test_the_outcome_can_be_a_column(sample):
    _, honest, buys = sample
    frame = honest.assign(copy=buys)
    panel = frame.assign(buys=buys)
    pd.testing.assert_frame_equal(screen_leakage(panel, "buys"), screen_leakage(frame, buys))
    # It is no column that the log must confirm.
    again = screen_leakage(panel, "buys", recomputed=frame.copy())
    pd.testing.assert_frame_equal(again, screen_leakage(frame, buys, recomputed=frame.copy()))


def test_the_bound_is_the_users(sample):
    _, honest, buys = sample
    found = screen_leakage(honest, buys, max_auc=0.75)
    assert found.loc["silence", "auc"] == pytest.approx(0.7714, abs=5e-5)  # plain recency
    # As its own reference silence is explained; another one leaves it something to tell.
    assert not found.loc["silence", "flagged"]
    found = screen_leakage(honest.drop(columns="recency"), buys, reference="T", max_auc=0.75)
    assert found.attrs["max_auc"] == 0.75
    assert found.attrs["reference"] == "T"


# --- honest columns are left alone ---------------------------------------------------------------


def test_rare_outcomes_make_pure_values_that_are_no_leak():
    generator = np.random.default_rng(11)
    frame = pd.DataFrame(generator.normal(size=(50_000, 20))).add_prefix("c").round(1)
    frame["group"] = generator.integers(0, 200, len(frame)).astype(str)
    outcome = generator.random(len(frame)) < 0.002
    found = screen_leakage(frame, outcome)
    assert (found["pure_share"] > 0).any()
    assert not found["flagged"].any()


@pytest.mark.slow
@pytest.mark.parametrize("sample_only", [True, False])
def test_hundreds_of_honest_indicators_of_cdnow(sample_only):
    log = tp.load_cdnow(sample=sample_only)
    indicators = behaviour_indicators(log, CUTOFF)
    buys = buyers(log, CUTOFF, HORIZON, indicators.index)
    again = behaviour_indicators(log[log["date"] <= CUTOFF], CUTOFF)
    for frame, options in (
        (indicators, {}),
        (indicators.drop(columns="silence"), {}),
        (indicators, {"recomputed": again}),
    ):
        found = screen_leakage(frame, buys, **options)
        assert found["flagged"].mean() < 0.02, list(found.index[found["flagged"]])
    leaks = outside_leaks(log, CUTOFF, buys)
    found = screen_leakage(indicators.join(leaks), buys)
    assert set(found.index[found["flagged"]]) >= set(OUTSIDE)


# --- bad input -----------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {"a": np.arange(60.0), "b": 1}, index=pd.Index([f"c{i}" for i in range(60)], name="customer")
)
TRUTH = pd.Series(np.arange(60) % 2 == 0, index=FRAME.index)
DATES = pd.Series(pd.Timestamp("2024-01-01"), index=FRAME.index)


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((FRAME,), {}, "no check is possible; pass outcome, recomputed or known_at"),
        ((FRAME,), {"known_at": {}}, "no check is possible"),
        ((FRAME["a"], TRUTH), {}, "frame is a Series; it must be a pandas DataFrame"),
        ((FRAME.iloc[:0], TRUTH.iloc[:0]), {}, "frame has shape (0, 2)"),
        ((FRAME[[]], TRUTH), {}, "frame has shape (60, 0)"),
        ((FRAME.set_axis(["a", "a"], axis=1), TRUTH), {}, "several columns 'a'"),
        ((FRAME, TRUTH[::-1]), {}, "frame and outcome have different indexes"),
        ((FRAME, TRUTH[:50]), {}, "frame has 60 values, outcome 50"),
        ((FRAME, TRUTH * 2), {}, "outcome has the value 2"),
        ((FRAME, np.arange(60) < 12), {}, "outcome is 1 in 12 of 60 rows; at least 20"),
        ((FRAME, np.ones(60)), {}, "outcome is 0 in 0 of 60 rows"),
        ((FRAME.assign(z=1j), TRUTH), {}, "column 'z' holds complex numbers"),
        ((FRAME.assign(z=[[1]] * 60), TRUTH), {}, "column 'z' holds values that cannot be"),
        ((FRAME, TRUTH), {"max_auc": 0.5}, "max_auc is 0.5; it must be > 0.5"),
        ((FRAME, TRUTH), {"max_auc": 1}, "max_auc is 1; it must be < 1"),
        ((FRAME, TRUTH), {"reference": "c"}, "frame has no column 'c'"),
        ((FRAME, TRUTH), {"reference": ["a"]}, "reference is ['a'], a list; name one column"),
        ((FRAME, "buys"), {}, "frame has no column 'buys' (it has 'a', 'b'); name the column of"),
        ((FRAME[["b"]], "b"), {}, "frame has shape (60, 0)"),
        ((FRAME, "b"), {"recomputed": FRAME}, "recomputed is frame itself"),
        ((FRAME.assign(z="x"), TRUTH), {"reference": "z"}, "reference is 'z', a column of categ"),
        ((FRAME,), {"recomputed": FRAME.copy(), "reference": "a"}, "without an outcome"),
        ((FRAME,), {"recomputed": FRAME}, "recomputed is frame itself"),
        ((FRAME,), {"recomputed": FRAME["a"]}, "recomputed is a Series"),
        ((FRAME,), {"recomputed": FRAME[["a"]]}, "recomputed lacks 1 columns of frame: 'b'"),
        ((FRAME,), {"recomputed": FRAME[2:]}, "lacks 2 customers of frame: 'c0', 'c1'"),
        ((FRAME,), {"recomputed": pd.concat([FRAME, FRAME])}, "recomputed has several rows of"),
        ((FRAME,), {"known_at": ["a"], "at": "2024-01-01"}, "known_at is a list; pass a dict"),
        ((FRAME,), {"known_at": {"z": "2024-01-01"}, "at": "2024-01-01"}, "no column 'z'"),
        ((FRAME,), {"known_at": {"a": "2024-01-01"}}, "known_at is given without a cutoff"),
        ((FRAME,), {"known_at": {"a": "soon"}, "at": "2024-01-01"}, "known_at of 'a' is 'soon'"),
        ((FRAME,), {"known_at": {"a": DATES}, "at": "later"}, "at is 'later'"),
        ((FRAME,), {"known_at": {"a": DATES[:9]}, "at": "2024-01-01"}, "different indexes"),
        ((FRAME,), {"known_at": {"a": TRUTH}, "at": "2024-01-01"}, "known_at of 'a' holds bool"),
        (
            (FRAME,),
            {"known_at": {"a": DATES.where(TRUTH)}, "at": "2024-01-01"},
            "known_at of 'a' is missing at index 'c1'",
        ),
    ],
)
def test_bad_input_is_named(args, options, words):
    with pytest.raises(InputError) as caught:
        screen_leakage(*args, **options)
    assert words in str(caught.value)
