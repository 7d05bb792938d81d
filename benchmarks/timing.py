"""What the benchmarks share: one thread, a process a case, the best of several runs, the README."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

#: Sizes of a result that two implementations may differ by.
EXACT = 1e-9
README = Path(__file__).resolve().parent.parent / "README.md"


def best_of(call, runs: int = 30, budget: float = 10.0):
    """Return the best time of up to ``runs`` runs begun within ``budget`` seconds, and a result."""
    best, started = float("inf"), time.perf_counter()
    for _ in range(runs):
        begin = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - begin)
        if time.perf_counter() - started > budget:
            break
    return best, result


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status: peak memory is measured on Linux only")


def measure(script: str, *case: str) -> dict[str, float]:
    """Run one case of ``script`` in a process of its own; return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, script, "--case", *case], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def write_table(name: str, text: str) -> None:
    """Put ``text`` between the markers ``name`` of the README."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    readme = README.read_text(encoding="utf-8")
    if start not in readme or end not in readme:
        raise RuntimeError(f"README.md has no markers {start.strip()} and {end.strip()}")
    before, rest = readme.split(start)
    after = rest.split(end)[1]
    README.write_text(before + start + text + end + after, encoding="utf-8")
    print(f"Table written to {README}")


@dataclass(frozen=True)
class Case:
    """A task on so many rows: functions named task_ours and task_peer return what is timed."""

    task: str
    words: str
    rows: int
    unit: str
    peer: str = ""
    tolerance: float = EXACT


def run_case(call: Callable[[], Callable[[], object]]) -> None:
    """Print the time, the memory and the result of one case as JSON."""
    with warnings.catch_warnings():
        # Peers warn on import or in passing under newer versions of what they rest on.
        warnings.simplefilter("ignore")
        ready = call()
        before = peak_memory()
        seconds, result = best_of(ready, runs=5, budget=20)
    memory = peak_memory() - before
    print(json.dumps({"seconds": seconds, "memory": memory, "result": result}))


def compare(case: Case, mine, other) -> None:
    """Raise where the results of the two differ."""
    worst = max(abs(a - b) for a, b in zip(mine, other, strict=True))
    if not worst <= case.tolerance:
        raise SystemExit(f"{case.words}: results differ by {worst}")


def side_by_side(script: str, cases: tuple[Case, ...], chosen: list[int]) -> str:
    """Run the chosen cases, ours and the peer's, and return the README's table."""
    lines = [
        "| task | rows | ours | peer | times faster | peak MB: ours, peer | the peer |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for place in chosen:
        case = cases[place]
        mine = measure(script, "ours", str(place))
        peer, faster, memory = "", "", f"{mine['memory']:,.0f}"
        if case.peer:
            other = measure(script, "peer", str(place))
            compare(case, mine["result"], other["result"])
            peer = f"{1000 * other['seconds']:,.1f} ms"
            faster = f"{other['seconds'] / mine['seconds']:,.1f}"
            memory += f", {other['memory']:,.0f}"
        lines.append(
            f"| {case.words} | {case.rows:,} {case.unit} | {1000 * mine['seconds']:,.1f} ms |"
            f" {peer} | {faster} | {memory} | {case.peer} |"
        )
        print(lines[-1])
    return "\n".join(lines) + "\n"


def run_table(
    script: str,
    name: str,
    cases: tuple[Case, ...],
    calls: dict[str, Callable[[], Callable[[], object]]],
    arguments: list[str],
) -> None:
    """Run all cases and write the table ``name`` of the README, or some of them, printed only."""
    if arguments[:1] == ["--case"]:
        case = cases[int(arguments[2])]
        run_case(calls[f"{case.task}_{arguments[1]}"])
        return
    text = side_by_side(script, cases, [int(place) for place in arguments] or [*range(len(cases))])
    if not arguments:
        write_table(name, text)
