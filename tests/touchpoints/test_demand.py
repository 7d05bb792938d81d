"""Demand by region and period: loops as oracle, known interactions, coverage, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib.touchpoints.demand import demand_index

REGIONS, MONTHS = 6, 24
_WHOLE = {"since": "2024-01-01", "until": "2025-12-31"}


def _table(
    seed: int, spread: float, mean: float, *, clump: int = 1, money: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return orders of known demand, and the true ratio of each region and month.

    Customers order ``clump`` times in a month; with ``money`` amounts are exponential.
    """
    rng = np.random.default_rng(seed)
    shape = (REGIONS, MONTHS)
    ratio = rng.gamma(spread**-2, spread**2, shape) if spread > 0 else np.ones(shape)
    true = mean * np.outer(rng.uniform(0.5, 2, REGIONS), rng.uniform(0.6, 1.6, MONTHS)) * ratio
    count = rng.poisson(true / clump)
    row, column = np.repeat(np.indices(shape).reshape(2, -1), count.ravel(), axis=1)
    owner = np.repeat(np.arange(len(row)), clump)
    begin = pd.period_range("2024-01", periods=MONTHS, freq="M").start_time
    orders = pd.DataFrame(
        {
            "customer_id": owner,
            "time": begin[column[owner]] + pd.to_timedelta(rng.random(len(owner)) * 28, "D"),
            "region": row[owner],
            "amount": rng.exponential(50, len(owner)) if money else 1.0,
        }
    )
    whole = true.sum()
    return orders, (true * whole / np.outer(true.sum(axis=1), true.sum(axis=0))).ravel()


def test_demand_and_expectation_are_those_of_a_loop() -> None:
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    province = shop.customers.set_index("customer_id")["province"]
    table = demand_index(paid, region=province, freq="Q", value="amount", since="2024-02-10")
    known = paid[paid["time"] >= "2024-02-10"].copy()
    assert table.attrs["outside"] == len(paid) - len(known)
    assert table.attrs["orders"] == len(known)
    assert table.attrs["value"] == "amount"
    known["province"] = known["customer_id"].map(province).astype("str")
    known["quarter"] = known["time"].dt.to_period("Q").dt.start_time
    total = known["amount"].sum()
    assert len(table) == 5 * 8
    for row in table.itertuples():
        here = known["province"] == row.region
        then = known["quarter"] == row.period
        expected = known.loc[here, "amount"].sum() * known.loc[then, "amount"].sum() / total
        assert row.demand == pytest.approx(known.loc[here & then, "amount"].sum())
        assert row.expected == pytest.approx(expected)
        assert row.ratio == pytest.approx(row.demand / expected)
        days = 51 if row.period == pd.Timestamp("2024-01-01") else (row.period.days_in_month, 0)
        if isinstance(days, int):
            assert row.days == days
        rate = known.loc[then, "amount"].sum() / row.days
        assert row.period_index == pytest.approx(rate / (total / 691))
        assert row.region_index == pytest.approx(known.loc[here, "amount"].sum() / (total / 5))
    assert table.drop_duplicates("period")["days"].sum() == 691
    # Each customer's distance from all customers' course.
    own = known.pivot_table(
        index="customer_id", columns="quarter", values="amount", aggfunc="sum", fill_value=0.0
    ).to_numpy()
    share = own.sum(axis=0) / total
    squares = ((own - own.sum(axis=1, keepdims=True) * share) ** 2).sum()
    assert table.attrs["dispersion"] == pytest.approx(squares / total / (1 - share @ share))


def test_the_region_may_be_a_column_or_a_series() -> None:
    orders, _ = _table(1, 0.2, 20)
    by_customer = orders.set_index("customer_id")["region"]
    pd.testing.assert_frame_equal(
        demand_index(orders, region="region"), demand_index(orders, region=by_customer)
    )


@pytest.mark.parametrize(
    ("spread", "mean", "clump", "money"),
    [
        (0.1, 150.0, 1, False),
        (0.3, 150.0, 1, False),
        (0.3, 20.0, 1, False),
        (0.3, 100.0, 4, False),
        (0.3, 100.0, 1, True),
    ],
)
def test_intervals_cover_known_interactions(
    spread: float, mean: float, clump: int, money: bool
) -> None:
    covered, gains, spreads = [], [], []
    for seed in range(30):
        orders, true = _table(seed, spread, mean, clump=clump, money=money)
        table = demand_index(orders, region="region", value="amount" if money else None, **_WHOLE)
        covered.append(np.mean((table["index_low"] <= true) & (true <= table["index_high"])))
        wrong = [((table[name] - true) ** 2).mean() for name in ("index", "ratio")]
        gains.append(wrong[0] / wrong[1])
        spreads.append(np.mean(list(table.attrs["spread"].values())))
        assert table.attrs["dispersion"] == pytest.approx(2.0 * 50 if money else clump, rel=0.2)
    # Four standard errors over the tables, and what the documentation leaves open.
    error = np.std(covered) / np.sqrt(len(covered))
    assert 0.93 - 4 * error < np.mean(covered) < 0.96 + 4 * error
    # Shrunk is nearer to the truth than the plain ratio.
    assert np.mean(gains) < 1
    assert np.mean(spreads) == pytest.approx(spread, rel=0.25)


