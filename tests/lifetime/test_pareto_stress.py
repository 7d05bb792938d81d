from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from tests.lifetime.oracle import assert_exact
from tests.lifetime.pareto_oracle import exact_integral, exact_log_odds, exact_two_powers, some
from tests.lifetime.samples import one
from tests.lifetime.stress import stress_params, stress_rows
from touchpoint_lib.lifetime._rows import Rows, check_rows
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

mp = mpmath.mpf


# -- mpmath --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_predictions_of_extreme_customers_against_mpmath() -> None:
    n = 200
    rows, params = stress_rows(n, 17), stress_params(n, 4, 18)
    model = ParetoNBDModel()
    ahead = 3.7
    ours = {
        "alive": model._alive(params, rows, 0),
        "alive later": model._alive(params, rows, ahead),
        "purchases": model._purchases(params, rows, ahead),
        "buys": model._buys(params, rows, ahead),
        "silent": model._buys_n(params, rows, 0, ahead),
        "hazard": model._hazard(params, rows, 0),
        "hazard later": model._hazard(params, rows, ahead),
    }
    with mpmath.workdps(50):
        for i, (own, x, recency, age) in enumerate(some(rows, params, n)):
            r, alpha, s, beta = (mp(float(p)) for p in own)
            c, A, B, t = r + mp(x), alpha + mp(age), beta + mp(age), mp(ahead)
            odds = mpmath.exp(exact_log_odds(own, x, recency, age))
            alive = 1 / (1 + odds)
            exact = {
                "alive": alive,
                "alive later": alive * (B / (B + t)) ** s,
                "purchases": alive * c / A * B / (s - 1) * (1 - (B / (B + t)) ** (s - 1)),
                "hazard": alive * c / A,
            }
            if i < 40:
                odds_later = mpmath.exp(exact_log_odds(own, x, recency, mp(age) + t))
                exact["hazard later"] = c / (A + t) / (1 + odds_later)
                buys = mpmath.exp(exact_two_powers(A, c + 1, B, s, t)) * c / A
                exact["buys"] = alive * buys
                exact["silent"] = alive * (1 - buys) + odds * alive
            for name, value in exact.items():
                assert_exact(name, ours[name][i], value)


@pytest.mark.slow
def test_counts_of_extreme_customers_against_mpmath() -> None:
    rows, params = stress_rows(30, 27), stress_params(30, 4, 28)
    model = ParetoNBDModel()
    with mpmath.workdps(50):
        chances = [1 / (1 + mpmath.exp(exact_log_odds(*row))) for row in some(rows, params, 30)]
    for n, ahead in ((1, 3.7), (30, 800.0)):
        ours = model._buys_n(params, rows, n, ahead)
        with mpmath.workdps(50):
            for i, (own, x, _, age) in enumerate(some(rows, params, 30)):
                r, alpha, s, beta = (mp(float(p)) for p in own)
                c, A, B, t = r + mp(x), alpha + mp(age), beta + mp(age), mp(ahead)

                def curve(y: Any, own: Any = (c, A, s, B), n: int = n) -> Any:
                    often, bought, die, aged = own
                    v = mpmath.exp(y)
                    fall = (often + n) * mpmath.log(1 + v / bought)
                    return (n + 1) * y - fall - (die + 1) * mpmath.log(1 + v / aged)

                ways = mpmath.rf(c, n) / mpmath.factorial(n)
                low = min(mpmath.log(t), mpmath.log(A)) - 100
                dies = mpmath.exp(exact_integral(curve, low, mpmath.log(t))) * s / B / A**n
                stays = (t / (A + t)) ** n * (A / (A + t)) ** c * (B / (B + t)) ** s
                assert_exact(f"{n} in {ahead}", ours[i], chances[i] * ways * (dies + stays))


@pytest.mark.parametrize("horizon", [0.5, 40.0, None])
@pytest.mark.parametrize("rate", [1e-6, 0.002, 0.5])
@pytest.mark.parametrize("s", [0.3, 1.0, 4.0])
def test_discounted_purchases_against_mpmath(horizon: float | None, rate: float, s: float) -> None:
    """DERT by its definition; without an end also by Tricomi's function (Fader et al. 2005)."""
    params, rows = [0.55, 10.6, s, 11.7], check_rows(one(4, 30.0, 39.0))
    ours = ParetoNBDModel()._discounted(params, rows, rate, horizon)[0]
    with mpmath.workdps(40):
        alive = 1 / (1 + mpmath.exp(exact_log_odds(params, 4, 30.0, 39.0)))
        c, A, B = mp(params[0]) + 4, mp(params[1]) + 39, mp(params[3]) + 39
        if horizon is None:
            kept = (mp(rate) * B) ** (mp(s) - 1) * mpmath.hyperu(s, s, mp(rate) * B) * B
        else:
            kept = mpmath.quad(
                lambda t: mpmath.exp(-mp(rate) * t) * (1 + t / B) ** -mp(s),
                mpmath.linspace(0, horizon, 9),
            )
        assert ours == pytest.approx(float(alive * c / A * kept), rel=1e-11)


