"""Segment figures: what is drawn is what the data twin says, and the sentences say it rightly."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import BASELINE, TEMPLATE, text
from touchpoint_lib.segments import SLEEP_STATES, VALUE_SEGMENTS

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture(scope="module")
def split():
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")


@pytest.fixture(scope="module")
def model(split):
    return tp.ModifiedBetaGeoModel().fit(split)


@pytest.fixture(scope="module")
def states(model, split):
    return tp.sleep_states(model, split)


@pytest.fixture(scope="module")
def classes(split):
    return tp.purchase_classes(split)


@pytest.fixture(scope="module")
def outcomes(model, split):
    return tp.segment_outcomes(tp.value_segments(model.expected_purchases(split, 39)), split)


@pytest.fixture(scope="module")
def returned(states, split, classes):
    return charts.sleep_returns_data(states, split, classes)


@pytest.fixture(scope="module")
def slider(states, split):
    return charts.sleep_slider_data(states, split)


@pytest.fixture(scope="module")
def scores(split):
    return tp.rfm_scores(split)


@pytest.fixture(scope="module")
def draw(scores, outcomes, returned, slider):
    """Each figure as a function of the name of the source."""
    return {
        "rfm_map": lambda source: charts.rfm_map(scores, source),
        "value_shares": lambda source: charts.value_shares(outcomes, source),
        "sleep_returns": lambda source: charts.sleep_returns(returned, source),
        "sleep_slider": lambda source: charts.sleep_slider(slider, source, "W"),
    }


FIGURES = ["rfm_map", "value_shares", "sleep_returns", "sleep_slider"]


def strings(node):
    """Every text of a figure's JSON."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from strings(part)
    elif isinstance(node, str):
        yield node


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_plain_and_stable(draw, name):
    figure = draw[name]("CDNOW")
    # A FigureWidget would store its whole state in the notebook.
    assert type(figure) is go.Figure
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert figure.to_json() == draw[name]("CDNOW").to_json()
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    # Plain lists, not binary arrays, which no reader of a diff can compare.
    assert not re.search(r'"bdata"', figure.to_json())


@pytest.mark.parametrize("name", FIGURES)
def test_figures_name_source_and_size_and_show_them_to_the_letter(draw, name):
    figure = draw[name](HOSTILE)
    footer = figure.layout.annotations[-1].text
    assert footer == f"Source: {SAFE}; n = 2,357"
    assert not [part for part in strings(json.loads(figure.to_json())) if "<script" in part]


def test_the_title_is_broken_before_it_runs_out_of_the_figure(draw):
    for name in FIGURES:
        title = draw[name]("CDNOW").layout.title.text
        assert title
        assert max(len(line) for line in title.split("<br>")) <= 78


def test_escaping_shows_a_text_once():
    assert text("a < b & c > d") == "a &lt; b &amp; c &gt; d"
    assert text(5) == "5"


# --- RFM map -----------------------------------------------------------------------------------


def test_the_map_shows_every_cell_of_its_data(scores):
    data = charts.rfm_map_data(scores)
    heat = charts.rfm_map(scores, "CDNOW").data[0]
    cells = {(int(r), int(f)): n for f, row in zip(heat.y, heat.z, strict=True)
             for r, n in zip(heat.x, row, strict=True)}  # fmt: skip
    spends = {(int(r), int(f)): n for f, row in zip(heat.y, heat.customdata, strict=True)
              for r, n in zip(heat.x, row, strict=True)}  # fmt: skip
    assert sum(cells.values()) == len(scores)
    assert sum(n > 0 for n in cells.values()) == len(data)
    for row in data.itertuples():
        key = row.recency_score, row.frequency_score
        inside = scores[(scores["recency_score"] == key[0]) & (scores["frequency_score"] == key[1])]
        assert cells[key] == row.customers == len(inside)
        assert row.share == pytest.approx(len(inside) / 2357)
        assert spends[key] == pytest.approx(inside["monetary_value"].mean(), abs=0.006)
    assert [list(map(str, row)) for row in heat.z] == [list(row) for row in heat.text]


