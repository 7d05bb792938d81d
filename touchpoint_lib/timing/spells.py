"""Spells of silence: from each purchase day of a customer to the next, or to the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray, check_columns, check_values, fail
from touchpoint_lib.data import engine
from touchpoint_lib.data.days import FIRST_DAY, to_date
from touchpoint_lib.data.log import open_log

__all__ = ["open_spells", "purchase_spells", "timing_windows"]

#: Columns that every frame of spells has.
COLUMNS = ("start", "frequency", "recency", "gap", "observed", "log_gaps")

#: Days that people plan in, of which a horizon is one.
_HORIZONS = (7, 14, 21, 30, 45, 60, 90, 120, 180)
#: Share of the spells whose outcome a log must be long enough to know.
_DECIDED = 0.2

_SPELLS = """WITH {days},
placed AS (
    SELECT id, day, amount,
        day - LAG(day) OVER ordered AS gap_before, LEAD(day) OVER ordered - day AS gap,
        ROW_NUMBER() OVER ordered - 1 AS frequency, day - FIRST_VALUE(day) OVER ordered AS recency
    FROM purchase_days WINDOW ordered AS (PARTITION BY id ORDER BY day)
)
SELECT id, day, CAST(frequency AS DOUBLE) AS frequency, CAST(recency AS DOUBLE) AS recency,
    COALESCE(CAST(gap AS DOUBLE), CAST('inf' AS DOUBLE)) AS gap,
    CAST({until} - day AS DOUBLE) AS observed,
    COALESCE(SUM(LN(gap_before)) OVER ordered, 0) AS log_gaps,
    COALESCE(AVG(CASE WHEN gap_before IS NOT NULL THEN amount END) OVER ordered, 0)
        AS monetary_value
