"""The Qini curve and the value of rules: the figures, their data and their sentences."""

from __future__ import annotations

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
from touchpoint_lib import InputError, charts
from touchpoint_lib.campaigns.uplift import evaluate_uplift
from touchpoint_lib.charts._style import ACCENT, BASELINE


def judged(n=4000, seed=0, slope=0.3, binary=True, **settings):
    """Return an evaluation of a score that ranks by the effect (or against it)."""
    rng = np.random.default_rng(seed)
    score, contacted = rng.random(n), rng.integers(0, 2, n)
    chance = 0.1 + abs(slope) * (score if slope > 0 else 1 - score) * contacted
    bought = rng.random(n) < chance
    money = bought * rng.gamma(2.0, 10.0, n)
    data = pd.DataFrame({"arm": contacted, "score": score, HOSTILE: bought if binary else money})
    settings = {"value": 30, "cost": 4, "resamples": 200} | settings
    return evaluate_uplift(data, "score", arm="arm", control=0, outcome=HOSTILE, **settings)


@pytest.fixture(scope="module")
def found():
    return judged()


def curve(value=0.05, half=0.02, coefficient="area", known=True):
    """Return a curve of three points with one coefficient."""
    frame = pd.DataFrame(
        {"share": [0.0, 0.5, 1.0], "qini": [0.0, 8.0, 10.0], "random": [0.0, 5.0, 10.0]}
    )
    frame.attrs = {
        "outcome": "visits",
        "treated": "sms",
        "control": "holdout",
        "n": 400,
        "n_treated": 200,
        "level": 0.95,
        "coefficients": [
            {
                "coefficient": coefficient,
                "value": value,
                "ci_low": value - half if known else NAN,
                "ci_high": value + half if known else NAN,
                "p_value": 0.012 if known else NAN,
                "normalisation": "area between the curve and the line",
            }
        ],
    }
    return frame


def rule(name, share, value, half=10.0, difference=NAN, apart=5.0):
    return {
        "rule": name,
        "share": share,
        "value_per_1000": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "difference": difference,
        "difference_low": difference - apart,
        "difference_high": difference + apart,
    }


def rules(*more, everybody=20.0, half=10.0):
    rows = [
        rule("nobody", 0.0, 0.0, NAN, -everybody, half),
        rule("everybody", 1.0, everybody, half, 0.0, NAN),
        *more,
    ]
    frame = pd.DataFrame(rows)
    frame.attrs = {
        "outcome": "visits",
        "treated": "sms",
        "control": "holdout",
        "value": 1.0,
        "cost": 0.1,
        "level": 0.95,
        "n": 400,
    }
    return frame


def test_both_figures_are_plain_stable_and_name_their_source(found):
    data = charts.uplift_curve_data(found)
    check_plain(*(charts.uplift_curve(data, HOSTILE) for _ in range(2)), SAFE, 4000)
    data = charts.policy_value_data(found)
    check_plain(*(charts.policy_value(data, HOSTILE) for _ in range(2)), SAFE, 4000)


def test_the_curve_is_thinned_and_keeps_its_ends(found):
    data = charts.uplift_curve_data(found)
    assert len(found.curve) == 4001
    assert 195 <= len(data) <= 201
    first, last = data.iloc[0], data.iloc[-1]
    assert first.tolist() == [0.0, 0.0, 0.0]
    assert last["share"] == 1.0
    assert last["qini"] == last["random"] == pytest.approx(found.curve["qini"].iloc[-1])
    # Every point is one of the curve.
    joined = pd.merge_asof(data, found.curve, on="share", direction="nearest", suffixes=("", "_"))
    np.testing.assert_allclose(joined["qini"], joined["qini_"], rtol=1e-5)
    assert data["share"].diff().max() < 0.006
    assert data.attrs["coefficients"][0]["value"] == pytest.approx(
        found.qini["value"].iloc[0], rel=1e-5
    )
    assert [one["coefficient"] for one in data.attrs["coefficients"]] == ["area", "normalised"]


