"""What followed contacts, by channel and number of recent ones: rates that describe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib.touchpoints._clustered import clustered_rates
from touchpoint_lib.touchpoints._pressure_log import PressureLog


def class_labels(classes: int) -> list[str]:
    """Return the names of the classes: 0, 1, ... and the open last one."""
    return [*(str(number) for number in range(classes)), f"{classes}+"]


def rates_table(log: PressureLog, classes: int, level: float) -> pd.DataFrame:
    """Return the rates of the contacts that were made, a row a channel and class."""
    made = log.frame[log.frame["made"]]
    recent = np.minimum(made["n"].to_numpy(), classes)
    cell = made["channel"].to_numpy() * (classes + 1) + recent
    size = len(log.channels) * (classes + 1)
    customer = pd.factorize(made["customer_id"])[0]
    table: dict[str, Any] = {
        "channel": np.repeat(np.array(log.channels, dtype=object), classes + 1),
        "recent": class_labels(classes) * len(log.channels),
        "n": np.bincount(cell, minlength=size),
    }
    everybody = np.ones(len(made), dtype=np.bool_)
    followed = made["followed"].to_numpy()
    rates = {"purchase": ("bought", followed)}
    if "unsubscribed" in made.columns:
        rates = {"unsubscribe": ("unsubscribed", everybody)} | rates
    if "response" in made.columns:
        rates = {"response": ("response", everybody)} | rates
    for name, (column, rows) in rates.items():
        happened = made[column].to_numpy(dtype=np.float64)[rows]
        rate, low, high = clustered_rates(happened, cell[rows], customer[rows], size, level)
        table |= {f"{name}_rate": rate, f"{name}_low": low, f"{name}_high": high}
    table["n_followed"] = np.bincount(cell[followed], minlength=size)
    return pd.DataFrame(table)
