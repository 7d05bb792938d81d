"""Models side by side: how well each describes the past and forecasts the holdout."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    FloatArray,
    check_columns,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import Rows, check_rows, customer_frame
from touchpoint_lib.metrics._shared import ratio
from touchpoint_lib.metrics.ranking import weighted_auc

#: The rows that need no model.
BASELINES = ("recency", "rate")

_COLUMNS = (
    "log_likelihood",
    "aic",
    "bic",
    "holdout_expected",
    "holdout_actual",
    "bias",
    "mae",
    "rmse",
    "auc",
    "brier",
    "error_rate",
    "omission_rate",
)
_NAN = float("nan")


def compare_models(models: Any, split: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """Return how well each model describes the calibration part and forecasts the holdout.

    The forecast is judged twice: as a number of purchases (bias, mae, rmse), and as a prediction
    of who buys at all (auc, brier, error_rate, omission_rate). Two baselines are always rows:
    "recency" ranks customers by the time since their last purchase, "rate" lets each go on at
    the own rate frequency / T (0 for customers of T = 0).

    Parameters
    ----------
    models : mapping of str to PurchaseModel, or sequence of PurchaseModel
        A sequence is named by class. A copy of each unfitted model is fitted on the calibration
        part; the objects passed stay as they are.
    split : DataFrame
        From `rfm_split`: frequency, recency, T, holdout_frequency and holdout_duration. A column
        ``count`` weighs the rows.
    threshold : float
        In [0, 1]: a customer whose probability of a purchase in the holdout is at least this is
        flagged as a buyer.

    Returns
    -------
    DataFrame
        Index ``model``; log_likelihood, aic and bic (of the calibration part), holdout_expected
        and holdout_actual (purchases of all customers), bias ((expected - actual) / actual), mae
        and rmse (purchases a customer), auc, brier, error_rate (wrongly flagged / flagged) and
        omission_rate (buyers missed / buyers). NaN where a figure has no meaning: no probability
        and no likelihood for a baseline, no likelihood for a model of `from_params`, no bias where
        nothing was bought, no rate without cases. ``attrs`` holds threshold, n (customers),
        n_actual (buyers), n_flagged (by row) and best: the model that the baselines follow.

    Raises
    ------
    InputError
        If a model is no purchase model, was fitted on other data than the calibration part (the
        number of customers or the unit differs), two have one name, or ``split`` lacks a column.

    Notes
    -----
    The baselines flag exactly as many customers as the model with the highest log-likelihood
    (the first model, where none has one): the highest scores first. Where a tie crosses that
    number, the rates are the expected ones if chance picks among the tied. Likelihoods of models
    in discrete and in continuous time are on different scales and cannot be compared.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> table = tp.compare_models([tp.BetaGeoModel(), tp.ModifiedBetaGeoModel()], split)
    >>> table[["mae", "auc", "error_rate", "omission_rate"]].round(3)
                            mae    auc  error_rate  omission_rate
    model
    BetaGeoModel          0.785  0.757       0.233          0.658
    ModifiedBetaGeoModel  0.765  0.760       0.227          0.661
    recency                 NaN  0.771       0.247          0.670
    rate                  1.024  0.760       0.280          0.684
    """
    named = name_models(models)
    taken = [name for name in named if name in BASELINES]
    if taken:
        raise fail(f"a model is named {taken[0]!r}", "a baseline has that name: choose another")
    cut = check_number("threshold", threshold, ge=0, le=1)
    frame = customer_frame(split)
    check_columns(frame, ("holdout_frequency", "holdout_duration"), "split")
    rows = check_rows(frame)
    index = frame.index
    actual = check_values(
        "holdout_frequency", frame["holdout_frequency"], ge=0, whole=True, index=index
    )
    duration = check_values("holdout_duration", frame["holdout_duration"], gt=0, index=index)
    weight = rows.count
    if weight.sum() == 0:
        raise fail("count is 0 in every row of split", "pass at least one customer")
    buys = actual > 0
    n_actual = float(weight[buys].sum())

    table: dict[str, dict[str, float]] = {}
    n_flagged: dict[str, float] = {}
    for name, model in named.items():
        fitted = _fitted(name, model, frame, rows)
        purchases = by_duration(fitted.expected_purchases, frame, duration)
        chance = by_duration(fitted.probability_of_purchase, frame, duration)
        flagged = chance >= cut
        hits = float(weight[flagged & buys].sum())
        n_flagged[name] = float(weight[flagged].sum())
        has_likelihood = hasattr(fitted, "log_likelihood_")
        table[name] = {
            "log_likelihood": fitted.log_likelihood_ if has_likelihood else _NAN,
            "aic": fitted.aic_ if has_likelihood else _NAN,
            "bic": fitted.bic_ if has_likelihood else _NAN,
            **_forecast(purchases, actual, weight),
            "auc": weighted_auc(buys, chance, weight),
            "brier": float(np.average((chance - buys) ** 2, weights=weight)),
            **_rates(hits, n_flagged[name], n_actual),
        }

    likelihoods = {name: row["log_likelihood"] for name, row in table.items()}
    known = [name for name, value in likelihoods.items() if not np.isnan(value)]
    best = max(known, key=lambda name: likelihoods[name]) if known else next(iter(table))
    rate = own_rates(rows)
    scores = {
        # Differences of sevenths vary in the last digit; equal silences must stay ties.
        "recency": -(rows.T - rows.recency).round(9),
        "rate": (rate * duration).round(9),
    }
    for name, score in scores.items():
        n_flagged[name] = n_flagged[best]
        hits = expected_hits(score, buys, weight, n_flagged[best])
        table[name] = {
            "holdout_actual": float(weight @ actual),
            **(_forecast(rate * duration, actual, weight) if name == "rate" else {}),
            "auc": weighted_auc(buys, score, weight),
            **_rates(hits, n_flagged[best], n_actual),
        }
    result = pd.DataFrame.from_dict(table, orient="index", columns=list(_COLUMNS), dtype=float)
    result.index.name = "model"
    result.attrs = {
        "threshold": cut,
        "n": rows.n_customers,
        "n_actual": n_actual,
        "n_flagged": n_flagged,
        "best": best,
    }
    return result


def name_models(models: Any) -> dict[str, PurchaseModel]:
    """Return purchase models by name: those of a mapping, or each by its class.

    One model alone counts as a sequence of one.
    """
    if isinstance(models, PurchaseModel):
        models = [models]
    if isinstance(models, Mapping):
        pairs = list(models.items())
    elif isinstance(models, Sequence) and not isinstance(models, str):
        pairs = [(type(model).__name__, model) for model in models]
    else:
        raise fail(
            f"models is a {type(models).__name__}", "pass models by name in a dict, or in a list"
        )
    if not pairs:
        raise fail("models is empty", "pass at least one purchase model")
    named: dict[str, PurchaseModel] = {}
    for name, model in pairs:
        if not isinstance(name, str) or not name:
            raise fail(f"a model is named {name!r}", "names must be text")
        if not isinstance(model, PurchaseModel):
            raise fail(
                f"{name!r} is a {type(model).__name__}",
                "pass models of purchases, such as ModifiedBetaGeoModel()",
            )
        if name in named:
            raise fail(f"two models are a {name}", "name them: pass a dict of name to model")
        named[name] = model
    return named


def own_rates(rows: Rows) -> FloatArray:
    """Return the baseline's purchase rate frequency / T of each customer, 0 where T is 0."""
    seen = rows.T > 0
    rate: FloatArray = np.where(seen, rows.frequency / np.where(seen, rows.T, 1.0), 0.0)
    return rate


