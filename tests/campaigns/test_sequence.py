from __future__ import annotations

import datetime as dt
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm, ttest_ind

from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns.sequence import confidence_sequence

ASKED = {"arm": "group", "control": 0, "outcome": "y", "time": "t"}
BOUNDS = ["effect", "standard_error", "ci_low", "ci_high", "sequence_low", "sequence_high"]


def experiment(seed, n=800, days=8, effect=0.0, share=0.5):
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < share).astype(int)
    return pd.DataFrame(
        {
            "group": group,
            "y": rng.normal(size=n) + effect * group,
            "t": np.sort(rng.integers(0, days, n)),
        }
    ).sample(frac=1, random_state=seed)


# --- each look against a recount -----------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.2, 0.8),
    level=st.floats(0.5, 0.999),
    shift=st.sampled_from([0.0, 1e7]),
)
def test_every_look_is_the_comparison_of_the_rows_known_by_then(seed, share, level, shift):
    data = experiment(seed, share=share)
    data["y"] += shift
    looks = [-1, 0.5, 3, 6.5, 7, 100]
    table = confidence_sequence(data, **ASKED, looks=looks, level=level)
    assert table["look"].tolist() == looks
    for row in table.itertuples():
        known = data[data["t"] <= row.look]
        treated, control = (known.loc[known["group"] == g, "y"] for g in (1, 0))
        assert (row.n, row.n_treated, row.n_control) == (len(known), len(treated), len(control))
        if min(len(treated), len(control)) < 30:
            assert math.isnan(row.effect)
            assert math.isnan(row.sequence_low)
            continue
        welch = ttest_ind(treated, control, equal_var=False)
        error = math.sqrt(treated.var() / len(treated) + control.var() / len(control))
        assert row.effect == pytest.approx(treated.mean() - control.mean(), abs=1e-8)
        assert row.standard_error == pytest.approx(error, rel=1e-6)
        assert row.effect / row.standard_error == pytest.approx(welch.statistic, abs=1e-5)
        z = norm.ppf(0.5 + level / 2)
        assert row.ci_high - row.effect == pytest.approx(z * error, rel=1e-6, abs=1e-8)
        assert row.effect - row.ci_low == pytest.approx(z * error, rel=1e-6, abs=1e-8)
        assert row.sequence_low < row.ci_low < row.ci_high < row.sequence_high
        assert row.sequence_high - row.effect == pytest.approx(
            row.effect - row.sequence_low, rel=1e-6
        )


