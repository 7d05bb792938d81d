"""Whether arms were alike before a campaign: the figure, its data and its sentence."""

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
    evaluated,
    experiment,
    named,
    refuse,
    title_of,
)
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE


@pytest.fixture(scope="module")
def found():
    return evaluated()


@pytest.fixture(scope="module")
def observed():
    """Return an evaluation where the older were rather contacted, and nobody drew lots."""
    data = experiment(("sms",))
    chance = 1 / (1 + np.exp(-(data["age"] - 40) / 10))
    sent = np.random.default_rng(1).random(len(data)) < chance
    data["arm"] = np.where(sent, "sms", "holdout")
    return evaluated(
        data, method="aipw", randomised=False, outcomes=["spend"], costs=None, segments=None
    )


def one(arm="sms", n_apart=0, largest=0.031, balance_p=0.71, sample_ratio_p=0.4):
    return {
        "arm": arm,
        "n_treated": 100,
        "n_control": 100,
        "n_apart": n_apart,
        "largest": largest,
        "largest_at": "age",
        "balance_p": balance_p,
        "sample_ratio_p": sample_ratio_p,
    }


def made(*arms, difference=0.031, weighted=NAN, n_covariates=1, **about):
    frame = pd.DataFrame(
        [
            {
                "arm": arm["arm"],
                "covariate": "age",
                "difference": difference,
                "weighted": weighted,
                "p_value": 0.5,
            }
            for arm in arms
        ]
    )
    frame.attrs = {
        "arms": list(arms),
        "control": "holdout",
        "randomised": True,
        "weighted": not np.isnan(weighted),
        "level": 0.95,
        "n": 200,
        "n_covariates": n_covariates,
    } | about
    return frame


