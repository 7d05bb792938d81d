"""Knots, scales and terms of indicators."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from touchpoint_lib._checks import FloatArray, InputError
from touchpoint_lib.churn._splines import FOUR_KNOTS, THREE_KNOTS, Design, Indicator, spline_terms

NAN = float("nan")
GENERATOR = np.random.default_rng(11)


@st.composite
def knots(draw: st.DrawFn) -> tuple[float, ...]:
    start = draw(st.floats(-50, 50))
    gaps = draw(st.lists(st.floats(0.1, 20), min_size=2, max_size=5))
    return tuple(np.cumsum([start, *gaps]).tolist())


def textbook(x: FloatArray, t: tuple[float, ...]) -> FloatArray:
    """Harrell (2015), equations 2.25 and 2.26, as printed."""

    def plus(values: FloatArray) -> FloatArray:
        return np.maximum(values, 0) ** 3

    k = len(t)
    terms = [x]
    for j in range(k - 2):
        term = plus(x - t[j]) - plus(x - t[k - 2]) * (t[k - 1] - t[j]) / (t[k - 1] - t[k - 2])
        term += plus(x - t[k - 1]) * (t[k - 2] - t[j]) / (t[k - 1] - t[k - 2])
        terms.append(term / (t[k - 1] - t[0]) ** 2)
    return np.column_stack(terms)


@given(knots(), st.lists(st.floats(-200, 200), min_size=1, max_size=20))
def test_terms_are_those_of_the_textbook(t: tuple[float, ...], values: list[float]) -> None:
    x = np.array(values)
    np.testing.assert_allclose(spline_terms(x, t), textbook(x, t), rtol=1e-6, atol=1e-6)


@given(knots(), st.floats(0, 1))
def test_terms_are_natural_interpolating_splines(t: tuple[float, ...], share: float) -> None:
    """The natural cubic spline through given values at the knots is unique."""
    x = np.array([t[0] + share * (t[-1] - t[0])])
    natural = CubicSpline(t, spline_terms(np.array(t), t), bc_type="natural")
    np.testing.assert_allclose(spline_terms(x, t), natural(x), rtol=1e-8, atol=1e-8)


@given(knots(), st.sampled_from([-1, 1]), st.floats(0.1, 1e5))
def test_terms_are_linear_beyond_the_outer_knots(
    t: tuple[float, ...], side: int, step: float
) -> None:
    edge = t[0] if side < 0 else t[-1]
    below, at, above = spline_terms(edge + side * step * np.array([0.0, 1.0, 2.0]), t)
    scale = np.abs(above).max() + 1
    np.testing.assert_allclose((above - 2 * at + below) / scale, 0, atol=1e-12)


def test_far_beyond_the_knots_nothing_cancels() -> None:
    """The sum of cubes as printed has lost all digits there."""
    t = (0.0, 1.0, 2.0, 3.0)
    slope = [1.0, 3 * 3 * 2 / 9, 3 * 2 * 1 / 9]
    np.testing.assert_allclose(
        spline_terms(np.array([1e9]), t)[0], 1e9 * np.array(slope), rtol=1e-8
    )


def test_without_knots_the_term_is_the_column() -> None:
    np.testing.assert_array_equal(spline_terms(np.array([3.0, -1.0]), ()), [[3.0], [-1.0]])


def test_four_knots_stand_at_harrells_quantiles() -> None:
    x = GENERATOR.permutation(np.arange(1, 1001).astype(float))
    indicator = Indicator.read("x", x)
    assert indicator.knots == tuple(1000 * q for q in FOUR_KNOTS)
    assert (indicator.low, indicator.median, indicator.high) == (250, 500, 750)
    assert indicator.names == ["x", "x'", "x''"]
    assert indicator.scale == "linear"


def test_a_common_value_is_a_knot_and_the_others_follow_the_rest() -> None:
    rest = np.arange(1, 1001) / 100
    indicator = Indicator.read("x", np.append(np.zeros(3000), rest))
    assert indicator.places == pytest.approx((0, *(10 * q for q in THREE_KNOTS)))
    # The quartiles coincide: then the quantiles .05 and .95.
    assert (indicator.low, indicator.high) == (0, 8)


@pytest.mark.parametrize(
    ("values", "n_knots"),
    [
        ([0.0, 1.0], 0),
        ([0.0, 1.0, 2.0], 0),
        ([0.0, 1.0, 2.0, 3.0], 4),
        # 0 in 97 rows of 100, and few others: .1 and .5 and .9 of these.
        ([0.0] * 97 + [1.0, 2.0, 3.0], 4),
        ([0.0] * 97 + [1.0, 1.0, 2.0, 3.0] * 5, 3),
        ([0.0] * 900 + [1.0] * 90 + [2.0] * 5 + [3.0] * 5, 0),
        # Two of the four are one: less than a thousandth of the range apart.
        ([0.0, 1.0, 1.0 + 1e-12, 2.0, 3.0] * 4, 4),
    ],
)
def test_few_distinct_values_have_few_knots(values: list[float], n_knots: int) -> None:
    found = Indicator.read("x", np.array(values)).knots
    assert len(found) == n_knots
    assert all(after - before > 1e-3 * (found[-1] - found[0]) for before, after in pairwise(found))


def test_an_indicator_of_0_and_1_is_moved_from_0_to_1() -> None:
    for share in (0.5, 0.1, 0.01):
        values = np.zeros(1000)
        values[: int(1000 * share)] = 1
        indicator = Indicator.read("x", values)
        assert (indicator.low, indicator.high, indicator.knots) == (0, 1, ())


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_skewed_column_enters_on_a_logarithmic_scale(sign: int) -> None:
    x = sign * np.exp(2 * GENERATOR.normal(size=4001))
    indicator = Indicator.read("x", x)
    assert indicator.unit == np.median(np.abs(x))
    assert indicator.scale == f"ln(1 + x / {indicator.unit:.4g})"
    at = np.sort(x)[(np.ceil(np.array(FOUR_KNOTS) * 4001) - 1).astype(int)]
    np.testing.assert_allclose(indicator.places, at, rtol=1e-12)
    np.testing.assert_allclose(
        indicator.terms(x)[:, 0],
        sign * np.log1p(np.abs(x) / indicator.unit)
        - sign * np.log1p(abs(indicator.median) / indicator.unit),
        rtol=1e-9,
        atol=1e-12,
    )


def test_a_column_that_is_not_skewed_stays_as_it_is() -> None:
    assert Indicator.read("x", GENERATOR.normal(size=1000)).unit is None
    assert Indicator.read("x", GENERATOR.exponential(size=1000) ** 0.9).unit is None
    # Skewed by one rare value to the left, which no logarithm of x > 0 mends.
    assert Indicator.read("x", np.append(np.linspace(100, 101, 500), 90.0)).unit is None


@given(st.sampled_from([1e-6, 0.1, 7.0, 1e6]))
def test_scale_and_knots_do_not_depend_on_the_unit_of_the_column(factor: float) -> None:
    x = np.exp(1.5 * np.random.default_rng(3).normal(size=500))
    one, other = Indicator.read("x", x), Indicator.read("x", factor * x)
    np.testing.assert_allclose(one.terms(x), other.terms(factor * x), rtol=1e-9, atol=1e-12)


def test_missing_values_sit_at_the_median_and_share_a_term_where_they_go_together() -> None:
    a, b, c = GENERATOR.normal(size=(3, 200))
    a[:50] = b[:50] = NAN
    c[150:] = NAN
    values = {"a": a, "c": c, "b": b}
    design = Design.read(values)
    assert design.absent == (("a", "b"), ("c",))
    assert design.names[-2:] == ["missing(a, b)", "missing(c)"]
    matrix = design.matrix(values)
    assert (matrix[:50, design.positions("a")[:-1]] == 0).all()
    np.testing.assert_array_equal(matrix[:, -2], np.isnan(a))
    np.testing.assert_array_equal(matrix[:, -1], np.isnan(c))
    assert design.positions("b").tolist() == [6, 7, 8, 9]
    assert design.owners([9, 4]) == ["a", "c", "b"]
    assert [each.missing for each in design.indicators] == [0.25, 0.25, 0.25]


def test_a_value_missing_alone_is_refused() -> None:
    a, b = GENERATOR.normal(size=(2, 200))
    a[:50] = b[:50] = NAN
    design = Design.read({"a": a, "b": b})
    with pytest.raises(InputError, match="of 'b' and 'a' one alone is missing at row 1 "):
        design.matrix({"a": np.array([NAN, 0.0]), "b": np.array([NAN, NAN])})


@pytest.mark.parametrize("power", [-900, -300, 300, 900])
def test_terms_of_any_size_are_those_of_the_textbook_in_its_unit(power: int) -> None:
    """The cubes of such numbers are 0 or infinite."""
    x, t = GENERATOR.normal(size=50), (-1.0, -0.3, 0.5, 1.2)
    unit = 2.0**power
    found = spline_terms(unit * x, tuple(unit * knot for knot in t))
    np.testing.assert_allclose(found / unit, textbook(x, t), rtol=1e-9, atol=1e-12)


def test_a_logarithm_goes_on_where_its_ratio_overflows() -> None:
    x = np.exp(2 * GENERATOR.normal(size=500)) * 1e-90
    indicator = Indicator.read("x", x)
    assert indicator.unit is not None
    found = indicator.terms(np.array([1e200, 1e300]))[:, 0]
    assert np.diff(found)[0] == pytest.approx(100 * np.log(10), rel=1e-9)
