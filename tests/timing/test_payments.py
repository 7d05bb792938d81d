"""Payment reminders against the simulated shop, whose truth is known."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib._checks import InputError
from touchpoint_lib.simulate.shop import Shop
from touchpoint_lib.timing.payments import PaymentReminder, payment_reminder

#: Two sided level of an interval of four standard errors.
FOUR_ERRORS = 0.99994
MINUTE = pd.Timedelta(minutes=1)
#: No source of its own, no reminder, payments as by default.
ALONE: dict[str, Any] = {"contacts": None, "parcels": None, "reviews": None, "visits": None}
COLUMNS = ["order_id", "customer_id", "due_at", "reminded_at", "paid_at", "cancelled_at"]


@cache
def shop(seed: int = 1, n: int = 2500, **payments: float) -> Shop:
    settings = tp.ShopPayments(**payments)  # type: ignore[arg-type]
    return tp.simulate_shop(seed=seed, n_customers=n, days=365, payments=settings, **ALONE)


def found_in(one: Shop, **arguments: Any) -> PaymentReminder:
    return payment_reminder(one.orders, one.payments, **arguments)


def true_share(one: Shop, kind: str, minute: float, limit: float, source: str = "shop") -> float:
    """The chance to be paid in time, unpaid at the minute and left to itself."""
    share = one.call["payments"].own_share([minute, limit], source=source, customer=kind)
    return float((share[1] - share[0]) / (1 - share[0]))


def kinds(orders: pd.DataFrame) -> pd.Series:
    ordered = orders.sort_values(["customer_id", "time"])
    day = ordered["time"].dt.floor("D")
    new = day.ne(day.groupby(ordered["customer_id"]).shift())
    nth = new.groupby(ordered["customer_id"]).cumsum()
    return nth.clip(upper=3).map({1: "new", 2: "second", 3: "loyal"}).reindex(orders.index)


def counted(one: Shop, found: PaymentReminder, own: pd.Series, fixed: float | None) -> Any:
    """What a rule does on the later orders, if each were paid at ``own``: plain counts."""
    table = one.orders[["order_id", "customer_id", "time", "source"]].copy()
    table["due"], table["own"] = one.payments["due_at"], own.to_numpy()
    table["kind"], table["source"] = kinds(table), table["source"].astype("str")
    table["limit"] = ((table["due"] - table["time"]) / MINUTE).round().astype("int64")
    rules = found.judged.astype({"kind": "str", "source": "str"})
    table = table.merge(rules, on=["kind", "source", "limit"], how="left", validate="m:1")
    minute = table["remind_after"] if fixed is None else fixed
    table["at"] = table["time"] + minute * MINUTE
    table = table[table["time"] >= found.split]
    unpaid = table[~(table["own"] <= table["at"]) & (table["at"] < table["due"])]
    day = unpaid["at"].dt.floor("D").rename("day")
    first = ~unpaid.assign(day=day).sort_values("at").duplicated(["customer_id", "day"])
    sent = unpaid[first.reindex(unpaid.index)]
    lapsing = ~(table["own"] <= table["due"])
    return {
        "n_reminded": len(sent),
        "n_wrong": (sent["own"] <= sent["due"]).sum(),
        "n_lapsing": lapsing.sum(),
        "n_missed": lapsing.sum() - lapsing[sent.index].sum(),
        "minutes_left": ((sent["due"] - sent["at"]) / MINUTE).round().median(),
    }


def row(found: PaymentReminder, rule: str, limit: int | None = None) -> pd.Series:
    of = found.rates[found.rates["rule"] == rule]
    return of[of["limit"].isna() if limit is None else of["limit"] == limit].iloc[0]


@pytest.mark.parametrize("remind_effect", [2.5, 100.0])
def test_own_shares_are_the_truth_however_reminders_work(remind_effect: float) -> None:
    one = shop(n=40_000, remind_effect=remind_effect)
    rules = found_in(one, level=FOUR_ERRORS).rules
    assert len(rules) == 6
    for rule in rules.itertuples():
        truth = true_share(one, rule.kind, rule.remind_after, rule.limit)
        assert rule.own_share_low < truth < rule.own_share_high
        if rule.limit == 4320:
            assert abs(truth - 0.5) < 0.04
            assert rule.own_share_high - rule.own_share_low < 0.2
            assert rule.reason == "line"
        assert rule.own_share <= 0.5
        assert rule.minutes_left == rule.limit - rule.remind_after


def test_sources_have_their_own_minutes() -> None:
    paces = tp.ShopPayments(by_source={"search": 4.0, "marketplace": 0.3})
    off = ALONE | {"visits": tp.ShopVisits(), "payments": paces}
    one = tp.simulate_shop(seed=1, n_customers=40_000, days=365, **off)
    rules = found_in(one, level=FOUR_ERRORS).rules
    rules = rules[rules["n_orders"] > 3000]
    assert set(rules["source"]) >= {"search", "marketplace", "app"}
    for rule in rules.itertuples():
        truth = true_share(one, rule.kind, rule.remind_after, rule.limit, rule.source)
        assert rule.own_share_low < truth < rule.own_share_high
    after = rules.set_index(["kind", "source"])["remind_after"]
    assert after["new", "marketplace"] < after["new", "app"] < after["new", "search"]
    assert after["loyal", "app"] < after["loyal", "search"]


def test_those_who_pay_at_once_are_left_alone_and_flash_orders_are_not_late() -> None:
    for line in (0.5, 0.45, 0.3):
        rules = found_in(shop(n=10_000), line=line).rules
        # At minute 1 more than half of the unpaid pay within the next 60 seconds.
        assert (rules["remind_after"] >= 2).all()
        assert (rules.loc[rules["limit"] == 30, "remind_after"] <= 15).all()
    lower = found_in(shop(n=10_000), latest=0.1).rules
    assert (lower["remind_after"] <= lower["limit"] * 0.1).all()


def test_a_share_that_stays_above_the_line_ends_at_the_latest_minute() -> None:
    slow = shop(n=8000, at_once=0.0, never=0.02, delay_minutes=2200.0, sigma=0.2)
    rules = found_in(slow, latest=0.4).rules
    usual = rules[rules["limit"] == 4320]
    assert (usual["remind_after"] == 1728).all()
    assert (usual["reason"] == "limit").all()
    assert (usual["own_share"] > 0.85).all()
    # Nobody pays within 30 minutes.
    flash = rules[rules["limit"] == 30]
    assert (flash["remind_after"] == 1).all()
    assert (flash["own_share"] == 0).all()


def test_the_minute_is_the_first_at_which_the_share_is_down_to_the_line() -> None:
    """120 orders, of which the unpaid at t that pay in time are counted by hand."""
    minutes = [10.0] * 10 + [40.0] * 30 + [np.nan] * 20
    table = made(minutes * 2, limit=90)
    rules = payment_reminder(*table, latest=0.9, shrinkage=0).rules
    # 40 of 60 pay, of the 50 unpaid after minute 10 it is 30, of the 20 after minute 40 none.
    assert rules["remind_after"].tolist() == [40]
    assert rules["own_share"].tolist() == [0]
    assert rules["n_at_risk"].tolist() == [40]
    judged = payment_reminder(*table, latest=0.9, shrinkage=0).judged
    assert judged["n_at_risk"].tolist() == [20]
    assert judged["remind_after"].tolist() == [40]
    # A line between 40 / 60 and 30 / 50, and one above both.
    assert payment_reminder(*table, line=0.62, shrinkage=0).rules["remind_after"].tolist() == [10]
    assert payment_reminder(*table, line=0.7, shrinkage=0).rules["remind_after"].tolist() == [1]
    assert payment_reminder(*table, latest=0.4, shrinkage=0).rules["reason"].tolist() == ["limit"]


def made(minutes: list[float], limit: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One order a day, of a customer each, paid so many minutes later."""
    n = len(minutes)
    ids = np.arange(n)
    time = pd.Series(pd.Timestamp("2025-01-01") + pd.to_timedelta(ids, unit="D"))
    orders = pd.DataFrame({"order_id": ids, "customer_id": ids, "time": time, "source": "app"})
    paid = time + pd.to_timedelta(np.array(minutes), unit="m")
    none = pd.Series(pd.NaT, index=time.index, dtype=time.dtype)
    payments = pd.DataFrame({"order_id": ids, "due_at": time + limit * MINUTE, "paid_at": paid})
    # The end of observation is behind the last limit.
    orders.loc[n - 1, "time"] -= pd.Timedelta(hours=10)
    payments.loc[n - 1, ["due_at", "paid_at"]] -= pd.Timedelta(hours=10)
    payments["cancelled_at"] = payments["due_at"].where(payments["paid_at"].isna())
    return orders, payments.assign(reminded_at=none)


