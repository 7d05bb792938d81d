"""From a log to customers in SQL, the same text for every engine.

A log is brought into one form, ``log``; one counting query then says what is wrong with it, and the
summary reads the table ``days``, in which it is summed. Days are whole numbers since 1970-01-01:
weeks and date differences mean different things in different engines. No literal has a decimal
point: to Spark that is a DECIMAL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from touchpoint_lib._checks import UNIT_DAYS, Unit, fail
from touchpoint_lib.data.days import FIRST_DAY
from touchpoint_lib.data.sources import AWARE, WORD_ROLES, empty_log

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = (*_SIGNED, *(f"U{name}" for name in _SIGNED), "FLOAT", "DOUBLE", "DECIMAL")
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_IDS = (*_NUMBERS, *_TIMES, *AWARE, "VARCHAR", "ENUM", "UUID", "BOOLEAN")
#: The type of a column in which every value is missing.
NULL_TYPES = ('"NULL"', "NULL")
#: What a model sees of a customer.
DISTINCT = ("frequency", "recency", "T")


class Engine(Protocol):
    """Tables by name, and the few expressions in which engines differ."""

    def day(self, moment: str, zone: str | None) -> str:
        """Return the days from 1970-01-01 to a time, as an expression."""

    def finite(self, value: str) -> str:
        """Return whether a number is neither NaN nor infinite, as an expression."""

    def quote(self, name: str) -> str:
        """Return a name as an identifier."""

    def attach(self, source: Any, columns: dict[str, str]) -> dict[str, str]:
        """Make ``source`` readable as the table ``source``; return the types by role."""

    def keep_log(self, query: str) -> None:
        """Make ``log`` of the attached source."""

    def drop_log(self) -> None:
        """Drop ``log`` and ``source``."""

    def make(self, name: str, query: str) -> None:
        """Compute a table."""

    def view(self, name: str, query: str) -> None:
        """Define a table that is computed wherever it is read."""

    def drop(self, *names: str) -> None:
        """Drop tables that `make` made."""

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a small result."""

    def frame(self, table: str, order: Sequence[str]) -> pd.DataFrame:
        """Return a table as a frame, sorted."""

    def rows(self, table: str, order: Sequence[str]) -> Any:
        """Return a table as what the engine's users know: sorted, where order lasts."""

    def upload(self, values: pa.Table) -> str:
        """Make a table of some values; return its name."""

    def write_parquet(self, table: str, path: str) -> None:
        """Write a table to Parquet."""

    def close(self) -> None:
        """Give everything back."""


# What each customer did on each day: all that the summaries and the search for duplicates need.
# In small types: of a large log it is the largest table.
_DAYS = """SELECT id, day, {bought} AS bought, {returned} AS returned,
    CAST({visit} AS TINYINT) AS visit, CAST({discounted} AS TINYINT) AS discounted,
    CAST(COUNT(*) AS INTEGER) AS entries, CAST({lines} AS INTEGER) AS lines
FROM {rows}
GROUP BY id, day"""

# A purchase day: all that a customer bought on it.
PURCHASE_DAYS = """purchase_days AS (
    SELECT id, day, bought AS amount, discounted, lines
    FROM days
    WHERE visit = 1 AND day > {after} AND day <= {until}
)"""

# The same where returns are netted: each belongs to the latest purchase day on or before it.
# 1e-12 of the sum is what is left of 0.1 + 0.2 - 0.3.
NET_DAYS = """numbered AS (
    SELECT *, SUM(visit) OVER (
        PARTITION BY id ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS visit_number
    FROM days
    WHERE day > {after} AND day <= {until}
),
purchase_days AS (
    SELECT id, MIN(day) AS day, SUM(bought) - SUM(returned) AS amount,
        MAX(discounted) AS discounted, SUM(lines) AS lines
    FROM numbered
    WHERE visit_number > 0
    GROUP BY id, visit_number
    HAVING SUM(returned) = 0 OR SUM(bought) - SUM(returned) > 1e-12 * SUM(bought)
)"""

_SUMMARY = """WITH {days},
gaps AS (
    SELECT id, day, amount, discounted,
        day - LAG(day) OVER (PARTITION BY id ORDER BY day) AS gap
    FROM purchase_days
)
SELECT id,
    COUNT(gap) AS frequency,
    CAST(MAX(day) - MIN(day) AS DOUBLE) / {unit_days} AS recency,
    CAST({until} - MIN(day) AS DOUBLE) / {unit_days} AS T,
    CASE WHEN COUNT(gap) > 0
        THEN SUM(CASE WHEN gap IS NOT NULL THEN amount ELSE 0 END) / COUNT(gap)
        ELSE 0 END AS monetary_value,
    COALESCE(SUM(LN(CAST(gap AS DOUBLE) / {unit_days})), 0) AS log_gaps,
    CAST(SUM(discounted) AS DOUBLE) / COUNT(*) AS discount_share
FROM gaps
GROUP BY id"""

