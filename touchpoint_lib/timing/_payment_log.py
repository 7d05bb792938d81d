"""Orders and their payments, checked and brought together: one row an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_columns,
    check_present,
    fail,
    first_of,
)
from touchpoint_lib.timing._columns import as_moment, check_labels

#: Customers at the first, the second and every later day of ordering.
KINDS = ("new", "second", "loyal")
#: More distinct limits are no classes.
_MOST_LIMITS = 6
_MICROSECONDS = 60e6
#: Columns of the plan besides the order and the customer.
_PLANNED = ("kind", "source", "limit", "remind_at", "own_share", "action", "reason")
_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Names:
    """Names of the columns."""

    order: str
    customer: str
    time: str
    source: str
    paid: str
    limit: str
    reminded: str | None
    cancelled: str | None


@dataclass(frozen=True, eq=False)
class PaymentLog:
    """Orders up to ``until``, in their order; times after it are not known and inf.

    frame has order, customer, source as given, time, kind and limit (whole minutes); customer
    numbers the customers, first marks their first order of a day. paid, reminded, cancelled
    (before the limit), due and age (at ``until``) are minutes from the order, inf where none.
    """

    frame: pd.DataFrame
    until: pd.Timestamp
    customer: IntArray
    first: BoolArray
    paid: FloatArray
    reminded: FloatArray
    cancelled: FloatArray
    due: FloatArray
    age: FloatArray

    @property
    def limit(self) -> FloatArray:
        return self.frame["limit"].to_numpy(dtype=np.float64)

    def seen(self, end: pd.Timestamp) -> FloatArray:
        """Return the minutes from each order to ``end``."""
        return _minutes(end - self.frame["time"])

    def moment(self, rows: IntArray, minutes: FloatArray) -> pd.Series:
        """Return when the orders at ``rows`` are so many minutes old."""
        spans = np.rint(minutes * _MICROSECONDS).astype("timedelta64[us]")
        return pd.Series(self.frame["time"].array[rows] + spans)

    def day(self, rows: IntArray, minutes: FloatArray) -> IntArray:
        """Return the local calendar day (from 1970) of these moments."""
        return _days(self.moment(rows, minutes))

    def one_a_day(self, minutes: FloatArray, candidates: BoolArray) -> BoolArray:
        """Return which candidates, reminded at those ages, are the customer's first that day.

        Of equal moments it is the order that was placed first.
        """
        rows = np.flatnonzero(candidates)
        table = pd.DataFrame(
            {
                "customer": self.customer[rows],
                "day": self.day(rows, minutes[rows]),
                "moment": self.moment(rows, minutes[rows]),
                "placed": self.frame["time"].array[rows],
            }
        ).sort_values(["moment", "placed"], kind="stable")
        first = ~table.duplicated(["customer", "day"]).sort_index().to_numpy()
        chosen = np.zeros(len(candidates), dtype=np.bool_)
        chosen[rows[first]] = True
        return chosen


def read_payments(orders: Any, payments: Any, names: Names, until: Any) -> PaymentLog:
    """Return the log of orders and payments.

    Raises
    ------
    InputError
        If a column, an id or a time is missing, an order stands twice or in one frame only, times
        have different zones or an impossible order, or there are too many limits.
    """
    remedy = "name the columns by the arguments of payment_reminder"
    needed = [names.order, names.customer, names.time, names.source]
    check_columns(orders, needed, "orders", remedy)
    for argument, column in (("order", names.order), ("customer", names.customer)):
        if column in _PLANNED:
            raise fail(f"{argument} is {column!r}, a column of the plan", "rename it in orders")
    if names.order == names.customer:
        raise fail(f"order and customer are both {names.order!r}", "name two columns")
    stamps = [name for name in (names.reminded, names.cancelled) if name is not None]
    stamps = [names.paid, names.limit, *stamps]
    check_columns(payments, [names.order, *stamps], "payments", remedy)
    for what, frame in (("orders", orders), ("payments", payments)):
        _check_ids(what, frame, names.order)
    for name in (names.customer, names.source):
        _check_column("orders", orders, name)
    place = pd.Index(payments[names.order]).get_indexer(pd.Index(orders[names.order]))
    if (place < 0).any():
        lone = first_of(orders[names.order], place < 0)
        raise fail(
            f"payments has no row of {names.order} {lone} ({int((place < 0).sum()):,} such orders)",
            "pass a row for every order, without a time of payment where there is none",
        )
    if len(payments) > len(orders):
        strange = ~payments[names.order].isin(orders[names.order])
        raise fail(
            f"orders has no row of {names.order} {first_of(payments[names.order], strange)} of "
            f"payments ({int(strange.sum()):,} such payments)",
            "pass the orders of all payments, or filter both alike",
        )
    time = _times("orders", orders, names.time)
    _check_column("orders", orders, names.time)
    columns = {name: _times("payments", payments, name).iloc[place] for name in stamps}
    for name, column in columns.items():
        if column.dt.tz != time.dt.tz:
            raise fail(
                f"{name} has the time zone {column.dt.tz}, {names.time} {time.dt.tz}",
                "bring all times to one zone: tz_localize() or tz_convert()",
            )
    _check_column("payments", payments, names.limit)
    found = {name: _minutes(column.array - time.array) for name, column in columns.items()}
    missing = np.full(len(time), np.nan)
    due, paid = found[names.limit], found[names.paid]
    reminded = missing if names.reminded is None else found[names.reminded]
    cancelled = missing if names.cancelled is None else found[names.cancelled]
    ids = orders[names.order]
    for bad, what, fix in (
        (due <= 0, f"{names.limit} is not after {names.time}", "correct or remove them"),
        (paid < 0, f"{names.paid} is before {names.time}", "correct or remove them"),
        (reminded < 0, f"{names.reminded} is before {names.time}", "correct or remove them"),
        (cancelled < 0, f"{names.cancelled} is before {names.time}", "correct or remove them"),
        (
            paid > due,
            f"{names.paid} is after {names.limit}",
            "an order cannot be paid after its limit: pass the limit that was in force",
        ),
        (
            reminded > due,
            f"{names.reminded} is after {names.limit}",
            "pass the limit that was in force",
        ),
        (
            reminded > paid,
            f"{names.reminded} is after {names.paid}",
            "remove reminders of what was paid",
        ),
        (
            np.isfinite(paid) & np.isfinite(cancelled),
            f"both {names.paid} and {names.cancelled} are given",
            "keep the one that came first",
        ),
    ):
        if bad.any():
            raise fail(
                f"{what} at {names.order} {first_of(ids, bad)} ({int(bad.sum()):,} such orders)",
                fix,
            )
    del columns[names.limit]
    latest = max(column.max() for column in (time, *columns.values()) if column.notna().any())
    end = latest if until is None else as_moment("until", until, time)
    inside = (time <= end).to_numpy()
    if not inside.any():
        raise fail(f"until is {end:{_FORMAT}}, before every {names.time}", "pass a later moment")
    age = _minutes(end - time)
    known = {
        name: np.where(values <= age, values, np.inf)[inside]
        for name, values in (
            ("paid", paid),
            ("reminded", reminded),
            # At the limit, or when that is enforced, it is the limit that cancels.
            ("cancelled", np.where(cancelled < due, cancelled, np.inf)),
        )
    }
    frame = pd.DataFrame(
        {
            "order": ids.array,
            "customer": orders[names.customer].array,
            "source": np.asarray(orders[names.source]),
            "time": time.array,
            "limit": _limits(due, names),
        }
    )[inside].reset_index(drop=True)
    customer = pd.factorize(frame["customer"])[0].astype(np.int64)
    day = _days(frame["time"])
    frame.insert(2, "kind", _kinds(customer, day))
    by_time = pd.DataFrame({"customer": customer, "day": day, "time": frame["time"]})
    by_time = by_time.sort_values("time", kind="stable")
    return PaymentLog(
        frame=frame,
        until=end,
        customer=customer,
        first=~by_time.duplicated(["customer", "day"]).sort_index().to_numpy(),
        due=due[inside],
        age=age[inside],
        **known,
    )


def _check_ids(what: str, frame: pd.DataFrame, name: str) -> None:
    """Raise unless ``frame`` has rows, each with an id of its own."""
    if len(frame) == 0:
        raise fail(f"{what} has no rows", "pass at least 40 orders")
    _check_column(what, frame, name)
    twice = frame[name].duplicated()
    if twice.any():
        raise fail(
            f"{name} {first_of(frame[name], twice)} stands twice in {what} "
            f"({int(twice.sum()):,} such rows)",
            "pass one row an order",
        )


def _check_column(what: str, frame: pd.DataFrame, name: str) -> None:
    """Raise where a value of a column is missing, or labels are of several types."""
    check_present(what, frame, name)
    check_labels(f"{name} of {what}", frame[name])


def _times(what: str, frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of times to the microsecond."""
    column = frame[name]
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise fail(
            f"{name} of {what} holds {column.dtype}, no times",
            f"convert it: pd.to_datetime({what}[{name!r}])",
        )
    return column.dt.as_unit("us")


