"""Campaigns of a simulated shop: plain loops over the log, the truth, and what others claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts, report
from touchpoint_lib.simulate.contacts import ShopCampaign, ShopContacts
from touchpoint_lib.simulate.dirt import ShopDirt

DAY = pd.Timedelta(days=1)
WINDOW = 60
KNOWN_BEFORE = ["silence", "age", "orders_before", "earned_before", "asleep", "on_discount"]


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    wake = ShopCampaign(
        name="wake", channel="sms", day=300, silence=(30, 300), coupon=0.2, coupon_days=21
    )
    late = replace(wake, name="late", day=480)
    contacts = ShopContacts(campaigns=(wake, late))
    return tp.simulate_shop(
        seed=1, n_customers=1500, days=500, contacts=contacts, outcome_days=WINDOW
    )


@pytest.fixture(scope="module")
def data(shop: tp.Shop) -> pd.DataFrame:
    return report.shop_experiment(shop, WINDOW, campaign="wake")


@pytest.fixture(scope="module")
def claims(shop: tp.Shop, data: pd.DataFrame) -> pd.DataFrame:
    return report.shop_claims(shop, data)


def plain(shop: tp.Shop, contacts: pd.DataFrame) -> pd.DataFrame:
    """Return the experiment by a loop over contacts and whole days of the calendar."""
    paid = shop.orders[shop.orders["status"] == "paid"].sort_values("time")
    of_customer = dict(list(paid.groupby("customer_id")))
    last_day = shop.call["start"] + (shop.call["days"] - 1) * DAY
    rows = []
    for contact in contacts.itertuples():
        own = of_customer.get(contact.customer_id, paid.iloc[:0])
        today = contact.time.normalize()
        days = (own["time"].dt.normalize() - today).dt.days
        past, ahead = own[days <= 0], own[(days >= 1) & (days <= WINDOW)]
        if past.empty or today + WINDOW * DAY > last_day:
            continue
        mine = (ahead["coupon_contact_id"] == contact.contact_id).fillna(False)
        coupon = (ahead["list_amount"] - ahead["amount"])[mine].sum()
        silence = (today + DAY - past["time"].max()) / DAY
        cheap = (past["amount"] < past["list_amount"]).mean()
        rows.append(
            {
                "contact_id": contact.contact_id,
                "customer_id": contact.customer_id,
                "opened": contact.opened,
                "cost": contact.cost,
                "arm": "held out" if contact.held_out else "contacted",
                "orders": len(ahead),
                "coupon": coupon,
                "margin": ahead["margin"].sum(),
                "earned": ahead["margin"].sum() + coupon,
                "silence": silence,
                "age": (today + DAY - past["time"].min()) / DAY,
                "orders_before": len(past),
                "earned_before": past["margin"].sum(),
                "orders_last_window": int((days.between(1 - WINDOW, 0)).sum()),
                "asleep": "under 90 days"
                if silence < 90
                else "90 to 180 days"
                if silence <= 180
                else "over 180 days",
                "on_discount": "never" if cheap == 0 else "sometimes" if cheap <= 0.5 else "mostly",
            }
        )
    return pd.DataFrame(rows)


# --- the experiment -----------------------------------------------------------------------------


def test_the_experiment_of_a_campaign_is_that_of_a_plain_loop(
    shop: tp.Shop, data: pd.DataFrame
) -> None:
    mine = (shop.contacts["campaign"] == "wake").fillna(False).to_numpy(dtype=bool)
    expected = plain(shop, shop.contacts[mine])
    assert set(data.columns) == {*expected.columns, "time", "known_at"}
    pd.testing.assert_frame_equal(
        data[expected.columns].reset_index(drop=True), expected, check_dtype=False, rtol=1e-9
    )
    assert len(data) > 300
    assert data["arm"].value_counts().min() > 150
    assert data["coupon"].gt(0).sum() > 10
    assert (data.loc[data["arm"] == "held out", ["coupon", "cost"]] == 0).all(axis=None)
    assert set(data["asleep"]) == {"under 90 days", "90 to 180 days", "over 180 days"}
    assert set(data["on_discount"]) == {"never", "sometimes", "mostly"}
    end = pd.Timestamp("2024-01-01") + 301 * DAY
    assert (shop.call["start"], data.attrs["window"]) == (pd.Timestamp("2024-01-01"), WINDOW)
    assert ((end - data["time"]) == pd.Timedelta("1us")).all()
    assert (data["known_at"] - data["time"] == WINDOW * DAY).all()


def test_the_experiment_of_a_channel_has_the_first_opportunity_of_each(shop: tp.Shop) -> None:
    data = report.shop_experiment(shop, WINDOW, channel="sms")
    ordinary = shop.contacts[(shop.contacts["channel"] == "sms") & shop.contacts["campaign"].isna()]
    first = ordinary.loc[ordinary.groupby("customer_id")["time"].idxmin()].sort_index()
    expected = plain(shop, first)
    pd.testing.assert_frame_equal(
        data[expected.columns].reset_index(drop=True), expected, check_dtype=False, rtol=1e-9
    )
    assert data["customer_id"].is_unique
    # Windows behind the end of the log are left out.
    assert 100 < len(data) < len(first)


@pytest.mark.parametrize("name", [{"campaign": "wake"}, {"channel": "parcel"}])
def test_the_outcome_is_the_truth_of_the_arm_that_was(shop: tp.Shop, name: dict[str, Any]) -> None:
    data = report.shop_experiment(shop, WINDOW, **name)
    truth = shop.truth.contacts.set_index("contact_id").loc[data["contact_id"]]
    sent = (data["arm"] == "contacted").to_numpy()
    for outcome in ("orders", "margin"):
        own = np.where(sent, truth[f"{outcome}_contacted"], truth[f"{outcome}_held_out"])
        np.testing.assert_allclose(data[outcome], own, rtol=0, atol=1e-9)
    assert data.groupby("arm")["orders"].sum().gt(50).all()


def test_what_is_known_at_the_contact_knows_no_later_order(
    shop: tp.Shop, data: pd.DataFrame
) -> None:
    cut = replace(shop, orders=shop.orders[shop.orders["time"] <= data["time"].iloc[0]])
    known = report.shop_experiment(cut, WINDOW, campaign="wake")
    names = ["contact_id", "arm", "orders_last_window", *KNOWN_BEFORE]
    pd.testing.assert_frame_equal(known[names], data[names])
    assert (known[["orders", "earned", "coupon", "margin"]] == 0).all(axis=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "both or neither; name one of the two"),
        ({"campaign": "wake", "channel": "sms"}, "both or neither; name one of the two"),
        ({"campaign": "x"}, "campaign is 'x'; it must be one of 'wake', 'late'"),
        ({"channel": "x"}, "channel is 'x'; it must be one of .*'sms'"),
        ({"campaign": "wake", "window": 0}, "window is 0; it must be >= 1"),
        ({"campaign": "wake", "window": 1.5}, "window is 1.5; it must be a whole number"),
        ({"campaign": "wake", "window": "60"}, "window is '60'; it must be a number"),
        (
            {"campaign": "late"},
            "no contact with a customer who had paid for an order has 60 days behind it; pass a",
        ),
    ],
)
def test_experiments_that_there_are_not_are_refused(
    shop: tp.Shop, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        report.shop_experiment(shop, **{"window": WINDOW, **arguments})


def test_a_shop_without_campaigns_and_a_spoilt_one_are_refused() -> None:
    small = tp.simulate_shop(seed=1, n_customers=100, days=200)
    with pytest.raises(InputError, match="campaign is 'wake', the shop has none; name a channel"):
        report.shop_experiment(small, 30, campaign="wake")
    assert len(report.shop_experiment(small, 30, channel="parcel")) > 10
    spoilt = small.twin(dirt=ShopDirt())
    with pytest.raises(InputError, match="log of the shop is spoilt; simulate it without dirt="):
        report.shop_experiment(spoilt, 30, channel="parcel")


# --- the truth ----------------------------------------------------------------------------------


def test_the_effect_is_the_mean_difference_of_both_worlds(
    shop: tp.Shop, data: pd.DataFrame
) -> None:
    effect = report.shop_effect(shop, data)
    truth = shop.truth.contacts[shop.truth.contacts["contact_id"].isin(data["contact_id"])]
    assert len(truth) == len(data)
    assert effect.index.tolist() == ["orders", "margin"]
    for name, value in effect.items():
        gains = truth[f"{name}_contacted"] - truth[f"{name}_held_out"]
        assert value == pytest.approx(gains.mean())
    assert effect["orders"] > 0
    half = report.shop_effect(shop, data[data["silence"] < 90])
    assert half["orders"] != effect["orders"]


def test_other_windows_have_no_truth(shop: tp.Shop, data: pd.DataFrame) -> None:
    other = report.shop_experiment(shop, 30, campaign="wake")
    with pytest.raises(InputError, match="knows both outcomes in 60 days, data counts 30 days"):
        report.shop_effect(shop, other)
    with pytest.raises(InputError, match="knows both outcomes in 60 days, data counts 30 days"):
        report.shop_claims(shop, other)
    blind = replace(shop, call={**shop.call, "outcome_days": None})
    with pytest.raises(InputError, match=r"no second outcome of contacts.*with outcome_days=60"):
        report.shop_effect(blind, data)


# --- what others would claim --------------------------------------------------------------------


def mean_interval(values: pd.Series) -> tuple[float, float, float]:
    """Return a mean with its 95 % interval by Student's t."""
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=values.sem())
    return float(values.mean()), float(low), float(high)


