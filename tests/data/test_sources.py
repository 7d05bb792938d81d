from __future__ import annotations

import gzip
import re
import uuid
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.data.bad_logs import BAD_LOGS, INEXPRESSIBLE, arrow, bad_logs
from tests.strategies import logs
from touchpoint_lib import InputError
from touchpoint_lib.data.sources import quote

NASTY = 'x"; DROP TABLE log; --'


def relation(log: pd.DataFrame) -> duckdb.DuckDBPyRelation:
    """The log in a connection of its own, its names as they are."""
    placed = arrow(log).rename_columns([f"c{i}" for i in range(log.shape[1])])
    named = ", ".join(f"c{i} AS {quote(name)}" for i, name in enumerate(log.columns))
    return duckdb.connect().from_arrow(placed).project(named)


def csv(log: pd.DataFrame, path: Path, **options) -> Path:
    log.to_csv(path, index=False, **options)
    return path


def parquet(log: pd.DataFrame, path: Path) -> Path:
    log.to_parquet(path)
    return path


SOURCES = {
    "polars": lambda log, _: pl.from_arrow(arrow(log)),
    "polars lazy": lambda log, _: pl.from_arrow(arrow(log)).lazy(),
    "arrow table": lambda log, _: arrow(log),
    "arrow reader": lambda log, _: arrow(log).to_reader(max_chunksize=3),
    "duckdb relation": lambda log, _: relation(log),
    "parquet": lambda log, folder: parquet(log, folder / "log.parquet"),
    "parquet text path": lambda log, folder: str(parquet(log, folder / "log.pq")),
    "csv": lambda log, folder: csv(log, folder / "log.csv"),
    "csv.gz": lambda log, folder: csv(log, folder / "log.csv.gz"),
    "tsv": lambda log, folder: csv(log, folder / "log.tsv", sep="\t"),
    "semicolons": lambda log, folder: csv(log, folder / "log2.csv", sep=";"),
}


@pytest.mark.parametrize("kind", SOURCES)
@settings(max_examples=6, deadline=None)
@given(log=logs(returns=True), integers=st.booleans())
def test_every_source_gives_the_same(kind, log, integers, tmp_path_factory):
    if integers:
        numbers = {"a": -5, "b": 2**40, "0012": 12, "12": 120, "é": 0}
        log = log.assign(customer_id=log["customer_id"].map(numbers))
    arguments = {"returns": "net", "discount": "discount"}
    expected = tp.rfm_summary(log, **arguments)
    got = tp.rfm_summary(SOURCES[kind](log, tmp_path_factory.mktemp("source")), **arguments)
    pd.testing.assert_frame_equal(got, expected)
    assert got.attrs == expected.attrs


@pytest.mark.parametrize("kind", SOURCES)
def test_hostile_column_names(kind, tmp_path):
    log = pd.DataFrame(
        {
            NASTY: ["a", "a", "b"],
            "t'; --": pd.to_datetime(["2024-01-01", "2024-01-04", "2024-01-02"]),
            "{0}": [1.0, 2.0, 3.0],
        }
    )
    got = tp.rfm_summary(
        SOURCES[kind](log, tmp_path), customer=NASTY, time="t'; --", amount="{0}", unit="D"
    )
    assert got.index.name == NASTY
    assert got["recency"].tolist() == [3, 0]
    assert got["monetary_value"].tolist() == [2, 0]
    base = tp.customer_base(log, customer=NASTY, time="t'; --", amount="{0}")
    assert base.rows.columns[0] == NASTY


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("polars", "arrow table", "arrow reader", "duckdb relation", "parquet")
        for name in bad_logs(kind)
    ],
)
def test_bad_input_is_refused_alike(kind, name, tmp_path):
    log, arguments, message = BAD_LOGS[name]
    with pytest.raises(InputError, match=message):
        tp.rfm_summary(SOURCES[kind](log, tmp_path), **arguments)


