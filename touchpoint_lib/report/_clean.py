"""HTML of a notebook made fit for a report: nothing active, nothing remote, tables that scroll."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag

_ACTIVE = ["script", "iframe", "frame", "object", "embed", "applet", "link", "meta", "base"]
_REMOTE = re.compile(r"url\s*\(|@import", re.IGNORECASE)
_SCHEME = re.compile(r"[\s\x00-\x20]*(javascript|vbscript|data\s*:\s*text/html)", re.IGNORECASE)
_EMPTY = {"", "nan", "none", "nat", "<na>", "inf", "-inf", "-", "–", "—", "…", "..."}
_FIGURE = re.compile(r"[\s(\[<>≤≥±+−–-]*[$€£¥]?\s*[+−-]?\.?\d")


def is_figure(text: str) -> bool:
    """Return whether ``text`` reads as a number, an amount, an interval, or as missing.

    Examples
    --------
    >>> [is_figure(text) for text in ("1,023", "-0.4 %", "NaN", "0.1 to 0.3", "3 months at most")]
    [True, True, True, True, False]
    """
    text = text.strip()
    if text.lower() in _EMPTY:
        return True
    return bool(_FIGURE.match(text)) and sum(char.isalpha() for char in text) <= 3


def clean_html(fragment: str, *, image_text: str) -> str:
    """Return ``fragment`` without active or remote content, its tables inside a scrolling frame.

    Parameters
    ----------
    fragment
        HTML from a Markdown cell or an output.
    image_text
        The text alternative of an image that has none.

    Examples
    --------
    >>> clean_html('<b onclick="x()">8</b><script>x()</script>', image_text="")
    '<b>8</b>'
    """
    if "<" not in fragment:
        return fragment
    soup = BeautifulSoup(fragment, "html.parser")
    for element in soup.find_all(True):
        if element.decomposed:
            continue
        name = element.name.lower()
        # pandas sends a scoped style with every frame; the report's own style replaces it.
        style = name == "style" and (
            element.has_attr("scoped") or _REMOTE.search(element.get_text())
        )
        if name in _ACTIVE or style:
            element.decompose()
            continue
        _clean_attributes(element)
        if name == "img":
            _mend_image(soup, element, image_text)
    for table in soup.find_all("table"):
        if table.find_parent("table") is None:
            _frame_table(soup, table)
    return str(soup)


def _clean_attributes(element: Tag) -> None:
    """Drop event handlers, active links, and what would load from elsewhere."""
    for name, value in list(element.attrs.items()):
        text = " ".join(value) if isinstance(value, list) else str(value)
        if (
            name.lower().startswith("on")
            or name.lower() in ("srcdoc", "srcset", "poster", "background", "ping")
            or (_SCHEME.match(text) and name.lower() != "alt")
            or (name.lower() == "style" and _REMOTE.search(text))
            or (name.lower() == "src" and not text.startswith("data:") and element.name != "img")
        ):
            del element[name]
    if element.name == "p" and "verdict" in element.get_attribute_list("class"):
        del element["style"]


def _mend_image(soup: BeautifulSoup, image: Tag, text: str) -> None:
    """Give the image a text alternative; put a link in place of one that is not embedded."""
    if not image.get("alt"):
        image["alt"] = text
    source = str(image.get("src", ""))
    if source.startswith("data:"):
        return
    link = soup.new_tag("a", href=source)
    link.string = str(image["alt"]) or source
    image.replace_with(link)


def _frame_table(soup: BeautifulSoup, table: Tag) -> None:
    """Put the table into a frame that scrolls, and mark the cells that hold words."""
    del table["border"]
    rows = [row.find_all(["td", "th"], recursive=False) for row in table.find_all("tr")]
    cells = [cell for row in rows for cell in row]
    spans = any(cell.has_attr("colspan") or cell.has_attr("rowspan") for cell in cells)
    if spans or len({len(row) for row in rows}) > 1:
        words = [cell for cell in cells if cell.name == "td" and not is_figure(cell.get_text())]
    else:
        words = []
        for column in zip(*rows, strict=True):
            body = [cell for cell in column if cell.name == "td"]
            if not all(is_figure(cell.get_text()) for cell in body):
                words += column
    for cell in words:
        cell["class"] = " ".join([*filter(None, cell.get_attribute_list("class")), "words"])
    for header in table.select("thead th"):
        _let_break(soup, header)
    frame = soup.new_tag("div", attrs={"class": "table-frame", "data-fit": "", "tabindex": "0"})
    frame["role"] = "region"
    caption = table.find("caption")
    frame["aria-label"] = caption.get_text(" ", strip=True) if caption else "Table"
    table.wrap(frame)


def _let_break(soup: BeautifulSoup, header: Tag) -> None:
    """Let a column's name break after its underscores, so that the table stays narrow."""
    for text in list(header.find_all(string=lambda found: "_" in (found or ""))):
        for part in str(text).split("_")[:-1]:
            text.insert_before(f"{part}_", soup.new_tag("wbr"))
        text.replace_with(str(text).rpartition("_")[2])
