"""Time a company's log, 10 and 50 million transactions, and write the table of the README.

    .venv/bin/python benchmarks/scale.py          # all of it, about 10 minutes
    .venv/bin/python benchmarks/scale.py 1000000  # logs of about so many rows, printed only

DuckDB writes each log as Parquet files by month into a temporary folder, deleted in the end: 100
bytes of disk a transaction, 5 GB for the largest, hold it, what the engine spills and the
predictions. Every value is a hash of its row's number: the log is the same on any number of
threads. Each library works in a process of its own, one after the other, and its peak memory is
that of the whole process (VmHWM, in MB of 1024 * 1024 bytes), interpreter and libraries included,
not beyond its input as in the other benchmarks. DuckDB, polars and Spark use every core, pandas
one. A target that is missed is said below the table, and is no error.

The peers have no model for rows that are not in memory, so only the summary is compared: pandas'
and polars' own group-bys to the same four columns. Ours also checks and counts every fault, looks
for duplicates and sums the logarithms of the gaps. A run ends with an error where customers or
sums differ by more than 1e-9 of them. Spark is timed on the smaller log where pyspark and Java are.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from timing import EXACT, best_of, measure, peak_memory, write_table

SIZES = (10_000_000, 50_000_000)
MEMORY, LIMIT_MB = "2GB", 2e9 / 1024**2
#: Customers of a small fit, and how many times its time a large one may take.
FEW, MOST_TIMES = 100_000, 5
#: Transactions a customer, about; exact is the number of customers.
EACH = 5
#: Customers of which the log is generated at once.
PORTION = 500_000
DISK_BYTES, PANDAS_BYTES = 100, 250
#: The first day is 2023-01-01.
MONTHS, DAYS = 24, 731
HORIZON = 26

# MBG/NBD in continuous time: rates are Gamma(1/2, 3 days), half the square of a normal deviate;
# chances to drop out after a purchase Beta(1, 1.85). The numbers of repeats are cut where not even
# one customer in millions would still buy within the two years.
_LIVES = """
WITH customers AS (
    SELECT range AS customer_id, range * 100000 AS seed FROM range({start}, {stop})
), traits AS (
    SELECT customer_id, seed,
        {days} * {arrival} AS born,
        -ln({radius}) * pow(cos(2 * pi() * {angle}), 2) / 3 AS rate,
        1 - pow({dropout}, 1 / 1.85) AS leaves,
        {luck} AS luck
    FROM customers
), lives AS (
    SELECT *, rate * ({days} - born) AS expected FROM traits
), purchases AS (
    SELECT customer_id, born, rate, number, seed + 10 + 4 * number AS seed
    FROM lives, unnest(range(0, 1 + CAST(least(
        floor(ln(luck) / ln(1 - leaves)), ceil(expected + 6 * sqrt(expected) + 6)
    ) AS BIGINT))) AS numbers(number)
), moments AS (
    SELECT customer_id, seed, born + sum(CASE WHEN number = 0 THEN 0 ELSE -ln({wait}) / rate END)
        OVER (PARTITION BY customer_id ORDER BY number) AS since
    FROM purchases
)
SELECT customer_id,
    TIMESTAMP '2023-01-01' + to_seconds(CAST(floor(86400 * since) AS BIGINT)) AS date,
    round(exp(3.2 + 0.8 * sqrt(-2 * ln({wide})) * cos(2 * pi() * {turn})), 2) AS amount
FROM moments WHERE since < {days}"""


def uniform(place: int) -> str:
    """Return an SQL expression: a number in (0, 1) out of the row's seed."""
    return f"((CAST(hash(seed + {place}) >> 11 AS DOUBLE) + 0.5) / 9007199254740992)"


def generate(folder: str, transactions: int) -> dict[str, object]:
    """Write a log of about so many transactions into ``folder``, a file a month."""
    import duckdb

    log, parts, n = Path(folder, "log"), Path(folder, "parts"), transactions // EACH
    names = ("arrival", "radius", "angle", "dropout", "luck")
    drawn = {name: uniform(place) for place, name in enumerate(names)}
    drawn |= {name: uniform(place) for place, name in enumerate(("wait", "wide", "turn"))}
    log.mkdir()
    config = {"memory_limit": MEMORY, "temp_directory": str(parts / "spilled")}
    with duckdb.connect(config=config) as con:
        for start in range(0, n, PORTION):
            lives = _LIVES.format(start=start, stop=min(start + PORTION, n), days=DAYS, **drawn)
            con.execute(
                "COPY (SELECT *, date_diff('month', DATE '2023-01-01', date) AS month"
                f" FROM ({lives})) TO '{parts}' (FORMAT parquet, PARTITION_BY (month), APPEND)"
            )
        # A company's log lies in the order of time, not of customers.
        for month in range(MONTHS):
            name = f"{2023 + month // 12}-{month % 12 + 1:02}.parquet"
            con.execute(
                "COPY (SELECT customer_id, date, amount"
                f" FROM '{parts}/month={month}/*.parquet' ORDER BY date, customer_id, amount)"
                f" TO '{log / name}' (FORMAT parquet)"
            )
        [(rows,)] = con.sql(f"SELECT COUNT(*) FROM '{log}/*.parquet'").fetchall()
    shutil.rmtree(parts)
    return {"rows": rows, "customers": n}


