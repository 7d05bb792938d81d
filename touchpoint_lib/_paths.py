"""Where the bundled notebooks and datasets are: inside the wheel, or beside a checkout."""

from __future__ import annotations

from pathlib import Path


def bundled(folder: str) -> Path:
    """Return the path of the bundled ``folder`` ("notebooks" or "datasets")."""
    here = Path(__file__).resolve().parent
    inside = here / "_bundled" / folder
    return inside if inside.is_dir() else here.parent / folder
