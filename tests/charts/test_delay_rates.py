"""Both rates of the rules for delays: the figure, its data and its sentence."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError, charts
from touchpoint_lib.charts._style import ACCENT, BASELINE, TEMPLATE

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"
NAN = float("nan")


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def late(shop):
    return tp.late_parcels(
        shop.parcels.rename(columns={"carrier": HOSTILE}), by=(HOSTILE, "province")
    )


@pytest.fixture(scope="module")
def unpaid(shop):
    return tp.payment_reminder(shop.orders, shop.payments)


def rule(name, flagged=100.0, error=0.4, omission=0.2, left=23.0, half=0.05):
    return {
        "rule": name,
        "n_flagged": flagged,
        "error_rate": error,
        "error_rate_low": error - half,
        "error_rate_high": error + half,
        "omission_rate": omission,
        "omission_rate_low": omission - half,
        "omission_rate_high": omission + half,
        "time_left": left,
    }


def made(*rules, what="parcels", n_actual=300.0):
    frame = pd.DataFrame(list(rules))
    frame.attrs = {"what": what, "n": 2000, "n_actual": n_actual, "level": 0.95}
    return frame


def test_the_figure_is_plain_stable_and_names_its_source(late):
    data = charts.delay_rates_data(late)
    figure = charts.delay_rates(data, HOSTILE)
    assert type(figure) is go.Figure
    assert figure.to_json() == charts.delay_rates(data, HOSTILE).to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert figure.layout.annotations[-1].text == f"Source: {SAFE}; n = {late.n_judged:,}"
    assert "<script" not in json.dumps(content)
    assert f"by {SAFE} only" in figure.data[0].y


def test_rates_of_parcels_are_those_judged(late):
    data = charts.delay_rates_data(late)
    rates = late.rates
    assert data["rule"].tolist() == rates.index.tolist()
    assert data["n_flagged"].tolist() == rates["n_flagged"].tolist()
    for name in ("error_rate", "error_rate_low", "omission_rate", "omission_rate_high"):
        assert data[name].tolist() == rates[name].round(4).tolist()
    assert data["time_left"].tolist() == rates["lead_median"].round(1).tolist()
    assert data.attrs == {
        "what": "parcels",
        "n": late.n_judged,
        "n_actual": rates["n_actual"].iloc[0],
        "level": 0.95,
    }
    error, omission = charts.delay_rates(data, "x").data
    assert list(error.x) == data["error_rate"].tolist()
    assert list(omission.x) == data["omission_rate"].tolist()
    assert list(np.subtract(error.x, error.error_x.arrayminus).round(4)) == (
        data["error_rate_low"].tolist()
    )
    assert list(error.marker.color) == [ACCENT, *[BASELINE] * (len(data) - 1)]


def test_rates_of_orders_are_those_of_all_limits_together(unpaid):
    data = charts.delay_rates_data(unpaid)
    rates = unpaid.rates[unpaid.rates["limit"].isna()]
    minute = rates["minute"].iloc[1]
    assert data["rule"].tolist() == ["classes", f"fixed, minute {minute:.0f}"]
    assert data["n_flagged"].tolist() == rates["n_reminded"].round(1).tolist()
    assert data["error_rate"].tolist() == rates["error_rate"].round(4).tolist()
    assert data["time_left"].tolist() == rates["minutes_left"].round(1).tolist()
    assert data.attrs["what"] == "orders"
    assert data.attrs["n"] == rates["n_orders"].iloc[0]
    assert data.attrs["n_actual"] == round(rates["n_lapsing"].iloc[0], 1)
    says = charts.delay_rates_verdict(data)
    assert says.startswith(f"Of {data.attrs['n']:,} orders the rule by classes reminds ")
    assert f"fixed, minute {minute:.0f} reminds " in says
    json.loads(charts.delay_rates(data, "x").to_json(), parse_constant=refuse)


def test_both_rates_are_told_beside_those_of_the_other_rules():
    data = made(
        rule("classes"),
        rule("worse", 90.0, 0.6, 0.4),
        rule("better", 1200.0, 0.2, 0.05),
        rule("alike", 80.0, 0.45, 0.22),
    )
    assert charts.delay_rates_verdict(data) == (
        "Of 2,000 parcels the rule by classes flags 100 (median: 23 hours before the promise where "
        "it is right): 40% (95%: 35% to 45%) of these come in time after all, and it misses 20% "
        "(95%: 15% to 25%) of the 300 that come late. Beside it: worse flags 90 (error rate 60%, "
        "clearly worse; omission rate 40%, clearly worse); better flags 1,200 (error rate 20%, "
        "clearly better; omission rate 5%, clearly better); alike flags 80 (error rate 45%, not "
        "clearly better or worse; omission rate 22%, not clearly better or worse)."
    )
    title = charts.delay_rates(data, "x").layout.title.text.replace("<br>", " ")
    assert title == (
        "40% of those the rule by classes flags come in time after all; 20% of those that come "
        "late are missed. Bars are 95% intervals"
    )


def test_orders_are_told_in_their_own_words():
    assert charts.delay_rates_verdict(made(rule("classes", left=4201.0), what="orders")) == (
        "Of 2,000 orders the rule by classes reminds 100 (median: 4,201 minutes before the limit): "
        "40% (95%: 35% to 45%) of these would be paid in time without, and it misses 20% (95%: 15% "
        "to 25%) of the 300 that lapse unpaid."
    )


def test_a_rule_that_flags_nobody_has_no_error_rate():
    nobody = {"flagged": 0.0, "error": NAN, "omission": 1.0, "left": NAN, "half": 0.0}
    data = made(rule("classes", **nobody), rule("other"))
    assert charts.delay_rates_verdict(data) == (
        "The rule by classes flags none of the 2,000 parcels, so it misses 100% (95%: 100% to "
        "100%) of the 300 that come late. Beside it: other flags 100 (error rate 40%; omission "
        "rate 20%, clearly better)."
    )
    figure = charts.delay_rates(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert list(figure.data[0].y) == ["other"]
    assert list(figure.data[0].marker.color) == [BASELINE]
    assert figure.layout.title.text.startswith("100% of those that come late are missed. Bars")
    data = made(rule("classes"), rule("other", **nobody))
    assert charts.delay_rates_verdict(data).endswith(" Beside it: other flags none.")


def test_flags_that_are_all_wrong_have_no_time_left():
    says = charts.delay_rates_verdict(made(rule("classes", error=1.0, left=NAN, half=0.0)))
    assert "flags 100: 100% (95%: 100% to 100%) of these come in time" in says


def test_where_nothing_is_late_there_are_no_rates():
    row = rule("classes", 5.0, 1.0, NAN, NAN, 0.0)
    data = made(row, n_actual=0.0)
    assert charts.delay_rates_verdict(data) == (
        "None of the 2,000 parcels judged come late: there is nothing to find."
    )
    empty = made(rule("classes", 0.0, NAN, NAN, NAN), n_actual=0.0)
    figure = charts.delay_rates(empty, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert figure.layout.title.text == (
        "There is no case to judge the rules on among 2,000 parcels"
    )


def test_bad_input_is_refused(late):
    with pytest.raises(InputError, match="found is a DataFrame"):
        charts.delay_rates_data(late.rates)
