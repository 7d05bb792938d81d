"""The engine: one private DuckDB connection a log, and the SQL that turns it into customers.

A log is first copied into the compact table ``log``; one counting query then says what is wrong
with it, and the summary reads the table ``days``, in which they are summed. Days are whole
numbers since 1970-01-01: weeks and date differences mean different things in different engines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from touchpoint_lib._checks import UNIT_DAYS, Unit, fail
from touchpoint_lib.data.days import FIRST_DAY
from touchpoint_lib.data.sources import WORD_ROLES, attach, empty_log, quote

#: The few expressions in which engines differ.
DIALECT = {
    "day": "CAST(date_diff('day', DATE '1970-01-01', CAST({0} AS DATE)) AS INTEGER)",
    "local": "timezone('{zone}', {0})",
    "finite": "isfinite({0})",
    "nan": "isnan({0})",
}

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = (*_SIGNED, *(f"U{name}" for name in _SIGNED), "FLOAT", "DOUBLE", "DECIMAL")
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_AWARE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
_IDS = (*_NUMBERS, *_TIMES, *_AWARE, "VARCHAR", "ENUM", "UUID", "BOOLEAN")
#: The type of a column in which every value is missing.
_NULL = ('"NULL"', "NULL")

# What each customer did on each day: all that the summaries and the search for duplicates need.
_DAYS = """SELECT id, day, {bought} AS bought, {returned} AS returned, {visit} AS visit,
    {discounted} AS discounted, COUNT(*) AS entries, {lines} AS lines
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


def dialect(name: str, value: str, **more: str) -> str:
    """Return the engine's expression ``name`` applied to ``value``."""
    return DIALECT[name].format(value, **more)


def stage(source: Any, columns: dict[str, str], tz: str | None) -> duckdb.DuckDBPyConnection:
    """Copy a source into the table ``log`` of a new connection.

    Parameters
    ----------
    source
        Anything that :func:`touchpoint_lib.data.sources.attach` takes.
    columns
        The source's column name for the roles id and moment, and for amount, discount, order_id,
        category, channel and event where there are such columns.
    tz
        The time zone whose calendar days count, for time-zone-aware times.

    Returns
    -------
    duckdb.DuckDBPyConnection
        With the table ``log``: id, moment, day (since 1970-01-01; null where there is none),
        amount, discount (0 where there is no such column) and order_id; category, channel and
        event (as text) where there are such columns.

    Raises
    ------
    InputError
        If the source cannot be read, is empty, or a column is of an unusable type.
    """
    con = duckdb.connect(
        config={
            # Nothing is fetched from a network, and no Python variable is taken for a table.
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / "touchpoint_lib"),
        }
    )
    with _readable(source):
        attach(con, source, columns)
        relation = con.table("source")
        types = {
            role: str(kind) for role, kind in zip(relation.columns, relation.types, strict=True)
        }
        _check_types(con, types, columns, tz)
        con.execute(f"CREATE TEMP TABLE log AS {_staging(types, tz)}")
        con.execute("DROP VIEW source")
        con.execute("DROP TABLE IF EXISTS csv")
    if not con.execute("SELECT 1 FROM log LIMIT 1").fetchall():
        raise empty_log()
    return con


