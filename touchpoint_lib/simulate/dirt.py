"""Dirt on request: rows that are spoilt and columns that know the future, all of them listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_columns, check_number, fail
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate.settings import check_flag, check_share

#: The column that each kind of fault spoils; a repeated row as a whole has none.
_FAULTS = {
    "duplicates": "",
    "null_ids": "customer_id",
    "null_times": "time",
    "null_amounts": "amount",
    "future_rows": "time",
    "mixed_zones": "time",
}
#: The shop's own offset, in text.
_OFFSET = "+08:00"
#: China kept summer time until 1991: only since then is the offset the same all year.
_FIRST_DAY = pd.Timestamp("1992-01-01")

#: Days without an order after which the shop writes to a customer or forgets one.
_SILENT = 180.0
_VIP_LEVELS = {"none": 0.0, "silver": 500.0, "gold": 2_000.0, "platinum": 5_000.0}
_PAYMENT_METHODS = {"alipay": 0.5, "wechat": 0.4, "card": 0.1}
_LANGUAGES = {"zh": 0.92, "en": 0.08}

#: Why each leaky column knows what nobody knew on the day of a prediction.
_LEAKS = {
    "last_order_at": "the latest order as of the export: later than the prediction's day for "
    "everyone who bought after it",
    "days_since_last_order": "counted back from the export: small for everyone who bought after "
    "the prediction's day",
    "orders_total": "includes the orders after the prediction's day: nobody with one order came "
    "back",
    "spend_total": "includes what was ordered after the prediction's day, paid or not",
    "vip_level": "follows from the spend by the export, and so from orders after the prediction's "
    "day",
    "payment_method": "of the latest order, and deleted 180 days after it: only those have one who "
    "ordered within 180 days of the export",
    "win_back_offer_sent": "set because the customer was found to be silent for more than 180 days "
    "by the export",
    "account_closed_at": "accounts are closed at the earliest 180 days after the last order: who "
    "has a date is known to have stopped",
    "newsletter_language": "filled in with the second order: who has none never came back",
    "engagement_score": "computed from the days since the last order by the export, with noise",
}


@dataclass(frozen=True, kw_only=True)
class ShopDirt:
    """What goes wrong in the shop's export (脏数据), as shares of the rows of the order log.

    A row has at most one fault, so the shares add up to at most 1. Given the shares,
    whether a row is spoilt, and how, depends on the seed, its customer and its order alone.

    Parameters
    ----------
    duplicates
        Rows that are repeated exactly; the copy follows its original.
    null_ids
        Rows without ``customer_id``. Above 0 that column is pandas' Int64, else it stays int64.
    null_times
        Rows without ``time``.
    null_amounts
        Rows without ``amount``.
    future_rows
        Rows whose ``time`` is 100 years late: a typing error in the year.
    mixed_zones
        Rows whose ``time`` is written in another zone. Above 0 the column is ISO 8601 text, such
        as "2025-03-01 10:00:00.000000+08:00", in these rows the same instant in UTC with Z. A CSV
        file of such times is read as it is, with ``tz="Asia/Shanghai"``; in a frame or a Parquet
        file text is refused until ``pd.to_datetime(log["time"], format="ISO8601", utc=True)``
        has read it.
    leaky_columns
        Whether ``customers`` has columns that describe the day of the export, which is later than
        the day of any prediction: last_order_at, days_since_last_order (whole days),
        orders_total, spend_total (yuan), vip_level, payment_method, win_back_offer_sent,
        account_closed_at, newsletter_language and engagement_score (0 to 100). What
        `screen_leakage` sees of them by the outcome alone depends on the shop and the horizon
        (spend_total and vip_level are too weak); recomputing or ``known_at`` shows
        all.

    Raises
    ------
    InputError
        If a share is no share, or they add up to more than 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.ShopDirt(duplicates=0.01, leaky_columns=False).null_ids
    0.002
    """

    duplicates: float = 0.003
    null_ids: float = 0.002
    null_times: float = 0.001
    null_amounts: float = 0.001
    future_rows: float = 0.0005
    mixed_zones: float = 0.0
    leaky_columns: bool = True

    def __post_init__(self) -> None:
        for kind in _FAULTS:
            check_share(kind, getattr(self, kind))
        total = sum(getattr(self, kind) for kind in _FAULTS)
        check_number(f"the sum of {', '.join(_FAULTS)}", round(total, 9), le=1)
        check_flag("leaky_columns", self.leaky_columns)


def soil(
    draws: Draws, dirt: ShopDirt, frames: Mapping[str, pd.DataFrame], end: pd.Timestamp
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, pd.DataFrame]:
    """Return the shop's frames with dirt, and the lists of what is wrong with them.

    Parameters
    ----------
    draws
        The luck of the shop.
    dirt
        What goes wrong.
    frames
        The clean frames, which are left as they are: ``customers`` with customer_id (unique) and
        ``orders`` with order_id (unique), customer_id, time (datetime64[us], local time without a
        zone) and amount (yuan); others are passed on.
    end
        The moment of the export, local time, at or after the last order.

    Returns
    -------
    soiled : dict of DataFrame
        All frames; their data is shared with the clean ones where nothing is wrong.
    spoilt : DataFrame
        One row a fault, sorted by ``row``: table ("orders"), row (its position in the soiled
        table, of a duplicate that of the copy), column ("" for a duplicate), kind (the field of
        `ShopDirt`), original (text of the value before, times as ISO 8601; "" for a duplicate).
    leaks : DataFrame
        One row a leaky column: table ("customers"), column, why.

    Raises
    ------
    InputError
        If a frame or a column is missing, ids are not unique or not known, ``time`` is of another
        type, an order is later than ``end``, orders to be moved by 100 years or written with an
        offset are earlier than 1992, or ``customers`` already has a column of a leak's name.

    Examples
    --------
    >>> import pandas as pd
    >>> from touchpoint_lib.simulate._draws import Draws
    >>> from touchpoint_lib.simulate.dirt import ShopDirt, soil
    >>> times = pd.to_datetime(["2025-03-01 10:00", "2025-03-02 11:30"]).as_unit("us")
    >>> orders = pd.DataFrame(
    ...     {"order_id": [1, 2], "customer_id": [7, 8], "time": times, "amount": [50.0, 80.5]}
    ... )
    >>> frames = {"customers": pd.DataFrame({"customer_id": [7, 8]}), "orders": orders}
    >>> dirt = ShopDirt(duplicates=0, null_ids=0, null_times=0, null_amounts=1, future_rows=0)
    >>> soiled, spoilt, leaks = soil(Draws(1), dirt, frames, pd.Timestamp("2025-04-01"))
    >>> spoilt[["row", "column", "kind", "original"]]
       row  column          kind original
    0    0  amount  null_amounts     50.0
    1    1  amount  null_amounts     80.5
    """
    for name, columns in (
        ("customers", ["customer_id"]),
        ("orders", ["order_id", "customer_id", "time", "amount"]),
    ):
        check_columns(frames.get(name), columns, f"the frame {name!r}", "add the column")
    customers, orders = frames["customers"], frames["orders"]
    _check_orders(dirt, orders, end)
    # A shallow copy costs nothing: pandas copies a column when it is written to.
    soiled = {name: frame.copy(deep=False) for name, frame in frames.items()}
    soiled["orders"], spoilt = _spoil(draws, dirt, orders)
    leaks: dict[str, str] = {}
    if dirt.leaky_columns:
        taken = [name for name in _LEAKS if name in customers.columns]
        if taken:
            raise fail(f"customers has a column {taken[0]!r}", "rename it: a leak is called so")
        leaks = _LEAKS
        soiled["customers"] = customers.assign(**_leaky_columns(draws, customers, orders, end))
    return (
        soiled,
        spoilt,
        pd.DataFrame(
            {"table": "customers", "column": list(leaks), "why": list(leaks.values())}, dtype="str"
        ),
    )


def _check_orders(dirt: ShopDirt, orders: pd.DataFrame, end: pd.Timestamp) -> None:
    """Raise unless times and ids are such that dirt can be added, and taken off again."""
    if not isinstance(end, pd.Timestamp) or end.tzinfo is not None:
        raise fail(f"end is {end!r}", "it must be a pandas Timestamp without a time zone")
    times = orders["time"]
    if times.dtype != np.dtype("M8[us]"):
        raise fail(f"orders['time'] is {times.dtype}", "it must be datetime64[us]")
    if times.isna().any():
        raise fail(f"orders['time'] is missing in {times.isna().sum():,} rows", "fill them")
    if times.max() > end:
        raise fail(f"end is {end}, before the last order ({times.max()})", "pass a later end")
    if (dirt.future_rows or dirt.mixed_zones) and times.min() < _FIRST_DAY:
        raise fail(
            f"orders begin on {times.min()}, before {_FIRST_DAY:%Y-%m-%d}",
            "begin later, or set future_rows and mixed_zones to 0",
        )
    if not orders["order_id"].is_unique:
        twice = orders["order_id"][orders["order_id"].duplicated()].iloc[0]
        raise fail(f"order_id {twice} is there several times in orders", "give each order its own")


def _spoil(draws: Draws, dirt: ShopDirt, orders: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the orders with faults, and the list of these."""
    luck = draws.uniform("dirt.order", orders["customer_id"], orders["order_id"])
    bounds = np.cumsum([getattr(dirt, kind) for kind in _FAULTS])
    hit = np.flatnonzero(luck < bounds[-1])
    kinds = np.array(list(_FAULTS))[np.searchsorted(bounds, luck[hit], side="right")]
    copied = kinds == "duplicates"
    # Each copy moves what stands behind it, and itself stands one behind its original.
    rows = hit + np.cumsum(copied)
    places = np.insert(np.arange(len(orders)), hit[copied] + 1, hit[copied])
    soiled = orders.take(places).reset_index(drop=True)
    if dirt.null_ids:
        soiled["customer_id"] = soiled["customer_id"].astype("Int64")
    originals = np.full(len(hit), "", dtype=object)
    for kind, column in _FAULTS.items():
        of_kind = kinds == kind
        if not column or not of_kind.any():
            continue
        before = orders[column].iloc[hit[of_kind]]
        originals[of_kind] = _texts(before, offset=bool(dirt.mixed_zones))
        values = soiled[column]
        values.iloc[rows[of_kind]] = _faulty(kind, before)
        soiled[column] = values
    if dirt.mixed_zones:
        in_utc = np.zeros(len(soiled), dtype=np.intp)
        in_utc[rows[kinds == "mixed_zones"]] = 1
        offsets = pd.Series([_OFFSET, "Z"], dtype="str")
        soiled["time"] = _iso(soiled["time"]) + offsets.take(in_utc).array
    spoilt = pd.DataFrame(
        {
            "table": pd.Series("orders", index=range(len(hit)), dtype="str"),
            "row": rows,
            "column": pd.Series(kinds, dtype="str").map(_FAULTS).astype("str"),
            "kind": pd.Series(kinds, dtype="str"),
            "original": pd.Series(originals, dtype="str"),
        }
    )
    return soiled, spoilt


