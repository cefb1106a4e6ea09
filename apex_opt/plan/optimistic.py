"""The optimistic model of a replica: bounds that no simulation beats.

Step times are a table f(n) of the batch size n, plus terms that are linear in what the step reads.
For any slope g >= 0 the line F + g n with F = min over n of (f(n) - g n) lies under the table, so
over K steps that process T tokens together  sum f(n_k) >= F K + g T.  How many steps there are is
bounded from below twice:

    K >= decode tokens / max_seqs          a step decodes at most max_seqs sequences
    K >= cached tokens read / (block_tokens blocks)    and their contexts are all in the cache

Each slope and each bound on K gives one linear row of work over the features
(`apex_opt.plan.features`). A window layer's min(C, b W) of the step table is at least the sum over
sequences of min(context, W).

A preempted sequence computes its p + m tokens again, in place of the decode step that would have
read as many from the cache. That is no cheaper: a token that runs moves its activations in every
layer, which are more than its keys and values, and a step with prompts pays for eager kernels
where padding hides further tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES, Features

Float = NDArray[np.float64]
Row = tuple[float, ...]
FS_PER_NS = 1e6
ROUNDING_NS = 1.0
"""The simulator rounds the time of what a step reads down to a nanosecond, on each stage."""


@dataclass(frozen=True)
class Line:
    """A line under a table: table[n] >= base + slope n for every n >= 1; base >= 0."""

    base: float
    slope: float


def lines(table: Float) -> tuple[Line, ...]:
    """Return a few lines under `table` (index 0 is the empty batch, not looked at).

    Slopes: flat, the best ratio of time to tokens, and the chords from one token to batches in
    between.
    """
    sizes = np.arange(1, len(table), dtype=np.float64)
    body = table[1:]
    steepest = float(np.min(body / sizes))  # a line that is steeper starts below zero
    slopes = {0.0, steepest}
    for n in (16, 64, 256, 1024, len(body)):
        if 1 < n <= len(body):
            slopes.add(min(max(float((body[n - 1] - body[0]) / (n - 1)), 0.0), steepest))
    return tuple(
        Line(max(float(np.min(body - slope * sizes)), 0.0), slope) for slope in sorted(slopes)
    )


@dataclass(frozen=True)
class Optimistic:
    """Lower bounds of one candidate, as coefficients over the features.

    Attributes:
        busy_ns: rows; each bounds the time that one stage is busy from below, summed over the
            traffic.
        energy_j: bounds the energy above idle.
        e2e_ns: bounds the sum of end-to-end times.
        ttft_ns, decode_ns: (n,) floors per request: time to the first token; from first to last.
    """

    busy_ns: tuple[Row, ...]
    energy_j: Row
    e2e_ns: Row
    ttft_ns: Float
    decode_ns: Float


def _row(**parts: float) -> Row:
    return tuple(parts.get(name, 0.0) for name in FEATURES)


def _ratio(table: Float) -> float:
    """Return the least value per unit over 1 .. n."""
    return float(np.min(table[1:] / np.arange(1, len(table))))


def _busy_rows(candidate: Candidate, stage: int) -> list[Row]:
    steps, rules = candidate.steps, candidate.rules
    table = np.minimum(steps.decode_ns[stage], steps.mixed_ns[stage]) - ROUNDING_NS
    sampled = _ratio(steps.rows_ns[stage].astype(np.float64))
    context, window = steps.context_fs[stage] / FS_PER_NS, steps.window_fs[stage] / FS_PER_NS
    cache_tokens = max(rules.blocks * rules.block_tokens, 1)
    rows = []
    for line in lines(table):
        for by_seqs in (True, False):
            per_decode = line.base / rules.max_seqs if by_seqs else 0.0
            per_context = 0.0 if by_seqs else line.base / cache_tokens
            rows.append(
                _row(
                    requests=sampled,
                    prompt=line.slope,
                    decode=line.slope + sampled + per_decode,
                    context=context + per_context,
                    pairs=steps.pair_fs[stage] / FS_PER_NS,
                    window=window,
                    windowed=steps.window_pair_fs[stage] / FS_PER_NS,
                )
            )
    return rows


def strongest(rows: list[Row], totals: tuple[int, ...]) -> tuple[Row, ...]:
    """Return the rows that are greatest on all traffic, on prompts alone, on decoding alone.

    Every row is a valid bound; a few that bind are enough, and keep the fleet model small.
    """
    mixes = (FEATURES, ("prompt", "pairs", "windowed"), ("decode", "context", "window"))
    kept = []
    for names in mixes:
        mix = tuple(t if f in names else 0 for f, t in zip(FEATURES, totals, strict=True))
        kept.append(max(rows, key=lambda row, mix=mix: value(row, mix)))  # type: ignore[misc]
    return tuple(dict.fromkeys(kept))


def _energy(candidate: Candidate, traffic: Features) -> Row:
    """Return the energy row that is greatest on this traffic."""
    steps, rules = candidate.steps, candidate.rules
    table = np.minimum(steps.decode_j, steps.mixed_j)
    sampled = _ratio(steps.rows_j)
    rows = [
        _row(
            requests=sampled,
            prompt=line.slope,
            decode=line.slope + sampled + line.base / rules.max_seqs,
            context=steps.context_j,
            pairs=steps.pair_j,
            window=steps.window_j,
            windowed=steps.window_pair_j,
        )
        for line in lines(table)
    ]
    return max(rows, key=lambda row: value(row, traffic.totals))


def value(row: Row, totals: tuple[int, ...]) -> float:
    """Return the row's sum over the features."""
    return sum(a * b for a, b in zip(row, totals, strict=True))


