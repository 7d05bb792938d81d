from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import touchpoint_lib as tp
from touchpoint_lib.lifetime import _beta_geo_likelihood as beta_geo
from touchpoint_lib.lifetime import _centroids
from touchpoint_lib.lifetime import _pareto_likelihood as pareto
from touchpoint_lib.lifetime._centroids import centroids, minimise_rows
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._rows import Rows, check_rows, group

Array = NDArray[np.float64]

#: Models and the unit of their data, by name.
FITS: dict[str, tuple[str, Callable[[], Any]]] = {
    "MBG": ("D", tp.ModifiedBetaGeoModel),
    "MBG in weeks": ("W", tp.ModifiedBetaGeoModel),
    "MBG 3": ("D", partial(tp.ModifiedBetaGeoModel, 3)),
    "MBG auto": ("W", partial(tp.ModifiedBetaGeoModel, "auto")),
    "BG": ("D", tp.BetaGeoModel),
    "BG 3": ("W", partial(tp.BetaGeoModel, 3)),
    "Pareto": ("D", tp.ParetoNBDModel),
    "Pareto in weeks": ("W", tp.ParetoNBDModel),
}


def customers(n: int, unit: str = "D", days: int = 365, seed: int = 1) -> pd.DataFrame:
    """Distinct rows, sorted, of ``n`` customers of up to ``days`` days."""
    age = np.random.default_rng(seed).integers(1, days + 1, n)
    source = tp.ModifiedBetaGeoModel.from_params([0.7, 25.0, 0.8, 2.2])
    drawn = source.simulate(n, age.astype(float), seed=seed)
    recency = np.minimum(np.maximum(np.ceil(drawn["recency"]), 1), age)
    bought = drawn["frequency"] > 0
    frame = pd.DataFrame(
        {
            "frequency": np.minimum(drawn["frequency"], recency).where(bought, 0).astype("int64"),
            "recency": recency.where(bought, 0.0),
            "T": age.astype(float),
        }
    )
    frame = frame.groupby(list(frame.columns), as_index=False).size()
    frame = frame.rename(columns={"size": "count"})
    # Gaps less even than equal ones; what matters is that the total is the same for every fit.
    mean = (frame["recency"] / frame["frequency"].clip(lower=1)).where(frame["frequency"] > 0, 1.0)
    per = 7.0 if unit == "W" else 1.0
    frame["log_gaps"] = frame["frequency"] * (np.log(mean / per)) - 0.2 * (frame["frequency"] > 1)
    frame[["recency", "T"]] /= per
    frame.loc[frame["frequency"] == 0, "log_gaps"] = 0.0
    frame.attrs["unit"] = unit
    return frame


@pytest.fixture(scope="module")
def by_unit() -> dict[str, pd.DataFrame]:
    return {unit: customers(30_000, unit) for unit in ("D", "W")}


def always() -> Any:
    """Let centroids be used for any number of rows, however little they save."""
    return patch.multiple(_centroids, _MANY=1, _FULL=1, _TABLE=10**6)


def never() -> Any:
    """Fit the rows alone."""
    return patch.object(_centroids, "_MANY", np.inf)


# -- centroids -----------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> Rows:
    """Distinct rows in days or in weeks of sevenths, some of them without customers."""
    per_unit = draw(st.sampled_from([1.0, 7.0]))
    kinds = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(0, 40), st.integers(0, 9)),
            min_size=1,
            max_size=60,
        ).filter(lambda kinds: any(kind[3] for kind in kinds))
    )
    x, recency, silence, count = np.array(kinds, dtype=float).T
    recency = np.where(x > 0, recency, 0.0)
    rows = Rows(x, recency / per_unit, (recency + silence + (x == 0)) / per_unit, count)
    return group(rows)


@given(histories())
def test_centroids_are_those_of_weekly_cells(rows: Rows) -> None:
    with always():
        found = centroids(rows)
    assert found is not None
    days = rows.days
    assert days is not None
    frame = pd.DataFrame(
        {"x": rows.frequency, "recency": days.recency, "T": days.T, "count": rows.count}
    )
    frame = frame[frame["count"] > 0]
    frame[["a", "b"]] = frame[["recency", "T"]].to_numpy() // 7
    expected = [
        (
            x,
            np.rint(np.average(cell["recency"], weights=cell["count"])),
            np.rint(np.average(cell["T"], weights=cell["count"])),
            cell["count"].sum(),
        )
        for (x, _, _), cell in frame.groupby(["x", "a", "b"])
    ]
    got = np.column_stack(
        [found.frequency, found.recency * days.per_unit, found.T * days.per_unit, found.count]
    )
    np.testing.assert_allclose(got, np.array(expected).reshape(-1, 4), rtol=0, atol=1e-9)