def made_scores(recency, frequency, repeats):
    return pd.DataFrame(
        {
            "recency_score": recency,
            "frequency_score": frequency,
            "frequency": repeats,
            "monetary_value": 5.0,
        }
    )


def test_the_map_names_its_largest_cell_and_leaves_empty_ones_at_0():
    scores = made_scores([1, 1, 1, 3], [1, 1, 2, 2], [0, 0, 1, 4])
    figure = charts.rfm_map(scores, "x")
    assert "largest cell holds 50% of the customers: recency 1, frequency 1" in (
        figure.layout.title.text.replace("<br>", " ")
    )
    assert [list(row) for row in figure.data[0].z] == [[2, 0], [1, 1]]


def test_the_verdict_counts_one_time_buyers_and_the_best_cell():
    scores = made_scores([1, 1, 5, 5, 5], [1, 3, 3, 3, 1], [0, 1, 4, 6, 0])
    says = charts.rfm_map_verdict(scores)
    assert says.startswith("40% of the 5 customers have bought on one day only;")
    assert "40% are in the most recent and the most frequent class at once" in says


# --- value shares ------------------------------------------------------------------------------


def test_the_bars_are_the_shares(outcomes):
    data = charts.value_shares_data(outcomes)
    figure = charts.value_shares(outcomes, "CDNOW")
    assert len(figure.data) == 3
    for bar, column in zip(figure.data, data.columns, strict=True):
        assert list(bar.x) == list(data.index) == ["core", "potential", "mass"]
        assert list(bar.y) == data[column].tolist()
        assert sum(bar.y) == pytest.approx(1, abs=2e-4)
        assert list(bar.text) == [f"{share:.0%}" for share in outcomes[column]]
    title = figure.layout.title.text.replace("<br>", " ")
    core = outcomes.loc["core"]
    expected = f"{core['customer_share']:.0%} of the customers brought "
    assert title.startswith(expected + f"{core['holdout_amount_share']:.0%} of the money")


def made_outcomes(means, names=("core", "potential", "mass")):
    index = pd.CategoricalIndex(names, VALUE_SEGMENTS, ordered=True)
    frame = pd.DataFrame({"holdout_amount_mean": means}, index=index)
    return frame.assign(n=10, customer_share=0.15, value_share=0.52, holdout_amount_share=0.37)


@pytest.mark.parametrize(
    ("means", "names", "held"),
    [
        ([9.0, 4, 1], ("core", "potential", "mass"), True),
        ([9.0, 1, 4], ("core", "potential", "mass"), False),
        ([4.0, 9, 1], ("core", "potential", "mass"), False),
        ([9.0, 1], ("core", "mass"), True),
        ([1.0, 9], ("core", "mass"), False),
        # Promotion-driven customers are outside the ranking.
        ([9.0, 4, 1, 20], VALUE_SEGMENTS, True),
        ([9.0], ("core",), True),
    ],
)
def test_segments_hold_where_a_better_one_spent_more(means, names, held):
    says = charts.value_shares_verdict(made_outcomes(means, names))
    assert says.startswith(f"The order of the segments {'held' if held else 'did not hold'}:")
    assert "the core, 15% of the customers, was expected to bring 52% of the value" in says
    assert "brought 37% of what was spent" in says


def test_segments_with_names_of_markup_stay_text():
    outcomes = made_outcomes([9.0, 1], ("core", "mass"))
    outcomes.index = pd.Index(["core", HOSTILE])
    figure = charts.value_shares(outcomes, "x")
    assert list(figure.data[0].x) == ["core", SAFE]
    assert not [part for part in strings(json.loads(figure.to_json())) if "<script" in part]


# --- sleep lines -------------------------------------------------------------------------------


