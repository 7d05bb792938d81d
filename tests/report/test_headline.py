"""Headline and verdict: what a notebook shows and what it stores."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from IPython.core.formatters import DisplayFormatter

from touchpoint_lib.report.headline import HEADLINE_MIMETYPE, Headline, Tile, Verdict

HOSTILE = "<script>alert('&')</script>"


def test_the_headline_displays_as_json_html_and_text() -> None:
    head = Headline("Who?", "All.", [Tile("n", "7", "5 to 9", "last year: 6")], {"Source": "a.csv"})
    shown, _ = DisplayFormatter().format(head)
    assert shown[HEADLINE_MIMETYPE] == {
        "question": "Who?",
        "verdict": "All.",
        "tiles": [
            {"label": "n", "value": "7", "interval": "5 to 9", "compared_with": "last year: 6"}
        ],
        "provenance": [{"label": "Source", "text": "a.csv"}],
    }
    assert json.loads(json.dumps(shown)) == shown
    assert shown["text/plain"] == "Who?\nAll.\nn: 7 (5 to 9; last year: 6)\nSource: a.csv"
    assert "5 to 9" in shown["text/html"]


def test_all_texts_of_a_headline_are_escaped() -> None:
    head = Headline(HOSTILE, HOSTILE, [Tile(*[HOSTILE] * 4)], {HOSTILE: HOSTILE})
    assert "<script" not in head._repr_html_()
    assert head._repr_html_().count("&lt;script&gt;") == 8


def test_figures_given_as_numbers_are_stored_as_text() -> None:
    head = Headline("Q", "V", [Tile("n", 7)], {"Rows": 12})  # type: ignore[arg-type,dict-item]
    assert head.to_dict()["tiles"][0]["value"] == "7"
    assert head.to_dict()["provenance"] == [{"label": "Rows", "text": "12"}]


def test_a_headline_needs_neither_tiles_nor_provenance() -> None:
    assert str(Headline("Q", "V")) == "Q\nV"
    assert Headline("Q", "V").to_dict()["tiles"] == []


def test_the_verdict_is_escaped_html_and_plain_text() -> None:
    shown, _ = DisplayFormatter().format(Verdict(HOSTILE))
    assert shown["text/plain"] == HOSTILE
    assert "<script" not in shown["text/html"]
    assert shown["text/html"].startswith('<p class="verdict"')


def test_the_records_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Verdict("x").sentence = "y"  # type: ignore[misc]


@pytest.mark.parametrize("module", ["headline", "cli"])
def test_the_import_is_light(module: str) -> None:
    heavy = "{'IPython', 'plotly', 'nbconvert', 'papermill', 'pandas', 'numpy', 'jinja2'}"
    code = f"import sys, touchpoint_lib.report.{module}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
