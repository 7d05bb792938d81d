"""Charts of churn: figures against their data, verdicts against their numbers, hostile names."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, TEMPLATE
from touchpoint_lib.churn.influence import indicator_deciles, influence

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def shop():
    """Buyers are silent for a short time; the second name is markup, and says little."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"silence": rng.exponential(60, 1200), HOSTILE: rng.normal(size=1200)})
    frame["gap"] = np.where(rng.random(1200) < 0.3, np.nan, rng.exponential(30, 1200))
    buys = rng.random(1200) < 1 / (1 + np.exp(frame["silence"] / 30 - 1 - 0.1 * frame[HOSTILE]))
    return frame, buys.to_numpy()


@pytest.fixture(scope="module")
def deciles(shop):
    frame, buys = shop
    return charts.decile_plot_data(frame, buys, list(frame), "buy within 90 days")


@pytest.fixture(scope="module")
def found(shop):
    frame, buys = shop
    return influence(frame, buys)


@pytest.fixture(scope="module")
def ranked(found):
    return charts.influence_chart_data(found)


@pytest.fixture(scope="module")
def draw(deciles, ranked):
    return {
        "decile_plot": lambda source: charts.decile_plot(deciles, source),
        "influence_chart": lambda source: charts.influence_chart(ranked, source),
    }


