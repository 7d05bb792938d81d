"""One row of an evaluation: effect, interval, checks, money, and what to beware of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from touchpoint_lib._checks import FloatArray
from touchpoint_lib.campaigns._balance import balance_p
from touchpoint_lib.campaigns._comparison import Comparison
from touchpoint_lib.campaigns._estimates import (
    Means,
    TooFewError,
    cluster_sums,
    difference,
    linearised_ratio,
    n_groups,
    t_quantile,
    tested,
)
from touchpoint_lib.campaigns._outcomes import Outcome
from touchpoint_lib.campaigns._propensity import OverlapError
from touchpoint_lib.campaigns.money import MONEY_COLUMNS, RowCosts, money_row

#: Power at which the smallest detectable effect is stated.
POWER = 0.8
#: A p below which chance does not explain that arms differ (Fabijan et al. 2019, of their sizes).
SUSPICIOUS = 1e-3
#: Kohavi, Deng, Longbotham and Xu (2014): with 355 s^2 rows of skewness s a 2.5 % tail is off by
#: at most a quarter of a point: the skewness of the mean is then 1 / sqrt(355).
_SKEWED = 355**-0.5
#: Chances of being contacted beyond which few rows stand for many.
_THIN = 0.02
#: A p below this is not told.
_LEAST = 1e-12
_FEW_EVENTS = 10
_FEW_CLUSTERS = 40
_RELATIVE = ("relative_lift", "relative_low", "relative_high")
_UNKNOWN = (
    "mean_treated",
    "mean_control",
    "effect",
    "standard_error",
    "ci_low",
    "ci_high",
    *_RELATIVE,
    "p_value",
    "variance_reduction",
    "detectable_effect",
    "incremental_total",
    "incremental_low",
    "incremental_high",
)


@dataclass(frozen=True, eq=False)
class Found:
    """A row of the table, and the influence of each row of the data on its effect."""

    row: dict[str, Any]
    warnings: list[str]
    means: Means | None


def effect_columns(means: Means, level: float) -> dict[str, float]:
    """Return means, effect, relative lift and p with intervals; NaN without any spread."""
    variance, effect = means.variance, means.effect
    columns = dict.fromkeys(_UNKNOWN, np.nan) | {
        "mean_treated": means.treated,
        "mean_control": means.control,
        "effect": effect,
    }
    if variance == 0:
        return columns
    error, q = variance**0.5, t_quantile(level, means.df)
    low, high = _fieller(means, q)
    return columns | {
        **tested(effect, error, means.df, level),
        "relative_lift": effect / means.control if means.control > 0 else np.nan,
        "relative_low": low,
        "relative_high": high,
        "detectable_effect": float((ndtri((1 + level) / 2) + ndtri(POWER)) * error),
    }


def _fieller(means: Means, q: float) -> tuple[float, float]:
    """Return the bounds of treated / control - 1 (Fieller 1954).

    They hold 0 where those of the effect do; without end where the control's mean may be 0.
    """
    if means.control <= 0:
        return np.nan, np.nan
    # In units of the control's mean.
    ratio = means.treated / means.control
    (vt, cov), (_, vc) = means.covariance / means.control / means.control
    a = 1 - q**2 * vc
    b = ratio - q**2 * cov
    c = ratio**2 - q**2 * vt
    if a <= 0:
        return -np.inf, np.inf
    root = max(b**2 - a * c, 0.0) ** 0.5
    return float((b - root) / a - 1), float((b + root) / a - 1)


def comparison_row(
    one: Comparison,
    outcome: Outcome,
    *,
    level: float,
    costs: RowCosts | None,
    within: str,
    with_money: bool,
    randomised: bool,
) -> Found:
    """Return a row; where a segment is too small for the method, its figures are NaN.

    ``within`` is the column of the segment; it is empty for all customers, where that is an error.
    """
    row: dict[str, Any] = {"cap": outcome.cap, "n_capped": _n_capped(one, outcome)}
    try:
        one.check_sizes()
        values = _values(one, outcome, outcome.capped)
        means = one.means(values)
    except (TooFewError, OverlapError) as error:
        if not within:
            raise
        row |= dict.fromkeys(_UNKNOWN, np.nan)
        if with_money:
            row |= dict.fromkeys(MONEY_COLUMNS, np.nan)
        notes = [f"not estimated: {str(error).split(';')[0]}"]
        return Found(row | _overlap(None), notes, None)
    row |= effect_columns(means, level)
    row["variance_reduction"] = _variance_reduction(one, outcome, means)
    n_treated = float(one.treated.sum())
    # A ratio is of no total that one could add to, and an effect on others none of the contacted.
    no_total = outcome.below is not None or one.plan.on_others(randomised=randomised)
    for name, source in (("total", "effect"), ("low", "ci_low"), ("high", "ci_high")):
        row[f"incremental_{name}"] = np.nan if no_total else n_treated * row[source]
    if one.plan.method == "did":
        # Relative to a change would say nothing.
        row |= dict.fromkeys(_RELATIVE, np.nan)
    row |= _overlap(one if one.plan.method == "aipw" else None)
    if with_money:
        row |= dict.fromkeys(MONEY_COLUMNS, np.nan)
    if costs is not None:
        row |= money_row(
            costs,
            one,
            _values(one, outcome, outcome.values),
            quantile=t_quantile(level, means.df),
            whole=not within,
        )
    return Found(row, _beware(one, outcome, values, means, row, within), means)


def _variance_reduction(one: Comparison, outcome: Outcome, means: Means) -> float:
    """Return the share of the plain difference's variance that the method takes away."""
    if one.plan.method == "difference":
        return 0.0 if means.variance > 0 else np.nan
    plain = one.plain(_values(one, outcome, outcome.capped, plain=True))
    return 1 - means.variance / plain.variance if plain and plain.variance > 0 else np.nan


