"""From a purchase log to one row a customer, with a report on the log's quality."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pandas as pd

from touchpoint_lib._checks import Unit, fail
from touchpoint_lib.data import engine
from touchpoint_lib.data.base import CustomerBase, customer_rows
from touchpoint_lib.data.days import to_date, to_day, today_in, until_day
from touchpoint_lib.data.log import (
    HOLDOUT_COLUMNS,
    Log,
    closed_on_error,
    count_rows,
    engine_for,
    open_log,
    role_columns,
)
from touchpoint_lib.data.quality import DataReport


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
        A pandas or polars frame, pyarrow Table or RecordBatchReader, DuckDB relation, Spark
        DataFrame, or the path or glob of Parquet or CSV files.
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
    columns = role_columns(customer, time, amount, order, discount, {})
    today, zone = today_in(tz)
    last = until_day(until, today)
    opened = engine_for(log)
    with closing(opened):
        engine.stage(opened, log, columns, zone)
        report, _, _ = count_rows(opened, columns, today, last)
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
    memory: str | None = None,
) -> CustomerBase:
    """Summarise a purchase log inside the engine, for logs too large for a frame.

    Parquet files and DuckDB relations are streamed: no frame of transactions is ever built. A
    Spark DataFrame stays in its session, which runs the same SQL.

    Parameters
    ----------
    source
        The log, as for :func:`rfm_summary`.
    customer, time, amount, unit, until, order, tz, on_bad, returns, discount
        As for :func:`rfm_summary`.
    memory
        What the engine may take besides what the process has, such as "2GB"; what does not fit
        is spilled to the folder of temporary files (``TMPDIR``). Without it DuckDB takes up to
        80 % of the machine's. Not for Spark, whose session has settings of its own.

    Returns
    -------
    CustomerBase
        ``rows`` (one row a customer, a DuckDB relation or Spark DataFrame), ``unique`` (distinct
        frequency, recency and T with their ``count``), ``report``, ``unit`` and ``until``.

    Raises
    ------
    InputError
        As for :func:`rfm_summary`, and if ``memory`` is no amount, too little, or given for Spark.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> base = tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")
    >>> base.rows.filter("frequency > 0").count("frequency").fetchall()
    [(946,)]
    """
    opened = open_log(
        source,
        customer,
        time,
        amount,
        unit,
        until,
        order,
        tz,
        on_bad,
        returns,
        discount,
        memory=memory,
    )
    with closed_on_error(opened.engine):
        opened.summarise(opened.columns)
        unique = engine.unique(opened.engine)
    unique.attrs["unit"] = opened.unit
    return CustomerBase(
        rows=opened.engine.rows("customers", [opened.customer]),
        unique=unique,
        report=opened.report,
        unit=opened.unit,
        until=to_date(opened.until),
        customer=opened.customer,
        engine=opened.engine,
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
        A pandas or polars frame, pyarrow Table or RecordBatchReader, DuckDB relation, Spark
        DataFrame, or the path or glob of Parquet or CSV files (times in a CSV as ISO 8601).
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
        for time-zone-aware times (Spark's TIMESTAMP is one), refused for others.
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
    return _fetched(opened, opened.columns, {"until": to_date(opened.until).isoformat()})


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
    with closed_on_error(opened.engine):
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
    holdout = [name for name in HOLDOUT_COLUMNS if amount is not None or name != "holdout_amount"]
    days = {"split": to_date(day).isoformat(), "until": to_date(last).isoformat()}
    return _fetched(opened, opened.columns + holdout, days, day)


def _fetched(
    opened: Log, columns: Sequence[str], days: dict[str, str], split: int | None = None
) -> pd.DataFrame:
    """Return the customers of a log as a frame, and give its engine back."""
    with closing(opened.engine):
        opened.summarise(columns, split)
        frame = customer_rows(opened.engine, "customers", opened.customer)
    frame.attrs.update(unit=opened.unit, **days, report=opened.report.to_dict())
    return frame