def _minutes(spans: Any) -> FloatArray:
    """Return durations as minutes, NaN where missing."""
    # By way of whole microseconds: 240 minutes must be 240.
    steps = pd.Series(spans).to_numpy().astype("timedelta64[us]")
    return np.where(np.isnat(steps), np.nan, steps.astype(np.int64) / _MICROSECONDS)


def _days(moments: pd.Series) -> IntArray:
    """Return the local calendar days of moments, counted from 1970."""
    local = moments.dt.tz_localize(None).to_numpy()
    return local.astype("datetime64[D]").astype(np.int64)


def _limits(due: FloatArray, names: Names) -> IntArray:
    """Return the limits in whole minutes; raise where they are no classes."""
    limits = np.rint(due).astype(np.int64)
    found = np.unique(limits)
    if found[0] < 2:
        short = int(np.argmin(limits))
        raise fail(
            f"{names.limit} is {due[short]:g} minutes after {names.time} in row {short}",
            "no reminder fits in: leave orders with a limit under 2 minutes out",
        )
    if len(found) > _MOST_LIMITS:
        some = ", ".join(str(one) for one in found[:_MOST_LIMITS])
        raise fail(
            f"{names.limit} gives {len(found)} limits ({some}, ... minutes after {names.time})",
            f"at most {_MOST_LIMITS} are taken: round {names.limit} to the limits that are in "
            "force, or look at each kind of order by itself",
        )
    return limits


def _kinds(customer: IntArray, day: IntArray) -> Any:
    """Return the kind of customer at each order: by the customer's days of ordering up to it."""
    order = np.lexsort((day, customer))
    starts = np.diff(customer[order], prepend=-1) != 0
    new_day = starts | (np.diff(day[order], prepend=day[order][0]) != 0)
    days = np.cumsum(new_day)
    first = np.maximum.accumulate(np.where(starts, days, 0))
    nth = np.empty(len(day), dtype=np.int64)
    nth[order] = days - first
    kinds = pd.Index(KINDS, dtype="str")
    return pd.Categorical.from_codes(np.minimum(nth, len(KINDS) - 1), kinds, ordered=True)
