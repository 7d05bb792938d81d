"""The report on a log's quality, and the error for rows that cannot be used."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import ClassVar

import pandas as pd

from touchpoint_lib._checks import fail
from touchpoint_lib.data.days import to_date


@dataclass(frozen=True)
class Report:
    """Counts with their meanings, as a frame, a dict, text and a table in a notebook.

    Whoever derives from it has ``meanings``: what a row of each kind is called, and whether it is
    a fault that ``on_bad`` decides.
    """

    meanings: ClassVar[Mapping[str, tuple[str, bool]]]

    def to_frame(self) -> pd.DataFrame:
        """Return the report as a frame of one row, a column a field."""
        return pd.DataFrame([asdict(self)])

    def to_dict(self) -> dict[str, int | str | None]:
        """Return the report as a plain dict, the days as ISO text: JSON can hold it."""
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in asdict(self).items()
        }

    def _lines(self) -> list[tuple[str, str, str]]:
        """Return meaning, value and note of each field."""
        lines = []
        for field in fields(self):
            value = getattr(self, field.name)
            meaning, fault = self.meanings[field.name]
            text = f"{value:,}" if isinstance(value, int) else str(value or "none")
            lines.append((meaning, text, "fault" if fault and value else ""))
        return lines

    def __str__(self) -> str:
        lines = self._lines()
        left = max(len(meaning) for meaning, _, _ in lines)
        right = max(len(text) for _, text, _ in lines)
        return "\n".join(
            f"{meaning:<{left}}  {text:>{right}}  {note}".rstrip() for meaning, text, note in lines
        )

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><th style='text-align:left'>{html.escape(meaning)}</th>"
            f"<td style='text-align:right'>{text}</td><td>{note}</td></tr>"
            for meaning, text, note in self._lines()
        )
        return f"<table><tbody>{body}</tbody></table>"


#: What a row of each kind is called, and whether it is a fault that ``on_bad`` decides.
_MEANINGS = {
    "rows": ("rows", False),
    "usable_rows": ("usable rows", False),
    "null_customer": ("without a customer", True),
    "null_time": ("without a time", True),
    "null_amount": ("without an amount", True),
    "zero_amount": ("with amount zero", False),
    "negative_amount": ("with a negative amount (returns)", False),
    "future_rows": ("later than today", True),
    "after_until": ("after the window", False),
    "duplicate_rows": ("repeating another row", False),
    "null_discount": ("without a discount", True),
    "duplicate_orders": ("repeating an order", False),
    "first_day": ("first day", False),
    "last_day": ("last day", False),
}


@dataclass(frozen=True)
class DataReport(Report):
    """What a purchase log consists of, in rows; a row may count under several heads.

    Attributes
    ----------
    rows
        All rows.
    usable_rows
        Rows with none of the faults that ``on_bad`` decides: null_customer, null_time,
        null_amount, null_discount, future_rows.
    null_customer
        The id is null, NaN or an empty text.
    null_time
        The time is null, NaT, infinite or before the year 1.
    null_amount
        The amount is null, NaN or infinite.
    zero_amount
        The amount is 0: a purchase, no fault.
    negative_amount
        The amount is below 0: a return, which ``returns`` decides.
    future_rows
        The day is later than today.
    after_until
        The day is after the window: no fault.
    duplicate_rows
        Rows less distinct rows of customer, time, amount (and order): no fault, never dropped.
    null_discount
        The discount is null, NaN or infinite.
    duplicate_orders
        Usable rows in the window that only repeat an order.
    first_day, last_day
        Of the usable rows; None without any.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.check_transactions(tp.load_cdnow()).duplicate_rows
    255
    """

    meanings: ClassVar[Mapping[str, tuple[str, bool]]] = _MEANINGS

    rows: int
    usable_rows: int
    null_customer: int
    null_time: int
    null_amount: int
    zero_amount: int
    negative_amount: int
    future_rows: int
    after_until: int
    duplicate_rows: int
    null_discount: int
    duplicate_orders: int
    first_day: date | None
    last_day: date | None


def refuse_faults(report: DataReport, columns: dict[str, str], today: int) -> None:
    """Raise if there are rows with a fault that ``on_bad`` decides."""
    unusable = report.rows - report.usable_rows
    if not unusable:
        return
    parts = [
        f"{getattr(report, fault):,} without {columns[role]}"
        for fault, role in (
            ("null_customer", "id"),
            ("null_time", "moment"),
            ("null_amount", "amount"),
            ("null_discount", "discount"),
        )
        if getattr(report, fault)
    ]
    if report.future_rows:
        parts.append(
            f"{report.future_rows:,} with a {columns['moment']} later than today ({to_date(today)})"
        )
    fill = ""
    if report.null_discount:
        fill = f" (fill {columns['discount']} with 0 if missing means no discount)"
    raise fail(
        f"{unusable:,} of {report.rows:,} rows cannot be used: {', '.join(parts)}",
        f'correct them{fill} or pass on_bad="drop"',
    )
