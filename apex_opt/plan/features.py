"""What the traffic asks of any replica: features, summed over its requests.

For a request of p prompt and o output tokens (the last one is sampled, never processed):

    requests   1
    prompt     p
    decode     o - 1
    context    sum over decode steps k = 1 .. o - 1 of the cached tokens p + k
    pairs      p (p + 1) / 2          query-key pairs of its prefill
    window     sum over decode steps of min(p + k, W)
    windowed   sum over prompt tokens i of min(i, W)

Whatever a scheduler does, it must process these. Sums are exact Python integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apex_opt.sim.load import Load
from apex_opt.sim.steps import Int64

FEATURES = ("requests", "prompt", "decode", "context", "pairs", "window", "windowed")


def _triangle(n: Int64) -> Int64:
    return np.asarray(n * (n + 1) // 2, dtype=np.int64)


def capped_sum(low: Int64, high: Int64, cap: int) -> Int64:
    """Return sum of min(i, cap) for i in low + 1 .. high, elementwise."""

    def below(n: Int64) -> Int64:
        small = np.minimum(n, cap)
        return np.asarray(_triangle(small) + (n - small) * cap, dtype=np.int64)

    return np.asarray(below(high) - below(low), dtype=np.int64)


@dataclass(frozen=True)
class Features:
    """Features per request, one column each, of the requests that can be served at all.

    Attributes:
        columns: (7, n) int64, in the order of `FEATURES`.
        totals: their sums.
    """

    columns: Int64
    totals: tuple[int, ...]

    @property
    def decode(self) -> Int64:
        """Output tokens after the first, per request."""
        column: Int64 = self.columns[2]
        return column


def features(load: Load, max_model_tokens: int, window_tokens: int) -> Features:
    """Return the features of the requests that fit `max_model_tokens`; longer ones are rejected."""
    served = load.prompt_tokens + load.output_tokens <= max_model_tokens
    p, d = load.prompt_tokens[served], load.output_tokens[served] - 1
    columns = np.stack(
        [
            np.ones_like(p),
            p,
            d,
            d * p + _triangle(d),
            _triangle(p),
            capped_sum(p, p + d, window_tokens),
            capped_sum(np.zeros_like(p), p, window_tokens),
        ]
    )
    totals = tuple(int(sum(column.tolist())) for column in columns)
    return Features(np.ascontiguousarray(columns), totals)
