from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare, ttest_ind
from statsmodels.stats.multitest import multipletests

import touchpoint_lib as tp
from tests.reference import campaigns as reference
from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns._propensity import OverlapError

COVARIATES = ["recency", "history", "mens", "womens", "newbie", "zip_code", "channel"]


def experiment(seed=0, n=600, effect=2.0, arms=("holdout", "sms")):
    """Return customers of an experiment by lots; the past explains half of what they spend."""
    rng = np.random.default_rng(seed)
    past = rng.gamma(2, 10, n)
    arm = np.array(arms)[rng.integers(0, len(arms), n)]
    town = rng.choice(["north", "south", "west"], n)
    reached = effect * (arm != arms[0]) * (1 + (town == "west"))
    spend = 5 + 0.5 * past + 3 * (town == "south") + reached + rng.normal(0, 7, n)
    return pd.DataFrame(
        {
            "arm": arm,
            "past": past,
            "age": rng.normal(40, 9, n),
            "town": town,
            "orders": rng.poisson(2, n) + 1,
            "spend": spend,
            "before": 4 + 0.5 * past + rng.normal(0, 5, n),
            "bought": (spend > 18).astype(int),
            "store": rng.integers(0, 80, n),
        }
    )


def evaluate(data, **changes):
    settings = {"arm": "arm", "control": "holdout", "outcomes": "spend"} | changes
    return tp.evaluate_campaign(data, **settings)


def first(data, **changes):
    return evaluate(data, **changes).to_frame().iloc[0]


#: What each method needs beside the outcome.
METHODS = {
    "difference": {},
    "cuped": {"covariates": ["past", "town"]},
    "lin": {"covariates": ["past", "town"]},
    "stratified": {"covariates": ["town"]},
    "aipw": {"covariates": ["past", "town"]},
    "did": {"before": "before"},
}
methods = pytest.mark.parametrize("method", METHODS)


# Published figures.


@pytest.fixture(scope="module")
def births():
    path = Path(statsmodels.__file__).parent / "treatment" / "tests" / "results" / "cataneo2.csv"
    if not path.exists():
        pytest.skip("statsmodels is installed without its tests")
    return pd.read_csv(path)


BIRTHS = {
    "arm": "mbsmoke_",
    "control": 0,
    "outcomes": "bweight",
    "method": "aipw",
    "link": "probit",
    "covariates": ["prenatal1_", "mmarried_", "mage", "fbaby_"],
    "treatment_covariates": ["mmarried_", "mage", "mage2", "fbaby_", "medu"],
    "randomised": False,
}


def test_aipw_is_stata_s(births):
    found = evaluate(births, **BIRTHS).to_frame().iloc[0]
    effect, error = reference.STATA_AIPW
    assert found["effect"] == pytest.approx(effect, abs=5e-7)
    assert found["standard_error"] == pytest.approx(error, abs=5e-7)


def test_aipw_has_the_means_of_statsmodels(births):
    from statsmodels.treatment.treatment_effects import TreatmentEffect

    probit = sm.Probit.from_formula("mbsmoke_ ~ mmarried_ + mage + mage2 + fbaby_ + medu", births)
    model = sm.OLS.from_formula("bweight ~ prenatal1_ + mmarried_ + mage + fbaby_", births)
    oracle = TreatmentEffect(
        model, births["mbsmoke_"].to_numpy(), results_select=probit.fit(disp=False)
    ).aipw(return_results=False)
    found = evaluate(births, **BIRTHS).to_frame().iloc[0]
    ours = found[["effect", "mean_control", "mean_treated"]].to_numpy(dtype=float)
    np.testing.assert_allclose(ours, np.ravel(oracle), rtol=1e-9)


def test_the_job_training_experiment():
    causaldata = pytest.importorskip("causaldata")
    data = causaldata.nsw_mixtape.load_pandas().data
    shares = {0: 260 / 445, 1: 185 / 445}
    found = evaluate(data, arm="treat", control=0, outcomes="re78", shares=shares).to_frame()
    row = found.iloc[0]
    assert row["effect"] == pytest.approx(reference.NSW_DIFFERENCE, abs=5e-4)
    # The published error takes one variance for both arms; ours is that of HC2.
    fit = smf.ols("re78 ~ treat", data).fit()
    assert fit.bse["treat"] == pytest.approx(reference.NSW_OLS_ERROR, abs=5e-4)
    assert row["standard_error"] == pytest.approx(fit.HC2_se["treat"], rel=1e-10)
    assert row["sample_ratio_p"] == 1


def test_the_observational_trap():
    causaldata = pytest.importorskip("causaldata")
    trained = causaldata.nsw_mixtape.load_pandas().data.query("treat == 1")
    others = causaldata.cps_mixtape.load_pandas().data
    data = pd.concat([trained, others], ignore_index=True)
    names = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
    call = {"arm": "treat", "control": 0, "outcomes": "re78", "covariates": names}
    naive = evaluate(data, **call)
    row = naive.to_frame().iloc[0]
    assert row["effect"] == pytest.approx(reference.NSW_CPS_DIFFERENCE, abs=0.05)
    assert row["balance_p"] < 1e-12
    assert "chance did not decide who was contacted" in row["warnings"]
    assert "do not have the sizes of the design" in row["warnings"]
    assert naive.balance["standardised_difference"].abs().max() > 2
    honest = evaluate(data, **call, method="aipw", estimand="treated", randomised=False)
    adjusted = honest.to_frame().iloc[0]
    # Within the experiment's own interval, and far from the naive one.
    assert abs(adjusted["effect"] - reference.NSW_DIFFERENCE) < 2 * 671
    assert honest.balance["weighted_difference"].abs().max() < 0.15
    # Others who would hardly be trained weigh next to nothing there.
    assert "few customers stand for many" not in adjusted["warnings"]
    everybody = evaluate(data, **call, method="aipw", randomised=False)
    assert "few customers stand for many" in everybody.to_frame()["warnings"].iloc[0]
    assert "Nobody drew lots" in honest.statement
    assert "effect on the contacted" in honest.statement


@pytest.fixture(scope="module")
def moments():
    return reference.hillstrom_moments()


MAILS = {"arm": "segment", "control": "No E-Mail"}


