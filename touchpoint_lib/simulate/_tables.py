"""From what happened to the blocks' customers to the shop's tables and the truth behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.simulate._block import Block, Rules
from touchpoint_lib.simulate._columns import as_times
from touchpoint_lib.simulate._draws import event_of
from touchpoint_lib.simulate.parcels import scans
from touchpoint_lib.simulate.reviews import reply_texts, review_texts

Arrays = dict[str, npt.NDArray[Any]]

#: A payment still to come then never comes: no time is too late for a timestamp.
_CENTURY = 36_525.0
STATUS = ("open", "paid", "cancelled")
#: Contacts go out from nine to nine, as shares of the day.
_OPENS, _OPEN_FOR = 9 / 24, 12 / 24
#: An order ends a visit of so many days at most; a click leads to one within so many.
_BROWSING, _AFTER_CLICK = 0.02, 0.1


def block_tables(rules: Rules, block: Block) -> dict[str, Arrays]:
    """Return a block's tables, in the types of the shop's tables.

    Customers are their places, orders and contacts their rows in the block. What lies behind the
    end of the days is left out, but for the columns ``true_*``.
    """
    contacts, made = _contacts(rules, block)
    tables = {
        "customers": _customers(rules, block),
        "orders": _orders(rules, block),
        "contacts": contacts,
        "visits": _visits(rules, block, made),
    }
    if block.chain.payments is not None:
        tables["payments"] = _payments(rules, block)
    if block.chain.parcels is not None:
        tables["parcels"], tables["scans"] = _parcels(rules, block)
    if block.chain.reviews is not None:
        tables["reviews"] = _reviews(rules, block)
    if block.outcomes is not None:
        tables["other_orders"] = {
            "contact_row": block.outcomes.order_row,
            "time": as_times(rules.start, block.outcomes.order_time),
            "margin": np.round(block.outcomes.order_margin, 2),
        }
    return tables


@dataclass(frozen=True)
class _Made:
    """Contacts, one an element: column of the state, channel, time in days, event of their luck."""

    who: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int8]
    time: FloatArray
    event: IntArray
    clicked: BoolArray


def _customers(rules: Rules, block: Block) -> Arrays:
    gone = ~block.state.lives(slice(None))
    table: Arrays = {
        "place": block.place,
        "left_at": as_times(rules.start, np.where(gone, block.state.last, np.nan)),
        "last_purchase_at": as_times(rules.start, block.state.last),
    }
    if rules.contacts is not None:
        table["control_group"] = block.state.control
        for code, channel in enumerate(rules.contacts.channels):
            if channel.consent < 1:
                table[f"consent_{channel.name}"] = block.consented[code]
    return table


def _orders(rules: Rules, block: Block) -> Arrays:
    orders, chain, sale = block.sold.orders, block.chain, block.sale
    end = float(rules.days)
    paid = chain.paid_at <= end
    cancelled = np.zeros(len(orders), dtype=np.bool_)
    if chain.payments is not None:
        cancelled = chain.payments.cancelled_at <= end
    back = block.returned_at <= end
    earned = np.where(back, -rules.goods.shipping, sale.amount - sale.cost)
    return {
        "place": block.place[block.sold.column].astype(np.int32),
        "time": as_times(rules.start, orders.time),
        "source": orders.source,
        "product": orders.product,
        "list_amount": sale.list_amount,
        "discount": block.sold.depth,
        "amount": sale.amount,
        "margin": np.where(paid, np.round(earned, 2), 0.0),
        "flash_sale": orders.flash,
        "gift": sale.gift,
        "coupon_row": block.sold.coupon_from.astype(np.int32),
        "status": np.where(paid, 1, np.where(cancelled, 2, 0)).astype(np.int8),
        "returned_at": as_times(rules.start, block.returned_at, end),
    }


def _payments(rules: Rules, block: Block) -> Arrays:
    payments, end = block.chain.payments, float(rules.days)
    assert payments is not None
    return {
        "due_at": as_times(rules.start, payments.due_at),
        "reminded_at": as_times(rules.start, payments.reminded_at, end),
        # Known when the reminder would have gone out.
        "held_out": payments.held_out & (payments.remind_at <= end),
        "paid_at": as_times(rules.start, payments.paid_at, end),
        "cancelled_at": as_times(rules.start, payments.cancelled_at, end),
        "true_own_paid_at": as_times(rules.start, payments.own_paid_at, _CENTURY),
    }


def _parcels(rules: Rules, block: Block) -> tuple[Arrays, Arrays]:
    parcels, orders, end = block.chain.parcels, block.sold.orders, float(rules.days)
    assert parcels is not None
    row = np.flatnonzero(parcels.shipped_at <= end)
    # A care call and its holdout are known when the call is due.
    called = parcels.cared_at[row] <= end
    table: Arrays = {
        "order_row": row.astype(np.int32),
        "carrier": parcels.carrier[row],
        "province": orders.province[row],
        "shipped_at": as_times(rules.start, parcels.shipped_at[row]),
        "promised_at": as_times(rules.start, parcels.promised_at[row]),
        "delivered_at": as_times(rules.start, parcels.delivered_at[row], end),
        "cared_at": as_times(rules.start, np.where(called, parcels.cared_at[row], np.nan)),
        "held_out": parcels.held_out[row] & (parcels.care_at[row] <= end),
        "true_delivered_at": as_times(rules.start, parcels.delivered_at[row]),
        "true_late": parcels.late[row],
        "true_delay_factor": parcels.factor[row],
        "true_loss": parcels.loss[row],
    }
    tracked = scans(
        rules.draws, parcels.shipped_at, parcels.delivered_at, orders.customer, orders.event, end
    )
    return table, {
        "order_row": tracked.parcel,
        "time": as_times(rules.start, tracked.time),
        "event": tracked.event,
    }


def _reviews(rules: Rules, block: Block) -> Arrays:
    reviews, orders, end = block.chain.reviews, block.sold.orders, float(rules.days)
    assert reviews is not None
    row = np.flatnonzero(reviews.reviewed_at <= end)
    late = np.zeros(len(row), dtype=np.bool_)
    if block.chain.parcels is not None:
        late = block.chain.parcels.late[row]
    rating, product = reviews.rating[row], orders.product[row]
    replied = reviews.replied_at[row] <= end
    address = orders.customer[row], orders.event[row]
    texts = review_texts(rules.draws, rating, late, product, rules.goods.products, *address)
    return {
        "order_row": row.astype(np.int32),
        "time": as_times(rules.start, reviews.reviewed_at[row]),
        "rating": rating,
        "text": np.asarray(texts.codes),
        "replied_at": as_times(rules.start, reviews.replied_at[row], end),
        "reply": np.asarray(reply_texts(rules.draws, rating, replied, *address).codes),
        "true_late": late,
        "true_loss": reviews.loss[row],
    }


def _contacts(rules: Rules, block: Block) -> tuple[Arrays, _Made]:
    """Return the contacts, and what the visits behind their clicks need of them."""
    parts = block.ledger.contacts
    channels = () if rules.contacts is None else rules.contacts.channels

    def column(name: str, dtype: Any) -> Any:
        return np.concatenate([np.zeros(0, dtype), *(getattr(part, name) for part in parts)])

    def spread(values: list[Any], dtype: Any) -> Any:
        # One value a mailing, given to each of its contacts.
        return np.repeat(np.array(values, dtype=dtype), [len(part.column) for part in parts])

    def each(name: str, dtype: Any) -> Any:
        return spread([getattr(part, name) for part in parts], dtype)

    who, day = column("column", np.int32), each("day", np.int64)
    channel, campaign = each("channel", np.int8), each("campaign", np.int8)
    key = block.state.key[who]
    # Campaigns have the luck of their channel: a customer has no other contact by it that day.
    event = spread([event_of(channels[part.channel].name, part.day) for part in parts], np.int64)
    hour = rules.draws.uniform("contact.hour", key, event)
    time = _after_arrival(rules, block, who, day + _OPENS + _OPEN_FOR * hour)
    on_visit = np.array([one.audience == "visit" for one in channels], dtype=np.bool_)
    on_parcel = np.array([one.audience == "parcel" for one in channels], dtype=np.bool_)
    rows = np.flatnonzero(on_visit[channel])
    time[rows] = _visit_times(rules, block, who[rows], day[rows])
    rows = np.flatnonzero(on_parcel[channel])
    time[rows] = _receipt_times(block, who[rows], day[rows])
    held_out, coupon = column("held_out", np.bool_), column("coupon", np.float64)
    clicked = column("clicked", np.bool_)
    until = np.where(coupon > 0, day + each("coupon_days", np.int64) + 1.0, np.nan)
    cost = np.array([one.cost for one in channels])[channel]
    table = {
        "place": block.place[who].astype(np.int32),
        "time": as_times(rules.start, time),
        "channel": channel,
        "campaign": campaign,
        "held_out": held_out,
        "cost": np.where(held_out, 0.0, cost),
        "coupon": coupon,
        "coupon_until": as_times(rules.start, until),
        "opened": column("opened", np.bool_),
        "clicked": clicked,
        "unsubscribed": column("unsubscribed", np.bool_),
        "true_alive": column("alive", np.bool_),
        "true_recent_contacts": column("recent", np.int16),
        "true_log_hazard": column("effect", np.float64),
    }
    if rules.outcome_days is not None:
        for name in ("orders_contacted", "orders_held_out", "margin_contacted", "margin_held_out"):
            both = np.full(len(who), np.nan)
            if block.outcomes is not None:
                both[block.outcomes.row] = np.round(getattr(block.outcomes, name), 2)
            table[f"true_{name}"] = both
    return table, _Made(who, channel, time, event, clicked)


def _visit_times(rules: Rules, block: Block, who: IntArray, day: IntArray) -> FloatArray:
    """Return when a customer's visit on a day was: it has one such visit a day at most."""
    fraction = rules.draws.uniform("visit.hour", block.state.key[who], day)
    return _after_arrival(rules, block, who, day + rules.hazard.calendar.time_of_day(fraction))