@pytest.mark.parametrize(("kind", "name"), [case for case in INEXPRESSIBLE if case[0] in SOURCES])
def test_no_bad_log_is_left_out_without_need(kind, name, tmp_path):
    log, arguments, message = BAD_LOGS[name]
    said = ""
    try:
        tp.rfm_summary(SOURCES[kind](log, tmp_path), **arguments)
    except Exception as error:
        said = str(error)
    assert re.search(message, said) is None


def test_columns_that_differ_in_case_only():
    log = pd.DataFrame(
        {"id": ["a", "a"], "ID": ["b", "c"], "date": pd.to_datetime(["2024-01-01"] * 2)}
    )
    for source in (log, pa.Table.from_pandas(log), pa.Table.from_pandas(log).to_reader()):
        assert tp.rfm_summary(source, customer="ID", amount=None).index.tolist() == ["b", "c"]


def test_other_columns_may_be_of_any_type():
    log = tp.load_cdnow(sample=True)
    strange = log.assign(period=log["date"].dt.to_period("M"), mixed=pd.Series([1, "1"]))
    pd.testing.assert_frame_equal(tp.rfm_summary(strange), tp.rfm_summary(log))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pd.Categorical(["y", "x", None]), ["x", "y"]),
        (pd.Categorical([2, 10, None]), [2, 10]),
        (pd.Series([2, 10, None], dtype="Int64"), [2, 10]),
        (pd.Series([2, 10, None], dtype=object), [2, 10]),
        (pd.Series([2.0, 10.0, np.nan]), [2, 10]),
        (pd.Series(["é", "z", ""], dtype=object), ["z", "é"]),
        (
            pd.Series([date(2024, 1, 2), date(2023, 1, 1), None]),
            [date(2023, 1, 1), date(2024, 1, 2)],
        ),
        (
            pd.Series([uuid.UUID(int=2), uuid.UUID(int=1), None], dtype=object),
            [str(uuid.UUID(int=1)), str(uuid.UUID(int=2))],
        ),
    ],
)
def test_ids_of_every_kind(ids, expected):
    log = pd.DataFrame({"customer_id": ids, "date": pd.Timestamp("2024-01-01"), "amount": 1.0})
    got = tp.rfm_summary(log, on_bad="drop")
    assert got.index.tolist() == expected
    assert got.attrs["report"]["null_customer"] == 1


def test_times_as_python_objects():
    moments = [datetime(2024, 1, 1, 23), datetime(2024, 1, 3, 1), None]
    log = pd.DataFrame({"customer_id": 1, "date": pd.Series(moments, dtype=object)})
    got = tp.rfm_summary(log, amount=None, unit="D", on_bad="drop")
    assert got.loc[1, ["frequency", "recency"]].tolist() == [1, 2]


def test_enum_ids_come_back_as_text():
    log = pl.DataFrame(
        {
            "customer_id": pl.Series(["y", "x", "y"], dtype=pl.Enum(["y", "x"])),
            "date": [date(2024, 1, 1), date(2024, 1, 1), date(2024, 1, 8)],
            "amount": [1, 2, 3],
        }
    )
    other = duckdb.connect()
    other.register("log", log.to_arrow())
    enum = other.sql("SELECT customer_id::ENUM('y', 'x') AS customer_id, date, amount FROM log")
    for source in (log, enum):
        got = tp.rfm_summary(source)
        assert got.index.tolist() == ["x", "y"]
        assert got.index.dtype == "str"
        assert got["frequency"].tolist() == [0, 1]


def test_nan_amounts_of_polars_are_missing():
    log = pl.DataFrame(
        {
            "customer_id": [1.0, float("nan")],
            "date": [date(2024, 1, 1)] * 2,
            "amount": [float("nan"), 2.0],
        }
    )
    report = tp.check_transactions(log)
    assert (report.null_customer, report.null_amount, report.usable_rows) == (1, 1, 0)
    assert report.first_day is None
    assert "none" in str(report)


def test_decimal_amounts():
    log = pl.DataFrame(
        {
            "customer_id": [1, 1],
            "date": [date(2024, 1, 1), date(2024, 1, 2)],
            "amount": ["1", "2.5"],
        }
    ).with_columns(pl.col("amount").cast(pl.Decimal(10, 2)))
    assert tp.rfm_summary(log).loc[1, "monetary_value"] == 2.5


