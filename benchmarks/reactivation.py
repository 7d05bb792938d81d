"""Time contact timing beside what an analyst would write, and write the table of the README.

    .venv/bin/python benchmarks/reactivation.py      # all cases, about 3 minutes
    .venv/bin/python benchmarks/reactivation.py 0 1  # these cases (from 0 on), printed only

No other library back-tests contact policies, so the peers are what an analyst would write: pandas'
expanding quantiles of each customer's own gaps; lifetimes' fit and a matrix of own returns by day;
statsmodels' Kaplan-Meier curve, class by class. Every case and peer runs in a process of its own.
A run ends with an error where results differ: error rates and quantiles by more than 1e-9, the
estimates of lifetimes' optimiser by what they move the error rate (0.002), survival by 1e-9.
"""

from __future__ import annotations

import sys

from timing import Case, run_table

QUANTILE, LINES = 0.9, (0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)
FIXED = (30, 45, 60, 75, 90, 120, 180)
MULTIPLES = (1, 1.5, 2, 3, 4)
HORIZON, LAPSE, DEADLINE = 90, 270, 180


CASES = (
    Case(
        "policies",
        "20 policies on CDNOW, ours with 1,000 resamples",
        23_570,
        "customers",
        "pandas and lifetimes, no interval",
        0.002,
    ),
    Case(
        "quantile", "Quantile of the own gaps before each purchase", 67_591, "purchases", "pandas"
    ),
    Case("curves", "Kaplan-Meier curves of 25 classes", 1_000_000, "orders", "statsmodels"),
    Case("payments", "`payment_reminder`: learn, judge, plan", 1_000_000, "orders"),
    Case("parcels", "`late_parcels`: learn, judge, flag", 1_000_000, "parcels"),
    Case("calendar", "`contact_calendar`, four weeks", 1_000_000, "customers"),
)


def halves():
    """Return the spells of CDNOW, and which customers are scored: every other one."""
    import pandas as pd

    import touchpoint_lib as tp

    spells = tp.purchase_spells(tp.load_cdnow())
    code = pd.factorize(spells.index)[0]
    return spells, code % 2 == 1


def policies():
    import touchpoint_lib as tp

    return {
        **{f"fixed {days}": tp.FixedDays(days) for days in FIXED},
        "own gap": tp.OwnGapQuantile(QUANTILE),
        **{f"mean x {times}": tp.OwnMeanGap(times) for times in MULTIPLES},
        **{f"own return {line}": tp.OwnReturn(tp.ModifiedBetaGeoModel(), line) for line in LINES},
    }


def policies_ours():
    import touchpoint_lib as tp

    log = tp.load_cdnow()

    def run():
        # The split is drawn inside: the peer gets the same customers by the same seed.
        result = tp.backtest_timing(log, policies(), HORIZON, LAPSE, DEADLINE)
        return result.to_frame()["error_rate"].tolist()

    return run


def policies_peer():
    import numpy as np
    import pandas as pd
    from lifetimes import ModifiedBetaGeoFitter
    from lifetimes.utils import summary_data_from_transaction_data

    import touchpoint_lib as tp

    log = tp.load_cdnow()
    until = log["date"].max()

    def run():
        days = log[["customer_id", "date"]].drop_duplicates().sort_values(["customer_id", "date"])
        ids = days["customer_id"].unique()
        drawn = np.random.default_rng(0).permutation(len(ids))[: round(0.5 * len(ids))]
        learns = days["customer_id"].isin(ids[drawn])
        summary = summary_data_from_transaction_data(
            days[learns], "customer_id", "date", observation_period_end=until
        )
        model = ModifiedBetaGeoFitter().fit(summary["frequency"], summary["recency"], summary["T"])
        r, alpha, a, b = (model.params_[name] for name in ("r", "alpha", "a", "b"))
        groups = days.groupby("customer_id")["date"]
        spells = pd.DataFrame(
            {
                "customer": days["customer_id"],
                "x": groups.cumcount(),
                "age": (days["date"] - groups.transform("min")).dt.days,
                "gap": (groups.shift(-1) - days["date"]).dt.days,
                "before": groups.diff().dt.days,
            }
        )
        ended = spells.loc[learns, "gap"].dropna()
        begun = ~learns & (days["date"] <= until - pd.Timedelta(days=LAPSE))
        expanding = spells.loc[~learns].groupby("customer")["before"].expanding()
        own = expanding.quantile(QUANTILE).reset_index(level=0, drop=True)
        scored = spells[begun]
        gap, x, age = scored["gap"].fillna(np.inf), scored["x"], scored["age"]
        lines = [np.full(len(scored), float(fixed)) for fixed in FIXED]
        lines.append(np.ceil(own.loc[scored.index].fillna(ended.quantile(QUANTILE)).round(9)))
        for times in MULTIPLES:
            mean = (age / x.clip(lower=1)).where(x > 0, ended.mean())
            lines.append(np.ceil((times * mean).round(9)))
        ahead = np.arange(1, 366)
        bought, old = x.to_numpy()[:, None], age.to_numpy()[:, None]
        now = old + ahead
        alive = 1 / (1 + a / (b + bought) * ((alpha + now) / (alpha + old)) ** (r + bought))
        back = alive * (1 - ((alpha + now) / (alpha + now + HORIZON)) ** (r + bought))
        for line in LINES:
            under = back <= line
            lines.append(np.where(under.any(axis=1), ahead[under.argmax(axis=1)], np.inf))
        rates = []
        for line in lines:
            contacted = (line <= DEADLINE) & (gap > line)
            rates.append(float((contacted & (gap <= line + HORIZON)).sum() / contacted.sum()))
        return rates

    return run


