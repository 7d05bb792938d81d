from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

import touchpoint_lib as tp
from tests.timing.timing_oracle import START, day_of_rate, judge, mbg_log, random_log, spells_of

MBG = tp.ModifiedBetaGeoModel.from_params((0.9, 20.0, 0.9, 4.0), "D")
MONEY = tp.ContactMoney(margin=30, win_back=0.2, cost=0.5, discount=5)
SHORT = {"horizon": 30, "lapse": 110, "deadline": 70}
RATES = ["contacts_per_1000", "error_rate", "omission_rate", "mean_silence", "median_silence"]


def oracle_spells(log, until=None):
    rows = [(row.customer_id, row.date.date(), row.amount) for row in log.itertuples()]
    return spells_of(rows, until or max(day for _, day, _ in rows))


class Given:
    """A policy of somebody else: days by customer and purchase day; it notes whom it saw."""

    def __init__(self, days: Any) -> None:
        self.days = days
        self.learned: pd.DataFrame | None = None
        self.scored: pd.DataFrame | None = None

    def silence(self, spells: pd.DataFrame) -> Any:
        # It is asked again about a few customers.
        self.scored = spells if self.scored is None else self.scored
        return self.days(spells)


class Learns(Given):
    def fit(self, spells: pd.DataFrame) -> Learns:
        self.learned = spells
        return self


def told(spells: pd.DataFrame, days: Any) -> Given:
    """Return a policy that was told the day of each spell by an oracle."""
    table = pd.Series(days, index=[spells.index, spells["start"]])
    return Given(lambda asked: table.loc[list(zip(asked.index, asked["start"], strict=True))])


def odd_days(spells: pd.DataFrame) -> Any:
    """Some day of each spell, never for some, 0 for some; a function of customer and day."""
    number = pd.util.hash_pandas_object(spells["start"]).to_numpy() % 97
    number = number + pd.util.hash_array(np.asarray(spells.index, dtype=object)) % 53
    days = (number % 90).astype(float)
    days[number % 11 == 0] = math.inf
    return days


def row_of(result, name):
    table = result.to_frame()
    return table[table["policy"] == name].iloc[0]


def assert_row(result, name, expected, money=False):
    row = row_of(result, name)
    assert row["n_spells"] == result.n_spells == expected["n_spells"]
    assert result.n_lapsed == expected["n_lapsed"]
    assert row["n_contacted"] == expected["n_contacted"]
    for column in [*RATES, "money_per_1000"] if money else RATES:
        wanted = pytest.approx(expected[column], rel=1e-10, abs=1e-9, nan_ok=True)
        assert row[column] == wanted, column
    fixed = day_of_rate(result.fixed["error_rate"].tolist(), row["error_rate"])
    assert row["fixed_days"] == pytest.approx(fixed, rel=1e-9, nan_ok=True)
    earlier = pytest.approx(fixed - expected["mean_silence"], rel=1e-9, abs=1e-9, nan_ok=True)
    assert row["days_earlier"] == earlier


