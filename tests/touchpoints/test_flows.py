"""Monthly flows between stages, against a walk in plain Python; the difference of two groups."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib.touchpoints.flows import flow_difference, stage_flows

STAGES = ["new", "awake", "drowsy", "half asleep", "asleep"]


def history_of(*rows, categories=STAGES):
    """Return a history from (customer, start, end or None, stage)."""
    frame = pd.DataFrame(rows, columns=["customer_id", "start", "end", "stage"])
    for name in ("start", "end"):
        frame[name] = pd.DatetimeIndex([pd.Timestamp(value) for value in frame[name]])
    frame["stage"] = pd.Categorical(frame["stage"], categories=categories, ordered=True)
    return frame


ONE = history_of(
    ("a", "2024-01-10 09:00", "2024-02-20", "new"),
    ("a", "2024-02-20", "2024-04-05", "drowsy"),
    ("a", "2024-04-05", "2024-07-09 12:00", "asleep"),
    ("a", "2024-07-09 12:00", None, "awake"),
    ("b", "2024-05-01", None, "new"),
)


def as_set(flows):
    return {
        (str(month.date()), source, target, customers)
        for month, source, target, customers in flows[
            ["month", "source", "target", "customers"]
        ].itertuples(index=False)
    }


def test_two_customers_by_hand():
    flows = stage_flows(ONE, until="2024-07-31")
    assert as_set(flows) == {
        ("2024-02-01", "new", "drowsy", 1),
        ("2024-03-01", "drowsy", "drowsy", 1),
        ("2024-04-01", "drowsy", "asleep", 1),
        # Asleep for the whole of May: lost.
        ("2024-05-01", "asleep", "lost", 1),
        # b began in the first moment of May: at its end it is there, before it was not.
        ("2024-05-01", "start", "new", 1),
        ("2024-06-01", "lost", "lost", 1),
        ("2024-06-01", "new", "new", 1),
        ("2024-07-01", "lost", "awake", 1),
        ("2024-07-01", "new", "new", 1),
    }
    assert list(flows["source"].cat.categories) == ["start", *STAGES, "lost"]


def test_without_a_stage_of_sleep_nobody_is_lost():
    flows = stage_flows(ONE, until="2024-07-31", asleep=None)
    assert "lost" not in set(flows["target"])
    assert ("2024-06-01", "asleep", "asleep", 1) in as_set(flows)


def test_a_month_that_is_not_over_is_left_out():
    flows = stage_flows(ONE, until="2024-07-30")
    assert flows["month"].max() == pd.Timestamp("2024-06-01")


def test_who_leaves_a_history_is_lost():
    gone = history_of(("a", "2024-01-01", "2024-03-10", "awake"), ("b", "2024-01-05", None, "new"))
    flows = stage_flows(gone, until="2024-04-30")
    assert ("2024-03-01", "awake", "lost", 1) in as_set(flows)
    assert ("2024-04-01", "lost", "lost", 1) in as_set(flows)


def test_the_shares_of_a_source_sum_to_one():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    flows = stage_flows(tp.stage_history(paid, model))
    known = flows[flows["source"] != "start"]
    sums = known.groupby(["month", "source"], observed=True)["share"].sum()
    assert sums.to_numpy() == pytest.approx(1)
    assert flows.loc[flows["source"] == "start", "share"].isna().all()
    assert (known["share_low"] <= known["share"]).all()
    assert (known["share"] <= known["share_high"]).all()
    # Everybody who came in a whole month is there at its end, once.
    first = paid.groupby("customer_id")["time"].min()
    by_month = flows[flows["source"] == "start"].groupby("month")["customers"].sum()
    came = first.dt.to_period("M").value_counts().sort_index()
    assert by_month.to_list() == came.to_list()[: len(by_month)]


@st.composite
def histories(draw):
    """Return histories of some customers, whose stages follow each other."""
    rows = []
    for customer in range(draw(st.integers(1, 6))):
        times = draw(st.lists(st.integers(0, 300), min_size=1, max_size=6, unique=True))
        starts = [pd.Timestamp("2024-01-01") + pd.Timedelta(days=t / 2) for t in sorted(times)]
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            rows.append((customer, start, end, draw(st.sampled_from(STAGES))))
    return history_of(*rows)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_walk_in_plain_python(history):
    until = pd.Timestamp("2024-06-30 23:59:59.999999")
    counts = Counter()
    months = pd.date_range("2024-01-01", "2024-07-01", freq="MS")
    begin = history["start"].min()
    months = [m for m in months if m >= begin.normalize()]
    for _, mine in history.groupby("customer_id"):
        before = None
        for number, moment in enumerate(months):
            rows = [
                r
                for r in mine.itertuples()
                if r.start < moment <= (r.end or pd.Timestamp.max)
                or (r.start < moment and pd.isna(r.end))
            ]
            now = rows[-1].stage if rows else None
            if number:
                if rows and now == "asleep" and rows[-1].start < months[number - 1]:
                    now = "lost"
                if now is not None:
                    counts[months[number - 1], before or "start", now] += 1
            before = now
    found = stage_flows(history, until=until)
    assert {
        (m, s, t): n
        for m, s, t, n in found[["month", "source", "target", "customers"]].itertuples(index=False)
    } == dict(counts)


def test_groups_add_up():
    rng = np.random.default_rng(1)
    group = pd.Series(rng.integers(0, 2, 400))
    history = random_history(rng, 400, np.full(400, 0.3))
    parts, whole = stage_flows(history, group=group), stage_flows(history)
    summed = parts.groupby(["month", "source", "target"], observed=True)["customers"].sum()
    assert summed.to_list() == whole["customers"].to_list()


def random_history(rng, n, chance):
    """Return customers who sleep or wake by month with a chance of their own."""
    rows = []
    for customer in range(n):
        start = pd.Timestamp("2024-01-01")
        stage = "awake"
        months = pd.date_range("2024-02-01", "2024-12-01", freq="MS")
        for month in months:
            if rng.random() < chance[customer]:
                at = month + pd.Timedelta(days=int(rng.integers(0, 28)))
                rows.append((customer, start, at, stage))
                start, stage = at, "drowsy" if stage == "awake" else "awake"
        rows.append((customer, start, None, stage))
    return history_of(*rows)


def test_the_difference_is_that_of_the_flows():
    rng = np.random.default_rng(2)
    group = pd.Series(np.where(rng.random(600) < 0.4, "left", "right"))
    chance = np.where(group == "left", 0.2, 0.4)
    history = random_history(rng, 600, chance)
    found = flow_difference(history, group).set_index(["source", "target"])
    flows = stage_flows(history, group=group)
    sums = (
        flows[flows["source"] != "start"]
        .groupby(["group", "source", "target"], observed=True)["customers"]
        .sum()
    )
    for (source, target), row in found.iterrows():
        for place, name in enumerate(["left", "right"], start=1):
            assert row[f"moved_{place}"] == sums.get((name, source, target), 0)
            assert row[f"months_{place}"] == sums.loc[name, source].sum()
    falls = found.loc[("awake", "drowsy")]
    assert falls["low"] < 0.2 < falls["high"]
    assert falls["low"] > 0.1


@pytest.mark.slow
def test_the_interval_knows_that_months_of_a_customer_belong_together():
    """In 200 pairs of groups without a difference, 95 % of the intervals hold 0."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(200):
        group = pd.Series(rng.integers(0, 2, 120))
        # Some move often, some never: the months of one are no independent cases.
        chance = np.where(rng.random(120) < 0.3, 0.8, 0.02)
        found = flow_difference(random_history(rng, 120, chance), group)
        row = found[(found["source"] == "awake") & (found["target"] == "drowsy")].iloc[0]
        held.append(row["low"] <= 0 <= row["high"])
    # Binomial, n = 200, p = .95: below 181 once in 250 such tests.
    assert sum(held) >= 181


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": ONE.drop(columns="end")}, "history has no column 'end'"),
        ({"history": ONE.head(0)}, "history has no rows"),
        ({"history": ONE.assign(stage="awake")}, "stage of history holds str, no categories"),
        ({"asleep": "sleeping"}, "asleep is 'sleeping', which is no stage; the stages are 'new'"),
        ({"until": "2024-01-20"}, "no whole month lies between 2024-01-10 09:00:00 and 2024-01-20"),
        ({"group": pd.Series({"a": 1})}, r"customer 'b' has no group \(1 such customers\)"),
        ({"group": {"a": 1}}, "group is no Series with one label a customer"),
        ({"level": 1}, "level is 1"),
        ({"asleep": ["asleep"]}, r"asleep is \['asleep'\], which is no stage"),
        (
            {"history": ONE.assign(customer_id=[1, 1, 1, 1, 2]), "group": pd.Series({1: "x"})},
            r"customer 2 has no group \(1 such customers\)",
        ),
        (
            {"history": ONE.assign(end=ONE["end"].where(ONE.index != 1))},
            r"customer 'a' has two stages at one moment \(1 such stages\)",
        ),
        (
            {"history": ONE.assign(end=ONE["start"] - pd.Timedelta("1D"))},
            "a stage of customer 'a' ends before it starts",
        ),
        (
            {"history": ONE.assign(stage=ONE["stage"].cat.rename_categories({"new": "start"}))},
            "a stage is called 'start'; rename it",
        ),
    ],
)
def test_bad_input(change, message):
    call = {"history": ONE, "until": "2024-07-31", **change}
    with pytest.raises(tp.InputError, match=message):
        stage_flows(call.pop("history"), **call)


