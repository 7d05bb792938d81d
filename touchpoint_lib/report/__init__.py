"""Notebook to one offline HTML file, and the command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from touchpoint_lib.report._provenance import provenance as provenance
    from touchpoint_lib.report.headline import Headline as Headline
    from touchpoint_lib.report.headline import Tile as Tile
    from touchpoint_lib.report.headline import Verdict as Verdict
    from touchpoint_lib.report.segmentation import segmentation_headline as segmentation_headline

# Loaded on first use: the command line must not wait for plotly.
_HOME = {
    "Headline": "headline",
    "Tile": "headline",
    "Verdict": "headline",
    "provenance": "_provenance",
    "segmentation_headline": "segmentation",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
