"""Survival, own return and the best contact day of customers whose parameters are known."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import touchpoint_lib as tp
from touchpoint_lib.simulate import _returns
from touchpoint_lib.simulate._returns import (
    alive_after_silence,
    best_contact_day,
    erlang_log_survival,
    own_return,
)

STAGES = [1, 2, 3, 7, 16, 17, 60]


def exact_survival(k: int, x: float) -> mpmath.mpf:
    """The finite sum; the caller sets the precision."""
    x = mpmath.mpf(x)
    return mpmath.exp(-x) * mpmath.fsum(x**j / mpmath.factorial(j) for j in range(k))


# -- survival -------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", STAGES)
def test_log_survival_against_mpmath(k: int) -> None:
    around = [k * share for share in (0.01, 0.5, 0.999999, 1.0, 1.000001, 1.3, 2.0, 5.0)]
    x = np.array([0.0, 1e-8, 1e-3, *around, 100.0, 744.0, 746.0, 1e4, 1e6])
    found = erlang_log_survival(k, x)
    assert found[0] == 0
    # S differs from 1 in the 600th digit for 60 stages of 1e-8.
    with mpmath.workdps(650):
        expected = [float(mpmath.log(exact_survival(k, value))) for value in x]
    np.testing.assert_allclose(found, expected, rtol=2e-13, atol=0)


def test_log_survival_against_scipy() -> None:
    k, x = np.meshgrid(STAGES, np.linspace(0, 90, 181), indexing="ij")
    np.testing.assert_allclose(
        np.exp(erlang_log_survival(k, x)), stats.gamma.sf(x, k), rtol=1e-12, atol=0
    )


def test_each_element_has_its_own_stages() -> None:
    k, x = np.array([3, 1, 60, 3, 2]), np.array([0.2, 5.0, 70.0, 900.0, 2.0])
    one_by_one = [float(erlang_log_survival(*pair)) for pair in zip(k, x, strict=True)]
    assert erlang_log_survival(k, x).tolist() == one_by_one


@pytest.mark.parametrize("k", STAGES)
def test_survival_of_the_plans_against_mpmath(k: int) -> None:
    """Money needs absolute precision only, also where exp(-x) is no number any more."""
    x = np.array([0.0, 1e-9, 0.3, k, 2.0 * k, 30.0, 200.0, 745.0, 800.0, 1e6])
    with mpmath.workdps(50):
        expected = [float(exact_survival(k, value)) for value in x]
    np.testing.assert_allclose(_returns._survival(k, x), expected, rtol=0, atol=2e-14)


# -- alive and own return -------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 1e-12, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_alive_and_own_return_against_mpmath(k: int, p: float) -> None:
    """Down to probabilities of 1e-300, and short times after very long silences."""
    silent = [0.0, 1e-3, 1.0, k - 0.01, float(k), 9.0, 50.0, 600.0, 1e6]
    for silence, ahead in itertools.product(silent, [1e-6, 0.5, 20.0, 1e5]):
        with mpmath.workdps(180):
            first = exact_survival(k, silence)
            later = exact_survival(k, mpmath.mpf(silence) + mpmath.mpf(ahead))
            alive = (1 - mpmath.mpf(p)) * first / (p + (1 - mpmath.mpf(p)) * first)
            comes = alive * (1 - later / first)
            expected = float(alive), float(comes)
        found = float(alive_after_silence(p, k, 1.0, silence))
        assert found == pytest.approx(expected[0], rel=1e-11, abs=1e-300)
        found = float(own_return(p, k, 1.0, silence, ahead))
        # Right after the order relative precision, later some digits of P(alive).
        lost = 1e-14 * expected[0] if silence else 0.0
        assert found == pytest.approx(expected[1], rel=1e-11, abs=max(lost, 1e-300))


def test_own_return_is_in_operational_time() -> None:
    """Twice the rate is half the time."""
    silent, ahead = np.array([0.0, 7.0, 90.0]), np.array([30.0, 60.0, 1.0])
    np.testing.assert_allclose(
        own_return(0.3, 3, 0.1, silent, ahead),
        own_return(0.3, 3, 0.2, silent / 2, ahead / 2),
        rtol=1e-14,
    )


chances = st.floats(0, 1)
stages = st.integers(1, 30)
times = st.floats(0, 1e6)


@settings(deadline=None, max_examples=60)
@given(chances, stages, st.floats(1e-9, 1e3), st.lists(times, min_size=2), times)
def test_alive_falls_with_silence(
    p: float, k: int, lam: float, silent: list[float], ahead: float
) -> None:
    alive = alive_after_silence(p, k, lam, np.sort(silent))
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (np.diff(alive) <= 1e-13 * alive[:-1]).all()
    returns = own_return(p, k, lam, np.sort(silent), ahead)
    assert ((returns >= 0) & (returns <= alive)).all()


@settings(deadline=None, max_examples=60)
@given(chances, stages, st.floats(1e-9, 1e3), times, st.lists(times, min_size=2))
def test_own_return_rises_with_the_time_ahead(
    p: float, k: int, lam: float, silent: float, ahead: list[float]
) -> None:
    returns = own_return(p, k, lam, silent, np.sort([0.0, *ahead]))
    assert returns[0] == 0
    assert (np.diff(returns) >= -1e-13).all()
    all_of_it = own_return(p, k, lam, silent, 1e14)
    assert all_of_it == pytest.approx(float(alive_after_silence(p, k, lam, silent)), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_against_simulated_renewals(k: int) -> None:
    """Of the orders not followed for s days, the shares of the living and of those who return."""
    rng = np.random.default_rng(20 + k)
    p, lam, customers, orders = 0.25, k / 20, 40_000, 12
    leaves = rng.random((customers, orders)) < p
    gaps = np.where(leaves, np.inf, rng.exponential(1 / lam, (customers, orders, k)).sum(axis=2))
    # An order happens when the customer has left after none of those before it.
    happened = np.cumsum(leaves, axis=1) - leaves == 0
    gaps = gaps[happened]
    assert len(gaps) > 100_000
    for silent, ahead in itertools.product([0.0, 10.0, 35.0], [7.0, 30.0]):
        quiet = gaps[gaps > silent]
        for seen, expected in (
            (np.isfinite(quiet), alive_after_silence(p, k, lam, silent)),
            (quiet <= silent + ahead, own_return(p, k, lam, silent, ahead)),
        ):
            error = math.sqrt(expected * (1 - expected) / len(quiet))
            assert abs(seen.mean() - expected) < 4.5 * error


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_mean_over_customers_is_the_library_model(k: int) -> None:
    """MBG/CNBD-k is the mean over lambda and p, weighted by the history and the silence.

    Given x gaps that end at t_x, lambda ~ Gamma(r + k x, alpha + t_x) and p ~ Beta(a, b + x); the
    silence weighs each pair by p + (1 - p) S. Gauss-Laguerre times Gauss-Jacobi.
    """
    r, alpha, a, b = 1.4, 40.0, 0.8, 2.5
    silence, ahead = 25.0, 30.0
    model = tp.ModifiedBetaGeoModel.from_params([r, alpha, a, b], unit="D", regularity=k)
    histories = pd.DataFrame(
        {"frequency": [0, 1, 4, 9], "recency": [0.0, 11.0, 80.0, 200.0], "T": 250.0}
    )
    histories.attrs["unit"] = "D"
    expected_return = model.own_return_probability(histories, silence, ahead)
    histories["T"] = histories["recency"] + silence
    expected_alive = model.probability_alive(histories)
    for row, (x, t_x) in enumerate(zip(histories["frequency"], histories["recency"], strict=True)):
        scaled, rate_weights = special.roots_genlaguerre(60, r + k * x - 1)
        nodes, leave_weights = special.roots_jacobi(20, b + x - 1, a - 1)
        lam, p = np.meshgrid(scaled / (alpha + t_x), (1 + nodes) / 2, indexing="ij")
        weights = rate_weights[:, None] * leave_weights
        weights *= p + (1 - p) * np.exp(erlang_log_survival(k, lam * silence))
        weights /= weights.sum()
        alive = (weights * alive_after_silence(p, k, lam, silence)).sum()
        comes = (weights * own_return(p, k, lam, silence, ahead)).sum()
        assert alive == pytest.approx(expected_alive.iloc[row], rel=1e-9)
        assert comes == pytest.approx(expected_return.iloc[row], rel=1e-9)


# -- the best day ---------------------------------------------------------------------------------

HORIZON, LATEST = 20, 45


def clock(days: int = 160) -> Any:
    """Operational time of two provinces and three segments; the last one rests on most days."""
    pace = np.random.default_rng(5).uniform(0.4, 1.8, (2, 3, 400))
    pace[:, 2, np.arange(400) % 15 != 0] = 0
    return np.concatenate([np.zeros((2, 3, 1)), pace.cumsum(axis=2)], axis=2)[:, :, : days + 1]


def people(n: int, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "p": rng.beta(1.0, 2.5, n),
        "k": rng.choice([1, 2, 3, 20], n),
        "lam": rng.gamma(2.0, 0.05, n),
        "last_order": rng.uniform(0, 90, n),
        "province": rng.integers(0, 2, n).astype(np.int8),
        "segment": rng.integers(0, 3, n).astype(np.int8),
        "margin": rng.uniform(5, 90, n),
        "discount": rng.uniform(0, 2, n),
    }


CONTACT: dict[str, Any] = {
    "cumulative": clock(),
    "effect": 0.9,
    "decay": 6.0,
    "cost": 0.4,
    "horizon": HORIZON,
    "latest": LATEST,
}


def plan_values(row: dict[str, Any], contact: dict[str, Any]) -> list[float]:
    """The value of each tau by the definitions, one day after the other."""
    at = contact["cumulative"][row["province"], row["segment"]]
    day = int(row["last_order"])
    start = at[day] + (row["last_order"] - day) * (at[day + 1] - at[day])
    values = []
    for tau in range(contact["latest"] + 1):
        midnight = day + tau + 1
        silent, plain, boosted = at[midnight] - start, 0.0, 0.0
        for j in range(contact["horizon"]):
            pace = at[midnight + j + 1] - at[midnight + j]
            plain += pace
            boosted += pace * math.exp(contact["effect"] * math.exp(-j / contact["decay"]))
        given_ = row["p"], row["k"], row["lam"], silent
        without, contacted = (float(own_return(*given_, ahead)) for ahead in (plain, boosted))
        survival = math.exp(erlang_log_survival(row["k"], row["lam"] * silent))
        values.append(
            (row["p"] + (1 - row["p"]) * survival)
            * (
                row["margin"] * (contacted - without)
                - contact["cost"]
                - row["discount"] * contacted
            )
        )
    return values


def test_best_day_against_a_plain_loop() -> None:
    customers = people(60)
    day, value = best_contact_day(**customers, **CONTACT)
    rows = [dict(zip(customers, row, strict=True)) for row in zip(*customers.values(), strict=True)]
    for row, found_day, found_value in zip(rows, day, value, strict=True):
        values = plan_values(row, CONTACT)
        if max(values) <= 0:
            assert np.isnan(found_day)
            assert found_value == 0
        else:
            assert found_value == pytest.approx(max(values), rel=1e-10, abs=1e-13)
            # Days on which the clock rests have one value but for rounding.
            assert values[int(found_day)] == pytest.approx(max(values), rel=1e-10, abs=1e-13)
    assert 10 < np.isnan(day).sum() < 50
    assert len(np.unique(day[~np.isnan(day)])) > 3


@pytest.mark.parametrize(("k", "segment"), [(1, 0), (3, 1), (20, 1)])
def test_best_day_against_simulated_customers(k: int, segment: int) -> None:
    """Mean money of two worlds that share their luck, one with the contact, one without."""
    row = {"p": 0.2, "k": k, "lam": k / 30, "last_order": 12.7, "province": 1, "segment": segment}
    money = {"margin": 60.0, "discount": 1.0}
    day, value = (float(part[0]) for part in best_contact_day(**row, **money, **CONTACT))
    rng = np.random.default_rng(k)
    n = 200_000
    stages_needed = rng.gamma(k, size=n)
    stages_needed[rng.random(n) < row["p"]] = np.inf
    pace = np.diff(CONTACT["cumulative"][1, segment]) * row["lam"]
    first = 12 + int(day) + 1
    done = 0.3 * pace[12] + pace[13:first].sum()
    silent = stages_needed > done
    contacted = done
    for j in range(HORIZON):
        contacted += pace[first + j] * math.exp(0.9 * math.exp(-j / 6.0))
    comes = silent & (stages_needed <= done + pace[first : first + HORIZON].sum())
    comes_contacted = silent & (stages_needed <= contacted)
    gain = 60.0 * comes_contacted - 60.0 * comes - 0.4 * silent - 1.0 * comes_contacted
    assert value > 0
    assert abs(gain.mean() - value) < 4.5 * gain.std() / math.sqrt(n)


@pytest.mark.parametrize("k", [2, 4, 10])
def test_best_day_in_closed_form(k: int) -> None:
    """A free contact wins the orders of the e days behind the horizon: best where they are most.

    The density of the gap is equal at both ends of [u, u + e], at
    u = e / (exp(lambda e / (k - 1)) - 1); an exponential gap has its most at once.
    """
    lam, horizon = k / 40, 5
    even = np.broadcast_to(np.arange(401.0), (1, 1, 401))
    contact = CONTACT | {"cumulative": even, "horizon": horizon, "latest": 200, "cost": 0.0}
    money = {"margin": 50.0, "discount": 0.0}
    day, value = best_contact_day(0.1, [1, k], [1 / 40, lam], 0.0, 0, 0, **money, **contact)
    extra = sum(math.expm1(0.9 * math.exp(-j / 6.0)) for j in range(horizon))
    assert day[0] == 0
    start = math.exp(-(1 + horizon) / 40) * -math.expm1(-extra / 40)
    assert value[0] == pytest.approx(50 * 0.9 * start)
    best = extra / math.expm1(lam * extra / (k - 1)) - horizon - 1
    assert best > 5
    assert abs(day[1] - best) <= 1


@pytest.mark.parametrize("effect", [0.0, -0.5])
@pytest.mark.parametrize("cost", [0.0, 0.1])
def test_no_effect_is_never_worth_a_contact(effect: float, cost: float) -> None:
    """Not even a free one: the worlds are equal to the last digit."""
    customers = people(500) | {"discount": 0.0}
    day, value = best_contact_day(**customers, **CONTACT | {"effect": effect, "cost": cost})
    assert np.isnan(day).all()
    assert (value == 0).all()


def test_a_customer_who_always_leaves_is_never_contacted() -> None:
    day, value = best_contact_day(**people(50) | {"p": 1.0}, **CONTACT)
    assert np.isnan(day).all()
    assert (value == 0).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.05, 2.0), st.floats(0.5, 40.0))
def test_more_effect_and_less_cost_are_never_worth_less(
    seed: int, effect: float, decay: float
) -> None:
    customers = people(20, seed)
    # Without a discount: one may be lost on more customers than are won.
    customers["discount"] = 0.0
    contact = CONTACT | {"effect": effect, "decay": decay}
    _, value = best_contact_day(**customers, **contact)
    for better in ({"effect": effect * 1.2}, {"decay": decay * 1.2}, {"cost": 0.3}):
        _, more = best_contact_day(**customers, **contact | better)
        assert (more >= value - 1e-12).all()


def test_the_same_customers_in_any_split(monkeypatch: pytest.MonkeyPatch) -> None:
    customers = people(300)
    whole = best_contact_day(**customers, **CONTACT)
    parts = [
        best_contact_day(**{name: values[part] for name, values in customers.items()}, **CONTACT)
        for part in (slice(0, 1), slice(1, 170), slice(170, 300), slice(300, None))
    ]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(several))
    monkeypatch.setattr(_returns, "_CHUNK", 1)
    for one, other in zip(whole, best_contact_day(**customers, **CONTACT), strict=True):
        np.testing.assert_array_equal(one, other)


def test_numbers_stand_for_all_customers() -> None:
    customers = people(30) | {"margin": 40.0, "discount": 1.0, "k": 2}
    arrays = customers | {"margin": np.full(30, 40.0), "discount": np.ones(30), "k": np.full(30, 2)}
    for one, other in zip(
        best_contact_day(**customers, **CONTACT),
        best_contact_day(**arrays, **CONTACT),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_memory_stays_bounded() -> None:
    """10,000 customers by 180 days would be 14 MB an array."""
    contact = CONTACT | {"cumulative": clock(400), "horizon": 60, "latest": 180}
    customers = people(10_000)
    tracemalloc.start()
    best_contact_day(**customers, **contact)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 14e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last_order": [3.0, np.nan]}, "last_order is nan at row 1 .* must be present"),
        ({"last_order": -0.5}, "last_order is -0.5 .* must be >= 0"),
        (
            {"last_order": [3.0, 95.0]},
            "the clock ends at day 160; let it run to day 161, where the horizon ends",
        ),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        best_contact_day(**people(2) | change, **CONTACT)


def test_the_clock_may_end_with_the_last_horizon() -> None:
    customers = people(2) | {"last_order": [3.0, 94.9]}
    shorter = best_contact_day(**customers, **CONTACT)
    longer = best_contact_day(**customers, **CONTACT | {"cumulative": clock(400)})
    np.testing.assert_allclose(shorter, longer, rtol=1e-13)
    assert (longer[1] > 0).all()