# --- against a recount ---------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    horizon=st.integers(1, 60),
    deadline=st.integers(1, 90),
    more=st.integers(1, 60),
)
def test_a_policy_is_counted_spell_by_spell(seed, horizon, deadline, more):
    log = random_log(seed, 60)
    policies = {"odd": Given(odd_days), "thirty": tp.FixedDays(30)}
    result = tp.backtest_timing(
        log, policies, horizon, deadline + more, deadline, fit_share=0, money=MONEY
    )
    spells = oracle_spells(log)
    seen = policies["odd"].scored
    assert len(seen) == len(spells)
    assert result.n_undecided == len(spells) - result.n_spells
    for name, days in (("odd", odd_days(seen)), ("thirty", [30.0] * len(spells))):
        contacts = [([day], [0.2]) for day in days]
        expected = judge(
            spells, contacts, horizon, deadline + more, deadline, MONEY, lambda _: 30, lambda _: 5
        )
        assert_row(result, name, expected, money=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("until", [None, START + pd.Timedelta(days=400)])
def test_policies_of_the_library_are_counted_spell_by_spell(seed, until):
    log = random_log(seed, 80)
    policies = [
        tp.OwnMeanGap(2, otherwise=40),
        tp.OwnGapQuantile(0.8, otherwise=40),
        tp.OwnReturn(MBG, 0.3, horizon=30),
        tp.MoneyRule(MBG, MONEY, horizon=30),
    ]
    result = tp.backtest_timing(log, policies, **SHORT, fit_share=0, until=until)
    spells = oracle_spells(log, None if until is None else until.date())
    table = tp.purchase_spells(log, until=until)
    assert result.n_customers == len(
        {spell["customer"] for spell in spells if spell["observed"] >= SHORT["lapse"]}
    )
    for policy in policies:
        contacts = [([day], [0.0]) for day in policy.silence(table)]
        assert_row(result, str(policy), judge(spells, contacts, **SHORT))


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_a_programme_is_counted_contact_by_contact(seed):
    log = random_log(seed, 80)
    ids = sorted(log["customer_id"].unique())
    margin = pd.Series(np.resize([10.0, 40.0, 100.0], len(ids)), index=ids)
    discount = pd.Series(np.resize([0.0, 6.0], len(ids)), index=ids)
    money = tp.ContactMoney(margin=margin, win_back=0.3, cost=0.7, discount=discount)
    programme = tp.ContactProgramme(
        MBG, money, horizon=30, step=7, window=21, cap=2, latest=100, fatigue=0.6
    )
    policies = [programme, tp.MoneyRule(MBG, money, horizon=30), tp.FixedDays(25)]
    result = tp.backtest_timing(log, policies, **SHORT, fit_share=0, money=money)
    spells, table = oracle_spells(log), tp.purchase_spells(log)
    days, chances = programme.plan(table)
    assert (np.isfinite(days).sum(axis=1) > 2).any()
    every = {str(programme): list(zip(days, chances, strict=True))}
    for policy in policies[1:]:
        every[str(policy)] = [([day], [0.3]) for day in policy.silence(table)]
    for name, contacts in every.items():
        expected = judge(
            spells, contacts, **SHORT, money=money, margin_of=margin.get, discount_of=discount.get
        )
        assert_row(result, name, expected, money=True)
    # Further contacts are counted as contacts, not as contacted spells.
    row = row_of(result, str(programme))
    assert row["contacts_per_1000"] > 1000 * row["n_contacted"] / row["n_spells"]


def test_all_policies_are_paid_by_the_same_chance():
    """The money of the back-test is the truth; what a programme believes only moves its days."""
    log = random_log(7, 80)
    believed = tp.ContactMoney(margin=60, win_back=0.1, cost=0.5, discount=5)
    true = dataclasses.replace(believed, win_back=0.4)
    programme = tp.ContactProgramme(
        MBG, believed, horizon=30, step=10, window=100, cap=1, latest=100
    )
    same_days = Given(programme.silence)
    result = tp.backtest_timing(
        log, {"programme": programme, "its days": same_days}, **SHORT, fit_share=0, money=true
    )
    assert (programme.silence(same_days.scored) <= SHORT["deadline"]).any()
    # With one contact in 100 days at most, the days up to the deadline have one.
    table = result.to_frame().set_index("policy")
    assert table.loc["programme", "contacts_per_1000"] == table.loc["its days", "contacts_per_1000"]
    assert table.loc["programme", "money_per_1000"] == pytest.approx(
        table.loc["its days", "money_per_1000"]
    )


@pytest.mark.parametrize("seed", [8, 9])
def test_the_baseline_is_every_number_of_days(seed):
    log = random_log(seed, 70)
    ids = sorted(log["customer_id"].unique())
    margin = pd.Series(np.resize([10.0, 40.0], len(ids)), index=ids)
    money = tp.ContactMoney(margin=margin, win_back=0.3, cost=0.7, discount=4)
    policies = [tp.FixedDays(day) for day in range(1, SHORT["deadline"] + 1)]
    result = tp.backtest_timing(log, policies, **SHORT, fit_share=0.3, money=money)
    table, fixed = result.to_frame(), result.fixed
    assert fixed["days"].tolist() == list(range(1, SHORT["deadline"] + 1))
    for name in ("contacts_per_1000", "error_rate", "omission_rate", "money_per_1000"):
        np.testing.assert_allclose(fixed[name], table[name], rtol=1e-10, err_msg=name)
    assert table["mean_silence"].tolist() == fixed["days"].tolist()
    # A fixed number of days is its own equal, unless fewer have as low an error rate.
    error = fixed["error_rate"].to_numpy()
    lower = np.append(True, error[1:] < np.minimum.accumulate(error)[:-1])
    assert lower.sum() > 20
    np.testing.assert_allclose(table["fixed_days"][lower], fixed["days"][lower], rtol=1e-9)
    assert (table["fixed_days"] <= fixed["days"] + 1e-9).all()
    assert "money_per_1000" not in tp.backtest_timing(log, policies[:1], **SHORT).fixed


# --- borders -----------------------------------------------------------------------------------


def first_gaps(gaps):
    """A log in which only the first spells are old enough: one gap a customer, inf for none."""
    rows = []
    for number, gap in enumerate(gaps):
        rows.append((f"c{number:03d}", START, 1.0))
        if gap < math.inf:
            rows.append((f"c{number:03d}", START + pd.Timedelta(days=gap), 1.0))
    return pd.DataFrame(rows, columns=["customer_id", "date", "amount"])


def counts(gap, policy, horizon=40, lapse=100, deadline=60, **keep):
    """Contacted, error and omission rate where all customers have the same gap."""
    until = START + pd.Timedelta(days=max(lapse, deadline + horizon))
    result = tp.backtest_timing(
        first_gaps([gap] * 25),
        {"one": policy},
        horizon,
        lapse,
        deadline,
        fit_share=0,
        until=until,
        **keep,
    )
    assert result.n_spells == 25
    row = row_of(result, "one")
    return row["n_contacted"], row["error_rate"], row["omission_rate"]


NAN = pytest.approx(math.nan, nan_ok=True)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (29, (0, NAN, NAN)),
        (30, (0, NAN, NAN)),  # comes on the day of the contact: none is made
        (31, (25, 1.0, NAN)),
        (70, (25, 1.0, NAN)),  # silence + horizon: still wasted
        (71, (25, 0.0, NAN)),
        (100, (25, 0.0, NAN)),  # lapse: not lapsed yet
        (math.inf, (25, 0.0, 0.0)),
    ],
)
def test_borders_of_the_gap(gap, expected):
    assert counts(gap, tp.FixedDays(30)) == expected


