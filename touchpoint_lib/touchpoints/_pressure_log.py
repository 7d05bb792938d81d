"""Opportunities with the contacts that a customer had shortly before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import IntArray, check_columns, check_values, fail
from touchpoint_lib.campaigns._data import read_codes
from touchpoint_lib.campaigns._events import DAY, History, check_same_day, customer_codes, flags
from touchpoint_lib.timing._columns import as_moment
from touchpoint_lib.touchpoints._frames import check_log

#: The row of all channels that count together.
ALL = "(all)"
#: Columns of contacts that may be lacking.
_OPTIONAL = ("held_out", "campaign")


@dataclass(frozen=True, eq=False)
class PressureLog:
    """Opportunities of a log, with the contacts that the customer had in the days before.

    ``frame`` has a row an opportunity whose days before lie within the log: customer_id, time,
    channel, campaign, made, n (contacts before), cost, followed (its window is over), bought (an
    order in the window), new (no order so far), and the flags of ``named``. ``pressing`` are the
    codes of the channels that count, ``today`` the contacts of each customer in the days up to
    ``until``, ``paid`` the orders up to then.
    """

    frame: pd.DataFrame
    channels: list[Any]
    pressing: list[int]
    today: pd.Series
    until: pd.Timestamp
    known_to: pd.Timestamp
    paid: pd.DataFrame
    n_early: int
    n_later: int


def read_log(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    *,
    window: float,
    days: float,
    counted: Iterable[Any] | None,
    named: Mapping[str, str],
    until: Any,
) -> PressureLog:
    """Return the opportunities of the log, checked, with the contacts before each."""
    time = check_log("contacts", contacts, ["channel", "cost", *named.values()])
    check_columns(contacts, [name for name in _OPTIONAL if name in contacts.columns], "contacts")
    bought = check_log("orders", orders)
    check_same_day(contacts, time, orders, bought)
    made = np.ones(len(contacts), dtype=np.bool_)
    if "held_out" in contacts.columns:
        made = ~flags("contacts", contacts, "held_out")
    code, channels = read_codes(contacts, "channel", "channel")
    if ALL in channels:
        raise fail(f"a channel of contacts is called {ALL!r}", "rename it: results have such a row")
    cost = check_values("cost", contacts["cost"], ge=0, index=contacts.index)
    end, known_to = _ends(until, time, bought)
    paid = np.asarray(bought <= known_to)
    if not paid.any():
        raise fail(f"all orders are later than until ({end})", "pass a later until")
    later = np.asarray(time > end)
    moment, span = time.asi8, round(days * DAY)
    early = moment < moment.min() + span
    kept = ~(early | later)
    if not kept.any():
        raise fail(
            f"contacts has none from {days:g} days after the first ({time.min()}) to {end}",
            "pass a longer log: how many contacts came before its beginning is not known",
        )
    pressing = _places(counted, channels)
    presses = made & ~later & np.isin(code, pressing)
    codes, ids = pd.factorize(contacts["customer_id"])
    who = codes.astype(np.int64)
    recent = np.zeros(len(contacts), dtype=np.int64)
    if presses.any():
        history = History.of(who[presses], moment[presses])
        # In (moment - days, moment): neither the contact itself nor one at its very moment.
        recent = history.upto(who, moment - 1) - history.upto(who, moment - span)
    lately = np.bincount(who[presses & (moment > _ticks(end) - span)], minlength=len(ids))

    buyer, owner = customer_codes(contacts, orders, "customer_id")
    purchases = History.of(owner[paid], bought.asi8[paid])
    behind = purchases.upto(buyer, moment + round(window * DAY))
    known = purchases.upto(buyer, moment)
    # Customers behind the last one have no orders: they stand at the end.
    first = purchases.start[np.minimum(buyer, len(purchases.start) - 1)]
    frame = pd.DataFrame(
        {
            "customer_id": contacts["customer_id"].array,
            "time": time,
            "channel": code,
            "campaign": _campaigns(contacts),
            "made": made,
            "n": recent,
            "cost": cost,
            "followed": _ticks(known_to) - moment >= window * DAY,
            "bought": behind > known,
            "new": known == first,
            **{name: flags("contacts", contacts, column) for name, column in named.items()},
        }
    )
    return PressureLog(
        frame=frame[kept].reset_index(drop=True),
        channels=channels,
        pressing=pressing,
        today=pd.Series(lately[lately > 0], index=pd.Index(ids)[lately > 0]),
        until=end,
        known_to=known_to,
        paid=orders[paid],
        n_early=int((early & ~later).sum()),
        n_later=int(later.sum()),
    )


def _ends(
    until: Any, time: pd.DatetimeIndex, bought: pd.DatetimeIndex
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the last moment of the log, and that up to which orders are known."""
    if until is None:
        return max(time.max(), bought.max()), bought.max()
    end = as_moment("until", until, pd.Series(time, name="time"))
    if end == end.normalize():
        # A date counts to its end, as elsewhere.
        end = end + pd.Timedelta(days=1) - pd.Timedelta("1us")
    return end, end


def _ticks(moment: pd.Timestamp) -> int:
    return int(pd.DatetimeIndex([moment]).as_unit("us").asi8[0])


def _campaigns(contacts: pd.DataFrame) -> IntArray:
    """Return the number of each contact's campaign; outside of campaigns it is 0."""
    if "campaign" not in contacts.columns:
        return np.zeros(len(contacts), dtype=np.int64)
    try:
        return pd.factorize(contacts["campaign"])[0].astype(np.int64) + 1
    except TypeError:
        raise fail("campaign of contacts holds lists or the like", "make them all text") from None


def _places(counted: Iterable[Any] | None, channels: list[Any]) -> list[int]:
    """Return the codes of the channels that count."""
    if counted is None:
        return list(range(len(channels)))
    if isinstance(counted, str) or not isinstance(counted, Iterable):
        raise fail(f"counted is {counted!r}", "pass a list of channels")
    names = list(counted)
    for name in names:
        if name not in channels:
            listed = ", ".join(repr(one) for one in channels)
            raise fail(f"counted has {name!r}", f"the channels of contacts are {listed}")
    if not names:
        raise fail("counted is empty", "name the channels that tire, or pass None for all")
    return [channels.index(name) for name in names]
