from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns._data import (
    as_names,
    read_arms,
    read_codes,
    read_covariates,
    read_treated,
    read_values,
)


def frame(**columns):
    return pd.DataFrame(columns)


@given(st.lists(st.sampled_from(["b", "a", "c", "é"]), min_size=1))
def test_codes_are_places_of_sorted_labels(values):
    code, labels = read_codes(frame(arm=values), "arm", "arm")
    assert labels == sorted(set(values))
    assert [labels[one] for one in code] == values
    assert code.dtype == np.int64


def test_an_ordered_category_keeps_its_order():
    sizes = pd.Categorical(["S", "L", "M", "L"], categories=["S", "M", "L", "XL"], ordered=True)
    code, labels = read_codes(frame(size=sizes), "size", "segment")
    assert labels == ["S", "M", "L"]
    assert code.tolist() == [0, 2, 1, 2]
    loose = pd.Categorical(["S", "L", "M"], categories=["S", "M", "L"])
    assert read_codes(frame(size=loose), "size", "segment")[1] == ["L", "M", "S"]


def test_labels_are_values_of_python():
    _, labels = read_codes(frame(arm=np.array([3, 1], dtype=np.int32)), "arm", "arm")
    assert [type(label) for label in labels] == [int, int]


@pytest.mark.parametrize(
    ("values", "control", "labels"),
    [
        (["b", "c", "a"], "b", ["b", "a", "c"]),
        ([0, 1, 0], 0, [0, 1]),
        ([0, 1, 0], "0", [0, 1]),
        ([True, False], "False", [False, True]),
        ([True, False], False, [False, True]),
        (["0", "1"], 1, ["1", "0"]),
        ([2.5, 0.5], "0.5", [0.5, 2.5]),
    ],
)
def test_the_control_comes_first(values, control, labels):
    arms = read_arms(frame(arm=values), "arm", control)
    assert arms.labels == labels
    assert [arms.labels[code] for code in arms.code] == values


def test_a_pair_is_the_only_other_arm_or_the_one_that_is_named():
    two = read_arms(frame(arm=["a", "b"]), "arm", "a")
    assert (two.pair(), two.pair("b")) == (1, 1)
    three = read_arms(frame(arm=["a", 1, "2"]).astype(str), "arm", "1")
    assert (three.pair("a"), three.pair(2)) == (2, 1)
    with pytest.raises(InputError, match=r"several arms beside the control \('2', 'a'\); say wh"):
        three.pair()
    with pytest.raises(InputError, match="treated='1' is no arm of arm; the values are '2', 'a'"):
        three.pair("1")


def test_without_a_control_nobody_has_its_code():
    arms = read_treated(frame(arm=["b", "a", "b"]), "arm")
    assert arms.labels == [None, "a", "b"]
    assert arms.code.tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([True, False], [1, 0]),
        (pd.array([1, 0], dtype="Int64"), [1, 0]),
        (pd.array([True, False], dtype="boolean"), [1, 0]),
        (pd.array([0.5, 2], dtype="Float64"), [0.5, 2]),
    ],
)
def test_values_are_numbers(values, expected):
    found = read_values(frame(y=values), "y")
    assert found.dtype == np.float64
    assert found.tolist() == expected


def test_names_of_covariates_are_text():
    assert read_covariates(pd.DataFrame({7: [1.0, 2.0]}), [7]).names == ["7"]


