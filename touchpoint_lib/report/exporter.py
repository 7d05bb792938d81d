"""Notebook to report: one HTML file that asks no network for anything.

The file carries its own style and script and, where there is a chart, plotly.js, once. A content
security policy names the hashes of those scripts, so that a browser runs nothing else and loads
nothing, whatever the data in an output may contain.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbconvert.filters import ansi2html
from nbformat import NotebookNode
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]
from traitlets import Unicode, default

from touchpoint_lib._version import __version__
from touchpoint_lib.report._clean import clean_html
from touchpoint_lib.report._markdown import Outline, formula, markdown_to_html, plain_text
from touchpoint_lib.report.headline import HEADLINE_MIMETYPE

PLOTLY_MIMETYPE = "application/vnd.plotly.v1+json"
TEMPLATES = Path(__file__).parent / "templates"
_CHART_HEIGHT = 450
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif"}
# Tags with the meaning that nbconvert's and Jupyter Book's users know.
_NO_CELL = {"remove-cell", "remove_cell"}
_NO_CODE = {"remove-input", "remove_input"}
_NO_OUTPUT = {"remove-output", "remove_output"}


class Chart(NamedTuple):
    """A chart as the template needs it."""

    id: str
    title: str
    description: str
    height: float
    spec: Markup


class Block(NamedTuple):
    """A piece of the report: code, finished HTML, or a chart."""

    kind: str
    content: Markup | Chart


def find_headline(notebook: NotebookNode) -> dict[str, Any] | None:
    """Return the first headline that a cell of ``notebook`` displays, or None.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
    >>> data = {HEADLINE_MIMETYPE: {"question": "Who?", "verdict": "All."}}
    >>> cell = new_code_cell(outputs=[new_output("display_data", data)])
    >>> find_headline(new_notebook(cells=[cell]))["question"]
    'Who?'
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            content = output.get("data", {}).get(HEADLINE_MIMETYPE)
            if isinstance(content, dict):
                facts = content.get("provenance", [])
                return {
                    "question": str(content.get("question", "")),
                    "verdict": str(content.get("verdict", "")),
                    "tiles": [dict(tile) for tile in content.get("tiles", [])],
                    "provenance": [dict(fact) for fact in facts if isinstance(fact, dict)],
                }
    return None


