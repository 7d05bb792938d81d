"""Time the churn part beside the libraries that do the same, and write its table in the README.

    .venv/bin/python benchmarks/churn.py      # all cases, about 5 minutes
    .venv/bin/python benchmarks/churn.py 3 4  # these cases (from 0 on), printed only

Every case and library runs in a process of its own, pinned to one core; times are the best of
several runs, peak memory is what the process needed beyond its input. Both get the same data, and
a run ends with an error where their results differ by more than the tolerance of the case.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from timing import best_of, measure, peak_memory, write_table

WINDOWS = (7, 14, 30, 60, 90, 180, 270, 365)
GAP_QUANTILES = (10, 25, 75, 90)
COLUMNS = 300
#: Columns that the peer reads where all of them would take minutes.
FEW = 10
#: Resamples of ours, and of the peer.
RESAMPLES, SOME = 2000, 20
N_CDNOW, ROWS_CDNOW, END_CDNOW = 23_570, 69_659, "1998-06-30"


@dataclass(frozen=True)
class Case:
    """A task at a size: customers, rows or subscriptions."""

    task: str
    words: str
    n: int
    peer: str
    tolerance: float
    #: The work that the table speaks of is so many times what the peer does.
    times: int = 1
    #: Both are told per column and customer, in ns.
    by_column: bool = False


CASES = (
    Case("leakage", f"Leak screen, {COLUMNS} columns", 100_000, "roc_auc_score", 1e-9),
    Case(
        "leakage",
        f"Leak screen, {COLUMNS} columns",
        1_000_000,
        f"roc_auc_score, {FEW} columns x {COLUMNS // FEW}",
        1e-9,
        COLUMNS // FEW,
    ),
    Case("indicators", "Indicators of CDNOW", N_CDNOW, "pandas groupby", 1e-9, 1, True),
    Case("indicators", "the same, 10 times CDNOW", 10 * N_CDNOW, "pandas groupby", 1e-9, 1, True),
    Case("trees", f"Trees predict from an array, {COLUMNS} columns", 1_000_000, "HistGB", 1e-12),
    Case(
        "churn model",
        f"`ChurnModel` predicts from a frame, {COLUMNS} columns",
        1_000_000,
        "HistGB",
        1e-12,
    ),
    Case("cox", "Cox model, 5 covariates, tenures in days", 50_000, "PHReg, Efron", 1e-6),
    Case("cox untied", "the same, all tenures different", 50_000, "PHReg, Efron", 1e-6),
    Case("curve", "Kaplan-Meier curve with intervals", 1_000_000, "SurvfuncRight", 1e-12),
    Case("auc", "AUC with interval", 1_000_000, "roc_auc_score, no interval", 1e-9),
    Case(
        "compare",
        f"4 scores compared, {RESAMPLES:,} resamples",
        N_CDNOW,
        f"roc_auc_score, {SOME} resamples x {RESAMPLES // SOME}",
        1e-9,
        RESAMPLES // SOME,
    ),
)


def outcomes(n: int):
    """Return who buys: a quarter."""
    import numpy as np

    return np.random.default_rng(0).random(n) < 0.25


def indicator(n: int, place: int, happened):
    """Return a column as indicators are: sums, noise, counts, decayed sums, gaps with NaN."""
    import numpy as np

    generator = np.random.default_rng([1, place])
    kind = place % 5
    if kind == 0:
        return generator.standard_normal(n) + happened * 0.02 * (place % 40)
    if kind == 1:
        return generator.random(n)
    if kind == 2:
        return np.floor(generator.standard_exponential(n) * (happened + 1))
    if kind == 3:
        return np.maximum(generator.standard_normal(n) + happened - 1, 0.0)
    values = generator.standard_exponential(n) * (1.5 - happened * 0.5)
    values[generator.random(n) < 0.4] = np.nan
    return values


def indicators(n: int, n_columns: int = COLUMNS):
    """Return seeded columns and outcome: an array that keeps columns together, as a frame does."""
    import numpy as np

    happened = outcomes(n)
    data = np.empty((n, n_columns), order="F")
    for place in range(n_columns):
        data[:, place] = indicator(n, place, happened)
    return data, happened


def named(data):
    import pandas as pd

    return pd.DataFrame(data, columns=[f"x{j}" for j in range(data.shape[1])], copy=False)


def leakage(ours: bool, n: int):
    """Return the call to be timed, and what of its result is compared: the AUC of columns."""
    import numpy as np

    if ours:
        import touchpoint_lib as tp

        data, happened = indicators(n)
        frame = named(data)
        first = list(frame.columns[: FEW if n > 100_000 else COLUMNS])
        return lambda: tp.screen_leakage(frame, happened), lambda found: found["auc"][first]
    from sklearn.metrics import roc_auc_score

    data, happened = indicators(n, FEW if n > 100_000 else COLUMNS)

    def areas():
        for values in data.T:
            present = ~np.isnan(values)
            area = roc_auc_score(happened[present], values[present])
            yield max(area, 1 - area)

    return lambda: list(areas()), np.array


def purchase_log(n: int):
    """Return CDNOW, again and again under new ids."""
    import pandas as pd

    import touchpoint_lib as tp

    log = tp.load_cdnow()
    copies = [
        log.assign(customer_id=f"{copy}-" + log["customer_id"].astype(str))
        for copy in range(n // N_CDNOW)
    ]
    return pd.concat(copies, ignore_index=True)


def shared_indicators() -> list[str]:
    """Return the indicators that pandas computes too."""
    kinds = ("purchases", "amount", "amount_mean", "amount_max", "amount_min", "amount_sd")
    of_windows = [f"{kind}_{w}d" for w in WINDOWS for kind in kinds]
    of_gaps = ["mean", "median", "min", "max", "sd", "cv", "first", "last"]
    quantiles = [f"gap_q{share}" for share in GAP_QUANTILES]
    return [*of_windows, *(f"gap_{kind}" for kind in of_gaps), *quantiles]


def indicators_by_pandas(log):
    """Return `shared_indicators` by groupby: purchase days first, then each window."""
    import pandas as pd

    days = log.groupby(["customer_id", "date"], as_index=False)["amount"].sum()
    customers = days["customer_id"].drop_duplicates()
    age = (pd.Timestamp(END_CDNOW) - days["date"]).dt.days
    columns = {}
    for w in WINDOWS:
        inside = days[age < w].groupby("customer_id")["amount"]
        table = inside.agg(["size", "sum", "mean", "max", "min", "std"]).reindex(customers)
        columns[f"purchases_{w}d"] = table["size"].fillna(0)
        columns[f"amount_{w}d"] = table["sum"].fillna(0)
        for kind, name in (("mean", "mean"), ("max", "max"), ("min", "min"), ("std", "sd")):
            columns[f"amount_{name}_{w}d"] = table[kind]
    days["gap"] = days.groupby("customer_id")["date"].diff().dt.days
    gaps = days.groupby("customer_id")["gap"]
    for kind, name in (("std", "sd"), ("first", "first"), ("last", "last")):
        columns[f"gap_{name}"] = gaps.agg(kind)
    for kind in ("mean", "median", "min", "max"):
        columns[f"gap_{kind}"] = gaps.agg(kind)
    columns["gap_cv"] = columns["gap_sd"] / columns["gap_mean"]
    quantiles = gaps.quantile([share / 100 for share in GAP_QUANTILES])
    for share in GAP_QUANTILES:
        columns[f"gap_q{share}"] = quantiles.xs(share / 100, level=1)
    return pd.DataFrame(columns)


def behaviour(ours: bool, n: int):
    import touchpoint_lib as tp

    log = purchase_log(n)

    def call():
        return tp.behaviour_indicators(log, END_CDNOW) if ours else indicators_by_pandas(log)

    return call, lambda frame: frame.sort_index()[shared_indicators()]


def trees(ours: bool, n: int):
    """Return the calls on an array; both grow their trees from the same 20,000 rows and seed."""
    from scipy.special import expit

    from touchpoint_lib.churn import _boosting

    data, happened = indicators(n)
    first, outcome = data[:20_000], happened[:20_000]
    if ours:
        grown = _boosting.grow_trees(first, outcome, seed=0)
        return lambda: expit(grown.log_odds(data)), lambda chance: chance
    grown = scikit_learn_trees().fit(first, outcome)
    return lambda: grown.predict_proba(data), lambda chance: chance[:, 1]


def churn_model(ours: bool, n: int):
    import touchpoint_lib as tp

    data, happened = indicators(n)
    frame = named(data)
    first, outcome = frame[:20_000], happened[:20_000]
    if ours:
        model = tp.ChurnModel("boosting", lifetime=[]).fit(first.assign(buys=outcome))
        return lambda: model.predict_probability(frame), lambda chance: chance
    grown = scikit_learn_trees().fit(first, outcome)
    return lambda: grown.predict_proba(frame), lambda chance: chance[:, 1]


def scikit_learn_trees():
    """Return trees of scikit-learn with our settings."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from touchpoint_lib.churn import _boosting

    return HistGradientBoostingClassifier(random_state=0, **_boosting._SETTINGS)


