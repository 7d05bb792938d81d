"""The library's own estimators find the truth of simulated shops again.

Coverage is counted over populations that are independent: groups of customers of a few large
shops. In a shop nobody's luck depends on anybody else's, so that a group is a small shop of its
own, and a day's fixed cost is paid once for all of them. The bounds of every count are exact
binomial ones of 0.95 that chance breaks as rarely as 4 standard errors, on either side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import touchpoint_lib as tp
from tests.simulate.recovery import (
    QUIET,
    START,
    SURE,
    check_coverage,
    difference,
    gap_survival,
    one_segment,
    part,
    summary,
)

pytestmark = pytest.mark.slow

DAY = pd.Timedelta(days=1)

# -- purchases and spend -------------------------------------------------------------------------

#: Mean gaps of some 10 to 25 days. Where gaps are that short a log in whole days misleads: of the
#: Poisson gaps 8 in 100 begin and end on one day; merged into one purchase day they look like
#: k = 2, with an alpha of 6.5 instead of 12. Times are therefore in quarters of an hour here, but
#: for one test.
PURCHASES: dict[int, dict[str, float]] = {
    1: {"r": 1.5, "alpha": 12.0, "a": 1.0, "b": 3.0},
    2: {"r": 2.0, "alpha": 9.0, "a": 1.0, "b": 3.0},
    3: {"r": 3.0, "alpha": 9.0, "a": 1.0, "b": 3.0},
}
SPEND = {"p": 5.0, "q": 4.0, "gamma": 54.0}
QUARTERS = 96
LOG_DAYS = 120
SHOPS = 6
GROUPS = 50
GROUP_SIZE = 1500


@dataclass(frozen=True)
class Population:
    """The shops of one k, each with a seed of its own, and their summaries."""

    shops: list[tp.Shop]
    tables: list[pd.DataFrame]

    def groups(self) -> Iterator[pd.DataFrame]:
        for table in self.tables:
            for number in range(GROUPS):
                yield part(table, number, GROUPS)


@pytest.fixture(scope="module")
def populations() -> dict[int, Population]:
    found = {}
    for k, parameters in PURCHASES.items():
        arrivals = one_segment(regularity=k, **parameters, **SPEND)
        # With the seeds of another k they would share its luck.
        seeds = range(100 * k, 100 * k + SHOPS)
        shops = [
            tp.simulate_shop(seed, GROUPS * GROUP_SIZE, LOG_DAYS, arrivals=arrivals, **QUIET)
            for seed in seeds
        ]
        tables = [summary(shop.orders, LOG_DAYS, QUARTERS) for shop in shops]
        found[k] = Population(shops, tables)
    return found


def truth_per(k: int, per_day: int) -> list[float]:
    """r, alpha, a, b with alpha in units of 1 / ``per_day`` of a day."""
    r, alpha, a, b = PURCHASES[k].values()
    return [r, alpha * per_day, a, b]


def inside(table: pd.DataFrame, truth: list[float]) -> list[bool]:
    return ((table["lower"] <= truth) & (truth <= table["upper"])).tolist()


def standardised(table: pd.DataFrame, truth: list[float]) -> Any:
    """Errors of the logarithms in standard errors: the intervals are symmetric there."""
    table = np.log(table)
    half = (table["upper"] - table["lower"]) / 2
    return ((table["estimate"] - np.log(truth)) / half * stats.norm.ppf(0.975)).to_numpy()


def test_estimates_of_all_shops_together_are_unbiased(populations: dict[int, Population]) -> None:
    # Errors of shops of 75,000 customers cancel out, but for a bias: one of a quarter of the
    # standard errors of the groups below would show.
    spend = []
    for k, population in populations.items():
        purchases = []
        for table in population.tables:
            model = tp.ModifiedBetaGeoModel(regularity=k).fit(table)
            purchases.append(standardised(model.summary(), truth_per(k, QUARTERS)))
            spend.append(
                standardised(tp.GammaGammaModel().fit(table).summary(), list(SPEND.values()))
            )
        total = np.sum(purchases, axis=0) / np.sqrt(SHOPS)
        assert (np.abs(total) < 4).all(), (k, total)
    total = np.sum(spend, axis=0) / np.sqrt(len(spend))
    assert (np.abs(total) < 4).all(), total


def test_intervals_of_purchase_parameters_cover(populations: dict[int, Population]) -> None:
    every = []
    for k, population in populations.items():
        truth = truth_per(k, QUARTERS)
        held = [
            inside(tp.ModifiedBetaGeoModel(regularity=k).fit(group).summary(), truth)
            for group in population.groups()
        ]
        check_coverage(held, f"r, alpha, a, b at k = {k}")
        every += held
    check_coverage(every, "r, alpha, a, b")


def test_intervals_cover_in_calendar_days_where_gaps_are_regular(
    populations: dict[int, Population],
) -> None:
    # Three stages hardly ever end on one day: the log in days is as good as the exact one.
    days = summary(populations[3].shops[0].orders, LOG_DAYS, per_day=1)
    held = [
        inside(
            tp.ModifiedBetaGeoModel(regularity=3).fit(part(days, number, GROUPS)).summary(),
            truth_per(3, 1),
        )
        for number in range(GROUPS)
    ]
    check_coverage(held, "r, alpha, a, b in days")


@pytest.mark.parametrize("k", PURCHASES)
def test_regularity_is_found(populations: dict[int, Population], k: int) -> None:
    found = [
        tp.ModifiedBetaGeoModel(regularity="auto")
        .fit(part(populations[k].tables[0], number, GROUPS))
        .regularity_
        for number in range(20)
    ]
    assert found == [k] * 20


def test_intervals_of_spend_parameters_cover(populations: dict[int, Population]) -> None:
    held = [
        inside(tp.GammaGammaModel().fit(group).summary(), list(SPEND.values()))
        for population in populations.values()
        for group in population.groups()
    ]
    check_coverage(held, "p, q, gamma")


@pytest.mark.parametrize("k", PURCHASES)
def test_probability_alive_of_a_fit_is_calibrated(
    populations: dict[int, Population], k: int
) -> None:
    shop, table = populations[k].shops[0], populations[k].tables[0]
    model = tp.ModifiedBetaGeoModel(regularity=k).fit(table)
    alive = shop.truth.alive(START + LOG_DAYS * DAY)[table.index]
    probability = model.probability_alive(table)
    fit = tp.calibration_slope(alive, probability, level=SURE)
    assert fit.slope_low <= 1 <= fit.slope_high
    assert fit.intercept_low <= 0 <= fit.intercept_high
    # It tells the living from the gone, too: a constant would be calibrated as well.
    assert tp.auc(alive, probability).auc_low > 0.75


@pytest.mark.parametrize("k", PURCHASES)
def test_first_gap_follows_its_curve(populations: dict[int, Population], k: int) -> None:
    days = [3.0, 8.0, 20.0, 50.0]
    frames = []
    for number, shop in enumerate(populations[k].shops):
        orders = shop.orders[["customer_id", "time"]]
        second = orders[orders.groupby("customer_id").cumcount() == 1].set_index("customer_id")
        first = shop.customers.set_index("customer_id")["registered_at"]
        came = second["time"].reindex(first.index)
        frames.append(
            pd.DataFrame(
                {
                    "tenure": (came.fillna(START + LOG_DAYS * DAY) - first) / DAY,
                    "ended": came.notna(),
                    "group": number * GROUPS + first.index % GROUPS,
                }
            )
        )
    check_bands(pd.concat(frames), days, gap_survival(days, k, *PURCHASES[k].values()))


def check_bands(tenures: pd.DataFrame, times: list[float], survival: Any) -> None:
    """Fail unless Kaplan-Meier's bands hold ``survival`` at ``times`` at the nominal rate.

    That of all groups together must be within 4 standard errors.
    """
    curves = tp.kaplan_meier(tenures, groups="group")
    found = tp.retention_at(curves, times)
    truth = np.tile(survival, len(found) // len(times))
    held = (found["lower"].to_numpy() <= truth) & (truth <= found["upper"].to_numpy())
    check_coverage(held.reshape(-1, len(times)), f"survival at {times}")
    whole = tp.retention_at(tp.kaplan_meier(tenures), times)
    error = (whole["survival"] - survival) / whole["standard_error"]
    assert (error.abs() < 4).all(), error.tolist()


# -- the truth about the next days ---------------------------------------------------------------


def check_promised(promised: pd.Series, came: pd.Series, groups: Any) -> None:
    """Fail unless in each group as many came as promised, within 4 standard errors.

    The number that comes is a sum of independent draws, of variance p (1 - p) each.
    """
    frame = pd.DataFrame(
        {"surplus": came.astype(float) - promised, "variance": promised * (1 - promised)}
    )
    sums = frame.groupby(groups, observed=True).sum()
    error = sums["surplus"] / np.sqrt(sums["variance"])
    assert (error.abs() < 4).all(), error.to_dict()


def came_within(orders: pd.DataFrame, since: pd.Timestamp, days: int, customers: Any) -> pd.Series:
    """Who ordered in the ``days`` days from ``since`` on, by customer_id."""
    soon = (orders["time"] >= since) & (orders["time"] < since + days * DAY)
    buyers = orders.loc[soon, "customer_id"].unique()
    return pd.Series(np.isin(customers, buyers), index=customers)


def test_own_return_is_calibrated_through_seasons_and_discounts() -> None:
    # Double 11, its hangover, Double 12 and the season's peak lie within the 60 days.
    looked, horizon = pd.Timestamp("2024-11-01"), 60
    shop = tp.simulate_shop(
        11,
        200_000,
        250,
        start="2024-05-01",
        visits=None,
        contacts=None,
        payments=None,
        parcels=None,
        reviews=None,
        snapshots=[looked],
        horizon=horizon,
    )
    truth = shop.truth.snapshots.set_index("customer_id")
    came = came_within(shop.orders, looked, horizon, truth.index)
    deciles = pd.qcut(truth["own_return"], 10, labels=False)
    check_promised(truth["own_return"], came, deciles)
    check_promised(truth["own_return"], came, np.zeros(len(truth)))
    assert tp.auc(came, truth["own_return"]).auc_low > 0.75
    people = shop.truth.customers.set_index("customer_id").join(
        shop.customers.set_index("customer_id")["province"]
    )
    for column in ("segment", "province"):
        check_promised(truth["own_return"], came, people.loc[truth.index, column])
    deciles = pd.qcut(truth["probability_alive"], 10, labels=False)
    check_promised(truth["probability_alive"], truth["alive"], deciles)
    # What is promised from the customers' own parameters agrees with who has left.
    assert truth["alive"].equals(shop.truth.alive(looked)[truth.index])


@pytest.mark.parametrize("k", [1, 3])
def test_predictions_of_a_fit_are_the_mean_of_the_truth(k: int) -> None:
    horizon = 30
    looked = START + LOG_DAYS * DAY
    shop = tp.simulate_shop(
        13,
        60_000,
        LOG_DAYS + horizon,
        arrivals=one_segment(regularity=k, **PURCHASES[k]),
        snapshots=[looked],
        horizon=horizon,
        **QUIET,
    )
    table = summary(shop.orders, LOG_DAYS, QUARTERS)
    truth = shop.truth.snapshots.set_index("customer_id").loc[table.index]
    model = tp.ModifiedBetaGeoModel(regularity=k).fit(table)
    alive = model.probability_alive(table)
    comes = model.own_return_probability(
        table, silence=table["T"] - table["recency"], horizon=horizon * QUARTERS
    )
    came = came_within(shop.orders, looked, horizon, table.index)
    silence = pd.cut(truth["silence"], [-1, 5, 15, 40, LOG_DAYS])
    for groups in (table["frequency"].clip(upper=8), silence):
        check_promised(comes, came, groups)
        # The truth scatters around the prediction, which knows the log only.
        for found, true in ((alive, "probability_alive"), (comes, "own_return")):
            gap = (truth[true] - found).groupby(groups, observed=True)
            error = gap.mean() / gap.sem()
            assert (error.abs() < 4).all(), (true, error.to_dict())


# -- payments ------------------------------------------------------------------------------------


def tenures_of(payments: pd.DataFrame, since: pd.Series, until: Any, n_groups: int) -> Any:
    """Time from ``since`` to the payment, censored at ``until``: minutes, by group."""
    paid = payments["paid_at"].notna() & (payments["paid_at"] <= until)
    to = payments["paid_at"].where(paid, until)
    return pd.DataFrame(
        {
            "tenure": (to - since) / pd.Timedelta(minutes=1),
            "ended": paid,
            "group": payments["customer_id"] % n_groups,
        }
    )


@pytest.fixture(scope="module")
def paying() -> tuple[tp.ShopPayments, pd.DataFrame]:
    """First orders of many customers, with their payments."""
    settings = tp.ShopPayments()
    shop = tp.simulate_shop(21, 200_000, 12, **{**QUIET, "payments": settings})
    orders = shop.orders[["order_id", "time"]]
    first = ~shop.orders["customer_id"].duplicated()
    merged = shop.payments[first.to_numpy()].merge(orders, on="order_id")
    merged.attrs["end"] = START + 12 * DAY
    return settings, merged


def test_time_to_payment_follows_its_curve(paying: tuple[tp.ShopPayments, pd.DataFrame]) -> None:
    settings, payments = paying
    end = payments.attrs["end"]
    # A reminder comes at random, so it censors without bias. To leave the reminded out would not
    # do: they are half of those who pay late, and none of those who pay early.
    until = payments[["reminded_at", "cancelled_at"]].min(axis=1).fillna(end)
    minutes = [5.0, 30.0, 120.0, 480.0, 1440.0, 4000.0]
    unpaid = 1 - settings.own_share(minutes, source="shop", customer="new")
    check_bands(tenures_of(payments, payments["time"], until, 200), minutes, unpaid)
    kept = payments[payments["reminded_at"].isna()]
    biased = tp.kaplan_meier(tenures_of(kept, kept["time"], until[kept.index], 1))
    late = tp.retention_at(biased, 1440.0).loc[0]
    assert late["upper"] < unpaid[4]


def test_reminders_bring_what_the_closed_form_says(
    paying: tuple[tp.ShopPayments, pd.DataFrame],
) -> None:
    settings, payments = paying
    over = payments["due_at"] <= payments.attrs["end"]
    asked = payments[over & (payments["reminded_at"].notna() | payments["held_out"])]
    limit = settings.limit_days * 1440
    kind = {"source": "shop", "customer": "new"}
    at_reminder = float(settings.own_share(settings.remind_minutes, **kind))
    brought = settings.share_with_reminder(limit, **kind) - settings.own_share(limit, **kind)
    truth = float(brought / (1 - at_reminder))
    paid, reminded = asked["paid_at"].notna(), asked["reminded_at"].notna()
    whole, error = difference(paid, reminded, asked["customer_id"])
    assert abs(whole - truth) < 4 * error
    assert whole > 4 * error
    held = []
    for number in range(150):
        mine = asked["customer_id"] % 150 == number
        found, error = difference(paid[mine], reminded[mine], asked.loc[mine, "customer_id"])
        held.append(abs(found - truth) <= 1.96 * error)
    check_coverage(held, "effect of a reminder")


def test_cox_finds_the_effect_of_reminders_where_hazards_are_proportional() -> None:
    # Nobody pays at once or never, and each kind of customer has its own baseline.
    settings = tp.ShopPayments(at_once=0.0, never=0.0, remind_minutes=30.0)
    groups = 300
    shop = tp.simulate_shop(
        22,
        groups * 400,
        20,
        arrivals=one_segment(r=4.0, alpha=20.0, a=1.0, b=6.0),
        **{**QUIET, "payments": settings},
    )
    number = shop.orders.groupby("customer_id").cumcount().clip(upper=2)
    payments = shop.payments.assign(
        kind=np.array(["new", "second", "loyal"])[number],
        sent=shop.orders["time"] + pd.Timedelta(minutes=settings.remind_minutes),
    )
    end = START + 20 * DAY
    asked = payments["held_out"] | payments["reminded_at"].notna()
    payments = payments[asked & (payments["sent"] <= end)]
    until = payments["cancelled_at"].fillna(end)
    frame = tenures_of(payments, payments["sent"], until, groups).assign(
        reminded=payments["reminded_at"].notna().astype(float), kind=payments["kind"]
    )
    truth = np.log(settings.remind_effect)
    held = []
    for _, group in frame.groupby("group"):
        found = tp.CoxModel(["reminded"], strata="kind").fit(group)
        error = found.params_["reminded"] - truth
        held.append(abs(error) <= 1.96 * found.standard_errors_["reminded"])
    check_coverage(held, "log hazard ratio of a reminder")
    whole = tp.CoxModel(["reminded"], strata="kind").fit(frame)
    assert abs(whole.params_["reminded"] - truth) < 4 * whole.standard_errors_["reminded"]


def test_nobody_is_held_out_from_a_reminder_that_is_still_to_come() -> None:
    # Eligible is who has not paid by then: before the end nobody knows it.
    shop = tp.simulate_shop(23, 20_000, 3, **{**QUIET, "payments": tp.ShopPayments()})
    sent = shop.orders["time"] + pd.Timedelta(minutes=tp.ShopPayments().remind_minutes)
    to_come = (sent > START + 3 * DAY).to_numpy()
    assert shop.payments.loc[~to_come, "held_out"].any()
    assert not shop.payments.loc[to_come, "reminded_at"].notna().any()
    assert not shop.payments.loc[to_come, "held_out"].any()


# -- parcels -------------------------------------------------------------------------------------

PARCEL_GROUPS = 200


@pytest.fixture(scope="module")
def shipping() -> pd.DataFrame:
    """Parcels before, in and behind the jam of Double 11, with their truth and the log's end."""
    settings, days = tp.ShopParcels(), 24
    quiet = {**QUIET, "start": pd.Timestamp("2024-11-01"), "parcels": settings}
    shop = tp.simulate_shop(31, 120_000, days, **quiet)
    leads = {province.name: province.lead for province in tp.ShopArrivals().provinces}
    truth = shop.truth.parcels[["parcel_id", "late", "delay_factor"]]
    parcels = shop.parcels.merge(truth, on="parcel_id").assign(
        lead=shop.parcels["province"].astype(str).map(leads).astype(float)
    )
    assert set(parcels["delay_factor"]) == {1.0, 1.6}
    parcels.attrs["end"] = shop.call["start"] + days * DAY
    return parcels


