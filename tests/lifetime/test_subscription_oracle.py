"""Against mpmath and closed forms."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

import touchpoint_lib as tp
from tests.lifetime.stress import stress_params
from touchpoint_lib.lifetime._survival import (
    digamma_gap,
    future_sum,
    log_survival,
    trigamma_gap,
)
from touchpoint_lib.lifetime._tenures import Likelihood


def exact_log(shape: tuple[Any, ...], age: Any, ahead: Any) -> Any:
    """ln of S(age + ahead) / S(age), with all of mpmath's current digits."""
    alpha, beta, c = (mp.mpf(float(value)) for value in shape)
    last = mp.mpf(age) + ahead
    # Logs of gamma functions of (age + ahead)^c cancel: its digits are on top.
    with mp.workdps(mp.mp.dps + 20 + max(0, int(c * mp.log10(max(last, 1))))):
        logs = []
        for t in (last, mp.mpf(age)):
            z = beta + (t**c if t > 0 else 0)
            logs.append(mp.loggamma(z) - mp.loggamma(alpha + z))
        return logs[0] - logs[1]


def exact_sum(shape: tuple[Any, ...], age: int, rate: float, horizon: int | None) -> Any:
    """The sum of exp(-rate i) S(age + i)/S(age): 600 terms, then Euler-Maclaurin to order 6."""
    c = mp.mpf(float(shape[2]))

    def f(x: Any) -> Any:
        return mp.exp(exact_log(shape, age, x) - mp.mpf(rate) * x)

    last = 600
    if horizon is not None and horizon <= last:
        return mp.fsum(f(mp.mpf(i)) for i in range(1, horizon + 1))
    low = mp.log(last)
    if horizon is not None:
        high = mp.log(horizon)
    else:
        high = mp.log(last + 90 / mp.mpf(rate)) if rate else low + 70 / (shape[0] * c - 1) + 30 / c
    total = mp.fsum(f(mp.mpf(i)) for i in range(1, last))
    for end, sign in ((last, -1), (horizon, 1)):
        if end is not None:
            slopes = [mp.diff(f, mp.mpf(end), k) for k in (1, 3, 5)]
            total += f(mp.mpf(end)) / 2 + sign * (
                slopes[0] / 12 - slopes[1] / 720 + slopes[2] / 30240
            )
    pieces = int(max(4, min(60, (high - low) * max(1, c * mp.sqrt(shape[0])))))
    return total + mp.quad(lambda y: f(mp.exp(y)) * mp.exp(y), mp.linspace(low, high, pieces + 1))