def subscriptions(n: int, days: bool = True):
    """Return seeded subscriptions seen for up to three years, in days or finer, with covariates."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(3)
    covariates = generator.standard_normal((n, 5))
    hazard = np.exp(covariates @ [0.5, -0.3, 0.2, 0.0, 0.1]) / 500
    until, seen = generator.exponential(1 / hazard), generator.uniform(30, 1096, n)
    if days:
        until, seen = np.ceil(until), np.floor(seen)
    frame = pd.DataFrame(covariates, columns=list("abcde"))
    return frame.assign(tenure=np.minimum(until, seen), ended=until <= seen)


def cox(ours: bool, n: int, days: bool = True):
    data = subscriptions(n, days)
    if ours:
        import touchpoint_lib as tp

        return lambda: tp.CoxModel(list("abcde")).fit(data), lambda model: model.params_
    from statsmodels.duration.hazard_regression import PHReg

    def fit():
        return PHReg(data["tenure"], data[list("abcde")], status=data["ended"], ties="efron").fit()

    return fit, lambda model: model.params


def curve(ours: bool, n: int):
    """Return the calls; the peer gives no intervals, ours rows for start and end besides."""
    data = subscriptions(n)
    if ours:
        import touchpoint_lib as tp

        return lambda: tp.kaplan_meier(data), lambda found: found.query("n_ended > 0")["survival"]
    from statsmodels.duration.survfunc import SurvfuncRight

    return lambda: SurvfuncRight(data["tenure"], data["ended"]), lambda fitted: fitted.surv_prob


def area(ours: bool, n: int):
    happened = outcomes(n)
    score = indicator(n, 20, happened)
    if ours:
        import touchpoint_lib as tp

        return lambda: tp.auc(happened, score), lambda found: [found.auc]
    from sklearn.metrics import roc_auc_score

    return lambda: roc_auc_score(happened, score), lambda found: [found]


def compare(ours: bool, n: int):
    """Return the calls: ours resamples rates, and has areas by DeLong; the peer resamples areas."""
    import numpy as np

    happened = outcomes(n)
    scores = {f"x{j}": indicator(n, j, happened) for j in (0, 5, 10, 15)}
    if ours:
        import touchpoint_lib as tp

        def call():
            return tp.compare_predictions(
                happened, scores, baseline="x0", n_flagged=n // 4, resamples=RESAMPLES
            )

        return call, lambda table: table["auc"]
    from sklearn.metrics import roc_auc_score

    def resample():
        generator = np.random.default_rng(0)
        for _ in range(SOME):
            chosen = generator.integers(0, n, n)
            truth = happened[chosen]
            yield [roc_auc_score(truth, score[chosen]) for score in scores.values()]

    areas = [roc_auc_score(happened, score) for score in scores.values()]
    return lambda: list(resample()), lambda _: areas


TASKS = {
    "leakage": leakage,
    "indicators": behaviour,
    "trees": trees,
    "churn model": churn_model,
    "cox": cox,
    "cox untied": partial(cox, days=False),
    "curve": curve,
    "auc": area,
    "compare": compare,
}


def run_case(library: str, task: str, n: int, path: str) -> None:
    """Print one measurement as JSON and save what is compared: this is what each process does."""
    import numpy as np

    # One core: neither library gains by threads.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    call, compared = TASKS[task](library == "touchpoint_lib", n)
    before = peak_memory()
    seconds, result = best_of(call, budget=5)
    shape = result.shape[1] if task == "indicators" else 1
    print(json.dumps({"seconds": seconds, "peak_mb": peak_memory() - before, "columns": shape}))
    np.save(path, np.asarray(compared(result), dtype=float))


def row(case: Case) -> str:
    """Measure both libraries, compare their results, and return a row of the table."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for library in ("touchpoint_lib", "peer"):
            path = Path(folder) / f"{library}.npy"
            found[library] = measure(__file__, library, case.task, str(case.n), str(path))
            found[library]["result"] = np.load(path)
    mine, other = found["touchpoint_lib"], found["peer"]
    np.testing.assert_allclose(
        mine["result"],
        other["result"],
        rtol=case.tolerance,
        atol=case.tolerance,
        err_msg=case.words,
    )
    spent, peer_spent, unit = mine["seconds"] * 1e3, other["seconds"] * 1e3 * case.times, "ms"
    note = ""
    if case.by_column:
        speed = case.n / N_CDNOW * ROWS_CDNOW / mine["seconds"]
        note = (
            f"; {mine['columns']} columns beside {other['columns']}, ours in {spent:,.0f} ms: "
            f"{speed:,.0f} rows of the log a second"
        )
        spent, peer_spent = (
            one["seconds"] * 1e9 / (case.n * one["columns"]) for one in (mine, other)
        )
        unit = "ns a column and customer"
    return (
        f"| {case.words} | {case.n:,} | {spent:,.1f} {unit} | {peer_spent:,.1f} {unit} "
        f"| {peer_spent / spent:,.1f} | {mine['peak_mb']:,.0f}, {other['peak_mb']:,.0f} "
        f"| {case.peer}{note} |"
    )


def table(cases) -> str:
    """Measure the cases and return the table in Markdown."""
    lines = [
        "| task | rows | ours | peer | times faster | peak MB: ours, peer | the peer |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for case in cases:
        lines.append(row(case))
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--case"]:
        run_case(*arguments[1:3], int(arguments[3]), arguments[4])
        return
    text = table([CASES[int(place)] for place in arguments] or CASES)
    if not arguments:
        write_table("benchmarks churn", text)


if __name__ == "__main__":
    main(sys.argv[1:])
