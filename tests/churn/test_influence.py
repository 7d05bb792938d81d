"""Influence: known shares found, twins alike, noise told from signal, intervals that hold."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchpoint_lib import InputError
from touchpoint_lib.churn._alone import classes, explain_alone
from touchpoint_lib.churn._boosting import grow_trees
from touchpoint_lib.churn._cross_fit import Scores
from touchpoint_lib.churn._groups import alikeness, clusters
from touchpoint_lib.churn._permutation import permuted_losses, shuffle_within
from touchpoint_lib.churn._shares import measure
from touchpoint_lib.churn.influence import Influence, indicator_deciles, influence
from touchpoint_lib.metrics._shared import wilson_interval

COEFFICIENTS = np.array([1.2, 0.8, 0.5])
TWINS = ["x0", "x3", "x4", "x5"]


def shop(n, seed, p=40):
    """x0, x1 and x2 drive the outcome; x3 and x4 are noisy twins of x0, x5 an exact one."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, p))
    data[:, 3] = data[:, 0] + 0.5 * rng.normal(size=n)
    data[:, 4] = data[:, 0] + 0.5 * rng.normal(size=n)
    data[:, 5] = data[:, 0]
    odds = data[:, :3] @ COEFFICIENTS - 0.5
    outcome = rng.random(n) < 1 / (1 + np.exp(-odds))
    return pd.DataFrame(data, columns=[f"x{i}" for i in range(p)]), outcome


def true_shares(n=200_000):
    """The shares of x0, x1 and x2 if the true log-odds are permuted, and the share explained."""
    rng = np.random.default_rng(99)
    data = rng.normal(size=(n, 3))

    def loss(columns):
        odds = columns @ COEFFICIENTS - 0.5
        return (np.logaddexp(0, odds) - chance * odds).mean()

    chance = 1 / (1 + np.exp(0.5 - data @ COEFFICIENTS))
    least = loss(data)
    increase = []
    for column in range(3):
        moved = data.copy()
        moved[:, column] = rng.permutation(moved[:, column])
        increase.append(loss(moved) - least)
    rate = chance.mean()
    null = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    return np.array(increase) / sum(increase), 1 - least / null


@pytest.fixture(scope="module")
def found():
    return influence(*shop(4000, 1))


@pytest.fixture(scope="module")
def small():
    """Three columns, one of them noise, and a constant one; groups of one column."""
    frame, outcome = shop(900, 5, p=6)
    frame = frame[["x0", "x1"]].assign(noise=frame["x4"].sample(frac=1, random_state=1).to_numpy())
    return frame, outcome


# --- shares -------------------------------------------------------------------------------------


def test_groups_get_their_true_shares(found):
    shares, explained = true_shares()
    table = found.groups
    assert table.index[:3].tolist() == ["x0", "x1", "x2"]
    assert table["n_columns"].tolist()[:3] == [4, 1, 1]
    assert table["share"].iloc[:3].to_numpy() == pytest.approx(shares, abs=0.08)
    assert table["share"].iloc[3:].sum() < 0.02
    # Trees on 2,000 customers explain most of what can be explained.
    assert 0.75 * explained < found.explained < explained
    assert found.explained_low < found.explained < found.explained_high


def test_shares_sum_to_one_and_lie_between_their_bounds(found):
    for table in (found.columns, found.groups):
        assert table["share"].sum() == pytest.approx(1)
        assert (table["share_low"] <= table["share"]).all()
        assert (table["share"] <= table["share_high"]).all()
        assert table["share"].between(0, 1).all()
        assert table["share"].is_monotonic_decreasing
    assert ((found.groups["loss_increase"] > 0) == (found.groups["share"] > 0)).all()
    by_group = found.columns.groupby("group")[["share", "loss_increase"]].sum()
    for name in ("share", "loss_increase"):
        assert by_group[name].to_dict() == pytest.approx(found.groups[name].to_dict(), abs=1e-12)