def welch(treated: pd.Series, control: pd.Series) -> tuple[float, float, float]:
    """Return a difference of means with its 95 % interval by Welch's t."""
    bounds = stats.ttest_ind(treated, control, equal_var=False).confidence_interval(0.95)
    return float(treated.mean() - control.mean()), float(bounds.low), float(bounds.high)


def test_every_claim_is_recomputed_from_the_log(
    shop: tp.Shop, data: pd.DataFrame, claims: pd.DataFrame
) -> None:
    sent, held = data[data["arm"] == "contacted"], data[data["arm"] == "held out"]
    paid = shop.orders[shop.orders["status"] == "paid"]
    credited = []
    for row in sent.itertuples():
        own = paid[(paid["customer_id"] == row.customer_id) & (paid["time"] > row.time)]
        own = own[own["time"] <= row.time + WINDOW * DAY]
        used = (own["coupon_contact_id"] == row.contact_id).fillna(False)
        credited.append(int(((own["source"] == "sms") | used).sum()))
    assert 0 < sum(credited) < sent["orders"].sum()
    expected = {
        "experiment": welch(sent["orders"], held["orders"]),
        "before and after": mean_interval(sent["orders"] - sent["orders_last_window"]),
        "last click or coupon": mean_interval(pd.Series(credited)),
        "openers only": welch(sent.loc[sent["opened"], "orders"], held["orders"]),
    }
    found = claims.set_index("claim")
    assert found.index.tolist() == [
        "experiment", "experiment with covariates", "before and after", "last click or coupon",
        "openers only",
    ]  # fmt: skip
    for name, figures in expected.items():
        np.testing.assert_allclose(found.loc[name], figures, rtol=1e-6)


