"""From a purchase log to one row a customer, with a report on the log's quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pandas as pd

from touchpoint_lib._checks import UNIT_WORDS, Unit, check_choice, check_unit, fail
from touchpoint_lib.data import engine
from touchpoint_lib.data.days import to_date, to_day, today_in, until_day
from touchpoint_lib.data.quality import DataReport, refuse_faults
from touchpoint_lib.data.words import part_events, part_wordless

__all__ = [
    "CustomerBase",
    "DataReport",
    "check_transactions",
    "customer_base",
    "rfm_split",
    "rfm_summary",
]

_RESULT_COLUMNS = ("frequency", "recency", "T", "monetary_value", "log_gaps", "discount_share")
_HOLDOUT_COLUMNS = ("holdout_frequency", "holdout_amount", "holdout_duration")


@dataclass(frozen=True, repr=False)
class CustomerBase:
    """One row a customer, kept in the engine, and the distinct rows that a model needs.

    Attributes
    ----------
    rows
        DuckDB relation, one row a customer: the id and the columns of :func:`rfm_summary`.
    unique
        The distinct frequency, recency and T, and ``count``, the customers who share them.
    report
        What the log consisted of.
    unit
        Unit of recency and T: "D" (days) or "W" (weeks of seven days).
    until
        The last day observed.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> base = tp.customer_base(tp.load_cdnow(sample=True))
    >>> base
    CustomerBase(2,357 customers, 1,218 distinct rows, in weeks, observed until 1998-06-30)
    """

    rows: duckdb.DuckDBPyRelation
    unique: pd.DataFrame
    report: DataReport
    unit: Unit
    until: date

    def to_frame(self) -> pd.DataFrame:
        """Return what :func:`rfm_summary` returns: a frame with one row a customer."""
        return _frame(self.rows, self.report, self.unit, {"until": self.until.isoformat()})

    def __repr__(self) -> str:
        return (
            f"CustomerBase({self.unique['count'].sum():,} customers, {len(self.unique):,} "
            f"distinct rows, in {UNIT_WORDS[self.unit]}, observed until {self.until})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.report._repr_html_()}"


@dataclass(frozen=True)
class Log:
    """A checked log in the engine, ready to be summarised."""

    con: duckdb.DuckDBPyConnection
    report: DataReport
    customer: str
    unit: Unit
    until: int
    first_purchase: int
    columns: list[str]
    net: bool


def check_transactions(
    log: Any,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    until: Any = None,
    order: str | None = None,
    tz: str | None = None,
    discount: str | None = None,
) -> DataReport:
    """Count what is wrong with a purchase log, and what is only worth knowing.

    Parameters
    ----------
    log
        A pandas or polars frame, pyarrow Table or RecordBatchReader, DuckDB relation, or the path
        or glob of Parquet or CSV files.
    customer, time, amount, order, discount
        Names of the columns; see :func:`rfm_summary`.
    until
        The last day of observation, inclusive; by default the last day of the usable rows.
    tz
        Time zone whose calendar days count, for time-zone-aware times.

    Returns
    -------
    DataReport
        Counts of rows. Bad rows never raise here.

    Raises
    ------
    InputError
        If the log is empty or a column or an argument cannot be used.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> report = tp.check_transactions(tp.load_cdnow(), until="1997-09-30")
    >>> report.rows, report.zero_amount, report.after_until
    (69659, 80, 20573)
    """
    columns = _columns(customer, time, amount, order, discount, {})
    today, zone = today_in(tz)
    last = until_day(until, today)
    con = engine.stage(log, columns, zone)
    report, _, _ = _count(con, columns, today, last)
    con.close()
    return report


def customer_base(
    source: Any,
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
) -> CustomerBase:
    """Summarise a purchase log inside the engine, for logs too large for a frame.

    Parameters
    ----------
    source
        The log, as for :func:`rfm_summary`.
    customer, time, amount, unit, until, order, tz, on_bad, returns, discount
        As for :func:`rfm_summary`.

    Returns
    -------
    CustomerBase
        ``rows`` (DuckDB relation, one row a customer), ``unique`` (distinct frequency, recency
        and T with their ``count``), ``report``, ``unit`` and ``until``.

    Raises
    ------
    InputError
        As for :func:`rfm_summary`.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> base = tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")
    >>> base.rows.filter("frequency > 0").count("frequency").fetchall()
    [(946,)]
    """
    opened = open_log(
        source, customer, time, amount, unit, until, order, tz, on_bad, returns, discount
    )
    engine.summarise(opened.con, net=opened.net, unit=opened.unit, until=opened.until)
    unique = engine.unique(opened.con).to_arrow_table().to_pandas()
    unique.attrs["unit"] = opened.unit
    return CustomerBase(
        rows=engine.rows(opened.con, opened.customer, opened.columns),
        unique=unique,
        report=opened.report,
        unit=opened.unit,
        until=to_date(opened.until),
    )


def rfm_summary(
    log: Any,
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
) -> pd.DataFrame:
    """Turn a purchase log into one row a customer: frequency, recency, T and money.

    All rows of a customer on one calendar day are one purchase.

    Parameters
    ----------
    log
        A pandas or polars frame, pyarrow Table or RecordBatchReader, DuckDB relation, or the path
        or glob of Parquet or CSV files (times in a CSV as ISO 8601).
    customer, time
        Names of the columns that hold the customer's id and the time of purchase.
    amount
        Name of the column with the money spent; None for a log without one.
    unit
        Unit of durations: "D" (days) or "W" (weeks of seven days, with fractions).
    until
        The last day of observation, inclusive; by default the last day of the usable rows. Later
        rows are outside the window: counted, no fault.
    order
        Name of an order id column. Rows of the same customer, order, day and amount are then one.
        Rows without an order id are never merged.
    tz
        IANA name of the time zone whose calendar days count, such as "Asia/Shanghai": required
        for time-zone-aware times, refused for others.
    on_bad
        What to do about rows without customer, time, amount or discount, or later than today:
        "raise", or "drop" to leave them out.
    returns
        What to do about negative amounts: "raise"; "drop" to leave the rows out; "net" to subtract
        each from the customer's latest purchase day on or before it. A day whose returns reach
        its amount is then no purchase, and returns without a purchase before them are left out.
    discount
        Name of a column with the amount or share taken off; above 0 means discounted.

    Returns
    -------
    pandas.DataFrame
        Indexed and sorted by customer. frequency: repeat purchase days; recency: from the first
        to the last purchase day, in ``unit``; T: from the first purchase day to ``until``, in
        ``unit``; monetary_value: mean spend a repeat purchase day, in the log's currency, the
        first day excluded and 0 without repeats; log_gaps: sum of ln(gap in ``unit``) over the
        repeats; with ``discount`` also discount_share: share of the purchase days with a
        discounted row. ``attrs`` holds unit, until and report.

    Raises
    ------
    InputError
        If the log is empty, a column or an argument cannot be used, rows are at fault, amounts
        are negative (and ``returns`` is "raise"), a discount is negative, or one order id stands
        for different purchases.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "'Counting Your Customers' the Easy Way:
    An Alternative to the Pareto/NBD Model", Marketing Science 24(2).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> customers = tp.rfm_summary(tp.load_cdnow(sample=True), until="1997-09-30")
    >>> customers.loc["00004", ["frequency", "recency", "T", "monetary_value"]].round(3).to_dict()
    {'frequency': 2.0, 'recency': 30.429, 'T': 38.857, 'monetary_value': 22.345}
    """
    opened = open_log(
        log, customer, time, amount, unit, until, order, tz, on_bad, returns, discount
    )
    engine.summarise(opened.con, net=opened.net, unit=opened.unit, until=opened.until)
    relation = engine.rows(opened.con, opened.customer, opened.columns)
    until_text = to_date(opened.until).isoformat()
    return _frame(relation, opened.report, opened.unit, {"until": until_text})


def rfm_split(
    log: Any,
    split: Any = None,
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
) -> pd.DataFrame:
    """Summarise a log as of the day ``split``, and what its customers did after it.

    The summary knows nothing later than ``split``, not even a later return of an earlier purchase.

    Parameters
    ----------
    log, customer, time, amount, unit, until, order, tz, on_bad, returns, discount
        As for :func:`rfm_summary`.
    split
        The last day of the calibration part; by default the middle of the window, which is the
        first purchase day + (``until`` - the first purchase day) // 2 days.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`rfm_summary` as of ``split``, for the customers acquired by then,
        and holdout_frequency: purchase days in (split, until]; holdout_amount: money spent on
        them; holdout_duration: until - split, in ``unit``. ``attrs`` holds unit, split, until and
        report.

    Raises
    ------
    InputError
        As for :func:`rfm_summary`, and if ``split`` is not before ``until`` or lies before the
        first purchase.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True))
    >>> split.attrs["split"], int(split["frequency"].sum()), int(split["holdout_frequency"].sum())
    ('1997-09-30', 2457, 1882)
    """
    day = None if split is None else to_day("split", split)
    opened = open_log(
        log, customer, time, amount, unit, until, order, tz, on_bad, returns, discount
    )
    first, last = opened.first_purchase, opened.until
    if day is None:
        day = first + (last - first) // 2
    if day >= last:
        raise fail(
            f"split is {to_date(day)}, the window ends on {to_date(last)}",
            "split must be before the last day: pass an earlier split or a later until",
        )
    if day < first:
        raise fail(
            f"split is {to_date(day)}, before the first purchase on {to_date(first)}",
            f"pass a split from {to_date(first)} to {to_date(last - 1)}",
        )
    engine.summarise(opened.con, net=opened.net, unit=opened.unit, until=last, split=day)
    holdout = [name for name in _HOLDOUT_COLUMNS if amount is not None or name != "holdout_amount"]
    relation = engine.rows(opened.con, customer, opened.columns + holdout)
    days = {"split": to_date(day).isoformat(), "until": to_date(last).isoformat()}
    return _frame(relation, opened.report, opened.unit, days)


def _frame(
    relation: duckdb.DuckDBPyRelation, report: DataReport, unit: Unit, days: dict[str, str]
) -> pd.DataFrame:
    """Fetch a relation of customers, its first column as the index."""
    frame: pd.DataFrame = relation.to_arrow_table().to_pandas()
    frame = frame.set_index(str(frame.columns[0]))
    frame.attrs.update(unit=unit, **days, report=report.to_dict())
    return frame


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
) -> Log:
    """Check arguments and log, and select its purchases in the engine.

    ``words`` names the columns of the roles category, channel and event. With an event only the
    rows of ``purchase_event`` are purchases; the others are in the engine's table ``events``.
    """
    columns = _columns(customer, time, amount, order, discount, words or {})
    if customer.lower() in {name.lower() for name in (*_RESULT_COLUMNS, *_HOLDOUT_COLUMNS)}:
        raise fail(
            f"the customer column is named {customer!r}", "rename it: the result has such a column"
        )
    unit = check_unit(unit)
    check_choice("on_bad", on_bad, ["raise", "drop"])
    check_choice("returns", returns, ["raise", "drop", "net"])
    today, zone = today_in(tz)
    last = until_day(until, today)
    con = engine.stage(log, columns, zone)
    if "event" in columns:
        part_events(con, columns, purchase_event, today, on_bad)
    part_wordless(con, columns, on_bad)
    report, last, first_purchase = _count(con, columns, today, last)
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
    _refuse_contradictions(con, columns, returns)
    if report.duplicate_orders > 0:
        engine.merge_orders(con)
    left_out = {"monetary_value": amount is None, "discount_share": discount is None}
    return Log(
        con=con,
        report=report,
        customer=customer,
        unit=unit,
        until=last,
        first_purchase=first_purchase,
        columns=[name for name in _RESULT_COLUMNS if not left_out.get(name)],
        net=returns == "net" and report.negative_amount > 0,
    )


def _columns(
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


def _count(
    con: duckdb.DuckDBPyConnection, columns: dict[str, str], today: int, until: int | None
) -> tuple[DataReport, int | None, int | None]:
    """Return the report, the last day of the window and the day of the first purchase."""
    counts = engine.count(con, today)
    first, last, first_purchase = (
        counts.pop(name) for name in ("first_day", "last_day", "first_purchase")
    )
    until = last if until is None else until
    behind = {"after_until": 0, "duplicate_orders": 0}
    if until is not None:
        behind = engine.open_window(con, until)
    if "amount" not in columns:
        counts["zero_amount"] = 0
    report = DataReport(
        **{name: int(value or 0) for name, value in counts.items()},
        **behind,
        first_day=None if first is None else to_date(first),
        last_day=None if last is None else to_date(last),
    )
    return report, until, first_purchase


def _refuse_contradictions(
    con: duckdb.DuckDBPyConnection, columns: dict[str, str], returns: str
) -> None:
    """Raise for negative discounts, unexpected returns and ambiguous order ids."""
    if "discount" in columns:
        found, least = engine.offending(con, "discount")
        if found:
            raise fail(
                f"column {columns['discount']!r} is negative in {found:,} rows (least {least:g})",
                "every discount must be >= 0: pass what is taken off as a positive number",
            )
    if "amount" in columns and returns == "raise":
        found, least = engine.offending(con, "amount")
        if found:
            raise fail(
                f"column {columns['amount']!r} is negative in {found:,} rows (least {least:g})",
                'pass returns="net" to subtract returns from their purchases, or returns="drop" '
                "to leave them out",
            )
    if "order_id" in columns:
        found, example = engine.conflicting_orders(con)
        if found:
            raise fail(
                f"column {columns['order_id']!r} has {found:,} order ids with different customers, "
                f"days or amounts, such as {example!r}",
                "sum the lines of an order first, or leave order= out",
            )
