"""What an order is worth: goods, list value, discount, cost, gift, and whether it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Codes, Orders
from touchpoint_lib.simulate.settings import ShopGoods, ShopSegment

#: Sigma of the logarithm of the days from receipt to return.
_RETURN_SIGMA = 0.6


@dataclass(frozen=True)
class Sale:
    """Money of orders, yuan in whole cents: before and after the discount, and what it cost.

    cost is the goods at their cost price and the shipping. gift is True where the order goes to
    somebody else.
    """

    list_amount: FloatArray
    amount: FloatArray
    cost: FloatArray
    gift: BoolArray


def products_of(draws: Draws, goods: ShopGoods, customer: IntArray, event: IntArray) -> Codes:
    """Return the product of each order, a code into ``goods.products``."""
    shares = [product.share for product in goods.products]
    return draws.choice("spend.product", shares, customer, event)


def sell(
    draws: Draws,
    goods: ShopGoods,
    segments: Sequence[ShopSegment],
    orders: Orders,
    segment: Codes,
    nu: FloatArray,
    depth: FloatArray,
) -> Sale:
    """Return what each order is worth, given its customer's ``segment`` and ``nu``.

    The list value is Gamma(p, nu), rounded to cents, at least one. ``depth`` is the share of it
    taken off in all.
    """
    shape = np.array([each.p for each in segments])[segment]
    value = draws.gamma("spend.value", shape, orders.customer, orders.event) / nu
    list_amount = np.maximum(np.round(value, 2), 0.01)
    of_goods = 1 - np.array([product.margin for product in goods.products])[orders.product]
    return Sale(
        list_amount=list_amount,
        amount=np.round(list_amount * (1 - depth), 2),
        cost=np.round(list_amount * of_goods + goods.shipping, 2),
        gift=draws.uniform("spend.gift", orders.customer, orders.event) < goods.gifts,
    )


def send_back(
    draws: Draws, goods: ShopGoods, orders: Orders, received_at: FloatArray
) -> FloatArray:
    """Return when each order was sent back: NaN where it was kept, or never received."""
    returned = np.array([product.returned for product in goods.products])[orders.product]
    luck = draws.uniform("spend.returned", orders.customer, orders.event)
    back = np.flatnonzero(luck < returned)
    wait = draws.normal("spend.return_wait", orders.customer[back], orders.event[back])
    returned_at = np.full(len(orders), np.nan)
    returned_at[back] = received_at[back] + goods.return_days * np.exp(_RETURN_SIGMA * wait)
    return returned_at
