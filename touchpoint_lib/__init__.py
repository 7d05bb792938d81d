"""Customer lifetime, churn, timing and campaigns, judged by error rate and omission rate.

The public names are listed here and nowhere else. Each is loaded on first use, so that
``import touchpoint_lib`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from touchpoint_lib._version import __version__

if TYPE_CHECKING:
    from touchpoint_lib._checks import InputError as InputError
    from touchpoint_lib.campaigns._propensity import OverlapError as OverlapError
    from touchpoint_lib.campaigns.cumulative import cumulative_effect as cumulative_effect
    from touchpoint_lib.campaigns.effects import evaluate_campaign as evaluate_campaign
    from touchpoint_lib.campaigns.money import CampaignCosts as CampaignCosts
    from touchpoint_lib.campaigns.outcomes import contact_outcomes as contact_outcomes
    from touchpoint_lib.campaigns.overlap import CampaignOverlap as CampaignOverlap
    from touchpoint_lib.campaigns.overlap import campaign_overlap as campaign_overlap
    from touchpoint_lib.campaigns.panel import EventStudy as EventStudy
    from touchpoint_lib.campaigns.panel import event_study as event_study
    from touchpoint_lib.campaigns.planning import CampaignPlan as CampaignPlan
    from touchpoint_lib.campaigns.planning import plan_campaign as plan_campaign
    from touchpoint_lib.campaigns.result import CampaignEvaluation as CampaignEvaluation
    from touchpoint_lib.campaigns.sequence import confidence_sequence as confidence_sequence
    from touchpoint_lib.campaigns.targeting import TargetingRates as TargetingRates
    from touchpoint_lib.campaigns.targeting import targeting_rates as targeting_rates
    from touchpoint_lib.campaigns.uplift import UpliftEvaluation as UpliftEvaluation
    from touchpoint_lib.campaigns.uplift import evaluate_uplift as evaluate_uplift
    from touchpoint_lib.campaigns.uplift import uplift_scores as uplift_scores
    from touchpoint_lib.churn.contract.cox import CoxModel as CoxModel
    from touchpoint_lib.churn.contract.survival_curve import kaplan_meier as kaplan_meier
    from touchpoint_lib.churn.contract.survival_curve import retention_at as retention_at
    from touchpoint_lib.churn.indicators import behaviour_indicators as behaviour_indicators
    from touchpoint_lib.churn.indicators import indicator_dictionary as indicator_dictionary
    from touchpoint_lib.churn.influence import Influence as Influence
    from touchpoint_lib.churn.influence import indicator_deciles as indicator_deciles
    from touchpoint_lib.churn.influence import influence as influence
    from touchpoint_lib.churn.leakage import screen_leakage as screen_leakage
    from touchpoint_lib.churn.model import ChurnModel as ChurnModel
    from touchpoint_lib.churn.panel import indicator_panel as indicator_panel
    from touchpoint_lib.data.base import CustomerBase as CustomerBase
    from touchpoint_lib.data.base import CustomerPredictions as CustomerPredictions
    from touchpoint_lib.data.contacts import ContactReport as ContactReport
    from touchpoint_lib.data.contacts import check_contacts as check_contacts
    from touchpoint_lib.data.contacts import contact_log as contact_log
    from touchpoint_lib.data.datasets import fetch_hillstrom as fetch_hillstrom
    from touchpoint_lib.data.datasets import load_cdnow as load_cdnow
    from touchpoint_lib.data.datasets import load_donations as load_donations
    from touchpoint_lib.data.datasets import load_subscriptions as load_subscriptions
    from touchpoint_lib.data.orders import order_log as order_log
    from touchpoint_lib.data.quality import DataReport as DataReport
    from touchpoint_lib.data.transactions import check_transactions as check_transactions
    from touchpoint_lib.data.transactions import customer_base as customer_base
    from touchpoint_lib.data.transactions import rfm_split as rfm_split
    from touchpoint_lib.data.transactions import rfm_summary as rfm_summary
    from touchpoint_lib.data.visits import purchase_days as purchase_days
    from touchpoint_lib.lifetime._estimates import ConvergenceWarning as ConvergenceWarning
    from touchpoint_lib.lifetime.beta_binomial import BetaGeoBetaBinomModel as BetaGeoBetaBinomModel
    from touchpoint_lib.lifetime.beta_geo import BetaGeoModel as BetaGeoModel
    from touchpoint_lib.lifetime.beta_geo import ModifiedBetaGeoModel as ModifiedBetaGeoModel
    from touchpoint_lib.lifetime.comparison import compare_models as compare_models
    from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel as ParetoNBDModel
    from touchpoint_lib.lifetime.spend import GammaGammaModel as GammaGammaModel
    from touchpoint_lib.lifetime.spend import InfiniteMeanWarning as InfiniteMeanWarning
    from touchpoint_lib.lifetime.spend import SpendCorrelationWarning as SpendCorrelationWarning
    from touchpoint_lib.lifetime.spend import customer_lifetime_value as customer_lifetime_value
    from touchpoint_lib.lifetime.storage import from_lifetimes as from_lifetimes
    from touchpoint_lib.lifetime.storage import load_model as load_model
    from touchpoint_lib.lifetime.subscription import (
        BetaDiscreteWeibullModel as BetaDiscreteWeibullModel,
    )
    from touchpoint_lib.lifetime.subscription import ShiftedBetaGeoModel as ShiftedBetaGeoModel
    from touchpoint_lib.metrics._shared import HoldoutTooSmallError as HoldoutTooSmallError
    from touchpoint_lib.metrics.calibration import calibration_slope as calibration_slope
    from touchpoint_lib.metrics.calibration import calibration_table as calibration_table
    from touchpoint_lib.metrics.calibration import expected_rates as expected_rates
    from touchpoint_lib.metrics.paired import compare_predictions as compare_predictions
    from touchpoint_lib.metrics.ranking import auc as auc
    from touchpoint_lib.metrics.rates import error_rate as error_rate
    from touchpoint_lib.metrics.rates import omission_rate as omission_rate
    from touchpoint_lib.metrics.rates import prediction_rates as prediction_rates
    from touchpoint_lib.metrics.thresholds import choose_threshold as choose_threshold
    from touchpoint_lib.metrics.thresholds import rates_curve as rates_curve
    from touchpoint_lib.segments import purchase_classes as purchase_classes
    from touchpoint_lib.segments import rfm_scores as rfm_scores
    from touchpoint_lib.segments import segment_outcomes as segment_outcomes
    from touchpoint_lib.segments import sleep_states as sleep_states
    from touchpoint_lib.segments import value_segments as value_segments
    from touchpoint_lib.simulate.bundled import load_shop as load_shop
    from touchpoint_lib.simulate.contacts import ShopCampaign as ShopCampaign
    from touchpoint_lib.simulate.contacts import ShopChannel as ShopChannel
    from touchpoint_lib.simulate.contacts import ShopContacts as ShopContacts
    from touchpoint_lib.simulate.contacts import ShopVisits as ShopVisits
    from touchpoint_lib.simulate.dirt import ShopDirt as ShopDirt
    from touchpoint_lib.simulate.parcels import ShopCarrier as ShopCarrier
    from touchpoint_lib.simulate.parcels import ShopDelay as ShopDelay
    from touchpoint_lib.simulate.parcels import ShopParcels as ShopParcels
    from touchpoint_lib.simulate.payments import ShopPayments as ShopPayments
    from touchpoint_lib.simulate.reviews import ShopReviews as ShopReviews
    from touchpoint_lib.simulate.settings import ShopArrivals as ShopArrivals
    from touchpoint_lib.simulate.settings import ShopDiscounts as ShopDiscounts
    from touchpoint_lib.simulate.settings import ShopGoods as ShopGoods
    from touchpoint_lib.simulate.settings import ShopProduct as ShopProduct
    from touchpoint_lib.simulate.settings import ShopPromotion as ShopPromotion
    from touchpoint_lib.simulate.settings import ShopProvince as ShopProvince
    from touchpoint_lib.simulate.settings import ShopSeasons as ShopSeasons
    from touchpoint_lib.simulate.settings import ShopSegment as ShopSegment
    from touchpoint_lib.simulate.shop import Shop as Shop
    from touchpoint_lib.simulate.shop import simulate_shop as simulate_shop
    from touchpoint_lib.simulate.truth import ShopTruth as ShopTruth
    from touchpoint_lib.timing.backtest import TimingBacktest as TimingBacktest
    from touchpoint_lib.timing.backtest import backtest_timing as backtest_timing
    from touchpoint_lib.timing.calendar import contact_calendar as contact_calendar
    from touchpoint_lib.timing.money import ContactMoney as ContactMoney
    from touchpoint_lib.timing.own_return import OwnReturnFrequency as OwnReturnFrequency
    from touchpoint_lib.timing.parcels import LateParcels as LateParcels
    from touchpoint_lib.timing.parcels import late_parcels as late_parcels
    from touchpoint_lib.timing.payments import PaymentReminder as PaymentReminder
    from touchpoint_lib.timing.payments import payment_reminder as payment_reminder
    from touchpoint_lib.timing.policies import FixedDays as FixedDays
    from touchpoint_lib.timing.policies import MoneyRule as MoneyRule
    from touchpoint_lib.timing.policies import OwnGapQuantile as OwnGapQuantile
    from touchpoint_lib.timing.policies import OwnMeanGap as OwnMeanGap
    from touchpoint_lib.timing.policies import OwnReturn as OwnReturn
    from touchpoint_lib.timing.policies import ShrunkenQuantile as ShrunkenQuantile
    from touchpoint_lib.timing.programme import ContactProgramme as ContactProgramme
    from touchpoint_lib.timing.spells import purchase_spells as purchase_spells
    from touchpoint_lib.timing.spells import timing_windows as timing_windows
    from touchpoint_lib.touchpoints.attribution import attribution_credit as attribution_credit
    from touchpoint_lib.touchpoints.attribution import credit_of_paths as credit_of_paths
    from touchpoint_lib.touchpoints.care import ParcelCare as ParcelCare
    from touchpoint_lib.touchpoints.care import parcel_care as parcel_care
    from touchpoint_lib.touchpoints.complaints import ComplaintFlags as ComplaintFlags
    from touchpoint_lib.touchpoints.complaints import complaint_flags as complaint_flags
    from touchpoint_lib.touchpoints.demand import demand_index as demand_index
    from touchpoint_lib.touchpoints.flows import flow_difference as flow_difference
    from touchpoint_lib.touchpoints.flows import stage_flows as stage_flows
    from touchpoint_lib.touchpoints.matrix import TouchpointMatrix as TouchpointMatrix
    from touchpoint_lib.touchpoints.matrix import touchpoint_matrix as touchpoint_matrix
    from touchpoint_lib.touchpoints.paths import contact_paths as contact_paths
    from touchpoint_lib.touchpoints.pressure import ContactPressure as ContactPressure
    from touchpoint_lib.touchpoints.pressure import contact_pressure as contact_pressure
    from touchpoint_lib.touchpoints.promotion import PromotionEffect as PromotionEffect
    from touchpoint_lib.touchpoints.promotion import promotion_dependence as promotion_dependence
    from touchpoint_lib.touchpoints.promotion import promotion_effect as promotion_effect
    from touchpoint_lib.touchpoints.pull_forward import pull_forward as pull_forward
    from touchpoint_lib.touchpoints.replies import ReplyTimes as ReplyTimes
    from touchpoint_lib.touchpoints.replies import reply_times as reply_times
    from touchpoint_lib.touchpoints.reviews import ReviewFlags as ReviewFlags
    from touchpoint_lib.touchpoints.reviews import review_flags as review_flags
    from touchpoint_lib.touchpoints.roles import buyer_roles as buyer_roles
    from touchpoint_lib.touchpoints.stages import stage_at as stage_at
    from touchpoint_lib.touchpoints.stages import stage_history as stage_history

_MODULES = {
    "_checks": ["InputError"],
    "campaigns._propensity": ["OverlapError"],
    "campaigns.cumulative": ["cumulative_effect"],
    "campaigns.effects": ["evaluate_campaign"],
    "campaigns.money": ["CampaignCosts"],
    "campaigns.outcomes": ["contact_outcomes"],
    "campaigns.overlap": ["CampaignOverlap", "campaign_overlap"],
    "campaigns.panel": ["EventStudy", "event_study"],
    "campaigns.planning": ["CampaignPlan", "plan_campaign"],
    "campaigns.result": ["CampaignEvaluation"],
    "campaigns.sequence": ["confidence_sequence"],
    "campaigns.targeting": ["TargetingRates", "targeting_rates"],
    "campaigns.uplift": ["UpliftEvaluation", "evaluate_uplift", "uplift_scores"],
    "churn.contract.cox": ["CoxModel"],
    "churn.contract.survival_curve": ["kaplan_meier", "retention_at"],
    "churn.indicators": ["behaviour_indicators", "indicator_dictionary"],
    "churn.influence": ["Influence", "indicator_deciles", "influence"],
    "churn.leakage": ["screen_leakage"],
    "churn.model": ["ChurnModel"],
    "churn.panel": ["indicator_panel"],
    "data.base": ["CustomerBase", "CustomerPredictions"],
    "data.contacts": ["ContactReport", "check_contacts", "contact_log"],
    "data.datasets": ["fetch_hillstrom", "load_cdnow", "load_donations", "load_subscriptions"],
    "data.orders": ["order_log"],
    "data.quality": ["DataReport"],
    "data.transactions": ["check_transactions", "customer_base", "rfm_split", "rfm_summary"],
    "data.visits": ["purchase_days"],
    "lifetime._estimates": ["ConvergenceWarning"],
    "lifetime.beta_binomial": ["BetaGeoBetaBinomModel"],
    "lifetime.beta_geo": ["BetaGeoModel", "ModifiedBetaGeoModel"],
    "lifetime.comparison": ["compare_models"],
    "lifetime.pareto_nbd": ["ParetoNBDModel"],
    "lifetime.spend": [
        "GammaGammaModel",
        "InfiniteMeanWarning",
        "SpendCorrelationWarning",
        "customer_lifetime_value",
    ],
    "lifetime.storage": ["from_lifetimes", "load_model"],
    "lifetime.subscription": ["BetaDiscreteWeibullModel", "ShiftedBetaGeoModel"],
    "metrics._shared": ["HoldoutTooSmallError"],
    "metrics.calibration": ["calibration_slope", "calibration_table", "expected_rates"],
    "metrics.paired": ["compare_predictions"],
    "metrics.ranking": ["auc"],
    "metrics.rates": ["error_rate", "omission_rate", "prediction_rates"],
    "metrics.thresholds": ["choose_threshold", "rates_curve"],
    "segments": [
        "purchase_classes",
        "rfm_scores",
        "segment_outcomes",
        "sleep_states",
        "value_segments",
    ],
    "simulate.bundled": ["load_shop"],
    "simulate.contacts": ["ShopCampaign", "ShopChannel", "ShopContacts", "ShopVisits"],
    "simulate.dirt": ["ShopDirt"],
    "simulate.parcels": ["ShopCarrier", "ShopDelay", "ShopParcels"],
    "simulate.payments": ["ShopPayments"],
    "simulate.reviews": ["ShopReviews"],
    "simulate.settings": [
        "ShopArrivals",
        "ShopDiscounts",
        "ShopGoods",
        "ShopProduct",
        "ShopPromotion",
        "ShopProvince",
        "ShopSeasons",
        "ShopSegment",
    ],
    "simulate.shop": ["Shop", "simulate_shop"],
    "simulate.truth": ["ShopTruth"],
    "timing.backtest": ["TimingBacktest", "backtest_timing"],
    "timing.calendar": ["contact_calendar"],
    "timing.money": ["ContactMoney"],
    "timing.own_return": ["OwnReturnFrequency"],
    "timing.parcels": ["LateParcels", "late_parcels"],
    "timing.payments": ["PaymentReminder", "payment_reminder"],
    "timing.policies": [
        "FixedDays",
        "MoneyRule",
        "OwnGapQuantile",
        "OwnMeanGap",
        "OwnReturn",
        "ShrunkenQuantile",
    ],
    "timing.programme": ["ContactProgramme"],
    "timing.spells": ["purchase_spells", "timing_windows"],
    "touchpoints.attribution": ["attribution_credit", "credit_of_paths"],
    "touchpoints.care": ["ParcelCare", "parcel_care"],
    "touchpoints.complaints": ["ComplaintFlags", "complaint_flags"],
    "touchpoints.demand": ["demand_index"],
    "touchpoints.flows": ["flow_difference", "stage_flows"],
    "touchpoints.matrix": ["TouchpointMatrix", "touchpoint_matrix"],
    "touchpoints.paths": ["contact_paths"],
    "touchpoints.pressure": ["ContactPressure", "contact_pressure"],
    "touchpoints.promotion": ["PromotionEffect", "promotion_dependence", "promotion_effect"],
    "touchpoints.pull_forward": ["pull_forward"],
    "touchpoints.replies": ["ReplyTimes", "reply_times"],
    "touchpoints.reviews": ["ReviewFlags", "review_flags"],
    "touchpoints.roles": ["buyer_roles"],
    "touchpoints.stages": ["stage_at", "stage_history"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
