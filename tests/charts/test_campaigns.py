"""Effects of a campaign by arm and segment: the figure, its data and its sentence."""

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
    experiment,
    named,
    refuse,
    title_of,
)
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._forest import amounts, p_text, significant
from touchpoint_lib.charts._style import ACCENT, GREYS


@pytest.fixture(scope="module")
def found():
    return evaluated()


def row(arm="sms", by="", segment="all", effect=2.0, half=0.5, **more):
    return {
        "arm": arm,
        "segment_by": by,
        "segment": segment,
        "n_treated": 100,
        "n_control": 120,
        "mean_treated": 10.0 + effect,
        "mean_control": 10.0,
        "effect": effect,
        "ci_low": effect - half,
        "ci_high": effect + half,
        "relative_lift": effect / 10,
        "relative_low": (effect - half) / 10,
        "relative_high": (effect + half) / 10,
        "p_value": 0.01,
        "p_adjusted": 0.02,
        "detectable_effect": 0.7,
    } | more


def made(*rows, tests=(), **about):
    frame = pd.DataFrame(list(rows))
    frame.attrs = {
        "outcome": "spend",
        "unit": "yuan",
        "control": "holdout",
        "method": "difference",
        "randomised": True,
        "level": 0.95,
        "n": 220,
        "n_compared": 3,
        "tests": [
            dict(zip(("arm", "segment_by", "p_adjusted"), one, strict=True)) for one in tests
        ],
    } | about
    return frame


