"""The order log with the times of day and the money that touchpoints are judged by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from touchpoint_lib._checks import fail
from touchpoint_lib.data.entries import Kind, open_entries
from touchpoint_lib.data.log import closed_on_error

#: From the beginning of a day to its last moment.
_TO_ITS_END = pd.Timedelta(days=1) - pd.Timedelta("1us")


def order_log(
    orders: Any,
    customer: str = "customer_id",
    time: str = "time",
    amount: str | None = "amount",
    values: Iterable[str] = (),
    labels: Iterable[str] = (),
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
) -> pd.DataFrame:
    """Return an order log, checked, under the names that the functions of touchpoints know.

    A row is an order that counts: leave out those that were not paid.

    Parameters
    ----------
    orders
        A pandas or polars frame, pyarrow Table or RecordBatchReader, DuckDB relation, Spark
        DataFrame (whose columns are brought here), or the path or glob of Parquet or CSV files.
    customer, time : str
        Columns of the customer's id and the time of the order.
    amount : str, optional
        Column of the money paid, >= 0: the result calls it amount.
    values : columns
        Further numeric columns, of either sign, such as margin, discount and list_amount.
    labels : columns
        Further columns of words, such as region or source, which may be missing in a row.
    order : str, optional
        Column of the order's id, different in every row: the result calls it order_id.
    tz : str, optional
        IANA name of the zone whose clocks count: required for time-zone-aware times, refused for
        others.
    on_bad : {"raise", "drop"}
        What to do about rows without customer, time, money or id of the order, or later than today.

    Returns
    -------
    DataFrame
        Sorted by time and customer: customer_id, time (datetime64, without a zone), order_id and
        amount (where they are), ``values`` (float) and ``labels`` (categories). Where all orders
        have dates only (0:00), they are taken to the end of their day: an order on the day of a
        contact then comes behind it, of contacted and held-out customers alike.

    Raises
    ------
    InputError
        If the log is empty, a column or an argument cannot be used, rows are at fault, an amount is
        negative, or an order id stands twice.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> tp.order_log(paid, values=["margin"], labels=["source"]).columns.to_list()
    ['customer_id', 'time', 'amount', 'margin', 'source']
    """
    numbers, words = _names("values", values), _names("labels", labels)
    made = {"customer_id", "time", "order_id", "amount"}
    for name in (*numbers, *words):
        if (*numbers, *words, customer, time, amount, order).count(name) > 1:
            raise fail(f"column {name!r} is named twice", "name each column once")
        if name in made:
            raise fail(f"a column is named {name!r}", "rename it: the result has such a column")
    columns = {"customer": customer, "time": time, "order": order, "amount": amount}
    kinds: dict[str, Kind] = {
        "id": "id",
        "moment": "moment",
        "order_id": "id",
        "amount": "number",
    }
    names = {"id": "customer_id", "moment": "time", "order_id": "order_id", "amount": "amount"}
    further: list[tuple[Kind, list[str]]] = [("number", numbers), ("label", words)]
    for kind, listed in further:
        for place, name in enumerate(listed):
            role = f"{kind}_{place}"
            columns[role], kinds[role], names[role] = name, kind, name
    log = open_entries(orders, columns, kinds, tz, here=True)
    with closed_on_error(log.engine):
        log.refuse_faults(on_bad)
        if amount is not None:
            log.refuse(
                "amount",
                "amount < 0",
                "is negative",
                "leave returns out, or subtract each from its order first",
            )
        if order is not None:
            log.refuse(
                "order_id",
                f"order_id IN (SELECT order_id FROM log WHERE {log.usable()} GROUP BY order_id"
                " HAVING COUNT(*) > 1)",
                "has ids that stand twice",
                "sum the lines of an order first",
            )
    frame = log.fetch({role: names[role] for role in log.kinds}, tz)
    time_of_day = frame["time"] != frame["time"].dt.normalize()
    if not time_of_day.any():
        frame["time"] = frame["time"] + _TO_ITS_END
    for name in words:
        frame[name] = frame[name].astype("category")
    return frame


def _names(argument: str, columns: Any) -> list[str]:
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise fail(f"{argument} is {columns!r}", "pass a list of columns, which may be empty")
    names = list(columns)
    for name in names:
        if not isinstance(name, str):
            raise fail(f"{argument} has {name!r}", "it must be the name of a column, as text")
    return names
