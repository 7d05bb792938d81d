"""Purchase logs with every optional role: one row, and random ones."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pandas as pd
from hypothesis import Phase
from hypothesis import strategies as st

START = date(2023, 11, 20)
ROLES = {
    "discount": "discount",
    "category": "category",
    "channel": "channel",
    "event": "event",
    "purchase_event": "buy",
}
#: A call compiles queries for half a second: a failing log is shown as it was drawn.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
#: Short spans for the small windows and many gaps, long ones for the large windows.
SPANS = st.sampled_from([20, 120, 900])


@st.composite
def rich_logs(draw, returns=False):
    """Logs with every optional role, and a cutoff from the first purchase on."""
    span = draw(SPANS)
    row = st.tuples(
        st.sampled_from(["a", "b", "c", "0012", "é"]),
        st.integers(0, span),
        st.sampled_from([0, 3 * 3600, 43_215, 64_800, 86_399]),
        st.integers(-40 if returns else 0, 40),
        st.sampled_from([0.0, 0.0, 0.5]),
        st.sampled_from(["shoes", "Hats & Co", "hats_co", "other", "帽子", "level", "commonest"]),
        st.sampled_from(["web", "shop"]),
        st.sampled_from(["buy", "buy", "buy", "visit", "mail"]),
    )
    rows = draw(st.lists(row, max_size=40))
    rows.append(("a", 0, 0, 4000, 0.0, "shoes", "web", "buy"))
    days = [pd.Timestamp(START) + pd.Timedelta(days=r[1], seconds=r[2]) for r in rows]
    log = pd.DataFrame(
        {
            "customer_id": pd.Series([r[0] for r in rows], dtype="str"),
            "date": days,
            "amount": [r[3] / 4 if r[7] == "buy" else math.nan for r in rows],
            "discount": [r[4] for r in rows],
            "category": pd.Series([r[5] for r in rows], dtype="str"),
            "channel": pd.Series([r[6] for r in rows], dtype="str"),
            "event": pd.Series([r[7] for r in rows], dtype="str"),
        }
    )
    return log, START + timedelta(draw(st.integers(0, span + 40)))


def one_row(**columns):
    row = {"customer_id": "a", "date": "2023-11-20 09:00", "amount": 0.0, "discount": 0.0}
    row |= {"category": "x", "channel": "web", "event": "buy"} | columns
    return pd.DataFrame([row | {"date": pd.Timestamp(row["date"])}])