def test_infinite_times_are_no_times():
    log = duckdb.sql(
        "SELECT 1 AS customer_id, 2.0 AS amount, unnest(['infinity'::TIMESTAMP, '-infinity',"
        " '2024-01-01']) AS date"
    )
    assert tp.check_transactions(log).null_time == 2
    assert tp.rfm_summary(log, on_bad="drop").attrs["until"] == "2024-01-01"
    dates = log.project("customer_id, amount, date::DATE AS date")
    assert tp.check_transactions(dates).null_time == 2
    aware = log.project("customer_id, amount, date::TIMESTAMPTZ AS date")
    assert tp.check_transactions(aware, tz="UTC").null_time == 2


# --- files --------------------------------------------------------------------------------------


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_csv_ids_keep_their_zeros(tmp_path):
    path = write(
        tmp_path / "log.csv", "customer_id,date,amount", "0012,2024-01-01,1", "12,2024-01-02,2"
    )
    assert tp.rfm_summary(path).index.tolist() == ["0012", "12"]


@pytest.mark.parametrize("odd", ["-0", "+5", "1.0", "1e3", " 7", "9" * 19, "x"])
def test_csv_ids_that_are_no_plain_integers_stay_text(odd, tmp_path):
    path = write(
        tmp_path / "log.csv", "customer_id,date,amount", f"{odd},2024-01-01,1", "12,2024-01-02,2"
    )
    assert set(tp.rfm_summary(path).index) == {odd, "12"}


def test_csv_types_are_decided_by_all_rows(tmp_path):
    many = [f"{i},2024-01-01,1" for i in range(30_000)]
    path = write(
        tmp_path / "log.csv",
        "customer_id,date,amount",
        *many,
        "x1,2024-01-02,1",
        "x1,2024-01-03 10:00:00,2.5",
    )
    got = tp.rfm_summary(path)
    assert len(got) == 30_001
    assert got.loc["x1", "monetary_value"] == 2.5


def test_csv_with_empty_fields(tmp_path):
    path = write(
        tmp_path / "log.csv",
        "customer_id,date,amount",
        '"",2024-01-01,1',
        "7,,NaN",
        "7,2024-01-01,1",
    )
    report = tp.check_transactions(path)
    assert (report.null_customer, report.null_time, report.null_amount) == (1, 1, 1)
    assert tp.rfm_summary(path, on_bad="drop").index.tolist() == [7]


def test_csv_times_with_an_offset_need_a_zone(tmp_path):
    path = write(
        tmp_path / "log.csv",
        "customer_id,date,amount",
        "a,2024-01-01T23:30:00Z,1",
        "a,2024-01-02 23:30:00+08:00,1",
        "a,2024-01-03 00:30:00+0800,1",
    )
    with pytest.raises(InputError, match="time-zone-aware; pass tz="):
        tp.rfm_summary(path)
    assert tp.rfm_summary(path, tz="Asia/Shanghai").loc["a", "frequency"] == 1


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ("03/04/2024", "'date' of .* holds '03/04/2024'; write times as YYYY-MM-DD"),
        ("20240304", "'date' of .* holds '20240304'"),
        ("2024-02-30", "'date' of .* holds '2024-02-30'"),
        ("2024-01-02T00:00:00Z", "mixes times with and without a time zone"),
    ],
)
def test_csv_times_are_not_guessed(moment, message, tmp_path):
    path = write(tmp_path / "log.csv", "customer_id,date,amount", "a,2024-01-01,1", f"a,{moment},1")
    with pytest.raises(InputError, match=message):
        tp.rfm_summary(path)


