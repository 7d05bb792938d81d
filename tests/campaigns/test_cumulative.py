from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns.cumulative import cumulative_effect

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2024-03-01")
FIRST = pd.Timestamp("2024-02-01")
ASKED = {"arm": "group", "control": "holdout", "start": "contacted", "days": 20}


def experiment(seed, n=120, n_events=900, whole=False):
    """Return customers with a moment of contact of their own, and a log that outsiders are in."""
    rng = np.random.default_rng(seed)
    people = pd.DataFrame(
        {
            "customer_id": rng.permutation(1000 + np.arange(n)),
            "group": np.where(rng.random(n) < 0.6, "contact", "holdout"),
            "contacted": START + pd.to_timedelta(rng.integers(0, 10 * 86_400, n), unit="s"),
        }
    )
    moments = FIRST + pd.to_timedelta(rng.integers(0, 60 * 86_400, n_events), unit="s")
    log = pd.DataFrame(
        {
            "customer_id": 1000 + rng.integers(0, n + 30, n_events),
            "time": moments,
            "amount": rng.normal(20, 30, n_events).round(2),
        }
    )
    log.loc[0, "time"], log.loc[1, "time"] = FIRST, FIRST + 60 * DAY
    if whole:
        people["contacted"] = people["contacted"].dt.normalize()
        log["time"] = log["time"].dt.normalize()
    return people, log


def sums_of(people, log, low, high, amount):
    """Return what each customer bought between two numbers of days after the contact."""
    joined = log.merge(people, on="customer_id")
    passed = (joined["time"] - joined["contacted"]) / DAY
    chosen = joined[(passed >= low) & (passed < high)]
    value = chosen[amount] if amount else pd.Series(1.0, index=chosen.index)
    return value.groupby(chosen["customer_id"]).sum().reindex(people["customer_id"], fill_value=0)


# --- each day against a recount ------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    whole=st.booleans(),
    amount=st.sampled_from([None, "amount"]),
    before=st.sampled_from([0, 1, 9]),
    level=st.floats(0.5, 0.99),
)
def test_every_day_is_the_comparison_of_sums_up_to_it(seed, whole, amount, before, level):
    people, log = experiment(seed, whole=whole)
    table = cumulative_effect(
        people, log, **ASKED, amount=amount, before=before, level=level, resamples=100
    )
    assert table["day"].tolist() == [*range(-before, 0), *range(1, 21)]
    treated = (people["group"] == "contact").to_numpy()
    for row in table.itertuples():
        span = (0, row.day) if row.day > 0 else (-before, row.day + 1)
        sums = sums_of(people, log, *span, amount).to_numpy(dtype=float)
        one, none = sums[treated], sums[~treated]
        assert (row.n_treated, row.n_control) == (len(one), len(none))
        assert row.mean_treated == pytest.approx(one.mean(), abs=1e-9)
        assert row.mean_control == pytest.approx(none.mean(), abs=1e-9)
        assert row.effect == pytest.approx(one.mean() - none.mean(), abs=1e-9)
        error = math.sqrt(one.var(ddof=1) / len(one) + none.var(ddof=1) / len(none))
        assert row.standard_error == pytest.approx(error, rel=1e-9)
        z = norm.ppf(0.5 + level / 2)
        assert row.ci_low == pytest.approx(row.effect - z * error, abs=1e-9)
        assert row.ci_high == pytest.approx(row.effect + z * error, abs=1e-9)
        assert row.band_low <= row.ci_low + 1e-9
        assert row.band_high - row.effect == pytest.approx(row.effect - row.band_low, rel=1e-9)
    outside = ~log["customer_id"].isin(people["customer_id"])
    assert table.attrs["other_events"] == outside.sum()


def test_the_table_can_be_written_and_read_with_what_it_says_of_itself():
    people, log = experiment(2)
    table = cumulative_effect(people, log, **ASKED, window=7, cycle=np.int64(10))
    written = io.BytesIO()
    table.to_parquet(written)
    read = pd.read_parquet(written)
    pd.testing.assert_frame_equal(read, table)
    assert read.attrs == table.attrs == json.loads(json.dumps(table.attrs))
    assert read.attrs["until"] == log["time"].max().isoformat()
    assert read.attrs["cycle"] == 10.0


