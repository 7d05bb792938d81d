"""Markdown of a notebook to HTML: formulas become MathML, headings get anchors that are unique."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathBlockParser,
    MathInlineParser,
)

_TAG = re.compile(r"<[^>]*>")


def plain_text(markup: str) -> str:
    """Return the text of a piece of HTML on one line.

    Examples
    --------
    >>> plain_text("Who <em>buys</em> again<br>&amp; when?")
    'Who buys again & when?'
    """
    spaced = re.sub(r"<br\s*/?>", " ", markup, flags=re.IGNORECASE)
    return " ".join(html.unescape(_TAG.sub("", spaced)).split())


def formula(latex: str, *, block: bool) -> str:
    """Return ``latex`` as MathML, or as code where it cannot be read.

    Examples
    --------
    >>> formula("x^2", block=False).startswith("<math")
    True
    >>> formula("x_{", block=False)
    '<code>x_{</code>'
    """
    try:
        mathml = convert(latex.strip(), display="block" if block else "inline")
    except Exception:
        # The converter raises whatever its parser met; the source is then the best that is left.
        return f"<code>{html.escape(latex.strip())}</code>"
    return f'<div class="formula" data-fit tabindex="0">{mathml}</div>' if block else mathml


class Heading(NamedTuple):
    """An entry of the contents list."""

    level: int
    text: str
    href: str


class Outline:
    """The headings of one report: its title, its contents list and its anchors.

    Parameters
    ----------
    has_title
        Whether the title is known already. The first heading of level 1 then repeats it and is
        left out; without a title the first heading of any level becomes it.
    """

    def __init__(self, *, has_title: bool) -> None:
        self.has_title = has_title
        self.title = ""
        self.entries: list[Heading] = []
        self.section = ""
        self._first = True
        self._ids: set[str] = {"contents", "code-toggle"}

    def unique_id(self, text: str) -> str:
        """Return an id that no element of this report has yet."""
        # Spaces to hyphens is JupyterLab's own rule: links inside the notebook keep working.
        base = re.sub(r"\s+", "-", text.strip()) or "section"
        found, number = base, 1
        while found in self._ids:
            number += 1
            found = f"{base}-{number}"
        self._ids.add(found)
        return found

    def add(self, markup: str, level: int) -> str:
        """Return the heading as HTML, or nothing where the head of the report shows it."""
        text = plain_text(markup)
        first, self._first = self._first, False
        if first and (level == 1 or not self.has_title):
            self.title = text
            return ""
        level = max(level, 2)
        self.section = text
        anchor = self.unique_id(text)
        if level <= 3:
            self.entries.append(Heading(level, text, "#" + quote(anchor)))
        return f'<h{level} id="{html.escape(anchor)}">{markup}</h{level}>\n'


class _InlineParser(MathInlineParser):
    r"""Formulas in running text, told apart from amounts of money.

    A formula opens with a dollar sign before a non-space and closes with one after a non-space and
    before no digit (pandoc's rule), so "$100 and $200" stays prose. ``\(..\)`` and ``\[..\]`` count
    with one backslash and with two.
    """

    SPECIFICATION: ClassVar[dict[str, str]] = {
        **MathInlineParser.SPECIFICATION,
        "inline_math_tex": (
            r"(?<![\\$])\$(?![\s$])(?P<math_inline_tex>(?:\\[\s\S]|[^$\\])+?)(?<!\s)\$(?![\d$])"
        ),
        "inline_math_latex": r"(?<!\\)\\{1,2}\((?P<math_inline_latex>[\s\S]*?)\\{1,2}\)",
        "block_math_latex": r"(?<!\\)\\{1,2}\[(?P<math_block_latex>[\s\S]*?)\\{1,2}\]",
    }
    # Code before formulas: what stands between backticks is shown as it is.
    DEFAULT_RULES = (
        "codespan",
        *(rule for rule in MathInlineParser.DEFAULT_RULES if rule != "codespan"),
    )


class _BlockParser(MathBlockParser):
    """Blocks, with fenced code before formulas, so that dollars in code stay code."""

    DEFAULT_RULES = (
        "fenced_code",
        "indent_code",
        *(r for r in MathBlockParser.DEFAULT_RULES if r not in ("fenced_code", "indent_code")),
    )


class _Renderer(IPythonRenderer):
    """Markdown tokens to the HTML of a report."""

    def __init__(self, outline: Outline, **options: Any) -> None:
        super().__init__(escape=False, embed_images=True, **options)
        self.outline = outline

    def heading(self, text: str, level: int, **_attrs: Any) -> str:
        return self.outline.add(text, level)

    def block_math(self, body: str) -> str:
        return formula(body, block=True)

    def inline_math(self, body: str) -> str:
        return formula(body, block=False)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)

    def block_mermaidjs(self, code: str) -> str:
        # No diagram library travels with the report: the source stays readable.
        return f"<pre><code>{html.escape(code)}</code></pre>\n"

    def link(self, text: str, url: str, title: str | None = None) -> str:
        # Reports lie side by side as the notebooks do: a link to a notebook leads to its report.
        local = not re.match(r"[a-z][a-z0-9+.-]*:|//", url, re.IGNORECASE)
        return super().link(text, re.sub(r"\.ipynb(?=$|#)", ".html", url) if local else url, title)


def markdown_to_html(
    source: str,
    outline: Outline,
    *,
    path: str = "",
    attachments: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Return the HTML of a Markdown cell and note its headings in ``outline``.

    Parameters
    ----------
    source
        The Markdown text.
    outline
        Where the headings of the whole report are collected.
    path
        Folder of the notebook; images beside it are embedded.
    attachments
        The cell's attachments, by name and type.

    Examples
    --------
    >>> outline = Outline(has_title=False)
    >>> markdown_to_html("# Who buys?", outline), outline.title
    ('', 'Who buys?')
    >>> markdown_to_html("From $100 to $200.", outline)
    '<p>From $100 to $200.</p>\\n'
    """
    renderer = _Renderer(
        outline,
        path=path,
        attachments={name: dict(data) for name, data in (attachments or {}).items()},
    )
    return MarkdownWithMath(renderer, block=_BlockParser(), inline=_InlineParser()).render(source)
