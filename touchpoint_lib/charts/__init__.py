"""Figures: each has a ``*_data`` twin with its numbers and a ``*_verdict`` with its sentence."""

from touchpoint_lib.charts.alive import (
    alive_map,
    alive_map_data,
    alive_map_verdict,
    alive_path,
    alive_path_data,
    alive_path_verdict,
)
from touchpoint_lib.charts.attribution import (
    credit_chart,
    credit_chart_data,
    credit_chart_verdict,
)
from touchpoint_lib.charts.calendar import (
    contact_load,
    contact_load_data,
    contact_load_verdict,
)
from touchpoint_lib.charts.campaign_balance import (
    campaign_balance,
    campaign_balance_data,
    campaign_balance_verdict,
)
from touchpoint_lib.charts.campaign_claims import (
    campaign_claims,
    campaign_claims_data,
    campaign_claims_verdict,
)
from touchpoint_lib.charts.campaign_course import (
    effect_course,
    effect_course_data,
    effect_course_verdict,
    effect_looks,
    effect_looks_data,
    effect_looks_verdict,
)
from touchpoint_lib.charts.campaign_money import (
    campaign_money,
    campaign_money_data,
    campaign_money_verdict,
)
from touchpoint_lib.charts.campaigns import (
    campaign_effects,
    campaign_effects_data,
    campaign_effects_verdict,
)
from touchpoint_lib.charts.churn import (
    decile_plot,
    decile_plot_data,
    decile_plot_verdict,
    influence_chart,
    influence_chart_data,
    influence_chart_verdict,
)
from touchpoint_lib.charts.comparison import (
    comparison_chart,
    comparison_chart_data,
    comparison_chart_verdict,
)
from touchpoint_lib.charts.delay_rates import (
    delay_rates,
    delay_rates_data,
    delay_rates_verdict,
)
from touchpoint_lib.charts.delays import (
    late_curves,
    late_curves_data,
    late_curves_verdict,
    reminder_curves,
    reminder_curves_data,
    reminder_curves_verdict,
)
from touchpoint_lib.charts.demand import (
    demand_map,
    demand_map_data,
    demand_map_verdict,
)
from touchpoint_lib.charts.differences import (
    heterogeneity,
    heterogeneity_data,
    heterogeneity_verdict,
)
from touchpoint_lib.charts.experience import (
    care_chart,
    care_chart_data,
    care_chart_verdict,
)
from touchpoint_lib.charts.flows import (
    flow_shifts,
    flow_shifts_data,
    flow_shifts_verdict,
    stage_sankey,
    stage_sankey_data,
    stage_sankey_verdict,
)
from touchpoint_lib.charts.lifetime import (
    conditional_expectation,
    conditional_expectation_data,
    conditional_expectation_verdict,
    frequency_histogram,
    frequency_histogram_data,
    frequency_histogram_verdict,
)
from touchpoint_lib.charts.metrics import (
    forecast_by_decile,
    forecast_by_decile_data,
    forecast_by_decile_verdict,
    rates_at,
    rates_curves,
    rates_curves_data,
    rates_curves_verdict,
)
from touchpoint_lib.charts.own_return import (
    own_return_curves,
    own_return_curves_data,
    own_return_curves_verdict,
)
from touchpoint_lib.charts.paths import (
    path_bars,
    path_bars_data,
    path_bars_verdict,
)
from touchpoint_lib.charts.pressure import (
    pressure_curve,
    pressure_curve_data,
    pressure_curve_verdict,
)
from touchpoint_lib.charts.pressure_rates import (
    pressure_rates,
    pressure_rates_data,
    pressure_rates_verdict,
)
from touchpoint_lib.charts.promotion import (
    promotion_effects,
    promotion_effects_data,
    promotion_effects_verdict,
    promotion_shares,
    promotion_shares_data,
    promotion_shares_verdict,
)
from touchpoint_lib.charts.quadrants import (
    touchpoint_quadrants,
    touchpoint_quadrants_data,
    touchpoint_quadrants_verdict,
)
from touchpoint_lib.charts.reviews import (
    complaint_rates,
    complaint_rates_data,
    complaint_rates_verdict,
    reply_rates,
    reply_rates_data,
    reply_rates_verdict,
)
from touchpoint_lib.charts.roles import (
    role_shares,
    role_shares_data,
    role_shares_verdict,
)
from touchpoint_lib.charts.segments import (
    rfm_map,
    rfm_map_data,
    rfm_map_verdict,
    sleep_lines_data,
    sleep_lines_verdict,
    sleep_returns,
    sleep_returns_data,
    sleep_returns_verdict,
    value_shares,
    value_shares_data,
    value_shares_verdict,
)
from touchpoint_lib.charts.slider import (
    sleep_slider,
    sleep_slider_data,
    sleep_slider_verdict,
)
from touchpoint_lib.charts.timing import (
    timing_frontier,
    timing_frontier_data,
    timing_frontier_verdict,
)
from touchpoint_lib.charts.touchpoints import (
    touchpoint_cells,
    touchpoint_cells_data,
    touchpoint_cells_verdict,
    touchpoint_effects,
    touchpoint_effects_data,
    touchpoint_effects_verdict,
)
from touchpoint_lib.charts.tracking import (
    tracking,
    tracking_data,
    tracking_verdict,
)
from touchpoint_lib.charts.uplift import (
    policy_value,
    policy_value_data,
    policy_value_verdict,
    uplift_curve,
    uplift_curve_data,
    uplift_curve_verdict,
)

