"""Contact policies: each names the first silence after which to contact a customer.

A policy has one method, ``silence(spells)``. One that learns from a log also has ``fit(spells)``,
which returns a fitted copy. Any object of that kind can be back-tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from touchpoint_lib._checks import (
    FloatArray,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.lifetime.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel
from touchpoint_lib.timing.money import ContactMoney
from touchpoint_lib.timing.own_return import (
    OwnReturnFrequency,
    Source,
    check_days,
    check_history,
    first_low_day,
    fitted,
    parts_of,
)
from touchpoint_lib.timing.spells import check_spells, ended_gaps, open_spells

__all__ = [
    "FixedDays",
    "MoneyRule",
    "OwnGapQuantile",
    "OwnMeanGap",
    "OwnReturn",
    "Policy",
    "ShrunkenQuantile",
]

_NAMES = {
    ModifiedBetaGeoModel: "MBG/NBD",
    BetaGeoModel: "BG/NBD",
    ParetoNBDModel: "Pareto/NBD",
    OwnReturnFrequency: "frequency",
}


class Policy(Protocol):
    """What can be back-tested: whatever names a day of silence for each spell."""

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the first whole day of silence at which to contact; inf for never.

        Parameters
        ----------
        spells : DataFrame
            From `purchase_spells`: a policy sees a customer as of the start of a spell.

        Returns
        -------
        array of float, shape (n,)
        """
        ...


@runtime_checkable
class Learner(Protocol):
    """A policy that has to see a log first."""

    def fit(self, spells: pd.DataFrame) -> Policy:
        """Return a fitted copy; the policy itself does not change."""
        ...


@dataclass(frozen=True)
class FixedDays:
    """Contact everybody after the same number of days: the baseline that others have to beat.

    Parameters
    ----------
    days : int
        At least 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> tp.FixedDays(60).silence(spells.loc["00004"])
    array([60., 60., 60., 60.])
    """

    days: int

    def __post_init__(self) -> None:
        check_days("days", self.days)

    def __str__(self) -> str:
        return f"{self.days} days"

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the fixed number of days for each spell."""
        check_history(spells)
        return np.full(len(spells), float(self.days))


@dataclass(frozen=True)
class OwnGapQuantile:
    """Contact when the silence exceeds a quantile of the customer's own past gaps.

    The popular rule. Customers with fewer gaps than ``least_gaps`` get the quantile of all gaps.

    Parameters
    ----------
    quantile : float
        In (0, 1).
    least_gaps : int
        Gaps from which on a customer has a line of their own, at least 1.
    otherwise : float, optional
        Days for the others; `fit` takes the quantile of all gaps of the log.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> tp.OwnGapQuantile(0.9).fit(spells).silence(spells.loc["00004"])
    array([196.,  17., 179., 184.])
    """

    quantile: float
    least_gaps: int = 1
    otherwise: float | None = None

    def __post_init__(self) -> None:
        check_number("quantile", self.quantile, gt=0, lt=1)
        check_integer("least_gaps", self.least_gaps, ge=1)
        _check_otherwise(self.otherwise)

    def __str__(self) -> str:
        least = "" if self.least_gaps == 1 else f", {self.least_gaps}+ gaps"
        return f"own {self.quantile:.0%} gap{least}"

    def fit(self, spells: pd.DataFrame) -> Self:
        """Return a copy that knows the quantile of all gaps; a given ``otherwise`` stays."""
        if self.otherwise is not None:
            return self
        return replace(self, otherwise=float(np.quantile(ended_gaps(spells), self.quantile)))

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the quantile of the gaps before each spell, in whole days.

        Parameters
        ----------
        spells : DataFrame
            From `purchase_spells`: all rows of each customer, whose gaps are read off the rows
            before.

        Raises
        ------
        InputError
            If rows are missing, or it is not fitted.
        """
        check_spells(spells)
        gap = spells["gap"].to_numpy(dtype=np.float64)
        nth = spells["frequency"].to_numpy().astype(np.int64)
        days = np.full(len(spells), _otherwise(self, self.otherwise))
        # Spells with as many gaps behind them make a rectangle: the gaps are the rows before.
        order = np.argsort(nth, kind="stable")
        for block in np.split(order, np.flatnonzero(np.diff(nth[order])) + 1):
            number = int(nth[block[0]])
            if number >= self.least_gaps:
                before = gap[block[:, None] - number + np.arange(number)]
                days[block] = np.quantile(before, self.quantile, axis=1)
        return _whole(days)