def _iso(times: pd.Series[Any]) -> pd.Series[Any]:
    """Return times as ISO 8601 text with a blank between day and time, to the microsecond."""
    # Arrow's cast is ten times as fast as numpy's text, and a hundred times as a cast to "str".
    arrow = pd.api.types.pandas_dtype("large_string[pyarrow]")
    return times.astype("timestamp[us][pyarrow]").astype(arrow).astype("str")


def _texts(values: pd.Series[Any], *, offset: bool) -> pd.Series[Any]:
    """Return what stood in the table, as text from which the value can be restored exactly."""
    if values.dtype.kind != "M":
        return values.astype("str")
    return _iso(values) + _OFFSET if offset else _iso(values)


def _faulty(kind: str, values: pd.Series[Any]) -> Any:
    """Return what a fault of this ``kind`` makes of the values."""
    if kind == "mixed_zones":
        return (values - pd.Timedelta(hours=8)).array
    if kind == "future_rows":
        return (values + pd.DateOffset(years=100)).array
    return None


def _leaky_columns(
    draws: Draws, customers: pd.DataFrame, orders: pd.DataFrame, end: pd.Timestamp
) -> dict[str, Any]:
    """Return the columns of ``_LEAKS``: what is known of each customer at the export."""
    ids = pd.Index(customers["customer_id"])
    if not ids.is_unique:
        raise fail(
            f"customer_id {ids[ids.duplicated()][0]} is there several times in customers",
            "keep one row a customer",
        )
    at = ids.get_indexer(pd.Index(orders["customer_id"]))
    if at.size and at.min() < 0:
        unknown = orders["customer_id"].iloc[int(np.argmin(at))]
        raise fail(f"orders has a customer_id {unknown}, customers has none", "add the customer")
    count = np.bincount(at, minlength=len(ids))
    # To the fen: a sum of floats ends in noise.
    spend = np.round(np.bincount(at, weights=orders["amount"], minlength=len(ids)), 2)
    last = np.full(len(ids), "NaT", dtype="M8[us]")
    np.maximum.at(last.view(np.int64), at, orders["time"].to_numpy().view(np.int64))
    silence = (end.to_datetime64().astype("M8[us]") - last) / np.timedelta64(1, "D")

    closing = np.rint((_SILENT + 200.0 * draws.exponential("dirt.closing", ids)) * 86_400)
    closed = last + closing.astype("m8[s]")
    closed[~(closing <= silence * 86_400)] = np.datetime64("NaT")
    methods = draws.choice("dirt.payment_method", list(_PAYMENT_METHODS.values()), ids)
    methods[~(silence <= _SILENT)] = -1
    languages = draws.choice("dirt.language", list(_LANGUAGES.values()), ids)
    languages[count < 2] = -1
    levels = np.searchsorted(list(_VIP_LEVELS.values()), spend, side="right") - 1
    engagement = 100 * np.exp(-silence / 90) + 8 * draws.normal("dirt.engagement", ids)
    offered = draws.uniform("dirt.offer", ids) < 0.9
    return {
        "last_order_at": last,
        "days_since_last_order": pd.array(np.floor(silence), dtype="Int32"),
        "orders_total": count,
        "spend_total": spend,
        "vip_level": pd.Categorical.from_codes(levels, pd.Index(_VIP_LEVELS), ordered=True),
        "payment_method": pd.Categorical.from_codes(methods, pd.Index(_PAYMENT_METHODS)),
        "win_back_offer_sent": (silence > _SILENT) & offered,
        "account_closed_at": closed,
        "newsletter_language": pd.Categorical.from_codes(languages, pd.Index(_LANGUAGES)),
        "engagement_score": np.round(np.clip(engagement, 0, 100), 1),
    }
