"""Error rate and omission rate of a prediction, with intervals and the thresholds they imply.

A customer is *flagged* when the score is at least the threshold. The error rate (错误率) is the
share of the flagged that should not have been, 1 - precision; the omission rate (遗漏率) is the
share of those to be found that were missed, 1 - recall. A rate with nothing in its denominator
is NaN.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import (
    FloatArray,
    check_choice,
    check_integer,
    check_number,
    check_values,
    fail,
)

BoolArray = npt.NDArray[np.bool_]

#: Resamples behind a bootstrap interval.
_RESAMPLES = 2000


@dataclass(frozen=True)
class PredictionRates:
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

    def to_frame(self) -> pd.DataFrame:
        """Return the record as a frame of one row."""
        return pd.DataFrame([asdict(self)])

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format=lambda value: f"{value:.3f}")


@dataclass(frozen=True)
class ExpectedRates:
    """What a model promises about a threshold, before the outcome is known."""

    n: int
    n_flagged: int
    expected_actual: float
    error_rate: float
    omission_rate: float
    error_rate_low: float
    error_rate_high: float
    omission_rate_low: float
    omission_rate_high: float

    def to_frame(self) -> pd.DataFrame:
        """Return the record as a frame of one row."""
        return pd.DataFrame([asdict(self)])

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format=lambda value: f"{value:.3f}")


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
    truth, flagged = _flags("actual", actual), _flags("predicted", predicted)
    _check_aligned(("actual", actual), ("predicted", predicted))
    return _ratio(float((flagged & ~truth).sum()), float(flagged.sum()))


def omission_rate(actual: Any, predicted: Any) -> float:
    """Return the missed as a share of all that were there to find, 1 - recall.

    Parameters and errors are those of `error_rate`; NaN where there was nothing to find.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> round(tp.omission_rate(actual=[1, 0, 1, 1], predicted=[1, 1, 0, 0]), 3)
    0.667
    """
    truth, flagged = _flags("actual", actual), _flags("predicted", predicted)
    _check_aligned(("actual", actual), ("predicted", predicted))
    return _ratio(float((truth & ~flagged).sum()), float(truth.sum()))


def prediction_rates(
    actual: Any,
    score: Any,
    threshold: float,
    level: float = 0.95,
    weights: Any = None,
    *,
    method: str | None = None,
    seed: int = 0,
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
        weights and the bootstrap with them, unless said otherwise.
    seed : int
        Of the bootstrap.

    Returns
    -------
    PredictionRates
        n, n_flagged, n_actual, the four cells, both rates and their bounds. A rate and its
        bounds are NaN where its denominator is empty.

    Raises
    ------
    InputError
        If lengths or indexes differ, a value is missing, or Wilson is asked for with weights.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> rates = tp.prediction_rates([1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.2, 0.1], threshold=0.5)
    >>> rates.n_flagged, round(rates.error_rate, 3), round(rates.omission_rate, 3)
    (3, 0.333, 0.333)
    """
    truth, values = _truth_and_score(actual, score)
    cut = _threshold(threshold)
    check_number("level", level, gt=0, lt=1)
    if method is not None:
        check_choice("method", method, ("wilson", "bootstrap"))
    if weights is None:
        weight = np.ones(len(truth))
    else:
        _check_aligned(("actual", actual), ("weights", weights))
        _check_aligned(("score", score), ("weights", weights))
        weight = check_values("weights", weights, ge=0, index=_index(weights))
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
    if method == "bootstrap" or weights is not None:
        bounds = _bootstrap(truth, flagged, weight, level, check_integer("seed", seed, ge=0))
    else:
        bounds = [
            *wilson_interval(cells[1], cells[0] + cells[1], level),
            *wilson_interval(cells[2], cells[0] + cells[2], level),
        ]
    number: type[float] = int if weights is None else float
    hit, wrong, missed, right = (number(cell) for cell in cells)
    return PredictionRates(
        n=hit + wrong + missed + right,
        n_flagged=hit + wrong,
        n_actual=hit + missed,
        true_positive=hit,
        false_positive=wrong,
        false_negative=missed,
        true_negative=right,
        error_rate=_ratio(wrong, hit + wrong),
        omission_rate=_ratio(missed, hit + missed),
        error_rate_low=bounds[0],
        error_rate_high=bounds[1],
        omission_rate_low=bounds[2],
        omission_rate_high=bounds[3],
    )


