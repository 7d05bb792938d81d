"""The simulated shop that comes with the package."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pandas as pd

from touchpoint_lib._paths import bundled
from touchpoint_lib.simulate.contacts import ShopCampaign, ShopContacts
from touchpoint_lib.simulate.shop import Shop, simulate_shop
from touchpoint_lib.simulate.truth import ShopTruth

#: The call that made the files in datasets/shop; scripts/build_datasets.py repeats it.
BUNDLED_SHOP: dict[str, Any] = {
    "seed": 20240101,
    "n_customers": 8000,
    "days": 731,
    "start": "2024-01-01",
    "contacts": ShopContacts(
        campaigns=(
            ShopCampaign(
                name="win back",
                channel="sms",
                day=517,
                silence=(45, 365),
                held_out=0.5,
                coupon=0.2,
                coupon_days=21,
            ),
        )
    ),
    "outcome_days": 90,
    "snapshots": ("2025-01-01", "2025-07-01", "2026-01-01"),
}


def tables_of(shop: Shop) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the frames of a shop with the names of their files: truth_* for the truth."""
    for item in fields(Shop):
        if item.name not in ("truth", "call"):
            yield item.name, getattr(shop, item.name)
    for item in fields(ShopTruth):
        yield f"truth_{item.name}", getattr(shop.truth, item.name)


def load_shop() -> Shop:
    """Return the simulated shop that comes with the package: two years, truth known.

    Returns
    -------
    Shop
        What ``simulate_shop(**touchpoint_lib.simulate.bundled.BUNDLED_SHOP)`` returns, read from
        files: 2024-01-01 to 2025-12-31, with a reactivation campaign by SMS on 2025-06-01 whose
        holdout is random, and both outcomes of every contact within 90 days in the truth.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> shop.contacts["campaign"].value_counts().index[0]
    'win back'
    """
    folder = bundled("datasets") / "shop"
    frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(simulate_shop).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    call = {**defaults, **BUNDLED_SHOP, "start": pd.Timestamp(BUNDLED_SHOP["start"])}
    truth = {
        name.removeprefix("truth_"): frames.pop(name)
        for name in list(frames)
        if name.startswith("truth_")
    }
    return Shop(**frames, truth=ShopTruth(**truth), call=call)
