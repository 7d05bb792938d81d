"""Figures: each has a ``*_data`` twin with its numbers and a ``*_verdict`` with its sentence."""

from touchpoint_lib.charts.metrics import (
    forecast_by_decile,
    forecast_by_decile_data,
    forecast_by_decile_verdict,
    rates_at,
    rates_curves,
    rates_curves_data,
    rates_curves_verdict,
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

__all__ = [
    "forecast_by_decile",
    "forecast_by_decile_data",
    "forecast_by_decile_verdict",
    "rates_at",
    "rates_curves",
    "rates_curves_data",
    "rates_curves_verdict",
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
    "value_shares",
    "value_shares_data",
    "value_shares_verdict",
]
