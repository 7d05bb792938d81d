"""The head of the campaign report: question, verdict, tiles and provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib.campaigns._rows import SUSPICIOUS
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.charts._forest import (
    SHARE,
    amounts,
    bounded,
    joined,
    p_text,
    unit_words,
)
from touchpoint_lib.charts.campaign_money import campaign_money_data
from touchpoint_lib.charts.campaigns import (
    campaign_effects_data,
    campaign_effects_verdict,
    changes,
    side_of,
)
from touchpoint_lib.report.campaign import best_arm
from touchpoint_lib.report.headline import Headline, Tile

#: Arms that have tiles of their own; of more, the best one has.
_MOST_ARMS = 2
#: Where there is no spread to take one from.
_NO_INTERVAL = "no interval: the outcome does not vary"


def campaign_headline(
    found: CampaignEvaluation,
    source: str,
    *,
    units: Mapping[str, str],
    money: str | None = None,
    truth: Mapping[str, float] | None = None,
) -> Headline:
    """Return question, verdict, tiles and provenance of the campaign notebook.

    Parameters
    ----------
    found : CampaignEvaluation
        From `evaluate_campaign`; the first of its outcomes decides.
    source : str
        Name of the data.
    units : mapping of str to str
        Unit of each outcome, as for `charts.campaign_effects_data`.
    money : str, optional
        The outcome with costs.
    truth : mapping of str to float, optional
        The true effect on an outcome, per customer, where it is known.

    Raises
    ------
    InputError
        If ``money`` has no costs.
    """
    decides = found.table["outcome"].iloc[0]
    effects = campaign_effects_data(found, decides, unit=units.get(decides, ""))
    arms = _by_arm(effects)
    paid = {} if money is None else _by_arm(campaign_money_data(found, money))
    about = effects.attrs
    shown = list(arms)
    if len(shown) > _MOST_ARMS:
        shown = [str(best_arm(found, decides if money is None else money))]
    tiles = [_effect_tile(arms[arm], about, truth) for arm in shown]
    tiles += [_profit_tile(paid[arm], found.level) for arm in shown if paid]
    tiles += [_chance_tile(row) for row in paid.values() if len(paid) == 1]
    sizes = float(found.table["sample_ratio_p"].iloc[0])
    if found.method == "before_after":
        says = [campaign_effects_verdict(effects[effects["segment_by"] == ""])]
    else:
        says = [*_arms_told(arms, about, paid), *_whom_told(effects)]
    if sizes < SUSPICIOUS:
        says.insert(
            0,
            f"The arms do not have the sizes of the design (sample-ratio test, {p_text(sizes)}): "
            "find out who is missing before you believe what follows.",
        )
    counts = ", ".join(f"{label}: {count:,}" for label, count in found.arms.items())
    facts = {"Source": source, "Rows": f"{found.n_rows:,} ({counts})", "Method": _method(found)}
    if found.window is not None:
        facts["Window"] = f"{found.window:g} days"
        if found.cycle is not None:
            facts["Window"] += f" (one repurchase cycle: {found.cycle:g})"
            if found.window < found.cycle:
                says.append(
                    "The window is shorter than a repurchase cycle: purchases that were merely "
                    "pulled forward count as gained."
                )
    if np.isfinite(sizes):
        facts["Sizes of the arms"] = f"sample-ratio test {p_text(sizes)}"
    return Headline(
        "Did the campaign pay, for whom, and how sure can we be?", " ".join(says), tiles, facts
    )


def _by_arm(data: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """Return the figures of all customers of each arm."""
    rows = data[data["segment_by"] == ""].to_dict("records")
    return {row["arm"]: row for row in rows}


def _arms_told(
    arms: Mapping[str, Mapping[Any, Any]],
    about: Mapping[Any, Any],
    paid: Mapping[str, Mapping[Any, Any]],
) -> Iterator[str]:
    """Return a sentence an arm: whether it paid, and what it did."""
    money = [
        row[name]
        for row in paid.values()
        for name in ("net_profit", "net_profit_low", "net_profit_high")
    ]
    for arm, did in zip(arms, changes(list(arms.values()), about, full=False), strict=True):
        who = "The campaign" if len(arms) == 1 else arm
        if paid:
            did = f"{_paid(paid[arm], about['level'], money)}; it {did}"
        yield f"{who} {did}."
    if not about["randomised"]:
        yield "Nobody drew lots, so that holds only under the assumption named further down."


def _paid(row: Mapping[Any, Any], level: float, money: Sequence[float]) -> str:
    """Return whether an arm paid, and its net profit in the decimals of ``money``."""
    words = {1: "paid", -1: "lost money", 0: "neither clearly paid nor clearly lost money"}
    side = side_of(row["net_profit_low"], row["net_profit_high"])
    return f"{words[side]}: net profit {bounded(row, 'net_profit', level, among=money)}"


def _whom_told(effects: pd.DataFrame) -> Iterator[str]:
    """Return between which segments the effect differs."""
    tests = [test for test in effects.attrs["tests"] if np.isfinite(test["p_adjusted"])]
    clear = [test for test in tests if test["p_adjusted"] < 1 - effects.attrs["level"]]
    several = len(set(effects["arm"])) > 1
    parts = []
    for test in clear:
        mine = effects[
            (effects["arm"] == test["arm"]) & (effects["segment_by"] == test["segment_by"])
        ]
        most = mine.nlargest(1, "effect")["segment"].iloc[0]
        of = f" with {test['arm']}" if several else ""
        parts.append(f"{test['segment_by']}{of} (largest: {most})")
    if parts:
        yield f"Effects differ clearly by {joined(parts)}."
    elif tests:
        yield "Effects do not differ clearly between segments."


def _effect_tile(
    row: Mapping[Any, Any], about: Mapping[Any, Any], truth: Mapping[str, float] | None
) -> Tile:
    """Return the tile of an effect, beside the truth where it is known."""
    outcome, unit = about["outcome"], about["unit"]
    true = [] if truth is None or outcome not in truth else [truth[outcome]]
    # Together, so that they have one number of decimals.
    effect, low, high, *known = amounts(
        [row["effect"], row["ci_low"], row["ci_high"], *true], unit, signed=True
    )
    bounds = f"{100 * about['level']:g}%: {low} to {high}"
    if np.isnan(row["ci_low"]):
        bounds = _NO_INTERVAL
    if known:
        beside = f"the truth: {known[0]}"
    elif about["method"] == "before_after":
        beside = "no effect: nobody was held out"
    else:
        change = "change " if about["method"] == "did" else ""
        mean = amounts([row["mean_control"]], unit)[0]
        beside = f"{change}without contact: {mean}{SHARE if unit == SHARE else ''}"
    kind = "Change of" if about["method"] == "before_after" else "Effect on"
    told = f" ({unit_words(unit).strip()})" if unit else ""
    return Tile(f"{kind} {outcome}{told}: {row['arm']}", effect, bounds, beside)


def _profit_tile(row: Mapping[Any, Any], level: float) -> Tile:
    """Return the tile of a net profit."""
    spent = row["contact_cost"] + row["discount_cost"] + row["fixed_cost"]
    return Tile(
        f"Net profit: {row['arm']}",
        f"{row['net_profit']:,.0f}",
        _NO_INTERVAL
        if np.isnan(row["net_profit_low"])
        else f"{100 * level:g}%: {row['net_profit_low']:,.0f} to {row['net_profit_high']:,.0f}",
        f"margin {row['margin']:,.0f}, costs {spent:,.0f}",
    )


def _chance_tile(row: Mapping[Any, Any]) -> Tile:
    """Return the tile of the probability that the only arm paid, which is never certain."""
    chance = row["probability_of_profit"]
    value = "unknown" if np.isnan(chance) else f"{chance:.0%}"
    if chance < 0.005 or chance > 0.995:
        value = "below 1%" if chance < 0.5 else "above 99%"
    even = f"breaks even at an effect of {row['break_even_effect']:,.3g} a customer"
    if np.isinf(row["break_even_effect"]):
        even = "no effect would pay for the discount"
    return Tile("Probability that it paid", value, "", even)


def _method(found: CampaignEvaluation) -> str:
    """Return the method in words."""
    words = {
        "difference": "difference of means",
        "cuped": "difference of means, less what covariates explain (CUPED)",
        "lin": "regression on covariates in each arm (Lin)",
        "stratified": "difference of means by strata",
        "aipw": "augmented inverse probability weighting",
        "did": "difference of the changes since before",
        "before_after": "change since before, no effect",
    }[found.method]
    return words if found.randomised else f"{words}; nobody drew lots"
