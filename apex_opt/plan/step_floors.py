"""What the steps of a replica take at least, whatever the traffic: its tables in a few numbers.

A table of costs by batch size is known by lines under it (`apex_opt.plan.tangents`), everything
else by what it takes of each feature. `apex_opt.plan.optimistic` makes bounds of it for a traffic.
A window layer's min(C, b W) of the step table is at least the sum over sequences of
min(context, W). With guesses, several rows are sampled; an encoder takes at least its least time
per token.

A preempted sequence computes its p + m tokens again, in place of the decode step that would have
read as many from the cache. That is no cheaper: a token that runs moves its activations in every
layer, which are more than its keys and values, and a step with prompts pays for eager kernels
where padding hides further tokens. With prefix caching it may find all of them but one; that one
costs p + m query-key pairs and reading what was found, p + m - 1 tokens, at the rates of prompts
instead of those of decoding. So where both can happen the lower rates count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES
from apex_opt.plan.peak import prompt_step_w, step_w
from apex_opt.plan.tangents import Line, lines
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.member import Role
from apex_opt.sim.steps import StepTable

Float = NDArray[np.float64]
Row = tuple[float, ...]
FS_PER_NS = 1e6
ROUNDING_NS = 1.0
"""The simulator rounds the time of what a step reads down to a nanosecond, on each stage."""


def row(**parts: float) -> Row:
    """Return a row from the coefficients of some features."""
    return tuple(parts.get(name, 0.0) for name in FEATURES)


@dataclass(frozen=True)
class Floor:
    """What steps take at least of one resource: of the time of a stage, or of energy.

    Attributes:
        lines: under what a step takes, by its tokens.
        each: coefficients over the features: what they take beside that, whatever the batches.
    """

    lines: tuple[Line, ...]
    each: Row


@dataclass(frozen=True)
class Lone:
    """What a request takes at least, alone on an idle replica, ns.

    Attributes:
        once: besides its tokens, until the first one is sampled.
        prefill: lines under the time of a step by its prompt tokens.
        pair, windowed: by query-key pair of its prompt.
        step: a step in which it decodes.
        context, window: reading the cache, and that of window layers, by token.
        encoder: lines under the time of the encoder by the tokens that it reads.
        squares: by square of an input of the encoder.
    """

    once: float
    prefill: tuple[Line, ...]
    pair: float
    windowed: float
    step: float
    context: float
    window: float
    encoder: tuple[Line, ...]
    squares: float


@dataclass(frozen=True)
class StepFloors:
    """The floors of one replica.

    Attributes:
        rules, role: how it schedules what its role leaves to it.
        stages: of each pipeline stage that differs from the others, ns.
        energy: above idle, J.
        steps: lines under the time of a step over all stages by its sequences, ns.
        pipeline_ns: the least time that a batch takes through all stages; 0 where there is one.
        lone: what a request takes alone.
        prompt_step_w, step_w: the least power above idle of a step with prompts, and of any
            (`apex_opt.plan.peak`).
    """

    rules: EngineRules
    role: Role
    stages: tuple[Floor, ...]
    energy: Floor
    steps: tuple[Line, ...]
    pipeline_ns: float
    lone: Lone
    prompt_step_w: float
    step_w: float


def _ratio(table: Float | NDArray[np.int64]) -> float:
    """Return the least value per unit over 1 .. n; of no table nothing."""
    return float(np.min(table[1:] / np.arange(1, len(table)))) if len(table) else 0.0


def may_preempt(rules: EngineRules) -> bool:
    """Return whether memory can run short of what running sequences need."""
    longest = -(-(rules.max_model_tokens - 1) // rules.block_tokens)
    windows = -(-min(longest, rules.window_limit) * rules.window_ppm // 1_000_000)
    if rules.cross_cache:
        longest += -(-rules.max_encoder_tokens // rules.block_tokens)
    most = rules.token_blocks * longest + rules.sequence_blocks + windows
    return not rules.reserve_output and rules.max_seqs * most > rules.blocks


@dataclass(frozen=True)
class Rates:
    """What reading takes: a token of the cache, of window layers, a pair of each, found tokens."""

    context: float
    window: float
    pair: float
    window_pair: float
    history: float

    def least(self, rules: EngineRules) -> tuple[float, float]:
        """Return the least by token of the cache: of decoding, or of a preempted one come back."""
        if not rules.prefix_caching or not may_preempt(rules):
            return self.context, self.window
        # A history of p + m - 1 >= (p + m) / 2 tokens.
        again = self.pair + self.history / 2
        return min(self.context, again), min(self.window, self.window_pair)


def _fastest(role: Role, decode: Float, mixed: Float) -> Float:
    """Return the least of a step by its tokens; a replica that prefills has prompts in each."""
    return mixed if role == "prefill" else np.minimum(decode, mixed)


def _unlike(steps: StepTable) -> Iterator[int]:
    """Yield the rows of the table that differ in more than what sending onward takes."""
    columns = [steps.decode_ns, steps.mixed_ns, steps.rows_ns, steps.context_fs, steps.window_fs]
    columns += [steps.pair_fs, steps.window_pair_fs, steps.history_fs]
    columns += [steps.encoder_ns, steps.encoder_pair_fs]
    columns = [column for column in columns if len(column)]
    known: list[int] = []
    for r in range(len(steps.decode_ns)):
        if not any(all(np.array_equal(c[r], c[k]) for c in columns) for k in known):
            known.append(r)
            yield r


def _of_row(column: NDArray[np.int64], r: int) -> float:
    """Return a number of a row in ns, of a column in fs; of one that is left out, zero."""
    return float(column[r]) / FS_PER_NS if len(column) else 0.0


def _stage(candidate: Candidate, r: int) -> Floor:
    """Return the floor of the time of a stage."""
    steps, rules = candidate.steps, candidate.rules_in_role
    table = _fastest(candidate.role, steps.decode_ns[r], steps.mixed_ns[r]) - ROUNDING_NS
    sampled = _ratio(steps.rows_ns[r])
    first = steps.row_of[0] == r
    guess = _ratio(steps.draft_ns) / (1 + rules.drafts) if first else 0.0
    context, window = _reading(steps, r).least(rules)
    return Floor(
        lines(table),
        row(
            requests=sampled,
            decode=sampled + guess,
            context=context,
            pairs=_of_row(steps.pair_fs, r),
            window=window,
            windowed=_of_row(steps.window_pair_fs, r),
            encoder=_ratio(steps.encoder_ns[r]) if len(steps.encoder_ns) else 0.0,
            squares=_of_row(steps.encoder_pair_fs, r),
        ),
    )


def _reading(steps: StepTable, r: int) -> Rates:
    columns = (steps.context_fs, steps.window_fs, steps.pair_fs, steps.window_pair_fs)
    return Rates(*(_of_row(column, r) for column in (*columns, steps.history_fs)))


def _energy(candidate: Candidate) -> Floor:
    """Return the floor of the energy."""
    steps, rules = candidate.steps, candidate.rules_in_role
    sampled = _ratio(steps.rows_j)
    rates = (steps.context_j, steps.window_j, steps.pair_j, steps.window_pair_j, steps.history_j)
    context, window = Rates(*rates).least(rules)
    return Floor(
        lines(_fastest(candidate.role, steps.decode_j, steps.mixed_j)),
        row(
            requests=sampled,
            decode=sampled + _ratio(steps.draft_j) / (1 + rules.drafts),
            context=context,
            pairs=steps.pair_j,
            window=window,
            windowed=steps.window_pair_j,
            encoder=_ratio(steps.encoder_j),
            squares=steps.encoder_pair_j,
        ),
    )


def _lone(candidate: Candidate, mixed: Float, least_ns: float) -> Lone:
    """Return what a request takes alone, of the time of steps that prefill, and of the fastest."""
    steps, rules = candidate.steps, candidate.rules_in_role
    sample = float(np.min(steps.over_stages(steps.rows_ns)[1:]))
    guess = float(np.min(steps.draft_ns[1:])) if len(steps.draft_ns) else 0.0
    readings = [_reading(steps, r).least(rules) for r in steps.row_of.tolist()]
    encoder = steps.over_stages(steps.encoder_ns)
    return Lone(
        once=rules.request_overhead_ns + sample,
        prefill=lines(mixed),
        pair=float(steps.over_stages(steps.pair_fs)) / FS_PER_NS,
        windowed=float(steps.over_stages(steps.window_pair_fs)) / FS_PER_NS,
        step=least_ns + sample + guess,
        context=sum(context for context, _ in readings),
        window=sum(window for _, window in readings),
        encoder=lines(encoder.astype(np.float64)) if encoder.ndim else (),
        squares=float(steps.over_stages(steps.encoder_pair_fs)) / FS_PER_NS,
    )


def step_floors(candidate: Candidate) -> StepFloors:
    """Return the floors of a replica."""
    steps = candidate.steps
    hops = steps.over_stages(steps.hop_ns) - ROUNDING_NS * steps.stages
    decode, mixed = (steps.over_stages(t) + hops for t in (steps.decode_ns, steps.mixed_ns))
    fastest = np.minimum(decode, mixed)
    least_ns = float(np.min(fastest[1:]))
    return StepFloors(
        rules=candidate.rules_in_role,
        role=candidate.role,
        stages=tuple(_stage(candidate, r) for r in _unlike(steps)),
        energy=_energy(candidate),
        steps=lines(fastest),
        pipeline_ns=least_ns if steps.stages > 1 else 0.0,
        lone=_lone(candidate, mixed, least_ns),
        prompt_step_w=prompt_step_w(candidate),
        step_w=step_w(candidate),
    )
