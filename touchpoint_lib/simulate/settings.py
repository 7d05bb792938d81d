"""What a simulated shop's customers are like: who comes, how often they buy, what they spend.

Every process is a frozen record of its parameters; the defaults make a plausible Chinese web shop.
Times are days unless a name says otherwise, money is yuan, shares lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchpoint_lib._checks import check_integer, check_number, fail

#: Codes of segments, cities, products and so on fill a byte.
_MOST = 127


#: Most stages of a gap: the events of one gap's draws are told apart by it.
MOST_STAGES = 16


def check_share(name: str, value: float) -> None:
    """Raise unless ``value`` is a share: 0 to 1."""
    check_number(name, value, ge=0, le=1)


def check_shares(name: str, shares: Mapping[str, float]) -> None:
    """Raise unless ``shares`` names at least one thing, and the shares add up to 1."""
    if not isinstance(shares, Mapping) or not shares:
        raise fail(
            f"{name} is {shares!r}", "pass names with shares, at least one, that add up to 1"
        )
    check_number(f"the number of {name}", len(shares), le=_MOST)
    for key, share in shares.items():
        check_share(f"{name}[{key!r}]", share)
    total = sum(shares.values())
    if abs(total - 1) > 1e-9:
        raise fail(f"the shares of {name} add up to {total:.12g}", "they must add up to 1")


def check_flag(name: str, value: bool) -> None:
    """Raise unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise fail(f"{name} is {value!r}", "it must be True or False")


def check_records(name: str, records: Iterable[Any], kind: type[Any]) -> None:
    """Raise unless ``records`` is a tuple or list of records of one kind, each of its own name."""
    if not isinstance(records, tuple | list):
        raise fail(f"{name} is {records!r}", f"pass a tuple of {kind.__name__}(...)")
    names: set[str] = set()
    for at, record in enumerate(records):
        if not isinstance(record, kind):
            raise fail(f"{name}[{at}] is {record!r}", f"pass {kind.__name__}(...)")
        if record.name in names:
            raise fail(f"two of the {name} are named {record.name!r}", "give each its own name")
        names.add(record.name)


def check_shared(name: str, records: Iterable[Any], kind: type[Any]) -> None:
    """Raise unless these are records of one kind whose shares add up to 1."""
    check_records(name, records, kind)
    check_shares(name, {record.name: record.share for record in records})


@dataclass(frozen=True, kw_only=True)
class ShopSegment:
    """A kind of customer (客群): how often it buys, when it stops, what it spends.

    Purchases of a customer are a renewal process in the shop's own time, which runs faster in
    season and on discount: a gap is the sum of ``regularity`` exponential stages of rate lambda,
    lambda ~ Gamma(r, alpha); after each order, the first one included, the customer leaves for
    good with probability p ~ Beta(a, b) (the MBG/CNBD-k model; regularity 1 is MBG/NBD). The
    list value of an order is Gamma(p, nu) with nu ~ Gamma(q, gamma) (the Gamma-Gamma model).

    Parameters
    ----------
    name
        What the truth calls it.
    share
        Share of the customers.
    regularity
        k, stages a gap; a whole number, 1 to 16. The mean gap is k / lambda days.
    r, alpha
        Shape and scale (days) of the stage rate: its mean is r / alpha a day.
    a, b
        Of the probability to leave after an order: its mean is a / (a + b).
    p, q, gamma
        Of the list value of an order: its mean over customers is p gamma / (q - 1) yuan.
    discount_response
        beta: at a discount of depth d (0.2 is 20 % off) the hazard is exp(beta d) times as high.
    discount_only
        True for promotion-driven customers (促销型), who buy on no other day.

    References
    ----------
    Reutterer, T., Platzer, M. and Schröder, N. (2021). "Leveraging purchase regularity for
    predicting customer behavior the easy way", International Journal of Research in Marketing
    38(1). Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "RFM and CLV: Using Iso-Value
    Curves for Customer Base Analysis", Journal of Marketing Research 42(4).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.ShopSegment(name="core", share=1.0, regularity=3, r=4, alpha=40).regularity
    3
    """

    name: str
    share: float
    regularity: int = 1
    r: float = 1.2
    alpha: float = 144.0
    a: float = 1.0
    b: float = 2.5
    p: float = 5.0
    q: float = 4.0
    gamma: float = 54.0
    discount_response: float = 2.5
    discount_only: bool = False

    def __post_init__(self) -> None:
        check_share(f"the share of segment {self.name!r}", self.share)
        check_integer(f"the regularity of segment {self.name!r}", self.regularity, ge=1)
        stages = f"the regularity of segment {self.name!r}"
        check_number(stages, self.regularity, le=MOST_STAGES)
        # Below that, rates underflow to 0.
        check_number(f"r of segment {self.name!r}", self.r, ge=0.1)
        for name in ("alpha", "a", "b", "p", "gamma"):
            check_number(f"{name} of segment {self.name!r}", getattr(self, name), gt=0)
        # Far beyond any shop, and far from an overflow.
        for name in ("r", "alpha", "a", "b", "p", "gamma", "q"):
            check_number(f"{name} of segment {self.name!r}", getattr(self, name), le=1e6)
        check_flag(f"discount_only of segment {self.name!r}", self.discount_only)
        # With q <= 1 the mean order would be infinite.
        check_number(f"q of segment {self.name!r}", self.q, gt=1)
        check_number(f"discount_response of segment {self.name!r}", self.discount_response, ge=0)


