"""From counts to a prediction: the whole plan is simulated, then measured against the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from apex_opt.plan.check import checks
from apex_opt.plan.existing import start_usd_per_hour
from apex_opt.plan.levels import NS_PER_MS, NS_PER_S, drain_limit_s
from apex_opt.plan.power import Power, counted, rated_w, rows_for
from apex_opt.plan.quality import usd_per_hour
from apex_opt.plan.requests import met
from apex_opt.plan.result import Check, Prediction, Statistics
from apex_opt.plan.routing import require_caches, require_classes, routing
from apex_opt.plan.samples import folded
from apex_opt.plan.spares import without_spares
from apex_opt.plan.use import Part, peaks_w, use
from apex_opt.sim import metrics
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.member import FleetLog, Member
from apex_opt.sim.steps import Int64, StepTable
from apex_opt.sim.totals import Totals
from apex_opt.spec.routing import Router
from apex_opt.spec.spec import Spec
from apex_opt.trace.encoders import prompts

SEEDS = 1 << 61
"""Seeds of the guesses; those of a spec go further."""


@dataclass(frozen=True)
class Played:
    """A simulated plan.

    Attributes:
        parts: its deployments.
        power: what they draw, as limits count it.
        prediction: what the simulation shows.
        checks: its service levels.
        lost: the same plan without its spare replicas; None where it has none.
        router: how its requests found their replicas.
        did: totals of each part, its replicas together.
    """

    parts: tuple[Part, ...]
    power: Power
    prediction: Prediction
    checks: tuple[Check, ...]
    router: Router = "round_robin"
    lost: Played | None = None
    did: tuple[Totals, ...] = ()

    @property
    def missed(self) -> Check | None:
        """The first service level that is not met, be it without the spare replicas."""
        own = next((c for c in self.checks if not c.met), None)
        return own if own is not None or self.lost is None else self.lost.missed


@dataclass(frozen=True)
class _Times:
    """Times of a run, seconds: all of it, its arrivals, and what follows the last arrival."""

    duration_s: float
    span_s: float
    drain_s: float

    @property
    def offered_s(self) -> float:
        """Time over which the traffic is offered; all of it where all comes at once."""
        return self.span_s or self.duration_s


def _in_ms(found: metrics.Statistics) -> Statistics:
    """Return statistics in milliseconds; zeros where there is no value."""
    names = ("mean", "p50", "p90", "p95", "p99")
    known = [0.0 if value != value else value / NS_PER_MS for value in found]
    return Statistics(**dict(zip(names, known, strict=True)))


def _times(log: Log, *, closed: bool) -> _Times:
    sent = log.arrival_ns[log.arrival_ns >= 0]
    first, last = (int(sent.min()), int(sent.max())) if len(sent) else (0, 0)
    end = max(int(log.last_ns.max(initial=0)), last)
    duration = max(end - first, 1) / NS_PER_S
    return _Times(duration, (last - first) / NS_PER_S, 0.0 if closed else (end - last) / NS_PER_S)


def _latencies(log: Log, output_tokens: Int64, gaps: Log) -> dict[str, Statistics]:
    """Return statistics of all requests, and of the gaps between all tokens."""
    return {
        "ttft_ms": _in_ms(metrics.describe(metrics.ttft(log))),
        "tpot_ms": _in_ms(metrics.describe(metrics.tpot(log, output_tokens))),
        "itl_ms": _in_ms(metrics.itl(gaps)),
        "e2e_ms": _in_ms(metrics.describe(metrics.e2e(log))),
        "queue_ms": _in_ms(metrics.describe(metrics.queue(log))),
    }


def predict(
    spec: Spec,
    load: Load,
    parts: Sequence[Part],
    played: FleetLog,
    known: Prediction | None = None,
) -> Prediction:
    """Return what a simulated plan does.

    Metrics are those of the field: TTFT from arrival to first token, TPOT the mean gap of a request
    (requests of one token left out), ITL over all gaps, E2E from arrival to last token. Rates are
    over the run, from the first arrival to the last token. Samples of a request are one
    (`apex_opt.plan.samples`), of which every token counts. What limits, levels and prices do not
    change is that of `known`, if it is of the same run.
    """
    times, samples = _times(played.log, closed=load.concurrency > 0), spec.workload.samples
    tokens = load.output_tokens.reshape(-1, samples).sum(axis=1)
    offered, (load, log) = load, folded(load, played.log, samples)
    kept = int(met(spec, log, load.output_tokens).sum())
    done = log.status == DONE
    completed, sampled = int(done.sum()), int(tokens[done].sum())
    cost = sum(p.count * p.candidate.price_per_hour for p in parts)
    limit_s = drain_limit_s(spec.slo, times.span_s, int(offered.output_tokens.max()))
    held: dict[str, Any] = {
        "drain_limit_s": limit_s,
        "stable": times.drain_s <= limit_s,
        "goodput_rps": kept / times.duration_s,
        "attainment": kept / len(load),
        "cost_per_hour": cost,
        "extra_cost_per_hour": usd_per_hour(spec, offered, parts, played, times.offered_s)
        + start_usd_per_hour(spec, parts),
        "cost_per_million_output_tokens": cost / 3600 * times.duration_s / max(sampled, 1) * 1e6,
        "power_window_w": None,
    }
    if known is not None:
        return known.model_copy(update=held)
    used = use(parts, played.members, times.duration_s)
    hits = log.totals.hit_tokens
    return Prediction(
        requests=len(load),
        completed=completed,
        rejected=int((log.status == REJECTED).sum()),
        preemptions=int(log.preempted.sum()),
        **_latencies(log, load.output_tokens, played.log),
        duration_s=times.duration_s,
        drain_s=times.drain_s,
        requests_per_s=completed / times.duration_s,
        prompt_tokens_per_s=int(prompts(load, spec.model)[done].sum()) / times.duration_s,
        output_tokens_per_s=sampled / times.duration_s,
        energy_j_per_request=used.energy_j / max(completed, 1),
        energy_j_per_output_token=used.energy_j / max(sampled, 1),
        power_mean_w=used.energy_j / times.duration_s,
        power_peak_w=sum(peaks_w(parts, played.members)),
        power_rated_w=sum(map(rated_w, parts)),
        hit_tokens_share=hits / max(hits + log.totals.prompt_tokens, 1),
        **asdict(used),
        **held,
    )


@dataclass(frozen=True)
class Pace:
    """How many times as long the steps of a deployment take, how many times the power they draw."""

    time: float
    power: float

    def of(self, table: StepTable) -> StepTable:
        """Return a step table at this pace; idle devices draw what they draw."""
        lasting = {
            name: np.ceil(getattr(table, name) * self.time).astype(np.int64)
            for name in vars(table)
            if name.endswith(("_ns", "_fs"))
        }
        drawing = {
            name: getattr(table, name) * (self.time * self.power)
            for name in vars(table)
            if name.endswith("_j")
        }
        return replace(table, **lasting, **drawing)


@dataclass(frozen=True)
class Run:
    """How a plan is played.

    Attributes:
        router: how requests find their replica; None: as the spec says.
        threads: replicas that are played at the same time; the result does not depend on it.
        rows: of the time line, even; 0: none.
        paces: of the steps of each part; none: as they are predicted.
    """

    router: Router | None = None
    threads: int = 1
    rows: int = 0
    paces: tuple[Pace, ...] = ()


ONCE = Run()


def guessing(member: Member, seed: int) -> Member:
    """Return a member whose guesses follow the seed of the traffic."""
    return replace(member, rules=replace(member.rules, seed=seed % SEEDS))


def play_parts(spec: Spec, load: Load, parts: Sequence[Part], run: Run = ONCE) -> FleetLog:
    """Simulate a plan.

    Raises:
        CallError: its replicas cannot work together, or not on so many requests.
    """
    router = run.router or spec.routing.router
    require_caches(load, parts, router)
    require_classes(load, parts, router)
    found = routing(spec, parts, router)
    members = [guessing(part.member, found.seed) for part in parts]
    if run.paces:
        members = [
            replace(member, steps=pace.of(member.steps))
            for member, pace in zip(members, run.paces, strict=True)
        ]
    rows = max(run.rows, rows_for(spec, load, sum(part.count * part.ranks for part in parts)))
    return play_fleet(load, members, threads=run.threads, routing=found, rows=rows)


def measure(
    spec: Spec,
    load: Load,
    parts: Sequence[Part],
    played: FleetLog,
    run: Run = ONCE,
    known: Prediction | None = None,
) -> Played:
    """Return what a simulation shows, held against the service levels of `spec`.

    What was predicted of it under other levels may be `known`.
    """
    whole = _measure(spec, load, parts, played, run, known)
    left = without_spares(parts)
    if left is None:
        return whole
    return replace(whole, lost=_measure(spec, load, left, play_parts(spec, load, left, run), run))


def _measure(
    spec: Spec,
    load: Load,
    parts: Sequence[Part],
    played: FleetLog,
    run: Run,
    known: Prediction | None = None,
) -> Played:
    found, power = predict(spec, load, parts, played, known), counted(spec, parts, played)
    if spec.limits.power_window_s is not None:
        found = found.model_copy(update={"power_window_w": power.total_w})
    router, levels = run.router or spec.routing.router, checks(spec, found)
    return Played(tuple(parts), power, found, levels, router, did=played.members)


def play(spec: Spec, load: Load, parts: Sequence[Part], run: Run = ONCE) -> Played:
    """Simulate a plan and hold it against the service levels of `spec`.

    Raises:
        CallError: see `play_parts`.
    """
    return measure(spec, load, parts, play_parts(spec, load, parts, run), run)
