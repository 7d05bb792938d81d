"""Time the simulated shop beside lifetimes' generator, and write its table in the README.

    .venv/bin/python benchmarks/simulate.py      # all cases, about 3 minutes
    .venv/bin/python benchmarks/simulate.py 0 1  # these cases (from 0 on), printed only

Every case and library runs in a process of its own; peak memory is that of the whole process. Both
simulate MBG/NBD customers of the same parameters, and a run ends with an error where the repeat
purchases a customer differ by more than a tenth. The peer returns one row a customer: its generator
of purchases fails under pandas 3.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass

from timing import best_of, measure, peak_memory, write_table

#: Purchases a day, days; and the drop-out after a purchase.
R, ALPHA, A, B, DAYS = 1.5, 60.0, 0.8, 6.0, 730


@dataclass(frozen=True)
class Case:
    """A shop of so many customers."""

    task: str
    words: str
    n: int
    peer: bool


CASES = (
    Case("purchases", "Purchases alone", 1_000, True),
    Case("purchases", "Purchases alone", 10_000, True),
    Case("purchases", "Purchases alone", 100_000, True),
    Case("shop", "All processes, two years", 10_000, False),
    Case("shop", "All processes, two years", 1_000_000, False),
    Case("outcomes", "and both outcomes of every contact within 60 days", 10_000, False),
)


def ours(case: Case):
    import touchpoint_lib as tp

    if case.task != "purchases":
        within = 60 if case.task == "outcomes" else None
        return lambda: tp.simulate_shop(1, case.n, DAYS, outcome_days=within)
    segment = tp.ShopSegment(name="all", share=1.0, r=R, alpha=ALPHA, a=A, b=B)
    return lambda: tp.simulate_shop(
        1,
        case.n,
        DAYS,
        # All of them arrive in the first month: a customer of lifetimes is there from the start.
        arrivals=tp.ShopArrivals(segments=(segment,), months=(1,) + (0,) * 11, growth=1e-9),
        goods=tp.ShopGoods(again=0.0),
        seasons=None,
        discounts=None,
        visits=None,
        contacts=None,
        payments=None,
        parcels=None,
        reviews=None,
    )


def theirs(case: Case):
    with warnings.catch_warnings():
        # lifetimes 0.11.3 warns on import under pandas 3.
        warnings.simplefilter("ignore")
        from lifetimes.generate_data import modified_beta_geometric_nbd_model as peer
    return lambda: peer(DAYS, R, ALPHA, A, B, size=case.n)


def run_case(library: str, place: int) -> None:
    """Print the time, the memory and the purchases a customer of one case as JSON."""
    case = CASES[place]
    seconds, result = best_of((ours if library == "ours" else theirs)(case), runs=3, budget=30)
    repeats = result["frequency"].mean() if library == "theirs" else len(result.orders) / case.n - 1
    print(json.dumps({"seconds": seconds, "memory": peak_memory(), "rate": float(repeats)}))


def table(cases: list[int]) -> str:
    """Run the cases, and return the README's table."""
    lines = [
        "| task | customers | ours | lifetimes | times faster | peak MB: ours, theirs |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for place in cases:
        case = CASES[place]
        mine = measure(__file__, "ours", str(place))
        peer, faster, memory = "", "", f"{mine['memory']:,.0f}"
        if case.peer:
            other = measure(__file__, "theirs", str(place))
            if abs(mine["rate"] / other["rate"] - 1) > 0.1:
                raise SystemExit(f"{case.words}: {mine['rate']} and {other['rate']} a customer")
            peer = f"{other['seconds']:,.1f} s"
            faster = f"{other['seconds'] / mine['seconds']:,.1f}"
            memory += f", {other['memory']:,.0f}"
        lines.append(
            f"| {case.words} | {case.n:,} | {mine['seconds']:,.1f} s | {peer} | {faster} |"
            f" {memory} |"
        )
        print(lines[-1])
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--case"]:
        run_case(arguments[1], int(arguments[2]))
        return
    text = table([int(place) for place in arguments] or list(range(len(CASES))))
    if not arguments:
        write_table("benchmarks simulate", text)


if __name__ == "__main__":
    main(sys.argv[1:])