def ours(folder: str) -> dict[str, object]:
    """Summarise, fit and predict; the memory is the peak of the process up to each step's end."""
    import touchpoint_lib as tp

    model, found = tp.ModifiedBetaGeoModel(), {}
    begin = time.perf_counter()
    base = tp.customer_base(f"{folder}/log/*.parquet", memory=MEMORY)
    found["summary"] = [time.perf_counter() - begin, peak_memory()]
    seconds, _ = best_of(lambda: model.fit(base), runs=5, budget=10)
    found["fit"] = [seconds, peak_memory()]
    begin = time.perf_counter()
    values = base.predict(model, ["probability_alive", "expected_purchases"], horizon=HORIZON)
    values.write_parquet(f"{folder}/predictions.parquet")
    found["predictions"] = [time.perf_counter() - begin, peak_memory()]
    sums = base.rows.aggregate("COUNT(*), SUM(frequency), 7 * SUM(recency), SUM(monetary_value)")
    return found | {"sums": list(sums.fetchall()[0]), "unique": len(base.unique)}


def few(folder: str) -> dict[str, object]:
    """Fit the first customers alone: who they are is a matter of hashes."""
    import duckdb

    import touchpoint_lib as tp

    with duckdb.connect() as con:
        log = con.sql(f"SELECT * FROM '{folder}/log/*.parquet' WHERE customer_id < {FEW}")
        base = tp.customer_base(log)
    model = tp.ModifiedBetaGeoModel()
    seconds, _ = best_of(lambda: model.fit(base), runs=5, budget=10)
    customers = int(base.unique["count"].sum())
    return {"seconds": seconds, "customers": customers, "unique": len(base.unique)}


def peer_polars(folder: str) -> dict[str, object]:
    import polars as pl

    begin = time.perf_counter()
    log = pl.scan_parquet(f"{folder}/log/*.parquet")
    until = log.select(pl.col("date").max().dt.date()).collect(engine="streaming").item()
    day, amount, times = pl.col("day"), pl.col("amount"), pl.len() - 1
    summary = (
        log.group_by("customer_id", pl.col("date").dt.date().alias("day"))
        .agg(amount.sum())
        .group_by("customer_id")
        .agg(
            times.alias("frequency"),
            (day.max() - day.min()).dt.total_days().alias("recency"),
            (until - day.min()).dt.total_days().alias("T"),
            pl.when(times > 0)
            .then((amount.sum() - amount.min_by(day)) / times)
            .otherwise(0.0)
            .alias("monetary_value"),
        )
        .collect(engine="streaming")
    )
    timed = [time.perf_counter() - begin, peak_memory()]
    columns = [summary[name] for name in ("frequency", "recency", "monetary_value")]
    return {"summary": timed, "sums": [len(summary), *(float(column.sum()) for column in columns)]}


def peer_pandas(folder: str) -> dict[str, object]:
    import pandas as pd

    begin = time.perf_counter()
    log = pd.read_parquet(f"{folder}/log")
    until = log["date"].max().normalize()
    log["day"] = log["date"].dt.normalize()
    days = log.groupby(["customer_id", "day"])["amount"].sum().reset_index()
    summary = days.groupby("customer_id").agg(
        visits=("day", "size"),
        first=("day", "min"),
        last=("day", "max"),
        spent=("amount", "sum"),
        at_first=("amount", "first"),
    )
    frequency = summary["visits"] - 1
    made = pd.DataFrame(
        {
            "frequency": frequency,
            "recency": (summary["last"] - summary["first"]).dt.days,
            "T": (until - summary["first"]).dt.days,
            "monetary_value": (
                (summary["spent"] - summary["at_first"]) / frequency.where(frequency > 0, 1)
            ).where(frequency > 0, 0),
        }
    )
    timed = [time.perf_counter() - begin, peak_memory()]
    columns = [made[name] for name in ("frequency", "recency", "monetary_value")]
    return {"summary": timed, "sums": [len(made), *(float(column.sum()) for column in columns)]}


def peer_spark(folder: str) -> dict[str, object]:
    """Ours in a Spark session on this machine; the memory is the JVM's, not measured."""
    from pyspark.sql import SparkSession

    import touchpoint_lib as tp

    local = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "4g",
        "spark.local.dir": folder,
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "8",
        "spark.log.level": "ERROR",
    }
    session = SparkSession.builder.master("local[*]").config(map=local).getOrCreate()
    begin = time.perf_counter()
    base = tp.customer_base(session.read.parquet(f"{folder}/log"))
    seconds = time.perf_counter() - begin
    [row] = base.rows.selectExpr(
        "COUNT(*)", "SUM(frequency)", "7 * SUM(recency)", "SUM(monetary_value)"
    ).collect()
    session.stop()
    return {"summary": [seconds], "sums": list(row)}


