from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, ndtr
from scipy.stats import ttest_ind

from touchpoint_lib.campaigns._estimates import (
    TooFewError,
    aipw,
    cluster_sums,
    cuped,
    difference,
    independent,
    lin,
    linearised_ratio,
    one_sample,
    stratified,
)
from touchpoint_lib.campaigns._propensity import fit_propensity


@pytest.fixture(scope="module")
def rows():
    """Return skewed outcomes of a campaign whose covariates matter, and enter no model rightly."""
    rng = np.random.default_rng(0)
    n = 700
    x = np.column_stack([rng.normal(0, 1, n), rng.gamma(2, 2, n), rng.random(n) < 0.3])
    treated = (rng.random(n) < expit(-0.5 + 0.6 * x[:, 0] + 0.4 * x[:, 2])).astype(float)
    y = np.exp(0.3 * x[:, 0] + 0.2 * x[:, 1]) + treated * (1 + x[:, 2]) + rng.gamma(1, 2, n)
    return y, treated, x, rng.integers(0, 60, n)


def jacobian(equations, at):
    """Return the derivatives of the mean of the equations by a complex step, exact to rounding."""
    columns = []
    for place in range(len(at)):
        moved = at.astype(complex)
        moved[place] += 1e-30j
        columns.append(equations(moved).mean(axis=0).imag / 1e-30)
    return np.column_stack(columns)


def stacked(y, treated, x, *, link, known, on_treated, cluster=None):
    """Return means and their covariance from all estimating equations at once (M-estimation).

    Stefanski and Boos (2002), The American Statistician 56: A^-1 B A^-T / n.
    """
    n = len(y)
    design = sm.add_constant(x)
    k = design.shape[1]
    first = [np.linalg.lstsq(design[treated == arm], y[treated == arm])[0] for arm in (1, 0)]
    model = sm.Logit if link == "logit" else sm.Probit
    chances = model(treated, design).fit(disp=False, tol=1e-14, maxiter=100).params
    start = [*first, *([] if known is not None else [chances])]

    def equations(at):
        slope1, slope0 = at[:k], at[k : 2 * k]
        rest = at[2 * k :]
        parts = [
            design * (treated * (y - design @ slope1))[:, None],
            design * ((1 - treated) * (y - design @ slope0))[:, None],
        ]
        p = known
        if known is None:
            predictor = design @ rest[:k]
            rest = rest[k:]
            if link == "logit":
                p = 1 / (1 + np.exp(-predictor))
                score = treated - p
            else:
                p = ndtr(predictor)
                density = np.exp(-(predictor**2) / 2) / np.sqrt(2 * np.pi)
                score = (treated - p) * density / p / (1 - p)
            parts.append(design * score[:, None])
        m1, m0 = design @ slope1, design @ slope0
        if on_treated:
            one = treated * (y - rest[0])
            other = treated * (m0 - rest[1]) + (1 - treated) * p / (1 - p) * (y - m0)
        else:
            one = m1 + treated / p * (y - m1) - rest[0]
            other = m0 + (1 - treated) / (1 - p) * (y - m0) - rest[1]
        return np.column_stack([*parts, one, other])

    # The last two equations are linear in the means.
    at = np.concatenate([*start, [0.0, 0.0]])
    weight = treated.mean() if on_treated else 1.0
    at[-2:] = equations(at).mean(axis=0)[-2:] / weight
    assert np.abs(equations(at).mean(axis=0)).max() < 1e-9
    slope = jacobian(equations, at)
    each = equations(at).real
    if cluster is not None:
        each = cluster_sums(each, cluster)
    inverse = np.linalg.inv(slope)
    return at[-2:], (inverse @ (each.T @ each / n) @ inverse.T / n)[-2:, -2:]