def check_hillstrom(found):
    """Compare differences with what Welch's formula makes of the arms' sums."""
    table = found.to_frame().set_index(["outcome", "arm"])
    for arm, (effect, error) in reference.HILLSTROM_VISIT.items():
        row = table.loc[("visit", arm)]
        assert round(row["effect"], 7) == effect
        assert round(row["standard_error"], 7) == error
    assert (table["sample_ratio_p"].round(3) == reference.HILLSTROM_RATIO_P).all()
    sums = {}
    for arm, (n, visits, buyers, cents, squares) in reference.HILLSTROM.items():
        for name, total, square in (
            ("visit", visits, visits),
            ("conversion", buyers, buyers),
            ("spend", cents / 100, squares / 1e4),
        ):
            sums[name, arm] = total / n, (square - total**2 / n) / (n - 1) / n
    for (name, arm), row in table.iterrows():
        mean, variance = sums[name, arm]
        base, of_base = sums[name, "No E-Mail"]
        assert row["effect"] == pytest.approx(mean - base, rel=1e-9)
        assert row["standard_error"] == pytest.approx((variance + of_base) ** 0.5, rel=1e-9)


def test_hillstrom_from_its_moments(moments):
    found = evaluate(moments, **MAILS, outcomes=["visit", "conversion", "spend"])
    assert found.arms == {arm: counts[0] for arm, counts in reference.HILLSTROM.items()}
    check_hillstrom(found)


@pytest.fixture(scope="module")
def hillstrom():
    """Return the whole file: of TOUCHPOINT_HILLSTROM, or of the cache of fetch_hillstrom."""
    import pooch

    given = os.environ.get("TOUCHPOINT_HILLSTROM")
    if given:
        return pd.read_csv(given)
    cache = Path(pooch.os_cache("touchpoint_lib"))
    if not list(cache.glob("*[Hh]illstrom*")):
        pytest.skip("Hillstrom's file is not here: set TOUCHPOINT_HILLSTROM to its path")
    return tp.fetch_hillstrom()


def test_hillstrom_s_file(hillstrom):
    found = evaluate(hillstrom, **MAILS, outcomes=["visit", "conversion", "spend"])
    check_hillstrom(found)


@pytest.mark.parametrize("method", ["cuped", "lin", "aipw"])
def test_hillstrom_s_file_adjusted(hillstrom, method):
    call = {"outcomes": ["visit", "spend"], "covariates": COVARIATES}
    plain = evaluate(hillstrom, **MAILS, **call).to_frame()
    found = evaluate(hillstrom, **MAILS, **call, method=method).to_frame()
    # Nobody can tell the arms apart, so that adjusting moves little and narrows a little.
    assert (plain["balance_p"] > 0.05).all()
    assert ((found["effect"] - plain["effect"]).abs() < 0.3 * plain["standard_error"]).all()
    assert (found["standard_error"] < plain["standard_error"]).all()
    of_visits = found[found["outcome"] == "visit"]
    assert of_visits["variance_reduction"].between(0.025, 0.031).all()


def test_hillstrom_s_file_by_segment_in_money(hillstrom):
    costs = {"spend": tp.CampaignCosts(margin=0.4, contact=0.05, fixed=100)}
    call = {"outcomes": ["visit", "spend"], "segments": ["newbie", "channel"], "costs": costs}
    found = evaluate(hillstrom, **MAILS, **call)
    table = found.to_frame()
    assert len(table) == 2 * 2 * (1 + 2 + 3)
    for by, part in table[table["segment_by"] != ""].groupby("segment_by"):
        whole = table[table["segment_by"] == ""]
        for column in ("n_treated", "n_control", "contact_cost"):
            of_parts = part.groupby(["outcome", "arm"], sort=False)[column].sum()
            expected = whole.set_index(["outcome", "arm"])[column].fillna(0)
            pd.testing.assert_series_equal(
                of_parts.sort_index(), expected.sort_index(), check_dtype=False, obj=by
            )
    row = table.query("outcome == 'spend' and arm == 'Mens E-Mail' and segment_by == ''").iloc[0]
    sums = {arm: (n, cents / 100) for arm, (n, _, _, cents, _) in reference.HILLSTROM.items()}
    n, spent = sums["Mens E-Mail"]
    lift = spent / n - sums["No E-Mail"][1] / sums["No E-Mail"][0]
    assert row["net_profit"] == pytest.approx(0.4 * n * lift - 0.05 * n - 100)
    assert len(found.interactions) == 2 * 2 * 2


# Independent oracles.


def test_difference_is_welch_with_its_interval():
    data = experiment()
    row = first(data, level=0.9)
    arms = [data.loc[data["arm"] == arm, "spend"] for arm in ("sms", "holdout")]
    oracle = ttest_ind(*arms, equal_var=False)
    interval = oracle.confidence_interval(0.9)
    assert row["effect"] == pytest.approx(arms[0].mean() - arms[1].mean())
    assert row["p_value"] == pytest.approx(oracle.pvalue)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((interval.low, interval.high))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis", "ignore::FutureWarning:ibis")
def test_tea_tasting_agrees():
    tea = pytest.importorskip("tea_tasting")
    import pyarrow as pa

    data = experiment(effect=1.0)
    table = pa.table(
        {"arm": (data["arm"] == "sms").astype(int).to_numpy()}
        | {name: data[name].to_numpy() for name in ("spend", "orders", "past")}
    )
    oracle = tea.Experiment(
        {
            "mean": tea.Mean("spend"),
            "cuped": tea.Mean("spend", covariate="past"),
            "ratio": tea.RatioOfMeans("spend", "orders"),
        },
        variant="arm",
    ).analyze(table, control=0)
    ours = {
        "mean": first(data),
        "cuped": first(data, method="cuped", covariates="past"),
        "ratio": first(data, outcomes={"an order": ("spend", "orders")}),
    }
    for name, row in ours.items():
        theirs = oracle[name]
        assert row["effect"] == pytest.approx(theirs.effect_size, rel=1e-9)
        for ours_name, theirs_name in (
            ("ci_low", "effect_size_ci_lower"),
            ("ci_high", "effect_size_ci_upper"),
            ("p_value", "pvalue"),
        ):
            assert row[ours_name] == pytest.approx(getattr(theirs, theirs_name), rel=1e-9)


def test_did_is_the_interaction_of_the_long_regression():
    data = experiment()
    row = first(data, method="did", before="before")
    change = data["spend"] - data["before"]
    arms = [change[data["arm"] == arm] for arm in ("sms", "holdout")]
    oracle = ttest_ind(*arms, equal_var=False)
    assert row["p_value"] == pytest.approx(oracle.pvalue)
    assert (row["mean_treated"], row["mean_control"]) == pytest.approx(
        (arms[0].mean(), arms[1].mean())
    )
    treated = (data["arm"] == "sms").astype(float)
    long = pd.DataFrame(
        {
            "y": np.r_[data["before"], data["spend"]],
            "treated": np.r_[treated, treated],
            "after": np.repeat([0.0, 1.0], len(data)),
            "customer": np.r_[data.index, data.index],
        }
    )
    fit = smf.ols("y ~ treated * after", long).fit(
        cov_type="cluster", cov_kwds={"groups": long["customer"], "use_correction": False}
    )
    assert row["effect"] == pytest.approx(fit.params["treated:after"])
    # Their sums of squares are by n, Welch's by n - 1.
    assert row["standard_error"] == pytest.approx(fit.bse["treated:after"], rel=3e-3)
    assert np.isnan(row["relative_lift"])


