"""Credit of rules beside what contacts added: the figure, its data and its sentence."""

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
from touchpoint_lib.charts._style import ACCENT
from touchpoint_lib.charts.attribution import (
    credit_chart,
    credit_chart_data,
    credit_chart_verdict,
)
from touchpoint_lib.touchpoints._rules import RULES
from touchpoint_lib.touchpoints.attribution import attribution_credit

CHANNELS = ["chat", "email", "page", "parcel", "sms", "social"]


@pytest.fixture(scope="module")
def matrix(shop, paid):
    model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    return tp.touchpoint_matrix(shop.contacts, paid, tp.stage_history(paid, model), window=90)


@pytest.fixture(scope="module")
def credit(shop, paid):
    return attribution_credit(shop.contacts, paid)


@pytest.fixture(scope="module")
def truth(shop):
    return shop.truth.channels.set_index("channel")["incremental_orders"]


def row(channel, first, last, added=NAN, low=NAN, high=NAN, truth=NAN, **more):
    state = "not known" if low <= 0 <= high else "gains" if low > 0 else "loses"
    known = not np.isnan(low)
    return {
        "channel": channel,
        "contacts": 100,
        "added": added,
        "low": low,
        "high": high,
        "method": "random holdout" if known else "",
        "state": state if known else "not identified",
        "reason": "" if known else "nobody was held out",
        "truth": truth,
        "first": first,
        "last": last,
    } | more


def made(*rows, rules=("first", "last"), **about):
    data = pd.DataFrame(list(rows))
    data.attrs = {
        "rules": list(rules),
        "window": 90.0,
        "credit_window": 30.0,
        "level": 0.95,
        "conversions": 1000,
        "touched": 600,
        "n": 100 * len(rows),
    } | about
    return data


