"""A campaign by day and by look: the figures, their data and their sentences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.charts.campaign_samples import (
    HOSTILE,
    NAN,
    SAFE,
    check_plain,
    named,
    refuse,
    title_of,
)
from touchpoint_lib import InputError, charts
from touchpoint_lib.campaigns.cumulative import cumulative_effect
from touchpoint_lib.campaigns.sequence import confidence_sequence
from touchpoint_lib.charts._style import BASELINE


@pytest.fixture(scope="module")
def moved():
    """Return the course of a contact that pulls a third of the purchases forward."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"customer_id": range(3000), "group": rng.integers(0, 2, 3000)})
    day = rng.integers(-20, 60, 3000)
    early = (people["group"] == 1) & (day >= 0) & (rng.random(3000) < 1 / 3)
    time = np.where(early, day % 10, day) + 0.5
    log = people[["customer_id"]].assign(time=time, **{HOSTILE: 1.0})
    return cumulative_effect(
        people,
        log,
        arm="group",
        control=0,
        start=0,
        days=59,
        window=14,
        cycle=45,
        before=10,
        amount=HOSTILE,
        until=60,
        resamples=500,
    )


@pytest.fixture(scope="module")
def looked():
    """Return the looks at an experiment without an effect that a peeker would have stopped."""
    rng = np.random.default_rng(36)
    data = pd.DataFrame(
        {
            "group": rng.permutation(np.repeat(["contact", "holdout"], 1000)),
            HOSTILE: rng.random(2000) < 0.2,
            "known": np.repeat(pd.date_range("2024-03-01", periods=10), 200),
        }
    )
    return confidence_sequence(data, arm="group", control="holdout", outcome=HOSTILE, time="known")


def course(*effects, half=0.05, comparison=None, first=1, **about):
    """Return a course with a day an effect."""
    effect = np.array(effects)
    frame = pd.DataFrame(
        {
            "day": np.arange(first, first + len(effects))
            + (np.arange(first, first + len(effects)) >= 0) * (first < 0),
            "n_treated": 50,
            "n_control": 50,
            "effect": effect,
            "ci_low": effect - half,
            "ci_high": effect + half,
            "band_low": effect - 2 * half,
            "band_high": effect + 2 * half,
        }
    )
    frame.attrs = {
        "level": 0.95,
        "outcome": "purchases",
        "window": None if comparison is None else comparison["window"],
        "cycle": None,
        "comparison": comparison,
    } | about
    return frame


def comparison(window=0.2, days=0.05, half=0.03, pulled=0.75):
    change = days - window
    found = {"window": 2, "days": 4, "pulled_forward": pulled}
    for name, value in (("effect_window", window), ("effect_days", days), ("change", change)):
        found |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
    return found


def looks(*effects, dates=True, first=None, plain=None, wide=0.3):
    """Return a look an effect."""
    effect = np.array(effects, dtype=float)
    n = 100 * np.arange(1, len(effects) + 1)
    look = pd.date_range("2024-03-01", periods=len(effects)) if dates else n.astype(float)
    frame = pd.DataFrame(
        {
            "look": look,
            "n": n,
            "effect": effect,
            "ci_low": effect - wide / 2,
            "ci_high": effect + wide / 2,
            "sequence_low": effect - wide,
            "sequence_high": effect + wide,
            "decided": False,
        }
    )
    frame.attrs = {
        "level": 0.95,
        "outcome": "bought",
        "first_decided": None if first is None else frame["look"][first],
        "plain_decided": None if plain is None else frame["look"][plain],
    }
    return frame


