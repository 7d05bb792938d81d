"""Care for late parcels: the figure, its data and its sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

import touchpoint_lib as tp
from tests.charts.campaign_samples import HOSTILE, NAN, SAFE, check_plain, named, title_of
from touchpoint_lib import InputError
from touchpoint_lib.charts._style import ACCENT
from touchpoint_lib.charts.experience import care_chart, care_chart_data, care_chart_verdict

KINDS = ["cared for in time", "cared for too late", "held out at random", "missed"]


@pytest.fixture(scope="module")
def care(shop, paid):
    """Return care that comes too late, never, in vain, and to some held out."""
    parcels = shop.parcels.copy()
    draw = np.random.default_rng(0).random(len(parcels))
    cared, promised = parcels["cared_at"].notna(), parcels["promised_at"]
    later = promised + pd.Timedelta(hours=5)
    early = promised - pd.Timedelta(minutes=1)
    known = parcels["delivered_at"].notna() & (parcels["delivered_at"] < promised)
    parcels.loc[cared & (draw < 0.2), "cared_at"] = pd.NaT
    parcels.loc[cared & (draw > 0.8), "cared_at"] = later[cared & (draw > 0.8)]
    parcels.loc[known & (draw < 0.02), "cared_at"] = early[known & (draw < 0.02)]
    parcels.loc[parcels["held_out"] & (draw < 0.1), "cared_at"] = promised
    return tp.parcel_care(parcels, paid, window=90, level=0.9)


def made(shares=(60, 10, 20, 10), effects=(), **about):
    """Return data of so many late parcels of each kind, and effects of (part, name, value)."""
    n = sum(shares)
    rows = [
        (
            "late parcels",
            name,
            k,
            k / n if n else NAN,
            *((k / n - 0.05, k / n + 0.05) if n else (NAN, NAN)),
        )
        for name, k in zip(KINDS, shares, strict=True)
    ]
    rows += [(part, name, 50, value, value - 100, value + 100) for part, name, value in effects]
    data = pd.DataFrame(rows, columns=["part", "name", "n", "value", "value_low", "value_high"])
    data.attrs = {
        "level": 0.95,
        "window": 90.0,
        "n_judged": 1000,
        "n_late": n,
        "n_cared": 80,
        "error_rate": 0.125,
        "error_rate_low": 0.1,
        "error_rate_high": 0.15,
        "n_breached": 0,
        "why": "",
    } | about
    return data


EFFECTS = [
    ("care", "orders", 300.0),
    ("care", "margin", 50.0),
    ("lateness", "orders", -400.0),
    ("lateness", "margin", -90.0),
]


def test_the_data_count_every_late_parcel_once(care):
    data = care_chart_data(care)
    late = care.parcels[care.parcels["late"]]
    counts = dict.fromkeys(KINDS, 0)
    for row in late.to_dict("records"):
        if row["cared"]:
            counts["cared for in time" if row["in_time"] else "cared for too late"] += 1
        else:
            counts["held out at random" if row["held_out"] else "missed"] += 1
    assert min(counts.values()) > 0
    shares = data[data["part"] == "late parcels"]
    assert dict(zip(shares["name"], shares["n"], strict=True)) == counts
    assert shares["value"].sum() == pytest.approx(1, abs=1e-5)
    for row in shares.to_dict("records"):
        low, high = proportion_confint(row["n"], len(late), alpha=0.1, method="wilson")
        assert row["value_low"] == pytest.approx(low, rel=1e-5)
        assert row["value_high"] == pytest.approx(high, rel=1e-5)
    assert counts["cared for in time"] == care.rates.loc["in time", "true_positive"]
    known = care.parcels[care.parcels["cared"]]
    assert data.attrs["n_cared"] == len(known)
    assert data.attrs["error_rate"] == pytest.approx((~known["late"]).mean(), rel=1e-5)
    assert data.attrs["n_breached"] == (care.parcels["cared"] & care.parcels["held_out"]).sum() > 0


def test_the_data_hold_both_comparisons(care):
    data = care_chart_data(care)
    for part, table, count in (
        ("care", care.worth, "n_cared"),
        ("lateness", care.lateness, "n_late"),
    ):
        mine = data[data["part"] == part]
        assert mine["name"].tolist() == table["outcome"].tolist() == ["orders", "margin"]
        assert mine["n"].tolist() == table[count].tolist()
        for ours, theirs in (("value", ""), ("value_low", "_low"), ("value_high", "_high")):
            np.testing.assert_allclose(mine[ours], table[f"per_1000{theirs}"], rtol=1e-5)


def test_the_figure_is_plain_and_shows_the_data(care):
    data = care_chart_data(care)
    figure, again = (care_chart(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, care.n_judged)
    drawn = named(figure, "value")
    parts = [data[data["part"] == "late parcels"]]
    parts += [
        data[(data["part"] != "late parcels") & (data["name"] == n)] for n in ("orders", "margin")
    ]
    assert len(drawn) == 3
    for trace, rows, scale in zip(drawn, parts, (100, 1, 1), strict=True):
        np.testing.assert_allclose(trace.x, scale * rows["value"], rtol=1e-5)
        high = np.add(trace.x, trace.error_x.array)
        low = np.subtract(trace.x, trace.error_x.arrayminus)
        np.testing.assert_allclose(high, scale * rows["value_high"], rtol=1e-5)
        np.testing.assert_allclose(low, scale * rows["value_low"], rtol=1e-5)
        assert trace.marker.color[0] == ACCENT
    for trace, axis in zip(drawn[1:], ("xaxis2", "xaxis3"), strict=True):
        low, high = figure.layout[axis].range
        assert low < min(0, *np.subtract(trace.x, trace.error_x.arrayminus))
        assert high > max(0, *np.add(trace.x, trace.error_x.array))
    assert [shape.x0 for shape in figure.layout.shapes] == [0, 0]


def test_everything_is_told_with_intervals():
    assert care_chart_verdict(made(effects=EFFECTS)) == (
        "In 90 days 1,000 cared for brought +300 (95%: +200 to +400) orders and +50 (95%: -50 to "
        "+150; not clear of 0) margin, compared with those held out at random. Of 100 late among "
        "1,000 parcels judged, 60.0% (95%: 55.0% to 65.0%) were cared for in time, 10.0% (95%: "
        "5.0% to 15.0%) were cared for too late, 20.0% (95%: 15.0% to 25.0%) were held out at "
        "random and 10.0% (95%: 5.0% to 15.0%) were missed; of 80 cared for, 12.5% (95%: 10.0% to "
        "15.0%) were not late. 1,000 late ones without care are followed by -400 (95%: -500 to "
        "-300) orders and -90 (95%: -190 to +10; not clear of 0) margin, compared with others like "
        "them: a description, as nobody drew lots for lateness."
    )
    figure = care_chart(made(effects=EFFECTS), "x")
    assert title_of(figure) == (
        "Care came in time for 60% of the late parcels; 1,000 cared for brought +300 (95%: +200 to "
        "+400) orders and +50 (95%: -50 to +150; not clear of 0) margin"
    )
    texts = [list(trace.text) for trace in named(figure, "label")]
    assert texts[0][:2] == ["\u200260.0%: 60", "\u200210.0%: 10"]
    assert texts[1] == ["\u2002+300 (+200 to +400)", "\u2002-400 (-500 to -300)"]


def test_what_is_not_identified_is_said():
    says = care_chart_verdict(made((50, 0, 0, 50), why="Parcels of 0 customers were held out."))
    assert "none was cared for too late, none was held out at random and 50.0%" in says
    assert says.endswith("Parcels of 0 customers were held out.")
    figure = care_chart(made((50, 0, 0, 50), [("lateness", "orders", -400.0)]), "x")
    assert title_of(figure).endswith("; what care is worth is not identified")
    assert [list(trace.y) for trace in named(figure, "value")] == [[0, 1, 2, 3], [1]]
    assert len(named(care_chart(made(), "x"), "value")) == 1


def test_an_effect_without_an_interval_has_no_whiskers():
    data = made(effects=[("care", "orders", 300.0)])
    data.loc[data["part"] == "care", ["value_low", "value_high"]] = NAN
    assert "1,000 cared for brought +300 (no interval) orders" in care_chart_verdict(data)
    figure = care_chart(data, HOSTILE)
    check_plain(figure, care_chart(data, HOSTILE), SAFE, 1000)
    assert list(named(figure, "value")[1].error_x.array) == [0.0]


def test_no_late_parcel_and_nobody_cared_for():
    data = made((0, 0, 0, 0), n_cared=0, why="No care.")
    assert care_chart_verdict(data) == "None of 1,000 parcels judged was late. No care."
    figure = care_chart(data, HOSTILE)
    check_plain(figure, care_chart(data, HOSTILE), SAFE, 1000)
    assert title_of(figure) == "No parcel was late; what care is worth is not identified"
    assert len(named(figure, "value")[0].x) == 0


def test_those_held_out_and_cared_for_are_told():
    says = care_chart_verdict(made(n_breached=7))
    assert "; of those held out, 7 were cared for nevertheless." in says


def test_no_late_parcel_of_a_shop(shop, paid):
    parcels = shop.parcels
    in_time = parcels[parcels["delivered_at"] <= parcels["promised_at"]]
    data = care_chart_data(tp.parcel_care(in_time, paid, window=90))
    assert data["value"].isna().all()
    assert care_chart_verdict(data).startswith("None of ")


def test_outcomes_with_markup_are_shown_as_text_and_only_two_in_the_title(shop, paid):
    amounts = [HOSTILE, "Discount"]
    orders = paid.rename(columns={"margin": HOSTILE, "discount": "Discount"})
    data = care_chart_data(tp.parcel_care(shop.parcels, orders, window=90, amounts=amounts))
    figure = care_chart(data, "x")
    assert "<script" not in str(figure.to_plotly_json())
    titles = [axis.title.text for axis in figure.select_xaxes()]
    assert titles[2].endswith(f": {SAFE}")
    assert titles[3].endswith(": Discount")
    assert "Discount" not in title_of(figure)


def test_bad_input_is_refused(care):
    with pytest.raises(InputError, match=r"care is a DataFrame; .*parcel_care"):
        care_chart_data(care.parcels)
