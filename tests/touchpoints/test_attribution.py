from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from tests.reference.touchpoints import MAM_PATHS, MAM_RESULTS, mam_paths
from tests.touchpoints.path_oracle import (
    CHANNELS,
    by_permutations,
    plain_credit,
    plain_paths,
    removal_effects,
    small_log,
)
from touchpoint_lib._checks import InputError
from touchpoint_lib.touchpoints import _rules
from touchpoint_lib.touchpoints._rules import RULES
from touchpoint_lib.touchpoints.attribution import attribution_credit, credit_of_paths

ALL = list(RULES)
UNTIMED = [rule for rule in ALL if rule != "time decay"]
SHARED = ["first", "last", "linear", "position", "markov per path", "shapley rate"]


def log(*contacts, orders):
    """Return logs of (customer, day, channel) and (customer, day)."""
    start = pd.Timestamp("2025-01-01")
    touched = pd.DataFrame(contacts, columns=["customer_id", "time", "channel"])
    bought = pd.DataFrame(orders, columns=["customer_id", "time"])
    for frame in (touched, bought):
        frame["time"] = start + pd.to_timedelta(frame["time"], unit="D")
    return touched, bought


def drawn_paths(seed, n=40, channels=5, longest=6):
    rng = np.random.default_rng(seed)
    names = [f"c{number}" for number in range(channels)]
    return pd.DataFrame(
        {
            "path": [" > ".join(rng.choice(names, rng.integers(1, longest))) for _ in range(n)],
            "conversions": rng.poisson(3, n) * rng.integers(0, 2, n),
            "nulls": rng.poisson(20, n),
        }
    )


# --- against plain loops -------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    window=st.sampled_from([1.0, 5.0, 12.5, 30.0]),
    value=st.sampled_from([None, "margin"]),
    position=st.sampled_from([(0.5, 0.25), (0.25, 0.125), (1, 0), (0, 0.5)]),
)
def test_a_rule_is_the_rule_in_plain_loops(rule, seed, window, value, position):
    contacts, orders = small_log(seed)
    table = attribution_credit(
        contacts,
        orders,
        rules=[rule],
        window=window,
        half_life=3,
        position=position,
        value=value,
    )
    by_order, lost, still_open = plain_paths(contacts, orders, window)
    worth = [Fraction(1)] * len(orders)
    if value:
        worth = [Fraction(amount) for amount in orders[value]]
    won = [(path, worth[place]) for place, path in by_order.items() if path]
    credit = plain_credit(won, lost, rule, position, half_life=3.0)
    none = sum(worth[place] for place, path in by_order.items() if not path)
    channels = sorted(set(contacts["channel"]))
    assert table.index.tolist() == [*channels, "(no contact)"]
    expected = [float(credit[channel]) for channel in channels] + [float(none)]
    assert table[rule].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert table[rule].sum() == pytest.approx(float(sum(worth)), rel=1e-9, abs=1e-9)
    touches = Counter(channel for path, _ in won for _, channel in path)
    assert table["touches"].tolist() == [touches[channel] for channel in channels] + [0]
    assert table.attrs["touched"] == len(won)
    assert table.attrs["lost_paths"] == len(lost)
    assert table.attrs["open_paths"] == len(still_open)
    assert table.attrs["open_contacts"] == sum(map(len, still_open))
    made = int((~contacts["held_out"]).sum())
    assert table.attrs["contacts"] == made
    assert table.attrs["held_out"] == len(contacts) - made
    # Every contact that was made is on one path.
    assert made == table["touches"].sum() + sum(map(len, lost)) + sum(map(len, still_open))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_paths_of_a_log_have_the_credit_of_the_log(seed):
    contacts, orders = small_log(seed, n=60, customers=6, orders=20)
    table = attribution_credit(contacts, orders, rules=UNTIMED, window=8, value="margin")
    by_order, lost, _ = plain_paths(contacts, orders, 8)
    rows = [
        (" > ".join(name for _, name in path) or "(no contact)", 1, 0, orders["margin"][place])
        for place, path in by_order.items()
    ]
    rows += [(" > ".join(name for _, name in path), 0, 1, 0.0) for path in lost]
    paths = pd.DataFrame(rows, columns=["path", "conversions", "nulls", "margin"])
    given_paths = credit_of_paths(paths, rules=UNTIMED, value="margin")
    together = paths.groupby("path", as_index=False).sum().sample(frac=1, random_state=seed)
    for other in (given_paths, credit_of_paths(together, rules=UNTIMED, value="margin")):
        common = other.index
        pd.testing.assert_frame_equal(
            other.astype(float), table.loc[common].astype(float), check_flags=False, rtol=1e-9
        )
        for name in ("conversions", "touched", "lost_paths"):
            assert other.attrs[name] == table.attrs[name]
    # Channels that are in the log alone have no credit.
    assert (table.drop(common)[UNTIMED] == 0).all(axis=None)


