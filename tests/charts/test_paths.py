"""The most frequent paths to an order: the figure, its data and its sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.charts.campaign_samples import HOSTILE, NAN, SAFE, check_plain, named, title_of
from touchpoint_lib import InputError
from touchpoint_lib.charts._style import ACCENT
from touchpoint_lib.charts.paths import path_bars, path_bars_data, path_bars_verdict


@pytest.fixture(scope="module")
def paths():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    return tp.contact_paths(shop.contacts, paid, number=2, top=4)


def row(path, customers, share, half=0.01, days=2.0):
    return {
        "path": path,
        "customers": customers,
        "share": share,
        "share_low": share - half,
        "share_high": share + half,
        "median_days": days,
        "touches": 0.0 if np.isnan(days) else 1.5,
    }


def made(*rows, **about):
    frame = pd.DataFrame(list(rows))
    frame.attrs = {
        "number": 2,
        "window": 30.0,
        "level": 0.95,
        "customers": 1000,
        "fewer": 10,
        "early": 0,
        "paths": len(rows),
    } | about
    return frame


NONE = row("(no contact)", 400, 0.4, days=NAN)
PAGE, SMS = row("page", 300, 0.3), row("sms > page", 200, 0.2, days=12.25)
REST = row("(other)", 100, 0.1)


def test_the_data_are_those_of_the_paths_rounded(paths):
    data = path_bars_data(paths)
    assert data["path"].tolist() == paths["path"].tolist()
    assert data["kind"].tolist() == ["no contact", "path", "path", "path", "path", "other"]
    assert data["customers"].tolist() == paths["customers"].tolist()
    for name in ("share", "share_low", "share_high", "median_days", "touches"):
        told = [float(f"{value:.6g}") for value in paths[name]]
        np.testing.assert_array_equal(data[name], told)
    assert data.attrs == paths.attrs


def test_the_figure_is_plain_and_shows_the_data(paths):
    data = path_bars_data(paths)
    figure, again = (path_bars(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, 4995)
    bars, labels = named(figure, "share")[0], named(figure, "label")[0]
    np.testing.assert_allclose(bars.x, 100 * data["share"], rtol=1e-5)
    ends = np.add(bars.x, bars.error_x.array), np.subtract(bars.x, bars.error_x.arrayminus)
    np.testing.assert_allclose(ends[0], 100 * data["share_high"], atol=1e-4)
    np.testing.assert_allclose(ends[1], 100 * data["share_low"], atol=1e-4)
    assert labels.text[0] == "\u200241.2%"
    assert labels.text[1] == "\u200210.0%, median 2.87 days"
    assert figure.layout.xaxis.range[1] > 100 * data["share_high"].max()
    assert [colour == ACCENT for colour in bars.marker.color] == [False, *[True] * 4, False]


def test_a_path_that_is_clearly_ahead_is_told_so():
    data = path_bars_data(made(NONE, PAGE, SMS, REST, paths=13))
    assert path_bars_verdict(data) == (
        "Of 1,000 customers with at least 2 orders, 40.0% (95%: 39.0% to 41.0%) had no contact in "
        "the 30 days before the second; clearly the most frequent path is page with 30.0% (95%: "
        "29.0% to 31.0%), median 2.00 days from the first touch to the order; 10.0% came by one "
        "of 10 other paths. This describes who ordered, not what made them order."
    )
    assert title_of(path_bars(data, "x")) == (
        "40% of the customers came to the second order without a contact; the path that leads is "
        "page with 30.0%. Bars with 95% intervals"
    )


def test_a_path_that_may_not_be_ahead_is_not_told_so():
    close = made(row("a", 300, 0.3), row("b", 295, 0.295), number=11)
    says = path_bars_verdict(path_bars_data(close))
    assert says.startswith(
        "Of 1,000 customers with at least 11 orders, all had a contact in the 30 days before the "
        "11th; the path that leads is a with 30.0% (95%: 29.0% to 31.0%), median 2.00 days from "
        "the first touch to the order, not clearly ahead of b with 29.5% (95%: 28.5% to 30.5%). "
        "This"
    )
    assert title_of(path_bars(path_bars_data(close), "x")).startswith("None of the customers came")


def test_days_that_are_not_in_the_log_are_told():
    says = path_bars_verdict(path_bars_data(made(NONE, PAGE, early=1200)))
    assert says.endswith(
        ". This describes who ordered, not what made them order; of 1,200 not all days before are "
        "in the log, and their contacts may be missing."
    )


def test_one_path_and_none():
    one = path_bars_data(made(PAGE, number=1))
    assert "; the most frequent path is page with 30.0% (" in path_bars_verdict(one)
    none = path_bars_data(made(NONE, number=3))
    assert path_bars_verdict(none) == (
        "Of 1,000 customers with at least 3 orders, 40.0% (95%: 39.0% to 41.0%) had no contact in "
        "the 30 days before the third. This describes who ordered, not what made them order."
    )
    assert title_of(path_bars(none, "x")) == (
        "40% of the customers came to the third order without a contact. Bars with 95% intervals"
    )
    assert list(named(path_bars(none, "x"), "label")[0].text) == ["\u200240.0%"]


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, "first"), (4, "4th"), (12, "12th"), (21, "21st"), (22, "22nd"), (103, "103rd")],
)
def test_the_number_of_the_order_in_words(number, told):
    figure = path_bars(path_bars_data(made(NONE, number=number)), "x")
    assert f"to the {told} order" in title_of(figure)


def test_long_paths_and_markup_are_shown_as_text():
    long = " > ".join([HOSTILE] * 20)
    figure = path_bars(path_bars_data(made(row(HOSTILE, 5, 0.1), row(long, 4, 0.05))), "x")
    assert figure.layout.yaxis.ticktext[0] == SAFE
    assert "…" in figure.layout.yaxis.ticktext[1]
    assert "<script" not in str(figure.to_plotly_json())
    assert (
        named(figure, "share")[0].customdata[0].startswith(f"<b>{SAFE}</b><br>5 customers: 10.0%")
    )


def test_bad_input_is_refused(paths):
    lost = paths.copy()
    lost.attrs = {}
    for wrong, words in [
        ([1], "paths is a list"),
        (paths.drop(columns="share"), r"no column 'share' .* make it with contact_paths"),
        (lost, r"attrs of paths lack 'number'; .* keep its attrs"),
        (paths.head(0), "paths has no rows"),
    ]:
        with pytest.raises(InputError, match=words):
            path_bars_data(wrong)
