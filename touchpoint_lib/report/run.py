"""Run the bundled notebooks, on their own data or on the reader's, and write the reports.

Nothing heavy is imported before a notebook is run: ``touchpoint list`` only reads files.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

from touchpoint_lib._paths import bundled
from touchpoint_lib.report._options import OPTIONS, Value, as_option, as_options, one_line

if TYPE_CHECKING:
    from nbformat import NotebookNode


class UsageError(Exception):
    """What was asked for cannot be done; the message says what to change."""


class InputRefusedError(Exception):
    """A notebook refused the input it was given; the message is the library's own."""


class NotebookFailedError(Exception):
    """A cell of a notebook failed; the message names it and what it raised."""


@dataclasses.dataclass(frozen=True)
class Notebook:
    """A notebook that can be run, with what its metadata says about it.

    Parameters
    ----------
    path
        The file.
    question
        The question that it answers, or empty.
    inputs
        The inputs that it needs to run on own data; input ``x`` is given by the option ``--x``.
        A notebook without inputs runs on bundled data only.
    parameters
        The names that its parameters cell declares.
    """

    path: Path
    question: str
    inputs: tuple[str, ...]
    parameters: frozenset[str]

    @property
    def name(self) -> str:
        """Return the file's name without its suffix."""
        return self.path.stem


@dataclasses.dataclass(frozen=True)
class Report:
    """A report that was written."""

    path: Path
    question: str
    verdict: str


def notebooks_folder() -> Path:
    """Return the folder of the bundled notebooks."""
    return bundled("notebooks")


def read_notebook(path: Path) -> Notebook:
    """Return what the notebook at ``path`` says about itself.

    Raises
    ------
    UsageError
        If the file is not a notebook.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        about = content["metadata"].get("touchpoint", {})
        declared: set[str] = set()
        for cell in content["cells"]:
            if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", []):
                declared |= declared_names("".join(cell["source"]))
    except (OSError, ValueError, SyntaxError, LookupError, TypeError) as error:
        raise UsageError(f"{path} is not a readable notebook ({type(error).__name__})") from None
    return Notebook(
        path, str(about.get("question", "")), tuple(about.get("inputs", [])), frozenset(declared)
    )


def declared_names(source: str) -> set[str]:
    """Return the names that the code of a parameters cell assigns.

    Examples
    --------
    >>> sorted(declared_names("order = tz = None\\ncustomer, time = 'id', 'date'"))
    ['customer', 'order', 'time', 'tz']
    """
    names = set()
    for statement in ast.parse(source).body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
    return names


def find_notebooks() -> list[Notebook]:
    """Return the bundled notebooks, sorted by name.

    Raises
    ------
    UsageError
        If there is none.
    """
    folder = notebooks_folder()
    found = [read_notebook(path) for path in sorted(folder.glob("*.ipynb"))]
    if not found:
        raise UsageError(f"there is no notebook in {folder}; reinstall touchpoint-lib")
    return found


def select(notebooks: Sequence[Notebook], names: Sequence[str]) -> list[Notebook]:
    """Return the notebooks that ``names`` mean, each once and in the order of ``notebooks``.

    Parameters
    ----------
    notebooks
        What there is to choose from.
    names
        Any part of a notebook's name that no other name has, in either case; none means all.

    Raises
    ------
    UsageError
        If a name fits no notebook or several.

    Examples
    --------
    >>> def there(name):
    ...     return Notebook(Path(name + ".ipynb"), "", (), frozenset())
    >>> [chosen.name for chosen in select([there("01_segments"), there("02_churn")], ["CHURN"])]
    ['02_churn']
    """
    if not names:
        return list(notebooks)
    chosen = set()
    for name in names:
        wanted = name.lower().removesuffix(".ipynb")
        fits = [book for book in notebooks if wanted in book.name.lower()]
        fits = [book for book in fits if book.name.lower() == wanted] or fits
        if len(fits) != 1:
            candidates = ", ".join(book.name for book in fits or notebooks)
            problem = "fits several notebooks" if fits else "fits no notebook"
            raise UsageError(f"{name!r} {problem}; name one of {candidates}")
        chosen.add(fits[0].name)
    return [book for book in notebooks if book.name in chosen]


def runnable(
    notebooks: Sequence[Notebook], inputs: Mapping[str, str], *, named: bool
) -> tuple[list[Notebook], list[str]]:
    """Return the notebooks that run on the given own data, and a line for each that does not.

    Parameters
    ----------
    notebooks
        The notebooks asked for.
    inputs
        The path of each input that was given; without any, all run on bundled data.
    named
        Whether the reader named the notebooks: then one that cannot run is an error.

    Raises
    ------
    UsageError
        If a named notebook, or every notebook, lacks an input.
    """
    if not inputs:
        return list(notebooks), []
    ready, skipped = [], []
    for book in notebooks:
        missing = [f"--{name}" for name in book.inputs if name not in inputs]
        if not book.inputs:
            skipped.append(f"{book.name}: it runs on bundled data only")
        elif missing:
            skipped.append(f"{book.name}: it needs {' and '.join(missing)} too")
        else:
            ready.append(book)
    unused = [f"--{name}" for name in inputs if not any(name in book.inputs for book in ready)]
    if skipped and (named or not ready):
        raise UsageError("; ".join(skipped))
    if unused:
        raise UsageError(f"no notebook of this run uses {' or '.join(unused)}; leave it out")
    return ready, skipped


def parameters_of(
    book: Notebook, inputs: Mapping[str, str], described: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the parameters for ``book``: its inputs, and the options that describe them.

    Parameters
    ----------
    book
        The notebook.
    inputs
        The path of each input that was given.
    described
        The value of each of `OPTIONS` that was given.

    Raises
    ------
    UsageError
        If the notebook's parameters cell does not declare one of them.
    """
    own = {name: path for name, path in inputs.items() if name in book.inputs}
    about = {option for name in own for option in OPTIONS.get(name, ())}
    given = {**own, **{name: value for name, value in described.items() if name in about}}
    undeclared = [name for name in given if name not in book.parameters]
    if undeclared:
        options = ", ".join(as_option(name) for name in undeclared)
        raise UsageError(f"{book.name} takes no {options}; leave it out or name other notebooks")
    return given


