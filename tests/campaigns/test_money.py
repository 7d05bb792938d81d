from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t

import touchpoint_lib as tp
from touchpoint_lib._checks import InputError


def campaign(seed=0, n=800, effect=3.0):
    """Return an experiment with coupons: spend before them, what was taken off, a postage."""
    rng = np.random.default_rng(seed)
    sent = rng.random(n) < 0.6
    past = rng.gamma(2, 8, n)
    spend = np.where(rng.random(n) < 0.4, rng.gamma(2, 20, n) + 0.5 * past, 0) + effect * sent
    return pd.DataFrame(
        {
            "arm": np.where(sent, "coupon", "holdout"),
            "spend": spend,
            "before": past + rng.normal(0, 3, n),
            "past": past,
            "town": rng.choice(["north", "south"], n),
            # A few of the holdout use a coupon that they found elsewhere.
            "taken_off": np.where(sent | (rng.random(n) < 0.05), 0.1 * spend, 0),
            "postage": np.where(sent, rng.choice([0.4, 0.9], n), 0),
            "household": np.arange(n) // 2,
        }
    )


def evaluate(data, costs, **changes):
    call = {"arm": "arm", "control": "holdout", "outcomes": "spend", "costs": costs} | changes
    return tp.evaluate_campaign(data, **call).to_frame()


#: Costs, and what they are of each treated row, and of each row of the control.
CONTACTS = {
    "none": (0.0, lambda data: 0 * data["spend"]),
    "number": (0.5, lambda data: 0.5 * (data["arm"] == "coupon")),
    "column": ("postage", lambda data: data["postage"]),
    "by arm": ({"coupon": 0.7}, lambda data: 0.7 * (data["arm"] == "coupon")),
}
DISCOUNTS = {
    "none": (0.0, lambda data: 0 * data["spend"]),
    "a unit": (0.1, lambda data: 0.1 * data["spend"] * (data["arm"] == "coupon")),
    "column": ("taken_off", lambda data: data["taken_off"]),
}


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("contact", CONTACTS)
def test_money_by_hand(contact, discount):
    data = campaign()
    costs = tp.CampaignCosts(
        margin=0.4, contact=CONTACTS[contact][0], discount=DISCOUNTS[discount][0], fixed=60
    )
    row = evaluate(data, costs).iloc[0]
    sent, held = data[data["arm"] == "coupon"], data[data["arm"] == "holdout"]
    n = len(sent)
    gain = 0.4 * n * (sent["spend"].mean() - held["spend"].mean())
    # What the contacted cost more than as many of the holdout did.
    contacts, coupons = (
        n * (of(sent).mean() - of(held).mean())
        for of in (CONTACTS[contact][1], DISCOUNTS[discount][1])
    )
    spent = contacts + coupons + 60
    assert row["margin"] == pytest.approx(gain)
    assert row["contact_cost"] == pytest.approx(contacts, abs=1e-9)
    assert row["discount_cost"] == pytest.approx(coupons, abs=1e-9)
    assert row["fixed_cost"] == 60
    assert row["net_profit"] == pytest.approx(gain - spent)
    assert row["roi"] == pytest.approx((gain - spent) / spent)
    # The interval: of what each customer left, after what each cost.
    left = [
        0.4 * part["spend"] - CONTACTS[contact][1](part) - DISCOUNTS[discount][1](part)
        for part in (sent, held)
    ]
    error = n * sum(part.var(ddof=1) / len(part) for part in left) ** 0.5
    assert row["probability_of_profit"] == pytest.approx(norm.cdf((gain - spent) / error))
    half = (row["net_profit_high"] - row["net_profit_low"]) / 2
    assert half == pytest.approx(t.ppf(0.975, n) * error, rel=0.01)
    assert row["net_profit_high"] + row["net_profit_low"] == pytest.approx(2 * (gain - spent))
    assert row["margin_low"] == pytest.approx(0.4 * n * row["ci_low"])
    assert row["margin_high"] == pytest.approx(0.4 * n * row["ci_high"])


@pytest.mark.parametrize("effect", [0.0, 12.0])
@pytest.mark.parametrize("discount", [0.1, "taken_off"])
def test_intervals_are_as_wide_as_the_bootstrap(discount, effect):
    """Half widths of 4,000 resamples within arms, to 5 % (their own error is 1.1 %)."""
    data = campaign(1, effect=effect)
    costs = tp.CampaignCosts(margin=0.4, contact="postage", discount=discount)
    row = evaluate(data, costs).iloc[0]
    rng = np.random.default_rng(0)
    drawn = {}
    for arm, part in data.groupby("arm"):
        off = part["taken_off"]
        if discount != "taken_off":
            off = 0.1 * part["spend"] * (arm == "coupon")
        table = np.column_stack([part["spend"], part["postage"] + off])
        picks = rng.integers(0, len(part), (4000, len(part)))
        drawn[arm] = table[picks].mean(axis=1)
    n = (data["arm"] == "coupon").sum()
    gap = n * (drawn["coupon"] - drawn["holdout"])
    profit = 0.4 * gap[:, 0] - gap[:, 1]
    for name, draws in (("net_profit", profit), ("roi", profit / gap[:, 1])):
        half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
        assert half == pytest.approx(1.965 * draws.std(), rel=0.05), name


