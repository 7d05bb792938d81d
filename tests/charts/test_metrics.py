"""Figures of the two rates and of the forecast, against their data and made-up cases."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import BASELINE, TEMPLATE

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


def refused(parts, function, *args, **kwargs):
    """Assert that the call raises an InputError whose message has all ``parts``."""
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def case():
    generator = np.random.default_rng(1)
    truth = generator.random(900)
    away = generator.random(900) < truth
    return away, {"model": truth, "noise": generator.random(900), "recency": truth.round(1)}


@pytest.fixture(scope="module")
def curves(case):
    return charts.rates_curves_data(*case)


@pytest.fixture(scope="module")
def deciles():
    generator = np.random.default_rng(2)
    expected = pd.Series(generator.gamma(0.5, 2, 500))
    return charts.forecast_by_decile_data(expected, pd.Series(generator.poisson(expected)))


@pytest.fixture(scope="module")
def draw(curves, deciles):
    return {
        "rates_curves": lambda source: charts.rates_curves(curves, "recency", source, 900),
        "forecast_by_decile": lambda source: charts.forecast_by_decile(deciles, source),
    }


@pytest.mark.parametrize(("name", "n"), [("rates_curves", 900), ("forecast_by_decile", 500)])
def test_figures_are_plain_stable_and_name_their_source(draw, name, n):
    figure = draw[name](HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == draw[name](HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {n}"
    assert "<script" not in str(figure.to_plotly_json())


# --- curves ------------------------------------------------------------------------------------


def test_drawn_points_are_points_of_the_whole_curve(case, curves):
    away, scores = case
    for name, score in scores.items():
        drawn = curves[curves["score"] == name].drop(columns="score")
        whole = tp.rates_curve(away, score)
        assert len(drawn) <= 200
        joined = drawn.merge(whole, on="threshold", suffixes=("", "_whole"))
        assert len(joined) == len(drawn)
        for column in ("error_rate", "omission_rate", "n_flagged"):
            assert (joined[column] == joined[f"{column}_whole"]).all()
        # It begins with the first point that flags 1%, and ends where everybody is flagged.
        first = whole.loc[whole["n_flagged"] >= 0.01 * len(away), "n_flagged"].iloc[0]
        assert drawn["n_flagged"].iloc[[0, -1]].tolist() == [first, len(away)]
        assert drawn["n_flagged"].is_monotonic_increasing


def test_the_lines_are_the_curves_and_the_baseline_has_its_colour(curves):
    figure = charts.rates_curves(curves, "recency", "x", 900)
    assert [trace.name for trace in figure.data] == ["model", "noise", "recency"]
    for trace in figure.data:
        rows = curves[curves["score"] == trace.name]
        assert list(trace.x) == pytest.approx(rows["omission_rate"].tolist(), abs=5e-5)
        assert list(trace.y) == pytest.approx(rows["error_rate"].tolist(), abs=5e-5)
        assert list(trace.customdata) == rows["n_flagged"].tolist()
        assert (trace.line.color == BASELINE) == (trace.name == "recency")
    top = curves["error_rate"].max()
    assert figure.layout.yaxis.range[1] >= top
    assert "runs below recency" in figure.layout.title.text.replace("<br>", " ")


def test_a_score_with_a_name_of_markup_stays_text(case):
    away, scores = case
    data = charts.rates_curves_data(away, {HOSTILE: scores["model"], "other": scores["noise"]})
    for baseline in (HOSTILE, "other"):
        figure = charts.rates_curves(data, baseline, "x", 900)
        assert figure.data[0].name == SAFE
        assert "<script" not in str(figure.to_plotly_json())
    # The name is not split from its curve by the escaping.
    assert len(figure.data[0].x) == (data["score"] == HOSTILE).sum()


def test_a_perfect_score_can_be_drawn():
    data = charts.rates_curves_data([1, 1, 1], {"a": [3, 2, 1], "b": [1, 2, 3]})
    low, high = charts.rates_curves(data, "b", "x", 3).layout.yaxis.range
    assert low < high


def made_curves(**wrong):
    """Curves of 1,000 customers, of whom the first 200 flagged are wrong so many times."""
    rows = [
        (name, 1000 - n, w / 200 if n == 200 else 0.9, 0.5, n)
        for name, w in wrong.items()
        for n in (100, 200, 1000)
    ]
    columns = ["score", "threshold", "error_rate", "omission_rate", "n_flagged"]
    data = pd.DataFrame(rows, columns=columns)
    data.attrs["flagged_as"] = "gone"
    return data


@pytest.mark.parametrize(
    ("wrong", "best", "rates", "says"),
    [
        # Wilson's bounds of 40, 80 and 120 in 200, from the R function prop.test's formula.
        (
            {"model": 40, "recency": 80},
            "model",
            ("20% (95%: 15% to 26%)", "40% (95%: 33% to 47%)"),
            "model beats recency",
        ),
        (
            {"model": 120, "recency": 80},
            "model",
            ("60% (95%: 53% to 67%)", "40% (95%: 33% to 47%)"),
            "recency beats model",
        ),
        (
            {"model": 82, "recency": 80},
            "model",
            ("41% (95%: 34% to 48%)", "40% (95%: 33% to 47%)"),
            "model is not clearly better or worse than recency",
        ),
        # The best of the others speaks for them, wherever it stands.
        (
            {"recency": 80, "poor": 160, "good": 40},
            "good",
            ("20% (95%: 15% to 26%)", "40% (95%: 33% to 47%)"),
            "good beats recency",
        ),
    ],
)
def test_the_verdict_takes_the_side_of_the_numbers(wrong, best, rates, says):
    assert charts.rates_curves_verdict(made_curves(**wrong), "recency") == (
        f"Where 20% of the customers are flagged as gone, {best} is wrong for {rates[0]} of them "
        f"and recency for {rates[1]}: {says}."
    )


def test_rates_are_read_where_enough_are_flagged():
    data = made_curves(model=40, recency=80)
    assert charts.rates_at(data, 0.2)["n_flagged"].tolist() == [200, 200]
    assert charts.rates_at(data, 0.201)["n_flagged"].tolist() == [1000, 1000]
    assert charts.rates_at(data, 0.2).index.tolist() == ["model", "recency"]
    assert "Where 100% of the customers" in charts.rates_curves_verdict(data, "recency", share=1)


@pytest.mark.parametrize("baseline", ["luck", "model"])
def test_a_verdict_needs_the_baseline_and_a_rival(baseline):
    data = made_curves(model=4)
    parts = [f"baseline is {baseline!r}", "scores are 'model'", "at least one other"]
    refused(parts, charts.rates_curves_verdict, data, baseline)


def test_buyers_are_found_instead_of_those_who_stayed_away(case):
    away, scores = case
    data = charts.rates_curves_data(
        ~away, {"model": -scores["model"], "x": scores["noise"]}, "buyers"
    )
    assert "are flagged as buyers" in charts.rates_curves_verdict(data, "x")
    title = charts.rates_curves(data, "x", "x", 900).layout.xaxis.title.text
    assert title == "Omission rate (missed / all who bought)"
    refused(["flagged_as is 'lost'"], charts.rates_curves_data, away, scores, "lost")


def test_curves_need_scores_and_somebody_who_stayed_away():
    refused(["scores is empty", "at least one"], charts.rates_curves_data, [1, 0], {})
    refused(["no positive case"], charts.rates_curves_data, [0, 0], {"a": [1.0, 2.0]})
    refused(["actual has 2 values, score 1"], charts.rates_curves_data, [1, 0], {"a": [1.0]})


# --- forecast ----------------------------------------------------------------------------------


def test_classes_are_tenths_and_their_means_are_plain_means():
    expected = pd.Series(np.arange(40) / 10)
    actual = pd.Series(np.tile([0, 1, 2, 5], 10))
    data = charts.forecast_by_decile_data(expected, actual)
    assert data["n"].tolist() == [4] * 10
    assert data["expected"].tolist() == pytest.approx([0.15 + 0.4 * i for i in range(10)])
    assert data["actual"].tolist() == [2] * 10
    half = 1.96 * np.std([0, 1, 2, 5], ddof=1) / 2
    assert data["low"].tolist() == pytest.approx([2 - half] * 10)
    assert data["high"].tolist() == pytest.approx([2 + half] * 10)


@pytest.mark.parametrize("expected", [[1.0] * 5, [0.2] * 9 + [3.0], [0.0, 0.0, 1.0], [2.0]])
def test_no_customer_is_lost_where_expectations_are_tied(expected):
    actual = pd.Series(range(len(expected)))
    data = charts.forecast_by_decile_data(pd.Series(expected), actual)
    assert data["n"].sum() == len(expected)
    assert (data["n"] * data["actual"]).sum() == pytest.approx(actual.sum())
    assert (data["n"] * data["expected"]).sum() == pytest.approx(sum(expected))
    assert data.notna().all(axis=None)
    json.loads(charts.forecast_by_decile(data, "x").to_json(), parse_constant=refuse)
    assert charts.forecast_by_decile_verdict(data)


def test_duplicate_labels_do_no_harm_to_the_forecast():
    expected = pd.Series([0.1, 0.5, 0.9, 2], index=["a", "a", "b", "b"])
    actual = pd.Series([0, 1, 1, 3], index=expected.index)
    assert charts.forecast_by_decile_data(expected, actual)["n"].sum() == 4


def test_the_points_are_the_classes(deciles):
    figure = charts.forecast_by_decile(deciles, "x")
    diagonal, points = figure.data
    assert list(diagonal.x) == list(diagonal.y)
    assert list(points.x) == pytest.approx(deciles["expected"].tolist(), abs=6e-4)
    assert list(points.y) == pytest.approx(deciles["actual"].tolist(), abs=6e-4)
    high = np.add(points.y, points.error_y.array)
    low = np.subtract(points.y, points.error_y.arrayminus)
    assert high == pytest.approx(deciles["high"].to_numpy(), abs=2e-3)
    assert low == pytest.approx(deciles["low"].to_numpy(), abs=2e-3)
    assert list(points.customdata) == deciles["n"].tolist()
    assert figure.layout.xaxis.range[1] >= max(points.x)
    assert figure.layout.yaxis.range[1] >= max(high) - 1e-3


def made_classes(expected, actual, n=100):
    data = pd.DataFrame({"n": n, "expected": expected, "actual": actual}, dtype=float)
    return data.assign(n=data["n"].astype(int), low=data["actual"], high=data["actual"])


@pytest.mark.parametrize(
    ("expected", "actual", "says"),
    [
        ([1, 2, 3], [1, 2, 2], "expected 600 purchases in the holdout and 500 came (+20%)"),
        ([1, 2, 3], [2, 3, 3], "expected 600 purchases in the holdout and 800 came (-25%)"),
        ([1, 2, 3], [0, 0, 0], "expected 600 purchases in the holdout and 0 came;"),
        ([1, 2, 3], [1, 2, 3], "bought more in all of 2 steps."),
        ([1, 2, 3], [3, 2, 1], "bought more in 0 of 2 steps."),
        ([1, 2, 3], [1, 3, 3], "bought more in 1 of 2 steps."),
        ([2], [2], "expected the same of every customer."),
    ],
)
def test_the_forecast_is_judged_by_its_totals_and_its_order(expected, actual, says):
    data = made_classes(expected, actual)
    assert says in charts.forecast_by_decile_verdict(data)
    title = charts.forecast_by_decile(data, "x").layout.title.text.replace("<br>", " ")
    came, hoped = f"{100 * sum(actual):,} purchases came", f"{100 * sum(expected):,} were expected"
    assert came in title
    assert hoped in title


def test_a_forecast_without_purchases_can_be_drawn():
    figure = charts.forecast_by_decile(made_classes([0, 0.001], [0, 0]), "x")
    assert figure.layout.xaxis.range[0] < figure.layout.xaxis.range[1]


@pytest.mark.parametrize(
    ("expected", "actual", "parts"),
    [
        (pd.Series([1.0], index=[5]), pd.Series([1]), ["different indexes", "one split"]),
        (pd.Series([1.0, np.nan]), pd.Series([1, 1]), ["expected is nan at index 1"]),
        (pd.Series([1.0, 2.0]), pd.Series([1, np.nan]), ["actual is nan at index 1"]),
        (pd.Series([], dtype=float), pd.Series([], dtype=float), ["expected is empty"]),
    ],
)
def test_forecasts_that_cannot_be_compared_are_refused(expected, actual, parts):
    refused(parts, charts.forecast_by_decile_data, expected, actual)