def test_several_arms_are_each_compared_with_the_control_alone():
    data = experiment(arms=("holdout", "mail", "sms"))
    table = evaluate(data).to_frame()
    assert table["arm"].tolist() == ["mail", "sms"]
    for arm, row in table.set_index("arm").iterrows():
        alone = first(data[data["arm"].isin(["holdout", arm])])
        assert row["effect"] == alone["effect"]
        assert row["standard_error"] == alone["standard_error"]
    with_covariates = {"method": "aipw", "covariates": ["past"]}
    third = evaluate(data, **with_covariates).to_frame().iloc[1]
    alone = first(data[data["arm"] != "mail"], **with_covariates)
    assert third["effect"] == pytest.approx(alone["effect"], rel=1e-12)


def test_p_values_are_adjusted_by_holm_within_their_family():
    data = experiment(arms=("holdout", "mail", "sms"), effect=0.8)
    call = {"outcomes": ["spend", "bought", "orders"], "segments": ["town"]}
    table = evaluate(data, **call).to_frame()
    for part in (table[table["segment_by"] == ""], table[table["segment_by"] != ""]):
        expected = multipletests(part["p_value"], method="holm")[1]
        np.testing.assert_allclose(part["p_adjusted"], expected, rtol=1e-12)
    interactions = evaluate(data, **call).interactions
    expected = multipletests(interactions["p_value"], method="holm")[1]
    np.testing.assert_allclose(interactions["p_adjusted"], expected, rtol=1e-12)


def test_the_sample_ratio_is_pearson_s():
    data = experiment(arms=("holdout", "mail", "sms"))
    sizes = data["arm"].value_counts().loc[["holdout", "mail", "sms"]]
    assert first(data)["sample_ratio_p"] == pytest.approx(chisquare(sizes).pvalue)
    shares = {"holdout": 0.2, "mail": 0.3, "sms": 0.5}
    row = first(data, shares=shares)
    expected = chisquare(sizes, np.array(list(shares.values())) * len(data)).pvalue
    assert row["sample_ratio_p"] == pytest.approx(expected)
    assert "do not have the sizes of the design" in row["warnings"]


def test_a_known_propensity_is_the_design():
    data = experiment()
    sizes = data["arm"].value_counts().loc[["holdout", "sms"]]
    row = first(data, method="aipw", covariates="past", propensity=0.5)
    assert row["sample_ratio_p"] == pytest.approx(chisquare(sizes).pvalue)
    # A fitted one, or one by customer, says nothing about the sizes.
    for propensity in (None, "chance"):
        data["chance"] = 0.5
        row = first(data, method="aipw", covariates="past", propensity=propensity)
        assert np.isnan(row["sample_ratio_p"])
    same = first(data, method="aipw", covariates="past", propensity={"sms": 0.5})
    assert same["effect"] == row["effect"]
    assert (same["overlap_low"], same["overlap_high"]) == (0.5, 0.5)


def test_the_sample_ratio_counts_clusters_where_lots_were_drawn_for_them():
    data = experiment(n=2000)
    data["arm"] = np.where(data["store"] < 40, "sms", "holdout")
    row = first(data, cluster="store")
    assert row["sample_ratio_p"] == 1
    # Without the clusters the same sizes are those of 2,000 customers.
    assert first(data)["sample_ratio_p"] < 1


def test_clusters_of_one_row_only_change_the_degrees_of_freedom():
    data = experiment()
    data["id"] = np.arange(len(data))
    plain, by_id = first(data), first(data, cluster="id")
    factor = (len(data) / (len(data) - 1)) ** 0.5
    assert by_id["standard_error"] == pytest.approx(plain["standard_error"] * factor)


@methods
def test_rows_twice_are_one_customer_with_clusters(method):
    data = experiment()
    data["id"] = np.arange(len(data))
    twice = pd.concat([data, data], ignore_index=True)
    call = {"method": method} | METHODS[method] | {"cluster": "id"}
    once, doubled = first(data, **call), first(twice, **call)
    assert doubled["effect"] == pytest.approx(once["effect"], rel=1e-9)
    # Up to (n - k) / (n - k / 2) by arm.
    assert doubled["standard_error"] == pytest.approx(once["standard_error"], rel=5e-3)
    alone = {name: value for name, value in call.items() if name != "cluster"}
    assert first(twice, **alone)["standard_error"] < 0.75 * once["standard_error"]


def test_few_clusters_are_warned_of():
    data = experiment()
    data["store"] %= 10
    assert "10 clusters are few" in first(data, cluster="store")["warnings"]


# Relative lift.


@pytest.mark.parametrize("effect", [0.0, 0.4, 3.0])
def test_the_interval_of_the_lift_is_fieller_s(effect):
    data = experiment(effect=effect, n=300)
    row = first(data)
    arms = [data.loc[data["arm"] == arm, "spend"] for arm in ("sms", "holdout")]
    (m1, v1), (m0, v0) = ((arm.mean(), arm.var(ddof=1) / len(arm)) for arm in arms)
    q = (row["ci_high"] - row["ci_low"]) / 2 / row["standard_error"]
    # By its definition: ratios that a test of treated - ratio * control does not reject.
    ratios = np.linspace(0.5, 2, 150_001)
    held = ratios[(m1 - ratios * m0) ** 2 <= q**2 * (v1 + ratios**2 * v0)] - 1
    assert (row["relative_low"], row["relative_high"]) == pytest.approx(
        (held.min(), held.max()), abs=2e-5
    )
    assert row["relative_lift"] == pytest.approx(m1 / m0 - 1)


@methods
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), effect=st.floats(-3, 3))
def test_both_intervals_hold_0_or_none_does(method, seed, effect):
    if method == "did":
        return
    row = first(experiment(seed, n=150, effect=effect), method=method, **METHODS[method])
    assert (row["ci_low"] <= 0 <= row["ci_high"]) == (
        row["relative_low"] <= 0 <= row["relative_high"]
    )