@pytest.mark.slow
def test_rates_are_the_truth() -> None:
    """The realised rates lie in the intervals of the expected ones; no bias over the seeds."""
    gaps = []
    for seed in range(16):
        one = shop(seed=seed)
        found = found_in(one)
        for rule, fixed in (("classes", None), ("fixed", 240.0)):
            truth = counted(one, found, one.truth.payments["own_paid_at"], fixed)
            told = row(found, rule)
            error = truth["n_wrong"] / truth["n_reminded"]
            omission = truth["n_missed"] / truth["n_lapsing"]
            gaps.append(
                {
                    "rule": rule,
                    "inside": told["error_rate_low"] <= error <= told["error_rate_high"],
                    "omitted": told["omission_rate_low"] <= omission <= told["omission_rate_high"],
                    "error": told["error_rate"] - error,
                    "omission": told["omission_rate"] - omission,
                    "reminded": told["n_reminded"] / truth["n_reminded"] - 1,
                    "left": told["minutes_left"] - truth["minutes_left"],
                }
            )
            assert told["n_orders"] == (one.orders["time"] >= found.split).sum()
    table = pd.DataFrame(gaps)
    # 15 of 16 is what 95 % promise; the realised rate is closer than the expected one.
    assert (table.groupby("rule")[["inside", "omitted"]].sum() >= 15).all(axis=None)
    figures = table.groupby("rule")[["error", "omission", "reminded"]]
    assert (figures.mean().abs() <= 4 * figures.std() / 4).all(axis=None)
    # One of a few minutes, a class each: where two share the middle it may be the next one.
    assert (table["left"] == 0).mean() > 0.9