@pytest.mark.parametrize(("day", "expected"), [(60, (25, 0.0, 0.0)), (61, (0, NAN, 1.0))])
def test_borders_of_the_deadline(day, expected):
    assert counts(math.inf, tp.FixedDays(day)) == expected


def test_a_gap_of_lapse_and_one_more_day_has_lapsed():
    log = pd.concat([first_gaps([100] * 10 + [101] * 15), first_gaps([math.inf] * 25)])
    until = START + pd.Timedelta(days=150)
    result = tp.backtest_timing(log, [tp.FixedDays(30)], 40, 100, 60, fit_share=0, until=until)
    assert (result.n_spells, result.n_lapsed) == (25, 15)


@pytest.mark.parametrize(
    ("horizon", "lapse", "deadline", "need"), [(40, 120, 60, 120), (90, 100, 60, 150)]
)
def test_spells_are_scored_that_began_early_enough(horizon, lapse, deadline, need):
    log = first_gaps([math.inf] * 25)
    keep = {"fit_share": 0, "horizon": horizon, "lapse": lapse, "deadline": deadline}
    until = START + pd.Timedelta(days=need)
    result = tp.backtest_timing(log, [tp.FixedDays(30)], until=until, **keep)
    assert (result.n_spells, result.n_undecided) == (25, 0)
    with pytest.raises(tp.InputError, match=f"no spell is {need} days older"):
        tp.backtest_timing(log, [tp.FixedDays(30)], until=until - pd.Timedelta(days=1), **keep)


def test_spells_that_are_not_decided_are_left_out_whatever_came():
    """The second spells began too late, also those that ended early."""
    log = first_gaps([20.0] * 30)
    again = log[log["date"] > START].assign(date=START + pd.Timedelta(days=25))
    until = START + pd.Timedelta(days=105)
    both = pd.concat([log, again])
    result = tp.backtest_timing(both, [tp.FixedDays(3)], 40, 100, 60, fit_share=0, until=until)
    assert (result.n_spells, result.n_undecided, result.n_customers) == (30, 60, 30)
    assert row_of(result, "3 days")["n_contacted"] == 30


