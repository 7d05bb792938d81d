"""The probability that a silent customer returns unprompted, and the day on which it is low."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    UNIT_DAYS,
    BoolArray,
    FloatArray,
    IntArray,
    check_columns,
    check_each,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import distinct_pairs
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel
from touchpoint_lib.timing._curves import ClassCurves, fit_curves
from touchpoint_lib.timing.spells import check_spells, open_spells

__all__ = ["OwnReturnFrequency"]

#: Customers by purchase days: 1, 2, 3-4, 5 and more. Within these, thirds of the own mean gap.
_PURCHASES = (1, 2, 4)
_THIRDS = (1 / 3, 2 / 3)
#: Cells evaluated at once.
_BLOCK = 1_000_000


class OwnReturnFrequency:
    """How often customers of a class returned unprompted after a silence, without a model.

    Classes are the purchase days so far (1, 2, 3-4, 5+), and within the last three the thirds of
    the own cycle (recency / frequency). Each class has a Kaplan-Meier curve of its gaps, so that
    spells still open count for as long as they were seen. It is shrunk to the curve of the wider
    class, as if so many further spells behaved like that.

    Parameters
    ----------
    shrinkage : float
        Those further spells, >= 0.

    Attributes
    ----------
    classes_ : DataFrame
        After `fit`, a row a class: purchases, cycle (0, 1, 2: third of the own cycle; missing for
        the wider class), n, n_ended.
    last_ : float
        Days up to which at least 20 spells were seen; nothing is known behind.

    References
    ----------
    Kaplan, E. L. and Meier, P. (1958). "Nonparametric Estimation from Incomplete Observations",
    JASA 53. Susarla, V. and Van Ryzin, J. (1976). "Nonparametric Bayesian estimation of survival
    curves from incomplete observations", JASA 71 (the shrinkage).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> frequency = tp.OwnReturnFrequency().fit(spells)
    >>> customers = spells.loc["00004"]
    >>> frequency.own_return_probability(customers, silence=30, horizon=90).round(2).tolist()
    [0.18, 0.32, 0.35, 0.35]
    """

    classes_: pd.DataFrame
    last_: float
    _cuts: list[FloatArray]
    _curves: ClassCurves

    def __init__(self, shrinkage: float = 20.0) -> None:
        self.shrinkage = check_number("shrinkage", shrinkage, ge=0)

    def fit(self, spells: pd.DataFrame) -> Self:
        """Count the returns of spells.

        Parameters
        ----------
        spells : DataFrame
            From `purchase_spells`.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If there are fewer than 20 spells, or no customer returned.
        """
        check_spells(spells)
        gap = spells["gap"].to_numpy(dtype=np.float64)
        returned = np.isfinite(gap)
        duration = np.where(returned, gap, spells["observed"].to_numpy(dtype=np.float64))
        bought, cycle = _purchase_class(spells), _own_cycle(spells)
        cuts = [
            np.quantile(cycle[bought == code], _THIRDS) if (bought == code).any() else np.zeros(2)
            for code in range(len(_PURCHASES) + 1)
        ]
        # Both or none: a fit that fails must not leave new classes with old curves.
        self._curves = fit_curves(duration, returned, _levels(spells, cuts), self.shrinkage)
        self._cuts, self.last_ = cuts, self._curves.last
        nodes = self._curves.nodes
        classes = nodes[nodes["depth"] > 0]
        self.classes_ = pd.DataFrame(
            {
                "purchases": np.array(["1", "2", "3-4", "5+"])[classes["level_1"].astype(int)],
                "cycle": classes["level_2"],
                "n": classes["n"],
                "n_ended": classes["n_ended"],
            }
        ).reset_index(drop=True)
        return self

    def own_return_probability(
        self, customers: pd.DataFrame, silence: Any, horizon: float
    ) -> pd.Series:
        """Return the share of the class that returned within ``horizon`` days after ``silence``.

        Parameters
        ----------
        customers : DataFrame
            With frequency and recency (days) at the last purchase.
        silence : float or one value a customer
            Days since the last purchase, >= 0.
        horizon : float
            Days after the silence, >= 0.

        Returns
        -------
        Series
            On the customers' index.

        Raises
        ------
        InputError
            If it is not fitted, silence + horizon is beyond ``last_``, or nobody of the class was
            silent for so long (without shrinkage).
        """
        check_columns(customers, ("frequency", "recency"), "customers")
        ahead = check_number("horizon", horizon, ge=0)
        after = check_each("silence", silence, len(customers), ge=0)
        _ready(self)
        node = self._curves.node(_levels(customers, self._cuts))
        found = self._curves.within(node, after, after + ahead)
        return pd.Series(found, index=customers.index, name="own_return_probability")

    def by_day(self, customers: pd.DataFrame, days: FloatArray, horizon: float) -> FloatArray:
        """Return the probabilities after each of some days, shape (customers, days)."""
        _ready(self)
        node, inverse = np.unique(
            self._curves.node(_levels(customers, self._cuts)), return_inverse=True
        )
        return self._curves.within(node[:, None], days, days + horizon)[inverse]


#: What knows own returns: a fitted purchase model, a frequency, or several, whose mean counts.
Source = PurchaseModel | OwnReturnFrequency | Sequence[PurchaseModel | OwnReturnFrequency]


def parts_of(source: Any) -> list[PurchaseModel | OwnReturnFrequency]:
    """Return what a source consists of; raise unless each part knows own returns."""
    parts = list(source) if isinstance(source, list | tuple) else [source]
    for part in parts:
        if isinstance(part, BetaGeoBetaBinomModel) or not isinstance(
            part, PurchaseModel | OwnReturnFrequency
        ):
            raise fail(
                f"source is a {type(part).__name__}",
                "pass a model of purchases at any time (ModifiedBetaGeoModel, ParetoNBDModel, "
                "BetaGeoModel), an OwnReturnFrequency, or a list of them",
            )
    if not parts:
        raise fail("source is empty", "pass a model, an OwnReturnFrequency, or a list of them")
    return parts


def fitted(source: Any, spells: pd.DataFrame) -> Source:
    """Return ``source`` with copies, fitted to ``spells``, of the parts that are not fitted."""
    ready: list[PurchaseModel | OwnReturnFrequency] = []
    for part in parts_of(source):
        if isinstance(part, PurchaseModel):
            # A model has no state before its fit but what it was made with.
            known = hasattr(part, "params_")
            ready.append(part if known else _like(part).fit(open_spells(spells)))
        else:
            known = hasattr(part, "last_")
            ready.append(part if known else OwnReturnFrequency(part.shrinkage).fit(spells))
    return ready if isinstance(source, list | tuple) else ready[0]


def _like(model: Any) -> Any:
    """Return a model of the same kind, to be fitted."""
    regularity = getattr(model, "regularity", None)
    return type(model)() if regularity is None else type(model)(regularity=regularity)


def own_return(source: Any, customers: pd.DataFrame, silence: Any, horizon: float) -> FloatArray:
    """Return the probability of an unprompted purchase within ``horizon`` after ``silence``.

    Parameters
    ----------
    source : fitted purchase model, OwnReturnFrequency, or list of them
        Models in any unit; several give the mean of their probabilities.
    customers : DataFrame
        With frequency and recency in days, and the covariates of a model that has some.
    silence : float or one value a customer
        Days since the last purchase, >= 0.
    horizon : float
        Days after the silence.

    Returns
    -------
    array of float, shape (n,)

    Raises
    ------
    InputError
        If a value is missing or impossible, or the unit of a model is not known.
    """
    check_columns(customers, ("frequency", "recency"), "customers")
    after = check_each("silence", silence, len(customers), ge=0)
    ahead = check_number("horizon", horizon, ge=0)
    parts = parts_of(source)
    total = np.zeros(len(customers))
    for part in parts:
        if isinstance(part, OwnReturnFrequency):
            total += part.own_return_probability(customers, after, ahead).to_numpy()
        else:
            unit = unit_days(part)
            recency = customers["recency"] / unit
            frame = customers.assign(recency=recency, T=recency)
            frame.attrs = {}
            total += part.own_return_probability(frame, after / unit, ahead / unit).to_numpy()
    # A mean of probabilities may miss 1 by rounding.
    return np.minimum(total / len(parts), 1.0)


def own_return_by_day(
    source: Any, customers: pd.DataFrame, days: FloatArray, horizon: float
) -> FloatArray:
    """Return own returns after each of some days of silence, shape (customers, days).

    Parameters and errors are those of `own_return`.
    """
    each = customers.iloc[np.repeat(np.arange(len(customers)), len(days))]
    silence = np.tile(days, len(customers))
    parts = parts_of(source)
    total = np.zeros((len(customers), len(days)))
    for part in parts:
        if isinstance(part, OwnReturnFrequency):
            total += part.by_day(customers, days, horizon)
        else:
            total += own_return(part, each, silence, horizon).reshape(total.shape)
    return np.minimum(total / len(parts), 1.0)


def unit_days(model: PurchaseModel) -> float:
    """Return the days in a model's unit of time; raise where it is not known."""
    unit = getattr(model, "unit_", None)
    if not hasattr(model, "params_"):
        raise fail(f"{type(model).__name__} has no parameters", "call fit(customers) first")
    if unit is None:
        raise fail(
            f"the unit of the {type(model).__name__} is unknown, and timing is in days",
            'fit on the frame of rfm_summary, or pass unit="D" or unit="W"',
        )
    return UNIT_DAYS[unit]


