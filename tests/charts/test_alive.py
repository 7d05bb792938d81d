"""P(alive) as a map and as a path, and the differences between customers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, gamma

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import BASELINE, TEMPLATE
from touchpoint_lib.data.visits import purchase_days
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"
#: BTYDplus and CLVTools at the CDNOW sample, in weeks.
MBG, PARETO = [0.525, 6.183, 0.891, 1.614], [0.553, 10.578, 0.606, 11.669]


@pytest.fixture(scope="module")
def split():
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")


@pytest.fixture(scope="module")
def model(split):
    return tp.ModifiedBetaGeoModel().fit(split)


@pytest.fixture(scope="module")
def grid(model, split):
    return charts.alive_map_data(model, split)


@pytest.fixture(scope="module")
def path(model):
    return charts.alive_path_data(
        model, purchase_days(tp.load_cdnow(sample=True), "00004"), "1998-06-30"
    )


@pytest.fixture(scope="module")
def spread(model):
    return charts.heterogeneity_data(model)


@pytest.fixture(scope="module")
def draw(grid, path, spread):
    return {
        "alive_map": lambda source: charts.alive_map(grid, source),
        "alive_path": lambda source: charts.alive_path(path, source),
        "heterogeneity": lambda source: charts.heterogeneity(spread, source, 2357),
    }


def refused(parts, function, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def fixed(kind, params, unit="W"):
    return kind.from_params(params, unit=unit)


@pytest.mark.parametrize(
    ("name", "n"), [("alive_map", "2,357"), ("alive_path", "4"), ("heterogeneity", "2,357")]
)
def test_figures_are_plain_stable_and_name_their_source(draw, name, n):
    figure = draw[name](HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == draw[name](HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert json.loads(go.Figure(content).to_json()) == content
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {n}"
    assert "<script" not in str(figure.to_plotly_json())
    assert max(len(line) for line in figure.layout.title.text.split("<br>")) <= 78


# -- the map -------------------------------------------------------------------------------------


def test_cells_are_the_models_probabilities(grid, model, split):
    assert grid["frequency"].max() == int(
        np.quantile(split.loc[split["frequency"] > 0, "frequency"], 0.99)
    )
    oldest = split["T"].max()
    assert (grid["recency"] + grid["silence"]).to_numpy() == pytest.approx(oldest, abs=2e-3)
    some = grid.iloc[::37]
    rows = some[["frequency", "recency"]].assign(T=some["recency"] + some["silence"])
    assert some["alive"].tolist() == pytest.approx(model.probability_alive(rows).tolist(), abs=2e-3)
    # A one-time buyer of 38.86 weeks: 0.389716, as in the tests of the model.
    assert grid.attrs["one_time"] == pytest.approx(0.3897, abs=1e-3)
    assert grid.attrs["T"] == oldest


def test_the_heatmap_is_the_grid(grid):
    [heat] = charts.alive_map(grid, "x").data
    table = grid.pivot_table(index="frequency", columns="silence", values="alive")
    assert list(heat.x) == table.columns.tolist()
    assert list(heat.y) == table.index.tolist()
    np.testing.assert_array_equal(np.array(heat.z, dtype=float), table.to_numpy())
    assert (heat.zmin, heat.zmax) == (0, 1)


def test_the_map_verdict_on_cdnow(grid):
    assert charts.alive_map_verdict(grid) == (
        "After 19 weeks of silence a customer with 1 repeat purchase is still alive with a "
        "probability of 55%, one with 13 repeat purchases of 1%: the same silence says more about "
        "a frequent buyer. For a customer who bought once, 39 weeks ago, it is 39%."
    )


@pytest.mark.parametrize(
    ("alive", "says"),
    [
        ([0.5, 0.2], "says more about a frequent buyer"),
        ([0.2, 0.5], "the frequent buyer is still the safer one"),
        ([0.5, 0.5], "that silence says the same of both"),
    ],
)
def test_the_map_verdict_takes_the_side_of_the_numbers(alive, says):
    grid = pd.DataFrame({"frequency": [1, 2], "recency": 5.0, "silence": 5.0, "alive": alive})
    grid.attrs = {"n": 2, "T": 10.0, "unit": None, "one_time": 0.1}
    verdict = charts.alive_map_verdict(grid)
    assert says in verdict
    assert "After 5.0 units of time of silence" in verdict


@pytest.mark.parametrize("kind", [tp.BetaGeoModel, tp.ModifiedBetaGeoModel, ParetoNBDModel])
@pytest.mark.parametrize("frequency", [0, 1, 5000])
def test_maps_of_strange_customers(kind, frequency):
    customers = pd.DataFrame(
        {"frequency": [frequency], "recency": [float(frequency > 0) * 7], "T": [8.0]}
    )
    data = charts.alive_map_data(
        fixed(kind, MBG if kind is not ParetoNBDModel else PARETO), customers
    )
    assert 2 <= data["frequency"].max() <= 30
    assert data["alive"].between(0, 1).all()
    assert data.notna().all(axis=None)
    assert "nan" not in charts.alive_map_verdict(data)
    json.loads(charts.alive_map(data, "x").to_json(), parse_constant=refuse)


def test_maps_of_whole_periods_have_no_impossible_customers():
    donors = tp.load_donations()
    model = BetaGeoBetaBinomModel().fit(donors)
    data = charts.alive_map_data(model, donors)
    assert (data["frequency"] <= data["recency"]).all()
    assert data.attrs["n"] == 11104
    [heat] = charts.alive_map(data, "x").data
    for frequency, row in zip(heat.y, heat.z, strict=True):
        missing = [value is None for value in row]
        assert missing == [6 - silence < frequency for silence in heat.x]
    assert charts.alive_map_verdict(data)


def test_map_input_is_checked(split, model):
    data = charts.alive_map_data
    refused(["has no parameters"], data, tp.BetaGeoModel(), split)
    refused(["T is 0"], data, model, split.head(2) * 0)
    days = fixed(tp.ModifiedBetaGeoModel, MBG, "D")
    refused(['summarised in "W"', 'fitted in "D"'], data, days, split)


# -- the path ------------------------------------------------------------------------------------


def test_every_day_knows_its_past_only(path, model):
    log = tp.load_cdnow(sample=True)
    log = log[log["customer_id"] == "00004"]
    for day in ("1997-01-01", "1997-01-17", "1997-01-18", "1997-09-30", "1998-06-30"):
        summary = tp.rfm_summary(log[log["date"] <= day], until=day)
        row = path[path["date"] == day].iloc[0]
        assert row["frequency"] == summary["frequency"].iloc[0]
        silence = (summary["T"] - summary["recency"]).iloc[0]
        assert row["silence"] == pytest.approx(silence, abs=6e-4)
        assert row["alive"] == pytest.approx(model.probability_alive(summary).iloc[0], abs=6e-5)
    bought = path.loc[path["purchase"], "date"].tolist()
    assert bought == ["1997-01-01", "1997-01-18", "1997-08-02", "1997-12-12"]
    assert path["date"].iloc[[0, -1]].tolist() == ["1997-01-01", "1998-06-30"]
    assert len(path) == 546


def test_the_gap_is_where_the_path_crosses_the_line(path, model):
    # No purchase after 1997-12-12: silence crosses the line between two days of the path.
    after = path[path["date"] >= "1997-12-12"]
    awake = after[after["alive"] >= 0.6]["silence"].max()
    asleep = after[after["alive"] < 0.6]["silence"].min()
    bought = path.loc[path["purchase"], "date"]
    higher = charts.alive_path_data(model, bought, "1998-06-30", line=0.6)
    assert awake <= higher.attrs["gap"] <= asleep
    assert higher.attrs["gap"] < path.attrs["gap"]


def test_the_line_and_the_points_are_the_path(path):
    line, points, level = charts.alive_path(path, "x").data
    assert list(line.x) == path["date"].tolist()
    assert list(line.y) == path["alive"].tolist()
    bought = path[path["purchase"]]
    assert list(points.x) == bought["date"].tolist()
    assert list(points.y) == bought["alive"].tolist()
    assert set(level.y) == {0.5}
    assert level.line.color == BASELINE


def test_the_path_verdict_on_cdnow(path):
    assert charts.alive_path_verdict(path) == (
        "On 1998-06-30, 28.6 weeks after the last of 4 purchase days, the customer is alive with "
        "a probability of 54%; without another purchase it falls below 50% after 33.0 weeks of "
        "silence. Before a return it had been as low as 25%."
    )


@pytest.mark.parametrize(
    ("purchases", "until", "line", "says"),
    [
        (["2024-01-01"], "2024-12-31", 0.5, "it fell below 50% after"),
        (["2024-01-01"], "2024-01-02", 0.99, "that was below 99% on the day of the purchase"),
        (["2024-01-01", "2024-01-03"], "2024-01-03", 0.5, "0.0 weeks after the last of 2"),
        (
            ["2024-01-01", "2024-12-01"],
            "2024-12-02",
            0.5,
            "Before a return it had been as low as 37%.",
        ),
    ],
)
def test_the_path_verdict_takes_the_side_of_the_numbers(purchases, until, line, says):
    model = fixed(tp.ModifiedBetaGeoModel, MBG)
    data = charts.alive_path_data(model, purchases, until, line)
    assert says in charts.alive_path_verdict(data)


def test_a_model_that_lets_nobody_die_says_so():
    data = charts.alive_path_data(fixed(tp.BetaGeoModel, MBG), ["2024-01-01"], "2024-12-31")
    assert (data["alive"] == 1).all()
    assert data.attrs["gap"] is None
    assert "silence alone will not bring that below 50%" in charts.alive_path_verdict(data)
    json.loads(charts.alive_path(data, "x").to_json(), parse_constant=refuse)


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    until=st.integers(0, 500),
    kind=st.sampled_from([tp.BetaGeoModel, tp.ModifiedBetaGeoModel, ParetoNBDModel]),
)
def test_any_purchases_have_a_path(days, until, kind):
    start = pd.Timestamp("2023-01-01")
    moments = [start + pd.Timedelta(days=day, hours=day % 24) for day in days]
    last = start + pd.Timedelta(days=max(until, min(days)))
    model = fixed(kind, MBG if kind is not ParetoNBDModel else PARETO)
    data = charts.alive_path_data(model, moments, last.date())
    seen = {moment.date().isoformat() for moment in moments if moment.normalize() <= last}
    assert set(data.loc[data["purchase"], "date"]) == seen
    assert data["alive"].between(0, 1).all()
    # Silence never makes anybody more alive.
    same = data["frequency"].diff() == 0
    assert (data["alive"].diff()[same] <= 1e-9).all()
    assert "nan" not in charts.alive_path_verdict(data)


def test_path_input_is_checked():
    data = charts.alive_path_data
    model = fixed(tp.ModifiedBetaGeoModel, MBG)
    refused(["no purchase on or before 2023-12-31"], data, model, ["2024-01-01"], "2023-12-31")
    refused(["no purchase on or before"], data, model, [], "2023-12-31")
    refused(["purchase_times is '2024-01-01'", "list"], data, model, "2024-01-01", "2024-02-01")
    refused(["NaT", "time zone"], data, model, [pd.NaT], "2024-01-01")
    aware = [pd.Timestamp("2024-01-01", tz="UTC")]
    refused(["without a time zone"], data, model, aware, "2024-02-01")
    refused(["line is 1", "< 1"], data, model, ["2024-01-01"], "2024-02-01", 1)
    refused(["until is 'soon'"], data, model, ["2024-01-01"], "soon")
    refused(["has no parameters"], data, tp.BetaGeoModel(), ["2024-01-01"], "2024-02-01")
    unknown = fixed(tp.ModifiedBetaGeoModel, MBG, None)
    refused(["an unknown unit", 'in "D" or "W"'], data, unknown, ["2024-01-01"], "2024-02-01")
    years = BetaGeoBetaBinomModel.from_params([1.2, 0.75, 0.66, 2.78], unit="Y")
    refused(["years, in whole periods"], data, years, ["2024-01-01"], "2024-02-01")


# -- differences between customers ---------------------------------------------------------------


def test_classes_and_figures_are_those_of_the_distributions(spread, model):
    r, alpha, a, b = model.params_
    for name, law in (("purchase rate", gamma(r, scale=1 / alpha)), ("drop-out", beta(a, b))):
        part = spread[spread["quantity"] == name]
        share = law.cdf(part["high"]) - law.cdf(part["low"])
        assert part["share"].to_numpy() == pytest.approx(share, abs=1e-5)
        figures = spread.attrs[name]
        assert figures["mean"] == pytest.approx(law.mean())
        assert figures["median"] == pytest.approx(law.median())
        draws = np.sort(law.rvs(400_000, random_state=1))
        assert figures["top_share"] == pytest.approx(draws[360_000:].sum() / draws.sum(), abs=5e-3)
    assert spread.groupby("quantity")["share"].sum().tolist() == pytest.approx([1, 0.99], abs=1e-4)


def test_the_bars_are_the_classes_and_the_means_are_drawn(spread):
    figure = charts.heterogeneity(spread, "x", 10)
    for bars, (name, part) in zip(figure.data, spread.groupby("quantity", sort=False), strict=True):
        assert list(bars.y) == part["share"].tolist()
        assert np.add(bars.x, np.divide(bars.width, 2)) == pytest.approx(part["high"].to_numpy())
        [drawn] = [shape for shape in figure.layout.shapes if shape.xref == bars.xaxis]
        assert drawn.x0 == drawn.x1 == pytest.approx(spread.attrs[name]["mean"], rel=1e-5)
    assert figure.layout.xaxis.title.text == "Purchases a week"
    assert figure.layout.xaxis2.title.text == "Drop-out probability after a purchase"


def test_the_heterogeneity_verdicts():
    assert charts.heterogeneity_verdict(
        charts.heterogeneity_data(fixed(tp.ModifiedBetaGeoModel, MBG))
    ) == (
        "While active, the mean customer buys once in 12 weeks; the median customer once in 25 "
        "weeks. The most active tenth accounts for 43% of all purchases while everybody is "
        "active. After a purchase 36% leave for good on average; half of the customers do so with "
        "a probability below 31%."
    )
    # Half have left after beta (2^(1/s) - 1): 11.669 (2^(1/0.606) - 1) = 24.96.
    pareto = charts.heterogeneity_data(fixed(ParetoNBDModel, PARETO))
    assert charts.heterogeneity_verdict(pareto).endswith(
        "Half of the customers have left for good after 25 weeks."
    )
    figure = charts.heterogeneity(pareto, "x", 10)
    assert figure.layout.xaxis2.title.text == "Drop-out rate a week"


def test_a_regular_buyer_takes_several_stages_a_purchase():
    plain = fixed(tp.ModifiedBetaGeoModel, MBG)
    regular = tp.ModifiedBetaGeoModel.from_params(MBG, unit="W", regularity=3)
    rates = [charts.heterogeneity_data(m).attrs["purchase rate"]["mean"] for m in (plain, regular)]
    assert rates[0] == pytest.approx(3 * rates[1])


@pytest.mark.parametrize("r", [1e-3, 1, 1e3])
@pytest.mark.parametrize("alpha", [1e-3, 1e3])
@pytest.mark.parametrize("kind", [tp.BetaGeoModel, ParetoNBDModel])
def test_extreme_models_can_be_drawn(r, alpha, kind):
    data = charts.heterogeneity_data(kind.from_params([r, alpha, r, alpha]))
    assert data.notna().all(axis=None)
    assert np.isfinite(data[["low", "high", "share"]].to_numpy()).all()
    assert (data["high"] > data["low"]).all()
    verdict = charts.heterogeneity_verdict(data)
    assert "nan" not in verdict
    assert "inf" not in verdict
    assert "units of time" in verdict
    json.loads(charts.heterogeneity(data, "x", 1).to_json(), parse_constant=refuse)


def test_models_without_these_distributions_are_refused():
    data = charts.heterogeneity_data
    donors = BetaGeoBetaBinomModel.from_params([1.2, 0.75, 0.66, 2.78])
    refused(["has the parameters alpha, beta, gamma, delta"], data, donors)
    refused(["has no parameters"], data, tp.BetaGeoModel())
