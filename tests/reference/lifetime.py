"""Published figures of the lifetime models. Times are in weeks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd

#: CDNOW sample, 2,357 customers, calibration to 1997-09-30, as summarised by the lifetimes package
#: (rounded to two decimals): parameters, standard errors, log-likelihood.
BG_NBD = {
    # Fader, Hardie & Lee (2005), table 2: .243 4.414 .793 2.426, log-likelihood -9582.4.
    "params": [0.242593, 4.413532, 0.792886, 2.425753],
    "standard_errors": [0.0126, 0.3782, 0.1857, 0.7053],
    "log_likelihood": -9582.4256,
}
MBG_NBD = {
    # BTYDplus vignette: .525 6.183 .891 1.614.
    "params": [0.524838, 6.182992, 0.891356, 1.613999],
    "standard_errors": [0.0833, 0.6956, 0.1548, 0.5375],
    "log_likelihood": -9582.1327,
}
GAMMA_GAMMA = {
    # Fader & Hardie (2013): 6.25 3.74 15.44; 946 repeat buyers.
    "params": [6.2488, 3.7446, 15.4477],
    "standard_errors": [1.190, 0.290, 4.160],
    "log_likelihood": -4055.923,
}

#: Forecast totals over 39 weeks, and the mean absolute error a customer.
FORECAST = {"BetaGeoModel": (1653.4, 0.7855), "ModifiedBetaGeoModel": (1576.7, 0.7648)}

#: Expected repeat purchases of a new customer under BG/NBD, by week (R package BTYD, vignette).
NEW_CUSTOMER = {0.1429: 0.0078, 1: 0.0532, 3: 0.1506, 31.8571: 1.0405, 32: 1.0437, 78: 1.8580}

#: Cumulative repeat purchases of the CDNOW sample in weeks 20, 21 and 22 (R package BTYD):
#: actual, and expected under BG/NBD.
TRACKING = {20: (1359, 1309), 21: (1414, 1385), 22: (1484, 1460)}


def cdnow_summary() -> pd.DataFrame:
    """Return the rounded summary of the CDNOW sample that the lifetimes package ships."""
    # By path: importing the package warns under pandas 3.
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "datasets"
    frame = pd.read_csv(folder / "cdnow_customers_summary_with_transactions.csv", index_col="ID")
    frame.columns = ["frequency", "recency", "T", "monetary_value"]
    frame.attrs["unit"] = "W"
    return frame
