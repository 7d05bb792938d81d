"""A block of customers: both worlds agree with a plain oracle, event by event."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.simulate.plain_world import Life, Met, PlainShop
from touchpoint_lib.simulate import shop as shop_module
from touchpoint_lib.simulate._block import Block, Lives, Rules, live, settle
from touchpoint_lib.simulate.contacts import ShopCampaign, ShopChannel, ShopContacts, ShopVisits
from touchpoint_lib.simulate.parcels import ShopDelay, ShopParcels
from touchpoint_lib.simulate.payments import ShopPayments
from touchpoint_lib.simulate.reviews import ShopReviews
from touchpoint_lib.simulate.settings import (
    ShopArrivals,
    ShopDiscounts,
    ShopGoods,
    ShopPromotion,
    ShopSegment,
)
from touchpoint_lib.simulate.shop import Shop, simulate_shop

DAYS = 300
OUTCOME_DAYS = 30
N = 240
#: Customers who are followed through the first world.
FOLLOWED = 60

#: Everything is on, and happens often: fast buyers, many contacts, coupons that compete, jams.
ARRIVALS = ShopArrivals(
    segments=(
        ShopSegment(name="regular", share=0.4, regularity=3, r=4, alpha=20, a=1, b=12),
        ShopSegment(name="plain", share=0.35, r=2, alpha=30, a=1, b=6),
        ShopSegment(
            name="picky",
            share=0.25,
            r=2,
            alpha=12,
            a=1,
            b=8,
            discount_response=6,
            discount_only=True,
        ),
    )
)
CHANNELS = (
    ShopChannel(
        name="page", audience="visit", rate=0.4, effect=0.2, decay=3, tires=False, held_out=0.2
    ),
    ShopChannel(
        name="chat",
        rate=1.0,
        effect=0.6,
        coupon=0.15,
        coupon_share=0.5,
        coupon_days=9,
        unsubscribe=0.03,
        consent=0.8,
    ),
    ShopChannel(
        name="sms",
        audience="silent",
        silence=12,
        rate=1.5,
        effect=0.7,
        decay=12,
        coupon=0.1,
        unsubscribe=0.02,
    ),
    ShopChannel(
        name="leaflet",
        audience="parcel",
        rate=0.8,
        effect=0.4,
        decay=20,
        tires=False,
        held_out=0.3,
        coupon=0.25,
        coupon_share=0.2,
    ),
    ShopChannel(name="social", rate=0.5, tires=False, held_out=0.4, clicked=0.6),
)
CONTACTS = ShopContacts(
    channels=CHANNELS,
    campaigns=(
        ShopCampaign(name="spring", channel="sms", day=100, silence=(5, 60), coupon=0.2),
        ShopCampaign(name="summer", channel="social", day=180, held_out=0.3),
    ),
    control=0.1,
)
CALL: dict[str, Any] = {
    "seed": 11,
    "n_customers": N,
    "days": DAYS,
    "start": "2024-03-01",
    "arrivals": ARRIVALS,
    "goods": ShopGoods(again=0.1),
    "discounts": ShopDiscounts(
        promotions=(
            *ShopDiscounts().promotions,
            ShopPromotion(name="mid-month", month=0, day=8, days=3, depth=0.12),
        )
    ),
    "visits": ShopVisits(habit=1.5),
    "contacts": CONTACTS,
    "payments": ShopPayments(by_source={"social": 2.0}),
    "parcels": ShopParcels(
        promise=0.6, delays=(ShopDelay(name="flood", month=6, day=1, days=40, factor=2.0),)
    ),
    "reviews": ShopReviews(share=0.5, share_late=0.8, loss=0.4, loss_days=40, reply_negative=0.5),
    "outcome_days": OUTCOME_DAYS,
    # The last is the midnight behind the log.
    "snapshots": ["2024-04-20", "2024-08-06", "2024-12-26"],
    "horizon": 45,
}


@dataclass(frozen=True)
class Ran:
    """A shop, what it was made of, and the oracle of the same arguments."""

    shop: Shop
    rules: Rules
    block: Block
    plain: PlainShop
    lives: dict[int, Life]

    def row_of(self, met: Met, place: int) -> int:
        """Return the row of the oracle's contact in the truth's frame."""
        contacts = self.shop.contacts
        campaign = contacts["campaign"].astype("str").fillna("")
        names = [campaign.name for campaign in CONTACTS.campaigns]
        here = (
            (contacts["customer_id"] == place + 1)
            & (contacts["channel"] == met.channel)
            & ((contacts["time"] - self.shop.call["start"]).dt.days == met.day)
            & (campaign == (met.slot if met.slot in names else ""))
        )
        rows = np.flatnonzero(here)
        assert len(rows) == 1
        return int(rows[0])


@pytest.fixture(scope="module")
def ran() -> Ran:
    """A shop with everything on, its only block, and the lives of its first customers."""
    seen: list[tuple[Rules, Block]] = []

    def kept(rules: Rules, place: Any, lives: Lives) -> Block:
        block = settle(rules, place, lives)
        seen.append((rules, block))
        return block

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop_module, "settle", kept)
        shop = simulate_shop(**CALL)
    [(rules, block)] = seen
    plain = PlainShop(dict(shop.call))
    # One in four of those who come, early and late.
    places = range(0, N, N // FOLLOWED)
    return Ran(shop, rules, block, plain, {place: plain.live(place) for place in places})


def _orders_of(block: Block, place: int) -> pd.DataFrame:
    """Return a customer's orders in the block, by event."""
    sold = block.sold
    mine = np.flatnonzero(block.place[sold.column] == place)
    table = {
        name: getattr(sold.orders, name)[mine] for name in ("event", "time", "number", "source")
    }
    table |= {"depth": sold.depth[mine], "coupon_from": sold.coupon_from[mine]}
    table |= {"margin": block.margin[mine], "received": block.chain.received_at[mine]}
    return pd.DataFrame(table).sort_values("event", ignore_index=True)


