"""What the shop's world knows of each customer on a day, one column a customer."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.simulate._orders import Codes

Days = npt.NDArray[np.int32]

#: A day that never comes.
NEVER = np.int32(2**31 - 1)


@dataclass
class State:
    """Arrays whose last axis is the customers, in the order in which they come into this world.

    Days are whole days since the start. ``born`` is the day on which the customer comes in, and
    ``other`` the channel or campaign whose decision is turned round on that day (-1: none), which
    is what makes a second world of the first.
    """

    born: Days
    other: Codes
    key: IntArray  # addresses the draws
    segment: Codes
    province: Codes
    rate: FloatArray  # stages a day of the shop's own time
    dropout: FloatArray  # probability to leave after an order
    control: BoolArray
    number: Days  # purchases so far
    last: FloatArray  # time of the last order
    run: FloatArray  # the shop's own time since then, in days
    need: FloatArray  # of which the next order needs so much; inf once the customer has left
    speed: FloatArray  # of the shop's own time, today
    owed: FloatArray  # hazard pulled forward and not paid back, in days
    boost: FloatArray  # (channels + 2, n) added to the log hazard; last rows: losses
    recent: Days  # tiring contacts in the last 30 days
    coupon: FloatArray  # depth of the coupon at hand
    coupon_until: Days
    coupon_from: IntArray  # row of the contact it came with
    subscribed: BoolArray  # (channels, n)
    due: Days  # (channels, n) day of the next opportunity
    visit_due: Days
    visited: Days  # day of the last visit
    received: Days  # day of the last parcel
    clicked: Codes  # channel of the last click
    clicked_until: Days  # until when it is the source of an order

    def __len__(self) -> int:
        return len(self.key)

    def lives(self, column: IntArray | slice) -> BoolArray:
        """Return which of some customers have not left."""
        return np.isfinite(self.need[column])

    def take(self, columns: npt.ArrayLike) -> State:
        """Return a copy of some customers."""
        return State(
            **{item.name: getattr(self, item.name)[..., columns].copy() for item in fields(self)}
        )

    @staticmethod
    def joined(states: list[State]) -> State:
        """Return the customers of several states, one behind the other."""
        return State(
            **{
                item.name: np.concatenate([getattr(state, item.name) for state in states], axis=-1)
                for item in fields(State)
            }
        )