def test_the_lines_are_medians_of_each_class():
    states = pd.DataFrame(
        {
            "drowsy_after": [1.0, 2, 9, 4],
            "half_asleep_after": [2.0, 4, 18, 8.04],
            "asleep_after": [4.0, 8, 36, 16],
        }
    )
    classes = pd.Series(pd.Categorical(["1", "1", "1", "2"], ["1", "2", "3-4"], ordered=True))
    data = charts.sleep_lines_data(states, classes)
    assert data.index.tolist() == ["1", "2"]
    assert data.loc["1"].tolist() == [2, 4, 8]
    assert data.loc["2"].tolist() == [4, 8, 16]
    says = charts.sleep_lines_verdict(data, "D")
    assert says == (
        "No fixed number of days fits all: half of the customers with 2 purchase days are asleep "
        "after 16 days of silence or sooner, of those with 1 after 8 days."
    )


def made_lines(**after):
    return pd.DataFrame({"asleep_after": after})


def test_lines_that_do_not_differ_are_not_said_to_differ():
    says = charts.sleep_lines_verdict(made_lines(**{"1": 8.1, "5+": 7.9}), "W")
    assert says.startswith("The lines lie close together: half of the customers with 5+ purchase")
    only = charts.sleep_lines_verdict(made_lines(**{"1": 8.1}), "W")
    assert only == (
        "Half of the customers with 1 purchase day are asleep after 8 weeks of silence or sooner."
    )


def test_silence_beyond_measure_is_not_written_out():
    for after in (1e200, np.inf):
        says = charts.sleep_lines_verdict(made_lines(**{"1": after, "2": 12.0}), "W")
        assert says.endswith("of those with 1 after more than 100,000 weeks.")


# --- sleep and return --------------------------------------------------------------------------


def test_the_curves_are_the_rates_of_each_class(returned, states, split, classes):
    figure = charts.sleep_returns(returned, "CDNOW")
    assert [trace.name for trace in figure.data] == ["5+", "3-4", "2", "1"]
    for trace in figure.data:
        rows = returned[returned["class"] == trace.name]
        assert list(trace.x) == rows["state"].tolist()
        assert list(trace.y) == pytest.approx(rows["buyer_rate"].tolist(), abs=5e-5)
        assert list(trace.customdata) == rows["n"].tolist()
        high = np.add(trace.y, trace.error_y.array)
        low = np.subtract(trace.y, trace.error_y.arrayminus)
        assert high == pytest.approx(rows["buyer_high"].to_numpy(), abs=2e-4)
        assert low == pytest.approx(rows["buyer_low"].to_numpy(), abs=2e-4)
        for row in rows.itertuples():
            inside = split[(classes == row[1]) & (states["state"] == row.state)]
            assert row.n == len(inside)
            assert row.buyer_rate == (inside["holdout_frequency"] > 0).mean()
    assert figure.data[0].text[0] == "5+ purchase days"
    assert figure.data[3].text[0] == "1 purchase day"


def made_returns(*rows):
    data = pd.DataFrame(rows, columns=["class", "state", "buyer_rate", "buyer_low", "buyer_high"])
    return data.assign(n=20, state=pd.Categorical(data["state"], SLEEP_STATES, ordered=True))


FALLING = [("1", "awake", 0.5, 0.4, 0.6), ("1", "asleep", 0.2, 0.1, 0.3)]
UNCLEAR = [("2", "awake", 0.5, 0.3, 0.7), ("2", "drowsy", 0.42, 0.2, 0.6)]
RISING = [("5+", "drowsy", 0.1, 0.05, 0.2), ("5+", "asleep", 0.6, 0.5, 0.7)]


