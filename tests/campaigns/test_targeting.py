"""Rates of a targeting rule against potential outcomes, every joint table and statsmodels."""

from __future__ import annotations

import itertools
import math
import re
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from touchpoint_lib import InputError
from touchpoint_lib.campaigns.targeting import targeting_rates

NAMES = {"arm": "arm", "control": "none", "outcome": "y"}
KEYS = ["error_rate", "wasted_rate", "wasted_if", "omission_rate", "omission_if"]
#: P(Y1, Y0) of the flagged and of the rest: responder, comes anyway, put off, never.
MONOTONE = {True: [0.25, 0.15, 0.0, 0.6], False: [0.05, 0.1, 0.0, 0.85]}
MIXED = {True: [0.25, 0.1, 0.05, 0.6], False: [0.08, 0.1, 0.03, 0.79]}
SHARE = 0.4


def frame(counts):
    """Rows from (flagged, arm) -> (responded, rows)."""
    parts = [
        pd.DataFrame({"flag": flag, "arm": arm, "y": (np.arange(n) < k).astype(int)})
        for (flag, arm), (k, n) in counts.items()
    ]
    return pd.concat(parts, ignore_index=True)


def rates(*args, **kwargs):
    """The rows of the result by name, and the result."""
    result = targeting_rates(*args, **{**NAMES, **kwargs})
    return result.to_frame().set_axis(KEYS), result


def experiment(strata, n, seed):
    """Customers of known strata, randomised."""
    generator = np.random.default_rng([seed, n])
    flag = generator.random(n) < SHARE
    place = np.where(
        flag,
        generator.choice(4, n, p=strata[True]),
        generator.choice(4, n, p=strata[False]),
    )
    with_contact, without = np.isin(place, (0, 1)), np.isin(place, (1, 2))
    treated = generator.random(n) < 0.6
    data = pd.DataFrame(
        {
            "flag": flag,
            "arm": np.where(treated, "mail", "none"),
            "y": np.where(treated, with_contact, without),
        }
    )
    return data, with_contact & ~without


def truths(strata):
    """Error, wasted and omission rate of the strata."""
    yes, no = strata[True], strata[False]
    missed = (1 - SHARE) * no[0]
    return yes[1] + yes[2], 1 - yes[0], missed / (missed + SHARE * yes[0])


def bounds_of(strata):
    """The bounds of wasted and omission rate that the two means of each group leave."""
    ends = {}
    for flag, (both, own, off, _) in strata.items():
        m1, m0 = both + own, own + off
        ends[flag] = max(0.0, m1 - m0), min(m1, 1 - m0)
    (few, many), (less, more) = ends[True], ends[False]
    low = (1 - SHARE) * less / ((1 - SHARE) * less + SHARE * many)
    high = (1 - SHARE) * more / ((1 - SHARE) * more + SHARE * few)
    return (1 - many, 1 - few), (low, high)


# --- against potential outcomes ------------------------------------------------------------------


def test_with_nobody_put_off_the_rates_are_those_of_the_potential_outcomes():
    data, responder = experiment(MONOTONE, 200_000, 1)
    table, result = rates(data, "flag")
    flag = data["flag"].to_numpy()
    wanted = [
        np.nan,
        (flag & ~responder).sum() / flag.sum(),
        (~flag & responder).sum() / responder.sum(),
    ]
    for key, truth in zip(["wasted_if", "omission_if"], wanted[1:], strict=True):
        row = table.loc[key]
        error = (row["ci_high"] - row["ci_low"]) / 2 / NormalDist().inv_cdf(0.975)
        assert abs(row["estimate"] - truth) < 4 * error < 0.05
        assert row["bound_low"] == row["estimate"] == row["bound_high"]
    assert abs(table.loc["error_rate", "estimate"] - 0.15) < 0.008
    # Without the assumption the truth is only held between bounds, which it may touch.
    assert table.loc["wasted_rate", "bound_high"] == pytest.approx(
        table.loc["wasted_if", "estimate"]
    )
    assert np.isnan(table.loc[["wasted_rate", "omission_rate"], "estimate"]).all()
    assert result.groups["flagged"].tolist() == [True, False]


