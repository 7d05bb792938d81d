"""Published effects of campaigns and treatments, and moments of experiments."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Cattaneo (2010), Journal of Econometrics 155, as Stata's cattaneo2: `teffects aipw (bweight
#: prenatal1 mmarried mage fbaby) (mbsmoke mmarried c.mage##c.mage fbaby medu, probit)`, effect and
#: standard error of the Stata Treatment-Effects Reference Manual, teffects aipw, example 1; with
#: more digits in statsmodels/treatment/tests/results/results_teffects.py.
STATA_AIPW = (-230.989201, 26.210565)

#: LaLonde (1986), American Economic Review 76, as Dehejia and Wahba (1999), JASA 94, table 5:
#: what job training added to earnings in 1978, in US dollars, 1,794 (633); with the digits that
#: R's lm prints for the sample (`nsw_mixtape` of the causaldata packages).
NSW_DIFFERENCE = 1794.342
NSW_OLS_ERROR = 632.853
#: The trained beside 15,992 people of the Current Population Survey, ibid. (-8,498).
NSW_CPS_DIFFERENCE = -8497.5

#: Hillstrom (2008), "The MineThatData E-Mail Analytics and Data Mining Challenge", 64,000
#: customers: size of each arm; of visit and conversion the sum, which is the sum of squares; of
#: spend within two weeks the sum in US cents, the sum of squares in square cents, and the number
#: above 0, which is the number of conversions.
HILLSTROM = {
    "No E-Mail": (21306, 2262, 122, 1_390_833, 28_700_503_621),
    "Mens E-Mail": (21307, 3894, 267, 3_031_169, 67_590_244_973),
    "Womens E-Mail": (21387, 3238, 189, 2_303_811, 49_114_465_763),
}
#: Their differences from "No E-Mail" with Welch's standard error, to the digits that were noted
#: down from a run of scipy.stats.ttest_ind on the file.
HILLSTROM_VISIT = {
    "Mens E-Mail": (0.0765896, 0.0033859),
    "Womens E-Mail": (0.0452331, 0.0032345),
}
#: scipy.stats.chisquare on the three sizes.
HILLSTROM_RATIO_P = 0.904


def hillstrom_moments() -> pd.DataFrame:
    """Return customers with the sizes, sums and sums of squares of Hillstrom's arms.

    The values of spend above 0 are not those of the file: half of the buyers of an arm spend one
    amount and half another, such that sum and sum of squares are the arm's.
    """
    parts = []
    for arm, (n, visits, buyers, cents, squares) in HILLSTROM.items():
        spend = np.zeros(n)
        low, high = buyers // 2, buyers - buyers // 2
        mean = cents / 100 / buyers
        variance = squares / 1e4 / buyers - mean**2
        spend[:low] = mean - np.sqrt(variance * high / low)
        spend[low:buyers] = mean + np.sqrt(variance * low / high)
        parts.append(
            pd.DataFrame(
                {
                    "segment": arm,
                    "visit": (np.arange(n) < visits).astype(int),
                    "conversion": (np.arange(n) < buyers).astype(int),
                    "spend": spend,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
