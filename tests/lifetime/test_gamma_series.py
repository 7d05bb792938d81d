from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchpoint_lib.lifetime._gamma_series import HEAD, log_ratio, series

#: Positive numbers over seven orders of magnitude.
numbers = st.floats(-3, 4).map(lambda power: 10.0**power)


def exact(pairs: list[tuple[float, float]], terms: int, rate: float) -> tuple[mp.mpf, mp.mpf]:
    """The definition, term by term."""
    total, term, step = mp.mpf(0), mp.mpf(1), mp.exp(-mp.mpf(rate))
    for j in range(terms):
        total += term
        term *= step
        for upper, gap in pairs:
            term *= (mp.mpf(upper) + j) / (mp.mpf(upper) + mp.mpf(gap) + j)
    return total, term


def columns(pairs: list[tuple[float, float]]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array([upper]), np.array([gap])) for upper, gap in pairs]


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=2),
    terms=st.integers(0, 150) | st.integers(0, 1500),
    rate=st.sampled_from([0.0, 1e-4, 0.02, 1.5]),
)
def test_sum_and_next_term_are_exact(
    pairs: list[tuple[float, float]], terms: int, rate: float
) -> None:
    with mp.workdps(50):
        total, term = exact(pairs, terms, rate)
        ours, last = series(columns(pairs), terms, rate)
        assert ours[0] == pytest.approx(float(total), rel=1e-12, abs=0)
        if term > mp.mpf("1e-290"):
            assert last[0] == pytest.approx(float(term), rel=1e-10, abs=0)
        if rate == 0:
            logs = sum(log_ratio(*pair, terms)[0] for pair in columns(pairs))
            assert logs == pytest.approx(float(mp.log(term)), rel=1e-13, abs=1e-11)


@pytest.mark.parametrize("rate", [1e-9, 1e-5, 0.003, 0.8, 2.5])
@pytest.mark.parametrize(
    ("upper", "gap"), [(0.01, 0.002), (3.0, 1.0), (40.0, 0.7), (9000.0, 900.0), (1.0, 300.0)]
)
def test_an_endless_discounted_series_is_a_hypergeometric_function(
    upper: float, gap: float, rate: float
) -> None:
    with mp.workdps(50):
        u, step = mp.mpf(upper), mp.exp(-mp.mpf(rate))
        expected = float(mp.hyp2f1(1, u, u + mp.mpf(gap), step))
    total, last = series(columns([(upper, gap)]), np.inf, rate)
    assert total[0] == pytest.approx(expected, rel=1e-12)
    assert last[0] == 0


@pytest.mark.parametrize(
    ("upper", "gap"), [(0.5, 1.001), (3.0, 2.5), (1e-3, 1.2), (5000.0, 40.0), (9000.0, 1.5)]
)
def test_an_endless_series_of_one_pair(upper: float, gap: float) -> None:
    """Gauss: 2F1(1, u; u + gap; 1) = (u + gap - 1) / (gap - 1)."""
    total, _ = series(columns([(upper, gap)]), np.inf)
    assert total[0] == pytest.approx((upper + gap - 1) / (gap - 1), rel=1e-11)


@pytest.mark.parametrize(
    ("first", "second"),
    [((0.5, 1.2), (2.0, 0.6)), ((3.0, 1.01), (8.0, 0.9)), ((6.3, 3.2), (5.1, 4.4))],
)
def test_an_endless_series_of_two_pairs(
    first: tuple[float, float], second: tuple[float, float]
) -> None:
    """The terms of a pair are moments of a beta variable: 2F1 of the other is averaged over it."""
    u, gap = map(mp.mpf, second)
    with mp.workdps(40):
        norm = mp.beta(u, gap)

        def integrand(rest: mp.mpf) -> mp.mpf:
            x = 1 - rest
            density = x ** (u - 1) * rest ** (gap - 1) / norm
            return density * mp.hyp2f1(1, first[0], mp.mpf(first[0]) + first[1], x)

        expected = float(mp.quad(integrand, [0, mp.mpf("1e-6"), 0.01, 0.5, 1]))
    total, _ = series(columns([first, second]), np.inf)
    assert total[0] == pytest.approx(expected, rel=1e-11)


def test_rows_do_not_touch_each_other() -> None:
    generator = np.random.default_rng(3)
    n = 400
    pairs = [(generator.gamma(1, 50, n), generator.gamma(1, 3, n)) for _ in range(2)]
    terms = generator.integers(0, 3 * HEAD, n).astype(float)
    total, last = series(pairs, terms)
    for i in range(0, n, 7):
        alone = series([(u[[i]], gap[[i]]) for u, gap in pairs], terms[i])
        assert alone[0][0] == pytest.approx(total[i], rel=1e-13)
        assert alone[1][0] == pytest.approx(last[i], rel=1e-13)