def test_covariates_become_columns():
    data = frame(
        spend=[1.5, 2.0, 3.0],
        town=["north", "west", "south"],
        member=[True, False, True],
        grade=pd.Categorical(["b", "a", "b"]),
    )
    design = read_covariates(data, ["spend", "town", "member", "grade"])
    assert design.names == ["spend", "town=south", "town=west", "member=True", "grade=b"]
    expected = [[1.5, 0, 0, 1, 1], [2, 0, 1, 0, 0], [3, 1, 0, 1, 1]]
    np.testing.assert_array_equal(design.matrix, expected)
    assert read_covariates(data, []).matrix.shape == (3, 0)
    assert read_covariates(data, "spend").names == ["spend"]


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: read_values(frame(y=["x"]), "y"), "outcome 'y' is not numeric"),
        (lambda: read_values(frame(y=[1, np.inf]), "y"), "outcome 'y' is inf at index 1"),
        (
            lambda: read_values(frame(y=pd.array([1, None], dtype="Int64")), "y", "propensity"),
            "propensity 'y' is nan at index 1",
        ),
        (
            lambda: read_values(frame(y=pd.to_datetime(["2024-01-01"])), "y"),
            "outcome 'y' holds dates",
        ),
        (
            lambda: read_values(pd.DataFrame({("y", "a"): [1]}), "y"),
            "columns of data have names of several levels; give each a single name",
        ),
        (lambda: read_values(frame(x=[1]), "y"), "data has no column 'y'.*name the outcome"),
        (
            lambda: read_codes(pd.DataFrame({"a": ["x", None]}, index=["p", "q"]), "a", "cluster"),
            r"cluster 'a' is missing at index 'q' \(1 rows\); fill it or leave these rows out",
        ),
        (
            lambda: read_codes(frame(a=["x", 1]), "a", "arm"),
            r"arm 'a' holds labels of different types \(int, str\); make them all text",
        ),
        (
            lambda: read_covariates(frame(day=pd.to_datetime(["2024-01-01"])), ["day"]),
            "covariate 'day' holds dates or durations; turn it into a number of days",
        ),
        (
            lambda: read_covariates(frame(who=[f"c{one}" for one in range(101)]), ["who"]),
            "covariate 'who' has 101 levels; group them into at most 100, or leave it out",
        ),
        (
            lambda: read_covariates(frame(town=["x", None]), ["town"]),
            "covariate 'town' is missing at index 1",
        ),
        (lambda: read_arms(frame(arm=["a", "b"]), "arm", "c"), "no row of arm is the control 'c'"),
        (lambda: read_arms(frame(arm=["a"]), "arm", "a"), "every row of arm is the control 'a'"),
        (lambda: read_arms(frame(arm=[]), "arm", "a"), "data has no rows; pass a frame with a row"),
        (lambda: read_treated(frame(arm=[]), "arm"), "data has no rows; pass a frame with a row"),
        (lambda: as_names("covariates", ["a", "b", "a"]), "covariates names 'a' twice; name it on"),
        (lambda: as_names("covariates", 5), "covariates is 5; name columns by text, one or a list"),
        (lambda: as_names("covariates", [{"a"}]), r"covariates has \{'a'\}; name columns by text"),
    ],
)
def test_bad_input(read, message):
    with pytest.raises(InputError, match=message):
        read()


@pytest.mark.parametrize("wanted", [["a"], np.array(["a", "b"]), pd.NA, None, np.nan])
def test_a_control_that_is_no_value_is_named(wanted):
    with pytest.raises(InputError, match=r"no row of arm is the control .*the values are 'a', 'b'"):
        read_arms(frame(arm=["a", "b"]), "arm", wanted)


def test_labels_are_no_lists():
    with pytest.raises(InputError, match="arm 'arm' holds lists or the like; make them all text"):
        read_codes(frame(arm=[["a"], ["b"]]), "arm", "arm")


@pytest.mark.parametrize("scale", [1e101, 1e-101, 1e300, 5e-324])
def test_values_have_squares(scale):
    with pytest.raises(InputError, match=re.escape(f"the largest outcome 'y' is {scale:g}; pass")):
        read_values(frame(y=np.array([0.0, 1.0]) * scale), "y")
    assert read_values(frame(y=[0.0, 0.0]), "y").tolist() == [0, 0]
    assert read_values(frame(y=[1e-300, 1.0]), "y").tolist() == [1e-300, 1]
