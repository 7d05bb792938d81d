from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.timing.timing_oracle import expected_gain

amounts = st.floats(0, 1e6).map(lambda x: round(x, 3))
chances = st.floats(0.001, 1).map(lambda x: round(x, 4))
shares = st.floats(0, 1)


@given(shares, amounts, chances, amounts, amounts)
def test_gain_is_the_formula(q, margin, win_back, cost, discount):
    money = tp.ContactMoney(margin=margin, win_back=win_back, cost=cost, discount=discount)
    expected = expected_gain(q, margin, win_back, cost, discount)
    scale = margin + cost + discount
    assert money.gain([q]) == pytest.approx([expected], rel=1e-12, abs=1e-12 * scale)


@given(shares, amounts, chances, amounts, amounts)
def test_the_line_is_where_the_gain_is_nothing(q, margin, win_back, cost, discount):
    money = tp.ContactMoney(margin=margin, win_back=win_back, cost=cost, discount=discount)
    (line,) = money.line()
    assert 0 <= line <= 1
    scale = margin + cost + discount
    if margin * win_back > cost:
        assert money.gain([line]) == pytest.approx([0.0], abs=1e-11 * scale)
        gain = money.gain([q])[0]
        if abs(q - line) > 1e-9:
            assert (gain > 0) == (q < line)
    else:
        assert line == 0
        assert money.gain([q])[0] <= 1e-11 * scale


def test_some_gains_by_hand():
    money = tp.ContactMoney(margin=100, win_back=0.2, cost=2, discount=10)
    # 20 is to be won: at q = 0.6 that is 8 - 2 - 6 = 0.
    assert money.gain([0.0, 0.6, 1.0]) == pytest.approx([18.0, 0.0, -12.0])
    assert money.line() == pytest.approx([0.6])
    assert tp.ContactMoney(margin=100, win_back=0.2).line() == pytest.approx([1.0])
    assert tp.ContactMoney(margin=0, win_back=0.2).line() == pytest.approx([0.0])
    assert tp.ContactMoney(margin=10, win_back=0.2, cost=2).line() == pytest.approx([0.0])


def test_each_customer_has_their_own_money():
    margin = pd.Series({"b": 10, "a": 40.0, "c": 20.0})
    discount = pd.Series({"c": 3.0, "b": 1.0, "a": 2.0, "d": 9.0})
    money = tp.ContactMoney(margin=margin, win_back=0.5, cost=1.0, discount=discount)
    customers = pd.Index(["a", "c", "a", "b"])
    q = np.array([0.1, 0.2, 0.9, 0.5])
    expected = [
        expected_gain(chance, margin[who], 0.5, 1.0, discount[who])
        for chance, who in zip(q, customers, strict=True)
    ]
    assert money.gain(q, customers) == pytest.approx(expected)
    lines = [(0.5 * margin[who] - 1) / (0.5 * margin[who] + discount[who]) for who in customers]
    assert money.line(customers) == pytest.approx(lines)


def test_numbers_hold_for_all_customers():
    money = tp.ContactMoney(margin=100, win_back=0.2, cost=2, discount=10)
    assert money.line(pd.Index(list("aab"))) == pytest.approx([0.6] * 3)
    assert money.gain([0.6, 0.0], pd.Index(["x", "y"])) == pytest.approx([0.0, 18.0])


@pytest.mark.parametrize("name", ["margin", "discount"])
def test_customers_without_money_are_named(name):
    known = pd.Series({"a": 1.0, "b": 2.0})
    money = tp.ContactMoney(**{"margin": 5.0, "win_back": 0.5, name: known})
    for call in (money.line, lambda ids: money.gain(np.full(len(ids), 0.5), ids)):
        with pytest.raises(tp.InputError) as caught:
            call(pd.Index(["a", "z", "y", "z"]))
        text = str(caught.value)
        assert f"{name} has no value of customer 'z'" in text
        assert "(3 such contacts)" in text
        assert "reindex" in text
    with pytest.raises(tp.InputError, match=f"{name} is a Series by customer; say whose"):
        money.line()


@pytest.mark.parametrize("name", ["margin", "discount"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pd.Series({"a": 1.0, "b": np.nan}), ["is nan", "'b'", "present"]),
        (pd.Series({"a": 1.0, "b": -2.0}), ["is -2", "'b'", ">= 0"]),
        (pd.Series({"a": 1.0, "b": np.inf}), ["is inf", "'b'", "finite"]),
        (pd.Series(["x"], index=["a"]), ["is not numeric"]),
        (pd.Series([1.0, 2.0, 3.0], index=["a", "b", "b"]), ["several values of customer 'b'"]),
        (-1, ["is -1", ">= 0"]),
        (np.nan, ["is nan", "finite"]),
        ("5", ["is '5'", "number"]),
        ([1.0], ["is [1.0]", "number"]),
        (None, ["is None", "number"]),
    ],
)
def test_money_out_of_bounds_is_refused(name, value, words):
    with pytest.raises(tp.InputError) as caught:
        tp.ContactMoney(**{"margin": 5.0, "win_back": 0.5, name: value})
    assert str(caught.value).startswith(name)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"win_back": 0}, ["win_back is 0", "> 0"]),
        ({"win_back": 1.01}, ["win_back is 1.01", "<= 1"]),
        ({"win_back": True}, ["win_back is True"]),
        ({"cost": -0.1}, ["cost is -0.1", ">= 0"]),
        ({"cost": pd.Series({"a": 1.0})}, ["cost is", "number"]),
        ({"cost": np.inf}, ["cost is inf", "finite"]),
    ],
)
def test_other_values_out_of_bounds_are_refused(given_, words):
    with pytest.raises(tp.InputError) as caught:
        tp.ContactMoney(**{"margin": 5.0, "win_back": 0.5, **given_})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_bounds_themselves_are_allowed():
    money = tp.ContactMoney(margin=0, win_back=1, cost=0, discount=0)
    assert money.gain([0.0, 1.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan])
def test_impossible_probabilities_are_refused(q):
    with pytest.raises(tp.InputError, match=r"own_return is .* at row 1"):
        tp.ContactMoney(margin=5, win_back=0.5).gain([0.5, q])


@pytest.mark.parametrize("margin", [5.0, pd.Series({"a": 5.0, "b": 6.0, "c": 7.0})])
@pytest.mark.parametrize("ids", [["a"], ["a", "b", "c"]])
def test_a_probability_for_each_customer_is_needed(margin, ids):
    money = tp.ContactMoney(margin=margin, win_back=0.5)
    with pytest.raises(tp.InputError, match="own_return"):
        money.gain([0.5, 0.6], pd.Index(ids))


def test_money_cannot_be_changed():
    money = tp.ContactMoney(margin=5, win_back=0.5)
    with pytest.raises(AttributeError):
        money.margin = 6


@pytest.mark.parametrize("customers", [5, "a", ["a"], pd.Series(["a"])])
@pytest.mark.parametrize("margin", [30.0, pd.Series({"a": 30.0})])
def test_customers_are_an_index(margin, customers):
    money = tp.ContactMoney(margin=margin, win_back=0.1)
    for call in (lambda: money.gain([0.5], customers), lambda: money.line(customers)):
        with pytest.raises(tp.InputError, match=r"customers is a .*; pass an Index"):
            call()
