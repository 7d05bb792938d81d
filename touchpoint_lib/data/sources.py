"""What a purchase log may come in: frames, Arrow, files and relations, as one DuckDB view.

Every source ends as the view (or table) ``source`` with one column a role: ``id``, ``moment``
and, where asked for, ``amount``, ``discount``, ``order_id``, ``category``, ``channel`` and
``event``.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from touchpoint_lib._checks import InputError, fail

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".tsv")
#: Roles whose values are words.
WORD_ROLES = ("category", "channel", "event", "campaign")
#: Types of times that have a time zone.
AWARE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
#: How the roles of further words begin.
LABEL = "label_"
_TEXT_ROLES = ("id", "moment", "order_id", *WORD_ROLES)
#: ISO 8601 only: 03/04/2020 is March to one reader and April to the next.
_ISO = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
_OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)"
#: Integers that a text id stands for without loss: "0012" is not "12".
_CANONICAL_INTEGER = r"0|-?[1-9][0-9]{0,17}"


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def attach(con: duckdb.DuckDBPyConnection, source: Any, columns: dict[str, str]) -> None:
    """Make ``source`` known to ``con`` as ``source``, with one column for each role.

    Parameters
    ----------
    con
        The connection that will read it.
    source
        pandas or polars frame, pyarrow table or reader, DuckDB relation, Spark DataFrame (whose
        columns are brought here), path or glob.
    columns
        The source's column name for each role.

    Raises
    ------
    InputError
        If the source is of an unknown kind, empty, or lacks a column.
    """
    if isinstance(source, str | Path):
        _attach_files(con, str(source), columns)
    else:
        con.register("source", _as_arrow(source, columns))


def require_columns(columns: Mapping[str, str], present: list[Any]) -> None:
    """Raise unless every wanted column is there exactly once."""
    missing = [name for name in columns.values() if name not in present]
    if missing:
        # What a log need not have, and is looked for unless told otherwise.
        spare = [f"{role}=None" for role in ("held_out", "cost") if columns.get(role) in missing]
        raise fail(
            f"the log has no column {', '.join(map(repr, missing))} "
            f"(it has {', '.join(repr(str(name)) for name in present)})",
            "name the columns with customer=, time="
            + (", amount=, or pass amount=None" if "amount" in columns else " and so on")
            + (f", or pass {', '.join(spare)}" if spare else ""),
        )
    for name in columns.values():
        if present.count(name) > 1:
            raise fail(f"the log has {present.count(name)} columns {name!r}", "rename all but one")


def _as_arrow(source: Any, columns: dict[str, str]) -> Any:
    """Return the wanted columns of an in-memory source as an Arrow table or reader."""
    names = list(columns.values())
    if isinstance(source, pd.DataFrame):
        require_columns(columns, list(source.columns))
        return pa.table({role: _column(name, source[name]) for role, name in columns.items()})
    if type(source).__module__.startswith("polars") and hasattr(source, "collect_schema"):
        require_columns(columns, source.collect_schema().names())
        picked = source.select(names)
        frame = picked.collect() if hasattr(picked, "collect") else picked
        return frame.to_arrow().rename_columns(list(columns))
    if isinstance(source, duckdb.DuckDBPyRelation):
        # It lives in another connection: stream it over.
        require_columns(columns, source.columns)
        return _project(source, columns).to_arrow_reader()
    if is_spark(source):
        return spark_columns(source, columns).toArrow()
    if isinstance(source, pa.Table):
        require_columns(columns, source.column_names)
        return source.select(names).rename_columns(list(columns))
    if isinstance(source, pa.RecordBatchReader):
        require_columns(columns, source.schema.names)
        schema = pa.schema(
            [source.schema.field(name).with_name(role) for role, name in columns.items()]
        )
        batches = (
            pa.RecordBatch.from_arrays(batch.select(names).columns, schema=schema)
            for batch in source
        )
        return pa.RecordBatchReader.from_batches(schema, batches)
    raise fail(
        f"the log is a {type(source).__name__}",
        "pass a pandas or polars frame, a pyarrow Table or RecordBatchReader, a DuckDB relation, "
        "a Spark DataFrame, or the path of a Parquet or CSV file",
    )


def _column(name: str, column: pd.Series[Any]) -> Any:
    """Return one pandas column as an Arrow array, NaN as null.

    Arrow refuses an object column of mixed types, where DuckDB would merge 1 and "1".
    """
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "datetime":
        # The one mixture that Arrow lets pass: it takes naive times for UTC.
        naive = {moment.tzinfo is None for moment in column if isinstance(moment, datetime)}
        if len(naive) > 1:
            raise _mixed_zones(name)
    if isinstance(column.dtype, pd.PeriodDtype):
        # Arrow would hand over their ordinal numbers.
        raise fail(f"column {name!r} holds periods", "convert it first, with .dt.to_timestamp()")
    try:
        array = pa.array(column, from_pandas=True)
        return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise fail(
            f"column {name!r} holds values that are not all of one type ({error})",
            "convert it to one type first, for example with .astype(str)",
        ) from None


def _attach_files(con: duckdb.DuckDBPyConnection, path: str, columns: dict[str, str]) -> None:
    """Attach a file, or all files of a glob."""
    lower = path.lower()
    if not lower.endswith(_PARQUET + _CSV):
        raise fail(f"{path!r} has an unknown ending", f"pass one of {', '.join(_PARQUET + _CSV)}")
    # A file may be called "log[1].csv": what exists is no pattern.
    files = [path] if Path(path).is_file() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207
    if not files:
        raise fail(f"there is no file {path!r}", "check the path")
    literal = [glob.escape(file) for file in files]
    # By name: otherwise a later file's columns are taken by position (CSV), or cut to the types
    # of the first file, 2.5 to 2 (Parquet).
    if lower.endswith(_PARQUET):
        relation = con.read_parquet(literal, union_by_name=True)
        require_columns(columns, relation.columns)
        wanted = _project(relation, columns)
        if len(files) > 1 and str(dict(zip(columns, wanted.types, strict=True))["moment"]) in AWARE:
            _refuse_mixed_zones(con, literal, columns["moment"])
        wanted.create_view("source")
    elif any(Path(file).stat().st_size for file in files):
        _attach_csv(con, path, literal, columns)
    else:
        raise fail(f"{path!r} is empty", "pass a file with a header line and rows")


def _refuse_mixed_zones(con: duckdb.DuckDBPyConnection, literal: list[str], moment: str) -> None:
    """Raise if the times of some files have a time zone: the others would get this machine's."""
    for file in literal:
        part = con.read_parquet(file)
        for name, kind in zip(part.columns, part.types, strict=True):
            # Names are joined whatever their case; a column without any value has no type.
            if name.lower() == moment.lower() and str(kind) not in (*AWARE, '"NULL"'):
                raise _mixed_zones(moment)