def _fitted(name: str, model: PurchaseModel, frame: pd.DataFrame, rows: Rows) -> PurchaseModel:
    """Return the model where it has parameters, and a fitted copy where it has none."""
    if not hasattr(model, "params_"):
        return copy.copy(model).fit(frame)
    if model._data and not np.allclose(model._data, rows.totals, rtol=1e-9):
        raise fail(
            f"{name!r} was fitted on {model._data[0]:,.0f} customers with {model._data[1]:,.0f} "
            f"repeat purchases, split has {rows.n_customers:,.0f} with {rows.totals[1]:,.0f}",
            "fit it on the calibration part, or pass an unfitted model",
        )
    return model


def by_duration(
    predict: Callable[..., Any], frame: pd.DataFrame, duration: FloatArray
) -> FloatArray:
    """Return a prediction for each customer over the own duration of the holdout."""
    values = np.empty(len(frame))
    for horizon in np.unique(duration):
        at = duration == horizon
        values[at] = predict(frame[at], float(horizon)).to_numpy()
    return values


def _forecast(expected: FloatArray, actual: FloatArray, weight: FloatArray) -> dict[str, float]:
    """Return the figures of a forecast of purchases."""
    total, came = float(weight @ expected), float(weight @ actual)
    miss = expected - actual
    return {
        "holdout_expected": total,
        "holdout_actual": came,
        "bias": ratio(total - came, came),
        "mae": float(np.average(np.abs(miss), weights=weight)),
        "rmse": float(np.sqrt(np.average(miss**2, weights=weight))),
    }


def _rates(hits: float, n_flagged: float, n_actual: float) -> dict[str, float]:
    return {
        "error_rate": ratio(n_flagged - hits, n_flagged),
        "omission_rate": ratio(n_actual - hits, n_actual),
    }


def expected_hits(score: FloatArray, truth: Any, weight: FloatArray, n_flagged: float) -> float:
    """Return the expected buyers among the ``n_flagged`` highest scores, chance breaking ties."""
    _, place = np.unique(-score, return_inverse=True)
    found = np.bincount(place, weights=weight * truth)
    size = np.bincount(place, weights=weight)
    taken = np.clip(n_flagged - (np.cumsum(size) - size), 0, size)
    # A class without weight has nobody to find.
    return float((found * taken / np.where(size > 0, size, 1.0)).sum())
