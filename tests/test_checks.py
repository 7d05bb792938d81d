"""Validation: what passes, and that every message names the value, the bound and the remedy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchpoint_lib import InputError
from touchpoint_lib._checks import (
    check_choice,
    check_columns,
    check_each,
    check_integer,
    check_number,
    check_unit,
    check_values,
)


def refused(parts, function, *args, **kwargs):
    """The message of the InputError that the call raises, which must have all ``parts``."""
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)
    return str(caught.value)


def test_the_error_can_be_caught_as_a_value_error():
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("value", "bounds", "parts"),
    [
        ("3", {}, ["horizon is '3'", "must be a number"]),
        (True, {}, ["horizon is True", "must be a number"]),
        (np.bool_(True), {}, ["must be a number"]),
        (None, {}, ["horizon is None", "must be a number"]),
        ([1.0], {}, ["horizon is [1.0]", "must be a number"]),
        (math.nan, {}, ["horizon is nan", "must be finite"]),
        (-math.inf, {}, ["horizon is -inf", "must be finite"]),
        (0, {"gt": 0}, ["horizon is 0", "must be > 0"]),
        (-1, {"ge": 0}, ["horizon is -1", "must be >= 0"]),
        (1, {"gt": 0, "lt": 1}, ["horizon is 1", "must be < 1"]),
        (1.5, {"ge": 0, "le": 1}, ["horizon is 1.5", "must be <= 1"]),
    ],
)
def test_numbers_out_of_bounds_are_refused(value, bounds, parts):
    refused(parts, check_number, "horizon", value, **bounds)


@pytest.mark.parametrize("value", [2, 2.0, np.int64(2), np.float32(2)])
def test_numbers_of_every_type_become_floats(value):
    number = check_number("horizon", value, gt=1, ge=2, lt=3, le=2)
    assert number == 2
    assert type(number) is float


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (2.5, ["bins is 2.5", "whole number"]),
        (1, ["bins is 1", "must be >= 2"]),
        ("5", ["must be a number"]),
    ],
)
def test_integers_must_be_whole_and_large_enough(value, parts):
    refused(parts, check_integer, "bins", value, ge=2)


def test_a_whole_float_is_an_integer():
    assert type(check_integer("bins", 4.0, ge=2)) is int


@pytest.mark.parametrize("unit", ["d", "M", "", None, 7, ["D"], {}])
def test_only_days_and_weeks_are_units(unit):
    refused([repr(unit), '"D" (days)', '"W" (weeks)'], check_unit, unit)


def test_a_choice_lists_what_is_allowed():
    refused(["method is 'x'", "'a', 'b'"], check_choice, "method", "x", iter(["a", "b"]))
    check_choice("method", "b", ("a", "b"))
    for odd in ([], {}, pd.Series(["a"]), np.array(["a", "b"])):
        refused(["method is ", "'a', 'b'"], check_choice, "method", odd, ["a", "b"])


def test_missing_columns_are_named_beside_those_that_are_there():
    frame = pd.DataFrame({"Frequency": [1], "T": [2]})
    refused(
        ["customers has no column 'frequency', 'recency'", "'Frequency', 'T'", "rename"],
        check_columns,
        frame,
        ["frequency", "recency", "T"],
        "customers",
    )
    refused(["customers is a list", "DataFrame"], check_columns, [], [], "customers")
    # Hundreds of columns do not fill the screen, and the remedy is that of the caller.
    many = pd.DataFrame(columns=[f"c{i}" for i in range(300)])
    words = ["no column 'a'", "'c19' and 280 more)", "; name another"]
    refused(words, check_columns, many, ["a"], "frame", "name another")
    refused(["frame has no column ['a']", "text"], check_columns, many, [["a"]], "frame")


@pytest.mark.parametrize(
    ("values", "options", "parts"),
    [
        ([1, None, np.nan], {}, ["p is nan at row 1 (2 such values)", "must be present"]),
        ([1, np.inf], {}, ["p is inf at row 1", "must be finite"]),
        ([-np.inf, 1], {}, ["p is -inf at row 0", "must be finite"]),
        ([np.inf, np.nan], {"infinite": True}, ["p is nan at row 1", "must be present"]),
        ([0, -2, -3], {"ge": 0}, ["p is -2 at row 1 (2 such values)", "must be >= 0"]),
        ([1, 0], {"gt": 0}, ["p is 0 at row 1", "must be > 0"]),
        ([1, 2], {"le": 1}, ["p is 2 at row 1", "must be <= 1"]),
        ([1, 1.5], {"whole": True}, ["p is 1.5 at row 1", "a whole number"]),
        (["a"], {}, ["p is not numeric", "convert"]),
        ([10**400, 1], {}, ["p holds a whole number above 1.8e308", "larger unit"]),
        ([[1], [1, 2]], {}, ["p is not numeric", "convert"]),
        ([{}], {}, ["p is not numeric"]),
        ([[1, 2], [3, -4]], {"ge": 0}, ["p is -4 at row 3"]),
        (-4, {"ge": 0}, ["p is -4 at row 0"]),
    ],
)
def test_values_out_of_bounds_are_refused_where_they_stand(values, options, parts):
    refused([*parts], check_values, "p", values, **options)


def test_the_label_of_a_customer_is_named_where_there_is_one():
    index = pd.Index(["anna", "bert", "bert"])
    refused(["index 'bert' (2"], check_values, "p", [0.1, -1, -2], ge=0, index=index)
    numbers = pd.Index([7, 8, 9])
    refused(["index 8 (2"], check_values, "p", [0.1, -1, -2], ge=0, index=numbers)


def test_a_value_just_over_its_bound_is_not_shown_as_the_bound():
    over = np.nextafter(1.0, 2.0)
    message = refused(["1.0000000000000002"], check_values, "p", [over], le=1)
    assert "p is 1 at" not in message


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=8),
    st.booleans(),
    st.sampled_from([None, -1.0, 0.0, 1.0]),
    st.sampled_from([None, 1.0, 2.0]),
    st.booleans(),
)
def test_values_pass_exactly_when_every_one_does(values, infinite, low, high, whole):
    def allowed(value):
        return (
            not math.isnan(value)
            and (infinite or math.isfinite(value))
            and (low is None or value >= low)
            and (high is None or value <= high)
            and (not whole or math.isinf(value) or value == int(value))
        )

    options = {"infinite": infinite, "ge": low, "le": high, "whole": whole}
    if all(map(allowed, values)):
        array = check_values("p", values, **options)
        assert array.dtype == np.float64
        assert array.tolist() == values
    else:
        refused(["p is "], check_values, "p", values, **options)


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        (pd.Series(pd.to_timedelta([1, 2], unit="D")), "durations"),
        (pd.to_datetime(["2024-01-01"]), "dates"),
        ([pd.Timedelta(days=1)], "durations|not numeric"),
        (np.array([1j]), "complex numbers"),
    ],
)
def test_dates_and_durations_are_no_numbers(values: Any, holds: str) -> None:
    with pytest.raises(InputError, match=holds):
        check_values("T", values)


def test_a_column_twice_is_refused() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["T", "T"])
    with pytest.raises(InputError, match="customers has several columns 'T'; keep one"):
        check_columns(frame, ["T"], "customers")


def test_one_value_or_one_each() -> None:
    assert check_each("T", 3, 2, gt=0).tolist() == [3, 3]
    assert check_each("T", [3, 4], 2).tolist() == [3, 4]
    with pytest.raises(InputError, match=r"T has shape \(3,\) for 2 customers"):
        check_each("T", [1, 2, 3], 2)


def test_numbers_beyond_a_float_are_refused() -> None:
    with pytest.raises(InputError, match="horizon is a number of 401 digits; it is too large"):
        check_number("horizon", 10**400)