def first_low_day(
    source: Any,
    customers: pd.DataFrame,
    horizon: float,
    line: FloatArray,
    rise: float,
    latest: int,
) -> FloatArray:
    """Return the first day of silence from which own return is at or under a rising line.

    The day is at least 1 and at most ``latest``. Where own return first rises, as it does before a
    regular customer's next purchase is due, the days before its highest excess over the line do
    not count. Frequencies and recencies that agree are looked at once.

    Parameters
    ----------
    source, customers, horizon
        As for `own_return`.
    line : array of float, shape (n,)
        Own return at which to contact on day 0.
    rise : float
        By how much the line rises in 100 days, >= 0.
    latest : int
        The last day looked at.

    Returns
    -------
    array of float, shape (n,)
        Whole days; inf where own return stays above the line.
    """
    parts = parts_of(source)
    last = last_day(parts, horizon, latest)
    some, place, inverse = distinct_rows(parts, customers, line)
    low = line[place]
    if len(parts) == 1 and _falls(parts[0]):
        days = _bisected(parts[0], some, horizon, low, rise, last)
    else:
        days = np.empty(len(some))
        size = max(1, _BLOCK // last)
        for start in range(0, len(some), size):
            block = slice(start, start + size)
            days[block] = _scanned(source, some.iloc[block], horizon, low[block], rise, last)
    return days[inverse]


def last_day(parts: Sequence[Any], horizon: float, latest: int) -> int:
    """Return the last day of silence that can be looked at, at least 1 and at most ``latest``."""
    known = min(
        (part.last_ for part in parts if isinstance(part, OwnReturnFrequency) and _ready(part)),
        default=np.inf,
    )
    last = int(min(latest, np.floor(known - horizon)))
    if last < 1:
        raise fail(
            f"the log tells own returns up to {known:g} days, and horizon is {horizon:g}",
            "pass a longer log, a shorter horizon, or a model",
        )
    return last


def _ready(part: OwnReturnFrequency) -> bool:
    """Return True; raise if it is not fitted."""
    if not hasattr(part, "last_"):
        raise fail("OwnReturnFrequency has no curves", "call fit(spells) first")
    return True


def _falls(part: PurchaseModel | OwnReturnFrequency) -> bool:
    """Return whether own return falls with silence for certain: purchases without a rhythm."""
    return isinstance(part, PurchaseModel) and getattr(part, "regularity_", 1) == 1


def _bisected(
    source: Any, customers: pd.DataFrame, horizon: float, line: FloatArray, rise: float, last: int
) -> FloatArray:
    """Return the first low day where own return falls, by halving."""
    low, high = np.zeros(len(line)), np.full(len(line), last + 1.0)
    for _ in range(int(last).bit_length()):
        middle = np.floor((low + high) / 2)
        open_ = middle > low
        # Day 0 is not looked at: where no day is left between, the middle stands for nothing.
        under = own_return(source, customers, middle, horizon) <= line + rise * middle / 100
        high = np.where(open_ & under, middle, high)
        low = np.where(open_ & ~under, middle, low)
    return np.where(high > last, np.inf, high)


def _scanned(
    source: Any, customers: pd.DataFrame, horizon: float, line: FloatArray, rise: float, last: int
) -> FloatArray:
    """Return the first low day by looking at every day."""
    days = np.arange(1, last + 1, dtype=np.float64)
    excess = own_return_by_day(source, customers, days, horizon) - line[:, None] - rise * days / 100
    low: BoolArray = (excess <= 0) & (days - 1 >= excess.argmax(axis=1)[:, None])
    low[excess.max(axis=1) <= 0, 0] = True
    return np.where(low.any(axis=1), days[low.argmax(axis=1)], np.inf)


def distinct_rows(
    parts: Sequence[Any], customers: pd.DataFrame, value: FloatArray
) -> tuple[pd.DataFrame, IntArray, IntArray]:
    """Return a customer of each kind, the position of each, and the kind of every customer.

    Of one kind are those of equal frequency, recency and ``value``. With covariates everybody is.
    The frame has no index of its own: pandas looks for every attribute among its labels.
    """
    check_history(customers)
    if len(customers) == 0:
        raise fail("spells has no rows", "pass the spells of at least one customer")
    if any(getattr(part, "_covariates", None) is not None for part in parts):
        everybody = np.arange(len(value))
        return customers.reset_index(drop=True), everybody, everybody
    frequency, recency = (
        check_values(name, customers[name], ge=0, index=customers.index)
        for name in ("frequency", "recency")
    )
    _, _, code = distinct_pairs(frequency, recency)
    levels, level = np.unique(value, return_inverse=True)
    _, place, inverse = np.unique(
        code * len(levels) + level, return_index=True, return_inverse=True
    )
    some = pd.DataFrame({"frequency": frequency[place], "recency": recency[place]})
    return some, place, inverse


def check_history(spells: Any) -> None:
    """Raise unless ``spells`` is a frame with what policies look at."""
    check_columns(spells, ("frequency", "recency"), "spells", "pass the frame of purchase_spells")


def _levels(customers: pd.DataFrame, cuts: Sequence[FloatArray]) -> list[IntArray]:
    """Return the classes of customers: by purchases, and by own cycle within them."""
    bought, cycle = _purchase_class(customers), _own_cycle(customers)
    third = np.zeros(len(bought), dtype=np.int64)
    for code, bounds in enumerate(cuts):
        mine = bought == code
        third[mine] = np.searchsorted(bounds, cycle[mine], side="left")
    return [bought, third]


def _purchase_class(customers: pd.DataFrame) -> IntArray:
    frequency = check_values("frequency", customers["frequency"], ge=0, index=customers.index)
    return np.searchsorted(_PURCHASES, frequency, side="right").astype(np.int64)


def _own_cycle(customers: pd.DataFrame) -> FloatArray:
    recency = check_values("recency", customers["recency"], ge=0, index=customers.index)
    return recency / np.maximum(customers["frequency"].to_numpy(dtype=np.float64), 1)


def check_days(name: str, value: Any) -> int:
    """Return a whole number of days, at least 1."""
    return check_integer(name, value, ge=1)