@pytest.mark.parametrize("by_cluster", [False, True])
@pytest.mark.parametrize("on_treated", [False, True])
@pytest.mark.parametrize("link", ["logit", "probit", None])
def test_aipw_has_the_sandwich_of_all_equations(rows, link, on_treated, by_cluster):
    y, treated, x, cluster = rows
    known = None if link else 0.2 + 0.6 * ndtr(x[:, 0])
    own = known if link is None else fit_propensity(treated, x, link)
    found = aipw(y, treated, x, own, on_treated=on_treated)
    means, covariance = stacked(
        y,
        treated,
        x,
        link=link or "logit",
        known=known,
        on_treated=on_treated,
        cluster=cluster if by_cluster else None,
    )
    if by_cluster:
        groups = len(np.unique(cluster))
        found = found.clustered(cluster, treated)
        covariance = covariance * groups / (groups - 1)
        assert found.df == groups - 1
    np.testing.assert_allclose([found.treated, found.control], means, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)


def test_difference_is_welch(rows):
    y, treated, *_ = rows
    found = difference(y, treated)
    welch = ttest_ind(y[treated == 1], y[treated == 0], equal_var=False)
    assert found.effect / found.variance**0.5 == pytest.approx(welch.statistic, rel=1e-12)
    assert found.df == pytest.approx(welch.df, rel=1e-12)


def test_difference_has_the_hc2_error_of_least_squares(rows):
    y, treated, *_ = rows
    found = difference(y, treated)
    fit = sm.OLS(y, sm.add_constant(treated)).fit(cov_type="HC2")
    assert found.effect == pytest.approx(fit.params[1], rel=1e-12)
    assert found.variance**0.5 == pytest.approx(fit.bse[1], rel=1e-12)
    # HC1 differs by how it spreads the two lost degrees of freedom over the arms.
    n, sizes = len(y), np.array([treated.sum(), (1 - treated).sum()])
    hc1 = (np.diag(found.covariance) * (sizes - 1) / sizes).sum() * n / (n - 2)
    fit = sm.OLS(y, sm.add_constant(treated)).fit(cov_type="HC1")
    assert hc1**0.5 == pytest.approx(fit.bse[1], rel=1e-12)


def test_lin_is_a_regression_in_each_arm(rows):
    y, treated, x, _ = rows
    found = lin(y, treated, x)
    centred = x - x.mean(axis=0)
    added, variances = np.zeros((len(y), 2)), []
    for place, arm in enumerate((1, 0)):
        inside = treated == arm
        design = sm.add_constant(centred[inside])
        fit = sm.OLS(y[inside], design).fit(cov_type="HC1")
        assert (found.treated, found.control)[place] == pytest.approx(fit.params[0], rel=1e-10)
        own = design @ fit.normalized_cov_params[0] * fit.resid
        own *= (fit.nobs / fit.df_resid) ** 0.5
        assert (own @ own) ** 0.5 == pytest.approx(fit.bse[0], rel=1e-10)
        variances.append(own @ own)
        added[inside, place] = own
        # The average covariates are estimated too.
        added[:, place] += centred @ fit.params[1:] / len(y)
    np.testing.assert_allclose(found.covariance, added.T @ added, rtol=1e-9)
    # Welch's degrees of freedom, of two regressions with four coefficients.
    variances, left = np.array(variances), np.array([treated.sum(), (1 - treated).sum()]) - 4
    assert found.df == pytest.approx(variances.sum() ** 2 / (variances**2 / left).sum())


def test_lin_at_fixed_covariates_is_the_regression_with_interactions(rows):
    y, treated, x, _ = rows
    centred = x - x.mean(axis=0)
    design = sm.add_constant(np.column_stack([treated, centred, treated[:, None] * centred]))
    assert lin(y, treated, x).effect == pytest.approx(sm.OLS(y, design).fit().params[1], rel=1e-10)


def test_cuped_is_the_difference_of_residuals(rows):
    y, treated, x, _ = rows
    found = cuped(y, treated, x)
    pooled = sm.OLS(y, sm.add_constant(x)).fit()
    left = pooled.resid
    welch = ttest_ind(left[treated == 1], left[treated == 0], equal_var=False)
    assert found.effect == pytest.approx(left[treated == 1].mean() - left[treated == 0].mean())
    assert found.effect / found.variance**0.5 == pytest.approx(welch.statistic, rel=1e-9)
    assert found.df == pytest.approx(welch.df)


