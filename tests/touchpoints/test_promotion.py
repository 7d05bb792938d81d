"""Who buys on discount, and what coupons do to them: oracles, simulated truth, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize

import touchpoint_lib as tp
from touchpoint_lib.touchpoints._promotion_shares import Shares
from touchpoint_lib.touchpoints.promotion import promotion_dependence, promotion_effect
from touchpoint_lib.touchpoints.pull_forward import pull_forward

START = pd.Timestamp("2025-01-01")


@pytest.fixture(scope="module")
def shop() -> Any:
    return tp.load_shop()


@pytest.fixture(scope="module")
def paid(shop: Any) -> pd.DataFrame:
    return shop.orders[shop.orders["status"] == "paid"]


@pytest.fixture(scope="module")
def won(shop: Any) -> pd.DataFrame:
    return shop.contacts[shop.contacts["campaign"] == "win back"]


@pytest.fixture(scope="module")
def driven(paid: pd.DataFrame) -> pd.Series:
    return promotion_dependence(paid, until="2025-05-31")["promotion_driven"]


# --- shares ---


def test_the_beta_has_the_highest_posterior() -> None:
    rng = np.random.default_rng(1)
    trials = rng.integers(1, 12, 400)
    hits = rng.binomial(trials, rng.beta(0.6, 1.8, 400))

    def loss(point: Any) -> float:
        mean, total = 1 / (1 + np.exp(-point[0])), np.exp(point[1])
        found = stats.betabinom.logpmf(hits, trials, mean * total, (1 - mean) * total).sum()
        prior = 0.5 * np.log(mean * (1 - mean)) + stats.norm.logpdf(point[1], np.log(2), 3)
        return -float(found + prior)

    best = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9})
    mean, total = 1 / (1 + np.exp(-best.x[0])), np.exp(best.x[1])
    shares = Shares.fit(hits, trials)
    assert shares.a == pytest.approx(mean * total, rel=1e-5)
    assert shares.b == pytest.approx((1 - mean) * total, rel=1e-5)


def test_a_posterior_is_the_beta_of_a_customers_own_orders() -> None:
    hits, trials = np.array([0, 3, 3, 5]), np.array([1, 4, 4, 5])
    shares = Shares.fit(hits, trials)
    own = stats.beta(shares.a + hits, shares.b + trials - hits)
    low, high = shares.interval(0.9)
    np.testing.assert_allclose(shares.mean(), own.mean(), rtol=1e-12)
    np.testing.assert_allclose(low, own.ppf(0.05), rtol=1e-9)
    np.testing.assert_allclose(high, own.ppf(0.95), rtol=1e-9)
    np.testing.assert_allclose(shares.above(0.6), own.sf(0.6), rtol=1e-9)


def test_the_beta_and_its_intervals_recover_simulated_shares() -> None:
    rng = np.random.default_rng(2)
    n = 20_000
    trials, share = 1 + rng.poisson(3, n), rng.beta(0.5, 1.5, n)
    shares = Shares.fit(rng.binomial(trials, share), trials)
    assert shares.a == pytest.approx(0.5, rel=0.06)
    assert shares.b == pytest.approx(1.5, rel=0.06)
    low, high = shares.interval(0.95)
    covered = np.mean((low <= share) & (share <= high))
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)
    above = shares.above(0.6)
    assert abs(above.mean() - np.mean(share >= 0.6)) < 4 * np.sqrt(0.2 * 0.8 / n)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        ([0] * 500, [1] * 500, 0.0, 0.01),
        ([1] * 500, [1] * 500, 0.99, 1.0),
        ([0], [1], 0.0, 0.5),
        # Everybody has the same share: nobody differs.
        ([30] * 300, [100] * 300, 0.29, 0.31),
    ],
)
def test_the_fit_is_finite_where_all_orders_are_alike(
    hits: list[int], trials: list[int], low: float, high: float
) -> None:
    shares = Shares.fit(np.array(hits), np.array(trials))
    assert low < shares.mean()[0] < high
    assert np.isfinite(shares.interval(0.95)).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=30))
def test_shares_are_shares_and_rise_with_the_hits(pairs: list[tuple[int, int]]) -> None:
    trials = np.array([max(pair) for pair in pairs])
    hits = np.array([min(pair) for pair in pairs])
    shares = Shares.fit(hits, trials)
    low, high = shares.interval(0.95)
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()
    same = trials == trials[0]
    order = np.argsort(hits[same], kind="stable")
    assert (np.diff(shares.mean()[same][order]) >= 0).all()
    assert (np.diff(shares.above(0.6)[same][order]) >= 0).all()


# --- promotion_dependence ---


def test_dependence_counts_as_a_loop_does(paid: pd.DataFrame) -> None:
    until = pd.Timestamp("2025-03-10 12:00")
    table = promotion_dependence(paid, until=until)
    known = paid[paid["time"] <= until]
    assert table.attrs["later_orders"] == len(paid) - len(known)
    assert table.index.to_list() == sorted(set(known["customer_id"]))
    for customer in (1, 16, 25, 40, 77, 81):
        own = known[known["customer_id"] == customer]
        off = [row.list_amount - row.amount for row in own.itertuples()]
        listed = own["list_amount"].to_list()
        row = table.loc[customer]
        assert row["orders"] == len(off)
        assert row["discounted"] == sum(one > 0 for one in off)
        assert row["share"] == pytest.approx(sum(one > 0 for one in off) / len(off))
        assert row["depth"] == pytest.approx(sum(off) / sum(listed))
        marked = [price for price, one in zip(listed, off, strict=True) if one > 0]
        if marked:
            assert row["depth_discounted"] == pytest.approx(sum(off) / sum(marked))
        else:
            assert np.isnan(row["depth_discounted"])


def test_the_flag_finds_the_promotion_driven_of_the_shop(shop: Any, paid: pd.DataFrame) -> None:
    table = promotion_dependence(paid)
    truth = shop.truth.customers.set_index("customer_id")["segment"] == "promotion-driven"
    actual = truth.loc[table.index]
    rates = tp.prediction_rates(actual, table["probability"], 0.5)
    assert rates.n_flagged == table["promotion_driven"].sum()
    # Who has a single order, on discount, may be either: all omissions are among these.
    assert rates.error_rate_high < 0.06
    assert 0.4 < rates.omission_rate < 0.5
    several = table["orders"] >= 2
    known = tp.prediction_rates(actual[several], table.loc[several, "probability"], 0.5)
    assert known.error_rate_high < 0.06
    assert known.omission_rate == 0


def test_a_date_counts_to_its_end_and_a_moment_to_itself() -> None:
    orders = pd.DataFrame(
        {
            "customer_id": [1, 1, 1],
            "time": pd.to_datetime(["2025-01-01 00:00", "2025-01-02 18:00", "2025-01-03 00:00"]),
            "list_amount": [10.0, 10.0, 0.0],
            "amount": [10.0, 8.0, 0.0],
        }
    )
    assert promotion_dependence(orders, until="2025-01-02").loc[1, "orders"] == 2
    noon = promotion_dependence(orders, until="2025-01-02 12:00")
    assert noon.loc[1, "orders"] == 1
    whole = promotion_dependence(orders).loc[1]
    assert (whole["orders"], whole["discounted"], whole["depth"]) == (3, 1, pytest.approx(0.1))
    free = promotion_dependence(orders[orders["list_amount"] == 0]).loc[1]
    assert np.isnan(free["depth"])


def test_the_end_of_a_day_on_which_clocks_change() -> None:
    orders = pd.DataFrame(
        {
            "customer_id": [1, 1, 1],
            "time": pd.to_datetime(["2025-03-30 01:00", "2025-03-30 23:59", "2025-03-31 00:30"]),
            "list_amount": 10.0,
            "amount": 8.0,
        }
    )
    orders["time"] = orders["time"].dt.tz_localize("Europe/Berlin")
    table = promotion_dependence(orders, until=pd.Timestamp("2025-03-30", tz="Europe/Berlin"))
    assert table.loc[1, "orders"] == 2
    assert table.attrs["until"] == "2025-03-30 23:59:59.999999+02:00"


def _orders(**changed: Any) -> pd.DataFrame:
    plain: dict[str, Any] = {
        "customer_id": [1, 1, 2],
        "time": pd.to_datetime(["2025-01-01", "2025-02-01", "2025-02-02"]),
        "list_amount": [10.0, 20.0, 30.0],
        "amount": [10.0, 15.0, 30.0],
        "margin": [4.0, 3.0, 9.0],
    }
    return pd.DataFrame(plain | changed)


@pytest.mark.parametrize(
    ("orders", "arguments", "message"),
    [
        (_orders().drop(columns="amount"), {}, r"orders has no column 'amount' .* order_log"),
        (_orders().iloc[:0], {}, "orders has no rows"),
        (_orders(amount=[11.0, 15.0, 30.0]), {}, r"amount is 11 at index 0, above list_amount 10"),
        # The message showed np.int64(4).
        (_orders(amount=[11.0, 15.0, 30.0]).set_axis([4, 5, 6]), {}, r"amount is 11 at index 4, "),
        (_orders(amount=[np.nan, 1.0, 1.0]).set_axis([4, 5, 6]), {}, r"is nan at index 4 \(1 such"),
        (_orders(amount=[-1.0, 15.0, 30.0]), {}, r"amount of orders is -1 .* must be >= 0"),
        (_orders(list_amount=[np.nan, 20.0, 30.0]), {}, "list_amount of orders is nan"),
        (_orders(customer_id=[1.0, np.nan, 2.0]), {}, "customer_id"),
        (_orders(time=[1, 2, 3]), {}, r"time of orders holds int64, no times"),
        (_orders(), {"until": 20250101}, "until is 20250101; pass a date or moment"),
        (_orders(), {"until": "2024-12-31"}, "orders has no row up to 2024-12-31"),
        (_orders(), {"promotion": 1.0}, "promotion is 1.0; it must be < 1"),
        (_orders(), {"level": 0.0}, "level is 0.0; it must be > 0"),
    ],
)
def test_dependence_names_bad_input(orders: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        promotion_dependence(orders, **arguments)


# --- promotion_effect ---


def _campaign(
    seed: int,
    gains: dict[bool, float],
    *,
    n: int = 2000,
    name: str = "A",
    held_out: float = 0.5,
    base: float = 0.2,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Return contacts, orders and groups: coupons add ``gains`` orders, all of them discounted."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"{name}{number}" for number in range(n)])
    kind = rng.random(n) < 0.3
    withheld = rng.random(n) < held_out
    contacts = pd.DataFrame(
        {
            "customer_id": ids,
            "time": START + pd.Timedelta(days=60),
            "channel": "sms",
            "campaign": name,
            "held_out": withheld,
            "cost": np.where(withheld, 0.0, 0.5),
            "coupon": np.where(withheld, 0.0, 0.2),
        }
    )
    own = rng.poisson(base, n)
    more = rng.poisson(np.where(withheld, 0.0, np.where(kind, gains[True], gains[False])))
    owner = np.concatenate([np.arange(n), np.repeat(np.arange(n), own), np.repeat(range(n), more)])
    day = np.concatenate([np.zeros(n), rng.uniform(61, 80, own.sum() + more.sum())])
    off = np.repeat([0.0, 20.0], [n + own.sum(), more.sum()])
    orders = pd.DataFrame(
        {
            "customer_id": ids[owner],
            "time": START + pd.to_timedelta(day, "D"),
            "list_amount": 100.0,
            "amount": 100.0 - off,
            "margin": 40.0 - off,
        }
    )
    return contacts, orders, pd.Series(kind, index=ids)


def test_effects_are_those_of_a_loop() -> None:
    contacts, orders, groups = _campaign(3, {True: 0.4, False: 0.1}, n=400)
    found = promotion_effect(contacts, orders, groups, window=30, until="2025-12-31")
    for name, flag in (("promotion-driven", True), ("others", False)):
        sums: dict[bool, list[list[float]]] = {True: [], False: []}
        for contact in contacts.itertuples():
            if groups[contact.customer_id] != flag:
                continue
            own = orders[orders["customer_id"] == contact.customer_id]
            own = own[(own["time"] > contact.time)]
            off = own["list_amount"] - own["amount"]
            sums[contact.held_out].append(
                [
                    len(own),
                    (off > 0).sum(),
                    (off == 0).sum(),
                    own["margin"].sum(),
                    off.sum(),
                    (own["margin"] + off).sum(),
                    own["margin"].sum() - contact.cost,
                ]
            )
        sent, held = (np.array(sums[arm]) for arm in (False, True))
        effects = found.effects[found.effects["segment"] == name]
        expected = sent.mean(axis=0) - held.mean(axis=0)
        np.testing.assert_allclose(effects["effect"], expected[:-1], rtol=1e-9)
        errors = np.sqrt(
            sent.var(axis=0, ddof=1) / len(sent) + held.var(axis=0, ddof=1) / len(held)
        )
        # A cluster is a customer with one row: the same but for the degrees of freedom.
        np.testing.assert_allclose(effects["standard_error"], errors[:-1], rtol=0.02)
        money = found.money.set_index("segment").loc[name]
        assert money["net_profit"] == pytest.approx(1000 * expected[-1])
        assert money["discount_given"] == pytest.approx(1000 * expected[4])
        assert money["margin_before_discount"] == pytest.approx(1000 * expected[5])
        assert money["contact_cost"] == pytest.approx(500)
        width = money["net_profit_high"] - money["net_profit_low"]
        assert width == pytest.approx(2 * 1.96 * 1000 * errors[-1], rel=0.05)
    assert found.to_frame().equals(found.effects)


def test_differences_agree_with_the_interaction_test() -> None:
    contacts, orders, groups = _campaign(4, {True: 0.3, False: 0.2}, n=1500)
    found = promotion_effect(contacts, orders, groups, window=30, until="2025-12-31")
    table = found.differences
    rows = table.dropna()
    assert len(rows) == 6
    np.testing.assert_allclose(rows["driven"] - rows["others"], rows["difference"], rtol=1e-12)
    # |t| and the interval's reach have the same degrees of freedom as the test's p.
    reach = (rows["ci_high"] - rows["ci_low"]) / 2 / rows["standard_error"]
    assert (
        (rows["p_value"] < 0.05) == (abs(rows["difference"]) > rows["standard_error"] * reach)
    ).all()
    df = minimize(
        lambda df: (stats.t.ppf(0.975, df[0]) - reach.loc["orders"]) ** 2,
        [500.0],
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-18},
    ).x[0]
    row = table.loc["orders"]
    p_value = 2 * stats.t.sf(abs(row["difference"]) / row["standard_error"], df)
    assert p_value == pytest.approx(row["p_value"], rel=1e-3)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({True: 0.6, False: 0.05}, "confirmed"),
        ({True: 0.05, False: 0.6}, "refuted"),
        ({True: 0.2, False: 0.2}, "not known"),
    ],
)
def test_the_verdict_follows_the_truth(gains: dict[bool, float], verdict: str) -> None:
    contacts, orders, groups = _campaign(5, gains)
    found = promotion_effect(contacts, orders, groups, window=30, until="2025-12-31")
    assert found.verdict == verdict
    row = found.differences.loc["orders"]
    assert row["ci_low"] < gains[True] - gains[False] < row["ci_high"]
    assert verdict in repr(found)
    assert "net_profit" in found._repr_html_()
    assert found.before_p != found.before_p  # everybody has one order before


@pytest.mark.slow
def test_the_interval_of_the_difference_covers_at_its_level() -> None:
    n, covered = 80, 0
    for seed in range(n):
        contacts, orders, groups = _campaign(1000 + seed, {True: 0.3, False: 0.1}, n=400)
        row = promotion_effect(contacts, orders, groups, window=30, until="2025-12-31")
        low, high = row.differences.loc["orders", ["ci_low", "ci_high"]]
        covered += low < 0.2 < high
    assert stats.binom.ppf(0.0005, n, 0.95) <= covered <= stats.binom.ppf(0.9995, n, 0.95)


def test_campaigns_with_other_shares_held_out_are_strata() -> None:
    # The second campaign has far more orders, and few held out: pooled it would look like a gain.
    parts = [
        _campaign(6, {True: 0.1, False: 0.1}, name="A", held_out=0.8, base=0.1),
        _campaign(7, {True: 0.1, False: 0.1}, name="B", held_out=0.2, base=1.5),
    ]
    contacts, orders, groups = (pd.concat(each) for each in zip(*parts, strict=True))
    contacts = contacts.reset_index(drop=True)
    found = promotion_effect(contacts, orders, groups, window=30, until="2025-12-31")
    row = found.effects.query("segment == 'all' and outcome == 'orders'").iloc[0]
    assert row["ci_low"] < 0.1 < row["ci_high"]
    arms = contacts.assign(n=contacts["customer_id"].map(orders.groupby("customer_id").size()))
    pooled = arms.groupby("held_out")["n"].mean()
    assert pooled[False] - pooled[True] > 0.5


def test_the_bundled_shop_confirms_its_promotion_driven_customers(
    shop: Any, paid: pd.DataFrame, won: pd.DataFrame, driven: pd.Series
) -> None:
    # The truth counts whole days behind that of the contact.
    at = won["time"].dt.floor("D") + pd.Timedelta(days=1) - pd.Timedelta("1us")
    found = promotion_effect(won.assign(time=at), paid, driven, window=90)
    assert found.verdict == "confirmed"
    assert found.before_p > 0.001
    assert found.strata.loc["sms: win back", "unclassed"] == 57
    assert found.strata.loc["sms: win back", "coupon_share"] > 0.99
    truth = won.merge(shop.truth.contacts, on="contact_id", validate="1:1")
    truth["segment"] = truth["customer_id"].map(driven)
    for flag, name in ((True, "promotion-driven"), (False, "others")):
        rows = truth[truth["segment"] == flag]
        for outcome in ("orders", "margin"):
            gain = (rows[f"{outcome}_contacted"] - rows[f"{outcome}_held_out"]).mean()
            rows_of = found.effects.set_index(["segment", "outcome"])
            row = rows_of.loc[(name, outcome)]
            assert abs(row["effect"] - gain) < 4 * row["standard_error"]


@pytest.mark.slow
def test_effects_and_money_cover_the_truth_of_simulated_shops() -> None:
    covered = {"effect": 0, "money": 0}
    n = 8
    for seed in range(n):
        shop = tp.simulate_shop(
            seed,
            3000,
            400,
            start="2024-01-01",
            contacts=tp.ShopContacts(
                channels=(tp.ShopChannel(name="sms", rate=0.3, effect=0.3, cost=0.05),),
                campaigns=(
                    tp.ShopCampaign(name="spring", channel="sms", day=300, coupon=0.2),
                    tp.ShopCampaign(
                        name="summer", channel="sms", day=330, coupon=0.3, held_out=0.3
                    ),
                ),
            ),
            visits=None,
            payments=None,
            parcels=None,
            reviews=None,
            outcome_days=30,
        )
        paid = shop.orders[shop.orders["status"] == "paid"]
        made = shop.call["start"] + pd.Timedelta(days=299)
        driven = promotion_dependence(paid, until=made)["promotion_driven"]
        contacts = shop.contacts.loc[shop.contacts["campaign"].notna()]
        at = contacts["time"].dt.floor("D") + pd.Timedelta(days=1) - pd.Timedelta("1us")
        # Awake: bought in the last 30 days.
        last = pd.merge_asof(
            contacts.assign(time=at).sort_values("time")[["contact_id", "customer_id", "time"]],
            paid[["customer_id", "time"]].assign(last=paid["time"]).sort_values("time"),
            on="time",
            by="customer_id",
        ).set_index("contact_id")["last"]
        silent = at - contacts["contact_id"].map(last)
        stage = pd.Series(np.where(silent < pd.Timedelta(days=30), "awake", "later"), at.index)
        found = promotion_effect(contacts.assign(time=at), paid, driven, window=30, stage=stage)
        truth = contacts.assign(group=contacts["customer_id"].map(driven), stage=stage)
        truth = truth[truth["group"].notna()].merge(shop.truth.contacts, on="contact_id")
        effects = found.effects.set_index(["segment", "outcome"])
        for flag, name in ((True, "promotion-driven"), (False, "others")):
            rows = truth[truth["group"] == flag]
            gain = (rows["orders_contacted"] - rows["orders_held_out"]).mean()
            row = effects.loc[(name, "orders")]
            covered["effect"] += row["ci_low"] < gain < row["ci_high"]
        for name in ("awake", "later"):
            rows = truth[truth["stage"] == name]
            gain = (rows["margin_contacted"] - rows["margin_held_out"]).mean() - 0.05
            money = found.money.set_index("segment").loc[name]
            covered["money"] += money["net_profit_low"] < 1000 * gain < money["net_profit_high"]
    for count in covered.values():
        assert count >= stats.binom.ppf(0.001, 2 * n, 0.95)


def test_channels_without_campaigns_and_categories_will_do() -> None:
    contacts, orders, groups = _campaign(9, {True: 0.4, False: 0.1}, n=400)
    plain = promotion_effect(contacts, orders, groups, window=30, until="2025-12-31")
    kind = pd.CategoricalDtype([*groups.index, "nobody"])
    found = promotion_effect(
        contacts.drop(columns="campaign").astype({"customer_id": kind, "channel": "category"}),
        orders.astype({"customer_id": kind}),
        groups,
        window=30,
        until="2025-12-31",
    )
    assert found.strata.index.to_list() == ["sms"]
    pd.testing.assert_frame_equal(found.effects, plain.effects)
    table = promotion_dependence(orders.astype({"customer_id": kind}))
    assert "nobody" not in table.index
    assert len(table) == 400


def test_what_is_left_out_is_counted(
    shop: Any, paid: pd.DataFrame, driven: pd.Series, won: pd.DataFrame
) -> None:
    early = promotion_dependence(paid, until="2024-06-30")["promotion_driven"]
    contacts = shop.contacts[shop.contacts["time"] >= "2024-07-01"]
    stage = pd.Series(np.where(contacts["contact_id"] % 2 == 0, "awake", "asleep"), contacts.index)
    found = promotion_effect(contacts, paid, early, window=21, stage=stage)
    strata = found.strata
    parts = strata[["unclassed", "unfinished", "contacted", "held_out"]].sum(axis=1)
    assert (parts == strata["opportunities"]).all()
    assert strata["opportunities"].sum() == len(contacts)
    judged = strata[strata["left_out"] == ""]
    assert judged.index.to_list() == ["sms", "sms: win back"]
    assert (strata.drop(judged.index)["left_out"] == "no coupons").all()
    whole, *rest = found.money.to_dict("records")
    assert whole["n_contacted"] == judged["contacted"].sum()
    assert [row["segment"] for row in rest] == ["others", "promotion-driven", "asleep", "awake"]
    for by in ("group", "stage"):
        assert sum(row["n_contacted"] for row in rest if row["by"] == by) == whole["n_contacted"]
    # Without a lot it says so.
    sent = won[~won["held_out"]]
    with pytest.raises(tp.InputError, match="not identified: less than two held out"):
        promotion_effect(sent, paid, driven, window=21)


def test_rounding_is_no_discount() -> None:
    price = 0.1 + 0.2
    orders = _orders(list_amount=[price, 0.3, 30.0], amount=[0.3, price, 30.0])
    table = promotion_dependence(orders)
    assert (table["discounted"] == 0).all()
    assert (table["depth"] == 0).all()


def test_groups_that_know_the_outcome_are_refused(paid: pd.DataFrame, won: pd.DataFrame) -> None:
    late = promotion_dependence(paid)["promotion_driven"]
    with pytest.raises(tp.InputError, match="driven was made from orders up to 2025-12-31"):
        promotion_effect(won, paid, late, window=21)
    zoned = won.assign(time=won["time"].dt.tz_localize("Asia/Shanghai"))
    with pytest.raises(tp.InputError, match="time of contacts has the zone Asia/Shanghai"):
        promotion_effect(zoned, paid, late, window=21)
    with pytest.raises(tp.InputError, match="driven was made from orders up to 2025-12-31"):
        pull_forward(won, paid, window=21, cycle=60, driven=late)


_CONTACTS, _LOG, _GROUPS = _campaign(8, {True: 0.3, False: 0.1}, n=60)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"contacts": _CONTACTS.drop(columns="coupon")}, r"contacts has no column 'coupon'"),
        ({"contacts": _CONTACTS.iloc[:0]}, "contacts has no rows"),
        ({"contacts": _CONTACTS.assign(cost=-1.0)}, r"cost of contacts is -1"),
        ({"contacts": _CONTACTS.assign(coupon=0.0)}, r"no campaign can be judged .*no coupons"),
        ({"until": None}, "no contact of a known customer whose window is over"),
        ({"contacts": _CONTACTS.assign(held_out=1)}, "held_out of contacts holds int64"),
        ({"contacts": pd.concat([_CONTACTS] * 2)}, "index of contacts is not unique"),
        ({"contacts": _CONTACTS.assign(channel=None)}, "channel"),
        ({"orders": _LOG.drop(columns="margin")}, "orders has no column 'margin'"),
        ({"driven": _GROUPS.to_dict()}, "driven is a dict"),
        ({"driven": _GROUPS.astype(int)}, "driven holds int64 values, no truth values"),
        ({"driven": pd.concat([_GROUPS] * 2)}, "driven has a customer several times"),
        ({"driven": _GROUPS | True}, "no judged contact is of a customer of the group 'others'"),
        ({"window": 0}, "window is 0; it must be > 0"),
        ({"level": 1}, "level is 1; it must be < 1"),
        ({"stage": ["awake"] * 60}, "stage is a list"),
        ({"stage": pd.Series(["awake"] * 59)}, "stage has another index than contacts"),
        ({"stage": pd.Series([None] * 60, dtype="str")}, "stage is missing at index 0"),
        (
            {"contacts": _CONTACTS.assign(time=_CONTACTS["time"].dt.tz_localize("UTC"))},
            "time of contacts has the time zone UTC",
        ),
    ],
)
def test_effect_names_bad_input(changed: dict[str, Any], message: str) -> None:
    given_: dict[str, Any] = {
        "contacts": _CONTACTS,
        "orders": _LOG,
        "driven": _GROUPS,
        "window": 30,
        "until": "2025-12-31",
    }
    given_ |= changed
    with pytest.raises(tp.InputError, match=message):
        promotion_effect(
            given_.pop("contacts"), given_.pop("orders"), given_.pop("driven"), **given_
        )


def test_where_no_lots_decided_nothing_is_confirmed() -> None:
    contacts, orders, driven = _campaign(11, {True: 0.6, False: 0.1})
    found = promotion_effect(contacts, orders, driven, window=30, until="2025-12-31")
    assert found.verdict == "confirmed"
    # Those contacted had bought before more often than those held out.
    sent = contacts.loc[~contacts["held_out"], "customer_id"]
    more = orders[orders["customer_id"].isin(sent[: len(sent) // 4])].drop_duplicates("customer_id")
    more = more.assign(time=START + pd.Timedelta(days=1))
    biased = promotion_effect(
        contacts,
        pd.concat([orders, more], ignore_index=True),
        driven,
        window=30,
        until="2025-12-31",
    )
    assert biased.before_p < 0.001
    assert biased.differences.loc["orders", "ci_low"] > 0
    assert biased.verdict == "not known"


def test_a_group_that_is_not_estimated_is_no_number() -> None:
    contacts, orders, driven = _campaign(12, {True: 0.6, False: 0.1}, n=200)
    alone = driven & ~contacts.set_index("customer_id")["held_out"]
    found = promotion_effect(contacts, orders, alone, window=30, until="2025-12-31")
    assert repr(found) == ("PromotionEffect(not known: the orders of a group are not estimated)")