def _contact_column(block: Block, name: str) -> Any:
    """Return a field of all contacts of the block, one value a contact."""
    return np.concatenate(
        [
            np.broadcast_to(np.asarray(getattr(part, name)), (len(part.column),))
            for part in block.ledger.contacts
        ]
    )


def test_the_shop_of_these_tests_has_something_of_everything(ran: Ran) -> None:
    """The comparisons below prove little of what never happens."""
    lives = list(ran.lives.values())
    orders = [order for life in lives for order in life.orders]
    contacts = [met for life in lives for met in life.contacts]
    assert len(lives) == FOLLOWED
    assert {met.slot for met in contacts} == {
        *(channel.name for channel in CHANNELS),
        *(campaign.name for campaign in CONTACTS.campaigns),
    }
    assert sum(order.coupon_of is not None for order in orders) > 20
    assert sum(order.event % 2 for order in orders) > 20
    assert len({order.source for order in orders}) >= 6
    assert sum(met.unsubscribed for met in contacts) > 5
    assert max(met.recent for met in contacts) >= 4
    assert sum(life.left for life in lives) > 10
    heights = [(height, fade) for life in lives for _, height, fade in life.pushes if height < 0]
    assert {fade for _, fade in heights} == {120.0, 40.0}
    assert len({height for height, _ in heights}) == 3  # late, late but cared for, no reply
    picky = [place for place in ran.lives if ran.plain.people.segment[place] == 2]
    assert sum(len(ran.lives[place].orders) for place in picky) > 30


def test_orders_are_those_of_the_oracle(ran: Ran) -> None:
    for place, life in ran.lives.items():
        made = _orders_of(ran.block, place)
        expected = sorted(life.orders, key=lambda order: order.event)
        assert made["event"].tolist() == [order.event for order in expected]
        assert made["number"].tolist() == [order.number for order in expected]
        for name in ("time", "depth", "margin", "received"):
            np.testing.assert_allclose(
                made[name], [getattr(order, name) for order in expected], rtol=0, atol=1e-9
            )
        assert [ran.plain.sources[code] for code in made["source"]] == [
            order.source for order in expected
        ]


