"""Two groups that nobody drew lots for, compared within strata."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from touchpoint_lib._checks import IntArray
from touchpoint_lib.campaigns.effects import evaluate_campaign

#: What `compare_within` says of each outcome, in this order.
COMPARED = (
    *("n_exposed", "n_others", "n_left_out", "mean_exposed", "mean_others"),
    *("difference", "low", "high", "p_value"),
)


def compare_within(
    data: pd.DataFrame,
    exposed: str,
    stratum: IntArray,
    outcomes: Iterable[str],
    *,
    cluster: str,
    level: float,
) -> pd.DataFrame:
    """Return the differences of means within strata, in the shares of all rows of these strata.

    ``exposed`` is a column of truth values. Strata with less than two rows of either group are
    left out and counted. A row an outcome, or none where nothing can be compared.
    """
    group = data[exposed].to_numpy(dtype=np.int64)
    size = np.bincount(stratum * 2 + group, minlength=2 * (int(stratum.max(initial=0)) + 1))
    kept = (size.reshape(-1, 2).min(axis=1) >= 2)[stratum]
    rows = data[kept].assign(stratum=stratum[kept])
    clusters = rows.groupby(exposed, observed=True)[cluster].nunique()
    if len(clusters) < 2 or clusters.min() < 2:
        return pd.DataFrame(columns=pd.Index(["outcome", *COMPARED]))
    found = evaluate_campaign(
        rows,
        arm=exposed,
        control=False,
        outcomes=list(outcomes),
        method="stratified",
        covariates=["stratum"],
        cluster=cluster,
        level=level,
    ).to_frame()
    result = found.rename(
        columns={
            "n_treated": "n_exposed",
            "n_control": "n_others",
            "mean_treated": "mean_exposed",
            "mean_control": "mean_others",
            "effect": "difference",
            "ci_low": "low",
            "ci_high": "high",
        }
    ).assign(n_left_out=int((~kept).sum()))
    return result[["outcome", *COMPARED]]