def _values(
    one: Comparison, outcome: Outcome, values: FloatArray, *, plain: bool = False
) -> FloatArray:
    """Return what is averaged, of the rows of the comparison; ``plain`` for no method."""
    here = one.of(values)
    if outcome.below is not None:
        below = one.of(outcome.below)
        # CUPED has one slope for both arms, of the values about the plain ratios.
        if plain or one.plan.method == "cuped":
            top, bottom = difference(here, one.treated), difference(below, one.treated)
        else:
            top, bottom = one.means(here), one.means(below)
        return linearised_ratio(here, below, one.treated, top, bottom)
    if outcome.before is not None and not plain:
        return here - one.of(outcome.before)
    return here


def _n_capped(one: Comparison, outcome: Outcome) -> int:
    return 0 if np.isnan(outcome.cap) else int((one.of(outcome.values) > outcome.cap).sum())


def _overlap(one: Comparison | None) -> dict[str, float]:
    """Return the least and the largest chance of being contacted."""
    if one is None:
        return {"overlap_low": np.nan, "overlap_high": np.nan}
    return {"overlap_low": float(one.chance.min()), "overlap_high": float(one.chance.max())}


def _beware(
    one: Comparison,
    outcome: Outcome,
    values: FloatArray,
    means: Means,
    row: dict[str, Any],
    within: str,
) -> list[str]:
    """Return what a careful reader would ask about this row."""
    notes = []
    if means.variance == 0:
        notes.append("the outcome does not vary within the arms: no interval")
    if one.plan.method == "before_after":
        notes.append("a change since before in the contacted alone, not an effect")
    if means.variance == 0:
        pass
    elif outcome.is_binary:
        cases = [
            each @ arm for each in (values, 1 - values) for arm in (one.treated, 1 - one.treated)
        ]
        if min(cases) < _FEW_EVENTS:
            notes.append(
                f"an arm has {min(cases):.0f} rows with the outcome, or without it: the interval "
                "is rough"
            )
    elif abs(_skewness(one, means)) > _SKEWED:
        # Ratios and changes have no cap.
        may_cap = outcome.below is None and outcome.before is None and np.isnan(outcome.cap)
        remedy = "declare a cap before you look (caps=), and " if may_cap else ""
        notes.append(f"a few large values carry the effect: {remedy}read the interval with care")
    if not np.isnan(outcome.cap):
        notes.append(
            f"{row['n_capped']:,} values above the cap of {outcome.cap:,.6g} count as the cap "
            "(money is not capped)"
        )
    if one.plan.cluster is not None:
        cluster = one.of(one.plan.cluster)
        groups = n_groups(cluster)
        # The smaller arm decides where lots were drawn for clusters.
        least = min(n_groups(cluster[one.treated == arm]) for arm in (0, 1) if arm in one.treated)
        if groups < _FEW_CLUSTERS:
            notes.append(f"{groups} clusters are few: the interval may be too narrow")
        elif least < _FEW_CLUSTERS / 2:
            notes.append(f"an arm has {least} clusters, which are few: the interval is too narrow")
    if row["overlap_high"] > 1 - _THIN or (
        # For the treated alone, others who would hardly be contacted weigh next to nothing.
        row["overlap_low"] < _THIN and one.plan.estimand == "all"
    ):
        notes.append(
            f"the chance of being contacted runs from {row['overlap_low']:.3f} to "
            f"{row['overlap_high']:.3f}: few customers stand for many"
        )
    # That a segment's own column does not vary in it is no news.
    out = [name for name in one.left_out if name.split("=")[0] != within]
    if out:
        notes.append(f"covariates that say nothing here are left out: {', '.join(out)}")
    return notes


def _skewness(one: Comparison, means: Means) -> float:
    """Return the third standardised moment of the error of the effect."""
    influence = means.influence[:, 0] - means.influence[:, 1]
    if one.plan.cluster is not None:
        influence = cluster_sums(influence[:, None], one.of(one.plan.cluster))[:, 0]
    squares = influence * influence
    return float(squares @ influence / squares.sum() ** 1.5)


def suspicious(row: dict[str, Any], *, randomised: bool) -> list[str]:
    """Return what sizes and covariates of the arms say about the lots that were drawn."""
    notes = []
    if row["sample_ratio_p"] < SUSPICIOUS:
        notes.append(
            "the arms do not have the sizes of the design (sample-ratio test, p "
            f"{_tiny(row['sample_ratio_p'])}): find out who is missing before you believe the "
            "effect, or tell the design with shares="
        )
    if randomised and row["balance_p"] < SUSPICIOUS:
        notes.append(
            f"the arms differed before the campaign (p {_tiny(row['balance_p'])}): chance did not "
            "decide who was contacted"
        )
    return notes


def _tiny(p: float) -> str:
    return f"{p:.1g}" if p > _LEAST else f"below {_LEAST:g}"


def covariate_balance_p(one: Comparison) -> float:
    """Return the p of the test that no covariate tells the arms apart; NaN without covariates."""
    if one.least < 2:
        return float("nan")
    matrix = one.balance
    if not matrix.shape[1]:
        return float("nan")
    cluster = one.plan.cluster
    return balance_p(matrix, one.treated, None if cluster is None else one.of(cluster))