def test_stratified_is_the_regression_saturated_in_strata(rows):
    y, treated, _, cluster = rows
    stratum = cluster % 4
    found = stratified(y, treated, stratum)
    saturated = lin(y, treated, np.eye(4)[stratum][:, 1:])
    assert found.effect == pytest.approx(saturated.effect, rel=1e-10)
    # By hand: within-stratum variances, and how much the strata's effects vary.
    n, within, effects, shares = len(y), 0.0, [], []
    for one in range(4):
        inside = stratum == one
        parts = [y[inside & (treated == arm)] for arm in (1, 0)]
        effects.append(parts[0].mean() - parts[1].mean())
        shares.append(inside.mean())
        within += inside.mean() ** 2 * sum(part.var(ddof=1) / len(part) for part in parts)
    between = np.average((np.array(effects) - found.effect) ** 2, weights=shares) / n
    assert found.effect == pytest.approx(np.average(effects, weights=shares))
    assert found.variance == pytest.approx(within + between, rel=1e-10)


def test_strata_of_other_rows_weigh_nothing(rows):
    y, treated, _, cluster = rows
    stratum = cluster % 3
    # Codes come from all rows, so that some are not in a segment.
    with_gaps = np.array([1, 4, 6])[stratum]
    ours, same = stratified(y, treated, with_gaps), stratified(y, treated, stratum)
    assert ours.effect == same.effect
    np.testing.assert_array_equal(ours.covariance, same.covariance)
    assert ours.df == same.df


def test_one_sample_is_a_mean(rows):
    y = rows[0]
    found = one_sample(y)
    assert (found.treated, found.control, found.df) == (y.mean(), 0, len(y) - 1)
    assert found.variance**0.5 == pytest.approx(y.std(ddof=1) / len(y) ** 0.5)


@pytest.mark.parametrize("nested", [True, False])
def test_clusters_as_statsmodels_up_to_the_factor(nested):
    """Ours is Liang and Zeger times G / (G - 1), on Welch's variance, n / (n - 1) by arm."""
    rng = np.random.default_rng(1)
    n, groups = 600, 40
    treated = np.repeat([1.0, 0.0], n // 2)
    cluster = rng.integers(0, groups, n)
    if nested:
        cluster = cluster % 20 + 20 * treated.astype(int)
    y = rng.normal(0, 1, groups)[cluster] + treated + rng.normal(0, 1, n)
    ours = difference(y, treated).clustered(cluster, treated)
    fit = sm.OLS(y, sm.add_constant(treated)).fit(
        cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": False}
    )
    factor = groups / (groups - 1) * (n / 2) / (n / 2 - 1)
    assert ours.variance == pytest.approx(fit.bse[1] ** 2 * factor, rel=1e-10)
    assert ours.df == groups - 1


def test_a_ratio_has_the_delta_method_error():
    rng = np.random.default_rng(2)
    n = 500
    treated = (rng.random(n) < 0.4).astype(float)
    below = rng.poisson(2 + treated, n).astype(float)
    above = below * rng.gamma(2, 5, n)
    parts = difference(above, treated), difference(below, treated)
    values = linearised_ratio(above, below, treated, *parts)
    found = difference(values, treated)
    for arm, mean, variance in (
        (1, found.treated, found.covariance[0, 0]),
        (0, found.control, found.covariance[1, 1]),
    ):
        top, bottom = above[treated == arm], below[treated == arm]
        ratio = top.sum() / bottom.sum()
        (vt, cov), (_, vb) = np.cov(top, bottom)
        expected = (vt - 2 * ratio * cov + ratio**2 * vb) / bottom.mean() ** 2 / len(top)
        assert mean == pytest.approx(ratio, rel=1e-12)
        assert variance == pytest.approx(expected, rel=1e-10)


def test_an_adjusted_ratio_is_that_of_adjusted_means(rows):
    y, treated, x, _ = rows
    below = 2 + x[:, 2] + treated
    own = fit_propensity(treated, x, "logit")
    top, bottom = (aipw(one, treated, x, own, on_treated=False) for one in (y, below))
    values = linearised_ratio(y, below, treated, top, bottom)
    found = aipw(values, treated, x, own, on_treated=False)
    assert found.treated == pytest.approx(top.treated / bottom.treated, rel=1e-10)
    assert found.control == pytest.approx(top.control / bottom.control, rel=1e-10)
    # The delta method on the influence values of both.
    ratio = top.treated / bottom.treated
    own_way = (top.influence[:, 0] - ratio * bottom.influence[:, 0]) / bottom.treated
    np.testing.assert_allclose(found.influence[:, 0], own_way, rtol=1e-7, atol=1e-12)


def test_less_is_what_the_method_makes_of_the_difference(rows):
    y, treated, x, _ = rows
    other = y**0.5 + x[:, 0]
    found = lin(y, treated, x).less(lin(other, treated, x), 0.3)
    whole = lin(y - 0.3 * other, treated, x)
    assert found.effect == pytest.approx(whole.effect, rel=1e-10)
    np.testing.assert_allclose(found.covariance, whole.covariance, rtol=1e-9)


def test_independent_keeps_what_varies_in_all_subsets():
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, 50)
    half = np.repeat([1.0, 0.0], 25)
    matrix = np.column_stack(
        [np.full(50, 7.1), x, 3 * x + 1e6, half * x, rng.normal(0, 1e-9, 50) + 1, x + half]
    )
    # A constant, a copy in another unit, and what varies in one arm alone.
    assert independent(matrix) == [1, 3, 4, 5]
    assert independent(matrix, half, 1 - half) == [1, 4]
    assert independent(matrix[:, :0]) == []


