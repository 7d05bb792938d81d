"""Own return by days of silence: its figure, its data and its sentence."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE, TEMPLATE

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def spells():
    return tp.purchase_spells(tp.load_cdnow(sample=True))


@pytest.fixture(scope="module")
def sources(spells):
    customers = tp.rfm_summary(tp.load_cdnow(sample=True), unit="D")
    return {
        "MBG/NBD": tp.ModifiedBetaGeoModel().fit(customers),
        HOSTILE: tp.OwnReturnFrequency().fit(spells),
    }


@pytest.fixture(scope="module")
def data(sources, spells):
    return charts.own_return_curves_data(sources, spells)


def made(waits, days=180):
    """Return data of two sources, one row a class, down to the line on these days."""
    rows = [
        {"source": name, "purchases": label, "n": 10, "frequency": 0.0, "recency": 0.0,
         "day": 0.0, "probability": 0.3, "contact_day": wait}
        for name, days_ in waits.items() for label, wait in days_.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.attrs = {"horizon": 90, "days": days, "line": 0.25}
    return frame


def test_the_figure_is_plain_stable_and_names_its_source(data, spells):
    figure = charts.own_return_curves(data, HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == charts.own_return_curves(data, HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {len(spells):,}"
    assert "<script" not in json.dumps(content)
    assert sum(len(trace.x) for trace in figure.data) < 1000


def test_curves_are_those_of_the_typical_customer_of_each_class(data, sources, spells):
    classes = tp.purchase_classes(spells.assign(T=spells["recency"]))
    assert data["purchases"].unique().tolist() == ["1", "2", "3-4", "5+"]
    for label in ("1", "5+"):
        mine = spells[(classes == label).to_numpy()]
        rows = data[data["purchases"] == label]
        assert (rows["n"] == len(mine)).all()
        assert (rows["frequency"] == mine["frequency"].median()).all()
        assert (rows["recency"] == mine["recency"].median()).all()
        one = rows[["frequency", "recency"]].drop_duplicates()
        for name, source in sources.items():
            curve = rows[rows["source"] == name]
            at = curve[curve["day"].isin([0, 60, 180])]
            if name == "MBG/NBD":
                one = one.assign(T=one["recency"])
            expected = [
                float(source.own_return_probability(one, day, 90).iloc[0]) for day in at["day"]
            ]
            assert at["probability"].tolist() == pytest.approx(expected, abs=5e-5)


def test_the_contact_day_is_that_of_the_policy(data, sources):
    for name, source in sources.items():
        rows = data[data["source"] == name].drop_duplicates("purchases")
        policy = tp.OwnReturn(source, line=0.25, horizon=90, latest=180)
        expected = policy.silence(rows[["frequency", "recency"]])
        assert rows["contact_day"].tolist() == expected.tolist()


def test_a_log_that_tells_no_more_ends_the_curves_sooner(sources, spells):
    last = sources[HOSTILE].last_
    short = charts.own_return_curves_data(sources, spells, horizon=90, days=1000)
    assert short.attrs["days"] == np.floor(last - 90)
    assert short["day"].max() <= short.attrs["days"]
    alone = charts.own_return_curves_data({"m": sources["MBG/NBD"]}, spells, days=1000)
    assert alone.attrs["days"] == 1000
    assert len(alone) / 4 <= 61


def test_lines_marks_and_corner_are_the_data(data):
    figure = charts.own_return_curves(data, "x")
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    groups = list(data.groupby(["purchases", "source"], sort=False))
    assert len(lines) == len(groups) == 8
    by_key = {
        (place // 2, place % 2): (list(trace.x), list(trace.y)) for place, trace in enumerate(lines)
    }
    for place, label in enumerate(["1", "2", "3-4", "5+"]):
        for nth, name in enumerate(["MBG/NBD", HOSTILE]):
            curve = data[(data["purchases"] == label) & (data["source"] == name)]
            assert by_key[place, nth] == (curve["day"].tolist(), curve["probability"].tolist())
    assert {trace.line.color for trace in lines[::2]} == {ACCENT}
    assert {trace.line.dash for trace in lines[1::2]} == {"dot"}
    assert [shape.y0 for shape in figure.layout.shapes] == [0.25] * 4
    assert {shape.line.color for shape in figure.layout.shapes} == {BASELINE}
    corners = [note.text for note in figure.layout.annotations if "down to 25%" in note.text]
    firsts = data.drop_duplicates(["purchases", "source"])
    for text, (_, rows) in zip(corners, firsts.groupby("purchases", sort=False), strict=True):
        for wait in rows["contact_day"]:
            assert ("after day 180" if np.isinf(wait) else f"day {wait:.0f}<") in text


def test_waits_are_told_by_class_and_source():
    waits = {
        "model": {"1": 11.0, "2": 102.0, "3-4": 1161.0, "5+": float("inf")},
        "frequency": {"1": 9.0, "2": 93.0, "3-4": 161.0, "5+": 170.0},
    }
    frame = made(waits)
    assert charts.own_return_curves_verdict(frame) == (
        "No fixed number of days fits all: the probability of a purchase within 90 days without a "
        "contact is down to 25% by model after 11, 102, 1,161 and more than 180 days with 1, 2, "
        "3-4 and 5+ purchase days, by frequency after 9, 93, 161 and 170 days."
    )
    title = charts.own_return_curves(frame, "x").layout.title.text.replace("<br>", " ")
    assert title.startswith("By model own return is down to 25% after 11 to more than 180 days of ")


@pytest.mark.parametrize(
    ("waits", "start", "ends"),
    [
        ({"1": 11.0}, "All customers are of one class: ", "after 11 days with 1 purchase day."),
        ({"2": 11.0}, "All customers are of one class: ", "after 11 days with 2 purchase days."),
        (
            {"1": float("inf"), "2": float("inf")},
            "No number of days shown is long enough for any class: ",
            "after more than 180 and more than 180 days with 1 and 2 purchase days.",
        ),
    ],
)
def test_one_class_or_one_number_of_days_is_told_so(waits, start, ends):
    says = charts.own_return_curves_verdict(made({"m": waits}))
    assert says.startswith(start)
    assert says.endswith(ends)
    figure = charts.own_return_curves(made({"m": waits}), "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    wait = "more than 180" if np.isinf(next(iter(waits.values()))) else "11"
    assert f"after {wait} days of silence in every class" in figure.layout.title.text.replace(
        "<br>", " "
    )


def test_bad_input_is_refused(sources, spells):
    weeks = tp.rfm_summary(tp.load_cdnow(sample=True))
    with pytest.raises(InputError, match="customers are in the unit 'W'"):
        charts.own_return_curves_data(sources, weeks)
    with pytest.raises(InputError, match="sources is "):
        charts.own_return_curves_data({}, spells)
    with pytest.raises(InputError, match="customers has no rows"):
        charts.own_return_curves_data(sources, spells.iloc[:0])
    with pytest.raises(InputError, match="line is 1"):
        charts.own_return_curves_data(sources, spells, line=1)
    with pytest.raises(InputError, match="call fit"):
        charts.own_return_curves_data({"m": tp.OwnReturnFrequency()}, spells)


def test_typical_customer_has_a_whole_frequency_in_a_class_of_even_size() -> None:
    spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    mixed = spells[spells["frequency"].isin([2, 3])]
    even = pd.concat([mixed[mixed["frequency"] == nth].head(10) for nth in (2, 3)])
    customers = tp.rfm_summary(tp.load_cdnow(sample=True), unit="D")
    model = tp.ModifiedBetaGeoModel(regularity=2).fit(customers)
    data = charts.own_return_curves_data({"model": model}, even)
    assert set(data["frequency"]) == {2.0}
