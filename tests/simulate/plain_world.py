"""An oracle: the life of one customer of a simulated shop, one day and one event at a time.

It follows the rules as the docstrings of the settings state them, in plain Python without arrays,
copies or agendas: effects and losses are added up anew every day, pressure is counted from the
list of contacts, and another decision is followed by living the whole life again. Only the luck
(`Draws`), the calendar, the population and what becomes of a single order (payment, parcel, review,
money) come from the package: their own tests prove those.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib.simulate._calendar import build_calendar
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Orders
from touchpoint_lib.simulate._population import populate
from touchpoint_lib.simulate._spend import sell, send_back
from touchpoint_lib.simulate._state import NEVER, State
from touchpoint_lib.simulate.parcels import delay_factors, ship
from touchpoint_lib.simulate.payments import pay
from touchpoint_lib.simulate.reviews import review

_LAST_MOMENT = 1 - 2.0**-32


def blank_state(n: int, channels: int = 0, **given: Any) -> State:
    """Return ``n`` customers to whom nothing has happened and nothing will, but for what is given.

    They came on day 0 and need more of the shop's time than there is.
    """
    zeros = np.zeros(n, dtype=np.int32)
    state = State(
        born=zeros.copy(),
        other=np.full(n, -1, dtype=np.int8),
        key=np.arange(n),
        segment=np.zeros(n, dtype=np.int8),
        province=np.zeros(n, dtype=np.int8),
        rate=np.ones(n),
        dropout=np.zeros(n),
        control=np.zeros(n, dtype=np.bool_),
        number=zeros + np.int32(1),
        last=np.zeros(n),
        run=np.zeros(n),
        need=np.full(n, 1e12),
        speed=np.ones(n),
        owed=np.zeros(n),
        boost=np.zeros((channels + 2, n)),
        recent=zeros.copy(),
        coupon=np.zeros(n),
        coupon_until=np.full(n, -1, dtype=np.int32),
        coupon_from=np.full(n, -1),
        subscribed=np.ones((channels, n), dtype=np.bool_),
        due=np.full((channels, n), NEVER),
        visit_due=np.full(n, NEVER),
        visited=np.full(n, -1, dtype=np.int32),
        received=np.full(n, -1, dtype=np.int32),
        clicked=np.zeros(n, dtype=np.int8),
        clicked_until=np.full(n, -1, dtype=np.int32),
    )
    for name, values in given.items():
        getattr(state, name)[...] = values
    return state


@dataclass
class Bought:
    """An order: ``source`` is a name, ``coupon_of`` the position of the contact, or None."""

    time: float
    event: int
    number: int
    depth: float
    source: str
    coupon_of: int | None
    margin: float  # NaN: never paid
    received: float  # NaN: never; the time of payment where there are no parcels


@dataclass
class Met:
    """An opportunity for a contact; ``slot`` is the name of the campaign, else of the channel."""

    day: int
    channel: str
    slot: str
    held_out: bool
    effect: float
    recent: int
    opened: bool
    clicked: bool
    unsubscribed: bool
    coupon: float
    coupon_days: int
    alive: bool


@dataclass
class Seen:
    """A customer at a midnight; ``run`` and ``ahead`` are days of the shop's own time.

    They have passed since the last order, and will pass in the horizon without a new event.
    """

    alive: bool
    silence: float
    purchases: int
    recent: int
    run: float
    ahead: float


@dataclass
class Life:
    """What happened to a customer."""

    orders: list[Bought] = field(default_factory=list)
    contacts: list[Met] = field(default_factory=list)
    visits: list[int] = field(default_factory=list)
    #: What raises or lowers the log hazard: first day, height then, days in which it fades to 1/e.
    pushes: list[tuple[int, float, float]] = field(default_factory=list)
    parcels: set[int] = field(default_factory=set)
    seen: dict[int, Seen] = field(default_factory=dict)
    left: bool = False


class PlainShop:
    """A shop of the arguments of `simulate_shop`, as `Shop.call` holds them."""

    def __init__(self, call: dict[str, Any]) -> None:
        self.call = call
        self.draws = Draws(call["seed"])
        self.days = call["days"]
        self.segments = call["arrivals"].segments
        self.provinces = call["arrivals"].provinces
        start = pd.Timestamp(call["start"])
        self.looks = {(pd.Timestamp(date) - start).days for date in call["snapshots"]}
        self.calendar = build_calendar(
            start,
            self.days + call["horizon"],
            self.provinces,
            call["seasons"],
            call["discounts"],
        )
        self.people = populate(
            self.draws, call["arrivals"], self.calendar, call["n_customers"], self.days
        )
        visits, contacts, parcels = call["visits"], call["contacts"], call["parcels"]
        self.own_sources = ["shop"] if visits is None else list(visits.sources)
        self.own_shares = [1.0] if visits is None else list(visits.sources.values())
        self.channels = () if contacts is None else contacts.channels
        self.sources = self.own_sources + [channel.name for channel in self.channels]
        self.jams = None if parcels is None else delay_factors(parcels, self.provinces, start)

    def live(self, place: int, turned: tuple[int, str] | None = None) -> Life:
        """Return the life of the customer at ``place`` in the order of arrival.

        ``turned`` is the day and the slot of an opportunity that is decided the other way.
        """
        return _Customer(self, place, turned).life


class _Customer:
    def __init__(self, shop: PlainShop, place: int, turned: tuple[int, str] | None) -> None:
        people = shop.people
        self.shop, self.place, self.turned, self.life = shop, place, turned, Life()
        self.key = int(people.key[place])
        self.segment = shop.segments[int(people.segment[place])]
        self.province = int(people.province[place])
        self.rate, self.dropout = float(people.rate[place]), float(people.dropout[place])
        self.last = float(people.arrived[place])
        self.number, self.run, self.owed = 1, 0.0, 0.0
        self.need = self._next_need()
        self.coupon: tuple[float, int, int | None] | None = None  # depth, last day, contact
        self.click: tuple[str, int] | None = None  # channel, last day
        contacts = shop.call["contacts"]
        self.control = contacts is not None and self._luck("contact.control", 0) < contacts.control
        self.agrees = {
            channel.name: self._luck("contact.consent", zlib.crc32(channel.name.encode()))
            < channel.consent
            for code, channel in enumerate(shop.channels)
        }
        born = int(self.last)
        self.due = {
            code: self._next_due(code, born)
            for code, channel in enumerate(shop.channels)
            if channel.audience in ("all", "silent")
        }
        self.habit_due = self._next_habit(born)
        for day in range(born, shop.days):
            self._look(day, born)
            self._pass(day, born)
        self._look(shop.days, born)
        self.life.left = math.isinf(self.need)

    def _luck(self, stream: str, event: int) -> float:
        return float(self.shop.draws.uniform(stream, self.key, event))

    def _wait(self, stream: str, event: int, days: float) -> int:
        """Return the whole days, at least 1, until the next event of a Poisson process."""
        wait = -math.log(self._luck(stream, event)) * days
        return 1 + int(min(math.floor(wait), 1e6))

    def _next_due(self, code: int, day: int) -> int:
        days = 30 / self.shop.channels[code].rate
        return day + self._wait("contact.wait", self._event(code, day), days)

    def _next_habit(self, day: int) -> int:
        visits = self.shop.call["visits"]
        return -1 if visits is None else day + self._wait("visit.wait", day, 30 / visits.habit)

    def _next_need(self) -> float:
        """Return the sum of the gap's stages; infinity for whoever leaves behind this order."""
        if self._luck("purchase.leave", self.number) < self.dropout:
            return math.inf
        stages = [
            -math.log(self._luck("purchase.stage", self.number * 16 + stage))
            for stage in range(self.segment.regularity)
        ]
        return sum(stages) / self.rate

    def _lift(self, depth: float) -> float:
        if depth > 0:
            return math.exp(self.segment.discount_response * depth)
        return 0.0 if self.segment.discount_only else 1.0

    def _recent(self, day: int) -> int:
        """Return the tiring contacts of the day so far and the 29 days before it."""
        tiring = {channel.name for channel in self.shop.channels if channel.tires}
        return sum(
            not met.held_out and met.channel in tiring and met.day > day - 30
            for met in self.life.contacts
        )

    def _speed(self, day: int, part: float, known: int) -> tuple[float, float]:
        """Return the hazard's factor without and with discounts and debts, which are settled.

        Only ``part`` of the day counts, and only what had begun by the day ``known``.
        """
        discounts, calendar = self.shop.call["discounts"], self.shop.calendar
        depth = float(calendar.depth[day])
        if self.coupon is not None and self.coupon[1] >= day:
            depth = max(depth, self.coupon[0])
        pushes = sum(
            height * math.exp(-(day - first) / fade)
            for first, height, fade in self.life.pushes
            if first <= known
        )
        base = float(calendar.season[self.province, day]) * math.exp(pushes)
        speed = base * self._lift(depth)
        if discounts is not None and depth == 0:
            back = min(self.owed / discounts.repay_days, 0.9 * speed)
            speed -= back
            self.owed -= back
        elif discounts is not None and not self.segment.discount_only:
            self.owed += discounts.moved * part * (speed - base)
        return base, speed

    def _look(self, day: int, born: int) -> None:
        # Snapshots are of the first world.
        if day not in self.shop.looks or day == born or self.turned is not None:
            return
        owed, ahead = self.owed, 0.0
        for later in range(day, day + self.shop.call["horizon"]):
            ahead += self._speed(later, 1.0, day)[1]
        self.owed = owed
        self.life.seen[day] = Seen(
            alive=math.isfinite(self.need),
            silence=day - self.last,
            purchases=self.number,
            # At midnight nothing has been sent yet: the contacts of 30 days ago still count.
            recent=self._recent(day - 1),
            run=self.run,
            ahead=ahead,
        )

    def _pass(self, day: int, born: int) -> None:
        public = float(self.shop.calendar.depth[day])
        # Of the day of arrival only the part behind the first order counts.
        left = 1.0
        if day == born:
            in_by = self.shop.calendar.fraction_of_orders(np.array([self.last - born]))
            left -= float(in_by[0])
        base, speed = self._speed(day, left, day)
        if day == born:
            self._buy(day, public, None, first_today=True)
        while self.run + speed * left >= self.need:
            left -= (self.need - self.run) / speed
            self.run = 0.0
            self.number += 1
            over = np.clip([1 - left], 0, _LAST_MOMENT)
            time_of_day = self.shop.calendar.time_of_day(over)
            earlier, self.last = self.last, day + float(time_of_day[0])
            used = None
            if self.coupon is not None and self.coupon[1] >= day and self.coupon[0] > public:
                used, self.coupon = self.coupon, None
                discounts, slower = self.shop.call["discounts"], base * self._lift(public)
                if discounts is not None and not self.segment.discount_only:
                    self.owed -= discounts.moved * left * (speed - slower)
                speed = slower
            self._buy(day, public, used, first_today=earlier < day)
            self.need = self._next_need()
        self.run += speed * left
        visited = self.shop.call["visits"] is not None and self._visit(day, speed)
        if visited:
            self.life.visits.append(day)
        if self.shop.call["contacts"] is not None:
            self._meet(day, visited)

    def _buy(
        self,
        day: int,
        public: float,
        used: tuple[float, int, int | None] | None,
        *,
        first_today: bool,
    ) -> None:
        """Take an order, and the one that follows it within hours, if any."""
        coupon_of = None if used is None else used[2]
        depth = public if used is None else used[0]
        self._order(day, self.last, self.number * 2, depth, coupon_of, first_today)
        again = self._luck("order.again", self.number) < self.shop.call["goods"].again
        if again and self._lift(public) > 0:
            rest = min(0.125, day + _LAST_MOMENT - self.last)
            time = self.last + self._luck("order.wait", self.number) * rest
            self._order(day, time, self.number * 2 + 1, public, None, False)

    def _order(
        self,
        day: int,
        time: float,
        event: int,
        depth: float,
        coupon_of: int | None,
        first_today: bool,
    ) -> None:
        shop, call, key = self.shop, self.shop.call, np.array([self.key])
        source = shop.own_sources[
            int(shop.draws.choice("order.source", shop.own_shares, self.key, event))
        ]
        if self.click is not None and self.click[1] >= day:
            source = self.click[0]
        shares = [product.share for product in call["goods"].products]
        order = Orders(
            customer=key,
            event=np.array([event]),
            time=np.array([time]),
            number=np.array([self.number]),
            source=np.array([shop.sources.index(source)], dtype=np.int8),
            province=np.array([self.province], dtype=np.int8),
            product=shop.draws.choice("spend.product", shares, key, np.array([event])),
            flash=np.array([bool(shop.calendar.flash[day])]),
            first_today=np.array([first_today]),
        )
        paid = order.time
        if call["payments"] is not None:
            paid = pay(shop.draws, call["payments"], order, shop.sources).paid_at
        received, late = paid, np.array([False])
        if call["parcels"] is not None:
            settings, jams = call["parcels"], shop.jams
            assert jams is not None
            parcel = ship(shop.draws, settings, shop.provinces, order, paid, jams)
            received, late = parcel.delivered_at, parcel.late
            if not math.isnan(received[0]):
                self.life.parcels.add(math.floor(received[0]))
                push = -float(parcel.loss[0])
                self.life.pushes.append((math.floor(received[0]) + 1, push, settings.late_days))
        if call["reviews"] is not None:
            settings, products = call["reviews"], call["goods"].products
            written = review(shop.draws, settings, products, order, received, late)
            if written.loss[0] > 0:
                first = math.floor(written.loss_at[0]) + 1
                self.life.pushes.append((first, -float(written.loss[0]), settings.loss_days))
        segment = np.array([shop.people.segment[self.place]])
        nu = np.array([shop.people.nu[self.place]])
        sale = sell(shop.draws, call["goods"], shop.segments, order, segment, nu, np.array([depth]))
        margin = float(sale.amount[0] - sale.cost[0])
        if not math.isnan(send_back(shop.draws, call["goods"], order, received)[0]):
            margin = -call["goods"].shipping
        if math.isnan(paid[0]):
            margin = math.nan
        self.life.orders.append(
            Bought(time, event, self.number, depth, source, coupon_of, margin, float(received[0]))
        )

    def _event(self, slot: int, day: int) -> int:
        """Return the event of a day's draws: it hangs on the name of the channel or campaign."""
        channels, contacts = self.shop.channels, self.shop.call["contacts"]
        if slot < len(channels):
            name = channels[slot].name
        else:
            name = f"campaign {contacts.campaigns[slot - len(channels)].name}"
        return day * 2**32 + zlib.crc32(name.encode())

    def _visit(self, day: int, speed: float) -> bool:
        """Return whether the customer looks around today."""
        visits = self.shop.call["visits"]
        comes = self.need - self.run < visits.intent_days and (
            self._luck("visit.intent", day) < visits.intent * min(speed, 1.0)
        )
        if self.habit_due == day:
            self.habit_due = self._next_habit(day)
            alive = math.isfinite(self.need)
            comes = comes or alive or self._luck("visit.gone", day) < visits.gone
        return comes

    def _meet(self, day: int, visited: bool) -> None:
        """Let the shop speak to the customer: first decide who is meant, then speak."""
        contacts, silent = self.shop.call["contacts"], day + 1 - self.last
        meant: list[tuple[int, str, Any, float, float, int]] = []
        for code, channel in enumerate(self.shop.channels):
            due = self.due.get(code) == day
            if due:
                self.due[code] = self._next_due(code, day)
            if channel.audience == "silent":
                due = due and silent >= channel.silence
            elif channel.audience in ("visit", "parcel"):
                there = visited if channel.audience == "visit" else day in self.life.parcels
                due = there and self._luck("contact.chance", self._event(code, day)) < channel.rate
            if due:
                offer = channel.held_out, channel.coupon, channel.coupon_days
                meant.append((code, channel.name, channel, *offer))
        by_name = {channel.name: channel for channel in self.shop.channels}
        mailed: set[str] = set()
        for number, campaign in enumerate(contacts.campaigns):
            fewest, most = campaign.silence
            agrees = self.agrees[campaign.channel]
            fits = campaign.day == day and agrees and fewest <= silent <= most
            if fits and campaign.channel not in mailed:
                # It takes the place of the channel's own contact.
                mailed.add(campaign.channel)
                meant = [one for one in meant if one[2].name != campaign.channel]
                offer = campaign.held_out, campaign.coupon, campaign.coupon_days
                slot = len(self.shop.channels) + number
                meant.append((slot, campaign.name, by_name[campaign.channel], *offer))
        reachable = {name for name, agrees in self.agrees.items() if agrees and not self.control}
        for slot, name, channel, held_out, coupon, coupon_days in meant:
            if channel.name in reachable:
                self._speak(day, slot, name, channel, held_out, coupon, coupon_days)

    def _speak(
        self,
        day: int,
        slot: int,
        name: str,
        channel: Any,
        share_held_out: float,
        coupon: float,
        coupon_days: int,
    ) -> None:
        contacts, visits = self.shop.call["contacts"], self.shop.call["visits"]
        event = self._event(slot, day)
        recent = self._recent(day)
        held_out = self._luck("contact.held_out", event) < share_held_out
        if self.turned == (day, name):
            held_out = not held_out
        alive = math.isfinite(self.need)
        intent = self.need - self.run < (0.0 if visits is None else visits.intent_days)
        leaning = contacts.open_intent if intent else 1.0 if alive else contacts.open_gone
        opened = not held_out and self._luck("contact.opened", event) < channel.opened * leaning
        clicked = opened and self._luck("contact.clicked", event) < channel.clicked * leaning
        leaving = channel.unsubscribe * math.exp(contacts.pressure * recent)
        leaves = not held_out and self._luck("contact.left", event) < leaving
        share = 1.0 if slot >= len(self.shop.channels) else channel.coupon_share
        offered = not held_out and self._luck("contact.coupon", event) < share
        # None comes while a deeper one holds tomorrow; one as deep is renewed.
        at_hand = self.coupon[0] if self.coupon is not None and self.coupon[1] > day else 0.0
        offered = offered and coupon >= at_hand
        effect = channel.effect * math.exp(-contacts.fatigue * recent)
        met = Met(
            day=day,
            channel=channel.name,
            slot=name,
            held_out=held_out,
            effect=effect,
            recent=recent,
            opened=opened,
            clicked=clicked,
            unsubscribed=leaves,
            coupon=coupon if offered else 0.0,
            coupon_days=coupon_days,
            alive=alive,
        )
        self.life.contacts.append(met)
        if not held_out:
            self.life.pushes.append((day + 1, effect, channel.decay))
        if clicked:
            self.click = channel.name, day + 3
        if leaves:
            self.agrees[channel.name] = False
        if met.coupon > 0:
            self.coupon = met.coupon, day + coupon_days, len(self.life.contacts) - 1