def test_coupons_are_used_on_the_orders_of_the_oracle(ran: Ran) -> None:
    column, day = _contact_column(ran.block, "column"), _contact_column(ran.block, "day")
    coupon = _contact_column(ran.block, "coupon")
    n_used = 0
    for place, life in ran.lives.items():
        made = _orders_of(ran.block, place)
        for row, order in zip(
            made["coupon_from"], sorted(life.orders, key=lambda order: order.event), strict=True
        ):
            assert (row >= 0) == (order.coupon_of is not None)
            if order.coupon_of is not None:
                met = life.contacts[order.coupon_of]
                assert ran.block.place[column[row]] == place
                assert (day[row], coupon[row]) == (met.day, met.coupon)
                assert met.coupon == order.depth
                assert met.day < order.time < met.day + met.coupon_days + 1
                n_used += 1
    assert n_used > 20


def test_contacts_are_those_of_the_oracle(ran: Ran) -> None:
    names = ["day", "held_out", "recent", "opened", "clicked", "unsubscribed", "coupon"]
    names += ["coupon_days", "alive"]
    columns = {name: _contact_column(ran.block, name) for name in names}
    effect = _contact_column(ran.block, "effect")
    channel, campaign = (_contact_column(ran.block, name) for name in ("channel", "campaign"))
    who = ran.block.place[_contact_column(ran.block, "column")]
    for place, life in ran.lives.items():
        rows = np.flatnonzero(who == place)
        assert len(rows) == len(life.contacts)
        for row, met in zip(rows, life.contacts, strict=True):
            assert {name: columns[name][row] for name in names} == {
                name: getattr(met, name) for name in names
            }
            assert CHANNELS[channel[row]].name == met.channel
            slots = CHANNELS[channel[row]].name, *(one.name for one in CONTACTS.campaigns)
            assert slots[campaign[row] + 1] == met.slot
            assert effect[row] == pytest.approx(met.effect, rel=1e-9)


def test_visits_are_those_of_the_oracle(ran: Ran) -> None:
    days = np.concatenate([np.full(len(who), day) for day, who in ran.block.ledger.visits])
    who = ran.block.place[np.concatenate([who for _, who in ran.block.ledger.visits])]
    for place, life in ran.lives.items():
        assert days[who == place].tolist() == life.visits
    assert sum(len(life.visits) for life in ran.lives.values()) > 300


def test_leaving_is_that_of_the_oracle(ran: Ran) -> None:
    left = ran.shop.truth.customers["left_at"].notna()
    assert {place: bool(left[place]) for place in ran.lives} == {
        place: life.left for place, life in ran.lives.items()
    }


def test_snapshots_are_what_the_oracle_sees_at_midnight(ran: Ran) -> None:
    """And its chances are S(run), the survival of a gap, over the odds of having left."""
    seen = ran.shop.truth.snapshots
    day = (seen["date"] - ran.shop.call["start"]).dt.days
    assert sorted(set(day)) == sorted(ran.plain.looks) == [50, 158, DAYS]
    n_seen = 0
    for place, life in ran.lives.items():
        mine = seen[seen["customer_id"] == place + 1].set_index(
            day[seen["customer_id"] == place + 1]
        )
        assert sorted(mine.index) == sorted(life.seen)
        rate, p = float(ran.plain.people.rate[place]), float(ran.plain.people.dropout[place])
        k = ran.plain.segments[ran.plain.people.segment[place]].regularity
        for at, then in life.seen.items():
            row = mine.loc[at]
            assert (row["alive"], row["purchases"]) == (then.alive, then.purchases)
            assert row["recent_contacts"] == then.recent
            assert row["silence"] == pytest.approx(then.silence, abs=1e-9)
            survival = stats.gamma(k).sf(rate * then.run)
            alive = (1 - p) * survival / ((1 - p) * survival + p)
            falls = 1 - stats.gamma(k).sf(rate * (then.run + then.ahead)) / survival
            assert row["probability_alive"] == pytest.approx(alive, rel=1e-7, abs=1e-12)
            assert row["own_return"] == pytest.approx(alive * falls, rel=1e-6, abs=1e-12)
            n_seen += 1
    assert n_seen > 100