# --- Markov: the chain ---------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), channels=st.integers(1, 5))
def test_removal_effects_are_those_of_the_chain_solved_again_without_each_channel(seed, channels):
    paths = drawn_paths(seed, n=12, channels=channels)
    won, lost = [], []
    for row in paths.itertuples():
        touches = [(0, name) for name in row.path.split(" > ")]
        won += [touches] * row.conversions
        lost += [touches] * row.nulls
    effects = credit_of_paths(paths, rules=["markov"]).attrs["removal_effect"]
    expected = removal_effects(won, lost)
    assert effects == pytest.approx(
        {name: float(expected.get(name, 0)) for name in effects}, rel=1e-9, abs=1e-12
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_removal_effects_of_a_chain_without_loops_are_sums_over_all_its_ways(seed):
    rng = np.random.default_rng(seed)
    names = list("abcd")
    # Channels in rising order only: every way through the chain can be listed.
    taken = [np.flatnonzero(rng.random(4) < 0.6) for _ in range(15)]
    rows = [([names[place] for place in places], rng.integers(0, 3), rng.integers(0, 5))
            for places in taken if len(places)]  # fmt: skip
    steps = Counter()
    for path, won, lost in rows:
        for step in pairwise(["start", *path]):
            steps[step] += int(won + lost)
        steps[path[-1], "won"] += int(won)
        steps[path[-1], "lost"] += int(lost)

    def ways(state):
        """Return all ways from a state as pairs of their channels and their probability."""
        out = {there: often for (here, there), often in steps.items() if here == state and often}
        for there, often in out.items():
            share = often / sum(out.values())
            if there in ("won", "lost"):
                yield [], share * (there == "won")
            else:
                yield from (([there, *behind], share * rest) for behind, rest in ways(there))

    found = list(ways("start"))
    whole = sum(share for _, share in found)
    frame = pd.DataFrame(
        [(" > ".join(path), won, lost) for path, won, lost in rows],
        columns=["path", "conversions", "nulls"],
    )
    effects = credit_of_paths(frame, rules=["markov"]).attrs["removal_effect"]
    for name, effect in effects.items():
        through = sum(share for path, share in found if name in path)
        assert effect == pytest.approx(through / whole if whole else 0, rel=1e-9, abs=1e-12)


def test_repeats_of_a_channel_change_no_removal_effect():
    paths = drawn_paths(3)
    twice = paths.assign(
        path=[
            " > ".join(name for name in path.split(" > ") for _ in range(1 + place % 3 * 3_000))
            for place, path in enumerate(paths["path"])
        ]
    )
    once, again = (
        credit_of_paths(frame, rules=["markov"]).attrs["removal_effect"] for frame in (paths, twice)
    )
    assert once == pytest.approx(again, rel=1e-11)


def test_without_a_conversion_nothing_has_credit_and_no_removal_an_effect():
    paths = pd.DataFrame({"path": ["a > b", "b"], "conversions": [0, 0], "nulls": [3, 0]})
    table = credit_of_paths(paths, rules=UNTIMED)
    assert (table == 0).all(axis=None)
    assert table.attrs["removal_effect"] == {"a": 0, "b": 0}


def test_paths_without_a_contact_alone_have_no_channel():
    paths = pd.DataFrame({"path": ["(no contact)"] * 2, "conversions": [3, 4], "nulls": [0, 9]})
    table = credit_of_paths(paths, rules=UNTIMED)
    assert table.index.tolist() == ["(no contact)"]
    assert table[UNTIMED].to_numpy().tolist() == [[7.0] * len(UNTIMED)]
    assert table.attrs["lost_paths"] == 0


def test_a_channel_that_was_never_on_the_way_has_no_removal_effect():
    paths = pd.DataFrame({"path": ["a", "b"], "conversions": [4, 0], "nulls": [6, 10]})
    table = credit_of_paths(paths, rules=["markov", "markov per path"])
    assert table.attrs["removal_effect"] == {"a": 1, "b": 0}
    assert table["markov"].tolist() == table["markov per path"].tolist() == [4, 0, 0]


# --- Shapley: the definition ---------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_shapley_is_the_mean_of_what_a_channel_adds_over_all_orders_of_channels(seed):
    paths = drawn_paths(seed, n=15, channels=5)
    sets = [frozenset(path.split(" > ")) for path in paths["path"]]
    everyone = sorted(set().union(*sets))

    @cache
    def worth(coalition):
        return Fraction(int(paths["conversions"][[members <= coalition for members in sets]].sum()))

    expected = by_permutations(everyone, worth)
    table = credit_of_paths(paths, rules=["shapley"])
    for channel in everyone:
        assert table.loc[channel, "shapley"] == pytest.approx(float(expected[channel]), abs=1e-9)


def test_the_games_of_many_sets_are_played_in_blocks(monkeypatch):
    paths = drawn_paths(5, n=300, channels=12, longest=9)
    whole = credit_of_paths(paths, rules=["shapley rate"])
    monkeypatch.setattr(_rules, "_PAIRS", 1_000)
    pd.testing.assert_frame_equal(credit_of_paths(paths, rules=["shapley rate"]), whole, rtol=1e-9)
    assert whole["shapley rate"].sum() == pytest.approx(paths["conversions"].sum(), rel=1e-9)


def test_shapley_rate_is_negative_where_a_channel_lowers_the_rate():
    # Alone "a" converts half, with "b" a tenth: b's value is (.1 - .5) / 2 of each of 100 paths.
    paths = pd.DataFrame({"path": ["a", "a > b"], "conversions": [50, 10], "nulls": [50, 90]})
    table = credit_of_paths(paths, rules=["shapley rate"])
    assert table["shapley rate"].tolist() == pytest.approx([50 + 30, -20, 0])


# --- the package marketing-attribution-models ----------------------------------------------------


@pytest.mark.parametrize("name", MAM_PATHS)
def test_rules_are_those_of_marketing_attribution_models(name):
    table = credit_of_paths(mam_paths(name), rules=SHARED)
    for rule in SHARED:
        expected = {channel: MAM_RESULTS[name][rule].get(channel, 0.0) for channel in table.index}
        assert table[rule].to_dict() == pytest.approx(expected, rel=1e-11, abs=1e-11), rule
    effects = table.attrs["removal_effect"]
    assert effects == pytest.approx(MAM_RESULTS[name]["removal effect"], rel=1e-11)


@pytest.mark.parametrize("value", [None, "money"])
@pytest.mark.parametrize("name", MAM_PATHS)
def test_marketing_attribution_models_itself_says_the_same(name, value):
    module = pytest.importorskip("mam.core", reason="marketing-attribution-models is not installed")
    paths = mam_paths(name)
    # Conversions of every path have a value of their own.
    paths["money"] = paths["conversions"] * (20.0 + np.arange(len(paths)))
    parts = (
        paths.assign(
            conversion=converted, occurrences=paths[column], money=paths["money"] * converted
        )
        for converted, column in ((True, "conversions"), (False, "nulls"))
    )
    rows = pd.concat(parts).query("occurrences > 0")
    model = module.MAM(
        df=rows.rename(columns={"path": "journey"}),
        format_type="grouped_journey",
        channels_colname="journey",
        journey_with_conv_colname="conversion",
        occurrences_colname="occurrences",
        conversion_value_colname=value,
    )
    results = {
        "first": model.run_first_click(),
        "last": model.run_last_click(),
        "linear": model.run_linear(),
        "position": model.run_position_based(),
        "markov per path": model.run_markov(),
        "shapley rate": model.run_shapley(max_size=None),
    }
    table = credit_of_paths(paths, rules=SHARED, value=value)
    for rule, result in results.items():
        found = result.to_dict()
        expected = dict(zip(found["channels"], found["attribution"], strict=True))
        assert table[rule].to_dict() == pytest.approx(
            {channel: expected.get(channel, 0.0) for channel in table.index}, rel=1e-9, abs=1e-9
        ), rule
    found = results["markov per path"].metadata["removal_effect"]["removal_effect"].to_dict()
    assert table.attrs["removal_effect"] == pytest.approx(found, rel=1e-9)


def test_marketing_attribution_models_gives_a_log_the_same_credit():
    module = pytest.importorskip("mam.core", reason="marketing-attribution-models is not installed")
    rng = np.random.default_rng(4)
    n = 300
    contacts = pd.DataFrame(
        {
            "customer_id": np.sort(rng.integers(0, 80, n)),
            "time": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.permutation(n), unit="h"),
            "channel": rng.choice(CHANNELS, n),
            "converted": rng.random(n) < 0.3,
        }
    )
    # An order an instant behind each contact that converted; one at the end ends all paths.
    orders = contacts[contacts["converted"]][["customer_id", "time"]]
    orders = orders.assign(time=orders["time"] + pd.Timedelta("1us"))
    last = pd.DataFrame({"customer_id": [-1], "time": [pd.Timestamp("2026-01-01")]})
    orders = pd.concat([orders, last], ignore_index=True)
    rules = ["time decay", *SHARED]
    table = attribution_credit(contacts, orders, rules=rules, window=100, half_life=2)
    model = module.MAM(
        df=contacts,
        format_type="session",
        channels_colname="channel",
        journey_with_conv_colname="converted",
        datetime_colname="time",
        user_id_colname="customer_id",
        create_journey_id_based_on_conversion=True,
    )
    results = {
        "time decay": model.run_time_decay(half_life_hours=48),
        "markov per path": model.run_markov(),
        "shapley rate": model.run_shapley(max_size=None),
        "linear": model.run_linear(),
    }
    for rule, result in results.items():
        found = result.to_dict()
        expected = dict(zip(found["channels"], found["attribution"], strict=True))
        assert table[rule].drop("(no contact)").to_dict() == pytest.approx(expected, rel=1e-9), rule
    assert table.loc["(no contact)", "linear"] == 1