def test_a_region_with_a_season_of_its_own_is_covered() -> None:
    month = np.arange(MONTHS)
    ratio = np.ones((REGIONS, MONTHS))
    ratio[0] += 0.3 * np.cos(2 * np.pi * (month - 10) / 12)
    mean = 200 * ratio
    true = mean * mean.sum() / np.outer(mean.sum(axis=1), mean.sum(axis=0))
    begin = pd.period_range("2024-01", periods=MONTHS, freq="M").start_time
    covered = np.zeros((20, REGIONS))
    for seed in range(20):
        count = np.random.default_rng(900 + seed).poisson(mean)
        row, column = np.repeat(np.indices(mean.shape).reshape(2, -1), count.ravel(), axis=1)
        orders = pd.DataFrame(
            {"customer_id": np.arange(len(row)), "time": begin[column], "region": row}
        )
        table = demand_index(orders, region="region", **_WHOLE)
        low, high = (
            table[name].to_numpy().reshape(true.shape) for name in ("index_low", "index_high")
        )
        covered[seed] = ((low <= true) & (true <= high)).mean(axis=1)
    for part in (covered[:, 0], covered[:, 1:]):
        assert part.mean() > 0.93 - 4 * part.std() / np.sqrt(part.size)


def test_without_interaction_the_index_is_one() -> None:
    flagged, farthest, plain = [], [], []
    for seed in range(20):
        orders, _ = _table(500 + seed, 0.0, 60.0)
        table = demand_index(orders, region="region", **_WHOLE)
        flagged.append(table["exceptional"].mean())
        farthest.append((table["index"] - 1).abs().max())
        plain.append((table["ratio"] - 1).abs().max())
    assert np.mean(flagged) < 0.01
    assert max(farthest) < 0.12
    assert min(plain) > 0.2


def test_one_exceptional_month_is_found() -> None:
    orders, _ = _table(3, 0.0, 100.0)
    storm = (orders["region"] == 2) & (orders["time"].dt.to_period("M") == "2024-08")
    table = demand_index(orders[~storm], region="region", **_WHOLE)
    worst = table.loc[table["index"].idxmin()]
    assert (worst["region"], worst["period"]) == (2, pd.Timestamp("2024-08-01"))
    assert worst["exceptional"]
    assert worst["index"] < 0.3
    assert worst["demand"] == 0
    # The storm makes the spread of its own region wide, and leaves the others alone.
    others = table[table["region"] != 2]
    assert others["exceptional"].sum() <= 2
    spread = table.attrs["spread"]
    assert spread[2] > 3 * max(value for region, value in spread.items() if region != 2)


def test_the_cold_province_of_the_shop_buys_in_winter() -> None:
    # Its season is twice as strong as elsewhere, highest at the end of November.
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    table = demand_index(paid, region=shop.customers.set_index("customer_id")["province"])
    cold = table[table["region"] == "Heilongjiang"]
    month = cold["period"].dt.month
    sums = cold.groupby(month.isin([10, 11, 12, 1]))[["demand", "expected"]].sum()
    ratio = sums["demand"] / sums["expected"]
    assert ratio[True] > 1.03
    assert ratio[False] < 0.97
    indexes = cold.groupby(month.isin([10, 11, 12, 1]))["index"].mean()
    assert indexes[True] > 1 > indexes[False]


def test_bounds_of_both_margins_are_those_of_resampled_customers() -> None:
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    province = shop.customers.set_index("customer_id")["province"].astype(str)
    table = demand_index(paid, region=province)
    month = paid["time"].dt.to_period("M")
    own = pd.crosstab(paid["customer_id"], month).to_numpy()
    where = province.loc[np.unique(paid["customer_id"])].to_numpy()
    there = where[:, None] == np.unique(where)
    rng = np.random.default_rng(0)
    weight = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), 400)
    margins = {
        "region": ((weight * own.sum(axis=1)) @ there) * there.shape[1],
        "period": (weight @ own) / (table.drop_duplicates("period")["days"].to_numpy() / 731),
    }
    for name, drawn in margins.items():
        one = table.drop_duplicates(name).sort_values(name)
        half = (one[f"{name}_index_high"] - one[f"{name}_index_low"]) / 2
        drawn = drawn / (weight @ own.sum(axis=1))[:, None]
        np.testing.assert_allclose(half, 1.96 * drawn.std(axis=0), rtol=0.15)