@dataclass(frozen=True)
class OwnMeanGap:
    """Contact when the silence exceeds a multiple of the customer's own mean gap.

    Parameters
    ----------
    multiple : float
        > 0.
    otherwise : float, optional
        Days for customers without a gap; `fit` takes the multiple of the mean of all gaps.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> tp.OwnMeanGap(2).fit(spells).silence(spells.loc["00004"])
    array([142.,  34., 213., 230.])
    """

    multiple: float
    otherwise: float | None = None

    def __post_init__(self) -> None:
        check_number("multiple", self.multiple, gt=0)
        _check_otherwise(self.otherwise)

    def __str__(self) -> str:
        return f"{self.multiple:g} x own mean gap"

    def fit(self, spells: pd.DataFrame) -> Self:
        """Return a copy that knows the mean of all gaps; a given ``otherwise`` stays."""
        if self.otherwise is not None:
            return self
        return replace(self, otherwise=self.multiple * float(np.mean(ended_gaps(spells))))

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the multiple of recency / frequency, in whole days.

        Raises
        ------
        InputError
            If a column is missing, or it is not fitted.
        """
        bought, recency = _history(spells)
        own = self.multiple * recency / np.maximum(bought, 1)
        return _whole(np.where(bought > 0, own, _otherwise(self, self.otherwise)))


@dataclass(frozen=True)
class ShrunkenQuantile:
    """Contact when the silence exceeds a quantile of the gap to come, own and others' pooled.

    Gaps are exponential and the rates of customers Gamma(r, alpha), so that after x gaps of t days
    in all the next one is Lomax distributed: quantile (alpha + t) ((1 - q)^(-1 / (r + x)) - 1).

    Parameters
    ----------
    quantile : float
        In (0, 1).
    r, alpha : float, optional
        Of the rates, > 0 (alpha in days); `fit` takes the most likely ones of the gaps of a log.
        Gaps that have not ended are no part of it: who has left has none.

    References
    ----------
    Lomax, K. S. (1954). "Business failures: another example of the analysis of failure data",
    JASA 49.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> tp.ShrunkenQuantile(0.9).fit(spells).silence(spells.loc["00004"])
    array([250., 169., 253., 266.])
    """

    quantile: float
    r: float | None = None
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_number("quantile", self.quantile, gt=0, lt=1)
        if (self.r is None) != (self.alpha is None):
            raise fail(f"r is {self.r} and alpha is {self.alpha}", "pass both, or none and fit")
        for name in ("r", "alpha"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), gt=0)

    def __str__(self) -> str:
        return f"shrunken {self.quantile:.0%} gap"

    def fit(self, spells: pd.DataFrame) -> Self:
        """Return a copy with the most likely r and alpha of the gaps; given ones stay."""
        if self.r is not None:
            return self
        customers = open_spells(spells)
        bought, total = _history(customers)
        x, t = bought[bought > 0], total[bought > 0]
        if not x.size:
            raise fail("no customer bought on two different days", "pass a longer log")
        scale = float(t.sum() / x.sum())
        t = t / scale

        def loss(theta: FloatArray) -> tuple[float, FloatArray]:
            r, alpha = np.exp(theta)
            rest = np.log1p(t / alpha)
            value = gammaln(r + x) - gammaln(r) - x * np.log(alpha) - (r + x) * rest
            by_r = r * (digamma(r + x) - digamma(r) - rest)
            by_alpha = -x + (r + x) * (t / (alpha + t))
            return -float(value.mean()), -np.array([by_r.mean(), by_alpha.mean()])

        # Gaps more even than chance would have every customer alike: r without end.
        found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-12, 12)] * 2)
        if not found.success:
            raise fail(
                f"no most likely r and alpha of the gaps were found ({found.message})",
                "pass r= and alpha=, or a longer log",
            )
        r, alpha = np.exp(found.x)
        return replace(self, r=float(r), alpha=float(alpha * scale))

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the quantile of the next gap at the start of each spell, in whole days.

        Raises
        ------
        InputError
            If a column is missing, or it is not fitted.
        """
        if self.r is None or self.alpha is None:
            raise _unfitted(self)
        bought, recency = _history(spells)
        growth = np.expm1(-np.log1p(-self.quantile) / (self.r + bought))
        return _whole((self.alpha + recency) * growth)


