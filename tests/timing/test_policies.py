from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

import touchpoint_lib as tp
from tests.timing.timing_oracle import (
    expected_gain,
    mbg_log,
    new_spells,
    quantile,
    random_log,
    spells_from_gaps,
)
from touchpoint_lib.timing.own_return import own_return

MBG = tp.ModifiedBetaGeoModel.from_params((0.53, 28.0, 0.9, 1.6), "D")
REGULAR = tp.ModifiedBetaGeoModel.from_params((2.5, 30.0, 0.9, 4.0), "D", regularity=3)
MONEY = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)


@pytest.fixture(scope="module")
def spells() -> pd.DataFrame:
    return tp.purchase_spells(random_log(21, 120))


@pytest.fixture(scope="module")
def bought() -> pd.DataFrame:
    return tp.purchase_spells(
        mbg_log((0.53, 28.0, 0.9, 1.6), 1500, 500, 15, arrive=200), amount=None
    )


def customers_of(spells):
    """{customer: [(frequency, recency, gap), ...]} in the order of the rows."""
    found = {}
    for row in spells.itertuples():
        found.setdefault(row.Index, []).append((row.frequency, row.recency, row.gap))
    return found


def whole(days):
    """The first whole day at or behind a line; a hair above a day is that day."""
    return max(1.0, float(math.ceil(round(days, 9))))


# --- fixed days --------------------------------------------------------------------------------


def test_fixed_days_are_the_same_for_all(spells):
    assert tp.FixedDays(60).silence(spells).tolist() == [60.0] * len(spells)
    assert str(tp.FixedDays(60)) == "60 days"
    assert tp.FixedDays(60) == tp.FixedDays(60)


@pytest.mark.parametrize("days", [0, -1, 1.5, math.nan, "60", None, True])
def test_other_days_are_refused(days):
    with pytest.raises(tp.InputError, match="days is"):
        tp.FixedDays(days)


# --- own gaps ----------------------------------------------------------------------------------


def own_gap_days(spells, share, least, otherwise):
    found = []
    for rows in customers_of(spells).values():
        gaps = []
        for _, _, gap in rows:
            found.append(whole(quantile(gaps, share) if len(gaps) >= least else otherwise))
            gaps.append(gap)
    return found


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.95])
def test_own_gap_quantile_is_that_of_the_gaps_before(spells, share, least):
    policy = tp.OwnGapQuantile(share, least).fit(spells)
    ended = [gap for rows in customers_of(spells).values() for _, _, gap in rows if gap < math.inf]
    assert policy.otherwise == pytest.approx(quantile(ended, share), rel=1e-12)
    expected = own_gap_days(spells, share, least, quantile(ended, share))
    np.testing.assert_array_equal(policy.silence(spells), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 60).map(float), max_size=12), min_size=1, max_size=6),
    st.floats(0.01, 0.99),
    st.integers(1, 4),
)
def test_own_gap_quantile_of_any_gaps(gaps, share, least):
    spells = spells_from_gaps(gaps, [30.0] * len(gaps))
    policy = tp.OwnGapQuantile(share, least, otherwise=33.0)
    expected = own_gap_days(spells, share, least, 33.0)
    np.testing.assert_array_equal(policy.silence(spells), expected)


def test_own_gap_quantile_does_not_see_the_gap_to_come():
    gaps = [[5.0, 9.0, 7.0]]
    policy = tp.OwnGapQuantile(0.5, otherwise=20.0)
    now = policy.silence(spells_from_gaps(gaps, [40.0]))
    later = policy.silence(spells_from_gaps([[5.0, 9.0, 400.0]], [40.0]))
    assert now.tolist() == [20.0, 5.0, 7.0, 7.0]
    assert later[:3].tolist() == now[:3].tolist()


