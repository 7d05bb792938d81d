"""What the lifetime report says besides its charts: which model, its promise, the head.

Every function takes the frames of the notebook, the likeliest model first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from touchpoint_lib.charts.alive import unit_word
from touchpoint_lib.charts.comparison import comparison_chart_data, comparison_chart_verdict, side
from touchpoint_lib.lifetime._base import LifetimeModel
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime.beta_geo import ModifiedBetaGeoModel
from touchpoint_lib.lifetime.comparison import BASELINES
from touchpoint_lib.metrics.calibration import expected_rates
from touchpoint_lib.metrics.rates import prediction_rates
from touchpoint_lib.report._provenance import provenance
from touchpoint_lib.report.churn import churn_sentence, churn_tile
from touchpoint_lib.report.headline import Headline, Tile
from touchpoint_lib.report.holdout import OWN_RATE, spread

#: Half the 95% quantile of chi-squared with one degree of freedom.
_CLEAR_GAIN = 1.92


def whole(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return ``frame`` with ``columns`` as whole numbers, NaN as NA.

    Examples
    --------
    >>> import pandas as pd
    >>> whole(pd.DataFrame({"n": [1.6, None], "share": [0.5, 0.25]}), "n")
          n  share
    0     2   0.50
    1  <NA>   0.25
    """
    return frame.assign(**frame[list(columns)].round().convert_dtypes())


def regularity_verdict(model: ModifiedBetaGeoModel) -> str:
    """Return how regular the gaps between purchases are.

    Parameters
    ----------
    model : ModifiedBetaGeoModel
        Fitted with ``regularity="auto"``.
    """
    k, tried = model.regularity_, model.regularity_likelihoods_
    if k == 1:
        return (
            f"Purchases are no more regular than chance makes them: of k = 1 to {len(tried)} the "
            f"likeliest is 1, by {tried[1] - tried[2]:,.1f} of log-likelihood before 2. The "
            "regular model is then the MBG/NBD itself, and is left out."
        )
    gain = tried[k] - tried[1]
    more = "more regular" if gain > _CLEAR_GAIN else "not clearly more regular"
    return (
        f"Purchases are {more} than chance makes them: of k = 1 to {len(tried)} the likeliest is "
        f"{k}, by {gain:,.1f} of log-likelihood over k = 1."
    )


def choice_verdict(comparison: pd.DataFrame) -> str:
    """Return which model is the likeliest, which forecasts the total best, and the rankings.

    Parameters
    ----------
    comparison : DataFrame
        From `compare_models`, of fitted models.
    """
    rows = comparison.to_dict("index")
    recency = rows["recency"]
    models = {str(name): row for name, row in rows.items() if name not in BASELINES}
    best = str(comparison.attrs["best"])
    others = {name: row["log_likelihood"] for name, row in models.items() if name != best}
    says = f"{best} is the likeliest model of the first part"
    if others:
        second = max(others, key=lambda name: others[name])
        gain = models[best]["log_likelihood"] - others[second]
        says += f", by {gain:,.1f} of log-likelihood before {second}"
    came = recency["holdout_actual"]
    if came > 0:
        near = min(models, key=lambda name: (abs(models[name]["bias"]), name != best))
        says += (
            f". Of the total of {came:,.0f} purchases that came, {near} is nearest "
            f"({models[near]['bias']:+,.0%})"
        )
        if near != best:
            says += f"; {best} is off by {models[best]['bias']:+,.0%}"
    if not np.isnan(recency["auc"]):
        top = max(models, key=lambda name: (models[name]["auc"], name == best))
        better = "" if top == best else f" ({top} in {models[top]['auc']:.1%})"
        says += (
            f". Of a buyer and one who stays away, {best} ranks the buyer higher in "
            f"{models[best]['auc']:.1%} of all pairs{better}, plain recency in "
            f"{recency['auc']:.1%}"
        )
    return f"{says}."


