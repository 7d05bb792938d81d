"""The matrix: its cells by hand, its counts in plain Python, and what nobody can know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.simulate.contacts import ShopCampaign, ShopContacts
from touchpoint_lib.touchpoints.matrix import TouchpointMatrix, touchpoint_matrix
from touchpoint_lib.touchpoints.stages import stage_at, stage_history

DAY = pd.Timedelta(days=1)
WINDOW = 30
COVARIATES = ["silence", "age", "orders_before"]
AT = pd.Timestamp("2024-06-01")
UNTIL = "2024-12-31"


# --- a simulated shop ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> dict[str, Any]:
    """A shop with two campaigns by SMS that hold out different shares, and the channel's own."""
    campaigns = (
        ShopCampaign(name="spring", channel="sms", day=150, held_out=0.5),
        ShopCampaign(name="wake", channel="sms", day=250, silence=(30, 300), held_out=0.25),
    )
    made = tp.simulate_shop(
        seed=3, n_customers=2500, days=360, contacts=ShopContacts(campaigns=campaigns)
    )
    paid = made.orders[made.orders["status"] == "paid"]
    model = tp.ModifiedBetaGeoModel.from_params([0.6, 60.0, 0.9, 2.0], unit="D")
    end = made.call["start"] + 360 * DAY - pd.Timedelta("1us")
    history = stage_history(paid, model, until=end)
    return {"contacts": made.contacts, "orders": paid, "stages": history, "until": end}


@pytest.fixture(scope="module")
def matrix(shop: dict[str, Any]) -> TouchpointMatrix:
    return touchpoint_matrix(**shop, window=WINDOW)


def assembled(shop: dict[str, Any], channel: str) -> pd.DataFrame:
    """The experiment of a channel, put together from the logs."""
    rows = shop["contacts"]
    rows = rows[(rows["channel"] == channel) & (rows["time"] + WINDOW * DAY <= shop["until"])]
    stage = stage_at(shop["stages"], rows)
    rows, stage = rows[stage.notna()], stage[stage.notna()]
    keep = ["campaign", "cost", "held_out"]
    data = tp.contact_outcomes(
        rows, shop["orders"], window=WINDOW, amounts=["margin"], keep=keep, until=shop["until"]
    ).assign(stage=stage.astype(str))
    return data.assign(campaign=data["campaign"].astype(object).fillna("none"))


@pytest.mark.parametrize("channel", ["chat", "sms", "email", "parcel", "social"])
def test_cells_are_what_the_evaluation_of_their_rows_says(channel, shop, matrix):
    data = assembled(shop, channel)
    table = matrix.table[matrix.table["channel"] == channel].set_index("stage")
    compared = 0
    for stage in ("all", "new", "awake", "drowsy", "half asleep", "asleep"):
        part = data if stage == "all" else data[data["stage"] == stage]
        if part.empty:
            assert stage not in table.index
            continue
        cell = table.loc[stage]
        # Within campaigns: those that have few customers in an arm here play no part.
        people = part.pivot_table(
            index="campaign", columns="held_out", values="customer_id", aggfunc="nunique"
        )
        large = people.index[(people.reindex(columns=[False, True]) >= 20).all(axis=1)]
        everybody, part = part, part[part["campaign"].isin(large)]
        if part.empty:
            assert cell["result"] == "not identified"
            assert cell["reason"].startswith("no campaign has 20 customers in")
            continue
        buyers = part[part["orders"] > 0].groupby("held_out")["customer_id"].nunique()
        if len(buyers) < 2 or buyers.min() < 20:
            # Too few orders for an interval: see below.
            continue
        compared += 1
        several = ["campaign"] if len(part["campaign"].unique()) > 1 else []
        found = tp.evaluate_campaign(
            part,
            arm="arm",
            control="held out",
            outcomes=["orders", "margin"],
            method="lin",
            covariates=[*COVARIATES, *several],
            cluster="customer_id",
            costs={"margin": tp.CampaignCosts(margin=1.0, contact="cost")},
        ).table.set_index("outcome")
        orders, margin = found.loc["orders"], found.loc["margin"]
        sent = margin["n_treated"]
        assert cell["method"] == "random holdout"
        expected = {
            "orders_per_1000": 1000 * orders["effect"],
            "orders_low": 1000 * orders["ci_low"],
            "orders_high": 1000 * orders["ci_high"],
            "margin_per_1000": 1000 * margin["effect"],
            "margin_low": 1000 * margin["ci_low"],
            "margin_high": 1000 * margin["ci_high"],
            "profit_per_1000": 1000 * margin["net_profit"] / sent,
            "profit_low": 1000 * margin["net_profit_low"] / sent,
            "profit_high": 1000 * margin["net_profit_high"] / sent,
            "p_value": orders["p_value"],
            "cost_per_1000": 1000 * everybody.loc[~everybody["held_out"], "cost"].mean(),
        }
        for name, value in expected.items():
            # Leverages near 1 cost digits: 7 are left in one cell.
            assert cell[name] == pytest.approx(value, rel=1e-6), (stage, name)
        assert cell["contacts"] == (~everybody["held_out"]).sum()
        assert cell["held_out"] == everybody["held_out"].sum()
        assert cell["compared"] == len(part)
    assert compared >= 2