# --- by hand -------------------------------------------------------------------------------------


def test_the_rules_by_hand():
    contacts, orders = log(
        (1, 0, "email"), (1, 6, "sms"), (1, 9, "email"), (1, 13, "chat"), orders=[(1, 20), (2, 50)]
    )
    table = attribution_credit(contacts, orders, half_life=7)
    weights = np.exp2([-13 / 7, -1, -4 / 7, 0])
    weights /= weights.sum()
    # The chain forgets: from e-mail it goes on to sms or chat alike, so that half of its ways to
    # the order never meet sms. Removal effects are 1, 1 and 1/2.
    expected = pd.DataFrame(
        {
            "touches": [1, 2, 1, 0],
            "first": [0, 1, 0, 1],
            "last": [1, 0, 0, 1],
            "linear": [0.25, 0.5, 0.25, 1],
            "time decay": [weights[3], weights[0] + weights[2], weights[1], 1],
            "position": [0.4, 0.5, 0.1, 1],
            "markov": [0.4, 0.4, 0.2, 1],
            "shapley": [1 / 3, 1 / 3, 1 / 3, 1],
        },
        index=pd.Index(["chat", "email", "sms", "(no contact)"], name="channel", dtype="str"),
    )
    pd.testing.assert_frame_equal(table, expected.astype(table.dtypes), check_flags=False)
    assert table.attrs == {
        "window": 30.0,
        "until": "2025-02-20 00:00:00",
        "value": None,
        "conversions": 2,
        "touched": 1,
        "early": 1,
        "contacts": 4,
        "held_out": 0,
        "lost_paths": 0,
        "open_paths": 0,
        "open_contacts": 0,
        "removal_effect": {"chat": 1.0, "email": 1.0, "sms": 0.5},
    }


