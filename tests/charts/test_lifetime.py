"""Frequencies, conditional expectations and the comparison: data, figures and sentences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from scipy.stats import poisson

import touchpoint_lib as tp
from tests.strategies import customers as random_customers
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE, TEMPLATE
from touchpoint_lib.charts.lifetime import _count_interval
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel
from touchpoint_lib.lifetime.comparison import compare_models
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"
CLASSES = ["0", "1", "2", "3", "4", "5", "6", "7+"]


@pytest.fixture(scope="module")
def split():
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")


@pytest.fixture(scope="module")
def models(split):
    return {
        "MBG/NBD": tp.ModifiedBetaGeoModel().fit(split),
        "BG/NBD": tp.BetaGeoModel().fit(split),
        "Pareto/NBD": ParetoNBDModel().fit(split),
    }


@pytest.fixture(scope="module")
def counted(models, split):
    return charts.frequency_histogram_data(models, split)


@pytest.fixture(scope="module")
def conditional(models, split):
    return charts.conditional_expectation_data(models, split)


@pytest.fixture(scope="module")
def compared(models, split):
    return charts.comparison_chart_data(compare_models(models, split))


@pytest.fixture(scope="module")
def draw(counted, conditional, compared):
    return {
        "frequency_histogram": lambda source: charts.frequency_histogram(counted, source),
        "conditional_expectation": lambda source: charts.conditional_expectation(
            conditional, source
        ),
        "comparison_chart": lambda source: charts.comparison_chart(compared, source),
    }


@pytest.fixture
def given_model():
    return tp.ModifiedBetaGeoModel.from_params([0.525, 6.183, 0.891, 1.614], unit="W")


FIGURES = ["frequency_histogram", "conditional_expectation", "comparison_chart"]


def refused(parts, function, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def strings(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from strings(part)
    elif isinstance(node, str):
        yield node


def holds_none(node):
    if isinstance(node, dict):
        node = list(node.values())
    return any(map(holds_none, node)) if isinstance(node, list) else node is None


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_plain_stable_and_name_their_source(draw, name):
    figure = draw[name](HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == draw[name](HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert json.loads(go.Figure(content).to_json()) == content
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert not holds_none(content["data"])
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = 2,357"
    assert not [part for part in strings(content) if "<script" in part]
    title = figure.layout.title.text
    assert max(len(line) for line in title.split("<br>")) <= 78


def test_names_of_markup_stay_text(models, split):
    named = {HOSTILE: models["BG/NBD"]}
    figures = [
        charts.frequency_histogram(charts.frequency_histogram_data(named, split), "x"),
        charts.conditional_expectation(charts.conditional_expectation_data(named, split), "x"),
        charts.comparison_chart(charts.comparison_chart_data(compare_models(named, split)), "x"),
    ]
    for figure in figures:
        assert SAFE in [trace.name for trace in figure.data]
        assert "<script" not in str(figure.to_plotly_json())


# -- frequencies ---------------------------------------------------------------------------------


def test_actual_and_expected_customers_sum_to_all(counted):
    for name, rows in counted.groupby("model"):
        assert rows["purchases"].tolist() == CLASSES
        assert rows["actual"].tolist() == [1411, 439, 214, 100, 62, 38, 29, 64]
        assert rows["expected"].sum() == pytest.approx(2357, abs=1e-3), name
        assert ((rows["lower"] <= rows["expected"]) & (rows["expected"] <= rows["upper"])).all()
        assert (rows["lower"] >= 0).all()
    assert counted["model"].unique().tolist() == [
        "MBG/NBD",
        "BG/NBD",
        "Pareto/NBD",
        "one rate for all",
    ]


def test_expected_customers_are_those_of_newcomers(counted, models, split):
    """P(X(T) = n) summed over customers, and its binomial spread."""
    rows = counted[counted["model"] == "BG/NBD"].set_index("purchases")
    for n in (0, 3):
        chance = split["T"].map(
            {
                age: models["BG/NBD"].probability_of_n_purchases_new_customer(n, age)
                for age in split["T"].unique()
            }
        )
        half = 1.96 * np.sqrt((chance * (1 - chance)).sum())
        row = rows.loc[str(n)]
        assert row["expected"] == pytest.approx(chance.sum(), rel=1e-6)
        assert row["upper"] - row["expected"] == pytest.approx(half, rel=1e-4)


def test_one_rate_for_all_is_a_poisson_buyer(counted, split):
    rows = counted[counted["model"] == "one rate for all"].set_index("purchases")
    mean = split["frequency"].sum() / split["T"].sum() * split["T"]
    for n in (0, 2, 6):
        assert rows.loc[str(n), "expected"] == pytest.approx(poisson.pmf(n, mean).sum(), rel=1e-4)
    assert rows.loc["7+", "expected"] == pytest.approx(poisson.sf(6, mean).sum(), abs=1e-4)


def test_bars_and_points_are_the_frequencies(counted):
    figure = charts.frequency_histogram(counted, "x")
    bars, *points = figure.data
    assert list(bars.x) == CLASSES
    assert list(bars.y) == counted["actual"].iloc[:8].tolist()
    assert figure.layout.xaxis.type == "category"
    assert [trace.name for trace in points] == [
        "one rate for all",
        "Pareto/NBD",
        "BG/NBD",
        "MBG/NBD",
    ]
    for trace in points:
        rows = counted[counted["model"] == trace.name]
        assert list(trace.y) == pytest.approx(rows["expected"].tolist(), abs=0.051)
        high = np.add(trace.y, trace.error_y.array)
        low = np.subtract(trace.y, trace.error_y.arrayminus)
        assert high == pytest.approx(rows["upper"].to_numpy(), abs=0.11)
        assert low == pytest.approx(rows["lower"].to_numpy(), abs=0.11)
    assert points[0].marker.color == BASELINE
    assert points[-1].marker.color == ACCENT


def test_the_frequency_verdict_on_cdnow(counted):
    assert charts.frequency_histogram_verdict(counted) == (
        "MBG/NBD puts 1,419 of 2,357 customers at no repeat purchase, where 1,411 are, and is "
        "within chance in 8 of 8 classes; one rate for all customers would be in 0."
    )


def test_the_frequency_verdict_names_the_class_that_is_furthest_off(counted):
    rows = counted[counted["model"].isin(["BG/NBD", "one rate for all"])].copy()
    rows.attrs = counted.attrs
    rows.loc[rows["purchases"] == "4", "actual"] = 200.0
    verdict = charts.frequency_histogram_verdict(rows)
    assert "within chance in 7 of 8 classes" in verdict
    assert (
        "Furthest off: 4 repeat purchases, where 60 customers were expected and 200 counted."
        in verdict
    )


def test_whole_periods_can_be_counted():
    donors = tp.load_donations()
    model = BetaGeoBetaBinomModel().fit(donors)
    data = charts.frequency_histogram_data(model, donors)
    assert data.attrs["n"] == 11104
    rows = data[data["model"] == "BetaGeoBetaBinomModel"].set_index("purchases")
    assert rows["actual"].sum() == 11104
    assert rows.loc["7+", ["actual", "expected"]].tolist() == [0, 0]
    # Fader, Hardie & Shang (2010), figure 4: the fit is close in every class.
    assert (rows["expected"] - rows["actual"]).abs().max() < 200
    assert charts.frequency_histogram(data, "x")


@settings(max_examples=25, deadline=None)
@given(frame=random_customers(unit="W"))
def test_any_customers_can_be_counted(frame):
    model = tp.ModifiedBetaGeoModel.from_params([0.5, 6, 0.9, 1.6], unit="W")
    data = charts.frequency_histogram_data(model, frame)
    assert data.notna().all(axis=None)
    assert data.groupby("model")["expected"].sum().to_numpy() == pytest.approx(len(frame), abs=1e-2)
    assert "nan" not in charts.frequency_histogram_verdict(data)
    json.loads(charts.frequency_histogram(data, "x").to_json(), parse_constant=refuse)


def test_a_count_is_so_many_customers(given_model):
    frame = pd.DataFrame({"frequency": [0, 2], "recency": [0, 3.0], "T": [10.0, 20.0]})
    weighted = charts.frequency_histogram_data(given_model, frame.assign(count=[3, 2]))
    repeated = charts.frequency_histogram_data(given_model, frame.loc[[0, 0, 0, 1, 1]])
    pd.testing.assert_frame_equal(weighted, repeated)


# -- conditional expectations --------------------------------------------------------------------


def test_class_means_are_plain_means(conditional, models, split):
    classes = split["frequency"].clip(upper=7)
    groups = split["holdout_frequency"].groupby(classes)
    for name, model in models.items():
        rows = conditional[conditional["model"] == name]
        assert rows["purchases"].tolist() == CLASSES
        assert rows["n"].tolist() == groups.size().tolist()
        assert rows["actual"].tolist() == pytest.approx(groups.mean().tolist(), abs=1e-4)
        expected = model.expected_purchases(split, 39).groupby(classes).mean()
        assert rows["expected"].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    own = (split["frequency"] / split["T"] * 39).groupby(classes).mean()
    rows = conditional[conditional["model"] == "own rate"]
    assert rows["expected"].tolist() == pytest.approx(own.tolist(), abs=1e-4)
    assert (conditional["low"] <= conditional["actual"]).all()
    assert (conditional["actual"] <= conditional["high"]).all()


def test_limits_of_a_count_are_garwoods_and_widen_with_the_spread():
    # Garwood (1936): 0 gives up to 3.689, 10 gives 4.795 to 18.39.
    low, high = _count_interval(np.array([0.0, 10.0]), np.array([0.0, 10.0]), np.array([9.0, 50]))
    assert low == pytest.approx([0, 4.795], abs=1e-3)
    assert high == pytest.approx([3.689, 18.39], abs=1e-2)
    # One customer bought all ten: ten times the spread, worth one event and not ten.
    low, high = _count_interval(np.array([10.0]), np.array([100.0]), np.array([1e9]))
    assert low == pytest.approx(10 * 0.0253, rel=1e-2)
    assert high == pytest.approx(10 * 5.572, rel=1e-3)


def test_limits_cover_the_truth():
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        rate = generator.gamma(0.5, 2, 60)
        came = generator.poisson(rate).astype(float)
        low, high = _count_interval(
            np.array([came.sum()]), np.array([came @ came]), np.array([60.0])
        )
        hits += bool(low[0] <= 60 <= high[0])
    assert 0.9 < hits / 400 <= 1


def test_lines_and_points_are_the_expectations(conditional):
    figure = charts.conditional_expectation(conditional, "x")
    *lines, points = figure.data
    assert [trace.name for trace in lines] == ["own rate", "Pareto/NBD", "BG/NBD", "MBG/NBD"]
    for trace in lines:
        rows = conditional[conditional["model"] == trace.name]
        assert list(trace.y) == pytest.approx(rows["expected"].tolist(), abs=6e-4)
        assert (trace.line.color == BASELINE) == (trace.name == "own rate")
    rows = conditional[conditional["model"] == "MBG/NBD"]
    assert list(points.y) == pytest.approx(rows["actual"].tolist(), abs=6e-4)
    high = np.add(points.y, points.error_y.array)
    assert high == pytest.approx(rows["high"].to_numpy(), abs=2e-3)
    assert list(points.customdata) == rows["n"].tolist()


def test_the_conditional_verdict_on_cdnow(conditional):
    assert charts.conditional_expectation_verdict(conditional) == (
        "Of 8 classes by purchases before, MBG/NBD meets what came within the 95% interval in 5, "
        "the customers' own rate in 1; over all classes the model is nearer. Customers with 7+ "
        "repeat purchases bought 6.36 times, 5.85 were expected and 12.37 at their own rate."
    )
    title = charts.conditional_expectation(conditional, "x").layout.title.text
    assert "expected 1,577 purchases after the split and 1,882 came" in title.replace("<br>", " ")


@pytest.mark.parametrize("frequency", [[0, 0, 0], [1], [0, 9, 9]])
@pytest.mark.parametrize("came", [0, 4])
def test_empty_classes_are_left_out_and_a_holdout_without_purchases_is_drawn(
    frequency, came, given_model
):
    x = np.array(frequency)
    frame = pd.DataFrame(
        {
            "frequency": x,
            "recency": np.where(x > 0, 5.0, 0.0),
            "T": 10.0,
            "holdout_frequency": came,
            "holdout_duration": 12.0,
        }
    )
    data = charts.conditional_expectation_data(given_model, frame)
    rows = data[data["model"] == "ModifiedBetaGeoModel"]
    assert rows["n"].sum() == len(x)
    assert rows["purchases"].tolist() == sorted({CLASSES[min(value, 7)] for value in frequency})
    assert data.notna().all(axis=None)
    assert (rows["high"] > rows["actual"]).all()
    verdict = charts.conditional_expectation_verdict(data)
    assert "nan" not in verdict
    json.loads(charts.conditional_expectation(data, "x").to_json(), parse_constant=refuse)


def test_bad_input_is_refused(split, given_model):
    histogram, expectation = (
        charts.frequency_histogram_data,
        charts.conditional_expectation_data,
    )
    refused(["has no parameters", "call fit"], histogram, tp.BetaGeoModel(), split)
    refused(["has no parameters", "call fit"], expectation, tp.BetaGeoModel(), split)
    refused(["named 'own rate'"], expectation, {"own rate": given_model}, split)
    refused(["named 'one rate for all'"], histogram, {"one rate for all": given_model}, split)
    refused(["no column 'holdout_frequency'"], expectation, given_model, split.iloc[:, :3])
    refused(["T is 0 for every customer"], histogram, given_model, split.head(1) * 0)
    broken = split.assign(holdout_frequency=np.nan)
    refused(["holdout_frequency is nan"], expectation, given_model, broken)


# -- comparison ----------------------------------------------------------------------------------


def test_rates_and_intervals_are_those_of_the_predictions(compared, models, split):
    bought = split["holdout_frequency"] > 0
    assert compared["model"].tolist() == [*models, "recency", "rate"]
    assert compared["baseline"].tolist() == [False, False, False, True, True]
    for name, model in models.items():
        rates = tp.prediction_rates(bought, model.probability_of_purchase(split, 39), 0.5)
        row = compared[compared["model"] == name].iloc[0]
        assert row["n_flagged"] == rates.n_flagged
        for rate in ("error", "omission"):
            for ours, theirs in (("rate", "rate"), ("low", "rate_low"), ("high", "rate_high")):
                assert row[f"{rate}_{ours}"] == pytest.approx(
                    getattr(rates, f"{rate}_{theirs}"), abs=1e-4
                )


def test_points_are_the_rates(compared):
    figure = charts.comparison_chart(compared, "x")
    assert len(figure.data) == 2 * len(compared)
    for trace in figure.data:
        row = compared[compared["model"] == trace.name].iloc[0]
        rate = "error" if trace.xaxis == "x" else "omission"
        assert list(trace.x) == [row[f"{rate}_rate"]]
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row[f"{rate}_high"], abs=1e-3)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(
            row[f"{rate}_low"], abs=1e-3
        )
        assert list(trace.text) == [f"{row[f'{rate}_rate']:.0%}"]
        assert (trace.marker.color == BASELINE) == row["baseline"]
    # From the top, in the order of the table.
    assert list(figure.layout.yaxis.categoryarray) == compared["model"].tolist()[::-1]


def test_the_comparison_verdict_on_cdnow(compared):
    assert charts.comparison_chart_verdict(compared) == (
        "MBG/NBD flags 300 customers as buyers, those with a probability of a purchase of 50% or "
        "more; it is wrong for 23% of them (95%: 18% to 28%) and misses 66% of the 684 buyers. "
        "Flagging as many, recency is wrong for 25% (not clearly better or worse) and rate is "
        "wrong for 28% (not clearly better or worse)."
    )
    title = charts.comparison_chart(compared, "x").layout.title.text.replace("<br>", " ")
    assert "MBG/NBD is wrong for 23% of those it flags as buyers" in title


@pytest.mark.parametrize(
    ("error", "says"), [(0.05, "(clearly better)"), (0.95, "(clearly worse)"), (0.23, "(not clear")]
)
def test_the_comparison_verdict_takes_the_side_of_the_numbers(compared, error, says):
    data = compared.copy()
    data.attrs = compared.attrs
    at = data["model"] == "recency"
    data.loc[at, ["error_rate", "error_low", "error_high"]] = [error, error - 0.04, error + 0.04]
    assert f"recency is wrong for {error:.0%} {says}" in charts.comparison_chart_verdict(data)


def test_a_model_that_flags_nobody_is_named(split, given_model, models):
    shy = tp.ModifiedBetaGeoModel.from_params([0.01, 1e5, 1, 1], unit="W")
    table = compare_models({"first": models["MBG/NBD"], "shy": shy}, split)
    data = charts.comparison_chart_data(table)
    assert data.attrs["without"] == ["shy"]
    assert charts.comparison_chart_verdict(data).endswith(" shy flagged nobody.")
    # Where the leader flags nobody, nor do the baselines.
    data = charts.comparison_chart_data(compare_models({"shy": shy, "b": given_model}, split))
    verdict = charts.comparison_chart_verdict(data)
    assert verdict == "shy gives nobody a probability of a purchase of 50%."
    assert data["model"].tolist() == ["b"]
    json.loads(charts.comparison_chart(data, "x").to_json(), parse_constant=refuse)
    data = charts.comparison_chart_data(compare_models({"shy": shy, "meek": shy}, split))
    assert charts.comparison_chart_verdict(data).endswith("50%, nor does meek.")


@pytest.mark.parametrize(
    ("came", "threshold", "says"),
    [
        (0, 0.5, "Nobody bought after the split: there are no buyers to find, and so no rates."),
        (1, 1.0, "ModifiedBetaGeoModel gives nobody a probability of a purchase of 100%."),
    ],
)
def test_a_comparison_without_rates_says_so(came, threshold, says, split, given_model):
    table = compare_models(given_model, split.assign(holdout_frequency=came), threshold)
    data = charts.comparison_chart_data(table)
    assert data.empty
    assert charts.comparison_chart_verdict(data).startswith(says)
    figure = charts.comparison_chart(data, "x")
    assert figure.layout.title.text.replace("<br>", " ").startswith(says)
    json.loads(figure.to_json(), parse_constant=refuse)


def test_a_comparison_of_another_kind_is_refused(split, given_model):
    data = charts.comparison_chart_data
    bare = compare_models(given_model, split)
    bare.attrs = {}
    refused(["comparison.attrs has no n_flagged"], data, bare)
    refused(["comparison has no column 'error_rate'"], data, split)