METHODS = {
    "difference": {},
    "lin": {"covariates": ["past", "town"]},
    "stratified": {"covariates": ["town"]},
    "aipw": {"covariates": ["past", "town"]},
    "did": {"before": "before"},
}


@pytest.mark.parametrize("discount", [0.0, 0.1, "taken_off"])
@pytest.mark.parametrize("method", METHODS)
def test_at_the_break_even_effect_there_is_no_profit(method, discount):
    data = campaign()
    costs = tp.CampaignCosts(margin=0.4, contact=0.5, discount=discount, fixed=60)
    call = {"method": method, **METHODS[method]}
    row = evaluate(data, costs, **call).iloc[0]
    shift = row["break_even_effect"] - row["effect"]
    data["spend"] += shift * (data["arm"] == "coupon")
    there = evaluate(data, costs, **call).iloc[0]
    assert there["effect"] == pytest.approx(row["break_even_effect"])
    assert there["net_profit"] == pytest.approx(0, abs=1e-8 * abs(row["margin"]))
    assert there["probability_of_profit"] == pytest.approx(0.5)
    assert there["roi"] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("method", [*METHODS, "cuped"])
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    margin=st.floats(0.05, 2),
    contact=st.floats(0, 5),
    fixed=st.floats(0, 1000),
    by_column=st.booleans(),
)
def test_net_is_margin_less_costs(method, seed, margin, contact, fixed, by_column):
    costs = tp.CampaignCosts(
        margin=margin, contact=contact, discount="taken_off" if by_column else 0.1, fixed=fixed
    )
    needs = METHODS.get(method, {"covariates": ["past"]})
    table = evaluate(campaign(seed, 200), costs, method=method, segments="town", **needs)
    spent = table["contact_cost"] + table["discount_cost"] + table["fixed_cost"]
    np.testing.assert_allclose(table["net_profit"], table["margin"] - spent, atol=1e-8)
    np.testing.assert_allclose(table["roi"], table["net_profit"] / spent)
    np.testing.assert_allclose(table["margin"], margin * table["incremental_total"], atol=1e-8)
    inside = (table["net_profit_low"] < table["net_profit"]) & (
        table["net_profit"] < table["net_profit_high"]
    )
    assert inside.all()
    assert ((table["net_profit"] > 0) == (table["probability_of_profit"] > 0.5)).all()


