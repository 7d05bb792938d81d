"""Repeat purchases week by week: counts, expectation, band, figure and sentence."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.reference import lifetime as published
from tests.strategies import logs
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import BASELINE, TEMPLATE
from touchpoint_lib.charts.tracking import _interpolation
from touchpoint_lib.lifetime._covariates import Covariates
from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"
FIVE = ["actual", "expected", "lower", "upper", "own_rate"]


@pytest.fixture(scope="module")
def log():
    return tp.load_cdnow(sample=True)


@pytest.fixture(scope="module")
def split(log):
    return tp.rfm_split(log, split="1997-09-30")


@pytest.fixture(scope="module")
def models(split):
    return {
        "MBG/NBD": tp.ModifiedBetaGeoModel().fit(split),
        "BG/NBD": tp.BetaGeoModel().fit(split),
        "Pareto/NBD": ParetoNBDModel().fit(split),
    }


@pytest.fixture(scope="module")
def data(models, split, log):
    return charts.tracking_data(models, split, log)


@pytest.fixture
def given_model():
    return tp.ModifiedBetaGeoModel.from_params([0.525, 6.183, 0.891, 1.614], unit="W")


def refused(parts, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        charts.tracking_data(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def small_log(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "date"]).assign(
        date=lambda frame: pd.to_datetime(frame["date"]), amount=1.0
    )


def tracked(model, log, split_day, **options):
    split = tp.rfm_split(log, split=split_day, **options)
    return charts.tracking_data(model, split, log, **options)


# -- the counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("week", "figures"), published.TRACKING.items())
def test_published_tracking(week, figures, data):
    """R package BTYD; its expectations count one day more of every customer's age."""
    actual, expected = figures
    row = data[(data["model"] == "BG/NBD") & (data["week"] == week)].iloc[0]
    assert row["end"] == str((pd.Timestamp("1996-12-31") + pd.Timedelta(weeks=week)).date())
    assert row["cumulative_actual"] == actual
    assert row["cumulative_expected"] == pytest.approx(expected, rel=0.01)


def test_totals_are_those_of_the_split(data, split):
    for _, rows in data.groupby("model"):
        assert rows["actual"].sum() == 2457 + 1882
        assert rows.loc[rows["holdout"], "actual"].sum() == split["holdout_frequency"].sum()
        assert rows["week"].tolist() == list(range(1, 79))
        assert (rows["days"] == 7).all()
        assert rows.loc[~rows["holdout"], "end"].iloc[-1] == "1997-09-30"
        assert rows["end"].iloc[-1] == "1998-06-30"
    assert data.attrs["n"] == 2357
    assert data.attrs["split"] == "1997-09-30"
    assert data.attrs["certain"] == []


def brute_force(log, split_day, until, ends):
    """Repeat purchase days of customers acquired by the split, by week, with plain pandas."""
    days = log[log["date"] <= pd.Timestamp(until) + pd.Timedelta(hours=23, minutes=59)]
    days = days.assign(date=days["date"].dt.normalize())[["customer_id", "date"]].drop_duplicates()
    first = days.groupby("customer_id")["date"].min()
    repeats = days[
        (days["date"] > days["customer_id"].map(first))
        & (days["customer_id"].map(first) <= pd.Timestamp(split_day))
    ]
    return [(repeats["date"] <= end).sum() for end in pd.to_datetime(ends)]


@settings(max_examples=20, deadline=None)
@given(log=logs(days=40), day=st.integers(0, 38))
def test_any_log_is_counted_as_pandas_counts_it(log, day):
    split_day = (pd.Timestamp("2024-01-01") + pd.Timedelta(days=day)).date().isoformat()
    until = "2024-02-10"
    model = tp.ModifiedBetaGeoModel.from_params([0.5, 6, 0.9, 1.6], unit="D")
    data = tracked(model, log, split_day, until=until, unit="D")
    assert data["cumulative_actual"].tolist() == brute_force(log, split_day, until, data["end"])
    assert data["days"].between(1, 7).all()
    assert (data["days"].iloc[1:-1] == 7).all()
    assert data.notna().all(axis=None)
    assert charts.tracking_verdict(data)
    json.loads(charts.tracking(data, "x").to_json(), parse_constant=refuse)


