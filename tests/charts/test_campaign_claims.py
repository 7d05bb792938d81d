"""Claims about a campaign beside the truth: the figure, its data and its sentence."""

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
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS


def claims(*rows, **attrs):
    rows = rows or (
        ("the experiment", 0.102, 0.042, 0.162),
        ("before and after", -0.31, -0.36, -0.26),
        ("last click", 0.46, NAN, NAN),
    )
    frame = pd.DataFrame(list(rows), columns=["claim", "effect", "ci_low", "ci_high"])
    frame.attrs = {"truth": 0.087, "unit": "orders per customer", "n": 2865} | attrs
    return frame


def test_the_figure_is_plain_stable_and_names_its_source():
    data = charts.campaign_claims_data(claims((HOSTILE, 1.0, 0.5, 1.5), unit=HOSTILE))
    figure, again = (charts.campaign_claims(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, 2865)
    assert figure.layout.yaxis.ticktext[0] == SAFE


def test_each_claim_is_measured_by_the_truth():
    given = claims()
    data = charts.campaign_claims_data(given)
    assert data["error"].tolist() == [0.015, -0.397, 0.373]
    assert data["holds"].tolist() == [True, False, False]
    assert data.attrs == {
        "truth": 0.087,
        "unit": "orders per customer",
        "n": 2865,
        "level": 0.95,
    }
    assert "error" not in given
    assert charts.campaign_claims_data(claims(level=0.9)).attrs["level"] == 0.9


def test_the_sentences_say_how_far_each_claim_is_off():
    assert charts.campaign_claims_verdict(charts.campaign_claims_data(claims())) == (
        "The true effect is +0.087 orders per customer. The experiment finds +0.102 (95%: +0.042 "
        "to +0.162), and its interval holds it. Too high: last click +0.460 (5.3 x). Too low: "
        "before and after -0.310 (wrong sign)."
    )


def test_claims_are_told_by_whether_their_interval_holds_the_truth():
    rows = [
        ("the experiment", 0.2, 0.1, 0.3),
        ("matched", 0.1, 0.02, 0.18),
        ("openers only", 0.356, 0.3, 0.4),
        ("the manager", 0.087, NAN, NAN),
        ("last click", 0.17, NAN, NAN),
        ("weighted", 0.05, 0.0, 0.1),
        ("coupons", 0.04, 0.03, 0.05),
    ]
    assert charts.campaign_claims_verdict(charts.campaign_claims_data(claims(*rows))) == (
        "The true effect is +0.087 orders per customer. The experiment finds +0.200 (95%: +0.100 "
        "to +0.300), but its interval misses it. Right: the manager +0.087 (1.0 x). Off by no more "
        "than chance: matched +0.100 (1.1 x), weighted +0.050 (0.6 x). Too high: openers only "
        "+0.356 (4.1 x), last click +0.170 (2.0 x). Too low: coupons +0.040 (0.5 x)."
    )


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (0.087, "+0.0870, which is right."),
        (0.1, "+0.100, which is too high (1.1 x)."),
        (-0.1, "-0.100, which is too low (wrong sign)."),
    ],
)
def test_a_first_claim_without_an_interval_is_told_by_its_error(effect, told):
    data = charts.campaign_claims_data(claims(("guess", effect, NAN, NAN)))
    assert charts.campaign_claims_verdict(data).endswith(f"Guess finds {told}")


def test_the_truth_is_the_baseline_and_the_first_claim_the_accent():
    data = charts.campaign_claims_data(claims())
    figure = charts.campaign_claims(data, "x")
    truth = [shape for shape in figure.layout.shapes if shape.line.color == BASELINE]
    assert [(shape.x0, shape.x1) for shape in truth] == [(0.087, 0.087)]
    first, others = named(figure, "first claim")[0], named(figure, "other claims")[0]
    assert list(first.x) == [0.102]
    assert list(others.x) == [-0.31, 0.46]
    assert list(others.y) == [1, 2]
    assert first.marker.color == ACCENT
    assert others.marker.color == GREYS[0]
    # Without an interval there is no bar.
    assert list(others.error_x.array) == [0.05, 0.0]
    low, high = figure.layout.xaxis.range
    assert low < -0.36
    assert high > 0.46
    assert list(named(figure, "label")[0].text) == [
        "\u2002+0.102 (1.2 x the truth)",
        "\u2002-0.310 (wrong sign)",
        "\u2002+0.460 (5.3 x the truth)",
    ]
    assert title_of(figure) == (
        "The experiment finds +0.102 where +0.087 orders per customer is true; before and after "
        "claims -0.310. Bars are 95% intervals"
    )
    json.loads(figure.to_json(), parse_constant=refuse)


def test_shares_are_in_percentage_points():
    data = charts.campaign_claims_data(claims(unit="%"))
    assert charts.campaign_claims_verdict(data).startswith(
        "The true effect is +8.7 percentage points. The experiment finds +10.2 (95%: +4.2 to "
        "+16.2), and its interval holds it. Too high: last click +46.0 (5.3 x)."
    )
    figure = charts.campaign_claims(data, "x")
    np.testing.assert_allclose(named(figure, "first claim")[0].x, [10.2])
    assert figure.layout.xaxis.title.text == "Claimed effect, percentage points"


def test_where_nothing_was_to_be_found_there_is_no_ratio():
    rows = ("experiment", 0.0, -0.1, 0.1), ("last click", 0.3, NAN, NAN)
    data = charts.campaign_claims_data(claims(*rows, truth=0.0))
    assert charts.campaign_claims_verdict(data) == (
        "The true effect is 0.000 orders per customer. Experiment finds 0.000 (95%: -0.100 "
        "to +0.100), and its interval holds it. Too high: last click +0.300."
    )
    labels = named(charts.campaign_claims(data, "x"), "label")[0].text
    assert list(labels) == ["\u20020.000", "\u2002+0.300"]


def test_one_claim_alone_can_be_drawn():
    data = charts.campaign_claims_data(claims(("experiment", 0.1, NAN, NAN)))
    figure = charts.campaign_claims(data, "x")
    assert title_of(figure) == ("Experiment finds +0.100 where +0.087 orders per customer is true")
    assert not len(named(figure, "other claims")[0].x)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (claims().drop(columns="ci_low"), "ci_low"),
        (claims(("a", NAN, NAN, NAN)), "effect of 'a' is nan"),
        (claims(("a", 1.0, 1.5, 2.0)), "the interval of 'a' is 1.5 to 2, its effect 1"),
        (claims(("a", 1.0, NAN, 2.0)), "the interval of 'a' is nan to 2"),
        (claims(truth=NAN), "truth is nan"),
        (claims(n=0), "n is 0"),
        (claims(level=1.0), "level is 1"),
        (claims().iloc[:0], "claims has no rows"),
    ],
)
def test_bad_input_is_refused(frame, message):
    with pytest.raises(InputError, match=message):
        charts.campaign_claims_data(frame)


@pytest.mark.parametrize("name", ["truth", "unit", "n"])
def test_what_the_frame_must_carry_is_asked_for(name):
    frame = claims()
    del frame.attrs[name]
    with pytest.raises(InputError, match=rf'claims.attrs has no {name}.*claims.attrs\["{name}"\]'):
        charts.campaign_claims_data(frame)
