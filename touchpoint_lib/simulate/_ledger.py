"""What is written down while the first world runs, one block of customers at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.simulate._agenda import Agenda, Agendas
from touchpoint_lib.simulate._orders import Later, Sold
from touchpoint_lib.simulate._outreach import TIRING, Contacted
from touchpoint_lib.simulate._state import Days, State

#: Pairs of a customer of the second world and an event of the first that are formed at a time.
_PAIRS = 2_000_000


@dataclass(frozen=True)
class Event:
    """Events of customers, by column: fixed on one day, due on a later one."""

    column: IntArray
    fixed: IntArray
    due: IntArray
    amount: FloatArray

    @classmethod
    def joined(cls, parts: list[Event]) -> Event:
        """Return all events, sorted by column."""
        column = np.concatenate([part.column for part in parts])
        order = np.argsort(column, kind="stable")
        return cls(
            column[order],
            np.concatenate([part.fixed for part in parts])[order],
            np.concatenate([part.due for part in parts])[order],
            np.concatenate([part.amount for part in parts])[order],
        )

    def pass_on(self, column: IntArray, born: IntArray, agenda: Agenda) -> None:
        """Put down for customers of a second world what awaited them when they were born.

        They were the columns ``column`` of the first world, and become 0, 1, ... of the second.
        """
        first, last = (np.searchsorted(self.column, column, side) for side in ("left", "right"))
        many = (last - first).astype(np.int64)
        bounds = np.searchsorted(
            np.cumsum(many), np.arange(0, max(int(many.sum()), 1), _PAIRS), "left"
        )
        for start, stop in zip(bounds, [*bounds[1:].tolist(), len(many)], strict=True):
            here = many[start:stop]
            owner = np.repeat(np.arange(start, stop), here)
            offset = np.arange(len(owner)) - np.repeat(np.cumsum(here) - here, here)
            at = first[owner] + offset
            pending = (self.fixed[at] <= born[owner]) & (self.due[at] > born[owner])
            agenda.add(owner[pending], self.due[at[pending]], self.amount[at[pending]])


class Ledger:
    """The notes of the first world.

    With ``outcome_days`` the customers of every opportunity are copied as they were before it, for
    a second world in which it was decided the other way; ``looks`` are the days before which
    everybody is copied.
    """

    def __init__(self, days: int, outcome_days: int | None, looks: frozenset[int]) -> None:
        self._last_copy = -1 if outcome_days is None else days - 1 - outcome_days
        self._looks = looks
        self._rows = 0
        self.sold: list[Sold] = []
        self.visits: list[tuple[int, Days]] = []
        self.contacts: list[Contacted] = []
        self.copies: list[State] = []
        self.copied: list[tuple[IntArray, IntArray]] = []
        self.seen: dict[int, State] = {}
        self._events: tuple[list[Event], list[Event], list[Event]] = ([], [], [])

    def take_orders(self, day: int, sold: Sold, later: Later | None) -> None:
        """Take a day's orders, and what they do later."""
        self.sold.append(sold)
        if later is None or day > self._last_copy:
            return
        ones = np.ones(len(sold.column))
        comes = ~np.isnan(later.received)
        due = np.floor(later.received[comes]).astype(np.int64)
        events, late, silent = self._events
        events.append(Event(sold.column[comes], np.full(len(due), day), due, ones[comes]))
        for row, parts in enumerate((late, silent)):
            here = later.lost_row == row
            due = np.floor(later.lost_on[here]).astype(np.int64)
            column = sold.column[later.lost_by[here]]
            parts.append(Event(column, np.full(len(due), day), due, later.lost[here]))

    def begins(self, state: State, day: int, n: int) -> None:
        """Copy everybody who is there before the day, if it is one to look at."""
        if day in self._looks:
            self.seen[day] = state.take(np.arange(n))

    def visited(self, day: int, column: IntArray) -> None:
        """Take visits."""
        self.visits.append((day, column.astype(np.int32)))

    def before_contacts(self, state: State, day: int, column: IntArray, slot: IntArray) -> None:
        """Copy the customers of the day's opportunities, each with its decision turned round."""
        if day > self._last_copy:
            return
        copy = state.take(column)
        copy.born[:] = day
        copy.other[:] = slot
        self.copies.append(copy)
        self.copied.append((column, self._rows + np.arange(len(column))))

    def contacted(self, contacted: Contacted) -> int:
        """Take contacts, and return the row of the first."""
        first = self._rows
        self.contacts.append(contacted)
        self._rows += len(contacted.column)
        return first

    def second_world(self) -> tuple[State, IntArray, Agendas] | None:
        """Return the copied customers, the rows of their contacts, and what awaits them."""
        if not self.copies:
            return None
        state = State.joined(self.copies)
        column = np.concatenate([part[0] for part in self.copied])
        rows = np.concatenate([part[1] for part in self.copied])
        agendas = Agendas()
        rested = []
        for part in self.contacts:
            if part.tires and part.day <= self._last_copy:
                who = part.column[~part.held_out].astype(np.int64)
                n = len(who)
                rested.append(
                    Event(who, np.full(n, part.day + 1), np.full(n, part.day + TIRING), np.ones(n))
                )
        goals = (agendas.received, *agendas.lost, agendas.rested)
        for parts, agenda in zip((*self._events, rested), goals, strict=True):
            if parts:
                Event.joined(parts).pass_on(column, state.born.astype(np.int64), agenda)
        return state, rows, agendas
