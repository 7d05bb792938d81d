from __future__ import annotations

import math
from collections import Counter
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import touchpoint_lib as tp
from tests.touchpoints.path_oracle import plain_paths, small_log
from touchpoint_lib._checks import InputError
from touchpoint_lib.touchpoints._paths import Paths
from touchpoint_lib.touchpoints.paths import contact_paths


def plain_early(contacts, orders, number, window):
    """Return how many number-th orders have days before them that the contacts do not tell."""
    count = 0
    for _, times in orders.groupby("customer_id")["time"]:
        ranked = sorted(times)
        if len(ranked) >= number:
            since = ranked[number - 1] - pd.Timedelta(days=window)
            if number > 1:
                since = max(since, ranked[number - 2])
            count += since < contacts["time"].min()
    return count


COLUMNS = [
    "path",
    "customers",
    "share",
    "share_low",
    "share_high",
    "median_days",
    "touches",
]


def wilson(k, n, level):
    """Return Wilson's interval as the roots of (p - k / n)^2 = z^2 p (1 - p) / n."""
    z2 = norm.ppf(0.5 + level / 2) ** 2
    roots = np.roots([1 + z2 / n, -2 * k / n - z2 / n, (k / n) ** 2])
    return sorted(roots.real)


def plain_table(contacts, orders, number, window, top):
    """Return rows of path, customers, median days, mean touches, and the number of paths."""
    by_order, _, _ = plain_paths(contacts, orders, window)
    origin = orders["time"].min()
    found = {}
    for _, group in orders.reset_index(drop=True).groupby("customer_id"):
        ranked = sorted(group.index, key=lambda place: (group["time"][place], place))
        if len(ranked) < number:
            continue
        place = ranked[number - 1]
        touches = by_order[place]
        days = math.nan
        if touches:
            days = (group["time"][place] - origin) / pd.Timedelta(days=1) - touches[0][0]
        name = " > ".join(channel for _, channel in touches) or "(no contact)"
        found.setdefault(name, []).append((days, len(touches)))
    often = Counter({name: len(rows) for name, rows in found.items()})
    ranked = sorted(
        (name for name in often if name != "(no contact)"), key=lambda p: (-often[p], p)
    )
    shown = {name: found[name] for name in ranked[:top]}
    if "(no contact)" in found:
        shown["(no contact)"] = found["(no contact)"]
    order = sorted(shown, key=lambda name: (-often[name], name))
    if ranked[top:]:
        shown["(other)"] = [row for name in ranked[top:] for row in found[name]]
        order.append("(other)")
    table = [
        (
            name,
            len(shown[name]),
            median(days for days, _ in shown[name]),
            sum(size for _, size in shown[name]) / len(shown[name]),
        )
        for name in order
    ]
    return table, len(found)


# --- against plain loops -------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    number=st.integers(1, 3),
    window=st.sampled_from([2.0, 10.0, 60.0]),
    top=st.sampled_from([1, 2, 50]),
    level=st.sampled_from([0.5, 0.95]),
)
def test_paths_are_those_in_plain_loops(seed, number, window, top, level):
    contacts, orders = small_log(seed, n=50, customers=9, orders=25, channels=("chat", "sms"))
    have = orders["customer_id"].value_counts()
    assume(have.max() >= number)
    table = contact_paths(contacts, orders, number=number, window=window, top=top, level=level)
    expected, different = plain_table(contacts, orders, number, window, top)
    n = int((have >= number).sum())
    assert table.columns.tolist() == COLUMNS
    assert table["path"].tolist() == [row[0] for row in expected]
    assert table["customers"].tolist() == [row[1] for row in expected]
    for column, place in (("median_days", 2), ("touches", 3)):
        assert table[column].tolist() == pytest.approx(
            [row[place] for row in expected], nan_ok=True
        )
    assert table["customers"].sum() == n
    assert table["share"].sum() == pytest.approx(1)
    for row in table.itertuples():
        assert row.share == row.customers / n
        assert [row.share_low, row.share_high] == pytest.approx(wilson(row.customers, n, level))
    assert table.attrs == {
        "number": number,
        "window": window,
        "level": level,
        "customers": n,
        "fewer": len(have) - n,
        "early": plain_early(contacts, orders, number, window),
        "paths": different,
    }


@settings(max_examples=100, deadline=None)
@given(
    paths=st.lists(
        st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5), min_size=0, max_size=20
    )
)
def test_equal_paths_and_no_others_share_a_number_and_a_text(paths):
    code = np.array(["abc".index(name) for path in paths for name in path], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum([len(path) for path in paths])]).astype(np.int64)
    made = Paths(["a", "b", "c"], code, start)
    for taken, plain in ((made, paths), (made.sets(), [sorted(set(path)) for path in paths])):
        group, example = taken.groups()
        texts = [" > ".join(path) for path in plain]
        assert [taken.text(path) for path in range(len(paths))] == texts
        assert [taken.text(example[number]) for number in group] == texts
        assert len(example) == len(set(texts))


