"""Indicators as of several days, each with what came after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_integer, fail
from touchpoint_lib.churn._behaviour import open_behaviour, past_day
from touchpoint_lib.churn._tables import who_buys
from touchpoint_lib.data.days import to_date

__all__ = ["indicator_panel"]


def indicator_panel(
    log: Any,
    cutoffs: Iterable[Any],
    horizon: int,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    returns: str = "raise",
    discount: str | None = None,
    category: str | None = None,
    channel: str | None = None,
    event: str | None = None,
    purchase_event: Any = None,
    levels: Mapping[str, Sequence[str]] | None = None,
    until: Any = None,
) -> pd.DataFrame:
    """Return the indicators as of each of several days, and who bought after it.

    A row knows nothing later than its cutoff; the levels are chosen at the first cutoff. The
    outcome is counted as `rfm_split` counts the holdout: returns are netted within it alone. No
    two outcomes of a customer share a day.

    Parameters
    ----------
    log, customer, time, amount, order, tz, on_bad, returns, discount
        As for `behaviour_indicators`; all rows of the log are checked, those after the last
        outcome too.
    category, channel, event, purchase_event, levels
        As for `behaviour_indicators`. To get the same columns later, for a model of this panel,
        pass it ``levels=panel.attrs["levels"]``.
    cutoffs
        Rising days, at least ``horizon`` days apart.
    horizon : int
        Days after each cutoff in which a purchase counts, at least 1.
    until
        The last day of observation, inclusive; by default the last day of the usable rows. A day
        after it is known to have no purchase: name it where the log was drawn later.

    Returns
    -------
    pandas.DataFrame
        Indexed and sorted by customer and ``cutoff`` (datetime64); a row for each customer with a
        purchase by the cutoff. The columns of `behaviour_indicators`, and ``buys`` (bool): a
        purchase day in (cutoff, cutoff + horizon]. ``attrs`` holds unit, cutoffs, horizon, roles
        and levels.

    Raises
    ------
    InputError
        As for `behaviour_indicators`, and if there is no cutoff, one is before the first
        purchase, they are not ``horizon`` days apart, or the last + ``horizon`` is later than
        ``until``: its outcome is not known yet.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.churn.panel import indicator_panel
    >>> log = tp.load_cdnow(sample=True)
    >>> panel = indicator_panel(log, ["1997-06-30", "1997-12-31"], horizon=180)
    >>> panel["buys"].groupby("cutoff").agg(["size", "mean"]).round(3)
                size   mean
    cutoff
    1997-06-30  2357  0.261
    1997-12-31  2357  0.218
    """
    days = _rising(cutoffs, tz)
    horizon = check_integer("horizon", horizon, ge=1)
    close = [i for i in range(1, len(days)) if days[i] - days[i - 1] < horizon]
    if close:
        earlier, later = days[close[0] - 1], days[close[0]]
        raise fail(
            f"the cutoffs {to_date(earlier)} and {to_date(later)} are {later - earlier} days "
            f"apart, the horizon is {horizon:.9g}",
            "pass cutoffs at least the horizon apart: an outcome must not count twice",
        )
    behaviour = open_behaviour(
        log,
        None,
        customer,
        time,
        amount,
        order,
        tz,
        on_bad,
        returns,
        discount,
        category,
        channel,
        event,
        purchase_event,
        levels,
    )
    last = behaviour.last_day() if until is None else past_day("until", until, tz)
    _check_window(behaviour.opened.first_purchase, last, days, horizon)
    fixed = behaviour.levels
    parts = []
    for day in days:
        frame = behaviour.at(day, fixed)
        fixed = frame.attrs["levels"]
        frame["buys"] = who_buys(behaviour.opened, day, horizon, len(frame))
        parts.append(frame)
    behaviour.opened.con.close()
    return _stacked(parts, days, horizon)


def _rising(cutoffs: Any, tz: str | None) -> list[int]:
    """Return the cutoffs as day numbers; raise unless they rise."""
    if isinstance(cutoffs, str) or not isinstance(cutoffs, Iterable):
        raise fail(f"cutoffs is {cutoffs!r}", 'pass a list of days, such as ["1997-09-30"]')
    days = [past_day(f"cutoffs[{i}]", cutoff, tz) for i, cutoff in enumerate(cutoffs)]
    if not days:
        raise fail("cutoffs is empty", "pass at least one day")
    for earlier, later in pairwise(days):
        if later <= earlier:
            raise fail(
                f"the cutoff {to_date(earlier)} is followed by {to_date(later)}",
                "pass each day once, in rising order",
            )
    return days


def _check_window(first: int, last: int, days: list[int], horizon: int) -> None:
    """Raise unless the window covers what is known and what came after."""
    if days[0] < first:
        raise fail(
            f"the cutoff {to_date(days[0])} is before the first purchase on {to_date(first)}",
            "pass later cutoffs",
        )
    # Compared as numbers: a day far away has no date.
    if days[-1] + horizon > last:
        raise fail(
            f"the horizon is {horizon:.9g} days, the last cutoff is {to_date(days[-1])}, and the "
            f"log ends on {to_date(last)}: the last outcome is not known yet",
            f"pass cutoffs up to {to_date(last - horizon)}, a shorter horizon, or a later until"
            if horizon <= last - first
            else f"pass a shorter horizon, a longer log (its purchases begin on "
            f"{to_date(first)}), or a later until",
        )


def _stacked(parts: list[pd.DataFrame], days: list[int], horizon: int) -> pd.DataFrame:
    """Return one frame of the parts, by customer and cutoff."""
    dates = [np.datetime64(to_date(day), "s") for day in days]
    attrs = parts[0].attrs
    for part in parts:
        # Frames of different attrs lose them, noisily or not.
        part.attrs = {}
    stacked = pd.concat(parts, keys=dates, names=["cutoff"]).swaplevel().sort_index()
    stacked.attrs.update(
        unit="D",
        cutoffs=[to_date(day).isoformat() for day in days],
        horizon=horizon,
        roles=attrs["roles"],
        levels=attrs["levels"],
    )
    return stacked
