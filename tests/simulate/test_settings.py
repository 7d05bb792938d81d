"""Settings of the shop: the defaults hold together, and bad ones name field, value and bound."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from touchpoint_lib import InputError
from touchpoint_lib.simulate.settings import (
    ShopArrivals,
    ShopDiscounts,
    ShopGoods,
    ShopProduct,
    ShopPromotion,
    ShopProvince,
    ShopSeasons,
    ShopSegment,
)

CITIES = {"Ningbo": 1.0}
MUST_SUM = "they must add up to 1"
MUST_BE = "pass names with shares, at least one, that add up to 1"


def _segment(**given: Any) -> ShopSegment:
    return ShopSegment(**{"name": "core", "share": 1.0, **given})


def _province(**given: Any) -> ShopProvince:
    return ShopProvince(**{"name": "Zhejiang", "share": 1.0, "cities": CITIES, **given})


def _product(**given: Any) -> ShopProduct:
    return ShopProduct(**{"name": "tea", "share": 1.0, **given})


def _promotion(**given: Any) -> ShopPromotion:
    return ShopPromotion(**{"name": "618", "month": 6, "day": 16, **given})


def _with(weights: tuple[float, ...], at: int, weight: float) -> tuple[float, ...]:
    return (*weights[:at], weight, *weights[at + 1 :])


MONTHS, WEEKDAYS, HOURS = (1.0,) * 12, (1.0,) * 7, (1.0,) * 24
MANY = {f"c{at}": 1 / 128 for at in range(128)}

#: Record, arguments, message.
BAD: list[tuple[Any, dict[str, Any], str]] = [
    (_segment, {"share": -0.1}, "the share of segment 'core' is -0.1; it must be >= 0"),
    (_segment, {"share": 1.1}, "the share of segment 'core' is 1.1; it must be <= 1"),
    (_segment, {"share": "all"}, "the share of segment 'core' is 'all'; it must be a number"),
    (_segment, {"share": math.nan}, "the share of segment 'core' is nan; it must be finite"),
    (_segment, {"regularity": 0}, "the regularity of segment 'core' is 0; it must be >= 1"),
    (
        _segment,
        {"regularity": 1.5},
        "the regularity of segment 'core' is 1.5; it must be a whole number",
    ),
    *(
        (_segment, {name: 0.0}, f"{name} of segment 'core' is 0.0; it must be > 0")
        for name in ("alpha", "a", "b", "p", "gamma")
    ),
    (_segment, {"r": 0.05}, "r of segment 'core' is 0.05; it must be >= 0.1"),
    (_segment, {"regularity": 17}, "the regularity of segment 'core' is 17; it must be <= 16"),
    (_segment, {"r": math.inf}, "r of segment 'core' is inf; it must be finite"),
    (_segment, {"q": 1.0}, "q of segment 'core' is 1.0; it must be > 1"),
    (
        _segment,
        {"discount_response": -1},
        "discount_response of segment 'core' is -1; it must be >= 0",
    ),
    (_province, {"share": 2}, "the share of province 'Zhejiang' is 2; it must be <= 1"),
    (
        _province,
        {"cities": {"Ningbo": 0.4, "Hangzhou": 0.5}},
        f"the shares of the cities of province 'Zhejiang' add up to 0.9; {MUST_SUM}",
    ),
    (
        _province,
        {"cities": {}},
        f"the cities of province 'Zhejiang' is {{}}; {MUST_BE}",
    ),
    (
        _province,
        {"cities": ["Ningbo"]},
        f"the cities of province 'Zhejiang' is ['Ningbo']; {MUST_BE}",
    ),
    (
        _province,
        {"cities": {"Ningbo": -1.0, "Hangzhou": 2.0}},
        "the cities of province 'Zhejiang'['Ningbo'] is -1.0; it must be >= 0",
    ),
    (
        _province,
        {"cities": MANY},
        "the number of the cities of province 'Zhejiang' is 128; it must be <= 127",
    ),
    (_province, {"season": -0.1}, "season of province 'Zhejiang' is -0.1; it must be >= 0"),
    (_province, {"season": 1.0}, "season of province 'Zhejiang' is 1.0; it must be < 1"),
    (_province, {"lead": 0}, "lead of province 'Zhejiang' is 0; it must be > 0"),
    (
        ShopArrivals,
        {"segments": ()},
        f"segments is {{}}; {MUST_BE}",
    ),
    (
        ShopArrivals,
        {"segments": (_segment(share=0.5),)},
        f"the shares of segments add up to 0.5; {MUST_SUM}",
    ),
    (
        ShopArrivals,
        {"segments": (_segment(share=0.5), _segment(share=0.5))},
        "two of the segments are named 'core'; give each its own name",
    ),
    (
        ShopArrivals,
        {"provinces": (_province(share=0.5), _province(share=0.6, name="Hunan"))},
        f"the shares of provinces add up to 1.1; {MUST_SUM}",
    ),
    (
        ShopArrivals,
        {"provinces": (_province(), _province(share=0.0))},
        "two of the provinces are named 'Zhejiang'; give each its own name",
    ),
    (
        ShopArrivals,
        {
            "provinces": tuple(
                _province(name=name, share=0.5, cities={f"c{at}": 1 / 64 for at in range(64)})
                for name in ("Hunan", "Hubei")
            )
        },
        "the number of cities is 128; it must be <= 127",
    ),
    (
        ShopArrivals,
        {"channels": {"search": 0.5}},
        f"the shares of channels add up to 0.5; {MUST_SUM}",
    ),
    (ShopArrivals, {"channels": MANY}, "the number of channels is 128; it must be <= 127"),
    (
        ShopArrivals,
        {"channels": {"search": True}},
        "channels['search'] is True; it must be a number",
    ),
    (
        ShopArrivals,
        {"months": MONTHS[:11]},
        "months has 11 weights; it must have 12",
    ),
    (ShopArrivals, {"months": _with(MONTHS, 4, -1)}, "months[4] is -1; it must be >= 0"),
    (
        ShopArrivals,
        {"months": (0.0,) * 12},
        "all weights of months are 0; let customers arrive in at least one month",
    ),
    (ShopArrivals, {"growth": 0}, "growth is 0; it must be > 0"),
    (ShopSeasons, {"peak": 0}, "peak is 0; it must be >= 1"),
    (ShopSeasons, {"peak": 367}, "peak is 367; it must be <= 366"),
    (ShopSeasons, {"peak": 1.5}, "peak is 1.5; it must be a whole number"),
    (ShopSeasons, {"weekdays": WEEKDAYS[:6]}, "weekdays has 6 weights; it must have 7"),
    (ShopSeasons, {"weekdays": _with(WEEKDAYS, 6, 0)}, "weekdays[6] is 0; it must be > 0"),
    (ShopSeasons, {"hours": WEEKDAYS}, "hours has 7 weights; it must have 24"),
    (ShopSeasons, {"hours": _with(HOURS, 3, 0.0)}, "hours[3] is 0.0; it must be > 0"),
    *(
        (_product, {name: value}, f"{name} of product 'tea' is {value}; it must be {bound}")
        for name in ("share", "margin", "returned")
        for value, bound in ((-0.5, ">= 0"), (1.5, "<= 1"))
    ),
    (_product, {"quality": math.inf}, "quality of product 'tea' is inf; it must be finite"),
    (
        ShopGoods,
        {"products": (_product(share=0.9),)},
        f"the shares of products add up to 0.9; {MUST_SUM}",
    ),
    (
        ShopGoods,
        {"products": (_product(share=0.5), _product(share=0.5))},
        "two of the products are named 'tea'; give each its own name",
    ),
    (ShopGoods, {"shipping": -1}, "shipping is -1; it must be >= 0"),
    (ShopGoods, {"again": 1.5}, "again is 1.5; it must be <= 1"),
    (ShopGoods, {"gifts": -0.1}, "gifts is -0.1; it must be >= 0"),
    (ShopGoods, {"return_days": 0}, "return_days is 0; it must be > 0"),
    (_promotion, {"month": -1}, "month of promotion '618' is -1; it must be >= 0"),
    (_promotion, {"month": 13}, "month of promotion '618' is 13; it must be <= 12"),
    (_promotion, {"day": 0}, "day of promotion '618' is 0; it must be >= 1"),
    (_promotion, {"day": 29}, "day of promotion '618' is 29; it must be <= 28"),
    (_promotion, {"days": 0}, "days of promotion '618' is 0; it must be >= 1"),
    (_promotion, {"depth": 0.0}, "depth of promotion '618' is 0.0; it must be > 0"),
    (_promotion, {"depth": 1.0}, "depth of promotion '618' is 1.0; it must be < 1"),
    (_promotion, {"flash": "no"}, "flash of promotion '618' is 'no'; it must be True or False"),
    (ShopDiscounts, {"promotions": ("x",)}, "promotions[0] is 'x'; pass ShopPromotion(...)"),
    (ShopDiscounts, {"promotions": "x"}, "promotions is 'x'; pass a tuple of ShopPromotion(...)"),
    (ShopArrivals, {"segments": ("x",)}, "segments[0] is 'x'; pass ShopSegment(...)"),
    (ShopArrivals, {"months": None}, "months is None; pass a tuple of 12 weights"),
    (ShopSeasons, {"weekdays": None}, "weekdays is None; pass a tuple of 7 weights"),
    (_province, {"lead": 101}, "lead of province 'Zhejiang' is 101; it must be <= 100"),
    (_segment, {"alpha": 1e7}, "alpha of segment 'core' is 10000000.0; it must be <= 1000000.0"),
    (
        _segment,
        {"discount_only": "False"},
        "discount_only of segment 'core' is 'False'; it must be True or False",
    ),
    (ShopDiscounts, {"moved": 1.2}, "moved is 1.2; it must be <= 1"),
    (ShopDiscounts, {"repay_days": 0.5}, "repay_days is 0.5; it must be >= 1"),
]


@pytest.mark.parametrize(("record", "given", "message"), BAD, ids=[each[2] for each in BAD])
def test_bad_settings_are_refused(record: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        record(**given)


@pytest.mark.parametrize(
    ("record", "given"),
    [
        (_segment, {"discount_response": 0, "regularity": 3.0, "q": 1.001}),
        (_province, {"season": 0, "cities": {"Ningbo": 0.0, "Hangzhou": 1.0}}),
        (_province, {"season": 0.999, "cities": {f"c{at}": 1 / 127 for at in range(127)}}),
        (ShopArrivals, {"months": _with((0.0,) * 12, 11, 1e-9)}),
        (ShopArrivals, {"channels": dict.fromkeys("abc", 1 / 3)}),
        (ShopSeasons, {"peak": 1}),
        (ShopSeasons, {"peak": 366}),
        (_product, {"margin": 0, "returned": 1, "quality": -3}),
        (ShopGoods, {"shipping": 0, "again": 0, "gifts": 1}),
        (_promotion, {"month": 0, "day": 28, "days": 400, "depth": 0.999}),
        (ShopDiscounts, {"promotions": (), "moved": 0, "repay_days": 1}),
    ],
)
def test_settings_at_their_bounds_are_taken(record: Any, given: dict[str, Any]) -> None:
    made = record(**given)
    for name, value in given.items():
        assert getattr(made, name) == value


@pytest.mark.parametrize("record", [ShopArrivals, ShopSeasons, ShopGoods, ShopDiscounts])
def test_settings_cannot_be_changed_and_compare_by_value(record: Any) -> None:
    made = record()
    assert made == record()
    first = next(iter(vars(made)))
    with pytest.raises(FrozenInstanceError):
        setattr(made, first, None)


def test_default_shop_has_one_segment_that_buys_on_discount_only() -> None:
    assert [segment.discount_only for segment in ShopArrivals().segments] == [False] * 3 + [True]