@given(histories())
def test_centroids_keep_the_customers_and_stay_possible(rows: Rows) -> None:
    with always():
        found = centroids(rows)
    assert found is not None
    assert rows.days is not None
    n, repeats, recency, age = rows.totals
    assert found.totals[:2] == (n, repeats)
    # Rounded to whole days.
    half = 0.5 * n / rows.days.per_unit + 1e-9
    assert abs(found.totals[2] - recency) <= half
    assert abs(found.totals[3] - age) <= half
    assert (found.recency <= found.T).all()
    np.testing.assert_array_equal(found.frequency == 0, found.recency == 0)
    assert (found.count > 0).all()
    assert found.days is not None


def test_no_centroids_where_they_save_nothing() -> None:
    many = group(check_rows(customers(300_000)))
    found = centroids(many)
    assert found is not None
    assert 5 * len(found.T) <= len(many.T)
    few = many.part(slice(50_000))
    assert centroids(few) is None
    off = Rows(many.frequency, many.recency * 0.99, many.T * 0.99, many.count)
    assert centroids(off) is None
    # Three rows a cell: tables of the days cost as much for centroids, and steps twice.
    assert centroids(group(check_rows(customers(300_000, days=730)))) is None
    # As many cells as rows: a year is 365 days here, and a week is a cell.
    years = Rows(many.frequency, many.recency * 7, many.T * 7, many.count)
    assert centroids(years) is None


# -- fits ----------------------------------------------------------------------------------------


def assert_same_fit(one: Any, other: Any, rtol: float = 1e-8) -> None:
    np.testing.assert_allclose(one.params_, other.params_, rtol=rtol)
    np.testing.assert_allclose(one.log_covariance_, other.log_covariance_, rtol=10 * rtol)
    assert one.log_likelihood_ == pytest.approx(other.log_likelihood_, rel=1e-13)
    assert one.converged_ is other.converged_
    assert one.convergence_message_ == other.convergence_message_


@pytest.mark.parametrize("name", FITS)
def test_the_start_does_not_move_the_estimates(name: str, by_unit: dict[str, pd.DataFrame]) -> None:
    unit, model = FITS[name]
    rows = by_unit[unit]
    with always():
        found = centroids(group(check_rows(rows)))
        assert found is not None
        assert 1.5 * len(found.T) < len(rows)
        quick = model().fit(rows)
    with never():
        plain = model().fit(rows)
    assert plain.converged_
    assert_same_fit(quick, plain)
    if "auto" in name:
        assert quick.regularity_ == plain.regularity_
        pd.testing.assert_series_equal(
            quick.regularity_likelihoods_, plain.regularity_likelihoods_, rtol=1e-12
        )


@pytest.mark.parametrize(
    ("model", "module"),
    [
        (tp.ModifiedBetaGeoModel, beta_geo),
        (tp.BetaGeoModel, beta_geo),
        (tp.ParetoNBDModel, pareto),
    ],
)
def test_many_rows_are_seen_three_times_at_most(model: Any, module: Any) -> None:
    rows = customers(300_000)
    sizes: list[int] = []
    derivatives = module.Likelihood.derivatives

    def counted(self: Any, theta: Array) -> Any:
        sizes.append(len(self.rows.T))
        return derivatives(self, theta)

    with patch.object(module.Likelihood, "derivatives", counted):
        quick = model().fit(rows)
        assert sizes.count(len(rows)) <= 3 < sizes.count(min(sizes))
        sizes.clear()
        with never():
            plain = model().fit(rows)
        assert sizes.count(len(rows)) == len(sizes) > 5
    assert quick.converged_
    assert_same_fit(quick, plain)
    assert quick.n_customers_ == 300_000


def test_the_order_of_rows_does_not_matter(by_unit: dict[str, pd.DataFrame]) -> None:
    rows = by_unit["W"]
    with always():
        for model in (tp.ModifiedBetaGeoModel, tp.ParetoNBDModel):
            shuffled = rows.sample(frac=1, random_state=3)
            assert_same_fit(model().fit(shuffled), model().fit(rows), rtol=1e-9)


