"""What the prompts of a trace share, and what a cache of them could save."""

from __future__ import annotations

import numpy as np

from apex_opt.sim.load import Prefixes
from apex_opt.sim.steps import Int64
from apex_opt.trace.trace import Trace


def cached_tokens(trace: Trace) -> Int64:
    """Return how much of each prompt an unlimited prefix cache would hold when it comes.

    Everything is in the cache that an earlier prompt began with, to the token, and what was said
    before in the same session. Prompts that come at the same moment count one after the other.

    Args:
        trace: with prefixes, sessions or neither.

    Returns:
        (n,) int64, tokens.
    """
    saved = np.zeros(len(trace), np.int64)
    if len(trace.prefix):
        saved = _begun_before(trace.prefix, trace.prefixes)
    if len(trace.after):
        before = trace.after
        said = trace.prompt_tokens[before] + trace.output_tokens[before]
        saved = np.where(before >= 0, np.maximum(saved, said), saved)
    return saved


def _begun_before(prefix: Int64, nodes: Prefixes) -> Int64:
    """Return the tokens of the longest node of each prompt that an earlier prompt had too."""
    n, m = len(prefix), len(nodes)
    first = np.full(
        m + 1, n, np.int64
    )  # by node: the first prompt under it; the last stands for -1
    np.minimum.at(first, prefix, np.arange(n))
    for node in range(m - 1, -1, -1):
        above = nodes.parent[node]
        first[above] = min(first[above], first[node])
    # The longest node that is not the prompt's own doing: one step up while it was the first.
    tokens = np.append(nodes.tokens, 0)
    parent = np.append(nodes.parent, -1)
    at = prefix.copy()
    own = np.flatnonzero((at >= 0) & (first[at] == np.arange(n)))
    while len(own):
        at[own] = parent[at[own]]
        own = own[(at[own] >= 0) & (first[at[own]] == own)]
    saved: Int64 = tokens[at]
    return saved