# --- who learns and who is scored ----------------------------------------------------------------


@pytest.mark.parametrize(("share", "n_learn"), [(0.5, 40), (0.25, 20), (0.0, 0)])
def test_nobody_is_learned_from_and_scored(share, n_learn):
    log = random_log(11, 80)
    policy = Learns(lambda spells: np.full(len(spells), 30.0))
    result = tp.backtest_timing(log, {"it": policy}, **SHORT, fit_share=share, seed=3)
    everybody = tp.purchase_spells(log)
    scored = set(policy.scored.index)
    learned = set() if policy.learned is None else set(policy.learned.index)
    assert not scored & learned
    assert scored | learned == set(everybody.index)
    assert len(learned) == result.n_fitted == n_learn
    # Each with all their spells.
    for seen in [policy.scored] + ([] if policy.learned is None else [policy.learned]):
        pd.testing.assert_frame_equal(seen, everybody[everybody.index.isin(seen.index)])
    known = policy.scored[policy.scored["observed"] >= SHORT["lapse"]]
    assert result.n_spells == len(known)
    assert result.n_customers == known.index.nunique()
    assert result.n_undecided == len(policy.scored) - len(known)
    assert result.n_lapsed == (known["gap"] > SHORT["lapse"]).sum()


def test_the_split_is_that_of_the_seed():
    log = random_log(12, 80)
    seen = []
    for seed in (0, 0, 1):
        policy = Learns(lambda spells: np.full(len(spells), 30.0))
        tp.backtest_timing(log, {"it": policy}, **SHORT, seed=seed)
        seen.append(set(policy.learned.index))
    assert seen[0] == seen[1] != seen[2]


def test_policies_learn_from_the_customers_put_aside():
    log = random_log(13, 120)
    note = Learns(lambda spells: np.full(len(spells), 30.0))
    frequency = tp.OwnReturnFrequency()
    policies = {
        "note": note,
        "gap": tp.OwnGapQuantile(0.7),
        "mean": tp.OwnMeanGap(1.5),
        "return": tp.OwnReturn(frequency, 0.3, horizon=30, latest=70),
        "shrunken": tp.ShrunkenQuantile(0.7),
    }
    result = tp.backtest_timing(log, policies, **SHORT)
    scored = set(note.scored.index)
    spells = [spell for spell in oracle_spells(log) if spell["customer"] in scored]
    for name in ("gap", "mean", "return", "shrunken"):
        days = policies[name].fit(note.learned).silence(note.scored)
        contacts = [([day], [0.0]) for day in days]
        assert_row(result, name, judge(spells, contacts, **SHORT))
    assert not hasattr(frequency, "last_")


def test_with_nobody_to_learn_from_policies_must_be_fitted():
    with pytest.raises(tp.InputError, match=r"call fit\("):
        tp.backtest_timing(random_log(1, 40), [tp.OwnMeanGap(2)], **SHORT, fit_share=0)


# --- intervals ---------------------------------------------------------------------------------


