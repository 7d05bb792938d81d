"""Customer lifetime, churn, timing and campaigns, judged by error rate and omission rate.

The public names are listed here and nowhere else. Each is loaded on first use, so that
``import touchpoint_lib`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from touchpoint_lib._version import __version__

if TYPE_CHECKING:
    from touchpoint_lib._checks import InputError as InputError
    from touchpoint_lib.data.datasets import fetch_hillstrom as fetch_hillstrom
    from touchpoint_lib.data.datasets import load_cdnow as load_cdnow
    from touchpoint_lib.data.datasets import load_donations as load_donations
    from touchpoint_lib.data.datasets import load_subscriptions as load_subscriptions
    from touchpoint_lib.data.transactions import CustomerBase as CustomerBase
    from touchpoint_lib.data.transactions import DataReport as DataReport
    from touchpoint_lib.data.transactions import check_transactions as check_transactions
    from touchpoint_lib.data.transactions import customer_base as customer_base
    from touchpoint_lib.data.transactions import rfm_split as rfm_split
    from touchpoint_lib.data.transactions import rfm_summary as rfm_summary

_MODULES = {
    "_checks": ["InputError"],
    "data.datasets": ["fetch_hillstrom", "load_cdnow", "load_donations", "load_subscriptions"],
    "data.transactions": [
        "CustomerBase",
        "DataReport",
        "check_transactions",
        "customer_base",
        "rfm_split",
        "rfm_summary",
    ],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