def test_a_control_near_0_has_no_bounds():
    data = experiment()
    data["spend"] -= data.loc[data["arm"] == "holdout", "spend"].mean() - 0.01
    row = first(data)
    assert (row["relative_low"], row["relative_high"]) == (-np.inf, np.inf)
    data["spend"] -= 0.02
    assert first(data)[["relative_lift", "relative_low", "relative_high"]].isna().all()


# Properties.


@methods
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), unit=st.floats(0.001, 1000), shift=st.floats(-100, 100))
def test_units_and_origin_of_the_outcome(method, seed, unit, shift):
    data = experiment(seed, n=200)
    plain = first(data, method=method, **METHODS[method])
    other = data.assign(spend=shift + unit * data["spend"], before=unit * data["before"])
    row = first(other, method=method, **METHODS[method])
    scale = unit * plain["standard_error"]
    assert row["effect"] == pytest.approx(unit * plain["effect"], abs=1e-7 * scale + 1e-12)
    assert row["standard_error"] == pytest.approx(scale, rel=1e-6)


@methods
def test_arms_by_other_names_turn_the_sign(method):
    data = experiment()
    call = {"method": method, **METHODS[method]}
    there, back = first(data, **call), first(data, **call, control="sms")
    assert back["effect"] == pytest.approx(-there["effect"], rel=1e-9)
    assert back["standard_error"] == pytest.approx(there["standard_error"], rel=1e-9)
    assert back["mean_treated"] == pytest.approx(there["mean_control"], rel=1e-9)


@methods
def test_the_order_of_rows_is_irrelevant(method):
    data = experiment()
    call = {"method": method, "segments": "town", "cluster": "store", **METHODS[method]}
    table = evaluate(data, **call).to_frame()
    mixed = evaluate(data.sample(frac=1, random_state=0), **call).to_frame()
    pd.testing.assert_frame_equal(table, mixed, rtol=1e-8)


@methods
def test_units_of_covariates_are_irrelevant(method):
    if method in ("difference", "did", "stratified"):
        call = {"method": method, **METHODS[method]} | {
            "covariates": METHODS[method].get("covariates", ["past", "town"])
        }
    else:
        call = {"method": method, **METHODS[method]}
    data = experiment()
    other = data.assign(past=data["past"] * 1e6 - 3e5)
    columns = ["effect", "standard_error", "balance_p"]
    np.testing.assert_allclose(
        first(data, **call)[columns].astype(float),
        first(other, **call)[columns].astype(float),
        rtol=1e-7,
    )


@methods
def test_the_effect_is_the_difference_of_the_means(method):
    table = evaluate(experiment(), method=method, segments="town", **METHODS[method]).to_frame()
    gap = table["mean_treated"] - table["mean_control"]
    np.testing.assert_allclose(table["effect"], gap, rtol=1e-9)
    np.testing.assert_allclose(table["incremental_total"], table["effect"] * table["n_treated"])
    assert (table["ci_low"] < table["effect"]).all()
    assert (table["effect"] < table["ci_high"]).all()


@pytest.mark.parametrize("method", ["cuped", "lin", "stratified", "aipw"])
def test_covariates_narrow_the_interval(method):
    data = experiment(n=3000)
    if method == "stratified":
        data["decile"] = pd.qcut(data["past"], 10, labels=False)
    names = ["decile"] if method == "stratified" else ["past", "town"]
    row = first(data, method=method, covariates=names)
    plain = first(data)
    reduction = 1 - (row["standard_error"] / plain["standard_error"]) ** 2
    assert row["variance_reduction"] == pytest.approx(reduction)
    # Past spend has 50 of 50 + 49 + 2 of the variance within arms.
    assert 0.35 < reduction < 0.65


def test_the_detectable_effect_is_found_4_times_in_5():
    row = first(experiment())
    assert row["detectable_effect"] == pytest.approx((1.959964 + 0.841621) * row["standard_error"])


# Segments.


def test_segments_are_evaluations_of_their_own_rows():
    data = experiment()
    for method, needs in METHODS.items():
        call = {"method": method, **needs}
        if method == "stratified":
            data["half"] = np.where(data["past"] > 20, "high", "low")
            call["covariates"] = ["half"]
        table = evaluate(data, **call, segments=["town"]).to_frame().set_index("segment")
        alone = first(data[data["town"] == "west"], **call)
        columns = ["n_treated", "effect", "standard_error", "p_value"]
        ours = table.loc["west", columns].astype(float)
        np.testing.assert_allclose(ours, alone[columns].astype(float), rtol=1e-9)


def test_the_test_of_one_effect_is_cochran_s():
    data = experiment()
    found = evaluate(data, segments="town")
    parts = found.to_frame().query("segment_by == 'town'")
    weights = parts["standard_error"] ** -2
    mean = np.average(parts["effect"], weights=weights)
    statistic = (weights * (parts["effect"] - mean) ** 2).sum()
    row = found.interactions.iloc[0]
    assert row["statistic"] == pytest.approx(statistic)
    assert (row["n_segments"], row["df"]) == (3, 2)
    # Welch's p, of three segments of some 200 customers, is near that of chi-square, above it.
    by_chi2 = chi2.sf(statistic, 2)
    assert by_chi2 < row["p_value"] < 1.2 * by_chi2


def test_the_test_of_one_effect_is_welch_s():
    from statsmodels.stats.oneway import anova_generic

    data = experiment()
    found = evaluate(data, segments="town")
    parts = found.to_frame().query("segment_by == 'town'")
    df = []
    for _, rows in data.groupby("town"):
        arms = [rows.loc[rows["arm"] == arm, "spend"] for arm in ("sms", "holdout")]
        df.append(ttest_ind(*arms, equal_var=False).df)
    # Means of df + 1 rows with these errors have these degrees of freedom.
    sizes = np.array(df) + 1
    oracle = anova_generic(
        parts["effect"].to_numpy(),
        parts["standard_error"].to_numpy() ** 2 * sizes,
        sizes,
        use_var="unequal",
        welch_correction=True,
    )
    assert found.interactions["p_value"].iloc[0] == pytest.approx(oracle.pvalue, rel=1e-9)


