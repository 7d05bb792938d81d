"""From logs of contacts and purchases to the frame of an experiment: one row a contact."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_columns,
    check_number,
    check_values,
    fail,
)

__all__ = ["contact_outcomes"]

_ARMS = ("contacted", "held out")
#: Times are taken to the microsecond.
_DAY = 86_400_000_000
#: The exponent below which whole numbers are exact in int64.
_BITS = 62
#: Ticks that reach further back than any log, and do not overflow.
_FOREVER = 2**62


def contact_outcomes(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    *,
    window: float,
    before: float = 0,
    customer: str = "customer_id",
    time: str = "time",
    held_out: str = "held_out",
    order_time: str = "time",
    amounts: Iterable[str] = (),
    until: Any = None,
    keep: Iterable[str] = (),
) -> pd.DataFrame:
    """Return what customers bought after each contact, or after the moment of a withheld one.

    Every opportunity has its own window (效果窗口): outcomes count the orders in
    (time, time + ``window``]; covariates know the orders up to the contact and at its very moment,
    never a later one. A customer with several contacts has several rows, whose windows may
    overlap: name the customer as the cluster where they are evaluated together.

    Parameters
    ----------
    contacts : DataFrame
        A row an opportunity (触达机会): a contact that was made, or held out at random. Its index
        must be unique.
    orders : DataFrame
        A row an order, in any order: what counts as an outcome. Leave out those that do not, such
        as unpaid ones.
    window : float
        Days of 24 hours after the contact, > 0.
    before : float
        Days up to the contact over which ``orders_before`` and the sums before it run, >= 0; with
        0 they run over all orders so far.
    customer, time, held_out : str
        Columns of ``contacts``; the customer is called the same in ``orders``. ``held_out`` is True
        where the contact was withheld (留白组).
    order_time : str
        Column of ``orders``.
    amounts : sequence of str
        Numeric columns of ``orders`` to be summed, such as amount and margin.
    until : date or time, optional
        The moment up to which ``orders`` is complete (a date: the end of that day); by default
        that of the last order.
    keep : sequence of str
        Further columns of ``contacts`` to be carried over, such as campaign, channel or cost.

    Returns
    -------
    DataFrame
        On the index of ``contacts``: the customer, the time, the columns ``keep``; arm
        ("contacted" or "held out"); orders and each of ``amounts`` in the window; and as of the
        contact silence (days since the last order), age (days since the first),
        orders_before and each of ``amounts`` with ``_before`` behind its name. ``attrs`` holds
        window, before and until.

    Raises
    ------
    InputError
        If a column is missing, not of its kind or has missing values; the index of ``contacts``
        or a column of the result is not unique; time zones differ; a window ends after ``until``;
        or a customer has no order up to the contact.

    Notes
    -----
    To count whole days behind the day of the contact instead, move the contacts to the end of
    their day: ``contacts["time"].dt.floor("D") + pd.Timedelta(days=1) - pd.Timedelta("1us")``. This
    is how the truth of a simulated shop counts, `ShopTruth.contacts`: it differs by the orders on
    the day of the contact, and by payments and returned goods that only come behind the end of
    the log.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> won = shop.contacts[shop.contacts["campaign"] == "win back"]
    >>> first = won["customer_id"].map(paid.groupby("customer_id")["time"].min())
    >>> data = tp.contact_outcomes(won[won["time"] >= first], paid, window=90, amounts=["margin"])
    >>> data.groupby("arm")[["orders", "margin", "silence", "orders_before"]].mean().round(2)
               orders  margin  silence  orders_before
    arm
    contacted    0.46   14.63   164.97           2.69
    held out     0.35   16.05   169.43           2.71
    """
    amounts, keep = _names("amounts", amounts), _names("keep", keep)
    check_number("window", window, gt=0)
    check_number("before", before, ge=0)
    _check_result([customer, time, *keep], amounts)
    remedy = "name the columns by the arguments of contact_outcomes"
    check_columns(contacts, [customer, time, held_out, *keep], "contacts", remedy)
    check_columns(orders, [customer, order_time, *amounts], "orders", remedy)
    if len(contacts) == 0:
        raise fail("contacts has no rows", "pass a row an opportunity")
    if len(orders) == 0:
        raise fail("orders has no rows", "pass a row an order")
    if not contacts.index.is_unique:
        twice = contacts.index.duplicated()
        raise fail(
            f"the index of contacts has {_first(contacts.index, twice)} several times "
            f"({int(twice.sum()):,} rows too many)",
            "make it unique: contacts.reset_index(drop=True)",
        )
    withheld = _flags(contacts, held_out)
    at, bought = _moments("contacts", contacts, time), _moments("orders", orders, order_time)
    if at.tz != bought.tz:
        raise fail(
            f"{time} of contacts has the time zone {at.tz}, {order_time} of orders {bought.tz}",
            "bring all times to one zone: tz_localize() or tz_convert()",
        )
    sums = {
        name: check_values(f"amounts {name!r}", orders[name], index=orders.index)
        for name in amounts
    }
    who, owner = _customers(contacts, orders, customer)
    end = _end(until, bought, order_time)
    moment = at.asi8
    late = pd.DatetimeIndex([end]).as_unit("us").asi8[0] - moment < window * _DAY
    if late.any():
        raise fail(
            f"the {window:g} days of the contact at index {_first(contacts.index, late)} end after "
            f"{end}, up to which orders are known ({int(late.sum()):,} such contacts)",
            "leave the latest contacts out, pass a shorter window, or pass until= if orders is "
            "complete up to a later moment",
        )

    history = _History.of(owner, bought.asi8)
    known = history.upto(who, moment)
    first = history.start[who]
    without = known == first
    if without.any():
        raise fail(
            f"customer {_first(contacts[customer], without)} has no order up to the contact at "
            f"index {_first(contacts.index, without)} ({int(without.sum()):,} such contacts)",
            "pass the orders from the first one on; contacts of who never bought before have no "
            "silence: leave them out, whatever their arm",
        )
    behind = history.upto(who, moment + round(window * _DAY))
    since = first
    if before > 0:
        since = history.upto(who, moment - round(min(before * _DAY, _FOREVER)))
    result: dict[Hashable, Any] = {name: contacts[name] for name in (customer, time, *keep)}
    result["arm"] = np.where(withheld, _ARMS[1], _ARMS[0])
    result["orders"] = behind - known
    totals = {name: _Total.of(values[history.order]) for name, values in sums.items()}
    for name, total in totals.items():
        result[name] = total.between(known, behind)
    result["silence"] = (moment - history.time[known - 1]) / _DAY
    result["age"] = (moment - history.time[first]) / _DAY
    result["orders_before"] = known - since
    for name, total in totals.items():
        result[f"{name}_before"] = total.between(since, known)
    frame = pd.DataFrame(result, index=contacts.index)
    frame.attrs = {"window": float(window), "before": float(before), "until": str(end)}
    return frame


@dataclass(frozen=True, eq=False)
class _History:
    """Orders sorted by customer and time: customer c has the places start[c] to start[c + 1]."""

    order: IntArray
    time: IntArray
    start: IntArray
    moments: IntArray
    key: IntArray

    @classmethod
    def of(cls, owner: IntArray, time: IntArray) -> _History:
        # Customer and rank of the time make one number that cannot overflow.
        moments, rank = np.unique(time, return_inverse=True)
        key = owner * (len(moments) + 1) + rank + 1
        order = np.argsort(key, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(owner))])
        return cls(order, time[order], start, moments, key[order])

    def upto(self, who: IntArray, moment: IntArray) -> IntArray:
        """Return the place behind the customers' last orders up to a moment, inclusive."""
        rank = _place_behind(self.moments, moment)
        return _place_behind(self.key, who * (len(self.moments) + 1) + rank)