FROM placed WINDOW ordered AS (PARTITION BY id ORDER BY day)
ORDER BY id, day"""


def purchase_spells(
    log: Any,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    until: Any = None,
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    returns: str = "raise",
    discount: str | None = None,
) -> pd.DataFrame:
    """Turn a purchase log into spells of silence: one row a customer and purchase day.

    A spell begins with a purchase day and ends with the customer's next one. The last spell of
    each customer is still open.

    Parameters
    ----------
    log, customer, time, amount, until, order, tz, on_bad, returns, discount
        As for `rfm_summary`.

    Returns
    -------
    DataFrame
        Sorted by customer and day, the customer in the index (one row a spell: not unique).
        ``start``: the day of the purchase (datetime64); ``frequency``: repeat purchase days up to
        it; ``recency``: days from the customer's first purchase to it; ``gap``: days to the next
        purchase, inf where none came by ``until``; ``observed``: days from the start to ``until``;
        ``log_gaps``: sum of ln(gap in days) of the gaps before; with an amount also
        ``monetary_value``: mean spend a repeat purchase day up to the start, 0 without repeats.
        ``attrs`` holds unit ("D"), until and report.

    Raises
    ------
    InputError
        As for `rfm_summary`.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> spells.loc["00004", ["start", "frequency", "recency", "gap", "observed"]]
                     start  frequency  recency    gap  observed
    customer_id
    00004       1997-01-01        0.0      0.0   17.0     545.0
    00004       1997-01-18        1.0     17.0  196.0     528.0
    00004       1997-08-02        2.0    213.0  132.0     332.0
    00004       1997-12-12        3.0    345.0    inf     200.0
    """
    if isinstance(customer, str) and customer.lower() in COLUMNS:
        raise fail(
            f"the customer column is named {customer!r}", "rename it: the result has such a column"
        )
    opened = open_log(
        log, customer, time, amount, "D", until, order, tz, on_bad, returns, discount, here=True
    )
    days = engine.NET_DAYS if opened.net else engine.PURCHASE_DAYS
    days = days.format(after=FIRST_DAY - 1, until=opened.until)
    query = _SPELLS.format(days=days, until=opened.until)
    found: pd.DataFrame = opened.con.sql(query).to_arrow_table().to_pandas()
    opened.con.close()
    if len(found) == 0:
        raise fail(
            "no purchase is left: every one in the window was returned",
            'look at the negative amounts, or pass returns="drop"',
        )
    start = found.pop("day").to_numpy(dtype=np.int64).astype("datetime64[D]")
    frame = found.set_index("id").rename_axis(customer)
    frame.insert(0, "start", start.astype("datetime64[s]"))
    if amount is None:
        frame = frame.drop(columns="monetary_value")
    until_text = to_date(opened.until).isoformat()
    frame.attrs.update(unit="D", until=until_text, report=opened.report.to_dict())
    return frame


def open_spells(spells: pd.DataFrame) -> pd.DataFrame:
    """Return the last spell of each customer as `rfm_summary` would: T is the age at the end.

    Parameters
    ----------
    spells : DataFrame
        From `purchase_spells`, or all rows of some of its customers.

    Returns
    -------
    DataFrame
        One row a customer: start, frequency, recency, T, log_gaps, monetary_value (where there
        is one); attrs of ``spells``.
    """
    check_spells(spells)
    # As checked, these are the last rows, and they alone.
    last = spells[np.isinf(spells["gap"])]
    frame = last.drop(columns=["gap", "observed"])
    frame.insert(3, "T", last["recency"] + last["observed"])
    return frame


def timing_windows(spells: pd.DataFrame) -> dict[str, int]:
    """Return a horizon, a lapse and a deadline in days that fit the pace of a log.

    The horizon is the usual number of days (7, 14, 21, 30, 45, 60, 90, 120 or 180) nearest to the
    time within which three of four gaps end. A customer silent for three horizons has lapsed, and
    two are the deadline for a contact. Where the log is so short that fewer than a fifth of the
    spells began a lapse before its end, the horizon is the longest for which they did.

    Parameters
    ----------
    spells : DataFrame
        From `purchase_spells`.

    Returns
    -------
    dict
        horizon, lapse and deadline, as `backtest_timing` takes them.

    Raises
    ------
    InputError
        If no gap has ended, or the log is too short for the shortest horizon.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.timing_windows(tp.purchase_spells(tp.load_cdnow(sample=True)))
    {'horizon': 90, 'lapse': 270, 'deadline': 180}
    """
    quartile = float(np.quantile(ended_gaps(spells), 0.75))
    usual = min(_HORIZONS, key=lambda days: abs(days - quartile))
    known = spells["observed"].to_numpy(dtype=np.float64)
    for horizon in reversed(_HORIZONS):
        if horizon <= usual and np.mean(known >= 3 * horizon) >= _DECIDED:
            return {"horizon": horizon, "lapse": 3 * horizon, "deadline": 2 * horizon}
    shortest = 3 * _HORIZONS[0]
    raise fail(
        f"{np.mean(known >= shortest):.0%} of the spells began {shortest} days before the end of "
        "the log",
        f"pass a longer log: {_DECIDED:.0%} are needed",
    )


def ended_gaps(spells: Any) -> FloatArray:
    """Return the gaps of a log that have ended; raise where there is none."""
    check_spells(spells)
    gap = spells["gap"].to_numpy(dtype=np.float64)
    ended = gap[np.isfinite(gap)]
    if not ended.size:
        raise fail("no customer bought on two different days", "pass a longer log")
    return np.asarray(ended)


def past_of_some(
    spells: pd.DataFrame, n: int, generator: np.random.Generator
) -> tuple[pd.DataFrame, IntArray, IntArray]:
    """Return spells of at most ``n`` customers up to one of each, drawn at random, as of its day.

    The frame is what `purchase_spells` would have returned for each on that day. With it come the
    positions of the last spells in it, and of the same spells in ``spells``.
    """
    first = np.unique(starts_of(spells.index))
    end = np.append(first[1:], len(spells))
    drawn = np.sort(generator.permutation(len(first))[:n])
    last = first[drawn] + generator.integers(0, (end - first)[drawn])
    rows = np.concatenate([np.arange(a, b + 1) for a, b in zip(first[drawn], last, strict=True)])
    cut = spells.iloc[rows].copy()
    there = np.cumsum(last - first[drawn] + 1) - 1
    today = spells["start"].to_numpy()[np.repeat(last, last - first[drawn] + 1)]
    cut["observed"] = (today - cut["start"].to_numpy()) / np.timedelta64(1, "D")
    gap = cut["gap"].to_numpy(copy=True)
    gap[there] = np.inf
    cut["gap"] = gap
    return cut, there, last


def check_spells(spells: Any) -> None:
    """Raise unless ``spells`` is a frame of `purchase_spells`, all rows of each customer."""
    check_columns(spells, COLUMNS, "spells", "pass the frame of purchase_spells")
    if len(spells) == 0:
        raise fail("spells has no rows", "pass the spells of at least one customer")
    for name in COLUMNS[1:]:
        check_values(name, spells[name], ge=None if name == "log_gaps" else 0, infinite=True)
    nth, begins = spells["frequency"].to_numpy(), starts_of(spells.index)
    last = np.append(begins[1:] == np.arange(1, len(spells)), True)
    whole = (nth == np.arange(len(spells)) - begins) & (np.isinf(spells["gap"].to_numpy()) == last)
    if not whole.all():
        first = int(np.flatnonzero(~whole)[0])
        raise fail(
            f"spells are incomplete or out of order at customer {spells.index[first]!r}",
            "pass all rows of each customer in the order of purchase_spells",
        )


def starts_of(ids: pd.Index[Any]) -> IntArray:
    """Return for each row the position of its customer's first row; rows of one stand together."""
    codes = pd.factorize(ids)[0]
    new = np.concatenate(([True], codes[1:] != codes[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(len(codes)), 0))