_HOLDOUT = """WITH {days}
SELECT id, COUNT(*) AS holdout_frequency, SUM(amount) AS holdout_amount
FROM purchase_days
GROUP BY id"""

_SPLIT = """SELECT calibration.*,
    COALESCE(holdout_frequency, 0) AS holdout_frequency,
    COALESCE(holdout_amount, 0) AS holdout_amount,
    CAST({until} - {split} AS DOUBLE) / {unit_days} AS holdout_duration
FROM calibration LEFT JOIN holdout ON calibration.id = holdout.id"""

_DUPLICATE_ROWS = """SELECT COALESCE(SUM(copies) - COUNT(*), 0) FROM (
    SELECT COUNT(*) AS copies FROM {rows} GROUP BY id, moment, amount, order_id
) AS distinct_rows"""

# Rows can repeat each other only where a customer has several on a day.
_SHARED_DAYS = """(
    SELECT log.id, moment, amount, order_id
    FROM log JOIN (SELECT id, day FROM days WHERE entries > 1) AS shared
        ON log.id = shared.id AND log.day = shared.day
) AS shared_rows"""

_DUPLICATE_ORDERS = """SELECT COALESCE(SUM(copies - 1), 0) FROM (
    SELECT COUNT(*) AS copies FROM observed
    WHERE order_id IS NOT NULL GROUP BY id, order_id, day, amount
) AS distinct_orders"""

_CONFLICTING_ORDERS = """SELECT COUNT(*), MIN(order_id) FROM (
    SELECT order_id FROM observed
    WHERE order_id IS NOT NULL AND amount >= 0
    GROUP BY order_id
    HAVING MIN(id) <> MAX(id) OR MIN(day) <> MAX(day) OR MIN(amount) <> MAX(amount)
) AS conflicts"""

_MERGED_ORDERS = """(
    SELECT id, day, amount, MAX(discount) AS discount FROM observed
    WHERE order_id IS NOT NULL GROUP BY id, order_id, day, amount
    UNION ALL
    SELECT id, day, amount, discount FROM observed WHERE order_id IS NULL
) AS merged"""


def stage(engine: Engine, source: Any, columns: dict[str, str], tz: str | None) -> None:
    """Bring a source into the one form of ``log``.

    Parameters
    ----------
    engine
        In which ``log`` is made: id, moment, day (since 1970-01-01; null where there is none),
        amount, discount (0 where there is no such column) and order_id; category, channel and
        event (as text) where there are such columns.
    source
        What the engine can attach.
    columns
        The source's column name for the roles id and moment, and for amount, discount, order_id,
        category, channel and event where there are such columns.
    tz
        The time zone whose calendar days count, for time-zone-aware times.

    Raises
    ------
    InputError
        If the source cannot be read, is empty, or a column is of an unusable type.
    """
    types = engine.attach(source, columns)
    check_types(engine, types, columns, tz, ("amount", "discount"))
    engine.keep_log(_staging(engine, types, tz))
    if not engine.fetch("SELECT 1 FROM log LIMIT 1"):
        raise empty_log()


def check_types(
    engine: Engine,
    types: dict[str, str],
    columns: dict[str, str],
    tz: str | None,
    numbers: Collection[str],
) -> None:
    """Raise unless each column is of a type that its role can use; ``numbers`` are such roles."""
    for role, kind in types.items():
        name, plain = columns[role], kind.partition("(")[0]
        if kind in NULL_TYPES:
            continue
        if role in numbers and plain not in _NUMBERS:
            raise fail(
                f"column {name!r} is {kind}{_example(engine, role)}, not numeric",
                "convert it to numbers first, with pd.to_numeric(...)",
            )
        if role in ("id", "order_id", *WORD_ROLES) and (plain not in _IDS or "[" in kind):
            raise fail(f"column {name!r} is {kind}", "convert it to text or integers first")
        if role != "moment":
            continue
        if plain not in _TIMES + AWARE:
            raise fail(
                f"column {name!r} is {kind}{_example(engine, role)}",
                "convert it to dates first, with pd.to_datetime(...)",
            )
        if plain in AWARE and tz is None:
            raise fail(
                f"column {name!r} is time-zone-aware",
                'pass tz= the zone whose calendar days count, such as tz="Asia/Shanghai"',
            )
        if plain not in AWARE and tz is not None:
            raise fail(
                f"tz is {tz!r} but column {name!r} has no time zone",
                "leave tz out: its days count as they are",
            )