def reach(n, planned, level=0.95):
    """Return how many standard errors the sequence reaches at ``n`` rows."""
    data = pd.DataFrame({"group": np.arange(n) % 2, "y": np.arange(n) // 2 % 3, "t": 0})
    row = confidence_sequence(data, **ASKED, planned=planned, level=level).iloc[0]
    return (row["sequence_high"] - row["effect"]) / row["standard_error"]


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("n", "planned"), [(60, 500), (500, 500), (2000, 500), (300, 3)])
def test_boundary_is_where_the_mixture_of_likelihood_ratios_reaches_one_over_alpha(
    n, planned, level
):
    # The scale of the mixture by a search instead of Lambert's function, the mixture by quadrature
    # instead of its closed form.
    alpha = 1 - level

    def width(log_grown):
        grown = math.exp(log_grown)
        return (grown + 1) / grown * (math.log1p(grown) - 2 * math.log(alpha))

    best = minimize_scalar(width, bounds=(-2, 6), method="bounded", options={"xatol": 1e-10})
    rho = math.sqrt(math.exp(best.x) / planned)
    total = reach(n, planned, level) * math.sqrt(n)

    def density(shift):
        return math.exp(shift * total - shift**2 * n / 2) * norm.pdf(shift, scale=rho)

    peak = total / (n + 1 / rho**2)
    spread = 1 / math.sqrt(n + 1 / rho**2)
    mixture = quad(density, peak - 12 * spread, peak + 12 * spread, epsabs=0, epsrel=1e-10)[0]
    assert mixture == pytest.approx(1 / alpha, rel=1e-6)


def test_sequence_is_narrowest_at_the_planned_rows():
    # Among all plans the one of n rows is the narrowest at n rows.
    widths = [reach(400, planned) for planned in (100, 350, 400, 450, 1600)]
    assert min(widths) == widths[2]
    assert widths[2] / norm.ppf(0.975) == pytest.approx(1.5486, abs=1e-4)


def test_plan_is_all_rows_of_both_arms_unless_given():
    data = experiment(4)
    data.loc[data.index[:100], "group"] = 2
    table = confidence_sequence(data, **ASKED, treated=1)
    assert table.attrs["planned"] == (data["group"] < 2).sum() == table["n"].iloc[-1]
    same = confidence_sequence(data[data["group"] < 2], **ASKED, planned=table.attrs["planned"])
    pd.testing.assert_frame_equal(table, same)


# --- error rates ---------------------------------------------------------------------------------


def alarms(draw, per_look, n_looks, repeats, share=0.5, effect=0.0):
    """Return the share of experiments in which sequence and plain interval ever miss the effect."""
    rng = np.random.default_rng(7)
    wrong = np.zeros(2)
    n = per_look * n_looks
    for _ in range(repeats):
        group = (rng.random(n) < share).astype(int)
        data = pd.DataFrame(
            {
                "group": group,
                "y": draw(rng, n) + effect * group,
                "t": np.repeat(range(n_looks), per_look),
            }
        )
        table = confidence_sequence(data, **ASKED)
        if effect == 0:
            decided = [table.attrs["first_decided"], table.attrs["plain_decided"]]
            wrong += [look is not None for look in decided]
            assert table["decided"].iloc[-1] == (decided[0] is not None)
        else:
            for place, name in enumerate(("sequence", "ci")):
                low, high = table[f"{name}_low"], table[f"{name}_high"]
                wrong[place] += bool(((low > effect) | (high < effect)).any())
    return wrong / repeats


@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_14_looks_at_nothing_raise_an_alarm_in_a_fifth_of_experiments_not_in_the_sequence(effect):
    # A fixed 5 % z-test at each of 14 equally spaced looks: about 21 % (Armitage, McPherson and
    # Rowe 1969, JRSS A 132: 19.3 % at 10 looks, 24.8 % at 20).
    sequence, plain = alarms(
        lambda rng, n: rng.normal(size=n), per_look=100, n_looks=14, repeats=1500, effect=effect
    )
    assert sequence <= 0.05
    assert plain == pytest.approx(0.21, abs=3 * math.sqrt(0.21 * 0.79 / 1500))


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_heavy_tails_keep_the_level(share):
    sequence, plain = alarms(
        lambda rng, n: rng.lognormal(0, 1.5, n),
        per_look=400,
        n_looks=14,
        repeats=600,
        share=share,
    )
    assert sequence <= 0.05
    assert plain > 0.15


def test_an_arm_that_fills_beside_one_that_is_complete_keeps_the_level():
    # Counted in rows of both arms, the experiment would seem nearly over at the first look.
    n_control, sizes = 200_000, np.unique(np.geomspace(30, 40_000, 400).astype(int))
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"group": np.repeat([0, 1], [n_control, sizes[-1]])})
    data["y"] = rng.normal(size=len(data))
    look = np.searchsorted(sizes, np.arange(1, sizes[-1] + 1))
    data["t"] = np.concatenate([np.zeros(n_control, dtype=int), look])
    table = confidence_sequence(data, **ASKED, looks=range(len(sizes)))
    assert table["n_treated"].tolist() == sizes.tolist()
    reach = ((table["sequence_high"] - table["effect"]) / table["standard_error"]).to_numpy()
    # 4,000 experiments without an effect, at these looks.
    steps = rng.normal(size=(4000, len(sizes))) * np.sqrt(np.diff(sizes, prepend=0))
    apart = steps.cumsum(axis=1) / sizes - rng.normal(size=(4000, 1)) / math.sqrt(n_control)
    missed = np.abs(apart) / np.sqrt(1 / sizes + 1 / n_control) > reach
    assert missed.any(axis=1).mean() <= 0.05


def test_an_effect_is_found_and_stays_found():
    table = confidence_sequence(experiment(3, n=4000, days=20, effect=0.3), **ASKED)
    assert table["decided"].iloc[-1]
    assert table["decided"].is_monotonic_increasing
    first = table.attrs["first_decided"]
    assert first == table.loc[table["sequence_low"] > 0, "look"].iloc[0]
    assert table.attrs["plain_decided"] <= first


# --- looks ---------------------------------------------------------------------------------------


def test_a_look_on_a_date_sees_the_whole_day():
    data = experiment(5)
    data["t"] = pd.Timestamp("2024-03-01 23:30") + pd.to_timedelta(data["t"], unit="D")
    by_day = confidence_sequence(data, **ASKED)
    assert by_day["look"].tolist() == sorted(data["t"].unique())
    days = [dt.date(2024, 3, day) for day in range(1, 9)]
    for looks in (days, [str(day) for day in days], pd.DatetimeIndex(days)):
        table = confidence_sequence(data, **ASKED, looks=looks)
        pd.testing.assert_frame_equal(table[["n", *BOUNDS]], by_day[["n", *BOUNDS]])
    at_noon = confidence_sequence(data, **ASKED, looks=["2024-03-02T12:00", "2024-03-08"])
    assert at_noon["n"].tolist() == [by_day["n"].iloc[0], len(data)]


