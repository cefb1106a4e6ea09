"""What a batch takes: time on each stage, energy, a row of the time line."""

from __future__ import annotations

from apex_opt.sim.jit import njit_helper, njit_rare
from apex_opt.sim.state import (
    BLOCKS,
    BUSY,
    JOULES,
    PROMPTS,
    RUNNING,
    SAMPLED,
    STEPS,
    WAITING,
    Batch,
    Given,
    Machine,
    State,
    Table,
)

FS_PER_NS = 1_000_000
HOP = 2
ENCODER = 3
"""Rows of the hops and of the encoder's pass in the table."""


@njit_helper
def execute(g: Given, t: Table, m: Machine, s: State, batch: Batch) -> None:
    """Send the batch through the stages."""
    n = batch.decode_tokens + batch.prompt_tokens
    at = m.now
    for k in range(g.stages):
        spent = stage_ns(g, t, s, batch, k, n)
        stage = s.cohorts[m.cohorts + k]
        begin = max(at, stage.free)
        if k == 0:
            batch.start = begin
        stage.free = begin + spent
        at = begin + spent + t.tokens_ns[g.kind, t.row[g.kind, k], HOP, n]
    occupy(m, batch, at)
    draw(g, t, m, s, batch)


@njit_helper
def place_of(g: Given, m: Machine, s: State, flown: int) -> Batch:
    """Return the place of the batch before which `flown` others are in flight."""
    k = m.oldest + flown
    return s.batches[m.flights + (k - g.depth if k >= g.depth else k)]


@njit_helper
def context_of(s: State, batch: Batch) -> int:
    """Return the cached tokens that the batch reads in order to decode."""
    return s.cohorts[batch.cohort].context + batch.decode_tokens if batch.decodes > 0 else 0


@njit_helper
def stage_ns(g: Given, t: Table, s: State, batch: Batch, k: int, n: int) -> int:
    """Return the time of the batch on stage `k`, in a step of `n` tokens."""
    context = context_of(s, batch)
    window = min(context, batch.decodes * g.window_tokens)
    window_pairs = min(batch.pairs, batch.prompt_tokens * g.window_tokens)
    row = t.row[g.kind, k]
    fs = t.fs[g.kind, row]
    work = fs[0] * context + fs[1] * window + fs[4] * batch.history
    work += fs[2] * batch.pairs + fs[3] * window_pairs + fs[7] * batch.encoder_pairs
    mixed = 1 if batch.prompt_tokens > 0 else 0
    work += mixed * (fs[5] * context + fs[6] * window)
    spent = t.tokens_ns[g.kind, row, mixed, n]
    spent += t.rows_ns[g.kind, row, batch.rows] + work // FS_PER_NS
    if k == 0:
        spent += t.draft_ns[g.kind, batch.decodes] + batch.loaded * g.host_block_ns
    if batch.encoded > 0:
        passes, rest = batch.encoded // g.max_batch_tokens, batch.encoded % g.max_batch_tokens
        spent += passes * t.tokens_ns[g.kind, row, ENCODER, g.max_batch_tokens]
        spent += t.tokens_ns[g.kind, row, ENCODER, rest]
    return int(spent)


@njit_helper
def draw(g: Given, t: Table, m: Machine, s: State, batch: Batch) -> None:
    """Draw the energy of the batch, the last one of the flight, evenly while it is in flight."""
    n = batch.decode_tokens + batch.prompt_tokens
    context = context_of(s, batch)
    window = min(context, batch.decodes * g.window_tokens)
    window_pairs = min(batch.pairs, batch.prompt_tokens * g.window_tokens)
    mixed = 1 if batch.prompt_tokens > 0 else 0
    energy = t.tokens_j[g.kind, mixed, n]
    energy += t.rows_j[g.kind, 0, batch.rows] + g.context_j * context + g.window_j * window
    energy += g.pair_j * batch.pairs + g.window_pair_j * window_pairs
    energy += g.history_j * batch.history + t.rows_j[g.kind, 1, batch.decodes]
    energy += mixed * (g.mixed_context_j * context + g.mixed_window_j * window)
    if batch.encoded > 0:
        passes, rest = batch.encoded // g.max_batch_tokens, batch.encoded % g.max_batch_tokens
        energy += passes * t.tokens_j[g.kind, 2, g.max_batch_tokens]
        energy += t.tokens_j[g.kind, 2, rest] + g.encoder_pair_j * batch.encoder_pairs
    batch.joules = energy
    m.energy_j += energy
    m.peak_w = max(m.peak_w, drawn_w(g, m, s, batch))
    m.context += context


@njit_helper
def drawn_w(g: Given, m: Machine, s: State, last: Batch) -> float:
    """Return the power of all batches that are under way when the last one of the flight starts."""
    watts = 0.0
    for k in range(m.flying):
        batch = place_of(g, m, s, k)
        if batch.finish > last.start:
            watts += 1e9 * batch.joules / (batch.finish - batch.start)
    return watts


@njit_helper
def occupy(m: Machine, batch: Batch, finish: int) -> None:
    """Let the batch land at `finish`."""
    batch.finish = finish
    m.busy_ns += finish - max(batch.start, m.end_ns)
    m.end_ns = finish


@njit_helper
def count(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Add the batch to the totals."""
    m.steps += 1
    m.prompt_tokens += batch.prompt_tokens
    m.decode_tokens += batch.decode_tokens
    m.pairs += batch.pairs
    m.encoder_tokens += batch.encoded
    m.encoder_pairs += batch.encoder_pairs
    m.rows += batch.sampled
    m.peak_blocks = max(m.peak_blocks, g.blocks - m.free)
    if m.tick_ns > 0:
        note(g, m, s, batch)


@njit_rare
def note(g: Given, m: Machine, s: State, batch: Batch) -> None:
    """Add the batch to the row of the time line in which it starts."""
    line = s.line[m.number]
    rows = len(line)
    while batch.start // m.tick_ns >= rows:  # half as many rows, twice as wide
        for k in range(rows):
            for track in range(line.shape[1]):
                both = line[2 * k, track] + line[2 * k + 1, track] if 2 * k < rows else 0.0
                line[k, track] = both
        m.tick_ns *= 2
    row = line[batch.start // m.tick_ns]
    spent = float(batch.finish - batch.start)
    row[STEPS] += 1
    row[BUSY] += spent
    row[PROMPTS] += batch.prompt_tokens
    row[SAMPLED] += batch.sampled
    row[JOULES] += batch.joules
    row[WAITING] += spent * m.waiting
    row[RUNNING] += spent * m.running
    row[BLOCKS] += spent * (g.blocks - m.free)
