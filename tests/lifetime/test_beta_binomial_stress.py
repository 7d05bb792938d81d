from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from tests.lifetime.beta_binomial_oracle import Exact
from tests.lifetime.oracle import assert_exact
from tests.lifetime.stress import stress_params, stress_rows
from touchpoint_lib.lifetime._beta_binomial_likelihood import Likelihood
from touchpoint_lib.lifetime._rows import Rows
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel


def whole_stress_rows(n: int, seed: int) -> Rows:
    """The stress rows in whole opportunities, with at most one purchase at each."""
    rows = stress_rows(n, seed)
    recency = np.ceil(rows.recency)
    return Rows(np.minimum(rows.frequency, recency), recency, np.ceil(rows.T), rows.count)


@pytest.mark.slow
def test_stress_rows_at_fifty_digits() -> None:
    n = 200
    rows, params = whole_stress_rows(n, seed=5), stress_params(n, 4, seed=6)
    model = BetaGeoBetaBinomModel()
    ours = {
        "alive": model._alive(params, rows, 0.0),
        "later": model._alive(params, rows, 300.0),
        "purchases": model._purchases(params, rows, 52.0),
        "many": model._purchases(params, rows, 400.0),
        "discounted": model._discounted(params, rows, 0.01, None),
        "none": model._buys_n(params, rows, 0, 30.0),
        "two": model._buys_n(params, rows, 2, 30.0),
        "all": model._buys_n(params, rows, 30, 30.0),
        "buys": model._buys(params, rows, 30.0),
    }
    with mp.workdps(50):
        for i in range(n):
            row = Rows(
                *(np.array([v[i]]) for v in (rows.frequency, rows.recency, rows.T)), np.ones(1)
            )
            exact = Exact(params[:, i], rows.frequency[i], rows.recency[i], rows.T[i])
            total = Likelihood(row).totals(np.log(params[:, i])[None])[0]
            expected = float(exact.log_likelihood)
            assert total == pytest.approx(expected, abs=1e-9 * max(1.0, abs(expected)))
            assert_exact("alive", ours["alive"][i], exact.alive(0))
            assert_exact("later", ours["later"][i], exact.alive(300))
            assert_exact("purchases", ours["purchases"][i], exact.purchases(52))
            assert_exact("many", ours["many"][i], exact.purchases(400))
            assert_exact("discounted", ours["discounted"][i], exact.discounted(0.01))
            assert_exact("none", ours["none"][i], exact.counted(0, 30))
            assert_exact("buys", ours["buys"][i], exact.buys(30))
            assert_exact("two", ours["two"][i], exact.counted(2, 30))
            assert_exact("all", ours["all"][i], exact.counted(30, 30))


@pytest.mark.slow
def test_stress_rows_through_every_kernel() -> None:
    n = 20_000
    rows, params = whole_stress_rows(n, seed=7), stress_params(n, 4, seed=8)
    model = BetaGeoBetaBinomModel()
    with np.errstate(all="raise", under="ignore"):
        probabilities = [
            model._alive(params, rows, 0.0),
            model._alive(params, rows, 5000.0),
            model._buys(params, rows, 1.0),
            model._buys(params, rows, 5000.0),
            model._buys_n(params, rows, 0, 40.0),
            model._buys_n(params, rows, 7, 40.0),
            model._hazard(params, rows, 0.0),
            model._hazard(params, rows, 100.0),
        ]
        expected = model._purchases(params, rows, 5000.0)
        finite = model._discounted(params, rows, 0.003, 5000.0)
        endless = model._discounted(params, rows, 0.003, None)
        times = [model._next_purchase(params, rows, 0.2), model._dormancy(params, rows, 0.3)]
    for values in probabilities:
        assert ((values >= 0) & (values <= 1)).all()
    assert (probabilities[1] <= probabilities[0]).all()
    assert ((expected >= 0) & (expected <= 5000)).all()
    assert ((finite >= 0) & (finite <= expected * (1 + 1e-12))).all()
    assert (endless >= finite * (1 - 1e-12)).all()
    assert np.isfinite(endless).all()
    for values in times:
        assert (values >= 0).all()
        known = values[np.isfinite(values)]
        assert known.size > 100
        assert (known == np.floor(known)).all()


@pytest.mark.slow
def test_stress_rows_through_the_likelihood() -> None:
    n = 5000
    rows = whole_stress_rows(n, seed=9)
    params = stress_params(20, 4, seed=10)
    likelihood = Likelihood(rows)
    with np.errstate(all="raise", under="ignore"):
        for theta in np.log(params.T):
            value, gradient, hessian = likelihood.derivatives(theta)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
            assert np.isfinite(hessian).all()
            assert likelihood.totals(theta[None])[0] == pytest.approx(-value * n, rel=1e-12)


@pytest.mark.slow
def test_the_likelihood_of_many_rows_at_fifty_digits() -> None:
    """Rows with the same number of purchases share sums: each on its own has to come out right."""
    generator = np.random.default_rng(12)
    n = 60
    recency = generator.integers(3, 1000, n).astype(float)
    age = recency + np.floor(np.exp(generator.uniform(0, np.log(2000), n))) - 1
    frequency = generator.choice([1.0, 3.0], n)
    for params in ([1.2, 0.75, 0.66, 2.8], [0.01, 30.0, 0.002, 900.0], [700.0, 0.5, 3.0, 0.02]):
        totals = []
        for i in range(n):
            # The weights of a row and of all single it out.
            rows = Rows(frequency, recency, age, np.eye(n)[i])
            totals.append(Likelihood(rows).totals(np.log([params]))[0])
        with mp.workdps(50):
            for i in range(n):
                exact = float(Exact(params, frequency[i], recency[i], age[i]).log_likelihood)
                assert totals[i] == pytest.approx(exact, abs=1e-9 * max(1.0, abs(exact)))