def test_the_test_of_one_effect_holds_its_level_with_many_small_segments():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(100):
        data = pd.DataFrame({"arm": np.arange(2000) % 2, "part": np.arange(2000) // 20})
        data["y"] = rng.normal(0, 1, 2000)
        found = evaluate(data, control=0, outcomes="y", segments="part")
        rejected += found.interactions["p_value"].iloc[0] < 0.05
    # By chi-square some 19; of 100 at 5 % at most 12 in 999 of 1,000.
    assert rejected <= 12


def test_the_test_of_one_effect_knows_that_segments_share_clusters():
    """Customers whose every order shows the same luck in both segments differ in neither."""
    rng = np.random.default_rng(0)
    rejected = {"by customer": 0, "by order": 0}
    for _ in range(200):
        arm = np.repeat(np.where(rng.random(120) < 0.5, "sms", "holdout"), 2)
        luck = np.repeat(rng.normal(0, 3, 120), 2) * np.tile([1.0, -1.0], 120)
        data = pd.DataFrame(
            {
                "arm": arm,
                "customer": np.repeat(np.arange(120), 2),
                "part": np.tile(["a", "b"], 120),
                "spend": 20 + luck + rng.normal(0, 1, 240),
            }
        )
        for name, cluster in (("by customer", "customer"), ("by order", None)):
            found = evaluate(data, segments="part", cluster=cluster)
            rejected[name] += found.interactions["p_value"].iloc[0] < 0.05
    # Of 200 at 5 %: 3 to 20 hold 99.9 %.
    assert 3 <= rejected["by customer"] <= 20
    assert rejected["by order"] > 24


@methods
def test_a_segment_too_small_is_nan_with_a_warning(method):
    data = experiment()
    data.loc[data.index[data["arm"] == "sms"][:5], "town"] = "islet"
    data["village"] = data["town"]
    call = {"method": method, **METHODS[method]}
    if call.get("covariates"):
        call["covariates"] = ["bought" if one == "town" else one for one in call["covariates"]]
    found = evaluate(data, segments="village", **call, costs=None)
    row = found.to_frame().set_index("segment").loc["islet"]
    assert (row["n_treated"], row["n_control"]) == (5, 0)
    assert row["warnings"] == "not estimated: an arm has 0 rows" or row["warnings"].endswith(
        "not estimated: an arm has 0 rows"
    )
    unknown = row[["effect", "standard_error", "ci_low", "p_value", "p_adjusted", "balance_p"]]
    assert unknown.isna().all()
    assert found.to_frame()["effect"].notna().sum() == 4
    assert found.interactions["n_segments"].iloc[0] == 3


def test_the_test_of_one_effect_with_clusters_of_their_own_is_cochran_s():
    data = experiment()
    data["store"] = data["store"].astype(str) + data["town"]
    found = evaluate(data, segments="town", cluster="store")
    parts = found.to_frame().query("segment_by == 'town'")
    weights = parts["standard_error"] ** -2
    mean = np.average(parts["effect"], weights=weights)
    statistic = (weights * (parts["effect"] - mean) ** 2).sum()
    assert found.interactions["statistic"].iloc[0] == pytest.approx(statistic, rel=1e-9)


def test_a_ratio_adds_to_no_total():
    row = first(experiment(), outcomes={"an order": ("spend", "orders")})
    assert row[["incremental_total", "incremental_low", "incremental_high"]].isna().all()
    assert np.isfinite(row["effect"])


def test_ratios_of_a_segment_too_small():
    data = experiment(arms=("holdout", "mail", "sms"))
    data.loc[data.index[data["arm"] == "sms"][:3], "town"] = "islet"
    table = evaluate(data, outcomes={"order": ("spend", "orders")}, segments="town").to_frame()
    assert table.query("segment == 'islet'")["effect"].isna().all()


# What to beware of.


def test_an_outcome_that_does_not_vary_has_no_interval():
    # A tenth has no exact sum: what varies is rounding.
    row = first(experiment().assign(spend=0.1))
    assert row["effect"] == pytest.approx(0, abs=1e-15)
    assert row[["standard_error", "ci_low", "p_value", "variance_reduction"]].isna().all()
    assert row["warnings"] == "the outcome does not vary within the arms: no interval"


def test_covariates_that_say_nothing_are_left_out_and_named():
    data = experiment()
    data["twice"] = 2 * data["past"] + 1
    data["same"] = 4
    for method in ("cuped", "lin", "aipw"):
        row = first(data, method=method, covariates=["past", "twice", "same", "town"])
        assert "covariates that say nothing here are left out: same, twice" in row["warnings"]
        alone = first(data, method=method, covariates=["past", "town"])
        assert row["effect"] == pytest.approx(alone["effect"], rel=1e-9)
        assert row["standard_error"] == pytest.approx(alone["standard_error"], rel=1e-9)


@pytest.mark.parametrize(("method", "left_out"), [("cuped", False), ("lin", True), ("aipw", True)])
def test_what_varies_in_one_arm_alone_is_no_covariate_of_a_regression_by_arm(method, left_out):
    data = experiment()
    data["card"] = data["age"] * (data["arm"] == "holdout")
    known = {"propensity": 0.5} if method == "aipw" else {}
    row = first(data, method=method, covariates=["past", "card"], **known)
    assert ("left out: card" in row["warnings"]) == left_out
    if left_out:
        alone = first(data, method=method, covariates=["past"], **known)
        assert row["effect"] == pytest.approx(alone["effect"], rel=1e-12)


def test_text_columns_are_indicators():
    data = experiment()
    for level in ("south", "west"):
        data[level] = data["town"] == level
    for method in ("cuped", "lin", "aipw"):
        by_text = first(data, method=method, covariates=["past", "town"])
        by_hand = first(data, method=method, covariates=["past", "south", "west"])
        assert by_text["effect"] == pytest.approx(by_hand["effect"], rel=1e-12)
    assert evaluate(data, covariates="town").balance["covariate"].tolist() == [
        "town=south",
        "town=west",
    ]


def test_a_ratio_where_nobody_drew_lots_is_that_of_adjusted_means():
    data = experiment(n=4000)
    call = {"method": "aipw", "covariates": ["past"], "randomised": False}
    data["orders"] += (data["past"] / 10).astype(int)
    data = data[(data["arm"] == "sms") | (data["past"] + 5 * (data.index % 5) < 35)]
    of = evaluate(data, **call, outcomes=["spend", "orders"]).to_frame().set_index("outcome")
    row = first(data, **call, outcomes={"an order": ("spend", "orders")})
    for side in ("mean_treated", "mean_control"):
        assert row[side] == pytest.approx(of.loc["spend", side] / of.loc["orders", side])


def test_totals_are_of_the_contacted():
    call = {"method": "aipw", "covariates": ["past"]}
    names = ["incremental_total", "incremental_low", "incremental_high"]
    assert first(experiment(), **call, randomised=False)[names].isna().all()
    assert first(experiment(), **call, randomised=False, estimand="treated")[names].notna().all()
    assert first(experiment(), **call)[names].notna().all()


def test_few_clusters_of_one_arm_are_warned_of():
    data = experiment()
    data["store"] = np.where(data["arm"] == "sms", data["store"] % 3, 100 + data["store"])
    assert "an arm has 3 clusters, which are few" in first(data, cluster="store")["warnings"]


def test_no_cap_is_asked_for_where_there_can_be_none():
    data = experiment()
    data.loc[:2, "spend"] = 5000
    for changes in (
        {"method": "did", "before": "before"},
        {"outcomes": {"an order": ("spend", "orders")}},
        {"caps": {"spend": 4000}},
    ):
        found = first(data, **changes)["warnings"]
        assert "a few large values carry the effect: read the interval with care" in found


def test_a_cap_below_all_values_is_told():
    row = first(experiment().assign(spend=lambda data: 1 + data["past"]), caps={"spend": 0.5})
    assert "does not vary within the arms" in row["warnings"]
    assert "600 values above the cap of 0.5" in row["warnings"]


def test_a_placebo_that_does_not_vary_tells_nothing():
    found = evaluate(experiment().assign(same=1.0), placebo="same")
    assert found.statement.endswith("do not vary, and tell nothing.")


def test_a_few_large_values_are_warned_of_and_capped():
    data = experiment()
    data.loc[:2, "spend"] = 5000
    assert "a few large values carry the effect" in first(data)["warnings"]
    row = first(data, caps={"spend": "99%"})
    cap = np.quantile(data["spend"][data["spend"] > 0], 0.99)
    assert row["cap"] == cap
    assert row["n_capped"] == (data["spend"] > cap).sum()
    expected = first(data.assign(spend=data["spend"].clip(upper=cap)))
    assert row["effect"] == pytest.approx(expected["effect"])
    assert f"{row['n_capped']} values above the cap of {cap:,.6g} count as" in row["warnings"]


def test_few_cases_are_warned_of():
    data = experiment().assign(bought=0)
    data.loc[data.index[data["arm"] == "sms"][:30], "bought"] = 1
    data.loc[data.index[data["arm"] == "holdout"][:4], "bought"] = 1
    assert "an arm has 4 rows with the outcome" in first(data, outcomes="bought")["warnings"]


def test_a_short_window_is_warned_of():
    data = experiment()
    found = evaluate(data, window=14, cycle=30)
    assert "the outcome counts over 14 days, a cycle takes 30" in found.table["warnings"].iloc[0]
    assert "over 14 days" in found.statement
    assert "pulled forward" not in evaluate(data, window=30, cycle=30).table["warnings"].iloc[0]


def test_lots_that_were_not_drawn_show_in_the_balance():
    data = experiment()
    data["past"] += 6 * (data["arm"] == "sms")
    row = first(data, covariates=["past", "age"])
    assert row["balance_p"] < 1e-3
    assert "the arms differed before the campaign" in row["warnings"]


def test_before_and_after_has_a_name_and_says_what_it_is():
    data = experiment()
    with pytest.raises(InputError, match=r'hold out customers at random.*method="before_after"'):
        evaluate(data, control=None)
    sent = data[data["arm"] == "sms"]
    found = evaluate(sent, control=None, method="before_after", before="before")
    row = found.to_frame().iloc[0]
    change = sent["spend"] - sent["before"]
    assert row["effect"] == pytest.approx(change.mean())
    assert row["standard_error"] == pytest.approx(change.sem())
    assert row["method"] == "before_after"
    assert row["warnings"].startswith("a change since before in the contacted alone, not an effect")
    assert found.statement.startswith("This is not an effect.")
    assert found.arms == {"sms": len(sent)}
    assert row[["relative_lift", "sample_ratio_p", "balance_p"]].isna().all()


def test_the_statement_tells_what_the_figures_rest_on():
    data = experiment()
    assert "Chance decided who was contacted, as you say" in evaluate(data).statement
    call = {"method": "aipw", "covariates": ["past", "town"], "randomised": False}
    found = evaluate(data, **call)
    assert "customers alike in past, town, chance decided" in found.statement
    assert "effect on all these customers" in found.statement
    unsure = evaluate(data, method="did", before="before", randomised=False).statement
    assert "only if both arms would have changed alike" in unsure


def test_a_placebo_outcome_shows_a_biased_comparison():
    data = experiment(n=2000)
    call = {"method": "aipw", "covariates": "age", "randomised": False, "placebo": "before"}
    fair = evaluate(data, **call)
    assert "the arms do not differ clearly" in fair.statement
    data["before"] += 2 * (data["arm"] == "sms")
    biased = evaluate(data, **call)
    assert "The arms differ in before from before the campaign" in biased.statement
    assert biased.placebo["outcome"].tolist() == ["before"]
    assert biased.placebo["effect"].iloc[0] == pytest.approx(
        fair.placebo["effect"].iloc[0] + 2, abs=0.1
    )


def test_the_record_shows_its_table_and_warnings():
    data = experiment(arms=("holdout", "<b>"))
    found = evaluate(data, caps={"spend": 30}, window=7, cycle=30)
    page = found._repr_html_()
    notes = found.table["warnings"].iloc[0].split("; ")
    assert len(notes) == 2
    for note in notes:
        assert f"<li>{note}</li>" in page
    assert page.count("<li>") == 2
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert repr(found) == "CampaignEvaluation(difference, 600 rows, 1 comparisons)"
    frame = found.to_frame()
    frame["effect"] = 0
    assert found.table["effect"].iloc[0] != 0


def test_the_columns_that_others_read():
    frame = evaluate(experiment()).to_frame()
    assert frame.columns[:19].tolist() == [
        "outcome", "arm", "control", "segment_by", "segment", "method", "n_treated", "n_control",
        "mean_treated", "mean_control", "effect", "standard_error", "ci_low", "ci_high",
        "relative_lift", "relative_low", "relative_high", "p_value", "p_adjusted",
    ]  # fmt: skip
    assert frame.columns[-3:].tolist() == ["sample_ratio_p", "balance_p", "warnings"]


def test_the_control_reads_the_same_as_text():
    data = experiment().replace({"arm": {"holdout": 0, "sms": 1}})
    data["arm"] = data["arm"].astype(int)
    assert first(data, control="0")["effect"] == first(data, control=0)["effect"]


# Bad input.


def with_missing(column):
    data = experiment()
    data.loc[7, column] = None
    return data


def separated(data):
    return data.assign(past=data["past"] + 1000 * (data["arm"] == "sms"))


AIPW = {"method": "aipw", "covariates": ["past"]}


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (experiment(), {"method": "magic"}, "method is 'magic'; it must be one of 'difference'"),
        (experiment(), AIPW | {"placebo": "past"}, "placebo 'past' is a covariate; what is adjust"),
        (experiment(), {"placebo": "spend"}, "placebo 'spend' is an outcome; use columns from"),
        (experiment(), {"segments": "arm"}, "segment 'arm' is the arm; use columns from before"),
        (experiment(), {"segments": "spend"}, "segment 'spend' is an outcome; use columns from"),
        (experiment(), {"cycle": 30}, "cycle is given without window; say over how many days"),
        (experiment(), {"link": "probit"}, "link is given with method 'difference'; it is for"),
        (
            experiment(),
            AIPW | {"propensity": 0.5, "treatment_covariates": "age"},
            "treatment_covariates is given with method 'aipw'; it is for method \"aipw\" without p",
        ),
        (experiment(), {"method": []}, r"method is \[\]; it must be one of"),
        (experiment(), {"outcomes": "sales"}, "data has no column 'sales'.*name the outcome by"),
        (experiment(), {"outcomes": []}, "outcomes is empty; name at least one column"),
        (experiment(), {"outcomes": 3}, "outcomes is 3; name columns by text, one or a list"),
        (experiment(), {"outcomes": ["spend", "spend"]}, "outcomes names 'spend' twice; name it"),
        (experiment(), {"outcomes": "town"}, "outcome 'town' is not numeric"),
        (with_missing("spend"), {}, r"outcome 'spend' is nan at index 7 \(1 such values\)"),
        (with_missing("arm"), {}, r"arm 'arm' is missing at index 7 \(1 rows\); fill it or"),
        (with_missing("past"), AIPW, "covariate 'past' is nan at index 7"),
        (with_missing("town"), {"segments": "town"}, "segment 'town' is missing at index 7"),
        (with_missing("store"), {"cluster": "store"}, "cluster 'store' is missing at index 7"),
        (experiment(), {"arm": "group"}, "data has no column 'group'.*name the column of the arm"),
        (experiment(), {"control": "none"}, "no row of arm is the control 'none'; the values are"),
        (experiment(arms=("holdout",)), {}, "every row of arm is the control 'holdout'; pass the"),
        (experiment().iloc[:0], {}, "data has no rows"),
        ([1, 2], {}, "data is a list; it must be a pandas DataFrame"),
        (experiment(), {"method": "lin"}, "method 'lin' needs covariates; name columns from"),
        (experiment(), {"method": "did"}, "method 'did' needs before; name the column with"),
        (experiment(), {"randomised": False}, "method is 'difference' where no lots decided"),
        (experiment(), {"randomised": "yes"}, "randomised is 'yes'; it must be one of True"),
        (
            experiment(),
            {"method": "lin", "covariates": ["past"], "randomised": False},
            "method is 'lin' where no lots decided who was contacted; use \"aipw\"",
        ),
        (experiment(), {"estimand": "treated"}, "estimand is given with method 'difference'; it"),
        (experiment(), {"propensity": 0.5}, r"propensity is given with.*aipw.*shares= tells the"),
        (experiment(), {"treatment_covariates": ["past"]}, "treatment_covariates is given with"),
        (experiment(), {"before": "before"}, "before is given with method 'difference'"),
        (
            experiment(),
            {"method": "did", "before": "before", "caps": {"spend": 9}},
            "caps is given with method 'did'; it is for a method without before",
        ),
        (
            experiment(),
            {"method": "did", "before": "before", "placebo": "past"},
            "placebo is given with method 'did'",
        ),
        (
            experiment(),
            {"method": "before_after", "before": "before"},
            'method is "before_after" with a control; a control is worth more: use it',
        ),
        (
            experiment(),
            {
                "method": "before_after",
                "before": "before",
                "control": None,
                "covariates": ["past"],
            },
            "covariates is given with method 'before_after'; it is for a comparison with a",
        ),
        (
            experiment(),
            {"method": "before_after", "before": "before", "control": None, "shares": {"sms": 1}},
            "shares is given with method 'before_after'",
        ),
        (
            experiment().iloc[:0],
            {"method": "before_after", "before": "before", "control": None},
            "data has no rows",
        ),
        (experiment(), {"covariates": ["arm"]}, "covariate 'arm' is the arm; leave it out"),
        (experiment(), {"covariates": ["spend"]}, "covariate 'spend' is an outcome; use columns"),
        (
            experiment(),
            {"outcomes": {"a": ("spend", "orders")}, **AIPW, "treatment_covariates": "orders"},
            "covariate 'orders' is an outcome",
        ),
        (experiment(), {"covariates": [["past"]]}, r"covariates has \['past'\]; name columns by"),
        (experiment(), {"level": 1}, "level is 1; it must be < 1"),
        (experiment(), {"window": 0}, "window is 0; it must be > 0"),
        (experiment(), {"cycle": "month"}, "cycle is 'month'; it must be a number"),
        (experiment(), {"caps": "99%"}, "caps is '99%'; pass a mapping by outcome"),
        (experiment(), {"method": "did", "before": 3}, "before is 3; pass a mapping by outcome"),
        (experiment(), {"shares": 0.5}, "shares is 0.5; pass a mapping from each arm to its sha"),
        (experiment(), {"shares": {"sms": 1.0}}, "shares are of 'sms'; pass one for each arm"),
        (experiment(), {"shares": {"sms": 0.5, "holdout": 0.4}}, "shares sum to 0.9; they must"),
        (experiment(), {"shares": {"sms": 1, "holdout": 0}}, "share of 'holdout' is 0; it must"),
        (experiment(), AIPW | {"propensity": 1}, "propensity of 'sms' is 1; it must be < 1"),
        (
            experiment(),
            AIPW | {"propensity": "bought"},
            r"propensity of 'sms' is .* at index .*abo",
        ),
        (experiment(), AIPW | {"propensity": {"mail": 0.5}}, "treated='mail' is no arm of arm"),
        (experiment(), AIPW | {"link": "cauchit"}, "link is 'cauchit'; it must be one of 'logit'"),
        (experiment(), {"caps": {"sales": 3}}, "caps names 'sales', which is no outcome"),
        (
            experiment(arms=("holdout", "mail", "sms")),
            AIPW | {"propensity": 0.5},
            "propensity is one for 2 treated arms; pass a mapping",
        ),
        (
            experiment(arms=("holdout", "mail", "sms")),
            AIPW | {"propensity": {"mail": 0.5}},
            "propensity has none of arm 'sms'; pass one for each treated arm",
        ),
        (
            experiment(),
            {"method": "did", "outcomes": ["spend", "orders"], "before": "before"},
            "before is one column for 2 outcomes; pass a mapping by outcome",
        ),
        (
            experiment(),
            {"method": "did", "outcomes": ["spend", "orders"], "before": {"spend": "before"}},
            "before has no column of outcome 'orders'; name one for each outcome",
        ),
        (experiment(), {"segments": "past"}, "segment 'past' has 600 values; group them into at"),
        (
            experiment(),
            {"method": "stratified", "covariates": ["store", "town"]},
            "arm 'sms' beside the control: stratum store=.*, town=.* has .* rows of an arm, two",
        ),
        (
            experiment(n=12),
            {"method": "lin", "covariates": ["past", "age", "town", "orders"]},
            "arm 'sms' beside the control: an arm has .* rows for .* coefficients; leave out",
        ),
        (
            pd.DataFrame({"arm": ["holdout", "holdout", "sms"], "spend": [1.0, 2.0, 3.0]}),
            {},
            "arm 'sms' beside the control: an arm has 1 rows; two is the least",
        ),
        (
            experiment().assign(store=lambda data: np.where(data["arm"] == "sms", 0, data.index)),
            {"cluster": "store"},
            "arm 'sms' beside the control: an arm is a single cluster; two is the least",
        ),
        (
            experiment().assign(orders=0),
            {"outcomes": {"a": ("spend", "orders")}},
            "arm 'sms' beside the control: the denominator of the ratio is not above 0",
        ),
    ],
)
def test_bad_input(data, changes, message):
    with pytest.raises(InputError, match=message):
        evaluate(data, **changes)


