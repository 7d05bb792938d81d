"""Time campaign evaluation beside its peers, and write the table of the README.

    .venv/bin/python benchmarks/campaigns.py      # all cases, about 4 minutes
    .venv/bin/python benchmarks/campaigns.py 0 1  # these cases (from 0 on), printed only

Ours is the whole call of the public function, with every check, interval and column; the peers
give the effect and its standard error alone (scikit-uplift: the coefficient without interval).
Every case and peer runs in a process of its own, the best of up to five runs. A run ends with an
error where effects or errors differ: by more than 1e-9, of maxima that statsmodels looks for by
more than 1e-5.
"""

from __future__ import annotations

import sys

from timing import Case, run_table

CASES = (
    Case("difference", "Difference of means", 40_000, "customers", "tea-tasting"),
    Case("large", "the same", 1_000_000, "customers", "tea-tasting"),
    Case("cuped", "CUPED, one covariate", 40_000, "customers", "tea-tasting"),
    Case("aipw", "AIPW, 10 covariates", 40_000, "customers", "statsmodels.treatment", 1e-5),
    Case("lin", "Regression by arm, 8 covariates", 1_000_000, "customers", "statsmodels OLS, HC1"),
    Case("many", "AIPW, 3 outcomes, 2 arms, 5 segments, money", 1_000_000, "customers"),
    Case("qini", "Qini, ours with 1,000 resamples", 64_000, "customers", "scikit-uplift"),
    Case("uplift", "Uplift: fit, score, judge by 1,000 resamples", 1_000_000, "customers"),
    Case("looks", "Confidence sequence, 60 looks", 1_000_000, "customers"),
    Case("course", "Effect by day, 90 days, with band", 1_000_000, "customers"),
)


