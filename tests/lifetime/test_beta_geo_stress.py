"""Counts and discounted purchases of BG/NBD and MBG/NBD, k = 1, against integrals in mpmath."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest

from tests.lifetime.erlang_oracle import Customer
from tests.lifetime.oracle import SMALLEST, assert_exact
from tests.lifetime.pareto_oracle import exact_integral, some
from tests.lifetime.samples import MODELS, both
from tests.lifetime.stress import stress_params, stress_rows
from touchpoint_lib._checks import FloatArray
from touchpoint_lib.lifetime._quadrature import legendre
from touchpoint_lib.lifetime._rows import Rows


def tame(n: int) -> tuple[Rows, FloatArray]:
    """Customers as they come: up to two years old, of parameters about 1."""
    generator = np.random.default_rng(31)
    age = generator.uniform(5, 100, n)
    frequency = np.floor(generator.exponential(4, n))
    recency = np.where(frequency > 0, age * generator.uniform(0.2, 1, n), 0.0)
    params = np.exp(generator.uniform(np.log(0.3), np.log(4), (4, n)))
    params[1] *= 5
    return Rows(frequency, recency, age, np.ones(n)), params


def counted(exact: Customer, n: int, horizon: Any) -> Any:
    """P(the Poisson count is n), and P(it is n or more), over the Gamma rate of the living."""
    c, age, t = exact.c, exact.age, mp.mpf(horizon)

    def at_rate(y: Any) -> Any:  # y = ln rate
        return (c + n) * y - (age + t) * mp.exp(y)

    def at_time(y: Any) -> Any:  # y = ln of the time of the n-th purchase
        return n * y - (c + n) * mp.log(age + mp.exp(y))

    peak = mp.log((c + n) / (age + t))
    constant = c * mp.log(age) - mp.loggamma(c)
    equal = exact_integral(at_rate, peak - 150 / (c + n) - 20, peak + 6)
    equal += n * mp.log(t) - mp.loggamma(n + 1) + constant
    top = mp.log(t)
    more = exact_integral(at_time, min(top, mp.log(age * n / c)) - 60, top)
    more += constant + mp.loggamma(c + n) - mp.loggamma(n)
    return mp.exp(equal), mp.exp(more)


@pytest.mark.slow
def test_counts_equal_the_integrals_over_rate_and_time() -> None:
    """Who buys n times stays at all n purchases, or leaves right after the n-th."""
    rows, params = stress_rows(15, 33), stress_params(15, 4, 34)
    horizon, checked = 39.0, 0
    for n in (1, 2, 7):
        ours = [t.from_params([1] * 4)._buys_n(params, rows, n, horizon) for t in MODELS]
        with mp.workdps(50):
            for i, (own, *row) in enumerate(some(rows, params, 15)):
                equal, more = counted(Customer(1, 0, own, *row), n, horizon)
                for model_type, values in zip(MODELS, ours, strict=True):
                    exact = Customer(1, model_type._chance_at_first, own, *row)
                    a, beta = exact.a, exact.beta
                    stays = mp.rf(beta, n) / mp.rf(a + beta, n)
                    leaves = mp.rf(beta, n - 1) * a / mp.rf(a + beta, n)
                    value = exact.alive * (stays * equal + leaves * more)
                    assert_exact(f"{n} of {i}", values[i], value)
                    checked += value > SMALLEST
    assert checked > 60


def flow(exact: Customer, t: Any) -> Any:
    """The purchases a unit of time at t after T of the living: E[rate exp(-rate p t)].

    Over the Gamma rate it is a power, and the mean of that over the Beta p Euler's integral.
    """
    both_, quiet = exact.a + exact.beta, exact.age / (exact.age + t)
    # Kummer's form of it, whose terms are all positive.
    mean = quiet ** (exact.c + 1) * mp.hyp2f1(exact.c + 1, exact.beta, both_, 1 - quiet)
    return exact.c / exact.age * mean


def discounted(exact: Customer, rate: float, horizon: float | None) -> Any:
    """The integral of the discounted flow over ln t, by Gauss-Legendre rules of 16 nodes each."""
    end = mp.mpf(30) / rate if horizon is None else mp.mpf(horizon)
    # So early that nobody has left yet, and nothing is discounted.
    start = min(exact.age / (exact.c + 1), 1 / mp.mpf(rate), end) * mp.mpf(10) ** -7
    low, length = mp.log(start), mp.log(end / start)
    pieces = int(length / 2) + 1
    total = start * flow(exact, mp.mpf(0))
    nodes, weights = legendre(16)
    for piece in range(pieces):
        for node, weight in zip(nodes, weights, strict=True):
            t = mp.exp(low + length * (piece + mp.mpf(float(node))) / pieces)
            total += weight * length / pieces * t * mp.exp(-rate * t) * flow(exact, t)
    return exact.alive * total


def test_the_flow_is_the_double_integral() -> None:
    # Of whole parameters the integrand is smooth to the ends.
    exact = Customer(1, 1, [2.0, 10.0, 3.0, 2.0], 3.0, 20.0, 30.0)
    a, beta, c, age = exact.a, exact.beta, exact.c, exact.age

    def rate_and_chance(rate: Any, p: Any) -> Any:
        density = p ** (a - 1) * (1 - p) ** (beta - 1) / mp.beta(a, beta)
        gamma = age**c * rate ** (c - 1) * mp.exp(-age * rate) / mp.gamma(c)
        return density * gamma * rate * mp.exp(-rate * p * 20)

    marks = [0, 0.1, 0.4, 1.6]
    whole = mp.quad(rate_and_chance, marks, [0, 1], method="gauss-legendre", maxdegree=4)
    assert float(flow(exact, mp.mpf(20)) / whole) == pytest.approx(1, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [39.0, None])
@both
def test_discounted_purchases_equal_mpmath(model_type: type, horizon: float | None) -> None:
    model = model_type.from_params([1, 1, 1, 1])
    for name, (rows, params), rate in (
        ("tame", tame(20), 0.002),
        ("stress", (stress_rows(20, 35), stress_params(20, 4, 36)), 0.0018),
    ):
        ours = model._discounted(params, rows, rate, horizon)
        checked = 0
        with mp.workdps(50):
            for i, (own, *row) in enumerate(some(rows, params, 20)):
                exact = Customer(1, model._chance_at_first, own, *row)
                # Of thousands of purchases mpmath's own 2F1 loses its digits.
                if exact.alive > SMALLEST and exact.c + exact.beta < 2000:
                    assert_exact(f"{name} {i}", ours[i], discounted(exact, rate, horizon))
                    checked += 1
        assert checked >= 12
