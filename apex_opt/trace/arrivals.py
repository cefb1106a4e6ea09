"""When requests arrive, where no trace says it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from apex_opt.sim.steps import Float64, Int64

NS = 1_000_000_000
"""Nanoseconds of a second."""

LATEST_NS = 10 * 365 * 86_400 * NS
"""Ten years: nobody means traffic that goes on for longer, and no sum of times overflows."""


def arrivals(
    process: Literal["constant", "poisson", "gamma", "closed"],
    n: int,
    rng: np.random.Generator,
    *,
    rate_rps: float = 1.0,
    burstiness: float = 1.0,
) -> Int64:
    """Return when `n` requests arrive.

    Args:
        process: `constant`: one every 1 / rate seconds, the first at 0; `poisson`: gaps are
            exponential; `gamma`: gaps are gamma distributed, with shape `burstiness` and the same
            mean; `closed`: all at 0, their clients wait for each other.
        n: requests.
        rng: where chance comes from.
        rate_rps: requests a second; a closed loop has none.
        burstiness: 1 is Poisson, less is burstier, more is more regular.

    Returns:
        (n,) int64, nanoseconds, not decreasing.

    Raises:
        ValueError: the last one would arrive in more than ten years.

    Source: gaps as `--request-rate` and `--burstiness` of `vllm bench serve` 0.33 mean them.
    """
    if process == "closed":
        return np.zeros(n, np.int64)
    if process == "constant":
        at = np.arange(n, dtype=np.float64)
    else:
        at = np.cumsum(_gaps(1.0 if process == "poisson" else burstiness, n, rng))
    at *= NS / rate_rps
    if n and not at[-1] <= LATEST_NS:
        raise ValueError(f"{n:,} requests at {rate_rps:g} a second take more than ten years")
    return np.rint(at, out=at).astype(np.int64)


def _gaps(burstiness: float, n: int, rng: np.random.Generator) -> Float64:
    """Return gaps of mean 1."""
    if burstiness == 1.0:
        return rng.standard_exponential(n)
    gaps = rng.standard_gamma(burstiness, n)
    gaps /= burstiness
    return gaps
