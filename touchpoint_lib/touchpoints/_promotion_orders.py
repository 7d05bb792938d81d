"""Orders with the money that was off, as all that is said of promotions reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_columns, check_present, check_values, fail, first_of
from touchpoint_lib.campaigns._events import moments

_ROUNDING = 1e-9
ORDERS_REMEDY = "make it with order_log(...), or rename"


def priced_orders(
    orders: pd.DataFrame, list_amount: str, amount: str, margin: str | None = None
) -> pd.DataFrame:
    """Return customer, time, list price, money off and margin of each order.

    Without ``margin`` there is no such column. What is off is the list price less what was paid:
    a column of discounts would be money in one shop and a share of the price in the next.
    """
    columns = [list_amount, amount, *([] if margin is None else [margin])]
    check_columns(orders, ["customer_id", "time", *columns], "orders", ORDERS_REMEDY)
    if len(orders) == 0:
        raise fail("orders has no rows", "pass a row an order")
    check_present("orders", orders, "customer_id")
    time = moments("orders", orders, "time")
    listed = check_values(f"{list_amount} of orders", orders[list_amount], ge=0, index=orders.index)
    paid = check_values(f"{amount} of orders", orders[amount], ge=0, index=orders.index)
    off = listed - paid
    # Sums of money in floats: what is off by rounding is not off.
    off[np.abs(off) <= _ROUNDING * listed] = 0.0
    above = off < 0
    if above.any():
        first = int(np.flatnonzero(above)[0])
        raise fail(
            f"{amount} is {paid[first]:g} at index {first_of(orders.index, above)}, above "
            f"{list_amount} {listed[first]:g} ({int(above.sum()):,} such orders)",
            "pass both for the same goods: without shipping and surcharges",
        )
    owner = orders["customer_id"]
    if isinstance(owner.dtype, pd.CategoricalDtype):
        # Categories may name customers without orders.
        owner = owner.astype(owner.cat.categories.dtype)
    frame = pd.DataFrame(
        {"customer_id": owner, "time": time, "listed": listed, "off": off},
        index=orders.index,
    )
    if margin is not None:
        frame["margin"] = check_values(f"{margin} of orders", orders[margin], index=orders.index)
    return frame