def test_with_some_put_off_the_truth_is_within_bounds_and_beside_the_point():
    data, responder = experiment(MIXED, 200_000, 2)
    table, _ = rates(data, "flag")
    flag = data["flag"].to_numpy()
    wasted = (flag & ~responder).sum() / flag.sum()
    missed = (~flag & responder).sum() / responder.sum()
    for key, truth, expected in zip(
        ["wasted", "omission"], [wasted, missed], bounds_of(MIXED), strict=True
    ):
        row = table.loc[f"{key}_rate"]
        np.testing.assert_allclose(
            row[["bound_low", "bound_high"]].astype(float), expected, atol=0.02
        )
        assert row["ci_low"] < row["bound_low"] < truth < row["bound_high"] < row["ci_high"]
    # The assumption is wrong here, and its interval does not hold the truth.
    assert table.loc["wasted_if", "ci_low"] > wasted


@given(
    flagged=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    rest=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
@settings(max_examples=100, deadline=None)
def test_bounds_are_the_extremes_over_every_joint_table(flagged, rest):
    """12 rows a group and arm, so every joint distribution is a whole number of customers."""
    data = frame(
        {
            (True, "mail"): (flagged[0], 12),
            (True, "none"): (flagged[1], 12),
            (False, "mail"): (rest[0], 12),
            (False, "none"): (rest[1], 12),
        }
    )
    table, _ = rates(data, "flag")
    # Of m1 with and m0 without contact, `both` come either way.
    found, lost = (
        [m1 - both for both in range(max(0, m1 + m0 - 12), min(m1, m0) + 1)]
        for m1, m0 in (flagged, rest)
    )
    wasted = table.loc["wasted_rate", ["bound_low", "bound_high"]].astype(float)
    np.testing.assert_allclose(wasted, [1 - max(found) / 12, 1 - min(found) / 12], atol=1e-12)
    possible = [b / (a + b) for a, b in itertools.product(found, lost) if a + b]
    missed = table.loc["omission_rate", ["bound_low", "bound_high"]].astype(float)
    if possible:
        np.testing.assert_allclose(missed, [min(possible), max(possible)], atol=1e-12)
    else:
        assert missed.isna().all()
    # With nobody put off: as many as possible come either way.
    a, b = flagged[0] - flagged[1], rest[0] - rest[1]
    point = table["estimate"]
    assert point["error_rate"] == pytest.approx(flagged[1] / 12)
    for value, known in (
        (point["wasted_if"], 1 - a / 12 if a >= 0 else np.nan),
        (point["omission_if"], b / (a + b) if a >= 0 and b >= 0 and a + b else np.nan),
    ):
        assert value == pytest.approx(known, nan_ok=True)
    limits = table[["ci_low", "ci_high"]]
    assert ((limits >= 0) & (limits <= 1) | limits.isna()).all(axis=None)
    held = table["bound_low"].notna()
    assert held.equals(limits["ci_low"].notna())
    assert (table["ci_low"] <= table["bound_low"] + 1e-12)[held].all()
    assert (table["ci_high"] >= table["bound_high"] - 1e-12)[held].all()


# --- intervals -----------------------------------------------------------------------------------


def test_intervals_are_wilsons_and_newcombes():
    counts = {
        (True, "mail"): (90, 300),
        (True, "none"): (30, 250),
        (False, "mail"): (60, 500),
        (False, "none"): (40, 450),
    }
    table, result = rates(frame(counts), "flag", level=0.9)
    wilson = proportion_confint(30, 250, alpha=0.1, method="wilson")
    np.testing.assert_allclose(table.loc["error_rate", ["ci_low", "ci_high"]].astype(float), wilson)
    newcombe = confint_proportions_2indep(90, 300, 30, 250, method="newcomb", alpha=0.1)
    np.testing.assert_allclose(
        table.loc["wasted_if", ["ci_low", "ci_high"]].astype(float),
        [1 - newcombe[1], 1 - newcombe[0]],
    )
    wanted = pd.DataFrame(
        {
            "flagged": [True, False],
            "n_treated": [300, 500],
            "n_control": [250, 450],
            "responded_treated": [90, 60],
            "responded_control": [30, 40],
            "mean_treated": [0.3, 0.12],
            "mean_control": [0.12, 40 / 450],
            "effect": [0.18, 0.12 - 40 / 450],
            "ci_low": [newcombe[0], np.nan],
            "ci_high": [newcombe[1], np.nan],
        }
    )
    rest = confint_proportions_2indep(60, 500, 40, 450, method="newcomb", alpha=0.1)
    wanted.loc[1, ["ci_low", "ci_high"]] = rest
    pd.testing.assert_frame_equal(result.groups, wanted)
    # Bounds: a third of the chance of a miss for each of their three parts.
    most = proportion_confint(90, 300, alpha=2 * 0.1 / 3, method="wilson")[1]
    least = confint_proportions_2indep(90, 300, 30, 250, method="newcomb", alpha=2 * 0.1 / 3)[0]
    np.testing.assert_allclose(
        table.loc["wasted_rate", ["ci_low", "ci_high"]].astype(float), [1 - most, 1 - least]
    )
    # And a sixth for each of the six of the omission rate, at the observed share of flagged.
    ends = [
        (
            group
            * max(0.0, confint_proportions_2indep(*counted, method="newcomb", alpha=0.1 / 3)[0]),
            group * proportion_confint(*counted[:2], alpha=0.1 / 3, method="wilson")[1],
        )
        for group, counted in ((550, (90, 300, 30, 250)), (950, (60, 500, 40, 450)))
    ]
    (found_least, found_most), (lost_least, lost_most) = ends
    np.testing.assert_allclose(
        table.loc["omission_rate", ["ci_low", "ci_high"]].astype(float),
        [lost_least / (lost_least + found_most), lost_most / (lost_most + found_least)],
    )


def test_the_omission_rates_error_is_that_of_the_influence_of_each_row():
    data, _ = experiment(MONOTONE, 900, 4)
    table, _ = rates(data, "flag")
    n, influence, parts = len(data), [], []
    treated = data["arm"] == "mail"
    for own in (data["flag"], ~data["flag"]):
        means = [data.loc[own & arm, "y"].mean() for arm in (treated, ~treated)]
        effect, share, chance = means[0] - means[1], own.mean(), treated[own].mean()
        with_contact = (data["y"] - means[0]) * treated / chance
        without = (data["y"] - means[1]) * ~treated / (1 - chance)
        parts.append(share * effect)
        influence.append(own * (with_contact - without) + (own - share) * effect)
    (found, lost), total = parts, sum(parts)
    each = (found * influence[1] - lost * influence[0]) / total**2 / n
    half = NormalDist().inv_cdf(0.975) * math.sqrt((each**2).sum())
    row = table.loc["omission_if"]
    assert row["estimate"] == pytest.approx(lost / total, rel=1e-12)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * half, rel=1e-9)


