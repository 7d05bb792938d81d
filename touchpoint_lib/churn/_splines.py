"""Restricted cubic splines of indicators: where the knots stand, and what each column becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_number, fail

#: Harrell (2015), table 2.3: the quantiles at which four knots, and three, stand.
FOUR_KNOTS = (0.05, 0.35, 0.65, 0.95)
THREE_KNOTS = (0.10, 0.50, 0.90)
#: Columns with no more distinct values enter as a straight line.
_FEW = 3
#: Knots nearer to each other than this share of their range are one.
_APART = 1e-3
#: Skewness (of either sign) beyond which a column enters on a logarithmic scale.
_SKEWED = 2.0
#: The size that the largest value of a column may have: its square, and one over it, are numbers.
_SIZES = (1e-100, 1e100)
#: The least part of the largest value that the unit of a logarithmic scale may be, and the least
#: part of the largest value on its scale that the range of the knots may be.
_LEAST_UNIT, _LEAST_SPREAD = 1e-200, 1e-40
#: Spreads from the median from which on a value counts as that far: odds are certain long before.
_FAR = 1e50
#: Between which quantiles an indicator is moved for its odds ratio: the first two that differ.
_MOVES = ((0.25, 0.75), (0.05, 0.95), (0.0, 1.0))


@dataclass(frozen=True)
class Indicator:
    """How one column enters: its scale, its knots, and the values that describe it.

    ``unit`` is None, or the s of the scale sign(x) ln(1 + abs(x) / s). ``knots`` are on that
    scale; without knots the column is a straight line. ``missing`` is the share of rows without
    a value. All quantiles are values that occur.
    """

    name: str
    unit: float | None
    knots: tuple[float, ...]
    median: float
    low: float
    high: float
    missing: float

    @classmethod
    def read(cls, name: str, values: FloatArray) -> Self:
        """Choose scale and knots from the column alone; the outcome is never looked at."""
        observed = values[~np.isnan(values)]
        largest = float(np.abs(observed).max())
        if not _SIZES[0] <= largest <= _SIZES[1]:
            raise fail(
                f"the largest value of {name!r} is {largest:g} in size",
                f"express it in a unit that brings it between {_SIZES[0]:g} and {_SIZES[1]:g}",
            )
        straight = len(np.unique(observed)) <= _FEW
        unit = None if straight else _log_unit(observed)
        knots = () if straight else _place_knots(_scaled(observed, unit))
        moves = [_quantiles(observed, pair) for pair in _MOVES]
        low, high = next(pair for pair in moves if pair[0] < pair[1])
        (median,) = _quantiles(observed, (0.5,))
        missing = 1 - len(observed) / len(values)
        made = cls(name, unit, knots, float(median), float(low), float(high), missing)
        on_scale = float(np.abs(_scaled(observed, unit)).max())
        fine = unit is not None and unit < _LEAST_UNIT * largest
        if fine or made.spread < _LEAST_SPREAD * on_scale:
            raise fail(
                f"the values of {name!r} differ too much in size: most are next to nothing beside "
                f"{largest:g}",
                "pass its logarithm, or leave it out",
            )
        return made

    @property
    def spread(self) -> float:
        """The range of the knots, without knots that from low to high, on the scale."""
        ends = np.array([self.low, self.high])
        first, *_, last = self.knots or _scaled(ends, self.unit).tolist()
        return float(last - first)

    @property
    def names(self) -> list[str]:
        """Names of the coefficients, as R's rms has them: silence, silence', silence''."""
        return [self.name + "'" * j for j in range(max(1, len(self.knots) - 1))]

    @property
    def scale(self) -> str:
        """The scale in words."""
        return "linear" if self.unit is None else f"ln(1 + x / {self.unit:.4g})"

    @property
    def places(self) -> tuple[float, ...]:
        """The knots in the unit of the column."""
        knots = np.array(self.knots)
        if self.unit is not None:
            knots = np.sign(knots) * self.unit * np.expm1(np.abs(knots))
        return tuple(knots.tolist())

    def terms(self, values: FloatArray) -> FloatArray:
        """Return the terms at ``values`` less those at the median, shape (n, terms)."""
        scaled = _scaled(np.append(values, self.median), self.unit)
        reach = _FAR * self.spread
        both = spline_terms(np.clip(scaled, scaled[-1] - reach, scaled[-1] + reach), self.knots)
        return both[:-1] - both[-1]


@dataclass(frozen=True)
class Design:
    """The terms of a model: those of each indicator, and those of missing values.

    An indicator x of more than three distinct values has Harrell's terms x, x', x'': linear
    beyond the outer of four knots, which stand at its quantiles .05, .35, .65 and .95. Where these
    coincide, because one value is that common, the knots are this value and the quantiles .1, .5
    and .9 of the others. A column whose skewness exceeds 2 in size enters as
    sign(x) ln(1 + abs(x) / s), s the median of its absolute values other than 0, if that is less
    skewed. These choices look at the column, never at the outcome.

    A value more than 1e50 times the range of the knots away from the median counts as that far.

    A missing value (NaN) has the median put in its place, where the terms are 0, and a coefficient
    of its own, ``missing(x)``; indicators that are missing in the same rows share it. This is the
    one place where a NaN is replaced.
    """

    indicators: tuple[Indicator, ...]
    #: The indicators that may be missing, those that share a coefficient together.
    absent: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, values: Mapping[str, FloatArray]) -> Self:
        """Return the design of columns by name, each with two different values at least."""
        patterns: dict[bytes, list[str]] = {}
        for name, column in values.items():
            missing = np.isnan(column)
            if missing.any():
                patterns.setdefault(missing.tobytes(), []).append(name)
        indicators = tuple(Indicator.read(name, column) for name, column in values.items())
        return cls(indicators, tuple(tuple(group) for group in patterns.values()))

    @classmethod
    def restored(cls, indicators: Any, absent: Any) -> Self:
        """Return the design that a file describes; raise where it cannot be one."""
        read = tuple(_restored(saved) for saved in indicators)
        design = cls(read, tuple(tuple(group) for group in absent))
        gone = [name for group in design.absent for name in group]
        if not read or len(set(design.columns)) < len(read):
            raise ValueError("the indicators are none, or repeat a name")
        if sorted(gone) != sorted(each.name for each in read if each.missing > 0):
            raise ValueError("absent does not list the indicators that were missing")
        return design

    @property
    def columns(self) -> list[str]:
        """Names of the indicators."""
        return [each.name for each in self.indicators]

    @property
    def names(self) -> list[str]:
        """Names of the terms, in the order of the columns of `matrix`."""
        own = [name for each in self.indicators for name in each.names]
        return own + [f"missing({', '.join(group)})" for group in self.absent]

    @property
    def _owners(self) -> list[tuple[str, ...]]:
        """The indicators that each term belongs to."""
        return [(each.name,) for each in self.indicators for _ in each.names] + list(self.absent)

    def positions(self, column: str) -> npt.NDArray[np.intp]:
        """Return where the terms of an indicator are: its own, then that of missing."""
        return np.flatnonzero([column in owners for owners in self._owners])

    def owners(self, positions: Sequence[int]) -> list[str]:
        """Return the indicators that have terms at ``positions``, in the order of the columns."""
        owners = self._owners
        found = {name for at in positions for name in owners[at]}
        return [name for name in self.columns if name in found]

    def matrix(
        self, values: Mapping[str, FloatArray], index: pd.Index[Any] | None = None
    ) -> FloatArray:
        """Return the terms of columns by name, shape (n, terms).

        Raises
        ------
        InputError
            If a column is NaN that never was in the fit, or without the others that were NaN in
            the same rows.
        """
        missing = {name: np.isnan(values[name]) for name in self.columns}
        group_of = {name: group for group in self.absent for name in group}
        parts = []
        for each in self.indicators:
            first = group_of.get(each.name, (each.name,))[0]
            alone = missing[each.name] != missing[first]
            never = missing[each.name] & (each.name not in group_of)
            if alone.any() or never.any():
                what, seen = f"{each.name!r} is missing", "never missing"
                if alone.any():
                    what = f"of {each.name!r} and {first!r} one alone is missing"
                    seen = "missing together only"
                at = int(np.flatnonzero(alone | never)[0])
                where = f"row {at}" if index is None else f"index {index[at]!r}"
                raise fail(
                    f"{what} at {where} ({int((alone | never).sum())} such rows)",
                    f"the fit has seen it {seen}: correct it, or fit on such rows too",
                )
            filled = np.where(missing[each.name], each.median, values[each.name])
            parts.append(each.terms(filled))
        parts += [missing[group[0]][:, None].astype(np.float64) for group in self.absent]
        return np.hstack(parts)


def spline_terms(x: FloatArray, knots: Sequence[float]) -> FloatArray:
    """Return Harrell's terms of a restricted cubic spline, shape (n, max(1, knots - 1)).

    The first is x itself; the others are cubic between the knots, 0 below the first, linear
    beyond the last, and divided by the squared range of the knots, so that all have the unit of x.

    References
    ----------
    Harrell (2015), Regression Modeling Strategies, 2nd ed., equations 2.24 to 2.26. Beyond the
    last knot the straight line itself is evaluated: there the cubes cancel.

    Examples
    --------
    >>> import numpy as np
    >>> spline_terms(np.array([0.0, 1.0, 2.0, 4.0]), (0.0, 1.0, 2.0))
    array([[0.  , 0.  ],
           [1.  , 0.25],
           [2.  , 1.5 ],
           [4.  , 4.5 ]])
    """
    terms = [x]
    if knots:
        # Cubes of very large or small numbers are none; a power of two loses no digit.
        unit = 2.0 ** math.frexp(knots[-1] - knots[0])[1]
        x, knots = x / unit, [knot / unit for knot in knots]
        last, before = knots[-1], knots[-2]
        size = (last - knots[0]) ** 2 / unit
        inside, beyond = np.minimum(x, last), np.maximum(x - last, 0.0)
        shared = np.maximum(inside - before, 0.0) ** 3
        for knot in knots[:-2]:
            cubic = np.maximum(inside - knot, 0.0) ** 3
            cubic -= shared * ((last - knot) / (last - before))
            cubic += beyond * (3 * (last - knot) * (before - knot))
            terms.append(cubic / size)
    return np.column_stack(terms)


def _quantiles(values: FloatArray, at: Sequence[float]) -> FloatArray:
    """Return quantiles that occur among the values."""
    return np.quantile(values, at, method="inverted_cdf")


def _scaled(values: FloatArray, unit: float | None) -> FloatArray:
    if unit is None:
        return values
    with np.errstate(over="ignore"):
        ratio = np.abs(values) / unit
    result = np.log1p(ratio)
    over = np.isinf(ratio)
    result[over] = np.log(np.abs(values[over])) - math.log(unit)
    return np.sign(values) * result


def _log_unit(observed: FloatArray) -> float | None:
    """Return the s of the logarithmic scale; None where the column stays as it is."""
    unit = float(np.median(np.abs(observed[observed != 0])))
    skewness = abs(_skewness(observed))
    if skewness > _SKEWED and abs(_skewness(_scaled(observed, unit))) < skewness:
        return unit
    return None


def _skewness(values: FloatArray) -> float:
    away = values - values.mean()
    away /= np.abs(away).max()
    return float((away**3).mean() / (away**2).mean() ** 1.5)


def _place_knots(scaled: FloatArray) -> tuple[float, ...]:
    """Return three or four knots that are apart; none where the values are too few for it."""
    knots = _apart(_quantiles(scaled, FOUR_KNOTS))
    if len(knots) < len(FOUR_KNOTS):
        values, counts = np.unique(scaled, return_counts=True)
        common = values[counts.argmax()]
        others = _quantiles(scaled[scaled != common], THREE_KNOTS)
        knots = _apart(np.sort(np.append(others, common)))
    return tuple(knots) if len(knots) > 2 else ()


def _apart(knots: FloatArray) -> list[float]:
    gap = _APART * (knots[-1] - knots[0])
    kept = [float(knots[0])]
    kept += [float(knot) for before, knot in pairwise(knots) if knot - before > gap]
    return kept


def _restored(saved: Any) -> Indicator:
    name, unit = saved["name"], saved["unit"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"an indicator is named {name!r}")
    knots = [check_number(f"a knot of {name!r}", knot) for knot in saved["knots"]]
    if len(knots) not in (0, 3, 4) or any(b <= a for a, b in pairwise(knots)):
        raise ValueError(f"the knots of {name!r} are {knots}")
    median, low, high = (
        check_number(f"{key} of {name!r}", saved[key]) for key in ("median", "low", "high")
    )
    if low >= high:
        raise ValueError(f"low of {name!r} is not below high")
    bounds = {"ge": _LEAST_UNIT * _SIZES[0], "le": _SIZES[1]}
    made = Indicator(
        name,
        None if unit is None else check_number(f"unit of {name!r}", unit, **bounds),
        tuple(knots),
        median,
        low,
        high,
        check_number(f"missing of {name!r}", saved["missing"], ge=0, lt=1),
    )
    # Rounding may take a knot past the largest value.
    ends = np.full(1, 2 * _SIZES[1])
    if (
        max(map(abs, (median, low, high))) > ends[0]
        or max(map(abs, knots), default=0.0) > _scaled(ends, made.unit)[0]
        or made.spread < _LEAST_SPREAD * _SIZES[0]
    ):
        raise ValueError(f"the values of {name!r} are beyond what a fit takes")
    return made
