"""Own use or gifts: simulated roles, coverage, and the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import touchpoint_lib as tp
from touchpoint_lib.touchpoints.roles import buyer_roles


def _log(hits: Any, trials: Any) -> pd.DataFrame:
    """Return a row an order, the gifts of each customer first."""
    trials = np.asarray(trials)
    owner = np.repeat(np.arange(len(trials)), trials)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(trials) - trials, trials)
    return pd.DataFrame({"customer_id": owner, "gift": place < np.asarray(hits)[owner]})


def test_roles_are_the_bands_of_the_posterior() -> None:
    hits, trials = np.array([8, 0, 4, 1, 0, 2]), np.array([8, 8, 8, 1, 1, 3])
    table = buyer_roles(_log(hits, trials))
    own = stats.beta(table.attrs["prior_a"] + hits, table.attrs["prior_b"] + trials - hits)
    bands = np.array([own.cdf(0.25), own.cdf(0.75) - own.cdf(0.25), own.sf(0.75)])
    names = ["probability_own", "probability_both", "probability_gift"]
    np.testing.assert_allclose(table[names].to_numpy().T, bands, rtol=1e-9)
    expected = [
        ["own use", "both", "gift buyer"][band.argmax()] if band.max() >= 0.8 else "not known"
        for band in bands.T
    ]
    assert table["role"].to_list() == expected
    assert expected[:4] == ["gift buyer", "own use", "both", "not known"]
    assert table["gift_orders"].to_list() == hits.tolist()
    np.testing.assert_allclose(table["share"], hits / trials)


def test_simulated_roles_are_found_at_the_probability_that_is_told() -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    trials, share = 1 + rng.poisson(5, n), rng.beta(0.3, 0.9, n)
    table = buyer_roles(_log(rng.binomial(trials, share), trials), level=0.9)
    covered = np.mean((table["share_low"] <= share) & (share <= table["share_high"]))
    assert abs(covered - 0.9) < 4 * np.sqrt(0.9 * 0.1 / n)
    truth = np.select([share < 0.25, share >= 0.75], ["own use", "gift buyer"], "both")
    told = table["role"] != "not known"
    assert 0.3 < told.mean() < 0.9
    for role, column in (("own use", "probability_own"), ("gift buyer", "probability_gift")):
        mine = (table["role"] == role).to_numpy()
        right = np.mean(truth[mine] == role)
        promised = table.loc[mine, column].mean()
        assert promised >= 0.8
        assert abs(right - promised) < 4 * np.sqrt(promised * (1 - promised) / mine.sum())


def test_where_nobody_differs_the_role_is_that_of_all() -> None:
    # In the bundled shop 12 % of the orders are gifts, whoever the customer is.
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    table = buyer_roles(paid)
    assert (table["role"] == "own use").all()
    low, high = table["share_low"], table["share_high"]
    assert np.mean((low <= 0.12) & (high >= 0.12)) > 0.99
    assert table["share_shrunk"].std() < 0.1 * table["share"].std()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_chances_add_up_whatever_the_order_of_rows(
    pairs: list[tuple[int, int]], random: Any
) -> None:
    log = _log([min(pair) for pair in pairs], [max(pair) for pair in pairs])
    table = buyer_roles(log)
    names = ["probability_own", "probability_both", "probability_gift"]
    np.testing.assert_allclose(table[names].sum(axis=1), 1.0, atol=1e-12)
    assert (table[names] >= 0).all().all()
    places = list(range(len(log)))
    random.shuffle(places)
    pd.testing.assert_frame_equal(buyer_roles(log.iloc[places]), table)


def test_categories_without_orders_are_no_customers() -> None:
    log = _log([1, 0], [2, 2]).astype({"customer_id": pd.CategoricalDtype([0, 1, 2])})
    assert buyer_roles(log).index.to_list() == [0, 1]


@pytest.mark.parametrize(
    ("orders", "arguments", "message"),
    [
        (_log([1], [2]).drop(columns="gift"), {}, "orders has no column 'gift'"),
        (_log([1], [2]).iloc[:0], {}, "orders has no rows"),
        (_log([1], [2]).astype({"gift": int}), {}, "gift of orders holds int64, no truth values"),
        (_log([1], [2]).assign(gift=[True, None]), {}, "gift"),
        (_log([1], [2]).assign(customer_id=[1.0, np.nan]), {}, "customer_id"),
        (_log([1], [2]), {"own": 0.0}, "own is 0.0; it must be > 0"),
        (_log([1], [2]), {"own": 0.8}, "gifts is 0.75; it must be > 0.8"),
        (_log([1], [2]), {"sure": 0.5}, "sure is 0.5; it must be > 0.5"),
        (_log([1], [2]), {"level": 1}, "level is 1; it must be < 1"),
    ],
)
def test_bad_input_is_named(orders: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        buyer_roles(orders, **arguments)