@pytest.mark.parametrize("method", [lin, cuped])
def test_covariates_far_from_zero_cost_no_digits(rows, method):
    y, treated, x, _ = rows
    near, far = method(y, treated, x), method(y, treated, x * 1e-3 + 1e5)
    assert far.effect == pytest.approx(near.effect, rel=1e-6)
    assert far.variance == pytest.approx(near.variance, rel=1e-6)


def test_aipw_far_from_zero_costs_no_digits(rows):
    y, treated, x, _ = rows
    near = aipw(y, treated, x, fit_propensity(treated, x, "logit"), on_treated=False)
    far = x * 1e-2 + 1e4
    found = aipw(y, treated, far, fit_propensity(treated, far, "logit"), on_treated=False)
    assert found.effect == pytest.approx(near.effect, rel=1e-6)
    assert found.variance == pytest.approx(near.variance, rel=1e-6)


def few(n):
    rng = np.random.default_rng(4)
    return rng.normal(0, 1, n), np.arange(n) % 2.0, rng.normal(0, 1, (n, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y, t, _: difference(y[:3], t[:3]), "an arm has 1 rows; two is the least"),
        (lambda y, _t, _x: one_sample(y[:1]), "an arm has 1 rows; two is the least"),
        (lambda y, t, x: lin(y, t, x), "an arm has 4 rows for 4 coefficients; leave out"),
        (lambda y, t, x: cuped(y[:5], t[:5], x[:5]), "both arms have 5 rows for 3 covariates"),
        (
            lambda y, t, x: aipw(y, t, x, np.full(8, 0.5), on_treated=False),
            "an arm has 4 rows for 4 coefficients; leave out",
        ),
        (
            lambda y, t, _: difference(y, t).clustered(np.where(t > 0, 0, np.arange(8)), t),
            "an arm is a single cluster; two is the least",
        ),
        (
            lambda y, t, _: linearised_ratio(y, 1 - t, t, difference(y, t), difference(1 - t, t)),
            "the denominator of the ratio is not above 0 in an arm; leave the arm out",
        ),
    ],
)
def test_too_few_rows(call, message):
    with pytest.raises(TooFewError, match=message):
        call(*few(8))
