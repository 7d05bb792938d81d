"""Error rate and omission rate of a prediction, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    check_choice,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.metrics._shared import (
    Record,
    check_aligned,
    check_precision,
    check_threshold,
    flags,
    index_of,
    ratio,
    shortfall,
    too_small,
    truth_and_score,
    wilson_cases,
    wilson_interval,
)

#: Resamples behind a bootstrap interval.
_RESAMPLES = 2000
#: From so many groups of like rows on, drawing rows is faster than drawing groups.
_MANY_GROUPS = 1000
#: With fewer cases resamples of them vary too little.
_FEW = 30


@dataclass(frozen=True)
class PredictionRates(Record):
    """Counts (or weights) and the two rates of one prediction, with their intervals."""

    n: float
    n_flagged: float
    n_actual: float
    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float
    error_rate: float
    omission_rate: float
    error_rate_low: float
    error_rate_high: float
    omission_rate_low: float
    omission_rate_high: float


def error_rate(actual: Any, predicted: Any) -> float:
    """Return the wrongly flagged as a share of the flagged, 1 - precision.

    Parameters
    ----------
    actual, predicted : array of bool or 0/1, shape (n,)
        What happened, and what was flagged.

    Returns
    -------
    float
        In [0, 1]; NaN where nothing is flagged.

    Raises
    ------
    InputError
        If the lengths or indexes differ, or a value is neither 0 nor 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.error_rate(actual=[1, 0, 1, 1], predicted=[1, 1, 0, 0])
    0.5
    """
    truth, flagged = flags("actual", actual), flags("predicted", predicted)
    check_aligned(("actual", actual), ("predicted", predicted))
    return ratio(float((flagged & ~truth).sum()), float(flagged.sum()))


def omission_rate(actual: Any, predicted: Any) -> float:
    """Return the missed as a share of all that were there to find, 1 - recall.

    Parameters and errors are those of `error_rate`; NaN where there was nothing to find.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> round(tp.omission_rate(actual=[1, 0, 1, 1], predicted=[1, 1, 0, 0]), 3)
    0.667
    """
    truth, flagged = flags("actual", actual), flags("predicted", predicted)
    check_aligned(("actual", actual), ("predicted", predicted))
    return ratio(float((truth & ~flagged).sum()), float(truth.sum()))


def prediction_rates(
    actual: Any,
    score: Any,
    threshold: float,
    level: float = 0.95,
    weights: Any = None,
    *,
    method: str | None = None,
    seed: int = 0,
    precision: float | None = None,
) -> PredictionRates:
    """Return counts, error rate and omission rate of flagging every score >= ``threshold``.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened.
    score : array of float, shape (n,)
        Higher means more likely; it need not be a probability.
    threshold : float
        Flag at and above it.
    level : float
        Of the intervals, in (0, 1).
    weights : array of float, optional, shape (n,)
        How many cases each row stands for; counts are then sums of weights.
    method : {"wilson", "bootstrap"}, optional
        Interval: Wilson's score interval, or percentiles over resampled rows. Wilson without
        weights and the bootstrap with them, unless said otherwise. The bootstrap has no width
        at a rate of 0 or 1: it cannot draw what did not happen.
    seed : int
        Of the bootstrap.
    precision : float, optional
        In [1e-6, 0.5): the half width that both intervals must have at most. Of a bootstrap at a
        rate of 0 or 1, or on fewer than 30 cases, Wilson's half width is held to it as well. With
        weights the cases are Kish's effective number, (sum w)^2 / sum w^2.

    Returns
    -------
    PredictionRates
        n, n_flagged, n_actual, the four cells, both rates and their bounds. A rate and its
        bounds are NaN where its denominator is empty.

    Raises
    ------
    InputError
        If lengths or indexes differ, a value is missing, or Wilson is asked for with weights.
    HoldoutTooSmallError
        If the half width of an interval exceeds ``precision``, or a rate has no case. The message
        says how many cases would do if the rate stays as it is: by Wilson's formula, or in
        proportion to the squared half width where the interval is a bootstrap's.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    Kish (1992), "Weighting for unequal P_i", Journal of Official Statistics 8 (effective number).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> rates = tp.prediction_rates([1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.2, 0.1], threshold=0.5)
    >>> rates.n_flagged, round(rates.error_rate, 3), round(rates.omission_rate, 3)
    (3, 0.333, 0.333)
    """
    truth, values = truth_and_score(actual, score)
    cut = check_threshold(threshold)
    check_number("level", level, gt=0, lt=1)
    wanted = None if precision is None else check_precision(precision)
    if method is not None:
        check_choice("method", method, ("wilson", "bootstrap"))
    if weights is None:
        weight = np.ones(len(truth))
    else:
        check_aligned(("actual", actual), ("weights", weights))
        check_aligned(("score", score), ("weights", weights))
        weight = check_values("weights", weights, ge=0, index=index_of(weights))
        if method == "wilson":
            raise fail('method is "wilson" with weights', 'use "bootstrap": rows are not cases')
    flagged = values >= cut
    cells = np.array(
        [
            weight[flagged & truth].sum(),
            weight[flagged & ~truth].sum(),
            weight[~flagged & truth].sum(),
            weight[~flagged & ~truth].sum(),
        ]
    )
    resampled = method == "bootstrap" or weights is not None
    if resampled:
        bounds = _bootstrap(truth, flagged, weight, level, check_integer("seed", seed, ge=0))
    else:
        bounds = [
            *wilson_interval(cells[1], cells[0] + cells[1], level),
            *wilson_interval(cells[2], cells[0] + cells[2], level),
        ]
    number: type[float] = int if weights is None else float
    hit, wrong, missed, right = (number(cell) for cell in cells)
    result = PredictionRates(
        n=hit + wrong + missed + right,
        n_flagged=hit + wrong,
        n_actual=hit + missed,
        true_positive=hit,
        false_positive=wrong,
        false_negative=missed,
        true_negative=right,
        error_rate=ratio(wrong, hit + wrong),
        omission_rate=ratio(missed, hit + missed),
        error_rate_low=bounds[0],
        error_rate_high=bounds[1],
        omission_rate_low=bounds[2],
        omission_rate_high=bounds[3],
    )
    if wanted is not None:
        effective = (_effective(weight[flagged]), _effective(weight[truth])) if resampled else None
        _check_widths(result, wanted, level, effective)
    return result


def _check_widths(
    rates: PredictionRates, precision: float, level: float, effective: tuple[float, float] | None
) -> None:
    """Raise if an interval is wider than twice ``precision``.

    ``effective`` are the cases behind either rate where the intervals are a bootstrap's.
    """
    short = []
    for place, (name, n, kind) in enumerate(
        (
            ("error_rate", rates.n_flagged, "flagged"),
            ("omission_rate", rates.n_actual, "to be found"),
        )
    ):
        rate, low, high = (getattr(rates, name + side) for side in ("", "_low", "_high"))
        cases, by_wilson, size = f"{n:,.10g} {kind}", effective is None, n
        if effective is not None and (rate in (0, 1) or effective[place] < _FEW):
            size = effective[place]
            bounds = wilson_interval(rate * size, size, level)
            if bounds[1] - bounds[0] > high - low:
                low, high = bounds
                cases, by_wilson = f"{cases} (Wilson's on {size:,.1f} effective cases)", True
        half = (high - low) / 2
        if not half <= precision:
            needed = (
                wilson_cases(rate, precision, level) * n / size
                if by_wilson and size
                else n * (half / precision) ** 2
            )
            short.append(shortfall(name, rate, low, high, cases, needed))
    if short:
        raise too_small(short, precision)


def _effective(weight: FloatArray) -> float:
    """Return Kish's effective number of cases."""
    if not weight.any():
        return 0.0
    relative = weight / weight.max()
    return float(relative.sum() ** 2 / (relative**2).sum())


