"""From logs of contacts and purchases to the frame of an experiment: one row a contact."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_columns, check_number, check_values, fail, first_of
from touchpoint_lib.campaigns._events import (
    DAY,
    History,
    Total,
    check_same_day,
    customer_codes,
    end_of,
    flags,
    moments,
)

__all__ = ["contact_outcomes"]

_ARMS = ("contacted", "held out")
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
            f"the index of contacts has {first_of(contacts.index, twice)} several times "
            f"({int(twice.sum()):,} rows too many)",
            "make it unique: contacts.reset_index(drop=True)",
        )
    withheld = flags("contacts", contacts, held_out)
    at, bought = moments("contacts", contacts, time), moments("orders", orders, order_time)
    if at.tz != bought.tz:
        raise fail(
            f"{time} of contacts has the time zone {at.tz}, {order_time} of orders {bought.tz}",
            "bring all times to one zone: tz_localize() or tz_convert()",
        )
    sums = {
        name: check_values(f"amounts {name!r}", orders[name], index=orders.index)
        for name in amounts
    }
    who, owner = customer_codes(contacts, orders, customer)
    # Dates in both logs are taken as they are.
    timed = at != at.normalize()
    if timed.any():
        check_same_day(contacts[timed], at[timed], orders, bought, customer)
    end = end_of(until, bought, order_time)
    moment = at.asi8
    late = pd.DatetimeIndex([end]).as_unit("us").asi8[0] - moment < window * DAY
    if late.any():
        raise fail(
            f"the {window:g} days of the contact at index {first_of(contacts.index, late)} end "
            f"after {end}, up to which orders are known ({int(late.sum()):,} such contacts)",
            "leave the latest contacts out, pass a shorter window, or pass until= if orders is "
            "complete up to a later moment",
        )

    history = History.of(owner, bought.asi8)
    known = history.upto(who, moment)
    first = history.start[who]
    without = known == first
    if without.any():
        raise fail(
            f"customer {first_of(contacts[customer], without)} has no order up to the contact at "
            f"index {first_of(contacts.index, without)} ({int(without.sum()):,} such contacts)",
            "pass the orders from the first one on; contacts of who never bought before have no "
            "silence: leave them out, whatever their arm",
        )
    behind = history.upto(who, moment + round(window * DAY))
    since = first
    if before > 0:
        since = history.upto(who, moment - round(min(before * DAY, _FOREVER)))
    result: dict[Hashable, Any] = {name: contacts[name] for name in (customer, time, *keep)}
    result["arm"] = np.where(withheld, _ARMS[1], _ARMS[0])
    result["orders"] = behind - known
    totals = {name: Total.of(values[history.order]) for name, values in sums.items()}
    for name, total in totals.items():
        result[name] = total.between(known, behind)
    result["silence"] = (moment - history.time[known - 1]) / DAY
    result["age"] = (moment - history.time[first]) / DAY
    result["orders_before"] = known - since
    for name, total in totals.items():
        result[f"{name}_before"] = total.between(since, known)
    frame = pd.DataFrame(result, index=contacts.index)
    frame.attrs = {"window": float(window), "before": float(before), "until": str(end)}
    return frame


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
