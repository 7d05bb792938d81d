"""Against mpmath at 50 digits, scipy's 2F1, and one another."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy.special import hyp2f1

from tests.lifetime.pareto_oracle import exact_integral, exact_log_odds, exact_two_powers, some
from tests.lifetime.stress import stress_params, stress_rows
from touchpoint_lib.lifetime import _pareto_likelihood
from touchpoint_lib.lifetime._pareto_integral import (
    DayGrid,
    TwoPowers,
    count_integral,
    discount_integral,
    log_sum,
    panels,
    rule,
)
from touchpoint_lib.lifetime._pareto_likelihood import (
    Likelihood,
    log_odds_gone,
    row_derivatives,
    row_values,
)
from touchpoint_lib.lifetime._roots import increasing_root
from touchpoint_lib.lifetime._rows import Rows, check_rows, group

mp = mpmath.mpf


def cdnow_like(n: int, seed: int, days: float = 7.0) -> Rows:
    """Customers 27 to 39 weeks old on the grid of days."""
    generator = np.random.default_rng(seed)
    age = generator.integers(189, 274, n)
    x = np.minimum(generator.geometric(0.4, n) - 1, 25)
    recency = np.where(x > 0, np.maximum(np.ceil(age * generator.random(n)), x), 0)
    return Rows(x.astype(float), recency / days, age / days, np.ones(n))


def test_a_rule_is_exact_for_polynomials() -> None:
    nodes, weights = rule(12)
    assert weights @ nodes**23 == pytest.approx(1 / 24, rel=1e-13)


@pytest.mark.slow
def test_log_odds_and_likelihood_of_extreme_customers() -> None:
    rows, params = stress_rows(200, 7), stress_params(200, 4, 8)
    log_odds, values = log_odds_gone(params, rows), row_values(params, rows)
    with mpmath.workdps(50):
        for i, (own, x, recency, age) in enumerate(some(rows, params, 200)):
            exact = exact_log_odds(own, x, recency, age)
            # The odds themselves, and so every probability, to 1e-9.
            if mpmath.isinf(exact):
                assert log_odds[i] == -np.inf
            else:
                assert abs(log_odds[i] - exact) < 1e-9, (own, x, recency, age)
            r, alpha, s, beta = (mp(float(p)) for p in own)
            likelihood = (
                mpmath.loggamma(r + x)
                - mpmath.loggamma(r)
                + r * mpmath.log(alpha)
                + s * mpmath.log(beta)
                - (r + x) * mpmath.log(alpha + mp(age))
                - s * mpmath.log(beta + mp(age))
                + mpmath.log1p(mpmath.exp(exact))
            )
            assert abs(values[i] - likelihood) < 1e-9 * max(1, abs(likelihood))


@pytest.mark.parametrize(
    ("alpha", "beta", "c", "s"),
    [(10.6, 11.7, 0.55, 0.61), (2.9, 14.1, 30.5, 0.29), (25.0, 3.0, 4.0, 2.0), (6, 6, 1.0, 1.0)],
)
def test_equals_the_hypergeometric_form(alpha: float, beta: float, c: float, s: float) -> None:
    """The closed form that Fader & Hardie (2005) derive, Euler-transformed where alpha < beta."""

    def tail(t: float) -> float:
        if alpha >= beta:
            z = (alpha - beta) / (alpha + t)
            return (beta + t) ** -s * (alpha + t) ** -c * hyp2f1(1, c, c + s + 1, z)
        z = (beta - alpha) / (beta + t)
        powers = (beta + t) ** -(s + 1) * (alpha + t) ** (1 - c)
        return powers * hyp2f1(1, s + 1, c + s + 1, z)

    x, recency, age = 3.0, 12.0, 39.0
    theirs = s / (c + s) * (tail(recency) - tail(age))
    alive = (alpha + age) ** -c * (beta + age) ** -s
    rows = Rows(np.array([x]), np.array([recency]), np.array([age]), np.ones(1))
    ours = np.exp(log_odds_gone([c - x, alpha, s, beta], rows)[0])
    assert ours == pytest.approx(theirs / alive, rel=1e-11)


@pytest.mark.parametrize("tau", [1e-280, 1e-12, 1e-3, 1.0, 1e3, 1e9, 1e100, np.inf])
@pytest.mark.parametrize(
    ("a", "e", "b", "f"),
    [
        (10.0, 0.5, 12.0, 1.6),
        (0.001, 0.002, 1000.0, 1.001),
        (900.0, 9000.0, 0.01, 800.0),
        (0.01, 0.5, 50.0, 300.0),
        (3.0, 1.0, 3.0, 0.001),
    ],
)
def test_two_powers_over_any_interval(tau: float, a: float, e: float, b: float, f: float) -> None:
    one = np.ones(1)
    ours = TwoPowers.of(a * one, e * one, b * one, f, tau * one).log()[0]
    with mpmath.workdps(50):
        # Beyond 1e40 both powers are one, whose integral is known.
        end = min(mp(tau), mp("1e40"))
        exact = exact_two_powers(mp(a), mp(e), mp(b), mp(f), end)
        if tau > 1e40:
            fall = mp(e) + mp(f) - 1
            log_tail = mp(e) * mpmath.log(mp(a)) + mp(f) * mpmath.log(mp(b))
            log_tail += -fall * mpmath.log(end) - mpmath.log(fall)
            if np.isfinite(tau):
                log_tail += mpmath.log(-mpmath.expm1(-fall * mpmath.log(mp(tau) / end)))
            exact = mpmath.log(mpmath.exp(exact) + mpmath.exp(log_tail))
        assert abs(ours - exact) < 1e-11 * max(1, abs(exact))


def test_no_time_has_no_integral() -> None:
    one = np.ones(1)
    assert TwoPowers.of(one, one, one, 2.0, 0 * one).log()[0] == -np.inf
    assert log_sum(panels(lambda y: -y, lambda y: -1 + 0 * y, (), one[:0], one[:0]), 0).size == 0


@pytest.mark.parametrize("horizon", [1e-9, 0.5, 40.0, 1e6, None])
@pytest.mark.parametrize("pull", [1e-8, 0.02, 3.0, 1e4])
@pytest.mark.parametrize("s", [0.001, 0.6, 1.0, 3.0, 1000.0])
def test_discounted_lifetime(horizon: float | None, pull: float, s: float) -> None:
    end = None if horizon is None else np.array([horizon])
    ours = discount_integral(s, np.array([pull]), end)[0]
    with mpmath.workdps(50):
        last = 200 / mp(pull) if horizon is None else mp(horizon)
        exact = exact_integral(
            lambda y: (1 - mp(s)) * y - mp(pull) * mpmath.expm1(y), 0, mpmath.log1p(last)
        )
        assert abs(ours - exact) < 1e-11 * max(1, abs(exact))


@pytest.mark.slow
def test_number_of_purchases_before_death() -> None:
    generator = np.random.default_rng(3)
    size = 40
    n = np.floor(np.exp(generator.uniform(0, np.log(300), size)))
    c = np.exp(generator.uniform(np.log(1e-3), np.log(1e4), size))
    s, ratio = np.exp(generator.uniform(np.log(1e-3), np.log(1e3), (2, size)))
    horizon = np.exp(generator.uniform(np.log(1e-3), np.log(1e5), size))
    with mpmath.workdps(50):
        for i in range(size):
            one = slice(i, i + 1)
            ours = count_integral(int(n[i]), c[one], s[one], ratio[one], horizon[one])[0]
            own = [mp(float(value[i])) for value in (n, c, s, ratio)]

            def curve(y: Any, own: Any = own) -> Any:
                count, often, die, share = own
                v = mpmath.exp(y)
                fall = (often + count) * mpmath.log(1 + v) + (die + 1) * mpmath.log(1 + share * v)
                return (count + 1) * y - fall

            end = mpmath.log(mp(float(horizon[i])))
            exact = mpmath.log(own[3]) + exact_integral(curve, min(end, mp(0)) - 100, end)
            assert abs(ours - exact) < 1e-10 * max(1, abs(exact)), i


def test_roots_of_any_slope() -> None:
    roots = np.array([-700.0, -3.0, 0.0, 2.0, 650.0, 900.0])

    def cubic(y: Any, at: Any) -> tuple[Any, Any]:
        off = y - roots[at]
        return off + off**3, 1 + 3 * off**2

    found = increasing_root(cubic, np.zeros(6))
    np.testing.assert_allclose(np.log(found[:5]), roots[:5], rtol=1e-13, atol=1e-13)
    assert found[5] == np.inf

    def saturating(y: Any, at: Any) -> tuple[Any, Any]:
        return np.tanh(y - 5.0) + at * 0, 1 / np.cosh(np.minimum(np.abs(y - 5.0), 300)) ** 2

    assert np.log(increasing_root(saturating, np.array([0.0, 8.0]))) == pytest.approx([5, 5])


# -- derivatives ---------------------------------------------------------------------------------


def exact_value(theta: Any, x: float, recency: float, age: float) -> Any:
    r, alpha, s, beta = (mpmath.exp(t) for t in theta)
    c, a, b, tau = r + mp(x), alpha + mp(recency), beta + mp(recency), mp(age) - mp(recency)
    value = mpmath.loggamma(c) - mpmath.loggamma(r) + r * mpmath.log(alpha) + s * mpmath.log(beta)
    value -= c * mpmath.log(alpha + mp(age)) + s * mpmath.log(beta + mp(age))
    if tau > 0:
        both = c * mpmath.log1p(tau / a) + s * mpmath.log1p(tau / b)
        # The peak is at the start or near it: pieces that shrink towards it.
        f = s + 1

        def density(v: Any) -> Any:
            return (1 + v / a) ** -c * (1 + v / b) ** -f

        marks = [0] + [tau / mp(4) ** k for k in range(8, -1, -1)]
        inside = mpmath.quad(density, marks, method="gauss-legendre", maxdegree=6)
        value += mpmath.log1p(s / b * mpmath.exp(both) * inside)
    return value


@pytest.mark.parametrize(
    ("params", "x", "recency", "age"),
    [
        ((0.55, 10.6, 0.61, 11.7), 2.0, 30.4, 38.9),
        ((0.55, 10.6, 0.61, 11.7), 0.0, 0.0, 38.9),
        ((0.51, 2.9, 0.29, 14.1), 40.0, 50.0, 98.0),
        ((3.0, 20.0, 2.0, 5.0), 5.0, 30.0, 30.0),
        ((0.01, 0.5, 40.0, 700.0), 1.0, 3.0, 200.0),
        ((2.0, 3.0, 1.0, 4.0), 3.0, 30.0, 30.0 + 1e-9),
        ((0.5, 3.0, 1.0, 4.0), 0.0, 0.0, 0.0),
    ],
)
def test_row_derivatives_equal_high_precision_differences(
    params: tuple[float, ...], x: float, recency: float, age: float
) -> None:
    rows = Rows(*(np.array([v]) for v in (x, recency, age, 1.0)))
    value, gradient, hessian = (a[..., 0] for a in row_derivatives(params, rows))
    with mpmath.workdps(50):
        theta = [mpmath.log(mp(p)) for p in params]
        step = mp("1e-10")

        def at(*moves: tuple[int, int]) -> Any:
            moved = list(theta)
            for i, sign in moves:
                moved[i] += sign * step
            return exact_value(moved, x, recency, age)

        assert value == pytest.approx(float(at()), rel=1e-12, abs=1e-12)
        for i in range(4):
            exact = (at((i, 1)) - at((i, -1))) / (2 * step)
            assert gradient[i] == pytest.approx(float(exact), rel=1e-10, abs=1e-12)
            for j in range(i, 4):
                corners = [at((i, u), (j, v)) * u * v for u in (1, -1) for v in (1, -1)]
                exact = sum(corners) / (4 * step**2)
                assert hessian[i, j] == pytest.approx(float(exact), rel=1e-8, abs=1e-10)
                assert hessian[j, i] == pytest.approx(hessian[i, j], rel=1e-12)


def test_derivatives_of_extreme_customers_are_finite_and_consistent() -> None:
    rows, params = stress_rows(20_000, 3), stress_params(20_000, 4, 4)
    value, gradient, hessian = row_derivatives(params, rows)
    assert all(np.isfinite(part).all() for part in (value, gradient, hessian))
    np.testing.assert_allclose(value, row_values(params, rows), rtol=1e-12, atol=1e-12)
    few = Rows(*(column[:500] for column in (rows.frequency, rows.recency, rows.T, rows.count)))
    for i in range(4):
        up, down = params[:, :500].copy(), params[:, :500].copy()
        up[i] *= np.exp(1e-5)
        down[i] *= np.exp(-1e-5)
        above, below = row_derivatives(up, few), row_derivatives(down, few)
        size = 1 + np.abs(value[:500])
        assert (np.abs((above[0] - below[0]) / 2e-5 - gradient[i, :500]) < 1e-6 * size).all()
        differences = (above[1] - below[1]) / 2e-5
        size = 1 + np.abs(gradient[:, :500]) + np.abs(hessian[i, :, :500])
        assert (np.abs(differences - hessian[i, :, :500]) < 1e-5 * size).all()


# -- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1.0, 7.0])
@pytest.mark.parametrize(
    "params",
    [(0.55, 10.6, 0.61, 11.7), (0.2, 1.5, 0.1, 2.0), (4.0, 30.0, 5.0, 200.0), (1.5, 9.0, 1.0, 9.0)],
)
def test_tables_equal_quadrature_by_row(days: float, params: tuple[float, ...]) -> None:
    rows = group(cdnow_like(4000, 1, days))
    in_unit = np.array(params) * np.array([1, 7 / days, 1, 7 / days])
    likelihood = Likelihood(rows)
    assert likelihood.grid is not None
    assert likelihood.grid.nodes_needed(in_unit[None])[0] > 0
    by_tables = likelihood.derivatives(np.log(in_unit))
    by_rows = [
        -np.einsum("...n,n->...", part, rows.count) / 4000
        for part in row_derivatives(in_unit, rows)
    ]
    for table, row in zip(by_tables, by_rows, strict=True):
        np.testing.assert_allclose(table, row, rtol=1e-10, atol=1e-11)
    draws = np.log(in_unit) + np.random.default_rng(2).normal(0, 0.3, (40, 4))
    np.testing.assert_allclose(
        likelihood.totals(draws),
        [-likelihood.derivatives(draw)[0] * 4000 for draw in draws],
        rtol=1e-12,
    )


def test_blocks_and_the_scale_do_not_matter() -> None:
    rows = group(cdnow_like(4000, 1))
    theta = np.log([0.5, 10.0, 0.6, 11.0])
    expected = Likelihood(rows).derivatives(theta)
    scaled = theta - np.log([1, 4.0, 1, 4.0])
    with patch.object(_pareto_likelihood, "_CACHED", 7):
        for got, wanted in zip(Likelihood(rows, 4.0).derivatives(scaled), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)
    total = Likelihood(rows, 4.0).totals(theta[None])[0]
    assert total == pytest.approx(-4000 * expected[0], rel=1e-12)
    start, there = Likelihood(rows).start(), Likelihood(rows, 4.0).start()
    np.testing.assert_allclose(there, start - np.log([1, 4.0, 1, 4.0]), atol=1e-12)


def test_where_tables_do_not_serve_rows_do() -> None:
    on_grid = cdnow_like(4000, 1)
    grid = DayGrid.of(on_grid)
    assert grid is not None
    # A day is long beside alpha; the powers of this r overflow.
    for params in ([0.5, 1e-4, 0.6, 11.0], [900.0, 10.0, 0.6, 11.0]):
        assert grid.nodes_needed(np.array([params]))[0] == 0
        rows = group(on_grid)
        value, gradient, hessian = Likelihood(rows).derivatives(np.log(params))
        exact = row_derivatives(params, rows)
        assert value == pytest.approx(-exact[0] @ rows.count / 4000, rel=1e-12)
        np.testing.assert_allclose(gradient, -exact[1] @ rows.count / 4000, rtol=1e-10)
        np.testing.assert_allclose(hessian, -exact[2] @ rows.count / 4000, rtol=1e-10)
        assert Likelihood(rows).totals(np.log([params]))[0] == pytest.approx(-4000 * value)
    assert DayGrid.of(
        Rows(on_grid.frequency, on_grid.recency, on_grid.T * np.pi, on_grid.count)
    ) is (None)
    often = on_grid.frequency.copy()
    often[-1] = 1e6
    assert DayGrid.of(Rows(often, on_grid.recency, on_grid.T, on_grid.count)) is None
    # One customer is quicker by row.
    assert DayGrid.of(Rows(*(np.array([v]) for v in (2.0, 30.0, 39.0, 1.0)))) is None


def test_a_column_is_off_the_grid_even_if_its_beginning_is_on_it() -> None:
    rows = cdnow_like(4000, 1)
    rows.T[-1] += 0.05
    assert DayGrid.of(rows) is None
    frame = pd.DataFrame({"frequency": rows.frequency, "recency": rows.recency, "T": rows.T})
    assert Likelihood(group(check_rows(frame))).grid is None