def _bootstrap(
    truth: BoolArray, flagged: BoolArray, weight: FloatArray, level: float, seed: int
) -> list[float]:
    """Return percentile bounds of both rates over resampled rows."""
    generator = np.random.default_rng(seed)
    # Rows of one cell and weight are alike, so a resample is a multinomial draw of such groups.
    values, counts = [], []
    for cell, rows in enumerate(
        (flagged & truth, flagged & ~truth, truth & ~flagged, ~truth & ~flagged)
    ):
        alike, count = np.unique(weight[rows], return_counts=True)
        values.append(alike[:, None] * (np.arange(3) == cell))
        counts.append(count)
    cells, sizes = np.concatenate(values), np.concatenate(counts)
    n, group = len(truth), np.repeat(np.arange(len(sizes)), sizes)

    def resample() -> npt.NDArray[np.int64]:
        if len(sizes) < _MANY_GROUPS:
            return generator.multinomial(n, sizes / n)
        return np.bincount(group[generator.integers(0, n, n)], minlength=len(sizes))

    draws = np.stack([resample() @ cells for _ in range(_RESAMPLES)])
    tail = (1 - level) / 2
    bounds = []
    for bad in (1, 2):
        total = draws[:, 0] + draws[:, bad]
        # Resamples without a case say nothing about the rate.
        rates = draws[total > 0, bad] / total[total > 0]
        whole = cells[:, 0].sum() + cells[:, bad].sum() > 0
        bounds += list(np.quantile(rates, [tail, 1 - tail])) if whole else [np.nan, np.nan]
    return [float(bound) for bound in bounds]
