"""What a Cox model reads, checks and says besides its likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray, fail
from touchpoint_lib.churn.contract._risk_sets import PartialLikelihood, Stratum, concordant_pairs
from touchpoint_lib.churn.contract.survival_curve import Tenures, check_present
from touchpoint_lib.lifetime._covariates import (
    Covariates,
    Words,
    as_text,
    check_filled,
    columns_used,
)
from touchpoint_lib.lifetime._newton import LOOSEST, RUNAWAY, Optimum

#: The name under which `Covariates` keeps the one formula of a Cox model.
SET = "hazard"
#: Share of the information on a column below which it counts as none.
_NOTHING = 1e-10


class HazardCovariates(Covariates):
    """The one formula of a Cox model, over columns of ``subscriptions``."""

    words: ClassVar[Words] = Words("covariates", "subscription", "subscriptions")


def read_design(
    frame: pd.DataFrame, covariates: str | list[str], outcome: Sequence[str]
) -> tuple[HazardCovariates, FloatArray]:
    """Return how the covariates become a design, and the design of ``frame``.

    ``outcome`` are the columns that no covariate may be.
    """
    formula = covariates
    if not isinstance(formula, str):
        formula = " + ".join(f"`{column}`" for column in formula)
    for column in columns_used(SET, formula, frame, HazardCovariates.words):
        if column in outcome:
            raise fail(
                f"covariates has {column!r}, which is the outcome itself",
                "leave it out: it is known only afterwards",
            )
        check_filled(column, frame[column])
        if (frame[column] == frame[column].iloc[0]).all():
            raise fail(
                f"{column!r} of covariates is the same for all subscriptions",
                "leave it out: nothing can be learned from it",
            )
    kept = HazardCovariates.build(frame, {SET: formula})
    return kept, kept.matrix(frame)


def coefficient_names(covariates: Covariates) -> list[str]:
    return [name.removeprefix(f"{SET}[").removesuffix("]") for name in covariates.names]


def stratum_of(
    frame: pd.DataFrame, strata: str | None, known: list[str] | None = None
) -> tuple[IntArray, list[str]]:
    """Return the stratum of each row as a number, and the strata; without ``known`` all found."""
    if strata is None:
        return np.zeros(len(frame), dtype=np.int64), [""]
    check_present(frame, [strata])
    column = frame[strata]
    check_filled(strata, column)
    text = as_text(strata, column)
    levels = sorted(set(text)) if known is None else known
    codes = pd.Index(levels).get_indexer(pd.Index(text))
    strange = np.flatnonzero(codes < 0)
    if strange.size:
        raise fail(
            f"{strata} is {text.iloc[strange[0]]!r} at index {frame.index[strange[0]]!r}, which "
            "the fit has not seen",
            f"the model knows {', '.join(levels)}",
        )
    return codes.astype(np.int64), levels


def partial_likelihood(
    data: Tenures, design: FloatArray, codes: IntArray, levels: list[str], names: Sequence[str]
) -> PartialLikelihood:
    """Return the likelihood, once its strata are known to say something on every coefficient."""
    strata = []
    for code, level in enumerate(levels):
        rows = np.flatnonzero(codes == code)
        if not data.ended[rows].any():
            raise fail(
                f"none of the {len(rows)} rows of stratum {level!r} ended",
                "it has no baseline: leave it out, or merge it with another stratum",
            )
        strata.append(Stratum(rows, data.tenure, data.ended, data.entry, data.count, design))
    likelihood = PartialLikelihood(strata)
    information = likelihood.derivatives(np.zeros(len(names)))[2]
    for j, name in enumerate(names):
        if information[j, j] < _NOTHING:
            raise fail(
                f"{name!r} of covariates is the same for all subscriptions at risk (of a stratum) "
                "whenever one ended",
                "leave it out: nothing can be learned from it",
            )
        before = information[:j, :j]
        share = np.linalg.lstsq(before, information[:j, j], rcond=None)[0]
        if information[j, j] - share @ information[:j, j] < _NOTHING * information[j, j]:
            raise fail(
                f"{name!r} of covariates follows from {', '.join(map(repr, names[:j]))} among the "
                "subscriptions at risk whenever one ended",
                "leave it out",
            )
    return likelihood


def trouble(optimum: Optimum, names: Sequence[str], n_ended: float) -> str:
    """Return why standardised coefficients are no proper maximum; empty where they are one."""
    # Where a coefficient runs away, the information on it vanishes.
    values, vectors = np.linalg.eigh(optimum.hessian)
    with np.errstate(divide="ignore"):
        variance = np.maximum(1 / (np.maximum(values, 0) * n_ended), 0.0)
    # No 0 * inf: a vector without a part along a column leaves its variance as it is.
    parts = np.where(np.abs(vectors) > 1e-8, vectors**2, 0.0)
    with np.errstate(invalid="ignore"):
        error = np.sqrt(np.nansum(parts * variance, axis=1))
    away = [
        name
        for name, at, loose in zip(names, optimum.theta, error, strict=True)
        if abs(at) > RUNAWAY or not loose < LOOSEST
    ]
    if away:
        return f"{', '.join(away)} ran away"
    if not optimum.flat:
        return f"the slope of the likelihood is {np.abs(optimum.gradient).max():.1e}"
    return ""


def clusters(frame: pd.DataFrame, cluster: str, k: int) -> IntArray:
    """Return the cluster of each row, numbered from 0 on."""
    check_present(frame, [cluster])
    codes, labels = pd.factorize(frame[cluster])
    if (codes < 0).any():
        first = frame.index[int(np.flatnonzero(codes < 0)[0])]
        raise fail(f"{cluster} is missing at index {first!r}", "fill or remove such rows")
    if len(labels) <= k:
        raise fail(
            f"{cluster} has {len(labels)} values for {k} coefficients",
            "robust errors need more clusters than coefficients: leave cluster out",
        )
    return codes.astype(np.int64)


def concordance(score: FloatArray, data: Tenures, codes: IntArray) -> float:
    """Return Harrell's C over pairs within the strata."""
    # Rounding must not order subscriptions that are alike.
    score = np.round(score / (np.ptp(score) or 1.0), 12)
    agree = usable = 0.0
    for code in np.unique(codes):
        mine = codes == code
        entry = None if data.entry is None else data.entry[mine]
        pairs = concordant_pairs(
            score[mine], data.tenure[mine], data.ended[mine], entry, data.count[mine]
        )
        agree, usable = agree + pairs[0], usable + pairs[1]
    if not usable > 0:
        raise fail(
            "whenever a subscription ended no other one went on",
            "observe subscriptions of different tenures: there is no order to learn from",
        )
    return agree / usable


def check_risk(risk: Any) -> None:
    """Raise where covariates move a hazard out of all bounds."""
    wild = ~np.isfinite(risk)
    if wild.any():
        raise fail(
            f"the covariates of {int(wild.sum())} rows move the hazard out of all bounds",
            "look for extreme values, or take logarithms of the covariates",
        )
