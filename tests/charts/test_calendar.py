"""The load of the contact calendar: its figure, its data and its sentence."""

from __future__ import annotations

import json

import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import BASELINE, TEMPLATE

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def calendar():
    split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    model = tp.ModifiedBetaGeoModel().fit(split)
    money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    return tp.contact_calendar(model, split, money, capacity=40, holidays=["1997-10-05"])


def made(rows, days=3):
    """Return a calendar from 2025-01-01 on; a row is (day, customer, action, reason)."""
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime([f"2025-01-0{row[0]}" for row in rows]),
            "who": [row[1] for row in rows],
            "action": pd.Categorical([row[2] for row in rows]),
            "reason": pd.Series([row[3] for row in rows], dtype="str"),
            "reached": 0.9,
            "expected_wasted": [0.0 if row[2] == "leave" else 0.2 for row in rows],
            "expected_money": [0.0 if row[2] == "leave" else 1.5 for row in rows],
        }
    )
    n = sum(row[2] != "leave" for row in rows)
    frame.attrs = {
        "unit": "D",
        "until": "2024-12-31",
        "days": days,
        "horizon": 90,
        "totals": {
            "contacts": n,
            "expected_contacts": 0.9 * n,
            "expected_wasted": 0.2 * n,
            "expected_money": 1.5 * n,
        },
    }
    return frame


SOME = [
    (1, "a", "stimulus", ""),
    (1, "b", "stimulus", "overdue"),
    (1, "c", "leave", "no gain"),
    (3, "a", "care", ""),
    (3, "b", "leave", "cap"),
    (3, "d", "leave", "capacity"),
    (3, "c", "leave", "no gain"),
]


def test_the_figure_is_plain_stable_and_names_its_source(calendar):
    data = charts.contact_load_data(calendar, 40)
    figure = charts.contact_load(data, HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == charts.contact_load(data, HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    n = calendar["customer_id"].nunique()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {n:,}"
    assert [shape.y0 for shape in figure.layout.shapes] == [40]
    assert figure.layout.shapes[0].line.color == BASELINE
    assert "capacity: 40" in [note.text for note in figure.layout.annotations]


def test_the_data_add_up_to_the_calendar(calendar):
    data = charts.contact_load_data(calendar, 40)
    contacts = calendar[calendar["action"] != "leave"]
    assert data["contacts"].sum() == len(contacts) == calendar.attrs["totals"]["contacts"]
    assert data["expected_wasted"].sum() == pytest.approx(
        calendar.attrs["totals"]["expected_wasted"], abs=0.5
    )
    assert len(data) == 28 * 3
    assert data["date"].iloc[0] == pd.Timestamp("1997-10-01")
    assert data["date"].iloc[-1] == pd.Timestamp("1997-10-28")
    counts = contacts.groupby(["date", contacts["action"].astype(str)]).size()
    for (date, action), n in counts.items():
        rows = data[(data["date"] == date) & (data["action"] == action)]
        assert rows["contacts"].tolist() == [n]
    left = set(calendar["customer_id"]) - set(contacts["customer_id"])
    assert sum(data.attrs["left"].values()) == len(left)
    bars = {trace.name: sum(trace.y) for trace in charts.contact_load(data, "x").data}
    assert bars == contacts["action"].astype(str).value_counts().to_dict()


def test_days_without_a_contact_are_rows():
    data = charts.contact_load_data(made(SOME))
    shown = data[data["contacts"] > 0]
    assert shown[["date", "action", "contacts", "expected_contacts"]].to_numpy().tolist() == [
        [pd.Timestamp("2025-01-01"), "stimulus", 2, 1.8],
        [pd.Timestamp("2025-01-03"), "care", 1, 0.9],
    ]
    assert len(data) == 9
    assert not charts.contact_load(data, "x").layout.shapes
    # b was contacted on another day.
    assert data.attrs["left"] == {"no gain": 1, "capacity": 1}
    assert data.attrs["n_customers"] == 4


def test_totals_load_and_those_left_alone_are_told():
    ends = (
        ". Expected: 3 made, to customers still silent by then; 1 of them (22%) wasted on those "
        "who would buy within 90 days anyway; a gain of 4 (3 from stimuli, less the cost of the "
        "rest). 2 customers who would be due are left alone "
        "(capacity: 1, no gain: 1)."
    )
    start = "3 contacts in the next 3 days (2 stimulus, 1 care; "
    data = charts.contact_load_data(made(SOME))
    assert charts.contact_load_verdict(data) == f"{start}at most 2 a day){ends}"
    data = charts.contact_load_data(made(SOME), 2)
    assert charts.contact_load_verdict(data) == (
        f"{start}the capacity of 2 a day is used up on 1 of 3 days){ends}"
    )


def test_one_contact_is_told_in_the_singular():
    data = charts.contact_load_data(made(SOME[:1], days=1))
    assert charts.contact_load_verdict(data) == (
        "1 contact in the next day (1 stimulus; at most 1 a day). Expected: 1 made, to customers "
        "still silent by then; 0 of them (22%) wasted on those who would buy within 90 days "
        "anyway; a gain of 2."
    )


@pytest.mark.parametrize(
    ("rows", "alone"),
    [
        ([], ""),
        ([SOME[2]], " 1 customer who would be due is left alone (no gain: 1)."),
    ],
)
def test_nobody_to_contact_is_told_so(rows, alone):
    data = charts.contact_load_data(made(rows), 5)
    assert charts.contact_load_verdict(data) == (
        f"Nobody is to be contacted in the next 3 days.{alone}"
    )
    figure = charts.contact_load(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert figure.layout.title.text == "No contact in 3 days"
    assert not figure.data


def test_bad_input_is_refused():
    frame = made(SOME)
    with pytest.raises(InputError, match="capacity is 0"):
        charts.contact_load_data(frame, 0)
    with pytest.raises(InputError, match="no column 'reached'"):
        charts.contact_load_data(frame.drop(columns="reached"))
    frame.attrs = {}
    with pytest.raises(InputError, match="no totals"):
        charts.contact_load_data(frame)
