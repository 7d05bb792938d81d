"""The touchpoint matrix: its figures, their data and their sentences."""

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
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE

DATA = [
    charts.touchpoint_effects_data,
    charts.touchpoint_cells_data,
    charts.touchpoint_quadrants_data,
]
FIGURES = [charts.touchpoint_effects, charts.touchpoint_cells, charts.touchpoint_quadrants]
STATES = ["gains", "loses", "not known", "not identified"]


@pytest.fixture(scope="module")
def truth(matrix):
    known = matrix.table[["channel", "by", "stage"]].copy()
    known["orders"] = np.arange(len(known), dtype=float)
    known["profit"] = -10.0 * np.arange(len(known))
    return known.sample(frac=1, random_state=0)


def renamed(matrix, **names):
    """Return the matrix with other names of channels, stages and reasons."""
    table = matrix.table.copy()
    for column, changes in names.items():
        table[column] = table[column].astype(object).replace(changes)
    return dataclasses.replace(matrix, table=table)


def cell(channel, value=10.0, half=5.0, by="", stage="all", truth=NAN, **more):
    low, high = (NAN, NAN) if value is None else (value - half, value + half)
    state = (
        STATES[3] if value is None else "gains" if low > 0 else "loses" if high < 0 else STATES[2]
    )
    return {
        "channel": channel,
        "by": by,
        "stage": stage,
        "contacts": 1000,
        "reason": "nobody was held out" if value is None else "",
        "value": NAN if value is None else value,
        "low": low,
        "high": high,
        "state": state,
        "truth": truth,
    } | more


def made(*rows, **about):
    data = pd.DataFrame(list(rows))
    data.attrs = {"measure": "orders", "level": 0.95, "window": 90.0, "n": 5000, "by": "stage"}
    data.attrs |= about
    return data


@pytest.mark.parametrize(("data_of", "draw"), list(zip(DATA, FIGURES, strict=True)))
def test_figures_are_plain_stable_and_name_their_source(matrix, data_of, draw):
    data = data_of(matrix)
    table = matrix.table
    by = "" if "measure" in data.attrs else "stage"
    n = table.loc[table["by"] == by, "opportunities"].sum()
    check_plain(draw(data, HOSTILE), draw(data, HOSTILE), SAFE, n)


@pytest.mark.parametrize("measure", ["orders", "margin", "profit"])
def test_effects_are_those_of_each_channel_over_all_stages(matrix, measure):
    data = charts.touchpoint_effects_data(matrix, measure)
    table = matrix.table[matrix.table["by"] == ""].set_index("channel")
    assert sorted(data["channel"]) == sorted(table.index)
    for one in data.itertuples():
        row = table.loc[one.channel]
        numbers = [row[f"{measure}_per_1000"], row[f"{measure}_low"], row[f"{measure}_high"]]
        np.testing.assert_allclose([one.value, one.low, one.high], numbers, rtol=1e-5)
        assert one.contacts == row["contacts"]
        low, high = numbers[1:]
        expected = [low > 0, high < 0, low <= 0 <= high, np.isnan(low)]
        assert one.state == STATES[expected.index(True)]
    known = data["value"].dropna()
    assert known.is_monotonic_decreasing
    assert known.index.tolist() == list(range(len(known)))
    assert known.tolist() == [float(f"{value:.6g}") for value in known]
    assert data["truth"].isna().all()


def test_the_truth_goes_to_its_cell_whatever_its_order(matrix, truth):
    for data_of in DATA[:2]:
        data = data_of(matrix, "profit", truth)
        known = truth.set_index(["channel", "by", "stage"])["profit"]
        for one in data.itertuples():
            assert one.truth == known[one.channel, one.by, one.stage]
    less = charts.touchpoint_effects_data(matrix, "orders", truth[truth["channel"] != "sms"])
    assert less.loc[less["truth"].isna(), "channel"].tolist() == ["sms"]


def test_the_points_of_the_effects_stand_at_their_channels(matrix, truth):
    data = charts.touchpoint_effects_data(matrix, "orders", truth)
    figure = charts.touchpoint_effects(data, "x")
    known = data[data["low"].notna()]
    [estimate], [true] = named(figure, "estimate"), named(figure, "truth")
    assert list(estimate.x) == known["value"].tolist()
    assert list(estimate.y) == known.index.tolist()
    np.testing.assert_allclose(
        np.subtract(estimate.x, estimate.error_x.arrayminus), known["low"], atol=1e-6
    )
    np.testing.assert_allclose(np.add(estimate.x, estimate.error_x.array), known["high"], atol=1e-6)
    assert list(true.x) == data["truth"].tolist()
    assert list(figure.layout.yaxis.ticktext) == data["channel"].tolist()
    notes = [note.text for note in figure.layout.annotations]
    assert "not identified: nobody was held out" in notes
    assert not named(
        charts.touchpoint_effects(charts.touchpoint_effects_data(matrix), "x"), "truth"
    )


