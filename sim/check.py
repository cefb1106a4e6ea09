"""Refuse numbers that the loop cannot play: it checks nothing itself."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import lru_cache
from typing import get_args

import numpy as np

from apex_opt.sim.engine import EngineRules, Order
from apex_opt.sim.load import Load
from apex_opt.sim.steps import StepTable

MOST = 1 << 62
"""Femtosecond sums stay under this."""

LATEST = 1 << 61
"""Arrivals, ns: 73 years, which leaves the run another 73 to end."""

LARGEST = 1 << 53
"""Entries of the step table: 104 days in ns, and exact as float64."""

PPM = 1_000_000

LONGEST = (1 << 31) - 1
"""Tokens and request numbers are kept in 32 bits."""


def check(load: Load, rules: EngineRules, steps: StepTable) -> None:
    """Check that load, rules and table are sound and fit together.

    Raises:
        ValueError: the first fault that was found.
    """
    check_load(load)
    check_shared(load)
    check_encoder(load, rules, steps)
    check_rules(rules)
    check_table(steps)
    check_overflow(load, rules, steps)
    if rules.max_batch_tokens > steps.max_tokens:
        raise ValueError(
            f"steps: the table ends at {steps.max_tokens} tokens, "
            f"max_batch_tokens is {rules.max_batch_tokens}"
        )
    rows = rules.max_seqs * (1 + rules.drafts)
    if rows > steps.max_seqs:
        words = "max_seqs" if not rules.drafts else "max_seqs x (1 + drafts)"
        raise ValueError(f"steps: the table ends at {steps.max_seqs} rows, {words} is {rows}")


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
    opening = load.arrival_ns[load.opens][: load.concurrency or n]
    if n and (opening[0] < 0 or opening[-1] >= LATEST or (np.diff(opening) < 0).any()):
        raise ValueError("load.arrival_ns: must not be negative, not decrease, not reach 2^61")
    for name in ("prompt_tokens", "output_tokens"):
        column = columns[name]
        if n and (column.min() < 1 or column.max() > LONGEST // 2):
            raise ValueError(f"load.{name}: must be from 1 to {LONGEST // 2}")


def check_shared(load: Load) -> None:
    """Check what requests have in common: sessions, prefixes, priorities."""
    n, m = len(load), len(load.prefixes)
    columns = {
        "prefix": (load.prefix, n, -1, m),
        "after": (load.after, n, -1, n),
        "think_ns": (load.think_ns, n, 0, LATEST),
        "priority": (load.priority, n, -MOST, MOST),
        "encoder_tokens": (load.encoder_tokens, n, 0, LONGEST // 2),
        "prefixes.parent": (load.prefixes.parent, m, -1, m),
        "prefixes.tokens": (load.prefixes.tokens, m, 1, LONGEST),
    }
    for name, (column, length, least, bound) in columns.items():
        if not len(column) and "." not in name:
            continue
        if column.dtype != np.int64 or column.shape != (length,):
            raise ValueError(
                f"load.{name}: must be ({length},) int64, is {column.shape} {column.dtype}"
            )
        if length and (column.min() < least or column.max() >= bound):
            raise ValueError(f"load.{name}: must be from {least} to {bound - 1}")
    check_sessions(load)
    check_prefixes(load)


def check_sessions(load: Load) -> None:
    """Check that each request follows an earlier one, one that nobody else follows."""
    if not len(load.after):
        return
    if len(load.think_ns) != len(load):
        raise ValueError("load.think_ns: must be there, since load.after is")
    later = np.flatnonzero(load.after >= 0)
    before = load.after[later]
    if (before >= later).any() or len(np.unique(before)) < len(before):
        raise ValueError("load.after: must name an earlier request, each at most once")
    begun = load.prompt_tokens[before] + load.output_tokens[before]
    if (begun > load.prompt_tokens[later]).any():
        raise ValueError("load.after: a prompt must hold the prompt and the output before it")
    if len(load.prefix) and (load.prefix[later] >= 0).any():
        raise ValueError("load.prefix: must be -1 where load.after names a request")


def check_prefixes(load: Load) -> None:
    """Check that nodes stand under earlier and shorter ones, and prompts are long enough."""
    parent, tokens = load.prefixes.parent, load.prefixes.tokens
    if (parent >= np.arange(len(parent))).any():
        raise ValueError("load.prefixes.parent: must be less than the node's own number")
    below = parent >= 0
    if (tokens[below] <= tokens[parent[below]]).any():
        raise ValueError("load.prefixes.tokens: must be more than those of the parent")
    if len(load.prefix):
        has = load.prefix >= 0
        if (tokens[load.prefix[has]] > load.prompt_tokens[has]).any():
            raise ValueError("load.prefix: a prompt must be as long as what it begins with")


def check_encoder(load: Load, rules: EngineRules, steps: StepTable) -> None:
    """Check that what an encoder reads takes time, and that its cache needs no other."""
    if len(load.encoder_tokens) and not len(steps.encoder_ns):
        raise ValueError("steps.encoder_ns: must be there, since load.encoder_tokens is")
    if rules.cross_cache and rules.prefix_caching:
        raise ValueError("rules.cross_cache: what an encoder reads is no prefix to be cached")


AT_LEAST_ONE = ("max_seqs", "max_batch_tokens", "max_model_tokens", "block_tokens")
"""Rules that are no number of things that there may be none of."""


def check_rules(rules: EngineRules) -> None:
    """Check signs of the limits, and that a step has a token for each sequence."""
    for name in numbers(EngineRules, "int"):
        value, least = getattr(rules, name), int(name in AT_LEAST_ONE)
        if value < least or value >= MOST:
            words = "be at least 1" if least else "not be negative"
            raise ValueError(f"rules.{name}: must {words}, is {value}")
    for name in ("owed_ppm", "owed_least_ppm", "owed_decay_ppm", "acceptance_ppm"):
        if getattr(rules, name) > PPM:
            raise ValueError(f"rules.{name}: must be at most {PPM}, is {getattr(rules, name)}")
    if rules.token_blocks > 1:
        raise ValueError(f"rules.token_blocks: must be 0 or 1, is {rules.token_blocks}")
    if rules.prefix_caching and not rules.token_blocks:
        raise ValueError("rules.prefix_caching: no layer keeps all tokens, token_blocks is 0")
    if rules.host_blocks and not rules.prefix_caching:
        raise ValueError("rules.host_blocks: only what prefix_caching keeps can move to the host")
    if rules.order not in get_args(Order):
        raise ValueError(f"rules.order: must be one of {get_args(Order)}, is {rules.order!r}")
    least = rules.max_seqs * (1 + rules.drafts)
    if rules.max_batch_tokens < least:
        words = "max_seqs" if not rules.drafts else "max_seqs x (1 + drafts)"
        raise ValueError(
            f"rules.max_batch_tokens: must be at least {words} ({least}), "
            f"is {rules.max_batch_tokens}"
        )


def numbers(kind: type, of: str) -> list[str]:
    """Return the fields of a dataclass that are of a type, by its name."""
    return [field.name for field in fields(kind) if field.type == of]


@lru_cache(maxsize=64)
def check_table(steps: StepTable) -> None:
    """Check shapes, types and signs of the step table, once for all its runs."""
    unlike = len(steps.decode_ns)
    by_tokens, by_rows = (unlike, steps.max_tokens + 1), (unlike, steps.max_seqs + 1)
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
        "history_fs": (by_tokens[:1], np.int64),
        "mixed_context_fs": (by_tokens[:1], np.int64),
        "mixed_window_fs": (by_tokens[:1], np.int64),
        "draft_ns": (by_rows[1:], np.int64),
        "draft_j": (by_rows[1:], np.float64),
        "encoder_ns": (by_tokens, np.int64),
        "encoder_j": (by_tokens[1:], np.float64),
        "encoder_pair_fs": (by_tokens[:1], np.int64),
        "row": ((steps.stages,), np.int64),
    }
    left_out = {field.name for field in fields(StepTable) if field.default_factory is not MISSING}
    for name, (shape, kind) in shapes.items():
        array = getattr(steps, name)
        if name in left_out and array.shape == (0,):
            continue
        if array.shape != shape or array.dtype != kind or not array.flags.c_contiguous:
            raise ValueError(
                f"steps.{name}: must be {shape} {np.dtype(kind)} in C order, "
                f"is {array.shape} {array.dtype}"
            )
        if not ((array >= 0) & (array < LARGEST)).all():
            raise ValueError(f"steps.{name}: must not be negative nor reach 2^53")
    for name in numbers(StepTable, "float"):
        if not getattr(steps, name) >= 0:
            raise ValueError(f"steps.{name}: must not be negative, is {getattr(steps, name)}")
    if steps.window_tokens < 1:
        raise ValueError(f"steps.window_tokens: must be at least 1, is {steps.window_tokens}")
    if (steps.decode_ns[:, 1:] < 1).any() or (steps.mixed_ns[:, 1:] < 1).any():
        raise ValueError("steps: a step with tokens must take at least 1 ns on every stage")
    if (steps.row >= unlike).any():
        raise ValueError(f"steps.row: must be below {unlike}, the rows that there are")
    if steps.hop_ns[steps.row_of[-1]].any():
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
    context_fs += int(steps.mixed_context_fs.max(initial=0))
    context_fs += int(steps.mixed_window_fs.max(initial=0))
    pair_fs = int(steps.pair_fs.max()) + int(steps.window_pair_fs.max())
    history_fs = int(steps.history_fs.max(initial=0))
    read = max(rules.max_batch_tokens, int(load.encoder_tokens.max(initial=0)))
    encoder_fs = int(steps.encoder_pair_fs.max(initial=0)) * read * read
    largest = cached * (context_fs + history_fs) + pairs * pair_fs + encoder_fs
    if largest >= MOST:
        raise ValueError(
            f"steps: attention over {cached} cached tokens and {pairs} pairs may take "
            f"{largest} fs, more than {MOST}"
        )
