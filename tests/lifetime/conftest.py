"""Data and fitted models that several test modules share; no test may change them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.lifetime.samples import MODELS
from tests.reference import lifetime as published


@pytest.fixture(scope="session")
def cdnow() -> pd.DataFrame:
    """The CDNOW sample rounded to two decimals, which the published figures are of."""
    return published.cdnow_summary()


@pytest.fixture(scope="session")
def split() -> pd.DataFrame:
    """The CDNOW sample as this package summarises it, with 39 weeks held out."""
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30", until="1998-06-30")


@pytest.fixture(scope="session")
def fitted(cdnow: pd.DataFrame) -> dict[type, Any]:
    """BG/NBD and MBG/NBD by their type."""
    return {model_type: model_type().fit(cdnow) for model_type in MODELS}


@pytest.fixture(scope="session")
def fitted_split(split: pd.DataFrame) -> dict[type, Any]:
    return {model_type: model_type().fit(split) for model_type in MODELS}


@pytest.fixture(scope="session")
def pareto(cdnow: pd.DataFrame) -> tp.ParetoNBDModel:
    return tp.ParetoNBDModel().fit(cdnow)


@pytest.fixture(scope="session")
def pareto_split(split: pd.DataFrame) -> tp.ParetoNBDModel:
    return tp.ParetoNBDModel().fit(split)


@pytest.fixture(scope="session")
def donors() -> pd.DataFrame:
    return tp.load_donations()


@pytest.fixture(scope="session")
def bg_bb(donors: pd.DataFrame) -> tp.BetaGeoBetaBinomModel:
    return tp.BetaGeoBetaBinomModel().fit(donors)
