"""What followed contacts by recent ones: the figure, its data and its sentence."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
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
from touchpoint_lib.charts._style import ACCENT, GREYS
from touchpoint_lib.charts.pressure_rates import (
    pressure_rates,
    pressure_rates_data,
    pressure_rates_verdict,
)
from touchpoint_lib.touchpoints.pressure import contact_pressure


@pytest.fixture(scope="module")
def found():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    return contact_pressure(shop.contacts, paid, window=30, response="clicked")


def made(cases, **about):
    """Return data of (rate, channel): values with bounds and n, a class each."""
    listed = [
        {
            "rate": rate,
            "channel": channel,
            "recent": str(place),
            "n": n,
            "value": value,
            "low": low,
            "high": high,
        }
        for (rate, channel), ones in cases.items()
        for place, (value, low, high, n) in enumerate(ones)
    ]
    data = pd.DataFrame(listed)
    data.attrs = {"level": 0.95, "days": 30.0, "window": 45.0, "n": 1234} | about
    return data


def test_the_figure_is_plain_stable_and_names_its_source(found):
    data = pressure_rates_data(found)
    figure, again = (pressure_rates(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, found.rates["n"].sum())


def test_the_data_are_the_rates_of_the_result(found):
    data = pressure_rates_data(found)
    assert data["rate"].unique().tolist() == ["response", "unsubscribe", "purchase"]
    for rate, part in data.groupby("rate"):
        assert part["channel"].tolist() == found.rates["channel"].tolist()
        assert part["recent"].tolist() == found.rates["recent"].tolist()
        for name, end in (("value", "rate"), ("low", "low"), ("high", "high")):
            np.testing.assert_allclose(part[name], found.rates[f"{rate}_{end}"], rtol=1e-5)
        behind = "n_followed" if rate == "purchase" else "n"
        assert part["n"].tolist() == found.rates[behind].tolist()
    values = data["value"].dropna()
    assert values.tolist() == [float(f"{value:.6g}") for value in values]


def test_only_rates_that_the_log_tells_are_there(found):
    lacking = [name for name in found.rates if name.startswith(("response", "unsubscribe"))]
    less = dataclasses.replace(found, rates=found.rates.drop(columns=lacking))
    data = pressure_rates_data(less)
    assert set(data["rate"]) == {"purchase"}
    figure = pressure_rates(data, "x")
    assert figure.layout.annotations[0].text == "<b>Purchase within 30 days</b>"
    assert len(named(figure, "rate")) == data["channel"].nunique()


def test_each_panel_draws_a_rate_of_a_channel_pale_where_contacts_are_few(found):
    data = pressure_rates_data(found)
    figure = pressure_rates(data, "x")
    channels, rates = data["channel"].unique(), data["rate"].unique()
    strong, pale = named(figure, "rate"), named(figure, "few")
    assert len(strong) == len(pale) == len(channels) * len(rates)
    place = 0
    for rate in rates:
        for channel in channels:
            part = data[(data["rate"] == rate) & (data["channel"] == channel)].dropna()
            for trace, rows in ((strong[place], part["n"] >= 30), (pale[place], part["n"] < 30)):
                mine = part[rows]
                assert list(trace.x) == mine["recent"].tolist()
                assert list(trace.y) == mine["value"].tolist()
                np.testing.assert_allclose(
                    np.subtract(trace.y, trace.error_y.arrayminus), mine["low"], atol=1e-6
                )
                np.testing.assert_allclose(
                    np.add(trace.y, trace.error_y.array), mine["high"], atol=1e-6
                )
            place += 1
    assert {trace.marker.color for trace in strong} == {ACCENT}
    assert {trace.marker.color for trace in pale} == {GREYS[3]}
    title = title_of(figure)
    assert title == (
        "Rates by contacts in the 30 days before: a description, no effect. Bars are 95% "
        "intervals, pale ones of fewer than 30 contacts"
    )


def test_where_hardly_anybody_had_no_recent_contact_the_sentence_says_so():
    data = made(
        {("purchase", "sms"): [(0.2, 0.1, 0.4, 9), (0.3, 0.28, 0.32, 900), (0.1, 0.09, 0.11, 900)]}
    )
    says = pressure_rates_verdict(data)
    assert says.startswith("From the fewest contacts in the 30 days before to the most")
    assert "purchase within 45 days is clearly lower for sms (30.0% at 1 to 10.0% at 2). " in says


def test_a_column_of_panels_has_one_scale_with_room_for_what_is_sure():
    data = made(
        {
            ("purchase", "sms"): [(0.2, 0.18, 0.22, 900), (0.3, 0.0, 0.9, 5)],
            ("purchase", "chat"): [(0.1, 0.05, 0.4, 40), (NAN, NAN, NAN, 0)],
        }
    )
    figure = pressure_rates(data, "x")
    ranges = {axis.range for axis in figure.select_yaxes()}
    assert ranges == {(0, 0.432)}
    json.loads(figure.to_json(), parse_constant=refuse)


def test_the_verdict_says_which_rates_differ_and_that_they_are_no_effect():
    data = made(
        {
            ("response", "sms"): [(0.1, 0.08, 0.12, 900), (0.2, 0.15, 0.25, 90)],
            ("purchase", "sms"): [(0.3, 0.28, 0.32, 900), (0.1, 0.05, 0.2, 90), (1.0, 0.9, 1.0, 2)],
            ("purchase", "chat"): [(0.3, 0.2, 0.4, 90), (0.1, 0.05, 0.25, 30)],
            ("purchase", "page"): [(0.3, 0.2, 0.4, 90), (0.1, 0.05, 0.15, 29)],
        }
    )
    assert pressure_rates_verdict(data) == (
        "From no contact in the 30 days before to the most that 30 contacts had, by intervals of "
        "95%, response is clearly higher for sms (10.0% to 20.0% at 1); purchase within 45 days is "
        "clearly lower for sms (30.0% to 10.0% at 1); 1 rate of a channel does not clearly "
        "change. These rates describe who was contacted; they are no effect of the contacts "
        "before."
    )


def test_the_verdict_where_there_is_nothing_to_compare():
    data = made({("purchase", "sms"): [(0.3, 0.2, 0.4, 90), (0.1, 0.05, 0.15, 29)]})
    assert pressure_rates_verdict(data) == (
        "No channel has two classes of 30 contacts to compare. These rates describe who was "
        "contacted; they are no effect of the contacts before."
    )
    empty = made({("purchase", "sms"): [(NAN, NAN, NAN, 0)]})
    json.loads(pressure_rates(empty, "x").to_json(), parse_constant=refuse)


def test_markup_in_names_stays_text(found):
    rates = found.rates.copy()
    rates["channel"] = rates["channel"].replace("sms", "<i>x</i>").replace("chat", HOSTILE)
    figure = pressure_rates(pressure_rates_data(dataclasses.replace(found, rates=rates)), "x")
    assert "<script" not in str(figure.to_plotly_json())
    assert "<i>" not in str(figure.to_plotly_json())
    labels = [axis.title.text for axis in figure.select_yaxes() if axis.title.text]
    assert "&lt;i&gt;x&lt;/i&gt;" in labels
    assert len(labels) == rates["channel"].nunique()


def test_bad_input_is_refused(found):
    with pytest.raises(InputError, match="found is a DataFrame; pass the result of contact_pr"):
        pressure_rates_data(found.rates)
