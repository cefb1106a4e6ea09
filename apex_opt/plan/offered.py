"""The traffic as bounds see it: what any replica must do of it, and until when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import Least, features, fits, sums
from apex_opt.plan.levels import NS_PER_S, counts_goodput, drain_limit_s, longest_s
from apex_opt.plan.objective import Traffic
from apex_opt.plan.pace import pace
from apex_opt.sim.load import Load
from apex_opt.sim.metrics import Bool
from apex_opt.sim.replica import rejects
from apex_opt.sim.steps import Int64
from apex_opt.spec.spec import Spec

CLOCK_NS = 2**62
"""No run is longer: the clock of the simulator has 63 bits."""


def least_of(spec: Spec, candidates: Sequence[Candidate]) -> Least:
    """Return what the candidates may save: the features of all are those of whoever does least."""
    return Least(
        caching=any(c.rules.prefix_caching for c in candidates),
        drafts=max(c.rules.drafts for c in candidates),
        samples=spec.workload.samples,
        cross_cache=candidates[0].rules.cross_cache,  # of the model, which all share
        max_encoder_tokens=candidates[0].rules.max_encoder_tokens,
        max_prompt_tokens=(
            0
            if any(c.rules.chunked_prefill for c in candidates)
            else max(c.rules.max_batch_tokens for c in candidates)
        ),
    )


def earliest_ns(load: Load) -> Int64:
    """Return (n,) when each request arrives at the earliest: turns follow replies of no length."""
    at = load.arrival_ns
    if len(load.after):
        at = at.copy()
        for later in np.flatnonzero(load.after >= 0).tolist():
            at[later] = at[load.after[later]] + load.think_ns[later]
    return at


def traffic_of(spec: Spec, load: Load, candidates: Sequence[Candidate]) -> Traffic:
    """Return the traffic as the bounds see it; all candidates share one longest request.

    Sessions go on as fast as they are served: how long they do has no bound, as in a closed loop.
    Where a replica rejects what another one takes, a plan that serves all serves what every replica
    takes at least, and how many of that may be late is open: no pace is asked for.
    """
    longest = max(c.rules.max_model_tokens for c in candidates)
    window = candidates[0].steps.window_tokens  # of the model, which all share
    least = least_of(spec, candidates)
    requests = len(load) // least.samples
    fit = fits(load, longest, least)
    refused = _refused(load, candidates, fit)
    if refused is None:
        found = features(load, longest, window, least, lambda d: pace(spec, d, requests))
    else:
        found = features(load, longest, window, least)
        if spec.objective.maximize is None:
            found = replace(found, totals=sums(found.columns[:, ~refused.any(axis=0)]))
        refused = refused[:, :: least.samples]
    outputs = load.output_tokens[fit]
    closed = load.concurrency > 0
    arrivals = earliest_ns(load)
    span_s = 0.0 if closed else float(arrivals.max() - arrivals.min()) / NS_PER_S
    # Where goodput is maximised a run may drain for ever, but what counts ends with its own limits.
    after_s: float | None = (
        longest_s(spec.slo, int(outputs.max(initial=1)))
        if counts_goodput(spec)
        else drain_limit_s(spec.slo, span_s, int(load.output_tokens.max()))
    )
    if closed or len(load.after) or after_s is None:
        return Traffic(found, requests, span_s, None, refused=refused)
    left_ns = None
    if not counts_goodput(spec) and after_s * NS_PER_S < CLOCK_NS:
        end_ns = int(arrivals.max()) + math.ceil(after_s * NS_PER_S)
        left_ns = end_ns - arrivals[fit][:: least.samples]
    return Traffic(found, requests, span_s, span_s + after_s, left_ns, refused)


def _refused(load: Load, candidates: Sequence[Candidate], fit: Bool) -> Bool | None:
    """Return (candidates, n) which of the requests that fit are rejected all the same.

    A legal replica holds the longest of them, but without chunks others may take longer prompts.
    What has one token of output comes to no replica that decodes.
    """
    if all(c.rules.chunked_prefill for c in candidates):
        return None
    decoded = load.output_tokens > 1
    found = np.stack(
        [
            (rejects(load, c.rules_in_role) & (decoded | (c.role != "decode")))[fit]
            for c in candidates
        ]
    )
    return found if found.any() else None