def export_date() -> str:
    """Return today's date, or the one that SOURCE_DATE_EPOCH fixes for reproducible files."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdecimal():
        return dt.datetime.fromtimestamp(int(epoch), tz=dt.UTC).date().isoformat()
    return dt.date.today().isoformat()


def page_parts(*scripts: str) -> dict[str, Any]:
    """Return what every page shares: style, scripts, and the policy that allows just those."""
    folder = TEMPLATES / "touchpoint"
    styles = [(folder / "report.css").read_text(encoding="utf-8")]
    for style, condition in (
        ("default", "all"),
        ("github-dark", "screen and (prefers-color-scheme: dark)"),
    ):
        colours = HtmlFormatter(style=style, cssclass="highlight").get_style_defs(".highlight")
        styles.append(f"@media {condition} {{\n{colours}\n}}")
    texts = [script.replace("\r\n", "\n") for script in scripts]
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() for text in texts
    ]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"
    return {
        "css": Markup("\n".join(styles)),
        "scripts": [Markup(text) for text in texts],
        "policy": (
            f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
            "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
        ),
        "version": __version__,
    }


def report_environment() -> Environment:
    """Return the templates' environment; it escapes every text that is not marked as HTML."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "touchpoint"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class TouchpointExporter(HTMLExporter):
    """Export a notebook as one offline HTML report.

    ``jupyter nbconvert --to touchpoint notebook.ipynb`` and the export menu of JupyterLab use it.
    The same notebook gives the same bytes, except for the date.

    Examples
    --------
    >>> from nbformat.v4 import new_markdown_cell, new_notebook
    >>> page, _ = TouchpointExporter(date="2024-01-31").from_notebook_node(
    ...     new_notebook(cells=[new_markdown_cell("# Who buys again?")])
    ... )
    >>> "<h1>Who buys again?</h1>" in page
    True
    """

    export_from_notebook = "Touchpoint report (offline HTML)"

    date = Unicode(
        help="Date of the export, as the report shows it; today's, or that of SOURCE_DATE_EPOCH."
    ).tag(config=True)

    def __init__(self, config: Any = None, **options: Any) -> None:
        # Here for its types alone: nbconvert's own has none.
        super().__init__(config=config, **options)  # type: ignore[no-untyped-call]

    @default("date")
    def _date_default(self) -> str:
        return export_date()

    @default("template_name")
    def _template_name_default(self) -> str:
        return "touchpoint"

    @default("extra_template_basedirs")
    def _extra_template_basedirs_default(self) -> list[str]:
        return [str(TEMPLATES)]

    def _create_environment(self) -> Environment:
        return report_environment()

    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return the report's HTML and nbconvert's resources."""
        # Past HTMLExporter, which would parse plotly.js as HTML to mend what is mended here.
        nb, resources = super(TemplateExporter, self).from_notebook_node(nb, resources, **kw)
        head = find_headline(nb)
        outline = Outline(has_title=bool(head and head["question"]))
        blocks = _Blocks(nb, outline, str(resources.get("metadata", {}).get("path", ""))).build()
        name = resources.get("metadata", {}).get("name") or "Notebook"
        question = nb.metadata.get("touchpoint", {}).get("question", "")
        scripts = [(TEMPLATES / "touchpoint" / "report.js").read_text(encoding="utf-8")]
        if any(block.kind == "chart" for block in blocks):
            from plotly.offline import get_plotlyjs

            scripts.insert(0, get_plotlyjs())
        page = self.environment.get_template("index.html.j2").render(
            title=(head and head["question"]) or outline.title or question or name,
            head=head,
            contents=outline.entries if len(outline.entries) > 1 else [],
            blocks=blocks,
            has_code=any(block.kind == "code" for block in blocks),
            date=self.date,
            language=self.language_code,
            **page_parts(*scripts),
        )
        resources["output_extension"] = self.file_extension
        return page, resources


class _Blocks:
    """The cells of one notebook as the blocks of its report."""

    def __init__(self, notebook: NotebookNode, outline: Outline, path: str) -> None:
        self.cells = notebook.cells
        self.outline = outline
        self.path = path
        info = notebook.metadata.get("language_info", {})
        self.lexer = _lexer(info.get("pygments_lexer") or info.get("name") or "python")
        self.head_pending = True
        self.charts = 0

    def build(self) -> list[Block]:
        """Return the blocks in the notebook's order."""
        blocks: list[Block] = []
        for cell in self.cells:
            tags = set(cell.metadata.get("tags", []))
            if tags & _NO_CELL:
                self._skip_headline(cell)
            elif cell.cell_type == "markdown":
                markup = self._markdown(cell.source, cell.get("attachments"))
                if markup.strip():
                    blocks.append(Block("html", Markup(markup)))
            elif cell.cell_type == "code":
                blocks += self._code_cell(cell, tags)
        return blocks

    def _code_cell(self, cell: NotebookNode, tags: set[str]) -> list[Block]:
        """Return the blocks of a code cell: its code, then what it displays."""
        blocks: list[Block] = []
        removed = cell.metadata.get("transient", {}).get("remove_source", False)
        if cell.source.strip() and not tags & _NO_CODE and not removed:
            code = highlight(cell.source, self.lexer, HtmlFormatter(cssclass="highlight"))
            blocks.append(Block("code", Markup(code)))
        if tags & _NO_OUTPUT:
            self._skip_headline(cell)
            return blocks
        for output in cell.outputs:
            block = self._output(output, cell)
            if block is not None:
                blocks.append(block)
        return blocks

    def _skip_headline(self, cell: NotebookNode) -> None:
        """Note that the report's headline stood in a cell that is not shown."""
        for output in cell.get("outputs", []):
            if HEADLINE_MIMETYPE in output.get("data", {}):
                self.head_pending = False

    def _output(self, output: NotebookNode, cell: NotebookNode) -> Block | None:
        """Return the block of one output, or None for what has no place in a report."""
        if output.output_type == "stream":
            # Warnings and progress bars on stderr are for the one who runs the notebook.
            if output.name != "stdout" or not output.text.strip():
                return None
            return _pre(output.text, "stdout")
        if output.output_type == "error":
            summary = f"{output.ename}: {_coloured(output.evalue).striptags()}"
            error = Markup('<details class="error"><summary>{}</summary><pre>{}</pre></details>')
            trace = _coloured("\n".join(output.traceback))
            return Block("html", error.format(summary, trace))
        data = output.get("data", {})
        if HEADLINE_MIMETYPE in data and self.head_pending:
            self.head_pending = False
            return None
        if PLOTLY_MIMETYPE in data:
            return Block("chart", self._chart(data[PLOTLY_MIMETYPE]))
        return self._display(data, output.get("metadata", {}), cell)

    def _display(
        self, data: dict[str, Any], metadata: dict[str, Any], cell: NotebookNode
    ) -> Block | None:
        """Return the richest display that a report can show."""
        if "text/html" in data:
            return Block(
                "html", Markup(clean_html(data["text/html"], image_text=self._image_text()))
            )
        if "text/markdown" in data:
            return Block("html", Markup(self._markdown(data["text/markdown"])))
        alt = metadata.get("image/png", {}).get("alt") or cell.metadata.get("alt")
        if "image/svg+xml" in data:
            # As an image: scripts inside an SVG do not run there.
            encoded = base64.b64encode(data["image/svg+xml"].encode("utf-8")).decode()
            return self._image("svg+xml", encoded, alt, metadata.get("image/svg+xml", {}))
        for mimetype, kind in _IMAGES.items():
            if mimetype in data:
                return self._image(kind, data[mimetype], alt, metadata.get(mimetype, {}))
        if "text/latex" in data:
            return Block("html", Markup(formula(data["text/latex"].strip().strip("$"), block=True)))
        if "text/plain" in data:
            return _pre(data["text/plain"], "plain")
        return None

    def _image(self, kind: str, encoded: str, alt: Any, metadata: dict[str, Any]) -> Block:
        """Return an embedded image with its text alternative."""
        source = f"data:image/{kind};base64,{''.join(encoded.split())}"
        width = metadata.get("width")
        size = Markup(' width="{}"').format(width) if isinstance(width, int) else ""
        tag = Markup('<p class="image"><img src="{}" alt="{}"{}></p>')
        return Block("html", tag.format(source, str(alt or self._image_text()), size))

    def _image_text(self) -> str:
        """Return the text alternative of an image for which the notebook gives none."""
        section = self.outline.section or self.outline.title
        return f"Figure under “{section}”" if section else "Figure without a description"

    def _markdown(self, source: str, attachments: Any = None) -> str:
        """Return Markdown as clean HTML."""
        markup = markdown_to_html(source, self.outline, path=self.path, attachments=attachments)
        return clean_html(markup, image_text=self._image_text())

    def _chart(self, spec: dict[str, Any]) -> Chart:
        """Return a chart as wide as its column, with the texts for those who do not see it."""
        self.charts += 1
        layout = dict(spec.get("layout", {}))
        layout.pop("width", None)
        layout["autosize"] = True
        drawn = {"data": spec.get("data", []), "layout": layout, "frames": spec.get("frames") or []}
        # "<" is escaped inside the JSON, so that no text in it can close the script element.
        text = json.dumps(drawn, ensure_ascii=False).replace("<", "\\u003c")
        title = _layout_text(layout.get("title"))
        return Chart(
            id=self.outline.unique_id(f"chart-{self.charts}"),
            title=title or self.outline.section or "Chart",
            description=describe_chart(spec),
            height=float(layout.get("height") or _CHART_HEIGHT),
            spec=Markup(text),
        )


