from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from statsmodels.duration.hazard_regression import PHReg

from tests.churn.contracts import weibull
from tests.reference import contracts as published
from tests.reference.contracts import freireich, ovarian
from touchpoint_lib._checks import InputError
from touchpoint_lib.churn.contract._risk_sets import (
    PartialLikelihood,
    Stratum,
    _losses,
    concordant_pairs,
)
from touchpoint_lib.churn.contract.cox import CoxModel
from touchpoint_lib.churn.contract.survival_curve import kaplan_meier, retention_at
from touchpoint_lib.lifetime._estimates import ConvergenceWarning
from touchpoint_lib.metrics.rates import prediction_rates

Floats = NDArray[np.float64]


def plain_likelihood(beta: float, frame: pd.DataFrame, x: Floats, efron: bool) -> float:
    """Log partial likelihood of one covariate, one tenure after another, by the definition."""
    tenure, ended = frame["tenure"].to_numpy(), frame["ended"].to_numpy(dtype=bool)
    total = 0.0
    for time in set(tenure[ended]):
        lost = ended & (tenure == time)
        total += beta * x[lost].sum()
        for l in range(lost.sum()):  # noqa: E741
            share = l / lost.sum() if efron else 0.0
            weights = np.exp(beta * x)
            total -= np.log(weights[tenure >= time].sum() - share * weights[lost].sum())
    return total


