"""One block of customers from arrival to the end: run the worlds, return what the tables need.

Everything is addressed by a customer's place: the position in the order of arrival, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.simulate._agenda import Agendas
from touchpoint_lib.simulate._draws import Draws, event_of
from touchpoint_lib.simulate._fulfilment import Chain, Fulfilment
from touchpoint_lib.simulate._hazard import Hazard
from touchpoint_lib.simulate._ledger import Ledger
from touchpoint_lib.simulate._orders import Sold
from touchpoint_lib.simulate._outreach import Outreach
from touchpoint_lib.simulate._population import Population
from touchpoint_lib.simulate._returns import alive_after_silence, own_return
from touchpoint_lib.simulate._spend import Sale, sell, send_back
from touchpoint_lib.simulate._state import NEVER, State
from touchpoint_lib.simulate._world import World
from touchpoint_lib.simulate.contacts import ShopContacts, ShopVisits
from touchpoint_lib.simulate.parcels import ShopCarrier
from touchpoint_lib.simulate.settings import ShopGoods, ShopSegment


@dataclass(frozen=True)
class Rules:
    """A shop, ready to run."""

    draws: Draws
    population: Population
    segments: tuple[ShopSegment, ...]
    goods: ShopGoods
    visits: ShopVisits | None
    contacts: ShopContacts | None
    hazard: Hazard
    outreach: Outreach | None
    fulfilment: Fulfilment
    carriers: tuple[ShopCarrier, ...]
    world: World
    start: pd.Timestamp
    days: int
    outcome_days: int | None
    looks: tuple[int, ...]
    horizon: int


@dataclass(frozen=True)
class Outcomes:
    """Both outcomes of each opportunity within the outcome days, by row of the contact.

    order_* are the orders of the second world.
    """

    row: IntArray
    orders_contacted: IntArray
    orders_held_out: IntArray
    margin_contacted: FloatArray
    margin_held_out: FloatArray
    order_row: IntArray
    order_time: FloatArray
    order_margin: FloatArray


@dataclass(frozen=True)
class Look:
    """Everybody who is there before a day: the truth about the coming ``horizon`` days."""

    day: int
    place: IntArray
    alive: npt.NDArray[np.bool_]
    silence: FloatArray
    purchases: IntArray
    recent_contacts: IntArray
    probability_alive: FloatArray
    own_return: FloatArray


@dataclass(frozen=True)
class Block:
    """What happened to a block's customers."""

    place: IntArray
    state: State  # at the end
    consented: npt.NDArray[np.bool_]  # (channels, n) at arrival
    sold: Sold
    sale: Sale
    chain: Chain
    returned_at: FloatArray
    margin: FloatArray
    ledger: Ledger
    outcomes: Outcomes | None
    looks: list[Look]


@dataclass(frozen=True)
class Lives:
    """Customers who have lived through all days: their last state, and what was written down."""

    state: State
    consented: npt.NDArray[np.bool_]  # (channels, n) at arrival
    ledger: Ledger


def live(rules: Rules, place: IntArray) -> Lives:
    """Run the customers at ``place``, ascending, through all days."""
    state = _arrivals(rules, place)
    consented = state.subscribed.copy()
    ledger = Ledger(rules.days, rules.outcome_days, frozenset(rules.looks))
    rules.world.run(state, range(rules.days), Agendas(), ledger.take_orders, notes=ledger)
    ledger.begins(state, rules.days, len(state))
    return Lives(state, consented, ledger)


def settle(rules: Rules, place: IntArray, lives: Lives) -> Block:
    """Return what became of the orders, and the truth; the ledger's orders are used up."""
    ledger = lives.ledger
    sold = Sold.joined(ledger.sold)
    ledger.sold.clear()
    sale, chain, returned_at, margin = _worth(rules, place, sold)
    return Block(
        place=place,
        state=lives.state,
        consented=lives.consented,
        sold=sold,
        sale=sale,
        chain=chain,
        returned_at=returned_at,
        margin=margin,
        ledger=ledger,
        outcomes=_outcomes(rules, place, ledger, sold, margin),
        looks=[_look(rules, place, day, seen) for day, seen in ledger.seen.items()],
    )


def _arrivals(rules: Rules, place: IntArray) -> State:
    """Return the customers as they are when they come in, with their first order."""
    people, draws = rules.population, rules.draws
    key, arrived = people.key[place], people.arrived[place]
    segment, province = people.segment[place], people.province[place]
    n, born = len(place), np.floor(arrived).astype(np.int32)
    channels = () if rules.contacts is None else rules.contacts.channels
    contacted = rules.contacts.control if rules.contacts is not None else 0.0
    subscribed = np.ones((len(channels), n), dtype=np.bool_)
    for code, channel in enumerate(channels):
        subscribed[code] = (
            draws.uniform("contact.consent", key, event_of(channel.name)) < channel.consent
        )
    # On the first day the shop's time runs from the first order on.
    fraction = rules.hazard.calendar.fraction_of_orders(arrived - born)
    speed, debt = rules.hazard.first_day(segment, province, born)
    state = State(
        born=born,
        other=np.full(n, -1, dtype=np.int8),
        key=key,
        segment=segment,
        province=province,
        rate=people.rate[place],
        dropout=people.dropout[place],
        control=draws.uniform("contact.control", key) < contacted,
        number=np.ones(n, dtype=np.int32),
        last=arrived,
        run=-fraction * speed,
        need=np.zeros(n),
        speed=np.zeros(n),
        owed=-fraction * debt,
        boost=np.zeros((len(channels) + 2, n)),
        recent=np.zeros(n, dtype=np.int32),
        coupon=np.zeros(n),
        coupon_until=np.full(n, -1, dtype=np.int32),
        coupon_from=np.full(n, -1),
        subscribed=subscribed,
        due=np.full((len(channels), n), NEVER),
        visit_due=np.full(n, NEVER),
        visited=np.full(n, -1, dtype=np.int32),
        received=np.full(n, -1, dtype=np.int32),
        clicked=np.zeros(n, dtype=np.int8),
        clicked_until=np.full(n, -1, dtype=np.int32),
    )
    state.need[:] = rules.world.next_need(state, np.arange(n))
    if rules.outreach is not None:
        state.due[:] = rules.outreach.first_due(key, born)
    if rules.visits is not None:
        state.visit_due[:] = rules.world.visit_due(rules.visits, key, born)
    return state


