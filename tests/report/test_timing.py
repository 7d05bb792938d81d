"""The timing report: its choice, the truth beside the estimates, and the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts, report
from touchpoint_lib.report.headline import Headline
from touchpoint_lib.timing.backtest import TimingBacktest

HOSTILE = "<script>alert(1)</script> & {0}"
MONEY = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    return tp.load_cdnow()


@pytest.fixture(scope="module")
def result(log: pd.DataFrame) -> TimingBacktest:
    policies = {
        "60 days": tp.FixedDays(60),
        "own 90% gap": tp.OwnGapQuantile(0.9),
        HOSTILE: tp.OwnReturn(tp.ModifiedBetaGeoModel(), line=0.25),
    }
    return tp.backtest_timing(log, policies)


@pytest.fixture(scope="module")
def customers(log: pd.DataFrame) -> pd.DataFrame:
    return tp.rfm_summary(log, unit="D")


@pytest.fixture(scope="module")
def calendar(customers: pd.DataFrame) -> pd.DataFrame:
    model = tp.ModifiedBetaGeoModel().fit(customers)
    return tp.contact_calendar(model, customers, MONEY, capacity=5)


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return tp.load_shop()


@pytest.fixture(scope="module")
def unpaid(shop: tp.Shop) -> tp.PaymentReminder:
    return tp.payment_reminder(shop.orders, shop.payments)


@pytest.fixture(scope="module")
def late(shop: tp.Shop) -> tp.LateParcels:
    return tp.late_parcels(shop.parcels)


def without_winner(result: TimingBacktest, **changes: Any) -> TimingBacktest:
    """Return the back-test of its first two policies, which do not beat fixed days."""
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    return TimingBacktest(**{**fields, "table": result.table.iloc[:2], **changes})


def tiles(head: Headline) -> dict[str, tuple[str, str, str]]:
    return {tile.label: (tile.value, tile.interval, tile.compared_with) for tile in head.tiles}


# --- the choice ---------------------------------------------------------------------------------


def test_the_best_beats_fixed_days_and_else_the_fixed_one_is_taken(result: TimingBacktest) -> None:
    assert report.best_policy(result, "60 days") == HOSTILE
    assert report.best_policy(without_winner(result), "60 days") == "60 days"
    assert report.best_policy(without_winner(result), "own 90% gap") == "own 90% gap"


def test_a_fixed_number_of_days_never_wins(log: pd.DataFrame) -> None:
    policies = {f"{days} days": tp.FixedDays(days) for days in range(1, 181, 10)}
    fixed = tp.backtest_timing(log, {**policies, "never": tp.FixedDays(999)})
    assert report.best_policy(fixed, "never", omission=1.0) == "never"


def test_the_policy_to_fall_back_on_must_be_one(result: TimingBacktest) -> None:
    with pytest.raises(InputError, match="fixed is '45 days', the policies are '60 days', "):
        report.best_policy(result, "45 days")


# --- the head -----------------------------------------------------------------------------------


def test_the_head_says_what_charts_and_calendar_say(
    result: TimingBacktest, calendar: pd.DataFrame, customers: pd.DataFrame
) -> None:
    head = report.timing_headline(result, "60 days", calendar, customers, HOSTILE)
    assert head.question == "Whom should we contact, on which day, and whom leave alone?"
    frontier = charts.timing_frontier_data(result)
    assert head.verdict.startswith(charts.timing_frontier_verdict(frontier))
    totals = calendar.attrs["totals"]
    assert (
        f"The calendar of the next 28 days has {totals['contacts']:,} contacts, "
        f"{totals['expected_wasted']:,.0f} of them expected to be wasted, and leaves "
    ) in head.verdict
    contacted = calendar.loc[calendar["action"] != "leave", "customer_id"]
    left = calendar["customer_id"].nunique() - contacted.nunique()
    assert f"leaves {left:,} customers alone who would be due (capacity: " in head.verdict
    best = frontier.set_index("policy").loc[HOSTILE]
    fixed = frontier[frontier["number"] == 1].iloc[0]
    shown = tiles(head)
    assert shown["Days earlier, on average, at equal error rate"] == (
        f"{best['days_earlier']:.1f}",
        f"95%: {best['days_earlier_low']:.1f} to {best['days_earlier_high']:.1f}",
        f"day {best['mean_silence']:.1f} instead of {best['fixed_days']:.1f}",
    )
    assert shown[f"Error rate (wasted / contacts): {HOSTILE}"] == (
        f"{best['error_rate']:.1%}",
        f"95%: {best['error_rate_low']:.1%} to {best['error_rate_high']:.1%}",
        f"60 days: {fixed['error_rate']:.1%}",
    )
    assert shown["Contacts in the next 28 days"] == (
        f"{totals['contacts']:,}",
        "",
        f"expected to be made: {totals['expected_contacts']:,.0f}",
    )
    assert shown["Contacts expected to be wasted"] == (
        f"{totals['expected_wasted']:,.0f}",
        "",
        "buyers within 90 days anyway",
    )
    assert len(shown) == 5
    assert head.provenance == {
        **report.provenance(customers, HOSTILE),
        "Back-test": (
            f"{result.n_spells:,} spells of {result.n_customers:,} customers, "
            f"{result.n_lapsed:,} lapsed; {result.n_undecided:,} began too late to be decided"
        ),
        "Policies": f"learned from {result.n_fitted:,} other customers",
    }
    assert "<script" not in head._repr_html_()


def test_nobody_missed_is_no_interval(
    result: TimingBacktest, calendar: pd.DataFrame, customers: pd.DataFrame
) -> None:
    fixed = result.table.assign(**{f"omission_rate{end}": 0.0 for end in ("", "_low", "_high")})
    head = report.timing_headline(
        without_winner(result, table=fixed), "60 days", calendar, customers, "x"
    )
    assert tiles(head)[f"Omission rate (missed / lapsed): {HOSTILE}"] == (
        "0.0%",
        f"none of {result.n_lapsed:,} lapsed",
        "60 days: 0.0%",
    )


def test_where_none_beats_fixed_days_the_head_stays_with_them(
    result: TimingBacktest, calendar: pd.DataFrame, customers: pd.DataFrame
) -> None:
    head = report.timing_headline(
        without_winner(result, n_fitted=0), "60 days", calendar, customers, "x"
    )
    assert head.verdict.startswith("No policy beats a fixed number of days: ")
    assert " So it stays at 60 days. The calendar of the next 28 days " in head.verdict
    shown = tiles(head)
    assert shown["Days earlier, on average, at equal error rate"] == (
        "none",
        "no policy clearly beats fixed days",
        "",
    )
    assert shown["Error rate (wasted / contacts): 60 days"][2] == ""
    assert head.provenance["Policies"] == "taken as they were given"


def test_a_policy_that_no_day_comes_up_to_has_a_tile_without_infinities(
    result: TimingBacktest, calendar: pd.DataFrame, customers: pd.DataFrame
) -> None:
    table = result.table.copy()
    names = ["fixed_days", "days_earlier", "days_earlier_low", "days_earlier_high"]
    table.loc[2, names] = np.inf
    endless = without_winner(result, table=table)
    head = report.timing_headline(endless, "60 days", calendar, customers, "x")
    value, interval, compared = tiles(head)["Days earlier, on average, at equal error rate"]
    assert (value, compared) == ("any", f"day {table.loc[2, 'mean_silence']:.1f}")
    assert interval == f"no number of days wastes only {table.loc[2, 'error_rate']:.1%}"
    assert "inf" not in str(head)
    table.loc[2, names] = [60.0, 20.0, 11.0, np.inf]
    head = report.timing_headline(endless, "60 days", calendar, customers, "x")
    assert tiles(head)["Days earlier, on average, at equal error rate"][1] == "95%: 11.0 or more"


def test_where_nobody_lapses_and_nobody_is_due_the_head_says_so(
    result: TimingBacktest, calendar: pd.DataFrame, customers: pd.DataFrame
) -> None:
    table = result.table.copy()
    unknown = [name for name in table if name.startswith(("omission", "mean", "days", "fixed"))]
    table[unknown] = np.nan
    empty = calendar.iloc[:0].copy()
    empty.attrs = {**calendar.attrs, "days": 1, "totals": dict.fromkeys(
        ("contacts", "expected_contacts", "expected_wasted", "expected_money"), 0)}  # fmt: skip
    nobody = without_winner(result, table=table, n_lapsed=0)
    head = report.timing_headline(nobody, "60 days", empty, customers, "x")
    assert tiles(head)["Omission rate (missed / lapsed): 60 days"] == ("none", "nobody lapsed", "")
    assert head.verdict.endswith("The calendar of the next day has 0 contacts.")
    assert "nan" not in str(head)


# --- unpaid orders ------------------------------------------------------------------------------


def test_the_true_share_of_payments_is_that_of_the_closed_form(shop: tp.Shop) -> None:
    settings = shop.call["payments"]
    curve = pd.DataFrame(
        {
            "kind": pd.Categorical(["new", "loyal", "new"]),
            "source": ["app", "search", "app"],
            "limit": [30, 4320, 4320],
            "minute": [2.0, 100.0, 4320.0],
        }
    )
    now, end = settings.own_share([100.0, 4320.0], source="search", customer="loyal")
    chance = report.payment_chance(shop, curve)
    assert chance[1] == pytest.approx((end - now) / (1 - now))
    assert chance[2] == 0
    swapped = report.payment_chance(shop, curve.iloc[::-1])
    assert swapped.tolist() == chance[::-1].tolist()


def test_the_true_share_is_the_share_that_paid_without_reminder_and_limit(shop: tp.Shop) -> None:
    orders = shop.orders.merge(shop.truth.payments, on="order_id")
    wait = (orders["own_paid_at"] - orders["time"]) / pd.Timedelta(minutes=1)
    # First orders of customers are "new" for certain.
    wait = wait[~orders["customer_id"].duplicated()]
    unpaid = wait[~(wait <= 60)]
    asked = pd.DataFrame({"kind": ["new"], "source": ["app"], "limit": [4320], "minute": [60]})
    share = float(report.payment_chance(shop, asked)[0])
    error = np.sqrt(share * (1 - share) / len(unpaid))
    assert len(unpaid) > 500
    assert abs((unpaid <= 4320).mean() - share) < 4 * error


def test_reminders_stand_beside_the_minute_of_the_truth(
    shop: tp.Shop, unpaid: tp.PaymentReminder
) -> None:
    table = report.payment_truth_data(unpaid, shop)
    assert len(table) == len(unpaid.rules)
    assert table["within"].mean() > 0.85
    for row in table.to_dict("records"):
        last = int(unpaid.latest * row["limit"])
        after = pd.DataFrame({"minute": np.arange(row["true_after"] - 1.0, last + 1)})
        chance = report.payment_chance(
            shop, after.assign(kind=row["kind"], source=row["source"], limit=row["limit"])
        )
        assert chance[0] > unpaid.line
        assert (chance[1:] <= unpaid.line).all()
    says = report.payment_truth_verdict(table)
    inside = int(table["within"].sum())
    assert says.startswith(
        f"The true share that still pays lies in the interval of {inside} of {len(table)} classes."
    )


def test_where_the_line_is_never_reached_the_true_minute_is_the_latest(shop: tp.Shop) -> None:
    found = tp.payment_reminder(shop.orders, shop.payments, line=0.05, latest=0.1)
    table = report.payment_truth_data(found, shop)
    short = table[table["limit"] == 30]
    assert (short["true_after"] == 3).all()
    always = tp.payment_reminder(shop.orders, shop.payments, line=0.98)
    assert (report.payment_truth_data(always, shop)["true_after"] == 1).all()


def test_the_worst_class_is_named() -> None:
    table = pd.DataFrame(
        {
            "kind": ["new", "loyal"],
            "source": ["app", HOSTILE],
            "limit": [30, 4320],
            "n_orders": [70, 1],
            "remind_after": [2, 160],
            "true_after": [2, 100],
            "within": [True, False],
        }
    )
    assert report.payment_truth_verdict(table) == (
        "The true share that still pays lies in the interval of 1 of 2 classes. The minute to "
        f"remind is off by 30 in the median class, at most by 60 (of loyal, {HOSTILE}, with a "
        "limit of 4,320 minutes, of which 1 order was learned from)."
    )


# --- late parcels -------------------------------------------------------------------------------


def test_the_true_chance_of_parcels_mixes_the_jams(shop: tp.Shop) -> None:
    settings = shop.call["parcels"]
    curve = pd.DataFrame(
        {"carrier": "standard", "province": "Guangdong", "age_hours": [0.0, 72.0, 96.0, 200.0]}
    )
    chance = report.parcel_chance(shop, curve)
    calm, jammed = (
        settings.probability_late_in_transit("standard", 1.0, [0.0, 3.0], factor)
        for factor in (1.0, 1.6)
    )
    assert ((calm < chance[:2]) & (chance[:2] < jammed)).all()
    assert chance[2:].tolist() == [1.0, 1.0]
    mine = (shop.parcels["carrier"] == "standard") & (shop.parcels["province"] == "Guangdong")
    factor = shop.truth.parcels.loc[mine.to_numpy(), "delay_factor"]
    share = (factor == 1.6).mean()
    assert chance[0] == pytest.approx((1 - share) * calm[0] + share * jammed[0])


def test_the_true_chance_is_the_share_that_came_late(shop: tp.Shop) -> None:
    true = shop.truth.parcels.merge(
        shop.parcels[["parcel_id", "carrier", "province", "shipped_at"]], on="parcel_id"
    )
    way = (true["delivered_at"] - true["shipped_at"]) / pd.Timedelta(hours=1)
    mine = (true["carrier"] == "economy") & (true["province"] == "Beijing") & (way > 100)
    asked = pd.DataFrame({"carrier": ["economy"], "province": ["Beijing"], "age_hours": [100.0]})
    share = float(report.parcel_chance(shop, asked)[0])
    error = np.sqrt(share * (1 - share) / mine.sum())
    assert mine.sum() > 300
    assert abs(true.loc[mine, "late"].mean() - share) < 4 * error


def test_parcels_stand_beside_the_truth(shop: tp.Shop, late: tp.LateParcels) -> None:
    table = report.parcel_truth_data(late, shop)
    classes = late.to_frame()
    assert table["flag_after"].tolist() == classes["flag_after"].tolist()
    assert table["within"].mean() > 0.8
    assert (table["probability"] - table["true_probability"]).abs().max() < 0.08
    flagged = np.isfinite(table["flag_after"])
    one = table[flagged].iloc[0]
    asked = pd.DataFrame(
        {
            "carrier": [one["carrier"]],
            "province": [one["province"]],
            "age_hours": [one["flag_after"]],
        }
    )
    assert one["true_probability"] == report.parcel_chance(shop, asked)[0]
    never = classes[~flagged].iloc[0]
    last = asked.assign(
        carrier=never["carrier"],
        province=never["province"],
        age_hours=24 * never["promised_days"] - late.notice,
    )
    row = table[~flagged].iloc[0]
    assert row["true_probability"] == report.parcel_chance(shop, last)[0]
    assert report.parcel_truth_verdict(table).startswith(
        f"The true share of late parcels lies in the interval of {int(table['within'].sum())} of "
        "15 classes. When it counts, "
    )


def test_the_class_that_is_off_most_is_named() -> None:
    table = pd.DataFrame(
        {
            "carrier": ["a", HOSTILE],
            "province": ["x", "y"],
            "within": [True, True],
            "probability": [0.5, 0.55],
            "true_probability": [0.51, 0.5],
        }
    )
    assert report.parcel_truth_verdict(table).endswith(
        f"is off by 3.0 points in the median class, at most by 5.0 ({HOSTILE}, y)."
    )


def test_classes_that_the_shop_does_not_have_are_refused(shop: tp.Shop) -> None:
    curve = pd.DataFrame({"carrier": ["post"], "province": ["Beijing"], "age_hours": [1.0]})
    with pytest.raises(InputError, match="no parcel of 'post' went to 'Beijing'"):
        report.parcel_chance(shop, curve)
    with pytest.raises(InputError, match="no column 'age_hours'"):
        report.parcel_chance(shop, curve[["carrier", "province"]])
    with pytest.raises(InputError, match="no column 'minute'"):
        report.payment_chance(shop, curve.assign(kind="new", source="app", limit=30))
    by_carrier = tp.late_parcels(shop.parcels, by=("carrier",))
    with pytest.raises(InputError, match="no column 'province'"):
        report.parcel_truth_data(by_carrier, shop)
