"""Importance against priority: the figure, its data and its sentence."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from tests.charts.campaign_samples import title_of
from touchpoint_lib import charts


def quadrant(name, channel, stage="awake", profit=100.0, value=1234.0):
    return {
        "channel": channel,
        "stage": stage,
        "profit": profit,
        "low": profit - 50,
        "high": profit + 50,
        "unreached": 500,
        "value": value,
        "quadrant": name,
    }


def quadrants(*rows, missing=0):
    data = pd.DataFrame(list(rows), columns=pd.Index(quadrant("keep", "x")))
    data.attrs = {"level": 0.95, "n": 5000, "missing": missing}
    return data


def test_the_quadrants_are_those_of_the_matrix(matrix):
    data = charts.touchpoint_quadrants_data(matrix)
    table = matrix.table[matrix.table["by"] == "stage"]
    known = table[table["profit_low"].notna()].reset_index(drop=True)
    assert len(data) == len(known)
    for name, column in (
        ("profit", "profit_per_1000"),
        ("low", "profit_low"),
        ("high", "profit_high"),
        ("value", "not_reached_value"),
        ("unreached", "unreached"),
    ):
        np.testing.assert_allclose(data[name], known[column], rtol=1e-5)
    assert data["quadrant"].tolist() == known["quadrant"].tolist()
    assert data.attrs["missing"] == len(table) - len(known)
    figure = charts.touchpoint_quadrants(data, "x")
    assert sum(len(trace.x) for trace in figure.data) == len(data)
    for trace in figure.data:
        mine = data[data["quadrant"] == trace.name]
        assert list(trace.x) == mine["profit"].tolist()
        assert list(trace.y) == mine["unreached"].tolist()
        np.testing.assert_allclose(
            np.subtract(trace.x, trace.error_x.arrayminus), mine["low"], atol=1e-6
        )
        assert ("text" in trace.mode) == (trace.name != "find out")


def test_the_verdict_of_the_quadrants():
    data = quadrants(
        quadrant("expand", "sms"),
        quadrant("expand", "chat", value=100.0),
        quadrant("keep", "chat", "new", value=10.0),
        quadrant("stop", "post", profit=-100.0, value=-5.0),
        quadrant("find out", "email"),
        missing=1,
    )
    assert charts.touchpoint_quadrants_verdict(data) == (
        "Expand sms to awake and chat to awake, where customers not reached are worth 1,334; keep "
        "chat to new, where customers not reached are worth 10.0; stop post to awake; find out "
        "about 1 cell by holding out more. 1 cell has no estimate."
    )
    assert title_of(charts.touchpoint_quadrants(data, "x")) == (
        "A contact clearly pays in 3 of 5 cells"
    )


def test_labels_of_points_that_are_alike_stand_apart():
    rows = [quadrant("keep", "a", "new"), quadrant("keep", "b", "new")]
    figure = charts.touchpoint_quadrants(quadrants(*rows), "x")
    assert list(figure.data[0].textposition) == ["top center", "bottom center"]
    far = [quadrant("keep", "a", profit=100.0), quadrant("stop", "b", profit=-9000.0)]
    figure = charts.touchpoint_quadrants(quadrants(*far), "x")
    assert [list(trace.textposition) for trace in figure.data] == [["top center"], ["top center"]]


def test_labels_at_the_edge_stand_inside():
    rows = [
        quadrant("keep", "a long name of it", profit=1000.0),
        quadrant("stop", "a long name of it", profit=-90000.0),
    ]
    for row, reach in zip(rows, (1, -1), strict=True):
        row |= {"low": row["profit"] - 1, "high": row["profit"] + 1}
        row["unreached"] += reach
    figure = charts.touchpoint_quadrants(quadrants(*rows), "x")
    sides = {trace.name: trace.textposition[0].split()[1] for trace in figure.data}
    assert sides == {"keep": "left", "stop": "right"}


def test_without_an_estimate_there_is_no_axis_of_numbers():
    figure = charts.touchpoint_quadrants(quadrants(missing=3), "x")
    assert title_of(figure) == "No cell of channel and stage has an estimate"
    assert not figure.data
    assert figure.layout.xaxis.showticklabels is False


def test_all_points_and_whiskers_are_on_the_axes():
    rows = [
        quadrant(name, "sms", profit=profit)
        for name, profit in itertools.product(("expand", "find out"), (-4000.0, 70.0, 900.0))
    ]
    figure = charts.touchpoint_quadrants(quadrants(*rows), "x")
    low, high = figure.layout.xaxis.range
    assert low < -4050
    assert high > 950
    assert figure.layout.yaxis.range[0] < 500 < figure.layout.yaxis.range[1]
