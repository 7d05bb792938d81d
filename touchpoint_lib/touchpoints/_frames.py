"""Reading of contact and order logs as frames: times without a zone, checked columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from touchpoint_lib._checks import check_columns, check_present, fail
from touchpoint_lib.campaigns._events import moments


def check_log(what: str, frame: Any, columns: Iterable[str] = ()) -> pd.DatetimeIndex:
    """Return the times of a log of contacts or orders, its columns checked.

    Parameters
    ----------
    what : str
        Which log it is, for the messages: "contacts", "orders" or another.
    frame : DataFrame
        The log.
    columns
        What it must have besides customer_id and time.

    Raises
    ------
    InputError
        If it has no rows, a column or a value of customer_id or time is missing, or times are no
        times or have a time zone.
    """
    function = {"contacts": "contact_log", "orders": "order_log"}.get(what)
    remedy = "rename the columns" if function is None else f"make it with {function}(...)"
    check_columns(frame, ["customer_id", "time", *columns], what, remedy)
    if len(frame) == 0:
        raise fail(f"{what} has no rows", "pass at least one")
    check_present(what, frame, "customer_id")
    times = moments(what, frame, "time")
    if times.tz is not None:
        raise fail(
            f"time of {what} has the time zone {times.tz}",
            "pass what the shop's clocks showed: "
            f'{what}["time"].dt.tz_convert(...).dt.tz_localize(None)',
        )
    return times