@pytest.mark.parametrize(
    ("contacts", "orders", "touched", "lost", "still_open"),
    [
        # The order comes at the end of the window, or an instant behind it.
        ([(1, 0, "a")], [(1, 10)], 1, 0, 0),
        ([(1, 0, "a")], [(1, 10 + 1e-9)], 0, 1, 0),
        # At the very moment of the order a contact comes behind it.
        ([(1, 5, "a")], [(1, 5), (1, 40.5)], 0, 1, 0),
        # The order before takes all contacts before it.
        ([(1, 0, "a"), (1, 1, "a")], [(1, 2), (1, 3), (1, 40)], 1, 0, 0),
        # Lost contacts are one path within the window, and two beyond it.
        ([(1, 0, "a"), (1, 10, "a")], [(1, 40)], 0, 1, 0),
        ([(1, 0, "a"), (1, 10.5, "a")], [(1, 40)], 0, 2, 0),
        # Lost ones, then touches of the order.
        ([(1, 0, "a"), (1, 8, "a")], [(1, 16), (1, 90)], 1, 1, 0),
        # The end of the log: just over, and not yet.
        ([(1, 30, "a")], [(1, 0), (2, 40)], 0, 1, 0),
        ([(1, 30.5, "a")], [(1, 0), (2, 40)], 0, 0, 1),
        # A further contact keeps a path open.
        ([(1, 25, "a"), (1, 31, "a")], [(1, 0), (2, 40)], 0, 0, 1),
        # Customers without an order are not one customer.
        ([(1, 0, "a"), (7, 1, "a"), (8, 2, "a")], [(1, 30)], 0, 3, 0),
    ],
)
def test_where_a_path_ends(contacts, orders, touched, lost, still_open):
    table = attribution_credit(*log(*contacts, orders=orders), rules=["last"], window=10)
    found = [table.attrs[name] for name in ("touched", "lost_paths", "open_paths")]
    assert found == [touched, lost, still_open]
    assert table["last"].tolist() == [touched, len(orders) - touched]


