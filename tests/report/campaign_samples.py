"""Samples of campaigns that several tests of their report share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import touchpoint_lib as tp
from touchpoint_lib.campaigns.result import CampaignEvaluation


def drawn(effects: dict[Any, float], n: int = 400, seed: int = 0, **columns: Any) -> pd.DataFrame:
    """Return customers of arms that chance drew, whose spend rises by so much in each."""
    generator = np.random.default_rng(seed)
    arm = np.repeat(list(effects), n)
    old = generator.integers(0, 5, len(arm))
    spend = 10 + old + generator.normal(0, 1, len(arm)) + np.repeat(list(effects.values()), n)
    return pd.DataFrame({"arm": arm, "old": old, "spend": spend, **columns})


def evaluated(data: pd.DataFrame, **arguments: Any) -> CampaignEvaluation:
    settings = {"arm": "arm", "control": "none", "outcomes": "spend", **arguments}
    return tp.evaluate_campaign(data, **settings)