def test_the_omission_rates_error_is_that_of_a_bootstrap():
    """Rows drawn anew, arms and flags with them: 400 resamples know a standard error to 4 %."""
    data, _ = experiment(MONOTONE, 4000, 3)
    table, _ = rates(data, "flag")
    generator = np.random.default_rng(3)
    draws = [
        rates(data.iloc[generator.integers(0, 4000, 4000)], "flag")[0].loc[
            "omission_if", "estimate"
        ]
        for _ in range(400)
    ]
    row = table.loc["omission_if"]
    error = (row["ci_high"] - row["ci_low"]) / 2 / NormalDist().inv_cdf(0.975)
    assert error == pytest.approx(np.std(draws, ddof=1), rel=0.15)


@pytest.mark.parametrize(("strata", "seed"), [(MONOTONE, 10_000), (MIXED, 20_000)])
def test_intervals_cover_the_truth(strata, seed):
    """400 experiments of 3,000: points cover 95 % (3 standard errors), bounds at least that."""
    hits = []
    for number in range(400):
        table, _ = rates(experiment(strata, 3000, seed + number)[0], "flag")
        limits = table[["ci_low", "ci_high"]].to_numpy(dtype=float)
        error, wasted, omission = truths(strata)
        ends = dict(zip(["wasted_rate", "omission_rate"], bounds_of(strata), strict=True))
        hits.append(
            {
                key: limits[row, 0] <= low and high <= limits[row, 1]
                for row, (key, (low, high)) in enumerate(
                    {
                        "error_rate": (error, error),
                        "wasted_rate": ends["wasted_rate"],
                        "wasted_if": (wasted, wasted),
                        "omission_rate": ends["omission_rate"],
                        "omission_if": (omission, omission),
                    }.items()
                )
            }
        )
    covered = pd.DataFrame(hits).mean()
    allowed = 3 * math.sqrt(0.95 * 0.05 / 400)
    points = ["error_rate", "wasted_if", "omission_if"] if strata is MONOTONE else ["error_rate"]
    np.testing.assert_allclose(covered[points], 0.95, atol=allowed)
    assert (covered[["wasted_rate", "omission_rate"]] >= 0.95 - allowed).all()
    if strata is MIXED:
        assert covered["wasted_if"] < 0.5


