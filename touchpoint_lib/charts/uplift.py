"""For whom a contact pays: what a ranking of customers gains, and what rules are worth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import fail
from touchpoint_lib.campaigns.uplift import UpliftEvaluation
from touchpoint_lib.charts._forest import (
    LINE,
    add_labels,
    amounts,
    bounded,
    finish_high,
    name_rows,
    p_text,
    shortened,
    significant,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars

#: Height of the curve.
_INNER = 300
#: Points drawn of a curve at most.
_POINTS = 200
#: Characters in a line of small print.
_SMALL_PRINT = 125
_FOUND = {
    0: "as far as this experiment tells, the score ranks customers no better than chance",
    1: "the score ranks customers better than chance",
    -1: "the score ranks customers worse than chance",
}
_POLICY = (
    "value_per_1000", "ci_low", "ci_high", "difference", "difference_low", "difference_high",
)  # fmt: skip


def uplift_curve_data(found: UpliftEvaluation) -> pd.DataFrame:
    """Return the Qini curve of a score: what is gained when the best-scored come first.

    Parameters
    ----------
    found : UpliftEvaluation
        From `evaluate_uplift`.

    Returns
    -------
    DataFrame
        At most some 200 points: share (of customers contacted, best first), qini (outcome gained
        in the treated among them) and random (the same without a score); six significant digits.
        ``attrs`` holds outcome, treated, control, n, n_treated, level and coefficients (a dict
        each: coefficient, value, ci_low, ci_high, p_value, normalisation).

    Raises
    ------
    InputError
        If ``found`` is no `UpliftEvaluation`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from touchpoint_lib import charts
    >>> from touchpoint_lib.campaigns.uplift import evaluate_uplift
    >>> generator = np.random.default_rng(0)
    >>> score = generator.random(4000).round(1)
    >>> contacted = generator.integers(0, 2, 4000)
    >>> bought = generator.random(4000) < 0.1 + 0.2 * score * contacted
    >>> data = pd.DataFrame({"arm": contacted, "score": score, "bought": bought})
    >>> found = evaluate_uplift(data, "score", arm="arm", control=0, outcome="bought")
    >>> charts.uplift_curve_data(found).iloc[::5].round(2)
        share    qini  random
    0    0.00    0.00    0.00
    5    0.45  161.44   97.09
    10   0.95  219.16  206.16
    """
    if not isinstance(found, UpliftEvaluation):
        raise fail(f"found is a {type(found).__name__}", "pass the result of evaluate_uplift")
    curve = found.curve
    # The point nearest to each of equally spaced shares, with both ends.
    wanted = np.linspace(0, 1, _POINTS + 1)
    kept = np.unique(np.searchsorted(curve["share"], wanted - 1e-12).clip(max=len(curve) - 1))
    data = curve.iloc[kept][["share", "qini", "random"]].reset_index(drop=True).apply(significant)
    names = ["coefficient", "value", "ci_low", "ci_high", "p_value", "normalisation"]
    data.attrs = {
        "outcome": str(found.outcome),
        "treated": str(found.treated),
        "control": str(found.control),
        "n": found.n_treated + found.n_control,
        "n_treated": found.n_treated,
        "level": found.level,
        "coefficients": [
            {
                name: float(f"{value:.6g}") if isinstance(value, float) else value
                for name, value in row.items()
            }
            for row in found.qini[names].to_dict("records")
        ],
    }
    return data


def uplift_curve_verdict(data: pd.DataFrame) -> str:
    """Return whether the score ranks better than chance, by its Qini coefficient.

    Parameters
    ----------
    data : DataFrame
        From `uplift_curve_data`.
    """
    about, one = data.attrs, _coefficient(data)
    if np.isnan(one["ci_low"]):
        return (
            "The score ranks nobody before another, or nothing varies: there is no interval of the "
            "Qini coefficient."
        )
    best = " and 1 the best ranking there is" if one["coefficient"] == "normalised" else ""
    return (
        f"{_capital(_FOUND[_side(one)])}: {_named(one, about)}, {p_text(one['p_value'])}, where 0 "
        f"is chance{best}."
    )


def uplift_curve(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the Qini curve with the straight line of contacts without a score.

    Parameters
    ----------
    data : DataFrame
        From `uplift_curve_data`.
    source : str
        For the footer.
    """
    about, one = data.attrs, _coefficient(data)
    share, outcome = data["share"].tolist(), text(about["outcome"])
    figure = go.Figure()
    figure.add_scatter(
        name="without a score",
        x=share,
        y=data["random"].tolist(),
        mode="lines",
        line={"color": BASELINE, "width": 2, "dash": "dash"},
        hovertemplate="%{x:.0%} at random: %{y:,.4g}<extra></extra>",
    )
    figure.add_scatter(
        name="by score",
        x=share,
        y=data["qini"].tolist(),
        mode="lines",
        line={"color": ACCENT, "width": 2.5},
        hovertemplate="best %{x:.0%}: %{y:,.4g}<extra></extra>",
    )
    gap = (data["qini"] - data["random"]).abs()
    widest = data.iloc[int(gap.to_numpy().argmax())]
    above = bool(widest["qini"] >= widest["random"])
    for name, colour, column, high in (
        ("by score", ACCENT, "qini", above),
        ("without a score", BASELINE, "random", not above),
    ):
        figure.add_annotation(
            x=float(widest["share"]),
            y=float(widest[column]),
            text=name,
            showarrow=False,
            font={"color": colour},
            xanchor="right" if high else "left",
            yanchor="bottom" if high else "top",
            xshift=-6 if high else 6,
        )
    figure.update_xaxes(
        title="Share of customers contacted, best score first", tickformat=".0%", range=[0, 1.01]
    )
    figure.update_yaxes(title=f"{outcome} gained among<br>the treated contacted so far")
    lines = textwrap.wrap(_capital(f"{_named(one, about)}: {one['normalisation']}"), _SMALL_PRINT)
    figure.add_annotation(
        text="<br>".join(text(line) for line in lines),
        xref="paper",
        yref="paper",
        x=0,
        y=round(-72 / _INNER, 3),
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
        font={"size": 11, "color": GREYS[0]},
    )
    title = f"{_capital(_FOUND[_side(one)])}: {_named(one, about)}"
    return finish_high(
        figure, title, source, about["n"], _INNER, right=30, more=12 + 15 * len(lines)
    )