@pytest.mark.parametrize("dated", [False, True])
def test_the_table_can_be_written_and_read_with_what_it_says_of_itself(dated):
    data = experiment(3, n=4000, days=20, effect=0.3)
    if dated:
        data["t"] = pd.Timestamp("2024-03-01") + pd.to_timedelta(data["t"], unit="D")
    table = confidence_sequence(data, **ASKED)
    written = io.BytesIO()
    table.to_parquet(written)
    read = pd.read_parquet(written)
    pd.testing.assert_frame_equal(read, table)
    assert read.attrs == table.attrs == json.loads(json.dumps(table.attrs))
    first = table.loc[table["sequence_low"] > 0, "look"].iloc[0]
    assert read.attrs["first_decided"] == (first.isoformat() if dated else first)


def test_dates_as_text_are_dates():
    data = experiment(5)
    as_dates = data.assign(t=pd.Timestamp("2024-03-01") + pd.to_timedelta(data["t"], unit="D"))
    as_text = as_dates.assign(t=as_dates["t"].dt.strftime("%Y-%m-%d"))
    pd.testing.assert_frame_equal(
        confidence_sequence(as_text, **ASKED), confidence_sequence(as_dates, **ASKED)
    )


def test_at_most_60_looks_evenly_spaced_up_to_the_last_row():
    data = experiment(6, n=5000, days=1000)
    table = confidence_sequence(data, **ASKED)
    assert len(table) == 60
    assert table["n"].iloc[-1] == len(data)
    gaps = table["look"].diff().dropna()
    assert gaps.min() > 10
    assert gaps.max() < 25


def test_without_spread_or_rows_there_is_no_estimate():
    data = pd.DataFrame({"group": [0, 1] * 100, "t": np.repeat([0, 1, 2, 3], 50), "y": 0.1})
    data.loc[data["t"] == 3, "y"] = np.arange(50.0)
    table = confidence_sequence(data, **ASKED)
    # 25 rows an arm are too few; the next two looks have rows enough, and one value only.
    assert table["n_treated"].tolist() == [25, 50, 75, 100]
    assert table[BOUNDS].isna().all(axis=1).tolist() == [True, True, True, False]
    assert table["decided"].tolist() == [False] * 4


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "when"}, "has no column 'when'"),
        ({"outcome": "z"}, "has no column 'z'"),
        ({"treated": 7}, "treated=7 is no arm of group"),
        ({"control": 9}, "no row of group is the control 9"),
        ({"level": 1}, "level is 1; it must be < 1"),
        ({"level": 1e-17}, "level is 1e-17; it must be >= 0.01"),
        ({"planned": 0}, "planned is 0; it must be >= 1"),
        ({"planned": 1.5}, "planned is 1.5; it must be a whole number"),
        ({"looks": []}, "looks is empty; pass at least one moment"),
        ({"looks": "2024-03-01"}, "looks is '2024-03-01'; pass a list"),
        ({"looks": 5}, "looks is 5; pass a list"),
        ({"looks": [1, 3, 3]}, "looks has 3 after 3; name each look once, rising"),
        ({"looks": [3, 1]}, "looks has 1 after 3"),
        ({"looks": ["2024-03-01"]}, "looks holds dates and time numbers; pass both as the same"),
        ({"looks": [True]}, "looks holds boolean values; pass dates"),
        ({"looks": ["1 March"]}, "looks is not a date everywhere"),
        ({"looks": [1.0, math.nan]}, "looks is nan at index 1"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(InputError, match=message):
        confidence_sequence(experiment(1), **(ASKED | changes))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1, None, 3, 4], "time 't' is nan at index 1"),
        (["2024-01-01", None, "2024-01-03", "2024-01-03"], "time 't' is missing at index 1 .1 row"),
        (pd.date_range("2024", periods=4, tz="UTC"), "has the time zone UTC; turn it into"),
        ([1, "2024-01-01", 3, 4], "time 't' holds mixed-integer values; pass dates"),
        (["2024-13-01"] * 4, "time 't' is not a date everywhere"),
    ],
)
def test_bad_times(times, message):
    data = pd.DataFrame({"group": [0, 1, 0, 1], "y": 1.0, "t": times})
    with pytest.raises(InputError, match=message):
        confidence_sequence(data, **ASKED)


def test_several_arms_need_a_name():
    data = experiment(1).assign(group=lambda frame: np.arange(len(frame)) % 3)
    with pytest.raises(InputError, match=r"several arms beside the control \(1, 2\); say which"):
        confidence_sequence(data, **ASKED)
