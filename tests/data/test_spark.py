"""Logs in Spark: the same figures and the same errors as in DuckDB, and nothing left behind.

All in one module, which one process runs: each process would start a Java of its own.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import touchpoint_lib as tp
from tests.data.bad_logs import BAD_LOGS, arrow, bad_logs
from tests.data.samples import frame
from touchpoint_lib import InputError
from touchpoint_lib.churn.indicators import behaviour_indicators
from touchpoint_lib.data.duck import DuckEngine
from touchpoint_lib.data.spark import SparkEngine

pytestmark = pytest.mark.spark

ZONES = ["Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", "Europe/Berlin", "UTC"]
OPTIONS = {"returns": "net", "discount": "discount", "order": "order_id"}


@pytest.fixture(autouse=True)
def _nothing_is_left(spark):
    """Fail a test that leaves something cached, or a table in the catalog."""
    yield
    left = cached(spark), tables(spark)
    # For the tests that follow one that failed.
    spark.catalog.clearCache()
    for name in left[1]:
        spark.catalog.dropTempView(name)
    assert left == (0, [])


def cached(session) -> int:
    """How many tables are cached in a session, computed or not."""
    return session._jsparkSession.sharedState().cacheManager().numCachedEntries()


def tables(session) -> list[str]:
    """The names in a session's catalog."""
    return sorted(row.tableName for row in session.sql("SHOW TABLES").collect())