@pytest.mark.parametrize("carrier", tp.ShopParcels().carriers, ids=lambda carrier: carrier.name)
def test_time_on_the_way_follows_its_curve(shipping: pd.DataFrame, carrier: tp.ShopCarrier) -> None:
    parcels = shipping[shipping["carrier"] == carrier.name]
    arrived = parcels["delivered_at"].notna()
    to = parcels["delivered_at"].fillna(shipping.attrs["end"])
    # In units of the median of its province and day: then all parcels share one log-normal.
    median = carrier.lead_days * parcels["lead"] * parcels["delay_factor"]
    tenures = pd.DataFrame(
        {
            "tenure": (to - parcels["shipped_at"]) / DAY / median,
            "ended": arrived,
            "group": parcels["customer_id"] % PARCEL_GROUPS,
        }
    )
    times = np.exp(carrier.sigma * np.array([-1.0, 0.0, 1.0]))
    check_bands(tenures, times.tolist(), stats.norm.sf([-1.0, 0.0, 1.0]))


def test_late_parcels_are_flagged_as_well_as_the_closed_form_says(shipping: pd.DataFrame) -> None:
    settings = tp.ShopParcels()
    on_the_way = shipping[shipping["delivered_at"].isna()]
    age = (shipping.attrs["end"] - on_the_way["shipped_at"]) / DAY
    promised = pd.concat(
        pd.Series(
            settings.probability_late_in_transit(
                str(carrier), rows["lead"], age[rows.index], rows["delay_factor"]
            ),
            rows.index,
        )
        for carrier, rows in on_the_way.groupby("carrier", observed=True)
    )[on_the_way.index]
    late = on_the_way["late"]
    check_promised(promised, late, pd.qcut(promised, 10, labels=False, duplicates="drop"))
    for threshold in (0.3, 0.5, 0.7):
        expected = tp.expected_rates(promised, threshold, level=SURE)
        found = tp.prediction_rates(late, promised, threshold)
        assert expected.error_rate_low <= found.error_rate <= expected.error_rate_high
        assert expected.omission_rate_low <= found.omission_rate <= expected.omission_rate_high
        held = []
        for number in range(100):
            mine = on_the_way["customer_id"] % 100 == number
            small = tp.expected_rates(promised[mine], threshold)
            real = tp.prediction_rates(late[mine], promised[mine], threshold)
            held.append(
                [
                    small.error_rate_low <= real.error_rate <= small.error_rate_high,
                    small.omission_rate_low <= real.omission_rate <= small.omission_rate_high,
                ]
            )
        check_coverage(held, f"error and omission rate at {threshold}")


