"""What the benchmarks share: one thread, a process a case, the best of several runs, the README."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

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
