"""What the churn report says besides its charts: what a leak costs, what indicators gain, cuts.

Who is flagged is expected to buy within the horizon; the others are the churn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import InputError, fail
from touchpoint_lib.churn._boosting import SMALLEST_LEAF
from touchpoint_lib.churn._stack import customer_folds
from touchpoint_lib.churn.influence import Influence
from touchpoint_lib.churn.model import ChurnModel
from touchpoint_lib.metrics._shared import truth_and_score
from touchpoint_lib.metrics.calibration import calibration_slope, expected_rates
from touchpoint_lib.metrics.paired import compare_predictions
from touchpoint_lib.metrics.rates import prediction_rates
from touchpoint_lib.metrics.thresholds import choose_threshold
from touchpoint_lib.report.headline import Tile

#: The columns that a team has before it looks for more.
RFM_COLUMNS = (
    "frequency",
    "recency",
    "T",
    "monetary_value",
    "silence",
    "log_gaps",
    "amount_total",
)
#: The rows of a test of leaky columns.
WITHOUT, TESTED, IN_USE = "without them", "with them, as tested", "with them, in use"
#: Customers of either outcome that a churn model and its two rates need at least.
_LEAST = 100
#: Customers that two halves need, each to grow trees on.
_FEWEST = 4 * SMALLEST_LEAF
_RATES = ("error_rate", "omission_rate")


def too_few_verdict(panel: pd.DataFrame) -> str:
    """Return why no churn model can be judged on ``panel``, or nothing where one can.

    Parameters
    ----------
    panel : DataFrame
        From `indicator_panel`, of one cutoff.

    Examples
    --------
    >>> import pandas as pd
    >>> too_few_verdict(pd.DataFrame({"buys": [True] * 300 + [False] * 20}))
    'Only 20 of 320 customers stayed away: a churn model needs at least 400, and 100 of either ...'
    """
    bought, n = int(panel["buys"].sum()), len(panel)
    fewer, did = min((bought, "bought again"), (n - bought, "stayed away"))
    if fewer < _LEAST:
        few = f"Only {fewer:,}" if fewer else "None"
        says = f"{few} of {_counted(n, 'customer')} {did}"
    elif n < _FEWEST:
        says = f"There are only {n:,} customers"
    else:
        return ""
    return (
        f"{says}: a churn model needs at least {_FEWEST}, and {_LEAST} of either kind, to be "
        "fitted and to be judged. The lifetime models stand alone, and the sections about the "
        "churn model stay empty."
    )


def leak_cost_data(
    panel: pd.DataFrame, today: pd.DataFrame, then: pd.DataFrame, n_flagged: int, seed: int = 0
) -> pd.DataFrame:
    """Return how well a model with leaky columns seems to do, and how it does when it is used.

    One half of the customers fits boosted trees, the other half judges them: without the
    columns; with the columns as they stand today, in fit and test, as a careless team would
    test it; and the same model on the columns as they stood at the cutoff, which is all that a
    model in use will ever see.

    Parameters
    ----------
    panel : DataFrame
        Honest indicators and ``buys``, a row a customer.
    today, then : DataFrame
        The columns, as of today and as of the cutoff, on the index of ``panel``.
    n_flagged : int
        How many of all customers are flagged as buyers; of the half that judges, half as many.
    seed : int
        Of the halves.

    Returns
    -------
    DataFrame
        From `compare_predictions`; the baseline is the model without the columns.
    """
    half = customer_folds(np.arange(len(panel)), panel["buys"].to_numpy(), 2, seed) == 1
    learn, judge = panel[~half], panel[half]
    careful = ChurnModel("boosting", lifetime=[], seed=seed)
    careless = ChurnModel("boosting", lifetime=[], seed=seed).fit(learn.join(today))
    scores = {
        WITHOUT: careful.fit(learn).predict_probability(judge),
        TESTED: careless.predict_probability(judge.join(today)),
        IN_USE: careless.predict_probability(judge.join(then)),
    }
    return compare_predictions(
        judge["buys"], scores, baseline=WITHOUT, n_flagged=max(n_flagged // 2, 1)
    )


def leak_verdict(screen: pd.DataFrame, cost: pd.DataFrame) -> str:
    """Return which columns leak, and what believing them costs.

    Parameters
    ----------
    screen : DataFrame
        From `screen_leakage`.
    cost : DataFrame
        From `leak_cost_data` of the flagged columns.
    """
    flagged = [str(name) for name in screen.index[screen["flagged"]]]
    if not flagged:
        return f"Of {_counted(len(screen), 'column')} none knows the future."
    _require_rates(cost)
    one = len(flagged) == 1
    tested, used, honest = (cost.loc[name] for name in (TESTED, IN_USE, WITHOUT))
    worse = used["error_rate"] - honest["error_rate"]
    low, high = used["error_difference_low"], used["error_difference_high"]
    beside = (
        "worse than" if low > 0 else "better than" if high < 0 else "not clearly different from"
    )
    return (
        f"Of {_counted(len(screen), 'column')} {len(flagged):,} {'knows' if one else 'know'} the "
        f"future: {_listed(flagged)}. A model with {'it' if one else 'them'} promises to be wrong "
        f"for {tested['error_rate']:.0%} of the {tested['n_flagged']:,.0f} it flags as buyers. In "
        f"use, where {'this column ends' if one else 'these columns end'} at the cutoff, it is "
        f"wrong for {used['error_rate']:.0%}: {beside} the model without {'it' if one else 'them'} "
        f"({honest['error_rate']:.0%}; difference {100 * worse:+.1f} points, 95%: "
        f"{100 * low:+.1f} to {100 * high:+.1f})."
    )


def reach_verdict(ranked: Influence, panel: pd.DataFrame) -> str:
    """Return how much of the influence lies outside the columns that everybody has.

    Parameters
    ----------
    ranked : Influence
        From `influence` of the columns of ``panel``.
    panel : DataFrame
        From `indicator_panel`.
    """
    known = [name for name in RFM_COLUMNS if name in panel]
    carried = ranked.share_of([name for name in ranked.columns.index if name not in known])
    if np.isnan(carried.share):
        return "No column has any influence on customers that the trees have not seen."
    says = (
        f"{carried.share:.0%} of the influence ({100 * ranked.level:g}%: {carried.share_low:.0%} "
        f"to {carried.share_high:.0%}) lies with the {_counted(carried.n_columns, 'column')} "
        f"beyond the {len(known)} of RFM"
    )
    first = ranked.columns["group"] == ranked.groups.index[0]
    inside = [name for name in known if first[name]]
    # With RFM columns alone, or with none, the group is wholly on one side.
    if len(inside) in (0, int(first.sum())):
        return f"{says}."
    return (
        f"{says}; but the leading group, whose {int(first.sum()):,} columns go together, has "
        f"{_listed(inside)} of RFM in it: ask the two rates what the others add."
    )


def gain_verdict(comparison: pd.DataFrame, gain: pd.DataFrame) -> str:
    """Return what the indicators do to the two rates, against recency and against a few columns.

    Parameters
    ----------
    comparison : DataFrame
        From `compare_predictions`, with recency as the baseline.
    gain : DataFrame
        The same of the model with a few columns, which is its baseline, and the one to be used,
        its last row.
    """
    _require_rates(comparison)
    baseline, few = str(comparison.attrs["baseline"]), str(gain.attrs["baseline"])
    best = str(gain.index[-1])
    plain, first, last = (comparison.loc[name] for name in (baseline, few, best))
    more = gain.loc[best]
    return (
        f"Where each flags {_counted(last['n_flagged'], 'customer')}, {baseline} is wrong for "
        f"{plain['error_rate']:.1%} and misses {plain['omission_rate']:.1%} of the buyers; {few} "
        f"{first['error_rate']:.1%} and {first['omission_rate']:.1%}; {best} "
        f"{last['error_rate']:.1%} and {last['omission_rate']:.1%}. So {best} "
        f"{_side(last, 'error')} {baseline} (error rate {_points(last, 'error')}; AUC "
        f"{last['auc']:.3f} against {plain['auc']:.3f}, difference "
        f"{last['auc_difference']:+.3f}{_reach(last)}), and {_side(more, 'error')} {few} "
        f"({_points(more, 'error')})."
    )


def thresholds_data(
    actual: pd.Series,
    probability: pd.Series,
    criteria: Mapping[str, Mapping[str, Any]],
    seed: int = 0,
) -> pd.DataFrame:
    """Return thresholds that criteria pick on half of the customers, judged on the other half.

    Parameters
    ----------
    actual : Series of bool
        Who bought.
    probability : Series
        Of customers whom the model has not seen, on the same index.
    criteria : mapping of str to keyword arguments of `choose_threshold`
        By name; a capacity is for the half.
    seed : int
        Of the halves.

    Returns
    -------
    DataFrame
        Index ``criterion``; threshold (inf where nobody is worth a contact), n_flagged, and for
        both rates promised (by the probabilities themselves), came, low and high (95%, Wilson).
        NaN where no threshold meets the criterion; error rates also where nobody is flagged.

    Raises
    ------
    InputError
        If the probabilities do not fit ``actual``, or a criterion is none.
    """
    truth_and_score(actual, probability, "probability")
    half = customer_folds(np.arange(len(actual)), actual.to_numpy(), 2, seed) == 1
    rows = {}
    for name, criterion in criteria.items():
        # A perfect score meets every criterion: one that is wrong in itself raises here.
        choose_threshold([True, False], [1.0, 0.0], **criterion)
        try:
            cut = choose_threshold(actual[half], probability[half], **criterion)
        except InputError:
            rows[name] = {"threshold": np.nan, "n_flagged": np.nan}
            continue
        promised = expected_rates(probability[~half], cut)
        came = prediction_rates(actual[~half], probability[~half], cut)
        rows[name] = {"threshold": cut, "n_flagged": came.n_flagged}
        for rate in _RATES:
            rows[name] |= {
                f"{rate}_promised": getattr(promised, rate),
                f"{rate}_came": getattr(came, rate),
                f"{rate}_low": getattr(came, f"{rate}_low"),
                f"{rate}_high": getattr(came, f"{rate}_high"),
            }
    columns = ["threshold", "n_flagged"]
    columns += [f"{rate}_{end}" for rate in _RATES for end in ("promised", "came", "low", "high")]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
    table.index.name = "criterion"
    return table


def thresholds_verdict(
    data: pd.DataFrame, name: str, actual: pd.Series, probability: pd.Series
) -> str:
    """Return what one threshold promised and brought, and whether probabilities can be read so.

    Parameters
    ----------
    data : DataFrame
        From `thresholds_data`.
    name : str
        Of the criterion.
    actual, probability : Series
        As for `thresholds_data`.
    """
    row = data.loc[name]
    reads = _slope_sentence(actual, probability)
    if np.isnan(row["threshold"]):
        return f"No threshold meets the rule “{name}”. {reads}"
    if row["n_flagged"] == 0:
        return f"By the rule “{name}” nobody is flagged. {reads}"
    missed = (
        f"; it missed {row['omission_rate_came']:.0%} of the buyers "
        f"(promised: {row['omission_rate_promised']:.0%})"
        if row["omission_rate_came"] >= 0
        else ""
    )
    kept = row["error_rate_low"] <= row["error_rate_promised"] <= row["error_rate_high"]
    return (
        f"By the rule “{name}” the threshold is {row['threshold']:.0%}. On the half of the "
        f"customers that had no say in it, it promised an error rate of "
        f"{row['error_rate_promised']:.1%} and had {row['error_rate_came']:.1%} (95%: "
        f"{row['error_rate_low']:.1%} to {row['error_rate_high']:.1%}): "
        f"{'kept within chance' if kept else 'not kept'}{missed}. {reads}"
    )


def reach_caution(panel: pd.DataFrame, now: pd.DataFrame) -> str:
    """Return how many of today's customers are older than any that the model learnt from.

    Parameters
    ----------
    panel, now : DataFrame
        The indicators of the fit, and of today, with ``T``.
    """
    oldest = float(panel["T"].max())
    older = int((now["T"] > oldest).sum())
    if older == 0:
        return "No customer of today is older than those that the model learnt from."
    return (
        f"Caution: {older:,} of today's {_counted(len(now), 'customer')} first bought longer ago "
        f"than any that the model learnt from (more than {_counted(oldest, 'day')}), so it "
        "extrapolates: trust the order of the customers more than the probability."
    )


def churn_tile(comparison: pd.DataFrame, best: str) -> Tile:
    """Return the tile of the headline: the error rate of the churn model beside recency's.

    Parameters
    ----------
    comparison, best
        As for `gain_verdict`.
    """
    row, plain, baseline = _beside(comparison, best)
    return Tile(
        f"Error rate of the {_counted(row['n_flagged'], 'likeliest buyer')}",
        f"{row['error_rate']:.1%}",
        f"less {baseline}'s: {_points(row, 'error')}",
        f"{baseline}: {plain['error_rate']:.1%}",
    )


def churn_sentence(comparison: pd.DataFrame, best: str) -> str:
    """Return the verdict on who buys again in one sentence.

    Parameters
    ----------
    comparison, best
        As for `gain_verdict`.
    """
    row, plain, baseline = _beside(comparison, best)
    return (
        f"Who buys again: of the {_counted(row['n_flagged'], 'likeliest buyer')} by the churn "
        f"model ({best}) {row['error_rate']:.1%} did not buy, of as many by {baseline} "
        f"{plain['error_rate']:.1%} ({_points(row, 'error')}), so it {_side(row, 'error')} "
        f"{baseline}."
    )


def _beside(comparison: pd.DataFrame, best: str) -> tuple[Any, Any, str]:
    """Return the row to be used, that of the baseline, and the baseline's name."""
    _require_rates(comparison)
    baseline = str(comparison.attrs["baseline"])
    return comparison.loc[best], comparison.loc[baseline], baseline