def test_no_discount_is_the_expectation() -> None:
    model, rows = ParetoNBDModel(), check_rows(one(4, 30.0, 39.0))
    for s in (0.4, 1.0, 2.5):
        params = [0.55, 10.6, s, 11.7]
        whole = model._purchases(params, rows, 30.0)[0]
        assert model._discounted(params, rows, 0.0, 30.0)[0] == whole
        assert model._discounted(params, rows, 1e-15, 30.0)[0] == pytest.approx(whole, rel=1e-12)
        assert model._discounted(params, rows, 0.1, 0.0)[0] == 0


# -- extreme customers ---------------------------------------------------------------------------


@pytest.mark.slow
def test_every_prediction_survives_extreme_customers() -> None:
    rows, params = stress_rows(20_000, 1), stress_params(20_000, 4, 2)
    model = ParetoNBDModel()
    for ahead in (0.0, 1e-9, 1.0, 1e4, 1e12):
        alive = model._alive(params, rows, ahead)
        buys = model._buys(params, rows, ahead)
        expected = model._purchases(params, rows, ahead)
        counts = [model._buys_n(params, rows, n, ahead) for n in (0, 1, 7, 500)]
        for probability in (alive, buys, *counts):
            assert ((probability >= 0) & (probability <= 1)).all()
        assert (sum(counts) <= 1 + 1e-9).all()
        assert (buys <= expected * (1 + 1e-9) + 1e-300).all()
        np.testing.assert_allclose(buys + counts[0], 1, rtol=1e-10)
        flows = [model._discounted(params, rows, rate, ahead) for rate in (0.0, 1e-9, 0.01, 50.0)]
        for more, less in zip([expected, *flows], flows, strict=False):
            assert np.isfinite(less).all()
            assert (less <= more * (1 + 1e-9)).all()
        hazard = model._hazard(params, rows, ahead)
        assert (np.isfinite(hazard) & (hazard >= 0)).all()
    endless = model._discounted(params, rows, 0.01, None)
    assert np.isfinite(endless).all()
    assert (endless >= flows[2] * (1 - 1e-9)).all()
    for level in (1e-9, 0.2, 0.9, 1 - 1e-9):
        wait, gap = (
            kernel(params, rows, level) for kernel in (model._next_purchase, model._dormancy)
        )
        assert not np.isnan(wait).any()
        assert (wait > 0).all()
        assert not np.isnan(gap).any()
        assert (gap > 0).all()


def test_times_invert_the_probabilities_of_extreme_customers() -> None:
    n = 3000
    rows, params = stress_rows(n, 5), stress_params(n, 4, 6)
    model = ParetoNBDModel()
    for level in (0.003, 0.5, 0.95):
        wait = model._next_purchase(params, rows, level)
        at = np.flatnonzero(wait < 1e200)
        assert len(at) > 20
        for i in at[:: max(1, len(at) // 40)]:
            own, row = params[:, i], rows.part(slice(i, i + 1))
            assert model._buys(own, row, wait[i])[0] == pytest.approx(level, rel=1e-9)
        never = np.flatnonzero(np.isinf(wait))
        assert len(never) > 20
        for i in never[:: len(never) // 20]:
            own, row = params[:, i], rows.part(slice(i, i + 1))
            assert model._buys(own, row, 1e250)[0] <= level * (1 + 1e-9)
        gap = model._dormancy(params, rows, level)
        short = np.flatnonzero(gap < 1e200)
        assert len(short) > n / 2
        silent = Rows(0 * gap[short], 0 * gap[short], gap[short], np.ones(len(short)))
        # As a newcomer with parameters moved to the day of the purchase: no digit of the gap lost.
        r, alpha, s, beta = params[:, short]
        x, recency = rows.frequency[short], rows.recency[short]
        alive = model._alive([r + x, alpha + recency, s, beta + recency], silent, 0)
        np.testing.assert_allclose(alive, level, rtol=1e-10)
