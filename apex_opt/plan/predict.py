"""From counts to a prediction: the whole plan is simulated, then measured against the spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apex_opt.cost.rates import half_precision
from apex_opt.cost.work import model_work
from apex_opt.plan.candidate import Candidate
from apex_opt.plan.levels import (
    NS_PER_MS,
    counts_goodput,
    drain_limit_s,
    request_limits_ns,
    statistic_levels,
)
from apex_opt.plan.result import Check, Prediction, Statistics
from apex_opt.sim import metrics
from apex_opt.sim.fleet import FleetLog, Member, play_fleet
from apex_opt.sim.load import Load
from apex_opt.sim.replica import DONE, REJECTED, Totals
from apex_opt.spec.spec import Spec

NS_PER_S = 1e9
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One deployment: a candidate, how many of it, the routing weight of each."""

    candidate: Candidate
    count: int
    weight: int


@dataclass(frozen=True)
class Played:
    """A simulated plan.

    Attributes:
        parts: its deployments.
        peaks_w: of each, the sum of its replicas' own peaks of power. They need not coincide: the
            sum bounds the plan's peak from above.
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
    """Times of a run, seconds: the whole of it, and what follows the last arrival."""

    duration_s: float
    span_s: float
    drain_s: float


def _statistics(values_ns: Float) -> Statistics:
    """Return mean and percentiles in milliseconds; zeros where there is no value."""
    if len(values_ns) == 0:
        return Statistics(mean=0.0, p50=0.0, p90=0.0, p95=0.0, p99=0.0)
    return _in_ms(metrics.describe(values_ns))


def _in_ms(five: Sequence[float]) -> Statistics:
    mean, p50, p90, p95, p99 = (x / NS_PER_MS for x in five)
    return Statistics(mean=mean, p50=p50, p90=p90, p95=p95, p99=p99)


def _run(log: FleetLog, *, closed: bool) -> _Run:
    sent = log.arrival_ns[log.arrival_ns >= 0]
    first, last = int(sent.min(initial=0)), int(sent.max(initial=0))
    end = max(int(log.last_ns.max(initial=0)), last)
    duration = max(end - first, 1) / NS_PER_S
    return _Run(duration, (last - first) / NS_PER_S, 0.0 if closed else (end - last) / NS_PER_S)


def _replicas(parts: Sequence[Part], log: FleetLog) -> Iterator[tuple[Candidate, Totals]]:
    """Yield every replica's candidate and totals."""
    for part, replicas in zip(parts, log.members, strict=True):
        for totals in replicas:
            yield part.candidate, totals


def _energy_j(parts: Sequence[Part], log: FleetLog, duration_s: float) -> float:
    """Return the energy of the run, idle devices included."""
    return sum(
        candidate.steps.idle_w * duration_s + totals.energy_j
        for candidate, totals in _replicas(parts, log)
    )


def _peaks_w(parts: Sequence[Part], log: FleetLog) -> tuple[float, ...]:
    """Return the sum of the peaks of each part's replicas."""
    return tuple(
        sum(part.candidate.steps.idle_w + totals.peak_w for totals in replicas)
        for part, replicas in zip(parts, log.members, strict=True)
    )


def _utilisation(parts: Sequence[Part], log: FleetLog, duration_s: float) -> dict[str, float]:
    """Return MFU, MBU, KV use, busy share and mean batch over the whole run, weighted by device."""
    flops = moved = peak = bandwidth = held = blocks = busy = steps = tokens = 0.0
    most = 0.0
    for candidate, totals in _replicas(parts, log):
        work, device = model_work(candidate.shape), candidate.shape.pool.device
        devices = candidate.shape.devices
        flops, moved = flops + work.flops(totals), moved + work.bytes(totals)
        peak += devices * device.peak_tflops[half_precision(device)] * 1e12
        bandwidth += devices * device.bandwidth_gbytes_per_s * 1e9
        held, blocks = held + totals.block_ns, blocks + candidate.rules.blocks
        most = max(most, totals.peak_blocks / max(candidate.rules.blocks, 1))
        busy, steps = busy + totals.busy_ns, steps + totals.steps
        tokens += totals.rows
    replicas = sum(p.count for p in parts)
    return {
        "mfu": flops / (peak * duration_s),
        "mbu": moved / (bandwidth * duration_s),
        "kv_use_mean": held / (max(blocks, 1.0) * duration_s * NS_PER_S),
        "kv_use_peak": most,
        "busy": busy / (replicas * duration_s * NS_PER_S),
        "mean_batch": tokens / max(steps, 1.0),
    }