def test_change_is_that_of_the_sum_between_window_and_end():
    people, log = experiment(2)
    found = cumulative_effect(people, log, **ASKED, amount="amount", window=7).attrs["comparison"]
    sums = sums_of(people, log, 7, 20, "amount").to_numpy()
    treated = (people["group"] == "contact").to_numpy()
    one, none = sums[treated], sums[~treated]
    error = math.sqrt(one.var(ddof=1) / len(one) + none.var(ddof=1) / len(none))
    change = one.mean() - none.mean()
    assert found["change"] == pytest.approx(change)
    assert found["change"] == pytest.approx(found["effect_days"] - found["effect_window"])
    assert found["change_low"] == pytest.approx(change - norm.ppf(0.975) * error)
    assert found["change_high"] == pytest.approx(change + norm.ppf(0.975) * error)
    assert found["change_p"] == pytest.approx(2 * norm.sf(abs(change / error)))
    assert (found["window"], found["days"]) == (7, 20)


def test_numbers_of_days_are_as_good_as_dates():
    people, log = experiment(3, whole=True)
    dated = cumulative_effect(people, log, **ASKED, before=5)
    people["contacted"] = (people["contacted"] - FIRST) / DAY
    log["time"] = ((log["time"] - FIRST) / DAY).astype(int)
    numbered = cumulative_effect(people, log, **ASKED, before=5)
    pd.testing.assert_frame_equal(numbered, dated, check_exact=False)
    assert numbered.attrs["until"] == 60.0


@pytest.mark.parametrize("start", ["2024-03-05", pd.Timestamp("2024-03-05"), START.date()])
def test_one_moment_for_all(start):
    people, log = experiment(4)
    table = cumulative_effect(people, log, **(ASKED | {"start": start}))
    people["contacted"] = pd.Timestamp(start)
    pd.testing.assert_frame_equal(table, cumulative_effect(people, log, **ASKED))


def test_order_of_rows_and_the_third_arm_do_not_matter():
    people, log = experiment(5)
    table = cumulative_effect(people, log, **ASKED, amount="amount")
    # These would be too late to compare.
    more = people.assign(
        customer_id=people["customer_id"] + 5000, group="other", contacted=START + 99 * DAY
    )
    mixed = pd.concat([more, people]).sample(frac=1, random_state=1)
    again = cumulative_effect(
        mixed, log.sample(frac=1, random_state=2), **ASKED, amount="amount", treated="contact"
    )
    pd.testing.assert_frame_equal(again, table)


def test_days_on_which_all_are_the_same_have_no_bounds():
    people, log = experiment(6, whole=True)
    passed = log["time"] - log["customer_id"].map(people.set_index("customer_id")["contacted"])
    table = cumulative_effect(people, log[~passed.between(0 * DAY, 3 * DAY)], **ASKED)
    bounds = table.loc[:, "standard_error":"band_high"]
    assert bounds.isna().all(axis=1).tolist() == [True] * 4 + [False] * 16
    assert (table["effect"][:4] == 0).all()
    # Everybody bought once on day 2, some more after day 4.
    once = people[["customer_id"]].assign(time=people["contacted"] + DAY, amount=1.0)
    both = pd.concat([once, log[~passed.between(0 * DAY, 3 * DAY)]])
    shifted = cumulative_effect(people, both, **ASKED)
    assert shifted["standard_error"].isna().sum() == 4
    assert shifted["standard_error"][4:].to_numpy() == pytest.approx(
        table["standard_error"][4:].to_numpy()
    )


# --- the band ------------------------------------------------------------------------------------


def simulated(rng, n, effect_a_day, rate=0.05):
    """Return an experiment of Poisson purchases at rates that differ between customers."""
    days = len(effect_a_day)
    group = (rng.random(n) < 0.5).astype(int)
    liking = rng.gamma(1.0, 1.0, n)
    expected = rate * liking[:, None] * (1 + group[:, None] * np.asarray(effect_a_day))
    counts = rng.poisson(expected)
    place, day = np.nonzero(counts)
    repeats = counts[place, day]
    log = pd.DataFrame({"customer_id": np.repeat(place, repeats), "time": np.repeat(day, repeats)})
    return pd.DataFrame({"customer_id": np.arange(n), "group": group}), log, days


def test_band_covers_all_days_together_and_the_plain_interval_does_not():
    rng = np.random.default_rng(8)
    lift = np.where(np.arange(30) < 10, 0.4, -0.1)
    truth = 0.05 * lift.cumsum()
    runs = 400
    covered = np.zeros(3)
    for _ in range(runs):
        people, log, days = simulated(rng, 1200, lift)
        table = cumulative_effect(
            people, log, arm="group", control=0, start=0, days=days, until=days, resamples=1000
        )
        for place, name in enumerate(("band", "ci")):
            inside = (table[f"{name}_low"] <= truth) & (truth <= table[f"{name}_high"])
            covered[place] += inside.all()
        covered[2] += inside.iloc[-1]
    share = covered / runs
    tolerance = 3 * math.sqrt(0.95 * 0.05 / runs)
    assert share[0] == pytest.approx(0.95, abs=tolerance)
    assert share[2] == pytest.approx(0.95, abs=tolerance)
    assert share[1] < 0.9


