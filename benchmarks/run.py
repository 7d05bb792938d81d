"""Time touchpoint_lib beside other libraries, and write the tables that the README shows.

    .venv/bin/python benchmarks/run.py            # everything, about 30 minutes
    .venv/bin/python benchmarks/run.py 2357 23570 # some sizes, printed only
    .venv/bin/python benchmarks/churn.py          # churn alone, about 5 minutes

Here are the models of lifetime beside lifetimes; churn, the simulated shop, contact timing,
campaigns and touchpoints have peers and files of their own.

Every case runs in a process of its own, one after the other, so that its peak memory is its own;
both libraries run on one BLAS thread. Each fit of ours counts checking, grouping, standard errors
and covariance; lifetimes fits the uncompressed customers, with its standard errors. Times are the
best of several runs, peak memory is what the process needed beyond its input.
"""

from __future__ import annotations

import json
import sys

import campaigns
import churn
import reactivation
import simulate
import touchpoints
from timing import best_of, measure, peak_memory, write_table

SIZES = (2_357, 23_570, 235_700, 1_000_000)
TASKS = {
    "summary": "Transactions to frequency, recency, T, spend",
    "summary of integer ids": "the same, with integer ids",
    "fit": "BG/NBD fit",
    "purchases": "Expected purchases, 39 weeks",
    "alive": "P(alive)",
    "pareto fit": "Pareto/NBD fit",
    "pareto predictions": "Pareto/NBD P(alive) and expected purchases",
    "spend fit": "Gamma-Gamma fit",
    "value": "Customer lifetime value, 12 months",
}
#: Sizes at which lifetimes would take many minutes, left out.
LARGEST = {"pareto fit": 235_700}
#: The least ratio to lifetimes that is aimed at, by task and size.
TARGETS = {
    ("summary", 235_700): 2.5,
    ("summary", 1_000_000): 2.5,
    ("fit", 2_357): 20,
    ("fit", 23_570): 20,
    ("fit", 235_700): 40,
    ("fit", 1_000_000): 100,
    ("purchases", 1_000_000): 8,
    ("pareto fit", 2_357): 15,
    ("pareto fit", 23_570): 70,
    ("pareto fit", 235_700): 200,
    ("pareto predictions", 1_000_000): 10,
    **{("spend fit", n): 25 for n in SIZES},
    ("value", 235_700): 20,
}
#: BG/NBD estimates of the CDNOW sample, in weeks.
PARAMS = (0.2426, 4.4135, 0.7929, 2.4258)
#: Pareto/NBD and Gamma-Gamma estimates of the same.
PARETO = (0.5533, 10.5776, 0.6062, 11.6679)
SPEND = (6.2488, 3.7446, 15.4477)


def customers(n: int):
    """Return seeded customers on the grid of days, in fractional weeks: 27 to 39 weeks old."""
    import numpy as np

    import touchpoint_lib as tp

    days = np.random.default_rng(1).integers(27 * 7, 39 * 7 + 1, n)
    drawn = tp.BetaGeoModel.from_params(PARAMS, unit="W").simulate(n, days / 7, seed=1)
    recency = np.minimum(np.maximum(np.ceil(drawn["recency"] * 7), 1), days)
    # A customer cannot have bought on more days than there were.
    frequency = np.minimum(drawn["frequency"], recency).where(drawn["frequency"] > 0, 0)
    drawn["recency"] = recency.where(drawn["frequency"] > 0, 0) / 7
    drawn["frequency"] = frequency.astype("int64")
    spent = tp.GammaGammaModel.from_params(SPEND).simulate(frequency, seed=1)
    drawn["monetary_value"] = spent["monetary_value"]
    return drawn.drop(columns=["alive", "log_gaps"])