@pytest.mark.parametrize("fixed", [None, 60.0])
def test_without_reminders_rates_are_plain_counts(fixed: float | None) -> None:
    one = shop(reminder=0.0)
    end = one.orders["time"].max() + pd.Timedelta(days=4)
    found = found_in(one, until=end)
    rule = "classes" if fixed is None else "fixed"
    told = row(found, rule)
    expected = counted(one, found, one.payments["paid_at"], fixed)
    for name, value in expected.items():
        assert told[name] == pytest.approx(value, abs=0.6 if name == "minutes_left" else 1e-9)
    assert told["error_rate"] == pytest.approx(expected["n_wrong"] / expected["n_reminded"])
    flags = np.arange(expected["n_reminded"]) < expected["n_wrong"]
    plain = tp.prediction_rates(~flags, np.ones(len(flags)), 0.5)
    assert told["error_rate_low"] == pytest.approx(plain.error_rate_low)
    assert told["error_rate_high"] == pytest.approx(plain.error_rate_high)
    assert told["n_known"] == told["n_orders"]
    assert len(found.plan) == 0
    by_limit = [row(found, rule, limit) for limit in (30, 4320)]
    for name in ("n_orders", "n_reminded", "n_wrong", "n_lapsing", "n_missed"):
        assert sum(part[name] for part in by_limit) == pytest.approx(told[name])


def test_a_fixed_minute_behind_the_limit_reminds_nobody() -> None:
    told = row(found_in(shop()), "fixed", 30)
    assert told["n_reminded"] == 0
    assert np.isnan(told[["error_rate", "error_rate_low", "error_rate_high"]].astype(float)).all()
    assert np.isnan(told["minutes_left"])
    assert (told["omission_rate"], told["omission_rate_high"]) == (1, pytest.approx(1))
    assert row(found_in(shop()), "fixed")["minute"] == 240
    assert row(found_in(shop(reminder=0.0)), "fixed")["minute"] == 60