def test_orders_whose_days_before_are_not_in_the_log_are_counted():
    contacts, orders = log(
        (1, 10, "a"),
        (2, 40, "a"),
        orders=[(1, 10), (1, 12), (1, 41), (2, 40.5), (3, 39.9), (4, 41)],
    )
    # The contacts begin on day 10: the window of customer 3 does before; so does the first order.
    assert attribution_credit(contacts, orders).attrs["early"] == 2
    assert attribution_credit(contacts, orders, window=5).attrs["early"] == 1
    assert attribution_credit(contacts, orders, window=1e300).attrs["early"] == 4


def test_of_two_orders_at_one_moment_the_first_row_has_the_touches():
    contacts, orders = log((1, 0, "a"), orders=[(1, 5), (1, 5)])
    orders["margin"] = [30.0, 7.0]
    for frame, expected in ((orders, [30, 7]), (orders[::-1], [7, 30])):
        table = attribution_credit(contacts, frame, rules=["linear"], value="margin")
        assert table["linear"].tolist() == expected


def test_without_a_contact_that_was_made_all_orders_have_none():
    contacts, orders = log((1, 0, "a"), (1, 1, "b"), orders=[(1, 5), (1, 6)])
    table = attribution_credit(contacts.assign(held_out=True), orders, rules=ALL)
    assert table.index.tolist() == ["a", "b", "(no contact)"]
    assert (table.loc[["a", "b"]] == 0).all(axis=None)
    assert (table.loc["(no contact)", ALL] == 2).all()


# --- invariance ----------------------------------------------------------------------------------


def test_rows_kinds_of_columns_and_zones_do_not_matter():
    shop = tp.load_shop()
    contacts = shop.contacts.drop_duplicates(["customer_id", "time"])
    paid = shop.orders[shop.orders["status"] == "paid"].drop_duplicates(["customer_id", "time"])
    table = attribution_credit(contacts, paid, rules=ALL, value="margin")
    others = [
        (contacts.sample(frac=1, random_state=1), paid.sample(frac=1, random_state=2)),
        (
            contacts.assign(channel=contacts["channel"].astype(str)),
            paid.assign(time=paid["time"].dt.as_unit("s")),
        ),
        tuple(
            frame.assign(
                customer_id=frame["customer_id"].astype(str).astype("category"),
                time=frame["time"].dt.tz_localize("Asia/Shanghai"),
            )
            for frame in (contacts, paid)
        ),
    ]
    for place, pair in enumerate(others):
        found = attribution_credit(*pair, rules=ALL, value="margin")
        pd.testing.assert_frame_equal(found, table, check_flags=False, rtol=1e-9)
        if place < 2:
            assert {**found.attrs, "removal_effect": 0} == {**table.attrs, "removal_effect": 0}


