"""The least power of steps: bounds for limits on power, and for energy while anybody is served.

The first step of whoever serves a request has prompt tokens, and nothing else is in flight. So the
peak is at least the power of that step: its energy over the time of all stages and hops. Both are
sums of the same terms (a table by tokens, sampled rows, what the step reads), so their ratio is at
least the least ratio of a term.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.sim.load import Load
from apex_opt.sim.replica import rejects
from apex_opt.sim.steps import StepTable
from apex_opt.spec.spec import Spec

Float = NDArray[np.float64]
Reading = tuple[float, tuple[NDArray[np.int64], ...]]
"""Energy and times of what a step reads: a token of the cache, a pair of a prompt, found tokens."""

NS_PER_S, FS_PER_S = 1e9, 1e15
ROUNDING = 1 - 1e-9
"""Of sums in floating point."""


def prompt_step_w(candidate: Candidate) -> float:
    """Return the least power above idle of any step with prompt tokens that is alone, watts.

    Zero where nothing is known: where guesses, an encoder or blocks from host memory take time of
    their own, with ranks that step together, and with roles apart.
    """
    if _has_own_time(candidate):
        return 0.0
    steps = candidate.steps
    spent_ns = steps.over_stages(steps.mixed_ns) + steps.over_stages(steps.hop_ns)
    mixed_w = _tokens_w(spent_ns, steps.mixed_j, _sampled(steps))
    return _least_w(steps, mixed_w, [*_prompts(steps), *_mixed(steps)])


def step_w(candidate: Candidate) -> float:
    """Return the least energy above idle of any step over its time with all hops, watts.

    Zero where nothing is known, as above. The time in which steps of a pipeline are under way is no
    more than the sum of theirs: at each moment one of them is on a stage or on its way.
    """
    if _has_own_time(candidate):
        return 0.0
    steps = candidate.steps
    hops, sampled = steps.over_stages(steps.hop_ns), _sampled(steps)
    mixed_w = _tokens_w(steps.over_stages(steps.mixed_ns) + hops, steps.mixed_j, sampled)
    decode_w = _tokens_w(steps.over_stages(steps.decode_ns) + hops, steps.decode_j, sampled)
    readings = [*_prompts(steps), *_mixed(steps), *_decodes(steps)]
    return _least_w(steps, min(mixed_w, decode_w), readings)


def _has_own_time(candidate: Candidate) -> bool:
    """Whether a step may take time that is not of these terms."""
    steps, rules = candidate.steps, candidate.rules_in_role
    own_time = rules.drafts or rules.host_blocks or len(steps.encoder_ns)
    return bool(own_time) or candidate.shape.attention_data > 1 or candidate.role != "mixed"


def _prompts(steps: StepTable) -> list[Reading]:
    return [
        (steps.pair_j, (steps.pair_fs,)),
        (steps.window_pair_j, (steps.window_pair_fs,)),
        (steps.history_j, (steps.history_fs,)),
    ]


def _mixed(steps: StepTable) -> list[Reading]:
    return [
        (steps.context_j + steps.mixed_context_j, (steps.context_fs, steps.mixed_context_fs)),
        (steps.window_j + steps.mixed_window_j, (steps.window_fs, steps.mixed_window_fs)),
    ]


def _decodes(steps: StepTable) -> list[Reading]:
    return [(steps.context_j, (steps.context_fs,)), (steps.window_j, (steps.window_fs,))]


def _least_w(steps: StepTable, least: float, readings: list[Reading]) -> float:
    """Return the least of energy over time of steps that may read this beside, watts."""
    for joules, columns in readings:
        femtoseconds = sum(int(steps.over_stages(column)) for column in columns)
        if femtoseconds:
            least = min(least, joules * FS_PER_S / femtoseconds)
    return least * ROUNDING


def _sampled(steps: StepTable) -> tuple[Float, Float]:
    """Return the most time of up to n sampled rows, and the least energy of that time, by n >= 1.

    The energy is that of the least power of up to n rows.
    """
    by_row = steps.over_stages(steps.rows_ns)[1:] / NS_PER_S
    ratio = np.divide(steps.rows_j[1:], by_row, out=np.full_like(by_row, np.inf), where=by_row > 0)
    rows_s, rows_w = np.maximum.accumulate(by_row), np.minimum.accumulate(ratio)
    taken = np.where(rows_s > 0, rows_w, 0.0) * rows_s
    most = np.minimum(np.arange(steps.max_tokens), len(by_row) - 1)
    return rows_s[most], taken[most]


def _tokens_w(tokens_ns: NDArray[np.int64], tokens_j: Float, sampled: tuple[Float, Float]) -> float:
    """Return the least of energy over time by tokens n with any r <= n sampled rows, watts.

    With q the least energy by time of up to r rows, and t their most time, (A + q t) / (B + t) is
    monotone in t: it is least with no rows or with all.
    """
    spent, drawn = tokens_ns[1:] / NS_PER_S, tokens_j[1:]
    rows_s, taken = sampled
    return float(min((drawn / spent).min(), ((drawn + taken) / (spent + rows_s)).min()))


def sharing(spec: Spec, load: Load) -> int:
    """Return how many replicas of one kind get a request each for sure; 0 where none does.

    Dealt in turn, the first requests go to a replica each; in a closed loop the clients do.
    """
    if spec.routing.router != "round_robin" or spec.routing.by_class:
        return 0
    return min(load.concurrency or len(load), len(load.opens))


def peaks_above_idle(
    spec: Spec, load: Load, max_kinds: int
) -> Callable[[Candidate, float, int], float]:
    """Return what gives the power above idle that a replica draws at its peak at least, watts.

    It takes the replica, its `prompt_step_w`, and how many equal ones a plan has at most. Those
    that get no request stay idle: what the others draw is then shared by all. Zero where limits
    count no peaks, and where plans may have several kinds of replica: who gets a request is not
    known then.
    """
    limits = spec.limits
    by_peak = limits.power_by == "peak" and limits.power_window_s is None
    shared = sharing(spec, load) if by_peak and max_kinds == 1 else 0
    worst = load.worst()

    def above_w(candidate: Candidate, prompt_w: float, most: int) -> float:
        known = [w for w in (limits.power_w, spec.pools[candidate.pool].power_w) if w is not None]
        if not (known and shared and prompt_w) or candidate.also:
            return 0.0
        rules = candidate.rules_in_role
        if rejects(worst, rules).any() and rejects(load, rules).any():
            return 0.0
        # More of them than a limit allows when idle need not be asked about.
        allowed = math.floor(min(known) / candidate.idle_w) if candidate.idle_w else most
        return prompt_w * min(1.0, shared / max(min(most, allowed), 1))

    return above_w
