"""The optimistic model of a replica: bounds that no simulation beats.

Step times are a table f(n) of the batch size n, plus terms that are linear in what the step reads.
For any slope g >= 0 the line F + g n with F = min over n of (f(n) - g n) lies under the table, so
over K steps that process T tokens together  sum f(n_k) >= F K + g T.  How many steps there are is
bounded from below three times:

    K >= decode tokens / max_seqs          a step decodes at most max_seqs sequences
    K >= cached tokens read / (block_tokens blocks)    and their contexts are all in the cache
    K >= paced tokens g / (L - F)          and does not take longer than tokens may
                                           (`apex_opt.plan.pace`)

Each slope and each bound on K gives one linear row of work over the features
(`apex_opt.plan.features`). A window layer's min(C, b W) of the step table is at least the sum over
sequences of min(context, W).

A prefix that running sequences share is in the cache once, so that only what each has to itself
counts in the second bound. With guesses a step yields up to 1 + g tokens of a sequence, so K is at
least the decode tokens over (1 + g) max_seqs. An encoder takes at least its least time per token.

A replica that prefills or decodes alone does of this what its features ask for (`PREFILL`), under
the rules of its role.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES, PREFILL, Features
from apex_opt.plan.step_floors import Floor, Lone, Row, StepFloors, row, step_floors
from apex_opt.sim.engine import EngineRules

Float = NDArray[np.float64]
PROMPT, DECODE = FEATURES.index("prompt"), FEATURES.index("decode")
OF_PREFILL = np.array([j in PREFILL for j in range(len(FEATURES))])


@dataclass(frozen=True)
class Optimistic:
    """Lower bounds of one candidate, as coefficients over the features.

    Attributes:
        busy_ns: rows; each bounds the time that one stage is busy from below, summed over the
            traffic.
        energy_j: bounds the energy above idle.
        e2e_ns: bounds the sum of end-to-end times.
        ttft_ns, decode_ns: (n,) floors per request: time to the first token; from first to last.
            Of what another role does, they are floors once `apex_opt.plan.apart` has joined them.
        prompt_step_w, step_w: bound the power above idle of a step with prompts, and of any
            (`apex_opt.plan.peak`).
        steps: how many there are at the least, by unit of a feature, of which any one holds.
    """

    busy_ns: tuple[Row, ...]
    energy_j: Row
    e2e_ns: Row
    ttft_ns: Float
    decode_ns: Float
    prompt_step_w: float = 0.0
    step_w: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict)


def plus(one: Row, other: Row) -> Row:
    """Return the sum of two rows."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def value(coefficients: Row, totals: tuple[int, ...]) -> float:
    """Return the row's sum over the features."""
    return float(sum(map(mul, coefficients, totals)))


def values(rows: Float, totals: tuple[int, ...] | NDArray[np.int64]) -> Float:
    """Return the sums over the features of several rows."""
    return np.asarray((rows * np.array(totals, np.float64)).sum(axis=1))


def _own(floors: StepFloors, whole: Float) -> Float:
    """Return rows of a mixed replica with what a role leaves of them."""
    if floors.role == "mixed":
        return whole
    return np.where((floors.role == "prefill") == OF_PREFILL, whole, 0.0)


def _paced(floors: StepFloors, traffic: Features) -> float:
    """Return the least number of steps by paced token: 1 / the largest batch that keeps the pace.

    The time of a step is that of all stages, with what it reads of the prompts at least.
    """
    if math.isinf(traffic.pace_ns):
        return 0.0
    most = np.iinfo(np.int64).max
    read = floors.lone.context
    read *= float(np.min(traffic.prompts, initial=most, where=traffic.decode > 0))
    each, found = 1 + floors.rules.drafts, 0.0
    for line in floors.steps:
        left_ns = each * traffic.pace_ns - line.base
        if left_ns <= 0:
            return 1.0  # no sequence keeps it, so none of the tokens is here
        found = max(found, (line.slope + read) / (each * left_ns))
    return min(found, 1.0)


def rows_of(floor: Floor, steps: Mapping[str, float]) -> Float:
    """Return a row for each line under the table and each bound on the number of steps.

    Args:
        floor: of a resource.
        steps: how many there are at the least, by unit of a feature.
    """
    base, slope = np.array([(line.base, line.slope) for line in floor.lines]).T[..., np.newaxis]
    rows = np.tile(np.array(floor.each), (len(floor.lines), len(steps), 1))
    rows[:, :, [PROMPT, DECODE]] += slope[..., np.newaxis]
    by_feature = np.zeros((len(steps), len(FEATURES)))
    for nth, (name, number) in enumerate(steps.items()):
        by_feature[nth, FEATURES.index(name)] = number
    rows += base[..., np.newaxis] * by_feature
    return rows.reshape(-1, len(FEATURES))