def test_covariates_that_tell_the_arms_apart_leave_nobody_to_compare_with():
    data = separated(experiment())
    message = "arm 'sms' beside the control: the covariates tell the contacted from the others"
    with pytest.raises(OverlapError, match=message):
        evaluate(data, **AIPW, randomised=False)
    # In a segment that is a gap in the table.
    data.loc[data["town"] != "west", "past"] = experiment()["past"]
    found = evaluate(data, **AIPW, segments="town").to_frame().set_index("segment")
    assert np.isnan(found.loc["west", "effect"])
    assert "not estimated: the covariates tell the contacted" in found.loc["west", "warnings"]
    assert np.isfinite(found.loc["north", "effect"])


def test_money_where_nobody_drew_lots_is_that_of_the_treated():
    data, costs = experiment(), tp.CampaignCosts(margin=1)
    names = data.columns.difference(["arm", "spend"])[:1].tolist()
    asked = {
        "arm": "arm",
        "control": "holdout",
        "outcomes": "spend",
        "method": "aipw",
        "covariates": names,
        "costs": costs,
        "randomised": False,
    }
    with pytest.raises(InputError, match='pass estimand="treated"'):
        tp.evaluate_campaign(data, **asked)
    row = tp.evaluate_campaign(data, **asked, estimand="treated").to_frame().iloc[0]
    assert row["net_profit"] == pytest.approx(row["effect"] * row["n_treated"])