def test_own_gap_quantile_needs_all_rows_of_a_customer(spells):
    policy = tp.OwnGapQuantile(0.9, otherwise=20.0)
    some = spells[spells["frequency"] > 0]
    with pytest.raises(tp.InputError, match="all rows of each customer"):
        policy.silence(some)


def test_own_mean_gap_is_a_multiple_of_the_mean(spells):
    policy = tp.OwnMeanGap(1.5).fit(spells)
    ended = [gap for rows in customers_of(spells).values() for _, _, gap in rows if gap < math.inf]
    assert policy.otherwise == pytest.approx(1.5 * sum(ended) / len(ended), rel=1e-12)
    expected = []
    for rows in customers_of(spells).values():
        gaps = []
        for _, _, gap in rows:
            mean = 1.5 * sum(gaps) / len(gaps) if gaps else policy.otherwise
            expected.append(whole(mean))
            gaps.append(gap)
    np.testing.assert_array_equal(policy.silence(spells), expected)


def test_a_line_below_a_day_is_the_first_day():
    spells = spells_from_gaps([[1.0, 1.0]], [9.0])
    for otherwise in (0.1, 0.0):
        days = tp.OwnMeanGap(0.2, otherwise=otherwise).silence(spells)
        assert days.tolist() == [1.0, 1.0, 1.0]


# --- the shrunken quantile ---------------------------------------------------------------------


