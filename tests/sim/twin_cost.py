"""What a batch of the twin takes on each stage, and its energy."""

from __future__ import annotations

from apex_opt.sim.steps import StepTable
from tests.sim.twin_request import Batch


def send(batch: Batch, t: StepTable, now: int, free_at: list[int], load_ns: int) -> None:
    """Send a batch through the stages, each free at its time; set when each has it, and energy.

    `load_ns` is the time that fetching from host memory adds on the first stage.
    """
    at = now
    for k in range(t.stages):
        batch.begin.append(max(at, free_at[k]))
        spent = stage_ns(batch, t, k, batch.tokens)
        if k == 0:
            spent += load_ns + draft_ns(batch, t)
        batch.end.append(batch.begin[-1] + spent)
        batch.hop.append(int(t.hop_ns[k, batch.tokens]))
        at = batch.finish
    batch.joules = joules(batch, t)


def windows(batch: Batch, t: StepTable) -> tuple[int, int]:
    """Return tokens and pairs that sliding-window layers read."""
    context = min(batch.context, batch.decodes * t.window_tokens)
    return context, min(batch.pairs, batch.prompt_tokens * t.window_tokens)


def draft_ns(batch: Batch, t: StepTable) -> int:
    return int(t.draft_ns[batch.decodes]) if batch.decodes and len(t.draft_ns) else 0


def stage_ns(batch: Batch, t: StepTable, k: int, tokens: int) -> int:
    """Return what a batch takes on a stage in a step of so many tokens."""
    context, pairs = windows(batch, t)
    fs = int(t.context_fs[k]) * batch.context + int(t.window_fs[k]) * context
    fs += int(t.pair_fs[k]) * batch.pairs + int(t.window_pair_fs[k]) * pairs
    if len(t.history_fs):
        fs += int(t.history_fs[k]) * batch.history
    if batch.prompt_tokens and len(t.mixed_context_fs):
        fs += int(t.mixed_context_fs[k]) * batch.context
    if batch.prompt_tokens and len(t.mixed_window_fs):
        fs += int(t.mixed_window_fs[k]) * context
    if len(t.encoder_pair_fs):
        fs += int(t.encoder_pair_fs[k]) * sum(n * n for n in batch.read)
    base = t.mixed_ns if batch.prompt_tokens else t.decode_ns
    encoder = sum(int(t.encoder_ns[k, n]) for n in batch.passes)
    return int(base[k, tokens]) + int(t.rows_ns[k, batch.heads]) + encoder + fs // 10**6


def joules(batch: Batch, t: StepTable) -> float:
    context, pairs = windows(batch, t)
    base = t.mixed_j if batch.prompt_tokens else t.decode_j
    sum_j = float(base[batch.tokens]) + float(t.rows_j[batch.heads])
    sum_j += t.context_j * batch.context + t.window_j * context
    sum_j += t.pair_j * batch.pairs + t.window_pair_j * pairs + t.history_j * batch.history
    if batch.prompt_tokens:
        sum_j += t.mixed_context_j * batch.context + t.mixed_window_j * context
    sum_j += sum(float(t.encoder_j[n]) for n in batch.passes if len(t.encoder_j))
    sum_j += t.encoder_pair_j * sum(n * n for n in batch.read)
    if batch.decodes and len(t.draft_j):
        sum_j += float(t.draft_j[batch.decodes])
    return sum_j
