"""The customers' state can be copied in part and put together."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from touchpoint_lib.simulate._state import NEVER, State

CHANNELS = 2


def _state(n: int) -> State:
    """Return a state whose every field counts on from the one before."""
    wide = {"boost": CHANNELS + 1, "subscribed": CHANNELS, "due": CHANNELS}
    arrays = {}
    for at, item in enumerate(fields(State)):
        shape = (wide[item.name], n) if item.name in wide else (n,)
        arrays[item.name] = np.arange(np.prod(shape)).reshape(shape) + 10.0 * at
    return State(**arrays)  # type: ignore[arg-type]


def test_length_is_the_number_of_customers() -> None:
    assert len(_state(5)) == 5


def test_whoever_needs_no_infinite_time_is_alive() -> None:
    state = _state(3)
    state.need = np.array([0.0, np.inf, 1e300])
    assert state.lives(slice(None)).tolist() == [True, False, True]
    assert state.lives(np.array([1, 2])).tolist() == [False, True]


@pytest.mark.parametrize("columns", [[2, 0], np.array([True, False, True, False]), []])
def test_take_copies_the_columns_of_every_field(columns: object) -> None:
    state = _state(4)
    where = np.asarray(columns, dtype=None if len(columns) else int)  # type: ignore[arg-type]
    taken = state.take(where)
    for item in fields(State):
        before = getattr(state, item.name).copy()
        np.testing.assert_array_equal(getattr(taken, item.name), before[..., where])
        getattr(taken, item.name)[...] = -1
        np.testing.assert_array_equal(getattr(state, item.name), before)


def test_joined_is_the_opposite_of_take() -> None:
    state = _state(5)
    joined = State.joined([state.take(np.arange(2)), state.take([]), state.take(np.arange(2, 5))])
    for item in fields(State):
        np.testing.assert_array_equal(getattr(joined, item.name), getattr(state, item.name))


def test_never_is_behind_every_day() -> None:
    assert NEVER.dtype == np.int32
    assert NEVER > 36_525 + 10**6