def test_twins_share_a_group_and_exact_ones_share_alike(found):
    columns = found.columns
    assert set(columns.index[columns["group"] == "x0"]) == set(TWINS)
    assert columns.loc["x0", "share"] == columns.loc["x5", "share"]
    exact, noisy = columns.loc["x0", "share"], columns.loc[["x3", "x4"], "share"]
    assert (noisy < exact).all()
    assert (noisy > exact / 2).all()
    assert found.groups.loc["x0", "leading"] == "x0"


def test_noise_is_told_from_signal():
    wrong = told = 0
    for seed in range(4):
        frame, outcome = shop(2000, seed, p=26)
        result = influence(frame, outcome, seed=seed)
        real = result.columns["group"].isin(["x0", "x1", "x2"])
        assert result.columns.loc[real, "signal"].all()
        wrong += int(result.columns.loc[~real, "signal"].sum())
        told += int((~real).sum())
        assert result.noise == max(result.groups["shadow"].max(), 0)
    assert told == 80
    assert wrong <= 0.05 * told


def test_noise_in_a_group_of_signals_is_no_signal():
    frame, outcome = shop(2000, 3, p=12)
    result = influence(frame, outcome, groups=dict.fromkeys(frame, "all"))
    assert result.groups["share"].tolist() == [1]
    signal = result.columns["signal"]
    assert signal[["x0", "x1", "x2", "x3", "x4", "x5"]].all()
    assert signal.drop(["x0", "x1", "x2", "x3", "x4", "x5"]).sum() <= 1
    assert result.columns.loc["x0", "share"] == result.columns.loc["x5", "share"]


def test_what_a_column_explains_alone_and_its_direction():
    frame, outcome = shop(4000, 2, p=6)
    frame["x1"] = -frame["x1"]
    frame["parabola"] = frame["x0"] ** 2
    result = influence(frame, outcome, groups={name: name for name in frame})
    table = result.columns
    assert table.loc[["x0", "x1", "x2"], "direction"].tolist() == [1, -1, 1]
    assert table.loc["x0", "alone"] > table.loc["x1", "alone"] > table.loc["x2", "alone"] > 0
    ranks = frame["x0"].rank()
    u = ranks[outcome].sum() - outcome.sum() * (outcome.sum() + 1) / 2
    auc = u / (outcome.sum() * (~outcome).sum())
    assert table.loc["x0", "auc"] == pytest.approx(auc, abs=0.02)
    assert result.explained > table["alone"].max()


