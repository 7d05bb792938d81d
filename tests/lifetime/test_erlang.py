"""Regular buyers, k > 1, and k = 1 beside them: against mpmath, sums and integrals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

import touchpoint_lib as tp
from tests.lifetime.erlang_oracle import Customer
from tests.lifetime.oracle import SMALLEST, assert_exact
from tests.lifetime.samples import both
from tests.lifetime.stress import stress_params, stress_rows
from touchpoint_lib.lifetime import _quadrature
from touchpoint_lib.lifetime._rows import Rows
from touchpoint_lib.lifetime._stages import Stages, log_rising


def model_of(model_type: type, k: int) -> Any:
    return model_type.from_params([1, 1, 1, 1], unit="W", regularity=k)


def stress(n: int, seed: int) -> tuple[Rows, list[Any]]:
    return stress_rows(n, seed), list(stress_params(n, 4, seed + 1))


def pick(rows: Rows, params: list[Any], at: Any) -> tuple[Rows, list[Any]]:
    return rows.part(at), [value[at] for value in params]


#: Rows by k and horizon: a quadrature a row costs the more the larger k is.
ROWS = {
    1: {0.01: 20_000, 39.0: 20_000, 10_000.0: 20_000},
    3: {0.01: 20_000, 39.0: 20_000, 10_000.0: 20_000},
    12: {0.01: 400, 39.0: 600, 10_000.0: 200},
}
#: The same of discounted purchases, with and without an end.
DISCOUNTED_ROWS = {1: (20_000, 20_000), 3: (20_000, 20_000), 12: (60, 50)}


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3, 12])
@both
def test_nothing_breaks_under_stress(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows, params = stress(20_000 if k < 12 else 4_000, seed=1)
    now = model._alive(params, rows, 0.0)
    assert ((now >= 0) & (now <= 1)).all()
    for horizon, n in ROWS[k].items():
        some, own = pick(rows, params, slice(n))
        buys, none, three = (
            model._buys(params, rows, horizon),
            model._buys_n(params, rows, 0, horizon),
            model._buys_n(params, rows, 3, horizon),
        )
        for values in (buys, none, three):
            assert ((values >= 0) & (values <= 1)).all()
        np.testing.assert_allclose(buys + none, 1, rtol=1e-10)
        assert (three <= buys * (1 + 1e-9)).all()
        later = model._alive(own, some, horizon)
        assert ((later >= 0) & (later <= now[:n] * (1 + 1e-12))).all()
        hazard = model._hazard(params, rows, horizon)
        assert (np.isfinite(hazard) & (hazard >= 0)).all()
        purchases = model._purchases(own, some, horizon)
        assert np.isfinite(purchases).all()
        assert (purchases >= buys[:n] * (1 - 1e-9)).all()
    for values in model._row_derivatives(params, rows):
        assert np.isfinite(values).all()
    for quantile in (1e-6, 0.3, 0.999):
        assert (model._next_purchase(params, rows, quantile) >= 0).all()
        assert (model._dormancy(params, rows, quantile) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3, 12])
@both
def test_discounted_purchases_under_stress(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    n, n_endless = DISCOUNTED_ROWS[k]
    rows, params = stress(n, seed=21)
    values = model._discounted(params, rows, 0.0018, 39.0)
    purchases = model._purchases(params, rows, 39.0)
    assert (values >= np.exp(-0.0018 * 39) * purchases * (1 - 1e-9)).all()
    assert (values <= purchases * (1 + 1e-9)).all()
    some, own = pick(rows, params, slice(n_endless))
    endless = model._discounted(own, some, 0.0018, None)
    assert np.isfinite(endless).all()
    assert (endless >= values[:n_endless] * (1 - 1e-9)).all()


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3])
@both
def test_closed_forms_under_stress_equal_mpmath(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows, params = stress(200, seed=3)
    horizon = mp.mpf(39)
    ours = {
        "log_likelihood": model._row_derivatives(params, rows)[0],
        "alive": model._alive(params, rows, 0.0),
        "buys": model._buys(params, rows, 39.0),
        "none": model._buys_n(params, rows, 0, 39.0),
        "hazard": model._hazard(params, rows, 39.0),
    }
    with mp.workdps(50):
        for i in range(200):
            row = (rows.frequency[i], rows.recency[i], rows.T[i])
            own = [value[i] for value in params]
            exact = Customer(k, model._chance_at_first, own, *row)
            later = Customer(k, model._chance_at_first, own, *row[:2], row[2] + 39.0)
            log_likelihood = exact.log_likelihood()
            assert ours["log_likelihood"][i] == pytest.approx(
                float(log_likelihood), abs=1e-9 * max(1.0, float(abs(log_likelihood)))
            )
            rest = exact.age / (exact.age + horizon)
            misses = mp.fsum(
                w * mp.betainc(exact.c + j, k - j, 0, rest, regularized=True)
                for j, w in enumerate(exact.weights)
            )
            buys = mp.fsum(
                w * mp.betainc(k - j, exact.c + j, 0, 1 - rest, regularized=True)
                for j, w in enumerate(exact.weights)
            )
            gone = exact.odds * exact.alive
            for name, value in (
                ("alive", exact.alive),
                ("buys", exact.alive * buys),
                ("none", gone + exact.alive * misses),
                ("hazard", later.alive * later.weights[-1] * (later.c + k - 1) / later.age),
            ):
                assert_exact(f"{name} {i}", ours[name][i], value)


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [0.01, 39.0, 5000.0])
@both
def test_expectations_under_stress_equal_the_hypergeometric_form(
    model_type: type, horizon: float
) -> None:
    model = model_of(model_type, 1)
    rows, params = stress(200, seed=5)
    purchases = model._purchases(params, rows, horizon)
    later = model._alive(params, rows, horizon)
    with mp.workdps(80):
        for i in range(200):
            own = [value[i] for value in params]
            row = (rows.frequency[i], rows.recency[i], rows.T[i])
            exact = Customer(1, model._chance_at_first, own, *row)
            if exact.alive < SMALLEST:
                continue
            z, both_ = horizon / (exact.age + horizon), exact.a + exact.beta
            quiet = (1 - z) ** exact.c
            series = quiet * mp.hyp2f1(exact.c, exact.beta, both_ - 1, z)
            expected = exact.alive * (both_ - 1) / (exact.a - 1) * (1 - series)
            assert_exact("purchases", purchases[i], expected)
            stays = exact.alive * quiet * mp.hyp2f1(exact.c, exact.beta, both_, z)
            assert_exact("later", later[i], stays)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 3, 12])
@both
def test_expectations_under_stress_equal_the_sum_over_stages(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows, params = stress(400, seed=7)
    horizon = 39.0
    z = horizon / (params[1] + rows.T + horizon)
    c = params[0] + k * rows.frequency
    # Rows whose sum is of some thousand terms.
    short = (c * z / (1 - z) < 1000) & (z < 0.97)
    at = np.flatnonzero(short & (model._alive(params, rows, 0.0) > 1e-290))[:40]
    assert len(at) == 40
    rows, params = pick(rows, params, at)
    ours = {
        "_purchases": model._purchases(params, rows, horizon),
        "_alive": model._alive(params, rows, horizon),
        "none": model._buys_n(params, rows, 0, horizon),
        "some": model._buys(params, rows, horizon),
    }
    with mp.workdps(60):
        for i in range(len(at)):
            own = [value[i] for value in params]
            row = (rows.frequency[i], rows.recency[i], rows.T[i])
            exact = Customer(k, model._chance_at_first, own, *row)
            for name, value in exact.sums(mp.mpf(horizon)).items():
                # The sum is cut where less than 1e-45 is left.
                if value > mp.mpf(10) ** -30:
                    assert ours[name][i] == pytest.approx(float(value), rel=1e-9), (name, i)


@pytest.mark.parametrize("k", [1, 2, 3, 12])
def test_shared_rules_and_rules_a_row_agree(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tp.ModifiedBetaGeoModel, k)
    rows, params = stress(100, seed=9)
    few = pick(rows, params, np.arange(100 if k < 12 else 30))
    values = []
    for patterns in (0, 1000):
        monkeypatch.setattr(_quadrature, "_PATTERNS", patterns)
        values.append(
            (
                model._purchases(params, rows, 39.0),
                model._alive(params, rows, 39.0),
                model._discounted(*reversed(few), 0.0018, 39.0),
            )
        )
    for own, shared in zip(*values, strict=True):
        large = own > 1e-290
        assert large.mean() > 0.5
        assert (own != shared).any()  # that the two rules were in use
        np.testing.assert_allclose(shared[large], own[large], rtol=1e-9)
        assert (shared[~large] <= 1.1e-290).all()


@pytest.mark.parametrize("k", [1, 2, 5])
@both
def test_one_parameter_set_for_all_or_one_for_each(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows = Rows(
        np.array([0.0, 0, 1, 5, 40, 5]),
        np.array([0.0, 0, 3, 20, 38, 20]),
        np.array([0.0, 30, 30, 38, 38, 38]),
        np.ones(6),
    )
    params = [0.6, 3.0, 0.8, 2.4]
    arrays = [np.full(6, value) for value in params]
    for name, args in (
        ("_alive", (0.0,)),
        ("_alive", (20.0,)),
        ("_purchases", (39.0,)),
        ("_discounted", (0.002, 39.0)),
        ("_discounted", (0.002, None)),
        ("_buys", (39.0,)),
        ("_buys_n", (0, 39.0)),
        ("_buys_n", (2, 39.0)),
        ("_next_purchase", (0.2,)),
        ("_next_purchase", (0.999999,)),
        ("_dormancy", (0.4,)),
        ("_dormancy", (np.linspace(0.1, 1, 6),)),
        ("_hazard", (3.0,)),
    ):
        kernel = getattr(model, name)
        whole = kernel(params, rows, *args)
        np.testing.assert_allclose(kernel(arrays, rows, *args), whole, rtol=1e-10)
        mixed = [params[0], arrays[1], params[2], params[3]]
        np.testing.assert_allclose(kernel(mixed, rows, *args), whole, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3, 12])
@pytest.mark.parametrize("horizon", [39.0, None])
def test_discounted_purchases_are_the_integral_over_time(k: int, horizon: float | None) -> None:
    """By parts: exp(-rate H) E(H) + rate times the integral of exp(-rate t) E(t)."""
    model = model_of(tp.ModifiedBetaGeoModel, k)
    rows, params = stress(500, seed=11)
    pace = (params[0] + k * rows.frequency) / (params[1] + rows.T)
    living = (pace > 1e-3) & (pace < 30) & (model._alive(params, rows, 0.0) > 1e-6)
    rows, params = pick(rows, params, np.flatnonzero(living)[:8])
    rate = 0.02
    end = 45 / rate if horizon is None else horizon
    nodes, weights = leggauss(12)
    # Finer towards 0, where the purchases of regular buyers come in steps.
    marks = np.concatenate([[0], end * 2.0 ** np.arange(-16, 0.5, 0.5)])
    total = np.exp(-rate * end) * model._purchases(params, rows, end)
    for low, high in pairwise(marks):
        for node, weight in zip(nodes, weights, strict=True):
            t = (low + high + (high - low) * node) / 2
            flow = np.exp(-rate * t) * model._purchases(params, rows, float(t))
            total += rate * (high - low) / 2 * weight * flow
    ours = model._discounted(params, rows, rate, horizon)
    np.testing.assert_allclose(ours, total, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 12])
@both
def test_hazard_integrates_to_the_probability_of_purchase(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows = Rows(
        np.array([0.0, 0, 2, 9]),
        np.array([0.0, 0, 9, 30]),
        np.array([0.0, 12, 20, 31]),
        np.ones(4),
    )
    params = [1.4, 1.1, 0.7, 2.2]
    nodes, weights = leggauss(60)
    total = np.zeros(4)
    for low, high in ((0.0, 2.0), (2.0, 8.0), (8.0, 25.0)):
        for node, weight in zip(nodes, weights, strict=True):
            ahead = float((low + high + (high - low) * node) / 2)
            total += weight * (high - low) / 2 * model._hazard(params, rows, ahead)
    np.testing.assert_allclose(-np.expm1(-total), model._buys(params, rows, 25.0), rtol=1e-9)
    if k > 1:
        # Just after a purchase nobody of regular habits buys.
        assert model._hazard(params, rows, 0.0)[0] == 0
        assert model._hazard(params, rows, 3.0)[0] > 0


@pytest.mark.parametrize("k", [1, 2, 3, 12])
@both
def test_quantile_and_gap_invert_the_probabilities(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows, params = stress(2000, seed=13)
    for level in (1e-9, 0.05, 0.7):
        wait = model._next_purchase(params, rows, level)
        there = wait < 1e12
        assert there.any()
        some, own = pick(rows, params, np.flatnonzero(there))
        bought = np.array(
            [
                model._buys([v[[i]] for v in own], pick(some, own, [i])[0], wait[there][i])[0]
                for i in range(0, len(some.T), 40)
            ]
        )
        np.testing.assert_allclose(bought, level, rtol=1e-11)
        gap = model._dormancy(params, rows, level)
        inner = (gap > 0) & (gap < 1e12) & (gap > 1e-6 * (params[1] + rows.recency))
        assert inner.any()
        some, own = pick(rows, params, np.flatnonzero(inner))
        later = Rows(some.frequency, some.recency, some.recency + gap[inner], some.count)
        np.testing.assert_allclose(model._alive(own, later, 0.0), level, rtol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 3])
@both
def test_row_derivatives_equal_finite_differences(model_type: type, k: int) -> None:
    model = model_of(model_type, k)
    rows = Rows(
        np.array([0.0, 0, 1, 4, 60]),
        np.array([0.0, 0, 5, 22, 50]),
        np.array([0.0, 30, 30, 22, 52]),
        np.ones(5),
    )
    theta = np.log(
        [[0.7, 0.4, 2.0, 1.1, 5.0], [3, 2, 9, 4, 6], [1, 0.5, 0.9, 3, 2], [2, 1, 5, 2, 4]]
    )
    _, gradient, hessian = model._row_derivatives(list(np.exp(theta)), rows)
    for i in range(4):
        step = np.zeros((4, 1))
        step[i] = 1e-5
        up = model._row_derivatives(list(np.exp(theta + step)), rows)
        down = model._row_derivatives(list(np.exp(theta - step)), rows)
        np.testing.assert_allclose(gradient[i], (up[0] - down[0]) / 2e-5, atol=2e-7)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / 2e-5, atol=2e-6)
    np.testing.assert_allclose(hessian, hessian.transpose(1, 0, 2), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_at_a_rate_of_zero_nothing_is_discounted(k: int) -> None:
    model = model_of(tp.ModifiedBetaGeoModel, k)
    rows, params = stress(200, seed=15)
    np.testing.assert_allclose(
        model._discounted(params, rows, 0.0, 39.0),
        model._purchases(params, rows, 39.0),
        rtol=1e-9,
    )
    assert (model._discounted(params, rows, 0.0, 0.0) == 0).all()
    assert (model._purchases(params, rows, 0.0) == 0).all()


def test_weights_of_the_stages_do_not_overflow() -> None:
    stages = Stages(400, np.array([1e5, 2.0]), np.array([0.999, 0.5]))
    np.testing.assert_allclose(stages.weights.sum(axis=0), 1)
    # The negative binomial series sums to (1 - q)^-c where k is beyond its terms.
    assert stages.log_polynomial()[1] == pytest.approx(2 * np.log(2), rel=1e-12)


def test_rising_factorials() -> None:
    for c, n in ((0.001, 3), (19.9, 400), (20.1, 2), (1e5, 1), (3e6, 1000)):
        with mp.workdps(40):
            exact = mp.loggamma(mp.mpf(c) + n) - mp.loggamma(mp.mpf(c))
        assert float(log_rising(np.array([c]), n)[0]) == pytest.approx(float(exact), rel=1e-13)
