"""Hazard: season, discounts, coupons, contacts, losses and debts, day by day."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.plain_world import blank_state
from tests.strategies import START
from touchpoint_lib.simulate._calendar import Calendar
from touchpoint_lib.simulate._hazard import Hazard
from touchpoint_lib.simulate.settings import ShopDiscounts, ShopSegment

#: Segment 0 answers to discounts, 1 does not, 2 buys on nothing else.
SEGMENTS = (
    ShopSegment(name="keen", share=0.4, discount_response=2.0),
    ShopSegment(name="cool", share=0.3, discount_response=0.0),
    ShopSegment(name="picky", share=0.3, discount_response=3.0, discount_only=True),
)
MOVED, REPAY = 0.6, 8.0
DISCOUNTS = ShopDiscounts(promotions=(), moved=MOVED, repay_days=REPAY)


def _hazard(
    depth: list[float],
    season: Any = 1.0,
    discounts: ShopDiscounts | None = DISCOUNTS,
    decay: Any = (0.5, 0.5),
) -> Hazard:
    days = len(depth)
    calendar = Calendar(
        start=START,
        season=np.broadcast_to(season, (2, days)),
        depth=np.array(depth),
        flash=np.zeros(days, dtype=np.bool_),
        clock=np.linspace(0, 1, 25),
    )
    return Hazard(calendar, SEGMENTS, discounts, np.array(decay))


def test_lift_is_the_exponential_of_response_times_depth() -> None:
    hazard, segments = _hazard([0.0]), np.array([0, 1, 2], dtype=np.int8)
    np.testing.assert_allclose(
        hazard.lift(segments, 0.2), [math.exp(0.4), 1.0, math.exp(0.6)], rtol=1e-15
    )
    assert hazard.lift(segments, 0.0).tolist() == [1.0, 1.0, 0.0]
    np.testing.assert_allclose(
        hazard.lift(segments, np.array([0.0, 0.5, 0.1])), [1.0, 1.0, math.exp(0.3)], rtol=1e-15
    )


def test_public_is_season_times_lift_by_province_segment_and_day() -> None:
    season = np.array([[1.0, 2.0, 0.5], [0.25, 1.0, 4.0]])
    public = _hazard([0.0, 0.1, 0.3], season).public()
    assert public.shape == (2, 3, 3)
    lift = np.array(
        [
            [1.0, math.exp(0.2), math.exp(0.6)],
            [1.0, 1.0, 1.0],
            [0.0, math.exp(0.3), math.exp(0.9)],
        ]
    )
    for province in range(2):
        np.testing.assert_allclose(public[province], season[province] * lift, rtol=1e-15)


def test_the_day_of_arrival_as_a_whole() -> None:
    hazard = _hazard([0.0, 0.25], np.array([[1.0, 3.0], [2.0, 0.5]]))
    segment = np.array([0, 0, 1, 2, 2, 0], dtype=np.int8)
    province = np.array([0, 1, 1, 0, 0, 0], dtype=np.int8)
    day = np.array([1, 1, 1, 1, 0, 0], dtype=np.int32)
    speed, debt = hazard.first_day(segment, province, day)
    keen, picky = math.exp(0.5), math.exp(0.75)
    np.testing.assert_allclose(speed, [3 * keen, 0.5 * keen, 0.5, 3 * picky, 0.0, 1.0], rtol=1e-15)
    np.testing.assert_allclose(
        debt, [MOVED * 3 * (keen - 1), MOVED * 0.5 * (keen - 1), 0, 0, 0, 0], rtol=1e-12
    )


def test_season_of_the_province_is_the_speed_where_nothing_else_is() -> None:
    season = np.array([[1.5, 0.5], [2.0, 0.25]])
    hazard = _hazard([0.0, 0.0], season)
    state = blank_state(4, segment=[0, 1, 2, 0], province=[0, 1, 0, 1], run=[1.0, 2, 3, 4])
    hazard.advance(state, 0, 4, 0)
    assert state.speed.tolist() == [1.5, 2.0, 0.0, 2.0]
    hazard.advance(state, 0, 4, 1)
    assert state.speed.tolist() == [0.5, 0.25, 0.0, 0.25]
    assert state.run.tolist() == [3.0, 4.25, 3.0, 6.25]


def test_contacts_and_losses_add_up_in_the_log_and_fade_by_row() -> None:
    decay = [math.exp(-1 / 5), math.exp(-1 / 20), math.exp(-1 / 100), 1.0]
    hazard = _hazard([0.0] * 4, decay=decay)
    state = blank_state(2, channels=2, boost=[[0.4, 0.0], [0.3, 0.1], [-0.5, 0.0], [0.0, -0.2]])
    for day in range(4):
        hazard.advance(state, 0, 2, day)
        first = 0.4 * math.exp(-day / 5) + 0.3 * math.exp(-day / 20) - 0.5 * math.exp(-day / 100)
        other = 0.1 * math.exp(-day / 20) - 0.2
        np.testing.assert_allclose(np.log(state.speed), [first, other], rtol=1e-12)
    np.testing.assert_allclose(state.boost[0], [0.4 * math.exp(-4 / 5), 0.0], rtol=1e-12)


def test_the_deeper_of_coupon_and_calendar_counts() -> None:
    hazard = _hazard([0.2])
    state = blank_state(
        5, segment=[0, 0, 0, 2, 1], coupon=[0.3, 0.1, 0.3, 0.4, 0.5], coupon_until=[0, 0, -1, 5, 5]
    )
    hazard.advance(state, 0, 5, 0)
    lift = np.exp([0.6, 0.4, 0.4, 1.2, 0.0])
    np.testing.assert_allclose(state.speed, lift, rtol=1e-15)
    np.testing.assert_allclose(
        state.owed, MOVED * (lift - 1) * np.array([1, 1, 1, 0, 1]), rtol=1e-12, atol=1e-15
    )


def test_a_coupon_is_a_discount_of_ones_own() -> None:
    """It lifts, it makes debts, and its holder pays none back; its last day counts."""
    hazard = _hazard([0.0] * 8)
    state = blank_state(
        5,
        segment=[0, 0, 2, 2, 0],
        coupon=[0.25, 0.25, 0.25, 0.25, 0.0],
        coupon_until=[7, 6, 7, 6, -1],
        owed=[2.0, 2.0, 0.0, 0.0, 2.0],
    )
    hazard.advance(state, 0, 5, 7)
    keen, picky = math.exp(0.5), math.exp(0.75)
    back = 2 / REPAY
    np.testing.assert_allclose(state.speed, [keen, 1 - back, picky, 0.0, 1 - back], rtol=1e-15)
    np.testing.assert_allclose(
        state.owed, [2 + MOVED * (keen - 1), 2 - back, 0, 0, 2 - back], rtol=1e-15
    )


def test_paying_back_never_takes_more_than_nine_tenths_of_a_day() -> None:
    hazard = _hazard([0.0], season=0.5)
    state = blank_state(3, owed=[3.5, 3.6, 100.0])
    hazard.advance(state, 0, 3, 0)
    np.testing.assert_allclose(state.speed, [0.5 - 3.5 / 8, 0.05, 0.05], rtol=1e-12)
    np.testing.assert_allclose(state.owed, [3.5 * 7 / 8, 3.15, 99.55], rtol=1e-12)


def test_without_discounts_nothing_is_owed() -> None:
    hazard = _hazard([0.0], discounts=None)
    state = blank_state(2, segment=[0, 2], coupon=0.25, coupon_until=5)
    hazard.advance(state, 0, 2, 0)
    np.testing.assert_allclose(state.speed, np.exp([0.5, 0.75]), rtol=1e-15)
    assert state.owed.tolist() == [0.0, 0.0]


def test_nothing_passes_for_other_columns() -> None:
    hazard = _hazard([0.2])
    given: dict[str, Any] = {
        "boost": 0.5,
        "owed": 1.0,
        "coupon": 0.3,
        "coupon_until": 4,
        "run": 2.0,
    }
    state = blank_state(5, **given)
    hazard.advance(state, 1, 3, 0)
    untouched = blank_state(5, **given)
    for name in ("boost", "owed", "run", "speed"):
        made, before = getattr(state, name), getattr(untouched, name)
        np.testing.assert_array_equal(made[..., [0, 3, 4]], before[..., [0, 3, 4]])
        assert (made[..., 1:3] != before[..., 1:3]).all()


@settings(max_examples=40, deadline=None)
@given(
    depth=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.3, 0.8]), min_size=1, max_size=40),
    season=st.floats(0.05, 3.0),
    moved=st.sampled_from([0.0, 0.3, 1.0]),
    repay_days=st.sampled_from([1.0, 1.5, 15.0]),
    coupon=st.sampled_from([0.0, 0.2, 0.5]),
    until=st.integers(-1, 20),
)
def test_debts_are_what_was_moved_less_what_was_paid_back(
    depth: list[float],
    season: float,
    moved: float,
    repay_days: float,
    coupon: float,
    until: int,
) -> None:
    """The time that has run is that of an undiscounted shop + (1 - moved) of the extra + debts."""
    discounts = ShopDiscounts(promotions=(), moved=moved, repay_days=repay_days)
    hazard = _hazard(depth, season, discounts)
    last_day = until if coupon else -1
    state = blank_state(3, segment=[0, 1, 2], coupon=coupon, coupon_until=last_day)
    extra = np.zeros(3)
    for day, today in enumerate(depth):
        deepest = max(today, coupon if day <= last_day else 0.0)
        extra += season * (np.exp(np.array([2.0, 0.0, 3.0]) * deepest) - 1)
        owed = state.owed.copy()
        hazard.advance(state, 0, 3, day)
        assert (state.owed >= 0).all()
        if deepest == 0:
            back = np.minimum(owed / repay_days, 0.9 * season)
            np.testing.assert_allclose(owed - state.owed, [back[0], 0, 0], atol=1e-12)
            assert (state.speed[:2] >= 0.1 * season * (1 - 1e-12)).all()
            assert state.speed[2] == 0
    plain = season * len(depth)
    np.testing.assert_allclose(
        state.run[:2], (plain + (1 - moved) * extra + state.owed)[:2], rtol=1e-12
    )
    bought_on = sum(day <= last_day or today > 0 for day, today in enumerate(depth))
    assert state.owed[2] == 0
    assert state.run[2] == pytest.approx(extra[2] + season * bought_on, rel=1e-12)