def _example(engine: Engine, role: str) -> str:
    """Return the first value of a column, as a part of a message."""
    found = engine.fetch(
        f"SELECT CAST({role} AS STRING) FROM source WHERE {role} IS NOT NULL LIMIT 1"
    )
    return f", the first value {found[0][0]!r}" if found else ""


def known(role: str, kind: str) -> str:
    """Return an id or a word as an expression: a NaN id and an empty text are none."""
    if kind in NULL_TYPES:
        return "CAST(NULL AS STRING)"
    if kind in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isnan({role}) THEN NULL ELSE {role} END"
    if kind.startswith(("VARCHAR", "ENUM")):
        return f"NULLIF(CAST({role} AS STRING), '')"
    return role


def _staging(engine: Engine, types: dict[str, str], tz: str | None) -> str:
    """Return the SELECT that brings the columns into one form."""
    moment = "CAST(NULL AS DATE)" if types["moment"] in NULL_TYPES else "moment"
    # An infinite time has no day: the engine returns null.
    day = engine.day(moment, tz)
    amount, discount = (
        f"CAST({role if role in types else 0} AS DOUBLE)" for role in ("amount", "discount")
    )
    order_id = known("order_id", types.get("order_id", "NULL"))
    words = (
        f", CAST({known(role, types[role])} AS STRING) AS {role}"
        for role in WORD_ROLES
        if role in types
    )
    return (
        f"SELECT {known('id', types['id'])} AS id, {moment} AS moment, {day} AS day,"
        f" {amount} AS amount, {discount} AS discount, {order_id} AS order_id{''.join(words)}"
        " FROM source"
    )


def join_values(engine: Engine, values: pa.Table) -> str:
    """Define a table of the customers with values of their distinct rows; return its name.

    ``values`` has the columns frequency, recency and T, and those that are joined.
    """
    uploaded = engine.upload(values)
    names = ", ".join(name for name in values.column_names if name not in DISTINCT)
    equal = " AND ".join(f"customers.{name} = {uploaded}.{name}" for name in DISTINCT)
    engine.view(
        f"joined_{uploaded}",
        f"SELECT /*+ BROADCAST({uploaded}) */ customers.*, {names}"
        f" FROM customers JOIN {uploaded} ON {equal}",
    )
    return f"joined_{uploaded}"


def faults(engine: Engine, today: int) -> dict[str, str]:
    """Return the condition of each fault that ``on_bad`` decides; ``today`` is a day number."""
    return {
        "null_customer": "id IS NULL",
        # Python's calendar begins with the year 1.
        "null_time": f"(day IS NULL OR day < {FIRST_DAY})",
        "null_amount": f"(amount IS NULL OR NOT {engine.finite('amount')})",
        "null_discount": f"(discount IS NULL OR NOT {engine.finite('discount')})",
        "future_rows": f"(day IS NOT NULL AND day > {today})",
    }


def count(engine: Engine, today: int) -> dict[str, int | None]:
    """Count rows and faults of ``log`` in one pass, and its duplicates in a second.

    Returns the counts by name, and first_day, last_day and first_purchase, the day numbers of the
    usable rows (None without any). Marks the usable rows in the view ``usable``, and sums them by
    customer and day in the table ``days``.
    """
    conditions = faults(engine, today)
    usable = f"NOT ({' OR '.join(conditions.values())})"
    # Only finite amounts have a sign.
    amount = f"{engine.finite('amount')} AND amount"
    sums = {
        "usable_rows": usable,
        **conditions,
        "zero_amount": f"{amount} = 0",
        "negative_amount": f"{amount} < 0",
        "discounted": "discount > 0",
    }
    selected = {"rows": "COUNT(*)"}
    selected |= {name: f"SUM(CASE WHEN {test} THEN 1 ELSE 0 END)" for name, test in sums.items()}
    selected |= {
        "first_day": f"MIN(CASE WHEN {usable} THEN day END)",
        "last_day": f"MAX(CASE WHEN {usable} THEN day END)",
        "first_purchase": f"MIN(CASE WHEN {usable} AND amount >= 0 THEN day END)",
    }
    found = _one(engine, f"SELECT {', '.join(selected.values())} FROM log")
    counts: dict[str, int | None] = dict(zip(selected, found, strict=True))
    faultless = counts["usable_rows"] == counts["rows"]
    engine.view("usable", f"SELECT * FROM log{'' if faultless else f' WHERE {usable}'}")
    _sum_days(
        engine,
        "usable",
        returns=bool(counts["negative_amount"]),
        discounts=bool(counts["discounted"]),
    )
    # A row with a fault may repeat another: then all of them are searched.
    rows = _SHARED_DAYS if faultless else "log"
    counts["duplicate_rows"] = _one(engine, _DUPLICATE_ROWS.format(rows=rows))[0]
    del counts["discounted"]
    return counts