def quantile_ours():
    import touchpoint_lib as tp

    spells, _ = halves()
    policy = tp.OwnGapQuantile(QUANTILE, otherwise=0.0)
    return lambda: policy.silence(spells).tolist()


def quantile_peer():
    import numpy as np

    spells, _ = halves()
    flat = spells.reset_index()
    before = flat.groupby("customer_id")["gap"].shift(1)

    def run():
        own = before.groupby(flat["customer_id"]).expanding().quantile(QUANTILE)
        days = own.reset_index(level=0, drop=True).reindex(flat.index).fillna(0.0)
        return np.maximum(np.ceil(days.round(9)), 1.0).tolist()

    return run


def delays(n: int):
    """Return durations in seconds, whether they ended, and the class of each."""
    import numpy as np

    generator = np.random.default_rng(0)
    group = generator.integers(0, 25, n)
    time = np.rint(60 * np.exp(3 + group / 25 + 2 * generator.standard_normal(n)))
    end = np.rint(generator.uniform(0, 86_400, n))
    return np.minimum(time, end), time <= end, group


def curves_ours():
    import numpy as np

    from touchpoint_lib.timing._curves import fit_curves

    duration, ended, group = delays(1_000_000)
    at = np.array([60.0, 600.0, 3_600.0])

    def run():
        curves = fit_curves(duration, ended, [group], shrinkage=0)
        return curves.survival(curves.node([np.arange(25)])[:, None], at).ravel().tolist()

    return run


def curves_peer():
    import numpy as np
    from statsmodels.duration.survfunc import SurvfuncRight

    duration, ended, group = delays(1_000_000)
    at = np.array([60.0, 600.0, 3_600.0])

    def run():
        found = []
        for number in range(25):
            mine = group == number
            curve = SurvfuncRight(duration[mine], ended[mine])
            place = np.searchsorted(curve.surv_times, at, side="right") - 1
            found += curve.surv_prob[place].tolist()
        return found

    return run


def shop():
    """Return a simulated shop of a million orders: purchases, payments and parcels alone."""
    import touchpoint_lib as tp

    return tp.simulate_shop(1, 270_000, 730, contacts=None, reviews=None)


def payments_ours():
    import touchpoint_lib as tp

    made = shop()
    orders, payments = made.orders.iloc[:1_000_000], made.payments.iloc[:1_000_000]
    return lambda: len(tp.payment_reminder(orders, payments).rules)


def parcels_ours():
    import touchpoint_lib as tp

    parcels = shop().parcels
    return lambda: len(tp.late_parcels(parcels, recent_days=2).flags)


def calendar_ours():
    import touchpoint_lib as tp

    model = tp.ModifiedBetaGeoModel.from_params([0.6, 40, 0.8, 2.5], unit="D")
    customers = model.simulate(1_000_000, 730, seed=1).round({"recency": 0})
    customers["frequency"] = customers["frequency"].where(customers["recency"] > 0, 0)
    customers.attrs.update(unit="D", until="2025-12-31")
    money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    return lambda: len(tp.contact_calendar(model, customers, money, capacity=20_000))


def main(arguments: list[str]) -> None:
    run_table(__file__, "benchmarks reactivation", CASES, globals(), arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
