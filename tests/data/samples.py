"""Logs small enough to see through."""

from __future__ import annotations

import pandas as pd


def frame(*rows, columns=("customer_id", "date", "amount")) -> pd.DataFrame:
    """A log from (customer, ISO date, amount, ...) rows."""
    made = pd.DataFrame(list(rows), columns=list(columns))
    return made.assign(date=pd.to_datetime(made["date"], format="ISO8601"))