# -- contacts ------------------------------------------------------------------------------------

OUTCOME_DAYS = 30
CONTACT_GROUPS = 600
#: More opportunities and larger holdouts than by default, so that a small shop has enough of both
#: for a normal interval; everything else is the default.
RATES = {"page": 0.25, "chat": 1.0, "sms": 1.5, "email": 1.5, "parcel": 0.8, "social": 1.5}


@pytest.fixture(scope="module")
def contacted() -> tuple[tp.Shop, pd.DataFrame]:
    """A shop with all processes of contacts, and the opportunities with their outcomes."""
    channels = tuple(
        replace(channel, rate=RATES[channel.name], held_out=0.0 if channel.name == "page" else 0.4)
        for channel in tp.ShopContacts().channels
    )
    days = 75
    shop = tp.simulate_shop(
        41,
        CONTACT_GROUPS * 500,
        days,
        contacts=tp.ShopContacts(channels=channels),
        payments=None,
        outcome_days=OUTCOME_DAYS,
    )
    made = shop.contacts.merge(shop.truth.contacts, on="contact_id")
    made["day"] = day_of(shop, made["time"])
    made = made[made["day"] < days - OUTCOME_DAYS].copy()
    made["orders"] = orders_behind(shop, made["customer_id"], made["day"])
    made["effect"] = made["orders_contacted"] - made["orders_held_out"]
    return shop, made


