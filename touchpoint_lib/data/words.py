"""Logs with words in them: what happened in a row, and the category and channel of a purchase."""

from __future__ import annotations

from typing import Any

import numpy as np

from touchpoint_lib._checks import fail
from touchpoint_lib.data import engine
from touchpoint_lib.data.days import to_date
from touchpoint_lib.data.duck import DuckEngine


def part_events(
    duck: DuckEngine,
    columns: dict[str, str],
    purchase_event: Any,
    today: int,
    on_bad: str,
) -> None:
    """Move the rows of ``log`` that are no purchases to the table ``events``.

    Raises
    ------
    InputError
        If no row is a purchase, or (unless ``on_bad`` is "drop") a row has no event, or an event
        that is no purchase has no customer, no time, or lies in the future.
    """
    con, purchase = duck.con, word(purchase_event)
    found = con.execute(
        "SELECT event FROM log WHERE event IS NOT NULL GROUP BY event ORDER BY COUNT(*) DESC, event"
    ).fetchall()
    if (purchase,) not in found:
        listed = ", ".join(repr(event) for (event,) in found[:10]) or "no value at all"
        raise fail(
            f"no row of column {columns['event']!r} is {purchase!r} (it has {listed})",
            "pass as purchase_event the value that stands for a purchase",
        )
    _part(duck, columns, {"event": "event IS NULL"}, today, on_bad, "log")
    con.execute("CREATE TEMP TABLE events AS SELECT * FROM log WHERE event <> ?", [purchase])
    con.execute("DELETE FROM log WHERE event <> ?", [purchase])
    faults = engine.faults(duck, today)
    of_roles = {"id": "null_customer", "moment": "null_time", "future": "future_rows"}
    faulty = {role: faults[name] for role, name in of_roles.items()}
    _part(duck, columns, faulty, today, on_bad, "events")


def part_wordless(duck: DuckEngine, columns: dict[str, str], on_bad: str) -> None:
    """Delete the rows of ``log`` without a category or channel, where there are such columns.

    Raises
    ------
    InputError
        If there are such rows and ``on_bad`` is not "drop".
    """
    missing: dict[str, str] = {
        role: f"{role} IS NULL" for role in ("category", "channel") if role in columns
    }
    if missing:
        _part(duck, columns, missing, 0, on_bad, "log")


def word(value: Any) -> str:
    """Return a value as the engine writes it as text."""
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)


def _part(
    duck: DuckEngine,
    columns: dict[str, str],
    faults: dict[str, str],
    today: int,
    on_bad: str,
    table: str,
) -> None:
    """Refuse or delete the rows of a table with one of the ``faults``, by role."""
    either = " OR ".join(f"({test})" for test in faults.values())
    counted = [f"COUNT(*) FILTER (WHERE {test})" for test in (either, *faults.values())]
    [(rows, bad, *each)] = duck.fetch(f"SELECT COUNT(*), {', '.join(counted)} FROM {table}")
    if bad and on_bad == "raise":
        parts = [
            f"{n:,} with a {columns['moment']} later than today ({to_date(today)})"
            if role == "future"
            else f"{n:,} without {columns[role]}"
            for role, n in zip(faults, each, strict=True)
            if n
        ]
        what = "rows" if table == "log" else f"rows of other events than {columns['event']}"
        raise fail(
            f"{bad:,} of {rows:,} {what} cannot be used: {', '.join(parts)}",
            'correct them or pass on_bad="drop"',
        )
    if bad:
        duck.con.execute(f"DELETE FROM {table} WHERE {either}")
