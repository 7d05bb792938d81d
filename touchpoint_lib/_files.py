"""JSON files of fitted models: written and read with the same checks everywhere, never code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchpoint_lib._checks import fail
from touchpoint_lib._version import __version__

#: What reads a file, by the name of its format.
_READERS = {
    "touchpoint_lib model": "load_model",
    "touchpoint_lib churn model": "ChurnModel.load",
    "touchpoint_lib Cox model": "CoxModel.load",
}


def write_model(path: Any, form: str, version: int, content: Mapping[str, Any]) -> None:
    """Write ``content`` as JSON under the name and version of its format.

    Raises
    ------
    InputError
        If ``path`` is no path of a file, or its folder does not exist.
    """
    head = {"format": form, "version": version, "library": __version__}
    # NaN and infinity are not JSON.
    text = json.dumps({**head, **content}, indent=2, allow_nan=False)
    if not isinstance(path, str | Path) or Path(path).is_dir():
        raise fail(f"path is {path!r}", "pass the path of the file to write")
    file = Path(path)
    if not file.parent.is_dir():
        raise fail(f"there is no folder {str(file.parent)!r}", "make it first")
    file.write_text(text + "\n", encoding="utf-8")


def read_model(path: Any, form: str, version: int) -> dict[str, Any]:
    """Return what `write_model` wrote to ``path``.

    Raises
    ------
    InputError
        If the file is missing, is no such file, or was written in another format or version.
    """
    if not isinstance(path, str | Path):
        raise fail(f"path is a {type(path).__name__}", "pass the path that model.save wrote")
    file = Path(path)
    if not file.is_file():
        raise fail(f"there is no file {str(file)!r}", "pass the path that model.save wrote")
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise fail(f"{str(file)!r} is not JSON ({error})", "pass a file of model.save") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != form:
        reader = _READERS.get(found) if isinstance(found, str) else None
        raise fail(
            f"{str(file)!r} holds {f'a {found}' if reader else 'no model'}",
            f"read it with {reader}" if reader else "pass a file of model.save",
        )
    if content.get("version") != version:
        raise fail(
            f"{str(file)!r} has format version {content.get('version')!r}",
            f"this library reads version {version}: fit and save the model again",
        )
    return content