def test_direction_is_zero_without_association_and_leaves_out_the_missing():
    frame, outcome = shop(800, 0, p=6)
    frame = frame[["x0"]]
    balanced = np.zeros(800)
    for value in (True, False):
        places = np.flatnonzero(outcome == value)
        balanced[places] = np.arange(len(places)) % 2
    even = 2 * (outcome.sum() // 2), 2 * ((~outcome).sum() // 2)
    keep = np.r_[np.flatnonzero(outcome)[: even[0]], np.flatnonzero(~outcome)[: even[1]]]
    frame = frame.assign(even=balanced, some=np.where(outcome, np.nan, 1.0))
    frame.loc[frame.index[0], "some"] = 0.0 if not outcome[0] else np.nan
    table = influence(frame.iloc[keep], outcome[keep]).columns
    assert table.loc["even", "direction"] == 0
    # Whoever is present has one outcome only.
    assert table.loc["some", "direction"] == 0


def test_share_of_some_columns(found):
    twins = found.share_of(TWINS)
    group = found.groups.loc["x0"]
    assert twins.n_columns == 4
    assert twins.share == pytest.approx(group["share"])
    assert twins.share_low == pytest.approx(group["share_low"])
    assert twins.share_high == pytest.approx(group["share_high"])
    every = found.share_of(found.columns.index)
    assert (every.share, every.share_low, every.share_high) == pytest.approx((1, 1, 1))
    # The first 2 of 40 indicators against the 38 that came later.
    first, later = (
        found.share_of(["x0", "x1"]),
        found.share_of(found.columns.index.drop(["x0", "x1"])),
    )
    assert first.share + later.share == pytest.approx(1)
    assert first.share_low < first.share < first.share_high
    assert found.share_of("x1").share == found.columns.loc["x1", "share"]
    assert found.share_of(["x1", "x1"]).n_columns == 1
    with pytest.raises(InputError, match=r"'x99' \(1 such names\), which was not ranked"):
        found.share_of(["x0", "x99"])
    with pytest.raises(InputError, match="columns is empty; name at least one"):
        found.share_of([])
    with pytest.raises(InputError, match=r"columns has \['x0'\], a list; name columns by their"):
        found.share_of([["x0"]])


# --- what must not matter -----------------------------------------------------------------------


def test_the_order_of_rows_does_not_matter(small):
    frame, outcome = small
    result = influence(frame, outcome)
    order = np.random.default_rng(4).permutation(len(frame))
    other = influence(frame.iloc[order], outcome[order])
    pd.testing.assert_frame_equal(result.columns, other.columns)
    pd.testing.assert_frame_equal(result.groups, other.groups)
    assert result.explained == other.explained


def test_the_seed_fixes_the_result_and_another_one_changes_it(small):
    frame, outcome = small
    one, two, three = (influence(frame, outcome, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.columns, two.columns)
    assert not one.columns["share"].equals(three.columns["share"])


@pytest.mark.parametrize("change", [np.exp, lambda values: -values, lambda values: values**3])
def test_a_monotone_change_of_a_column_hardly_matters(small, change):
    frame, outcome = small
    result = influence(frame, outcome)
    other = influence(frame.assign(x0=change(frame["x0"])), outcome)
    assert other.groups["share"].to_dict() == pytest.approx(
        result.groups["share"].to_dict(), abs=0.06
    )


def test_an_outcome_can_be_a_column_or_numbers(small):
    frame, outcome = small
    expected = influence(frame, outcome).columns
    named = influence(frame.assign(buys=outcome), "buys").columns
    numbers = influence(frame, pd.Series(outcome.astype(float), index=frame.index)).columns
    pd.testing.assert_frame_equal(named, expected)
    pd.testing.assert_frame_equal(numbers, expected)


def test_the_frame_is_left_as_it_is(small):
    frame, outcome = small
    before = frame.copy()
    influence(frame, outcome)
    pd.testing.assert_frame_equal(frame, before)


# --- columns without values ---------------------------------------------------------------------


def test_constant_columns_have_no_influence_and_are_named(small):
    frame, outcome = small
    wide = frame.assign(one=1, empty=np.nan, flag=frame["x1"] > 0)
    result = influence(wide, outcome)
    assert result.columns.attrs["constant"] == ["one", "empty"]
    assert set(result.columns.index) == set(wide)
    for table in (result.columns.loc[["one", "empty"]], result.groups.loc[["one", "empty"]]):
        assert (table[["share", "share_low", "share_high", "loss_increase"]] == 0).all(axis=None)
        assert not table["signal"].any()
    assert result.columns.notna().all(axis=None)
    assert result.groups.notna().all(axis=None)
    assert result.columns.dtypes["direction"] == np.int64
    assert result.columns.dtypes["signal"] == np.dtype(bool)
    assert result.share_of(["one", "empty"]).share == 0
    given = influence(wide, outcome, groups={**dict.fromkeys(wide, "a"), "one": "b", "empty": "a"})
    assert given.groups["n_columns"].to_dict() == {"a": 5, "b": 1}
    assert given.groups.loc["b", "share"] == 0


def test_presence_alone_can_be_a_signal(small):
    frame, outcome = small
    known = np.where(frame["x0"] > 0, 3.0, np.nan)
    table = influence(frame.assign(x0=known), outcome).columns
    assert table.loc["x0", "signal"]
    assert table.loc["x0", "direction"] == 0


def test_columns_that_differ_in_one_half_alone_do_no_harm(small):
    frame, outcome = small
    once = np.full(900, np.nan)
    once[5] = 1.0
    table = influence(frame.assign(once=once, flag=np.arange(900) == 7), outcome).columns
    assert table.attrs["constant"] == []
    assert not table.loc[["once", "flag"], "signal"].any()
    alone = influence(pd.DataFrame({"once": once}), outcome)
    # Trees cannot split on it: there is no influence to share.
    assert alone.groups["loss_increase"].tolist() == [0]
    assert alone.groups[["share", "share_low", "share_high"]].isna().all(axis=None)
    assert math.isnan(alone.share_of("once").share)
    assert not alone.groups["signal"].any()


# --- customers and cutoffs ----------------------------------------------------------------------


def test_a_customer_who_is_listed_twice_counts_once(small):
    frame, outcome = small
    names = {name: name for name in frame}
    once = influence(frame, outcome, groups=names)
    twice = influence(pd.concat([frame, frame]), np.r_[outcome, outcome], groups=names)
    assert (twice.n, twice.n_customers, once.n_customers) == (1800, 900, 900)
    apart = influence(
        pd.concat([frame, frame]),
        np.r_[outcome, outcome],
        groups=names,
        customers=np.arange(1800),
    )
    assert apart.n_customers == 1800

    def width(result):
        return result.explained_high - result.explained_low

    # Trees that saw the other row of a customer, and rows taken for customers, look too sure.
    assert width(twice) / width(once) == pytest.approx(1, abs=0.35)
    assert width(apart) / width(twice) < 0.85
    assert apart.explained > twice.explained + 0.02


def test_permutations_stay_within_a_cutoff():
    frame, outcome = shop(1200, 7, p=6)
    frame = frame[["x0", "x1"]]
    day = np.repeat(["2024-01-01", "2024-04-01"], 600)
    # Differs between the cutoffs and nowhere else: nothing changes hands.
    frame["season"] = np.repeat([1.0, 2.0], 600)
    outcome = outcome | ((day == "2024-04-01") & (np.arange(1200) % 2 == 0))
    index = pd.MultiIndex.from_arrays(
        [np.tile(np.arange(600), 2), pd.to_datetime(day)], names=["customer", "cutoff"]
    )
    names = {name: name for name in frame}
    within = influence(frame.set_index(index), outcome, groups=names)
    assert within.groups.loc["season", "loss_increase"] == pytest.approx(0, abs=1e-12)
    assert (within.n, within.n_customers) == (1200, 600)
    across = influence(frame, outcome, groups=names)
    assert across.groups.loc["season", "signal"]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 5))