def test_a_long_path_with_old_touches_has_all_its_credit():
    days = np.arange(20_000) / 10
    contacts = pd.DataFrame(
        {
            "customer_id": 1,
            "time": pd.Timestamp("2015-01-01") + pd.to_timedelta(days, unit="D"),
            "channel": np.where(np.arange(20_000) % 3 == 0, "a", "b"),
        }
    )
    orders = pd.DataFrame({"customer_id": [1], "time": [pd.Timestamp("2024-01-01")]})
    table = attribution_credit(contacts, orders, rules=ALL, window=1e30, half_life=1e-300)
    assert (table.loc["(no contact)", ALL] == 0).all()
    assert table[ALL].sum().to_numpy() == pytest.approx(1, rel=1e-9)
    assert table.loc["b", "time decay"] == 1


def test_credit_of_millions_of_conversions_adds_up():
    paths = drawn_paths(8, n=2_000, channels=30, longest=20)
    paths["conversions"] *= 12_345
    table = credit_of_paths(paths, rules=UNTIMED)
    assert table[UNTIMED].sum().to_numpy() == pytest.approx(
        float(paths["conversions"].sum()), rel=1e-12
    )


# --- what credit is worth ------------------------------------------------------------------------


def test_in_the_bundled_shop_every_rule_credits_the_channel_that_does_nothing():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    table = attribution_credit(shop.contacts, paid, rules=ALL)
    truth = shop.truth.channels.set_index("channel")["incremental_orders"]
    true_share = truth / truth.sum()
    share = table[ALL].drop("(no contact)")
    share = share / share.sum()
    assert truth["social"] == 0
    assert share.loc["social"].between(0.08, 0.13).all()
    # "page" follows intent, "parcel" is what really works.
    assert share.loc["page"].between(0.24, 0.38).all()
    assert true_share["page"] == pytest.approx(0.04, abs=0.005)
    assert share.loc["parcel"].between(0.2, 0.33).all()
    assert true_share["parcel"] == pytest.approx(0.62, abs=0.005)


# --- bad input -----------------------------------------------------------------------------------

GOOD = log((1, 0, "a"), (2, 3, "b"), orders=[(1, 5), (2, 40)])