def test_notes_list_each_warning_once():
    data = experiment().assign(bought=0, region=np.arange(len(experiment())) % 2)
    data.loc[data.index[:3], "bought"] = 1
    found = tp.evaluate_campaign(
        data, arm="arm", control="holdout", outcomes="bought", segments="region"
    )
    notes = found.notes()
    assert notes["warning"].is_unique
    said = [set(filter(None, text.split("; "))) for text in found.table["warnings"]]
    assert set(notes["warning"]) == set().union(*said)
    for note, count, where in notes.itertuples(index=False):
        assert count == sum(note in one for one in said)
        first = next(place for place, one in enumerate(said) if note in one)
        row = found.table.iloc[first]
        place = f"region {row['segment']}" if row["segment_by"] else "all customers"
        assert where == f"bought, {row['arm']}, {place}"


def test_money_is_that_of_the_treated_where_chances_differ():
    data = experiment()
    data["chance"] = np.where(np.arange(len(data)) % 2, 0.4, 0.6)
    asked = {
        "arm": "arm",
        "control": "holdout",
        "outcomes": "spend",
        "method": "aipw",
        "covariates": data.columns.difference(["arm", "spend", "chance"])[:1].tolist(),
        "propensity": "chance",
    }
    assert tp.evaluate_campaign(data, **asked).to_frame()["incremental_total"].isna().all()
    costs = tp.CampaignCosts(margin=1)
    with pytest.raises(InputError, match="not everybody had the same chance"):
        tp.evaluate_campaign(data, **asked, costs=costs)
    row = tp.evaluate_campaign(data, **asked, costs=costs, estimand="treated").to_frame().iloc[0]
    assert row["net_profit"] == pytest.approx(row["effect"] * row["n_treated"])


