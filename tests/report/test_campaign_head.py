"""The head of the campaign report: its verdict, its tiles and what it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.report.campaign_samples import drawn, evaluated
from touchpoint_lib import InputError, charts, report
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.report.headline import Headline

HOSTILE = "<script>alert(1)</script> & {0}"
COSTS = tp.CampaignCosts(margin=0.5, contact=0.1)


def head_of(found: CampaignEvaluation, **arguments: Any) -> Headline:
    return report.campaign_headline(found, "test.csv", units={}, **arguments)


def tiles(head: Headline) -> dict[str, tuple[str, str, str]]:
    return {tile.label: (tile.value, tile.interval, tile.compared_with) for tile in head.tiles}


def test_the_head_of_one_arm_with_money() -> None:
    data = drawn({"none": 0, HOSTILE: 1.0})
    found = evaluated(data, costs=COSTS, window=60, cycle=90)
    head = head_of(found, money="spend")
    row = found.table.iloc[0]
    assert head.question == "Did the campaign pay, for whom, and how sure can we be?"
    assert head.verdict == (
        f"The campaign paid: net profit {row['net_profit']:.0f} (95%: {row['net_profit_low']:.0f} "
        f"to {row['net_profit_high']:.0f}); it raised spend by {row['effect']:.2f} "
        f"(95%: {row['ci_low']:.2f} to {row['ci_high']:.2f}), from {row['mean_control']:.1f} to "
        f"{row['mean_treated']:.1f}. The window is shorter than a repurchase cycle: purchases that "
        "were merely pulled forward count as gained."
    )
    assert tiles(head) == {
        f"Effect on spend: {HOSTILE}": (
            f"{row['effect']:+.2f}",
            f"95%: {row['ci_low']:+.2f} to {row['ci_high']:+.2f}",
            f"without contact: {row['mean_control']:.1f}",
        ),
        f"Net profit: {HOSTILE}": (
            f"{row['net_profit']:.0f}",
            f"95%: {row['net_profit_low']:.0f} to {row['net_profit_high']:.0f}",
            f"margin {row['margin']:.0f}, costs 40",
        ),
        "Probability that it paid": (
            "above 99%", "", "breaks even at an effect of 0.2 a customer",
        ),
    }  # fmt: skip
    assert head.provenance == {
        "Source": "test.csv",
        "Rows": f"800 (none: 400, {HOSTILE}: 400)",
        "Method": "difference of means",
        "Window": "60 days (one repurchase cycle: 90)",
        "Sizes of the arms": "sample-ratio test p 1.00",
    }
    assert "<script" not in head._repr_html_()


def test_a_campaign_that_is_not_clear_and_one_that_lost() -> None:
    data = drawn({"none": 0, "sms": 0.2})
    unclear = head_of(evaluated(data, costs=COSTS, window=60, cycle=60), money="spend")
    assert unclear.verdict.startswith(
        "The campaign neither clearly paid nor clearly lost money: net profit "
    )
    assert "; it did not clearly change spend: +0." in unclear.verdict
    assert 0.02 < float(tiles(unclear)["Probability that it paid"][0].strip("%")) / 100 < 0.98
    assert unclear.provenance["Window"] == "60 days (one repurchase cycle: 60)"
    assert "pulled forward" not in unclear.verdict
    found = evaluated(drawn({"none": 0, "sms": -1.0}), costs=COSTS, window=60)
    row = found.table.iloc[0]
    lost = head_of(found, money="spend")
    assert lost.verdict.startswith("The campaign lost money: net profit -")
    assert (
        f"it lowered spend by {-row['effect']:.2f} (95%: {-row['ci_high']:.2f} to "
        f"{-row['ci_low']:.2f}), from {row['mean_control']:.1f} to {row['mean_treated']:.1f}."
    ) in lost.verdict
    assert tiles(lost)["Probability that it paid"][0] == "below 1%"
    assert lost.provenance["Window"] == "60 days"


def test_every_arm_has_a_sentence_and_two_have_tiles() -> None:
    found = evaluated(drawn({"none": 0, "sms": 2, "mail": 1}), costs=COSTS)
    head = head_of(found, money="spend")
    says = head.verdict.split(". ")
    assert [one.split(":")[0] for one in says] == ["mail paid", "sms paid"]
    assert list(tiles(head)) == [
        "Effect on spend: mail", "Effect on spend: sms", "Net profit: mail", "Net profit: sms",
    ]  # fmt: skip


def test_all_arms_are_told_with_one_number_of_decimals() -> None:
    data = drawn({"none": 0, "sms": 12, "mail": 1})
    found = evaluated(data, costs=COSTS)
    mail, sms = (
        f"{row['arm']} paid: net profit {row['net_profit']:,.0f} (95%: {row['net_profit_low']:,.0f}"
        f" to {row['net_profit_high']:,.0f}); it raised spend by {row['effect']:.1f} (95%: "
        f"{row['ci_low']:.1f} to {row['ci_high']:.1f}), from {row['mean_control']:.1f} to "
        f"{row['mean_treated']:.1f}."
        for row in found.table.to_dict("records")
    )
    assert head_of(found, money="spend").verdict == f"{mail} {sms}"


def test_of_three_arms_the_best_has_tiles() -> None:
    data = drawn({"none": 0, "sms": 2, "mail": 1, "call": -1})
    head = head_of(evaluated(data, costs=COSTS), money="spend")
    says = head.verdict.split(". ")
    assert [one.split(":")[0] for one in says] == ["call lost money", "mail paid", "sms paid"]
    assert list(tiles(head)) == ["Effect on spend: sms", "Net profit: sms"]
    plain = head_of(evaluated(data))
    assert list(tiles(plain)) == ["Effect on spend: sms"]
    assert plain.verdict.startswith("call lowered spend by ")
    assert "paid" not in plain.verdict


def test_shares_are_told_in_percentage_points() -> None:
    data = drawn({"none": 0, "sms": 1}).assign(visit=lambda rows: rows["spend"] > 13)
    found = evaluated(data, outcomes="visit")
    row = 100 * found.table.iloc[0][["effect", "ci_low", "ci_high", "mean_control", "mean_treated"]]
    head = report.campaign_headline(found, "test.csv", units={"visit": "%"})
    assert head.verdict == (
        f"The campaign raised visit by {row['effect']:.1f} percentage points "
        f"(95%: {row['ci_low']:.1f} to {row['ci_high']:.1f}), from {row['mean_control']:.1f}% to "
        f"{row['mean_treated']:.1f}%."
    )
    assert tiles(head) == {
        "Effect on visit (percentage points): sms": (
            f"{row['effect']:+.1f}",
            f"95%: {row['ci_low']:+.1f} to {row['ci_high']:+.1f}",
            f"without contact: {row['mean_control']:.1f}%",
        )
    }
    yuan = report.campaign_headline(evaluated(data), "x", units={"spend": "yuan a customer"})
    assert next(iter(tiles(yuan))) == "Effect on spend (yuan a customer): sms"


def test_the_truth_stands_beside_the_effect_in_its_decimals() -> None:
    found = evaluated(drawn({"none": 0, "sms": 1}))
    known = tiles(head_of(found, truth={"spend": 1.0}))["Effect on spend: sms"]
    assert known[2] == "the truth: +1.00"
    other = tiles(head_of(found, truth={"orders": 1.0}))["Effect on spend: sms"]
    assert other[2].startswith("without contact: ")


def test_the_head_says_for_whom() -> None:
    data = drawn({"none": 0, "sms": 1, "mail": 1}).assign(one=1, kind="cold")
    data["kind"] = np.where(np.arange(len(data)) % 2, HOSTILE, "cold")
    alike = head_of(evaluated(data, segments=["kind"]))
    assert alike.verdict.endswith(". Effects do not differ clearly between segments.")
    # With one segment there is nothing to compare.
    assert "segments" not in head_of(evaluated(data, segments=["one"])).verdict
    warm = (data["arm"] == "sms") & (data["kind"] == HOSTILE)
    data.loc[warm, "spend"] += 1.0
    several = head_of(evaluated(data, segments=["kind", "old"]))
    assert several.verdict.endswith(
        f". Effects differ clearly by kind with sms (largest: {HOSTILE})."
    )
    single = head_of(evaluated(data[data["arm"] != "mail"], segments=["kind", "old"]))
    assert single.verdict.endswith(f". Effects differ clearly by kind (largest: {HOSTILE}).")


def test_one_clear_comparison_among_many_is_not_called_clear() -> None:
    data = drawn({"none": 0, **{f"arm {number}": 0 for number in range(5)}}, n=100)
    spend = data.groupby("arm")["spend"]
    # Of five arms one is 2.2 standard errors from the control, the others are where it is.
    error = np.sqrt(spend.var()[["none", "arm 3"]].sum() / 100)
    data["spend"] -= spend.transform("mean") - 10 - 2.2 * error * (data["arm"] == "arm 3")
    found = evaluated(data)
    row = found.table.set_index("arm", drop=False).loc["arm 3"]
    assert row["p_value"] < 0.05 < row["p_adjusted"]
    p = f"{row['p_adjusted']:.2f}".removeprefix("0")
    sentence = next(one for one in head_of(found).verdict.split(". ") if one.startswith(row["arm"]))
    assert sentence.removesuffix(".").endswith(
        f", which is not clear among 5 comparisons (adjusted p {p})"
    )


def test_an_outcome_that_does_not_vary_has_no_interval() -> None:
    data = drawn({"none": 0, "sms": 0}).assign(spend=0.0)
    costs = tp.CampaignCosts(margin=0.5, contact=0.1, discount="spend")
    head = head_of(evaluated(data, costs=costs), money="spend")
    assert head.verdict.endswith("it changed spend by 0 (no interval: the outcome does not vary).")
    assert tiles(head)["Effect on spend: sms"][1] == "no interval: the outcome does not vary"
    assert tiles(head)["Probability that it paid"][0] == "unknown"
    assert "nan" not in str(head)


def test_a_discount_that_no_effect_pays_for() -> None:
    costs = tp.CampaignCosts(margin=0.5, contact=0.1, discount=0.6)
    found = evaluated(drawn({"none": 0, "sms": 1}), costs=costs)
    head = head_of(found, money="spend")
    assert head.verdict.startswith("The campaign lost money: net profit -")
    assert tiles(head)["Probability that it paid"][2] == "no effect would pay for the discount"
    assert "inf" not in str(head)


def test_arms_of_other_sizes_than_designed_come_first() -> None:
    data = pd.concat([drawn({"none": 0}, n=300), drawn({"sms": 1}, n=500)], ignore_index=True)
    head = head_of(evaluated(data))
    assert head.verdict.startswith(
        "The arms do not have the sizes of the design (sample-ratio test, p < .001): find out who "
        "is missing before you believe what follows. The campaign raised spend by "
    )
    assert head.provenance["Sizes of the arms"] == "sample-ratio test p < .001"
    shares = {"none": 3 / 8, "sms": 5 / 8}
    assert head_of(evaluated(data, shares=shares)).verdict.startswith("The campaign raised spend")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "cuped", "covariates": ["old"]}, "less what covariates explain (CUPED)"),
        ({"method": "lin", "covariates": ["old"]}, "regression on covariates in each arm (Lin)"),
        ({"method": "stratified", "covariates": ["old"]}, "difference of means by strata"),
        ({"method": "aipw", "covariates": ["old"]}, "augmented inverse probability weighting"),
        ({"method": "did", "before": "old"}, "difference of the changes since before"),
    ],
)
def test_methods_have_words(arguments: dict[str, Any], words: str) -> None:
    head = head_of(evaluated(drawn({"none": 0, "sms": 1}), **arguments))
    assert head.provenance["Method"].endswith(words)
    assert head.verdict.startswith("The campaign raised spend by ")
    assert "Nobody drew lots" not in head.verdict
    if arguments["method"] in ("aipw", "did"):
        free = evaluated(drawn({"none": 0, "sms": 1}), **arguments, randomised=False)
        head = head_of(free)
        assert head.verdict.endswith(
            " Nobody drew lots, so that holds only under the assumption named further down."
        )
        assert head.provenance["Method"].endswith(f"{words}; nobody drew lots")
        assert "Sizes of the arms" not in head.provenance


def test_differences_of_changes_are_told_without_levels() -> None:
    found = evaluated(drawn({"none": 0, "sms": 1}), method="did", before="old")
    head = head_of(found)
    assert ", from " not in head.verdict
    said = tiles(head)["Effect on spend: sms"][2].removeprefix("change without contact: ")
    assert float(said) == pytest.approx(found.table["mean_control"].iloc[0], abs=0.006)


def test_a_change_since_before_is_called_no_effect() -> None:
    data = drawn({"sms": 1})
    found = evaluated(data, control=None, method="before_after", before="old")
    head = head_of(found)
    effects = charts.campaign_effects_data(found)
    assert head.verdict == charts.campaign_effects_verdict(effects)
    assert "That is no effect" in head.verdict
    (label, tile), *more = tiles(head).items()
    assert label == "Change of spend: sms"
    assert tile[2] == "no effect: nobody was held out"
    assert more == []
    assert head.provenance["Method"] == "change since before, no effect"


def test_money_without_costs_is_refused() -> None:
    found = evaluated(drawn({"none": 0, "sms": 1}))
    with pytest.raises(InputError, match="no money; pass costs="):
        head_of(found, money="spend")
    priced = evaluated(drawn({"none": 0, "sms": 1}), costs=COSTS)
    with pytest.raises(InputError, match="outcome is 'old'"):
        head_of(priced, money="old")