# --- by hand -------------------------------------------------------------------------------------


def log(*contacts, orders):
    start = pd.Timestamp("2025-01-01")
    touched = pd.DataFrame(contacts, columns=["customer_id", "time", "channel"])
    bought = pd.DataFrame(orders, columns=["customer_id", "time"])
    for frame in (touched, bought):
        frame["time"] = start + pd.to_timedelta(frame["time"], unit="D")
    return touched, bought


def test_paths_to_the_first_and_the_second_order_by_hand():
    contacts, orders = log(
        (1, 0, "email"),
        (1, 2, "sms"),
        (1, 5, "chat"),
        (2, 1, "email"),
        (2, 3, "sms"),
        (3, 0, "email"),
        orders=[(1, 4), (1, 9), (2, 6), (3, 40), (4, 8)],
    )
    first = contact_paths(contacts, orders)
    assert first["path"].tolist() == ["(no contact)", "email > sms"]
    assert first["customers"].tolist() == [2, 2]
    assert first["median_days"].tolist() == pytest.approx([math.nan, 4.5], nan_ok=True)
    assert first["touches"].tolist() == [0, 2]
    # With a window of 40 days the contact of customer 3 is on the way too.
    wide = contact_paths(contacts, orders, window=40, top=1)
    assert wide["path"].tolist() == ["email > sms", "(no contact)", "(other)"]
    assert wide["median_days"].tolist() == pytest.approx([4.5, math.nan, 40], nan_ok=True)
    second = contact_paths(contacts, orders, number=2)
    assert second[["path", "customers", "median_days"]].to_numpy().tolist() == [["chat", 1, 4.0]]
    assert second.attrs["fewer"] == 3


def test_without_a_contact_on_the_way_there_is_one_path():
    contacts, orders = log((1, 9, "email"), orders=[(1, 4), (2, 6)])
    table = contact_paths(contacts, orders)
    assert table["path"].tolist() == ["(no contact)"]
    assert table["share"].tolist() == [1]
    assert table["touches"].tolist() == [0]
    assert table.dtypes.astype(str).tolist() == ["str", "int64", *["float64"] * 5]


def test_rows_that_were_held_out_are_not_on_the_way():
    contacts, orders = log((1, 0, "email"), (1, 1, "sms"), orders=[(1, 4)])
    table = contact_paths(contacts.assign(held_out=[True, False]), orders)
    assert table["path"].tolist() == ["sms"]


def test_the_bundled_shop_has_contacts_before_hardly_any_first_order():
    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    shares = {}
    for number in (1, 2):
        table = contact_paths(shop.contacts, paid, number=number).set_index("path")
        assert table["customers"].sum() == table.attrs["customers"]
        shares[number] = table.loc["(no contact)", "share"]
    # A few first orders were never paid, and contacts followed.
    assert 0.97 < shares[1] < 1
    assert shares[2] < 0.45


def test_customers_whose_days_before_are_not_in_the_log_are_counted():
    contacts, orders = log((1, 20, "a"), (2, 41, "b"), orders=[(1, 25), (1, 55), (2, 60), (3, 49)])
    assert contact_paths(contacts, orders).attrs["early"] == 2
    # After the order before it the second order of customer 1 has all its days in the log.
    assert contact_paths(contacts, orders, number=2, window=50).attrs["early"] == 0


# --- bad input -----------------------------------------------------------------------------------

GOOD = log((1, 0, "a"), (2, 3, "b"), orders=[(1, 5), (2, 40)])


@pytest.mark.parametrize(
    ("contacts", "orders", "options", "message"),
    [
        (GOOD[0].drop(columns="channel"), GOOD[1], {}, r"contacts has no column 'channel'"),
        (GOOD[0], GOOD[1][:0], {}, r"orders has no rows"),
        (GOOD[0].assign(channel="(other)"), GOOD[1], {}, r"is called '\(other\)'; rename it"),
        (*GOOD, {"number": 0}, r"number is 0; it must be >= 1"),
        (*GOOD, {"number": 1.5}, r"number is 1.5; it must be a whole number"),
        (*GOOD, {"number": 2}, r"no customer of orders has 2 orders; pass a number up to 1"),
        (*GOOD, {"window": -1}, r"window is -1; it must be > 0"),
        (*GOOD, {"top": 0}, r"top is 0; it must be >= 1"),
        (*GOOD, {"level": 1}, r"level is 1; it must be < 1"),
    ],
)
def test_bad_input(contacts, orders, options, message):
    with pytest.raises(InputError, match=message):
        contact_paths(contacts, orders, **options)
