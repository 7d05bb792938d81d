"""Notebook to one offline HTML file, and the command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from touchpoint_lib.report._provenance import provenance as provenance
    from touchpoint_lib.report.campaign import best_arm as best_arm
    from touchpoint_lib.report.campaign import best_rule as best_rule
    from touchpoint_lib.report.campaign import flagged as flagged
    from touchpoint_lib.report.campaign import method_table as method_table
    from touchpoint_lib.report.campaign import next_plan as next_plan
    from touchpoint_lib.report.campaign import outcome_unit as outcome_unit
    from touchpoint_lib.report.campaign import read_experiment as read_experiment
    from touchpoint_lib.report.campaign import target_profile as target_profile
    from touchpoint_lib.report.campaign_head import campaign_headline as campaign_headline
    from touchpoint_lib.report.campaign_shop import shop_claims as shop_claims
    from touchpoint_lib.report.campaign_shop import shop_effect as shop_effect
    from touchpoint_lib.report.campaign_shop import shop_experiment as shop_experiment
    from touchpoint_lib.report.churn import RFM_COLUMNS as RFM_COLUMNS
    from touchpoint_lib.report.churn import churn_tile as churn_tile
    from touchpoint_lib.report.churn import gain_verdict as gain_verdict
    from touchpoint_lib.report.churn import leak_cost_data as leak_cost_data
    from touchpoint_lib.report.churn import leak_verdict as leak_verdict
    from touchpoint_lib.report.churn import reach_caution as reach_caution
    from touchpoint_lib.report.churn import reach_verdict as reach_verdict
    from touchpoint_lib.report.churn import thresholds_data as thresholds_data
    from touchpoint_lib.report.churn import thresholds_verdict as thresholds_verdict
    from touchpoint_lib.report.churn import too_few_verdict as too_few_verdict
    from touchpoint_lib.report.headline import Headline as Headline
    from touchpoint_lib.report.headline import Tile as Tile
    from touchpoint_lib.report.headline import Verdict as Verdict
    from touchpoint_lib.report.holdout import holdout_value_data as holdout_value_data
    from touchpoint_lib.report.holdout import holdout_value_verdict as holdout_value_verdict
    from touchpoint_lib.report.holdout import residual_value_data as residual_value_data
    from touchpoint_lib.report.holdout import residual_value_verdict as residual_value_verdict
    from touchpoint_lib.report.lifetime import choice_verdict as choice_verdict
    from touchpoint_lib.report.lifetime import lifetime_headline as lifetime_headline
    from touchpoint_lib.report.lifetime import promise_data as promise_data
    from touchpoint_lib.report.lifetime import promise_verdict as promise_verdict
    from touchpoint_lib.report.lifetime import regularity_verdict as regularity_verdict
    from touchpoint_lib.report.lifetime import whole as whole
    from touchpoint_lib.report.segmentation import segmentation_headline as segmentation_headline
    from touchpoint_lib.report.timing import best_policy as best_policy
    from touchpoint_lib.report.timing import parcel_chance as parcel_chance
    from touchpoint_lib.report.timing import parcel_truth_data as parcel_truth_data
    from touchpoint_lib.report.timing import parcel_truth_verdict as parcel_truth_verdict
    from touchpoint_lib.report.timing import payment_chance as payment_chance
    from touchpoint_lib.report.timing import payment_truth_data as payment_truth_data
    from touchpoint_lib.report.timing import payment_truth_verdict as payment_truth_verdict
    from touchpoint_lib.report.timing import timing_headline as timing_headline
    from touchpoint_lib.report.touchpoints import read_touchpoints as read_touchpoints
    from touchpoint_lib.report.touchpoints import shop_matrix_truth as shop_matrix_truth
    from touchpoint_lib.report.touchpoints import shop_touchpoints as shop_touchpoints
    from touchpoint_lib.report.touchpoints import touchpoints_headline as touchpoints_headline

# Loaded on first use: the command line must not wait for plotly.
_HOME = {
    "Headline": "headline",
    "RFM_COLUMNS": "churn",
    "Tile": "headline",
    "Verdict": "headline",
    "best_arm": "campaign",
    "best_policy": "timing",
    "best_rule": "campaign",
    "campaign_headline": "campaign_head",
    "choice_verdict": "lifetime",
    "churn_tile": "churn",
    "flagged": "campaign",
    "gain_verdict": "churn",
    "holdout_value_data": "holdout",
    "holdout_value_verdict": "holdout",
    "leak_cost_data": "churn",
    "leak_verdict": "churn",
    "lifetime_headline": "lifetime",
    "method_table": "campaign",
    "next_plan": "campaign",
    "outcome_unit": "campaign",
    "parcel_chance": "timing",
    "parcel_truth_data": "timing",
    "parcel_truth_verdict": "timing",
    "payment_chance": "timing",
    "payment_truth_data": "timing",
    "payment_truth_verdict": "timing",
    "promise_data": "lifetime",
    "promise_verdict": "lifetime",
    "provenance": "_provenance",
    "reach_caution": "churn",
    "reach_verdict": "churn",
    "read_experiment": "campaign",
    "read_touchpoints": "touchpoints",
    "regularity_verdict": "lifetime",
    "residual_value_data": "holdout",
    "residual_value_verdict": "holdout",
    "segmentation_headline": "segmentation",
    "shop_claims": "campaign_shop",
    "shop_effect": "campaign_shop",
    "shop_experiment": "campaign_shop",
    "shop_matrix_truth": "touchpoints",
    "shop_touchpoints": "touchpoints",
    "target_profile": "campaign",
    "thresholds_data": "churn",
    "thresholds_verdict": "churn",
    "timing_headline": "timing",
    "too_few_verdict": "churn",
    "touchpoints_headline": "touchpoints",
    "whole": "lifetime",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