@dataclass(frozen=True)
class OwnReturn:
    """Contact when the probability of returning unprompted has fallen to a line.

    That probability is the chance that the contact is wasted. The line may rise with the silence:
    patience wears out, so that customers whom nobody can be sure of are not forgotten.

    Parameters
    ----------
    source : purchase model, OwnReturnFrequency, or list of them
        What knows own returns; several give the mean. Those not fitted yet are fitted by `fit`.
    line : float
        Own return at which to contact, in (0, 1).
    horizon : int
        Days within which an unprompted purchase makes a contact wasted.
    rise : float
        By how much the line rises in 100 days of silence, >= 0.
    latest : int
        The last day looked at: later, nobody is contacted. A frequency knows no more than its
        log: with one it is ``last_`` - ``horizon`` at most.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> policy = tp.OwnReturn(tp.ModifiedBetaGeoModel(), line=0.2, horizon=90).fit(spells)
    >>> policy.silence(spells.loc["00004"])
    array([ 33., 122., 209., 263.])
    """

    source: Source
    line: float
    horizon: int = 90
    rise: float = 0.0
    latest: int = 365

    def __post_init__(self) -> None:
        parts_of(self.source)
        check_number("line", self.line, gt=0, lt=1)
        check_number("rise", self.rise, ge=0)
        check_days("horizon", self.horizon)
        check_days("latest", self.latest)

    def __str__(self) -> str:
        rise = f" + {self.rise:g} a 100 days" if self.rise else ""
        return f"own return <= {self.line:g}{rise} ({source_name(self.source)})"

    def fit(self, spells: pd.DataFrame) -> Self:
        """Return a copy whose sources are fitted; those that were fitted stay as they are."""
        return replace(self, source=fitted(self.source, spells))

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the first day on which own return is at or under the line; inf where never.

        Where own return first rises, as that of regular customers does, the days before its highest
        excess over the line do not count.

        Raises
        ------
        InputError
            If a column is missing, or the source is not fitted.
        """
        check_history(spells)
        line = np.full(len(spells), self.line)
        return first_low_day(self.source, spells, self.horizon, line, self.rise, self.latest)


@dataclass(frozen=True, eq=False)
class MoneyRule:
    """Contact when a contact is expected to gain money: (1 - q) u margin - cost - q discount > 0.

    That is the earliest day that pays, on which there is little more than nothing to gain. Where
    the chance u of winning back does not fall with the silence, waiting gains more, as long as it
    is not too late: `ContactProgramme` weighs the days against each other.

    Parameters
    ----------
    source : purchase model, OwnReturnFrequency, or list of them
        What knows own returns, q; several give the mean. Those not fitted are fitted by `fit`.
    money : ContactMoney
        Margin, chance u of winning back, cost and discount.
    horizon : int
        Days within which an unprompted purchase makes a contact wasted.
    latest : int
        The last day looked at.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    >>> rule = tp.MoneyRule(tp.ModifiedBetaGeoModel(), money).fit(spells)
    >>> rule.silence(spells.loc["00004"])
    array([  1.,  67.,  94., 130.])
    """

    source: Source
    money: ContactMoney
    horizon: int = 90
    latest: int = 365

    def __post_init__(self) -> None:
        parts_of(self.source)
        check_money(self.money)
        check_days("horizon", self.horizon)
        check_days("latest", self.latest)

    def __str__(self) -> str:
        return f"money rule ({source_name(self.source)})"

    def fit(self, spells: pd.DataFrame) -> Self:
        """Return a copy whose sources are fitted; those that were fitted stay as they are."""
        return replace(self, source=fitted(self.source, spells))

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the first day on which a contact gains; inf where none does.

        Where own return first rises, as that of regular customers does, the days before its highest
        excess over the line of `ContactMoney` do not count.

        Raises
        ------
        InputError
            If a column is missing, the source is not fitted, or a customer's money is not known.
        """
        check_history(spells)
        line = np.broadcast_to(self.money.line(spells.index), (len(spells),))
        # At the line nothing is gained.
        strict = np.nextafter(line, -1)
        days = np.full(len(spells), np.inf)
        can = np.flatnonzero(line > 0)
        if can.size:
            some = spells.iloc[can]
            days[can] = first_low_day(
                self.source, some, self.horizon, strict[can], 0.0, self.latest
            )
        return days


def check_money(money: Any) -> None:
    if not isinstance(money, ContactMoney):
        raise fail(f"money is a {type(money).__name__}", "pass ContactMoney(margin=, win_back=)")


def source_name(source: Any) -> str:
    """Return the name of a source in a policy's label."""
    return " and ".join(_part_name(part) for part in parts_of(source))


def _part_name(part: Any) -> str:
    name = _NAMES.get(type(part), type(part).__name__)
    k = getattr(part, "regularity_", getattr(part, "regularity", 1))
    return name if k == 1 else f"{name.replace('NBD', 'CNBD')}-{k}"


def _history(spells: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return repeat purchases and recency at the start of each spell."""
    check_history(spells)
    bought, recency = (
        check_values(name, spells[name], ge=0, index=spells.index)
        for name in ("frequency", "recency")
    )
    return bought, recency


def _otherwise(policy: Any, days: float | None) -> float:
    if days is None:
        raise _unfitted(policy)
    return float(days)


def _check_otherwise(days: Any) -> None:
    if days is not None:
        check_number("otherwise", days, ge=0)


def _unfitted(policy: Any) -> Exception:
    return fail(f"{type(policy).__name__} has seen no log", "call fit(spells) first")


def _whole(days: FloatArray) -> FloatArray:
    """Return the first whole day at or behind each line, at least 1."""
    # What interpolation leaves behind the ninth decimal is no day.
    return np.maximum(np.ceil(np.round(days, 9)), 1.0)
