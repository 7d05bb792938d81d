"""The call of an evaluation, checked: what fits the method, known chances, designed shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray, check_choice, check_number, fail
from touchpoint_lib.campaigns._comparison import Estimand, Method, Plan
from touchpoint_lib.campaigns._data import (
    Arms,
    Design,
    as_names,
    read_codes,
    read_covariates,
    read_values,
)
from touchpoint_lib.campaigns._outcomes import Outcome
from touchpoint_lib.campaigns._propensity import Link

METHODS = ("difference", "cuped", "lin", "stratified", "aipw", "did", "before_after")
#: Methods that adjust by covariates, and cannot do without.
ADJUSTED = ("cuped", "lin", "stratified", "aipw")
#: Methods that may stand where no lots were drawn.
_WITHOUT_LOTS = ("aipw", "did", "before_after")


def check_call(
    method: str,
    *,
    estimand: str,
    link: str,
    randomised: bool,
    given: Mapping[str, bool],
) -> None:
    """Raise unless the arguments fit the method; ``given`` says which optional ones there are."""
    check_choice("method", method, METHODS)
    check_choice("estimand", estimand, ("all", "treated"))
    check_choice("link", link, ("logit", "probit"))
    check_choice("randomised", randomised, (True, False))
    if not randomised and method not in _WITHOUT_LOTS:
        raise fail(
            f"method is {method!r} where no lots decided who was contacted",
            'use "aipw" with the covariates that did, or "did" with the outcome before',
        )
    if method in ADJUSTED and not given["covariates"]:
        raise fail(f"method {method!r} needs covariates", "name columns from before the campaign")
    wants_before = method in ("did", "before_after")
    if wants_before and not given["before"]:
        raise fail(
            f"method {method!r} needs before",
            "name the column with the outcome before the campaign",
        )
    only_for = {
        "before": (wants_before, 'method "did" or "before_after"'),
        "estimand": (method == "aipw", 'method "aipw"'),
        "treatment_covariates": (
            method == "aipw" and not given["propensity"],
            'method "aipw" without propensity',
        ),
        "caps": (not wants_before, "a method without before"),
        "placebo": (not wants_before, "a method without before (event_study shows the trend)"),
        "link": (method == "aipw" and not given["propensity"], 'method "aipw" without propensity'),
        "propensity": (method == "aipw", 'method "aipw" (shares= tells the design)'),
        "shares": (method != "before_after", "a comparison with a control"),
        "covariates": (method != "before_after", "a comparison with a control"),
        "costs": (method != "before_after", "a comparison with a control"),
    }
    for name, (fits, what) in only_for.items():
        if given[name] and not fits:
            raise fail(f"{name} is given with method {method!r}", f"it is for {what}")


def read_plan(
    data: pd.DataFrame,
    arms: Arms,
    outcomes: list[Outcome],
    *,
    method: Method,
    estimand: Estimand,
    link: Link,
    covariates: Iterable[str],
    treatment_covariates: Iterable[str] | None,
    propensity: float | str | Mapping[Any, float | str] | None,
    cluster: str | None,
) -> Plan:
    """Return how effects are estimated, with what of each row that takes."""
    names = as_names("covariates", covariates)
    others = (
        names
        if treatment_covariates is None
        else as_names("treatment_covariates", treatment_covariates)
    )
    for name in names + others:
        if name == arms.column:
            raise fail(f"covariate {name!r} is the arm", "leave it out")
        if any(name in outcome.columns for outcome in outcomes):
            raise fail(f"covariate {name!r} is an outcome", "use columns from before the campaign")
    own = read_covariates(data, names)
    treatment = own if others == names else read_covariates(data, others)
    more = [name for name in others if name not in names]
    balance = own
    if more:
        extra = read_covariates(data, more)
        both = np.vstack([own.matrix.T, extra.matrix.T]).T
        balance = Design(own.names + extra.names, both)
    stratum, labels = _strata(data, names) if method == "stratified" else (None, [])
    return Plan(
        method=method,
        estimand=estimand,
        link=link,
        covariates=own,
        treatment=treatment,
        balance=balance,
        propensity=_known_chances(data, arms, propensity),
        stratum=stratum,
        strata=labels,
        cluster=None if cluster is None else read_codes(data, cluster, "cluster")[0],
        columns=[*names, *more],
    )


def _strata(data: pd.DataFrame, columns: list[str]) -> tuple[IntArray, list[str]]:
    """Return the stratum of each row, every combination of values that is there, and its name."""
    codes = np.zeros(len(data), dtype=np.int64)
    labels = [""]
    for column in columns:
        code, values = read_codes(data, column, "covariate")
        pairs, codes = np.unique(codes * len(values) + code, return_inverse=True)
        labels = [
            f"{labels[pair // len(values)]}, {column}={values[pair % len(values)]}"
            for pair in pairs
        ]
    return codes.astype(np.int64), [label.removeprefix(", ") for label in labels]


def _known_chances(
    data: pd.DataFrame, arms: Arms, propensity: float | str | Mapping[Any, float | str] | None
) -> dict[int, FloatArray]:
    """Return the known chance of each treated arm, by its code."""
    if propensity is None:
        return {}
    if not isinstance(propensity, Mapping):
        if len(arms.labels) > 2:
            raise fail(
                f"propensity is one for {len(arms.labels) - 1} treated arms",
                "pass a mapping from each arm to its chance beside the control",
            )
        propensity = {arms.labels[1]: propensity}
    found = {}
    for label, chance in propensity.items():
        code = arms.pair(label)
        name = f"propensity of {label!r}"
        if isinstance(chance, str):
            values = read_values(data, chance, "propensity")
            # Rows of other arms play no part.
            rows = np.flatnonzero(arms.with_control(code))
            bad = rows[(values[rows] <= 0) | (values[rows] >= 1)]
            if bad.size:
                raise fail(
                    f"{name} is {values[bad[0]]:g} at index {data.index[bad[0]]!r} ({bad.size:,} "
                    "such rows)",
                    "it must be above 0 and below 1: who was contacted, or not, for certain has "
                    "nobody to be compared with",
                )
        else:
            values = np.full(len(data), check_number(name, chance, gt=0, lt=1))
        found[code] = values
    lacks = [label for code, label in enumerate(arms.labels) if code and code not in found]
    if lacks:
        raise fail(f"propensity has none of arm {lacks[0]!r}", "pass one for each treated arm")
    return found


def designed_shares(
    arms: Arms,
    shares: Mapping[Any, float] | None,
    propensity: Any,
    *,
    method: str,
    randomised: bool,
) -> FloatArray | None:
    """Return the share of each arm by design, None where nobody said and lots are in doubt."""
    if shares is None:
        if not randomised or method in ("did", "before_after"):
            return None
        if method == "aipw":
            given = propensity if isinstance(propensity, Mapping) else {arms.labels[1]: propensity}
            if any(one is None or isinstance(one, str) for one in given.values()):
                return None
            odds = np.ones(len(arms.labels))
            for label, chance in given.items():
                odds[arms.pair(label)] = chance / (1 - chance)
            return odds / odds.sum()
        return np.full(len(arms.labels), 1 / len(arms.labels))
    if not isinstance(shares, Mapping):
        raise fail(f"shares is {shares!r}", "pass a mapping from each arm to its share")
    if set(shares) != set(arms.labels):
        raise fail(
            f"shares are of {', '.join(map(repr, shares))}",
            f"pass one for each arm: {', '.join(map(repr, arms.labels))}",
        )
    values = np.array(
        [check_number(f"share of {label!r}", shares[label], gt=0, lt=1) for label in arms.labels]
    )
    if abs(values.sum() - 1) > 1e-6:
        raise fail(f"shares sum to {values.sum():g}", "they must sum to 1")
    return values
