from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.duration.survfunc import SurvfuncRight

import touchpoint_lib as tp
from tests.lifetime.stress import stress_params
from tests.reference import lifetime as published
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._tenures import Likelihood, compressed

MODELS = [tp.ShiftedBetaGeoModel, tp.BetaDiscreteWeibullModel]
Model = tp.ShiftedBetaGeoModel | tp.BetaDiscreteWeibullModel


def table(segment: str, last: int) -> pd.DataFrame:
    frame = tp.load_subscriptions("high_end" if segment == "high_end" else "regular")
    return frame[frame["period"] <= last]


@pytest.fixture(scope="module")
def sbg() -> tp.ShiftedBetaGeoModel:
    return tp.ShiftedBetaGeoModel().fit(table("high_end", 7), unit="Y")


@pytest.fixture(scope="module")
def bdw() -> tp.BetaDiscreteWeibullModel:
    return tp.BetaDiscreteWeibullModel().fit(table("high_end", 7), unit="Y")


# -- published figures -------------------------------------------------------------------------


@pytest.mark.parametrize("segment", ["high_end", "regular"])
def test_published_sbg(segment: str) -> None:
    params, log_likelihood = published.SHIFTED_BETA_GEO[segment]
    model = tp.ShiftedBetaGeoModel().fit(table(segment, 7), unit="Y")
    assert model.converged_
    assert model.n_customers_ == 1000
    assert model.unit_ == "Y"
    np.testing.assert_allclose(model.params_, params, atol=6e-7, rtol=0)
    assert model.log_likelihood_ == pytest.approx(log_likelihood, abs=6e-7)


def test_published_bdw() -> None:
    """Fader, Hardie, Liu, Davin & Steenburgh (2018): High End, the first 4 renewals."""
    model = tp.BetaDiscreteWeibullModel().fit(table("high_end", 4), unit="Y")
    assert model.converged_
    np.testing.assert_allclose(model.params_, published.BETA_DISCRETE_WEIBULL, atol=6e-7, rtol=0)


@pytest.mark.parametrize(
    ("kind", "segment", "known", "worst"),
    [
        # The largest distance from the published survival up to year 12, in shares of the cohort.
        (tp.ShiftedBetaGeoModel, "high_end", 7, 0.0161),
        (tp.ShiftedBetaGeoModel, "regular", 7, 0.0045),
        (tp.BetaDiscreteWeibullModel, "high_end", 7, 0.0100),
        (tp.BetaDiscreteWeibullModel, "regular", 7, 0.0044),
        (tp.BetaDiscreteWeibullModel, "high_end", 4, 0.0114),
        (tp.BetaDiscreteWeibullModel, "regular", 4, 0.0045),
    ],
)
def test_projection_to_year_12(kind: type[Model], segment: str, known: int, worst: float) -> None:
    model = kind().fit(table(segment, known), unit="Y")
    whole = table(segment, 12)
    later = whole["period"] > known
    off = (model.survival(whole["period"]) - whole["survival"]).abs()[later]
    assert off.max() < worst
    # The paper's comparison: a curve a + b t + c t^2 through the same years misses by far more.
    curve = np.polyfit(whole["period"][~later], whole["survival"][~later], 2)
    assert (np.polyval(curve, whole["period"]) - whole["survival"]).abs()[later].max() > 5 * worst


# -- the likelihood --------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [np.log([0.7, 1.2, 1.4]), np.log([30.0, 0.02, 0.4])])
def test_derivatives_equal_finite_differences(theta: NDArray[np.float64]) -> None:
    frame = tp.BetaDiscreteWeibullModel.from_params([0.5, 2.0, 1.3]).simulate(
        500, np.arange(500) % 11, seed=1
    )
    tenure, churned, count = compressed(frame)
    likelihood = Likelihood(tenure[tenure > 0], churned[tenure > 0], count[tenure > 0])
    value, gradient, hessian = likelihood.derivatives(theta)
    assert -value * likelihood.n == pytest.approx(likelihood.total(theta[None])[0], rel=1e-13)
    # sBG is the part with c = 1.
    two = likelihood.derivatives(theta[:2])
    at_one = likelihood.derivatives(np.append(theta[:2], 0.0))
    assert two[0] == pytest.approx(at_one[0], rel=1e-13)
    np.testing.assert_allclose(two[1], at_one[1][:2], rtol=1e-10)
    np.testing.assert_allclose(two[2], at_one[2][:2, :2], rtol=1e-10)
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5
        up, down = likelihood.derivatives(theta + step), likelihood.derivatives(theta - step)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-8)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=1e-7)


