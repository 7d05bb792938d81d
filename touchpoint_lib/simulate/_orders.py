"""Orders as the processes behind them see them: payment, parcel, review."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Orders:
    """Orders, one an element; all arrays have one length.

    customer is the customer's number from 0 and event unique among the customer's orders: together
    they address the draws. time is days since the start. number counts the customer's purchases
    from 1 (orders of one occasion share it). source, province and product are codes into the
    settings. flash marks orders with the short limit, first_today the customer's first of a day.
    """

    customer: IntArray
    event: IntArray
    time: FloatArray
    number: IntArray
    source: Codes
    province: Codes
    product: Codes
    flash: BoolArray
    first_today: BoolArray

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True)
class Sold:
    """Orders with what the processes behind them do not need to know.

    column is the customer's column of the state, depth the discount, coupon_from the row of the
    contact whose coupon was used (-1: none).
    """

    column: IntArray
    orders: Orders
    depth: FloatArray
    coupon_from: IntArray

    @classmethod
    def joined(cls, parts: list[Sold]) -> Sold:
        """Return the orders of several days, one behind the other."""
        return cls(
            np.concatenate([part.column for part in parts]),
            Orders(
                **{
                    item.name: np.concatenate([getattr(part.orders, item.name) for part in parts])
                    for item in fields(Orders)
                }
            ),
            np.concatenate([part.depth for part in parts]),
            np.concatenate([part.coupon_from for part in parts]),
        )


@dataclass(frozen=True)
class Later:
    """What orders do later: the time of each parcel, and what is lost with whom.

    received is days since the start, NaN where nothing comes. From the day after lost_on the
    customer behind the order at position lost_by has lost so much of the log hazard; lost_row is
    0 for lateness, 1 for a review without a reply.
    """

    received: FloatArray
    lost_by: IntArray
    lost_on: FloatArray
    lost: FloatArray
    lost_row: IntArray
