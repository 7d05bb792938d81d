from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError

ROOT = Path(__file__).resolve().parents[2]
DATASETS = ROOT / "datasets"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("build", ROOT / "scripts" / "build_datasets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cdnow():
    log = tp.load_cdnow()
    assert log.dtypes.astype(str).to_dict() == {
        "customer_id": "str",
        "date": "datetime64[us]",
        "quantity": "int64",
        "amount": "float64",
    }
    assert len(log) == 69_659
    assert log["customer_id"].nunique() == 23_570
    assert log.iloc[0].tolist() == ["00001", pd.Timestamp("1997-01-01"), 1, 11.77]
    assert log["date"].max() == pd.Timestamp("1998-06-30")


def test_the_sample_is_a_tenth_of_the_same_customers():
    sample, log = tp.load_cdnow(sample=True), tp.load_cdnow()
    assert sample["customer_id"].nunique() == 2357
    columns = list(log.columns)
    whole = log[log["customer_id"].isin(sample["customer_id"])]
    pd.testing.assert_frame_equal(
        sample.sort_values(columns, ignore_index=True),
        whole.sort_values(columns, ignore_index=True),
    )


def test_donations():
    donors = tp.load_donations()
    assert list(donors.columns) == ["frequency", "recency", "T", "count"]
    assert (donors.dtypes == "int64").all()
    assert len(donors) == 22
    assert donors["count"].sum() == 11_104
    assert (donors["frequency"] <= donors["recency"]).all()
    assert (donors["T"] == 6).all()
    assert donors.attrs["unit"] == "Y"


@pytest.mark.parametrize(("segment", "last"), [("high_end", 0.394), ("regular", 0.173)])
def test_subscriptions(segment, last):
    # Fader & Hardie (2007): per cent surviving after 12 years.
    table = tp.load_subscriptions(segment)
    assert list(table.columns) == ["period", "survival", "count"]
    assert table["period"].tolist() == list(range(13))
    assert table["survival"].iloc[[0, -1]].tolist() == [1.0, last]
    assert (table["count"] / 1000 == table["survival"]).all()
    assert table["count"].is_monotonic_decreasing
    assert table.attrs["unit"] == "Y"


def test_unknown_segment():
    with pytest.raises(InputError, match="segment is 'gold'; it must be one of 'high_end'"):
        tp.load_subscriptions("gold")


def test_readme_lists_every_file_as_it_is():
    readme = (DATASETS / "README.md").read_text(encoding="utf-8")
    listed = {
        name: (int(rows.replace(",", "")), digest)
        for name, rows, digest in re.findall(r"\| `(.+)` \| ([\d,]+) \| `(\w+)` \|", readme)
    }
    there = {
        path.relative_to(DATASETS).as_posix(): (
            pq.read_metadata(path).num_rows,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in DATASETS.rglob("*.parquet")
    }
    assert listed == there


def test_the_script_rebuilds_the_files(script, tmp_path):
    script.build(tmp_path)
    files = sorted(path.relative_to(DATASETS) for path in DATASETS.rglob("*.parquet"))
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    for path in DATASETS.rglob("*.parquet"):
        rebuilt = tmp_path / path.relative_to(DATASETS)
        # Another processor may compute another last digit of what was simulated.
        pd.testing.assert_frame_equal(
            pd.read_parquet(rebuilt), pd.read_parquet(path), check_exact=False, rtol=1e-9
        )
        # Another version of pyarrow may write the same table in other bytes.
        if pq.read_metadata(rebuilt).created_by == pq.read_metadata(path).created_by:
            assert rebuilt.read_bytes() == path.read_bytes()


# --- the download, from a file of our own: no network --------------------------------------------

HEADER = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,"
    "conversion,spend"
)


@pytest.fixture
def emails(tmp_path) -> dict[str, str]:
    """Where a small file of the same layout is, and its hash."""
    source = tmp_path / "e mails.csv"
    source.write_text(
        f"{HEADER}\n10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0\n"
        "6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.5\n"
    )
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return {"url": source.as_uri(), "sha256": digest}


def test_hillstrom_is_typed_and_cached(emails, tmp_path):
    cache = tmp_path / "cache"
    first = tp.fetch_hillstrom(**emails, path=cache)
    assert ",".join(first.columns) == HEADER
    assert first["spend"].tolist() == [0.0, 29.5]
    assert first["segment"].tolist() == ["Womens E-Mail", "No E-Mail"]
    assert first.dtypes[["recency", "history", "visit", "spend", "zip_code"]].astype(
        str
    ).tolist() == ["int64", "float64", "int64", "float64", "str"]
    assert len(list(cache.iterdir())) == 1
    (tmp_path / "e mails.csv").unlink()
    pd.testing.assert_frame_equal(tp.fetch_hillstrom(**emails, path=cache), first)


def test_hillstrom_with_another_hash_is_refused(emails, tmp_path):
    with pytest.raises(
        InputError, match=r"cannot be used \(SHA256 hash .*download the file by hand"
    ):
        tp.fetch_hillstrom(emails["url"], tmp_path / "cache")


def test_hillstrom_that_is_not_there(tmp_path):
    gone = (tmp_path / "gone.csv").as_uri()
    with pytest.raises(InputError, match=r"gone\.csv cannot be used .*check the network"):
        tp.fetch_hillstrom(gone, tmp_path / "cache")
