"""How a simulated shop's customers look around, and how the shop speaks to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

from touchpoint_lib._checks import check_choice, check_integer, check_number, fail
from touchpoint_lib.simulate._draws import event_of
from touchpoint_lib.simulate.settings import check_flag, check_records, check_share, check_shares

Audience = Literal["all", "silent", "visit", "parcel"]


@dataclass(frozen=True, kw_only=True)
class ShopVisits:
    """Visits to the shop: some by habit, more when a purchase is near.

    Parameters
    ----------
    habit
        Rate in 30 days of visits by habit, of which at most one a day is made.
    gone
        Share of the habit left to customers who have left for good.
    intent_days
        How long before a purchase a customer looks around, in days of the shop's own time.
    intent
        Probability of a visit on such a day (times the day's hazard where that is below 1, so
        that customers who wait for a discount look around when it is there).
    sources
        Share of the visits and orders by where they come from, where no contact was clicked.
    """

    habit: float = 0.7
    gone: float = 0.1
    intent_days: float = 4.0
    intent: float = 0.3
    sources: Mapping[str, float] = field(
        default_factory=lambda: {"app": 0.5, "search": 0.3, "marketplace": 0.2}
    )

    def __post_init__(self) -> None:
        check_number("habit", self.habit, gt=0)
        check_share("gone", self.gone)
        check_number("intent_days", self.intent_days, ge=0)
        check_share("intent", self.intent)
        check_shares("sources", self.sources)


@dataclass(frozen=True, kw_only=True)
class ShopChannel:
    """A channel of contact (接触点), its reach, its cost and what it really does.

    A contact on one day multiplies the hazard of the next day by exp(e), and of the j-th day
    behind that by exp(e exp(-j / decay)), e = effect exp(-fatigue n) with n contacts by the
    channels that tire in the 30 days before.

    Parameters
    ----------
    name
        What the log calls it.
    audience
        Who is contacted: "all", "silent" (no order for ``silence`` days), "visit" (whoever
        visits: contacts follow intent), "parcel" (a leaflet on each day with a parcel).
    rate
        For "all" and "silent" the rate in 30 days of opportunities at random times, of which at
        most one a day is taken; for "visit" and "parcel" the probability of a contact at each.
    effect
        What a contact adds to the log hazard; 0 for a channel without effect.
    decay
        Days in which the effect falls to 1/e.
    tires
        True where a contact counts towards the pressure on the customer: messages do, what is met
        by the way does not.
    cost
        Yuan a contact.
    held_out
        Share of the opportunities that are held out at random: logged, not contacted.
    silence
        Days without an order that make a customer "silent".
    coupon
        Depth of the personal coupon that comes with the contact, 0 for none.
    coupon_share
        Share of the contacts that carry the coupon.
    coupon_days
        Days for which it holds; it is used on the first order, and none comes while a deeper one
        is at hand.
    consent
        Share of the customers who agree to the channel when they arrive.
    unsubscribe
        Probability that a contact makes the customer leave the channel, without pressure.
    opened, clicked
        Share of the contacts opened, and of the opened that are clicked, by a customer who has
        not left and has no purchase in mind.
    """

    name: str
    audience: Audience = "all"
    rate: float = 0.3
    effect: float = 0.0
    decay: float = 7.0
    tires: bool = True
    cost: float = 0.1
    held_out: float = 0.2
    silence: int = 30
    coupon: float = 0.0
    coupon_share: float = 1.0
    coupon_days: int = 14
    consent: float = 1.0
    unsubscribe: float = 0.0
    opened: float = 0.3
    clicked: float = 0.2

    def __post_init__(self) -> None:
        where = f"of channel {self.name!r}"
        check_choice(f"audience {where}", self.audience, ["all", "silent", "visit", "parcel"])
        by_chance = self.audience in ("visit", "parcel")
        check_number(f"rate {where}", self.rate, gt=0, le=1 if by_chance else None)
        check_number(f"effect {where}", self.effect, ge=-5, le=5)
        check_number(f"decay {where}", self.decay, gt=0)
        check_flag(f"tires {where}", self.tires)
        check_number(f"cost {where}", self.cost, ge=0)
        check_number(f"held_out {where}", self.held_out, ge=0, lt=1)
        check_integer(f"silence {where}", self.silence, ge=0)
        check_number(f"coupon {where}", self.coupon, ge=0, lt=1)
        _check_coupon_days(f"coupon_days {where}", self.coupon_days)
        for name in ("coupon_share", "consent", "unsubscribe", "opened", "clicked"):
            check_share(f"{name} {where}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class ShopCampaign:
    """One mailing on one day through a channel, with its own holdout and coupon.

    On that day it takes the place of the channel's own contacts with the same customers.

    Parameters
    ----------
    name
        What the log calls it.
    channel
        Name of the channel, of audience "all" or "silent"; its effect, cost and consent hold here
        too.
    day
        Days after the start of the simulation.
    silence
        Fewest and most days since the last order that make a customer part of it.
    held_out
        Share of those customers that is held out at random.
    coupon
        Depth of the coupon, 0 for none.
    coupon_days
        Days for which it holds.
    """

    name: str
    channel: str
    day: int
    silence: tuple[float, float] = (0.0, float("inf"))
    held_out: float = 0.5
    coupon: float = 0.0
    coupon_days: int = 14

    def __post_init__(self) -> None:
        where = f"of campaign {self.name!r}"
        if not self.name:
            raise fail("a campaign has no name", "name it: the log tells campaigns by their names")
        check_integer(f"day {where}", self.day, ge=0)
        silence: Any = self.silence
        fits = isinstance(silence, tuple | list) and len(silence) == 2
        if not (
            fits
            and all(isinstance(bound, Real) for bound in silence)
            and 0 <= silence[0] < silence[1]
        ):
            raise fail(
                f"silence {where} is {silence!r}", "pass the fewest and the most days, rising"
            )
        check_number(f"held_out {where}", self.held_out, ge=0, lt=1)
        check_number(f"coupon {where}", self.coupon, ge=0, lt=1)
        _check_coupon_days(f"coupon_days {where}", self.coupon_days)


def _check_coupon_days(name: str, days: int) -> None:
    """Raise unless a coupon holds for whole days, a century at most."""
    check_number(name, check_integer(name, days, ge=1), le=36_525)


_CHANNELS = (
    # Contacts follow intent and nobody is held out: what it does cannot be told from the log.
    ShopChannel(
        name="page",
        audience="visit",
        rate=0.2,
        effect=0.15,
        decay=3.0,
        tires=False,
        cost=0.01,
        held_out=0.0,
        opened=0.9,
        clicked=0.3,
    ),
    ShopChannel(
        name="chat",
        rate=0.1,
        effect=0.5,
        decay=10.0,
        cost=3.0,
        consent=0.8,
        unsubscribe=0.01,
        opened=0.7,
        clicked=0.3,
    ),
    ShopChannel(
        name="sms",
        audience="silent",
        rate=0.35,
        effect=0.6,
        decay=7.0,
        cost=0.05,
        coupon=0.1,
        coupon_share=0.3,
        consent=0.9,
        unsubscribe=0.012,
        opened=0.5,
        clicked=0.1,
    ),
    ShopChannel(
        name="email",
        rate=0.4,
        effect=0.3,
        decay=5.0,
        cost=0.01,
        consent=0.7,
        unsubscribe=0.006,
        opened=0.25,
        clicked=0.15,
    ),
    ShopChannel(
        name="parcel",
        audience="parcel",
        rate=0.6,
        effect=0.35,
        decay=20.0,
        tires=False,
        cost=0.5,
        held_out=0.3,
        opened=0.6,
        clicked=0.05,
    ),
    # No effect at all.
    ShopChannel(
        name="social",
        rate=0.3,
        tires=False,
        cost=0.2,
        consent=0.6,
        unsubscribe=0.004,
        opened=0.35,
        clicked=0.2,
    ),
)


@dataclass(frozen=True, kw_only=True)
class ShopContacts:
    """Everything the shop sends.

    Parameters
    ----------
    channels
        The channels.
    campaigns
        Mailings on single days; none by default.
    fatigue
        kappa: each contact in the last 30 days by a channel that tires puts the factor exp(-kappa)
        to the next effect.
    pressure
        Each such contact multiplies the probability to leave a channel by
        exp(pressure).
    control
        Share of the customers in the standing control group: never contacted, never logged.
    open_intent, open_gone
        Factor of opening and clicking with a purchase in mind, and after leaving for good: an
        opened message is a sign of intent, not its cause.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> [channel.name for channel in tp.ShopContacts().channels if channel.effect == 0]
    ['social']
    """

    channels: tuple[ShopChannel, ...] = _CHANNELS
    campaigns: tuple[ShopCampaign, ...] = ()
    fatigue: float = 0.2
    pressure: float = 0.15
    control: float = 0.05
    open_intent: float = 1.8
    open_gone: float = 0.4

    def __post_init__(self) -> None:
        check_records("channels", self.channels, ShopChannel)
        check_records("campaigns", self.campaigns, ShopCampaign)
        names = [channel.name for channel in self.channels]
        if not names:
            raise fail("there are no channels", "pass at least one, or contacts=None")
        mailed = [one.name for one in self.channels if one.audience in ("all", "silent")]
        for campaign in self.campaigns:
            # The others need a visit or a parcel.
            check_choice(f"channel of campaign {campaign.name!r}", campaign.channel, mailed)
        called = [*names, *(f"campaign {campaign.name}" for campaign in self.campaigns)]
        if len({int(event_of(name)) for name in called}) < len(called):
            raise fail(
                f"two of the names {called} address the same luck", "name one of them differently"
            )
        # Codes of channels and campaigns share a byte.
        slots = len(names) + len(self.campaigns)
        check_number("the number of channels and campaigns", slots, le=60)
        for name in ("fatigue", "pressure", "open_intent", "open_gone"):
            check_number(name, getattr(self, name), ge=0)
        check_number("control", self.control, ge=0, lt=1)