def _place_behind(rising: IntArray, values: IntArray) -> IntArray:
    """Return how many numbers of ``rising`` each value has up to it, inclusive."""
    # Four times as fast in the order of the values: neighbours are found in the same place.
    order = np.argsort(values)
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.searchsorted(rising, values[order], side="right")
    return place


@dataclass(frozen=True, eq=False)
class _Total:
    """Running totals, as whole numbers of a small step and the rest.

    Differences of plain running totals would lose digits over millions of orders.
    """

    steps: IntArray
    rest: FloatArray
    shift: int

    @classmethod
    def of(cls, values: FloatArray) -> _Total:
        largest = float(np.abs(values).max(initial=0.0))
        shift = _BITS - len(values).bit_length() - int(np.frexp(largest)[1])
        steps = np.rint(np.ldexp(values, shift))
        rest = values - np.ldexp(steps, -shift)
        return cls(
            np.concatenate([[0], np.cumsum(steps.astype(np.int64))]),
            np.concatenate([[0.0], np.cumsum(rest)]),
            shift,
        )

    def between(self, first: IntArray, last: IntArray) -> FloatArray:
        """Return the sums of the values at the places from ``first`` to before ``last``."""
        steps = (self.steps[last] - self.steps[first]).astype(np.float64)
        return np.asarray(np.ldexp(steps, -self.shift) + (self.rest[last] - self.rest[first]))


