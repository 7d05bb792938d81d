"""A folder of small notebooks in place of the bundled ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from touchpoint_lib.report import run

PARAMETERS = "transactions = tz = None\ncustomer, unit = 'customer_id', 'W'"

REFUSES = """from touchpoint_lib._checks import InputError
if transactions and "bad" in transactions:
    raise InputError("column amount is missing;\\n  name it with --amount")
"""
TELLS = """import os, sys
from touchpoint_lib.report.headline import Headline
print(sys.executable)
print("folder", os.path.basename(os.getcwd()))
Headline("What are they worth?", f"{customer}, {unit} & {transactions}")
"""
SLEEPS = "import time\ntime.sleep(60)"

#: Name, question, inputs and code of each notebook.
NOTEBOOKS: list[tuple[str, str, list[str], str]] = [
    ("01_segments", "Who are our <customers>?", ["transactions"], REFUSES),
    ("02_lifetime", "What are they worth?", ["transactions"], TELLS),
    ("03_pressure", "Do we write too often?", ["transactions", "contacts"], "1"),
    ("04_broken", "Does it fail?", [], "1 / 0"),
    ("05_slow", "Does it end?", [], SLEEPS),
]


def small_notebook(question: str, inputs: list[str], code: str) -> NotebookNode:
    """Return a notebook with a title, a parameters cell if it takes inputs, and one cell."""
    cells: list[Any] = [new_markdown_cell(f"# {question}")]
    if inputs:
        declared = PARAMETERS + ("\ncontacts = None" if "contacts" in inputs else "")
        cells.append(new_code_cell(declared, metadata={"tags": ["parameters"]}))
    cells.append(new_code_cell(code))
    about = {"question": question, "inputs": inputs}
    return new_notebook(cells=cells, metadata={"touchpoint": about})


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put small notebooks in place of the bundled ones, and work in an empty folder."""
    folder = tmp_path / "notebooks {1}"
    folder.mkdir()
    for name, question, inputs, code in NOTEBOOKS:
        nbformat.write(small_notebook(question, inputs, code), folder / f"{name}.ipynb")
    monkeypatch.setattr(run, "notebooks_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder
