"""Curves of unpaid orders and late parcels: figures, data and sentences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, TEMPLATE

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"
INF = float("inf")


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def late(shop):
    parcels = shop.parcels.copy()
    parcels["province"] = parcels["province"].astype("str").replace("Guangdong", HOSTILE)
    return tp.late_parcels(parcels)


@pytest.fixture(scope="module")
def unpaid(shop):
    orders = shop.orders.copy()
    orders["source"] = orders["source"].astype("str").replace("app", HOSTILE)
    return tp.payment_reminder(orders, shop.payments)


@pytest.fixture(scope="module")
def draw(late, unpaid):
    def half(frame):
        return np.full(len(frame), 0.5)

    data = {
        "late": charts.late_curves_data(late, truth=half),
        "unpaid": charts.reminder_curves_data(unpaid, truth=half),
    }
    return {
        "late": lambda source: charts.late_curves(data["late"], source),
        "unpaid": lambda source: charts.reminder_curves(data["unpaid"], source),
    }


@pytest.mark.parametrize("name", ["late", "unpaid"])
def test_figures_are_plain_stable_and_name_their_source(draw, late, unpaid, name):
    figure = draw[name](HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == draw[name](HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    n = late.to_frame()["n"].sum() if name == "late" else unpaid.rules["n_orders"].sum()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {n:,}"
    shown = json.dumps(content)
    assert "<script" not in shown
    assert SAFE in shown.replace(f"Source: {SAFE}", "")
    assert sum(len(trace.x) for trace in figure.data) < 2500
    truth = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert len(truth) == 6
    assert {value for trace in truth for value in trace.y} == {0.5}
    title = figure.layout.title.text.replace("<br>", " ")
    assert title.endswith("bands are 95% intervals; dotted: the truth")


def test_each_carrier_has_its_turn(late):
    data = charts.late_curves_data(late)
    kinds = data.drop_duplicates("class_")
    assert [name.split(",")[0] for name in kinds["class_"]] == [
        "express", "express", "standard", "standard", "economy", "economy",
    ]  # fmt: skip
    classes = late.to_frame()
    for carrier, rows in kinds.groupby(kinds["class_"].str.split(",").str[0]):
        mine = classes.loc[classes["carrier"] == carrier, "n"]
        assert sorted(rows["n"]) == sorted(mine.nlargest(2))
    three = charts.late_curves_data(late, 3)["class_"].unique()
    assert [name.split(",")[0] for name in three] == ["express", "standard", "economy"]
    assert data.attrs["n_classes"] == 15
    assert data.attrs["n_all"] == classes["n"].sum()
    everything = charts.late_curves_data(late, 100)
    assert everything["class_"].nunique() == 15


def test_late_curves_are_those_found(late):
    data = charts.late_curves_data(late)
    label = "economy, Zhejiang"
    mine = data[data["class_"] == label]
    classes = late.to_frame()
    one = classes[(classes["carrier"] == "economy") & (classes["province"] == "Zhejiang")].iloc[0]
    curve = late.curve()
    curve = curve[(curve["carrier"] == "economy") & (curve["province"] == "Zhejiang")]
    curve = curve.set_index("age_hours")
    for name in ("probability", "probability_low", "probability_high"):
        expected = curve.loc[mine["age_hours"], name].round(4)
        assert mine[name].tolist() == expected.tolist()
    assert (mine["promised_hours"] == one["promised_days"] * 24).all()
    assert (mine["flag_after"] == one["flag_after"]).all()
    assert mine["age_hours"].iloc[0] == 0
    assert mine["age_hours"].iloc[-1] == curve.index.max()
    assert len(mine) <= 62


def test_a_panel_holds_curve_line_promise_and_flag(late):
    data = charts.late_curves_data(late, 3)
    figure = charts.late_curves(data, "x")
    kinds = data.drop_duplicates("class_")
    curves = [trace for trace in figure.data if trace.mode == "lines" and trace.line.width]
    for trace, (_, rows) in zip(curves, data.groupby("class_", sort=False), strict=True):
        assert list(trace.x) == rows["age_hours"].tolist()
        assert list(trace.y) == rows["probability"].tolist()
        assert trace.line.color == ACCENT
    assert [shape.y0 for shape in figure.layout.shapes] == [0.5] * 3
    assert {shape.line.color for shape in figure.layout.shapes} == {BASELINE}
    limits = [trace for trace in figure.data if trace.mode == "lines+text"]
    assert [trace.x[0] for trace in limits] == kinds["promised_hours"].tolist()
    assert {trace.line.color for trace in limits} == {GREYS[1]}
    flags = [trace.x[0] for trace in figure.data if trace.mode == "markers+text"]
    assert flags == kinds.loc[np.isfinite(kinds["flag_after"]), "flag_after"].tolist()


def made_late(flags):
    """Return data of classes, flagged after these hours of 96 promised."""
    rows = [
        {"class_": f"k{i}", "n": 10, "promised_hours": 96.0, "flag_after": flag, "age_hours": age,
         "probability": chance, "probability_low": chance, "probability_high": chance}
        for i, flag in enumerate(flags) for age, chance in ((0.0, 0.1 + i / 100), (96.0, 1.0))
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.attrs = {"line": 0.5, "level": 0.95, "n_all": 40, "n_classes": 4}
    return frame


def test_flags_are_told_of_the_earliest_and_the_latest_class():
    assert charts.late_curves_verdict(made_late([80.0, INF, 60.0, 70.0])) == (
        "The longer a parcel is on the way, the likelier it comes late: in 3 of the 4 classes "
        "shown the chance reaches the line, of k0 from 10% at shipping to 50% after 80 of the 96 "
        "hours promised and of k2 from 12% at shipping to 50% after 60 of the 96 hours promised; "
        "in 1 it does not rise so far while a flag is of use."
    )
    assert charts.late_curves_verdict(made_late([80.0])) == (
        "The longer a parcel is on the way, the likelier it comes late: in 1 of the 1 class shown "
        "(of 4) the chance reaches the line, of k0 from 10% at shipping to 50% after 80 of the 96 "
        "hours promised."
    )


def test_where_no_class_is_ever_flagged_that_is_told():
    data = made_late([INF, INF])
    assert charts.late_curves_verdict(data) == (
        "In none of the 2 classes shown (of 4) does the chance to be late of a parcel still on the "
        "way rise to 50% while a flag is of use."
    )
    figure = charts.late_curves(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert figure.layout.title.text.startswith("In 0 of 2 classes shown")


def test_bounds_that_are_not_known_are_no_band():
    data = made_late([80.0])
    data.loc[1, ["probability_low", "probability_high"]] = np.nan
    figure = charts.late_curves(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    low, high, curve = figure.data[:3]
    assert list(low.x) == list(high.x) == [0]
    assert list(curve.customdata) == [" (10.0% to 10.0%)", ""]


def test_reminder_curves_are_those_found(unpaid):
    data = charts.reminder_curves_data(unpaid)
    rules = unpaid.to_frame().astype({"kind": "str"})
    kinds = data.drop_duplicates("class_")
    assert data.attrs == {
        "line": 0.5,
        "level": 0.95,
        "n_all": rules["n_orders"].sum(),
        "n_classes": len(rules),
    }
    # Of each kind and limit the source with most orders.
    firsts = rules.sort_values("n_orders").groupby(["kind", "limit"]).last()
    names = [
        f"{kind}, {row['source']}, {limit:,} minutes" for (kind, limit), row in firsts.iterrows()
    ]
    assert sorted(kinds["class_"]) == sorted(names)
    curve = unpaid.curve().astype({"kind": "str"})
    curve = curve[(curve["kind"] == "new") & (curve["source"] == HOSTILE)]
    curve = curve[curve["limit"] == 4320].set_index("minute")
    mine = data[data["class_"] == f"new, {HOSTILE}, 4,320 minutes"]
    assert mine["minute"].max() <= 0.75 * 4320
    for name in ("own_share", "own_share_low", "own_share_high"):
        assert mine[name].tolist() == curve.loc[mine["minute"], name].round(4).tolist()
    rule = rules[(rules["kind"] == "new") & (rules["source"] == HOSTILE) & (rules["limit"] == 4320)]
    assert (mine["remind_after"] == rule["remind_after"].iloc[0]).all()
    assert (mine["at_reminder"] == round(rule["own_share"].iloc[0], 4)).all()


def test_a_panel_holds_curve_line_limit_and_reminder(unpaid):
    data = charts.reminder_curves_data(unpaid, 2)
    figure = charts.reminder_curves(data, "x")
    kinds = data.drop_duplicates("class_")
    marks = [trace for trace in figure.data if trace.mode == "markers+text"]
    assert [trace.x[0] for trace in marks] == kinds["remind_after"].tolist()
    assert [trace.y[0] for trace in marks] == kinds["at_reminder"].tolist()
    limits = [trace for trace in figure.data if trace.mode == "lines+text"]
    assert [trace.x[0] for trace in limits] == kinds["limit"].tolist()
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
    assert [shape.y0 for shape in figure.layout.shapes] == [0.5] * 2


def made_unpaid(rows, n_classes=3):
    """Return data of classes: limit, remind_after, reason and share at the reminder."""
    frame = pd.DataFrame(
        [
            {"class_": f"k{i}", "n": 10, "limit": limit, "remind_after": after, "reason": reason,
             "minute": 1.0, "at_reminder": share, "at_reminder_low": share - 0.05,
             "at_reminder_high": share + 0.05, "own_share": 0.9, "own_share_low": 0.8,
             "own_share_high": 0.95}
            for i, (limit, after, reason, share) in enumerate(rows)
        ]
    )  # fmt: skip
    frame.attrs = {"line": 0.5, "level": 0.95, "n_all": 40, "n_classes": n_classes}
    return frame


@pytest.mark.parametrize(
    ("rows", "says", "title"),
    [
        (
            [(4320, 167, "line", 0.5), (30, 2, "line", 0.36), (4320, 103, "line", 0.49)],
            (
                "In the 3 classes shown an unpaid order is to be reminded at minute 2 where the "
                "limit is 30 minutes and between minute 103 and 167 where the limit is 4,320 "
                "minutes. At that moment 36% (95%: 31% to 41%) to 50% (95%: 45% to 55%) of the "
                "unpaid would still pay in time by themselves."
            ),
            "Remind unpaid orders at minute 2 to 167, by class",
        ),
        (
            [(30, 15, "limit", 0.7)],
            (
                "In the 1 class shown (of 3) an unpaid order is to be reminded at minute 15 where "
                "the limit is 30 minutes. At that moment 70% (95%: 65% to 75%) of the unpaid would "
                "still pay in time by themselves; in 1 class that is more than the line of 50%, "
                "but later too little time would be left."
            ),
            "Remind unpaid orders at minute 15, by class",
        ),
    ],
)
def test_minutes_are_told_by_limit(rows, says, title):
    data = made_unpaid(rows)
    assert charts.reminder_curves_verdict(data) == says
    figure = charts.reminder_curves(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert figure.layout.title.text.startswith(title)


def test_bad_input_is_refused(late, unpaid):
    with pytest.raises(InputError, match="found is a PaymentReminder"):
        charts.late_curves_data(unpaid)
    with pytest.raises(InputError, match="found is a LateParcels"):
        charts.reminder_curves_data(late)
    with pytest.raises(InputError, match="top is 0"):
        charts.late_curves_data(late, 0)
    with pytest.raises(InputError, match="truth is 2 at row 0"):
        charts.reminder_curves_data(unpaid, truth=lambda frame: np.full(len(frame), 2.0))
