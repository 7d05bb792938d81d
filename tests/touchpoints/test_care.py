"""Care for late parcels: against plain loops, and the truth of simulated shops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.touchpoints._care_strata import compare_within
from touchpoint_lib.touchpoints.care import ParcelCare, parcel_care

START = pd.Timestamp("2025-01-01")
HOUR = pd.Timedelta(hours=1)
#: Effect of care in 90 days on 1,000 parcels, from a simulated shop of 150,000 customers with the
#: settings of the bundled one, and its standard error.
TRUE_ORDERS, TRUE_ERROR = 325, 15


def at(*hours: float | None) -> pd.DatetimeIndex:
    times = [pd.NaT if hour is None else START + hour * HOUR for hour in hours]
    return pd.DatetimeIndex(times).as_unit("us")


def small() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return eight parcels of six customers: on the way, late, cared for, held out, breached."""
    parcels = pd.DataFrame(
        {
            "parcel_id": [11, 12, 13, 14, 15, 16, 17, 18],
            "customer_id": [1, 2, 3, 4, 5, 6, 1, 2],
            "carrier": "post",
            "province": "Anhui",
            "shipped_at": at(1, 1, 1, 1, 1, 1, 300, 900),
            "promised_at": at(49, 49, 49, 49, 49, 49, 348, 1200),
            # In time, late, late, on the way, at the promised time, late, late, on the way.
            "delivered_at": at(40, 60, 70, None, 49, 55, 400, None),
            "cared_at": at(None, 30, 52, None, 20, 40, None, None),
            "held_out": [False, False, False, True, False, True, False, False],
        },
        index=list("abcdefgh"),
    )
    orders = pd.DataFrame(
        {
            "customer_id": [1, 2, 3, 4, 5, 6, 1, 2, 2, 3, 5, 6, 1],
            "time": at(0, 0, 0, 0, 0, 0, 290, 49, 50, 289, 290, 100, 1000),
            "margin": [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        }
    )
    return parcels, orders


def test_of_each_parcel() -> None:
    found = parcel_care(*small(), window=10)
    table = found.parcels
    assert list(table.index) == list("abcdefg")
    assert list(table["late"]) == [False, True, True, True, False, True, True]
    assert list(table["cared"]) == [False, True, True, False, True, True, False]
    # In time is by the promise, not by the delivery.
    assert list(table["in_time"]) == [False, True, False, False, True, True, False]
    np.testing.assert_array_equal(table["lead_hours"], [np.nan, 19, -3, np.nan, 29, 9, np.nan])
    assert (found.n_judged, found.n_undecided, found.n_breached, found.n_open) == (7, 1, 1, 0)
    assert found.until == START + 1000 * HOUR


def test_rates_are_a_plain_count() -> None:
    rates = parcel_care(*small(), window=10).rates
    columns = ["n", "n_flagged", "n_actual", "true_positive", "false_positive", "false_negative"]
    assert rates.loc["flagged", columns].tolist() == [7, 5, 5, 4, 1, 1]
    assert rates.loc["cared for", columns].tolist() == [7, 4, 5, 3, 1, 2]
    assert rates.loc["in time", columns].tolist() == [7, 3, 5, 2, 1, 3]
    assert rates.loc["in time", "error_rate"] == pytest.approx(1 / 3)
    assert rates.loc["in time", "omission_rate"] == pytest.approx(3 / 5)
    # Of the late ones: 19, -3 and 9 hours before the promised time; in time only 19 and 9.
    assert rates.loc["cared for", "lead_median"] == 9
    assert rates.loc["in time", "lead_median"] == 14
    assert rates.loc["in time", "lead_low_quartile"] == 11.5


def test_worth_is_by_the_lots() -> None:
    """Flagged in time parcels belong to the lots, and who was cared for by mistake stays held."""
    found = parcel_care(*small(), window=10)
    # Cared for: parcels of 2, 3, 5; held out: of 4 and 6. Orders in (49, 289] hours: customer 2 one
    # at 50 (not the one at 49), 3 one at 289, 5 none (290), 4 none, 6 one.
    orders, margin = (found.worth.iloc[row] for row in (0, 1))
    assert (orders["n_cared"], orders["n_held_out"]) == (3, 2)
    assert orders["mean_cared"] == pytest.approx(2 / 3)
    assert orders["mean_held_out"] == pytest.approx(1 / 2)
    assert orders["per_1000"] == pytest.approx(1000 / 6)
    assert margin["per_1000"] == pytest.approx(1000 * ((9 + 10) / 3 - 12 / 2))
    assert orders["per_1000_low"] < orders["per_1000"] < orders["per_1000_high"]
    assert found.why == ""
    assert found.evaluation is not None
    assert found.evaluation.randomised


def test_without_holdout_worth_is_not_known() -> None:
    parcels, orders = small()
    found = parcel_care(parcels.assign(held_out=False), orders, window=10)
    assert found.evaluation is None
    assert found.worth.empty
    assert "Parcels of 0 customers were held out at random" in found.why
    assert "not identified" in found._repr_html_()
    uncared = parcels.assign(cared_at=at(*[None] * 8))
    assert "0 customers were cared for" in parcel_care(uncared, orders, window=10).why


def test_nothing_late_has_no_omission_rate() -> None:
    parcels, orders = small()
    quick = parcels.assign(delivered_at=parcels["shipped_at"] + HOUR, cared_at=at(*[None] * 8))
    found = parcel_care(quick.assign(held_out=False), orders, window=10)
    assert found.rates[["error_rate", "omission_rate", "lead_median"]].isna().all().all()
    assert found.lateness.empty


def test_what_comes_after_until_is_not_looked_at() -> None:
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    until = pd.Timestamp("2025-03-31 23:59:59.999999")
    whole = parcel_care(shop.parcels, paid, window=60, until="2025-03-31")
    known = shop.parcels[shop.parcels["shipped_at"] <= until]
    cut = known.assign(
        delivered_at=known["delivered_at"].where(known["delivered_at"] <= until),
        cared_at=known["cared_at"].where(known["cared_at"] <= until),
    )
    part = parcel_care(cut, paid[paid["time"] <= until], window=60, until="2025-03-31")
    assert whole.until == until
    pd.testing.assert_frame_equal(whole.parcels, part.parcels)
    pd.testing.assert_frame_equal(whole.worth, part.worth)
    pd.testing.assert_frame_equal(whole.lateness, part.lateness)
    assert whole.n_judged + whole.n_undecided == len(shop.parcels)


def test_time_zones_and_order_change_nothing() -> None:
    parcels, orders = small()
    plain = parcel_care(parcels, orders, window=10)
    columns = ["shipped_at", "promised_at", "delivered_at", "cared_at"]
    zoned = parcels.assign(
        **{name: parcels[name].dt.tz_localize("Asia/Shanghai") for name in columns}
    )
    bought = orders.assign(time=orders["time"].dt.tz_localize("Asia/Shanghai")).iloc[::-1]
    other = parcel_care(zoned, bought, window=10)
    pd.testing.assert_frame_equal(plain.rates, other.rates)
    pd.testing.assert_frame_equal(plain.worth, other.worth)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_against_loops(data: st.DataObject) -> None:
    n = data.draw(st.integers(4, 25))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shipped = rng.integers(10, 100, n)
    promised = shipped + rng.integers(1, 50, n)
    delivered = shipped + rng.integers(0, 100, n)
    cared = shipped + rng.integers(0, 100, n)
    some, held = rng.random(n) < 0.5, rng.random(n) < 0.3
    parcels = pd.DataFrame(
        {
            "parcel_id": np.arange(n),
            "customer_id": rng.integers(0, 6, n),
            "carrier": rng.choice(["a", "b"], n),
            "province": "x",
            "shipped_at": at(*shipped),
            "promised_at": at(*promised),
            "delivered_at": at(*delivered),
            "cared_at": at(*(hour if has else None for hour, has in zip(cared, some, strict=True))),
            "held_out": held,
        }
    )
    m = 60
    orders = pd.DataFrame(
        {
            "customer_id": [*range(6), *rng.integers(0, 6, m)],
            "time": at(*[0] * 6, *rng.integers(0, 220, m)),
        }
    )
    until, window = 150, 2
    # Else the call is refused.
    assume((promised + 24 * window <= until).any())
    found = parcel_care(
        parcels, orders, window=window, amounts=[], until=START + until * HOUR, level=0.9
    )
    hits = dict.fromkeys(("flagged", "cared for", "in time"), 0)
    late_ones = 0
    arms: dict[bool, list[int]] = {True: [], False: []}
    hours = ((orders["time"] - START) / HOUR).tolist()
    who = orders["customer_id"].tolist()
    for row in range(n):
        if promised[row] > until:
            continue
        late = delivered[row] > promised[row]
        is_cared = bool(some[row]) and cared[row] <= until
        late_ones += late
        hits["flagged"] += late and (is_cared or held[row])
        hits["cared for"] += late and is_cared
        hits["in time"] += late and is_cared and cared[row] <= promised[row]
        if promised[row] + 24 * window <= until and (is_cared or held[row]):
            first, last = promised[row], promised[row] + 24 * window
            owner = parcels["customer_id"][row]
            arms[bool(held[row])].append(
                sum(
                    first < time <= last and by == owner
                    for time, by in zip(hours, who, strict=True)
                )
            )
    assert (found.rates["n_actual"] == late_ones).all()
    assert found.rates["true_positive"].to_dict() == hits
    if found.evaluation is not None:
        row = found.worth.iloc[0]
        assert (row["n_cared"], row["n_held_out"]) == (len(arms[False]), len(arms[True]))
        assert row["mean_cared"] == pytest.approx(np.mean(arms[False]))
        assert row["mean_held_out"] == pytest.approx(np.mean(arms[True]))


def test_within_strata_against_loops() -> None:
    rng = np.random.default_rng(5)
    n = 400
    data = pd.DataFrame(
        {
            "who": rng.integers(0, 150, n),
            "exposed": rng.random(n) < 0.4,
            "y": rng.normal(size=n),
        }
    )
    stratum = np.where(np.arange(n) < 5, 3, rng.integers(0, 3, n))
    data.loc[:4, "exposed"] = [True, True, True, False, True]
    found = compare_within(data, "exposed", stratum, ["y"], cluster="who", level=0.95).iloc[0]
    total = difference = 0.0
    for one in range(3):
        here = data[stratum == one]
        gap = here["y"][here["exposed"]].mean() - here["y"][~here["exposed"]].mean()
        difference += len(here) * gap
        total += len(here)
    assert found["n_left_out"] == 5
    assert found["n_exposed"] + found["n_others"] == n - 5
    assert found["difference"] == pytest.approx(difference / total)


@pytest.fixture(scope="module")
def bundled() -> tuple[tp.Shop, ParcelCare]:
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    return shop, parcel_care(shop.parcels, paid, window=90)


def test_bundled_rates_are_those_of_the_truth(bundled: tuple[tp.Shop, ParcelCare]) -> None:
    """The simulated shop flags all late parcels, and holds half of them out."""
    shop, care = bundled
    truth = shop.truth.parcels.set_index("parcel_id")["late"]
    late = truth[care.parcels["parcel_id"]].to_numpy()
    np.testing.assert_array_equal(care.parcels["late"], late)
    assert care.rates.loc["flagged", ["error_rate", "omission_rate"]].tolist() == [0, 0]
    held = shop.parcels.set_index("parcel_id")["held_out"][care.parcels["parcel_id"]].to_numpy()
    assert care.rates.loc["in time", "omission_rate"] == pytest.approx(
        (held & late).sum() / late.sum()
    )
    assert care.rates.loc["in time", "lead_median"] == pytest.approx(12)


def test_bundled_worth_holds_the_truth(bundled: tuple[tp.Shop, ParcelCare]) -> None:
    orders = bundled[1].worth.iloc[0]
    assert orders["per_1000_low"] < TRUE_ORDERS < orders["per_1000_high"]
    assert orders["per_1000_low"] > 0


def test_bundled_lateness_costs_more_than_care_brings(bundled: tuple[tp.Shop, ParcelCare]) -> None:
    """Care takes 80 % of the loss away, so a late parcel costs about what it brings over 0.8."""
    care = bundled[1]
    late = care.lateness.iloc[0]
    assert late["per_1000_high"] < -TRUE_ORDERS
    # -499 in a simulated shop of 150,000 customers.
    assert late["per_1000_low"] < -499 < late["per_1000_high"]
    assert "Nobody drew lots" in care.note


def test_shown(bundled: tuple[tp.Shop, ParcelCare]) -> None:
    care = bundled[1]
    assert repr(care) == (
        "ParcelCare(29,517 parcels judged, 3,694 late, 1,828 of them cared for in time; "
        "error rate 0.000, omission rate 0.505)"
    )
    assert "per_1000" in care._repr_html_()
    pd.testing.assert_frame_equal(care.to_frame(), care.rates)
    assert care.to_frame() is not care.rates


def simulated(seed: int, n: int, **settings: float) -> pd.DataFrame:
    """Return what care was worth in a shop without contacts and reviews."""
    shop = tp.simulate_shop(
        seed=seed,
        n_customers=n,
        days=420,
        contacts=None,
        visits=None,
        reviews=None,
        parcels=tp.ShopParcels(**settings),
    )
    paid = shop.orders[shop.orders["status"] == "paid"]
    return parcel_care(shop.parcels, paid, window=90).worth


def test_care_that_does_nothing_is_worth_nothing() -> None:
    worth = simulated(3, 15_000, care_effect=0.0)
    error = (worth["per_1000_high"] - worth["per_1000_low"]) / 3.92
    assert (worth["per_1000"].abs() < 3 * error).all()
    assert error[0] < 50


@pytest.mark.slow
def test_intervals_hold_the_true_effect() -> None:
    """Of orders and margin in 50 shops."""
    large = simulated(999, 60_000)
    truth = large["per_1000"].to_numpy()
    assert truth[0] > 200
    held = 0
    for seed in range(50):
        worth = simulated(seed, 1500)
        low, high = worth["per_1000_low"].to_numpy(), worth["per_1000_high"].to_numpy()
        held += int(((low <= truth) & (truth <= high)).sum())
    # The two outcomes of a shop go together: binomial of 50 pairs, three standard errors.
    assert held / 100 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 50)


