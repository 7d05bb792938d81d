"""The engine on one machine: a private DuckDB connection, within a limit of memory if asked."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from touchpoint_lib._checks import fail
from touchpoint_lib.data.sources import WORD_ROLES, attach, exists_already, is_parquet, quote

_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*")
_BYTES = {
    f"{prefix}{suffix}": float(base**power)
    for power, prefix in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
#: What reading a file that is damaged, or holds a time beyond all calendars, raises.
_UNREADABLE: tuple[type[Exception], ...] = (
    duckdb.IOException,
    duckdb.InvalidInputException,
    duckdb.ConversionException,
)
#: What DuckDB counts of what it takes: at 50 million rows the process took a fifth more.
_SHARE = 0.8
#: Below this DuckDB cannot even begin, above it cannot count.
_LEAST_MEMORY, _MOST_MEMORY = 64e6, 1e18


class DuckEngine:
    """Tables and views by name in a connection that nobody else has.

    Parameters
    ----------
    memory
        What the engine may take, such as "2GB"; what does not fit is spilled to the folder of
        temporary files. None leaves DuckDB its default.

    Raises
    ------
    InputError
        If ``memory`` is no amount of memory, or too little.
    """

    def __init__(self, memory: str | None = None) -> None:
        self.memory = memory
        limit = {} if memory is None else {"memory_limit": f"{int(_SHARE * _bytes(memory))}B"}
        self.con = duckdb.connect(
            config={
                # Nothing is fetched from a network, and no Python variable is taken for a table.
                "autoinstall_known_extensions": False,
                "python_enable_replacements": False,
                "preserve_insertion_order": False,
                # Not a folder in it: on a shared machine that would be another user's.
                "temp_directory": tempfile.gettempdir(),
                **limit,
            }
        )
        # For times among the ids: not the machine's own.
        self.con.execute("SET TimeZone = 'UTC'")
        # A bar would stand among the caller's results. Where DuckDB cannot draw one, in JupyterLab
        # without widgets, it is off, and may not even be switched off.
        if self.con.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [
            (True,)
        ]:
            self.con.execute("SET enable_progress_bar = false")
        self._source = "the log"
        self._log_is_view = False
        self._uploaded = 0

    # -- the few expressions in which engines differ -------------------------------------------

    def day(self, moment: str, zone: str | None) -> str:
        """Return the days from 1970-01-01 to a time; null where it is infinite."""
        date = f"CAST({local_time(moment, zone)} AS DATE)"
        return f"CAST(date_diff('day', DATE '1970-01-01', {date}) AS INTEGER)"

    def finite(self, value: str) -> str:
        return f"isfinite({value})"

    def quote(self, name: str) -> str:
        """Return ``name`` as an SQL identifier."""
        return quote(name)

    # -- the log -------------------------------------------------------------------------------

    def attach(self, source: Any, columns: dict[str, str]) -> dict[str, str]:
        """Make ``source`` readable as the table ``source``; return the types of its columns."""
        self._source = repr(str(source)) if isinstance(source, str | Path) else "the log"
        with self._readable(duckdb.Error, pa.ArrowException):
            attach(self.con, source, columns)
        # Rows of logs with words are moved and deleted.
        self._log_is_view = is_parquet(source) and not set(WORD_ROLES).intersection(columns)
        relation = self.con.table("source")
        return {
            role: str(kind) for role, kind in zip(relation.columns, relation.types, strict=True)
        }

    def keep_log(self, query: str) -> None:
        """Make the table ``log``; of Parquet that is only read, a view: a scan costs less."""
        if self._log_is_view:
            self.view("log", query)
            return
        with self._readable(duckdb.Error, pa.ArrowException):
            self.con.execute(f"CREATE TEMP TABLE log AS {query}")
        self._drop_source()

    # -- tables --------------------------------------------------------------------------------

    def make(self, name: str, query: str) -> None:
        """Compute the table ``name``."""
        with self._readable():
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")

    def view(self, name: str, query: str) -> None:
        """Define ``name``, computed wherever it is read."""
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")

    def drop_log(self) -> None:
        """Drop the log and what it reads: no later query does."""
        self.con.execute(f"DROP {'VIEW' if self._log_is_view else 'TABLE'} log")
        self._drop_source()

    def _drop_source(self) -> None:
        self.con.execute("DROP VIEW IF EXISTS source")
        self.con.execute("DROP TABLE IF EXISTS csv")

    def drop(self, *names: str) -> None:
        """Drop tables that no later query reads."""
        for name in names:
            self.con.execute(f"DROP TABLE {name}")

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a small result."""
        with self._readable():
            return self.con.sql(query).fetchall()

    def frame(self, table: str, order: Sequence[str]) -> pd.DataFrame:
        """Return a table as a frame, sorted by the columns ``order``."""
        with self._readable():
            return self.rows(table, order).to_arrow_table().to_pandas()

    def rows(self, table: str, order: Sequence[str]) -> duckdb.DuckDBPyRelation:
        """Return a table as a relation, sorted by the columns ``order``."""
        return self.con.sql(f"SELECT * FROM {table} ORDER BY {', '.join(map(quote, order))}")

    def upload(self, values: pa.Table) -> str:
        """Make a table of some values; return its name."""
        self._uploaded += 1
        name = f"uploaded_{self._uploaded}"
        self.con.register(name, values)
        return name

    def write_parquet(self, table: str, path: str) -> None:
        """Write a table to a new Parquet file."""
        if Path(path).exists():
            raise exists_already(path)
        if not Path(path).parent.is_dir():
            raise fail(f"there is no folder {str(Path(path).parent)!r}", "make it first")
        with self._readable():
            try:
                self.con.table(table).write_parquet(path, compression="zstd")
            except duckdb.IOException as error:
                raise fail(
                    f"{path!r} cannot be written ({_short(error)})",
                    "pass another path, or free space on its disk",
                ) from error

    def close(self) -> None:
        self.con.close()

    @contextmanager
    def _readable(self, *more: type[Exception]) -> Iterator[None]:
        """Turn what DuckDB says about a source, or about its memory, into an InputError."""
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            if self.memory is None:
                raise
            raise fail(
                f"memory is {self.memory!r}, too little for this log"
                f" ({str(error).splitlines()[0]})",
                "pass more memory, or free space on the disk of temporary files",
            ) from error
        except (*_UNREADABLE, *more) as error:
            raise fail(
                f"{self._source} cannot be read ({_short(error)})",
                "correct it (text files must be UTF-8), or read it with pandas and pass the frame",
            ) from error


def local_time(moment: str, zone: str | None) -> str:
    """Return what the clocks of a zone show at a time, as an expression."""
    return moment if zone is None else f"timezone('{zone}', {moment})"


def _short(error: Exception) -> str:
    return " ".join(str(error).split()[:40])


def _bytes(memory: Any) -> float:
    """Return the number of bytes of a text such as "2GB"."""
    found = _MEMORY.fullmatch(memory) if isinstance(memory, str) else None
    if found is None:
        raise fail(f"memory is {memory!r}", 'pass a text such as "2GB" or "500MB"')
    size = float(found[1]) * _BYTES[found[2]]
    if not _LEAST_MEMORY <= size <= _MOST_MEMORY:
        least, most = f"{_LEAST_MEMORY / 1e6:.0f}MB", f"{_MOST_MEMORY / 1e12:.0f}TB"
        raise fail(f"memory is {memory!r}", f"pass at least {least} and at most {most}")
    return size