def _own_kernel() -> type:
    """Return the kernel manager whose python3 is this very interpreter."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    class OwnKernelManager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _kernel_spec_manager_own(self) -> KernelSpecManager:
            # Without folders to search there is no other python3, whatever is installed at home.
            return KernelSpecManager(kernel_dirs=[])

        def start_kernel(self, **options: Any) -> Any:
            # A kernel sends what a notebook prints as messages; what it writes to the terminal
            # besides is its own log.
            return super().start_kernel(stdout=DEVNULL, stderr=DEVNULL, **options)

    return OwnKernelManager


def execute(
    book: Notebook, parameters: Mapping[str, Value], folder: Path, bar: Any
) -> NotebookNode:
    """Return the executed copy of ``book``.

    Parameters
    ----------
    book
        The notebook; its file is not touched.
    parameters
        Values for its parameters cell.
    folder
        An empty folder, in which the notebook runs and ``executed.ipynb`` is kept.
    bar
        False, or the options of the progress bar over the cells.

    Raises
    ------
    InputRefusedError
        If the library refused the input.
    NotebookFailedError
        If a cell failed, or the kernel did.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    copy, target = folder / "copy.ipynb", folder / "executed.ipynb"
    try:
        # The parameters go in here: papermill's own look at the parameters cell, which would warn
        # of what it cannot parse, comes after `parameters_of` and knows less.
        notebook = load_notebook_node(str(book.path))
        if parameters:
            notebook = parameterize_notebook(
                notebook, dict(parameters), kernel_name="python3", language="python"
            )
        nbformat.write(notebook, copy)  # type: ignore[no-untyped-call]
        executed: NotebookNode = papermill.execute_notebook(
            # papermill formats paths: a brace in one is doubled to stay a brace.
            *(str(path).replace("{", "{{").replace("}", "}}") for path in (copy, target)),
            kernel_name="python3",
            language="python",
            kernel_manager_class=_own_kernel(),
            progress_bar=bar,
            cwd=folder,
        )
    except PapermillExecutionError as error:
        message = one_line(error.evalue)
        if error.ename == "InputError":
            raise InputRefusedError(as_options(message, book.inputs)) from None
        raise NotebookFailedError(
            f"cell [{error.exec_count}] raised {error.ename}: {message}"
        ) from None
    except Exception as error:
        raise NotebookFailedError(f"{type(error).__name__}: {one_line(str(error))}") from error
    return executed


