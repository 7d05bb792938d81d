"""The exporter: one offline file, everything from data escaped, the same bytes each time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import plotly.graph_objects as go
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import get_exporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from touchpoint_lib import __version__
from touchpoint_lib.report._clean import clean_html
from touchpoint_lib.report._markdown import Outline, markdown_to_html
from touchpoint_lib.report.exporter import TouchpointExporter, describe_chart, export_date
from touchpoint_lib.report.headline import Headline, Tile

from .samples import HOSTILE, full_notebook, png, shown, slider_chart


def export(*cells: NotebookNode, **metadata: Any) -> str:
    """Return the report of a notebook with these cells."""
    notebook = new_notebook(cells=list(cells), metadata=metadata)
    page, _ = TouchpointExporter(date="2024-01-31").from_notebook_node(notebook)
    return str(page)


def body(page: str) -> BeautifulSoup:
    """Return the page's elements without its scripts and styles."""
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.find_all(["script", "style"]):
        if element.get("type") != "application/json":
            element.decompose()
    return soup


@pytest.fixture(scope="module")
def full() -> str:
    page, _ = TouchpointExporter(date="2024-01-31").from_notebook_node(full_notebook())
    return str(page)


def test_the_headline_becomes_the_head(full: str) -> None:
    header = body(full).header
    assert header is not None
    assert header.h1 is not None
    assert header.h1.get_text() == "Who is still a customer, and who only looks like one?"
    assert "1,023 of 2,357 customers are awake" in header.get_text()
    values = [tile.get_text() for tile in header.select(".tile-value")]
    assert values == ["1,023", "0.254", "0.118", "$48,200"]
    facts = header.select_one(".provenance")
    assert facts is not None
    for text in ("cdnow.csv", "6,919 used", f"touchpoint_lib {__version__}", "2024-01-31"):
        assert text in facts.get_text()


def test_the_headline_is_shown_once_and_the_notebooks_title_not_again(full: str) -> None:
    soup = body(full)
    assert len(soup.find_all("h1")) == 1
    assert "Segmentation" not in soup.get_text()
    assert soup.get_text().count("recency rule: 1,310") == 1


def test_a_headline_in_a_removed_cell_still_makes_the_head() -> None:
    head = shown(Headline("Who?", "All.", [Tile("n", "7")]), tags=["remove-cell"])
    page = body(export(new_markdown_cell("# Title"), new_markdown_cell("text"), head))
    assert page.h1 is not None
    assert page.h1.get_text() == "Who?"


@pytest.mark.parametrize("level", [1, 2])
def test_without_a_headline_the_first_heading_is_the_title(level: int) -> None:
    page = body(export(new_markdown_cell(f"{'#' * level} First & foremost\n\ntext\n\n# Second")))
    assert [heading.get_text() for heading in page.find_all("h1")] == ["First & foremost"]
    assert [heading.get_text() for heading in page.find_all("h2")] == ["Second"]


def test_without_any_heading_the_question_or_the_name_is_the_title() -> None:
    cell = new_markdown_cell("text")
    assert "<title>Why?</title>" in export(cell, touchpoint={"question": "Why?"})
    resources = {"metadata": {"name": "05_touchpoints <x>"}}
    page, _ = TouchpointExporter().from_notebook_node(new_notebook(cells=[cell]), resources)
    assert "<title>05_touchpoints &lt;x&gt;</title>" in page