def test_consent_at_arrival_is_not_what_is_left_of_it(ran: Ran) -> None:
    assert ran.block.consented.mean(axis=1) == pytest.approx(
        [channel.consent for channel in CHANNELS], abs=4 * math.sqrt(0.8 * 0.2 / N)
    )
    unsubscribed = np.zeros_like(ran.block.consented)
    gone = np.flatnonzero(_contact_column(ran.block, "unsubscribed"))
    channel, column = (_contact_column(ran.block, name)[gone] for name in ("channel", "column"))
    unsubscribed[channel, column] = True
    np.testing.assert_array_equal(ran.block.state.subscribed, ran.block.consented & ~unsubscribed)
    assert len(gone) > 20


@pytest.fixture(scope="module")
def opportunities(ran: Ran) -> list[tuple[int, Met]]:
    """Opportunities of all kinds: up to four of each slot, contacted and held out."""
    chosen: list[tuple[int, Met]] = []
    counts: dict[tuple[str, bool], int] = {}
    for place, life in ran.lives.items():
        for met in life.contacts:
            kind = met.slot, met.held_out
            # Not all of one customer, and all lucky enough to be in the middle of things.
            if met.day >= DAYS - OUTCOME_DAYS or counts.get(kind, 0) >= 3 or len(life.orders) < 4:
                continue
            if any(place == other for other, one in chosen if (one.slot, one.held_out) == kind):
                continue
            counts[kind] = counts.get(kind, 0) + 1
            chosen.append((place, met))
    # Several on one day.
    for place, life in ran.lives.items():
        days = [met.day for met in life.contacts if met.day < DAYS - OUTCOME_DAYS]
        twice = sorted({day for day in days if days.count(day) > 1})[:1]
        chosen += [(place, met) for met in life.contacts if met.day in twice][:2]
    return chosen


@pytest.fixture(scope="module")
def others(ran: Ran, opportunities: list[tuple[int, Met]]) -> list[Life]:
    """The customers' lives with one decision turned round."""
    return [ran.plain.live(place, turned=(met.day, met.slot)) for place, met in opportunities]


def test_the_opportunities_are_of_all_kinds(
    ran: Ran, opportunities: list[tuple[int, Met]], others: list[Life]
) -> None:
    kinds = {(met.slot, met.held_out) for _, met in opportunities}
    slots = [channel.name for channel in CHANNELS]
    slots += [campaign.name for campaign in CONTACTS.campaigns]
    assert kinds == {(slot, held_out) for slot in slots for held_out in (True, False)}
    assert len(opportunities) >= 40
    parcels = losses = changed = 0
    for (place, met), other in zip(opportunities, others, strict=True):
        life = ran.lives[place]
        assert [one for one in other.contacts if one.day < met.day] == [
            one for one in life.contacts if one.day < met.day
        ]
        turned = next(one for one in other.contacts if (one.day, one.slot) == (met.day, met.slot))
        assert turned.held_out is not met.held_out
        parcels += any(order.time < met.day < order.received for order in life.orders)
        losses += any(height < 0 and first <= met.day for first, height, _ in life.pushes)
        changed += _paid(life, met) != _paid(other, met)
    assert parcels >= 10
    assert losses >= 10
    assert changed >= 15


def _paid(life: Life, met: Met) -> list[tuple[float, float]]:
    """Return time and margin of the paid orders in the outcome days behind an opportunity."""
    until = met.day + 1 + OUTCOME_DAYS
    return sorted(
        (order.time, order.margin)
        for order in life.orders
        if met.day + 1 <= order.time < until and not math.isnan(order.margin)
    )


