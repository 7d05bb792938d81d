"""The maximum of a logistic likelihood: where it is, and who is to blame where there is none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from touchpoint_lib._checks import BoolArray, FloatArray, InputError, fail
from touchpoint_lib.churn._frames import row_losses
from touchpoint_lib.churn._splines import Design

#: Share of a term's spread that the others must leave unexplained: below it Newton's steps are
#: lost to rounding.
_OWN_SHARE = 1e-5
#: A fit takes 6 to 12 Newton steps; an undamped one that overshoots never stops.
_MAX_STEPS = 35
#: Damped steps: some 60 where all but a few rows are certain.
_DAMPED_STEPS = 500
#: A slope of the log-likelihood, per row and spread of a term, that is none.
_FLAT = 1e-7
#: What scipy's linprog says where no direction will do.
_INFEASIBLE = 2
#: Curvature, relative to that of even odds, below which a flat place need not be a maximum.
_CURVED = 1e-9


class SeparationError(InputError):
    """Some columns tell the outcomes apart, so that the likelihood has no maximum.

    Attributes
    ----------
    names : list of str
        The columns that do so together.
    worst : str
        The one of them that counts most.
    """

    def __init__(self, names: list[str], worst: str) -> None:
        tells = "tells" if len(names) == 1 else "tell"
        super().__init__(
            f"{' and '.join(map(repr, names))} {tells} the outcomes apart: for some values the "
            "outcome is always the same, and no finite odds fit; look for a leak (a column known "
            "only afterwards) or a rare value, and leave the column out or pass more rows"
        )
        self.names = names
        self.worst = worst


class _NoMaximumError(Exception):
    """There is a direction in which the likelihood never falls: the share of each term in it."""

    def __init__(self, direction: FloatArray) -> None:
        super().__init__()
        self.direction = direction


def _standardised(matrix: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the terms with mean 0 and spread 1, their means and their spreads."""
    # Divided by a power of two, which loses no digit, no square overflows.
    size = 2.0 ** np.frexp(np.abs(matrix).max(axis=0, initial=0.0))[1]
    terms = matrix / size
    centre, spread = terms.mean(axis=0), terms.std(axis=0)
    return (terms - centre) / spread, centre * size, spread * size


def _pivoted(terms: FloatArray) -> tuple[FloatArray, npt.NDArray[np.intp], int]:
    """Return R and the order of a pivoted QR, and how many terms have a share of their own."""
    from scipy.linalg import qr

    r, order = qr(terms, mode="r", pivoting=True)
    own = np.abs(np.diag(r)) / np.sqrt(len(terms))
    return r, order, int((own > _OWN_SHARE).sum())


def dependent(matrix: FloatArray, design: Design) -> list[str]:
    """Return indicators of which each follows from the others; empty where there are none."""
    from scipy.linalg import solve_triangular

    r, order, rank = _pivoted(_standardised(matrix)[0])
    if rank == matrix.shape[1]:
        return []
    shares = solve_triangular(r[:rank, :rank], r[:rank, rank])
    others = order[:rank][np.abs(shares) > np.sqrt(_OWN_SHARE)]
    return design.owners([int(order[rank]), *others.tolist()])


def maximise(
    matrix: FloatArray, truth: BoolArray, groups: npt.NDArray[np.intp] | None, design: Design
) -> tuple[FloatArray, FloatArray, float]:
    """Return the coefficients at the maximum, their covariance and the log-likelihood."""
    try:
        return _maximum(matrix, truth, groups)
    except _NoMaximumError as found:
        share = found.direction
    names = design.owners(np.flatnonzero(share > 1e-6 * share.max()).tolist())
    raise SeparationError(names, design.owners([int(share.argmax())])[0])


def estimable(matrix: FloatArray, truth: BoolArray) -> FloatArray:
    """Return the coefficients at the maximum, 0 for terms that these rows do not bound.

    Left out are terms that are the same in all rows, that follow from the others, or that tell
    the outcomes apart: of the last the one that counts most, until there is a maximum.
    """
    largest = np.abs(matrix).max(axis=0)
    # A constant that is no sum of powers of two has a spread of rounding.
    kept = np.flatnonzero(matrix.std(axis=0) > 1e-12 * largest)
    if len(kept):
        _, order, rank = _pivoted(_standardised(matrix[:, kept])[0])
        kept = kept[np.sort(order[:rank])]
    while True:
        try:
            found, _, _ = _maximum(matrix[:, kept], truth, None)
        except _NoMaximumError as error:
            kept = np.delete(kept, error.direction.argmax())
            continue
        estimates = np.zeros(matrix.shape[1] + 1)
        estimates[np.append(0, 1 + kept)] = found
        return estimates


