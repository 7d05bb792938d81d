"""What figures share: amounts in words, and rows of intervals with labels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import fail
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text, wrap
from touchpoint_lib.charts.lifetime import error_bars

#: Row and column of a panel; neither in a figure of one panel.
Place = tuple[int | None, int | None]
WHOLE: Place = (None, None)
#: The unit of an outcome of 0 and 1: its effects are told in percentage points.
SHARE = "%"
#: Panels side by side at most.
WIDE = 3
#: Height of a line of a forest.
LINE = 25
#: Between a row of panels and the next: title of the axis above, title of the panel below.
_GAP = 84
#: Width of all panels together in a report, about.
_WIDTH = 690
#: Significant digits of what is drawn.
_DIGITS = 6
#: Characters of a label at the left, and above a panel by the number of columns.
_LABEL = 30
_HEADS = {1: 70, 2: 36, 3: 20}
#: Whiskers further off than so many median lengths are cut.
_FURTHEST = 3.0


def significant(values: pd.Series) -> pd.Series:
    """Return floats with six significant digits, so that figures are the same everywhere."""
    return values.map(lambda value: float(f"{value:.{_DIGITS}g}")).astype(float)


def amounts(values: Iterable[float], unit: str = "", *, signed: bool = False) -> list[str]:
    """Return numbers with one number of decimals, three digits of the largest.

    Shares are told in percent, without the sign for it.
    """
    scaled = [(100 if unit == SHARE else 1) * float(value) for value in values]
    largest = max((abs(value) for value in scaled if np.isfinite(value)), default=0.0)
    places = min(max(2 - math.floor(math.log10(largest)), 0), 12) if largest > 0 else 0
    sign = "+" if signed else ""
    # Not "-0.0", nor "+0.0".
    return [
        f"{value:{sign if round(value, places) else ''},.{places}f}"
        if round(value, places)
        else f"{0:.{places}f}"
        for value in scaled
    ]


def unit_words(unit: str) -> str:
    """Return the unit of an effect as it follows the number."""
    return " percentage points" if unit == SHARE else f" {unit}".rstrip()


def bounded(
    row: Mapping[Any, Any],
    name: str,
    level: float,
    unit: str = "",
    *,
    signed: bool = False,
    among: Iterable[float] = (),
) -> str:
    """Return an estimate with its unit and interval, the estimate alone where there is none.

    The bounds are called like the estimate, or else ci_low and ci_high. The number of decimals is
    that of ``among`` as well: what is told beside it.
    """
    bounds = f"{name}_" if f"{name}_low" in row else "ci_"
    values = [row[name], row[f"{bounds}low"], row[f"{bounds}high"]]
    if not np.isfinite(values[1:]).all():
        return amounts([values[0], *among], unit, signed=signed)[0] + unit_words(unit)
    one, least, most, *_ = amounts([*values, *among], unit, signed=signed)
    return f"{one}{unit_words(unit)} ({100 * level:g}%: {least} to {most})"


def p_text(value: float) -> str:
    """Return a p value as it is printed: .71, .003, < .001."""
    if value < 0.001:
        return "p < .001"
    return f"p {value:.{2 if value >= 0.1 else 3}f}".replace(" 0.", " .")


def joined(parts: Sequence[str]) -> str:
    """Return a list in words: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def shortened(label: Any, most: int = _LABEL) -> str:
    """Return an escaped label, cut in its middle where it would take the room of the figure."""
    label = str(label)
    if len(label) > most:
        # What tells labels apart is often at the end.
        end = most // 3
        label = f"{label[: most - 1 - end].rstrip()}…{label[-end:].lstrip()}"
    return text(label)


def check_found(found: Any) -> CampaignEvaluation:
    """Return the evaluation; raise if it is something else."""
    if not isinstance(found, CampaignEvaluation):
        raise fail(f"found is a {type(found).__name__}", "pass the result of evaluate_campaign")
    return found


def rows_of(found: CampaignEvaluation, outcome: str | None, among: Iterable[str]) -> pd.DataFrame:
    """Return the rows of one of several outcomes, of the only one where none is named."""
    names = list(dict.fromkeys(among))
    listed = ", ".join(map(repr, names))
    if outcome is None:
        if len(names) > 1:
            raise fail(f"there are the outcomes {listed}", "name one: outcome=")
        outcome = names[0]
    if outcome not in names:
        raise fail(f"outcome is {outcome!r}, there are {listed}", "name one of them")
    return found.table[found.table["outcome"] == outcome]


