"""Logs of which every row counts, with flags and money: read in an engine, checked, fetched."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from touchpoint_lib._checks import check_choice, fail
from touchpoint_lib.data.days import FIRST_DAY, to_date, today_in
from touchpoint_lib.data.duck import DuckEngine, local_time
from touchpoint_lib.data.engine import NULL_TYPES, Engine, check_types, known
from touchpoint_lib.data.log import closed_on_error, engine_for
from touchpoint_lib.data.sources import empty_log

Kind = Literal["id", "moment", "word", "label", "flag", "number"]
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
#: Up to which every whole number has a float of its own.
_EXACT = 2**53
#: What arguments are called in the engine.
_ROLES = {"customer": "id", "time": "moment", "order": "order_id"}
_FLAGS = ("BOOLEAN", *_INTEGERS, *(f"U{name}" for name in _INTEGERS))


@dataclass(frozen=True)
class Entries:
    """A log staged in an engine as the table ``log``: a column a role, and the day.

    Attributes
    ----------
    engine
        In which it is.
    columns
        The column of each role.
    kinds
        What each role is: an id, a time ("moment"), a word that must be there or a "label" that
        need not, a flag, a finite number.
    today
        The number of the last day that is not in the future.
    """

    engine: Engine
    columns: dict[str, str]
    kinds: dict[str, Kind]
    today: int

    def faults(self) -> dict[str, str]:
        """Return by role the condition of a row that cannot be used; "future" for its day."""
        finite = self.engine.finite
        tests: dict[Kind, str] = {
            "id": "{role} IS NULL",
            # Python's calendar begins with the year 1.
            "moment": f"(day IS NULL OR day < {FIRST_DAY})",
            "word": "{role} IS NULL",
            "flag": "{role} IS NULL",
            "number": f"({{role}} IS NULL OR NOT {finite('{role}')})",
        }
        found = {
            role: tests[kind].format(role=role)
            for role, kind in self.kinds.items()
            if kind in tests
        }
        return {**found, "future": f"(day IS NOT NULL AND day > {self.today})"}

    def usable(self) -> str:
        """Return the condition of a row without a fault."""
        return f"NOT ({' OR '.join(self.faults().values())})"

    def counts(self, tests: Mapping[str, str]) -> dict[str, int]:
        """Return how many rows there are, and how many fulfil each condition."""
        sums = (f"SUM(CASE WHEN {test} THEN 1 ELSE 0 END)" for test in tests.values())
        [found] = self.engine.fetch(f"SELECT {', '.join(['COUNT(*)', *sums])} FROM log")
        return dict(zip(["rows", *tests], map(int, found), strict=True))

    def refuse_faults(self, on_bad: str) -> None:
        """Raise where rows cannot be used, unless they are to be dropped."""
        check_choice("on_bad", on_bad, ["raise", "drop"])
        faults = self.faults()
        counts = self.counts({**faults, "usable": self.usable()})
        bad = counts["rows"] - counts["usable"]
        if not bad or (on_bad == "drop" and counts["usable"]):
            return
        parts = [
            f"{counts[role]:,} with a {self.columns['moment']} later than today "
            f"({to_date(self.today)})"
            if role == "future"
            else f"{counts[role]:,} without {self.columns[role]}"
            for role in faults
            if counts[role]
        ]
        raise fail(
            f"{bad:,} of {counts['rows']:,} rows cannot be used: {', '.join(parts)}",
            'correct them or pass on_bad="drop"' if counts["usable"] else "correct the log",
        )

    def fetch(self, names: Mapping[str, str], zone: str | None) -> pd.DataFrame:
        """Return the usable rows as a frame, and give the engine back.

        ``names`` are the columns of the result by role. Times are those that the clocks of ``zone``
        show. Sorted by time, customer and all the rest: an engine keeps no order of its own.
        """
        selected = []
        for role, name in names.items():
            value = role
            if self.kinds[role] == "moment":
                value = f"CAST({local_time(role, zone)} AS TIMESTAMP)"
            elif self.kinds[role] == "flag":
                value = f"CAST({role} AS BOOLEAN)"
            selected.append(f"{value} AS {self.engine.quote(name)}")
        first = ["moment", "id"]
        # A column of the result may be called like a role.
        by = [*first, *(role for role in names if role not in first)]
        order = ", ".join(f"log.{role}" for role in by)
        query = f"SELECT {', '.join(selected)} FROM log WHERE {self.usable()} ORDER BY {order}"
        if not isinstance(self.engine, DuckEngine):
            raise TypeError("the log is in Spark: open it with here=True")
        with closing(self.engine):
            frame: pd.DataFrame = self.engine.con.sql(query).to_arrow_table().to_pandas()
        return frame

    def refuse(self, role: str, test: str, what: str, remedy: str) -> None:
        """Raise where usable rows fulfil a condition; the message has the first such value."""
        where = f"{self.usable()} AND {test}"
        [(n, least)] = self.engine.fetch(f"SELECT COUNT(*), MIN({role}) FROM log WHERE {where}")
        if n:
            shown = f"{least:g}" if isinstance(least, float) else repr(least)
            raise fail(
                f"column {self.columns[role]!r} {what} in {n:,} rows (such as {shown})", remedy
            )


def open_entries(
    source: Any,
    columns: Mapping[str, str | None],
    kinds: Mapping[str, Kind],
    tz: str | None,
    *,
    here: bool,
) -> Entries:
    """Stage a log in an engine, its arguments and the types of its columns checked.

    Parameters
    ----------
    source
        As for `rfm_summary`.
    columns
        The column of each role, by the name of its argument; None for a log without one.
    kinds
        What each role is. Those of customer and time are called id and moment.
    tz
        The zone whose clocks count, for time-zone-aware times.
    here
        Whether a Spark frame's columns are to be brought here.

    Raises
    ------
    InputError
        If the log cannot be read or has no rows, or a column is missing or of an unusable type.
    """
    today, zone = today_in(tz)
    named: dict[str, str] = {}
    for argument, name in columns.items():
        if name is None and argument not in ("customer", "time", "channel"):
            continue
        if not isinstance(name, str):
            raise fail(f"{argument} is {name!r}", "it must be the name of a column, as text")
        if name in named.values():
            raise fail(f"{argument} is {name!r}, which another argument names too", "name another")
        named[_ROLES.get(argument, argument)] = name
    opened = engine_for(source, here=here)
    with closed_on_error(opened):
        types = opened.attach(source, named)
        numbers = [role for role, kind in kinds.items() if kind == "number"]
        check_types(opened, types, named, tz, numbers)
        for role, plain in types.items():
            if kinds[role] == "flag" and plain not in (*_FLAGS, *NULL_TYPES):
                raise fail(
                    f"column {named[role]!r} is {plain}, no flag",
                    "convert it to truth values, or to 0 and 1",
                )
        opened.keep_log(_staging(opened, types, kinds, zone))
        if not opened.fetch("SELECT 1 FROM log LIMIT 1"):
            raise empty_log()
    used = {role: kind for role, kind in kinds.items() if role in named}
    return Entries(opened, named, used, today)


def _staging(
    opened: Engine, types: dict[str, str], kinds: Mapping[str, Kind], zone: str | None
) -> str:
    """Return the SELECT that brings the columns into one form, and adds the day."""
    selected = []
    for role, kind in kinds.items():
        if role not in types:
            continue
        if types[role] in NULL_TYPES:
            plain = {"moment": "DATE", "flag": "DOUBLE", "number": "DOUBLE"}.get(kind, "STRING")
            value = f"CAST(NULL AS {plain})"
        elif kind == "id":
            value = known(role, types[role])
        elif kind in ("word", "label"):
            value = f"CAST({known(role, types[role])} AS STRING)"
            if types[role] in ("FLOAT", "DOUBLE"):
                # What pandas makes of whole numbers with a gap among them.
                whole = f"{role} = floor({role}) AND abs({role}) < {_EXACT}"
                short = f"CAST(CAST({role} AS BIGINT) AS STRING)"
                value = (
                    f"CASE WHEN isnan({role}) THEN NULL WHEN {whole} THEN {short} ELSE {value} END"
                )
        elif kind in ("flag", "number"):
            value = f"CAST({role} AS DOUBLE)"
        else:
            value = role
        selected.append(f"{value} AS {role}")
        if kind == "moment":
            selected.append(f"{opened.day(value, zone)} AS day")
    return f"SELECT {', '.join(selected)} FROM source"
