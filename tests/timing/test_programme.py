from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.timing.timing_oracle import expected_gain, mbg_log, plan_value, random_log
from touchpoint_lib.timing.own_return import own_return

MBG = tp.ModifiedBetaGeoModel.from_params((0.53, 28.0, 0.9, 1.6), "D")
REGULAR = tp.ModifiedBetaGeoModel.from_params((2.5, 30.0, 0.9, 4.0), "D", regularity=3)
MONEY = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
RICH = tp.ContactMoney(margin=60, win_back=0.3, cost=1.0, discount=8)


@pytest.fixture(scope="module")
def spells() -> pd.DataFrame:
    return tp.purchase_spells(random_log(41, 80))


def customers(seed: int, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    bought = rng.choice([0, 1, 2, 3, 7, 15], n).astype(float)
    return pd.DataFrame(
        {"frequency": bought, "recency": bought * np.ceil(rng.gamma(2, 15, n))},
        index=[f"c{i}" for i in range(n)],
    )


def steps_of(days, step, steps):
    """Which of the steps a row of days stands for."""
    made = {day / step for day in days if day < math.inf}
    assert made <= set(range(1, steps + 1))
    return tuple(number in made for number in range(1, steps + 1))


def assert_best(programme, frame):
    """Compare with every plan there is: 2 ** steps of them."""
    steps = programme.latest // programme.step
    days, chances = programme.plan(frame)
    assert days.shape == chances.shape
    assert len(days) == len(frame)
    at = programme.step * np.arange(1.0, steps + 1)
    made_any = 0
    for number in range(len(frame)):
        each = frame.iloc[np.full(steps, number)]
        q = own_return(programme.source, each, at, programme.horizon)
        p = own_return(programme.source, each, at, programme.step)
        made = steps_of(days[number], programme.step, steps)
        plans = itertools.product([False, True], repeat=steps)
        values = {plan: plan_value(plan, q, p, programme.money, programme) for plan in plans}
        best = max(values.values())
        assert values[made] == pytest.approx(best, rel=1e-9, abs=1e-12), (made, max(values))
        made_any += any(made)
        assert_listed(programme, days[number], chances[number])
    return made_any


def assert_listed(programme, days, chances):
    """Days rise, inf behind the last; the chances are those of the contacts before."""
    made = [day for day in days if day < math.inf]
    assert made == sorted(set(made))
    assert days[: len(made)].tolist() == made
    assert np.isinf(days[len(made) :]).all()
    assert (chances[len(made) :] == 0).all()
    for number, day in enumerate(made):
        recent = sum(day - other < programme.window for other in made[:number])
        assert recent < programme.cap
        expected = programme.money.win_back * programme.fatigue**recent
        assert chances[number] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("source", [MBG, REGULAR, [MBG, REGULAR]], ids=["MBG", "k=3", "both"])
@pytest.mark.parametrize(
    ("cap", "window", "fatigue"),
    [(1, 14, 0.5), (1, 21, 0.7), (2, 21, 0.5), (2, 14, 1.0), (1, 7, 0.5), (2, 28, 0.3)],
)
def test_no_plan_is_worth_more(source, cap, window, fatigue):
    contacted = 0
    for money in (MONEY, RICH):
        programme = tp.ContactProgramme(
            source, money, horizon=60, fatigue=fatigue, cap=cap, window=window, step=7, latest=36
        )
        contacted += assert_best(programme, customers(1, 12))
    assert contacted >= 5


@settings(max_examples=40, deadline=None)
@given(
    margin=st.floats(5, 300),
    win_back=st.floats(0.02, 1),
    cost=st.floats(0, 5),
    discount=st.floats(0, 30),
    fatigue=st.floats(0.05, 1),
    cap=st.integers(1, 4),
    window=st.integers(1, 4),
    step=st.integers(1, 20),
    seed=st.integers(0, 50),
)
def test_no_plan_is_worth_more_at_any_price(
    margin, win_back, cost, discount, fatigue, cap, window, step, seed
):
    money = tp.ContactMoney(margin=margin, win_back=win_back, cost=cost, discount=discount)
    programme = tp.ContactProgramme(
        MBG,
        money,
        horizon=45,
        fatigue=fatigue,
        cap=cap,
        window=window * step,
        step=step,
        latest=6 * step,
    )
    assert_best(programme, customers(seed, 2))


def test_frequencies_can_be_planned_with(spells):
    frequency = tp.OwnReturnFrequency().fit(spells)
    programme = tp.ContactProgramme(
        [frequency, MBG], RICH, horizon=45, cap=2, window=21, step=7, latest=42
    )
    assert assert_best(programme, spells.iloc[::40]) >= 5


@pytest.mark.parametrize(("cap", "window"), [(1, 28), (2, 28), (3, 70), (1, 70), (2, 7)])
def test_the_cap_holds_in_every_window(spells, cap, window):
    money = tp.ContactMoney(margin=500, win_back=0.3, cost=0.1)
    programme = tp.ContactProgramme(MBG, money, cap=cap, window=window, latest=365, fatigue=0.9)
    days, chances = programme.plan(spells)
    for row, chance in zip(days[::10], chances[::10], strict=True):
        assert_listed(programme, row, chance)
    # Windows of any beginning, as someone would count who does not know the steps.
    for begin in range(1, 365 - window):
        inside = ((days >= begin) & (days < begin + window)).sum(axis=1)
        assert inside.max() <= cap
    # The cap is what stops it.
    assert np.isfinite(days).sum(axis=1).max() >= min(cap, window // 7) * (365 // window - 1)


def test_with_one_step_it_contacts_where_that_gains(spells):
    for day in (7, 30, 90):
        programme = tp.ContactProgramme(
            MBG, MONEY, fatigue=1.0, cap=10, window=day, step=day, latest=day
        )
        q = own_return(MBG, spells, float(day), 90)
        gain = expected_gain(q, 30, 0.1, 0.5, 5)
        days, chances = programme.plan(spells)
        assert days.shape == (len(spells), 1)
        np.testing.assert_array_equal(days[:, 0], np.where(gain > 0, day, math.inf))
        np.testing.assert_array_equal(chances[:, 0], np.where(gain > 0, 0.1, 0.0))
    assert 0 < (gain > 0).sum() < len(gain) or day == 90


def test_silence_is_the_first_contact(spells):
    programme = tp.ContactProgramme(MBG, MONEY)
    days, _ = programme.plan(spells)
    np.testing.assert_array_equal(programme.silence(spells), days[:, 0])


@pytest.mark.parametrize("source", [MBG, REGULAR])
@pytest.mark.parametrize("margin", [0.0, 5.0])
def test_nobody_is_contacted_where_nothing_is_to_gain(spells, source, margin):
    money = tp.ContactMoney(margin=margin, win_back=0.1, cost=0.5, discount=5)
    days, chances = tp.ContactProgramme(source, money).plan(spells)
    assert days.shape == chances.shape == (len(spells), 1)
    assert np.isinf(days).all()
    assert (chances == 0).all()


def test_equal_customers_have_equal_plans():
    few = customers(3, 20)
    place = np.random.default_rng(4).integers(0, 20, 300)
    programme = tp.ContactProgramme(MBG, MONEY)
    one, many = programme.plan(few), programme.plan(few.iloc[place])
    most = many[0].shape[1]
    np.testing.assert_array_equal(many[0], one[0][place][:, :most])
    np.testing.assert_array_equal(many[1], one[1][place][:, :most])


def test_each_customer_has_their_own_money():
    frame = customers(5, 40).iloc[np.repeat(np.arange(40), 2)]
    ids = frame.index.unique()
    margin = pd.Series(np.resize([0.0, 30.0, 90.0], 40), index=ids)
    discount = pd.Series(np.resize([0.0, 5.0], 40), index=ids)
    each = tp.ContactMoney(margin=margin, win_back=0.1, cost=0.5, discount=discount)
    days, chances = tp.ContactProgramme(MBG, each).plan(frame)
    for m, d in itertools.product(margin.unique(), discount.unique()):
        mine = (frame.index.map(margin) == m) & (frame.index.map(discount) == d)
        one = tp.ContactMoney(margin=m, win_back=0.1, cost=0.5, discount=d)
        alone = tp.ContactProgramme(MBG, one).plan(frame[mine])
        width = alone[0].shape[1]
        np.testing.assert_array_equal(days[mine][:, :width], alone[0])
        np.testing.assert_array_equal(chances[mine][:, :width], alone[1])
        assert np.isinf(days[mine][:, width:]).all()
    short = tp.ContactMoney(margin=margin.iloc[1:], win_back=0.1)
    with pytest.raises(tp.InputError, match="margin has no value of customer 'c0'"):
        tp.ContactProgramme(MBG, short).plan(frame)


def test_blocks_of_customers_change_nothing(monkeypatch, spells):
    programme = tp.ContactProgramme(MBG, MONEY)
    whole = programme.plan(spells)
    monkeypatch.setattr("touchpoint_lib.timing.programme._BLOCK", 2000)
    for one, other in zip(whole, programme.plan(spells), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fit_returns_a_copy_and_keeps_what_is_fitted():
    bought = tp.purchase_spells(
        mbg_log((0.53, 28.0, 0.9, 1.6), 1500, 500, 15, arrive=200), amount=None
    )
    model = tp.ModifiedBetaGeoModel()
    programme = tp.ContactProgramme([model, REGULAR], MONEY, cap=1, fatigue=0.25)
    with pytest.raises(tp.InputError, match=r"call fit\("):
        programme.plan(bought)
    ready = programme.fit(bought)
    assert ready is not programme
    assert ready.source[1] is REGULAR
    assert ready.source[0].unit_ == "D"
    assert not hasattr(model, "params_")
    assert (ready.cap, ready.fatigue, ready.money) == (1, 0.25, MONEY)
    assert ready.plan(bought)[0].shape[0] == len(bought)


def test_label():
    programme = tp.ContactProgramme([MBG, tp.OwnReturnFrequency()], MONEY, cap=1)
    assert str(programme) == "programme, 1 in 28 days (MBG/NBD and frequency)"


def test_a_log_too_short_for_a_step_is_refused(spells):
    frequency = tp.OwnReturnFrequency().fit(spells)
    horizon = int(frequency.last_) - 10
    programme = tp.ContactProgramme(frequency, MONEY, horizon=horizon, step=20, window=20)
    with pytest.raises(tp.InputError, match="step is 20 days, and the log tells own returns up"):
        programme.plan(spells)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"source": "MBG"}, ["source is a str"]),
        ({"money": 3}, ["money is a int", "ContactMoney"]),
        ({"horizon": 6}, ["horizon is 6", ">= 7"]),
        ({"horizon": 0}, ["horizon is 0"]),
        ({"fatigue": 0}, ["fatigue is 0", "> 0"]),
        ({"fatigue": 1.1}, ["fatigue is 1.1", "<= 1"]),
        ({"cap": 0}, ["cap is 0", ">= 1"]),
        ({"cap": 1.5}, ["cap is 1.5", "whole"]),
        ({"window": 30}, ["window is 30 and step is 7", "multiple"]),
        ({"window": 77}, ["window is 77 and step is 7", "at most 10"]),
        ({"window": 0}, ["window is 0", ">= 1"]),
        ({"step": 0}, ["step is 0", ">= 1"]),
        ({"step": None}, ["step is None", "number"]),
        ({"step": "7"}, ["step is '7'", "number"]),
        ({"step": math.nan}, ["step is nan", "finite"]),
        ({"latest": 6}, ["latest is 6", ">= 7"]),
    ],
)
def test_settings_out_of_bounds_are_refused(keep, words):
    with pytest.raises(tp.InputError) as caught:
        tp.ContactProgramme(**{"source": MBG, "money": MONEY, **keep})
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("name", ["horizon", "cap", "window", "step", "latest"])
def test_whole_numbers_may_be_floats(spells, name):
    plain = tp.ContactProgramme(MBG, MONEY)
    other = tp.ContactProgramme(MBG, MONEY, **{name: float(getattr(plain, name))})
    np.testing.assert_array_equal(other.plan(spells)[0], plain.plan(spells)[0])


@pytest.mark.parametrize("name", ["frequency", "recency"])
def test_a_missing_column_is_named(spells, name):
    with pytest.raises(tp.InputError, match=f"no column '{name}'"):
        tp.ContactProgramme(MBG, MONEY).plan(spells.drop(columns=name))


def test_a_frame_without_spells_is_refused(spells):
    with pytest.raises(tp.InputError, match="no rows"):
        tp.ContactProgramme(MBG, MONEY).plan(spells.iloc[:0])
