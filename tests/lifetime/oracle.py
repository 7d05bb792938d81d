"""How close to mpmath a probability or an expectation has to be."""

from __future__ import annotations

from typing import Any

import mpmath as mp

#: Below this a value is not held to a relative error.
SMALLEST = mp.mpf(10) ** -290


def assert_exact(name: str, ours: float, exact: Any) -> None:
    """Hold a value to 1e-9 relative where it is above 1e-290."""
    if exact > SMALLEST:
        assert abs(mp.mpf(float(ours)) / exact - 1) < 1e-9, (name, ours, exact)
    else:
        assert 0 <= ours < 1.1e-290, (name, ours, exact)