def test_likelihood_is_that_of_the_definition() -> None:
    """Fader & Hardie (2007): products of P(T = t), and of S(t) for those still there."""
    frame = pd.DataFrame(
        {"tenure": [1, 3, 3, 5, 0], "churned": [1, 1, 0, 0, 0], "count": [4, 3, 2.5, 6, 9]}
    )
    model = tp.ShiftedBetaGeoModel().fit(frame)
    alpha, beta = model.params_
    s = np.cumprod([1.0] + [(beta + t - 1) / (alpha + beta + t - 1) for t in range(1, 6)])
    by_hand = 4 * np.log(s[0] - s[1]) + 3 * np.log(s[2] - s[3]) + 2.5 * np.log(s[3])
    assert model.log_likelihood_ == pytest.approx(by_hand + 6 * np.log(s[5]), rel=1e-12)
    assert model.n_left_out_ == 9
    assert model.n_customers_ == 15.5


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("truth", [(0.7, 3.8, 1.0), (0.3, 1.5, 1.6), (2.0, 30.0, 0.8)])
def test_the_gradient_vanishes_at_the_estimates(
    kind: type[Model], truth: tuple[float, float, float]
) -> None:
    frame = tp.BetaDiscreteWeibullModel.from_params(truth).simulate(20_000, 12, seed=2)
    model = kind().fit(frame)
    assert model.converged_
    likelihood = Likelihood(*compressed(frame))
    _, gradient, hessian = likelihood.derivatives(np.log(model.params_.to_numpy()))
    assert np.abs(gradient).max() < 1e-7
    assert (np.linalg.eigvalsh(hessian) > 0).all()


@pytest.mark.parametrize("kind", MODELS)
def test_a_row_a_customer_and_the_table_agree(kind: type[Model]) -> None:
    counts = table("regular", 7)["count"].to_numpy()
    rows = pd.DataFrame(
        {
            "tenure": np.repeat([*range(1, 8), 7], [*-np.diff(counts), counts[-1]]),
            "churned": np.repeat([1] * 7 + [0], [*-np.diff(counts), counts[-1]]),
        }
    )
    shuffled = rows.sample(frac=1, random_state=1)
    one, other = kind().fit(table("regular", 7)), kind().fit(shuffled)
    np.testing.assert_allclose(other.params_, one.params_, rtol=1e-8)
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-12)
    grouped = rows.groupby(["tenure", "churned"]).size().rename("count").reset_index()
    np.testing.assert_allclose(kind().fit(grouped).params_, one.params_, rtol=1e-8)
    without_share = table("regular", 7).drop(columns="survival")
    np.testing.assert_allclose(kind().fit(without_share).params_, one.params_, rtol=1e-12)


def test_c_of_one_is_sbg() -> None:
    small = tp.ShiftedBetaGeoModel.from_params([0.668, 3.806], unit="Y")
    large = tp.BetaDiscreteWeibullModel.from_params([0.668, 3.806, 1.0], unit="Y")
    for name, arguments in (
        ("survival", (range(50),)),
        ("retention", (range(1, 50),)),
        ("expected_remaining_tenure", (range(50), 20)),
        ("expected_residual_value", (range(50), 10.0, 0.1)),
    ):
        np.testing.assert_allclose(
            getattr(large, name)(*arguments), getattr(small, name)(*arguments), rtol=1e-14
        )