def test_incomplete_months_count_by_their_days() -> None:
    days = pd.date_range("2024-01-16", "2024-03-20 23:00", freq="h")
    orders = pd.DataFrame(
        {"customer_id": range(len(days)), "time": days, "region": np.arange(len(days)) % 2}
    )
    table = demand_index(orders, region="region")
    assert table["days"].to_list() == [16, 29, 20] * 2
    assert table["period"].iloc[0] == pd.Timestamp("2024-01-01")
    np.testing.assert_allclose(table["period_index"], 1.0)
    np.testing.assert_allclose(table["region_index"], 1.0)
    # A quiet end is known only to who says so.
    longer = demand_index(orders, region="region", until="2024-04-30")
    assert longer["days"].to_list()[:4] == [16, 29, 31, 30]
    empty = longer[longer["period"] == "2024-04-01"]
    assert empty["ratio"].isna().all()
    np.testing.assert_allclose(empty["index"], 1.0)
    assert (empty["period_index"] == 0).all()
    zoned = orders.assign(time=orders["time"].dt.tz_localize("Asia/Shanghai"))
    pd.testing.assert_frame_equal(demand_index(zoned, region="region"), table)


def test_the_end_of_a_day_on_which_clocks_change() -> None:
    orders = _few(
        time=pd.to_datetime(
            ["2025-01-01 01:00", "2025-02-01 01:00", "2025-03-30 23:30", "2025-03-31 00:30"]
        )
    )
    orders["time"] = orders["time"].dt.tz_localize("Europe/Berlin")
    until = pd.Timestamp("2025-03-30", tz="Europe/Berlin")
    table = demand_index(orders, region="region", until=until)
    assert (table.attrs["orders"], table.attrs["outside"], table.attrs["value"]) == (3, 1, None)
    assert table["days"].to_list()[:3] == [31, 28, 30]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 120), st.integers(0, 9)),
        min_size=8,
        max_size=60,
    ),
    st.sampled_from(["M", "Q", "W"]),
)
def test_margins_hold_and_bounds_are_in_order(rows: list[Any], freq: Any) -> None:
    region, day, customer = map(np.array, zip(*rows, strict=True))
    orders = pd.DataFrame(
        {
            # Two of each keep the table a table.
            "customer_id": [*customer, 10, 11],
            "time": pd.Timestamp("2024-01-01") + pd.to_timedelta([*day, 0, 119], "D"),
            "region": [*region, 0, 1],
        }
    )
    table = demand_index(orders, region="region", freq=freq)
    assert table["demand"].sum() == len(orders)
    for name in ("region", "period"):
        sums = table.groupby(name)[["demand", "expected"]].sum()
        np.testing.assert_allclose(sums["demand"], sums["expected"], rtol=1e-9, atol=1e-9)
    assert (table["index_low"] < table["index_high"]).all()
    assert (table["index"] > 0).all()


def _few(**changed: Any) -> pd.DataFrame:
    plain: dict[str, Any] = {
        "customer_id": [1, 2, 3, 4],
        "time": pd.to_datetime(["2025-01-01", "2025-02-01", "2025-01-02", "2025-03-02"]),
        "region": ["a", "a", "b", "b"],
        "amount": [1.0, 2.0, 3.0, 4.0],
    }
    return pd.DataFrame(plain | changed)


@pytest.mark.parametrize(
    ("orders", "arguments", "message"),
    [
        (_few().drop(columns="region"), {}, "orders has no column 'region'"),
        (_few().iloc[:0], {}, "orders has no rows"),
        (_few(region=["a", "a", None, "b"]), {}, "region 'region' is missing at index 2"),
        (
            _few(region=["a", None, "b", "b"]).iloc[1:],
            {},
            r"region 'region' is missing at index 1 ",
        ),
        (_few(region="a"), {}, "demand is in 1 regions and 3 periods"),
        (_few(), {"freq": "D"}, "freq is 'D'; it must be one of 'M', 'Q', 'W'"),
        (_few(amount=[-1.0, 2.0, 3.0, 4.0]), {"value": "amount"}, "amount of orders is -1"),
        (_few(), {"since": "2025-04-01"}, "since is 2025-04-01 .* pass since before until"),
        (_few(), {"until": "2024-04-01"}, "pass since before until"),
        (_few(), {"since": "2025-01-10", "until": "2025-01-20"}, "orders has no row from"),
        (_few(), {"value": 5}, "orders has no column 5"),
        (_few(), {"since": 5}, "since is 5; pass a moment"),
        (_few(), {"region": {"a": 1}}, "region is a dict"),
        (_few(), {"region": pd.Series("x", index=[1, 2, 3])}, "region has no customer 4"),
        (_few(), {"region": pd.Series("x", index=[1, 1, 3])}, "region has a customer several"),
        (_few(), {"level": 2}, "level is 2; it must be < 1"),
        (
            _few(
                customer_id=[1, 1, 2, 2],
                time=pd.to_datetime(["2025-01-01", "2025-02-01"] * 2),
            ),
            {},
            "every customer's demand is spread over the periods as that of all",
        ),
    ],
)
def test_bad_input_is_named(orders: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tp.InputError, match=message):
        demand_index(orders, **({"region": "region"} | arguments))
