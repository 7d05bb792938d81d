"""Rebuild ``datasets/``: ``python scripts/build_datasets.py`` (needs lifetimes; no network).

CDNOW and the donations come from the files inside the lifetimes package, read by path because
importing lifetimes fails under pandas 3 where warnings are errors. The subscription tables are
the published percentages. The shop is simulated. The same inputs and the same pyarrow give the
same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from touchpoint_lib.simulate.bundled import BUNDLED_SHOP, tables_of
from touchpoint_lib.simulate.shop import simulate_shop

FOLDER = Path(__file__).resolve().parents[1] / "datasets"

#: Fader and Hardie (2007), per cent of a cohort still subscribed after 0 to 12 renewals.
SURVIVAL_PERCENT = {
    "high_end": [100, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1, 46.8, 44.5, 42.7, 40.9, 39.4],
    "regular": [100, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1, 22.3, 20.7, 19.4, 18.3, 17.3],
}


def lifetimes_file(name: str) -> Path:
    """Return the path of a data file inside the lifetimes package."""
    spec = importlib.util.find_spec("lifetimes")
    if spec is None or spec.origin is None:
        raise SystemExit("lifetimes is not installed: pip install lifetimes")
    return Path(spec.origin).parent / "datasets" / name


def cdnow(lines: list[list[str]]) -> pa.Table:
    """Return purchases from lines that end in date, CDs and dollars and begin with the id."""
    return pa.table(
        {
            "customer_id": pa.array([line[0] for line in lines], pa.string()),
            "date": pa.array(
                [datetime.strptime(line[-3], "%Y%m%d") for line in lines], pa.timestamp("us")
            ),
            "quantity": pa.array([int(line[-2]) for line in lines], pa.int64()),
            "amount": pa.array([float(line[-1]) for line in lines], pa.float64()),
        }
    )


def tables() -> dict[str, pa.Table]:
    """Return every table by the name of its file."""
    master = [line.split() for line in lifetimes_file("CDNOW_master.txt").read_text().splitlines()]
    sample = [line.split() for line in lifetimes_file("CDNOW_sample.txt").read_text().splitlines()]
    donations = [
        [int(value) for value in line.split(",")]
        for line in lifetimes_file("donations.csv").read_text().split()[1:]
    ]
    names = ["frequency", "recency", "T", "count"]
    subscriptions = [
        (segment, period, round(percent / 100, 3), round(percent * 10))
        for segment, percents in SURVIVAL_PERCENT.items()
        for period, percent in enumerate(percents)
    ]
    segment, period, survival, count = zip(*subscriptions, strict=True)
    return {
        "cdnow.parquet": cdnow(master[1:]),
        "cdnow_sample.parquet": cdnow(sample),
        "donations.parquet": pa.table(
            {
                name: pa.array(column, pa.int64())
                for name, column in zip(names, zip(*donations, strict=True), strict=True)
            }
        ),
        "subscriptions.parquet": pa.table(
            {
                "segment": pa.array(segment, pa.string()),
                "period": pa.array(period, pa.int64()),
                "survival": pa.array(survival, pa.float64()),
                "count": pa.array(count, pa.int64()),
            }
        ),
    }


def write_small(table: pa.Table, path: Path) -> None:
    """Write whole numbers and times by their differences, and long columns of floats bytewise.

    That takes a third off the usual file.
    """
    encodings, dictionaries = {}, []
    for field in table.schema:
        if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(field.type) and len(table[field.name].unique()) > 2000:
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        else:
            dictionaries.append(field.name)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionaries or False,
        column_encoding=encodings or None,
    )


def build(folder: Path) -> dict[str, tuple[int, str]]:
    """Write every file into ``folder``; return its rows and sha256 by name."""
    rows = {}
    for name, table in tables().items():
        pq.write_table(table, folder / name, compression="zstd", compression_level=15)
        rows[name] = table.num_rows
    (folder / "shop").mkdir(exist_ok=True)
    for name, frame in tables_of(simulate_shop(**BUNDLED_SHOP)):
        name = f"shop/{name}.parquet"
        write_small(pa.Table.from_pandas(frame, preserve_index=False), folder / name)
        rows[name] = len(frame)
    return {
        name: (number, hashlib.sha256((folder / name).read_bytes()).hexdigest())
        for name, number in rows.items()
    }


def main() -> None:
    """Write the files and bring rows and sha256 in the README's table up to date."""
    readme = FOLDER / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, (rows, digest) in build(FOLDER).items():
        row = rf"(?m)^\| `{re.escape(name)}` \|.*$"
        text = re.sub(row, f"| `{name}` | {rows:,} | `{digest}` |", text)
        print(f"{name}: {rows:,} rows, {digest}")
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
