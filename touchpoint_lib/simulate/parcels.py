"""A simulated shop's parcels: how long they take, when they are late and what a delay costs.

A parcel belongs to a paid order. Its time on the way is log-normal, so that the share of late
parcels has a closed form for each carrier, province and delay shock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_choice,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Codes, Orders
from touchpoint_lib.simulate.settings import ShopProvince, check_records, check_share, check_shared

#: Sigma of the log-normal time from payment to shipping.
HANDLING_SIGMA = 0.5

#: What the carrier reports of a parcel, in this order.
SCAN_EVENTS = (
    "accepted",
    "left origin hub",
    "reached destination hub",
    "out for delivery",
    "delivered",
)
# The events between the first and the last come at a share of the way that is uniform on these
# ranges, which do not touch: the order of the events is certain.
SCAN_RANGES = ((0.05, 0.35), (0.5, 0.8), (0.84, 0.96))

# The Gregorian calendar repeats after 400 years.
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
# Parcels whose scans are made at a time, so that the temporaries stay small.
_BLOCK = 65_536


@dataclass(frozen=True, kw_only=True)
class ShopCarrier:
    """A carrier (快递): how many parcels it gets and how long they take.

    Parameters
    ----------
    name
        What it is called.
    share
        Share of the parcels.
    lead_days
        Median days on the way to a province of lead 1; above 0, at most 365.
    sigma
        Spread of the log-normal time on the way: standard deviation of its logarithm; above 0,
        at most 2.
    """

    name: str
    share: float
    lead_days: float
    sigma: float

    def __post_init__(self) -> None:
        check_share(f"the share of carrier {self.name!r}", self.share)
        check_number(f"lead_days of carrier {self.name!r}", self.lead_days, gt=0, le=365)
        # At sigma 2 one parcel in six takes seven times the median: more is a slip of the pen.
        check_number(f"sigma of carrier {self.name!r}", self.sigma, gt=0, le=2)


@dataclass(frozen=True, kw_only=True)
class ShopDelay:
    """A delay shock (爆仓, 停运), every year: parcels shipped on its days take longer.

    Parameters
    ----------
    name
        What it is called.
    month, day
        When it begins.
    days
        How long it lasts, 1 to 366.
    factor
        How many times as long a parcel takes, 1 to 100. Where shocks overlap, the largest counts.
    provinces
        Where the parcels go; empty for all provinces.
    """

    name: str
    month: int
    day: int
    days: int
    factor: float
    provinces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"of delay {self.name!r}"
        check_number(f"month {where}", check_integer(f"month {where}", self.month, ge=1), le=12)
        # Every month has a 28th.
        check_number(f"day {where}", check_integer(f"day {where}", self.day, ge=1), le=28)
        check_number(f"days {where}", check_integer(f"days {where}", self.days, ge=1), le=366)
        check_number(f"factor {where}", self.factor, ge=1, le=100)
        given: Any = self.provinces
        # A text would be read as a list of letters.
        if isinstance(given, str):
            raise fail(f"provinces {where} is the text {given!r}", f"pass a tuple: ({given!r},)")


_CARRIERS = (
    ShopCarrier(name="express", share=0.3, lead_days=1.5, sigma=0.25),
    ShopCarrier(name="standard", share=0.5, lead_days=2.7, sigma=0.35),
    ShopCarrier(name="economy", share=0.2, lead_days=4.3, sigma=0.45),
)

_DELAYS = (
    ShopDelay(name="Double 11 jam", month=11, day=10, days=10, factor=1.6),
    ShopDelay(
        name="winter storm", month=1, day=8, days=12, factor=1.8, provinces=("Heilongjiang",)
    ),
)


@dataclass(frozen=True, kw_only=True)
class ShopParcels:
    """How parcels travel, what lateness costs and what a care call (晚到关怀) saves.

    A paid order is shipped after a log-normal time (sigma 0.5). The time on the way is log-normal
    with the median lead_days x the province's lead x the shock's factor. The customer is promised
    the ``promise`` quantile of the time without a shock, rounded up to whole days, from shipping
    on. A parcel delivered after that is late and lowers the customer's log hazard to buy by
    ``late_loss`` exp(-t / ``late_days``), t days after delivery.

    Of the late parcels a random share ``care`` is announced by a care call before the promised
    time, which takes ``care_effect`` of the loss away; the rest is the holdout (对照组).

    Parameters
    ----------
    carriers
        Who carries; the shares add up to 1.
    handling_hours
        Median hours from payment to shipping; above 0, at most 8760 (a year).
    promise
        Probability to arrive in time without a shock, before rounding up; above 0, below 1.
    delays
        Delay shocks. A province they name must be among the shop's.
    late_loss
        Loss of log hazard at the delivery of a late parcel; 0 for none.
    late_days
        Days in which the loss decays to 1 / e of its height.
    care
        Share of the late parcels that get a care call.
    care_hours
        How long before the promised time the call is made, hours; at shipping where the parcel
        is shipped later than that.
    care_effect
        Share of the loss that a call takes away.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> parcels = tp.ShopParcels()
    >>> float(parcels.promised_days("standard", lead=1.0))
    4.0
    >>> parcels.probability_late("standard", lead=1.0, factor=[1.0, 1.6]).round(3)
    array([0.131, 0.587])

    The longer a parcel has been on the way, the more likely it comes late.

    >>> parcels.probability_late_in_transit("standard", 1.0, age_days=[0, 2, 3, 4]).round(3)
    array([0.131, 0.163, 0.342, 1.   ])
    """

    carriers: tuple[ShopCarrier, ...] = _CARRIERS
    handling_hours: float = 14.0
    promise: float = 0.85
    delays: tuple[ShopDelay, ...] = _DELAYS
    late_loss: float = 0.5
    late_days: float = 120.0
    care: float = 0.5
    care_hours: float = 12.0
    care_effect: float = 0.8

    def __post_init__(self) -> None:
        check_shared("carriers", self.carriers, ShopCarrier)
        check_records("delays", self.delays, ShopDelay)
        check_number("handling_hours", self.handling_hours, gt=0, le=8760)
        check_number("promise", self.promise, gt=0, lt=1)
        check_number("late_loss", self.late_loss, ge=0)
        check_number("late_days", self.late_days, gt=0)
        check_share("care", self.care)
        check_number("care_hours", self.care_hours, gt=0)
        check_share("care_effect", self.care_effect)

    def promised_days(self, carrier: str, lead: npt.ArrayLike) -> FloatArray:
        """Return the promised whole days from shipping to delivery.

        Parameters
        ----------
        carrier
            Name of the carrier.
        lead
            The province's factor of the time on the way: one or an array.

        Returns
        -------
        numpy.ndarray
            Days, in the shape of ``lead``.

        Raises
        ------
        InputError
            If there is no such carrier or a lead is not positive.
        """
        by = self._carrier(carrier)
        median = by.lead_days * check_values("lead", lead, gt=0)
        return np.asarray(np.ceil(median * np.exp(by.sigma * special.ndtri(self.promise))))

    def probability_late(
        self, carrier: str, lead: npt.ArrayLike, factor: npt.ArrayLike = 1.0
    ) -> FloatArray:
        """Return the probability that a parcel is late: 1 - Phi(log(promised / median) / sigma).

        Parameters
        ----------
        carrier
            Name of the carrier.
        lead
            The province's factor of the time on the way.
        factor
            The shock's factor on the day of shipping; 1 for none.

        Returns
        -------
        numpy.ndarray
            In the common shape of ``lead`` and ``factor``.

        Raises
        ------
        InputError
            As probability_late_in_transit does.
        """
        return self.probability_late_in_transit(carrier, lead, 0.0, factor)

    def probability_late_in_transit(
        self,
        carrier: str,
        lead: npt.ArrayLike,
        age_days: npt.ArrayLike,
        factor: npt.ArrayLike = 1.0,
    ) -> FloatArray:
        """Return the probability of being late for a parcel that is still on the way.

        P(way > promised | way > age) = S(max(promised, age)) / S(age), with the survival function
        S of the log-normal time on the way.

        Parameters
        ----------
        carrier
            Name of the carrier.
        lead
            The province's factor of the time on the way.
        age_days
            Days since shipping, not negative.
        factor
            The shock's factor on the day of shipping; 1 for none.

        Returns
        -------
        numpy.ndarray
            In the common shape of ``lead``, ``age_days`` and ``factor``.

        Raises
        ------
        InputError
            If the carrier is unknown, a lead not positive, an age negative or a factor below 1.
        """
        by = self._carrier(carrier)
        promised = self.promised_days(carrier, lead)
        age = check_values("age_days", age_days, ge=0)
        median = by.lead_days * np.asarray(lead) * check_values("factor", factor, ge=1)

        def log_survival(days: FloatArray) -> FloatArray:
            # At age 0 the logarithm is -inf and the survival 1, as it should be.
            with np.errstate(divide="ignore"):
                return special.log_ndtr((np.log(median) - np.log(days)) / by.sigma)

        return np.asarray(np.exp(log_survival(np.maximum(promised, age)) - log_survival(age)))

    def _carrier(self, name: str) -> ShopCarrier:
        check_choice("carrier", name, [carrier.name for carrier in self.carriers])
        return next(carrier for carrier in self.carriers if carrier.name == name)


@dataclass(frozen=True)
class Parcels:
    """What happened to the parcels of orders, one an element: times in days since the start.

    Where the order was not paid, times and factor are NaN, the carrier is -1 and the loss 0.
    promised_at is the promised time; factor the delay shock's, 1 for none; care_at when a care call
    is due if the parcel will be late, cared_at when it was made, NaN if it was not; held_out marks
    late parcels without a call; loss is what the parcel takes from the log hazard at its delivery,
    0 where it is in time.
    """

    shipped_at: FloatArray
    promised_at: FloatArray
    delivered_at: FloatArray
    carrier: Codes
    factor: FloatArray
    late: BoolArray
    care_at: FloatArray
    cared_at: FloatArray
    held_out: BoolArray
    loss: FloatArray


def check_provinces(settings: ShopParcels, provinces: Sequence[ShopProvince]) -> None:
    """Raise unless the shop has every province that a delay names."""
    known = [province.name for province in provinces]
    for delay in settings.delays:
        for name in delay.provinces:
            if name not in known:
                raise fail(
                    f"delay {delay.name!r} names province {name!r}",
                    f"the shop has only {', '.join(known)}: name one of these, or pass"
                    " ShopParcels(delays=...) without it",
                )


def delay_factors(
    settings: ShopParcels, provinces: Sequence[ShopProvince], start: pd.Timestamp
) -> FloatArray:
    """Return the shocks' factors, a row a province and a column a day of the 400-year calendar.

    Column 0 is the day of ``start``. As the calendar repeats, day d of any size stands in column
    d modulo the number of columns.
    """
    factors = np.ones((len(provinces), _CYCLE_DAYS))
    today = np.datetime64(start.date(), "D")
    # Any 400 years in a row hold every begin once: those from 1970, where numpy counts from.
    januaries = 12 * np.arange(_CYCLE_YEARS)
    for delay in settings.delays:
        months = (januaries + int(delay.month) - 1).astype("datetime64[M]")
        first = (months.astype("datetime64[D]") - today).astype(np.int64) + int(delay.day) - 1
        days = (first[:, np.newaxis] + np.arange(int(delay.days))) % _CYCLE_DAYS
        for row, province in zip(factors, provinces, strict=True):
            if not delay.provinces or province.name in delay.provinces:
                row[days] = np.maximum(row[days], delay.factor)
    return factors


def ship(
    draws: Draws,
    settings: ShopParcels,
    provinces: Sequence[ShopProvince],
    orders: Orders,
    paid_at: FloatArray,
    jams: FloatArray,
) -> Parcels:
    """Return the parcels of ``orders``, paid at ``paid_at`` (days since the start; NaN: never).

    ``jams`` is what delay_factors returns for these settings and provinces.
    """
    customer, event = orders.customer, orders.event
    paid = ~np.isnan(paid_at)
    handling = np.exp(HANDLING_SIGMA * draws.normal("parcels.handling", customer, event))
    shipped_at = paid_at + settings.handling_hours / 24 * handling
    day = np.floor(np.where(paid, shipped_at, 0.0)).astype(np.int64) % jams.shape[1]
    factor = np.where(paid, jams[orders.province, day], np.nan)

    carriers = settings.carriers
    carrier = draws.choice("parcels.carrier", [by.share for by in carriers], customer, event)
    leads = np.array([province.lead for province in provinces])
    promised = np.array([settings.promised_days(by.name, leads) for by in carriers])
    medians = np.array([by.lead_days for by in carriers])[:, np.newaxis] * leads
    sigma = np.array([by.sigma for by in carriers])[carrier]
    spread = np.exp(sigma * draws.normal("parcels.way", customer, event))
    promised_at = shipped_at + promised[carrier, orders.province]
    delivered_at = shipped_at + medians[carrier, orders.province] * factor * spread

    late = delivered_at > promised_at
    at = np.flatnonzero(late)
    at = at[draws.uniform("parcels.care", customer[at], event[at]) < settings.care]
    cared_at = np.full(len(orders), np.nan)
    care_at = np.maximum(promised_at - settings.care_hours / 24, shipped_at)
    cared_at[at] = care_at[at]
    loss = np.where(late, settings.late_loss, 0.0)
    loss[at] *= 1 - settings.care_effect
    return Parcels(
        shipped_at=shipped_at,
        promised_at=promised_at,
        delivered_at=delivered_at,
        carrier=np.where(paid, carrier, np.int8(-1)),
        factor=factor,
        late=late,
        care_at=care_at,
        cared_at=cared_at,
        held_out=late & np.isnan(cared_at),
        loss=loss,
    )


@dataclass(frozen=True)
class Scans:
    """Tracking events, one an element, by parcel and time.

    parcel is the position of the parcel in the arrays that scans was given, time days since the
    start, event a code into SCAN_EVENTS.
    """

    parcel: npt.NDArray[np.int32]
    time: FloatArray
    event: Codes


def scans(
    draws: Draws,
    shipped_at: FloatArray,
    delivered_at: FloatArray,
    customer: IntArray,
    event: IntArray,
    until: float,
) -> Scans:
    """Return the tracking events of parcels up to the time ``until``; none where there is none.

    The arrays hold one parcel an element (shipped_at NaN: no parcel); customer and event are the
    order's. The times of a parcel increase strictly, but for a way of less than a microsecond.
    """
    known = np.flatnonzero(shipped_at <= until)
    kinds = len(SCAN_EVENTS)
    # Room for all events: only the few parcels still on the way leave some of it empty.
    parcel = np.empty(kinds * known.size, dtype=np.int32)
    time = np.empty(kinds * known.size)
    codes = np.empty(kinds * known.size, dtype=np.int8)
    filled = 0
    for first in range(0, known.size, _BLOCK):
        at = known[first : first + _BLOCK]
        times = np.empty((at.size, kinds))
        times[:, 0], times[:, -1] = shipped_at[at], delivered_at[at]
        way = times[:, -1] - times[:, 0]
        for code, (low, high) in enumerate(SCAN_RANGES, start=1):
            luck = draws.uniform(f"parcels.scan.{code}", customer[at], event[at])
            times[:, code] = times[:, 0] + (low + (high - low) * luck) * way
        seen = times <= until
        rows, columns = np.nonzero(seen)
        stop = filled + rows.size
        parcel[filled:stop] = at[rows]
        time[filled:stop] = times[seen]
        codes[filled:stop] = columns
        filled = stop
    return Scans(parcel=parcel[:filled], time=time[:filled], event=codes[:filled])