def test_globs_and_columns_in_another_order(tmp_path):
    write(tmp_path / "a.csv", "customer_id,date,amount", "1,2024-01-01,1")
    write(tmp_path / "b.csv", "amount,customer_id,date", "5,1,2024-01-03")
    assert tp.rfm_summary(tmp_path / "*.csv").loc[1, "monetary_value"] == 5
    log = tp.load_cdnow(sample=True)
    parquet(log.head(3000), tmp_path / "1.parquet")
    parquet(log.iloc[3000:, ::-1], tmp_path / "2.parquet")
    pd.testing.assert_frame_equal(tp.rfm_summary(tmp_path / "*.parquet"), tp.rfm_summary(log))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_later_file_is_not_cut_to_the_first_one_s_types(ending, tmp_path):
    day = pd.Timestamp("2024-01-01")
    first = pd.DataFrame({"customer_id": [1], "date": [day], "amount": [2]})
    later = pd.DataFrame(
        {"customer_id": ["x", "x"], "date": [day, day + pd.Timedelta("1D")], "amount": [1, 2.5]}
    )
    save = csv if ending == "csv" else parquet
    save(first, tmp_path / f"1.{ending}")
    save(later, tmp_path / f"2.{ending}")
    got = tp.rfm_summary(tmp_path / f"*.{ending}")
    assert got.index.tolist() == ["1", "x"]
    assert got.loc["x", "monetary_value"] == 2.5


def test_a_file_name_is_no_pattern(tmp_path):
    write(tmp_path / "log[1].csv", "customer_id,date,amount", "1,2024-01-01,1")
    write(tmp_path / "log1.csv", "customer_id,date,amount", "2,2024-01-01,1")
    assert tp.rfm_summary(tmp_path / "log[1].csv").index.tolist() == [1]


def test_a_hostile_file_name(tmp_path):
    path = write(
        tmp_path / "x'; DROP TABLE log; --.csv", "customer_id,date,amount", "1,2024-01-01,1"
    )
    assert len(tp.rfm_summary(path)) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.xlsx", b"", r"unknown ending; pass one of \.parquet, \.pq, \.csv"),
        ("log.csv", b"", "is empty; pass a file with a header line"),
        ("log.csv", b"customer_id,date,amount\n", "the log has no rows"),
        (
            "log.csv",
            b"id,date,amount\n1,2024-01-01,1\n",
            "has no column 'customer_id' .it has 'id'",
        ),
        (
            "log.csv",
            b'customer_id,date,amount\n1,2024-01-01,"1,5"\n',
            "VARCHAR, the first value '1,5', not numeric",
        ),
        ("log.csv", b"customer_id,date,amount\n\xe9,2024-01-01,1\n", "cannot be read .*correct it"),
        ("log.csv.gz", gzip.compress(b"", mtime=0), "cannot be read|no column|is empty"),
        ("log.parquet", b"no parquet", "cannot be read"),
    ],
)
def test_bad_files(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        tp.rfm_summary(tmp_path / name)


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"there is no file '.*gone\.csv'; check the path"):
        tp.rfm_summary(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"there is no file 'https://example\.org/log\.parquet'"):
        tp.rfm_summary("https://example.org/log.parquet")


@pytest.mark.parametrize("naive", [pa.timestamp("us"), pa.date32()])
def test_files_with_and_without_a_time_zone_are_no_one_log(tmp_path, naive):
    days = pa.array([datetime(2024, 1, 1), datetime(2024, 1, 9)], pa.timestamp("us"))
    for name, kind in (("a", pa.timestamp("us", tz="UTC")), ("b", naive)):
        columns = {"customer_id": ["a", "b"], ("date" if name == "a" else "DATE"): days.cast(kind)}
        pq.write_table(pa.table({**columns, "amount": [1.0, 2.0]}), tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match="column 'date' mixes times with and without a time zone"):
        tp.customer_base(tmp_path / "*.parquet", tz="UTC")
    # A file that has no such column at all has rows without a time.
    pq.write_table(pa.table({"customer_id": ["a"], "amount": [1.0]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="1 of 3 rows cannot be used: 1 without date"):
        tp.customer_base(tmp_path / "*.parquet", tz="UTC")


def test_a_time_beyond_all_calendars_in_parquet_is_named(tmp_path):
    log = pa.table(
        {"customer_id": ["a"], "date": pa.array([2**62], pa.timestamp("ms")), "amount": [1.0]}
    )
    pq.write_table(log, tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"log\.parquet' cannot be read .Conversion Error"):
        tp.rfm_summary(tmp_path / "log.parquet")
