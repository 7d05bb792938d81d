"""Roles of buyers: the figure, its data and its sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

import touchpoint_lib as tp
from tests.charts.campaign_samples import HOSTILE, SAFE, check_plain, named, title_of
from touchpoint_lib import InputError
from touchpoint_lib.charts.roles import role_shares, role_shares_data, role_shares_verdict

ROLES = ["own use", "both", "gift buyer", "not known"]


@pytest.fixture(scope="module")
def roles():
    """Return the roles of 400 customers that differ, with 1 to 8 orders."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(400), rng.integers(1, 9, 400))
    gift = rng.random(len(owner)) < rng.beta(0.4, 0.6, 400)[owner]
    return tp.buyer_roles(pd.DataFrame({"customer_id": owner, "gift": gift}), level=0.9)


def made(**customers):
    """Return roles of so many customers, each with two orders, one of them a gift."""
    names = [name.replace("_", " ") for name, n in customers.items() for _ in range(n)]
    frame = pd.DataFrame({"role": names, "orders": 2, "gift_orders": 1})
    frame.attrs = {"level": 0.95, "sure": 0.8}
    return role_shares_data(frame)


def test_the_data_are_counts_of_customers_and_orders(roles):
    data = role_shares_data(roles)
    assert data["role"].tolist() == ROLES
    for row in data.to_dict("records"):
        mine = roles[roles["role"] == row["role"]]
        assert row["customers"] == len(mine) > 0
        assert row["orders"] == mine["orders"].sum()
        low, high = proportion_confint(len(mine), len(roles), alpha=0.1, method="wilson")
        known = [len(mine) / len(roles), low, high]
        found = [row["share"], row["share_low"], row["share_high"]]
        np.testing.assert_allclose(found, known, rtol=1e-5)
        share = mine["gift_orders"].sum() / mine["orders"].sum()
        assert row["gift_share"] == pytest.approx(share, rel=1e-5)
    assert data["orders_share"].sum() == pytest.approx(1, abs=1e-5)
    assert data.attrs == {"level": 0.9, "sure": 0.8, "customers": 400}


def test_the_figure_is_plain_and_shows_the_data(roles):
    data = role_shares_data(roles)
    figure, again = (role_shares(data, HOSTILE) for _ in range(2))
    check_plain(figure, again, SAFE, 400)
    customers, orders = named(figure, "customers")[0], named(figure, "orders")[0]
    np.testing.assert_allclose(customers.x, 100 * data["share"], rtol=1e-5)
    np.testing.assert_allclose(orders.x, 100 * data["orders_share"], rtol=1e-5)
    ends = np.add(customers.x, customers.error_x.array)
    np.testing.assert_allclose(ends, 100 * data["share_high"], atol=1e-4)
    assert orders.error_x.array is None
    texts = [label for trace in named(figure, "label") for label in trace.text]
    assert f"\u2002{data['share'][0]:.1%} of the customers: {data['customers'][0]:,}" in texts
    assert f"\u2002{data['orders_share'][3]:.1%} of the orders: {data['orders'][3]:,}" in texts


def test_known_and_unknown_roles_are_told():
    data = made(own_use=60, gift_buyer=20, not_known=20)
    assert role_shares_verdict(data) == (
        "Of 100 customers, 60.0% (95%: 50.2% to 69.1%) buy for own use and make 60.0% of the "
        "orders and 20.0% (95%: 13.3% to 28.9%) buy as gifts and make 20.0% of the orders, each at "
        "a probability of 80% or more; of 20.0% it is not known."
    )
    assert title_of(role_shares(data, "x")) == (
        "60% of the customers buy for own use; the role of 20% is not known. Bars with 95% "
        "intervals"
    )
    assert np.isnan(data["gift_share"][1])


def test_all_known_and_none_known():
    both = made(both=3)
    assert role_shares_verdict(both).endswith(
        "100.0% of the orders, each at a probability of 80% or more."
    )
    assert title_of(role_shares(both, "x")) == (
        "100% of the customers buy for own use and as gifts. Bars with 95% intervals"
    )
    unknown = made(not_known=3)
    assert role_shares_verdict(unknown) == (
        "Of none of 3 customers the role is known at a probability of 80% or more."
    )
    assert title_of(role_shares(unknown, "x")) == (
        "The role of 100% is not known. Bars with 95% intervals"
    )


def test_bad_input_is_refused(roles):
    lost = roles.copy()
    lost.attrs = {}
    for wrong, words in [
        ("roles", "roles is a str"),
        (roles.drop(columns="role"), r"no column 'role' .* make it with buyer_roles"),
        (lost, "attrs of roles lack 'level'"),
        (roles.head(0), "roles has no rows"),
    ]:
        with pytest.raises(InputError, match=words):
            role_shares_data(wrong)