def test_the_difference_without_covariates_is_that_of_plain_means(shop):
    found = touchpoint_matrix(**shop, window=WINDOW, covariates=())
    for channel in ("parcel", "email"):
        data = assembled(shop, channel)
        for stage in ("new", "awake"):
            means = data[data["stage"] == stage].groupby("held_out")["orders"].mean()
            table = found.table.set_index(["channel", "stage"])
            got = table.loc[(channel, stage), "orders_per_1000"]
            assert got == pytest.approx(1000 * (means[False] - means[True]))


def test_holm_over_the_rows_of_a_channel(matrix):
    # The family is of the orders and the margin, twice as many rows.
    pairs = [("p_value", "p_adjusted"), ("profit_p", "profit_p_adjusted")]
    for _, rows in matrix.table[matrix.table["by"] == "stage"].groupby("channel"):
        for plain, adjusted in pairs:
            p = rows[plain].dropna().sort_values()
            steps = [min(1, value * (len(p) - place)) for place, value in enumerate(p)]
            expected = pd.Series(
                np.maximum.accumulate(steps) if steps else [], index=p.index, dtype=float
            )
            pd.testing.assert_series_equal(
                rows.loc[p.index, adjusted], expected, check_names=False, rtol=1e-9
            )


def test_the_p_of_profit_is_that_of_its_interval(matrix):
    known = matrix.table[matrix.table["profit_p"].notna()]
    assert (known["profit_p"] < 0.05).equals(known["result"] != "not known")
    assert known.index.equals(matrix.table.index[matrix.table["profit_low"].notna()])
    z = known["profit_per_1000"] / ((known["profit_high"] - known["profit_low"]) / 2 / 1.959964)
    np.testing.assert_allclose(known["profit_p"], 2 * norm.sf(z.abs()), rtol=1e-4)


def test_results_and_quadrants_follow_the_rules(matrix):
    table = matrix.table
    gains = table[table["result"] == "gains"]
    mean = gains.groupby("by")["not_reached_value"].mean()
    for row in table.itertuples():
        if np.isnan(row.profit_low):
            assert row.result == "not identified"
            assert row.reason
            assert row.method == ""
            assert np.isnan([row.orders_per_1000, row.margin_high, row.p_value]).all()
        else:
            assert row.reason == ""
            sign = (row.profit_low > 0) - (row.profit_high < 0)
            assert row.result == {1: "gains", 0: "not known", -1: "loses"}[sign]
            worth = row.unreached * row.profit_per_1000 / 1000
            assert row.not_reached_value == pytest.approx(worth)
        quadrant = {"gains": "keep", "loses": "stop"}.get(row.result, "find out")
        if row.result == "gains" and row.not_reached_value >= mean[row.by]:
            quadrant = "expand"
        assert row.quadrant == quadrant
    assert {"gains", "not known", "not identified"} <= set(table["result"])


def test_forms_of_the_result(matrix):
    assert repr(matrix).startswith("TouchpointMatrix(6 channels; cells: ")
    frame = matrix.to_frame()
    frame.loc[:, "contacts"] = -1
    assert (matrix.table["contacts"] >= 0).all()
    wide = matrix.pivot("contacts")  # noqa: PD010
    assert wide.columns.to_list() == ["all", "new", "awake", "drowsy", "half asleep", "asleep"]
    cells = matrix.table.set_index(["channel", "stage"])["contacts"]
    for channel, row in wide.iterrows():
        for stage, value in row.items():
            assert cells.get((channel, stage), np.nan) == value or np.isnan(value)
    html = matrix._repr_html_()
    assert "Orders within 30 days of an opportunity, up to 2024-12-25 23:59:59.999999" in html
    assert f"{matrix.left_out['window not over']:,} window not over" in html
    with pytest.raises(InputError, match="no column 'earnings'"):
        matrix.pivot("earnings")  # noqa: PD010


# --- counts in plain Python ---------------------------------------------------------------------


