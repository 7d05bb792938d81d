"""A log opened with its optional roles, and its indicators as of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import fail
from touchpoint_lib.churn._catalogue import catalogue
from touchpoint_lib.churn._levels import check_levels, make_levels
from touchpoint_lib.churn._tables import customer_index, fill, make_tables, order_sums
from touchpoint_lib.data.days import to_date, to_day, today_in
from touchpoint_lib.data.log import Log, open_log


@dataclass(frozen=True)
class Behaviour:
    """A checked log, and which optional roles it has."""

    opened: Log
    amounts: bool
    words: tuple[str, ...]
    roles: list[str]
    levels: dict[str, list[str]] | None
    tz: str | None

    def last_day(self) -> int:
        """Return the last day with a purchase or, of a log opened whole, with another event."""
        if "event" not in self.words:
            return self.opened.until
        [(last,)] = self.opened.con.execute("SELECT MAX(day) FROM events").fetchall()
        return self.opened.until if last is None else max(self.opened.until, last)

    def at(self, day: int, levels: Mapping[str, Sequence[str]] | None) -> pd.DataFrame:
        """Return the indicators as of a day; ``levels`` None chooses them as of that day."""
        n_customers = make_tables(self.opened, day)
        chosen = make_levels(self.opened, day, self.words, self.tz, levels)
        made = catalogue(
            amounts=self.amounts,
            discounts="discount" in self.roles,
            levels=chosen,
            day_of_year=to_date(day).timetuple().tm_yday,
        )
        index = customer_index(self.opened.con, self.opened.customer)
        names = [indicator.name for indicator in made]
        if index.name in (*names, "cutoff", "buys"):
            raise fail(
                f"the customer column is named {index.name!r}",
                "rename it: the result has such a column",
            )
        matrix = fill(self.opened, day, made, n_customers)
        infinite = np.flatnonzero(np.isinf(matrix).any(axis=0))
        if len(infinite):
            raise fail(
                f"{names[infinite[0]]} is infinite: amounts are too large or too far apart",
                "look for wrong amounts, or pass them in another unit",
            )
        frame = pd.DataFrame(matrix, index=index, columns=names, copy=False)
        at = to_date(day).isoformat()
        frame.attrs.update(unit="D", at=at, roles=list(self.roles), levels=chosen)
        return frame


def open_behaviour(
    log: Any,
    until: int | None,
    customer: str,
    time: str,
    amount: str | None,
    order: str | None,
    tz: str | None,
    on_bad: str,
    returns: str,
    discount: str | None,
    category: str | None,
    channel: str | None,
    event: str | None,
    purchase_event: Any,
    levels: Any,
) -> Behaviour:
    """Check arguments and log; with ``until`` what is later is not looked at."""
    if (event is None) != (purchase_event is None):
        raise fail(
            f"event is {event!r} and purchase_event is {purchase_event!r}",
            "pass both, the column and its value that stands for a purchase, or neither",
        )
    words = {"category": category, "channel": channel, "event": event}
    named = tuple(role for role, column in words.items() if column is not None)
    roles = [*(["discount"] if discount is not None else []), *named]
    checked = check_levels(levels, named)
    opened = open_log(
        log,
        customer,
        time,
        amount,
        "D",
        None if until is None else to_date(until),
        order,
        tz,
        on_bad,
        returns,
        discount,
        words,
        purchase_event,
        until_name="at",
    )
    order_sums(opened)
    return Behaviour(opened, amount is not None, named, roles, checked, tz)


def past_day(name: str, value: Any, tz: str | None) -> int:
    """Return the day number of a day that is not in the future."""
    day, (today, _) = to_day(name, value), today_in(tz)
    if day > today:
        raise fail(
            f"{name} is {to_date(day)}, later than today ({to_date(today)})",
            "nothing is known of the future: pass a day that is over",
        )
    return day