def transactions(n: int, text_ids: bool):
    """Return a seeded log of ``n`` customers, shuffled: about 2 rows a customer."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(2)
    base = customers(n)
    repeats = base["frequency"].to_numpy()
    owner = np.concatenate([np.arange(n), np.repeat(np.arange(n), repeats)])
    age = np.rint(base["T"].to_numpy() * 7).astype(int)
    since_first = np.concatenate(
        [
            np.zeros(n),
            np.ceil(generator.random(repeats.sum()) * age[np.repeat(np.arange(n), repeats)]),
        ]
    )
    end = np.datetime64("1997-09-30")
    date = end - age[owner] + since_first.astype(int)
    order = generator.permutation(len(owner))
    amount = np.round(generator.gamma(2, 15, len(owner)), 2)
    ids = np.char.zfill(np.arange(n).astype("U7"), 7) if text_ids else np.arange(n)
    return pd.DataFrame(
        {"customer_id": ids[owner[order]], "date": date[order].astype("M8[us]"), "amount": amount}
    )


def ours(task: str, n: int):
    """Return the call of touchpoint_lib to be timed."""
    import touchpoint_lib as tp

    if task.startswith("summary"):
        log = transactions(n, text_ids=task == "summary")
        return lambda: tp.rfm_summary(log, until="1997-09-30")
    base = customers(n)
    if task == "fit":
        return lambda: tp.BetaGeoModel().fit(base)
    if task == "pareto fit":
        return lambda: tp.ParetoNBDModel().fit(base)
    if task == "pareto predictions":
        pareto = tp.ParetoNBDModel.from_params(PARETO, unit="W")
        return lambda: (pareto.probability_alive(base), pareto.expected_purchases(base, 39))
    if task == "spend fit":
        return lambda: tp.GammaGammaModel().fit(base)
    model = tp.BetaGeoModel.from_params(PARAMS, unit="W")
    if task == "alive":
        return lambda: model.probability_alive(base)
    if task == "value":
        spend = tp.GammaGammaModel.from_params(SPEND)
        year = 12 * 4.345  # weeks, as lifetimes counts 12 months
        return lambda: tp.customer_lifetime_value(model, spend, base, year)
    return lambda: model.expected_purchases(base, 39)


def theirs(task: str, n: int):
    """Return the call of lifetimes to be timed."""
    import warnings

    warnings.simplefilter("ignore")  # lifetimes warns on import and while it fits
    import pandas as pd
    from lifetimes import BetaGeoFitter, GammaGammaFitter, ParetoNBDFitter
    from lifetimes.utils import summary_data_from_transaction_data

    if task.startswith("summary"):
        log = transactions(n, text_ids=task == "summary")
        return lambda: summary_data_from_transaction_data(
            log,
            "customer_id",
            "date",
            monetary_value_col="amount",
            observation_period_end="1997-09-30",
            freq="D",
        )
    base = customers(n)
    rows = (base["frequency"], base["recency"], base["T"])
    if task == "fit":
        return lambda: BetaGeoFitter().fit(*rows)
    if task == "pareto fit":
        return lambda: ParetoNBDFitter().fit(*rows)
    if task == "pareto predictions":
        pareto = ParetoNBDFitter()
        pareto.params_ = pd.Series(dict(zip(("r", "alpha", "s", "beta"), PARETO, strict=True)))
        return lambda: (
            pareto.conditional_probability_alive(*rows),
            pareto.conditional_expected_number_of_purchases_up_to_time(39, *rows),
        )
    spent = base["monetary_value"]
    if task == "spend fit":
        repeat = base["frequency"] > 0
        return lambda: GammaGammaFitter().fit(base["frequency"][repeat], spent[repeat])
    fitter = BetaGeoFitter()
    fitter.params_ = pd.Series(dict(zip(("r", "alpha", "a", "b"), PARAMS, strict=True)))
    if task == "value":
        spend = GammaGammaFitter()
        spend.params_ = pd.Series(dict(zip(("p", "q", "v"), SPEND, strict=True)))
        fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
        monthly = 1.1 ** (1 / 12) - 1
        return lambda: spend.customer_lifetime_value(
            fitter, *rows, spent, time=12, discount_rate=monthly, freq="W"
        )
    if task == "alive":
        return lambda: fitter.conditional_probability_alive(*rows)
    return lambda: fitter.conditional_expected_number_of_purchases_up_to_time(39, *rows)


def run_case(library: str, task: str, n: int) -> None:
    """Print one measurement as JSON: this is what each process does."""
    call = {"touchpoint_lib": ours, "lifetimes": theirs}[library](task, n)
    before = peak_memory()
    seconds, _ = best_of(call)
    print(json.dumps({"seconds": seconds, "peak_mb": peak_memory() - before}))


def table(sizes: list[int]) -> str:
    """Measure everything and return the table in Markdown."""
    from tqdm import tqdm

    lines = [
        "| task | customers | ours | lifetimes | times faster | target | peak MB: ours, theirs |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    cases = [(task, n) for task in TASKS for n in sizes if n <= LARGEST.get(task, n)]
    for task, n in tqdm(cases, disable=not sys.stderr.isatty()):
        mine, other = (
            measure(__file__, library, task, str(n)) for library in ("touchpoint_lib", "lifetimes")
        )
        target = TARGETS.get((task, n))
        lines.append(
            f"| {TASKS[task]} | {n:,} | {mine['seconds'] * 1e3:,.1f} ms "
            f"| {other['seconds'] * 1e3:,.1f} ms | {other['seconds'] / mine['seconds']:,.1f} "
            f"| {'' if target is None else f'{target:g}'} "
            f"| {mine['peak_mb']:,.0f}, {other['peak_mb']:,.0f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--case"]:
        run_case(arguments[1], arguments[2], int(arguments[3]))
        return
    sizes = [int(argument) for argument in arguments]
    text = table(sizes or list(SIZES))
    if sizes:
        return
    write_table("benchmarks", text)
    churn.main([])
    simulate.main([])
    reactivation.main([])
    campaigns.main([])
    touchpoints.main([])


if __name__ == "__main__":
    main(sys.argv[1:])