def day_of(shop: tp.Shop, time: pd.Series) -> Any:
    return ((time - shop.call["start"]) // DAY).to_numpy()


def orders_behind(shop: tp.Shop, customer: Any, day: Any) -> Any:
    """How often a customer ordered in the days behind a day, from the table of orders."""
    span = 10_000
    at = np.sort(shop.orders["customer_id"].to_numpy() * span + day_of(shop, shop.orders["time"]))
    since = np.asarray(customer) * span + day
    first = np.searchsorted(at, since, side="right")
    return np.searchsorted(at, since + OUTCOME_DAYS, side="right") - first


def test_the_world_that_happened_is_one_of_the_two(
    contacted: tuple[tp.Shop, pd.DataFrame],
) -> None:
    _, made = contacted
    happened = np.where(made["held_out"], made["orders_held_out"], made["orders_contacted"])
    np.testing.assert_array_equal(made["orders"], happened)


@pytest.mark.parametrize("channel", [name for name in RATES if name != "page"])
def test_holdouts_find_the_effect_of_a_channel(
    contacted: tuple[tp.Shop, pd.DataFrame], channel: str
) -> None:
    """Whoever is held out is drawn at random, so the difference of means is the effect.

    The estimand is the mean of contacted less held out over opportunities of such shops; as the
    customers differ from shop to shop, so does its value for the opportunities of one of them.
    The truth is taken over the opportunities of all groups, 600 times as many as an interval has.
    """
    _, made = contacted
    mine = made[made["channel"] == channel]
    truth = float(mine["effect"].mean())
    sent = ~mine["held_out"]
    whole, error = difference(mine["orders"], sent, mine["customer_id"])
    assert abs(whole - truth) < 4 * error
    held = []
    for _, group in mine.groupby(mine["customer_id"] % CONTACT_GROUPS):
        found, error = difference(group["orders"], ~group["held_out"], group["customer_id"])
        held.append(abs(found - truth) <= 1.96 * error)
    check_coverage(held, f"effect of {channel}")
    if channel == "social":
        # Then the intervals that were counted are those that hold 0.
        assert (mine["effect"] == 0).all()
    else:
        assert truth > 0


def test_the_confounded_channel_looks_far_better_than_it_is(
    contacted: tuple[tp.Shop, pd.DataFrame],
) -> None:
    shop, made = contacted
    page = made[made["channel"] == "page"]
    truth = float(page["effect"].mean())
    born = day_of(shop, shop.customers["registered_at"])
    customers = shop.customers["customer_id"].to_numpy()
    outcome, treated, who = [], [], []
    for day in range(20, 45, 5):
        there = customers[born < day]
        outcome.append(orders_behind(shop, there, day))
        treated.append(np.isin(there, page.loc[page["day"] == day, "customer_id"]))
        who.append(there)
    naive, error = difference(*(np.concatenate(each) for each in (outcome, treated, who)))
    assert truth > 0
    # Visitors have a purchase in mind.
    assert naive - truth > 5 * truth
    assert naive - 4 * error > truth


# -- twins ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return tp.simulate_shop(51, 3000, 365)


def without(shop: tp.Shop, name: str) -> tp.Shop:
    """The twin that has no such channel."""
    contacts = shop.call["contacts"]
    kept = tuple(channel for channel in contacts.channels if channel.name != name)
    return shop.twin(contacts=replace(contacts, channels=kept))


def test_without_the_channel_that_does_nothing_nothing_changes(shop: tp.Shop) -> None:
    quiet = without(shop, "social")
    assert len(shop.contacts) > len(quiet.contacts)
    told = ["customer_id", "time", "list_amount", "amount", "margin", "status"]
    pd.testing.assert_frame_equal(shop.orders[told], quiet.orders[told])


def test_without_a_channel_that_works_there_are_fewer_orders(shop: tp.Shop) -> None:
    assert len(without(shop, "sms").orders) < len(shop.orders)


def test_the_place_of_a_channel_in_the_list_changes_nothing() -> None:
    # Luck belongs to a channel, not to its position: or else to switch one off would shuffle the
    # others, and the twins' difference would be noise.
    contacts = tp.ShopContacts()
    first = replace(contacts, channels=(contacts.channels[-1], *contacts.channels[:-1]))
    shop = tp.simulate_shop(52, 1000, 120, contacts=first)
    quiet = without(shop, "social")
    told = ["customer_id", "time", "amount"]
    pd.testing.assert_frame_equal(shop.orders[told], quiet.orders[told])


def test_the_effects_of_single_contacts_add_up_to_the_difference_of_the_twins() -> None:
    # One mailing, once: nobody has two opportunities, and the window reaches to the end.
    days, sent = 160, 100
    mailing = tp.ShopCampaign(name="once", channel="sms", day=sent, coupon=0.2)
    channel = tp.ShopChannel(name="sms", rate=1e-9, effect=0.8, decay=10.0)
    contacts = tp.ShopContacts(channels=(channel,), campaigns=(mailing,), control=0.1)
    goods = tp.ShopGoods(products=(tp.ShopProduct(name="tea", share=1.0, returned=0.0),))
    shop = tp.simulate_shop(
        53,
        20_000,
        days,
        goods=goods,
        contacts=contacts,
        payments=None,
        outcome_days=days - 1 - sent,
    )
    silent = shop.twin(contacts=None, outcome_days=None)
    truth = shop.truth.channels.set_index("channel").loc["sms"]
    assert truth["contacts"] > 5000
    gained = len(shop.orders) - len(silent.orders)
    assert gained == truth["incremental_orders"] > 0
    margin = shop.orders["margin"].sum() - silent.orders["margin"].sum()
    # Each of the few thousand sums is rounded to cents.
    assert margin == pytest.approx(truth["incremental_margin"], abs=0.01 * truth["contacts"])


def test_a_shop_that_happens_to_contact_nobody() -> None:
    channel = tp.ShopChannel(name="sms", rate=1e-9)
    shop = tp.simulate_shop(54, 100, 10, contacts=tp.ShopContacts(channels=(channel,)))
    assert len(shop.contacts) == 0
    assert shop.orders["coupon_contact_id"].isna().all()
