"""For whom the contact pays: uplift scores, Qini, effect of the targeted, value of a policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import (
    FloatArray,
    check_choice,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.campaigns._data import read_arms, read_covariates, read_values
from touchpoint_lib.campaigns._moments import plain
from touchpoint_lib.campaigns._qini import (
    Experiment,
    RankedArm,
    curve_frame,
    qini_frame,
    targeted_weight,
    totals,
)
from touchpoint_lib.campaigns._trial import check_unique, read_trial

__all__ = ["UpliftEvaluation", "evaluate_uplift", "uplift_scores"]

#: Small trees of a slow step: the effect is a small part of what an outcome varies by.
_BOOSTING: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_iter": 100,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 100,
    "early_stopping": False,
}


def uplift_scores(
    data: Any,
    *,
    arm: str,
    control: Any,
    outcome: str,
    covariates: Iterable[str],
    treated: Any = None,
    learner: str = "linear",
    share: float = 0.5,
    seed: int = 0,
) -> pd.Series[float]:
    """Predict what the contact adds for each customer, from other customers (T-learner 双模型).

    A model of the outcome is fitted in each arm on a random part of its rows; the score of every
    row left is the prediction of the treated arm's model less that of the control's.

    Parameters
    ----------
    data : DataFrame
        A row a customer, each with its own index value.
    arm, control, treated
        Column of the arm, its value for the control, and for the arm to compare; the last may be
        left out where there is only one.
    outcome : str
        Column; 0/1, counts or money.
    covariates : iterable of str
        Columns known before the contact; text, categories and truth values become indicators.
    learner : {"linear", "boosting"}
        Least squares (of collinear covariates the solution of least norm), or scikit-learn's
        histogram gradient boosting: a classifier where the outcome is 0/1, else a regressor.
    share : float
        Of each arm's rows that the models are fitted on, in (0, 1), drawn at random.
    seed : int
        Of that draw.

    Returns
    -------
    Series of float, shape (rows of the two arms that were not fitted on,)
        Named "uplift", in units of the outcome, on their index in the order of ``data``.
        ``attrs``: n_fitted, learner, treated, control.

    Raises
    ------
    InputError
        If a column is missing or has missing values, an index value is not unique, or an arm has
        too few rows (or only one value of a 0/1 outcome, for boosting) to fit a model.

    References
    ----------
    Künzel, Sekhon, Bickel and Yu (2019), "Metalearners for estimating heterogeneous treatment
    effects", PNAS 116.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> orders = np.arange(400) % 4
    >>> contacted = np.arange(400) // 4 % 2
    >>> data = pd.DataFrame({"arm": contacted, "orders": orders, "spend": 10 + orders * contacted})
    >>> score = tp.uplift_scores(
    ...     data, arm="arm", control=0, outcome="spend", covariates=["orders"]
    ... )
    >>> score.groupby(data["orders"]).mean().round(6).abs().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    check_choice("learner", learner, ("linear", "boosting"))
    part = check_number("share", share, gt=0, lt=1)
    generator = np.random.default_rng(check_integer("seed", seed, ge=0))
    arms = read_arms(data, arm, control)
    code = arms.pair(treated)
    check_unique(data, "data")
    own = np.flatnonzero(arms.with_control(code))
    rows, group = data.iloc[own], arms.code[own]
    y, design = read_values(rows, outcome), read_covariates(rows, covariates)
    if not design.names:
        raise fail("covariates is empty", "name at least one column known before the contact")
    fitted = np.zeros(len(rows), dtype=np.bool_)
    for one in (0, code):
        mine = generator.permutation(np.flatnonzero(group == one))
        fitted[mine[: round(part * len(mine))]] = True
    x, needed = design.matrix, len(design.names) + 2
    binary = bool(np.isin(y, (0, 1)).all())
    prediction = {}
    for one in (0, code):
        rows_of = fitted & (group == one)
        if rows_of.sum() < needed or rows_of.sum() == (group == one).sum():
            raise fail(
                f"arm {arms.labels[one]!r} has {rows_of.sum()} of {(group == one).sum()} rows to "
                f"fit {len(design.names)} covariates",
                f"at least {needed} are needed and one left to score: pass more rows, fewer "
                "covariates or another share",
            )
        if learner == "linear":
            prediction[one] = _least_squares(x[rows_of], y[rows_of], x[~fitted])
            continue
        if binary and np.ptp(y[rows_of]) == 0:
            raise fail(
                f"outcome {outcome!r} is {y[rows_of][0]:g} in all {rows_of.sum()} fitted rows of "
                f"arm {arms.labels[one]!r}",
                'pass more rows, or learner="linear"',
            )
        prediction[one] = _boosted(x[rows_of], y[rows_of], x[~fitted], binary)
    result = pd.Series(prediction[code] - prediction[0], index=rows.index[~fitted], name="uplift")
    result.attrs = {
        "n_fitted": int(fitted.sum()),
        "learner": learner,
        "treated": plain(arms.labels[code]),
        "control": plain(arms.labels[0]),
    }
    return result


