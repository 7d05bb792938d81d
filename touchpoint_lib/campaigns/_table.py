"""All comparisons of an evaluation as one table, and what holds between its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.special import chdtrc, fdtrc

from touchpoint_lib._checks import FloatArray, IntArray, fail
from touchpoint_lib.campaigns._balance import balance_rows, sample_ratio_p
from touchpoint_lib.campaigns._comparison import Comparison, Plan
from touchpoint_lib.campaigns._data import Arms, as_names, read_codes
from touchpoint_lib.campaigns._estimates import Means, TooFewError, n_groups
from touchpoint_lib.campaigns._outcomes import Outcome
from touchpoint_lib.campaigns._propensity import OverlapError
from touchpoint_lib.campaigns._rows import comparison_row, covariate_balance_p, suspicious
from touchpoint_lib.campaigns.money import RowCosts

_MOST_SEGMENTS = 100
_BALANCE = [
    "arm", "covariate", "mean_treated", "mean_control", "standardised_difference", "p_value",
]  # fmt: skip
_INTERACTIONS = [
    "outcome", "arm", "control", "segment_by", "n_segments", "statistic", "df", "p_value",
    "p_adjusted",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segment:
    """A group of rows: a value of a column, or all of them where ``by`` is empty."""

    by: str
    label: str
    rows: IntArray

    def of(self, codes: IntArray) -> IntArray:
        """Return the codes of its rows, without a copy where it has all."""
        return codes[self.rows] if self.by else codes


def read_segments(data: pd.DataFrame, columns: Any) -> list[Segment]:
    """Return all rows as the first segment, then those of each value of each column."""
    found = [Segment("", "all", np.arange(len(data)))]
    for column in as_names("segments", columns):
        code, labels = read_codes(data, column, "segment")
        if len(labels) > _MOST_SEGMENTS:
            raise fail(
                f"segment {column!r} has {len(labels):,} values",
                f"group them into at most {_MOST_SEGMENTS}",
            )
        order = np.argsort(code, kind="stable")
        ends = np.searchsorted(code[order], np.arange(len(labels) + 1))
        found += [
            Segment(column, str(label), order[ends[place] : ends[place + 1]])
            for place, label in enumerate(labels)
        ]
    return found


@dataclass(frozen=True, eq=False)
class Tables:
    """All comparisons, the tests that segments share one effect, the balance of covariates."""

    effects: pd.DataFrame
    interactions: pd.DataFrame
    balance: pd.DataFrame


def comparisons_table(
    plan: Plan,
    arms: Arms,
    outcomes: list[Outcome],
    segments: list[Segment],
    money: dict[str, RowCosts],
    *,
    shares: FloatArray | None,
    level: float,
    randomised: bool,
) -> Tables:
    """Return every outcome in every arm and segment beside the control."""
    rows: dict[tuple[int, int, int], dict[str, Any]] = {}
    tests: list[dict[str, Any]] = []
    balance: list[dict[str, Any]] = []
    for code, arm in enumerate(arms.labels[1:], start=1):
        effects: dict[tuple[int, str], list[_Part]] = {}
        for place, segment in enumerate(segments):
            one = _comparison(plan, arms, code, segment)
            about = {
                "arm": arm,
                "control": arms.labels[0],
                "segment_by": segment.by,
                "segment": segment.label,
                "method": plan.method,
                "n_treated": int(one.treated.sum()),
                "n_control": len(one.rows) - int(one.treated.sum()),
                "sample_ratio_p": _sizes_p(plan, arms, segment, shares),
                "balance_p": covariate_balance_p(one),
            }
            beware = suspicious(about, randomised=randomised)
            for number, outcome in enumerate(outcomes):
                row, notes, means = _row(one, outcome, money, level, segment, randomised)
                if segment.by:
                    there = [] if means is None else [_part(one, means)]
                    effects.setdefault((number, segment.by), []).extend(there)
                rows[number, code, place] = (
                    {"outcome": outcome.name}
                    | about
                    | row
                    | {"warnings": "; ".join([*beware, *notes])}
                )
            if not segment.by:
                balance += _balance(one)
        for (number, by), found in effects.items():
            head = {"outcome": outcomes[number].name, "arm": arm, "control": arms.labels[0]}
            tests.append(head | {"segment_by": by} | _one_effect(found))
    listed = [rows[key] for key in sorted(rows)]
    for whole in (True, False):
        family = [row for row in listed if (row["segment_by"] == "") == whole]
        adjusted = holm(np.array([row["p_value"] for row in family]))
        for row, value in zip(family, adjusted, strict=True):
            row["p_adjusted"] = value
    adjusted = holm(np.array([row["p_value"] for row in tests]))
    for row, value in zip(tests, adjusted, strict=True):
        row["p_adjusted"] = value
    names = _order(list(listed[0])) if listed else None
    more = ["weighted_difference"] if plan.method == "aipw" else []
    return Tables(
        pd.DataFrame(listed, columns=names),
        pd.DataFrame(tests, columns=_INTERACTIONS),
        pd.DataFrame(balance, columns=[*_BALANCE, *more]),
    )


def _row(
    one: Comparison,
    outcome: Outcome,
    money: dict[str, RowCosts],
    level: float,
    segment: Segment,
    randomised: bool,
) -> tuple[dict[str, Any], list[str], Means | None]:
    try:
        found = comparison_row(
            one,
            outcome,
            level=level,
            costs=money.get(outcome.name),
            within=segment.by,
            with_money=bool(money),
            randomised=randomised,
        )
    except (TooFewError, OverlapError) as error:
        raise type(error)(f"arm {one.arm_name!r} beside the control: {error}") from None
    means = found.means
    return found.row, found.warnings, None if means is None or means.variance == 0 else means


@dataclass(frozen=True, eq=False)
class _Part:
    """The effect in a segment; with clusters what each row adds to it, and its cluster."""

    effect: float
    variance: float
    df: float
    influence: FloatArray
    cluster: IntArray


def _part(one: Comparison, means: Means) -> _Part:
    if one.plan.cluster is None:
        none = np.empty(0, dtype=np.int64)
        return _Part(means.effect, means.variance, means.df, np.empty(0), none)
    cluster = one.of(one.plan.cluster)
    groups = n_groups(cluster)
    influence = (means.influence[:, 0] - means.influence[:, 1]) * (groups / (groups - 1)) ** 0.5
    return _Part(means.effect, means.variance, means.df, influence, cluster)


def _comparison(plan: Plan, arms: Arms, code: int, segment: Segment) -> Comparison:
    rows, own = segment.rows, segment.of(arms.code)
    if len(arms.labels) > 2:
        mine = (own == 0) | (own == code)
        rows, own = rows[mine], own[mine]
    return Comparison(plan, code, arms.labels[code], rows, (own == code).astype(np.float64))


def _sizes_p(plan: Plan, arms: Arms, segment: Segment, shares: FloatArray | None) -> float:
    """Return the p of the sample-ratio test, by clusters where lots were drawn for them."""
    if shares is None:
        return float("nan")
    code = segment.of(arms.code)
    if plan.cluster is not None:
        pairs = np.unique(plan.cluster[segment.rows] * len(arms.labels) + code)
        groups = pairs // len(arms.labels)
        if (np.diff(groups) > 0).all():
            code = pairs % len(arms.labels)
    return sample_ratio_p(np.bincount(code, minlength=len(shares)), shares)


def _one_effect(found: list[_Part]) -> dict[str, float]:
    """Return the test that all segments have one effect, also where they share clusters.

    Cochran's Q; p by Welch (1951, Biometrika 38, eq. 24), since small segments do not know their
    variances: by chi-square it is below 5 % for 1 in 5 of 100 equal segments of 20 customers.
    """
    unknown = {"statistic": np.nan, "df": np.nan, "p_value": np.nan}
    if len(found) < 2:
        return {"n_segments": len(found), **unknown}
    effects = np.array([part.effect for part in found])
    if found[0].cluster.size:
        cluster = np.concatenate([part.cluster for part in found])
        segment = np.repeat(np.arange(len(found)), [part.cluster.size for part in found])
        influence = np.concatenate([part.influence for part in found])
        sums = coo_array((influence, (cluster, segment))).tocsr()
        covariance = (sums.T @ sums).toarray()
    else:
        covariance = np.diag([part.variance for part in found])
    # In standard errors, so that a precise segment is not taken for rounding.
    error = np.sqrt(np.diag(covariance))
    inverse = np.linalg.pinv(covariance / error / error[:, None]) / error / error[:, None]
    weights = inverse.sum(axis=1)
    statistic = float(effects @ inverse @ effects - (weights @ effects) ** 2 / weights.sum())
    statistic, df = max(statistic, 0.0), len(found) - 1
    doubt = sum(
        float(1 - weight) ** 2 / part.df
        for weight, part in zip(weights / weights.sum(), found, strict=True)
    )
    squared = len(found) ** 2 - 1
    p_value = (
        fdtrc(df, squared / 3 / doubt, statistic / df / (1 + 2 * (df - 1) / squared * doubt))
        if doubt > 0
        else chdtrc(df, statistic)
    )
    return {
        "n_segments": len(found),
        "statistic": statistic,
        "df": df,
        "p_value": float(p_value),
    }


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted by Holm (1979) among those that are there."""
    adjusted = np.array(p_values, dtype=np.float64)
    there = np.flatnonzero(np.isfinite(adjusted))
    order = there[np.argsort(adjusted[there], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(adjusted[order] * factors), 1.0)
    return adjusted


def _order(columns: list[str]) -> list[str]:
    """Return the columns in the order in which they are read."""
    first = [
        "outcome", "arm", "control", "segment_by", "segment", "method", "n_treated", "n_control",
        "mean_treated", "mean_control", "effect", "standard_error", "ci_low", "ci_high",
        "relative_lift", "relative_low", "relative_high", "p_value", "p_adjusted",
    ]  # fmt: skip
    last = ["sample_ratio_p", "balance_p", "warnings"]
    return [*first, *(one for one in columns if one not in first + last), *last]


def _balance(one: Comparison) -> list[dict[str, Any]]:
    """Return the balance of every covariate of a comparison."""
    design = one.plan.balance
    if not design.names:
        return []
    matrix = one.covariates_of(design)
    cluster = None if one.plan.cluster is None else one.of(one.plan.cluster)
    return [
        {"arm": one.arm_name, **row}
        for row in balance_rows(design.names, matrix, one.treated, one.weights, cluster)
    ]
