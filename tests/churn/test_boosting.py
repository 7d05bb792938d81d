"""Trees: the same predictions as scikit-learn's to the bit, kept as plain numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from touchpoint_lib import InputError
from touchpoint_lib.churn import _boosting
from touchpoint_lib.churn._boosting import Trees, grow_trees, split_columns


def sample(n=1500, p=6, seed=0):
    """Rows with missing values in every column; whether the last is there matters most."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, p)).round(2)
    data[rng.random((n, p)) < 0.1] = np.nan
    data[rng.random(n) < 0.4, -1] = np.nan
    drive = np.nan_to_num(data[:, 0]) - 0.5 * np.nan_to_num(data[:, 1]) + np.isnan(data[:, -1])
    return data, rng.random(n) < 1 / (1 + np.exp(-drive))


@pytest.fixture(scope="module")
def grown():
    data, outcome = sample()
    return data, outcome, grow_trees(data, outcome, seed=3)


def oracle(data, outcome):
    return HistGradientBoostingClassifier(random_state=3, **_boosting._SETTINGS).fit(data, outcome)


@pytest.mark.parametrize("n", [1, 700, 20_000])
def test_predictions_are_those_of_scikit_learn_to_the_bit(grown, n):
    data, outcome, trees = grown
    assert np.isinf(trees.threshold).any()
    assert trees.missing_left.any()
    fresh, _ = sample(n, seed=9)
    assert np.array_equal(trees.log_odds(fresh), oracle(data, outcome).decision_function(fresh))


def test_growing_is_repeatable_and_depends_on_the_seed(grown):
    data, outcome, trees = grown
    again = grow_trees(data, outcome, seed=3).to_dict()
    assert again == trees.to_dict()
    assert grow_trees(data, outcome, seed=4).to_dict() != again


def test_trees_say_which_columns_they_use(grown):
    data, _, trees = grown
    used = trees.columns_used()
    assert len(used) == len(trees.roots)
    assert set(np.concatenate(used)) == set(trees.feature[trees.feature >= 0])
    # A column that a tree does not name can be anything.
    without = [tree for tree, columns in enumerate(used) if 0 not in columns]
    assert 0 < len(without) < len(used)
    other = data.copy()
    other[:, 0] = -50.0
    said, changed = np.zeros(len(data)), np.zeros(len(data))
    wanted = np.unique(np.concatenate(used))
    trees.add(said, split_columns(data, wanted), trees.roots[without])
    trees.add(changed, split_columns(other, wanted), trees.roots[without])
    assert np.array_equal(said, changed)
    assert np.ptp(said) > 0


def test_what_trees_add_sums_to_the_log_odds(grown):
    data, _, trees = grown
    columns = split_columns(data, np.arange(data.shape[1]))
    total = np.full(len(data), trees.baseline)
    for root in trees.roots:
        trees.add(total, columns, np.array([root]))
    assert np.array_equal(total, trees.log_odds(data))


def test_columns_of_one_value_tell_who_has_it_and_empty_ones_nothing():
    data, outcome = sample()
    there = ~np.isnan(data[:, -1])
    lone = np.column_stack([data[:, :2], np.where(there, 7.0, np.nan), np.full(len(data), np.nan)])
    trees = grow_trees(lone, outcome, seed=3)
    assert set(np.concatenate(trees.columns_used())) == {0, 1, 2}
    assert np.isinf(trees.threshold).any()
    marked = np.column_stack([data[:, :2], ~there])
    expected = oracle(marked, outcome).decision_function(marked)
    assert np.array_equal(trees.log_odds(lone), expected)


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_without_a_column_that_differs_there_are_no_trees(value):
    data, outcome = np.full((500, 2), value), np.arange(500) < 100
    trees = grow_trees(data, outcome, seed=0)
    assert trees.columns_used() == []
    assert trees.log_odds(data) == pytest.approx(np.full(500, np.log(0.2 / 0.8)))
    back = Trees.from_dict(json.loads(json.dumps(trees.to_dict())))
    assert np.array_equal(back.log_odds(data), trees.log_odds(data))


def test_trees_survive_json(grown):
    data, _, trees = grown
    text = json.dumps(trees.to_dict(), allow_nan=False)
    back = Trees.from_dict(json.loads(text))
    assert np.array_equal(back.log_odds(data), trees.log_odds(data))
    assert back.to_dict() == trees.to_dict()


def change(name, place, value):
    def damage(content):
        content[name][place] = value

    return damage


def shorten(name):
    def damage(content):
        content[name].pop()

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        change("left", 0, 0),
        change("right", 0, 0),
        change("left", 0, 10**6),
        change("right", 0, 10**6),
        change("roots", 0, -1),
        change("roots", -1, 10**6),
        change("roots", 1, 0),
        change("feature", 0, 99),
        change("value", 1, "nan"),
        change("value", 1, "inf"),
        change("threshold", 0, "nan"),
        shorten("left"),
        shorten("threshold"),
        lambda content: content.update(baseline=float("inf")),
        lambda content: content.update(n_columns=1),
    ],
)
def test_damaged_trees_are_refused(grown, damage):
    content = json.loads(json.dumps(grown[2].to_dict()))
    damage(content)
    with pytest.raises(InputError, match="do not fit together; fit and save the model again"):
        Trees.from_dict(content)


@pytest.mark.parametrize("n", [60, 3000])
def test_walks_without_end_are_refused(n):
    """Nodes that share their children, 2^60 walks, and a chain of 3,000 splits."""
    shared = [*range(1, n), 0]
    content = {
        "n_columns": 1,
        "baseline": 0.0,
        "feature": [0] * (n - 1) + [-1],
        "threshold": [0.0] * n,
        "missing_left": [False] * n,
        "left": shared,
        "right": shared,
        "value": [0.0] * n,
        "roots": [0],
    }
    with pytest.raises(InputError, match="do not fit together"):
        Trees.from_dict(content)


def test_a_chain_of_splits_is_refused():
    # Node 2 i splits into the leaf 2 i + 1 and node 2 i + 2: one tree, of 16 splits.
    n, inner = 33, range(0, 32, 2)
    feature = [0 if i in inner else -1 for i in range(n)]
    content = {
        "n_columns": 1,
        "baseline": 0.0,
        "feature": feature,
        "threshold": [0.0] * n,
        "missing_left": [False] * n,
        "left": [i + 1 if i in inner else 0 for i in range(n)],
        "right": [i + 2 if i in inner else 0 for i in range(n)],
        "value": [float(i) for i in range(n)],
        "roots": [0],
    }
    with pytest.raises(InputError, match="do not fit together"):
        Trees.from_dict(content)
    # One split less, and it is a tree.
    shorter = {
        name: column[: n - 2] if isinstance(column, list) else column
        for name, column in content.items()
        if name != "roots"
    }
    shorter["feature"][-1] = -1
    trees = Trees.from_dict({**shorter, "roots": [0]})
    assert trees.log_odds(np.array([[-1.0], [1.0]])).tolist() == [1.0, 30.0]


@pytest.mark.slow
def test_one_and_two_threads_grow_the_same_trees():
    code = """
import hashlib, json
from tests.churn.test_boosting import sample
from touchpoint_lib.churn._boosting import grow_trees
content = grow_trees(*sample(3000), seed=1).to_dict()
print(hashlib.sha256(json.dumps(content).encode()).hexdigest())
"""
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(seen) == 1
