"""Outreach: who is meant, who is held out, what a contact does, and what the log says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.simulate.plain_world import blank_state
from touchpoint_lib.simulate._agenda import Agenda
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._outreach import Contacted, Outreach
from touchpoint_lib.simulate._state import State
from touchpoint_lib.simulate.contacts import ShopCampaign, ShopChannel, ShopContacts, ShopVisits
from touchpoint_lib.simulate.parcels import ShopParcels
from touchpoint_lib.simulate.settings import ShopArrivals, ShopSegment
from touchpoint_lib.simulate.shop import Shop, simulate_shop

N = 100_000
DAY = 50
INTENT_DAYS = 4.0
#: Tail of four standard errors, both sides.
ALPHA = 6.3e-5


def _one(**given: Any) -> ShopChannel:
    return ShopChannel(**{"name": "note", "held_out": 0.0, **given})


def _contact(
    state: State, contacts: ShopContacts, day: int = DAY, columns: slice | None = None
) -> tuple[list[Contacted], Agenda]:
    """Let a day's contacts go out, and return them with what is to be forgotten later."""
    made: list[Contacted] = []
    rested = Agenda()

    def log(contacted: Contacted) -> int:
        first = sum(len(one.column) for one in made)
        made.append(contacted)
        return first

    lo, hi = (0, len(state)) if columns is None else (columns.start, columns.stop)
    Outreach(Draws(3), contacts, INTENT_DAYS).contact(state, lo, hi, day, rested, log, None)
    return made, rested


def _as_often_as(hits: Any, probability: Any) -> bool:
    """Return whether events come as often as their probabilities say: four standard errors."""
    hits = np.asarray(hits)
    p = np.minimum(np.broadcast_to(probability, hits.shape), 1.0)
    assert hits.size > 200
    spread = math.sqrt((p * (1 - p)).sum())
    return abs(hits.sum() - p.sum()) <= 4 * spread + 1e-9


# Who is meant.


def test_all_are_meant_on_the_day_they_are_due_if_they_agree_and_are_no_controls() -> None:
    state = blank_state(5, 1, due=[[DAY, DAY, DAY, DAY + 1, DAY]])
    state.subscribed[0, 1] = False
    state.control[2] = True
    [made], _ = _contact(state, ShopContacts(channels=(_one(),)))
    assert made.column.tolist() == [0, 4]
    assert (made.day, made.channel, made.campaign) == (DAY, 0, -1)
    # Whether contacted or not: the next opportunity of all of them lies ahead.
    assert (state.due[0, [0, 1, 2, 4]] > DAY).all()
    assert state.due[0, 3] == DAY + 1


def test_the_silent_have_not_ordered_for_as_many_days_by_the_end_of_the_day() -> None:
    last = np.array([DAY - 29.0, DAY - 28.9, DAY - 29.1, DAY + 0.5])
    state = blank_state(4, 1, due=DAY, last=last)
    channel = _one(audience="silent", silence=30)
    [made], _ = _contact(state, ShopContacts(channels=(channel,)))
    assert made.column.tolist() == [0, 2]


@pytest.mark.parametrize(("audience", "what"), [("visit", "visited"), ("parcel", "received")])
def test_visitors_and_receivers_are_contacted_by_chance(audience: Any, what: str) -> None:
    state = blank_state(N, 1, **{what: DAY - 1})
    there = np.arange(N) % 2 == 0
    getattr(state, what)[there] = DAY
    [made], _ = _contact(state, ShopContacts(channels=(_one(audience=audience, rate=0.3),)))
    assert there[made.column].all()
    assert _as_often_as(np.isin(np.flatnonzero(there), made.column), 0.3)


def test_a_campaign_is_for_those_within_its_silence_on_its_day() -> None:
    campaign = ShopCampaign(name="spring", channel="note", day=DAY, silence=(10, 20), held_out=0)
    contacts = ShopContacts(channels=(_one(),), campaigns=(campaign,))
    last = DAY + 1 - np.array([9.99, 10.0, 15.0, 20.0, 20.01, 15.0])
    state = blank_state(6, 1, last=last)
    state.control[5] = True
    [made], _ = _contact(state, contacts)
    assert made.column.tolist() == [1, 2, 3]
    assert (made.channel, made.campaign) == (0, 0)
    assert _contact(blank_state(6, 1, last=last), contacts, day=DAY + 1)[0] == []


