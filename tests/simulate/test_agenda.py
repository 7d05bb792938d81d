"""Agenda: what is put down for a day comes out on that day, once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchpoint_lib.simulate._agenda import Agenda, Agendas

NOTHING = np.zeros(0, dtype=np.int64)


def _taken(agenda: Agenda, day: int) -> list[tuple[int, float]]:
    column, amount = agenda.pop(day)
    return list(zip(column.tolist(), amount.tolist(), strict=True))


def test_a_day_without_anything_is_empty() -> None:
    agenda = Agenda()
    assert _taken(agenda, 3) == []
    agenda.add(NOTHING, NOTHING)
    agenda.add(NOTHING, NOTHING, np.zeros(0))
    assert _taken(agenda, 3) == []


def test_amounts_are_1_unless_given() -> None:
    agenda = Agenda()
    agenda.add(np.array([7, 8]), np.array([5, 5]))
    agenda.add(np.array([9]), np.array([5]), np.array([0.25]))
    assert _taken(agenda, 5) == [(7, 1.0), (8, 1.0), (9, 0.25)]


def test_what_has_been_taken_does_not_come_again() -> None:
    agenda = Agenda()
    agenda.add(np.array([1]), np.array([0]))
    assert _taken(agenda, 0) == [(1, 1.0)]
    assert _taken(agenda, 0) == []
    agenda.add(np.array([2]), np.array([0]))
    assert _taken(agenda, 0) == [(2, 1.0)]


def test_a_customer_may_be_down_twice_for_a_day() -> None:
    agenda = Agenda()
    agenda.add(np.array([4, 4, 4]), np.array([2, 1, 2]), np.array([0.5, 2.0, 0.75]))
    assert _taken(agenda, 2) == [(4, 0.5), (4, 0.75)]
    assert _taken(agenda, 1) == [(4, 2.0)]


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6), st.integers(0, 99)), max_size=8),
        max_size=6,
    )
)
def test_every_day_gives_what_was_put_down_for_it_in_that_order(
    batches: list[list[tuple[int, int, int]]],
) -> None:
    agenda = Agenda()
    for batch in batches:
        table = np.array(batch, dtype=np.int64).reshape(-1, 3)
        agenda.add(table[:, 0], table[:, 1], table[:, 2].astype(np.float64))
    for day in range(8):
        expected = [(who, float(much)) for batch in batches for who, on, much in batch if on == day]
        assert _taken(agenda, day) == expected


def test_agendas_are_not_shared() -> None:
    one, other = Agendas(), Agendas()
    every = [one.received, one.rested, *one.lost, other.received, other.rested, *other.lost]
    assert len({id(agenda) for agenda in every}) == 8
    one.lost[0].add(np.array([1]), np.array([1]))
    assert [len(agenda.pop(1)[0]) for agenda in every] == [0, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("days", [[0], [0, 0], [3, 0, 3]])
def test_the_first_day_is_a_day_like_any_other(days: list[int]) -> None:
    agenda = Agenda()
    agenda.add(np.arange(len(days)), np.array(days))
    assert [who for who, _ in _taken(agenda, 0)] == [at for at, day in enumerate(days) if day == 0]
