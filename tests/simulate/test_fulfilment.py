"""Fulfilment: payment, parcel and review of the same orders, and what they take from the next."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.strategies import START
from touchpoint_lib import InputError
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._fulfilment import Fulfilment
from touchpoint_lib.simulate._orders import Later, Orders
from touchpoint_lib.simulate.parcels import ShopDelay, ShopParcels, delay_factors, ship
from touchpoint_lib.simulate.payments import ShopPayments, pay
from touchpoint_lib.simulate.reviews import ShopReviews, review
from touchpoint_lib.simulate.settings import ShopArrivals, ShopGoods

N = 4000
SOURCES = ("app", "search", "sms")
PROVINCES, PRODUCTS = ShopArrivals().provinces, ShopGoods().products
PAYMENTS = ShopPayments(never=0.2, by_source={"sms": 3.0})
PARCELS = ShopParcels(promise=0.6)
REVIEWS = ShopReviews(share=0.6, share_late=0.9, reply_negative=0.4)


def _orders(n: int = N) -> Orders:
    number = np.arange(n)
    return Orders(
        customer=number // 4,
        event=number % 4,
        time=(number * 37 % 36_000) / 100,
        number=number % 4 + 1,
        source=(number % 3).astype(np.int8),
        province=(number // 7 % len(PROVINCES)).astype(np.int8),
        product=(number // 5 % len(PRODUCTS)).astype(np.int8),
        flash=number % 11 == 0,
        first_today=number % 13 > 0,
    )


def _some(orders: Orders, rows: Any) -> Orders:
    return Orders(
        **{item.name: getattr(orders, item.name)[rows] for item in dataclasses.fields(orders)}
    )


def _fulfilment(
    payments: ShopPayments | None = PAYMENTS,
    parcels: ShopParcels | None = PARCELS,
    reviews: ShopReviews | None = REVIEWS,
) -> Fulfilment:
    return Fulfilment(
        Draws(9),
        payments,
        parcels,
        reviews,
        start=START,
        sources=SOURCES,
        provinces=PROVINCES,
        products=PRODUCTS,
    )


def _same(one: Any, two: Any) -> None:
    for item in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, item.name), getattr(two, item.name))


def test_each_process_is_given_what_the_one_before_it_made() -> None:
    orders, draws = _orders(), Draws(9)
    chain = _fulfilment().chain(orders)
    paid = pay(draws, PAYMENTS, orders, SOURCES)
    jams = delay_factors(PARCELS, PROVINCES, START)
    parcels = ship(draws, PARCELS, PROVINCES, orders, paid.paid_at, jams)
    reviews = review(draws, REVIEWS, PRODUCTS, orders, parcels.delivered_at, parcels.late)
    _same(chain.payments, paid)
    _same(chain.parcels, parcels)
    _same(chain.reviews, reviews)
    np.testing.assert_array_equal(chain.paid_at, paid.paid_at)
    np.testing.assert_array_equal(chain.received_at, parcels.delivered_at)
    # What is never paid is neither sent nor reviewed.
    unpaid = np.isnan(paid.paid_at)
    assert 0.1 < unpaid.mean() < 0.4
    assert np.isnan(chain.received_at[unpaid]).all()
    assert np.isnan(reviews.reviewed_at[unpaid]).all()


def test_without_payments_orders_are_paid_at_once() -> None:
    orders = _orders()
    chain = _fulfilment(payments=None).chain(orders)
    assert chain.payments is None
    np.testing.assert_array_equal(chain.paid_at, orders.time)
    assert chain.parcels is not None
    assert (chain.parcels.shipped_at > orders.time).all()


def test_without_parcels_goods_are_received_when_paid_and_never_late() -> None:
    orders = _orders()
    chain = _fulfilment(parcels=None).chain(orders)
    assert chain.parcels is None
    np.testing.assert_array_equal(chain.received_at, chain.paid_at)
    never_late = np.zeros(N, dtype=np.bool_)
    expected = review(Draws(9), REVIEWS, PRODUCTS, orders, chain.paid_at, never_late)
    _same(chain.reviews, expected)


def test_without_anything_an_order_is_all_there_is() -> None:
    fulfilment, orders = _fulfilment(None, None, None), _orders()
    chain = fulfilment.chain(orders)
    assert (chain.payments, chain.parcels, chain.reviews) == (None, None, None)
    np.testing.assert_array_equal(chain.received_at, orders.time)
    later = fulfilment.later(orders)
    assert np.isnan(later.received).all()
    assert len(later.lost) == 0


def test_what_orders_do_later() -> None:
    orders = _orders()
    fulfilment = _fulfilment()
    chain, later = fulfilment.chain(orders), fulfilment.later(orders)
    assert chain.parcels is not None
    assert chain.reviews is not None
    np.testing.assert_array_equal(later.received, chain.received_at)
    late, silent = (later.lost_row == row for row in range(2))
    assert (late | silent).all()
    # Of parcels: at delivery, what the parcel takes.
    np.testing.assert_array_equal(later.lost_by[late], np.flatnonzero(chain.parcels.late))
    np.testing.assert_array_equal(
        later.lost_on[late], chain.parcels.delivered_at[chain.parcels.late]
    )
    np.testing.assert_array_equal(later.lost[late], chain.parcels.loss[chain.parcels.late])
    assert set(np.round(later.lost[late], 9)) == {0.5, 0.1}
    # Of reviews: when the limit for a reply has passed.
    lost = chain.reviews.loss > 0
    np.testing.assert_array_equal(later.lost_by[silent], np.flatnonzero(lost))
    np.testing.assert_allclose(
        later.lost_on[silent],
        chain.reviews.reviewed_at[lost] + REVIEWS.reply_limit_hours / 24,
        rtol=1e-12,
    )
    assert (later.lost[silent] == REVIEWS.loss).all()
    assert min(late.sum(), silent.sum()) > 50


@pytest.mark.parametrize(
    ("parcels", "reviews", "rows", "leaflets"),
    [
        (PARCELS, None, {0}, True),
        (None, REVIEWS, {1}, False),
        (ShopParcels(late_loss=0.0), ShopReviews(loss=0.0), set(), True),
        (ShopParcels(care=1.0, care_effect=1.0), None, set(), True),
    ],
)
def test_what_is_switched_off_takes_nothing(
    parcels: ShopParcels | None, reviews: ShopReviews | None, rows: set[int], leaflets: bool
) -> None:
    later = _fulfilment(PAYMENTS, parcels, reviews).later(_orders())
    assert set(later.lost_row.tolist()) == rows
    # Leaflets come in parcels.
    assert (~np.isnan(later.received)).any() == leaflets


def _losses(later: Later) -> list[tuple[int, float, float, int]]:
    return sorted(
        zip(
            later.lost_by.tolist(),
            later.lost_on.tolist(),
            later.lost.tolist(),
            later.lost_row.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("size", [1, 7, 900])
def test_orders_do_the_same_in_any_split(size: int) -> None:
    orders, fulfilment = _orders(900), _fulfilment()
    whole = fulfilment.later(orders)
    received, losses = [], []
    for first in range(0, len(orders), size):
        part = fulfilment.later(_some(orders, slice(first, first + size)))
        received.append(part.received)
        losses += [(first + by, *rest) for by, *rest in _losses(part)]
    np.testing.assert_array_equal(np.concatenate(received), whole.received)
    assert sorted(losses) == _losses(whole)
    assert len(losses) > 50


def test_no_orders_do_nothing() -> None:
    later = _fulfilment().later(_some(_orders(10), slice(0, 0)))
    assert [len(getattr(later, item.name)) for item in dataclasses.fields(later)] == [0] * 5


def test_settings_that_do_not_fit_the_shop_are_refused() -> None:
    with pytest.raises(InputError, match=r"^a source named in by_source of payments is 'fax'; "):
        _fulfilment(payments=ShopPayments(by_source={"fax": 2.0}))
    flood = ShopDelay(name="flood", month=6, day=1, days=3, factor=2.0, provinces=("Atlantis",))
    with pytest.raises(InputError, match=r"^delay 'flood' names province 'Atlantis'; the shop has"):
        _fulfilment(parcels=ShopParcels(delays=(flood,)))