def recount(
    contacts: pd.DataFrame,
    history: pd.DataFrame,
    until: pd.Timestamp,
    segment: dict[Any, Any],
    reachable: pd.DataFrame,
) -> tuple[dict[Any, dict[str, float]], dict[str, int]]:
    """Every count of the table by (channel, by, stage), by loops."""
    spells: dict[Any, list[Any]] = {}
    for row in history.itertuples():
        spells.setdefault(row.customer_id, []).append((row.start, row.end, row.stage))

    def stage_of(customer: Any, moment: pd.Timestamp) -> Any:
        for start, end, stage in spells.get(customer, []):
            if start <= moment and (pd.isna(end) or moment < end):
                return stage
        return None

    left_out = {"window not over": 0, "no order yet": 0}
    rows = []
    for one in contacts.itertuples():
        stage = stage_of(one.customer_id, one.time)
        if one.time + WINDOW * DAY > until:
            left_out["window not over"] += 1
        elif stage is None:
            left_out["no order yet"] += 1
        else:
            rows.append((one, stage))
    first, last = (end(one.time for one, _ in rows) for end in (min, max))
    there: dict[Any, set[Any]] = {}
    today: dict[Any, set[Any]] = {}
    for customer, own in spells.items():
        for start, end, stage in own:
            for people, since, to in ((there, first, last), (today, until, until)):
                if start <= to and (pd.isna(end) or end > since):
                    for cell in (("", "all"), ("stage", stage), ("segment", segment[customer])):
                        people.setdefault(cell, set()).add(customer)
    cells: dict[Any, dict[str, float]] = {}
    made: dict[Any, set[Any]] = {}
    spent: dict[Any, float] = {}
    left: dict[Any, int] = {}
    for one, stage in rows:
        for cell in (("", "all"), ("stage", stage), ("segment", segment[one.customer_id])):
            key = (one.channel, *cell)
            counts = cells.setdefault(key, {"opportunities": 0, "contacts": 0, "held_out": 0})
            counts["opportunities"] += 1
            counts["held_out" if one.held_out else "contacts"] += 1
            if not one.held_out:
                made.setdefault(key, set()).add(one.customer_id)
                spent[key] = spent.get(key, 0) + one.cost
                left[key] = left.get(key, 0) + one.unsubscribed
    for key, counts in cells.items():
        channel, cell = key[0], key[1:]
        counts["customers"] = len(made.get(key, ()))
        counts["reach"] = counts["customers"] / len(there[cell])
        counts["cost_per_1000"] = (
            1000 * spent[key] / counts["contacts"] if counts["contacts"] else np.nan
        )
        counts["unsubscribed_per_1000"] = (
            1000 * left[key] / counts["contacts"] if counts["contacts"] else np.nan
        )
        mine = [one for one in contacts.itertuples() if one.channel == channel and not one.held_out]
        mine = [one for one in mine if one.time <= until]
        recent = {one.customer_id for one in mine if one.time > until - WINDOW * DAY}
        gone = {one.customer_id for one in mine if one.unsubscribed}
        agrees = set(spells)
        if channel in reachable.columns:
            agrees = set(reachable.index[reachable[channel]])
        counts["customers_today"] = len(today.get(cell, ()))
        counts["unreached"] = len((today.get(cell, set()) & agrees) - recent - gone)
    return cells, left_out


@pytest.mark.parametrize("until", ["whole log", "2024-09-30"])
def test_counts_are_those_of_a_plain_recount(until, shop):
    end = shop["until"] if until == "whole log" else pd.Timestamp(f"{until} 23:59:59.999999")
    ids = shop["contacts"]["customer_id"].unique()[:150]
    contacts = shop["contacts"][shop["contacts"]["customer_id"].isin(ids)]
    orders = shop["orders"][
        shop["orders"]["customer_id"].isin(ids) & (shop["orders"]["time"] <= end)
    ]
    history = shop["stages"][shop["stages"]["customer_id"].isin(ids)]
    rng = np.random.default_rng(0)
    core = pd.Series(np.where(rng.random(len(ids)) < 0.3, "core", "others"), index=ids)
    reachable = pd.DataFrame(
        {"sms": rng.random(len(ids)) < 0.5, "email": True, "fax": False}, index=ids
    )
    found = touchpoint_matrix(
        contacts, orders, history, window=WINDOW, until=end, segment=core, reachable=reachable
    )
    expected, left_out = recount(contacts, history, end, core.to_dict(), reachable)
    assert found.left_out == left_out
    assert min(left_out.values()) > 0
    table = found.table.set_index(["channel", "by", "stage"])
    assert set(table.index) == set(expected)
    for key, counts in expected.items():
        for name, value in counts.items():
            assert table.loc[key, name] == pytest.approx(value, nan_ok=True), (key, name)
    assert found.until == end
    # Orders behind the end are not looked at.
    more = shop["orders"][shop["orders"]["customer_id"].isin(ids)]
    again = touchpoint_matrix(
        contacts, more, history, window=WINDOW, until=end, segment=core, reachable=reachable
    )
    pd.testing.assert_frame_equal(again.table, found.table)


def test_who_unsubscribed_has_an_interval(shop, matrix):
    left = ["unsubscribed_per_1000", "unsubscribed_low", "unsubscribed_high"]
    made = shop["contacts"][~shop["contacts"]["held_out"]]
    # One contact a customer, the one behind which they left: Wilson's interval as it stands.
    one = made.sort_values("unsubscribed", kind="stable").drop_duplicates(
        "customer_id", keep="last"
    )
    table = touchpoint_matrix(
        one, shop["orders"], shop["stages"], window=WINDOW, until=shop["until"]
    ).table
    row = table[(table["channel"] == "email") & (table["by"] == "")].iloc[0]
    n = row["contacts"]
    count = round(row["unsubscribed_per_1000"] * n / 1000)
    assert 0 < count < n
    low, high = proportion_confint(count, n, method="wilson")
    np.testing.assert_allclose(row[left].astype(float), [1000 * count / n, 1000 * low, 1000 * high])
    # Several contacts of a customer are less than as many cases.
    whole = matrix.table[matrix.table["contacts"] > 0]
    assert (whole["unsubscribed_low"] <= whole["unsubscribed_per_1000"]).all()
    assert (whole["unsubscribed_per_1000"] <= whole["unsubscribed_high"]).all()
    blind = touchpoint_matrix(
        one.drop(columns="unsubscribed"),
        shop["orders"],
        shop["stages"],
        window=WINDOW,
        until=shop["until"],
    )
    assert blind.table[left].isna().all().all()