def test_clicks_count_in_the_window_alone(shop: tp.Shop, data: pd.DataFrame) -> None:
    everything = replace(shop, orders=shop.orders.assign(source="sms"))
    found = report.shop_claims(everything, data).set_index("claim")
    sent = data.loc[data["arm"] == "contacted", "orders"]
    np.testing.assert_allclose(found.loc["last click or coupon"], mean_interval(sent), rtol=1e-6)


def test_the_claim_with_covariates_is_that_of_the_interacted_regression(
    data: pd.DataFrame, claims: pd.DataFrame
) -> None:
    names = pd.get_dummies(data["on_discount"], dtype=float)[["never", "sometimes"]]
    names = names.join(data[["silence", "age", "orders_before"]])
    names = (names - names.mean()).assign(
        orders=data["orders"], sent=(data["arm"] == "contacted").astype(float)
    )
    within = "never + sometimes + silence + age + orders_before"
    fit = smf.ols(f"orders ~ sent * ({within})", names).fit(cov_type="HC2")
    row = claims.set_index("claim").loc["experiment with covariates"]
    assert row["effect"] == pytest.approx(fit.params["sent"])
    half = (row["ci_high"] - row["ci_low"]) / 2
    # That the means of covariates are estimated adds little to the regression's own errors.
    assert half == pytest.approx(1.96 * fit.bse["sent"], rel=0.05)
    plain = claims.set_index("claim").loc["experiment"]
    assert half < (plain["ci_high"] - plain["ci_low"]) / 2