__all__ = [
    "alive_map",
    "alive_map_data",
    "alive_map_verdict",
    "alive_path",
    "alive_path_data",
    "alive_path_verdict",
    "campaign_balance",
    "campaign_balance_data",
    "campaign_balance_verdict",
    "campaign_claims",
    "campaign_claims_data",
    "campaign_claims_verdict",
    "campaign_effects",
    "campaign_effects_data",
    "campaign_effects_verdict",
    "campaign_money",
    "campaign_money_data",
    "campaign_money_verdict",
    "care_chart",
    "care_chart_data",
    "care_chart_verdict",
    "comparison_chart",
    "comparison_chart_data",
    "comparison_chart_verdict",
    "complaint_rates",
    "complaint_rates_data",
    "complaint_rates_verdict",
    "conditional_expectation",
    "conditional_expectation_data",
    "conditional_expectation_verdict",
    "contact_load",
    "contact_load_data",
    "contact_load_verdict",
    "credit_chart",
    "credit_chart_data",
    "credit_chart_verdict",
    "decile_plot",
    "decile_plot_data",
    "decile_plot_verdict",
    "delay_rates",
    "delay_rates_data",
    "delay_rates_verdict",
    "demand_map",
    "demand_map_data",
    "demand_map_verdict",
    "effect_course",
    "effect_course_data",
    "effect_course_verdict",
    "effect_looks",
    "effect_looks_data",
    "effect_looks_verdict",
    "flow_shifts",
    "flow_shifts_data",
    "flow_shifts_verdict",
    "forecast_by_decile",
    "forecast_by_decile_data",
    "forecast_by_decile_verdict",
    "frequency_histogram",
    "frequency_histogram_data",
    "frequency_histogram_verdict",
    "heterogeneity",
    "heterogeneity_data",
    "heterogeneity_verdict",
    "influence_chart",
    "influence_chart_data",
    "influence_chart_verdict",
    "late_curves",
    "late_curves_data",
    "late_curves_verdict",
    "own_return_curves",
    "own_return_curves_data",
    "own_return_curves_verdict",
    "path_bars",
    "path_bars_data",
    "path_bars_verdict",
    "policy_value",
    "policy_value_data",
    "policy_value_verdict",
    "pressure_curve",
    "pressure_curve_data",
    "pressure_curve_verdict",
    "pressure_rates",
    "pressure_rates_data",
    "pressure_rates_verdict",
    "promotion_effects",
    "promotion_effects_data",
    "promotion_effects_verdict",
    "promotion_shares",
    "promotion_shares_data",
    "promotion_shares_verdict",
    "rates_at",
    "rates_curves",
    "rates_curves_data",
    "rates_curves_verdict",
    "reminder_curves",
    "reminder_curves_data",
    "reminder_curves_verdict",
    "reply_rates",
    "reply_rates_data",
    "reply_rates_verdict",
    "rfm_map",
    "rfm_map_data",
    "rfm_map_verdict",
    "role_shares",
    "role_shares_data",
    "role_shares_verdict",
    "sleep_lines_data",
    "sleep_lines_verdict",
    "sleep_returns",
    "sleep_returns_data",
    "sleep_returns_verdict",
    "sleep_slider",
    "sleep_slider_data",
    "sleep_slider_verdict",
    "stage_sankey",
    "stage_sankey_data",
    "stage_sankey_verdict",
    "timing_frontier",
    "timing_frontier_data",
    "timing_frontier_verdict",
    "touchpoint_cells",
    "touchpoint_cells_data",
    "touchpoint_cells_verdict",
    "touchpoint_effects",
    "touchpoint_effects_data",
    "touchpoint_effects_verdict",
    "touchpoint_quadrants",
    "touchpoint_quadrants_data",
    "touchpoint_quadrants_verdict",
    "tracking",
    "tracking_data",
    "tracking_verdict",
    "uplift_curve",
    "uplift_curve_data",
    "uplift_curve_verdict",
    "value_shares",
    "value_shares_data",
    "value_shares_verdict",
]