def messy(seed: int, n: int = 300) -> pd.DataFrame:
    """Ties, late entries, strata and counts at once."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "plan": rng.choice(["a", "b", "c"], n),
            "region": rng.choice(["u", "v"], n),
            "entry": rng.integers(0, 4, n),
            "count": rng.integers(1, 4, n),
        }
    )
    until = np.ceil(rng.exponential(8 / np.exp(0.5 * frame["x"]))) + frame["entry"]
    seen = rng.integers(5, 25, n)
    return frame.assign(tenure=np.minimum(until, seen).astype(float), ended=until <= seen)


@pytest.fixture(scope="module")
def fitted() -> CoxModel:
    frame = weibull(3000, seed=1)
    frame.attrs["unit"] = "M"
    return CoxModel("visits + plan").fit(frame)


# -- published figures -----------------------------------------------------------------------------


def test_published_leukaemia_coefficient() -> None:
    frame = freireich()
    efron, breslow = published.COEFFICIENT["efron"], published.COEFFICIENT["breslow"]
    model = CoxModel("arm").fit(frame)
    assert model.converged_
    assert model.params_.index.tolist() == ["arm[T.placebo]"]
    assert model.params_.iloc[0] == pytest.approx(efron[0], abs=5e-4)
    assert model.standard_errors_.iloc[0] == pytest.approx(efron[1], abs=5e-4)
    assert (model.n_subscriptions_, model.n_ended_) == (42, 30)
    # R's coxph prints a concordance of 0.69.
    assert model.concordance_ == pytest.approx(0.690, abs=5e-4)
    x = (frame["arm"] == "placebo").to_numpy(dtype=float)
    for ties, (estimate, error) in ((True, efron), (False, breslow)):

        def loss(beta: float, ties: bool = ties) -> float:
            return -plain_likelihood(beta, frame, x, ties)

        best = minimize_scalar(loss, bracket=(0, 2)).x
        assert best == pytest.approx(estimate, abs=5e-4)
        curve = (loss(best + 1e-3) + loss(best - 1e-3) - 2 * loss(best)) / 1e-6
        assert curve**-0.5 == pytest.approx(error, abs=5e-4)
    assert plain_likelihood(model.params_.iloc[0], frame, x, True) == pytest.approx(
        model.log_likelihood_, rel=1e-12
    )


def test_published_test_of_proportional_hazards() -> None:
    model = CoxModel(["age", "ecog"]).fit(ovarian())
    table = model.proportional_hazards_test()
    assert table.index.tolist() == ["age", "ecog", "all"]
    np.testing.assert_allclose(table["p_value"], published.PROPORTIONAL_HAZARDS, atol=5e-7)
    assert table["degrees_of_freedom"].tolist() == [1, 1, 2]
    assert (table["finding"] == "no sign that the effect changes with tenure").all()


# -- against statsmodels and definitions -----------------------------------------------------------


@pytest.mark.parametrize("strata", [None, "region"])
@pytest.mark.parametrize("entry", [None, "entry"])
def test_estimates_equal_those_of_statsmodels(strata: str | None, entry: str | None) -> None:
    frame = messy(seed=3)
    model = CoxModel("x + plan", strata=strata).fit(frame, entry=entry)
    design = np.column_stack([frame["x"], frame["plan"] == "b", frame["plan"] == "c"])
    oracle = PHReg(
        frame["tenure"],
        design.astype(float),
        status=frame["ended"].astype(float),
        # PHReg takes who enters at a time for at risk at it; Kaplan-Meier there does not.
        entry=None if entry is None else frame["entry"] + 0.5,
        strata=None if strata is None else frame[strata],
        ties="efron",
    ).fit()
    np.testing.assert_allclose(model.params_, oracle.params, atol=1e-8)
    np.testing.assert_allclose(model.standard_errors_, oracle.bse, atol=1e-9)
    assert model.log_likelihood_ == pytest.approx(oracle.llf, rel=1e-12)


def test_derivatives_equal_finite_differences() -> None:
    frame = messy(seed=5, n=80)
    design = np.column_stack([frame["x"], frame["plan"] == "b"]).astype(float)
    arrays = (
        frame["tenure"].to_numpy(),
        frame["ended"].to_numpy(),
        frame["entry"].to_numpy(dtype=float),
        frame["count"].to_numpy(dtype=float),
        design,
    )
    parts = [np.flatnonzero(frame["region"] == region) for region in ("u", "v")]
    likelihood = PartialLikelihood([Stratum(rows, *arrays) for rows in parts])
    theta = np.array([0.4, -0.7])
    _, gradient, hessian = likelihood.derivatives(theta)
    for i in range(2):
        step = np.eye(2)[i] * 1e-5
        up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-9)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-8)
    by_row = likelihood.scores_by_cluster(theta, np.arange(len(frame)))
    np.testing.assert_allclose(by_row.sum(axis=0) / -likelihood.n_ended, gradient, atol=1e-12)


def test_robust_errors_equal_those_of_statsmodels() -> None:
    rng = np.random.default_rng(8)
    frame = weibull(300, seed=8)
    # PHReg has no residual for who was lost before the first end.
    frame = frame[frame["tenure"] >= frame["tenure"][frame["ended"]].min()]
    frame = frame.assign(customer=rng.integers(0, 90, len(frame)))
    model = CoxModel("visits + plan").fit(frame, cluster="customer")
    design = np.column_stack([frame["visits"], frame["plan"] == "yearly"]).astype(float)
    oracle = PHReg(frame["tenure"], design, status=frame["ended"].astype(float)).fit(
        groups=frame["customer"]
    )
    np.testing.assert_allclose(model.covariance_, oracle.cov_params(), rtol=1e-6)


def test_clusters_widen_the_errors() -> None:
    """Each customer holds four subscriptions that end within a hair of each other."""
    rng = np.random.default_rng(9)
    frame = weibull(300, seed=9).assign(customer=range(300))
    copies = frame.loc[frame.index.repeat(4)].reset_index(drop=True)
    copies["tenure"] *= 1 + 1e-6 * rng.random(len(copies))
    plain = CoxModel("visits + plan").fit(frame).standard_errors_
    naive = CoxModel("visits + plan").fit(copies).standard_errors_
    robust = CoxModel("visits + plan").fit(copies, cluster="customer").standard_errors_
    np.testing.assert_allclose(naive, plain / 2, rtol=0.01)
    np.testing.assert_allclose(robust, plain, rtol=0.1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 30), late=st.booleans())
def test_concordance_counts_pairs(seed: int, n: int, late: bool) -> None:
    rng = np.random.default_rng(seed)
    score, count = rng.integers(0, 5, n) / 2, rng.integers(1, 4, n).astype(float)
    entry = rng.integers(0, 4, n).astype(float) if late else None
    tenure = rng.integers(1, 8, n) + (entry if entry is not None else 0.0)
    ended = rng.random(n) < 0.6
    agree = usable = 0.0
    for i in np.flatnonzero(ended):
        for j in range(n):
            went_on = tenure[j] > tenure[i] or (tenure[j] == tenure[i] and not ended[j])
            if went_on and (entry is None or entry[j] < tenure[i]):
                usable += count[i] * count[j]
                agree += count[i] * count[j] * ((score[i] > score[j]) + (score[i] == score[j]) / 2)
    found = concordant_pairs(score, tenure.astype(float), ended, entry, count)
    np.testing.assert_allclose(found, (agree, usable))


@pytest.mark.parametrize("over", [1, 1 + 1e-9, 1.001, 1.5, 30, 1e6])
def test_sums_over_many_losses_are_those_of_each(over: float) -> None:
    """``over`` is by how much the risk set weighs more than those of it that end."""
    n_ended = np.array([1, 5, 127, 128, 129, 191, 192, 1000, 4096, 99_999, 300_007])
    cell, remaining, weight = _losses(n_ended)
    assert len(cell) < 3000
    for i, d in enumerate(n_ended):
        mine = cell == i
        each, grouped = np.arange(d) / d, 1 - remaining[mine] / d
        for power in (1, 2):
            for moment in (0, 1, 2):
                np.testing.assert_allclose(
                    weight[mine] @ (grouped**moment / (over - grouped) ** power),
                    (each**moment / (over - each) ** power).sum(),
                    rtol=1e-13,
                )
        np.testing.assert_allclose(
            weight[mine] @ np.log(over - grouped), np.log(over - each).sum(), rtol=1e-12
        )


def test_large_counts_equal_statsmodels_on_expanded_rows() -> None:
    frame = small(tenure=[1.0, 2, 3, 2, 1, 3, 2, 3], count=[300, 250, 90, 411, 170, 60, 333, 200])
    model = CoxModel("x + plan").fit(frame, count="count")
    long = frame.loc[frame.index.repeat(frame["count"])]
    design = np.column_stack([long["x"], long["plan"] == "b"]).astype(float)
    oracle = PHReg(long["tenure"], design, status=long["ended"].astype(float), ties="efron").fit()
    np.testing.assert_allclose(model.params_, oracle.params, atol=1e-7)
    np.testing.assert_allclose(model.standard_errors_, oracle.bse, rtol=1e-6)
    assert model.log_likelihood_ == pytest.approx(oracle.llf, rel=1e-12)


def test_a_row_may_stand_for_millions() -> None:
    frame = messy(seed=4, n=100)
    some, large = (
        CoxModel("x + plan").fit(frame.assign(count=count), count="count")
        for count in (10**4, 10**7)
    )
    np.testing.assert_allclose(large.params_, some.params_, atol=1e-5)
    np.testing.assert_allclose(large.standard_errors_ * 1000**0.5, some.standard_errors_, rtol=1e-5)
    np.testing.assert_allclose(
        large.proportional_hazards_test()["chi_squared"] / 1000,
        some.proportional_hazards_test()["chi_squared"],
        rtol=1e-3,
    )


# -- properties ------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_counts_order_and_the_scale_of_time(seed: int) -> None:
    frame = messy(seed, n=120)
    options: dict[str, Any] = {"entry": "entry"}
    model = CoxModel("x + plan", strata="region").fit(frame, count="count", **options)
    long = frame.loc[frame.index.repeat(frame["count"])].sample(frac=1, random_state=seed)
    # A rising function of time changes no order.
    warped = frame.assign(tenure=frame["tenure"] ** 1.7, entry=frame["entry"] ** 1.7)
    for other in (
        CoxModel("x + plan", strata="region").fit(long, **options),
        CoxModel("x + plan", strata="region").fit(warped, count="count", **options),
    ):
        np.testing.assert_allclose(other.params_, model.params_, atol=1e-7)
        np.testing.assert_allclose(other.covariance_, model.covariance_, rtol=1e-6)
        assert other.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-10)
        assert other.concordance_ == pytest.approx(model.concordance_, rel=1e-12)
        assert (other.n_subscriptions_, other.n_ended_) == (model.n_subscriptions_, model.n_ended_)
        for transform in ("km", "rank"):
            np.testing.assert_allclose(
                other.proportional_hazards_test(transform)["chi_squared"],
                model.proportional_hazards_test(transform)["chi_squared"],
                rtol=1e-5,
                atol=1e-8,
            )


def test_churn_is_what_survival_says(fitted: CoxModel) -> None:
    running = weibull(50, seed=2).assign(tenure=np.linspace(0, 7, 50))
    running.attrs = {}
    churn = fitted.churn_probability(running, 5)
    assert churn.name == "churn_probability"
    assert churn.index.equals(running.index)
    now = np.diag(fitted.survival_probability(running, running["tenure"].tolist()))
    then = np.diag(fitted.survival_probability(running, (running["tenure"] + 5).tolist()))
    np.testing.assert_allclose(churn, 1 - then / now, rtol=1e-10)
    longer = fitted.survival_probability(running, [0, 1, 3, 9])
    assert longer.columns.tolist() == [0, 1, 3, 9]
    assert (longer[0] == 1).all()
    assert (np.diff(longer) < 0).all()


def test_without_effects_the_baseline_is_kaplan_meier() -> None:
    frame = weibull(4000, seed=12)
    frame["noise"] = np.random.default_rng(13).normal(size=len(frame))
    model = CoxModel("noise", strata="plan").fit(frame)
    someone = pd.DataFrame({"noise": frame["noise"].mean(), "plan": ["monthly", "yearly"]})
    at = retention_at(kaplan_meier(frame, groups="plan"), [2, 5, 9])
    found = model.survival_probability(someone, [2, 5, 9]).to_numpy().ravel()
    np.testing.assert_allclose(found, at["survival"], atol=0.003)


# -- the truth of a simulation ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [0.8, 1.0, 1.6])
def test_recovery_of_a_weibull(shape: float) -> None:
    model = CoxModel("visits + plan").fit(weibull(30_000, seed=3, shape=shape))
    off = (model.params_ - [0.6, -0.8]) / model.standard_errors_
    assert (off.abs() < 3).all()
    assert (model.standard_errors_ < 0.03).all()
    someone = pd.DataFrame({"visits": [0.0, 1.0], "plan": ["monthly", "yearly"]})
    times = np.array([1.0, 4.0, 11.0])
    truth = np.exp(-np.outer(np.exp([0.0, 0.6 - 0.8]), (times / 10) ** shape))
    np.testing.assert_allclose(model.survival_probability(someone, times), truth, atol=0.02)


def test_late_entries_are_allowed_for() -> None:
    truth = weibull(60_000, seed=5, shape=1.4, longest=20)
    rng = np.random.default_rng(5)
    # Observation began the later the more someone visits.
    entry = np.clip(4 + 2 * truth["visits"] + rng.normal(size=len(truth)), 0, None)
    seen = truth.assign(entry=entry)[truth["tenure"] > entry]
    right = CoxModel("visits + plan").fit(seen, entry="entry")
    assert ((right.params_ - [0.6, -0.8]).abs() < 3 * right.standard_errors_).all()
    wrong = CoxModel("visits + plan").fit(seen)
    assert ((wrong.params_ - [0.6, -0.8]).abs() > 6 * wrong.standard_errors_).any()
    someone = pd.DataFrame({"visits": [0.0], "plan": ["monthly"], "tenure": [5.0]})
    churn = right.churn_probability(someone, 5).iloc[0]
    assert churn == pytest.approx(-np.expm1(0.5**1.4 - 1), abs=0.015)


@pytest.fixture(scope="module")
def populations() -> list[CoxModel]:
    return [CoxModel("visits + plan").fit(weibull(200, seed=1000 + i)) for i in range(250)]


@pytest.mark.slow
def test_intervals_cover_the_truth(populations: list[CoxModel]) -> None:
    truth = np.exp([0.6, -0.8])
    tables = [model.summary() for model in populations]
    hits = np.mean([(table["lower"] <= truth) & (truth <= table["upper"]) for table in tables], 0)
    # Twice the error of a share of 250 around 95 %.
    assert ((hits > 0.92) & (hits < 0.985)).all()


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["km", "rank"])
def test_the_test_has_its_size(transform: Any, populations: list[CoxModel]) -> None:
    tables = [model.proportional_hazards_test(transform) for model in populations]
    rejected = np.mean([table["p_value"] < 0.05 for table in tables], 0)
    # Three times the error of a share of 250 around 5 %.
    assert ((rejected > 0.01) & (rejected < 0.092)).all()


def test_a_changing_effect_is_found_and_cured() -> None:
    rng = np.random.default_rng(14)
    n = 3000
    x, plan = rng.normal(size=n), rng.choice(["monthly", "yearly"], n)
    # The monthly hazard halves after 5, the yearly one triples.
    early, late = np.where(plan == "yearly", [[0.05], [0.15]], [[0.12], [0.06]])
    effort = rng.exponential(size=n) / np.exp(0.5 * x)
    until = np.where(effort < 5 * early, effort / early, 5 + (effort - 5 * early) / late)
    frame = pd.DataFrame(
        {"x": x, "plan": plan, "tenure": np.minimum(until, 12), "ended": until < 12}
    )
    table = CoxModel("x + plan").fit(frame).proportional_hazards_test()
    assert table.loc["plan[T.yearly]", "p_value"] < 1e-10
    assert table.loc["all", "p_value"] < 1e-10
    assert table.loc["x", "p_value"] > 0.05
    assert table.loc["plan[T.yearly]", "slope"] > 0
    assert (
        "put plan[T.yearly] (in classes, if it is a number) in strata="
        in (table.loc["plan[T.yearly]", "finding"])
    )
    assert "act on the rows" in table.loc["all", "finding"]
    strict = CoxModel("x + plan").fit(frame).proportional_hazards_test(significance=1e-300)
    assert (strict["finding"] == "no sign that the effect changes with tenure").all()
    cured = CoxModel("x", strata="plan").fit(frame)
    assert cured.proportional_hazards_test().loc["x", "p_value"] > 0.05
    assert cured.params_["x"] == pytest.approx(0.5, abs=3 * cured.standard_errors_["x"])


def test_the_forecast_beats_ignoring_covariates() -> None:
    model = CoxModel("visits + plan").fit(weibull(8000, seed=20, shape=1.2))
    later = weibull(8000, seed=21, shape=1.2)
    later["tenure"] = np.random.default_rng(21).uniform(0, 6, len(later))
    running = later[later["until"] > later["tenure"]]
    ended = running["until"] <= running["tenure"] + 5
    churn = model.churn_probability(running, 5)
    curve = kaplan_meier(weibull(8000, seed=20, shape=1.2))
    now, then = (
        retention_at(curve, running["tenure"] + ahead)["survival"].to_numpy() for ahead in (0, 5)
    )
    ignoring = pd.Series(1 - then / now, index=running.index)
    assert churn.mean() == pytest.approx(ended.mean(), abs=0.02)
    assert ((churn - ended) ** 2).mean() < 0.93 * ((ignoring - ended) ** 2).mean()
    rates = []
    for forecast in (churn, ignoring):
        # As many are flagged either way.
        cut = forecast.sort_values(ascending=False).iloc[1500]
        rates.append(prediction_rates(ended, forecast, cut))
    assert rates[0].n_flagged == pytest.approx(rates[1].n_flagged, abs=60)
    assert rates[0].error_rate < rates[1].error_rate - 0.1
    assert rates[0].omission_rate < rates[1].omission_rate - 0.05


# -- coefficients that run away --------------------------------------------------------------------


def test_separation_is_said() -> None:
    frame = weibull(200, seed=30)
    never = frame.assign(plan=np.where(frame["ended"], "monthly", "yearly"))
    with pytest.warns(ConvergenceWarning, match=r"plan\[T.yearly\] ran away; a covariate may tell"):
        model = CoxModel("visits + plan").fit(never)
    assert not model.converged_
    assert model.params_["plan[T.yearly]"] < -10
    assert model.standard_errors_.isna().all()
    assert model.summary()["upper"].isna().all()
    with pytest.raises(InputError, match="the model did not converge; resolve that first"):
        model.proportional_hazards_test()
    with pytest.warns(ConvergenceWarning, match="when ran away"):
        CoxModel("when").fit(frame.assign(when=-frame["tenure"]))


# -- summary and file ------------------------------------------------------------------------------


def test_summary(fitted: CoxModel) -> None:
    table = fitted.summary(0.9)
    np.testing.assert_allclose(table["hazard_ratio"], np.exp(fitted.params_))
    half = 1.6448536269514722 * fitted.standard_errors_
    np.testing.assert_allclose(table["lower"], np.exp(fitted.params_ - half))
    np.testing.assert_allclose(table["upper"], np.exp(fitted.params_ + half))
    np.testing.assert_allclose(table["z"], fitted.params_ / fitted.standard_errors_)
    assert (table["p_value"] < 1e-10).all()
    assert repr(fitted).startswith("CoxModel('visits + plan', n_subscriptions=3,000, n_ended=")
    assert repr(CoxModel("x", strata="plan")) == "CoxModel('x', strata='plan')"


@pytest.mark.parametrize("strata", [None, "region"])
def test_a_file_keeps_the_model(strata: str | None, tmp_path: Path) -> None:
    frame = messy(seed=40)
    frame.attrs["unit"] = "M"
    model = CoxModel("np.log1p(np.exp(x)) + plan", strata=strata).fit(frame, entry="entry")
    model.save(tmp_path / "cox.json")
    again = CoxModel.load(tmp_path / "cox.json")
    pd.testing.assert_series_equal(again.params_, model.params_)
    pd.testing.assert_frame_equal(again.summary(), model.summary())
    for name in ("log_likelihood_", "concordance_", "n_subscriptions_", "n_ended_", "unit_"):
        assert getattr(again, name) == getattr(model, name)
    running = messy(seed=41).assign(tenure=4.0)
    pd.testing.assert_series_equal(
        again.churn_probability(running, 6), model.churn_probability(running, 6)
    )
    assert repr(again) == repr(model)
    with pytest.raises(InputError, match="the model was loaded and has no data"):
        again.proportional_hazards_test()


def test_a_file_keeps_that_there_are_no_errors(tmp_path: Path) -> None:
    frame = weibull(200, seed=30)
    with pytest.warns(ConvergenceWarning):
        model = CoxModel(["late"]).fit(frame.assign(late=~frame["ended"]))
    model.save(tmp_path / "cox.json")
    again = CoxModel.load(tmp_path / "cox.json")
    assert not again.converged_
    assert again.standard_errors_.isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "holds no model"),
        ({"version": 2}, "has format version 2; this library reads version 1"),
        ({"params": {"visits": 1.0}}, "params, centre and covariance are not of 2 columns"),
        ({"centre": None}, "incomplete or damaged"),
        ({"concordance": 1.5}, r"concordance is 1\.5"),
        ({"covariates": 3}, "covariates is 3"),
        ({"unit": "Q"}, "unit is 'Q'"),
        ({"baseline": {"": {"times": [2, 1], "hazard": [1, 2], "reach": 3}}}, "does not rise"),
        ({"baseline": {"": {"times": [1, 2], "hazard": [1, 2], "reach": 1}}}, "reach is 1"),
        ({"baseline": {"": {"times": [1, 2]}}}, "incomplete or damaged"),
        ({"baseline": {"": {"times": [], "hazard": [], "reach": 3}}}, r"times of shape \(0,\)"),
        ({"baseline": {"": {"times": 1, "hazard": 1, "reach": 3}}}, r"times of shape \(\)"),
        ({"baseline": {}}, r"baseline is of \[\], strata is None"),
        ({"baseline": {"a": {"times": [1], "hazard": [1], "reach": 3}}}, r"baseline is of \['a'\]"),
        ({"baseline": {"": {"times": [10**400], "hazard": [1], "reach": 3}}}, "damaged"),
        ({"centre": [10**400, 0]}, "incomplete or damaged"),
        ({"params": {"visits": 1.0, "plan": 2.0}}, r"params are visits, plan, the design has vis"),
        ({"covariance": [[-1, 0], [0, 1]]}, "variance is -1"),
        ({"covariance": [[1e-6, 1e-8], [-1e-8, 1e-6]]}, "covariance is no covariance matrix"),
        ({"covariance": [[1e-6, 1e308], [1e308, 1e-6]]}, "covariance is no covariance matrix"),
        ({"covariance": [[1, 2], [2, 1]]}, "covariance is no covariance matrix"),
        (
            {
                "params": {},
                "centre": [],
                "covariance": None,
                "design": {"formulas": {}, "levels": {}, "columns": {}},
            },
            "params, centre and covariance are not of 0 columns",
        ),
    ],
)
def test_damaged_files_are_named(
    change: dict[str, Any], message: str, fitted: CoxModel, tmp_path: Path
) -> None:
    file = tmp_path / "cox.json"
    fitted.save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=message):
        CoxModel.load(file)


def test_bad_paths_are_named(fitted: CoxModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        fitted.save(tmp_path / "none" / "cox.json")
    with pytest.raises(InputError, match="pass the path of the file to write"):
        fitted.save(tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        CoxModel.load(tmp_path / "cox.json")
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(InputError, match=r"b' cannot be written|xxx' cannot be written"):
            fitted.save(tmp_path / name)
        with pytest.raises(InputError, match=r"there is no file|xxx' cannot be read"):
            CoxModel.load(tmp_path / name)
    (tmp_path / "cox.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        CoxModel.load(tmp_path / "cox.json")
    with pytest.raises(InputError, match="CoxModel has no coefficients; call fit"):
        CoxModel("x").save(tmp_path / "cox.json")


# -- bad input -------------------------------------------------------------------------------------


def small(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "tenure": [1.0, 2, 3, 4, 5, 6, 7, 8],
            "ended": [1, 1, 0, 1, 1, 0, 1, 0],
            "x": [0.5, -1, 2, 0, 1, 3, -2, 0.3],
            "plan": list("abababba"),
        }
    )
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("covariates", "columns", "message"),
    [
        ("x", {"tenure": [-1.0, 2, 3, 4, 5, 6, 7, 8]}, "tenure is -1 at index 0"),
        ("x", {"ended": 2}, "ended has the value 2"),
        ("x", {"ended": False}, "none of the 8 rows of subscriptions has ended 1"),
        ("x", {"x": np.nan}, "x is missing at index 0"),
        ("x", {"x": pd.array([1, None] * 4, "Int64")}, "x is missing at index 1 .4 such values.;"),
        ("x + plan", {"plan": ["a", None] * 4}, "plan is missing at index 1"),
        ("x", {"x": pd.Series([1, "1"] * 4, dtype=object)}, "'x' is object, neither numeric nor"),
        ("x", {"x": pd.Series([1.5, "a"] * 4, dtype=object)}, "it holds mixed values"),
        ("x", {"x": lambda f: f["x"] * 1e300}, "'x' of covariates reaches 3e.300, in a unit whose"),
        ("x", {"x": lambda f: f["x"] * 1e-300}, "'x' of covariates reaches 3e-300, in a unit wh"),
        ("x", {"x": 3}, "'x' of covariates is the same for all subscriptions; leave it out"),
        ("x + plan", {"plan": "a"}, "'plan' of covariates is the same for all subscriptions"),
        ("x + z", {"z": lambda f: 2 * f["x"] + 1}, "'z' of covariates follows from the columns"),
        (
            "x + first",
            {"first": [1, 0, 0, 0, 0, 0, 0, 0], "tenure": [0.5, 2, 3, 4, 5, 6, 7, 8], "ended":
             [0, 1, 0, 1, 1, 0, 1, 0]},
            "'first' of covariates is the same for all subscriptions at risk",
        ),
        (
            "x + z",
            {"z": lambda f: f["x"] + (f["tenure"] == 1), "ended": [0, 1, 0, 1, 1, 0, 1, 0]},
            "'z' of covariates follows from 'x' among the subscriptions at risk",
        ),
        ("visits", {}, "subscriptions has no column 'visits', which the formula of covariates"),
        ("x + tenure", {}, "covariates has 'tenure', which is the outcome itself; leave it out"),
        ("poly(x)", {}, "covariates has 'poly'; a formula may join columns"),
        ("x", {"tenure": 4.0, "ended": True}, "whenever a subscription ended no other one went on"),
    ],
)  # fmt: skip
def test_bad_data_are_named(covariates: str, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CoxModel(covariates).fit(small(**columns))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CoxModel([]), r"covariates is \[\]; pass a formula"),
        (lambda: CoxModel(["x", 3]), "covariates has 3; columns must have"),  # type: ignore[list-item]
        (lambda: CoxModel("x", strata=["plan"]), "strata is"),  # type: ignore[arg-type]
        (lambda: CoxModel("x", strata="region").fit(small()), "has no column 'region'"),
        (
            lambda: CoxModel("x", strata="plan").fit(small(plan=["a", None] * 4)),
            "plan is missing at index 1",
        ),
        (
            lambda: CoxModel("x", strata="plan").fit(small(plan=list("aabaabaa"))),
            "none of the 2 rows of stratum 'b' ended; it has no baseline",
        ),
        (
            lambda: CoxModel("x + plan").fit(small(), cluster="plan"),
            "plan has 2 values for 2 coefficients; robust errors need more clusters",
        ),
        (
            lambda: CoxModel("x").fit(small(who=["p", None] * 4), cluster="who"),
            "who is missing at index 1",
        ),
        (
            lambda: CoxModel("x", strata="plan").fit(small(plan=pd.Series([1, "1"] * 4))),
            "plan holds both 1 and '1'; make all of it texts, or none",
        ),
        (
            lambda: CoxModel("x").fit(pd.concat([small(), small()[["x"]]], axis=1)),
            "subscriptions has several columns 'x'; keep one",
        ),
        (lambda: CoxModel("x").summary(), "has no coefficients"),
    ],
)
def test_bad_models_are_named(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, f: m.churn_probability(f, 11),
            r"tenure \+ horizon is 13 .1 such values., but the baseline reaches from 0 to 12 mon",
        ),
        (lambda m, f: m.survival_probability(f, [3, 13]), "times is 13 .1 such values., but"),
        (lambda m, f: m.survival_probability(f, []), r"times has shape \(0,\)"),
        (lambda m, f: m.survival_probability(f, -1), "times is -1"),
        (lambda m, f: m.churn_probability(f, 0), "horizon is 0; it must be > 0"),
        (lambda m, f: m.churn_probability(f, 1, tenure="age"), "has no column 'age'"),
        (lambda m, f: m.churn_probability(f.assign(tenure=[-1, 1]), 1), "tenure is -1 at index 0"),
        (
            lambda m, f: m.churn_probability(f.assign(plan="gold"), 1),
            "plan is 'gold' at index 0, which the fit has not seen; .* knows monthly, yearly",
        ),
        (lambda m, f: m.churn_probability(f.iloc[:0], 1), "subscriptions has no rows"),
        (lambda m, f: m.churn_probability(f.assign(visits=1e6), 1), "2 rows move the hazard out"),
        (
            lambda m, f: m.churn_probability(pd.concat([f, f[["plan"]]], axis=1), 1),
            "subscriptions has several columns 'plan'; keep one",
        ),
        (
            lambda m, f: m.churn_probability(f.assign(visits=[1.0, None]), 1),
            "visits is missing at index 1",
        ),
        (lambda m, _: m.proportional_hazards_test("log"), "transform is 'log'"),
        (lambda m, _: m.proportional_hazards_test(significance=1), "significance is 1"),
        (lambda m, _: m.summary(level=0), "level is 0"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str, fitted: CoxModel) -> None:
    running = pd.DataFrame({"visits": [0.0, 1], "plan": ["monthly", "yearly"], "tenure": [2.0, 1]})
    with pytest.raises(InputError, match=message):
        call(fitted, running)


def test_strata_and_entries_bound_what_is_known() -> None:
    frame = messy(seed=50)
    model = CoxModel("x", strata="region").fit(frame[frame["entry"] > 0], entry="entry")
    someone = pd.DataFrame({"x": [0.0], "region": ["u"], "tenure": [0.5]})
    with pytest.raises(InputError, match=r"tenure is 0\.5 .* of stratum 'u' reaches from 1 to"):
        model.churn_probability(someone, 1)
    with pytest.raises(InputError, match="region is 'w' at index 0, which the fit has not seen"):
        model.churn_probability(someone.assign(region="w"), 1)
    assert 0 < model.churn_probability(someone.assign(tenure=1), 3).iloc[0] < 1


def test_numbers_are_numbers_in_any_dtype() -> None:
    frame = messy(seed=60)
    model = CoxModel("x + plan", strata="region").fit(frame)
    numbers = frame.assign(x=frame["x"].astype(object), plan=frame["plan"].astype(object))
    other = CoxModel("x + plan", strata="region").fit(numbers)
    pd.testing.assert_series_equal(other.params_, model.params_)


@pytest.mark.parametrize("dtype", [float, "Float64", "Int64", "int8", "category", str])
def test_levels_are_the_same_in_any_dtype(dtype: Any) -> None:
    frame = messy(seed=61).assign(g=lambda f: f["region"].map({"u": 0, "v": 1}))
    frame["kind"] = frame["g"].astype("category")
    running = frame.assign(tenure=4.0).head(20)
    for model in (CoxModel("x", strata="g"), CoxModel("x + kind")):
        expected = model.fit(frame).churn_probability(running, 3)
        asked = running.assign(g=running["g"].astype(dtype), kind=running["kind"].astype(dtype))
        pd.testing.assert_series_equal(model.churn_probability(asked, 3), expected)


def test_effects_that_cancel_beyond_all_bounds_are_named() -> None:
    frame = weibull(500, seed=62).assign(
        a=lambda f: f["visits"] / 10, b=lambda f: (f["plan"] == "yearly") / 10
    )
    model = CoxModel(["a", "b"]).fit(frame)
    with pytest.raises(InputError, match="1 rows move the hazard out of all bounds"):
        model.churn_probability(pd.DataFrame({"a": [1e308], "b": [1e308], "tenure": [1.0]}), 1)


def test_units_must_agree(fitted: CoxModel) -> None:
    running = weibull(3, seed=1).assign(tenure=1.0)
    running.attrs["unit"] = "D"
    with pytest.raises(
        InputError, match="are in 'D', those of the fit in 'M'; pass tenures in 'M'"
    ):
        fitted.churn_probability(running, 3)
    assert fitted.unit_ == "M"