@pytest.mark.slow
def test_intervals_of_adjusted_profit_hold_the_truth():
    """What was paid is a fact of the treated: covariates do not take its chance away."""
    rng = np.random.default_rng(0)
    truth, held = 0.4 - 0.35 * 11, []
    costs = tp.CampaignCosts(margin=0.4, discount=0.35)
    for _ in range(20):
        x, sent = rng.normal(0, 1, 40_000), rng.integers(0, 2, 40_000)
        data = pd.DataFrame({"arm": sent, "x": x, "part": np.arange(40_000) // 400})
        data["spend"] = 10 + 3 * x + sent + rng.normal(0, 1, 40_000)
        table = evaluate(data, costs, control=0, method="lin", covariates="x", segments="part")
        rows = table.iloc[1:]
        each = truth * rows["n_treated"]
        held += ((rows["net_profit_low"] <= each) & (each <= rows["net_profit_high"])).tolist()
    # Of 2,000 at 95 %: 0.5 points; without the chance of what was paid it is 86 %.
    assert 0.935 <= np.mean(held) <= 0.965


def test_the_fixed_cost_belongs_to_no_segment():
    data = campaign()
    table = evaluate(data, tp.CampaignCosts(margin=0.4, contact=0.5, fixed=60), segments="town")
    assert table["fixed_cost"].tolist() == [60, 0, 0]
    assert table["contact_cost"].iloc[0] == pytest.approx(table["contact_cost"].iloc[1:].sum())


def test_a_cap_never_touches_money():
    data = campaign()
    data.loc[0, "spend"] = 20_000.0
    costs = tp.CampaignCosts(margin=0.4, contact=0.5, discount=0.1)
    plain = evaluate(data, costs).iloc[0]
    capped = evaluate(data, costs, caps={"spend": "99%"}).iloc[0]
    assert capped["effect"] != plain["effect"]
    assert capped["incremental_total"] != plain["incremental_total"]
    # The quantile alone is that of the capped effect's degrees of freedom.
    columns = ["margin", "discount_cost", "net_profit", "roi", "break_even_effect"]
    np.testing.assert_allclose(
        capped[columns].astype(float), plain[columns].astype(float), rtol=1e-12
    )
    assert capped["net_profit_low"] == pytest.approx(plain["net_profit_low"], rel=1e-2)
    assert capped["probability_of_profit"] == plain["probability_of_profit"]


def test_each_outcome_has_its_own_costs():
    data = campaign().assign(orders=lambda data: (data["spend"] > 20).astype(int))
    costs = {"orders": tp.CampaignCosts(margin=12, contact=0.5)}
    table = evaluate(data, costs, outcomes=["spend", "orders"]).set_index("outcome")
    assert table.loc["spend", ["margin", "net_profit", "roi"]].isna().all()
    assert table.loc["orders", "margin"] == pytest.approx(
        12 * table.loc["orders", "incremental_total"]
    )
    without = evaluate(data, None, outcomes=["spend"])
    assert "margin" not in without.columns


def test_each_arm_pays_for_itself():
    data = campaign()
    data.loc[data["arm"].eq("coupon") & (data.index % 2 == 0), "arm"] = "mail"
    costs = tp.CampaignCosts(margin=0.4, contact={"coupon": 0.2, "mail": 1.1}, fixed=60)
    table = evaluate(data, costs).set_index("arm")
    np.testing.assert_allclose(table["contact_cost"] / table["n_treated"], [0.2, 1.1], rtol=1e-12)
    assert table["fixed_cost"].tolist() == [60, 60]


def test_without_costs_there_is_no_return_on_them():
    row = evaluate(campaign(), tp.CampaignCosts(margin=0.4)).iloc[0]
    assert row[["roi", "roi_low", "roi_high"]].isna().all()
    assert row["net_profit"] == row["margin"]
    assert row["break_even_effect"] == 0


def test_a_discount_above_the_margin_never_breaks_even():
    row = evaluate(campaign(), tp.CampaignCosts(margin=0.1, discount=0.1)).iloc[0]
    assert row["break_even_effect"] == np.inf
    assert row["net_profit"] < 0


def test_a_segment_too_small_has_no_money():
    data = campaign()
    data.loc[:3, "town"] = "islet"
    data.loc[:3, "arm"] = "coupon"
    table = evaluate(data, tp.CampaignCosts(margin=0.4, contact=0.5), segments="town")
    row = table.set_index("segment").loc["islet"]
    assert row[["margin", "contact_cost", "net_profit", "roi", "break_even_effect"]].isna().all()


def test_clusters_widen_money_as_they_widen_the_effect():
    data = campaign()
    # Of households of two that are one customer half of the rows are news.
    data = data.loc[data.index // 2 * 2].reset_index(drop=True)
    costs = tp.CampaignCosts(margin=0.4, contact=0.5)
    single = evaluate(data, costs).iloc[0]
    both = evaluate(data, costs, cluster="household").iloc[0]
    width = {
        name: row["net_profit_high"] - row["net_profit_low"]
        for name, row in (("single", single), ("both", both))
    }
    assert width["both"] / width["single"] == pytest.approx(2**0.5, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": 0}, "margin is 0; it must be > 0"),
        ({"margin": "spend"}, "margin is 'spend'; it must be a number"),
        ({"margin": 1, "contact": -1}, "contact is -1; it must be >= 0"),
        ({"margin": 1, "contact": None}, "contact is None; it must be a number"),
        ({"margin": 1, "contact": {"sms": -2}}, "contact of 'sms' is -2; it must be >= 0"),
        ({"margin": 1, "discount": float("nan")}, "discount is nan; it must be finite"),
        ({"margin": 1, "fixed": -5}, "fixed is -5; it must be >= 0"),
    ],
)
def test_bad_costs(settings, message):
    with pytest.raises(InputError, match=message):
        tp.CampaignCosts(**settings)


def cost(**settings):
    return tp.CampaignCosts(margin=0.4, **settings)


@pytest.mark.parametrize(
    ("costs", "changes", "message"),
    [
        (cost(contact="stamps"), {}, "data has no column 'stamps'.*name the contact cost by"),
        (cost(contact="loss"), {}, "contact cost 'loss' is -1 at index 0; costs are positive"),
        (cost(discount="loss"), {}, "discount 'loss' is -1 at index 0; costs are positive numb"),
        (cost(discount="gap"), {}, "discount 'gap' is nan at index 0"),
        (cost(contact={"mail": 1}), {}, "contact has no cost of arm 'coupon'; pass one for each"),
        (
            cost(contact={"coupon": 1, "mail": 1}),
            {},
            "contact has a cost of 'mail', which is no treated arm; the arms are 'coupon'",
        ),
        (cost(), {"outcomes": ["spend", "past"]}, "costs are one record for 2 outcomes; pass a"),
        ({"past": cost()}, {}, "costs are of 'past', which is no outcome; the outcomes are 'spen"),
        ({"spend": 0.4}, {}, r"costs of 'spend' are 0.4; pass CampaignCosts\(...\)"),
        (
            {"a": cost()},
            {"outcomes": {"a": ("spend", "past")}},
            "costs are of the ratio 'a'; give those of an outcome that can be summed",
        ),
        (
            cost(),
            {"method": "before_after", "before": "before", "control": None},
            "costs is given with method 'before_after'; it is for a comparison with a control",
        ),
        (0.4, {}, r"costs are 0.4; pass CampaignCosts\(...\), or a mapping by outcome"),
    ],
)
def test_costs_that_do_not_fit(costs, changes, message):
    data = campaign().assign(loss=-1.0, gap=np.nan)
    with pytest.raises(InputError, match=message):
        evaluate(data, costs, **changes)
