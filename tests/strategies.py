"""Hypothesis strategies that several test modules share."""

from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import strategies as st

#: The day on which random logs begin.
START = pd.Timestamp("2024-01-01")


@st.composite
def logs(draw: st.DrawFn, returns: bool = False, days: int = 40) -> pd.DataFrame:
    """Small purchase logs: customer_id, date, amount, discount, in any order.

    Amounts are quarters, so that sums are exact; few customers and days, so that purchase days
    with several rows, duplicates and zero amounts are common. One row is a purchase on the
    first day, too large to be cancelled. With ``returns`` some amounts are negative.
    """
    quarters = st.integers(-40 if returns else 0, 40)
    row = st.tuples(
        st.sampled_from(["a", "b", "0012", "12", "é"]),
        st.integers(0, days),
        st.integers(0, 86_399),
        quarters,
        st.sampled_from([0.0, 0.0, 0.1, 5.0]),
    )
    rows: list[Any] = draw(st.lists(row, max_size=30))
    rows.insert(draw(st.integers(0, len(rows))), ("a", 0, 0, 4000, 0.0))
    return pd.DataFrame(
        {
            "customer_id": pd.Series([r[0] for r in rows], dtype="str"),
            "date": [START + pd.Timedelta(days=r[1], seconds=r[2]) for r in rows],
            "amount": [r[3] / 4 for r in rows],
            "discount": [r[4] for r in rows],
        }
    )


@st.composite
def customers(
    draw: st.DrawFn, max_size: int = 30, max_frequency: int = 30, unit: str = "W"
) -> pd.DataFrame:
    """Frames as rfm_summary returns them: frequency, recency and T on the grid of days."""
    days = 7 if unit == "W" else 1
    rows = []
    for _ in range(draw(st.integers(1, max_size))):
        age = draw(st.integers(1, 700))
        frequency = draw(st.integers(0, min(max_frequency, age)))
        recency = draw(st.integers(frequency, age)) if frequency else 0
        rows.append((frequency, recency / days, age / days))
    frame = pd.DataFrame(rows, columns=["frequency", "recency", "T"])
    frame.attrs["unit"] = unit
    return frame
