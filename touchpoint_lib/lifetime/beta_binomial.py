"""BG/BB: purchases at discrete opportunities, such as yearly donations or annual events.

At every opportunity a customer first may drop out for good, with probability theta, and if not
buys with probability p; p and theta are beta distributed over customers. Given that a customer
is still active, the two are independent beta variables, so every prediction is a sum of ratios
of gamma functions, and `_gamma_series` has them all: sums of positive terms, without a pole at
gamma = 1, at a cost that does not grow with the number of opportunities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    PERIOD_DAYS,
    BoolArray,
    FloatArray,
    IntArray,
    check_each,
    check_integer,
    check_values,
    fail,
)
from touchpoint_lib.lifetime._base import all_or_nothing
from touchpoint_lib.lifetime._beta_binomial_likelihood import Likelihood
from touchpoint_lib.lifetime._gamma_series import log_ratio, series
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._predictions import Params
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    group,
    group_with_inverse,
)

#: Cells (rows by terms, or by nodes) held at once.
_BLOCK = 2_000_000
#: More rows than this are first reduced to their distinct ones.
_FEW = 4096
#: Opportunities over which numbers of purchases are counted out; and in a history.
_MOST_TERMS = 1_000_000
#: The last number of opportunities that is counted exactly.
_LAST = 2.0**53


class BetaGeoBetaBinomModel(PurchaseModel):
    """BG/BB: at each opportunity an active customer first drops out with a Beta(gamma, delta)
    probability, and if not buys with a Beta(alpha, beta) probability.

    All times are whole numbers of opportunities: ``T`` is how many there have been since the
    first purchase, ``recency`` which of them was the last with a purchase (0 without any) and
    ``frequency`` how many had one, so frequency <= recency <= T. A horizon, a silence and a gap
    are numbers of opportunities too. The unit "D", "W", "M" or "Y" says that there is one a day,
    week, month or year; discounting needs it.

    P(alive) is the probability of being active at the coming opportunity T + 1 (plus ``future``),
    as Fader, Hardie & Shang define it: whoever is active at T may still drop out at the start of
    T + 1. `purchase_hazard` is the probability of a purchase at opportunity T + ahead + 1 if
    there is none at the ``ahead`` before it. `time_to_next_purchase` is the smallest number of
    opportunities with a purchase among them at least that likely, and `dormancy_gap` the smallest
    number of missed ones after the last purchase at which P(alive) is no higher than asked.

    The log-likelihood is that of each customer's own recency and frequency history, without the
    binomial coefficient that counts the histories with the same frequency and recency.

    References
    ----------
    Fader, Hardie & Shang (2010), "Customer-base analysis in a discrete-time noncontractual
    setting", Marketing Science 29(6).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> donors = tp.load_donations()
    >>> model = tp.BetaGeoBetaBinomModel().fit(donors)
    >>> model.params_.round(3).to_dict()
    {'alpha': 1.204, 'beta': 0.75, 'gamma': 0.657, 'delta': 2.783}
    >>> model.expected_purchases(donors, horizon=5).iloc[-1].round(2)
    np.float64(3.75)
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma", "delta")
    _units = PERIOD_DAYS
    _whole_times = True

    @all_or_nothing
    def fit(self, customers: Any, unit: str | None = None) -> Self:
        """Estimate alpha, beta, gamma and delta by maximum likelihood.

        Parameters
        ----------
        customers : DataFrame or CustomerBase
            With frequency, recency and T in opportunities; a column ``count`` weighs the rows.
        unit : {"D", "W", "M", "Y"}, optional
            How often there is an opportunity, where ``customers.attrs`` does not tell.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a value is missing, not whole or impossible, nobody has a repeat purchase, or the
            units disagree.

        Warns
        -----
        ConvergenceWarning
            If the likelihood has no proper maximum.
        """
        frame = customer_frame(customers, compressed=True)
        rows = group(_check_histories(frame))
        self.unit_ = common_unit(frame.attrs, unit, self._units)
        if not rows.count @ rows.frequency > 0:
            raise fail(
                f"none of the {rows.n_customers:,.0f} customers has a repeat purchase",
                "use a longer window: without repeats no probability can be estimated",
            )
        likelihood = Likelihood(rows)
        optimum = minimise(likelihood.derivatives, likelihood.start())
        self._log_likelihood, self._data = likelihood.totals, rows.totals
        n = rows.n_customers
        self._finish(optimum, np.zeros(4), -optimum.value * n, n)
        return self

    def simulate(self, n_customers: int, T: Any, seed: int) -> pd.DataFrame:
        """Draw customers from the model.

        Parameters
        ----------
        n_customers : int
            How many.
        T : int or array of int
            Opportunities of all or of each customer, >= 1.
        seed : int
            Seed of the generator.

        Returns
        -------
        DataFrame
            frequency, recency, T, and the truth ``alive`` (active at opportunity T + 1).
        """
        alpha, beta, gamma, delta = self._require_fit()
        n = check_integer("n_customers", n_customers, ge=1)
        observed = check_each("T", T, n, ge=1, whole=True).astype(np.int64)
        generator = np.random.default_rng(check_integer("seed", seed, ge=0))
        buys, leaves = generator.beta(alpha, beta, n), generator.beta(gamma, delta, n)
        frequency, recency = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        alive = np.zeros(n, dtype=bool)
        active = np.arange(n)
        now = 0
        while active.size:
            now += 1
            active = active[generator.random(active.size) >= leaves[active]]
            watched = observed[active] >= now
            alive[active[~watched]] = True
            active = active[watched]
            bought = active[generator.random(active.size) < buys[active]]
            frequency[bought] += 1
            recency[bought] = now
        frame = pd.DataFrame(
            {"frequency": frequency, "recency": recency, "T": observed, "alive": alive}
        )
        return self._in_unit(frame)

    # -- predictions on rows -----------------------------------------------------------------

    def _check_rows(self, frame: pd.DataFrame) -> Rows:
        return _check_histories(frame)

    def _alive(self, params: Params, rows: Rows, future: float) -> FloatArray:
        rows, inverse = _distinct(params, rows)
        _, _, gamma, delta = params
        stays = series([(delta + rows.T, gamma)], future + 1)[1]
        return (_active(params, rows)[0] * stays)[inverse]

    def _purchases(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        return self._discounted(params, rows, 0.0, horizon)

    def _discounted(
        self, params: Params, rows: Rows, rate: float, horizon: float | None
    ) -> FloatArray:
        rows, inverse = _distinct(params, rows)
        alpha, beta, gamma, delta = params
        chance = (alpha + rows.frequency) / (alpha + beta + rows.T)
        trials = delta + rows.T
        terms = np.inf if horizon is None else horizon
        total = series([(trials + 1, gamma)], terms, rate)[0]
        next_one = np.exp(-rate) * chance * trials / (gamma + trials)
        return (_active(params, rows)[0] * next_one * total)[inverse]

    def _buys(self, params: Params, rows: Rows, horizon: float) -> FloatArray:
        return _active(params, rows)[0] * _first_purchase(params, rows, horizon)

    def _buys_n(self, params: Params, rows: Rows, n: int, horizon: float) -> FloatArray:
        active, gone = _active(params, rows)
        never = gone if n == 0 else np.zeros(len(gone))
        if n > horizon:
            return never
        alpha, beta, gamma, delta = params
        a, b = alpha + rows.frequency, beta + rows.T - rows.frequency
        trials = delta + rows.T
        # P(n purchases at the first i opportunities, active at them, gone at the next one), for
        # i = n, n + 1, ...: the first, and then by the ratio of neighbours.
        start = (
            log_ratio(a, b, n) + log_ratio(trials, gamma, n) + np.log(gamma / (gamma + trials + n))
        )
        a, b, gamma, trials = (
            column[:, None] for column in np.broadcast_arrays(a, b, gamma, trials)
        )
        if horizon - n > _MOST_TERMS:
            raise fail(
                f"n is {n} and horizon {horizon:g}, and every opportunity between is counted",
                f"the horizon may exceed n by at most {_MOST_TERMS:,}",
            )
        i = np.arange(n, horizon)
        counts = np.empty(len(active))
        step = max(1, _BLOCK // (len(i) + 1))
        for at in range(0, len(counts), step):
            part = slice(at, at + step)
            ratio = (i + 1) / (i + 1 - n) * (b[part] + i - n) / (a[part] + b[part] + i)
            ratio *= (trials[part] + i) / (gamma[part] + trials[part] + i + 1)
            logs = np.empty((len(ratio), len(i) + 1))
            logs[:, 0] = start[part]
            logs[:, 1:] = np.log(ratio)
            terms = np.exp(np.cumsum(logs, axis=1))
            # Gone after the horizon, at whatever opportunity.
            terms[:, -1] *= ((gamma[part] + trials[part] + horizon) / gamma[part])[:, 0]
            counts[part] = terms.sum(axis=1)
        return never + active * np.minimum(counts, 1.0)

    def _next_purchase(self, params: Params, rows: Rows, quantile: float) -> FloatArray:
        active = _active(params, rows)[0]
        waits = np.full(len(active), np.inf)
        can = np.flatnonzero(active * _first_purchase(params, rows, np.inf) > quantile)
        params, rows = _take(params, rows, can)

        def bought(at: IntArray, number: FloatArray) -> BoolArray:
            return active[can[at]] * _first_purchase(*_take(params, rows, at), number) >= quantile

        waits[can] = _smallest(bought, len(can))
        return waits

    def _dormancy(self, params: Params, rows: Rows, alive: Any) -> FloatArray:
        level = np.broadcast_to(alive, rows.T.shape)

        def asleep(at: IntArray, missed: FloatArray) -> BoolArray:
            there, own = _take(params, rows, at)
            age = own.recency + missed
            silent = Rows(own.frequency, own.recency, age, own.count)
            stays = (there[3] + age) / (there[2] + there[3] + age)
            return _active(there, silent)[0] * stays <= level[at]

        return _smallest(asleep, len(level))

    def _hazard(self, params: Params, rows: Rows, ahead: float) -> FloatArray:
        later = Rows(rows.frequency, rows.recency, rows.T + ahead, rows.count)
        return self._purchases(params, later, 1.0)


def _check_histories(frame: pd.DataFrame) -> Rows:
    """Return the rows of ``frame``; raise where they are no counts of opportunities."""
    rows = check_rows(frame)
    for name, values in (("recency", rows.recency), ("T", rows.T)):
        check_values(name, values, le=_MOST_TERMS, whole=True, index=frame.index)
    bad = np.flatnonzero(rows.frequency > rows.recency)
    if bad.size:
        first = int(bad[0])
        raise fail(
            f"frequency exceeds recency at index {frame.index[first]!r} (frequency "
            f"{rows.frequency[first]:g}, recency {rows.recency[first]:g}; {bad.size} such rows)",
            "count opportunities with a purchase, of which recency is the number of the last",
        )
    return rows


def _distinct(params: Params, rows: Rows) -> tuple[Rows, Any]:
    """Return the distinct rows and the way back, where many rows share their parameters."""
    if len(rows.T) <= _FEW or any(np.ndim(value) for value in params):
        return rows, slice(None)
    return group_with_inverse(rows)


def _take(params: Params, rows: Rows, at: IntArray) -> tuple[Params, Rows]:
    """Return the parameters and rows at the positions ``at``."""
    own = [value if np.ndim(value) == 0 else value[at] for value in params]
    return own, Rows(rows.frequency[at], rows.recency[at], rows.T[at], rows.count[at])


def _active(params: Params, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return P(active at opportunity T) and P(gone by then) of each row."""
    alpha, beta, gamma, delta = params
    unsold = beta + rows.recency - rows.frequency
    gone, stays = series(
        [(unsold, alpha + rows.frequency), (delta + rows.recency, gamma + 1)],
        rows.T - rows.recency,
    )
    stays = stays * (gamma + delta + rows.T)
    gone = gone * gamma
    return stays / (stays + gone), gone / (stays + gone)


def _first_purchase(params: Params, rows: Rows, horizon: Any) -> FloatArray:
    """Return P(a purchase within ``horizon`` opportunities) of those who are active at T."""
    alpha, beta, gamma, delta = params
    a, b = alpha + rows.frequency, beta + rows.T - rows.frequency
    trials = delta + rows.T
    total = series([(b, a + 1), (trials + 1, gamma)], horizon)[0]
    return np.minimum(a / (a + b) * (trials / (gamma + trials)) * total, 1.0)


def _smallest(reached: Callable[[IntArray, FloatArray], BoolArray], n: int) -> FloatArray:
    """Return for each of ``n`` rows the smallest whole number that ``reached`` holds for.

    It holds for all numbers from there on; inf beyond 2^53.
    """
    low, high = np.full(n, -1.0), np.full(n, np.inf)
    rest, trial = np.arange(n), 0.0
    while rest.size and trial <= _LAST:
        there = reached(rest, np.full(rest.size, trial))
        high[rest[there]] = trial
        rest = rest[~there]
        low[rest] = trial
        trial = 2 * trial + 1
    between = np.flatnonzero(np.isfinite(high) & (high - low > 1))
    while between.size:
        middle = np.floor((low[between] + high[between]) / 2)
        there = reached(between, middle)
        high[between[there]] = middle[there]
        low[between[~there]] = middle[~there]
        between = between[high[between] - low[between] > 1]
    return high