def promise_data(model: PurchaseModel, split: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """Return the rates that a model promises about its flagged buyers, and those that came.

    Parameters
    ----------
    model : PurchaseModel
        Fitted on the calibration part.
    split : DataFrame
        From `rfm_split`.
    threshold : float
        In [0, 1]: flagged from this probability of a purchase in the holdout on.

    Returns
    -------
    DataFrame
        Rows promised and came: flagged, buyers, and error_rate and omission_rate with their bounds
        _low and _high (95%: of chance for what is promised, Wilson for what came); NaN where
        nobody is flagged or nobody bought.
    """
    chance = model.probability_of_purchase(split, float(split["holdout_duration"].iloc[0]))
    promised = expected_rates(chance, threshold)
    came = prediction_rates(split["holdout_frequency"] > 0, chance, threshold)
    columns = [
        f"{rate}_rate{end}" for rate in ("error", "omission") for end in ("", "_low", "_high")
    ]
    return pd.DataFrame(
        [
            [rates.n_flagged, buyers, *(getattr(rates, name) for name in columns)]
            for rates, buyers in ((promised, promised.expected_actual), (came, came.n_actual))
        ],
        index=["promised", "came"],
        columns=["flagged", "buyers", *columns],
        dtype=float,
    )


def promise_verdict(data: pd.DataFrame, calibration: pd.DataFrame, name: str) -> str:
    """Return whether the promise about the flagged buyers, and that about all, was kept.

    Parameters
    ----------
    data : DataFrame
        From `promise_data`.
    calibration : DataFrame
        From `calibration_table` of the same probabilities.
    name : str
        Of the model.
    """
    promised, came = data.loc["promised"], data.loc["came"]
    mean = calibration["mean_probability"]
    more = int((calibration["observed_low"] > mean).sum())
    fewer = int((calibration["observed_high"] < mean).sum())
    total = (
        f"It promised {promised['buyers']:,.0f} buyers and {came['buyers']:,.0f} came; of "
        f"{len(mean)} class{'' if len(mean) == 1 else 'es'} by probability {more} bought clearly "
        f"more often than promised and {fewer} less often."
    )
    if came["flagged"] == 0:
        return f"{name} flags nobody, so it promises nothing about those flagged. {total}"
    if came["error_rate_low"] > promised["error_rate_high"]:
        says = "the promise was too good"
    elif came["error_rate_high"] < promised["error_rate_low"]:
        says = "it did better than promised"
    else:
        says = "the promise was kept within chance"
    missed = (
        f" It promised to miss {promised['omission_rate']:.0%} of the buyers and missed "
        f"{came['omission_rate']:.0%}."
        if came["buyers"] > 0
        else ""
    )
    return (
        f"{name} itself promised to be wrong for {promised['error_rate']:.0%} of the "
        f"{came['flagged']:,.0f} customers it flags (95%: {promised['error_rate_low']:.0%} to "
        f"{promised['error_rate_high']:.0%}) and was wrong for {came['error_rate']:.0%} (95%: "
        f"{came['error_rate_low']:.0%} to {came['error_rate_high']:.0%}): {says}.{missed} {total}"
    )


def lifetime_headline(
    past: pd.DataFrame,
    comparison: pd.DataFrame,
    value: pd.DataFrame,
    residual: pd.DataFrame,
    source: str,
    models: Sequence[LifetimeModel] = (),
    rates: pd.DataFrame | None = None,
    churn: str = "",
) -> Headline:
    """Return question, verdict, tiles and provenance of the lifetime notebook.

    Parameters
    ----------
    past : DataFrame
        From `rfm_split`.
    comparison : DataFrame
        From `compare_models`.
    value : DataFrame
        From `holdout_value_data`, the model that the baselines of ``comparison`` follow first.
    residual : DataFrame
        From `residual_value_data`, the same model first.
    source : str
        Name of the log.
    models : sequence of LifetimeModel
        The fitted models: the verdict says which of them did not converge.
    rates : DataFrame, optional
        From `compare_predictions`, of who buys, with recency as the baseline; None where no churn
        model could be judged.
    churn : str
        The row of ``rates`` to be used.
    """
    name, row, own = value.index[0], value.iloc[0], value.loc[OWN_RATE]
    futures = residual["value"]
    came = row["purchases_came"]
    low, high = row["purchases_lower"], row["purchases_upper"]
    bias = (
        f" ({row['purchases_bias']:+,.0%} of purchases, {row['money_bias']:+,.0%} of money)"
        if came > 0 and row["money_came"] > 0
        else ""
    )
    held = (
        "held within chance"
        if low <= came <= high
        else f"was too {'high' if came < low else 'low'}"
    )
    about = residual.attrs
    ahead = f"{about['horizon']:,.0f} {unit_word(about['unit'])}"
    verdict = (
        f"By {name}, the likeliest of {len(comparison) - len(BASELINES)} models, the purchases "
        f"that {about['n']:,} customers will make in the next {ahead} are worth "
        f"{residual['within'].iloc[0]:,.0f}; tested on the last {ahead}, its forecast {held}{bias}"
        f". {_against_recency(comparison) if rates is None else churn_sentence(rates, churn)}"
    )
    # Once for each reason: the models of both parts may share it.
    caution = "".join(
        dict.fromkeys(
            f" Caution: the {type(model).__name__} did not converge on this log "
            f"({model.convergence_message_}), so its figures are rough."
            for model in models
            if not model.converged_
        )
    )
    return Headline(
        "Who will buy again, how much, and how far can the forecast be trusted?",
        f"{verdict}{caution}",
        [
            Tile(
                "Purchases expected after the split",
                _short(row["purchases_expected"]),
                f"95%: {spread(row, 'purchases')}",
                f"came: {came:,.0f}; at own rates: {own['purchases_expected']:,.0f}",
            ),
            Tile(
                "Money expected after the split",
                _short(row["money_expected"]),
                f"95%: {spread(row, 'money')}",
                f"came: {row['money_came']:,.0f}; at own rates: {own['money_expected']:,.0f}",
            ),
            _error_tile(comparison) if rates is None else churn_tile(rates, churn),
            _top_tile(value),
            Tile(
                f"Value of the whole future at {about['discount_rate']:.0%} a year",
                _short(futures.iloc[0]),
                f"by model: {_short(futures.min())} to {_short(futures.max())}",
                "extrapolated, not checked",
            ),
        ],
        provenance(past, source),
    )


def _short(number: float) -> str:
    """Return a number that fits on a tile."""
    for size, letter in ((1e9, "bn"), (1e6, "m")):
        if abs(number) >= size:
            return f"{number / size:,.2f}{letter}"
    return f"{number:,.0f}"


def _against_recency(comparison: pd.DataFrame) -> str:
    """Return whether the likeliest model beats plain recency at who comes back."""
    data = comparison_chart_data(comparison)
    rows = data.set_index("model").to_dict("index")
    best = comparison.attrs["best"]
    if best not in rows or "recency" not in rows:
        return comparison_chart_verdict(data)
    model, recency = rows[best], rows["recency"]
    auc = comparison["auc"]
    ranks = (
        ""
        if auc.isna().any()
        else f"; of a buyer and one who stays away it ranks the buyer higher in {auc[best]:.1%} of "
        f"all pairs, recency in {auc['recency']:.1%}"
    )
    return (
        f"Of the {model['n_flagged']:,.0f} customers that it flags as buyers it is wrong for "
        f"{model['error_rate']:.0%}, plain recency for {recency['error_rate']:.0%} of as many "
        f"({side(model, recency)}){ranks}."
    )


def _error_tile(comparison: pd.DataFrame) -> Tile:
    label = f"Error rate of “will buy” from {comparison.attrs['threshold']:.0%} on"
    rows = comparison_chart_data(comparison).set_index("model").to_dict("index")
    best = comparison.attrs["best"]
    if best not in rows:
        reason = "nobody is flagged" if comparison.attrs["n_actual"] else "nobody bought"
        return Tile(label, "none", reason)
    row = rows[best]
    return Tile(
        label,
        f"{row['error_rate']:.0%}",
        f"95%: {row['error_low']:.0%} to {row['error_high']:.0%}",
        f"recency, as many flagged: {rows['recency']['error_rate']:.0%}",
    )


def _top_tile(value: pd.DataFrame) -> Tile:
    label = "Money that the top 10% by value brought"
    row, own = value.iloc[0], value.loc[OWN_RATE]
    if not row["money_came"] > 0:
        return Tile(label, "none", "nothing came in")
    return Tile(
        label,
        f"{row['top_came']:.0%}",
        f"expected: {row['top_expected']:.0%}",
        f"top 10% by own rate: {own['top_came']:.0%}",
    )