# --- experiments made by hand -------------------------------------------------------------------


def experiment(
    n: int,
    *,
    share: float = 0.5,
    base: float = 0.5,
    effect: float = 0.0,
    seed: int = 0,
    first: int = 0,
    channel: str = "sms",
    campaign: str | None = "A",
    stage: str = "awake",
    cost: float = 0.5,
    spread: int = 60,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Contacts, orders and stages of n customers, of whom a lot holds out a share.

    Without a contact they order ``base`` times on average within the window, with one ``effect``
    more.
    """
    rng = np.random.default_rng([seed, first])
    ids = first + np.arange(n)
    held_out = rng.permutation(n) < round(share * n)
    count = rng.poisson(np.where(held_out, base, base + effect))
    bought = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, spread, n), "D")
    later = AT + pd.to_timedelta(rng.uniform(0.01, WINDOW - 0.1, count.sum()), "D")
    orders = pd.DataFrame(
        {
            "customer_id": np.concatenate([ids, np.repeat(ids, count)]),
            "time": np.concatenate([bought, later]),
        }
    ).assign(margin=10.0, amount=40.0)
    contacts = pd.DataFrame(
        {
            "customer_id": ids,
            "time": AT,
            "channel": channel,
            "campaign": campaign,
            "held_out": held_out,
            "cost": np.where(held_out, 0.0, cost),
        }
    )
    stages = pd.DataFrame({"customer_id": ids, "start": bought, "end": pd.NaT, "stage": stage})
    return contacts, orders, stages


def joined(*parts: Any) -> dict[str, pd.DataFrame]:
    """Several experiments as one shop."""
    contacts, orders, stages = (
        pd.concat(each, ignore_index=True) for each in zip(*parts, strict=True)
    )
    stages["stage"] = stages["stage"].astype("category")
    stages["end"] = pd.to_datetime(stages["end"])
    return {"contacts": contacts, "orders": orders, "stages": stages}


def cell_of(found: TouchpointMatrix, stage: str = "all", channel: str = "sms") -> pd.Series:
    table = found.table.set_index(["channel", "stage"])
    return table.loc[(channel, stage)]


def evaluated(*parts: Any, **options: Any) -> TouchpointMatrix:
    return touchpoint_matrix(**joined(*parts), **{"window": WINDOW, "until": UNTIL, **options})


def test_a_known_effect_is_found():
    cell = cell_of(evaluated(experiment(4000, effect=0.3)))
    assert cell["orders_low"] < 300 < cell["orders_high"]
    assert cell["orders_high"] - cell["orders_low"] < 150
    assert (cell["result"], cell["quadrant"]) == ("gains", "expand")
    assert cell["margin_per_1000"] == pytest.approx(10 * cell["orders_per_1000"])
    assert cell["profit_per_1000"] == pytest.approx(cell["margin_per_1000"] - 500)
    assert cell["profit_high"] == pytest.approx(cell["margin_high"] - 500)
    assert (cell["reach"], cell["cost_per_1000"]) == (0.5, 500)


def test_margin_as_a_share_of_the_amount():
    data = experiment(1000, effect=0.3)
    column, share = (cell_of(evaluated(data, margin=margin)) for margin in ("margin", 0.25))
    # A quarter of 40 is the 10 that the column has.
    pd.testing.assert_series_equal(share, column, check_exact=False, rtol=1e-9)
    half = cell_of(evaluated(data, margin=0.5))
    assert half["margin_per_1000"] == pytest.approx(2 * column["margin_per_1000"])
    assert half["orders_per_1000"] == pytest.approx(column["orders_per_1000"])


def test_what_costs_more_than_it_earns_is_to_be_stopped():
    found = evaluated(experiment(1000, effect=0.05, cost=9.0))
    cell = cell_of(found)
    assert (cell["result"], cell["quadrant"]) == ("loses", "stop")
    assert cell["profit_high"] < 0


def test_expand_is_what_gains_and_has_much_left():
    small = experiment(1500, effect=0.6, first=0, channel="sms", stage="awake")
    large = experiment(1500, effect=0.6, first=5000, channel="chat", stage="drowsy")
    data = joined(small, large)
    # Of the drowsy there are many more than were contacted; the awake were all contacted lately.
    idle = pd.DataFrame(
        {
            "customer_id": 20_000 + np.arange(3000),
            "start": AT - DAY,
            "end": pd.NaT,
            "stage": "drowsy",
        }
    )
    stages = pd.concat([data["stages"].astype({"stage": "str"}), idle], ignore_index=True)
    data["stages"] = stages.astype({"stage": "category", "end": "datetime64[us]"})
    found = touchpoint_matrix(**data, window=WINDOW, until=AT + WINDOW * DAY)
    assert cell_of(found, "awake", "sms")["quadrant"] == "keep"
    assert cell_of(found, "drowsy", "chat")["quadrant"] == "expand"


# Campaign A holds out one in ten of those who buy anyway, B nine in ten of those who do not.
KEEN = {"base": 2.0, "share": 0.1, "campaign": "A"}
LAZY = {"base": 0.2, "share": 0.9, "campaign": "B", "first": 50_000}


@pytest.mark.parametrize("covariates", [tuple(COVARIATES), ()])
def test_campaigns_with_different_shares_are_compared_apart(covariates):
    data = joined(experiment(3000, **KEEN, effect=0.1), experiment(3000, **LAZY, effect=0.1))
    counts = data["orders"][data["orders"]["time"] > AT].groupby("customer_id").size()
    bought = data["contacts"]["customer_id"].map(counts).fillna(0)
    means = bought.groupby(data["contacts"]["held_out"]).mean()
    # Pooled, a contact seems to bring 15 times as much as it does.
    assert means[False] - means[True] > 1.4
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL, covariates=covariates)
    for stage in ("all", "awake"):
        cell = cell_of(found, stage)
        assert cell["orders_low"] < 100 < cell["orders_high"]
        assert cell["orders_high"] - cell["orders_low"] < 250
    nothing = cell_of(
        evaluated(experiment(3000, **KEEN), experiment(3000, **LAZY), covariates=covariates)
    )
    assert nothing["orders_low"] < 0 < nothing["orders_high"]
    # Without the names of the campaigns nothing tells the two apart.
    nameless = {**data, "contacts": data["contacts"].drop(columns="campaign")}
    pooled = cell_of(touchpoint_matrix(**nameless, window=WINDOW, until=UNTIL, covariates=()))
    assert pooled["orders_low"] > 1000


@pytest.mark.parametrize("covariates", [tuple(COVARIATES), ()])
def test_a_campaign_that_held_out_nobody_in_a_cell_plays_no_part_in_it(covariates):
    # The keen whom A contacted are compared with the lazy whom B held out.
    found = evaluated(
        experiment(3000, **KEEN, stage="awake"),
        experiment(1000, **{**KEEN, "share": 0.0}, stage="asleep", first=10_000),
        experiment(1000, **{**LAZY, "share": 0.5}, stage="asleep"),
        covariates=covariates,
    )
    cell = cell_of(found, "asleep")
    assert cell["orders_low"] < 0 < cell["orders_high"]
    assert cell["orders_high"] - cell["orders_low"] < 200


def test_a_campaign_that_held_out_one_customer_in_a_cell_plays_no_part_in_it():
    # The regression meets that one exactly: its luck stands for all of A.
    held = 0
    for seed in range(20):
        found = evaluated(
            experiment(301, **{**KEEN, "share": 1 / 301}, seed=seed),
            experiment(600, **{**LAZY, "share": 0.5}, seed=seed),
        )
        cell = cell_of(found)
        held += cell["orders_low"] < 0 < cell["orders_high"]
    # 95 % of 20 are 19: 16 is three standard errors less.
    assert held >= 16


def test_an_arm_in_which_nobody_orders_knows_no_error():
    # With no order among those held out their mean has no error, and few such
    # cells of simulated shops hold the truth.
    data = joined(experiment(300, share=0.1, base=0.03, seed=5))
    contacts, orders = data["contacts"], data["orders"]
    held_out = contacts.loc[contacts["held_out"], "customer_id"]
    data["orders"] = orders[(orders["time"] < AT) | ~orders["customer_id"].isin(held_out)]
    assert (data["orders"]["time"] > AT).sum() > 5
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL)
    cell = cell_of(found)
    assert cell["result"] == "not identified"
    assert "order" in cell["reason"]


def test_a_campaign_without_a_lot_does_not_change_the_others():
    alone = cell_of(evaluated(experiment(1000, effect=0.3)))
    both = cell_of(
        evaluated(experiment(1000, effect=0.3), experiment(1000, share=0, campaign="B", first=9000))
    )
    effects = [name for name in alone.index if name.startswith(("orders", "margin", "profit"))]
    pd.testing.assert_series_equal(both[effects], alone[effects], check_dtype=False)
    assert (alone["contacts"], both["contacts"]) == (500, 1500)


# --- not identified -----------------------------------------------------------------------------


def unknown(found: TouchpointMatrix, reason: str, stage: str = "all") -> None:
    cell = cell_of(found, stage)
    assert cell["reason"].startswith(reason), cell["reason"]
    assert (cell["result"], cell["quadrant"], cell["method"]) == ("not identified", "find out", "")
    assert (
        cell[["orders_per_1000", "orders_low", "margin_high", "profit_low", "p_value"]].isna().all()
    )
    assert cell["opportunities"] > 0


def test_without_a_holdout_nothing_is_known():
    data = joined(experiment(400))
    data["contacts"] = data["contacts"].drop(columns="held_out")
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL)
    unknown(found, "nobody was held out")
    unknown(found, "nobody was held out", "awake")
    assert cell_of(found)["contacts"] == 400
    unknown(evaluated(experiment(400, share=0.0)), "nobody was held out")
    unknown(evaluated(experiment(400, share=1.0)), "everybody was held out")
    assert np.isnan(cell_of(evaluated(experiment(400, share=1.0)))["cost_per_1000"])
    # One campaign all, the other nobody.
    mixed = evaluated(experiment(400, share=1.0), experiment(400, share=0, campaign="B", first=999))
    unknown(mixed, "no campaign has 20 customers in")


@pytest.mark.parametrize("campaign", ["A", None])
def test_who_was_held_out_by_value_was_no_lot(campaign):
    data = joined(experiment(1000, campaign=campaign))
    first = data["orders"].groupby("customer_id")["time"].min()
    early = data["contacts"]["customer_id"].map(first) < pd.Timestamp("2024-01-31")
    data["contacts"] = data["contacts"].assign(held_out=early, cost=np.where(early, 0, 0.5))
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL)
    where = f" of {campaign}" if campaign else ""
    unknown(found, f"those held out{where} were other customers before the contact than")
    assert "(p = " in cell_of(found)["reason"]


def test_a_lot_is_called_a_lot():
    held = [
        cell_of(evaluated(experiment(200, seed=seed)))["method"] == "random holdout"
        for seed in range(40)
    ]
    # One lot in a thousand looks like none.
    assert sum(held) >= 39


@pytest.mark.parametrize("share", [19 / 100, 81 / 100])
def test_an_arm_of_19_customers_is_too_small(share):
    parts = experiment(100, share=share, base=9.0), experiment(400, first=5000, stage="new")
    unknown(evaluated(*parts), "no campaign has 20 customers in", "awake")
    found = evaluated(experiment(100, share=0.2, base=9.0), parts[1])
    assert cell_of(found, "awake")["method"] == "random holdout"
    unknown(evaluated(parts[0]), "no campaign has 20 customers in", "all")


def test_orders_that_do_not_vary():
    found = evaluated(experiment(200, base=0.0), experiment(200, first=999, stage="new"))
    unknown(found, "", "awake")
    assert cell_of(found, "awake")["reason"]
    assert cell_of(found, "new")["method"] == "random holdout"


@pytest.mark.parametrize("campaigns", [1, 2])
def test_customers_who_were_all_alike_before(campaigns):
    # No covariate varies, so none can tell the arms apart.
    parts = [
        experiment(400, effect=0.5, spread=1, first=9000 * i, campaign="AB"[i])
        for i in range(campaigns)
    ]
    found = cell_of(evaluated(*parts))
    plain = cell_of(evaluated(*parts, covariates=()))
    assert found["method"] == "random holdout"
    assert found["orders_per_1000"] == pytest.approx(plain["orders_per_1000"])


# --- a comparison instead of a lot --------------------------------------------------------------


def compared(seed: int = 0) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Contacts that follow the customers' age, and the moments of those who had none."""
    data = joined(experiment(6000, share=0.0, base=0.0, seed=seed))
    rng = np.random.default_rng(seed)
    days = (AT - data["stages"]["start"]).dt.days.to_numpy()
    sent = rng.random(len(days)) < 1 / (1 + np.exp(-(days - 120) / 30))
    # Who is older buys more, contacted or not; a contact brings 0.2 orders more.
    count = rng.poisson(0.01 * (days - 80) + 0.2 * sent)
    ids = data["contacts"]["customer_id"].to_numpy()
    later = pd.DataFrame(
        {
            "customer_id": np.repeat(ids, count),
            "time": AT + pd.to_timedelta(rng.uniform(0.1, 29, count.sum()), "D"),
        }
    ).assign(margin=10.0, amount=40.0)
    data["orders"] = pd.concat([data["orders"], later], ignore_index=True)
    others = data["contacts"].loc[~sent, ["customer_id", "time"]]
    data["contacts"] = data["contacts"][sent].drop(columns=["held_out", "campaign"])
    return data, others


def test_moments_without_a_contact_make_an_adjusted_figure():
    data, others = compared()
    plain = touchpoint_matrix(**data, window=WINDOW, until=UNTIL)
    unknown(plain, "nobody was held out")
    found = touchpoint_matrix(
        **data, window=WINDOW, until=UNTIL, covariates=["age"], comparison={"sms": others}
    )
    cell = cell_of(found)
    assert cell["method"] == "adjusted"
    # It gains, and is nothing to act on: no lot decided.
    assert (cell["result"], cell["quadrant"]) == ("gains", "find out")
    assert cell["orders_low"] < 200 < cell["orders_high"]
    assert cell["orders_high"] - cell["orders_low"] < 150
    # The moments are no opportunities: they count for nobody.
    for name in ("opportunities", "contacts", "held_out", "customers", "reach", "unreached"):
        assert cell[name] == cell_of(plain)[name]
    # A name that no contact has is passed over.
    with pytest.raises(InputError, match="comparison names 'fax'"):
        touchpoint_matrix(**data, window=WINDOW, until=UNTIL, comparison={"fax": others})


def test_what_covariates_do_not_know_no_comparison_tells():
    """The page speaks to whoever is about to buy: its truth is 10 orders by 1,000 contacts."""
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    page = shop.contacts[shop.contacts["channel"] == "page"]
    history = stage_history(paid, tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time")))
    rng = np.random.default_rng(0)
    days = pd.to_timedelta(rng.uniform(0, 700, len(page)), "D")
    others = pd.DataFrame(
        {"customer_id": rng.permutation(page["customer_id"]), "time": shop.call["start"] + days}
    )
    others["time"] = others["time"].dt.floor("us")
    found = touchpoint_matrix(page, paid, history, window=90, comparison={"page": others})
    assert cell_of(found, channel="page")["orders_low"] > 200
    assert (found.table["quadrant"] == "find out").all()


def test_a_lot_is_worth_more_than_a_comparison():
    data = joined(experiment(400, effect=0.3))
    others = data["contacts"][["customer_id", "time"]]
    with_it, without = (
        touchpoint_matrix(**data, window=WINDOW, until=UNTIL, comparison=moments)
        for moments in ({"sms": others}, None)
    )
    pd.testing.assert_frame_equal(with_it.table, without.table)


# --- segments, reach ----------------------------------------------------------------------------


def test_segments_stand_beside_the_stages():
    strong, weak = experiment(1500, effect=0.5), experiment(1500, first=5000, stage="new")
    ids = pd.Index([*strong[0]["customer_id"], *weak[0]["customer_id"]])
    label = pd.Series(np.where(ids < 5000, "core", "others"), index=ids)
    found = evaluated(strong, weak, segment=label)
    table = found.table.set_index(["by", "stage"])
    rows = ["/all", "stage/awake", "stage/new", "segment/core", "segment/others"]
    assert ["/".join(row) for row in table.index] == rows
    figures = ["orders_per_1000", "profit_low", "contacts", "reach", "customers_today"]
    for one, other in (
        (("segment", "core"), ("stage", "awake")),
        (("segment", "others"), ("stage", "new")),
    ):
        np.testing.assert_allclose(
            table.loc[one, figures].astype(float), table.loc[other, figures].astype(float)
        )
    wide = found.pivot("contacts")  # noqa: PD010
    assert wide.columns.to_list() == ["all", "awake", "new"]


@pytest.mark.parametrize("labels", [(True, False), (1, 2), (1.5, 0.5)])
def test_segments_that_are_no_text(labels):
    # Evaluate_campaign calls segments by their text.
    parts = experiment(400, effect=0.5), experiment(400, first=5000, stage="new")
    ids = pd.Index([*parts[0][0]["customer_id"], *parts[1][0]["customer_id"]])
    label = pd.Series(np.where(ids < 5000, *labels), index=ids)
    table = evaluated(*parts, segment=label).table
    own = table[table["by"] == "segment"]
    assert set(own["stage"]) == set(labels)
    assert (own["contacts"] == 200).all()
    assert own["orders_per_1000"].notna().all()
    assert set(own["orders_per_1000"]) == set(table.loc[table["by"] == "stage", "orders_per_1000"])


def test_stages_that_are_no_text():
    data = joined(experiment(400, effect=0.5), experiment(400, first=5000, stage="new"))
    plain = touchpoint_matrix(**data, window=WINDOW, until=UNTIL).table
    numbers = data["stages"]["stage"].map({"awake": 1, "new": 2}).astype(int)
    data["stages"]["stage"] = numbers.astype("category")
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL).table
    assert found["stage"].tolist() == ["all", 1, 2]
    assert found["orders_per_1000"].tolist() == plain["orders_per_1000"].tolist()


def test_a_cost_of_who_was_held_out_is_refused():
    # It is taken off the cost of the contacts, and profit is margin.
    data = joined(experiment(400))
    data["contacts"] = data["contacts"].assign(cost=0.5)
    with pytest.raises(InputError, match=r"cost.*held out"):
        touchpoint_matrix(**data, window=WINDOW, until=UNTIL)


def test_stages_that_end_before_the_orders_are_refused():
    # Nobody falls asleep between the end of the history and ``until``.
    data = joined(experiment(400))
    model = tp.ModifiedBetaGeoModel.from_params([0.6, 60.0, 0.9, 2.0], unit="D")
    data["stages"] = stage_history(data["orders"], model)
    with pytest.raises(InputError, match="until"):
        touchpoint_matrix(**data, window=WINDOW, until="2026-12-31")


def test_who_unsubscribed_or_does_not_agree_is_not_unreached():
    data = joined(experiment(400))
    assert cell_of(touchpoint_matrix(**data, window=WINDOW, until=UNTIL))["unreached"] == 400
    gone = ~data["contacts"]["held_out"] & (data["contacts"]["customer_id"] < 100)
    data["contacts"] = data["contacts"].assign(unsubscribed=gone)
    agrees = pd.DataFrame({"sms": [True] * 300}, index=range(300))
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL, reachable=agrees)
    assert cell_of(found)["unreached"] == 300 - gone.sum()
    nobody = touchpoint_matrix(**data, window=WINDOW, until=UNTIL, reachable=agrees.head(0))
    assert cell_of(nobody)["unreached"] == 0