def test_the_course_is_plain_stable_and_names_its_source(moved):
    data = charts.effect_course_data(moved)
    figure, again = (charts.effect_course(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, 3000)


def test_the_data_of_the_course_are_those_of_the_frame(moved):
    data = charts.effect_course_data(moved)
    assert data["day"].tolist() == moved["day"].tolist()
    for name in ("effect", "ci_low", "band_high"):
        np.testing.assert_allclose(data[name], moved[name], rtol=1e-5)
    assert data.attrs == moved.attrs | {"n": 3000}


def test_days_before_and_after_the_contact_are_apart_and_the_moments_marked(moved):
    data = charts.effect_course_data(moved)
    figure = charts.effect_course(data, "x")
    before, after = named(figure, "effect")
    assert list(before.x) == list(range(-10, 0))
    assert list(after.x) == list(range(1, 60))
    assert list(after.y) == data.loc[data["day"] > 0, "effect"].tolist()
    assert len(named(figure, "band")) == len(named(figure, "interval of a day")) == 4
    upright = [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1]
    assert upright == [0, 14, 59]
    assert [shape.line.color for shape in figure.layout.shapes if shape.y0 == shape.y1 == 0] == [
        BASELINE
    ]
    marks = [one.text for one in figure.layout.annotations[:3]]
    assert marks == ["contact", "short window, day 14", "one cycle later, day 59"]
    assert title_of(figure).startswith("Purchases were pulled forward: +")


def test_purchases_pulled_forward_are_told(moved):
    says = charts.effect_course_verdict(charts.effect_course_data(moved))
    assert "only pulled forward." in says
    assert says.endswith("Before the contact the arms do not differ clearly.")


@pytest.mark.parametrize(
    ("given", "told", "title"),
    [
        (
            comparison(),
            (
                "In between it changed by -0.150 (95%: -0.180 to -0.120): 75% of what the short "
                "window showed was only pulled forward."
            ),
            (
                "Purchases were pulled forward: +0.200 purchases a customer after 2 days, +0.050 "
                "after 4"
            ),
        ),
        (
            comparison(0.1, -0.1, pulled=2.0),
            (
                "In between it changed by -0.200 (95%: -0.230 to -0.170): all of what the short "
                "window showed was only pulled forward."
            ),
            (
                "Purchases were pulled forward: +0.100 purchases a customer after 2 days, -0.100 "
                "after 4"
            ),
        ),
        (
            comparison(-0.1, -0.2, pulled=None),
            "In between it fell further, by -0.100 (95%: -0.130 to -0.070).",
            "The effect falls: -0.100 purchases a customer after 2 days, -0.200 after 4",
        ),
        (
            comparison(0.1, 0.2, pulled=None),
            (
                "In between it grew, by +0.100 (95%: +0.070 to +0.130): nothing speaks for "
                "purchases pulled forward."
            ),
            "The effect grows: +0.100 purchases a customer after 2 days, +0.200 after 4",
        ),
        (
            comparison(0.1, 0.09, pulled=0.1),
            (
                "In between it changed by -0.0100 (95%: -0.0400 to +0.0200), which may be chance: "
                "that purchases were pulled forward is neither shown nor ruled out."
            ),
            (
                "No clear change behind the short window: +0.100 purchases a customer after 2 "
                "days, +0.090 after 4"
            ),
        ),
    ],
)
def test_the_change_behind_the_window_is_told(given, told, title):
    frame = course(0.1, 0.2, 0.1, 0.05, comparison=given)
    data = charts.effect_course_data(frame)
    says = charts.effect_course_verdict(data)
    assert says.startswith(f"After 2 days the contact has brought {given['effect_window']:+.3f} (")
    assert says.endswith(told)
    assert title_of(charts.effect_course(data, "x")) == title


def test_where_nobody_bought_in_between_there_is_no_change():
    same = comparison(0.1, 0.1, pulled=None) | {"change_low": NAN, "change_high": NAN}
    data = charts.effect_course_data(course(0.1, 0.1, 0.1, 0.1, comparison=same))
    assert charts.effect_course_verdict(data).endswith("Nobody bought in between.")
    json.loads(charts.effect_course(data, "x").to_json(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("effect", "half", "side"),
    [
        (0.2, 0.05, "clearly above 0"),
        (-0.2, 0.05, "clearly below 0"),
        (0.01, 0.05, "not clearly above or below 0"),
        (0.2, NAN, "without an interval, since nothing varies"),
    ],
)
def test_without_a_window_the_last_day_is_told(effect, half, side):
    data = charts.effect_course_data(course(0.0, effect, half=half))
    says = charts.effect_course_verdict(data)
    assert says.startswith(f"2 days after the contact it has brought {effect:+.3g}"[:-1])
    assert says.endswith(f"purchases a customer, {side}.")
    figure = charts.effect_course(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert "purchases a customer 2 days after the contact" in title_of(figure)


def test_arms_that_differed_before_are_not_to_be_trusted():
    data = charts.effect_course_data(course(0.5, 0.5, 0.1, 0.2, first=-2))
    assert data["day"].tolist() == [-2, -1, 1, 2]
    assert charts.effect_course_verdict(data).endswith(
        "The arms differed before the contact already: the comparison is not to be trusted."
    )
    nothing = course(0.0, 0.0, 0.1, 0.2, first=-2)
    nothing.loc[:1, ["ci_low", "ci_high", "band_low", "band_high"]] = NAN
    says = charts.effect_course_verdict(charts.effect_course_data(nothing))
    assert "differ" not in says


def test_the_looks_are_plain_stable_and_name_their_source(looked):
    data = charts.effect_looks_data(looked)
    figure, again = (charts.effect_looks(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, 2000)


def test_the_data_of_the_looks_are_those_of_the_frame(looked):
    data = charts.effect_looks_data(looked)
    assert data["look"].tolist() == looked["look"].tolist()
    for name in ("effect", "ci_low", "sequence_high"):
        np.testing.assert_allclose(data[name], looked[name], rtol=1e-5)
    assert data.attrs == looked.attrs | {"n": 2000}


def test_a_false_alarm_of_the_plain_interval_is_told(looked):
    data = charts.effect_looks_data(looked)
    says = charts.effect_looks_verdict(data)
    assert says.startswith("At the last look the effect is +0.032")
    assert says.endswith(
        "which has not excluded 0 at any look. The plain interval first did at 2024-03-09: who "
        "stops there raises a false alarm more often than it promises."
    )
    figure = charts.effect_looks(data, "x")
    assert title_of(figure) == (
        "The plain interval first excluded 0 at 2024-03-09; all looks together never did"
    )
    stops = named(figure, "first without 0")
    assert [list(stop.x) for stop in stops] == [["2024-03-09T00:00:00"]]
    assert list(named(figure, "effect")[0].y) == data["effect"].tolist()


def test_an_effect_that_is_clear_is_told_with_both_looks():
    data = charts.effect_looks_data(looks(0.1, 0.2, 0.4, first=2, plain=1))
    assert charts.effect_looks_verdict(data) == (
        "At the last look the effect is +0.400 (95%: +0.100 to +0.700) by the interval that may "
        "be looked at any time; it first excluded 0 at 2024-03-03. The plain interval, which is "
        "right at one look alone, first did at 2024-03-02."
    )
    figure = charts.effect_looks(data, "x")
    assert len(named(figure, "first without 0")) == 2
    assert title_of(figure) == (
        "All looks together first excluded 0 at 2024-03-03; the plain interval did at 2024-03-02"
    )
    marks = [one.text for one in figure.layout.annotations[:2]]
    assert marks == [
        "one look: first without 0 at 2024-03-02",
        "all looks: first without 0 at 2024-03-03",
    ]


def test_an_interval_that_holds_0_again_at_the_last_look_is_told():
    data = charts.effect_looks_data(looks(0.1, 0.4, 0.2, first=1, plain=1))
    assert (
        "; it first excluded 0 at 2024-03-02, which is enough, though it holds 0 again at the last "
        "look. The plain interval"
    ) in charts.effect_looks_verdict(data)
    assert title_of(charts.effect_looks(data, "x")).startswith("All looks together first excluded")


@pytest.mark.parametrize("dates", [True, False])
def test_dates_of_the_attrs_may_be_text(dates):
    frame = looks(0.1, 0.2, 0.4, first=2, plain=1, dates=dates)
    written = frame.copy()
    if dates:
        for name in ("first_decided", "plain_decided"):
            written.attrs[name] = frame.attrs[name].isoformat()
    data, same = (charts.effect_looks_data(one) for one in (frame, written))
    says = charts.effect_looks_verdict(same)
    assert says == charts.effect_looks_verdict(data)
    assert f"it first excluded 0 at {'2024-03-03' if dates else 300}." in says
    figure = charts.effect_looks(same, "x")
    assert figure.to_json() == charts.effect_looks(data, "x").to_json()
    stops = [stop.x[0] for stop in named(figure, "first without 0")]
    assert stops == (["2024-03-02T00:00:00", "2024-03-03T00:00:00"] if dates else [200.0, 300.0])


def test_looks_that_never_exclude_0_are_told():
    data = charts.effect_looks_data(looks(0.1, 0.0, dates=False))
    assert charts.effect_looks_verdict(data).endswith(
        "which has not excluded 0 at any look. The plain interval has not either."
    )
    figure = charts.effect_looks(data, "x")
    assert title_of(figure) == "No look excludes 0"
    assert figure.layout.xaxis.title.text.startswith("Time of the look")
    assert list(named(figure, "effect")[0].x) == [100.0, 200.0]


def test_several_looks_a_day_are_told_by_their_time():
    frame = looks(0.1, 0.2, 0.4, first=2, plain=2)
    frame["look"] = pd.date_range("2024-03-01 06:00", periods=3, freq="6h")
    frame.attrs |= dict.fromkeys(("first_decided", "plain_decided"), frame["look"][2])
    says = charts.effect_looks_verdict(charts.effect_looks_data(frame))
    assert "it first excluded 0 at 2024-03-01 18:00." in says


def test_first_looks_that_know_nothing_do_not_stretch_the_axis():
    frame = looks(*[0.1] * 20)
    frame.loc[0, ["effect", "ci_low", "ci_high", "sequence_low", "sequence_high"]] = NAN
    frame.loc[1, ["sequence_low", "sequence_high"]] = -50.0, 50.0
    data = charts.effect_looks_data(frame)
    figure = charts.effect_looks(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    low, high = figure.layout.yaxis.range
    assert -0.4 < low < -0.2
    assert 0.4 < high < 0.6
    assert len(named(figure, "effect")[0].x) == 19


def test_looks_without_enough_rows_have_no_effect():
    data = charts.effect_looks_data(looks(NAN, NAN))
    assert charts.effect_looks_verdict(data) == (
        "At none of the 2 looks is there enough to tell the effect."
    )
    json.loads(charts.effect_looks(data, "x").to_json(), parse_constant=refuse)


def test_bad_input_is_refused(moved, looked):
    with pytest.raises(InputError, match="frame"):
        charts.effect_course_data(moved.drop(columns="band_low"))
    with pytest.raises(InputError, match="frame"):
        charts.effect_looks_data(looked.drop(columns="sequence_low"))
    for make, frame, name in (
        (charts.effect_course_data, moved.copy(), "comparison"),
        (charts.effect_looks_data, looked.copy(), "first_decided"),
    ):
        frame.attrs = {}
        with pytest.raises(InputError, match=rf"frame.attrs has no {name}"):
            make(frame)
