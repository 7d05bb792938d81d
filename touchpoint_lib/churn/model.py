"""The churn model: a readable regression, boosted trees, lifetime models, and a stack of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit

from touchpoint_lib._checks import (
    InputError,
    check_choice,
    check_columns,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib._files import read_model, undamaged, write_model
from touchpoint_lib.churn._boosting import Trees, grow_trees
from touchpoint_lib.churn._frames import (
    as_matrix,
    check_enough,
    check_frame,
    checked_panel,
)
from touchpoint_lib.churn._lifetime_columns import (
    buying_odds,
    fit_lifetime,
    lifetime_columns,
    lifetime_names,
)
from touchpoint_lib.churn._logit import SplineLogit
from touchpoint_lib.churn._stack import customer_folds, stack_weights
from touchpoint_lib.lifetime._base import all_or_nothing
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime.beta_geo import ModifiedBetaGeoModel
from touchpoint_lib.lifetime.comparison import name_models
from touchpoint_lib.lifetime.pareto_nbd import ParetoNBDModel
from touchpoint_lib.lifetime.storage import from_content

FORMAT = "touchpoint_lib churn model"
FORMAT_VERSION = 1
KINDS = ("stack", "logit", "boosting")
#: What a lifetime model cannot be called.
_OWN = ("logit", "boosting", "intercept")
#: scikit-learn takes 32 bits.
_LARGEST_SEED = 2**32 - 1


class ChurnModel:
    """Who will buy within the horizon, from behaviour indicators; who will not is the churn.

    Parameters
    ----------
    kind : {"stack", "logit", "boosting"}
        ``"logit"``: a logistic regression with natural cubic splines of a few indicators, to be
        read. ``"boosting"``: boosted trees on all indicators, and on what the lifetime models
        predict. ``"stack"``: both and the lifetime models, weighted by how well each predicts
        customers it has not seen.
    columns : sequence of str, optional
        Indicators of the regression; by default a few that each say something else.
    lifetime : sequence or mapping of PurchaseModel, optional
        Unfitted lifetime models whose predictions are columns of the trees and members of the
        stack; by default MBG/NBD and Pareto/NBD. Empty for none.
    folds : int
        Parts of the customers for the weights of the stack.
    seed : int
        Of the trees and of the folds.

    Attributes
    ----------
    columns_ : list of str
        The indicators that the model was fitted on: a frame to predict must have them.
    logit_ : SplineLogit or None
        The regression (``"logit"`` and ``"stack"``), with its ``summary``, ``coefficients`` and
        ``effect``.
    trees_ : Trees or None
        The boosted trees (``"boosting"`` and ``"stack"``).
    lifetime_ : dict of str to PurchaseModel
        The lifetime models, fitted to the customers of the last cutoff.
    members_ : DataFrame
        Members of the stack, and its intercept: weight, and auc and log_loss for customers held
        out (of the lifetime models, which see no outcome, for all).
    horizon_ : float or None
        Days that the outcome spans.
    levels_ : dict or None
        Levels of the categories, channels and events that the columns stand for.
    n_rows_, n_customers_ : int
        Behind the fit.

    Notes
    -----
    Lifetime models are fitted at each cutoff to what was known by then; predictions use those of
    the last. Their probabilities enter the stack as log-odds, none nearer to 0 or 1 than 1e-9.

    References
    ----------
    Breiman (1996), "Stacked regressions", for weights that are not negative, found on customers
    held out; van der Laan, Polley & Hubbard (2007), "Super learner".

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> panel = tp.indicator_panel(tp.load_cdnow(sample=True), ["1997-09-30"], horizon=273)
    >>> model = tp.ChurnModel("logit").fit(panel)
    >>> chance = model.predict_probability(panel)
    >>> bool(chance.between(0, 1).all())
    True
    """

    columns_: list[str]
    logit_: SplineLogit | None
    trees_: Trees | None
    lifetime_: dict[str, PurchaseModel]
    members_: pd.DataFrame
    horizon_: float | None
    levels_: dict[str, list[str]] | None
    n_rows_: int
    n_customers_: int

    def __init__(
        self,
        kind: str = "stack",
        columns: Sequence[str] | None = None,
        lifetime: Sequence[PurchaseModel] | Mapping[str, PurchaseModel] | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        check_choice("kind", kind, KINDS)
        if isinstance(columns, str) or not isinstance(columns, Sequence | None):
            raise fail(f"columns is {columns!r}", f"pass a list: [{columns!r}]")
        if columns is not None and kind == "boosting":
            raise fail('columns was given with kind "boosting"', "its trees take all columns")
        if lifetime is not None and kind == "logit":
            raise fail('lifetime was given with kind "logit"', 'use kind "boosting" or "stack"')
        if lifetime is None:
            lifetime = [] if kind == "logit" else [ModifiedBetaGeoModel(), ParetoNBDModel()]
        self.kind = kind
        self.columns = None if columns is None else list(columns)
        empty = isinstance(lifetime, Sequence | Mapping) and len(lifetime) == 0
        self.lifetime = {} if empty else name_models(lifetime)
        taken = [name for name in self.lifetime if name in _OWN]
        if taken:
            raise fail(
                f"a lifetime model is named {taken[0]!r}", "a member of the stack is: rename"
            )
        self.folds = check_integer("folds", folds, ge=2)
        self.seed = check_integer("seed", seed, ge=0)
        if self.seed > _LARGEST_SEED:
            raise fail(f"seed is {seed}", f"it must be <= {_LARGEST_SEED}")

    @all_or_nothing
    def fit(self, panel: pd.DataFrame, outcome: str = "buys") -> Self:
        """Fit to customers whose outcome is known.

        Parameters
        ----------
        panel : DataFrame
            From `indicator_panel`, or any frame of numbers with a row a customer (and cutoff) and
            the outcome. NaN is a value of its own.
        outcome : str
            Column of 0 and 1, or bool: bought within the horizon. All other columns are
            indicators: leave out what `screen_leakage` flags.

        Raises
        ------
        InputError
            If a column is not numeric or is infinite, too few customers have either outcome, an
            indicator of the regression is missing or says nothing new, or a lifetime model lacks
            frequency, recency, T or the horizon.
        """
        frame, happened, customers = checked_panel(panel, outcome)
        check_enough(happened, customers, self.folds if self.kind == "stack" else 2)
        _check_days(frame)
        self.columns_ = list(frame.columns)
        horizon = frame.attrs.get("horizon")
        self.horizon_ = None if horizon is None else check_number("horizon", horizon, gt=0)
        self.levels_ = _levels_of(frame)
        self.n_rows_, self.n_customers_ = len(frame), int(customers.max()) + 1
        known, self.lifetime_ = pd.DataFrame(index=frame.index), {}
        if self.lifetime:
            known, self.lifetime_ = fit_lifetime(self.lifetime, frame, self.horizon_)
        data = as_matrix(frame, known)
        self.logit_ = self.trees_ = None
        if self.kind != "boosting":
            self.logit_ = SplineLogit.fit(frame, happened, self.columns, clusters=customers)
        if self.kind != "logit":
            self.trees_ = grow_trees(data, happened, seed=self.seed)
        if self.kind == "stack":
            assert self.logit_ is not None
            folds = customer_folds(customers, happened, self.folds, self.seed)
            odds = {
                "logit": self.logit_.held_out_log_odds(frame, happened, folds),
                "boosting": np.empty(len(frame)),
            }
            for fold in range(self.folds):
                held = folds == fold
                trees = grow_trees(data[~held], happened[~held], seed=self.seed)
                odds["boosting"][held] = trees.log_odds(data[held])
            for name in self.lifetime:
                odds[name] = buying_odds(known, name)
            self.members_ = stack_weights(odds, happened)
        return self

    def predict_probability(self, frame: pd.DataFrame) -> pd.Series:
        """Return the probability that each customer buys within the horizon.

        The probability of churn is 1 minus it.

        Parameters
        ----------
        frame : DataFrame
            From `behaviour_indicators` or `indicator_panel`, with the columns of the fit; others
            are not looked at.

        Returns
        -------
        Series
            On the index of ``frame``, in [0, 1].

        Raises
        ------
        InputError
            If the model was not fitted, a column is missing, not numeric or infinite, the frame
            was made for another horizon or with other levels, or an indicator of the regression
            is NaN that was never NaN in the fit.
        """
        self._require_fit()
        remedy = "make the frame by behaviour_indicators as that of the fit, with its levels="
        check_columns(frame, self.columns_, "frame", remedy)
        _check_days(frame)
        horizon = frame.attrs.get("horizon")
        if horizon is not None and horizon != self.horizon_:
            raise fail(
                f"frame is made for a horizon of {horizon} days, the model for {self.horizon_}",
                "predict for the horizon of the fit, or fit again",
            )
        levels = _levels_of(frame)
        if levels is not None and self.levels_ is not None and levels != self.levels_:
            raise fail(
                f"frame has the levels {levels}, the model was fitted on {self.levels_}",
                "make the frame with levels= those of the panel: panel.attrs['levels']",
            )
        frame = frame[self.columns_]
        check_frame(frame, "frame")
        known = pd.DataFrame(index=frame.index)
        if self.lifetime_ and self.horizon_ is not None:
            known = lifetime_columns(self.lifetime_, frame, self.horizon_)
        members = {}
        if self.logit_ is not None:
            members["logit"] = self.logit_.log_odds(frame)
        if self.trees_ is not None:
            members["boosting"] = self.trees_.log_odds(as_matrix(frame, known))
        if self.kind == "stack":
            for name in self.lifetime_:
                members[name] = buying_odds(known, name)
            weights = self.members_["weight"]
            odds = weights["intercept"] + sum(
                weights[name] * values for name, values in members.items()
            )
        else:
            odds = members[self.kind]
        return pd.Series(expit(odds), index=frame.index, name="probability")

    def cross_predict(
        self, panel: pd.DataFrame, outcome: str = "buys", folds: int = 5
    ) -> pd.Series:
        """Return the probability of each customer by models fitted to the other customers.

        Every customer is scored once, by a model that has not seen it: what `prediction_rates`
        says of these probabilities holds for new customers of the same time. The model itself is
        left as it is.

        Parameters
        ----------
        panel, outcome
            As for `fit`.
        folds : int
            As many models are fitted.

        Raises
        ------
        InputError
            As for `fit`; where the rest of the customers cannot be fitted, which part they lack.
        """
        frame, happened, customers = checked_panel(panel, outcome)
        parts = check_integer("folds", folds, ge=2)
        # Each fit has to find enough among the others.
        check_enough(happened, customers, 2 * max(parts, self.folds))
        # Another seed than that of the folds within.
        places = customer_folds(customers, happened, parts, self.seed + 1)
        result = pd.Series(np.empty(len(frame)), index=frame.index, name="probability")
        for part in range(parts):
            held = places == part
            try:
                fitted = copy.copy(self).fit(panel[~held], outcome)
                result[held] = fitted.predict_probability(frame[held]).to_numpy()
            except InputError as error:
                raise fail(
                    f"the fit without part {part + 1} of {parts} of the customers: {error}",
                    "or choose fewer columns, or more folds, so that each fit has more customers",
                ) from None
        return result

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Return what the model consists of.

        Parameters
        ----------
        level : float
            Of the intervals of ``"logit"``, in (0, 1).

        Returns
        -------
        DataFrame
            ``"logit"``: the odds ratio of each indicator, with interval. ``"boosting"``: how many
            splits each column decides, most first. ``"stack"``: ``members_``.

        Raises
        ------
        InputError
            If the model was not fitted.
        """
        self._require_fit()
        if self.kind == "stack":
            return self.members_.copy()
        if self.logit_ is not None:
            return self.logit_.summary(level)
        return self._splits()

    def save(self, path: str | Path) -> None:
        """Write the model as JSON: numbers and names, never code or customers.

        The file holds ``format``, ``version``, kind, columns, horizon, the regression (its
        splines, coefficients and covariance), the trees (an entry a node: feature, threshold,
        missing_left, left, right, value; see ``Trees``), each lifetime model as its own ``save``
        writes it, and the weights of the stack. `ChurnModel.load` reads it.

        Raises
        ------
        InputError
            If the model was not fitted, or there is no such folder.
        """
        self._require_fit()
        members = None
        if self.kind == "stack":
            table = self.members_.astype(object).where(self.members_.notna(), None)
            members = {str(name): row.to_dict() for name, row in table.iterrows()}
        write_model(
            path,
            FORMAT,
            FORMAT_VERSION,
            {
                "kind": self.kind,
                "chosen": self.columns,
                "folds": self.folds,
                "seed": self.seed,
                "columns": self.columns_,
                "horizon": self.horizon_,
                "levels": self.levels_,
                "n_rows": self.n_rows_,
                "n_customers": self.n_customers_,
                "logit": None if self.logit_ is None else self.logit_.to_dict(),
                "trees": None if self.trees_ is None else self.trees_.to_dict(),
                "lifetime": {name: model._content() for name, model in self.lifetime_.items()},
                "members": members,
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the model that ``save`` wrote to ``path``.

        Raises
        ------
        InputError
            If the file is missing, is no such file, was written in another format version, or is
            damaged.
        """
        content = read_model(path, FORMAT, FORMAT_VERSION)
        with undamaged(str(path)):
            return cls._from_content(content, str(path))

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], where: str) -> Self:
        # The constructor refuses what is no model of purchases.
        fitted: dict[str, Any] = {
            name: from_content(one, where) for name, one in content["lifetime"].items()
        }
        kind = content["kind"]
        model = cls(
            kind,
            content["chosen"],
            None if kind == "logit" else fitted,
            content["folds"],
            content["seed"],
        )
        model.lifetime_ = dict(model.lifetime)
        model.columns_ = [str(name) for name in content["columns"]]
        horizon = content["horizon"]
        model.horizon_ = None if horizon is None else check_number("horizon", horizon, gt=0)
        model.levels_ = content["levels"]
        model.n_rows_ = check_integer("n_rows", content["n_rows"], ge=1)
        model.n_customers_ = check_integer("n_customers", content["n_customers"], ge=1)
        model.logit_ = model.trees_ = None
        if kind != "boosting":
            model.logit_ = SplineLogit.from_dict(content["logit"])
        if kind != "logit":
            model.trees_ = Trees.from_dict(content["trees"])
            width = len(model.columns_) + len(lifetime_names(fitted))
            if model.trees_.n_columns != width:
                raise fail(
                    f"{where!r} has trees of {model.trees_.n_columns} columns, and {width} columns",
                    "fit and save the model again",
                )
        if kind == "stack":
            table = pd.DataFrame.from_dict(content["members"], orient="index", dtype=float)
            table.index.name = "member"
            wanted = ["logit", "boosting", *fitted, "intercept"]
            if list(table.index) != wanted:
                raise fail(
                    f"{where!r} has the members {', '.join(map(repr, table.index))}",
                    f"they must be {', '.join(map(repr, wanted))}: fit and save the model again",
                )
            check_values("weight", table["weight"], index=table.index)
            model.members_ = table
        return model

    def __repr__(self) -> str:
        if not hasattr(self, "columns_"):
            return f"ChurnModel({self.kind!r})"
        horizon = "" if self.horizon_ is None else f", horizon={self.horizon_:g} days"
        return (
            f"ChurnModel({self.kind!r}, {len(self.columns_)} columns{horizon}, "
            f"n_customers={self.n_customers_:,})"
        )

    def _splits(self) -> pd.DataFrame:
        """Return how many splits of the trees each column decides."""
        trees = self.trees_
        assert trees is not None
        names = [*self.columns_, *lifetime_names(self.lifetime_)]
        counts = np.bincount(trees.feature[trees.feature >= 0], minlength=len(names))
        table = pd.DataFrame({"splits": counts}, index=pd.Index(names, name="column"))
        table["share"] = table["splits"] / max(int(counts.sum()), 1)
        return table.sort_values("splits", ascending=False, kind="stable")

    def _require_fit(self) -> None:
        if not hasattr(self, "columns_"):
            raise fail("the model was not fitted", "call its fit first")


def _check_days(frame: pd.DataFrame) -> None:
    """Raise where the frame says that it counts in something else than days."""
    unit = frame.attrs.get("unit", "D")
    if unit != "D":
        raise fail(
            f"the frame counts in {unit!r}",
            'the churn model counts days: use rfm_summary(unit="D")',
        )


def _levels_of(frame: pd.DataFrame) -> dict[str, list[str]] | None:
    """Return the levels behind the columns of a frame, None where it does not say."""
    levels = frame.attrs.get("levels")
    return None if levels is None else {role: sorted(map(str, of)) for role, of in levels.items()}