CASES = {
    "ours": ours,
    "few": few,
    "polars": peer_polars,
    "pandas": peer_pandas,
    "spark": peer_spark,
}


def available_bytes() -> int:
    """Return the memory that a new process could have."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no MemAvailable in /proc/meminfo: memory is measured on Linux only")


def check_disk(folder: str, transactions: int) -> None:
    """Raise where the disk cannot hold the log and what is made of it."""
    free, needed = shutil.disk_usage(folder).free, transactions * DISK_BYTES
    if free < needed:
        raise SystemExit(
            f"{folder} has {free / 1e9:.1f} GB of free disk, {transactions:,} transactions need "
            f"{needed / 1e9:.1f} GB: free some, or set TMPDIR to a folder on a larger disk"
        )


def compare(name: str, mine: list[float], other: list[float]) -> None:
    """Raise where the sums of two summaries differ."""
    for word, a, b in zip(("customers", "frequency", "recency", "money"), mine, other, strict=True):
        if not abs(a - b) <= EXACT * abs(a):
            raise SystemExit(f"{name}: {word} is {b!r}, ours {a!r}")


def shown(found: dict | None, place: int) -> str:
    """Return seconds (0) or MB (1) of a peer's summary, and - where there are none."""
    if found is None or place >= len(found["summary"]):
        return "-"
    return f"{found['summary'][place]:,.{0 if place else 2}f}"


def run_size(transactions: int, spark: bool) -> tuple[list[str], list[str]]:
    """Measure one size; return its lines of the table and the sentences below it."""
    with tempfile.TemporaryDirectory(prefix="touchpoint_scale_") as folder:
        check_disk(folder, transactions)
        log = measure(__file__, "generate", folder, str(transactions))
        mine, small = measure(__file__, "ours", folder), measure(__file__, "few", folder)
        peers = {"polars": measure(__file__, "polars", folder), "pandas": None, "spark": None}
        notes, needed = [], log["rows"] * PANDAS_BYTES
        if available_bytes() > needed:
            peers["pandas"] = measure(__file__, "pandas", folder)
        else:
            notes = [f"pandas was not run: it may need {needed / 1e9:.1f} GB, more than is free."]
        if spark:
            peers["spark"] = measure(__file__, "spark", folder)
    for name, peer in peers.items():
        if peer:
            compare(name, mine["sums"], peer["sums"])
    rows, customers, unique = log["rows"], log["customers"], mine["unique"]
    steps = {
        "summary": ("Parquet to one row a customer", f"{rows:,} transactions"),
        "fit": ("MBG/NBD fit", f"{customers:,} customers, {unique:,} distinct rows"),
        "predictions": ("P(alive) and purchases, to Parquet", f"{customers:,} customers"),
    }
    lines = []
    for step, (task, what) in steps.items():
        seconds, peak = mine[step]
        others = ["" if step != "summary" else shown(peer, 0) for peer in peers.values()]
        peaks = [f"{peak:,.0f}"]
        peaks += [shown(peers[name], 1) for name in ("polars", "pandas") if step == "summary"]
        lines.append(
            f"| {task} | {what} | {seconds:,.2f} | {' | '.join(others)} | {', '.join(peaks)} |"
        )
        print(lines[-1], flush=True)
    return lines, [*notes, *targets(rows, mine, small, customers)]


def targets(rows: int, mine: dict, small: dict, customers: int) -> list[str]:
    """Return what was aimed at, and what came out, as sentences."""
    peak, times = mine["predictions"][1], mine["fit"][0] / small["seconds"]
    kept, quick = peak <= LIMIT_MB, times <= MOST_TIMES
    whole = (
        f"{rows:,} transactions: the whole process of ours, predictions included, peaked at"
        f" {peak:,.0f} MB ({MEMORY} are {LIMIT_MB:,.0f} MB: {'kept' if kept else 'MISSED'})."
    )
    fit = (
        f"The fit of {customers:,} customers took {times:.1f} times that of {small['customers']:,}"
        f" ({small['seconds']:.2f} s; at most {MOST_TIMES} times: {'kept' if quick else 'MISSED'})"
        f" on {mine['unique'] / small['unique']:.1f} times the distinct rows."
    )
    return [whole, fit]


def main(arguments: list[str]) -> None:
    if arguments[:2] == ["--case", "generate"]:
        print(json.dumps(generate(arguments[2], int(arguments[3]))))
        return
    if arguments[:1] == ["--case"]:
        print(json.dumps(CASES[arguments[1]](arguments[2])))
        return
    sizes = [int(argument) for argument in arguments] or list(SIZES)
    check_disk(tempfile.gettempdir(), max(sizes))
    spark = find_spec("pyspark") is not None and shutil.which("java") is not None
    lines = [
        "| task | on | ours, s | polars, s | pandas, s | Spark, s | peak MB (without Spark) |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    print("\n".join(lines))
    sentences = []
    for size in sizes:
        table, below = run_size(size, spark and size == min(sizes))
        lines += table
        sentences += below
    print("\n".join(["", *sentences]))
    if not arguments:
        write_table("benchmarks scale", "\n".join([*lines, "", *sentences]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
