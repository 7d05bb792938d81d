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
PARETO_NBD = {
    # Fader, Hardie & Lee (2005), table 2: .553 10.578 .606 11.669, log-likelihood -9595.0.
    # CLVTools (R): .55315 10.57633 .60625 11.67150, errors .0476 .8427 .1873 6.2105, -9594.976.
    "params": [0.553276, 10.577612, 0.606214, 11.66791],
    "standard_errors": [0.0476, 0.8427, 0.1873, 6.2107],
    "log_likelihood": -9594.9739,
}
GAMMA_GAMMA = {
    # Fader & Hardie (2013): 6.25 3.74 15.44; 946 repeat buyers.
    "params": [6.2488, 3.7446, 15.4477],
    "standard_errors": [1.190, 0.290, 4.160],
    "log_likelihood": -4055.923,
}

#: Regression figures, computed once by an independent prototype: forecast totals over 39 weeks, and
#: the mean absolute error a customer.
FORECAST = {"BetaGeoModel": (1653.4, 0.7855), "ModifiedBetaGeoModel": (1576.7, 0.7648)}

#: Regression figures: expected repeat purchases of a new customer under BG/NBD at the fit, by week.
NEW_CUSTOMER = {0.1429: 0.0078, 1: 0.0532, 3: 0.1506, 31.8571: 1.0405, 32: 1.0437, 78: 1.8580}

#: Regression figures, computed once by an independent prototype: Pareto/NBD on the CDNOW sample,
#: forecast total over 39 weeks, and the mean absolute error a customer.
PARETO_FORECAST = (1665.5, 0.7545)

#: Expected repeat purchases of a new customer under Pareto/NBD, by week (tests of the lifetimes
#: package).
PARETO_NEW_CUSTOMER = {0: 0.0, 1: 0.051007, 2: 0.099627, 3: 0.146135, 4: 0.190758}

#: Regression figures, computed once by an independent prototype: who buys in the 39 weeks of the
#: holdout under Pareto/NBD, AUC of P(buys in 39 weeks), and the two rates where it is at least one
#: half.
PARETO_HOLDOUT = {"auc": 0.7712, "error_rate": 0.275, "omission_rate": 0.611}

#: Expected purchases under Pareto/NBD over a horizon of 10 at r .55, alpha 10.58, s .61, beta 11.67
#: and T = t_x = 200, by frequency (tests of the lifetimes package, which underflowed before).
PARETO_UNDERFLOW = {132: 6.2060517889632418, 133: 6.2528722475748113}

#: P(alive) under Pareto/NBD at r .5143, alpha 2.8845, s .2856, beta 14.1087, by frequency, recency
#: and T (tests of the lifetimes package).
PARETO_FINITE = {(221, 103.42857, 103.57143): 0.999596, (161, 94.71429, 98): 0.749488}

#: Donations of 11,104 people.
BG_BB = {
    # Fader, Hardie & Shang (2010): 1.204 .750 .657 2.783, log-likelihood -33225.6.
    "params": [1.203522, 0.749716, 0.656718, 2.783442],
    "standard_errors": [0.0694, 0.0294, 0.0510, 0.3208],
    "log_likelihood": -33225.5813,
}

#: First 7 renewals of the two cohorts of 1,000: alpha, beta, log-likelihood. Fader & Hardie (2007)
#: print .668 3.806 and .704 1.182.
SHIFTED_BETA_GEO = {
    "high_end": ([0.668088, 3.806095], -1611.158147),
    "regular": ([0.704077, 1.182043], -1680.265188),
}

#: First 4 renewals of the high-end cohort: alpha, beta, c. Fader, Hardie, Liu, Davin & Steenburgh
#: (2018).
BETA_DISCRETE_WEIBULL = [0.259336, 1.722552, 1.584362]

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
