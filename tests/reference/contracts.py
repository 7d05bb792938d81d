"""Published survival data, and the figures that were published of them."""

from __future__ import annotations

import pandas as pd

#: Freireich et al. (1963), "The Effect of 6-Mercaptopurine on the Duration of Steroid-induced
#: Remissions in Acute Leukemia", Blood 21; printed in Cox (1972): weeks of remission. Of 6-MP
#: weeks with and without a relapse, of placebo all with one.
_MERCAPTOPURINE = (
    [6, 6, 6, 7, 10, 13, 16, 22, 23],
    [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
)
_PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]

#: Edmunson et al. (1979), Cancer Treatment Reports 63, as the data set `ovarian` of R's survival:
#: days, died, age, ECOG performance status.
_OVARIAN = """
59 1 72.3315 1, 115 1 74.4932 1, 156 1 66.4658 2, 421 0 53.3644 1, 431 1 50.3397 1,
448 0 56.4301 2, 464 1 56.9370 2, 475 1 59.8548 2, 477 0 64.1753 1, 563 1 55.1781 2,
638 1 56.7562 2, 744 0 50.1096 1, 769 0 59.6301 2, 770 0 57.0521 1, 803 0 39.2712 1,
855 0 43.1233 2, 1040 0 38.8932 2, 1106 0 44.6000 1, 1129 0 53.9068 1, 1206 0 44.2055 1,
1227 0 59.5890 2, 268 1 74.5041 2, 329 1 43.1370 1, 353 1 63.2192 2, 365 1 64.4247 1,
377 0 58.3096 1
"""

#: Of the 6-MP arm, by week: at risk, relapses, survival and its standard error, as textbooks have
#: them and summary(survfit(...)) of R's survival prints them.
CURVE = {
    6: (21, 3, 0.8571, 0.0764),
    7: (17, 1, 0.8067, 0.0869),
    10: (15, 1, 0.7529, 0.0963),
    13: (12, 1, 0.6902, 0.1068),
    16: (11, 1, 0.6275, 0.1141),
    22: (7, 1, 0.5378, 0.1282),
    23: (6, 1, 0.4482, 0.1346),
}
#: The log-rank test of both arms.
LOG_RANK = 16.79
#: Coefficient of placebo and its standard error, by the treatment of ties.
COEFFICIENT = {"efron": (1.572, 0.412), "breslow": (1.509, 0.410)}
#: R survival 3: cox.zph(coxph(Surv(futime, fustat) ~ age + ecog.ps, data = ovarian)), p-values of
#: age, ecog.ps and both, as the tests of the R package kyotil hold them.
PROPORTIONAL_HAZARDS = [0.4035486, 0.1236237, 0.1625539]


def freireich() -> pd.DataFrame:
    relapsed, running = _MERCAPTOPURINE
    weeks = [*relapsed, *running, *_PLACEBO]
    return pd.DataFrame(
        {
            "arm": ["6-MP"] * 21 + ["placebo"] * 21,
            "tenure": weeks,
            "ended": [True] * 9 + [False] * 12 + [True] * 21,
        }
    )


def ovarian() -> pd.DataFrame:
    rows = [[float(value) for value in row.split()] for row in _OVARIAN.split(",")]
    return pd.DataFrame(rows, columns=["tenure", "ended", "age", "ecog"])
