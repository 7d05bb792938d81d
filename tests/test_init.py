"""The public names: all there, loaded on first use, and an import that costs next to nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import touchpoint_lib as tp

NOTEBOOK = ["plotly", "papermill", "nbconvert", "IPython"]
HEAVY = [*NOTEBOOK, "sklearn", "statsmodels", "lifetimes"]
NAMES = [(module, name) for module, names in tp._MODULES.items() for name in names]


def run(code: str) -> str:
    """What ``code`` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_comes_from_its_module_and_is_explained(module, name):
    home = importlib.import_module(f"touchpoint_lib.{module}")
    assert getattr(tp, name) is getattr(home, name)
    assert getattr(tp, name).__module__.startswith("touchpoint_lib.")
    assert inspect.getdoc(getattr(tp, name))


def test_type_checkers_see_the_names_that_are_loaded():
    tree = ast.parse(Path(tp.__file__).read_text(encoding="utf-8"))
    guarded = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    assert len(guarded) == 1
    seen = []
    for node in guarded[0].body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            # mypy --strict re-exports a name only where it is imported as itself.
            assert alias.asname == alias.name
            seen.append((str(node.module).removeprefix("touchpoint_lib."), alias.name))
    assert sorted(seen) == sorted(NAMES)
    assert len(set(seen)) == len(seen)


def test_names_are_listed_once_and_in_order():
    names = [name for _, name in NAMES]
    assert len(set(names)) == len(names)
    assert all(listed == sorted(listed) for listed in tp._MODULES.values())
    assert list(tp._MODULES) == sorted(tp._MODULES)
    assert sorted(tp.__all__) == sorted([*names, "__version__"])
    assert set(dir(tp)) == set(tp.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'touchpoint_lib' has no attribute 'lifetyme'"):
        _ = tp.lifetyme
    assert not hasattr(tp, "_ratio")
    with pytest.raises(ImportError):
        exec("from touchpoint_lib import nothing_of_the_kind", {})


def test_a_star_import_gives_the_public_names():
    scope: dict[str, object] = {}
    exec("from touchpoint_lib import *", scope)
    assert set(tp.__all__) <= set(scope)


def test_the_import_is_light():
    code = (
        "import sys, time; before = time.process_time(); import touchpoint_lib;"
        f" print(time.process_time() - before, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    seconds, loaded = run(code).split(" ", 1)
    assert loaded == "[]"
    assert float(seconds) < 1


def test_loading_every_name_leaves_the_notebook_tools_alone():
    code = (
        "import sys, touchpoint_lib as tp; [getattr(tp, name) for name in tp.__all__];"
        f" print(sorted(set({NOTEBOOK!r}) & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_every_module_can_be_the_first_that_is_imported():
    # A circle of imports shows only when it is entered from the right side.
    code = f"""
import importlib, sys
for module in {list(tp._MODULES)!r}:
    importlib.import_module("touchpoint_lib." + module)
    for name in [name for name in sys.modules if name.startswith("touchpoint_lib")]:
        del sys.modules[name]
print("all")
"""
    assert run(code) == "all"