def test_few_scores_keep_every_point():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"arm": rng.integers(0, 2, 600), "score": rng.integers(0, 3, 600)})
    data["bought"] = rng.random(600) < 0.3
    few = evaluate_uplift(data, "score", arm="arm", control=0, outcome="bought", resamples=100)
    assert len(charts.uplift_curve_data(few)) == len(few.curve) == 4


def test_the_curve_is_drawn_beside_the_straight_line_with_the_normalisation(found):
    data = charts.uplift_curve_data(found)
    figure = charts.uplift_curve(data, "x")
    score, line = named(figure, "by score")[0], named(figure, "without a score")[0]
    assert list(score.y) == data["qini"].tolist()
    assert list(line.y) == data["random"].tolist()
    assert (score.line.color, line.line.color) == (ACCENT, BASELINE)
    small = " ".join(one.text.replace("<br>", " ") for one in figure.layout.annotations)
    assert f"Normalised Qini coefficient {data.attrs['coefficients'][1]['value']:.3f}" in small
    assert "(as in scikit-uplift" in small
    assert title_of(figure).startswith("The score ranks customers better than chance: normalised")


def test_money_has_the_area_per_customer():
    data = charts.uplift_curve_data(judged(binary=False))
    assert [one["coefficient"] for one in data.attrs["coefficients"]] == ["area"]
    says = charts.uplift_curve_verdict(data)
    assert says.startswith("The score ranks customers better than chance: Qini area ")
    assert f"{HOSTILE} a customer (95%: " in says
    assert says.endswith("where 0 is chance.")


def test_a_score_against_the_effect_is_told():
    says = charts.uplift_curve_verdict(charts.uplift_curve_data(judged(slope=-0.3)))
    assert says.startswith("The score ranks customers worse than chance: normalised Qini")
    assert says.endswith("where 0 is chance and 1 the best ranking there is.")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {},
            (
                "The score ranks customers better than chance: Qini area 0.0500 visits a customer "
                "(95%: 0.0300 to 0.0700), p .012, where 0 is chance."
            ),
        ),
        (
            {"half": 0.06, "coefficient": "normalised"},
            (
                "As far as this experiment tells, the score ranks customers no better than chance: "
                "normalised Qini coefficient 0.050 (95%: -0.010 to 0.110), p .012, where 0 is "
                "chance and 1 the best ranking there is."
            ),
        ),
        (
            {"known": False},
            (
                "The score ranks nobody before another, or nothing varies: there is no interval of "
                "the Qini coefficient."
            ),
        ),
    ],
)
def test_the_ranking_is_told_with_its_interval(given, told):
    data = curve(**given)
    assert charts.uplift_curve_verdict(data) == told
    json.loads(charts.uplift_curve(data, "x").to_json(), parse_constant=refuse)


def test_a_coefficient_that_is_not_known_gives_way_to_the_area():
    data = curve()
    unknown = dict.fromkeys(("value", "ci_low", "ci_high", "p_value"), NAN)
    data.attrs["coefficients"].append({"coefficient": "normalised", "normalisation": "x"} | unknown)
    assert "Qini area 0.0500" in charts.uplift_curve_verdict(data)


def test_the_values_are_those_of_the_policies(found):
    data = charts.policy_value_data(found)
    assert data["rule"].tolist() == found.policy["rule"].tolist()
    for name in ("share", "value_per_1000", "ci_low", "difference_high"):
        np.testing.assert_allclose(data[name], found.policy[name], rtol=1e-5)
    assert data.attrs["n"] == 4000
    assert (data.attrs["value"], data.attrs["cost"]) == (30, 4)


def test_nobody_and_everybody_are_the_baselines(found):
    data = charts.policy_value_data(found)
    figure = charts.policy_value(data, "x")
    values = data.set_index("rule")["value_per_1000"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0, values["everybody"]]
    assert {shape.line.color for shape in figure.layout.shapes} == {BASELINE}
    trace = named(figure, "value")[0]
    assert list(trace.x) == values.tolist()
    assert list(trace.marker.color) == [BASELINE] * 2 + [ACCENT] * 4
    # Nobody has no interval.
    assert trace.error_x.array[0] == 0
    low = np.subtract(trace.x, trace.error_x.arrayminus)[1:]
    np.testing.assert_allclose(low, data["ci_low"][1:], atol=1e-3)
    assert list(figure.layout.yaxis.ticktext)[-1] == "score above 0.133"


