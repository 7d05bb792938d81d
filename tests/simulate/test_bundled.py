"""The bundled shop is what its call makes, small, and as good as a fresh one."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib._paths import bundled
from touchpoint_lib.simulate.bundled import BUNDLED_SHOP, tables_of

NAMES = [
    *(item.name for item in fields(tp.Shop) if item.name not in ("truth", "call")),
    *(f"truth_{item.name}" for item in fields(tp.ShopTruth)),
]


@pytest.fixture(scope="module")
def loaded() -> tp.Shop:
    return tp.load_shop()


@pytest.fixture(scope="module")
def fresh() -> tp.Shop:
    return tp.simulate_shop(**BUNDLED_SHOP)


def test_every_table_has_a_name(loaded: tp.Shop) -> None:
    assert [name for name, _ in tables_of(loaded)] == NAMES


def test_there_is_one_file_a_table_and_all_are_small() -> None:
    files = list((bundled("datasets") / "shop").iterdir())
    assert sorted(file.name for file in files) == sorted(f"{name}.parquet" for name in NAMES)
    assert sum(file.stat().st_size for file in files) < 6 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_what_the_call_makes(loaded: tp.Shop, fresh: tp.Shop, name: str) -> None:
    got, expected = dict(tables_of(loaded))[name], dict(tables_of(fresh))[name]
    pd.testing.assert_frame_equal(got, expected, rtol=1e-9)


@pytest.mark.slow
def test_the_call_is_the_one_that_makes_it(loaded: tp.Shop, fresh: tp.Shop) -> None:
    assert loaded.call == fresh.call


@pytest.mark.slow
def test_best_contact_days_are_those_of_the_fresh_shop(loaded: tp.Shop, fresh: tp.Shop) -> None:
    days = loaded.best_contact_days("chat", horizon=30, latest=90)
    assert days["day"].notna().sum() > 100
    again = fresh.best_contact_days("chat", horizon=30, latest=90)
    pd.testing.assert_frame_equal(days, again, rtol=1e-9)


def test_alive_at_the_end_of_the_loaded_shop(loaded: tp.Shop) -> None:
    alive = loaded.truth.alive("2026-01-01")
    assert alive.sum() == loaded.truth.customers["left_at"].isna().sum()
    assert 0 < alive.sum() < len(alive)


def test_a_twin_of_the_loaded_shop(loaded: tp.Shop) -> None:
    small = {"n_customers": 40, "days": 520, "outcome_days": None, "snapshots": ()}
    call = {**BUNDLED_SHOP, **small}
    twin, made = loaded.twin(**small), tp.simulate_shop(**call)
    for (name, got), (_, expected) in zip(tables_of(twin), tables_of(made), strict=True):
        pd.testing.assert_frame_equal(got, expected, obj=name)


def test_the_campaign_of_the_loaded_shop(loaded: tp.Shop) -> None:
    mailing = loaded.contacts[loaded.contacts["campaign"] == "win back"]
    assert set(mailing["time"].dt.normalize()) == {pd.Timestamp("2025-06-01")}
    assert set(mailing["channel"]) == {"sms"}
    # Half of them are held out: four standard errors of a share.
    assert abs(mailing["held_out"].mean() - 0.5) < 4 * 0.5 / len(mailing) ** 0.5
    assert len(mailing) > 500
