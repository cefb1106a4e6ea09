"""Quality lost to number formats, priced by the token, where a spec puts a price on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from apex_opt.plan.candidate import Candidate
from apex_opt.plan.features import FEATURES
from apex_opt.plan.objective import NO_FLOW, Traffic
from apex_opt.plan.step_floors import Row
from apex_opt.plan.use import Part
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE
from apex_opt.sim.member import FleetLog, Role
from apex_opt.spec.spec import Spec

S_PER_HOUR = 3600.0


def usd_per_hour(
    spec: Spec, load: Load, parts: Sequence[Part], played: FleetLog, time_s: float
) -> float:
    """Return what the formats cost by which a plan served its output tokens.

    Args:
        spec: prices are those of `quantization.usd_per_million_tokens`.
        load: the requests; output tokens of those that were done count.
        parts: the deployments.
        played: which replica served what, in the end.
        time_s: over which requests arrive.
    """
    if not spec.quantization.usd_per_million_tokens:
        return 0.0
    shapes = [part.candidate.shape for part in parts for _ in range(part.count * part.ranks)]
    prices = np.array([spec.quantization.usd_per_token(s.weights, s.kv_cache) for s in shapes])
    done = played.log.status == DONE
    lost = prices[played.replica[done]] * load.output_tokens[done]
    return float(lost.sum()) * S_PER_HOUR / time_s


SAMPLED: dict[Role, frozenset[str]] = {
    "mixed": frozenset({"requests", "decode"}),
    "prefill": frozenset(),
    "decode": frozenset({"decode"}),
}
"""Features whose tokens a replica is sure to be charged with: where the cache of a request moves,
all of them are charged to the replica that decodes."""


def row(spec: Spec, candidate: Candidate, traffic: Traffic) -> Row:
    """Return the least of it, USD an hour, by feature: every output token is served by someone.

    The first token of a request comes with its prompt. Where the time over which requests arrive
    hangs on their service, nothing is known.
    """
    shape, mine = candidate.shape, SAMPLED[candidate.role]
    price = spec.quantization.usd_per_token(shape.weights, shape.kv_cache)
    if price == 0 or traffic.horizon_s is None or traffic.span_s <= 0:
        return NO_FLOW
    each = price * S_PER_HOUR / traffic.span_s
    return tuple(each if name in mine else 0.0 for name in FEATURES)