def test_cancelled_before_the_reminder_is_missed_and_tells_nothing_of_payment() -> None:
    orders, payments = made(([10.0] * 10 + [40.0] * 30 + [np.nan] * 40) * 4, limit=90)
    options: dict[str, Any] = {"latest": 0.9, "shrinkage": 0, "until": "2026-01-01"}
    plain = payment_reminder(orders, payments, line=0.45, **options)
    assert row(plain, "classes")["n_missed"] == 0
    # Ten unpaid orders of each half are cancelled by the customer at minute 3, one at minute 60.
    unpaid = payments.index[payments["paid_at"].isna()]
    for part, minute in ((np.r_[0:10, 80:90], 3), ([100], 60)):
        cancelled = orders.loc[unpaid[part], "time"] + minute * MINUTE
        payments.loc[unpaid[part], "cancelled_at"] = cancelled
    found = payment_reminder(orders, payments, line=0.45, **options)
    # Of 160 orders 80 pay; 10 leave the risk set of the 150 before.
    assert found.rules["remind_after"].tolist() == [40]
    told = row(found, "classes")
    assert (told["n_lapsing"], told["n_missed"], told["n_reminded"]) == (80, 10, 70)
    assert told["n_wrong"] == 0
    early = payment_reminder(orders, payments, line=0.47, **options)
    assert early.rules["remind_after"].tolist() == [10]
    assert early.rules["own_share"].tolist() == [pytest.approx(60 / 130)]
    # Those who cancel later count as lapsed: 60 of the 70 + 60 that were reminded pay.
    assert row(early, "classes")["error_rate"] == pytest.approx(60 / 130)


@effort(max_examples=25, deadline=None)
@given(hours=st.integers(5000, 8700), customers=st.sampled_from([3, 40, 10_000]))
def test_the_plan_reminds_each_customer_once_a_day(hours: int, customers: int) -> None:
    one = shop()
    until = pd.Timestamp("2024-01-01") + pd.Timedelta(hours=hours)
    orders = one.orders.assign(customer_id=one.orders["customer_id"] % customers)
    found = payment_reminder(orders, one.payments, until=until)
    plan = found.plan
    known = one.payments[["paid_at", "reminded_at", "cancelled_at"]].le(until)
    waits = (orders["time"] <= until) & (one.payments["due_at"] > until) & ~known.any(axis=1)
    assert sorted(plan["order_id"]) == sorted(orders.loc[waits, "order_id"])
    assert plan["remind_at"].is_monotonic_increasing
    assert (plan["remind_at"] >= until).all()
    assert plan["own_share"].between(0, 1).all()
    due = one.payments.set_index("order_id")["due_at"].reindex(plan["order_id"]).to_numpy()
    assert (plan["remind_at"].to_numpy() < due).all()
    placed = orders.set_index("order_id")["time"].reindex(plan["order_id"]).to_numpy()
    rules = found.rules.set_index(["kind", "source", "limit"])["remind_after"]
    minute = rules.reindex(pd.MultiIndex.from_frame(plan[["kind", "source", "limit"]]))
    at = placed + minute.to_numpy().astype("timedelta64[m]")
    np.testing.assert_array_equal(plan["remind_at"], np.maximum(at, np.datetime64(until)))

    day = plan["remind_at"].dt.floor("D")
    sent = orders.assign(day=one.payments["reminded_at"].dt.floor("D"))
    sent = sent[one.payments["reminded_at"] <= until]
    done = set(zip(sent["customer_id"], sent["day"], strict=True))
    keys = list(zip(plan["customer_id"], day, strict=True))
    planned = [key for key, act in zip(keys, plan["action"], strict=True) if act == "remind"]
    assert len(planned) == len(set(planned))
    seen: list[Any] = []
    for key, action, reason in zip(keys, plan["action"], plan["reason"], strict=True):
        if key in done:
            assert (action, reason) == ("skip", "the customer was reminded that day")
        elif action == "skip":
            assert reason == "another order of the customer is reminded that day"
            # The other one comes first.
            assert key in planned[: (plan["action"][: len(seen)] == "remind").sum()]
        else:
            assert reason in ("its minute", "its minute has passed")
        seen.append(key)


def same(left: PaymentReminder, right: PaymentReminder, **options: Any) -> None:
    pd.testing.assert_frame_equal(left.rules, right.rules, **options)
    pd.testing.assert_frame_equal(left.rates, right.rates, **options)
    pd.testing.assert_frame_equal(left.plan, right.plan, **options)