def spark_frame(session, table: pa.Table):
    """An Arrow table as a DataFrame: times without a zone stay without one."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return session.createDataFrame(table, from_arrow_schema(table.schema, True))


def seeded(seed: int, ids: list, *, quarters: bool = True, rows: int = 60) -> pd.DataFrame:
    """A log with returns, discounts, free purchases, repeated orders and rows without an order."""
    rng = np.random.default_rng(seed)
    amounts = rng.integers(-20, 60, rows) / 4 if quarters else rng.lognormal(3, 2, rows)
    log = pd.DataFrame(
        {
            "customer_id": pd.Series([ids[i] for i in rng.integers(0, len(ids), rows)]),
            "date": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 50 * 86_400, rows), "s"),
            "amount": np.where(rng.random(rows) < 0.15, 0.0, amounts),
            "discount": rng.choice([0.0, 0.0, 0.1, 5.0], rows),
            "order_id": [None if rng.random() < 0.3 else f"o{i}" for i in range(rows)],
        }
    )
    again = log.sample(8, random_state=seed)
    return pd.concat([log, again.assign(date=again["date"].dt.normalize()), log.head(3)])


def assert_same(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(expected) > 0
    pd.testing.assert_frame_equal(got, expected, rtol=1e-9, atol=0)
    assert got.attrs == expected.attrs


# --- the same figures ---------------------------------------------------------------------------

TEXTS = arrow(seeded(1, ["a", "b", "0012", "12", "é", "顾客"]))
NUMBERS = arrow(seeded(2, [-5, 2**40, 12, 120, 0], quarters=False))


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


AS_DATES = with_column(TEXTS, "date", TEXTS["date"].cast(pa.timestamp("s")).cast(pa.date32()))
AS_DECIMALS = with_column(TEXTS, "amount", TEXTS["amount"].cast(pa.decimal128(18, 4)))
AWARE = with_column(NUMBERS, "date", NUMBERS["date"].cast(pa.timestamp("us", tz="UTC")))

LOGS = {
    "texts, weeks": (TEXTS, OPTIONS),
    "numbers, days": (NUMBERS, {**OPTIONS, "unit": "D", "until": "2024-02-15"}),
    "dates": (AS_DATES, {**OPTIONS, "unit": "D"}),
    "decimals, without an order": (AS_DECIMALS, {"returns": "drop", "discount": "discount"}),
    "aware": (AWARE, {"tz": "Pacific/Kiritimati", "returns": "net", "discount": "discount"}),
}


@pytest.mark.parametrize("name", ["texts, weeks", "dates", "aware"])
def test_the_summary_equals_duckdb_s(name, spark):
    table, options = LOGS[name]
    assert_same(
        tp.rfm_summary(spark_frame(spark, table), **options), tp.rfm_summary(table, **options)
    )


def test_the_split_equals_duckdb_s(spark):
    table, options = LOGS["texts, weeks"]
    split = {"split": "2024-01-20", **options}
    assert_same(tp.rfm_split(spark_frame(spark, table), **split), tp.rfm_split(table, **split))


@pytest.mark.parametrize("name", ["numbers, days", "decimals, without an order"])
def test_the_base_equals_duckdb_s_and_is_given_back(name, spark):
    table, options = LOGS[name]
    expected = tp.customer_base(table, **options)
    base = tp.customer_base(spark_frame(spark, table), **options)
    assert_same(base.unique, expected.unique)
    assert_same(base.to_frame(), expected.to_frame())
    assert (base.report, base.unit, base.until) == (expected.report, expected.unit, expected.until)
    assert repr(base) == repr(expected)
    assert base.rows.columns == expected.rows.columns
    assert base.total("frequency") == expected.total("frequency")
    pd.testing.assert_frame_equal(base.repeat_spend(), expected.repeat_spend(), rtol=1e-9)
    assert base.rows.storageLevel.useMemory
    assert cached(spark) == 1
    base.rows.unpersist()


def test_the_report_equals_duckdb_s(spark):
    log = frame(
        ("a", "2024-01-01", 1.0, 0.0, "o1"),
        ("a", "2024-01-01", 1.0, 0.0, "o1"),
        ("", "2024-01-02", 0.0, 0.0, "o2"),
        (None, "2024-01-03", -1.0, np.nan, None),
        ("b", None, np.inf, 1.0, ""),
        ("b", "2024-01-04", np.nan, np.inf, ""),
        ("b", "2999-01-01", 1.0, 0.0, "o3"),
        columns=("customer_id", "date", "amount", "discount", "order_id"),
    )
    # Not by way of pandas, which makes NaN null.
    table = with_column(arrow(log), "amount", pa.array(log["amount"].to_numpy()))
    options = {"until": "2024-01-01", "discount": "discount", "order": "order_id"}
    expected = tp.check_transactions(table, **options)
    assert tp.check_transactions(spark_frame(spark, table), **options) == expected
    assert (expected.null_customer, expected.null_amount, expected.null_discount) == (2, 2, 2)
    assert (expected.future_rows, expected.duplicate_orders) == (1, 1)


def test_ids_of_other_types(spark):
    day = pa.array([date(2024, 1, 1)] * 4)
    for values in (
        pa.array([2.5, float("nan"), -1.0, None]),
        pa.array([date(2024, 1, 2), None, date(1969, 12, 31), date(2024, 1, 2)]),
        pa.array([True, False, None, True]),
    ):
        table = pa.table({"customer_id": values, "date": day})
        options = {"amount": None, "on_bad": "drop"}
        assert_same(
            tp.rfm_summary(spark_frame(spark, table), **options), tp.rfm_summary(table, **options)
        )


# --- days ---------------------------------------------------------------------------------------


def test_the_day_of_an_instant_is_that_of_the_zone(spark):
    midnights = [
        datetime(*day, tzinfo=ZoneInfo(zone))
        for zone in ZONES
        # Berlin's clocks change on the second and third, New York's on the fourth and fifth.
        for day in [(1969, 12, 31), (2024, 3, 31), (2024, 10, 27), (2024, 3, 10), (2024, 11, 3)]
    ]
    micro = timedelta(microseconds=1)
    instants = [
        near
        for midnight in (*midnights, datetime(1960, 2, 29, 12, tzinfo=UTC))
        for near in (midnight - micro, midnight, midnight + micro, midnight + timedelta(hours=23.5))
    ]
    table = pa.table({"date": pa.array(instants, pa.timestamp("us", tz="UTC"))})
    expected = {
        tuple((instant.astimezone(ZoneInfo(zone)).date() - date(1970, 1, 1)).days for zone in ZONES)
        for instant in instants
    }
    for engine, source in (
        (SparkEngine(spark_frame(spark, table)), spark_frame(spark, table)),
        (DuckEngine(), table),
    ):
        engine.attach(source, {"moment": "date"})
        days = ", ".join(engine.day("moment", zone) for zone in ZONES)
        assert set(engine.fetch(f"SELECT {days} FROM source")) == expected
        engine.close()


def test_the_session_s_zone_moves_no_day(spark):
    # 02:30 on 2024-03-10 is skipped by New York's clocks, the session's zone.
    moments = ["1969-12-31 23:59", "1970-01-01 00:00", "2024-03-10 02:30", "2024-03-10 23:59"]
    log = frame(*(("a", moment, 1.0) for moment in moments))
    plain = tp.rfm_summary(spark_frame(spark, arrow(log)), unit="D")
    assert_same(plain, tp.rfm_summary(log, unit="D"))
    assert plain["frequency"].tolist() == [2]


@pytest.fixture
def settings(spark):
    """Set settings of the session for one test."""
    before = {}

    def changed(**values: str) -> None:
        for name, value in values.items():
            key = f"spark.sql.{name.replace('__', '.')}"
            before[key] = spark.conf.get(key)
            spark.conf.set(key, value)

    yield changed
    for key, value in before.items():
        spark.conf.set(key, value)


def test_other_settings_of_the_session_change_nothing(spark, settings):
    settings(
        ansi__enabled="false",
        caseSensitive="true",
        codegen__factoryMode="FALLBACK",
        codegen__wholeStage="true",
        session__timeZone="Asia/Kolkata",
        legacy__timeParserPolicy="LEGACY",
        parser__escapedStringLiterals="true",
        timestampType="TIMESTAMP_NTZ",
    )
    table, options = LOGS["aware"]
    assert_same(
        tp.rfm_summary(spark_frame(spark, table), **options), tp.rfm_summary(table, **options)
    )


# --- names --------------------------------------------------------------------------------------

HOSTILE = {
    "customer": "a.`b`.{0} FROM days JOIN log,",
    "time": "日期 {log}",
    "amount": "AMOUNT",
    "discount": "x\"'; DROP TABLE log; --",
    "order": "{{id}}\\n",
}


def test_hostile_column_names(spark):
    log = seeded(3, ["a", "b", "c"]).set_axis(list(HOSTILE.values()), axis=1)
    # Names that differ in case only: Spark takes them for the same.
    twins = [name.swapcase() for name in HOSTILE.values() if name.swapcase() != name]
    log = log.assign(**dict.fromkeys(twins))
    expected = tp.customer_base(log, **HOSTILE, returns="net")
    base = tp.customer_base(spark_frame(spark, arrow(log)), **HOSTILE, returns="net")
    assert base.rows.columns[0] == HOSTILE["customer"]
    assert_same(base.to_frame(), expected.to_frame())
    model = tp.ModifiedBetaGeoModel.from_params([0.5, 6.0, 0.8, 2.0], unit="W")
    got = base.predict(model, "probability_alive")
    assert got.rows.columns == [*base.rows.columns, "probability_alive"]
    assert_same(got.to_frame(), expected.predict(model, "probability_alive").to_frame())
    base.rows.unpersist()


# --- the session is the caller's ----------------------------------------------------------------


def test_tables_of_the_session_are_neither_read_nor_harmed(spark):
    names = ["customers", "days", "log", "observed", "source", "usable", "distinct_rows"]
    mine = spark.createDataFrame([("mine", -7.0)], "customer_id string, amount double")
    for name in names:
        mine.createOrReplaceTempView(name)
    spark.catalog.cacheTable("customers")
    assert_same(
        tp.rfm_summary(spark_frame(spark, TEXTS), **OPTIONS), tp.rfm_summary(TEXTS, **OPTIONS)
    )
    assert spark.catalog.isCached("customers")
    assert tables(spark) == sorted(names)
    for name in names:
        assert spark.table(name).collect() == [("mine", -7.0)]
    spark.catalog.uncacheTable("customers")
    for name in names:
        spark.catalog.dropTempView(name)


@pytest.mark.parametrize("call", [tp.rfm_summary, tp.check_transactions])
def test_what_the_caller_cached_stays_cached(call, spark):
    log = spark_frame(spark, TEXTS.drop_columns("amount")).persist()
    log.count()
    call(log, amount=None)
    assert log.storageLevel.useMemory
    assert "InMemoryTableScan" in plan(log.select("date"))
    assert cached(spark) == 1
    log.unpersist()


def test_the_source_is_named_in_a_view_of_the_caller(spark):
    spark_frame(spark, TEXTS).createOrReplaceTempView("log")
    log = spark.table("log").cache()
    assert_same(tp.rfm_summary(log, amount=None), tp.rfm_summary(TEXTS, amount=None))
    assert spark.catalog.isCached("log")
    spark.catalog.dropTempView("log")
    log.unpersist()


def plan(rows) -> str:
    """The physical plan, as text."""
    return rows._jdf.queryExecution().executedPlan().toString()


def test_bases_of_one_log_do_not_share_what_they_keep(spark):
    log = spark_frame(spark, TEXTS)
    one, other = (tp.customer_base(log, amount=None) for _ in range(2))
    tp.rfm_summary(log, amount=None)
    assert cached(spark) == 2
    one.rows.unpersist()
    assert other.rows.storageLevel.useMemory
    assert "InMemoryTableScan" in plan(other.rows)
    other.rows.unpersist()


def test_an_error_of_the_source_is_the_source_s_own(spark):
    from pyspark.errors import PySparkException

    good = spark_frame(spark, TEXTS)
    broken = good.selectExpr("*", "double(raise_error('the feed broke')) AS paid")
    for call in (tp.check_transactions, tp.rfm_summary, tp.rfm_split, tp.customer_base):
        with pytest.raises(PySparkException, match="the feed broke"):
            call(broken, amount="paid")
        assert cached(spark) == 0


def test_memory_is_for_duckdb(spark):
    message = "memory is '2GB', and the log is in Spark; leave it out: the session's own settings"
    with pytest.raises(InputError, match=message):
        tp.customer_base(spark_frame(spark, TEXTS), memory="2GB")


# --- bad data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bad_logs("spark"))
def test_bad_input_is_refused(name, spark):
    log, arguments, message = BAD_LOGS[name]
    with pytest.raises(InputError, match=message):
        tp.rfm_summary(spark_frame(spark, arrow(log)), **arguments)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("struct<a: int>", r"column 'customer_id' is STRUCT<A:INT>; convert it to text or int"),
        ("map<string, int>", r"column 'customer_id' is MAP<STRING,INT>; convert it"),
        ("array<array<string>>", r"column 'customer_id' is VARCHAR\[\]\[\]; convert it"),
        ("interval day", r"column 'customer_id' is INTERVAL DAY; convert it"),
        # To such a text "a" and "A" are equal.
        ("string collate UTF8_LCASE", r"column 'customer_id' is STRING COLLATE UTF8_LCASE; conv"),
    ],
)
def test_types_of_spark_alone_are_refused(kind, message, spark):
    log = spark.createDataFrame([], f"customer_id {kind}, date date")
    with pytest.raises(InputError, match=message):
        tp.rfm_summary(log, amount=None)


def test_a_dataframe_without_partitions_has_no_rows(spark):
    log = spark.createDataFrame(spark.sparkContext.emptyRDD(), "customer_id int, date date")
    with pytest.raises(InputError, match="the log has no rows"):
        tp.rfm_summary(log, amount=None)


# --- predictions --------------------------------------------------------------------------------

PREDICTIONS = ["probability_alive", "expected_purchases"]


@pytest.fixture(scope="module")
def cdnow():
    return tp.load_cdnow(sample=True)


@pytest.fixture(scope="module")
def model(cdnow):
    return tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(cdnow))


def test_predictions_equal_duckdb_s(model, cdnow, spark, settings):
    # Adaptive as it is by default; and nothing is broadcast unless asked for.
    settings(adaptive__enabled="true", autoBroadcastJoinThreshold="-1")
    base, here = (tp.customer_base(log) for log in (spark_frame(spark, arrow(cdnow)), cdnow))
    customers = base.to_frame()
    for interval in (None, 0.9):
        options = {"horizon": 26, "interval": interval}
        predicted = base.predict(model, PREDICTIONS, **options)
        assert "BroadcastHashJoin" in plan(predicted.rows)
        assert "InMemoryTableScan" in plan(predicted.rows)
        got, expected = predicted.to_frame(), here.predict(model, PREDICTIONS, **options)
        assert_same(got, expected.to_frame())
        assert predicted.columns == expected.columns
        assert repr(predicted) == repr(expected)
        for name, own in zip(PREDICTIONS, ({}, {"horizon": 26}), strict=True):
            direct = getattr(model, name)(customers, interval=interval, **own)
            columns = [column for column in predicted.columns if column.startswith(name)]
            assert len(columns) == (1 if interval is None else 3)
            np.testing.assert_allclose(
                got[columns], np.reshape(direct, (len(got), len(columns))), rtol=1e-9
            )
    base.rows.unpersist()


def test_predictions_are_written_once(model, spark, tmp_path):
    base = tp.customer_base(spark_frame(spark, TEXTS), returns="drop")
    predicted = base.predict(model, PREDICTIONS, horizon=26)
    path = tmp_path / "predicted.parquet"
    predicted.write_parquet(path)
    back = pd.read_parquet(path).set_index("customer_id").sort_index()
    pd.testing.assert_frame_equal(back, predicted.to_frame(), rtol=1e-9)
    with pytest.raises(InputError, match=r"there is a file '.*predicted\.parquet' already; delete"):
        predicted.write_parquet(path)
    base.rows.unpersist()


# --- calls that bring the columns here -----------------------------------------------------------


def test_other_calls_take_a_spark_dataframe(spark, cdnow):
    log = spark_frame(spark, arrow(cdnow))
    assert_same(tp.purchase_spells(log), tp.purchase_spells(cdnow))
    at = "1997-09-30"
    assert_same(behaviour_indicators(log, at), behaviour_indicators(cdnow, at))
    policies = {"60 days": tp.FixedDays(60)}
    one, other = (tp.backtest_timing(source, policies) for source in (log, cdnow))
    assert_same(one.to_frame(), other.to_frame())


def test_the_code_of_the_readme_runs(spark, tmp_path):
    readme = (Path(tp.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    [code] = [block for block in readme.split("```python\n") if block.startswith("orders = spark")]
    code = code.split("```")[0]
    for name in ("orders", "predicted"):
        code = code.replace(f'("{name}")', f"({str(tmp_path / name)!r})")
    log = tp.load_cdnow(sample=True)
    log["date"] = log["date"].dt.tz_localize("Asia/Shanghai")
    spark.createDataFrame(arrow(log)).write.parquet(str(tmp_path / "orders"))
    exec(code, {"spark": spark, "tp": tp})
    written = pd.read_parquet(tmp_path / "predicted").set_index("customer_id").sort_index()
    base = tp.customer_base(log, tz="Asia/Shanghai")
    model = tp.ModifiedBetaGeoModel().fit(base)
    expected = base.predict(model, ["probability_alive", "expected_purchases"], horizon=39)
    pd.testing.assert_frame_equal(written, expected.to_frame(), rtol=1e-9)
