"""The purchases and the money that came, beside the expected, and what is still to come."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import FloatArray, check_columns
from touchpoint_lib.charts.alive import unit_word
from touchpoint_lib.lifetime._intervals import low_discrepancy
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import check_rows
from touchpoint_lib.lifetime.comparison import expected_hits, own_rates
from touchpoint_lib.lifetime.spend import (
    GammaGammaModel,
    conditional_mean,
    customer_lifetime_value,
)
from touchpoint_lib.metrics._shared import ratio

#: The row that needs no model.
OWN_RATE = "own rate"
_DRAWS = 201
#: Draws beyond each 95% bound.
_TAIL = 5


def holdout_value_data(
    models: Mapping[str, PurchaseModel], spend: GammaGammaModel, split: pd.DataFrame
) -> pd.DataFrame:
    """Return the purchases and the money that each model expects in the holdout, and what came.

    Nothing is discounted. The baseline "own rate" lets each customer go on buying at the own rate
    frequency / T and spending the own mean.

    Parameters
    ----------
    models : mapping of str to PurchaseModel
        Fitted on the calibration part.
    spend : GammaGammaModel
        Fitted on it too.
    split : DataFrame
        From `rfm_split`.

    Returns
    -------
    DataFrame
        Index ``model``; for purchases and for money (prefixes purchases_ and money_) the totals
        expected, lower and upper (95%: uncertainty of the parameters, where the models know it,
        and chance, as the customers scatter around their expectations), came, and bias
        ((expected - came) / came, NaN where nothing came); then top_expected and top_came, the
        shares of the money of the tenth with the highest expected spend. ``attrs["certain"]``
        lists the models whose parameters, or those of spend, were taken as known.

    Raises
    ------
    InputError
        If the mean spend is infinite, or ``split`` is not a frame of `rfm_split`.
    """
    columns = ("holdout_frequency", "holdout_amount", "monetary_value")
    check_columns(split, (*columns, "holdout_duration"), "split")
    bought, paid, monetary = split[[*columns]].to_numpy(dtype=np.float64).T
    horizon = float(split["holdout_duration"].iloc[0])
    table, certain = {}, []
    for name, model in models.items():
        number = model.expected_purchases(split, horizon).to_numpy()
        value = customer_lifetime_value(model, spend, split, horizon, 0.0).to_numpy()
        points = low_discrepancy(_DRAWS, len(model.params_) + len(spend.params_) + 1)
        totals = _totals(model, spend, split, horizon, points[:, :-1])
        if totals is None:
            certain.append(name)
            totals = np.tile([[number.sum()], [value.sum()]], _DRAWS)
        noise = ndtri(points[:, -1])
        table[name] = {
            **_total("purchases", number, bought, totals[0], noise),
            **_total("money", value, paid, totals[1], noise),
            "top_expected": _top_share(value, value),
            "top_came": _top_share(value, paid),
        }
    own = own_rates(check_rows(split)) * horizon
    table[OWN_RATE] = {
        **_total("purchases", own, bought),
        **_total("money", own * monetary, paid),
        "top_expected": _top_share(own * monetary, own * monetary),
        "top_came": _top_share(own * monetary, paid),
    }
    data = pd.DataFrame.from_dict(table, orient="index").rename_axis("model")
    data.attrs = {"certain": certain}
    return data


def holdout_value_verdict(data: pd.DataFrame) -> str:
    """Return the money that the first model expected and that came, and the share of the best.

    Parameters
    ----------
    data : DataFrame
        From `holdout_value_data`.
    """
    name, row, own = data.index[0], data.iloc[0], data.loc[OWN_RATE]
    known = ", taking its parameters as known" if name in data.attrs["certain"] else ""
    says = (
        f"{name} with Gamma-Gamma expected the customers to spend {row['money_expected']:,.0f} "
        f"in the holdout (95%: {spread(row, 'money')}{known}) and they spent "
        f"{row['money_came']:,.0f}"
    )
    if not row["money_came"] > 0:
        return says + "."
    if row["money_lower"] <= row["money_came"] <= row["money_upper"]:
        says += ", which is within what chance explains."
    else:
        more = "less" if row["money_came"] < row["money_lower"] else "more"
        says += f": clearly {more} than expected."
    return (
        f"{says} The tenth of the customers worth most was expected to bring "
        f"{row['top_expected']:.0%} of it and brought {row['top_came']:.0%}; the tenth that had "
        f"spent at the highest rate brought {own['top_came']:.0%}. All at their own rates would "
        f"have spent {own['money_expected']:,.0f}."
    )


def residual_value_data(
    models: Mapping[str, PurchaseModel],
    spend: GammaGammaModel,
    customers: pd.DataFrame,
    horizon: float,
    discount_rate: float = 0.1,
) -> pd.DataFrame:
    """Return the value of all that the customers will still spend, by model.

    Parameters
    ----------
    models : mapping of str to PurchaseModel
        Fitted, of one unit.
    spend : GammaGammaModel
        Fitted.
    customers : DataFrame
        From `rfm_summary`.
    horizon : float
        Length of time in the unit, for the part of the value that falls within it.
    discount_rate : float
        A year, > 0.

    Returns
    -------
    DataFrame
        Index ``model``: value (of the whole future, discounted), within (the part within
        ``horizon``), share_within, a_customer (mean value) and top_share (of the tenth of the
        customers worth most). ``attrs`` holds n, horizon, unit, discount_rate and
        spend_correlation.

    Raises
    ------
    InputError
        As for `customer_lifetime_value`.
    """
    table = {}
    for name, model in models.items():
        value = customer_lifetime_value(model, spend, customers, None, discount_rate).to_numpy()
        near = customer_lifetime_value(model, spend, customers, horizon, discount_rate).to_numpy()
        total, within = float(value.sum()), float(near.sum())
        table[name] = {
            "value": total,
            "within": within,
            "share_within": ratio(within, total),
            "a_customer": float(value.mean()),
            "top_share": _top_share(value, value),
        }
    data = pd.DataFrame.from_dict(table, orient="index").rename_axis("model")
    data.attrs = {
        "n": len(customers),
        "horizon": horizon,
        "unit": next(iter(models.values())).unit_,
        "discount_rate": discount_rate,
        "spend_correlation": spend.spend_correlation_,
    }
    return data


def residual_value_verdict(data: pd.DataFrame) -> str:
    """Return the value of the whole future, how far models differ, and what it rests on.

    Parameters
    ----------
    data : DataFrame
        From `residual_value_data`.
    """
    about, row, values = data.attrs, data.iloc[0], data["value"]
    range_ = f" (by model {values.min():,.0f} to {values.max():,.0f})" if len(values) > 1 else ""
    word = unit_word(about["unit"])
    return (
        f"At {about['discount_rate']:.0%} a year {data.index[0]} puts what the {about['n']:,} "
        f"customers will still spend at {row['value']:,.0f}{range_}; {row['share_within']:.0%} of "
        f"it falls within the next {about['horizon']:,.0f} {word}, and the tenth of the customers "
        f"worth most holds {row['top_share']:.0%}. Among repeat buyers the correlation of "
        f"frequency and mean spend, which the model takes for 0, is "
        f"{about['spend_correlation']:.2f}."
    )


def spread(row: pd.Series, name: str) -> str:
    """Return the 95% bounds of a total in words."""
    low, high = row[f"{name}_lower"], row[f"{name}_upper"]
    return f"{low:,.0f} or more" if np.isinf(high) else f"{low:,.0f} to {high:,.0f}"


def _totals(
    model: PurchaseModel,
    spend: GammaGammaModel,
    split: pd.DataFrame,
    horizon: float,
    points: FloatArray,
) -> FloatArray | None:
    """Return total purchases and money within ``horizon`` at draws of the parameters, (2, draws).

    None where a model does not know the errors of its parameters.
    """
    for fitted in (model, spend):
        covariance = fitted._log_covariance
        if covariance is None or not np.isfinite(covariance).all():
            return None
    k = len(model.params_)
    rows, design, inverse = model._rows(split, grouped=True)
    frequency = split["frequency"].to_numpy(dtype=np.float64)
    monetary = split["monetary_value"].to_numpy(dtype=np.float64)
    totals = np.empty((2, _DRAWS))
    drawn = zip(model._draws(points[:, :k]), spend._draws(points[:, k:]), strict=True)
    for at, (purchases, amounts) in enumerate(drawn):
        number = model._purchases(model._at(purchases, design), rows, horizon)[inverse]
        mean = conditional_mean(amounts, frequency, monetary)
        totals[:, at] = number.sum(), (number * mean).sum()
    return totals


def _total(
    name: str,
    expected: FloatArray,
    came: FloatArray,
    draws: FloatArray | None = None,
    noise: FloatArray | None = None,
) -> dict[str, float]:
    """Return a total; with it at draws of the parameters, and standard normal noise, its bounds."""
    total, brought = float(expected.sum()), float(came.sum())
    bounds = np.full(2, np.nan)
    if draws is not None and noise is not None:
        # How far the sum of so many customers moves by chance, each with the own scatter.
        chance = float(np.sqrt(len(came)) * np.std(came - expected))
        # Order statistics, not interpolated: money may be infinite where q comes near 1.
        bounds = np.maximum(np.sort(draws + chance * noise)[[_TAIL, -1 - _TAIL]], 0.0)
    return {
        f"{name}_expected": total,
        f"{name}_lower": float(bounds[0]),
        f"{name}_upper": float(bounds[1]),
        f"{name}_came": brought,
        f"{name}_bias": ratio(total - brought, brought),
    }


def _top_share(value: FloatArray, amount: FloatArray) -> float:
    """Return the share of ``amount`` of the tenth with the highest value, chance breaking ties."""
    n_top = max(1, round(len(value) / 10))
    # Sums in another order differ in the last digit; equal values must stay ties.
    found = expected_hits(value.round(9), amount, np.ones(len(value)), n_top)
    return ratio(found, float(amount.sum()))