def policy_value_data(found: UpliftEvaluation) -> pd.DataFrame:
    """Return what rules that say whom to contact are worth, per 1,000 customers.

    Parameters
    ----------
    found : UpliftEvaluation
        From `evaluate_uplift`.

    Returns
    -------
    DataFrame
        A row a rule, nobody and everybody first: rule, share (of customers contacted),
        value_per_1000 with ci_low and ci_high, difference (to everybody) with _low and _high (six
        significant digits; NaN as in `UpliftEvaluation.policy`). ``attrs`` holds outcome, treated,
        control, value, cost, level and n.

    Raises
    ------
    InputError
        If ``found`` is no `UpliftEvaluation`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from touchpoint_lib import charts
    >>> from touchpoint_lib.campaigns.uplift import evaluate_uplift
    >>> data = pd.DataFrame({"arm": [0, 1] * 20, "score": [1, 1, 0, 0] * 10})
    >>> data["bought"] = data["arm"] * data["score"]
    >>> found = evaluate_uplift(
    ...     data, "score", arm="arm", control=0, outcome="bought", at=[0.5], value=10, cost=1
    ... )
    >>> charts.policy_value_data(found)[["rule", "share", "value_per_1000"]]
            rule  share  value_per_1000
    0     nobody    0.0             0.0
    1  everybody    1.0          4000.0
    2  best 50 %    0.5          4500.0
    3   positive    0.5          4500.0
    """
    if not isinstance(found, UpliftEvaluation):
        raise fail(f"found is a {type(found).__name__}", "pass the result of evaluate_uplift")
    data = found.policy[["rule", "share", *_POLICY]].reset_index(drop=True)
    data["rule"] = data["rule"].astype(object)
    data[["share", *_POLICY]] = data[["share", *_POLICY]].apply(significant)
    data.attrs = {
        "outcome": str(found.outcome),
        "treated": str(found.treated),
        "control": str(found.control),
        "value": found.value,
        "cost": found.cost,
        "level": found.level,
        "n": found.n_treated + found.n_control,
    }
    return data


def policy_value_verdict(data: pd.DataFrame) -> str:
    """Return what contacting everybody is worth, and whether a rule is clearly better.

    Parameters
    ----------
    data : DataFrame
        From `policy_value_data`.
    """
    level = data.attrs["level"]
    everybody = data[data["rule"] == "everybody"].to_dict("records")[0]
    told = (
        "Contacting everybody is worth "
        f"{bounded(everybody, 'value_per_1000', level)} per 1,000 customers, beside 0 for "
        f"nobody{_beside_nobody(everybody)}."
    )
    best = _best(data)
    if best is None:
        return told
    rule = _rule(best, data.attrs)
    if best["share"] == 1:
        return f"{told} Of the rules by score {rule}, which is everybody, is worth most."
    return (
        f"{told} Of the rules by score {rule} is worth most, "
        f"{bounded(best, 'value_per_1000', level)} with {best['share']:.0%} contacted: "
        f"{bounded(best, 'difference', level, signed=True)} beside everybody, {_better(best)}. "
        "The best of several tried on the same customers looks a little better than it is."
    )


