"""Refuse numbers that the loop cannot play: it checks nothing itself."""

from __future__ import annotations

import numpy as np

from apex_opt.sim.engine import EngineRules
from apex_opt.sim.load import Load
from apex_opt.sim.steps import StepTable

MOST = 1 << 62
"""Femtosecond sums stay under this."""

LATEST = 1 << 61
"""Arrivals, ns: 73 years, which leaves the run another 73 to end."""

LARGEST = 1 << 53
"""Entries of the step table: 104 days in ns, and exact as float64."""

LONGEST = (1 << 31) - 1
"""Tokens and request numbers are kept in 32 bits."""


def check(load: Load, rules: EngineRules, steps: StepTable) -> None:
    """Check that load, rules and table are sound and fit together.

    Raises:
        ValueError: the first fault that was found.
    """
    check_load(load)
    check_rules(rules)
    check_table(steps)
    check_overflow(load, rules, steps)
    if rules.max_batch_tokens > steps.max_tokens:
        raise ValueError(
            f"steps: the table ends at {steps.max_tokens} tokens, "
            f"max_batch_tokens is {rules.max_batch_tokens}"
        )
    if rules.max_seqs > steps.max_seqs:
        raise ValueError(
            f"steps: the table ends at {steps.max_seqs} rows, max_seqs is {rules.max_seqs}"
        )


def check_load(load: Load) -> None:
    """Check shapes, order and signs of the requests."""
    n = len(load)
    columns = {
        "arrival_ns": load.arrival_ns,
        "prompt_tokens": load.prompt_tokens,
        "output_tokens": load.output_tokens,
    }
    for name, column in columns.items():
        if column.dtype != np.int64 or column.shape != (n,):
            raise ValueError(f"load.{name}: must be ({n},) int64, is {column.shape} {column.dtype}")
    if n > LONGEST:
        raise ValueError(f"load: at most {LONGEST} requests, is {n}")
    if load.concurrency < 0:
        raise ValueError(f"load.concurrency: must not be negative, is {load.concurrency}")
    opening = load.arrival_ns[: load.concurrency or n]
    if n and (opening[0] < 0 or opening[-1] >= LATEST or (np.diff(opening) < 0).any()):
        raise ValueError("load.arrival_ns: must not be negative, not decrease, not reach 2^61")
    for name in ("prompt_tokens", "output_tokens"):
        column = columns[name]
        if n and (column.min() < 1 or column.max() > LONGEST // 2):
            raise ValueError(f"load.{name}: must be from 1 to {LONGEST // 2}")


def check_rules(rules: EngineRules) -> None:
    """Check signs of the limits, and that a step has a token for each sequence."""
    for name in ("max_seqs", "max_batch_tokens", "max_model_tokens", "block_tokens"):
        if getattr(rules, name) < 1:
            raise ValueError(f"rules.{name}: must be at least 1, is {getattr(rules, name)}")
    for name in ("blocks", "sequence_blocks", "request_overhead_ns"):
        if getattr(rules, name) < 0:
            raise ValueError(f"rules.{name}: must not be negative, is {getattr(rules, name)}")
    if rules.max_batch_tokens < rules.max_seqs:
        raise ValueError(
            f"rules.max_batch_tokens: must be at least max_seqs ({rules.max_seqs}), "
            f"is {rules.max_batch_tokens}"
        )


def check_table(steps: StepTable) -> None:
    """Check shapes, types and signs of the step table."""
    by_tokens = (steps.stages, steps.max_tokens + 1)
    by_rows = (steps.stages, steps.max_seqs + 1)
    shapes = {
        "decode_ns": (by_tokens, np.int64),
        "mixed_ns": (by_tokens, np.int64),
        "hop_ns": (by_tokens, np.int64),
        "rows_ns": (by_rows, np.int64),
        "context_fs": (by_tokens[:1], np.int64),
        "window_fs": (by_tokens[:1], np.int64),
        "pair_fs": (by_tokens[:1], np.int64),
        "window_pair_fs": (by_tokens[:1], np.int64),
        "decode_j": (by_tokens[1:], np.float64),
        "mixed_j": (by_tokens[1:], np.float64),
        "rows_j": (by_rows[1:], np.float64),
    }
    for name, (shape, kind) in shapes.items():
        array = getattr(steps, name)
        if array.shape != shape or array.dtype != kind or not array.flags.c_contiguous:
            raise ValueError(
                f"steps.{name}: must be {shape} {np.dtype(kind)} in C order, "
                f"is {array.shape} {array.dtype}"
            )
        if not ((array >= 0) & (array < LARGEST)).all():
            raise ValueError(f"steps.{name}: must not be negative nor reach 2^53")
    for name in ("context_j", "window_j", "pair_j", "window_pair_j", "idle_w"):
        if not getattr(steps, name) >= 0:
            raise ValueError(f"steps.{name}: must not be negative, is {getattr(steps, name)}")
    if steps.window_tokens < 1:
        raise ValueError(f"steps.window_tokens: must be at least 1, is {steps.window_tokens}")
    if (steps.decode_ns[:, 1:] < 1).any() or (steps.mixed_ns[:, 1:] < 1).any():
        raise ValueError("steps: a step with tokens must take at least 1 ns on every stage")
    if steps.hop_ns[-1].any():
        raise ValueError("steps.hop_ns: the last stage sends nothing, its row must be zero")


def check_overflow(load: Load, rules: EngineRules, steps: StepTable) -> None:
    """Check that the attention time of the largest step that the load can make fits in int64."""
    if not len(load):
        return
    longest = min(
        int((load.prompt_tokens + load.output_tokens).max()),
        rules.max_model_tokens,
        rules.blocks * rules.block_tokens + 1,
    )
    cached = min(rules.max_seqs * longest, rules.blocks * rules.block_tokens)
    pairs = min(rules.max_batch_tokens, rules.max_seqs * longest) * longest
    context_fs = int(steps.context_fs.max()) + int(steps.window_fs.max())
    pair_fs = int(steps.pair_fs.max()) + int(steps.window_pair_fs.max())
    largest = cached * context_fs + pairs * pair_fs
    if largest >= MOST:
        raise ValueError(
            f"steps: attention over {cached} cached tokens and {pairs} pairs may take "
            f"{largest} fs, more than {MOST}"
        )