def plain_rows(rows: pd.DataFrame, figures: Sequence[str]) -> pd.DataFrame:
    """Return arm, segment and numbers of rows of an evaluation, with rounded figures."""
    data = rows[["arm", "segment_by", "segment", "n_treated", "n_control", *figures]].copy()
    for name in ("arm", "segment_by", "segment"):
        data[name] = data[name].map(str).astype(object)
    data[list(figures)] = data[list(figures)].apply(significant)
    return data.reset_index(drop=True)


def about_rows(found: CampaignEvaluation, rows: pd.DataFrame) -> dict[Hashable, Any]:
    """Return what the figures of these rows rest on."""
    shown = {*rows["arm"], *rows["control"]}
    control = rows["control"].iloc[0]
    return {
        "outcome": str(rows["outcome"].iloc[0]),
        "control": None if control is None else str(control),
        "method": found.method,
        "randomised": found.randomised,
        "level": found.level,
        "n": sum(n for label, n in found.arms.items() if label in shown),
    }


@dataclass(frozen=True)
class Lines:
    """Where the rows of a forest stand: a line each, and one above each group of segments.

    ``height`` is the one by (segment_by, segment), counted downwards from 0.
    """

    height: dict[tuple[str, str], int]
    ticks: list[int]
    labels: list[str]

    @classmethod
    def of(cls, segments: pd.DataFrame) -> Lines:
        """Return the lines of segment_by and segment."""
        at: dict[tuple[str, str], int] = {}
        ticks: list[int] = []
        labels: list[str] = []
        group = ""
        pairs = segments[["segment_by", "segment"]].drop_duplicates()
        for by, name in pairs.itertuples(index=False):
            if by != group:
                group = by
                ticks.append(len(ticks))
                labels.append(f"<b>{shortened(by)}</b>")
            at[by, name] = len(ticks)
            ticks.append(len(ticks))
            labels.append(shortened(name) if by else "All customers")
        return cls(at, ticks, labels)

    @property
    def pixels(self) -> int:
        """Of all lines."""
        return LINE * len(self.ticks) + 12


@dataclass(frozen=True)
class Span:
    """The values of an axis that all panels share, and whether a whisker is longer."""

    low: float
    high: float
    cut: bool

    @classmethod
    def of(cls, data: pd.DataFrame, marks: Iterable[float] = ()) -> Span:
        """Return the axis of effect, ci_low, ci_high, with 0 and ``marks`` on it."""
        known = data[data["effect"].notna()]
        points = [0.0, *known["effect"], *(mark for mark in marks if np.isfinite(mark))]
        bars = known[known["ci_low"].notna()]
        reach = _FURTHEST * float((bars["ci_high"] - bars["ci_low"]).median()) if len(bars) else 0.0
        low, high = min(points), max(points)
        least, most = bars["ci_low"].min(), bars["ci_high"].max()
        cut = bool(least < low - reach or most > high + reach)
        low = min(low, max(least, low - reach)) if len(bars) else low
        high = max(high, min(most, high + reach)) if len(bars) else high
        pad = 0.05 * (high - low) or 1.0
        return cls(low - pad, high + pad, cut)

    def axis(self, scale: int) -> list[float]:
        """Return the range of an axis in units of ``scale``."""
        return [float(f"{scale * end:.{_DIGITS}g}") for end in (self.low, self.high)]


def add_forest(
    figure: go.Figure,
    rows: pd.DataFrame,
    lines: Lines,
    span: Span,
    *,
    unit: str,
    labels: Sequence[str],
    hovers: Sequence[str],
    place: tuple[int, int],
    line: str = BASELINE,
) -> None:
    """Draw effects with their intervals, and a label at the right of each, in one panel.

    ``rows`` holds segment_by, segment, effect, ci_low, ci_high; ``labels`` and ``hovers`` (escaped)
    have one text a row. Rows without an effect have their label alone. All customers are drawn
    in the accent colour, 0 as a dashed line in the colour ``line``.
    """
    row, col = place
    scale = 100 if unit == SHARE else 1
    height = np.array(
        [lines.height[key] for key in zip(rows["segment_by"], rows["segment"], strict=True)]
    )
    known = rows["effect"].notna().to_numpy()
    drawn = rows[known]
    middle, low, high = (
        # Without an interval a point has no whiskers.
        significant(scale * drawn[name].fillna(drawn["effect"]).clip(span.low, span.high))
        for name in ("effect", "ci_low", "ci_high")
    )
    whole = (drawn["segment_by"] == "").to_numpy()
    figure.add_scatter(
        name="effect",
        x=middle.tolist(),
        y=height[known].tolist(),
        error_x=whiskers(middle, low, high, 8),
        mode="markers",
        marker={
            "color": [ACCENT if one else GREYS[0] for one in whole],
            "symbol": ["diamond" if one else "circle" for one in whole],
            "size": [12 if one else 8 for one in whole],
            "opacity": 1,
        },
        customdata=[one for one, there in zip(hovers, known, strict=True) if there],
        hovertemplate="%{customdata}<extra></extra>",
        row=row,
        col=col,
    )
    add_labels(figure, [span.axis(scale)[1]] * len(rows), height.tolist(), labels, place)
    # Behind the traces: an empty panel would take no line.
    figure.add_vline(
        x=0, line={"color": line, "width": 1.5, "dash": "dash"}, layer="below", row=row, col=col
    )
    figure.update_xaxes(range=span.axis(scale), nticks=5, row=row, col=col)
    name_rows(figure, lines.labels, place)