def write_report(notebook: NotebookNode, book: Notebook, output: Path) -> Report:
    """Write the report of an executed notebook into the folder ``output``."""
    from touchpoint_lib.report.exporter import TouchpointExporter, find_headline

    resources = {"metadata": {"name": book.name, "path": str(book.path.parent)}}
    page, _ = TouchpointExporter().from_notebook_node(notebook, resources)
    path = output / f"{book.name}.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    head = find_headline(notebook) or {}
    return Report(path, head.get("question") or book.question or book.name, head.get("verdict", ""))


def write_index(reports: Sequence[Report], output: Path, source: str = "") -> Path:
    """Write ``index.html``, which lists the reports of this run, and return its path.

    Parameters
    ----------
    reports
        The reports, all in ``output``.
    output
        The folder.
    source
        Name of the file that the reports are about, or empty for bundled data.
    """
    from urllib.parse import quote

    from touchpoint_lib.report.exporter import export_date, page_parts, report_environment

    page = (
        report_environment()
        .get_template("reports.html.j2")
        .render(
            title="Reports",
            source=source,
            language="en",
            date=export_date(),
            reports=[
                {
                    "href": quote(report.path.name),
                    "file": report.path.name,
                    "question": report.question,
                    "verdict": report.verdict,
                }
                for report in reports
            ],
            **page_parts(),
        )
    )
    path = output / "index.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def prepare_output(output: Path) -> Path:
    """Return the absolute path of the folder ``output``, made if need be.

    Raises
    ------
    UsageError
        If nothing can be written there.
    """
    output = output.absolute()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot write to {output} ({reason}); choose another --output") from None
    return output


def run_reports(
    books: Sequence[Notebook],
    parameters: Mapping[str, Mapping[str, Value]],
    output: Path,
) -> tuple[list[Report], bool, bool]:
    """Run notebooks one after the other and write a report for each that succeeds.

    Parameters
    ----------
    books
        The notebooks.
    parameters
        The parameters of each, by name.
    output
        The folder for the reports, as `prepare_output` returned it.

    Returns
    -------
    tuple
        The reports, whether a notebook refused its input, and whether one failed.
    """
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    reports: list[Report] = []
    refused = failed = False
    with tqdm(total=len(books), unit="notebook", file=sys.stderr, disable=not terminal) as bar:
        for book in books:
            bar.set_description(book.name)
            cells = {"desc": "cells", "leave": False, "position": 1, "file": sys.stderr}
            with tempfile.TemporaryDirectory(prefix="touchpoint-") as name:
                folder = Path(name)
                kept = output / f"{book.name}.failed.ipynb"
                line = ""
                try:
                    notebook = execute(book, parameters[book.name], folder, terminal and cells)
                    reports.append(write_report(notebook, book, output))
                    kept.unlink(missing_ok=True)
                except InputRefusedError as error:
                    refused, line = True, str(error)
                except NotebookFailedError as error:
                    failed, line = True, str(error)
                    if (folder / "executed.ipynb").exists():
                        shutil.copyfile(folder / "executed.ipynb", kept)
                        line += f"; the full traceback is in {kept}"
            if line:
                tqdm.write(f"touchpoint: {book.name}: {line}", file=sys.stderr)
            elif not terminal:
                tqdm.write(f"{book.name}: report written", file=sys.stderr)
            bar.update()
    return reports, refused, failed