@pytest.mark.parametrize(
    ("difference", "told", "title"),
    [
        (
            12.0,
            "+12.0 (95%: +7.0 to +17.0) beside everybody, clearly better.",
            (
                "Per 1,000 customers, contacting the best 20 % is worth clearly more than "
                "everybody (32.0 beside 20.0). Bars are 95% intervals"
            ),
        ),
        (
            -12.0,
            "-12.0 (95%: -17.0 to -7.0) beside everybody, clearly worse.",
            (
                "Per 1,000 customers, no rule comes up to contacting everybody; contacting the "
                "best 20 % comes nearest (8.00 beside 20.0). Bars are 95% intervals"
            ),
        ),
        (
            2.0,
            "+2.00 (95%: -3.00 to +7.00) beside everybody, not clearly better or worse.",
            (
                "Per 1,000 customers, no rule is clearly better than everybody; contacting the "
                "best 20 % comes first (22.0 beside 20.0). Bars are 95% intervals"
            ),
        ),
    ],
)
def test_the_best_rule_is_told_beside_everybody(difference, told, title):
    data = rules(
        rule("best 10 %", 0.1, 5.0, difference=-15.0),
        rule("best 20 %", 0.2, 20 + difference, difference=difference),
    )
    says = charts.policy_value_verdict(data)
    assert says.startswith(
        "Contacting everybody is worth 20.0 (95%: 10.0 to 30.0) per 1,000 customers, beside 0 for "
        "nobody: clearly better. Of the rules by score contacting the best 20 % is worth most"
    )
    assert told in says
    assert says.endswith("looks a little better than it is.")
    assert title_of(charts.policy_value(data, "x")) == title


@pytest.mark.parametrize(
    ("everybody", "half", "side"),
    [
        (-20.0, 10.0, ": clearly worse."),
        (5.0, 10.0, ": not clearly better or worse."),
        (5.0, NAN, "."),
    ],
)
def test_everybody_is_told_beside_nobody(everybody, half, side):
    unknown = rule("best 10 %", 0.1, NAN)
    data = rules(unknown, everybody=everybody, half=half)
    assert charts.policy_value_verdict(data).endswith(f"beside 0 for nobody{side}")
    figure = charts.policy_value(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert title_of(figure).startswith("Contacting everybody is worth ")
    assert named(figure, "label")[0].text[2] == "\u2002unknown (10% contacted)"
    assert len(named(figure, "value")[0].x) == 2


def test_a_rule_without_an_interval_is_told_so():
    data = rules(rule("positive", 0.4, 25.0, NAN, 5.0, NAN))
    says = charts.policy_value_verdict(data)
    assert "contacting those with a score above 0.100 is worth most, 25.0 with 40%" in says
    assert "+5.00 beside everybody, without an interval, since nothing varies." in says


@pytest.mark.parametrize(
    ("name", "told"),
    [("positive", "those with a score above 0"), ("best 100 %", "the best 100 %")],
)
def test_a_rule_that_contacts_everybody_is_told_so(name, told):
    data = rules(rule("best 20 %", 0.2, 5.0, difference=-15.0), rule(name, 1.0, 20.0, 10.0, 0, NAN))
    data.attrs["cost"] = 0.0
    assert charts.policy_value_verdict(data).endswith(
        f"Of the rules by score contacting {told}, which is everybody, is worth most."
    )
    assert title_of(charts.policy_value(data, "x")) == (
        "No rule by score is worth more than contacting everybody: 20.0 per 1,000 customers. Bars "
        "are 95% intervals"
    )


def test_bad_input_is_refused(found):
    with pytest.raises(InputError, match="found is a DataFrame"):
        charts.uplift_curve_data(found.curve)
    with pytest.raises(InputError, match="found is a DataFrame"):
        charts.policy_value_data(found.policy)