def test_nobody_else_is_meant() -> None:
    state = blank_state(10, 1, due=DAY)
    made, _ = _contact(state, ShopContacts(channels=(_one(),)), columns=slice(3, 7))
    assert made[0].column.tolist() == [3, 4, 5, 6]
    assert (state.due[0, [0, 1, 2, 7, 8, 9]] == DAY).all()
    assert _contact(blank_state(4, 1), ShopContacts(channels=(_one(),)))[0] == []


def test_opportunities_come_at_random_at_most_one_a_day() -> None:
    """The days of a Poisson process on which something happens: geometric gaps."""
    rates = (0.4, 6.0)
    channels = tuple(_one(name=f"c{rate}", rate=rate) for rate in rates)
    channels = (*channels, _one(name="page", audience="visit"))
    outreach = Outreach(Draws(5), ShopContacts(channels=channels), INTENT_DAYS)
    born = np.arange(N, dtype=np.int32) % 40
    gaps = outreach.first_due(np.arange(N), born)[:2] - born
    assert gaps.min() == 1
    for rate, gap in zip(rates, gaps, strict=True):
        hit = 1 - math.exp(-rate / 30)
        assert gap.mean() == pytest.approx(1 / hit, abs=4 / hit / math.sqrt(N))
        assert _as_often_as(gap == 1, hit)
        assert _as_often_as(gap == 5, hit * (1 - hit) ** 4)
    # By visits and parcels nobody is ever due.
    state = blank_state(2, 3, due=outreach.first_due(np.arange(2), born[:2]), visited=0)
    made, _ = _contact(state, ShopContacts(channels=channels), day=0)
    assert {one.channel for one in made} <= {2}


# What a contact does.


@pytest.mark.parametrize("held_out", [0.2, 0.0])
def test_the_held_out_are_chosen_by_lot_and_nothing_happens_to_them(held_out: float) -> None:
    channel = _one(
        held_out=held_out, effect=0.5, opened=1, clicked=1, unsubscribe=1, coupon=0.3, consent=1
    )
    state = blank_state(N, 1, due=DAY)
    [made], rested = _contact(state, ShopContacts(channels=(channel,), open_intent=1))
    assert _as_often_as(made.held_out, held_out)
    out, sent = made.column[made.held_out], made.column[~made.held_out]
    assert not made.opened[made.held_out].any()
    assert not made.clicked[made.held_out].any()
    assert not made.unsubscribed[made.held_out].any()
    assert not made.coupon[made.held_out].any()
    np.testing.assert_array_equal(made.effect, 0.5)  # what it would have added
    for who, changed in ((out, False), (sent, True)):
        assert (state.boost[0, who] == (0.5 if changed else 0.0)).all()
        assert (state.recent[who] == changed).all()
        assert (state.subscribed[0, who] != changed).all()
        assert ((state.coupon_until[who] > DAY) == changed).all()
        assert ((state.clicked_until[who] == DAY + 3) == changed).all()
    np.testing.assert_array_equal(rested.pop(DAY + 30)[0], sent)


def test_opening_leans_on_intent_and_on_leaving() -> None:
    """Before leaving 1, with a purchase in mind open_intent, after leaving open_gone."""
    contacts = ShopContacts(
        channels=(_one(opened=0.4, clicked=0.25),), open_intent=1.5, open_gone=0.3
    )
    kind = np.arange(N) % 3
    need = np.array([20.0, 13.0, np.inf])[kind]
    state = blank_state(N, 1, due=DAY, need=need, run=10.0)
    [made], _ = _contact(state, contacts)
    np.testing.assert_array_equal(made.alive, kind != 2)
    for code, leaning in enumerate((1.0, 1.5, 0.3)):
        opened = made.opened[kind == code]
        assert _as_often_as(opened, 0.4 * leaning)
        assert _as_often_as(made.clicked[kind == code][opened], 0.25 * leaning)
    assert not made.clicked[~made.opened].any()


