"""Which notebooks run, with which parameters; the runs themselves are in test_cli.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from touchpoint_lib.report import run
from touchpoint_lib.report._options import Value, as_options, one_line
from touchpoint_lib.report.run import Notebook, UsageError


def book(name: str, *inputs: str, parameters: str = "transactions customer") -> Notebook:
    """Return a notebook that needs these inputs."""
    return Notebook(Path(f"{name}.ipynb"), "", inputs, frozenset(parameters.split()))


BOOKS = [book("01_segments", "transactions"), book("02_segment_value"), book("03_Timing")]


def test_the_bundled_folder_is_the_default() -> None:
    assert run.notebooks_folder().name == "notebooks"


def test_notebooks_say_what_they_need(notebooks: Path) -> None:
    found = run.find_notebooks()
    assert [one.name for one in found] == sorted(path.stem for path in notebooks.iterdir())
    assert found[2].inputs == ("transactions", "contacts")
    assert found[0].question == "Who are our <customers>?"
    assert found[0].parameters == {"transactions", "tz", "customer", "unit"}
    assert found[3].parameters == frozenset()


def test_an_empty_folder_is_an_error(notebooks: Path) -> None:
    for path in notebooks.iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no notebook in"):
        run.find_notebooks()


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"cells": 7, "metadata": {}})])
def test_a_file_that_is_no_notebook_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"x\.ipynb is not a readable notebook"):
        run.read_notebook(path)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["01_segments", "02_segment_value", "03_Timing"]),
        (["segments"], ["01_segments"]),
        (["TIMING", "01", "03_timing.ipynb"], ["01_segments", "03_Timing"]),
    ],
)
def test_names_choose_notebooks(names: list[str], chosen: list[str]) -> None:
    assert [one.name for one in run.select(BOOKS, names)] == chosen


def test_the_whole_name_wins_over_a_part() -> None:
    books = [book("timing"), book("timing_two")]
    assert run.select(books, ["timing"]) == books[:1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("segment", "fits several notebooks; name one of 01_segments, 02_segment_value$"),
        ("x", "fits no notebook; name one of 01_segments, 02_segment_value, 03_Timing$"),
    ],
)
def test_names_that_choose_no_one_notebook(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run.select(BOOKS, [name])


def test_without_own_data_every_notebook_runs() -> None:
    assert run.runnable(BOOKS, {}, named=False) == (BOOKS, [])


def test_own_data_skips_what_it_does_not_suffice_for() -> None:
    books = [BOOKS[0], BOOKS[1], book("04_pressure", "transactions", "contacts")]
    ready, skipped = run.runnable(books, {"transactions": "log.csv"}, named=False)
    assert ready == books[:1]
    assert skipped == [
        "02_segment_value: it runs on bundled data only",
        "04_pressure: it needs --contacts too",
    ]


@pytest.mark.parametrize(
    ("books", "inputs", "named", "message"),
    [
        (BOOKS[1:], {"transactions": "a"}, False, "02_segment_value: it runs on bundled data only"),
        (BOOKS[:2], {"transactions": "a"}, True, "bundled data only"),
        (BOOKS[:1], {"contacts": "a"}, True, "it needs --transactions too"),
        (BOOKS[:1], {"transactions": "a", "contacts": "b"}, True, "uses --contacts; leave it out"),
    ],
)
def test_own_data_that_cannot_be_used(
    books: list[Notebook], inputs: dict[str, str], named: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run.runnable(books, inputs, named=named)


def test_parameters_are_the_inputs_and_their_columns() -> None:
    inputs = {"transactions": "/log.csv", "contacts": "/contacts.csv"}
    assert run.parameters_of(BOOKS[0], inputs, {"customer": "id"}) == {
        "transactions": "/log.csv",
        "customer": "id",
    }
    assert run.parameters_of(BOOKS[0], {}, {}) == {}


def test_a_parameter_that_the_notebook_does_not_declare_is_an_error() -> None:
    with pytest.raises(UsageError, match="01_segments takes no --on-bad"):
        run.parameters_of(BOOKS[0], {"transactions": "/log.csv"}, {"on_bad": "drop"})


def test_each_notebook_is_told_about_its_own_inputs_alone() -> None:
    inputs = {"transactions": "/log.csv", "data": "/test.csv"}
    described: dict[str, Value] = {"customer": "id", "outcome": ["visit"], "margin": 0.3}
    experiment = book("04_campaign", "data", parameters="data outcome margin")
    assert run.parameters_of(BOOKS[0], inputs, described) == {
        "transactions": "/log.csv",
        "customer": "id",
    }
    assert run.parameters_of(experiment, inputs, described) == {
        "data": "/test.csv",
        "outcome": ["visit"],
        "margin": 0.3,
    }
    assert run.parameters_of(book("x", "contacts", parameters="contacts"), inputs, described) == {}


@pytest.mark.parametrize(
    ("inputs", "message", "line"),
    [
        (["transactions"], 'customer=, time="day"; order=', "--customer, --time day; --order"),
        (["transactions"], "pass margin=0.3, or discount=", "pass margin=0.3, or --discount"),
        (["data"], 'outcomes=["visit", "a b"], arm=', "--outcome visit 'a b', --arm"),
        (["data"], "covariates=['age'] or segments=[]", "--covariate age or --segment"),
        (["data"], "contact=0.1 and discount=0", "--contact-cost 0.1 and --discount-cost 0"),
        (["data"], "treatment_covariates=[1] and time=", "treatment_covariates=[1] and time="),
        (["data", "transactions"], "discount=, contact=", "--discount, --contact-cost"),
        (["contacts"], "arm=, time=", "arm=, time="),
    ],
)
def test_arguments_are_written_as_options(inputs: list[str], message: str, line: str) -> None:
    assert as_options(message, inputs) == line


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_that_is_no_folder_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .* choose another --output"):
        run.prepare_output(tmp_path / place)


def test_the_index_lists_reports_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    reports = [run.Report(tmp_path / "a b.html", "<Who>?", "<b>All</b> & more.")]
    page = run.write_index(reports, tmp_path, "<log>.csv").read_text(encoding="utf-8")
    assert '<a href="a%20b.html">&lt;Who&gt;?</a>' in page
    assert "&lt;b&gt;All&lt;/b&gt; &amp; more." in page
    assert "&lt;log&gt;.csv" in page
    assert "1970-01-01" in page
    assert "<script" not in page


def test_a_long_message_is_cut_to_one_line() -> None:
    assert one_line("a\n  b") == "a b"
    assert len(one_line("x" * 2000)) == 600
