"""What a report says first: the question, the verdict, the figures behind it, where they are from.

A notebook displays a `Headline` once and a `Verdict` above each chart. Both are readable in
JupyterLab; the exporter turns the headline into the head of the report.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

#: The exporter finds the headline by this type; its value is plain JSON.
HEADLINE_MIMETYPE = "application/vnd.touchpoint.headline+json"

# Inline styles: JupyterLab drops a <style> element from the output of a notebook it does not trust.
_CARD = "border:1px solid #8888;border-radius:8px;padding:1em 1.25em;max-width:900px"
_TILE = "border-top:3px solid #0072b2;padding:.4em 1.5em .4em 0;min-width:9em"
_SMALL = "font-size:.85em;opacity:.8"
_VERDICT = "border-left:4px solid #0072b2;padding-left:.75em;font-weight:600"


def _div(style: str, text: str) -> str:
    """Return a styled ``div`` with ``text`` escaped, or nothing for no text."""
    return f'<div style="{style}">{html.escape(text)}</div>' if text else ""


@dataclasses.dataclass(frozen=True)
class Tile:
    """One figure of a headline, as the texts that stand on its tile.

    Parameters
    ----------
    label
        What the figure is, with its unit.
    value
        The figure, rounded for reading.
    interval
        Its interval ("95%: 0.21 to 0.29"), or empty.
    compared_with
        The baseline and its figure ("fixed 90 days: 0.46"), or empty.

    Examples
    --------
    >>> Tile("Error rate", "0.25", "95%: 0.21 to 0.29", "recency: 0.31").value
    '0.25'
    """

    label: str
    value: str
    interval: str = ""
    compared_with: str = ""


@dataclasses.dataclass(frozen=True)
class Headline:
    """The head of a report: display it once, in any cell.

    Parameters
    ----------
    question
        The question that the notebook answers; it becomes the title.
    verdict
        The answer, in one or two sentences.
    tiles
        Three to five figures that carry the verdict.
    provenance
        Label and text of each fact about the data: file name, rows used and refused, window.
        The exporter adds the library's version and the date, so that none is stored in a notebook.

    Examples
    --------
    >>> head = Headline(
    ...     "Who is still a customer?",
    ...     "1,023 of 2,357 customers are awake.",
    ...     [Tile("Awake", "1,023")],
    ...     {"Source": "cdnow.csv"},
    ... )
    >>> print(head)
    Who is still a customer?
    1,023 of 2,357 customers are awake.
    Awake: 1,023
    Source: cdnow.csv
    """

    question: str
    verdict: str
    tiles: tuple[Tile, ...] | list[Tile] = ()
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the headline as plain JSON values, in a fixed order.

        Examples
        --------
        >>> Headline("Why?", "Because.", [Tile("n", "7")], {"Source": "a.csv"}).to_dict()["tiles"]
        [{'label': 'n', 'value': '7', 'interval': '', 'compared_with': ''}]
        """
        return {
            "question": str(self.question),
            "verdict": str(self.verdict),
            "tiles": [
                {name: str(text) for name, text in dataclasses.asdict(tile).items()}
                for tile in self.tiles
            ],
            # Pairs, because a notebook file sorts the keys of an object.
            "provenance": [
                {"label": str(label), "text": str(text)} for label, text in self.provenance.items()
            ],
        }

    def __str__(self) -> str:
        """Return the headline as lines of text."""
        content = self.to_dict()
        lines = [content["question"], content["verdict"]]
        for tile in content["tiles"]:
            notes = "; ".join(text for text in (tile["interval"], tile["compared_with"]) if text)
            lines.append(f"{tile['label']}: {tile['value']}" + (f" ({notes})" if notes else ""))
        lines += [f"{fact['label']}: {fact['text']}" for fact in content["provenance"]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the card that JupyterLab shows."""
        content = self.to_dict()
        tiles = "".join(
            f'<div style="{_TILE}">'
            + _div(_SMALL, tile["label"])
            + _div("font-size:1.6em;font-weight:600", tile["value"])
            + _div(_SMALL, tile["interval"])
            + _div(_SMALL, tile["compared_with"])
            + "</div>"
            for tile in content["tiles"]
        )
        facts = " · ".join(f"{fact['label']}: {fact['text']}" for fact in content["provenance"])
        return (
            f'<div class="headline" style="{_CARD}">'
            + _div(_SMALL, content["question"])
            + _div("font-size:1.25em;font-weight:600;margin:.3em 0 .8em", content["verdict"])
            + f'<div style="display:flex;flex-wrap:wrap;gap:1em">{tiles}</div>'
            + _div(_SMALL + ";margin-top:1em", facts)
            + "</div>"
        )

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, Any]:
        """Return the displays: JSON for the exporter, a card for JupyterLab, text for the rest."""
        return {
            HEADLINE_MIMETYPE: self.to_dict(),
            "text/html": self._repr_html_(),
            "text/plain": str(self),
        }


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The sentence that stands above a chart and says what the chart shows.

    Parameters
    ----------
    sentence
        Plain text: markup in it is shown, not obeyed.

    Examples
    --------
    >>> print(Verdict("Half of the base is asleep."))
    Half of the base is asleep.
    """

    sentence: str

    def __str__(self) -> str:
        """Return the sentence."""
        return str(self.sentence)

    def _repr_html_(self) -> str:
        """Return the sentence as an escaped paragraph of class "verdict"."""
        return f'<p class="verdict" style="{_VERDICT}">{html.escape(str(self))}</p>'

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        """Return the displays: HTML, and the sentence itself as text."""
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