def test_intervals_are_those_of_the_seed_and_widen_with_the_level():
    log = random_log(14, 100)
    policies = [tp.FixedDays(20), tp.OwnReturn(MBG, 0.3, horizon=30)]
    keep = {**SHORT, "fit_share": 0, "money": MONEY}
    first, again, other = (tp.backtest_timing(log, policies, **keep, seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first.to_frame(), again.to_frame())
    bounds = [name for name in first.to_frame() if name.endswith(("_low", "_high"))]
    assert len(bounds) == 10
    points = [name for name in first.to_frame() if name not in bounds]
    # With everybody scored the seed moves the bounds alone.
    pd.testing.assert_frame_equal(first.to_frame()[points], other.to_frame()[points])
    assert not first.to_frame()[bounds].equals(other.to_frame()[bounds])
    narrow = tp.backtest_timing(log, policies, **keep, level=0.5).to_frame()
    table = first.to_frame()
    for name in ("error_rate", "mean_silence", "days_earlier", "money_per_1000"):
        low, high = table[f"{name}_low"], table[f"{name}_high"]
        assert (low <= table[name]).all()
        assert (table[name] <= high).all()
        assert (low <= narrow[f"{name}_low"]).all()
        assert (narrow[f"{name}_high"] <= high).all()
    assert (table["error_rate_low"] < table["error_rate_high"]).all()
    assert (table["money_per_1000_low"] < table["money_per_1000_high"]).all()


def test_intervals_narrow_with_the_number_of_customers():
    """Four times the customers halve the width."""
    log = random_log(15, 60)
    copies = [log.assign(customer_id=log["customer_id"] + f"-{n}") for n in range(4)]
    keep = {**SHORT, "fit_share": 0}
    one = tp.backtest_timing(log, [tp.FixedDays(20)], **keep).to_frame().iloc[0]
    four = tp.backtest_timing(pd.concat(copies), [tp.FixedDays(20)], **keep).to_frame().iloc[0]
    assert four["error_rate"] == pytest.approx(one["error_rate"])
    width = [row["error_rate_high"] - row["error_rate_low"] for row in (one, four)]
    assert width[1] / width[0] == pytest.approx(0.5, rel=0.15)


def steady_log():
    """Customers all of whose gaps are alike: as many spells tell no more than the customer."""
    rows = []
    for number in range(80):
        gap = 25 if number % 2 else 60
        rows += [(f"c{number:02d}", START + pd.Timedelta(days=day)) for day in range(0, 400, gap)]
    return pd.DataFrame(rows, columns=["customer_id", "date"]).assign(amount=1.0)


@pytest.mark.parametrize("log", [random_log(16, 120), steady_log()], ids=["random", "steady"])
def test_the_bounds_are_those_of_a_bootstrap_of_customers(log):
    spells = [s for s in oracle_spells(log) if s["observed"] >= SHORT["lapse"]]
    by_customer: dict[str, list[float]] = {}
    for spell in spells:
        made = spell["gap"] > 20
        entry = by_customer.setdefault(spell["customer"], [0.0, 0.0])
        entry[0] += made
        entry[1] += made and spell["gap"] <= 20 + SHORT["horizon"]
    sums = np.array(list(by_customer.values()))
    rng = np.random.default_rng(17)
    drawn = sums[rng.integers(0, len(sums), (20_000, len(sums)))].sum(axis=1)
    expected = np.quantile(drawn[:, 1] / drawn[:, 0], [0.025, 0.975])
    row = tp.backtest_timing(log, [tp.FixedDays(20)], **SHORT, fit_share=0).to_frame().iloc[0]
    # The error of a quantile of 1,000 draws is some 0.08 standard deviations.
    spread = (expected[1] - expected[0]) / 4
    assert row["error_rate_low"] == pytest.approx(expected[0], abs=0.35 * spread)
    assert row["error_rate_high"] == pytest.approx(expected[1], abs=0.35 * spread)


PARAMS = (0.9, 20.0, 0.9, 4.0)


@pytest.mark.slow
def test_intervals_cover(monkeypatch):
    """200 logs of 250 customers; the truth is the rate of 100,000 other customers."""
    policies = [tp.FixedDays(25), tp.OwnReturn(MBG, 0.35, horizon=30)]
    keep = {**SHORT, "fit_share": 0, "amount": None}
    until = START + pd.Timedelta(days=260)
    many = tp.backtest_timing(mbg_log(PARAMS, 100_000, 260, 1, arrive=60), policies, **keep)
    truth = many.to_frame()["error_rate"].to_numpy()
    spells = tp.purchase_spells(
        mbg_log(PARAMS, 50_000, 260, 2, arrive=60), amount=None, until=until
    )
    # The log is read once, and not 200 times.
    monkeypatch.setattr("touchpoint_lib.timing.backtest.purchase_spells", lambda log, *_: log)
    covered = np.zeros(2)
    for seed in range(200):
        some = spells[(spells.index >= 250 * seed) & (spells.index < 250 * (seed + 1))]
        table = tp.backtest_timing(some, policies, **keep, seed=seed).to_frame()
        covered += (table["error_rate_low"] <= truth) & (truth <= table["error_rate_high"])
    # Percentiles of small samples cover a little less than they promise.
    assert (covered >= binom.ppf(0.001, 200, 0.935)).all(), covered
    assert (covered <= binom.ppf(0.999, 200, 0.965)).all(), covered


def test_of_very_many_customers_groups_are_drawn(monkeypatch):
    log = random_log(18, 400)
    keep = {**SHORT, "fit_share": 0}
    alone = tp.backtest_timing(log, [tp.FixedDays(20)], **keep).to_frame().iloc[0]
    monkeypatch.setattr("touchpoint_lib.timing.backtest._MOST_GROUPS", 100)
    grouped = tp.backtest_timing(log, [tp.FixedDays(20)], **keep).to_frame().iloc[0]
    for name in [*RATES, "fixed_days"]:
        assert grouped[name] == pytest.approx(alone[name], rel=1e-12)
    width = [row["error_rate_high"] - row["error_rate_low"] for row in (alone, grouped)]
    assert width[1] / width[0] == pytest.approx(1, rel=0.35)
    assert width[0] != width[1]


# --- what comes out ------------------------------------------------------------------------------


def test_columns_and_counts():
    log = random_log(19, 60)
    result = tp.backtest_timing(log, [tp.FixedDays(20), tp.OwnMeanGap(2)], **SHORT)
    around = [f"{name}{end}" for name in RATES[1:3] for end in ("", "_low", "_high")]
    assert result.to_frame().columns.tolist() == [
        "policy",
        "n_spells",
        "n_contacted",
        "contacts_per_1000",
        *around,
        "mean_silence",
        "median_silence",
        "mean_silence_low",
        "mean_silence_high",
        "fixed_days",
        "days_earlier",
        "days_earlier_low",
        "days_earlier_high",
    ]
    assert (result.horizon, result.lapse, result.deadline, result.level) == (30, 110, 70, 0.95)
    assert repr(result) == (
        f"TimingBacktest(2 policies, {result.n_spells} spells of {result.n_customers} customers, "
        f"{result.n_lapsed} lapsed)"
    )
    assert repr(result) in result._repr_html_()
    assert "20 days" in result._repr_html_()
    # The frame is a copy.
    table = result.to_frame()
    table["policy"] = "x"
    assert result.to_frame()["policy"].tolist() == ["20 days", "2 x own mean gap"]


def test_rates_without_a_case_are_missing():
    never = Given(lambda spells: np.full(len(spells), math.inf))
    log = random_log(20, 60)
    result = tp.backtest_timing(log, {"never": never}, **SHORT, fit_share=0, money=MONEY)
    row = row_of(result, "never")
    assert row["n_contacted"] == row["contacts_per_1000"] == row["money_per_1000"] == 0
    assert row["omission_rate"] == row["omission_rate_high"] == 1
    for name in ("error_rate", "mean_silence", "fixed_days", "days_earlier"):
        assert math.isnan(row[name])
    for name in ("error_rate", "mean_silence", "days_earlier"):
        assert math.isnan(row[f"{name}_low"])
        assert math.isnan(row[f"{name}_high"])
    assert math.isnan(row["median_silence"])


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_rates_of_none_and_all_have_the_bounds_of_wilson(level):
    """Resamples cannot draw what never was: of k = 0 or n, they are 0 to z2 / (n + z2) from it."""
    log = random_log(20, 60)
    spells = tp.purchase_spells(log)
    policies = {
        "never": Given(lambda spells: np.full(len(spells), math.inf)),
        "knows": told(spells, np.where(spells["gap"] > 40, 9.0, math.inf)),
        "fails": told(spells, np.where(spells["gap"] <= 39, 9.0, math.inf)),
    }
    result = tp.backtest_timing(log, policies, **SHORT, fit_share=0, level=level)
    z2 = norm.ppf((1 + level) / 2) ** 2

    def bounds(policy, name):
        row = row_of(result, policy)
        return row[name], row[f"{name}_low"], row[f"{name}_high"]

    lapsed = z2 / (result.n_lapsed + z2)
    assert bounds("never", "omission_rate") == pytest.approx((1, 1 - lapsed, 1))
    assert bounds("knows", "omission_rate") == pytest.approx((0, 0, lapsed))
    for policy, rate in (("knows", 0), ("fails", 1)):
        width = z2 / (row_of(result, policy)["n_contacted"] + z2)
        expected = (0, 0, width) if rate == 0 else (1, 1 - width, 1)
        assert bounds(policy, "error_rate") == pytest.approx(expected)


def test_without_a_lapse_there_is_nothing_to_omit():
    log = first_gaps([50.0] * 30)
    until = START + pd.Timedelta(days=100)
    result = tp.backtest_timing(log, [tp.FixedDays(20)], 40, 100, 60, fit_share=0, until=until)
    row = row_of(result, "20 days")
    assert result.n_lapsed == 0
    assert row["error_rate"] == 1
    assert math.isnan(row["omission_rate"])
    assert math.isnan(row["mean_silence"])
    assert result.fixed["omission_rate"].isna().all()
    # From day 50 on there is nobody to contact.
    assert result.fixed["error_rate"].isna().tolist() == [False] * 49 + [True] * 11


def test_an_error_rate_below_all_fixed_days_has_no_equal():
    """A policy that knows who returns."""
    log = first_gaps([40.0 + i % 30 for i in range(30)] + [math.inf] * 10)
    until = START + pd.Timedelta(days=130)

    spells = tp.purchase_spells(log, until=until)
    knows = told(spells, np.where(np.isinf(spells["gap"]), 5.0, math.inf))
    result = tp.backtest_timing(log, {"knows": knows}, 70, 130, 20, fit_share=0, until=until)
    row = row_of(result, "knows")
    assert (row["error_rate"], row["omission_rate"], row["mean_silence"]) == (0, 0, 5)
    assert row["fixed_days"] == row["days_earlier"] == row["days_earlier_high"] == math.inf


def test_policies_may_be_a_list_a_dict_or_any_iterable():
    log, keep = random_log(21, 60), {**SHORT, "fit_share": 0}
    policies = [tp.FixedDays(20), tp.FixedDays(40)]
    listed = tp.backtest_timing(log, policies, **keep).to_frame()
    for other in (tuple(policies), iter(policies), {str(p): p for p in policies}):
        pd.testing.assert_frame_equal(tp.backtest_timing(log, other, **keep).to_frame(), listed)
    named = tp.backtest_timing(log, {"a": policies[0], 2: policies[1]}, **keep).to_frame()
    assert named["policy"].tolist() == ["a", "2"]


def test_the_log_is_read_as_by_the_summary():
    log = random_log(22, 60)
    other = log.rename(columns={"customer_id": "who", "date": "at", "amount": "paid"})
    other.loc[len(other)] = [None, START, 1.0]
    one = tp.backtest_timing(log, [tp.FixedDays(20)], **SHORT)
    two = tp.backtest_timing(
        other, [tp.FixedDays(20)], **SHORT, customer="who", time="at", amount="paid", on_bad="drop"
    )
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (lambda s: np.where(np.arange(len(s)) == 4, np.nan, 9.0), ["nan at row 4", "'odd'"]),
        (lambda s: np.full(len(s), 9.5), ["'odd' returned 9.5 days", "whole days"]),
        (lambda s: np.full(len(s), -1.0), ["'odd' is -1 at row 0", ">= 0"]),
        (lambda s: np.full(len(s), -np.inf), ["'odd' is -inf"]),
        (lambda s: np.full(len(s) - 1, 9.0), ["'odd' returned shape", "one day a spell"]),
        (lambda s: np.full((len(s), 1), 9.0), ["'odd' returned shape"]),
        (lambda _: 9.0, ["'odd' returned shape ()"]),
        (lambda s: ["soon"] * len(s), ["'odd' is not numeric"]),
        (lambda _: None, ["'odd'"]),
    ],
)
def test_policies_that_return_no_days_are_refused(days, words):
    with pytest.raises(tp.InputError) as caught:
        tp.backtest_timing(random_log(1, 60), {"odd": Given(days)}, **SHORT)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_fit_that_returns_no_policy_is_refused():
    class Forgets(Given):
        def fit(self, spells):
            self.learned = spells

    with pytest.raises(tp.InputError, match="'odd'"):
        tp.backtest_timing(random_log(1, 60), {"odd": Forgets(odd_days)}, **SHORT)