def test_the_figure_is_plain_stable_and_names_its_source(found):
    data = charts.campaign_balance_data(found)
    figure, again = (charts.campaign_balance(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, found.n_rows)


def test_the_data_are_those_of_the_balance(found):
    data = charts.campaign_balance_data(found)
    assert len(data) == len(found.balance)
    table = found.balance.set_index(["arm", "covariate"])
    for row in data.to_dict("records"):
        same = table.loc[(row["arm"], row["covariate"])]
        assert row["difference"] == round(same["standardised_difference"], 4)
        assert row["p_value"] == round(same["p_value"], 4)
    assert data["weighted"].isna().all()
    largest = data.groupby("covariate", sort=False)["difference"].agg(lambda x: x.abs().max())
    assert largest.is_monotonic_decreasing
    whole = found.to_frame().query("segment_by == '' and outcome == 'spend'")
    for arm, row in zip(data.attrs["arms"], whole.to_dict("records"), strict=True):
        assert arm["arm"] == row["arm"]
        assert arm["n_treated"] == row["n_treated"]
        assert arm["balance_p"] == pytest.approx(row["balance_p"], rel=1e-5)
        assert arm["sample_ratio_p"] == pytest.approx(row["sample_ratio_p"], rel=1e-5)
        mine = data[data["arm"] == arm["arm"]].set_index("covariate")["difference"].abs()
        assert arm["largest"] == mine.max()
        assert arm["largest_at"] == mine.idxmax()


def test_points_stand_between_the_lines_of_a_tenth(found):
    data = charts.campaign_balance_data(found)
    figure = charts.campaign_balance(data, "x")
    points = named(figure, "before")
    assert len(points) == 2
    for arm, trace in zip([HOSTILE, "sms"], points, strict=True):
        mine = data[data["arm"] == arm]
        assert list(trace.x) == mine["difference"].tolist()
        assert trace.marker.color == ACCENT
    lines = [shape.x0 for shape in figure.layout.shapes if shape.line.color == BASELINE]
    assert sorted(lines) == [-0.1, -0.1, 0.1, 0.1]
    low, high = figure.layout.xaxis.range
    assert low == -high < -0.1


def test_only_the_largest_are_shown_and_all_are_counted(found):
    data = charts.campaign_balance_data(found, top=1)
    assert len(data) == 2
    assert len(set(data["covariate"])) == 1
    assert data.attrs["n_covariates"] == 2
    assert "(the 1 largest are shown)" in title_of(charts.campaign_balance(data, "x"))


def test_weights_are_drawn_beside_what_was_before(observed):
    data = charts.campaign_balance_data(observed)
    assert data.attrs["weighted"]
    age = data.set_index("covariate").loc["age"]
    assert age["difference"] > 0.5
    assert abs(age["weighted"]) < 0.05
    figure = charts.campaign_balance(data, "x")
    before, behind = named(figure, "before weights")[0], named(figure, "behind weights")[0]
    assert list(before.x) == data["difference"].tolist()
    assert list(behind.x) == data["weighted"].tolist()
    assert before.marker.color == "white"
    assert data.attrs["arms"][0]["n_apart"] == 0
    says = charts.campaign_balance_verdict(data)
    assert says.startswith(
        "sms and holdout are alike behind the weights in 2 covariates to 0.1 standard deviations"
    )
    # Nobody drew lots: chance is no measure.
    assert "chance" not in says
    assert "sizes" not in says


def test_arms_that_are_alike_are_told_so():
    assert charts.campaign_balance_verdict(made(one())) == (
        "sms and holdout are alike in 1 covariate to 0.1 standard deviations; the largest "
        "difference is 0.031, in age; all together they tell the arms apart no better than chance "
        "(p .71). The sizes of the arms are those of the design (sample-ratio test, p .40)."
    )
    assert title_of(charts.campaign_balance(made(one()), "x")) == (
        "The arms are alike before the campaign in 1 covariate: within 0.1 standard deviations"
    )


def test_arms_that_differ_are_told_so():
    arm = one(n_apart=3, largest=0.42, balance_p=1e-9, sample_ratio_p=1e-5)
    data = made(one("mail"), arm, difference=0.42, n_covariates=9)
    assert charts.campaign_balance_verdict(data).endswith(
        "3 of 9 covariates differ by more than 0.1 standard deviations between sms and holdout; "
        "the largest difference is 0.42, in age; all together they tell the arms apart "
        "(p < .001): chance did not decide who was contacted. The sizes of the arms are those of "
        "the design (sample-ratio test, p .40)."
    )
    alone = made(arm, difference=0.42, n_covariates=9)
    assert charts.campaign_balance_verdict(alone).endswith(
        "The arms do not have the sizes of the design (sample-ratio test, p < .001): find out who "
        "is missing before you believe the effect."
    )
    assert title_of(charts.campaign_balance(data, "x")) == (
        "sms and holdout differ before the campaign in 3 of 9 covariates (the 1 largest are "
        "shown) by more than 0.1 standard deviations"
    )


def test_a_small_p_alone_may_be_chance():
    says = charts.campaign_balance_verdict(made(one(balance_p=0.03)))
    assert "tell the arms apart a little (p .030), as may happen by chance" in says
    assert "tell" not in charts.campaign_balance_verdict(made(one(balance_p=NAN)))
    says = charts.campaign_balance_verdict(made(one(n_apart=1, sample_ratio_p=NAN)))
    assert says.startswith("1 of 1 covariate differs by more than 0.1")
    assert "sizes" not in says


def test_a_covariate_that_varies_in_neither_arm_stands_at_the_edge():
    figure = charts.campaign_balance(made(one(largest=np.inf), difference=np.inf), "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert list(named(figure, "before")[0].x) == [figure.layout.xaxis.range[1]]


@pytest.mark.parametrize("n_arms", [1, 2, 3, 4])
def test_any_number_of_arms_has_a_panel_each(n_arms):
    data = made(*(one(f"arm {number}") for number in range(n_arms)))
    assert len(named(charts.campaign_balance(data, "x"), "before")) == n_arms


def test_bad_input_is_refused(found):
    with pytest.raises(InputError, match="found is a DataFrame"):
        charts.campaign_balance_data(found.balance)
    with pytest.raises(InputError, match="found has no covariates"):
        charts.campaign_balance_data(evaluated(covariates=None))
    with pytest.raises(InputError, match="top is 0"):
        charts.campaign_balance_data(found, top=0)
