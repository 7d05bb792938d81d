"""Contact pressure: counts by plain loops, effects from the lots, the curve, the cap."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import least_squares

import touchpoint_lib as tp
from touchpoint_lib._checks import InputError
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.touchpoints._pressure_curve import (
    Lots,
    best_number,
    fit_decline,
    fit_leaving,
)
from touchpoint_lib.touchpoints.pressure import ContactPressure, contact_pressure

START = pd.Timestamp("2025-01-01")
MARGIN = 10.0


def days_after(days):
    return START + pd.to_timedelta(np.asarray(days, dtype=np.float64), unit="D")


def made_log(
    seed, n_customers=300, theta=(0.6, 0.3), kappa=0.4, held_out=0.5, left=0.0, channels=("a", "b")
):
    """Return contacts and orders in which a contact after n others adds theta exp(-kappa n)."""
    random = np.random.default_rng(seed)
    span, each = 150, 14
    customer = np.repeat(np.arange(n_customers), each)
    day = random.uniform(0, span, len(customer))
    order = np.lexsort((day, customer))
    customer, day = customer[order], day[order]
    channel = random.integers(0, len(channels), len(customer))
    withheld = random.random(len(customer)) < held_out
    recent = np.zeros(len(customer), dtype=int)
    for row in range(len(customer)):
        for earlier in range(row - 1, -1, -1):
            if customer[earlier] != customer[row] or day[row] - day[earlier] >= 30:
                break
            recent[row] += not withheld[earlier]
    chance = np.asarray(theta)[channel] * np.exp(-kappa * recent)
    adds = ~withheld & (random.random(len(customer)) < chance)
    own = random.poisson(0.02 * span, n_customers)
    owner = np.repeat(np.arange(n_customers), own)
    contacts = pd.DataFrame(
        {
            "customer_id": customer,
            "time": days_after(day),
            "channel": np.asarray(channels, dtype=object)[channel],
            "held_out": withheld,
            "cost": np.where(withheld, 0.0, 1.0),
            "unsubscribed": ~withheld & (random.random(len(customer)) < left),
        }
    )
    when = [
        np.full(n_customers, -1.0),
        random.uniform(0, span, len(owner)),
        day[adds] + random.uniform(0.01, 9.9, int(adds.sum())),
    ]
    who = [np.arange(n_customers), owner, customer[adds]]
    orders = pd.DataFrame(
        {"customer_id": np.concatenate(who), "time": days_after(np.concatenate(when))}
    )
    return contacts, orders.assign(margin=MARGIN)


@pytest.fixture(scope="module")
def log():
    return made_log(3, n_customers=1500)


@pytest.fixture(scope="module")
def found(log):
    return contact_pressure(*log, window=10, seed=1)


small_logs = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 40).map(lambda day: day / 2),
        st.sampled_from(["mail", "page"]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(rows=small_logs, bought=st.lists(st.integers(0, 60), max_size=12), only=st.booleans())
def test_rates_agree_with_plain_loops(rows, bought, only):
    rows = [(9, 0.0, "mail", False, False), (0, 25.0, "page", False, True), *rows]
    contacts = pd.DataFrame(
        rows, columns=["customer_id", "day", "channel", "held_out", "unsubscribed"]
    )
    contacts["unsubscribed"] &= ~contacts["held_out"]
    contacts = contacts.assign(time=days_after(contacts["day"]), cost=0.0)
    # One of them at a time of day: they are not dates alone.
    buys = [(0, 0.0), (9, 26.9), *((number % 4, day / 2) for number, day in enumerate(bought))]
    orders = pd.DataFrame(buys, columns=["customer_id", "day"])
    orders = orders.assign(time=days_after(orders["day"]), margin=1.0)
    result = contact_pressure(
        contacts,
        orders,
        window=5,
        days=8,
        classes=2,
        counted=["mail"] if only else None,
        until=days_after([27.2])[0],
    )
    cells = {}
    for who, day, channel, held, unsubscribed in rows:
        if held or day < 8:
            continue
        recent = sum(
            1
            for other, when, by, out, _ in rows
            if other == who and not out and day - 8 < when < day and (by == "mail" or not only)
        )
        later = any(other == who and day < when <= day + 5 for other, when in buys)
        cell = cells.setdefault((channel, ["0", "1", "2+"][min(recent, 2)]), [0, 0, 0, 0])
        followed = day + 5 <= 27.2
        for place, one in enumerate((1, unsubscribed, followed, followed and later)):
            cell[place] += int(one)
    table = result.rates.set_index(["channel", "recent"])
    for key, row in table.iterrows():
        n, gone, followed, later = cells.get(key, [0, 0, 0, 0])
        assert (row["n"], row["n_followed"]) == (n, followed)
        for rate, count, size in (
            (row["unsubscribe_rate"], gone, n),
            (row["purchase_rate"], later, followed),
        ):
            assert rate == pytest.approx(count / size) if size else np.isnan(rate)
    early = sum(row[1] < 8 for row in rows)
    assert (result.left_out["early"], result.left_out["later"]) == (early, 0)


def test_rates_have_wilson_intervals_where_every_customer_comes_once():
    n = 40
    contacts = pd.DataFrame(
        {
            "customer_id": np.arange(n + 1),
            "time": days_after([0.0, *np.linspace(31, 60, n)]),
            "channel": "mail",
            "cost": 0.1,
            "clicked": [False, *(number % 4 == 0 for number in range(n))],
        }
    )
    orders = pd.DataFrame({"customer_id": [1], "time": days_after([100.0]), "margin": [1.0]})
    table = contact_pressure(contacts, orders, window=5, response="clicked").rates
    assert table.loc[0, "response_rate"] == 0.25
    assert table.loc[0, ["response_low", "response_high"]].to_list() == pytest.approx(
        list(wilson_interval(10, 40, 0.95))
    )


def test_rates_of_customers_who_always_do_the_same_have_as_many_cases_as_customers():
    n, times = 30, 5
    customer = np.repeat(np.arange(n), times)
    contacts = pd.DataFrame(
        {
            "customer_id": [n, *customer],
            "time": days_after([0.0, *np.tile(40 * np.arange(1, times + 1), n)]),
            "channel": "mail",
            "cost": 0.1,
            "opened": [False, *(customer % 3 == 0)],
        }
    )
    orders = pd.DataFrame({"customer_id": [1], "time": days_after([100.0]), "margin": [1.0]})
    table = contact_pressure(contacts, orders, window=5, response="opened").rates
    assert table.loc[0, "n"] == n * times
    assert table.loc[0, ["response_low", "response_high"]].to_list() == pytest.approx(
        list(wilson_interval(10, 30, 0.95))
    )


def test_effects_are_differences_within_the_classes(log, found):
    contacts, orders = log
    by_customer = {who: part["time"].to_list() for who, part in orders.groupby("customer_id")}
    made = contacts[~contacts["held_out"]]
    earlier = {who: part["time"].to_list() for who, part in made.groupby("customer_id")}
    end, begin = orders["time"].max(), contacts["time"].min() + pd.Timedelta(days=30)
    sums = {}
    for who, time, channel, held in contacts[
        ["customer_id", "time", "channel", "held_out"]
    ].itertuples(index=False):
        if time < begin or time + pd.Timedelta(days=10) > end:
            continue
        recent = sum(time - pd.Timedelta(days=30) < one < time for one in earlier.get(who, []))
        later = sum(time < one <= time + pd.Timedelta(days=10) for one in by_customer[who])
        sums.setdefault((channel, min(recent, 5), held), []).append(later)
    table = found.effects.set_index(["channel", "recent"])
    seen = 0
    for channel in ("a", "b"):
        for number, label in enumerate(["0", "1", "2", "3", "4", "5+"]):
            row = table.loc[(channel, label)]
            arms = [sums.get((channel, number, held), []) for held in (False, True)]
            assert row[["n_contacted", "n_held_out"]].to_list() == [len(arm) for arm in arms]
            if min(len(arm) for arm in arms) < 20:
                assert row["reason"] == "an arm has less than 20"
                continue
            seen += 1
            difference = np.mean(arms[0]) - np.mean(arms[1])
            assert row["orders"] == pytest.approx(difference)
            assert row["margin"] == pytest.approx(MARGIN * difference)
            assert row["orders_low"] < row["orders"] < row["orders_high"]
    assert seen >= 8


def test_campaigns_with_other_shares_are_compared_within(log):
    contacts, orders = log
    random = np.random.default_rng(0)
    # The better customers are in a campaign that holds few of them out.
    good = contacts["customer_id"] % 2 == 0
    again = contacts[good | (random.random(len(contacts)) < 0.5)].copy()
    drop = (again["customer_id"] % 2 == 0) & again["held_out"] & (random.random(len(again)) < 0.8)
    again = again[~drop].assign(campaign=np.where(again[~drop]["customer_id"] % 2, None, "vip"))
    more = orders[orders["customer_id"] % 2 == 0]
    richer = pd.concat([orders, *[more.assign(time=more["time"] + pd.Timedelta("1h"))] * 3])
    pooled = contact_pressure(again.drop(columns="campaign"), richer, window=10)
    within = contact_pressure(again, richer, window=10)
    means = [one.effects.loc[0, "orders"] for one in (pooled, within)]
    # Vip customers have four orders for one: an effect of 0.6 counts four times in their half.
    assert means[0] > means[1] + 0.1
    truth = found_by_hand(again, richer)
    assert means[1] == pytest.approx(truth)


def found_by_hand(contacts, orders):
    """Return the post-stratified effect on orders after no recent contact of channel a."""
    made = contacts[~contacts["held_out"]]
    end, begin = orders["time"].max(), contacts["time"].min() + pd.Timedelta(days=30)
    earlier = {who: np.sort(part["time"]) for who, part in made.groupby("customer_id")}
    bought = {who: np.sort(part["time"]) for who, part in orders.groupby("customer_id")}
    cells = {}
    for row in contacts[contacts["channel"] == "a"].itertuples():
        if row.time < begin or row.time + pd.Timedelta(days=10) > end:
            continue
        mine = earlier.get(row.customer_id, np.array([], dtype="M8[us]"))
        if ((mine < row.time) & (mine > row.time - pd.Timedelta(days=30))).any():
            continue
        theirs = bought[row.customer_id]
        later = ((theirs > row.time) & (theirs <= row.time + pd.Timedelta(days=10))).sum()
        cells.setdefault(row.customer_id % 2, {True: [], False: []})[row.held_out].append(later)
    total = sum(len(arm) for arms in cells.values() for arm in arms.values())
    return sum(
        (len(arms[True]) + len(arms[False])) / total * (np.mean(arms[False]) - np.mean(arms[True]))
        for arms in cells.values()
    )


def some_lots(seed, kappa, theta=(8.0, 3.0), n=4000, cells=6):
    random = np.random.default_rng(seed)
    channel, recent = random.integers(0, 2, n), random.integers(0, cells, n)
    made = (random.random(n) < np.where(channel == 0, 0.7, 0.4)).astype(float)
    known = random.normal(size=(n, 2))
    outcome = random.normal(size=n) * 5 + recent + known @ [2.0, -1.0]
    outcome += made * np.asarray(theta)[channel] * np.exp(-kappa * recent)
    customer = random.integers(0, n // 4, n)
    return Lots(channel, recent, channel * cells + recent, made, customer, outcome, known)


@pytest.mark.parametrize("kappa", [0.1, 0.35, 0.9])
def test_decline_is_nonlinear_least_squares_with_a_level_for_every_cell(kappa):
    lots = some_lots(int(100 * kappa), kappa)
    decline = fit_decline(lots, 2, np.random.default_rng(0))
    design = np.column_stack([np.eye(12)[lots.cell], lots.covariates])
    # The weights are those of channels by what cells and covariates leave.
    left = lots.outcome - design @ np.linalg.lstsq(design, lots.outcome, rcond=None)[0]
    # Slopes of the covariates do not see the lot, which differs by sampling error alone.
    plain = np.column_stack([lots.made, lots.outcome, lots.covariates])
    for cell in range(12):
        plain[lots.cell == cell] -= plain[lots.cell == cell].mean(axis=0)
    slope = np.linalg.lstsq(plain[:, 2:], plain[:, 1], rcond=None)[0]
    rest = plain[:, 1] - plain[:, 2:] @ slope
    np.testing.assert_allclose(rest, left, atol=1e-9)
    weight = 1 / np.array([rest[lots.channel == code].std() for code in (0, 1)])[lots.channel]

    def errors(guess):
        effect = guess[:2][lots.channel] * np.exp(-guess[2] * lots.n)
        return weight * (rest - plain[:, 0] * effect)

    best = least_squares(errors, [5.0, 5.0, 0.3], xtol=1e-12, ftol=1e-12, gtol=1e-12)
    np.testing.assert_allclose([*decline.theta[0], decline.kappa[0]], best.x, rtol=1e-3)


def test_decline_stays_at_its_bound_where_effects_grow():
    lots = some_lots(1, -0.4, theta=(3.0, 2.0))
    decline = fit_decline(lots, 2, np.random.default_rng(0))
    assert decline.kappa[0] == 0
    assert (decline.kappa >= 0).all()


@pytest.mark.slow
def test_draws_of_the_decline_are_as_wide_as_its_estimates():
    fits = [fit_decline(some_lots(seed, 0.4), 2, np.random.default_rng(0)) for seed in range(150)]
    estimates = np.array([[*fit.theta[0], fit.kappa[0]] for fit in fits])
    errors = np.mean([[*fit.theta[1:].std(axis=0), fit.kappa[1:].std()] for fit in fits], axis=0)
    # A standard deviation of 150 is known to 6 %.
    np.testing.assert_allclose(estimates.std(axis=0), errors, rtol=0.2)
    bias = estimates.mean(axis=0) - [8.0, 3.0, 0.4]
    assert (np.abs(bias) < 4 * estimates.std(axis=0) / np.sqrt(150)).all()


def test_leaving_is_a_poisson_regression():
    random = np.random.default_rng(5)
    contacts = random.integers(500, 3000, (3, 6)).astype(float)
    n = np.arange(6)
    rates = np.array([0.01, 0.004, 0.0])[:, None] * np.exp(0.2 * n)
    left = random.poisson(contacts * rates).astype(float)
    found = fit_leaving(left, contacts, np.random.default_rng(0))
    assert found.level[0, 2] == 0
    design = np.column_stack([np.repeat(np.eye(2), 6, axis=0), np.tile(n, 2)])
    model = sm.GLM(
        left[:2].ravel(), design, sm.families.Poisson(), exposure=contacts[:2].ravel()
    ).fit()
    np.testing.assert_allclose(np.log(found.level[0, :2]), model.params[:2], atol=1e-6)
    assert found.slope[0] == pytest.approx(model.params[2], abs=1e-6)
    assert found.slope[1:].std() == pytest.approx(model.bse[2], rel=0.08)
    assert np.log(found.level[1:, 0]).std() == pytest.approx(model.bse[0], rel=0.08)


def test_nobody_leaves_or_all_have_as_many_recent_contacts():
    random = np.random.default_rng(0)
    nobody = fit_leaving(np.zeros((1, 3)), np.full((1, 3), 50.0), random)
    rates = nobody.at(np.arange(3))
    assert (rates[0] == 0).all()
    # Jeffreys' bound of a rate without a case in 150 contacts.
    bound = stats.gamma(0.5).ppf(0.975) / 150
    np.testing.assert_allclose(np.quantile(rates[1:], 0.975, axis=0), bound, rtol=0.15)
    one = fit_leaving(np.array([[5.0]]), np.array([[100.0]]), random)
    assert one.at(np.arange(2))[0, 0].tolist() == pytest.approx([0.05, 0.05])


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_best_number_has_the_largest_sum(values):
    best = int(best_number(np.array([values], dtype=float))[0])
    sums = [sum(values[:k]) for k in range(len(values) + 1)]
    assert sums[best] == max(sums)
    assert max(sums) not in sums[:best]


def test_a_channel_that_nobody_left_is_not_sure_to_keep_everybody():
    contacts, orders = made_log(8, n_customers=150)
    assert not contacts["unsubscribed"].any()
    plain = contact_pressure(contacts, orders, window=10).curve
    dear = contact_pressure(contacts, orders, window=10, unsubscribe_cost=5000.0).curve
    assert (dear["unsubscribe"] == 0).all()
    np.testing.assert_allclose(dear["value"], plain["value"])
    assert (dear["low"] < plain["low"]).all()


def test_value_is_effect_less_cost_less_what_is_lost_by_leaving():
    contacts, orders = made_log(8, n_customers=1200, left=0.05)
    plain = contact_pressure(contacts, orders, window=10).curve
    dear = contact_pressure(contacts, orders, window=10, unsubscribe_cost=30.0).curve
    for curve, lost in ((plain, 0.0), (dear, 30.0)):
        value = curve["effect"] - curve["cost"] - lost * curve["unsubscribe"]
        np.testing.assert_allclose(curve["value"], value)
        assert (curve["cost"] == 1.0).all()
        for _, part in curve.groupby("channel"):
            np.testing.assert_allclose(part["cumulative"], part["value"].cumsum())
            assert part["n"].to_list() == list(range(len(part)))
    assert dear["unsubscribe"].between(0.02, 0.1).all()
    both = plain[plain["channel"] == "(all)"]
    share = contacts[(contacts["time"] >= contacts["time"].min() + pd.Timedelta(days=30))]
    share = share[~share["held_out"]]["channel"].value_counts(normalize=True)
    first = plain[plain["n"] == 0].set_index("channel")["effect"]
    assert both["effect"].iloc[0] == pytest.approx(
        share["a"] * first["a"] + share["b"] * first["b"]
    )


def test_curve_and_cap_find_the_truth(found):
    truth = {"a": 6.0, "b": 3.0}
    for channel, theta in truth.items():
        curve = found.curve[found.curve["channel"] == channel]
        value = theta * np.exp(-0.4 * curve["n"]) - 1.0
        assert ((curve["low"] < value) & (value < curve["high"])).all()
        best = sum(theta * np.exp(-0.4 * n) > 1.0 for n in range(20))
        row = found.caps.set_index("channel").loc[channel]
        assert abs(row["cap"] - best) <= 1
        assert row["cap_low"] <= best <= row["cap_high"]
    assert found.kappa_low < 0.4 < found.kappa_high
    assert found.cap == found.caps.iloc[-1]["cap"]


@pytest.mark.slow
def test_intervals_of_values_hold_the_truth_at_the_level_they_name():
    held = []
    for seed in range(60):
        result = contact_pressure(*made_log(seed, n_customers=400), window=10, level=0.8)
        curve = result.curve[result.curve["channel"].isin(["a", "b"]) & (result.curve["n"] <= 3)]
        theta = curve["channel"].map({"a": 6.0, "b": 3.0})
        value = theta * np.exp(-0.4 * curve["n"]) - 1.0
        held.append(((curve["low"] <= value) & (value <= curve["high"])).mean())
    # Values of one log hang together: the error is that of 60 means.
    assert abs(np.mean(held) - 0.8) < 4 * np.std(held) / np.sqrt(60)


def verdict_of(cost, **settings):
    contacts, orders = made_log(11, n_customers=800, **settings)
    contacts["cost"] = np.where(contacts["held_out"], 0.0, cost)
    result = contact_pressure(contacts, orders, window=10)
    return result, result.caps.iloc[-1]


def test_verdicts():
    result, row = verdict_of(2.0)
    assert row["verdict"] == "limit"
    assert 1 <= result.cap <= 4
    assert f"Up to {result.cap} contacts" in result.statement
    result, row = verdict_of(50.0)
    assert (row["verdict"], row["cap"], row["cap_high"], row["best"]) == ("stop", 0, 0, 0.0)
    assert row["first_high"] < 0
    assert "stop" in result.statement
    result, row = verdict_of(0.01, kappa=0.0)
    assert row["verdict"] == "no limit seen"
    assert row["cap"] == (result.curve["channel"] == "(all)").sum()
    result, row = verdict_of(0.0, theta=(0.0, 0.0))
    assert row["verdict"] == "not proven"
    assert row["first_low"] < 0 < row["first_high"]
    assert "not proven" in result.statement


def test_nothing_is_claimed_where_nobody_was_held_out(log):
    contacts, orders = log
    made = contacts[~contacts["held_out"]]
    for frame in (made, made.drop(columns="held_out")):
        result = contact_pressure(frame, orders, window=10)
        assert result.cap is None
        assert result.n_over is None
        assert result.over.empty
        assert result.curve.empty
        assert np.isnan([result.kappa, result.kappa_low, result.kappa_high]).all()
        assert set(result.caps["verdict"]) == {"not identified"}
        assert result.caps["first"].isna().all()
        assert result.caps["reason"].to_list() == [*["nobody was held out at random"] * 3]
        assert result.effects["margin"].isna().all()
        assert result.rates["purchase_rate"].notna().any()
        assert "No cap is identified" in result.statement


def test_a_channel_without_holdout_leaves_the_others_as_they_are(log):
    contacts, orders = log
    page = contacts[~contacts["held_out"]].head(2000).assign(channel="page", cost=9.0)
    both = pd.concat([contacts, page], ignore_index=True)
    alone = contact_pressure(contacts, orders, window=10)
    result = contact_pressure(both, orders, window=10, counted=["a", "b"])
    row = result.caps.set_index("channel").loc["page"]
    assert (row["verdict"], row["reason"]) == ("not identified", "nobody was held out at random")
    assert not row["counted"]
    pd.testing.assert_frame_equal(
        result.curve.drop(columns=["low", "high", "cumulative_low", "cumulative_high"]),
        alone.curve.drop(columns=["low", "high", "cumulative_low", "cumulative_high"]),
    )


def test_a_channel_without_lots_at_several_numbers_says_nothing_of_kappa():
    random = np.random.default_rng(1)
    n = 400
    contacts = pd.DataFrame(
        {
            "customer_id": [0, *range(n)],
            "time": days_after([0.0, *random.uniform(31, 100, n)]),
            "channel": "mail",
            "held_out": [True, *(random.random(n) < 0.5)],
            "cost": 0.1,
        }
    )
    own = days_after([*np.full(n, -1.0), *random.uniform(30, 130, n)])
    orders = pd.DataFrame({"customer_id": [*range(n)] * 2, "time": own, "margin": MARGIN})
    result = contact_pressure(contacts, orders, window=10)
    # Everybody had no recent contact: any fall fits as well.
    assert result.curve["n"].to_list() == [0, 0]
    assert np.isnan([result.kappa, result.kappa_low, result.kappa_high]).all()
    assert result.cap in (0, 1)


def test_the_reason_of_all_is_that_of_its_channels(log):
    contacts, orders = log
    same = contact_pressure(contacts, orders.assign(margin=0.0), window=10)
    told = "the margin in the window is the same for all, contacted or not"
    assert same.caps["reason"].to_list() == [told] * 3
    held = contacts["held_out"] & (contacts["channel"] == "a")
    mixed = contact_pressure(
        contacts[~held].assign(held_out=lambda rows: rows["channel"] == "b"), orders, window=10
    )
    assert mixed.caps["reason"].to_list() == [
        *("nobody was held out at random", "nobody was contacted"),
        "no channel that counts is identified",
    ]


def test_a_class_in_which_nobody_orders_has_a_reason_for_its_bounds(log):
    contacts, orders = log
    often = contact_pressure(contacts, orders, window=10).effects
    assert (often["reason"] == "").any()
    # Only who had no recent contact orders at all.
    made = contacts[~contacts["held_out"]]
    first = made.groupby("customer_id")["time"].transform("min") == made["time"]
    late = made[first & (made["time"] > START + pd.Timedelta(days=32))]
    late = late.assign(time=late["time"] + pd.Timedelta("1h"), margin=MARGIN)
    begin = orders[orders["time"] < START]
    end = pd.DataFrame({"customer_id": [0], "time": days_after([165.0]), "margin": [MARGIN]})
    few = pd.concat([begin, late[["customer_id", "time", "margin"]].head(9), end])
    found = contact_pressure(contacts, few, window=10).effects
    figures = ["orders", "orders_low", "orders_high", "margin", "margin_low", "margin_high"]
    lacking = found[figures].isna().any(axis=1)
    assert (lacking == (found["reason"] != "")).all()
    same = found[found["orders"].eq(0) & found["orders_low"].isna()]
    assert len(same)
    assert set(same["reason"]) == {
        "orders or margins in the window are the same for all, contacted or not"
    }


def test_a_test_account_with_a_thousand_contacts_changes_nothing_and_costs_nothing():
    contacts, orders = made_log(3, n_customers=400, left=0.02)
    robot = pd.DataFrame(
        {
            "customer_id": 0,
            "time": days_after(np.linspace(60, 80, 1000)),
            "channel": np.resize(["a", "b"], 1000),
            "held_out": False,
            "cost": 1.0,
            "unsubscribed": False,
        }
    )
    alone = contact_pressure(contacts, orders, window=10, unsubscribe_cost=5.0)
    both = contact_pressure(
        pd.concat([contacts, robot], ignore_index=True), orders, window=10, unsubscribe_cost=5.0
    )
    assert both.kappa == pytest.approx(alone.kappa, abs=0.05)
    assert abs(both.cap - alone.cap) <= 1
    assert both.curve["n"].max() <= 101


def test_the_statement_names_the_level(found):
    assert f". 95% interval of the best number: {found.best_range}. " in found.statement
    other = dataclasses.replace(found, level=0.995, cap=1)
    assert " 1 contact in 30 days pays." in other.statement
    assert "99.5% interval" in other.statement


def test_the_best_number_is_open_where_the_numbers_that_were_tried_end(found):
    low, high = found.caps[["cap_low", "cap_high"]].iloc[-1]
    tried = (found.curve["channel"] == "(all)").sum()
    assert low < high
    assert found.best_range == f"{low} to {high}" + " or more" * int(high == tried)
    short = dataclasses.replace(found, curve=found.curve[found.curve["n"] < high])
    assert short.best_range == f"{low} to {high} or more"
    sure = short.caps.assign(cap_low=high)
    assert dataclasses.replace(short, caps=sure).best_range == f"{high} or more"
    assert dataclasses.replace(found, cap=None).best_range == ""


def test_too_few_held_out_is_said():
    contacts, orders = made_log(4, n_customers=200, held_out=0.003)
    result = contact_pressure(contacts, orders, window=10)
    assert result.caps["reason"].iloc[0].startswith("no campaign has 20 customers contacted and 20")


def test_over_the_cap_by_hand(log):
    contacts, orders = log
    until = contacts["time"].max() - pd.Timedelta(days=20)
    result = contact_pressure(contacts, orders, window=10, until=until)
    assert result.left_out["later"] == (contacts["time"] > until).sum()
    assert result.until == until
    lately = (contacts["time"] > until - pd.Timedelta(days=30)) & (contacts["time"] <= until)
    counts = {}
    for who in contacts["customer_id"][lately & ~contacts["held_out"]]:
        counts[who] = counts.get(who, 0) + 1
    wanted = sorted(
        ((who, n, n - result.cap) for who, n in counts.items() if n > result.cap),
        key=lambda row: (-row[1], row[0]),
    )
    assert result.over.to_numpy().tolist() == [list(row) for row in wanted]
    assert (result.n_over, result.n_recent) == (len(wanted), len(counts))


def test_what_comes_after_until_plays_no_part(log):
    contacts, orders = log
    until = START + pd.Timedelta(days=100.3)
    cut = contact_pressure(
        contacts[contacts["time"] <= until], orders[orders["time"] <= until], window=10, until=until
    )
    whole = contact_pressure(contacts, orders, window=10, until=until)
    for name in ("rates", "effects", "curve", "caps", "over"):
        pd.testing.assert_frame_equal(getattr(cut, name), getattr(whole, name))


def test_the_calendar_takes_the_cap_over():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    until = paid["time"].max().normalize()
    paid = paid[paid["time"] < until]
    contacts = shop.contacts[shop.contacts["time"] < until]
    messages = ["chat", "sms", "email"]
    pressure = contact_pressure(contacts, paid, window=30, counted=messages)
    assert pressure.cap is not None
    assert pressure.cap >= 1
    customers = tp.rfm_summary(paid, customer="customer_id", time="time", amount="amount", unit="D")
    model = tp.ModifiedBetaGeoModel().fit(customers)
    made = contacts[~contacts["held_out"] & contacts["channel"].isin(messages)]
    money = tp.ContactMoney(margin=30, win_back=0.2, cost=0.1, discount=0)
    for cap in sorted({1, pressure.cap}):
        plan = tp.contact_calendar(
            model, customers, money, days=60, cap=cap, cap_days=30, contacts=made
        )
        planned = plan[plan["action"] != "leave"][["customer_id", "date"]]
        assert len(planned) > 100
        before = pd.DataFrame(
            {"customer_id": made["customer_id"], "date": made["time"].dt.floor("D")}
        )
        before = before[before["customer_id"].isin(planned["customer_id"])]
        dates = pd.concat([planned.assign(new=True), before.assign(new=False)])
        for _, part in dates.groupby("customer_id"):
            days = part["date"].to_numpy().astype("datetime64[D]").astype(int)
            for day in days[part["new"].to_numpy()]:
                assert ((days > day - 30) & (days <= day)).sum() <= cap


def test_bundled_shop():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    result = contact_pressure(
        shop.contacts, paid, window=30, counted=["chat", "sms", "email"], response="clicked"
    )
    rows = result.caps.set_index("channel")
    assert rows.loc["page", "verdict"] == "not identified"
    # No effect at all, in truth.
    assert rows.loc["social", "first_low"] < -0.2 < rows.loc["social", "first_high"]
    assert rows["counted"].to_dict() == {
        "chat": True,
        "email": True,
        "page": False,
        "parcel": False,
        "sms": True,
        "social": False,
        "(all)": True,
    }


def test_a_result_shows_itself_and_is_the_same_again(log, found):
    again = contact_pressure(*log, window=10, seed=1)
    assert isinstance(found, ContactPressure)
    pd.testing.assert_frame_equal(found.caps, again.caps)
    frame = found.to_frame()
    pd.testing.assert_frame_equal(frame, found.caps)
    frame.loc[0, "verdict"] = "changed"
    assert found.caps.loc[0, "verdict"] != "changed"
    assert repr(found) == f"ContactPressure(cap={found.cap}, n_over={found.n_over}, days=30)"
    html = found._repr_html_()
    assert "<table" in html
    assert f"{found.n_over:,} of {found.n_recent:,} customers" in html
    other = contact_pressure(*log, window=10, seed=2)
    assert (other.curve["value"] == found.curve["value"]).all()
    assert (other.curve["low"] != found.curve["low"]).any()


def test_rows_may_come_in_any_order(log, found):
    contacts, orders = log
    mixed = contact_pressure(
        contacts.sample(frac=1, random_state=0).set_index("customer_id", drop=False),
        orders.sample(frac=1, random_state=1),
        window=10,
    )
    pd.testing.assert_frame_equal(mixed.effects, found.effects)
    np.testing.assert_allclose(mixed.curve["value"], found.curve["value"])


BAD = [
    ({"window": 0}, "window is 0; it must be > 0"),
    ({"window": 1e9}, "window is 1000000000.0; it must be <= 36525"),
    ({"days": -1}, "days is -1; it must be > 0"),
    ({"level": 1}, "level is 1; it must be < 1"),
    ({"classes": 0}, "classes is 0; it must be >= 1"),
    ({"seed": -1}, "seed is -1; it must be >= 0"),
    ({"unsubscribe_cost": -2}, "unsubscribe_cost is -2; it must be >= 0"),
    ({"counted": "a"}, "counted is 'a'; pass a list of channels"),
    ({"counted": ["a", "fax"]}, "counted has 'fax'; the channels of contacts are 'a', 'b'"),
    ({"counted": []}, "counted is empty; name the channels that tire, or pass None for all"),
    ({"margin": "profit"}, "orders has no column 'profit'"),
    ({"margin": ["margin"]}, "orders has no column ['margin']; name columns by text"),
    ({"response": "clicked"}, "contacts has no column 'clicked'"),
    ({"until": 20250101}, "until is 20250101; pass a moment"),
    ({"until": "2024-12-31"}, "contacts has none from 30 days after the first"),
    ({"until": "2024-12-01"}, "all orders are later than until"),
    ({"days": 200}, "contacts has none from 200 days after the first"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_arguments(log, changes, message):
    with pytest.raises(InputError) as error:
        contact_pressure(*log, **{"window": 10, **changes})
    assert message in str(error.value)


BAD_LOGS = [
    ("contacts", {"cost": None}, "contacts has no column 'cost'"),
    ("contacts", {"channel": None}, "contacts has no column 'channel'"),
    ("contacts", {"channel": "(all)"}, "a channel of contacts is called '(all)'; rename it"),
    ("contacts", {"cost": -1.0}, "cost is -1 at index 0"),
    ("contacts", {"held_out": 1}, "held_out of contacts holds int64, no truth values"),
    ("contacts", {"unsubscribed": "no"}, "unsubscribed of contacts holds"),
    ("contacts", {"time": "2025-01-01"}, "time of contacts holds"),
    ("contacts", {"customer_id": "x"}, "no customer of contacts"),
    ("orders", {"margin": "much"}, "margin is not numeric"),
    ("orders", {"margin": np.nan}, "margin is nan at index 0"),
    ("orders", {"time": None}, "orders has no column 'time'"),
]


@pytest.mark.parametrize(("which", "changes", "message"), BAD_LOGS)
def test_bad_logs(log, which, changes, message):
    frames = dict(zip(("contacts", "orders"), log, strict=True))
    frame = frames[which].copy()
    for column, value in changes.items():
        frame = frame.drop(columns=column) if value is None else frame.assign(**{column: value})
    frames[which] = frame
    with pytest.raises(InputError) as error:
        contact_pressure(**frames, window=10)
    assert message in str(error.value)


@pytest.mark.parametrize("column", ["held_out", "campaign"])
def test_a_column_that_is_there_twice_is_refused(log, column):
    contacts, orders = log
    once = contacts.assign(campaign="spring")
    with pytest.raises(InputError, match=f"contacts has several columns '{column}'"):
        contact_pressure(pd.concat([once, once[[column]]], axis=1), orders, window=10)


def test_campaigns_that_are_lists_are_refused(log):
    contacts, orders = log
    odd = contacts.assign(campaign=pd.Series([["spring"]] * len(contacts), contacts.index))
    with pytest.raises(InputError, match="campaign of contacts holds lists or the like"):
        contact_pressure(odd, orders, window=10)


def test_unsubscribe_cost_needs_the_column(log):
    contacts, orders = log
    with pytest.raises(InputError, match="contacts has no column 'unsubscribed'"):
        contact_pressure(
            contacts.drop(columns="unsubscribed"), orders, window=10, unsubscribe_cost=5
        )


def test_contacts_before_the_first_order_are_counted(log):
    contacts, orders = log
    late = orders[(orders["customer_id"] > 0) | (orders["time"] > days_after([60.0])[0])]
    result = contact_pressure(contacts, late, window=10)
    first = late["time"][late["customer_id"] == 0].min()
    first = late["time"].max() if pd.isna(first) else first
    begin = contacts["time"].min() + pd.Timedelta(days=30)
    mine = contacts[(contacts["customer_id"] == 0) & (contacts["time"] >= begin)]
    assert result.left_out["no order before"] == (mine["time"] < first).sum() > 0


def test_nothing_is_claimed_where_nothing_was_bought(log):
    contacts, orders = log
    first = orders[orders["time"] < START]
    result = contact_pressure(contacts, first, window=10, until=contacts["time"].max())
    assert result.cap is None
    assert result.caps["reason"].iloc[0].startswith("the margin in the window is the same for all")
    assert result.left_out["no lots drawn"] == 0
    assert result.left_out["no outcome"] > 10_000
    assert (result.rates["purchase_rate"].dropna() == 0).all()


def test_hundreds_of_recent_contacts_are_no_trouble():
    contacts, orders = made_log(5, n_customers=300, left=0.02)
    n = 600
    flood = pd.DataFrame(
        {
            "customer_id": 7,
            "time": days_after(np.linspace(40, 80, n)),
            "channel": "a",
            "held_out": np.arange(n) % 3 == 0,
            "cost": 0.5,
            "unsubscribed": False,
        }
    )
    result = contact_pressure(
        pd.concat([contacts, flood], ignore_index=True), orders, window=10, unsubscribe_cost=1.0
    )
    assert result.curve["n"].max() < 20
    assert np.isfinite(result.curve.drop(columns="channel").to_numpy(dtype=float)).all()


def test_categories_and_odd_names_of_columns(log, found):
    contacts, orders = log
    dressed = contacts.assign(
        customer_id=contacts["customer_id"].astype("category"),
        channel=contacts["channel"].astype("category"),
        bought=contacts["unsubscribed"],
    )
    result = contact_pressure(dressed, orders, window=10, seed=1, response="bought")
    assert result.n_recent == found.n_recent
    assert result.over.to_numpy().tolist() == found.over.to_numpy().tolist()
    pd.testing.assert_frame_equal(result.caps, found.caps)
    named = [name for name in result.rates.columns if not name.startswith("response")]
    pd.testing.assert_frame_equal(result.rates[named], found.rates)


def test_unsubscribing_is_unknown_without_its_column(log, found):
    contacts, orders = log
    result = contact_pressure(contacts.drop(columns="unsubscribed"), orders, window=10, seed=1)
    assert result.curve["unsubscribe"].isna().all()
    assert "unsubscribe_rate" not in result.rates
    np.testing.assert_array_equal(result.curve["value"], found.curve["value"])