def changed(frame, **columns):
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("contacts", "orders", "options", "message"),
    [
        (None, GOOD[1], {}, r"contacts is a NoneType; it must be a pandas DataFrame"),
        (GOOD[0].drop(columns="channel"), GOOD[1], {}, r"contacts has no column 'channel'.*log"),
        (GOOD[0], GOOD[1].drop(columns="time"), {}, r"orders has no column 'time'.*order_log"),
        (GOOD[0][:0], GOOD[1], {}, r"contacts has no rows; make it with contact_log"),
        (GOOD[0], GOOD[1][:0], {}, r"orders has no rows; make it with order_log"),
        (
            changed(GOOD[0], channel=["a", None]),
            GOOD[1],
            {},
            r"channel of contacts is missing at index 1 \(1 such rows\)",
        ),
        (changed(GOOD[0], channel=[1, 2]), GOOD[1], {}, r"channel of contacts has the value 1;"),
        (changed(GOOD[0], channel=[["a"], ["b"]]), GOOD[1], {}, r"channel of contacts holds lists"),
        (
            pd.concat([changed(GOOD[0], held_out=False)] * 2, axis=1).iloc[:, [0, 1, 2, 3, 7]],
            GOOD[1],
            {},
            r"contacts has several columns 'held_out'; keep one of them",
        ),
        (
            GOOD[0],
            changed(GOOD[1], margin=[1.0, -1e200]),
            {"value": "margin"},
            r"margin of orders is -1e\+200 at index 1 .* must be >= -1e\+100",
        ),
        (
            changed(GOOD[0], channel=["a", "(no contact)"]),
            GOOD[1],
            {},
            r"a channel of contacts is called '\(no contact\)'; rename it",
        ),
        (changed(GOOD[0], channel="a > b"), GOOD[1], {}, r"is called 'a > b'; rename it"),
        (changed(GOOD[0], channel=" "), GOOD[1], {}, r"is called ' '; rename it"),
        (changed(GOOD[0], time="2025"), GOOD[1], {}, r"time of contacts holds str, no times"),
        (
            changed(GOOD[0], customer_id=[1, None]),
            GOOD[1],
            {},
            r"customer_id of contacts is missing at index 1",
        ),
        (changed(GOOD[0], customer_id=9), GOOD[1], {}, r"no customer of contacts"),
        (
            changed(GOOD[0], held_out=[0, 1]),
            GOOD[1],
            {},
            r"held_out of contacts holds int64, no truth values",
        ),
        (
            changed(GOOD[0], time=GOOD[0]["time"].dt.tz_localize("UTC")),
            GOOD[1],
            {},
            r"time of contacts has the time zone UTC, time of orders None",
        ),
        (*GOOD, {"window": 0}, r"window is 0; it must be > 0"),
        (*GOOD, {"window": "30"}, r"window is '30'; it must be a number"),
        (*GOOD, {"half_life": -1}, r"half_life is -1; it must be > 0"),
        (*GOOD, {"position": 0.4}, r"position is 0.4; pass two shares"),
        (*GOOD, {"position": (0.4, 0.4, 0.2)}, r"position is \(0.4, 0.4, 0.2\); pass two"),
        (*GOOD, {"position": (0.4, 1.4)}, r"a share of position is 1.4; it must be <= 1"),
        (*GOOD, {"position": (0.6, 0.7)}, r"add up to 1.3; their sum must be in \(0, 1\]"),
        (*GOOD, {"position": (0, 0)}, r"add up to 0; their sum must be in \(0, 1\]"),
        (*GOOD, {"rules": "markov"}, r"rules is 'markov'; pass a list"),
        (*GOOD, {"rules": []}, r"rules is empty; name one or more"),
        (*GOOD, {"rules": ["last", "last"]}, r"rules has 'last' several times"),
        (*GOOD, {"rules": ["Last"]}, r"a rule is 'Last'; it must be one of 'first', 'last'"),
        (*GOOD, {"value": "margin"}, r"orders has no column 'margin'.*numeric column by value="),
        (
            GOOD[0],
            changed(GOOD[1], margin=[1.0, np.nan]),
            {"value": "margin"},
            r"margin of orders is nan at index 1",
        ),
    ],
)
def test_bad_logs_and_arguments(contacts, orders, options, message):
    with pytest.raises(InputError, match=message):
        attribution_credit(contacts, orders, **options)


PATHS = pd.DataFrame({"path": ["a > b", "b"], "conversions": [3, 0], "nulls": [1, 2]})


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        ([], {}, r"paths is a list; it must be a pandas DataFrame"),
        (PATHS.drop(columns="nulls"), {}, r"paths has no column 'nulls'"),
        (PATHS[:0], {}, r"paths has no rows"),
        (changed(PATHS, path=["a", None]), {}, r"path of paths is missing at index 1"),
        (changed(PATHS, path=[1, 2]), {}, r"path of paths has the value 1; join channels"),
        (changed(PATHS, path=["a > ", "b"]), {}, r"a channel of paths is called ''; rename"),
        (changed(PATHS, path=["a > (other)", "b"]), {}, r"is called '\(other\)'; rename"),
        (
            changed(PATHS, conversions=[1, -1]),
            {},
            r"conversions of paths is -1 at index 1 .*every value must be >= 0",
        ),
        (changed(PATHS, nulls=["x", "y"]), {}, r"nulls of paths is not numeric"),
        (changed(PATHS, conversions=1e308), {}, r"conversions of paths is 1e\+308 at index 0"),
        (
            changed(PATHS, money=[1, 4]),
            {"value": "money"},
            r"money of paths is 4 at index 1, where there is no conversion",
        ),
        (PATHS, {"rules": ["time decay"]}, r"a rule is 'time decay'; it must be one of 'first'"),
        (PATHS, {"position": [1]}, r"position is \[1\]; pass two shares"),
    ],
)
def test_bad_paths(paths, options, message):
    with pytest.raises(InputError, match=message):
        credit_of_paths(paths, **options)