def test_a_standing_control_group_judges_all_contacts_together():
    """The programme's effect per customer, known from the same shop without any contact."""
    settings = {"payments": None, "parcels": None, "reviews": None}
    shop = tp.simulate_shop(3, 4000, 365, contacts=tp.ShopContacts(control=0.3), **settings)
    with_contacts, without = (
        one.orders.groupby("customer_id")
        .size()
        .reindex(shop.customers["customer_id"], fill_value=0)
        for one in (shop, shop.twin(contacts=None))
    )
    customers = shop.customers.assign(orders=with_contacts.to_numpy())
    row = tp.evaluate_campaign(
        customers,
        arm="control_group",
        control=True,
        outcomes="orders",
        shares={True: 0.3, False: 0.7},
    )
    row = row.to_frame().iloc[0]
    gained = with_contacts.to_numpy() - without.to_numpy()
    control = customers["control_group"].to_numpy()
    assert not gained[control].any()
    assert row["ci_low"] < gained[~control].mean() < row["ci_high"]
    assert row["sample_ratio_p"] > 0.01
    assert row["n_control"] == control.sum()


@pytest.mark.parametrize("method", ["difference", "cuped", "lin", "stratified", "aipw", "did"])
def test_the_data_are_left_as_they_were(method):
    """Rows are read without a copy where a comparison has them all."""
    data = experiment()
    data["half"] = np.arange(len(data)) % 2
    was = data.copy(deep=True)
    tp.evaluate_campaign(
        data,
        arm="arm",
        control="holdout",
        outcomes="spend",
        method=method,
        covariates="half" if method == "stratified" else ["half", "past"],
        before="before" if method == "did" else None,
        costs=tp.CampaignCosts(margin=0.5, contact=0.1, discount="orders"),
        segments="town",
        cluster="store" if method == "difference" else None,
    )
    pd.testing.assert_frame_equal(data, was)