def _whole(candidate: Candidate) -> tuple[Float, Float, Float]:
    """Return step time over all stages and hops (decode, mixed), and of sampled rows, ns."""
    steps = candidate.steps
    hops = steps.hop_ns.sum(axis=0)
    hops = hops - ROUNDING_NS * steps.stages
    return (
        steps.decode_ns.sum(axis=0) + hops,
        steps.mixed_ns.sum(axis=0) + hops,
        steps.rows_ns.sum(axis=0).astype(np.float64),
    )


def optimistic(candidate: Candidate, traffic: Features) -> Optimistic:
    """Return the lower bounds of `candidate` on `traffic`."""
    steps, rules = candidate.steps, candidate.rules
    decode, mixed, sampled = _whole(candidate)
    either = np.minimum(decode, mixed)
    once = float(np.min(sampled[1:]))
    shortest = float(np.min(either[1:])) + once
    context, pair = steps.context_fs.sum() / FS_PER_NS, steps.pair_fs.sum() / FS_PER_NS
    window, windowed = steps.window_fs.sum() / FS_PER_NS, steps.window_pair_fs.sum() / FS_PER_NS
    columns = traffic.columns.astype(np.float64)
    chunks = np.ceil(columns[1] / rules.max_batch_tokens)
    prefill_lines = lines(mixed)
    prefill = np.max([ln.base * chunks + ln.slope * columns[1] for ln in prefill_lines], axis=0)
    fixed = rules.request_overhead_ns + once
    ttft = fixed + prefill + pair * columns[4] + windowed * columns[6]
    decoding = shortest * columns[2] + context * columns[3] + window * columns[5]
    best = max(prefill_lines, key=lambda ln: ln.base * len(chunks) + ln.slope * columns[1].sum())
    e2e = _row(
        requests=fixed + best.base,
        prompt=best.slope,
        decode=shortest,
        context=context,
        pairs=pair,
        window=window,
        windowed=windowed,
    )
    busy = [row for stage in range(steps.stages) for row in _busy_rows(candidate, stage)]
    return Optimistic(
        strongest(busy, traffic.totals), _energy(candidate, traffic), e2e, ttft, decoding
    )
