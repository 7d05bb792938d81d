"""The levels of category, channel, event and time of day: which are told apart, and their tables.

Levels are chosen by what is known at the cutoff; the rest is one level, "other".
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from touchpoint_lib._checks import fail
from touchpoint_lib.data.duck import local_time
from touchpoint_lib.data.log import Log

#: Levels told apart by name.
MOST = 10
OTHER = "other"
_PLAIN, _HASHED = re.compile("[a-z0-9_]+"), re.compile("_[0-9a-f]{6}$")
#: Blocks of the day of six hours each, from midnight on.
TIMES = ["night", "morning", "afternoon", "evening"]
_REMEDY = 'pass the attrs["levels"] of other indicators of this log, or leave levels out'

# Rows of purchases; in a netted log some of them are on no purchase day.
_PURCHASE_ROWS = "usable WHERE amount >= 0 AND day <= {at}"

# The levels of a customer's purchase days.
_WORDS = """SELECT place, {at} - bought_rows.day AS age, {at} - last AS silence, days, level
FROM (SELECT DISTINCT id, day, {role} AS level FROM {rows}) AS bought_rows
    JOIN purchases USING (id, day) JOIN customers USING (id)"""

# The other events of customers; one row without a level for a customer without any.
_EVENTS = """SELECT place, {at} - known.day AS age, {at} - last AS silence, days, level
FROM customers LEFT JOIN (
    SELECT id, day, event AS level FROM events WHERE day <= {at}
) AS known USING (id)"""

_COMMONEST = """SELECT level FROM words WHERE level IS NOT NULL
GROUP BY level ORDER BY COUNT(*) DESC, level LIMIT {most}"""

# A day with several of the levels that are not told apart is one day of "other".
_SLOTS = """CREATE OR REPLACE TEMP TABLE {role}_rows AS
SELECT *, ROW_NUMBER() OVER (PARTITION BY place, age ORDER BY slot) = 1 AS day_start
FROM (
    SELECT {distinct} place, age, silence, days,
        CASE WHEN level IS NOT NULL THEN COALESCE(slot, {other}) END AS slot
    FROM words LEFT JOIN slots USING (level)
) AS placed"""

# A purchase day has the hour of its first purchase; in order, so that sums add in order.
_TIMES = """CREATE OR REPLACE TEMP TABLE time_rows AS
SELECT place, {at} - day AS age, {at} - last AS silence, hour,
    CAST(FLOOR(hour / 6) AS INTEGER) AS slot
FROM (SELECT id, day, MIN({hour}) AS hour FROM {rows} GROUP BY id, day) AS first_rows
    JOIN purchases USING (id, day) JOIN customers USING (id)
ORDER BY place, age"""

_HOUR = """(EXTRACT(hour FROM {local}) + EXTRACT(minute FROM {local}) / 60
    + EXTRACT(second FROM {local}) / 3600)"""


def make_levels(
    opened: Log,
    at: int,
    roles: Sequence[str],
    tz: str | None,
    levels: Mapping[str, Sequence[str]] | None,
) -> dict[str, list[str]]:
    """Make the tables ``<role>_rows`` and return the levels that they tell apart.

    Parameters
    ----------
    opened, at
        The log, and the day number of the cutoff, for which `make_tables` was called.
    roles
        Those of category, channel and event that the log has.
    tz
        The time zone of the log's times.
    levels
        The levels of each role, or None to choose them.
    """
    con, rows = opened.con, _PURCHASE_ROWS.format(at=at)
    chosen: dict[str, list[str]] = {}
    for role in roles:
        query = (_EVENTS if role == "event" else _WORDS).format(at=at, role=role, rows=rows)
        con.execute(f"CREATE OR REPLACE TEMP TABLE words AS {query}")
        if levels is None:
            found = con.execute(_COMMONEST.format(most=MOST)).fetchall()
            chosen[role] = sorted(level for (level,) in found)
        else:
            # Sorted, so that no column depends on the order in which levels are listed.
            chosen[role] = sorted(levels[role])
        con.execute("CREATE OR REPLACE TEMP TABLE slots (level VARCHAR, slot INTEGER)")
        for slot, level in enumerate(chosen[role]):
            con.execute("INSERT INTO slots VALUES (?, ?)", [level, slot])
        distinct = "" if role == "event" else "DISTINCT"
        con.execute(_SLOTS.format(role=role, distinct=distinct, other=len(chosen[role])))
    hour = _HOUR.format(local=f"CAST({local_time('moment', tz)} AS TIMESTAMP)")
    if levels is None:
        timed = bool(con.execute(f"SELECT 1 FROM {rows} AND {hour} > 0 LIMIT 1").fetchall())
    else:
        timed = "time" in levels
    if timed:
        con.execute(_TIMES.format(at=at, hour=hour, rows=rows))
        chosen["time"] = list(TIMES)
    return chosen


def check_levels(levels: Any, roles: Sequence[str]) -> dict[str, list[str]] | None:
    """Return ``levels`` where they are those of ``roles``, each a list of distinct words."""
    if levels is None:
        return None
    if not isinstance(levels, Mapping):
        raise fail(f"levels is a {type(levels).__name__}", _REMEDY)
    for role in roles:
        if role not in levels:
            raise fail(f"levels has no {role!r} (it has {_listed(levels)})", _REMEDY)
    for role, words in levels.items():
        if role not in (*roles, "time"):
            raise fail(f"levels has {role!r}, which is no role of this log", _REMEDY)
        if isinstance(words, str) or not isinstance(words, Sequence):
            raise fail(f"levels[{role!r}] is {words!r}", _REMEDY)
        if any(not isinstance(word, str) or not word for word in words):
            raise fail(f"levels[{role!r}] is {list(words)!r}", "each level must be a text")
        if len(set(words)) < len(words):
            raise fail(f"levels[{role!r}] names a level twice", "name each level once")
        if role == "time" and list(words) != TIMES:
            raise fail(f"levels['time'] is {list(words)!r}", f"it must be {TIMES!r}")
    return {role: list(words) for role, words in levels.items()}


def _listed(names: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, names)) or "none"


def slugs(levels: Sequence[str]) -> list[str]:
    """Return names of a-z, 0-9 and _ for ``levels`` and for the rest, all different.

    A name depends on its level alone: in other logs and at other cutoffs it means the same.
    """
    named: dict[str, str] = {}
    for level in levels:
        name = _slug(level)
        if name in named:
            raise fail(
                f"the levels {named[name]!r} and {level!r} have the same short name {name!r}",
                "rename one of them in the log",
            )
        named[name] = level
    return [*named, OTHER]


def _slug(level: str) -> str:
    """Return a plain level as it is, and any other with a hash of its text."""
    # What looks hashed is hashed too: no plain level has the name of another one.
    if _PLAIN.fullmatch(level) and not _HASHED.search(level) and level != OTHER:
        return level
    ascii_only = unicodedata.normalize("NFKD", level).encode("ascii", "ignore").decode().lower()
    plain = re.sub("[^a-z0-9]+", "_", ascii_only).strip("_") or "level"
    return f"{plain}_{hashlib.sha1(level.encode(), usedforsecurity=False).hexdigest()[:6]}"
