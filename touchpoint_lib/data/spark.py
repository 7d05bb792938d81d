"""The engine beyond one machine: the Spark session of the DataFrame that was passed as the log.

It runs the same SQL as DuckDB. pyspark itself is never imported to compute: the caller's DataFrame
brings its session along.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa

from touchpoint_lib.data.sources import exists_already, spark_columns

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

#: What DuckDB calls the types of Spark: messages about a column read the same everywhere.
_TYPES = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "string": "VARCHAR",
    "binary": "BLOB",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
    "void": "NULL",
}
#: Where a query reads a table; a quoted name, first, may hold the same words.
_READ = re.compile(r"`[^`]*`|\b(FROM|JOIN) (\w+)\b")
_MICROS_PER_DAY = 86_400_000_000


class SparkEngine:
    """Tables by name over DataFrames of one session; nothing is left in its catalog."""

    def __init__(self, source: DataFrame) -> None:
        self._session = source.sparkSession
        self._tables: dict[str, DataFrame] = {}
        self._kept: set[str] = set()
        self._uploaded = 0
        self._word = uuid4().hex

    # -- the few expressions in which engines differ -------------------------------------------

    def day(self, moment: str, zone: str | None) -> str:
        """Return the days from 1970-01-01 to a time, whatever the time zone of the session."""
        if zone is None:
            return f"unix_date(CAST({moment} AS DATE))"
        # The instant whose clock in UTC shows what the zone's clock shows.
        micros = f"unix_micros(from_utc_timestamp({moment}, '{zone}'))"
        # Whole numbers: div cuts towards 0, and a quotient of floats may round up to a day.
        whole = f"({micros} - pmod({micros}, {_MICROS_PER_DAY})) div {_MICROS_PER_DAY}"
        return f"CAST({whole} AS INTEGER)"

    def finite(self, value: str) -> str:
        infinite = "double('Infinity'), double('-Infinity')"
        return f"(NOT isnan({value}) AND {value} NOT IN ({infinite}))"

    def quote(self, name: str) -> str:
        """Return ``name`` as an SQL identifier in a text that is formatted once more."""
        return "`" + name.replace("`", "``").replace("{", "{{").replace("}", "}}") + "`"

    # -- the log -------------------------------------------------------------------------------

    def attach(self, source: DataFrame, columns: dict[str, str]) -> dict[str, str]:
        """Make ``source`` readable as the table ``source``; return the types of its columns."""
        self._tables["source"] = spark_columns(source, columns)
        return {role: _type_name(kind) for role, kind in self._tables["source"].dtypes}

    def keep_log(self, query: str) -> None:
        """Make the view ``log``: whether the source is cached is the caller's to say."""
        self.view("log", query)

    # -- tables --------------------------------------------------------------------------------

    def make(self, name: str, query: str) -> None:
        """Define the table ``name``, computed once, where it is first read."""
        if name in self._kept:
            self._tables[name].unpersist()
        # Spark caches by plan: with a word of its own no other engine has it, or gives it back.
        self._tables[name] = self._sql(query).where(f"'{self._word}' <> ''").persist()
        self._kept.add(name)

    def view(self, name: str, query: str) -> None:
        """Define ``name``, computed wherever it is read."""
        self._tables[name] = self._sql(query)

    def drop_log(self) -> None:
        """Drop the log and what it reads: no later query does."""
        self.drop("log", "source")

    def drop(self, *names: str) -> None:
        """Drop tables and views that no later query reads."""
        for name in names:
            table = self._tables.pop(name)
            if name in self._kept:
                table.unpersist()
                self._kept.remove(name)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a small result."""
        return [tuple(row) for row in self._sql(query).collect()]

    def frame(self, table: str, order: Sequence[str]) -> pd.DataFrame:
        """Return a table as a frame, sorted by the columns ``order``."""
        ordered = self._tables[table].orderBy(*(_column(name) for name in order))
        return ordered.toArrow().to_pandas()

    def rows(self, table: str, order: Sequence[str]) -> DataFrame:  # noqa: ARG002
        """Return a table as the DataFrame that is kept: sorted it would be another one."""
        return self._tables[table]

    def upload(self, values: pa.Table) -> str:
        """Make a table of some values, small enough for every executor; return its name."""
        self._uploaded += 1
        name = f"uploaded_{self._uploaded}"
        self._tables[name] = self._session.createDataFrame(values)
        return name

    def write_parquet(self, table: str, path: str) -> None:
        """Write a table to a new folder of Parquet files."""
        from pyspark.errors import AnalysisException

        try:
            self._tables[table].write.mode("errorifexists").parquet(path)
        except AnalysisException as error:
            if error.getCondition() != "PATH_ALREADY_EXISTS":
                raise
            raise exists_already(path) from error

    def close(self) -> None:
        self.drop(*self._tables)

    def _sql(self, query: str) -> DataFrame:
        """Return the result of a query in which our tables stand under their own names.

        Not those of the session's catalog: a DataFrame is put in the place of each.
        """
        read: dict[str, Any] = {}

        def placed(found: re.Match[str]) -> str:
            word, name = found.groups()
            if name not in self._tables:
                return found[0]
            # Spark drops the view it makes of it, and with a view what is cached of the same plan:
            # the filter, which costs nothing, makes it another plan.
            read[name] = self._tables[name].where("true")
            return f"{word} {{{name}}} AS {name}"

        return self._session.sql(_READ.sub(placed, query), **read)


def _type_name(kind: str) -> str:
    """Return what DuckDB calls a type of Spark."""
    if kind.startswith("array<"):
        return f"{_type_name(kind[6:-1])}[]"
    if kind.startswith(("char(", "varchar(")):
        return "VARCHAR"
    return _TYPES.get(kind, kind.upper())


def _column(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
