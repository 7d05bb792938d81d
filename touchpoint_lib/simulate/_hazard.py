"""How fast the shop's own time runs for each customer on a day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.simulate._calendar import Calendar
from touchpoint_lib.simulate._orders import Codes
from touchpoint_lib.simulate._state import Days, State
from touchpoint_lib.simulate.settings import ShopDiscounts, ShopSegment

#: The most that contacts may add to a log hazard: beyond it the settings cannot be meant.
_MOST_LIFT = 100.0
#: Share of a day's hazard that paying back may take at most.
_MOST_REPAID = 0.9


class Hazard:
    """Season, discounts, contacts and losses as one factor of the hazard, day by day."""

    def __init__(
        self,
        calendar: Calendar,
        segments: Sequence[ShopSegment],
        discounts: ShopDiscounts | None,
        decay: FloatArray,
    ) -> None:
        self.calendar = calendar
        self._response = np.array([segment.discount_response for segment in segments])
        self._undiscounted = np.array([0.0 if one.discount_only else 1.0 for one in segments])
        self._repaid = 0.0 if discounts is None else 1 / discounts.repay_days
        moved = 0.0 if discounts is None else discounts.moved
        self.moved = moved * self._undiscounted
        self._decay = decay[:, None]

    def lift(self, segment: Codes, depth: FloatArray | float) -> FloatArray:
        """Return the factor of a discount of ``depth``, 0 included."""
        lifted = np.exp(self._response[segment] * depth)
        return np.where(np.asarray(depth) > 0, lifted, self._undiscounted[segment])

    def public(self) -> FloatArray:
        """Return the factor (provinces, segments, days) that season and calendar make."""
        depth = self.calendar.depth
        segments = np.arange(len(self._response), dtype=np.int8)[:, None]
        return self.calendar.season[:, None, :] * self.lift(segments, depth[None, :])

    def first_day(
        self, segment: Codes, province: Codes, day: Days
    ) -> tuple[FloatArray, FloatArray]:
        """Return the speed and the new debt of customers on the whole day of their arrival."""
        season = self.calendar.season[province, day]
        speed = season * self.lift(segment, self.calendar.depth[day])
        return speed, self.moved[segment] * (speed - season)

    def advance(self, state: State, lo: int, hi: int, day: int) -> None:
        """Let ``day`` pass for the columns ``lo`` to ``hi``: set their speed, add it to their time.

        What contacts and losses do fades by one day, debts grow or are paid back.
        """
        here = slice(lo, hi)
        segment = state.segment[here]
        boost, owed = state.boost[:, here], state.owed[here]
        base = boost.sum(axis=0)
        if base.max(initial=0.0) > _MOST_LIFT:
            raise fail(
                f"contacts lift the hazard of a customer on day {day} by exp({base.max():.0f})",
                "lower the rates, effects or decays of the channels, or let contacts tire",
            )
        np.exp(base, out=base)
        base *= self.calendar.season[:, day].take(state.province[here])
        boost *= self._decay
        holders = np.flatnonzero(state.coupon_until[here] >= day)
        depth = float(self.calendar.depth[day])
        if depth > 0:
            discount = np.full(len(base), depth)
            discount[holders] = np.maximum(depth, state.coupon[here][holders])
            speed = base * np.exp(self._response.take(segment) * discount)
            owed += self.moved.take(segment) * (speed - base)
        else:
            speed = self._undiscounted.take(segment)
            speed *= base
            back = owed * self._repaid
            np.minimum(back, _MOST_REPAID * speed, out=back)
            back[holders] = 0.0
            speed -= back
            owed -= back
            at = segment[holders]
            lifted = base[holders] * self.lift(at, state.coupon[here][holders])
            owed[holders] += self.moved[at] * (lifted - base[holders])
            speed[holders] = lifted
        state.speed[here] = speed
        state.run[here] += speed
