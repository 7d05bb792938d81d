"""JSON files of fitted models: written and read with the same checks everywhere, never code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from touchpoint_lib._checks import InputError, fail
from touchpoint_lib._version import __version__

#: What reads a file, by the name of its format.
_READERS = {
    "touchpoint_lib model": "load_model",
    "touchpoint_lib churn model": "ChurnModel.load",
    "touchpoint_lib Cox model": "CoxModel.load",
}


@contextmanager
def undamaged(where: str) -> Iterator[None]:
    """Say of whatever content cannot be used that the file ``where`` is damaged.

    An `InputError` passes: it says more.
    """
    try:
        yield
    except InputError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        raise fail(
            f"{where!r} is incomplete or damaged ({error})", "fit and save the model again"
        ) from None


def write_model(path: Any, form: str, version: int, content: Mapping[str, Any]) -> None:
    """Write ``content`` as JSON under the name and version of its format.

    Raises
    ------
    InputError
        If ``path`` is no path of a file, its folder does not exist, or it cannot be written.
    """
    head = {"format": form, "version": version, "library": __version__}
    # NaN and infinity are not JSON.
    text = json.dumps({**head, **content}, indent=2, allow_nan=False)
    remedy = "pass the path of the file to write"
    if not isinstance(path, str | Path):
        raise fail(f"path is {path!r}", remedy)
    file = Path(path)
    try:
        if file.is_dir():
            raise fail(f"path is {path!r}", remedy)
        if not file.parent.is_dir():
            raise fail(f"there is no folder {str(file.parent)!r}", "make it first")
        file.write_text(text + "\n", encoding="utf-8")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        # A name that is too long, or has a character that no name may have; no permission.
        raise fail(f"{str(file)!r} cannot be written ({_reason(error)})", remedy) from None


def read_model(path: Any, form: str, version: int) -> dict[str, Any]:
    """Return what `write_model` wrote to ``path``.

    Raises
    ------
    InputError
        If the file is missing or cannot be read, is no such file, or was written in another
        format or version.
    """
    if not isinstance(path, str | Path):
        raise fail(f"path is a {type(path).__name__}", "pass the path that model.save wrote")
    file = Path(path)
    try:
        data = file.read_bytes() if file.is_file() else None
    except (OSError, ValueError) as error:
        raise fail(
            f"{str(file)!r} cannot be read ({_reason(error)})",
            "pass the path that model.save wrote",
        ) from None
    if data is None:
        raise fail(f"there is no file {str(file)!r}", "pass the path that model.save wrote")
    try:
        content: Any = json.loads(data.decode("utf-8"))
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


def _reason(error: OSError | ValueError) -> str:
    """Return why, without the path that the message of an OSError repeats."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
