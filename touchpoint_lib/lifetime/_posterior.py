"""A posterior without a sampler: importance sampling around the mode, with its own diagnostic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from touchpoint_lib._checks import FloatArray, fail

#: Degrees of freedom of the proposal: tails heavier than a likelihood has.
_FREEDOM = 5.0
#: Pareto k from which on importance weights cannot be relied on (Vehtari et al. 2024).
WORST_K = 0.7
#: How often a proposal is moved to where its draws say that the posterior lies.
_ROUNDS = 6


def proposal(
    mode: FloatArray, covariance: FloatArray, draws: int, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return draws of a multivariate t around ``mode``, and their log density up to a constant."""
    k = len(mode)
    normal = generator.standard_normal((draws, k))
    scaled = normal / np.sqrt(generator.chisquare(_FREEDOM, draws) / _FREEDOM)[:, None]
    density = -(_FREEDOM + k) / 2 * np.log1p((scaled**2).sum(axis=1) / _FREEDOM)
    return mode + scaled @ np.linalg.cholesky(covariance).T, density


def smoothed_weights(log_weights: FloatArray) -> tuple[FloatArray, float]:
    """Return normalised weights whose largest follow a fitted Pareto tail, and its shape k.

    Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed importance sampling".
    """
    weights = np.exp(log_weights - log_weights.max())
    n = len(weights)
    tail = int(min(n // 5, np.ceil(3 * np.sqrt(n))))
    order = np.argsort(weights, kind="stable")
    cutoff = weights[order[-tail - 1]]
    excess = weights[order[-tail:]] - cutoff
    if not excess[-1] > 0:  # equal weights: nothing to smooth
        return weights / weights.sum(), -np.inf
    k, sigma = pareto_fit(excess[excess > 0])
    middle = (np.arange(tail) + 0.5) / tail
    quantiles = -np.log1p(-middle) if abs(k) < 1e-12 else np.expm1(-k * np.log1p(-middle)) / k
    # No smoothed weight may exceed the largest raw one.
    weights[order[-tail:]] = np.minimum(cutoff + sigma * quantiles, 1.0)
    return weights / weights.sum(), k


def pareto_fit(excess: FloatArray) -> tuple[float, float]:
    """Return shape and scale of a generalised Pareto fitted to sorted positive values.

    Zhang & Stephens (2009), "A new and efficient estimation method for the generalized Pareto
    distribution", with the shape drawn weakly towards 0.5 as Vehtari et al. do.
    """
    n = len(excess)
    grid = 30 + int(np.sqrt(n))
    quarter = excess[max(int(n / 4 + 0.5) - 1, 0)]
    theta = 1 / excess[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * quarter)
    shape = np.log1p(-theta[:, None] * excess).mean(axis=1)
    profile = n * (np.log(-theta / shape) - shape - 1)
    weight = np.exp(profile - profile.max())
    best = float((theta * weight).sum() / weight.sum())
    k = float(np.log1p(-best * excess).mean())
    sigma = -k / best
    return (n * k + 5.0) / (n + 10.0), sigma


def importance_resample(
    mode: FloatArray,
    covariance: FloatArray,
    log_target: Callable[[FloatArray], FloatArray],
    draws: int,
    seed: int,
) -> tuple[FloatArray, float, float]:
    """Return equally weighted draws of ``log_target``, the effective size and Pareto k.

    Raises
    ------
    InputError
        If the weights cannot be relied on.
    """
    generator = np.random.default_rng(seed)
    for _ in range(_ROUNDS):
        theta, density = proposal(mode, covariance, draws, generator)
        with np.errstate(all="ignore"):  # a draw far out may overflow: it gets no weight
            target = log_target(theta)
        ratio = np.where(np.isfinite(target), target, -np.inf) - density
        if not np.isfinite(ratio.max()):
            raise fail("no draw has a positive posterior density", "check the prior")
        weights, k = smoothed_weights(ratio)
        if k <= WORST_K:
            break
        # A skewed posterior: propose again from where the draws say that it lies.
        mode = weights @ theta
        covariance = (theta - mode).T @ ((theta - mode) * weights[:, None])
        if np.linalg.eigvalsh(covariance)[0] <= 0:
            break
    if k > WORST_K:
        raise fail(
            f"the draws do not represent the posterior (Pareto k is {k:.2f}, and must be at most "
            f"{WORST_K})",
            "pass a prior= that bounds the parameters, or use more customers",
        )
    # Systematic resampling: one random offset, so that each draw is taken about as often as due.
    points = (generator.random() + np.arange(draws)) / draws
    chosen = np.searchsorted(np.cumsum(weights), points * (1 - 1e-12))
    return theta[generator.permutation(chosen)], float(1 / (weights**2).sum()), k
