"""What the figures of an evaluation mean, in words, and what cannot be known."""

from __future__ import annotations

import pandas as pd

from touchpoint_lib.campaigns._comparison import Plan

_BEFORE_AFTER = (
    "This is not an effect. It is how the contacted changed, and customers who are chosen for "
    "their silence buy more afterwards without any contact (regression to the mean), as seasons "
    "and prices change everybody. Only a holdout tells what the campaign added."
)


def statement(
    plan: Plan, *, randomised: bool, window: float | None, placebo: pd.DataFrame, level: float
) -> str:
    """Return what the figures rest on."""
    if plan.method == "before_after":
        return _BEFORE_AFTER
    over = "" if window is None else f", over {window:g} days"
    adjusted = {
        "cuped": "; what covariates explained before is taken off, for narrower intervals",
        "lin": "; regressions on covariates narrow the intervals, and need not be right",
        "stratified": "; it is averaged over strata in the shares of all customers",
        "aipw": "; regressions on covariates narrow the intervals, and need not be right",
    }.get(plan.method, "")
    if plan.estimand == "treated":
        adjusted = ", averaged over the contacted" + adjusted
    if plan.method == "did":
        found = (
            f"The difference of the changes is the effect on the contacted{over} only if both arms "
            "would have changed alike without the contact. The time before can speak against "
            "that, and cannot prove it. Customers who are chosen for what they did shortly before "
            "(silence, a large order) do not change like others."
        )
        if randomised:
            found = (
                "Chance decided who was contacted, as you say, so that both arms would have "
                "changed alike: the difference of the changes is the effect of assigning a "
                f"customer to them{over}."
            )
    elif randomised:
        found = (
            "Chance decided who was contacted, as you say, so the difference between the arms is "
            f"the effect of assigning a customer to them{over}{adjusted}. It holds for customers "
            "like these, at that time, and says nothing about what comes later."
        )
    else:
        names = ", ".join(map(str, plan.columns))
        whom = "the contacted" if plan.estimand == "treated" else "all these customers"
        found = (
            f"Nobody drew lots. The figures are the effect on {whom}{over}, only if, among "
            f"customers alike in {names}, chance decided who was contacted. Whatever else "
            "decided it, and bears on the outcome, is in the figures too, and these data cannot "
            "tell how much: only a holdout can."
        )
    return found + _placebo(placebo, level)


def _placebo(placebo: pd.DataFrame, level: float) -> str:
    if placebo.empty:
        return ""
    if placebo["p_adjusted"].isna().all():
        return " The outcomes from before the campaign do not vary, and tell nothing."
    bad = placebo[placebo["p_adjusted"] < 1 - level]
    if bad.empty:
        return " On the outcomes from before the campaign the arms do not differ clearly."
    names = ", ".join(dict.fromkeys(map(str, bad["outcome"])))
    return (
        f" The arms differ in {names} from before the campaign, where it can have had no effect: "
        "the comparison is biased, by how much in the outcomes this cannot tell."
    )
