"""The contact log: who was contacted when, through which channel, and who was held out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

import pandas as pd

from touchpoint_lib.data.days import to_date
from touchpoint_lib.data.entries import Entries, Kind, open_entries
from touchpoint_lib.data.log import closed_on_error
from touchpoint_lib.data.quality import Report

#: What each column is; customer and time are called id and moment in the engine.
_KINDS: dict[str, Kind] = {
    "id": "id",
    "moment": "moment",
    "channel": "word",
    "campaign": "label",
    "held_out": "flag",
    "cost": "number",
    "coupon": "number",
    "opened": "flag",
    "clicked": "flag",
    "unsubscribed": "flag",
}
#: What nobody can have done who was not contacted.
_DEEDS = ("opened", "clicked", "unsubscribed")
_MEANINGS = {
    "rows": ("rows", False),
    "usable_rows": ("usable rows", False),
    "held_out": ("held out (usable)", False),
    "null_customer": ("without a customer", True),
    "null_time": ("without a time", True),
    "null_channel": ("without a channel", True),
    "null_flag": ("without a flag", True),
    "null_money": ("without a cost or coupon", True),
    "future_rows": ("later than today", True),
    "odd_flag": ("with a flag neither 0 nor 1", True),
    "negative_money": ("with a negative cost or coupon", True),
    "reached_though_held_out": ("held out, but paid for or answered", True),
    "duplicate_rows": ("repeating another row", False),
    "first_day": ("first day", False),
    "last_day": ("last day", False),
}


@dataclass(frozen=True)
class ContactReport(Report):
    """What a contact log consists of, in rows; a row may count under several heads.

    Attributes
    ----------
    rows
        All rows.
    usable_rows
        Rows with none of the faults that ``on_bad`` decides: null_customer, null_time,
        null_channel, null_flag, null_money, future_rows.
    held_out
        Usable rows that were held out at random (留白): opportunities, no contacts.
    null_customer
        The id is null, NaN or an empty text.
    null_time
        The time is null, NaT, infinite or before the year 1.
    null_channel
        The channel is null or an empty text.
    null_flag
        One of held_out, opened, clicked and unsubscribed is null.
    null_money
        The cost or the coupon is null, NaN or infinite.
    future_rows
        The day is later than today.
    odd_flag
        A flag is neither 0 nor 1: refused in usable rows, whatever ``on_bad`` says.
    negative_money
        The cost or the coupon is below 0: refused as well.
    reached_though_held_out
        Held out, and yet with a cost, opened, clicked or unsubscribed: refused as well.
    duplicate_rows
        Usable rows less distinct ones of customer, time, channel and campaign: no fault, never
        dropped.
    first_day, last_day
        Of the usable rows; None without any.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.check_contacts(tp.load_shop().contacts).held_out
    20026
    """

    meanings: ClassVar[Mapping[str, tuple[str, bool]]] = _MEANINGS

    rows: int
    usable_rows: int
    held_out: int
    null_customer: int
    null_time: int
    null_channel: int
    null_flag: int
    null_money: int
    future_rows: int
    odd_flag: int
    negative_money: int
    reached_though_held_out: int
    duplicate_rows: int
    first_day: date | None
    last_day: date | None


def check_contacts(
    contacts: Any,
    customer: str = "customer_id",
    time: str = "time",
    channel: str = "channel",
    campaign: str | None = None,
    held_out: str | None = "held_out",
    cost: str | None = "cost",
    coupon: str | None = None,
    opened: str | None = None,
    clicked: str | None = None,
    unsubscribed: str | None = None,
    tz: str | None = None,
) -> ContactReport:
    """Count what is wrong with a contact log, and what is only worth knowing.

    Parameters
    ----------
    contacts
        A pandas or polars frame, pyarrow Table or RecordBatchReader, DuckDB relation, Spark
        DataFrame (counted in its session), or the path or glob of Parquet or CSV files.
    customer, time, channel, campaign, held_out, cost, coupon, opened, clicked, unsubscribed, tz
        As for `contact_log`.

    Returns
    -------
    ContactReport
        Counts of rows. Bad rows never raise here.

    Raises
    ------
    InputError
        If the log is empty, or a column or an argument cannot be used.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> report = tp.check_contacts(tp.load_shop().contacts, campaign="campaign")
    >>> report.rows, report.usable_rows, report.duplicate_rows
    (99526, 99526, 0)
    """
    columns = {
        "customer": customer,
        "time": time,
        "channel": channel,
        "campaign": campaign,
        "held_out": held_out,
        "cost": cost,
        "coupon": coupon,
        "opened": opened,
        "clicked": clicked,
        "unsubscribed": unsubscribed,
    }
    log = open_entries(contacts, columns, _KINDS, tz, here=False)
    with closing(log.engine):
        return _report(log)


def contact_log(
    contacts: Any,
    customer: str = "customer_id",
    time: str = "time",
    channel: str = "channel",
    campaign: str | None = None,
    held_out: str | None = "held_out",
    cost: str | None = "cost",
    coupon: str | None = None,
    opened: str | None = None,
    clicked: str | None = None,
    unsubscribed: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
) -> pd.DataFrame:
    """Return a contact log, checked, under the names that the functions of touchpoints know.

    Every row is an opportunity (触达机会): a contact (触达) that was made, or one that was held out
    at random (留白).

    Parameters
    ----------
    contacts
        The log, as for :func:`check_contacts`.
    customer, time, channel : str
        Columns of the customer's id, the time of the contact and the channel (page, chat, SMS...).
    campaign : str, optional
        Column of the campaign; missing where a contact belongs to none. Campaigns may hold out
        different shares: they are compared apart.
    held_out : str, optional
        Column that is True (or 1) where the contact was withheld by lot. None for a log of contacts
        that were all made: then no effect can be told.
    cost : str, optional
        Column of what a contact cost, in money, >= 0; 0 where it was held out.
    coupon : str, optional
        Column of the coupon's depth, >= 0; 0 for none.
    opened, clicked, unsubscribed : str, optional
        Columns of truth values (or 0 and 1): what the customer did with the contact.
    tz : str, optional
        IANA name of the zone whose clocks count: required for time-zone-aware times, refused for
        others.
    on_bad : {"raise", "drop"}
        What to do about rows without customer, time, channel, flag, cost or coupon, or later than
        today.

    Returns
    -------
    DataFrame
        Sorted by time and customer: customer_id, time (datetime64, without a
        zone), channel and campaign (categories), held_out (bool), cost, coupon, opened, clicked,
        unsubscribed: those that the log has. ``attrs`` holds report, the counts of
        `check_contacts`.

    Raises
    ------
    InputError
        If the log is empty, a column or an argument cannot be used, rows are at fault, a cost or
        coupon is negative, a flag is neither 0 nor 1, or somebody held out was paid for or
        answered.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> contacts = tp.contact_log(tp.load_shop().contacts, campaign="campaign")
    >>> contacts.columns.to_list()
    ['customer_id', 'time', 'channel', 'campaign', 'held_out', 'cost']
    """
    columns = {
        "customer": customer,
        "time": time,
        "channel": channel,
        "campaign": campaign,
        "held_out": held_out,
        "cost": cost,
        "coupon": coupon,
        "opened": opened,
        "clicked": clicked,
        "unsubscribed": unsubscribed,
    }
    log = open_entries(contacts, columns, _KINDS, tz, here=True)
    with closed_on_error(log.engine):
        log.refuse_faults(on_bad)
        for role in _of_kind(log, "flag"):
            log.refuse(
                role,
                f"{role} NOT IN (0, 1)",
                "is neither 0 nor 1",
                "a flag is True or False, 1 or 0",
            )
        for role in _of_kind(log, "number"):
            log.refuse(
                role, f"{role} < 0", "is negative", "pass what is spent or taken off as 0 or more"
            )
        _refuse_reached(log)
        report = _report(log)
    names = {"id": "customer_id", "moment": "time"}
    frame = log.fetch({role: names.get(role, role) for role in log.kinds}, tz)
    for name in ("channel", "campaign"):
        if name in frame.columns:
            frame[name] = frame[name].astype("category")
    frame.attrs["report"] = report.to_dict()
    return frame


def _of_kind(log: Entries, kind: Kind) -> list[str]:
    """Return the roles of a kind."""
    return [role for role, one in log.kinds.items() if one == kind]


def _reached(log: Entries) -> dict[str, str]:
    """Return by role the condition of a row that was held out and yet reached."""
    if "held_out" not in log.kinds:
        return {}
    tests = {role: f"{role} = 1" for role in _DEEDS if role in log.kinds}
    if "cost" in log.kinds:
        # NaN is above every number.
        tests["cost"] = f"(cost > 0 AND {log.engine.finite('cost')})"
    return {role: f"held_out = 1 AND {test}" for role, test in tests.items()}


def _refuse_reached(log: Entries) -> None:
    for role, test in _reached(log).items():
        log.refuse(
            role,
            test,
            "is set where the contact was held out",
            "who was held out was not contacted: correct the flag, or set costs to 0 there",
        )


def _report(log: Entries) -> ContactReport:
    """Return the counts of a staged log."""
    faults = log.faults()

    def any_of(kind: Kind) -> str:
        return " OR ".join(faults[role] for role in _of_kind(log, kind)) or "FALSE"

    odd = " OR ".join(f"{role} NOT IN (0, 1)" for role in _of_kind(log, "flag")) or "FALSE"
    negative = " OR ".join(f"{role} < 0" for role in _of_kind(log, "number")) or "FALSE"
    usable = log.usable()
    held_out = "held_out = 1" if "held_out" in log.kinds else "FALSE"
    counts = log.counts(
        {
            "usable_rows": usable,
            "held_out": f"{usable} AND {held_out}",
            "null_customer": faults["id"],
            "null_time": faults["moment"],
            "null_channel": faults["channel"],
            "null_flag": any_of("flag"),
            "null_money": any_of("number"),
            "future_rows": faults["future"],
            "odd_flag": odd,
            "negative_money": negative,
            "reached_though_held_out": " OR ".join(f"({test})" for test in _reached(log).values())
            or "FALSE",
        }
    )
    keys = ", ".join(["id", "moment", *(r for r in ("channel", "campaign") if r in log.kinds)])
    [(copies, first, last)] = log.engine.fetch(
        "SELECT COALESCE(SUM(copies - 1), 0), MIN(first), MAX(last) FROM ("
        f"SELECT COUNT(*) AS copies, MIN(day) AS first, MAX(day) AS last FROM log WHERE {usable}"
        f" GROUP BY {keys}) AS distinct_rows"
    )
    return ContactReport(
        **counts,
        duplicate_rows=int(copies),
        first_day=None if first is None else to_date(first),
        last_day=None if last is None else to_date(last),
    )