def _after_arrival(rules: Rules, block: Block, who: IntArray, time: FloatArray) -> FloatArray:
    """Return times with those of the day of arrival squeezed into what is left of it."""
    arrived = rules.population.arrived[block.place[who]]
    day = np.floor(time)
    left = (time - day) * (day + 1 - arrived)
    return np.where(np.floor(arrived) == day, arrived + left, time)


def _receipt_times(block: Block, who: IntArray, day: IntArray) -> FloatArray:
    """Return when the parcel came that a customer received on a day (the first of several)."""
    received = block.chain.received_at
    known = np.flatnonzero(~np.isnan(received))
    # One number a customer and day, in the order of customers and times.
    span = float(np.floor(np.nanmax(received, initial=0.0))) + 1
    at = block.sold.column[known] * span + received[known]
    order = np.argsort(at)
    first = np.searchsorted(at[order], who * span + day)
    return received[known[order[first]]]


def _visits(rules: Rules, block: Block, made: _Made) -> Arrays:
    """Return visits: with a purchase in mind or by habit, behind a click, and before an order."""
    if rules.visits is None:
        return _visit_table(rules, block, [], [], [])
    days, columns = zip(*block.ledger.visits, strict=True) if block.ledger.visits else ((), ())
    sizes = [len(column) for column in columns]
    day = np.repeat(np.array(days, dtype=np.int64), sizes)
    who = np.concatenate([np.zeros(0, dtype=np.int32), *columns])
    key = block.state.key[who]
    shares = list(rules.visits.sources.values())
    source = rules.draws.choice("visit.source", shares, key, day)
    orders = block.sold.orders
    browsing = rules.draws.uniform("visit.browsing", orders.customer, orders.event) * _BROWSING
    # Not before the day of the order.
    before = np.maximum(orders.time - browsing, np.floor(orders.time))
    clicker = made.who[made.clicked].astype(np.int64)
    after = rules.draws.uniform(
        "visit.after_click", block.state.key[clicker], made.event[made.clicked]
    )
    through = (len(shares) + made.channel[made.clicked]).astype(np.int8)
    return _visit_table(
        rules,
        block,
        [who, block.sold.column, clicker],
        [
            _visit_times(rules, block, who, day),
            before,
            made.time[made.clicked] + after * _AFTER_CLICK,
        ],
        [source, orders.source, through],
    )


def _visit_table(
    rules: Rules,
    block: Block,
    who: Sequence[IntArray],
    time: Sequence[FloatArray],
    source: Sequence[npt.NDArray[np.int8]],
) -> Arrays:
    times = np.concatenate([np.zeros(0), *time])
    seen = times < rules.days
    place = block.place[np.concatenate([np.zeros(0, dtype=np.int64), *who])]
    return {
        "place": place[seen].astype(np.int32),
        "time": as_times(rules.start, times[seen]),
        "source": np.concatenate([np.zeros(0, dtype=np.int8), *source])[seen],
    }
