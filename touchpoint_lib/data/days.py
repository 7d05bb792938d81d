"""Calendar days as whole numbers, and what may be passed as one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from touchpoint_lib._checks import fail

#: Day numbers count from here; the first day that Python can name is this one.
EPOCH = date(1970, 1, 1)
FIRST_DAY = (date.min - EPOCH).days
#: Names of a system's own copy of the time zones: an engine knows none of them.
_SYSTEM_ZONES = ("posix/", "right/", "posixrules", "localtime", "Factory")


def to_date(day: int) -> date:
    return EPOCH + timedelta(days=day)


def today_in(tz: str | None) -> tuple[int, str | None]:
    """Return today's day number, and the checked name of the time zone.

    Without a time zone the day is the latest anywhere on Earth (UTC+14), so that a shop ahead of
    this machine's clock is not accused of trading in the future.
    """
    now = datetime.now(UTC)
    if tz is None:
        return ((now + timedelta(hours=14)).date() - EPOCH).days, None
    try:
        local = now.astimezone(ZoneInfo(tz))
        if tz.startswith(_SYSTEM_ZONES):
            raise KeyError(tz)
    except (KeyError, ValueError, TypeError, OSError):
        raise fail(
            f"tz is {tz!r}, which is no known time zone", 'pass an IANA name: tz="Asia/Shanghai"'
        ) from None
    return (local.date() - EPOCH).days, tz


def until_day(until: Any, today: int) -> int | None:
    """Return the day number of ``until``; raise if it is in the future."""
    if until is None:
        return None
    day = to_day("until", until)
    if day > today:
        raise fail(
            f"until is {to_date(day)}, later than today ({to_date(today)})",
            "nothing is known of the future: pass a day that is over",
        )
    return day


def to_day(name: str, value: Any) -> int:
    """Return the day number of a date-like ``value``, which must be a whole day."""
    remedy = 'pass a whole day, such as "1997-09-30"'
    moment = value
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, np.datetime64) and np.datetime_data(value)[0] not in ("Y", "M", "W"):
            moment = pd.Timestamp(value)
    except ValueError:
        raise fail(f"{name} is {value!r}", remedy) from None
    if not isinstance(moment, date) or pd.isna(moment):
        raise fail(f"{name} is {value!r}", remedy)
    if not isinstance(moment, datetime):
        return (moment - EPOCH).days
    if moment.tzinfo is not None:
        raise fail(f"{name} is {value!r}, with a time zone", remedy)
    if moment != moment.replace(hour=0, minute=0, second=0, microsecond=0):
        raise fail(f"{name} is {value!r}, with a time of day", remedy)
    return (moment.date() - EPOCH).days