def _least_squares(x: FloatArray, y: FloatArray, ahead: FloatArray) -> FloatArray:
    """Return the predictions for ``ahead``."""
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    slope = np.linalg.lstsq((x - centre) / scale, y - y.mean(), rcond=None)[0] / scale
    return y.mean() + (ahead - centre) @ slope


def _boosted(x: FloatArray, y: FloatArray, ahead: FloatArray, binary: bool) -> FloatArray:
    """Return the predictions for ``ahead``."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if binary:
        return (
            HistGradientBoostingClassifier(random_state=0, **_BOOSTING)
            .fit(x, y)
            .predict_proba(ahead)[:, 1]
        )
    return HistGradientBoostingRegressor(random_state=0, **_BOOSTING).fit(x, y).predict(ahead)


@dataclass(frozen=True, eq=False)
class UpliftEvaluation:
    """How well a score says whom the contact moves, and what targeting by it is worth.

    Attributes
    ----------
    table
        What `to_frame` returns.
    curve
        The Qini curve at the end of each distinct score, from 0 on: share and n (rows targeted,
        best first), qini (Y_t - Y_c N_t / N_c of the rows so far, with sums Y of the outcome and
        numbers N of rows of the two arms; where no control is among them, Y_t), random (the
        straight line to its last point).
    qini
        A row a coefficient, with bootstrap: coefficient, value, standard_error, ci_low, ci_high,
        p_value, normalisation (in words). "area" is (1 / N_t) times the integral over the share s
        from 0 to 1 of qini(s) - random(s): outcome per treated customer. "normalised", for a
        0/1 outcome alone, divides by the area of the best ranking, as scikit-uplift does; NaN
        where no row has outcome 1, and such resamples are left out. What the bootstrap gives is
        NaN where no resample differs from another, such as with one score for all.
    policy
        A row a rule: rule ("nobody", "everybody", the shares, "positive"), share (of customers
        contacted), value_per_1000 (money per 1,000 customers beyond contacting nobody),
        standard_error, ci_low, ci_high; difference, difference_low, difference_high (to
        "everybody"). Where a rule contacts no row of one arm its value is NaN. A rule that
        contacts nobody is worth 0 and "everybody" differs by 0 from itself by definition: their
        errors and bounds are NaN, as they are where nothing varies.
    outcome, treated, control
        Column, and values of the arms.
    n_treated, n_control
        Rows used.
    n_other_arms, n_unscored
        Rows left out: scored but of another arm; of the two arms but not scored.
    value, cost, propensity, level, resamples
        As asked for.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    qini: pd.DataFrame
    policy: pd.DataFrame
    outcome: str
    treated: Any
    control: Any
    n_treated: int
    n_control: int
    n_other_arms: int
    n_unscored: int
    value: float
    cost: float
    propensity: float | None
    level: float
    resamples: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row a share targeted.

        Returns
        -------
        DataFrame
            share; n, n_treated, n_control (targeted rows; with a tie at the cut the expected
            numbers); effect (of the targeted: uplift at k), standard_error, ci_low, ci_high;
            effect_rest, effect_rest_low, effect_rest_high (of those not targeted); difference
            (targeted less rest), difference_low, difference_high, p_value (two-sided, normal).
            An effect without a row of each arm is NaN, and so is what rests on it; an interval
            and p also where the outcome does not vary, an arm has one row, or all scores tie.
        """
        return self.table.copy()

    def __repr__(self) -> str:
        return (
            f"UpliftEvaluation({self.outcome!r}, {self.treated!r} against {self.control!r}, "
            f"{self.n_treated + self.n_control:,} customers)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>" + "".join(
            frame.to_html(index=False, float_format="{:.4f}".format)
            for frame in (self.table, self.qini, self.policy)
        )


def evaluate_uplift(
    data: Any,
    score: Any,
    *,
    arm: str,
    control: Any,
    outcome: str,
    treated: Any = None,
    at: Iterable[float] = (0.1, 0.2, 0.3),
    value: float = 1.0,
    cost: float = 0.0,
    propensity: float | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> UpliftEvaluation:
    """Judge a score by a randomised experiment that it was not fitted on.

    Customers are ranked from the highest score down. Equal scores are one group: where a share
    ends within it, all its rows count with the fraction that chance would take, so counts and
    sums are their expectation over random order.

    Parameters
    ----------
    data : DataFrame
        A row a customer.
    score : Series or str
        Higher means contact first. A Series on the index of ``data`` or of a part of it (the half
        that was not fitted on), or a column.
    arm, control, treated
        Column of the arm, its value for the control, and for the arm to compare; the last may be
        left out where there is only one.
    outcome : str
        Column; 0/1, counts or money.
    at : iterable of float
        Shares to target, in (0, 1].
    value : float
        Money per unit of the outcome, > 0.
    cost : float
        Money per contacted customer, >= 0. The rule "positive" contacts those whose score x
        ``value`` exceeds it: it has a meaning only for a score in units of the outcome.
    propensity : float, optional
        Known chance of being treated among the two arms, in (0, 1), for weights 1 / propensity and
        1 / (1 - propensity) in the policy values. Without it, the share of treated that is
        observed among those a rule contacts: usually more precise, and it agrees with the effects
        of the table.
    level : float
        Of the intervals, in (0, 1).
    resamples : int
        Of the bootstrap of the Qini coefficients, at least 100: rows of each arm drawn anew, the
        score kept; percentiles, and a two-sided p from the share of resamples on either side of 0.
    seed : int
        Of the bootstrap.

    Returns
    -------
    UpliftEvaluation
        ``to_frame()`` has a row a share; ``curve``, ``qini`` and ``policy`` the rest.

    Raises
    ------
    InputError
        If a column is missing or has missing values, an index is not unique or not that of the
        data, no row of an arm is scored, or an argument is out of bounds.

    Notes
    -----
    With pi(x) in [0, 1] the chance that a rule contacts a customer, its value is
    E[pi (effect x value - cost)]. With a known propensity p it is the mean of
    h = pi (value Y (T/p - (1-T)/(1-p)) - cost), its variance that of h over n. Otherwise the
    weights are scaled to the rows of each arm that the rule contacts, and the influence of a row is
    pi value [T (Y - m1)/p - (1-T)(Y - m0)/(1-p)] + (pi - mean pi)((m1 - m0) value - cost), with
    means m of the contacted and p the share of treated among them: estimating the share takes the
    level of the outcome out of the variance. Cuts are taken as they fell: the figures are those of
    the rule with that cut, and its interval does not ask where else a sample would have put it.
    The resamples of more than 1,000 distinct scores take the curve at 1,000 of their points.

    References
    ----------
    Radcliffe (2007), "Using control groups to target on predicted lift", Direct Marketing Analytics
    Journal 3. Horvitz and Thompson (1952), JASA 47; Hirano, Imbens and Ridder (2003),
    Econometrica 71 (estimated propensity).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> generator = np.random.default_rng(0)
    >>> score = generator.random(4000).round(2)
    >>> contacted = generator.integers(0, 2, 4000)
    >>> bought = generator.random(4000) < 0.1 + 0.2 * score * contacted
    >>> data = pd.DataFrame({"arm": contacted, "score": score, "bought": bought})
    >>> result = tp.evaluate_uplift(
    ...     data, "score", arm="arm", control=0, outcome="bought", value=30, cost=2.5
    ... )
    >>> result.to_frame()[["share", "effect", "ci_low", "ci_high", "p_value"]].round(3)
       share  effect  ci_low  ci_high  p_value
    0    0.1   0.186   0.112    0.260    0.024
    1    0.2   0.200   0.146    0.254    0.000
    2    0.3   0.182   0.138    0.226    0.000
    >>> result.policy[["rule", "share", "value_per_1000", "difference"]].round(2)
            rule  share  value_per_1000  difference
    0     nobody   0.00            0.00     -697.31
    1  everybody   1.00          697.31        0.00
    2  best 10 %   0.10          308.92     -388.39
    3  best 20 %   0.20          700.28        2.97
    4  best 30 %   0.30          887.68      190.37
    5   positive   0.91          914.44      217.13
    """
    shares = _shares(at)
    worth, price = check_number("value", value, gt=0), check_number("cost", cost, ge=0)
    if propensity is not None:
        propensity = check_number("propensity", propensity, gt=0, lt=1)
    check_number("level", level, gt=0, lt=1)
    repeats = check_integer("resamples", resamples, ge=100)
    generator = np.random.default_rng(check_integer("seed", seed, ge=0))
    trial = read_trial(data, score, "score", arm, control, treated)
    scores = check_values("score", trial.values, index=trial.rows.index)
    y = read_values(trial.rows, outcome)
    # The treated first: what follows works arm by arm.
    order = np.concatenate([np.flatnonzero(trial.treated), np.flatnonzero(~trial.treated)])
    n_treated = int(trial.treated.sum())
    y, scores = y[order], scores[order]
    distinct, rank = np.unique(-scores, return_inverse=True)
    experiment = Experiment(y, n_treated)
    reach = float(ndtri((1 + level) / 2))
    arms = [RankedArm(y[part], rank[part]) for part in experiment.arms]
    exact = totals(arms, len(distinct))
    weights = [targeted_weight(rank, one) for one in shares]
    rules = {
        "nobody": np.zeros(len(y)),
        "everybody": np.ones(len(y)),
        **{_rule(one): weight for one, weight in zip(shares, weights, strict=True)},
        "positive": (scores * worth > price).astype(np.float64),
    }
    return UpliftEvaluation(
        table=pd.DataFrame(
            [
                {"share": one, **experiment.targeting(weight, reach)}
                for one, weight in zip(shares, weights, strict=True)
            ]
        ),
        curve=curve_frame(exact),
        qini=qini_frame(arms, exact, bool(np.isin(y, (0, 1)).all()), level, repeats, generator),
        policy=experiment.policies(rules, worth, price, propensity, reach),
        outcome=outcome,
        treated=trial.treated_label,
        control=trial.control_label,
        n_treated=n_treated,
        n_control=len(y) - n_treated,
        n_other_arms=trial.n_other_arms,
        n_unscored=trial.n_unscored,
        value=worth,
        cost=price,
        propensity=propensity,
        level=level,
        resamples=repeats,
    )


def _shares(at: Any) -> list[float]:
    """Return the shares to target; raise unless each is in (0, 1] and named once."""
    if isinstance(at, str) or not isinstance(at, Iterable):
        raise fail(f"at is {at!r}", "pass a list of shares, such as (0.1, 0.2)")
    shares = [check_number("a share of at", one, gt=0, le=1) for one in at]
    if not shares or len(set(map(_rule, shares))) < len(shares):
        raise fail(f"at is {shares}", "name at least one share, each of them once")
    return shares


def _rule(share: float) -> str:
    """Return what the rule that contacts the best ``share`` is called."""
    return f"best {100 * share:.12g} %"
