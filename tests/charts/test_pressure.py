"""What one contact more is worth: the figure, its data and its sentence."""

from __future__ import annotations

import dataclasses
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
from touchpoint_lib import InputError
from touchpoint_lib.charts.pressure import (
    pressure_curve,
    pressure_curve_data,
    pressure_curve_verdict,
)
from touchpoint_lib.touchpoints.pressure import contact_pressure


@pytest.fixture(scope="module")
def found(shop, paid):
    return contact_pressure(
        shop.contacts, paid, window=30, counted=["chat", "sms", "email"], unsubscribe_cost=5.0
    )


def rows(channel, verdict="limit", values=(3.0, 1.0, -1.0), cap=(2, 1, 3), half=0.5, **more):
    """Return the rows of a channel, one where nothing is identified."""
    if verdict == "not identified":
        return [
            {"channel": channel, "n": pd.NA, "verdict": verdict, "reason": "nobody was held out"}
            | dict.fromkeys(("value", "low", "high", "effect", "cost", "unsubscribe"), NAN)
            | dict.fromkeys(("cap", "cap_low", "cap_high"), pd.NA)
            | more
        ]
    return [
        {
            "channel": channel,
            "n": n,
            "value": value,
            "low": value - half,
            "high": value + half,
            "effect": value + 1,
            "cost": 0.5,
            "unsubscribe": 0.01,
            "verdict": verdict,
            "cap": cap[0],
            "cap_low": cap[1],
            "cap_high": cap[2],
            "reason": "",
        }
        | more
        for n, value in enumerate(values)
    ]


def made(*parts, **about):
    data = pd.DataFrame([one for part in parts for one in part])
    integers = ["n", "cap", "cap_low", "cap_high"]
    data[integers] = data[integers].astype("Int64")
    data.attrs = {
        "level": 0.95,
        "days": 30.0,
        "window": 30.0,
        "kappa": 0.5,
        "kappa_low": 0.1,
        "kappa_high": 1.0,
        "over": 12,
        "recent": 1234,
        "n": 5000,
    } | about
    return data


def test_the_figure_is_plain_stable_and_names_its_source(found):
    data = pressure_curve_data(found)
    figure, again = (pressure_curve(data, HOSTILE) for _ in range(2))
    counts = found.effects[["n_contacted", "n_held_out"]].sum().sum()
    check_plain(figure, again, SAFE, counts)


def test_the_data_are_the_curve_with_the_caps_all_that_count_first(found):
    data = pressure_curve_data(found)
    names = found.caps["channel"].tolist()
    assert list(dict.fromkeys(data["channel"])) == ["(all)", *names[:-1]]
    caps = found.caps.set_index("channel")
    for name, part in data.groupby("channel"):
        row = caps.loc[name]
        assert set(part["verdict"]) == {row["verdict"]}
        source = found.curve[found.curve["channel"] == name]
        if source.empty:
            assert len(part) == 1
            assert part["n"].isna().all()
            assert part[["value", "low", "high", "effect"]].isna().all(axis=None)
            assert part["reason"].item() == row["reason"] == "nobody was held out at random"
            continue
        assert part["n"].tolist() == source["n"].tolist()
        for column in ("value", "low", "high", "effect", "cost", "unsubscribe"):
            np.testing.assert_allclose(part[column], source[column], rtol=1e-5)
        assert set(part["cap"]) == {row["cap"]}
        assert set(part["cap_low"]) == {row["cap_low"]}
        assert set(part["cap_high"]) == {row["cap_high"]}
    about = data.attrs
    assert about["over"] == found.n_over
    assert about["recent"] == found.n_recent
    np.testing.assert_allclose(about["kappa_high"], found.kappa_high, rtol=1e-5)
    values = data["value"].dropna()
    assert values.tolist() == [float(f"{value:.6g}") for value in values]


def test_each_panel_has_its_values_its_band_and_its_cap(found):
    data = pressure_curve_data(found)
    figure = pressure_curve(data, "x")
    names = list(dict.fromkeys(data["channel"]))
    titles = [f"<b>{'all that count' if name == '(all)' else name}</b>" for name in names]
    notes = [note.text for note in figure.layout.annotations]
    assert notes[: len(names)] == titles
    known = [name for name in names if data.loc[data["channel"] == name, "n"].notna().all()]
    values, bands = named(figure, "value"), named(figure, "interval")
    assert len(values) == len(bands) == len(known)
    assert len(named(figure, "unknown")) == len(names) - len(known) == 1
    for name, trace, band in zip(known, values, bands, strict=True):
        part = data[data["channel"] == name]
        assert list(trace.x) == part["n"].tolist()
        assert list(trace.y) == part["value"].tolist()
        np.testing.assert_allclose(np.subtract(trace.y, trace.error_y.arrayminus), part["low"])
        assert list(band.y) == [*part["high"], *part["low"][::-1]]
        lines = [
            line.x0
            for line in figure.layout.shapes
            if line.x0 == line.x1 and line.xref == trace.xaxis
        ]
        assert lines == [part["cap"].iloc[0] - 0.5]
    assert "<b>not identified</b><br>nobody was held out at<br>random" in notes
    ranges = {axis.range for axis in figure.select_yaxes() if axis.range}
    assert len(ranges) == 1
    [(low, high)] = ranges
    assert low < min(0, data["low"].min())
    assert high > max(0, data["high"].max())


