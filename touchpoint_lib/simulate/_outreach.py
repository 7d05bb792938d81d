"""One day's contacts: who is due, who is held out, what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.simulate._agenda import Agenda
from touchpoint_lib.simulate._draws import Draws, event_of
from touchpoint_lib.simulate._state import Days, State
from touchpoint_lib.simulate.contacts import ShopContacts

#: Days in which contacts tire, and behind which they are forgotten.
TIRING = 30
#: Days for which a click is the source of an order.
_CLICK_COUNTS = 3


@dataclass(frozen=True)
class Contacted:
    """Opportunities of one day through one channel, held out or not, by column of the state."""

    column: Days
    day: int
    channel: int
    campaign: int  # -1: none
    held_out: BoolArray
    coupon: FloatArray  # depth offered; 0 for none
    coupon_days: int
    opened: BoolArray
    clicked: BoolArray
    unsubscribed: BoolArray
    recent: npt.NDArray[np.int16]  # tiring contacts in the 30 days before
    effect: FloatArray  # what it adds to the log hazard, or would have added
    alive: BoolArray
    tires: bool


@dataclass(frozen=True)
class _Mailing:
    """Who is meant today: a channel's own opportunities, or a campaign's."""

    slot: int
    channel: int
    campaign: int
    column: IntArray
    held_out: float
    coupon: float
    coupon_share: float
    coupon_days: int


#: The luck of a contact, by stream.
_STREAMS = ("held_out", "opened", "clicked", "left", "coupon")


class Outreach:
    """The contacts of a shop, as they go out day by day."""

    def __init__(self, draws: Draws, contacts: ShopContacts, intent_days: float) -> None:
        self._draws = draws
        self._contacts = contacts
        self._intent_days = intent_days
        self._timed = [
            code
            for code, channel in enumerate(contacts.channels)
            if channel.audience in ("all", "silent")
        ]

    def first_due(self, key: IntArray, born: Days) -> Days:
        """Return the day of the first opportunity by channel and customer."""
        due = np.zeros((len(self._contacts.channels), len(key)), dtype=np.int32)
        for code in self._timed:
            due[code] = self._next(code, key, born)
        return due

    def _next(self, code: int, key: IntArray, day: Days | int) -> Days:
        """Return the day after ``day`` on which the next opportunity at random times falls."""
        # In a Poisson process the days until the next event are geometric.
        channel = self._contacts.channels[code]
        waits = self._draws.exponential("contact.wait", key, event_of(channel.name, day))
        days = np.floor(waits * (30 / channel.rate))
        return (day + 1 + np.minimum(days, 1e6)).astype(np.int32)

    def _events(self, day: int) -> IntArray:
        """Return the events of a day's draws by slot: channels, then campaigns."""
        names = [channel.name for channel in self._contacts.channels]
        campaigns = [f"campaign {campaign.name}" for campaign in self._contacts.campaigns]
        return np.array([event_of(name, day) for name in (*names, *campaigns)], dtype=np.int64)

    def _mailings(self, state: State, lo: int, hi: int, day: int) -> list[_Mailing]:
        """Return who is meant today, before anybody is contacted.

        A campaign takes the place of its channel's own opportunity, and of later campaigns.
        """
        campaigns = self._campaigns(state, lo, hi, day)
        found = []
        for code, channel in enumerate(self._contacts.channels):
            if channel.audience == "visit":
                column = np.flatnonzero(state.visited[lo:hi] == day) + lo
            elif channel.audience == "parcel":
                column = np.flatnonzero(state.received[lo:hi] == day) + lo
            else:
                column = np.flatnonzero(state.due[code, lo:hi] == day) + lo
            column = column[state.subscribed[code, column] & ~state.control[column]]
            for campaign in campaigns:
                if campaign.channel == code:
                    column = column[~np.isin(column, campaign.column)]
            if channel.audience == "silent":
                column = column[day + 1 - state.last[column] >= channel.silence]
            elif channel.audience in ("visit", "parcel"):
                event = event_of(channel.name, day)
                luck = self._draws.uniform("contact.chance", state.key[column], event)
                column = column[luck < channel.rate]
            found.append(
                _Mailing(
                    code,
                    code,
                    -1,
                    column,
                    channel.held_out,
                    channel.coupon,
                    channel.coupon_share,
                    channel.coupon_days,
                )
            )
        return [mailing for mailing in (*found, *campaigns) if len(mailing.column)]

    def _campaigns(self, state: State, lo: int, hi: int, day: int) -> list[_Mailing]:
        """Return the campaigns of the day."""
        names = [channel.name for channel in self._contacts.channels]
        found: list[_Mailing] = []
        for number, campaign in enumerate(self._contacts.campaigns):
            if campaign.day != day:
                continue
            code = names.index(campaign.channel)
            column = np.arange(lo, hi)[state.subscribed[code, lo:hi] & ~state.control[lo:hi]]
            silent = day + 1 - state.last[column]
            column = column[(silent >= campaign.silence[0]) & (silent <= campaign.silence[1])]
            for earlier in found:
                if earlier.channel == code:
                    column = column[~np.isin(column, earlier.column)]
            found.append(
                _Mailing(
                    len(names) + number,
                    code,
                    number,
                    column,
                    campaign.held_out,
                    campaign.coupon,
                    1.0,
                    campaign.coupon_days,
                )
            )
        return found

    def contact(
        self,
        state: State,
        lo: int,
        hi: int,
        day: int,
        rested: Agenda,
        log: Callable[[Contacted], int] | None,
        before: Callable[[State, int, IntArray, IntArray], None] | None,
    ) -> None:
        """Contact whoever is due today among the columns ``lo`` to ``hi``.

        ``log`` takes each mailing and returns the row of its first contact; ``before`` is shown
        the columns and slots of all opportunities before anything happens. The second world has
        neither.
        """
        mailings = self._mailings(state, lo, hi, day)
        sizes = [len(mailing.column) for mailing in mailings]
        column = np.concatenate([np.zeros(0, dtype=np.int64), *(one.column for one in mailings)])
        slot = np.repeat(np.array([one.slot for one in mailings], dtype=np.int64), sizes)
        if before is not None and mailings:
            before(state, day, column, slot)
        # One draw a stream for all mailings: there are thousands of days.
        events = np.repeat(self._events(day)[[one.slot for one in mailings]], sizes)
        luck = [
            self._draws.uniform(f"contact.{stream}", state.key[column], events)
            for stream in _STREAMS
        ]
        for code in self._timed:
            column = np.flatnonzero(state.due[code, lo:hi] == day) + lo
            state.due[code, column] = self._next(code, state.key[column], day)
        ends = np.cumsum(sizes).tolist()
        for mailing, size, end in zip(mailings, sizes, ends, strict=True):
            mine = [numbers[end - size : end] for numbers in luck]
            done = self._send(state, mailing, day, mine, rested)
            first = -1 if log is None else log(done)
            self._hand_out(state, mailing, done, day, first)

    def _send(
        self, state: State, mailing: _Mailing, day: int, luck: list[FloatArray], rested: Agenda
    ) -> Contacted:
        """Contact the mailing's customers, but for those held out."""
        channel = self._contacts.channels[mailing.channel]
        column = mailing.column
        to_hold_out, to_open, to_click, to_leave, to_offer = luck
        held_out = to_hold_out < mailing.held_out
        held_out ^= (state.other[column] == mailing.slot) & (state.born[column] == day)
        sent = ~held_out
        recent = state.recent[column]
        effect = channel.effect * np.exp(-self._contacts.fatigue * recent)
        alive = state.lives(column)
        intent = state.need[column] - state.run[column] < self._intent_days
        leaning = np.where(alive, 1.0, self._contacts.open_gone)
        leaning = np.where(intent, self._contacts.open_intent, leaning)
        opened = sent & (to_open < channel.opened * leaning)
        clicked = opened & (to_click < channel.clicked * leaning)
        # Any larger exponent means the same: for sure.
        pressed = np.exp(np.minimum(self._contacts.pressure * recent, 700.0))
        leaving = channel.unsubscribe * pressed
        unsubscribed = sent & (to_leave < leaving)
        # A coupon renews one as deep, and does not come while a deeper one holds tomorrow.
        at_hand = np.where(state.coupon_until[column] > day, state.coupon[column], 0.0)
        offered = sent & (to_offer < mailing.coupon_share) & (mailing.coupon >= at_hand)
        coupon = np.where(offered, mailing.coupon, 0.0)

        reached = column[sent]
        state.boost[mailing.channel, reached] += effect[sent]
        if channel.tires:
            state.recent[reached] += 1
            rested.add_on(day + TIRING, reached)
        state.subscribed[mailing.channel, column[unsubscribed]] = False
        state.clicked[column[clicked]] = mailing.channel
        state.clicked_until[column[clicked]] = day + _CLICK_COUNTS
        return Contacted(
            column.astype(np.int32),
            day,
            mailing.channel,
            mailing.campaign,
            held_out,
            coupon,
            mailing.coupon_days,
            opened,
            clicked,
            unsubscribed,
            recent.astype(np.int16),
            effect,
            alive,
            channel.tires,
        )

    @staticmethod
    def _hand_out(state: State, mailing: _Mailing, done: Contacted, day: int, first: int) -> None:
        """Give the coupons."""
        given = done.coupon > 0
        column = mailing.column[given]
        state.coupon[column] = done.coupon[given]
        state.coupon_until[column] = day + mailing.coupon_days
        state.coupon_from[column] = np.flatnonzero(given) + first if first >= 0 else -1