@contextmanager
def _readable(source: Any) -> Iterator[None]:
    """Turn what DuckDB or Arrow say about a source that they cannot read into an InputError."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        name = repr(str(source)) if isinstance(source, str | Path) else "the log"
        raise fail(
            f"{name} cannot be read ({' '.join(str(error).split()[:40])})",
            "correct it (text files must be UTF-8), or read it with pandas and pass the frame",
        ) from error


def _check_types(
    con: duckdb.DuckDBPyConnection, types: dict[str, str], columns: dict[str, str], tz: str | None
) -> None:
    """Raise unless each column is of a type that its role can use."""
    for role, kind in types.items():
        name, plain = columns[role], kind.partition("(")[0]
        if kind in _NULL:
            continue
        if role in ("amount", "discount") and plain not in _NUMBERS:
            raise fail(
                f"column {name!r} is {kind}{_example(con, role)}, not numeric",
                "convert it to numbers first, with pd.to_numeric(...)",
            )
        if role in ("id", "order_id", *WORD_ROLES) and (plain not in _IDS or "[" in kind):
            raise fail(f"column {name!r} is {kind}", "convert it to text or integers first")
        if role != "moment":
            continue
        if plain not in _TIMES + _AWARE:
            raise fail(
                f"column {name!r} is {kind}{_example(con, role)}",
                "convert it to dates first, with pd.to_datetime(...)",
            )
        if plain in _AWARE and tz is None:
            raise fail(
                f"column {name!r} is time-zone-aware",
                'pass tz= the zone whose calendar days count, such as tz="Asia/Shanghai"',
            )
        if plain not in _AWARE and tz is not None:
            raise fail(
                f"tz is {tz!r} but column {name!r} has no time zone",
                "leave tz out: its days count as they are",
            )


def _example(con: duckdb.DuckDBPyConnection, role: str) -> str:
    """Return the first value of a column, as a part of a message."""
    found = con.execute(
        f"SELECT CAST({role} AS VARCHAR) FROM source WHERE {role} IS NOT NULL LIMIT 1"
    ).fetchall()
    return f", the first value {found[0][0]!r}" if found else ""


def _staging(types: dict[str, str], tz: str | None) -> str:
    """Return the SELECT that brings the columns into one form."""

    def known(role: str) -> str:
        """A NaN id and an empty text id are no ids."""
        if types[role] in _NULL:
            return "CAST(NULL AS VARCHAR)"
        if types[role] in ("FLOAT", "DOUBLE"):
            return f"CASE WHEN {dialect('nan', role)} THEN NULL ELSE {role} END"
        if types[role].startswith(("VARCHAR", "ENUM")):
            return f"NULLIF(CAST({role} AS VARCHAR), '')"
        return role

    moment = "CAST(NULL AS DATE)" if types["moment"] in _NULL else "moment"
    # An infinite time has no day: the engine returns null.
    day = dialect("day", moment if tz is None else dialect("local", moment, zone=tz))
    amount, discount = (
        f"CAST({role if role in types else 0} AS DOUBLE)" for role in ("amount", "discount")
    )
    order_id = known("order_id") if "order_id" in types else "CAST(NULL AS VARCHAR)"
    words = (f", CAST({known(role)} AS VARCHAR) AS {role}" for role in WORD_ROLES if role in types)
    return (
        f"SELECT {known('id')} AS id, {moment} AS moment, {day} AS day, {amount} AS amount,"
        f" {discount} AS discount, {order_id} AS order_id{''.join(words)} FROM source"
    )


def faults(today: int) -> dict[str, str]:
    """Return the condition of each fault that ``on_bad`` decides; ``today`` is a day number."""
    return {
        "null_customer": "id IS NULL",
        # Python's calendar begins with the year 1.
        "null_time": f"(day IS NULL OR day < {FIRST_DAY})",
        "null_amount": f"(amount IS NULL OR NOT {dialect('finite', 'amount')})",
        "null_discount": f"(discount IS NULL OR NOT {dialect('finite', 'discount')})",
        "future_rows": f"(day IS NOT NULL AND day > {today})",
    }


def count(con: duckdb.DuckDBPyConnection, today: int) -> dict[str, int | None]:
    """Count rows and faults of ``log`` in one pass, and its duplicates in a second.

    Returns the counts by name, and first_day, last_day and first_purchase, the day numbers of the
    usable rows (None without any). Marks the usable rows in the view ``usable``, and sums them by
    customer and day in the table ``days``.
    """
    conditions = faults(today)
    usable = f"NOT ({' OR '.join(conditions.values())})"
    # Only finite amounts have a sign.
    amount = f"{dialect('finite', 'amount')} AND amount"
    sums = {
        "usable_rows": usable,
        **conditions,
        "zero_amount": f"{amount} = 0",
        "negative_amount": f"{amount} < 0",
        "discounted": "discount > 0",
    }
    selected = ["COUNT(*) AS rows"]
    selected += [f"SUM(CASE WHEN {test} THEN 1 ELSE 0 END) AS {k}" for k, test in sums.items()]
    selected += [
        f"MIN(CASE WHEN {usable} THEN day END) AS first_day",
        f"MAX(CASE WHEN {usable} THEN day END) AS last_day",
        f"MIN(CASE WHEN {usable} AND amount >= 0 THEN day END) AS first_purchase",
    ]
    relation = con.sql(f"SELECT {', '.join(selected)} FROM log")
    counts: dict[str, int | None] = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    faultless = counts["usable_rows"] == counts["rows"]
    con.execute(
        f"CREATE TEMP VIEW usable AS SELECT * FROM log{'' if faultless else f' WHERE {usable}'}"
    )
    _sum_days(
        con, "usable", returns=bool(counts["negative_amount"]), discounts=bool(counts["discounted"])
    )
    # A row with a fault may repeat another: then all of them are searched.
    rows = _SHARED_DAYS if faultless else "log"
    counts["duplicate_rows"] = _one(con, _DUPLICATE_ROWS.format(rows=rows))[0]
    del counts["discounted"]
    return counts


def _sum_days(con: duckdb.DuckDBPyConnection, rows: str, *, returns: bool, discounts: bool) -> None:
    """Make the table ``days`` of ``rows``, which may hold ``returns`` and ``discounts`` or not."""
    # A constant is not summed: each sum over a large log is felt.
    terms = {
        "bought": "SUM(amount)",
        "returned": "0.0",
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
    con.execute(f"CREATE OR REPLACE TEMP TABLE days AS {_DAYS.format(rows=rows, **terms)}")


def open_window(con: duckdb.DuckDBPyConnection, until: int) -> dict[str, int]:
    """Make the view ``observed`` of the usable rows up to ``until``.

    Returns how many rows lie behind it, and how many rows only repeat an order.
    """
    con.execute(
        "CREATE TEMP VIEW observed AS SELECT id, day, amount, discount, order_id"
        f" FROM usable WHERE day <= {until}"
    )
    return {
        "after_until": _one(con, f"SELECT COUNT(*) FROM log WHERE day > {until}")[0],
        "duplicate_orders": _one(con, _DUPLICATE_ORDERS)[0],
    }


def offending(con: duckdb.DuckDBPyConnection, column: str) -> tuple[int, float]:
    """Return how many observed rows have a negative ``column``, and the least value."""
    found = _one(con, f"SELECT COUNT(*), MIN({column}) FROM observed WHERE {column} < 0")
    return found[0], found[1]


def conflicting_orders(con: duckdb.DuckDBPyConnection) -> tuple[int, Any]:
    """Return how many order ids stand for different purchases, and one of them."""
    found = _one(con, _CONFLICTING_ORDERS)
    return found[0], found[1]


def merge_orders(con: duckdb.DuckDBPyConnection) -> None:
    """Sum the days again, each order once."""
    _sum_days(con, _MERGED_ORDERS, returns=True, discounts=True)


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """Return the only row of a result."""
    return con.sql(sql).fetchall()[0]


def summarise(
    con: duckdb.DuckDBPyConnection,
    *,
    net: bool,
    unit: Unit,
    until: int,
    split: int | None = None,
) -> None:
    """Make the table ``customers`` from ``days``, one row a customer.

    With ``split`` its summary knows only the rows up to that day, and the columns
    holdout_frequency, holdout_amount and holdout_duration describe those after it.
    The log is dropped: what remains is small.

    Raises
    ------
    InputError
        If no customer remains.
    """
    days = NET_DAYS if net else PURCHASE_DAYS
    unit_days = int(UNIT_DAYS[unit])
    end = until if split is None else split
    summary = _SUMMARY.format(
        days=days.format(after=FIRST_DAY - 1, until=end), until=end, unit_days=unit_days
    )
    if split is None:
        con.execute(f"CREATE TEMP TABLE customers AS {summary}")
    else:
        con.execute(f"CREATE TEMP TABLE calibration AS {summary}")
        holdout = _HOLDOUT.format(days=days.format(after=split, until=until))
        con.execute(f"CREATE TEMP TABLE holdout AS {holdout}")
        joined = _SPLIT.format(until=until, split=split, unit_days=unit_days)
        con.execute(f"CREATE TEMP TABLE customers AS {joined}")
        con.execute("DROP TABLE calibration")
        con.execute("DROP TABLE holdout")
    con.execute("DROP TABLE days")
    con.execute("DROP TABLE log")
    if not con.execute("SELECT 1 FROM customers LIMIT 1").fetchall():
        raise fail(
            "no purchase is left: every one in the window was returned",
            'look at the negative amounts, or pass returns="drop"',
        )


def rows(
    con: duckdb.DuckDBPyConnection, customer: str, columns: list[str]
) -> duckdb.DuckDBPyRelation:
    """Return ``columns`` of the customers, sorted by id, the id under the name ``customer``."""
    return con.sql(
        f"SELECT id AS {quote(customer)}, {', '.join(columns)} FROM customers ORDER BY id"
    )


def unique(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return the distinct (frequency, recency, T) with how many customers share them."""
    return con.sql(
        "SELECT frequency, recency, T, COUNT(*) AS count FROM customers"
        " GROUP BY frequency, recency, T ORDER BY frequency, recency, T"
    )