def test_the_figure_is_plain_stable_and_names_its_source(credit, matrix, truth):
    data = credit_chart_data(credit, matrix, truth)
    figure, again = (credit_chart(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, credit.attrs["contacts"])


def test_the_orders_added_are_those_of_all_contacts_of_the_matrix(credit, matrix, truth):
    data = credit_chart_data(credit, matrix, truth)
    assert sorted(data["channel"]) == CHANNELS
    rules = data.attrs["rules"]
    assert rules == [name for name in RULES if name in credit]
    assert data[rules].max(axis=1).is_monotonic_decreasing
    table = matrix.table[matrix.table["by"] == ""].set_index("channel")
    for one in data.set_index("channel").itertuples():
        source = table.loc[one.Index]
        assert one.contacts == source["contacts"]
        scale = source["contacts"] / 1000
        for name, column in (
            ("added", "orders_per_1000"),
            ("low", "orders_low"),
            ("high", "orders_high"),
        ):
            np.testing.assert_allclose(getattr(one, name), source[column] * scale, rtol=1e-5)
        assert one.truth == truth[one.Index]
    known = credit.drop(index="(no contact)").loc[data["channel"], rules]
    np.testing.assert_allclose(data[rules], known, rtol=1e-5)
    about = data.attrs
    assert (about["window"], about["credit_window"], about["level"]) == (90, 30, 0.95)
    assert about["touched"] == credit.attrs["touched"] == len_touched(credit)
    states = dict(zip(data["channel"], data["state"], strict=True))
    assert states["page"] == "not identified"
    assert states["sms"] == "gains"
    assert states["social"] == "not known"
    blind = data["state"] == "not identified"
    assert (data.loc[~blind, "reason"] == "").all()
    assert data.loc[blind, "reason"].tolist() == [
        table.loc[name, "reason"] for name in data.loc[blind, "channel"]
    ]
    assert data.loc[data["channel"] == "page", "reason"].item() == "nobody was held out"


def len_touched(credit):
    """Return the credit of any rule that went to channels."""
    return round(credit["linear"].drop(index="(no contact)").sum())


def test_numbers_have_six_digits(credit, matrix):
    data = credit_chart_data(credit, matrix)
    for name in ("added", "low", "high", *data.attrs["rules"]):
        values = data[name].dropna()
        assert values.tolist() == [float(f"{value:.6g}") for value in values]
    assert data["truth"].isna().all()


def test_every_mark_stands_at_its_number_in_the_row_of_its_channel(credit, matrix, truth):
    data = credit_chart_data(credit, matrix, truth)
    figure = credit_chart(data, "x")
    ticks = figure.layout.yaxis.tickvals
    assert list(figure.layout.yaxis.ticktext) == data["channel"].tolist()
    half = (ticks[1] - ticks[0]) / 2
    for rule in data.attrs["rules"]:
        [trace] = named(figure, rule)
        assert list(trace.x) == data[rule].tolist()
        assert np.all(np.abs(np.subtract(trace.y, ticks)) < half)
    known = data[data["low"].notna()]
    [added] = named(figure, "added (95%)")
    assert list(added.x) == known["added"].tolist()
    np.testing.assert_allclose(np.subtract(added.x, added.error_x.arrayminus), known["low"])
    np.testing.assert_allclose(np.add(added.x, added.error_x.array), known["high"])
    assert added.marker.color == ACCENT
    assert np.all(np.abs(np.subtract(added.y, np.array(ticks)[known.index])) < half)
    [true] = named(figure, "truth")
    assert list(true.x) == data["truth"].tolist()
    notes = [note.text for note in figure.layout.annotations]
    assert "added: not identified (nobody was held out)" in notes
    low, high = sorted(figure.layout.yaxis.range)
    assert low < min(map(min, (trace.y for trace in figure.data)))
    assert high > max(map(max, (trace.y for trace in figure.data)))
    assert not named(credit_chart(credit_chart_data(credit, matrix), "x"), "truth")


def test_the_verdict_names_what_is_credited_for_nothing():
    data = made(
        row("page", 250, 300, truth=10.0),
        row("email", 200, 180, 20, -30, 70, truth=15.0),
        row("social", 100, 80, -5, -40, 30, truth=0.0),
        row("sms", 50, 40, 45, 20, 70, truth=80.0),
    )
    assert credit_chart_verdict(data) == (
        "2 rules credit 600 of 1,000 orders to contacts of the 30 days before (400 in all); by "
        "the random holdout the 300 that can be judged added 60 within 90 days (between -50 and "
        "170, the sums of the bounds). Of 6 credits to channels that can be judged 2 lie within "
        "the interval: email gets 180 to 200 orders by rule and added 20.0 (95%: -30.0 to 70.0; "
        "not clear of 0); page gets 250 to 300 orders by rule and is not identified (nobody was "
        "held out). In truth all contacts added 105, social nothing, for a credit of 80 to 100 "
        "orders by rule; the truth lies in 2 of 3 intervals."
    )
    assert title_of(credit_chart(data, "x")) == (
        "600 orders are credited to contacts; by the random holdout the 300 that can be judged "
        "added 60 within 90 days (between -50 and 170, the sums of the bounds)"
    )


def test_the_verdict_without_truth_and_with_one_rule():
    data = made(row("sms", 50, 50, 45, 20, 70, method="adjusted"), rules=["last"], n=250)
    assert credit_chart_verdict(data) == (
        "The rule 'last' credits 600 of 1,000 orders to contacts of the 30 days before (250 in "
        "all); by the matrix the 100 that can be judged added 45.0 within 90 days (between 20.0 "
        "and 70.0, the sums of the bounds). Of 1 credit to channels that can be judged 1 lies "
        "within the interval."
    )


def test_the_verdict_where_nothing_is_identified():
    data = made(row("page", 250, 250))
    assert credit_chart_verdict(data) == (
        "2 rules credit 600 of 1,000 orders to contacts of the 30 days before (100 in all); what "
        "contacts added is not identified. No credit can be judged: page gets 250 orders and is "
        "not identified (nobody was held out)."
    )
    figure = credit_chart(data, "x")
    json.loads(figure.to_json(), parse_constant=refuse)
    assert title_of(figure) == (
        "600 orders are credited to contacts; what contacts added is not identified"
    )
    told = credit_chart_verdict(made(row("page", 250, 250, truth=7.0)))
    assert told.endswith("In truth all contacts added 7.00.")


def test_markup_in_names_stays_text(credit, matrix):
    about = credit.attrs
    mine = credit.rename(index={"sms": HOSTILE, "page": f"<i>{'x' * 50}</i>"})
    mine.attrs = about
    table = matrix.table.copy()
    table["channel"] = table["channel"].astype(object).replace("sms", HOSTILE)
    table["channel"] = table["channel"].replace("page", f"<i>{'x' * 50}</i>")
    table.loc[table["reason"] != "", "reason"] = HOSTILE
    data = credit_chart_data(mine, dataclasses.replace(matrix, table=table))
    figure = credit_chart(data, "x")
    assert "<script" not in str(figure.to_plotly_json())
    assert "<i>" not in str(figure.to_plotly_json())
    assert SAFE in figure.layout.yaxis.ticktext
    assert all(len(label) < 50 for label in figure.layout.yaxis.ticktext)
    assert f"added: not identified ({SAFE})" in [note.text for note in figure.layout.annotations]


def test_a_channel_that_the_matrix_lacks_is_not_identified(credit, matrix):
    table = matrix.table[matrix.table["channel"] != "sms"]
    data = credit_chart_data(credit, dataclasses.replace(matrix, table=table))
    sms = data[data["channel"] == "sms"].iloc[0]
    assert (sms["state"], sms["reason"], sms["contacts"]) == (
        "not identified",
        "not in the matrix",
        0,
    )


def test_all_rules_have_marks_of_their_own(shop, paid, matrix):
    credit = attribution_credit(shop.contacts, paid, rules=list(RULES))
    data = credit_chart_data(credit, matrix)
    figure = credit_chart(data, "x")
    marks = [named(figure, rule)[0].marker.symbol for rule in RULES]
    assert len(set(marks)) == len(RULES)


def test_bad_input_is_refused(credit, matrix, truth, shop, paid):
    for bad in (matrix, credit.reset_index().rename_axis("x"), pd.DataFrame()):
        if isinstance(bad, pd.DataFrame):
            bad.attrs = {}
        with pytest.raises(InputError, match="credit is no result of attribution_credit"):
            credit_chart_data(bad, matrix)
    money = attribution_credit(shop.contacts, paid, rules=["last"], value="margin")
    with pytest.raises(InputError, match="credit is of margin, not of orders; leave value="):
        credit_chart_data(money, matrix)
    with pytest.raises(InputError, match="matrix is a DataFrame"):
        credit_chart_data(credit, matrix.table)
    less = credit.drop(index="sms")
    less.attrs = credit.attrs
    with pytest.raises(InputError, match="matrix has the channel 'sms', credit does not"):
        credit_chart_data(less, matrix)
    for part in (credit.drop(index="(no contact)"), credit[["touches"]]):
        part.attrs = credit.attrs
        with pytest.raises(
            InputError, match=r"credit lacks the row '\(no contact\)' or the column"
        ):
            credit_chart_data(part, matrix)
    with pytest.raises(InputError, match="truth is no Series"):
        credit_chart_data(credit, matrix, truth.to_frame())
    with pytest.raises(InputError, match="truth is no Series"):
        credit_chart_data(credit, matrix, pd.concat([truth, truth]))
    with pytest.raises(InputError, match="truth has no channel 'sms'"):
        credit_chart_data(credit, matrix, truth.drop("sms"))
    with pytest.raises(InputError, match="truth"):
        credit_chart_data(credit, matrix, truth.replace(0.0, NAN))
