"""The most frequent paths (路径) of contacts to a customer's first, second, ... order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray, check_integer, check_number, fail
from touchpoint_lib.campaigns._events import DAY
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.touchpoints._paths import NO_CONTACT, OTHER, read_journeys

__all__ = ["contact_paths"]


def contact_paths(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    *,
    number: int = 1,
    window: float = 30,
    top: int = 10,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the channels, in the order of time, that customers met on the way to an order.

    The path (路径) to a customer's ``number``-th order has the contacts in the ``window`` days
    before it, from the order before on. The table describes who ordered; it cannot say that a
    path made anyone order, as who met the same channels and did not order is not in it.

    Parameters
    ----------
    contacts : DataFrame
        A row a contact: customer_id, time, channel (text). Rows where a column held_out (bool) is
        True were not made.
    orders : DataFrame
        A row an order: customer_id, time; from each customer's first order on, as they are
        counted here. Orders of a customer at one moment count in the order of their rows.
    number : int
        Which order, >= 1. Paths to the first one need contacts of people before they buy.
    window : float
        Days of 24 hours, > 0.
    top : int
        Paths that have a row of their own, >= 1; "(no contact)" has one besides.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a path, by falling number of customers (then by name), such as "email > sms" or
        "(no contact)"; the rest, if any, in a last row "(other)". customers; share of all
        customers with so many orders, share_low and share_high (Wilson's interval); median_days
        from the first touch to the order (NaN without a contact); touches, the mean number of
        contacts. ``attrs`` holds number, window, level, customers (with so many orders), fewer
        (customers of ``orders`` with fewer), early (of the customers, those with days of their
        window before the first row of ``contacts``, of which nothing is known) and paths
        (different ones, with "(no contact)").

    Raises
    ------
    InputError
        If a column is missing, not of its kind or has missing values; a frame is empty; time
        zones differ; no customer is in both; an argument is out of its bounds; or no customer has
        so many orders.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> paths = tp.contact_paths(shop.contacts, paid, number=2, top=3)
    >>> paths.drop(columns=["share_low", "share_high"]).round(3)
               path  customers  share  median_days  touches
    0  (no contact)       2060  0.412          NaN    0.000
    1          page        501  0.100        2.866    1.000
    2        parcel        420  0.084       11.519    1.000
    3           sms        305  0.061        9.091    1.000
    4       (other)       1709  0.342       16.469    1.968
    """
    number = check_integer("number", number, ge=1)
    check_number("window", window, gt=0)
    top = check_integer("top", top, ge=1)
    check_number("level", level, gt=0, lt=1)
    journeys = read_journeys(contacts, orders, window)
    history = journeys.history
    count = np.diff(history.start)
    enough = count >= number
    if not enough.any():
        raise fail(
            f"no customer of orders has {number:,} orders",
            f"pass a number up to {int(count.max()):,}",
        )
    n = int(enough.sum())
    wanted = np.zeros(len(history.time), dtype=np.bool_)
    wanted[history.start[:-1][enough] + number - 1] = True
    chosen = journeys.place >= 0
    chosen[chosen] = wanted[journeys.place[chosen]]

    paths = journeys.paths.take(chosen)
    first = journeys.moment[journeys.paths.start[:-1][chosen]]
    days = (history.time[journeys.place[chosen]] - first) / DAY
    group, example = paths.groups()
    customers = np.bincount(group, minlength=len(example))
    # Texts only of the paths that may have a row.
    least = np.sort(customers)[-top] if len(example) > top else 0
    named = {int(path): paths.text(example[path]) for path in np.flatnonzero(customers >= least)}
    shown = sorted(named, key=lambda path: (-customers[path], named[path]))[:top]
    labels = [named[path] for path in shown]
    # The others share the place behind.
    place = np.full(len(example), len(shown))
    place[shown] = np.arange(len(shown))
    if len(example) > top:
        labels.append(OTHER)
    table = _table(labels, place[group], days, paths.size)
    none = n - len(days)
    if none:
        empty = pd.DataFrame(
            {"path": [NO_CONTACT], "customers": [none], "median_days": [np.nan], "touches": [0.0]}
        )
        table = pd.concat([table, empty], ignore_index=True)
    last = table["path"] == OTHER
    order = np.lexsort((table["path"], -table["customers"], last))
    table = table.iloc[order].reset_index(drop=True)
    low, high = wilson_interval(table["customers"].to_numpy(), np.full(len(table), n), level)
    table.insert(2, "share", table["customers"] / n)
    table.insert(3, "share_low", low)
    table.insert(4, "share_high", high)
    table.attrs = {
        "number": number,
        "window": float(window),
        "level": float(level),
        "customers": n,
        "fewer": len(count) - n,
        "early": int(journeys.early[wanted].sum()),
        "paths": len(example) + int(none > 0),
    }
    return table


def _table(labels: list[str], row: IntArray, days: FloatArray, size: IntArray) -> pd.DataFrame:
    """Return customers, median days and mean touches by the row that each path belongs to."""
    each: Any = pd.DataFrame({"days": days, "size": size}).groupby(row)
    return pd.DataFrame(
        {
            "path": pd.Series(labels, dtype="str"),
            "customers": np.bincount(row, minlength=len(labels)),
            "median_days": each["days"].median().to_numpy(dtype=np.float64),
            "touches": each["size"].mean().to_numpy(dtype=np.float64),
        }
    )
