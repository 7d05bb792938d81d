"""Contacts as paths (路径): the channels on a customer's way to an order, or to none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, IntArray, check_columns, check_present, fail
from touchpoint_lib.campaigns._events import (
    DAY,
    History,
    check_same_day,
    customer_codes,
    flags,
    moments,
)

#: What stands between the channels of a path.
SEPARATOR = " > "
#: The path without a touch, and the row of the paths that are not shown.
NO_CONTACT, OTHER = "(no contact)", "(other)"
#: Ticks that reach further than any log, and do not overflow.
_FOREVER = 2**62


@dataclass(frozen=True, eq=False)
class Paths:
    """Sequences of channels, none of them empty.

    Path p has the touches start[p] to start[p + 1]; ``code`` is a touch's place in ``channels``.
    """

    channels: list[str]
    code: IntArray
    start: IntArray

    @cached_property
    def size(self) -> IntArray:
        """Touches of each path."""
        return np.diff(self.start)

    @cached_property
    def owner(self) -> IntArray:
        """The path of each touch."""
        return np.repeat(np.arange(len(self.size)), self.size)

    @property
    def first(self) -> IntArray:
        """The first channel of each path."""
        return self.code[self.start[:-1]]

    @property
    def last(self) -> IntArray:
        """The last channel of each path."""
        return self.code[self.start[1:] - 1]

    def take(self, chosen: BoolArray) -> Paths:
        """Return the chosen paths."""
        return Paths(self.channels, self.code[chosen[self.owner]], _starts(self.size[chosen]))

    def sets(self) -> Paths:
        """Return the channels of each path once, sorted."""
        # Nearly sorted already, which np.unique makes nothing of.
        key = np.sort(self.owner * len(self.channels) + self.code)
        key = key[np.diff(key, prepend=-1) != 0]
        owner, code = np.divmod(key, max(len(self.channels), 1))
        return Paths(self.channels, code, _starts(np.bincount(owner, minlength=len(self.size))))

    def groups(self) -> tuple[IntArray, IntArray]:
        """Return a number for each path, the same for equal ones, and an example of each."""
        # A walk down the tree of all paths, a step for all of them at once.
        node, named, step = np.zeros(len(self.size), dtype=np.int64), 1, 0
        going = np.flatnonzero(self.size > step)
        while len(going):
            key = node[going] * len(self.channels) + self.code[self.start[going] + step]
            number, distinct = pd.factorize(key)
            node[going] = named + number
            named, step = named + len(distinct), step + 1
            going = going[self.size[going] > step]
        _, example, group = np.unique(node, return_index=True, return_inverse=True)
        return group, example

    def text(self, path: int) -> str:
        """Return a path as text."""
        touches = self.code[self.start[path] : self.start[path + 1]]
        return SEPARATOR.join(self.channels[code] for code in touches)


@dataclass(frozen=True, eq=False)
class Journeys:
    """The paths of a log, to an order or lost, and what was left out.

    ``place`` is where the order of a path stands in ``history``, -1 for a lost path; ``moment`` is
    the time of each touch. ``early`` says which orders have days of their window before the first
    row of contacts. ``open_paths`` with ``open_contacts`` had not ended by ``until``.
    """

    paths: Paths
    place: IntArray
    moment: IntArray
    history: History
    early: BoolArray
    until: pd.Timestamp
    contacts: int
    held_out: int
    open_paths: int
    open_contacts: int


def read_journeys(contacts: pd.DataFrame, orders: pd.DataFrame, window: float) -> Journeys:
    """Return the paths of the contacts that were made.

    A contact is a touch of the customer's next order if that comes within ``window`` days, in
    (time, time + window]; otherwise it is lost. The touches of an order are a path. The lost
    contacts between two orders are one too, cut where ``window`` days pass without a further one.
    It has ended when ``window`` days have passed behind its last contact; paths that have not by
    the last order of the log are open, and left out.
    """
    for what, frame, columns, maker in (
        ("contacts", contacts, ["customer_id", "time", "channel"], "contact_log"),
        ("orders", orders, ["customer_id", "time"], "order_log"),
    ):
        check_columns(frame, columns, what, f"make it with {maker}(...)")
        if len(frame) == 0:
            raise fail(f"{what} has no rows", f"make it with {maker}(...)")
    code, channels = _channels(contacts)
    withheld = np.zeros(len(contacts), dtype=np.bool_)
    if "held_out" in contacts:
        check_columns(contacts, ["held_out"], "contacts")
        withheld = flags("contacts", contacts, "held_out")
    at, bought = moments("contacts", contacts, "time"), moments("orders", orders, "time")
    if at.tz != bought.tz:
        raise fail(
            f"time of contacts has the time zone {at.tz}, time of orders {bought.tz}",
            "bring all times to one zone: tz_localize() or tz_convert()",
        )
    check_same_day(contacts, at, orders, bought)
    who, owner = customer_codes(contacts, orders, "customer_id")
    history = History.of(owner, bought.asi8)
    customers = len(history.start) - 1
    strange = who == customers
    # Who never ordered shares one number so far.
    who[strange] += pd.factorize(contacts["customer_id"][strange])[0]

    made = np.flatnonzero(~withheld)
    rows = made[np.lexsort((at.asi8[made], who[made]))]
    who, moment, code = who[rows], at.asi8[rows], code[rows]
    ticks = round(min(window * DAY, _FOREVER))
    behind = history.upto(who, moment)
    known = who < customers
    ordered = known & (behind < history.start[np.where(known, who, 0) + 1])
    due = history.time[np.where(ordered, behind, 0)]
    touches = ordered & (due - moment <= ticks)

    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (
        (np.diff(who) != 0)
        | (np.diff(behind) != 0)
        | (touches[1:] != touches[:-1])
        | (~touches[1:] & (np.diff(moment) > ticks))
    )
    first = np.flatnonzero(new)
    paths = Paths(channels, code, np.append(first, len(rows)))
    place = np.where(touches, behind, -1)[first]
    until = bought.max()
    # An order's contacts come after the order before it.
    since = history.time - ticks
    again = np.ones(len(since), dtype=np.bool_)
    again[history.start[:-1]] = False
    since[again] = np.maximum(since[again], history.time[:-1][again[1:]])
    last = moment[paths.start[1:] - 1]
    ended = (place >= 0) | (bought.asi8.max() - last >= ticks)
    return Journeys(
        paths.take(ended),
        place[ended],
        moment[ended[paths.owner]],
        history,
        since < at.asi8.min(),
        until,
        contacts=len(rows),
        held_out=int(withheld.sum()),
        open_paths=int((~ended).sum()),
        open_contacts=int(paths.size[~ended].sum()),
    )


def check_channels(channels: list[str], where: str) -> None:
    """Raise where the name of a channel would make a path ambiguous."""
    for channel in channels:
        if channel in (NO_CONTACT, OTHER) or SEPARATOR in channel or not channel.strip():
            raise fail(
                f"a channel of {where} is called {channel!r}",
                f"rename it: {NO_CONTACT!r} and {OTHER!r} are rows of results, {SEPARATOR!r} "
                "stands between the channels of a path, and a name is not empty",
            )


def _channels(contacts: pd.DataFrame) -> tuple[IntArray, list[str]]:
    """Return the channel of each contact as its place in the sorted names."""
    check_present("contacts", contacts, "channel")
    try:
        number, found = pd.factorize(contacts["channel"])
    except TypeError:
        raise fail("channel of contacts holds lists or the like", "name channels by text") from None
    names = list(found)
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise fail(f"channel of contacts has the value {odd[0]!r}", "name channels by text")
    check_channels(names, "contacts")
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return rank[number], [names[place] for place in order]


def _starts(sizes: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(sizes)])