def stress_shapes(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (alpha, beta, c) log-uniform over 1e-3 to 1e3, and t up to 10,000."""
    generator = np.random.default_rng(seed)
    return stress_params(n, 3, seed), np.floor(np.exp(generator.uniform(0, np.log(10_001), n)))


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [True, False], ids=["sbg", "bdw"])
def test_survival_and_retention_against_mpmath(fixed: bool) -> None:
    shapes, times = stress_shapes(200, seed=3)
    if fixed:
        shapes[2] = 1.0
    compared = 0
    with mp.workdps(50):
        for (alpha, beta, c), t in zip(shapes.T, times, strict=True):
            whole = exact_log((alpha, beta, c), 0, t)
            step = exact_log((alpha, beta, c), t - 1, 1)
            share, kept, lost = mp.exp(whole), mp.exp(step), -mp.expm1(step)
            ours = log_survival((alpha, beta, c), 0.0, t)
            our_step = log_survival((alpha, beta, c), t - 1, 1.0)
            assert float(ours) == pytest.approx(float(whole), rel=1e-12)
            for got, want in (
                (np.exp(ours), share),
                (np.exp(our_step), kept),
                (-np.expm1(our_step), lost),
            ):
                if want > mp.mpf("1e-290"):
                    compared += 1
                    assert float(abs(mp.mpf(float(got)) / want - 1)) < 1e-9
    assert compared > 400


def test_churn_at_a_renewal_against_mpmath() -> None:
    """P(T = t) = S(t - 1) - S(t), as the likelihood has it: one customer who left at t."""
    shapes, times = stress_shapes(150, seed=4)
    compared = 0
    for (alpha, beta, c), t in zip(shapes.T, times, strict=True):
        # Far below 1e-290, where mpmath needs thousands of digits: by Wendel's inequality
        # S(t - 1) is at most 2 ((alpha + beta) / (t - 1)^c)^alpha.
        if t > 1 and alpha * (np.log(alpha + beta) - c * np.log(t - 1)) < -668:
            continue
        with mp.workdps(50):
            lost = -mp.expm1(exact_log((alpha, beta, c), t - 1, 1))
            want = exact_log((alpha, beta, c), 0, t - 1) + mp.log(lost)
        if want < -667:  # below 1e-290
            continue
        compared += 1
        one = Likelihood(np.array([t]), np.ones(1), np.ones(1))
        got = one.total(np.log([[alpha, beta, c]]))[0]
        assert got == pytest.approx(float(want), abs=1e-9 * max(1.0, abs(float(want))))
    assert compared > 80


def test_retention_at_huge_ages_is_exact() -> None:
    model = tp.ShiftedBetaGeoModel.from_params([0.7, 1.2])
    for t in (1e6, 1e9, 1e12, 1e15):
        with mp.workdps(50):
            lost = mp.mpf(0.7) / (mp.mpf(0.7) + mp.mpf(1.2) + mp.mpf(t) - 1)
        got = -np.expm1(log_survival((0.7, 1.2, 1.0), t - 1, 1.0))
        assert float(got) == pytest.approx(float(lost), rel=1e-12)
        assert model.retention(t).iloc[0] == pytest.approx(1 - float(lost), rel=1e-15)


def test_residual_value_of_sbg_against_mpmath() -> None:
    """sum q^i S(age + i)/S(age) = 2F1(1, beta + age; alpha + beta + age; q) - 1."""
    generator = np.random.default_rng(5)
    shapes, ages = stress_shapes(150, seed=5)
    with mp.workdps(50):
        for (alpha, beta, _), age in zip(shapes.T, ages - 1, strict=True):
            rate = float(np.exp(generator.uniform(np.log(1e-5), 0)))
            z = mp.mpf(float(beta)) + mp.mpf(float(age))
            want = mp.hyp2f1(1, z, mp.mpf(float(alpha)) + z, mp.exp(-mp.mpf(rate))) - 1
            got = future_sum((alpha, beta, 1.0), np.array([age]), rate, None)[0]
            assert float(abs(got / want - 1)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "age", "rate", "horizon"),
    [
        ((0.5, 2.0, 2.5), 0, 0.0, None),
        ((3.0, 1.0, 0.7), 12, 0.0, None),
        ((40.0, 300.0, 0.3), 5, 0.0, None),
        ((120.0, 0.05, 0.02), 3, 0.0, None),
        ((0.26, 1.72, 1.58), 4, 0.005, None),
        ((0.01, 500.0, 5.0), 2, 1e-4, None),
        ((700.0, 20.0, 0.15), 1000, 1e-3, None),
        ((0.26, 1.72, 1.58), 0, 0.0, 25_000),
        ((20.0, 900.0, 1.9), 300, 0.01, 2_500),
        ((0.002, 0.05, 0.3), 9_999, 0.0, 90_000),
    ],
)
def test_sums_over_the_future_against_mpmath(
    shape: tuple[float, ...], age: int, rate: float, horizon: int | None
) -> None:
    with mp.workdps(30):
        want = exact_sum(shape, age, rate, horizon)
        got = future_sum((shape[0], shape[1], shape[2]), np.array([float(age)]), rate, horizon)[0]
        assert float(abs(got / want - 1)) < 1e-9


def test_the_sum_of_bdw_meets_the_closed_form_of_sbg() -> None:
    """Next to c = 1 the sum of terms and the integral replace (beta + age) / (alpha - 1)."""
    for alpha in (1.05, 2.0, 7.5, 300.0):
        ages = np.array([0.0, 7.0, 5000.0])
        want = (3.3 + ages) / (alpha - 1)
        low = future_sum((alpha, 3.3, 1 - 1e-6), ages, 0.0, None)
        high = future_sum((alpha, 3.3, 1 + 1e-6), ages, 0.0, None)
        np.testing.assert_allclose(np.sqrt(low * high), want, rtol=1e-8)
        finite = future_sum((alpha, 3.3, 1.0), ages, 0.0, 10**9)
        left = np.exp(log_survival((alpha, 3.3, 1.0), ages, 1e9))
        # E[min(T, H)] is short of E[T] by the mean rest of those who are left at H.
        short = left * (3.3 + ages + 1e9) / (alpha - 1)
        np.testing.assert_allclose(finite, want - short, rtol=1e-9)


def test_digamma_and_trigamma_gaps_against_mpmath() -> None:
    (z, step, _), _ = stress_shapes(200, seed=6)
    z[:20] *= 1e9
    for at, by in zip(z, step, strict=True):
        with mp.workdps(50):
            a, b = mp.mpf(float(at)), mp.mpf(float(at)) + mp.mpf(float(by))
            first = float(mp.digamma(b) - mp.digamma(a))
            second = float(mp.psi(1, a) - mp.psi(1, b))
        assert digamma_gap(np.array([at]), by)[0] == pytest.approx(first, rel=1e-12)
        assert trigamma_gap(np.array([at]), by)[0] == pytest.approx(second, rel=1e-12)


@pytest.mark.slow
def test_extreme_parameters_give_numbers() -> None:
    shapes, times = stress_shapes(20_000, seed=7)
    for c in (shapes[2], 1.0):
        shape = (shapes[0], shapes[1], c)
        for values in (
            np.exp(log_survival(shape, 0.0, times)),
            np.exp(log_survival(shape, times - 1, 1.0)),
            -np.expm1(log_survival(shape, times - 1, 1.0)),
        ):
            assert np.isfinite(values).all()
            assert ((values >= 0) & (values <= 1)).all()
    generator = np.random.default_rng(8)
    rates = np.exp(generator.uniform(np.log(1e-6), 0, 20_000))
    infinite = 0
    for i, (alpha, beta, c) in enumerate(shapes.T):
        age, rate = times[i : i + 1] - 1, float(rates[i])
        if i % 2:
            c = 1.0
        # Two of the three sums a row, in turn: the largest number that each can be is known.
        if i % 3:
            ever = future_sum((alpha, beta, c), age, rate, None)[0]
            assert 0 <= ever <= 1 / np.expm1(rate) * (1 + 1e-9)
        if i % 3 != 1:
            within = future_sum((alpha, beta, c), age, 0.0, int(times[-i - 1]))[0]
            assert 0 <= within <= times[-i - 1] * (1 + 1e-9)
        if i % 3 != 2:
            total = future_sum((alpha, beta, c), age, 0.0, None)[0]
            assert total >= 0
            infinite += bool(np.isinf(total))
            if c == 1:
                assert np.isinf(total) == (alpha <= 1)
            elif alpha * c <= 1:
                assert np.isinf(total)
    assert 0 < infinite < 13_400
