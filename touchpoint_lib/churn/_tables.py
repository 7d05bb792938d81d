"""The tables that the indicators are aggregates of, as of one day, and the matrix filled from them.

Customers are numbered by id: a number groups faster than a text, and says in which row of the
matrix a result belongs, so that no wide table is sorted or joined.
"""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, fail
from touchpoint_lib.churn._indicator import Indicator
from touchpoint_lib.data import engine
from touchpoint_lib.data.days import FIRST_DAY
from touchpoint_lib.data.log import Log

_CALENDAR = """((({day} + 3) % 7 + 7) % 7) AS weekday, EXTRACT(day FROM {date}) AS month_day,
    EXTRACT(month FROM {date}) AS month"""

# A sum of floats depends on its order: amounts of a day are added in theirs, each order once.
_RESUMMED = """UPDATE days SET bought = summed.bought, returned = summed.returned
FROM (
    SELECT id, day,
        SUM(CASE WHEN amount >= 0 THEN amount ELSE 0 END ORDER BY amount) AS bought,
        SUM(CASE WHEN amount < 0 THEN -amount ELSE 0 END ORDER BY amount) AS returned
    FROM (
        SELECT id, day, amount FROM observed WHERE order_id IS NULL
        UNION ALL
        SELECT id, day, amount FROM observed
        WHERE order_id IS NOT NULL GROUP BY id, order_id, day, amount
    ) AS merged JOIN (SELECT id, day FROM days WHERE entries > 1) AS shared USING (id, day)
    GROUP BY id, day
) AS summed
WHERE days.id = summed.id AND days.day = summed.day"""

# The days stand once more under a plain name: netting is done once.
_PURCHASES = "CREATE OR REPLACE TEMP TABLE purchases AS WITH {days} SELECT * FROM purchase_days"

# One row a customer.
_CUSTOMERS = """CREATE OR REPLACE TEMP TABLE customers AS
SELECT CAST(ROW_NUMBER() OVER (ORDER BY id) - 1 AS INTEGER) AS place, *
FROM (
    SELECT id, MIN(day) AS first, MAX(day) AS last, COUNT(*) AS days,
        SUM(amount ORDER BY day) AS amount
    FROM purchases GROUP BY id
) AS summed"""

# One row a purchase day; a week ends with its last one. In order, so that sums add in order: only
# a customer whose rows two threads share, past 100,000 purchase days, may vary in the last digit.
_BOUGHT = """CREATE OR REPLACE TEMP TABLE bought AS
SELECT place, day, amount, CAST(lines AS DOUBLE) AS lines, discounted, {at} - day AS age,
    CAST(day - day_before AS DOUBLE) AS gap,
    CAST(day_before - day_before_that AS DOUBLE) AS gap_before,
    number, days - number + 1 AS back, first, {at} - last AS silence, {at} - first AS life,
    (day_after IS NULL OR ({at} - day_after) // 7 <> ({at} - day) // 7) AS week_end,
    {calendar}
FROM (
    SELECT place, day, purchases.amount, lines, discounted, first, last, days,
        LAG(day) OVER ordered AS day_before, LAG(day, 2) OVER ordered AS day_before_that,
        LEAD(day) OVER ordered AS day_after, ROW_NUMBER() OVER ordered AS number
    FROM purchases JOIN customers USING (id)
    WINDOW ordered AS (PARTITION BY place ORDER BY day)
) AS placed
ORDER BY place, day"""

# The cohort is the calendar month of the first purchase. Amounts of 12 digits are compared: equal
# sums, which vary in the last digit, must stay ties in any unit of money.
_COHORTS = """(
    SELECT place, amount, CAST(format('{{:.11e}}', amount) AS DOUBLE) AS rounded_amount,
        days - 1 AS frequency, last - first AS recency,
        {at} - last AS silence, CAST(date_trunc('month', {date}) AS DATE) AS cohort,
        {calendar}
    FROM customers
) AS acquired"""

#: Aggregates of one query: with many more the states of a customer no longer fit the caches.
_CHUNK = 24


def _calendar(day: str) -> str:
    return _CALENDAR.format(day=day, date=_date(day))


def _date(day: str) -> str:
    return f"(DATE '1970-01-01' + CAST({day} AS INTEGER))"


def order_sums(opened: Log) -> None:
    """Add the amounts of each day once more, so that the order of the rows does not matter."""
    opened.con.execute(_RESUMMED)


def make_tables(opened: Log, at: int) -> int:
    """Make the tables of what was bought by the day ``at``; return the number of customers."""
    days = engine.NET_DAYS if opened.net else engine.PURCHASE_DAYS
    days = days.format(after=FIRST_DAY - 1, until=at)
    opened.con.execute(_PURCHASES.format(days=days))
    opened.con.execute(_CUSTOMERS)
    opened.con.execute(_BOUGHT.format(at=at, calendar=_calendar("day")))
    [(n_customers,)] = opened.con.execute("SELECT COUNT(*) FROM customers").fetchall()
    if not n_customers:
        raise fail(
            "no purchase is left: every one in the window was returned",
            'look at the negative amounts, or pass returns="drop"',
        )
    return int(n_customers)


def who_buys(opened: Log, after: int, horizon: int, n_customers: int) -> BoolArray:
    """Return which customers have a purchase day in (after, after + horizon]."""
    days = engine.NET_DAYS if opened.net else engine.PURCHASE_DAYS
    days = days.format(after=after, until=after + horizon)
    came = opened.con.sql(
        f"WITH {days} SELECT DISTINCT place FROM purchase_days JOIN customers USING (id)"
    )
    buys = np.zeros(n_customers, dtype=np.bool_)
    buys[came.fetchnumpy()["place"]] = True
    return buys


def customer_index(con: duckdb.DuckDBPyConnection, name: str) -> pd.Index[Any]:
    """Return the customers' ids in their order."""
    ids = con.sql("SELECT id FROM customers ORDER BY place").to_arrow_table().to_pandas()
    return pd.Index(ids["id"], name=name)


def fill(opened: Log, at: int, indicators: list[Indicator], n_customers: int) -> FloatArray:
    """Return the matrix of the indicators, shape (customers, indicators), NaN where null."""
    # By columns, as a frame keeps it.
    matrix = np.empty((n_customers, len(indicators)), order="F")
    for table in dict.fromkeys(indicator.table for indicator in indicators):
        columns = [j for j, indicator in enumerate(indicators) if indicator.table == table]
        for start in range(0, len(columns), _CHUNK):
            chunk = columns[start : start + _CHUNK]
            selected = ", ".join(
                f"CAST({indicators[j].sql} AS DOUBLE) AS {indicators[j].name}" for j in chunk
            )
            rows = opened.con.sql(f"SELECT place, {selected} FROM {_rows_of(table, at)}")
            found = rows.to_arrow_table()
            places = found.column("place").to_numpy()
            for j in chunk:
                matrix[places, j] = found.column(indicators[j].name).to_numpy()
    return matrix


def _rows_of(table: str, at: int) -> str:
    """Return the FROM clause of an indicator's rows, and how they are grouped."""
    if table == "cohorts":
        return _COHORTS.format(at=at, date=_date("first"), calendar=_calendar("first"))
    return f"{table} GROUP BY place"
