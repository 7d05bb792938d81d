"""Orders of several days become one."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from touchpoint_lib.simulate._orders import Orders, Sold


def _orders(customer: list[int], start: int) -> Orders:
    """Return orders whose every field differs from that of others."""
    n = len(customer)
    at = np.arange(start, start + n)
    return Orders(
        customer=np.array(customer, dtype=np.int64),
        event=at * 2,
        time=at + 0.25,
        number=at + 1,
        source=(at % 5).astype(np.int8),
        province=(at % 4).astype(np.int8),
        product=(at % 3).astype(np.int8),
        flash=at % 2 == 0,
        first_today=at % 2 == 1,
    )


def _sold(customer: list[int], start: int) -> Sold:
    at = np.arange(start, start + len(customer))
    return Sold(np.array(customer, dtype=np.int64) + 100, _orders(customer, start), at / 10, at - 3)


def test_length_is_the_number_of_orders() -> None:
    assert len(_orders([3, 1, 3], 0)) == 3
    assert len(_orders([], 0)) == 0


def test_joined_keeps_every_field_in_order() -> None:
    parts = [_sold([3, 1], 0), _sold([], 2), _sold([2, 3, 3], 2)]
    joined, whole = Sold.joined(parts), _sold([3, 1, 2, 3, 3], 0)
    for item in fields(Orders):
        got, expected = getattr(joined.orders, item.name), getattr(whole.orders, item.name)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
    for name in ("column", "depth", "coupon_from"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_joining_one_part_leaves_it_alone() -> None:
    part = _sold([5, 6], 0)
    joined = Sold.joined([part])
    joined.depth[:] = 1.0
    np.testing.assert_array_equal(part.depth, [0.0, 0.1])
    assert len(joined.orders) == len(part.orders) == 2