def test_the_second_world_is_a_life_with_one_decision_turned_round(
    ran: Ran, opportunities: list[tuple[int, Met]], others: list[Life]
) -> None:
    outcomes, start = ran.block.outcomes, ran.shop.call["start"]
    assert outcomes is not None
    column, day = _contact_column(ran.block, "column"), _contact_column(ran.block, "day")
    channel = _contact_column(ran.block, "channel")
    campaign = _contact_column(ran.block, "campaign")
    names = [one.name for one in CONTACTS.campaigns]
    seen = ran.shop.truth.other_orders
    for (place, met), other in zip(opportunities, others, strict=True):
        code = names.index(met.slot) if met.slot in names else -1
        [row] = np.flatnonzero(
            (ran.block.place[column] == place)
            & (day == met.day)
            & (channel == [one.name for one in CHANNELS].index(met.channel))
            & (campaign == code)
        )
        expected = _paid(other, met)
        mine = np.flatnonzero(outcomes.order_row == row)
        made = sorted(zip(outcomes.order_time[mine], outcomes.order_margin[mine], strict=True))
        np.testing.assert_allclose(
            np.reshape(made, (-1, 2)), np.reshape(expected, (-1, 2)), rtol=0, atol=1e-9
        )
        # And so it reaches the truth's frames: to the second, to the cent.
        contact_id = ran.shop.contacts["contact_id"].iloc[ran.row_of(met, place)]
        frame = seen[seen["contact_id"] == contact_id]
        assert len(frame) == len(expected)
        seconds = (frame["time"] - start).dt.total_seconds().to_numpy()
        np.testing.assert_allclose(seconds, [time * 86_400 for time, _ in expected], atol=1.001)
        np.testing.assert_allclose(frame["margin"], [margin for _, margin in expected], atol=0.01)


def test_the_truth_holds_both_outcomes(
    ran: Ran, opportunities: list[tuple[int, Met]], others: list[Life]
) -> None:
    for (place, met), other in zip(opportunities, others, strict=True):
        truth = ran.shop.truth.contacts.iloc[ran.row_of(met, place)]
        outcomes = {met.held_out: _paid(ran.lives[place], met), not met.held_out: _paid(other, met)}
        for held_out, name in ((False, "contacted"), (True, "held_out")):
            margins = [margin for _, margin in outcomes[held_out]]
            assert truth[f"orders_{name}"] == len(margins)
            assert truth[f"margin_{name}"] == pytest.approx(sum(margins), abs=0.0051)


def test_no_outcome_where_the_window_ends_behind_the_end(ran: Ran) -> None:
    day = (ran.shop.contacts["time"] - ran.shop.call["start"]).dt.days
    known = ran.shop.truth.contacts["orders_contacted"].notna()
    np.testing.assert_array_equal(known, day + OUTCOME_DAYS < DAYS)
    assert known.any()
    assert not known.all()


def test_a_part_of_the_customers_lives_the_same_lives(ran: Ran) -> None:
    places = np.arange(1, N, 7)
    part = settle(ran.rules, places, live(ran.rules, places))
    for place in places[:20]:
        pd.testing.assert_frame_equal(
            _orders_of(part, place).drop(columns="coupon_from"),
            _orders_of(ran.block, place).drop(columns="coupon_from"),
        )
    assert part.outcomes is not None
    assert ran.block.outcomes is not None
    who = ran.block.place[_contact_column(ran.block, "column")]
    mine = np.isin(who[ran.block.outcomes.row], places)
    for name in ("orders_contacted", "orders_held_out", "margin_contacted", "margin_held_out"):
        whole = getattr(ran.block.outcomes, name)[mine]
        np.testing.assert_allclose(
            np.sort(getattr(part.outcomes, name)), np.sort(whole), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(
    "given",
    [
        {"reviews": None},
        {"reviews": ShopReviews(loss=0.0)},
        {"parcels": ShopParcels(late_loss=0.0)},
        {"n_customers": 1, "days": 40},
        {"n_customers": 1, "days": 1},
    ],
    ids=["no reviews", "no loss by reviews", "no loss by parcels", "one customer", "one day"],
)
def test_a_second_world_needs_neither_losses_nor_events(given: dict[str, Any]) -> None:
    """Where little happens, both outcomes are known all the same."""
    shop = simulate_shop(**{"seed": 1, "n_customers": 40, "days": 80, "outcome_days": 10, **given})
    truth = shop.truth.contacts
    day = (shop.contacts["time"] - shop.call["start"]).dt.days
    np.testing.assert_array_equal(truth["orders_contacted"].notna(), day + 10 < shop.call["days"])
    assert len(shop.orders) >= shop.call["n_customers"]