def rates_curve(actual: Any, score: Any) -> pd.DataFrame:
    """Return both rates at every threshold that changes who is flagged.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened.
    score : array of float, shape (n,)
        Higher means more likely.

    Returns
    -------
    DataFrame
        threshold (falling), error_rate, omission_rate, n_flagged; a row a distinct score.
        omission_rate is NaN throughout where there is nothing to find.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.rates_curve([1, 0, 1], [0.9, 0.5, 0.5])
       threshold  error_rate  omission_rate  n_flagged
    0        0.9    0.000000            0.5          1
    1        0.5    0.333333            0.0          3
    """
    truth, values = _truth_and_score(actual, score)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    n_flagged = last + 1
    found = np.cumsum(truth[order])[last]
    total = int(truth.sum())
    return pd.DataFrame(
        {
            "threshold": ordered[last],
            # Not 1 - found / n_flagged: 3 wrong of 10 must not exceed a bound of 0.3.
            "error_rate": (n_flagged - found) / n_flagged,
            "omission_rate": (total - found) / total if total else np.full(len(last), np.nan),
            "n_flagged": n_flagged,
        }
    )


def choose_threshold(
    actual: Any,
    score: Any,
    *,
    max_error_rate: float | None = None,
    max_omission_rate: float | None = None,
    capacity: int | None = None,
    benefit: float | None = None,
    cost: float | None = None,
) -> float:
    """Return the threshold that one criterion picks on known outcomes.

    Parameters
    ----------
    actual, score : array, shape (n,)
        As in `rates_curve`.
    max_error_rate : float
        The lowest omission rate among the thresholds with at most this error rate.
    max_omission_rate : float
        The lowest error rate among the thresholds with at most this omission rate.
    capacity : int
        As many as can be contacted: the lowest threshold that flags no more.
    benefit, cost : float
        The largest ``benefit`` x (rightly flagged) - ``cost`` x (flagged), both > 0 and given
        together. inf (flag nobody) where no threshold earns anything.

    Returns
    -------
    float
        Flag at and above it. Of equals, the one that flags fewer.

    Raises
    ------
    InputError
        If there is not exactly one criterion, nothing to find, or no threshold meets it; the
        message says what can be reached.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.choose_threshold([1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.2], max_error_rate=0.3)
    0.6
    """
    money = (benefit, cost)
    given = [
        name
        for name, value in (
            ("max_error_rate", max_error_rate),
            ("max_omission_rate", max_omission_rate),
            ("capacity", capacity),
        )
        if value is not None
    ]
    if any(value is not None for value in money):
        given.append("benefit and cost")
    if len(given) != 1 or (benefit is None) != (cost is None):
        raise fail(
            f"the criteria given are {', '.join(given) or 'none'}",
            "give exactly one of max_error_rate, max_omission_rate, capacity, or benefit with cost",
        )
    curve = rates_curve(actual, score)
    if curve["omission_rate"].isna().any():
        raise fail("actual has no positive case", "thresholds need outcomes to learn from")
    if max_error_rate is not None:
        limit = check_number("max_error_rate", max_error_rate, ge=0, le=1)
        return _best(curve, "error_rate", limit, "omission_rate")
    if max_omission_rate is not None:
        limit = check_number("max_omission_rate", max_omission_rate, ge=0, le=1)
        return _best(curve, "omission_rate", limit, "error_rate")
    if capacity is not None:
        fits = curve[curve["n_flagged"] <= check_integer("capacity", capacity, ge=1)]
        if fits.empty:
            raise fail(
                f"capacity is {capacity}, but {curve['n_flagged'].iloc[0]} customers share the "
                "highest score",
                "raise the capacity, or break the tie with a finer score",
            )
        return float(fits["threshold"].iloc[-1])
    gain = check_number("benefit", benefit, gt=0)
    price = check_number("cost", cost, gt=0)
    found = (curve["n_flagged"] * (1 - curve["error_rate"])).round()
    profit = found * gain - curve["n_flagged"] * price
    best = int(profit.to_numpy().argmax())
    return float(curve["threshold"].iloc[best]) if profit.iloc[best] > 0 else float("inf")


