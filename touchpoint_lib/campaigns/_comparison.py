"""One treated arm beside the control, on the rows of one segment: every method on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.campaigns._data import Design
from touchpoint_lib.campaigns._estimates import (
    Means,
    TooFewError,
    aipw,
    cuped,
    difference,
    independent,
    lin,
    one_sample,
    stratified,
)
from touchpoint_lib.campaigns._propensity import Link, Propensity, fit_propensity

Method = Literal["difference", "cuped", "lin", "stratified", "aipw", "did", "before_after"]
Estimand = Literal["all", "treated"]
Values = TypeVar("Values", FloatArray, IntArray)

#: A standard deviation below this share of the largest value is rounding.
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Plan:
    """How the effect is estimated, and what of each row it takes.

    ``balance`` has all covariates, of the outcome and of the propensity; ``propensity`` the known
    chance of each treated arm, by code; ``stratum`` the stratum of each row, ``strata`` the names;
    ``columns`` the columns of all covariates.
    """

    method: Method
    estimand: Estimand
    link: Link
    covariates: Design
    treatment: Design
    balance: Design
    propensity: dict[int, FloatArray]
    stratum: IntArray | None
    strata: list[str]
    columns: list[Any]
    cluster: IntArray | None

    def on_others(self, *, randomised: bool) -> bool:
        """Whether the effect is that on all where others than chance alone were contacted."""
        varies = any(np.ptp(chance) > 0 for chance in self.propensity.values())
        return self.method == "aipw" and self.estimand == "all" and (varies or not randomised)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows of a comparison; ``rows`` are their places, ``treated`` is 1 or 0."""

    plan: Plan
    arm: int
    arm_name: Any
    rows: IntArray
    treated: FloatArray

    @cached_property
    def covariates(self) -> tuple[list[str], FloatArray]:
        """Names and values of the covariates that say something here."""
        design = self.plan.covariates
        values = self.covariates_of(design)
        # Each arm has a regression of its own with these methods.
        by_arm = self.plan.method in ("lin", "aipw")
        kept = independent(values, *((self.treated, 1 - self.treated) if by_arm else ()))
        return [design.names[column] for column in kept], _columns(values, kept)

    @cached_property
    def treatment(self) -> tuple[list[str], FloatArray]:
        """Names and values of the covariates of the propensity that say something here."""
        design = self.plan.treatment
        values = self.covariates_of(design)
        kept = independent(values)
        return [design.names[column] for column in kept], _columns(values, kept)

    @property
    def balance(self) -> FloatArray:
        """Values of all covariates that say something here."""
        if self.plan.balance is self.plan.treatment:
            return self.treatment[1]
        values = self.covariates_of(self.plan.balance)
        return _columns(values, independent(values))

    def covariates_of(self, design: Design) -> FloatArray:
        """Return the values of these rows."""
        whole = len(self.rows) == len(design.matrix)
        return design.matrix if whole else design.matrix.T[:, self.rows].T

    def of(self, values: Values) -> Values:
        """Return the values of these rows, without a copy where they are all."""
        return values if len(self.rows) == len(values) else values[self.rows]

    @cached_property
    def propensity(self) -> Propensity | FloatArray:
        """The chance of being contacted: known, or fitted."""
        known = self.plan.propensity.get(self.arm)
        if known is not None:
            return self.of(known)
        return fit_propensity(self.treated, self.treatment[1], self.plan.link)

    @property
    def chance(self) -> FloatArray:
        """Its value for each row."""
        one = self.propensity
        return one.chance if isinstance(one, Propensity) else one

    @cached_property
    def weights(self) -> FloatArray | None:
        """How often a row stands for others, where the method weighs."""
        if self.plan.method != "aipw":
            return None
        if self.plan.estimand == "treated":
            return np.where(self.treated > 0, 1.0, self.chance / (1 - self.chance))
        return np.where(self.treated > 0, 1 / self.chance, 1 / (1 - self.chance))

    @property
    def left_out(self) -> list[str]:
        """Covariates of the method that say nothing here."""
        out: list[str] = []
        if self.plan.method in ("cuped", "lin", "aipw"):
            out += [one for one in self.plan.covariates.names if one not in self.covariates[0]]
        if self.plan.method == "aipw" and self.arm not in self.plan.propensity:
            out += [one for one in self.plan.treatment.names if one not in self.treatment[0]]
        return sorted(set(out))

    @property
    def least(self) -> int:
        """Rows of the smaller arm."""
        n_treated = int(self.treated.sum())
        return min(n_treated, len(self.rows) - n_treated)

    def check_sizes(self) -> None:
        """Raise unless both arms have two rows, or there is no control by design."""
        if self.plan.method != "before_after" and self.least < 2:
            raise TooFewError(f"an arm has {self.least} rows; two is the least")

    def means(self, values: FloatArray) -> Means:
        """Return the means of the method; ``values`` are those of these rows."""
        return self.finished(_METHODS[self.plan.method](self, values), np.abs(values).max())

    def spent(self, values: FloatArray) -> Means:
        """Return what the treated cost, a fact, beside what as many of the control would have.

        Of the control by the method: who was contacted may be another sort of customer.
        """
        sent = difference(values, self.treated)
        if not values[self.treated == 0].any():
            return sent
        control = self.means(values)
        influence = np.column_stack([sent.influence[:, 0], control.influence[:, 1]])
        return Means(sent.treated, control.control, influence.T @ influence, sent.df, influence)

    def plain(self, values: FloatArray) -> Means | None:
        """Return the means without adjustment, None without a control."""
        if self.plan.method == "before_after":
            return None
        return self.finished(difference(values, self.treated), np.abs(values).max())

    def finished(self, means: Means, largest: float) -> Means:
        """Return the means with the covariance of clusters, and none of mere rounding.

        ``largest`` is the largest of the values, without its sign.
        """
        cluster = self.plan.cluster
        if cluster is not None:
            means = means.clustered(self.of(cluster), self.treated)
        if (means.variance * len(self.rows)) ** 0.5 <= _ROUNDING * largest:
            return replace(means, covariance=np.zeros((2, 2)))
        return means

    def _stratified(self, values: FloatArray) -> Means:
        # A plan of this method has strata.
        stratum = self.of(np.asarray(self.plan.stratum, dtype=np.int64))
        size = np.bincount(stratum)
        of_arm = np.bincount(stratum, weights=self.treated)
        least = np.where(size > 0, np.minimum(of_arm, size - of_arm), np.inf)
        if least.min() < 2:
            place = int(least.argmin())
            raise TooFewError(
                f"stratum {self.plan.strata[place]} has {least[place]:.0f} rows of an arm, two is "
                "the least; join strata"
            )
        return stratified(values, self.treated, stratum)

    def _aipw(self, values: FloatArray) -> Means:
        on_treated = self.plan.estimand == "treated"
        return aipw(
            values, self.treated, self.covariates[1], self.propensity, on_treated=on_treated
        )


def _columns(matrix: FloatArray, kept: list[int]) -> FloatArray:
    return matrix if len(kept) == matrix.shape[1] else matrix.T[kept].T


_METHODS: dict[str, Callable[[Comparison, FloatArray], Means]] = {
    "difference": lambda one, values: difference(values, one.treated),
    # On what changed since before, which its caller passes.
    "did": lambda one, values: difference(values, one.treated),
    "before_after": lambda _, values: one_sample(values),
    "cuped": lambda one, values: cuped(values, one.treated, one.covariates[1]),
    "lin": lambda one, values: lin(values, one.treated, one.covariates[1]),
    "stratified": Comparison._stratified,
    "aipw": Comparison._aipw,
}