def _mixed_zones(name: str) -> InputError:
    return fail(
        f"column {name!r} mixes times with and without a time zone",
        "convert all of them with pd.to_datetime(..., utc=True)",
    )


def _project(relation: duckdb.DuckDBPyRelation, columns: dict[str, str]) -> duckdb.DuckDBPyRelation:
    return relation.project(", ".join(f"{quote(name)} AS {role}" for role, name in columns.items()))


def _attach_csv(
    con: duckdb.DuckDBPyConnection, path: str, files: Any, columns: dict[str, str]
) -> None:
    """Read CSV files; ids and times as text first, so that nothing is lost or guessed."""
    options: dict[str, Any] = {"header": True, "union_by_name": True}
    if path.lower().endswith(".tsv"):
        options["sep"] = "\t"
    require_columns(columns, con.read_csv(files, all_varchar=True, **options).columns)
    text = {
        name: "VARCHAR"
        for role, name in columns.items()
        if role in _TEXT_ROLES or role.startswith(LABEL)
    }
    # sample_size=-1: types are decided by all rows; a late 2.5 among integers would be rounded.
    relation = con.read_csv(files, dtype=text, sample_size=-1, **options)
    _project(relation, columns).create_view("csv_text")
    con.execute("CREATE TEMP TABLE csv AS SELECT * FROM csv_text")
    if not con.table("csv").limit(1).fetchall():
        raise empty_log()
    [(integer_ids, naive, aware, odd)] = con.execute(
        "SELECT bool_and(regexp_full_match(id, ?)), bool_and(moment IS NULL OR naive),"
        " bool_and(moment IS NULL OR aware), min(moment) FILTER (WHERE NOT naive AND NOT aware)"
        " FROM (SELECT NULLIF(id, '') AS id, NULLIF(moment, '') AS moment,"
        " regexp_full_match(moment, ?) AND TRY_CAST(moment AS TIMESTAMP) IS NOT NULL AS naive,"
        " regexp_full_match(moment, ?) AND TRY_CAST(moment AS TIMESTAMPTZ) IS NOT NULL AS aware"
        " FROM csv) AS q",
        [_CANONICAL_INTEGER, _ISO, _ISO + _OFFSET],
    ).fetchall()
    if not naive and not aware:
        what = f"of {path!r} holds {odd!r}" if odd else f"of {path!r} mixes times with and without"
        raise fail(
            f"column {columns['moment']!r} {what}{'' if odd else ' a time zone'}",
            "write times as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, all or none with an offset, "
            "or read the file with pandas and convert them with pd.to_datetime(...)",
        )
    moment = "TIMESTAMP" if naive else "TIMESTAMPTZ"
    replaced = {"moment": f"CAST(NULLIF(moment, '') AS {moment}) AS moment"}
    if integer_ids:
        replaced["id"] = "CAST(NULLIF(id, '') AS BIGINT) AS id"
    con.table("csv").project(", ".join(replaced.get(role, role) for role in columns)).create_view(
        "source"
    )


def is_parquet(source: Any) -> bool:
    """Return whether ``source`` is the path or glob of Parquet files."""
    return isinstance(source, str | Path) and str(source).lower().endswith(_PARQUET)


def is_spark(source: Any) -> bool:
    """Return whether ``source`` is a Spark DataFrame, without importing pyspark."""
    kind = type(source)
    return kind.__module__.startswith("pyspark.sql") and kind.__name__ == "DataFrame"


def spark_columns(source: Any, columns: Mapping[str, str]) -> Any:
    """Return the wanted columns of a Spark DataFrame under the names of their roles."""
    require_columns(columns, source.columns)
    # By place first: Spark takes names that differ in case only for the same.
    placed = source.toDF(*(f"c{i}" for i in range(len(source.columns))))
    return placed.select(
        *(placed[f"c{source.columns.index(name)}"].alias(role) for role, name in columns.items())
    )


def exists_already(path: str) -> InputError:
    """Return the error for a file that would be overwritten."""
    return fail(f"there is a file {path!r} already", "delete it, or pass another path")


def empty_log() -> InputError:
    """Return the error for a log without rows."""
    return fail("the log has no rows", "pass at least one row")
