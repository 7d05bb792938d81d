from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns.panel import event_study

ASKED = {
    "customer": "customer_id",
    "period": "week",
    "arm": "arm",
    "control": "holdout",
    "outcome": "spent",
    "reference": -1,
}
BOUNDS = ["standard_error", "ci_low", "ci_high", "p_value"]


def panel(seed, n=40, weeks=(-3, 3), effect=0.0, trend=0.0, slope=0.0, memory=0.6):
    """Return customers whose errors last from week to week; the contacted spend more throughout."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(*weeks)
    treated = np.arange(n) % 3 == 0
    errors = rng.normal(size=(n, len(numbers)))
    for week in range(1, len(numbers)):
        errors[:, week] += memory * errors[:, week - 1]
    price = rng.normal(5, 1, (n, len(numbers))) + 0.3 * treated[:, None] * (numbers >= 0)
    spent = (
        rng.normal(20, 5, n)[:, None]
        + 4 * treated[:, None]
        + numbers**2
        + treated[:, None] * (trend * numbers + effect * (numbers >= 0))
        + slope * price
        + errors
    )
    return pd.DataFrame(
        {
            "customer_id": np.repeat(np.arange(n) + 100, len(numbers)),
            "week": np.tile(numbers, n),
            "arm": np.repeat(np.where(treated, "contact", "holdout"), len(numbers)),
            "spent": spent.ravel(),
            "price": price.ravel(),
            "city": rng.choice(["Hefei", "Wuhan", "Xi'an"], spent.size),
        }
    )


def full_regression(data, terms, covariates=()):
    """Return statsmodels' clustered fit with a dummy of each customer and each period but one.

    ``terms`` are the columns of the treated, first in the design.
    """
    people = pd.get_dummies(data["customer_id"], dtype=float)
    weeks = pd.get_dummies(data["week"], dtype=float).iloc[:, 1:]
    design = np.column_stack([*terms, people, weeks, *covariates])
    groups = pd.factorize(data["customer_id"])[0]
    fit = sm.OLS(data["spent"].to_numpy(), design).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    n, k = design.shape
    # The customers' levels lie within the clusters and are not counted.
    return fit, math.sqrt((n - k) / (n - k + people.shape[1]))


# --- against the regression with all dummies -----------------------------------------------------


@pytest.mark.parametrize("with_covariates", [False, True])
@pytest.mark.parametrize(("weeks", "reference"), [((-3, 3), -1), ((0, 2), 0), ((-2, 4), -2)])
def test_effects_are_those_of_the_regression_with_all_dummies(weeks, reference, with_covariates):
    data = panel(1, weeks=weeks, effect=2.0, slope=1.0)
    names = ["price", "city"] if with_covariates else None
    study = event_study(
        data.sample(frac=1, random_state=3),
        **(ASKED | {"reference": reference}),
        covariates=names,
        level=0.9,
    )
    contacted = (data["arm"] == "contact").to_numpy()
    others = [week for week in range(*weeks) if week != reference]
    terms = [contacted * (data["week"] == week).to_numpy(dtype=float) for week in others]
    added = [data["price"], *((data["city"] == city) for city in ("Wuhan", "Xi'an"))]
    fit, factor = full_regression(data, terms, added if with_covariates else ())
    table = study.to_frame().set_index("period")
    assert table.index.tolist() == list(range(*weeks))
    df = data["customer_id"].nunique() - 1
    for place, week in enumerate(others):
        row = table.loc[week]
        assert row["effect"] == pytest.approx(fit.params[place], abs=1e-9)
        assert row["standard_error"] == pytest.approx(fit.bse[place] * factor, rel=1e-9)
        reach = student.ppf(0.95, df) * row["standard_error"]
        assert row["ci_low"] == pytest.approx(row["effect"] - reach)
        assert row["ci_high"] == pytest.approx(row["effect"] + reach)
        statistic = abs(row["effect"]) / row["standard_error"]
        assert row["p_value"] == pytest.approx(2 * student.sf(statistic, df), rel=1e-7, abs=1e-15)
    assert table.loc[reference, "effect"] == 0
    assert table.loc[reference, BOUNDS].isna().all()
    before = [place for place, week in enumerate(others) if week < reference]
    if not before:
        assert study.pretrend_statistic is study.pretrend_df is study.pretrend_p is None
    else:
        test = fit.f_test(np.eye(len(fit.params))[before])
        assert study.pretrend_statistic == pytest.approx(float(test.fvalue) / factor**2)
        assert study.pretrend_df == (len(before), df)
        assert 0 < study.pretrend_p < 1
    assert study.covariates == (("price", "city=Wuhan", "city=Xi'an") if names else ())


def test_difference_in_differences_is_that_of_the_two_way_regression():
    data = panel(2, effect=2.0)
    study = event_study(data, **ASKED)
    contacted = (data["arm"] == "contact").to_numpy()
    fit, _ = full_regression(data, [(contacted * (data["week"] >= 0)).to_numpy(dtype=float)])
    assert study.effect == pytest.approx(fit.params[0], abs=1e-9)
    # The same sums of scores by customer; only the number of regressors in the factor differs.
    n, k_two, k_all = len(data), fit.model.exog.shape[1], 2 * 5
    factor = math.sqrt((n - k_two) / (n - k_all))
    assert study.standard_error == pytest.approx(fit.bse[0] * factor, rel=1e-9)
    reach = student.ppf(0.975, 39) * study.standard_error
    assert study.ci_low == pytest.approx(study.effect - reach)
    assert study.ci_high == pytest.approx(study.effect + reach)


def test_without_covariates_effects_are_differences_of_mean_changes():
    data = panel(3, n=3000, effect=1.0)
    table = event_study(data, **ASKED).to_frame().set_index("period")
    wide = data.pivot_table(values="spent", index="customer_id", columns="week")
    contacted = data.groupby("customer_id")["arm"].first() == "contact"
    for week in range(-3, 3):
        change = wide[week] - wide[-1]
        one, none = change[contacted], change[~contacted]
        assert table.loc[week, "effect"] == pytest.approx(one.mean() - none.mean(), abs=1e-9)
        if week != -1:
            # Clustered by customer it is Welch's error, but for the factor.
            error = math.sqrt(one.var() / len(one) + none.var() / len(none))
            assert table.loc[week, "standard_error"] == pytest.approx(error, rel=1e-3)
    assert table["n_treated"].unique().tolist() == [1000]
    assert table["n_control"].unique().tolist() == [2000]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-1e4, 1e4), scale=st.floats(1e-4, 1e4))
def test_levels_of_customers_and_units_do_not_matter(seed, shift, scale):
    data = panel(seed, effect=1.0)
    level = np.repeat(np.random.default_rng(seed).normal(shift, 5, 40), 6)
    changed = data.assign(
        spent=(data["spent"] + level) * scale,
        price=data["price"] * scale - shift,
    )
    study = event_study(data, **ASKED, covariates=["price"])
    other = event_study(changed, **ASKED, covariates=["price"])
    assert other.effect == pytest.approx(study.effect * scale, rel=1e-6)
    assert other.standard_error == pytest.approx(study.standard_error * scale, rel=1e-6)
    assert other.pretrend_statistic == pytest.approx(study.pretrend_statistic, rel=1e-6)


# --- simulated truth -----------------------------------------------------------------------------


def test_intervals_cover_the_effect_and_the_test_of_trends_keeps_its_level():
    runs = 400
    covered, weekly, flagged = 0, 0, 0
    for seed in range(runs):
        study = event_study(panel(seed, n=120, effect=0.7), **ASKED)
        covered += study.ci_low <= 0.7 <= study.ci_high
        row = study.to_frame().iloc[-1]
        weekly += row["ci_low"] <= 0.7 <= row["ci_high"]
        flagged += study.pretrend_p < 0.05
    tolerance = 3.5 * math.sqrt(0.95 * 0.05 / runs)
    assert covered / runs == pytest.approx(0.95, abs=tolerance)
    assert weekly / runs == pytest.approx(0.95, abs=tolerance)
    assert flagged / runs == pytest.approx(0.05, abs=tolerance)


def test_a_trend_before_is_detected():
    study = event_study(panel(5, n=600, trend=0.5), **ASKED)
    assert study.pretrend_p < 1e-6
    # Three weeks after against three before, at half a unit a week: the bias of the trend.
    assert study.effect == pytest.approx(1.5, abs=4 * study.standard_error)


def test_a_covariate_that_moved_with_the_contact_is_taken_off():
    data = panel(6, n=900, effect=1.0, slope=2.0)
    plain, adjusted = (event_study(data, **ASKED, covariates=c) for c in (None, ["price"]))
    assert plain.effect == pytest.approx(1.6, abs=4 * plain.standard_error)
    assert adjusted.effect == pytest.approx(1.0, abs=4 * adjusted.standard_error)
    assert adjusted.standard_error < plain.standard_error


# --- periods, arms and what is shown -------------------------------------------------------------


@pytest.mark.parametrize("as_text", [False, True])
def test_dates_are_periods(as_text):
    data = panel(7, effect=1.0)
    weekly = pd.Timestamp("2024-03-04") + pd.to_timedelta(7 * data["week"], unit="D")
    data["monday"] = weekly.dt.strftime("%Y-%m-%d") if as_text else weekly
    numbered = event_study(data, **ASKED)
    dated = event_study(data, **(ASKED | {"period": "monday", "reference": "2024-02-26"}))
    assert dated.effect == pytest.approx(numbered.effect)
    assert dated.to_frame()["effect"].tolist() == pytest.approx(
        numbered.to_frame()["effect"].tolist()
    )
    wanted = "2024-02-26" if as_text else pd.Timestamp("2024-02-26")
    assert dated.reference == wanted
    assert dated.to_frame()["period"].tolist()[2] == wanted


def test_a_third_arm_is_left_aside_even_with_gaps():
    data = panel(8)
    other = data.assign(arm="letter", customer_id=data["customer_id"] + 1000)[3:]
    both = pd.concat([other, data])
    study = event_study(both, **ASKED, treated="contact")
    pd.testing.assert_frame_equal(study.to_frame(), event_study(data, **ASKED).to_frame())
    assert (study.treated, study.control) == ("contact", "holdout")


def test_result_says_what_it_is():
    study = event_study(panel(9, effect=1.0), **ASKED)
    text = repr(study)
    assert f"difference in differences {study.effect:.4g}" in text
    assert f"40 customers, 6 periods, pre-trend p = {study.pretrend_p:.2g}" in text
    assert text in study._repr_html_()
    assert "99.5% interval" in repr(event_study(panel(9), **ASKED, level=0.995))
    assert study._repr_html_().count("<tr") == 7
    frame = study.to_frame()
    frame.loc[:, "effect"] = 99.0
    assert study.table["effect"].max() < 99
    assert "pre-trend" not in repr(event_study(panel(9), **(ASKED | {"reference": -3})))


def test_a_period_in_which_nobody_changed_has_no_error():
    data = panel(10)
    same = data.loc[data["week"] == -1].set_index("customer_id")["spent"]
    data["spent"] = data["spent"].where(data["week"] != -3, data["customer_id"].map(same))
    study = event_study(data, **ASKED)
    row = study.to_frame().iloc[0]
    assert row["effect"] == pytest.approx(0, abs=1e-12)
    assert row[BOUNDS].isna().all()
    assert study.pretrend_p is None


def test_too_few_customers_are_not_tested_for_trends():
    few = panel(13, n=5, weeks=(-8, 2), effect=1.0)
    study = event_study(few, **ASKED)
    assert study.pretrend_statistic is study.pretrend_df is study.pretrend_p is None
    assert study.ci_low < study.effect < study.ci_high


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": 2}, "reference is 2, the last value of week; pass the last period before"),
        ({"reference": 9}, "reference is 9; it must be one of -3, -2, -1, 0, 1, 2"),
        ({"reference": "later"}, "reference is 'later'; it must be one of"),
        ({"level": 0.0}, "level is 0.0; it must be > 0"),
        ({"customer": "who"}, "data has no column 'who'"),
        ({"period": "month"}, "data has no column 'month'"),
        ({"outcome": "city"}, "outcome 'city' is not numeric"),
        ({"treated": "letter"}, "treated='letter' is no arm of arm"),
        ({"covariates": ["weather"]}, "data has no column 'weather'"),
        ({"covariates": ["age"]}, "covariate 'age' follows from customer, period and arm; leave"),
        (
            {"covariates": ["holiday"]},
            "covariate 'holiday=True' follows from customer",
        ),
        (
            {"covariates": ["opened"]},
            "covariate 'opened=True' follows from customer",
        ),
        ({"covariates": ["price", "cents"]}, "covariate 'cents' follows from the others"),
    ],
)
def test_bad_arguments(changes, message):
    data = panel(11)
    data["age"] = data["customer_id"] % 50
    data["holiday"] = data["week"] == 1
    data["opened"] = (data["week"] >= 0) & (data["arm"] == "contact")
    data["cents"] = 100 * data["price"] + data["age"]
    with pytest.raises(InputError, match=message):
        event_study(data, **(ASKED | changes))


def test_bad_panels():
    data = panel(12)

    def asked(data):
        return event_study(data, **ASKED)

    with pytest.raises(
        InputError, match=r"customer 107 has no row in period 2 \(1 such gaps\); add a row with"
    ):
        asked(data[(data["customer_id"] != 107) | (data["week"] != 2)])
    with pytest.raises(InputError, match="customer 100 has 2 rows in period -3; sum them up"):
        asked(pd.concat([data, data[:1]]))
    changed = data["arm"].where((data["customer_id"] != 101) | (data["week"] < 0), "contact")
    with pytest.raises(InputError, match=r"arm of customer 101 changes between periods \(1 such"):
        asked(data.assign(arm=changed))
    with pytest.raises(InputError, match="arm 'contact' of arm has one customer; pass at least"):
        asked(data[(data["arm"] == "holdout") | (data["customer_id"] == 100)])
    with pytest.raises(InputError, match="'spent' is the same in all periods of every customer"):
        asked(data.assign(spent=data["customer_id"] / 7))
    with pytest.raises(InputError, match="customer 'customer_id' is missing at index 5"):
        asked(data.assign(customer_id=data["customer_id"].where(data.index != 5)))
    with pytest.raises(InputError, match="outcome 'spent' is nan at index 5"):
        asked(data.assign(spent=data["spent"].where(data.index != 5)))