def test_intent_begins_at_its_days() -> None:
    """Nearer than its days all open, being twice as ready; at that distance half of them."""
    contacts = ShopContacts(channels=(_one(opened=0.5, clicked=1.0),), open_intent=2.0)
    state = blank_state(N, 1, due=DAY, need=INTENT_DAYS - 1e-9)
    assert _contact(state, contacts)[0][0].opened.all()
    state = blank_state(N, 1, due=DAY, need=INTENT_DAYS)
    assert _as_often_as(_contact(state, contacts)[0][0].opened, 0.5)


def test_pressure_drives_customers_out_and_fatigue_weakens_effects() -> None:
    contacts = ShopContacts(
        channels=(_one(effect=0.8, unsubscribe=0.05),), pressure=0.6, fatigue=0.25
    )
    recent = np.arange(N) % 6
    state = blank_state(N, 1, due=DAY, recent=recent)
    [made], _ = _contact(state, contacts)
    for n in range(6):
        assert _as_often_as(made.unsubscribed[recent == n], 0.05 * math.exp(0.6 * n))
    np.testing.assert_array_equal(made.recent, recent)
    np.testing.assert_allclose(made.effect, 0.8 * np.exp(-0.25 * recent), rtol=1e-14)
    np.testing.assert_allclose(state.boost[0], made.effect, rtol=1e-14)
    np.testing.assert_array_equal(state.subscribed[0], ~made.unsubscribed)
    assert (state.recent == recent + 1).all()