def test_shuffling_keeps_every_row_in_its_stratum(kinds, seed):
    kinds = np.array(kinds)
    strata = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    moved = shuffle_within(strata, len(kinds), np.random.default_rng(seed))
    assert sorted(moved) == list(range(len(kinds)))
    assert (kinds[moved] == kinds).all()


# --- groups -------------------------------------------------------------------------------------


def test_groups_can_be_a_mapping_or_a_column_of_the_dictionary(small):
    frame, outcome = small
    groups = {"x0": "a", "x1": "a", "noise": "b", "of another frame": "c"}
    one = influence(frame, outcome, groups=groups)
    two = influence(frame, outcome, groups=pd.Series(groups))
    pd.testing.assert_frame_equal(one.columns, two.columns)
    assert one.groups.index.tolist() == ["a", "b"]
    assert one.groups.loc["a", "leading"] == "x0"


def test_a_group_is_permuted_as_one():
    frame, outcome = shop(3000, 4, p=6)
    apart = influence(frame, outcome, groups={name: name for name in frame}).groups
    together = influence(
        frame, outcome, groups={**{n: n for n in frame}, **dict.fromkeys(TWINS, "t")}
    )
    # Alone each twin is stood in for by the others.
    assert apart.loc[TWINS, "loss_increase"].max() < 0.7 * together.groups.loc["t", "loss_increase"]


def ranks(data):
    return pd.DataFrame(data).rank().to_numpy()


def test_alikeness_is_spearman_where_nothing_is_missing():
    data = np.random.default_rng(0).normal(size=(200, 4))
    data[:, 1] += data[:, 0]
    expected = pd.DataFrame(data).corr(method="spearman").abs().to_numpy()
    assert alikeness(ranks(data)) == pytest.approx(expected)


