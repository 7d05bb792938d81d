"""Payments of the simulated shop against their closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from touchpoint_lib._checks import BoolArray, FloatArray, InputError
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Orders
from touchpoint_lib.simulate.payments import (
    CUSTOMERS,
    Customer,
    Payments,
    ShopPayments,
    check_sources,
    pay,
)

SOURCES = ("app", "search", "sms")
BY_SOURCE = {"search": 3.0, "sms": 0.2}
#: A binomial share may be this many standard errors from its expectation.
ERRORS = 4.5
#: The extremes that settings accept and a plain middle.
SETTINGS: dict[str, ShopPayments] = {
    "default": ShopPayments(by_source=BY_SOURCE),
    "all at once": ShopPayments(at_once=1.0, never=0.0),
    "nobody pays": ShopPayments(at_once=0.0, never=1.0),
    "now or never": ShopPayments(at_once=0.3, never=0.7),
    "all late": ShopPayments(at_once=0.0, never=0.0, by_source=BY_SOURCE),
    "wide": ShopPayments(
        delay_minutes=1e6,
        sigma=10.0,
        by_source={"app": 1e3, "search": 1e-3},
        by_customer={"new": 1e3, "second": 1e-3, "loyal": 1.0},
        remind_effect=1e3,
    ),
    "narrow": ShopPayments(at_once=0.0, delay_minutes=1e-6, sigma=0.01, reminder=1.0),
    "sharp": ShopPayments(at_once=0.0, delay_minutes=240.0, sigma=0.01, remind_effect=40.0),
}


def shop_orders(n: int) -> Orders:
    """Orders in which sources, purchase numbers, limits and firsts of a day are all crossed."""
    at = np.arange(n)
    return Orders(
        customer=at // 4,
        event=at % 4,
        time=at * (600.0 / max(n, 1)),
        number=np.array([1, 2, 3, 11])[at % 4],
        source=(at // 4 % 3).astype(np.int8),
        province=np.zeros(n, dtype=np.int8),
        product=np.zeros(n, dtype=np.int8),
        flash=at // 12 % 2 == 1,
        first_today=at // 24 % 3 != 2,
    )


def part(record: Any, rows: slice) -> Any:
    return type(record)(*(getattr(record, field.name)[rows] for field in fields(record)))


def same(left: Payments, right: Payments) -> None:
    for field in fields(Payments):
        np.testing.assert_array_equal(
            getattr(left, field.name), getattr(right, field.name), err_msg=field.name, strict=True
        )


def stratum(orders: Orders, source: str, customer: Customer) -> BoolArray:
    nth = np.minimum(orders.number, 3) == CUSTOMERS.index(customer) + 1
    return np.asarray((orders.source == SOURCES.index(source)) & nth)


def check_shares_paid(minutes_paid: FloatArray, grid: list[float], expected: FloatArray) -> None:
    """Compare the shares paid within each time with their expectation; NaN is never paid."""
    n = len(minutes_paid)
    assert n > 50
    found = np.array([(minutes_paid <= minutes).mean() for minutes in grid])
    error = np.sqrt(expected * (1 - expected) / n)
    np.testing.assert_array_less(np.abs(found - expected), ERRORS * error + 1e-12)


ORDERS = shop_orders(200_000)
PAID = pay(Draws(5), SETTINGS["default"], ORDERS, SOURCES)
STRATA = [(source, customer) for source in SOURCES for customer in CUSTOMERS]


@pytest.mark.parametrize(("source", "customer"), STRATA)
@pytest.mark.parametrize("name", ["default", "all late", "now or never"])
def test_own_payments_follow_the_closed_form(name: str, source: str, customer: Customer) -> None:
    payments = SETTINGS[name]
    paid = PAID if name == "default" else pay(Draws(6), payments, ORDERS, SOURCES)
    rows = stratum(ORDERS, source, customer)
    minutes = (paid.own_paid_at - ORDERS.time)[rows] * 1440
    grid = [0.1, 0.5, 1.0, 1.9, 2.1, 10.0, 30.0, 240.0, 4320.0, 1e6]
    expected = payments.own_share(grid, source=source, customer=customer)
    check_shares_paid(minutes, grid, expected)


@pytest.mark.parametrize("flash", [False, True])
@pytest.mark.parametrize(("source", "customer"), STRATA)
def test_both_arms_follow_the_closed_form_up_to_the_limit(
    source: str, customer: Customer, flash: bool
) -> None:
    payments = SETTINGS["default"]
    sent, limit = (10.0, 30.0) if flash else (240.0, 4320.0)
    rows = stratum(ORDERS, source, customer) & (ORDERS.flash == flash)
    grid = list(np.geomspace(1.1 * sent, limit, 6))
    unpaid = 1 - payments.own_share(sent, source=source, customer=customer)
    reminded = np.isfinite(PAID.reminded_at)
    order: dict[str, Any] = {"source": source, "customer": customer}
    arms = [
        (reminded, payments.share_with_reminder(grid, **order, flash=flash)),
        (PAID.held_out, payments.own_share(grid, **order)),
    ]
    for arm, share in arms:
        minutes = (PAID.paid_at - ORDERS.time)[rows & arm] * 1440
        # The difference of two dates may round to above the limit.
        minutes[minutes > limit * (1 - 1e-9)] = limit
        # Given that the order is unpaid at the reminder.
        check_shares_paid(minutes, grid, (share - (1 - unpaid)) / unpaid)

    # The reminder reaches half of the eligible, and these are as many as are unpaid.
    candidates = rows & ORDERS.first_today
    eligible = candidates & (reminded | PAID.held_out)
    for found, among, expected in (
        (eligible, candidates, float(unpaid)),
        (reminded & rows, eligible, payments.reminder),
    ):
        n = among.sum()
        error = np.sqrt(expected * (1 - expected) / n)
        assert abs(found.sum() / n - expected) < ERRORS * error


def test_reminder_pays_more_orders_than_the_holdout() -> None:
    eligible = np.isfinite(PAID.reminded_at) | PAID.held_out
    flash = eligible & ORDERS.flash
    arms = [flash & PAID.held_out, flash & ~PAID.held_out]
    held_out, reminded = (np.isfinite(PAID.paid_at[arm]).mean() for arm in arms)
    assert reminded > held_out + 0.15


@pytest.mark.parametrize("flash", [False, True])
def test_reminder_multiplies_the_hazard_of_every_late_payment(flash: bool) -> None:
    payments = replace(
        SETTINGS["all late"],
        by_source={},
        flash_limit_minutes=1e9,
        limit_days=36_525.0,
        reminder=1.0,
    )
    orders = replace(shop_orders(20_000), time=np.zeros(20_000))
    paid = pay(Draws(7), payments, orders, SOURCES)
    moved = np.isfinite(paid.reminded_at) & (orders.flash == flash)
    medians = 25.0 * np.array([1.5, 1.1, 0.8])[np.minimum(orders.number[moved], 3) - 1]

    def log_survival(days: Any) -> FloatArray:
        return np.asarray(stats.norm.logsf(np.log(days * 1440 / medians) / payments.sigma))

    before = log_survival((10.0 if flash else 240.0) / 1440)
    own = log_survival(paid.own_paid_at[moved])
    assert own.min() < -7  # the tail is in it
    np.testing.assert_allclose(
        log_survival(paid.paid_at[moved]), before + (own - before) / 2.5, rtol=1e-10
    )


@pytest.mark.parametrize(
    ("flash", "sent", "effect"), [(False, 240.0, 2.5), (True, 10.0, 2.5), (True, 10.0, 1.0)]
)
def test_shares_agree_with_many_digits(flash: bool, sent: float, effect: float) -> None:
    payments = ShopPayments(
        at_once=0.0, never=0.25, sigma=1.3, by_source=BY_SOURCE, remind_effect=effect
    )
    grid = [1e-6, 0.01, 1.0, 9.0, 11.0, 239.0, 241.0, 4320.0, 1e6]
    with mpmath.workdps(100):  # the first share is 1 less a survival of 1 - 4e-45
        sigma, median = mpmath.mpf(1.3), mpmath.mpf(25) * 3 * mpmath.mpf(1.1)

        def survival(minutes: float) -> Any:
            return mpmath.ncdf(-mpmath.log(minutes / median) / sigma)

        late = 1 - mpmath.mpf(0.25)
        own = [float(late * (1 - survival(t))) for t in grid]
        reminded = [
            float(
                late
                * (1 - survival(min(t, sent)) * (survival(max(t, sent)) / survival(sent)) ** effect)
            )
            for t in grid
        ]
    order: dict[str, Any] = {"source": "search", "customer": "second"}
    np.testing.assert_allclose(payments.own_share(grid, **order), own, rtol=1e-11)
    np.testing.assert_allclose(
        payments.share_with_reminder(grid, **order, flash=flash), reminded, rtol=1e-11
    )


def test_shares_from_nothing_to_forever() -> None:
    payments = SETTINGS["default"]
    for share in (payments.own_share, payments.share_with_reminder):
        ends = share([0.0, 10 / 60, np.inf], source="app", customer="new")
        assert ends[0] == 0
        # Ten seconds: nobody at once yet, a quarter late with a median of 37.5 minutes.
        assert ends[1] == pytest.approx(0.25 * stats.norm.cdf(np.log(1 / 225) / 2.2), rel=1e-12)
        assert ends[2] == pytest.approx(0.95, rel=1e-15)
        assert share(5.0, source="app", customer="new").shape == ()
        assert share(np.ones((2, 3)), source="app", customer="new").shape == (2, 3)
    # A source without a factor is one with factor 1.
    plain = payments.own_share(30.0, source="app", customer="loyal")
    assert plain == payments.own_share(30.0, source="unheard of", customer="loyal")
    assert plain != payments.own_share(30.0, source="sms", customer="loyal")


@effort(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(SETTINGS)), seed=st.integers(0, 2**64), n=st.integers(0, 2000))
def test_every_order_is_paid_or_cancelled_in_time(name: str, seed: int, n: int) -> None:
    orders, payments = shop_orders(n), SETTINGS[name]
    paid = pay(Draws(seed), payments, orders, SOURCES)
    limit = np.where(orders.flash, 30 / 1440, 3.0)
    np.testing.assert_array_equal(paid.due_at, orders.time + limit)
    is_paid, cancelled = np.isfinite(paid.paid_at), np.isfinite(paid.cancelled_at)
    assert (is_paid != cancelled).all()
    assert (paid.paid_at >= orders.time)[is_paid].all()
    assert (paid.paid_at <= paid.due_at)[is_paid].all()
    assert (paid.cancelled_at == paid.due_at)[cancelled].all()
    assert not np.isinf(paid.own_paid_at).any()

    # A reminder reaches the unpaid first order of a day, and never delays a payment.
    reminded = np.isfinite(paid.reminded_at)
    sent = orders.time + np.where(orders.flash, 10.0, 240.0) / 1440
    unpaid = np.isnan(paid.own_paid_at) | (paid.own_paid_at > sent)
    np.testing.assert_array_equal(reminded | paid.held_out, orders.first_today & unpaid)
    assert not (reminded & paid.held_out).any()
    assert (paid.reminded_at == sent)[reminded].all()
    own_in_time = paid.own_paid_at <= paid.due_at
    assert is_paid[own_in_time].all()
    assert (paid.paid_at <= paid.own_paid_at)[is_paid].all()
    assert (paid.paid_at >= paid.reminded_at)[is_paid & reminded].all()
    alone = ~reminded
    np.testing.assert_array_equal(is_paid[alone], own_in_time[alone])
    np.testing.assert_array_equal(paid.paid_at[alone & is_paid], paid.own_paid_at[alone & is_paid])


@effort(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(SETTINGS)),
    seed=st.integers(0, 2**32),
    n=st.integers(0, 500),
    cut=st.floats(0, 1),
)
def test_one_call_is_the_same_as_two(name: str, seed: int, n: int, cut: float) -> None:
    orders, payments, at = shop_orders(n), SETTINGS[name], int(n * cut)
    whole = pay(Draws(seed), payments, orders, SOURCES)
    for rows in (slice(None, at), slice(at, None)):
        same(part(whole, rows), pay(Draws(seed), payments, part(orders, rows), SOURCES))


def test_an_order_that_is_alone_fares_as_in_the_crowd() -> None:
    for at in (0, 17, 199_999):
        rows = slice(at, at + 1)
        same(part(PAID, rows), pay(Draws(5), SETTINGS["default"], part(ORDERS, rows), SOURCES))


def test_reminder_without_effect_changes_no_payment() -> None:
    payments = replace(SETTINGS["default"], remind_effect=1.0, reminder=1.0)
    idle = pay(Draws(5), payments, ORDERS, SOURCES)
    none = pay(Draws(5), replace(payments, reminder=0.0), ORDERS, SOURCES)
    assert np.isfinite(idle.reminded_at).sum() > 10_000
    np.testing.assert_array_equal(idle.paid_at, none.paid_at)
    np.testing.assert_array_equal(idle.cancelled_at, none.cancelled_at)
    order: dict[str, Any] = {"source": "sms", "customer": "new"}
    grid = np.geomspace(0.1, 1e5, 50)
    np.testing.assert_array_equal(
        payments.share_with_reminder(grid, **order), payments.own_share(grid, **order)
    )


def test_reminder_delays_nothing_by_rounding() -> None:
    payments = ShopPayments(
        at_once=0.0, delay_minutes=1500.0, reminder=1.0, remind_effect=1 + 2**-51
    )
    orders = replace(ORDERS, time=np.zeros(len(ORDERS)))
    paid = pay(Draws(5), payments, orders, SOURCES)
    in_time = paid.own_paid_at <= paid.due_at
    assert (paid.paid_at <= paid.own_paid_at)[in_time].all()


def test_share_reminded_moves_no_other_luck() -> None:
    for reminder, share in ((0.0, 0.0), (0.2, 0.2), (1.0, 1.0)):
        paid = pay(Draws(5), replace(SETTINGS["default"], reminder=reminder), ORDERS, SOURCES)
        np.testing.assert_array_equal(paid.own_paid_at, PAID.own_paid_at)
        reminded = np.isfinite(paid.reminded_at)
        eligible = reminded | paid.held_out
        np.testing.assert_array_equal(eligible, np.isfinite(PAID.reminded_at) | PAID.held_out)
        error = np.sqrt(share * (1 - share) / eligible.sum())
        assert abs(reminded[eligible].mean() - share) <= ERRORS * error


def test_orders_of_one_customer_meet_their_own_luck() -> None:
    """What two orders of a customer have in common is the product of their shares."""
    payments = replace(SETTINGS["now or never"], reminder=0.3)
    orders = replace(ORDERS, first_today=np.ones(len(ORDERS), dtype=np.bool_))
    paid = pay(Draws(9), payments, orders, SOURCES)
    unpaid = np.isnan(paid.own_paid_at)
    soon = paid.own_paid_at - orders.time < 65 / 86_400
    reminded = np.isfinite(paid.reminded_at)
    for happened, among, share in ((soon, soon | ~soon, 0.15), (reminded, unpaid, 0.3)):
        first, second = happened.reshape(-1, 4)[:, :2].T
        both = among.reshape(-1, 4)[:, :2].all(axis=1)
        found, expected = (first & second)[both].mean(), share**2
        error = np.sqrt(expected * (1 - expected) / both.sum())
        assert abs(found - expected) < ERRORS * error


BAD: list[tuple[dict[str, Any], str]] = [
    ({"at_once": 1.1}, r"at_once is 1\.1; it must be <= 1"),
    ({"never": -0.1}, r"never is -0\.1; it must be >= 0"),
    ({"reminder": float("nan")}, "reminder is nan; it must be finite"),
    ({"at_once": 0.6, "never": 0.5}, r"at_once is 0\.6 and never is 0\.5; together they must be"),
    ({"delay_minutes": 0.0}, r"delay_minutes is 0\.0; it must be > 0"),
    ({"delay_minutes": 2e6}, "delay_minutes is 2000000"),
    ({"sigma": 0.0}, r"sigma is 0\.0; it must be >= 0\.01"),
    ({"sigma": 11}, "sigma is 11; it must be <= 10"),
    ({"by_source": ["sms"]}, r"by_source is \['sms'\]; pass a dict"),
    ({"by_source": {"sms": 0.0}}, r"by_source\['sms'\] is 0\.0; it must be >= 0\.001"),
    ({"by_source": {"sms": "2"}}, r"by_source\['sms'\] is '2'; it must be a number"),
    ({"by_customer": None}, "by_customer is None; pass a dict"),
    ({"by_customer": {"new": 1e4}}, r"by_customer\['new'\] is 10000\.0; it must be <= 1000"),
    ({"by_customer": {"new": 1.5, "loyal": 1.0}}, r"has the keys \['new', 'loyal'\]; it must have"),
    ({"flash_limit_minutes": 10.0}, "remind_flash_minutes is 10, but flash_limit_minutes cancels"),
    ({"flash_limit_minutes": "30"}, "flash_limit_minutes is '30'; it must be a number"),
    ({"limit_days": 0.1}, "remind_minutes is 240, but limit_days cancels after 144 minutes; lower"),
    ({"limit_days": float("inf")}, "limit_days is inf; it must be finite"),
    ({"remind_flash_minutes": 2.0}, r"remind_flash_minutes is 2\.0; it must be > 2"),
    ({"remind_minutes": 4320.0}, "remind_minutes is 4320, but limit_days cancels after 4320 min"),
    ({"remind_effect": 0.9}, r"remind_effect is 0\.9; it must be >= 1"),
    ({"remind_effect": 1001}, r"remind_effect is 1001; it must be <= 1000"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_settings(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ShopPayments(**given)


@pytest.mark.parametrize(
    ("minutes", "customer", "message"),
    [
        (-1.0, "new", "minutes is -1 at row 0 .* every value must be >= 0"),
        ([1.0, float("nan")], "new", "minutes is nan at row 1 .* every value must be present"),
        (1.0, "old", "customer is 'old'; it must be one of 'new', 'second', 'loyal'"),
    ],
)
@pytest.mark.parametrize("share", [ShopPayments.own_share, ShopPayments.share_with_reminder])
def test_bad_share(share: Callable[..., Any], minutes: Any, customer: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        share(ShopPayments(), minutes, source="app", customer=customer)


def test_sources_with_a_factor_must_exist() -> None:
    check_sources(SETTINGS["default"], SOURCES)
    with pytest.raises(
        InputError, match=r"by_source of payments is 'sms'; it must be one of 'app'"
    ):
        check_sources(SETTINGS["default"], SOURCES[:2])
