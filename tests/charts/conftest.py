"""The bundled shop, which several figures are tested on."""

from __future__ import annotations

import pytest

import touchpoint_lib as tp


@pytest.fixture(scope="session")
def shop():
    return tp.load_shop()


@pytest.fixture(scope="session")
def paid(shop):
    return shop.orders[shop.orders["status"] == "paid"]
