"""The pace of tokens that service levels ask for: how long the steps of those that keep it may be.

A level L on the time per token lets some requests be late; let T be the least number of tokens of
those that are not. A step of t_k that decodes m_k of their tokens makes each of them wait t_k, and
together they may wait L T, so that over all steps

    sum m_k t_k <= L T,    sum m_k = T.

With a line F + g m under the time of a step that decodes m sequences, and F < L, this is
F T + g sum m_k^2 <= L T, and as sum m_k^2 >= T^2 / K (Cauchy, Schwarz),

    K >= T g / (L - F):

batches are so small on average that a step takes L. With c guesses a step yields up to 1 + c tokens
of a sequence, so that (1 + c) L stands for L and T / (1 + c) for T.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apex_opt.plan.levels import NS_PER_MS, SHARE, counts_goodput, request_limits_ns
from apex_opt.sim.steps import Int64
from apex_opt.spec.goals import Percentiles
from apex_opt.spec.spec import Spec

ROUNDING = 1e-9


@dataclass(frozen=True)
class Pace:
    """A limit on the mean gap of tokens that most requests keep.

    Attributes:
        limit_ns: between tokens of a request, or of the tokens together.
        tokens: (n,) int64, decoded tokens of each request that is sure to count: 0 for others.
    """

    limit_ns: float
    tokens: Int64

    @property
    def pressure(self) -> float:
        """Tokens over the limit: how strong a bound it gives."""
        return float(self.tokens.sum()) / self.limit_ns


def pace(spec: Spec, decode: Int64, requests: int) -> Pace | None:
    """Return the strongest pace that the service levels ask for; None where they ask for none.

    Args:
        spec: its levels on the time per token are read.
        decode: (n,) tokens after the first of each request that can be served.
        requests: all requests; those that cannot be served miss their limits.
    """
    if spec.workload.samples > 1 or spec.objective.maximize == "throughput":
        return None
    found = [*_each(spec, decode, requests), *_statistics(spec, decode)]
    return max(found, key=lambda p: p.pressure, default=None)


def _each(spec: Spec, decode: Int64, requests: int) -> Iterator[Pace]:
    """Yield the pace of the limit on each request; goodput counts those alone that keep it."""
    limit_ns = request_limits_ns(spec.slo).get("tpot_ms")
    if limit_ns is None:
        return
    if counts_goodput(spec):
        yield Pace(limit_ns, decode)
        return
    on_time = math.ceil(spec.slo.attainment * requests * (1 - ROUNDING))
    yield Pace(limit_ns, least_tokens(decode, on_time))


def _statistics(spec: Spec, decode: Int64) -> Iterator[Pace]:
    """Yield the paces of limits on statistics of the requests that have a gap."""
    several = decode[decode > 0]
    n = len(several)
    if counts_goodput(spec) or n == 0 or not isinstance(spec.slo.tpot_ms, Percentiles):
        return
    for statistic, limit_ms in spec.slo.tpot_ms.limits().items():
        limit_ns = limit_ms * NS_PER_MS
        if statistic == "mean":
            # sum D / d <= L n, so that sum D <= L n max d.
            longest = n * int(several.max()) / int(several.sum())
            yield Pace(limit_ns * longest, decode)
        else:
            on_time = 1 + math.floor((n - 1) * SHARE[statistic] * (1 - ROUNDING))
            yield Pace(limit_ns, least_tokens(decode, on_time + len(decode) - n))


def least_tokens(decode: Int64, on_time: int) -> Int64:
    """Return the tokens of the `on_time` requests that have the fewest, 0 for the others."""
    order = np.argsort(decode, kind="stable")
    found = np.zeros_like(decode)
    kept = order[: max(on_time, 0)]
    found[kept] = decode[kept]
    return found