def test_the_figure_is_plain_stable_and_names_its_source(found):
    data = charts.campaign_effects_data(found, "spend")
    figure, again = (charts.campaign_effects(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, found.n_rows)
    assert f"<b>{SAFE[:4]}" in figure.layout.annotations[0].text


def test_a_level_between_whole_percent_is_told_as_it_is():
    data = charts.campaign_effects_data(evaluated(level=0.995), "spend")
    assert "(99.5%: " in charts.campaign_effects_verdict(data)
    assert title_of(charts.campaign_effects(data, "x")).endswith("Bars are 99.5% intervals")


def test_the_data_are_those_of_the_evaluation(found):
    data = charts.campaign_effects_data(found, "spend")
    table = found.to_frame()
    table = table[table["outcome"] == "spend"].reset_index(drop=True)
    assert data["segment"].tolist() == ["all", "north", "south"] * 2
    assert data["arm"].tolist() == [HOSTILE] * 3 + ["sms"] * 3
    for name in ("effect", "ci_low", "ci_high", "relative_lift", "p_adjusted", "mean_control"):
        np.testing.assert_allclose(data[name], table[name], rtol=1e-5)
    assert data["n_treated"].tolist() == table["n_treated"].tolist()
    assert data.attrs["n"] == found.n_rows
    assert data.attrs["n_compared"] == 4
    assert data.attrs["tests"] == [
        {"arm": one.arm, "segment_by": HOSTILE, "p_adjusted": pytest.approx(one.p_adjusted)}
        for one in found.interactions.itertuples()
        if one.outcome == "spend"
    ]


def test_one_arm_counts_its_rows_and_those_of_the_control(found):
    data = charts.campaign_effects_data(found, "spend", "sms", unit="yuan")
    assert set(data["arm"]) == {"sms"}
    assert data.attrs["n"] == found.arms["sms"] + found.arms["holdout"]
    assert [one["arm"] for one in data.attrs["tests"]] == ["sms"]
    says = charts.campaign_effects_verdict(data)
    first = data.iloc[0]
    assert says.startswith(f"sms raised spend by {first['effect']:.2f} yuan (95%: ")


def test_each_arm_has_a_panel_with_all_customers_in_the_accent_colour(found):
    data = charts.campaign_effects_data(found, "spend")
    figure = charts.campaign_effects(data, "x")
    effects, labels = named(figure, "effect"), named(figure, "label")
    assert len(effects) == len(labels) == 2
    for arm, trace in zip([HOSTILE, "sms"], effects, strict=True):
        mine = data[data["arm"] == arm]
        assert list(trace.x) == mine["effect"].tolist()
        # The group of segments has a line of its own.
        assert list(trace.y) == [0, 2, 3]
        assert list(trace.marker.color) == [ACCENT, GREYS[0], GREYS[0]]
        low = np.subtract(trace.x, trace.error_x.arrayminus)
        np.testing.assert_allclose(low, mine["ci_low"], atol=1e-6)
    lines = [shape for shape in figure.layout.shapes if shape.x0 == shape.x1 == 0]
    assert [line.xref for line in lines] == ["x", "x2"]
    assert list(figure.layout.yaxis.ticktext) == [
        "All customers",
        f"<b>{SAFE}</b>",
        "north",
        "south",
    ]


def test_shares_are_told_and_drawn_in_percentage_points(found):
    data = charts.campaign_effects_data(found, "bought", "sms", unit="%")
    first = data.iloc[0]
    says = charts.campaign_effects_verdict(data)
    assert f"by {100 * first['effect']:.2f} percentage points" in says
    assert f"from {100 * first['mean_control']:.1f}% to {100 * first['mean_treated']:.1f}%" in says
    figure = charts.campaign_effects(data, "x")
    np.testing.assert_allclose(named(figure, "effect")[0].x, 100 * data["effect"], rtol=1e-5)
    assert figure.layout.xaxis.title.text == "Effect on bought, percentage points"


def test_an_effect_is_told_with_interval_lift_and_side():
    says = charts.campaign_effects_verdict(made(row()))
    assert says == (
        "sms raised spend by 2.00 yuan (95%: 1.50 to 2.50), from 10.0 to 12.0, a relative lift of "
        "20% (15% to 25%)."
    )
    assert title_of(charts.campaign_effects(made(row()), "x")) == (
        "Effect on spend against holdout: sms +2.00 yuan. Bars are 95% intervals"
    )


@pytest.mark.parametrize(
    ("given", "end"),
    [
        (
            {"effect": -2.0},
            (
                "lowered spend by 2.00 yuan (95%: 1.50 to 2.50), from 10.0 to 8.0, a relative "
                "fall of 20% (15% to 25%)."
            ),
        ),
        (
            {"effect": 0.2},
            (
                "did not clearly change spend: +0.200 yuan (95%: -0.300 to +0.700); an effect of "
                "0.700 yuan would have been found in 80% of such experiments."
            ),
        ),
        (
            {"effect": 0.2, "detectable_effect": NAN},
            "did not clearly change spend: +0.200 yuan (95%: -0.300 to +0.700).",
        ),
        (
            {"p_adjusted": 0.08},
            (
                "raised spend by 2.00 yuan (95%: 1.50 to 2.50), from 10.0 to 12.0, a relative "
                "lift of 20% (15% to 25%), which is not clear among 3 comparisons (adjusted "
                "p .080)."
            ),
        ),
        (
            {"ci_low": NAN, "ci_high": NAN, "p_adjusted": NAN},
            "changed spend by +2.00 yuan (no interval: the outcome does not vary).",
        ),
    ],
)
def test_an_effect_is_told_by_what_is_clear_of_it(given, end):
    data = made(row(**given))
    assert charts.campaign_effects_verdict(data) == f"sms {end}"
    json.loads(charts.campaign_effects(data, "x").to_json(), parse_constant=refuse)


def test_all_arms_are_told_with_one_number_of_decimals():
    rates = [
        row("mail", effect=0.00679, half=0.0018, mean_treated=0.01252),
        row("sms", effect=0.00312, half=0.0015, mean_treated=0.00885),
        row("call", effect=0.0002, half=0.0015, mean_treated=0.00593, detectable_effect=0.00214),
    ]
    rates = [one | {"mean_control": 0.00573, "relative_lift": NAN} for one in rates]
    assert charts.campaign_effects_verdict(made(*rates, outcome="bought", unit="%")) == (
        "mail raised bought by 0.679 percentage points (95%: 0.499 to 0.859), from 0.57% to 1.25%. "
        "sms raised bought by 0.312 percentage points (95%: 0.162 to 0.462), from 0.57% to 0.89%. "
        "call did not clearly change bought: +0.020 percentage points (95%: -0.130 to +0.170); an "
        "effect of 0.214 percentage points would have been found in 80% of such experiments."
    )


def test_a_lift_without_bounds_is_told_without_them():
    bounds = {"relative_low": -np.inf, "relative_high": np.inf}
    says = charts.campaign_effects_verdict(made(row(**bounds)))
    assert says.endswith(", a relative lift of 20%.")
    without = charts.campaign_effects_verdict(made(row(relative_lift=NAN)))
    assert "lift" not in without


def test_segments_that_differ_are_told_apart_from_those_that_do_not():
    rows = [
        row(),
        row(by="city", segment="north", effect=1.0),
        row(by="city", segment="south", effect=3.0),
        row(by="city", segment="tiny", effect=NAN, ci_low=NAN, ci_high=NAN),
        row(by="age", segment="old"),
        row(by="age", segment="young"),
        row(by="one", segment="x"),
    ]
    data = made(*rows, tests=[("sms", "city", 0.003), ("sms", "age", 0.714), ("sms", "one", NAN)])
    assert charts.campaign_effects_verdict(data).endswith(
        "Segments of city differ clearly (p .003): from +1.00 yuan in north to +3.00 yuan in "
        "south. Segments of age (p .71) do not differ clearly. Segments of one cannot be compared."
    )
    figure = charts.campaign_effects(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert named(figure, "label")[0].text[3] == "\u2002unknown"
    assert len(named(figure, "effect")[0].x) == len(rows) - 1


def test_several_arms_share_the_sentence_on_segments_that_do_not_differ():
    rows = [row(arm, by, segment) for arm in "ab" for by, segment in (("", "all"), ("c", "x"))]
    says = charts.campaign_effects_verdict(made(*rows, tests=[("a", "c", 0.9), ("b", "c", 0.5)]))
    assert says.endswith("Segments of c (p .50) do not differ clearly.")
    says = charts.campaign_effects_verdict(made(*rows, tests=[("a", "c", 0.9), ("b", "c", 0.0001)]))
    assert "Segments of c differ clearly with b (p < .001)" in says
    assert "do not differ" not in says


def test_a_change_since_before_is_no_effect():
    data = experiment(("sms",))
    data["spend_before"] = data["spend"] - 2.0
    sent = data[data["arm"] == "sms"]
    found = tp.evaluate_campaign(
        sent, arm="arm", outcomes="spend", method="before_after", before="spend_before"
    )
    plain = charts.campaign_effects_data(found)
    # Every change is the same, but for rounding.
    assert plain["effect"].iloc[0] == pytest.approx(2.0)
    assert charts.campaign_effects_verdict(plain).endswith(
        "That is no effect: without a holdout nobody knows what the campaign added."
    )
    figure = charts.campaign_effects(plain, "x")
    assert title_of(figure).startswith("Change of spend since before, no effect: sms +2.0")
    assert figure.layout.xaxis.title.text.startswith("Change of spend")


@pytest.mark.parametrize(
    ("method", "needed"),
    [
        ("aipw", "the covariates tell all that decided who was contacted."),
        ("did", "both arms would have changed alike without the contact."),
    ],
)
def test_without_lots_the_assumption_is_told(method, needed):
    data = made(row(), method=method, randomised=False)
    says = charts.campaign_effects_verdict(data)
    assert says.endswith(f"Nobody drew lots: this holds only if {needed}")
    # Means of changes are not told as where the outcome came from.
    assert (", from 10.0 to 12.0" in says) == (method == "aipw")


def test_a_long_whisker_does_not_press_the_others_together():
    parts = [row(by="c", segment=str(number)) for number in range(5)]
    wide = row(by="c", segment="few", ci_low=-500.0, ci_high=500.0)
    figure = charts.campaign_effects(made(row(), *parts, wide), "x")
    low, high = figure.layout.xaxis.range
    assert -6 < low < 0 < high < 8
    assert figure.layout.xaxis.title.text.endswith("<br>Bars that end at the edge go on")
    trace = named(figure, "effect")[0]
    assert trace.x[-1] + trace.error_x.array[-1] == pytest.approx(high)
    assert "500" in trace.customdata[-1]
    assert "edge" not in charts.campaign_effects(made(row(), *parts), "x").layout.xaxis.title.text


@pytest.mark.parametrize("n_arms", [1, 2, 3, 4, 7])
def test_any_number_of_arms_has_a_panel_each(n_arms):
    rows = [
        row(f"{'long name ' * 6}{arm}", by, segment)
        for arm in range(n_arms)
        for by, segment in [("", "all"), *(("city", f"{'long ' * 10}{k}") for k in range(20))]
    ]
    figure = charts.campaign_effects(made(*rows), "x")
    heads = [one for one in figure.layout.annotations if one.text.startswith("<b>")]
    assert len(heads) == len(named(figure, "effect")) == n_arms
    # Cut in the middle: the ends tell names apart.
    assert [head.text[-5] for head in heads] == [str(arm) for arm in range(n_arms)]
    labels = figure.layout.yaxis.ticktext
    assert len(set(labels)) == 22
    assert max(map(len, labels)) <= 37
    assert figure.layout.height >= 22 * 25 * -(-n_arms // 3)


def test_numbers_have_three_digits_and_one_number_of_decimals():
    assert amounts([1234.5, -0.4]) == ["1,234", "0"]
    assert amounts([0.01234, 0.5], signed=True) == ["+0.012", "+0.500"]
    assert amounts([0.07659, 0.069953], "%") == ["7.66", "7.00"]
    assert amounts([1.23e-7, 0.0]) == ["0.000000123", "0.000000000"]
    assert amounts([-0.004, 12.0], signed=True) == ["0.0", "+12.0"]
    assert amounts([NAN, 2.0]) == ["nan", "2.00"]
    assert amounts([0.0]) == ["0"]
    assert [p_text(p) for p in (0.7142, 0.0312, 0.0009, 1.0)] == [
        "p .71",
        "p .031",
        "p < .001",
        "p 1.00",
    ]
    assert significant(pd.Series([1 / 3, 123456789.0])).tolist() == [0.333333, 123457000.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": None}, "there are the outcomes 'spend', 'bought' -> name one"),
        ({"outcome": "visits"}, "outcome is 'visits', there are 'spend', 'bought'"),
        ({"outcome": "spend", "arm": "mail"}, "arm is 'mail', the treated arms are"),
        ({"found": "table"}, "found is a str"),
    ],
)
def test_bad_input_is_refused(found, change, message):
    given = {"found": found} | change
    with pytest.raises(InputError) as caught:
        charts.campaign_effects_data(**given)
    assert message.split(" -> ")[0] in str(caught.value)
