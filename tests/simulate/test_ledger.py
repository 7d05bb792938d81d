"""Ledger: what awaits the customers of a second world, and whom it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.plain_world import blank_state
from touchpoint_lib.simulate import _ledger
from touchpoint_lib.simulate._agenda import Agenda
from touchpoint_lib.simulate._ledger import Event, Ledger
from touchpoint_lib.simulate._orders import Later, Orders, Sold
from touchpoint_lib.simulate._outreach import Contacted

Rows = list[tuple[int, int, int, float]]


def _event(rows: Rows) -> Event:
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    column, fixed, due = (table[:, at].astype(np.int64) for at in range(3))
    return Event(column, fixed, due, table[:, 3])


def _all_of(agenda: Agenda, days: int = 60) -> list[tuple[int, int, float]]:
    """Return (day, column, amount) of everything down, in order."""
    found = []
    for day in range(days):
        column, amount = agenda.pop(day)
        found += [(day, *pair) for pair in zip(column.tolist(), amount.tolist(), strict=True)]
    return sorted(found)


def _passed_on(rows: Rows, column: list[int], born: list[int]) -> list[tuple[int, int, float]]:
    agenda = Agenda()
    event = Event.joined([_event(rows)])
    event.pass_on(np.array(column, dtype=np.int64), np.array(born, dtype=np.int64), agenda)
    return _all_of(agenda)


def test_joined_events_are_sorted_by_customer_and_keep_their_order() -> None:
    joined = Event.joined(
        [_event([(2, 0, 9, 1.0), (1, 3, 5, 2.0)]), _event([]), _event([(2, 4, 8, 3.0)])]
    )
    assert joined.column.tolist() == [1, 2, 2]
    assert joined.fixed.tolist() == [3, 0, 4]
    assert joined.due.tolist() == [5, 9, 8]
    assert joined.amount.tolist() == [2.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("fixed", "due", "born", "awaits"),
    [
        (3, 9, 5, True),
        (5, 9, 5, True),  # an order of the day itself comes before its contacts
        (6, 9, 5, False),  # not fixed yet: the second world fixes it itself, or does not
        (3, 5, 5, False),  # came due before the day's contacts: the copy has it
        (3, 6, 5, True),
        (5, 5, 5, False),
    ],
)
def test_what_is_fixed_before_and_due_after_awaits_the_copy(
    fixed: int, due: int, born: int, awaits: bool
) -> None:
    expected = [(due, 0, 0.5)] if awaits else []
    assert _passed_on([(7, fixed, due, 0.5)], [7], [born]) == expected


def test_nothing_awaits_where_there_is_nothing() -> None:
    assert _passed_on([], [1, 2], [3, 3]) == []
    assert _passed_on([(1, 0, 9, 1.0)], [2, 0], [3, 3]) == []
    assert _passed_on([(1, 0, 9, 1.0)], [], []) == []


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 5), st.integers(0, 20), st.integers(0, 40), st.sampled_from([0.5, 1.0])
        ),
        max_size=25,
    ),
    copies=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), min_size=1, max_size=12),
    pairs=st.sampled_from([1, 2, 3, 7, 2_000_000]),
)
def test_pass_on_is_every_pair_looked_at_however_few_fit_at_a_time(
    rows: Rows, copies: list[tuple[int, int]], pairs: int
) -> None:
    expected = sorted(
        (due, copy, amount)
        for copy, (of, born) in enumerate(copies)
        for column, fixed, due, amount in rows
        if column == of and fixed <= born < due
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ledger, "_PAIRS", pairs)
        made = _passed_on(rows, [of for of, _ in copies], [born for _, born in copies])
    assert made == expected


def _sold(columns: list[int]) -> Sold:
    n = len(columns)
    zeros, codes = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int8)
    no = np.zeros(n, dtype=np.bool_)
    column = np.array(columns, dtype=np.int64)
    orders = Orders(column, zeros, np.zeros(n), zeros, codes, codes, codes, no, no)
    return Sold(column, orders, np.zeros(n), zeros - 1)


def _later(received: list[float], lost: list[tuple[int, float, float, int]] | None = None) -> Later:
    """Return a Later; ``lost`` holds position, time, amount and row of each loss."""
    table = np.array(lost or [], dtype=np.float64).reshape(-1, 4)
    return Later(
        np.array(received),
        table[:, 0].astype(np.int64),
        table[:, 1],
        table[:, 2],
        table[:, 3].astype(np.int64),
    )


def _contacted(columns: list[int], day: int, held_out: list[bool], tires: bool) -> Contacted:
    n = len(columns)
    no = np.zeros(n, dtype=np.bool_)
    return Contacted(
        column=np.array(columns, dtype=np.int64),
        day=day,
        channel=0,
        campaign=-1,
        held_out=np.array(held_out, dtype=np.bool_),
        coupon=np.zeros(n),
        coupon_days=14,
        opened=no,
        clicked=no,
        unsubscribed=no,
        recent=np.zeros(n, dtype=np.int32),
        effect=np.zeros(n),
        alive=~no,
        tires=tires,
    )


def test_without_outcomes_there_is_no_second_world() -> None:
    ledger = Ledger(100, None, frozenset())
    ledger.take_orders(3, _sold([0]), _later([9.5]))
    ledger.before_contacts(blank_state(3, 1), 5, np.array([1]), np.array([0]))
    assert ledger.contacted(_contacted([1], 5, [False], True)) == 0
    assert ledger.second_world() is None
    assert len(ledger.sold) == 1
    assert len(ledger.contacts) == 1


def test_nobody_is_copied_whose_outcome_lies_behind_the_end() -> None:
    """The outcome days of the last copy end with the last day: 69 + 30 = 99."""
    ledger = Ledger(100, 30, frozenset())
    state = blank_state(3, 1)
    ledger.before_contacts(state, 70, np.array([2]), np.array([0]))
    ledger.contacted(_contacted([2], 70, [False], True))
    assert ledger.second_world() is None
    ledger.before_contacts(state, 69, np.array([1]), np.array([0]))
    ledger.contacted(_contacted([1], 69, [False], True))
    world = ledger.second_world()
    assert world is not None
    assert world[0].key.tolist() == [1]


def test_copies_are_born_on_the_day_with_their_slot_and_their_contacts_row() -> None:
    ledger = Ledger(100, 10, frozenset())
    state = blank_state(4, 2, run=np.arange(4.0))
    ledger.before_contacts(state, 5, np.array([3, 1, 1]), np.array([0, 0, 1]))
    state.run += 100.0  # what happens later does not happen to the copies
    assert ledger.contacted(_contacted([3, 1], 5, [False, True], True)) == 0
    assert ledger.contacted(_contacted([1], 5, [False], False)) == 2
    ledger.before_contacts(state, 8, np.array([0]), np.array([2]))
    assert ledger.contacted(_contacted([0], 8, [False], True)) == 3
    world = ledger.second_world()
    assert world is not None
    copies, rows, _ = world
    assert rows.tolist() == [0, 1, 2, 3]
    assert copies.key.tolist() == [3, 1, 1, 0]
    assert copies.born.tolist() == [5, 5, 5, 8]
    assert copies.other.tolist() == [0, 0, 1, 2]
    assert copies.run.tolist() == [3.0, 1.0, 1.0, 100.0]
    assert state.born.tolist() == [0] * 4
    assert state.other.tolist() == [-1] * 4


def test_what_awaits_the_copies() -> None:
    """Parcels on the way, losses to come, contacts that will be 30 days old."""
    ledger = Ledger(200, 10, frozenset())
    state = blank_state(3, 1)
    # Customer 0 orders on day 2 and customer 1 twice on day 4; one order is never delivered.
    ledger.take_orders(2, _sold([0]), _later([7.9], [(0, 7.9, 0.5, 0), (0, 12.0, 0.3, 1)]))
    ledger.take_orders(4, _sold([1, 1]), _later([np.nan, 4.2], [(1, 6.0, 0.4, 0)]))
    # Contacts on day 3 with 0 (held out) and 1, on day 4 with 1 by a channel that does not tire.
    ledger.contacted(_contacted([0, 1], 3, [True, False], True))
    ledger.contacted(_contacted([1], 4, [False], False))
    ledger.before_contacts(state, 5, np.array([0, 1, 2]), np.zeros(3, dtype=np.int64))
    ledger.contacted(_contacted([0, 1, 2], 5, [False] * 3, True))
    ledger.before_contacts(state, 7, np.array([1, 0]), np.zeros(2, dtype=np.int64))
    ledger.contacted(_contacted([1, 0], 7, [False] * 2, True))
    world = ledger.second_world()
    assert world is not None
    _, rows, agendas = world
    assert rows.tolist() == [3, 4, 5, 6, 7]
    # Copies 0, 1, 2 are of day 5, copies 3 and 4 customers 1 and 0 on day 7.
    assert _all_of(agendas.received) == [(7, 0, 1.0)]
    assert _all_of(agendas.lost[0]) == [(6, 1, 0.4), (7, 0, 0.5)]
    assert _all_of(agendas.lost[1]) == [(12, 0, 0.3), (12, 4, 0.3)]
    # The contacts of the copies' own day are made again in the second world.
    assert _all_of(agendas.rested) == [
        (33, 1, 1.0),
        (33, 3, 1.0),
        (35, 3, 1.0),
        (35, 4, 1.0),
    ]


def test_looks_are_copies_of_those_who_are_there() -> None:
    ledger = Ledger(100, None, frozenset({4, 6}))
    state = blank_state(5, 0, run=np.arange(5.0))
    for day, n in ((3, 2), (4, 3), (5, 3), (6, 5)):
        ledger.begins(state, day, n)
        state.run += 1.0
    assert {day: seen.run.tolist() for day, seen in ledger.seen.items()} == {
        4: [1.0, 2.0, 3.0],
        6: [3.0, 4.0, 5.0, 6.0, 7.0],
    }


def test_visits_are_noted() -> None:
    ledger = Ledger(10, None, frozenset())
    ledger.visited(2, np.array([1, 4]))
    assert [(day, who.tolist()) for day, who in ledger.visits] == [(2, [1, 4])]
