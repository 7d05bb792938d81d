"""What an order is worth: list value, discount, cost, gift, return."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Orders
from touchpoint_lib.simulate._spend import Sale, products_of, sell, send_back
from touchpoint_lib.simulate.settings import ShopArrivals, ShopGoods, ShopProduct

N = 200_000
#: Tail of four standard errors, both sides.
ALPHA = 6.3e-5
GOODS = ShopGoods()
SEGMENTS = ShopArrivals().segments
DRAWS = Draws(21)


def _orders(n: int, goods: ShopGoods = GOODS) -> Orders:
    """Return ``n`` orders, ten a customer."""
    customer, event = np.divmod(np.arange(n), 10)
    return Orders(
        customer=customer,
        event=event,
        time=np.arange(n) * 0.01,
        number=np.ones(n, dtype=np.int64),
        source=np.zeros(n, dtype=np.int8),
        province=np.zeros(n, dtype=np.int8),
        product=products_of(DRAWS, goods, customer, event),
        flash=np.zeros(n, dtype=bool),
        first_today=np.ones(n, dtype=bool),
    )


def _part(orders: Orders, at: Any) -> Orders:
    return Orders(**{field.name: getattr(orders, field.name)[at] for field in fields(orders)})


def _sell(
    orders: Orders, nu: float, depth: Any = 0.0, goods: ShopGoods = GOODS, segment: int = 2
) -> Sale:
    n = len(orders)
    codes = np.full(n, segment, dtype=np.int8)
    depths = np.broadcast_to(np.asarray(depth, dtype=np.float64), (n,))
    return sell(DRAWS, goods, SEGMENTS, orders, codes, np.full(n, nu), depths)


def _is_share(hits: Any, share: float) -> bool:
    """Return whether the share of True is within four standard errors of ``share``."""
    return bool(abs(np.mean(hits) - share) < 4 * np.sqrt(share * (1 - share) / len(hits)))


def test_products_are_as_frequent_as_their_shares() -> None:
    customer, event = np.divmod(np.arange(N), 10)
    product = products_of(DRAWS, GOODS, customer, event)
    assert product.dtype == np.int8
    for code, each in enumerate(GOODS.products):
        assert _is_share(product == code, each.share)
    # A customer's orders are of different goods: the next is as if drawn anew.
    table = np.histogram2d(product[:-1], product[1:], bins=4)[0]
    assert stats.chi2_contingency(table).pvalue > ALPHA


@pytest.mark.parametrize("segment", range(4))
def test_list_values_are_gamma(segment: int) -> None:
    # Values of some hundred thousand yuan: rounding to cents is far below the sampling error.
    sale = _sell(_orders(N), nu=1e-5, segment=segment)
    law = stats.gamma(SEGMENTS[segment].p, scale=1e5)
    assert stats.kstest(sale.list_amount, law.cdf).pvalue > ALPHA
    assert abs(sale.list_amount.mean() - law.mean()) < 4 * law.std() / np.sqrt(N)
    # Each order of a customer is drawn anew.
    for column in (sale.list_amount, sale.gift):
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 4 / np.sqrt(N)


def test_each_order_has_the_value_of_its_own_segment_and_customer() -> None:
    orders = _orders(1000)
    segment = (np.arange(1000) % 4).astype(np.int8)
    nu = np.linspace(1e-6, 1e-5, 1000)
    sale = sell(DRAWS, GOODS, SEGMENTS, orders, segment, nu, np.zeros(1000))
    for code in range(4):
        mine = segment == code
        alone = _sell(_part(orders, mine), nu=1e-7, segment=code).list_amount * 1e-7 / nu[mine]
        np.testing.assert_allclose(sale.list_amount[mine], alone, rtol=1e-7)


def test_mean_list_value_over_customers_is_that_of_gamma_gamma() -> None:
    s = SEGMENTS[0]
    customers = np.arange(N)
    orders = replace(_orders(N), customer=customers, event=np.zeros(N, dtype=np.int64))
    nu = DRAWS.gamma("population.nu", s.q, customers) / s.gamma
    values = sell(
        DRAWS, GOODS, SEGMENTS, orders, np.zeros(N, dtype=np.int8), nu, np.zeros(N)
    ).list_amount
    # E Z = p gamma / (q - 1), E Z**2 = p (p + 1) gamma**2 / ((q - 1) (q - 2)).
    mean = s.p * s.gamma / (s.q - 1)
    variance = s.p * (s.p + 1) * s.gamma**2 / ((s.q - 1) * (s.q - 2)) - mean**2
    assert abs(values.mean() - mean) < 4 * np.sqrt(variance / N)


def test_amounts_are_whole_cents_after_the_discount() -> None:
    depth = np.tile([0.0, 0.1, 0.25, 0.3333, 0.99], 2000)
    sale = _sell(_orders(10_000), nu=0.05, depth=depth)
    for money in (sale.list_amount, sale.amount, sale.cost):
        np.testing.assert_array_equal(money, np.round(money, 2))
    # Half a cent of rounding.
    off = sale.amount - sale.list_amount * (1 - depth)
    assert np.abs(off).max() < 0.005 + 1e-9
    np.testing.assert_array_equal(sale.amount[::5], sale.list_amount[::5])
    assert (sale.amount <= sale.list_amount).all()


def test_the_smallest_list_amount_is_a_cent() -> None:
    assert (_sell(_orders(100), nu=1e9).list_amount == 0.01).all()


def test_cost_is_what_the_margin_leaves_and_the_shipping() -> None:
    orders = _orders(10_000)
    sale = _sell(orders, nu=0.05, depth=0.3, goods=replace(GOODS, shipping=7.25))
    for code, each in enumerate(GOODS.products):
        mine = orders.product == code
        expected = sale.list_amount[mine] * (1 - each.margin) + 7.25
        assert np.abs(sale.cost[mine] - expected).max() < 0.005 + 1e-9
        # Without discount and shipping the margin is that of the product.
        kept = 1 - (sale.cost[mine] - 7.25).sum() / sale.list_amount[mine].sum()
        assert abs(kept - each.margin) < 0.005 * mine.sum() / sale.list_amount[mine].sum()


def test_gifts_are_as_frequent_as_their_share() -> None:
    orders = _orders(N)
    assert _is_share(_sell(orders, nu=0.05).gift, 0.12)
    assert not _sell(orders, nu=0.05, goods=replace(GOODS, gifts=0.0)).gift.any()
    assert _sell(orders, nu=0.05, goods=replace(GOODS, gifts=1.0)).gift.all()


def test_orders_are_sent_back_as_often_as_their_product() -> None:
    orders = _orders(N)
    back = ~np.isnan(send_back(DRAWS, GOODS, orders, orders.time + 3))
    for code, each in enumerate(GOODS.products):
        assert _is_share(back[orders.product == code], each.returned)


def test_returns_follow_receipt_by_a_log_normal_wait() -> None:
    product = ShopProduct(name="always", share=1.0, returned=1.0)
    goods = ShopGoods(products=(product,), return_days=9.0)
    orders = _orders(N, goods)
    received = orders.time + 3
    wait = send_back(DRAWS, goods, orders, received) - received
    assert wait.min() > 0
    assert stats.kstest(wait, stats.lognorm(0.6, scale=9).cdf).pvalue > ALPHA
    logs = np.log(wait / 9)
    assert abs(logs.mean()) < 4 * 0.6 / np.sqrt(N)
    assert abs(logs.std() - 0.6) < 4 * 0.6 / np.sqrt(2 * N)


def test_only_what_was_received_is_sent_back() -> None:
    product = ShopProduct(name="always", share=1.0, returned=1.0)
    goods = ShopGoods(products=(product, ShopProduct(name="never", share=0.0)))
    orders = _orders(1000, goods)
    received = np.where(np.arange(1000) % 3 == 0, np.nan, orders.time)
    np.testing.assert_array_equal(
        np.isnan(send_back(DRAWS, goods, orders, received)), np.isnan(received)
    )
    kept = replace(goods, products=(replace(product, returned=0.0),))
    assert np.isnan(send_back(DRAWS, kept, orders, received)).all()


def test_value_gift_product_and_return_are_independent() -> None:
    orders = _orders(N)
    sale = _sell(orders, nu=1e-5)
    always = tuple(replace(each, returned=0.5) for each in GOODS.products)
    returned = send_back(DRAWS, replace(GOODS, products=always), orders, orders.time)
    back = ~np.isnan(returned)
    columns = [sale.list_amount, sale.gift, orders.product == 0, back]
    off = np.corrcoef(columns) - np.eye(4)
    assert np.abs(off).max() < 4 / np.sqrt(N)
    wait = np.log(returned[back] - orders.time[back])
    late = np.corrcoef([wait, sale.list_amount[back], sale.gift[back]])[0, 1:]
    assert np.abs(late).max() < 4 / np.sqrt(back.sum())


@given(st.integers(0, 60), st.data())
@settings(max_examples=25)
def test_orders_are_the_same_in_any_split(n: int, data: st.DataObject) -> None:
    orders = _orders(n)
    received = np.where(orders.event % 4 == 3, np.nan, orders.time + 2)
    segment = (orders.customer % 4).astype(np.int8)
    nu, depth = 0.01 + 0.001 * orders.event, 0.01 * orders.event
    cut = data.draw(st.integers(0, n))
    order = np.array(data.draw(st.permutations(range(n))), dtype=np.int64)
    whole = sell(DRAWS, GOODS, SEGMENTS, orders, segment, nu, depth)
    returned = send_back(DRAWS, GOODS, orders, received)
    for at in (slice(cut), slice(cut, None), order):
        some = _part(orders, at)
        sale = sell(DRAWS, GOODS, SEGMENTS, some, segment[at], nu[at], depth[at])
        for field in fields(sale):
            np.testing.assert_array_equal(getattr(sale, field.name), getattr(whole, field.name)[at])
        np.testing.assert_array_equal(send_back(DRAWS, GOODS, some, received[at]), returned[at])
        np.testing.assert_array_equal(
            products_of(DRAWS, GOODS, some.customer, some.event), orders.product[at]
        )