@pytest.mark.parametrize("column", ["gap", "observed"])
def test_a_policy_that_looks_ahead_is_refused(column):
    policy = Given(lambda spells: np.where(spells[column] > 60, 5.0, math.inf))
    with pytest.raises(tp.InputError, match=r"'cheat' names day .* nothing is known but the past"):
        tp.backtest_timing(random_log(1, 60), {"cheat": policy}, **SHORT)


def test_a_policy_that_looks_at_others_is_refused():
    policy = Given(lambda spells: np.full(len(spells), float(len(spells) % 50)))
    with pytest.raises(tp.InputError, match="nor other customers"):
        tp.backtest_timing(random_log(1, 60), {"crowd": policy}, **SHORT)


def test_a_share_that_is_nobody_is_refused():
    with pytest.raises(tp.InputError, match=r"fit_share is 0\.001 of 60 customers"):
        tp.backtest_timing(random_log(1, 60), {"it": tp.FixedDays(9)}, **SHORT, fit_share=0.001)


def test_days_may_be_a_list_or_series():
    log, keep = random_log(1, 60), {**SHORT, "fit_share": 0}
    expected = tp.backtest_timing(log, {"it": tp.FixedDays(9)}, **keep).to_frame()
    for days in (lambda s: [9] * len(s), lambda s: pd.Series(9, index=s.index)):
        got = tp.backtest_timing(log, {"it": Given(days)}, **keep).to_frame()
        pd.testing.assert_frame_equal(got, expected)


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ([], ["policies is empty"]),
        ({}, ["policies is empty"]),
        (tp.FixedDays(9), ["policies is a FixedDays", "dict"]),
        (7, ["policies is a int"]),
        ([tp.FixedDays(9), tp.FixedDays(9)], ["same name", "dict"]),
        ({1: tp.FixedDays(9), "1": tp.FixedDays(10)}, ["same name"]),
        ([tp.FixedDays], ["silence(spells)"]),
        ({"soon": 9}, ["policy 'soon' is 9", "silence(spells)"]),
        ("now", ["silence(spells)"]),
    ],
)
def test_other_policies_are_refused(policies, words):
    with pytest.raises(tp.InputError) as caught:
        tp.backtest_timing(random_log(1, 60), policies, **SHORT)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"horizon": 0}, ["horizon is 0", ">= 1"]),
        ({"horizon": 1.5}, ["horizon is 1.5", "whole"]),
        ({"lapse": "90"}, ["lapse is '90'", "number"]),
        ({"deadline": 0}, ["deadline is 0", ">= 1"]),
        ({"deadline": 110}, ["deadline is 110 and lapse is 110", "before"]),
        ({"fit_share": 1}, ["fit_share is 1", "< 1"]),
        ({"fit_share": -0.1}, ["fit_share is -0.1", ">= 0"]),
        ({"fit_share": 0.9}, ["6 of 60 customers are left", "at least 20"]),
        ({"seed": -1}, ["seed is -1"]),
        ({"seed": 0.5}, ["seed is 0.5", "whole"]),
        ({"level": 0}, ["level is 0", "> 0"]),
        ({"level": 1}, ["level is 1", "< 1"]),
        ({"money": 5}, ["money is a int", "ContactMoney"]),
        ({"lapse": 900}, ["no spell is 900 days older"]),
        ({"customer": "who"}, ["who"]),
        ({"until": "2020-01-01"}, ["until", "before the first purchase"]),
        ({"returns": "keep"}, ["returns is 'keep'"]),
    ],
)
def test_arguments_out_of_bounds_are_refused(keep, words):
    with pytest.raises(tp.InputError) as caught:
        tp.backtest_timing(random_log(1, 60), [tp.FixedDays(9)], **{**SHORT, **keep})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_customers_without_money_are_named():
    log = random_log(1, 60)
    margin = pd.Series(5.0, index=sorted(log["customer_id"].unique())[:30])
    money = tp.ContactMoney(margin=margin, win_back=0.1)
    with pytest.raises(tp.InputError, match="margin has no value of customer 'c00"):
        tp.backtest_timing(log, [tp.FixedDays(9)], **SHORT, money=money)