def test_censored_customers_count(sbg: tp.ShiftedBetaGeoModel) -> None:
    """Who is still there must not be taken for someone who left."""
    frame = sbg.simulate(30_000, 1 + np.arange(30_000) % 6, seed=3)
    assert 0.2 < frame["churned"].mean() < 0.6
    model = tp.ShiftedBetaGeoModel().fit(frame)
    fitted, truth = model.survival(range(1, 7)), sbg.survival(range(1, 7))
    bounds = model.survival(range(1, 7), interval=0.99)
    assert ((bounds["lower"] <= truth) & (truth <= bounds["upper"])).all()
    assert (bounds["upper"] - bounds["lower"] < 0.03).all()
    kaplan_meier = SurvfuncRight(frame["tenure"], frame["churned"])
    assert kaplan_meier.surv_times.tolist() == list(range(1, 7))
    np.testing.assert_allclose(fitted, kaplan_meier.surv_prob, atol=0.012)
    # Of those who left alone nobody stayed, and the estimates run away; as losses, those who
    # joined late would cut the survival to a fifth.
    for wrong in (frame[frame["churned"] == 1], frame.assign(churned=1)):
        with pytest.warns(tp.ConvergenceWarning, match="ran away|do not bound it"):
            biased = tp.ShiftedBetaGeoModel().fit(wrong).survival(range(1, 7))
        assert (biased < bounds["lower"] - 0.15).all()
        assert biased[6] < 0.25 * truth[6]


@pytest.mark.parametrize("kind", MODELS)
def test_simulated_customers_follow_the_survival(kind: type[Model]) -> None:
    model = kind.from_params([0.6, 2.2, 1.5][: len(kind.parameter_names)], unit="M")
    n = 200_000
    frame = model.simulate(n, 8, seed=9)
    assert frame.attrs["unit"] == "M"
    assert frame["tenure"].between(1, 8).all()
    assert (frame.loc[frame["churned"] == 0, "tenure"] == 8).all()
    for t, share in model.survival(range(1, 8)).items():
        left = ((frame["tenure"] <= t) & (frame["churned"] == 1)).mean()
        assert left == pytest.approx(1 - share, abs=5 * np.sqrt(0.25 / n))
    pd.testing.assert_frame_equal(frame, model.simulate(n, 8, seed=9))
    assert (model.simulate(50, 0, seed=1) == 0).all(axis=None)


# -- properties ------------------------------------------------------------------------------------

positive = st.floats(1e-2, 1e2)


@settings(max_examples=60, deadline=None)
@given(alpha=positive, beta=positive, c=st.floats(0.2, 4), age=st.integers(0, 200))
def test_survival_retention_and_tenure_fit_together(
    alpha: float, beta: float, c: float, age: int
) -> None:
    model = tp.BetaDiscreteWeibullModel.from_params([alpha, beta, c])
    survival = model.survival(range(age, age + 40)).to_numpy()
    retention = model.retention(range(age + 1, age + 40)).to_numpy()
    assert survival[0] <= 1
    assert (np.diff(survival) <= 0).all()
    assert ((retention >= 0) & (retention <= 1)).all()
    np.testing.assert_allclose(survival[1:], survival[0] * np.cumprod(retention), rtol=1e-9)
    if survival[0] > 1e-200:
        tenure = model.expected_remaining_tenure(age, horizon=39).iloc[0]
        assert tenure == pytest.approx(survival[1:].sum() / survival[0], rel=1e-9)
    near, far = (model.expected_remaining_tenure(age, h).iloc[0] for h in (500, 5000))
    assert near <= far * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(alpha=positive, beta=positive, rate=st.floats(0.01, 2), age=st.integers(0, 100))
def test_value_is_below_that_of_a_loyal_customer(
    alpha: float, beta: float, rate: float, age: int
) -> None:
    model = tp.ShiftedBetaGeoModel.from_params([alpha, beta], unit="Y")
    value = model.expected_residual_value(age, 50, rate).iloc[0]
    assert 0 < value < 50 / rate
    assert value == pytest.approx(5 * model.expected_residual_value(age, 10, rate).iloc[0])
    # A retention that rises with age makes a customer worth more the older.
    assert value < model.expected_residual_value(age + 1, 50, rate).iloc[0]


