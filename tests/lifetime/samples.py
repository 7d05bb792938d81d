"""Customers, parameters and models that several test modules share."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import strategies as st

import touchpoint_lib as tp

#: The models whose customers leave at a purchase.
MODELS = [tp.BetaGeoModel, tp.ModifiedBetaGeoModel]
both = pytest.mark.parametrize("model_type", MODELS)


def one(x: float, recency: float, age: float) -> pd.DataFrame:
    """Return one customer with ``x`` repeat purchases."""
    return pd.DataFrame({"frequency": [x], "recency": [recency], "T": [age]})


def params_within(*bounds: tuple[float, float]) -> st.SearchStrategy[list[float]]:
    """Lists of one number between each pair of bounds."""
    return st.tuples(*(st.floats(low, high) for low, high in bounds)).map(list)


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """One customer up to 150 weeks old with up to 60 repeat purchases, on no grid."""
    age = draw(st.floats(1, 150))
    x = draw(st.integers(0, 60))
    recency = age * draw(st.floats(0.05, 1)) if x else 0.0
    return one(x, recency, age)