def expected_rates(probability: Any, threshold: float, level: float = 0.95) -> ExpectedRates:
    """Return the rates that the model itself promises, before the outcome is known.

    Every customer is taken as an independent draw with its probability, so the expected error
    rate is the mean of 1 - p over the flagged, and the expected omission rate the share of the
    summed p that is not flagged. Compare with `prediction_rates` once the outcome is in.

    Parameters
    ----------
    probability : array of float, shape (n,)
        In [0, 1].
    threshold : float
        Flag at and above it.
    level : float
        Of the intervals, in (0, 1): where the rates fall by chance if the probabilities are
        right (normal approximation to the sum of draws, delta method for the omission rate).

    Returns
    -------
    ExpectedRates
        n, n_flagged, expected_actual, both rates and their bounds; NaN where a denominator is
        empty.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> rates = tp.expected_rates([0.9, 0.7, 0.2], threshold=0.5)
    >>> round(rates.error_rate, 3), round(rates.omission_rate, 3)
    (0.2, 0.111)
    """
    p = check_values("probability", probability, ge=0, le=1, index=_index(probability))
    _check_list("probability", p)
    if len(p) == 0:
        raise fail("probability is empty", "pass at least one case")
    cut = _threshold(threshold)
    z = float(ndtri((1 + check_number("level", level, gt=0, lt=1)) / 2))
    flagged = p >= cut
    n_flagged, expected = int(flagged.sum()), float(p.sum())
    error = _ratio(float((1 - p[flagged]).sum()), n_flagged)
    omission = _ratio(float(p[~flagged].sum()), expected)
    variance = p * (1 - p)
    error_sd = _ratio(float(np.sqrt(variance[flagged].sum())), n_flagged)
    # A missed draw moves missed / all by (1 - omission) / all, a found one by -omission / all.
    slope = np.where(flagged, -omission, 1 - omission)
    omission_sd = _ratio(float(np.sqrt((slope**2 * variance).sum())), expected)
    bounds = [
        float(np.clip(rate + side * z * sd, 0, 1))
        for rate, sd in ((error, error_sd), (omission, omission_sd))
        for side in (-1, 1)
    ]
    return ExpectedRates(len(p), n_flagged, expected, error, omission, *bounds)


def calibration_table(
    actual: Any, probability: Any, bins: int = 10, level: float = 0.95
) -> pd.DataFrame:
    """Return predicted against observed by bins of equal size.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        What happened.
    probability : array of float, shape (n,)
        In [0, 1].
    bins : int
        Number of quantile bins; equal probabilities stay together, so there may be fewer.
    level : float
        Of Wilson's interval for the observed rate, in (0, 1).

    Returns
    -------
    DataFrame
        A row a bin, rising: n, mean_probability, observed_rate, observed_low, observed_high.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.calibration_table([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], bins=2).round(2)
       n  mean_probability  observed_rate  observed_low  observed_high
    0  2              0.15            0.0          0.00           0.66
    1  2              0.80            1.0          0.34           1.00
    """
    truth, p = _truth_and_score(actual, probability, "probability")
    check_values("probability", p, ge=0, le=1, index=_index(probability))
    wanted = check_integer("bins", bins, ge=1)
    place = np.searchsorted(quantile_cuts(p, wanted), p, side="right")
    n = np.bincount(place)
    found = np.bincount(place, weights=truth)
    low, high = wilson_interval(found, n, check_number("level", level, gt=0, lt=1))
    return pd.DataFrame(
        {
            "n": n,
            "mean_probability": np.bincount(place, weights=p) / n,
            "observed_rate": found / n,
            "observed_low": low,
            "observed_high": high,
        }
    )


def _best(curve: pd.DataFrame, bounded: str, limit: float, wanted: str) -> float:
    fits = curve[curve[bounded] <= limit]
    if fits.empty:
        raise fail(
            f"no threshold has {bounded} <= {limit:g}",
            f"the lowest that can be reached is {curve[bounded].min():.4f}",
        )
    # argmin takes the first of equals: the highest threshold, so the fewest flagged.
    return float(fits["threshold"].iloc[int(fits[wanted].to_numpy().argmin())])


