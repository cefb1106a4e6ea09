"""What the requests of a spec share: beginnings of prompts, whole prompts, priorities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apex_opt.sim.load import Load, Prefixes
from apex_opt.sim.steps import Int64
from apex_opt.spec.workload import Workload
from apex_opt.trace.chains import openings
from apex_opt.trace.chance import Chance
from apex_opt.trace.lengths import lengths
from apex_opt.trace.phases import MOST


def shared(load: Load, workload: Workload, chance: Chance) -> tuple[Load, tuple[str, ...]]:
    """Return `load` with what `workload` says that its requests share.

    Args:
        load: requests without samples. Those that a spec's prefixes go before share nothing yet.
        workload: prefix, distinct prompts, samples and priorities are read.
        chance: where chance comes from.

    Returns:
        The load, and what people should know, a sentence each.

    Raises:
        ValueError: samples make too many requests.
    """
    notes: tuple[str, ...] = ()
    prompt = np.arange(len(load)) % (workload.distinct_prompts or len(load))
    if workload.prefix is not None:
        group = chance.groups.integers(0, workload.prefix.groups, len(load))[prompt]
        load, lengthened = begun(load, group, workload.prefix.tokens)
        if lengthened:
            notes = (f"prompts lengthened to begin with what they share: {lengthened:,}",)
    if workload.distinct_prompts is not None:
        load = repeated(load, prompt)
    if workload.priority_shares is not None:
        load = _ranked(load, workload.priority_shares, chance)
    if workload.samples > 1:
        load = _sampled(load, workload, chance)
    return load, notes


def begun(load: Load, group: Int64, tokens: int) -> tuple[Load, int]:
    """Return `load` with the same beginning for all prompts of a group.

    Args:
        load: without prefixes.
        group: (n,) int64, of each request, from 0.
        tokens: of the beginning. It stands before all that a session says; other prompts have it
            in them, and those that are no longer are lengthened to one token more.

    Returns:
        The load, and how many prompts were lengthened.
    """
    names, group = np.unique(group, return_inverse=True)
    nodes = Prefixes(np.full(len(names), -1, np.int64), np.full(len(names), tokens, np.int64))
    if len(load.after):
        prompt, prefix, short = load.prompt_tokens + tokens, np.where(load.after < 0, group, -1), 0
    else:
        prompt, prefix = np.maximum(load.prompt_tokens, tokens + 1), group
        short = int((load.prompt_tokens <= tokens).sum())
    return replace(load, prompt_tokens=prompt, prefix=prefix, prefixes=nodes), short


def repeated(load: Load, prompt: Int64) -> Load:
    """Return `load` with a node of its own for each prompt that several requests have.

    Args:
        load: requests with the same prompt have the same length and prefix.
        prompt: (n,) int64, which prompt each request has, from 0.
    """
    _, first, which = np.unique(prompt, return_index=True, return_inverse=True)
    above = load.prefix[first] if len(load.prefix) else np.full(len(first), -1, np.int64)
    tokens = load.prompt_tokens[first]
    # A prompt that is no longer than what it shares is that node already.
    fresh = tokens > np.append(load.prefixes.tokens, 0)[above]
    node = np.where(fresh, len(load.prefixes) + np.cumsum(fresh) - 1, above)
    nodes = Prefixes(
        np.concatenate([load.prefixes.parent, above[fresh]]),
        np.concatenate([load.prefixes.tokens, tokens[fresh]]),
    )
    return replace(load, prefix=node[which], prefixes=nodes)


def sampled(load: Load, samples: int, output_tokens: Int64) -> Load:
    """Return `load` with each request as many requests of one prompt, which arrive together.

    Args:
        load: an open loop, without sessions.
        samples: of each request.
        output_tokens: (n samples,) int64, those of a request one after the other.
    """
    whole = repeated(load, np.arange(len(load)))
    each = np.repeat(np.arange(len(load)), samples)
    return replace(whole.take(each), output_tokens=output_tokens)


def _sampled(load: Load, workload: Workload, chance: Chance) -> Load:
    """Return `load` with the samples of a workload, whose outputs are as long as they are drawn."""
    n, samples = len(load), workload.samples
    if n * samples > MOST:
        raise ValueError(f"{n:,} requests of {samples:,} samples are more than {MOST:,}")
    if workload.output_tokens is None:
        return sampled(load, samples, np.repeat(load.output_tokens, samples))
    outputs = lengths(workload.output_tokens, n * (samples - 1), chance.samples)
    columns = np.column_stack([load.output_tokens, outputs.reshape(n, samples - 1)])
    return sampled(load, samples, columns.reshape(-1))


def _ranked(load: Load, shares: tuple[float, ...], chance: Chance) -> Load:
    """Return `load` with random priorities, one for a whole session."""
    chances = np.array(shares) / sum(shares)
    priority = chance.priorities.choice(len(shares), len(load), p=chances).astype(np.int64)
    return replace(load, priority=priority[openings(load.after)] if len(load.after) else priority)
