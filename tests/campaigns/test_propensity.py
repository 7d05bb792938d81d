from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, ndtr

from touchpoint_lib.campaigns._propensity import OverlapError, fit_propensity, with_intercept


def assigned(seed=0, n=400, k=3, slope=0.7):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, k))
    return (rng.random(n) < expit(-0.4 + slope * x[:, 0] - 0.3 * x[:, 1])).astype(float), x


@pytest.mark.parametrize("units", [(1, 0), (1e-6, 0), (1e6, 1e8)])
@pytest.mark.parametrize(("link", "model"), [("logit", sm.Logit), ("probit", sm.Probit)])
def test_the_fit_is_that_of_statsmodels(link, model, units):
    treated, x = assigned()
    oracle = model(treated, sm.add_constant(x)).fit(disp=False, tol=1e-14)
    found = fit_propensity(treated, x * units[0] + units[1], link)
    np.testing.assert_allclose(found.chance, oracle.predict(), rtol=1e-8)


@pytest.mark.parametrize(("link", "model"), [("logit", sm.Logit), ("probit", sm.Probit)])
def test_influence_values_are_scores_by_the_inverse_information(link, model):
    treated, x = assigned(1)
    found = fit_propensity(treated, x, link)
    oracle = model(treated, found.design).fit(disp=False, tol=1e-14)
    n = len(treated)
    expected = model(treated, found.design).score_obs(oracle.params) @ np.linalg.inv(
        -model(treated, found.design).hessian(oracle.params) / n
    )
    influence = np.column_stack([found.influence(one) for one in np.eye(found.design.shape[1])])
    np.testing.assert_allclose(influence, expected, rtol=1e-7, atol=1e-9)
    # At the maximum they sum to nothing.
    assert np.abs(influence.mean(axis=0)).max() < 1e-9


@pytest.mark.parametrize(("link", "curve"), [("logit", expit), ("probit", ndtr)])
def test_the_slope_is_the_derivative_of_the_chance(link, curve):
    treated, x = assigned(2)
    found = fit_propensity(treated, x, link)
    beta = np.linalg.lstsq(found.design, _inverse(link)(found.chance))[0]
    predictor = found.design @ beta
    np.testing.assert_allclose(curve(predictor), found.chance, rtol=1e-10)
    numeric = (curve(predictor + 1e-5) - curve(predictor - 1e-5)) / 2e-5
    np.testing.assert_allclose(found.slope, numeric, rtol=1e-7)


def _inverse(link):
    from scipy.special import logit, ndtri

    return logit if link == "logit" else ndtri


def test_without_covariates_the_chance_is_the_share():
    treated, x = assigned(3)
    for link in ("logit", "probit"):
        found = fit_propensity(treated, x[:, :0], link)
        np.testing.assert_allclose(found.chance, treated.mean(), rtol=1e-10)


def test_a_strong_covariate_is_no_separation():
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, (5000, 1))
    treated = (rng.random(5000) < expit(6 * x[:, 0])).astype(float)
    oracle = sm.Logit(treated, sm.add_constant(x)).fit(disp=False)
    np.testing.assert_allclose(
        fit_propensity(treated, x, "logit").chance, oracle.predict(), rtol=1e-6
    )


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("kind", ["complete", "one level"])
def test_separation_has_no_maximum(link, kind):
    treated, x = assigned(5)
    if kind == "complete":
        x[:, 0] = np.where(treated > 0, np.abs(x[:, 0]), -np.abs(x[:, 0])) + 0.01 * treated
    else:
        # Of one level all were contacted: its coefficient has no end.
        x[:, 2] = (np.arange(len(treated)) % 10 == 0) & (treated > 0)
    with pytest.raises(OverlapError, match=f"of the {link} has no maximum.*leave out what decided"):
        fit_propensity(treated, x, link)


def test_the_design_lies_by_columns():
    design = with_intercept(np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(design, [[1, -2, -2], [1, 0, 0], [1, 2, 2]])
    assert design.flags.f_contiguous
