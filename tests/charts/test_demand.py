"""Demand by region and period: the map, its data and its sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.charts.campaign_samples import HOSTILE, SAFE, check_plain, named, title_of
from touchpoint_lib import InputError
from touchpoint_lib.charts.demand import demand_map, demand_map_data, demand_map_verdict


@pytest.fixture(scope="module")
def orders():
    shop = tp.load_shop()
    return shop.orders[shop.orders["status"] == "paid"]


@pytest.fixture(scope="module")
def table(orders):
    """Return an index with a season of its own in one region."""
    extra = orders[(orders["product"] == "tea") & (orders["time"].dt.month == 5)]
    return tp.demand_index(pd.concat([orders, *[extra] * 2]), region="product")


def cell(region, period, index=1.0, half=0.1, demand=10.0, **more):
    low, high = index - half, index + half
    return {
        "region": region,
        "period": pd.Timestamp(period),
        "days": 30.0,
        "demand": demand,
        "expected": 9.0,
        "ratio": demand / 9,
        "index": index,
        "index_low": low,
        "index_high": high,
        "exceptional": low > 1 or high < 1,
        "period_index": 0.9,
        "period_index_low": 0.8,
        "period_index_high": 1.0,
        "region_index": 1.1,
        "region_index_low": 1.0,
        "region_index_high": 1.2,
    } | more


def made(*cells, freq="M", level=0.95, orders=160, value=None):
    frame = pd.DataFrame(list(cells))
    frame.attrs = {"freq": freq, "level": level, "orders": orders, "value": value}
    return frame


def square(*exceptional, n=4, **about):
    """Return a map of n x n cells, those of (region, month): index as given."""
    found = dict(exceptional)
    cells = [
        cell(region, f"2025-{month:02d}-01", found.get((region, month), 1.0))
        for region in "abcdefgh"[:n]
        for month in range(1, n + 1)
    ]
    return demand_map_data(made(*cells, **about))


def test_the_data_are_those_of_the_index(table):
    data = demand_map_data(table)
    assert len(data) == len(table)
    keyed = table.assign(period=table["period"].dt.strftime("%Y-%m"))
    keyed = keyed.set_index(["region", "period"])
    mine = data.set_index(["region", "period"])
    for name in ("index", "index_low", "period_index_high", "region_index", "demand"):
        np.testing.assert_allclose(mine[name], keyed.loc[mine.index, name], rtol=1e-5)
    # The region of most demand is first, and periods are in their order.
    totals = table.groupby("region")["demand"].sum().sort_values(ascending=False)
    assert list(dict.fromkeys(data["region"])) == totals.index.tolist()
    assert data["period"].tolist()[:2] == ["2024-01", "2024-02"]
    assert data.attrs["unshrunk"] == pytest.approx(0.05 * len(table))
    assert data.attrs["wrong"] == pytest.approx(0.025 * table["exceptional"].sum())


def test_the_figure_is_plain_and_shows_the_data(table):
    data = demand_map_data(table)
    figure, again = (demand_map(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, int(table["demand"].sum()))
    pale, sure = named(figure, "index")[0], named(figure, "exceptional")[0]
    flags = data["exceptional"].to_numpy().reshape(4, 24)
    assert flags.any()
    shown = [[one is not None for one in line] for line in sure.z]
    np.testing.assert_array_equal(shown, flags)
    np.testing.assert_array_equal([[one is not None for one in line] for line in pale.z], ~flags)
    drawn = [one for line in sure.z for one in line if one is not None]
    np.testing.assert_allclose(drawn, np.log(data.loc[data["exceptional"], "index"]), rtol=1e-4)
    assert pale.opacity < sure.opacity == 1
    # An outline each, and a figure only in these cells.
    outlines = {
        (shape.y0 + 0.5, shape.x0 + 0.5) for shape in figure.layout.shapes if shape.type == "rect"
    }
    assert outlines == {tuple(map(float, at)) for at in np.argwhere(flags)}
    assert [[one != "" for one in line] for line in sure.text] == flags.tolist()
    months = data.drop_duplicates("period")
    assert list(named(figure, "period")[0].y) == months["period_index"].tolist()
    assert max(named(figure, "interval")[0].y) == months["period_index_high"].max()
    assert (
        list(named(figure, "region")[0].x)
        == data.drop_duplicates("region")["region_index"].tolist()
    )
    axis = figure.layout.coloraxis
    assert axis.cmax == -axis.cmin >= max(map(abs, drawn))


def test_the_season_of_a_region_is_found(table):
    says = demand_map_verdict(demand_map_data(table))
    top = table.loc[table["exceptional"]].nlargest(1, "index_low").iloc[0]
    assert (top["region"], top["period"].month) == ("tea", 5)
    assert f"tea in {top['period']:%Y-%m} with an index of {top['index']:.2f} (95%: " in says
    assert f"{int(table['exceptional'].sum())} are exceptional" in says


def test_no_exceptional_cell():
    data = square(n=4)
    assert demand_map_verdict(data) == (
        "Of 16 cells of region and month (160 orders), none is exceptional: every interval of 95% "
        "holds what region and month alone explain. Over all regions a day brought most orders in "
        "2025-01: 0.90 times (95%: 0.80 to 1.00) the average day. Unshrunk, some 1 would be "
        "exceptional by chance alone."
    )
    figure = demand_map(data, "x")
    assert title_of(figure) == (
        "None of 16 cells of region and month is exceptional; unshrunk, some 1 would be so by "
        "chance"
    )
    assert not [shape for shape in figure.layout.shapes if shape.type == "rect"]
    # Noise is not drawn in full colour.
    assert figure.layout.coloraxis.cmax == 0.1


def test_few_exceptional_cells_are_all_named_the_surest_first():
    data = square((("b", 2), 0.5), (("c", 3), 1.5), n=4)
    says = demand_map_verdict(data)
    assert says.startswith(
        "Of 16 cells of region and month (160 orders), 2 are exceptional: b in 2025-02 with an "
        "index of 0.50 (95%: 0.40 to 0.60) and c in 2025-03 with an index of 1.50 (95%: 1.40 to "
        "1.60). Over"
    )
    assert says.endswith(
        "Unshrunk, some 1 would be exceptional by chance alone; of the shrunken ones found, 0.05 "
        "at most are expected on the wrong side of 1."
    )
    assert says.count(". ") == 2
    assert title_of(demand_map(data, "x")) == (
        "2 of 16 cells of region and month are exceptional: b 2025-02 (-50%) and c 2025-03 (+50%); "
        "unshrunk, some 1 would be so by chance"
    )
    marks = named(demand_map(data, "x"), "exceptional")[0].text
    assert sorted(one for line in marks for one in line if one) == ["+50", "-50"]


def test_many_exceptional_cells_are_counted():
    found = [((name, number), 1.5 + number / 10) for number, name in enumerate("abcd", start=1)]
    data = square(*found, n=4)
    says = demand_map_verdict(data)
    assert "4 are exceptional: above all d in 2025-04 with an index of 1.90" in says
    assert "a in 2025-01" not in says
    assert title_of(demand_map(data, "x")).startswith(
        "4 of 16 cells of region and month are exceptional; unshrunk"
    )


def test_one_exceptional_cell_is_told_in_the_singular():
    data = square((("a", 1), 2.4), n=2)
    assert "1 is exceptional: a in 2025-01" in demand_map_verdict(data)
    figure = demand_map(data, "x")
    assert "1 of 4 cells of region and month is exceptional: a 2025-01 (+140%)" in title_of(figure)
    assert named(figure, "exceptional")[0].text[0][0] == "140"


@pytest.mark.parametrize(
    ("freq", "word", "label"), [("Q", "quarter", "2025-Q2"), ("W", "week", "2025-04-07")]
)
def test_quarters_and_weeks(freq, word, label):
    cells = [cell(name, day) for name in "ab" for day in ("2025-01-06", "2025-04-07")]
    data = demand_map_data(made(*cells, freq=freq))
    assert label in set(data["period"])
    assert f"Of 4 cells of region and {word} (160 orders), none" in demand_map_verdict(data)
    assert demand_map(data, "x").layout.xaxis3.title.text == word.capitalize()


def test_many_weeks_have_signs_and_few_ticks():
    days = pd.date_range("2024-01-01", periods=60, freq="7D")
    cells = [
        cell(name, day, {3: 2.0, 4: 0.5}.get(number, 1.0))
        for name in "ab"
        for number, day in enumerate(days)
    ]
    figure = demand_map(demand_map_data(made(*cells, freq="W")), "x")
    marks = named(figure, "exceptional")[0].text
    assert list(marks[0][2:5]) == ["", "+", "\u2212"]
    assert len(figure.layout.xaxis3.tickvals) <= 5


def test_markup_and_cells_without_demand():
    cells = [
        cell(name, day, ratio=np.nan, demand=0.0)
        for name in (HOSTILE, "b")
        for day in ("2025-01-01", "2025-02-01")
    ]
    data = demand_map_data(made(*cells))
    figure = demand_map(data, HOSTILE)
    check_plain(figure, demand_map(data, HOSTILE), SAFE, 160)
    assert figure.layout.yaxis3.ticktext[0] == SAFE


def test_what_demand_is_and_of_how_many_orders(orders):
    table = tp.demand_index(orders, region="product", freq="Q", value="amount", level=0.9)
    data = demand_map_data(table)
    assert (data.attrs["orders"], data.attrs["value"]) == (len(orders), "amount")
    says = demand_map_verdict(data)
    assert f"region and quarter (amount of {len(orders):,} orders), " in says
    assert "a day brought most amount in 2025-Q4: " in says
    assert "(90%: " in says
    figure = demand_map(data, "x")
    assert any(f"n = {len(orders):,}" in (one.text or "") for one in figure.layout.annotations)
    assert figure.layout.yaxis.title.text == "Amount a day,<br>average = 1"
    assert "<br>amount " in named(figure, "index")[0].customdata[0][0]
    hostile = demand_map_data(
        made(
            *(cell(name, day) for name in "ab" for day in ("2025-01-01", "2025-02-01")),
            orders=1,
            value=HOSTILE,
        )
    )
    check_plain(demand_map(hostile, HOSTILE), demand_map(hostile, HOSTILE), SAFE, 1)
    assert f"({HOSTILE} of 1 order)" in demand_map_verdict(hostile)


def test_bad_input_is_refused(table):
    lost = table.copy()
    lost.attrs = {}
    for wrong, words in [
        (None, "table is a NoneType"),
        (table.drop(columns="index_low"), r"no column 'index_low' .* make it with demand_index"),
        (lost, "attrs of table lack 'level'"),
        (table.head(0), "table has no rows"),
    ]:
        with pytest.raises(InputError, match=words):
            demand_map_data(wrong)