def test_colours_tell_gains_and_losses():
    data = made(cell("a"), cell("b", 1.0), cell("c", -10.0))
    [estimate] = named(charts.touchpoint_effects(data, "x"), "estimate")
    assert estimate.marker.color[0] == ACCENT
    assert estimate.marker.color[2] == BASELINE
    assert len(set(estimate.marker.color)) == 3


def test_the_verdict_of_the_effects():
    data = made(
        cell("sms", 10.0, truth=6.0),
        cell("chat", 1.0, truth=9.0),
        cell("post", -10.0),
        cell("page", None, truth=3.0),
    )
    told = charts.touchpoint_effects_verdict(data)
    assert told.startswith(
        "By intervals of 95%, added orders per 1,000 contacts are more than nothing for sms (10.0: "
        "5.0 to 15.0), less than nothing for post (-10.0: -15.0 to -5.0); the interval of chat "
        "holds 0; "
    )
    assert "(nobody was held out)." in told
    assert told.endswith("The truth lies in 1 of 2 intervals.")
    assert title_of(charts.touchpoint_effects(data, "x")) == (
        "Of 4 channels, 2 have an effect that is clear of 0: sms and post"
    )
    one = made(cell("sms", 10.0))
    assert "truth" not in charts.touchpoint_effects_verdict(one)
    assert title_of(charts.touchpoint_effects(one, "x")) == (
        "Of 1 channel, 1 has an effect that is clear of 0: sms"
    )


def test_the_name_of_a_channel_keeps_its_case():
    told = charts.touchpoint_effects_verdict(made(cell("eMail", None)))
    assert told == "Not identified: eMail (nobody was held out)."


def test_cells_are_those_of_the_stages_and_all(matrix):
    data = charts.touchpoint_cells_data(matrix)
    table = matrix.table[matrix.table["by"] != "segment"]
    assert len(data) == len(table)
    assert set(data["by"]) == {"", "stage"}
    merged = data.merge(table.astype({"stage": str}), on=["channel", "by", "stage"])
    assert len(merged) == len(data)
    np.testing.assert_allclose(merged["value"], merged["profit_per_1000"], rtol=1e-5)
    np.testing.assert_allclose(merged["low"], merged["profit_low"], rtol=1e-5)
    whole = data["by"] == ""
    assert whole.tolist() == sorted(whole)


def spots(figure):
    """Return what each cell says, by the names at the left and above."""
    [heat] = figure.data
    x, y = figure.layout.xaxis, figure.layout.yaxis
    columns, rows = (
        dict(zip(axis.tickvals, axis.ticktext, strict=True)) if axis.tickvals else None
        for axis in (x, y)
    )
    found = {}
    for at, row in enumerate(heat.y):
        for to, column in enumerate(heat.x):
            place = rows[row] if rows else row, columns[column] if columns else column
            found[place] = (heat.z[at][to], heat.text[at][to], heat.customdata[at][to])
    assert len(found) == len(heat.x) * len(heat.y)
    return found


def test_every_cell_stands_in_its_row_and_column(matrix):
    data = charts.touchpoint_cells_data(matrix, "orders")
    figure = charts.touchpoint_cells(data, "x")
    cells = spots(figure)
    seen = set()
    for one in data.itertuples():
        z, shown, hover = cells[one.channel, one.stage]
        assert z == STATES.index(one.state)
        assert f"{one.channel}, {one.stage}: {one.contacts:,} contacts" in hover
        if one.state == "not identified":
            assert shown == "?"
            assert one.reason
            assert hover.endswith(f"not identified: {one.reason}")
        else:
            number = float(shown.split("<b>")[1].split("</b>")[0].replace(",", ""))
            assert number == pytest.approx(one.value, rel=0.01, abs=0.6)
        seen.add((one.channel, one.stage))
    assert all(cells[place][0] is None for place in set(cells) - seen)
    assert figure.data[0].zmin == -0.5
    assert figure.data[0].zmax == 3.5


def test_stages_stand_in_their_order_though_a_channel_lacks_one(matrix):
    table = matrix.table
    chat = table["channel"] == "chat"
    less = dataclasses.replace(matrix, table=table[~(chat & (table["stage"] == "drowsy"))])
    figure = charts.touchpoint_cells(charts.touchpoint_cells_data(less), "x")
    stages = list(dict.fromkeys(stage for _, stage in spots(figure)))
    assert stages == ["new", "awake", "drowsy", "half asleep", "asleep", "all"]