def describe_chart(spec: dict[str, Any]) -> str:
    """Return what a chart shows in words: its axes, and its series with their number of points.

    Examples
    --------
    >>> layout = {"xaxis": {"title": {"text": "Week"}}, "yaxis": {"title": {"text": "Buyers"}}}
    >>> trace = {"type": "bar", "name": "model", "x": [1, 2], "y": [5, 6]}
    >>> describe_chart({"data": [trace], "layout": layout})
    'Horizontal axis: Week. Vertical axis: Buyers. Series: model (bar, 2 points).'
    """
    layout = spec.get("layout", {})
    parts = []
    for axis, name in (("xaxis", "Horizontal axis"), ("yaxis", "Vertical axis")):
        title = _layout_text(layout.get(axis, {}).get("title"))
        if title:
            parts.append(f"{name}: {title}.")
    series = []
    for number, trace in enumerate(spec.get("data", []), start=1):
        if trace.get("visible", True) is not True:
            continue
        name = plain_text(str(trace.get("name") or f"series {number}"))
        counts = [_length(trace.get(key)) for key in ("x", "y", "z", "values", "labels")]
        points = f", {max(counts)} points" if max(counts) else ""
        series.append(f"{name} ({trace.get('type', 'scatter')}{points})")
    if series:
        parts.append(f"Series: {', '.join(series)}.")
    return " ".join(parts)


def _layout_text(title: Any) -> str:
    """Return the text of a title in a plotly layout, which is a string or an object."""
    return plain_text(str((title.get("text") if isinstance(title, dict) else title) or ""))


def _length(values: Any) -> int:
    """Return the number of values in a list or in plotly's binary form."""
    if isinstance(values, list):
        return len(values)
    if isinstance(values, dict) and "bdata" in values:
        width = int(str(values.get("dtype", "f8")).lstrip("uif").rstrip("c") or 8)
        return len(base64.b64decode(values["bdata"])) // width
    return 0


def _pre(text: str, kind: str) -> Block:
    """Return preformatted text, escaped."""
    pre = Markup('<pre class="{}" tabindex="0">{}</pre>')
    return Block("html", pre.format(kind, _coloured(text.rstrip())))


def _coloured(text: str) -> Markup:
    """Return terminal text as HTML: escaped, its colour codes as classes."""
    return Markup(ansi2html(text))  # type: ignore[no-untyped-call]


def _lexer(name: str) -> Any:
    """Return the highlighter of a language, or plain text for an unknown one."""
    try:
        return get_lexer_by_name(name)
    except ClassNotFound:
        return get_lexer_by_name("text")