def test_the_unit_sets_the_discount(sbg: tp.ShiftedBetaGeoModel) -> None:
    monthly = tp.ShiftedBetaGeoModel.from_params(sbg.params_.to_dict(), unit="M")
    year = sbg.expected_residual_value([3], 25, 0.1).iloc[0]
    month = monthly.expected_residual_value([3], 25, 1.1**12 - 1).iloc[0]
    assert month == pytest.approx(year, rel=1e-12)
    share = sbg.survival(range(3, 500)).to_numpy()
    by_hand = 25 * (share[1:] / share[0] * 1.1 ** -np.arange(1.0, 497)).sum()
    assert year == pytest.approx(by_hand, rel=1e-12)


def test_an_infinite_tenure_is_said(sbg: tp.ShiftedBetaGeoModel) -> None:
    with pytest.warns(tp.InfiniteMeanWarning, match="give a horizon"):
        assert np.isinf(sbg.expected_remaining_tenure([0, 5])).all()
    finite = tp.ShiftedBetaGeoModel.from_params([1.5, 4.0])
    assert finite.expected_remaining_tenure([0, 2]).to_list() == [8.0, 12.0]
    weibull = tp.BetaDiscreteWeibullModel.from_params([0.6, 4.0, 1.5])
    with pytest.warns(tp.InfiniteMeanWarning):
        weibull.expected_remaining_tenure(3)
    assert sbg.expected_remaining_tenure(3, horizon=0).iloc[0] == 0


