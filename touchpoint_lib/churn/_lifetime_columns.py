"""Lifetime models as indicators: what each says of every customer as of the cutoff."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.churn._frames import cutoff_codes
from touchpoint_lib.lifetime._purchases import PurchaseModel

#: What each model says: still alive, buys within the horizon, and how often.
_QUANTITIES = ("alive", "buys", "purchases")
#: Probabilities count as no nearer to 0 or 1 than this, so that their odds are finite.
_CERTAIN = 1e-9


def lifetime_names(models: Iterable[str]) -> list[str]:
    """Return the names of the columns of ``models``."""
    return [f"{name} {quantity}" for name in models for quantity in _QUANTITIES]


def lifetime_columns(
    models: Mapping[str, PurchaseModel], frame: pd.DataFrame, horizon: float
) -> pd.DataFrame:
    """Return the predictions of fitted models, three columns each."""
    predicted = [
        values
        for model in models.values()
        for values in (
            model.probability_alive(frame),
            model.probability_of_purchase(frame, horizon),
            model.expected_purchases(frame, horizon),
        )
    ]
    return pd.DataFrame(np.column_stack(predicted), frame.index, lifetime_names(models))


def fit_lifetime(
    models: Mapping[str, PurchaseModel], frame: pd.DataFrame, horizon: Any
) -> tuple[pd.DataFrame, dict[str, PurchaseModel]]:
    """Fit copies of ``models`` at each cutoff on its own.

    No fit then knows more than its cutoff did.

    Returns
    -------
    DataFrame, dict
        The columns for the rows of ``frame``, and the models of the last cutoff, by name.

    Raises
    ------
    InputError
        If the horizon is not known, or the models cannot be fitted to the frame.
    """
    if horizon is None:
        raise fail(
            "panel.attrs has no horizon, which the lifetime models need",
            "make the panel with indicator_panel, or pass lifetime=[]",
        )
    fitted = dict(models)
    parts = []
    places = cutoff_codes(frame)
    for place in range(int(places.max()) + 1):
        rows = np.flatnonzero(places == place)
        part = frame.iloc[rows]
        fitted = {name: copy.copy(model).fit(part) for name, model in models.items()}
        parts.append((rows, lifetime_columns(fitted, part, horizon)))
    columns = pd.DataFrame(
        np.empty((len(frame), parts[0][1].shape[1])), index=frame.index, columns=parts[0][1].columns
    )
    for rows, part in parts:
        columns.iloc[rows] = part.to_numpy()
    return columns, fitted


def buying_odds(columns: pd.DataFrame, name: str) -> FloatArray:
    """Return the log-odds of a purchase within the horizon by the model ``name``."""
    chance = columns[f"{name} buys"].to_numpy()
    return logit(np.clip(chance, _CERTAIN, 1 - _CERTAIN))
