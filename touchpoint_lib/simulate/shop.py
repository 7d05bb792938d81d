"""A seeded shop whose truth is known."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    IntArray,
    check_choice,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.simulate._assembly import Frames, Parts, assembled, order_sources
from touchpoint_lib.simulate._block import Look, Rules, live, settle
from touchpoint_lib.simulate._calendar import build_calendar
from touchpoint_lib.simulate._columns import as_moment, as_times
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._fulfilment import Fulfilment
from touchpoint_lib.simulate._hazard import Hazard
from touchpoint_lib.simulate._outreach import Outreach
from touchpoint_lib.simulate._population import populate
from touchpoint_lib.simulate._returns import best_contact_day
from touchpoint_lib.simulate._tables import Arrays, block_tables
from touchpoint_lib.simulate._world import World
from touchpoint_lib.simulate.contacts import ShopContacts, ShopVisits
from touchpoint_lib.simulate.dirt import ShopDirt, soil
from touchpoint_lib.simulate.parcels import ShopParcels
from touchpoint_lib.simulate.payments import ShopPayments
from touchpoint_lib.simulate.reviews import ShopReviews
from touchpoint_lib.simulate.settings import ShopArrivals, ShopDiscounts, ShopGoods, ShopSeasons
from touchpoint_lib.simulate.truth import ShopTruth

#: Customers that run together: so many that the fixed cost of a day is small, so few that two
#: blocks need little memory. The result does not depend on it, but for rows of one second.
_BLOCK = 200_000
#: Blocks that run side by side: each more takes more memory.
_THREADS = 2
#: A century: codes of days stay small.
_MOST_DAYS = 36_525
_SETTINGS = {
    "arrivals": ShopArrivals,
    "seasons": ShopSeasons,
    "goods": ShopGoods,
    "discounts": ShopDiscounts,
    "visits": ShopVisits,
    "contacts": ShopContacts,
    "payments": ShopPayments,
    "parcels": ShopParcels,
    "reviews": ShopReviews,
    "dirt": ShopDirt,
}
#: Of these there is no shop without.
_NEEDED = ("arrivals", "goods")


@dataclass(frozen=True, eq=False)
class Shop:
    """A simulated shop: its tables, and the truth behind them.

    Times are local, without a zone, to the second; money is yuan; ids count from 1 in the order of
    time (of parcels, in that of their orders). Tables of processes that were switched off have no
    rows. What was not known at the end is missing; deadlines and promises may lie behind it.

    Who is contacted is decided at the end of a day, and a contact acts from the next day on; its
    time of day is decoration. Hours of the day mean something for orders and visits only.

    Parameters
    ----------
    customers
        customer_id, registered_at (the first order), channel, province, city; with contacts also
        control_group (no contact by any channel; reminders and care calls go to everybody) and,
        where a channel needs it, consent_* at registration.
    orders
        order_id, customer_id, time, source (of the visit, or the clicked contact), product,
        list_amount, discount (depth), amount (paid or to pay), margin (amount less goods and
        shipping; 0 unless paid, less the shipping alone if sent back), flash_sale, gift, status
        ("open", "paid", "cancelled"), returned_at; with contacts also coupon_contact_id (the
        contact whose coupon was used).
    payments
        order_id, customer_id, due_at, reminded_at, held_out (eligible for a reminder, not
        reminded), paid_at, cancelled_at.
    parcels
        parcel_id, order_id, customer_id, carrier, province, shipped_at, promised_at, delivered_at,
        cared_at, held_out (late, no care call). Only late parcels have one of these two: they are
        for the effect of care, and leak into a model of lateness.
    scans
        parcel_id, time, event.
    contacts
        contact_id, customer_id, time, channel, campaign (missing outside of campaigns), held_out
        (an opportunity, not contacted), cost, coupon (depth, 0 for none), coupon_until, opened,
        clicked, unsubscribed.
    visits
        customer_id, time, source.
    reviews
        review_id, order_id, customer_id, time, rating, text, replied_at, reply.
    truth
        What nobody knows about a real shop.
    call
        The arguments of `simulate_shop` that make this shop.
    """

    customers: pd.DataFrame
    orders: pd.DataFrame
    payments: pd.DataFrame
    parcels: pd.DataFrame
    scans: pd.DataFrame
    contacts: pd.DataFrame
    visits: pd.DataFrame
    reviews: pd.DataFrame
    truth: ShopTruth
    call: Mapping[str, Any]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{rows:,} {name}" for name, rows in self._sizes().items())
        return f"Shop({sizes})"

    def _repr_html_(self) -> str:
        rows = pd.Series(self._sizes(), name="rows").rename_axis("table")
        return rows.map("{:,}".format).to_frame().to_html()

    def _sizes(self) -> dict[str, int]:
        """Return the rows of each table."""
        names = [item.name for item in fields(self) if item.name not in ("truth", "call")]
        return {name: len(getattr(self, name)) for name in names}

    def twin(self, **changes: Any) -> Shop:
        """Return the same shop in another world, where only ``changes`` differ.

        Every customer meets the same luck there, event by event, so that the difference between
        the two shops is the effect of the changes, and little else. Changes of arrivals, start,
        days, n_customers, and of discounts (for customers who buy on nothing else) change who
        arrives when, and so the ids; ``truth.customers["person"]`` tells the same luck.

        Parameters
        ----------
        **changes
            Arguments of `simulate_shop`.

        Raises
        ------
        InputError
            If there is no such argument, or its value cannot be used.

        Examples
        --------
        What all contacts together bring:

        >>> import touchpoint_lib as tp
        >>> shop = tp.simulate_shop(seed=1, n_customers=1000, days=365)
        >>> quiet = shop.twin(contacts=None)
        >>> len(shop.orders) > len(quiet.orders)
        True
        """
        for name in changes:
            check_choice("an argument of twin", name, list(self.call))
        call = {**self.call, **changes}
        if call["contacts"] is None and "outcome_days" not in changes:
            # Without contacts there is nothing to know the other outcome of.
            call["outcome_days"] = None
        return simulate_shop(**call)

    def best_contact_days(
        self, channel: str, *, coupon: float = 0.0, horizon: int = 60, latest: int = 180
    ) -> pd.DataFrame:
        """Return the best day for one contact after each customer's last order, by the truth.

        The plan is to contact the customer at the end of that day of silence, unless an order has
        come by then. Its value is the expected margin (of a paid order at list price, returns taken
        off) of the order it brings into the next ``horizon`` days, less the contact's cost and the
        coupon, which is also given to those who would have come anyway. The contact speeds up
        whoever is still a customer; it brings nobody back who has left. Other contacts, debts of
        earlier discounts and fatigue are left aside.

        Parameters
        ----------
        channel
            Whose effect, decay and cost count.
        coupon
            Depth of the coupon that comes with it: here only its cost, not what it does.
        horizon
            Days behind the contact that count.
        latest
            The last day of silence considered.

        Returns
        -------
        pandas.DataFrame
            Index customer_id; day (of silence, 0 is the day of the order; missing where no day is
            worth a contact), date, value (yuan, 0 where day is missing).

        Raises
        ------
        InputError
            If there is no such channel, or a number is out of bounds.

        Examples
        --------
        >>> import touchpoint_lib as tp
        >>> shop = tp.simulate_shop(seed=1, n_customers=1000, days=365)
        >>> days = shop.best_contact_days("sms")
        >>> bool((days["value"] >= 0).all())
        True
        """
        contacts, goods = self.call["contacts"], self.call["goods"]
        if contacts is None:
            raise fail("this shop has no contacts", "simulate it with contacts=ShopContacts(...)")
        check_choice("channel", channel, [one.name for one in contacts.channels])
        check_number("coupon", coupon, ge=0, lt=1)
        horizon = check_integer("horizon", horizon, ge=1)
        latest = check_integer("latest", latest, ge=0)
        check_number("horizon + latest", horizon + latest, le=_MOST_DAYS)
        chosen = next(one for one in contacts.channels if one.name == channel)
        arrivals, start, days = self.call["arrivals"], self.call["start"], self.call["days"]
        calendar = build_calendar(
            start,
            days + latest + horizon + 2,
            arrivals.provinces,
            self.call["seasons"],
            self.call["discounts"],
        )
        public = Hazard(calendar, arrivals.segments, self.call["discounts"], np.zeros(1)).public()
        cumulative = np.concatenate([np.zeros((*public.shape[:2], 1)), public.cumsum(axis=2)], 2)
        truth = self.truth.customers
        last = ((truth["last_purchase_at"] - start) / pd.Timedelta(days=1)).to_numpy(np.float64)
        # Time in a day runs with the orders, not with the clock.
        midnight = np.floor(last)
        last = midnight + calendar.fraction_of_orders(last - midnight)
        # A share of the orders comes back, and leaves the shipping.
        margin = sum(
            product.share * product.margin * (1 - product.returned) for product in goods.products
        )
        value = truth["mean_value"].to_numpy()
        day, worth = best_contact_day(
            truth["dropout"].to_numpy(),
            truth["regularity"].to_numpy(),
            truth["rate"].to_numpy(),
            last,
            self.customers["province"].cat.codes.to_numpy(),
            truth["segment"].cat.codes.to_numpy(),
            cumulative=cumulative,
            effect=chosen.effect,
            decay=chosen.decay,
            margin=value * margin - goods.shipping,
            cost=chosen.cost,
            discount=value * coupon,
            horizon=horizon,
            latest=latest,
        )
        return pd.DataFrame(
            {"day": day, "date": as_times(start, midnight + day), "value": worth},
            index=pd.Index(truth["customer_id"], name="customer_id"),
        )


def simulate_shop(
    seed: int,
    n_customers: int,
    days: int,
    *,
    start: str | pd.Timestamp = "2024-01-01",
    arrivals: ShopArrivals = ShopArrivals(),
    seasons: ShopSeasons | None = ShopSeasons(),
    goods: ShopGoods = ShopGoods(),
    discounts: ShopDiscounts | None = ShopDiscounts(),
    visits: ShopVisits | None = ShopVisits(),
    contacts: ShopContacts | None = ShopContacts(),
    payments: ShopPayments | None = ShopPayments(),
    parcels: ShopParcels | None = ShopParcels(),
    reviews: ShopReviews | None = ShopReviews(),
    dirt: ShopDirt | None = None,
    outcome_days: int | None = None,
    snapshots: Sequence[str | pd.Timestamp] = (),
    horizon: int = 90,
) -> Shop:
    """Return a shop whose truth is known: every customer's parameters, every contact's effect.

    Customers arrive with a first order and buy in a renewal process whose time runs faster in
    season, on discount and behind contacts, and slower behind late parcels and negative reviews
    without a reply. Each process is a record of documented parameters; None switches it off. The
    same arguments give the same shop, and customers keep their luck when one process changes
    (`Shop.twin`).

    Parameters
    ----------
    seed
        Of all luck; a whole number, at least 0.
    n_customers
        How many arrive within the days.
    days
        Length of the log.
    start
        Its first day; a date without a time zone.
    arrivals
        Who comes, from where, and when: segments with their rates, provinces.
    seasons
        Year, week and hours; None: every moment is the same.
    goods
        Products, margins, returns.
    discounts
        The discount calendar and pull-forward. Without it, customers who buy on discount only
        place their first order, and others only with a coupon.
    visits
        Visits, and where orders come from. Without it, there are no contacts on visits.
    contacts
        Channels, campaigns, holdouts and fatigue.
    payments
        From order to payment, reminders and cancellation. Without it, orders are paid at once.
    parcels
        Carriers, delays, lateness, care. Without it, goods are received when paid, and there are
        no leaflets.
    reviews
        Ratings, texts, replies.
    dirt
        What is wrong with the data; nothing by default.
    outcome_days
        With it the truth holds both outcomes of every opportunity for a contact, contacted and
        not, in so many days behind it: a second world is run for each, which costs a multiple of
        the time.
    snapshots
        Dates at whose midnight the truth about every customer is taken: within the log, or the
        day behind it.
    horizon
        Days ahead that the probability of returning without a contact looks.

    Returns
    -------
    Shop
        Frames, and the truth.

    Raises
    ------
    InputError
        If an argument is out of bounds, of another kind, or does not fit another one.

    References
    ----------
    Renewal processes in a time of their own: Cox, D. R. and Isham, V. (1980). "Point Processes",
    chapter 3. Both outcomes of a contact: Rubin, D. B. (1974). "Estimating causal effects of
    treatments in randomized and nonrandomized studies", Journal of Educational Psychology 66(5).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.simulate_shop(seed=1, n_customers=1000, days=365)
    >>> shop.customers["customer_id"].size, bool(shop.orders["time"].is_monotonic_increasing)
    (1000, True)
    >>> int(shop.truth.alive("2024-12-31").sum()) < 1000
    True
    """
    # A shop's own copy: its settings hold dicts.
    call = copy.deepcopy(dict(locals()))
    for name, kind in _SETTINGS.items():
        given = call[name]
        if not isinstance(given, kind) and not (given is None and name not in _NEEDED):
            raise fail(
                f"{name} is {given!r}",
                f"pass {kind.__name__}(...)" + ("" if name in _NEEDED else ", or None for none"),
            )
    call["seed"] = seed = check_integer("seed", seed, ge=0)
    call["n_customers"] = n_customers = check_integer("n_customers", n_customers, ge=1)
    call["days"] = days = check_integer("days", days, ge=1)
    call["horizon"] = horizon = check_integer("horizon", horizon, ge=1)
    check_number("seed", seed, lt=2**128)
    check_number("horizon", horizon, le=_MOST_DAYS)
    call["start"] = begins = _as_midnight("start", start)
    check_number("days", days, le=_MOST_DAYS)
    check_number("n_customers", n_customers, le=2**31 - 2)
    if outcome_days is not None:
        call["outcome_days"] = outcome_days = check_integer("outcome_days", outcome_days, ge=1)
        if contacts is None:
            raise fail("outcome_days is given without contacts", "pass contacts, or leave it out")
    if not isinstance(snapshots, list | tuple | pd.Index):
        raise fail(f"snapshots is {snapshots!r}", "pass a list of dates")
    looks = set()
    for date in snapshots:
        look = (_as_midnight("a date of snapshots", date) - begins).days
        if not 0 <= look <= days:
            last = begins + pd.Timedelta(days=days)
            raise fail(
                f"a date of snapshots is {date!r}",
                f"pass dates from {begins:%Y-%m-%d} to {last:%Y-%m-%d}, the day behind the log",
            )
        looks.add(look)
    for campaign in () if contacts is None else contacts.campaigns:
        check_number(f"day of campaign {campaign.name!r}", campaign.day, lt=days)
    sources = order_sources(visits, contacts)
    if len(set(sources)) < len(sources):
        raise fail(
            f"a channel of contacts has the name of a source of visits ({', '.join(sources)})",
            "name the channel differently",
        )

    draws = Draws(seed)
    calendar = build_calendar(begins, days + horizon, arrivals.provinces, seasons, discounts)
    fades = [
        *([] if contacts is None else [channel.decay for channel in contacts.channels]),
        # Losses of late parcels and of negative reviews, if any.
        1.0 if parcels is None else parcels.late_days,
        1.0 if reviews is None else reviews.loss_days,
    ]
    hazard = Hazard(calendar, arrivals.segments, discounts, np.exp(-1 / np.array(fades)))
    outreach = None
    if contacts is not None:
        outreach = Outreach(draws, contacts, 0.0 if visits is None else visits.intent_days)
    fulfilment = Fulfilment(
        draws,
        payments,
        parcels,
        reviews,
        start=begins,
        sources=sources,
        provinces=arrivals.provinces,
        products=goods.products,
    )
    rules = Rules(
        draws=draws,
        population=populate(draws, arrivals, calendar, n_customers, days),
        segments=arrivals.segments,
        goods=goods,
        visits=visits,
        contacts=contacts,
        hazard=hazard,
        outreach=outreach,
        fulfilment=fulfilment,
        carriers=() if parcels is None else parcels.carriers,
        world=World(
            draws,
            hazard,
            arrivals.segments,
            goods,
            visits,
            outreach,
            None if parcels is None and reviews is None else fulfilment.later,
        ),
        start=begins,
        days=days,
        outcome_days=outcome_days,
        looks=tuple(sorted(looks)),
        horizon=horizon,
    )
    n_blocks = -(-n_customers // _BLOCK)
    parts = Parts(n_blocks)
    places = [np.arange(number, n_customers, n_blocks) for number in range(n_blocks)]
    settling = Lock()
    # Most of the work is numpy's, which lets other threads run; parts come back in order.
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        for tables, seen in pool.map(lambda place: _simulated(rules, place, settling), places):
            parts.add(tables, seen)
    return _shop(assembled(rules, arrivals, parts), draws, dirt, begins, days, call)


def _simulated(
    rules: Rules, place: IntArray, settling: Lock
) -> tuple[dict[str, Arrays], list[Look]]:
    """Return the tables of the customers at ``place``, and what was seen of them."""
    lives = live(rules, place)
    # This takes more memory than the days before: one block at a time.
    with settling:
        block = settle(rules, place, lives)
        return block_tables(rules, block), block.looks


def _shop(
    frames: Frames,
    draws: Draws,
    dirt: ShopDirt | None,
    start: pd.Timestamp,
    days: int,
    call: Mapping[str, Any],
) -> Shop:
    """Return the shop of the frames, with dirt if there is to be some."""
    truth = {
        name.removeprefix("true_"): frames.pop(name)
        for name in list(frames)
        if name.startswith("true_")
    }
    truth["dirt"] = pd.DataFrame(columns=["table", "row", "column", "kind", "original"])
    truth["leaks"] = pd.DataFrame(columns=["table", "column", "why"])
    if dirt is not None:
        end = start + pd.Timedelta(days=days)
        frames, truth["dirt"], truth["leaks"] = soil(draws, dirt, frames, end)
    return Shop(**frames, truth=ShopTruth(**truth), call=call)


def _as_midnight(name: str, date: str | pd.Timestamp) -> pd.Timestamp:
    """Return a date as a timestamp; raise where it is none, or has a time or a zone."""
    day = as_moment(name, date)
    if day != day.normalize():
        raise fail(f"{name} is {date!r}", "pass a date without a time of day")
    if not 1900 <= day.year <= 2200:
        raise fail(f"{name} is {date!r}", "pass a date from 1900 to 2200")
    return day