def _require_rates(comparison: pd.DataFrame) -> None:
    """Raise where a rate has no case: a verdict on it would be one on nothing."""
    for rate in _RATES:
        empty = comparison.index[comparison[rate].isna()]
        if len(empty):
            raise fail(
                f"the comparison has no {rate} of {empty[0]!r}",
                "compare on customers of whom some bought, and flag at least one",
            )


def _counted(number: Any, noun: str) -> str:
    """Return a number and what it counts, in the singular for 1."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def _slope_sentence(actual: pd.Series, probability: pd.Series) -> str:
    """Return whether probabilities can be read as such, or why a slope does not say."""
    try:
        slope = calibration_slope(actual, probability)
    except InputError as error:
        return f"Its probabilities have no calibration slope: {error}."
    sound = slope.slope_low <= 1 <= slope.slope_high
    return (
        f"Its probabilities {'can' if sound else 'cannot quite'} be taken at their word: slope "
        f"{slope.slope:.2f} (95%: {slope.slope_low:.2f} to {slope.slope_high:.2f}), where 1 is "
        "right."
    )


def _reach(row: Any) -> str:
    """Return the interval of a difference of AUC, or nothing where its variance is none."""
    low, high = row["auc_difference_low"], row["auc_difference_high"]
    return "" if np.isnan(low) else f", 95%: {low:+.3f} to {high:+.3f}"


def _side(row: Any, rate: str) -> str:
    """Return whether a score has clearly fewer errors than the baseline."""
    if row[f"{rate}_difference_high"] < 0:
        return "beats"
    return "loses to" if row[f"{rate}_difference_low"] > 0 else "is not clearly better than"


def _points(row: Any, rate: str) -> str:
    """Return the difference of a rate in points, with its interval."""
    middle, low, high = (100 * row[f"{rate}_difference{end}"] for end in ("", "_low", "_high"))
    return f"{middle:+.1f} points, 95%: {low:+.1f} to {high:+.1f}"


def _listed(names: list[str]) -> str:
    """Return names as a list in words, the first few of many."""
    if not names:
        return "none"
    shown = names[:5]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(shown) + more