def test_the_order_of_rows_and_the_zone_play_no_part() -> None:
    one = shop()
    plain = found_in(one)
    random = np.random.default_rng(0)
    orders = one.orders.iloc[random.permutation(len(one.orders))]
    payments = one.payments.iloc[random.permutation(len(one.payments))]
    mixed = payment_reminder(orders, payments)
    same(plain, mixed)
    zone = "Asia/Shanghai"
    times = ["due_at", "reminded_at", "paid_at", "cancelled_at"]
    local = payment_reminder(
        one.orders.assign(time=one.orders["time"].dt.tz_localize(zone)),
        one.payments.assign(**{n: one.payments[n].dt.tz_localize(zone) for n in times}),
    )
    assert local.until == plain.until.tz_localize(zone)
    assert str(local.plan["remind_at"].dt.tz) == zone
    local.plan["remind_at"] = local.plan["remind_at"].dt.tz_localize(None)
    same(plain, local)


def test_names_of_columns_are_free_and_some_may_be_absent() -> None:
    one = shop(reminder=0.0)
    plain = found_in(one)
    orders = one.orders.rename(columns={"order_id": "no", "customer_id": "who", "time": "when"})
    orders = orders.rename(columns={"source": "from"})[["no", "who", "when", "from"]]
    payments = one.payments.rename(columns={"order_id": "no", "paid_at": "paid", "due_at": "due"})
    other = payment_reminder(
        orders,
        payments[["no", "paid", "due"]],
        order="no",
        customer="who",
        time="when",
        source="from",
        paid="paid",
        limit="due",
        reminded=None,
        cancelled=None,
        until=plain.until,
    )
    pd.testing.assert_frame_equal(other.rules, plain.rules)
    assert list(other.plan.columns[:2]) == ["no", "who"]


