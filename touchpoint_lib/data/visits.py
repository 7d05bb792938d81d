"""Purchase days out of a log, counted as `rfm_split` counts them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from touchpoint_lib._checks import Unit, fail
from touchpoint_lib.data import engine
from touchpoint_lib.data.days import FIRST_DAY, to_date
from touchpoint_lib.data.log import Log, open_log
from touchpoint_lib.data.words import word

# Purchase days numbered within each customer from 0, so that the repeats are 1, 2, ...
_REPEATS = """CREATE TEMP TABLE repeats AS SELECT * FROM (
    SELECT id, day, ROW_NUMBER() OVER (PARTITION BY id ORDER BY day) - 1 AS number
    FROM visits
    WHERE id IN (SELECT id FROM visits WHERE day <= {split})
) AS numbered WHERE number > 0"""

# With the n-th repeat purchase the square of a customer's total grows by 2 n - 1.
_BY_WEEK = """SELECT week, CAST(SUM(bought) AS DOUBLE) AS bought,
    CAST(SUM(bought * bought) AS DOUBLE) AS squares, CAST(SUM(grown) AS DOUBLE) AS grown
FROM (
    SELECT id, (day - {start}) // 7 AS week, COUNT(*) AS bought, SUM(2 * number - 1) AS grown
    FROM repeats GROUP BY id, week
) AS weeks
GROUP BY week ORDER BY week"""


def weekly_repeats(log: Any, split: int, start: int, **options: Any) -> tuple[pd.DataFrame, int]:
    """Return the repeat purchases by week of the customers acquired by ``split``.

    Parameters
    ----------
    log
        As for `rfm_split`.
    split, start
        Day numbers: the last day of the calibration part, and the first day of week 0.
    options
        customer, time, amount, unit, until, order, tz, on_bad, returns and discount, as for
        `rfm_split`.

    Returns
    -------
    DataFrame, int
        A row a week with purchases: week (0, 1, ...), bought, squares (sum of squares of the
        customers' numbers in the week) and grown (by how much the sum of squares of their totals
        grows with it); and the day number of the last day observed.
    """
    opened = open_log(log, **options, here=True)
    # The two parts apart: a return after the split undoes no purchase before it.
    _make_visits(opened, [(FIRST_DAY - 1, split), (split, opened.until)])
    opened.con.execute(_REPEATS.format(split=split))
    weeks = opened.con.sql(_BY_WEEK.format(start=start)).to_arrow_table().to_pandas()
    opened.con.close()
    return weeks, opened.until


def purchase_days(
    log: Any,
    who: Any,
    *,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    unit: Unit = "W",
    until: Any = None,
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    returns: str = "raise",
    discount: str | None = None,
) -> list[str]:
    """Return the purchase days of one customer, as `rfm_summary` counts them.

    Parameters
    ----------
    log
        As for `rfm_summary`.
    who
        The customer's id, as in the index of `rfm_summary`.
    customer, time, amount, unit, until, order, tz, on_bad, returns, discount
        As they were passed to `rfm_summary`.

    Returns
    -------
    list of str
        Days in ISO 8601, rising.

    Raises
    ------
    InputError
        As for `rfm_summary`, and if the customer has no purchase in the window.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.purchase_days(tp.load_cdnow(sample=True), "00004")
    ['1997-01-01', '1997-01-18', '1997-08-02', '1997-12-12']
    """
    opened = open_log(
        log, customer, time, amount, unit, until, order, tz, on_bad, returns, discount, here=True
    )
    _make_visits(opened, [(FIRST_DAY - 1, opened.until)])
    # As text: the ids of an index are Python's own or numpy's, those of the log the engine's.
    found = opened.con.execute(
        "SELECT day FROM visits WHERE CAST(id AS VARCHAR) = ? ORDER BY day", [word(who)]
    ).fetchall()
    opened.con.close()
    if not found:
        raise fail(
            f"customer {who!r} has no purchase in the window",
            "pass an id from the index of rfm_summary",
        )
    return [to_date(day).isoformat() for (day,) in found]


def _make_visits(opened: Log, parts: list[tuple[int, int]]) -> None:
    """Make the table ``visits`` of customers and their purchase days in (after, end] of each part.

    Returns are netted within a part only.
    """
    days = engine.NET_DAYS if opened.net else engine.PURCHASE_DAYS
    queries = (
        f"(WITH {days.format(after=after, until=end)} SELECT id, day FROM purchase_days)"
        for after, end in parts
    )
    opened.con.execute(f"CREATE TEMP TABLE visits AS {' UNION ALL '.join(queries)}")
