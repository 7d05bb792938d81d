"""Did the campaign work, for whom, and did it pay: one call, one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from touchpoint_lib._checks import check_number, fail
from touchpoint_lib.campaigns._comparison import Estimand, Method, Plan
from touchpoint_lib.campaigns._data import Arms, as_names, read_arms, read_treated
from touchpoint_lib.campaigns._design import ADJUSTED, check_call, designed_shares, read_plan
from touchpoint_lib.campaigns._outcomes import Outcome, read_outcomes
from touchpoint_lib.campaigns._propensity import Link
from touchpoint_lib.campaigns._statement import statement
from touchpoint_lib.campaigns._table import comparisons_table, read_segments
from touchpoint_lib.campaigns.money import CampaignCosts, RowCosts
from touchpoint_lib.campaigns.result import CampaignEvaluation

__all__ = ["evaluate_campaign"]


def evaluate_campaign(
    data: pd.DataFrame,
    *,
    arm: str,
    control: Any = None,
    outcomes: str | Sequence[str] | Mapping[str, str | tuple[str, str]],
    method: Method = "difference",
    covariates: str | Iterable[str] | None = None,
    treatment_covariates: str | Iterable[str] | None = None,
    link: Link = "logit",
    propensity: float | str | Mapping[Any, float | str] | None = None,
    segments: str | Iterable[str] | None = None,
    cluster: str | None = None,
    costs: CampaignCosts | Mapping[str, CampaignCosts] | None = None,
    window: float | None = None,
    level: float = 0.95,
    estimand: Estimand = "all",
    before: str | Mapping[str, str] | None = None,
    caps: Mapping[str, float | str] | None = None,
    shares: Mapping[Any, float] | None = None,
    placebo: str | Iterable[str] = (),
    randomised: bool = True,
    cycle: float | None = None,
) -> CampaignEvaluation:
    """Return what a campaign did, by outcome, arm and segment, with intervals and in money.

    Each treated arm is compared with the control on the rows of these two arms. Customers belong
    to the arm that they were assigned to, whatever became of it (intention to treat): who opened,
    clicked or redeemed says nothing about the effect.

    Parameters
    ----------
    data : DataFrame
        A row a customer (or a contact: then with ``cluster``).
    arm : str
        Column of the arm that a row was assigned to.
    control
        Its value for the control. Without a control only ``method="before_after"`` can be asked
        for.
    outcomes : column, columns, or mapping of names to columns
        What is counted: truth values, counts or money. A pair (numerator, denominator) is a ratio
        of means, such as spend an order.
    method : str
        "difference" of means (Welch). "cuped": less what covariates explain in all arms together.
        "lin": by a regression in each arm. "stratified": over the strata that the covariates make.
        "aipw": augmented inverse probability weighting, which also stands where no lots were
        drawn, if the covariates say why somebody was contacted. "did": difference of the changes
        since ``before``. "before_after": the change in the treated alone, which is no effect, and
        is labelled so.
    covariates : columns
        From before the campaign, never an outcome. Text and categories become indicators; one that
        is constant in the rows of a comparison ("lin" and "aipw": of an arm of it), or follows from
        others there, is left out there and named in the warnings. With "difference" and "did" they
        serve the balance only.
    treatment_covariates : columns, optional
        Those of the propensity of "aipw"; ``covariates`` by default.
    link : {"logit", "probit"}
        Of the propensity.
    propensity : number, column or mapping by arm, optional
        With "aipw": known chance of being in the treated arm rather than the control, in (0, 1);
        ``link`` and ``treatment_covariates`` are of no use then. None fits it.
    segments : column or columns, optional
        From before the campaign: each value makes a row of its own, beside that of all customers.
    cluster : column, optional
        What belongs together, such as the customer where a row is a contact: standard errors are
        by sums of clusters. Each arm has rows of two clusters or more.
    costs : CampaignCosts, or mapping of outcome to CampaignCosts, optional
        Money. One record alone stands for the only outcome.
    window, cycle : float, optional
        Days over which the outcomes count, and of one usual repurchase cycle. A window shorter
        than the cycle counts purchases that were merely pulled forward. No cycle without window.
    level : float
        Of the intervals, in (0, 1).
    estimand : {"all", "treated"}
        With "aipw": the average effect on all, or on the treated.
    before : column, or mapping of outcome to column
        The outcome in a period before the campaign, for "did" and "before_after".
    caps : mapping of outcome to number or percentile, optional
        Values above count as the cap in the effect: a number in the outcome's unit, or "99%", the
        percentile of the values above 0 in all arms together. Declare it before you look. Money is
        never capped.
    shares : mapping of arm to share, optional
        Of the design, for the sample-ratio test. None: those of a known ``propensity``, or equal.
    placebo : columns
        Outcomes from before the campaign, on which it can have had no effect; none that the method
        adjusts for.
    randomised : bool
        False where no lots decided who was contacted: then only "aipw" and "did" are allowed, and
        the statement says what cannot be known.

    Returns
    -------
    CampaignEvaluation
        Its ``to_frame()`` has a row an outcome, arm and segment: outcome, arm, control, segment_by
        (the column, "" for all customers), segment ("all"), method, n_treated, n_control,
        mean_treated and mean_control (as the method estimates them; "did": of the changes),
        effect, standard_error, ci_low, ci_high (t with Welch's degrees of freedom, normal for
        "aipw", G - 1 with clusters), relative_lift with relative_low and relative_high (Fieller;
        infinite where the control's mean may be 0),
        p_value, p_adjusted (Holm, over all rows of all customers, and over all rows of segments),
        variance_reduction (against "difference"), detectable_effect (the smallest that 80 % of
        such experiments would find, by the standard error), cap, n_capped, incremental_total,
        incremental_low and incremental_high (effect times n_treated), overlap_low and overlap_high
        (chances of being contacted, "aipw"), sample_ratio_p, balance_p (that no covariate tells
        the arms apart), warnings. With ``costs``, in money and NaN for outcomes without:
        margin (what the effect earned), contact_cost, discount_cost (of all who redeemed; less
        what the control took off as well), fixed_cost, net_profit, roi (net profit / costs, by the
        delta method), each estimate with _low and _high, break_even_effect (without a cap, at
        which the net profit is 0 with these costs; infinite where the discount takes the margin),
        probability_of_profit (normal, of a flat prior).

        NaN: relative_lift where the control's mean is not above 0, and with "did", where means are
        changes; incremental_total of ratios, and of the effect on all where not all had the same
        chance; interval, p, relative_lift and what rests on them where the outcome does not vary
        within the arms; all figures of a segment too small for the method;
        sample_ratio_p where nobody drew lots or the method fits the propensity or takes it from a
        column, and no ``shares`` are given; balance_p without covariates, or with more of them
        than clusters; roi without costs; cap and overlap where there is none.

    Raises
    ------
    InputError
        If a column is missing, has missing or impossible values, an argument does not fit the
        method, an arm is too small, or (OverlapError) the covariates tell the arms apart.

    References
    ----------
    Welch (1947), Biometrika 34; Deng, Xu, Kohavi and Walker (2013), WSDM (CUPED); Lin (2013),
    Annals of Applied Statistics 7; Miratrix, Sekhon and Yu (2013), JRSS B 75; Robins, Rotnitzky
    and Zhao (1994), JASA 89; Newey and McFadden (1994), Handbook of Econometrics 4, theorem 6.1;
    Deng, Knoblich and Lu (2018), KDD (ratios); Fieller (1954), JRSS B 16; Hansen and Bowers (2008),
    Statistical Science 23; Fabijan et al. (2019), KDD (sample ratios).

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> sent = pd.DataFrame({
    ...     "arm": ["sms"] * 4 + ["holdout"] * 4,
    ...     "spend": [20.0, 0.0, 35.0, 12.0, 8.0, 0.0, 14.0, 6.0],
    ... })
    >>> found = tp.evaluate_campaign(sent, arm="arm", control="holdout", outcomes="spend")
    >>> found.to_frame()[["effect", "standard_error", "p_value"]].round(2).to_dict("records")
    [{'effect': 9.75, 'standard_error': 7.89, 'p_value': 0.29}]
    """
    names = [] if covariates is None else as_names("covariates", covariates)
    tests = as_names("placebo", placebo)
    given = {
        "covariates": bool(names),
        "before": before is not None,
        "estimand": estimand != "all",
        "treatment_covariates": treatment_covariates is not None,
        "link": link != "logit",
        "caps": caps is not None,
        "placebo": bool(tests),
        "propensity": propensity is not None,
        "shares": shares is not None,
        "costs": costs is not None,
    }
    check_call(method, estimand=estimand, link=link, randomised=randomised, given=given)
    check_number("level", level, gt=0, lt=1)
    for name, value in (("window", window), ("cycle", cycle)):
        if value is not None:
            check_number(name, value, gt=0)
    if cycle is not None and window is None:
        raise fail("cycle is given without window", "say over how many days the outcomes count")
    if method == "before_after":
        if control is not None:
            raise fail('method is "before_after" with a control', "a control is worth more: use it")
        arms = read_treated(data, arm)
    elif control is None:
        raise fail(
            "control is None: there is nobody to compare with, and a change since before is no "
            "effect",
            "hold out customers at random, or ask for the change by its name, "
            'method="before_after"',
        )
    else:
        arms = read_arms(data, arm, control)
    listed = read_outcomes(data, outcomes, caps, _before(outcomes, before))
    plan = read_plan(
        data,
        arms,
        listed,
        method=method,
        estimand=estimand,
        link=link,
        covariates=names,
        treatment_covariates=treatment_covariates,
        propensity=propensity,
        cluster=cluster,
    )
    before_it = read_outcomes(data, tests, None, None) if tests else []
    _check_placebo(tests, listed, plan)
    groups = [] if segments is None else as_names("segments", segments)
    for name in groups:
        if name == arm or any(name in one.columns for one in listed):
            kind = "the arm" if name == arm else "an outcome"
            raise fail(f"segment {name!r} is {kind}", "use columns from before the campaign")
    if costs is not None and plan.on_others(randomised=randomised):
        raise fail(
            "costs are given with the effect on all, where not everybody had the same chance",
            'what the campaign earned is the effect on the treated: pass estimand="treated"',
        )
    everybody, *parts = read_segments(data, groups)
    settings: dict[str, Any] = {
        "shares": designed_shares(arms, shares, propensity, method=method, randomised=randomised),
        "level": level,
        "randomised": randomised,
    }
    found = comparisons_table(
        plan,
        arms,
        listed,
        [everybody, *parts],
        _row_costs(data, arms, listed, costs),
        **settings,
    )
    if window is not None and cycle is not None and window < cycle:
        note = (
            f"the outcome counts over {window:g} days, a cycle takes {cycle:g}: purchases that "
            "were merely pulled forward count as gained"
        )
        found.effects["warnings"] = [
            f"{old}; {note}" if old else note for old in found.effects["warnings"]
        ]
    checked = pd.DataFrame()
    if before_it:
        checked = comparisons_table(plan, arms, before_it, [everybody], {}, **settings).effects
    return CampaignEvaluation(
        table=found.effects,
        balance=found.balance,
        interactions=found.interactions,
        placebo=checked,
        n_rows=len(data),
        arms={label: size for label, size in arms.sizes.items() if label is not None},
        level=level,
        method=method,
        estimand="treated" if method == "did" else estimand,
        randomised=randomised,
        window=window,
        cycle=cycle,
        statement=statement(
            plan, randomised=randomised, window=window, placebo=checked, level=level
        ),
    )


def _check_placebo(tests: list[Any], outcomes: list[Outcome], plan: Plan) -> None:
    """Raise where a placebo outcome could not differ, or is what the campaign is to change."""
    for name in tests:
        if any(name in one.columns for one in outcomes):
            raise fail(f"placebo {name!r} is an outcome", "use columns from before the campaign")
        if plan.method in ADJUSTED and name in plan.columns:
            raise fail(
                f"placebo {name!r} is a covariate",
                "what is adjusted for differs no more: use another outcome from before",
            )


def _before(outcomes: Any, before: str | Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return the column before the campaign of each outcome."""
    if not isinstance(before, str):
        return before
    named = list(outcomes) if isinstance(outcomes, Mapping) else as_names("outcomes", outcomes)
    if len(named) > 1:
        raise fail(f"before is one column for {len(named)} outcomes", "pass a mapping by outcome")
    return {named[0]: before}


def _row_costs(
    data: pd.DataFrame,
    arms: Arms,
    outcomes: list[Outcome],
    costs: CampaignCosts | Mapping[str, CampaignCosts] | None,
) -> dict[str, RowCosts]:
    """Return the costs of each row, by outcome."""
    if costs is None:
        return {}
    names = {one.name: one for one in outcomes}
    if isinstance(costs, CampaignCosts):
        if len(outcomes) > 1:
            raise fail(
                f"costs are one record for {len(outcomes)} outcomes",
                "pass a mapping: {outcome: CampaignCosts(...)}",
            )
        costs = dict.fromkeys(names, costs)
    if not isinstance(costs, Mapping):
        raise fail(f"costs are {costs!r}", "pass CampaignCosts(...), or a mapping by outcome")
    found = {}
    for name, record in costs.items():
        if not isinstance(record, CampaignCosts):
            raise fail(f"costs of {name!r} are {record!r}", "pass CampaignCosts(...)")
        if name not in names:
            raise fail(
                f"costs are of {name!r}, which is no outcome",
                f"the outcomes are {', '.join(map(repr, names))}",
            )
        if names[name].below is not None:
            raise fail(
                f"costs are of the ratio {name!r}", "give those of an outcome that can be summed"
            )
        found[name] = RowCosts.read(data, record, arms, names[name].values)
    return found