def test_claims_carry_what_their_figure_needs(
    shop: tp.Shop, data: pd.DataFrame, claims: pd.DataFrame
) -> None:
    assert claims.attrs == {
        "truth": report.shop_effect(shop, data)["orders"],
        "unit": "orders per contacted customer",
        "n": len(data),
    }
    drawn = charts.campaign_claims_data(claims)
    assert drawn["claim"].tolist() == claims["claim"].tolist()
    assert drawn.attrs["truth"] == pytest.approx(claims.attrs["truth"], rel=1e-5)


def test_where_nobody_was_held_out_there_is_no_experiment(shop: tp.Shop) -> None:
    data = report.shop_experiment(shop, WINDOW, channel="page")
    assert set(data["arm"]) == {"contacted"}
    with pytest.raises(InputError, match="no row of arm is the control 'held out'"):
        report.shop_claims(shop, data)


def test_on_the_bundled_shop_only_the_experiment_is_right() -> None:
    shop = tp.load_shop()
    data = report.shop_experiment(shop, 90, campaign="win back")
    claims = report.shop_claims(shop, data)
    truth = claims.attrs["truth"]
    holds = (claims["ci_low"] < truth) & (truth < claims["ci_high"])
    assert claims.loc[holds, "claim"].tolist() == ["experiment", "experiment with covariates"]
    assert (claims.loc[~holds, "ci_low"] > truth).all()


@pytest.mark.slow
def test_experiments_hold_the_truth_as_often_as_they_say(shop: tp.Shop, data: pd.DataFrame) -> None:
    # Lots are drawn anew among the same customers, whose outcomes in both worlds are known.
    truth = shop.truth.contacts.set_index("contact_id").loc[data["contact_id"]]
    both = truth[["orders_held_out", "orders_contacted"]].to_numpy()
    generator = np.random.default_rng(0)
    n = 200
    held: dict[str, int] = {}
    for _ in range(n):
        sent = generator.random(len(data)) < 0.5
        again = data.assign(
            arm=np.where(sent, "contacted", "held out"), orders=both[np.arange(len(both)), sent * 1]
        )
        again.attrs = data.attrs
        claims = report.shop_claims(shop, again)
        inside = claims["ci_low"].lt(claims.attrs["truth"])
        inside &= claims["ci_high"].gt(claims.attrs["truth"])
        for claim, holds in zip(claims["claim"], inside, strict=True):
            held[claim] = held.get(claim, 0) + int(holds)
    error = np.sqrt(0.95 * 0.05 / n)
    for name in ("experiment", "experiment with covariates"):
        assert abs(held[name] / n - 0.95) < 3 * error
    # Which customers were drawn does not make up for the ones who were asleep before.
    assert held["before and after"] / n < 0.5