@pytest.mark.parametrize(
    ("rows", "falls", "end"),
    [
        (FALLING, "1 of 1", "with 1 purchase day 50% of the awake and 20% of the asleep"),
        (UNCLEAR, "0 of 1", "with 2 purchase days 50% of the awake and 42% of the drowsy"),
        (RISING, "0 of 1", "with 5+ purchase days 10% of the drowsy and 60% of the asleep"),
        (FALLING + UNCLEAR + RISING, "1 of 3", "10% of the drowsy and 60% of the asleep"),
        # A class in one state compares nothing.
        ([*FALLING, ("2", "awake", 0.9, 0.8, 1)], "1 of 1", "50% of the awake and 20%"),
    ],
)
def test_the_fall_of_returns_is_counted_and_not_presumed(rows, falls, end):
    data = made_returns(*rows)
    says = charts.sleep_returns_verdict(data)
    assert f"In {falls} classes" in says
    assert end in says
    title = charts.sleep_returns(data, "x").layout.title.text.replace("<br>", " ")
    assert f"in {falls} classes" in title


def test_one_state_alone_is_not_compared():
    assert "cannot be compared" in charts.sleep_returns_verdict(made_returns(FALLING[0]))


def test_classes_with_names_of_markup_stay_text():
    data = made_returns(*[(HOSTILE, *row[1:]) for row in FALLING])
    figure = charts.sleep_returns(data, "x")
    assert figure.data[0].name == SAFE
    assert not [part for part in strings(json.loads(figure.to_json())) if "<script" in part]


# --- slider ------------------------------------------------------------------------------------