def policy_value(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the value per 1,000 customers of each rule, with nobody and everybody as baselines.

    Parameters
    ----------
    data : DataFrame
        From `policy_value_data`.
    source : str
        For the footer.
    """
    about, rows = data.attrs, data.to_dict("records")
    known = data[data["value_per_1000"].notna()]
    everybody = float(data.loc[data["rule"] == "everybody", "value_per_1000"].iloc[0])
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": BASELINE, "width": 1.5, "dash": "dash"})
    figure.add_vline(x=everybody, line={"color": BASELINE, "width": 1.5, "dash": "dot"})
    middle = known["value_per_1000"]
    low, high = (known[end].fillna(middle) for end in ("ci_low", "ci_high"))
    plain = known["rule"].isin(["nobody", "everybody"])
    figure.add_scatter(
        name="value",
        x=middle.tolist(),
        y=known.index.tolist(),
        error_x=error_bars(middle, low, high) | {"width": 4, "thickness": 1.5},
        mode="markers",
        marker={
            "color": [BASELINE if one else ACCENT for one in plain],
            "symbol": ["diamond" if one else "circle" for one in plain],
            "size": 11,
        },
        customdata=[text(_policy_hover(row, about)) for row in known.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
    )
    ends = [0.0, *middle, *low, *high]
    pad = 0.05 * (max(ends) - min(ends)) or 1.0
    span = [float(f"{end:.6g}") for end in (min(ends) - pad, max(ends) + pad)]
    labels = [
        f"{'unknown' if np.isnan(row['value_per_1000']) else size} ({row['share']:.0%} contacted)"
        for row, size in zip(rows, amounts(data["value_per_1000"]), strict=True)
    ]
    add_labels(figure, [span[1]] * len(rows), list(range(len(rows))), labels)
    figure.update_xaxes(title="Value per 1,000 customers, money", range=span, nticks=7)
    name_rows(figure, [shortened(_short(row, about)) for row in rows])
    inner = (LINE + 8) * len(rows) + 12
    return finish_high(figure, _policy_title(data), source, about["n"], inner, right=150)


def _coefficient(data: pd.DataFrame) -> dict[str, Any]:
    """Return the normalised coefficient where it is known, else the area."""
    known = [one for one in data.attrs["coefficients"] if not np.isnan(one["value"])]
    found: dict[str, Any] = known[-1]
    return found


def _named(one: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return a coefficient with its name and interval."""
    if one["coefficient"] == "normalised":
        return f"normalised Qini coefficient {bounded(one, 'value', about['level'])}"
    size = bounded(one, "value", about["level"], f"{about['outcome']} a customer")
    return f"Qini area {size}"


def _side(one: Mapping[Any, Any]) -> int:
    """Return 1 or -1 where the interval is above or below 0, else 0."""
    return 1 if one["ci_low"] > 0 else -1 if one["ci_high"] < 0 else 0


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _best(data: pd.DataFrame) -> dict[Any, Any] | None:
    """Return the rule by score with the highest value, None where no value is known."""
    rules = data[~data["rule"].isin(["nobody", "everybody"]) & data["difference"].notna()]
    if rules.empty:
        return None
    return rules.iloc[int(rules["value_per_1000"].to_numpy().argmax())].to_dict()


def _short(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return the rule in a few words: "best 10 %", or above which score a contact pays."""
    if row["rule"] != "positive":
        return str(row["rule"])
    return f"score above {amounts([about['cost'] / about['value']])[0]}"


def _rule(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return the rule as it stands in a sentence."""
    whom = "those with a" if row["rule"] == "positive" else "the"
    return f"contacting {whom} {_short(row, about)}"


def _better(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["difference_low"]):
        return "without an interval, since nothing varies"
    if row["difference_low"] > 0 or row["difference_high"] < 0:
        return f"clearly {'better' if row['difference_low'] > 0 else 'worse'}"
    return "not clearly better or worse"


def _beside_nobody(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["ci_low"]):
        return ""
    if row["ci_low"] > 0 or row["ci_high"] < 0:
        return f": clearly {'better' if row['ci_low'] > 0 else 'worse'}"
    return ": not clearly better or worse"


def _policy_hover(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    value = bounded(row, "value_per_1000", about["level"])
    beside = bounded(row, "difference", about["level"], signed=True)
    return f"{_short(row, about)}: {value}; beside everybody {beside}"


def _policy_title(data: pd.DataFrame) -> str:
    bars = f"Bars are {100 * data.attrs['level']:g}% intervals"
    best = _best(data)
    everybody = data.loc[data["rule"] == "everybody", "value_per_1000"].iloc[0]
    size = amounts([everybody])[0]
    if best is None:
        return f"Contacting everybody is worth {size} per 1,000 customers. {bars}"
    if best["share"] == 1:
        return (
            "No rule by score is worth more than contacting everybody: "
            f"{size} per 1,000 customers. {bars}"
        )
    rule = _rule(best, data.attrs)
    if best["difference_low"] > 0:
        found = f"{rule} is worth clearly more than everybody"
    elif best["difference_high"] < 0:
        found = f"no rule comes up to contacting everybody; {rule} comes nearest"
    else:
        found = f"no rule is clearly better than everybody; {rule} comes first"
    worth = amounts([best["value_per_1000"]])[0]
    return f"Per 1,000 customers, {found} ({worth} beside {size}). {bars}"