def _held(floors: StepFloors, in_cache: float) -> Float:
    """Return rows of time by what sequences of a pipeline hold: places in its batches, its cache.

    They hold them while a batch passes through all stages, F or longer: of d decoded tokens d F,
    and a place is held by one at a time, so that the time is at least d F / max_seqs. With one
    stage rows of the stage say more.
    """
    rules, least = floors.rules, floors.pipeline_ns
    places = row(decode=least / rules.max_seqs / (1 + rules.drafts))
    return np.array([places, row(context=least * in_cache)])


def strongest(rows: Sequence[Row] | Float, totals: tuple[int, ...]) -> tuple[Row, ...]:
    """Return the rows that are greatest on all traffic, on prompts alone, on decoding alone.

    Every row is a valid bound; a few that bind are enough, and keep the fleet model small.
    """
    prompts = ("prompt", "pairs", "windowed", "encoder", "squares")
    mixes = (FEATURES, prompts, ("decode", "context", "window", "paced"))
    counted = np.array([[name in names for name in FEATURES] for names in mixes])
    table = np.asarray(rows)
    best = [int(np.argmax(values(table, totals * mix))) for mix in counted]
    return tuple(dict.fromkeys(tuple(table[r].tolist()) for r in best))


def _time_to_first(lone: Lone, rules: EngineRules, traffic: Features) -> Float:
    """Return (n,) the least time to the first token, of what a request must compute itself."""
    prompt, pairs, windowed = traffic.alone
    chunks = np.ceil(prompt / rules.max_batch_tokens)
    prefill = np.max([ln.base * chunks + ln.slope * prompt for ln in lone.prefill], axis=0)
    read, squares = traffic.columns[7:9]
    each = [np.where(read > 0, ln.base + ln.slope * read, 0.0) for ln in lone.encoder]
    encoder = np.max(each, axis=0) if each else 0.0
    encoder = encoder + lone.squares * squares
    return np.asarray(lone.once + prefill + lone.pair * pairs + lone.windowed * windowed + encoder)


def _end_to_end(lone: Lone, rules: EngineRules, traffic: Features) -> Row:
    """Return the row of end-to-end times, under the line that is greatest on this traffic."""
    requests, prompt = traffic.totals[:2]
    best = max(lone.prefill, key=lambda ln: ln.base * requests + ln.slope * prompt)
    return row(
        requests=lone.once + best.base,
        prompt=best.slope,
        decode=lone.step / (1 + rules.drafts),
        context=lone.context,
        pairs=lone.pair,
        window=lone.window,
        windowed=lone.windowed,
        encoder=lone.encoder[-1].slope if lone.encoder else 0.0,
        squares=lone.squares,
    )


def bounded(floors: StepFloors, traffic: Features) -> Optimistic:
    """Return the lower bounds of a replica, by its floors, on `traffic`."""
    rules, lone, columns = floors.rules, floors.lone, traffic.columns
    private = 1.0 if floors.role == "decode" else traffic.private
    in_cache = private / max(rules.blocks * rules.block_tokens, 1) if rules.token_blocks else 0.0
    by_seqs = 1 / rules.max_seqs / (1 + rules.drafts)
    steps = {"decode": by_seqs, "context": in_cache, "paced": _paced(floors, traffic)}
    busy = [rows_of(floor, steps) for floor in floors.stages]
    if floors.pipeline_ns:
        busy.append(_held(floors, in_cache))
    whole = {k: steps[k] for k in ("decode", "paced")}
    energy = _own(floors, rows_of(floors.energy, whole))
    most = int(np.argmax(values(energy, traffic.totals)))
    return Optimistic(
        busy_ns=strongest(_own(floors, np.concatenate(busy)), traffic.totals),
        energy_j=tuple(energy[most].tolist()),
        e2e_ns=tuple(_own(floors, np.array(_end_to_end(lone, rules, traffic))).tolist()),
        ttft_ns=_time_to_first(lone, rules, traffic),
        decode_ns=lone.step * traffic.steps + lone.context * columns[3] + lone.window * columns[5],
        prompt_step_w=floors.prompt_step_w,
        step_w=floors.step_w,
        steps=whole,
    )


def optimistic(candidate: Candidate, traffic: Features) -> Optimistic:
    """Return the lower bounds of `candidate` on `traffic`."""
    return bounded(step_floors(candidate), traffic)
