"""Requests drawn as a spec says: when they come, how long they are, their conversations."""

from __future__ import annotations

import numpy as np

from apex_opt.sim.load import Load
from apex_opt.sim.steps import Int64
from apex_opt.spec.workload import Workload
from apex_opt.trace.arrivals import arrivals
from apex_opt.trace.chance import Chance
from apex_opt.trace.lengths import lengths, pauses
from apex_opt.trace.phases import piecewise
from apex_opt.trace.sessions import turns_of

DRAWN_REQUESTS = 2000
"""Requests that are drawn where the spec does not say how many, and nothing ends them."""

Pairs = tuple[Int64, Int64]
"""Prompts and outputs of the same requests, (m,) int64 each."""


def drawn(workload: Workload, chance: Chance, pairs: Pairs | None) -> Load:
    """Return requests drawn as `workload` says; what they share comes after.

    Args:
        workload: as loaded, so that what its arrival needs is there.
        chance: where chance comes from.
        pairs: lengths to draw from, instead of the workload's distributions.

    Raises:
        ValueError: there is no such traffic: it is too long, or ends too soon.
    """
    n = workload.requests
    if n is None and not _ends(workload):
        n = DRAWN_REQUESTS
    if workload.sessions is not None:
        return _conversations(workload, n, chance, pairs)
    at = _arrivals(workload, n, chance)
    return Load(at, *_lengths(workload, len(at), chance, pairs), workload.concurrency or 0)


def _ends(workload: Workload) -> bool:
    """Whether the traffic ends by itself."""
    return workload.phases is not None and workload.phases[-1].until_s is not None


def _arrivals(workload: Workload, n: int | None, chance: Chance) -> Int64:
    """Return when requests, or sessions, arrive; all of them where `n` is None."""
    assert workload.arrival != "trace"
    if workload.arrival == "piecewise":
        assert workload.phases is not None, "checked by the loader"
        return piecewise(workload.phases, n, chance.arrivals)
    assert n is not None, "nothing but phases ends by itself"
    rate, burstiness = workload.rate_rps or 1.0, workload.burstiness
    return arrivals(workload.arrival, n, chance.arrivals, rate_rps=rate, burstiness=burstiness)


def _lengths(workload: Workload, n: int, chance: Chance, pairs: Pairs | None) -> Pairs:
    """Return prompts and outputs; those of repeated prompts are repeated."""
    different = min(workload.distinct_prompts or n, n)
    if pairs is not None:
        which = np.resize(chance.pairs.integers(0, len(pairs[0]), different), n)
        return pairs[0][which], pairs[1][which]
    assert workload.prompt_tokens is not None, "checked by the loader"
    assert workload.output_tokens is not None, "checked by the loader"
    return (
        np.resize(lengths(workload.prompt_tokens, different, chance.prompts), n),
        lengths(workload.output_tokens, n, chance.outputs),
    )


def _conversations(workload: Workload, n: int | None, chance: Chance, pairs: Pairs | None) -> Load:
    """Return sessions, one after the other: all turns of one, then those of the next."""
    assert workload.sessions is not None
    if n is None:
        at = _arrivals(workload, None, chance)
        turns = turns_of(workload.sessions.turns, chance.turns, requests=None, sessions=len(at))
    else:
        turns = turns_of(workload.sessions.turns, chance.turns, requests=n, sessions=n)
        at = _arrivals(workload, int(turns.session[-1]) + 1, chance)
    n = len(turns.session)
    message, output = _lengths(workload, n, chance, pairs)
    think = pauses(workload.sessions.think_time_s, n, chance.pauses)
    return Load(
        at[turns.session],
        turns.grown(message, output),
        output,
        workload.concurrency or 0,
        after=turns.after,
        think_ns=np.where(turns.opening, 0, think),
    )
