"""From order to payment (付款): at once, later or never, with a limit and a reminder (催付)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    check_choice,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Orders
from touchpoint_lib.simulate.settings import check_share

#: A customer at the first, the second and every later purchase.
CUSTOMERS = ("new", "second", "loyal")
Customer = Literal["new", "second", "loyal"]

#: Seconds from the order within which those pay who pay at once.
_SOONEST, _LATEST = 10.0, 120.0
_DAY_MINUTES, _DAY_SECONDS = 1440.0, 86_400.0
#: Bounds of a factor: with those of sigma and of the median no time leaves the floating range.
_FACTOR = {"ge": 1e-3, "le": 1e3}


@dataclass(frozen=True, kw_only=True)
class ShopPayments:
    """When orders are paid, cancelled and reminded of.

    An order is paid at once (10 to 120 seconds after it, uniform) with probability ``at_once``,
    never with probability ``never``, and else after a log-normal delay with the median m =
    ``delay_minutes`` x factor of the source x factor of the customer. What is unpaid at the limit
    is cancelled (超时取消). A reminder (催付) goes to a random share of the orders that are still
    unpaid at its time and are the customer's first of that day; the others of these are held out.
    From the reminder on the hazard of the delay is ``remind_effect`` times as high; what would
    never be paid still is not.

    Parameters
    ----------
    at_once
        Share of the orders paid within two minutes.
    never
        Share of the orders that is never paid, limit or not.
    delay_minutes
        Median delay of the rest, minutes from the order; at most 1,000,000.
    sigma
        Standard deviation of the logarithm of the delay, 0.01 to 10.
    by_source
        Factor of the median by the source of the order, 0.001 to 1,000; 1 for those not named.
    by_customer
        Factor of the median at the customer's first ("new"), second ("second") and any later
        purchase ("loyal"), 0.001 to 1,000; all three are required.
    flash_limit_minutes
        Minutes after which an unpaid flash order (秒杀) is cancelled.
    limit_days
        Days after which any other unpaid order is cancelled.
    reminder
        Share of the eligible orders that is reminded.
    remind_flash_minutes, remind_minutes
        Minutes from the order to the reminder, for flash orders and for others; above 2 and
        below the limit.
    remind_effect
        Factor of the hazard from the reminder on, 1 (no effect) to 1,000.

    Notes
    -----
    The effect is a hazard ratio among the orders that are paid late, of one source and kind of
    customer. Among all unpaid orders the ratio is ``remind_effect`` at the reminder and falls from
    then on, since reminding leaves more of those that are never paid: a Cox regression with one
    ratio for the whole time finds less.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> payments = tp.ShopPayments()
    >>> limit = 3 * 24 * 60
    >>> payments.own_share([2, limit], source="search", customer="new").round(3)
    array([0.723, 0.946])
    >>> payments.share_with_reminder([2, limit], source="search", customer="new").round(3)
    array([0.723, 0.95 ])
    """

    at_once: float = 0.7
    never: float = 0.05
    delay_minutes: float = 25.0
    sigma: float = 2.2
    by_source: Mapping[str, float] = field(default_factory=dict)
    by_customer: Mapping[str, float] = field(
        default_factory=lambda: {"new": 1.5, "second": 1.1, "loyal": 0.8}
    )
    flash_limit_minutes: float = 30.0
    limit_days: float = 3.0
    reminder: float = 0.5
    remind_flash_minutes: float = 10.0
    remind_minutes: float = 240.0
    remind_effect: float = 2.5

    def __post_init__(self) -> None:
        for name in ("at_once", "never", "reminder"):
            check_share(name, getattr(self, name))
        if self.at_once + self.never > 1:
            raise fail(
                f"at_once is {self.at_once} and never is {self.never}",
                "together they must be <= 1",
            )
        check_number("delay_minutes", self.delay_minutes, gt=0, le=1e6)
        check_number("sigma", self.sigma, ge=0.01, le=10)
        for name in ("by_source", "by_customer"):
            factors = getattr(self, name)
            if not isinstance(factors, Mapping):
                raise fail(f"{name} is {factors!r}", "pass a dict of names and factors")
            for key, factor in factors.items():
                check_number(f"{name}[{key!r}]", factor, **_FACTOR)
        if set(self.by_customer) != set(CUSTOMERS):
            raise fail(
                f"by_customer has the keys {list(self.by_customer)}",
                f"it must have {list(CUSTOMERS)}",
            )
        check_number("flash_limit_minutes", self.flash_limit_minutes)
        check_number("limit_days", self.limit_days, le=36_525)
        for name, limit, given in (
            ("remind_flash_minutes", self.flash_limit_minutes, "flash_limit_minutes"),
            ("remind_minutes", self.limit_days * _DAY_MINUTES, "limit_days"),
        ):
            # Before that a reminder would meet those who pay at once.
            minutes = check_number(name, getattr(self, name), gt=_LATEST / 60)
            if minutes >= limit:
                raise fail(
                    f"{name} is {minutes:g}, but {given} cancels after {limit:g} minutes",
                    f"lower {name} or raise {given}",
                )
        check_number("remind_effect", self.remind_effect, ge=1, le=1e3)

    def own_share(self, minutes: npt.ArrayLike, *, source: str, customer: Customer) -> FloatArray:
        r"""Return the probability that an order is paid within ``minutes``, left to itself.

        Without limit and reminder it is

        .. math:: F(t) = a\,U(t) + (1 - a - n)\,\Phi\!\left(\frac{\ln t - \ln m}{\sigma}\right)

        with a = ``at_once``, n = ``never``, U uniform on 10 to 120 seconds and m the median.

        Parameters
        ----------
        minutes
            Minutes from the order, at least 0, may be infinite; any shape.
        source
            Source of the order; one that ``by_source`` does not name has factor 1.
        customer
            "new", "second" or "loyal": the customer's purchase number is 1, 2 or more.

        Returns
        -------
        array of the shape of ``minutes``

        Raises
        ------
        InputError
            If ``minutes`` holds a negative or missing value or ``customer`` is another word.
        """
        times = check_values("minutes", minutes, ge=0, infinite=True)
        return self._share(times, self._log_survival(times, source, customer))

    def share_with_reminder(
        self, minutes: npt.ArrayLike, *, source: str, customer: Customer, flash: bool = False
    ) -> FloatArray:
        r"""Return the probability that an order is paid within ``minutes``, if it is reminded.

        The reminder is sent at its time c to every order unpaid then; there is no limit. In
        ``own_share`` the survival of the delay, S(t) = 1 - Phi((ln t - ln m) / sigma), becomes

        .. math:: S_c(t) = S(c) \left(\frac{S(t)}{S(c)}\right)^{e} \quad\text{for } t > c

        with e = ``remind_effect``. Given that the order is eligible, the share is
        (``share_with_reminder(t)`` - F(c)) / (1 - F(c)), F being ``own_share``.

        Parameters
        ----------
        minutes, source, customer
            As in ``own_share``.
        flash
            True for orders with the short limit, whose reminder comes earlier.

        Returns
        -------
        array of the shape of ``minutes``

        Raises
        ------
        InputError
            As ``own_share``.
        """
        times = check_values("minutes", minutes, ge=0, infinite=True)
        log_survival = self._log_survival(times, source, customer)
        sent = self.remind_flash_minutes if flash else self.remind_minutes
        at_reminder = self._log_survival(np.float64(sent), source, customer)
        return self._share(
            times,
            np.maximum(log_survival, at_reminder)
            + self.remind_effect * np.minimum(log_survival - at_reminder, 0.0),
        )

    def _log_survival(
        self, minutes: FloatArray | np.float64, source: str, customer: Customer
    ) -> FloatArray:
        """Return the log of the probability that a delay is longer than ``minutes``."""
        check_choice("customer", customer, CUSTOMERS)
        with np.errstate(divide="ignore"):  # the log of 0 minutes
            scores = np.log(minutes) - np.log(self.delay_minutes)
        scores -= np.log(self.by_source.get(source, 1.0)) + np.log(self.by_customer[customer])
        return np.asarray(special.log_ndtr(-scores / self.sigma))

    def _share(self, minutes: FloatArray, log_survival: FloatArray) -> FloatArray:
        """Return the share paid within ``minutes``, given the log survival of the delay."""
        at_once = np.clip((minutes * 60 - _SOONEST) / (_LATEST - _SOONEST), 0.0, 1.0)
        later = 1 - (self.at_once + self.never)
        return np.asarray(self.at_once * at_once - later * np.expm1(log_survival))


def check_sources(settings: ShopPayments, sources: Sequence[str]) -> None:
    """Raise where ``by_source`` names a source that no order can have."""
    for source in settings.by_source:
        check_choice("a source named in by_source of payments", source, sources)


@dataclass(frozen=True)
class Payments:
    """What became of orders, one an element; times are days since the start, NaN is none.

    due_at is the limit. own_paid_at is when the order would be paid without limit and reminder
    (NaN: never). remind_at is when a reminder is sent to whoever is eligible and has not paid by
    then, and reminded_at when it was sent (NaN: not); held_out marks orders that were eligible
    for one and did not get it. paid_at is when the order was paid, cancelled_at when it was
    cancelled: one of the two is NaN.
    """

    due_at: FloatArray
    own_paid_at: FloatArray
    remind_at: FloatArray
    reminded_at: FloatArray
    held_out: BoolArray
    paid_at: FloatArray
    cancelled_at: FloatArray


def pay(draws: Draws, settings: ShopPayments, orders: Orders, sources: Sequence[str]) -> Payments:
    """Return the payments of ``orders``, whose sources are codes into ``sources``.

    A delay is where its survival falls to a uniform number v. A reminder at c < T moves it from T
    to T' with S(T') = S(c) (S(T) / S(c))^(1 / effect): the hazard left between c and T is used up
    ``effect`` times as fast.
    """
    s = settings
    customer, event, time = orders.customer, orders.event, orders.time
    source_logs = np.log([s.delay_minutes * s.by_source.get(name, 1.0) for name in sources])
    customer_logs = np.log([s.by_customer[name] for name in CUSTOMERS])
    log_day = np.log(_DAY_MINUTES)

    def log_median(rows: npt.NDArray[np.intp]) -> FloatArray:
        nth = np.minimum(orders.number[rows], len(CUSTOMERS)) - 1
        return source_logs[orders.source[rows]] + customer_logs[nth]

    def days_at(log_survival: FloatArray, log_medians: FloatArray) -> FloatArray:
        # The inverse in logs: exact in both tails.
        return np.exp(log_medians - log_day - s.sigma * special.ndtri_exp(log_survival))

    kind = draws.uniform("payments.kind", customer, event)
    luck = draws.uniform("payments.time", customer, event)
    own = (_SOONEST + (_LATEST - _SOONEST) * luck) / _DAY_SECONDS
    later = np.flatnonzero(kind >= s.at_once)
    own[later] = days_at(np.log(luck[later]), log_median(later))
    own[kind >= 1 - s.never] = np.nan
    own += time

    remind_minutes = np.where(orders.flash, s.remind_flash_minutes, s.remind_minutes)
    remind_at = time + remind_minutes / _DAY_MINUTES
    # Not "own > remind_at": who never pays is unpaid too.
    eligible = np.flatnonzero(orders.first_today & ~(own <= remind_at))
    chosen = draws.uniform("payments.reminder", customer[eligible], event[eligible]) < s.reminder
    held_out = np.zeros(len(time), dtype=np.bool_)
    held_out[eligible[~chosen]] = True
    reminded = eligible[chosen]
    reminded_at = np.full(len(time), np.nan)
    reminded_at[reminded] = remind_at[reminded]

    moved = reminded[np.isfinite(own[reminded])]
    medians = log_median(moved)
    scores = (np.log(remind_minutes[moved]) - medians) / s.sigma
    # log S(T') = (log S(T) + (e - 1) log S(c)) / e, in a form that is log S(T) itself at e = 1.
    share = 1 / s.remind_effect
    log_survival = share * np.log(luck[moved]) + (1 - share) * special.log_ndtr(-scores)
    paid = own.copy()
    # Rounding must not let a reminder delay a payment, nor come behind it.
    paid[moved] = np.clip(
        time[moved] + days_at(log_survival, medians), remind_at[moved], own[moved]
    )

    due_at = time + np.where(orders.flash, s.flash_limit_minutes / _DAY_MINUTES, s.limit_days)
    in_time = paid <= due_at
    return Payments(
        due_at=due_at,
        own_paid_at=own,
        remind_at=remind_at,
        reminded_at=reminded_at,
        held_out=held_out,
        paid_at=np.where(in_time, paid, np.nan),
        cancelled_at=np.where(in_time, np.nan, due_at),
    )
