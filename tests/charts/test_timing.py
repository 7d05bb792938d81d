"""The frontier of contact policies: its figure, its data and its sentence."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE, TEMPLATE
from touchpoint_lib.charts.timing import best_row, counted
from touchpoint_lib.timing.backtest import TimingBacktest

HOSTILE = "<script>alert(1)</script> & 90 %"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; 90 %"
INF, NAN = float("inf"), float("nan")


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def row(policy, error=0.25, omission=0.0, silence=34.0, fixed=47.0, earlier=(11.0, 16.0)):
    """Return a row as of `TimingBacktest.to_frame`."""
    low, high = earlier
    return {
        "policy": policy,
        "n_spells": 1000,
        "n_contacted": 600,
        "contacts_per_1000": 600.0,
        "error_rate": error,
        "error_rate_low": error - 0.02,
        "error_rate_high": error + 0.02,
        "omission_rate": omission,
        "omission_rate_low": max(omission - 0.01, 0) if omission == omission else NAN,
        "omission_rate_high": omission + 0.01,
        "mean_silence": silence,
        "mean_silence_low": silence - 1,
        "mean_silence_high": silence + 1,
        "median_silence": silence,
        "fixed_days": fixed,
        "days_earlier": fixed - silence,
        "days_earlier_low": low,
        "days_earlier_high": high,
    }


def backtest(*rows, n_lapsed=400, deadline=180):
    days = np.arange(1, deadline + 1)
    fixed = pd.DataFrame(
        {
            "days": days,
            "contacts_per_1000": 1000 - 2.0 * days,
            "error_rate": 0.44 * np.exp(-days / 130),
            "omission_rate": 0.0 if n_lapsed else NAN,
        }
    )
    return TimingBacktest(
        table=pd.DataFrame(list(rows)),
        fixed=fixed,
        n_customers=500,
        n_spells=1000,
        n_lapsed=n_lapsed,
        n_fitted=500,
        n_undecided=70,
        horizon=90,
        lapse=270,
        deadline=deadline,
        level=0.95,
    )


FIXED = {**row("60 days", 0.28, silence=60.0, fixed=60.0, earlier=(0.0, 0.0))}
FIXED |= {"contacts_per_1000": 880.0, "mean_silence_low": 60.0, "mean_silence_high": 60.0}
GAP = row("own 90 % gap", 0.46, 0.73, 64.0, 1.0, (-64.0, -61.0))


@pytest.fixture(scope="module")
def real():
    policies = {
        "60 days": tp.FixedDays(60),
        HOSTILE: tp.OwnGapQuantile(0.9),
        "own return": tp.OwnReturn(tp.ModifiedBetaGeoModel(), line=0.25),
        "late": tp.FixedDays(400),
    }
    return tp.backtest_timing(tp.load_cdnow(sample=True), policies)


def test_the_figure_is_plain_stable_and_names_its_source(real):
    data = charts.timing_frontier_data(real)
    figure = charts.timing_frontier(data, HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == charts.timing_frontier(data, HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {real.n_spells:,}"
    assert "<script" not in json.dumps(content)
    # In the hover and in the key.
    assert sum(SAFE in text for text in figure.data[2].customdata) == 1
    assert SAFE.replace(" ", "\u00a0") in figure.layout.annotations[-2].text.replace("<br>", " ")


def test_the_data_are_those_of_the_back_test(real):
    data, table = charts.timing_frontier_data(real), real.to_frame()
    policies, line = data[data["number"] > 0], data[data["number"] == 0]
    assert policies["policy"].tolist() == table["policy"].tolist()
    assert policies["number"].tolist() == [1, 2, 3, 4]
    assert policies["baseline"].tolist() == [True, False, False, False]
    for name in ("error_rate", "omission_rate_high", "mean_silence", "days_earlier_low"):
        np.testing.assert_allclose(policies[name], table[name], atol=0.006)
    assert line["mean_silence"].tolist() == list(range(1, 181))
    np.testing.assert_allclose(line["error_rate"], real.fixed["error_rate"], atol=5e-5)
    assert line["policy"].iloc[59] == "60 days"
    # A fixed number of days lies on the line.
    assert policies["error_rate"].iloc[0] == line["error_rate"].iloc[59]
    assert data.attrs["best"] == best_row(table, 0.05)


def test_points_and_line_are_the_data(real):
    data = charts.timing_frontier_data(real)
    line, marks, points = charts.timing_frontier(data, "x").data
    assert list(line.y) == data.loc[data["number"] == 0, "error_rate"].tolist()
    assert [label for label in line.text if label] == [
        "30 days", "45 days", "\u200260 days", "90 days", "120 days",
    ]  # fmt: skip
    assert list(marks.x) == [30, 45, 60, 90, 120]
    shown = data[(data["number"] > 0) & data["mean_silence"].notna()].set_index("number")
    at = {int(number): place for place, number in enumerate(points.text)}
    assert set(at) == set(shown.index) == {1, 2, 3}
    for number, place in at.items():
        assert points.x[place] == shown.loc[number, "mean_silence"]
        assert points.y[place] == shown.loc[number, "error_rate"]
    assert points.marker.color[at[1]] == BASELINE
    assert points.marker.symbol[at[1]] == "diamond"
    assert points.marker.color[at[2]] == "white"
    assert points.marker.color[at[3]] == ACCENT


def test_whom_nobody_is_contacted_by_is_in_the_key_and_not_drawn(real):
    data = charts.timing_frontier_data(real)
    key = charts.timing_frontier(data, "x").layout.annotations[-2].text.replace("\u00a0", " ")
    assert "4 late (finds none of the lapsed)" in key.replace("<br>", " ")
    assert key.startswith("Filled: misses at most 5% of the lapsed; open: more. 1 60 days;")


def test_the_best_is_told_with_its_intervals_and_the_popular_rule_beside_it():
    result = backtest(FIXED, GAP, row("own return", 0.25, 0.012))
    data = charts.timing_frontier_data(result)
    assert data.attrs["best"] == "own return"
    told = (
        "At the error rate of contacting everybody after 47.0 days (25% of the contacts wasted; "
        "95%: 23% to 27%) the best of 3 policies, own return, contacts the lapsed after 34.0 days "
        "of silence on average: 13.0 days earlier (95%: 11.0 to 16.0), and misses 1.2% (95%: 0.2% "
        "to 2.2%) of them."
    )
    assert charts.timing_frontier_verdict(data) == told
    assert charts.timing_frontier_verdict(data, "own return") == told
    assert charts.timing_frontier_verdict(data, "own 90 % gap") == (
        f"{told} The popular rule, own 90 % gap, misses 73% of the lapsed and wastes 46% of its "
        "contacts."
    )
    arrow = charts.timing_frontier(data, "x").layout.annotations[0]
    assert (arrow.ax, arrow.x, arrow.ay, arrow.y) == (47, 34, 0.25, 0.25)


def test_further_contacts_of_a_programme_are_told():
    for fixed, earlier in ((47.0, (11.0, 16.0)), (INF, (INF, INF))):
        several = row("programme", fixed=fixed, earlier=earlier) | {"contacts_per_1000": 3030.8}
        data = charts.timing_frontier_data(backtest(several))
        assert charts.timing_frontier_verdict(data).endswith(
            "misses none of the 400. That is for its first contacts, 600 in 1,000 spells; with "
            "the further ones it makes 3,031."
        )


def test_where_nobody_is_missed_no_bounds_are_told():
    data = charts.timing_frontier_data(backtest(row("own return", omission=0.0)))
    says = charts.timing_frontier_verdict(data)
    assert says.endswith("11.0 to 16.0), and misses none of the 400.")
    assert "the policy, own return, contacts" in says


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([row("a"), row("b", silence=30.0, earlier=(9.0, 20.0))], "b"),
        ([row("a"), row("b", omission=0.06, silence=30.0, earlier=(9.0, 20.0))], "a"),
        ([row("a"), row("b", silence=30.0, earlier=(0.0, 20.0))], "a"),
        ([FIXED, row("a", earlier=(0.0, 3.0))], None),
        ([FIXED], None),
        ([row("a"), row("b", fixed=INF, earlier=(50.0, INF))], "b"),
        (
            [row("a", silence=90.0, fixed=INF, earlier=(INF, INF)),
             row("b", silence=80.0, fixed=INF, earlier=(INF, INF))],
            "b",
        ),
        ([row("a", NAN, NAN, NAN, NAN, (NAN, NAN))], None),
    ],
)  # fmt: skip
def test_the_best_is_earliest_of_those_that_are_earlier_for_certain_and_miss_few(rows, best):
    assert best_row(pd.DataFrame(rows), 0.05) == best


def test_the_bound_of_missing_is_the_callers():
    result = backtest(row("a"), row("b", omission=0.06, silence=30.0))
    assert charts.timing_frontier_data(result).attrs["best"] == "a"
    data = charts.timing_frontier_data(result, 0.06)
    assert data.attrs["best"] == "b"
    assert data["within"].all()


def test_a_policy_better_than_any_day_is_told_without_infinities():
    data = charts.timing_frontier_data(
        backtest(row("a", 0.05, silence=136.0, fixed=INF, earlier=(INF, INF)))
    )
    assert charts.timing_frontier_verdict(data) == (
        "No fixed number of days up to 180 wastes so few contacts: the policy, a, contacts the "
        "lapsed after 136.0 days of silence on average, wastes 5% (95%: 3% to 7%) of its contacts, "
        "and misses none of the 400."
    )
    figure = charts.timing_frontier(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert figure.layout.title.text.startswith("No fixed number of days (line) wastes as few")
    assert figure.layout.annotations[0].ax == 180


@pytest.mark.parametrize(
    ("nearest", "says"),
    [
        (row("a", silence=46.0, earlier=(-1.5, 3.0)), "1.0 days earlier (95%: -1.5 to 3.0)."),
        (row("a", silence=49.0, earlier=(-4.0, 1.0)), "2.0 days later (95%: -1.0 to 4.0)."),
        (row("a", silence=49.0, earlier=(-4.0, INF)), "2.0 days later (95%: 4.0 or less)."),
        (row("a", silence=46.0, earlier=(-1.5, INF)), "1.0 days earlier (95%: -1.5 or more)."),
        (
            row("a", fixed=INF, earlier=(-2.0, INF)),
            "earlier than any such number (95%: by -2.0 days or more).",
        ),
    ],
)
def test_where_none_is_clearly_earlier_the_nearest_is_told(nearest, says):
    data = charts.timing_frontier_data(backtest(FIXED, GAP, nearest))
    assert data.attrs["best"] is None
    told = charts.timing_frontier_verdict(data)
    assert told.startswith(
        "No policy that misses at most 5% of the lapsed contacts them clearly earlier than a fixed "
        "number of days with the same error rate. The nearest, a, contacts them after "
    )
    assert told.endswith(f"and wastes 25% (95%: 23% to 27%) of its contacts: {says}")
    title = charts.timing_frontier(data, "x").layout.title.text.replace("<br>", " ")
    assert title.startswith("No policy contacts the lapsed clearly earlier than a fixed number")


def test_policies_that_miss_too_many_or_contact_nobody_beat_nothing():
    nobody = row("never", NAN, 1.0, NAN, NAN, (NAN, NAN))
    for rows, it in (
        ([FIXED, GAP], "the policy"),
        ([GAP, nobody], "each of the 2 policies"),
    ):
        data = charts.timing_frontier_data(backtest(*rows))
        assert charts.timing_frontier_verdict(data) == (
            f"No policy beats a fixed number of days: {it} misses more than 5% of the lapsed, or "
            "contacts nobody."
        )
    data = charts.timing_frontier_data(backtest(FIXED, nobody))
    assert charts.timing_frontier_verdict(data, "never").endswith(
        "The popular rule, never, contacts nobody."
    )
    alone = charts.timing_frontier_data(backtest(FIXED))
    assert charts.timing_frontier_verdict(alone) == (
        "No policy but fixed numbers of days was tried."
    )


def test_where_nobody_lapsed_there_is_nothing_to_compare():
    rows = [row(name, 0.4, NAN, NAN, NAN, (NAN, NAN)) for name in ("a", "b")]
    data = charts.timing_frontier_data(backtest(*rows, n_lapsed=0))
    assert charts.timing_frontier_verdict(data, "b") == (
        "None of the 1,000 spells lapsed: there is nobody to be found, and the 2 policies cannot "
        "be told from fixed days. The popular rule, b, wastes 40% of its contacts."
    )
    figure = charts.timing_frontier(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert len(figure.data[2].x) == 0


def test_bad_input_is_refused(real):
    with pytest.raises(InputError, match="result is a DataFrame"):
        charts.timing_frontier_data(real.to_frame())
    with pytest.raises(InputError, match="omission is 1"):
        charts.timing_frontier_data(real, 1.5)
    with pytest.raises(InputError, match="popular is 'mine', the policies are '60 days', "):
        charts.timing_frontier_verdict(charts.timing_frontier_data(real), "mine")


def test_numbers_of_things_agree():
    assert counted(1, "day", "days") == "1 day"
    assert counted(1234, "day", "days") == "1,234 days"
