"""What the campaign report needs besides its charts: data, methods compared, targets, a plan."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_columns, check_values, fail
from touchpoint_lib.campaigns.effects import evaluate_campaign
from touchpoint_lib.campaigns.planning import CampaignPlan, plan_campaign
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.campaigns.uplift import UpliftEvaluation
from touchpoint_lib.charts._forest import SHARE

#: What a missing value is written as. Not "None": an arm that got nothing is often called so.
_MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null"]


def read_experiment(path: str | Path) -> pd.DataFrame:
    """Return the frame of an experiment from a file.

    Parameters
    ----------
    path : str or Path
        A Parquet file (.parquet), or a CSV file with a header. A named index of the former becomes
        a column; in the latter numbers with leading zeros, such as codes, stay text, and so does
        "None".

    Raises
    ------
    InputError
        If the file cannot be read as one.
    """
    file = Path(path)
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(file)
            return frame.reset_index(drop=frame.index.names == [None])
        with warnings.catch_warnings():
            # Rows that are longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return _read_csv(file)
    # pyarrow's and pandas' own errors of parsing are ValueErrors.
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise fail(
            f"{file.name} cannot be read ({str(error).strip().rstrip('.')})",
            "pass a CSV file in UTF-8 with a header and commas, or a .parquet file",
        ) from None


def _read_csv(file: Path) -> pd.DataFrame:
    """Return the frame of a CSV file."""
    settings: dict[str, Any] = {
        "index_col": False,
        "keep_default_na": False,
        "na_values": _MISSING,
        "low_memory": False,
    }
    frame = pd.read_csv(file, **settings)
    if frame.shape[1] < 2:
        raise ValueError(f"it has one column alone, {str(frame.columns[0])!r}")
    numbers = [
        place
        for place, kind in enumerate(frame.dtypes)
        if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
    ]
    written = pd.read_csv(file, usecols=numbers, dtype=str, **settings)
    for name, values in written.items():
        # As numbers the codes 01 and 1 would be one.
        if values.str.fullmatch(r"0\d+", na=False).any():
            frame[name] = values
    return frame


def outcome_unit(data: pd.DataFrame, outcome: str) -> str:
    """Return "%" for an outcome of 0 and 1 alone, an empty text for another.

    Parameters
    ----------
    data : DataFrame
        With the outcome.
    outcome : str
        Its column.

    Examples
    --------
    >>> import pandas as pd
    >>> from touchpoint_lib import report
    >>> data = pd.DataFrame({"visit": [0, 1, 1], "spend": [0.0, 12.5, 3.0]})
    >>> report.outcome_unit(data, "visit"), report.outcome_unit(data, "spend")
    ('%', '')
    """
    check_columns(data, [outcome], "data", "name an outcome by its column")
    return SHARE if data[outcome].isin([0, 1]).all() else ""


def best_arm(found: CampaignEvaluation, outcome: str) -> Any:
    """Return the treated arm that did most for a customer.

    Parameters
    ----------
    found : CampaignEvaluation
        From `evaluate_campaign`.
    outcome : str
        Whose effect on all customers is compared; where it has money, the net profit a contacted
        customer, as arms need not be of one size.

    Raises
    ------
    InputError
        If there is no such outcome.
    """
    table = found.table[(found.table["outcome"] == outcome) & (found.table["segment_by"] == "")]
    if table.empty:
        names = ", ".join(map(repr, found.table["outcome"].unique()))
        raise fail(f"outcome is {outcome!r}", f"name one of {names}")
    worth = table["effect"]
    if "net_profit" in table and table["net_profit"].notna().all():
        worth = table["net_profit"] / table["n_treated"]
    return table["arm"].iloc[worth.to_numpy().argmax()]


def method_table(data: pd.DataFrame, methods: Iterable[str], **experiment: Any) -> pd.DataFrame:
    """Return the effects on all customers by several methods, to see whether they agree.

    Parameters
    ----------
    data : DataFrame
        As for `evaluate_campaign`.
    methods : iterable of str
        Which of its methods.
    **experiment
        Its other arguments, but ``segments``.

    Returns
    -------
    DataFrame
        outcome, arm, method, effect, ci_low, ci_high, p_value, variance_reduction: a row each.

    Raises
    ------
    InputError
        As `evaluate_campaign` does.
    """
    names = ["outcome", "arm", "method", "effect", "ci_low", "ci_high", "p_value"]
    names.append("variance_reduction")
    tables = [
        evaluate_campaign(data, **experiment, method=method).table[names]  # type: ignore[arg-type]
        for method in methods
    ]
    both = pd.concat(tables, ignore_index=True)
    place = {name: number for number, name in enumerate(both["outcome"].unique())}
    return both.sort_values(
        ["outcome", "arm"],
        key=lambda column: column.map(place) if column.name == "outcome" else column,
        kind="stable",
        ignore_index=True,
    )


def best_rule(uplift: UpliftEvaluation) -> dict[str, Any]:
    """Return the rule of targeting that is worth most, with what it brings a contacted customer.

    Parameters
    ----------
    uplift : UpliftEvaluation
        From `evaluate_uplift`.

    Returns
    -------
    dict
        rule, share (of customers contacted), effect and standard_error (value less cost, a
        contacted customer; NaN for "nobody").
    """
    policy = uplift.policy[uplift.policy["value_per_1000"].notna()]
    row = policy.iloc[int(policy["value_per_1000"].to_numpy().argmax())]
    each = 1000 * row["share"] if row["share"] > 0 else np.nan
    return {
        "rule": row["rule"],
        "share": float(row["share"]),
        "effect": float(row["value_per_1000"] / each),
        "standard_error": float(row["standard_error"] / each),
    }


def flagged(uplift: UpliftEvaluation, score: pd.Series[float]) -> pd.Series[bool]:
    """Return whom the best rule of targeting contacts (该联系谁).

    Parameters
    ----------
    uplift : UpliftEvaluation
        From `evaluate_uplift`.
    score : Series of float
        That was judged. Of equal scores at the end of a share those that come first are taken.

    Returns
    -------
    Series of bool
        Named "flagged", on the index of ``score``: whether `best_rule` contacts the customer.

    Raises
    ------
    InputError
        If a score is missing or no number.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> data = pd.DataFrame({"arm": [0, 1] * 20, "score": [2, 2, 1, 1] * 10})
    >>> data["earned"] = data["arm"] * (6 * data["score"] - 9)
    >>> uplift = tp.evaluate_uplift(
    ...     data, "score", arm="arm", control=0, outcome="earned", at=[0.25, 0.5]
    ... )
    >>> report.best_rule(uplift)["rule"]
    'best 50 %'
    >>> report.flagged(uplift, data["score"]).head(4).tolist()
    [True, True, False, False]
    """
    values = check_values("score", score, index=score.index)
    rule = best_rule(uplift)
    if rule["rule"] == "positive":
        contacted = values * uplift.value > uplift.cost
    else:
        contacted = np.zeros(len(values), dtype=np.bool_)
        number = round(rule["share"] * len(values))
        contacted[np.argsort(-values, kind="stable")[:number]] = True
    return pd.Series(contacted, index=score.index, name="flagged")


def target_profile(
    uplift: UpliftEvaluation, data: pd.DataFrame, score: pd.Series, columns: Iterable[str]
) -> pd.DataFrame:
    """Return how the customers whom the best rule contacts differ from the others.

    Parameters
    ----------
    uplift : UpliftEvaluation
        From `evaluate_uplift`.
    data : DataFrame
        With the columns.
    score : Series
        That was judged, on the index of ``data`` or of a part of it.
    columns : iterable of str
        Numbers, of which the mean is told, or labels, of which the shares are.

    Returns
    -------
    DataFrame
        A row a number or label: contacted and others, the mean or share of either; NaN where the
        rule contacts nobody, or everybody.
    """
    chosen = flagged(uplift, score).to_numpy()
    scored = data.loc[score.index]
    rows = {}
    for column in columns:
        values = scored[column]
        if pd.api.types.is_numeric_dtype(values.dtype):
            parts = {column: values.astype(float)}
        else:
            labels = sorted(values.unique(), key=str)
            parts = {f"{column}={label}": (values == label).astype(float) for label in labels}
        for name, part in parts.items():
            rows[name] = {"contacted": part[chosen].mean(), "others": part[~chosen].mean()}
    return pd.DataFrame.from_dict(rows, orient="index")


def next_plan(
    uplift: UpliftEvaluation,
    values: pd.Series,
    score: pd.Series,
    *,
    money: bool,
    future: float | None = None,
) -> CampaignPlan:
    """Return the plan of the next test: the rule that is worth most, with a new holdout.

    Parameters
    ----------
    uplift : UpliftEvaluation
        From `evaluate_uplift`.
    values : Series
        What each customer brought, of which the effect is one.
    score : Series
        That was judged, on the index of ``values`` or of a part of it.
    money : bool
        Whether the values are money: then the share to hold out is planned as well, from what is
        known now about the rule.
    future : float, optional
        Customers contacted afterwards if it pays; by default four times those of the test.

    Returns
    -------
    CampaignPlan
        Of a test on as many customers as the rule contacts if all of ``values`` are scored. Where
        the rule is to contact nobody, that of everybody is planned.
    """
    rule = best_rule(uplift)
    number = round((rule["share"] or 1.0) * len(values))
    chosen = flagged(uplift, score)
    among = values[score.index[chosen] if rule["share"] else score.index]
    known = np.isfinite(rule["standard_error"])
    return plan_campaign(
        among,
        n_customers=number,
        effect=rule["effect"] if known else None,
        prior=(rule["effect"], rule["standard_error"]) if known and money else None,
        future=(4 * number if future is None else future) if known and money else None,
    )
