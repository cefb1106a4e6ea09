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

A preempted sequence computes its p + m tokens again, in place of the decode step that would have
read as many from the cache. That is no cheaper: a token that runs moves its activations in every
layer, which are more than its keys and values, and a step with prompts pays for eager kernels
where padding hides further tokens. With prefix caching it may find all of them but one; that one
costs p + m query-key pairs and reading what was found, p + m - 1 tokens, at the rates of prompts
instead of those of decoding. So where both can happen the lower rates count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES, PREFILL, Features
from apex_opt.plan.peak import prompt_step_w
from apex_opt.plan.tangents import Line, lines
from apex_opt.sim.engine import EngineRules
from apex_opt.sim.steps import StepTable

Float = NDArray[np.float64]
Row = tuple[float, ...]
FS_PER_NS = 1e6
ROUNDING_NS = 1.0
"""The simulator rounds the time of what a step reads down to a nanosecond, on each stage."""


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
        step_w: bounds the power above idle of a step with prompts (`apex_opt.plan.peak`).
    """

    busy_ns: tuple[Row, ...]
    energy_j: Row
    e2e_ns: Row
    ttft_ns: Float
    decode_ns: Float
    step_w: float = 0.0


def row(**parts: float) -> Row:
    """Return a row from the coefficients of some features."""
    return tuple(parts.get(name, 0.0) for name in FEATURES)


def plus(one: Row, other: Row) -> Row:
    """Return the sum of two rows."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _own(candidate: Candidate, whole: Row) -> Row:
    """Return a row of a mixed replica with what a role leaves of it."""
    role = candidate.role
    return tuple(
        x if role == "mixed" or (role == "prefill") == (i in PREFILL) else 0.0
        for i, x in enumerate(whole)
    )


def _fastest(candidate: Candidate, decode: Float, mixed: Float) -> Float:
    """Return the least time (or energy) of a step by its tokens; one that prefills has prompts."""
    return mixed if candidate.role == "prefill" else np.minimum(decode, mixed)


def _ratio(table: Float) -> float:
    """Return the least value per unit over 1 .. n."""
    return float(np.min(table[1:] / np.arange(1, len(table))))


@dataclass(frozen=True)
class _Reading:
    """Least cost of reading the cache, per token: `context` of it, and of `window` layers."""

    context: float
    window: float


