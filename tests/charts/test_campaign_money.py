"""What a campaign earned and cost: the figure, its data and its sentence."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.charts.campaign_samples import (
    HOSTILE,
    NAN,
    SAFE,
    check_plain,
    evaluated,
    named,
    refuse,
    title_of,
)
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT


@pytest.fixture(scope="module")
def found():
    return evaluated()


def row(arm="sms", by="", segment="all", net=300.0, half=100.0, **more):
    return {
        "arm": arm,
        "segment_by": by,
        "segment": segment,
        "n_treated": 1000,
        "n_control": 1000,
        "effect": 1.5,
        "ci_low": 1.0,
        "ci_high": 2.0,
        "margin": net + 250.0,
        "contact_cost": 100.0,
        "discount_cost": 120.0,
        "fixed_cost": 30.0,
        "net_profit": net,
        "net_profit_low": net - half,
        "net_profit_high": net + half,
        "roi": net / 250,
        "roi_low": (net - half) / 250,
        "roi_high": (net + half) / 250,
        "break_even_effect": 0.4,
        "probability_of_profit": 0.984,
    } | more


def made(*rows, **about):
    frame = pd.DataFrame(list(rows))
    frame.attrs = {
        "outcome": "spend",
        "control": "holdout",
        "method": "difference",
        "randomised": True,
        "level": 0.95,
        "n": 2000,
    } | about
    return frame


def test_the_figure_is_plain_stable_and_names_its_source(found):
    data = charts.campaign_money_data(found)
    figure, again = (charts.campaign_money(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, found.n_rows)


def test_the_data_are_those_of_the_outcome_with_costs(found):
    data = charts.campaign_money_data(found)
    table = found.to_frame()
    table = table[table["outcome"] == "spend"].reset_index(drop=True)
    assert data.attrs["outcome"] == "spend"
    assert data["segment"].tolist() == ["all", "north", "south"] * 2
    for name in ("margin", "contact_cost", "net_profit_low", "roi", "break_even_effect"):
        np.testing.assert_allclose(data[name], table[name], rtol=1e-5)
    assert (data.loc[data["segment_by"] != "", "fixed_cost"] == 0).all()


def test_the_bars_lead_from_margin_to_net_profit(found):
    data = charts.campaign_money_data(found)
    figure = charts.campaign_money(data, "x")
    whole = data[data["segment_by"] == ""].to_dict("records")
    bars, nets = named(figure, "money"), named(figure, "net profit")
    assert len(bars) == len(nets) == 2
    for one, bar, net in zip(whole, bars, nets, strict=True):
        costs = [one[name] for name in ("contact_cost", "discount_cost", "fixed_cost")]
        assert bar.y[0] == bar.base[0] + one["margin"]
        np.testing.assert_allclose(bar.y[1:4], np.negative(costs))
        # Each bar begins where the one before it ends.
        ends = np.add(bar.base, bar.y)
        np.testing.assert_allclose(bar.base[1:4], ends[:3], rtol=1e-5)
        assert bar.base[4] == 0
        np.testing.assert_allclose([ends[3], bar.y[4]], one["net_profit"], rtol=1e-4)
        assert bar.marker.color[4] == ACCENT
        assert net.y[0] - net.error_y.arrayminus[0] == pytest.approx(one["net_profit_low"])
        low, high = figure.layout.yaxis.range
        assert low < min(0, *ends, one["net_profit_low"])
        assert high > max(0, *ends, one["net_profit_high"])
    assert [label.split("<br>")[0] for label in bars[0].x] == [
        "Margin",
        "Contact",
        "Discount",
        "Fixed",
        "Net",
    ]


def test_costs_that_nobody_had_have_no_bar():
    free = {"discount_cost": 0.0, "fixed_cost": 0.0, "margin": 400.0}
    figure = charts.campaign_money(made(row(**free)), "x")
    assert [label.split("<br>")[0] for label in named(figure, "money")[0].x] == [
        "Margin",
        "Contact",
        "Net",
    ]


def test_the_break_even_stands_beside_each_effect():
    data = made(
        row(),
        row(by="city", segment="north", break_even_effect=0.7),
        row(by="city", segment="south", break_even_effect=np.inf),
    )
    figure = charts.campaign_money(data, "x")
    marks = named(figure, "breaks even")[0]
    assert list(marks.x) == [0.4, 0.7]
    assert list(marks.y) == [0, 2]
    effects = named(figure, "effect")[0]
    assert list(effects.y) == [0, 2, 3]
    assert "net profit 300" in effects.customdata[0]
    assert "breaks even" not in effects.customdata[2]
    json.loads(figure.to_json(), parse_constant=refuse)


def test_money_is_told_with_interval_return_chance_and_break_even():
    assert charts.campaign_money_verdict(made(row())) == (
        "The campaign brought a net profit of 300 (95%: 200 to 400) after 100 for contacts, 120 "
        "for discounts and 30 fixed, +120% of the costs (+80% to +160%); probability of a profit "
        "98.4%. It breaks even at an effect of 0.400 a customer; the estimated one is 1.50 (95%: "
        "1.00 to 2.00)."
    )
    assert title_of(charts.campaign_money(made(row()), "x")) == (
        "Net profit from spend: sms +300. Bars are 95% intervals"
    )


def test_arms_are_named_and_told_with_one_number_of_decimals():
    small = {"contact_cost": 6.25, "discount_cost": 0.0, "fixed_cost": 0.0, "effect": 0.015}
    bounds = {"ci_low": 0.01, "ci_high": 0.02, "break_even_effect": 0.0123}
    roi = {"roi": 3.2, "roi_low": 1.6, "roi_high": 4.8}
    says = charts.campaign_money_verdict(
        made(row(), row("mail", net=20.0, half=10.0, **small, **bounds, **roi))
    )
    assert says.startswith("sms brought a net profit of 300 (95%: 200 to 400) after 100 for")
    assert says.endswith(
        "mail brought a net profit of 20 (95%: 10 to 30) after 6 for contacts, +320% of the costs "
        "(+160% to +480%); probability of a profit 98.4%. It breaks even at an effect of 0.012 a "
        "customer; the estimated one is 0.01 (95%: 0.01 to 0.02)."
    )


def test_what_is_not_known_is_not_told():
    free = dict.fromkeys(("contact_cost", "discount_cost", "fixed_cost"), 0.0)
    unknown = dict.fromkeys(("roi", "roi_low", "roi_high", "probability_of_profit"), NAN)
    bounds = dict.fromkeys(("net_profit_low", "net_profit_high", "ci_low", "ci_high"), NAN)
    data = made(row(**free, **unknown, **bounds, break_even_effect=np.inf))
    assert charts.campaign_money_verdict(data) == (
        "The campaign brought a net profit of 300. No effect would pay for the discount; the "
        "estimated one is 1.50."
    )
    figure = charts.campaign_money(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert not named(figure, "net profit")


@pytest.mark.parametrize(
    ("chance", "told"),
    [(0.99999, "more than 99.9%"), (1e-9, "less than 0.1%"), (0.5, "50.0%")],
)
def test_a_profit_is_never_certain(chance, told):
    says = charts.campaign_money_verdict(made(row(probability_of_profit=chance)))
    assert f"probability of a profit {told}." in says


def test_segments_that_clearly_earn_or_lose_are_named():
    parts = [
        row(by="city", segment="north"),
        row(by="city", segment="south", net=-300.0),
        row(by="city", segment="west", net=10.0),
        row(by="city", segment="tiny", **dict.fromkeys(("effect", "ci_low", "ci_high"), NAN))
        | dict.fromkeys(("net_profit", "net_profit_low", "net_profit_high"), NAN),
    ]
    data = made(row(net=50.0), *parts)
    assert charts.campaign_money_verdict(data).endswith(
        "Of 4 segments, before fixed costs, it clearly earns in city north and clearly loses in "
        "city south."
    )
    many = [row(by="city", segment=str(number)) for number in range(5)]
    assert charts.campaign_money_verdict(made(row(), *many)).endswith(
        "it clearly earns in 5 and clearly loses in none."
    )
    figure = charts.campaign_money(data, "x")
    assert title_of(figure).startswith("Net profit from spend: sms +50.0 (not clear of 0).")
    assert list(named(figure, "label")[0].text)[1:] == [
        "\u2002net 300",
        "\u2002net -300",
        "\u2002net 10.0",
        "\u2002unknown",
    ]


def test_large_amounts_are_short():
    figure = charts.campaign_money(made(row(net=12_345_678.0)), "x")
    assert named(figure, "money")[0].x[-1] == "Net<br>12.3m"
    figure = charts.campaign_money(made(row(net=-45_678.0)), "x")
    assert named(figure, "money")[0].x[-1] == "Net<br>-45.7k"


@pytest.mark.parametrize("n_arms", [1, 2, 3, 5])
def test_any_number_of_arms_has_its_bars_on_one_scale(n_arms):
    rows = [row(f"arm {number}", net=100.0 * number) for number in range(n_arms)]
    figure = charts.campaign_money(made(*rows), "x")
    assert len(named(figure, "money")) == len(named(figure, "effect")) == n_arms
    ranges = {axis.range for axis in figure.select_yaxes() if axis.tickformat == ","}
    assert len(ranges) == 1
    titles = [axis.title.text for axis in figure.select_xaxes() if axis.title.text]
    assert len(titles) == min(n_arms, 2)


def test_bad_input_is_refused(found):
    with pytest.raises(InputError, match="found is a DataFrame"):
        charts.campaign_money_data(found.table)
    with pytest.raises(InputError, match="found has no money"):
        charts.campaign_money_data(evaluated(costs=None))
    with pytest.raises(InputError, match="outcome is 'bought', there are 'spend'"):
        charts.campaign_money_data(found, "bought")
    cost = tp.CampaignCosts(margin=1.0, contact=0.1)
    both = evaluated(costs={"spend": cost, "bought": cost})
    with pytest.raises(InputError, match="there are the outcomes 'spend', 'bought'"):
        charts.campaign_money_data(both)
    assert charts.campaign_money_data(both, "bought").attrs["outcome"] == "bought"