def test_what_comes_after_until_is_not_known() -> None:
    one = shop()
    until = pd.Timestamp("2024-09-01 13:00")
    cut = one.payments.copy()
    for name in ("reminded_at", "paid_at", "cancelled_at"):
        cut[name] = cut[name].where(cut[name] <= until)
    inside = one.orders["time"] <= until
    expected = payment_reminder(one.orders[inside], cut[inside], until=until)
    found = found_in(one, until=until)
    same(found, expected)
    assert found.until == until
    assert found.split == one.orders.loc[inside, "time"].iloc[inside.sum() // 2]
    # What is judged does not know what came after the split.
    later = one.payments.copy()
    behind = later["paid_at"] >= found.split
    later.loc[behind, "paid_at"] = pd.NaT
    blind = payment_reminder(one.orders, later, until=until)
    pd.testing.assert_frame_equal(blind.judged, found.judged)
    assert not blind.rules["own_share"].equals(found.rules["own_share"])


def test_kinds_count_days_of_ordering() -> None:
    orders, payments = made(([10.0] * 10 + [40.0] * 30 + [np.nan] * 20) * 2, limit=90)
    # One customer: twice on a day, then on two other days; one with a source of its own.
    orders["customer_id"] = orders["customer_id"].astype("str")
    orders.loc[[100, 101, 102, 103], "customer_id"] = "x"
    shift = orders.loc[101, "time"] - orders.loc[100, "time"] - pd.Timedelta(hours=3)
    orders.loc[101, "time"] -= shift
    times = ["due_at", "paid_at", "cancelled_at"]
    payments.loc[101, times] = payments.loc[101, times] - shift
    orders.loc[105, "source"] = "radio"
    rules = payment_reminder(orders, payments, until="2025-06-30", shrinkage=0).rules
    assert rules.groupby("kind", observed=False)["n_orders"].sum().tolist() == [118, 1, 1]
    assert rules["source"].tolist() == ["app", "radio", "app", "app"]


def test_where_all_are_reminded_nobody_knows() -> None:
    with pytest.raises(
        InputError, match=r"4 orders before split .* 4320 minutes; .* a random share"
    ):
        found_in(shop(reminder=1.0))
    one = shop()
    flash = ((one.payments["due_at"] - one.orders["time"]) / MINUTE).round() == 30
    at = one.orders["time"] + 10 * MINUTE
    unpaid = flash & ~(one.payments["paid_at"] <= at) & (at <= one.orders["time"].max())
    all_of = one.payments.assign(reminded_at=one.payments["reminded_at"].mask(unpaid, at))
    with pytest.raises(InputError, match="no order with a limit of 30 minutes from split on was"):
        payment_reminder(one.orders, all_of)


def test_the_result_can_be_shown() -> None:
    found = found_in(shop())
    pd.testing.assert_frame_equal(found.to_frame(), found.rules)
    assert found.to_frame() is not found.rules
    rate = f"{row(found, 'classes')['error_rate']:.3f}"
    assert f"error rate {rate}" in repr(found)
    page = found._repr_html_()
    assert page.count("<table") == 2
    assert rate in page
    assert (found.line, found.latest, found.level) == (0.5, 0.5, 0.95)


def moved(frame: pd.DataFrame, column: str, row_: int, value: Any) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[frame.index[row_], column] = value
    return frame


def test_bad_frames_are_refused() -> None:
    one = shop()
    orders = one.orders[["order_id", "customer_id", "time", "source"]].astype(
        {"customer_id": "Int64"}
    )
    payments = one.payments[COLUMNS].drop(columns="customer_id")
    early, late = pd.Timestamp("2023-12-31"), pd.Timestamp("2024-06-01")
    zoned = orders.assign(time=orders["time"].dt.tz_localize("UTC"))
    reminded = int(np.flatnonzero(payments["reminded_at"].notna())[0])
    cancelled = int(np.flatnonzero(payments["cancelled_at"].notna())[0])
    many = payments["due_at"] + np.arange(len(payments)) % 9 * MINUTE
    short = moved(payments, "due_at", 0, orders["time"].iloc[0] + pd.Timedelta(seconds=80))
    short.loc[0, "paid_at"] = pd.NaT
    after = payments.loc[reminded, "reminded_at"] - MINUTE
    cases: list[tuple[Any, Any, str]] = [
        (orders.drop(columns="source"), payments, "orders has no column 'source' .* name the co"),
        (orders, payments.drop(columns="due_at"), "payments has no column 'due_at'"),
        (orders, payments["due_at"], "payments is a Series"),
        (orders[:0], payments[:0], "orders has no rows; pass at least 40 orders"),
        (moved(orders, "order_id", 4, 4), payments, "order_id 4 stands twice in orders"),
        (orders, pd.concat([payments, payments[:2]]), r"twice in payments \(2 such rows\)"),
        (orders.astype({"order_id": "Int64"}).pipe(moved, "order_id", 2, pd.NA), payments,
         "order_id of orders is missing at index 2"),
        (moved(orders, "customer_id", 3, pd.NA), payments, "customer_id of orders is missing at"),
        (moved(orders, "source", 3, None), payments, "source of orders is missing at index 3"),
        (moved(orders, "time", 3, pd.NaT), payments, "time of orders is missing at index 3"),
        (orders, moved(payments, "due_at", 3, pd.NaT), "due_at of payments is missing at index 3"),
        (orders, payments[1:], "payments has no row of order_id 1 "),
        (orders[1:], payments, "orders has no row of order_id 1 of payments"),
        (orders.astype({"time": "str"}), payments, "time of orders holds str, no times; .*to_date"),
        (zoned, payments, "paid_at has the time zone None, time UTC; bring all times to one zone"),
        (orders, moved(payments, "paid_at", 0, early), "paid_at is before time at order_id 1 "),
        (orders, moved(payments, "paid_at", 0, late), "paid_at is after due_at at order_id 1 "),
        (orders, moved(payments, "due_at", 0, early), "due_at is not after time at order_id 1 "),
        (orders, moved(payments, "reminded_at", 0, early), "reminded_at is before time"),
        (orders, moved(payments, "reminded_at", cancelled, late), "reminded_at is after due_at"),
        (orders, moved(payments, "cancelled_at", cancelled, early), "cancelled_at is before time"),
        (orders, moved(payments, "cancelled_at", 0, late), "both paid_at and cancelled_at are"),
        (orders, moved(payments, "paid_at", reminded, after).assign(cancelled_at=pd.NaT),
         f"reminded_at is after paid_at at order_id {reminded + 1} "),
        (orders, payments.assign(due_at=many), r"due_at gives 18 limits \(30, .* at most 6"),
        (orders, short, "due_at is 1.33333 minutes after time in row 0; no reminder fits in"),
    ]  # fmt: skip
    for left, right, message in cases:
        with pytest.raises(InputError, match=message):
            payment_reminder(left, right)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"line": 1.0}, "line is 1.0; it must be < 1"),
        ({"latest": 0.0}, "latest is 0.0; it must be > 0"),
        ({"latest": 0.02}, "latest is 0.02 where the limit is 30 minutes; .* 1 / 30 or more"),
        ({"level": 95}, "level is 95; it must be < 1"),
        ({"shrinkage": -1}, "shrinkage is -1; it must be >= 0"),
        ({"until": 20240601}, "until is 20240601; pass a moment"),
        ({"until": "soon"}, "until is 'soon'"),
        ({"until": pd.NaT}, "until is NaT"),
        ({"until": "2020-01-01"}, "until is 2020-01-01 00:00:00, before every time"),
        (
            {"until": pd.Timestamp("2024-06-01", tz="UTC")},
            "has a time zone",
        ),
        ({"split": "2024-01-01"}, "0 orders lie before split, 2024-01-01 00:00; at least 20"),
        ({"split": "2024-12-31 23:59"}, "orders lie from split"),
        ({"split": "2024-02-01"}, "orders before split were seen unpaid"),
        ({"paid": "paid"}, "payments has no column 'paid'"),
        ({"paid": None}, "payments has no column None"),
        ({"limit": None}, "payments has no column None"),
        ({"reminded": ""}, "payments has no column ''"),
        ({"customer": "order_id"}, "order and customer are both 'order_id'; name two"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        found_in(shop(), **arguments)


def test_nothing_paid_before_the_split_is_no_curve() -> None:
    orders, payments = made([np.nan] * 60 + [10.0] * 40 + [np.nan] * 40, limit=90)
    with pytest.raises(InputError, match="no order was paid before split; move split"):
        payment_reminder(orders, payments, split="2025-02-20")


def test_the_least_latest_that_the_error_names_is_taken() -> None:
    rules = found_in(shop(), latest=1 / 30).rules
    assert (rules.loc[rules["limit"] == 30, "remind_after"] == 1).all()


def test_latest_is_a_share_of_the_limit_to_the_minute() -> None:
    # 0.29 x 100 is 28.999999999999996.
    orders, payments = made([90.0, np.nan] * 60, limit=100)
    rules = payment_reminder(orders, payments, latest=0.29, line=0.1).rules
    assert rules["remind_after"].tolist() == [29] * len(rules)


def test_the_fixed_minute_is_not_learned_from_the_orders_it_is_judged_on() -> None:
    one = shop()
    split = one.orders["time"].median()
    judged = (one.orders["time"] >= split).to_numpy()
    # All the later reminders half an hour later, where they stay within their limits.
    late = one.payments["reminded_at"] + 30 * MINUTE
    fits = judged & (late < one.payments[["due_at", "paid_at"]].min(axis=1)).to_numpy()
    moved_ = one.payments.assign(reminded_at=one.payments["reminded_at"].mask(fits, late))
    assert fits.sum() > 100
    before = found_in(one, split=split).rates["minute"]
    assert payment_reminder(one.orders, moved_, split=split).rates["minute"].equals(before)
    sent = (one.payments["reminded_at"] - one.orders["time"]) / MINUTE
    known = ~judged & (one.payments["reminded_at"] <= split).to_numpy()
    assert before.max() == np.rint(sent[known].median())


@pytest.mark.parametrize("name", ["kind", "limit", "remind_at", "own_share", "action", "reason"])
def test_ids_named_like_a_column_of_the_plan_are_refused(name: str) -> None:
    one = shop()
    with pytest.raises(InputError, match=f"customer is '{name}', a column of the plan; rename"):
        payment_reminder(
            one.orders.rename(columns={"customer_id": name}), one.payments, customer=name
        )


def test_a_curve_takes_a_list_of_minutes_and_no_table() -> None:
    with pytest.raises(InputError, match=r"minutes has shape \(1, 2\)"):
        found_in(shop()).curve([[1.0, 2.0]])