def whiskers(middle: pd.Series, low: pd.Series, high: pd.Series, size: int) -> dict[str, Any]:
    """Return intervals as lines without ends, beside marks of a size."""
    return error_bars(middle, low, high, size) | {"width": 0, "thickness": 1.5}


def add_labels(
    figure: go.Figure,
    ends: Sequence[float],
    height: Sequence[float],
    labels: Iterable[str],
    place: Place = WHOLE,
) -> None:
    """Write a text (escaped) at the right of each end."""
    figure.add_scatter(
        name="label",
        x=ends,
        y=height,
        mode="text",
        text=[f"\u2002{label}" for label in labels],
        textposition="middle right",
        textfont={"size": 11},
        cliponaxis=False,
        hoverinfo="skip",
        row=place[0],
        col=place[1],
    )


def name_rows(figure: go.Figure, labels: Sequence[str], place: Place = WHOLE) -> None:
    """Name the rows 0, 1, ... of a panel (escaped) at its left, the first one uppermost."""
    figure.update_yaxes(
        range=[len(labels) - 0.4, -0.6],
        tickvals=list(range(len(labels))),
        ticktext=labels,
        showgrid=False,
        row=place[0],
        col=place[1],
    )


@dataclass(frozen=True)
class Panels:
    """Panels of equal width, one or more above each other for each arm.

    ``inner`` is the height of all of them in pixels, ``places`` the row and column of the
    uppermost panel of each arm, ``last`` whether no other arm is below.
    """

    figure: go.Figure
    inner: int
    wide: int
    places: list[tuple[int, int]]
    last: list[bool]

    @classmethod
    def of(
        cls, arms: Sequence[str], heights: Sequence[int], labels: int, most: int = WIDE
    ) -> Panels:
        """Return empty panels, ``most`` side by side; ``labels``: pixels at the right of each."""
        wide, many = min(len(arms), most), len(heights)
        rows = -(-len(arms) // wide) * many
        inner = sum(heights) * rows // many + _GAP * (rows - 1)
        heads = [""] * (rows * wide)
        places = []
        for number, arm in enumerate(arms):
            row, col = number // wide * many + 1, number % wide + 1
            places.append((row, col))
            heads[(row - 1) * wide + col - 1] = f"<b>{shortened(arm, _HEADS[wide])}</b>"
        figure = make_subplots(
            rows=rows,
            cols=wide,
            row_heights=[*heights] * (rows // many),
            shared_yaxes=True,
            horizontal_spacing=round(labels / _WIDTH, 3),
            vertical_spacing=_GAP / inner if rows > 1 else 0,
            subplot_titles=heads,
        )
        figure.update_annotations(font={"size": 13})
        last = [number + wide >= len(arms) for number in range(len(arms))]
        return cls(figure, inner, wide, places, last)

    def finish(self, title: str, source: str, n: int, right: int) -> go.Figure:
        """Give the panels title and footer, and room for labels at the right."""
        self.figure.update_xaxes(title={"font": {"size": 13}})
        return finish_high(self.figure, title, source, n, self.inner, right=right, head=26)


def finish_high(
    figure: go.Figure,
    title: str,
    source: str,
    n: int,
    inner: int,
    *,
    right: int,
    head: int = 8,
    more: int = 0,
) -> go.Figure:
    """Finish a figure whose plots are ``inner`` pixels high.

    ``head`` and ``more`` are pixels kept free below the title, and above the footer.
    """
    top = 32 + 22 * (wrap(title).count("<br>") + 1) + head
    # Below the lines that name the axis.
    names = [str(axis.title.text or "") for axis in figure.select_xaxes()]
    foot = 54 + 18 * max(name.count("<br>") + 1 for name in names) + more
    finish(figure, title, source, n, footer_at=round(-foot / inner, 4))
    return figure.update_layout(
        height=inner + top + foot + 30,
        margin={"t": top, "b": foot + 30, "r": right},
        # Long labels at the left must not push the title out at the right.
        title={
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 22, "l": 14},
        },
    )