def _names(name: str, columns: Any) -> list[str]:
    """Return names of columns as a list; raise where it is one text."""
    if isinstance(columns, str):
        raise fail(f"{name} is {columns!r}", f"pass a list: {name}=[{columns!r}]")
    if not isinstance(columns, Iterable):
        raise fail(f"{name} is {columns!r}", "pass a list of columns, which may be empty")
    return list(columns)


def _check_result(given: list[str], amounts: list[str]) -> None:
    """Raise if two columns of the result would have the same name."""
    made = ["arm", "orders", "silence", "age", "orders_before"]
    names = [*given, *amounts, *(f"{name}_before" for name in amounts), *made]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise fail(
            f"the result would have two columns {twice[0]!r}",
            f"name columns once; rename those called as what is made: {', '.join(made)}",
        )


def _flags(contacts: pd.DataFrame, column: str) -> BoolArray:
    """Return a column of truth values."""
    values = contacts[column]
    _check_present("contacts", contacts, column)
    if not pd.api.types.is_bool_dtype(values.dtype):
        raise fail(
            f"{column} of contacts holds {values.dtype}, no truth values",
            f"convert it, such as contacts[{column!r}] == 1",
        )
    return values.to_numpy(dtype=np.bool_)


def _moments(what: str, frame: pd.DataFrame, column: str) -> pd.DatetimeIndex:
    """Return a column of times to the microsecond."""
    values = frame[column]
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise fail(
            f"{column} of {what} holds {values.dtype}, no times",
            f"convert it: pd.to_datetime({what}[{column!r}])",
        )
    _check_present(what, frame, column)
    return pd.DatetimeIndex(values).as_unit("us")


def _customers(
    contacts: pd.DataFrame, orders: pd.DataFrame, customer: str
) -> tuple[IntArray, IntArray]:
    """Return a number for the customer of each contact and of each order."""
    ids = {}
    for what, frame in (("contacts", contacts), ("orders", orders)):
        _check_present(what, frame, customer)
        values = frame[customer]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.cat.categories.dtype)
        ids[what] = pd.Index(values)
    owner, known = pd.factorize(ids["orders"])
    who = known.get_indexer(ids["contacts"])
    if (who < 0).all():
        raise fail(
            f"no customer of contacts ({ids['contacts'].dtype}) is in orders "
            f"({ids['orders'].dtype})",
            f"call customers alike in both, in columns {customer!r} of one type",
        )
    # One behind the last has no orders.
    return np.where(who < 0, len(known), who).astype(np.int64), owner.astype(np.int64)


def _end(until: Any, bought: pd.DatetimeIndex, column: str) -> pd.Timestamp:
    """Return the moment up to which orders are known."""
    if until is None:
        return bought.max()
    remedy = "pass a date or moment such as '2025-12-31'"
    # A number would be read as nanoseconds.
    if not isinstance(until, str | dt.date | np.datetime64):
        raise fail(f"until is {until!r}", remedy)
    try:
        end = pd.Timestamp(until)
    except (ValueError, TypeError) as error:
        raise fail(f"until is {until!r} ({error})", remedy) from None
    if pd.isna(end):
        raise fail(f"until is {until!r}", remedy)
    if (end.tz is None) != (bought.tz is None):
        has, needs = ("no", "one") if end.tz is None else ("a", "none")
        raise fail(f"until ({end}) has {has} time zone", f"{column} has {needs}: pass it alike")
    if end == end.normalize():
        # A date counts to its end, as elsewhere.
        end = end + pd.Timedelta(days=1) - pd.Timedelta("1us")
    return end if bought.tz is None else end.tz_convert(bought.tz)


def _check_present(what: str, frame: pd.DataFrame, column: str) -> None:
    """Raise where a value of a column is missing."""
    missing = frame[column].isna().to_numpy()
    if missing.any():
        raise fail(
            f"{column} of {what} is missing at index {_first(frame.index, missing)} "
            f"({int(missing.sum()):,} such rows)",
            "fill or remove them",
        )


def _first(values: Any, bad: Any) -> str:
    """Return how the first of the bad values is shown: 4, not np.int32(4)."""
    return repr(values[np.asarray(bad)][:1].tolist()[0])
