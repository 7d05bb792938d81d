"""Against mpmath: the hypergeometric forms that the quadrature replaces."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from touchpoint_lib.lifetime._quadrature import (
    beta_rule,
    boundary,
    discounted_flow,
    dropout_mean,
    highest,
    nodes_needed,
)


def test_moments_of_the_beta_distribution() -> None:
    p, weights = beta_rule(0.8, 3.4, 12)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    mean = 0.8 / 4.2
    assert weights @ p == pytest.approx(mean, abs=1e-14)
    assert weights @ (p - mean) ** 2 == pytest.approx(mean * (1 - mean) / 5.2, abs=1e-14)


def test_exact_where_the_recurrence_is_zero_over_zero() -> None:
    p, weights = beta_rule(0.5, 0.5, 8)  # alpha + beta = -1 in Jacobi's terms
    assert weights @ p == pytest.approx(0.5, abs=1e-14)
    assert weights @ p**2 == pytest.approx(0.375, abs=1e-14)


@pytest.mark.parametrize("stretch", [0.01, 1, 18, 300, 5000])
@pytest.mark.parametrize(
    ("a", "b", "c"),
    [(0.79, 2.43, 0.24), (0.05, 0.3, 0.05), (1.0, 2.0, 3.0), (0.8, 30, 28), (5.3, 200, 210)],
)
def test_expected_purchases_equal_the_hypergeometric_form(
    stretch: float, a: float, b: float, c: float
) -> None:
    p, weights = beta_rule(a, b, nodes_needed(stretch, c, c * stretch, b))
    ours = weights @ (-np.expm1(-c * np.log1p(p * stretch)) / p)
    with mpmath.workdps(50):
        # The form has a pole at a = 1; a hair beside it the limit is met to 1e-12.
        a_ = mpmath.mpf(a) + (mpmath.mpf("1e-20") if a == 1 else 0)
        z = mpmath.mpf(stretch) / (1 + mpmath.mpf(stretch))
        series = mpmath.hyp2f1(c, b, a_ + b - 1, z) * (1 + mpmath.mpf(stretch)) ** -c
        exact = float((a_ + b - 1) / (a_ - 1) * (1 - series))
    assert ours == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("horizon", [0.1, 39.0, 1000.0, None])
@pytest.mark.parametrize("rate", [0.0018, 0.02])
@pytest.mark.parametrize(("c", "p"), [(0.3, 0.9), (30.0, 0.5), (300.0, 0.01), (2.0, 1e-6)])
def test_discounted_flow_equals_adaptive_quadrature(
    horizon: float | None, rate: float, c: float, p: float
) -> None:
    age = 31.0
    ours = discounted_flow(np.array([[p]]), np.array([[c]]), np.array([[age]]), rate, horizon)
    scale = age / (p * (c + 1))
    marks = [scale / 10, scale, 10 * scale, 1 / rate, 10 / rate]
    end = mpmath.inf if horizon is None else horizon
    points = [0, *sorted(mark for mark in marks if mark < end), end]
    exact = mpmath.quad(
        lambda t: mpmath.e ** (-rate * t) * (1 + p * t / age) ** (-(c + 1)) * c / age, points
    )
    assert ours[0, 0] == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize("pull", [1e-9, 1e-4, 10.0])
def test_discounted_flow_over_a_long_way(pull: float) -> None:
    """rate * age / p over nine orders of magnitude; by parts it is an incomplete gamma function."""
    c, age, p = 0.2, 0.01, 0.5
    rate = pull * p / age
    ours = discounted_flow(np.array([[p]]), np.array([[c]]), np.array([[age]]), rate, None)
    with mpmath.workdps(40):
        exact = c / p * mpmath.e**pull * mpmath.expint(c + 1, pull)
    assert ours[0, 0] == pytest.approx(float(exact), rel=1e-10)


def test_every_row_may_have_a_beta_distribution_of_its_own() -> None:
    """E exp(-z p) over Beta(a, b) is 1F1(a; a + b; -z)."""
    generator = np.random.default_rng(0)
    a, beta, z = np.exp(generator.uniform(np.log(1e-3), np.log(1e3), (3, 100)))
    ours = dropout_mean(
        a,
        beta,
        z,
        np.ones(100),
        z,
        lambda p, _, at: np.exp(-z[at, None] * p),
        lambda p, _, at: -z[at, None] * p,
    )
    with mpmath.workdps(40):
        exact = [float(mpmath.hyp1f1(a[i], mpmath.mpf(a[i]) + beta[i], -z[i])) for i in range(100)]
    np.testing.assert_allclose(ours, exact, rtol=1e-9)


def test_peak_and_boundary() -> None:
    centre = np.array([-3.0, 0.2, 7.0])

    def hill(s: np.ndarray) -> np.ndarray:
        return -((s - centre) ** 2)

    peak = highest(hill, np.full(3, -10.0), np.full(3, 10.0))
    np.testing.assert_allclose(peak, centre, atol=1e-6)
    edge = boundary(lambda s: hill(s) < -4, np.full(3, 8.0), peak)
    # Where the hill is not yet low enough at the far end, that end is the boundary.
    np.testing.assert_allclose(edge, [-1.0, 2.2, 8.0], atol=1e-5)