# --- what cannot be known ------------------------------------------------------------------------

FULL = {
    (True, "mail"): (30, 100),
    (True, "none"): (10, 100),
    (False, "mail"): (13, 100),
    (False, "none"): (8, 100),
}


@pytest.mark.parametrize(
    ("change", "estimates", "missed", "words"),
    [
        ({}, [0.1, np.nan, 0.8, np.nan, 0.2], [5 / 35, 13 / 33], "80.0% are wasted and 20.0%"),
        (
            {(False, "mail"): (6, 100)},
            [0.1, np.nan, 0.8, np.nan, np.nan],
            [0, 6 / 26],
            "below 0 in the rest \\(-2.00%\\)",
        ),
        (
            {(True, "mail"): (9, 100)},
            [0.1, np.nan, np.nan, np.nan, np.nan],
            [5 / 14, 1],
            "below 0 in the flagged \\(-1.00%\\), by chance",
        ),
        (
            {(True, "mail"): (9, 100), (False, "mail"): (6, 100)},
            [0.1, np.nan, np.nan, np.nan, np.nan],
            [0, 1],
            "below 0 in the flagged \\(-1.00%\\) and the rest",
        ),
        (
            {(True, "mail"): (0, 100), (False, "mail"): (0, 100), (True, "none"): (0, 100)},
            [0, np.nan, 1, np.nan, np.nan],
            [np.nan, np.nan],
            "100.0% of the contacts are wasted, and there is no responder to miss",
        ),
        (
            {(True, "mail"): (0, 100), (False, "mail"): (6, 100)},
            [0.1, np.nan, np.nan, np.nan, np.nan],
            [1, 1],
            "100.0% of the responders are missed",
        ),
        (
            {(True, "mail"): (8, 100), (False, "mail"): (0, 100)},
            [0.1, np.nan, np.nan, np.nan, np.nan],
            [0, 0],
            "0.0% of the responders are missed",
        ),
        (
            {(True, "mail"): None, (True, "none"): None},
            [np.nan, np.nan, np.nan, np.nan, 1],
            [1, 1],
            "Nobody is flagged",
        ),
        (
            {(False, "mail"): None, (False, "none"): None},
            [0.1, np.nan, 0.8, np.nan, 0],
            [0, 0],
            "and 0.0% of the responders are missed",
        ),
        (
            {(True, "none"): None},
            [np.nan] * 5,
            [np.nan, np.nan],
            "The flagged have no row of one arm",
        ),
        (
            {(False, "mail"): None},
            [0.1, np.nan, 0.8, np.nan, np.nan],
            [np.nan, np.nan],
            "The rest have no row of one arm",
        ),
    ],
)
def test_what_is_known_is_given_and_the_rest_said(change, estimates, missed, words):
    counts = {key: value for key, value in {**FULL, **change}.items() if value}
    table, result = rates(frame(counts), "flag")
    np.testing.assert_allclose(table["estimate"].astype(float), estimates, atol=1e-12)
    row = table.loc["omission_rate", ["bound_low", "bound_high"]].astype(float)
    np.testing.assert_allclose(row, missed, atol=1e-12)
    assert re.search(words, result.statement)
    assert table["bound_low"].isna().equals(table["bound_high"].isna())
    assert table.loc[table["bound_low"].isna(), ["ci_low", "ci_high"]].isna().all(axis=None)