def renewal_spells(seed, r, alpha, n=1500, most=8):
    """Customers with a number of exponential gaps that has nothing to do with their rate."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(r, 1 / alpha, n)
    gaps = [(rng.exponential(1, rng.integers(0, most)) / rate).tolist() for rate in rates]
    return spells_from_gaps(gaps, [50.0] * n)


def test_shrunken_quantile_is_lomax(spells):
    policy = tp.ShrunkenQuantile(0.8, r=1.3, alpha=25.0)
    expected = []
    for rows in customers_of(spells).values():
        for x, t, _ in rows:
            # The day by which four of five would have come: P(gap > t) = (a / (a + t)) ** s.
            expected.append(whole((25.0 + t) * ((1 / 0.2) ** (1 / (1.3 + x)) - 1)))
    np.testing.assert_array_equal(policy.silence(spells), expected)


def lomax_loss(theta, x, t):
    """Minus the log-likelihood a customer, by the mean rate m and the concentration c = 1/r."""
    mean, c = np.exp(theta)
    r = 1 / c
    alpha = r / mean
    # Gamma(r + x) / Gamma(r) = Gamma(x) / B(r, x)
    value = gammaln(x) - betaln(r, x) + r * np.log(alpha) - (r + x) * np.log(alpha + t)
    return -float(np.mean(value))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shrunken_quantile_fits_the_likeliest_rates(seed):
    """The maximum in another parametrisation, by a method without gradients."""
    spells = renewal_spells(seed, 2.0, 60.0, n=400)
    last = spells.groupby(level=0).tail(1)
    last = last[last["frequency"] > 0]
    x, t = last["frequency"].to_numpy(), last["recency"].to_numpy()
    best = minimize(
        lomax_loss,
        np.log([x.sum() / t.sum(), 1.0]),
        args=(x, t),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000},
    )
    mean, c = np.exp(best.x)
    policy = tp.ShrunkenQuantile(0.9).fit(spells)
    ours = lomax_loss(np.log([policy.r / policy.alpha, 1 / policy.r]), x, t)
    assert ours <= best.fun + 1e-9
    assert policy.r == pytest.approx(1 / c, rel=2e-3)
    assert policy.alpha == pytest.approx(1 / c / mean, rel=2e-3)


@pytest.mark.parametrize(("r", "alpha"), [(0.7, 15.0), (2.0, 60.0), (4.0, 200.0)])
def test_shrunken_quantile_recovers_the_rates(r, alpha):
    spells = renewal_spells(31, r, alpha)
    policy = tp.ShrunkenQuantile(0.9).fit(spells)
    last = spells.groupby(level=0).tail(1)
    last = last[last["frequency"] > 0]
    x, t = last["frequency"].to_numpy(), last["recency"].to_numpy()
    at = np.log([policy.r / policy.alpha, 1 / policy.r])
    step = 1e-3
    hessian = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            a, b = np.eye(2)[i] * step, np.eye(2)[j] * step
            hessian[i, j] = (
                lomax_loss(at + a + b, x, t)
                - lomax_loss(at + a - b, x, t)
                - lomax_loss(at - a + b, x, t)
                + lomax_loss(at - a - b, x, t)
            ) / (4 * step**2)
    error = np.sqrt(np.diag(np.linalg.inv(hessian)) / len(x))
    truth = np.log([r / alpha, 1 / r])
    assert (np.abs(at - truth) < 4 * error).all(), (at, truth, error)
    assert error.max() < 0.2


def test_shrunken_quantile_of_even_gaps_is_finite():
    """Gaps more even than chance: every customer alike, the quantile that of an exponential."""
    spells = spells_from_gaps([[20.0] * 5] * 50, [10.0] * 50)
    policy = tp.ShrunkenQuantile(0.9).fit(spells)
    days = policy.silence(spells)
    expected = 20 * math.log(10)
    assert policy.r > 1000
    assert abs(days - expected).max() <= 1.1


def test_shrunken_quantile_needs_both_rates():
    with pytest.raises(tp.InputError, match="r is 2 and alpha is None; pass both"):
        tp.ShrunkenQuantile(0.9, r=2)
    with pytest.raises(tp.InputError, match="alpha is 0; it must be > 0"):
        tp.ShrunkenQuantile(0.9, r=2, alpha=0)


# --- what all that learn have in common --------------------------------------------------------

LEARNERS = [
    tp.OwnGapQuantile(0.9),
    tp.OwnMeanGap(2),
    tp.ShrunkenQuantile(0.9),
    tp.OwnReturn(tp.ModifiedBetaGeoModel(), 0.25),
    tp.OwnReturn(tp.OwnReturnFrequency(), 0.25),
    tp.OwnReturn([tp.ModifiedBetaGeoModel(), tp.OwnReturnFrequency()], 0.25),
    tp.MoneyRule(tp.ModifiedBetaGeoModel(), MONEY),
    tp.MoneyRule([MBG, tp.OwnReturnFrequency()], MONEY),
]


@pytest.mark.parametrize("policy", LEARNERS, ids=str)
def test_a_policy_that_has_seen_nothing_says_so(spells, policy):
    with pytest.raises(tp.InputError, match=r"call fit\("):
        policy.silence(spells)


@pytest.mark.parametrize("policy", LEARNERS, ids=str)
def test_fit_returns_a_copy(bought, policy):
    before = repr(policy)
    ready = policy.fit(bought)
    assert type(ready) is type(policy)
    assert ready is not policy
    assert repr(policy) == before
    with pytest.raises(tp.InputError, match=r"call fit\("):
        policy.silence(bought)
    days = ready.silence(bought)
    assert days.shape == (len(bought),)
    assert (days >= 1).all()
    assert (days == np.floor(days)).all()
    # A fit to the same again changes nothing.
    np.testing.assert_array_equal(ready.fit(bought).silence(bought), days)


@pytest.mark.parametrize("policy", LEARNERS[:3], ids=str)
def test_a_log_without_gaps_teaches_nothing(policy):
    with pytest.raises(tp.InputError, match="no customer bought on two different days"):
        policy.fit(new_spells(30))


@pytest.mark.parametrize("policy", LEARNERS, ids=str)
def test_learning_needs_a_frame_of_spells(bought, policy):
    if isinstance(policy, tp.MoneyRule) and isinstance(policy.source, list):
        policy = tp.MoneyRule(tp.OwnReturnFrequency(), MONEY)
    with pytest.raises(tp.InputError, match="no column 'gap'"):
        policy.fit(bought.drop(columns="gap"))
    with pytest.raises(tp.InputError, match="spells"):
        policy.fit(bought.iloc[1:])


@pytest.mark.parametrize("name", ["frequency", "recency"])
@pytest.mark.parametrize("policy", LEARNERS, ids=str)
def test_a_missing_column_is_named(bought, policy, name):
    ready = policy.fit(bought)
    with pytest.raises(tp.InputError, match=f"no column '{name}'"):
        ready.silence(bought.drop(columns=name))


def test_what_a_policy_is_fitted_to_does_not_change(bought):
    before = bought.copy(deep=True)
    for policy in LEARNERS:
        policy.fit(bought).silence(bought)
    pd.testing.assert_frame_equal(bought, before)
    assert bought.attrs == before.attrs


@pytest.mark.parametrize(
    ("policy", "label"),
    [
        (tp.FixedDays(45), "45 days"),
        (tp.OwnGapQuantile(0.9), "own 90% gap"),
        (tp.OwnGapQuantile(0.75, 3), "own 75% gap, 3+ gaps"),
        (tp.OwnMeanGap(2), "2 x own mean gap"),
        (tp.OwnMeanGap(1.5), "1.5 x own mean gap"),
        (tp.ShrunkenQuantile(0.5), "shrunken 50% gap"),
        (tp.OwnReturn(MBG, 0.25), "own return <= 0.25 (MBG/NBD)"),
        (
            tp.OwnReturn([tp.BetaGeoModel(), tp.OwnReturnFrequency()], 0.1, rise=0.05),
            "own return <= 0.1 + 0.05 a 100 days (BG/NBD and frequency)",
        ),
        (tp.OwnReturn(tp.ParetoNBDModel(), 0.2), "own return <= 0.2 (Pareto/NBD)"),
        (tp.OwnReturn(REGULAR, 0.2), "own return <= 0.2 (MBG/CNBD-3)"),
        (
            tp.OwnReturn(tp.ModifiedBetaGeoModel(regularity="auto"), 0.2),
            "own return <= 0.2 (MBG/CNBD-auto)",
        ),
        (tp.MoneyRule(MBG, MONEY), "money rule (MBG/NBD)"),
    ],
)
def test_labels(policy, label):
    assert str(policy) == label


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tp.OwnGapQuantile(0), ["quantile is 0", "> 0"]),
        (lambda: tp.OwnGapQuantile(1), ["quantile is 1", "< 1"]),
        (lambda: tp.OwnGapQuantile(0.5, 0), ["least_gaps is 0", ">= 1"]),
        (lambda: tp.OwnGapQuantile(0.5, 1.5), ["least_gaps is 1.5", "whole"]),
        (lambda: tp.OwnMeanGap(0), ["multiple is 0", "> 0"]),
        (lambda: tp.OwnMeanGap(math.inf), ["multiple is inf", "finite"]),
        (lambda: tp.ShrunkenQuantile(1.2), ["quantile is 1.2", "< 1"]),
        (lambda: tp.OwnReturn(MBG, 0), ["line is 0", "> 0"]),
        (lambda: tp.OwnReturn(MBG, 1), ["line is 1", "< 1"]),
        (lambda: tp.OwnReturn(MBG, 0.2, horizon=0), ["horizon is 0", ">= 1"]),
        (lambda: tp.OwnReturn(MBG, 0.2, rise=-0.1), ["rise is -0.1", ">= 0"]),
        (lambda: tp.OwnReturn(MBG, 0.2, latest=0), ["latest is 0", ">= 1"]),
        (lambda: tp.OwnReturn("MBG", 0.2), ["source is a str"]),
        (lambda: tp.OwnReturn([], 0.2), ["source is empty"]),
        (lambda: tp.MoneyRule(MBG, 5.0), ["money is a float", "ContactMoney"]),
        (lambda: tp.MoneyRule(3, MONEY), ["source is a int"]),
        (lambda: tp.MoneyRule(MBG, MONEY, horizon=0.5), ["horizon is 0.5"]),
        (lambda: tp.MoneyRule(MBG, MONEY, latest=-1), ["latest is -1"]),
    ],
)
def test_settings_out_of_bounds_are_refused(make, words):
    with pytest.raises(tp.InputError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("otherwise", [-1.0, math.nan, math.inf, "9"])
@pytest.mark.parametrize("kind", [tp.OwnGapQuantile, tp.OwnMeanGap])
def test_days_for_the_others_are_checked(kind, otherwise):
    with pytest.raises(tp.InputError, match="otherwise is"):
        kind(0.5, otherwise=otherwise)


@pytest.mark.parametrize(
    "policy",
    [
        tp.OwnMeanGap(2, otherwise=9.0),
        tp.ShrunkenQuantile(0.9, r=1, alpha=9),
        tp.OwnReturn(MBG, 0.2),
    ],
    ids=str,
)
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_impossible_histories_are_refused(policy, value):
    with pytest.raises(tp.InputError, match=f"frequency is {value:g}"):
        policy.silence(new_spells(2).assign(frequency=value))


# --- own return --------------------------------------------------------------------------------


def test_own_return_policy_is_the_first_low_day(spells):
    policy = tp.OwnReturn(MBG, 0.2345, horizon=60, rise=0.05, latest=120)
    days = policy.silence(spells)
    for day in range(1, 121):
        q = own_return(MBG, spells, float(day), 60)
        under = q <= 0.2345 + 0.05 * day / 100
        np.testing.assert_array_equal(days <= day, under, err_msg=str(day))
    assert np.isinf(days).any()
    assert np.unique(days).size > 20


def test_own_return_policy_needs_frequency_and_recency_alone(spells):
    policy = tp.OwnReturn([MBG, REGULAR], 0.2)
    np.testing.assert_array_equal(
        policy.silence(spells[["frequency", "recency"]]), policy.silence(spells)
    )


def test_fitted_sources_are_kept_and_the_callers_model_stays_unfitted(bought):
    model, frequency = tp.ModifiedBetaGeoModel(), tp.OwnReturnFrequency(5)
    for make in (
        lambda source: tp.OwnReturn(source, 0.2),
        lambda source: tp.MoneyRule(source, MONEY),
    ):
        ready = make([MBG, model, frequency]).fit(bought)
        assert ready.source[0] is MBG
        assert ready.source[1].unit_ == "D"
        assert ready.source[2].shrinkage == 5
        assert not hasattr(model, "params_")
        assert not hasattr(frequency, "last_")
        alone = make(model).fit(bought)
        assert alone.source.params_.equals(ready.source[1].params_)


def test_a_frame_without_spells_is_refused(spells):
    with pytest.raises(tp.InputError, match="no rows"):
        tp.OwnReturn(MBG, 0.2).silence(spells.iloc[:0])


# --- the money rule ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "money",
    [
        MONEY,
        tp.ContactMoney(margin=30, win_back=0.1, cost=0.5),
        tp.ContactMoney(margin=100, win_back=0.05, cost=3, discount=10),
        tp.ContactMoney(margin=8, win_back=1.0, cost=1, discount=20),
    ],
)
def test_money_rule_is_the_first_day_that_gains(spells, money):
    days = tp.MoneyRule(MBG, money, horizon=60, latest=120).silence(spells)
    first = np.full(len(spells), math.inf)
    for day in range(120, 0, -1):
        for at, q in enumerate(own_return(MBG, spells, float(day), 60)):
            if expected_gain(q, money.margin, money.win_back, money.cost, money.discount) > 0:
                first[at] = day
    np.testing.assert_array_equal(days, first)
    assert np.unique(days).size > 10


@pytest.mark.parametrize("source", [MBG, REGULAR, [MBG, REGULAR]])
@pytest.mark.parametrize(
    "money", [{"margin": 0.0}, {"margin": 5.0}, {"margin": 4.9, "discount": 3}]
)
def test_without_anything_to_gain_nobody_is_contacted(spells, source, money):
    money = tp.ContactMoney(**{"win_back": 0.1, "cost": 0.5, **money})
    assert np.isinf(tp.MoneyRule(source, money).silence(spells)).all()


def test_at_the_line_nothing_is_gained():
    """All came back after ten days: own return is 1, and so is the line where all is free."""
    spells = spells_from_gaps([[10.0]] * 40, [100.0] * 40)
    source = tp.OwnReturnFrequency(0).fit(spells)
    first = spells[spells["frequency"] == 0]
    money = tp.ContactMoney(margin=9, win_back=0.1)
    assert money.line().tolist() == [1.0]
    assert (own_return(source, first, 5.0, 30) == 1).all()
    assert np.isinf(tp.MoneyRule(source, money, horizon=30, latest=5).silence(first)).all()


def test_without_cost_everybody_is_contacted_on_the_first_day(spells):
    money = tp.ContactMoney(margin=1, win_back=0.1)
    assert (tp.MoneyRule(MBG, money).silence(spells) == 1).all()


def test_money_rule_on_a_source_with_a_peak_waits_for_the_fall(spells):
    money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    days = tp.MoneyRule(REGULAR, money, horizon=30, latest=200).silence(spells)
    grid = np.arange(1.0, 201)
    compared = 0
    for at in range(0, len(spells), 25):
        q = own_return(REGULAR, spells.iloc[np.full(200, at)], grid, 30)
        gain = expected_gain(q, 30, 0.1, 0.5, 5)
        peak = int(q.argmax())
        if (gain > 0).all():
            assert days[at] == 1
        else:
            late = [day for day in range(peak, 200) if gain[day] > 0]
            assert days[at] == (late[0] + 1 if late else math.inf)
            compared += peak > 0
    assert compared > 3


def test_each_customer_has_their_own_margin(spells):
    ids = spells.index.unique()
    margin = pd.Series(np.resize([0.0, 12.0, 30.0, 90.0], len(ids)), index=ids)
    discount = pd.Series(np.resize([0.0, 1.0, 5.0], len(ids)), index=ids)
    each = tp.ContactMoney(margin=margin, win_back=0.1, cost=0.5, discount=discount)
    days = tp.MoneyRule(MBG, each).silence(spells)
    for m in margin.unique():
        for d in discount.unique():
            mine = (spells.index.map(margin) == m) & (spells.index.map(discount) == d)
            one = tp.ContactMoney(margin=m, win_back=0.1, cost=0.5, discount=d)
            alone = tp.MoneyRule(MBG, one).silence(spells[mine])
            np.testing.assert_array_equal(days[mine], alone)
    assert np.isinf(days[spells.index.map(margin) == 0]).all()
    with pytest.raises(tp.InputError, match="margin has no value of customer"):
        tp.MoneyRule(MBG, tp.ContactMoney(margin=margin.iloc[1:], win_back=0.1)).silence(spells)


@pytest.mark.parametrize("frame", [None, 5, "spells", [], {}, np.ones((2, 2))])
@pytest.mark.parametrize(
    "policy",
    [
        tp.FixedDays(60),
        tp.OwnGapQuantile(0.9, otherwise=9.0),
        tp.OwnMeanGap(2, otherwise=9.0),
        tp.ShrunkenQuantile(0.9, r=1.0, alpha=30.0),
        tp.OwnReturn(MBG, 0.2),
        tp.MoneyRule(MBG, MONEY),
        tp.ContactProgramme(MBG, MONEY),
    ],
    ids=str,
)
def test_what_is_no_frame_is_refused(policy, frame):
    with pytest.raises(tp.InputError, match=r"spells is a .*; it must be a pandas DataFrame"):
        policy.silence(frame)