def _maximum(
    matrix: FloatArray, truth: BoolArray, groups: npt.NDArray[np.intp] | None
) -> tuple[FloatArray, FloatArray, float]:
    """Find the maximum by Newton's method, damped where its plain steps do not arrive."""
    from statsmodels.discrete.discrete_model import Logit

    terms, centre, spread = _standardised(matrix)
    terms = np.column_stack([np.ones(len(terms)), terms])
    # Terms of one spline are nearly alike: orthogonal ones keep the digits.
    q, r = np.linalg.qr(terms)
    q, r = q * np.sqrt(len(q)), r / np.sqrt(len(q))
    robust = {} if groups is None else {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Steps that are too long overflow; what they lead to is checked.
        warnings.simplefilter("ignore")
        model = Logit(truth.astype(np.float64), q, check_rank=False)
        fitted = _newton(model, np.zeros(q.shape[1]), robust)
        if fitted is None or not _settled(fitted, q, truth):
            direction = _separating(terms, truth)
            if direction is not None:
                raise _NoMaximumError(direction)
            fitted = _newton(model, _damped(q, truth), robust)
        if fitted is None or not _slope(fitted.params, q, truth) <= _FLAT:
            raise fail(
                "the fit found no maximum",
                "choose fewer columns, or columns that are less alike",
            )
        params, covariance = fitted.params, fitted.cov_params()
    # Back from orthogonal to standardised terms, and to terms that are 0 at the median.
    back = np.eye(len(params))
    back[0, 1:] = -centre / spread
    back[1:, 1:] /= spread[:, None]
    back = back @ np.linalg.inv(r)
    covariance = back @ covariance @ back.T
    # Rounding leaves the two halves apart in the last digit.
    covariance = (covariance + covariance.T) / 2
    # Of a robust covariance, too, none may be lost to rounding.
    if not (np.isfinite(covariance).all() and np.diag(covariance).min() > 0):
        raise fail(
            "the errors of the fit are lost to rounding",
            "choose fewer columns, or columns that are less alike",
        )
    return back @ params, covariance, -float(row_losses(truth, q @ params).sum())


def _newton(model: Any, start: FloatArray, robust: dict[str, Any]) -> Any:
    """Return where statsmodels ends from ``start``; None where the Hessian became singular."""
    try:
        return model.fit(
            start_params=start,
            method="newton",
            maxiter=_MAX_STEPS,
            disp=False,
            warn_convergence=False,
            **robust,
        )
    except np.linalg.LinAlgError:
        return None


def _slope(params: FloatArray, q: FloatArray, truth: BoolArray) -> float:
    """Return the steepest slope of the log-likelihood per row, NaN where there is none."""
    return float(np.abs(_gradient(params, q, truth)).max())


def _gradient(params: FloatArray, q: FloatArray, truth: BoolArray) -> FloatArray:
    """Return the slopes of the mean log loss."""
    return q.T @ (expit(q @ params) - truth) / len(q)


def _curvature(params: FloatArray, q: FloatArray) -> FloatArray:
    """Return the second derivatives of the mean log loss."""
    chance = expit(q @ params)
    return q.T @ (q * (chance * (1 - chance))[:, None]) / len(q)


def _settled(fitted: Any, q: FloatArray, truth: BoolArray) -> bool:
    """Whether Newton stopped at a maximum, and not where all odds are certain and all is flat."""
    if not (fitted.mle_retvals["converged"] and _slope(fitted.params, q, truth) <= _FLAT):
        return False
    return bool(np.linalg.eigvalsh(_curvature(fitted.params, q))[0] > _CURVED)


def _damped(q: FloatArray, truth: BoolArray) -> FloatArray:
    """Return the maximum by exact Newton steps in a trust region: none makes the fit worse."""
    from scipy.optimize import minimize

    def loss(params: FloatArray) -> tuple[float, FloatArray]:
        return float(row_losses(truth, q @ params).mean()), _gradient(params, q, truth)

    found = minimize(
        loss,
        np.zeros(q.shape[1]),
        jac=True,
        hess=lambda params: _curvature(params, q),
        method="trust-exact",
        options={"gtol": 1e-12, "maxiter": _DAMPED_STEPS, "max_trust_radius": 1e6},
    )
    result: FloatArray = found.x
    return result


def _separating(terms: FloatArray, truth: BoolArray) -> FloatArray | None:
    """Return the share of each term in a direction without a maximum; None where none has one."""
    from scipy.optimize import linprog

    # Konis: is there a direction in which no row is on the wrong side, and some on the right? The
    # least sum of coefficients makes it one of few terms.
    sides = np.where(truth, 1.0, -1.0)[:, None] * terms
    cost = np.repeat([[0.0, *np.ones(terms.shape[1] - 1)]], 2, axis=0).ravel()
    found = linprog(
        cost,
        A_ub=np.hstack([-sides, sides]),
        b_ub=np.zeros(len(sides)),
        A_eq=np.hstack([sides.mean(axis=0), -sides.mean(axis=0)])[None],
        b_eq=[1.0],
        method="highs",
    )
    if found.status == _INFEASIBLE:
        return None
    if found.status != 0:
        raise fail(
            f"whether the columns tell the outcomes apart could not be settled ({found.message})",
            "choose fewer columns, or columns that are less alike",
        )
    return np.abs(np.subtract(*np.split(found.x, 2)))[1:]