def test_band_of_independent_days_is_that_of_independent_normals():
    # A single day after the contact leaves no more than the plain interval.
    people, log = experiment(9)
    one = cumulative_effect(people, log, **(ASKED | {"days": 1}), resamples=200_000)
    width = (one["band_high"] - one["effect"]) / one["standard_error"]
    assert width.iloc[0] == pytest.approx(norm.ppf(0.975), abs=0.02)
    # Amounts that dwarf those of the day before: cumulated, the days hardly correlate.
    rng = np.random.default_rng(9)
    people = pd.DataFrame({"customer_id": range(4000), "group": np.arange(4000) % 2})
    log = pd.DataFrame(
        {
            "customer_id": np.tile(people["customer_id"], 4),
            "time": np.repeat(range(4), 4000),
            "amount": (rng.normal(size=(4, 4000)) * 100.0 ** np.arange(4)[:, None]).ravel(),
        }
    )
    table = cumulative_effect(
        people,
        log,
        arm="group",
        control=0,
        start=0,
        days=4,
        amount="amount",
        resamples=200_000,
    )
    width = (table["band_high"] - table["effect"]) / table["standard_error"]
    # The largest of four independent values: (2 Phi(c) - 1)^4 = .95.
    assert width.to_numpy() == pytest.approx(norm.ppf(0.5 + 0.95**0.25 / 2), abs=0.02)


def test_placebo_days_have_a_band_of_their_own_and_find_nothing():
    people, log = experiment(10, n=400, n_events=6000)
    after = cumulative_effect(people, log, **ASKED, resamples=20_000)
    both = cumulative_effect(people, log, **ASKED, before=10, resamples=20_000)
    later = both[both["day"] > 0].reset_index(drop=True)
    columns = after.columns.drop(["band_low", "band_high"])
    pd.testing.assert_frame_equal(later[columns], after[columns])
    assert later["band_low"].to_numpy() == pytest.approx(after["band_low"].to_numpy(), abs=0.01)
    placebo = both[both["day"] < 0]
    assert (placebo["band_low"] < 0).all()
    assert (placebo["band_high"] > 0).all()
    assert not placebo.duplicated("effect").any()


def test_same_seed_same_band():
    people, log = experiment(11)
    once = cumulative_effect(people, log, **ASKED, seed=5)
    pd.testing.assert_frame_equal(once, cumulative_effect(people, log, **ASKED, seed=5))
    other = cumulative_effect(people, log, **ASKED, seed=6)
    assert not np.allclose(other["band_low"], once["band_low"], rtol=1e-9)


# --- pull-forward --------------------------------------------------------------------------------


def moved_forward(seed, n=6000, lasting=0.0):
    """A third of the contacted who would buy on day 40 buy on day 5; some buy who would not."""
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < 0.5).astype(int)
    buys = rng.random(n) < 0.6
    moved = buys & (group == 1) & (rng.random(n) < 1 / 3)
    extra = ~buys & (group == 1) & (rng.random(n) < lasting / 0.4)
    chosen = buys | extra
    people = pd.DataFrame({"customer_id": np.arange(n), "group": group})
    on_day = np.where(moved | extra, 5, 40)
    time = START + pd.to_timedelta(on_day[chosen] - 1, unit="D")
    return people, pd.DataFrame({"customer_id": np.flatnonzero(chosen), "time": time})


@pytest.mark.parametrize(("lasting", "gone"), [(0.0, 1.0), (0.1, 2 / 3)])
def test_purchases_moved_from_day_40_to_day_5_are_found_to_be_moved(lasting, gone):
    people, log = moved_forward(12, lasting=lasting)
    asked = {"arm": "group", "control": 0, "start": START, "days": 60, "until": START + 60 * DAY}
    table = cumulative_effect(people, log, **asked, window=14, cycle=40).set_index("day")
    assert (table.loc[:4, "effect"] == 0).all()
    assert table.loc[5, "band_low"] > 0.15
    assert abs(table.loc[39, "effect"] - (0.2 + lasting)) < 4 * table.loc[39, "standard_error"]
    assert abs(table.loc[60, "effect"] - lasting) < 4 * table.loc[60, "standard_error"]
    found = table.attrs["comparison"]
    assert found["change_low"] < -0.2 < found["change_high"]
    assert found["change_p"] < 1e-9
    assert found["pulled_forward"] == pytest.approx(gone, abs=0.12)


