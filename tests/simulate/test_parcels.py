"""Parcels: late shares against the closed form, shocks against the calendar, care, scans."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from touchpoint_lib._checks import BoolArray, FloatArray, InputError
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Orders
from touchpoint_lib.simulate.parcels import (
    HANDLING_SIGMA,
    SCAN_EVENTS,
    SCAN_RANGES,
    Parcels,
    ShopCarrier,
    ShopDelay,
    ShopParcels,
    check_provinces,
    delay_factors,
    scans,
    ship,
)
from touchpoint_lib.simulate.settings import ShopArrivals

START = pd.Timestamp("2023-01-01")
PROVINCES = ShopArrivals().provinces
SETTINGS = ShopParcels()
JAMS = delay_factors(SETTINGS, PROVINCES, START)
N = 200_000
#: First day of the Double 11 jam, which lasts ten.
JAM_DAY = (pd.Timestamp("2023-11-10") - START).days
#: Standard errors a share may be off; with fixed seeds and some 100 shares 4.5 is far out.
ERRORS = 4.5


def make_orders(times: FloatArray) -> Orders:
    """Orders of customers with three orders each, in all provinces."""
    number = np.arange(len(times))
    codes = np.zeros(len(times), dtype=np.int8)
    flags = np.zeros(len(times), dtype=bool)
    return Orders(
        customer=number // 3,
        event=number % 3,
        time=times,
        number=number % 3 + 1,
        source=codes,
        province=(number % len(PROVINCES)).astype(np.int8),
        product=codes,
        flash=flags,
        first_today=flags,
    )


def ship_all(
    paid_at: FloatArray, settings: ShopParcels = SETTINGS, seed: int = 7
) -> tuple[Orders, Parcels]:
    """Ship orders paid at ``paid_at`` after the default start."""
    orders = make_orders(paid_at)
    jams = delay_factors(settings, PROVINCES, START)
    return orders, ship(Draws(seed), settings, PROVINCES, orders, paid_at, jams)


@pytest.fixture(scope="module")
def year() -> tuple[Orders, Parcels]:
    """200,000 orders spread over two years, each paid at once."""
    return ship_all(np.linspace(0, 730, N))


def assert_share(flags: BoolArray, expected: float) -> None:
    """Check the share of a Bernoulli sample."""
    error = np.sqrt(expected * (1 - expected) / flags.size)
    assert flags.mean() == pytest.approx(expected, abs=ERRORS * error)


def assert_quantile(values: FloatArray, level: float, expected: float, density: float) -> None:
    """Check an empirical quantile: its standard error is sqrt(p (1 - p) / n) / density."""
    error = np.sqrt(level * (1 - level) / values.size) / density
    assert np.quantile(values, level) == pytest.approx(expected, abs=ERRORS * error)


def assert_successive_independent(values: FloatArray) -> None:
    """Check that successive orders, mostly of one customer, do not share their luck."""
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < ERRORS / np.sqrt(values.size)


# The time on the way


@pytest.mark.parametrize("day", [150.0, float(JAM_DAY)], ids=["quiet", "jam"])
def test_late_shares_are_the_closed_form(day: float) -> None:
    orders, parcels = ship_all(day + np.linspace(0, 3, N))
    factors = np.unique(parcels.factor)
    assert factors.tolist() == ([1.0] if day == 150 else [1.6])
    for code, carrier in enumerate(SETTINGS.carriers):
        assert_share(parcels.carrier == code, carrier.share)
        leads = [province.lead for province in PROVINCES]
        expected = SETTINGS.probability_late(carrier.name, leads, factors[0])
        promised = SETTINGS.promised_days(carrier.name, leads)
        for row in range(len(PROVINCES)):
            here = (parcels.carrier == code) & (orders.province == row)
            assert here.sum() > 7000
            assert_share(parcels.late[here], expected[row])
            whole = parcels.promised_at[here] - parcels.shipped_at[here]
            np.testing.assert_allclose(whole, promised[row], atol=1e-9)
    np.testing.assert_array_equal(parcels.late, parcels.delivered_at > parcels.promised_at)


def test_times_are_log_normal(year: tuple[Orders, Parcels]) -> None:
    orders, parcels = year
    medians = np.array([carrier.lead_days for carrier in SETTINGS.carriers])[parcels.carrier]
    medians *= np.array([province.lead for province in PROVINCES])[orders.province]
    sigmas = np.array([carrier.sigma for carrier in SETTINGS.carriers])[parcels.carrier]
    way = parcels.delivered_at - parcels.shipped_at
    handling = (parcels.shipped_at - orders.time) * 24 / SETTINGS.handling_hours
    for standard in (
        np.log(way / (medians * parcels.factor)) / sigmas,
        np.log(handling) / HANDLING_SIGMA,
    ):
        # Quantiles and densities of the standard normal distribution.
        assert_quantile(standard, 0.5, 0.0, 0.398942)
        assert_quantile(standard, 0.8413447, 1.0, 0.241971)
        assert_quantile(standard, 0.0227501, -2.0, 0.053991)
        assert_successive_independent(standard)
    assert_successive_independent(parcels.carrier.astype(np.float64))


def test_handling_way_and_care_are_independent(year: tuple[Orders, Parcels]) -> None:
    orders, parcels = year
    handling = np.log(parcels.shipped_at - orders.time)
    quick = handling < np.median(handling)
    calm = parcels.factor == 1
    difference = parcels.late[quick & calm].mean() - parcels.late[~quick & calm].mean()
    assert abs(difference) < ERRORS * np.sqrt(0.25 * 4 / calm.sum())
    cared = ~parcels.held_out[parcels.late]
    assert_share(cared[quick[parcels.late]], SETTINGS.care)
    assert_share(cared[(parcels.carrier == 1)[parcels.late]], SETTINGS.care)
    late_of = orders.customer[parcels.late]
    same = late_of[:-1] == late_of[1:]
    assert same.sum() > 1000
    assert_share((cared[:-1] == cared[1:])[same], SETTINGS.care**2 + (1 - SETTINGS.care) ** 2)


def test_promise_is_the_quantile_rounded_up() -> None:
    # 2.7 exp(0.35 x 1.036433) = 3.88 and, at lead 1.3, 5.05 days.
    assert SETTINGS.promised_days("standard", [1.0, 1.3]).tolist() == [4.0, 6.0]
    # The median of 3 days is promised for a quantile of a half: half of the parcels are late.
    even = ShopParcels(
        carriers=(ShopCarrier(name="only", share=1.0, lead_days=3.0, sigma=0.4),), promise=0.5
    )
    assert even.promised_days("only", 1.0) == 3.0
    assert even.probability_late("only", 1.0) == pytest.approx(0.5, abs=1e-15)
    # A shock of exp(sigma) moves the promise one sigma below the median: Phi(1) are late.
    assert even.probability_late("only", 1.0, np.exp(0.4)) == pytest.approx(0.8413447, abs=1e-7)


@given(
    lead=st.floats(0.1, 10),
    promise=st.floats(0.01, 0.99),
    factor=st.floats(1, 5),
    ages=st.lists(st.floats(0, 200), min_size=2, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_probabilities_keep_their_order(
    lead: float, promise: float, factor: float, ages: list[float]
) -> None:
    parcels = ShopParcels(promise=promise)
    for carrier in parcels.carriers:
        late = parcels.probability_late(carrier.name, lead)
        # Rounding up can only make a parcel less often late than promised.
        assert late <= 1 - promise + 1e-12
        delayed = float(parcels.probability_late(carrier.name, lead, factor))
        assert delayed >= late - 1e-12
        known = parcels.probability_late_in_transit(carrier.name, lead, sorted(ages), factor)
        assert (known >= delayed - 1e-12).all()
        assert (np.diff(known) >= -1e-12).all()
        overdue = parcels.promised_days(carrier.name, lead) + np.array([0.0, 1.0, 1e4])
        given_up = parcels.probability_late_in_transit(carrier.name, lead, overdue, factor)
        assert given_up.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("day", [150.0, float(JAM_DAY)], ids=["quiet", "jam"])
def test_late_in_transit_is_the_conditional_share(day: float) -> None:
    orders, parcels = ship_all(day + np.linspace(0, 3, N), seed=11)
    way = parcels.delivered_at - parcels.shipped_at
    ages = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
    for code, carrier in enumerate(SETTINGS.carriers):
        for row, province in enumerate(PROVINCES):
            here = (parcels.carrier == code) & (orders.province == row)
            expected = SETTINGS.probability_late_in_transit(
                carrier.name, province.lead, ages, parcels.factor[0]
            )
            for age, probability in zip(ages, expected, strict=True):
                on_the_way = here & (way > age)
                # Too few are on the way for a normal error where nearly all have arrived.
                if on_the_way.sum() > 500:
                    assert_share(parcels.late[on_the_way], probability)


def test_probabilities_broadcast() -> None:
    lead, age, factor = np.ones((4, 1, 1)), np.ones((3, 1)), np.ones(2)
    assert SETTINGS.probability_late("economy", lead, factor).shape == (4, 1, 2)
    shape = SETTINGS.probability_late_in_transit("economy", lead, age, factor).shape
    assert shape == (4, 3, 2)
    assert SETTINGS.promised_days("economy", 1.0).shape == ()


# Delay shocks


@given(
    start=st.dates(dt.date(1999, 1, 1), dt.date(2101, 12, 31)),
    month=st.integers(1, 12),
    day=st.integers(1, 28),
    days=st.integers(1, 366),
    at=st.lists(st.integers(0, 3000), min_size=1, max_size=20),
)
# Begun in the year before the shop, over the end of February with and without its 29th.
@example(start=dt.date(2023, 1, 1), month=12, day=25, days=10, at=[0, 1, 2, 3, 4])
@example(start=dt.date(2023, 1, 1), month=2, day=27, days=4, at=[57, 58, 60, 61, 424, 425, 426])
@settings(max_examples=40, deadline=None)
def test_shocks_follow_the_calendar(
    start: dt.date, month: int, day: int, days: int, at: list[int]
) -> None:
    delay = ShopDelay(name="jam", month=month, day=day, days=days, factor=2.0)
    factors = delay_factors(ShopParcels(delays=(delay,)), PROVINCES[:1], pd.Timestamp(start))
    for number in at:
        today = start + dt.timedelta(days=number)
        begins = [dt.date(today.year - back, month, day) for back in (0, 1, 2)]
        delayed = any(0 <= (today - begin).days < days for begin in begins)
        assert factors[0, number] == (2.0 if delayed else 1.0)


def test_largest_of_overlapping_shocks_counts() -> None:
    delays = tuple(
        ShopDelay(name=f"x{factor}", month=3, day=day, days=5, factor=factor, provinces=where)
        for factor, day, where in [(2.0, 1, ("Beijing",)), (1.5, 3, ()), (3.0, 4, ("Beijing",))]
    )
    factors = delay_factors(ShopParcels(delays=delays), PROVINCES, pd.Timestamp("2023-02-28"))
    names = [province.name for province in PROVINCES]
    beijing, sichuan = names.index("Beijing"), names.index("Sichuan")
    assert factors[beijing, :10].tolist() == [1, 2, 2, 2, 3, 3, 3, 3, 3, 1]
    assert factors[sichuan, :10].tolist() == [1, 1, 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1, 1]


def test_shock_of_a_parcel_is_that_of_its_day_and_province(year: tuple[Orders, Parcels]) -> None:
    orders, parcels = year
    date = START + pd.to_timedelta(np.floor(parcels.shipped_at), unit="D")
    code = date.month * 100 + date.day
    north = orders.province == [province.name for province in PROVINCES].index("Heilongjiang")
    expected = np.ones(N)
    expected[(code >= 1110) & (code <= 1119)] = 1.6
    expected[(code >= 108) & (code <= 119) & north] = 1.8
    np.testing.assert_array_equal(parcels.factor, expected)
    assert (expected == 1.8).sum() > 1000


def test_calendar_repeats() -> None:
    cycle = JAMS.shape[1]
    again = START + np.timedelta64(cycle, "D").astype("timedelta64[s]")
    assert (again.year, again.month, again.day) == (2423, 1, 1)
    dates = np.datetime64(START, "D") + np.arange(cycle)
    months = dates.astype("datetime64[M]")
    day = (dates - months).astype(int) + 1
    jam = (months.astype(int) % 12 == 10) & (day >= 10) & (day <= 19)
    np.testing.assert_array_equal(JAMS[0], np.where(jam, 1.6, 1.0))
    quiet = np.array([5.0, JAM_DAY + 1.0, 700.0])
    orders = make_orders(quiet)
    now = ship(Draws(1), SETTINGS, PROVINCES, orders, quiet, JAMS)
    later = ship(Draws(1), SETTINGS, PROVINCES, orders, quiet + cycle, JAMS)
    np.testing.assert_array_equal(now.factor, later.factor)


def test_delay_must_name_provinces_of_the_shop() -> None:
    check_provinces(SETTINGS, PROVINCES)
    message = re.escape(
        "delay 'winter storm' names province 'Heilongjiang'; the shop has only Zhejiang, Guangdong:"
        " name one of these, or pass ShopParcels(delays=...) without it"
    )
    with pytest.raises(InputError, match=message):
        check_provinces(SETTINGS, PROVINCES[:2])


# Care and loss


def test_care_only_for_late_parcels_before_the_promised_time(year: tuple[Orders, Parcels]) -> None:
    _, parcels = year
    cared = ~np.isnan(parcels.cared_at)
    assert parcels.late.sum() > 15_000
    assert not (cared & ~parcels.late).any()
    np.testing.assert_array_equal(parcels.held_out, parcels.late & ~cared)
    assert_share(cared[parcels.late], SETTINGS.care)
    # Every promised time is more than 12 hours after shipping here.
    np.testing.assert_allclose(parcels.promised_at[cared] - parcels.cared_at[cared], 0.5)
    expected = np.where(parcels.late, 0.5, 0.0)
    expected[cared] = 0.5 * (1 - 0.8)
    np.testing.assert_allclose(parcels.loss, expected, rtol=1e-14)


def test_no_care_call_before_shipping() -> None:
    _, parcels = ship_all(np.linspace(0, 50, 3000), ShopParcels(care=1.0, care_hours=84.0))
    assert not parcels.held_out.any()
    late = parcels.late
    assert (parcels.cared_at[late] < parcels.promised_at[late]).all()
    promised = parcels.promised_at[late] - parcels.shipped_at[late]
    short = promised < 3.5
    assert 0 < short.sum() < late.sum()
    at_shipping = parcels.cared_at[late] == parcels.shipped_at[late]
    np.testing.assert_array_equal(at_shipping, short)


def test_care_and_its_effect_can_be_off() -> None:
    _, none = ship_all(np.linspace(0, 50, 3000), ShopParcels(care=0.0))
    np.testing.assert_array_equal(none.held_out, none.late)
    assert np.isnan(none.cared_at).all()
    _, idle = ship_all(np.linspace(0, 50, 3000), ShopParcels(care_effect=0.0))
    np.testing.assert_array_equal(idle.loss, np.where(idle.late, 0.5, 0.0))
    # Care is luck of its own: it changes nothing about the way.
    np.testing.assert_array_equal(idle.delivered_at, none.delivered_at)


# Purity


def test_unpaid_orders_have_no_parcel() -> None:
    paid_at = np.linspace(0, 50, 3000)
    unpaid = np.arange(3000) % 4 == 0
    _, parcels = ship_all(np.where(unpaid, np.nan, paid_at))
    for name in ("shipped_at", "promised_at", "delivered_at", "factor"):
        np.testing.assert_array_equal(np.isnan(getattr(parcels, name)), unpaid, err_msg=name)
    np.testing.assert_array_equal(parcels.carrier == -1, unpaid)
    assert parcels.carrier.dtype == np.int8
    for name in ("late", "held_out", "loss"):
        assert not getattr(parcels, name)[unpaid].any(), name
        assert getattr(parcels, name)[~unpaid].any(), name
    assert np.isnan(parcels.cared_at[unpaid]).all()
    # The others' luck does not depend on who paid.
    _, all_paid = ship_all(paid_at)
    np.testing.assert_array_equal(parcels.delivered_at[~unpaid], all_paid.delivered_at[~unpaid])


@given(seed=st.integers(0, 2**40), cuts=st.lists(st.integers(0, 400), max_size=3))
@settings(max_examples=20, deadline=None)
def test_any_split_gives_the_same_parcels(seed: int, cuts: list[int]) -> None:
    paid_at = np.where(np.arange(400) % 5 == 0, np.nan, np.linspace(300, 330, 400))
    orders, whole = ship_all(paid_at, seed=seed)
    parts = [
        ship(
            Draws(seed),
            SETTINGS,
            PROVINCES,
            Orders(**{name: values[low:high] for name, values in vars(orders).items()}),
            paid_at[low:high],
            JAMS,
        )
        for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 400], strict=True)
    ]
    for field in dataclasses.fields(Parcels):
        joined = np.concatenate([getattr(part, field.name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, field.name), err_msg=field.name)


# Scans


def test_scans_are_complete_ordered_and_consistent(year: tuple[Orders, Parcels]) -> None:
    orders, parcels = year
    times = (parcels.shipped_at, parcels.delivered_at)
    found = scans(Draws(7), *times, orders.customer, orders.event, until=np.inf)
    # 200,000 parcels need several blocks.
    np.testing.assert_array_equal(found.parcel, np.repeat(np.arange(N), 5))
    np.testing.assert_array_equal(found.event, np.tile(np.arange(5), N))
    assert found.parcel.dtype == np.int32
    assert found.event.dtype == np.int8
    table = found.time.reshape(N, 5)
    np.testing.assert_array_equal(table[:, 0], parcels.shipped_at)
    np.testing.assert_array_equal(table[:, -1], parcels.delivered_at)
    assert (np.diff(table, axis=1) > 0).all()
    way = (parcels.delivered_at - parcels.shipped_at)[:, np.newaxis]
    parts = (table[:, 1:-1] - table[:, :1]) / way
    for part, (low, high) in zip(parts.T, SCAN_RANGES, strict=True):
        assert low - 1e-9 <= part.min() < part.max() <= high + 1e-9
        error = (high - low) / np.sqrt(12 * N)
        assert part.mean() == pytest.approx((low + high) / 2, abs=ERRORS * error)
    # Independent of each other and of the way.
    for one, two in [(0, 1), (1, 2), (0, 2)]:
        assert abs(np.corrcoef(parts[:, one], parts[:, two])[0, 1]) < ERRORS / np.sqrt(N)
    assert abs(np.corrcoef(parts[:, 1], np.log(way[:, 0]))[0, 1]) < ERRORS / np.sqrt(N)
    assert len(SCAN_EVENTS) == 5


@pytest.mark.parametrize("until", [-1.0, 3.0, 10.0])
def test_scans_end_with_the_observation(until: float) -> None:
    paid_at = np.where(np.arange(900) % 10 == 0, np.nan, np.linspace(0, 12, 900))
    orders, parcels = ship_all(paid_at)
    times = (parcels.shipped_at, parcels.delivered_at)
    found, every = (
        scans(Draws(7), *times, orders.customer, orders.event, until=end) for end in (until, np.inf)
    )
    kept = every.time <= until
    for name in ("parcel", "time", "event"):
        np.testing.assert_array_equal(getattr(found, name), getattr(every, name)[kept])
    shipped = np.flatnonzero(parcels.shipped_at <= until)
    np.testing.assert_array_equal(np.unique(found.parcel), shipped)
    delivered = np.flatnonzero(parcels.delivered_at <= until)
    np.testing.assert_array_equal(found.parcel[found.event == 4], delivered)
    if until > 0:
        assert 0 < delivered.size < shipped.size < 810


# Bad input


def carrier(**changes: Any) -> ShopCarrier:
    return ShopCarrier(**{"name": "a", "share": 1.0, "lead_days": 2.0, "sigma": 0.3, **changes})


def delay(**changes: Any) -> ShopDelay:
    return ShopDelay(**{"name": "d", "month": 1, "day": 1, "days": 1, "factor": 2.0, **changes})


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (carrier, {"share": 1.2}, "the share of carrier 'a' is 1.2; it must be <= 1"),
        (carrier, {"lead_days": 0}, "lead_days of carrier 'a' is 0; it must be > 0"),
        (carrier, {"lead_days": 400}, "lead_days of carrier 'a' is 400; it must be <= 365"),
        (carrier, {"sigma": 0.0}, "sigma of carrier 'a' is 0.0; it must be > 0"),
        (carrier, {"sigma": 2.5}, "sigma of carrier 'a' is 2.5; it must be <= 2"),
        (delay, {"month": 0}, "month of delay 'd' is 0; it must be >= 1"),
        (delay, {"month": 13}, "month of delay 'd' is 13; it must be <= 12"),
        (delay, {"day": 29}, "day of delay 'd' is 29; it must be <= 28"),
        (delay, {"day": 1.5}, "day of delay 'd' is 1.5; it must be a whole number"),
        (delay, {"days": 0}, "days of delay 'd' is 0; it must be >= 1"),
        (delay, {"days": 367}, "days of delay 'd' is 367; it must be <= 366"),
        (delay, {"factor": 0.9}, "factor of delay 'd' is 0.9; it must be >= 1"),
        (delay, {"factor": 101}, "factor of delay 'd' is 101; it must be <= 100"),
        (
            delay,
            {"provinces": "Beijing"},
            "provinces of delay 'd' is the text 'Beijing'; pass a tuple: ('Beijing',)",
        ),
        (ShopParcels, {"carriers": ()}, "carriers is {}; pass names with shares"),
        (
            ShopParcels,
            {"carriers": (carrier(share=0.5),)},
            "the shares of carriers add up to 0.5; they must add up to 1",
        ),
        (
            ShopParcels,
            {"carriers": (carrier(), carrier())},
            "two of the carriers are named 'a'; give each its own name",
        ),
        (
            ShopParcels,
            {"carriers": tuple(carrier(name=f"{i}", share=1 / 128) for i in range(128))},
            "the number of carriers is 128; it must be <= 127",
        ),
        (ShopParcels, {"handling_hours": 0}, "handling_hours is 0; it must be > 0"),
        (ShopParcels, {"handling_hours": 9000}, "handling_hours is 9000; it must be <= 8760"),
        (ShopParcels, {"promise": 0.0}, "promise is 0.0; it must be > 0"),
        (ShopParcels, {"promise": 1.0}, "promise is 1.0; it must be < 1"),
        (ShopParcels, {"late_loss": -0.1}, "late_loss is -0.1; it must be >= 0"),
        (ShopParcels, {"late_days": 0.0}, "late_days is 0.0; it must be > 0"),
        (ShopParcels, {"care": 1.1}, "care is 1.1; it must be <= 1"),
        (ShopParcels, {"care_hours": 0.0}, "care_hours is 0.0; it must be > 0"),
        (ShopParcels, {"care_effect": -0.5}, "care_effect is -0.5; it must be >= 0"),
        (ShopParcels, {"promise": "high"}, "promise is 'high'; it must be a number"),
    ],
)
def test_bad_settings(make: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rocket", 1.0, 0.0), "carrier is 'rocket'; it must be one of 'express', 'standard',"),
        (("express", [1.0, 0.0], 0.0), "lead is 0 at row 1 (1 such values)"),
        (("express", 1.0, -2.0), "age_days is -2 at row 0 (1 such values)"),
        (("express", 1.0, 0.0, 0.5), "factor is 0.5 at row 0 (1 such values)"),
    ],
)
def test_bad_questions(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        SETTINGS.probability_late_in_transit(*arguments)