@settings(max_examples=12, deadline=None)
@given(log=logs(returns=True, days=40), day=st.integers(0, 38))
def test_netted_returns_are_counted_as_the_split_counts_them(log, day):
    split_day = (pd.Timestamp("2024-01-01") + pd.Timedelta(days=day)).date().isoformat()
    options = {"until": "2024-02-10", "returns": "net", "unit": "W"}
    split = tp.rfm_split(log, split=split_day, **options)
    model = tp.ModifiedBetaGeoModel.from_params([0.5, 6, 0.9, 1.6], unit="W")
    data = charts.tracking_data(model, split, log, **options)
    before = data.loc[~data["holdout"], "actual"].sum()
    assert before == split["frequency"].sum()
    assert data["actual"].sum() - before == split["holdout_frequency"].sum()


def test_own_columns_and_files_work(tmp_path, log, given_model, data):
    own = log.rename(columns={"customer_id": "who", "date": "when", "amount": "paid"})
    path = tmp_path / "own.parquet"
    own.to_parquet(path)
    options = {"customer": "who", "time": "when", "amount": "paid", "unit": "W", "until": None}
    split = tp.rfm_split(str(path), split="1997-09-30", **options)
    ours = charts.tracking_data(given_model, split, str(path), **options)
    assert ours["actual"].tolist() == data["actual"].iloc[:78].tolist()