def experiment(n: int, covariates: int, arms: int = 2):
    """Return a frame of an experiment: arm, spend, visit, orders, x0, x1, ..."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, covariates))
    arm = generator.integers(0, arms, n)
    signal = x @ np.linspace(1, 0.2, covariates) if covariates else np.zeros(n)
    visit = generator.random(n) < 1 / (1 + np.exp(1.5 - 0.3 * (arm > 0) - 0.3 * signal))
    orders = visit * generator.poisson(1.3, n)
    frame = pd.DataFrame(x, columns=[f"x{number}" for number in range(covariates)])
    spend = orders * generator.gamma(2, 20, n)
    return frame.assign(arm=arm, visit=visit.astype(int), orders=orders, spend=spend)


def effects(found):
    """Return effects and standard errors as a list."""
    return found.to_frame()[["effect", "standard_error"]].to_numpy().ravel().tolist()


def ours(n: int, method: str, covariates: int):
    import touchpoint_lib as tp

    data = experiment(n, covariates)
    names = [f"x{number}" for number in range(covariates)] or None
    return lambda: effects(
        tp.evaluate_campaign(
            data, arm="arm", control=0, outcomes="spend", method=method, covariates=names
        )
    )


def tea(n: int, covariates: int):
    import tea_tasting

    data = experiment(n, covariates)
    metric = tea_tasting.Mean("spend", "x0") if covariates else tea_tasting.Mean("spend")
    test = tea_tasting.Experiment({"spend": metric}, variant="arm")

    def run():
        found = test.analyze(data)["spend"]
        # Its standard error is not in the result: the effect over the statistic is.
        return [found.effect_size, found.effect_size / found.statistic]

    return run


def difference_ours():
    return ours(40_000, "difference", 0)


def difference_peer():
    return tea(40_000, 0)


def large_ours():
    return ours(1_000_000, "difference", 0)


def large_peer():
    return tea(1_000_000, 0)


def cuped_ours():
    return ours(40_000, "cuped", 1)


def cuped_peer():
    return tea(40_000, 1)


def aipw_ours():
    return ours(40_000, "aipw", 10)


def aipw_peer():
    import statsmodels.api as sm
    from statsmodels.treatment.treatment_effects import TreatmentEffect

    data = experiment(40_000, 10)
    x = sm.add_constant(data[[f"x{number}" for number in range(10)]].to_numpy())
    y, treated = data["spend"].to_numpy(), data["arm"].to_numpy()

    def run():
        chance = sm.Logit(treated, x).fit(disp=0)
        effect = TreatmentEffect(sm.OLS(y, x), treated, results_select=chance)
        found = effect.aipw(return_results=True)
        return [float(found.effect[0]), float(found.results_gmm.bse[0])]

    return run


def lin_ours():
    import touchpoint_lib as tp

    data = experiment(1_000_000, 8)
    names = [f"x{number}" for number in range(8)]
    return lambda: effects(
        tp.evaluate_campaign(
            data, arm="arm", control=0, outcomes="spend", method="lin", covariates=names
        )
    )[:1]


def lin_peer():
    import numpy as np
    import statsmodels.api as sm

    data = experiment(1_000_000, 8)
    x = data[[f"x{number}" for number in range(8)]].to_numpy()
    y, arm = data["spend"].to_numpy(), data["arm"].to_numpy(dtype=float)

    def run():
        centred = x - x.mean(axis=0)
        design = np.column_stack([np.ones(len(x)), arm, centred, centred * arm[:, None]])
        found = sm.OLS(y, design).fit(cov_type="HC1")
        return [float(found.params[1])]

    return run


def many_ours():
    import pandas as pd

    import touchpoint_lib as tp

    data = experiment(1_000_000, 8, arms=3)
    data["band"] = pd.cut(data["x0"], 5, labels=list("abcde")).astype("str")
    names = [f"x{number}" for number in range(8)]
    costs = {"spend": tp.CampaignCosts(margin=0.3, contact=0.1, discount=0.05)}
    return lambda: len(
        tp.evaluate_campaign(
            data,
            arm="arm",
            control=0,
            outcomes=["visit", "orders", "spend"],
            method="aipw",
            covariates=names,
            segments="band",
            costs=costs,
        ).table
    )


def qini_ours():
    import touchpoint_lib as tp

    data = experiment(64_000, 1)

    def run():
        found = tp.evaluate_uplift(data, "x0", arm="arm", control=0, outcome="visit")
        return [float(found.qini.set_index("coefficient").loc["normalised", "value"])]

    return run


def qini_peer():
    from sklift.metrics import qini_auc_score

    data = experiment(64_000, 1)
    return lambda: [float(qini_auc_score(data["visit"], data["x0"], data["arm"]))]


def uplift_ours():
    import touchpoint_lib as tp

    data = experiment(1_000_000, 8)
    names = [f"x{number}" for number in range(8)]
    about = {"arm": "arm", "control": 0, "outcome": "spend"}

    def run():
        score = tp.uplift_scores(data, **about, covariates=names)
        return len(tp.evaluate_uplift(data, score, **about).table)

    return run


def looks_ours():
    import numpy as np

    import touchpoint_lib as tp

    data = experiment(1_000_000, 0).assign(day=np.arange(1_000_000) // 16_667)
    about = {"arm": "arm", "control": 0, "outcome": "spend", "time": "day"}
    return lambda: len(tp.confidence_sequence(data, **about))


def course_ours():
    import numpy as np
    import pandas as pd

    import touchpoint_lib as tp

    generator = np.random.default_rng(0)
    customers = pd.DataFrame(
        {"customer_id": np.arange(1_000_000), "arm": generator.integers(0, 2, 1_000_000)}
    )
    start = pd.Timestamp("2025-01-01")
    events = pd.DataFrame(
        {
            "customer_id": generator.integers(0, 1_000_000, 3_000_000),
            "time": start + pd.to_timedelta(generator.random(3_000_000) * 91, unit="D"),
            "amount": generator.gamma(2, 20, 3_000_000),
        }
    )
    return lambda: len(
        tp.cumulative_effect(
            customers, events, arm="arm", control=0, start=start, amount="amount", days=90
        )
    )


def main(arguments: list[str]) -> None:
    run_table(__file__, "benchmarks campaigns", CASES, globals(), arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