_SEGMENTS = (
    ShopSegment(
        name="core",
        share=0.15,
        regularity=3,
        r=4.0,
        alpha=40.0,
        a=1.2,
        b=14.0,
        p=6.0,
        q=5.0,
        gamma=120.0,
        discount_response=1.0,
    ),
    ShopSegment(
        name="potential",
        share=0.25,
        regularity=2,
        r=3.0,
        alpha=90.0,
        a=1.0,
        b=6.0,
        p=6.0,
        q=4.0,
        gamma=70.0,
        discount_response=2.0,
    ),
    ShopSegment(name="mass", share=0.45),
    ShopSegment(
        name="promotion-driven",
        share=0.15,
        r=1.5,
        alpha=60.0,
        a=1.0,
        b=5.0,
        gamma=48.0,
        discount_response=6.0,
        discount_only=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class ShopProvince:
    """Where customers live.

    Parameters
    ----------
    name
        The province.
    share
        Share of the customers.
    cities
        Share of the province's customers by city.
    season
        Amplitude A of the year: the hazard on day t is 1 + A cos(2 pi (t - peak) / 365.25) times
        its mean over the year; 0 to below 1.
    lead
        Factor of the parcels' time on the way.
    """

    name: str
    share: float
    cities: Mapping[str, float]
    season: float = 0.2
    lead: float = 1.0

    def __post_init__(self) -> None:
        check_share(f"the share of province {self.name!r}", self.share)
        check_shares(f"the cities of province {self.name!r}", self.cities)
        check_number(f"season of province {self.name!r}", self.season, ge=0, lt=1)
        check_number(f"lead of province {self.name!r}", self.lead, gt=0, le=100)


_PROVINCES = (
    ShopProvince(name="Zhejiang", share=0.24, cities={"Hangzhou": 0.6, "Ningbo": 0.4}, lead=0.7),
    ShopProvince(name="Guangdong", share=0.26, cities={"Guangzhou": 0.5, "Shenzhen": 0.5}),
    ShopProvince(name="Beijing", share=0.18, cities={"Beijing": 1.0}, season=0.25),
    ShopProvince(
        name="Sichuan", share=0.2, cities={"Chengdu": 0.8, "Mianyang": 0.2}, season=0.15, lead=1.3
    ),
    ShopProvince(
        name="Heilongjiang",
        share=0.12,
        cities={"Harbin": 0.75, "Daqing": 0.25},
        season=0.4,
        lead=1.6,
    ),
)


@dataclass(frozen=True, kw_only=True)
class ShopArrivals:
    """Who comes, from where and when. A customer arrives with the first order.

    Parameters
    ----------
    segments
        The kinds of customers; their shares add up to 1.
    provinces
        Where they live; the shares add up to 1.
    channels
        Share of the customers by the channel that brought them.
    months
        Relative number of arrivals a day in January to December.
    growth
        Arrivals a day after a year, relative to those at the start.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> [segment.name for segment in tp.ShopArrivals().segments]
    ['core', 'potential', 'mass', 'promotion-driven']
    """

    segments: tuple[ShopSegment, ...] = _SEGMENTS
    provinces: tuple[ShopProvince, ...] = _PROVINCES
    channels: Mapping[str, float] = field(
        default_factory=lambda: {"search": 0.35, "marketplace": 0.3, "social": 0.2, "friend": 0.15}
    )
    months: tuple[float, ...] = (1.0, 0.8, 1.1, 1.0, 1.0, 1.3, 0.9, 0.9, 1.0, 1.0, 1.6, 1.2)
    growth: float = 1.0

    def __post_init__(self) -> None:
        check_shared("segments", self.segments, ShopSegment)
        check_shared("provinces", self.provinces, ShopProvince)
        n_cities = sum(len(province.cities) for province in self.provinces)
        check_number("the number of cities", n_cities, le=_MOST)
        check_shares("channels", self.channels)
        check_weights("months", self.months, 12)
        if not any(self.months):
            raise fail("all weights of months are 0", "let customers arrive in at least one month")
        check_number("growth", self.growth, gt=0)


def check_weights(name: str, weights: tuple[float, ...], length: int) -> None:
    """Raise unless ``weights`` are so many finite numbers, none of them negative."""
    if not isinstance(weights, tuple | list):
        raise fail(f"{name} is {weights!r}", f"pass a tuple of {length} weights")
    if len(weights) != length:
        raise fail(f"{name} has {len(weights)} weights", f"it must have {length}")
    for at, weight in enumerate(weights):
        check_number(f"{name}[{at}]", weight, ge=0, le=1e6)


@dataclass(frozen=True, kw_only=True)
class ShopSeasons:
    """When people buy: the year, the week and the day.

    Parameters
    ----------
    peak
        Day of the year (1 to 366) on which the yearly season is at its highest; its amplitude
        belongs to the province.
    weekdays
        Relative hazard on Monday to Sunday.
    hours
        Relative number of orders in each hour of the day, 0 to 23. Moves orders within their day
        and changes nothing else.
    """

    peak: int = 330
    weekdays: tuple[float, ...] = (0.95, 0.95, 0.95, 1.0, 1.05, 1.1, 1.0)
    hours: tuple[float, ...] = (
        *(1.0, 0.5, 0.3, 0.2, 0.2, 0.3, 0.8, 1.5, 2.5, 4.0, 5.0, 4.5),
        *(4.5, 4.0, 4.0, 4.0, 4.0, 3.5, 3.5, 5.0, 6.5, 7.0, 5.5, 2.5),
    )

    def __post_init__(self) -> None:
        check_number("peak", check_integer("peak", self.peak, ge=1), le=366)
        for name, length in (("weekdays", 7), ("hours", 24)):
            check_weights(name, getattr(self, name), length)
            for at, weight in enumerate(getattr(self, name)):
                # Time of day is the inverse of their cumulative sum: no hour may be empty.
                check_number(f"{name}[{at}]", weight, gt=0)


@dataclass(frozen=True, kw_only=True)
class ShopProduct:
    """A kind of goods.

    Parameters
    ----------
    name
        What it is.
    share
        Share of the orders.
    margin
        Share of the list price that is left after the cost of goods.
    returned
        Probability that a delivered order is sent back.
    quality
        Added to the customer's satisfaction in reviews (0: average; 1: one standard deviation).
    """

    name: str
    share: float
    margin: float = 0.45
    returned: float = 0.08
    quality: float = 0.0

    def __post_init__(self) -> None:
        for name in ("share", "margin", "returned"):
            check_share(f"{name} of product {self.name!r}", getattr(self, name))
        check_number(f"quality of product {self.name!r}", self.quality)


@dataclass(frozen=True, kw_only=True)
class ShopGoods:
    """What is sold, sent back and given away.

    Parameters
    ----------
    products
        Kinds of goods; their shares add up to 1.
    shipping
        What the shop pays for a parcel, yuan an order.
    again
        Probability that an order is followed by another one of the same customer within hours
        (a thing was forgotten): several orders a day, one purchase day.
    gifts
        Share of the orders that go to somebody else.
    return_days
        Median days from delivery to the return (log-normal, sigma 0.6).
    """

    products: tuple[ShopProduct, ...] = (
        ShopProduct(name="tea", share=0.3, margin=0.55, returned=0.03, quality=0.3),
        ShopProduct(name="snacks", share=0.3, margin=0.4, returned=0.03),
        ShopProduct(name="clothes", share=0.25, margin=0.5, returned=0.2, quality=-0.3),
        ShopProduct(name="kitchen", share=0.15, margin=0.35, returned=0.08),
    )
    shipping: float = 6.0
    again: float = 0.03
    gifts: float = 0.12
    return_days: float = 5.0

    def __post_init__(self) -> None:
        check_shared("products", self.products, ShopProduct)
        check_number("shipping", self.shipping, ge=0)
        check_share("again", self.again)
        check_share("gifts", self.gifts)
        check_number("return_days", self.return_days, gt=0)


@dataclass(frozen=True, kw_only=True)
class ShopPromotion:
    """A discount for everybody, every year.

    Parameters
    ----------
    name
        What it is called.
    month, day
        When it begins; month 0 for every month.
    days
        How long it lasts.
    depth
        Share of the list price taken off, 0 to below 1.
    flash
        True where orders must be paid within the short limit.
    """

    name: str
    month: int
    day: int
    days: int = 1
    depth: float = 0.1
    flash: bool = False

    def __post_init__(self) -> None:
        where = f"of promotion {self.name!r}"
        check_number(f"month {where}", check_integer(f"month {where}", self.month, ge=0), le=12)
        # Every month has a 28th.
        check_number(f"day {where}", check_integer(f"day {where}", self.day, ge=1), le=28)
        check_integer(f"days {where}", self.days, ge=1)
        check_number(f"depth {where}", self.depth, gt=0, lt=1)
        check_flag(f"flash {where}", self.flash)


@dataclass(frozen=True, kw_only=True)
class ShopDiscounts:
    """The discount calendar, and what a discount does to the days behind it.

    A discount of depth d multiplies the hazard by exp(beta d). Of the additional hazard the share
    ``moved`` is only pulled forward: it is owed, and paid back on days without a discount at
    1 / ``repay_days`` of what is still owed a day (never more than 90 % of that day's hazard), so
    that the cumulative effect of a promotion falls back to 1 - ``moved`` of its height.
    Customers who buy on discount only owe nothing.

    Parameters
    ----------
    promotions
        The calendar; where two overlap, the deeper counts.
    moved
        Share of the additional hazard that is only moved, 0 to 1.
    repay_days
        Mean days until what is moved is paid back.
    """

    promotions: tuple[ShopPromotion, ...] = (
        ShopPromotion(name="New Year", month=1, day=5, days=4, depth=0.2),
        ShopPromotion(name="Women's Day", month=3, day=7, days=2, depth=0.1),
        ShopPromotion(name="618", month=6, day=16, days=3, depth=0.25),
        ShopPromotion(name="818", month=8, day=17, days=2, depth=0.15),
        ShopPromotion(name="Double 11", month=11, day=10, days=2, depth=0.3, flash=True),
        ShopPromotion(name="Double 12", month=12, day=12, depth=0.2, flash=True),
        ShopPromotion(name="member day", month=0, day=20, depth=0.1),
    )
    moved: float = 0.6
    repay_days: float = 15.0

    def __post_init__(self) -> None:
        check_records("promotions", self.promotions, ShopPromotion)
        check_share("moved", self.moved)
        check_number("repay_days", self.repay_days, ge=1)