# -- the expectation -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MBG/NBD", "BG/NBD", "Pareto/NBD"])
def test_expectations_are_those_of_newcomers(name, data, models, split):
    births = pd.Timestamp("1997-09-30") - pd.to_timedelta((split["T"] * 7).round(), unit="D")
    rows = data[data["model"] == name].set_index("week")
    for week in (1, 5, 30, 39, 78):
        ages = (pd.Timestamp(rows.loc[week, "end"]) - births).dt.days.clip(lower=0) / 7
        total = sum(
            n * models[name].expected_purchases_new_customer(float(age))
            for age, n in ages.value_counts().items()
        )
        assert rows.loc[week, "cumulative_expected"] == pytest.approx(total, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize(("n", "precision"), [(33, 1e-7), (17, 1e-4)])
@pytest.mark.parametrize("alpha", [0.5, 5.0, 500.0])
def test_interpolation_equals_direct_evaluation(alpha, n, precision):
    model = tp.BetaGeoModel.from_params([0.24, alpha, 0.8, 2.4])
    times = np.arange(0, 546, 13) / 7
    nodes, matrix = _interpolation(times, n)

    def direct(at):
        return np.array([model.expected_purchases_new_customer(float(t)) for t in at])

    assert len(nodes) == n
    np.testing.assert_allclose(matrix @ direct(nodes), direct(times), rtol=precision, atol=1e-12)


@pytest.mark.parametrize("kind", [tp.ModifiedBetaGeoModel, ParetoNBDModel])
def test_customers_with_covariates_have_expectations_of_their_own(kind, split, log, monkeypatch):
    frame = split.assign(visits=np.arange(len(split)) % 3.0)
    params = {tp.ModifiedBetaGeoModel: [0.525, 6.183, 0.891, 1.614]}.get(
        kind, [0.553, 10.578, 0.606, 11.669]
    )
    plain, model = kind.from_params(params, unit="W"), kind.from_params(params, unit="W")
    # alpha falls with the covariate, at a given coefficient.
    monkeypatch.setattr(kind, "_links", {"rate": {1: -1.0}})
    model._covariates = Covariates.build(frame, {"rate": "visits"})
    model._coefficients = model._covariates.names
    model.params_ = pd.concat([plain.params_, pd.Series({model._coefficients[0]: 0.3})])
    data = charts.tracking_data({"with": model, "without": plain}, frame, log)
    births = (frame["T"].max() - frame["T"]) * 7
    ages = ((545 - births.round()) / 7).round(9)
    total = sum(
        model.expected_purchases_new_customer(age, covariates=group).sum()
        for age, group in frame.groupby(ages)
    )
    last = data.groupby("model")["cumulative_expected"].last()
    assert last["with"] == pytest.approx(total, rel=1e-6)
    assert last["with"] > 1.1 * last["without"]
    classes = charts.frequency_histogram_data({"with": model, "without": plain}, frame)
    none = classes[classes["purchases"] == "0"].set_index("model")["expected"]
    zero = sum(
        model.probability_of_n_purchases_new_customer(0, age, covariates=group).sum()
        for age, group in frame.groupby("T")
    )
    assert none["with"] == pytest.approx(zero, rel=1e-6)
    assert none["with"] < none["without"]
    with pytest.raises(InputError, match="customers share no one distribution"):
        charts.heterogeneity_data(model)


def test_own_rates_add_up(data, split):
    rows = data[data["model"] == "MBG/NBD"]
    # At the split everyone has bought what the own rate says, by definition.
    at_split = rows.loc[~rows["holdout"], "cumulative_own_rate"].iloc[-1]
    assert at_split == pytest.approx(2457, abs=1e-3)
    ahead = (split["frequency"] / split["T"]).sum() * 39
    assert rows["cumulative_own_rate"].iloc[-1] - at_split == pytest.approx(ahead, abs=1e-3)


def test_columns_fit_together(data):
    for column in FIVE[:2] + FIVE[4:]:
        for _, rows in data.groupby("model"):
            summed = rows[column].cumsum()
            np.testing.assert_allclose(summed, rows[f"cumulative_{column}"], atol=0.02)
    for prefix in ("", "cumulative_"):
        low, middle, high = (data[f"{prefix}{name}"] for name in ("lower", "expected", "upper"))
        assert ((low >= 0) & (low <= middle) & (middle <= high)).all()
    assert data.notna().all(axis=None)


# -- the band ------------------------------------------------------------------------------------


def test_the_band_holds_chance_and_the_parameters(models, split, log, data):
    """Wider than of the same model with its parameters known, and than Poisson."""
    fitted = models["MBG/NBD"]
    known = tp.ModifiedBetaGeoModel.from_params(fitted.params_, unit="W")
    sure = charts.tracking_data({"MBG/NBD": known}, split, log)
    unsure = data[data["model"] == "MBG/NBD"]
    assert sure.attrs["certain"] == ["MBG/NBD"]
    np.testing.assert_allclose(sure["expected"], unsure["expected"], atol=2e-3)
    width = unsure["cumulative_upper"] - unsure["cumulative_lower"]
    narrow = sure["cumulative_upper"] - sure["cumulative_lower"]
    assert (width.to_numpy()[5:] > narrow.to_numpy()[5:]).all()
    poisson = 2 * 1.96 * np.sqrt(sure["cumulative_expected"].to_numpy()[-1])
    assert narrow.to_numpy()[-1] > 1.5 * poisson
    # Chance alone, by hand: sd of the sum of the customers' own holdout counts.
    expected, low, high = sure.attrs["holdout"]["MBG/NBD"]
    came = split["holdout_frequency"]
    sd = np.sqrt(expected * came.var(ddof=0) / came.mean())
    assert [low, high] == pytest.approx([expected - 1.96 * sd, expected + 1.96 * sd], rel=1e-4)


def test_the_band_covers_what_the_model_does():
    """In 40 simulated shops of a known model, 95% bands of the holdout total miss about two."""
    model = tp.ModifiedBetaGeoModel.from_params([0.525, 6.183 * 7, 0.891, 1.614], unit="D")
    hits = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        rate = generator.gamma(0.525, 1 / (6.183 * 7), 400)
        leaves = generator.beta(0.891, 1.614, 400)
        rows = []
        for who in range(400):
            clock = 0.0
            while clock <= 300:
                rows.append((who, clock))
                if generator.random() < leaves[who]:
                    break
                clock += generator.exponential(1 / rate[who])
        log = pd.DataFrame(rows, columns=["customer_id", "day"])
        log["date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.ceil(log["day"]), unit="D")
        options = {"until": "2024-10-27", "amount": None, "unit": "D"}
        data = tracked(model, log, "2024-05-30", **options)
        _, low, high = data.attrs["holdout"]["ModifiedBetaGeoModel"]
        hits += low <= data.loc[data["holdout"], "actual"].sum() <= high
    # 40 draws of 95%: fewer than 34 in one of a thousand runs.
    assert hits >= 34


def test_a_fit_that_did_not_converge_is_drawn_and_named(log):
    few = log[log["customer_id"].isin(log["customer_id"].unique()[:4])]
    split = tp.rfm_split(few, split="1997-09-30", until="1998-06-30")
    with pytest.warns(tp.ConvergenceWarning):
        model = tp.ModifiedBetaGeoModel().fit(split)
    data = charts.tracking_data(model, split, few, until="1998-06-30")
    assert data.attrs["certain"] == ["ModifiedBetaGeoModel"]
    assert "taking its parameters as known" in charts.tracking_verdict(data)
    assert data.notna().all(axis=None)


# -- the figure ----------------------------------------------------------------------------------


def test_the_figure_is_plain_stable_and_names_its_source(data):
    figure = charts.tracking(data, HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == charts.tracking(data, HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert "null" not in re.sub(r'"template":.*', "", json.dumps(content["data"]))
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = 2,357"
    assert "<script" not in str(figure.to_plotly_json())
    assert json.loads(go.Figure(content).to_json()) == content


def test_the_lines_are_the_data(data):
    figure = charts.tracking(data, "x")
    for axis, prefix in (("y", "cumulative_"), ("y2", "")):
        traces = {trace.name: trace for trace in figure.data if trace.yaxis == axis}
        first = data[data["model"] == "MBG/NBD"]
        for name, rows, column in (
            ("actual", first, "actual"),
            ("own rates", first, "own_rate"),
            ("MBG/NBD", first, "expected"),
            ("BG/NBD", data[data["model"] == "BG/NBD"], "expected"),
            ("Pareto/NBD", data[data["model"] == "Pareto/NBD"], "expected"),
        ):
            assert list(traces[name].x) == rows["end"].tolist()
            assert list(traces[name].y) == pytest.approx(rows[prefix + column].tolist(), abs=0.051)
        assert traces["own rates"].line.color == BASELINE
        [band] = [trace for trace in figure.data if trace.yaxis == axis and trace.fill]
        n = len(first)
        assert list(band.y[:n]) == pytest.approx(first[f"{prefix}upper"].tolist(), abs=0.051)
        assert list(band.y[n:])[::-1] == pytest.approx(first[f"{prefix}lower"].tolist(), abs=0.051)
    lines = [shape for shape in figure.layout.shapes if shape.x0 == shape.x1 == "1997-09-30"]
    assert [shape.yref for shape in lines] == ["y domain", "y2 domain"]


def test_short_weeks_are_in_the_totals_only(given_model):
    log = small_log(("a", "2024-01-01"), ("a", "2024-01-09"), ("b", "2024-01-03"))
    data = tracked(given_model, log, "2024-01-10", until="2024-01-27")
    assert data["days"].tolist() == [3, 7, 7, 7, 3]
    assert data["end"].tolist() == [f"2024-01-{day:02}" for day in (3, 10, 17, 24, 27)]
    figure = charts.tracking(data, "x")
    lengths = {(trace.yaxis, trace.name): len(trace.x) for trace in figure.data if trace.name}
    assert lengths["y", "actual"] == 5
    assert lengths["y2", "actual"] == 3


def test_a_model_with_a_name_of_markup_stays_text(models, split, log):
    data = charts.tracking_data({HOSTILE: models["BG/NBD"]}, split, log)
    figure = charts.tracking(data, "x")
    assert SAFE in [trace.name for trace in figure.data]
    assert "<script" not in str(figure.to_plotly_json())


# -- the sentence --------------------------------------------------------------------------------


def test_the_verdict_on_cdnow(data):
    assert charts.tracking_verdict(data) == (
        "After the split 1,882 repeat purchases came where MBG/NBD expected 1,574 (95%: 1,270 to "
        "1,879). Clearly more came than expected; 30 of 39 whole weeks lie in their bands. "
        "Customers who all went on at their own rate would have bought 2,930 times, which is "
        "further off."
    )
    title = charts.tracking(data, "x").layout.title.text.replace("<br>", " ")
    assert title == (
        "1,882 repeat purchases came after the split; MBG/NBD expected 1,574 (95%: 1,270 to 1,879)"
    )


def made(came, expected, low, high, own, inside):
    """Two weeks after the split, of which so many lie in the band."""
    lower = [came / 2 - 1 if week < inside else came + 1 for week in range(2)]
    data = pd.DataFrame(
        {
            "model": "m",
            "days": 7,
            "actual": came / 2,
            "lower": lower,
            "upper": came + 2.0,
            "own_rate": own / 2,
            "holdout": True,
        }
    )
    data.attrs = {"certain": [], "holdout": {"m": [expected, low, high]}}
    return data


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (made(10, 12, 8, 16, 20, 2), ["within what chance", "2 of 2", "20 times", "further off."]),
        (made(10, 20, 15, 25, 12, 0), ["Clearly fewer came", "0 of 2 whole weeks", "closer."]),
        (made(30, 20, 15, 25, 20, 1), ["Clearly more came", "1 of 2", "as far off."]),
        (made(0, 3, 0, 8, 0, 2), ["After the split 0 repeat", "closer."]),
    ],
)
def test_the_verdict_takes_the_side_of_the_numbers(case, says):
    verdict = charts.tracking_verdict(case)
    for part in says:
        assert part in verdict


# -- hostile logs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "2024-01-01")],
        [("a", "2024-01-10"), ("a", "2024-01-20")],
        [("a", "2024-01-01"), ("b", "2024-01-25"), ("b", "2024-01-26")],
    ],
)
def test_tiny_logs_can_be_drawn(rows, given_model):
    data = tracked(given_model, small_log(*rows), "2024-01-10", until="2024-01-31")
    assert data.notna().all(axis=None)
    assert np.isfinite(data.select_dtypes("number").to_numpy()).all()
    json.loads(charts.tracking(data, "x").to_json(), parse_constant=refuse)
    assert "nan" not in charts.tracking_verdict(data)
    # One customer or none that buys is no proof that nothing is left to chance.
    half = data["upper"] - data["expected"]
    assert (half >= 1.959 * np.sqrt(data["expected"]) - 1e-3).all()


def test_what_does_not_belong_together_is_refused(models, split, log):
    model = models["BG/NBD"]
    other = log.iloc[:-500]
    refused(
        ["the log has", "split has 2,457", "options that rfm_split was given"], model, split, other
    )
    refused(["until 1998-05-31", "until 1998-06-30"], model, split, log, until="1998-05-31")
    refused(['unit is "D"', 'in "W"'], model, split, log, unit="D")
    bare = split.copy()
    bare.attrs = {}
    refused(["lacks unit, split or until"], model, bare, log)
    refused(["no column 'holdout_frequency'"], model, tp.rfm_summary(log), log)
    refused(["has no parameters", "call fit"], tp.BetaGeoModel(), split, log)
    days = tp.BetaGeoModel.from_params([0.24, 30, 0.8, 2.4], unit="D")
    refused(["'BetaGeoModel' was fitted in \"D\""], days, split, log)
    refused(["models is empty"], {}, split, log)
    refused(["whole periods"], BetaGeoBetaBinomModel.from_params([1.2, 0.7, 0.6, 2.7]), split, log)
