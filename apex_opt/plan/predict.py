"""From counts to a prediction: the whole plan is simulated, then measured against the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from apex_opt.plan.check import checks
from apex_opt.plan.levels import NS_PER_MS, NS_PER_S, drain_limit_s, request_limits_ns
from apex_opt.plan.result import Check, Prediction, Statistics
from apex_opt.plan.use import Part, peaks_w, use
from apex_opt.sim import metrics
from apex_opt.sim.fleet import play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.log import DONE, REJECTED, Log
from apex_opt.sim.member import FleetLog, Member
from apex_opt.sim.steps import Int64
from apex_opt.spec.spec import Spec


@dataclass(frozen=True)
class Played:
    """A simulated plan.

    Attributes:
        parts: its deployments.
        peaks_w: peak of power of each.
        prediction: what the simulation shows.
        checks: its service levels.
    """

    parts: tuple[Part, ...]
    peaks_w: tuple[float, ...]
    prediction: Prediction
    checks: tuple[Check, ...]

    @property
    def missed(self) -> Check | None:
        """The first service level that is not met."""
        return next((c for c in self.checks if not c.met), None)


@dataclass(frozen=True)
class _Run:
    """Times of a run, seconds: all of it, its arrivals, and what follows the last arrival."""

    duration_s: float
    span_s: float
    drain_s: float


def _in_ms(found: metrics.Statistics) -> Statistics:
    """Return statistics in milliseconds; zeros where there is no value."""
    names = ("mean", "p50", "p90", "p95", "p99")
    known = [0.0 if value != value else value / NS_PER_MS for value in found]
    return Statistics(**dict(zip(names, known, strict=True)))


def _run(log: Log, *, closed: bool) -> _Run:
    sent = log.arrival_ns[log.arrival_ns >= 0]
    first, last = int(sent.min(initial=0)), int(sent.max(initial=0))
    end = max(int(log.last_ns.max(initial=0)), last)
    duration = max(end - first, 1) / NS_PER_S
    return _Run(duration, (last - first) / NS_PER_S, 0.0 if closed else (end - last) / NS_PER_S)


def _met(spec: Spec, log: Log, output_tokens: Int64) -> int:
    """Return how many requests met all limits on each request."""
    limits = request_limits_ns(spec.slo)
    keep = metrics.Limits(**{f"{name[:-3]}_ns": limit for name, limit in limits.items()})
    return int(metrics.met(log, output_tokens, keep).sum())


def predict(spec: Spec, load: Load, parts: Sequence[Part], played: FleetLog) -> Prediction:
    """Return what a simulated plan does.

    Metrics are those of the field: TTFT from arrival to first token, TPOT the mean gap of a request
    (requests of one token left out), ITL over all gaps, E2E from arrival to last token. Rates are
    over the run, from the first arrival to the last token.
    """
    log, outputs = played.log, load.output_tokens
    run = _run(log, closed=load.concurrency > 0)
    met = _met(spec, log, outputs)
    done = log.status == DONE
    completed, sampled = int(done.sum()), int(outputs[done].sum())
    cost = sum(p.count * p.candidate.price_per_hour for p in parts)
    used = use(parts, played.members, run.duration_s)
    return Prediction(
        requests=len(load),
        completed=completed,
        rejected=int((log.status == REJECTED).sum()),
        preemptions=int(log.preempted.sum()),
        ttft_ms=_in_ms(metrics.describe(metrics.ttft(log))),
        tpot_ms=_in_ms(metrics.describe(metrics.tpot(log, outputs))),
        itl_ms=_in_ms(metrics.itl(log)),
        e2e_ms=_in_ms(metrics.describe(metrics.e2e(log))),
        queue_ms=_in_ms(metrics.describe(metrics.queue(log))),
        duration_s=run.duration_s,
        drain_s=run.drain_s,
        stable=run.drain_s <= drain_limit_s(spec.slo, run.span_s),
        requests_per_s=completed / run.duration_s,
        prompt_tokens_per_s=int(load.prompt_tokens[done].sum()) / run.duration_s,
        output_tokens_per_s=sampled / run.duration_s,
        goodput_rps=met / run.duration_s,
        attainment=met / len(load),
        energy_j_per_request=used.energy_j / max(completed, 1),
        energy_j_per_output_token=used.energy_j / max(sampled, 1),
        power_mean_w=used.energy_j / run.duration_s,
        power_peak_w=sum(peaks_w(parts, played.members)),
        cost_per_hour=cost,
        cost_per_million_output_tokens=cost / 3600 * run.duration_s / max(sampled, 1) * 1e6,
        **asdict(used),
    )


def play_parts(load: Load, parts: Sequence[Part], threads: int = 1) -> FleetLog:
    """Simulate a plan: requests are dealt by weighted round robin, every replica is played."""
    members = [Member(p.candidate.rules, p.candidate.steps, p.count, p.weight) for p in parts]
    return play_fleet(load, members, threads=threads)


def measure(spec: Spec, load: Load, parts: Sequence[Part], played: FleetLog) -> Played:
    """Return what a simulation shows, held against the service levels of `spec`."""
    found = predict(spec, load, parts, played)
    return Played(tuple(parts), peaks_w(parts, played.members), found, checks(spec, found))


def play(spec: Spec, load: Load, parts: Sequence[Part], threads: int = 1) -> Played:
    """Simulate a plan and hold it against the service levels of `spec`."""
    return measure(spec, load, parts, play_parts(load, parts, threads))
