"""Stages: day by day as `sleep_states` says of the log cut there; nothing of what came later."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.strategies import START, logs
from touchpoint_lib import InputError
from touchpoint_lib.touchpoints.stages import STAGES, stage_at, stage_history

DAY = pd.Timedelta(days=1)
TICK = pd.Timedelta("1us")
MODELS = {
    ("MBG", "W"): tp.ModifiedBetaGeoModel.from_params([0.8, 3.0, 0.8, 2.0], unit="W"),
    ("MBG", "D"): tp.ModifiedBetaGeoModel.from_params([0.8, 21.0, 0.8, 2.0], unit="D"),
    ("Pareto", "W"): tp.ParetoNBDModel.from_params([0.8, 3.0, 0.6, 8.0], unit="W"),
    ("Pareto", "D"): tp.ParetoNBDModel.from_params([0.8, 21.0, 0.6, 56.0], unit="D"),
}
MODEL = MODELS["MBG", "D"]


def purchases(*rows: tuple[Any, str]) -> pd.DataFrame:
    ids, times = zip(*rows, strict=True)
    return pd.DataFrame(
        {"customer_id": list(ids), "time": pd.to_datetime(list(times), format="ISO8601")}
    )


def moments(ids: Any, times: Any) -> pd.DataFrame:
    return pd.DataFrame({"customer_id": ids, "time": times})


def day_by_day(log: pd.DataFrame, model: Any, last: int, **options: Any) -> pd.DataFrame:
    """Stage of every customer at the end of every day, from histories that a loop has counted."""
    per_unit = 7 if model.unit_ == "W" else 1
    rows = []
    for customer, own in log.groupby("customer_id"):
        days = sorted({(time.normalize() - START).days for time in own["time"]})
        for day in range(days[0], last + 1):
            known = [one for one in days if one <= day]
            rows.append(
                {
                    "customer_id": customer,
                    "day": day,
                    "frequency": len(known) - 1,
                    "recency": (known[-1] - known[0]) / per_unit,
                    "T": (day - known[0]) / per_unit,
                }
            )
    frame = pd.DataFrame(rows)
    states = tp.sleep_states(model, frame[["frequency", "recency", "T"]], **options)["state"]
    once = (frame["frequency"] == 0) & (states == "awake")
    return frame.assign(stage=states.astype(object).mask(once, "new"))


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=12, deadline=None)
@given(log=logs(days=60), lines=st.sampled_from([(0.8, 0.5, 0.2), (0.95, 0.9, 0.05)]))
def test_every_day_is_as_the_sleep_states_of_that_day(kind, log, lines):
    model = MODELS[kind]
    log = log.rename(columns={"date": "time"})
    history = stage_history(log, model, lines=lines, until=START + 200 * DAY)
    expected = day_by_day(log, model, 200, lines=lines)
    at = moments(expected["customer_id"], START + pd.to_timedelta(expected["day"] + 1, "D") - TICK)
    assert stage_at(history, at).astype(object).tolist() == expected["stage"].tolist()
    # Before the first order of a customer there is no stage.
    first = log.groupby("customer_id")["time"].min()
    assert stage_at(history, moments(first.index, first.to_numpy() - TICK)).isna().all()


@settings(max_examples=25, deadline=None)
@given(log=logs(days=60))
def test_the_rows_of_a_history(log):
    log = log.rename(columns={"date": "time"})
    until = START + 150 * DAY
    history = stage_history(log, MODEL, until=until)
    assert history.columns.to_list() == ["customer_id", "start", "end", "stage", "purchases"]
    assert list(history["stage"].cat.categories) == list(STAGES)
    assert history["stage"].cat.ordered
    assert history.attrs == {"until": str(until + DAY - TICK)}
    assert set(history["customer_id"]) == set(log["customer_id"])
    assert history["customer_id"].is_monotonic_increasing
    for customer, own in history.groupby("customer_id"):
        bought = sorted(log.loc[log["customer_id"] == customer, "time"])
        days = sorted({time.normalize() for time in bought})
        begins = [min(time for time in bought if time.normalize() == day) for day in days]
        # From one stage to the next without a gap; the last one lasts.
        assert own["end"].iloc[:-1].tolist() == own["start"].iloc[1:].tolist()
        assert pd.isna(own["end"].iloc[-1])
        assert (own["start"].diff().dropna() > pd.Timedelta(0)).all()
        woken = own[own["start"].isin(begins)]
        assert woken["start"].tolist() == begins
        assert woken["stage"].tolist() == ["new"] + ["awake"] * (len(begins) - 1)
        assert woken["purchases"].tolist() == list(range(1, len(begins) + 1))
        fallen = own[~own["start"].isin(begins)]
        assert (fallen["start"] == fallen["start"].dt.normalize()).all()
        assert fallen["stage"].isin(["drowsy", "half asleep", "asleep"]).all()
        assert (fallen["start"] <= until + DAY).all()
        # Between two purchases sleep only gets deeper.
        deeper = own["stage"].cat.codes.diff()
        assert (deeper[~own["start"].isin(begins)] > 0).all()


@settings(max_examples=25, deadline=None)
@given(log=logs(days=60), cut=st.integers(0, 80))
def test_a_history_knows_nothing_that_came_later(log, cut):
    log = log.rename(columns={"date": "time"})
    end = START + (cut + 1) * DAY - TICK
    whole = stage_history(log, MODEL, until=START + 200 * DAY)
    part = stage_history(log[log["time"] <= end], MODEL, until=START + cut * DAY)
    known = whole[whole["start"] <= end].reset_index(drop=True)
    known["end"] = known["end"].where(known["end"] <= end)
    pd.testing.assert_frame_equal(part, known, check_names=False)


def test_the_order_of_the_rows_and_repeated_orders_change_nothing():
    log = tp.load_cdnow(sample=True).rename(columns={"date": "time"}).head(500)
    twice = pd.concat([log, log.head(100)]).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(stage_history(twice, MODEL), stage_history(log, MODEL))


@pytest.mark.parametrize("model_class", [tp.ModifiedBetaGeoModel, tp.ParetoNBDModel])
def test_at_the_end_of_cdnow_it_is_as_sleep_states(model_class):
    log = tp.load_cdnow(sample=True)
    summary = tp.rfm_summary(log)
    model = model_class().fit(summary)
    renamed = log.rename(columns={"date": "time"})
    history = stage_history(renamed, model)
    last = log["date"].max() + DAY - TICK
    found = stage_at(history, moments(summary.index, last)).astype(object)
    states = tp.sleep_states(model, summary)["state"].astype(object)
    once = (summary["frequency"] == 0) & (states == "awake")
    expected = states.mask(once, "new")
    assert found.tolist() == expected.tolist()
    assert len(found) == 2357
    # And in the middle of the log, by the summary of what was known.
    middle = tp.rfm_summary(log, until="1997-09-30")
    before = renamed[renamed["time"] <= "1997-09-30"]
    at = moments(middle.index, pd.Timestamp("1997-09-30 23:00"))
    states = tp.sleep_states(model, middle)["state"].astype(object)
    expected = states.mask((middle["frequency"] == 0) & (states == "awake"), "new")
    assert stage_at(history, at).astype(object).tolist() == expected.tolist()
    assert stage_at(stage_history(before, model), at).astype(object).tolist() == expected.tolist()


# --- as of --------------------------------------------------------------------------------------


def test_a_stage_holds_from_its_start_to_just_before_its_end():
    log = purchases(("a", "2024-01-01 09:30:00.000001"), ("a", "2024-01-20 23:59:59.999999"))
    history = stage_history(log, MODEL, until="2024-12-31")
    a = history[history["customer_id"] == "a"]
    for start, end, stage in zip(a["start"], a["end"], a["stage"], strict=True):
        last = pd.Timestamp("2100-01-01") if pd.isna(end) else end - TICK
        found = stage_at(history, moments(["a", "a"], [start, last]))
        assert found.tolist() == [stage, stage]
    assert stage_at(history, moments(["a"], [a["start"].iloc[0] - TICK])).isna().all()


def test_the_first_stage_is_new_until_the_first_line_or_the_second_day():
    log = purchases(("a", "2024-01-01 09:00"), ("a", "2024-01-01 10:00"), ("a", "2024-01-02"))
    history = stage_history(log, MODEL, until="2024-01-03")
    assert history["stage"].tolist() == ["new", "awake"]
    assert history["purchases"].tolist() == [1, 2]
    assert history["start"].tolist() == [log["time"][0], log["time"][2]]


def test_until_ends_the_history():
    log = purchases(("a", "2024-01-01 09:00"), ("b", "2024-01-05 12:00"))
    short, long = (stage_history(log, MODEL, until=u) for u in (None, "2030-01-01"))
    assert short["stage"].tolist() == ["new", "new"]
    assert short.attrs["until"] == "2024-01-05 12:00:00"
    assert long["stage"].tolist() == ["new", "drowsy", "half asleep", "asleep"] * 2
    crossed = long["start"].iloc[1]
    for until, n in ((crossed, 2), (crossed - TICK, 1), (crossed.date(), 2)):
        found = stage_history(log[:1], MODEL, until=until)
        # A moment at midnight is the whole day.
        assert len(found) == n


def test_windows_of_stages_made_by_hand():
    history = pd.DataFrame(
        {
            "customer_id": [1, 1, 2],
            "start": pd.to_datetime(["2024-01-01", "2024-02-01", "2024-01-05"]),
            "end": pd.to_datetime(["2024-01-10", None, None]),
            "stage": pd.Categorical(["trial", "member", "trial"]),
        }
    )
    at = moments(
        [1, 1, 1, 1, 2, 3],
        pd.to_datetime(["2024-01-09", "2024-01-10", "2024-01-31"] + ["2024-02-01"] * 3),
    )
    at.index = [9, 8, 7, 7, 5, 4]
    found = stage_at(history, at)
    assert found.astype(object).where(found.notna(), None).tolist() == [
        *("trial", None, None, "member", "trial", None)
    ]
    assert found.index.tolist() == at.index.tolist()
    assert found.name == "stage"
    assert found.dtype == history["stage"].dtype
    shuffled = stage_at(history.iloc[[2, 0, 1]], at)
    pd.testing.assert_series_equal(shuffled, found)


@pytest.mark.parametrize("kind", ["str", "category", "int64", "object"])
def test_ids_of_every_type(kind):
    ids = pd.Series(["0012", "12", "0012"])
    ids = pd.Series([12, 7, 12]) if kind == "int64" else ids.astype(kind)
    log = pd.DataFrame({"customer_id": ids, "time": START + pd.to_timedelta([0, 1, 5], "D")})
    history = stage_history(log, MODEL)
    found = stage_at(history, moments(ids, START + 6 * DAY))
    assert found.tolist() == ["awake", "new", "awake"]
    assert stage_at(history, moments(ids.iloc[:1], START)).tolist() == ["new"]


def test_a_million_years_of_silence_make_no_row():
    model = tp.ModifiedBetaGeoModel.from_params([0.8, 1e7, 0.8, 2.0], unit="D")
    history = stage_history(purchases(("a", "2024-01-01")), model, until="2200-01-01")
    assert history["stage"].tolist() == ["new"]


# --- refused ------------------------------------------------------------------------------------

LOG = purchases(("a", "2024-01-01"), ("b", "2024-01-03"))

BAD_HISTORIES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no frame": ([1], {}, "orders"),
    "no rows": (LOG.head(0), {}, "orders has no rows; pass at least one"),
    "no time": (LOG[["customer_id"]], {}, r"'time'.*make it with order_log\(...\)"),
    "times as text": (LOG.astype({"time": "str"}), {}, "time of orders holds str, no times; conv"),
    "a missing time": (
        LOG.assign(time=[START, pd.NaT]),
        {},
        "time of orders is missing at index 1",
    ),
    "a missing id": (
        LOG.assign(customer_id=["a", None]),
        {},
        "customer_id of orders is missing at",
    ),
    "aware": (
        LOG.assign(time=LOG["time"].dt.tz_localize("UTC")),
        {},
        "time of orders has the time zone UTC; pass what the shop's clocks showed",
    ),
    "until too early": (
        LOG,
        {"until": "2024-01-02"},
        r"until is 2024-01-02 23:59:59.999999, before the last order \(2024-01-03 00:00:00\)",
    ),
    "until is a number": (LOG, {"until": 5}, "until is 5; pass a date or moment"),
    "until is no date": (LOG, {"until": "soon"}, "until is 'soon'"),
    "until is missing": (LOG, {"until": pd.NaT}, "until is NaT; pass a date"),
    "until has a zone": (LOG, {"until": pd.Timestamp("2025-01-01", tz="UTC")}, "has a time zone"),
    "months": (
        LOG,
        {"model": tp.BetaGeoBetaBinomModel.from_params([1.2, 0.75, 0.66, 2.8], unit="M")},
        "model has the unit 'M'; fit it in days",
    ),
    "lines rise": (LOG, {"lines": (0.2, 0.5, 0.8)}, "lines"),
    "two lines": (LOG, {"lines": (0.8, 0.5)}, "lines"),
    "no model": (LOG, {"model": None}, "model is a NoneType, not fitted; pass a fitted Modified"),
    "not fitted": (
        LOG,
        {"model": tp.ModifiedBetaGeoModel()},
        "model is a ModifiedBetaGeoModel, not fitted; pass a fitted ModifiedBetaGeoModel",
    ),
    "BG/NBD": (
        LOG,
        {"model": tp.BetaGeoModel.from_params([0.8, 3.0, 0.8, 2.0], unit="W")},
        "model is a BetaGeoModel, which holds one-time customers alive for ever; use Modified",
    ),
}


@pytest.mark.parametrize("name", BAD_HISTORIES)
def test_bad_orders_are_refused(name):
    log, options, message = BAD_HISTORIES[name]
    with pytest.raises(InputError, match=message):
        stage_history(log, **{"model": MODEL, **options})


GOOD = stage_history(LOG, MODEL)
ZONED = {name: GOOD[name].dt.tz_localize("UTC") for name in ("start", "end")}

BAD_LOOKS: dict[str, tuple[pd.DataFrame, pd.DataFrame, str]] = {
    "no stage": (GOOD.drop(columns="stage"), LOG, r"'stage'.*make it with stage_history\(...\)"),
    "no rows": (GOOD.head(0), LOG, "history has no rows; pass at least one stage"),
    "stages as text": (GOOD.astype({"stage": "str"}), LOG, "stage of history holds str, no categ"),
    "missing stage": (
        GOOD.assign(stage=GOOD["stage"].where([True, False])),
        LOG,
        "stage of history",
    ),
    "ends as text": (GOOD.assign(end="x"), LOG, "end of history holds str, no times"),
    "starts as text": (GOOD.assign(start="x"), LOG, "start of history holds str, no times"),
    "two stages at once": (
        pd.concat([GOOD, GOOD]),
        LOG,
        "customer 'a' has two stages from one mom",
    ),
    "one stage in another": (
        GOOD.iloc[[0, 0]].assign(start=[GOOD["start"][0], GOOD["start"][0] + pd.Timedelta("1h")]),
        LOG,
        "customer 'a' has two stages at one moment",
    ),
    "an end before the start": (
        GOOD.assign(end=GOOD["start"] - pd.Timedelta("1us")),
        LOG,
        "a stage of customer 'a' ends before it starts",
    ),
    "others": (
        GOOD,
        LOG.assign(customer_id=["x", "y"]),
        "no customer of contacts .* is in history",
    ),
    "no times": (GOOD, LOG[["customer_id"]], r"'time'.*make it with contact_log\(...\)"),
    "no contacts": (GOOD, LOG.head(0), "contacts has no rows"),
    "aware contacts": (
        GOOD,
        LOG.assign(time=LOG["time"].dt.tz_localize("UTC")),
        "has the time zone",
    ),
    # DEFECT 13: its instants are taken for what the clocks showed, or numpy raises.
    "aware history": (GOOD.assign(**ZONED), LOG, "start of history has the time zone UTC"),
}


@pytest.mark.parametrize("name", BAD_LOOKS)
def test_bad_looks_are_refused(name):
    history, contacts, message = BAD_LOOKS[name]
    with pytest.raises(InputError, match=message):
        stage_at(history, contacts)


def test_a_day_can_be_a_date():
    history = stage_history(LOG, MODEL, until=dt.date(2024, 1, 3))
    assert history.attrs["until"] == "2024-01-03 23:59:59.999999"
    assert np.array_equal(history["purchases"], [1, 1])