def _worth(rules: Rules, place: IntArray, sold: Sold) -> tuple[Sale, Chain, FloatArray, FloatArray]:
    """Return what orders are worth, what becomes of them, when they come back, and what is left.

    What is left is NaN for an order that is never paid, and minus the shipping for one that comes
    back.
    """
    people, who, goods = rules.population, place[sold.column], rules.goods
    sale = sell(
        rules.draws,
        goods,
        rules.segments,
        sold.orders,
        people.segment[who],
        people.nu[who],
        sold.depth,
    )
    chain = rules.fulfilment.chain(sold.orders)
    returned_at = send_back(rules.draws, goods, sold.orders, chain.received_at)
    left = np.where(np.isnan(returned_at), sale.amount - sale.cost, -goods.shipping)
    return sale, chain, returned_at, np.where(np.isnan(chain.paid_at), np.nan, left)


def _outcomes(
    rules: Rules, place: IntArray, ledger: Ledger, sold: Sold, margin: FloatArray
) -> Outcomes | None:
    """Run the second world, and return both outcomes of each opportunity."""
    copied = ledger.second_world()
    if copied is None or rules.outcome_days is None:
        return None
    state, row, agendas = copied
    parts: list[Sold] = []
    column = np.concatenate([part[0] for part in ledger.copied])
    born = state.born.astype(np.int64)
    ledger.copies.clear()
    rules.world.run(
        state,
        range(int(born[0]), rules.days),
        agendas,
        lambda _, sold, __: parts.append(sold),
        notes=None,
        lasting=rules.outcome_days,
    )
    held_out = np.concatenate([contact.held_out for contact in ledger.contacts])[row]
    # As it was: sums over the orders of the first world behind the day, by customer and day.
    orders, total = _window(sold, margin, column, born, rules.outcome_days)
    n = len(row)
    other_orders: Any = np.zeros(n, dtype=np.int64)
    other_margin: Any = np.zeros(n)
    order_row, order_time, order_margin = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0)
    if parts:
        other = Sold.joined(parts)
        worth = _worth(rules, place[column], other)[-1]
        paid = ~np.isnan(worth)
        owner = other.column[paid]
        other_orders = np.bincount(owner, minlength=n)
        other_margin = np.bincount(owner, weights=worth[paid], minlength=n)
        order_row, order_time = row[owner], other.orders.time[paid]
        order_margin = worth[paid]
    return Outcomes(
        row=row,
        orders_contacted=np.where(held_out, other_orders, orders),
        orders_held_out=np.where(held_out, orders, other_orders),
        margin_contacted=np.where(held_out, other_margin, total),
        margin_held_out=np.where(held_out, total, other_margin),
        order_row=order_row,
        order_time=order_time,
        order_margin=order_margin,
    )


def _window(
    sold: Sold, margin: FloatArray, column: IntArray, day: IntArray, length: int
) -> tuple[IntArray, FloatArray]:
    """Return number and margin of customers' paid orders in the ``length`` days behind a day."""
    paid = ~np.isnan(margin)
    span = int(day.max()) + length + 2
    when = np.minimum(np.floor(sold.orders.time[paid]).astype(np.int64), span - 1)
    at = sold.column[paid] * span + when
    order = np.argsort(at, kind="stable")
    at = at[order]
    total = np.concatenate([[0.0], np.cumsum(margin[paid][order])])
    first = np.searchsorted(at, column * span + day, side="right")
    last = np.searchsorted(at, column * span + day + length, side="right")
    return last - first, total[last] - total[first]


def _look(rules: Rules, place: IntArray, day: int, state: State) -> Look:
    """Return the truth about customers before ``day``; ``state`` is used up."""
    n = len(state)
    run, alive = np.maximum(state.run, 0.0), state.lives(slice(None))
    stages = np.array([segment.regularity for segment in rules.segments])[state.segment]
    state.run[:] = 0.0
    for ahead in range(rules.horizon):
        rules.hazard.advance(state, 0, n, day + ahead)
    given = state.dropout, stages, state.rate, run
    return Look(
        day=day,
        place=place[:n],
        alive=alive,
        silence=day - state.last,
        purchases=state.number.astype(np.int64),
        recent_contacts=state.recent.astype(np.int64),
        probability_alive=alive_after_silence(*given),
        own_return=own_return(*given, state.run),
    )