def test_input_is_not_changed_and_its_index_does_not_matter():
    data = joined(experiment(200), experiment(200, first=999, stage="new"))
    before = {name: frame.copy() for name, frame in data.items()}
    found = touchpoint_matrix(**data, window=WINDOW, until=UNTIL)
    for name, frame in data.items():
        pd.testing.assert_frame_equal(frame, before[name])
    rng = np.random.default_rng(1)
    moved = {}
    for name, frame in data.items():
        mixed = frame.iloc[rng.permutation(len(frame))]
        moved[name] = mixed.set_axis(np.zeros(len(mixed), dtype=int))
    again = touchpoint_matrix(**moved, window=WINDOW, until=UNTIL)
    pd.testing.assert_frame_equal(again.table, found.table, rtol=1e-9)


# --- refused ------------------------------------------------------------------------------------

GOOD = joined(experiment(60))
CONTACTS, ORDERS, STAGES = GOOD["contacts"], GOOD["orders"], GOOD["stages"]

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no channel": ({"contacts": CONTACTS.drop(columns="channel")}, "'channel'.*contact_log"),
    "no cost": ({"contacts": CONTACTS.drop(columns="cost")}, "'cost'.*make it with contact_log"),
    "no contacts": ({"contacts": CONTACTS.head(0)}, "contacts has no rows"),
    "aware": (
        {"contacts": CONTACTS.assign(time=CONTACTS["time"].dt.tz_localize("UTC"))},
        "time of contacts has the time zone UTC",
    ),
    "negative cost": ({"contacts": CONTACTS.assign(cost=-1.0)}, "cost"),
    "missing cost": ({"contacts": CONTACTS.assign(cost=np.nan)}, "cost"),
    "missing channel": (
        {"contacts": CONTACTS.assign(channel=None)},
        "channel of contacts is missi",
    ),
    "held_out as text": (
        {"contacts": CONTACTS.assign(held_out="no")},
        "held_out of contacts holds str, no truth values; convert it",
    ),
    "no margin": ({"orders": ORDERS.drop(columns="margin")}, "'margin'.*make it with order_log"),
    "no amount": ({"orders": ORDERS.drop(columns="amount"), "margin": 0.3}, "'amount'"),
    "missing margin": ({"orders": ORDERS.assign(margin=np.nan)}, "margin"),
    "margin is 0": ({"margin": 0.0}, "margin == 0|margin is 0"),
    "margin is negative": ({"margin": -0.1}, "margin"),
    "window is 0": ({"window": 0}, "window"),
    "window is a text": ({"window": "30"}, "window"),
    "level is 1": ({"level": 1}, "level"),
    "no stage": ({"stages": STAGES.drop(columns="stage")}, "'stage'.*make it with stage_history"),
    "stages of others": (
        {"stages": STAGES.assign(customer_id=STAGES["customer_id"] + 1000)},
        "no customer of contacts .* is in history",
    ),
    "the window is never over": (
        {"until": "2024-06-15", "orders": ORDERS[ORDERS["time"] < "2024-06-15"]},
        "no opportunity is left: the window of 60 ends after 2024-06-15 23:59:59.999999, 0 are of",
    ),
    "until is a number": ({"until": 3}, "until is 3"),
    "covariate": ({"covariates": ("height",)}, "height"),
    # "covariates names 'e' twice", and no mapping has no items().
    "covariates is a text": ({"covariates": "silence"}, "covariates is 'silence'; pass a list"),
    "comparison is a list": ({"comparison": ["sms"]}, r"comparison is .*; pass a mapping"),
    "segment is a dict": ({"segment": {1: "core"}}, "segment is no Series with one label a custom"),
    # The message shows np.int64(59).
    "segment lacks one": (
        {"segment": pd.Series("core", index=range(59))},
        r"customer 59 has no segment \(1 such customers\); label all of them",
    ),
    "segment has one twice": (
        {"segment": pd.Series("a", index=[0, *range(60)])},
        "one label a cus",
    ),
    "reachable is a list": ({"reachable": ["sms"]}, "reachable is a list; pass a frame of truth"),
    "reachable has one twice": (
        {"reachable": pd.DataFrame({"sms": [True, True]}, index=[1, 1])},
        "reachable has a customer several times",
    ),
    "reachable in numbers": (
        {"reachable": pd.DataFrame({"sms": [1, 0]})},
        "column 'sms' of reachable holds int64, no truth values",
    ),
    "comparison without times": (
        {"comparison": {"sms": CONTACTS[["customer_id"]]}},
        "comparison of 'sms'.*'time'|'time'.*comparison of 'sms'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    changes, message = BAD[name]
    with pytest.raises(InputError, match=message):
        touchpoint_matrix(**{**GOOD, "window": WINDOW, "until": UNTIL, **changes})