def test_the_statement_says_what_is_assumed():
    _, result = rates(frame(FULL), "flag")
    assert result.statement == (
        "10.0% of the flagged respond without a contact: the experiment tells. Between 70.0% and "
        "80.0% of the contacts are wasted, and between 14.3% and 39.4% of the responders are "
        "missed. No more can be known, since each customer shows only one of the two outcomes. If "
        "nobody is put off by the contact, 80.0% are wasted and 20.0% of the responders are "
        "missed: an assumption, not a finding."
    )
    assert result.statement in result._repr_html_()
    assert "<table" in result._repr_html_()
    assert repr(result) == "TargetingRates('y', 'mail' against 'none')"
    copy = result.to_frame()
    copy["estimate"] = 0.0
    assert result.to_frame()["estimate"][0] == 0.1


def test_a_rule_may_be_a_column_or_a_series_on_some_rows():
    data, _ = experiment(MIXED, 1000, 5)
    data["arm"] = np.where(np.arange(1000) % 10 == 0, "call", data["arm"])
    by_column = targeting_rates(data, "flag", **NAMES, treated="mail")
    by_series = targeting_rates(
        data, data["flag"].sample(frac=1, random_state=0), **NAMES, treated="mail"
    )
    pd.testing.assert_frame_equal(by_column.to_frame(), by_series.to_frame())
    assert by_column.n_other_arms == by_series.n_other_arms == 100
    half = targeting_rates(data, data["flag"].astype(int)[::2], **NAMES, treated="mail")
    assert half.n_without_flag == (data["arm"][1::2] != "call").sum()
    chosen = data[::2]
    assert half.groups["n_treated"].sum() == (chosen["arm"] == "mail").sum()
    assert half.groups["responded_control"].sum() == chosen.loc[chosen["arm"] == "none", "y"].sum()


# --- bad input -----------------------------------------------------------------------------------

GOOD = frame(FULL)


@pytest.mark.parametrize(
    ("data", "flagged", "change", "message"),
    [
        (GOOD.assign(y=GOOD["y"] * 2), "flag", {}, "outcome 'y' has the value 2 at index"),
        (GOOD.assign(y=GOOD["y"] / 2), "flag", {}, "the value 0.5 .*say what counts as a response"),
        (GOOD.assign(y="no"), "flag", {}, "outcome 'y' is not numeric"),
        (GOOD, "y2", {}, "data has no column 'y2'"),
        (GOOD, GOOD["flag"] * 3, {}, "flagged has the value 3"),
        (GOOD, GOOD["flag"].astype(float).where(GOOD.index != 7), {}, "flagged is nan"),
        (GOOD, GOOD["flag"].set_axis(GOOD.index - 1), {}, "flag has 1 index values that data has"),
        (GOOD, pd.concat([GOOD["flag"]] * 2), {}, "flag has several rows of index"),
        (GOOD, "flag", {"control": "call"}, "no row of arm is the control 'call'"),
        (GOOD, GOOD.loc[GOOD["arm"] == "mail", "flag"], {}, "no row of arm 'none' has a flag"),
        (GOOD, "flag", {"level": 1}, "level is 1; it must be < 1"),
    ],
)
def test_bad_input_is_named(data, flagged, change, message):
    with pytest.raises(InputError, match=message):
        targeting_rates(data, flagged, **{**NAMES, **change})