def test_a_column_its_negative_and_its_logarithm_are_twins_with_gaps():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=300)
    values[rng.random(300) < 0.3] = np.nan
    data = np.column_stack([values, -values, np.log(values), rng.normal(size=300)])
    assert alikeness(ranks(data))[:3, :3] == pytest.approx(1)
    found = clusters(ranks(data))
    assert found[0] == found[1] == found[2] != found[3]
    assert clusters(ranks(values[:, None])).tolist() == [0]


# --- alone --------------------------------------------------------------------------------------


def test_rates_of_classes_are_learnt_on_other_rows():
    data = np.array([[1.0], [2.0], [np.nan], [1.0], [2.0], [np.nan]])
    level = classes(data, np.array([0, 1, 2]))
    assert level.ravel().tolist() == [0, 1, 10, 0, 1, 10]
    learned = np.array([True, False, True])
    asked = np.array([True, True, False])
    result = explain_alone(level[:3], learned, level[3:], asked)
    base = 2 / 3
    rate = np.array([(1 + base) / 2, base / 2, (1 + base) / 2])
    chance = np.where(asked, rate, 1 - rate)
    null = np.where(asked, base, 1 - base)
    assert result.gain.ravel() == pytest.approx(np.log(chance) - np.log(null))
    # The pairs: 5/6 against 5/6, and 1/3 against 5/6.
    assert result.auc == pytest.approx([0.25])


# --- intervals ----------------------------------------------------------------------------------


def test_fits_that_differ_widen_the_intervals():
    rng = np.random.default_rng(0)
    n, parts = 400, np.zeros((3, 2))
    increase = rng.normal(0.1, 0.2, size=(n, 2))

    def bounds(fits):
        scores = Scores(np.ones(n), np.ones(n), increase, np.ones((n, 2)), *parts, fits=fits)
        result = measure(scores, np.arange(n), np.arange(2), 0.95, np.random.default_rng(1))
        return result.high - result.low

    alike = bounds(np.full((2, 2), 0.1))
    apart = bounds(np.array([[0.05, 0.1], [0.15, 0.1]]))
    # A mean of 0.05 and 0.15 has a standard error of 0.05, spread evenly for two fits.
    assert apart[0] > max(alike[0], 2 * 0.95 * 0.05)
    assert apart[0] < alike[0] + 2 * np.sqrt(3) * 0.05
    assert apart[1] == pytest.approx(alike[1], rel=0.15)


@pytest.mark.slow
def test_intervals_hold_the_influence_in_given_trees():
    names = [np.array([0]), np.array([1]), np.array([2])]

    def draw(n, rng):
        data = rng.normal(size=(n, 3))
        chance = 1 / (1 + np.exp(-data @ [1.2, 0.8, 0.3]))
        return data, rng.random(n) < chance

    trees = grow_trees(*draw(800, np.random.default_rng(1)), seed=0)

    def losses(n, seed):
        rng = np.random.default_rng(seed)
        data, truth = draw(n, rng)
        return permuted_losses(trees, data, truth, names, [np.arange(n)], rng)

    truth = losses(200_000, 0).increase.mean(axis=0)
    share = truth / truth.sum()
    covered, covered_shares = np.zeros(3), np.zeros(3)
    for seed in range(1, 121):
        n = 500
        found = losses(n, seed)
        scores = Scores(
            found.loss,
            np.full(n, np.log(2)),
            found.increase,
            np.ones((n, 3)),
            *np.zeros((3, 3)),
            fits=np.ones((2, 3)),
        )
        result = measure(scores, np.arange(n), np.arange(3), 0.95, np.random.default_rng(seed))
        covered += (result.low <= truth) & (truth <= result.high)
        covered_shares += (result.share_low <= share) & (share <= result.share_high)
    # Binomial: 95% of 120 is 114, and 104 or fewer has a probability below 1e-3.
    assert (covered > 104).all()
    assert (covered_shares > 104).all()


