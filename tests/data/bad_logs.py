"""Logs and arguments that must be refused, with the message: the same whatever the log comes in."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.data.samples import frame

GOOD = frame(("a", "2024-01-01", 1.0), ("b", "2024-01-03", 2.0))
ORDERS = GOOD.assign(order_id="o1")
TOMORROW = (datetime.now(UTC) + timedelta(days=3)).date()

#: A log as pandas has it, the arguments of rfm_summary and what the error says.
BAD_LOGS: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "no rows": (GOOD.head(0), {}, "the log has no rows; pass at least one row"),
    "no customer column": (
        GOOD,
        {"customer": "id"},
        r"no column 'id' \(it has 'customer_id', 'date', 'amount'\)",
    ),
    "no amount column": (GOOD, {"amount": "sum"}, "no column 'sum'.*amount=None"),
    "customer is a number": (
        GOOD,
        {"customer": 0},
        "customer is 0; it must be the name of a column",
    ),
    "time is None": (GOOD, {"time": None}, "time is None; it must be the name of a column"),
    "one column twice": (
        GOOD,
        {"time": "amount"},
        "amount is 'amount', which another argument names too",
    ),
    "a result's name": (
        GOOD.assign(T=GOOD["customer_id"]),
        {"customer": "T"},
        "customer column is named 'T'",
    ),
    "unit": (GOOD, {"unit": "M"}, "unit is 'M'"),
    "on_bad": (
        GOOD,
        {"on_bad": "keep"},
        "on_bad is 'keep'; it must be one of 'raise', 'drop'",
    ),
    "returns": (GOOD, {"returns": "keep"}, "returns is 'keep'; it must be one of"),
    "until before the log": (
        GOOD,
        {"until": "2023-12-31"},
        "until is 2023-12-31, before the first purchase on 2024",
    ),
    "until in the future": (GOOD, {"until": TOMORROW}, f"until is {TOMORROW}, later than today"),
    "until is no ISO date": (
        GOOD,
        {"until": "31.12.2024"},
        "until is '31.12.2024'; pass a whole day",
    ),
    "until has a time": (
        GOOD,
        {"until": "2024-01-05 10:00"},
        "with a time of day; pass a whole day",
    ),
    "until has a zone": (
        GOOD,
        {"until": pd.Timestamp("2024-01-05", tz="UTC")},
        "with a time zone",
    ),
    "until is missing": (GOOD, {"until": pd.NaT}, "until is NaT"),
    "until is a number": (GOOD, {"until": 20240105}, "until is 20240105"),
    "until is a month": (GOOD, {"until": np.datetime64("2024-01")}, "pass a whole day"),
    "dates as text": (
        GOOD.astype({"date": "str"}),
        {},
        r"VARCHAR, the first value '2024-01-0.*pd.to_datetime",
    ),
    "dates as numbers": (
        GOOD.assign(date=[20240101, 20240103]),
        {},
        r"BIGINT, the first value '20240101'",
    ),
    "amounts as text": (
        GOOD.astype({"amount": "str"}),
        {},
        "'amount' is VARCHAR, the first value '1.0', not numeric; convert it to num",
    ),
    "amounts as truth values": (
        GOOD.assign(amount=[True, False]),
        {},
        "'amount' is BOOLEAN, the first value 'true', not numeric",
    ),
    "periods": (
        GOOD.assign(date=GOOD["date"].dt.to_period("D")),
        {},
        r"'date' holds periods.*to_timestamp",
    ),
    "before the year 1": (
        GOOD.assign(date=np.datetime64("-0500-01-01")),
        {},
        "2 rows cannot be used: 2 without date",
    ),
    "later than today": (
        GOOD.assign(date=pd.to_datetime(["2024-01-01", "2999-01-01"])),
        {},
        r"1 of 2 rows cannot be used: 1 with a date later than today \(\d{4}-",
    ),
    "a zone for plain times": (
        GOOD,
        {"tz": "UTC"},
        "tz is 'UTC' but column 'date' has no time zone; leave tz out",
    ),
    "an unknown zone": (
        GOOD,
        {"tz": "Mars/Base"},
        "tz is 'Mars/Base', which is no known time zone",
    ),
    "a path as zone": (GOOD, {"tz": "../etc"}, "no known time zone"),
    "aware times without a zone": (
        GOOD.assign(date=GOOD["date"].dt.tz_localize("UTC")),
        {},
        "'date' is time-zone-aware; pass tz=",
    ),
    "a return": (
        GOOD.assign(amount=[1.0, -2.0]),
        {},
        r"'amount' is negative in 1 rows \(least -2\).*\"net",
    ),
    "returns only": (
        GOOD.assign(amount=[-1.0, -2.0]),
        {"returns": "net"},
        "none of the 2 rows is a usable pu",
    ),
    "all was returned": (
        frame(("b", "2024-01-08", 20.0), ("b", "2024-01-10", -20.0), ("b", "2024-01-12", -1.0)),
        {"returns": "net"},
        'no purchase is left: every one in the window was returned; .*returns="drop"',
    ),
    "a negative discount": (
        GOOD.assign(off=[0, -1]),
        {"discount": "off"},
        r"'off' is negative in 1 rows \(least -1\)",
    ),
    "discounts as text": (
        GOOD.assign(off="x"),
        {"discount": "off"},
        "'off' is VARCHAR, the first value 'x', not numeric",
    ),
    "no discount": (
        GOOD.assign(off=[0.5, math.nan]),
        {"discount": "off"},
        "1 without off; correct them .fill off with 0 if missing means no discount",
    ),
    "no ids": (
        GOOD.assign(customer_id=None),
        {},
        "2 of 2 rows cannot be used: 2 without customer_id",
    ),
    "an empty id": (
        GOOD.assign(customer_id=["a", ""]),
        {},
        "1 of 2 rows cannot be used: 1 without customer_id",
    ),
    "no times": (
        GOOD.assign(date=pd.NaT),
        {"on_bad": "drop"},
        "none of the 2 rows is a usable purchase",
    ),
    "no amounts": (GOOD.assign(amount=None), {}, "2 without amount"),
    "an infinite amount": (GOOD.assign(amount=[1.0, -math.inf]), {}, "1 without amount"),
    "a missing id": (GOOD.assign(customer_id=[math.nan, 2.0]), {}, "1 without customer_id"),
    "one order, two customers": (
        ORDERS,
        {"order": "order_id"},
        r"'order_id' has 1 order ids with different .*'o1'; sum the lines",
    ),
    "ids of two types": (
        GOOD.assign(customer_id=pd.Series([1, "1"], dtype=object)),
        {},
        "'customer_id' holds values that are not all of one type",
    ),
    "ids of bytes": (
        GOOD.assign(customer_id=pd.Series(["1", b"1"], dtype=object)),
        {},
        "'customer_id' is BLOB; convert it to text or integers",
    ),
    "ids in lists": (GOOD.assign(customer_id=[[1], [2]]), {}, r"'customer_id' is BIGINT\[\]"),
    "times of two kinds": (
        GOOD.assign(date=pd.Series([datetime(2024, 1, 1), datetime.now(UTC)], dtype=object)),
        {},
        "'date' mixes times with and without a time zone",
    ),
    "two columns of a name": (
        GOOD.set_axis(["customer_id", "date", "date"], axis=1),
        {"amount": None},
        "2 columns 'date'",
    ),
}

_PANDAS_ONLY = "a column of Arrow has one type, and Arrow makes periods integers"
_NAMES_DIFFER = "its names cannot repeat: a reader or a frame renames or refuses them"
#: What a source cannot hold in the first place, by the source and by the log; with the reason.
INEXPRESSIBLE = {
    **{
        (kind, name): _PANDAS_ONLY
        for kind in ("polars", "arrow table", "arrow reader", "parquet", "duckdb relation", "spark")
        for name in ("periods", "ids of two types", "times of two kinds")
    },
    ("polars", "two columns of a name"): _NAMES_DIFFER,
    ("parquet", "two columns of a name"): _NAMES_DIFFER,
}


def bad_logs(kind: str) -> list[str]:
    """The names in the table, less those of what a source of the kind cannot hold."""
    return [name for name in BAD_LOGS if (kind, name) not in INEXPRESSIBLE]


def arrow(log: pd.DataFrame) -> pa.Table:
    """A frame's columns as Arrow, those of one name too."""
    arrays = [pa.array(log.iloc[:, i], from_pandas=True) for i in range(log.shape[1])]
    return pa.table(arrays, names=list(log.columns))