def predict(spec: Spec, load: Load, parts: Sequence[Part], log: FleetLog) -> Prediction:
    """Return what a simulated plan does.

    Metrics are those of the field: TTFT from arrival to first token, TPOT the mean gap of a request
    (requests of one token left out), ITL over all gaps, E2E from arrival to last token. Rates are
    over the run, from the first arrival to the last token.
    """
    run = _run(log, closed=load.concurrency > 0)
    done = log.status == DONE
    completed, outputs = int(done.sum()), int(load.output_tokens[done].sum())
    limits = request_limits_ns(spec.slo)
    met = metrics.met(
        log,
        load.output_tokens,
        ttft_ns=limits.get("ttft_ms"),
        tpot_ns=limits.get("tpot_ms"),
        itl_ns=limits.get("itl_ms"),
        e2e_ns=limits.get("e2e_ms"),
    )
    energy = _energy_j(parts, log, run.duration_s)
    cost = sum(p.count * p.candidate.price_per_hour for p in parts)
    return Prediction(
        requests=len(load),
        completed=completed,
        rejected=int((log.status == REJECTED).sum()),
        preemptions=int(log.preempted.sum()),
        ttft_ms=_statistics(metrics.ttft(log)),
        tpot_ms=_statistics(metrics.tpot(log, load.output_tokens)),
        itl_ms=_in_ms(metrics.gaps(log.gaps)),
        e2e_ms=_statistics(metrics.e2e(log)),
        queue_ms=_statistics(metrics.queue(log)),
        duration_s=run.duration_s,
        drain_s=run.drain_s,
        stable=run.drain_s <= drain_limit_s(spec.slo, run.span_s),
        requests_per_s=completed / run.duration_s,
        prompt_tokens_per_s=int(load.prompt_tokens[done].sum()) / run.duration_s,
        output_tokens_per_s=outputs / run.duration_s,
        goodput_rps=int(met.sum()) / run.duration_s,
        attainment=int(met.sum()) / len(load),
        energy_j=energy,
        energy_j_per_request=energy / max(completed, 1),
        energy_j_per_output_token=energy / max(outputs, 1),
        power_mean_w=energy / run.duration_s,
        power_peak_w=sum(_peaks_w(parts, log)),
        cost_per_hour=cost,
        cost_per_million_output_tokens=cost / 3600 * run.duration_s / max(outputs, 1) * 1e6,
        **_utilisation(parts, log, run.duration_s),
    )


def checks(spec: Spec, found: Prediction) -> tuple[Check, ...]:
    """Return every service level of the spec with what the prediction shows.

    Rejected requests meet nothing: the completed share must reach `slo.attainment` too. When
    goodput is maximised, attainment and drain are the aim and no constraint.
    """
    levels = []
    for level in statistic_levels(spec.slo):
        shown = getattr(getattr(found, level.metric), level.statistic)
        levels.append(
            Check(
                metric=level.metric,
                statistic=level.statistic,
                limit=level.limit_ms,
                value=shown,
                met=shown <= level.limit_ms,
            )
        )
    if counts_goodput(spec):
        return tuple(levels)
    least = spec.slo.attainment

    def share(metric: str, shown: float) -> Check:
        return Check.model_validate(
            {
                "metric": metric,
                "statistic": "share",
                "limit": least,
                "value": shown,
                "met": shown >= least - 1e-12,
            }
        )

    if request_limits_ns(spec.slo):
        levels.append(share("attainment", found.attainment))
    levels.append(share("completed", found.completed / found.requests))
    if spec.workload.arrival != "closed":
        limit = drain_limit_s(spec.slo, found.duration_s - found.drain_s)
        levels.append(
            Check(
                metric="drain_s",
                statistic="end",
                limit=limit,
                value=found.drain_s,
                met=found.drain_s <= limit,
            )
        )
    return tuple(levels)


def play(spec: Spec, load: Load, parts: Sequence[Part], threads: int = 1) -> Played:
    """Simulate a plan: requests are dealt by weighted round robin, every replica is played."""
    members = [Member(p.candidate.rules, p.candidate.steps, p.count, p.weight) for p in parts]
    log = play_fleet(load, members, threads=threads)
    found = predict(spec, load, parts, log)
    return Played(tuple(parts), _peaks_w(parts, log), found, checks(spec, found))
