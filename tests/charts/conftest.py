"""The bundled shop, which several figures are tested on."""

from __future__ import annotations

import pandas as pd
import pytest

import touchpoint_lib as tp


@pytest.fixture(scope="session")
def shop():
    return tp.load_shop()


@pytest.fixture(scope="session")
def paid(shop):
    return shop.orders[shop.orders["status"] == "paid"]


@pytest.fixture(scope="session")
def matrix(shop, paid):
    """Return the matrix of the bundled shop, with one segment."""
    model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    history = tp.stage_history(paid, model)
    segment = pd.Series("core", shop.customers["customer_id"])
    return tp.touchpoint_matrix(shop.contacts, paid, history, window=90, segment=segment)
