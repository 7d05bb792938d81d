"""Complaints foreseen and replies to reviews: the figures, their data and their sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.charts.campaign_samples import HOSTILE, NAN, SAFE, check_plain, named, title_of
from touchpoint_lib import InputError
from touchpoint_lib.charts._style import ACCENT
from touchpoint_lib.charts.reviews import (
    complaint_rates,
    complaint_rates_data,
    complaint_rates_verdict,
    reply_rates,
    reply_rates_data,
    reply_rates_verdict,
)

RULE = "late by more than 24 hours"


@pytest.fixture(scope="module")
def complaints(shop):
    return tp.complaint_flags(shop.parcels, shop.reviews, split="2025-01-01", hours=24, level=0.9)


@pytest.fixture(scope="module")
def replies(shop, paid):
    return tp.reply_times(shop.reviews, paid, window=90, level=0.9)


def rates_of(rule, n, error, omission, half=0.05):
    row = {"rule": rule, "n_flagged": n, "true_positive": n / 10}
    for name, rate in (("error", error), ("omission", omission)):
        row |= {
            f"{name}_rate": rate,
            f"{name}_rate_low": rate - half,
            f"{name}_rate_high": rate + half,
        }
    return row


def judged(flag=(0.8, 0.6), rule=(0.9, 0.8), half=0.02, n_flagged=50, **about):
    """Return data of both rates of the flag and of the rule."""
    apart = [one - other for one, other in zip(flag, rule, strict=True)]
    data = pd.DataFrame(
        [
            rates_of("flag", n_flagged, *flag),
            rates_of(RULE, 60, *rule),
            rates_of("difference", NAN, *apart, half),
        ]
    )
    data.attrs = {"level": 0.95, "n": 1000, "n_actual": 40, "review_days": 14.0, "n_now": 3} | about
    return data


def test_the_rates_are_those_of_the_flag_recounted(complaints):
    data = complaint_rates_data(complaints)
    assert data["rule"].tolist() == ["flag", RULE, "difference"]
    flags = complaints.flags
    bad = flags["negative_review"]
    for row, column in zip(data.to_dict("records"), ("flag", "late_flag"), strict=False):
        flagged = flags[column]
        assert row["n_flagged"] == flagged.sum()
        assert row["error_rate"] == pytest.approx((~bad[flagged]).mean(), rel=1e-5)
        assert row["omission_rate"] == pytest.approx((~flagged[bad]).mean(), rel=1e-5)
        assert row["error_rate_low"] < row["error_rate"] < row["error_rate_high"]
    for name in ("error_rate", "omission_rate"):
        apart = data[name].iloc[0] - data[name].iloc[1]
        assert data[name].iloc[2] == pytest.approx(apart, abs=1e-5)
        assert data[f"{name}_low"].iloc[2] == pytest.approx(
            complaints.difference[f"{name}_low"], rel=1e-5
        )
    assert data.attrs == {
        "level": 0.9,
        "n": len(flags),
        "n_actual": bad.sum(),
        "review_days": 14.0,
        "n_now": complaints.open["flag"].sum(),
    }


def test_the_figure_of_the_flag_is_plain_and_shows_the_data(complaints):
    data = complaint_rates_data(complaints)
    figure, again = (complaint_rates(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, len(complaints.flags))
    panels = named(figure, "value")
    assert len(panels) == 4
    for trace, name, rows in zip(
        panels,
        ("error", "error", "omission", "omission"),
        (data[:2], data[2:], data[:2], data[2:]),
        strict=True,
    ):
        np.testing.assert_allclose(trace.x, 100 * rows[f"{name}_rate"], rtol=1e-5)
        high = np.add(trace.x, trace.error_x.array)
        np.testing.assert_allclose(high, 100 * rows[f"{name}_rate_high"], rtol=1e-4)
        assert trace.marker.color[0] == ACCENT
    assert list(figure.layout.yaxis.ticktext) == ["Flag", "Late by more than 24 hours"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0, 0]


def test_a_flag_that_is_better_is_told_so():
    assert complaint_rates_verdict(judged()) == (
        "Of 1,000 deliveries, 40 with a negative review within 14 days, the flag takes 50, 80.0% "
        "(95%: 75.0% to 85.0%) of them wrongly, and misses 60.0% (95%: 55.0% to 65.0%); the rule "
        "'late by more than 24 hours' takes 60, 90.0% (95%: 85.0% to 95.0%) of them wrongly, and "
        "misses 80.0% (95%: 75.0% to 85.0%). The flag less the rule, below 0 it is the better: "
        "error rate -10.0 percentage points (95%: -12.0 to -8.0) and omission rate -20.0 "
        "percentage points (95%: -22.0 to -18.0). 3 deliveries are to be followed up now; many of "
        "the unhappy write nothing, so a wrong flag may be one of them."
    )
    assert title_of(complaint_rates(judged(), "x")) == (
        "The flag has a lower error rate and a lower omission rate than the rule 'late by more "
        "than 24 hours'. Bars are 95% intervals"
    )


def test_a_flag_that_is_worse_or_not_apart_is_told_so():
    worse = judged(flag=(0.95, 0.6), rule=(0.9, 0.61), n_now=1)
    assert title_of(complaint_rates(worse, "x")).startswith(
        "The flag has a higher error rate than the rule 'late"
    )
    says = complaint_rates_verdict(worse)
    assert "omission rate -1.00 percentage points (95%: -3.00 to +1.00; not clear of 0). " in says
    assert ". 1 delivery is to be followed up now; many of the unhappy" in says
    same = judged(flag=(0.9, 0.8))
    assert title_of(complaint_rates(same, "x")).startswith(
        "The flag is not clearly apart from the rule 'late"
    )


def test_nothing_flagged_and_nothing_to_find():
    none = judged(flag=(NAN, 1.0), n_flagged=0)
    says = complaint_rates_verdict(none)
    assert "the flag takes none; the rule" in says
    assert "below 0 it is the better: omission rate +20.0" in says
    figure = complaint_rates(none, HOSTILE)
    check_plain(figure, complaint_rates(none, HOSTILE), SAFE, 1000)
    assert title_of(figure) == "Nothing is flagged for a negative review"
    assert [len(trace.x) for trace in named(figure, "value")] == [1, 0, 2, 1]
    blind = judged(flag=(1.0, NAN), rule=(1.0, NAN), n_actual=0)
    says = complaint_rates_verdict(blind)
    assert "of them wrongly; the rule" in says
    assert "misses" not in says
    assert "omission" not in says
    check_plain(complaint_rates(blind, "x"), complaint_rates(blind, "x"), "x", 1000)
    neither = judged(flag=(NAN, NAN), rule=(NAN, NAN), n_flagged=0, n_actual=0)
    assert "better" not in complaint_rates_verdict(neither)


def test_the_replies_are_those_of_the_result(replies):
    data = reply_rates_data(replies)
    assert data["part"].value_counts().to_dict() == {"bought": 6, "replied": 4, "difference": 4}
    bought = data[data["part"] == "bought"].set_index(["reviews", "name"])
    for key, row in zip(replies.purchases.index, replies.purchases.to_dict("records"), strict=True):
        mine = bought.loc[key]
        assert mine["n"] == row["n"]
        assert mine["value"] == pytest.approx(row["n_bought"] / row["n"], rel=1e-5)
        assert mine["value_low"] == pytest.approx(row["bought_low"], rel=1e-5)
        assert mine["value_high"] == pytest.approx(row["bought_high"], rel=1e-5)
    apart = data[data["part"] == "difference"].set_index(["reviews", "name"])
    assert apart.index.tolist() == replies.adjusted.index.tolist()
    for ours, theirs in (("value", "difference"), ("value_low", "low"), ("value_high", "high")):
        np.testing.assert_allclose(apart[ours], replies.adjusted[theirs], rtol=1e-5)
    replied = data[data["part"] == "replied"].set_index(["reviews", "name"])
    row = replies.replies.loc["negative"]
    assert replied.loc[("negative", "none"), "value"] == pytest.approx(
        row["n_none"] / row["n"], rel=1e-5
    )
    assert replied.loc[("negative", "none"), "value_high"] == pytest.approx(
        row["none_high"], rel=1e-5
    )
    assert data.attrs["n"] == replies.purchases["n"].sum()
    assert data.attrs["n_waiting"] == len(replies.waiting)
    assert data.attrs["n_overdue"] == (replies.waiting["hours_waiting"] > 24).sum()


def test_the_figure_of_replies_is_plain_and_shows_the_data(replies):
    data = reply_rates_data(replies)
    figure, again = (reply_rates(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, data.attrs["n"])
    panels = named(figure, "value")
    assert len(panels) == 4
    for place, (part, column, name, scale) in enumerate(
        [
            ("bought", "reviews", "negative", 100),
            ("difference", "name", "bought", 100),
            ("bought", "reviews", "other", 100),
            ("difference", "name", "orders", 1),
        ]
    ):
        rows = data[(data["part"] == part) & (data[column] == name)]
        trace = panels[place]
        np.testing.assert_allclose(trace.x, scale * rows["value"], rtol=1e-5)
        low = np.subtract(trace.x, trace.error_x.arrayminus)
        np.testing.assert_allclose(low, scale * rows["value_low"], rtol=1e-4)
    heads = [note.text for note in figure.layout.annotations]
    assert heads[:2] == ["<b>After negative reviews</b>", "<b>After other reviews</b>"]
    assert list(figure.layout.yaxis.ticktext) == ["Reply in time", "Reply later", "No reply"]
    assert list(figure.layout.yaxis3.ticktext) == ["Negative", "Other"]


def test_replies_are_told_as_a_description(shop, paid):
    says = reply_rates_verdict(reply_rates_data(tp.reply_times(shop.reviews, paid, window=90)))
    # 56.9 % and +0.354 orders as in the example of reply_times.
    assert says == (
        "Within 24 hours 56.9% (95%: 53.8% to 60.0%) of 991 negative reviews and 19.8% (95%: 18.7% "
        "to 20.9%) of 5,428 other reviews had a reply; 162 negative ones wait for one, 161 beyond "
        "that. Against others of the same stars and earlier orders, those replied to in time "
        "differ by +0.354 (95%: +0.100 to +0.608) orders a review after negative ones and -0.153 "
        "(95%: -0.286 to -0.019) orders a review after other ones in the 90 days behind that (2 "
        "intervals hold 0). This describes who bought: nobody drew lots for replies, so it is no "
        "effect of them."
    )


def test_no_negative_review(shop, paid):
    good = shop.reviews[shop.reviews["rating"] > 2]
    data = reply_rates_data(tp.reply_times(good, paid, window=90))
    says = reply_rates_verdict(data)
    assert says.startswith("Within 24 hours 19.8% (95%: 18.7% to 20.9%) of 5,428 other reviews had")
    assert "negative" not in says
    apart = data["part"] == "difference"
    data.loc[apart, ["value_low", "value_high"]] = [-1.0, 1.0]
    assert "in time do not differ clearly in the 90 days behind that (2 intervals hold 0). " in (
        reply_rates_verdict(data)
    )
    figure = reply_rates(data, HOSTILE)
    check_plain(figure, reply_rates(data, HOSTILE), SAFE, data.attrs["n"])
    assert title_of(figure).startswith("There is no negative review; ")
    assert [len(trace.x) for trace in named(figure, "value")] == [0, 1, 3, 1]


def test_no_reply_at_all(shop, paid):
    none = shop.reviews.assign(replied_at=pd.DatetimeIndex([pd.NaT] * len(shop.reviews)))
    data = reply_rates_data(tp.reply_times(none, paid, window=90))
    assert "difference" not in set(data["part"])
    says = reply_rates_verdict(data)
    assert says.startswith("Within 24 hours 0.0% (95%: 0.0% to 0.4%) of 991 negative reviews and")
    assert "lots" not in says
    figure = reply_rates(data, "x")
    check_plain(figure, reply_rates(data, "x"), "x", data.attrs["n"])
    assert [list(trace.y) for trace in named(figure, "value")] == [[2], [], [2], []]
    assert title_of(figure).startswith("0% of the negative reviews had a reply within 24 hours")


def test_bad_input_is_refused(complaints, replies):
    with pytest.raises(InputError, match=r"found is a ReplyTimes; .*complaint_flags"):
        complaint_rates_data(replies)
    with pytest.raises(InputError, match=r"found is a ComplaintFlags; .*reply_times"):
        reply_rates_data(complaints)
