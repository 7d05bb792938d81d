"""How the customers of a model differ in their purchase rate and their drop-out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.special import betainc, betaincinv, gammainc, gammaincinv

from touchpoint_lib._checks import FloatArray, fail
from touchpoint_lib.charts._forest import significant
from touchpoint_lib.charts._style import ACCENT, BASELINE, finish
from touchpoint_lib.charts.alive import lasts, unit_word
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime.beta_geo import BetaGeoModel

#: Classes of the histograms.
_BINS = 25


def heterogeneity_data(model: PurchaseModel) -> pd.DataFrame:
    """Return how the customers of a model differ in their purchase rate and their drop-out.

    Parameters
    ----------
    model : PurchaseModel
        Fitted, without covariates: BG/NBD or MBG/NBD (the drop-out is a probability after a
        purchase), or Pareto/NBD (a rate a unit of time).

    Returns
    -------
    DataFrame
        25 classes of equal width for each of purchase rate and drop-out: quantity, low, high
        (six significant digits), share (of customers). Rates end at the 99% quantile (or the
        mean, where that is higher).
        ``attrs`` holds unit, dropout ("probability" or "rate"), and for each quantity mean,
        median and top_share: the share of the sum over all customers that the top tenth has.

    Raises
    ------
    InputError
        If the model has no parameters or other distributions, or has covariates.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> model = tp.ModifiedBetaGeoModel.from_params([0.525, 6.183, 0.891, 1.614], unit="W")
    >>> charts.heterogeneity_data(model).head(2).round(3)
            quantity    low   high  share
    0  purchase rate  0.000  0.022  0.377
    1  purchase rate  0.022  0.044  0.142
    """
    params = [float(value) for value in model._require_fit()]
    names = model.parameter_names
    if model._covariates is not None:
        raise fail(
            "the model has covariates, so its customers share no one distribution",
            "fit it without covariates",
        )
    if names not in (("r", "alpha", "a", "b"), ("r", "alpha", "s", "beta")):
        raise fail(
            f"a {type(model).__name__} has the parameters {', '.join(names)}",
            "pass a BG/NBD, MBG/NBD or Pareto/NBD model",
        )
    by_time = "beta" in names
    parts = [_gamma("purchase rate", params[0], params[1] * _stages(model))]
    parts.append(
        _gamma("drop-out", params[2], params[3])
        if by_time
        else _beta("drop-out", params[2], params[3])
    )
    data = pd.concat([frame for frame, _ in parts], ignore_index=True)
    data[["low", "high"]] = data[["low", "high"]].apply(significant)
    data.attrs = {
        "unit": model.unit_,
        "dropout": "rate" if by_time else "probability",
        **{str(frame["quantity"].iloc[0]): figures for frame, figures in parts},
        "params": params,
    }
    return data


def heterogeneity_verdict(data: pd.DataFrame) -> str:
    """Return how often customers buy, how unevenly, and how they leave.

    Parameters
    ----------
    data : DataFrame
        From `heterogeneity_data`.
    """
    word = unit_word(data.attrs["unit"])
    rate, leave = data.attrs["purchase rate"], data.attrs["drop-out"]
    if data.attrs["dropout"] == "probability":
        leaves = (
            f"After a purchase {leave['mean']:.0%} leave for good on average; half of the "
            f"customers do so with a probability below {leave['median']:.0%}"
        )
    else:
        _, _, s, beta = data.attrs["params"]
        with np.errstate(over="ignore"):
            half = float(beta * np.expm1(np.log(2) / s))
        leaves = f"Half of the customers have left for good after {lasts(half, word)}"
    return (
        f"While active, the mean customer buys once in {lasts(1 / rate['mean'], word)}; the "
        f"median customer once in {lasts(_inverse(rate['median']), word)}. The most active tenth "
        f"accounts for {rate['top_share']:.0%} of all purchases while everybody is active. "
        f"{leaves}."
    )


def heterogeneity(data: pd.DataFrame, source: str, n: int) -> go.Figure:
    """Draw how customers differ in their purchase rate and their drop-out, with the means.

    Parameters
    ----------
    data : DataFrame
        From `heterogeneity_data`.
    source : str
        For the footer.
    n : int
        Number of customers behind the fit, for the footer.
    """
    unit = unit_word(data.attrs["unit"])
    each = unit.removesuffix("s") if data.attrs["unit"] else "unit of time"
    leaving = (
        "Drop-out probability after a purchase"
        if data.attrs["dropout"] == "probability"
        else f"Drop-out rate a {each}"
    )
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    for col, (name, part) in enumerate(data.groupby("quantity", sort=False), start=1):
        middle = (part["low"] + part["high"]) / 2
        width = part["high"] - part["low"]
        figure.add_bar(
            x=middle.tolist(),
            y=part["share"].tolist(),
            width=width.tolist(),
            marker={"color": ACCENT, "line": {"width": 1, "color": "white"}},
            customdata=part[["low", "high"]].to_numpy().tolist(),
            hovertemplate=(
                "%{customdata[0]:.3g} to %{customdata[1]:.3g}: %{y:.1%} of the customers"
                "<extra></extra>"
            ),
            row=1,
            col=col,
        )
        [mean] = significant(pd.Series([data.attrs[name]["mean"]]))
        figure.add_vline(x=mean, line={"color": BASELINE, "dash": "dash", "width": 1.5}, col=col)
        figure.add_annotation(
            x=mean,
            y=1,
            xref=f"x{'' if col == 1 else col}",
            yref=f"y{'' if col == 1 else col} domain",
            text="mean",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            font={"color": BASELINE},
        )
        figure.update_xaxes(title=f"Purchases a {each}" if col == 1 else leaving, row=1, col=col)
        figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=1, col=col)
    figure.update_yaxes(title="Share of customers", row=1, col=1)
    top = data.attrs["purchase rate"]["top_share"]
    title = (
        f"The most active tenth of the customers accounts for {top:.0%} of the purchases while all "
        "are active"
    )
    # Below the title of the left axis.
    return finish(figure, title, source, n, footer_at=-0.28).update_layout(margin={"b": 100})


def _gamma(name: str, shape: float, scale: float) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return classes and figures of Gamma(shape) / scale."""
    mean = shape / scale
    cut = float(gammaincinv(shape, 0.9))
    edges = np.linspace(0, max(float(gammaincinv(shape, 0.99)) / scale, mean), _BINS + 1)
    return _classes(name, edges, gammainc(shape, edges * scale)), {
        "mean": mean,
        "median": float(gammaincinv(shape, 0.5)) / scale,
        # The part of the mean above a quantile is that of Gamma(shape + 1).
        "top_share": 1 - float(gammainc(shape + 1, cut)),
    }


def _beta(name: str, a: float, b: float) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return classes and figures of Beta(a, b)."""
    cut = float(betaincinv(a, b, 0.9))
    edges = np.linspace(0, 1, _BINS + 1)
    return _classes(name, edges, betainc(a, b, edges)), {
        "mean": a / (a + b),
        "median": float(betaincinv(a, b, 0.5)),
        "top_share": 1 - float(betainc(a + 1, b, cut)),
    }


def _stages(model: PurchaseModel) -> int:
    """Return how many steps of the rate make a purchase: the k of a regular buyer's gaps."""
    return model.regularity_ if isinstance(model, BetaGeoModel) else 1


def _classes(name: str, edges: FloatArray, below: FloatArray) -> pd.DataFrame:
    share = np.diff(below).round(5)
    return pd.DataFrame({"quantity": name, "low": edges[:-1], "high": edges[1:], "share": share})


def _inverse(rate: float) -> float:
    return 1 / rate if rate > 0 else float("inf")
