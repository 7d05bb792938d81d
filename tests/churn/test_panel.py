from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.churn.behaviour_logs import PHASES, ROLES, START, one_row, rich_logs
from touchpoint_lib import InputError
from touchpoint_lib.churn.indicators import behaviour_indicators, indicator_dictionary
from touchpoint_lib.churn.panel import indicator_panel


def day(number):
    return pd.Timestamp(START) + pd.Timedelta(days=number)


def test_cdnow_buyers_are_those_of_the_split():
    log = tp.load_cdnow(sample=True)
    panel = indicator_panel(log, ["1997-09-30"], 273)
    split = tp.rfm_split(log, split="1997-09-30", until="1998-06-30")
    assert panel.index.names == ["customer_id", "cutoff"]
    assert panel.index.dtypes["cutoff"].kind == "M"
    assert panel["buys"].dtype == bool
    buys = panel["buys"].droplevel("cutoff")
    pd.testing.assert_series_equal(buys, split["holdout_frequency"] > 0, check_names=False)
    assert panel.attrs == {
        "unit": "D",
        "cutoffs": ["1997-09-30"],
        "horizon": 273,
        "roles": [],
        "levels": {},
    }


@pytest.mark.slow
@settings(max_examples=8, deadline=None, phases=PHASES)
@given(
    drawn=rich_logs(returns=True),
    returns=st.sampled_from(["drop", "net"]),
    gaps=st.lists(st.integers(20, 60), min_size=1, max_size=2),
    horizon=st.integers(1, 20),
)
def test_each_part_is_what_is_known_then_and_comes_after(drawn, returns, gaps, horizon):
    log, _ = drawn
    cutoffs = np.cumsum([0, *gaps])
    # Something happens on the last day, so that every outcome is over.
    log = pd.concat([log, one_row(date=str(day(cutoffs[-1] + horizon)), customer_id="z")])
    panel = indicator_panel(log, [day(c) for c in cutoffs], horizon, returns=returns, **ROLES)
    levels = panel.attrs["levels"]
    assert levels == behaviour_indicators(log, day(0), returns=returns, **ROLES).attrs["levels"]
    assert panel.index.is_monotonic_increasing
    assert indicator_dictionary(panel).index.tolist() == list(panel.columns)[:-1]
    purchases = log[log["event"] == "buy"]
    n_rows = 0
    for cutoff in cutoffs:
        alone = behaviour_indicators(log, day(cutoff), returns=returns, levels=levels, **ROLES)
        part = panel.xs(day(cutoff), level="cutoff")
        pd.testing.assert_frame_equal(
            part.drop(columns="buys"), alone, check_flags=False, rtol=1e-12, atol=1e-12
        )
        split = tp.rfm_split(
            purchases,
            day(cutoff),
            until=day(cutoff + horizon),
            returns=returns,
            discount="discount",
        )
        assert (part["buys"] == (split["holdout_frequency"] > 0)).all()
        n_rows += len(alone)
    assert len(panel) == n_rows


def test_a_return_after_the_cutoff_undoes_nothing_before_it():
    log = pd.concat(
        [
            one_row(amount=5.0),
            one_row(amount=-5.0, date="2023-12-05"),
            one_row(amount=5.0, date="2023-12-08"),
            one_row(customer_id="b", amount=5.0),
            one_row(customer_id="b", amount=5.0, date="2023-12-06"),
            one_row(customer_id="b", amount=-5.0, date="2023-12-09"),
            one_row(customer_id="c", amount=1.0, date="2023-12-20"),
        ]
    )
    panel = indicator_panel(log, ["2023-11-30", "2023-12-10"], 10, returns="net")
    got = panel["buys"].to_dict()
    first, second = pd.Timestamp("2023-11-30"), pd.Timestamp("2023-12-10")
    assert got == {
        ("a", first): True,
        ("a", second): False,
        ("b", first): False,
        ("b", second): False,
    }
    assert panel.loc[("b", second), "frequency"] == 0


def test_the_log_ends_with_its_last_row_of_any_kind():
    log = pd.concat([one_row(), one_row(event="mail", amount=None, date="2023-12-20")])
    event = {"event": "event", "purchase_event": "buy"}
    panel = indicator_panel(log, ["2023-11-20"], 30, **event)
    assert panel["buys"].tolist() == [False]
    with pytest.raises(InputError, match="the log ends on 2023-12-20"):
        indicator_panel(log, ["2023-11-20"], 31, **event)
    with pytest.raises(InputError, match="the log ends on 2023-11-20"):
        indicator_panel(log.head(1), ["2023-11-20"], 1, **event)


