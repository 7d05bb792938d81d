"""Flows between stages and their difference: the figures, their data and their sentences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.charts.campaign_samples import HOSTILE, SAFE, check_plain, named, title_of
from touchpoint_lib import InputError
from touchpoint_lib.charts.flows import (
    flow_shifts,
    flow_shifts_data,
    flow_shifts_verdict,
    stage_sankey,
    stage_sankey_data,
    stage_sankey_verdict,
)

STAGES = ["new", "awake", "drowsy", "asleep"]


@pytest.fixture(scope="module")
def history():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    return tp.stage_history(paid, model)


@pytest.fixture(scope="module")
def flows(history):
    return tp.stage_flows(history)


@pytest.fixture(scope="module")
def difference(history):
    group = tp.load_shop().customers.set_index("customer_id")["control_group"]
    return tp.flow_difference(history, group.map({True: "control", False: "contacted"}))


def categories(values, stages):
    return pd.Categorical(values, categories=["start", *stages, "lost"], ordered=True)


def flows_of(*rows, stages=STAGES, month="2025-03-01"):
    """Return flows of a month from (source, target, customers)."""
    frame = pd.DataFrame(rows, columns=["source", "target", "customers"])
    total = frame.groupby("source")["customers"].transform("sum")
    share = (frame["customers"] / total).where(frame["source"] != "start")
    return frame.assign(
        group="all",
        month=pd.Timestamp(month),
        share=share,
        source=categories(frame["source"], stages),
        target=categories(frame["target"], stages),
    )


def shifts_of(*rows, stages=STAGES, groups=("before", "after")):
    """Return differences of (source, target, difference, low, high)."""
    frame = pd.DataFrame(rows, columns=["source", "target", "difference", "low", "high"])
    frame = frame.assign(
        source=categories(frame["source"], stages),
        target=categories(frame["target"], stages),
        months_1=100,
        months_2=50,
    )
    frame.attrs = {"groups": list(groups), "level": 0.95}
    return frame


ONE = flows_of(
    ("start", "new", 40),
    ("start", "awake", 5),
    ("new", "awake", 30),
    ("new", "drowsy", 10),
    ("awake", "awake", 80),
    ("awake", "drowsy", 20),
    ("drowsy", "awake", 7),
    ("drowsy", "asleep", 3),
    ("asleep", "lost", 4),
    ("lost", "awake", 1),
)


def test_the_data_are_the_last_months_of_the_flows(flows):
    data = stage_sankey_data(flows, months=2)
    pd.testing.assert_frame_equal(stage_sankey_data(flows, months=2.0), data)  # type: ignore[arg-type]
    assert sorted(set(data["month"])) == ["2025-10", "2025-11"]
    last = sorted(flows["month"].unique())[-2:]
    kept = flows[flows["month"].isin(last)].reset_index(drop=True)
    assert data["customers"].tolist() == kept["customers"].tolist()
    assert data["source"].tolist() == kept["source"].astype(str).tolist()
    np.testing.assert_array_equal(data["share"], kept["share"].round(4))
    assert data.attrs["order"][0] == "start"
    assert data.attrs["order"][-1] == "lost"
    everything = stage_sankey_data(flows, months=10_000)
    assert len(everything) == len(flows)


def test_the_sankey_is_plain_and_keeps_every_flow(flows):
    data = stage_sankey_data(flows)
    figure, again = (stage_sankey(data, HOSTILE) for _ in range(2))
    last = data.loc[data["month"] == data["month"].max(), "customers"].sum()
    check_plain(figure, again, SAFE, last)
    node, link = figure.data[0].node, figure.data[0].link
    assert list(link.value) == data["customers"].tolist()
    ends = [
        (node.label[one], node.label[other])
        for one, other in zip(link.source, link.target, strict=True)
    ]
    assert ends == list(zip(data["source"], data["target"], strict=True))
    # From left to right, a column a month, and one for the end.
    for one, other in zip(link.source, link.target, strict=True):
        assert node.x[other] - node.x[one] == pytest.approx(0.998 / 3, abs=1e-3)
    heads = [note.text for note in figure.layout.annotations[:-1]]
    months = sorted(set(data["month"]))
    assert heads == [*(f"<b>start of {m}</b>" for m in months), f"<b>end of {months[-1]}</b>"]


def test_nodes_do_not_lie_on_each_other(flows):
    sankey = stage_sankey(stage_sankey_data(flows), "x").data[0]
    node, link = sankey.node, sankey.link
    size = np.zeros(len(node.label))
    for side in (link.source, link.target):
        size = np.maximum(size, np.bincount(side, weights=link.value, minlength=len(size)))
    columns = [[n for n in range(len(size)) if node.x[n] == x] for x in sorted(set(node.x))]
    # Plotly gives the fullest column the height that its gaps leave, and all others its scale.
    scale = min((440 - (len(one) - 1) * node.pad) / size[one].sum() for one in columns) / 440
    for members in columns:
        members.sort(key=lambda number: node.y[number])
        for above, below in pairwise(members):
            room = node.y[below] - node.y[above]
            assert room > scale * (size[above] + size[below]) / 2


def test_who_came_fell_asleep_and_came_back():
    data = stage_sankey_data(ONE)
    # New customers who buy again do not move towards sleep.
    assert stage_sankey_verdict(data) == (
        "In 2025-03, 45 came, 37 moved towards asleep (above all from awake to drowsy: 20, 20% of "
        "awake) and 8 moved back (above all from drowsy to awake: 7, 70% of drowsy)."
    )
    assert title_of(stage_sankey(data, "x")) == (
        "In 2025-03, 45 customers came, 37 moved towards asleep and 8 moved back"
    )


def test_moves_that_nobody_made_and_other_stages():
    still = flows_of(("high", "high", 5), ("high", "low", 2), stages=["high", "mid", "low"])
    assert stage_sankey_verdict(stage_sankey_data(still)) == (
        "In 2025-03, nobody came, 2 moved towards low (above all from high to low: 2, 29% of high) "
        "and nobody moved back."
    )
    none = flows_of(("high", "high", 5), stages=["high", "mid", "low"])
    assert stage_sankey_verdict(stage_sankey_data(none)) == (
        "In 2025-03, nobody came, nobody moved towards low and nobody moved back."
    )


def test_stages_with_markup_are_shown_as_text():
    data = stage_sankey_data(flows_of((HOSTILE, "low", 5), stages=[HOSTILE, "low"]))
    figure = stage_sankey(data, "x")
    assert "<script" not in str(figure.to_plotly_json())
    assert SAFE in figure.data[0].node.label
    shifts = flow_shifts(
        flow_shifts_data(
            shifts_of(
                (HOSTILE, "low", 0.1, 0.05, 0.2), stages=[HOSTILE, "low"], groups=("<b>", "b")
            )
        ),
        "x",
    )
    assert "<script" not in str(shifts.to_plotly_json())
    assert "of &lt;b&gt;," in title_of(shifts)


def test_the_shifts_are_those_of_the_difference_in_points(difference):
    data = flow_shifts_data(difference)
    known = difference[difference["difference"].notna()]
    for name in ("difference", "low", "high"):
        np.testing.assert_allclose(data[name], 100 * known[name], rtol=1e-5)
    assert data["source"].tolist() == known["source"].astype(str).tolist()
    figure, again = (flow_shifts(data, HOSTILE) for _ in range(2))
    check_plain(
        figure,
        again,
        SAFE,
        sum(known.groupby("source", observed=True)[["months_1", "months_2"]].first().sum()),
    )
    heat = figure.data[0]
    sure = data[(data["low"] > 0) | (data["high"] < 0)]
    drawn = {
        (row[5:], column[3:]): value
        for row, line in zip(heat.y, heat.z, strict=True)
        for column, value in zip(heat.x, line, strict=True)
        if value is not None
    }
    assert set(drawn) == set(zip(data["source"], data["target"], strict=True))
    told = {(row["source"], row["target"]): row["difference"] for row in sure.to_dict("records")}
    assert {key: value for key, value in drawn.items() if value} == told
    assert heat.zmax == -heat.zmin >= abs(data["difference"]).max() - 1e-3
    assert f"clear of 0 in {len(sure)} of {len(data)}" in title_of(figure)


def test_clear_shifts_are_told_and_how_many_chance_brings():
    data = flow_shifts_data(
        shifts_of(
            ("awake", "drowsy", -0.05, -0.08, -0.02),
            ("awake", "awake", 0.0, -0.02, 0.02),
            ("drowsy", "awake", 0.03, 0.01, 0.05),
            ("drowsy", "asleep", -0.0001, -0.0004, 0.02),
        )
    )
    assert flow_shifts_verdict(data) == (
        "Compared with before, customers of after move from awake to drowsy by -5.0 points (-8.0 "
        "to -2.0) and from drowsy to awake by +3.0 points (1.0 to 5.0) a month; the other 2 "
        "intervals of 95% hold 0. By chance alone some 0.2 of 4 would not."
    )
    shown = [text for line in flow_shifts(data, "x").data[0].text for text in line if text]
    assert "<b>-5.0</b><br>-8.0 to -2.0" in shown
    # No -0.0.
    assert "<b>+0.0</b><br>0.0 to 2.0" in shown


def test_no_clear_shift():
    data = flow_shifts_data(shifts_of(("awake", "drowsy", 0.01, -0.02, 0.03)))
    assert flow_shifts_verdict(data) == (
        "No monthly move of after differs clearly from before: every interval of 95% holds 0."
    )
    figure = flow_shifts(data, "x")
    assert named(figure, None)[0].z[0][1] == 0.0
    assert "clear of 0 in 0 of 1" in title_of(figure)


def test_bad_flows_are_refused(flows):
    two = pd.concat([flows, flows.assign(group="b")])
    for wrong, options, words in [
        ([1], {}, "flows is a list"),
        (flows.drop(columns="share"), {}, r"no column 'share' .* make it with stage_flows"),
        (two, {}, "flows have 2 groups; .* flow_difference"),
        (flows, {"months": 0}, "months"),
        (flows.astype({"source": str}), {}, "source holds .*, no categories"),
    ]:
        with pytest.raises(InputError, match=words):
            stage_sankey_data(wrong, **options)


def test_bad_differences_are_refused(difference):
    lost = difference.copy()
    lost.attrs = {}
    for wrong, words in [
        (None, "difference is a NoneType"),
        (difference.drop(columns="low"), r"no column 'low' .* make it with flow_difference"),
        (difference.assign(difference=np.nan), "no stage was held by both groups"),
        (difference.assign(difference=2.0), "difference is 2 at row 0"),
        (lost, "attrs of difference lack 'groups'"),
    ]:
        with pytest.raises(InputError, match=words):
            flow_shifts_data(wrong)
