"""What steps draw beyond some power: it adds to the energy of the time that they take.

A step takes energy e and, over all stages and hops, time f; both are sums of the same terms (a
table by tokens, sampled rows, what the step reads). With w at most the least power of any step
(`apex_opt.plan.peak`) no term of e - w f is negative, and over all steps

    sum e = w sum f + sum (e - w f),

of which the first is at least w times the time in which anybody is served
(`apex_opt.plan.awake`), and the second is bounded like the energy itself, by what steps process.
The greater w, the less is left beyond it: where batches may be large, a part of the least power
says more than all of it.

Sampled rows alone may draw less than w, only not beside the tokens from which they are sampled. A
step of n tokens samples from at most n of them, so the least of up to n rows is taken off the table
then, and rows count nothing.

A preempted sequence of C cached tokens loses a decode step that would have read them, and computes
at least C / 2 of them again, or finds as many. So where each token that a step processes is worth
twice the rates of reading, those count in full; steeper lines alone are kept then, or where there
is none, reading counts nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.step_floors import Floor, Rates, may_preempt, row
from apex_opt.plan.tangents import Line, lines
from apex_opt.sim.steps import StepTable

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]

NS_PER_S, FS_PER_S = 1e9, 1e15


def beyond(candidate: Candidate, least_w: float) -> Floor:
    """Return the floor of what steps draw beyond `least_w`, joules; of none where that is 0 W."""
    if not least_w:
        return Floor((Line(0.0, 0.0),), row())
    steps, rules = candidate.steps, candidate.rules_in_role
    rows = steps.rows_j - least_w * steps.over_stages(steps.rows_ns) / NS_PER_S
    sampled = max(float((rows[1:] / np.arange(1, len(rows))).min()), 0.0)
    tokens = _tokens(steps, least_w, rows)
    rates = _rates(steps, least_w)
    context, window = rates.least(rules)
    kept = lines(tokens)
    if may_preempt(rules):
        steep = tuple(line for line in kept if line.slope >= 2 * (context + window))
        kept, context, window = (steep, context, window) if steep else (kept, 0.0, 0.0)
    return Floor(
        kept,
        row(
            requests=sampled,
            decode=sampled,
            context=context,
            pairs=rates.pair,
            window=window,
            windowed=rates.window_pair,
        ),
    )


def _tokens(steps: StepTable, least_w: float, rows: Float) -> Float:
    """Return the least of a step by its tokens, with what sampled rows may take off it."""
    hops = steps.over_stages(steps.hop_ns)
    decode, mixed = (
        joules - least_w * (steps.over_stages(spent) + hops) / NS_PER_S
        for joules, spent in ((steps.decode_j, steps.decode_ns), (steps.mixed_j, steps.mixed_ns))
    )
    less = np.minimum(np.minimum.accumulate(rows), 0.0)
    return np.minimum(decode, mixed) + less[np.minimum(np.arange(len(decode)), len(rows) - 1)]


def _rates(steps: StepTable, least_w: float) -> Rates:
    """Return what reading draws beyond `least_w`, joules a token or pair."""

    def rate(joules: float, *columns: Int64) -> float:
        spent_fs = sum(int(steps.over_stages(column)) for column in columns)
        return max(joules - least_w * spent_fs / FS_PER_S, 0.0)

    context, mixed_context = steps.context_fs, steps.mixed_context_fs
    window, mixed_window = steps.window_fs, steps.mixed_window_fs
    return Rates(
        context=min(
            rate(steps.context_j, context),
            rate(steps.context_j + steps.mixed_context_j, context, mixed_context),
        ),
        window=min(
            rate(steps.window_j, window),
            rate(steps.window_j + steps.mixed_window_j, window, mixed_window),
        ),
        pair=rate(steps.pair_j, steps.pair_fs),
        window_pair=rate(steps.window_pair_j, steps.window_pair_fs),
        history=rate(steps.history_j, steps.history_fs),
    )