def test_a_base_its_rows_and_its_customers_give_one_fit() -> None:
    base = tp.customer_base(tp.load_cdnow(sample=True))
    with always():
        quick = tp.ModifiedBetaGeoModel("auto").fit(base)
    plain = tp.ModifiedBetaGeoModel("auto").fit(base.to_frame())
    assert_same_fit(quick, plain)


def test_covariates_start_from_the_same_fit(by_unit: dict[str, pd.DataFrame]) -> None:
    rows = by_unit["W"].assign(young=lambda frame: (frame["T"] < 20).astype(float))[::5]
    with always():
        quick = tp.ModifiedBetaGeoModel().fit(rows, rate_covariates="young")
    plain = tp.ModifiedBetaGeoModel().fit(rows, rate_covariates="young")
    np.testing.assert_allclose(quick.params_, plain.params_, rtol=1e-7)


@pytest.mark.parametrize("model", [tp.BetaGeoModel, tp.ModifiedBetaGeoModel, tp.ParetoNBDModel])
def test_what_the_data_do_not_bound_is_said_as_before(model: Any) -> None:
    ages = np.repeat(np.arange(60.0, 90.0), 3)
    rows = pd.DataFrame({"frequency": 8, "recency": ages - 1, "T": ages})
    fits = []
    for way in (always, never):
        with way(), warnings.catch_warnings():
            warnings.simplefilter("ignore", tp.ConvergenceWarning)
            fits.append(model().fit(rows))
    quick, plain = fits
    assert not plain.converged_
    assert quick.convergence_message_ == plain.convergence_message_
    np.testing.assert_array_equal(quick.params_, plain.params_)


# -- a start that is no good -----------------------------------------------------------------------


class Valley:
    """A convex valley with its minimum at ``bottom``, and undefined within ``hole`` of a point."""

    def __init__(self, bottom: float, hole: tuple[float, float] = (0.0, -1.0)) -> None:
        self.bottom, self.hole, self.seen = bottom, hole, 0

    def start(self) -> Array:
        return np.array([self.bottom - 1.5])

    def derivatives(self, theta: Array) -> tuple[float, Array, Array]:
        self.seen += 1
        off = theta - self.bottom
        value = float((off**4 + off**2)[0])
        if abs(theta[0] - self.hole[0]) <= self.hole[1]:
            value = np.nan
        return value, 4 * off**3 + 2 * off, np.diag(12 * off**2 + 2)


class Slope:
    """It falls for ever."""

    def start(self) -> Array:
        return np.array([0.0])

    def derivatives(self, theta: Array) -> tuple[float, Array, Array]:
        fall = np.exp(-theta)
        return float(fall[0]), -fall, np.diag(fall)


def test_a_near_start_saves_steps() -> None:
    exact, alone = Valley(2.0), Valley(2.0)
    found, expected = minimise_rows(exact, Valley(2.01)), minimise(alone.derivatives, alone.start())
    np.testing.assert_allclose(found.theta, expected.theta, atol=1e-9)
    assert exact.seen < alone.seen - 2


@pytest.mark.parametrize(
    "rough",
    [Slope(), Valley(9.0), Valley(2.01, hole=(2.01, 9.0))],
    ids=["endless", "far", "undefined"],
)
def test_a_bad_start_leaves_the_fit_as_it_was(rough: Any) -> None:
    exact = Valley(2.0)
    found, expected = minimise_rows(exact, rough), minimise(exact.derivatives, exact.start())
    np.testing.assert_array_equal(found.theta, expected.theta)
    assert found.steps == expected.steps
    assert found.flat


def test_where_the_rows_have_no_value_the_usual_start_serves() -> None:
    exact = Valley(2.0, hole=(2.1, 0.01))
    found = minimise_rows(exact, Valley(2.1))
    np.testing.assert_allclose(found.theta, [2.0], atol=1e-8)
    assert found.steps == minimise(exact.derivatives, exact.start()).steps


def test_a_given_start_serves_both() -> None:
    exact = Valley(2.0)
    begin = np.array([1.7])
    found = minimise_rows(exact, None, begin)
    assert found.steps == minimise(exact.derivatives, begin).steps
    np.testing.assert_allclose(minimise_rows(exact, Valley(2.01), begin).theta, [2.0], atol=1e-8)