def test_a_wider_level_gives_wider_bounds_of_the_same_shares(small):
    frame, outcome = small
    narrow, wide = (influence(frame, outcome, level=level) for level in (0.5, 0.99))
    assert (narrow.groups["share"] == wide.groups["share"]).all()
    assert (narrow.groups["high"] < wide.groups["high"]).all()
    assert (narrow.groups["low"] > wide.groups["low"]).all()
    assert narrow.level == 0.5


def test_rounds_average_new_halves(small):
    frame, outcome = small
    result = influence(frame, outcome, rounds=1)
    assert result.n == 900
    assert result.groups["share"].sum() == pytest.approx(1)
    assert not result.groups["share"].equals(influence(frame, outcome).groups["share"])


def test_pure_noise_has_no_signal_and_explains_nothing():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(1200, 8)))
    result = influence(frame, rng.random(1200) < 0.4)
    assert not result.groups["signal"].any()
    assert result.explained < 0.01
    assert result.explained_low < 0


def test_the_result_can_be_shown(found):
    assert isinstance(found, Influence)
    pd.testing.assert_frame_equal(found.to_frame(), found.columns)
    html = found._repr_html_()
    assert f"40 columns in {len(found.groups)} groups, of which 3 are above the noise" in html
    assert "4,000 rows of 4,000 customers" in html
    assert f"explain {found.explained:.1%}" in html
    frame, outcome = shop(900, 5, p=6)
    hostile = influence(frame.rename(columns={"x0": "<script>"}), outcome)
    assert "<script>" not in hostile._repr_html_()


# --- bad input ----------------------------------------------------------------------------------


def index_of(*levels):
    return pd.MultiIndex.from_arrays(levels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda case: {"frame": case.frame.to_numpy()},
            "frame is a ndarray; it must be a pandas DataFrame",
        ),
        (lambda case: {"frame": case.frame.assign(a="text")}, "column 'a' of frame holds"),
        (
            lambda case: {"frame": case.frame.assign(a=pd.Timestamp("2024"))},
            "column 'a' of frame holds datetime64",
        ),
        (lambda case: {"frame": case.frame.assign(a=1j)}, "column 'a' of frame holds complex128"),
        (
            lambda case: {"frame": case.frame.replace({"x1": {case.frame["x1"].iloc[3]: np.inf}})},
            "is inf at index 3",
        ),
        (lambda case: {"frame": case.frame[["x0", "x0"]]}, "several columns 'x0'; keep one"),
        (lambda case: {"frame": case.frame[[]]}, "no column but the outcome"),
        (lambda case: {"frame": case.frame[[]].assign(a=1)}, "every column of frame is constant"),
        (
            lambda case: {"frame": pd.concat({"a": case.frame}, axis=1)},
            "have 2 levels; use one name",
        ),
        ({"outcome": "buys"}, "no column 'buys'"),
        (lambda case: {"outcome": case.outcome * 2}, "every value must be 0 or 1"),
        (lambda case: {"outcome": case.outcome[:-1]}, "outcome has 899 values, frame 900 rows"),
        (
            lambda case: {"outcome": pd.Series(case.outcome, index=case.frame.index + 1)},
            "outcome and frame have different indexes",
        ),
        (
            lambda case: {"outcome": case.outcome * 0},
            "0 of 900 customers have an outcome of 1; at least 20",
        ),
        (lambda case: {"outcome": case.outcome * 0 + 1}, "0 of 900 customers have an outcome of 0"),
        (
            lambda case: {"frame": case.frame[:300], "outcome": case.outcome[:300]},
            "300 customers; pass at least 400",
        ),
        ({"groups": ["a"]}, "groups is a list; pass a mapping"),
        (
            lambda case: {"groups": {name: [1] for name in case.frame}},
            r"groups has for column 'x0' \[1\], a list; name groups by text or numbers",
        ),
        ({"groups": {"x0": "a"}}, r"no group for column 'x1' \(2 such columns\)"),
        (
            {"groups": {"x0": "a", "x1": None, "noise": "b"}},
            "missing group for column 'x1'",
        ),
        (
            {"groups": pd.Series(["a", "b"], index=["x0", "x0"])},
            "groups names column 'x0' twice",
        ),
        ({"customers": [1]}, "customers has 1 values, frame 900 rows"),
        ({"customers": [np.nan] * 900}, "900 rows have no customer"),
        (
            lambda case: {
                "frame": case.frame.set_index(
                    index_of(case.frame.index, case.frame.index, case.frame.index)
                )
            },
            "index of frame has 3 levels",
        ),
        (
            lambda case: {
                "frame": case.frame.set_index(index_of(case.frame.index, [pd.NaT] * 900))
            },
            "missing cutoff",
        ),
        ({"rounds": 0}, "rounds is 0; it must be >= 1"),
        ({"level": 1}, "level is 1; it must be < 1"),
        ({"seed": -1}, "seed is -1; it must be >= 0"),
    ],
)
def test_bad_input_is_refused(small, change, words):
    frame, outcome = small
    case = SimpleNamespace(frame=frame, outcome=outcome.astype(int))
    arguments = {**vars(case), **(change(case) if callable(change) else change)}
    with pytest.raises(InputError, match=words):
        influence(**arguments)