def test_all_verdicts_are_told():
    data = made(
        rows("(all)"),
        rows("sms", cap=(1, 1, 2)),
        rows("page", "not identified"),
        rows("chat", "stop", (-2.0, -3.0), (0, 0, 0)),
        rows("email", "no limit seen", (3.0, 2.0), (2, 2, 2)),
        rows("social", "not proven", (0.1, 0.0), (1, 0, 2)),
    )
    assert pressure_curve_verdict(data) == (
        "Of all channels that count, a contact with no recent one is worth 3.00 (95%: 2.50 to "
        "3.50) within 30 days; up to 2 contacts in 30 days pay (best number 1 to 3 or more), and "
        "12 of 1,234 customers contacted in the last 30 days had more. Channel by channel, "
        "contacts pay up to the cap by sms (cap 1: 1 to 2); as many as were tried pay by email "
        "(cap 2 or more); not even the first pays by chat; whether any "
        "pays is not proven for social. Not identified: page (nobody was "
        "held out)."
    )
    assert title_of(pressure_curve(data, "x")) == (
        "Up to 2 contacts in 30 days pay (best number 1 to 3 or more). Bands are 95% intervals"
    )
    notes = [note.text for note in pressure_curve(data, "x").layout.annotations]
    for told in (
        "cap 2 (1 to 3 or more)",
        "cap 1 (1 to 2)",
        "no limit up to 2 (2 or more)",
        "stop: cap 0 (0)",
        "not proven: best 1 (0 to 2 or more)",
    ):
        assert told in notes


@pytest.mark.parametrize(
    ("verdict", "cap", "told"),
    [
        ("limit", 1, "Up to 1 contact in 30 days pays"),
        (
            "no limit seen",
            2,
            "2 contacts in 30 days pay, and more were hardly ever tried",
        ),
        ("stop", 0, "No contact pays"),
        (
            "not proven",
            2,
            "Whether contacts pay is not proven; the best guess is 2 in 30 days",
        ),
    ],
)
def test_the_title_tells_the_cap_of_all(verdict, cap, told):
    data = made(rows("(all)", verdict, cap=(cap, cap, cap)), rows("sms"))
    assert title_of(pressure_curve(data, "x")) == (
        f"{told} (best number {cap}). Bands are 95% intervals"
    )


def test_lines_are_dotted_where_nothing_is_proven():
    data = made(rows("(all)"), rows("sms", "not proven"))
    lines = [one for one in pressure_curve(data, "x").layout.shapes if one.x0 == one.x1 == 1.5]
    assert [line.line.dash for line in lines] == ["solid", "dot"]


def test_where_nothing_is_identified_the_reason_is_told(shop, paid):
    page = shop.contacts[shop.contacts["channel"] == "page"]
    found = contact_pressure(page, paid, window=30)
    data = pressure_curve_data(found)
    assert data["channel"].tolist() == ["(all)", "page"]
    assert pressure_curve_verdict(data) == (
        "No cap of all channels is identified: nobody was held out at random. Not identified: page "
        "(nobody was held out at random)."
    )
    figure = pressure_curve(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert not named(figure, "value")
    assert title_of(figure).startswith("No cap of all channels is identified: nobody was held")


def test_hovers_tell_what_is_known_of_leaving():
    data = made(rows("(all)"), rows("sms", unsubscribe=NAN))
    both = [trace.customdata[0] for trace in named(pressure_curve(data, "x"), "value")]
    assert both == [
        "after 0: 3.00 (95%: 2.50 to 3.50)<br>adds 4.00, costs 0.50, 1.00% unsubscribe",
        "after 0: 3.00 (95%: 2.50 to 3.50)<br>adds 4.00, costs 0.50",
    ]


def test_markup_in_names_stays_text(found):
    changed = {}
    for name in ("caps", "curve"):
        table = getattr(found, name).copy()
        table["channel"] = table["channel"].replace("page", HOSTILE)
        table["channel"] = table["channel"].replace("sms", f"<i>{'x' * 90}</i>")
        changed[name] = table
    changed["caps"]["reason"] = changed["caps"]["reason"].replace(
        "nobody was held out at random", HOSTILE
    )
    data = pressure_curve_data(dataclasses.replace(found, **changed))
    figure = pressure_curve(data, "x")
    assert "<script" not in str(figure.to_plotly_json())
    assert "<i>" not in str(figure.to_plotly_json())
    json.loads(figure.to_json(), parse_constant=refuse)


@pytest.mark.parametrize("n_channels", [1, 2, 5, 9])
def test_any_number_of_channels_has_panels(n_channels):
    parts = [rows(f"channel {number}") for number in range(n_channels)]
    figure = pressure_curve(made(rows("(all)"), *parts), "x")
    assert len(named(figure, "value")) == n_channels + 1
    titles = [axis.title.text for axis in figure.select_xaxes() if axis.title.text]
    assert len(titles) == min(n_channels + 1, 3)


def test_bad_input_is_refused(found):
    with pytest.raises(InputError, match="found is a DataFrame; pass the result of contact_pr"):
        pressure_curve_data(found.caps)
