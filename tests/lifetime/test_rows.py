from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib._checks import InputError
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    distinct_pairs,
    group,
    group_with_inverse,
)


def frame(**columns: list[float]) -> pd.DataFrame:
    good = {"frequency": [2, 0], "recency": [3.0, 0.0], "T": [4.0, 4.0]}
    return pd.DataFrame(good | columns, index=["a", "b"])


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Rows in days, in weeks of sevenths, or off any grid, with repeats among them."""
    days = draw(st.sampled_from([1.0, 7.0, 6.2831]))
    kinds = draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=30)
    )
    x = np.array([kind[0] for kind in kinds], dtype=float)
    age = np.array([kind[1] + 1 for kind in kinds]) / days
    recency = np.where(x > 0, age / 2 if days == 6.2831 else np.ceil(age * days / 2) / days, 0.0)
    count = draw(
        st.one_of(
            st.just(np.ones(len(x))),
            st.lists(st.integers(1, 9), min_size=len(x), max_size=len(x)).map(
                lambda values: np.array(values, dtype=float)
            ),
        )
    )
    return Rows(x, recency, age, count)


def as_counter(some: Rows) -> dict[tuple[float, ...], float]:
    counter: dict[tuple[float, ...], float] = {}
    for x, recency, age, count in zip(
        some.frequency, some.recency, some.T, some.count, strict=True
    ):
        key = (x, round(recency, 9), round(age, 9))
        counter[key] = counter.get(key, 0) + count
    return counter


@given(rows())
def test_grouping_keeps_every_customer_and_repeats_no_row(some: Rows) -> None:
    grouped = group(some)
    assert as_counter(grouped) == as_counter(some)
    assert len(as_counter(grouped)) == len(grouped.T)
    assert grouped.n_customers == some.n_customers


@given(rows())
def test_inverse_leads_back_to_the_row(some: Rows) -> None:
    grouped, inverse = group_with_inverse(some)
    for name in ("frequency", "recency", "T"):
        np.testing.assert_allclose(
            getattr(grouped, name)[inverse], getattr(some, name), rtol=0, atol=1e-9
        )
    assert as_counter(grouped) == as_counter(some)


@given(rows())
def test_pairs_lead_back(some: Rows) -> None:
    first, second, inverse = distinct_pairs(some.frequency, some.T)
    np.testing.assert_allclose(first[inverse], some.frequency)
    np.testing.assert_allclose(second[inverse], some.T, atol=1e-9)
    assert len({*zip(first, second, strict=True)}) == len(first)


def test_many_distinct_times_are_hashed_not_tabled() -> None:
    generator = np.random.default_rng(0)
    age = generator.uniform(1, 1000, 5000)
    some = Rows(np.ones(5000), age / 3, age, np.ones(5000))
    grouped, inverse = group_with_inverse(some)
    np.testing.assert_array_equal(grouped.T[inverse], age)
    assert len(group(some).T) == 5000


def test_distinct_rows_in_order_are_taken_as_they_are() -> None:
    age = np.arange(1.0, 70_001.0)
    some = Rows(np.ones(70_000), np.ones(70_000), age, np.full(70_000, 2.0))
    assert group(some) is some
    # The last of many rows may still be one too many, or out of order.
    for last in (69_999.0, 1.0):
        age[-1] = last
        grouped = group(some)
        assert len(grouped.T) == 69_999
        assert grouped.n_customers == 140_000
        assert (np.diff(grouped.T) > 0).all()


@given(rows())
def test_days_and_runs_lead_back_to_the_rows(some: Rows) -> None:
    days = some.days
    # Sevenths of a week are days; the third grid is none, but for whole numbers on it by chance.
    if days is not None:
        np.testing.assert_allclose(days.times()[days.T], some.T, rtol=0, atol=1e-6)
        np.testing.assert_allclose(days.times()[days.recency], some.recency, rtol=0, atol=1e-6)
        assert days.last == days.T.max()
    else:
        assert (np.abs(some.T * 7 - np.rint(some.T * 7)) > 1e-6).any()
    lengths = np.diff(some.runs, append=len(some.T))
    np.testing.assert_array_equal(np.repeat(some.frequency[some.runs], lengths), some.frequency)
    assert (np.diff(some.frequency[some.runs]) != 0).all()


def test_a_late_row_off_the_grid_is_seen() -> None:
    age = np.full(40_000, 5.0)
    age[-1] = 5.05
    assert Rows(np.zeros(40_000), np.zeros(40_000), age, np.ones(40_000)).days is None


def test_counts_are_read_whatever_their_dtype() -> None:
    for dtype in ("int64", "float64", "Int64", "bool"):
        counted = frame(count=[1, 0]).astype({"count": dtype})
        np.testing.assert_array_equal(check_rows(counted).count, [1, 0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"frequency": [-1, 0]}, "frequency is -1 at index 'a'"),
        ({"frequency": [1.5, 0]}, "every value must be a whole number"),
        ({"recency": [float("nan"), 0]}, "recency is nan at index 'a'"),
        ({"T": [float("inf"), 4]}, "T is inf at index 'a'"),
        ({"T": [2.0, 4.0]}, "recency exceeds T at index 'a'"),
        ({"recency": [0.0, 0.0]}, "frequency and recency disagree at index 'a'"),
        ({"recency": [3.0, 1.0]}, "frequency and recency disagree at index 'b'"),
        ({"T": ["x", "y"]}, "T is not numeric"),
        ({"count": [1, -1]}, "count is -1 at index 'b'"),
        ({"count": [1, float("nan")]}, "count is nan at index 'b'"),
        ({"count": [float("inf"), 1]}, "count is inf at index 'a'"),
    ],
)
def test_impossible_rows_are_named(columns: dict[str, list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_rows(frame(**columns))


def test_missing_columns_and_other_types_are_refused() -> None:
    with pytest.raises(InputError, match="no column 'T'"):
        customer_frame(frame().drop(columns="T"))
    with pytest.raises(InputError, match="customers is a list"):
        customer_frame([1, 2])
    with pytest.raises(InputError, match="customers has no rows"):
        customer_frame(frame().iloc[:0])


def test_a_customer_base_gives_its_distinct_rows_to_a_fit() -> None:
    base = tp.customer_base(tp.load_cdnow(sample=True))
    assert len(customer_frame(base, compressed=True)) < len(customer_frame(base))
    assert "count" in customer_frame(base, compressed=True)


def test_unit_comes_from_the_frame_or_the_argument() -> None:
    assert common_unit({"unit": "W"}, None) == "W"
    assert common_unit({}, "D") == "D"
    assert common_unit({}, None) is None
    with pytest.raises(InputError, match='unit is "D", but the times of the data are in "W"'):
        common_unit({"unit": "W"}, "D")
    with pytest.raises(InputError, match="unit is 'month'"):
        common_unit({}, "month")