# --- tenths -------------------------------------------------------------------------------------


def test_tenths_by_hand():
    values = [*range(1, 11), 5, np.nan, np.nan]
    outcome = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    table = indicator_deciles(values, outcome, bins=2)
    assert table["bin"].tolist() == ["1", "2", "missing"]
    assert table["n"].tolist() == [4, 7, 2]
    assert table["low"].tolist()[:2] == [1, 5]
    assert table["high"].tolist()[:2] == [4, 10]
    assert table["median"].tolist()[:2] == [2.5, 7]
    assert table["rate"].tolist() == pytest.approx([0, 6 / 7, 1 / 2])
    assert table.loc[2, ["low", "high", "median"]].isna().all()
    for row, count in zip(table.itertuples(), (0, 6, 1), strict=True):
        low, high = wilson_interval(count, row.n, 0.95)
        assert (row.rate_low, row.rate_high) == pytest.approx((low, high))


def test_more_classes_than_values_are_those_of_the_values():
    table = indicator_deciles([3, 1, 2, 2], [0, 1, 1, 0], bins=10**15)
    assert table["low"].tolist() == table["high"].tolist() == [1, 2, 3]
    assert table["n"].tolist() == [1, 2, 1]


@given(
    st.lists(
        st.tuples(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 12),
)
def test_tenths_keep_everybody_and_keep_ties_together(rows, bins):
    values, outcome = (np.array(part) for part in zip(*rows, strict=True))
    table = indicator_deciles(values, outcome, bins)
    assert table["n"].sum() == len(values)
    assert (table["n"] * table["rate"]).sum() == pytest.approx(outcome.sum())
    some = table[table["bin"] != "missing"]
    assert len(some) <= max(bins, 2)
    assert (some["low"] <= some["median"]).all()
    assert (some["low"].to_numpy()[1:] > some["high"].to_numpy()[:-1]).all()
    assert ("missing" in table["bin"].tolist()) == bool(np.isnan(values).any())
    assert table["rate"].between(table["rate_low"], table["rate_high"]).all()


@pytest.mark.parametrize(
    ("values", "outcome", "words"),
    [
        ([], [], "values is empty"),
        ([1.0], [2], "every value must be 0 or 1"),
        ([1.0, 2.0], [1], "values has 2 values, outcome 1"),
        ([np.inf, 1.0], [1, 0], "'values' of the input is inf at index 0"),
        (["a", "b"], [1, 0], "column 'values' of the input holds"),
        (np.eye(2), [0, 1], "values has 2 dimensions; pass a list of values"),
        ([[1], [1, 2]], [0, 1], "column 'values' of the input holds object"),
        (5, [0], "values has 0 dimensions"),
    ],
)
def test_bad_tenths_are_refused(values, outcome, words):
    with pytest.raises(InputError, match=words):
        indicator_deciles(values, outcome)
    with pytest.raises(InputError, match="bins is 0"):
        indicator_deciles([1.0], [1], bins=0)
