"""Settings of visits and contacts: the defaults hold together, and bad ones are refused."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from touchpoint_lib import InputError
from touchpoint_lib.simulate.contacts import ShopCampaign, ShopChannel, ShopContacts, ShopVisits


def _channel(**given: Any) -> ShopChannel:
    return ShopChannel(**{"name": "sms", **given})


def _campaign(**given: Any) -> ShopCampaign:
    return ShopCampaign(**{"name": "spring", "channel": "sms", "day": 10, **given})


def _contacts(**given: Any) -> ShopContacts:
    return ShopContacts(**{"channels": (_channel(),), **given})


ALL = "it must be one of 'all', 'silent', 'visit', 'parcel'"
RISING = "pass the fewest and the most days, rising"

#: Record, arguments, message.
BAD: list[tuple[Any, dict[str, Any], str]] = [
    (ShopVisits, {"habit": 0}, "habit is 0; it must be > 0"),
    (ShopVisits, {"habit": math.inf}, "habit is inf; it must be finite"),
    (ShopVisits, {"gone": 1.5}, "gone is 1.5; it must be <= 1"),
    (ShopVisits, {"gone": -0.5}, "gone is -0.5; it must be >= 0"),
    (ShopVisits, {"intent_days": -1}, "intent_days is -1; it must be >= 0"),
    (ShopVisits, {"intent_days": "4"}, "intent_days is '4'; it must be a number"),
    (ShopVisits, {"intent": 1.01}, "intent is 1.01; it must be <= 1"),
    (
        ShopVisits,
        {"sources": {"app": 0.5}},
        "the shares of sources add up to 0.5; they must add up to 1",
    ),
    (
        ShopVisits,
        {"sources": {}},
        "sources is {}; pass names with shares, at least one, that add up to 1",
    ),
    (ShopVisits, {"sources": {"app": math.nan}}, "sources['app'] is nan; it must be finite"),
    (_channel, {"audience": "some"}, f"audience of channel 'sms' is 'some'; {ALL}"),
    (_channel, {"audience": None}, f"audience of channel 'sms' is None; {ALL}"),
    (_channel, {"rate": 0}, "rate of channel 'sms' is 0; it must be > 0"),
    (_channel, {"rate": math.nan}, "rate of channel 'sms' is nan; it must be finite"),
    *(
        (
            _channel,
            {"audience": audience, "rate": 1.5},
            "rate of channel 'sms' is 1.5; it must be <= 1",
        )
        for audience in ("visit", "parcel")
    ),
    (_channel, {"effect": 5.1}, "effect of channel 'sms' is 5.1; it must be <= 5"),
    (_channel, {"effect": -5.1}, "effect of channel 'sms' is -5.1; it must be >= -5"),
    (_channel, {"decay": 0}, "decay of channel 'sms' is 0; it must be > 0"),
    (_channel, {"cost": -0.1}, "cost of channel 'sms' is -0.1; it must be >= 0"),
    (_channel, {"held_out": 1}, "held_out of channel 'sms' is 1; it must be < 1"),
    (_channel, {"held_out": -0.1}, "held_out of channel 'sms' is -0.1; it must be >= 0"),
    (_channel, {"silence": -1}, "silence of channel 'sms' is -1; it must be >= 0"),
    (_channel, {"silence": 1.5}, "silence of channel 'sms' is 1.5; it must be a whole number"),
    (_channel, {"coupon": 1}, "coupon of channel 'sms' is 1; it must be < 1"),
    (_channel, {"coupon": -0.1}, "coupon of channel 'sms' is -0.1; it must be >= 0"),
    (_channel, {"coupon_days": 0}, "coupon_days of channel 'sms' is 0; it must be >= 1"),
    (
        _channel,
        {"coupon_days": 2.5},
        "coupon_days of channel 'sms' is 2.5; it must be a whole number",
    ),
    *(
        (_channel, {name: value}, f"{name} of channel 'sms' is {value}; it must be {bound}")
        for name in ("coupon_share", "consent", "unsubscribe", "opened", "clicked")
        for value, bound in ((-0.1, ">= 0"), (1.1, "<= 1"))
    ),
    (
        _campaign,
        {"name": ""},
        "a campaign has no name; name it: the log tells campaigns by their names",
    ),
    (_campaign, {"day": -1}, "day of campaign 'spring' is -1; it must be >= 0"),
    (_campaign, {"day": 1.5}, "day of campaign 'spring' is 1.5; it must be a whole number"),
    *(
        (_campaign, {"silence": silence}, f"silence of campaign 'spring' is {silence!r}; {RISING}")
        for silence in ((5, 5), (6, 5), (-1, 5), (1, 2, 3), (3,), (math.nan, 5), (0, math.nan))
    ),
    *(
        (_campaign, {"silence": silence}, f"silence of campaign 'spring' is {silence!r}; {RISING}")
        for silence in (30, None, ("5", "9"))
    ),
    (_campaign, {"held_out": 1.0}, "held_out of campaign 'spring' is 1.0; it must be < 1"),
    (_campaign, {"coupon": 1.0}, "coupon of campaign 'spring' is 1.0; it must be < 1"),
    (_campaign, {"coupon_days": 0}, "coupon_days of campaign 'spring' is 0; it must be >= 1"),
    (
        _contacts,
        {"channels": ()},
        "there are no channels; pass at least one, or contacts=None",
    ),
    (
        _contacts,
        {"channels": (_channel(), _channel(effect=1.0))},
        "two of the channels are named 'sms'; give each its own name",
    ),
    (
        _contacts,
        {"campaigns": (_campaign(), _campaign(day=11))},
        "two of the campaigns are named 'spring'; give each its own name",
    ),
    (
        _contacts,
        {"campaigns": (_campaign(channel="fax"),)},
        "channel of campaign 'spring' is 'fax'; it must be one of 'sms'",
    ),
    (
        _contacts,
        {"campaigns": tuple(_campaign(name=f"c{at}") for at in range(60))},
        "the number of channels and campaigns is 61; it must be <= 60",
    ),
    (_contacts, {"channels": ("sms",)}, "channels[0] is 'sms'; pass ShopChannel(...)"),
    (
        _contacts,
        {
            "channels": (_channel(), _channel(name="page", audience="visit")),
            "campaigns": (_campaign(channel="page"),),
        },
        "channel of campaign 'spring' is 'page'; it must be one of 'sms'",
    ),
    (
        _contacts,
        {"channels": (_channel(name="plumless"), _channel(name="buckeroo"))},
        (
            "two of the names ['plumless', 'buckeroo'] address the same luck;"
            " name one of them differently"
        ),
    ),
    (_channel, {"tires": "no"}, "tires of channel 'sms' is 'no'; it must be True or False"),
    *(
        (_contacts, {name: -0.1}, f"{name} is -0.1; it must be >= 0")
        for name in ("fatigue", "pressure", "open_intent", "open_gone", "control")
    ),
    (_contacts, {"fatigue": math.inf}, "fatigue is inf; it must be finite"),
    (_contacts, {"control": 1.0}, "control is 1.0; it must be < 1"),
]


@pytest.mark.parametrize(
    ("record", "given", "message"), BAD, ids=[f"{at}-{each[2]}" for at, each in enumerate(BAD)]
)
def test_bad_settings_are_refused(record: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        record(**given)


@pytest.mark.parametrize(
    ("record", "given"),
    [
        (ShopVisits, {"habit": 1e-6, "gone": 0, "intent_days": 0, "intent": 1}),
        (ShopVisits, {"sources": {"app": 1.0}}),
        (_channel, {"rate": 60.0, "effect": -5, "cost": 0, "held_out": 0}),
        (_channel, {"audience": "visit", "rate": 1, "effect": 5, "silence": 0}),
        (_channel, {"audience": "parcel", "rate": 1.0, "coupon": 0.99, "coupon_days": 1}),
        (_channel, {"coupon_share": 0, "consent": 0, "unsubscribe": 1, "opened": 1, "clicked": 0}),
        (_campaign, {"day": 0, "silence": (0, math.inf), "held_out": 0, "coupon": 0}),
        (_contacts, {"fatigue": 0, "pressure": 0, "control": 0, "open_intent": 0, "open_gone": 0}),
        (_contacts, {"campaigns": tuple(_campaign(name=f"c{at}") for at in range(59))}),
    ],
)
def test_settings_at_their_bounds_are_taken(record: Any, given: dict[str, Any]) -> None:
    made = record(**given)
    for name, value in given.items():
        assert getattr(made, name) == value


@pytest.mark.parametrize("make", [ShopVisits, _channel, _campaign, ShopContacts])
def test_settings_cannot_be_changed_and_compare_by_value(make: Any) -> None:
    made = make()
    assert made == make()
    first = next(iter(vars(made)))
    with pytest.raises(FrozenInstanceError):
        setattr(made, first, None)


def test_the_default_shop_has_the_channels_that_methods_are_tested_on() -> None:
    channels = {channel.name: channel for channel in ShopContacts().channels}
    assert set(channels) == {"page", "chat", "sms", "email", "parcel", "social"}
    # One without any effect, that does not weaken the others either.
    null = [channel for channel in channels.values() if channel.effect == 0]
    assert [(one.name, one.tires, one.coupon) for one in null] == [("social", False, 0.0)]
    # One whose contacts follow intent and cannot be told from the log.
    confounded = [one for one in channels.values() if one.held_out == 0]
    assert [(one.name, one.audience) for one in confounded] == [("page", "visit")]
    assert {channel.audience for channel in channels.values()} == {
        "all",
        "silent",
        "visit",
        "parcel",
    }