def test_channels_that_are_shortened_alike_keep_their_rows(matrix):
    long = {"sms": f"a {'x' * 60} b", "chat": f"a {'x' * 30}y{'x' * 29} b"}
    data = charts.touchpoint_cells_data(renamed(matrix, channel=long))
    figure = charts.touchpoint_cells(data, "x")
    [heat] = figure.data
    assert len(set(heat.y)) == data["channel"].nunique()
    for at, channel in enumerate(sorted(set(data["channel"]))):
        assert any(f"{channel}, " in hover for hover in heat.customdata[at])
        assert all(f"{channel}, " in hover or not hover for hover in heat.customdata[at])


def test_the_verdict_of_the_cells():
    data = made(
        cell("sms", 10.0, by="stage", stage="awake", truth=6.0),
        cell("sms", 1.0, by="stage", stage="asleep", truth=60.0),
        cell("chat", -10.0, by="stage", stage="awake"),
        cell("page", None, by="stage", stage="awake"),
        cell("sms", 4.0),
        measure="profit",
    )
    assert charts.touchpoint_cells_verdict(data) == (
        "Of 4 cells of channel and stage: a contact clearly gains in 1 (sms to awake), a contact "
        "clearly loses in 1 (chat to awake), in 1 the interval holds 0, 1 cannot be identified. "
        "By chance alone some 0.2 of 3 would be clear of 0. The truth lies in 1 of 2 intervals."
    )
    assert title_of(charts.touchpoint_cells(data, "x")) == (
        "Profit per 1,000 contacts: clear of 0 in 2 of 4 cells"
    )


def test_where_nothing_is_identified_that_is_all_that_is_told(matrix):
    page = dataclasses.replace(matrix, table=matrix.table[matrix.table["channel"] == "page"])
    data = charts.touchpoint_quadrants_data(page)
    assert data.empty
    missing = data.attrs["missing"]
    assert charts.touchpoint_quadrants_verdict(data) == f"{missing} cells have no estimate."
    for data_of, draw in zip(DATA, FIGURES, strict=True):
        json.loads(draw(data_of(page), "x").to_json(), parse_constant=refuse)
    effects = charts.touchpoint_effects(charts.touchpoint_effects_data(page), "x")
    assert title_of(effects) == "No effect of a channel is identified"
    cells = charts.touchpoint_cells_data(page)
    assert charts.touchpoint_cells_verdict(cells) == (
        f"Of {missing} cells of channel and stage: {missing} cannot be identified."
    )


@pytest.mark.parametrize(("data_of", "draw"), list(zip(DATA, FIGURES, strict=True)))
def test_markup_in_names_stays_text(matrix, data_of, draw):
    odd = renamed(
        matrix,
        channel={"sms": HOSTILE, "page": "<i>page</i>", "chat": "<i>chat</i>"},
        stage={"awake": "<i>awake</i>"},
        reason={"nobody was held out": "<i>reason</i>"},
    )
    # As plain objects: JSON of plotly has no "<" whatever is in it.
    content = str(draw(data_of(odd), "x").to_plotly_json())
    assert "<script" not in content
    assert "<i>" not in content


def test_bad_input_is_refused(matrix, truth):
    for data_of in DATA:
        with pytest.raises(InputError, match="matrix is a DataFrame; pass the result of touchpoi"):
            data_of(matrix.table)
    twice = truth[(truth["channel"] == "sms") & (truth["by"] == "")]
    for data_of in DATA[:2]:
        with pytest.raises(InputError, match="measure is 'money'"):
            data_of(matrix, "money")
        with pytest.raises(InputError, match="truth has no column 'margin'"):
            data_of(matrix, "margin", truth)
        with pytest.raises(InputError, match="truth has several rows of 'sms', '', 'all'"):
            data_of(matrix, "orders", pd.concat([truth, twice]))
        with pytest.raises(InputError, match="orders of truth is not numeric"):
            data_of(matrix, "orders", truth.assign(orders="many"))


def test_cells_of_segments(matrix):
    data = charts.touchpoint_cells_data(matrix, "orders", by="segment")
    assert set(data["by"]) == {"segment", ""}
    assert set(data.loc[data["by"] == "segment", "stage"]) == {"core"}
    assert "cells of channel and segment" in charts.touchpoint_cells_verdict(data)
    plain = dataclasses.replace(matrix, table=matrix.table[matrix.table["by"] != "segment"])
    with pytest.raises(InputError, match="by is 'segment'; it must be one of 'stage'"):
        charts.touchpoint_cells_data(plain, "orders", by="segment")