def test_every_link_of_the_contents_has_its_own_target(full: str) -> None:
    from urllib.parse import unquote

    soup = body(full)
    links = [unquote(str(link["href"]))[1:] for link in soup.select("#contents a")]
    ids = [str(element["id"]) for element in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    assert len(links) == 6
    assert set(links) <= set(ids)
    assert links.count("客户分层") == links.count("客户分层-2") == 1


def test_comments_in_code_are_no_headings() -> None:
    page = body(export(new_markdown_cell("# T\n\n```python\n# no heading\n```\n\n## A\n\n## B")))
    assert [link.get_text() for link in page.select("#contents a")] == ["A", "B"]


def test_plotly_is_embedded_once_and_only_for_charts(full: str) -> None:
    assert full.count("* plotly.js v") == 1
    without = export(new_markdown_cell("# No chart"), new_code_cell("1"))
    assert len(without) < 60_000
    assert "Plotly.js" not in without


def test_charts_have_a_name_a_description_and_no_fixed_width(full: str) -> None:
    figure = body(full).find("figure")
    assert figure is not None
    assert figure["role"] == "img"
    assert str(figure["aria-label"]).startswith("The model expects 4,120 purchases")
    assert "Vertical axis: Purchases." in figure.get_text()
    script = figure.find("script")
    assert script is not None
    assert "width" not in json.loads(str(script.string))["layout"]


def test_nothing_is_loaded_from_elsewhere(full: str) -> None:
    soup = BeautifulSoup(full, "html.parser")
    for element in soup.select("[src], link, [srcset], [poster], object, iframe, embed"):
        assert str(element.get("src", "")).startswith("data:"), element
    policy = soup.select_one("meta[http-equiv='Content-Security-Policy']")
    assert policy is not None
    assert str(policy["content"]).startswith("default-src 'none'; script-src 'sha256-")
    for unwanted in ("require.min.js", "mathjax.js", "mermaid.esm", "jquery"):
        assert unwanted not in full.lower()


def test_remote_images_become_links() -> None:
    page = body(export(new_markdown_cell('![logo](https://x.example/a.png)<img src="b.png">')))
    assert page.find("img") is None
    assert [link["href"] for link in page.find_all("a")] == ["https://x.example/a.png", "b.png"]


def test_images_beside_the_notebook_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    notebook = new_notebook(cells=[new_markdown_cell("![plan](a.svg)")])
    resources = {"metadata": {"path": str(tmp_path)}}
    page, _ = TouchpointExporter().from_notebook_node(notebook, resources)
    image = body(page).find("img")
    assert image is not None
    assert str(image["src"]).startswith("data:image/svg+xml;base64,")
    assert image["alt"] == "plan"


def test_images_without_a_description_are_named_by_their_section() -> None:
    page = body(export(new_markdown_cell("# T\n\n## Reach"), shown({"image/png": png()})))
    image = page.find("img")
    assert image is not None
    assert image["alt"] == "Figure under “Reach”"


def test_other_outputs() -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>x()</script></svg>"
    page = body(
        export(
            shown({"image/svg+xml": svg}, alt="a plan"),
            shown({"text/markdown": "*so*"}),
            shown({"text/latex": "$x^2$"}),
            shown({"text/plain": f"{HOSTILE} \x1b[31mred\x1b[0m"}),
            shown({"application/javascript": "x()"}),
        )
    )
    assert page.find("img", alt="a plan") is not None
    assert page.find("em") is not None
    assert page.find("msup") is not None
    pre = page.find("pre", class_="plain")
    assert pre is not None
    assert pre.get_text() == f"{HOSTILE} red"
    assert "x()" not in page.get_text()


def test_code_is_folded_and_stderr_left_out(full: str) -> None:
    soup = body(full)
    assert soup.select("details.code")
    assert not soup.select("details.code[open]")
    assert "converged after 5 steps" in soup.get_text()
    assert "secret warning" not in full


@pytest.mark.parametrize(
    ("tag", "code", "output"),
    [
        ("parameters", True, True),
        ("injected-parameters", True, True),
        ("hide-input", True, True),
        ("remove-input", False, True),
        ("remove-output", True, False),
        ("remove-cell", False, False),
    ],
)
def test_tags(tag: str, code: bool, output: bool) -> None:
    stdout = [new_output("stream", name="stdout", text="it ran")]
    page = export(new_code_cell("alpha_code", outputs=stdout, metadata={"tags": [tag]}))
    assert ("alpha_code" in page) is code
    assert ("it ran" in page) is output


def test_an_error_is_shown_as_one_line_with_its_traceback_folded() -> None:
    error = new_output(
        "error", ename="ValueError", evalue=HOSTILE, traceback=["\x1b[31mfirst\x1b[0m", HOSTILE]
    )
    page = export(new_code_cell("boom()", outputs=[error]))
    summary = body(page).select_one("details.error > summary")
    assert summary is not None
    assert summary.get_text() == f"ValueError: {HOSTILE}"
    assert HOSTILE not in page


def test_an_empty_notebook_and_one_with_code_only() -> None:
    assert "<h1>Notebook</h1>" in export()
    page = body(export(new_code_cell("x = 1"), new_code_cell("")))
    assert len(page.select("details.code")) == 1


def test_the_same_notebook_gives_the_same_bytes(full: str) -> None:
    again, _ = TouchpointExporter(date="2024-01-31").from_notebook_node(full_notebook())
    assert again == full


def test_the_date_can_be_fixed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert export_date() == "1970-01-02"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", export_date())


def test_the_notebook_is_left_as_it_was() -> None:
    notebook = full_notebook()
    before = nbformat.writes(notebook)
    TouchpointExporter().from_notebook_node(notebook)
    assert nbformat.writes(notebook) == before
    assert __version__ not in before


def test_nothing_from_data_becomes_markup(full: str) -> None:
    hostile = Headline(HOSTILE, HOSTILE, [Tile(*[HOSTILE] * 4)], {HOSTILE: HOSTILE})
    chart = go.Figure(layout={"title": {"text": HOSTILE}})
    chart.add_scatter(x=[1], y=[2], name=HOSTILE)
    stdout = [new_output("stream", name="stdout", text=HOSTILE)]
    page = export(
        shown(hostile),
        shown(chart),
        new_code_cell(f"'{HOSTILE}'", outputs=stdout, metadata={"alt": HOSTILE}),
        new_markdown_cell(f"## `{HOSTILE}`\n\n{HOSTILE}\n\n## B"),
    )
    assert HOSTILE not in page
    assert HOSTILE not in full
    scripts = BeautifulSoup(page, "html.parser").find_all("script")
    assert len(scripts) == 3  # the chart's data, plotly.js, the report's own


@pytest.mark.parametrize(
    ("fragment", "clean"),
    [
        ('<a href=" javascript:x()">a</a>', "<a>a</a>"),
        ('<img src="data:image/png;base64,AA" onerror="x()">', "data:image/png"),
        ("<iframe srcdoc='x'></iframe>b", "b"),
        ("<style scoped>td{}</style>c", "c"),
        ("<style>@import 'https://x.example/a.css'</style>d", "d"),
        ('<div style="background: url(https://x.example)">e</div>', "<div>e</div>"),
        ("plain & simple", "plain & simple"),
    ],
)
def test_active_and_remote_content_is_removed(fragment: str, clean: str) -> None:
    cleaned = clean_html(fragment, image_text="")
    assert clean in cleaned
    assert not re.search(r"x\(\)|https:|scoped|iframe", cleaned)


def test_tables_scroll_and_align_words_left() -> None:
    table = "<table border='1'><tr><th>name</th><th>n</th><th>p</th><th>city</th></tr>"
    table += "<tr><td>a</td><td>1,023</td><td>43 %</td><td>Kyiv</td></tr></table>"
    soup = BeautifulSoup(clean_html(table, image_text=""), "html.parser")
    assert soup.select_one(".table-frame[tabindex='0'] > table:not([border])") is not None
    assert [cell.get_text() for cell in soup.select(".words")] == ["name", "city", "a", "Kyiv"]


def test_column_names_break_after_their_underscores() -> None:
    table = "<table><thead><tr><th>a_b_c</th><th><b>d_e</b></th></tr></thead></table>"
    cleaned = clean_html(table, image_text="")
    assert "<th>a_<wbr/>b_<wbr/>c</th><th><b>d_<wbr/>e</b></th>" in cleaned


def test_tables_with_spans_align_cell_by_cell() -> None:
    table = "<table><tr><th colspan='2'>x</th></tr><tr><td>a b c</td><td class='k'>Oslo</td></tr>"
    soup = BeautifulSoup(clean_html(table + "</table>", image_text=""), "html.parser")
    assert [cell.get_text() for cell in soup.select("td.words")] == ["a b c", "Oslo"]
    assert soup.select_one("td.k.words") is not None


@pytest.mark.parametrize(
    ("source", "formulas"),
    [
        ("$x^2$", 1),
        (r"\(x\) and \\(y\\)", 2),
        (r"\[x\]", 1),
        ("a\n\n$$\nx\n$$\n\nb", 1),
        (r"\begin{align} a &= b \\ c &= d \end{align}", 1),
        ("from $100 and $200 to $300", 0),
        ("between $5-$10 a piece", 0),
        (r"\$x\$", 0),
        ("`$x$` and ``$y$``", 0),
        ("```\n$$x$$\n```", 0),
        ("    $$x$$", 0),
        ("costs $5, with $\\alpha$", 1),
    ],
)
def test_formulas_are_mathml_and_amounts_stay_text(source: str, formulas: int) -> None:
    markup = markdown_to_html(source, Outline(has_title=True))
    assert markup.count("<math") == formulas
    if not formulas:
        assert "$" in markup


def test_links_between_notebooks_lead_to_their_reports() -> None:
    source = "[next](02_lifetime.ipynb#fit) [out](https://x.example/a.ipynb)"
    markup = markdown_to_html(source, Outline(has_title=True))
    assert 'href="02_lifetime.html#fit"' in markup
    assert 'href="https://x.example/a.ipynb"' in markup


def test_mermaid_stays_readable() -> None:
    markup = markdown_to_html("```mermaid\na --> b\n```", Outline(has_title=True))
    assert "<code>a --&gt; b" in markup


def test_charts_are_described_from_lists_and_from_binary_values() -> None:
    spec = slider_chart().to_plotly_json()
    assert describe_chart(spec) == "Series: error (bar, 3 points)."
    binary = {"type": "scatter", "y": {"dtype": "f8", "bdata": "AAAAAAAAAAAAAAAAAAAAAA=="}}
    assert describe_chart({"data": [binary]}) == "Series: series 1 (scatter, 2 points)."
    assert describe_chart({"data": [{"type": "indicator"}], "layout": {}}).endswith("(indicator).")


def test_nbconvert_and_jupyterlab_find_the_exporter() -> None:
    assert get_exporter("touchpoint") is TouchpointExporter
    assert TouchpointExporter.export_from_notebook == "Touchpoint report (offline HTML)"


@pytest.mark.slow
def test_the_nbconvert_command_writes_the_report(tmp_path: Path) -> None:
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Who?")]), tmp_path / "a.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "touchpoint", "a.ipynb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert "<h1>Who?</h1>" in (tmp_path / "a.html").read_text(encoding="utf-8")
