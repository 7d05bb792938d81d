"""Figures: each has a ``*_data`` twin with its numbers and a ``*_verdict`` with its sentence."""

from touchpoint_lib.charts.alive import (
    alive_map,
    alive_map_data,
    alive_map_verdict,
    alive_path,
    alive_path_data,
    alive_path_verdict,
)
from touchpoint_lib.charts.calendar import (
    contact_load,
    contact_load_data,
    contact_load_verdict,
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
from touchpoint_lib.charts.differences import (
    heterogeneity,
    heterogeneity_data,
    heterogeneity_verdict,
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
from touchpoint_lib.charts.tracking import (
    tracking,
    tracking_data,
    tracking_verdict,
)

__all__ = [
    "alive_map",
    "alive_map_data",
    "alive_map_verdict",
    "alive_path",
    "alive_path_data",
    "alive_path_verdict",
    "comparison_chart",
    "comparison_chart_data",
    "comparison_chart_verdict",
    "conditional_expectation",
    "conditional_expectation_data",
    "conditional_expectation_verdict",
    "contact_load",
    "contact_load_data",
    "contact_load_verdict",
    "decile_plot",
    "decile_plot_data",
    "decile_plot_verdict",
    "delay_rates",
    "delay_rates_data",
    "delay_rates_verdict",
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
    "rates_at",
    "rates_curves",
    "rates_curves_data",
    "rates_curves_verdict",
    "reminder_curves",
    "reminder_curves_data",
    "reminder_curves_verdict",
    "rfm_map",
    "rfm_map_data",
    "rfm_map_verdict",
    "sleep_lines_data",
    "sleep_lines_verdict",
    "sleep_returns",
    "sleep_returns_data",
    "sleep_returns_verdict",
    "sleep_slider",
    "sleep_slider_data",
    "sleep_slider_verdict",
    "timing_frontier",
    "timing_frontier_data",
    "timing_frontier_verdict",
    "tracking",
    "tracking_data",
    "tracking_verdict",
    "value_shares",
    "value_shares_data",
    "value_shares_verdict",
]
