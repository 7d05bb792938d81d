from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from touchpoint_lib.lifetime._newton import minimise

Array = NDArray[np.float64]


def quartic(theta: Array) -> tuple[float, Array, Array]:
    """A convex valley whose minimum is at (1, 2)."""
    u, v = theta - np.array([1.0, 2.0])
    gradient = np.array([4 * u**3 + 2 * u, 20 * v])
    return u**4 + u**2 + 10 * v**2, gradient, np.diag([12 * u**2 + 2, 20.0])


def saddle(theta: Array) -> tuple[float, Array, Array]:
    """Concave at the start, with minima at (+-1, 0)."""
    u, v = theta
    value = (u**2 - 1) ** 2 + v**2
    gradient = np.array([4 * u * (u**2 - 1), 2 * v])
    return value, gradient, np.diag([12 * u**2 - 4, 2.0])


def slope(theta: Array) -> tuple[float, Array, Array]:
    """Falls for ever: no minimum."""
    return float(np.exp(-theta[0])), -np.exp(-theta), np.exp(-theta)[:, None]


def test_finds_the_minimum_of_a_valley() -> None:
    found = minimise(quartic, np.array([6.0, -5.0]))
    np.testing.assert_allclose(found.theta, [1, 2], atol=1e-8)
    assert found.flat
    assert found.curved


def test_walks_off_a_saddle() -> None:
    found = minimise(saddle, np.array([0.1, 3.0]))
    np.testing.assert_allclose(found.theta, [1, 0], atol=1e-8)
    assert found.curved


def test_a_slope_without_end_is_not_a_minimum() -> None:
    found = minimise(slope, np.array([0.0]))
    assert found.theta[0] > 12
    assert not (found.flat and found.curved and found.theta[0] < 12)


def test_it_stops_at_the_goal() -> None:
    start = np.array([6.0, -5.0])
    rough, exact = minimise(quartic, start, 1e-2), minimise(quartic, start)
    assert 1e-7 < np.abs(rough.gradient).max() <= 1e-2
    assert not rough.flat
    assert rough.steps < exact.steps
