"""The maximum of a logistic likelihood: where it is, and who is to blame where there is none."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from touchpoint_lib._checks import FloatArray, InputError, fail
from touchpoint_lib.churn._splines import Design
from touchpoint_lib.metrics._shared import BoolArray

#: Share of a term's spread that the others must leave unexplained: below it Newton's steps are
#: lost to rounding.
_OWN_SHARE = 1e-5
#: A fit takes 6 to 12 Newton steps; where there is no maximum it never stops.
_MAX_STEPS = 35


def _standardised(matrix: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the terms with mean 0 and spread 1, their means and their spreads."""
    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    return (matrix - centre) / spread, centre, spread


def dependent(matrix: FloatArray, design: Design) -> list[str]:
    """Return indicators of which each follows from the others; empty where there are none."""
    from scipy.linalg import qr, solve_triangular

    terms = _standardised(matrix)[0]
    r, order = qr(terms, mode="r", pivoting=True)
    own = np.abs(np.diag(r)) / np.sqrt(len(terms))
    rank = int((own > _OWN_SHARE).sum())
    if rank == terms.shape[1]:
        return []
    shares = solve_triangular(r[:rank, :rank], r[:rank, rank])
    others = order[:rank][np.abs(shares) > np.sqrt(_OWN_SHARE)]
    return design.owners([int(order[rank]), *others.tolist()])


def maximise(
    matrix: FloatArray, truth: BoolArray, groups: npt.NDArray[np.intp] | None, design: Design
) -> tuple[FloatArray, FloatArray, float]:
    """Return the coefficients at the maximum, their covariance and the log-likelihood."""
    from statsmodels.discrete.discrete_model import Logit

    terms, centre, spread = _standardised(matrix)
    terms = np.column_stack([np.ones(len(terms)), terms])
    robust = {} if groups is None else {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Without a maximum the steps overflow, and end on a singular Hessian or not at all.
        warnings.simplefilter("ignore")
        model = Logit(truth.astype(np.float64), terms, check_rank=False)
        try:
            fitted = model.fit(
                method="newton", maxiter=_MAX_STEPS, disp=False, warn_convergence=False, **robust
            )
        except np.linalg.LinAlgError:
            raise _no_maximum(terms, truth, design) from None
    if not fitted.mle_retvals["converged"]:
        raise _no_maximum(terms, truth, design)
    # Back from standardised terms to terms that are 0 at the median.
    back = np.zeros((len(fitted.params), len(fitted.params)))
    back[0, 0] = 1.0
    back[0, 1:] = -centre / spread
    np.fill_diagonal(back[1:, 1:], 1 / spread)
    covariance = back @ fitted.cov_params() @ back.T
    # Rounding leaves the two halves apart in the last digit.
    return back @ fitted.params, (covariance + covariance.T) / 2, float(fitted.llf)


def _no_maximum(terms: FloatArray, truth: BoolArray, design: Design) -> InputError:
    """Return the error for a likelihood without a maximum, with the columns to blame."""
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
    if found.status != 0:
        return fail(
            f"the fit found no maximum in {_MAX_STEPS} steps",
            "choose fewer columns, or columns that are less alike",
        )
    direction = np.abs(np.subtract(*np.split(found.x, 2)))[1:]
    names = design.owners(np.flatnonzero(direction > 1e-6 * direction.max()).tolist())
    return fail(
        f"{' and '.join(map(repr, names))} {'tells' if len(names) == 1 else 'tell'} the outcomes "
        "apart: for some values the outcome is always the same, and no finite odds fit",
        "look for a leak (a column known only afterwards) or a rare value, and leave the column "
        "out or pass more rows",
    )