# -- intervals, posterior, file --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sbg", "bdw"])
def test_intervals_contain_the_estimates(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    for prediction, arguments in (
        ("survival", (range(1, 15),)),
        ("retention", (range(1, 15),)),
        ("expected_remaining_tenure", (range(5), 30)),
        ("expected_residual_value", (range(5), 100.0, 0.1)),
    ):
        plain = getattr(model, prediction)(*arguments)
        frame = getattr(model, prediction)(*arguments, interval=0.9)
        np.testing.assert_allclose(frame["estimate"], plain)
        assert plain.name == prediction
        assert frame.index.equals(plain.index)
        assert (frame["lower"] < frame["estimate"]).all()
        assert (frame["estimate"] < frame["upper"]).all()
        wider = getattr(model, prediction)(*arguments, interval=0.99)
        assert (wider["upper"] > frame["upper"]).all()


@pytest.mark.parametrize("name", ["sbg", "bdw"])
def test_the_posterior_feeds_predictions(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    draws = model.posterior(seed=1)
    assert len(draws) == 4000
    assert draws.attrs["effective_size"] > 1500
    periods = range(1, 13)
    by_draws = model.survival(periods, draws=draws, interval=0.9)
    by_normal = model.survival(periods, interval=0.9)
    half = (by_normal["upper"] - by_normal["lower"]) / 2
    for column in ("estimate", "lower", "upper"):
        assert ((by_draws[column] - by_normal[column]).abs() < 0.5 * half).all()
    direct = [
        type(model).from_params(row).survival([6]).iloc[0] for row in draws.iloc[:50].to_numpy()
    ]
    mean = model.survival([6], draws=draws.iloc[:50]).iloc[0]
    assert mean == pytest.approx(np.mean(direct), rel=1e-12)


def test_the_vectorised_likelihood_is_that_of_each_draw(bdw: tp.BetaDiscreteWeibullModel) -> None:
    likelihood = Likelihood(*compressed(table("high_end", 7)))
    theta = np.log(stress_params(300, 3, seed=2)).T
    alone = [likelihood.total(row[None])[0] for row in theta]
    np.testing.assert_allclose(likelihood.total(theta), alone, rtol=1e-12)
    best = likelihood.total(np.log(bdw.params_.to_numpy())[None])[0]
    assert best == pytest.approx(bdw.log_likelihood_, rel=1e-13)
    assert likelihood.total(theta).max() < best


def test_a_file_keeps_the_model(bdw: tp.BetaDiscreteWeibullModel, tmp_path: Path) -> None:
    bdw.save(tmp_path / "model.json")
    again = tp.load_model(tmp_path / "model.json")
    assert isinstance(again, tp.BetaDiscreteWeibullModel)
    assert again.unit_ == "Y"
    pd.testing.assert_frame_equal(
        again.survival(range(5), interval=0.9), bdw.survival(range(5), interval=0.9)
    )


def test_the_index_of_a_series_is_kept(sbg: tp.ShiftedBetaGeoModel) -> None:
    tenure = pd.Series([4, 1, 4], index=["anna", "bo", "cy"])
    value = sbg.expected_residual_value(tenure, 100, 0.1)
    assert isinstance(value, pd.Series)
    assert value.index.to_list() == ["anna", "bo", "cy"]
    assert value["anna"] == value["cy"] > value["bo"]
    assert sbg.survival(3).index.name == "period"
    assert sbg.survival(np.array([3.0, 5.0])).index.to_list() == [3, 5]
    assert sbg.expected_remaining_tenure([2], 5).index.name == "age"


# -- data that say nothing, and bad input ----------------------------------------------------------


def test_one_renewal_bounds_nothing() -> None:
    with pytest.warns(tp.ConvergenceWarning, match="did not converge"):
        model = tp.ShiftedBetaGeoModel().fit(pd.DataFrame({"period": [0, 1], "count": [100, 80]}))
    assert model.standard_errors_.isna().all()
    assert model.survival([1]).iloc[0] == pytest.approx(0.8, abs=1e-6)


def test_customers_who_do_not_differ_have_no_spread() -> None:
    counts = 1e6 * 0.8 ** np.arange(8)
    with pytest.warns(tp.ConvergenceWarning):
        model = tp.ShiftedBetaGeoModel().fit(pd.DataFrame({"period": range(8), "count": counts}))
    np.testing.assert_allclose(model.retention(range(1, 8)), 0.8, atol=1e-3)


def test_newton_needs_few_steps() -> None:
    likelihood = Likelihood(*compressed(table("high_end", 7)))
    assert minimise(likelihood.derivatives, likelihood.start(2)).steps <= 10
    assert minimise(likelihood.derivatives, likelihood.start(3)).steps <= 20


def test_bdw_never_ends_below_sbg() -> None:
    # Few customers: from a start of its own, BdW stops at the geometric end of the likelihood.
    truth = tp.BetaDiscreteWeibullModel.from_params([0.19, 0.69, 0.75])
    for seed in range(10):
        frame = truth.simulate(40, 1 + np.arange(40) % 12, seed)
        likelihood = Likelihood(*compressed(frame))
        small = minimise(likelihood.derivatives, likelihood.start(2))
        large = minimise(likelihood.derivatives, likelihood.start(3))
        assert np.abs(small.theta).max() < 6  # of sBG the optimum is inside
        assert large.value <= small.value + 1e-12


def cohort(counts: list[float], **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"period": range(len(counts)), "count": counts} | columns)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([1, 2], "subscribers is a list; it must be a pandas DataFrame"),
        (pd.DataFrame({"period": [0, 1], "survival": [1, 0.5]}), "a share alone does not say"),
        (pd.DataFrame({"tenure": [1, 2]}), "has the columns 'tenure'; pass either period and"),
        (
            cohort([10, 5], tenure=[1, 2], churned=[1, 0]),
            "has the columns 'period', 'count', 'tenure', 'churned'; pass either",
        ),
        (cohort([10, 8, 9]), "count rises from 8 at period 1 to 9 at the next; it must never"),
        (cohort([10, 8, float("nan")]), "count is nan at index 2"),
        (cohort([10, 8, -1]), "count is -1 at index 2"),
        (cohort([0, 0]), "count is 0 at period 0; it must be > 0"),
        (cohort([10]), "subscribers has 1 periods; it must have 0 and at least 1"),
        (cohort([10, 8, 5]).drop(index=1), "period is 2 at index 2, where 1 is due"),
        (cohort([10, 8, 5]).iloc[1:], "period is 1 at index 1, where 0 is due"),
        (cohort([10, 8]).assign(period=[0, 0.5]), r"period is 0\.5 at index 1"),
        (cohort([10, 8], survival=[1, 1.2]), r"survival is 1\.2 at index 1"),
        (
            cohort([1000, 800, 500], survival=[1, 0.8, 0.49]),
            r"survival is 0\.49 at period 2, but count says 500 / 1000 = 0\.5000; they must agree",
        ),
        (cohort([10, 10, 10]), "none of the 10 customers left; observe more renewals"),
        (cohort([10, 0, 0]), "all of the 10 customers left at renewal 1"),
        (
            pd.DataFrame({"tenure": [1, 0], "churned": [1, 1]}),
            r"tenure is 0 with churned 1 at index 1 \(1 such rows\); who left did so",
        ),
        (pd.DataFrame({"tenure": [1, 2], "churned": [1, 2]}), "churned is 2 at index 1"),
        (pd.DataFrame({"tenure": [1, 2], "churned": [1, 0.5]}), r"churned is 0\.5 at index 1"),
        (pd.DataFrame({"tenure": [1, -2], "churned": [1, 0]}), "tenure is -2 at index 1"),
        (pd.DataFrame({"tenure": [1, 2.5], "churned": [1, 0]}), r"tenure is 2\.5 at index 1"),
        (
            pd.DataFrame({"tenure": [1, 2], "churned": [1, 0], "count": [1, -1]}),
            "count is -1 at index 1",
        ),
        (pd.DataFrame({"tenure": [0, 0], "churned": [0, 0]}), "none of the 2 customers left"),
        (pd.DataFrame({"tenure": [], "churned": []}), "none of the 0 customers left"),
    ],
)
def test_bad_data_are_named(frame: Any, message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        tp.ShiftedBetaGeoModel().fit(frame)


def test_units_must_agree() -> None:
    frame = table("high_end", 7)
    frame.attrs["unit"] = "Y"
    assert tp.ShiftedBetaGeoModel().fit(frame).unit_ == "Y"
    with pytest.raises(tp.InputError, match='unit is "M", but'):
        tp.ShiftedBetaGeoModel().fit(frame, unit="M")
    with pytest.raises(tp.InputError, match="unit is 'Q'"):
        tp.ShiftedBetaGeoModel().fit(frame, unit="Q")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.survival(-1), "period is -1"),
        (lambda m: m.survival([1, 2.5]), r"period is 2\.5 at row 1"),
        (lambda m: m.survival([]), r"period has shape \(0,\); pass one number"),
        (lambda m: m.survival([[1, 2]]), r"period has shape \(1, 2\)"),
        (lambda m: m.survival(pd.Series([1.0, np.nan], index=["a", "b"])), "at index 'b'"),
        (lambda m: m.retention(0), "period is 0"),
        (lambda m: m.expected_remaining_tenure(-1), "age is -1"),
        (lambda m: m.expected_remaining_tenure(1, horizon=1.5), r"horizon is 1\.5"),
        (lambda m: m.expected_remaining_tenure(1, horizon=-1), "horizon is -1"),
        (lambda m: m.expected_residual_value(1, 0, 0.1), "price is 0; it must be > 0"),
        (lambda m: m.expected_residual_value(1, 5, -0.1), r"discount_rate is -0\.1"),
        (lambda m: m.expected_residual_value(1, 5, 0), "discount_rate is 0 over an endless"),
        (lambda m: m.survival(3, interval=1.5), r"interval is 1\.5"),
        (lambda m: m.simulate(0, 5, seed=1), "n_customers is 0"),
        (lambda m: m.simulate(3, [5, 6], seed=1), r"T has shape \(2,\) for 3 customers"),
        (lambda m: m.simulate(3, 5.5, seed=1), r"T is 5\.5"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str, sbg: tp.ShiftedBetaGeoModel) -> None:
    with pytest.raises(tp.InputError, match=message):
        call(sbg)


def test_a_rate_a_year_needs_the_unit() -> None:
    model = tp.ShiftedBetaGeoModel.from_params([0.7, 1.2])
    with pytest.raises(tp.InputError, match="the model's unit is unknown"):
        model.expected_residual_value(1, 5, 0.1)
    with pytest.raises(tp.InputError, match=r"has no parameters; call fit"):
        tp.ShiftedBetaGeoModel().survival(1)