def test_what_does_not_tire_does_not_count() -> None:
    channels = (_one(name="page", tires=False, effect=0.1), _one(effect=0.4))
    state = blank_state(3, 2, due=DAY, boost=0.25)
    made, rested = _contact(state, ShopContacts(channels=channels))
    assert [one.tires for one in made] == [False, True]
    assert state.recent.tolist() == [1, 1, 1]
    assert rested.pop(DAY + 30)[0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(state.boost, [[0.35] * 3, [0.65] * 3, [0.25] * 3, [0.25] * 3])


def test_the_second_contact_of_a_day_meets_the_first() -> None:
    channels = tuple(_one(name=name, effect=0.5) for name in "abd")
    campaign = ShopCampaign(name="c", channel="d", day=DAY, held_out=0)
    contacts = ShopContacts(channels=channels, campaigns=(campaign,), fatigue=1.0)
    state = blank_state(2, 3, due=[[DAY] * 2, [DAY] * 2, [0] * 2])
    made, _ = _contact(state, contacts)
    assert [(one.channel, one.campaign) for one in made] == [(0, -1), (1, -1), (2, 0)]
    assert [one.recent.tolist() for one in made] == [[0, 0], [1, 1], [2, 2]]
    np.testing.assert_allclose(state.boost[:3, 0], 0.5 * np.exp([0.0, -1.0, -2.0]))


def test_a_campaign_takes_the_place_of_its_channels_own_contacts_and_of_later_campaigns() -> None:
    first = ShopCampaign(name="first", channel="note", day=DAY, silence=(0, 20), held_out=0)
    second = ShopCampaign(name="second", channel="note", day=DAY, silence=(0, 30), held_out=0)
    last = [DAY - silence + 1.0 for silence in (10, 25, 40)]
    state = blank_state(3, 1, due=DAY, last=last)
    made, _ = _contact(state, ShopContacts(channels=(_one(),), campaigns=(first, second)))
    who = [(one.campaign, one.column.tolist()) for one in made]
    assert who == [(-1, [2]), (0, [0]), (1, [1])]
    # Their turn by the channel itself has passed all the same.
    assert (state.due[0] > DAY).all()


def test_a_campaign_has_the_channels_effect_and_its_own_coupon_and_holdout() -> None:
    channel = _one(effect=0.3, held_out=0.9, coupon=0.5, coupon_share=0.1)
    campaign = ShopCampaign(
        name="spring", channel="note", day=DAY, held_out=0.25, coupon=0.2, coupon_days=3
    )
    state = blank_state(N, 1)
    [made], _ = _contact(state, ShopContacts(channels=(channel,), campaigns=(campaign,)))
    assert _as_often_as(made.held_out, 0.25)
    np.testing.assert_array_equal(made.coupon, np.where(made.held_out, 0.0, 0.2))
    assert made.coupon_days == 3
    np.testing.assert_array_equal(state.boost[0], np.where(made.held_out, 0.0, 0.3))
    assert (state.coupon_until[~made.held_out] == DAY + 3).all()


def test_coupons_go_to_a_share_of_the_contacts() -> None:
    channel = _one(held_out=0.3, coupon=0.15, coupon_share=0.4, coupon_days=9)
    state = blank_state(N, 1, due=DAY)
    [made], _ = _contact(state, ShopContacts(channels=(channel,)))
    assert set(np.unique(made.coupon)) == {0.0, 0.15}
    assert _as_often_as(made.coupon[~made.held_out] > 0, 0.4)
    has = state.coupon_until == DAY + 9
    np.testing.assert_array_equal(has, made.coupon > 0)
    np.testing.assert_array_equal(state.coupon_from[has], np.flatnonzero(has))


def test_the_deeper_coupon_of_those_that_hold_tomorrow_is_kept() -> None:
    before = [0.1, 0.2, 0.3, 0.3, 0.3]
    until = [DAY + 5, DAY + 5, DAY + 5, DAY, DAY + 1]
    state = blank_state(5, 1, due=DAY, coupon=before, coupon_until=until, coupon_from=77)
    [made], _ = _contact(state, ShopContacts(channels=(_one(coupon=0.2),)))
    # One as deep is renewed; beside a deeper one none is given.
    assert state.coupon.tolist() == [0.2, 0.2, 0.3, 0.2, 0.3]
    assert state.coupon_until.tolist() == [DAY + 14, DAY + 14, DAY + 5, DAY + 14, DAY + 1]
    assert state.coupon_from.tolist() == [0, 1, 77, 3, 77]
    assert made.coupon.tolist() == [0.2, 0.2, 0.0, 0.2, 0.0]


def test_of_two_coupons_of_a_day_the_deeper_counts_whichever_comes_first() -> None:
    for depths in ((0.1, 0.3), (0.3, 0.1)):
        channels = tuple(_one(name=f"c{depth}", coupon=depth) for depth in depths)
        state = blank_state(3, 2, due=DAY)
        _contact(state, ShopContacts(channels=channels))
        assert state.coupon.tolist() == [0.3] * 3
        assert state.coupon_from.tolist() == [3 * depths.index(0.3) + at for at in range(3)]


def test_a_decision_is_turned_round_on_the_day_of_birth_only() -> None:
    channels = tuple(_one(name=name, held_out=0.5) for name in "abd")
    campaign = ShopCampaign(name="c", channel="d", day=DAY, held_out=0.5)
    contacts = ShopContacts(channels=channels, campaigns=(campaign,))
    due = [[DAY] * N, [DAY] * N, [0] * N]
    as_it_was, _ = _contact(blank_state(N, 3, due=due), contacts)
    # The channels' own slots come first, then the campaign's.
    other = np.array([-1, 0, 1, 3])[np.arange(N) % 4]
    born = np.where(np.arange(N) % 8 < 4, DAY, DAY - 1)
    turned, _ = _contact(blank_state(N, 3, due=due, other=other, born=born), contacts)
    for slot, one, two in zip((0, 1, 3), as_it_was, turned, strict=True):
        np.testing.assert_array_equal(one.held_out ^ two.held_out, (other == slot) & (born == DAY))


def test_the_opportunities_are_shown_before_anything_happens() -> None:
    campaign = ShopCampaign(name="c", channel="d", day=DAY, held_out=0)
    channels = tuple(_one(name=name, effect=1) for name in "abd")
    contacts = ShopContacts(channels=channels, campaigns=(campaign,))
    state = blank_state(3, 3, due=[[DAY, 0, DAY], [0, DAY, DAY], [0, 0, 0]])
    shown: list[Any] = []

    def before(state: State, day: int, column: Any, slot: Any) -> None:
        shown.append((day, column.tolist(), slot.tolist(), state.boost.sum(), state.due.copy()))

    outreach = Outreach(Draws(3), contacts, INTENT_DAYS)
    outreach.contact(state, 0, 3, DAY, Agenda(), None, before)
    [(day, column, slot, boost, due)] = shown
    assert (day, column, slot) == (DAY, [0, 2, 1, 2, 0, 1, 2], [0, 0, 1, 1, 3, 3, 3])
    assert boost == 0
    assert due.tolist() == [[DAY, 0, DAY], [0, DAY, DAY], [0, 0, 0]]
    assert state.boost[:2].sum() > 0


def test_luck_does_not_depend_on_who_else_is_there() -> None:
    contacts = ShopContacts(channels=(_one(held_out=0.5, coupon=0.2, coupon_share=0.5),))
    [whole], _ = _contact(blank_state(1000, 1, due=DAY), contacts)
    part = np.arange(0, 1000, 3)
    [some], _ = _contact(blank_state(len(part), 1, due=DAY, key=part), contacts)
    for name in ("held_out", "opened", "clicked", "unsubscribed", "coupon"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[part])


# What the shop's log says.

DAYS = 240
SHARED = ShopArrivals(
    segments=(ShopSegment(name="one", share=1.0, r=4, alpha=100, a=1, b=6),),
    # Nearly all come in the first weeks.
    growth=1e-6,
)
CHANNELS = (
    ShopChannel(name="note", rate=1.0, consent=0.7, held_out=0.25, unsubscribe=0.02, effect=0.3),
    ShopChannel(name="drip", rate=3.0, held_out=0.1, unsubscribe=0.03, effect=0.4, coupon=0.1),
    ShopChannel(name="back", audience="silent", silence=40, rate=2.0, tires=False, effect=0.3),
    ShopChannel(name="page", audience="visit", rate=0.4, tires=False, consent=0.6, held_out=0.0),
    ShopChannel(name="leaf", audience="parcel", rate=0.6, tires=False, held_out=0.3),
    ShopChannel(name="null", rate=1.0, tires=False, unsubscribe=0.01),
)
FATIGUE, PRESSURE, CONTROL = 0.2, 0.15, 0.2


@pytest.fixture(scope="module")
def shop() -> Shop:
    """A shop of six channels."""
    return simulate_shop(
        seed=5,
        n_customers=1500,
        days=DAYS,
        arrivals=SHARED,
        contacts=ShopContacts(
            channels=CHANNELS,
            campaigns=(ShopCampaign(name="spring", channel="note", day=150, held_out=0.4),),
            fatigue=FATIGUE,
            pressure=PRESSURE,
            control=CONTROL,
        ),
        visits=ShopVisits(),
        parcels=ShopParcels(),
        reviews=None,
        outcome_days=30,
    )


@pytest.fixture(scope="module")
def log(shop: Shop) -> pd.DataFrame:
    """The contacts with their truth, the day of each and its place within the day."""
    log = shop.contacts.merge(shop.truth.contacts, on="contact_id")
    log["day"] = (log["time"] - shop.call["start"]).dt.days
    names = [channel.name for channel in CHANNELS]
    log["slot"] = log["channel"].map(names.index).astype(int)
    log.loc[log["campaign"].notna(), "slot"] = len(names)
    return log.sort_values(["customer_id", "day", "slot"], ignore_index=True)


def _agreed(shop: Shop, channel: str) -> Any:
    """Return the customers that may be contacted by a channel on arrival."""
    table = shop.customers
    agrees = table.get(f"consent_{channel}", pd.Series(True, table.index))
    return table.loc[agrees & ~table["control_group"]]


def test_the_log_holds_no_controls_and_nobody_who_did_not_agree(
    shop: Shop, log: pd.DataFrame
) -> None:
    table = shop.customers
    assert _as_often_as(table["control_group"], CONTROL)
    for channel in CHANNELS:
        if channel.consent < 1:
            assert _as_often_as(table[f"consent_{channel.name}"], channel.consent)
        who = log.loc[log["channel"] == channel.name, "customer_id"]
        assert set(who) <= set(_agreed(shop, channel.name)["customer_id"])


@pytest.mark.parametrize("name", ["note", "drip", "null"])
def test_opportunities_come_at_the_rate_of_the_channel(
    shop: Shop, log: pd.DataFrame, name: str
) -> None:
    """On each day behind arrival and before unsubscribing, with probability 1 - exp(-rate / 30)."""
    [channel] = [one for one in CHANNELS if one.name == name]
    agreed = _agreed(shop, name).set_index("customer_id")
    born = (agreed["registered_at"] - shop.call["start"]).dt.days
    mine = log[(log["channel"] == name)]
    ended = mine[mine["unsubscribed"]].groupby("customer_id")["day"].min()
    last = ended.reindex(born.index).fillna(DAYS - 1)
    timed = mine[mine["campaign"].isna()]
    hit = 1 - math.exp(-channel.rate / 30)
    days = (last - born).sum()
    assert len(timed) > 1000
    assert len(timed) == pytest.approx(days * hit, abs=4 * math.sqrt(days * hit * (1 - hit)))


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_the_held_out_are_a_random_share_of_the_log(
    log: pd.DataFrame, channel: ShopChannel
) -> None:
    mine = log[(log["channel"] == channel.name) & log["campaign"].isna()]
    assert _as_often_as(mine["held_out"], channel.held_out)
    out = mine[mine["held_out"]]
    assert not out[["opened", "clicked", "unsubscribed"]].to_numpy().any()
    assert (out[["cost", "coupon"]] == 0).to_numpy().all()
    assert (mine.loc[~mine["held_out"], "cost"] == channel.cost).all()


def test_a_campaign_is_one_day_with_its_own_holdout(shop: Shop, log: pd.DataFrame) -> None:
    mine = log[log["campaign"].notna()]
    assert (mine["day"] == 150).all()
    assert (mine["channel"] == "note").all()
    assert _as_often_as(mine["held_out"], 0.4)
    assert mine["customer_id"].is_unique
    left = log[(log["channel"] == "note") & log["unsubscribed"] & (log["day"] < 150)]
    there = _agreed(shop, "note")
    there = there[there["registered_at"] < shop.call["start"] + pd.Timedelta(days=151)]
    assert set(mine["customer_id"]) == set(there["customer_id"]) - set(left["customer_id"])


def test_nobody_is_contacted_after_unsubscribing(log: pd.DataFrame) -> None:
    ended = log[log["unsubscribed"]].groupby(["customer_id", "channel"], observed=True)["day"]
    assert len(ended) > 300
    merged = log.merge(ended.min().rename("ended"), on=["customer_id", "channel"])
    assert (merged["day"] <= merged["ended"]).all()


def _recent(log: pd.DataFrame) -> Any:
    """Return the tiring contacts before each contact: today, or on the 29 days before."""
    tires = log["channel"].map({channel.name: channel.tires for channel in CHANNELS}).astype(bool)
    counted = (tires & ~log["held_out"]).to_numpy()
    # The log is sorted: the counted contacts up to a row, less those up to 30 days before it.
    total = np.concatenate([[0], np.cumsum(counted)])
    at = log["customer_id"].to_numpy() * 1000 + log["day"].to_numpy()
    own = log["customer_id"].to_numpy() * 1000
    first = np.searchsorted(at, np.maximum(at - 29, own))
    return total[np.arange(len(log))] - total[first]


def test_recent_contacts_are_those_of_the_log(log: pd.DataFrame) -> None:
    recent = _recent(log)
    assert recent.max() >= 6
    np.testing.assert_array_equal(log["recent_contacts"], recent)


def test_what_a_contact_adds_falls_with_fatigue(log: pd.DataFrame) -> None:
    effect = log["channel"].map({one.name: one.effect for one in CHANNELS}).astype(float)
    np.testing.assert_allclose(
        log["log_hazard"], effect * np.exp(-FATIGUE * _recent(log)), rtol=1e-12
    )


def test_unsubscribing_rises_with_pressure(log: pd.DataFrame) -> None:
    sent = log[~log["held_out"]]
    base = sent["channel"].map({one.name: one.unsubscribe for one in CHANNELS}).astype(float)
    chance = base * np.exp(PRESSURE * sent["recent_contacts"])
    for channel in ("note", "drip", "null"):
        for few in (True, False):
            mine = (sent["channel"] == channel) & ((sent["recent_contacts"] <= 2) == few)
            assert _as_often_as(sent.loc[mine, "unsubscribed"], chance[mine])
    assert not sent.loc[base == 0, "unsubscribed"].any()


def test_opened_tells_the_living_from_the_gone(shop: Shop, log: pd.DataFrame) -> None:
    """The gone open at the rate times open_gone; the living lie between 1 and open_intent."""
    settings = shop.call["contacts"]
    sent = log[~log["held_out"]]
    left = shop.truth.customers.set_index("customer_id")["left_at"]
    left_day = (left - shop.call["start"]).dt.days.reindex(sent["customer_id"]).to_numpy()
    np.testing.assert_array_equal(sent["alive"], ~(left_day <= sent["day"].to_numpy()))
    gone, alive = sent[~sent["alive"]], sent[sent["alive"]]
    assert _as_often_as(gone["opened"], 0.3 * settings.open_gone)
    assert _as_often_as(gone.loc[gone["opened"], "clicked"], 0.2 * settings.open_gone)
    spread = 4 * math.sqrt(0.3 / len(alive))
    assert 0.3 + spread < alive["opened"].mean() < 0.3 * settings.open_intent - spread


def test_leaflets_come_with_parcels(shop: Shop, log: pd.DataFrame) -> None:
    """To a share of the receipt days, at the moment of a receipt of that day."""
    parcels = shop.parcels.dropna(subset=["delivered_at"])
    day = (parcels["delivered_at"] - shop.call["start"]).dt.days
    allowed = parcels["customer_id"].isin(_agreed(shop, "leaf")["customer_id"])
    receipts = set(zip(parcels["customer_id"][allowed], day[allowed], strict=True))
    mine = log[log["channel"] == "leaf"]
    met = set(zip(mine["customer_id"], mine["day"], strict=True))
    assert len(met) == len(mine)
    assert met <= receipts
    assert _as_often_as([receipt in met for receipt in receipts], 0.6)
    moments = set(zip(parcels["customer_id"], parcels["delivered_at"], strict=True))
    assert set(zip(mine["customer_id"], mine["time"], strict=True)) <= moments


def test_pages_are_seen_on_visits(shop: Shop, log: pd.DataFrame) -> None:
    mine = log[log["channel"] == "page"]
    assert len(mine) > 1000
    visits = set(zip(shop.visits["customer_id"], shop.visits["time"], strict=True))
    assert set(zip(mine["customer_id"], mine["time"], strict=True)) <= visits


def test_the_silent_are_silent(shop: Shop, log: pd.DataFrame) -> None:
    mine = log[log["channel"] == "back"].sort_values("time")
    mine = mine.assign(end=shop.call["start"] + pd.to_timedelta(mine["day"] + 1, unit="D"))
    orders = shop.orders[["customer_id", "time"]].rename(columns={"time": "ordered_at"})
    last = pd.merge_asof(
        mine.sort_values("end"), orders, left_on="end", right_on="ordered_at", by="customer_id"
    )
    silence = last["end"] - last["ordered_at"]
    # An order "again" within hours is the same purchase: silence counts from its first.
    assert (silence >= pd.Timedelta(days=40) - pd.Timedelta(hours=3)).all()
    assert silence.min() < pd.Timedelta(days=42)


def test_the_null_channel_changes_nothing(log: pd.DataFrame) -> None:
    null = log[(log["channel"] == "null") & log["orders_contacted"].notna()]
    assert len(null) > 1000
    np.testing.assert_array_equal(null["orders_contacted"], null["orders_held_out"])
    np.testing.assert_array_equal(null["margin_contacted"], null["margin_held_out"])
    note = log[(log["channel"] == "note") & log["orders_contacted"].notna()]
    assert (note["orders_contacted"] > note["orders_held_out"]).any()


def test_contacts_are_spread_over_the_hours_from_nine_to_nine(log: pd.DataFrame) -> None:
    mine = log[log["channel"].isin(["note", "drip", "null"])]
    hours = (mine["time"] - mine["time"].dt.normalize()) / pd.Timedelta(hours=1)
    assert stats.kstest(hours, stats.uniform(9, 12).cdf).pvalue > ALPHA
