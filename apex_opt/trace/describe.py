"""A trace in numbers: how fast, how bursty, how long."""

from __future__ import annotations

import numpy as np

from apex_opt.sim.steps import Int64
from apex_opt.spec.faults import shown_file
from apex_opt.trace.arrivals import NS
from apex_opt.trace.cut import Part, cut
from apex_opt.trace.description import (
    Burstiness,
    Conversations,
    Description,
    Lengths,
    Peak,
    Sharing,
    Timeline,
)
from apex_opt.trace.fit import as_synthetic, as_trace
from apex_opt.trace.sharing import cached_tokens
from apex_opt.trace.trace import Trace

WINDOWS_S = (1, 10, 60)
BINS = 240
"""Of a timeline. Many numbers divide it, so that bins can be joined to fit any terminal."""

BLOCK = 1 << 20
"""Requests that are looked at together, so that memory beside the trace is bounded."""


def describe(trace: Trace, part: Part | None = None) -> Description:
    """Return what there is to say of `trace`, or of a part of it.

    Raises:
        CallError: there is no such part.
    """
    part = part or Part()
    trace = cut(trace, part)
    at = trace.arrival_ns
    span_ns = int(at[-1])
    return Description(
        file=shown_file(str(trace.path)),
        format=trace.format,
        requests=len(trace),
        timed=trace.timed,
        span_s=span_ns / NS,
        rate_rps=(len(trace) - 1) * NS / span_ns if span_ns else None,
        burstiness=burstiness(at),
        peaks=tuple(
            Peak(window_s=window, rate_rps=most_within(at, window * NS) / window)
            for window in WINDOWS_S
            if window * NS <= span_ns
        ),
        timeline=timeline(at),
        prompt_tokens=lengths(trace.prompt_tokens),
        output_tokens=lengths(trace.output_tokens),
        total_tokens=lengths(trace.prompt_tokens + trace.output_tokens),
        correlation=correlation(trace.prompt_tokens, trace.output_tokens),
        one_token_outputs=float(np.mean(trace.output_tokens == 1)),
        sharing=sharing(trace),
        conversations=conversations(trace),
        notes=trace.notes,
        as_trace=as_trace(trace, part),
        as_synthetic=as_synthetic(trace),
    )


def burstiness(at: Int64) -> Burstiness | None:
    """Return how irregular the gaps between times are.

    Args:
        at: (n,) int64, nanoseconds, not decreasing, from 0.
    """
    if len(at) < 3 or not at[-1]:
        return None
    gaps = np.diff(at)
    cv = float(gaps.std() / gaps.mean())
    return Burstiness(gaps_cv=cv, gamma_shape=cv**-2 if cv else None)


def most_within(at: Int64, window_ns: int) -> int:
    """Return the most requests in any window [t, t + window_ns).

    Args:
        at: (n,) int64, nanoseconds, not decreasing; n >= 1.
        window_ns: length of the window.
    """
    most = 0
    for start in range(0, len(at), BLOCK):
        # A fullest window can be moved until it begins with a request.
        begins = at[start : start + BLOCK]
        ends = np.searchsorted(at, begins + window_ns, side="left")
        most = max(most, int((ends - np.arange(start, start + len(begins))).max()))
    return most


def timeline(at: Int64) -> Timeline | None:
    """Return how many requests come in each part of the time.

    Args:
        at: (n,) int64, nanoseconds, not decreasing, from 0.
    """
    span_ns = int(at[-1])
    if not span_ns:
        return None
    counts = np.zeros(BINS, np.int64)
    for start in range(0, len(at), BLOCK):
        bins = (at[start : start + BLOCK] * (BINS / span_ns)).astype(np.int64)
        # The last request stands at the end of the last bin, and belongs to it.
        counts += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
    return Timeline(bin_s=span_ns / NS / BINS, requests=tuple(counts.tolist()))


def lengths(tokens: Int64) -> Lengths:
    """Return mean, percentiles and the longest of `tokens`, (n,) int64; n >= 1."""
    p50, p90, p95, p99 = np.percentile(tokens, (50, 90, 95, 99)).tolist()
    return Lengths(
        mean=float(tokens.mean()), p50=p50, p90=p90, p95=p95, p99=p99, max=int(tokens.max())
    )


def correlation(first: Int64, second: Int64) -> float | None:
    """Return Pearson's correlation of two columns; None where one of them never varies."""
    if first.min() == first.max() or second.min() == second.max():
        return None
    return float(np.corrcoef(first, second)[0, 1])


def sharing(trace: Trace) -> Sharing | None:
    """Return what prompts share; None where the file does not say it."""
    if not len(trace.prefix):
        return None
    return Sharing(
        beginnings=len(np.unique(trace.prefix[trace.prefix >= 0])),
        requests=float(np.mean(trace.prefix >= 0)),
        cached_tokens=float(cached_tokens(trace).sum() / trace.prompt_tokens.sum()),
    )


def conversations(trace: Trace) -> Conversations | None:
    """Return how long sessions are; None where there are none of several turns."""
    if not len(trace.after) or (later := trace.after >= 0).sum() == 0:
        return None
    sessions = len(trace) - int(later.sum())
    return Conversations(
        sessions=sessions,
        turns=len(trace) / sessions,
        most_turns=_longest(trace.after),
        think_s=float(trace.think_ns[later].mean()) / NS,
    )


def _longest(after: Int64) -> int:
    """Return how many requests the longest session has."""
    back = after
    before = (back >= 0).astype(np.int64)  # by request: how many of its session are this far back
    while (back >= 0).any():  # twice as far each time
        before = before + np.where(back >= 0, before[back], 0)
        back = np.where(back >= 0, back[back], -1)
    return int(before.max()) + 1