def spoilt(column: str, value: Any) -> Any:
    """Return a change of one value of the parcels."""

    def change(parcels: pd.DataFrame) -> pd.DataFrame:
        result = parcels.copy()
        result.loc["b", column] = value
        return result

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.drop(columns="held_out"), r"parcels has no column 'held_out'"),
        (lambda one: one.iloc[:0], r"parcels has no rows; pass at least one"),
        (spoilt("parcel_id", 11), r"parcel_id repeats at index 'b' of parcels \(1 such rows\)"),
        (spoilt("promised_at", pd.NaT), r"promised_at is missing at index 'b'"),
        (spoilt("customer_id", None), r"customer_id is missing at index 'b' of parcels"),
        (spoilt("carrier", None), r"carrier is missing at index 'b' of parcels"),
        (spoilt("delivered_at", START), r"delivered_at is before shipped_at at index 'b'"),
        (spoilt("cared_at", START), r"cared_at is before shipped_at at index 'b'"),
        (
            spoilt("customer_id", 9),
            r"customer_id has no order up to promised_at at index 'b' of parc",
        ),
        (
            lambda one: one.assign(customer_id=one["customer_id"].astype("str")),
            r"no customer of parcels \(str\) is in orders \(int64\); call customers alike",
        ),
        (
            lambda one: one.assign(held_out=one["held_out"].astype(int)),
            r"held_out of parcels holds int64, no truth values; convert it",
        ),
        (
            lambda one: one.assign(shipped_at="2025-01-01"),
            r"shipped_at of parcels holds str, no times; convert it",
        ),
        (
            lambda one: one.assign(promised_at=one["promised_at"].dt.tz_localize("UTC")),
            r"promised_at of parcels has the time zone UTC, orders None; bring all times to one",
        ),
    ],
)
def test_bad_parcels(change: Any, message: str) -> None:
    parcels, orders = small()
    with pytest.raises(InputError, match=message):
        parcel_care(change(parcels), orders, window=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, r"window is 0; it must be > 0"),
        ({"window": 400}, r"no window of 400 days after a promised time is over by until"),
        ({"until": "2025-01-01"}, r"no parcel is promised by until \(2025-01-01 23:59:59.999999\)"),
        ({"until": 5}, r"until is 5; pass a date or moment"),
        ({"level": 1.0}, r"level is 1.0; it must be < 1"),
        ({"by": ["customer_id"]}, r"by names 'customer_id'; name columns of labels"),
        ({"by": ["late"]}, r"by names 'late'; name columns of labels"),
        ({"amounts": ["late"]}, r"amounts names 'late', which is what is found; rename it"),
        ({"by": ["route"]}, r"parcels has no column 'route'"),
        ({"amounts": ["amount"]}, r"orders has no column 'amount'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parcel_care(*small(), **{"window": 10, **arguments})


def test_the_note_names_what_parcels_have_alike() -> None:
    parcels, orders = small()
    for by, told in (((), "of the same month, chance"), (("carrier",), "same carrier, month, ch")):
        assert told in parcel_care(parcels, orders, window=10, by=by).note


def test_bad_orders() -> None:
    parcels, orders = small()
    with pytest.raises(InputError, match="time of orders holds str, no times"):
        parcel_care(parcels, orders.assign(time="x"), window=10)
