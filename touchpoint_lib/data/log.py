"""A purchase log opened in an engine: arguments checked, rows counted, faults refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from touchpoint_lib._checks import Unit, check_choice, check_unit, fail
from touchpoint_lib.data import engine
from touchpoint_lib.data.days import to_date, today_in, until_day
from touchpoint_lib.data.duck import DuckEngine
from touchpoint_lib.data.quality import DataReport, refuse_faults
from touchpoint_lib.data.sources import is_spark
from touchpoint_lib.data.spark import SparkEngine
from touchpoint_lib.data.words import part_events, part_wordless

_RESULT_COLUMNS = ("frequency", "recency", "T", "monetary_value", "log_gaps", "discount_share")
HOLDOUT_COLUMNS = ("holdout_frequency", "holdout_amount", "holdout_duration")


@dataclass(frozen=True)
class Log:
    """A checked log in the engine, ready to be summarised."""

    engine: DuckEngine | SparkEngine
    report: DataReport
    customer: str
    unit: Unit
    until: int
    first_purchase: int
    columns: list[str]
    net: bool

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection of a log that is here, not in Spark."""
        if not isinstance(self.engine, DuckEngine):
            raise TypeError("the log is in Spark: open it with here=True")
        return self.engine.con

    def summarise(self, columns: Sequence[str], split: int | None = None) -> None:
        """Make the engine's table ``customers``, with ``columns`` besides the id."""
        engine.summarise(
            self.engine,
            net=self.net,
            unit=self.unit,
            until=self.until,
            customer=self.customer,
            columns=columns,
            split=split,
        )


@contextmanager
def closed_on_error(opened: engine.Engine) -> Iterator[None]:
    """Give an engine back where something is wrong: a session would keep what it cached."""
    try:
        yield
    except BaseException:
        opened.close()
        raise


def open_log(
    log: Any,
    customer: str,
    time: str,
    amount: str | None,
    unit: Unit,
    until: Any,
    order: str | None,
    tz: str | None,
    on_bad: str,
    returns: str,
    discount: str | None,
    words: Mapping[str, str | None] | None = None,
    purchase_event: Any = None,
    until_name: str = "until",
    memory: str | None = None,
    here: bool = False,
) -> Log:
    """Check arguments and log, and select its purchases in the engine.

    A Spark DataFrame stays in its session, unless it has words or is asked ``here``.
    ``words`` names the columns of the roles category, channel and event. With an event only the
    rows of ``purchase_event`` are purchases; the others are in the engine's table ``events``.
    """
    columns = role_columns(customer, time, amount, order, discount, words or {})
    if customer.lower() in {name.lower() for name in (*_RESULT_COLUMNS, *HOLDOUT_COLUMNS)}:
        raise fail(
            f"the customer column is named {customer!r}", "rename it: the result has such a column"
        )
    unit = check_unit(unit)
    check_choice("on_bad", on_bad, ["raise", "drop"])
    check_choice("returns", returns, ["raise", "drop", "net"])
    today, zone = today_in(tz)
    last = until_day(until, today)
    opened = engine_for(log, memory, here=here or words is not None)
    with closed_on_error(opened):
        engine.stage(opened, log, columns, zone)
        if isinstance(opened, DuckEngine):
            # Elsewhere there are no words.
            if "event" in columns:
                part_events(opened, columns, purchase_event, today, on_bad)
            part_wordless(opened, columns, on_bad)
        report, last, first_purchase = count_rows(opened, columns, today, last)
        if on_bad == "raise":
            refuse_faults(report, columns, today)
        if last is None or first_purchase is None:
            raise fail(
                f"none of the {report.rows:,} rows is a usable purchase",
                "look at check_transactions(log) and correct the log",
            )
        if last < first_purchase:
            raise fail(
                f"{until_name} is {to_date(last)}, before the first purchase on "
                f"{to_date(first_purchase)}",
                f"pass a later {until_name}",
            )
        _refuse_contradictions(opened, columns, returns)
        if report.duplicate_orders > 0:
            engine.merge_orders(opened)
    left_out = {"monetary_value": amount is None, "discount_share": discount is None}
    return Log(
        engine=opened,
        report=report,
        customer=customer,
        unit=unit,
        until=last,
        first_purchase=first_purchase,
        columns=[name for name in _RESULT_COLUMNS if not left_out.get(name)],
        net=returns == "net" and report.negative_amount > 0,
    )


def role_columns(
    customer: str,
    time: str,
    amount: str | None,
    order: str | None,
    discount: str | None,
    words: Mapping[str, str | None],
) -> dict[str, str]:
    """Return the column name for each role of the engine."""
    given = {
        "id": ("customer", customer),
        "moment": ("time", time),
        "amount": ("amount", amount),
        "discount": ("discount", discount),
        "order_id": ("order", order),
        **{role: (role, name) for role, name in words.items()},
    }
    columns: dict[str, str] = {}
    for role, (argument, name) in given.items():
        if name is None and argument not in ("customer", "time"):
            continue
        if not isinstance(name, str):
            raise fail(f"{argument} is {name!r}", "it must be the name of a column, as text")
        if name in columns.values():
            raise fail(f"{argument} is {name!r}, which another argument names too", "name another")
        columns[role] = name
    return columns


def engine_for(
    source: Any, memory: str | None = None, *, here: bool = False
) -> DuckEngine | SparkEngine:
    """Return a new engine for a source: the session of a Spark DataFrame, unless ``here``."""
    if here or not is_spark(source):
        return DuckEngine(memory)
    if memory is not None:
        raise fail(
            f"memory is {memory!r}, and the log is in Spark",
            "leave it out: the session's own settings count",
        )
    return SparkEngine(source)


def count_rows(
    opened: engine.Engine, columns: dict[str, str], today: int, until: int | None
) -> tuple[DataReport, int | None, int | None]:
    """Return the report, the last day of the window and the day of the first purchase."""
    counts = engine.count(opened, today)
    first, last, first_purchase = (
        counts.pop(name) for name in ("first_day", "last_day", "first_purchase")
    )
    until = last if until is None else until
    behind = {"after_until": 0, "duplicate_orders": 0}
    if until is not None:
        behind = engine.open_window(opened, until)
    if "amount" not in columns:
        counts["zero_amount"] = 0
    report = DataReport(
        **{name: int(value or 0) for name, value in counts.items()},
        **behind,
        first_day=None if first is None else to_date(first),
        last_day=None if last is None else to_date(last),
    )
    return report, until, first_purchase


def _refuse_contradictions(opened: engine.Engine, columns: dict[str, str], returns: str) -> None:
    """Raise for negative discounts, unexpected returns and ambiguous order ids."""
    if "discount" in columns:
        found, least = engine.offending(opened, "discount")
        if found:
            raise fail(
                f"column {columns['discount']!r} is negative in {found:,} rows (least {least:g})",
                "every discount must be >= 0: pass what is taken off as a positive number",
            )
    if "amount" in columns and returns == "raise":
        found, least = engine.offending(opened, "amount")
        if found:
            raise fail(
                f"column {columns['amount']!r} is negative in {found:,} rows (least {least:g})",
                'pass returns="net" to subtract returns from their purchases, or returns="drop" '
                "to leave them out",
            )
    if "order_id" in columns:
        found, example = engine.conflicting_orders(opened)
        if found:
            raise fail(
                f"column {columns['order_id']!r} has {found:,} order ids with different customers, "
                f"days or amounts, such as {example!r}",
                "sum the lines of an order first, or leave order= out",
            )