def quantile_cuts(values: FloatArray, bins: int) -> FloatArray:
    """Return the rising cut points of ``bins`` classes of about equal size, ties kept together.

    A value at a cut belongs above it. Cuts are values that occur, and above the minimum, so no
    class is empty, and many who share the minimum are a class of their own.
    """
    above = values[values > values.min()]
    if above.size == 0:
        return np.empty(0)
    cuts = np.quantile(values, np.arange(1, bins) / bins, method="higher")
    return np.unique(np.maximum(cuts, above.min()))


def wilson_interval(count: Any, n: Any, level: float) -> tuple[Any, Any]:
    """Return Wilson's bounds; NaN where there is no case."""
    from statsmodels.stats.proportion import proportion_confint

    if np.ndim(n) == 0 and n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(count, n, alpha=1 - level, method="wilson")
    # Rounding can put the bound of 0 in 19 just above 0.
    low, high = np.minimum(low, count / n), np.maximum(high, count / n)
    return (float(low), float(high)) if np.ndim(n) == 0 else (low, high)


def _bootstrap(
    truth: BoolArray, flagged: BoolArray, weight: FloatArray, level: float, seed: int
) -> list[float]:
    """Return percentile bounds of both rates over resampled rows."""
    generator = np.random.default_rng(seed)
    hit, wrong, missed = flagged & truth, flagged & ~truth, truth & ~flagged
    cells = np.stack([hit, wrong, missed]).astype(float) * weight
    draws = np.empty((_RESAMPLES, 3))
    n = len(truth)
    for i in range(_RESAMPLES):
        draws[i] = cells @ np.bincount(generator.integers(0, n, n), minlength=n)
    tail = (1 - level) / 2
    bounds = []
    for bad in (1, 2):
        total = draws[:, 0] + draws[:, bad]
        # Resamples without a case say nothing about the rate.
        rates = draws[total > 0, bad] / total[total > 0]
        whole = cells[0].sum() + cells[bad].sum() > 0
        bounds += list(np.quantile(rates, [tail, 1 - tail])) if whole else [np.nan, np.nan]
    return [float(bound) for bound in bounds]


def _truth_and_score(actual: Any, score: Any, name: str = "score") -> tuple[BoolArray, FloatArray]:
    truth = _flags("actual", actual)
    values = check_values(name, score, infinite=True, index=_index(score))
    _check_list(name, values)
    _check_aligned(("actual", actual), (name, score))
    if len(truth) == 0:
        raise fail("actual is empty", "pass at least one case")
    return truth, values


def _threshold(value: Any) -> float:
    """Return ``value`` as a float; raise unless it is a number, which may be infinite."""
    if isinstance(value, float | np.floating) and np.isinf(value):
        return float(value)
    if isinstance(value, float | np.floating) and np.isnan(value):
        raise fail("threshold is nan", "it must be a number; inf flags nobody")
    return check_number("threshold", value)


def _check_list(name: str, array: npt.NDArray[Any]) -> None:
    if array.ndim != 1:
        raise fail(f"{name} has {array.ndim} dimensions", "pass a list of values: one a customer")


def _flags(name: str, values: Any) -> BoolArray:
    """Return ``values`` as booleans; raise unless every one is 0 or 1."""
    array = np.asarray(values)
    _check_list(name, array)
    if array.dtype == bool:
        return array
    numbers = check_values(name, values, index=_index(values))
    if ((numbers != 0) & (numbers != 1)).any():
        odd = numbers[(numbers != 0) & (numbers != 1)][0]
        raise fail(f"{name} has the value {odd:g}", "every value must be 0 or 1 (or bool)")
    return numbers == 1


def _check_aligned(first: tuple[str, Any], second: tuple[str, Any]) -> None:
    (name, values), (other_name, other) = first, second
    if len(values) != len(other):
        raise fail(f"{name} has {len(values)} values, {other_name} {len(other)}", "pass one each")
    index, other_index = _index(values), _index(other)
    if index is not None and other_index is not None and not index.equals(other_index):
        raise fail(
            f"{name} and {other_name} have different indexes",
            f"pass {other_name}.reindex({name}.index)",
        )


def _index(values: Any) -> pd.Index[Any] | None:
    return values.index if isinstance(values, pd.Series) else None


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")
