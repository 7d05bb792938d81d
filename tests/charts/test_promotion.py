"""Promotion dependence and what coupons did: figures, their data and their sentences."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from tests.charts.campaign_samples import (
    HOSTILE,
    NAN,
    SAFE,
    check_plain,
    named,
    refuse,
    title_of,
)
from touchpoint_lib import InputError
from touchpoint_lib.charts._style import ACCENT
from touchpoint_lib.charts.promotion import (
    promotion_effects,
    promotion_effects_data,
    promotion_effects_verdict,
    promotion_shares,
    promotion_shares_data,
    promotion_shares_verdict,
)
from touchpoint_lib.touchpoints.promotion import promotion_dependence, promotion_effect

UNTIL = "2025-05-31"
QUANTITIES = ["orders", "margin", "discount", "profit"]


@pytest.fixture(scope="module")
def table(paid):
    return promotion_dependence(paid, until=UNTIL)


@pytest.fixture(scope="module")
def spent(paid):
    early = paid[paid["time"] <= pd.Timestamp("2025-06-01")]
    return early.groupby("customer_id")["amount"].sum()


@pytest.fixture(scope="module")
def found(shop, paid, table):
    won = shop.contacts[shop.contacts["campaign"] == "win back"]
    rng = np.random.default_rng(0)
    stage = pd.Series(rng.choice(["drowsy", "awake", "odd"], len(won)), won.index)
    return promotion_effect(won, paid, table["promotion_driven"], window=21, stage=stage)


def customers(hits, trials, **columns):
    """Return a table as of `promotion_dependence`, of a row a customer."""
    hits, trials = np.array(hits), np.array(trials)
    share = hits / trials
    frame = pd.DataFrame(
        {
            "orders": trials,
            "discounted": hits,
            "share_shrunk": share,
            "probability": share,
            "promotion_driven": share >= 0.5,
        }
        | columns
    )
    frame.attrs = {"promotion": 0.6, "level": 0.95, "until": "2025-05-31 23:59:59"}
    return frame


def test_the_shares_are_plain_stable_and_name_their_source(table, spent):
    data = promotion_shares_data(table, spent)
    figure, again = (promotion_shares(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, len(table))


def test_the_classes_count_every_customer_once(table, spent):
    data = promotion_shares_data(table, spent)
    assert data["customers"].sum() == data.attrs["n"] == len(table)
    for one in data.itertuples():
        share = table["share_shrunk"]
        mine = table[(share >= one.low) & (share < one.high)]
        assert one.customers == len(mine)
        assert one.driven == mine["promotion_driven"].sum()
    driven = table[table["promotion_driven"]]
    expected = {
        "customers": len(driven) / len(table),
        "orders": driven["orders"].sum() / table["orders"].sum(),
        "discounted": driven["discounted"].sum() / table["discounted"].sum(),
        "money": spent[driven.index].sum() / spent[table.index].sum(),
    }
    assert data.attrs["shares"] == pytest.approx(expected, rel=1e-5)
    assert list(promotion_shares_data(table).attrs["shares"]) == list(expected)[:-1]


def test_the_flag_promises_the_rates_of_its_probabilities(table):
    about = promotion_shares_data(table).attrs
    probability, flagged = table["probability"], table["promotion_driven"]
    assert about["expected"] == pytest.approx(probability.sum(), rel=1e-5)
    assert about["error_rate"] == pytest.approx((1 - probability[flagged]).mean(), rel=1e-5)
    missed = probability[~flagged].sum() / probability.sum()
    assert about["omission_rate"] == pytest.approx(missed, rel=1e-5)
    assert about["error_rate_low"] < about["error_rate"] < about["error_rate_high"]


def test_shares_on_an_edge_belong_to_the_class_above_whatever_the_rounding():
    shares = [0.0, 0.1 + 0.2, 0.3 - 1e-12, 0.7, 1.0]
    data = promotion_shares_data(customers([0, 1, 1, 2, 4], [4] * 5, share_shrunk=shares))
    assert data.loc[data["customers"] > 0, ["low", "customers"]].to_numpy().tolist() == [
        [0.0, 1],
        [0.3, 2],
        [0.7, 1],
        [0.95, 1],
    ]


def test_the_bars_are_the_counts_and_the_shares(table, spent):
    data = promotion_shares_data(table, spent)
    figure = promotion_shares(data, "x")
    [driven], [others] = named(figure, "promotion-driven"), named(figure, "others")
    assert list(driven.y) == data["driven"].tolist()
    assert np.add(driven.y, others.y).tolist() == data["customers"].tolist()
    np.testing.assert_allclose(driven.x, (data["low"] + data["high"]) / 2)
    assert driven.marker.color == ACCENT
    assert figure.layout.barmode == "stack"
    [shares] = named(figure, "share")
    assert list(shares.x) == [*data.attrs["shares"].values()]
    assert list(shares.y) == ["customers", "orders", "orders on discount", "money"]
    assert figure.layout.shapes[0].x0 == 0.6
    assert max(shares.x) < figure.layout.xaxis2.range[1]


def test_the_sentence_tells_shares_and_what_the_flag_misses():
    table = customers([0] * 6 + [2, 8], [2] * 6 + [4, 8])
    money = pd.Series([10.0] * 6 + [20.0, 20.0])
    data = promotion_shares_data(table, money)
    assert promotion_shares_verdict(data) == (
        "2 of 8 customers (25.0%) are flagged as promotion-driven by their orders up to "
        "2025-05-31 (more likely than not 60% or more of them are on discount), and make 50.0% of "
        "the orders, 100.0% of the orders on discount and 40.0% of the money. By the probabilities "
        "25% (95%: 0% to 74%) of the flagged are not, and 0% (95%: 0% to 0%) of the 2 expected go "
        "unflagged. Who was offered nothing else looks the same: only a holdout tells what coupons "
        "do to them."
    )
    assert title_of(promotion_shares(data, "x")) == (
        "2 of 8 customers are flagged as promotion-driven (60% or more on discount)"
    )


def test_where_nobody_is_flagged_there_is_nothing_to_share():
    data = promotion_shares_data(customers([0, 0], [2, 3]))
    assert promotion_shares_verdict(data) == (
        "None of 2 customers is flagged; 0 customers are expected to buy 60% or more on discount."
    )
    figure = promotion_shares(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    # Nobody has an order on discount: of those there is no share.
    assert list(named(figure, "share")[0].y) == ["customers", "orders"]


def test_bad_tables_and_money_are_refused(table, spent):
    for bad in (spent, pd.DataFrame({"orders": [1]})):
        with pytest.raises(InputError, match="table is no result of promotion_dependence"):
            promotion_shares_data(bad)
    less = table.drop(columns="probability")
    less.attrs = table.attrs
    with pytest.raises(InputError, match="'probability'"):
        promotion_shares_data(less)
    other = table.assign(promotion_driven=False)
    other.attrs = table.attrs
    with pytest.raises(InputError, match=r"is not where probability is at least 0\.5; pass what"):
        promotion_shares_data(other)
    with pytest.raises(InputError, match="money is no Series with one number a customer"):
        promotion_shares_data(table, spent.to_frame())
    with pytest.raises(InputError, match="money is no Series with one number a customer"):
        promotion_shares_data(table, pd.concat([spent, spent]))
    with pytest.raises(InputError, match=r"money has no customer 1 \(1 such customers\)"):
        promotion_shares_data(table, spent.drop(1))
    with pytest.raises(InputError, match="money"):
        promotion_shares_data(table, -spent)


def effect_rows(by, segment, effects, half=10.0):
    """Return the rows of a group: an effect for each quantity, None where it is not known."""
    return [
        {
            "segment_by": by,
            "segment": segment,
            "quantity": quantity,
            "effect": NAN if effect is None else effect,
            "ci_low": NAN if effect is None or half is None else effect - half,
            "ci_high": NAN if effect is None or half is None else effect + half,
            "n_contacted": 500,
            "n_held_out": 400,
        }
        for quantity, effect in zip(QUANTITIES, effects, strict=True)
    ]


def made(*parts, **about):
    groups = [
        effect_rows("", "all", (80.0, 900.0, 300.0, 550.0)),
        effect_rows("group", "promotion-driven", (150.0, 1500.0, 400.0, 1050.0)),
        effect_rows("group", "others", (50.0, 300.0, 250.0, 5.0)),
        *parts,
    ]
    data = pd.DataFrame([one for part in groups for one in part])
    data.attrs = {
        "verdict": "confirmed",
        "difference": 100.0,
        "difference_low": 40.0,
        "difference_high": 160.0,
        "before_p": 0.6,
        "window": 21.0,
        "level": 0.95,
        "left_out": {},
        "n": 900,
    } | about
    return data


def test_the_effects_are_plain_stable_and_name_their_source(found):
    data = promotion_effects_data(found)
    figure, again = (promotion_effects(data, HOSTILE) for _ in range(2))
    whole = found.effects[found.effects["by"] == ""].iloc[0]
    check_plain(figure, again, SAFE, whole["n_contacted"] + whole["n_held_out"])


def test_the_effects_are_those_of_1000_contacts(found):
    data = promotion_effects_data(found)
    keys = ["segment_by", "segment"]
    assert data[data["quantity"] == "orders"][keys].to_numpy().tolist() == [
        ["", "all"],
        ["group", "promotion-driven"],
        ["group", "others"],
        ["stage", "awake"],
        ["stage", "drowsy"],
        ["stage", "odd"],
    ]
    outcomes = {
        "orders": "orders",
        "margin": "margin_before_discount",
        "discount": "discount_given",
    }
    effects = found.effects.set_index(["by", "segment", "outcome"])
    money = found.money.set_index(["by", "segment"])
    for one in data.itertuples():
        numbers = [one.effect, one.ci_low, one.ci_high]
        place = (one.segment_by, one.segment)
        if one.quantity == "profit":
            source = money.loc[place, ["net_profit", "net_profit_low", "net_profit_high"]]
        else:
            row = effects.loc[(*place, outcomes[one.quantity])]
            source = 1000 * row[["effect", "ci_low", "ci_high"]].astype(float)
            assert (one.n_contacted, one.n_held_out) == (row["n_contacted"], row["n_held_out"])
        np.testing.assert_allclose(numbers, source.astype(float), rtol=1e-5)
        assert numbers == [float(f"{number:.6g}") for number in numbers]
    wide = data.pivot_table(index=keys, columns="quantity", values="effect")
    spent = money.loc[wide.index, "contact_cost"]
    np.testing.assert_allclose(
        wide["margin"] - wide["discount"] - spent, wide["profit"], rtol=1e-3, atol=0.1
    )
    row = found.differences.loc["orders"]
    assert data.attrs["difference"] == pytest.approx(1000 * row["difference"], rel=1e-5)
    assert data.attrs["difference_low"] == pytest.approx(1000 * row["ci_low"], rel=1e-5)
    assert data.attrs["verdict"] == found.verdict


def test_each_panel_has_its_quantity(found):
    data = promotion_effects_data(found)
    figure = promotion_effects(data, "x")
    panels = named(figure, "effect")
    assert len(panels) == 4
    for quantity, trace in zip(QUANTITIES, panels, strict=True):
        mine = data[data["quantity"] == quantity]
        assert list(trace.x) == mine["effect"].tolist()
        inside = mine["ci_low"] >= figure.layout["x" + trace.xaxis.replace("x", "axis")].range[0]
        low = np.subtract(trace.x, trace.error_x.arrayminus)[inside]
        np.testing.assert_allclose(low, mine.loc[inside, "ci_low"], atol=1e-6)
        assert trace.marker.color[0] == ACCENT
    heads = [note.text for note in figure.layout.annotations[:4]]
    assert heads == [
        "<b>Added orders</b>",
        "<b>Added margin before discounts</b>",
        "<b>Discount given</b>",
        "<b>Profit</b>",
    ]
    assert "900 contacted" not in panels[0].customdata[0]
    assert " contacted, " in panels[0].customdata[0]


def test_the_sentence_confirms_and_tells_profit_by_group_and_stage():
    data = made(
        effect_rows("stage", "awake", (20.0, 100.0, 300.0, -250.0)),
        effect_rows("stage", "drowsy", (90.0, 900.0, 300.0, 5.0)),
        effect_rows("stage", "asleep", (0.0, 0.0, 0.0, -50.0), half=None),
        effect_rows("stage", "odd", (None, None, None, None)),
    )
    assert promotion_effects_verdict(data) == (
        "Confirmed: promotion-driven customers order more for coupons than others; in 21 days "
        "1,000 contacts of campaigns with coupons add 150 orders of theirs and 50 of others, a "
        "difference of 100 (95%: 40 to 160). Profit of 1,000 contacts is 1,050 (95%: 1,040 to "
        "1,060) with the promotion-driven, 5.0 (95%: -5.0 to 15.0; not clear of 0) with others, "
        "-250 (95%: -260 to -240) in the normal cycle (awake) and not clear of 0 at 3 other stages."
    )
    assert title_of(promotion_effects(data, "x")) == (
        "Confirmed: promotion-driven customers order more for coupons than others: +100 (95%: +40 "
        "to +160) orders of 1,000 contacts. Bars are 95% intervals"
    )
    labels = named(promotion_effects(data, "x"), "label")
    assert [label.text[-1].strip() for label in labels] == ["unknown"] * 4
    json.loads(promotion_effects(data, "x").to_json(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("verdict", "bounds", "start"),
    [
        (
            "refuted",
            (-160.0, -40.0),
            "Refuted: promotion-driven customers order less for coupons than others;",
        ),
        (
            "not known",
            (-40.0, 160.0),
            "Not known whether promotion-driven customers order more for coupons than others;",
        ),
    ],
)
def test_the_sentence_never_says_more_than_the_interval(verdict, bounds, start):
    low, high = bounds
    data = made(
        verdict=verdict, difference=(low + high) / 2, difference_low=low, difference_high=high
    )
    told = promotion_effects_verdict(data)
    assert told.startswith(start)
    assert f"(95%: {low:.0f} to {high:.0f})" in told
    assert title_of(promotion_effects(data, "x")).startswith(start[:-1])


def test_the_sentence_warns_where_no_lots_decided_and_names_what_is_left_out():
    left_out = {"sms: spring": "no coupons", "email": "less than two", "chat": "no coupons"}
    data = made(before_p=1e-6, left_out=left_out)
    says = promotion_effects_verdict(data)
    start = (
        "Not to be trusted: contacted and held-out customers differed before the contacts "
        "(p < .001), so no lots decided. "
    )
    assert says.startswith(f"{start}In 21 days 1,000 contacts of campaigns with coupons add 150 ")
    assert says.endswith("; left out: sms: spring and chat (no coupons) and email (less than two).")
    assert says.count(". ") == 2
    assert "Confirmed" not in says
    assert title_of(promotion_effects(data, "x")) == (
        f"{start.replace('<', '&lt;')}Bars are 95% intervals"
    )
    assert "differed before" not in promotion_effects_verdict(made(before_p=NAN))


def test_what_is_unknown_is_no_number():
    data = made(
        verdict="not known",
        **dict.fromkeys(["difference", "difference_low", "difference_high"], NAN),
    )
    data.loc[(data["segment"] == "promotion-driven"), ["effect", "ci_low", "ci_high"]] = NAN
    says = promotion_effects_verdict(data)
    assert "add an unknown number of orders of theirs and 50.0 of others. Profit" in says
    assert title_of(promotion_effects(data, "x")) == (
        "Not known whether promotion-driven customers order more for coupons than others. Bars "
        "are 95% intervals"
    )
    assert "nan" not in says


def test_what_was_left_out_comes_with_its_reason(shop, paid, table):
    late = shop.contacts[shop.contacts["time"] > pd.Timestamp("2025-06-01")]
    data = promotion_effects_data(
        promotion_effect(late, paid, table["promotion_driven"], window=21)
    )
    left_out = data.attrs["left_out"]
    assert left_out
    assert all(reason for reason in left_out.values())
    assert set(data["segment_by"]) == {"", "group"}
    assert "the normal cycle" not in promotion_effects_verdict(data)


def test_a_stage_that_is_clear_of_0_is_named():
    data = made(
        effect_rows("stage", "drowsy", (90.0, 900.0, 300.0, -400.0)),
        effect_rows("stage", "awake", (None, None, None, None)),
        effect_rows("stage", "asleep", (0.0, 0.0, 0.0, -50.0), half=None),
    )
    says = promotion_effects_verdict(data)
    assert says.endswith(
        ", unknown in the normal cycle (awake), -400 (95%: -410 to -390) with drowsy ones and not "
        "clear of 0 at 1 other stage."
    )
    bare = made()
    bare.loc[bare["segment"] == "others", ["ci_low", "ci_high"]] = NAN
    assert promotion_effects_verdict(bare).endswith(" and 5.00 (no interval) with others.")


def test_markup_in_stages_stays_text(found):
    effects, money = found.effects.copy(), found.money.copy()
    effects["segment"] = effects["segment"].replace("odd", HOSTILE)
    money["segment"] = money["segment"].replace("odd", HOSTILE)
    changed = dataclasses.replace(found, effects=effects, money=money)
    figure = promotion_effects(promotion_effects_data(changed), "x")
    assert "<script" not in str(figure.to_plotly_json())
    assert SAFE in figure.layout.yaxis.ticktext


def test_bad_effects_are_refused(found):
    with pytest.raises(InputError, match="found is a DataFrame; pass the result of promotion_eff"):
        promotion_effects_data(found.effects)
