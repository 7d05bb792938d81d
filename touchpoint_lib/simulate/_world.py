"""The shop, day by day.

The hazard is constant within a day, so that a purchase happens when the shop's own time since the
last one (the hazard's factors added up) has run through what the gap needs: an exact renewal
process whatever the season, discounts, contacts and losses do, with one pass over the customers a
day. Within a day orders come first, then losses and parcels, visits, and contacts, which act from
the next day on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray, fail
from touchpoint_lib.simulate._agenda import Agendas
from touchpoint_lib.simulate._calendar import LAST_MOMENT
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._hazard import Hazard
from touchpoint_lib.simulate._orders import Later, Orders, Sold
from touchpoint_lib.simulate._outreach import Contacted, Outreach
from touchpoint_lib.simulate._spend import products_of
from touchpoint_lib.simulate._state import Days, State
from touchpoint_lib.simulate.contacts import ShopVisits
from touchpoint_lib.simulate.settings import MOST_STAGES, ShopGoods, ShopSegment

#: An order "again" comes within these days.
_AGAIN_WITHIN = 0.125
#: Orders of a customer on one day beyond which the settings cannot be meant.
_MOST_ORDERS = 1000


class Notes(Protocol):
    """Who writes down what happens in the first world."""

    def begins(self, state: State, day: int, n: int) -> None:
        """Look at the first ``n`` customers before the day."""

    def visited(self, day: int, column: IntArray) -> None:
        """Take visits."""

    def before_contacts(self, state: State, day: int, column: IntArray, slot: IntArray) -> None:
        """Look at all opportunities of the day before anybody is contacted."""

    def contacted(self, contacted: Contacted) -> int:
        """Take contacts, and return the row of the first."""


class World:
    """The rules of one shop."""

    def __init__(
        self,
        draws: Draws,
        hazard: Hazard,
        segments: Sequence[ShopSegment],
        goods: ShopGoods,
        visits: ShopVisits | None,
        outreach: Outreach | None,
        later: Callable[[Orders], Later] | None,
    ) -> None:
        self._draws = draws
        self._hazard = hazard
        self._calendar = hazard.calendar
        self._stages = np.array([segment.regularity for segment in segments])
        self._goods = goods
        self._visits = visits
        self._shares = [1.0] if visits is None else list(visits.sources.values())
        self._outreach = outreach
        self._later = later

    def next_need(self, state: State, column: IntArray) -> FloatArray:
        """Return what the gap after the latest order needs of the shop's time; inf: has left."""
        key, number = state.key[column], state.number[column]
        stages = self._stages[state.segment[column]]
        need = np.zeros(len(column))
        for stage in range(int(self._stages.max())):
            more = self._draws.exponential("purchase.stage", key, number * MOST_STAGES + stage)
            need += np.where(stage < stages, more, 0.0)
        need /= state.rate[column]
        left = self._draws.uniform("purchase.leave", key, number) < state.dropout[column]
        return np.where(left, np.inf, need)

    def visit_due(self, visits: ShopVisits, key: IntArray, day: Days | int) -> Days:
        """Return the day of the next visit by habit."""
        waits = self._draws.exponential("visit.wait", key, day) * (30 / visits.habit)
        return (day + 1 + np.minimum(np.floor(waits), 1e6)).astype(np.int32)

    def run(
        self,
        state: State,
        days: range,
        agendas: Agendas,
        sold: Callable[[int, Sold, Later | None], None],
        *,
        notes: Notes | None,
        lasting: int | None = None,
    ) -> None:
        """Let ``days`` pass, and hand each day's orders and their consequences to ``sold``.

        With ``notes`` this is the first world, where customers come in with their first order.
        Without, it is a second one: customers come in on the day they were born, behind its visits
        and before its contacts, and stay for ``lasting`` days.
        """
        for day in days:
            before, hi = np.searchsorted(state.born, [day, day + 1]).tolist()
            lo = 0 if lasting is None else int(np.searchsorted(state.born, day - lasting))
            if notes is not None:
                notes.begins(state, day, before)
            old = before if notes is None else hi
            if old > lo:
                self._hazard.advance(state, lo, old, day)
                orders = self._orders(state, lo, old, day, before)
                if orders is not None:
                    later = None if self._later is None else self._later(orders.orders)
                    if later is not None:
                        self._schedule(orders.column, later, agendas)
                    sold(day, orders, later)
                self._come_due(state, day, agendas)
                if self._visits is not None:
                    self._visit(state, lo, old, day, self._visits, notes)
            if self._outreach is not None and hi > lo:
                self._outreach.contact(
                    state,
                    lo,
                    hi,
                    day,
                    agendas.rested,
                    None if notes is None else notes.contacted,
                    None if notes is None else notes.before_contacts,
                )

    def _orders(self, state: State, lo: int, hi: int, day: int, before: int) -> Sold | None:
        """Return the day's orders; columns from ``before`` on come in with their first today."""
        depth_today = float(self._calendar.depth[day])
        new = np.arange(before, hi)
        columns, times = [new], [state.last[new]]
        numbers, firsts = [state.number[new]], [np.ones(len(new), dtype=bool)]
        depths = [np.full(len(new), depth_today)]
        coupons = [np.full(len(new), -1)]
        column = np.flatnonzero(state.run[lo:hi] >= state.need[lo:hi]) + lo
        while len(column):
            if len(columns) > _MOST_ORDERS:
                raise fail(
                    f"a customer places more than {_MOST_ORDERS} orders on one day",
                    "lower the rates (r / alpha), discount_response, or effects and their decay",
                )
            left = state.run[column] - state.need[column]
            over = np.clip(1 - left / state.speed[column], 0, LAST_MOMENT)
            firsts.append(state.last[column] < day)
            used = (state.coupon_until[column] >= day) & (state.coupon[column] > depth_today)
            depths.append(np.where(used, state.coupon[column], depth_today))
            coupons.append(np.where(used, state.coupon_from[column], -1))
            # The rest of the day runs without the coupon.
            segment = state.segment[column]
            without = self._hazard.lift(segment, depth_today)
            lift = self._hazard.lift(segment, state.coupon[column])
            slower = np.divide(without, lift, out=np.ones(len(column)), where=used)
            state.coupon_until[column[used]] = -1
            # Nor is the additional hazard of that rest owed.
            state.owed[column] -= self._hazard.moved[segment] * left * (1 - slower)
            state.speed[column] *= slower
            state.run[column] = left * slower
            state.number[column] += 1
            state.last[column] = day + self._calendar.time_of_day(over)
            state.need[column] = self.next_need(state, column)
            columns.append(column)
            times.append(state.last[column])
            numbers.append(state.number[column])
            column = column[state.run[column] >= state.need[column]]
        found = np.concatenate(columns)
        if not len(found):
            return None
        return self._sold(
            state,
            day,
            found,
            np.concatenate(times),
            np.concatenate(numbers),
            np.concatenate(firsts),
            np.concatenate(depths),
            np.concatenate(coupons),
        )

    def _sold(
        self,
        state: State,
        day: int,
        column: IntArray,
        time: FloatArray,
        number: IntArray,
        first: BoolArray,
        depth: FloatArray,
        coupon: IntArray,
    ) -> Sold:
        """Return the orders of the day with those that follow them within hours."""
        depth_today = float(self._calendar.depth[day])
        draws, key = self._draws, state.key[column]
        again = draws.uniform("order.again", key, number) < self._goods.again
        # Whoever buys on discount only does so again only while there is one for all.
        again &= self._hazard.lift(state.segment[column], depth_today) > 0
        wait = draws.uniform("order.wait", key[again], number[again])
        rest = np.minimum(_AGAIN_WITHIN, day + LAST_MOMENT - time[again])
        n_again = int(again.sum())
        event = np.concatenate([number * 2, number[again] * 2 + 1])
        column = np.concatenate([column, column[again]])
        key = state.key[column]
        source = draws.choice("order.source", self._shares, key, event)
        clicked = state.clicked_until[column] >= day
        source[clicked] = (len(self._shares) + state.clicked[column])[clicked]
        orders = Orders(
            customer=key,
            event=event,
            time=np.concatenate([time, time[again] + wait * rest]),
            number=np.concatenate([number, number[again]]).astype(np.int64),
            source=source,
            province=state.province[column],
            product=products_of(draws, self._goods, key, event),
            flash=np.full(len(column), self._calendar.flash[day]),
            first_today=np.concatenate([first, np.zeros(n_again, dtype=bool)]),
        )
        return Sold(
            column,
            orders,
            np.concatenate([depth, np.full(n_again, depth_today)]),
            np.concatenate([coupon, np.full(n_again, -1)]),
        )

    @staticmethod
    def _schedule(column: IntArray, later: Later, agendas: Agendas) -> None:
        """Put down when parcels come and losses begin."""
        comes = ~np.isnan(later.received)
        agendas.received.add(column[comes], np.floor(later.received[comes]).astype(np.int64))
        for row, agenda in enumerate(agendas.lost):
            here = later.lost_row == row
            agenda.add(
                column[later.lost_by[here]],
                np.floor(later.lost_on[here]).astype(np.int64),
                later.lost[here],
            )

    @staticmethod
    def _come_due(state: State, day: int, agendas: Agendas) -> None:
        """Let parcels arrive, losses begin and old contacts be forgotten."""
        column, _ = agendas.received.pop(day)
        state.received[column] = day
        column, _ = agendas.rested.pop(day)
        np.subtract.at(state.recent, column, 1)
        for row, agenda in enumerate(agendas.lost):
            column, amount = agenda.pop(day)
            np.subtract.at(state.boost[row - 2], column, amount)

    def _visit(
        self, state: State, lo: int, hi: int, day: int, visits: ShopVisits, notes: Notes | None
    ) -> None:
        """Let customers look around: with a purchase in mind, or by habit."""
        draws = self._draws
        near = state.need[lo:hi] - state.run[lo:hi] < visits.intent_days
        intent = np.flatnonzero(near) + lo
        chance = visits.intent * np.minimum(state.speed[intent], 1.0)
        intent = intent[draws.uniform("visit.intent", state.key[intent], day) < chance]
        state.visited[intent] = day
        habit = np.flatnonzero(state.visit_due[lo:hi] == day) + lo
        state.visit_due[habit] = self.visit_due(visits, state.key[habit], day)
        comes = draws.uniform("visit.gone", state.key[habit], day) < visits.gone
        habit = habit[(state.lives(habit) | comes) & (state.visited[habit] != day)]
        state.visited[habit] = day
        if notes is not None:
            notes.visited(day, np.concatenate([intent, habit]))
