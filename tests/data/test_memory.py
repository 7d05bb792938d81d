"""The limit of memory: what the whole process takes, and what is said where it is too little."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

import duckdb
import pytest

import touchpoint_lib as tp

ROWS = 5_000_000

# Resident memory before and at its peak, in MB, and what was found.
SCRIPT = """
import json, sys
from pathlib import Path
import touchpoint_lib as tp

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

model = tp.ModifiedBetaGeoModel.from_params([0.6, 50, 0.9, 2.4], unit="D")
small = tp.customer_base(tp.load_cdnow(sample=True), unit="D")
small.predict(model, "expected_purchases", horizon=90).to_frame()
before = resident("VmRSS")
source, out, memory = sys.argv[1:]
base = tp.customer_base(source, unit="D", memory=None if memory == "-" else memory)
base.predict(model, "expected_purchases", horizon=90).write_parquet(out)
grown = resident("VmHWM") - before
found = [int(base.unique["count"].sum()), len(base.unique), base.total("monetary_value")]
print(json.dumps({"grown": grown, "found": found}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_the_process_grows_by_no_more_than_the_limit(tmp_path):
    source = tmp_path / "log.parquet"
    duckdb.execute(
        f"""COPY (
            SELECT hash(range) % {ROWS // 5} AS customer_id,
                TIMESTAMP '2024-01-01' + INTERVAL 1 MINUTE * (hash(range + 7) % 1000000)::INT
                    AS date,
                (hash(range + 3) % 10000) / 100 AS amount
            FROM range({ROWS})
        ) TO '{source}' (FORMAT parquet, ROW_GROUP_SIZE 100000)"""
    )
    results = {}
    for memory in ("-", "300MB"):
        arguments = [str(source), str(tmp_path / f"{memory}.parquet"), memory]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], check=True, capture_output=True, text=True
        )
        results[memory] = json.loads(done.stdout)
    limited, free = results["300MB"], results["-"]
    # The limit binds: without it the process takes more.
    assert free["grown"] > 350
    assert limited["grown"] <= 300
    assert limited["found"][:2] == free["found"][:2]
    assert limited["found"][2] == pytest.approx(free["found"][2], rel=1e-9)


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (2, r'memory is 2; pass a text such as "2GB"'),
        ("2 gigs", "memory is '2 gigs'; pass a text"),
        ("-2GB", "memory is '-2GB'; pass a text"),
        ("10MB", "memory is '10MB'; pass at least 64MB"),
        ("99999999TB", "memory is '99999999TB'; pass at least 64MB and at most 1000000TB"),
        ("9" * 400 + "TB", "and at most 1000000TB"),
    ],
)
def test_what_is_no_memory_is_refused(memory, message):
    with pytest.raises(tp.InputError, match=message):
        tp.customer_base(tp.load_cdnow(sample=True), memory=memory)


@pytest.mark.parametrize("memory", ["64MB", "0.5 GB", "100MiB"])
def test_small_logs_fit_any_memory(memory):
    log = tp.load_cdnow(sample=True)
    got = tp.customer_base(log, memory=memory).to_frame()
    assert got.equals(tp.rfm_summary(log))


def test_too_little_memory_is_named():
    log = duckdb.connect().sql(
        "SELECT range AS customer_id, DATE '2024-01-01' AS date, 1 AS amount FROM range(3000000)"
    )
    with pytest.raises(tp.InputError, match=r"memory is '64MB', too little .*; pass more memory"):
        tp.customer_base(log, memory="64MB")


def test_what_is_spilled_needs_no_folder_of_another_user(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # A folder of this name may be of somebody who does not let others write into it.
    (tmp_path / "touchpoint_lib").write_text("")
    log = duckdb.connect().sql(
        "SELECT hash(range) AS customer_id, DATE '2024-01-01' AS date, 1 AS amount"
        " FROM range(1000000)"
    )
    base = tp.customer_base(log, memory="80MB")
    assert len(base.unique) == 1
    base.engine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["touchpoint_lib"]
