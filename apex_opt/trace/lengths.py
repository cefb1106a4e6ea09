"""Lengths and pauses, drawn from the distributions that a spec names."""

from __future__ import annotations

import math

import numpy as np

from apex_opt.sim.steps import Float64, Int64
from apex_opt.spec.checks_workload import LARGEST_TAIL, Z99
from apex_opt.spec.workload import (
    Distribution,
    Empirical,
    ExponentialTime,
    Fixed,
    FixedTime,
    Lognormal,
    LognormalTime,
    TimeDistribution,
    Uniform,
    UniformTime,
)
from apex_opt.trace.arrivals import LATEST_NS, NS

LONGEST = 10**9
"""Tokens. Longer draws are cut to this: no length of a spec or a trace is longer."""

BLOCK = 1 << 20
"""Draws made at once, so that memory beside the result is bounded."""


def lengths(distribution: Distribution, n: int, rng: np.random.Generator) -> Int64:
    """Return `n` lengths drawn from `distribution`.

    Args:
        distribution: as in the spec, tokens.
        n: how many; a longer draw begins with the shorter one of the same generator.
        rng: where chance comes from.

    Returns:
        (n,) int64, tokens, from 1 to LONGEST.

    Raises:
        ValueError: there is no such distribution.
    """
    drawn = np.empty(n, np.int64)
    for start in range(0, n, BLOCK):
        part = drawn[start : start + BLOCK]
        part[:] = _draw(distribution, len(part), rng)
    return drawn


def pauses(distribution: TimeDistribution, n: int, rng: np.random.Generator) -> Int64:
    """Return `n` pauses drawn from `distribution`, (n,) int64, nanoseconds, at most ten years."""
    drawn: Float64
    match distribution:
        case FixedTime(value=value):
            drawn = np.full(n, value)
        case ExponentialTime(mean=mean):
            drawn = rng.exponential(mean, n)
        case UniformTime(low=low, high=high):
            drawn = rng.uniform(low, high, n)
        case LognormalTime():
            drawn = _lognormal(distribution, n, rng)
    return np.rint(np.minimum(drawn * NS, LATEST_NS)).astype(np.int64)


def shape(mean: float, p99: float) -> float:
    """Return the standard deviation of the logarithm of a lognormal distribution.

    With median exp(m) and shape s, mean = exp(m + s^2 / 2) and p99 = exp(m + z s), so that
    log(p99 / mean) = z s - s^2 / 2. Of its two roots the smaller is meant: the larger one puts the
    99th percentile below almost all of the mean.

    Raises:
        ValueError: p99 is below the mean, or more than LARGEST_TAIL times as much.
    """
    if not mean <= p99 <= LARGEST_TAIL * mean:
        raise ValueError(
            f"p99 of a lognormal distribution is 1 to {LARGEST_TAIL:.2f} times its mean, "
            f"not {p99 / mean:.4g} times"
        )
    return Z99 - math.sqrt(max(Z99**2 - 2 * math.log(p99 / mean), 0.0))


def _draw(distribution: Distribution, n: int, rng: np.random.Generator) -> Int64:
    match distribution:
        case Fixed(value=value):
            return np.full(n, value, np.int64)
        case Uniform(low=low, high=high):
            return rng.integers(low, high, n, dtype=np.int64, endpoint=True)
        case Lognormal(maximum=maximum):
            return _whole(_lognormal(distribution, n, rng), maximum or LONGEST)
        case Empirical(values=values):
            return rng.choice(np.array(values, np.int64), n, p=_chances(distribution))


def _lognormal(
    distribution: Lognormal | LognormalTime, n: int, rng: np.random.Generator
) -> Float64:
    s = shape(distribution.mean, distribution.p99)
    return rng.lognormal(math.log(distribution.mean) - s**2 / 2, s, n)


def _whole(drawn: Float64, maximum: int) -> Int64:
    """Return draws as whole tokens, at least 1."""
    return np.rint(np.clip(drawn, 1, maximum)).astype(np.int64)


def _chances(distribution: Empirical) -> Float64 | None:
    """Return the chance of each value; None where all are equal."""
    if distribution.weights is None:
        return None
    weights: Float64 = np.array(distribution.weights, np.float64)
    if len(weights) != len(distribution.values) or not weights.any():
        raise ValueError("weights: one for each of `values`, at least one above zero")
    weights /= weights.sum()
    return weights
