from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns._outcomes import read_outcomes

DATA = pd.DataFrame(
    {
        "spend": [0.0, 0.0, 10.0, 20.0, 400.0],
        "orders": [0, 0, 1, 2, 4],
        "bought": [False, False, True, True, True],
        "before": [5.0, 0.0, 5.0, 0.0, 5.0],
        "lost": [0.0, -1.0, 0.0, 0.0, 0.0],
    },
    index=list("abcde"),
)


def read(outcomes, caps=None, before=None):
    return read_outcomes(DATA, outcomes, caps, before)


def test_names_of_columns_and_of_outcomes():
    assert [one.name for one in read("spend")] == ["spend"]
    assert [one.name for one in read(["spend", "bought"])] == ["spend", "bought"]
    named, ratio = read({"money": "spend", "an order": ("spend", "orders")})
    assert (named.name, named.columns) == ("money", ("spend",))
    assert (ratio.name, ratio.columns) == ("an order", ("spend", "orders"))
    np.testing.assert_array_equal(ratio.below, DATA["orders"])
    assert named.below is None


@pytest.mark.parametrize(
    ("outcomes", "binary"),
    [("bought", True), ("orders", False), ({"a": ("bought", "bought")}, False)],
)
def test_binary_is_a_column_of_0_and_1(outcomes, binary):
    assert read(outcomes)[0].is_binary == binary


def test_a_change_of_0_and_1_is_not_binary():
    assert not read("bought", before={"bought": "before"})[0].is_binary


def test_a_cap_in_the_unit():
    (one,) = read("spend", caps={"spend": 50})
    assert one.cap == 50
    assert one.capped.tolist() == [0, 0, 10, 20, 50]
    # Money goes by what was recorded.
    assert one.values.tolist() == [0, 0, 10, 20, 400]  # noqa: PD011


@pytest.mark.parametrize(("cap", "expected"), [("50%", 20), ("75%", 210), (" 99.9% ", 399.24)])
def test_a_cap_in_percent_is_of_the_values_above_0(cap, expected):
    (one,) = read("spend", caps={"spend": cap})
    assert one.cap == pytest.approx(expected)
    assert one.capped.max() == one.cap


def test_without_a_cap_it_is_nan():
    spend, orders = read(["spend", "orders"], caps={"orders": 3})
    assert np.isnan(spend.cap)
    assert spend.capped is spend.values  # noqa: PD011
    assert orders.capped.max() == 3


def test_the_outcome_before():
    (one,) = read("spend", before={"spend": "before"})
    np.testing.assert_array_equal(one.before, DATA["before"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"outcomes": {}}, "outcomes is empty; name at least one column"),
        ({"outcomes": {"a": ("spend",)}}, r"outcome 'a' is \('spend',\); pass a column, or"),
        ({"outcomes": {"a": 3}}, "data has no column 3"),
        (
            {"outcomes": {"a": ("spend", "lost")}},
            "denominator 'lost' is -1 at index 'b'; ratios are of sums that cannot be negative",
        ),
        (
            {"outcomes": {"a": ("spend", "orders")}, "caps": {"a": 3}},
            "outcome 'a' is a ratio and has a cap; cap outcomes that are columns",
        ),
        ({"outcomes": "spend", "caps": {"spend": "99"}}, "cap of 'spend' is '99'; pass a number"),
        ({"outcomes": "spend", "caps": {"spend": "100%"}}, "cap of 'spend' is '100%'; pass a num"),
        ({"outcomes": "spend", "caps": {"spend": "10%"}}, "a percentile from 50% on of the values"),
        ({"outcomes": "spend", "caps": {"spend": None}}, "cap of 'spend' is None; it must be a"),
        ({"outcomes": "spend", "caps": {"spend": np.inf}}, "cap of 'spend' is inf; it must be fin"),
        ({"outcomes": "lost", "caps": {"lost": "99%"}}, "and no value is above 0; leave it out"),
        ({"outcomes": "spend", "caps": {"x": 1}}, "caps names 'x', which is no outcome; the outc"),
        ({"outcomes": "spend", "before": {"x": "before"}}, "before names 'x', which is no outcome"),
        (
            {"outcomes": ["spend", "orders"], "before": {"spend": "before"}},
            "before has no column of outcome 'orders'",
        ),
        (
            {"outcomes": {"a": ("spend", "orders")}, "before": {"a": "before"}},
            "outcome 'a' is a ratio and has a column before; ask for the changes of its numerator",
        ),
        ({"outcomes": "spend", "before": {"spend": "then"}}, "no column 'then'.*outcome before"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        read(**call)