def may_preempt(rules: EngineRules) -> bool:
    """Return whether memory can run short of what running sequences need."""
    longest = -(-(rules.max_model_tokens - 1) // rules.block_tokens)
    windows = -(-min(longest, rules.window_limit) * rules.window_ppm // 1_000_000)
    if rules.cross_cache:
        longest += -(-rules.max_encoder_tokens // rules.block_tokens)
    most = rules.token_blocks * longest + rules.sequence_blocks + windows
    return not rules.reserve_output and rules.max_seqs * most > rules.blocks


def _reading(rules: EngineRules, decode: _Reading, prompt: _Reading, history: float) -> _Reading:
    """Return the least cost of reading: that of decoding, or of a preempted one that comes back."""
    if not rules.prefix_caching or not may_preempt(rules):
        return decode
    # A history of p + m - 1 >= (p + m) / 2 tokens.
    return _Reading(
        min(decode.context, prompt.context + history / 2), min(decode.window, prompt.window)
    )


def _reading_ns(candidate: Candidate, stage: int) -> _Reading:
    steps = candidate.steps
    history = float(steps.history_fs[stage]) if len(steps.history_fs) else 0.0
    return _reading(
        candidate.rules_in_role,
        _Reading(steps.context_fs[stage] / FS_PER_NS, steps.window_fs[stage] / FS_PER_NS),
        _Reading(steps.pair_fs[stage] / FS_PER_NS, steps.window_pair_fs[stage] / FS_PER_NS),
        history / FS_PER_NS,
    )


def _guessing(table: Float) -> float:
    """Return the least cost of guessing, per decoding sequence and step."""
    return _ratio(table) if len(table) else 0.0


def _unlike(steps: StepTable) -> list[int]:
    """Return the stages that differ in cost from all before them: equal ones have equal rows."""
    columns = [steps.decode_ns, steps.mixed_ns, steps.rows_ns, steps.context_fs, steps.window_fs]
    columns += [steps.pair_fs, steps.window_pair_fs, steps.history_fs]
    columns += [steps.encoder_ns, steps.encoder_pair_fs]
    known: dict[bytes, int] = {}
    for stage in range(steps.stages):
        known.setdefault(b"".join(c[stage].tobytes() for c in columns if len(c)), stage)
    return list(known.values())


def _encoder_ns(steps: StepTable, stage: int) -> tuple[float, float]:
    """Return the least time of the encoder per token that it reads, and per square of an input."""
    squares = float(steps.encoder_pair_fs[stage]) if len(steps.encoder_pair_fs) else 0.0
    each = _ratio(steps.encoder_ns[stage].astype(np.float64)) if len(steps.encoder_ns) else 0.0
    return each, squares / FS_PER_NS


def _steps_paced(candidate: Candidate, traffic: Features) -> float:
    """Return the least number of steps by paced token: 1 / the largest batch that keeps the pace.

    The time of a step is that of all stages, with what it reads of the prompts at least.
    """
    if math.isinf(traffic.pace_ns):
        return 0.0
    decode, mixed, _ = _whole(candidate)
    read = sum(_reading_ns(candidate, s).context for s in range(candidate.steps.stages))
    read *= float(np.min(traffic.prompts, initial=np.iinfo(np.int64).max, where=traffic.decode > 0))
    each = 1 + candidate.rules_in_role.drafts
    found = 0.0
    for line in lines(np.minimum(decode, mixed)):
        left_ns = each * traffic.pace_ns - line.base
        if left_ns <= 0:
            return 1.0  # no sequence keeps it, so none of the tokens is here
        found = max(found, (line.slope + read) / (each * left_ns))
    return min(found, 1.0)


def _busy_rows(candidate: Candidate, stage: int, private: float, paced: float) -> list[Row]:
    steps, rules = candidate.steps, candidate.rules_in_role
    table = _fastest(candidate, steps.decode_ns[stage], steps.mixed_ns[stage]) - ROUNDING_NS
    sampled = _ratio(steps.rows_ns[stage].astype(np.float64))
    reading = _reading_ns(candidate, stage)
    each = 1 + rules.drafts
    guess = _guessing(steps.draft_ns.astype(np.float64)) / each if stage == 0 else 0.0
    cache_tokens = max(rules.blocks * rules.block_tokens, 1)
    in_cache = private / cache_tokens if rules.token_blocks else 0.0
    encoder, squares = _encoder_ns(steps, stage)
    rows = []
    for line in lines(table):
        counted = {
            "decode": 1 / rules.max_seqs / each,
            "context": in_cache,
            "paced": paced,
        }
        for by, steps_each in counted.items():
            count = {name: line.base * steps_each if name == by else 0.0 for name in counted}
            rows.append(
                row(
                    requests=sampled,
                    prompt=line.slope,
                    decode=line.slope + sampled + guess + count["decode"],
                    context=reading.context + count["context"],
                    pairs=steps.pair_fs[stage] / FS_PER_NS,
                    window=reading.window,
                    windowed=steps.window_pair_fs[stage] / FS_PER_NS,
                    encoder=encoder,
                    squares=squares,
                    paced=count["paced"],
                )
            )
    return [_own(candidate, whole) for whole in rows]


def _held_rows(candidate: Candidate, private: float) -> list[Row]:
    """Return rows of time by what sequences of a pipeline hold: places in its batches, its cache.

    They hold them while a batch passes through all stages, F or longer: of d decoded tokens d F,
    and a place is held by one at a time, so that the time is at least d F / max_seqs. With one
    stage rows of the stage say more.
    """
    steps, rules = candidate.steps, candidate.rules_in_role
    if steps.stages == 1:
        return []
    decode, mixed, _ = _whole(candidate)
    least = float(np.min(np.minimum(decode, mixed)[1:]))
    cache_tokens = max(rules.blocks * rules.block_tokens, 1)
    in_cache = private / cache_tokens if rules.token_blocks else 0.0
    places = row(decode=least / rules.max_seqs / (1 + rules.drafts))
    return [_own(candidate, whole) for whole in (places, row(context=least * in_cache))]


def strongest(rows: list[Row], totals: tuple[int, ...]) -> tuple[Row, ...]:
    """Return the rows that are greatest on all traffic, on prompts alone, on decoding alone.

    Every row is a valid bound; a few that bind are enough, and keep the fleet model small.
    """
    prompts = ("prompt", "pairs", "windowed", "encoder", "squares")
    mixes = (FEATURES, prompts, ("decode", "context", "window", "paced"))
    kept = []
    for names in mixes:
        mix = tuple(t if f in names else 0 for f, t in zip(FEATURES, totals, strict=True))
        kept.append(max(rows, key=lambda r, mix=mix: value(r, mix)))  # type: ignore[misc]
    return tuple(dict.fromkeys(kept))


def _energy(candidate: Candidate, traffic: Features, paced: float) -> Row:
    """Return the energy row that is greatest on this traffic."""
    steps, rules = candidate.steps, candidate.rules_in_role
    table = _fastest(candidate, steps.decode_j, steps.mixed_j)
    sampled, each = _ratio(steps.rows_j), 1 + rules.drafts
    guess = _guessing(steps.draft_j) / each
    decode = _Reading(steps.context_j, steps.window_j)
    prompt = _Reading(steps.pair_j, steps.window_pair_j)
    reading = _reading(rules, decode, prompt, steps.history_j)
    rows = [
        row(
            requests=sampled,
            prompt=line.slope,
            decode=line.slope + sampled + guess + line.base * by_seqs,
            context=reading.context,
            pairs=steps.pair_j,
            window=reading.window,
            windowed=steps.window_pair_j,
            encoder=_ratio(steps.encoder_j) if len(steps.encoder_j) else 0.0,
            squares=steps.encoder_pair_j,
            paced=line.base * by_pace,
        )
        for line in lines(table)
        for by_seqs, by_pace in ((1 / rules.max_seqs / each, 0.0), (0.0, paced))
    ]
    return max((_own(candidate, r) for r in rows), key=lambda r: value(r, traffic.totals))


def value(coefficients: Row, totals: tuple[int, ...]) -> float:
    """Return the row's sum over the features."""
    return sum(a * b for a, b in zip(coefficients, totals, strict=True))


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


@dataclass(frozen=True)
class _Lone:
    """What a request takes at least, alone on an idle replica, ns.

    Attributes:
        once: besides its tokens, until the first one is sampled.
        prefill: lines under the time of a step by its prompt tokens.
        pair, windowed: by query-key pair of its prompt.
        step: a step in which it decodes.
        reading: the cache, by token.
        encoder: lines under the time of the encoder by the tokens that it reads.
        squares: by square of an input of the encoder.
    """

    once: float
    prefill: tuple[Line, ...]
    pair: float
    windowed: float
    step: float
    reading: _Reading
    encoder: tuple[Line, ...]
    squares: float


def _lone(candidate: Candidate) -> _Lone:
    steps = candidate.steps
    decode, mixed, sampled = _whole(candidate)
    sample = float(np.min(sampled[1:]))
    guess = float(np.min(steps.draft_ns[1:])) if len(steps.draft_ns) else 0.0
    readings = [_reading_ns(candidate, stage) for stage in range(steps.stages)]
    encoder = steps.encoder_ns.sum(axis=0).astype(np.float64) if len(steps.encoder_ns) else None
    return _Lone(
        once=candidate.rules_in_role.request_overhead_ns + sample,
        prefill=lines(mixed),
        pair=float(steps.pair_fs.sum()) / FS_PER_NS,
        windowed=float(steps.window_pair_fs.sum()) / FS_PER_NS,
        step=float(np.min(np.minimum(decode, mixed)[1:])) + sample + guess,
        reading=_Reading(sum(r.context for r in readings), sum(r.window for r in readings)),
        encoder=() if encoder is None else lines(encoder),
        squares=float(steps.encoder_pair_fs.sum()) / FS_PER_NS,
    )


def _time_to_first(lone: _Lone, rules: EngineRules, traffic: Features) -> Float:
    """Return (n,) the least time to the first token, of what a request must compute itself."""
    prompt, pairs, windowed = traffic.alone
    chunks = np.ceil(prompt / rules.max_batch_tokens)
    prefill = np.max([ln.base * chunks + ln.slope * prompt for ln in lone.prefill], axis=0)
    read, squares = traffic.columns[7:9]
    each = [np.where(read > 0, ln.base + ln.slope * read, 0.0) for ln in lone.encoder]
    encoder = np.max(each, axis=0) if each else 0.0
    encoder = encoder + lone.squares * squares
    return np.asarray(lone.once + prefill + lone.pair * pairs + lone.windowed * windowed + encoder)


def _end_to_end(lone: _Lone, rules: EngineRules, traffic: Features) -> Row:
    """Return the row of end-to-end times, under the line that is greatest on this traffic."""
    requests, prompt = traffic.totals[:2]
    best = max(lone.prefill, key=lambda ln: ln.base * requests + ln.slope * prompt)
    return row(
        requests=lone.once + best.base,
        prompt=best.slope,
        decode=lone.step / (1 + rules.drafts),
        context=lone.reading.context,
        pairs=lone.pair,
        window=lone.reading.window,
        windowed=lone.windowed,
        encoder=lone.encoder[-1].slope if lone.encoder else 0.0,
        squares=lone.squares,
    )


def optimistic(candidate: Candidate, traffic: Features) -> Optimistic:
    """Return the lower bounds of `candidate` on `traffic`."""
    rules, columns, lone = candidate.rules_in_role, traffic.columns, _lone(candidate)
    private = 1.0 if candidate.role == "decode" else traffic.private
    paced = _steps_paced(candidate, traffic)
    busy = [
        one
        for stage in _unlike(candidate.steps)
        for one in _busy_rows(candidate, stage, private, paced)
    ]
    busy += _held_rows(candidate, private)
    reading = lone.reading.context * columns[3] + lone.reading.window * columns[5]
    return Optimistic(
        busy_ns=strongest(busy, traffic.totals),
        energy_j=_energy(candidate, traffic, paced),
        e2e_ns=_own(candidate, _end_to_end(lone, rules, traffic)),
        ttft_ns=_time_to_first(lone, rules, traffic),
        decode_ns=lone.step * traffic.steps + reading,
        step_w=prompt_step_w(candidate),
    )