def test_nothing_is_pulled_forward_where_the_effect_grows():
    people, log = moved_forward(13)
    log["time"] = log["time"].where(log["time"] > START + 10 * DAY, START + 50 * DAY)
    asked = {"arm": "group", "control": 0, "start": START, "days": 60, "until": START + 60 * DAY}
    found = cumulative_effect(people, log, **asked, window=45).attrs["comparison"]
    assert found["effect_window"] < 0 < found["change"]
    assert found["pulled_forward"] is None
    late = cumulative_effect(people, log, **asked, window=55).attrs["comparison"]
    assert late["change"] == 0
    assert math.isnan(late["change_low"])
    assert math.isnan(late["change_p"])


# --- the end of the log --------------------------------------------------------------------------


def test_the_last_day_must_be_over():
    people, log = experiment(14, whole=True)
    people["contacted"] = START
    # The last date counts to its end: 2 April is day 33.
    last = log["time"].max()
    assert str(last.date()) == "2024-04-01"
    assert len(cumulative_effect(people, log, **(ASKED | {"days": 32}))) == 32
    for days, until, most in ((33, None, 32), (33, "2024-04-01", 32), (32, "2024-03-31T12:00", 30)):
        with pytest.raises(InputError, match=f"pass days={most} or less, or until= if the log"):
            cumulative_effect(people, log, **(ASKED | {"days": days}), until=until)
    longer = cumulative_effect(people, log, **(ASKED | {"days": 33}), until="2024-04-02")
    assert longer.attrs["until"] == "2024-04-02T00:00:00"
    people.loc[3, "contacted"] = START + 40 * DAY
    name = people.loc[3, "customer_id"]
    with pytest.raises(
        InputError, match=rf"customer {name}, who started .*\(1 such customers\); leave out who"
    ):
        cumulative_effect(people, log, **ASKED)


def test_the_first_day_before_must_be_in_the_log():
    people, log = experiment(15, whole=True)
    people["contacted"] = START
    assert len(cumulative_effect(people, log, **ASKED, before=29)) == 49
    with pytest.raises(InputError, match=r"is before the first event at 2024-02-01.*before=29 or"):
        cumulative_effect(people, log, **ASKED, before=30)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"days": 0}, "days is 0; it must be >= 1"),
        ({"before": -1}, "before is -1; it must be >= 0"),
        ({"level": 0}, "level is 0; it must be > 0"),
        ({"resamples": 50}, "resamples is 50; it must be >= 100"),
        ({"window": 20}, "window is 20 of 20 days; it must be < days"),
        ({"window": 0}, "window is 0; it must be >= 1"),
        ({"cycle": 10}, "cycle is 10 without a window"),
        ({"cycle": 0, "window": 5}, "cycle is 0; it must be > 0"),
        ({"cycle": 16, "window": 5}, r"days is 20, less than window \+ cycle = 21"),
        ({"amount": "money"}, "has no column 'money'"),
        ({"customer": "who"}, "customers has no column 'who'"),
        ({"time": "when"}, "events has no column 'when'"),
        ({"start": "whenever"}, "start is 'whenever', neither a column of customers nor a moment"),
        ({"start": 5}, "start holds numbers and time 'time' dates; pass both as the same"),
        ({"until": 99}, "until holds numbers and time dates"),
        ({"arm": "wing"}, "has no column 'wing'"),
        ({"treated": "nobody"}, "treated='nobody' is no arm of group"),
    ],
)
def test_bad_arguments(changes, message):
    people, log = experiment(16)
    with pytest.raises(InputError, match=message):
        cumulative_effect(people, log, **(ASKED | changes))


def test_bad_frames():
    people, log = experiment(17)

    def asked(people=people, log=log):
        return cumulative_effect(people, log, **ASKED, amount="amount")

    with pytest.raises(InputError, match=r"several rows of customer \d+; pass a row a customer"):
        asked(people=pd.concat([people, people[:1]]))
    with pytest.raises(InputError, match=r"no event is of a customer .*use the same identifiers"):
        asked(log=log.assign(customer_id=log["customer_id"].astype(str)))
    with pytest.raises(InputError, match="events has no rows; pass the purchase log"):
        asked(log=log[:0])
    with pytest.raises(InputError, match="'customer_id' of events is missing at index 4"):
        asked(log=log.assign(customer_id=log["customer_id"].where(log.index != 4)))
    with pytest.raises(InputError, match="amount 'amount' is nan at index 4"):
        asked(log=log.assign(amount=log["amount"].where(log.index != 4)))
    with pytest.raises(InputError, match="time 'time' is missing at index 4"):
        asked(log=log.assign(time=log["time"].where(log.index != 4)))
    with pytest.raises(InputError, match="start 'contacted' is missing at index 2"):
        asked(people=people.assign(contacted=people["contacted"].where(people.index != 2)))
    held = people["group"] == "holdout"
    alone = pd.concat([people[held][:1], people[~held]])
    with pytest.raises(InputError, match="an arm has one customer; pass at least two an arm"):
        asked(people=alone)