BAD = {
    "unsorted": (["1997-09-30", "1997-06-30"], 30, "1997-09-30 is followed by 1997-06-30"),
    "twice": (["1997-09-30", "1997-09-30"], 30, "1997-09-30 is followed by 1997-09-30"),
    "overlap": (["1997-06-30", "1997-07-29"], 30, "are 29 days apart, the horizon is 30"),
    "early": (["1996-12-31", "1997-06-30"], 30, "before the first purchase on 1997-01-01"),
    "late": (
        ["1998-06-01"],
        30,
        r"horizon is 30 days, .* 1998-06-01, and the log ends on 1998-06-30: .*up to 1998-05-31",
    ),
    "far": (
        ["1998-06-01"],
        10**7,
        "horizon is 10000000 days, .* the log ends on 1998-06-30: .*; pass a shorter horizon",
    ),
    "farther": (
        ["1998-06-01"],
        1e300,
        "horizon is 1e[+]300 days, .* the log ends on 1998-06-30: .*; pass a shorter horizon",
    ),
    "far apart": (["1997-06-30", "1997-09-30"], 1e300, "92 days apart, the horizon is 1e[+]300;"),
    "none": ([], 30, "cutoffs is empty"),
    "text": ("1997-09-30", 30, "cutoffs is '1997-09-30'; pass a list of days"),
    "one": (19970930, 30, "cutoffs is 19970930; pass a list of days"),
    "no day": (["1997-09-30", "later"], 30, r"cutoffs\[1\] is 'later'"),
    "future": (["2999-09-30"], 30, r"cutoffs\[0\] is 2999-09-30, later than today"),
    "zero": (["1997-09-30"], 0, "horizon is 0; it must be >= 1"),
    "part": (["1997-09-30"], 1.5, "horizon is 1.5; it must be a whole number"),
}


@pytest.mark.parametrize(("cutoffs", "horizon", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(cutoffs, horizon, message):
    with pytest.raises(InputError, match=message):
        indicator_panel(tp.load_cdnow(sample=True), cutoffs, horizon)


def test_adjacent_outcomes_share_no_day():
    log = pd.concat(
        [one_row(), one_row(date=str(START + timedelta(10))), one_row(date="2024-01-01")]
    )
    panel = indicator_panel(log, [day(0), day(10), day(20)], 10)
    assert panel["buys"].tolist() == [True, False, False]


def test_columns_of_the_result_cannot_be_the_customer():
    log = tp.load_cdnow(sample=True).rename(columns={"customer_id": "cutoff"})
    with pytest.raises(InputError, match="the customer column is named 'cutoff'"):
        indicator_panel(log, ["1997-09-30"], 30, customer="cutoff")


def test_levels_of_a_panel_give_its_columns_later():
    kinds = ["Книги", "Книги", "books", "Музыка", "Музыка", "Музыка"]
    dates = [START + timedelta(days) for days in (0, 1, 2, 20, 21, 22)]
    log = pd.concat(
        [one_row(date=str(d), category=kind) for d, kind in zip(dates, kinds, strict=True)]
    )
    panel = indicator_panel(log, [day(2), day(12)], 10, category="category")
    later = behaviour_indicators(log, day(22), category="category", levels=panel.attrs["levels"])
    assert list(later) == list(panel)[:-1]
    assert later.loc["a", "category_other_purchases"] == 3


def test_days_without_purchases_are_observed_where_until_says_so():
    log = pd.DataFrame(
        {
            "customer_id": ["a", "b", "a"],
            "date": pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-20"]),
            "amount": [1.0, 2.0, 3.0],
        }
    )
    with pytest.raises(InputError, match="or a later until"):
        indicator_panel(log, ["2024-01-10"], 20)
    panel = indicator_panel(log, ["2024-01-10"], 20, until="2024-01-30")
    assert panel["buys"].tolist() == [True, False]
    with pytest.raises(InputError, match="not known yet"):
        indicator_panel(log, ["2024-01-10"], 10, until="2024-01-19")
    with pytest.raises(InputError, match=r"until is .*later than today"):
        indicator_panel(log, ["2024-01-10"], 20, until="2999-01-01")
