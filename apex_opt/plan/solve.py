"""The story of a plan: enumerate, bound, propose, simulate, certify, tell.

Each step is told to `listen`; the answer is a `Result`, or an error that says what is proved.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from apex_opt.errors import CallError, InfeasibleError, UndecidedError
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.classes import by_class
from apex_opt.plan.enumerate import enumerate_replicas
from apex_opt.plan.events import Event, Listen
from apex_opt.plan.needs import require_figures
from apex_opt.plan.objective import goal
from apex_opt.plan.predict import Played, play
from apex_opt.plan.problem import Problem, problem
from apex_opt.plan.result import Result
from apex_opt.plan.roles import candidates_of, why_not_apart
from apex_opt.plan.search import Search
from apex_opt.plan.tell import label, limits_missed, tell, why_missed
from apex_opt.plan.tried import Counts, Found, Tried, best_of
from apex_opt.plan.use import Part
from apex_opt.plan.weights import routing_weights
from apex_opt.sim.member import Role
from apex_opt.sim.replica import EndlessRunError
from apex_opt.spec.spec import Spec
from apex_opt.trace.traffic import Traffic, traffic

AT_ONCE = 4
"""Plans proposed and simulated together, on any machine: the answer must not follow its cores."""


def silent(_: Event) -> None:
    """Hear nothing."""


def solve(spec: Spec, listen: Listen = silent) -> Result:
    """Return the best plans of `spec`, proved and simulated.

    Raises:
        CallError: the spec lacks a figure that the search needs.
        InfeasibleError: no plan meets the spec, and that is proved.
        UndecidedError: neither a plan nor a proof was found in the time given.
    """
    start = time.monotonic()
    require_figures(spec)
    listen(Event("reading traffic", 0, None, None))
    offered = traffic(spec.workload, spec.search.seed, spec.folder, spec.model)
    listen(Event("enumerating replicas", 0, None, None))
    candidates = legal_candidates(spec, offered)
    listen(Event("bounding replicas", len(candidates), len(candidates), None))
    asked = problem(spec, offered.load, candidates)

    def try_plan(counts: Counts) -> Tried:
        ways = routings(spec, asked, counts)
        return best_of(asked.goal, [try_parts(counts, parts) for parts in ways])

    def try_parts(counts: Counts, parts: tuple[Part, ...]) -> Tried:
        try:
            played = play(spec, offered.load, parts)
        except EndlessRunError as why:
            return Tried(counts, math.nan, math.nan, f"cannot be simulated: {why}", None)
        return tried(spec, counts, played)

    found = Search(
        asked,
        try_plan,
        top_k=spec.search.top_k,
        time_limit_s=spec.search.time_limit_s - (time.monotonic() - start),
        threads=AT_ONCE,
        listen=listen,
        gap=content_with(spec),
    ).run()
    if not found.best:
        raise no_plan(spec, asked, found)
    return tell(spec, offered, asked, found, time.monotonic() - start)


def content_with(spec: Spec) -> float:
    """Return the gap with which the search ends: `search.gap`, or a default by objective.

    A maximised rate is counted in whole requests, and plans that all but reach the bound abound.
    """
    if spec.search.gap is not None:
        return spec.search.gap
    return 0.005 if goal(spec.objective).maximize else 0.0


def longest_request(spec: Spec, offered: Traffic) -> int:
    """Return prompt + output of the longest request that the model can hold."""
    tokens = offered.load.prompt_tokens + offered.load.output_tokens
    held = tokens[tokens <= spec.model.max_context]
    if len(held) == 0:
        raise CallError(
            f"workload: every request is longer than `model.max_context` = "
            f"{spec.model.max_context:,} tokens; the shortest has {int(tokens.min()):,}"
        )
    return int(held.max())


def legal_candidates(spec: Spec, offered: Traffic) -> list[Candidate]:
    """Return the replicas that may stand in a plan.

    Raises:
        InfeasibleError: no replica is legal; the text says why, commonest reason first.
    """
    found = enumerate_replicas(spec, longest_request(spec, offered))
    candidates = candidates_of(spec, found.legal)
    if not candidates:
        refused = Counter(found.refused)
        refused.update(why for shape, _ in found.legal if (why := why_not_apart(shape)))
        raise InfeasibleError(_no_replica(refused))
    return candidates


def _no_replica(refused: Mapping[str, int]) -> str:
    """Return why no replica is legal; of reasons that differ in numbers, the last stands for all.

    Degrees are tried in ascending order, so it is that of the replica cut into the most parts.
    """
    alike: dict[str, tuple[str, int]] = {}
    for reason, n in refused.items():
        words = re.sub(r"\d[\d,.]*", "#", reason)
        alike[words] = (reason, n + alike.get(words, ("", 0))[1])
    reasons = sorted(alike.values(), key=lambda item: -item[1])
    told = [f"  {reason}" + (f" (and {n - 1} alike)" if n > 1 else "") for reason, n in reasons[:8]]
    more = [f"  and {len(reasons) - 8} more reasons"] if len(reasons) > 8 else []
    return "\n".join(["no replica of the model can be started:", *told, *more])


def parts_of(asked: Problem, counts: Counts) -> tuple[Part, ...]:
    """Return the deployments of a count vector, with their routing weights."""
    totals, parts = asked.traffic.features.totals, []
    chosen = [r for r, n in enumerate(counts) if n]
    for role in get_args(Role):
        used = [r for r in chosen if asked.candidates[r].role == role]
        weights = routing_weights([asked.bounds[r] for r in used], totals)
        parts += [
            Part(asked.candidates[r], counts[r], w) for r, w in zip(used, weights, strict=True)
        ]
    return tuple(parts)


def routings(spec: Spec, asked: Problem, counts: Counts) -> list[tuple[Part, ...]]:
    """Return the deployments of a count vector in each way to route them that is in the space."""
    parts = parts_of(asked, counts)
    if not spec.routing.by_class:
        return [parts]
    number = {id(candidate): r for r, candidate in enumerate(asked.candidates)}
    bounds = [asked.bounds[number[id(part.candidate)]] for part in parts]
    split = by_class(parts, bounds, asked.traffic.features)
    return [parts] if split is None else [parts, split]


def tried(spec: Spec, counts: Counts, played: Played) -> Tried:
    """Return a simulated plan as the search keeps it."""
    chosen = goal(spec.objective)
    devices = sum(p.devices for p in played.parts)
    missed = played.missed
    reason = why_missed(missed) if missed is not None else limits_missed(spec, played)
    if missed is not None and missed not in played.checks:
        reason = f"{reason}, without its spare replicas"
    return Tried(
        counts=counts,
        objective=chosen.value(played.prediction, devices),
        e2e_ms=played.prediction.e2e_ms.mean,
        missed=reason,
        outcome=played,
    )


def no_plan(spec: Spec, asked: Problem, found: Found) -> InfeasibleError | UndecidedError:
    """Return the error of a search without a plan: proved infeasible, or out of time."""
    lines = _closest(asked, found.rejected)
    if not found.exhausted:
        text = (
            f"no plan was found in {spec.search.time_limit_s:g} s and none is excluded: "
            f"{found.simulated} plans simulated; raise `search.time_limit_s`"
        )
        return UndecidedError("\n".join([text, *lines]))
    if found.simulated:
        text = f"no plan meets the spec: all {found.simulated} that the bounds allow were simulated"
    elif all(asked.alone_misses):
        text = (
            "no plan meets the spec, even with every request alone on idle devices: "
            + ", ".join(sorted({m for m in asked.alone_misses if m}))
        )
    else:
        text = "no plan meets the spec: no fleet within the limits carries this traffic at all"
    return InfeasibleError("\n".join([text, *lines]))


def _closest(asked: Problem, rejected: Sequence[Tried]) -> list[str]:
    return [f"  {label(asked, t.counts)}: {t.missed}" for t in rejected[:5]]