def _sum_days(engine: Engine, rows: str, *, returns: bool, discounts: bool) -> None:
    """Make the table ``days`` of ``rows``, which may hold ``returns`` and ``discounts`` or not."""
    # A constant is not summed: each sum over a large log is felt.
    terms = {
        "bought": "SUM(amount)",
        "returned": "CAST(0 AS TINYINT)",
        "visit": "1",
        "discounted": "0",
        "lines": "COUNT(*)",
    }
    bought = "TRUE"
    if returns:
        bought = "amount >= 0"
        terms["bought"] = "SUM(CASE WHEN amount >= 0 THEN amount ELSE 0 END)"
        terms["returned"] = "SUM(CASE WHEN amount < 0 THEN -amount ELSE 0 END)"
        terms["visit"] = "MAX(CASE WHEN amount >= 0 THEN 1 ELSE 0 END)"
        terms["lines"] = "COUNT(CASE WHEN amount >= 0 THEN 1 END)"
    if discounts:
        terms["discounted"] = f"MAX(CASE WHEN {bought} AND discount > 0 THEN 1 ELSE 0 END)"
    engine.make("days", _DAYS.format(rows=rows, **terms))


def open_window(engine: Engine, until: int) -> dict[str, int]:
    """Make the view ``observed`` of the usable rows up to ``until``.

    Returns how many rows lie behind it, and how many rows only repeat an order.
    """
    engine.view(
        "observed",
        f"SELECT id, day, amount, discount, order_id FROM usable WHERE day <= {until}",
    )
    return {
        "after_until": _one(engine, f"SELECT COUNT(*) FROM log WHERE day > {until}")[0],
        "duplicate_orders": _one(engine, _DUPLICATE_ORDERS)[0],
    }


def offending(engine: Engine, column: str) -> tuple[int, float]:
    """Return how many observed rows have a negative ``column``, and the least value."""
    found = _one(engine, f"SELECT COUNT(*), MIN({column}) FROM observed WHERE {column} < 0")
    return found[0], found[1]


def conflicting_orders(engine: Engine) -> tuple[int, Any]:
    """Return how many order ids stand for different purchases, and one of them."""
    found = _one(engine, _CONFLICTING_ORDERS)
    return found[0], found[1]


def merge_orders(engine: Engine) -> None:
    """Sum the days again, each order once."""
    _sum_days(engine, _MERGED_ORDERS, returns=True, discounts=True)


def _one(engine: Engine, sql: str) -> tuple[Any, ...]:
    """Return the only row of a result."""
    return engine.fetch(sql)[0]


def summarise(
    engine: Engine,
    *,
    net: bool,
    unit: Unit,
    until: int,
    customer: str,
    columns: Sequence[str],
    split: int | None = None,
) -> None:
    """Make the table ``customers`` from ``days``, one row a customer.

    The id is named ``customer``, and of the rest it has ``columns``. With ``split`` its summary
    knows only the rows up to that day, and the columns holdout_frequency, holdout_amount and
    holdout_duration describe those after it. The log is dropped: what remains is small.

    Raises
    ------
    InputError
        If no customer remains.
    """
    days = NET_DAYS if net else PURCHASE_DAYS
    unit_days = int(UNIT_DAYS[unit])
    end = until if split is None else split
    query = _SUMMARY.format(
        days=days.format(after=FIRST_DAY - 1, until=end), until=end, unit_days=unit_days
    )
    if split is not None:
        engine.view("calibration", query)
        engine.view("holdout", _HOLDOUT.format(days=days.format(after=split, until=until)))
        query = _SPLIT.format(until=until, split=split, unit_days=unit_days)
    named = ", ".join([f"id AS {engine.quote(customer)}", *columns])
    engine.make("customers", f"SELECT {named} FROM ({query}) AS summary")
    # All of them, so that an engine that waits until it is asked has computed every one.
    [(n_customers,)] = engine.fetch("SELECT COUNT(*) FROM customers")
    engine.drop_log()
    engine.drop("days")
    if not n_customers:
        raise fail(
            "no purchase is left: every one in the window was returned",
            'look at the negative amounts, or pass returns="drop"',
        )


def unique(engine: Engine) -> pd.DataFrame:
    """Return the distinct (frequency, recency, T) with how many customers share them."""
    keys = ", ".join(DISTINCT)
    engine.view("distinct_rows", f"SELECT {keys}, COUNT(*) AS count FROM customers GROUP BY {keys}")
    return engine.frame("distinct_rows", DISTINCT)