@pytest.mark.parametrize("name", ["decile_plot", "influence_chart"])
def test_figures_are_plain_stable_and_name_their_source(draw, name):
    figure = draw[name](HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == draw[name](HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = 1,200"
    # plotly writes "<" as an escape.
    shown = json.dumps(content)
    assert "<script" not in shown
    assert SAFE in shown.replace(f"Source: {SAFE}", "")


# --- tenths ------------------------------------------------------------------------------------


def test_tenths_are_those_of_each_indicator(shop, deciles):
    frame, buys = shop
    for name in frame:
        rows = deciles[deciles["indicator"] == name].drop(columns="indicator")
        expected = indicator_deciles(frame[name], buys)
        rates, values = ["rate", "rate_low", "rate_high"], ["low", "high", "median"]
        rows = rows.reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[rates], expected[rates].round(4))
        pd.testing.assert_frame_equal(rows[values], expected[values], rtol=1e-7, atol=0)
        pd.testing.assert_frame_equal(rows[["bin", "n"]], expected[["bin", "n"]])
    assert deciles.attrs["n"] == 1200
    assert deciles.attrs["rate"] == round(buys.mean(), 4)
    alone = charts.decile_plot_data(frame, buys, "gap", "buy", bins=4)
    assert alone["bin"].tolist() == ["1", "2", "3", "4", "missing"]


def test_small_values_keep_their_digits():
    frame = pd.DataFrame({"purchases_per_day": [1e-5, 2 / 3 * 1e-4, 9e-5, 1234567.891]})
    data = charts.decile_plot_data(frame, [0, 1, 0, 1], "purchases_per_day", "buy", bins=2)
    assert data["low"].tolist() == [1e-5, 9e-5]
    assert data["high"].tolist() == [6.6666667e-5, 1234567.9]
    figure = charts.decile_plot(data, "x")
    assert figure.data[0].customdata[0][0] == "1e-05 to 6.667e-05"


def test_points_are_the_rates_and_the_missing_look_different(deciles):
    figure = charts.decile_plot(deciles, "x")
    assert len(figure.data) == 3
    for trace, (_, rows) in zip(figure.data, deciles.groupby("indicator", sort=False), strict=True):
        assert list(trace.x) == rows["bin"].tolist()
        assert list(trace.y) == rows["rate"].tolist()
        high = np.add(trace.y, trace.error_y.array)
        low = np.subtract(trace.y, trace.error_y.arrayminus)
        assert high == pytest.approx(rows["rate_high"].to_numpy(), abs=1e-4)
        assert low == pytest.approx(rows["rate_low"].to_numpy(), abs=1e-4)
        missing = [value == "missing" for value in rows["bin"]]
        assert [symbol == "x" for symbol in trace.marker.symbol] == missing
        assert [colour != ACCENT for colour in trace.marker.color] == missing
        assert [count for _, count in trace.customdata] == rows["n"].tolist()
    lines = [shape for shape in figure.layout.shapes if shape.line.color == BASELINE]
    assert [line.y0 for line in lines] == [deciles.attrs["rate"]] * 3
    assert list(figure.layout.xaxis.categoryarray) == [*map(str, range(1, 11)), "missing"]


def made_deciles(*rows, event="buy again"):
    columns = ["indicator", "bin", "low", "high", "median", "n", "rate", "rate_low", "rate_high"]
    data = pd.DataFrame(rows, columns=columns)
    data.attrs = {"n": 300, "rate": 0.3, "event": event, "level": 0.95}
    return data


FLAT = ("flat", "1", 0.0, 9.0, 4.0, 300, 0.3, 0.25, 0.35)


@pytest.mark.parametrize(
    ("rows", "verdict", "title"),
    [
        (
            [
                FLAT,
                ("gap", "1", 1.0, 1.0, 1.0, 100, 0.6, 0.5, 0.69),
                ("gap", "2", 2.0, 1500.0, 9.0, 100, 0.2, 0.13, 0.29),
                ("gap", "missing", np.nan, np.nan, np.nan, 100, 0.1, 0.05, 0.17),
            ],
            (
                "Of all 300 customers 30% buy again. By gap that is 60% (95%: 50% to 69%) where it "
                "is 1, and 10% (95%: 5% to 17%) where it is missing: clearly different."
            ),
            "From 10% to 60% buy again by class of gap",
        ),
        (
            [
                ("gap", "1", 0.5, 1.0, 1.0, 150, 0.28, 0.21, 0.36),
                ("gap", "2", 2.0, 1500.0, 9.0, 150, 0.32, 0.25, 0.4),
            ],
            (
                "Of all 300 customers 30% buy again. By gap that is 32% (95%: 25% to 40%) where it "
                "is 2 to 1,500, and 28% (95%: 21% to 36%) where it is 0.5 to 1: not clearly "
                "different."
            ),
            "From 28% to 32% buy again by class of gap",
        ),
        (
            [FLAT],
            "Of all 300 customers 30% buy again. No indicator has customers that differ.",
            "From 30% to 30%",
        ),
    ],
)
def test_the_verdict_names_the_widest_span(rows, verdict, title):
    data = made_deciles(*rows)
    assert charts.decile_plot_verdict(data) == verdict
    figure = charts.decile_plot(data, "x")
    assert title in figure.layout.title.text.replace("<br>", " ")
    json.loads(figure.to_json(), parse_constant=refuse)


# --- influence ---------------------------------------------------------------------------------


def test_a_group_of_several_is_named_with_their_number(shop):
    frame, buys = shop
    several = influence(frame, buys, groups=dict(zip(frame, ["a", "a", "b"], strict=True)))
    names = charts.influence_chart_data(several)["name"]
    assert set(names) == {"a (2 columns)", "b"}


def test_bars_are_the_largest_shares(found, ranked):
    assert ranked["name"].tolist() == list(found.groups.index)
    assert ranked["share"].tolist() == found.groups["share"].round(4).tolist()
    assert ranked.attrs["n_signal"] == found.groups["signal"].sum()
    figure = charts.influence_chart(ranked, "x")
    (bars,) = figure.data
    assert list(bars.x) == ranked["share"].tolist()
    assert np.add(bars.x, bars.error_x.array) == pytest.approx(ranked["share_high"], abs=1e-4)
    assert np.subtract(bars.x, bars.error_x.arrayminus) == pytest.approx(
        ranked["share_low"], abs=1e-4
    )
    expected = [ACCENT if signal else GREYS[2] for signal in ranked["signal"]]
    assert list(bars.marker.color) == expected
    assert {ACCENT, GREYS[2]} == set(expected)
    (line,) = figure.layout.shapes
    # The noise is on the scale of the shares.
    total = found.groups["loss_increase"].clip(lower=0).sum()
    assert line.x0 == line.x1 == pytest.approx(found.noise / total, abs=1e-4)
    assert figure.layout.xaxis.range[1] >= ranked["share_high"].max()
    assert figure.layout.yaxis.categoryarray[-1] == bars.y[0]


def test_columns_can_be_ranked_and_the_rest_left_out(found):
    data = charts.influence_chart_data(found, by="columns", top=1)
    assert data["name"].tolist() == ["silence"]
    assert data.attrs["n_all"] == 3
    assert "of 3 indicators" in charts.influence_chart_verdict(data)
    assert "of 3 indicators" in charts.influence_chart(data, "x").layout.title.text


def made_ranking(*rows, n_signal):
    data = pd.DataFrame(rows, columns=["name", "share", "share_low", "share_high", "signal"])
    data.attrs = {
        "by": "groups",
        "n_all": 14,
        "n_signal": n_signal,
        "noise": 0.004,
        "explained": 0.195,
        "explained_low": 0.184,
        "explained_high": 0.203,
        "level": 0.95,
        "n": 1000,
        "n_customers": 500,
    }
    return data


EXPLAINED = (
    " All indicators together explain 20% of the deviance of customers the trees have not seen "
    "(95%: 18% to 20%)."
)


@pytest.mark.parametrize(
    ("rows", "n_signal", "verdict", "title"),
    [
        (
            [
                ("decayed", 0.59, 0.56, 0.64, True),
                ("silence", 0.13, 0.11, 0.15, True),
                ("life", 0.09, 0.08, 0.1, True),
                ("window", 0.05, 0.04, 0.06, True),
            ],
            8,
            (
                "decayed carries 59% (95%: 56% to 64%) of the influence, followed by silence 13% "
                "(95%: 11% to 15%) and life 9% (95%: 8% to 10%). 8 of 14 groups of indicators are "
                "above the noise that shuffled copies reach."
            ),
            "decayed carries 59% of the influence; 8 of 14 groups are above the noise",
        ),
        (
            [("decayed", 0.9, 0.8, 1.0, True), ("gaps", 0.1, 0.0, 0.2, False)],
            1,
            (
                "decayed carries 90% (95%: 80% to 100%) of the influence. 1 of 14 groups of "
                "indicators is above the noise that shuffled copies reach."
            ),
            "decayed carries 90% of the influence; 1 of 14 groups is above the noise",
        ),
        (
            [("gaps", 0.7, 0.0, 1.0, False)],
            0,
            "None of 14 groups of indicators is above the noise.",
            "None of 14 groups is above the noise",
        ),
    ],
)
def test_the_verdict_names_the_carriers(rows, n_signal, verdict, title):
    data = made_ranking(*rows, n_signal=n_signal)
    assert charts.influence_chart_verdict(data) == verdict + EXPLAINED
    assert title in charts.influence_chart(data, "x").layout.title.text.replace("<br>", " ")


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], "columns is empty"),
        (["silence", "age"], "frame has no column 'age'"),
        (5, "frame has no column 5"),
        ([["silence"]], r"columns has \['silence'\], a list; name columns by their labels"),
    ],
)
def test_tenths_of_unknown_columns_are_refused(shop, columns, words):
    with pytest.raises(InputError, match=words):
        charts.decile_plot_data(*shop, columns, "buy")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"found": pd.DataFrame()}, "found is a DataFrame; pass the result of influence"),
        ({"by": "rows"}, "by is 'rows'; it must be one of 'groups', 'columns'"),
        ({"top": 0}, "top is 0; it must be >= 1"),
    ],
)
def test_a_ranking_of_another_kind_is_refused(found, change, words):
    with pytest.raises(InputError, match=words):
        charts.influence_chart_data(**{"found": found, **change})


def test_no_influence_cannot_be_drawn():
    once = np.full(900, np.nan)
    once[5] = 1.0
    nothing = influence(pd.DataFrame({"once": once}), np.arange(900) % 2)
    with pytest.raises(InputError, match="no group has any influence"):
        charts.influence_chart_data(nothing)