def test_each_position_counts_its_states_and_judges_its_line(slider, states, split):
    away = split["holdout_frequency"] == 0
    for row in slider.to_dict("records"):
        asleep = states["relative"] <= row["line"]
        assert row["asleep"] == asleep.sum()
        assert sum(row[state] for state in SLEEP_STATES) == len(states)
        assert row["error_rate"] == pytest.approx(tp.error_rate(away, asleep))
        assert row["omission_rate"] == pytest.approx(tp.omission_rate(away, asleep))
        # The baseline flags those longest silent: as many, and whoever ties with the last.
        flagged = states["silence"] >= row["baseline_days"]
        assert flagged.sum() >= row["asleep"]
        assert (states["silence"] > row["baseline_days"]).sum() < row["asleep"]
        assert row["baseline_error_rate"] == pytest.approx(tp.error_rate(away, flagged))
        assert row["baseline_omission_rate"] == pytest.approx(tp.omission_rate(away, flagged))
        for name in ("error_rate", "baseline_omission_rate"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_at_the_default_line_the_slider_counts_the_sleep_states(slider, states):
    row = slider.set_index("line").loc[0.2]
    assert row[list(SLEEP_STATES)].to_dict() == states["state"].value_counts().to_dict()


def test_every_step_of_the_slider_carries_its_row(slider):
    figure = charts.sleep_slider(slider, "CDNOW", "W", line=0.3)
    (control,) = figure.layout.sliders
    assert len(control.steps) == len(slider)
    assert slider["line"].iloc[control.active] == 0.3
    names = ["error_rate", "omission_rate"]
    for step, row in zip(control.steps, slider.to_dict("records"), strict=True):
        assert step.label == f"{row['line']:.2f}"
        assert step.method == "update"
        update, layout = step.args
        bars, line, baseline = update["y"]
        assert list(bars) == [row[state] for state in SLEEP_STATES]
        assert list(line) == [round(row[name], 4) for name in names]
        assert list(baseline) == [round(row[f"baseline_{name}"], 4) for name in names]
        assert update["text"][0][3].startswith(f"{row['asleep']:,}<br>")
        assert update["text"][1] == [f"sleep line {row[name]:.0%}" for name in names]
        for points, prefix in zip(update["error_y"][1:], ("", "baseline_"), strict=True):
            highs = [row[f"{prefix}{name}_high"] - row[f"{prefix}{name}"] for name in names]
            lows = [row[f"{prefix}{name}"] - row[f"{prefix}{name}_low"] for name in names]
            assert points["array"] == pytest.approx(highs, abs=5e-5)
            assert points["arrayminus"] == pytest.approx(lows, abs=5e-5)
        title = layout["title.text"].replace("<br>", " ")
        assert title.startswith(f"{row['asleep']:,} customers are asleep")
        assert f"needs {row['baseline_days']:.0f} weeks" in title
    # What is drawn before anybody moves the slider is the step it stands on.
    update = control.steps[control.active].args[0]
    for trace, y, label in zip(figure.data, update["y"], update["text"], strict=True):
        assert list(trace.y) == list(y)
        assert list(trace.text) == list(label)
    assert figure.layout.title.text == control.steps[control.active].args[1]["title.text"]


def test_the_baseline_is_drawn_in_its_own_colour(slider):
    figure = charts.sleep_slider(slider, "CDNOW", "W")
    assert [trace.marker.color for trace in figure.data if trace.name == "recency"] == [BASELINE]


def small(relative, silence, bought):
    states = pd.DataFrame({"relative": relative, "silence": silence})
    return states, pd.DataFrame({"holdout_frequency": bought})


def test_nobody_asleep_leaves_the_rate_out_and_draws_no_nan():
    data = charts.sleep_slider_data(*small([0.9, 0.7, 0.4], [1.0, 2, 5], [1, 0, 1]), lines=[0.2])
    assert data.loc[0, "asleep"] == 0
    assert np.isnan(data.loc[0, "error_rate"])
    assert data.loc[0, "omission_rate"] == 1
    figure = charts.sleep_slider(data, "x", "D")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert list(figure.data[1].y) == [None, 1]
    assert figure.layout.title.text == "Nobody has crossed this line"
    assert "nobody is asleep" in charts.sleep_slider_verdict(data)


@pytest.mark.parametrize(
    ("stayed_away", "says"),
    [
        (range(20, 40), "The line predicts better than recency alone"),
        (range(20), "Recency alone predicts better"),
        (range(15, 25), "Neither is clearly better"),
    ],
)
def test_the_better_rule_is_named_only_where_the_intervals_part(stayed_away, says):
    # The line flags customers 20-39 of 80, recency 0-19 of 80.
    relative = np.where(np.isin(np.arange(80), np.arange(20, 40)), 0.1, 0.9)
    silence = np.where(np.arange(80) < 20, 50.0, 3.0)
    away = np.isin(np.arange(80), list(stayed_away))
    data = charts.sleep_slider_data(*small(relative, silence, ~away * 1), lines=[0.2])
    verdict = charts.sleep_slider_verdict(data)
    assert verdict.split(". ")[-1].startswith(says)
    wrong = 1 - away[20:40].mean()
    assert f"is wrong for {wrong:.0%} of those it flags" in verdict
    assert f"misses {1 - away[20:40].sum() / away.sum():.0%} of those who stay away" in verdict
    assert f"longest silent is wrong for {1 - away[:20].mean():.0%}" in verdict


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"bought": [0, 0]}, ["2 of 2 customers bought nothing", "both kinds"]),
        ({"bought": [1, 2]}, ["0 of 2 customers bought nothing", "another split"]),
        ({"lines": []}, ["lines are []", "(0, 1)"]),
        ({"lines": [0.2, 1.0]}, ["lines are [0.2, 1.0]", "(0, 1)"]),
        ({"lines": [0.0]}, ["lines is 0 at row 0", "> 0"]),
        ({"index": [5, 6]}, ["states and split have different indexes", "rfm_split"]),
    ],
)
def test_a_slider_that_cannot_be_judged_is_refused(change, parts):
    states, split = small([0.1, 0.9], [5.0, 1], change.get("bought", [0, 1]))
    split.index = change.get("index", split.index)
    with pytest.raises(InputError) as caught:
        charts.sleep_slider_data(states, split, change.get("lines", [0.2]))
    for part in parts:
        assert part in str(caught.value)