def test_behind_its_end_a_history_has_no_flows():
    history = ONE.copy()
    history.attrs["until"] = "2024-07-31"
    assert len(stage_flows(history, until="2024-06-30")) < len(stage_flows(history))
    message = "until is 2024-08-31 23:59:59.999999, history ends at 2024-07-31 23:59:59.999999"
    with pytest.raises(tp.InputError, match=message):
        stage_flows(history, until="2024-08-31")


def test_a_stage_that_one_group_never_held_has_no_difference():
    found = flow_difference(ONE, pd.Series({"a": "left", "b": "right"}), until="2024-07-31")
    rows = found.set_index(["source", "target"])
    alone = rows.loc[("drowsy", "drowsy")]
    assert (alone["months_1"], alone["months_2"], alone["share_1"]) == (2, 0, 0.5)
    assert alone[["share_2", "difference", "low", "high"]].isna().all()
    both = rows.loc[("new", "new")]
    assert both[["difference", "low", "high"]].notna().all()


def test_two_groups_are_compared():
    with pytest.raises(tp.InputError, match="group has 3 labels; pass two"):
        flow_difference(
            history_of(*((name, "2024-01-01", None, "new") for name in "abc")),
            pd.Series({"a": 1, "b": 2, "c": 3}),
            until="2024-03-31",
        )
